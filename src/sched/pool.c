/*
 * The pool: what may be sent now, what is under way, and what its end says. See pool_parts.h for
 * the parts.
 *
 * A check asks every part for its wait and returns the longest. All waits only shrink while nothing
 * happens, so a check after the wait says 0.
 */
#include "sluice/sched/pool.h"

#include <assert.h>

#include "sched/number.h"
#include "sched/pool_parts.h"
#include "sluice/base/mem.h"

#define MAGIC      0x506f6f6cu
#define LEAST_TPM  1000 /* a quota below is not believed: others' use explains it better */
#define WINDOW_MAX (UINT64_C(1) << 42)

static const enum sl_scarcity meter_kinds[SL_METERS] = {
    [SL_METER_REQUESTS] = SL_SCARCE_REQUESTS,
    [SL_METER_TOKENS] = SL_SCARCE_TOKENS,
};

void sl_pool_settings_default(struct sl_pool_settings *settings) {
    *settings = (struct sl_pool_settings){
        .window = SL_WINDOW_AUTO,
        .window_ns = 60 * SL_NS_PER_S,
        .backoff_ns = SL_NS_PER_S,
        .backoff_max_ns = 30 * SL_NS_PER_S,
        .guard_ns = 100 * SL_NS_PER_MS,
        .retry_percent = 20,
        .breaker_percent = 50,
    };
}

static void clamp_limits(struct sl_limits *limits) {
    limits->rpm = sl_min(limits->rpm, SL_POOL_LIMIT_MAX);
    limits->tpm = sl_min(limits->tpm, SL_POOL_LIMIT_MAX);
    limits->tpd = sl_min(limits->tpd, SL_POOL_LIMIT_MAX);
}

static void set_settings(struct sl_pool *pool, const struct sl_pool_settings *settings) {
    struct sl_pool_settings *s = &pool->settings;
    *s = *settings;
    clamp_limits(&s->configured);
    clamp_limits(&s->initial);
    s->window_ns = sl_min(sl_max(s->window_ns, 1), WINDOW_MAX);
    s->guard_ns = sl_min(s->guard_ns, s->window_ns);
}

static uint64_t limit_in(const struct sl_limits *limits, enum sl_limited which) {
    const uint64_t values[SL_LIMITED_COUNT] = {limits->rpm, limits->tpm, limits->in_flight};
    return values[which];
}

uint64_t sl_pool_configured(const struct sl_pool *pool, enum sl_limited which) {
    return limit_in(&pool->settings.configured, which);
}

uint64_t sl_pool_limit(const struct sl_pool *pool, enum sl_limited which) {
    uint64_t configured = sl_pool_configured(pool, which);
    uint64_t learned = sl_learner_limit(&pool->learners[which]);
    if (!configured || !learned)
        return configured | learned;
    return sl_min(configured, learned);
}

uint64_t sl_pool_span(const struct sl_pool *pool) {
    return pool->settings.window_ns + pool->settings.guard_ns;
}

bool sl_pool_uses_trailing(const struct sl_pool *pool) {
    switch (pool->settings.window) {
    case SL_WINDOW_BUCKET:
        return false;
    case SL_WINDOW_FIXED:
        return true;
    case SL_WINDOW_AUTO:
        break;
    }
    return pool->burst.state != SL_BURST_OPEN;
}

bool sl_pool_uses_bucket(const struct sl_pool *pool) {
    return pool->settings.window == SL_WINDOW_BUCKET ||
           (pool->settings.window == SL_WINDOW_AUTO && pool->burst.state != SL_BURST_TRAILING);
}

uint64_t sl_pool_time(const struct sl_pool *pool, uint64_t now) {
    return sl_max(now, pool->now);
}

static void tick(struct sl_pool *pool, uint64_t *now) {
    assert(pool->magic == MAGIC);
    *now = pool->now = sl_pool_time(pool, *now);
}

static void advance_buckets(struct sl_pool *pool, uint64_t now) {
    for (int m = 0; m < SL_METERS; m++)
        sl_bucket_advance(&pool->buckets[m], sl_pool_limit(pool, (enum sl_limited)m), now);
}

/* Without a configured limit it begins with the default, where it knows nothing better. */
static void begin_learning(struct sl_pool *pool) {
    for (int i = 0; i < SL_LIMITED_COUNT; i++) {
        enum sl_limited which = (enum sl_limited)i;
        struct sl_learner *learner = &pool->learners[i];
        if (learner->refused)
            continue;
        sl_learner_forget(learner);
        if (!sl_pool_configured(pool, which))
            sl_learner_begin(learner, limit_in(&pool->settings.initial, which),
                             pool->settings.window_ns);
    }
}

