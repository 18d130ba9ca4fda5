#include "upstream/credwalk.h"

#include <stdarg.h>
#include <stdio.h>

#include "sluice/base/mem.h"
#include "upstream/sources.h"

/* Eleven sources, a clause each. */
#define TRIED_MAX 4096

const struct sl_credsource *const sl_credsources_all[] = {
    &sl_source_bearer,      &sl_source_environment,      &sl_source_role,  &sl_source_web_identity,
    &sl_source_sso,         &sl_source_credentials_file, &sl_source_login, &sl_source_process,
    &sl_source_config_file, &sl_source_container,        &sl_source_imds,  NULL,
};
const struct sl_credsource *const sl_credsources_of_profile[] = {
    &sl_source_web_identity,
    &sl_source_sso,
    &sl_source_credentials_file,
    &sl_source_login,
    &sl_source_process,
    &sl_source_config_file,
    NULL,
};
const struct sl_credsource *const sl_credsources_role[] = {&sl_source_role, NULL};

const struct sl_credsource *const *sl_credsources_named(struct sl_slice canonical_name) {
    static const struct {
        struct sl_slice name;
        const struct sl_credsource *sources[2];
    } named[] = {{{"Environment", 11}, {&sl_source_environment, NULL}},
                 {{"EcsContainer", 12}, {&sl_source_container, NULL}},
                 {{"Ec2InstanceMetadata", 19}, {&sl_source_imds, NULL}}};
    for (size_t i = 0; i < sizeof(named) / sizeof(*named); i++)
        if (sl_slice_eq(named[i].name, canonical_name))
            return named[i].sources;
    return NULL;
}

struct sl_slice sl_credctx_setting(const struct sl_credctx *ctx, const char *variable,
                                   const char *key) {
    struct sl_slice value = sl_credctx_env(ctx, variable);
    if (value.len == 0 && ctx->profiles &&
        !sl_profiles_get(ctx->profiles, SL_PROFILE_MERGED, sl_slice_str(ctx->profile), key, &value))
        return SL_EMPTY;
    return value;
}

struct sl_slice sl_credctx_region(const struct sl_credctx *ctx) {
    struct sl_slice region = sl_credctx_env(ctx, "AWS_REGION");
    return region.len ? region : sl_credctx_setting(ctx, "AWS_DEFAULT_REGION", "region");
}

struct sl_slice sl_credwalk_setting(const struct sl_credwalk *walk, const char *key) {
    struct sl_slice value;
    return sl_profiles_get(walk->ctx->profiles, SL_PROFILE_MERGED, sl_slice_str(walk->profile), key,
                           &value)
               ? value
               : SL_EMPTY;
}

void sl_credwalk_init(struct sl_credwalk *walk, struct sl_credctx *ctx,
                      const struct sl_credwalk *parent, struct sl_slice profile,
                      const struct sl_credsource *const *sources) {
    *walk = (struct sl_credwalk){
        .ctx = ctx, .parent = parent, .sources = sources, .nested = parent != NULL};
    snprintf(walk->profile, sizeof(walk->profile), "%.*s", SL_FMT(profile));
    sl_buf_init(&walk->tried, TRIED_MAX);
}

static void drop_state(struct sl_credwalk *walk) {
    if (walk->state && walk->sources[walk->at]->drop)
        walk->sources[walk->at]->drop(walk->state);
    sl_free(walk->state);
    walk->state = NULL;
}

static enum sl_credpoll poll_source(struct sl_credwalk *walk, const struct sl_credsource *source) {
    if (!walk->state) {
        walk->state = sl_calloc(1, source->state_size);
        if (!walk->state)
            return sl_credwalk_fail(walk, "out of memory");
    }
    return source->poll(walk, walk->state);
}

enum sl_credpoll sl_credwalk_poll(struct sl_credwalk *walk) {
    for (; walk->sources[walk->at]; walk->at++) {
        const struct sl_credsource *source = walk->sources[walk->at];
        enum sl_credpoll result = poll_source(walk, source);
        if (result == SL_CRED_PENDING)
            return result;
        drop_state(walk);
        if (result != SL_CRED_ABSENT)
            return result;
        if (sl_buf_printf(&walk->tried, "%s%s (%s)", walk->tried.len ? ", " : "", source->name,
                          walk->why) < 0)
            return sl_credwalk_fail(walk, "out of memory");
    }
    return SL_CRED_ABSENT;
}

void sl_credwalk_done(struct sl_credwalk *walk) {
    if (!walk->ctx)
        return;
    drop_state(walk);
    sl_credset_free(walk->found);
    sl_buf_done(&walk->tried);
    *walk = (struct sl_credwalk){.ctx = NULL};
}

enum sl_credpoll sl_credwalk_absent(struct sl_credwalk *walk, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(walk->why, sizeof(walk->why), fmt, args);
    va_end(args);
    return SL_CRED_ABSENT;
}

enum sl_credpoll sl_credwalk_fail(struct sl_credwalk *walk, const char *fmt, ...) {
    va_list args;
    int n = snprintf(walk->why, sizeof(walk->why), "%s: ", walk->sources[walk->at]->name);
    va_start(args, fmt);
    vsnprintf(walk->why + n, sizeof(walk->why) - (size_t)n, fmt, args);
    va_end(args);
    return SL_CRED_FAILED;
}

enum sl_credpoll sl_credwalk_found(struct sl_credwalk *walk, struct sl_credset *set) {
    if (set->view.expires_ms <= walk->ctx->loop->wall_ms) {
        sl_credset_free(set);
        return sl_credwalk_fail(walk, "the credentials it gives have expired");
    }
    walk->found = set;
    return SL_CRED_FOUND;
}
