#include "sim/stats.h"

void sl_sim_stats_reset(struct sl_sim_stats *stats) {
    uint32_t in_flight = stats->in_flight;
    *stats = (struct sl_sim_stats){.in_flight = in_flight, .in_flight_max = in_flight};
}

void sl_sim_stats_write(const struct sl_sim_stats *stats, size_t body_bytes,
                        struct sl_sim_out *out) {
    const char *comma = "";
    sl_sim_put(out, "{'requests':{");
    for (unsigned op = 0; op < SL_SIM_OPERATION_COUNT; op++) {
        if (!stats->requests[op])
            continue;
        sl_sim_put(out, "%r%s:%d", sl_slice_str(comma),
                   sl_slice_str(sl_sim_operation_name((enum sl_sim_operation)op)),
                   (int64_t)stats->requests[op]);
        comma = ",";
    }
    comma = "";
    sl_sim_put(out, "},'responses':{");
    for (unsigned status = 0; status < SL_SIM_STATUSES; status++) {
        if (!stats->responses[status])
            continue;
        sl_sim_put(out, "%r'%d':%d", sl_slice_str(comma), (int64_t)status,
                   (int64_t)stats->responses[status]);
        comma = ",";
    }
    sl_sim_put(out, "},'throttles':{'requests':%d,'tokens':%d,'day':%d},'faults':%d,",
               (int64_t)stats->throttles[SL_SIM_THROTTLE_REQUESTS],
               (int64_t)stats->throttles[SL_SIM_THROTTLE_TOKENS],
               (int64_t)stats->throttles[SL_SIM_THROTTLE_DAY], (int64_t)stats->faults);
    sl_sim_put(out,
               "'completed':%d,'abandoned':%d,'in_flight':%d,'in_flight_max':%d,"
               "'tokens':{'input':%d,'output':%d},'body_bytes':%d}",
               (int64_t)stats->completed, (int64_t)stats->abandoned, (int64_t)stats->in_flight,
               (int64_t)stats->in_flight_max, (int64_t)stats->input_tokens,
               (int64_t)stats->output_tokens, (int64_t)body_bytes);
}
