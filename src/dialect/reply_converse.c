/*
 * Converse's document and ConverseStream's events (Bedrock Runtime API reference, Converse and
 * ConverseStream). Nova's InvokeModel speaks the same shapes, each event as an object of one
 * member.
 */
#include "dialect/put.h"
#include "dialect/reply_own.h"
#include "dialect/usage.h"

/* One member of a content block's, or a delta's, reasoning. */
static int reasoning(struct sl_reply_reader *r, const struct sl_json_view *v,
                     const struct sl_json_node *node) {
    int err = sl_reply_piece(r, SL_REPLY_REASONING, v, sl_json_get(v, node, "text"));
    if (!err)
        err = sl_reply_piece(r, SL_REPLY_SIGNATURE, v, sl_json_get(v, node, "signature"));
    if (!err)
        err = sl_reply_piece(r, SL_REPLY_REDACTED, v, sl_json_get(v, node, "redactedContent"));
    return err;
}

static int reasoning_block(struct sl_reply_reader *r, const struct sl_json_view *v,
                           const struct sl_json_node *node) {
    int err = sl_reply_need(r, SL_BLOCK_REASONING, r->upstream);
    if (!err)
        err = reasoning(r, v, sl_json_get(v, node, "reasoningText"));
    return err ? err : reasoning(r, v, node);
}

/* {"content":[{"text"}],"citations":[…]}: text, and a delta for each citation, as when streamed. */
static int citations_block(struct sl_reply_reader *r, const struct sl_json_view *v,
                           const struct sl_json_node *node) {
    int err = sl_reply_need(r, SL_BLOCK_TEXT, r->upstream);
    const struct sl_json_node *part = sl_json_child(v, sl_json_get(v, node, "content"));
    for (; !err && part; part = sl_json_next(v, part))
        err = sl_reply_piece(r, SL_REPLY_TEXT, v, sl_json_get(v, part, "text"));
    part = sl_json_child(v, sl_json_get(v, node, "citations"));
    for (; !err && part; part = sl_json_next(v, part)) {
        sl_buf_clear(&r->raw);
        struct sl_put put = {.to = &r->raw};
        sl_put(&put, "{");
        sl_put_member(&put, "citation", sl_json_raw(v, part));
        sl_put(&put, "}");
        err = put.err ? put.err : sl_reply_text(r, SL_REPLY_OTHER, sl_buf_slice(&r->raw));
    }
    return err;
}

static int tool_begin(struct sl_reply_reader *r, const struct sl_json_view *v,
                      const struct sl_json_node *tool, int64_t upstream) {
    struct sl_reply_block_start start = {.block = SL_BLOCK_TOOL,
                                         .upstream = upstream,
                                         .id = sl_json_get(v, tool, "toolUseId"),
                                         .name = sl_json_get(v, tool, "name"),
                                         .raw = sl_json_raw(v, tool)};
    return sl_reply_block(r, v, &start);
}

static int tool_block(struct sl_reply_reader *r, const struct sl_json_view *v,
                      const struct sl_json_node *tool) {
    int err = tool_begin(r, v, tool, r->upstream);
    return err ? err
               : sl_reply_text(r, SL_REPLY_TOOL_INPUT,
                               sl_json_raw(v, sl_json_get(v, tool, "input")));
}

static int content_block(struct sl_reply_reader *r, const struct sl_json_view *v,
                         const struct sl_json_node *block) {
    const struct sl_json_node *member;
    r->upstream = (int64_t)r->index;
    if ((member = sl_json_get(v, block, "text")) != NULL) {
        int err = sl_reply_need(r, SL_BLOCK_TEXT, r->upstream);
        return err ? err : sl_reply_piece(r, SL_REPLY_TEXT, v, member);
    }
    if ((member = sl_json_get(v, block, "toolUse")) != NULL)
        return tool_block(r, v, member);
    member = sl_json_get(v, block, "reasoningContent");
    if (sl_json_get(v, member, "reasoningText") || sl_json_get(v, member, "redactedContent"))
        return reasoning_block(r, v, member);
    if ((member = sl_json_get(v, block, "citationsContent")) != NULL)
        return citations_block(r, v, member);
    int err = sl_reply_need(r, SL_BLOCK_OTHER, r->upstream);
    return err ? err : sl_reply_text(r, SL_REPLY_OTHER, sl_json_raw(v, block));
}

/* The members of `object` but for those named, as an object of their own in r->raw. */
static int without(struct sl_reply_reader *r, const struct sl_json_view *v,
                   const struct sl_json_node *object, const char *const *names) {
    struct sl_put put = {.to = &r->raw};
    sl_buf_clear(&r->raw);
    sl_put(&put, "{");
    const struct sl_json_node *member = sl_json_child(v, object);
    for (; member; member = sl_json_next(v, member)) {
        bool named = false;
        for (size_t i = 0; names[i]; i++)
            named = named || sl_json_get(v, object, names[i]) == member;
        if (!named)
            sl_put_copy(&put, v, member);
    }
    sl_put(&put, "}");
    return put.err;
}

static int stop(struct sl_reply_reader *r, const struct sl_json_view *v,
                const struct sl_json_node *object) {
    const struct sl_json_node *extra = sl_json_get(v, object, "additionalModelResponseFields");
    sl_buf_clear(&r->name);
    const struct sl_json_node *reason = sl_json_get(v, object, "stopReason");
    int err =
        sl_json_is(reason, SL_JSON_IS_STRING) ? sl_json_text(v, reason, &r->name) : SL_E_PROTOCOL;
    return err ? err
               : sl_reply_stop(r, v, sl_buf_slice(&r->name), sl_json_get(v, extra, "stop_sequence"),
                               sl_json_raw(v, extra));
}

