/*
 * Connections and streams, whatever their protocol: who is let in, how long each may take, and when
 * the handler is called. See transport.h for how the work is shared with h1.c and h2.c.
 *
 *   a turn:  TRANSFERS  reap what closed during the poll, then kept input goes on (resume list)
 *            FLOW       (the handler's own)
 *            WRITE      the dirty list: each connection pulls and writes once
 *            REAP       reap what closed meanwhile
 *
 * Invariants:
 * - A connection is on the front's list of connections until it is closed, then on that of the
 * dead; from then on sl_conn is no longer ours (an orphan handler watches it go) and no transport
 *   function but `free` and `stream_free` is called.
 * - Its timer is always set, at or before the nearest deadline. Deadlines that move away do not
 *   touch it: it fires early, looks, and is set again.
 */
#include <assert.h>
#include <stdio.h>

#include "front/transport.h"
#include "sluice/base/mem.h"

/* How long, and over how many bytes, a client that still sends may take to read its answer:
 * enough for the largest body at a moderate speed. */
#define LINGER_MS    5000
#define LINGER_BYTES 33554432
/* With no deadline at all, the timer looks this often. */
#define LOOK_MS 60000
/* Connections the kernel holds before they are accepted. */
#define BACKLOG 1024
/* Room in a stream's arena for its head, which limits.header_bytes bounds, and what decoding adds.
 */
#define ARENA_SLACK 16384

static const char h2_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define PREFACE_LEN (sizeof(h2_preface) - 1)

struct listener {
    struct sl_list link;
    struct sl_conn_listener *listener;
    bool tls;
};

struct sl_front {
    struct sl_loop *loop;
    struct sl_front_limits limits;
    struct sl_front_handler handler;
    void *server;
    struct sl_list listeners; /* struct listener */
    struct sl_list conns, dead, dirty, resume;
    struct sl_turn_hook start_hook, write_hook, reap_hook;
    bool draining;
    bool full; /* listeners are paused: limits.connections */
    struct sl_front_stats stats;
};

/* ---- deadlines ---- */

