/*
 * An HTTP/2 connection as nghttp2 runs it: bytes in, bytes out, and its end.
 *
 *   on_read ─▶ nghttp2_session_mem_recv ─▶ callbacks of h2_stream.c ─▶ handler
 *   write   ◀─ out ◀─ nghttp2_session_mem_send ◀─ frames, and bodies pulled from the handler
 *
 * Everything a peer can make grow has a bound here or in nghttp2's options: frames that wait for
 * output (reading stops), acknowledgements, CONTINUATION frames, SETTINGS entries, resets, and
 * input kept for paused streams (the connection's window).
 *
 * A session is over when nghttp2 wants neither to read nor to write: behind a GOAWAY, of either
 * side, and the last stream. A GOAWAY from the client alone ends nothing: AWS's JavaScript SDK
 * sends one while its response still flows.
 */
#include "front/h2.h"

#include "sluice/base/mem.h"

/* Room for three full DATA frames, and one frame more of what is not DATA. */
#define OUT_MAX ((size_t)4 * H2_FRAME_MAX)

/* Frames queued in nghttp2 beyond which no more input is taken: each may answer input of a few
 * bytes (RST_STREAM, acknowledgements). Far above what 256 streams need. */
#define QUEUE_MAX 1024

/* Acknowledgements of PING and SETTINGS that may wait; what reads leave between two writes. */
#define ACKS_MAX 1000
/* CONTINUATION frames behind one HEADERS frame: 144 KiB of compressed fields. */
#define CONTINUATIONS_MAX 8
/* Entries in one SETTINGS frame; seven are defined. */
#define SETTINGS_MAX 32

static void *mem_malloc(size_t size, void *unused) {
    (void)unused;
    return sl_alloc(size);
}

static void mem_free(void *ptr, void *unused) {
    (void)unused;
    sl_free(ptr);
}

static void *mem_calloc(size_t count, size_t size, void *unused) {
    (void)unused;
    return sl_calloc(count, size);
}

static void *mem_realloc(void *ptr, size_t size, void *unused) {
    (void)unused;
    return sl_realloc(ptr, size);
}

void h2_fail(struct h2 *h) {
    sl_front_conn_close(h->c, h->reason, true);
}

/* Ends the session in order: GOAWAY is written, then the connection closes. */
static void terminate(struct h2 *h, uint32_t code, enum sl_close_reason reason) {
    h->reason = reason;
    if (nghttp2_session_terminate_session(h->session, code) != 0)
        h2_fail(h);
    else
        sl_front_conn_mark(h->c);
}

/*
 * A token bucket as one time (GCRA): each reset moves it on by the interval of the rate; it may
 * run ahead of the clock by the burst.
 */
void h2_count_reset(struct h2 *h) {
    const struct sl_front_limits *limits = h->c->limits;
    uint64_t interval = SL_NS_PER_S / (limits->resets_per_s ? limits->resets_per_s : 1);
    uint64_t now = h->c->loop->now;
    if (h->resets_until < now)
        h->resets_until = now;
    h->resets_until += interval;
    if (h->resets_until - now > limits->resets_burst * interval)
        terminate(h, NGHTTP2_ENHANCE_YOUR_CALM, SL_CLOSE_CLIENT);
}

/* ---- opening ---- */

/* The counts of nghttp2's own reset limit include resets of streams long gone, so it stands behind
 * ours, which answers with the right code. */
static nghttp2_option *make_options(const struct sl_front_limits *limits) {
    nghttp2_option *option;
    if (nghttp2_option_new(&option) != 0)
        return NULL;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
    nghttp2_option_set_max_settings(option, SETTINGS_MAX);
    nghttp2_option_set_max_continuations(option, CONTINUATIONS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(option, 2 * (uint64_t)limits->resets_burst + 1,
                                               2 * (uint64_t)limits->resets_per_s + 1);
    return option;
}

static int make_session(struct h2 *h) {
    static nghttp2_mem mem = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};
    nghttp2_option *option = make_options(h->c->limits);
    nghttp2_session_callbacks *callbacks;
    if (!option || nghttp2_session_callbacks_new(&callbacks) != 0) {
        nghttp2_option_del(option);
        return SL_E_NOMEM;
    }
    h2_stream_callbacks(callbacks);
    int rc = nghttp2_session_server_new3(&h->session, callbacks, h, option, &mem);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    return rc == 0 ? SL_OK : SL_E_NOMEM;
}

static int greet(struct h2 *h) {
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->c->limits->streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h->c->limits->header_bytes},
    };
    size_t count = sizeof(settings) / sizeof(settings[0]);
    if (nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, count) != 0 ||
        nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                              H2_CONNECTION_WINDOW) != 0)
        return SL_E_NOMEM;
    return SL_OK;
}

