/*
 * Between front.c and the two protocols. front.c owns connections, deadlines, limits, the phases of
 * a turn, and every call to the handler; a transport turns bytes into streams and streams into
 * bytes.
 *
 *   sl_conn ──on_read──▶ front.c ──on_read──▶ transport ──sl_stream_request/_body/…──▶ handler
 *   sl_conn ◀─────────── front.c ◀─conn_write── transport ◀──sl_stream_peek/_advance── handler
 *
 * Rules that keep re-entrance out:
 * - Functions a handler may call (sl_stream_respond …) end in ops that only record; what follows is
 *   done in `write`, called once a turn for each marked connection. They never call the handler.
 * - The handler may call them from within any callback, so after each call to it a transport looks
 *   at the flags again (responded, aborted, paused, close_after).
 * - sl_front_conn_close may be called at any depth. It only records: the transport sees
 *   c->state == SL_FRONT_CLOSED and returns; streams get their on_close, and memory is freed, from
 *   the turn (`reap` in front.c: before SL_TURN_FLOW and in SL_TURN_REAP).
 * - A stream's memory belongs to its transport and is freed in ops->stream_free, which
 * sl_stream_end calls last.
 */
#ifndef SLUICE_SRC_FRONT_TRANSPORT_H
#define SLUICE_SRC_FRONT_TRANSPORT_H

#include "sluice/base/arena.h"
#include "sluice/base/list.h"
#include "sluice/front/front.h"

struct sl_front_conn;

struct sl_transport_ops {
    const char *name;
    /* Makes c->proto. SL_E_NOMEM: front.c closes the connection. */
    int (*open)(struct sl_front_conn *c);
    /* Frees c->proto (NULL when open failed); all streams have been ended before. */
    void (*free)(struct sl_front_conn *c);
    /* Frees the transport's part of the stream; called last by sl_stream_end. */
    void (*stream_free)(struct sl_stream *s);

    /* Bytes from the peer, valid during the call; all are taken (kept, or acted upon). For h2 the
     * client preface is the first of them. */
    void (*on_read)(struct sl_front_conn *c, struct sl_slice bytes);
    /* The peer sent FIN. */
    void (*on_eof)(struct sl_front_conn *c);
    /* header_ms passed since sl_front_conn_head(c, true). */
    void (*on_head_timeout)(struct sl_front_conn *c);
    /* Start of a turn, after sl_front_conn_resume: input that was kept may go on (a resumed body,
     * the next pipelined request). */
    void (*resume)(struct sl_front_conn *c);
    /*
     * The turn's write phase, after sl_front_conn_mark or on_writable: ends aborted streams, pulls
     * bodies and writes with sl_front_conn_write as few times as it can, ends streams that are
     * over. At most SL_FRONT_TURN_BYTES; where more is ready: mark again and sl_loop_again.
     */
    void (*write)(struct sl_front_conn *c);
    /* No further requests: at once when idle (also called for the idle timeout), else after what
     * runs (h2: GOAWAY). May be called more than once. */
    void (*drain)(struct sl_front_conn *c);

    /* Behind the functions of the same name; front.c has checked the flags (a respond comes once,
     * never on an aborted stream) and marks the connection afterwards. They record only. */
    int (*respond)(struct sl_stream *s, const struct sl_response_head *head);
    void (*interim)(struct sl_stream *s, int status);
    int (*trailers)(struct sl_stream *s, const struct sl_headers *trailers);
    void (*wake)(struct sl_stream *s);           /* may be NULL */
    void (*abort)(struct sl_stream *s);          /* s->aborted, s->reason are set; may be NULL */
    void (*pause)(struct sl_stream *s, bool on); /* s->paused is set already */
};

extern const struct sl_transport_ops sl_h1_ops;
extern const struct sl_transport_ops sl_h2_ops;

/* What one connection may write in one turn before the others get theirs. */
#define SL_FRONT_TURN_BYTES 262144

enum sl_front_conn_state {
    SL_FRONT_OPENING, /* TLS handshake, or the protocol is not known yet */
    SL_FRONT_OPEN,    /* c->ops is set */
    SL_FRONT_LINGER,  /* FIN sent; input is thrown away until the peer closes or time is up */
    SL_FRONT_CLOSED,  /* waits for the reaper */
};

struct sl_front_conn {
    struct sl_front *front;
    const struct sl_front_limits *limits;
    struct sl_loop *loop;
    struct sl_conn *conn;               /* NULL once closed */
    const struct sl_transport_ops *ops; /* NULL while opening */
    void *proto;                        /* the transport's */
    enum sl_front_conn_state state;
    enum sl_close_reason reason; /* what streams that are left get when it has closed */
    struct sl_conn_info info;    /* a copy, which outlives conn */
    uint8_t preface_matched;     /* bytes of h2's preface seen on cleartext */
    bool draining;               /* no further requests; set before ops->drain is called */

    struct sl_list link;        /* the front's connections, or its dead */
    struct sl_list dirty_link;  /* waits for the write phase */
    struct sl_list resume_link; /* waits for the start of the next turn */
    struct sl_list streams;     /* sl_stream.link */
    uint32_t stream_count;