static uint64_t after(uint64_t since, uint32_t ms) {
    return since == 0 || ms == 0 ? SL_NEVER : since + ms * SL_NS_PER_MS;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the body of a request is too slow, if nothing more of it comes. */
static uint64_t body_deadline(const struct sl_stream *s) {
    const struct sl_front_limits *limits = s->c->limits;
    if (s->input_over || s->paused || s->aborted || !s->head.has_body)
        return SL_NEVER;
    uint64_t at = after(s->body_at, limits->body_ms);
    if (limits->body_rate && limits->body_ms) {
        uint64_t paid =
            s->received / limits->body_rate * SL_NS_PER_S; /* time its bytes are worth */
        uint64_t grace = limits->body_ms * SL_NS_PER_MS;
        at = earlier(at, s->body_from + (paid > grace ? paid : grace));
    }
    return at;
}

static uint64_t idle_deadline(const struct sl_front_conn *c) {
    return c->head_since ? SL_NEVER : after(c->idle_since, c->limits->idle_ms);
}

static uint64_t next_deadline(const struct sl_front_conn *c) {
    if (c->state == SL_FRONT_LINGER)
        return c->linger_until;
    uint64_t at = after(c->head_since, c->limits->header_ms);
    at = earlier(at, after(c->write_since, c->limits->write_ms));
    at = earlier(at, idle_deadline(c));
    SL_LIST_EACH(&c->streams, node, tmp) {
        const struct sl_stream *s = SL_CONTAINER(node, struct sl_stream, link);
        at = earlier(at, body_deadline(s));
        at = earlier(at, after(s->write_since, c->limits->write_ms));
    }
    return at;
}

void sl_front_conn_due(struct sl_front_conn *c, uint64_t at) {
    if (c->state == SL_FRONT_CLOSED || at == SL_NEVER)
        return;
    if (sl_heap_linked(&c->timer.node) && c->timer.node.key <= at)
        return;
    if (sl_timer_set(c->loop, &c->timer, at) < 0)
        sl_front_conn_close(c, SL_CLOSE_SHUTDOWN, false); /* without deadlines none may stay */
}

static void abort_stream(struct sl_stream *s, enum sl_close_reason reason) {
    if (s->aborted)
        return;
    s->aborted = true;
    s->reason = reason;
    if (s->c->state == SL_FRONT_OPEN && s->c->ops->abort)
        s->c->ops->abort(s);
    sl_front_conn_mark(s->c);
}

static void check_streams(struct sl_front_conn *c, uint64_t now) {
    SL_LIST_EACH(&c->streams, node, tmp) {
        struct sl_stream *s = SL_CONTAINER(node, struct sl_stream, link);
        if (now >= body_deadline(s))
            sl_stream_fault(s, 408, "the request's body came too slowly");
        if (now >= after(s->write_since, c->limits->write_ms))
            abort_stream(s, SL_CLOSE_TIMEOUT);
    }
}

static void check_head(struct sl_front_conn *c, uint64_t now) {
    if (now < after(c->head_since, c->limits->header_ms))
        return;
    c->head_since = 0;
    if (c->ops)
        c->ops->on_head_timeout(c);
    else
        sl_front_conn_close(c, SL_CLOSE_TIMEOUT, false);
}

/* A second time idle, after the transport was asked to leave, is the last. */
static void check_idle(struct sl_front_conn *c, uint64_t now) {
    if (now < idle_deadline(c))
        return;
    c->idle_since = now;
    if (!c->ops || c->draining) {
        sl_front_conn_close(c, SL_CLOSE_TIMEOUT, false);
        return;
    }
    c->draining = true;
    c->ops->drain(c);
}

static void check_write(struct sl_front_conn *c, uint64_t now) {
    if (now < after(c->write_since, c->limits->write_ms))
        return;
    if (sl_conn_pending(c->conn) == 0)
        c->write_since = 0; /* it left meanwhile, and nobody waited to be told */
    else
        sl_front_conn_close(c, SL_CLOSE_TIMEOUT, true);
}

static void check_linger(struct sl_front_conn *c, uint64_t now) {
    if (c->state == SL_FRONT_LINGER && now >= c->linger_until)
        sl_front_conn_close(c, SL_CLOSE_DONE, false);
}

static void on_timer(void *ctx) {
    static void (*const checks[])(struct sl_front_conn * c, uint64_t now) = {
        check_streams, check_head, check_write, check_idle, check_linger};
    struct sl_front_conn *c = ctx;
    uint64_t now = c->loop->now;
    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks) && c->state != SL_FRONT_CLOSED; i++)
        checks[i](c, now);
    if (c->state == SL_FRONT_CLOSED)
        return;
    uint64_t at = next_deadline(c);
    sl_front_conn_due(c, at == SL_NEVER ? now + LOOK_MS * SL_NS_PER_MS : at);
}

/* ---- connections: what transports call ---- */

static void orphan_open(void *ctx, struct sl_slice alpn) {
    (void)ctx, (void)alpn;
}
static void orphan_read(void *ctx, struct sl_slice bytes) {
    (void)ctx, (void)bytes;
}
static void orphan_event(void *ctx) {
    (void)ctx;
}
static void orphan_close(void *ctx, int error) {
    (void)ctx, (void)error;
}
/* Watches connections that the front is done with. */
static const struct sl_conn_handler orphan_handler = {.on_open = orphan_open,
                                                      .on_read = orphan_read,
                                                      .on_eof = orphan_event,
                                                      .on_writable = orphan_event,
                                                      .on_close = orphan_close};

void sl_front_conn_close(struct sl_front_conn *c, enum sl_close_reason reason, bool reset) {
    if (c->state == SL_FRONT_CLOSED)
        return;
    c->state = SL_FRONT_CLOSED;
    c->reason = reason;
    if (c->conn) {
        sl_conn_set_handler(c->conn, &orphan_handler, NULL);
        sl_conn_close(c->conn, reset);
        c->conn = NULL;
    }
    sl_timer_clear(c->loop, &c->timer);
    sl_list_remove(&c->dirty_link);
    sl_list_remove(&c->resume_link);
    sl_list_remove(&c->link);
    sl_list_push_back(&c->front->dead, &c->link);
    sl_loop_want(c->loop, SL_TURN_REAP);
}

