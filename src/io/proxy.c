/* Which proxy a host is reached through. Pure but for the first reading of the environment. */
#include "io/proxy.h"

#include <arpa/inet.h>

#include "sluice/base/mem.h"

static int copy(const char *(*getenv)(const char *), const char *const names[], char **out) {
    for (; *names; names++) {
        const char *value = getenv(*names);
        if (!value || !*value)
            continue;
        *out = sl_strdup(value);
        return *out ? SL_OK : SL_E_NOMEM;
    }
    return SL_OK;
}

int sl_proxies_init(struct sl_proxies *proxies, const char *(*getenv)(const char *)) {
    static const char *const http[] = {"http_proxy", "all_proxy", "ALL_PROXY", NULL};
    static const char *const https[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY",
                                        NULL};
    static const char *const none[] = {"no_proxy", "NO_PROXY", NULL};
    *proxies = (struct sl_proxies){0};
    if (copy(getenv, http, &proxies->http) == SL_OK &&
        copy(getenv, https, &proxies->https) == SL_OK &&
        copy(getenv, none, &proxies->none) == SL_OK)
        return SL_OK;
    sl_proxies_done(proxies);
    return SL_E_NOMEM;
}

void sl_proxies_done(struct sl_proxies *proxies) {
    sl_free(proxies->http);
    sl_free(proxies->https);
    sl_free(proxies->none);
    *proxies = (struct sl_proxies){0};
}

struct address {
    unsigned char bytes[16];
    unsigned bits; /* 32 or 128; 0: not an address */
};

static struct address parse_address(struct sl_slice text) {
    char buf[INET6_ADDRSTRLEN];
    struct address a = {.bits = 0};
    if (text.len == 0 || text.len >= sizeof(buf))
        return a;
    memcpy(buf, text.ptr, text.len);
    buf[text.len] = '\0';
    if (inet_pton(AF_INET, buf, a.bytes) == 1)
        a.bits = 32;
    else if (inet_pton(AF_INET6, buf, a.bytes) == 1)
        a.bits = 128;
    return a;
}

static bool in_block(const struct address *a, struct sl_slice pattern) {
    size_t slash = sl_slice_find(pattern, '/');
    struct address block = parse_address(sl_slice_head(pattern, slash));
    uint64_t bits = block.bits;
    if (slash < pattern.len && !sl_slice_u64(sl_slice_skip(pattern, slash + 1), &bits))
        return false;
    if (block.bits != a->bits || bits > block.bits)
        return false;
    size_t whole = (size_t)bits / 8, rest = (size_t)bits % 8;
    return memcmp(a->bytes, block.bytes, whole) == 0 &&
           (rest == 0 || ((a->bytes[whole] ^ block.bytes[whole]) >> (8 - rest)) == 0);
}

static struct sl_slice without_last_dot(struct sl_slice s) {
    return s.len > 0 && s.ptr[s.len - 1] == '.' ? sl_slice_head(s, s.len - 1) : s;
}

/* "example.com" and ".example.com" name that host and all below it. */
static bool in_domain(struct sl_slice host, struct sl_slice domain) {
    domain = without_last_dot(domain);
    if (domain.len > 0 && domain.ptr[0] == '.')
        domain = sl_slice_skip(domain, 1);
    if (domain.len == 0 || domain.len > host.len)
        return false;
    size_t before = host.len - domain.len;
    return sl_slice_ieq(sl_slice_skip(host, before), domain) &&
           (before == 0 || host.ptr[before - 1] == '.');
}

static struct sl_slice without_brackets(struct sl_slice host) {
    return host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']'
               ? sl_slice_of(host.ptr + 1, host.len - 2)
               : host;
}

bool sl_proxy_excluded(struct sl_slice patterns, struct sl_slice host) {
    host = without_brackets(host);
    struct address address = parse_address(host);
    struct sl_slice name = without_last_dot(host), part, pattern;
    while (sl_slice_split(&patterns, ',', &part))
        while (sl_slice_split(&part, ' ', &pattern)) {
            pattern = sl_slice_trim(pattern);
            if (pattern.len == 0)
                continue;
            if (sl_slice_eq(pattern, SL_LIT("*")) ||
                (address.bits ? in_block(&address, without_brackets(pattern))
                              : in_domain(name, pattern)))
                return true;
        }
    return false;
}

const char *sl_proxies_for(const struct sl_proxies *proxies, bool tls, struct sl_slice host) {
    const char *proxy = tls ? proxies->https : proxies->http;
    return proxy && !sl_proxy_excluded(sl_slice_str(proxies->none), host) ? proxy : NULL;
}
