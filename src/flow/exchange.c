/*
 * Exchanges: one client request and its response each. The front's callbacks record; the step
 * decides. Every response is read from an answer: a flight's, or one made here (errors, /health).
 */
#include <assert.h>
#include <stdio.h>

#include "flow/internal.h"
#include "sluice/base/mem.h"

#define OUT_OF_MEMORY  SL_LIT("The gateway is out of memory for this request.")
#define MEMORY_IN_USE  SL_LIT("The gateway's memory (memory.max) is in use. Please try again.")
#define EXCHANGE_MAGIC 0x65786331u /* "exc1" */
/* Body bytes are only asked for while this much is free: what one more read of a connection brings,
 * in the chunks it takes. */
#define BODY_HEADROOM (4 * SL_CHUNK_LARGE)

static void set_state(struct sl_exchange *x, enum sl_exchange_state to) {
    static const unsigned char legal[SL_EXCHANGE_STATES][SL_EXCHANGE_STATES] = {
        [SL_EXCHANGE_RECEIVING] = {[SL_EXCHANGE_WAITING] = 1, [SL_EXCHANGE_CLOSED] = 1},
        [SL_EXCHANGE_WAITING] = {[SL_EXCHANGE_SENDING] = 1, [SL_EXCHANGE_CLOSED] = 1},
        [SL_EXCHANGE_SENDING] = {[SL_EXCHANGE_CLOSED] = 1},
    };
    assert(x->magic == EXCHANGE_MAGIC && legal[x->state][to]);
    x->state = to;
}

static void on_answer_change(void *ctx) {
    sl_flow_ready_exchange(ctx);
}

static void leave_flight(struct sl_exchange *x) {
    struct sl_flight *f = x->flight;
    sl_reader_detach(&x->reader);
    x->flight = NULL;
    if (!f)
        return;
    if (f->state == SL_FLIGHT_FORMING)
        sl_flight_drop(f);
    else
        sl_flow_ready_flight(f);
}

/* ---- answers made here ---- */

static int fill_local(struct sl_exchange *x, const struct sl_response_head *head,
                      struct sl_slice body) {
    /* Not charged: an error must be told when memory.max is used up, too. At most 16 KB an
     * exchange. */
    sl_answer_init(&x->local, &x->arena, NULL);
    int err = sl_answer_add(&x->local, body);
    if (err)
        return err;
    sl_answer_set_head(&x->local, head);
    sl_answer_finish(&x->local);
    return SL_OK;
}

/* Without memory even for an error's text, the client's connection is broken, and the exchange
 * stays as it is until it is closed. */
static void answer_locally(struct sl_exchange *x, const struct sl_response_head *head,
                           struct sl_slice body) {
    if (fill_local(x, head, body) != SL_OK) {
        sl_stream_abort(x->stream);
        return;
    }
    leave_flight(x);
    sl_decode_done(&x->decode);
    x->has_local = true;
    bool attached = sl_reader_attach(&x->reader, &x->local);
    assert(attached);
    (void)attached;
    if (x->state == SL_EXCHANGE_RECEIVING)
        set_state(x, SL_EXCHANGE_WAITING);
    sl_flow_ready_exchange(x);
}

static int add_retry_after(struct sl_exchange *x, struct sl_headers *headers, uint64_t ms) {
    struct sl_slice seconds, millis;
    int err = sl_arena_printf(&x->arena, &seconds, "%llu", (unsigned long long)((ms + 999) / 1000));
    if (!err)
        err = sl_arena_printf(&x->arena, &millis, "%llu", (unsigned long long)ms);
    if (!err)
        err = sl_headers_add(headers, &x->arena, SL_LIT("Retry-After"), seconds);
    return err ? err : sl_headers_add(headers, &x->arena, SL_LIT("x-amz-retry-after"), millis);
}

