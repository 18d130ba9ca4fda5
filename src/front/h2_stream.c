/*
 * HTTP/2 streams: what nghttp2 calls back with becomes requests, and what handlers answer becomes
 * frames.
 *
 * Heads. nghttp2 refuses what breaks RFC 9113 8 (RST_STREAM): pseudo headers that are missing,
 * doubled or late, connection-specific fields, upper case, a Content-Length the body does not keep.
 * What is well-formed and still not served gets an answer: limits, CONNECT, a target that is not a
 * path, an authority in doubt.
 *
 * Request bodies. Bytes count against the stream's and the connection's window until the handler
 * has them. While it pauses, they are kept here, at most a window of them.
 *
 * Response bodies. nghttp2 asks for a frame's worth when the windows and `out` have room; the
 * handler's slices are then copied into `out` once, behind the frame header.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "front/h2.h"
#include "front/head.h"
#include "sluice/base/mem.h"

/* Fields of a response or trailer, with :status and content-length: Bedrock sends about ten. */
#define FIELDS_MAX 128

/* What RFC 9113 6.5.2 adds to the lengths of a field's name and value. */
#define FIELD_OVERHEAD 32

static struct h2_stream *stream_of(struct h2 *h, int32_t id) {
    return nghttp2_session_get_stream_user_data(h->session, id);
}

static struct h2_stream *h2_stream(struct sl_stream *base) {
    return SL_CONTAINER(base, struct h2_stream, base);
}

static struct h2 *session_of(const struct h2_stream *s) {
    return s->base.c->proto;
}

/* For callbacks of mem_recv: nothing further is wanted from a connection that was closed. */
static int go_on(const struct h2 *h) {
    return h->c->state == SL_FRONT_OPEN ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* Gives n bytes back to both windows, or, once the stream is gone, to the connection's. */
static void consume(struct h2 *h, int32_t id, size_t n) {
    if (nghttp2_session_consume(h->session, id, n) != 0)
        h2_fail(h);
}

/* Output waits for the client from now on. */
static void expect_progress(struct h2_stream *s) {
    struct sl_front_conn *c = s->base.c;
    s->base.write_since = c->loop->now;
    if (c->limits->write_ms)
        sl_front_conn_due(c, c->loop->now + c->limits->write_ms * SL_NS_PER_MS);
}

/* ---- life ---- */

void h2_stream_set_over(struct h2_stream *s, enum sl_close_reason reason) {
    if (sl_list_linked(&s->over_link))
        return;
    s->base.reason = reason;
    sl_list_push_back(&session_of(s)->over, &s->over_link);
}

void h2_stream_end(struct h2_stream *s) {
    sl_stream_end(&s->base, s->base.reason);
}

void h2_stream_free(struct sl_stream *base) {
    struct h2_stream *s = h2_stream(base);
    struct h2 *h = session_of(s);
    /* An aborted stream is still nghttp2's until its RST_STREAM has left; others are not found. */
    (void)nghttp2_session_set_stream_user_data(h->session, s->id, NULL);
    if (h->head == s)
        h->head = NULL;
    size_t held = (size_t)(s->held.end - s->held_at.offset);
    if (held)
        consume(h, s->id, held);
    sl_chain_done(&s->held);
    sl_list_remove(&s->over_link);
    sl_list_remove(&s->held_link);
    sl_free(s);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *ctx) {
    (void)session, (void)code;
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, id);
    h2_rest_end(h, id);
    if (!s)
        return 0;
    if (h->head == s)
        h->head = NULL;
    if (!s->sent_end && !s->base.aborted)
        h2_count_reset(h);
    h2_stream_set_over(s, s->sent_end ? s->base.reason : SL_CLOSE_CLIENT);
    return 0;
}

static void note_ended_here(struct h2 *h, int32_t id) {
    if (id > h->ended_here)
        h->ended_here = id;
}

