/*
 * Events of a reply as a chat completion: chunks as they come, or one document. Tool calls are
 * numbered among themselves; the tool that stands for a JSON schema is none of them, its input is
 * the content.
 */
#include "dialect/frames.h"
#include "dialect/openai_answer.h"
#include "sluice/base/list.h"
#include "sluice/dialect/reply.h"

struct chat {
    struct sl_encoder base;
    const struct sl_ask *ask;
    const struct sl_openai_ask *own;
    struct sl_reply_reader *reader;
    struct sl_buf *out;                                 /* of the call under way */
    struct sl_buf data;                                 /* one chunk */
    struct sl_buf content, reasoning, signature, tools; /* of the document, inside their quotes */
    struct sl_buf redacted, redactions; /* of the block under way; all of them, inside their list */
    struct sl_usage usage;
    const char *finish_reason; /* NULL: not told yet */
    int64_t calls;             /* tool calls begun */
    bool as_content, has_input, failed;
};

static bool streams(const struct chat *c) {
    return !c->base.whole;
}

static void put_head(struct sl_put *p, const struct chat *c, const char *object) {
    sl_put(p, "{");
    sl_openai_put_id(p, "id", "chatcmpl-", c->ask->id);
    sl_put_member_string(p, "object", sl_slice_str(object));
    sl_put_member_int(p, "created", (int64_t)c->ask->created);
    sl_put_member_string(p, "model", c->ask->model);
    sl_put(p, ",\"system_fingerprint\":null");
}

/* A chunk up to its delta's first member. */
static struct sl_put begin_chunk(struct chat *c) {
    struct sl_put p = {.to = &c->data};
    sl_buf_clear(&c->data);
    put_head(&p, c, "chat.completion.chunk");
    sl_put(&p, ",\"choices\":[{\"index\":0,\"delta\":{");
    return p;
}

static int end_chunk(struct chat *c, struct sl_put *p, const char *finish_reason) {
    sl_put(p, "},\"logprobs\":null");
    if (finish_reason)
        sl_put_member_string(p, "finish_reason", sl_slice_str(finish_reason));
    else
        sl_put(p, ",\"finish_reason\":null");
    sl_put(p, "}]");
    if (c->own->include_usage)
        sl_put(p, ",\"usage\":null");
    sl_put(p, "}");
    return p->err ? p->err : sl_openai_send(c->out, NULL, &c->data);
}

static int on_start(struct chat *c) {
    if (!streams(c))
        return SL_OK;
    struct sl_put p = begin_chunk(c);
    sl_put(&p, "\"role\":\"assistant\",\"content\":\"\",\"refusal\":null");
    return end_chunk(c, &p, NULL);
}

/* A piece of one of the message's strings. */
static int on_text(struct chat *c, const char *member, struct sl_buf *whole, struct sl_slice text) {
    if (!streams(c)) {
        struct sl_put p = {.to = whole};
        sl_put_inner(&p, text);
        return p.err;
    }
    struct sl_put p = begin_chunk(c);
    sl_put_member_string(&p, member, text);
    return end_chunk(c, &p, NULL);
}

static int on_tool(struct chat *c, const struct sl_reply_event *e) {
    c->as_content =
        c->own->json_tool.len > 0 && sl_slice_eq(e->tool_name, sl_buf_slice(&c->own->json_tool));
    c->has_input = false;
    if (c->as_content)
        return SL_OK;
    struct sl_put p = streams(c) ? begin_chunk(c) : (struct sl_put){.to = &c->tools};
    if (streams(c)) {
        sl_put(&p, "\"tool_calls\":[{");
        sl_put_member_int(&p, "index", c->calls);
    } else {
        sl_put_open(&p, "{");
    }
    sl_put_member_string(&p, "id", e->tool_id);
    sl_put(&p, ",\"type\":\"function\",\"function\":{");
    sl_put_member_string(&p, "name", e->tool_name);
    sl_put(&p, ",\"arguments\":\"");
    c->calls++;
    if (!streams(c))
        return p.err;
    sl_put(&p, "\"}}]");
    return end_chunk(c, &p, NULL);
}

