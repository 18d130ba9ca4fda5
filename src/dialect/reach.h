/*
 * The way to a text model that Converse does not serve, or not with all that a conversation may
 * hold. Dialects write Converse bodies; for such a model that body becomes the model's own
 * InvokeModel body, or loses its system prompt to the first turn.
 */
#ifndef SLUICE_SRC_DIALECT_REACH_H
#define SLUICE_SRC_DIALECT_REACH_H

#include "sluice/dialect/dialect.h"

/*
 * For a body of Converse or ConverseStream to a call of `model`: appends to `out` what is sent
 * instead, and names the operation; `out` stays empty where the body can go as it is. May refuse
 * (d->failure) what a text cannot carry. Notes in d->call what was edited, and headers that say
 * what the new body cannot.
 */
SL_NODISCARD int sl_reach_adapt(struct sl_decode *d, struct sl_slice model, struct sl_slice body,
                                enum sl_operation *op, struct sl_buf *out);

#endif
