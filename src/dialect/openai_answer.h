/* What the answers of OpenAI's APIs have in common. */
#ifndef SLUICE_SRC_DIALECT_OPENAI_ANSWER_H
#define SLUICE_SRC_DIALECT_OPENAI_ANSWER_H

#include "dialect/openai.h"

/* As OpenAI counts: input includes what came from the cache. Unknown counts are 0. */
struct sl_openai_tokens {
    int64_t input, cached, written, output;
};
struct sl_openai_tokens sl_openai_tokens(const struct sl_usage *usage);
/* "stop", "length", "tool_calls", "content_filter" for Converse's stop reason. */
const char *sl_openai_finish_reason(struct sl_slice stop_reason, bool tool_calls);
/* "name":"prefix" + the exchange's id without hyphens. */
void sl_openai_put_id(struct sl_put *p, const char *name, const char *prefix, const char *id);
/* One event with `data`. event NULL: no name. */
SL_NODISCARD int sl_openai_send(struct sl_buf *out, const char *event, const struct sl_buf *data);

#endif
