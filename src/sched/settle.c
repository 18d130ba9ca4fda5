/*
 * How a call ended, and what that says about the pool. First the account is put right: the ring
 * where the reservation stood, both buckets, the day. Then the news is heard: throttles by the
 * learner and the gate, failures by the breaker.
 *
 * What a refusal proves is that the trailing use, without the refused call but with what others
 * gave back while it was on its way, left no room for it.
 */
#include <assert.h>

#include "sched/number.h"
#include "sched/pool_parts.h"

/* What upstream counts in the end. */
struct final_use {
    uint64_t n[SL_METERS];
};

static struct final_use final_use(const struct sl_outcome *outcome) {
    uint64_t tokens = sl_min(outcome->tokens, SL_POOL_TOKENS_MAX);
    switch (outcome->ending) {
    case SL_ENDING_OK:
    case SL_ENDING_FAILED:
    case SL_ENDING_CANCELED:
        return (struct final_use){{1, tokens}};
    case SL_ENDING_REFUSED:
        return (struct final_use){{1, 0}};
    case SL_ENDING_THROTTLED:
    case SL_ENDING_UNREACHED:
        break;
    }
    return (struct final_use){{0, 0}};
}

static void correct_meter(struct sl_pool *pool, enum sl_meter meter, uint64_t reserved,
                          uint64_t used, uint64_t then, uint64_t now) {
    uint64_t limit = sl_pool_limit(pool, (enum sl_limited)meter);
    struct sl_bucket *bucket = &pool->buckets[meter];
    if (used <= reserved) {
        sl_trailing_correct(&pool->trailing, meter, then, reserved - used, now);
        sl_bucket_give(bucket, reserved - used, then, limit, now);
    } else {
        uint64_t more[SL_METERS] = {0};
        more[meter] = used - reserved; /* counts from now on: upstream may put it in this window */
        sl_trailing_add(&pool->trailing, more[SL_METER_REQUESTS], more[SL_METER_TOKENS], now);
        sl_bucket_take(bucket, used - reserved, limit, now);
    }
}

static void correct_account(struct sl_pool *pool, const struct sl_reservation *r,
                            const struct sl_outcome *outcome, uint64_t now, uint64_t wall) {
    struct final_use use = final_use(outcome);
    uint64_t used = use.n[SL_METER_TOKENS];
    correct_meter(pool, SL_METER_REQUESTS, 1, use.n[SL_METER_REQUESTS], r->at, now);
    correct_meter(pool, SL_METER_TOKENS, r->tokens, used, r->at, now);
    if (used <= r->tokens)
        sl_day_give(&pool->day, r->tokens - used, r->wall, now, wall);
    else
        sl_day_take(&pool->day, used - r->tokens, now, wall);
    if (outcome->ending != SL_ENDING_THROTTLED && outcome->ending != SL_ENDING_UNREACHED)
        pool->returned += sl_sub_sat(r->tokens, used);
}

static struct sl_backoff backoff_of(const struct sl_pool *pool, uint64_t asked_ns) {
    return (struct sl_backoff){pool->settings.backoff_ns, pool->settings.backoff_max_ns, asked_ns};
}

static bool limited_by(enum sl_scarcity kind, enum sl_limited *which) {
    switch (kind) {
    case SL_SCARCE_REQUESTS:
        *which = SL_LIMITED_REQUESTS;
        return true;
    case SL_SCARCE_TOKENS:
        *which = SL_LIMITED_TOKENS;
        return true;
    case SL_SCARCE_CONNECTIONS:
        *which = SL_LIMITED_RUNNING;
        return true;
    case SL_SCARCE_NOTHING:
    case SL_SCARCE_DAY:
    case SL_SCARCE_HEALTH:
    case SL_SCARCE_SHARE:
    case SL_SCARCE_CAPACITY:
        break;
    }
    return false;
}

/* False when the refusal says nothing about the limit. */
static bool gather_evidence(const struct sl_pool *pool, enum sl_limited which,
                            const struct sl_reservation *r, uint64_t now,
                            struct sl_evidence *evidence) {
    *evidence = (struct sl_evidence){.sent_at = r->at,
                                     .used = pool->running,
                                     .asked = 1,
                                     .in_force = sl_pool_limit(pool, which),
                                     .window = pool->settings.window_ns};
    if (which != SL_LIMITED_RUNNING)
        evidence->used = sl_trailing_sum(&pool->trailing, (enum sl_meter)which, now);
    if (which == SL_LIMITED_TOKENS) {
        evidence->asked = r->tokens;
        if (evidence->used)
            evidence->used += pool->returned - r->returned;
    }
    if (evidence->used)
        return !r->probe; /* a refused probe says only that it came too early */
    /* Nothing of ours explains it, unless the call alone is too large. What was used before we were
     * born is not known. */
    return evidence->asked > 1 && now - pool->born >= sl_pool_span(pool);
}

