/*
 * Requests that take several calls: a batch of embeddings, the list of models. Each call is a
 * flight of its own, with a reader that waits until its answer is complete; then the dialect makes
 * one response of all. A part that fails decides the whole.
 */
#include <assert.h>

#include "flow/internal.h"
#include "sluice/base/mem.h"

/* A batch as OpenAI's API allows it. */
#define PARTS_MAX 2048

struct part {
    struct sl_flight *flight; /* that it reads; NULL with a kept answer */
    struct sl_kept *kept;     /* held */
    struct sl_reader reader;
    bool joined; /* another request caused that flight */
};

struct sl_gather {
    size_t count, ended;
    struct sl_slice model; /* of the first call */
    enum sl_operation operation;
    struct part parts[];
};

static void on_change(void *ctx) {
    sl_flow_ready_exchange(ctx);
}

void sl_gather_leave(struct sl_exchange *x) {
    if (!x->gather)
        return;
    for (size_t i = 0; i < x->gather->count; i++) {
        struct part *part = &x->gather->parts[i];
        sl_reader_detach(&part->reader);
        sl_kept_release(part->kept);
        if (!part->flight)
            continue;
        sl_flight_reconsider(part->flight);
        sl_flow_ready_flight(part->flight);
    }
    x->gather->count = 0;
}

void sl_gather_free(struct sl_exchange *x) {
    sl_free(x->gather);
    x->gather = NULL;
}

/* The flight of call number i; the first is the one the request was decoded into. */
static struct sl_flight *make_part(struct sl_exchange *x, struct sl_flight *first, size_t i) {
    if (i == 0)
        return first;
    struct sl_flight *f = sl_flight_new(x->flow, x->dialect, &x->flow->bodies);
    if (!f)
        return NULL;
    f->client = first->client;
    sl_keys_hold(f->client);
    if (x->dialect->part(&x->decode, i, &f->arena, &f->call) == SL_OK)
        return f;
    sl_flight_drop(f);
    return NULL;
}

/* Each part may be answered already, or be under way for somebody else. */
static void start_part(struct sl_exchange *x, struct part *part, struct sl_flight *mine) {
    struct sl_answer *answer;
    struct sl_flight *other;
    bool refused;
    mine->call.priority = x->priority;
    other = sl_sharing_find(mine, &part->kept, &refused);
    if (part->kept || other) {
        sl_flight_drop(mine);
        if (part->kept)
            sl_kept_used(x->flow, part->kept);
        part->flight = other;
        part->joined = other != NULL;
        answer = other ? &other->answer : &part->kept->answer;
    } else {
        part->flight = mine;
        answer = &mine->answer;
    }
    sl_reader_init(&part->reader, on_change, x);
    bool attached = sl_reader_attach(&part->reader, answer);
    assert(attached);
    (void)attached;
    if (part->flight == mine) {
        sl_flight_submit(mine, x->deadline);
        sl_sharing_offer(mine);
    } else if (other) {
        x->flow->metrics->joins++;
        sl_timer_clear(x->flow->loop, &other->linger);
        sl_flight_reconsider(other);
    }
}

void sl_gather_start(struct sl_exchange *x) {
    size_t count = x->decode.parts + 1;
    struct sl_flight *first = x->flight, *flight;
    if (count > PARTS_MAX) {
        sl_exchange_refuse(x, SL_FAILURE_VALIDATION, 0,
                           SL_LIT("A request may hold at most 2048 inputs."), 0);
        return;
    }
    x->gather = sl_calloc(1, sizeof(*x->gather) + count * sizeof(x->gather->parts[0]));
    if (!x->gather) {
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
        return;
    }
    x->gather->operation = first->call.operation;
    if (sl_arena_copy(&x->arena, first->call.model, &x->gather->model) != SL_OK)
        x->gather->model = SL_EMPTY;
    x->flight = NULL;
    sl_exchange_set_state(x, SL_EXCHANGE_WAITING);
    sl_interim_begin(x);
    for (; x->gather->count < count; x->gather->count++) {
        flight = make_part(x, first, x->gather->count);
        if (!flight) {
            sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
            return;
        }
        start_part(x, &x->gather->parts[x->gather->count], flight);
    }
    sl_decode_done(&x->decode);
    sl_flow_ready_exchange(x);
}

