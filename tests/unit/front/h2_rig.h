/*
 * A real front on a loopback port, a scripted handler behind it, and an nghttp2 client in front of
 * it, all on one uv loop. What the tests wait for are events; a guard fails a test that waits for
 * nothing.
 *
 * Bodies in both directions are one endless pattern, so that either side can check any length
 * without keeping it.
 */
#ifndef SLUICE_TESTS_H2_RIG_H
#define SLUICE_TESTS_H2_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sluice/base/chain.h"
#include "sluice/base/mem.h"
#include "sluice/front/front.h"

#define GUARD_MS      20000
#define EXCHANGES_MAX 2048
#define CALLS_MAX     2048

/* ---- the pattern ---- */

#define PERIOD      251
#define PATTERN_LEN (PERIOD * 300)
static char pattern[PATTERN_LEN];

static void pattern_init(void) {
    for (size_t i = 0; i < PATTERN_LEN; i++)
        pattern[i] = (char)(i % PERIOD);
}

static bool pattern_matches(uint64_t at, const void *bytes, size_t len) {
    const char *p = bytes;
    while (len) {
        size_t from = at % PERIOD, n = PATTERN_LEN - from;
        if (n > len)
            n = len;
        if (memcmp(pattern + from, p, n) != 0)
            return false;
        p += n;
        at += n;
        len -= n;
    }
    return true;
}

/* ---- the server's side ---- */

struct rig;

struct exchange {
    struct rig *rig;
    struct sl_stream *stream;
    char method[16], target[256], authority[64], token[64];
    size_t headers;
    int64_t content_length;
    int malformed, fault; /* their status */
    uint64_t received;
    bool requested, has_body, intact, body_end;
    uint64_t ready, total, sent; /* of the response's body: peek gives up to ready of total */
    bool trailers;               /* are given with the last bytes */
    bool abort_in_peek;
    int closed;
    enum sl_close_reason reason;
};

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_front_limits limits;
    struct sl_front *front;
    struct sl_tls *tls;
    uint16_t port;
    uv_timer_t guard;
    bool guard_fired;
    bool memory_fails; /* allocations are made to fail */
    struct exchange *exchanges[EXCHANGES_MAX];
    size_t count, closed;
};

static void respond(struct exchange *e, int status, uint64_t total, uint64_t ready,
                    bool with_length) {
    struct sl_header items[] = {{SL_LIT("X-Test"), SL_LIT("Value")}};
    struct sl_response_head head = {
        .status = status,
        .headers = {items, 1, 1},
        .content_length = with_length ? (int64_t)total : SL_LENGTH_UNKNOWN,
    };
    e->total = total;
    e->ready = ready;
    if (sl_stream_respond(e->stream, &head) != SL_OK) {
        assert_true(e->rig->memory_fails);
        sl_stream_abort(e->stream);
    }
}

static void give(struct exchange *e, uint64_t ready) {
    e->ready = ready;
    sl_stream_wake(e->stream);
}

static struct exchange *exchange_new(struct rig *rig, struct sl_stream *stream,
                                     const struct sl_request_head *head) {
    assert_true(rig->count < EXCHANGES_MAX);
    struct exchange *e = calloc(1, sizeof(*e));
    assert_non_null(e);
    rig->exchanges[rig->count++] = e;
    struct sl_slice token = sl_headers_get(&head->headers, SL_LIT("x-token"));
    *e = (struct exchange){.rig = rig, .stream = stream, .intact = true};
    snprintf(e->method, sizeof(e->method), "%.*s", SL_FMT(head->method));
    snprintf(e->target, sizeof(e->target), "%.*s", SL_FMT(head->target));
    snprintf(e->authority, sizeof(e->authority), "%.*s", SL_FMT(head->authority));
    snprintf(e->token, sizeof(e->token), "%.*s", SL_FMT(token));
    e->headers = head->headers.count;
    e->content_length = head->content_length;
    e->has_body = head->has_body;
    return e;
}

/* /size/N answers at once; /echo when the body is in; /pause pauses; others wait for the test. */
static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *head) {
    struct exchange *e = exchange_new(server, stream, head);
    assert_int_equal(head->version, 20);
    e->requested = true;
    uint64_t n;
    if (sscanf(e->target, "/size/%" SCNu64, &n) == 1)
        respond(e, 200, n, n, true);
    else if (strcmp(e->target, "/pause") == 0)
        sl_stream_pause_body(stream);
    else if (strcmp(e->target, "/null") == 0)
        return NULL;
    return e;
}

static void *on_malformed(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why) {
    struct exchange *e = exchange_new(server, stream, head);
    e->malformed = status;
    assert_true(strlen(why) > 0);
    respond(e, status, 10, 10, true);
    return e;
}

