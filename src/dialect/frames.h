/*
 * Frames out of bytes that arrive in any pieces, for those who look into every one. A frame that
 * arrives whole is handed on where it lies; only one that is cut is kept until its rest comes.
 */
#ifndef SLUICE_SRC_DIALECT_FRAMES_H
#define SLUICE_SRC_DIALECT_FRAMES_H

#include "sluice/core/failure.h"
#include "sluice/wire/eventstream.h"

/* The largest frame, and the largest document, that is looked into. */
#define SL_ANSWER_MAX ((size_t)16 << 20)

struct sl_frames {
    struct sl_buf rest; /* of a frame that is not all there */
};

void sl_frames_init(struct sl_frames *f);
void sl_frames_done(struct sl_frames *f);
/* SL_E_PROTOCOL, SL_E_LIMIT, SL_E_NOMEM, or the first error that on_frame returned. */
SL_NODISCARD int
sl_frames_feed(struct sl_frames *f, struct sl_slice bytes,
               int (*on_frame)(void *ctx, const struct sl_eventstream_message *frame), void *ctx);
/* True between frames. */
bool sl_frames_at_boundary(const struct sl_frames *f);

/* The kind of an exception or error frame; NONE for an event. */
enum sl_failure sl_frame_failure(const struct sl_eventstream_message *frame);
/* Appends what an exception frame says. */
SL_NODISCARD int sl_frame_message(const struct sl_eventstream_message *frame, struct sl_buf *out);
/* Appends the JSON inside a `chunk` event's {"bytes":"<base64>"}. SL_E_PROTOCOL: it has none. */
SL_NODISCARD int sl_frame_chunk(const struct sl_eventstream_message *frame, struct sl_buf *out);

/* Appends an event frame as Bedrock builds it, of JSON. */
SL_NODISCARD int sl_frame_put(struct sl_buf *out, const char *event_type, struct sl_slice payload);
/* A `chunk` event around a model's JSON. */
SL_NODISCARD int sl_frame_put_chunk(struct sl_buf *out, struct sl_slice json);

#endif
