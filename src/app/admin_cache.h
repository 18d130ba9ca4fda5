/*
 * Pages about kept answers: GET /admin/cache (entries, bytes, hits, savings by model), DELETE there
 * with ?key=…, ?model=… or ?tenant=… (purges those), or ?all=true.
 */
#ifndef SLUICE_APP_ADMIN_CACHE_H
#define SLUICE_APP_ADMIN_CACHE_H

#include "app/admin_page.h"
#include "sluice/flow/flow.h"

struct sl_admin_cache {
    struct sl_flow *flow;
    const struct sl_metrics *metrics;
};

/* For sl_admin_add, with a struct sl_admin_cache as ctx. */
extern const struct sl_admin_row sl_admin_cache_rows[];

#endif
