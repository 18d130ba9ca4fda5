/*
 * Event-stream frames. Two readers of one format: the scanner follows a stream that others keep
 * and needs 40 bytes of memory whatever the frame's size; the decoder has a whole frame at hand.
 * Both take a frame's lengths from one function, check_prelude(), so that they cannot disagree on
 * where it ends.
 *
 * botocore is the judge of what a client takes, and the test suite compares with it. Where it and
 * the Smithy document differ, botocore is followed:
 *   - laxer: a header name may be empty; a byte array, string or UUID that runs past the end of
 *     the headers is cut there;
 *   - stricter: frames above the limits are refused by the receiver; names and string values must
 *     be UTF-8.
 * One exception: lengths that contradict each other (headers longer than the frame, a frame
 * shorter than 16 bytes). botocore does not look; it would read into the next frame, and its
 * result would depend on how the stream was cut. They are refused here.
 */
#include "sluice/wire/eventstream.h"

#include <endian.h>

#include "sluice/base/mem.h"
#include "sluice/base/table.h"
#include "wire/utf8.h"

#define TRAILER 4
/* `have` of a scanner that has failed: no frame is that long. */
#define BROKEN UINT32_MAX
/* What a sender may use for one string: AWS's own C library refuses more than a signed length. */
#define MAX_SENT_VALUE INT16_MAX
/* Headers up to this number are checked for duplicates without an allocation. */
#define FEW_HEADERS ((size_t)32)

static uint64_t read_be(const char *p, size_t bytes) {
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | (uint8_t)p[i];
    return v;
}

static uint32_t read_u32(const char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return be32toh(v);
}

/* Both lengths, once the prelude's CRC and the limits hold. */
static int check_prelude(const char *prelude, uint32_t *total, uint32_t *header_len) {
    if (sl_crc32(0, sl_slice_of(prelude, 8)) != read_u32(prelude + 8))
        return SL_E_PROTOCOL;
    uint32_t frame = read_u32(prelude), headers = read_u32(prelude + 4);
    if (headers > SL_EVENTSTREAM_MAX_HEADERS || frame < SL_EVENTSTREAM_OVERHEAD ||
        headers > frame - SL_EVENTSTREAM_OVERHEAD ||
        frame - SL_EVENTSTREAM_OVERHEAD - headers > SL_EVENTSTREAM_MAX_PAYLOAD)
        return SL_E_PROTOCOL;
    *total = frame;
    *header_len = headers;
    return 0;
}

void sl_eventstream_scanner_init(struct sl_eventstream_scanner *s) {
    *s = (struct sl_eventstream_scanner){0};
}

bool sl_eventstream_at_boundary(const struct sl_eventstream_scanner *s) {
    return s->have == 0;
}

/* Moves at most `want` bytes from *in to `to`; how many. */
static uint32_t take(struct sl_slice *in, uint8_t *to, uint32_t want) {
    struct sl_slice part = sl_slice_head(*in, want);
    if (part.len > 0)
        memcpy(to, part.ptr, part.len);
    *in = sl_slice_skip(*in, part.len);
    return (uint32_t)part.len;
}

static int scan_fail(struct sl_eventstream_scanner *s) {
    s->have = BROKEN;
    return SL_E_PROTOCOL;
}

int sl_eventstream_scan(struct sl_eventstream_scanner *s, struct sl_slice *in) {
    if (s->have == BROKEN)
        return SL_E_PROTOCOL;
    if (s->have < SL_EVENTSTREAM_PRELUDE) {
        s->have += take(in, s->prelude + s->have, SL_EVENTSTREAM_PRELUDE - s->have);
        if (s->have < SL_EVENTSTREAM_PRELUDE)
            return 0;
        if (check_prelude((const char *)s->prelude, &s->total, &s->header_len) != 0)
            return scan_fail(s);
        s->crc = sl_crc32(0, sl_slice_of(s->prelude, SL_EVENTSTREAM_PRELUDE));
    }
    uint32_t body_end = s->total - TRAILER;
    if (s->have < body_end) {
        struct sl_slice part = sl_slice_head(*in, body_end - s->have);
        s->crc = sl_crc32(s->crc, part);
        *in = sl_slice_skip(*in, part.len);
        s->have += (uint32_t)part.len;
        if (s->have < body_end)
            return 0;
    }
    s->have += take(in, s->trailer + (s->have - body_end), s->total - s->have);
    if (s->have < s->total)
        return 0;
    if (s->crc != read_u32((const char *)s->trailer))
        return scan_fail(s);
    s->have = 0;
    return 1;
}

