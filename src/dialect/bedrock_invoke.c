/*
 * InvokeModel and InvokeModelWithResponseStream. Tokens stand in headers of the one and in the last
 * chunk of the other; both are made of the same four numbers.
 */
#include "dialect/bedrock_encode.h"
#include "dialect/usage.h"

#define NODES_MAX ((uint32_t)1 << 18)

struct invoke {
    struct sl_encoder base;
    const struct sl_invoke_shapes *shapes;
    struct sl_arena *arena;
    struct sl_slice latency; /* upstream's header, for the metrics; empty: none */
    struct sl_buf text;      /* a document that becomes a stream */
    struct sl_json_view view;
    struct sl_frames frames; /* a stream that becomes a document */
    struct sl_invoke_join join;
};

static const struct number {
    struct sl_slice header;
    const char *metric;
    size_t offset;
} numbers[] = {
    {SL_LIT("X-Amzn-Bedrock-Input-Token-Count"), "inputTokenCount",
     offsetof(struct sl_usage, input)},
    {SL_LIT("X-Amzn-Bedrock-Output-Token-Count"), "outputTokenCount",
     offsetof(struct sl_usage, output)},
    {SL_LIT("X-Amzn-Bedrock-Cache-Read-Input-Token-Count"), "cacheReadInputTokenCount",
     offsetof(struct sl_usage, cache_read)},
    {SL_LIT("X-Amzn-Bedrock-Cache-Write-Input-Token-Count"), "cacheWriteInputTokenCount",
     offsetof(struct sl_usage, cache_write)},
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static int64_t number_of(const struct sl_usage *usage, const struct number *n) {
    return *(const int64_t *)(const void *)((const char *)usage + n->offset);
}

static int split(struct invoke *e, struct sl_buf *out) {
    struct sl_buf metrics;
    struct sl_put p = {.to = &metrics};
    sl_buf_init(&metrics, 1024);
    sl_usage_from_json(&e->join.usage, sl_buf_slice(&e->text));
    sl_put(&p, "{");
    for (size_t i = 0; i < NUMBERS; i++)
        if (number_of(&e->join.usage, &numbers[i]) >= 0)
            sl_put_member_int(&p, numbers[i].metric, number_of(&e->join.usage, &numbers[i]));
    uint64_t latency;
    if (sl_slice_u64(e->latency, &latency))
        sl_put_member(&p, "invocationLatency", e->latency);
    sl_put(&p, "}");
    int err = p.err ? p.err : e->shapes->split(out, &e->view, sl_buf_slice(&metrics));
    sl_buf_done(&metrics);
    return err;
}

static int add_counts(struct invoke *e) {
    struct sl_headers *headers = &e->base.head.headers;
    sl_usage_from_json(&e->join.usage, sl_buf_slice(&e->join.last));
    int err = SL_OK;
    for (size_t i = 0; !err && i < NUMBERS; i++) {
        struct sl_slice value;
        int64_t number = number_of(&e->join.usage, &numbers[i]);
        if (number < 0 || sl_headers_find(headers, numbers[i].header))
            continue;
        err = sl_arena_printf(e->arena, &value, "%lld", (long long)number);
        if (!err)
            err = sl_headers_add(headers, e->arena, numbers[i].header, value);
    }
    return err;
}

static int on_frame(void *ctx, const struct sl_eventstream_message *frame) {
    struct invoke *e = ctx;
    struct sl_slice type = sl_eventstream_string(frame->headers, SL_LIT(":event-type"));
    if (sl_frame_failure(frame))
        return SL_E_PROTOCOL;
    if (!sl_slice_eq(type, SL_LIT("chunk")))
        return SL_OK;
    struct sl_json_view view;
    sl_buf_clear(&e->join.last);
    int err = sl_frame_chunk(frame, &e->join.last);
    if (err)
        return err;
    err = sl_json_view_parse(&view, sl_buf_slice(&e->join.last), NODES_MAX);
    if (!err)
        err = e->shapes->take(&e->join, &view);
    sl_json_view_done(&view);
    return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
}

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    struct invoke *e = (struct invoke *)base;
    (void)out;
    if (base->whole)
        return sl_frames_feed(&e->frames, bytes, on_frame, e);
    int err = sl_buf_add(&e->text, bytes);
    if (!err)
        err = sl_json_view_feed(&e->view, bytes);
    return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct invoke *e = (struct invoke *)base;
    if (base->whole) {
        if (!sl_frames_at_boundary(&e->frames) || !e->join.stopped)
            return SL_E_PROTOCOL;
        int err = add_counts(e);
        return err ? err : e->shapes->join(out, &e->join);
    }
    int err = sl_json_view_finish(&e->view, sl_buf_slice(&e->text));
    if (!err)
        err = split(e, out);
    return err == SL_E_INVALID || err == SL_E_EOF ? SL_E_PROTOCOL : err;
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    return base->whole ? SL_E_NOTFOUND
                       : sl_eventstream_exception(out, sl_failure_info(kind)->frame_name, message);
}

static void each_buf(struct invoke *e, void (*visit)(struct sl_buf *buf)) {
    struct sl_invoke_join *j = &e->join;
    struct sl_buf *const bufs[] = {&e->text, &j->start,     &j->content,   &j->block, &j->text,
                                   &j->stop, &j->signature, &j->citations, &j->last};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        visit(bufs[i]);
}

static void buf_init(struct sl_buf *buf) {
    sl_buf_init(buf, 2 * SL_ANSWER_MAX);
}

static void release(struct sl_encoder *base) {
    struct invoke *e = (struct invoke *)base;
    each_buf(e, sl_buf_done);
    sl_frames_done(&e->frames);
    sl_json_view_done(&e->view);
}

int sl_invoke_encoder(bool stream, const struct sl_source *source, struct sl_arena *arena,
                      struct sl_encoder **out) {
    static const struct sl_encoder_ops ops = {feed, finish, broken, release};
    struct invoke *e = sl_arena_calloc(arena, 1, sizeof(*e));
    if (!e)
        return SL_E_NOMEM;
    e->base = (struct sl_encoder){.ops = &ops, .whole = !stream};
    e->arena = arena;
    e->shapes =
        sl_model_family(source->model) == SL_FAMILY_CLAUDE ? &sl_invoke_claude : &sl_invoke_llama;
    e->join.usage = SL_USAGE_UNKNOWN;
    each_buf(e, buf_init);
    sl_frames_init(&e->frames);
    sl_json_view_init(&e->view, NODES_MAX);
    int err = sl_bedrock_head(&e->base.head, source, arena, stream, true);
    if (!err && source->head) {
        sl_usage_from_headers(&e->join.usage, &source->head->headers);
        err = sl_arena_copy(
            arena,
            sl_headers_get(&source->head->headers, SL_LIT("x-amzn-bedrock-invocation-latency")),
            &e->latency);
    }
    if (!err)
        *out = &e->base;
    return err;
}
