/*
 * Flow: exchanges (a client's request and its response) and flights (units of upstream work), which
 * meet in answers and know nothing of each other.
 *
 *   front ──▶ exchange ──call──▶ flight ──▶ queue ──▶ pool ──▶ target
 *               ▲                  │
 *               └──── reader ◀── answer ◀── cache
 *
 * Callbacks record what happened and mark the object ready; the turn hook runs steps in a fixed
 * order: flights, exchanges, admission, resumption of paused bodies. What ended is freed by the
 * reaper, last.
 */
#ifndef SLUICE_FLOW_FLOW_H
#define SLUICE_FLOW_FLOW_H

#include "sluice/answer/cache.h"
#include "sluice/core/client.h"
#include "sluice/core/model.h"
#include "sluice/dialect/dialect.h"
#include "sluice/front/front.h"
#include "sluice/keys/keys.h"
#include "sluice/meter/metrics.h"
#include "sluice/sched/queue.h"
#include "sluice/upstream/target.h"

/* What became of one exchange, for the ledger. Slices live during the call. No prompt, no secret.
 */
struct sl_flow_record {
    const struct sl_client *client;
    const char *id;
    struct sl_slice model, operation, target, cache;
    int status;
    struct sl_usage usage;
    int64_t cost, saved; /* nano-dollars; negative: unknown */
    uint64_t duration_ns, queue_ns;
    uint32_t attempts;
    bool estimated;
};

/* Questions that the configuration answers; any may be NULL. */
struct sl_flow_policy {
    /* Limits of one pool: hard ones into configured, defaults to learn from into initial. */
    void (*limits)(void *ctx, const char *target, const char *region, struct sl_slice model,
                   struct sl_limits *configured, struct sl_limits *initial);
    /* The i-th model to fall back to from `model`; empty: there is none. */
    struct sl_slice (*fallback)(void *ctx, struct sl_slice model, size_t i);
    enum sl_cache_when (*cache_when)(void *ctx, struct sl_slice model);
    /* Whether to place prompt-caching markers in calls of this model. */
    bool (*mark_prompts)(void *ctx, struct sl_slice model);
    int64_t (*cost)(void *ctx, struct sl_slice model, const struct sl_usage *usage);
    void (*record)(void *ctx, const struct sl_flow_record *record);
    void *ctx;
};

struct sl_flow_settings {
    struct sl_queue_settings queue;
    struct sl_pool_settings pool; /* of every pool, but for its limits */
    struct sl_dialect_settings dialect;
    struct sl_flow_policy policy;
    struct sl_cache_settings cache;
    uint64_t cache_ttl_ms;
    bool cache_global;          /* answers are shared between tenants */
    bool cache_paced;           /* streamed replays keep the pace they were recorded at */
    uint32_t max_attempts;      /* of a call that fails; throttles are not counted */
    enum sl_class usual_class;  /* of requests that come without a key and say none */
    uint64_t fallback_after_ns; /* wait for quota before another model is tried */
    bool learned_max_tokens;    /* set max_tokens where the client did not, from what was seen */
    uint64_t interim_ns;        /* between signs of life to waiting clients; 0: none */
    size_t memory_max;          /* bytes of all bodies and answers */
    uint64_t body_wait_ns;      /* how long a body may wait for memory before it is refused */
    uint64_t linger_ns;         /* how long a dispatched flight waits for its client to come back */
    struct sl_keys *keys;       /* NULL: auth is none, every client is known */
    struct sl_verify_settings verify;
    bool guard_hosts; /* refuse a Host that a web page could have chosen, and foreign Origins */
    struct sl_slice hosts[16]; /* further names to accept */
    size_t host_count;
    bool access_log;
};

struct sl_flow;

/* Settings are copied; what they point at must outlive the flow, or the next _configure. */
SL_NODISCARD struct sl_flow *sl_flow_new(struct sl_loop *loop,
                                         const struct sl_flow_settings *settings,
                                         struct sl_metrics *metrics);
/* New settings for what comes; what runs goes on. Limits are asked for again. */
void sl_flow_configure(struct sl_flow *flow, const struct sl_flow_settings *settings);

/* One place where calls can go. */
struct sl_flow_target {
    struct sl_target *target; /* taken over */
    uint32_t weight, priority;
    /* Geographies whose profiles it calls in place of the client's ("us.", "global."); none: as
     * asked, or its own region's where several targets serve. Copied. */
    struct sl_slice profiles[4];
    size_t profile_count;
};
/* Where calls go from now on: 1…16 targets. Former ones are freed after their last flight. What
 * waits is routed anew; quota state stays by target name, region and model. SL_E_NOMEM: nothing has
 * changed, the targets stay the caller's. */
SL_NODISCARD int sl_flow_set_targets(struct sl_flow *flow, const struct sl_flow_target *targets,
                                     size_t count);
/* To give to sl_front_new, with the flow as `server`. */
const struct sl_front_handler *sl_flow_front_handler(void);
/* From now on requests are refused with 503 and Connection: close; what runs goes on. */
void sl_flow_drain(struct sl_flow *flow);
/* No exchange is under way and no call has a reader. */
bool sl_flow_is_idle(const struct sl_flow *flow);
/* The fronts are freed before; cancels what is left. */
void sl_flow_free(struct sl_flow *flow);
/* Sets the gauges of the flow. */
void sl_flow_measure(const struct sl_flow *flow, struct sl_metrics *metrics);
/* For admin pages and snapshots. */
struct sl_cache *sl_flow_cache(struct sl_flow *flow);
struct sl_queue *sl_flow_queue(struct sl_flow *flow);
/* Each pool; stops when visit returns false. */
void sl_flow_look(struct sl_flow *flow, bool (*visit)(void *ctx, const struct sl_pool_view *view),
                  void *ctx);
/* Other limits for one pool until the next reload. False: there is no such pool. */
bool sl_flow_set_limits(struct sl_flow *flow, struct sl_slice pool, const struct sl_limits *limits);
/* Another weight for a target until the next reload. False: there is no such target. */
bool sl_flow_set_weight(struct sl_flow *flow, struct sl_slice target, uint32_t weight);
/* What a restart must not forget: quota use, learned limits, estimates. Lines of text. */
SL_NODISCARD int sl_flow_save(struct sl_flow *flow, struct sl_buf *out);
/* Before the first request; lines for pools that come later are kept until they do. */
SL_NODISCARD int sl_flow_restore(struct sl_flow *flow, struct sl_slice text);

/*
 * Host and Origin of a request that needs no key: true when no web page can have made it. An IP
 * literal, "localhost" or a configured name, with any port; an Origin only of such a host.
 */
bool sl_guard_allows(const struct sl_request_head *head, const struct sl_slice *hosts,
                     size_t count);

#endif
