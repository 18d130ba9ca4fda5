/*
 * The front: listens, tells HTTP/1.1 from HTTP/2, and gives each request to a handler as a stream.
 * One contract for both versions.
 *
 *   front                                   handler (flow, sim, admin)
 *     on_request(head) ───────────────────▶   a context of its own for the stream
 *     on_body(bytes)… on_body_end ────────▶   takes all bytes; may pause the body
 *        ◀──────────── sl_stream_respond      the head; queued until the turn's write phase
 *     peek / advance ─────────────────────▶   body bytes are pulled, never pushed
 *        ◀──────────── sl_stream_wake         more can be peeked, or the end is known
 *     on_close ───────────────────────────▶   terminal, exactly once
 *
 * A response may start before the request's body is in; the stream closes when both are over.
 * Backpressure: towards the handler by sl_stream_pause_body (TCP or h2 windows fill up); towards
 * the client because nothing is peeked that the connection cannot take.
 *
 * Calls into the front never call back into the handler: what follows, follows in the write phase
 * or from the loop. Handler callbacks may call any sl_stream_* function.
 */
#ifndef SLUICE_FRONT_FRONT_H
#define SLUICE_FRONT_FRONT_H

#include "sluice/core/message.h"
#include "sluice/front/limits.h"
#include "sluice/io/conn.h"
#include "sluice/io/loop.h"

struct sl_front;
struct sl_stream;

enum sl_close_reason {
    SL_CLOSE_DONE,     /* response delivered to the connection, request read */
    SL_CLOSE_CLIENT,   /* the client left, or reset the stream, before that */
    SL_CLOSE_TIMEOUT,  /* a limit of this front passed: header, body, idle, or write */
    SL_CLOSE_ABORT,    /* sl_stream_abort */
    SL_CLOSE_SHUTDOWN, /* the front was freed */
};

struct sl_front_handler {
    /*
     * A request's head. Its slices live until on_close. Returns the handler's context for the
     * stream; NULL (out of memory) makes the front answer a bare 503.
     */
    void *(*on_request)(void *server, struct sl_stream *stream, const struct sl_request_head *head);
    /*
     * The peer broke HTTP or a limit of the front before a head could be given: answer with
     * `status` (400, 408, 413, 414, 431, 501, 505) and the reason `why`, in a shape of the
     * handler's choice. The connection closes behind it. head may be partly filled (method and
     * target when known). NULL: a bare answer is sent. Body limits that break after on_request come
     * as on_fault instead.
     */
    void *(*on_malformed)(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why);
    void (*on_body)(void *x, struct sl_slice bytes);
    void (*on_body_end)(void *x); /* also for requests without a body, right after on_request */
    /* The rest of the body will not come (too large, malformed chunk, too slow): answer with
     * `status`, unless a response is under way already. */
    void (*on_fault)(void *x, int status, const char *why);
    /*
     * Up to max slices of the response body from where it stands; returns how many. *end is set
     * when these are the last (0 slices and end is fine). 0 and not end: nothing now;
     * sl_stream_wake will come.
     */
    size_t (*peek)(void *x, struct sl_slice *out, size_t max, bool *end);
    void (*advance)(void *x, size_t n); /* n bytes of it were taken */
    void (*on_close)(void *x, enum sl_close_reason reason);
};

/* A response's head; slices are read during the call only. h1 adds framing and Connection; h2
 * lower-cases names. */
SL_NODISCARD int sl_stream_respond(struct sl_stream *stream, const struct sl_response_head *head);
bool sl_stream_responded(const struct sl_stream *stream);
/* An informational response (100, 102, 103). Ignored once a response has begun or on HTTP/1.0. */
void sl_stream_interim(struct sl_stream *stream, int status);
void sl_stream_wake(struct sl_stream *stream);
/* Trailers, sent behind the body on HTTP/2, dropped on HTTP/1.1. Call before peek reports the end.
 */
SL_NODISCARD int sl_stream_trailers(struct sl_stream *stream, const struct sl_headers *trailers);
/* A break the client cannot take for a clean end: RST_STREAM, or the connection is reset. on_close
 * follows. */
void sl_stream_abort(struct sl_stream *stream);
void sl_stream_pause_body(struct sl_stream *stream);
void sl_stream_resume_body(struct sl_stream *stream);
/* Further requests on this connection are refused politely: Connection: close, or GOAWAY. */
void sl_stream_close_connection_after(struct sl_stream *stream);

const struct sl_conn_info *sl_stream_conn(const struct sl_stream *stream);

/* One front may listen at several addresses. */
SL_NODISCARD struct sl_front *sl_front_new(struct sl_loop *loop,
                                           const struct sl_front_limits *limits,
                                           const struct sl_front_handler *handler, void *server);
/* NULL address string and a sentence in `why` on failure, else the address ("127.0.0.1:8080"). */
SL_NODISCARD const char *sl_front_listen(struct sl_front *front, const char *host, uint16_t port,
                                         struct sl_tls *tls, char *why, size_t why_size);
/* The same, at a TCP socket that is bound already, and is the front's from now on. */
SL_NODISCARD const char *sl_front_listen_socket(struct sl_front *front, int fd, struct sl_tls *tls,
                                                char *why, size_t why_size);
/* Certificates for connections to come; applies to listeners that have TLS. */
void sl_front_set_tls(struct sl_front *front, struct sl_tls *tls);
/* Other limits from now on, for connections that exist too. */
void sl_front_set_limits(struct sl_front *front, const struct sl_front_limits *limits);
/* Stops listening; idle connections close, busy ones finish what they have (h2: GOAWAY). */
void sl_front_drain(struct sl_front *front);
/* Ends every stream (SL_CLOSE_SHUTDOWN) and connection. Run the uv loop until its handles are
 * closed. */
void sl_front_free(struct sl_front *front);

struct sl_front_stats {
    uint64_t accepted, requests, malformed;
    uint32_t connections, streams;
};
struct sl_front_stats sl_front_stats(const struct sl_front *front);

#endif
