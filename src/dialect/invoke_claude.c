/*
 * Claude: Anthropic's message and its events. Strings and tool inputs go over as they stand,
 * escapes included; only a tool's input changes its form, from JSON to a string that holds it.
 */
#include "dialect/bedrock_encode.h"

/* What a document's stream tells elsewhere than in message_start, and where. */
static bool told_later(const struct sl_json_view *v, const struct sl_json_node *root,
                       const struct sl_json_node *member) {
    static const char *const names[] = {"content", "stop_reason", "stop_sequence", "usage"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sl_json_get(v, root, names[i]) == member)
            return true;
    return false;
}

/* Bedrock's own additions: amazon-bedrock-trace, amazon-bedrock-guardrailAction, the metrics. */
static bool is_bedrocks(const struct sl_json_view *v, const struct sl_json_node *member) {
    return sl_slice_starts(sl_json_key_raw(v, member), SL_LIT("\"amazon-bedrock-"));
}

struct writer {
    struct sl_buf *out, *scratch;
    const struct sl_json_view *v;
    struct sl_put put;
    int64_t index;
    int err;
};

static struct sl_put *begin_event(struct writer *w, const char *type) {
    sl_buf_clear(w->scratch);
    w->put = (struct sl_put){.to = w->scratch};
    sl_put(&w->put, "{");
    sl_put_member_string(&w->put, "type", sl_slice_str(type));
    return &w->put;
}

static void end_event(struct writer *w) {
    sl_put(&w->put, "}");
    if (!w->err)
        w->err = w->put.err ? w->put.err : sl_frame_put_chunk(w->out, sl_buf_slice(w->scratch));
}

static void message_start(struct writer *w, const struct sl_json_node *root) {
    const struct sl_json_node *usage = sl_json_get(w->v, root, "usage"), *member;
    struct sl_put *p = begin_event(w, "message_start");
    sl_put(p, ",\"message\":{");
    for (member = sl_json_child(w->v, root); member; member = sl_json_next(w->v, member))
        if (!told_later(w->v, root, member) && !is_bedrocks(w->v, member))
            sl_put_copy(p, w->v, member);
    sl_put_member(p, "content", SL_LIT("[]"));
    sl_put_member(p, "stop_reason", SL_LIT("null"));
    sl_put_member(p, "stop_sequence", SL_LIT("null"));
    sl_put_key(p, "usage");
    sl_put(p, "{");
    /* Output is counted up to here, as Anthropic does; message_delta tells its sum. */
    for (member = sl_json_child(w->v, usage); member; member = sl_json_next(w->v, member))
        if (sl_json_get(w->v, usage, "output_tokens") != member)
            sl_put_copy(p, w->v, member);
    sl_put_member_int(p, "output_tokens", 1);
    sl_put(p, "}}");
    end_event(w);
}

/* One delta; value is JSON as it stands. */
static void delta(struct writer *w, const char *type, const char *name, struct sl_slice value) {
    if (value.len == 0)
        return;
    struct sl_put *p = begin_event(w, "content_block_delta");
    sl_put_member_int(p, "index", w->index);
    sl_put_key(p, "delta");
    sl_put(p, "{");
    sl_put_member_string(p, "type", sl_slice_str(type));
    sl_put_member(p, name, value);
    sl_put(p, "}");
    end_event(w);
}

static void input_delta(struct writer *w, struct sl_slice input) {
    struct sl_buf quoted;
    sl_buf_init(&quoted, 2 * SL_ANSWER_MAX);
    int err = sl_buf_add_json(&quoted, input);
    if (err)
        w->err = err;
    else
        delta(w, "input_json_delta", "partial_json", sl_buf_slice(&quoted));
    sl_buf_done(&quoted);
}

/* Members of a block that come as deltas, and what stands for them when it starts. */
static const struct streamed {
    const char *block, *member, *delta, *name, *empty;
} streamed[] = {
    {"text", "text", "text_delta", "text", "\"\""},
    {"text", "citations", "citations_delta", "citation", NULL},
    {"thinking", "thinking", "thinking_delta", "thinking", "\"\""},
    {"thinking", "signature", "signature_delta", "signature", "\"\""},
    {"tool_use", "input", "input_json_delta", "partial_json", "{}"},
};
#define STREAMED (sizeof(streamed) / sizeof(streamed[0]))

