/*
 * The credentials endpoint that ECS and EKS pod identity give to a container. The authorization
 * token is read anew for each fetch. Over plain HTTP only this machine and the link-local addresses
 * of ECS and EKS are asked, so that a planted variable cannot make us send the token elsewhere.
 * Source: botocore utils.py, ContainerMetadataFetcher.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "upstream/credhttp.h"
#include "upstream/sources.h"

struct question {
    bool started;
    struct sl_credhttp http;
    struct sl_credhttp_request request;
    struct sl_buf url, token;
};

static bool is_loopback(struct sl_slice host) {
    char text[64];
    struct in_addr v4;
    struct in6_addr v6;
    if (host.len >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", SL_FMT(host));
    if (inet_pton(AF_INET, text, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, text, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool is_allowed(const struct sl_url *url) {
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "fd00:ec2::23",
                                        "localhost"};
    if (url->tls || is_loopback(url->host))
        return true;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++)
        if (sl_slice_ieq(url->host, sl_slice_str(hosts[i])))
            return true;
    return false;
}

/* The empty token: none is wanted. SL_E_INVALID with a sentence. */
static int read_token(const struct sl_credctx *ctx, struct sl_buf *token, char *why,
                      size_t why_size) {
    const char *file = ctx->getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    int rc = file && *file
                 ? sl_small_file_read(file, token)
                 : sl_buf_add(token, sl_credctx_env(ctx, "AWS_CONTAINER_AUTHORIZATION_TOKEN"));
    snprintf(why, why_size, "the authorization token cannot be read%s%s", file ? " from " : "",
             file ? file : "");
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < token->len; i++)
        if (token->ptr[i] < ' ' || token->ptr[i] > '~') {
            snprintf(why, why_size,
                     "the authorization token holds a line break or another byte "
                     "that a header cannot have");
            return SL_E_INVALID;
        }
    return SL_OK;
}

static enum sl_credpoll begin(struct sl_credwalk *walk, struct question *q) {
    struct sl_credctx *ctx = walk->ctx;
    struct sl_slice relative = sl_credctx_env(ctx, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    struct sl_slice full = sl_credctx_env(ctx, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    struct sl_url url;
    char why[SL_CRED_WHY_SIZE / 2];
    if (relative.len == 0 && full.len == 0)
        return sl_credwalk_absent(walk, "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set");
    sl_buf_init(&q->url, 4096);
    sl_buf_init(&q->token, SL_SMALL_FILE_MAX + 2);
    q->started = true;
    int rc = relative.len ? sl_buf_printf(&q->url, "http://169.254.170.2%.*s", SL_FMT(relative))
                          : sl_buf_add(&q->url, full);
    if (rc < 0 || sl_url_split(sl_buf_slice(&q->url), &url) < 0)
        return sl_credwalk_fail(walk,
                                "the address that AWS_CONTAINER_CREDENTIALS_%s_URI gives is "
                                "no URL",
                                relative.len ? "RELATIVE" : "FULL");
    if (!is_allowed(&url))
        return sl_credwalk_fail(walk, "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or name "
                                      "this machine or the container service's address");
    if (read_token(ctx, &q->token, why, sizeof(why)) < 0)
        return sl_credwalk_fail(walk, "%s", why);
    if (sl_credhttp_open(&q->http, ctx, url.origin) < 0)
        return sl_credwalk_fail(walk, "the address %.*s is not usable", SL_FMT(url.origin));
    q->request = (struct sl_credhttp_request){
        .method = SL_LIT("GET"),
        .target = url.target,
        .body = SL_EMPTY,
        .headers = {{SL_LIT("Accept"), SL_LIT("application/json")},
                    {SL_LIT("Authorization"), sl_buf_slice(&q->token)}},
        .header_count = q->token.len ? 2 : 1,
        .connect_ms = 2000,
        .answer_ms = 2000,
        .attempts = 3,
        .pause_ms = 200,
        .no_proxy = true,
        .again = sl_credhttp_not_ok,
    };
    sl_credhttp_send(&q->http, &q->request);
    return SL_CRED_PENDING;
}

static enum sl_credpoll poll_container(struct sl_credwalk *walk, void *state) {
    static const struct sl_credset_json form = {
        .source = "container", .token_key = "Token", .needs_token_and_expiration = true};
    struct question *q = state;
    enum sl_credpoll result = q->started ? SL_CRED_PENDING : begin(walk, q);
    if (result != SL_CRED_PENDING || !sl_credhttp_poll(&q->http))
        return result;
    char why[SL_CRED_WHY_SIZE / 2];
    struct sl_credset *set;
    if (sl_credhttp_not_ok(&q->http))
        return sl_credwalk_fail(walk, "the container's credentials endpoint gave none: %s",
                                sl_credhttp_outcome(&q->http));
    if (sl_credset_from_json(&form, sl_buf_slice(&q->http.answer), &set, why, sizeof(why)) < 0)
        return sl_credwalk_fail(walk, "the container's credentials endpoint: %s", why);
    return sl_credwalk_found(walk, set);
}

static void drop_container(void *state) {
    struct question *q = state;
    sl_credhttp_stop(&q->http);
    sl_buf_done(&q->url);
    sl_buf_done_secret(&q->token);
}

const struct sl_credsource sl_source_container = {.name = "container",
                                                  .state_size = sizeof(struct question),
                                                  .poll = poll_container,
                                                  .drop = drop_container};
