/*
 * What a model said, in one vocabulary, whichever operation it came from: the middle between
 * upstream's shapes (readers) and the clients' APIs (encoders). Converse is its model, because it
 * is the widest.
 *
 *   Converse document ─┐                                   ┌─ chat.completion, chunks, responses
 *   ConverseStream ────┼─▶ reader ─▶ events ─▶ (encoder) ──┼─ Anthropic message, SSE
 *   InvokeModel (Claude, Llama, …), stream or not ─┘       ├─ REST document
 *                                                          └─ Converse document, ConverseStream
 * frames
 */
#ifndef SLUICE_DIALECT_REPLY_H
#define SLUICE_DIALECT_REPLY_H

#include "sluice/core/usage.h"
#include "sluice/dialect/encode.h"

enum sl_reply_kind {
    SL_REPLY_START,      /* once; raw: {"role":…}, or Claude's own message object where native */
    SL_REPLY_BLOCK,      /* a content block begins: `block` type; tool_id, tool_name; raw: what
                            upstream said of it (its toolUse, its start), or empty */
    SL_REPLY_TEXT,       /* text: decoded UTF-8 */
    SL_REPLY_REASONING,  /* text */
    SL_REPLY_SIGNATURE,  /* text: of the reasoning so far */
    SL_REPLY_REDACTED,   /* text: base64 as upstream wrote it */
    SL_REPLY_TOOL_INPUT, /* text: a piece of the input's JSON text, verbatim */
    SL_REPLY_OTHER,      /* raw: a delta or block of a kind unknown here, JSON as it stands */
    SL_REPLY_BLOCK_END,
    SL_REPLY_STOP,  /* stop_reason in Converse's words; raw: additional fields as they stand */
    SL_REPLY_USAGE, /* usage; raw: the whole metadata object (Converse's) as it stands, or empty */
    SL_REPLY_EXCEPTION, /* failure, text: an exception frame amid the stream */
};

enum sl_reply_block { SL_BLOCK_TEXT, SL_BLOCK_REASONING, SL_BLOCK_TOOL, SL_BLOCK_OTHER };

struct sl_reply_event {
    enum sl_reply_kind kind;
    uint32_t index; /* of the content block, from 0, dense */
    enum sl_reply_block block;
    struct sl_slice text, raw;
    struct sl_slice tool_id, tool_name; /* decoded */
    struct sl_slice stop_reason;        /* end_turn, tool_use, max_tokens, stop_sequence, … */
    struct sl_slice stop_sequence;      /* decoded; empty: none told */
    struct sl_usage usage;
    enum sl_failure failure;
};

struct sl_reply_reader;

/*
 * on_event is called from feed and finish; slices live during the call. An error it returns ends
 * the reading and is returned. NULL: SL_E_NOMEM, or no reader for that operation (then *supported
 * is false). Every block of a document comes as BLOCK, deltas (text in one or more pieces),
 * BLOCK_END.
 */
SL_NODISCARD struct sl_reply_reader *
sl_reply_reader_new(const struct sl_source *source,
                    int (*on_event)(void *ctx, const struct sl_reply_event *event), void *ctx,
                    bool *supported);
void sl_reply_reader_free(struct sl_reply_reader *reader);
SL_NODISCARD int sl_reply_reader_feed(struct sl_reply_reader *reader, struct sl_slice bytes);
/* SL_E_PROTOCOL when the answer was not complete. */
SL_NODISCARD int sl_reply_reader_finish(struct sl_reply_reader *reader);

#endif