static int on_tool_input(struct chat *c, struct sl_slice text) {
    c->has_input = true;
    if (c->as_content)
        return on_text(c, "content", &c->content, text);
    if (!streams(c)) {
        struct sl_put p = {.to = &c->tools};
        sl_put_inner(&p, text);
        return p.err;
    }
    struct sl_put p = begin_chunk(c);
    sl_put(&p, "\"tool_calls\":[{");
    sl_put_member_int(&p, "index", c->calls - 1);
    sl_put(&p, ",\"function\":{");
    sl_put_member_string(&p, "arguments", text);
    sl_put(&p, "}}]");
    return end_chunk(c, &p, NULL);
}

/* Reasoning that only the model can read: a list, since each piece goes back as it came. */
static int on_redacted(struct chat *c) {
    struct sl_slice data = sl_buf_slice(&c->redacted);
    struct sl_put p = streams(c) ? begin_chunk(c) : (struct sl_put){.to = &c->redactions};
    if (!streams(c)) {
        sl_put_string(&p, data);
        return p.err;
    }
    sl_put(&p, "\"reasoning_redacted\":[");
    sl_put_string(&p, data);
    sl_put(&p, "]");
    return end_chunk(c, &p, NULL);
}

static int on_block_end(struct chat *c, const struct sl_reply_event *e) {
    if (c->redacted.len > 0) {
        int failed = on_redacted(c);
        sl_buf_clear(&c->redacted);
        return failed;
    }
    if (e->block != SL_BLOCK_TOOL)
        return SL_OK;
    int err = c->has_input ? SL_OK : on_tool_input(c, SL_LIT("{}"));
    return err || streams(c) || c->as_content ? err : sl_buf_add_str(&c->tools, "\"}}");
}

static int on_stop(struct chat *c, struct sl_slice reason) {
    c->finish_reason = sl_openai_finish_reason(reason, c->calls > 0);
    if (!streams(c))
        return SL_OK;
    struct sl_put p = begin_chunk(c);
    return end_chunk(c, &p, c->finish_reason);
}

static int on_event(void *ctx, const struct sl_reply_event *e) {
    struct chat *c = ctx;
    switch (e->kind) {
    case SL_REPLY_START:
        return on_start(c);
    case SL_REPLY_BLOCK:
        return e->block == SL_BLOCK_TOOL ? on_tool(c, e) : SL_OK;
    case SL_REPLY_TEXT:
        return on_text(c, "content", &c->content, e->text);
    case SL_REPLY_REASONING:
        return on_text(c, "reasoning_content", &c->reasoning, e->text);
    case SL_REPLY_SIGNATURE:
        return on_text(c, "reasoning_signature", &c->signature, e->text);
    case SL_REPLY_REDACTED:
        return sl_buf_add(&c->redacted, e->text);
    case SL_REPLY_TOOL_INPUT:
        return on_tool_input(c, e->text);
    case SL_REPLY_BLOCK_END:
        return on_block_end(c, e);
    case SL_REPLY_STOP:
        return on_stop(c, e->stop_reason);
    case SL_REPLY_USAGE:
        c->usage = e->usage;
        return SL_OK;
    case SL_REPLY_EXCEPTION:
        c->failed = true;
        return streams(c) ? sl_openai_error_event(c->out, e->failure, e->text) : SL_E_PROTOCOL;
    default:
        return SL_OK; /* blocks of other kinds have no place here */
    }
}

static void put_usage(struct sl_put *p, const struct sl_usage *usage) {
    struct sl_openai_tokens tokens = sl_openai_tokens(usage);
    sl_put_key(p, "usage");
    sl_put(p, "{");
    sl_put_member_int(p, "prompt_tokens", tokens.input);
    sl_put_member_int(p, "completion_tokens", tokens.output);
    sl_put_member_int(p, "total_tokens", tokens.input + tokens.output);
    sl_put_key(p, "prompt_tokens_details");
    sl_put(p, "{");
    sl_put_member_int(p, "cached_tokens", tokens.cached);
    sl_put(p, ",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,"
              "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,"
              "\"rejected_prediction_tokens\":0}}");
}

static void put_quoted(struct sl_put *p, const char *name, const struct sl_buf *inner) {
    sl_put_key(p, name);
    sl_put(p, "\"");
    sl_put_raw(p, sl_buf_slice(inner));
    sl_put(p, "\"");
}