struct sl_pool *sl_pool_new(struct sl_slice id, const struct sl_pool_settings *settings,
                            uint64_t seed, uint64_t now, uint64_t wall) {
    struct sl_pool *pool = id.len <= UINT16_MAX ? sl_calloc(1, sizeof *pool + id.len) : NULL;
    if (!pool)
        return NULL;
    pool->magic = MAGIC;
    pool->now = pool->born = pool->reserved_at = now;
    set_settings(pool, settings);
    const struct sl_pool_settings *s = &pool->settings;
    sl_trailing_init(&pool->trailing, sl_pool_span(pool));
    for (int m = 0; m < SL_METERS; m++)
        sl_bucket_init(&pool->buckets[m], s->window_ns, s->guard_ns, now);
    sl_burst_init(&pool->burst);
    sl_learner_init(&pool->learners[SL_LIMITED_REQUESTS], 1);
    sl_learner_init(&pool->learners[SL_LIMITED_TOKENS], LEAST_TPM);
    sl_learner_init(&pool->learners[SL_LIMITED_RUNNING], 1);
    begin_learning(pool);
    sl_gate_init(&pool->gate, s->guard_ns, seed);
    sl_breaker_init(&pool->breaker, s->guard_ns, ~seed);
    sl_day_init(&pool->day, now, wall);
    sl_retry_init(&pool->retry, now);
    pool->share = SL_SHARE_ONE / 2;
    pool->id_len = id.len;
    if (id.len)
        memcpy(pool->id, id.ptr, id.len);
    return pool;
}

void sl_pool_free(struct sl_pool *pool) {
    if (!pool)
        return;
    assert(pool->magic == MAGIC && pool->running == 0);
    pool->magic = 0;
    sl_free(pool);
}

struct sl_slice sl_pool_id(const struct sl_pool *pool) {
    return sl_slice_of(pool->id, pool->id_len);
}

void sl_pool_configure(struct sl_pool *pool, const struct sl_pool_settings *settings,
                       uint64_t now) {
    tick(pool, &now);
    advance_buckets(pool, now);
    set_settings(pool, settings);
    sl_trailing_reshape(&pool->trailing, sl_pool_span(pool));
    for (int m = 0; m < SL_METERS; m++)
        sl_bucket_reshape(&pool->buckets[m], pool->settings.window_ns, pool->settings.guard_ns);
    pool->gate.guard_ns = pool->breaker.gate.guard_ns = pool->settings.guard_ns;
    begin_learning(pool);
}

/* Check. */

static void longer(struct sl_pool_verdict *verdict, uint64_t wait_ns, enum sl_scarcity kind) {
    if (wait_ns > verdict->wait_ns)
        *verdict = (struct sl_pool_verdict){wait_ns, kind};
}

static uint64_t meter_wait(const struct sl_pool *pool, enum sl_meter meter, uint64_t n,
                           uint64_t now) {
    uint64_t limit = sl_pool_limit(pool, (enum sl_limited)meter);
    if (!limit)
        return 0;
    if (n > limit && pool->running)
        return SL_NEVER; /* alone */
    uint64_t wait = 0;
    if (sl_pool_uses_trailing(pool)) {
        uint64_t room = n > limit ? 0 : limit - n + sl_burst_extra(&pool->burst, limit);
        wait = sl_trailing_wait(&pool->trailing, meter, room, now);
    }
    if (sl_pool_uses_bucket(pool))
        wait = sl_max(wait, sl_bucket_wait(&pool->buckets[meter], n, limit, now));
    return wait;
}

struct sl_pool_verdict sl_pool_check_health(const struct sl_pool *pool, uint64_t now,
                                            uint64_t wall) {
    struct sl_pool_verdict verdict = {0, SL_SCARCE_NOTHING};
    longer(&verdict, sl_day_park_wait(&pool->day, now, wall), SL_SCARCE_DAY);
    longer(&verdict, sl_gate_wait(&pool->gate, now), pool->gate_kind);
    longer(&verdict, sl_gate_wait(&pool->breaker.gate, now), SL_SCARCE_HEALTH);
    uint64_t in_flight = sl_pool_limit(pool, SL_LIMITED_RUNNING);
    if (in_flight && pool->running >= in_flight)
        longer(&verdict, SL_NEVER, SL_SCARCE_CONNECTIONS);
    return verdict;
}