static int h2_open(struct sl_front_conn *c) {
    struct h2 *h = sl_calloc(1, sizeof(*h));
    if (!h)
        return SL_E_NOMEM;
    c->proto = h;
    h->c = c;
    h->reason = SL_CLOSE_CLIENT;
    h->frame_left = NGHTTP2_CLIENT_MAGIC_LEN;
    sl_buf_init(&h->out, OUT_MAX);
    sl_list_init(&h->over);
    sl_list_init(&h->held);
    h2_rests_init(h);
    int err = make_session(h);
    if (err == SL_OK)
        err = greet(h);
    if (err == SL_OK) {
        sl_front_conn_head(c, true); /* the preface is due at once */
        sl_front_conn_mark(c);
    }
    return err;
}

static void h2_free(struct sl_front_conn *c) {
    struct h2 *h = c->proto;
    if (!h)
        return;
    h2_rests_done(h);
    nghttp2_session_del(h->session);
    sl_buf_done(&h->out);
    sl_free(h);
    c->proto = NULL;
}

/* ---- ending ---- */

static void end_over(struct h2 *h) {
    struct sl_list *node;
    bool any = !sl_list_empty(&h->over);
    while ((node = sl_list_first(&h->over)))
        h2_stream_end(SL_CONTAINER(node, struct h2_stream, over_link));
    if (any && h->drain == H2_LEAVING && h->c->stream_count == 0)
        h2_drain(h->c);
}

/* Closes the connection when nghttp2 has no more use for it and all is written. */
static void settle(struct h2 *h) {
    if (nghttp2_session_want_read(h->session) || nghttp2_session_want_write(h->session))
        return;
    struct sl_list *node;
    while ((node = sl_list_first(&h->c->streams))) {
        struct h2_stream *s = SL_CONTAINER(node, struct h2_stream, base.link);
        h2_stream_set_over(s, h->reason);
        h2_stream_end(s);
    }
    sl_front_conn_linger(h->c);
}

void h2_leave(struct h2 *h) {
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    if (nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0) != 0)
        h2_fail(h);
    h->drain = H2_LEFT;
}

/*
 * RFC 9113 6.8: a notice first, with a PING behind it; its answer says that the client has read the
 * notice, and that what it sent before is in. An idle connection leaves at once: the GOAWAY tells a
 * client whose request crossed it that nobody has looked at it.
 */
void h2_drain(struct sl_front_conn *c) {
    struct h2 *h = c->proto;
    if (h->drain == H2_LEFT)
        return;
    if (c->stream_count == 0) {
        h2_leave(h);
    } else if (h->drain == H2_SERVING) {
        h->drain = H2_LEAVING;
        if (nghttp2_submit_shutdown_notice(h->session) != 0 ||
            nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) != 0)
            h2_fail(h);
    }
    sl_front_conn_mark(c);
}

/* ---- bytes in ---- */

/*
 * A frame for a stream that is closed (RFC 9113 5.1, 5.1.1). nghttp2 forgets closed streams and
 * ignores what comes for them; a memory of its own for them would cost up to 70 KiB a connection.
 * What crossed an RST_STREAM of ours is nobody's mistake and is still ignored, for streams up to
 * the newest that was reset here; those above it were ended by the client, which knows that. A
 * HEADERS frame may also come for an id that was skipped; of those, the newest are told apart.
 */
static void check_closed(struct h2 *h, uint8_t type, int32_t id) {
    bool closed = id > h->ended_here && id <= h->opened &&
                  nghttp2_session_get_stream_remote_close(h->session, id) < 0;
    if (!closed)
        return;
    if (type == NGHTTP2_HEADERS) {
        bool skipped = id > h->before && id < h->opened;
        terminate(h, skipped ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_STREAM_CLOSED, SL_CLOSE_CLIENT);
    } else if (type == NGHTTP2_DATA) {
        if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_STREAM_CLOSED))
            h2_fail(h);
        else
            h2_count_reset(h);
    }
}

/* Goes on from *at to where the header of a frame has become whole. False: to the end of bytes. */
static bool next_header(struct h2 *h, struct sl_slice bytes, size_t *at) {
    while (*at < bytes.len) {
        size_t left = h->frame_left ? h->frame_left : (size_t)H2_FRAME_HEADER - h->header_len;
        struct sl_slice part = sl_slice_head(sl_slice_skip(bytes, *at), left);
        *at += part.len;
        if (h->frame_left) {
            h->frame_left -= (uint32_t)part.len;
            continue;
        }
        memcpy(h->header + h->header_len, part.ptr, part.len);
        h->header_len = (uint8_t)(h->header_len + part.len);
        if (h->header_len == H2_FRAME_HEADER)
            return true;
    }
    return false;
}

static uint32_t big_endian(const uint8_t *at, size_t len) {
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | at[i];
    return n;
}

static ssize_t feed(struct h2 *h, const void *bytes, size_t len) {
    return len ? nghttp2_session_mem_recv(h->session, bytes, len) : 0;
}

/*
 * Gives nghttp2 the bytes; each frame's header is looked at when all before it has been acted upon.
 * A header that has not come whole is kept until it has: nghttp2 counts a CONTINUATION's once for
 * each piece.
 */
