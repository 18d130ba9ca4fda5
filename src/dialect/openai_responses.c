/*
 * Events of a reply as a response: output items, one for each block, whole or as the events that
 * SDKs put together again. Both are written by the same steps; a document just sends nothing on the
 * way.
 */
#include "dialect/frames.h"
#include "dialect/openai_answer.h"
#include "sluice/base/list.h"
#include "sluice/dialect/reply.h"

enum item { ITEM_NONE, ITEM_MESSAGE, ITEM_CALL, ITEM_REASONING };

static const struct {
    const char *type, *id_prefix;
    const char *delta, *done, *whole; /* its events, and the member that holds all of it */
    bool part;                        /* its text is part 0 of its content */
} kinds[] = {
    [ITEM_MESSAGE] = {"message", "msg_", "response.output_text.delta", "response.output_text.done",
                      "text", true},
    [ITEM_CALL] = {"function_call", "fc_", "response.function_call_arguments.delta",
                   "response.function_call_arguments.done", "arguments", false},
    [ITEM_REASONING] = {"reasoning", "rs_", "response.reasoning_text.delta",
                        "response.reasoning_text.done", "text", true},
};

struct responses {
    struct sl_encoder base;
    const struct sl_ask *ask;
    const struct sl_openai_ask *own;
    struct sl_reply_reader *reader;
    struct sl_buf *out;                           /* of the call under way */
    struct sl_buf data;                           /* one event */
    struct sl_buf items;                          /* finished ones, with commas */
    struct sl_buf text, signature, call_id, name; /* of the item under way; text is escaped */
    enum item open;
    int64_t index, sequence; /* of the open item or the next one; of events */
    struct sl_usage usage;
    struct sl_buf stop_reason;
    bool failed;
};

static bool streams(const struct responses *r) {
    return !r->base.whole;
}

static struct sl_put begin_event(struct responses *r, const char *type) {
    struct sl_put p = {.to = &r->data};
    sl_buf_clear(&r->data);
    sl_put(&p, "{");
    sl_put_member_string(&p, "type", sl_slice_str(type));
    sl_put_member_int(&p, "sequence_number", r->sequence++);
    return p;
}

static int end_event(struct responses *r, struct sl_put *p, const char *type) {
    sl_put(p, "}");
    return p->err ? p->err : sl_openai_send(r->out, type, &r->data);
}

/* "id" or "item_id" of the open item: the exchange's id, and the item's number behind it. */
static void put_item_id(struct sl_put *p, const struct responses *r, const char *name) {
    sl_openai_put_id(p, name, kinds[r->open].id_prefix, r->ask->id);
    if (p->err)
        return;
    p->to->len--; /* the number goes before the closing quote */
    p->err = sl_buf_printf(p->to, "_%lld\"", (long long)r->index);
}

static void put_text(struct sl_put *p, const struct responses *r, const char *name) {
    sl_put_key(p, name);
    sl_put(p, "\"");
    sl_put_raw(p, sl_buf_slice(&r->text));
    sl_put(p, "\"");
}

/* The open item's part of content, with the text so far. */
static void put_part(struct sl_put *p, const struct responses *r) {
    sl_put_open(p, "{");
    sl_put(p, r->open == ITEM_MESSAGE
                  ? "\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[]"
                  : "\"type\":\"reasoning_text\"");
    put_text(p, r, "text");
    sl_put(p, "}");
}

/* Redacted reasoning says nothing. */
static bool has_part(const struct responses *r) {
    return r->open != ITEM_REASONING || r->text.len > 0;
}

