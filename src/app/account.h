/*
 * Quotas as AWS's own Service Quotas tells them, for each target: asked for at start and once a
 * day, remembered in STATE/service-quotas between. An account that may not list them is told once
 * in the log; limits are then the configured or learned ones.
 */
#ifndef SLUICE_SRC_APP_ACCOUNT_H
#define SLUICE_SRC_APP_ACCOUNT_H

#include <limits.h>

#include "sluice/store/store.h"
#include "sluice/upstream/quotas.h"

#define SL_ACCOUNT_TARGETS_MAX 16

struct sl_account;

struct sl_account_quotas {
    struct sl_account *account;
    char name[64];            /* the target's */
    struct sl_target *target; /* the flow's, until the next _set */
    struct sl_quota_rows rows;
    struct sl_quota_ask *ask; /* under way */
};

struct sl_account {
    struct sl_loop *loop;
    struct sl_store *store;
    struct sl_account_quotas targets[SL_ACCOUNT_TARGETS_MAX];
    size_t count;
    char path[PATH_MAX];
    struct sl_timer again;
    void (*on_change)(void *ctx); /* rows are new */
    void *ctx;
};

void sl_account_open(struct sl_account *account, struct sl_loop *loop, struct sl_store *store,
                     const char *state, void (*on_change)(void *ctx), void *ctx);
/* The targets from now on; what is known of those of the same name stays. Asks for all. Before the
 * former ones can be freed. */
void sl_account_set(struct sl_account *account, struct sl_target *const *targets, size_t count);
/* NULL: nothing is known of that target. */
const struct sl_quota_rows *sl_account_rows(const struct sl_account *account, const char *target);
/* Before targets and store are freed. */
void sl_account_close(struct sl_account *account);

#endif
