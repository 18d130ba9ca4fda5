/* Tenants' own limits: see tenant.h for the idea. */
#include "sched/tenant.h"

#include <assert.h>

#include "sched/number.h"
#include "sluice/base/mem.h"

#define MINUTE_NS (60 * SL_NS_PER_S)

int sl_tenants_init(struct sl_tenants *tenants) {
    *tenants = (struct sl_tenants){0};
    sl_heap_init(&tenants->wakes);
    sl_list_init(&tenants->idle);
    return sl_table_init(&tenants->table);
}

static uint64_t hash_of(uint64_t id) {
    return sl_hash((struct sl_slice){(const char *)&id, sizeof(id)});
}

static struct sl_tenant *find(const struct sl_tenants *tenants, uint64_t id, uint64_t hash) {
    struct sl_table_node *node = sl_table_find(&tenants->table, hash);
    for (; node; node = sl_table_find_next(node)) {
        struct sl_tenant *tenant = SL_CONTAINER(node, struct sl_tenant, node);
        if (tenant->id == id)
            return tenant;
    }
    return NULL;
}

static void forget(struct sl_tenants *tenants, struct sl_tenant *tenant) {
    assert(!tenant->users && sl_list_empty(&tenant->parked));
    sl_list_remove(&tenant->idle);
    sl_heap_remove(&tenants->wakes, &tenant->wake);
    sl_table_remove(&tenants->table, &tenant->node);
    tenants->count--;
    sl_free(tenant);
}

static struct sl_tenant *longest_idle(struct sl_tenants *tenants) {
    struct sl_list *link = sl_list_first(&tenants->idle);
    return link ? SL_CONTAINER(link, struct sl_tenant, idle) : NULL;
}

void sl_tenants_done(struct sl_tenants *tenants) {
    for (struct sl_tenant *tenant; (tenant = longest_idle(tenants));)
        forget(tenants, tenant);
    assert(!tenants->count);
    sl_heap_done(&tenants->wakes);
    sl_table_done(&tenants->table);
}

static bool is_full(const struct sl_tenant *tenant, uint64_t now) {
    return !sl_bucket_used(&tenant->requests, tenant->rpm, now) &&
           !sl_bucket_used(&tenant->tokens, tenant->tpm, now);
}

/* Two for each that is made, so that those that are full again do not pile up. One that is not,
 * after a minute (it took more than its whole limit at once), goes to the end. */
static void sweep(struct sl_tenants *tenants, uint64_t now) {
    for (int i = 0; i < 2; i++) {
        struct sl_tenant *tenant = longest_idle(tenants);
        if (!tenant || (!is_full(tenant, now) && sl_sub_sat(now, tenant->idle_since) < MINUTE_NS))
            return;
        if (is_full(tenant, now)) {
            forget(tenants, tenant);
            continue;
        }
        tenant->idle_since = now;
        sl_list_remove(&tenant->idle);
        sl_list_push_back(&tenants->idle, &tenant->idle);
    }
}

static int make(struct sl_tenants *tenants, uint64_t id, uint64_t hash, uint64_t now,
                struct sl_tenant **out) {
    if (tenants->count >= SL_TENANTS_MAX) {
        /* Forgetting what it used forgives a part of one minute; refusing would be worse. */
        struct sl_tenant *oldest = longest_idle(tenants);
        if (!oldest)
            return SL_E_LIMIT;
        forget(tenants, oldest);
    }
    struct sl_tenant *tenant = sl_calloc(1, sizeof(*tenant));
    if (!tenant)
        return SL_E_NOMEM;
    tenant->id = id;
    sl_bucket_init(&tenant->requests, MINUTE_NS, 0, now);
    sl_bucket_init(&tenant->tokens, MINUTE_NS, 0, now);
    sl_list_init(&tenant->parked);
    sl_list_init(&tenant->idle);
    sl_heap_node_init(&tenant->wake);
    if (sl_heap_push(&tenants->wakes, &tenant->wake, SL_NEVER) < 0) {
        sl_free(tenant);
        return SL_E_NOMEM;
    }
    sl_table_insert(&tenants->table, &tenant->node, hash);
    tenants->count++;
    *out = tenant;
    return SL_OK;
}

int sl_tenants_hold(struct sl_tenants *tenants, uint64_t id, uint64_t now, struct sl_tenant **out) {
    uint64_t hash = hash_of(id);
    struct sl_tenant *tenant = find(tenants, id, hash);
    if (!tenant) {
        sweep(tenants, now);
        int rc = make(tenants, id, hash, now, &tenant);
        if (rc < 0)
            return rc;
    }
    if (!tenant->users++)
        sl_list_remove(&tenant->idle);
    *out = tenant;
    return SL_OK;
}

