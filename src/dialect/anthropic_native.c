/*
 * Claude's InvokeModel answers are Anthropic's already: the document is the message, each chunk of
 * the stream is one event. So a stream is only unwrapped, and an answer of the other shape is taken
 * apart, or put together as SDKs do it, with every member kept as it stands: signatures,
 * citations, blocks of kinds not known here.
 */
#include "dialect/anthropic.h"
#include "dialect/frames.h"
#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/wire/sse.h"

typedef const struct sl_json_node node;

/* One content block being put together from its deltas. */
struct block {
    struct sl_buf start; /* members that it began with, but for those below */
    struct sl_buf text;  /* inside of the string under `member`, escapes as they stand */
    struct sl_buf signature, input, citations;
    const char *member; /* "text" or "thinking"; NULL: neither */
    bool tool, thinking;
    struct sl_buf first_input; /* of a tool: what it began with, if no delta follows */
};

struct native {
    struct sl_encoder base;
    const struct sl_ask *ask;
    bool framed; /* the answer is a stream */
    struct sl_frames frames;
    struct sl_buf document;
    struct sl_buf json; /* one event */
    struct sl_buf *out;
    struct block block;
    struct sl_buf head, content, usage, delta; /* of the message under way */
    bool block_open, stopped, failed;
};

static struct native *of_base(struct sl_encoder *base) {
    return SL_CONTAINER(base, struct native, base);
}

/* --- a stream, unwrapped */

/* What event types are made of: such a name needs no care in JSON nor in a line of SSE. */
static bool is_plain(struct sl_slice type) {
    for (size_t i = 0; i < type.len; i++)
        if ((type.ptr[i] < 'a' || type.ptr[i] > 'z') && type.ptr[i] != '_')
            return false;
    return type.len > 0;
}

/* The event's type. Bedrock writes it first, and the rest is passed on unread; anything else is
 * looked for. */
static int event_type(struct sl_slice json, struct sl_buf *out) {
    const struct sl_slice first = SL_LIT("{\"type\":\"");
    if (sl_slice_starts(json, first)) {
        struct sl_slice type = sl_slice_skip(json, first.len);
        type = sl_slice_head(type, sl_slice_find(type, '"'));
        if (is_plain(type))
            return sl_buf_add(out, type);
    }
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, json, SL_ANTHROPIC_NODES_MAX);
    if (!err)
        err = sl_json_text(&view, sl_json_get(&view, sl_json_root(&view), "type"), out);
    sl_json_view_done(&view);
    return !err && !is_plain(sl_buf_slice(out)) ? SL_E_PROTOCOL : err;
}

/* message_stop, without what Bedrock adds to it for its own clients. */
static int send_stop(struct native *n, struct sl_slice json) {
    static const char *const metrics[] = {"amazon-bedrock-invocationMetrics"};
    struct sl_json_view view;
    struct sl_buf data;
    sl_buf_init(&data, SL_ANSWER_MAX);
    struct sl_put p = {&data, SL_OK};
    int err = sl_json_view_parse(&view, json, SL_ANTHROPIC_NODES_MAX);
    if (!err) {
        sl_put_open(&p, "{");
        sl_anthropic_members(&p, &view, sl_json_root(&view), metrics, 1);
        sl_put(&p, "}");
        err = p.err;
    }
    if (!err)
        err = sl_sse_encode(n->out, SL_LIT("message_stop"), sl_buf_slice(&data));
    sl_json_view_done(&view);
    sl_buf_done(&data);
    n->stopped = true;
    return err;
}

static int pass_event(struct native *n, struct sl_slice json) {
    struct sl_buf type;
    sl_buf_init(&type, 256);
    int err = event_type(json, &type);
    if (!err && sl_slice_eq(sl_buf_slice(&type), SL_LIT("message_stop")))
        err = send_stop(n, json);
    else if (!err)
        err = sl_sse_encode(n->out, sl_buf_slice(&type), json);
    sl_buf_done(&type);
    return err;
}

/* --- a message, taken apart into events */

static int send(struct native *n, const char *event, struct sl_put *p) {
    return p->err ? p->err : sl_sse_encode(n->out, sl_slice_str(event), sl_buf_slice(p->to));
}

