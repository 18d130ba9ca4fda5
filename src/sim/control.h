/* The control plane: foundation models, inference profiles, service quotas. Read-only. */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H

#include <cjson/cJSON.h>

#include "sim/refuse.h"
#include "sim/write.h"
#include "sluice/sim/sim.h"

#define SL_SIM_ACCOUNT "123456789012"

/* Each writes its response, or refuses. query is the raw one; id is decoded. */
SL_NODISCARD int sl_sim_list_models(struct sl_slice query, struct sl_slice region,
                                    struct sl_sim_out *out, struct sl_sim_refusal *no);
SL_NODISCARD int sl_sim_get_model(struct sl_slice id, struct sl_slice region,
                                  struct sl_sim_out *out, struct sl_sim_refusal *no);
SL_NODISCARD int sl_sim_list_profiles(struct sl_slice query, struct sl_slice region,
                                      struct sl_sim_out *out, struct sl_sim_refusal *no);
SL_NODISCARD int sl_sim_get_profile(struct sl_slice id, struct sl_slice region,
                                    struct sl_sim_out *out, struct sl_sim_refusal *no);
/* Service Quotas' ListServiceQuotas and ListAWSDefaultServiceQuotas: only quotas that are set. */
SL_NODISCARD int sl_sim_list_quotas(struct sl_slice amz_target, const cJSON *body,
                                    const struct sl_sim_settings *settings, struct sl_sim_out *out,
                                    struct sl_sim_refusal *no);
/* bedrock-mantle's GET /v1/models, in OpenAI's shape. */
SL_NODISCARD int sl_sim_list_mantle_models(struct sl_sim_out *out);

#endif
