/*
 * HTTP/1 through the whole front, in memory. A byte says how, eight plans of four bytes what the
 * handler does with each request (front_rig.h); the rest is what the client sends, in which 0xff
 * begins a step: reads are cut, time passes, output is blocked, the handler goes on, the client
 * leaves. What came out must be the responses to the requests that went in, and nothing else.
 *
 * With the first byte's lowest bit, there are no plans and no steps: instead the same bytes are
 * sent at once and one by one, and that must not show.
 */
#include "front_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 32768
#define SENT_MAX  ((size_t)256 << 10)

enum how {
    CUTS_ALIKE = 1,
    SMALL_LIMITS = 2,
    OVER_TLS = 4,
    BURSTS = 8,
    LEAVES = 16,    /* at the end: FIN */
    BREAKS = 32,    /* at the end: RST */
    FREED_BUSY = 64 /* the front goes before its clients do */
};

/* What a step does, by the low bits of the byte behind 0xff; the high ones say how much of it. */
enum step {
    SEND_FF, /* that byte itself */
    RUN_ONCE,
    RUN,
    PASS_TIME,
    SET_ROOM,
    POKE, /* the handler of the newest request, or one before, goes on */
    POKE_OTHERWISE,
    CUT_READS,
    FIN,
    RST,
    DRAIN,
    REPEAT, /* the latest 64 bytes, 1 to 2048 times */
    FAIL_MEMORY,
    POKE_ALL
};

