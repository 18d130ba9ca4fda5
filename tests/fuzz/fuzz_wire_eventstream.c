/*
 * Event-stream frames: the scanner, fed in pieces, and the decoder must find the same frames and
 * come to the same verdict. The first byte sets the size of the pieces. The CRCs of the input are
 * put right first, where its lengths allow, so that the fuzzer gets behind them.
 */
#include <stdlib.h>

#include "sluice/base/mem.h"
#include "sluice/wire/eventstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void put_u32(char *p, uint32_t v) {
    for (int i = 3; i >= 0; i--, v >>= 8)
        p[i] = (char)(uint8_t)v;
}

static void repair(char *bytes, size_t len) {
    while (len >= SL_EVENTSTREAM_OVERHEAD) {
        size_t total = (size_t)(uint8_t)bytes[2] << 8 | (uint8_t)bytes[3];
        put_u32(bytes + 8, sl_crc32(0, sl_slice_of(bytes, 8)));
        if (total < SL_EVENTSTREAM_OVERHEAD || total > len)
            return;
        put_u32(bytes + total - 4, sl_crc32(0, sl_slice_of(bytes, total - 4)));
        bytes += total;
        len -= total;
    }
}

static void walk(struct sl_slice headers) {
    struct sl_eventstream_header h;
    struct sl_slice rest = headers;
    size_t seen = 0;
    int rc;
    while ((rc = sl_eventstream_next_header(&rest, &h)) == 1) {
        seen += h.name.len + h.bytes.len;
        REQUIRE(rest.len < headers.len);
    }
    REQUIRE(seen <= headers.len);
    int check = sl_eventstream_check_headers(headers);
    REQUIRE(rc == 0 || check == rc);
    (void)sl_eventstream_string(headers, SL_LIT(":event-type"));
}

/* Frames complete in the stream, by the decoder; *verdict as from the last call. */
static unsigned decode(struct sl_slice in, int64_t *verdict) {
    struct sl_eventstream_message m;
    unsigned frames = 0;
    for (; (*verdict = sl_eventstream_decode(in, &m)) > 0; frames++) {
        REQUIRE(m.headers.len + m.payload.len + SL_EVENTSTREAM_OVERHEAD == m.frame.len);
        walk(m.headers);
        in = sl_slice_skip(in, (size_t)*verdict);
    }
    return frames;
}

static unsigned scan(struct sl_slice in, size_t piece, int64_t *verdict) {
    struct sl_eventstream_scanner s;
    unsigned frames = 0;
    sl_eventstream_scanner_init(&s);
    while (in.len > 0) {
        struct sl_slice part = sl_slice_head(in, piece);
        in = sl_slice_skip(in, piece);
        while (part.len > 0) {
            int rc = sl_eventstream_scan(&s, &part);
            if (rc < 0) {
                *verdict = rc;
                return frames;
            }
            frames += rc == 1;
        }
    }
    *verdict = SL_E_AGAIN;
    return frames;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    char *copy = sl_alloc(size - 1);
    if (!copy)
        return 0;
    for (size_t i = 1; i < size; i++)
        copy[i - 1] = (char)data[i];
    if ((data[0] & 0x80) == 0)
        repair(copy, size - 1);
    struct sl_slice in = sl_slice_of(copy, size - 1);
    int64_t decoded, scanned;
    unsigned frames = decode(in, &decoded);
    REQUIRE(scan(in, (data[0] & 0x7f) + 1u, &scanned) == frames);
    REQUIRE(decoded == scanned);
    sl_free(copy);
    return 0;
}
