#include "sim/exchange.h"

#include <assert.h>

#include "sim/error.h"

#define AHEAD       16384              /* bytes of a stream made before the client has taken them */
#define RESET_AFTER (2 * SL_NS_PER_MS) /* so that what came before the reset arrives */
#define MAX_HEADERS 16

struct head {
    struct sl_header items[MAX_HEADERS];
    size_t count;
};

static void add_header(struct head *head, const char *name, struct sl_slice value) {
    assert(head->count < MAX_HEADERS);
    if (value.len)
        head->items[head->count++] = (struct sl_header){sl_slice_str(name), value};
}

static void add_number(struct head *head, struct sl_sim_exchange *x, const char *name,
                       int64_t value) {
    struct sl_slice text = SL_EMPTY; /* out of memory leaves the header out */
    if (sl_arena_printf(&x->arena, &text, "%lld", (long long)value) == 0)
        add_header(head, name, text);
}

static void add_token_headers(struct head *head, struct sl_sim_exchange *x) {
    const struct sl_usage *u = &x->plan.usage;
    add_number(head, x, "X-Amzn-Bedrock-Invocation-Latency", x->reply.latency_ms);
    add_number(head, x, "X-Amzn-Bedrock-Input-Token-Count", u->input);
    add_number(head, x, "X-Amzn-Bedrock-Output-Token-Count", u->output);
    add_number(head, x, "X-Amzn-Bedrock-Cache-Read-Input-Token-Count", u->cache_read);
    add_number(head, x, "X-Amzn-Bedrock-Cache-Write-Input-Token-Count", u->cache_write);
}

/* The response head; length is SL_LENGTH_UNKNOWN where the body is made as it goes. */
static void respond(struct sl_sim_exchange *x, int64_t length) {
    struct sl_sim_answer *a = &x->answer;
    struct head head = {.count = 0};
    char date[SL_HTTP_DATE_SIZE];
    sl_clock_http_date(x->sim->loop->wall_ms, date);
    add_header(&head, "Date", sl_slice_str(date));
    add_header(&head, "Content-Type", a->content_type);
    add_header(&head, "x-amzn-RequestId", sl_slice_str(x->request_id));
    add_header(&head, "x-amzn-ErrorType", a->error_type);
    if (a->token_headers)
        add_token_headers(&head, x);
    if (x->route.op == SL_SIM_OP_INVOKE_STREAM && a->shape)
        add_header(&head, "X-Amzn-Bedrock-Content-Type", SL_LIT("application/json"));
    if ((x->route.op == SL_SIM_OP_INVOKE || x->route.op == SL_SIM_OP_INVOKE_STREAM) &&
        !a->error_type.len && x->reply.model) {
        add_header(&head, "X-Amzn-Bedrock-Service-Tier", x->reply.tier);
        add_header(&head, "X-Amzn-Bedrock-PerformanceConfig-Latency", x->reply.latency);
    }
    struct sl_response_head response = {
        .status = a->status,
        .headers = {head.items, head.count, MAX_HEADERS},
        .content_length = length,
    };
    x->state = SL_SIM_SENDING;
    a->head_at = x->sim->loop->now;
    x->sim->stats.responses[a->status < SL_SIM_STATUSES ? a->status : 0]++;
    if (sl_stream_respond(x->stream, &response) != 0)
        sl_stream_abort(x->stream);
}

void sl_sim_deliver_refusal(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    sl_sim_exchange_settle(x);
    sl_sim_out_reset(&a->out);
    if (a->shape)
        sl_sim_emitter_done(&a->emitter);
    a->shape = NULL;
    a->token_headers = false;
    a->content_type = x->route.api == SL_SIM_API_AWS_JSON ? SL_LIT("application/x-amz-json-1.1")
                                                          : SL_LIT("application/json");
    a->status = sl_sim_error_write(&a->out, x->route.api, &x->no, sl_slice_str(x->request_id),
                                   &a->error_type);
    if (x->http_status)
        a->status = x->http_status;
    a->complete = true;
    x->fault.midway = SL_SIM_BREAK_NONE;
    if (a->out.error)
        sl_stream_abort(x->stream);
    else
        respond(x, (int64_t)a->out.buf.len);
}