static void put_item(struct sl_put *p, const struct responses *r, bool done) {
    sl_put_open(p, "{");
    put_item_id(p, r, "id");
    sl_put_member_string(p, "type", sl_slice_str(kinds[r->open].type));
    sl_put(p, done ? ",\"status\":\"completed\"" : ",\"status\":\"in_progress\"");
    if (r->open == ITEM_MESSAGE)
        sl_put(p, ",\"role\":\"assistant\"");
    if (r->open == ITEM_REASONING)
        sl_put(p, ",\"summary\":[]");
    if (r->open == ITEM_REASONING && r->signature.len > 0)
        sl_put_member_string(p, "encrypted_content", sl_buf_slice(&r->signature));
    if (kinds[r->open].part) {
        sl_put(p, ",\"content\":[");
        if (done && has_part(r))
            put_part(p, r);
        sl_put(p, "]");
    } else {
        sl_put_member_string(p, "call_id", sl_buf_slice(&r->call_id));
        sl_put_member_string(p, "name", sl_buf_slice(&r->name));
        put_text(p, r, "arguments");
    }
    sl_put(p, "}");
}

/* An event about the open item as a whole. */
static int send_item(struct responses *r, const char *type, bool done) {
    if (!streams(r))
        return SL_OK;
    struct sl_put p = begin_event(r, type);
    sl_put_member_int(&p, "output_index", r->index);
    sl_put_key(&p, "item");
    put_item(&p, r, done);
    return end_event(r, &p, type);
}

/* An event about its content, up to what the event says. */
static struct sl_put begin_content(struct responses *r, const char *type) {
    struct sl_put p = begin_event(r, type);
    put_item_id(&p, r, "item_id");
    sl_put_member_int(&p, "output_index", r->index);
    if (kinds[r->open].part)
        sl_put(&p, ",\"content_index\":0");
    return p;
}

static int send_part(struct responses *r, const char *type) {
    if (!streams(r) || r->open != ITEM_MESSAGE)
        return SL_OK;
    struct sl_put p = begin_content(r, type);
    sl_put_key(&p, "part");
    put_part(&p, r);
    return end_event(r, &p, type);
}

static int open_item(struct responses *r, enum item kind) {
    r->open = kind;
    sl_buf_clear(&r->text);
    sl_buf_clear(&r->signature);
    int err = send_item(r, "response.output_item.added", false);
    return err ? err : send_part(r, "response.content_part.added");
}

static int add_text(struct responses *r, struct sl_slice text) {
    struct sl_put whole = {.to = &r->text};
    sl_put_inner(&whole, text);
    if (whole.err || !streams(r))
        return whole.err;
    struct sl_put p = begin_content(r, kinds[r->open].delta);
    sl_put_member_string(&p, "delta", text);
    if (r->open == ITEM_MESSAGE)
        sl_put(&p, ",\"logprobs\":[]");
    return end_event(r, &p, kinds[r->open].delta);
}

static int send_text_done(struct responses *r) {
    if (!streams(r) || !has_part(r))
        return SL_OK;
    struct sl_put p = begin_content(r, kinds[r->open].done);
    put_text(&p, r, kinds[r->open].whole);
    if (r->open == ITEM_MESSAGE)
        sl_put(&p, ",\"logprobs\":[]");
    if (r->open == ITEM_CALL)
        sl_put_member_string(&p, "name", sl_buf_slice(&r->name));
    return end_event(r, &p, kinds[r->open].done);
}

static int close_item(struct responses *r) {
    struct sl_put items = {.to = &r->items};
    int err = SL_OK;
    if (r->open == ITEM_NONE)
        return SL_OK;
    if (r->open == ITEM_CALL && r->text.len == 0)
        err = add_text(r, SL_LIT("{}"));
    if (!err)
        err = send_text_done(r);
    if (!err)
        err = send_part(r, "response.content_part.done");
    if (!err)
        err = send_item(r, "response.output_item.done", true);
    put_item(&items, r, true);
    r->open = ITEM_NONE;
    r->index++;
    return err ? err : items.err;
}

