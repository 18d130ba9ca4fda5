/*
 * The answer to an ask, whole and before a byte of it is sent: blocks of thought, text or tool use,
 * why it stops, and its usage. It depends on the model, the prompt, the parameters and the seed,
 * and on nothing else, so that a stream and a whole answer say the same.
 */
#ifndef SIM_GENERATE_H
#define SIM_GENERATE_H

#include "sim/ask.h"
#include "sluice/core/usage.h"

enum sl_sim_stop {
    SL_SIM_STOP_END,
    SL_SIM_STOP_TOOL,
    SL_SIM_STOP_MAX_TOKENS,
    SL_SIM_STOP_SEQUENCE,
    SL_SIM_STOP_GUARDRAIL,
    SL_SIM_STOPS
};

enum sl_sim_block_kind { SL_SIM_BLOCK_THOUGHT, SL_SIM_BLOCK_TEXT, SL_SIM_BLOCK_TOOL };

struct sl_sim_block {
    enum sl_sim_block_kind kind;
    struct sl_slice text;     /* the thought, the text, or the tool's input as JSON */
    struct sl_slice id, name; /* of a tool use; id also signs a thought */
};

struct sl_sim_plan {
    struct sl_sim_block blocks[2];
    size_t count;
    size_t bytes; /* of all blocks' text */
    enum sl_sim_stop stop;
    struct sl_slice stop_sequence; /* which one */
    struct sl_usage usage;         /* all four are known */
};

/* All slices of the plan live in the ask's arena. SL_E_NOMEM. */
SL_NODISCARD int sl_sim_generate(struct sl_sim_ask *ask, uint64_t seed, struct sl_sim_plan *out);

/*
 * A vector for a text, in millionths, of length one: texts that share words lie near each other.
 */
void sl_sim_embed(struct sl_slice text, uint64_t seed, int32_t *out, uint32_t dimensions);
#define SL_SIM_MAX_DIMENSIONS 1536

#endif
