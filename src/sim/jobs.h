/* Asynchronous invocations: kept in memory, the latest few; each runs for a moment and completes.
 */
#ifndef SIM_JOBS_H
#define SIM_JOBS_H

#include <cjson/cJSON.h>

#include "sim/refuse.h"
#include "sim/write.h"
#include "sluice/base/rand.h"

#define SL_SIM_JOBS        256
#define SL_SIM_JOB_STRING  512
#define SL_SIM_JOB_TIME_MS 1000

struct sl_sim_job {
    char id[SL_UUID_SIZE];
    char model[SL_SIM_JOB_STRING], token[SL_SIM_JOB_STRING], s3_uri[SL_SIM_JOB_STRING];
    int64_t submitted; /* wall, ms */
};

struct sl_sim_jobs {
    struct sl_sim_job *ring; /* allocated with the first job */
    uint64_t started;        /* the latest is ring[(started - 1) % SL_SIM_JOBS] */
};

void sl_sim_jobs_done(struct sl_sim_jobs *jobs);
/* These write the response, or refuse. */
SL_NODISCARD int sl_sim_jobs_start(struct sl_sim_jobs *jobs, const cJSON *body,
                                   struct sl_slice region, int64_t wall_ms, struct sl_sim_out *out,
                                   struct sl_sim_refusal *no);
SL_NODISCARD int sl_sim_jobs_get(const struct sl_sim_jobs *jobs, struct sl_slice arn,
                                 struct sl_slice region, int64_t wall_ms, struct sl_sim_out *out,
                                 struct sl_sim_refusal *no);
SL_NODISCARD int sl_sim_jobs_list(const struct sl_sim_jobs *jobs, struct sl_slice query,
                                  struct sl_slice region, int64_t wall_ms, struct sl_sim_out *out,
                                  struct sl_sim_refusal *no);

#endif