/* An error in the shape of the client's API. status 0: the kind's own. */
static void refuse(struct sl_exchange *x, enum sl_failure kind, int status, struct sl_slice message,
                   uint64_t retry_after_ms) {
    struct sl_response_head head = {.content_length = SL_LENGTH_UNKNOWN};
    struct sl_buf body;
    enum sl_operation op = x->flight ? x->flight->call.operation : SL_OP_NONE;
    sl_buf_init(&body, 16384);
    head.status = status ? status : sl_failure_info(kind)->status;
    int err = x->dialect->error(&x->arena, op, kind, message, &head.headers, &body);
    if (!err && retry_after_ms)
        err = add_retry_after(x, &head.headers, retry_after_ms);
    head.content_length = (int64_t)body.len;
    if (err)
        sl_stream_abort(x->stream);
    else
        answer_locally(x, &head, sl_buf_slice(&body));
    sl_buf_done(&body);
}

static bool is_health(const struct sl_request_head *head) {
    return (sl_slice_eq(head->method, SL_LIT("GET")) ||
            sl_slice_eq(head->method, SL_LIT("HEAD"))) &&
           sl_slice_eq(sl_target_path(head->target), SL_LIT("/health"));
}

static void answer_health(struct sl_exchange *x) {
    static const struct sl_slice body = SL_LIT("{\"status\":\"ok\",\"service\":\"sluice\"}");
    struct sl_response_head head = {.status = 200, .content_length = (int64_t)body.len};
    if (sl_headers_add(&head.headers, &x->arena, SL_LIT("Content-Type"),
                       SL_LIT("application/json")) != SL_OK)
        sl_stream_abort(x->stream);
    else
        answer_locally(x, &head, body);
}

/* ---- request ---- */

static struct sl_exchange *new_exchange(struct sl_flow *flow, struct sl_stream *stream,
                                        const struct sl_request_head *head) {
    struct sl_exchange *x = sl_calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->magic = EXCHANGE_MAGIC;
    x->flow = flow;
    x->stream = stream;
    x->request = head;
    x->started = flow->loop->now;
    x->usage = SL_USAGE_UNKNOWN;
    x->dialect = sl_dialect_for(head);
    sl_rand_uuid(x->id);
    sl_arena_init(&x->arena, SL_EXCHANGE_ARENA_MAX);
    sl_reader_init(&x->reader, on_answer_change, x);
    sl_list_init(&x->ready_link);
    sl_list_init(&x->paused_link);
    sl_list_push_back(&flow->exchanges, &x->link);
    return x;
}

/* What stands against a request before any of it is decoded; true when it has been answered. */
static bool answer_early(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    if (flow->settings.guard_hosts &&
        !sl_guard_allows(x->request, flow->settings.hosts, flow->settings.host_count)) {
        refuse(x, SL_FAILURE_DENIED, 0,
               SL_LIT("This gateway asks for no key, so it answers only to an IP address, "
                      "localhost, or a name listed "
                      "under `hosts`, and to no web page of another origin."),
               0);
        return true;
    }
    if (is_health(x->request)) {
        answer_health(x);
        return true;
    }
    if (flow->draining) {
        sl_stream_close_connection_after(x->stream);
        refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_LIT("The gateway is stopping. Please try again."),
               1000);
        return true;
    }
    return false;
}

/* The most that the chunks of a body of that length take. */
static size_t cost_of(int64_t length) {
    struct sl_chain empty = {0};
    size_t cost = sl_chain_cost(&empty, (size_t)length);
    /* In pieces it begins with a small chunk that one append would not have taken. */
    return cost > SL_CHUNK_SMALL ? cost + SL_CHUNK_SMALL : cost;
}

/*
 * Whether more of the body may be read. A body whose length is known prepays for all of it before
 * its first byte is read: half-read bodies that wait for each other's memory cannot come about.
 */
