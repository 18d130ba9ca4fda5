/*
 * Sources that only look: environment variables and the shared files' keys. And the two that a
 * server without a browser cannot serve, SSO and login sessions, which are refused with the way
 * out.
 */
#include <stdio.h>

#include "upstream/sources.h"

static enum sl_credpoll poll_bearer(struct sl_credwalk *walk, void *state) {
    (void)state;
    struct sl_slice token = sl_credctx_env(walk->ctx, "AWS_BEARER_TOKEN_BEDROCK");
    if (token.len == 0)
        return sl_credwalk_absent(walk, "AWS_BEARER_TOKEN_BEDROCK is not set");
    char why[SL_CRED_WHY_SIZE / 2];
    struct sl_credset *set;
    struct sl_credentials fields = {.access_key_id = SL_EMPTY,
                                    .secret = SL_EMPTY,
                                    .session_token = SL_EMPTY,
                                    .bearer = token,
                                    .expires_ms = INT64_MAX,
                                    .source = sl_source_bearer.name};
    if (sl_credset_new(&fields, true, &set, why, sizeof(why)) < 0)
        return sl_credwalk_fail(walk, "AWS_BEARER_TOKEN_BEDROCK: %s", why);
    return sl_credwalk_found(walk, set);
}

const struct sl_credsource sl_source_bearer = {.name = "bearer-token", .poll = poll_bearer};

static enum sl_credpoll poll_environment(struct sl_credwalk *walk, void *state) {
    (void)state;
    const struct sl_credctx *ctx = walk->ctx;
    /* As in botocore: a profile named in the configuration overrides keys in the environment, one
     * named by AWS_PROFILE does not; a role's credential_source asks for them by name. */
    if (ctx->profile_explicit && !walk->nested)
        return sl_credwalk_absent(walk, "not asked, as profile %s is named", ctx->profile);
    struct sl_slice token = sl_credctx_env(ctx, "AWS_SECURITY_TOKEN");
    struct sl_slice expiration = sl_credctx_env(ctx, "AWS_CREDENTIAL_EXPIRATION");
    struct sl_credentials fields = {
        .access_key_id = sl_credctx_env(ctx, "AWS_ACCESS_KEY_ID"),
        .secret = sl_credctx_env(ctx, "AWS_SECRET_ACCESS_KEY"),
        .session_token = token.len ? token : sl_credctx_env(ctx, "AWS_SESSION_TOKEN"),
        .bearer = SL_EMPTY,
        .expires_ms = INT64_MAX,
        .source = sl_source_environment.name};
    if (fields.access_key_id.len == 0)
        return sl_credwalk_absent(walk, "AWS_ACCESS_KEY_ID is not set");
    if (fields.secret.len == 0)
        return sl_credwalk_fail(walk, "AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not");
    if (expiration.len && sl_credset_parse_date(expiration, &fields.expires_ms) < 0)
        return sl_credwalk_fail(walk, "AWS_CREDENTIAL_EXPIRATION is no date");
    char why[SL_CRED_WHY_SIZE / 2];
    struct sl_credset *set;
    if (sl_credset_new(&fields, true, &set, why, sizeof(why)) < 0)
        return sl_credwalk_fail(walk, "%s", why);
    return sl_credwalk_found(walk, set);
}

const struct sl_credsource sl_source_environment = {.name = "environment",
                                                    .poll = poll_environment};

bool sl_profile_has_keys(const struct sl_credctx *ctx, struct sl_slice profile) {
    struct sl_slice value;
    return sl_profiles_get(ctx->profiles, SL_PROFILE_MERGED, profile, "aws_access_key_id",
                           &value) ||
           sl_profiles_get(ctx->profiles, SL_PROFILE_MERGED, profile, "aws_secret_access_key",
                           &value);
}

static enum sl_credpoll poll_file(struct sl_credwalk *walk, enum sl_profile_file file,
                                  const char *source) {
    const struct sl_profiles *profiles = walk->ctx->profiles;
    struct sl_slice name = sl_slice_str(walk->profile);
    struct sl_credentials fields = {
        .session_token = SL_EMPTY, .bearer = SL_EMPTY, .expires_ms = INT64_MAX, .source = source};
    if (!sl_profiles_get(profiles, file, name, "aws_access_key_id", &fields.access_key_id))
        return sl_credwalk_absent(walk, "profile %s has no aws_access_key_id in it", walk->profile);
    if (!sl_profiles_get(profiles, file, name, "aws_secret_access_key", &fields.secret))
        return sl_credwalk_fail(walk,
                                "profile %s has aws_access_key_id but no "
                                "aws_secret_access_key",
                                walk->profile);
    if (!sl_profiles_get(profiles, file, name, "aws_security_token", &fields.session_token) &&
        !sl_profiles_get(profiles, file, name, "aws_session_token", &fields.session_token))
        fields.session_token = SL_EMPTY;
    char why[SL_CRED_WHY_SIZE / 2];
    struct sl_credset *set;
    if (sl_credset_new(&fields, false, &set, why, sizeof(why)) < 0)
        return sl_credwalk_fail(walk, "profile %s: %s", walk->profile, why);
    return sl_credwalk_found(walk, set);
}

static enum sl_credpoll poll_credentials_file(struct sl_credwalk *walk, void *state) {
    (void)state;
    return poll_file(walk, SL_PROFILE_CREDENTIALS, sl_source_credentials_file.name);
}

const struct sl_credsource sl_source_credentials_file = {.name = "shared-credentials-file",
                                                         .poll = poll_credentials_file};

static enum sl_credpoll poll_config_file(struct sl_credwalk *walk, void *state) {
    (void)state;
    return poll_file(walk, SL_PROFILE_CONFIG, sl_source_config_file.name);
}

const struct sl_credsource sl_source_config_file = {.name = "config-file",
                                                    .poll = poll_config_file};

#define WAY_OUT                                                                                    \
    "add `credential_process = aws configure export-credentials --profile %s --format process` "   \
    "to another profile and use that"

static enum sl_credpoll poll_sso(struct sl_credwalk *walk, void *state) {
    (void)state;
    if (sl_credwalk_setting(walk, "sso_account_id").len == 0 &&
        sl_credwalk_setting(walk, "sso_role_name").len == 0)
        return sl_credwalk_absent(walk, "profile %s has no sso_account_id", walk->profile);
    return sl_credwalk_fail(
        walk,
        "profile %s uses IAM Identity Center, which the gateway does not sign in to: " WAY_OUT,
        walk->profile, walk->profile);
}

const struct sl_credsource sl_source_sso = {.name = "sso", .poll = poll_sso};

static enum sl_credpoll poll_login(struct sl_credwalk *walk, void *state) {
    (void)state;
    if (sl_credwalk_setting(walk, "login_session").len == 0)
        return sl_credwalk_absent(walk, "profile %s has no login_session", walk->profile);
    return sl_credwalk_fail(
        walk, "profile %s uses `aws login`, whose sessions the gateway does not renew: " WAY_OUT,
        walk->profile, walk->profile);
}

const struct sl_credsource sl_source_login = {.name = "login", .poll = poll_login};
