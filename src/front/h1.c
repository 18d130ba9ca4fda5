/*
 * HTTP/1.1 and 1.0: one stream at a time on a connection, embedded in it.
 *
 * In:  llhttp finds where a head ends and takes bodies apart; head.c reads the head. The parser is
 *      paused at the end of each head and each message, and starts anew for every message: it never
 *      sees bytes of two.
 *
 *        HEAD ──head complete──▶ BODY ──message complete──▶ DONE ──response over──▶ HEAD
 *          │                       └──last chunk──▶ TRAILERS ──▲
 *          └────────────── malformed, or a fault ──────────▶ DISCARD ──▶ lingering close
 *
 *      Trailers are dropped, line by line and read as strictly as a head: llhttp would take a bare
 *      LF for their end, folds, and lines without a name.
 *
 *      Bytes that cannot be used yet (the body is paused; the next request while this one runs) are
 *      kept in `rest`. Reading goes on while rest is short, so that a client that leaves is seen.
 *
 * Out: head and interim responses as text, then the body, straight from the handler's memory:
 *
 *        out ─▶ pre ─▶ body ─▶ post      pre, post: the chunk's framing, empty without chunks
 *
 *      A chunk covers what one write offers. Once any of it has left, its size is fixed: `left`
 * bytes of body must follow before the next.
 */
#include <assert.h>
#include <llhttp.h>
#include <stdio.h>

#include "front/head.h"
#include "front/transport.h"
#include "sluice/base/buf.h"
#include "sluice/base/mem.h"

#define OUT_MAX 262144 /* a response's head; AWS's own are below 16 KiB */
/* What `out` may keep for the next response of an idle connection. */
#define OUT_KEEP 1024
/* What comes with one read, which may follow when reading was just stopped. */
#define READ_SLACK  65536
#define BODY_SLICES 32
/* Bytes around a body (chunk sizes, extensions) that are let pass: some, and some for each of its
 * own. A chunk of one byte needs five. */
#define FRAMING_SLACK  16384
#define FRAMING_FACTOR 16

enum input { IN_HEAD, IN_BODY, IN_TRAILERS, IN_DONE, IN_DISCARD };

enum framing { NO_BODY, BY_LENGTH, BY_CHUNKS, BY_CLOSE };

struct text {
    char bytes[24];
    uint8_t len, sent;
};

struct h1 {
    struct sl_stream stream; /* first: sl_stream and h1 are one address */
    struct sl_front_conn *c;
    bool active; /* the stream is open */

    enum input in;
    bool message_complete; /* llhttp's callback was called */
    llhttp_t parser;
    struct sl_buf part;   /* of a head that is not complete, or of a trailer */
    uint64_t body_used;   /* bytes of the body with its framing */
    size_t trailers_used; /* bytes of its trailers */
    struct sl_buf rest;   /* input for later, from rest_at on */
    size_t rest_at;

    bool keep; /* the connection may serve another request */
    bool http10;
    enum framing framing;
    bool body_over; /* all of the response was taken */
    bool drained;   /* the last peek gave all there was */
    struct sl_buf out;
    size_t out_sent;
    uint64_t length_left; /* BY_LENGTH: of what was promised */
    struct text pre, post;
    size_t left; /* BY_CHUNKS: body bytes of the chunk that is under way */
    bool last;   /* nothing comes behind what was offered */
};

static struct h1 *h1_of(struct sl_front_conn *c) {
    return c->proto;
}

static struct h1 *h1_of_stream(struct sl_stream *s) {
    return SL_CONTAINER(s, struct h1, stream);
}

/* ---- input: what llhttp tells ---- */

static int on_headers_complete(llhttp_t *parser) {
    parser->upgrade = 0; /* nothing is upgraded to here: the request is served as it is */
    return HPE_PAUSED;
}

static int on_body(llhttp_t *parser, const char *at, size_t len) {
    struct h1 *h = parser->data;
    if (!sl_stream_body(&h->stream, sl_slice_of(at, len)))
        return HPE_USER;
    return h->stream.paused ? HPE_PAUSED : HPE_OK;
}

/* Behind the last chunk the rest of the message is read here: see read_trailers. */
static int on_chunk_header(llhttp_t *parser) {
    struct h1 *h = parser->data;
    if (parser->content_length > 0)
        return HPE_OK;
    h->in = IN_TRAILERS;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *parser) {
    struct h1 *h = parser->data;
    h->message_complete = true;
    return HPE_PAUSED;
}

