/*
 * A slice is a borrowed run of bytes: pointer and length, passed by value, never
 * owned, never NUL-terminated. Whoever makes one says how long the bytes live.
 */
#ifndef SLUICE_BASE_SLICE_H
#define SLUICE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sl_slice {
    const char *ptr;
    size_t len;
};

/* A slice over a string literal. */
#define SL_LIT(s) ((struct sl_slice){("" s), sizeof(s) - 1})
#define SL_EMPTY  ((struct sl_slice){"", 0})
/* For printf: "%.*s", SL_FMT(slice). */
#define SL_FMT(s) (int)(s).len, (s).ptr

static inline struct sl_slice sl_slice_of(const void *ptr, size_t len) {
    return (struct sl_slice){ptr, len};
}

/* From a NUL-terminated string; NULL gives the empty slice. */
static inline struct sl_slice sl_slice_str(const char *s) {
    return s ? (struct sl_slice){s, strlen(s)} : SL_EMPTY;
}

static inline bool sl_slice_eq(struct sl_slice a, struct sl_slice b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline char sl_ascii_lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool sl_slice_ieq_bytes(const char *a, const char *b, size_t len);
/* Equal without regard to ASCII case, as HTTP header names compare. Most differ in length. */
static inline bool sl_slice_ieq(struct sl_slice a, struct sl_slice b) {
    return a.len == b.len && sl_slice_ieq_bytes(a.ptr, b.ptr, a.len);
}

static inline bool sl_slice_starts(struct sl_slice s, struct sl_slice prefix) {
    return prefix.len == 0 || (s.len >= prefix.len && memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool sl_slice_ends(struct sl_slice s, struct sl_slice suffix) {
    return suffix.len == 0 ||
           (s.len >= suffix.len && memcmp(s.ptr + s.len - suffix.len, suffix.ptr, suffix.len) == 0);
}

/* What is left after the first n bytes; n beyond the end gives the empty slice. */
static inline struct sl_slice sl_slice_skip(struct sl_slice s, size_t n) {
    if (n == 0 || s.len == 0)
        return s; /* ptr may be NULL: not even zero may be added to it */
    if (n > s.len)
        n = s.len;
    return (struct sl_slice){s.ptr + n, s.len - n};
}

static inline struct sl_slice sl_slice_head(struct sl_slice s, size_t n) {
    return (struct sl_slice){s.ptr, n < s.len ? n : s.len};
}

/* Index of the first byte c, or s.len where there is none. */
static inline size_t sl_slice_find(struct sl_slice s, char c) {
    const char *p = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return p ? (size_t)(p - s.ptr) : s.len;
}

/* Position of needle in s, or s.len where it does not occur. */
size_t sl_slice_search(struct sl_slice s, struct sl_slice needle);

/* Without leading and trailing spaces and tabs (RFC 9110 OWS). */
struct sl_slice sl_slice_trim(struct sl_slice s);

/*
 * Takes the part of *rest before the next sep into *part and moves *rest behind it.
 * False when *rest is used up (ptr NULL). "a,,b" gives "a", "", "b"; "" gives one "".
 */
bool sl_slice_split(struct sl_slice *rest, char sep, struct sl_slice *part);

/* Decimal digits only, no sign, no space. False on empty, other bytes, or overflow. */
bool sl_slice_u64(struct sl_slice s, uint64_t *out);

/* True when both are equal; time depends on the lengths alone. For secrets. */
bool sl_slice_eq_secret(struct sl_slice a, struct sl_slice b);

#endif
