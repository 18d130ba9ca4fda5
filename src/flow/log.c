/* The access log: one record an exchange. Ids, names, counts and times; never prompts, keys or
 * tokens' text. */
#include "sluice/base/log.h"
#include "flow/internal.h"

/* Ids a client chose are cut: a log line is not for storing what strangers send. */
#define TEXT_MAX 200

static struct sl_slice short_text(struct sl_slice s) {
    return s.len ? sl_slice_head(s, TEXT_MAX) : (struct sl_slice){NULL, 0};
}

/* A method is a token of the client's choice: only those with a meaning are worth a log's space. */
static struct sl_slice known_method(struct sl_slice method) {
    static const struct sl_slice known[] = {SL_LIT("GET"),    SL_LIT("HEAD"),  SL_LIT("POST"),
                                            SL_LIT("PUT"),    SL_LIT("PATCH"), SL_LIT("DELETE"),
                                            SL_LIT("OPTIONS")};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (sl_slice_eq(method, known[i]))
            return known[i];
    return method.len ? SL_LIT("other") : method;
}

static struct sl_slice version_name(int version) {
    return version == 20 ? SL_LIT("2") : version == 10 ? SL_LIT("1.0") : SL_LIT("1.1");
}

static const char *outcome(enum sl_close_reason reason) {
    static const char *const names[] = {
        [SL_CLOSE_DONE] = "done",         [SL_CLOSE_CLIENT] = "client left",
        [SL_CLOSE_TIMEOUT] = "timeout",   [SL_CLOSE_ABORT] = "broken off",
        [SL_CLOSE_SHUTDOWN] = "shutdown",
    };
    return names[reason];
}

static uint64_t ms_between(uint64_t from, uint64_t to) {
    return to > from ? (to - from) / SL_NS_PER_MS : 0;
}

static struct sl_slice model_of(const struct sl_exchange *x) {
    return x->gather   ? sl_gather_model(x->gather)
           : x->kept   ? x->kept->meta.model
           : x->flight ? x->flight->call.model
                       : x->past.model;
}

static enum sl_operation operation_of(const struct sl_exchange *x) {
    return x->gather   ? sl_gather_operation(x->gather)
           : x->kept   ? x->kept->meta.operation
           : x->flight ? x->flight->call.operation
                       : x->past.operation;
}

/* The ledger gets what concerns a call: answers made here for want of one cost nothing. */
static void add_to_ledger(const struct sl_exchange *x, struct sl_slice cache) {
    const struct sl_flow *flow = x->flow;
    const struct sl_flight *f = x->flight;
    const struct sl_flow_policy *policy = &flow->settings.policy;
    bool shared = x->kept || x->joined;
    if (!policy->record || (!f && !x->kept && !x->gather && !x->past.called))
        return;
    int64_t cost = sl_flow_cost(flow, model_of(x), &x->usage);
    struct sl_flow_record record = {.client = sl_exchange_client(x),
                                    .id = x->id,
                                    .model = model_of(x),
                                    .operation = sl_operation_info(operation_of(x))->name,
                                    .target = f ? f->target_name : x->past.target,
                                    .cache = cache,
                                    .status = x->status,
                                    .usage = x->usage,
                                    .cost = shared ? 0 : cost,
                                    .saved = shared ? cost : 0,
                                    .duration_ns = flow->loop->now - x->started,
                                    .queue_ns = f ? f->queue_ns : x->past.queue_ns,
                                    .attempts = f ? f->attempts : x->past.attempts,
                                    .estimated = f ? f->estimated : x->past.estimated};
    policy->record(policy->ctx, &record);
}

void sl_exchange_log(const struct sl_exchange *x, enum sl_close_reason reason) {
    struct sl_flow *flow = x->flow;
    const struct sl_flight *f = x->flight;
    flow->metrics->responses[x->status >= 100 && x->status < 600 ? x->status / 100 : 0]++;
    struct sl_slice nothing = {NULL, 0}, cache = sl_exchange_cache_word(x);
    add_to_ledger(x, cache);
    if (!flow->settings.access_log)
        return;
    struct sl_slice operation = sl_operation_info(operation_of(x))->name;
    const struct sl_log_field fields[] = {
        SL_LOG_TEXT_FIELD("id", sl_slice_str(x->id)),
        SL_LOG_TEXT_FIELD("client", sl_slice_str(sl_stream_conn(x->stream)->peer)),
        SL_LOG_TEXT_FIELD("http", version_name(x->request->version)),
        SL_LOG_TEXT_FIELD("method", short_text(known_method(x->request->method))),
        SL_LOG_TEXT_FIELD("operation", short_text(operation)),
        SL_LOG_TEXT_FIELD("model", short_text(model_of(x))),
        SL_LOG_TEXT_FIELD("cache", short_text(cache)),
        SL_LOG_TEXT_FIELD("served_by", f ? short_text(f->call.served_model) : nothing),
        SL_LOG_NUMBER_FIELD("status", x->status),
        SL_LOG_TEXT_FIELD("outcome", sl_slice_str(outcome(reason))),
        SL_LOG_NUMBER_FIELD("input_tokens", x->usage.input),
        SL_LOG_NUMBER_FIELD("output_tokens", x->usage.output),
        SL_LOG_NUMBER_FIELD("bytes_in", x->received),
        SL_LOG_NUMBER_FIELD("bytes_out", x->sent),
        SL_LOG_NUMBER_FIELD("attempts", f ? f->attempts : x->past.attempts),
        SL_LOG_NUMBER_FIELD("queue_ms", (f ? f->queue_ns : x->past.queue_ns) / SL_NS_PER_MS),
        SL_LOG_NUMBER_FIELD("first_byte_ms", ms_between(x->started, x->first_byte)),
        SL_LOG_NUMBER_FIELD("total_ms", ms_between(x->started, flow->loop->now)),
    };
    sl_log_record(SL_LOG_INFO, "access", "request", fields, sizeof(fields) / sizeof(fields[0]));
}
