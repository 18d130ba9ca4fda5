/* Counters, for tests to read at GET /simulator/stats. */
#ifndef SIM_STATS_H
#define SIM_STATS_H

#include "sim/quota.h"
#include "sim/route.h"
#include "sim/write.h"

#define SL_SIM_STATUSES 600

struct sl_sim_stats {
    uint64_t requests[SL_SIM_OPERATION_COUNT];
    uint64_t responses[SL_SIM_STATUSES]; /* by status; 0: none was given */
    uint64_t throttles[SL_SIM_THROTTLES];
    uint64_t faults, completed, abandoned;
    uint64_t input_tokens, output_tokens;
    uint32_t in_flight, in_flight_max; /* metered calls; the maximum since the last reset */
};

/* Counters back to zero; what is in flight stays. */
void sl_sim_stats_reset(struct sl_sim_stats *stats);
void sl_sim_stats_write(const struct sl_sim_stats *stats, size_t body_bytes,
                        struct sl_sim_out *out);

#endif