const struct sl_flight *sl_gather_queued(const struct sl_gather *g) {
    for (size_t i = g->ended; i < g->count; i++)
        if (g->parts[i].flight && g->parts[i].flight->state == SL_FLIGHT_QUEUED)
            return g->parts[i].flight;
    return NULL;
}

static bool is_ended(const struct sl_answer *answer) {
    return answer->state == SL_ANSWER_DONE || answer->state == SL_ANSWER_BROKEN;
}

static const struct sl_part *first_failed(const struct sl_part *parts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (parts[i].status != 200)
            return &parts[i];
    return NULL;
}

static void answer_all(struct sl_exchange *x, const struct sl_part *parts) {
    struct sl_response_head head = {.status = 200, .content_length = SL_LENGTH_UNKNOWN};
    struct sl_buf body;
    sl_buf_init(&body, SL_ENCODED_MAX);
    int err = x->dialect->join(&x->ask, &x->arena, parts, x->gather->count, &head, &body);
    head.content_length = (int64_t)body.len;
    const struct sl_part *failed =
        err == SL_E_PROTOCOL ? first_failed(parts, x->gather->count) : NULL;
    if (failed)
        sl_respond_translated(x, failed->headers, failed->status, failed->body);
    else if (err)
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
    else
        sl_exchange_answer(x, &head, sl_buf_slice(&body));
    sl_buf_done(&body);
}

static void add(int64_t *total, int64_t tokens) {
    if (tokens >= 0)
        *total = (*total < 0 ? 0 : *total) + tokens;
}

/* What the client's request used: parts answered from memory, or for others, used nothing. */
static void add_usage(struct sl_exchange *x, const struct part *part) {
    const struct sl_flight *f = part->flight;
    if (!f || part->joined)
        return;
    add(&x->usage.input, f->follow.usage.input);
    add(&x->usage.output, f->follow.usage.output);
    add(&x->usage.cache_read, f->follow.usage.cache_read);
    add(&x->usage.cache_write, f->follow.usage.cache_write);
}

struct sl_slice sl_gather_model(const struct sl_gather *g) {
    return g->model;
}

enum sl_operation sl_gather_operation(const struct sl_gather *g) {
    return g->operation;
}

/* One part's answer as the dialect reads it; false when it has none. */
static bool take_part(struct part *part, struct sl_part *out) {
    struct sl_answer *answer = part->reader.answer;
    *out = (struct sl_part){.status = answer->head.status, .headers = &answer->head.headers};
    if (part->kept) {
        out->body = answer->packed;
        return true;
    }
    return sl_chain_flatten(&answer->body, SL_HOLD_MAX, &out->body) == SL_OK;
}

void sl_gather_step(struct sl_exchange *x) {
    struct sl_gather *g = x->gather;
    while (g->ended < g->count && is_ended(g->parts[g->ended].reader.answer))
        g->ended++;
    if (g->ended < g->count)
        return;
    struct sl_part *parts = sl_arena_calloc(&x->arena, g->count, sizeof(*parts));
    for (size_t i = 0; parts && i < g->count; i++) {
        const struct sl_flight *f = g->parts[i].flight;
        if (f && f->answer.state == SL_ANSWER_BROKEN) {
            sl_exchange_refuse(x, f->failure, 0, f->message, f->retry_after_ms);
            return;
        }
        add_usage(x, &g->parts[i]);
        if (!take_part(&g->parts[i], &parts[i]))
            parts = NULL;
    }
    if (parts)
        answer_all(x, parts);
    else
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
}
