/*
 * Server-sent events. A line is looked at when its end has arrived: in place where it lies whole
 * in one piece of the input, else collected in `line` first. LF, CR and CRLF end a line, so a CR
 * ends it at once and an LF that follows, possibly in the next piece, is skipped (after_cr).
 *
 * `id` and `retry` serve reconnecting browsers and are read past, as comments are. An event that
 * has no data is not one (WHATWG HTML 9.2.6). What is left unfinished at the end of the stream is
 * dropped, by the same rule, so there is no finish call.
 */
#include "sluice/wire/sse.h"

#define BYTE_ORDER_MARK SL_LIT("\xEF\xBB\xBF")

void sl_sse_init(struct sl_sse_parser *p, size_t max) {
    *p = (struct sl_sse_parser){0};
    sl_buf_init(&p->line, max);
    sl_buf_init(&p->data, max);
    sl_buf_init(&p->event, max);
}

void sl_sse_done(struct sl_sse_parser *p) {
    sl_buf_done(&p->line);
    sl_buf_done(&p->data);
    sl_buf_done(&p->event);
}

typedef int (*event_fn)(void *ctx, const struct sl_sse_event *event);

static int dispatch(struct sl_sse_parser *p, event_fn on_event, void *ctx) {
    int rc = 0;
    if (p->has_data) {
        struct sl_sse_event event = {sl_buf_slice(&p->event), sl_buf_slice(&p->data)};
        rc = on_event(ctx, &event);
    }
    sl_buf_clear(&p->event);
    sl_buf_clear(&p->data);
    p->has_data = false;
    return rc < 0 ? rc : 0;
}

static int field(struct sl_sse_parser *p, struct sl_slice name, struct sl_slice value) {
    if (sl_slice_eq(name, SL_LIT("event"))) {
        sl_buf_clear(&p->event);
        return sl_buf_add(&p->event, value);
    }
    if (!sl_slice_eq(name, SL_LIT("data")))
        return 0;
    int rc = p->has_data ? sl_buf_add_byte(&p->data, '\n') : 0;
    p->has_data = true;
    return rc != 0 ? rc : sl_buf_add(&p->data, value);
}

static int take_line(struct sl_sse_parser *p, struct sl_slice line, event_fn on_event, void *ctx) {
    if (!p->started && sl_slice_starts(line, BYTE_ORDER_MARK))
        line = sl_slice_skip(line, BYTE_ORDER_MARK.len);
    p->started = true;
    if (line.len == 0)
        return dispatch(p, on_event, ctx);
    /* One maximum for all that an event holds at a time, however it is spread over its fields. */
    if (line.len > p->line.max - p->event.len ||
        p->data.len > p->line.max - p->event.len - line.len)
        return SL_E_LIMIT;
    size_t colon = sl_slice_find(line, ':');
    struct sl_slice value = sl_slice_skip(line, colon + 1);
    if (sl_slice_starts(value, SL_LIT(" ")))
        value = sl_slice_skip(value, 1);
    return field(p, sl_slice_head(line, colon), value);
}

int sl_sse_feed(struct sl_sse_parser *p, struct sl_slice in,
                int (*on_event)(void *ctx, const struct sl_sse_event *event), void *ctx) {
    /* The next LF is looked for once, not for each line: a stream of CRs would cost its square. */
    size_t lf = sl_slice_find(in, '\n');
    for (size_t at = 0; at < in.len;) {
        if (p->after_cr && in.ptr[at] == '\n')
            at++;
        p->after_cr = false;
        if (lf < at)
            lf = at + sl_slice_find(sl_slice_skip(in, at), '\n');
        struct sl_slice line = sl_slice_of(in.ptr + at, lf - at);
        line = sl_slice_head(line, sl_slice_find(line, '\r'));
        size_t end = at + line.len;
        int rc = 0;
        if (end == in.len || p->line.len > 0) {
            rc = sl_buf_add(&p->line, line);
            line = sl_buf_slice(&p->line);
        }
        if (rc != 0 || end == in.len)
            return rc;
        p->after_cr = in.ptr[end] == '\r';
        at = end + 1;
        rc = take_line(p, line, on_event, ctx);
        sl_buf_clear(&p->line);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* Up to the next line end of any kind, which is taken off *rest; *more tells if there was one. */
static struct sl_slice next_line(struct sl_slice *rest, bool *more) {
    size_t len = 0;
    while (len < rest->len && rest->ptr[len] != '\n' && rest->ptr[len] != '\r')
        len++;
    struct sl_slice line = sl_slice_head(*rest, len);
    *rest = sl_slice_skip(*rest, len);
    *more = rest->len > 0;
    *rest = sl_slice_skip(*rest, sl_slice_starts(*rest, SL_LIT("\r\n")) ? 2 : 1);
    return line;
}

static int add_field(struct sl_buf *out, struct sl_slice prefix, struct sl_slice value) {
    int rc = sl_buf_add(out, prefix);
    if (rc == 0)
        rc = sl_buf_add(out, value);
    return rc != 0 ? rc : sl_buf_add_byte(out, '\n');
}

int sl_sse_encode(struct sl_buf *out, struct sl_slice event, struct sl_slice data) {
    bool more;
    struct sl_slice name = event;
    (void)next_line(&name, &more);
    if (more)
        return SL_E_INVALID; /* a name with a line end would forge fields */
    size_t start = out->len;
    int rc = event.len > 0 ? add_field(out, SL_LIT("event: "), event) : 0;
    for (more = true; rc == 0 && more;)
        rc = add_field(out, SL_LIT("data: "), next_line(&data, &more));
    if (rc == 0)
        rc = sl_buf_add_byte(out, '\n');
    if (rc != 0)
        out->len = start;
    return rc;
}