void sl_front_conn_mark(struct sl_front_conn *c) {
    if (c->state != SL_FRONT_OPEN || sl_list_linked(&c->dirty_link))
        return;
    sl_list_push_back(&c->front->dirty, &c->dirty_link);
    sl_loop_want(c->loop, SL_TURN_WRITE);
}

void sl_front_conn_resume(struct sl_front_conn *c) {
    if (c->state != SL_FRONT_OPEN || sl_list_linked(&c->resume_link))
        return;
    sl_list_push_back(&c->front->resume, &c->resume_link);
    sl_loop_want(c->loop, SL_TURN_TRANSFERS);
}

int64_t sl_front_conn_write(struct sl_front_conn *c, const struct sl_slice *slices, size_t count) {
    if (c->state == SL_FRONT_CLOSED)
        return SL_E_IO;
    size_t offered = 0;
    for (size_t i = 0; i < count; i++)
        offered += slices[i].len;
    int64_t taken = sl_conn_write(c->conn, slices, count);
    if (taken < 0) {
        sl_front_conn_close(c, SL_CLOSE_CLIENT, false);
        return SL_E_IO;
    }
    if ((size_t)taken == offered && sl_conn_pending(c->conn) == 0) {
        c->write_since = 0;
    } else if (taken > 0 || c->write_since == 0) {
        c->write_since = c->loop->now;
        sl_front_conn_due(c, after(c->write_since, c->limits->write_ms));
    }
    return taken;
}

void sl_front_conn_head(struct sl_front_conn *c, bool incomplete) {
    if (!incomplete) {
        c->head_since = 0;
    } else if (c->head_since == 0) {
        c->head_since = c->loop->now;
        sl_front_conn_due(c, after(c->head_since, c->limits->header_ms));
    }
}

void sl_front_conn_linger(struct sl_front_conn *c) {
    if (c->state == SL_FRONT_CLOSED || c->state == SL_FRONT_LINGER)
        return;
    assert(sl_list_empty(&c->streams));
    c->state = SL_FRONT_LINGER;
    sl_list_remove(&c->dirty_link);
    sl_list_remove(&c->resume_link);
    c->head_since = c->idle_since = c->write_since = 0; /* linger_until stands for all of them */
    uint32_t ms = sl_conn_pending(c->conn) > 0 ? c->limits->write_ms : LINGER_MS;
    c->linger_until = c->loop->now + ms * SL_NS_PER_MS;
    c->linger_bytes = LINGER_BYTES;
    sl_conn_shutdown(c->conn);
    sl_conn_read_start(c->conn);
    sl_front_conn_due(c, c->linger_until);
}

void sl_front_conn_finish(struct sl_front_conn *c) {
    if (c->state != SL_FRONT_OPEN)
        return;
    if (sl_conn_pending(c->conn) > 0) {
        sl_front_conn_linger(c);
        return;
    }
    sl_conn_shutdown(c->conn); /* TLS says goodbye, so that the end is no truncation */
    sl_front_conn_close(c, SL_CLOSE_DONE, false);
}

/* ---- connections: from birth to death ---- */

static void attach(struct sl_front_conn *c, const struct sl_transport_ops *ops) {
    assert(c->state == SL_FRONT_OPENING);
    c->ops = ops;
    c->state = SL_FRONT_OPEN;
    c->head_since = 0;
    if (ops->open(c) < 0)
        sl_front_conn_close(c, SL_CLOSE_SHUTDOWN, false);
}

static void on_open(void *ctx, struct sl_slice alpn) {
    struct sl_front_conn *c = ctx;
    c->info = *sl_conn_info(c->conn);
    c->head_since = 0;
    c->idle_since = c->loop->now;
    if (c->info.tls)
        attach(c, sl_slice_eq(alpn, SL_LIT("h2")) ? &sl_h2_ops : &sl_h1_ops);
}

/* Cleartext: HTTP/2 from the first byte on, or HTTP/1 as soon as a byte differs from its
 * preface. The bytes that agreed are known, so none are kept. */