int64_t sl_eventstream_decode(struct sl_slice in, struct sl_eventstream_message *out) {
    uint32_t total, header_len;
    if (in.len < SL_EVENTSTREAM_PRELUDE)
        return SL_E_AGAIN;
    if (check_prelude(in.ptr, &total, &header_len) != 0)
        return SL_E_PROTOCOL;
    if (in.len < total)
        return SL_E_AGAIN;
    if (sl_crc32(0, sl_slice_of(in.ptr, total - TRAILER)) != read_u32(in.ptr + total - TRAILER))
        return SL_E_PROTOCOL;
    *out = (struct sl_eventstream_message){
        .frame = sl_slice_of(in.ptr, total),
        .headers = sl_slice_of(in.ptr + SL_EVENTSTREAM_PRELUDE, header_len),
        .payload = sl_slice_of(in.ptr + SL_EVENTSTREAM_PRELUDE + header_len,
                               total - SL_EVENTSTREAM_OVERHEAD - header_len),
    };
    return total;
}

/* How the value of each type lies in the bytes. */
static const struct value_layout {
    uint8_t integer; /* bytes of a signed integer */
    uint8_t length;  /* bytes of a length in front of the value */
    uint8_t fixed;   /* bytes of a value without a length */
} layouts[] = {
    [SL_HEADER_TRUE] = {0},
    [SL_HEADER_FALSE] = {0},
    [SL_HEADER_INT8] = {.integer = 1},
    [SL_HEADER_INT16] = {.integer = 2},
    [SL_HEADER_INT32] = {.integer = 4},
    [SL_HEADER_INT64] = {.integer = 8},
    [SL_HEADER_BYTES] = {.length = 2},
    [SL_HEADER_STRING] = {.length = 2},
    [SL_HEADER_TIMESTAMP] = {.integer = 8},
    [SL_HEADER_UUID] = {.fixed = 16},
};

static int read_value(struct sl_slice *rest, struct sl_eventstream_header *h) {
    struct value_layout layout = layouts[h->type];
    if (rest->len < (size_t)layout.integer + layout.length)
        return SL_E_PROTOCOL;
    if (layout.integer > 0) {
        unsigned shift = 64 - 8u * layout.integer; /* extends the sign */
        h->integer = (int64_t)(read_be(rest->ptr, layout.integer) << shift) >> shift;
        *rest = sl_slice_skip(*rest, layout.integer);
        return 0;
    }
    size_t len = layout.fixed + (size_t)read_be(rest->ptr, layout.length);
    *rest = sl_slice_skip(*rest, layout.length);
    h->bytes = sl_slice_head(*rest, len);
    *rest = sl_slice_skip(*rest, len);
    if (h->type == SL_HEADER_STRING && !sl_utf8_valid(h->bytes))
        return SL_E_PROTOCOL;
    return 0;
}

int sl_eventstream_next_header(struct sl_slice *rest, struct sl_eventstream_header *out) {
    if (rest->len == 0)
        return 0;
    struct sl_slice in = *rest;
    size_t name_len = (uint8_t)in.ptr[0];
    if (in.len < 1 + name_len + 1)
        return SL_E_PROTOCOL;
    uint8_t type = (uint8_t)in.ptr[1 + name_len];
    if (type > SL_HEADER_UUID)
        return SL_E_PROTOCOL;
    struct sl_eventstream_header h = {
        .name = sl_slice_of(in.ptr + 1, name_len),
        .type = (enum sl_eventstream_type)type,
        .integer = type == SL_HEADER_TRUE,
        .bytes = SL_EMPTY,
    };
    if (!sl_utf8_valid(h.name))
        return SL_E_PROTOCOL;
    in = sl_slice_skip(in, 1 + name_len + 1);
    if (read_value(&in, &h) != 0)
        return SL_E_PROTOCOL;
    *rest = in;
    *out = h;
    return 1;
}

/*
 * Looks for two headers of one name with an open-addressing table of positions (0: free). Up to
 * 43,000 headers fit into the limit, so comparing each with each is not an option.
 */
static int check_duplicates(struct sl_slice headers, uint32_t *slots, size_t mask) {
    struct sl_slice rest = headers;
    struct sl_eventstream_header h;
    while (sl_eventstream_next_header(&rest, &h) == 1) {
        size_t i = (size_t)sl_hash(h.name) & mask;
        for (; slots[i] != 0; i = (i + 1) & mask) {
            const char *other = headers.ptr + slots[i] - 1;
            if (sl_slice_eq(h.name, sl_slice_of(other + 1, (uint8_t)other[0])))
                return SL_E_PROTOCOL;
        }
        slots[i] = (uint32_t)(h.name.ptr - headers.ptr); /* one behind its length byte */
    }
    return 0;
}