struct sl_pool_verdict sl_pool_check(const struct sl_pool *pool, uint64_t tokens, uint64_t now,
                                     uint64_t wall) {
    now = sl_pool_time(pool, now);
    tokens = sl_min(tokens, SL_POOL_TOKENS_MAX);
    struct sl_pool_verdict verdict = sl_pool_check_health(pool, now, wall);
    if (verdict.wait_ns == SL_NEVER)
        return verdict;
    uint64_t tpd = pool->settings.configured.tpd;
    longer(&verdict, sl_day_wait(&pool->day, tokens, tpd, now, wall), SL_SCARCE_DAY);
    if (tpd && tokens > tpd && pool->running)
        longer(&verdict, SL_NEVER, SL_SCARCE_DAY);
    const uint64_t n[SL_METERS] = {1, tokens};
    for (int m = 0; m < SL_METERS; m++)
        longer(&verdict, meter_wait(pool, (enum sl_meter)m, n[m], now), meter_kinds[m]);
    return verdict;
}

bool sl_pool_exceeds(const struct sl_pool *pool, uint64_t tokens, uint64_t *limit) {
    uint64_t tpm = sl_pool_limit(pool, SL_LIMITED_TOKENS);
    if (!tpm || tokens <= tpm)
        return false;
    *limit = tpm;
    return true;
}

/* Reserve. */

/* A limit ages while it is what holds calls back: since the last call, after which another like it
 * (or an eighth of the limit) did not fit. One that has come back to what is configured is
 * forgotten. */
static void age_limit(struct sl_pool *pool, enum sl_limited which, uint64_t used, uint64_t n,
                      uint64_t passed) {
    struct sl_learner *learner = &pool->learners[which];
    if (learner->pressed)
        sl_learner_age(learner, passed);
    uint64_t limit = sl_learner_limit(learner);
    uint64_t configured = sl_pool_configured(pool, which);
    if (configured && limit >= configured)
        sl_learner_forget(learner);
    learner->pressed = learner->known && sl_add_sat(used, sl_max(n, limit / 8)) > limit;
}

static void watch_meters(struct sl_pool *pool, const uint64_t n[SL_METERS], uint64_t now) {
    uint64_t passed = sl_min(now - pool->reserved_at, pool->settings.window_ns);
    pool->reserved_at = now;
    for (int m = 0; m < SL_METERS; m++) {
        enum sl_limited which = (enum sl_limited)m;
        uint64_t sum = sl_trailing_sum(&pool->trailing, (enum sl_meter)m, now);
        uint64_t limit = sl_pool_limit(pool, which);
        if (limit && pool->settings.window == SL_WINDOW_AUTO)
            sl_burst_used(&pool->burst, sum, limit, sl_add_sat(sum, n[m]) > limit,
                          sl_pool_span(pool), now);
        age_limit(pool, which, sum, n[m], passed);
    }
    age_limit(pool, SL_LIMITED_RUNNING, pool->running, 1, passed);
}

void sl_pool_reserve(struct sl_pool *pool, struct sl_reservation *r, uint64_t tokens, uint64_t now,
                     uint64_t wall) {
    tick(pool, &now);
    assert(!r->open);
    const uint64_t n[SL_METERS] = {1, sl_min(tokens, SL_POOL_TOKENS_MAX)};
    *r = (struct sl_reservation){.tokens = n[SL_METER_TOKENS],
                                 .at = now,
                                 .wall = wall,
                                 .returned = pool->returned,
                                 .open = true};
    bool gate_probe = sl_gate_pass(&pool->gate, now);
    bool breaker_probe = sl_gate_pass(&pool->breaker.gate, now);
    r->probe = gate_probe || breaker_probe;
    sl_trailing_add(&pool->trailing, 1, r->tokens, now);
    for (int m = 0; m < SL_METERS; m++)
        sl_bucket_take(&pool->buckets[m], n[m], sl_pool_limit(pool, (enum sl_limited)m), now);
    sl_day_take(&pool->day, r->tokens, now, wall);
    pool->running++;
    pool->running_tokens += r->tokens;
    pool->calls++;
    sl_retry_earn(&pool->retry, pool->settings.retry_percent);
    watch_meters(pool, n, now);
}

bool sl_pool_may_retry(struct sl_pool *pool, uint64_t now) {
    tick(pool, &now);
    bool may = sl_retry_spend(&pool->retry, pool->settings.retry_percent, now);
    pool->retries += may;
    return may;
}
