/*
 * What the scheduler costs with 10, 1,000 and 100,000 calls queued: nanoseconds per enqueue,
 * dispatch (choice and reservation), settlement and cancel, on one core.
 *
 * Tickets lie in an arena in random order, as those of flights do in the gateway. Two tables:
 *
 * cold: before each batch of ten the caches are filled with something else, at every size alike.
 *   This shows the queue's own work, which must not depend on how many wait: within 2 ×.
 * warm: the same operations one after another. Here a short queue stays in the first cache, and a
 *   long one does not fit into any: the difference is the memory's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sluice/base/clock.h"
#include "sluice/sched/queue.h"

#define ARENA        104000
#define TENANTS      1000
#define SIZES        3
#define COLD_BATCHES 61
#define COLD_SIZE    10
#define WARM_BATCHES 401
#define WARM_SIZE    1000
#define CHILL_BYTES  ((size_t)96 << 20)

enum phase { ENQUEUE, DISPATCH, SETTLE, CANCEL, PHASES };
static const char *const phase_names[PHASES] = {"enqueue", "dispatch", "settle", "cancel"};
static const uint32_t sizes[SIZES] = {10, 1000, 100000};

struct bench {
    struct sl_ticket *arena;
    char *chill; /* what the caches are filled with; NULL: they are left alone */
    uint64_t warmth;
    uint32_t free[ARENA]; /* a ring of the tickets not in use, the longest unused first */
    uint32_t taken, given;
    uint32_t waiting[ARENA], place[ARENA]; /* those that wait, in any order, and where there */
    uint32_t count;
    struct sl_ticket *chosen[WARM_SIZE];
    struct sl_queue *queue;
    struct sl_line *line;
    uint64_t now, wall, seed;
};

static uint64_t next_random(struct bench *b) {
    b->seed = b->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return b->seed >> 33;
}

static struct sl_ticket *take(struct bench *b) {
    struct sl_ticket *ticket = &b->arena[b->free[b->taken++ % ARENA]];
    sl_ticket_init(ticket);
    return ticket;
}

static void give(struct bench *b, const struct sl_ticket *ticket) {
    b->free[b->given++ % ARENA] = (uint32_t)(ticket - b->arena);
}

static void note_waiting(struct bench *b, const struct sl_ticket *ticket) {
    uint32_t number = (uint32_t)(ticket - b->arena);
    b->place[number] = b->count;
    b->waiting[b->count++] = number;
}

static void note_gone(struct bench *b, const struct sl_ticket *ticket) {
    uint32_t place = b->place[ticket - b->arena], last = b->waiting[--b->count];
    b->waiting[place] = last;
    b->place[last] = place;
}

static void submit(struct bench *b, struct sl_ticket *ticket) {
    uint64_t dice = next_random(b);
    struct sl_refusal why;
    const struct sl_demand demand = {
        .tenant = dice % TENANTS,
        .priority = (enum sl_class)((dice >> 12) % SL_CLASS_COUNT),
        .tokens = 100 + (dice >> 16) % 8000,
        .bytes = 1000,
        .deadline = b->now + (60 + dice % 540) * SL_NS_PER_S,
        .fallback_at = SL_NEVER,
    };
    if (sl_queue_submit(b->queue, b->line, ticket, &demand, b->now, b->wall, &why) < 0)
        abort();
}

static uint64_t begin(struct bench *b) {
    for (size_t i = 0; b->chill && i < CHILL_BYTES; i += 64)
        b->warmth += (uint64_t)b->chill[i]++;
    return sl_clock_monotonic();
}

static void enqueue(struct bench *b, uint32_t size, uint64_t *spent) {
    for (uint32_t i = 0; i < size; i++)
        b->chosen[i] = take(b);
    uint64_t since = begin(b);
    for (uint32_t i = 0; i < size; i++)
        submit(b, b->chosen[i]);
    *spent = sl_clock_monotonic() - since;
    for (uint32_t i = 0; i < size; i++)
        note_waiting(b, b->chosen[i]);
}

static void dispatch(struct bench *b, uint32_t size, uint64_t *spent) {
    uint64_t since = begin(b);
    for (uint32_t i = 0; i < size; i++)
        if (!(b->chosen[i] = sl_queue_next(b->queue, b->now, b->wall)))
            abort();
    *spent = sl_clock_monotonic() - since;
    for (uint32_t i = 0; i < size; i++)
        note_gone(b, b->chosen[i]);
}

static void settle(struct bench *b, uint32_t size, uint64_t *spent) {
    const struct sl_outcome done = {.ending = SL_ENDING_OK, .tokens = 1000};
    uint64_t since = begin(b);
    for (uint32_t i = 0; i < size; i++)
        sl_queue_settle(b->queue, b->chosen[i], &done, b->now, b->wall);
    *spent = sl_clock_monotonic() - since;
    for (uint32_t i = 0; i < size; i++)
        give(b, b->chosen[i]);
}

