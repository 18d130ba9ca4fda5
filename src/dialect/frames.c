/* Frames are decoded where they lie; what is kept of a cut one is compacted when it is complete. */
#include "dialect/frames.h"

#include <openssl/base64.h>

#include "sluice/wire/json_view.h"

/* Values in a frame's outer JSON: {"bytes":…,"p":…}, {"message":…} and the like. */
#define OUTER_NODES 64

void sl_frames_init(struct sl_frames *f) {
    sl_buf_init(&f->rest, SL_ANSWER_MAX);
}

void sl_frames_done(struct sl_frames *f) {
    sl_buf_done(&f->rest);
}

bool sl_frames_at_boundary(const struct sl_frames *f) {
    return f->rest.len == 0;
}

/* Hands on the frames at the start of *in and moves it behind them. */
static int take(struct sl_slice *in,
                int (*on_frame)(void *ctx, const struct sl_eventstream_message *frame), void *ctx) {
    while (in->len > 0) {
        struct sl_eventstream_message frame;
        int64_t used = sl_eventstream_decode(*in, &frame);
        if (used == SL_E_AGAIN)
            return SL_OK;
        if (used < 0)
            return (int)used;
        int err = on_frame(ctx, &frame);
        if (err)
            return err;
        *in = sl_slice_skip(*in, (size_t)used);
    }
    return SL_OK;
}

int sl_frames_feed(struct sl_frames *f, struct sl_slice bytes,
                   int (*on_frame)(void *ctx, const struct sl_eventstream_message *frame),
                   void *ctx) {
    bool kept = f->rest.len > 0;
    if (kept) {
        int err = sl_buf_add(&f->rest, bytes);
        if (err)
            return err;
        bytes = sl_buf_slice(&f->rest);
    }
    int err = take(&bytes, on_frame, ctx);
    if (err)
        return err;
    if (!kept)
        return sl_buf_add(&f->rest, bytes);
    if (bytes.len > 0 && bytes.ptr != f->rest.ptr)
        memmove(f->rest.ptr, bytes.ptr, bytes.len);
    f->rest.len = bytes.len;
    return SL_OK;
}

enum sl_failure sl_frame_failure(const struct sl_eventstream_message *frame) {
    struct sl_slice type = sl_eventstream_string(frame->headers, SL_LIT(":message-type"));
    bool error = sl_slice_eq(type, SL_LIT("error"));
    if (!error && !sl_slice_eq(type, SL_LIT("exception")))
        return SL_FAILURE_NONE;
    struct sl_slice name = sl_eventstream_string(frame->headers, error ? SL_LIT(":error-code")
                                                                       : SL_LIT(":exception-type"));
    enum sl_failure kind = sl_failure_named(name);
    return kind ? kind : SL_FAILURE_STREAM_ERROR;
}

int sl_frame_message(const struct sl_eventstream_message *frame, struct sl_buf *out) {
    struct sl_slice told = sl_eventstream_string(frame->headers, SL_LIT(":error-message"));
    if (told.len > 0)
        return sl_buf_add(out, told);
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, frame->payload, OUTER_NODES);
    const struct sl_json_node *message =
        err ? NULL : sl_json_get(&view, sl_json_root(&view), "message");
    if (sl_json_is(message, SL_JSON_IS_STRING))
        err = sl_json_text(&view, message, out);
    sl_json_view_done(&view);
    return err == SL_E_NOMEM || err == SL_E_LIMIT ? err : SL_OK;
}

static int add_base64_decoded(struct sl_slice text, struct sl_buf *out) {
    size_t size, len;
    if (text.len == 0)
        return SL_OK; /* and no buffer to point into */
    if (!EVP_DecodedLength(&size, text.len))
        return SL_E_PROTOCOL;
    int err = sl_buf_reserve(out, size);
    if (err)
        return err;
    if (!EVP_DecodeBase64((uint8_t *)out->ptr + out->len, &len, size, (const uint8_t *)text.ptr,
                          text.len))
        return SL_E_PROTOCOL;
    out->len += len;
    return SL_OK;
}

int sl_frame_chunk(const struct sl_eventstream_message *frame, struct sl_buf *out) {
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, frame->payload, OUTER_NODES);
    const struct sl_json_node *bytes =
        err ? NULL : sl_json_get(&view, sl_json_root(&view), "bytes");
    if (!err && !sl_json_is(bytes, SL_JSON_IS_STRING))
        err = SL_E_PROTOCOL;
    /* Base64 needs no escapes, but '/' may have one: only then is the text decoded first. */
    struct sl_slice text = sl_json_inner(&view, bytes);
    struct sl_buf plain;
    sl_buf_init(&plain, SL_ANSWER_MAX);
    if (!err && sl_slice_find(text, '\\') < text.len) {
        err = sl_json_text(&view, bytes, &plain);
        text = sl_buf_slice(&plain);
    }
    if (!err)
        err = add_base64_decoded(text, out);
    sl_buf_done(&plain);
    sl_json_view_done(&view);
    return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
}

int sl_frame_put(struct sl_buf *out, const char *event_type, struct sl_slice payload) {
    const struct sl_eventstream_pair headers[] = {
        {SL_LIT(":event-type"), sl_slice_str(event_type)},
        {SL_LIT(":content-type"), SL_LIT("application/json")},
        {SL_LIT(":message-type"), SL_LIT("event")},
    };
    return sl_eventstream_encode(out, headers, sizeof(headers) / sizeof(headers[0]), payload);
}

int sl_frame_put_chunk(struct sl_buf *out, struct sl_slice json) {
    size_t size;
    struct sl_buf payload;
    sl_buf_init(&payload, 2 * SL_ANSWER_MAX);
    int err =
        EVP_EncodedLength(&size, json.len) ? sl_buf_add_str(&payload, "{\"bytes\":\"") : SL_E_LIMIT;
    if (!err)
        err = sl_buf_reserve(&payload, size);
    if (!err) {
        payload.len += EVP_EncodeBlock((uint8_t *)payload.ptr + payload.len,
                                       (const uint8_t *)json.ptr, json.len);
        err = sl_buf_add_str(&payload, "\"}");
    }
    if (!err)
        err = sl_frame_put(out, "chunk", sl_buf_slice(&payload));
    sl_buf_done(&payload);
    return err;
}