/* nghttp2 resets such a stream, or ends the session; of refused ones nothing else is heard. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *ctx) {
    (void)session, (void)error;
    note_ended_here(ctx, frame->hd.stream_id);
    return 0;
}

/* ---- request heads ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    struct h2_stream *s = sl_calloc(1, sizeof(*s));
    if (!s)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s->id = frame->hd.stream_id;
    sl_list_init(&s->over_link);
    sl_list_init(&s->held_link);
    sl_chain_init(&s->held, NULL);
    sl_stream_open(&s->base, h->c);
    s->base.head.method = s->base.head.target = s->base.head.authority = SL_EMPTY;
    s->base.head.content_length = SL_LENGTH_UNKNOWN;
    s->base.head.version = 20;
    h->head = s;
    h->before = h->opened;
    h->opened = s->id;
    int rc = nghttp2_session_set_stream_user_data(session, s->id, s);
    assert(rc == 0); /* nghttp2 has just made it */
    (void)rc;
    return 0;
}

/* The first reason stands. */
static void refuse(struct h2_stream *s, int status, const char *why) {
    if (!s->refused) {
        s->refused = status;
        s->why = why;
    }
}

static int take_field(struct h2_stream *s, struct sl_slice name, struct sl_slice value) {
    static const struct {
        struct sl_slice name;
        size_t offset;
    } pseudo[] = {
        {SL_LIT(":method"), offsetof(struct sl_request_head, method)},
        {SL_LIT(":path"), offsetof(struct sl_request_head, target)},
        {SL_LIT(":authority"), offsetof(struct sl_request_head, authority)},
    };
    struct sl_request_head *head = &s->base.head;
    if (name.len == 0 || name.ptr[0] != ':')
        return sl_headers_add_copy(&head->headers, &s->base.arena, name, value);
    for (size_t i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++)
        if (sl_slice_eq(name, pseudo[i].name))
            return sl_arena_copy(&s->base.arena, value,
                                 (struct sl_slice *)(void *)((char *)head + pseudo[i].offset));
    return SL_OK; /* :scheme says nothing that the connection does not */
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *ctx) {
    (void)session, (void)flags;
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, frame->hd.stream_id);
    if (!s || s != h->head)
        return 0; /* trailers: nobody reads them */
    const struct sl_front_limits *limits = h->c->limits;
    s->head_size += name_len + value_len + FIELD_OVERHEAD;
    if (s->head_size > limits->header_bytes)
        refuse(s, 431, "the request's headers are too large");
    else if (s->base.head.headers.count >= limits->header_count && name_len && name[0] != ':')
        refuse(s, 431, "the request has too many headers");
    if (s->refused)
        return 0;
    int err = take_field(s, sl_slice_of(name, name_len), sl_slice_of(value, value_len));
    return err ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : 0;
}

/* nghttp2 would go on without the field, which the client may have signed. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *ctx) {
    (void)session, (void)name, (void)name_len, (void)value, (void)value_len, (void)flags;
    struct h2 *h = ctx;
    if (h->head && h->head->id == frame->hd.stream_id)
        refuse(h->head, 400, "a header holds characters that HTTP does not allow");
    return 0;
}

static void check_head(struct h2_stream *s) {
    struct sl_request_head *head = &s->base.head;
    struct sl_slice host = sl_headers_get(&head->headers, SL_LIT("host"));
    if (head->authority.len == 0)
        head->authority = host;
    else if (host.len && !sl_slice_ieq(host, head->authority))
        refuse(s, 400, "Host and :authority differ");
    if (sl_slice_eq(head->method, SL_LIT("CONNECT")))
        refuse(s, 501, "CONNECT is not served");
    if (!sl_head_is_target(head->target) || head->target.ptr[0] != '/')
        refuse(s, 400, "the request's :path is not a path");
    if (head->authority.len == 0)
        refuse(s, 400, "the request names no host");
    if (!sl_head_is_host(head->authority))
        refuse(s, 400, "the request's :authority is no host"); /* RFC 9113 8.3.1 */

    const struct sl_header *length = sl_headers_find(&head->headers, SL_LIT("content-length"));
    uint64_t n;
    if (!length)
        return;
    if (sl_slice_u64(length->value, &n) && n <= INT64_MAX)
        head->content_length = (int64_t)n;
    else
        refuse(s, 400, "the Content-Length is not a number");
}