static const struct streamed *streamed_member(const struct sl_json_view *v,
                                              const struct sl_json_node *block,
                                              const struct sl_json_node *member) {
    const struct sl_json_node *type = sl_json_get(v, block, "type");
    for (size_t i = 0; i < STREAMED; i++)
        if (sl_json_eq(v, type, streamed[i].block) &&
            sl_json_get(v, block, streamed[i].member) == member)
            return &streamed[i];
    return NULL;
}

static void block_deltas(struct writer *w, const struct sl_json_node *block) {
    const struct sl_json_node *type = sl_json_get(w->v, block, "type");
    for (size_t i = 0; i < STREAMED; i++) {
        const struct streamed *s = &streamed[i];
        const struct sl_json_node *value = sl_json_get(w->v, block, s->member);
        if (!value || !sl_json_eq(w->v, type, s->block))
            continue;
        if (strcmp(s->member, "input") == 0) {
            input_delta(w, sl_json_raw(w->v, value));
        } else if (sl_json_is(value, SL_JSON_IS_ARRAY)) {
            for (value = sl_json_child(w->v, value); value; value = sl_json_next(w->v, value))
                delta(w, s->delta, s->name, sl_json_raw(w->v, value));
        } else if (sl_json_is(value, SL_JSON_IS_STRING)) {
            delta(w, s->delta, s->name, sl_json_raw(w->v, value));
        }
    }
}

static void content_block(struct writer *w, const struct sl_json_node *block) {
    const struct sl_json_node *member;
    struct sl_put *p = begin_event(w, "content_block_start");
    sl_put_member_int(p, "index", w->index);
    sl_put_key(p, "content_block");
    sl_put(p, "{");
    for (member = sl_json_child(w->v, block); member; member = sl_json_next(w->v, member)) {
        const struct streamed *s = streamed_member(w->v, block, member);
        if (!s)
            sl_put_copy(p, w->v, member);
        else if (s->empty)
            sl_put_member(p, s->member, sl_slice_str(s->empty));
    }
    sl_put(p, "}");
    end_event(w);
    block_deltas(w, block);
    p = begin_event(w, "content_block_stop");
    sl_put_member_int(p, "index", w->index++);
    end_event(w);
}

static void message_end(struct writer *w, const struct sl_json_node *root,
                        struct sl_slice metrics) {
    static const char *const names[] = {"stop_reason", "stop_sequence"};
    const struct sl_json_node *member = sl_json_get(w->v, root, "usage");
    struct sl_slice output = sl_json_raw(w->v, sl_json_get(w->v, member, "output_tokens"));
    struct sl_put *p = begin_event(w, "message_delta");
    sl_put_key(p, "delta");
    sl_put(p, "{");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sl_slice value = sl_json_raw(w->v, sl_json_get(w->v, root, names[i]));
        sl_put_member(p, names[i], value.len ? value : SL_LIT("null"));
    }
    sl_put(p, "}");
    if (output.len > 0) {
        sl_put_key(p, "usage");
        sl_put(p, "{");
        sl_put_member(p, "output_tokens", output);
        sl_put(p, "}");
    }
    end_event(w);
    p = begin_event(w, "message_stop");
    for (member = sl_json_child(w->v, root); member; member = sl_json_next(w->v, member))
        if (is_bedrocks(w->v, member) && sl_json_get(w->v, root, SL_METRICS_KEY) != member)
            sl_put_copy(p, w->v, member);
    sl_put_member(p, SL_METRICS_KEY, metrics);
    end_event(w);
}