static struct sl_put begin_event(struct native *n, const char *type, int64_t index,
                                 const char *member) {
    sl_buf_clear(&n->json);
    struct sl_put p = {&n->json, SL_OK};
    sl_put(&p, "{");
    sl_put_member_string(&p, "type", sl_slice_str(type));
    if (index >= 0)
        sl_put_member_int(&p, "index", index);
    if (member) {
        sl_put_key(&p, member);
        sl_put_open(&p, "{");
    }
    return p;
}

/* One delta: its type, and a member of the block (or a whole one) under the delta's own name. */
static int send_delta(struct native *n, int64_t index, const char *type, const char *name,
                      struct sl_slice json) {
    struct sl_put p = begin_event(n, "content_block_delta", index, "delta");
    sl_put_member_string(&p, "type", sl_slice_str(type));
    sl_put_member(&p, name, json);
    sl_put(&p, "}}");
    return send(n, "content_block_delta", &p);
}

/* A tool's input goes as text: the JSON as it stands, in a string. */
static int send_input(struct native *n, const struct sl_json_view *v, int64_t index, node *input) {
    struct sl_put p = begin_event(n, "content_block_delta", index, "delta");
    sl_put_member(&p, "type", SL_LIT("\"input_json_delta\""));
    sl_put_member_string(&p, "partial_json", sl_json_raw(v, input));
    sl_put(&p, "}}");
    return send(n, "content_block_delta", &p);
}

static int send_citations(struct native *n, const struct sl_json_view *v, int64_t index,
                          node *citations) {
    int err = SL_OK;
    for (node *c = sl_json_child(v, citations); c && !err; c = sl_json_next(v, c))
        err = send_delta(n, index, "citations_delta", "citation", sl_json_raw(v, c));
    return err;
}

/* Members that stream as deltas, by the type of block, and how. A block of no type here comes
 * whole with its start. */
static const struct streamed {
    const char *block, *member, *empty, *delta;
} streamed[] = {
    {"text", "citations", "[]", NULL},
    {"text", "text", "\"\"", "text_delta"},
    {"thinking", "thinking", "\"\"", "thinking_delta"},
    {"thinking", "signature", "\"\"", "signature_delta"},
    {"tool_use", "input", "{}", NULL},
    {"server_tool_use", "input", "{}", NULL},
};
#define STREAMED (sizeof(streamed) / sizeof(streamed[0]))

static int send_member(struct native *n, const struct sl_json_view *v, int64_t index,
                       const struct streamed *s, node *value) {
    if (s->delta)
        return sl_json_inner(v, value).len > 0
                   ? send_delta(n, index, s->delta, s->member, sl_json_raw(v, value))
                   : SL_OK;
    return strcmp(s->member, "input") == 0 ? send_input(n, v, index, value)
                                           : send_citations(n, v, index, value);
}

/* The rows for this block whose member it has: how many. */
static size_t rows_of(const struct sl_json_view *v, node *block,
                      const struct streamed *rows[STREAMED], const char *names[STREAMED]) {
    size_t count = 0;
    node *type = sl_json_get(v, block, "type");
    for (size_t i = 0; i < STREAMED; i++) {
        node *value = sl_json_get(v, block, streamed[i].member);
        if (!sl_json_eq(v, type, streamed[i].block) || !value || sl_json_is(value, SL_JSON_IS_NULL))
            continue;
        names[count] = streamed[i].member;
        rows[count++] = &streamed[i];
    }
    return count;
}

static int send_block(struct native *n, const struct sl_json_view *v, int64_t index, node *block) {
    const struct streamed *rows[STREAMED];
    const char *names[STREAMED];
    size_t count = rows_of(v, block, rows, names);
    struct sl_put p = begin_event(n, "content_block_start", index, "content_block");
    sl_anthropic_members(&p, v, block, names, count);
    for (size_t i = 0; i < count; i++)
        sl_put_member(&p, rows[i]->member, sl_slice_str(rows[i]->empty));
    sl_put(&p, "}}");
    int err = send(n, "content_block_start", &p);
    for (size_t i = 0; i < count && !err; i++)
        err = send_member(n, v, index, rows[i], sl_json_get(v, block, rows[i]->member));
    if (err)
        return err;
    p = begin_event(n, "content_block_stop", index, NULL);
    sl_put(&p, "}");
    return send(n, "content_block_stop", &p);
}

static struct sl_slice or_null(const struct sl_json_view *v, node *value) {
    return value ? sl_json_raw(v, value) : SL_LIT("null");
}

