/*
 * Llama 2 prompts in the template of Llama 3 (Meta's model cards). Scripts written for the
 * withdrawn models build "[INST]" prompts by hand; their successors read another template.
 */
#ifndef SLUICE_SRC_DIALECT_LLAMA_H
#define SLUICE_SRC_DIALECT_LLAMA_H

#include "sluice/base/buf.h"
#include "sluice/base/slice.h"

/*
 * Appends the prompt of Llama 3 that says the same. A text without "[INST]" is a plain completion
 * and is appended as it is. `llama4` picks Llama 4's header tokens.
 */
SL_NODISCARD int sl_llama_from_llama2(struct sl_buf *out, struct sl_slice prompt, bool llama4);

#endif