static int put_document(struct chat *c, struct sl_buf *out) {
    struct sl_put p = {.to = out};
    put_head(&p, c, "chat.completion");
    sl_put(&p, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\"");
    if (c->content.len > 0 || c->calls == 0)
        put_quoted(&p, "content", &c->content);
    else
        sl_put(&p, ",\"content\":null");
    sl_put(&p, ",\"refusal\":null,\"annotations\":[]");
    if (c->reasoning.len > 0)
        put_quoted(&p, "reasoning_content", &c->reasoning);
    if (c->signature.len > 0)
        put_quoted(&p, "reasoning_signature", &c->signature);
    if (c->redactions.len > 0) {
        sl_put(&p, ",\"reasoning_redacted\":[");
        sl_put_raw(&p, sl_buf_slice(&c->redactions));
        sl_put(&p, "]");
    }
    if (c->calls > 0) {
        sl_put(&p, ",\"tool_calls\":[");
        sl_put_raw(&p, sl_buf_slice(&c->tools));
        sl_put(&p, "]");
    }
    sl_put(&p, "},\"logprobs\":null");
    sl_put_member_string(&p, "finish_reason", sl_slice_str(c->finish_reason));
    sl_put(&p, "}]");
    put_usage(&p, &c->usage);
    sl_put(&p, "}");
    return p.err;
}

static int put_end_of_stream(struct chat *c, struct sl_buf *out) {
    struct sl_put p = {.to = &c->data};
    if (c->own->include_usage) {
        sl_buf_clear(&c->data);
        put_head(&p, c, "chat.completion.chunk");
        sl_put(&p, ",\"choices\":[]");
        put_usage(&p, &c->usage);
        sl_put(&p, "}");
        int err = p.err ? p.err : sl_openai_send(out, NULL, &c->data);
        if (err)
            return err;
    }
    return sl_buf_add_str(out, "data: [DONE]\n\n");
}

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    struct chat *c = SL_CONTAINER(base, struct chat, base);
    c->out = out;
    return sl_reply_reader_feed(c->reader, bytes);
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct chat *c = SL_CONTAINER(base, struct chat, base);
    c->out = out;
    int err = sl_reply_reader_finish(c->reader);
    if (err || c->failed)
        return err;
    return streams(c) ? put_end_of_stream(c, out) : put_document(c, out);
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    struct chat *c = SL_CONTAINER(base, struct chat, base);
    if (!streams(c))
        return SL_E_NOTFOUND;
    return c->failed ? SL_OK : sl_openai_error_event(out, kind, message);
}

static void each_buf(struct chat *c, void (*visit)(struct sl_buf *buf)) {
    struct sl_buf *const bufs[] = {&c->data,  &c->content,  &c->reasoning, &c->signature,
                                   &c->tools, &c->redacted, &c->redactions};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        visit(bufs[i]);
}

static void buf_init(struct sl_buf *buf) {
    sl_buf_init(buf, 4 * SL_ANSWER_MAX);
}

static void release(struct sl_encoder *base) {
    struct chat *c = SL_CONTAINER(base, struct chat, base);
    sl_reply_reader_free(c->reader);
    each_buf(c, sl_buf_done);
}

int sl_openai_chat_encoder(const struct sl_ask *ask, const struct sl_source *source,
                           struct sl_arena *arena, struct sl_encoder **out) {
    static const struct sl_encoder_ops ops = {feed, finish, broken, release};
    struct chat *c = sl_arena_calloc(arena, 1, sizeof(*c));
    bool supported;
    if (!c)
        return SL_E_NOMEM;
    c->base = (struct sl_encoder){.ops = &ops, .whole = !ask->stream};
    c->ask = ask;
    c->own = ask->own;
    c->usage = SL_USAGE_UNKNOWN;
    each_buf(c, buf_init);
    int err = sl_openai_head(&c->base.head, arena, ask);
    if (err)
        return err;
    c->reader = sl_reply_reader_new(source, on_event, c, &supported);
    if (!c->reader)
        return supported ? SL_E_NOMEM : SL_E_NOTFOUND;
    *out = &c->base;
    return SL_OK;
}
