/* Where requests go: scheme, host and port, and the proxy on the way, all settled once. */
#include <openssl/base64.h>

#include "io/fetch_impl.h"
#include "sluice/base/mem.h"

/* As long as libcurl keeps its own. */
#define TRUST_MAX_AGE_NS (24 * 3600 * 1000 * SL_NS_PER_MS)

/* ---- certificates to trust */

struct sl_fetch_trust *sl_fetch_trust_get(struct sl_fetch_client *client, const char *ca_file) {
    SL_LIST_EACH(&client->trusts, node, tmp) {
        struct sl_fetch_trust *trust = SL_CONTAINER(node, struct sl_fetch_trust, link);
        if (strcmp(trust->ca_file, ca_file) == 0) {
            trust->refs++;
            return trust;
        }
    }
    struct sl_fetch_trust *trust = sl_calloc(1, sizeof(*trust));
    if (!trust || !(trust->ca_file = sl_strdup(ca_file))) {
        sl_free(trust);
        return NULL;
    }
    sl_list_init(&trust->link);
    sl_list_push_back(&client->trusts, &trust->link);
    trust->refs = 1;
    return trust;
}

void sl_fetch_trust_put(struct sl_fetch_trust *trust) {
    if (!trust || --trust->refs > 0)
        return;
    sl_list_remove(&trust->link);
    sl_tls_free(trust->tls);
    sl_free(trust->ca_file);
    sl_free(trust);
}

struct sl_tls *sl_fetch_trust_tls(struct sl_fetch_trust *trust, uint64_t now, char *why,
                                  size_t why_size) {
    if (trust->tls && now - trust->read_at < TRUST_MAX_AGE_NS)
        return trust->tls;
    struct sl_tls *tls = sl_tls_client_new(trust->ca_file, why, why_size);
    if (!tls)
        return NULL;
    sl_tls_free(trust->tls); /* its sessions keep what they need */
    trust->tls = tls;
    trust->read_at = now;
    return tls;
}

/* ---- the URL */