/* A body that is wanted, and longer than the first window, gets a window to be fast in. */
static void widen(struct h2_stream *s) {
    struct sl_stream *base = &s->base;
    int64_t length = base->head.content_length;
    if (s->wide || base->paused || base->aborted || base->input_over ||
        (length != SL_LENGTH_UNKNOWN && length <= NGHTTP2_INITIAL_WINDOW_SIZE))
        return;
    s->wide = true;
    struct h2 *h = session_of(s);
    if (nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, s->id,
                                              H2_STREAM_WINDOW) != 0)
        h2_fail(h);
}

static void head_complete(struct h2_stream *s, bool end_stream) {
    struct sl_stream *base = &s->base;
    struct h2 *h = session_of(s);
    h->head = NULL;
    sl_front_conn_head(h->c, false);
    base->head.has_body = !end_stream;
    check_head(s);
    if (s->refused)
        sl_stream_malformed(base, s->refused, s->why);
    else
        sl_stream_request(base);
    if (base->input_over)
        return;
    widen(s);
    struct sl_slice expect = sl_headers_get(&base->head.headers, SL_LIT("expect"));
    if (!base->responded && !base->aborted && sl_slice_ieq(expect, SL_LIT("100-continue")))
        h2_stream_interim(base, 100);
}

/* ---- request bodies ---- */

static void hold(struct h2_stream *s, struct sl_slice bytes) {
    struct h2 *h = session_of(s);
    if (sl_chain_add(&s->held, bytes) != SL_OK) {
        sl_stream_fault(&s->base, 503, "out of memory");
        consume(h, s->id, bytes.len);
    } else if (!sl_list_linked(&s->held_link)) {
        sl_list_push_back(&h->held, &s->held_link);
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *ctx) {
    (void)session, (void)flags;
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, id);
    struct sl_slice bytes = sl_slice_of(data, len);
    bool wanted = s && !s->base.aborted && !s->base.input_over;
    if (s)
        s->came += len;
    h2_rest_data(h, id, len);
    if (wanted && (s->base.paused || sl_list_linked(&s->held_link))) {
        hold(s, bytes);
        return go_on(h);
    }
    if (wanted) {
        sl_stream_body(&s->base, bytes);
        widen(s);
    }
    consume(h, id, len);
    return go_on(h);
}

static void body_end(struct h2_stream *s) {
    if (s->base.paused || sl_list_linked(&s->held_link)) {
        s->end_held = true;
        if (!sl_list_linked(&s->held_link))
            sl_list_push_back(&session_of(s)->held, &s->held_link);
    } else {
        sl_stream_body_end(&s->base);
    }
}

bool h2_stream_release(struct h2_stream *s) {
    struct sl_slice piece;
    if (s->base.paused || s->base.aborted)
        return false;
    if (sl_chain_peek(&s->held, &s->held_at, &piece, 1)) {
        sl_stream_body(&s->base, piece);
        sl_chain_advance(&s->held, &s->held_at, piece.len);
        consume(session_of(s), s->id, piece.len);
        sl_chain_drop(&s->held, s->held_at.offset);
    }
    if (s->held_at.offset < s->held.end || s->base.paused)
        return !s->base.paused;
    sl_list_remove(&s->held_link);
    sl_chain_done(&s->held);
    s->held_at = (struct sl_chain_cursor){.offset = s->held.end};
    if (s->end_held)
        sl_stream_body_end(&s->base);
    return false;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    (void)session;
    struct h2 *h = ctx;
    bool end_stream = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct h2_stream *s = NULL;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        s = stream_of(h, frame->hd.stream_id);
        if (s && s == h->head)
            head_complete(s, end_stream);
        else if (s && end_stream)
            body_end(s); /* behind trailers */
        break;
    case NGHTTP2_DATA:
        s = stream_of(h, frame->hd.stream_id);
        if (s && end_stream)
            body_end(s);
        break;
    case NGHTTP2_SETTINGS:
        h->greeted = true;
        break;
    case NGHTTP2_PING: /* the only ping we send stands behind the shutdown notice */
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && h->drain == H2_LEAVING)
            h2_leave(h);
        break;
    default:
        break;
    }
    return go_on(h);
}