static void put_usage(struct sl_put *p, const struct sl_usage *usage) {
    struct sl_openai_tokens tokens = sl_openai_tokens(usage);
    sl_put_key(p, "usage");
    sl_put(p, "{");
    sl_put_member_int(p, "input_tokens", tokens.input);
    sl_put(p, ",\"input_tokens_details\":{");
    sl_put_member_int(p, "cached_tokens", tokens.cached);
    sl_put_member_int(p, "cache_write_tokens", tokens.written);
    sl_put(p, "}");
    sl_put_member_int(p, "output_tokens", tokens.output);
    sl_put(p, ",\"output_tokens_details\":{\"reasoning_tokens\":0}");
    sl_put_member_int(p, "total_tokens", tokens.input + tokens.output);
    sl_put(p, "}");
}

/* Why it is not complete; NULL: it is. */
static const char *incomplete_reason(const struct responses *r) {
    const char *finish = sl_openai_finish_reason(sl_buf_slice(&r->stop_reason), false);
    if (strcmp(finish, "length") == 0)
        return "max_output_tokens";
    return strcmp(finish, "content_filter") == 0 ? finish : NULL;
}

/* The response: as it begins, or with all of its output. */
static void put_response(struct sl_put *p, const struct responses *r, bool done) {
    const char *reason = done ? incomplete_reason(r) : NULL;
    sl_put_open(p, "{");
    sl_openai_put_id(p, "id", "resp_", r->ask->id);
    sl_put(p, ",\"object\":\"response\"");
    sl_put_member_int(p, "created_at", (int64_t)r->ask->created);
    sl_put_member_string(p, "status",
                         !done    ? SL_LIT("in_progress")
                         : reason ? SL_LIT("incomplete")
                                  : SL_LIT("completed"));
    sl_put(p, ",\"background\":false,\"error\":null,\"previous_response_id\":null,"
              "\"store\":false,\"user\":null,\"incomplete_details\":");
    if (reason) {
        sl_put(p, "{");
        sl_put_member_string(p, "reason", sl_slice_str(reason));
        sl_put(p, "}");
    } else {
        sl_put(p, "null");
    }
    sl_put_member_string(p, "model", r->ask->model);
    sl_put_value(p, sl_buf_slice(&r->own->echo));
    sl_put(p, ",\"output\":[");
    sl_put_raw(p, sl_buf_slice(&r->items));
    sl_put(p, "]");
    if (done)
        put_usage(p, &r->usage);
    else
        sl_put(p, ",\"usage\":null");
    sl_put(p, "}");
}

static int send_response(struct responses *r, const char *type, bool done) {
    if (!streams(r))
        return SL_OK;
    struct sl_put p = begin_event(r, type);
    sl_put_key(&p, "response");
    put_response(&p, r, done);
    return end_event(r, &p, type);
}

static int on_start(struct responses *r) {
    int err = send_response(r, "response.created", false);
    return err ? err : send_response(r, "response.in_progress", false);
}

static int keep(struct sl_buf *to, struct sl_slice text) {
    sl_buf_clear(to);
    return sl_buf_add(to, text);
}

static int on_block(struct responses *r, const struct sl_reply_event *e) {
    bool schema =
        r->own->json_tool.len > 0 && sl_slice_eq(e->tool_name, sl_buf_slice(&r->own->json_tool));
    if (e->block == SL_BLOCK_TEXT)
        return open_item(r, ITEM_MESSAGE);
    if (e->block != SL_BLOCK_TOOL)
        return SL_OK; /* reasoning opens with its first piece */
    int err = keep(&r->call_id, e->tool_id);
    if (!err)
        err = keep(&r->name, e->tool_name);
    return err ? err : open_item(r, schema ? ITEM_MESSAGE : ITEM_CALL);
}

static int on_reasoning(struct responses *r, struct sl_slice text) {
    int err = r->open == ITEM_NONE ? open_item(r, ITEM_REASONING) : SL_OK;
    return err ? err : add_text(r, text);
}

