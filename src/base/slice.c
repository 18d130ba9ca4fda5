/* Slices: the comparisons and cuts that are too long to be inline. */
#include "sluice/base/slice.h"

bool sl_slice_ieq_bytes(const char *a, const char *b, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (sl_ascii_lower(a[i]) != sl_ascii_lower(b[i]))
            return false;
    return true;
}

size_t sl_slice_search(struct sl_slice s, struct sl_slice needle) {
    if (needle.len == 0)
        return 0;
    const char *p = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return p ? (size_t)(p - s.ptr) : s.len;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

struct sl_slice sl_slice_trim(struct sl_slice s) {
    while (s.len && is_blank(s.ptr[0]))
        s = sl_slice_skip(s, 1);
    while (s.len && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

bool sl_slice_split(struct sl_slice *rest, char sep, struct sl_slice *part) {
    if (!rest->ptr)
        return false;
    size_t at = sl_slice_find(*rest, sep);
    *part = sl_slice_head(*rest, at);
    if (at == rest->len)
        *rest = (struct sl_slice){NULL, 0};
    else
        *rest = sl_slice_skip(*rest, at + 1);
    return true;
}

bool sl_slice_u64(struct sl_slice s, uint64_t *out) {
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.ptr[i] - '0'), &value))
            return false;
    }
    *out = value;
    return true;
}

bool sl_slice_eq_secret(struct sl_slice a, struct sl_slice b) {
    if (a.len != b.len)
        return false;
    volatile unsigned char diff = 0;
    for (size_t i = 0; i < a.len; i++)
        diff = (unsigned char)(diff | (a.ptr[i] ^ b.ptr[i]));
    return diff == 0;
}