static void detect(struct sl_front_conn *c, struct sl_slice bytes) {
    size_t matched = c->preface_matched, used = 0;
    while (matched < PREFACE_LEN && used < bytes.len && bytes.ptr[used] == h2_preface[matched])
        matched++, used++;
    c->preface_matched = (uint8_t)matched;
    if (matched < PREFACE_LEN && used == bytes.len) {
        sl_front_conn_head(c, true);
        return;
    }
    uint64_t since = c->head_since;
    attach(c, matched == PREFACE_LEN ? &sl_h2_ops : &sl_h1_ops);
    c->head_since = since; /* the head began with the first byte */
    if (c->state == SL_FRONT_OPEN && matched > 0)
        c->ops->on_read(c, sl_slice_of(h2_preface, matched));
    if (c->state == SL_FRONT_OPEN && used < bytes.len)
        c->ops->on_read(c, sl_slice_skip(bytes, used));
}

static void on_read(void *ctx, struct sl_slice bytes) {
    struct sl_front_conn *c = ctx;
    if (c->state == SL_FRONT_OPENING) {
        detect(c, bytes);
    } else if (c->state == SL_FRONT_OPEN) {
        c->ops->on_read(c, bytes);
    } else if (c->state == SL_FRONT_LINGER) {
        if (bytes.len > c->linger_bytes)
            sl_front_conn_close(c, SL_CLOSE_DONE, false);
        else
            c->linger_bytes -= bytes.len;
    }
}

static void on_eof(void *ctx) {
    struct sl_front_conn *c = ctx;
    if (c->state == SL_FRONT_OPEN)
        c->ops->on_eof(c);
    else if (sl_conn_pending(c->conn) == 0)
        sl_front_conn_close(c, SL_CLOSE_CLIENT, false);
    /* else lingering: pending output may still leave until the time is up */
}

static void on_writable(void *ctx) {
    sl_front_conn_mark(ctx);
}

static void on_close(void *ctx, int error) {
    (void)error;
    struct sl_front_conn *c = ctx;
    c->conn = NULL;
    sl_front_conn_close(c, SL_CLOSE_CLIENT, false);
}

static const struct sl_conn_handler conn_handler = {.on_open = on_open,
                                                    .on_read = on_read,
                                                    .on_eof = on_eof,
                                                    .on_writable = on_writable,
                                                    .on_close = on_close};

static void pause_listeners(struct sl_front *front, bool paused) {
    front->full = paused;
    SL_LIST_EACH(&front->listeners, node, tmp)
    sl_conn_listener_pause(SL_CONTAINER(node, struct listener, link)->listener, paused);
}

static void on_accept(void *ctx, struct sl_conn *conn) {
    struct sl_front *front = ctx;
    struct sl_front_conn *c = sl_calloc(1, sizeof(*c));
    if (!c) {
        sl_conn_close(conn, false);
        return;
    }
    c->front = front;
    c->limits = &front->limits;
    c->loop = front->loop;
    c->conn = conn;
    c->info = *sl_conn_info(conn);
    sl_list_init(&c->dirty_link);
    sl_list_init(&c->resume_link);
    sl_list_init(&c->streams);
    sl_timer_init(&c->timer, on_timer, c);
    sl_list_push_back(&front->conns, &c->link);
    front->stats.accepted++;
    if (++front->stats.connections >= front->limits.connections)
        pause_listeners(front, true);
    sl_conn_set_handler(conn, &conn_handler, c);

    /* A handshake is a kind of head; without one, the connection starts idle. */
    if (c->info.tls)
        c->head_since = front->loop->now;
    else
        c->idle_since = front->loop->now;
    uint64_t at = next_deadline(c);
    sl_front_conn_due(c, at == SL_NEVER ? front->loop->now + LOOK_MS * SL_NS_PER_MS : at);
}

