#include "sim/control.h"

#include "sim/ask.h"
#include "sim/route.h"
#include "sluice/wire/modelid.h"

#define CREATED_MS   INT64_C(1735689600000) /* 2025-01-01: the catalogue has no dates of its own */
#define PROFILE_PAGE 1000
#define QUOTA_PAGE   100

static int refuse_missing(struct sl_sim_refusal *no) {
    return sl_sim_refuse(no, SL_FAILURE_NOT_FOUND,
                         "The provided model identifier is invalid. Could not find a resource "
                         "that matches it.");
}

/* ---- Foundation models ------------------------------------------------------------ */

static bool is_listed(const struct sl_sim_model *model) {
    return !(model->flags & SL_SIM_MODEL_RETIRED);
}

static const char *output_of(const struct sl_sim_model *model) {
    return model->flags & SL_SIM_MODEL_EMBEDS ? "EMBEDDING" : "TEXT";
}

static void put_model(struct sl_sim_out *out, const struct sl_sim_model *m,
                      struct sl_slice region) {
    bool on_demand = sl_sim_model_has(m, SL_SIM_ON_DEMAND);
    struct sl_slice id = sl_slice_str(m->id);
    sl_sim_put(out,
               "{'modelArn':'arn:aws:bedrock:%r::foundation-model/%r','modelId':%s,'modelName':%s,"
               "'providerName':%s,'inputModalities':[%r],'outputModalities':[%s],"
               "'responseStreamingSupported':%b,'customizationsSupported':[],"
               "'inferenceTypesSupported':[%s],'modelLifecycle':{'status':%s}}",
               region, id, id, sl_slice_str(m->name), sl_slice_str(m->provider),
               m->flags & SL_SIM_MODEL_IMAGES ? SL_LIT("\"TEXT\",\"IMAGE\"") : SL_LIT("\"TEXT\""),
               sl_slice_str(output_of(m)), !(m->flags & SL_SIM_MODEL_NO_STREAM),
               on_demand ? SL_LIT("ON_DEMAND") : SL_LIT("INFERENCE_PROFILE"),
               m->flags & SL_SIM_MODEL_LEGACY ? SL_LIT("LEGACY") : SL_LIT("ACTIVE"));
}

int sl_sim_list_models(struct sl_slice query, struct sl_slice region, struct sl_sim_out *out,
                       struct sl_sim_refusal *no) {
    struct sl_slice provider = sl_sim_query_get(query, SL_LIT("byProvider"), no->arena);
    struct sl_slice output = sl_sim_query_get(query, SL_LIT("byOutputModality"), no->arena);
    struct sl_slice type = sl_sim_query_get(query, SL_LIT("byInferenceType"), no->arena);
    struct sl_slice custom = sl_sim_query_get(query, SL_LIT("byCustomizationType"), no->arena);
    const char *comma = "";
    sl_sim_put(out, "{'modelSummaries':[");
    for (size_t i = 0; i < sl_sim_model_count() && !custom.len; i++) {
        const struct sl_sim_model *m = sl_sim_model_at(i);
        bool on_demand = sl_sim_model_has(m, SL_SIM_ON_DEMAND);
        if (!is_listed(m) || (provider.len && !sl_slice_ieq(provider, sl_slice_str(m->provider))) ||
            (output.len && !sl_slice_eq(output, sl_slice_str(output_of(m)))) ||
            (type.len && (!sl_slice_eq(type, SL_LIT("ON_DEMAND")) || !on_demand)))
            continue;
        sl_sim_put(out, "%r", sl_slice_str(comma));
        put_model(out, m, region);
        comma = ",";
    }
    sl_sim_put(out, "]}");
    return out->error;
}

int sl_sim_get_model(struct sl_slice id, struct sl_slice region, struct sl_sim_out *out,
                     struct sl_sim_refusal *no) {
    const struct sl_sim_model *m = sl_sim_model_find(sl_model_id_bare(id));
    if (!m || !is_listed(m))
        return refuse_missing(no);
    sl_sim_put(out, "{'modelDetails':");
    put_model(out, m, region);
    sl_sim_put(out, "}");
    return out->error;
}

int sl_sim_list_mantle_models(struct sl_sim_out *out) {
    const char *comma = "";
    sl_sim_put(out, "{'object':'list','data':[");
    for (size_t i = 0; i < sl_sim_model_count(); i++) {
        const struct sl_sim_model *m = sl_sim_model_at(i);
        if (!is_listed(m) || !sl_sim_model_has(m, SL_SIM_MANTLE))
            continue;
        sl_sim_put(out, "%r{'id':%s,'object':'model','created':%d,'owned_by':%s}",
                   sl_slice_str(comma), sl_slice_str(m->id), CREATED_MS / 1000,
                   sl_slice_str(m->provider));
        comma = ",";
    }
    sl_sim_put(out, "]}");
    return out->error;
}

/* ---- Inference profiles ----------------------------------------------------------- */