static void on_body(void *x, struct sl_slice bytes) {
    struct exchange *e = x;
    e->intact = e->intact && pattern_matches(e->received, bytes.ptr, bytes.len);
    e->received += bytes.len;
}

static void on_body_end(void *x) {
    struct exchange *e = x;
    assert_false(e->body_end);
    e->body_end = true;
    if (strcmp(e->target, "/echo") == 0)
        respond(e, 200, e->received, e->received, true);
}

static void on_fault(void *x, int status, const char *why) {
    struct exchange *e = x;
    assert_true(strlen(why) > 0);
    e->fault = status;
    if (!sl_stream_responded(e->stream))
        respond(e, status, 5, 5, true);
}

static void add_trailers(struct exchange *e) {
    struct sl_header items[] = {{SL_LIT("X-Cost"), SL_LIT("0.25")}};
    struct sl_headers trailers = {items, 1, 1};
    assert_int_equal(sl_stream_trailers(e->stream, &trailers), SL_OK);
}

static size_t peek(void *x, struct sl_slice *out, size_t max, bool *end) {
    struct exchange *e = x;
    uint64_t at = e->sent;
    size_t count = 0;
    while (count < max && at < e->ready) {
        size_t from = at % PERIOD, n = 5000; /* several slices in each frame */
        if (n > e->ready - at)
            n = (size_t)(e->ready - at);
        out[count++] = sl_slice_of(pattern + from, n);
        at += n;
    }
    *end = at == e->total;
    if (*end && e->trailers) {
        e->trailers = false;
        add_trailers(e);
    }
    if (e->abort_in_peek)
        sl_stream_abort(e->stream);
    return count;
}

static void advance(void *x, size_t n) {
    struct exchange *e = x;
    e->sent += n;
    assert_true(e->sent <= e->ready);
}

static void on_close(void *x, enum sl_close_reason reason) {
    struct exchange *e = x;
    e->closed++;
    e->reason = reason;
    e->rig->closed++;
}

static const struct sl_front_handler handler = {
    .on_request = on_request,
    .on_malformed = on_malformed,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_fault = on_fault,
    .peek = peek,
    .advance = advance,
    .on_close = on_close,
};

static void on_guard(uv_timer_t *timer) {
    struct rig *rig = timer->data;
    rig->guard_fired = true;
}

/* A turn that does not wait comes before each that does: what the test asked for since is done
 * there, and may be all that happens. */
#define RUN_UNTIL(rig, cond)                                                                       \
    do {                                                                                           \
        uv_timer_start(&(rig)->guard, on_guard, GUARD_MS, 0);                                      \
        for (int turn = 0; !(cond); turn++) {                                                      \
            if ((rig)->guard_fired)                                                                \
                fail_msg("waited in vain for: %s", #cond);                                         \
            uv_run(&(rig)->uv, turn % 2 ? UV_RUN_ONCE : UV_RUN_NOWAIT);                            \
        }                                                                                          \
        uv_timer_stop(&(rig)->guard);                                                              \
    } while (0)

static void rig_open(struct rig *rig, const struct sl_front_limits *limits, struct sl_tls *tls) {
    *rig = (struct rig){.limits = limits ? *limits : SL_FRONT_LIMITS_DEFAULT, .tls = tls};
    pattern_init();
    assert_int_equal(uv_loop_init(&rig->uv), 0);
    assert_int_equal(sl_loop_init(&rig->loop, &rig->uv), SL_OK);
    assert_int_equal(uv_timer_init(&rig->uv, &rig->guard), 0);
    rig->guard.data = rig;
    rig->front = sl_front_new(&rig->loop, &rig->limits, &handler, rig);
    assert_non_null(rig->front);
    char why[256];
    const char *address = sl_front_listen(rig->front, "127.0.0.1", 0, tls, why, sizeof(why));
    assert_non_null(address);
    rig->port = (uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10);
}

/* Every exchange must have been closed, once. */
static void rig_close(struct rig *rig) {
    sl_front_free(rig->front);
    uv_close((uv_handle_t *)&rig->guard, NULL);
    for (int i = 0; i < 10; i++)
        uv_run(&rig->uv, UV_RUN_NOWAIT);
    for (size_t i = 0; i < rig->count; i++) {
        assert_int_equal(rig->exchanges[i]->closed, 1);
        free(rig->exchanges[i]);
    }
    sl_loop_done(&rig->loop);
    uv_run(&rig->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->uv), 0);
    sl_tls_free(rig->tls);
    sl_chunk_pool_done();
}

/* ---- the client's side ---- */

struct call {
    int status, interims[4], interim_count;
    char length[32], test[32], cost[32];
    uint64_t received, upload, uploaded, upload_ready;
    bool intact, trailers, ended, closed;
    uint32_t error;
};