/* An item without text, for the client to send back. */
static int on_redacted(struct responses *r, struct sl_slice data) {
    int err = SL_OK;
    if (r->open == ITEM_NONE)
        err = open_item(r, ITEM_REASONING);
    if (!err && r->signature.len == 0)
        err = sl_buf_add_str(&r->signature, SL_OPENAI_REDACTED);
    return err ? err : sl_buf_add(&r->signature, data);
}

static int on_exception(struct responses *r, const struct sl_reply_event *e) {
    r->failed = true;
    return streams(r) ? sl_openai_response_error(r->out, e->failure, e->text, r->sequence++)
                      : SL_E_PROTOCOL;
}

static int on_event(void *ctx, const struct sl_reply_event *e) {
    struct responses *r = ctx;
    switch (e->kind) {
    case SL_REPLY_START:
        return on_start(r);
    case SL_REPLY_BLOCK:
        return on_block(r, e);
    case SL_REPLY_TEXT:
    case SL_REPLY_TOOL_INPUT:
        return add_text(r, e->text);
    case SL_REPLY_REASONING:
        return on_reasoning(r, e->text);
    case SL_REPLY_SIGNATURE:
        return sl_buf_add(&r->signature, e->text);
    case SL_REPLY_REDACTED:
        return on_redacted(r, e->text);
    case SL_REPLY_BLOCK_END:
        return close_item(r);
    case SL_REPLY_STOP:
        return keep(&r->stop_reason, e->stop_reason);
    case SL_REPLY_USAGE:
        r->usage = e->usage;
        return SL_OK;
    case SL_REPLY_EXCEPTION:
        return on_exception(r, e);
    default:
        return SL_OK; /* blocks of other kinds have no place here */
    }
}

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    struct responses *r = SL_CONTAINER(base, struct responses, base);
    r->out = out;
    return sl_reply_reader_feed(r->reader, bytes);
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct responses *r = SL_CONTAINER(base, struct responses, base);
    r->out = out;
    int err = sl_reply_reader_finish(r->reader);
    if (err || r->failed)
        return err;
    if (streams(r))
        return send_response(r, incomplete_reason(r) ? "response.incomplete" : "response.completed",
                             true);
    struct sl_put p = {.to = out};
    put_response(&p, r, true);
    return p.err;
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    struct responses *r = SL_CONTAINER(base, struct responses, base);
    if (!streams(r))
        return SL_E_NOTFOUND;
    return r->failed ? SL_OK : sl_openai_response_error(out, kind, message, r->sequence++);
}

static void each_buf(struct responses *r, void (*visit)(struct sl_buf *buf)) {
    struct sl_buf *const bufs[] = {&r->data,    &r->items, &r->text,       &r->signature,
                                   &r->call_id, &r->name,  &r->stop_reason};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        visit(bufs[i]);
}

static void buf_init(struct sl_buf *buf) {
    sl_buf_init(buf, 4 * SL_ANSWER_MAX);
}

static void release(struct sl_encoder *base) {
    struct responses *r = SL_CONTAINER(base, struct responses, base);
    sl_reply_reader_free(r->reader);
    each_buf(r, sl_buf_done);
}

int sl_openai_responses_encoder(const struct sl_ask *ask, const struct sl_source *source,
                                struct sl_arena *arena, struct sl_encoder **out) {
    static const struct sl_encoder_ops ops = {feed, finish, broken, release};
    struct responses *r = sl_arena_calloc(arena, 1, sizeof(*r));
    bool supported;
    if (!r)
        return SL_E_NOMEM;
    r->base = (struct sl_encoder){.ops = &ops, .whole = !ask->stream};
    r->ask = ask;
    r->own = ask->own;
    r->usage = SL_USAGE_UNKNOWN;
    each_buf(r, buf_init);
    int err = sl_openai_head(&r->base.head, arena, ask);
    if (err)
        return err;
    r->reader = sl_reply_reader_new(source, on_event, r, &supported);
    if (!r->reader)
        return supported ? SL_E_NOMEM : SL_E_NOTFOUND;
    *out = &r->base;
    return SL_OK;
}
