/*
 * The file, all integers little-endian:
 *
 *   file:    "sluicekp" | u32 version | u32 CRC of these 12 bytes | records
 *   record:  u32 kind | u64 length | u32 CRC of these 12 bytes | payload | u32 CRC of the payload
 *
 * Kinds are an entry and, once and last, the end, whose payload is a u64 count of entries. A length
 * has a checksum of its own: where it holds, a damaged payload costs that record alone; where it
 * does not, nothing says where the next one begins, and the rest is ignored.
 *
 *   entry:   digest 32 | u64 tenant | u8 framing, u8 segment | i64 usage: input, output, cache
 * read, cache write | i64 cost | u64 stored, expires, hits | i32 status | i64 content length | text
 * operation, model | u32 headers, each text name, value | u32 paces, each u64 upto, u32 ms | u64
 * length, bytes of the body text:    u32 length, bytes
 *
 * Operations go by AWS's names, not by numbers that another version may give to others. Checksums
 * are against accidents; whatever passes them is still bounded by the bytes that are there.
 */
#include "sluice/answer/snapshot.h"

#include "answer/segments.h"
#include "sluice/base/crc32.h"
#include "sluice/base/mem.h"

#define KIND_ENTRY         1u
#define KIND_END           2u
#define HEAD_SIZE          16
#define MAX_HEADERS        256 /* twice what upstream may send */
#define PACE_SIZE          12
#define MIN_SIZE_OF_HEADER 8

static const struct sl_slice magic = {"sluicekp", 8};

/* Writing. Room is reserved before; see record_size. */

static void put(struct sl_buf *out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++)
        out->ptr[out->len++] = (char)(value >> (8 * i));
}

static void put_bytes(struct sl_buf *out, struct sl_slice s) {
    if (s.len > 0)
        memcpy(out->ptr + out->len, s.ptr, s.len);
    out->len += s.len;
}

static void put_text(struct sl_buf *out, struct sl_slice s) {
    put(out, s.len, 4);
    put_bytes(out, s);
}

static void put_crc(struct sl_buf *out, size_t from) {
    put(out, sl_crc32(0, sl_slice_of(out->ptr + from, out->len - from)), 4);
}

static void put_record_head(struct sl_buf *out, uint32_t kind, uint64_t length) {
    size_t from = out->len;
    put(out, kind, 4);
    put(out, length, 8);
    put_crc(out, from);
}

int sl_snapshot_begin(struct sl_buf *out) {
    int err = sl_buf_reserve(out, HEAD_SIZE);
    if (err)
        return err;
    size_t from = out->len;
    put_bytes(out, magic);
    put(out, SL_SNAPSHOT_VERSION, 4);
    put_crc(out, from);
    return SL_OK;
}

static size_t payload_size(const struct sl_kept *kept, struct sl_slice operation) {
    const struct sl_headers *headers = &kept->answer.head.headers;
    const size_t fixed = SL_DIGEST_SIZE + 8 + 2 + 4 * 8 + 8 + 3 * 8 + 4 + 8;
    size_t size = fixed + 4 + operation.len + 4 + kept->meta.model.len + 4 + 4 +
                  kept->meta.pace_count * PACE_SIZE + 8 + kept->answer.packed.len;
    for (size_t i = 0; i < headers->count; i++)
        size += 8 + headers->items[i].name.len + headers->items[i].value.len;
    return size;
}

static void put_entry(struct sl_buf *out, const struct sl_kept *kept, struct sl_slice operation) {
    const struct sl_kept_meta *meta = &kept->meta;
    const struct sl_response_head *head = &kept->answer.head;
    put_bytes(out, sl_slice_of(meta->digest, SL_DIGEST_SIZE));
    put(out, meta->tenant, 8);
    put(out, meta->framing, 1);
    put(out, kept->segment, 1);
    put(out, (uint64_t)meta->usage.input, 8);
    put(out, (uint64_t)meta->usage.output, 8);
    put(out, (uint64_t)meta->usage.cache_read, 8);
    put(out, (uint64_t)meta->usage.cache_write, 8);
    put(out, (uint64_t)meta->cost, 8);
    put(out, meta->stored_at, 8);
    put(out, meta->expires_at, 8);
    put(out, kept->hits, 8);
    put(out, (uint32_t)head->status, 4);
    put(out, (uint64_t)head->content_length, 8);
    put_text(out, operation);
    put_text(out, meta->model);
    put(out, head->headers.count, 4);
    for (size_t i = 0; i < head->headers.count; i++) {
        put_text(out, head->headers.items[i].name);
        put_text(out, head->headers.items[i].value);
    }
    put(out, meta->pace_count, 4);
    for (size_t i = 0; i < meta->pace_count; i++) {
        put(out, meta->pace[i].upto, 8);
        put(out, meta->pace[i].ms, 4);
    }
    put(out, kept->answer.packed.len, 8);
    put_bytes(out, kept->answer.packed);
}

