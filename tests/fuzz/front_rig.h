/*
 * A front in memory (memory_io.h) with a handler that does what its input says: the n-th request is
 * dealt with by plan n of the input. What must hold whatever client and handler do is asserted
 * here: each exchange ends once, in order, within its limits; what it was given stays readable
 * until then; memory is given back; and a client that leaves, or does nothing, is let go.
 */
#ifndef SLUICE_TESTS_FRONT_RIG_H
#define SLUICE_TESTS_FRONT_RIG_H

#include "memory_io.h"
#include "sluice/base/chain.h"
#include "sluice/base/mem.h"
#include "sluice/front/front.h"

#define RIG_PLANS     8
#define RIG_EXCHANGES 8192
#define RIG_PARTS     16 /* at most, of an answer */
/* So long do the longest limits last. */
#define RIG_LONG_MS 400000

enum rig_when { RIG_AT_REQUEST, RIG_AT_BODY, RIG_AT_END, RIG_AT_POKE };
enum rig_fate { RIG_WHOLE, RIG_SHORT, RIG_ABORT_IN_PEEK, RIG_ABORT_LATE };

/* What the handler does with a request, as four bytes say. */
struct rig_plan {
    enum rig_when when;
    enum rig_fate fate;
    bool pause_first, pause_each, with_length, interim, close_after, trailers;
    bool refuse, abort_in_body, abort_at_once, headers;
    int status;
    size_t size, part, slice;
};

struct rig_exchange {
    struct rig_plan plan;
    struct sl_stream *stream;
    const struct sl_request_head *head; /* the front's, until the end */
    uint32_t id, head_hash;
    uint64_t received;
    uint32_t body_hash;
    int malformed, fault; /* their status */
    int status;           /* what was answered, 0: nothing yet */
    uint64_t ready, sent; /* of the answer's body */
    bool bare;            /* the handler made no context: the front answers by itself */
    bool has_body, head_method, http10, body_end, paused, aborted;
    int closed;
    enum sl_close_reason reason;
    char method[16], target[64];
};

static struct {
    struct sl_front *front;
    struct sl_front_limits limits;
    struct rig_plan plans[RIG_PLANS];
    struct rig_exchange *exchanges[RIG_EXCHANGES];
    uint32_t count;
    bool memory_fails;
    uint64_t blocks_before;
} rig;

/* ---- input ---- */

struct rig_input {
    const uint8_t *at, *end;
};

static inline uint8_t rig_byte(struct rig_input *in) {
    return in->at < in->end ? *in->at++ : 0;
}

static inline struct sl_slice rig_bytes(struct rig_input *in, size_t max) {
    size_t len = (size_t)(in->end - in->at);
    len = len < max ? len : max;
    struct sl_slice s = sl_slice_of(in->at, len);
    in->at += len;
    return s;
}

static inline struct rig_plan rig_read_plan(struct rig_input *in) {
    static const int statuses[] = {200, 204, 304, 404, 429, 500, 200, 200};
    static const size_t sizes[] = {0,     1,     2,     10,    100,   1000,   5000,   16384,
                                   16385, 40000, 65536, 70000, 90000, 200000, 300000, 3};
    static const size_t slices[] = {65536, 1, 7, 100, 3000, 5000, 16384, 40000};
    uint8_t a = rig_byte(in), b = rig_byte(in), c = rig_byte(in), d = rig_byte(in);
    size_t size = sizes[c & 15], parts = (c >> 4) % RIG_PARTS;
    return (struct rig_plan){
        .when = (enum rig_when)(a & 3),
        .pause_first = a & 4,
        .pause_each = a & 8,
        .with_length = a & 16,
        .interim = a & 32,
        .close_after = a & 64,
        .trailers = a & 128,
        .status = statuses[b & 7],
        .fate = (enum rig_fate)(b >> 3 & 3),
        .refuse = (b & 0xe0) == 0x20,
        .abort_in_body = (b & 0xe0) == 0x40,
        .abort_at_once = (b & 0xe0) == 0x60,
        .size = size,
        .part = size / (parts + 1) + 1,
        .slice = slices[d & 7],
        .headers = d & 8,
    };
}