static bool url_has(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static bool url_is(CURLU *url, CURLUPart part, const char *value) {
    char *text = NULL;
    bool is = curl_url_get(url, part, &text, 0) == CURLUE_OK && strcmp(text, value) == 0;
    curl_free(text);
    return is;
}

/* Scheme, host and port, and nothing else. */
static bool is_bare(CURLU *url) {
    return (url_is(url, CURLUPART_SCHEME, "http") || url_is(url, CURLUPART_SCHEME, "https")) &&
           url_is(url, CURLUPART_PATH, "/") && !url_has(url, CURLUPART_QUERY) &&
           !url_has(url, CURLUPART_FRAGMENT) && !url_has(url, CURLUPART_USER) &&
           !url_has(url, CURLUPART_PASSWORD) && !url_has(url, CURLUPART_ZONEID);
}

/* What an origin's URL says; curl's strings. */
struct place {
    char *host, *port;
    bool named_port; /* other than the scheme's */
    bool tls;
};

static bool read_place(struct place *place, CURLU *url) {
    char *named = NULL;
    place->tls = url_is(url, CURLUPART_SCHEME, "https");
    place->named_port =
        curl_url_get(url, CURLUPART_PORT, &named, CURLU_NO_DEFAULT_PORT) == CURLUE_OK;
    curl_free(named);
    return curl_url_get(url, CURLUPART_HOST, &place->host, 0) == CURLUE_OK &&
           curl_url_get(url, CURLUPART_PORT, &place->port, CURLU_DEFAULT_PORT) == CURLUE_OK;
}

/* ---- text made once */

/* The parts before the first NULL as one string of the heap's; NULL when out of memory. */
static char *join(const char *const parts[], size_t *len) {
    struct sl_buf text;
    sl_buf_init(&text, SL_FETCH_REQUEST_MAX);
    int rc = SL_OK;
    for (; *parts && rc == SL_OK; parts++)
        rc = sl_buf_add_str(&text, *parts);
    char *out = rc == SL_OK ? sl_strndup(text.ptr ? text.ptr : "", text.len) : NULL;
    *len = text.len;
    sl_buf_done_secret(&text);
    return out;
}

static char *make_authority(const struct place *place) {
    size_t len;
    return join(
        (const char *const[]){place->host, place->named_port ? ":" : NULL, place->port, NULL},
        &len);
}

/* As certificates and the handshake name it: no brackets, no dot of the root. */
static char *make_host(const struct place *place) {
    struct sl_slice host = sl_slice_str(place->host);
    if (host.len > 2 && host.ptr[0] == '[')
        host = sl_slice_of(host.ptr + 1, host.len - 2);
    else if (sl_slice_ends(host, SL_LIT(".")))
        host.len--;
    return sl_strndup(host.ptr, host.len);
}

/* ---- proxies */

/* SOCKS proxies pass bytes on; an HTTP proxy reads the request. */
static bool is_http_proxy(const char *proxy) {
    struct sl_slice s = sl_slice_str(proxy);
    return s.len > 0 && !sl_slice_ieq(sl_slice_head(s, 5), SL_LIT("socks"));
}

static bool is_https_proxy(const char *proxy) {
    return sl_slice_ieq(sl_slice_head(sl_slice_str(proxy), 8), SL_LIT("https://"));
}

/* "Basic" of the name and password in the proxy's URL: set, to "" where it has none; NULL when out
 * of memory. Secret. */
static char *make_credentials(const char *proxy) {
    char *user = NULL, *password = NULL, *plain = NULL, *out = NULL;
    size_t len = 0, coded;
    CURLU *url = curl_url();
    if (!url)
        return NULL;
    if (curl_url_set(url, CURLUPART_URL, proxy, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) !=
            CURLUE_OK ||
        curl_url_get(url, CURLUPART_USER, &user, CURLU_URLDECODE) != CURLUE_OK) {
        out = sl_strdup("");
        goto out;
    }
    if (curl_url_get(url, CURLUPART_PASSWORD, &password, CURLU_URLDECODE) != CURLUE_OK)
        password = NULL;
    plain = join((const char *const[]){user, ":", password, NULL}, &len);
    if (plain && EVP_EncodedLength(&coded, len) && (out = sl_alloc(coded)))
        EVP_EncodeBlock((uint8_t *)out, (const uint8_t *)plain, len);
out:
    sl_free(plain);
    curl_free(user);
    curl_free(password);
    curl_url_cleanup(url);
    return out;
}

/* ---- routes */

void sl_fetch_route_put(struct sl_fetch_route *route) {
    if (--route->refs > 0)
        return;
    sl_tls_ticket_done(&route->ticket);
    sl_fetch_trust_put(route->trust);
    sl_free(route->url);
    sl_free(route->host);
    sl_free(route->before);
    sl_free(route->after);
    sl_free(route);
}

static void abandon(struct sl_fetch_route *route) {
    if (!route)
        return;
    route->abandoned = true;
    struct sl_list *node;
    while ((node = sl_list_first(&route->idle)))
        sl_link_close(SL_CONTAINER(node, struct sl_link, link));
    sl_fetch_route_put(route);
}

static bool write_lines(struct sl_fetch_route *route, const struct sl_fetch_origin *origin,
                        bool absolute) {
    char *credentials = absolute ? make_credentials(route->dial.proxy) : sl_strdup("");
    if (!credentials)
        return false;
    bool known = *credentials != '\0';
    route->before =
        join((const char *const[]){absolute ? "http://" : NULL, origin->authority, NULL},
             &route->before_len);
    route->after = join((const char *const[]){" HTTP/1.1\r\nHost: ", origin->authority, "\r\n",
                                              known ? "Proxy-Authorization: Basic " : NULL,
                                              credentials, "\r\n", NULL},
                        &route->after_len);
    sl_free(credentials);
    return route->before && route->after;
}

/* The URL always says "http": curl is to connect, and to speak with the proxy; TLS is ours. */
static struct sl_fetch_route *route_new(struct sl_fetch_client *client,
                                        const struct sl_fetch_origin *origin,
                                        const struct place *place, const char *proxy,
                                        const char *ca_file) {
    struct sl_fetch_route *route = sl_calloc(1, sizeof(*route));
    size_t len;
    if (!route)
        return NULL;
    sl_list_init(&route->idle);
    route->client = client;
    route->refs = 1;
    route->trust = place->tls ? sl_fetch_trust_get(client, ca_file) : NULL;
    route->host = make_host(place);
    route->url = join((const char *const[]){"http://", place->host, ":", place->port, NULL}, &len);
    route->dial = (struct sl_dial_order){.url = route->url,
                                         .proxy = proxy,
                                         .tunnel = place->tls,
                                         .piped = is_https_proxy(proxy),
                                         .ca = client->ca_default};
    if (route->url && route->host && (route->trust || !place->tls) &&
        write_lines(route, origin, !place->tls && is_http_proxy(proxy)))
        return route;
    sl_fetch_route_put(route);
    return NULL;
}

/* ---- origins */

static bool set_up(struct sl_fetch_origin *origin, struct sl_fetch_client *client,
                   const struct place *place, const char *ca_file) {
    const char *proxy = sl_proxies_for(&client->proxies, place->tls, sl_slice_str(place->host));
    const char *ca = ca_file ? ca_file : client->ca_default;
    if (!(origin->authority = make_authority(place)) ||
        !(origin->direct = route_new(client, origin, place, "", ca)))
        return false;
    origin->usual = proxy ? route_new(client, origin, place, proxy, ca) : origin->direct;
    return origin->usual != NULL;
}

struct sl_fetch_origin *sl_fetch_origin_new(struct sl_fetch_client *client, const char *url,
                                            const char *ca_file) {
    struct place place = {0};
    bool ok = false;
    CURLU *parsed = curl_url();
    struct sl_fetch_origin *origin = sl_calloc(1, sizeof(*origin));
    if (origin)
        sl_list_init(&origin->link);
    ok = origin && parsed && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
         is_bare(parsed) && read_place(&place, parsed) && set_up(origin, client, &place, ca_file);
    curl_free(place.host);
    curl_free(place.port);
    curl_url_cleanup(parsed);
    if (!ok) {
        sl_fetch_origin_free(origin);
        return NULL;
    }
    sl_list_push_back(&client->origins, &origin->link);
    return origin;
}

void sl_fetch_origin_free(struct sl_fetch_origin *origin) {
    if (!origin)
        return;
    sl_list_remove(&origin->link);
    if (origin->usual != origin->direct)
        abandon(origin->usual);
    abandon(origin->direct);
    sl_free(origin->authority);
    sl_free(origin);
}

struct sl_slice sl_fetch_origin_authority(const struct sl_fetch_origin *origin) {
    return sl_slice_str(origin->authority);
}
