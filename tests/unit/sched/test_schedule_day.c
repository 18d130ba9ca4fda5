/*
 * A day of traffic from five thousand clients, in virtual time: quiet nights, mornings above the
 * quota, two models on two regions each, calls that take seconds and use less than they reserve.
 * The upstream of this test keeps the same quotas by an account of its own and refuses what does
 * not fit, as Bedrock does: none is refused. While calls wait, the quota is used; nothing is lost.
 */
#include "queue_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/base/heap.h"

#if defined(__SANITIZE_ADDRESS__)
#define HOURS 2 /* of the morning: sanitizers take their time */
#define BEGIN 9
#else
#define HOURS 24
#define BEGIN 0
#endif
#define CLIENTS 5000
#define FLIGHTS 40000 /* at once */
#define MODELS  2
#define REGIONS 2
#define RPM     300
#define TPM     1000000

/* Calls a second, by hour of the day: above 20, which is 4 × 300 a minute, they wait. */
static const uint8_t rate[24] = {1,  1,  1,  1,  2,  3,  8, 12, 18, 23, 24, 16,
                                 10, 18, 22, 21, 17, 12, 9, 6,  4,  3,  2,  1};

struct flight {
    struct sl_ticket ticket;
    struct sl_heap_node end;
    struct upstream *upstream;
    uint64_t started, used;
};

/* One model in one region, by its own account: what it let in during the last minute. */
struct upstream {
    struct sl_pool *pool;
    struct {
        uint64_t at, tokens, flight;
    } log[RPM];
    uint64_t count, tokens, oldest;
    uint64_t refused, served;
};

struct day {
    struct rig rig;
    uint64_t random;
    struct sl_line *lines[MODELS];
    struct upstream upstreams[MODELS][REGIONS];
    struct flight flights[FLIGHTS];
    uint32_t free[FLIGHTS], free_count;
    struct sl_heap ends;
    uint64_t asked, answered, turned_away, expired;
    uint64_t waited[SL_CLASS_COUNT], started[SL_CLASS_COUNT];
    uint64_t busy_minutes, busy_served;
};

static struct day day;

static uint64_t dice(uint64_t sides) {
    day.random = day.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (day.random >> 33) % sides;
}

static void forget_old(struct upstream *upstream) {
    while (upstream->count && upstream->log[upstream->oldest].at + MINUTE <= day.rig.now) {
        upstream->tokens -= upstream->log[upstream->oldest].tokens;
        upstream->oldest = (upstream->oldest + 1) % RPM;
        upstream->count--;
    }
}

static void admit(struct flight *flight) {
    struct upstream *upstream = flight->upstream;
    uint64_t tokens = flight->ticket.demand.tokens;
    forget_old(upstream);
    if (upstream->count == RPM || upstream->tokens + tokens > TPM) {
        upstream->refused++;
        return;
    }
    uint64_t at = (upstream->oldest + upstream->count++) % RPM;
    upstream->log[at].at = flight->started;
    upstream->log[at].tokens = tokens;
    upstream->log[at].flight = (uint64_t)(flight - day.flights);
    upstream->tokens += tokens;
    upstream->served++;
}

/* In the end a call counts what it used. */
static void correct(struct flight *flight) {
    struct upstream *upstream = flight->upstream;
    forget_old(upstream);
    for (uint64_t i = upstream->count; i-- > 0;) {
        uint64_t at = (upstream->oldest + i) % RPM;
        if (upstream->log[at].at != flight->started ||
            upstream->log[at].flight != (uint64_t)(flight - day.flights))
            continue;
        upstream->tokens -= upstream->log[at].tokens - flight->used;
        upstream->log[at].tokens = flight->used;
        return;
    }
}

static void give(struct flight *flight) {
    day.free[day.free_count++] = (uint32_t)(flight - day.flights);
}

static void arrive(void) {
    assert_true(day.free_count > 0);
    struct flight *flight = &day.flights[day.free[--day.free_count]];
    uint64_t client = dice(CLIENTS), prompt = 50 + dice(3000);
    enum sl_class priority = client % 10 == 0  ? SL_CLASS_BATCH
                             : client % 3 == 0 ? SL_CLASS_INTERACTIVE
                                               : SL_CLASS_NORMAL;
    struct sl_demand demand = rig_demand(client, priority, prompt + 1000);
    demand.deadline = day.rig.now + (priority == SL_CLASS_BATCH ? 60 : 10) * MINUTE;
    struct sl_refusal why;
    flight->used = prompt + dice(1000);
    day.asked++;
    if (rig_ask(&day.rig, day.lines[client % MODELS], &flight->ticket, &demand, &why) == SL_OK)
        return;
    assert_true(why.wait_ns > 0);
    day.turned_away++;
    give(flight);
}

static void start(struct sl_ticket *ticket) {
    struct flight *flight = SL_CONTAINER(ticket, struct flight, ticket);
    flight->upstream = ticket->route->ctx;
    flight->started = day.rig.now;
    day.waited[ticket->demand.priority] += day.rig.now - ticket->queued_at;
    day.started[ticket->demand.priority]++;
    admit(flight);
    assert_int_equal(
        sl_heap_push(&day.ends, &flight->end, day.rig.now + SECOND / 2 + dice(20 * SECOND)), SL_OK);
}

