/* From the words of Service Quotas to model ids. */
#ifndef SLUICE_UPSTREAM_QUOTA_NAMES_H
#define SLUICE_UPSTREAM_QUOTA_NAMES_H

#include "sluice/upstream/quotas.h"

struct sl_quota_name {
    struct sl_slice model; /* base id without version, static; empty: not known */
    enum sl_channel channel;
    enum sl_quota_kind kind;
    bool doubled; /* the value counts twice for profiles, which draw on it too */
};
/* False: not a quota of running a model. */
bool sl_quota_name_read(struct sl_slice name, struct sl_quota_name *out);

/* The static id that equals it; empty: there is none. */
struct sl_slice sl_quota_model_named(struct sl_slice id);
/* Whether the id of a model (base id) is of that row: equal but for its version. */
bool sl_quota_model_is(struct sl_slice row, struct sl_slice base);

#endif