int sl_eventstream_check_headers(struct sl_slice headers) {
    struct sl_slice rest = headers;
    struct sl_eventstream_header h;
    size_t count = 0;
    int rc;
    if (headers.len > SL_EVENTSTREAM_MAX_HEADERS)
        return SL_E_PROTOCOL;
    while ((rc = sl_eventstream_next_header(&rest, &h)) == 1)
        count++;
    if (rc != 0)
        return rc;

    uint32_t few[2 * FEW_HEADERS] = {0};
    if (count <= FEW_HEADERS)
        return check_duplicates(headers, few, 2 * FEW_HEADERS - 1);
    size_t size = 2 * FEW_HEADERS;
    while (size < 2 * count)
        size *= 2;
    uint32_t *slots = sl_calloc(size, sizeof(*slots));
    if (!slots)
        return SL_E_NOMEM;
    rc = check_duplicates(headers, slots, size - 1);
    sl_free(slots);
    return rc;
}

struct sl_slice sl_eventstream_string(struct sl_slice headers, struct sl_slice name) {
    struct sl_eventstream_header h;
    while (sl_eventstream_next_header(&headers, &h) == 1)
        if (h.type == SL_HEADER_STRING && sl_slice_eq(h.name, name))
            return h.bytes;
    return SL_EMPTY;
}

/* The writers below append to a buffer whose room has been reserved. */
static void put(struct sl_buf *out, struct sl_slice s) {
    if (s.len > 0)
        memcpy(out->ptr + out->len, s.ptr, s.len);
    out->len += s.len;
}

static void put_be(struct sl_buf *out, uint32_t value, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0;)
        out->ptr[out->len++] = (char)(uint8_t)(value >> (8 * i));
}

int sl_eventstream_encode(struct sl_buf *out, const struct sl_eventstream_pair *headers,
                          size_t count, struct sl_slice payload) {
    size_t header_len = 0;
    for (size_t i = 0; i < count; i++) {
        if (headers[i].name.len == 0)
            return SL_E_INVALID;
        if (headers[i].name.len > UINT8_MAX || headers[i].value.len > MAX_SENT_VALUE)
            return SL_E_LIMIT;
        header_len += 1 + headers[i].name.len + 1 + 2 + headers[i].value.len;
        if (header_len > SL_EVENTSTREAM_MAX_HEADERS)
            return SL_E_LIMIT;
    }
    if (payload.len > SL_EVENTSTREAM_MAX_PAYLOAD)
        return SL_E_LIMIT;
    size_t total = SL_EVENTSTREAM_OVERHEAD + header_len + payload.len;
    int rc = sl_buf_reserve(out, total);
    if (rc != 0)
        return rc;

    size_t start = out->len;
    put_be(out, (uint32_t)total, 4);
    put_be(out, (uint32_t)header_len, 4);
    put_be(out, sl_crc32(0, sl_slice_of(out->ptr + start, 8)), 4);
    for (size_t i = 0; i < count; i++) {
        put_be(out, (uint32_t)headers[i].name.len, 1);
        put(out, headers[i].name);
        put_be(out, SL_HEADER_STRING, 1);
        put_be(out, (uint32_t)headers[i].value.len, 2);
        put(out, headers[i].value);
    }
    put(out, payload);
    put_be(out, sl_crc32(0, sl_slice_of(out->ptr + start, out->len - start)), 4);
    return 0;
}

int sl_eventstream_exception(struct sl_buf *out, struct sl_slice exception_type,
                             struct sl_slice message) {
    const struct sl_eventstream_pair headers[] = {
        {SL_LIT(":exception-type"), exception_type},
        {SL_LIT(":content-type"), SL_LIT("application/json")},
        {SL_LIT(":message-type"), SL_LIT("exception")},
    };
    struct sl_buf payload;
    sl_buf_init(&payload, SL_EVENTSTREAM_MAX_PAYLOAD);
    int rc = sl_buf_add_str(&payload, "{\"message\":");
    if (rc == 0)
        rc = sl_buf_add_json(&payload, message);
    if (rc == 0)
        rc = sl_buf_add_byte(&payload, '}');
    if (rc == 0)
        rc = sl_eventstream_encode(out, headers, sizeof(headers) / sizeof(headers[0]),
                                   sl_buf_slice(&payload));
    sl_buf_done(&payload);
    return rc;
}