/* No callbacks for headers: head.c reads those. */
static llhttp_settings_t settings = {.on_headers_complete = on_headers_complete,
                                     .on_body = on_body,
                                     .on_chunk_header = on_chunk_header,
                                     .on_message_complete = on_message_complete};

static void start_message(struct h1 *h) {
    h->in = IN_HEAD;
    h->message_complete = false;
    h->body_used = h->trailers_used = 0;
    llhttp_init(&h->parser, HTTP_REQUEST, &settings);
    h->parser.data = h;
}

/* ---- input: heads ---- */

static void open_stream(struct h1 *h) {
    assert(!h->active);
    h->stream = (struct sl_stream){0};
    h->active = true;
    h->framing = NO_BODY;
    h->body_over = h->drained = h->last = false;
    h->left = 0;
    h->pre = h->post = (struct text){0};
    sl_stream_open(&h->stream, h->c);
}

static void refuse(struct h1 *h, int status, const char *why) {
    h->in = IN_DISCARD;
    h->keep = false;
    sl_stream_malformed(&h->stream, status, why);
}

/* Moves the head's bytes into the stream's arena, where its slices live until on_close. */
static struct sl_slice settle_head(struct h1 *h, struct sl_slice raw) {
    struct sl_slice copy = SL_EMPTY;
    raw = sl_slice_head(raw, h->c->limits->header_bytes);
    if (sl_arena_copy(&h->stream.arena, raw, &copy) < 0)
        copy = SL_EMPTY;
    sl_buf_done(&h->part);
    return copy;
}

/* The head is broken or too long, or did not come in time. What can be read of it is told; `why` is
 * replaced where head.c knows it better. */
static void refuse_head(struct h1 *h, struct sl_slice raw, int status, const char *why) {
    struct sl_head_facts facts;
    const char *found = NULL;
    open_stream(h);
    raw = settle_head(h, raw);
    int read = sl_head_read(raw, h->c->limits->header_count, &h->stream.arena, &h->stream.head,
                            &facts, &found);
    h->http10 = h->stream.head.version == 10;
    refuse(h, status, read == status ? found : why);
}

/* The status must not depend on how much of a line has come, so it is llhttp's error that decides.
 */
static void refuse_broken(struct h1 *h, struct sl_slice raw, llhttp_errno_t error) {
    bool version = error == HPE_INVALID_VERSION || error == HPE_PAUSED_H2_UPGRADE;
    refuse_head(h, raw, version ? 505 : 400,
                version ? "unknown version of HTTP" : "malformed request");
}

/* llhttp's reading and ours of how the body is framed must agree, or one of them is wrong. */
static bool framing_agrees(const struct h1 *h, const struct sl_head_facts *facts) {
    const struct sl_request_head *head = &h->stream.head;
    bool chunked = (h->parser.flags & F_CHUNKED) != 0;
    uint64_t length = head->content_length > 0 ? (uint64_t)head->content_length : 0;
    return chunked == facts->chunked && (chunked || h->parser.content_length == length);
}

static void accept_head(struct h1 *h, struct sl_slice raw) {
    struct sl_head_facts facts;
    const char *why = "malformed request";
    open_stream(h);
    size_t len = raw.len;
    raw = settle_head(h, raw);
    struct sl_stream *s = &h->stream;
    int status = raw.len < len ? 503
                               : sl_head_read(raw, h->c->limits->header_count, &s->arena, &s->head,
                                              &facts, &why);
    h->http10 = s->head.version == 10;
    if (status == 0 && !framing_agrees(h, &facts))
        status = 400;
    if (status) {
        refuse(h, status, why);
        return;
    }
    h->keep = llhttp_should_keep_alive(&h->parser) && !h->c->draining;
    h->in = s->head.has_body ? IN_BODY : IN_DONE;
    if (h->in == IN_BODY)
        llhttp_resume(&h->parser);
    sl_stream_request(s);
    if (s->malformed)
        h->in = IN_DISCARD;
    else if (facts.expects_continue && s->head.has_body)
        sl_stream_interim(s, 100);
}

