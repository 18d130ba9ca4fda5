/*
 * A pool is one of Bedrock's quotas as this gateway sees it: one account and region, one model or
 * group of inference profiles (all operations draw on the same). It knows what may be sent now, and
 * learns from refusals. Pure: time comes as an argument (`now`: monotonic, ns; `wall`: ms since
 * 1970, for the day's quota by wall clock), randomness from a seed, nothing is called back, nothing
 * allocated after _new.
 *
 *   check ──▶ reserve(tokens) ──▶ [running] ──▶ settle(actual) | cancel
 *                                          └──▶ throttled(kind) | failed(how)
 *
 * At the start Bedrock reserves input + max_tokens; at the end it corrects to what was used. Limits
 * are requests a minute, tokens a minute, tokens a day, calls at once; 0 is unknown or none. A
 * limit is `configured` (never exceeded, never raised by learning) or learned from throttles
 * (multiplicative decrease, CUBIC back to the last good rate and slowly beyond).
 *
 * Windows: BUCKET refills continuously, capacity = limit. FIXED is a window of 60 s of unknown
 * phase: never more than the limit in any trailing 60 s (and a guard for network jitter). AUTO
 * begins as FIXED and opens a bucket's burst only on evidence; a refusal takes it back.
 *
 * The gate: a throttle closes it for a backoff with full jitter (base, doubling to a cap, or what
 * upstream asked for when longer); then one probe may pass; its success opens it. The breaker does
 * the same for 5xx, connect and timeout failures once they are too many. Daily exhaustion closes
 * until the reset (00:00 UTC, or what was learned). Retries are bounded to a share of traffic.
 */
#ifndef SLUICE_SCHED_POOL_H
#define SLUICE_SCHED_POOL_H

#include "sluice/base/buf.h"
#include "sluice/base/clock.h"
#include "sluice/base/error.h"
#include "sluice/base/slice.h"

enum sl_window { SL_WINDOW_AUTO, SL_WINDOW_BUCKET, SL_WINDOW_FIXED };

/* 0: unknown or none. */
struct sl_limits {
    uint64_t rpm, tpm, tpd;
    uint32_t in_flight;
};

/* What a refusal, or a wait, is about. */
enum sl_scarcity {
    SL_SCARCE_NOTHING,
    SL_SCARCE_REQUESTS,
    SL_SCARCE_TOKENS,
    SL_SCARCE_DAY,
    SL_SCARCE_CONNECTIONS, /* "Too many connections", in-flight limit */
    SL_SCARCE_HEALTH,      /* the breaker is open, or the gate closed after a refusal of no kind */
    SL_SCARCE_SHARE,       /* the tenant's own rpm or tpm */
    SL_SCARCE_CAPACITY,    /* the gateway's own queue */
};
/* "requests", "tokens", "day", "connections", "health", "key", "capacity"; "" for NOTHING. */
const char *sl_scarcity_name(enum sl_scarcity kind);
/* From Bedrock's throttle message; HEALTH when it names no kind. */
enum sl_scarcity sl_scarcity_of_message(struct sl_slice message);

struct sl_pool_settings {
    struct sl_limits configured; /* by the operator or Service Quotas: hard caps */
    struct sl_limits initial;    /* defaults to begin learning from where nothing is configured */
    enum sl_window window;
    uint64_t window_ns;       /* 60 s; tests and benches against shortened upstreams set less */
    uint64_t backoff_ns;      /* first, 1 s */
    uint64_t backoff_max_ns;  /* 30 s */
    uint64_t guard_ns;        /* jitter between dispatch and upstream's accounting, 100 ms */
    uint32_t retry_percent;   /* retries as a share of calls, 20 */
    uint32_t breaker_percent; /* failed share of at least 10 calls in 10 s that opens it, 50 */
};
void sl_pool_settings_default(struct sl_pool_settings *settings);

struct sl_pool;

/* id names it for state files and metrics ("default/us-east-1/us.meta.llama3-3-…"); copied. */
SL_NODISCARD struct sl_pool *sl_pool_new(struct sl_slice id,
                                         const struct sl_pool_settings *settings, uint64_t seed,
                                         uint64_t now, uint64_t wall);
void sl_pool_free(struct sl_pool *pool); /* nothing may be reserved */
struct sl_slice sl_pool_id(const struct sl_pool *pool);
/* New settings; what is used and learned stays (within the new caps). */
void sl_pool_configure(struct sl_pool *pool, const struct sl_pool_settings *settings, uint64_t now);