static int start_with_role(struct sl_reply_reader *r, const struct sl_json_view *v,
                           const struct sl_json_node *message) {
    struct sl_put put = {.to = &r->raw};
    struct sl_slice role = sl_json_raw(v, sl_json_get(v, message, "role"));
    sl_buf_clear(&r->raw);
    sl_put(&put, "{");
    sl_put_member(&put, "role", role.len ? role : SL_LIT("\"assistant\""));
    sl_put(&put, "}");
    return put.err ? put.err : sl_reply_start(r, sl_buf_slice(&r->raw));
}

static int document(struct sl_reply_reader *r, const struct sl_json_view *v) {
    static const char *const said[] = {"output", "stopReason", "additionalModelResponseFields",
                                       NULL};
    const struct sl_json_node *root = sl_json_root(v);
    const struct sl_json_node *message = sl_json_get(v, sl_json_get(v, root, "output"), "message");
    if (!sl_json_is(message, SL_JSON_IS_OBJECT))
        return SL_E_PROTOCOL;
    int err = start_with_role(r, v, message);
    const struct sl_json_node *block = sl_json_child(v, sl_json_get(v, message, "content"));
    for (; !err && block; block = sl_json_next(v, block)) {
        err = content_block(r, v, block);
        if (!err)
            err = sl_reply_block_end(r);
    }
    if (!err)
        err = stop(r, v, root);
    if (!err)
        err = without(r, v, root, said);
    return err ? err : sl_reply_usage(r, sl_buf_slice(&r->raw));
}

static int block_start(struct sl_reply_reader *r, const struct sl_json_view *v,
                       const struct sl_json_node *start, int64_t upstream) {
    const struct sl_json_node *tool = sl_json_get(v, start, "toolUse");
    if (tool)
        return tool_begin(r, v, tool, upstream);
    if (!sl_json_child(v, start))
        return SL_OK; /* says nothing: its first delta will */
    struct sl_reply_block_start other = {
        .block = SL_BLOCK_OTHER, .upstream = upstream, .raw = sl_json_raw(v, start)};
    return sl_reply_block(r, v, &other);
}

static int block_delta(struct sl_reply_reader *r, const struct sl_json_view *v,
                       const struct sl_json_node *delta, int64_t upstream) {
    const struct sl_json_node *member;
    int err;
    if ((member = sl_json_get(v, delta, "text")) != NULL) {
        err = sl_reply_need(r, SL_BLOCK_TEXT, upstream);
        return err ? err : sl_reply_piece(r, SL_REPLY_TEXT, v, member);
    }
    if ((member = sl_json_get(v, delta, "toolUse")) != NULL) {
        err = sl_reply_need(r, SL_BLOCK_TOOL, upstream);
        return err ? err
                   : sl_reply_piece(r, SL_REPLY_TOOL_INPUT, v, sl_json_get(v, member, "input"));
    }
    if ((member = sl_json_get(v, delta, "reasoningContent")) != NULL) {
        err = sl_reply_need(r, SL_BLOCK_REASONING, upstream);
        return err ? err : reasoning(r, v, member);
    }
    bool citation = sl_json_get(v, delta, "citation") != NULL;
    bool inside = r->open && r->upstream == upstream;
    err = inside ? SL_OK : sl_reply_need(r, citation ? SL_BLOCK_TEXT : SL_BLOCK_OTHER, upstream);
    return err ? err : sl_reply_text(r, SL_REPLY_OTHER, sl_json_raw(v, delta));
}

static int stream_event(struct sl_reply_reader *r, const struct sl_json_view *v,
                        struct sl_slice type, const struct sl_json_node *event) {
    static const char *const padding[] = {"p", NULL};
    int64_t upstream = 0;
    (void)sl_json_int(v, sl_json_get(v, event, "contentBlockIndex"), &upstream);
    if (sl_slice_eq(type, SL_LIT("contentBlockDelta")))
        return block_delta(r, v, sl_json_get(v, event, "delta"), upstream);
    if (sl_slice_eq(type, SL_LIT("contentBlockStart")))
        return block_start(r, v, sl_json_get(v, event, "start"), upstream);
    if (sl_slice_eq(type, SL_LIT("contentBlockStop")))
        return r->open && r->upstream == upstream ? sl_reply_block_end(r) : SL_OK;
    if (sl_slice_eq(type, SL_LIT("messageStart")))
        return start_with_role(r, v, event);
    if (sl_slice_eq(type, SL_LIT("messageStop")))
        return stop(r, v, event);
    if (!sl_slice_eq(type, SL_LIT("metadata")))
        return SL_OK; /* as SDKs do with events they do not know */
    int err = without(r, v, event, padding);
    sl_usage_from_json(&r->usage, sl_buf_slice(&r->raw));
    return err ? err : sl_reply_usage(r, sl_buf_slice(&r->raw));
}

static int converse_event(struct sl_reply_reader *r, const struct sl_json_view *v,
                          struct sl_slice type) {
    return stream_event(r, v, type, sl_json_root(v));
}

/* {"contentBlockDelta":{…}}, and beside the last one the metrics of the invocation. */
static int nova_event(struct sl_reply_reader *r, const struct sl_json_view *v,
                      struct sl_slice type) {
    (void)type;
    int err = SL_OK;
    const struct sl_json_node *member = sl_json_child(v, sl_json_root(v));
    for (; !err && member; member = sl_json_next(v, member)) {
        struct sl_slice key = sl_json_key_raw(v, member);
        if (key.len > 2)
            err = stream_event(r, v, sl_slice_of(key.ptr + 1, key.len - 2), member);
    }
    return err;
}

const struct sl_reply_shape sl_reply_converse = {document, converse_event};
const struct sl_reply_shape sl_reply_nova = {document, nova_event};
