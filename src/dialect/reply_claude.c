/*
 * Claude's own document and events, as InvokeModel carries them (Anthropic API reference,
 * Messages). One table leads from a block's type to what is read of it: in a document the block
 * holds all of its content, in a stream only what its start says.
 */
#include "dialect/reply_own.h"
#include "dialect/usage.h"

/* Pieces that a block, or a delta, holds: which member is what. */
static const struct piece {
    const char *member;
    enum sl_reply_kind kind;
} pieces[] = {
    {"text", SL_REPLY_TEXT},          {"partial_json", SL_REPLY_TOOL_INPUT},
    {"thinking", SL_REPLY_REASONING}, {"signature", SL_REPLY_SIGNATURE},
    {"data", SL_REPLY_REDACTED},
};

static const struct kind {
    const char *type;
    enum sl_reply_block block;
} kinds[] = {
    {"text", SL_BLOCK_TEXT},
    {"tool_use", SL_BLOCK_TOOL},
    {"thinking", SL_BLOCK_REASONING},
    {"redacted_thinking", SL_BLOCK_REASONING},
};

static const char *const delta_types[] = {"text_delta", "input_json_delta", "thinking_delta",
                                          "signature_delta"};

/* Claude's words on the left; those it shares with Converse stay as they are. */
static const struct {
    const char *claude;
    struct sl_slice converse;
} reasons[] = {
    {"end_turn", SL_LIT("end_turn")},
    {"tool_use", SL_LIT("tool_use")},
    {"max_tokens", SL_LIT("max_tokens")},
    {"stop_sequence", SL_LIT("stop_sequence")},
    {"refusal", SL_LIT("content_filtered")},
    {"pause_turn", SL_LIT("end_turn")},
    {"model_context_window_exceeded", SL_LIT("model_context_window_exceeded")},
};

static int read_pieces(struct sl_reply_reader *r, const struct sl_json_view *v,
                       const struct sl_json_node *from) {
    int err = SL_OK;
    for (size_t i = 0; !err && i < sizeof(pieces) / sizeof(pieces[0]); i++)
        err = sl_reply_piece(r, pieces[i].kind, v, sl_json_get(v, from, pieces[i].member));
    return err;
}

static enum sl_reply_block block_of(const struct sl_json_view *v,
                                    const struct sl_json_node *block) {
    const struct sl_json_node *type = sl_json_get(v, block, "type");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (sl_json_eq(v, type, kinds[i].type))
            return kinds[i].block;
    return SL_BLOCK_OTHER;
}

static int begin_block(struct sl_reply_reader *r, const struct sl_json_view *v,
                       const struct sl_json_node *block, int64_t upstream) {
    struct sl_reply_block_start start = {
        .block = block_of(v, block), .upstream = upstream, .raw = sl_json_raw(v, block)};
    if (start.block == SL_BLOCK_TOOL) {
        start.id = sl_json_get(v, block, "id");
        start.name = sl_json_get(v, block, "name");
    }
    int err = sl_reply_block(r, v, &start);
    if (!err && start.block != SL_BLOCK_OTHER)
        err = read_pieces(r, v, block);
    return err;
}

static int document_block(struct sl_reply_reader *r, const struct sl_json_view *v,
                          const struct sl_json_node *block) {
    int err = begin_block(r, v, block, (int64_t)r->index);
    if (!err && r->block == SL_BLOCK_TOOL)
        err = sl_reply_text(r, SL_REPLY_TOOL_INPUT, sl_json_raw(v, sl_json_get(v, block, "input")));
    if (!err && r->block == SL_BLOCK_OTHER)
        err = sl_reply_text(r, SL_REPLY_OTHER, sl_json_raw(v, block));
    return err ? err : sl_reply_block_end(r);
}

/* `from` holds stop_reason and stop_sequence; a guardrail's word, at the root, weighs more. */
static int stop(struct sl_reply_reader *r, const struct sl_json_view *v,
                const struct sl_json_node *from) {
    const struct sl_json_node *reason = sl_json_get(v, from, "stop_reason");
    const struct sl_json_node *action =
        sl_json_get(v, sl_json_root(v), "amazon-bedrock-guardrailAction");
    struct sl_slice word =
        sl_json_eq(v, action, "INTERVENED") ? SL_LIT("guardrail_intervened") : SL_LIT("end_turn");
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (!sl_json_eq(v, action, "INTERVENED") && sl_json_eq(v, reason, reasons[i].claude))
            word = reasons[i].converse;
    return sl_reply_stop(r, v, word, sl_json_get(v, from, "stop_sequence"), SL_EMPTY);
}

static int document(struct sl_reply_reader *r, const struct sl_json_view *v) {
    const struct sl_json_node *root = sl_json_root(v);
    const struct sl_json_node *content = sl_json_get(v, root, "content");
    if (!sl_json_is(content, SL_JSON_IS_ARRAY))
        return SL_E_PROTOCOL;
    int err = sl_reply_start(r, sl_json_raw(v, root));
    const struct sl_json_node *block = sl_json_child(v, content);
    for (; !err && block; block = sl_json_next(v, block))
        err = document_block(r, v, block);
    if (!err)
        err = stop(r, v, root);
    return err ? err : sl_reply_usage(r, SL_EMPTY);
}

static int delta(struct sl_reply_reader *r, const struct sl_json_view *v,
                 const struct sl_json_node *from) {
    const struct sl_json_node *type = sl_json_get(v, from, "type");
    for (size_t i = 0; i < sizeof(delta_types) / sizeof(delta_types[0]); i++)
        if (sl_json_eq(v, type, delta_types[i]))
            return read_pieces(r, v, from);
    return sl_reply_text(r, SL_REPLY_OTHER, sl_json_raw(v, from));
}

static int event(struct sl_reply_reader *r, const struct sl_json_view *v, struct sl_slice frame) {
    const struct sl_json_node *root = sl_json_root(v), *type = sl_json_get(v, root, "type");
    int64_t upstream = 0;
    (void)frame;
    (void)sl_json_int(v, sl_json_get(v, root, "index"), &upstream);
    if (sl_json_eq(v, type, "content_block_delta"))
        return r->open && r->upstream == upstream ? delta(r, v, sl_json_get(v, root, "delta"))
                                                  : SL_E_PROTOCOL;
    if (sl_json_eq(v, type, "content_block_start"))
        return begin_block(r, v, sl_json_get(v, root, "content_block"), upstream);
    if (sl_json_eq(v, type, "content_block_stop"))
        return r->open && r->upstream == upstream ? sl_reply_block_end(r) : SL_OK;
    bool first = sl_json_eq(v, type, "message_start"), last = sl_json_eq(v, type, "message_stop");
    bool stops = sl_json_eq(v, type, "message_delta");
    if (first || stops || last)
        sl_usage_from_json(&r->usage, v->text);
    if (first)
        return sl_reply_start(r, sl_json_raw(v, sl_json_get(v, root, "message")));
    if (stops)
        return stop(r, v, sl_json_get(v, root, "delta"));
    return last ? sl_reply_usage(r, SL_EMPTY) : SL_OK;
}

const struct sl_reply_shape sl_reply_claude = {document, event};
