/*
 * What exchange.c, flight.c and flow.c share. State is membership: each object is on the list of
 * its room in the flow (`exchanges`, `flights`) and, when something happened to it, on a ready
 * list.
 */
#ifndef SLUICE_SRC_FLOW_INTERNAL_H
#define SLUICE_SRC_FLOW_INTERNAL_H

#include "sluice/answer/answer.h"
#include "sluice/base/rand.h"
#include "sluice/base/table.h"
#include "sluice/dialect/follow.h"
#include "sluice/flow/flow.h"

/* Bytes of an answer that may wait for its fastest reader before upstream is paused. Two large
 * chunks: enough to keep a connection busy, little enough for thousands of streams. */
#define SL_ANSWER_WINDOW (128 * 1024)
/* A document is held until it is complete up to this size, so that a truncated one is never shown.
 */
#define SL_HOLD_MAX (1024 * 1024)
/* Strings of one request: its headers (limits.header_bytes, twice: as they came and as they go) and
 * ids. */
#define SL_EXCHANGE_ARENA_MAX (512 * 1024)

struct sl_target_ref {
    struct sl_target *target;
    uint32_t flights; /* that use it */
    bool retired;     /* a newer one has taken its place: freed with its last flight */
};

struct sl_flow {
    struct sl_loop *loop;
    struct sl_flow_settings settings;
    struct sl_metrics *metrics;
    struct sl_budget memory, bodies, strangers; /* each a part of the one before */
    struct sl_sched sched;
    struct sl_target_ref *target;
    struct sl_table rejoin; /* flights by rejoin_digest */
    struct sl_list exchanges, ready_exchanges, dead_exchanges;
    struct sl_list flights, ready_flights, dead_flights;
    struct sl_list paused; /* exchanges whose body waits for memory, in order */
    size_t memory_seen;    /* what was used when they were last looked at */
    struct sl_turn_hook turn, reap;
    struct sl_timer queue_timer;  /* the first deadline in the queue */
    struct sl_timer paused_timer; /* of the first paused body */
    struct sl_buf retired_seen;
    bool draining;
};

/*
 * A flight's life. FORMING belongs to one exchange; later it belongs to its readers.
 *
 *   FORMING ─▶ QUEUED ─▶ RUNNING ─▶ HOLDING ─▶ FLOWING ─▶ ENDED ─▶ DEAD
 *                 │         │          │          │                 ▲
 *                 └─────────┴──────────┴──────────┴──── no reader ──┘ (at once, or after lingering)
 */
enum sl_flight_state {
    SL_FLIGHT_FORMING, /* the call is being decoded */
    SL_FLIGHT_QUEUED,  /* waits for admission */
    SL_FLIGHT_RUNNING, /* dispatched; no response head yet */
    SL_FLIGHT_HOLDING, /* head received, not shown: the reply might still turn out to be a failure
                        */
    SL_FLIGHT_FLOWING, /* head shown; bytes are published as they become whole */
    SL_FLIGHT_ENDED,   /* the answer is done or broken; readers may still read */
    SL_FLIGHT_DEAD,    /* waits for the reaper */
    SL_FLIGHT_STATES
};

struct sl_flight {
    uint32_t magic;
    enum sl_flight_state state;
    struct sl_flow *flow;
    struct sl_list link, ready_link;
    struct sl_arena arena;
    struct sl_call call;
    struct sl_budget body_budget; /* of the call's body */
    struct sl_answer answer;
    struct sl_ticket ticket;
    struct sl_target_ref *target; /* while it holds one */
    struct sl_slice target_name;  /* empty before dispatch */
    struct sl_attempt *attempt;
    struct sl_follow follow;
    const struct sl_dialect *dialect; /* of the one that caused it: how a broken stream is told */

    /* What the attempt's callbacks recorded. */
    struct sl_response_head head;
    bool has_head, has_result;
    struct sl_attempt_result result;
    int body_error; /* first error while keeping or following bytes */

    bool paused;
    bool delivered; /* some reader took all of it */
    uint32_t attempts;
    uint64_t dispatched_at, head_at, queue_ns;
    enum sl_failure failure; /* why there is no answer; told by each reader's dialect */
    struct sl_slice message;
    uint64_t retry_after_ms;

    struct sl_table_node rejoin_node;
    uint8_t rejoin_digest[SL_SHA256_SIZE];
    bool indexed;
    bool lingered; /* it waited for its client as long as it may */
    struct sl_timer linger;
};

/* An exchange's life. */
enum sl_exchange_state {
    SL_EXCHANGE_RECEIVING, /* the body arrives */
    SL_EXCHANGE_WAITING,   /* reads an answer that has no head yet */
    SL_EXCHANGE_SENDING,   /* the head is given to the front, which pulls the body */
    SL_EXCHANGE_CLOSED,    /* the stream is gone; waits for the reaper */
    SL_EXCHANGE_STATES
};

struct sl_exchange {
    uint32_t magic;
    enum sl_exchange_state state;
    struct sl_flow *flow;
    struct sl_stream *stream;
    const struct sl_request_head *request; /* the front's, until on_close */
    struct sl_list link, ready_link, paused_link;
    struct sl_arena arena;
    struct sl_decode decode;
    const struct sl_dialect *dialect;
    struct sl_flight *flight; /* that it reads, or is forming; NULL with a local answer */
    struct sl_reader reader;
    struct sl_answer local; /* for answers made here: errors, pages */
    bool has_local;
    bool body_over, body_paused, stranger;
    bool joined; /* reads a flight that another request caused */
    char id[SL_UUID_SIZE];
    int status; /* as sent; 0: none yet */
    uint64_t started, first_byte;
    uint64_t paused_until; /* a body that has no memory by then is refused */
    uint64_t received, sent;
    /* Taken from the flight for the log, which outlives it. */
    struct sl_usage usage;
};

/* flow.c */
void sl_flow_ready_flight(struct sl_flight *flight);
void sl_flow_ready_exchange(struct sl_exchange *x);
/* Logs a replacement the first time this model is seen. */
void sl_flow_log_retired(struct sl_flow *flow, const struct sl_call *call);

/* flight.c */
SL_NODISCARD struct sl_flight *sl_flight_new(struct sl_flow *flow, const struct sl_dialect *dialect,
                                             struct sl_budget *lender);
/* The call is decoded. Returns the flight to read: this one, queued, or an equal one that is under
 * way, in which case this one is dead. */
struct sl_flight *sl_flight_submit(struct sl_flight *flight);
/* A flight that was never submitted is of no use any more. */
void sl_flight_drop(struct sl_flight *flight);
void sl_flight_step(struct sl_flight *flight);
void sl_flight_dispatch(struct sl_flight *flight);
void sl_flight_expire(struct sl_flight *flight);
void sl_flight_free(struct sl_flight *flight);
struct sl_flight *sl_flight_of_ticket(struct sl_ticket *ticket);

/* exchange.c */
void sl_exchange_step(struct sl_exchange *x);
/* Lets a paused body go on if there is memory for it now, refuses it if it waited too long. */
void sl_exchange_resume_body(struct sl_exchange *x);
void sl_exchange_free(struct sl_exchange *x);

/* log.c */
void sl_exchange_log(const struct sl_exchange *x, enum sl_close_reason reason);

#endif
