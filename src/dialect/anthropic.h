/* What the files of Anthropic's dialect share. */
#ifndef SLUICE_SRC_DIALECT_ANTHROPIC_H
#define SLUICE_SRC_DIALECT_ANTHROPIC_H

#include "dialect/put.h"
#include "sluice/dialect/dialect.h"

/* Values in one event, or one message, of Claude's. */
#define SL_ANTHROPIC_NODES_MAX ((uint32_t)1 << 18)

/* --- anthropic_splice.c: a request for Claude on Bedrock, made of the client's bytes */

/* What InvokeModel's body differs in from the client's. */
struct sl_anthropic_splice {
    struct sl_slice betas; /* values of the header anthropic-beta, joined by commas */
    bool needs_max_tokens; /* CountTokens judges a body by InvokeModel's rules */
};
/* Appends InvokeModel's body: without `model` and `stream`, with version and betas. */
SL_NODISCARD int sl_anthropic_splice(const struct sl_json_view *view,
                                     const struct sl_anthropic_splice *how, struct sl_buf *out);
/* Appends an object's members, as they stand, but for those of these names. */
void sl_anthropic_members(struct sl_put *p, const struct sl_json_view *view,
                          const struct sl_json_node *object, const char *const *without,
                          size_t count);

/* --- anthropic_converse.c: a request for any other model */

struct sl_anthropic_refusal {
    enum sl_failure kind; /* NONE: none */
    char text[160];
};
/*
 * Appends Converse's body; `counting`: only what CountTokens takes of it. A refusal (SL_OK, with
 * refusal->kind) where the request is not Anthropic's or asks for what Converse has not.
 * SL_E_LIMIT, SL_E_NOMEM.
 */
SL_NODISCARD int sl_anthropic_to_converse(const struct sl_json_view *view, struct sl_slice model,
                                          bool counting, struct sl_buf *out,
                                          struct sl_anthropic_refusal *refusal);

/* --- anthropic_names.c */

/*
 * The Bedrock id that an Anthropic name means ("claude-sonnet-4-5" → "anthropic.claude-sonnet-4-5-
 * 20250929-v1:0"), in arena; a name of any other form stays as it is.
 */
SL_NODISCARD int sl_anthropic_bedrock_id(struct sl_arena *arena, struct sl_slice name,
                                         struct sl_slice *id);

/* --- anthropic_error.c */

/* The status that goes with a failure, as SDKs judge by it whether to try again. */
int sl_anthropic_status(enum sl_failure kind);
/* Appends {"type":"error","error":{…},"request_id":…}; id NULL: not known. */
SL_NODISCARD int sl_anthropic_error_body(struct sl_buf *out, enum sl_failure kind,
                                         struct sl_slice message, const char *id);
/* Appends that as an event. */
SL_NODISCARD int sl_anthropic_error_event(struct sl_buf *out, enum sl_failure kind,
                                          struct sl_slice message, const char *id);
/* The head of a document, or of a stream of events. */
SL_NODISCARD int sl_anthropic_head(struct sl_response_head *head, struct sl_arena *arena,
                                   const struct sl_ask *ask);

/* --- anthropic_encode.c, anthropic_native.c: answers */

/* Whether a tool's input, put together from its pieces, is whole: a model that reached its maximum
 * may have broken off amid it. */
bool sl_anthropic_is_json(struct sl_slice text);

/* From any answer that has a reader, to a message or its events. SL_E_NOTFOUND: it has none. */
SL_NODISCARD int sl_anthropic_encoder_new(const struct sl_ask *ask, const struct sl_source *source,
                                          struct sl_arena *arena, struct sl_encoder **out);
/* From Claude's own answers (InvokeModel, stream or not): nothing of them is lost. */
SL_NODISCARD int sl_anthropic_native_new(const struct sl_ask *ask, const struct sl_source *source,
                                         struct sl_arena *arena, struct sl_encoder **out);
/* From CountTokens. */
SL_NODISCARD int sl_anthropic_count_new(const struct sl_ask *ask, struct sl_arena *arena,
                                        struct sl_encoder **out);

#endif