static const struct sl_front_limits small_limits = {.header_bytes = 300,
                                                    .header_count = 8,
                                                    .body_bytes = 2000,
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

/* ---- what came out ---- */

struct response {
    int status;
    uint64_t id; /* of the exchange */
    bool chunked, closes, has_length;
    uint64_t length;
};

/* A line without its end, which must be CRLF. False: it has not come whole. */
static bool take_line(struct sl_slice *rest, struct sl_slice *line) {
    size_t at = sl_slice_find(*rest, '\n');
    if (at >= rest->len)
        return false;
    assert(at > 0 && rest->ptr[at - 1] == '\r');
    *line = sl_slice_head(*rest, at - 1);
    *rest = sl_slice_skip(*rest, at + 1);
    return true;
}

static void read_field(struct response *r, struct sl_slice line) {
    size_t colon = sl_slice_find(line, ':');
    assert(colon > 0 && colon < line.len);
    struct sl_slice name = sl_slice_head(line, colon);
    struct sl_slice value = sl_slice_trim(sl_slice_skip(line, colon + 1));
    if (sl_slice_ieq(name, SL_LIT("content-length"))) {
        assert(!r->has_length && !r->chunked && sl_slice_u64(value, &r->length));
        r->has_length = true;
    } else if (sl_slice_ieq(name, SL_LIT("transfer-encoding"))) {
        assert(!r->has_length && !r->chunked && sl_slice_eq(value, SL_LIT("chunked")));
        r->chunked = true;
    } else if (sl_slice_ieq(name, SL_LIT("connection"))) {
        r->closes = sl_slice_eq(value, SL_LIT("close"));
    } else if (sl_slice_ieq(name, SL_LIT("x-id"))) {
        assert(sl_slice_u64(value, &r->id));
    }
}

/* The next head. False: it has not come whole, or nothing has. */
static bool take_head(struct sl_slice *rest, struct response *r) {
    struct sl_slice line, at = *rest;
    uint64_t status;
    *r = (struct response){0};
    if (!take_line(&at, &line))
        return false;
    assert(sl_slice_starts(line, SL_LIT("HTTP/1.1 ")) && line.len >= 13 && line.ptr[12] == ' ');
    assert(sl_slice_u64(sl_slice_head(sl_slice_skip(line, 9), 3), &status));
    r->status = (int)status;
    while (take_line(&at, &line)) {
        if (line.len == 0) {
            *rest = at;
            return true;
        }
        read_field(r, line);
    }
    return false;
}

static void check_body(const struct rig_exchange *e, uint64_t *at, struct sl_slice bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        assert(bytes.ptr[i] == rig_pattern(e->id, *at + i));
    *at += bytes.len;
}

/* True when it was whole. */
static bool take_chunks(const struct rig_exchange *e, struct sl_slice *rest, uint64_t *at) {
    struct sl_slice line;
    while (take_line(rest, &line)) {
        size_t size = 0;
        assert(line.len > 0 && line.len < 8);
        for (size_t i = 0; i < line.len; i++) {
            char c = line.ptr[i];
            assert((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
            size = size * 16 + (size_t)(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        struct sl_slice chunk = sl_slice_head(*rest, size);
        check_body(e, at, chunk);
        *rest = sl_slice_skip(*rest, size);
        if (chunk.len < size)
            break;
        if (rest->len < 2)
            break;
        assert(sl_slice_starts(*rest, SL_LIT("\r\n")));
        *rest = sl_slice_skip(*rest, 2);
        if (size == 0)
            return true;
    }
    *rest = SL_EMPTY;
    return false;
}

static bool take_body(const struct rig_exchange *e, const struct response *r, struct sl_slice *rest,
                      uint64_t *at) {
    if (e->head_method || r->status == 204 || r->status == 304)
        return true;
    if (r->chunked)
        return take_chunks(e, rest, at);
    struct sl_slice body = sl_slice_head(*rest, r->has_length ? r->length : SIZE_MAX);
    check_body(e, at, body);
    *rest = sl_slice_skip(*rest, body.len);
    return r->has_length ? body.len == r->length : e->reason == SL_CLOSE_DONE;
}

static void check_response(const struct rig_exchange *e, const struct response *r,
                           struct sl_slice *rest) {
    uint64_t told = 0;
    bool whole = take_body(e, r, rest, &told);
    if (e->bare) {
        assert(r->status == (e->malformed ? e->malformed : 503) && told == 0);
        return;
    }
    assert(r->status == e->status && r->id == e->id);
    assert(told <= e->plan.size && told == e->sent);
    assert(!e->plan.with_length || !r->has_length || r->length == e->plan.size);
    assert(whole || (e->reason != SL_CLOSE_DONE && rest->len == 0));
}

static void check_output(const struct sl_conn *conn) {
    struct sl_slice rest = sl_slice_of(conn->out.ptr, conn->out.len);
    struct response r = {0};
    bool closes = false;
    for (uint32_t i = 0; i < rig.count; i++) {
        const struct rig_exchange *e = rig.exchanges[i];
        bool got;
        while ((got = take_head(&rest, &r)) && r.status < 200)
            assert(!closes && !e->http10 && !r.chunked && !r.has_length);
        if (!got) {
            assert(e->bare || e->reason != SL_CLOSE_DONE);
            assert(e->sent == 0);
            return; /* behind what did not come whole nothing can come */
        }
        assert(!closes);
        check_response(e, &r, &rest);
        closes = r.closes;
    }
    assert(rest.len == 0);
}

/* ---- what goes in ---- */

static void repeat(struct sl_conn *conn, unsigned times) {
    size_t len = conn->in.len < 64 ? conn->in.len : 64;
    char piece[64];
    if (len)
        memcpy(piece, conn->in.ptr + conn->in.len - len, len);
    for (unsigned i = 0; i < times && conn->in.len < SENT_MAX; i++)
        memory_send(conn, piece, len);
}

static void step(struct sl_conn *conn, uint8_t code, struct rig_input *in) {
    static const uint32_t times[] = {1,     10,    100,   999,    1000,   5000,   14999,  15000,
                                     20000, 29999, 30000, 119999, 120000, 300000, 400000, 500};
    static const size_t rooms[] = {0, 1, 2, 10, 100, 1000, 16384, 65536, 300000, MEMORY_ROOM};
    unsigned arg = code >> 4;
    switch (code & 15) {
    case RUN_ONCE:
        (void)memory_round();
        break;
    case RUN:
        memory_settle();
        break;
    case PASS_TIME:
        memory_pass(times[arg]);
        (void)memory_round();
        break;
    case SET_ROOM:
        conn->room = rooms[arg < 10 ? arg : 9];
        break;
    case POKE:
        if (arg < rig.count)
            rig_poke(rig.exchanges[rig.count - 1 - arg], 0);
        break;
    case POKE_OTHERWISE:
        if (rig.count)
            rig_poke(rig.exchanges[rig.count - 1], (uint8_t)arg);
        break;
    case CUT_READS:
        memory.chunk = arg ? arg * arg : MEMORY_READ;
        break;
    case FIN:
        conn->eof = true;
        break;
    case RST:
        memory_break(conn);
        break;
    case DRAIN:
        sl_front_drain(rig.front);
        break;
    case FAIL_MEMORY:
        rig_fail_memory(1 + (arg << 8 | rig_byte(in)) % 64);
        break;
    case POKE_ALL:
        rig_poke_all();
        memory_settle();
        break;
    default:
        break;
    }
}

/* Steps that are bytes are taken always, others on demand. */
static void send_all(struct sl_conn *conn, struct rig_input in, bool steps) {
    while (in.at < in.end && conn->in.len < SENT_MAX) {
        uint8_t byte = rig_byte(&in);
        if (byte != 0xff) {
            memory_send(conn, &byte, 1);
            continue;
        }
        uint8_t code = rig_byte(&in);
        if ((code & 15) == SEND_FF)
            memory_send(conn, "\xff", 1);
        else if ((code & 15) == REPEAT)
            repeat(conn, 1u << (code >> 4) % 12);
        else if (steps)
            step(conn, code, &in);
    }
}

static struct sl_conn *begin(unsigned how) {
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    rig_start(how & SMALL_LIMITS ? &small_limits : &limits);
    if (how & BURSTS)
        memory.burst = 3;
    return memory_connect(how & OVER_TLS ? "http/1.1" : NULL);
}

static void run_planned(unsigned how, struct rig_input in) {
    for (size_t i = 0; i < RIG_PLANS; i++)
        rig.plans[i] = rig_read_plan(&in);
    struct sl_conn *conn = begin(how);
    (void)memory_round();
    send_all(conn, in, true);
    if (how & LEAVES)
        conn->eof = true;
    if (how & BREAKS)
        memory_break(conn);
    memory_settle();
    if (!(how & FREED_BUSY))
        rig_wind_up();
    rig_stop();
    if (!rig.memory_fails && !(how & OVER_TLS && conn->out.len == 0))
        check_output(conn);
    rig_clear();
}

/* ---- cuts that must not show ---- */

struct seen {
    struct rig_exchange *exchanges;
    uint32_t count;
    char *out;
    size_t out_len;
};

static struct seen run_cut(unsigned how, struct rig_input in, size_t chunk) {
    for (size_t i = 0; i < RIG_PLANS; i++)
        rig.plans[i] = (struct rig_plan){.when = RIG_AT_END,
                                         .with_length = i & 1,
                                         .status = 200,
                                         .size = 30,
                                         .part = 30,
                                         .slice = 10};
    struct sl_conn *conn = begin(how & ~(unsigned)BURSTS);
    (void)memory_round();
    memory.chunk = chunk;
    send_all(conn, in, false);
    memory_settle();
    rig_wind_up();
    rig_stop();
    check_output(conn);
    struct seen seen = {.count = rig.count, .out = conn->out.ptr, .out_len = conn->out.len};
    conn->out.ptr = NULL;
    seen.exchanges = calloc(rig.count + 1, sizeof(*seen.exchanges));
    assert(seen.exchanges);
    for (uint32_t i = 0; i < rig.count; i++)
        seen.exchanges[i] = *rig.exchanges[i];
    rig_clear();
    return seen;
}

static void check_same(const struct rig_exchange *a, const struct rig_exchange *b) {
    assert(a->malformed == b->malformed && a->fault == b->fault && a->status == b->status);
    assert(a->body_end == b->body_end && a->reason == b->reason);
    if (!a->malformed)
        assert(strcmp(a->method, b->method) == 0 && strcmp(a->target, b->target) == 0);
    if (!a->fault)
        assert(a->received == b->received && a->body_hash == b->body_hash);
}

static void run_both(unsigned how, struct rig_input in) {
    struct seen whole = run_cut(how, in, MEMORY_READ), bytes = run_cut(how, in, 1);
    bool good = true;
    assert(whole.count == bytes.count);
    for (uint32_t i = 0; i < whole.count; i++) {
        check_same(&whole.exchanges[i], &bytes.exchanges[i]);
        good = good && !whole.exchanges[i].malformed;
    }
    /* What is known of a broken head, and so the form of its answer, depends on where it breaks. */
    if (good && whole.out_len > 0)
        assert(whole.out_len == bytes.out_len && memcmp(whole.out, bytes.out, whole.out_len) == 0);
    free(whole.exchanges);
    free(whole.out);
    free(bytes.exchanges);
    free(bytes.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > INPUT_MAX)
        return 0;
    struct rig_input in = {data + 1, data + size};
    if (data[0] & CUTS_ALIKE)
        run_both(data[0], in);
    else
        run_planned(data[0], in);
    return 0;
}