static ssize_t receive(struct h2 *h, struct sl_slice bytes) {
    size_t given = 0, at = 0;
    ssize_t n = 0;
    while (n >= 0 && next_header(h, bytes, &at)) {
        size_t here = at < H2_FRAME_HEADER ? at : H2_FRAME_HEADER; /* of it, in these bytes */
        size_t start = at - here;
        n = feed(h, bytes.ptr + given, start - given);
        if (n < 0)
            break;
        given = start;
        h->header_len = 0;
        h->frame_left = big_endian(h->header, 3);
        check_closed(h, h->header[3], (int32_t)(big_endian(h->header + 5, 4) & INT32_MAX));
        n = feed(h, h->header, H2_FRAME_HEADER - here);
    }
    size_t kept = h->header_len < bytes.len ? h->header_len : bytes.len;
    return n < 0 ? n : feed(h, bytes.ptr + given, bytes.len - kept - given);
}

static void h2_on_read(struct sl_front_conn *c, struct sl_slice bytes) {
    struct h2 *h = c->proto;
    ssize_t n = receive(h, bytes);
    end_over(h);
    if (c->state != SL_FRONT_OPEN)
        return;
    if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
        sl_front_conn_finish(c); /* another protocol: nothing of ours would be understood */
        return;
    }
    if (n < 0) {
        h2_fail(h); /* a flood, or out of memory: nghttp2 takes and gives no more */
        return;
    }
    sl_front_conn_head(c, !h->greeted || h->head);
    if (nghttp2_session_get_outbound_queue_size(h->session) > QUEUE_MAX && !h->read_stopped) {
        h->read_stopped = true;
        sl_conn_read_stop(c->conn);
    }
    sl_front_conn_mark(c);
}

/* Half a connection is of no use to HTTP/2: windows could not be opened, nor streams reset. */
static void h2_on_eof(struct sl_front_conn *c) {
    sl_front_conn_close(c, SL_CLOSE_CLIENT, false);
}

static void h2_on_head_timeout(struct sl_front_conn *c) {
    terminate(c->proto, NGHTTP2_ENHANCE_YOUR_CALM, SL_CLOSE_TIMEOUT);
}

static void h2_resume(struct sl_front_conn *c) {
    struct h2 *h = c->proto;
    bool more = false;
    SL_LIST_EACH(&h->held, node, next) {
        struct h2_stream *s = SL_CONTAINER(node, struct h2_stream, held_link);
        more |= h2_stream_release(s);
    }
    if (more)
        sl_front_conn_resume(c);
    sl_front_conn_mark(c);
}

/* ---- bytes out ---- */

static int fill(struct h2 *h) {
    sl_buf_clear(&h->out);
    h->out_at = 0;
    while (h->out.max - h->out.len >= H2_FRAME_MAX) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(h->session, &bytes);
        if (n <= 0)
            return (int)n;
        int err = sl_buf_add(&h->out, sl_slice_of(bytes, (size_t)n));
        if (err)
            return err;
    }
    return SL_OK;
}

/* Nothing waits: memory goes back, and reading goes on. */
static void at_rest(struct h2 *h) {
    sl_buf_done(&h->out);
    if (h->read_stopped) {
        h->read_stopped = false;
        sl_conn_read_start(h->c->conn);
    }
    settle(h);
}

static void h2_write(struct sl_front_conn *c) {
    struct h2 *h = c->proto;
    end_over(h);
    for (size_t written = 0; c->state == SL_FRONT_OPEN;) {
        if (h->out_at == h->out.len) {
            int err = fill(h);
            end_over(h);
            if (err < 0) {
                h2_fail(h);
                return;
            }
            if (h->out.len == 0) {
                at_rest(h);
                return;
            }
        }
        if (written >= SL_FRONT_TURN_BYTES) {
            sl_front_conn_mark(c);
            sl_loop_again(c->loop);
            return;
        }
        struct sl_slice rest = sl_slice_skip(sl_buf_slice(&h->out), h->out_at);
        int64_t n = sl_front_conn_write(c, &rest, 1);
        if (n < 0)
            return;
        h->out_at += (size_t)n;
        written += (size_t)n;
        if (h->out_at < h->out.len)
            return; /* called again when the connection takes more */
    }
}

const struct sl_transport_ops sl_h2_ops = {
    .name = "h2",
    .open = h2_open,
    .free = h2_free,
    .stream_free = h2_stream_free,
    .on_read = h2_on_read,
    .on_eof = h2_on_eof,
    .on_head_timeout = h2_on_head_timeout,
    .resume = h2_resume,
    .write = h2_write,
    .drain = h2_drain,
    .respond = h2_stream_respond,
    .interim = h2_stream_interim,
    .trailers = h2_stream_trailers,
    .wake = h2_stream_wake,
    .abort = h2_stream_abort,
    .pause = h2_stream_pause,
};
