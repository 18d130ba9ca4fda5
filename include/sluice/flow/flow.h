/*
 * Flow: exchanges (a client's request and its response) and flights (units of upstream work), which
 * meet in answers and know nothing of each other.
 *
 *   front ──▶ exchange ──call──▶ flight ──▶ sched ──▶ target
 *               ▲                  │
 *               └──── reader ◀── answer
 *
 * Callbacks record what happened and mark the object ready; the turn hook runs steps in a fixed
 * order: flights, exchanges, admission, resumption of paused bodies. What ended is freed by the
 * reaper, last.
 */
#ifndef SLUICE_FLOW_FLOW_H
#define SLUICE_FLOW_FLOW_H

#include "sluice/dialect/dialect.h"
#include "sluice/front/front.h"
#include "sluice/meter/metrics.h"
#include "sluice/sched/sched.h"
#include "sluice/upstream/target.h"

/*
 * Who a client is. Until it is known, its bodies are a stranger's: they share a tenth of
 * memory.max. Both calls answer SL_OK (known), SL_E_AGAIN (at_head only: known once the body is
 * in), or SL_E_DENIED with a failure and a sentence.
 */
struct sl_gate {
    int (*at_head)(void *ctx, const struct sl_request_head *head, enum sl_failure *failure,
                   struct sl_slice *message);
    int (*at_body)(void *ctx, const struct sl_request_head *head, const uint8_t body_sha256[32],
                   enum sl_failure *failure, struct sl_slice *message);
    void *ctx;
};

struct sl_flow_settings {
    struct sl_sched_settings sched;
    struct sl_dialect_settings dialect;
    size_t memory_max;          /* bytes of all bodies and answers */
    uint64_t body_wait_ns;      /* how long a body may wait for memory before it is refused */
    uint64_t linger_ns;         /* how long a dispatched flight waits for its client to come back */
    const struct sl_gate *gate; /* NULL: auth is none, every client is known */
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
/* New settings for what comes; what runs goes on. */
void sl_flow_configure(struct sl_flow *flow, const struct sl_flow_settings *settings);
/* Where calls go from now on. Takes over the target; the former one is freed after its last flight.
 */
SL_NODISCARD int sl_flow_set_target(struct sl_flow *flow, struct sl_target *target);
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

/*
 * Host and Origin of a request that needs no key: true when no web page can have made it. An IP
 * literal, "localhost" or a configured name, with any port; an Origin only of such a host.
 */
bool sl_guard_allows(const struct sl_request_head *head, const struct sl_slice *hosts,
                     size_t count);

#endif