struct client {
    struct rig *rig;
    uv_poll_t poll;
    int fd;
    SSL *ssl;
    nghttp2_session *session;
    const uint8_t *out; /* of the last mem_send, not yet taken */
    size_t out_len;
    size_t split; /* bytes a send takes at most; 0: all */
    bool stop_reading, eof, failed, poll_closed;
    struct call calls[CALLS_MAX]; /* by stream id / 2 */
    int goaways;
    int32_t goaway_last;
    uint32_t goaway_code;
};

static struct call *call_of(struct client *c, int32_t id) {
    assert_true(id > 0 && id / 2 < CALLS_MAX);
    return &c->calls[id / 2];
}

static void copy_text(char *out, size_t size, const uint8_t *value, size_t len) {
    snprintf(out, size, "%.*s", (int)len, (const char *)value);
}

static int client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                         size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                         void *ctx) {
    (void)session, (void)flags;
    struct call *call = call_of(ctx, frame->hd.stream_id);
    struct sl_slice field = sl_slice_of(name, name_len);
    char status[8];
    if (sl_slice_eq(field, SL_LIT(":status"))) {
        copy_text(status, sizeof(status), value, value_len);
        int code = (int)strtol(status, NULL, 10);
        if (code < 200) {
            assert_true(call->interim_count < 4);
            call->interims[call->interim_count++] = code;
        } else {
            assert_int_equal(call->status, 0);
            call->status = code;
        }
    } else if (sl_slice_eq(field, SL_LIT("content-length"))) {
        copy_text(call->length, sizeof(call->length), value, value_len);
    } else if (sl_slice_eq(field, SL_LIT("x-test"))) {
        copy_text(call->test, sizeof(call->test), value, value_len);
    } else if (sl_slice_eq(field, SL_LIT("x-cost"))) {
        copy_text(call->cost, sizeof(call->cost), value, value_len);
        call->trailers = frame->headers.cat == NGHTTP2_HCAT_HEADERS;
    }
    return 0;
}

static int client_frame(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    (void)session;
    struct client *c = ctx;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaways++;
        c->goaway_last = frame->goaway.last_stream_id;
        c->goaway_code = frame->goaway.error_code;
    } else if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        call_of(c, frame->hd.stream_id)->ended = true;
    }
    return 0;
}

static int client_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                       size_t len, void *ctx) {
    (void)session, (void)flags;
    struct call *call = call_of(ctx, id);
    call->intact = call->intact && pattern_matches(call->received, data, len);
    call->received += len;
    return 0;
}

static int client_closed(nghttp2_session *session, int32_t id, uint32_t code, void *ctx) {
    (void)session;
    struct call *call = call_of(ctx, id);
    call->closed = true;
    call->error = code;
    return 0;
}

static ssize_t client_upload(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                             uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    (void)session, (void)source;
    struct call *call = call_of(ctx, id);
    uint64_t left = call->upload_ready - call->uploaded;
    if (left == 0 && call->uploaded < call->upload)
        return NGHTTP2_ERR_DEFERRED;
    size_t from = call->uploaded % PERIOD, n = length < left ? length : (size_t)left;
    memcpy(buf, pattern + from, n);
    call->uploaded += n;
    if (call->uploaded == call->upload)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static ssize_t client_take(struct client *c, void *buf, size_t size) {
    if (!c->ssl)
        return recv(c->fd, buf, size, 0);
    int n = SSL_read(c->ssl, buf, (int)size);
    if (n > 0 || SSL_get_error(c->ssl, n) == SSL_ERROR_ZERO_RETURN)
        return n;
    int error = SSL_get_error(c->ssl, n);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return -1;
}

static ssize_t client_put(struct client *c, const void *buf, size_t size) {
    if (!c->ssl)
        return send(c->fd, buf, size, MSG_NOSIGNAL);
    int n = SSL_write(c->ssl, buf, (int)size);
    if (n > 0)
        return n;
    int error = SSL_get_error(c->ssl, n);
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : EIO;
    return -1;
}

static void client_read(struct client *c) {
    uint8_t buf[65536];
    while (!c->eof && !c->stop_reading) {
        ssize_t n = client_take(c, buf, sizeof(buf));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            c->eof = true;
            return;
        }
        if (nghttp2_session_mem_recv(c->session, buf, (size_t)n) != n)
            c->failed = true;
    }
}

static void client_write(struct client *c) {
    for (size_t quota = c->split ? c->split : SIZE_MAX; quota && !c->eof;) {
        if (c->out_len == 0) {
            ssize_t n = nghttp2_session_mem_send(c->session, &c->out);
            if (n <= 0)
                return;
            c->out_len = (size_t)n;
        }
        ssize_t n = client_put(c, c->out, c->out_len < quota ? c->out_len : quota);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            c->eof = true;
            return;
        }
        c->out += n;
        c->out_len -= (size_t)n;
        quota -= (size_t)n;
    }
}

