/*
 * Defaults by family: AWS's published quotas of accounts in us-east-1 and us-west-2 at the time
 * each family came out, as remembered, rounded down. Unverified, and new accounts get less: a
 * throttle soon says so. Profiles commonly have twice the on-demand figures; a day is TPM x 1440
 * and so no limit of its own.
 */
#include "sluice/core/quota.h"

/* Longer prefixes first: the first match wins. */
static const struct {
    struct sl_slice prefix;
    uint64_t rpm, tpm; /* of a profile */
} table[] = {
    {SL_LIT("anthropic.claude-3-haiku"), 1000, 2000000},
    {SL_LIT("anthropic.claude-3-5-haiku"), 1000, 2000000},
    {SL_LIT("anthropic.claude-3-5-sonnet"), 100, 800000},
    {SL_LIT("anthropic.claude-haiku"), 250, 1000000},
    {SL_LIT("anthropic.claude-opus"), 100, 500000},
    {SL_LIT("anthropic.claude"), 200, 200000},
    {SL_LIT("meta.llama"), 800, 600000},
    {SL_LIT("amazon.nova-micro"), 2000, 4000000},
    {SL_LIT("amazon.nova-lite"), 2000, 4000000},
    {SL_LIT("amazon.nova"), 500, 1600000},
    {SL_LIT("amazon.titan-embed"), 2000, 300000},
    {SL_LIT("amazon.titan-text"), 400, 300000},
    {SL_LIT("mistral."), 400, 300000},
    {SL_LIT("cohere.embed"), 2000, 300000},
    {SL_LIT("cohere."), 400, 300000},
    {SL_LIT("deepseek."), 200, 200000},
    {SL_LIT("openai."), 1000, 300000},
};

bool sl_quota_default(struct sl_slice model, enum sl_channel channel, struct sl_quota_limits *out) {
    struct sl_slice base = sl_model_base(model);
    uint64_t share = channel == SL_CHANNEL_ON_DEMAND && !sl_model_info(model)->profile_only ? 2 : 1;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (!sl_slice_starts(base, table[i].prefix))
            continue;
        *out = (struct sl_quota_limits){.rpm = table[i].rpm / share, .tpm = table[i].tpm / share};
        return true;
    }
    return false;
}
