#include "app/policy.h"

#include <stdio.h>
#include <string.h>

#include "app/files.h"
#include "sluice/base/mem.h"
#include "sluice/core/quota.h"

/* A price file above this size is no price file. */
#define PRICES_MAX ((size_t)4 << 20)

/* ---- what the flow asks ---- */

static struct sl_slice successor(void *ctx, struct sl_slice model) {
    const struct sl_policy *p = ctx;
    return sl_config_successor(p->config, model);
}

static struct sl_slice alias(void *ctx, struct sl_slice name) {
    const struct sl_policy *p = ctx;
    return sl_config_alias(p->config, name);
}

static struct sl_slice alias_at(void *ctx, size_t i) {
    const struct sl_string_map *map = &((const struct sl_policy *)ctx)->config->models.aliases;
    return i < map->count ? sl_slice_str(map->items[i].name) : SL_EMPTY;
}

static struct sl_slice fallback(void *ctx, struct sl_slice model, size_t i) {
    const struct sl_policy *p = ctx;
    return sl_config_fallback(p->config, model, i);
}

static int64_t cost(void *ctx, struct sl_slice model, const struct sl_usage *usage) {
    const struct sl_policy *p = ctx;
    struct sl_price price;
    if (usage->input < 0 && usage->output < 0)
        return -1;
    return sl_prices_find(p->prices, model, &price) ? sl_price_cost(&price, usage) : -1;
}

static enum sl_cache_when cache_when(void *ctx, struct sl_slice model) {
    const struct sl_policy *p = ctx;
    return sl_config_cache_when(p->config, model);
}

static bool mark_prompts(void *ctx, struct sl_slice model) {
    const struct sl_policy *p = ctx;
    return sl_config_marks_prompts(p->config, model);
}

static bool is_elsewhere(const struct sl_policy *p, const char *target) {
    for (size_t i = 0; i < p->config->target_count; i++)
        if (strcmp(p->config->targets[i].name, target) == 0)
            return p->simulated || p->config->targets[i].endpoint;
    return true;
}

/* The configuration's word goes first, kind by kind; then AWS's own. */
static void limits(void *ctx, const char *target, const char *region, struct sl_slice model,
                   struct sl_limits *configured, struct sl_limits *initial) {
    const struct sl_policy *p = ctx;
    const struct sl_quota_rows *rows = p->account ? sl_account_rows(p->account, target) : NULL;
    struct sl_quota_limits found = {0};
    (void)region;
    *configured = sl_config_limits(p->config, model);
    if (rows)
        sl_quota_rows_find(rows, model, sl_model_channel(model), &found);
    if (!configured->rpm)
        configured->rpm = found.rpm;
    if (!configured->tpm)
        configured->tpm = found.tpm;
    if (!configured->tpd)
        configured->tpd = found.tpd;
    /* AWS's usual figures say nothing of another endpoint. */
    struct sl_quota_limits usual = {0};
    if (!is_elsewhere(p, target))
        sl_quota_default(model, sl_model_channel(model), &usual);
    *initial = (struct sl_limits){.rpm = usual.rpm, .tpm = usual.tpm, .tpd = usual.tpd};
}

static void copy_into(char *out, size_t size, struct sl_slice text) {
    size_t len = text.len < size ? text.len : size - 1;
    if (len > 0)
        memcpy(out, text.ptr, len);
    out[len] = '\0';
}