/* True when streams were among what it ended. */
static bool reap(struct sl_front *front) {
    bool streams = false;
    struct sl_list *node;
    while ((node = sl_list_pop_front(&front->dead))) {
        struct sl_front_conn *c = SL_CONTAINER(node, struct sl_front_conn, link);
        while (!sl_list_empty(&c->streams)) {
            struct sl_stream *s = SL_CONTAINER(c->streams.next, struct sl_stream, link);
            sl_stream_end(s, s->aborted ? s->reason : c->reason);
            streams = true;
        }
        if (c->ops)
            c->ops->free(c);
        sl_free(c);
        front->stats.connections--;
    }
    if (front->full && front->stats.connections < front->limits.connections)
        pause_listeners(front, false);
    return streams;
}

/* ---- the turn ---- */

/* Work that is found now; what is added meanwhile belongs to the next turn. */
static void run_list(struct sl_list *list, size_t link_offset, bool write) {
    struct sl_list now;
    sl_list_init(&now);
    sl_list_splice(&now, list);
    struct sl_list *node;
    while ((node = sl_list_pop_front(&now))) {
        struct sl_front_conn *c = (void *)((char *)node - link_offset);
        if (c->state != SL_FRONT_OPEN)
            continue;
        if (write)
            c->ops->write(c);
        else
            c->ops->resume(c);
    }
}

static void start_turn(void *ctx) {
    struct sl_front *front = ctx;
    (void)reap(front); /* policy sees at once who has left */
    run_list(&front->resume, offsetof(struct sl_front_conn, resume_link), false);
}

static void write_turn(void *ctx) {
    struct sl_front *front = ctx;
    run_list(&front->dirty, offsetof(struct sl_front_conn, dirty_link), true);
}

static void end_turn(void *ctx) {
    struct sl_front *front = ctx;
    if (reap(front))
        sl_loop_again(front->loop); /* handlers that heard of it may have work for SL_TURN_FLOW */
}

/* ---- streams: what transports call ---- */

void sl_stream_open(struct sl_stream *s, struct sl_front_conn *c) {
    const struct sl_front_limits *limits = c->limits;
    s->c = c;
    s->reason = SL_CLOSE_DONE;
    sl_arena_init(&s->arena, (size_t)limits->header_bytes * 2 +
                                 limits->header_count * sizeof(struct sl_header) + ARENA_SLACK);
    sl_list_push_back(&c->streams, &s->link);
    c->stream_count++;
    c->idle_since = 0;
    c->front->stats.streams++;
}

/* An answer in the handler's stead. */
static void respond_bare(struct sl_stream *s, int status) {
    s->malformed = s->input_over = true;
    if (s->responded || s->aborted)
        return;
    struct sl_response_head head = {.status = status};
    if (s->c->ops->respond(s, &head) < 0) {
        abort_stream(s, SL_CLOSE_ABORT);
        return;
    }
    s->responded = true;
    sl_front_conn_mark(s->c);
}

void sl_stream_malformed(struct sl_stream *s, int status, const char *why) {
    struct sl_front *front = s->c->front;
    assert(!s->given);
    s->given = s->malformed = s->input_over = true;
    front->stats.malformed++;
    if (front->handler.on_malformed)
        s->x = front->handler.on_malformed(front->server, s, &s->head, status, why);
    if (!s->x)
        respond_bare(s, status);
}

void sl_stream_request(struct sl_stream *s) {
    struct sl_front *front = s->c->front;
    if (s->head.content_length > 0 && (uint64_t)s->head.content_length > front->limits.body_bytes) {
        sl_stream_malformed(s, 413, "the request's body is too large");
        return;
    }
    assert(!s->given);
    s->given = true;
    front->stats.requests++;
    s->body_from = s->body_at = s->c->loop->now;
    s->x = front->handler.on_request(front->server, s, &s->head);
    if (!s->x)
        respond_bare(s, 503);
    else if (!s->head.has_body)
        sl_stream_body_end(s);
    else
        sl_front_conn_due(s->c, body_deadline(s));
}

bool sl_stream_body(struct sl_stream *s, struct sl_slice bytes) {
    if (s->input_over || s->aborted)
        return false;
    s->received += bytes.len;
    if (s->received > s->c->limits->body_bytes) {
        sl_stream_fault(s, 413, "the request's body is too large");
        return false;
    }
    s->body_at = s->c->loop->now;
    s->c->front->handler.on_body(s->x, bytes);
    return true;
}

