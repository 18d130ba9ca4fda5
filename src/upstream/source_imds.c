/*
 * The role of an EC2 instance, from its metadata service: a session token (IMDSv2), the role's
 * name, its keys. Three questions in a row, one table.
 *
 * A service that refuses a token (403, 404, 405) or leaves the question for one unanswered is asked
 * without (v1), unless that is disabled. A machine without the service has no credentials here; it
 * is no error. Source: botocore utils.py, InstanceMetadataFetcher.
 */
#include <stdio.h>

#include "sluice/base/rand.h"
#include "upstream/credhttp.h"
#include "upstream/sources.h"

#define ROLE_PATH "/latest/meta-data/iam/security-credentials/"

struct question {
    enum { START, TOKEN, ROLE, KEYS } at;
    struct sl_credhttp http;
    struct sl_credhttp_request request;
    struct sl_buf base, path, token; /* base: the path of the endpoint, usually none */
};

static struct sl_slice endpoint(const struct sl_credctx *ctx) {
    struct sl_slice url = sl_credctx_setting(ctx, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                             "ec2_metadata_service_endpoint");
    struct sl_slice mode = sl_credctx_setting(ctx, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                                              "ec2_metadata_service_endpoint_mode");
    bool ipv6 = mode.len
                    ? sl_slice_ieq(mode, SL_LIT("ipv6"))
                    : sl_slice_ieq(sl_credctx_setting(ctx, "AWS_IMDS_USE_IPV6", "imds_use_ipv6"),
                                   SL_LIT("true"));
    return url.len ? url
           : ipv6  ? SL_LIT("http://[fd00:ec2::254]")
                   : SL_LIT("http://169.254.169.254");
}

static uint64_t number(const struct sl_credctx *ctx, const char *variable, const char *key,
                       uint64_t max) {
    uint64_t n;
    if (!sl_slice_u64(sl_credctx_setting(ctx, variable, key), &n) || n == 0)
        return 1;
    return n < max ? n : max;
}

/* Asks for base + path; the token is sent once there is one. */
static enum sl_credpoll ask(struct sl_credwalk *walk, struct question *q, const char *method,
                            const char *path, struct sl_slice more) {
    struct sl_credhttp_request *r = &q->request;
    sl_buf_clear(&q->path);
    if (sl_buf_add(&q->path, sl_buf_slice(&q->base)) < 0 || sl_buf_add_str(&q->path, path) < 0 ||
        sl_buf_add(&q->path, more) < 0)
        return sl_credwalk_fail(walk, "out of memory");
    r->method = sl_slice_str(method);
    r->target = sl_buf_slice(&q->path);
    r->header_count = q->at == TOKEN || q->token.len ? 1 : 0;
    r->headers[0] =
        q->at == TOKEN
            ? (struct sl_fetch_header){SL_LIT("x-aws-ec2-metadata-token-ttl-seconds"),
                                       SL_LIT("21600")}
            : (struct sl_fetch_header){SL_LIT("x-aws-ec2-metadata-token"), sl_buf_slice(&q->token)};
    sl_credhttp_send(&q->http, r);
    return SL_CRED_PENDING;
}

static bool is_refused(int status) {
    return status == 400 || status == 403 || status == 404 || status == 405;
}

static bool again(const struct sl_credhttp *http) {
    return http->error ? http->error != SL_E_TIMEOUT || http->phase < SL_FETCH_SEND
                       : http->status != 200 && !is_refused(http->status);
}

static enum sl_credpoll start(struct sl_credwalk *walk, struct question *q) {
    struct sl_credctx *ctx = walk->ctx;
    struct sl_url url;
    struct sl_slice where = endpoint(ctx);
    sl_buf_init(&q->base, 512);
    sl_buf_init(&q->path, 2048);
    sl_buf_init(&q->token, 4096);
    q->at = TOKEN;
    if (sl_slice_ieq(sl_credctx_env(ctx, "AWS_EC2_METADATA_DISABLED"), SL_LIT("true")))
        return sl_credwalk_absent(walk, "AWS_EC2_METADATA_DISABLED is set");
    if (sl_url_split(where, &url) < 0 || sl_credhttp_open(&q->http, ctx, url.origin) < 0)
        return sl_credwalk_fail(walk, "the endpoint of the instance metadata is no http URL");
    struct sl_slice base = url.target;
    while (base.len && base.ptr[base.len - 1] == '/')
        base.len--;
    if (sl_buf_add(&q->base, base) < 0)
        return sl_credwalk_fail(walk, "the endpoint of the instance metadata is too long");
    uint32_t ms = 1000 * (uint32_t)number(ctx, "AWS_METADATA_SERVICE_TIMEOUT",
                                          "metadata_service_timeout", 60);
    q->request = (struct sl_credhttp_request){
        .body = SL_EMPTY,
        .connect_ms = ms,
        .answer_ms = ms,
        .attempts = (unsigned)number(ctx, "AWS_METADATA_SERVICE_NUM_ATTEMPTS",
                                     "metadata_service_num_attempts", 10),
        .no_proxy = true,
        .again = again,
    };
    return ask(walk, q, "PUT", "/latest/api/token", SL_EMPTY);
}

