/*
 * Sources for the table: the Bedrock user guide's model and lifecycle pages and the public price
 * feeds. Maximum outputs matter because a call without max_tokens reserves them. Burndown 5 holds
 * for Claude 4.x; the figures of newer Claudes are unverified.
 */
#include "sim/models.h"

#include "sluice/wire/modelid.h"

#define OD     (1u << SL_SIM_ON_DEMAND)
#define US     (1u << SL_SIM_US)
#define EU     (1u << SL_SIM_EU)
#define APAC   (1u << SL_SIM_APAC)
#define AU     (1u << SL_SIM_AU)
#define JP     (1u << SL_SIM_JP)
#define GOV    (1u << SL_SIM_US_GOV)
#define GLOBAL (1u << SL_SIM_GLOBAL)
#define MANTLE (1u << SL_SIM_MANTLE)

#define IMAGES   SL_SIM_MODEL_IMAGES
#define EMBEDS   (SL_SIM_MODEL_EMBEDS | SL_SIM_MODEL_NO_STREAM)
#define RETIRED  SL_SIM_MODEL_RETIRED
#define REASONS  SL_SIM_MODEL_REASONS
#define NO_TOOLS SL_SIM_MODEL_NO_TOOLS
#define PLAIN    (SL_SIM_MODEL_NO_SYSTEM | NO_TOOLS)
#define PROMPTS  (SL_SIM_MODEL_NO_CHAT | PLAIN)
#define JURASSIC SL_FAMILY_JURASSIC, PROMPTS | SL_SIM_MODEL_NO_STREAM | SL_SIM_MODEL_LEGACY

#define META    "Meta"
#define CLAUDE  SL_FAMILY_CLAUDE, IMAGES
#define LLAMA3  SL_FAMILY_LLAMA3, 0
#define NOVA    SL_FAMILY_NOVA, IMAGES
#define MISTRAL SL_FAMILY_MISTRAL, 0
#define GONE(id, name, provider, family, out)                                                      \
    { id, name, provider, family, RETIRED, OD | US | EU | APAC, 200000, out, 1, 0 }

