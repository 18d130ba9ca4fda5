/*
 * Proxies as the environment names them, read once, by curl's rules: http_proxy (lower case only:
 * HTTP_PROXY is what a CGI client controls), https_proxy, all_proxy, no_proxy, the latter three in
 * lower case, then upper case.
 */
#ifndef SLUICE_SRC_IO_PROXY_H
#define SLUICE_SRC_IO_PROXY_H

#include <stdbool.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

struct sl_proxies {
    char *http, *https, *none; /* NULL: unset. `none` is no_proxy */
};

/* SL_E_NOMEM leaves it empty. */
SL_NODISCARD int sl_proxies_init(struct sl_proxies *proxies, const char *(*getenv)(const char *));
void sl_proxies_done(struct sl_proxies *proxies);
/* The proxy for a host (IPv6 with or without brackets), NULL where none applies. */
const char *sl_proxies_for(const struct sl_proxies *proxies, bool tls, struct sl_slice host);
/* Whether no_proxy's patterns, separated by commas or blanks, name the host: "*", an exact name, a
 * domain that the host lies in, an address, or a CIDR block. */
bool sl_proxy_excluded(struct sl_slice patterns, struct sl_slice host);

#endif