static enum sl_credpoll take_token(struct sl_credwalk *walk, struct question *q) {
    const struct sl_credhttp *http = &q->http;
    struct sl_slice token = sl_buf_slice(&http->answer);
    if (http->error && http->phase < SL_FETCH_SEND)
        return sl_credwalk_absent(walk, "no instance metadata service answers");
    if (!http->error && http->status == 400)
        return sl_credwalk_absent(walk, "the instance metadata service refuses to give a token");
    q->at = ROLE;
    if (sl_credhttp_not_ok(http) || token.len == 0) {
        if (sl_slice_ieq(sl_credctx_setting(walk->ctx, "AWS_EC2_METADATA_V1_DISABLED",
                                            "ec2_metadata_v1_disabled"),
                         SL_LIT("true")))
            return sl_credwalk_fail(walk, "the instance metadata service gives no token, and its "
                                          "version 1 is disabled");
    } else {
        for (size_t i = 0; i < token.len; i++)
            if (token.ptr[i] <= ' ' || token.ptr[i] > '~')
                return sl_credwalk_fail(walk, "the instance metadata service's token is no token");
        if (sl_buf_add(&q->token, token) < 0)
            return sl_credwalk_fail(walk, "the instance metadata service's token is too long");
    }
    return ask(walk, q, "GET", ROLE_PATH, SL_EMPTY);
}

static enum sl_credpoll take_role(struct sl_credwalk *walk, struct question *q) {
    struct sl_slice role = sl_buf_slice(&q->http.answer);
    if (sl_credhttp_not_ok(&q->http))
        return sl_credwalk_absent(walk, "the instance metadata service names no role: %s",
                                  sl_credhttp_outcome(&q->http));
    role = sl_slice_trim(sl_slice_head(role, sl_slice_find(role, '\n')));
    for (size_t i = 0; i < role.len; i++)
        if (role.ptr[i] <= ' ' || role.ptr[i] > '~' || strchr("/?#%", role.ptr[i]))
            role.len = 0;
    if (role.len == 0)
        return sl_credwalk_absent(walk, "the instance has no role");
    q->at = KEYS;
    return ask(walk, q, "GET", ROLE_PATH, role);
}

/*
 * While the service that renews an instance's keys is down, the metadata service goes on giving the
 * old ones, and AWS accepts them: they serve on, and are asked for again within minutes.
 */
static void extend(struct sl_credset *set, int64_t wall_ms) {
    int64_t least = wall_ms + 15 * 60000 + 120000 + (int64_t)(sl_rand_u64() % 480000);
    if (set->view.expires_ms < least)
        set->view.expires_ms = least;
}

static enum sl_credpoll take_keys(struct sl_credwalk *walk, struct question *q) {
    static const struct sl_credset_json form = {
        .source = "instance-metadata", .token_key = "Token", .needs_token_and_expiration = true};
    char why[SL_CRED_WHY_SIZE / 2];
    struct sl_credset *set;
    if (sl_credhttp_not_ok(&q->http))
        return sl_credwalk_absent(walk, "the instance metadata service gives no keys: %s",
                                  sl_credhttp_outcome(&q->http));
    if (sl_credset_from_json(&form, sl_buf_slice(&q->http.answer), &set, why, sizeof(why)) < 0)
        return sl_credwalk_absent(walk, "the instance metadata service: %s", why);
    extend(set, walk->ctx->loop->wall_ms);
    return sl_credwalk_found(walk, set);
}

static enum sl_credpoll poll_imds(struct sl_credwalk *walk, void *state) {
    static enum sl_credpoll (*const take[])(struct sl_credwalk *, struct question *) = {
        [START] = start, [TOKEN] = take_token, [ROLE] = take_role, [KEYS] = take_keys};
    struct question *q = state;
    enum sl_credpoll result = SL_CRED_PENDING;
    while (result == SL_CRED_PENDING && (q->at == START || sl_credhttp_poll(&q->http)))
        result = take[q->at](walk, q);
    return result;
}

static void drop_imds(void *state) {
    struct question *q = state;
    sl_credhttp_stop(&q->http);
    sl_buf_done(&q->base);
    sl_buf_done(&q->path);
    sl_buf_done_secret(&q->token);
}

const struct sl_credsource sl_source_imds = {.name = "instance-metadata",
                                             .state_size = sizeof(struct question),
                                             .poll = poll_imds,
                                             .drop = drop_imds};
