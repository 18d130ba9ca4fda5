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
    struct sl_flight *flight;
    struct sl_reader reader;
};

struct sl_gather {
    size_t count, ended;
    struct part parts[];
};

static void on_change(void *ctx) {
    sl_flow_ready_exchange(ctx);
}

void sl_gather_free(struct sl_exchange *x) {
    if (!x->gather)
        return;
    for (size_t i = 0; i < x->gather->count; i++) {
        struct part *part = &x->gather->parts[i];
        sl_reader_detach(&part->reader);
        if (part->flight->state == SL_FLIGHT_FORMING)
            sl_flight_drop(part->flight);
        else
            sl_flow_ready_flight(part->flight);
    }
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

void sl_gather_start(struct sl_exchange *x) {
    size_t count = x->decode.parts + 1;
    struct sl_flight *first = x->flight;
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
    x->flight = NULL;
    for (size_t i = 0; i < count; i++) {
        struct part *part = &x->gather->parts[i];
        part->flight = make_part(x, first, i);
        if (!part->flight) {
            sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
            return;
        }
        x->gather->count++;
        part->flight->call.priority = x->priority;
        sl_reader_init(&part->reader, on_change, x);
        bool attached = sl_reader_attach(&part->reader, &part->flight->answer);
        assert(attached);
        (void)attached;
        sl_flight_submit(part->flight, x->deadline);
    }
    sl_exchange_set_state(x, SL_EXCHANGE_WAITING);
    sl_decode_done(&x->decode);
    sl_flow_ready_exchange(x);
}

static bool is_ended(const struct sl_answer *answer) {
    return answer->state == SL_ANSWER_DONE || answer->state == SL_ANSWER_BROKEN;
}

static void answer_all(struct sl_exchange *x, const struct sl_part *parts) {
    struct sl_response_head head = {.status = 200, .content_length = SL_LENGTH_UNKNOWN};
    struct sl_buf body;
    sl_buf_init(&body, SL_ENCODED_MAX);
    int err = x->dialect->join(&x->ask, &x->arena, parts, x->gather->count, &head, &body);
    head.content_length = (int64_t)body.len;
    if (err)
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
    else
        sl_exchange_answer(x, &head, sl_buf_slice(&body));
    sl_buf_done(&body);
}

void sl_gather_step(struct sl_exchange *x) {
    struct sl_gather *g = x->gather;
    while (g->ended < g->count && is_ended(&g->parts[g->ended].flight->answer))
        g->ended++;
    if (g->ended < g->count)
        return;
    struct sl_part *parts = sl_arena_calloc(&x->arena, g->count, sizeof(*parts));
    for (size_t i = 0; parts && i < g->count; i++) {
        struct sl_flight *f = g->parts[i].flight;
        if (f->answer.state == SL_ANSWER_BROKEN) {
            sl_exchange_refuse(x, f->failure, 0, f->message, f->retry_after_ms);
            return;
        }
        parts[i].status = f->answer.head.status;
        parts[i].headers = &f->answer.head.headers;
        if (sl_chain_flatten(&f->answer.body, SL_HOLD_MAX, &parts[i].body) != SL_OK)
            parts = NULL;
    }
    if (parts)
        answer_all(x, parts);
    else
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
}