void sl_tenants_release(struct sl_tenants *tenants, struct sl_tenant *tenant, uint64_t now) {
    assert(tenant->users);
    if (--tenant->users)
        return;
    tenant->idle_since = now;
    sl_list_push_back(&tenants->idle, &tenant->idle);
}

struct sl_tenant *sl_tenants_awake(struct sl_tenants *tenants, uint64_t now) {
    struct sl_heap_node *node = sl_heap_min(&tenants->wakes);
    if (!node || node->key > now || node->key == SL_NEVER)
        return NULL;
    sl_heap_update(&tenants->wakes, node, SL_NEVER);
    return SL_CONTAINER(node, struct sl_tenant, wake);
}

uint64_t sl_tenants_wake_at(const struct sl_tenants *tenants) {
    const struct sl_heap_node *node = sl_heap_min(&tenants->wakes);
    return node ? node->key : SL_NEVER;
}

void sl_tenant_wake_by(struct sl_tenants *tenants, struct sl_tenant *tenant, uint64_t at) {
    if (at < tenant->wake.key)
        sl_heap_update(&tenants->wakes, &tenant->wake, at);
}

static void shift(struct sl_bucket *bucket, uint64_t by) {
    bucket->at = sl_sub_sat(bucket->at, by);
    bucket->stretch_at = sl_sub_sat(bucket->stretch_at, by);
}

void sl_tenants_step_back(struct sl_tenants *tenants, uint64_t by) {
    for (size_t i = 0; i < tenants->wakes.count; i++) {
        struct sl_tenant *tenant = SL_CONTAINER(tenants->wakes.items[i], struct sl_tenant, wake);
        shift(&tenant->requests, by);
        shift(&tenant->tokens, by);
        tenant->idle_since = sl_sub_sat(tenant->idle_since, by);
        /* All by the same: the heap's order stays. */
        if (tenant->wake.key != SL_NEVER)
            tenant->wake.key = sl_sub_sat(tenant->wake.key, by);
    }
}

void sl_tenant_limit(struct sl_tenant *tenant, uint64_t rpm, uint64_t tpm, uint64_t now) {
    sl_bucket_advance(&tenant->requests, tenant->rpm, now);
    sl_bucket_advance(&tenant->tokens, tenant->tpm, now);
    tenant->rpm = rpm;
    tenant->tpm = tpm;
}

static uint64_t bucket_wait(const struct sl_bucket *bucket, uint64_t limit, uint64_t n,
                            uint64_t now) {
    return limit ? sl_bucket_wait(bucket, n, limit, now) : 0;
}

uint64_t sl_tenant_wait(const struct sl_tenant *tenant, uint64_t tokens, uint64_t now) {
    return sl_max(bucket_wait(&tenant->requests, tenant->rpm, 1, now),
                  bucket_wait(&tenant->tokens, tenant->tpm, tokens, now));
}

uint64_t sl_tenant_forecast(const struct sl_tenant *tenant, uint64_t ahead, uint64_t ahead_tokens,
                            uint64_t tokens, uint64_t now) {
    struct sl_bucket requests = tenant->requests, used = tenant->tokens;
    sl_bucket_take(&requests, ahead, tenant->rpm, now);
    sl_bucket_take(&used, ahead_tokens, tenant->tpm, now);
    return sl_max(bucket_wait(&requests, tenant->rpm, 1, now),
                  bucket_wait(&used, tenant->tpm, tokens, now));
}

void sl_tenant_charge(struct sl_tenant *tenant, uint64_t tokens, uint64_t now) {
    sl_bucket_take(&tenant->requests, 1, tenant->rpm, now);
    sl_bucket_take(&tenant->tokens, tokens, tenant->tpm, now);
}

void sl_tenant_settle(struct sl_tenant *tenant, const struct sl_reservation *reserved,
                      const struct sl_outcome *outcome, uint64_t now) {
    bool reached = outcome->ending != SL_ENDING_THROTTLED && outcome->ending != SL_ENDING_UNREACHED;
    bool counted = reached && outcome->ending != SL_ENDING_REFUSED;
    uint64_t used = counted ? outcome->tokens : 0;
    if (!reached)
        sl_bucket_give(&tenant->requests, 1, reserved->at, tenant->rpm, now);
    if (used > reserved->tokens)
        sl_bucket_take(&tenant->tokens, used - reserved->tokens, tenant->tpm, now);
    else
        sl_bucket_give(&tenant->tokens, reserved->tokens - used, reserved->at, tenant->tpm, now);
}
