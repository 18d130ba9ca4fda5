/*
 * One answer, both of Bedrock's shapes: what was streamed as a document, and a document as a
 * stream. Converse's go over the reader's events (bedrock_converse.c); InvokeModel's are the
 * model's own JSON, so each family that can be converted has a pair of functions on it
 * (invoke_claude.c, invoke_llama.c; bedrock_invoke.c drives them).
 */
#ifndef SLUICE_SRC_DIALECT_BEDROCK_ENCODE_H
#define SLUICE_SRC_DIALECT_BEDROCK_ENCODE_H

#include "dialect/frames.h"
#include "dialect/put.h"
#include "sluice/core/model.h"
#include "sluice/core/usage.h"
#include "sluice/dialect/encode.h"

int sl_bedrock_encoder(const struct sl_ask *ask, const struct sl_source *source,
                       struct sl_arena *arena, struct sl_encoder **out);
/* For the pair of Converse operations. SL_E_NOMEM. */
int sl_converse_encoder(bool stream, const struct sl_source *source, struct sl_arena *arena,
                        struct sl_encoder **out);
/* For the pair of InvokeModel operations, of a family that has functions for it. */
int sl_invoke_encoder(bool stream, const struct sl_source *source, struct sl_arena *arena,
                      struct sl_encoder **out);

/*
 * The head of the other shape: upstream's headers, in arena, but for the type and length of the
 * body and what is Bedrock's word on them. invoke: the type of a stream's chunks is told too.
 */
int sl_bedrock_head(struct sl_response_head *to, const struct sl_source *source,
                    struct sl_arena *arena, bool stream, bool invoke);

/* What a stream that becomes a document has said so far. */
struct sl_invoke_join {
    struct sl_buf start;                      /* the first event's message, or empty */
    struct sl_buf content;                    /* finished blocks, with commas */
    struct sl_buf block;                      /* the block under way: its start */
    struct sl_buf text, signature, citations; /* of the block, or of all */
    struct sl_buf stop;                       /* the event that told why it ended */
    struct sl_buf last;                       /* the last event, which has the metrics */
    struct sl_usage usage;
    bool open, stopped;
};

struct sl_invoke_shapes {
    /* Appends the frames that a document's stream would have had. metrics: the member for the last
     * one, as JSON. */
    int (*split)(struct sl_buf *out, const struct sl_json_view *document, struct sl_slice metrics);
    int (*take)(struct sl_invoke_join *join, const struct sl_json_view *event);
    int (*join)(struct sl_buf *out, const struct sl_invoke_join *join);
};
extern const struct sl_invoke_shapes sl_invoke_claude, sl_invoke_llama;

#define SL_METRICS_KEY "amazon-bedrock-invocationMetrics"

#endif