/* Bytes of `bytes` used. */
static size_t read_head(struct h1 *h, struct sl_slice bytes) {
    llhttp_errno_t error = llhttp_execute(&h->parser, bytes.ptr, bytes.len);
    bool complete = error == HPE_PAUSED;
    /* What it took to know. More may have come with it, which must not make the head too large. */
    size_t seen = bytes.len;
    if (error != HPE_OK)
        seen = (size_t)(llhttp_get_error_pos(&h->parser) - bytes.ptr);
    size_t used = complete ? seen : bytes.len;
    struct sl_slice raw = sl_slice_head(bytes, used);
    size_t max = h->c->limits->header_bytes;
    bool large = h->part.len + seen > max;
    if (h->part.len > 0 || (!complete && error == HPE_OK)) {
        /* One byte above the maximum is enough to know. */
        if (sl_buf_add(&h->part, sl_slice_head(raw, max + 1 - h->part.len)) < 0) {
            sl_front_conn_close(h->c, SL_CLOSE_SHUTDOWN, false);
            return bytes.len;
        }
        raw = sl_buf_slice(&h->part);
    }
    if (large) {
        bool line = sl_slice_find(sl_head_skip_empty(raw), '\n') < max;
        refuse_head(h, raw, line ? 431 : 414,
                    line ? "the request's head is too large" : "the request's target is too long");
    } else if (complete) {
        accept_head(h, raw);
    } else if (error != HPE_OK) {
        refuse_broken(h, raw, error);
    }
    return used;
}

/* ---- input: bodies, and what is kept ---- */

static void break_off(struct h1 *h, int status, const char *why) {
    /* Does nothing if a limit was the cause, of which the handler knows. */
    sl_stream_fault(&h->stream, status, why);
    h->in = IN_DISCARD;
}

static size_t read_body(struct h1 *h, struct sl_slice bytes) {
    llhttp_errno_t error = llhttp_execute(&h->parser, bytes.ptr, bytes.len);
    size_t used = bytes.len;
    if (error == HPE_PAUSED)
        used = (size_t)(llhttp_get_error_pos(&h->parser) - bytes.ptr);
    h->body_used += used;
    uint64_t received = h->stream.received;
    if (error != HPE_OK && error != HPE_PAUSED) {
        break_off(h, 400, "malformed chunk in the request's body");
    } else if (h->body_used > received + FRAMING_SLACK + received * FRAMING_FACTOR) {
        break_off(h, 400, "too much between the chunks of the request's body");
    } else if (h->message_complete) {
        h->in = IN_DONE;
        sl_stream_body_end(&h->stream);
    } else if (error == HPE_PAUSED) {
        llhttp_resume(&h->parser);
    }
    return used;
}

/* Takes one line of the trailer section, or what has come of it. */
static size_t read_trailers(struct h1 *h, struct sl_slice bytes) {
    const char *why;
    size_t used = sl_slice_find(bytes, '\n');
    bool whole = used < bytes.len;
    used += whole;
    h->trailers_used += used;
    if (h->trailers_used > h->c->limits->header_bytes) {
        break_off(h, 431, "the request's trailers are too large");
        return used;
    }
    if (sl_buf_add(&h->part, sl_slice_head(bytes, used)) < 0) {
        sl_front_conn_close(h->c, SL_CLOSE_SHUTDOWN, false);
        return used;
    }
    if (!whole)
        return used;
    bool last = h->part.len == 2;
    int status = sl_head_trailer(sl_buf_slice(&h->part), &why);
    sl_buf_done(&h->part);
    if (status) {
        break_off(h, status, why);
    } else if (last) {
        h->in = IN_DONE;
        sl_stream_body_end(&h->stream);
    }
    return used;
}

/* A fault may also come from outside of the parser: too slow. */
static void notice_fault(struct h1 *h) {
    if (h->active && (h->stream.faulted || h->stream.aborted))
        h->in = IN_DISCARD;
}

/* Uses what can be used now; returns how many bytes that was. */
static size_t consume(struct h1 *h, struct sl_slice bytes) {
    size_t used = 0;
    while (used < bytes.len && h->c->state == SL_FRONT_OPEN) {
        struct sl_slice left = sl_slice_skip(bytes, used);
        notice_fault(h);
        if (h->in == IN_HEAD)
            used += read_head(h, left);
        else if (h->in == IN_BODY && !h->stream.paused)
            used += read_body(h, left);
        else if (h->in == IN_TRAILERS && !h->stream.paused)
            used += read_trailers(h, left);
        else if (h->in == IN_DISCARD)
            used = bytes.len;
        else
            break;
    }
    return used;
}

