/*
 * What the rooms below ask of the configuration: settings of the flow, and answers to its questions
 * (limits, aliases, fallbacks, prices). Holds what is derived from a configuration and changes with
 * it.
 */
#ifndef SLUICE_SRC_APP_POLICY_H
#define SLUICE_SRC_APP_POLICY_H

#include "app/account.h"
#include "sluice/app/config.h"
#include "sluice/dialect/sessions.h"
#include "sluice/flow/flow.h"
#include "sluice/meter/price.h"
#include "sluice/store/store.h"

struct sl_policy {
    const struct sl_config *config; /* in force; the owner's */
    struct sl_prices *prices;
    struct sl_sessions *sessions;
    struct sl_keys *keys;             /* NULL: auth is none */
    struct sl_store *store;           /* NULL: no ledger */
    const struct sl_account *account; /* what AWS says of quotas; NULL: not asked */
    bool simulated;                   /* the upstream is the simulator in this process */
    struct sl_slice geography;        /* whose profiles the first target calls; static */
    struct sl_slice trusted_hosts[16];
};

/* Prices of the configuration, with the file it names. Sentence in why. */
SL_NODISCARD int sl_policy_init(struct sl_policy *policy, const struct sl_config *config, char *why,
                                size_t why_size);
/* The same for another configuration; on failure nothing changes. */
SL_NODISCARD int sl_policy_change(struct sl_policy *policy, const struct sl_config *config,
                                  char *why, size_t why_size);
void sl_policy_done(struct sl_policy *policy);
/* policy must outlive the flow. */
struct sl_flow_settings sl_policy_flow_settings(struct sl_policy *policy);

#endif
