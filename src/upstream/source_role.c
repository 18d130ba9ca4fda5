/*
 * A profile with role_arn: credentials of another profile (source_profile) or place
 * (credential_source) sign an AssumeRole.
 *
 *   [a] role_arn, source_profile=b ─ walk over [b] ─▶ keys ─ sign ─▶ STS ─▶ credentials of a
 *        [b] role_arn, source_profile=c ─ walk over [c] …
 *
 * Each level's walk knows its parent, so that a circle is seen. Source of the rules: botocore
 * credentials.py, AssumeRoleProvider.
 */
#include <stdio.h>

#include "upstream/sources.h"
#include "upstream/sts.h"

/* Nobody chains more roles than this on purpose; STS caps chained sessions at an hour anyway. */
#define MAX_DEPTH 8

struct role {
    struct sl_credwalk walk; /* for the keys that sign */
    bool have_signer;
    struct sl_sts_call call;
    char session_name[SL_STS_SESSION_NAME_SIZE];
};

/* A profile whose token file makes it the web identity source's. */
static bool is_role(const struct sl_credctx *ctx, struct sl_slice profile) {
    struct sl_slice value;
    return sl_profiles_get(ctx->profiles, SL_PROFILE_MERGED, profile, "role_arn", &value) &&
           !sl_profiles_get(ctx->profiles, SL_PROFILE_MERGED, profile, "web_identity_token_file",
                            &value);
}

/* SL_CRED_PENDING: fine. */
static enum sl_credpoll check_source_profile(struct sl_credwalk *walk, struct sl_slice source) {
    const struct sl_credctx *ctx = walk->ctx;
    size_t depth = 0;
    bool visited = false;
    if (!sl_profiles_has(ctx->profiles, source))
        return sl_credwalk_fail(walk, "source_profile %.*s of profile %s does not exist",
                                SL_FMT(source), walk->profile);
    for (const struct sl_credwalk *w = walk; w; w = w->parent, depth++)
        visited = visited || sl_slice_eq(sl_slice_str(w->profile), source);
    /* A profile may name itself to sign with the keys that stand beside its role. */
    bool itself = sl_slice_eq(sl_slice_str(walk->profile), source);
    if (visited && !(itself && sl_profile_has_keys(ctx, source)))
        return sl_credwalk_fail(walk, "source_profile %.*s of profile %s leads in a circle",
                                SL_FMT(source), walk->profile);
    if (depth > MAX_DEPTH)
        return sl_credwalk_fail(walk, "more than %d roles are chained by source_profile",
                                MAX_DEPTH);
    return SL_CRED_PENDING;
}

static enum sl_credpoll start_source(struct sl_credwalk *walk, struct role *role) {
    struct sl_slice source = sl_credwalk_setting(walk, "source_profile");
    struct sl_slice place = sl_credwalk_setting(walk, "credential_source");
    const struct sl_credsource *const *sources;
    if (source.len && place.len)
        return sl_credwalk_fail(
            walk, "profile %s has both source_profile and credential_source: remove one",
            walk->profile);
    if (place.len) {
        sources = sl_credsources_named(place);
        if (!sources)
            return sl_credwalk_fail(walk,
                                    "credential_source of profile %s must be Environment, "
                                    "EcsContainer or Ec2InstanceMetadata",
                                    walk->profile);
        source = sl_slice_str(walk->profile);
    } else if (source.len) {
        enum sl_credpoll checked = check_source_profile(walk, source);
        if (checked != SL_CRED_PENDING)
            return checked;
        bool keys = sl_profile_has_keys(walk->ctx, source) || !is_role(walk->ctx, source);
        sources = keys ? sl_credsources_of_profile : sl_credsources_role;
    } else {
        return sl_credwalk_fail(
            walk, "profile %s has role_arn but neither source_profile nor credential_source",
            walk->profile);
    }
    sl_credwalk_init(&role->walk, walk->ctx, walk, source, sources);
    return SL_CRED_PENDING;
}