/* Refused beyond the limit, in trying whether the window is a bucket: says that it is not. In one
 * found to be a bucket, a limit that was learned may be what is wrong: it takes a second refusal
 * soon after the first to give the bucket up. True when that explains the refusal. */
static bool doubt_bucket(struct sl_pool *pool, enum sl_limited which,
                         const struct sl_evidence *evidence, uint64_t now) {
    const struct sl_learner *learner = &pool->learners[which];
    if (sl_gate_is_old(&pool->gate, evidence->sent_at))
        return false;
    bool trying = pool->burst.state == SL_BURST_TRYING;
    bool sure = sl_pool_configured(pool, which) ||
                (learner->refused && now - learner->at < 2 * pool->settings.window_ns);
    if (trying || sure)
        sl_burst_refused(&pool->burst, sl_pool_span(pool), now);
    return trying && evidence->used + evidence->asked > evidence->in_force;
}

static void learn(struct sl_pool *pool, enum sl_limited which, const struct sl_reservation *r,
                  uint64_t now) {
    struct sl_evidence evidence;
    bool tells = gather_evidence(pool, which, r, now, &evidence);
    if (which != SL_LIMITED_RUNNING && doubt_bucket(pool, which, &evidence, now))
        return;
    if (!tells)
        return;
    sl_learner_refused(&pool->learners[which], &evidence, now);
    if (which != SL_LIMITED_RUNNING)
        sl_bucket_exhaust(&pool->buckets[which], evidence.asked, sl_pool_limit(pool, which), now);
}

static void hear_throttle(struct sl_pool *pool, const struct sl_reservation *r,
                          const struct sl_outcome *outcome, uint64_t now, uint64_t wall) {
    pool->throttles++;
    sl_breaker_succeeded(&pool->breaker, r->at, now); /* it is there and answers */
    enum sl_limited which;
    if (limited_by(outcome->kind, &which))
        learn(pool, which, r, now);
    uint64_t asked_ns = outcome->retry_after_ns;
    if (outcome->kind == SL_SCARCE_DAY) {
        sl_day_refused(&pool->day, r->at, asked_ns, now, wall);
        asked_ns = 0; /* the gate only sees to it that one call goes first */
    }
    struct sl_backoff backoff = backoff_of(pool, asked_ns);
    if (sl_gate_refused(&pool->gate, r->at, &backoff, now))
        pool->gate_kind = outcome->kind == SL_SCARCE_NOTHING ? SL_SCARCE_HEALTH : outcome->kind;
}

static void hear_failure(struct sl_pool *pool, const struct sl_reservation *r,
                         const struct sl_outcome *outcome, uint64_t now) {
    pool->failures++;
    struct sl_backoff backoff = backoff_of(pool, outcome->retry_after_ns);
    sl_breaker_failed(&pool->breaker, r->at, pool->settings.breaker_percent, &backoff, now);
    sl_gate_probe_lost(&pool->gate, r->at);
}

static void hear_success(struct sl_pool *pool, const struct sl_reservation *r, uint64_t tokens,
                         uint64_t now) {
    sl_breaker_succeeded(&pool->breaker, r->at, now);
    sl_gate_accepted(&pool->gate, r->at);
    sl_day_accepted(&pool->day, r->at, r->wall);
    uint64_t took = now - r->at;
    pool->duration_ns =
        pool->duration_ns ? pool->duration_ns - pool->duration_ns / 16 + took / 16 : took;
    if (r->tokens) {
        uint64_t share = sl_min(sl_scale(tokens, SL_SHARE_ONE, r->tokens), 16 * SL_SHARE_ONE);
        pool->share = pool->share - pool->share / 16 + share / 16;
    }
}

void sl_pool_settle(struct sl_pool *pool, struct sl_reservation *r,
                    const struct sl_outcome *outcome, uint64_t now, uint64_t wall) {
    assert(r->open && pool->running);
    now = pool->now = sl_pool_time(pool, now);
    r->open = false;
    pool->running--;
    pool->running_tokens -= r->tokens;
    correct_account(pool, r, outcome, now, wall);
    switch (outcome->ending) {
    case SL_ENDING_OK:
        hear_success(pool, r, outcome->tokens, now);
        break;
    case SL_ENDING_THROTTLED:
        hear_throttle(pool, r, outcome, now, wall);
        break;
    case SL_ENDING_FAILED:
    case SL_ENDING_UNREACHED:
        hear_failure(pool, r, outcome, now);
        break;
    case SL_ENDING_REFUSED: /* perhaps before the quota was looked at */
        sl_breaker_succeeded(&pool->breaker, r->at, now);
        sl_gate_probe_lost(&pool->gate, r->at);
        break;
    case SL_ENDING_CANCELED:
        sl_gate_probe_lost(&pool->gate, r->at);
        sl_gate_probe_lost(&pool->breaker.gate, r->at);
        break;
    }
}
