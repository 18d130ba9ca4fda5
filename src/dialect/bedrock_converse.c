/* Converse and ConverseStream: the reader's events are ConverseStream's, so one way is writing them
 * down, and the other is gathering them. */
#include "dialect/bedrock_encode.h"
#include "sluice/dialect/reply.h"

struct converse {
    struct sl_encoder base;
    struct sl_reply_reader *reader;
    struct sl_buf *out;    /* while feeding */
    struct sl_buf scratch; /* a frame's payload; the text, or input, of the block under way */
    struct sl_buf signature, citations;
    struct sl_buf content, role, stop, metadata; /* of the document */
    bool pieces;                                 /* the block has some */
    bool redacted;                               /* its reasoning is */
};

/* The members of a tool's block but for its input. */
static void put_tool_members(struct sl_put *p, struct sl_slice tool) {
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, tool, 1U << 16);
    const struct sl_json_node *root = err ? NULL : sl_json_root(&view);
    const struct sl_json_node *member = sl_json_child(&view, root);
    for (; member; member = sl_json_next(&view, member))
        if (sl_json_get(&view, root, "input") != member)
            sl_put_copy(p, &view, member);
    sl_json_view_done(&view);
    if (err)
        p->err = err;
}

static int put_frame(struct converse *c, const char *type, const struct sl_put *p) {
    return p->err ? p->err : sl_frame_put(c->out, type, sl_buf_slice(&c->scratch));
}

static struct sl_put begin_payload(struct converse *c, const struct sl_reply_event *e) {
    struct sl_put p = {.to = &c->scratch};
    sl_buf_clear(&c->scratch);
    sl_put(&p, "{");
    sl_put_member_int(&p, "contentBlockIndex", (int64_t)e->index);
    return p;
}

static const struct {
    const char *open, *close;
} deltas[] = {
    [SL_REPLY_TEXT] = {"{\"text\":", "}"},
    [SL_REPLY_REASONING] = {"{\"reasoningContent\":{\"text\":", "}}"},
    [SL_REPLY_SIGNATURE] = {"{\"reasoningContent\":{\"signature\":", "}}"},
    [SL_REPLY_REDACTED] = {"{\"reasoningContent\":{\"redactedContent\":", "}}"},
    [SL_REPLY_TOOL_INPUT] = {"{\"toolUse\":{\"input\":", "}}"},
};

static int frame_delta(struct converse *c, const struct sl_reply_event *e, enum sl_reply_kind kind,
                       struct sl_slice text) {
    struct sl_put p = begin_payload(c, e);
    c->pieces = true;
    sl_put_key(&p, "delta");
    if (kind == SL_REPLY_OTHER) {
        sl_put_raw(&p, e->raw);
    } else {
        sl_put(&p, deltas[kind].open);
        sl_put_string(&p, text);
        sl_put(&p, deltas[kind].close);
    }
    sl_put(&p, "}");
    return put_frame(c, "contentBlockDelta", &p);
}

static int frame_block(struct converse *c, const struct sl_reply_event *e) {
    c->pieces = false;
    if (e->block != SL_BLOCK_TOOL)
        return SL_OK; /* Bedrock announces tools only */
    struct sl_put p = begin_payload(c, e);
    sl_put(&p, ",\"start\":{\"toolUse\":{");
    put_tool_members(&p, e->raw);
    sl_put(&p, "}}}");
    return put_frame(c, "contentBlockStart", &p);
}

static int frame_block_end(struct converse *c, const struct sl_reply_event *e) {
    int err = SL_OK;
    if (!c->pieces && e->block == SL_BLOCK_TEXT)
        err = frame_delta(c, e, SL_REPLY_TEXT, SL_EMPTY);
    if (!c->pieces && e->block == SL_BLOCK_REASONING)
        err = frame_delta(c, e, SL_REPLY_REASONING, SL_EMPTY);
    struct sl_put p = begin_payload(c, e);
    sl_put(&p, "}");
    return err ? err : put_frame(c, "contentBlockStop", &p);
}

/* stopReason and, where there are any, additional fields: of the frame and of the document. */
static void put_stop(struct sl_put *p, const struct sl_reply_event *e) {
    sl_put_member_string(p, "stopReason", e->stop_reason);
    if (e->raw.len > 0)
        sl_put_member(p, "additionalModelResponseFields", e->raw);
}

