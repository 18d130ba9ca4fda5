/*
 * Documents are kept until they are whole and indexed as they arrive; streams are read frame by
 * frame. Whatever upstream's numbers of blocks are, events have dense ones, and one block ends
 * before the next begins.
 */
#include "dialect/reply_own.h"

#include "dialect/usage.h"
#include "sluice/base/mem.h"

static const struct sl_reply_shape *shape_of(enum sl_operation op, enum sl_family family) {
    if (op == SL_OP_CONVERSE || op == SL_OP_CONVERSE_STREAM)
        return &sl_reply_converse;
    if (op != SL_OP_INVOKE_MODEL && op != SL_OP_INVOKE_MODEL_STREAM)
        return NULL;
    switch (family) {
    case SL_FAMILY_CLAUDE:
        return &sl_reply_claude;
    case SL_FAMILY_NOVA:
        return &sl_reply_nova;
    case SL_FAMILY_LLAMA2:
    case SL_FAMILY_LLAMA3:
    case SL_FAMILY_LLAMA4:
    case SL_FAMILY_TITAN_TEXT:
    case SL_FAMILY_MISTRAL:
    case SL_FAMILY_COHERE_COMMAND:
    case SL_FAMILY_COHERE_COMMAND_R:
    case SL_FAMILY_DEEPSEEK:
    case SL_FAMILY_JURASSIC:
    case SL_FAMILY_UNKNOWN:
        return &sl_reply_plain;
    default:
        return NULL;
    }
}

struct sl_reply_reader *sl_reply_reader_new(const struct sl_source *source,
                                            int (*on_event)(void *ctx,
                                                            const struct sl_reply_event *event),
                                            void *ctx, bool *supported) {
    enum sl_family family = sl_model_family(source->model);
    const struct sl_reply_shape *shape = shape_of(source->operation, family);
    *supported = shape != NULL && source->framing != SL_FRAMING_SSE;
    struct sl_reply_reader *r = *supported ? sl_calloc(1, sizeof(*r)) : NULL;
    if (!r)
        return NULL;
    r->on_event = on_event;
    r->ctx = ctx;
    r->shape = shape;
    r->family = family;
    r->framed = source->framing == SL_FRAMING_EVENTSTREAM;
    r->chunked = r->framed && shape != &sl_reply_converse;
    r->usage = SL_USAGE_UNKNOWN;
    if (source->head)
        sl_usage_from_headers(&r->usage, &source->head->headers);
    sl_frames_init(&r->frames);
    sl_buf_init(&r->document, SL_ANSWER_MAX);
    sl_json_view_init(&r->view, SL_REPLY_NODES_MAX);
    struct sl_buf *const scratch[] = {&r->text, &r->id, &r->name, &r->raw};
    for (size_t i = 0; i < sizeof(scratch) / sizeof(scratch[0]); i++)
        sl_buf_init(scratch[i], SL_ANSWER_MAX);
    return r;
}

void sl_reply_reader_free(struct sl_reply_reader *r) {
    if (!r)
        return;
    sl_frames_done(&r->frames);
    sl_json_view_done(&r->view);
    sl_buf_done(&r->document);
    sl_buf_done(&r->text);
    sl_buf_done(&r->id);
    sl_buf_done(&r->name);
    sl_buf_done(&r->raw);
    sl_free(r);
}

static int emit(struct sl_reply_reader *r, const struct sl_reply_event *event) {
    return r->on_event(r->ctx, event);
}

int sl_reply_start(struct sl_reply_reader *r, struct sl_slice raw) {
    if (r->started)
        return SL_OK;
    r->started = true;
    return emit(r, &(struct sl_reply_event){.kind = SL_REPLY_START, .raw = raw});
}

int sl_reply_block_end(struct sl_reply_reader *r) {
    if (!r->open)
        return SL_OK;
    r->open = false;
    return emit(r, &(struct sl_reply_event){
                       .kind = SL_REPLY_BLOCK_END, .index = r->index++, .block = r->block});
}

/* The string's text into `to`, which is cleared first. Anything but a string is no text. */
static int decode(const struct sl_json_view *view, const struct sl_json_node *node,
                  struct sl_buf *to) {
    sl_buf_clear(to);
    return sl_json_is(node, SL_JSON_IS_STRING) ? sl_json_text(view, node, to) : SL_OK;
}

int sl_reply_block(struct sl_reply_reader *r, const struct sl_json_view *view,
                   const struct sl_reply_block_start *start) {
    if (r->stopped)
        return SL_E_PROTOCOL; /* content behind the end */
    int err = sl_reply_start(r, SL_LIT("{\"role\":\"assistant\"}"));
    if (!err)
        err = sl_reply_block_end(r);
    if (!err)
        err = decode(view, start->id, &r->id);
    if (!err)
        err = decode(view, start->name, &r->name);
    if (err)
        return err;
    r->open = true;
    r->block = start->block;
    r->upstream = start->upstream;
    return emit(r, &(struct sl_reply_event){.kind = SL_REPLY_BLOCK,
                                            .index = r->index,
                                            .block = r->block,
                                            .raw = start->raw,
                                            .tool_id = sl_buf_slice(&r->id),
                                            .tool_name = sl_buf_slice(&r->name)});
}

