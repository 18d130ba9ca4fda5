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

void sl_exchange_log(const struct sl_exchange *x, enum sl_close_reason reason) {
    struct sl_flow *flow = x->flow;
    const struct sl_flight *f = x->flight;
    flow->metrics->responses[x->status >= 100 && x->status < 600 ? x->status / 100 : 0]++;
    if (!flow->settings.access_log)
        return;
    struct sl_slice nothing = {NULL, 0};
    struct sl_slice operation = f ? sl_operation_info(f->call.operation)->name : SL_EMPTY;
    const struct sl_log_field fields[] = {
        SL_LOG_TEXT_FIELD("id", sl_slice_str(x->id)),
        SL_LOG_TEXT_FIELD("client", sl_slice_str(sl_stream_conn(x->stream)->peer)),
        SL_LOG_TEXT_FIELD("http", version_name(x->request->version)),
        SL_LOG_TEXT_FIELD("method", short_text(known_method(x->request->method))),
        SL_LOG_TEXT_FIELD("operation", short_text(operation)),
        SL_LOG_TEXT_FIELD("model", f ? short_text(f->call.model) : nothing),
        SL_LOG_TEXT_FIELD("served_by", f ? short_text(f->call.served_model) : nothing),
        SL_LOG_NUMBER_FIELD("status", x->status),
        SL_LOG_TEXT_FIELD("outcome", sl_slice_str(outcome(reason))),
        SL_LOG_NUMBER_FIELD("input_tokens", x->usage.input),
        SL_LOG_NUMBER_FIELD("output_tokens", x->usage.output),
        SL_LOG_NUMBER_FIELD("bytes_in", x->received),
        SL_LOG_NUMBER_FIELD("bytes_out", x->sent),
        SL_LOG_NUMBER_FIELD("attempts", f ? f->attempts : 0),
        SL_LOG_NUMBER_FIELD("queue_ms", f ? f->queue_ns / SL_NS_PER_MS : 0),
        SL_LOG_NUMBER_FIELD("first_byte_ms", ms_between(x->started, x->first_byte)),
        SL_LOG_NUMBER_FIELD("total_ms", ms_between(x->started, flow->loop->now)),
    };
    sl_log_record(SL_LOG_INFO, "access", "request", fields, sizeof(fields) / sizeof(fields[0]));
}