static int to_frames(void *ctx, const struct sl_reply_event *e) {
    struct converse *c = ctx;
    struct sl_put p = {.to = &c->scratch};
    switch (e->kind) {
    case SL_REPLY_START:
        return sl_frame_put(c->out, "messageStart", e->raw);
    case SL_REPLY_BLOCK:
        return frame_block(c, e);
    case SL_REPLY_BLOCK_END:
        return frame_block_end(c, e);
    case SL_REPLY_STOP:
        sl_buf_clear(&c->scratch);
        sl_put(&p, "{");
        put_stop(&p, e);
        sl_put(&p, "}");
        return put_frame(c, "messageStop", &p);
    case SL_REPLY_USAGE:
        return sl_frame_put(c->out, "metadata", e->raw);
    case SL_REPLY_EXCEPTION:
        return sl_eventstream_exception(c->out, sl_failure_info(e->failure)->frame_name, e->text);
    default:
        return frame_delta(c, e, e->kind, e->text);
    }
}

static int gather_block(struct converse *c, const struct sl_reply_event *e) {
    struct sl_put p = {.to = &c->content};
    sl_buf_clear(&c->scratch);
    sl_buf_clear(&c->signature);
    sl_buf_clear(&c->citations);
    c->redacted = false;
    if (e->block == SL_BLOCK_TOOL) {
        sl_put_open(&p, "{");
        sl_put(&p, "\"toolUse\":{");
        put_tool_members(&p, e->raw);
    }
    return p.err;
}

/* Citations come as deltas {"citation":…}; what else is not known makes a block of its own. */
static int gather_other(struct converse *c, const struct sl_reply_event *e) {
    struct sl_json_view view;
    struct sl_put p = {.to = e->block == SL_BLOCK_TEXT ? &c->citations : &c->content};
    int err = sl_json_view_parse(&view, e->raw, 1U << 16);
    const struct sl_json_node *citation =
        err ? NULL : sl_json_get(&view, sl_json_root(&view), "citation");
    if (e->block != SL_BLOCK_TEXT)
        sl_put_value(&p, e->raw);
    else if (citation)
        sl_put_value(&p, sl_json_raw(&view, citation));
    sl_json_view_done(&view);
    return err ? err : p.err;
}

static void put_text_block(struct sl_put *p, const struct converse *c) {
    if (c->citations.len > 0)
        sl_put(p, "\"citationsContent\":{\"content\":[{");
    sl_put_member_string(p, "text", sl_buf_slice(&c->scratch));
    if (c->citations.len > 0) {
        sl_put(p, "}],\"citations\":[");
        sl_put_raw(p, sl_buf_slice(&c->citations));
        sl_put(p, "]}");
    }
}

static void put_reasoning_block(struct sl_put *p, const struct converse *c) {
    sl_put(p, "\"reasoningContent\":{");
    if (c->redacted) {
        sl_put_member_string(p, "redactedContent", sl_buf_slice(&c->scratch));
    } else {
        sl_put(p, "\"reasoningText\":{");
        sl_put_member_string(p, "text", sl_buf_slice(&c->scratch));
        if (c->signature.len > 0)
            sl_put_member_string(p, "signature", sl_buf_slice(&c->signature));
        sl_put(p, "}");
    }
    sl_put(p, "}");
}

/* Input is the model's JSON as it stands; only what broke off is shown as the text it is. */
static void put_tool_input(struct sl_put *p, const struct converse *c) {
    struct sl_slice input = sl_buf_slice(&c->scratch);
    sl_put_key(p, "input");
    if (input.len == 0)
        sl_put(p, "{}");
    else if (sl_put_can(input, false))
        sl_put_raw(p, input);
    else
        sl_put_string(p, input);
    sl_put(p, "}");
}

static int gather_block_end(struct converse *c, const struct sl_reply_event *e) {
    struct sl_put p = {.to = &c->content};
    if (e->block == SL_BLOCK_OTHER)
        return SL_OK;
    if (e->block == SL_BLOCK_TOOL) {
        put_tool_input(&p, c);
    } else {
        sl_put_open(&p, "{");
        if (e->block == SL_BLOCK_TEXT)
            put_text_block(&p, c);
        else
            put_reasoning_block(&p, c);
    }
    sl_put(&p, "}");
    return p.err;
}