    /* One timer, moved only towards the present; when it fires all deadlines are looked at. */
    struct sl_timer timer;
    uint64_t head_since;  /* a head is incomplete since; 0: none is (kept by sl_front_conn_head) */
    uint64_t idle_since;  /* no stream since; 0: there is one */
    uint64_t write_since; /* output waits and nothing has moved since; 0: nothing waits */
    uint64_t linger_until;
    size_t linger_bytes; /* input that may still be thrown away */
};

/* The base of h1's and h2's streams, embedded as their first member. */
struct sl_stream {
    struct sl_front_conn *c;
    struct sl_list link; /* c->streams */
    void *x;             /* the handler's context; NULL: bare answer, handler not involved */
    struct sl_arena arena;
    struct sl_request_head head;

    bool given;       /* on_request or on_malformed was called */
    bool malformed;   /* through on_malformed: no body is delivered; h1 closes behind it */
    bool faulted;     /* on_fault was called; h1 closes behind it */
    bool input_over;  /* nothing more of the request will be delivered (end, fault, malformed) */
    bool paused;      /* the handler wants no on_body now */
    bool responded;   /* the final head is recorded */
    bool aborted;     /* by the handler, or by a stalled write: `reason` says */
    bool close_after; /* sl_stream_close_connection_after */
    enum sl_close_reason reason; /* what on_close is given once it is over or aborted */

    uint64_t received;  /* body bytes */
    uint64_t body_from; /* the body's clock started; moved on by time spent paused */
    uint64_t body_at;   /* last piece of it */
    uint64_t paused_at;
    uint64_t write_since; /* h2: bytes wait for a window since; 0: none do. Set by the transport,
                             which also calls sl_front_conn_due(c, since + write_ms) */
};

/* ---- connection: front.c for the transports ---- */

/* Has ops->write called in this turn's write phase (the next one's, when called from it). */
void sl_front_conn_mark(struct sl_front_conn *c);
/* Has ops->resume called at the start of the next turn, which follows at once. */
void sl_front_conn_resume(struct sl_front_conn *c);
/* Bytes taken, 0 when the connection takes none now (ops->write follows when it does), or
 * SL_E_IO after closing. Keeps write_since. */
SL_NODISCARD int64_t sl_front_conn_write(struct sl_front_conn *c, const struct sl_slice *slices,
                                         size_t count);
/* Notes that a head is incomplete, or no longer is. Cheap; call it after each read. */
void sl_front_conn_head(struct sl_front_conn *c, bool incomplete);
/* The deadlines are to be looked at by `at` at the latest. */
void sl_front_conn_due(struct sl_front_conn *c, uint64_t at);
/* Closes; streams that are left get `reason`. Pending output is lost: see _linger. Idempotent. */
void sl_front_conn_close(struct sl_front_conn *c, enum sl_close_reason reason, bool reset);
/* Closes so that the peer reads all that was written, even if it is still sending: FIN behind
 * pending output, input thrown away for a bounded time. No stream may be left. */
void sl_front_conn_linger(struct sl_front_conn *c);
/* Closes behind what is pending where the peer has nothing more to send: at once, if nothing is. */
void sl_front_conn_finish(struct sl_front_conn *c);

/* ---- stream: front.c for the transports ---- */

/* Initialises the base of a zeroed stream and puts it on c->streams. */
void sl_stream_open(struct sl_stream *s, struct sl_front_conn *c);
/*
 * The head is complete in s->head: gives it to the handler, with on_body_end behind it when
 * !has_body. Content-Length beyond body_bytes goes to sl_stream_malformed (413) instead: look at
 * s->malformed. A handler that returns NULL has a bare 503 recorded (responded, malformed).
 */
void sl_stream_request(struct sl_stream *s);
/* No on_request, but on_malformed. Neither on_body nor on_body_end follows; respond and on_close
 * do. `why` is a literal. */
void sl_stream_malformed(struct sl_stream *s, int status, const char *why);
/* A piece of the body. Beyond body_bytes: fault 413. False when it was not delivered and nothing
 * further will be (s->input_over). */
bool sl_stream_body(struct sl_stream *s, struct sl_slice bytes);
/* The body's end: on_body_end, once. */
void sl_stream_body_end(struct sl_stream *s);
/* on_fault, once, and only while input is not over; marks the connection. */
void sl_stream_fault(struct sl_stream *s, int status, const char *why);
/* As the handler's; 0 and *end where there is no handler. Not before responded. */
size_t sl_stream_peek(struct sl_stream *s, struct sl_slice *out, size_t max, bool *end);
void sl_stream_advance(struct sl_stream *s, size_t n);
/* Terminal: on_close(reason), off the list, arena freed, ops->stream_free. Not from within a
 * callback of the handler, and not from one of llhttp or nghttp2 that still uses the stream. */
void sl_stream_end(struct sl_stream *s, enum sl_close_reason reason);

#endif