void sl_stream_body_end(struct sl_stream *s) {
    if (s->input_over || s->aborted)
        return;
    s->input_over = true;
    if (s->responded)
        sl_front_conn_mark(s->c); /* the response may have waited for this */
    s->c->front->handler.on_body_end(s->x);
}

void sl_stream_fault(struct sl_stream *s, int status, const char *why) {
    if (s->input_over || s->aborted)
        return;
    s->input_over = s->faulted = true;
    if (status == 408)
        s->reason = SL_CLOSE_TIMEOUT;
    sl_front_conn_mark(s->c);
    s->c->front->handler.on_fault(s->x, status, why);
}

size_t sl_stream_peek(struct sl_stream *s, struct sl_slice *out, size_t max, bool *end) {
    assert(s->responded);
    *end = !s->x;
    return s->x ? s->c->front->handler.peek(s->x, out, max, end) : 0;
}

void sl_stream_advance(struct sl_stream *s, size_t n) {
    if (s->x && n > 0)
        s->c->front->handler.advance(s->x, n);
}

void sl_stream_end(struct sl_stream *s, enum sl_close_reason reason) {
    struct sl_front_conn *c = s->c;
    sl_list_remove(&s->link);
    if (--c->stream_count == 0) {
        c->idle_since = c->loop->now;
        sl_front_conn_due(c, idle_deadline(c));
    }
    c->front->stats.streams--;
    if (s->x)
        c->front->handler.on_close(s->x, reason);
    sl_arena_done(&s->arena);
    c->ops->stream_free(s);
}

/* ---- streams: what handlers call ---- */

int sl_stream_respond(struct sl_stream *s, const struct sl_response_head *head) {
    if (s->responded)
        return SL_E_EXISTS;
    if (s->aborted || s->c->state == SL_FRONT_CLOSED)
        return SL_E_CANCELED;
    int rc = s->c->ops->respond(s, head);
    if (rc < 0)
        return rc;
    s->responded = true;
    sl_front_conn_mark(s->c);
    return SL_OK;
}

bool sl_stream_responded(const struct sl_stream *s) {
    return s->responded;
}

void sl_stream_interim(struct sl_stream *s, int status) {
    if (s->responded || s->aborted || s->head.version < 11 || s->c->state == SL_FRONT_CLOSED)
        return;
    s->c->ops->interim(s, status);
    sl_front_conn_mark(s->c);
}

void sl_stream_wake(struct sl_stream *s) {
    if (!s->responded || s->aborted || s->c->state == SL_FRONT_CLOSED)
        return;
    if (s->c->ops->wake)
        s->c->ops->wake(s);
    sl_front_conn_mark(s->c);
}

int sl_stream_trailers(struct sl_stream *s, const struct sl_headers *trailers) {
    if (s->aborted || s->c->state == SL_FRONT_CLOSED)
        return SL_E_CANCELED;
    return s->c->ops->trailers(s, trailers);
}

void sl_stream_abort(struct sl_stream *s) {
    abort_stream(s, SL_CLOSE_ABORT);
}

void sl_stream_pause_body(struct sl_stream *s) {
    if (s->paused || s->c->state == SL_FRONT_CLOSED)
        return;
    s->paused = true;
    s->paused_at = s->c->loop->now;
    s->c->ops->pause(s, true);
}

void sl_stream_resume_body(struct sl_stream *s) {
    if (!s->paused || s->c->state == SL_FRONT_CLOSED)
        return;
    s->paused = false;
    s->body_from += s->c->loop->now - s->paused_at; /* the client is not to blame for this time */
    s->body_at = s->c->loop->now;
    sl_front_conn_due(s->c, body_deadline(s));
    s->c->ops->pause(s, false);
}

void sl_stream_close_connection_after(struct sl_stream *s) {
    s->close_after = true;
    if (s->c->draining || s->c->state != SL_FRONT_OPEN)
        return;
    s->c->draining = true;
    s->c->ops->drain(s->c);
}

const struct sl_conn_info *sl_stream_conn(const struct sl_stream *s) {
    return &s->c->info;
}