static const struct sl_sim_model models[] = {
    /* clang-format off */
    {"meta.llama3-8b-instruct-v1:0", "Llama 3 8B Instruct", META, SL_FAMILY_LLAMA3, NO_TOOLS, OD, 8192, 2048, 1, 0},
    {"meta.llama3-70b-instruct-v1:0", "Llama 3 70B Instruct", META, SL_FAMILY_LLAMA3, NO_TOOLS, OD, 8192, 2048, 1, 0},
    {"meta.llama3-1-8b-instruct-v1:0", "Llama 3.1 8B Instruct", META, LLAMA3, US, 128000, 8192, 1, 0},
    {"meta.llama3-1-70b-instruct-v1:0", "Llama 3.1 70B Instruct", META, LLAMA3, US, 128000, 8192, 1, 0},
    {"meta.llama3-3-70b-instruct-v1:0", "Llama 3.3 70B Instruct", META, LLAMA3, US, 128000, 8192, 1, 0},
    {"meta.llama4-scout-17b-instruct-v1:0", "Llama 4 Scout 17B Instruct", META, SL_FAMILY_LLAMA4, IMAGES, US, 128000, 8192, 1, 0},
    {"meta.llama4-maverick-17b-instruct-v1:0", "Llama 4 Maverick 17B Instruct", META, SL_FAMILY_LLAMA4, IMAGES, US, 128000, 8192, 1, 0},

    {"anthropic.claude-3-5-haiku-20241022-v1:0", "Claude 3.5 Haiku", "Anthropic", SL_FAMILY_CLAUDE, SL_SIM_MODEL_LEGACY, OD | US, 200000, 8192, 1, 2048},
    {"anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5", "Anthropic", CLAUDE, US | EU | AU | JP | GLOBAL | MANTLE, 200000, 64000, 5, 4096},
    {"anthropic.claude-sonnet-4-5-20250929-v1:0", "Claude Sonnet 4.5", "Anthropic", CLAUDE, US | EU | AU | JP | GOV | GLOBAL | MANTLE, 200000, 64000, 5, 1024},
    {"anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6", "Anthropic", CLAUDE, US | EU | AU | JP | GLOBAL | MANTLE, 1000000, 64000, 5, 2048},
    {"anthropic.claude-opus-4-5-20251101-v1:0", "Claude Opus 4.5", "Anthropic", CLAUDE, US | EU | GLOBAL | MANTLE, 200000, 64000, 5, 4096},
    {"anthropic.claude-opus-4-6-v1", "Claude Opus 4.6", "Anthropic", CLAUDE, US | EU | AU | GLOBAL | MANTLE, 1000000, 128000, 5, 4096},
    {"anthropic.claude-sonnet-5", "Claude Sonnet 5", "Anthropic", CLAUDE, US | EU | AU | JP | GLOBAL | MANTLE, 1000000, 128000, 10, 1024},
    {"anthropic.claude-opus-5", "Claude Opus 5", "Anthropic", CLAUDE, US | EU | AU | JP | GLOBAL | MANTLE, 1000000, 128000, 10, 1024},

    {"amazon.nova-micro-v1:0", "Nova Micro", "Amazon", SL_FAMILY_NOVA, 0, OD | US | EU | APAC, 128000, 10000, 1, 1536},
    {"amazon.nova-lite-v1:0", "Nova Lite", "Amazon", NOVA, OD | US | EU | APAC, 300000, 10000, 1, 1536},
    {"amazon.nova-pro-v1:0", "Nova Pro", "Amazon", NOVA, OD | US | EU | APAC, 300000, 10000, 1, 1024},
    {"amazon.nova-2-lite-v1:0", "Nova 2 Lite", "Amazon", NOVA, US | EU | APAC | GLOBAL, 1000000, 64000, 1, 1536},
    {"amazon.titan-text-express-v1", "Titan Text G1 - Express", "Amazon", SL_FAMILY_TITAN_TEXT, PLAIN, OD, 8192, 8192, 1, 0},
    {"amazon.titan-text-lite-v1", "Titan Text G1 - Lite", "Amazon", SL_FAMILY_TITAN_TEXT, PLAIN, OD, 4096, 4096, 1, 0},
    {"amazon.titan-embed-text-v1", "Titan Embeddings G1 - Text", "Amazon", SL_FAMILY_TITAN_EMBED, EMBEDS, OD, 8192, 0, 1, 0},
    {"amazon.titan-embed-text-v2:0", "Titan Text Embeddings V2", "Amazon", SL_FAMILY_TITAN_EMBED, EMBEDS, OD, 8192, 0, 1, 0},

    {"mistral.mistral-7b-instruct-v0:2", "Mistral 7B Instruct", "Mistral AI", SL_FAMILY_MISTRAL, PLAIN, OD, 32000, 8192, 1, 0},
    {"mistral.mixtral-8x7b-instruct-v0:1", "Mixtral 8x7B Instruct", "Mistral AI", SL_FAMILY_MISTRAL, PLAIN, OD, 32000, 4096, 1, 0},
    {"mistral.mistral-small-2402-v1:0", "Mistral Small (24.02)", "Mistral AI", MISTRAL, OD, 32000, 8192, 1, 0},
    {"mistral.mistral-large-2402-v1:0", "Mistral Large (24.02)", "Mistral AI", MISTRAL, OD, 32000, 8192, 1, 0},

    {"cohere.command-text-v14", "Command", "Cohere", SL_FAMILY_COHERE_COMMAND, PROMPTS, OD, 4096, 4096, 1, 0},
    {"cohere.command-light-text-v14", "Command Light", "Cohere", SL_FAMILY_COHERE_COMMAND, PROMPTS, OD, 4096, 4096, 1, 0},
    {"cohere.command-r-v1:0", "Command R", "Cohere", SL_FAMILY_COHERE_COMMAND_R, 0, OD, 128000, 4000, 1, 0},
    {"cohere.command-r-plus-v1:0", "Command R+", "Cohere", SL_FAMILY_COHERE_COMMAND_R, 0, OD, 128000, 4000, 1, 0},
    {"cohere.embed-english-v3", "Embed English", "Cohere", SL_FAMILY_COHERE_EMBED, EMBEDS, OD, 512, 0, 1, 0},
    {"cohere.embed-multilingual-v3", "Embed Multilingual", "Cohere", SL_FAMILY_COHERE_EMBED, EMBEDS, OD, 512, 0, 1, 0},

    {"ai21.j2-mid-v1", "Jurassic-2 Mid", "AI21 Labs", JURASSIC, OD, 8192, 8191, 1, 0},
    {"ai21.j2-ultra-v1", "Jurassic-2 Ultra", "AI21 Labs", JURASSIC, OD, 8192, 8191, 1, 0},

    {"deepseek.r1-v1:0", "DeepSeek-R1", "DeepSeek", SL_FAMILY_DEEPSEEK, REASONS, US, 128000, 32768, 1, 0},
    {"openai.gpt-oss-20b-1:0", "gpt-oss-20b", "OpenAI", SL_FAMILY_GPT_OSS, REASONS, OD | MANTLE, 128000, 16384, 1, 0},
    {"openai.gpt-oss-120b-1:0", "gpt-oss-120b", "OpenAI", SL_FAMILY_GPT_OSS, REASONS, OD | MANTLE, 128000, 16384, 1, 0},

    GONE("meta.llama2-13b-chat-v1", "Llama 2 Chat 13B", META, SL_FAMILY_LLAMA2, 2048),
    GONE("meta.llama2-70b-chat-v1", "Llama 2 Chat 70B", META, SL_FAMILY_LLAMA2, 2048),
    GONE("meta.llama3-1-405b-instruct-v1:0", "Llama 3.1 405B Instruct", META, SL_FAMILY_LLAMA3, 8192),
    GONE("meta.llama3-2-1b-instruct-v1:0", "Llama 3.2 1B Instruct", META, SL_FAMILY_LLAMA3, 8192),
    GONE("meta.llama3-2-3b-instruct-v1:0", "Llama 3.2 3B Instruct", META, SL_FAMILY_LLAMA3, 8192),
    GONE("meta.llama3-2-11b-instruct-v1:0", "Llama 3.2 11B Instruct", META, SL_FAMILY_LLAMA3, 8192),
    GONE("meta.llama3-2-90b-instruct-v1:0", "Llama 3.2 90B Instruct", META, SL_FAMILY_LLAMA3, 8192),
    GONE("anthropic.claude-v2:1", "Claude", "Anthropic", SL_FAMILY_CLAUDE, 4096),
    GONE("anthropic.claude-instant-v1", "Claude Instant", "Anthropic", SL_FAMILY_CLAUDE, 4096),
    GONE("anthropic.claude-3-haiku-20240307-v1:0", "Claude 3 Haiku", "Anthropic", SL_FAMILY_CLAUDE, 4096),
    GONE("anthropic.claude-3-sonnet-20240229-v1:0", "Claude 3 Sonnet", "Anthropic", SL_FAMILY_CLAUDE, 4096),
    GONE("anthropic.claude-3-5-sonnet-20240620-v1:0", "Claude 3.5 Sonnet", "Anthropic", SL_FAMILY_CLAUDE, 4096),
    GONE("anthropic.claude-3-7-sonnet-20250219-v1:0", "Claude 3.7 Sonnet", "Anthropic", SL_FAMILY_CLAUDE, 64000),
    GONE("anthropic.claude-sonnet-4-20250514-v1:0", "Claude Sonnet 4", "Anthropic", SL_FAMILY_CLAUDE, 64000),
    /* clang-format on */
};