static int gather(void *ctx, const struct sl_reply_event *e) {
    struct converse *c = ctx;
    struct sl_put p = {.to = &c->stop};
    switch (e->kind) {
    case SL_REPLY_START:
        return sl_buf_add(&c->role, e->raw);
    case SL_REPLY_BLOCK:
        return gather_block(c, e);
    case SL_REPLY_SIGNATURE:
        return sl_buf_add(&c->signature, e->text);
    case SL_REPLY_OTHER:
        return gather_other(c, e);
    case SL_REPLY_BLOCK_END:
        return gather_block_end(c, e);
    case SL_REPLY_STOP:
        put_stop(&p, e);
        return p.err;
    case SL_REPLY_USAGE:
        sl_buf_clear(&c->metadata);
        return sl_buf_add(&c->metadata, e->raw);
    case SL_REPLY_EXCEPTION:
        return SL_E_PROTOCOL;
    default:
        c->redacted = e->kind == SL_REPLY_REDACTED;
        return sl_buf_add(&c->scratch, e->text);
    }
}

/* What stands between an object's braces. */
static struct sl_slice members_of(const struct sl_buf *object) {
    struct sl_slice s = sl_buf_slice(object);
    return s.len >= 2 ? sl_slice_of(s.ptr + 1, s.len - 2) : SL_EMPTY;
}

static int put_document(const struct converse *c, struct sl_buf *out) {
    struct sl_put p = {.to = out};
    sl_put(&p, "{\"output\":{\"message\":{\"content\":[");
    sl_put_raw(&p, sl_buf_slice(&c->content));
    sl_put(&p, "],");
    sl_put_raw(&p, members_of(&c->role));
    sl_put(&p, "}},");
    sl_put_raw(&p, sl_buf_slice(&c->stop));
    if (members_of(&c->metadata).len > 0)
        sl_put_value(&p, members_of(&c->metadata));
    sl_put(&p, "}");
    return p.err;
}

static int feed(struct sl_encoder *e, struct sl_slice bytes, struct sl_buf *out) {
    struct converse *c = (struct converse *)e;
    c->out = out;
    return sl_reply_reader_feed(c->reader, bytes);
}

static int finish(struct sl_encoder *e, struct sl_buf *out) {
    struct converse *c = (struct converse *)e;
    c->out = out;
    int err = sl_reply_reader_finish(c->reader);
    return err || !e->whole ? err : put_document(c, out);
}

static int broken(struct sl_encoder *e, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    return e->whole ? SL_E_NOTFOUND
                    : sl_eventstream_exception(out, sl_failure_info(kind)->frame_name, message);
}

static void release(struct sl_encoder *e) {
    struct converse *c = (struct converse *)e;
    sl_reply_reader_free(c->reader);
    sl_buf_done(&c->scratch);
    sl_buf_done(&c->signature);
    sl_buf_done(&c->citations);
    sl_buf_done(&c->content);
    sl_buf_done(&c->role);
    sl_buf_done(&c->stop);
    sl_buf_done(&c->metadata);
}

int sl_converse_encoder(bool stream, const struct sl_source *source, struct sl_arena *arena,
                        struct sl_encoder **out) {
    static const struct sl_encoder_ops ops = {feed, finish, broken, release};
    struct converse *c = sl_arena_calloc(arena, 1, sizeof(*c));
    bool supported;
    if (!c)
        return SL_E_NOMEM;
    c->base = (struct sl_encoder){.ops = &ops, .whole = !stream};
    struct sl_buf *const bufs[] = {&c->scratch, &c->signature, &c->citations, &c->content,
                                   &c->role,    &c->stop,      &c->metadata};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        sl_buf_init(bufs[i], 2 * SL_ANSWER_MAX);
    int err = sl_bedrock_head(&c->base.head, source, arena, stream, false);
    if (err)
        return err;
    c->reader = sl_reply_reader_new(source, stream ? to_frames : gather, c, &supported);
    if (!c->reader)
        return SL_E_NOMEM;
    *out = &c->base;
    return SL_OK;
}
