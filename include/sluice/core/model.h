/*
 * What is known about models: family (which decides body shape and prompt
 * template), and which withdrawn ids have a living successor.
 * Sources: Bedrock user guide, model lifecycle and inference parameters.
 */
#ifndef SLUICE_CORE_MODEL_H
#define SLUICE_CORE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/slice.h"

enum sl_family {
    SL_FAMILY_UNKNOWN,
    SL_FAMILY_CLAUDE,
    SL_FAMILY_LLAMA2,
    SL_FAMILY_LLAMA3,
    SL_FAMILY_LLAMA4,
    SL_FAMILY_NOVA,
    SL_FAMILY_TITAN_TEXT,
    SL_FAMILY_TITAN_EMBED,
    SL_FAMILY_MISTRAL,
    SL_FAMILY_COHERE_COMMAND,
    SL_FAMILY_COHERE_COMMAND_R,
    SL_FAMILY_COHERE_EMBED,
    SL_FAMILY_DEEPSEEK,
    SL_FAMILY_GPT_OSS,
    SL_FAMILY_JURASSIC,
};

/* Family of a model id, profile id or foundation-model ARN ("us.meta.llama3-3-…" → LLAMA3). */
enum sl_family sl_model_family(struct sl_slice model);
/* "us.", "eu.", "global." … at the start of a profile id; empty for a base id. */
struct sl_slice sl_model_geo_prefix(struct sl_slice model);
/*
 * What scheduling and accounting need to know of a model. Figures are Bedrock's published ones
 * where there are any; those it does not publish are marked in the table.
 */
struct sl_model_info {
    uint32_t burndown;   /* output tokens count this many times against the tokens quota */
    uint32_t max_output; /* that Bedrock reserves when a call sets no maximum */
    uint32_t cache_min;  /* fewest tokens of a prefix that prompt caching keeps; 0: not supported */
    uint32_t image_tokens; /* most that one image costs */
    bool profile_only;     /* not served by its bare id: an inference profile must be named */
};
const struct sl_model_info *sl_model_info(struct sl_slice model);

/* Quotas are kept apart by these. */
enum sl_channel { SL_CHANNEL_ON_DEMAND, SL_CHANNEL_CROSS_REGION, SL_CHANNEL_GLOBAL };
enum sl_channel sl_model_channel(struct sl_slice model);
/* The id without geography and ARN: "us.meta.llama3-3-…" → "meta.llama3-3-…". */
struct sl_slice sl_model_base(struct sl_slice model);
/* The geography whose profiles a region may call: "us." for us-east-1; empty if unknown. */
struct sl_slice sl_region_geo_prefix(struct sl_slice region);

/* Whether a pattern, in which '*' stands for any text, matches a model's id. */
bool sl_model_matches(struct sl_slice pattern, struct sl_slice model);

/* The built-in successor of a withdrawn model, or the empty slice. */
struct sl_slice sl_model_successor(struct sl_slice model);

#endif