/* What ARNs that name no model stand for. */
#define UNNAMED "meta.llama3-3-70b-instruct-v1:0"

static const struct {
    const char *prefix;  /* of profile ids */
    const char *regions; /* a profile is called from regions that begin so */
    const char *but;     /* and not so */
} channels[SL_SIM_CHANNELS] = {
    [SL_SIM_US] = {"us.", "us-", "us-gov-"},        [SL_SIM_EU] = {"eu.", "eu-", NULL},
    [SL_SIM_APAC] = {"apac.", "ap-", NULL},         [SL_SIM_AU] = {"au.", "ap-southeast-", NULL},
    [SL_SIM_JP] = {"jp.", "ap-northeast-", NULL},   [SL_SIM_CA] = {"ca.", "ca-", NULL},
    [SL_SIM_US_GOV] = {"us-gov.", "us-gov-", NULL}, [SL_SIM_GLOBAL] = {"global.", "", "us-gov-"},
};

size_t sl_sim_model_count(void) {
    return sizeof models / sizeof models[0];
}

const struct sl_sim_model *sl_sim_model_at(size_t index) {
    return &models[index];
}

size_t sl_sim_model_index(const struct sl_sim_model *model) {
    return (size_t)(model - models);
}

/* True for "", "-1:0", "-v1:0", "-20250929-v1:0": what may be left out of an id. */
static bool is_version(struct sl_slice s) {
    if (s.len && s.ptr[0] != '-')
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("-v:0123456789", s.ptr[i]))
            return false;
    return true;
}