static void finish_those_due(void) {
    for (struct sl_heap_node *node; (node = sl_heap_min(&day.ends)) && node->key <= day.rig.now;) {
        struct flight *flight = SL_CONTAINER(node, struct flight, end);
        sl_heap_remove(&day.ends, node);
        const struct sl_outcome outcome = {.ending = SL_ENDING_OK, .tokens = flight->used};
        correct(flight);
        sl_queue_settle(day.rig.queue, &flight->ticket, &outcome, day.rig.now, day.rig.wall);
        day.answered++;
        give(flight);
    }
}

static void turn(void) {
    struct sl_refusal why;
    bool expired;
    finish_those_due();
    for (struct sl_ticket *ticket;
         (ticket = sl_queue_due(day.rig.queue, day.rig.now, day.rig.wall, &expired, &why));) {
        day.expired++;
        give(SL_CONTAINER(ticket, struct flight, ticket));
    }
    for (struct sl_ticket *ticket; (ticket = rig_next(&day.rig));)
        start(ticket);
}

static uint64_t next_event(uint64_t arrival) {
    const struct sl_heap_node *end = sl_heap_min(&day.ends);
    uint64_t at = rig_wake_at(&day.rig);
    at = arrival < at ? arrival : at;
    return end && end->key < at ? end->key : at;
}

static uint64_t served_by_all(void) {
    uint64_t served = 0;
    for (int i = 0; i < MODELS * REGIONS; i++)
        served += day.upstreams[i / REGIONS][i % REGIONS].served;
    return served;
}

/* Minutes that began and ended with many waiting for each model have no reason not to be full. */
static void watch_minute(uint64_t *minute, uint64_t *served, uint32_t *waiting) {
    if (day.rig.now < *minute + MINUTE)
        return;
    uint32_t now_waiting = sl_queue_count(day.rig.queue).waiting;
    if (*waiting > 500 && now_waiting > 500) {
        day.busy_minutes++;
        day.busy_served += served_by_all() - *served;
    }
    *minute += MINUTE;
    *served = served_by_all();
    *waiting = now_waiting;
}

static void open_day(void) {
    memset(&day, 0, sizeof(day));
    day.random = 20261122;
    rig_open(&day.rig, NULL);
    sl_heap_init(&day.ends);
    for (uint32_t i = 0; i < FLIGHTS; i++) {
        sl_heap_node_init(&day.flights[i].end);
        day.free[day.free_count++] = i;
    }
    for (int m = 0; m < MODELS; m++) {
        struct sl_route routes[REGIONS];
        for (int r = 0; r < REGIONS; r++) {
            struct upstream *upstream = &day.upstreams[m][r];
            upstream->pool =
                rig_pool(&day.rig, (struct sl_limits){.rpm = RPM, .tpm = TPM}, SL_WINDOW_FIXED);
            routes[r] = (struct sl_route){.pool = upstream->pool, .weight = 1, .ctx = upstream};
        }
        day.lines[m] = sl_line_new(day.rig.queue, (struct sl_slice){"m", 1}, routes, REGIONS);
        assert_non_null(day.lines[m]);
    }
}

static void close_day(void) {
    for (int m = 0; m < MODELS; m++) {
        sl_line_free(day.lines[m]);
        for (int r = 0; r < REGIONS; r++) {
            assert_int_equal(day.upstreams[m][r].refused, 0);
            sl_pool_free(day.upstreams[m][r].pool);
        }
    }
    sl_heap_done(&day.ends);
    rig_close(&day.rig);
}

static void a_day_passes(void **state) {
    (void)state;
    open_day();
    uint64_t midnight = day.rig.now, arrival = day.rig.now, minute = day.rig.now, served = 0;
    uint64_t evening = midnight + HOURS * 60 * MINUTE;
    uint32_t waiting = 0;
    while (arrival != SL_NEVER || sl_queue_count(day.rig.queue).waiting || day.ends.count) {
        rig_pass(&day.rig, next_event(arrival) - day.rig.now);
        if (arrival <= day.rig.now) {
            arrive();
            uint64_t hour = BEGIN + (arrival - midnight) / (60 * MINUTE);
            arrival += dice(2 * SECOND) / rate[hour % 24];
            arrival = arrival < evening ? arrival : SL_NEVER;
        }
        turn();
        watch_minute(&minute, &served, &waiting);
    }
    assert_int_equal(day.free_count, FLIGHTS);
    assert_int_equal(day.asked, day.answered + day.turned_away + day.expired);
    uint64_t mean[SL_CLASS_COUNT];
    for (int i = 0; i < SL_CLASS_COUNT; i++)
        mean[i] = day.waited[i] / day.started[i] / SL_NS_PER_MS;
    double used = (double)day.busy_served / (double)(day.busy_minutes * RPM * MODELS * REGIONS);
    print_message("%llu calls, %llu answered, %llu turned away, %llu expired; %llu minutes at the "
                  "quota used %.2f %%; mean wait %llu, %llu, %llu ms by class\n",
                  (unsigned long long)day.asked, (unsigned long long)day.answered,
                  (unsigned long long)day.turned_away, (unsigned long long)day.expired,
                  (unsigned long long)day.busy_minutes, 100 * used, (unsigned long long)mean[0],
                  (unsigned long long)mean[1], (unsigned long long)mean[2]);
    assert_true(day.busy_minutes > 10);
    assert_true(used >= 0.99);
    assert_true(mean[SL_CLASS_INTERACTIVE] < mean[SL_CLASS_NORMAL]);
    assert_true(mean[SL_CLASS_NORMAL] < mean[SL_CLASS_BATCH]);
    assert_true(day.answered > day.asked / 10 * 8);
    close_day();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_day_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