/* Reading stops while the handler takes no body, and when enough is kept. */
static void update_reading(struct h1 *h) {
    if (h->c->state != SL_FRONT_OPEN)
        return;
    size_t kept = h->rest.len - h->rest_at;
    bool paused = (h->in == IN_BODY || h->in == IN_TRAILERS) && h->stream.paused;
    if (paused || (kept > 0 && kept >= h->c->limits->pipeline_bytes))
        sl_conn_read_stop(h->c->conn);
    else
        sl_conn_read_start(h->c->conn);
}

static void keep(struct h1 *h, struct sl_slice bytes) {
    if (h->rest_at > 0) {
        h->rest.len -= h->rest_at;
        memmove(h->rest.ptr, h->rest.ptr + h->rest_at, h->rest.len);
        h->rest_at = 0;
    }
    if (sl_buf_add(&h->rest, bytes) < 0)
        sl_front_conn_close(h->c, SL_CLOSE_SHUTDOWN, false);
}

static void after_input(struct h1 *h) {
    if (h->c->state != SL_FRONT_OPEN)
        return;
    bool begun = h->in == IN_HEAD && sl_head_skip_empty(sl_buf_slice(&h->part)).len > 0;
    sl_front_conn_head(h->c, begun);
    update_reading(h);
}

static void h1_on_read(struct sl_front_conn *c, struct sl_slice bytes) {
    struct h1 *h = h1_of(c);
    size_t used = h->rest.len > 0 ? 0 : consume(h, bytes);
    if (used < bytes.len && c->state == SL_FRONT_OPEN)
        keep(h, sl_slice_skip(bytes, used));
    after_input(h);
}

static void h1_resume(struct sl_front_conn *c) {
    struct h1 *h = h1_of(c);
    h->rest_at += consume(h, sl_slice_skip(sl_buf_slice(&h->rest), h->rest_at));
    if (h->rest_at == h->rest.len) {
        sl_buf_done(&h->rest);
        h->rest_at = 0;
    }
    after_input(h);
}

static void h1_on_eof(struct sl_front_conn *c) {
    struct h1 *h = h1_of(c);
    if (h->active)
        sl_front_conn_close(c, SL_CLOSE_CLIENT, false);
    else
        sl_front_conn_finish(c);
}

static void h1_on_head_timeout(struct sl_front_conn *c) {
    struct h1 *h = h1_of(c);
    if (!h->active)
        refuse_head(h, sl_buf_slice(&h->part), 408, "the request's head came too slowly");
}

static void h1_pause(struct sl_stream *s, bool on) {
    struct h1 *h = h1_of_stream(s);
    if (on)
        update_reading(h);
    else
        sl_front_conn_resume(h->c);
}

static void h1_drain(struct sl_front_conn *c) {
    struct h1 *h = h1_of(c);
    if (!h->active && h->part.len == 0 && h->rest.len == 0)
        sl_front_conn_finish(c);
    else
        h->keep = false;
}

/* ---- output: heads ---- */