/* Everything that can be refused without asking anybody. */
static enum sl_credpoll begin(struct sl_credwalk *walk, struct role *role) {
    if (!is_role(walk->ctx, sl_slice_str(walk->profile)))
        return sl_credwalk_absent(walk, "profile %s has no role_arn", walk->profile);
    if (sl_credwalk_setting(walk, "role_arn").len == 0)
        return sl_credwalk_fail(walk, "role_arn of profile %s is empty", walk->profile);
    if (sl_credwalk_setting(walk, "mfa_serial").len)
        return sl_credwalk_fail(walk,
                                "profile %s needs an MFA code, which nobody can type here: use a "
                                "role without mfa_serial, or a credential_process",
                                walk->profile);
    return start_source(walk, role);
}

static enum sl_credpoll poll_signer(struct sl_credwalk *walk, struct role *role) {
    enum sl_credpoll result = sl_credwalk_poll(&role->walk);
    if (result == SL_CRED_FAILED)
        return sl_credwalk_fail(walk, "profile %s: %.700s", walk->profile, role->walk.why);
    if (result == SL_CRED_ABSENT)
        return sl_credwalk_fail(walk, "profile %s: no credentials to assume the role with: %.*s",
                                walk->profile,
                                SL_FMT(sl_slice_head(sl_buf_slice(&role->walk.tried), 600)));
    role->have_signer = result == SL_CRED_FOUND;
    return SL_CRED_PENDING;
}

static enum sl_credpoll call_sts(struct sl_credwalk *walk, struct role *role) {
    struct sl_slice name = sl_credwalk_setting(walk, "role_session_name");
    struct sl_slice duration = sl_credwalk_setting(walk, "duration_seconds");
    uint64_t seconds;
    if (name.len == 0) {
        sl_sts_session_name(walk->ctx->loop->wall_ms, role->session_name);
        name = sl_slice_str(role->session_name);
    }
    if (!sl_slice_u64(duration, &seconds)) /* ignored where it is no number, as in botocore */
        duration = SL_EMPTY;
    const struct sl_sts_parameter parameters[] = {
        {"Action", SL_LIT("AssumeRole")},
        {"Version", SL_LIT("2011-06-15")},
        {"RoleArn", sl_credwalk_setting(walk, "role_arn")},
        {"RoleSessionName", name},
        {"ExternalId", sl_credwalk_setting(walk, "external_id")},
        {"DurationSeconds", duration},
    };
    char why[SL_CRED_WHY_SIZE / 2];
    if (sl_sts_start(&role->call, walk->ctx, parameters, sizeof(parameters) / sizeof(*parameters),
                     &role->walk.found->view, why, sizeof(why)) < 0)
        return sl_credwalk_fail(walk, "profile %s: %s", walk->profile, why);
    return SL_CRED_PENDING;
}

static enum sl_credpoll poll_role(struct sl_credwalk *walk, void *state) {
    struct role *role = state;
    enum sl_credpoll result = SL_CRED_PENDING;
    if (!role->walk.ctx)
        result = begin(walk, role);
    if (result == SL_CRED_PENDING && !role->have_signer) {
        result = poll_signer(walk, role);
        if (result == SL_CRED_PENDING && role->have_signer)
            result = call_sts(walk, role);
    }
    if (result != SL_CRED_PENDING || !role->have_signer)
        return result;
    char what[320];
    snprintf(what, sizeof(what), "profile %s", walk->profile);
    return sl_sts_poll(&role->call, walk, what);
}

static void drop_role(void *state) {
    struct role *role = state;
    sl_sts_stop(&role->call);
    sl_credwalk_done(&role->walk);
}

const struct sl_credsource sl_source_role = {
    .name = "assume-role", .state_size = sizeof(struct role), .poll = poll_role, .drop = drop_role};
