/*
 * llhttp finds where heads, bodies and messages end; header lines are read here, from the bytes as
 * they came. The parser is paused at the end of each head, of each message, and where an event says
 * stop; a head that came in one piece is read where it lies.
 *
 *   head ──1xx──▶ (message end) ──▶ head ──▶ body ──▶ message end: done
 *
 * llhttp is strict here: a length given twice, a length beside chunks, and whatever else two
 * readers could take differently, is refused.
 */
#include "io/fetch_reply.h"

#include <assert.h>
#include <string.h>

enum stop { STOP_NONE, STOP_HEAD, STOP_BODY, STOP_END };

static int on_headers_complete(llhttp_t *parser) {
    struct sl_reply *r = parser->data;
    r->stop = STOP_HEAD;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
    struct sl_reply *r = parser->data;
    if (len == 0)
        return HPE_OK; /* it was asked whether the body ends here */
    r->delivered = true;
    if (r->events->on_body(r->ctx, sl_slice_of(at, len)))
        return HPE_OK;
    r->stop = STOP_BODY;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *parser) {
    struct sl_reply *r = parser->data;
    r->stop = STOP_END;
    return HPE_PAUSED;
}

/* Of the head and of trailers, together. */
static int on_line(llhttp_t *parser) {
    struct sl_reply *r = parser->data;
    return ++r->lines > SL_REPLY_LINES_MAX ? -1 : 0;
}

static llhttp_settings_t settings = {.on_headers_complete = on_headers_complete,
                                     .on_header_value_complete = on_line,
                                     .on_body = on_body,
                                     .on_message_complete = on_message_complete};

void sl_reply_init(struct sl_reply *r, const struct sl_reply_events *events, void *ctx) {
    *r = (struct sl_reply){.events = events, .ctx = ctx};
    sl_buf_init(&r->head, SL_REPLY_HEAD_MAX);
    sl_reply_begin(r, false);
}

void sl_reply_done(struct sl_reply *r) {
    sl_buf_done(&r->head);
}

static void begin_message(struct sl_reply *r) {
    llhttp_init(&r->parser, HTTP_RESPONSE, &settings);
    r->parser.data = r;
    r->has_head = r->interim = false;
    sl_buf_done(&r->head);
    r->lines = 0;
}

void sl_reply_begin(struct sl_reply *r, bool bodiless) {
    begin_message(r);
    r->bodiless = bodiless;
    r->keep = r->fed = false;
    r->barren = 0;
    r->why = NULL;
}

static const char too_large[] = "the response head is too large";
static const char malformed[] = "the response head is malformed";

static int refuse(struct sl_reply *r, const char *why) {
    r->why = why;
    return SL_E_PROTOCOL;
}

static int refuse_malformed(struct sl_reply *r, llhttp_errno_t error) {
    if (error == HPE_CB_HEADER_VALUE_COMPLETE)
        return refuse(r, too_large);
    if (r->has_head)
        return refuse(r, "the response's chunks are malformed");
    bool http = error != HPE_INVALID_CONSTANT && error != HPE_INVALID_VERSION;
    return refuse(r, http ? malformed : "the answer is not HTTP");
}

/* ---- heads */

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The length of the first line with its end. A line that begins with a blank goes on the one before
 * (obs-fold, RFC 9112 5.2): the line end between them becomes blanks. */
static size_t first_line(char *p, size_t len) {
    for (size_t from = 0;;) {
        char *end = memchr(p + from, '\n', len - from);
        if (!end)
            return len;
        from = (size_t)(end - p) + 1;
        if (from == len || !is_blank(p[from]))
            return from;
        *end = ' ';
        if (end > p && end[-1] == '\r')
            end[-1] = ' ';
    }
}

/* There are no more than on_line has let pass. llhttp takes a line without a name for a header. */
static int split_lines(char *p, size_t len, struct sl_fetch_header *headers, size_t *count) {
    *count = 0;
    for (size_t n; len > 0; p += n, len -= n) {
        n = first_line(p, len);
        struct sl_slice line = sl_slice_of(p, n);
        while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
            line.len--;
        size_t colon = sl_slice_find(line, ':');
        if (colon == line.len)
            continue; /* the empty line at the end: llhttp lets nothing else pass */
        if (colon == 0)
            return SL_E_PROTOCOL;
        assert(*count < SL_REPLY_LINES_MAX);
        headers[(*count)++] = (struct sl_fetch_header){
            sl_slice_head(line, colon), sl_slice_trim(sl_slice_skip(line, colon + 1))};
    }
    return SL_OK;
}

/* Empty lines before the status line are no part of it (RFC 9112 2.2, said of requests). */
static size_t status_line(const char *p, size_t len) {
    size_t at = 0;
    while (at < len && (p[at] == '\r' || p[at] == '\n'))
        at++;
    return at + sl_slice_find(sl_slice_of(p + at, len - at), '\n') + 1;
}

