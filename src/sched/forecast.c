/*
 * How things stand and will stand: the forecast of a wait, headroom, the view for people. Nothing
 * here decides whether a call may start.
 *
 * A forecast differs from a check in that others go first, and that calls give back what they do
 * not use: what runs and waits ahead is expected to use the share that calls used lately. It is the
 * longest of three waits: until the window has had room for all of that, until the reservations
 * ahead have found places beside one another, and until there are places to run in.
 */
#include "sched/number.h"
#include "sched/pool_parts.h"

#define PPM 1000000

static uint64_t shared(const struct sl_pool *pool, uint64_t tokens) {
    return sl_scale(tokens, pool->share, SL_SHARE_ONE);
}

/* Until the meter has had room for `need` more; `spare`: will be given back soon. */
static uint64_t window_wait(const struct sl_pool *pool, enum sl_meter meter, uint64_t need,
                            uint64_t spare, uint64_t limit, uint64_t now) {
    if (!sl_pool_uses_trailing(pool)) {
        uint64_t used = sl_sub_sat(sl_bucket_used(&pool->buckets[meter], limit, now), spare);
        uint64_t over = sl_sub_sat(sl_add_sat(used, need), limit);
        return sl_scale(over, pool->settings.window_ns, limit);
    }
    uint64_t sum = sl_trailing_sum(&pool->trailing, meter, now);
    uint64_t over = sl_sub_sat(sl_add_sat(sl_sub_sat(sum, spare), need), limit);
    if (!over)
        return 0;
    /* The window frees its limit once a span; what is left over, as the ring's oldest expire. */
    uint64_t rounds = (over - 1) / limit;
    uint64_t rest = over - rounds * limit;
    return sl_add_sat(sl_scale(rounds, sl_pool_span(pool), 1),
                      sl_trailing_wait(&pool->trailing, meter, sl_sub_sat(sum, rest), now));
}

/* Places free up at the rate at which calls of the mean length leave `all` of them. */
static uint64_t places_wait(const struct sl_pool *pool, uint64_t wanted, uint64_t all) {
    return all ? sl_scale(sl_sub_sat(wanted, all), pool->duration_ns, all) : 0;
}

uint64_t sl_pool_forecast(const struct sl_pool *pool, uint64_t ahead_tokens,
                          uint64_t ahead_requests, uint64_t tokens, uint64_t now, uint64_t wall) {
    now = sl_pool_time(pool, now);
    tokens = sl_min(tokens, SL_POOL_TOKENS_MAX);
    struct sl_pool_verdict health = sl_pool_check_health(pool, now, wall);
    uint64_t wait = health.wait_ns == SL_NEVER ? 0 : health.wait_ns;

    uint64_t rpm = sl_pool_limit(pool, SL_LIMITED_REQUESTS);
    if (rpm)
        wait = sl_max(
            wait, window_wait(pool, SL_METER_REQUESTS, sl_add_sat(ahead_requests, 1), 0, rpm, now));
    uint64_t tpm = sl_pool_limit(pool, SL_LIMITED_TOKENS);
    if (tpm) {
        uint64_t need = sl_add_sat(shared(pool, ahead_tokens), sl_min(tokens, tpm));
        uint64_t running = pool->running_tokens;
        uint64_t spare = sl_sub_sat(running, shared(pool, running));
        wait = sl_max(wait, window_wait(pool, SL_METER_TOKENS, need, spare, tpm, now));
        uint64_t wanted = sl_add_sat(sl_add_sat(running, ahead_tokens), sl_min(tokens, tpm));
        wait = sl_max(wait, places_wait(pool, wanted, tpm));
    }
    uint64_t tpd = pool->settings.configured.tpd;
    uint64_t day = sl_add_sat(shared(pool, ahead_tokens), tokens);
    wait = sl_max(wait, sl_day_wait(&pool->day, day, tpd, now, wall));
    uint64_t in_flight = sl_pool_limit(pool, SL_LIMITED_RUNNING);
    uint64_t runners = sl_add_sat(sl_add_sat(pool->running, ahead_requests), 1);
    return sl_max(wait, places_wait(pool, runners, in_flight));
}

