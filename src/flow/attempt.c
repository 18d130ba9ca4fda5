/*
 * One attempt of a flight: what it sends where, what its callbacks record, and what its end amounts
 * to. Judging is by Bedrock's error table: waiting or another target cures throttles and a missing
 * connection; failures are tried again a few times; what is the call's own fault is shown as it
 * came.
 */
#include "flow/internal.h"
#include "sluice/wire/json.h"
#include "sluice/wire/uri.h"

/* An error's document is looked into up to this size. */
#define ERROR_MAX 65536
/* Bytes of an answer that make about one token, where it told no usage: text, and frames with their
 * headers and padding. */
#define TEXT_BYTES_PER_TOKEN  4
#define FRAME_BYTES_PER_TOKEN 128

/* ---- sending ---- */

/* The path as asked, with the model's id as this target wants it. */
static int name_model(struct sl_flight *f, struct sl_slice model) {
    struct sl_slice rest = sl_slice_skip(f->path_asked, sizeof("/model/") - 1);
    struct sl_buf path;
    rest = sl_slice_skip(rest, sl_slice_find(rest, '/'));
    sl_buf_init(&path, 8192);
    int err = sl_buf_add_str(&path, "/model/");
    if (!err)
        err = sl_uri_encode(&path, model, false);
    if (!err)
        err = sl_buf_add(&path, rest);
    if (!err)
        err = sl_arena_copy(&f->attempt_arena, sl_buf_slice(&path), &f->call.target);
    if (!err)
        err = sl_arena_copy(&f->attempt_arena, model, &f->route_model);
    sl_buf_done(&path);
    return err;
}

void sl_flight_forget(struct sl_flight *f) {
    sl_follow_done(&f->follow);
    f->follow = (struct sl_follow){.usage = SL_USAGE_UNKNOWN};
    f->head = (struct sl_response_head){0};
    f->has_head = f->has_result = f->paused = false;
    f->body_error = SL_OK;
    f->call.target = f->path_asked;
    f->route_model = f->target_name = f->message = SL_EMPTY;
    sl_arena_done(&f->attempt_arena);
    sl_arena_init(&f->attempt_arena, SL_EXCHANGE_ARENA_MAX);
}

static bool is_framing_header(struct sl_slice name) {
    return sl_slice_ieq(name, SL_LIT("content-length"));
}

static int copy_head(struct sl_flight *f, const struct sl_fetch_head *head) {
    struct sl_headers all = {0}, kept = {0};
    struct sl_arena *arena = &f->attempt_arena;
    int err = SL_OK;
    for (size_t i = 0; !err && i < head->header_count; i++)
        err = sl_headers_add(&all, arena, head->headers[i].name, head->headers[i].value);
    for (size_t i = 0; !err && i < all.count; i++)
        if (!is_framing_header(all.items[i].name) &&
            !sl_header_is_hop_by_hop(&all, all.items[i].name))
            err = sl_headers_add_copy(&kept, arena, all.items[i].name, all.items[i].value);
    if (!err)
        err = sl_follow_init(&f->follow, f->call.operation, head->status, &kept);
    f->head = (struct sl_response_head){head->status, kept, head->content_length};
    return err;
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct sl_flight *f = ctx;
    f->body_error = copy_head(f, head);
    f->has_head = true;
    f->head_at = f->flow->loop->now;
    f->target->reached = true;
    sl_flow_ready_flight(f);
}

static void on_data(void *ctx, struct sl_slice bytes) {
    struct sl_flight *f = ctx;
    if (f->body_error)
        return;
    f->body_error = sl_answer_add(&f->answer, bytes);
    if (!f->body_error)
        f->body_error = sl_follow_feed(&f->follow, bytes);
    sl_flow_ready_flight(f);
}

