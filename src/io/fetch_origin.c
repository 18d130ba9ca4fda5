/* Where requests go: scheme, host and port, and the proxy on the way, all settled once. */
#include "io/fetch_impl.h"
#include "sluice/base/mem.h"

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

static bool find_authority(struct sl_fetch_origin *origin, const struct sl_fetch_client *client) {
    char *host = NULL, *port = NULL;
    bool ok = false;
    struct sl_buf text;
    sl_buf_init(&text, 1024);
    CURLUcode rc = curl_url_get(origin->url, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT);
    if ((rc != CURLUE_OK && rc != CURLUE_NO_PORT) ||
        curl_url_get(origin->url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        goto out;
    if (sl_buf_add_str(&text, host) < 0 || (port && sl_buf_add_byte(&text, ':') < 0) ||
        (port && sl_buf_add_str(&text, port) < 0))
        goto out;
    origin->authority = sl_strndup(text.ptr, text.len);
    origin->proxy = sl_proxies_for(&client->proxies, origin->tls, sl_slice_str(host));
    ok = origin->authority != NULL;
out:
    sl_buf_done(&text);
    curl_free(host);
    curl_free(port);
    return ok;
}

/* SOCKS proxies pass bytes on; an HTTP proxy reads the request. */
static bool is_http_proxy(const char *proxy) {
    struct sl_slice s = sl_slice_str(proxy);
    return s.len > 0 && !sl_slice_ieq(sl_slice_head(s, 5), SL_LIT("socks"));
}

struct sl_fetch_origin *sl_fetch_origin_new(struct sl_fetch_client *client, const char *url,
                                            const char *ca_file) {
    struct sl_fetch_origin *origin = sl_calloc(1, sizeof(*origin));
    if (!origin)
        return NULL;
    sl_list_init(&origin->link);
    origin->id = ++client->origin_ids;
    origin->url = curl_url();
    if (!origin->url || curl_url_set(origin->url, CURLUPART_URL, url, 0) != CURLUE_OK ||
        !is_bare(origin->url))
        goto fail;
    origin->tls = url_is(origin->url, CURLUPART_SCHEME, "https");
    if (ca_file && !(origin->ca_file = sl_strdup(ca_file)))
        goto fail;
    if (!find_authority(origin, client))
        goto fail;
    origin->absolute = !origin->tls && is_http_proxy(origin->proxy);
    sl_list_push_back(&client->origins, &origin->link);
    return origin;
fail:
    sl_fetch_origin_free(origin);
    return NULL;
}

void sl_fetch_origin_free(struct sl_fetch_origin *origin) {
    if (!origin)
        return;
    sl_list_remove(&origin->link);
    curl_url_cleanup(origin->url);
    sl_free(origin->authority);
    sl_free(origin->ca_file);
    sl_free(origin);
}

struct sl_slice sl_fetch_origin_authority(const struct sl_fetch_origin *origin) {
    return sl_slice_str(origin->authority);
}