/* ---- Whole answers ---------------------------------------------------------------- */

/* Half of the body, and then what the fault wants. Returns the length to declare. */
static int64_t break_whole(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    int64_t length = (int64_t)a->out.buf.len;
    a->broken = true;
    if (x->fault.midway == SL_SIM_BREAK_MALFORMED) {
        a->out.buf.ptr[length / 2] = '\x01';
        return length;
    }
    a->out.buf.len /= 2;
    a->complete = x->fault.midway == SL_SIM_BREAK_END || x->fault.midway == SL_SIM_BREAK_CUT;
    return a->complete ? SL_LENGTH_UNKNOWN : length;
}

static void send_whole(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    int64_t length = (int64_t)a->out.buf.len;
    a->complete = true;
    sl_sim_exchange_settle(x);
    if (x->fault.midway == SL_SIM_BREAK_EXCEPTION) {
        sl_sim_refuse(&x->no, x->fault.kind, "%s", x->fault.message);
        sl_sim_deliver_refusal(x);
        return;
    }
    if (x->fault.midway)
        length = break_whole(x);
    respond(x, length);
}

/* ---- Streams ---------------------------------------------------------------------- */

/* When a step may be sent: content waits for the first token, then keeps the pace. */
static uint64_t due(const struct sl_sim_exchange *x, const struct sl_sim_walk *walk) {
    const struct sl_sim_settings *s = &x->sim->settings;
    if (walk->next == SL_SIM_STEP_START || walk->next == SL_SIM_STEP_BLOCK)
        return x->answer.head_at;
    uint64_t at = x->answer.head_at + s->first_token_ms * SL_NS_PER_MS;
    uint64_t tokens = sl_sim_tokens_of(walk->bytes);
    return s->tokens_per_second ? at + tokens * SL_NS_PER_S / s->tokens_per_second : at;
}

static void make_step(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    struct sl_sim_step step;
    uint64_t elapsed = (x->sim->loop->now - x->began) / SL_NS_PER_MS;
    sl_sim_walk_next(&a->walk, &step);
    if (step.first)
        x->reply.first_ms = (int64_t)elapsed;
    x->reply.latency_ms = (int64_t)elapsed;
    a->shape->step(&a->emitter, &step);
}

/* Makes one more frame or so, the one that the fault spoils; what is left of it. */
static void spoil_step(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    size_t before = a->out.buf.len;
    while (a->out.buf.len == before && a->walk.next != SL_SIM_STEP_DONE && !a->out.error)
        make_step(x);
    size_t middle = before + (a->out.buf.len - before) / 2;
    if (x->fault.midway == SL_SIM_BREAK_CUT)
        a->out.buf.len = middle;
    else if (middle < a->out.buf.len)
        a->out.buf.ptr[middle] = '\x01';
}

static void break_stream(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    a->broken = true;
    switch (x->fault.midway) {
    case SL_SIM_BREAK_EXCEPTION:
        sl_sim_emit_exception(&a->emitter, x->fault.kind, sl_slice_str(x->fault.message));
        a->complete = true;
        break;
    case SL_SIM_BREAK_END:
        a->complete = true;
        break;
    case SL_SIM_BREAK_CUT:
        spoil_step(x);
        a->complete = true;
        break;
    case SL_SIM_BREAK_MALFORMED:
        spoil_step(x);
        break;
    case SL_SIM_BREAK_STALL:
    case SL_SIM_BREAK_RESET:
    case SL_SIM_BREAK_NONE:
        break;
    }
}

static bool is_held(const struct sl_sim_exchange *x) {
    return x->answer.broken &&
           (x->fault.midway == SL_SIM_BREAK_STALL || x->fault.midway == SL_SIM_BREAK_RESET);
}

