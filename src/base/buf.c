/* A growing byte buffer with a maximum. Capacity doubles, so appending is O(1) amortised. */
#include "sluice/base/buf.h"

#include <stdio.h>
#include <string.h>

#include "sluice/base/mem.h"
#include "sluice/base/slab.h"

#define FIRST_CAPACITY 128

/* Most buffers are small and short-lived: up to this capacity they are blocks of the slab. */
static _Thread_local struct sl_slab first_blocks = {.size = FIRST_CAPACITY, .keep = 512};

void sl_buf_init(struct sl_buf *buf, size_t max) {
    *buf = (struct sl_buf){.max = max};
}

void sl_buf_done(struct sl_buf *buf) {
    if (buf->cap <= FIRST_CAPACITY)
        sl_slab_give(&first_blocks, buf->ptr);
    else
        sl_free(buf->ptr);
    sl_buf_init(buf, buf->max);
}

void sl_buf_done_secret(struct sl_buf *buf) {
    if (buf->ptr)
        explicit_bzero(buf->ptr, buf->cap);
    sl_buf_done(buf);
}

int sl_buf_reserve(struct sl_buf *buf, size_t extra) {
    size_t need;
    if (__builtin_add_overflow(buf->len, extra, &need) || need > buf->max)
        return SL_E_LIMIT;
    if (need <= buf->cap)
        return SL_OK;
    size_t cap = buf->cap ? buf->cap : FIRST_CAPACITY;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > buf->max)
        cap = buf->max;
    bool first = !buf->ptr && cap <= FIRST_CAPACITY;
    char *ptr = first ? sl_slab_take(&first_blocks) : sl_realloc(buf->ptr, cap);
    if (!ptr)
        return SL_E_NOMEM;
    buf->ptr = ptr;
    buf->cap = cap;
    return SL_OK;
}

int sl_buf_add(struct sl_buf *buf, struct sl_slice s) {
    int err = sl_buf_reserve(buf, s.len);
    if (err)
        return err;
    if (s.len)
        memcpy(buf->ptr + buf->len, s.ptr, s.len);
    buf->len += s.len;
    return SL_OK;
}

int sl_buf_add_str(struct sl_buf *buf, const char *s) {
    return sl_buf_add(buf, sl_slice_str(s));
}

int sl_buf_add_byte(struct sl_buf *buf, char c) {
    return sl_buf_add(buf, sl_slice_of(&c, 1));
}

int sl_buf_add_u64(struct sl_buf *buf, uint64_t value) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return sl_buf_add(buf, sl_slice_of(digits + at, sizeof(digits) - at));
}

int sl_buf_printf(struct sl_buf *buf, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0)
        return SL_E_INVALID;
    /* vsnprintf writes a NUL behind the text; it needs room, also at the maximum. */
    if ((size_t)len > buf->max - buf->len)
        return SL_E_LIMIT;
    char small[512];
    char *text = (size_t)len < sizeof(small) ? small : sl_alloc((size_t)len + 1);
    if (!text)
        return SL_E_NOMEM;
    va_start(args, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    int err = sl_buf_add(buf, sl_slice_of(text, (size_t)len));
    if (text != small)
        sl_free(text);
    return err;
}

int sl_buf_add_hex(struct sl_buf *buf, const uint8_t *bytes, size_t len) {
    static const char digits[] = "0123456789abcdef";
    int err = sl_buf_reserve(buf, len * 2);
    if (err)
        return err;
    for (size_t i = 0; i < len; i++) {
        buf->ptr[buf->len++] = digits[bytes[i] >> 4];
        buf->ptr[buf->len++] = digits[bytes[i] & 15];
    }
    return SL_OK;
}

/* The escape of a byte inside a JSON string, or NULL where it stands for itself. */
static const char *json_escape(unsigned char c, char scratch[8]) {
    static const char digits[] = "0123456789abcdef";
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20 && c != 0x7f)
            return NULL;
        memcpy(scratch, "\\u00", 4);
        scratch[4] = digits[c >> 4];
        scratch[5] = digits[c & 15];
        scratch[6] = '\0';
        return scratch;
    }
}

int sl_buf_add_json(struct sl_buf *buf, struct sl_slice s) {
    size_t before = buf->len, plain = 0;
    char scratch[8];
    int err = sl_buf_add_byte(buf, '"');
    for (size_t i = 0; !err && i < s.len; i++) {
        const char *escape = json_escape((unsigned char)s.ptr[i], scratch);
        if (!escape)
            continue;
        err = sl_buf_add(buf, sl_slice_of(s.ptr + plain, i - plain));
        if (!err)
            err = sl_buf_add_str(buf, escape);
        plain = i + 1;
    }
    if (!err)
        err = sl_buf_add(buf, sl_slice_skip(s, plain));
    if (!err)
        err = sl_buf_add_byte(buf, '"');
    if (err)
        buf->len = before;
    return err;
}

int sl_buf_terminate(struct sl_buf *buf) {
    int err = sl_buf_add_byte(buf, '\0');
    if (!err)
        buf->len--;
    return err;
}
