/*
 * A request's head as text, byte for byte as it was asked for: one reservation, then plain copying.
 * What could end a line or the head early is refused, for what follows would be taken for another
 * header, or another request.
 */
#include "io/fetch_impl.h"

#define METHOD_MAX 31
#define LENGTH_MAX 40 /* "Content-Length: 18446744073709551615\r\n\r\n" */

/* memchr reads 32 bytes at a time; session tokens are 1 KB and more. */
static bool is_one_line(struct sl_slice s) {
    return s.len == 0 || (!memchr(s.ptr, '\n', s.len) && !memchr(s.ptr, '\r', s.len) &&
                          !memchr(s.ptr, '\0', s.len));
}

/* No blank or control byte: it would end the word, and what follows be taken for something else. */
static bool is_word(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] <= ' ' || s.ptr[i] == 0x7f)
            return false;
    return s.len > 0;
}

/* Headers that are made here, from the origin and the body. */
static bool is_own(struct sl_slice name) {
    switch (name.len) {
    case 4:
        return sl_slice_ieq(name, SL_LIT("Host"));
    case 6:
        return sl_slice_ieq(name, SL_LIT("Expect"));
    case 14:
        return sl_slice_ieq(name, SL_LIT("Content-Length"));
    case 17:
        return sl_slice_ieq(name, SL_LIT("Transfer-Encoding"));
    default:
        return false;
    }
}

/* PUT, PATCH and POST say their length even if it is 0 (RFC 9110 8.6); others only with a body. */
static bool tells_length(struct sl_slice method, uint64_t body_len) {
    return body_len > 0 || sl_slice_eq(method, SL_LIT("POST")) ||
           sl_slice_eq(method, SL_LIT("PUT")) || sl_slice_eq(method, SL_LIT("PATCH"));
}

static char *put(char *p, struct sl_slice s) {
    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    return p + s.len;
}

static char *put_line(char *p, struct sl_slice name, struct sl_slice value) {
    p = put(p, name);
    *p++ = ':';
    *p++ = ' ';
    p = put(p, value);
    *p++ = '\r';
    *p++ = '\n';
    return p;
}

static char *put_length(char *p, uint64_t n) {
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    return put_line(p, SL_LIT("Content-Length"), sl_slice_of(digits + at, sizeof(digits) - at));
}

/* Bytes that the header lines take; SL_E_INVALID. */
static int64_t measure(const struct sl_fetch_request *r, bool *has_agent) {
    size_t total = 0;
    for (size_t i = 0; i < r->header_count; i++) {
        struct sl_slice name = r->headers[i].name, value = r->headers[i].value;
        if (name.len == 0 || !is_one_line(name) || !is_one_line(value))
            return SL_E_INVALID;
        total += name.len + value.len + 4;
        *has_agent = *has_agent || (name.len == 10 && sl_slice_ieq(name, SL_LIT("User-Agent")));
    }
    return (int64_t)total;
}

int sl_fetch_write_head(struct sl_buf *out, const struct sl_fetch_request *r,
                        const struct sl_fetch_route *route, const char *user_agent,
                        uint64_t body_len) {
    bool has_agent = user_agent == NULL;
    int64_t lines = measure(r, &has_agent);
    if (lines < 0 || r->method.len > METHOD_MAX || !is_word(r->method) || !is_word(r->target) ||
        r->target.ptr[0] != '/')
        return SL_E_INVALID;
    struct sl_slice agent = has_agent ? SL_EMPTY : sl_slice_str(user_agent);
    sl_buf_clear(out);
    int rc =
        sl_buf_reserve(out, r->method.len + 1 + route->before_len + r->target.len +
                                route->after_len + (size_t)lines + agent.len + 16 + LENGTH_MAX);
    if (rc < 0)
        return rc;
    char *p = put(out->ptr, r->method);
    *p++ = ' ';
    p = put(p, sl_slice_of(route->before, route->before_len));
    p = put(p, r->target);
    p = put(p, sl_slice_of(route->after, route->after_len));
    for (size_t i = 0; i < r->header_count; i++)
        if (!is_own(r->headers[i].name))
            p = put_line(p, r->headers[i].name, r->headers[i].value);
    if (!has_agent)
        p = put_line(p, SL_LIT("User-Agent"), agent);
    if (tells_length(r->method, body_len))
        p = put_length(p, body_len);
    p = put(p, SL_LIT("\r\n"));
    out->len = (size_t)(p - out->ptr);
    return SL_OK;
}
