/*
 * The simulator's catalogue: one table of models, with what Bedrock knows about each, and how the
 * ids and ARNs of a request path lead to it. An id names a model and a channel to it; each channel
 * has quotas of its own, as on AWS.
 */
#ifndef SIM_MODELS_H
#define SIM_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/refuse.h"
#include "sluice/base/slice.h"
#include "sluice/core/model.h"

enum sl_sim_channel {
    SL_SIM_ON_DEMAND, /* the bare id */
    SL_SIM_US,
    SL_SIM_EU,
    SL_SIM_APAC,
    SL_SIM_AU,
    SL_SIM_JP,
    SL_SIM_CA,
    SL_SIM_US_GOV,
    SL_SIM_GLOBAL,
    SL_SIM_OTHER_ARN, /* provisioned, custom, imported, application profiles … */
    SL_SIM_MANTLE,
    SL_SIM_CHANNELS
};

enum {
    SL_SIM_MODEL_IMAGES = 1,     /* takes images */
    SL_SIM_MODEL_EMBEDS = 2,     /* gives embeddings, not text */
    SL_SIM_MODEL_RETIRED = 4,    /* past its end of life */
    SL_SIM_MODEL_LEGACY = 8,     /* still served, end of life announced */
    SL_SIM_MODEL_REASONS = 16,   /* always thinks aloud */
    SL_SIM_MODEL_NO_STREAM = 32, /* no streaming operations */
    /* What Converse cannot do with it ("Supported models and model features"). */
    SL_SIM_MODEL_NO_SYSTEM = 64,
    SL_SIM_MODEL_NO_TOOLS = 128,
    SL_SIM_MODEL_NO_CHAT = 256 /* one prompt of the user's, no history */
};

struct sl_sim_model {
    const char *id, *name, *provider;
    enum sl_family family;
    unsigned flags;
    unsigned channels; /* bit per enum sl_sim_channel, of those that id alone reaches */
    int64_t context, max_output;
    int64_t burndown;    /* output tokens count this many times against the quota */
    int64_t cache_least; /* tokens a cached prefix must have; 0: no prompt caching */
};

size_t sl_sim_model_count(void);
const struct sl_sim_model *sl_sim_model_at(size_t index);
size_t sl_sim_model_index(const struct sl_sim_model *model);
/* By base id. */
const struct sl_sim_model *sl_sim_model_find(struct sl_slice id);
static inline bool sl_sim_model_has(const struct sl_sim_model *model, enum sl_sim_channel channel) {
    return model->channels >> channel & 1;
}

/* "us." for SL_SIM_US; empty for channels that are no profile. */
struct sl_slice sl_sim_channel_prefix(enum sl_sim_channel channel);
/* Whether a profile of that channel may be called from the region. */
bool sl_sim_channel_serves(enum sl_sim_channel channel, struct sl_slice region);

struct sl_sim_target {
    const struct sl_sim_model *model;
    enum sl_sim_channel channel;
};
/* Resolves what a path (decoded) says, or refuses as Bedrock does. */
SL_NODISCARD int sl_sim_model_resolve(struct sl_slice id, struct sl_slice region,
                                      struct sl_sim_target *out, struct sl_sim_refusal *no);
/*
 * The same for bedrock-mantle, which knows bare ids only, also without their version
 * ("openai.gpt-oss-20b" for "openai.gpt-oss-20b-1:0").
 */
SL_NODISCARD int sl_sim_model_resolve_mantle(struct sl_slice id, struct sl_sim_target *out,
                                             struct sl_sim_refusal *no);

#endif
