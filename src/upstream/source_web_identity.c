/*
 * A token file (EKS service accounts, OIDC federation) exchanged at STS. The file is read anew for
 * each exchange, as its writer rotates it. Settings come from the environment, each else from the
 * profile. Source: botocore credentials.py, AssumeRoleWithWebIdentityProvider.
 */
#include <stdio.h>

#include "upstream/sources.h"
#include "upstream/sts.h"

struct exchange {
    bool started;
    struct sl_sts_call call;
};

static struct sl_slice setting(const struct sl_credwalk *walk, const char *variable,
                               const char *key) {
    bool environment = !walk->nested && !walk->ctx->profile_explicit;
    struct sl_slice value = environment ? sl_credctx_env(walk->ctx, variable) : SL_EMPTY;
    return value.len ? value : sl_credwalk_setting(walk, key);
}

static enum sl_credpoll exchange_token(struct sl_credwalk *walk, struct exchange *e,
                                       struct sl_slice role, struct sl_slice token) {
    char own_name[SL_STS_SESSION_NAME_SIZE], why[SL_CRED_WHY_SIZE / 2];
    struct sl_slice name = setting(walk, "AWS_ROLE_SESSION_NAME", "role_session_name");
    sl_sts_session_name(walk->ctx->loop->wall_ms, own_name);
    const struct sl_sts_parameter parameters[] = {
        {"Action", SL_LIT("AssumeRoleWithWebIdentity")},
        {"Version", SL_LIT("2011-06-15")},
        {"RoleArn", role},
        {"RoleSessionName", name.len ? name : sl_slice_str(own_name)},
        {"WebIdentityToken", token},
    };
    e->started = true;
    if (sl_sts_start(&e->call, walk->ctx, parameters, sizeof(parameters) / sizeof(*parameters),
                     NULL, why, sizeof(why)) < 0)
        return sl_credwalk_fail(walk, "%s", why);
    return SL_CRED_PENDING;
}

static enum sl_credpoll begin(struct sl_credwalk *walk, struct exchange *e) {
    struct sl_slice file = setting(walk, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
    struct sl_slice role = setting(walk, "AWS_ROLE_ARN", "role_arn");
    if (file.len == 0)
        return sl_credwalk_absent(walk, "AWS_WEB_IDENTITY_TOKEN_FILE is not set");
    if (role.len == 0)
        return sl_credwalk_fail(
            walk, "a token file is set, but no role: set AWS_ROLE_ARN or the profile's role_arn");
    char path[4096];
    snprintf(path, sizeof(path), "%.*s", SL_FMT(file));
    struct sl_buf text;
    sl_buf_init(&text, SL_SMALL_FILE_MAX + 2);
    int rc = sl_small_file_read(path, &text);
    struct sl_slice token = sl_slice_trim(sl_buf_slice(&text));
    while (token.len && (token.ptr[token.len - 1] == '\n' || token.ptr[token.len - 1] == '\r'))
        token.len--;
    enum sl_credpoll result = rc == SL_OK && token.len
                                  ? exchange_token(walk, e, role, token)
                                  : sl_credwalk_fail(walk, "the token file %s %s", path,
                                                     rc == SL_OK ? "is empty" : "cannot be read");
    sl_buf_done_secret(&text);
    return result;
}

static enum sl_credpoll poll_web_identity(struct sl_credwalk *walk, void *state) {
    struct exchange *e = state;
    enum sl_credpoll result = e->started ? SL_CRED_PENDING : begin(walk, e);
    return result == SL_CRED_PENDING ? sl_sts_poll(&e->call, walk, "the token was not exchanged")
                                     : result;
}

static void drop_web_identity(void *state) {
    struct exchange *e = state;
    sl_sts_stop(&e->call);
}

const struct sl_credsource sl_source_web_identity = {.name = "web-identity",
                                                     .state_size = sizeof(struct exchange),
                                                     .poll = poll_web_identity,
                                                     .drop = drop_web_identity};
