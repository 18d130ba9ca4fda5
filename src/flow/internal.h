/* What the files of this room share: the objects and how they call each other. */
#ifndef SLUICE_SRC_FLOW_INTERNAL_H
#define SLUICE_SRC_FLOW_INTERNAL_H

#include "sluice/answer/answer.h"
#include "sluice/base/log.h"
#include "sluice/base/rand.h"
#include "sluice/base/table.h"
#include "sluice/dialect/follow.h"
#include "sluice/flow/flow.h"
#include "sluice/meter/price.h"
#include "sluice/sched/estimate.h"
#include "sluice/wire/modelid.h"

/* When the fastest reader lags by more than this, upstream is paused. Two large
 * chunks: enough to keep a connection busy, little enough for thousands of streams. */
#define SL_ANSWER_WINDOW (128 * 1024)
/* A document is held until it is complete up to this size, so that a truncated one is never shown.
 */
#define SL_HOLD_MAX (1024 * 1024)
/* A growing answer that nobody will keep: what its slowest reader may leave untaken before it is
 * cut off, so that one who does not read costs the others nothing. */
#define SL_LAGGARD_MAX (4 * 1024 * 1024)
/* Strings of one request: its headers (limits.header_bytes, twice: as they came and as they go) and
 * ids. */
#define SL_EXCHANGE_ARENA_MAX (512 * 1024)
/* What a translated answer may have ready for its client: an encoder is fed no more until some of
 * it has been taken. One document may be larger, up to SL_ENCODED_MAX. */
#define SL_ENCODED_WINDOW (64 * 1024)
#define SL_ENCODED_MAX    (16 * 1024 * 1024)
/* The state file: some hundred bytes a pool, at most 4096 pools and 1024 estimators. */
#define SL_FLOW_STATE_MAX (4 * 1024 * 1024)

#define SL_OUT_OF_MEMORY SL_LIT("The gateway is out of memory for this request.")

struct sl_target_ref {
    struct sl_target *target;
    uint32_t users; /* the flow, routes, and flights at it; freed with the last */
    bool reached;   /* it was there before: when it is not, waiting makes sense */
    uint32_t weight, priority;
    char profiles[4][16];
    size_t profile_count;
};

struct sl_flow_pool;

struct sl_model_route {
    struct sl_target_ref *target; /* held */
    struct sl_flow_pool *pool;    /* held */
    struct sl_slice model;        /* as that target wants it */
};

/* All ways to serve one line's model; made whole before it takes the place of the former one. */
struct sl_routing {
    struct sl_model_route routes[SL_LINE_ROUTES_MAX];
    size_t count;
    struct sl_arena arena; /* of the models' names */
};

/* How long one key's answers from one model are. */
struct sl_output_memory {
    uint64_t tenant;
    uint64_t used_at; /* monotonic; 0: free */
    struct sl_estimator estimator;
};
/* Keys that are told apart for one model; the one unused for longest makes room. */
#define SL_OUTPUT_MEMORIES 32

struct sl_model_line {
    struct sl_table_node node;
    struct sl_list link; /* least recently used first */
    struct sl_line *line;
    struct sl_estimator estimator;
    struct sl_output_memory *outputs; /* SL_OUTPUT_MEMORIES; NULL: max_tokens is not learned */
    struct sl_routing
        routing;      /* for dispatch: a ticket granted before it changed uses it no more */
    uint32_t flights; /* that name it */
    struct sl_slice model;
    enum sl_plane plane;
    bool fixed_id; /* the body names the model: no target may call it by another id */
    size_t key_len;
    char key[];
};

struct sl_flow {
    struct sl_loop *loop;
    struct sl_flow_settings settings;
    struct sl_metrics *metrics;
    struct sl_budget memory, bodies, strangers; /* each a part of the one before */
    struct sl_queue *queue;
    struct sl_cache *cache;
    struct sl_target_ref *targets[SL_LINE_ROUTES_MAX];
    size_t target_count;
    struct sl_table lines, pools;
    struct sl_list line_list, pool_list;
    struct sl_buf remembered; /* of a former process, for pools not made yet */
    struct sl_table shared;   /* flights by what they answer */
    struct sl_list exchanges, ready_exchanges, dead_exchanges;
    struct sl_list flights, ready_flights, dead_flights;
    struct sl_list paused;  /* exchanges whose body waits for memory, in order */
    struct sl_list waiting; /* exchanges that are shown signs of life, the next due first */
    size_t memory_seen;     /* what was used when they were last looked at */
    struct sl_turn_hook turn, reap;
    struct sl_timer queue_timer;  /* when the queue wants to be looked at */
    struct sl_timer paused_timer; /* of the first paused body */
    struct sl_timer interim_timer;
    struct sl_buf retired_seen;
    struct sl_buf scratch; /* for one encoder's step at a time */
    bool draining;
};