static int send_message(struct native *n, const struct sl_json_view *v) {
    static const char *const later[] = {"content", "stop_reason", "stop_sequence"};
    node *root = sl_json_root(v);
    int64_t index = 0;
    struct sl_put p = begin_event(n, "message_start", -1, "message");
    sl_anthropic_members(&p, v, root, later, 3);
    sl_put_member(&p, "content", SL_LIT("[]"));
    sl_put_member(&p, "stop_reason", SL_LIT("null"));
    sl_put_member(&p, "stop_sequence", SL_LIT("null"));
    sl_put(&p, "}}");
    int err = send(n, "message_start", &p);
    node *block = sl_json_child(v, sl_json_get(v, root, "content"));
    for (; block && !err; block = sl_json_next(v, block))
        err = send_block(n, v, index++, block);
    if (err)
        return err;
    p = begin_event(n, "message_delta", -1, "delta");
    sl_put_member(&p, "stop_reason", or_null(v, sl_json_get(v, root, "stop_reason")));
    sl_put_member(&p, "stop_sequence", or_null(v, sl_json_get(v, root, "stop_sequence")));
    sl_put(&p, "}");
    sl_put_member(&p, "usage", or_null(v, sl_json_get(v, root, "usage")));
    sl_put(&p, "}");
    err = send(n, "message_delta", &p);
    p = begin_event(n, "message_stop", -1, NULL);
    sl_put(&p, "}");
    return err ? err : send(n, "message_stop", &p);
}

/* --- events, put together into a message */

static int set(struct sl_buf *to, struct sl_slice s) {
    sl_buf_clear(to);
    return sl_buf_add(to, s);
}

static int keep_start(struct native *n, const struct sl_json_view *v, node *message) {
    static const char *const later[] = {"content", "stop_reason", "stop_sequence", "usage"};
    sl_buf_clear(&n->head);
    struct sl_put p = {&n->head, SL_OK};
    sl_anthropic_members(&p, v, message, later, 4);
    int err = p.err;
    return err ? err : set(&n->usage, sl_json_raw(v, sl_json_get(v, message, "usage")));
}

static int keep_block(struct native *n, const struct sl_json_view *v, node *block) {
    const struct streamed *rows[STREAMED];
    const char *names[STREAMED];
    size_t count = rows_of(v, block, rows, names);
    struct block *b = &n->block;
    struct sl_buf *const all[] = {&b->start, &b->text,      &b->signature,
                                  &b->input, &b->citations, &b->first_input};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        sl_buf_clear(all[i]);
    n->block_open = true;
    node *type = sl_json_get(v, block, "type");
    b->thinking = sl_json_eq(v, type, "thinking");
    b->member = b->thinking ? "thinking" : sl_json_eq(v, type, "text") ? "text" : NULL;
    b->tool = false;
    struct sl_put p = {&b->start, SL_OK};
    sl_anthropic_members(&p, v, block, names, count);
    int err = p.err;
    for (size_t i = 0; i < count && !err; i++) {
        node *value = sl_json_get(v, block, names[i]);
        if (strcmp(names[i], "input") == 0) {
            b->tool = true;
            err = sl_buf_add(&b->first_input, sl_json_raw(v, value));
        } else if (strcmp(names[i], "citations") == 0) {
            struct sl_slice list = sl_json_raw(v, value);
            if (list.len >= 2)
                err = sl_buf_add(&b->citations, sl_slice_of(list.ptr + 1, list.len - 2));
        } else {
            err = sl_buf_add(strcmp(names[i], "signature") == 0 ? &b->signature : &b->text,
                             sl_json_inner(v, value));
        }
    }
    return err;
}

static int keep_delta(struct native *n, const struct sl_json_view *v, node *delta) {
    struct block *b = &n->block;
    node *value;
    if (!n->block_open)
        return SL_E_PROTOCOL;
    if (b->member && (value = sl_json_get(v, delta, b->member)) != NULL)
        return sl_buf_add(&b->text, sl_json_inner(v, value));
    if ((value = sl_json_get(v, delta, "partial_json")) != NULL)
        return sl_json_text(v, value, &b->input);
    if ((value = sl_json_get(v, delta, "signature")) != NULL)
        return sl_buf_add(&b->signature, sl_json_inner(v, value));
    if ((value = sl_json_get(v, delta, "citation")) != NULL) {
        struct sl_put p = {&b->citations, SL_OK};
        if (b->citations.len > 0)
            sl_put(&p, ",");
        sl_put_raw(&p, sl_json_raw(v, value));
        return p.err;
    }
    return SL_OK; /* of a kind that this SDK's version would not know either */
}