/* ---- responses ---- */

struct fields {
    nghttp2_nv items[FIELDS_MAX];
    size_t count;
};

/* nghttp2 copies what it is given, and lower-cases names. */
static int add_field(struct fields *f, struct sl_slice name, struct sl_slice value) {
    if (f->count == FIELDS_MAX)
        return SL_E_LIMIT;
    f->items[f->count++] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.ptr,
                                        .namelen = name.len,
                                        .value = (uint8_t *)(uintptr_t)value.ptr,
                                        .valuelen = value.len};
    return SL_OK;
}

static int add_fields(struct fields *f, const struct sl_headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        int err = add_field(f, headers->items[i].name, headers->items[i].value);
        if (err)
            return err;
    }
    return SL_OK;
}

/* RFC 9110 6.4.1: what never has content, whatever the handler has ready. */
static bool is_bodyless(const struct h2_stream *s, const struct sl_response_head *head) {
    return sl_slice_eq(s->base.head.method, SL_LIT("HEAD")) || head->status == 204 ||
           head->status == 304 || (head->content_length == 0 && s->trailers.count == 0);
}

static int submit_trailers(struct h2 *h, struct h2_stream *s) {
    struct fields fields;
    fields.count = 0;
    if (add_fields(&fields, &s->trailers) != SL_OK)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    return nghttp2_submit_trailer(h->session, s->id, fields.items, fields.count) == 0
               ? 0
               : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* nghttp2 asks for a frame. It gets one while `out` has room for that and for one that is not DATA.
 */
static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    (void)session, (void)buf, (void)source;
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, id);
    if (!s || s->base.aborted)
        return NGHTTP2_ERR_DEFERRED; /* its RST_STREAM is on the way */
    if (h->out.max - h->out.len < (size_t)2 * H2_FRAME_MAX)
        return NGHTTP2_ERR_PAUSE;

    bool end = false;
    h->body_count = sl_stream_peek(&s->base, h->body, H2_SLICES, &end);
    size_t ready = 0;
    for (size_t i = 0; i < h->body_count; i++)
        ready += h->body[i].len;
    if (s->base.aborted || (ready == 0 && !end)) {
        s->deferred = true;
        s->base.write_since = 0;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = ready < length ? ready : length;
    if (sl_buf_reserve(&h->out, H2_FRAME_HEADER + n) != SL_OK)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (end && n == ready) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailers.count) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            int rc = submit_trailers(h, s);
            if (rc)
                return rc;
        }
    }
    return (ssize_t)n;
}

/* Follows read_body within the same call of nghttp2_session_mem_send; room is reserved. */
static int send_body(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_header,
                     size_t length, nghttp2_data_source *source, void *ctx) {
    (void)session, (void)source;
    struct h2 *h = ctx;
    struct h2_stream *s = stream_of(h, frame->hd.stream_id);
    assert(s && frame->data.padlen == 0);
    int err = sl_buf_add(&h->out, sl_slice_of(frame_header, H2_FRAME_HEADER));
    size_t left = length;
    for (size_t i = 0; left && !err; i++) {
        assert(i < h->body_count);
        struct sl_slice piece = sl_slice_head(h->body[i], left);
        err = sl_buf_add(&h->out, piece);
        left -= piece.len;
    }
    if (err)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    expect_progress(s);
    if (length)
        sl_stream_advance(&s->base, length);
    return 0;
}

