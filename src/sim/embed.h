/* The families that embed: Titan and Cohere. Their answer is whole, and made while the ask lives.
 */
#ifndef SIM_EMBED_H
#define SIM_EMBED_H

#include "sim/ask.h"
#include "sim/write.h"

SL_NODISCARD int sl_sim_embed_decode(struct sl_sim_ask *ask, const cJSON *body);
void sl_sim_embed_whole(struct sl_sim_out *out, const struct sl_sim_ask *ask, uint64_t seed,
                        struct sl_slice request_id);

#endif
