/*
 * HTTP/2 through the whole front, in memory. A byte says how, eight plans of four bytes what the
 * handler does with each request (front_rig.h); the rest is steps: frames that a client makes, good
 * and bad, whose header blocks are compressed by a table that both sides keep, reads that are cut,
 * time, output that is blocked, a handler that goes on, a client that leaves. What comes out must
 * be frames that a client can read, on streams that it opened, with the answers to its requests.
 *
 * With the first byte's highest bit the handler answers at the end only, and the same bytes come at
 * once and one by one; that must not show in the requests.
 */
#include <nghttp2/nghttp2.h>

#include "front_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 8192
#define SENT_MAX  ((size_t)256 << 10)
#define STREAMS   8192
#define FRAME_MAX 16384
#define FIELDS    20

enum how {
    SMALL_LIMITS = 1,
    OVER_TLS = 2,
    BURSTS = 4,
    LEAVES = 8,      /* at the end: FIN */
    BREAKS = 16,     /* at the end: RST */
    FREED_BUSY = 32, /* the front goes before its clients do */
    NO_PREFACE = 64,
    CUTS_ALIKE = 128
};

/* What a step does, by the low bits of its first byte. */
enum step {
    SEND_HEADERS,
    SEND_HEADERS_TOO, /* requests are what most is about */
    SEND_DATA,
    SEND_RST_STREAM,
    SEND_WINDOW_UPDATE,
    SEND_SETTINGS,
    SEND_ANY_FRAME,
    SEND_BYTES,
    CUT_READS,
    RUN,
    PASS_TIME,
    SET_ROOM,
    POKE,
    FAIL_MEMORY,
    LEAVE,
    DRAIN_OR_POKE_ALL
};

static const struct sl_front_limits small_limits = {.header_bytes = 600,
                                                    .header_count = 8,
                                                    .body_bytes = 20000,
                                                    .connections = 1,
                                                    .streams = 4,
                                                    .header_ms = 15000,
                                                    .body_ms = 30000,
                                                    .body_rate = 100,
                                                    .idle_ms = 60000,
                                                    .write_ms = 20000,
                                                    .pipeline_bytes = 100,
                                                    .resets_burst = 5,
                                                    .resets_per_s = 1};

static struct {
    struct sl_conn *conn;
    nghttp2_hd_deflater *deflater;
    int32_t next; /* the next stream's id */
    bool rough;   /* output was held up, or cut off */
    bool unknown; /* where its frames begin, or whether it speaks HTTP/2, is for the input to say */
    bool wrong;   /* it was told so: GOAWAY with an error */
    bool plain;   /* nothing but frames, and time for them */
} client;

/* ---- what came out ---- */

struct answer {
    bool head, ended, reset;
    int status;
    uint64_t id, length, received;
    bool has_id, has_length;
};

static struct answer answers[STREAMS];

struct block {
    int32_t stream;
    uint8_t flags;
    struct memory_bytes bytes;
};

static uint32_t big_endian(const char *at, size_t len) {
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | (uint8_t)at[i];
    return n;
}

static struct answer *answer_on(uint32_t id) {
    assert(id % 2 == 1 && id < (uint32_t)client.next && id / 2 < STREAMS);
    return &answers[id / 2];
}