static void on_done(void *ctx, const struct sl_attempt_result *result) {
    struct sl_flight *f = ctx;
    f->attempt = NULL;
    f->has_result = true;
    f->result = *result;
    if (result->why &&
        sl_arena_copy(&f->attempt_arena, sl_slice_str(result->why), &f->message) != SL_OK)
        f->message = SL_LIT("out of memory");
    if (result->error == SL_OK && !f->body_error)
        f->body_error = sl_follow_finish(&f->follow);
    sl_flow_ready_flight(f);
}

static const struct sl_attempt_events events = {on_head, on_data, on_done};

int sl_flight_send(struct sl_flight *f, const struct sl_model_route *route) {
    struct sl_target *target = route->target->target;
    int err =
        sl_arena_copy(&f->attempt_arena, sl_slice_str(sl_target_name(target)), &f->target_name);
    if (!err && route->model.len > 0 && sl_call_names_model_in_path(&f->call) &&
        !sl_slice_eq(route->model, f->path_model))
        err = name_model(f, route->model);
    if (err)
        return err;
    f->attempt = sl_attempt_start(target, &f->call, &events, f);
    return f->attempt ? SL_OK : SL_E_NOMEM;
}

bool sl_flight_is_over(const struct sl_flight *f) {
    return f->has_result || f->body_error;
}

bool sl_flight_is_complete(const struct sl_flight *f) {
    return f->has_result && f->result.error == SL_OK && !f->body_error;
}

/* ---- what was used ---- */

static uint64_t known(int64_t tokens) {
    return tokens > 0 ? (uint64_t)tokens : 0;
}

/* Output tokens, from the bytes where upstream told none. */
static uint64_t output_of(struct sl_flight *f) {
    if (f->follow.usage.output >= 0)
        return (uint64_t)f->follow.usage.output;
    f->estimated = true;
    return f->answer.body.end /
           (f->follow.framing == SL_FRAMING_WHOLE ? TEXT_BYTES_PER_TOKEN : FRAME_BYTES_PER_TOKEN);
}

/* Input tokens as the quota finally counts them: cached reads are free. */
static uint64_t input_of(struct sl_flight *f) {
    const struct sl_usage *usage = &f->follow.usage;
    if (usage->input >= 0)
        return (uint64_t)usage->input + known(usage->cache_write);
    f->estimated = true;
    return f->estimated_input;
}

static void learn(struct sl_flight *f) {
    const struct sl_usage *usage = &f->follow.usage;
    struct sl_metrics *m = f->flow->metrics;
    if (!f->line || usage->input < 0 || usage->output < 0)
        return;
    uint64_t input = known(usage->input) + known(usage->cache_read) + known(usage->cache_write);
    sl_estimator_learn(&f->line->estimator, &f->call.load, f->estimated_input, input,
                       known(usage->output));
    struct sl_estimator *own = f->flow->settings.learned_max_tokens
                                   ? sl_line_outputs(f->line, f->client->tenant, f->flow->loop->now)
                                   : NULL;
    if (own)
        sl_estimator_learn(own, &f->call.load, f->estimated_input, input, known(usage->output));
    m->estimated_tokens += input;
    m->estimate_error_tokens +=
        input > f->estimated_input ? input - f->estimated_input : f->estimated_input - input;
}

struct sl_outcome sl_flight_outcome(struct sl_flight *f, enum sl_ending ending) {
    struct sl_outcome outcome = {.ending = ending};
    if (f->ticket.state != SL_TICKET_GRANTED || !sl_operation_info(f->call.operation)->metered)
        return outcome;
    if (ending == SL_ENDING_OK)
        learn(f);
    if (ending == SL_ENDING_OK || ending == SL_ENDING_FAILED || ending == SL_ENDING_CANCELED)
        outcome.tokens = input_of(f) + output_of(f) * sl_model_info(f->call.model)->burndown;
    return outcome;
}

/* ---- judging ---- */

