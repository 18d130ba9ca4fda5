/*
 * no_proxy's patterns, a line, and the host behind it: "*" names every host, a host names itself,
 * and more patterns exclude no less.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "io/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char none[2048];

static const char *environment(const char *name) {
    if (strcmp(name, "no_proxy") == 0)
        return none;
    return strcmp(name, "http_proxy") == 0 ? "http://proxy:3128" : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_slice host = sl_slice_of(data, size), patterns;
    if (size >= sizeof(none) / 2 || !sl_slice_split(&host, '\n', &patterns))
        return 0;
    host = host.ptr ? host : SL_EMPTY;
    bool excluded = sl_proxy_excluded(patterns, host);
    int len = snprintf(none, sizeof(none), "*,%.*s", SL_FMT(patterns));
    assert(len > 0 && sl_proxy_excluded(sl_slice_of(none, (size_t)len), host));
    len = snprintf(none, sizeof(none), "a.example %.*s", SL_FMT(patterns));
    if (excluded && memchr(data, '\0', size) == NULL)
        assert(sl_proxy_excluded(sl_slice_of(none, (size_t)len), host));
    struct sl_proxies proxies;
    int rc = sl_proxies_init(&proxies, environment);
    assert(rc == SL_OK);
    assert(!sl_proxies_for(&proxies, true, host)); /* there is none for https */
    (void)sl_proxies_for(&proxies, false, host);
    sl_proxies_done(&proxies);
    return 0;
}
