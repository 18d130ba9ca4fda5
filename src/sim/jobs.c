#include "sim/jobs.h"

#include "sim/ask.h"
#include "sim/control.h"
#include "sim/models.h"
#include "sim/route.h"
#include "sluice/base/clock.h"
#include "sluice/base/mem.h"

#define ACCOUNT  SL_SIM_ACCOUNT
#define PAGE     20 /* of a list, where maxResults does not say */
#define MAX_PAGE 1000

void sl_sim_jobs_done(struct sl_sim_jobs *jobs) {
    sl_free(jobs->ring);
    *jobs = (struct sl_sim_jobs){0};
}

static bool is_async_model(struct sl_slice id) {
    static const char *const ids[] = {"amazon.nova-reel-v1:0", "amazon.nova-reel-v1:1",
                                      "luma.ray-v2:0", "twelvelabs.marengo-embed-2-7-v1:0"};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (sl_slice_eq(id, sl_slice_str(ids[i])))
            return true;
    const struct sl_sim_model *model = sl_sim_model_find(id);
    return model && !(model->flags & SL_SIM_MODEL_RETIRED);
}

static bool keep(char out[SL_SIM_JOB_STRING], struct sl_slice s) {
    if (s.len >= SL_SIM_JOB_STRING)
        return false;
    memcpy(out, s.ptr, s.len);
    out[s.len] = 0;
    return true;
}

/* A token seen before names the job it started. */
static const struct sl_sim_job *find_token(const struct sl_sim_jobs *jobs, struct sl_slice token) {
    for (uint64_t i = jobs->started; token.len && i > 0 && jobs->started - i < SL_SIM_JOBS; i--) {
        const struct sl_sim_job *job = &jobs->ring[(i - 1) % SL_SIM_JOBS];
        if (sl_slice_eq(sl_slice_str(job->token), token))
            return job;
    }
    return NULL;
}

static int refuse_null(struct sl_sim_refusal *no, const char *field) {
    return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                         "1 validation error detected: Value null at '%s' failed to satisfy "
                         "constraint: Member must not be null",
                         field);
}

static void put_arn(struct sl_sim_out *out, const struct sl_sim_job *job, struct sl_slice region) {
    sl_sim_put(out, "'invocationArn':'arn:aws:bedrock:%r:" ACCOUNT ":async-invoke/%r'", region,
               sl_slice_str(job->id));
}

int sl_sim_jobs_start(struct sl_sim_jobs *jobs, const cJSON *body, struct sl_slice region,
                      int64_t wall_ms, struct sl_sim_out *out, struct sl_sim_refusal *no) {
    struct sl_slice model = sl_sim_get_string(body, "modelId");
    struct sl_slice token = sl_sim_get_string(body, "clientRequestToken");
    struct sl_slice uri = sl_sim_get_string(
        sl_sim_get(sl_sim_get(body, "outputDataConfig"), "s3OutputDataConfig"), "s3Uri");
    if (!model.len || !cJSON_IsObject(sl_sim_get(body, "modelInput")) || !uri.len)
        return refuse_null(no, !model.len ? "modelId"
                               : !uri.len ? "outputDataConfig"
                                          : "modelInput");
    if (!is_async_model(model))
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                             "The provided model identifier is invalid.");
    const struct sl_sim_job *job = find_token(jobs, token);
    if (!job) {
        if (!jobs->ring && !(jobs->ring = sl_calloc(SL_SIM_JOBS, sizeof *jobs->ring)))
            return SL_E_NOMEM;
        struct sl_sim_job *slot = &jobs->ring[jobs->started % SL_SIM_JOBS];
        if (!keep(slot->model, model) || !keep(slot->token, token) || !keep(slot->s3_uri, uri))
            return sl_sim_refuse(no, SL_FAILURE_VALIDATION, "A value is longer than %d bytes.",
                                 SL_SIM_JOB_STRING - 1);
        sl_rand_uuid(slot->id);
        slot->submitted = wall_ms;
        jobs->started++;
        job = slot;
    }
    sl_sim_put(out, "{");
    put_arn(out, job, region);
    sl_sim_put(out, "}");
    return out->error;
}