static bool has_memory(struct sl_exchange *x) {
    struct sl_budget *budget = &x->flight->body_budget;
    int64_t length = x->request->content_length;
    if (length == SL_LENGTH_UNKNOWN)
        return sl_budget_fits(budget, BODY_HEADROOM);
    return budget->prepaid > 0 || sl_budget_prepay(budget, cost_of(length));
}

/* Reads no more of the body until there is memory for it. */
static void pause_body(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    if (x->body_paused)
        return;
    x->body_paused = true;
    x->paused_until = flow->loop->now + flow->settings.body_wait_ns;
    sl_stream_pause_body(x->stream);
    sl_list_push_back(&flow->paused, &x->paused_link);
    sl_loop_want(flow->loop, SL_TURN_FLOW);
}

static void unpause_body(struct sl_exchange *x) {
    sl_list_remove(&x->paused_link);
    x->body_paused = false;
    sl_stream_resume_body(x->stream);
}

void sl_exchange_resume_body(struct sl_exchange *x) {
    if (x->state != SL_EXCHANGE_RECEIVING || has_memory(x)) {
        unpause_body(x);
    } else if (x->flow->loop->now >= x->paused_until) {
        refuse(x, SL_FAILURE_UNAVAILABLE, 0, MEMORY_IN_USE, 1000);
        unpause_body(x); /* what still comes is thrown away */
    }
}

static int verify_at_head(struct sl_exchange *x, enum sl_failure *failure,
                          struct sl_slice *message) {
    const struct sl_gate *gate = x->flow->settings.gate;
    return gate ? gate->at_head(gate->ctx, x->request, failure, message) : SL_OK;
}

static void begin_call(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    enum sl_failure failure = SL_FAILURE_DENIED;
    struct sl_slice message = SL_EMPTY;
    int known = verify_at_head(x, &failure, &message);
    if (known != SL_OK && known != SL_E_AGAIN) {
        refuse(x, failure, 0, message, 0);
        return;
    }
    x->stranger = known == SL_E_AGAIN;
    x->flight = sl_flight_new(flow, x->dialect, x->stranger ? &flow->strangers : &flow->bodies);
    if (!x->flight) {
        sl_stream_abort(x->stream);
        return;
    }
    x->decode = (struct sl_decode){.dialect = x->dialect,
                                   .settings = &flow->settings.dialect,
                                   .arena = &x->flight->arena,
                                   .call = &x->flight->call};
    if (x->dialect->begin(&x->decode, x->request) != SL_OK)
        refuse(x, SL_FAILURE_UNAVAILABLE, 0, OUT_OF_MEMORY, 1000);
    else if (x->decode.failure)
        sl_flow_ready_exchange(x);
    else if (x->request->content_length != 0 && !has_memory(x))
        pause_body(x);
}

static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *head) {
    struct sl_exchange *x = new_exchange(server, stream, head);
    if (x && !answer_early(x))
        begin_call(x);
    return x;
}

static enum sl_failure failure_for_status(int status) {
    if (status == 413)
        return SL_FAILURE_TOO_LARGE;
    return status >= 500 ? SL_FAILURE_UNAVAILABLE : SL_FAILURE_VALIDATION;
}

static void *on_malformed(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why) {
    static const struct sl_request_head nothing = {.content_length = SL_LENGTH_UNKNOWN};
    struct sl_exchange *x = new_exchange(server, stream, head ? head : &nothing);
    if (x)
        refuse(x, failure_for_status(status), status, sl_slice_str(why), 0);
    return x;
}

static void on_fault(void *ctx, int status, const char *why) {
    struct sl_exchange *x = ctx;
    if (x->state == SL_EXCHANGE_RECEIVING)
        refuse(x, failure_for_status(status), status, sl_slice_str(why), 0);
}