/* Whatever length it tells (RFC 9112 6.3): llhttp would wait for one. */
static bool has_no_body(const struct sl_reply *r, int status) {
    return r->bodiless || status < 200 || status == 204 || status == 304;
}

static int take_head(struct sl_reply *r, char *p, size_t len, bool *go_on) {
    struct sl_fetch_header headers[SL_REPLY_LINES_MAX];
    llhttp_t *parser = &r->parser;
    struct sl_fetch_head head = {
        .status = parser->status_code, .headers = headers, .content_length = -1};
    if (parser->http_major != 1)
        return refuse(r, "the answer is not HTTP/1");
    if (head.status < 100 || head.status == 101)
        return refuse(r, "the response's status is none for this request");
    r->interim = head.status < 200;
    if (has_no_body(r, head.status))
        parser->flags |= F_SKIPBODY;
    if (r->interim)
        return SL_OK;
    size_t from = status_line(p, len);
    if (split_lines(p + from, len - from, headers, &head.header_count) < 0 ||
        parser->content_length > INT64_MAX)
        return refuse(r, malformed);
    if (parser->flags & F_CONTENT_LENGTH)
        head.content_length = (int64_t)parser->content_length;
    r->has_head = true;
    r->keep = llhttp_should_keep_alive(parser);
    *go_on = r->events->on_head(r->ctx, &head);
    return SL_OK;
}

static int store_head(struct sl_reply *r, struct sl_slice part) {
    int rc = sl_buf_add(&r->head, part);
    if (rc == SL_E_LIMIT)
        return refuse(r, too_large);
    if (rc < 0)
        r->why = "out of memory";
    return rc;
}

static int finish_head(struct sl_reply *r, char *p, size_t len, bool *go_on) {
    if (r->head.len == 0)
        return take_head(r, p, len, go_on);
    int rc = store_head(r, sl_slice_of(p, len));
    if (rc == SL_OK)
        rc = take_head(r, r->head.ptr, r->head.len, go_on);
    sl_buf_done(&r->head);
    return rc;
}

/* ---- driving llhttp */

/* The parser has paused behind the first `len` bytes at p. */
static int on_stop(struct sl_reply *r, char *p, size_t len, bool *go_on) {
    int stop = r->stop;
    llhttp_resume(&r->parser);
    switch (stop) {
    case STOP_HEAD:
        return finish_head(r, p, len, go_on);
    case STOP_BODY:
        *go_on = false;
        return SL_REPLY_MORE;
    default:
        if (!r->interim)
            return SL_REPLY_DONE;
        begin_message(r);
        return SL_REPLY_MORE;
    }
}

/* After an event said stop nothing more is parsed, unless nothing is left: then llhttp is asked
 * once more, because the end of a message costs no byte. */
static int run(struct sl_reply *r, char *bytes, size_t len, size_t *used) {
    bool go_on = true;
    size_t at = 0;
    for (;;) {
        llhttp_errno_t error = llhttp_execute(&r->parser, bytes + at, len - at);
        if (error == HPE_OK) {
            *used = len;
            int rc =
                r->has_head || at == len ? SL_OK : store_head(r, sl_slice_of(bytes + at, len - at));
            return rc < 0 ? rc : go_on ? SL_REPLY_MORE : SL_REPLY_HELD;
        }
        if (error != HPE_PAUSED)
            return refuse_malformed(r, error);
        size_t step = (size_t)(llhttp_get_error_pos(&r->parser) - (bytes + at));
        int rc = on_stop(r, bytes + at, step, &go_on);
        at += step;
        *used = at;
        if (rc != SL_REPLY_MORE)
            return rc;
        if (!go_on && at < len)
            return SL_REPLY_HELD;
    }
}

int sl_reply_feed(struct sl_reply *r, char *bytes, size_t len, size_t *used) {
    size_t taken = 0;
    r->fed = true;
    r->delivered = false;
    int rc = run(r, bytes, len, &taken);
    if (rc < 0)
        return rc;
    r->barren = r->delivered ? 0 : r->barren + taken;
    if (r->barren > SL_REPLY_HEAD_MAX && rc != SL_REPLY_DONE)
        return refuse(r,
                      r->has_head ? "the response has no end of what is not its body" : too_large);
    *used = taken;
    return rc;
}

int sl_reply_eof(struct sl_reply *r) {
    if (!r->has_head)
        return refuse(r, r->fed ? "the response head was cut short" : "there was no answer");
    if (llhttp_message_needs_eof(&r->parser))
        return SL_REPLY_DONE;
    r->why = "the response body was cut short";
    return SL_E_EOF;
}
