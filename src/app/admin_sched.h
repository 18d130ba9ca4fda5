/*
 * Pages about the scheduler: GET /admin/targets (pools of quota), PATCH or POST there (limits and
 * weights until the next reload), GET /admin/queue.
 */
#ifndef SLUICE_APP_ADMIN_SCHED_H
#define SLUICE_APP_ADMIN_SCHED_H

#include "app/admin_page.h"
#include "sluice/sched/queue.h"

typedef bool (*sl_pool_visit)(void *ctx, const struct sl_pool_view *view);

/* Where the pages look. All must be set. */
struct sl_admin_sched {
    void (*look_pools)(void *ctx, sl_pool_visit visit, void *visitor);
    void (*look_queue)(void *ctx, sl_queue_visit visit, void *visitor);
    struct sl_queue_counts (*count_queue)(void *ctx);
    /* False: there is no pool, or target, of that name. */
    bool (*set_limits)(void *ctx, struct sl_slice pool, const struct sl_limits *limits);
    bool (*set_weight)(void *ctx, struct sl_slice target, uint32_t weight);
    void *ctx;
};

/* For sl_admin_add, with a struct sl_admin_sched as ctx. */
extern const struct sl_admin_row sl_admin_sched_rows[];

#endif