/* "message" of an error's document or frame. */
static struct sl_slice message_in(struct sl_flight *f, struct sl_slice json) {
    struct sl_json_fact facts[] = {{.path = "message"}, {.path = "Message"}};
    struct sl_json_facts reader;
    struct sl_slice message = SL_EMPTY;
    if (sl_json_facts_init(&reader, facts, 2, 2048) != SL_OK)
        return message;
    if (sl_json_facts_feed(&reader, json) == SL_OK)
        for (size_t i = 0; i < 2 && message.len == 0; i++)
            if (facts[i].type == SL_FACT_STRING &&
                sl_arena_copy(&f->attempt_arena, sl_buf_slice(&facts[i].text), &message) != SL_OK)
                message = SL_EMPTY;
    sl_json_facts_done(&reader);
    return message;
}

static struct sl_slice document_message(struct sl_flight *f) {
    struct sl_slice document;
    if (sl_chain_flatten(&f->answer.body, ERROR_MAX, &document) != SL_OK)
        return SL_EMPTY;
    return message_in(f, document);
}

static struct sl_slice frame_message(struct sl_flight *f) {
    struct sl_eventstream_message frame;
    struct sl_slice message = SL_EMPTY;
    if (sl_eventstream_decode(sl_buf_slice(&f->follow.capture), &frame) >= 0)
        message = message_in(f, frame.payload);
    return message.len ? message : SL_LIT("Bedrock refused the stream at its start.");
}

static enum sl_failure kind_of_status(int status) {
    switch (status) {
    case 429:
        return SL_FAILURE_THROTTLED;
    case 500:
        return SL_FAILURE_INTERNAL;
    case 502:
    case 503:
    case 504:
        return SL_FAILURE_UNAVAILABLE;
    default:
        return SL_FAILURE_VALIDATION;
    }
}

static uint64_t retry_after(const struct sl_flight *f) {
    uint64_t value;
    if (sl_slice_u64(sl_headers_get(&f->head.headers, SL_LIT("x-amz-retry-after")), &value))
        return value < 3600000 ? value * SL_NS_PER_MS : 3600 * SL_NS_PER_S;
    if (sl_slice_u64(sl_headers_get(&f->head.headers, SL_LIT("retry-after")), &value))
        return (value < 3600 ? value : 3600) * SL_NS_PER_S;
    return 0;
}

/* A call that reserves more than the whole quota of a minute is refused however long it waits. */
static bool is_hopeless(struct sl_flight *f, enum sl_scarcity kind, struct sl_judgment *judged) {
    uint64_t limit;
    if (kind != SL_SCARCE_TOKENS || !sl_pool_exceeds(f->ticket.route->pool, f->reserved, &limit))
        return false;
    judged->what = SL_JUDGED_TELL;
    judged->failure = SL_FAILURE_THROTTLED;
    if (sl_arena_printf(&f->arena, &judged->message,
                        "this call reserves %llu of %llu tokens a minute: set max_tokens",
                        (unsigned long long)f->reserved, (unsigned long long)limit) != SL_OK)
        judged->message = SL_OUT_OF_MEMORY;
    return true;
}

static void judge_throttle(struct sl_flight *f, enum sl_scarcity kind, struct sl_judgment *judged) {
    f->flow->metrics->throttles++;
    judged->outcome = (struct sl_outcome){
        .ending = SL_ENDING_THROTTLED, .kind = kind, .retry_after_ns = retry_after(f)};
    if (!is_hopeless(f, kind, judged))
        judged->what = SL_JUDGED_AGAIN;
}

/* Tried again a few times, as long as not too much of the traffic is. */
static bool may_try_again(struct sl_flight *f) {
    f->failures++;
    return f->failures < f->flow->settings.max_attempts &&
           sl_pool_may_retry(f->ticket.route->pool, f->flow->loop->now);
}