static uint64_t used_of(const struct sl_pool *pool, enum sl_meter meter, uint64_t now) {
    if (sl_pool_uses_trailing(pool))
        return sl_trailing_sum(&pool->trailing, meter, now);
    uint64_t limit = sl_pool_limit(pool, (enum sl_limited)meter);
    return limit ? sl_bucket_used(&pool->buckets[meter], limit, now)
                 : sl_trailing_sum(&pool->trailing, meter, now);
}

/* What would be left of a limit, in millionths of it. */
static uint32_t left_of(uint64_t limit, uint64_t used, uint64_t n) {
    uint64_t left = sl_sub_sat(limit, sl_add_sat(used, n));
    return limit ? (uint32_t)sl_scale(left, PPM, limit) : PPM;
}

uint32_t sl_pool_headroom(const struct sl_pool *pool, uint64_t tokens, uint64_t now,
                          uint64_t wall) {
    now = sl_pool_time(pool, now);
    if (sl_pool_check_health(pool, now, wall).wait_ns)
        return 0;
    const uint32_t left[] = {
        left_of(sl_pool_limit(pool, SL_LIMITED_REQUESTS), used_of(pool, SL_METER_REQUESTS, now), 1),
        left_of(sl_pool_limit(pool, SL_LIMITED_TOKENS), used_of(pool, SL_METER_TOKENS, now),
                tokens),
        left_of(pool->settings.configured.tpd, sl_day_used(&pool->day, now, wall), tokens),
        left_of(sl_pool_limit(pool, SL_LIMITED_RUNNING), pool->running, 1),
    };
    uint32_t least = PPM;
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        least = left[i] < least ? left[i] : least;
    return least;
}

static void look_at_gates(const struct sl_pool *pool, struct sl_pool_view *view, uint64_t now,
                          uint64_t wall) {
    const struct {
        const char *name;
        uint64_t wait;
    } gates[] = {
        {"day", sl_day_park_wait(&pool->day, now, wall)},
        {"breaker", sl_gate_wait(&pool->breaker.gate, now)},
        {sl_gate_state(&pool->gate, now) == SL_GATE_PROBING ? "probing" : "closed",
         sl_gate_wait(&pool->gate, now)},
    };
    view->gate = "open";
    view->gate_opens_ns = 0;
    for (size_t i = 0; i < sizeof gates / sizeof gates[0]; i++) {
        if (gates[i].wait > view->gate_opens_ns) {
            view->gate = gates[i].name;
            view->gate_opens_ns = gates[i].wait;
        }
    }
}

void sl_pool_look(const struct sl_pool *pool, struct sl_pool_view *view, uint64_t now,
                  uint64_t wall) {
    now = sl_pool_time(pool, now);
    *view = (struct sl_pool_view){
        .id = sl_pool_id(pool),
        .limits = {.rpm = sl_pool_limit(pool, SL_LIMITED_REQUESTS),
                   .tpm = sl_pool_limit(pool, SL_LIMITED_TOKENS),
                   .tpd = pool->settings.configured.tpd,
                   .in_flight =
                       (uint32_t)sl_min(sl_pool_limit(pool, SL_LIMITED_RUNNING), UINT32_MAX)},
        .configured = pool->settings.configured,
        .used_requests = used_of(pool, SL_METER_REQUESTS, now),
        .used_tokens = used_of(pool, SL_METER_TOKENS, now),
        .used_day = sl_day_used(&pool->day, now, wall),
        .running = pool->running,
        .window = sl_pool_uses_trailing(pool) ? "trailing" : "bucket",
        .throttles = pool->throttles,
        .failures = pool->failures,
        .calls = pool->calls,
        .retries = pool->retries,
    };
    for (int i = 0; i < SL_LIMITED_COUNT; i++)
        view->learned |= pool->learners[i].refused;
    look_at_gates(pool, view, now, wall);
}
