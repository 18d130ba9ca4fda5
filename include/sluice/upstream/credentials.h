/*
 * Where the gateway's AWS credentials come from: the chain of botocore, fetched and refreshed
 * asynchronously on the loop.
 *
 * Order: AWS_BEARER_TOKEN_BEDROCK; environment keys; the profile's (or AWS_PROFILE's) role with
 * source_profile / credential_source; web identity; shared credentials file; profile's
 * credential_process; config file; container (ECS, EKS pod identity); IMDSv2.
 *
 * A set is refreshed from 15 minutes before its expiry on (advisory: the present one serves
 * meanwhile) and must be fresh from 10 minutes before it on, unless the refresh fails while it is
 * still valid: then it serves, and the next refresh is tried with backoff. Source: botocore
 * credentials.py.
 */
#ifndef SLUICE_UPSTREAM_CREDENTIALS_H
#define SLUICE_UPSTREAM_CREDENTIALS_H

#include "sluice/io/fetch.h"
#include "sluice/io/loop.h"

struct sl_credentials {
    struct sl_slice access_key_id, secret, session_token; /* token may be empty */
    struct sl_slice bearer; /* an API key: then the three above are empty */
    int64_t expires_ms;     /* wall clock; INT64_MAX: never */
    const char *source; /* "environment", "assume-role", … static: for logs and `sluice check` */
};

struct sl_credentials_provider;
struct sl_credentials_settings {
    const char *access_key_id, *secret; /* given keys: nothing else is asked. NULL: the chain */
    const char *profile;                /* NULL: AWS_PROFILE, AWS_DEFAULT_PROFILE, then "default" */
    const char *region;                 /* for STS; NULL: as found by sl_credentials_region */
    /* Lookup of environment variables; NULL: getenv. Tests bring their own. */
    const char *(*getenv)(const char *name);
};

/* Nothing is read before the first sl_credentials_get. NULL: out of memory. */
SL_NODISCARD struct sl_credentials_provider *
sl_credentials_provider_new(struct sl_loop *loop, struct sl_fetch_client *client,
                            const struct sl_credentials_settings *settings);
void sl_credentials_provider_free(struct sl_credentials_provider *provider);

/* A wait for credentials; embedded by the caller. */
struct sl_credentials_wait {
    struct sl_list link;
    /* credentials NULL: there are none; `why` says which sources were tried and what to do. The
     * provider must not be freed from inside. */
    void (*on_ready)(void *ctx, const struct sl_credentials *credentials, const char *why);
    void *ctx;
};
/*
 * The present credentials, if they serve (valid until the next turn), starting a refresh when due;
 * else NULL, and wait->on_ready fires later from the loop. wait must be cancelled before it is
 * freed.
 */
const struct sl_credentials *sl_credentials_get(struct sl_credentials_provider *provider,
                                                struct sl_credentials_wait *wait);
void sl_credentials_wait_cancel(struct sl_credentials_wait *wait);
/* Upstream said these credentials are expired or unknown: drop them unless a newer set came
 * meanwhile; true if a new fetch may help (not for fixed ones). */
bool sl_credentials_rejected(struct sl_credentials_provider *provider,
                             struct sl_slice access_key_id);

/* Region as AWS's SDKs find it: AWS_REGION, AWS_DEFAULT_REGION, the profile's `region`. NULL if
 * unset. Owned by the provider. */
const char *sl_credentials_region(struct sl_credentials_provider *provider);

#endif
