/*
 * A growing byte buffer that knows its maximum from the start. For text that is
 * built up (headers, log lines, JSON); bodies live in chains.
 *
 *   ptr                len            cap      max
 *    |-- content -------|--- free -----|........|
 */
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

struct sl_buf {
    char *ptr;
    size_t len, cap, max;
};

void sl_buf_init(struct sl_buf *buf, size_t max);
void sl_buf_done(struct sl_buf *buf);        /* frees; the buffer may be used again */
void sl_buf_done_secret(struct sl_buf *buf); /* wipes, then frees */
static inline void sl_buf_clear(struct sl_buf *buf) {
    buf->len = 0;
}
static inline struct sl_slice sl_buf_slice(const struct sl_buf *buf) {
    return sl_slice_of(buf->ptr ? buf->ptr : "", buf->len);
}
/* Room for `extra` more bytes behind len. SL_E_LIMIT beyond max, SL_E_NOMEM; content stays. */
SL_NODISCARD int sl_buf_reserve(struct sl_buf *buf, size_t extra);
/* All of these append, or leave the content as it was and return SL_E_LIMIT or SL_E_NOMEM. */
SL_NODISCARD int sl_buf_add(struct sl_buf *buf, struct sl_slice s);
SL_NODISCARD int sl_buf_add_str(struct sl_buf *buf, const char *s);
SL_NODISCARD int sl_buf_add_byte(struct sl_buf *buf, char c);
SL_NODISCARD int sl_buf_add_u64(struct sl_buf *buf, uint64_t value);
SL_NODISCARD int sl_buf_printf(struct sl_buf *buf, const char *fmt, ...) SL_PRINTF(2, 3);
/* Lower-case hexadecimal digits of the bytes. */
SL_NODISCARD int sl_buf_add_hex(struct sl_buf *buf, const uint8_t *bytes, size_t len);
/* A JSON string with its quotes: control characters escaped, bytes >= 0x80 as they are. */
SL_NODISCARD int sl_buf_add_json(struct sl_buf *buf, struct sl_slice s);
/* A NUL behind the content (not counted in len), so that ptr serves as a C string. */
SL_NODISCARD int sl_buf_terminate(struct sl_buf *buf);

#endif