/* A response may end before its request has: then the handler is done, and what is left of the
 * request is nobody's. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *ctx) {
    struct h2 *h = ctx;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        note_ended_here(h, frame->hd.stream_id);
    bool carries_end = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (!carries_end || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    int32_t id = frame->hd.stream_id;
    struct h2_stream *s = stream_of(h, id);
    if (!s)
        return 0;
    s->sent_end = true;
    s->base.write_since = 0;
    if (nghttp2_session_get_stream_remote_close(session, id) == 0) {
        int64_t length = s->base.head.content_length;
        h2_rest_begin(h, id, length < 0 ? SL_LENGTH_UNKNOWN : length - (int64_t)s->came);
        h2_stream_set_over(s, s->base.reason);
    }
    return 0;
}

int h2_stream_respond(struct sl_stream *base, const struct sl_response_head *head) {
    struct h2_stream *s = h2_stream(base);
    char status[12], length[24];
    int status_len = snprintf(status, sizeof(status), "%d", head->status);
    struct fields fields;
    fields.count = 0;
    int err = add_field(&fields, SL_LIT(":status"), sl_slice_of(status, (size_t)status_len));
    if (!err && head->content_length >= 0 && head->status != 204) {
        int n = snprintf(length, sizeof(length), "%" PRId64, head->content_length);
        err = add_field(&fields, SL_LIT("content-length"), sl_slice_of(length, (size_t)n));
    }
    if (!err)
        err = add_fields(&fields, &head->headers);
    if (err)
        return err;
    nghttp2_data_provider body = {.read_callback = read_body};
    if (nghttp2_submit_response(session_of(s)->session, s->id, fields.items, fields.count,
                                is_bodyless(s, head) ? NULL : &body) != 0)
        return SL_E_NOMEM;
    expect_progress(s);
    return SL_OK;
}

/* Only a sign of life: none waits behind output that the client does not take. */
void h2_stream_interim(struct sl_stream *base, int status) {
    struct h2_stream *s = h2_stream(base);
    struct h2 *h = session_of(s);
    if (h->out.len)
        return;
    char text[12];
    int len = snprintf(text, sizeof(text), "%d", status);
    struct fields fields;
    fields.count = 0;
    int err = add_field(&fields, SL_LIT(":status"), sl_slice_of(text, (size_t)len));
    if (!err && nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, s->id, NULL, fields.items,
                                       fields.count, NULL) < 0)
        h2_fail(h);
}

int h2_stream_trailers(struct sl_stream *base, const struct sl_headers *trailers) {
    struct h2_stream *s = h2_stream(base);
    for (size_t i = 0; i < trailers->count; i++) {
        int err = sl_headers_add_copy(&s->trailers, &base->arena, trailers->items[i].name,
                                      trailers->items[i].value);
        if (err)
            return err;
    }
    return SL_OK;
}

void h2_stream_wake(struct sl_stream *base) {
    struct h2_stream *s = h2_stream(base);
    if (!s->deferred)
        return;
    s->deferred = false;
    expect_progress(s);
    int rc = nghttp2_session_resume_data(session_of(s)->session, s->id);
    if (rc && nghttp2_is_fatal(rc))
        h2_fail(session_of(s));
}

void h2_stream_abort(struct sl_stream *base) {
    struct h2_stream *s = h2_stream(base);
    struct h2 *h = session_of(s);
    uint32_t code = base->reason == SL_CLOSE_TIMEOUT ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR;
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, s->id, code) != 0)
        h2_fail(h);
    h2_stream_set_over(s, base->reason);
}

/* While paused, on_data holds what comes; then what was held comes first. */
void h2_stream_pause(struct sl_stream *base, bool on) {
    if (!on && sl_list_linked(&h2_stream(base)->held_link))
        sl_front_conn_resume(base->c);
}

void h2_stream_callbacks(nghttp2_session_callbacks *callbacks) {
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_body);
}