/* With all taken that was made, makes what is due, up to a bound. */
static void pump(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    sl_buf_clear(&a->out.buf);
    a->taken = 0;
    while (!a->complete && !a->out.error && !is_held(x) && a->out.buf.len < AHEAD) {
        uint64_t at = due(x, &a->walk);
        if (at > x->sim->loop->now) {
            if (sl_timer_set(x->sim->loop, &x->timer, at) != 0)
                a->out.error = SL_E_NOMEM;
            return;
        }
        make_step(x);
        if (x->fault.midway && !a->broken && sl_sim_walk_midway(&a->walk))
            break_stream(x);
        a->complete = a->complete || a->walk.next == SL_SIM_STEP_DONE;
    }
    if (a->complete)
        sl_sim_exchange_settle(x);
}

static void send_stream(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    if (x->fault.place == SL_SIM_FAULT_FIRST) {
        sl_sim_emit_exception(&a->emitter, x->fault.kind, sl_slice_str(x->fault.message));
        a->complete = true;
        sl_sim_exchange_settle(x);
    }
    respond(x, SL_LENGTH_UNKNOWN);
}

/* ---- Time ------------------------------------------------------------------------- */

static void begin(struct sl_sim_exchange *x) {
    struct sl_sim_answer *a = &x->answer;
    switch (x->fault.place) {
    case SL_SIM_FAULT_STALL:
        x->state = SL_SIM_STALLED;
        return;
    case SL_SIM_FAULT_RESET:
        sl_stream_abort(x->stream);
        return;
    case SL_SIM_FAULT_FIRST:
        if (a->shape)
            break;
        sl_sim_refuse(&x->no, x->fault.kind, "%s", x->fault.message);
        sl_sim_deliver_refusal(x);
        return;
    default:
        break;
    }
    if (a->shape)
        send_stream(x);
    else
        send_whole(x);
}

void sl_sim_deliver(struct sl_sim_exchange *x) {
    uint64_t wait = x->answer.wait + x->fault.delay_ms * SL_NS_PER_MS;
    x->state = SL_SIM_WAITING;
    if (wait == 0)
        begin(x);
    else if (sl_timer_set(x->sim->loop, &x->timer, x->sim->loop->now + wait) != 0)
        sl_stream_abort(x->stream);
}

void sl_sim_deliver_fire(void *exchange) {
    struct sl_sim_exchange *x = exchange;
    if (x->state == SL_SIM_WAITING)
        begin(x);
    else if (is_held(x) && x->fault.midway == SL_SIM_BREAK_RESET)
        sl_stream_abort(x->stream);
    else
        sl_stream_wake(x->stream);
}

/* ---- What the front pulls --------------------------------------------------------- */

size_t sl_sim_deliver_peek(void *exchange, struct sl_slice *out, size_t max, bool *end) {
    struct sl_sim_exchange *x = exchange;
    struct sl_sim_answer *a = &x->answer;
    *end = false;
    if (x->state != SL_SIM_SENDING || max == 0)
        return 0;
    if (a->shape && a->taken == a->out.buf.len)
        pump(x);
    if (a->out.error) {
        sl_stream_abort(x->stream);
        return 0;
    }
    *end = a->complete;
    if (a->taken == a->out.buf.len)
        return 0;
    out[0] = sl_slice_skip(sl_buf_slice(&a->out.buf), a->taken);
    return 1;
}

void sl_sim_deliver_advance(void *exchange, size_t n) {
    struct sl_sim_exchange *x = exchange;
    struct sl_sim_answer *a = &x->answer;
    a->taken += n;
    assert(a->taken <= a->out.buf.len);
    if (a->taken < a->out.buf.len || a->complete)
        return;
    if (!is_held(x))
        sl_stream_wake(x->stream); /* more can be made, now that there is room */
    else if (x->fault.midway == SL_SIM_BREAK_RESET &&
             sl_timer_set(x->sim->loop, &x->timer, x->sim->loop->now + RESET_AFTER) != 0)
        sl_stream_abort(x->stream);
}