/* The Regions that a profile spreads its calls over. */
static const char *const destinations[SL_SIM_CHANNELS][4] = {
    [SL_SIM_US] = {"us-east-1", "us-east-2", "us-west-2"},
    [SL_SIM_EU] = {"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"},
    [SL_SIM_APAC] = {"ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1"},
    [SL_SIM_AU] = {"ap-southeast-2", "ap-southeast-4"},
    [SL_SIM_JP] = {"ap-northeast-1", "ap-northeast-3"},
    [SL_SIM_CA] = {"ca-central-1", "ca-west-1"},
    [SL_SIM_US_GOV] = {"us-gov-east-1", "us-gov-west-1"},
    [SL_SIM_GLOBAL] = {"us-east-1", "eu-west-1", "ap-northeast-1"},
};

static bool is_profile(const struct sl_sim_model *m, unsigned channel, struct sl_slice region) {
    enum sl_sim_channel c = (enum sl_sim_channel)channel;
    return is_listed(m) && sl_sim_model_has(m, c) && sl_sim_channel_prefix(c).len &&
           sl_sim_channel_serves(c, region);
}

static void put_profile(struct sl_sim_out *out, const struct sl_sim_model *m, unsigned channel,
                        struct sl_slice region) {
    struct sl_slice prefix = sl_sim_channel_prefix((enum sl_sim_channel)channel);
    struct sl_slice geo = sl_slice_head(prefix, prefix.len - 1), id = sl_slice_str(m->id);
    sl_sim_put(out, "{'inferenceProfileName':'%r %r','description':'Routes requests to %r.',", geo,
               sl_slice_str(m->name), sl_slice_str(m->name));
    sl_sim_put(out, "'createdAt':");
    sl_sim_put_date(out, CREATED_MS);
    sl_sim_put(out, ",'updatedAt':");
    sl_sim_put_date(out, CREATED_MS);
    sl_sim_put(out,
               ",'inferenceProfileArn':'arn:aws:bedrock:%r:" SL_SIM_ACCOUNT
               ":inference-profile/%r%r','models':[",
               region, prefix, id);
    for (size_t i = 0; i < 4 && destinations[channel][i]; i++)
        sl_sim_put(out, "%r{'modelArn':'arn:aws:bedrock:%r::foundation-model/%r'}",
                   i ? SL_LIT(",") : SL_EMPTY, sl_slice_str(destinations[channel][i]), id);
    sl_sim_put(out, "],'inferenceProfileId':'%r%r','status':'ACTIVE','type':'SYSTEM_DEFINED'}",
               prefix, id);
}

int sl_sim_list_profiles(struct sl_slice query, struct sl_slice region, struct sl_sim_out *out,
                         struct sl_sim_refusal *no) {
    struct sl_slice type = sl_sim_query_get(query, SL_LIT("type"), no->arena);
    struct sl_slice token = sl_sim_query_get(query, SL_LIT("nextToken"), no->arena);
    struct sl_slice max = sl_sim_query_get(query, SL_LIT("maxResults"), no->arena);
    uint64_t page = PROFILE_PAGE, from = 0, seen = 0, given = 0;
    bool more = false;
    if ((max.len && (!sl_slice_u64(max, &page) || page < 1 || page > PROFILE_PAGE)) ||
        (token.len && !sl_slice_u64(token, &from)))
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                             "1 validation error detected: Value '%.*s' at '%s' failed to satisfy "
                             "constraint.",
                             SL_FMT(sl_slice_head(max.len ? max : token, 64)),
                             max.len ? "maxResults" : "nextToken");
    bool none = type.len && !sl_slice_eq(type, SL_LIT("SYSTEM_DEFINED"));
    sl_sim_put(out, "{'inferenceProfileSummaries':[");
    for (size_t i = 0; i < sl_sim_model_count() * SL_SIM_CHANNELS && !none && !more; i++) {
        const struct sl_sim_model *m = sl_sim_model_at(i / SL_SIM_CHANNELS);
        unsigned channel = (unsigned)(i % SL_SIM_CHANNELS);
        if (!is_profile(m, channel, region) || seen++ < from)
            continue;
        more = given == page;
        if (more)
            break;
        sl_sim_put(out, given++ ? "," : "");
        put_profile(out, m, channel, region);
    }
    sl_sim_put(out, "]");
    if (more)
        sl_sim_put(out, ",'nextToken':'%d'", (int64_t)(from + given));
    sl_sim_put(out, "}");
    return out->error;
}

int sl_sim_get_profile(struct sl_slice id, struct sl_slice region, struct sl_sim_out *out,
                       struct sl_sim_refusal *no) {
    struct sl_slice bare = sl_model_id_bare(id);
    for (unsigned c = 0; c < SL_SIM_CHANNELS; c++) {
        struct sl_slice prefix = sl_sim_channel_prefix((enum sl_sim_channel)c);
        if (!prefix.len || !sl_slice_starts(bare, prefix))
            continue;
        const struct sl_sim_model *m = sl_sim_model_find(sl_slice_skip(bare, prefix.len));
        if (!m || !is_profile(m, c, region))
            continue;
        put_profile(out, m, c, region);
        return out->error;
    }
    return refuse_missing(no);
}

