/*
 * Limits that Bedrock sets for one model, account and region, without what makes a gateway keep
 * them: plain figures, as Service Quotas and the table of defaults give them.
 */
#ifndef SLUICE_CORE_QUOTA_H
#define SLUICE_CORE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/core/model.h"

/* 0: not known, or none. */
struct sl_quota_limits {
    uint64_t rpm, tpm; /* requests, tokens a minute */
    uint64_t tpd;      /* tokens a day */
};

/*
 * What an account may be expected to have before anything else is known: where learning begins, not
 * where it ends. False: nothing is known of such a model.
 */
bool sl_quota_default(struct sl_slice model, enum sl_channel channel, struct sl_quota_limits *out);

#endif