/*
 * A flight's life. FORMING belongs to one exchange; later it belongs to its readers. A refusal or a
 * failure before anything was shown leads back to the queue.
 *
 *   FORMING ─▶ QUEUED ─▶ RUNNING ─▶ HOLDING ─▶ FLOWING ─▶ ENDED ─▶ DEAD
 *                 ▲  │       │          │          │                 ▲
 *                 └──┼───────┴──────────┘          │                 │
 *                    └───────────────── no reader ─┴─────────────────┘ (at once, or after
 * lingering)
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

/* A key by which others find a flight that answers just what they ask. */
struct sl_share_key {
    struct sl_table_node node;
    uint8_t digest[SL_SHA256_SIZE];
    uint64_t hash; /* by which it is in the table: of the digest, or of the id of a try */
    struct sl_flight *flight;
    bool indexed;
};

struct sl_flight {
    uint32_t magic;
    enum sl_flight_state state;
    struct sl_flow *flow;
    struct sl_list link, ready_link;
    struct sl_arena arena;
    struct sl_call call;
    struct sl_client *client;     /* that caused it, held: quota and cost are its tenant's */
    struct sl_budget body_budget; /* of the call's body */
    struct sl_answer answer;
    struct sl_ticket ticket;
    struct sl_model_line *line;
    struct sl_target_ref *target; /* while it holds one */
    struct sl_slice target_name;  /* empty before dispatch */
    struct sl_slice path_asked;   /* call.target as decoded; a route may name another id in it */
    struct sl_slice path_model;   /* that it names */
    struct sl_slice
        route_model;       /* as the target was asked for it, where that differs; else empty */
    struct sl_slice asked; /* the model whose list of fallbacks counts, however far it has fallen */
    size_t fallback;       /* models of that list tried so far */
    bool stays;            /* no other could start sooner: it waits on where it is */
    uint64_t estimated_input, reserved;
    struct sl_attempt *attempt;
    struct sl_follow follow;
    const struct sl_dialect *dialect; /* of the one that caused it: how a broken stream is told */

    /* What the attempt's callbacks recorded. */
    struct sl_arena attempt_arena; /* of this attempt's head and reasons */
    struct sl_response_head head;
    bool has_head, has_result;
    struct sl_attempt_result result;
    int body_error; /* first error while keeping or following bytes */

    bool paused;
    bool delivered;        /* some reader took all of it */
    bool estimated;        /* its usage is a guess: it was cut off, or upstream told none */
    enum sl_ending ending; /* of the attempt that is shown */
    uint32_t attempts, failures;
    enum sl_scarcity refused_for; /* by upstream, the last time; NOTHING: never */
    uint64_t dispatched_at, head_at, queue_ns;
    enum sl_failure failure; /* why there is no answer; told by each reader's dialect */
    struct sl_slice message;
    uint64_t retry_after_ms;

