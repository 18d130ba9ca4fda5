/*
 * Response heads and bodies as curl delivers them: header lines one by one, of each 1xx response,
 * then of the final one, then (after a chunked body) trailers; body bytes without transfer coding.
 *
 * Lines are gathered as they are and split once, when the head is complete.
 */
#include "io/fetch_impl.h"
#include "sluice/base/mem.h"

/* "HTTP/1.1 200 OK": curl has checked its form; -1 if it let something else pass. */
static int parse_status(struct sl_slice line) {
    struct sl_slice rest = sl_slice_skip(line, sl_slice_find(line, ' ') + 1);
    uint64_t status;
    return sl_slice_u64(sl_slice_head(rest, 3), &status) && status >= 100 ? (int)status : -1;
}

static struct sl_slice without_line_end(struct sl_slice line) {
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r'))
        line.len--;
    return line;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* A line that begins with a blank goes on the one before (obs-fold, RFC 9112 5.2): its line end
 * becomes blanks, so that the value is one run of bytes. */
static void unfold(struct sl_fetch *f) {
    char *p = f->head.ptr;
    for (size_t i = 0; i + 1 < f->head.len; i++)
        if (p[i] == '\n' && is_blank(p[i + 1])) {
            p[i] = ' ';
            if (i > 0 && p[i - 1] == '\r')
                p[i - 1] = ' ';
        }
}

static int reserve_headers(struct sl_fetch *f, size_t count) {
    if (count <= f->header_cap)
        return SL_OK;
    struct sl_fetch_header *more = sl_realloc(f->headers, count * sizeof(*more));
    if (!more)
        return SL_E_NOMEM;
    f->headers = more;
    f->header_cap = count;
    return SL_OK;
}

/* A length that is given twice must be the same (RFC 9112 6.3). */
static int note_length(int64_t *length, struct sl_slice value) {
    uint64_t n;
    if (!sl_slice_u64(value, &n) || n > INT64_MAX || (*length >= 0 && (uint64_t)*length != n))
        return SL_E_PROTOCOL;
    *length = (int64_t)n;
    return SL_OK;
}

static int split_head(struct sl_fetch *f, struct sl_fetch_head *head) {
    int rc = reserve_headers(f, f->lines);
    if (rc < 0)
        return rc;
    unfold(f);
    struct sl_slice rest = sl_buf_slice(&f->head), line;
    bool chunked = false;
    head->content_length = -1;
    head->header_count = 0;
    sl_slice_split(&rest, '\n', &line);
    head->status = parse_status(line);
    while (sl_slice_split(&rest, '\n', &line)) {
        line = without_line_end(line);
        size_t colon = sl_slice_find(line, ':');
        if (colon == 0 || colon == line.len)
            continue; /* the last line, or one that is no header */
        struct sl_fetch_header *h = &f->headers[head->header_count++];
        h->name = sl_slice_head(line, colon);
        h->value = sl_slice_trim(sl_slice_skip(line, colon + 1));
        if (h->name.len == 14 && sl_slice_ieq(h->name, SL_LIT("Content-Length"))) {
            if (note_length(&head->content_length, h->value) < 0)
                return SL_E_PROTOCOL;
        } else if (h->name.len == 17 && sl_slice_ieq(h->name, SL_LIT("Transfer-Encoding"))) {
            chunked = true;
        }
    }
    if (chunked)
        head->content_length = -1;
    head->headers = f->headers;
    return head->status < 0 ? SL_E_PROTOCOL : SL_OK;
}

/* The empty line came. */
static void finish_head(struct sl_fetch *f) {
    struct sl_fetch_head head;
    int rc = split_head(f, &head);
    if (rc < 0 || head.status == 101) {
        sl_fetch_refuse(f, rc == SL_E_NOMEM ? rc : SL_E_PROTOCOL,
                        rc == SL_E_NOMEM ? "out of memory" : "the response head is malformed");
        return;
    }
    if (head.status >= 200) {
        f->phase = SL_FETCH_BODY;
        f->client->fired = true;
        f->events.on_head(f->ctx, &head);
    }
    sl_buf_clear(&f->head);
    f->lines = 0;
}

/* What curl takes for "go on" or "stop". */
static size_t verdict(const struct sl_fetch *f, size_t taken) {
    return f->state == SL_FETCH_DROPPED || f->refused ? CURL_WRITEFUNC_ERROR : taken;
}

size_t sl_fetch_on_header(char *ptr, size_t size, size_t count, void *ctx) {
    struct sl_fetch *f = ctx;
    struct sl_slice line = sl_slice_of(ptr, size * count);
    if (f->state == SL_FETCH_DROPPED)
        return CURL_WRITEFUNC_ERROR;
    if (f->phase >= SL_FETCH_BODY) /* trailers */
        return line.len;
    f->active_at = f->client->loop->now;
    int rc = f->lines < SL_FETCH_LINES_MAX ? sl_buf_add(&f->head, line) : SL_E_LIMIT;
    if (rc < 0)
        sl_fetch_refuse(f, rc == SL_E_NOMEM ? rc : SL_E_PROTOCOL,
                        rc == SL_E_NOMEM ? "out of memory" : "the response head is too large");
    else if (f->lines++ > 0 && without_line_end(line).len == 0)
        finish_head(f);
    return verdict(f, line.len);
}

/* curl reads on while there is something to read, up to 1.6 MB in one go. A fetch that had its
 * share of a turn rests until the next one, so that a fast upstream never holds the loop. */
static bool had_its_share(struct sl_fetch *f, size_t size) {
    struct sl_loop *loop = f->client->loop;
    if (f->turn != loop->turns)
        f->turn_bytes = 0;
    f->turn = loop->turns;
    if (f->turn_bytes >= SL_FETCH_TURN_BYTES) {
        sl_list_push_back(&f->client->resumes, &f->resume_link);
        sl_loop_want(loop, SL_TURN_TRANSFERS);
        return true;
    }
    f->turn_bytes += size;
    return false;
}

size_t sl_fetch_on_body(char *ptr, size_t size, size_t count, void *ctx) {
    struct sl_fetch *f = ctx;
    if (f->state == SL_FETCH_DROPPED)
        return CURL_WRITEFUNC_ERROR;
    if (f->paused || had_its_share(f, size * count)) {
        f->held = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    f->active_at = f->client->loop->now;
    f->client->fired = true;
    f->events.on_data(f->ctx, sl_slice_of(ptr, size * count));
    return verdict(f, size * count);
}