/*
 * Whether a call of that many tokens may start now: 0, or the ns to wait (an estimate when learning
 * or a gate decides; SL_NEVER while only a running call's end can help, or until a day's end beyond
 * a day), and what is short. A reservation above the whole limit may start alone when the window is
 * empty and nothing runs.
 */
struct sl_pool_verdict {
    uint64_t wait_ns;
    enum sl_scarcity kind;
};
struct sl_pool_verdict sl_pool_check(const struct sl_pool *pool, uint64_t tokens, uint64_t now,
                                     uint64_t wall);
/* How long until `tokens` more than what `ahead` already waiting tokens and requests take could
 * start: for Retry-After and deadlines. 0 where nothing limits. */
uint64_t sl_pool_forecast(const struct sl_pool *pool, uint64_t ahead_tokens,
                          uint64_t ahead_requests, uint64_t tokens, uint64_t now, uint64_t wall);
/* Headroom in parts per million of the scarcest limit, for choosing among pools: 1000000 is empty.
 */
uint32_t sl_pool_headroom(const struct sl_pool *pool, uint64_t tokens, uint64_t now, uint64_t wall);
/* Larger than the whole per-minute limit: upstream will refuse it if the limit is right. */
bool sl_pool_exceeds(const struct sl_pool *pool, uint64_t tokens, uint64_t *limit);

/* Kept by the caller while the call runs. */
struct sl_reservation {
    uint64_t tokens;   /* as reserved */
    uint64_t at;       /* monotonic */
    uint64_t wall;     /* ns since 1970 */
    uint64_t returned; /* what ended calls had given back by then */
    bool open, probe;
};
/* Takes it; check must have said 0 just before. */
void sl_pool_reserve(struct sl_pool *pool, struct sl_reservation *r, uint64_t tokens, uint64_t now,
                     uint64_t wall);

/* How a reserved call ended; closes the reservation. */
enum sl_ending {
    SL_ENDING_OK,      /* answered: `tokens` as Bedrock finally counts them */
    SL_ENDING_REFUSED, /* by upstream for the call's own sake (4xx): counts as a request, no tokens
                        */
    SL_ENDING_THROTTLED, /* kind says of what; not counted by upstream */
    SL_ENDING_FAILED,    /* 5xx, timeout, broken connection: breaker; `tokens` may have been used */
    SL_ENDING_UNREACHED, /* never sent: no connection. Breaker; nothing used */
    SL_ENDING_CANCELED,  /* by us: `tokens` is an estimate of what was used */
};
struct sl_outcome {
    enum sl_ending ending;
    enum sl_scarcity kind;   /* with THROTTLED */
    uint64_t tokens;         /* as the quota finally counts them */
    uint64_t retry_after_ns; /* upstream's word; 0: none */
};
void sl_pool_settle(struct sl_pool *pool, struct sl_reservation *r,
                    const struct sl_outcome *outcome, uint64_t now, uint64_t wall);
/* Asks for one retry beyond the first attempt of a failed call (not of a throttled one, which the
 * gate paces); false when the pool's share is used up. */
bool sl_pool_may_retry(struct sl_pool *pool, uint64_t now);

/* For the admin pages and metrics. */
struct sl_pool_view {
    struct sl_slice id;
    struct sl_limits limits; /* in force: the lower of configured and learned */
    struct sl_limits configured;
    uint64_t used_requests, used_tokens,
        used_day; /* of the window or bucket, reservations included */
    uint32_t running;
    const char *gate;       /* "open", "closed", "probing", "breaker", "day" */
    uint64_t gate_opens_ns; /* from now; 0 when open */
    const char *window;     /* in force: "bucket", "trailing" */
    uint64_t throttles, failures, calls, retries;
    bool learned;
};
void sl_pool_look(const struct sl_pool *pool, struct sl_pool_view *view, uint64_t now,
                  uint64_t wall);

/*
 * One line of text with what a restart must not forget: window or bucket use, the day's count,
 * learned limits. Restoring is never a burst: what is missing or damaged counts as used. Wall clock
 * times, since monotonic ones do not survive. _restore: SL_E_INVALID leaves the pool as it was.
 */
SL_NODISCARD int sl_pool_save(const struct sl_pool *pool, struct sl_buf *out, uint64_t now,
                              uint64_t wall);
SL_NODISCARD int sl_pool_restore(struct sl_pool *pool, struct sl_slice line, uint64_t now,
                                 uint64_t wall);

#endif
