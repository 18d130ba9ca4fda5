/* An error's document and its event hold the same bytes. */
#include "dialect/tell.h"

#include "sluice/wire/sse.h"

/* What an API says around a message; a byte of that takes six where it is escaped. */
#define AROUND 512

int sl_tell_answer(struct sl_arena *arena, struct sl_headers *headers, struct sl_buf *out,
                   const char *id_name, sl_error_body *body, enum sl_failure kind,
                   struct sl_slice message, const char *id) {
    int err = sl_headers_add(headers, arena, SL_LIT("Content-Type"), SL_LIT("application/json"));
    if (!err && id_name && id)
        err = sl_headers_add(headers, arena, sl_slice_str(id_name), sl_slice_str(id));
    return err ? err : body(out, kind, message, id);
}

int sl_tell_event(struct sl_buf *out, const char *name, sl_error_body *body, enum sl_failure kind,
                  struct sl_slice message, const char *id) {
    struct sl_buf data;
    sl_buf_init(&data, message.len * 6 + AROUND);
    int err = body(&data, kind, message, id);
    if (!err)
        err = sl_sse_encode(out, name ? sl_slice_str(name) : SL_EMPTY, sl_buf_slice(&data));
    sl_buf_done(&data);
    return err;
}

int sl_tell_nothing(enum sl_operation op, enum sl_framing framing, enum sl_failure kind,
                    struct sl_slice message, struct sl_buf *out) {
    (void)op, (void)framing, (void)kind, (void)message, (void)out;
    return SL_E_NOTFOUND;
}