/* ---- Service quotas --------------------------------------------------------------- */

/* "On-demand model inference tokens per minute for Meta Llama 3.3 70B Instruct" */
static void put_quota(struct sl_sim_out *out, const struct sl_sim_model *m, unsigned channel,
                      const char *what, uint64_t value, struct sl_slice region) {
    const char *scope = channel == SL_SIM_ON_DEMAND ? "On-demand"
                        : channel == SL_SIM_GLOBAL  ? "Global cross-region"
                                                    : "Cross-region";
    uint64_t digest = sl_sim_digest(SL_SIM_DIGEST_BEGIN, sl_slice_str(m->id));
    digest = sl_sim_digest(sl_sim_digest(digest, sl_slice_str(what)), sl_slice_str(scope));
    char code[11] = "L-";
    for (int i = 0; i < 8; i++)
        code[2 + i] = "0123456789ABCDEF"[digest >> (4 * i) & 15];
    struct sl_slice c = sl_slice_of(code, 10);
    sl_sim_put(out,
               "{'ServiceCode':'bedrock','ServiceName':'Amazon Bedrock','QuotaArn':"
               "'arn:aws:servicequotas:%r:" SL_SIM_ACCOUNT ":bedrock/%r','QuotaCode':%s,"
               "'QuotaName':'%r model inference %r for %r %r','Value':%d.0,'Unit':'None',"
               "'Adjustable':true,'GlobalQuota':false,'QuotaAppliedAtLevel':'ACCOUNT'}",
               region, c, c, sl_slice_str(scope), sl_slice_str(what), sl_slice_str(m->provider),
               sl_slice_str(m->name), (int64_t)value);
}

static int check_quota_request(struct sl_slice amz_target, const cJSON *body, uint64_t *from,
                               uint64_t *page, struct sl_sim_refusal *no) {
    struct sl_slice prefix = SL_LIT("ServiceQuotasV20190624.");
    struct sl_slice name = sl_slice_skip(amz_target, prefix.len);
    struct sl_slice token = sl_sim_get_string(body, "NextToken");
    if (!sl_slice_starts(amz_target, prefix) ||
        (!sl_slice_eq(name, SL_LIT("ListServiceQuotas")) &&
         !sl_slice_eq(name, SL_LIT("ListAWSDefaultServiceQuotas"))))
        return sl_sim_refuse(no, SL_FAILURE_UNKNOWN_OPERATION, "Unknown operation");
    if (!sl_slice_eq(sl_sim_get_string(body, "ServiceCode"), SL_LIT("bedrock")))
        return sl_sim_refuse(no, SL_FAILURE_NOT_FOUND,
                             "The request failed because the specified service does not exist.");
    int64_t max = sl_sim_get_int(body, "MaxResults", QUOTA_PAGE);
    if (max < 1 || max > QUOTA_PAGE || (token.len && !sl_slice_u64(token, from)))
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION, "Invalid MaxResults or NextToken.");
    *page = (uint64_t)max;
    return 0;
}

int sl_sim_list_quotas(struct sl_slice amz_target, const cJSON *body,
                       const struct sl_sim_settings *settings, struct sl_sim_out *out,
                       struct sl_sim_refusal *no) {
    const struct {
        const char *what;
        uint64_t value;
    } kinds[] = {{"requests per minute", settings->rpm},
                 {"tokens per minute", settings->tpm},
                 {"tokens per day", settings->tpd}};
    struct sl_slice region = sl_slice_str(settings->region);
    uint64_t from = 0, page = 0, seen = 0, given = 0;
    bool more = false;
    int error = check_quota_request(amz_target, body, &from, &page, no);
    if (error)
        return error;
    sl_sim_put(out, "{'Quotas':[");
    for (size_t i = 0; i < sl_sim_model_count() * SL_SIM_CHANNELS * 3 && !more; i++) {
        const struct sl_sim_model *m = sl_sim_model_at(i / 3 / SL_SIM_CHANNELS);
        unsigned channel = (unsigned)(i / 3 % SL_SIM_CHANNELS);
        bool there = channel == SL_SIM_ON_DEMAND ? is_listed(m) && sl_sim_model_has(m, channel)
                                                 : is_profile(m, channel, region);
        if (!there || !kinds[i % 3].value || seen++ < from)
            continue;
        more = given == page;
        if (more)
            break;
        sl_sim_put(out, given++ ? "," : "");
        put_quota(out, m, channel, kinds[i % 3].what, kinds[i % 3].value, region);
    }
    sl_sim_put(out, "]");
    if (more)
        sl_sim_put(out, ",'NextToken':'%d'", (int64_t)(from + given));
    sl_sim_put(out, "}");
    return out->error;
}