/* ---- the front ---- */

struct sl_front *sl_front_new(struct sl_loop *loop, const struct sl_front_limits *limits,
                              const struct sl_front_handler *handler, void *server) {
    struct sl_front *front = sl_calloc(1, sizeof(*front));
    if (!front)
        return NULL;
    front->loop = loop;
    front->limits = *limits;
    front->handler = *handler;
    front->server = server;
    sl_list_init(&front->listeners);
    sl_list_init(&front->conns);
    sl_list_init(&front->dead);
    sl_list_init(&front->dirty);
    sl_list_init(&front->resume);
    sl_loop_hook(loop, SL_TURN_TRANSFERS, &front->start_hook, start_turn, front);
    sl_loop_hook(loop, SL_TURN_WRITE, &front->write_hook, write_turn, front);
    sl_loop_hook(loop, SL_TURN_REAP, &front->reap_hook, end_turn, front);
    return front;
}

static const char *listen_with(struct sl_front *front,
                               const struct sl_conn_listener_settings *settings, struct sl_tls *tls,
                               char *why, size_t why_size) {
    struct listener *l = sl_calloc(1, sizeof(*l));
    if (!l) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    l->tls = tls != NULL;
    l->listener = sl_conn_listen(front->loop, settings, tls, on_accept, front, why, why_size);
    if (!l->listener) {
        sl_free(l);
        return NULL;
    }
    sl_list_push_back(&front->listeners, &l->link);
    if (front->full)
        sl_conn_listener_pause(l->listener, true);
    return sl_conn_listener_address(l->listener);
}

const char *sl_front_listen(struct sl_front *front, const char *host, uint16_t port,
                            struct sl_tls *tls, char *why, size_t why_size) {
    struct sl_conn_listener_settings settings = {.host = host, .port = port, .backlog = BACKLOG};
    return listen_with(front, &settings, tls, why, why_size);
}

const char *sl_front_listen_socket(struct sl_front *front, int fd, struct sl_tls *tls, char *why,
                                   size_t why_size) {
    struct sl_conn_listener_settings settings = {.fd = fd, .backlog = BACKLOG};
    return listen_with(front, &settings, tls, why, why_size);
}

void sl_front_set_tls(struct sl_front *front, struct sl_tls *tls) {
    SL_LIST_EACH(&front->listeners, node, tmp) {
        struct listener *l = SL_CONTAINER(node, struct listener, link);
        if (l->tls)
            sl_conn_listener_set_tls(l->listener, tls);
    }
}

void sl_front_set_limits(struct sl_front *front, const struct sl_front_limits *limits) {
    front->limits = *limits;
}

static void close_listeners(struct sl_front *front) {
    struct sl_list *node;
    while ((node = sl_list_pop_front(&front->listeners))) {
        struct listener *l = SL_CONTAINER(node, struct listener, link);
        sl_conn_listener_close(l->listener);
        sl_free(l);
    }
}

void sl_front_drain(struct sl_front *front) {
    if (front->draining)
        return;
    front->draining = true;
    close_listeners(front);
    SL_LIST_EACH(&front->conns, node, tmp) {
        struct sl_front_conn *c = SL_CONTAINER(node, struct sl_front_conn, link);
        if (c->state == SL_FRONT_OPENING) {
            sl_front_conn_close(c, SL_CLOSE_SHUTDOWN, false);
        } else if (c->state == SL_FRONT_OPEN && !c->draining) {
            c->draining = true;
            c->ops->drain(c);
        }
    }
}

void sl_front_free(struct sl_front *front) {
    if (!front)
        return;
    close_listeners(front);
    while (!sl_list_empty(&front->conns))
        sl_front_conn_close(SL_CONTAINER(front->conns.next, struct sl_front_conn, link),
                            SL_CLOSE_SHUTDOWN, false);
    (void)reap(front);
    sl_loop_unhook(&front->start_hook);
    sl_loop_unhook(&front->write_hook);
    sl_loop_unhook(&front->reap_hook);
    sl_free(front);
}

struct sl_front_stats sl_front_stats(const struct sl_front *front) {
    return front->stats;
}
