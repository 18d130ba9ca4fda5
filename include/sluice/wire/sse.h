/*
 * Server-sent events (WHATWG HTML, "Server-sent events"). Pure; any split of the input.
 * Lines end with LF, CRLF or CR; a leading byte-order mark is skipped.
 */
#ifndef SLUICE_WIRE_SSE_H
#define SLUICE_WIRE_SSE_H

#include "sluice/base/buf.h"
#include "sluice/base/slice.h"

struct sl_sse_event {
    struct sl_slice event; /* empty: "message" */
    struct sl_slice data;  /* lines joined by LF; valid during the callback */
};

struct sl_sse_parser {
    struct sl_buf line, data, event;
    bool after_cr, started, has_data;
};

/* max bounds the bytes of one event. */
void sl_sse_init(struct sl_sse_parser *p, size_t max);
void sl_sse_done(struct sl_sse_parser *p);
/* Calls on_event for each complete event. 0, SL_E_LIMIT, SL_E_NOMEM, or what on_event returned if <
 * 0. */
SL_NODISCARD int sl_sse_feed(struct sl_sse_parser *p, struct sl_slice in,
                             int (*on_event)(void *ctx, const struct sl_sse_event *event),
                             void *ctx);
/* Appends "event: …\ndata: …\n\n"; an empty event name leaves that line out; data may hold LFs. */
SL_NODISCARD int sl_sse_encode(struct sl_buf *out, struct sl_slice event, struct sl_slice data);

#endif