static void put_quoted(struct sl_put *p, const char *name, const struct sl_buf *inner) {
    sl_put_key(p, name);
    sl_put(p, "\"");
    sl_put_raw(p, sl_buf_slice(inner));
    sl_put(p, "\"");
}

static int end_block(struct native *n) {
    const struct block *b = &n->block;
    struct sl_put p = {&n->content, SL_OK};
    if (!n->block_open)
        return SL_OK;
    n->block_open = false;
    sl_put_open(&p, "{");
    sl_put_raw(&p, sl_buf_slice(&b->start));
    if (b->citations.len > 0) {
        sl_put_key(&p, "citations");
        sl_put(&p, "[");
        sl_put_raw(&p, sl_buf_slice(&b->citations));
        sl_put(&p, "]");
    }
    if (b->member)
        put_quoted(&p, b->member, &b->text);
    if (b->thinking)
        put_quoted(&p, "signature", &b->signature);
    if (b->tool) {
        bool whole = sl_anthropic_is_json(sl_buf_slice(&b->input));
        sl_put_member(&p, "input", sl_buf_slice(whole ? &b->input : &b->first_input));
    }
    sl_put(&p, "}");
    return p.err;
}

static bool has_member(const struct sl_json_view *v, node *object, struct sl_slice key) {
    for (node *m = sl_json_child(v, object); m; m = sl_json_next(v, m))
        if (sl_slice_eq(sl_json_key_raw(v, m), key))
            return true;
    return false;
}

/* Members of `over` win over those of the usage so far. */
static int merge_usage(struct native *n, const struct sl_json_view *v, node *over) {
    struct sl_json_view before;
    struct sl_buf merged;
    sl_buf_init(&merged, SL_ANSWER_MAX);
    struct sl_put p = {&merged, SL_OK};
    sl_put_open(&p, "{");
    sl_anthropic_members(&p, v, over, NULL, 0);
    int err = sl_json_view_parse(&before, sl_buf_slice(&n->usage), SL_ANTHROPIC_NODES_MAX);
    if (!err) {
        node *m = sl_json_child(&before, sl_json_root(&before));
        for (; m; m = sl_json_next(&before, m))
            if (!has_member(v, over, sl_json_key_raw(&before, m)))
                sl_put_copy(&p, &before, m);
    }
    sl_put(&p, "}");
    sl_json_view_done(&before);
    if (err == SL_E_INVALID)
        err = SL_OK; /* there was none so far */
    if (!err)
        err = p.err ? p.err : set(&n->usage, sl_buf_slice(&merged));
    sl_buf_done(&merged);
    return err;
}

static int keep_message_delta(struct native *n, const struct sl_json_view *v, node *root) {
    sl_buf_clear(&n->delta);
    struct sl_put p = {&n->delta, SL_OK};
    sl_anthropic_members(&p, v, sl_json_get(v, root, "delta"), NULL, 0);
    node *usage = sl_json_get(v, root, "usage");
    return p.err || !usage ? p.err : merge_usage(n, v, usage);
}

static int keep_event(struct native *n, struct sl_slice json) {
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, json, SL_ANTHROPIC_NODES_MAX);
    node *root = err ? NULL : sl_json_root(&view), *type = sl_json_get(&view, root, "type");
    if (sl_json_eq(&view, type, "content_block_delta"))
        err = keep_delta(n, &view, sl_json_get(&view, root, "delta"));
    else if (sl_json_eq(&view, type, "content_block_start"))
        err = keep_block(n, &view, sl_json_get(&view, root, "content_block"));
    else if (sl_json_eq(&view, type, "content_block_stop"))
        err = end_block(n);
    else if (sl_json_eq(&view, type, "message_start"))
        err = keep_start(n, &view, sl_json_get(&view, root, "message"));
    else if (sl_json_eq(&view, type, "message_delta"))
        err = keep_message_delta(n, &view, root);
    else if (sl_json_eq(&view, type, "message_stop"))
        n->stopped = true;
    sl_json_view_done(&view);
    return err;
}

