/* Withdrawn models: the call goes to a living successor, by splicing what names the old one. */
#ifndef SLUICE_SRC_DIALECT_RETIRED_H
#define SLUICE_SRC_DIALECT_RETIRED_H

#include "sluice/dialect/dialect.h"
#include "sluice/wire/json.h"

/*
 * Replaces the model in the path and, where the template changed, the prompt in the body, and notes
 * both in call->served_model and call->edited. prompt: the fact for "prompt", or NULL when the body
 * was not read. A call that names no withdrawn model is left as it is.
 */
SL_NODISCARD int sl_retired_replace(struct sl_decode *d, const struct sl_json_fact *prompt);

/* The same for one of several calls of a request (sl_dialect.part), made in that call's arena: it
 * is then a call of the successor. */
SL_NODISCARD int sl_retired_replace_part(const struct sl_decode *d, struct sl_arena *arena,
                                         struct sl_call *call);

/* The model that will serve a call of this one: whose form a body written here must have. */
struct sl_slice sl_retired_served(const struct sl_decode *d, struct sl_slice model);

#endif
