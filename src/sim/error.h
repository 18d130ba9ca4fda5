/* Errors in the shape of the API that was spoken to. */
#ifndef SIM_ERROR_H
#define SIM_ERROR_H

#include "sim/refuse.h"
#include "sim/route.h"
#include "sim/write.h"

/*
 * Writes the body; returns the status. *type is what x-amzn-ErrorType says, static storage or the
 * refusal's arena; empty where the API has none.
 */
int sl_sim_error_write(struct sl_sim_out *out, enum sl_sim_api api, const struct sl_sim_refusal *no,
                       struct sl_slice request_id, struct sl_slice *type);

#endif
