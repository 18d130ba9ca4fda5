/*
 * One request and its answer, in three parts that data passes one way:
 *
 *   exchange.c  reads     head and body, who asks, what fault is asked for
 *   serve.c     decides   the operation's answer (or refusal), its quota and its wait
 *   deliver.c   sends     the head when the wait is over, then bytes as the client takes them
 *
 *   READING ──▶ WAITING ──▶ SENDING ──▶ (closed by the front)
 *      │           └──────────┴──▶ STALLED   a fault holds it until the client leaves
 *      └─▶ a refusal goes straight to SENDING
 */
#ifndef SIM_EXCHANGE_H
#define SIM_EXCHANGE_H

#include "sim/auth.h"
#include "sim/bodies.h"
#include "sim/faults.h"
#include "sim/jobs.h"
#include "sim/prefix.h"
#include "sim/quota.h"
#include "sim/scan.h"
#include "sim/stats.h"
#include "sluice/base/chain.h"
#include "sluice/base/rand.h"

struct sl_sim {
    struct sl_loop *loop;
    struct sl_sim_settings settings;
    struct sl_front *front;
    const char *address;
    struct sl_budget bodies; /* of all requests under way */
    struct sl_sim_quotas *quotas;
    struct sl_sim_faults faults;
    struct sl_sim_stats stats;
    struct sl_sim_jobs jobs;
    struct sl_sim_prefixes prefixes;
    struct sl_sigv4_key key;
};

enum sl_sim_state { SL_SIM_READING, SL_SIM_WAITING, SL_SIM_SENDING, SL_SIM_STALLED };

/* What serve makes and deliver sends. */
struct sl_sim_answer {
    int status;
    struct sl_slice content_type;
    struct sl_slice error_type;
    bool token_headers; /* InvokeModel's x-amzn-bedrock-* counts */
    uint64_t wait;      /* ns before the head */

    /* Streams: */
    const struct sl_sim_shape *shape; /* NULL: the body is whole, in out */
    struct sl_sim_walk walk;
    struct sl_sim_emitter emitter;
    uint64_t head_at;

    struct sl_sim_out out; /* bytes made and not yet taken, from `taken` on */
    size_t taken;
    bool complete; /* out holds the last of it */
    bool broken;   /* the midway fault has struck */
};

struct sl_sim_exchange {
    struct sl_sim *sim;
    struct sl_stream *stream;
    struct sl_request_head head; /* slices are the front's, valid until on_close */
    struct sl_arena arena;
    char request_id[SL_UUID_SIZE];
    uint64_t began; /* monotonic */
    int64_t wall_ms;
    enum sl_sim_state state;
    struct sl_timer timer;

    struct sl_sim_route route;
    struct sl_sim_auth auth;
    struct sl_sim_refusal no; /* no.kind set: refused */
    int http_status;          /* of a refusal by HTTP's own rules, instead of its kind's; or 0 */
    struct sl_sim_fault fault;

    struct sl_chain body;
    struct sl_sha256 hash;
    struct sl_sim_scan scan;
    struct sl_chain_cursor scanned;
    int scan_error;

    struct sl_sim_target target;
    struct sl_sim_plan plan;
    struct sl_sim_reply reply;
    struct sl_sim_reservation reservation;
    bool counted; /* in stats.in_flight, until settled */
    struct sl_sim_answer answer;
};

/* exchange.c: what the front calls. */
extern const struct sl_front_handler sl_sim_handler;
/* Ends a metered call's account: quota by actual usage, counters. Once; later calls do nothing. */
void sl_sim_exchange_settle(struct sl_sim_exchange *x);

/*
 * serve.c: makes x->answer for an authenticated request whose body is in. 0, SL_E_DENIED with
 * x->no filled, or SL_E_NOMEM and the like.
 */
SL_NODISCARD int sl_sim_serve(struct sl_sim_exchange *x);

/* deliver.c */
void sl_sim_deliver(struct sl_sim_exchange *x);         /* x->answer, after its wait */
void sl_sim_deliver_refusal(struct sl_sim_exchange *x); /* x->no, at once */
void sl_sim_deliver_fire(void *exchange);               /* the timer's callback */
size_t sl_sim_deliver_peek(void *exchange, struct sl_slice *out, size_t max, bool *end);
void sl_sim_deliver_advance(void *exchange, size_t n);

#endif
