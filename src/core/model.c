/*
 * Model families by the provider's id, and the successors of withdrawn models. Ids are matched by
 * prefix behind the geography of a profile and the ARN in front of it.
 */
#include "sluice/core/model.h"

/* Longer prefixes first: the first match wins. */
static const struct {
    struct sl_slice prefix;
    enum sl_family family;
} families[] = {
    {SL_LIT("anthropic.claude"), SL_FAMILY_CLAUDE},
    {SL_LIT("meta.llama2"), SL_FAMILY_LLAMA2},
    {SL_LIT("meta.llama3"), SL_FAMILY_LLAMA3},
    {SL_LIT("meta.llama4"), SL_FAMILY_LLAMA4},
    {SL_LIT("amazon.nova"), SL_FAMILY_NOVA},
    {SL_LIT("amazon.titan-embed"), SL_FAMILY_TITAN_EMBED},
    {SL_LIT("amazon.titan-text"), SL_FAMILY_TITAN_TEXT},
    {SL_LIT("amazon.titan-tg1"), SL_FAMILY_TITAN_TEXT},
    {SL_LIT("mistral."), SL_FAMILY_MISTRAL},
    {SL_LIT("cohere.command-r"), SL_FAMILY_COHERE_COMMAND_R},
    {SL_LIT("cohere.command"), SL_FAMILY_COHERE_COMMAND},
    {SL_LIT("cohere.embed"), SL_FAMILY_COHERE_EMBED},
    {SL_LIT("deepseek."), SL_FAMILY_DEEPSEEK},
    {SL_LIT("openai.gpt-oss"), SL_FAMILY_GPT_OSS},
    {SL_LIT("ai21.j2"), SL_FAMILY_JURASSIC},
};

/* Geographies of system-defined inference profiles. */
static const struct sl_slice geographies[] = {
    SL_LIT("us."), SL_LIT("eu."), SL_LIT("apac."),   SL_LIT("au."),     SL_LIT("jp."),
    SL_LIT("ca."), SL_LIT("in."), SL_LIT("us-gov."), SL_LIT("global."),
};

/* Which of them a region calls, the first that fits. Regions elsewhere have the global one only. */
static const struct {
    struct sl_slice begin, geography;
} regions[] = {
    {SL_LIT("us-gov-"), SL_LIT("us-gov.")}, {SL_LIT("us-"), SL_LIT("us.")},
    {SL_LIT("eu-"), SL_LIT("eu.")},         {SL_LIT("ap-"), SL_LIT("apac.")},
    {SL_LIT("ca-"), SL_LIT("ca.")},
};

/*
 * Withdrawn text models that scripts in the field still name, and the profile that serves the same
 * purpose now. Llama 2 left Bedrock on 2024-10-30; Llama 3.2 and 3.1 405B on 2026-07-07. Only
 * models whose InvokeModel body has the same shape are mapped; others would need more than another
 * name.
 */
static const struct {
    struct sl_slice withdrawn, successor;
} successors[] = {
    {SL_LIT("meta.llama2-13b-chat-v1"), SL_LIT("meta.llama3-8b-instruct-v1:0")},
    {SL_LIT("meta.llama2-13b-v1"), SL_LIT("meta.llama3-8b-instruct-v1:0")},
    {SL_LIT("meta.llama2-70b-chat-v1"), SL_LIT("meta.llama3-70b-instruct-v1:0")},
    {SL_LIT("meta.llama2-70b-v1"), SL_LIT("meta.llama3-70b-instruct-v1:0")},
    {SL_LIT("meta.llama3-2-1b-instruct-v1:0"), SL_LIT("meta.llama3-8b-instruct-v1:0")},
    {SL_LIT("meta.llama3-2-3b-instruct-v1:0"), SL_LIT("meta.llama3-8b-instruct-v1:0")},
    {SL_LIT("us.meta.llama3-2-1b-instruct-v1:0"), SL_LIT("us.meta.llama3-1-8b-instruct-v1:0")},
    {SL_LIT("us.meta.llama3-2-3b-instruct-v1:0"), SL_LIT("us.meta.llama3-1-8b-instruct-v1:0")},
    {SL_LIT("meta.llama3-1-405b-instruct-v1:0"), SL_LIT("us.meta.llama3-3-70b-instruct-v1:0")},
    {SL_LIT("us.meta.llama3-1-405b-instruct-v1:0"), SL_LIT("us.meta.llama3-3-70b-instruct-v1:0")},
};

/* "arn:…:foundation-model/X" and "arn:…:inference-profile/X" → X. */
static struct sl_slice without_arn(struct sl_slice model) {
    if (!sl_slice_starts(model, SL_LIT("arn:")))
        return model;
    size_t slash = sl_slice_find(model, '/');
    return slash < model.len ? sl_slice_skip(model, slash + 1) : model;
}

struct sl_slice sl_model_geo_prefix(struct sl_slice model) {
    model = without_arn(model);
    for (size_t i = 0; i < sizeof(geographies) / sizeof(geographies[0]); i++)
        if (sl_slice_starts(model, geographies[i]))
            return sl_slice_head(model, geographies[i].len);
    return SL_EMPTY;
}

struct sl_slice sl_model_base(struct sl_slice model) {
    model = without_arn(model);
    return sl_slice_skip(model, sl_model_geo_prefix(model).len);
}

enum sl_channel sl_model_channel(struct sl_slice model) {
    struct sl_slice geography = sl_model_geo_prefix(model);
    return geography.len == 0                          ? SL_CHANNEL_ON_DEMAND
           : sl_slice_eq(geography, SL_LIT("global.")) ? SL_CHANNEL_GLOBAL
                                                       : SL_CHANNEL_CROSS_REGION;
}

struct sl_slice sl_region_geo_prefix(struct sl_slice region) {
    for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
        if (sl_slice_starts(region, regions[i].begin))
            return regions[i].geography;
    return SL_EMPTY;
}

enum sl_family sl_model_family(struct sl_slice model) {
    model = sl_model_base(model);
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        if (sl_slice_starts(model, families[i].prefix))
            return families[i].family;
    return SL_FAMILY_UNKNOWN;
}

/*
 * '*' stands for any text. A mismatch goes back to the last '*' alone and lets it take in one byte
 * more: what an earlier one could give up, the last can take as well. So the time is at most the
 * product of both lengths.
 */
bool sl_model_matches(struct sl_slice pattern, struct sl_slice text) {
    size_t p = 0, t = 0, star = SIZE_MAX, taken = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            taken = t;
        } else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

struct sl_slice sl_model_successor(struct sl_slice model) {
    model = without_arn(model);
    for (size_t i = 0; i < sizeof(successors) / sizeof(successors[0]); i++) {
        struct sl_slice id = successors[i].withdrawn;
        /* "meta.llama2-70b-chat-v1" is also written with a version, ":0:4k". */
        if (sl_slice_eq(model, id) ||
            (sl_slice_starts(model, id) && model.len > id.len && model.ptr[id.len] == ':'))
            return successors[i].successor;
    }
    return SL_EMPTY;
}
