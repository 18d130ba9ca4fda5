/* Where calls can go: one account's Bedrock in one region, with its credentials. */
#ifndef SLUICE_CORE_TARGET_H
#define SLUICE_CORE_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Strings are owned by the configuration they came from and live as long as it does. */
struct sl_target_settings {
    const char *name;
    const char *region;   /* "us-east-1"; NULL: found as AWS's SDKs do (env, profile) */
    const char *endpoint; /* "https://host[:port]" for every plane; NULL: AWS's own by region */
    const char *profile;  /* named profile of the shared files; NULL: the default chain */
    const char *access_key_id,
        *secret;           /* fixed keys, the simulator's; NULL: the chain of AWS's SDKs */
    bool fips, dual_stack; /* variants of AWS's own endpoints; an error with `endpoint` */
    bool mantle;           /* serves bedrock-mantle calls too */
    const char
        *mantle_endpoint; /* like endpoint, for the mantle plane; NULL: endpoint, or AWS's own */
    const char *ca_file;  /* PEM bundle to verify upstream with; NULL: the system's */
    uint32_t weight, priority;
    /* Geographies whose profiles are called in place of the client's, the first that has the model:
     * "us.", "global."; none: the client's. */
    struct {
        const char **items;
        size_t count;
    } profiles;
};

/* Time limits of one upstream attempt, in milliseconds. */
struct sl_upstream_timeouts {
    uint32_t connect;    /* DNS, TCP, TLS */
    uint32_t first_byte; /* request sent → response head */
    uint32_t idle;       /* between two reads of the response */
};

#endif
