/*
 * A pool against an upstream that judges it, in thousands of random scenarios of virtual time. Each
 * prints its seed when it fails; SLUICE_SEED runs that one alone.
 *
 * A call takes up to 20 ms to reach upstream, which admits or refuses it then, corrects its account
 * when the call ends, and answers up to 20 ms later.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "judge.h"
#include "sluice/base/clock.h"
#include "sluice/base/heap.h"
#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/sched/pool.h"

#define S      SL_NS_PER_S
#define MS     SL_NS_PER_MS
#define MINUTE (60 * S)
#define CALLS  256
#define JITTER (20 * MS)
#define WALL   (UINT64_C(1795000000) * S)

static uint64_t draw(uint64_t *random) {
    uint64_t x = *random;
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return *random = x;
}

static uint64_t between(uint64_t *random, uint64_t low, uint64_t high) {
    return low + draw(random) % (high - low + 1);
}

/* Evenly over magnitudes. */
static uint64_t scaled(uint64_t *random, uint64_t low, uint64_t high) {
    uint64_t top = low;
    while (top < high && draw(random) % 3)
        top *= 2;
    return between(random, low, top < high ? top : high);
}

struct plan {
    uint64_t seed;
    bool fixed;
    enum sl_window window; /* as the pool is told */
    bool hidden;           /* the pool is not told the limits */
    uint64_t rpm, tpm, phase;
    uint64_t size_low, size_high; /* of reservations */
    uint32_t use_percent;         /* of the reservation that is used, about */
    uint64_t length_low, length_high;
    uint32_t places;      /* calls at once */
    uint32_t odd_percent; /* calls that end otherwise than well */
    bool pauses;          /* demand comes and goes */
    uint64_t length;      /* of the scenario */
    uint64_t warm_up;     /* not measured */
};

enum step { STEP_ARRIVE, STEP_END, STEP_ANSWER };

struct flight {
    struct sl_heap_node node;
    enum step step;
    bool used;
    struct sl_reservation reservation;
    struct sl_outcome outcome;
    uint64_t arrived;
};

struct run {
    const struct plan *plan;
    uint64_t random, now;
    struct sl_pool *pool;
    struct judge_meter requests, tokens;
    struct sl_heap heap;
    struct flight flights[CALLS];
    uint64_t next_size; /* the head of the queue */
    uint64_t pause_until, work_until;
    bool promised; /* the pool said when to look again */
    uint32_t running;
    uint64_t sent, refused, refused_late;               /* late: after the warm-up */
    unsigned __int128 charged_requests, charged_tokens; /* at the end of the warm-up */
};

static void schedule(struct run *run, struct flight *flight, enum step step, uint64_t delay) {
    flight->step = step;
    assert_int_equal(sl_heap_push(&run->heap, &flight->node, run->now + delay), SL_OK);
}

static void dispatch(struct run *run) {
    struct flight *flight = run->flights;
    while (flight->used)
        flight++;
    *flight = (struct flight){.used = true};
    sl_heap_node_init(&flight->node);
    sl_pool_reserve(run->pool, &flight->reservation, run->next_size, run->now, WALL + run->now);
    run->next_size = between(&run->random, run->plan->size_low, run->plan->size_high);
    run->running++;
    run->sent++;
    if (draw(&run->random) % 100 < run->plan->odd_percent / 2) {
        flight->outcome.ending = SL_ENDING_UNREACHED;
        schedule(run, flight, STEP_ANSWER, between(&run->random, 1, 2 * JITTER));
    } else {
        schedule(run, flight, STEP_ARRIVE, between(&run->random, 1, JITTER));
    }
}

