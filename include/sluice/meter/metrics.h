/*
 * Counters of the process, and their page in Prometheus's text format (version 0.0.4).
 * Plain numbers, written by one thread.
 */
#ifndef SLUICE_METER_METRICS_H
#define SLUICE_METER_METRICS_H

#include <stdint.h>

#include "sluice/base/buf.h"
#include "sluice/core/usage.h"

struct sl_metrics {
    uint64_t responses[6];  /* by class of status: [2] is 2xx; [0] the client left before one */
    uint64_t attempts;      /* upstream calls started */
    uint64_t attempts_lost; /* that ended without a complete answer */
    uint64_t joins;         /* exchanges that read another's flight */
    uint64_t canceled;      /* flights nobody waited for */
    uint64_t queue_refused; /* full, or waited too long */
    uint64_t retired;       /* calls served by a successor */
    uint64_t throttles;     /* upstream's refusals for quota */
    uint64_t retries;       /* calls put back into the queue */
    uint64_t hits;          /* exchanges answered from the cache */
    uint64_t saved_input_tokens, saved_output_tokens, saved_nano_usd; /* by hits and joins */
    uint64_t interims; /* informational responses sent to those who wait */
    uint64_t estimated_tokens, estimate_error_tokens; /* input: actual, and |estimate - actual| */
    uint64_t input_tokens, output_tokens, cache_read_tokens, cache_write_tokens;
    /* Gauges, set when the page is asked for. */
    uint64_t queued, in_flight, exchanges, connections, memory_used, memory_max;
    uint64_t cache_entries, cache_bytes;
    uint64_t turn_cpu_max_ns;
};

void sl_metrics_add_usage(struct sl_metrics *m, const struct sl_usage *usage);
/* Tokens that were not paid for again. */
void sl_metrics_add_saved(struct sl_metrics *m, const struct sl_usage *usage);
SL_NODISCARD int sl_metrics_render(const struct sl_metrics *m, struct sl_buf *out);

#endif
