/*
 * A gateway that asks for no key must not be driven by a web page in somebody's browser. Two ways
 * in are closed: DNS rebinding (a page's own name that resolves to this host: its Host header gives
 * it away) and cross-site requests (the Origin header does).
 */
#include <arpa/inet.h>

#include "sluice/flow/flow.h"

/* "[::1]:8080" → "::1", "127.0.0.1:8080" → "127.0.0.1", "localhost" → "localhost". */
static struct sl_slice host_of(struct sl_slice authority) {
    if (authority.len > 0 && authority.ptr[0] == '[') {
        struct sl_slice inner = sl_slice_skip(authority, 1);
        return sl_slice_head(inner, sl_slice_find(inner, ']'));
    }
    return sl_slice_head(authority, sl_slice_find(authority, ':'));
}

static bool is_ip_literal(struct sl_slice host) {
    char text[64];
    unsigned char address[16];
    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, address) == 1 || inet_pton(AF_INET6, text, address) == 1;
}

static bool is_known(struct sl_slice authority, const struct sl_slice *hosts, size_t count) {
    struct sl_slice host = host_of(authority);
    if (is_ip_literal(host) || sl_slice_ieq(host, SL_LIT("localhost")))
        return true;
    for (size_t i = 0; i < count; i++)
        if (sl_slice_ieq(host, hosts[i]))
            return true;
    return false;
}

/* "http://localhost:3000" → "localhost:3000"; "null" and other schemes have no host. */
static bool origin_authority(struct sl_slice origin, struct sl_slice *authority) {
    size_t at = sl_slice_search(origin, SL_LIT("://"));
    if (at == origin.len)
        return false;
    *authority = sl_slice_skip(origin, at + 3);
    return true;
}

bool sl_guard_allows(const struct sl_request_head *head, const struct sl_slice *hosts,
                     size_t count) {
    struct sl_slice authority;
    if (!is_known(head->authority, hosts, count))
        return false;
    const struct sl_header *origin = sl_headers_find(&head->headers, SL_LIT("origin"));
    if (!origin)
        return true;
    /* Same origin as the page's own host, to the port; another port is another program's page. */
    return origin_authority(origin->value, &authority) && sl_slice_ieq(authority, head->authority);
}