/* ---- bodies ---- */

/* Byte `at` of what exchange `id` says. */
static inline char rig_pattern(uint32_t id, uint64_t at) {
    return (char)((at + id * 37) % 251);
}

static inline struct sl_slice rig_piece(uint32_t id, uint64_t at, size_t len) {
    static char text[65536 + 251];
    if (!text[1])
        for (size_t i = 0; i < sizeof(text); i++)
            text[i] = rig_pattern(0, i);
    return sl_slice_of(text + (at + id * 37) % 251, len);
}

static inline uint32_t rig_hash(uint32_t hash, struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.ptr[i]) * 16777619;
    return hash;
}

/* ---- the handler ---- */

static inline uint32_t rig_hash_head(const struct sl_request_head *head) {
    uint32_t hash = rig_hash(rig_hash(2166136261, head->method), head->target);
    hash = rig_hash(hash, head->authority);
    for (size_t i = 0; i < head->headers.count; i++)
        hash = rig_hash(rig_hash(hash, head->headers.items[i].name), head->headers.items[i].value);
    return hash;
}

static inline void rig_copy(char *out, size_t size, struct sl_slice s) {
    snprintf(out, size, "%.*s", SL_FMT(s));
}

static inline struct rig_exchange *rig_open_exchange(struct sl_stream *stream,
                                                     const struct sl_request_head *head) {
    assert(rig.count < RIG_EXCHANGES);
    struct rig_exchange *e = calloc(1, sizeof(*e));
    assert(e);
    e->id = rig.count;
    e->plan = rig.plans[rig.count % RIG_PLANS];
    e->stream = stream;
    e->head = head;
    e->head_hash = rig_hash_head(head);
    e->body_hash = 2166136261;
    e->has_body = head->has_body;
    e->head_method = sl_slice_eq(head->method, SL_LIT("HEAD"));
    e->http10 = head->version == 10;
    rig_copy(e->method, sizeof(e->method), head->method);
    rig_copy(e->target, sizeof(e->target), head->target);
    rig.exchanges[rig.count++] = e;
    assert(!sl_stream_responded(stream));
    return e;
}

static inline void rig_abort(struct rig_exchange *e) {
    e->aborted = true;
    sl_stream_abort(e->stream);
}

static inline void rig_respond(struct rig_exchange *e, int status) {
    const struct rig_plan *plan = &e->plan;
    char id[12];
    snprintf(id, sizeof(id), "%u", e->id);
    struct sl_header items[] = {{SL_LIT("X-Id"), sl_slice_str(id)}, /* tells answers apart */
                                {SL_LIT("Content-Type"), SL_LIT("text/plain")},
                                {SL_LIT("X-Empty"), SL_LIT("")}};
    struct sl_response_head head = {.status = status,
                                    .headers = {items, plan->headers ? 3 : 1, 3},
                                    .content_length = plan->with_length ? (int64_t)plan->size
                                                                        : SL_LENGTH_UNKNOWN};
    bool before = sl_stream_responded(e->stream);
    if (plan->interim)
        sl_stream_interim(e->stream, 102);
    if (plan->close_after)
        sl_stream_close_connection_after(e->stream);
    int rc = sl_stream_respond(e->stream, &head);
    assert(sl_stream_responded(e->stream) == (before || rc == SL_OK));
    if (rc == SL_OK) {
        e->status = status;
        e->ready = plan->part < plan->size ? plan->part : plan->size;
    } else if (!before) {
        rig_abort(e);
    }
}

static inline void rig_may_respond(struct rig_exchange *e, enum rig_when when) {
    if (e->plan.when == when && !e->status)
        rig_respond(e, e->plan.status);
}

static inline void *rig_on_request(void *server, struct sl_stream *stream,
                                   const struct sl_request_head *head) {
    assert(server == &rig);
    assert(sl_stream_conn(stream)->peer[0]);
    struct rig_exchange *e = rig_open_exchange(stream, head);
    assert(head->content_length <= (int64_t)rig.limits.body_bytes);
    assert(head->headers.count <= rig.limits.header_count);
    e->bare = e->plan.refuse;
    if (e->bare)
        return NULL;
    if (e->plan.pause_first) {
        e->paused = true;
        sl_stream_pause_body(stream);
    }
    rig_may_respond(e, RIG_AT_REQUEST);
    if (e->plan.abort_at_once)
        rig_abort(e);
    return e;
}

