/* Guardrails: one word, BLOCKME, is what every guardrail here is against. */
#ifndef SIM_GUARDRAIL_H
#define SIM_GUARDRAIL_H

#include <cjson/cJSON.h>

#include "sim/refuse.h"
#include "sim/write.h"

SL_NODISCARD int sl_sim_guardrail_apply(const cJSON *body, struct sl_slice id,
                                        struct sl_slice version, struct sl_sim_out *out,
                                        struct sl_sim_refusal *no);
SL_NODISCARD int sl_sim_guardrail_checks(const cJSON *body, struct sl_sim_out *out,
                                         struct sl_sim_refusal *no);

#endif