/* Upstream answered, with an error. `shown` is what to do where nothing cures it. */
static void judge_error(struct sl_flight *f, enum sl_failure kind, struct sl_slice message,
                        struct sl_judgment *judged) {
    enum sl_scarcity scarce = sl_scarcity_of_message(message);
    judged->failure = kind;
    judged->message = message;
    if (kind == SL_FAILURE_THROTTLED ||
        (kind == SL_FAILURE_UNAVAILABLE && scarce == SL_SCARCE_CONNECTIONS)) {
        judge_throttle(f, scarce, judged);
    } else if (sl_failure_info(kind)->transient) {
        judged->outcome = sl_flight_outcome(f, SL_ENDING_FAILED);
        judged->outcome.tokens = 0; /* refused before any work */
        judged->outcome.retry_after_ns = retry_after(f);
        if (may_try_again(f))
            judged->what = SL_JUDGED_AGAIN;
    } else {
        judged->outcome = sl_flight_outcome(f, SL_ENDING_REFUSED);
    }
}

/* There was no whole answer, and why. */
static void judge_loss(struct sl_flight *f, struct sl_judgment *judged) {
    const char *cure = "";
    const struct sl_attempt_result *r = &f->result;
    bool unsent = f->has_result && r->error && r->phase < SL_FETCH_SEND;
    f->flow->metrics->attempts_lost++;
    if (!unsent && f->target)
        f->target->reached = true; /* what takes connections is no wrong address */
    judged->what = SL_JUDGED_TELL;
    judged->failure = SL_FAILURE_UNAVAILABLE;
    judged->outcome = sl_flight_outcome(f, unsent ? SL_ENDING_UNREACHED : SL_ENDING_FAILED);
    if (r->error == SL_E_DENIED && r->phase == SL_FETCH_RESOLVE) {
        judged->failure = SL_FAILURE_DENIED; /* no credentials: trying again does not help */
        cure = " Run `sluice check` on the gateway.";
    } else if (r->error == SL_E_DENIED) {
        cure = " The certificate of the upstream endpoint was not accepted: run `sluice check`.";
    } else if (f->body_error == SL_E_NOMEM) {
        judged->outcome.ending = SL_ENDING_CANCELED;
    } else if (unsent && f->target && f->target->reached) {
        judged->what = SL_JUDGED_AGAIN; /* it was there before: the queue's limits bound this */
        return;
    } else if (may_try_again(f)) {
        judged->what = SL_JUDGED_AGAIN;
        return;
    }
    const char *what = f->body_error == SL_E_NOMEM ? "The gateway is out of memory for this request"
                       : f->body_error             ? "Bedrock's answer was cut short or malformed"
                                                   : "The gateway could not reach Bedrock";
    if (sl_arena_printf(&f->arena, &judged->message, "%s%s%.*s.%s", what,
                        f->message.len ? ": " : "", SL_FMT(f->message), cure) != SL_OK)
        judged->message = SL_OUT_OF_MEMORY;
}

struct sl_judgment sl_flight_judge(struct sl_flight *f) {
    struct sl_judgment judged = {.what = SL_JUDGED_SHOW};
    if (f->has_head && f->follow.failure && !f->follow.begun) {
        /* Told with its HTTP status, because SDKs do not retry what fails behind a 200. */
        if (sl_failure_info(f->follow.failure)->transient)
            judged.what = SL_JUDGED_TELL;
        judge_error(f, f->follow.failure, frame_message(f), &judged);
    } else if (!sl_flight_is_complete(f)) {
        judge_loss(f, &judged);
    } else if (f->result.misdated && may_try_again(f)) {
        judged.what = SL_JUDGED_AGAIN;
        judged.outcome = sl_flight_outcome(f, SL_ENDING_REFUSED);
    } else if (f->head.status >= 400) {
        enum sl_failure kind =
            sl_failure_named(sl_headers_get(&f->head.headers, SL_LIT("x-amzn-errortype")));
        judge_error(f, kind ? kind : kind_of_status(f->head.status), document_message(f), &judged);
    }
    return judged;
}
