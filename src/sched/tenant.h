/*
 * Tenants with limits of their own: requests and tokens a minute, over all lines, kept by waiting,
 * in buckets that refill continuously. More than a whole limit may start when the bucket is full.
 *
 * An account is pinned while a ticket of its tenant waits or runs. An idle one is kept until its
 * buckets are full; then a new one would be the same.
 */
#ifndef SLUICE_SCHED_TENANT_H
#define SLUICE_SCHED_TENANT_H

#include "sched/bucket.h"
#include "sluice/base/heap.h"
#include "sluice/base/list.h"
#include "sluice/base/table.h"
#include "sluice/sched/pool.h"

#define SL_TENANTS_MAX 65536

struct sl_tenant {
    struct sl_table_node node;
    uint64_t id;
    uint64_t rpm, tpm; /* 0: none */
    struct sl_bucket requests, tokens;
    uint64_t waiting_tokens, waiting; /* over all lines and classes */
    uint32_t users;
    struct sl_list parked;    /* shares that wait for these limits */
    struct sl_heap_node wake; /* always in the heap; SL_NEVER while nothing is parked */
    struct sl_list idle;
    uint64_t idle_since;
};

struct sl_tenants {
    struct sl_table table;
    struct sl_heap wakes;
    struct sl_list idle; /* the longest first */
    uint32_t count;
};

SL_NODISCARD int sl_tenants_init(struct sl_tenants *tenants);
void sl_tenants_done(struct sl_tenants *tenants);
/* Finds or makes and pins it. SL_E_NOMEM; SL_E_LIMIT: too many, none of them idle. */
SL_NODISCARD int sl_tenants_hold(struct sl_tenants *tenants, uint64_t id, uint64_t now,
                                 struct sl_tenant **out);
void sl_tenants_release(struct sl_tenants *tenants, struct sl_tenant *tenant, uint64_t now);
/* A tenant whose time to be looked at again has come, each once; NULL when none. */
struct sl_tenant *sl_tenants_awake(struct sl_tenants *tenants, uint64_t now);
/* When the first wakes; SL_NEVER. */
uint64_t sl_tenants_wake_at(const struct sl_tenants *tenants);
/* The clock went back that far: what is used, and what waits, stay the same. */
void sl_tenants_step_back(struct sl_tenants *tenants, uint64_t by);

/* Other limits; what is used stays. */
void sl_tenant_limit(struct sl_tenant *tenant, uint64_t rpm, uint64_t tpm, uint64_t now);
/* 0, or the ns to wait until a call of that many tokens may start. */
uint64_t sl_tenant_wait(const struct sl_tenant *tenant, uint64_t tokens, uint64_t now);
/* The same behind `ahead` requests of `ahead_tokens`. */
uint64_t sl_tenant_forecast(const struct sl_tenant *tenant, uint64_t ahead, uint64_t ahead_tokens,
                            uint64_t tokens, uint64_t now);
void sl_tenant_charge(struct sl_tenant *tenant, uint64_t tokens, uint64_t now);
/* A call that was charged so has ended. */
void sl_tenant_settle(struct sl_tenant *tenant, const struct sl_reservation *reserved,
                      const struct sl_outcome *outcome, uint64_t now);
/* It is to be looked at again then, or before. */
void sl_tenant_wake_by(struct sl_tenants *tenants, struct sl_tenant *tenant, uint64_t at);

#endif