static int finish_message(struct native *n) {
    if (!n->stopped)
        return SL_E_PROTOCOL;
    struct sl_put p = {n->out, SL_OK};
    sl_put_raw(&p, SL_LIT("{"));
    sl_put_raw(&p, sl_buf_slice(&n->head));
    sl_put_key(&p, "content");
    sl_put(&p, "[");
    sl_put_raw(&p, sl_buf_slice(&n->content));
    sl_put(&p, "]");
    if (n->delta.len > 0)
        sl_put_value(&p, sl_buf_slice(&n->delta));
    if (n->usage.len > 0)
        sl_put_member(&p, "usage", sl_buf_slice(&n->usage));
    sl_put(&p, "}");
    return p.err;
}

/* --- the encoder */

static int on_frame(void *ctx, const struct sl_eventstream_message *frame) {
    struct native *n = ctx;
    enum sl_failure kind = sl_frame_failure(frame);
    struct sl_slice type = sl_eventstream_string(frame->headers, SL_LIT(":event-type"));
    if (n->failed)
        return SL_OK;
    sl_buf_clear(&n->json);
    if (kind) {
        n->failed = true;
        int err = sl_frame_message(frame, &n->json);
        if (!err && n->base.whole)
            err = SL_E_PROTOCOL;
        return err ? err
                   : sl_anthropic_error_event(n->out, kind, sl_buf_slice(&n->json), n->ask->id);
    }
    if (!sl_slice_eq(type, SL_LIT("chunk")))
        return SL_OK;
    int err = sl_frame_chunk(frame, &n->json);
    if (!err)
        err = n->base.whole ? keep_event(n, sl_buf_slice(&n->json))
                            : pass_event(n, sl_buf_slice(&n->json));
    return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
}

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    struct native *n = of_base(base);
    n->out = out;
    return n->framed ? sl_frames_feed(&n->frames, bytes, on_frame, n)
                     : sl_buf_add(&n->document, bytes);
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct native *n = of_base(base);
    n->out = out;
    if (n->framed && !sl_frames_at_boundary(&n->frames))
        return SL_E_PROTOCOL;
    if (n->framed && !n->base.whole)
        return n->stopped || n->failed ? SL_OK : SL_E_PROTOCOL;
    if (n->framed)
        return finish_message(n);
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, sl_buf_slice(&n->document), SL_ANTHROPIC_NODES_MAX);
    if (!err)
        err = send_message(n, &view);
    sl_json_view_done(&view);
    return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    struct native *n = of_base(base);
    if (n->base.whole)
        return SL_E_NOTFOUND;
    if (n->failed)
        return SL_OK; /* upstream's own words were passed on */
    n->failed = true;
    return sl_anthropic_error_event(out, kind, message, n->ask->id);
}

static struct sl_buf *const *buffers(struct native *n, struct sl_buf *all[12]) {
    struct block *b = &n->block;
    struct sl_buf *const list[] = {&b->start,     &b->text,        &b->signature, &b->input,
                                   &b->citations, &b->first_input, &n->document,  &n->json,
                                   &n->head,      &n->content,     &n->usage,     &n->delta};
    memcpy(all, list, sizeof(list));
    return all;
}

static void native_free(struct sl_encoder *base) {
    struct native *n = of_base(base);
    struct sl_buf *all[12];
    buffers(n, all);
    for (size_t i = 0; i < 12; i++)
        sl_buf_done(all[i]);
    sl_frames_done(&n->frames);
    sl_free(n);
}

static const struct sl_encoder_ops ops = {feed, finish, broken, native_free};

int sl_anthropic_native_new(const struct sl_ask *ask, const struct sl_source *source,
                            struct sl_arena *arena, struct sl_encoder **out) {
    bool framed = source->framing == SL_FRAMING_EVENTSTREAM;
    if (!framed && !ask->stream) {
        *out = NULL; /* the document is what was asked for */
        return SL_OK;
    }
    struct native *n = sl_calloc(1, sizeof(*n));
    if (!n)
        return SL_E_NOMEM;
    struct sl_buf *all[12];
    buffers(n, all);
    for (size_t i = 0; i < 12; i++)
        sl_buf_init(all[i], SL_ANSWER_MAX);
    sl_frames_init(&n->frames);
    n->base.ops = &ops;
    n->base.whole = !ask->stream;
    n->ask = ask;
    n->framed = framed;
    int err = sl_anthropic_head(&n->base.head, arena, ask);
    if (err)
        native_free(&n->base);
    else
        *out = &n->base;
    return err;
}
