/*
 * Who a request comes from, and what that allows. One client is one key (or one certificate's
 * subject, or, without authentication, "everybody"). Plain data, shared by reference count: a
 * request keeps the record it began with while the key is changed or revoked.
 */
#ifndef SLUICE_CORE_CLIENT_H
#define SLUICE_CORE_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/slice.h"

/* Priority classes of the queue, the most urgent first. */
enum sl_class { SL_CLASS_INTERACTIVE, SL_CLASS_NORMAL, SL_CLASS_BATCH, SL_CLASS_COUNT };

/* "interactive", "normal", "batch"; SL_CLASS_COUNT for any other text. */
enum sl_class sl_class_named(struct sl_slice name);
struct sl_slice sl_class_name(enum sl_class priority);

/* When an answer may come from the cache, and be kept for it. UNSET: as the configuration says. */
enum sl_cache_when { SL_CACHE_UNSET, SL_CACHE_NEVER, SL_CACHE_DETERMINISTIC, SL_CACHE_ALWAYS };

#define SL_CLIENT_NAME_MAX 64

struct sl_client {
    uint32_t refs;
    uint64_t tenant; /* whose quota share, cache and cost: stable over restarts; 0: everybody */
    char id[32];     /* the key's public id; empty without keys */
    char name[SL_CLIENT_NAME_MAX + 1];
    enum sl_class priority; /* the best class it may ask for, and the one it has when silent */
    uint64_t rpm, tpm;      /* enforced by waiting; 0: none */
    enum sl_cache_when cache;
    /* Glob patterns ('*' only) of model ids, as asked and as served; count 0: all. */
    const struct sl_slice *models;
    size_t model_count;
    /* Operations beyond calling models that it may use: bits 1 << enum sl_operation. */
    uint64_t operations;
    struct sl_slice
        s3_prefix;  /* "s3://bucket/prefix": s3Location below it is allowed; empty: none */
    bool unlimited; /* without keys: every model, operation and location */
};

/* The client of a gateway without authentication; never freed. */
struct sl_client *sl_client_everybody(void);
/* Whether it may use this model. */
bool sl_client_allows_model(const struct sl_client *client, struct sl_slice model);

#endif