static inline void *rig_on_malformed(void *server, struct sl_stream *stream,
                                     const struct sl_request_head *head, int status,
                                     const char *why) {
    assert(server == &rig && status >= 400 && status < 600 && why && why[0]);
    struct rig_exchange *e = rig_open_exchange(stream, head);
    e->malformed = status;
    e->bare = e->plan.refuse;
    if (e->bare)
        return NULL;
    if (e->plan.when != RIG_AT_POKE)
        rig_respond(e, status);
    return e;
}

static inline void rig_check_open(const struct rig_exchange *e) {
    assert(!e->closed && !e->bare);
}

static inline void rig_on_body(void *x, struct sl_slice bytes) {
    struct rig_exchange *e = x;
    rig_check_open(e);
    assert(e->has_body && !e->malformed && !e->fault && !e->body_end && !e->paused && !e->aborted);
    e->received += bytes.len;
    e->body_hash = rig_hash(e->body_hash, bytes);
    assert(e->received <= rig.limits.body_bytes);
    int64_t length = e->head->content_length;
    assert(length == SL_LENGTH_UNKNOWN || e->received <= (uint64_t)length);
    rig_may_respond(e, RIG_AT_BODY);
    if (e->plan.abort_in_body) {
        rig_abort(e);
    } else if (e->plan.pause_each) {
        e->paused = true;
        sl_stream_pause_body(e->stream);
    }
}

static inline void rig_on_body_end(void *x) {
    struct rig_exchange *e = x;
    rig_check_open(e);
    assert(!e->malformed && !e->fault && !e->body_end && !e->aborted);
    e->body_end = true;
    int64_t length = e->head->content_length;
    assert(length == SL_LENGTH_UNKNOWN || e->received == (uint64_t)length);
    rig_may_respond(e, RIG_AT_BODY);
    rig_may_respond(e, RIG_AT_END);
}

static inline void rig_on_fault(void *x, int status, const char *why) {
    struct rig_exchange *e = x;
    rig_check_open(e);
    assert(!e->malformed && !e->fault && !e->body_end && !e->aborted && why && why[0]);
    e->fault = status;
    if (!e->status)
        rig_respond(e, status);
}

static inline size_t rig_peek(void *x, struct sl_slice *out, size_t max, bool *end) {
    struct rig_exchange *e = x;
    rig_check_open(e);
    assert(e->status && !e->aborted && max > 0);
    const struct rig_plan *plan = &e->plan;
    size_t count = 0;
    if (plan->fate == RIG_ABORT_IN_PEEK && e->sent * 2 >= plan->size) {
        rig_abort(e);
        return 0;
    }
    uint64_t total = plan->fate == RIG_SHORT ? plan->size / 2 : plan->size, at = e->sent;
    uint64_t ready = e->ready < total ? e->ready : total;
    while (count < max && at < ready) {
        size_t len = plan->slice < ready - at ? plan->slice : (size_t)(ready - at);
        out[count++] = rig_piece(e->id, at, len);
        at += len;
    }
    *end = at == total;
    if (*end && plan->trailers) {
        struct sl_header items[] = {{SL_LIT("X-Cost"), SL_LIT("0.25")}};
        struct sl_headers trailers = {items, 1, 1};
        e->plan.trailers = sl_stream_trailers(e->stream, &trailers) != SL_OK;
    }
    return count;
}

static inline void rig_advance(void *x, size_t n) {
    struct rig_exchange *e = x;
    rig_check_open(e);
    e->sent += n;
    assert(n > 0 && e->sent <= e->ready);
}

static inline void rig_on_close(void *x, enum sl_close_reason reason) {
    struct rig_exchange *e = x;
    rig_check_open(e);
    assert(rig_hash_head(e->head) == e->head_hash);
    if (reason == SL_CLOSE_ABORT)
        assert(e->aborted || e->plan.fate == RIG_SHORT || rig.memory_fails);
    if (reason == SL_CLOSE_DONE)
        assert(e->status && !e->aborted);
    e->closed++;
    e->reason = reason;
    e->stream = NULL;
    e->head = NULL;
}