static const char *reason_phrase(int status) {
    static const struct {
        int status;
        const char *phrase;
    } phrases[] = {
        {100, "Continue"},
        {102, "Processing"},
        {103, "Early Hints"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {424, "Failed Dependency"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return ""; /* RFC 9112 4: may be empty */
}

static int add_status_line(struct sl_buf *out, int status) {
    int rc = sl_buf_add(out, SL_LIT("HTTP/1.1 "));
    if (rc == SL_OK)
        rc = sl_buf_add_u64(out, (uint64_t)status);
    if (rc == SL_OK)
        rc = sl_buf_add_byte(out, ' ');
    if (rc == SL_OK)
        rc = sl_buf_add_str(out, reason_phrase(status));
    return rc == SL_OK ? sl_buf_add(out, SL_LIT("\r\n")) : rc;
}

/* Whether one of eight bytes is below the space. */
static bool has_control(uint64_t bytes) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    return ((bytes - ones * ' ') & ~bytes & (ones << 7)) != 0;
}

/* A line break in a name or value would let its author write headers of his own. */
static bool is_one_line(struct sl_slice s) {
    size_t i = 0;
    for (uint64_t bytes; i + sizeof(bytes) <= s.len; i += sizeof(bytes)) {
        memcpy(&bytes, s.ptr + i, sizeof(bytes));
        if (has_control(bytes))
            break;
    }
    for (; i < s.len; i++)
        if (s.ptr[i] == '\r' || s.ptr[i] == '\n' || s.ptr[i] == '\0')
            return false;
    return true;
}

/* These are made here; a handler that relays a head may bring them along. */
static bool is_ours(struct sl_slice name) {
    return (name.len == 14 && sl_slice_ieq(name, SL_LIT("content-length"))) ||
           (name.len == 17 && sl_slice_ieq(name, SL_LIT("transfer-encoding"))) ||
           (name.len == 10 && sl_slice_ieq(name, SL_LIT("connection")));
}

/* Room for it is reserved. */
static void put(struct sl_buf *out, struct sl_slice s) {
    if (s.len > 0)
        memcpy(out->ptr + out->len, s.ptr, s.len);
    out->len += s.len;
}

static int add_headers(struct sl_buf *out, const struct sl_headers *headers) {
    size_t most = 0;
    for (size_t i = 0; i < headers->count; i++)
        most += headers->items[i].name.len + headers->items[i].value.len + sizeof(": \r\n") - 1;
    if (sl_buf_reserve(out, most) < 0)
        return SL_E_NOMEM;
    for (size_t i = 0; i < headers->count; i++) {
        struct sl_slice name = headers->items[i].name, value = headers->items[i].value;
        if (is_ours(name))
            continue;
        if (name.len == 0 || !is_one_line(name) || !is_one_line(value))
            return SL_E_INVALID;
        put(out, name);
        put(out, SL_LIT(": "));
        put(out, value);
        put(out, SL_LIT("\r\n"));
    }
    return SL_OK;
}

/* How the body is framed (RFC 9112 6.3), and whether a length is told though there is none. */
static enum framing choose_framing(const struct h1 *h, const struct sl_response_head *head,
                                   bool *tell_length) {
    bool head_only = sl_slice_eq(h->stream.head.method, SL_LIT("HEAD"));
    bool bodiless = head->status == 204 || head->status == 304;
    *tell_length = head->content_length >= 0 && !bodiless;
    if (head_only || bodiless)
        return NO_BODY;
    if (head->content_length >= 0)
        return BY_LENGTH;
    return h->http10 ? BY_CLOSE : BY_CHUNKS;
}

static int add_length(struct sl_buf *out, uint64_t length) {
    int rc = sl_buf_add(out, SL_LIT("Content-Length: "));
    if (rc == SL_OK)
        rc = sl_buf_add_u64(out, length);
    return rc == SL_OK ? sl_buf_add(out, SL_LIT("\r\n")) : rc;
}

static int add_framing(struct h1 *h, const struct sl_response_head *head, bool tell_length) {
    struct sl_buf *out = &h->out;
    int rc = SL_OK;
    if (tell_length)
        rc = add_length(out, (uint64_t)head->content_length);
    else if (h->framing == BY_CHUNKS)
        rc = sl_buf_add_str(out, "Transfer-Encoding: chunked\r\n");
    if (rc == SL_OK && !h->keep)
        rc = sl_buf_add_str(out, "Connection: close\r\n");
    else if (rc == SL_OK && h->http10)
        rc = sl_buf_add_str(out, "Connection: keep-alive\r\n");
    return rc == SL_OK ? sl_buf_add_str(out, "\r\n") : rc;
}

static int h1_respond(struct sl_stream *s, const struct sl_response_head *head) {
    struct h1 *h = h1_of_stream(s);
    size_t before = h->out.len;
    bool tell_length;
    h->framing = choose_framing(h, head, &tell_length);
    h->length_left = h->framing == BY_LENGTH ? (uint64_t)head->content_length : 0;
    if (h->framing == BY_CLOSE || s->malformed || s->faulted || s->close_after || h->c->draining)
        h->keep = false;
    int rc = add_status_line(&h->out, head->status);
    if (rc == SL_OK)
        rc = add_headers(&h->out, &head->headers);
    if (rc == SL_OK)
        rc = add_framing(h, head, tell_length);
    if (rc < 0)
        h->out.len = before;
    return rc;
}

static void h1_interim(struct sl_stream *s, int status) {
    struct h1 *h = h1_of_stream(s);
    size_t before = h->out.len;
    if (add_status_line(&h->out, status) < 0 || sl_buf_add_str(&h->out, "\r\n") < 0)
        h->out.len = before; /* without memory it is left out, as it may be */
}

/* Would have to be announced before the body, and hardly a client reads them. */
static int h1_trailers(struct sl_stream *s, const struct sl_headers *trailers) {
    (void)s, (void)trailers;
    return SL_OK;
}

/* ---- output: bodies ---- */

/* What one write offers, in order, and how many bytes are of which kind. */
struct offer {
    struct sl_slice slices[BODY_SLICES + 3];
    size_t count;
    size_t out, pre, body, post;
};

static size_t offer_add(struct offer *offer, struct sl_slice s) {
    if (s.len > 0)
        offer->slices[offer->count++] = s;
    return s.len;
}

static struct sl_slice text_rest(const struct text *text) {
    return sl_slice_of(text->bytes + text->sent, (size_t)(text->len - text->sent));
}

static void text_set(struct text *text, struct sl_slice s) {
    assert(s.len <= sizeof(text->bytes));
    if (s.len)
        memcpy(text->bytes, s.ptr, s.len);
    text->len = (uint8_t)s.len;
    text->sent = 0;
}

/* Adds what the handler has, cut to `max` bytes. */
static void offer_body(struct h1 *h, struct offer *offer, uint64_t max, bool *end) {
    struct sl_slice slices[BODY_SLICES];
    size_t n = sl_stream_peek(&h->stream, slices, BODY_SLICES, end);
    h->drained = n < BODY_SLICES;
    for (size_t i = 0; i < n; i++) {
        uint64_t room = max - offer->body;
        if (slices[i].len > room) {
            slices[i].len = (size_t)room;
            h->drained = *end = false;
        }
        offer->body += offer_add(offer, slices[i]);
    }
}

/* Starts a chunk of `total` bytes, or the end behind the last one. */
static void start_chunk(struct h1 *h, size_t total, bool end) {
    h->last = end;
    h->left = total;
    if (total > 0) {
        char size[24];
        int len = snprintf(size, sizeof(size), "%zx\r\n", total);
        text_set(&h->pre, sl_slice_of(size, (size_t)len));
        text_set(&h->post, end ? SL_LIT("\r\n0\r\n\r\n") : SL_LIT("\r\n"));
    } else if (end) {
        text_set(&h->post, SL_LIT("0\r\n\r\n"));
    }
}

static bool chunk_under_way(const struct h1 *h) {
    return h->left > 0 || text_rest(&h->pre).len > 0 || text_rest(&h->post).len > 0;
}

static int offer_by_length(struct h1 *h, struct offer *offer) {
    bool end = false;
    if (h->length_left > 0)
        offer_body(h, offer, h->length_left, &end);
    h->last = offer->body == h->length_left;
    return end && !h->last ? SL_E_EOF : SL_OK; /* the handler broke off short of its promise */
}

static void offer_chunk(struct h1 *h, struct offer *offer) {
    bool end = false, fresh = !chunk_under_way(h);
    struct sl_slice *pre_slot = &offer->slices[offer->count];
    if (fresh) {
        offer->count++; /* the size goes before what it counts */
        offer_body(h, offer, UINT64_MAX, &end);
        start_chunk(h, offer->body, end);
        *pre_slot = text_rest(&h->pre);
        offer->pre = pre_slot->len;
    } else {
        offer->pre = offer_add(offer, text_rest(&h->pre));
        h->drained = false;
        if (h->left > 0)
            offer_body(h, offer, h->left, &end);
    }
    if (offer->body == h->left)
        offer->post = offer_add(offer, text_rest(&h->post));
}

static int offer_all(struct h1 *h, struct offer *offer) {
    offer->out = offer_add(offer, sl_slice_skip(sl_buf_slice(&h->out), h->out_sent));
    if (!h->stream.responded || h->body_over)
        return SL_OK;
    if (h->framing == BY_LENGTH)
        return offer_by_length(h, offer);
    if (h->framing == BY_CHUNKS)
        offer_chunk(h, offer);
    else if (h->framing == BY_CLOSE)
        offer_body(h, offer, UINT64_MAX, &h->last);
    else
        h->last = true;
    return SL_OK;
}

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

static void text_take(struct text *text, size_t *taken) {
    size_t n = min_size(text_rest(text).len, *taken);
    text->sent = (uint8_t)(text->sent + n);
    *taken -= n;
}

/* Books what was taken of an offer. */
static void book(struct h1 *h, const struct offer *offer, size_t taken) {
    size_t out = min_size(offer->out, taken);
    h->out_sent += out;
    taken -= out;
    text_take(&h->pre, &taken);
    size_t body = min_size(offer->body, taken);
    taken -= body;
    if (h->framing == BY_LENGTH)
        h->length_left -= body;
    else if (h->framing == BY_CHUNKS)
        h->left -= body;
    text_take(&h->post, &taken);
    sl_stream_advance(&h->stream, body);
}

static void release_out(struct h1 *h) {
    h->out_sent = 0;
    if (h->out.cap > OUT_KEEP)
        sl_buf_done(&h->out);
    else
        sl_buf_clear(&h->out);
}

enum progress { STUCK, MOVED, FAILED };

/* One write: everything that is ready, as one list of slices. */
static enum progress write_once(struct h1 *h, size_t *budget) {
    struct offer offer = {.count = 0};
    if (offer_all(h, &offer) < 0)
        return FAILED;
    size_t offered = offer.out + offer.pre + offer.body + offer.post;
    size_t taken = 0;
    if (offered > 0) {
        int64_t rc = sl_front_conn_write(h->c, offer.slices, offer.count);
        if (rc < 0)
            return FAILED;
        taken = (size_t)rc;
        book(h, &offer, taken);
        *budget -= min_size(*budget, taken);
    }
    if (h->out_sent == h->out.len)
        release_out(h);
    if (taken < offered)
        return STUCK;
    h->body_over = h->stream.responded && h->last && !chunk_under_way(h);
    return h->body_over || h->drained || !h->stream.responded ? STUCK : MOVED;
}

/* The response is delivered to the connection and no more of the request is wanted. */
static void finish(struct h1 *h) {
    struct sl_front_conn *c = h->c;
    struct sl_stream *s = &h->stream;
    bool whole = h->in == IN_DONE; /* the request was read to its end */
    sl_stream_end(s, s->reason);
    if (c->state != SL_FRONT_OPEN)
        return;
    if (h->keep && whole && !c->draining) {
        start_message(h);
        if (h->rest.len > 0)
            sl_front_conn_resume(c);
        update_reading(h);
    } else if (whole && h->rest.len == 0) {
        sl_front_conn_finish(c);
    } else {
        sl_front_conn_linger(c); /* the client may be sending still, and must not lose its answer */
    }
}

static void h1_write(struct sl_front_conn *c) {
    struct h1 *h = h1_of(c);
    struct sl_stream *s = &h->stream;
    if (!h->active)
        return;
    if (s->aborted) {
        sl_front_conn_close(c, s->reason, true);
        return;
    }
    notice_fault(h);
    size_t budget = SL_FRONT_TURN_BYTES;
    enum progress progress;
    do
        progress = write_once(h, &budget);
    while (progress == MOVED && budget > 0);
    if (progress == FAILED)
        sl_front_conn_close(c, SL_CLOSE_ABORT, true);
    else if (progress == MOVED)
        sl_front_conn_mark(c);
    else if (h->body_over && (s->input_over || s->paused || !h->keep))
        finish(h);
}

/* ---- birth and death ---- */

static int h1_open(struct sl_front_conn *c) {
    struct h1 *h = sl_calloc(1, sizeof(*h));
    if (!h)
        return SL_E_NOMEM;
    h->c = c;
    sl_buf_init(&h->part, (size_t)c->limits->header_bytes + 1);
    sl_buf_init(&h->rest, (size_t)c->limits->pipeline_bytes + READ_SLACK);
    sl_buf_init(&h->out, OUT_MAX);
    start_message(h);
    c->proto = h;
    return SL_OK;
}

static void h1_free(struct sl_front_conn *c) {
    struct h1 *h = h1_of(c);
    if (!h)
        return;
    sl_buf_done(&h->part);
    sl_buf_done(&h->rest);
    sl_buf_done(&h->out);
    sl_free(h);
}

static void h1_stream_free(struct sl_stream *s) {
    h1_of_stream(s)->active = false;
}

const struct sl_transport_ops sl_h1_ops = {.name = "h1",
                                           .open = h1_open,
                                           .free = h1_free,
                                           .stream_free = h1_stream_free,
                                           .on_read = h1_on_read,
                                           .on_eof = h1_on_eof,
                                           .on_head_timeout = h1_on_head_timeout,
                                           .resume = h1_resume,
                                           .write = h1_write,
                                           .drain = h1_drain,
                                           .respond = h1_respond,
                                           .interim = h1_interim,
                                           .trailers = h1_trailers,
                                           .pause = h1_pause};
