/*
 * Body shapes: how each model family and each API writes questions and answers. A shape decodes a
 * request's tree into an ask, and encodes the plan whole or step by step.
 */
#ifndef SIM_BODIES_H
#define SIM_BODIES_H

#include "sim/route.h"
#include "sim/stream.h"

struct sl_sim_shape {
    /* Fills the ask, whose model is known, or refuses. */
    int (*decode)(struct sl_sim_ask *ask, const cJSON *body);
    void (*whole)(struct sl_sim_out *out, const struct sl_sim_reply *reply);
    void (*step)(struct sl_sim_emitter *e, const struct sl_sim_step *step);
    bool named; /* see struct sl_sim_emitter */
};

extern const struct sl_sim_shape sl_sim_shape_converse;
extern const struct sl_sim_shape sl_sim_shape_nova;
extern const struct sl_sim_shape sl_sim_shape_claude;   /* InvokeModel */
extern const struct sl_sim_shape sl_sim_shape_messages; /* /anthropic/v1/messages */
extern const struct sl_sim_shape sl_sim_shape_chat;     /* and gpt-oss */
extern const struct sl_sim_shape sl_sim_shape_responses;
extern const struct sl_sim_shape sl_sim_shape_llama;
extern const struct sl_sim_shape sl_sim_shape_titan;
extern const struct sl_sim_shape sl_sim_shape_mistral;
extern const struct sl_sim_shape sl_sim_shape_command;
extern const struct sl_sim_shape sl_sim_shape_command_r;
extern const struct sl_sim_shape sl_sim_shape_deepseek;
extern const struct sl_sim_shape sl_sim_shape_jurassic; /* has no stream */

/* InvokeModel's shape for a family; NULL for those that embed (see embed.h). */
const struct sl_sim_shape *sl_sim_shape_of(enum sl_family family);
/* The family a body seems to be written for: an ARN may not say. */
enum sl_family sl_sim_family_of_body(const cJSON *body);

/* Decodes what /anthropic/v1/messages/count_tokens takes: the same body, without max_tokens. */
SL_NODISCARD int sl_sim_messages_count(struct sl_sim_ask *ask, const cJSON *body);

/* A message's content in OpenAI's bodies: a string, or parts. */
void sl_sim_openai_content(struct sl_sim_ask *ask, const cJSON *content);

/* For decoders, which are lists of things to check: returns the first error. */
#define SL_SIM_CHECK(call)                                                                         \
    do {                                                                                           \
        int error_ = (call);                                                                       \
        if (error_)                                                                                \
            return error_;                                                                         \
    } while (0)

static inline bool sl_sim_is_thought(const struct sl_sim_block *block) {
    return block->kind == SL_SIM_BLOCK_THOUGHT;
}

#endif