    struct sl_share_key rejoin; /* the same try again */
    struct sl_share_key same;   /* another request of the same meaning */
    bool cacheable;             /* `same` is its key in the cache */
    struct sl_pace *pace;       /* of a stream that may be kept; grows by doubling */
    size_t pace_count, pace_cap;
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

struct sl_gather;

/* Looks for S3 locations in a body as it arrives. */
struct sl_grants_scan {
    struct sl_json_tokenizer tokenizer;
    struct sl_slice prefix; /* the client's */
    struct sl_buf uri;
    char key[8];
    size_t key_len;
    bool in_key, outside;
    bool unreadable; /* not the JSON that was looked through: what it holds is not known */
};

struct sl_exchange {
    uint32_t magic;
    enum sl_exchange_state state;
    struct sl_flow *flow;
    struct sl_stream *stream;
    const struct sl_request_head *request; /* the front's, until on_close */
    struct sl_list link, ready_link, paused_link, waiting_link;
    struct sl_arena arena;
    struct sl_proof proof;
    struct sl_grants_scan grants; /* of clients that are limited */
    bool has_grants;
    struct sl_sha256 received_hash; /* of the body, where a signature covers it */
    struct sl_decode decode;
    struct sl_ask ask;
    const struct sl_dialect *dialect;
    struct sl_flight *flight; /* that it reads, or is forming; NULL with a local or kept answer */
    struct sl_kept *kept;     /* held */
    struct sl_gather *gather; /* several flights make its answer */
    struct sl_reader reader;
    struct sl_answer local; /* for answers made here: errors, pages */
    bool has_local, begun;
    struct sl_encoder *encoder; /* NULL: the answer's bytes go out as they are */
    struct sl_chain encoded;    /* what it made of them so far */
    struct sl_chain_cursor encoded_cursor;
    bool encoded_all, trailers_given;
    bool body_over, body_paused, stranger;
    bool joined;                          /* reads a flight that another request caused */
    struct sl_slice served_model, edited; /* as decoded, where a kept answer serves it */
    char id[SL_UUID_SIZE];
    int status; /* as sent; 0: none yet */
    uint64_t started, first_byte;
    uint64_t deadline;      /* of its wait in the queue; SL_NEVER: only queue.max_wait */
    enum sl_class priority; /* of its wait */
    struct sl_timer deadline_timer;
    uint64_t interim_at; /* the next sign of life */
    uint8_t interim_count;
    int interim_status; /* 0: this client gets none */
    struct sl_timer pace_timer;
    uint64_t paused_until; /* a body that has no memory by then is refused */
    uint64_t received, sent;
    /* Taken from the flight for log and ledger, which outlive it. */
    struct sl_usage usage;
    struct {
        bool called; /* there was a flight */
        struct sl_slice model, target;
        enum sl_operation operation;
        uint32_t attempts;
        uint64_t queue_ns;
        bool estimated;
    } past;
};

/* flow.c */
void sl_flow_ready_flight(struct sl_flight *flight);
void sl_flow_ready_exchange(struct sl_exchange *x);
/* Logs a replacement the first time this model is seen. */
void sl_flow_log_retired(struct sl_flow *flow, const struct sl_call *call);
/* What a call of that usage costs, in nano-dollars; negative: unknown. */
int64_t sl_flow_cost(const struct sl_flow *flow, struct sl_slice model,
                     const struct sl_usage *usage);

/* routes.c */
SL_NODISCARD int sl_routes_init(struct sl_flow *flow);
void sl_routes_done(struct sl_flow *flow);
void sl_routes_configure(struct sl_flow *flow); /* asks for every pool's limits again */
/* The line for a call of that model; NULL: out of memory, or too many models wait. */
struct sl_model_line *sl_flow_line(struct sl_flow *flow, const struct sl_call *call,
                                   struct sl_slice model);
void sl_target_ref_release(struct sl_target_ref *ref);

/* What is known of one key's answers from that line's model; NULL: out of memory. */
struct sl_estimator *sl_line_outputs(struct sl_model_line *line, uint64_t tenant, uint64_t now);

/* flight.c */
SL_NODISCARD struct sl_flight *sl_flight_new(struct sl_flow *flow, const struct sl_dialect *dialect,
                                             struct sl_budget *lender);
/* Into the queue. Its answer is broken at once if that is refused. */
void sl_flight_submit(struct sl_flight *flight, uint64_t deadline);
/* A flight that was never submitted is of no use any more. */
void sl_flight_drop(struct sl_flight *flight);
void sl_flight_step(struct sl_flight *flight);
void sl_flight_dispatch(struct sl_flight *flight);
/* Its time is up and the queue gave it back; or (expired is false) it may be tried elsewhere. */
void sl_flight_due(struct sl_flight *flight, bool expired, const struct sl_refusal *why);
/* Class and deadline are the best among its readers: somebody came or left. */
void sl_flight_reconsider(struct sl_flight *flight);
void sl_flight_free(struct sl_flight *flight);
struct sl_flight *sl_flight_of_ticket(struct sl_ticket *ticket);
void sl_flight_set_state(struct sl_flight *flight, enum sl_flight_state to);
/* No answer: each reader tells so in its own dialect. */
void sl_flight_fail(struct sl_flight *flight, enum sl_failure kind, struct sl_slice message);
void sl_flight_refuse(struct sl_flight *flight, const struct sl_refusal *why);
/* What a queued flight waits for, and how long still, for a reader of that class. */
struct sl_refusal sl_flight_shortage(const struct sl_flight *flight, enum sl_class priority);
/* The refusal as a sentence, and its Retry-After in ms. */
uint64_t sl_refusal_tell(const struct sl_refusal *why, struct sl_arena *arena,
                         struct sl_slice *message);

/* attempt.c */
SL_NODISCARD int sl_flight_send(struct sl_flight *flight, const struct sl_model_route *route);
void sl_flight_forget(struct sl_flight *flight); /* what the last attempt left */
bool sl_flight_is_over(const struct sl_flight *flight);
bool sl_flight_is_complete(const struct sl_flight *flight);
/* What a whole or failed attempt amounts to. */
struct sl_judgment {
    enum {
        SL_JUDGED_SHOW,  /* to be shown as it is */
        SL_JUDGED_AGAIN, /* to be tried again: wait or another target may cure it */
        SL_JUDGED_TELL,  /* no answer to show: tell the failure in our words */
    } what;
    struct sl_outcome outcome;
    enum sl_failure failure;
    struct sl_slice message;
};
/* Once it is over, or its first frame is an exception. */
struct sl_judgment sl_flight_judge(struct sl_flight *flight);
/* How the quota counts what was used so far. */
struct sl_outcome sl_flight_outcome(struct sl_flight *flight, enum sl_ending ending);

/* sharing.c */
/* The digests by which the call may be found; needs the client. */
SL_NODISCARD int sl_sharing_init(struct sl_flow *flow);
/* Another flight under way that answers just what this one would, or NULL; *kept: a kept answer,
 * not held. *refused: the client wants it only from the cache, and it is not there. */
struct sl_flight *sl_sharing_find(struct sl_flight *flight, struct sl_kept **kept, bool *refused);
/* Others may find it from now on. */
void sl_sharing_offer(struct sl_flight *flight);
void sl_sharing_withdraw(struct sl_flight *flight, struct sl_share_key *key);
/* Bytes were published: notes when, gives up keeping what has become too large. */
void sl_sharing_grown(struct sl_flight *flight);
/* The answer is done: into the cache, if it may be kept. */
void sl_sharing_keep(struct sl_flight *flight);

/* exchange.c */
void sl_exchange_step(struct sl_exchange *x);
/* Lets a paused body go on if there is memory for it now, refuses it if it waited too long. */
void sl_exchange_resume_body(struct sl_exchange *x);
void sl_exchange_free(struct sl_exchange *x);
void sl_exchange_set_state(struct sl_exchange *x, enum sl_exchange_state to);
/* An error in the shape of the client's API. status 0: the kind's own. */
void sl_exchange_refuse(struct sl_exchange *x, enum sl_failure kind, int status,
                        struct sl_slice message, uint64_t retry_after_ms);
/* An answer made here. */
void sl_exchange_answer(struct sl_exchange *x, const struct sl_response_head *head,
                        struct sl_slice body);
/* Holds a kept answer for a reader and counts what it saves. */
void sl_kept_used(struct sl_flow *flow, struct sl_kept *kept);
struct sl_client *sl_exchange_client(const struct sl_exchange *x);

/* respond.c */
void sl_respond_step_waiting(struct sl_exchange *x);
void sl_respond_step_sending(struct sl_exchange *x);
size_t sl_respond_peek(void *x, struct sl_slice *out, size_t max, bool *end);
void sl_respond_advance(void *x, size_t n);
/* "hit", "join", "miss" or "bypass". */
struct sl_slice sl_exchange_cache_word(const struct sl_exchange *x);
/* An error of upstream's, in the words of the client's API. */
void sl_respond_translated(struct sl_exchange *x, const struct sl_headers *headers, int status,
                           struct sl_slice document);
void sl_respond_done(struct sl_exchange *x); /* frees what it holds */

/* gather.c */
/* Starts the calls of a request that takes several. */
void sl_gather_start(struct sl_exchange *x);
void sl_gather_step(struct sl_exchange *x);
/* One of its calls that waits in the queue; NULL: none does. */
const struct sl_flight *sl_gather_queued(const struct sl_gather *gather);
/* Leaves its calls; what it was about is known until it is freed. */
void sl_gather_leave(struct sl_exchange *x);
void sl_gather_free(struct sl_exchange *x);
/* Of its first call. */
struct sl_slice sl_gather_model(const struct sl_gather *gather);
enum sl_operation sl_gather_operation(const struct sl_gather *gather);

/* grants.c */
void sl_grants_begin(struct sl_grants_scan *scan, struct sl_slice s3_prefix);
void sl_grants_feed(struct sl_grants_scan *scan, struct sl_slice bytes);
void sl_grants_done(struct sl_grants_scan *scan);
/* Why this client may not make this call; empty: it may. */
struct sl_slice sl_grants_refusal(const struct sl_exchange *x);

/* interim.c */
void sl_interim_begin(struct sl_exchange *x);
void sl_interim_end(struct sl_exchange *x);
void sl_interim_tend(struct sl_flow *flow); /* sends what is due, sets the timer */

/* log.c */
void sl_exchange_log(const struct sl_exchange *x, enum sl_close_reason reason);

/* Wall clock as the scheduler wants it: ns since 1970. */
static inline uint64_t sl_flow_wall(const struct sl_flow *flow) {
    return (uint64_t)flow->loop->wall_ms * SL_NS_PER_MS;
}

static inline bool sl_call_names_model_in_path(const struct sl_call *call) {
    return sl_slice_starts(call->target, SL_LIT("/model/"));
}

#endif