static void on_body(void *ctx, struct sl_slice bytes) {
    struct sl_exchange *x = ctx;
    x->received += bytes.len;
    if (x->state != SL_EXCHANGE_RECEIVING || x->decode.failure)
        return; /* answered already: the rest is of no interest */
    if (x->dialect->body(&x->decode, bytes) != SL_OK) {
        refuse(x, SL_FAILURE_UNAVAILABLE, 0, MEMORY_IN_USE, 1000);
        return;
    }
    if (!has_memory(x))
        pause_body(x);
}

static void on_body_end(void *ctx) {
    struct sl_exchange *x = ctx;
    x->body_over = true;
    if (x->state == SL_EXCHANGE_RECEIVING)
        sl_flow_ready_exchange(x);
}

/* ---- response ---- */

static size_t peek(void *ctx, struct sl_slice *out, size_t max, bool *end) {
    struct sl_exchange *x = ctx;
    *end = false;
    return x->reader.answer ? sl_reader_peek(&x->reader, out, max, end) : 0;
}

static void advance(void *ctx, size_t n) {
    struct sl_exchange *x = ctx;
    x->sent += n;
    sl_reader_advance(&x->reader, n);
    if (x->flight && x->flight->paused)
        sl_flow_ready_flight(x->flight);
}

static void on_close(void *ctx, enum sl_close_reason reason) {
    struct sl_exchange *x = ctx;
    if (x->flight && x->flight->state != SL_FLIGHT_FORMING)
        x->usage = x->flight->follow.usage;
    if (x->flight && reason == SL_CLOSE_DONE)
        x->flight->delivered = true;
    sl_exchange_log(x, reason);
    leave_flight(x);
    x->stream = NULL;
    x->request = NULL;
    set_state(x, SL_EXCHANGE_CLOSED);
    sl_list_remove(&x->ready_link);
    sl_list_remove(&x->paused_link);
    sl_list_remove(&x->link);
    sl_list_push_back(&x->flow->dead_exchanges, &x->link);
}

void sl_exchange_free(struct sl_exchange *x) {
    assert(x->state == SL_EXCHANGE_CLOSED);
    sl_list_remove(&x->link);
    sl_decode_done(&x->decode);
    if (x->has_local)
        sl_answer_done(&x->local);
    sl_arena_done(&x->arena);
    x->magic = 0;
    sl_free(x);
}

/* ---- steps ---- */

static bool verify_at_body(struct sl_exchange *x) {
    const struct sl_gate *gate = x->flow->settings.gate;
    enum sl_failure failure = SL_FAILURE_DENIED;
    struct sl_slice message = SL_EMPTY;
    if (!x->stranger)
        return true;
    if (gate->at_body(gate->ctx, x->request, x->flight->call.body_sha256, &failure, &message) !=
        SL_OK) {
        refuse(x, failure, 0, message, 0);
        return false;
    }
    x->stranger = false;
    if (sl_budget_move(&x->flight->body_budget, &x->flow->bodies))
        return true;
    refuse(x, SL_FAILURE_UNAVAILABLE, 0, MEMORY_IN_USE, 1000);
    return false;
}

static void submit(struct sl_exchange *x) {
    struct sl_flight *mine = x->flight;
    if (mine->call.served_model.len > 0) {
        x->flow->metrics->retired++;
        sl_flow_log_retired(x->flow, &mine->call);
    }
    sl_decode_done(&x->decode);
    x->flight = sl_flight_submit(mine);
    x->joined = x->flight != mine;
    bool attached = sl_reader_attach(&x->reader, &x->flight->answer);
    assert(attached);
    (void)attached;
    set_state(x, SL_EXCHANGE_WAITING);
}

static void step_receiving(struct sl_exchange *x) {
    if (x->decode.failure) {
        refuse(x, x->decode.failure, 0, x->decode.message, 0);
        return;
    }
    if (!x->body_over)
        return;
    if (x->dialect->finish(&x->decode) != SL_OK)
        refuse(x, SL_FAILURE_UNAVAILABLE, 0, OUT_OF_MEMORY, 1000);
    else if (x->decode.failure)
        refuse(x, x->decode.failure, 0, x->decode.message, 0);
    else if (verify_at_body(x))
        submit(x);
}