static void take_field(struct answer *a, struct sl_slice name, struct sl_slice value, bool first) {
    uint64_t n;
    for (size_t i = 0; i < name.len; i++)
        assert(!(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z'));
    if (sl_slice_eq(name, SL_LIT(":status"))) {
        assert(first && sl_slice_u64(value, &n) && n >= 100 && n < 600);
        a->status = (int)n;
    } else if (sl_slice_eq(name, SL_LIT("x-id"))) {
        assert(!a->has_id && sl_slice_u64(value, &a->id) && a->id < rig.count);
        a->has_id = true;
    } else if (sl_slice_eq(name, SL_LIT("content-length"))) {
        assert(!a->has_length && sl_slice_u64(value, &a->length));
        a->has_length = true;
    }
}

static void take_block(nghttp2_hd_inflater *inflater, const struct block *block) {
    struct answer *a = answer_on((uint32_t)block->stream);
    const uint8_t *at = (const uint8_t *)block->bytes.ptr, *end = at + block->bytes.len;
    assert(!a->ended && !a->reset);
    bool trailers = a->head, ends = block->flags & NGHTTP2_FLAG_END_STREAM;
    for (bool first = !trailers;; first = false) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(inflater, &nv, &flags, at, (size_t)(end - at), 1);
        assert(n >= 0);
        at += n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            take_field(a, sl_slice_of(nv.name, nv.namelen), sl_slice_of(nv.value, nv.valuelen),
                       first);
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    nghttp2_hd_inflate_end_headers(inflater);
    assert(at == end && (!trailers || ends));
    a->head = a->status >= 200;
    assert(a->head || !ends);
    a->ended = ends;
}

static void take_data(struct answer *a, uint8_t flags, struct sl_slice payload) {
    assert(a->head && !a->ended && !a->reset && !(flags & NGHTTP2_FLAG_PADDED));
    assert(a->has_id || payload.len == 0);
    for (size_t i = 0; i < payload.len; i++)
        assert(payload.ptr[i] == rig_pattern((uint32_t)a->id, a->received + i));
    a->received += payload.len;
    a->ended = flags & NGHTTP2_FLAG_END_STREAM;
}

static void take_frame(nghttp2_hd_inflater *inflater, struct block *block, uint8_t type,
                       uint8_t flags, uint32_t id, struct sl_slice payload) {
    assert((block->stream != 0) == (type == NGHTTP2_CONTINUATION));
    switch (type) {
    case NGHTTP2_HEADERS:
        assert(!(flags & (NGHTTP2_FLAG_PADDED | NGHTTP2_FLAG_PRIORITY)));
        block->stream = (int32_t)id;
        block->flags = flags;
        block->bytes.len = 0;
        /* fall through */
    case NGHTTP2_CONTINUATION:
        assert(block->stream == (int32_t)id);
        memory_add(&block->bytes, payload.ptr, payload.len);
        if (flags & NGHTTP2_FLAG_END_HEADERS) {
            take_block(inflater, block);
            block->stream = 0;
        }
        break;
    case NGHTTP2_DATA:
        take_data(answer_on(id), flags, payload);
        break;
    case NGHTTP2_RST_STREAM:
        assert(payload.len == 4 && id > 0);
        answer_on(id)->reset = true;
        break;
    case NGHTTP2_WINDOW_UPDATE:
        assert(payload.len == 4 && big_endian(payload.ptr, 4) > 0);
        break;
    case NGHTTP2_SETTINGS:
        assert(id == 0 && payload.len % 6 == 0);
        break;
    case NGHTTP2_PING:
        assert(id == 0 && payload.len == 8);
        break;
    default:
        assert(type == NGHTTP2_GOAWAY && id == 0 && payload.len >= 8);
        client.wrong = client.wrong || big_endian(payload.ptr + 4, 4) != NGHTTP2_NO_ERROR;
    }
}

static void read_frames(struct sl_slice rest) {
    nghttp2_hd_inflater *inflater;
    struct block block = {0};
    bool first = true;
    int rc = nghttp2_hd_inflate_new(&inflater);
    assert(rc == 0);
    while (rest.len >= 9) {
        uint32_t len = big_endian(rest.ptr, 3), id = big_endian(rest.ptr + 5, 4);
        uint8_t type = (uint8_t)rest.ptr[3], flags = (uint8_t)rest.ptr[4];
        assert(len <= FRAME_MAX && (!first || type == NGHTTP2_SETTINGS));
        first = false;
        if (rest.len < 9 + (size_t)len)
            break;
        take_frame(inflater, &block, type, flags, id, sl_slice_head(sl_slice_skip(rest, 9), len));
        rest = sl_slice_skip(rest, 9 + (size_t)len);
    }
    assert(rest.len == 0 || client.rough || client.conn->reset);
    free(block.bytes.ptr);
    nghttp2_hd_inflate_del(inflater);
}

/* Each exchange has at most one answer, and one that was delivered has a whole one. */
static void match_answers(void) {
    static bool answered[RIG_EXCHANGES];
    memset(answered, 0, rig.count * sizeof(answered[0]));
    for (int32_t i = 0; i < client.next / 2; i++) {
        const struct answer *a = &answers[i];
        if (!a->has_id)
            continue;
        const struct rig_exchange *e = rig.exchanges[a->id];
        assert(!answered[a->id] && a->status == e->status && a->received <= e->sent);
        assert(!a->has_length || a->status == 204 || a->length == e->plan.size);
        if (e->reason == SL_CLOSE_DONE && !client.rough && !client.conn->reset)
            assert(a->ended && a->received == e->sent);
        answered[a->id] = true;
    }
    for (uint32_t i = 0; i < rig.count; i++) {
        const struct rig_exchange *e = rig.exchanges[i];
        if (!e->bare && e->reason == SL_CLOSE_DONE && !client.rough && !client.conn->reset)
            assert(answered[i]);
    }
}

/* ---- frames in ---- */

static void send_frame(uint8_t type, uint8_t flags, int32_t id, struct sl_slice payload) {
    uint8_t head[9] = {(uint8_t)(payload.len >> 16),
                       (uint8_t)(payload.len >> 8),
                       (uint8_t)payload.len,
                       type,
                       flags,
                       (uint8_t)((uint32_t)id >> 24),
                       (uint8_t)(id >> 16),
                       (uint8_t)(id >> 8),
                       (uint8_t)id};
    memory_send(client.conn, head, sizeof(head));
    memory_send(client.conn, payload.ptr, payload.len);
}

/* One of the newest streams, or any number. */
static int32_t pick_stream(struct rig_input *in) {
    uint8_t n = rig_byte(in);
    if (n & 0x80)
        return n & 0x7f;
    int32_t id = client.next - 2 - 2 * n;
    return id > 0 ? id : 1;
}

#define NV(n, v)                                                                                   \
    { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, sizeof(v) - 1, 0 }

static nghttp2_nv read_field(struct rig_input *in) {
    static const nghttp2_nv known[] = {
        NV(":method", "GET"),
        NV(":method", "POST"),
        NV(":method", "HEAD"),
        NV(":method", "CONNECT"),
        NV(":scheme", "https"),
        NV(":path", "/model/m/converse"),
        NV(":path", "/a?b=c"),
        NV(":path", "*"),
        NV(":path", ""),
        NV(":authority", "h.example:443"),
        NV(":authority", "u@h"),
        NV(":protocol", "websocket"),
        NV("host", "h.example:443"),
        NV("host", "other"),
        NV("content-length", "0"),
        NV("content-length", "100"),
        NV("content-length", "20000"),
        NV("content-length", "99999999999"),
        NV("content-length", "x"),
        NV("expect", "100-continue"),
        NV("te", "trailers"),
        NV("connection", "close"),
        NV("transfer-encoding", "chunked"),
        NV("x-empty", ""),
        NV("X-Upper", "v"),
        NV("cookie", "a=b"),
        NV("content-type", "application/json"),
        NV("x-bad", "a\r\nb"),
        NV("x-long", "0123456789012345678901234567890123456789012345678901234567890123456789"),
    };
    uint8_t i = rig_byte(in);
    if (i < 0xf0)
        return known[i % (sizeof(known) / sizeof(known[0]))];
    struct sl_slice name = rig_bytes(in, rig_byte(in) & 31);
    struct sl_slice value = rig_bytes(in, rig_byte(in));
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.ptr, (uint8_t *)(uintptr_t)value.ptr, name.len,
                        value.len, 0};
}

/* Compresses the fields, and sends them in one frame or two. */
static void send_block(int32_t id, uint8_t f, nghttp2_nv *fields, size_t count) {
    static uint8_t block[65536];
    static const char front[] = {3, 0, 0, 0, 0, 16}; /* the pad's length, the priority */
    uint8_t flags = f & 1 ? NGHTTP2_FLAG_END_STREAM : 0;
    ssize_t len = nghttp2_hd_deflate_hd(client.deflater, block, sizeof(block) - 16, fields, count);
    assert(len >= 0);
    size_t first = f & 2 ? (size_t)len / 2 : (size_t)len;
    struct memory_bytes payload = {0};
    if (f & 8)
        memory_add(&payload, front, 1);
    if (f & 4)
        memory_add(&payload, front + 1, 5);
    memory_add(&payload, block, first);
    if (f & 8)
        memory_add(&payload, "\0\0\0", 3);
    flags |= (uint8_t)((f & 8 ? NGHTTP2_FLAG_PADDED : 0) | (f & 4 ? NGHTTP2_FLAG_PRIORITY : 0));
    if (!(f & 2))
        flags |= NGHTTP2_FLAG_END_HEADERS;
    send_frame(NGHTTP2_HEADERS, flags, id, sl_slice_of(payload.ptr, payload.len));
    if (f & 2)
        send_frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, id,
                   sl_slice_of(block + first, (size_t)len - first));
    free(payload.ptr);
}