static uint32_t ms_of(uint64_t ns) {
    uint64_t ms = ns / SL_NS_PER_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void record(void *ctx, const struct sl_flow_record *r) {
    const struct sl_policy *p = ctx;
    struct sl_ledger_row row = {.at_ms = (uint64_t)sl_clock_wall_ms(),
                                .tenant = r->client->tenant,
                                .status = r->status,
                                .usage = r->usage,
                                .cost = r->cost,
                                .saved = r->saved,
                                .duration_ms = ms_of(r->duration_ns),
                                .queue_ms = ms_of(r->queue_ns),
                                .attempts = r->attempts,
                                .estimated = r->estimated};
    copy_into(row.key_id, sizeof(row.key_id), sl_slice_str(r->client->id));
    copy_into(row.request_id, sizeof(row.request_id), sl_slice_str(r->id));
    copy_into(row.model, sizeof(row.model), r->model);
    copy_into(row.operation, sizeof(row.operation), r->operation);
    copy_into(row.target, sizeof(row.target), r->target);
    copy_into(row.cache, sizeof(row.cache), r->cache);
    sl_store_ledger(p->store, &row);
}

/* ---- settings ---- */

static struct sl_pool_settings pool_settings(const struct sl_config *c) {
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    settings.window = c->quotas.window;
    settings.window_ns = (uint64_t)c->quotas.window_ms * SL_NS_PER_MS;
    settings.backoff_ns = (uint64_t)c->retry.backoff_ms * SL_NS_PER_MS;
    settings.backoff_max_ns = (uint64_t)c->retry.backoff_max_ms * SL_NS_PER_MS;
    settings.retry_percent = c->retry.budget;
    settings.breaker_percent = c->breaker_threshold;
    return settings;
}

static struct sl_dialect_settings dialect_settings(struct sl_policy *p) {
    const struct sl_config *c = p->config;
    /* Keys need it too: a model named twice in a body could be another one for Bedrock. */
    bool meaning =
        c->auth == SL_AUTH_KEYS ||
        (c->cache.size > 0 && (c->cache.when != SL_CACHE_NEVER || c->cache.models.count > 0));
    return (struct sl_dialect_settings){.no_meaning = !meaning,
                                        .map_retired = c->models.retired == SL_RETIRED_MAP,
                                        .successor = successor,
                                        .successor_ctx = p,
                                        .alias = alias,
                                        .alias_at = alias_at,
                                        .alias_ctx = p,
                                        .default_model = sl_slice_str(c->models.standard),
                                        .geo_prefix = c->models.profiles ? p->geography : SL_EMPTY,
                                        .cost = cost,
                                        .cost_ctx = p,
                                        .sessions = p->sessions};
}

static void add_hosts(struct sl_policy *p, struct sl_flow_settings *settings) {
    const struct sl_config *c = p->config;
    size_t room = sizeof(settings->hosts) / sizeof(settings->hosts[0]), trusted = 0;
    for (size_t i = 0; i < c->hosts.count && i < room; i++)
        settings->hosts[settings->host_count++] = sl_slice_str(c->hosts.items[i]);
    room = sizeof(p->trusted_hosts) / sizeof(p->trusted_hosts[0]);
    for (size_t i = 0; i < c->keys.trusted_hosts.count && i < room; i++)
        p->trusted_hosts[trusted++] = sl_slice_str(c->keys.trusted_hosts.items[i]);
    settings->verify = (struct sl_verify_settings){
        .trusted_hosts = p->trusted_hosts, .trusted_host_count = trusted, .skew_s = 300};
}

struct sl_flow_settings sl_policy_flow_settings(struct sl_policy *p) {
    const struct sl_config *c = p->config;
    struct sl_flow_settings settings = {
        .queue = {.max_in_flight = c->max_in_flight,
                  .max_requests = c->queue.max_requests,
                  .max_bytes = c->queue.max_bytes,
                  .max_wait_ns = (uint64_t)c->queue.max_wait_ms * SL_NS_PER_MS},
        .pool = pool_settings(c),
        .dialect = dialect_settings(p),
        .policy = {.limits = limits,
                   .fallback = fallback,
                   .cache_when = cache_when,
                   .mark_prompts = mark_prompts,
                   .cost = cost,
                   .record = c->ledger.enabled && p->store ? record : NULL,
                   .ctx = p},
        .cache = {.max_bytes = c->cache.size,
                  .max_entry = c->cache.max_entry,
                  .eviction = c->cache.eviction},
        .cache_ttl_ms = c->cache.ttl_ms,
        .cache_global = c->cache.scope == SL_CACHE_GLOBAL,
        .cache_paced = c->cache.replay == SL_REPLAY_RECORDED,
        .usual_class = c->queue.priority,
        .max_attempts = c->retry.max_attempts,
        .fallback_after_ns = (uint64_t)c->models.fallback_after_ms * SL_NS_PER_MS,
        .learned_max_tokens = c->models.max_tokens == SL_MAX_TOKENS_LEARNED,
        .interim_ns = c->keepalive.interim ? (uint64_t)c->keepalive.interval_ms * SL_NS_PER_MS : 0,
        .memory_max = c->memory_max,
        .body_wait_ns = (uint64_t)c->limits.body_ms * SL_NS_PER_MS,
        .linger_ns = (uint64_t)c->linger_ms * SL_NS_PER_MS,
        .keys = p->keys,
        .guard_hosts = !p->keys, /* as at the start, whatever a reload says */
        .access_log = c->log.access,
    };
    add_hosts(p, &settings);
    return settings;
}

/* ---- prices ---- */

static struct sl_prices *load_prices(const struct sl_config *config, char *why, size_t why_size) {
    const char *file = config->prices;
    size_t len = 0;
    char *bytes = file ? sl_file_read(file, PRICES_MAX, &len) : NULL;
    if (file && !bytes) {
        snprintf(why, why_size, "prices: %s cannot be read, is empty, or is above 4 MiB", file);
        return NULL;
    }
    struct sl_prices *prices =
        sl_prices_new(sl_slice_of(bytes ? bytes : "", len), file ? file : "", why, why_size);
    sl_free(bytes);
    return prices;
}

int sl_policy_init(struct sl_policy *p, const struct sl_config *config, char *why,
                   size_t why_size) {
    *p = (struct sl_policy){0};
    p->sessions = sl_sessions_new(&SL_SESSIONS_DEFAULT);
    if (!p->sessions)
        return SL_E_NOMEM;
    return sl_policy_change(p, config, why, why_size);
}

int sl_policy_change(struct sl_policy *p, const struct sl_config *config, char *why,
                     size_t why_size) {
    struct sl_prices *prices = load_prices(config, why, why_size);
    if (!prices)
        return SL_E_INVALID;
    sl_prices_free(p->prices);
    p->prices = prices;
    p->config = config;
    return SL_OK;
}

void sl_policy_done(struct sl_policy *p) {
    sl_prices_free(p->prices);
    sl_sessions_free(p->sessions);
}
