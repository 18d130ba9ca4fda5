/*
 * The two opt-in edits of an upstream body: markers for Bedrock's prompt caching, and a max_tokens
 * where the client set none. Bytes are spliced in, nothing is re-serialised, so that a prefix that
 * repeats stays byte-exact; each edit is named in call->edited. call->body_sha256 follows;
 * call->meaning stays that of what the client asked. A body that does not fit the pattern, is no
 * JSON or is larger than 1 MiB goes as it is.
 */
#ifndef SLUICE_DIALECT_EDIT_H
#define SLUICE_DIALECT_EDIT_H

#include "sluice/core/call.h"

/* Takes the hash of the body as it is, which decoding leaves out where it takes no time to speak
 * of, since a kept answer needs none. */
void sl_edit_hash(struct sl_call *call);

/*
 * Marks the ends of tools, system prompt and the conversation's head (all but its last message) in
 * Converse bodies and in Claude's own, each where the prefix up to it is at least min_tokens long
 * (taking 4 bytes for a token). A client that set any marker itself is left alone. At most three
 * markers of the four that Bedrock takes. SL_E_NOMEM.
 */
SL_NODISCARD int sl_edit_mark_prompts(struct sl_call *call, struct sl_arena *arena,
                                      uint32_t min_tokens);
/* Converse bodies only; others name it themselves. */
SL_NODISCARD int sl_edit_max_tokens(struct sl_call *call, struct sl_arena *arena,
                                    uint64_t max_tokens);

#endif