const struct sl_sim_model *sl_sim_model_find(struct sl_slice id) {
    for (size_t i = 0; i < sl_sim_model_count(); i++)
        if (sl_slice_eq(id, sl_slice_str(models[i].id)))
            return &models[i];
    return NULL;
}

struct sl_slice sl_sim_channel_prefix(enum sl_sim_channel channel) {
    return sl_slice_str(channels[channel].prefix);
}

bool sl_sim_channel_serves(enum sl_sim_channel channel, struct sl_slice region) {
    if (!channels[channel].prefix)
        return true;
    if (channels[channel].but && sl_slice_starts(region, sl_slice_str(channels[channel].but)))
        return false;
    return sl_slice_starts(region, sl_slice_str(channels[channel].regions));
}

/* Takes a profile's prefix off *id; SL_SIM_ON_DEMAND where there is none. */
static enum sl_sim_channel take_prefix(struct sl_slice *id) {
    for (unsigned c = 0; c < SL_SIM_CHANNELS; c++) {
        struct sl_slice prefix = sl_sim_channel_prefix((enum sl_sim_channel)c);
        if (prefix.len && sl_slice_starts(*id, prefix)) {
            *id = sl_slice_skip(*id, prefix.len);
            return (enum sl_sim_channel)c;
        }
    }
    return SL_SIM_ON_DEMAND;
}

static int refuse_id(struct sl_sim_refusal *no) {
    return sl_sim_refuse(no, SL_FAILURE_VALIDATION, "The provided model identifier is invalid.");
}

static int resolve_named(struct sl_slice id, struct sl_slice region, struct sl_sim_target *out,
                         struct sl_sim_refusal *no) {
    struct sl_slice base = id;
    enum sl_sim_channel channel = take_prefix(&base);
    const struct sl_sim_model *model = sl_sim_model_find(base);
    if (!model || !sl_sim_channel_serves(channel, region))
        return refuse_id(no);
    if (model->flags & SL_SIM_MODEL_RETIRED)
        return sl_sim_refuse(no, SL_FAILURE_NOT_FOUND,
                             "This model version has reached the end of its life. Please refer to "
                             "the AWS documentation for more details.");
    if (!sl_sim_model_has(model, channel)) {
        if (channel != SL_SIM_ON_DEMAND)
            return refuse_id(no);
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                             "Invocation of model ID %.*s with on-demand throughput isn\u2019t "
                             "supported. Retry your request with the ID or ARN of an inference "
                             "profile that contains this model.",
                             SL_FMT(id));
    }
    *out = (struct sl_sim_target){model, channel};
    return 0;
}

int sl_sim_model_resolve(struct sl_slice id, struct sl_slice region, struct sl_sim_target *out,
                         struct sl_sim_refusal *no) {
    switch (sl_model_id_kind(id)) {
    case SL_MODEL_ID_BASE:
    case SL_MODEL_ID_PROFILE:
    case SL_MODEL_ID_FOUNDATION_ARN:
    case SL_MODEL_ID_PROFILE_ARN:
        return resolve_named(sl_model_id_bare(id), region, out, no);
    case SL_MODEL_ID_OTHER:
        return refuse_id(no);
    default:
        *out = (struct sl_sim_target){sl_sim_model_find(SL_LIT(UNNAMED)), SL_SIM_OTHER_ARN};
        return 0;
    }
}

int sl_sim_model_resolve_mantle(struct sl_slice id, struct sl_sim_target *out,
                                struct sl_sim_refusal *no) {
    for (size_t i = 0; id.len && i < sl_sim_model_count(); i++) {
        const struct sl_sim_model *m = &models[i];
        struct sl_slice full = sl_slice_str(m->id);
        if (sl_sim_model_has(m, SL_SIM_MANTLE) && sl_slice_starts(full, id) &&
            is_version(sl_slice_skip(full, id.len))) {
            *out = (struct sl_sim_target){m, SL_SIM_MANTLE};
            return 0;
        }
    }
    return sl_sim_refuse(no, SL_FAILURE_NOT_FOUND, "The model '%.*s' does not exist", SL_FMT(id));
}
