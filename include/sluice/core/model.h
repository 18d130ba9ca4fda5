/*
 * What is known about models: family (which decides body shape and prompt
 * template), and which withdrawn ids have a living successor.
 * Sources: Bedrock user guide, model lifecycle and inference parameters.
 */
#ifndef SLUICE_CORE_MODEL_H
#define SLUICE_CORE_MODEL_H

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
};

/* Family of a model id, profile id or foundation-model ARN ("us.meta.llama3-3-…" → LLAMA3). */
enum sl_family sl_model_family(struct sl_slice model);
/* "us.", "eu.", "global." … at the start of a profile id; empty for a base id. */
struct sl_slice sl_model_geo_prefix(struct sl_slice model);
/* The built-in successor of a withdrawn model, or the empty slice. */
struct sl_slice sl_model_successor(struct sl_slice model);

#endif