static void arrive(struct run *run, struct flight *flight) {
    uint64_t n = flight->reservation.tokens;
    bool requests = judge_fits(&run->requests, 1, run->now);
    if (!requests || !judge_fits(&run->tokens, n, run->now)) {
        flight->outcome = (struct sl_outcome){
            .ending = SL_ENDING_THROTTLED,
            .kind = requests ? SL_SCARCE_TOKENS : SL_SCARCE_REQUESTS,
        };
        run->refused++;
        run->refused_late += run->now > run->plan->warm_up;
        schedule(run, flight, STEP_ANSWER, between(&run->random, 1, JITTER));
        return;
    }
    judge_take(&run->requests, 1, run->now);
    judge_take(&run->tokens, n, run->now);
    flight->arrived = run->now;
    bool odd = draw(&run->random) % 100 < run->plan->odd_percent / 2;
    flight->outcome.ending = odd ? SL_ENDING_REFUSED : SL_ENDING_OK;
    uint64_t use =
        n * between(&run->random, run->plan->use_percent / 2, run->plan->use_percent * 3 / 2) / 100;
    flight->outcome.tokens = odd ? 0 : use < n ? use : n;
    schedule(run, flight, STEP_END,
             between(&run->random, run->plan->length_low, run->plan->length_high));
}

static void end(struct run *run, struct flight *flight) {
    judge_give(&run->tokens, flight->reservation.tokens - flight->outcome.tokens, flight->arrived,
               run->now);
    schedule(run, flight, STEP_ANSWER, between(&run->random, 1, JITTER));
}

static void answer(struct run *run, struct flight *flight) {
    sl_pool_settle(run->pool, &flight->reservation, &flight->outcome, run->now, WALL + run->now);
    flight->used = false;
    run->running--;
}

static bool wants(struct run *run) {
    if (run->now >= run->plan->length)
        return false;
    if (!run->plan->pauses)
        return true;
    if (run->now >= run->work_until) {
        run->pause_until = run->now + between(&run->random, 1, 90 * S);
        run->work_until = run->pause_until + between(&run->random, 1, 60 * S);
    }
    return run->now >= run->pause_until;
}

/* Starts what may start; returns when to look again. */
static uint64_t start_calls(struct run *run) {
    run->promised = false;
    while (wants(run) && run->running < run->plan->places) {
        struct sl_pool_verdict verdict =
            sl_pool_check(run->pool, run->next_size, run->now, WALL + run->now);
        if (verdict.wait_ns) {
            assert_int_not_equal(verdict.kind, SL_SCARCE_NOTHING);
            run->promised = true;
            return verdict.wait_ns == SL_NEVER ? SL_NEVER : run->now + verdict.wait_ns;
        }
        dispatch(run);
    }
    return run->now < run->plan->length && run->now < run->pause_until ? run->pause_until
                                                                       : SL_NEVER;
}

static void take_step(struct run *run, struct sl_heap_node *node) {
    struct flight *flight = SL_CONTAINER(node, struct flight, node);
    sl_heap_remove(&run->heap, node);
    static void (*const steps[])(struct run *, struct flight *) = {
        [STEP_ARRIVE] = arrive, [STEP_END] = end, [STEP_ANSWER] = answer};
    steps[flight->step](run, flight);
}

static void simulate(struct run *run) {
    bool measured = false;
    for (;;) {
        uint64_t wake = start_calls(run);
        struct sl_heap_node *next = sl_heap_min(&run->heap);
        if (!next && wake == SL_NEVER)
            break;
        bool timer = !next || wake < next->key;
        run->now = timer ? wake : next->key;
        if (!measured && run->now >= run->plan->warm_up) {
            measured = true;
            run->charged_requests = run->requests.charged;
            run->charged_tokens = run->tokens.charged;
        }
        if (!timer)
            take_step(run, next);
        else if (run->promised) /* nothing else has happened: the wait must have been long enough */
            assert_int_equal(
                sl_pool_check(run->pool, run->next_size, run->now, WALL + run->now).wait_ns, 0);
    }
}

