/*
 * The walk along the chain of sources, polled: nothing here is called back from outside.
 *
 *   sl_credwalk_poll ─▶ source[at].poll ─▶ PENDING   come back when the loop was woken
 *                                        ─▶ ABSENT    not configured here: the next source
 *                                        ─▶ FOUND     walk->found
 *                                        ─▶ FAILED    configured and broken: the walk ends,
 *                                                     as botocore's does; walk->why says it
 *
 * I/O that a source waits for records its result and calls sl_credctx_wake; the owner then polls
 * the root walk in its turn. A source that needs other credentials first (a role) holds a walk of
 * its own in its state and polls it. Dropping a walk stops all that runs below it.
 */
#ifndef SLUICE_UPSTREAM_CREDWALK_H
#define SLUICE_UPSTREAM_CREDWALK_H

#include "sluice/base/buf.h"
#include "upstream/credset.h"
#include "upstream/profile.h"

/* What sources know of the world. */
struct sl_credctx {
    struct sl_loop *loop;
    struct sl_fetch_client *client;
    sl_getenv getenv;
    struct sl_profiles *profiles; /* of the fetch under way; NULL: none could be read */
    const char *profile;          /* the session's; never NULL */
    bool profile_explicit;        /* named by the caller, not by the environment or by default */
    const char *region;           /* the caller's, for STS; NULL: look it up */
    bool woken;
};

static inline void sl_credctx_wake(struct sl_credctx *ctx) {
    ctx->woken = true;
    sl_loop_want(ctx->loop, SL_TURN_TRANSFERS);
}
/* The variable's value; the empty slice where unset or empty. */
static inline struct sl_slice sl_credctx_env(const struct sl_credctx *ctx, const char *name) {
    return sl_slice_str(ctx->getenv(name));
}
/* The variable, else the key in the session's profile, else the empty slice. */
struct sl_slice sl_credctx_setting(const struct sl_credctx *ctx, const char *variable,
                                   const char *key);
/* AWS_REGION, AWS_DEFAULT_REGION, the profile's region; may be empty. */
struct sl_slice sl_credctx_region(const struct sl_credctx *ctx);

enum sl_credpoll { SL_CRED_PENDING, SL_CRED_ABSENT, SL_CRED_FOUND, SL_CRED_FAILED };

#define SL_CRED_WHY_SIZE 1024

struct sl_credwalk;
struct sl_credsource {
    const char *name; /* what sl_credentials.source says */
    size_t state_size;
    /* First call: state is zeroed. Sets walk->found or walk->why. */
    enum sl_credpoll (*poll)(struct sl_credwalk *walk, void *state);
    void (*drop)(void *state); /* stops and frees what state holds; NULL: nothing */
};

struct sl_credwalk {
    struct sl_credctx *ctx;
    const struct sl_credwalk *parent;           /* whose role this walk finds credentials for */
    const struct sl_credsource *const *sources; /* NULL at the end */
    char profile[256];
    bool nested; /* a source profile: the environment does not count */
    size_t at;
    void *state;              /* of sources[at]; NULL before its first poll */
    struct sl_credset *found; /* owned */
    char why[SL_CRED_WHY_SIZE];
    struct sl_buf tried; /* "environment (AWS_ACCESS_KEY_ID is not set), …" */
};

/* parent NULL: the session's own walk. */
void sl_credwalk_init(struct sl_credwalk *walk, struct sl_credctx *ctx,
                      const struct sl_credwalk *parent, struct sl_slice profile,
                      const struct sl_credsource *const *sources);
/* ABSENT: no source has any; `tried` says which were asked. */
enum sl_credpoll sl_credwalk_poll(struct sl_credwalk *walk);
void sl_credwalk_done(struct sl_credwalk *walk); /* also halfway; a zeroed one is fine */

/* Writes walk->why and returns its kind, for a source's `return`. */
enum sl_credpoll sl_credwalk_absent(struct sl_credwalk *walk, const char *fmt, ...) SL_PRINTF(2, 3);
enum sl_credpoll sl_credwalk_fail(struct sl_credwalk *walk, const char *fmt, ...) SL_PRINTF(2, 3);
/* The walk's profile's value of a key in both files; the empty slice where there is none. */
struct sl_slice sl_credwalk_setting(const struct sl_credwalk *walk, const char *key);
/* Its credentials are walk->found, unless they have expired already. */
enum sl_credpoll sl_credwalk_found(struct sl_credwalk *walk, struct sl_credset *set);

/* The chain, and its parts for source_profile and credential_source. */
extern const struct sl_credsource *const sl_credsources_all[];
extern const struct sl_credsource *const sl_credsources_of_profile[];
extern const struct sl_credsource *const sl_credsources_role[];
/* "Environment", "Ec2InstanceMetadata", "EcsContainer"; NULL for other names. */
const struct sl_credsource *const *sl_credsources_named(struct sl_slice canonical_name);

#endif