static int split(struct sl_buf *out, const struct sl_json_view *v, struct sl_slice metrics) {
    const struct sl_json_node *root = sl_json_root(v), *content = sl_json_get(v, root, "content");
    struct sl_buf scratch;
    if (!sl_json_is(content, SL_JSON_IS_ARRAY))
        return SL_E_PROTOCOL;
    sl_buf_init(&scratch, 2 * SL_ANSWER_MAX);
    struct writer w = {.out = out, .scratch = &scratch, .v = v};
    message_start(&w, root);
    const struct sl_json_node *block = sl_json_child(v, content);
    for (; !w.err && block; block = sl_json_next(v, block))
        content_block(&w, block);
    message_end(&w, root, metrics);
    sl_buf_done(&scratch);
    return w.err;
}

static int replace(struct sl_buf *to, struct sl_slice value) {
    sl_buf_clear(to);
    return sl_buf_add(to, value);
}

static int take_block_start(struct sl_invoke_join *join, const struct sl_json_view *v,
                            const struct sl_json_node *block) {
    join->open = true;
    sl_buf_clear(&join->signature);
    sl_buf_clear(&join->citations);
    sl_buf_clear(&join->text);
    int err = replace(&join->block, sl_json_raw(v, block));
    const struct sl_json_node *member = sl_json_child(v, block);
    for (; !err && member; member = sl_json_next(v, member)) {
        const struct streamed *s = streamed_member(v, block, member);
        bool signature = s && strcmp(s->member, "signature") == 0;
        if (s && s->empty) /* what a start already says */
            err = sl_buf_add(signature ? &join->signature : &join->text, sl_json_inner(v, member));
    }
    return err;
}

/* Text goes over with its escapes; a tool's input is unwrapped from its string. */
static int take_delta(struct sl_invoke_join *join, const struct sl_json_view *v,
                      const struct sl_json_node *d) {
    const struct sl_json_node *piece;
    struct sl_put citations = {.to = &join->citations};
    if ((piece = sl_json_get(v, d, "partial_json")) != NULL)
        return sl_json_is(piece, SL_JSON_IS_STRING) ? sl_json_text(v, piece, &join->text)
                                                    : SL_E_PROTOCOL;
    if ((piece = sl_json_get(v, d, "signature")) != NULL)
        return sl_buf_add(&join->signature, sl_json_inner(v, piece));
    if ((piece = sl_json_get(v, d, "citation")) != NULL) {
        sl_put_value(&citations, sl_json_raw(v, piece));
        return citations.err;
    }
    piece = sl_json_get(v, d, "text");
    return sl_buf_add(&join->text, sl_json_inner(v, piece ? piece : sl_json_get(v, d, "thinking")));
}

/* The gathered value of a member that came in deltas. */
static void put_gathered(struct sl_put *p, const struct sl_invoke_join *join, const char *member) {
    struct sl_slice input = sl_buf_slice(&join->text);
    bool is_input = strcmp(member, "input") == 0, signature = strcmp(member, "signature") == 0;
    sl_put_key(p, member);
    if (!is_input) {
        sl_put(p, "\"");
        sl_put_raw(p, sl_buf_slice(signature ? &join->signature : &join->text));
        sl_put(p, "\"");
    } else if (input.len == 0) {
        sl_put(p, "{}");
    } else if (sl_put_can(input, false)) {
        sl_put_raw(p, input);
    } else {
        sl_put_string(p, input);
    }
}

static int take_block_stop(struct sl_invoke_join *join) {
    struct sl_json_view view;
    struct sl_put p = {.to = &join->content};
    if (!join->open)
        return SL_E_PROTOCOL;
    join->open = false;
    int err = sl_json_view_parse(&view, sl_buf_slice(&join->block), 1U << 16);
    const struct sl_json_node *block = err ? NULL : sl_json_root(&view), *member;
    sl_put_open(&p, "{");
    for (member = sl_json_child(&view, block); member; member = sl_json_next(&view, member)) {
        const struct streamed *s = streamed_member(&view, block, member);
        if (!s)
            sl_put_copy(&p, &view, member);
        else if (s->empty && strcmp(s->member, "signature") != 0)
            put_gathered(&p, join, s->member);
    }
    if (join->signature.len > 0)
        put_gathered(&p, join, "signature");
    if (join->citations.len > 0) {
        sl_put_key(&p, "citations");
        sl_put(&p, "[");
        sl_put_raw(&p, sl_buf_slice(&join->citations));
        sl_put(&p, "]");
    }
    sl_put(&p, "}");
    sl_json_view_done(&view);
    return err ? err : p.err;
}

