/*
 * Percent-encoding in two passes: the first finds the exact size (and, decoding, every
 * malformed escape), the second writes. So a buffer near its maximum is refused only
 * when the result really does not fit, and a refusal leaves it as it was.
 */
#include "sluice/wire/uri.h"

/* RFC 3986 2.3; what AWS's signing leaves alone. */
static const bool unreserved[256] = {
    ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['-'] = true,
    ['.'] = true,         ['_'] = true,         ['~'] = true,
};

static bool is_kept(char c, bool keep_slash) {
    return unreserved[(unsigned char)c] || (keep_slash && c == '/');
}

/* The value of a hexadecimal digit, or -1. */
static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = sl_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int sl_uri_encode(struct sl_buf *out, struct sl_slice s, bool keep_slash) {
    static const char digits[] = "0123456789ABCDEF";
    size_t escapes = 0;
    if (s.len == 0)
        return SL_OK;
    for (size_t i = 0; i < s.len; i++)
        escapes += !is_kept(s.ptr[i], keep_slash);
    int rc = sl_buf_reserve(out, s.len + 2 * escapes);
    if (rc < 0)
        return rc;
    char *to = out->ptr + out->len;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (is_kept((char)c, keep_slash)) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    out->len += s.len + 2 * escapes;
    return SL_OK;
}

int sl_uri_decode(struct sl_buf *out, struct sl_slice s) {
    size_t escapes = 0;
    if (s.len == 0)
        return SL_OK;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] != '%')
            continue;
        if (s.len - i < 3 || hex_value(s.ptr[i + 1]) < 0 || hex_value(s.ptr[i + 2]) < 0)
            return SL_E_INVALID;
        escapes++;
        i += 2;
    }
    int rc = sl_buf_reserve(out, s.len - 2 * escapes);
    if (rc < 0)
        return rc;
    char *to = out->ptr + out->len;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '%') {
            *to++ = (char)(hex_value(s.ptr[i + 1]) << 4 | hex_value(s.ptr[i + 2]));
            i += 2;
        } else {
            *to++ = s.ptr[i];
        }
    }
    out->len += s.len - 2 * escapes;
    return SL_OK;
}