int sl_snapshot_record(struct sl_buf *out, const struct sl_kept *kept) {
    struct sl_slice operation = sl_operation_info(kept->meta.operation)->name;
    size_t size = payload_size(kept, operation);
    if (kept->answer.head.headers.count > MAX_HEADERS)
        return SL_E_LIMIT;
    int err = sl_buf_reserve(out, HEAD_SIZE + size + 4);
    if (err)
        return err;
    put_record_head(out, KIND_ENTRY, size);
    size_t from = out->len;
    put_entry(out, kept, operation);
    put_crc(out, from);
    return SL_OK;
}

int sl_snapshot_end(struct sl_buf *out, uint64_t count) {
    int err = sl_buf_reserve(out, HEAD_SIZE + 8 + 4);
    if (err)
        return err;
    put_record_head(out, KIND_END, 8);
    size_t from = out->len;
    put(out, count, 8);
    put_crc(out, from);
    return SL_OK;
}

/* Reading. What runs out of bytes makes `rest` bad, for all that follows. */

struct input {
    struct sl_slice rest;
    bool bad;
};

static struct sl_slice take(struct input *in, uint64_t n) {
    if (in->bad || n > in->rest.len) {
        in->bad = true;
        return SL_EMPTY;
    }
    struct sl_slice s = sl_slice_head(in->rest, (size_t)n);
    in->rest = sl_slice_skip(in->rest, (size_t)n);
    return s;
}

static uint64_t take_u(struct input *in, size_t bytes) {
    struct sl_slice s = take(in, bytes);
    uint64_t value = 0;
    for (size_t i = 0; i < s.len; i++)
        value |= (uint64_t)(uint8_t)s.ptr[i] << (8 * i);
    return value;
}

static int64_t take_i(struct input *in) {
    return (int64_t)take_u(in, 8);
}

static struct sl_slice take_text(struct input *in) {
    return take(in, take_u(in, 4));
}

/* Takes the CRC that follows and compares. */
static bool take_crc(struct input *in, struct sl_slice of) {
    return take_u(in, 4) == sl_crc32(0, of) && !in->bad;
}

static enum sl_operation operation_named(struct sl_slice name, bool *bad) {
    for (int op = 0; op < SL_OP_COUNT; op++)
        if (sl_slice_eq(sl_operation_info((enum sl_operation)op)->name, name))
            return (enum sl_operation)op;
    *bad = true;
    return SL_OP_NONE;
}

static void take_meta(struct input *in, struct sl_kept_meta *meta, uint8_t *segment,
                      uint64_t *hits) {
    struct sl_slice digest = take(in, SL_DIGEST_SIZE);
    if (!in->bad)
        memcpy(meta->digest, digest.ptr, SL_DIGEST_SIZE);
    meta->tenant = take_u(in, 8);
    uint64_t framing = take_u(in, 1);
    in->bad |= framing > SL_FRAMING_SSE;
    meta->framing = (enum sl_framing)framing;
    *segment = (uint8_t)take_u(in, 1);
    meta->usage.input = take_i(in);
    meta->usage.output = take_i(in);
    meta->usage.cache_read = take_i(in);
    meta->usage.cache_write = take_i(in);
    meta->cost = take_i(in);
    meta->stored_at = take_u(in, 8);
    meta->expires_at = take_u(in, 8);
    *hits = take_u(in, 8);
}

static void take_headers(struct input *in, struct sl_headers *headers) {
    uint64_t count = take_u(in, 4);
    in->bad |= count > MAX_HEADERS;
    for (uint64_t i = 0; i < count && !in->bad; i++) {
        struct sl_header *h = &headers->items[headers->count++];
        h->name = take_text(in);
        h->value = take_text(in);
    }
}

/* An array of its own, or NULL where there is none or no memory. Stretches come in order and within
 * the body, or else are left out: a replay without them is still right. */
static struct sl_pace *take_paces(struct input *in, size_t *count) {
    uint64_t n = take_u(in, 4), last = 0;
    *count = 0;
    struct input items = {.rest = take(in, n * PACE_SIZE)};
    struct sl_pace *paces = n > 0 && !in->bad ? sl_alloc((size_t)n * sizeof(*paces)) : NULL;
    for (uint64_t i = 0; paces && i < n; i++) {
        uint64_t upto = take_u(&items, 8);
        paces[i] = (struct sl_pace){.upto = upto, .ms = (uint32_t)take_u(&items, 4)};
        if (upto < last)
            return paces;
        last = upto;
    }
    *count = paces ? (size_t)n : 0;
    return paces;
}