static void client_watch(struct client *c);

static void on_client_poll(uv_poll_t *poll, int status, int events) {
    struct client *c = poll->data;
    (void)status, (void)events;
    client_read(c);
    client_write(c);
    client_watch(c);
}

static void client_watch(struct client *c) {
    if (c->poll_closed)
        return;
    if (c->eof) {
        uv_poll_stop(&c->poll);
        return;
    }
    int events = c->stop_reading ? 0 : UV_READABLE;
    if (c->out_len || nghttp2_session_want_write(c->session))
        events |= UV_WRITABLE;
    if (events)
        uv_poll_start(&c->poll, events, on_client_poll);
    else
        uv_poll_stop(&c->poll);
}

struct client_settings {
    uint32_t window;     /* initial stream window; 0: the protocol's */
    bool manual_windows; /* what is received is never consumed */
    int receive_buffer;  /* SO_RCVBUF; 0: the system's */
    size_t split;
};

static void client_session(struct client *c, const struct client_settings *settings) {
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_auto_window_update(option, settings->manual_windows);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, client_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, client_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, client_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, client_closed);
    assert_int_equal(nghttp2_session_client_new2(&c->session, callbacks, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings->window},
    };
    size_t count = settings->window ? 1 : 0;
    assert_int_equal(nghttp2_submit_settings(c->session, 0, entries, count), 0);
    if (settings->window > NGHTTP2_INITIAL_WINDOW_SIZE)
        assert_int_equal(
            nghttp2_session_set_local_window_size(c->session, 0, 0, (int32_t)settings->window), 0);
}

static int dial(struct rig *rig, int receive_buffer) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rig->port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0);
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    /* The kernel completes the connection: the listener's backlog has room. */
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static struct client *client_open(struct rig *rig, struct client_settings settings) {
    struct client *c = calloc(1, sizeof(*c));
    c->rig = rig;
    c->split = settings.split;
    c->fd = dial(rig, settings.receive_buffer);
    client_session(c, &settings);
    assert_int_equal(uv_poll_init(&rig->uv, &c->poll, c->fd), 0);
    c->poll.data = c;
    client_watch(c);
    return c;
}

static void client_use_tls(struct client *c, SSL_CTX *ctx) {
    static const uint8_t alpn[] = "\x02h2";
    c->ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_alpn_protos(c->ssl, alpn, sizeof(alpn) - 1), 0);
    assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
    SSL_set_connect_state(c->ssl);
}

static void client_leave(struct client *c) {
    if (c->poll_closed)
        return;
    c->poll_closed = true;
    uv_poll_stop(&c->poll);
    uv_close((uv_handle_t *)&c->poll, NULL);
    close(c->fd);
}

static void client_close(struct client *c) {
    client_leave(c);
    for (int i = 0; i < 3; i++)
        uv_run(&c->rig->uv, UV_RUN_NOWAIT);
    nghttp2_session_del(c->session);
    SSL_free(c->ssl);
    free(c);
}

#define NV(n, v)                                                                                   \
    ((nghttp2_nv){(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0})

/* Any head, with a body of `upload` bytes; -1: none. */
static int32_t client_submit(struct client *c, const nghttp2_nv *nva, size_t count,
                             int64_t upload) {
    nghttp2_data_provider provider = {.read_callback = client_upload};
    int32_t id =
        nghttp2_submit_request(c->session, NULL, nva, count, upload >= 0 ? &provider : NULL, NULL);
    assert_true(id > 0);
    struct call *call = call_of(c, id);
    call->intact = true;
    if (upload >= 0)
        call->upload = call->upload_ready = (uint64_t)upload;
    client_watch(c);
    return id;
}

static int32_t client_get(struct client *c, const char *path) {
    nghttp2_nv nva[] = {NV(":method", "GET"), NV(":scheme", "http"), NV(":path", path),
                        NV(":authority", "localhost"), NV("x-token", "abc")};
    return client_submit(c, nva, 5, -1);
}

static int32_t client_post(struct client *c, const char *path, int64_t upload, bool with_length) {
    char length[24];
    snprintf(length, sizeof(length), "%" PRId64, upload);
    nghttp2_nv nva[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", path),
                        NV(":authority", "localhost"), NV("content-length", length)};
    return client_submit(c, nva, with_length ? 5 : 4, upload);
}

static void client_reset(struct client *c, int32_t id) {
    assert_int_equal(nghttp2_submit_rst_stream(c->session, 0, id, NGHTTP2_CANCEL), 0);
    client_watch(c);
}

#endif