static bool is_complete(const struct sl_sim_job *job, int64_t wall_ms) {
    return wall_ms - job->submitted >= SL_SIM_JOB_TIME_MS;
}

static void put_job(struct sl_sim_out *out, const struct sl_sim_job *job, struct sl_slice region,
                    int64_t wall_ms) {
    bool complete = is_complete(job, wall_ms);
    sl_sim_put(out, "{");
    put_arn(out, job, region);
    sl_sim_put(out, ",'modelArn':'arn:aws:bedrock:%r::foundation-model/%r','status':%s", region,
               sl_slice_str(job->model), complete ? SL_LIT("Completed") : SL_LIT("InProgress"));
    if (job->token[0])
        sl_sim_put(out, ",'clientRequestToken':%s", sl_slice_str(job->token));
    sl_sim_put(out, ",'submitTime':");
    sl_sim_put_date(out, job->submitted);
    sl_sim_put(out, ",'lastModifiedTime':");
    sl_sim_put_date(out, complete ? job->submitted + SL_SIM_JOB_TIME_MS : job->submitted);
    if (complete) {
        sl_sim_put(out, ",'endTime':");
        sl_sim_put_date(out, job->submitted + SL_SIM_JOB_TIME_MS);
    }
    sl_sim_put(out, ",'outputDataConfig':{'s3OutputDataConfig':{'s3Uri':%s}}}",
               sl_slice_str(job->s3_uri));
}

/* The i-th job from the latest on, or NULL. */
static const struct sl_sim_job *latest(const struct sl_sim_jobs *jobs, uint64_t i) {
    return i < jobs->started && i < SL_SIM_JOBS ? &jobs->ring[(jobs->started - 1 - i) % SL_SIM_JOBS]
                                                : NULL;
}

int sl_sim_jobs_get(const struct sl_sim_jobs *jobs, struct sl_slice arn, struct sl_slice region,
                    int64_t wall_ms, struct sl_sim_out *out, struct sl_sim_refusal *no) {
    const struct sl_sim_job *job;
    for (uint64_t i = 0; (job = latest(jobs, i)); i++) {
        if (!sl_slice_ends(arn, sl_slice_str(job->id)))
            continue;
        put_job(out, job, region, wall_ms);
        return out->error;
    }
    return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                         "Could not find an async invocation for the ARN that you provided.");
}

int sl_sim_jobs_list(const struct sl_sim_jobs *jobs, struct sl_slice query, struct sl_slice region,
                     int64_t wall_ms, struct sl_sim_out *out, struct sl_sim_refusal *no) {
    struct sl_slice status = sl_sim_query_get(query, SL_LIT("statusEquals"), no->arena);
    struct sl_slice order = sl_sim_query_get(query, SL_LIT("sortOrder"), no->arena);
    struct sl_slice token = sl_sim_query_get(query, SL_LIT("nextToken"), no->arena);
    uint64_t page = PAGE, from = 0, given = 0, i;
    uint64_t count = jobs->started < SL_SIM_JOBS ? jobs->started : SL_SIM_JOBS;
    (void)sl_slice_u64(sl_sim_query_get(query, SL_LIT("maxResults"), no->arena), &page);
    if (page == 0 || page > MAX_PAGE || (token.len && !sl_slice_u64(token, &from)))
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                             "1 validation error detected: Value at '%s' failed to satisfy "
                             "constraint.",
                             token.len && page && page <= MAX_PAGE ? "nextToken" : "maxResults");
    bool ascending = sl_slice_eq(order, SL_LIT("Ascending"));
    sl_sim_put(out, "{'asyncInvokeSummaries':[");
    for (i = from; i < count && given < page; i++) {
        const struct sl_sim_job *job = latest(jobs, ascending ? count - 1 - i : i);
        struct sl_slice now =
            is_complete(job, wall_ms) ? SL_LIT("Completed") : SL_LIT("InProgress");
        if (status.len && !sl_slice_eq(status, now))
            continue;
        sl_sim_put(out, given++ ? "," : "");
        put_job(out, job, region, wall_ms);
    }
    sl_sim_put(out, "]");
    if (i < count)
        sl_sim_put(out, ",'nextToken':'%d'", (int64_t)i);
    sl_sim_put(out, "}");
    return out->error;
}