/* Bits of f: 0 ends the stream, 1 in two frames, 2 with a priority, 3 padded, 4 on an old stream,
 * 5 begins with pseudo headers that are right; 6: POST. */
static void send_headers(struct rig_input *in) {
    static const nghttp2_nv right[2][4] = {
        {NV(":method", "GET"), NV(":scheme", "http"), NV(":path", "/x"), NV(":authority", "h")},
        {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/y"), NV(":authority", "h")}};
    nghttp2_nv fields[FIELDS];
    size_t count = 0;
    uint8_t f = rig_byte(in), more = rig_byte(in) & 15;
    int32_t id = client.next;
    if (f & 16)
        id = pick_stream(in);
    else if (client.next / 2 < STREAMS - 1)
        client.next += 2;
    if (f & 32) {
        memcpy(fields, right[f >> 6 & 1], sizeof(right[0]));
        count = 4;
    }
    while (more-- > 0)
        fields[count++] = read_field(in);
    send_block(id, f, fields, count);
    if (id >= client.next && id / 2 < STREAMS - 1)
        client.next = (id | 1) + 2;
}

/* Bits of f: 0 ends the stream, 3 padded, 4–7 so many more frames. */
static void send_data(struct rig_input *in) {
    static const char zeros[FRAME_MAX];
    uint8_t f = rig_byte(in);
    int32_t id = pick_stream(in);
    size_t len = (size_t)rig_byte(in) << 8;
    len |= rig_byte(in);
    len = len < FRAME_MAX ? len : FRAME_MAX;
    uint8_t flags =
        (uint8_t)((f & 1 ? NGHTTP2_FLAG_END_STREAM : 0) | (f & 8 ? NGHTTP2_FLAG_PADDED : 0));
    for (int more = f >> 4; more >= 0 && client.conn->in.len < SENT_MAX; more--)
        send_frame(NGHTTP2_DATA, more ? 0 : flags, id, sl_slice_of(zeros, len));
}

static void send_number(uint8_t type, uint8_t flags, int32_t id, uint32_t n) {
    uint8_t payload[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    send_frame(type, flags, id, sl_slice_of(payload, sizeof(payload)));
}

static void send_settings(struct rig_input *in) {
    uint8_t f = rig_byte(in), entries[16][6];
    size_t count = f & 15;
    for (size_t i = 0; i < count; i++) {
        uint8_t id = rig_byte(in), shift = rig_byte(in);
        uint32_t value = shift & 32 ? (UINT32_C(1) << (shift & 31)) - 1 : shift & 31;
        uint8_t entry[6] = {0,
                            id,
                            (uint8_t)(value >> 24),
                            (uint8_t)(value >> 16),
                            (uint8_t)(value >> 8),
                            (uint8_t)value};
        memcpy(entries[i], entry, sizeof(entry));
    }
    send_frame(NGHTTP2_SETTINGS, f & 16 ? NGHTTP2_FLAG_ACK : 0, 0, sl_slice_of(entries, count * 6));
}

static void send_raw(struct rig_input *in) {
    uint8_t type = rig_byte(in), flags = rig_byte(in);
    int32_t id = pick_stream(in);
    send_frame(type, flags, id, rig_bytes(in, rig_byte(in)));
    if (id >= client.next && id / 2 < STREAMS - 1)
        client.next = (id | 1) + 2;
}

static void leave(uint8_t how) {
    client.rough = true;
    if (how & 1)
        memory_break(client.conn);
    else
        client.conn->eof = true;
}

static void step_world(uint8_t code, struct rig_input *in) {
    static const uint32_t times[] = {1,     10,    100,   999,    1000,   5000,   14999,  15000,
                                     20000, 29999, 30000, 119999, 120000, 300000, 400000, 500};
    static const size_t rooms[] = {0, 1, 9, 100, 1000, 16384, 65536, MEMORY_ROOM};
    uint8_t arg = rig_byte(in);
    if (client.plain) {
        memory_settle();
        return;
    }
    switch (code) {
    case CUT_READS:
        memory.chunk = arg ? arg : MEMORY_READ;
        break;
    case RUN:
        if (arg & 1)
            memory_settle();
        else
            (void)memory_round();
        break;
    case PASS_TIME:
        memory_pass(times[arg & 15]);
        (void)memory_round();
        break;
    case SET_ROOM:
        client.conn->room = rooms[arg & 7];
        client.rough = true;
        break;
    case POKE:
        if (rig.count > (arg & 15u))
            rig_poke(rig.exchanges[rig.count - 1 - (arg & 15)], arg >> 4);
        break;
    case FAIL_MEMORY:
        rig_fail_memory(1 + arg);
        break;
    case LEAVE:
        leave(arg);
        break;
    default:
        if (arg & 1)
            sl_front_drain(rig.front);
        else
            rig_poke_all();
    }
}

static void step(struct rig_input *in) {
    uint8_t code = rig_byte(in) & 15;
    struct sl_slice raw;
    int32_t id;
    switch (code) {
    case SEND_HEADERS:
    case SEND_HEADERS_TOO:
        send_headers(in);
        break;
    case SEND_DATA:
        send_data(in);
        break;
    case SEND_RST_STREAM:
        id = pick_stream(in);
        send_number(NGHTTP2_RST_STREAM, 0, id, rig_byte(in));
        break;
    case SEND_WINDOW_UPDATE:
        id = pick_stream(in);
        send_number(NGHTTP2_WINDOW_UPDATE, 0, id, UINT32_C(1) << (rig_byte(in) & 31));
        break;
    case SEND_SETTINGS:
        send_settings(in);
        break;
    case SEND_ANY_FRAME:
        send_raw(in);
        break;
    case SEND_BYTES:
        raw = rig_bytes(in, rig_byte(in));
        memory_send(client.conn, raw.ptr, raw.len);
        client.unknown = true;
        break;
    default:
        step_world(code, in);
    }
}

/* ---- the whole ---- */

static void begin(unsigned how) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.resets_burst = 50;
    if (how & CUTS_ALIKE)
        limits.resets_burst = limits.streams = STREAMS;
    rig_start(how & SMALL_LIMITS && !(how & CUTS_ALIKE) ? &small_limits : &limits);
    memset(&client, 0, sizeof(client));
    client.unknown = how & NO_PREFACE;
    client.next = 1;
    int rc = nghttp2_hd_deflate_new(&client.deflater, 4096);
    assert(rc == 0);
    client.conn = memory_connect(how & OVER_TLS ? "h2" : NULL);
    if (how & BURSTS)
        memory.burst = 3;
    (void)memory_round();
    if (!(how & NO_PREFACE)) {
        memory_send(client.conn, preface, sizeof(preface) - 1);
        send_frame(NGHTTP2_SETTINGS, 0, 0, SL_EMPTY);
    }
}

static void end(void) {
    rig_stop();
    if (!rig.memory_fails && !client.unknown) {
        memset(answers, 0, (size_t)(client.next / 2 + 1) * sizeof(answers[0]));
        read_frames(sl_slice_of(client.conn->out.ptr, client.conn->out.len));
        match_answers();
    }
    nghttp2_hd_deflate_del(client.deflater);
}

static void run_planned(unsigned how, struct rig_input in) {
    for (size_t i = 0; i < RIG_PLANS; i++)
        rig.plans[i] = rig_read_plan(&in);
    begin(how);
    while (in.at < in.end && client.conn->in.len < SENT_MAX)
        step(&in);
    if (how & (LEAVES | BREAKS))
        leave(how & BREAKS ? 1 : 0);
    memory_settle();
    if (!(how & FREED_BUSY))
        rig_wind_up();
    else
        client.rough = true;
    end();
    rig_clear();
}

/* ---- cuts that must not show ---- */

struct seen {
    struct rig_exchange *exchanges;
    uint32_t count;
    bool wrong;
};

static struct seen run_cut(unsigned how, struct rig_input in, size_t chunk) {
    for (size_t i = 0; i < RIG_PLANS; i++)
        rig.plans[i] =
            (struct rig_plan){.when = RIG_AT_POKE, .status = 200, .size = 9, .part = 9, .slice = 9};
    begin(how & ~(unsigned)BURSTS);
    client.plain = true;
    memory.chunk = chunk;
    while (in.at < in.end && client.conn->in.len < SENT_MAX / 4)
        step(&in);
    memory_settle();
    rig_wind_up();
    end();
    struct seen seen = {calloc(rig.count + 1, sizeof(struct rig_exchange)), rig.count,
                        client.wrong || client.unknown};
    assert(seen.exchanges);
    for (uint32_t i = 0; i < rig.count; i++)
        seen.exchanges[i] = *rig.exchanges[i];
    rig_clear();
    return seen;
}

static void run_both(unsigned how, struct rig_input in) {
    struct seen whole = run_cut(how, in, MEMORY_READ), bytes = run_cut(how, in, 1);
    /* Whether a frame is wrong may depend on what crossed it, and that on when it came. */
    bool good = !whole.wrong && !bytes.wrong;
    assert(!good || whole.count == bytes.count);
    for (uint32_t i = 0; good && i < whole.count; i++) {
        const struct rig_exchange *a = &whole.exchanges[i], *b = &bytes.exchanges[i];
        assert(a->malformed == b->malformed && a->fault == b->fault && a->status == b->status);
        assert(strcmp(a->method, b->method) == 0 && strcmp(a->target, b->target) == 0);
        assert(a->body_end == b->body_end && (!a->body_end || a->received == b->received));
    }
    free(whole.exchanges);
    free(bytes.exchanges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct rig_input in = {data + 1, data + size};
    if (!(data[0] & CUTS_ALIKE))
        run_planned(data[0], in);
    else if (size < INPUT_MAX / 4)
        run_both(data[0], in);
    return 0;
}