int sl_reply_need(struct sl_reply_reader *r, enum sl_reply_block block, int64_t upstream) {
    if (r->open && r->upstream == upstream && r->block == block)
        return SL_OK;
    return sl_reply_block(
        r, NULL,
        &(struct sl_reply_block_start){.block = block, .upstream = upstream, .raw = SL_EMPTY});
}

int sl_reply_text(struct sl_reply_reader *r, enum sl_reply_kind kind, struct sl_slice text) {
    struct sl_reply_event event = {.kind = kind, .index = r->index, .block = r->block};
    if (text.len == 0)
        return SL_OK;
    if (kind == SL_REPLY_OTHER)
        event.raw = text;
    else
        event.text = text;
    return emit(r, &event);
}

int sl_reply_piece(struct sl_reply_reader *r, enum sl_reply_kind kind,
                   const struct sl_json_view *view, const struct sl_json_node *node) {
    int err = decode(view, node, &r->text);
    return err ? err : sl_reply_text(r, kind, sl_buf_slice(&r->text));
}

int sl_reply_stop(struct sl_reply_reader *r, const struct sl_json_view *view,
                  struct sl_slice reason, const struct sl_json_node *sequence,
                  struct sl_slice raw) {
    int err = sl_reply_start(r, SL_LIT("{\"role\":\"assistant\"}"));
    if (!err)
        err = sl_reply_block_end(r);
    if (!err)
        err = decode(view, sequence, &r->text);
    if (err || r->stopped)
        return err;
    r->stopped = true;
    return emit(r, &(struct sl_reply_event){.kind = SL_REPLY_STOP,
                                            .stop_reason = reason,
                                            .stop_sequence = sl_buf_slice(&r->text),
                                            .raw = raw});
}

int sl_reply_usage(struct sl_reply_reader *r, struct sl_slice raw) {
    return emit(r, &(struct sl_reply_event){.kind = SL_REPLY_USAGE, .usage = r->usage, .raw = raw});
}

static int on_exception(struct sl_reply_reader *r, const struct sl_eventstream_message *frame,
                        enum sl_failure kind) {
    sl_buf_clear(&r->text);
    int err = sl_frame_message(frame, &r->text);
    r->failed = true;
    return err ? err
               : emit(r, &(struct sl_reply_event){.kind = SL_REPLY_EXCEPTION,
                                                  .failure = kind,
                                                  .text = sl_buf_slice(&r->text)});
}

static int on_json(struct sl_reply_reader *r, struct sl_slice type, struct sl_slice json) {
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, json, SL_REPLY_NODES_MAX);
    if (!err)
        err = r->shape->event(r, &view, type);
    else if (err == SL_E_INVALID)
        err = SL_E_PROTOCOL;
    sl_json_view_done(&view);
    return err;
}

static int on_frame(void *ctx, const struct sl_eventstream_message *frame) {
    struct sl_reply_reader *r = ctx;
    enum sl_failure kind = sl_frame_failure(frame);
    if (r->failed)
        return SL_OK; /* nothing of worth follows an exception */
    if (kind)
        return on_exception(r, frame, kind);
    struct sl_slice type = sl_eventstream_string(frame->headers, SL_LIT(":event-type"));
    if (!r->chunked)
        return on_json(r, type, frame->payload);
    if (!sl_slice_eq(type, SL_LIT("chunk")))
        return SL_OK; /* as SDKs do with events they do not know */
    struct sl_buf json;
    sl_buf_init(&json, SL_ANSWER_MAX);
    int err = sl_frame_chunk(frame, &json);
    if (!err)
        err = on_json(r, type, sl_buf_slice(&json));
    sl_buf_done(&json);
    return err;
}

int sl_reply_reader_feed(struct sl_reply_reader *r, struct sl_slice bytes) {
    if (r->framed)
        return sl_frames_feed(&r->frames, bytes, on_frame, r);
    int err = sl_buf_add(&r->document, bytes);
    if (!err)
        err = sl_json_view_feed(&r->view, bytes);
    return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
}

int sl_reply_reader_finish(struct sl_reply_reader *r) {
    if (r->framed) {
        bool complete = sl_frames_at_boundary(&r->frames) && (r->stopped || r->failed);
        return complete ? SL_OK : SL_E_PROTOCOL;
    }
    int err = sl_json_view_finish(&r->view, sl_buf_slice(&r->document));
    if (err)
        return err == SL_E_NOMEM || err == SL_E_LIMIT ? err : SL_E_PROTOCOL;
    sl_usage_from_json(&r->usage, sl_buf_slice(&r->document));
    return r->shape->document(r, &r->view);
}