/* A record's payload, of which every byte has a place. *damaged, or NULL for want of memory. */
static struct sl_kept *read_entry(struct sl_slice payload, bool *damaged) {
    struct input in = {.rest = payload};
    struct sl_kept_meta meta = {0};
    struct sl_header items[MAX_HEADERS];
    struct sl_response_head head = {.headers = {.items = items, .cap = MAX_HEADERS}};
    uint8_t segment = 0;
    uint64_t hits = 0;
    take_meta(&in, &meta, &segment, &hits);
    head.status = (int)take_u(&in, 4);
    head.content_length = take_i(&in);
    meta.operation = operation_named(take_text(&in), &in.bad);
    meta.model = take_text(&in);
    take_headers(&in, &head.headers);
    struct sl_pace *paces = take_paces(&in, &meta.pace_count);
    struct sl_slice body = take(&in, take_u(&in, 8));
    meta.pace = paces;
    if (meta.pace_count > 0 && paces[meta.pace_count - 1].upto > body.len)
        meta.pace_count = 0;
    in.bad |=
        in.rest.len > 0 || head.status < 100 || head.status > 599 ||
        (head.content_length != SL_LENGTH_UNKNOWN && (uint64_t)head.content_length != body.len);
    struct sl_kept *kept = in.bad ? NULL : sl_kept_from(&head, body, &meta);
    sl_free(paces);
    if (kept) {
        kept->segment = segment;
        kept->hits = hits;
    }
    *damaged = in.bad;
    return kept;
}

static void load_entry(struct sl_cache *cache, struct sl_slice payload, uint64_t wall_ms,
                       struct sl_snapshot_report *report) {
    bool damaged;
    struct sl_kept *kept = read_entry(payload, &damaged);
    report->damaged += damaged;
    if (!kept)
        return;
    if (kept->meta.expires_at <= wall_ms) {
        report->expired++;
        sl_kept_release(kept);
    } else if (sl_cache_restore(cache, kept, wall_ms)) {
        report->taken++;
    }
}

/* The head's version must be this one: there is no other yet. */
static const char *read_head(struct input *in) {
    struct input head = {.rest = sl_slice_head(in->rest, 12)};
    struct sl_slice start = take(in, 12);
    if (in->bad)
        return "cut";
    bool ours = sl_slice_eq(take(&head, magic.len), magic);
    uint64_t version = take_u(&head, 4);
    if (!take_crc(in, start))
        return in->bad ? "cut" : "damaged";
    if (!ours)
        return "damaged";
    return version == SL_SNAPSHOT_VERSION ? NULL : "version";
}

/* One record: its payload, and whether that is whole. */
struct record {
    uint64_t kind;
    struct sl_slice payload;
    bool whole;
};

static const char *read_record(struct input *in, struct record *record) {
    struct input head = {.rest = sl_slice_head(in->rest, 12)};
    struct sl_slice start = take(in, 12);
    record->kind = take_u(&head, 4);
    uint64_t length = take_u(&head, 8);
    bool sound = take_crc(in, start);
    if (in->bad)
        return "cut";
    if (!sound || (record->kind != KIND_ENTRY && record->kind != KIND_END))
        return "damaged";
    record->payload = take(in, length);
    record->whole = take_crc(in, record->payload);
    return in->bad ? "cut" : NULL;
}

/* The end says how many there were, and that nothing follows. */
static const char *check_end(const struct input *in, const struct record *end, uint64_t seen) {
    struct input count = {.rest = end->payload};
    bool fine = end->whole && take_u(&count, 8) == seen && !count.bad && count.rest.len == 0 &&
                in->rest.len == 0;
    return fine ? NULL : "damaged";
}

void sl_snapshot_load(struct sl_cache *cache, struct sl_slice file, uint64_t wall_ms,
                      struct sl_snapshot_report *report) {
    struct input in = {.rest = file};
    struct record record = {.kind = KIND_ENTRY};
    uint64_t seen = 0;
    *report = (struct sl_snapshot_report){.ignored = read_head(&in)};
    while (!report->ignored) {
        report->ignored = read_record(&in, &record);
        if (report->ignored)
            return;
        if (record.kind == KIND_END) {
            report->ignored = check_end(&in, &record, seen);
            return;
        }
        seen++;
        if (record.whole)
            load_entry(cache, record.payload, wall_ms, report);
        else
            report->damaged++;
    }
}
