/*
 * What kind of model identifier a string is. A classifier, not a validator: only as much
 * is read as tells the kinds apart, and what fits none is passed on for Bedrock to judge.
 *
 * Clients send ids raw or percent-encoded, so every ':' and '/' that separates is taken
 * as the byte or as its escape. No id contains a '%' of its own, so this is unambiguous,
 * and the slices handed back point into the input, in the form it came in.
 *
 *     arn : partition : service : region : account : type / name…
 */
#include "sluice/wire/modelid.h"

struct arn {
    struct sl_slice service, region, type, name;
};

static const struct {
    struct sl_slice service, type;
    enum sl_model_id_kind kind;
} arn_kinds[] = {
    {SL_LIT("bedrock"), SL_LIT("foundation-model"), SL_MODEL_ID_FOUNDATION_ARN},
    {SL_LIT("bedrock"), SL_LIT("inference-profile"), SL_MODEL_ID_PROFILE_ARN},
    {SL_LIT("bedrock"), SL_LIT("application-inference-profile"), SL_MODEL_ID_APP_PROFILE_ARN},
    {SL_LIT("bedrock"), SL_LIT("provisioned-model"), SL_MODEL_ID_PROVISIONED_ARN},
    {SL_LIT("bedrock"), SL_LIT("custom-model"), SL_MODEL_ID_CUSTOM_ARN},
    {SL_LIT("bedrock"), SL_LIT("custom-model-deployment"), SL_MODEL_ID_CUSTOM_DEPLOYMENT_ARN},
    {SL_LIT("bedrock"), SL_LIT("imported-model"), SL_MODEL_ID_IMPORTED_ARN},
    {SL_LIT("bedrock"), SL_LIT("prompt"), SL_MODEL_ID_PROMPT_ARN},
    {SL_LIT("bedrock"), SL_LIT("prompt-router"), SL_MODEL_ID_PROMPT_ROUTER_ARN},
    {SL_LIT("bedrock"), SL_LIT("default-prompt-router"), SL_MODEL_ID_PROMPT_ROUTER_ARN},
    {SL_LIT("sagemaker"), SL_LIT("endpoint"), SL_MODEL_ID_SAGEMAKER_ARN},
};

/*
 * Prefixes of the cross-Region profiles. A list, because the form alone does not tell:
 * "minimax.minimax-m2.1" is a base id with two dots.
 */
static const struct sl_slice geographies[] = {
    SL_LIT("us"), SL_LIT("eu"), SL_LIT("apac"),   SL_LIT("au"),     SL_LIT("jp"),
    SL_LIT("ca"), SL_LIT("in"), SL_LIT("us-gov"), SL_LIT("global"),
};

/* Bytes that the separator c takes at the start of s: 1 raw, 3 as an escape, 0 if not there. */
static size_t separator_length(struct sl_slice s, char c) {
    if (s.len > 0 && s.ptr[0] == c)
        return 1;
    if (s.len < 3 || s.ptr[0] != '%')
        return 0;
    char high = c == ':' ? '3' : '2', low = c == ':' ? 'a' : 'f';
    return s.ptr[1] == high && sl_ascii_lower(s.ptr[2]) == low ? 3 : 0;
}

/* Takes what stands before the first separator off *rest. False, and no change, without one. */
static bool take_field(struct sl_slice *rest, char separator, struct sl_slice *field) {
    for (size_t i = 0; i < rest->len; i++) {
        size_t n = separator_length(sl_slice_skip(*rest, i), separator);
        if (n == 0)
            continue;
        *field = sl_slice_head(*rest, i);
        *rest = sl_slice_skip(*rest, i + n);
        return true;
    }
    return false;
}

static bool parse_arn(struct sl_slice id, struct arn *arn) {
    struct sl_slice scheme, partition, account;
    if (!sl_slice_starts(id, SL_LIT("arn")) || !take_field(&id, ':', &scheme) || scheme.len != 3)
        return false;
    if (!take_field(&id, ':', &partition) || !sl_slice_starts(partition, SL_LIT("aws")))
        return false;
    if (!take_field(&id, ':', &arn->service) || !take_field(&id, ':', &arn->region) ||
        !take_field(&id, ':', &account) || !take_field(&id, '/', &arn->type))
        return false;
    arn->name = id;
    return id.len > 0;
}

static enum sl_model_id_kind arn_kind(const struct arn *arn) {
    for (size_t i = 0; i < sizeof(arn_kinds) / sizeof(arn_kinds[0]); i++) {
        if (sl_slice_eq(arn->service, arn_kinds[i].service) &&
            sl_slice_eq(arn->type, arn_kinds[i].type))
            return arn_kinds[i].kind;
    }
    return SL_MODEL_ID_OTHER;
}

static bool is_geography(struct sl_slice s) {
    for (size_t i = 0; i < sizeof(geographies) / sizeof(geographies[0]); i++) {
        if (sl_slice_eq(s, geographies[i]))
            return true;
    }
    return false;
}

/* "provider.name": letters, digits and "-_.:" with a dot inside. */
static bool is_dotted(struct sl_slice id) {
    size_t dot = sl_slice_find(id, '.');
    if (dot == 0 || id.len - dot < 2)
        return false;
    for (size_t i = 0; i < id.len; i++) {
        char c = sl_ascii_lower(id.ptr[i]);
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                     c == '.' || c == ':';
        if (!plain && separator_length(sl_slice_skip(id, i), ':') == 0)
            return false;
    }
    return true;
}

enum sl_model_id_kind sl_model_id_kind(struct sl_slice id) {
    struct arn arn;
    if (parse_arn(id, &arn))
        return arn_kind(&arn);
    if (!is_dotted(id))
        return SL_MODEL_ID_OTHER;
    size_t dot = sl_slice_find(id, '.');
    if (is_geography(sl_slice_head(id, dot)) && is_dotted(sl_slice_skip(id, dot + 1)))
        return SL_MODEL_ID_PROFILE;
    return SL_MODEL_ID_BASE;
}

struct sl_slice sl_model_id_bare(struct sl_slice id) {
    struct arn arn;
    if (!parse_arn(id, &arn))
        return id;
    enum sl_model_id_kind kind = arn_kind(&arn);
    if (kind != SL_MODEL_ID_FOUNDATION_ARN && kind != SL_MODEL_ID_PROFILE_ARN)
        return id;
    struct sl_slice last = arn.name, skipped;
    while (take_field(&last, '/', &skipped))
        continue;
    return last.len > 0 ? last : id;
}

struct sl_slice sl_model_id_region(struct sl_slice id) {
    struct arn arn;
    return parse_arn(id, &arn) ? arn.region : SL_EMPTY;
}