static int add_number(struct sl_exchange *x, struct sl_headers *h, struct sl_slice name,
                      uint64_t value) {
    char digits[24];
    struct sl_buf text = {.ptr = digits, .cap = sizeof(digits), .max = sizeof(digits)};
    int err = sl_buf_add_u64(&text, value);
    return err ? err : sl_headers_add_copy(h, &x->arena, name, sl_buf_slice(&text));
}

/* Upstream's headers as they are, and Sluice's own behind them. */
static int response_headers(struct sl_exchange *x, struct sl_headers *out) {
    const struct sl_headers *from = &x->reader.answer->head.headers;
    const struct sl_flight *f = x->flight;
    out->cap = from->count + 10;
    out->items = sl_arena_calloc(&x->arena, out->cap, sizeof(*out->items));
    if (!out->items)
        return SL_E_NOMEM;
    if (from->count)
        memcpy(out->items, from->items, from->count * sizeof(*from->items));
    out->count = from->count;
    struct sl_slice cache = !f ? SL_LIT("bypass") : x->joined ? SL_LIT("join") : SL_LIT("miss");
    int err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-request-id"), sl_slice_str(x->id));
    if (!err)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-cache"), cache);
    if (!err)
        err = add_number(x, out, SL_LIT("x-sluice-queue-ms"), f ? f->queue_ns / SL_NS_PER_MS : 0);
    if (!err)
        err = add_number(x, out, SL_LIT("x-sluice-attempts"), f ? f->attempts : 0);
    if (!err)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-target"),
                             f && f->target_name.len ? f->target_name : SL_LIT("none"));
    if (!err && f && f->call.served_model.len > 0)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-model"), f->call.served_model);
    if (!err && f && f->call.edited.len > 0)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-edited"), f->call.edited);
    return err;
}

static void respond(struct sl_exchange *x) {
    struct sl_response_head head = x->reader.answer->head;
    head.headers = (struct sl_headers){0};
    if (response_headers(x, &head.headers) != SL_OK ||
        sl_stream_respond(x->stream, &head) != SL_OK) {
        sl_stream_abort(x->stream);
        return;
    }
    x->status = head.status;
    x->first_byte = x->flow->loop->now;
    set_state(x, SL_EXCHANGE_SENDING);
}

static void step_waiting(struct sl_exchange *x) {
    switch (x->reader.answer->state) {
    case SL_ANSWER_NEW:
        break;
    case SL_ANSWER_BROKEN:
        refuse(x, x->flight->failure, 0, x->flight->message, x->flight->retry_after_ms);
        break;
    default:
        respond(x);
    }
}

static void step_sending(struct sl_exchange *x) {
    if (x->reader.answer->state == SL_ANSWER_BROKEN)
        sl_stream_abort(x->stream);
    else
        sl_stream_wake(x->stream);
}

typedef void (*step_fn)(struct sl_exchange *);
static const step_fn steps[SL_EXCHANGE_STATES] = {
    [SL_EXCHANGE_RECEIVING] = step_receiving,
    [SL_EXCHANGE_WAITING] = step_waiting,
    [SL_EXCHANGE_SENDING] = step_sending,
};

void sl_exchange_step(struct sl_exchange *x) {
    enum sl_exchange_state before;
    do {
        before = x->state;
        if (steps[before])
            steps[before](x);
    } while (x->state != before);
}

const struct sl_front_handler *sl_flow_front_handler(void) {
    static const struct sl_front_handler handler = {
        .on_request = on_request,
        .on_malformed = on_malformed,
        .on_body = on_body,
        .on_body_end = on_body_end,
        .on_fault = on_fault,
        .peek = peek,
        .advance = advance,
        .on_close = on_close,
    };
    return &handler;
}
