/* One table names every counter, so that none is counted and not shown. */
#include "sluice/meter/metrics.h"

#include <inttypes.h>
#include <stddef.h>

#define COUNTER "counter"
#define GAUGE   "gauge"
#define ROW(metric, kind, help, field)                                                             \
    { metric, kind, help, offsetof(struct sl_metrics, field), 1 }

static const struct {
    const char *name, *kind, *help;
    size_t offset;
    double unit;
} rows[] = {
    ROW("sluice_attempts_total", COUNTER, "Calls to Bedrock started.", attempts),
    ROW("sluice_attempts_lost_total", COUNTER, "Calls that ended without a complete answer.",
        attempts_lost),
    ROW("sluice_joins_total", COUNTER, "Requests answered by a call already under way.", joins),
    ROW("sluice_canceled_total", COUNTER, "Calls dropped because nobody waited any more.",
        canceled),
    ROW("sluice_queue_refused_total", COUNTER, "Requests refused by the queue.", queue_refused),
    ROW("sluice_throttles_total", COUNTER, "Refusals by Bedrock for quota, met by waiting.",
        throttles),
    ROW("sluice_retries_total", COUNTER,
        "Calls put back into the queue after a refusal or failure.", retries),
    ROW("sluice_cache_hits_total", COUNTER, "Requests answered from the cache.", hits),
    ROW("sluice_saved_input_tokens_total", COUNTER, "Input tokens not paid for again.",
        saved_input_tokens),
    ROW("sluice_saved_output_tokens_total", COUNTER, "Output tokens not paid for again.",
        saved_output_tokens),
    {"sluice_saved_usd_total", COUNTER, "Dollars not paid again, by the price table.",
     offsetof(struct sl_metrics, saved_nano_usd), 1e-9},
    ROW("sluice_interim_responses_total", COUNTER, "Informational responses to waiting clients.",
        interims),
    ROW("sluice_estimated_input_tokens_total", COUNTER,
        "Input tokens of calls whose size was estimated beforehand.", estimated_tokens),
    ROW("sluice_estimate_error_tokens_total", COUNTER, "By how much those estimates were wrong.",
        estimate_error_tokens),
    ROW("sluice_retired_total", COUNTER, "Calls served by a withdrawn model's successor.", retired),
    ROW("sluice_input_tokens_total", COUNTER, "Input tokens, without cached ones.", input_tokens),
    ROW("sluice_output_tokens_total", COUNTER, "Output tokens.", output_tokens),
    ROW("sluice_cache_read_tokens_total", COUNTER, "Tokens read from Bedrock's prompt cache.",
        cache_read_tokens),
    ROW("sluice_cache_write_tokens_total", COUNTER, "Tokens written to it.", cache_write_tokens),
    ROW("sluice_queued", GAUGE, "Requests waiting for admission.", queued),
    ROW("sluice_in_flight", GAUGE, "Calls to Bedrock under way.", in_flight),
    ROW("sluice_exchanges", GAUGE, "Requests being served.", exchanges),
    ROW("sluice_connections", GAUGE, "Client connections.", connections),
    ROW("sluice_cache_entries", GAUGE, "Answers kept.", cache_entries),
    ROW("sluice_cache_bytes", GAUGE, "Bytes they take.", cache_bytes),
    ROW("sluice_memory_bytes", GAUGE, "Bytes of bodies and answers held.", memory_used),
    ROW("sluice_memory_max_bytes", GAUGE, "Their bound, memory.max.", memory_max),
    {"sluice_turn_cpu_max_seconds", GAUGE, "CPU time of the longest turn of the loop so far.",
     offsetof(struct sl_metrics, turn_cpu_max_ns), 1e-9},
};

static void add(uint64_t *total, int64_t tokens) {
    if (tokens > 0)
        *total += (uint64_t)tokens;
}

void sl_metrics_add_usage(struct sl_metrics *m, const struct sl_usage *usage) {
    add(&m->input_tokens, usage->input);
    add(&m->output_tokens, usage->output);
    add(&m->cache_read_tokens, usage->cache_read);
    add(&m->cache_write_tokens, usage->cache_write);
}

void sl_metrics_add_saved(struct sl_metrics *m, const struct sl_usage *usage) {
    add(&m->saved_input_tokens, usage->input);
    add(&m->saved_output_tokens, usage->output);
}

int sl_metrics_render(const struct sl_metrics *m, struct sl_buf *out) {
    int err = sl_buf_add_str(out, "# HELP sluice_responses_total Responses by class of status; "
                                  "\"gone\": the client left first.\n"
                                  "# TYPE sluice_responses_total counter\n");
    static const char *const classes[6] = {"gone", "1xx", "2xx", "3xx", "4xx", "5xx"};
    for (int i = 0; !err && i < 6; i++)
        if (i != 1)
            err = sl_buf_printf(out, "sluice_responses_total{class=\"%s\"} %" PRIu64 "\n",
                                classes[i], m->responses[i]);
    for (size_t i = 0; !err && i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint64_t *value = (const uint64_t *)(const void *)((const char *)m + rows[i].offset);
        err = sl_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", rows[i].name, rows[i].help,
                            rows[i].name, rows[i].kind);
        if (!err && rows[i].unit < 1)
            err = sl_buf_printf(out, "%s %.9f\n", rows[i].name, (double)*value * rows[i].unit);
        else if (!err)
            err = sl_buf_printf(out, "%s %" PRIu64 "\n", rows[i].name, *value);
    }
    return err;
}
