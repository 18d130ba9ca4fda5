/*
 * Inside a pool. pool.c decides, the parts know one thing each:
 *
 *   trailing, bucket, burst   what the window holds, by either model, and which one is believed
 *   learner                   the limits that refusals have shown
 *   gate, breaker, day, retry whether anything may be sent at all
 *
 * Every limit is read through sl_pool_limit. Limits change only inside reserve and settle, after
 * the buckets were brought up to now with the old one.
 */
#ifndef SCHED_POOL_PARTS_H
#define SCHED_POOL_PARTS_H

#include "sched/breaker.h"
#include "sched/bucket.h"
#include "sched/burst.h"
#include "sched/day.h"
#include "sched/gate.h"
#include "sched/learn.h"
#include "sched/retry.h"
#include "sched/trailing.h"
#include "sluice/sched/pool.h"

/* No call counts for more, so that sums stay far from the end of 64 bits. */
#define SL_POOL_TOKENS_MAX (UINT64_C(1) << 40)
#define SL_POOL_LIMIT_MAX  (UINT64_C(1) << 48)
#define SL_SHARE_ONE       (UINT64_C(1) << 16)

/* The limits that can be learned; the first two are meters. */
enum sl_limited {
    SL_LIMITED_REQUESTS = SL_METER_REQUESTS,
    SL_LIMITED_TOKENS = SL_METER_TOKENS,
    SL_LIMITED_RUNNING,
    SL_LIMITED_COUNT
};

struct sl_pool {
    uint32_t magic;
    struct sl_pool_settings settings;
    uint64_t now; /* the latest seen: time does not pass backwards */
    uint64_t born;
    struct sl_trailing trailing;
    struct sl_bucket buckets[SL_METERS];
    struct sl_burst burst;
    struct sl_learner learners[SL_LIMITED_COUNT];
    struct sl_gate gate;
    enum sl_scarcity gate_kind;
    struct sl_breaker breaker;
    struct sl_day day;
    struct sl_retry retry;
    uint32_t running;
    uint64_t running_tokens; /* reserved */
    uint64_t returned;       /* tokens that ended calls have given back, ever */
    uint64_t reserved_at;    /* the last reservation */
    /* Damped means, for forecasts: used of what was reserved, in 1/65536, and a call's length. */
    uint64_t share, duration_ns;
    uint64_t throttles, failures, calls, retries;
    size_t id_len;
    char id[];
};

/* In force: the lower of configured and learned; 0: none. */
uint64_t sl_pool_limit(const struct sl_pool *pool, enum sl_limited which);
uint64_t sl_pool_configured(const struct sl_pool *pool, enum sl_limited which);
/* Window and guard. */
uint64_t sl_pool_span(const struct sl_pool *pool);
/* The bucket decides about this window, alone or with the trailing sum. */
bool sl_pool_uses_bucket(const struct sl_pool *pool);
bool sl_pool_uses_trailing(const struct sl_pool *pool);
/* The later of now and what was seen before. */
uint64_t sl_pool_time(const struct sl_pool *pool, uint64_t now);
/* Waits for whatever is no meter: gate, breaker, parked day, calls at once. */
struct sl_pool_verdict sl_pool_check_health(const struct sl_pool *pool, uint64_t now,
                                            uint64_t wall);

#endif