static void set_up(struct run *run, const struct plan *plan) {
    *run = (struct run){.plan = plan, .random = plan->seed * 2654435761 + 1};
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    settings.window = plan->window;
    if (!plan->hidden)
        settings.configured = (struct sl_limits){.rpm = plan->rpm, .tpm = plan->tpm};
    run->pool = sl_pool_new(SL_LIT("p"), &settings, plan->seed, 0, WALL);
    assert_non_null(run->pool);
    judge_init(&run->requests, plan->fixed, plan->rpm, MINUTE, plan->phase);
    judge_init(&run->tokens, plan->fixed, plan->tpm, MINUTE, plan->phase);
    sl_heap_init(&run->heap);
    run->next_size = between(&run->random, plan->size_low, plan->size_high);
}

/* Nothing runs any more: all that was reserved is back when the window is over. */
static void tear_down(struct run *run) {
    struct sl_pool_view view;
    uint64_t later = run->now + MINUTE + 100 * MS;
    sl_pool_look(run->pool, &view, later, WALL + later);
    assert_int_equal(view.running, 0);
    assert_int_equal(view.used_requests, 0);
    assert_int_equal(view.used_tokens, 0);
    sl_pool_free(run->pool);
    sl_heap_done(&run->heap);
}

/* Share of the scarcer quota that upstream charged after the warm-up, in 1/10,000. */
static uint32_t share_used(const struct run *run) {
    unsigned __int128 time = run->plan->length - run->plan->warm_up;
    uint64_t requests = 0, tokens = 0;
    if (run->plan->rpm)
        requests = (uint64_t)((run->requests.charged - run->charged_requests) * 10000 /
                              (run->plan->rpm * time));
    if (run->plan->tpm)
        tokens = (uint64_t)((run->tokens.charged - run->charged_tokens) * 10000 /
                            (run->plan->tpm * time));
    return (uint32_t)(requests > tokens ? requests : tokens);
}

static void report(const struct run *run) {
    static const char *const windows[] = {"auto", "bucket", "fixed"};
    const struct plan *p = run->plan;
    printf("SLUICE_SEED=%" PRIu64 ": upstream %s, told %s and %s; rpm %" PRIu64 ", tpm %" PRIu64
           ", calls of %" PRIu64 " to %" PRIu64 " using %u %%, for %" PRIu64 " to %" PRIu64
           " ms, %u at once\n",
           p->seed, windows[p->fixed ? SL_WINDOW_FIXED : SL_WINDOW_BUCKET], windows[p->window],
           p->hidden ? "no limits" : "the limits", p->rpm, p->tpm, p->size_low, p->size_high,
           p->use_percent, p->length_low / MS, p->length_high / MS, p->places);
    printf("  used %u.%02u %%; %" PRIu64 " of %" PRIu64 " refused, %" PRIu64
           " of them after the warm-up\n",
           share_used(run) / 100, share_used(run) % 100, run->refused, run->sent,
           run->refused_late);
}

/* A test of `count` seeds, or of the one in SLUICE_SEED. */
static uint64_t seeds_from(uint64_t *count) {
    const char *text = getenv("SLUICE_SEED");
    if (!text)
        return 1;
    *count = 1;
    return strtoull(text, NULL, 10);
}

static struct plan exact_plan(uint64_t seed) {
    uint64_t random = seed * 0x9e3779b97f4a7c15 + 7;
    struct plan p = {.seed = seed};
    p.fixed = draw(&random) % 2;
    p.window = draw(&random) % 4 == 0 ? SL_WINDOW_FIXED /* is safe for a bucket too */
               : p.fixed              ? SL_WINDOW_FIXED
                                      : SL_WINDOW_BUCKET;
    p.phase = draw(&random) % MINUTE;
    uint64_t which = draw(&random) % 3;
    p.rpm = which != 0 ? scaled(&random, 2, 400) : 0;
    p.tpm = which != 1 ? scaled(&random, 2000, 2000000) : 0;
    p.size_high = scaled(&random, 1 + p.tpm / 200, p.tpm ? p.tpm : 10000);
    p.size_low = between(&random, (p.size_high + 1) / 2, p.size_high);
    p.use_percent = (uint32_t)between(&random, 10, 100);
    p.length_high = scaled(&random, MS, 100 * S);
    p.length_low = between(&random, MS / 2, p.length_high);
    p.places = (uint32_t)between(&random, 1, CALLS);
    p.odd_percent = draw(&random) % 2 ? 20 : 0;
    p.pauses = draw(&random) % 2;
    p.length = 4 * MINUTE;
    return p;
}