static int take(struct sl_invoke_join *join, const struct sl_json_view *v) {
    const struct sl_json_node *root = sl_json_root(v), *type = sl_json_get(v, root, "type");
    if (sl_json_eq(v, type, "content_block_delta"))
        return join->open ? take_delta(join, v, sl_json_get(v, root, "delta")) : SL_E_PROTOCOL;
    if (sl_json_eq(v, type, "content_block_start"))
        return take_block_start(join, v, sl_json_get(v, root, "content_block"));
    if (sl_json_eq(v, type, "content_block_stop"))
        return take_block_stop(join);
    if (sl_json_eq(v, type, "message_start"))
        return replace(&join->start, sl_json_raw(v, sl_json_get(v, root, "message")));
    if (sl_json_eq(v, type, "message_delta"))
        return replace(&join->stop, sl_json_raw(v, root));
    if (sl_json_eq(v, type, "message_stop"))
        join->stopped = join->start.len > 0 && join->stop.len > 0;
    return SL_OK;
}

/* The members of b, and those of a that b has not. */
static void put_merged(struct sl_put *p, const struct sl_json_view *va,
                       const struct sl_json_node *a, const struct sl_json_view *vb,
                       const struct sl_json_node *b) {
    const struct sl_json_node *member, *other;
    for (member = sl_json_child(va, a); member; member = sl_json_next(va, member)) {
        for (other = sl_json_child(vb, b); other; other = sl_json_next(vb, other))
            if (sl_slice_eq(sl_json_key_raw(va, member), sl_json_key_raw(vb, other)))
                break;
        if (!other)
            sl_put_copy(p, va, member);
    }
    for (other = sl_json_child(vb, b); other; other = sl_json_next(vb, other))
        sl_put_copy(p, vb, other);
}

static void put_document(struct sl_put *p, const struct sl_invoke_join *join,
                         const struct sl_json_view *start, const struct sl_json_view *stop,
                         const struct sl_json_view *last) {
    const struct sl_json_node *message = sl_json_root(start), *end = sl_json_root(stop), *member;
    const struct sl_json_node *tail = sl_json_root(last);
    sl_put(p, "{");
    for (member = sl_json_child(start, message); member; member = sl_json_next(start, member))
        if (!told_later(start, message, member))
            sl_put_copy(p, start, member);
    sl_put_key(p, "content");
    sl_put(p, "[");
    sl_put_raw(p, sl_buf_slice(&join->content));
    sl_put(p, "]");
    for (member = sl_json_child(stop, sl_json_get(stop, end, "delta")); member;
         member = sl_json_next(stop, member))
        sl_put_copy(p, stop, member);
    sl_put_key(p, "usage");
    sl_put(p, "{");
    put_merged(p, start, sl_json_get(start, message, "usage"), stop,
               sl_json_get(stop, end, "usage"));
    sl_put(p, "}");
    for (member = sl_json_child(last, tail); member; member = sl_json_next(last, member))
        if (is_bedrocks(last, member) && sl_json_get(last, tail, SL_METRICS_KEY) != member)
            sl_put_copy(p, last, member);
    sl_put(p, "}");
}

static int join_document(struct sl_buf *out, const struct sl_invoke_join *join) {
    const struct sl_buf *const texts[] = {&join->start, &join->stop, &join->last};
    struct sl_json_view views[3] = {0};
    struct sl_put p = {.to = out};
    int err = SL_OK;
    for (size_t i = 0; !err && i < 3; i++)
        err = sl_json_view_parse(&views[i], sl_buf_slice(texts[i]), 1U << 16);
    if (!err)
        put_document(&p, join, &views[0], &views[1], &views[2]);
    for (size_t i = 0; i < 3; i++)
        sl_json_view_done(&views[i]);
    return err ? err : p.err;
}

const struct sl_invoke_shapes sl_invoke_claude = {split, take, join_document};