/* Any of those that wait. */
static void cancel(struct bench *b, uint32_t size, uint64_t *spent) {
    for (uint32_t i = 0; i < size; i++) {
        b->chosen[i] = &b->arena[b->waiting[next_random(b) % b->count]];
        note_gone(b, b->chosen[i]);
    }
    uint64_t since = begin(b);
    for (uint32_t i = 0; i < size; i++)
        sl_queue_cancel(b->queue, b->chosen[i]);
    *spent = sl_clock_monotonic() - since;
    for (uint32_t i = 0; i < size; i++)
        give(b, b->chosen[i]);
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The median of all batches, each on top of what is queued. */
static void measure(struct bench *b, uint32_t queued, uint32_t batches, uint32_t size,
                    double ns[PHASES]) {
    static uint64_t spent[PHASES][WARM_BATCHES];
    char *chill = b->chill;
    uint64_t not_counted;
    b->chill = NULL;
    while (b->count < queued)
        enqueue(b, queued < size ? queued : size, &not_counted);
    b->chill = chill;
    for (uint32_t i = 0; i < batches; i++) {
        b->now += 1000 * size;
        enqueue(b, size, &spent[ENQUEUE][i]);
        dispatch(b, size, &spent[DISPATCH][i]);
        settle(b, size, &spent[SETTLE][i]);
        enqueue(b, size, &not_counted);
        cancel(b, size, &spent[CANCEL][i]);
    }
    b->chill = NULL;
    while (b->count) {
        uint32_t some = b->count < size ? b->count : size;
        dispatch(b, some, &not_counted);
        settle(b, some, &not_counted);
    }
    b->chill = chill;
    for (int phase = 0; phase < PHASES; phase++) {
        qsort(spent[phase], batches, sizeof(uint64_t), by_value);
        ns[phase] = (double)spent[phase][batches / 2] / size;
    }
}

static double spread(double ns[SIZES][PHASES], int phase) {
    double low = ns[0][phase], high = ns[0][phase];
    for (int i = 1; i < SIZES; i++) {
        low = ns[i][phase] < low ? ns[i][phase] : low;
        high = ns[i][phase] > high ? ns[i][phase] : high;
    }
    return high / low;
}

static void print(const char *name, double ns[SIZES][PHASES]) {
    printf("%-8s queued", name);
    for (int phase = 0; phase < PHASES; phase++)
        printf("%10s", phase_names[phase]);
    printf("   ns each\n");
    for (int i = 0; i < SIZES; i++) {
        printf("%15u", sizes[i]);
        for (int phase = 0; phase < PHASES; phase++)
            printf("%10.0f", ns[i][phase]);
        printf("\n");
    }
    printf("%15s", "largest/least");
    for (int phase = 0; phase < PHASES; phase++)
        printf("%10.2f", spread(ns, phase));
    printf("\n\n");
}

static void shuffle(struct bench *b) {
    for (uint32_t i = 0; i < ARENA; i++) {
        b->free[i] = i;
        sl_ticket_init(&b->arena[i]); /* its page is there */
    }
    for (uint32_t i = ARENA - 1; i > 0; i--) {
        uint32_t j = (uint32_t)(next_random(b) % (i + 1)), kept = b->free[i];
        b->free[i] = b->free[j];
        b->free[j] = kept;
    }
}

static struct sl_pool *open_all(struct bench *b) {
    const struct sl_queue_settings settings = {.max_in_flight = UINT32_MAX,
                                               .max_requests = UINT32_MAX,
                                               .max_bytes = UINT64_MAX,
                                               .max_wait_ns = 600 * SL_NS_PER_S};
    struct sl_pool_settings limits;
    sl_pool_settings_default(&limits);
    limits.configured = (struct sl_limits){.rpm = 1000000000, .tpm = UINT64_C(1) << 40};
    limits.window = SL_WINDOW_BUCKET;
    struct sl_pool *pool = sl_pool_new((struct sl_slice){"bench", 5}, &limits, 1, b->now, b->wall);
    const struct sl_route route = {.pool = pool, .weight = 1};
    b->arena = calloc(ARENA, sizeof(struct sl_ticket));
    b->queue = sl_queue_new(&settings);
    if (!pool || !b->arena || !b->queue)
        abort();
    b->line = sl_line_new(b->queue, (struct sl_slice){"bench", 5}, &route, 1);
    if (!b->line)
        abort();
    return pool;
}

int main(void) {
    static struct bench b = {.now = 1000 * SL_NS_PER_S, .wall = UINT64_C(1700000000000), .seed = 1};
    struct sl_pool *pool = open_all(&b);
    double warm[SIZES][PHASES], cold[SIZES][PHASES];
    shuffle(&b);
    for (int i = 0; i < SIZES; i++)
        measure(&b, sizes[i], WARM_BATCHES, sizes[i] < WARM_SIZE ? sizes[i] : WARM_SIZE, warm[i]);
    char *chill = b.chill = calloc(CHILL_BYTES, 1);
    if (!chill)
        abort();
    for (int i = 0; i < SIZES; i++)
        measure(&b, sizes[i], COLD_BATCHES, COLD_SIZE, cold[i]);
    printf("%d tenants in 3 classes, one line, one pool\n\n", TENANTS);
    print("cold", cold);
    print("warm", warm);
    bool flat = true;
    for (int phase = 0; phase < PHASES; phase++)
        flat = flat && spread(cold, phase) <= 2;
    printf("cold caches, 10 to 100,000 queued: %s\n",
           flat ? "flat (within 2 ×)" : "NOT within 2 ×");
    sl_line_free(b.line);
    sl_queue_free(b.queue);
    sl_pool_free(pool);
    free(b.arena);
    free(chill);
    return flat ? 0 : 1;
}