static void is_never_refused_under_exact_knowledge(void **state) {
    (void)state;
    static struct run run;
    uint64_t count = 2000, first = seeds_from(&count), sent = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct plan plan = exact_plan(seed);
        set_up(&run, &plan);
        simulate(&run);
        sent += run.sent;
        if (run.refused)
            report(&run);
        assert_int_equal(run.refused, 0);
        tear_down(&run);
    }
    if (count > 1)
        assert_true(sent > 100000);
}

/* Demand that always exceeds the quota, in calls that are small against it. */
static struct plan saturating_plan(uint64_t seed) {
    uint64_t random = seed * 0x9e3779b97f4a7c15 + 7;
    struct plan p = {.seed = seed, .places = CALLS};
    p.fixed = draw(&random) % 2;
    p.window = p.fixed ? SL_WINDOW_FIXED : SL_WINDOW_BUCKET;
    p.phase = draw(&random) % MINUTE;
    p.length_low = MS;
    p.length_high = scaled(&random, 10 * MS, 3 * S);
    p.length = 10 * MINUTE;
    p.warm_up = MINUTE;
    if (draw(&random) % 2) {
        p.rpm = scaled(&random, 60, 1200);
        p.size_low = p.size_high = 100;
        p.use_percent = 50;
    } else {
        p.tpm = scaled(&random, 200000, 2000000);
        p.size_high = p.tpm / between(&random, 400, 1500);
        p.size_low = p.size_high / 2;
        p.use_percent = (uint32_t)between(&random, 20, 90);
    }
    return p;
}

static void uses_what_is_known(void **state) {
    (void)state;
    static struct run run;
    uint64_t count = 24, first = seeds_from(&count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct plan plan = saturating_plan(seed);
        set_up(&run, &plan);
        simulate(&run);
        if (share_used(&run) < 9900 || run.refused || count == 1)
            report(&run);
        assert_int_equal(run.refused, 0);
        assert_true(share_used(&run) >= 9900);
        tear_down(&run);
    }
}

/* Measured from the fifth minute to the twentieth. */
static void learn_seeds(bool hidden, bool automatic, uint64_t count) {
    static struct run run;
    uint64_t first = seeds_from(&count);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct plan plan = saturating_plan(seed);
        plan.hidden = hidden;
        plan.window = automatic ? SL_WINDOW_AUTO : plan.window;
        plan.warm_up = 5 * MINUTE;
        plan.length = 20 * MINUTE;
        set_up(&run, &plan);
        simulate(&run);
        bool few = run.refused_late * 50 <= run.sent; /* 2 %; with tiny quotas it is one a minute */
        if (share_used(&run) < 9500 || !few || count == 1)
            report(&run);
        assert_true(share_used(&run) >= 9500);
        assert_true(few);
        tear_down(&run);
    }
}

static void learns_hidden_limits(void **state) {
    (void)state;
    learn_seeds(true, false, 24);
}

static void learns_limits_and_window(void **state) {
    (void)state;
    learn_seeds(true, true, 24);
}

static void finds_out_the_window(void **state) {
    (void)state;
    learn_seeds(false, true, 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_never_refused_under_exact_knowledge),
        cmocka_unit_test(uses_what_is_known),
        cmocka_unit_test(learns_hidden_limits),
        cmocka_unit_test(learns_limits_and_window),
        cmocka_unit_test(finds_out_the_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