/* The handler's own doing, outside of any callback: what it has put off so far, or another thing
 * that it might come to do. */
static inline void rig_poke(struct rig_exchange *e, uint8_t how) {
    if (e->closed || e->bare || e->aborted)
        return;
    if (how % 8 == 7) {
        rig_abort(e);
    } else if (how % 8 == 6) {
        e->paused = true;
        sl_stream_pause_body(e->stream);
    } else if (how % 8 == 5) {
        sl_stream_interim(e->stream, 103);
    } else if (how % 8 == 4) {
        sl_stream_close_connection_after(e->stream);
    } else if (!e->status) {
        rig_respond(e, e->malformed ? e->malformed : e->fault ? e->fault : e->plan.status);
    } else if (e->plan.fate == RIG_ABORT_LATE) {
        rig_abort(e);
    } else {
        e->ready += e->plan.part;
        if (e->ready > e->plan.size)
            e->ready = e->plan.size;
        sl_stream_wake(e->stream);
    }
    if (how % 8 < 4 && e->paused && !e->aborted) {
        e->paused = false;
        sl_stream_resume_body(e->stream);
    }
}

/* Whatever handlers have put off, they do now. */
static inline void rig_poke_all(void) {
    for (uint32_t i = 0; i < rig.count; i++)
        rig_poke(rig.exchanges[i], 0);
}

/* ---- from beginning to end ---- */

static inline void rig_start(const struct sl_front_limits *limits) {
    static const struct sl_front_handler handler = {
        .on_request = rig_on_request,
        .on_malformed = rig_on_malformed,
        .on_body = rig_on_body,
        .on_body_end = rig_on_body_end,
        .on_fault = rig_on_fault,
        .peek = rig_peek,
        .advance = rig_advance,
        .on_close = rig_on_close,
    };
    char why[64];
    sl_chunk_pool_done();
    rig.blocks_before = sl_mem_stats().blocks;
    rig.count = 0;
    rig.memory_fails = false;
    rig.limits = *limits;
    memory_init();
    rig.front = sl_front_new(&memory.loop, limits, &handler, &rig);
    assert(rig.front);
    const char *address = sl_front_listen(rig.front, "192.0.2.1", 80, NULL, why, sizeof(why));
    assert(address);
}

/* The nth allocation from now on fails. */
static inline void rig_fail_memory(uint64_t nth) {
    rig.memory_fails = true;
    (void)sl_mem_fail_after(nth);
}

/* Handlers finish what they have, and time passes: nobody may stay, whatever the clients do not do.
 */
static inline void rig_wind_up(void) {
    (void)sl_mem_fail_after(0);
    for (size_t i = 0; i < RIG_PLANS; i++)
        rig.plans[i] = (struct rig_plan){.status = 204};
    for (int i = 0; i < 8 && sl_front_stats(rig.front).connections; i++) {
        for (int part = 0; part <= RIG_PARTS + 1; part++) {
            rig_poke_all();
            memory_settle();
        }
        memory_pass(RIG_LONG_MS);
        memory_settle();
    }
    assert(sl_front_stats(rig.front).connections == 0);
    assert(sl_front_stats(rig.front).streams == 0);
}

/* The front goes, with all who are still there. Exchanges and connections can be looked at until
 * rig_clear. */
static inline void rig_stop(void) {
    (void)sl_mem_fail_after(0);
    sl_front_free(rig.front);
    (void)memory_round(); /* connections are heard of a last time */
    memory_done_loop();
    for (uint32_t i = 0; i < rig.count; i++)
        assert(rig.exchanges[i]->closed == !rig.exchanges[i]->bare);
    sl_chunk_pool_done();
    assert(sl_mem_stats().blocks == rig.blocks_before);
}

static inline void rig_clear(void) {
    for (uint32_t i = 0; i < rig.count; i++)
        free(rig.exchanges[i]);
    rig.count = 0;
    memory_clear();
}

#endif
