/*
 * Server-sent events: whatever way the input is cut, the same events come out; what comes out and
 * is encoded again parses to itself. The first byte sets the size of the pieces.
 */
#include <stdlib.h>

#include "sluice/wire/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_EVENT ((size_t)4096)
/* The encoder puts a space before each value, which the input need not have had. */
#define SPACES 2
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* Encoding doubles as the log: of one event, nothing else has the same bytes. */
static int record(void *ctx, const struct sl_sse_event *event) {
    return sl_sse_encode(ctx, event->event, event->data);
}

static int parse(struct sl_slice in, size_t piece, size_t max, struct sl_buf *log) {
    struct sl_sse_parser p;
    int rc = 0;
    sl_sse_init(&p, max);
    sl_buf_init(log, 16u << 20);
    while (rc == 0 && in.len > 0) {
        rc = sl_sse_feed(&p, sl_slice_head(in, piece), record, log);
        in = sl_slice_skip(in, piece);
    }
    REQUIRE(p.line.len + p.data.len + p.event.len <= 2 * max);
    sl_sse_done(&p);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_buf whole, pieces, again;
    if (size == 0)
        return 0;
    struct sl_slice in = sl_slice_of(data + 1, size - 1);
    int rc = parse(in, size, MAX_EVENT, &whole);
    REQUIRE(parse(in, data[0] + 1u, MAX_EVENT, &pieces) == rc);
    REQUIRE(sl_slice_eq(sl_buf_slice(&whole), sl_buf_slice(&pieces)));
    (void)parse(sl_buf_slice(&whole), 7, MAX_EVENT + SPACES, &again);
    REQUIRE(again.len <= whole.len);
    REQUIRE(rc != 0 || sl_slice_eq(sl_buf_slice(&whole), sl_buf_slice(&again)));
    sl_buf_done(&whole);
    sl_buf_done(&pieces);
    sl_buf_done(&again);
    return 0;
}
