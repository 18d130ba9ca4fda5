/* What the queue's tests share: a queue with virtual time, pools with known limits, tickets. */
#ifndef QUEUE_RIG_H
#define QUEUE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/sched/queue.h"

#define SECOND SL_NS_PER_S
#define MINUTE (60 * SECOND)

static const struct sl_queue_settings rig_settings = {
    .max_in_flight = 100000,
    .max_requests = 100000,
    .max_bytes = UINT64_C(1) << 40,
    .max_wait_ns = 10 * MINUTE,
};

struct rig {
    struct sl_queue *queue;
    uint64_t now, wall;
    uint64_t blocks; /* allocated before */
};

static inline void rig_open(struct rig *rig, const struct sl_queue_settings *settings) {
    *rig = (struct rig){.now = 1000 * SECOND, .wall = UINT64_C(1700000000) * 1000};
    rig->blocks = sl_mem_stats().blocks;
    rig->queue = sl_queue_new(settings ? settings : &rig_settings);
    assert_non_null(rig->queue);
}

/* All that was made is gone. */
static inline void rig_close(struct rig *rig) {
    sl_queue_free(rig->queue);
    assert_int_equal(sl_mem_stats().blocks, rig->blocks);
}

static inline void rig_pass(struct rig *rig, uint64_t ns) {
    rig->now += ns;
    rig->wall += ns / SL_NS_PER_MS;
}

static inline struct sl_pool *rig_pool(const struct rig *rig, struct sl_limits limits,
                                       enum sl_window window) {
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    settings.configured = limits;
    settings.window = window;
    settings.guard_ns = 0;
    struct sl_pool *pool =
        sl_pool_new((struct sl_slice){"pool", 4}, &settings, 1, rig->now, rig->wall);
    assert_non_null(pool);
    return pool;
}

static inline struct sl_line *rig_line(struct rig *rig, struct sl_pool *pool) {
    struct sl_route route = {.pool = pool, .weight = 1};
    struct sl_line *line = sl_line_new(rig->queue, (struct sl_slice){"model", 5}, &route, 1);
    assert_non_null(line);
    return line;
}

static inline struct sl_demand rig_demand(uint64_t tenant, enum sl_class priority,
                                          uint64_t tokens) {
    return (struct sl_demand){.tenant = tenant,
                              .priority = priority,
                              .tokens = tokens,
                              .bytes = 100,
                              .deadline = SL_NEVER,
                              .fallback_at = SL_NEVER};
}

static inline int rig_ask(struct rig *rig, struct sl_line *line, struct sl_ticket *ticket,
                          const struct sl_demand *demand, struct sl_refusal *why) {
    sl_ticket_init(ticket);
    return sl_queue_submit(rig->queue, line, ticket, demand, rig->now, rig->wall, why);
}

/* One that must be let wait. */
static inline void rig_submit(struct rig *rig, struct sl_line *line, struct sl_ticket *ticket,
                              uint64_t tenant, enum sl_class priority, uint64_t tokens) {
    struct sl_demand demand = rig_demand(tenant, priority, tokens);
    struct sl_refusal why;
    assert_int_equal(rig_ask(rig, line, ticket, &demand, &why), SL_OK);
}

static inline struct sl_ticket *rig_next(struct rig *rig) {
    return sl_queue_next(rig->queue, rig->now, rig->wall);
}

static inline uint64_t rig_wake_at(const struct rig *rig) {
    return sl_queue_wake_at(rig->queue, rig->now, rig->wall);
}

/* The call ended well, and used what was reserved. */
static inline void rig_settle(struct rig *rig, struct sl_ticket *ticket) {
    struct sl_outcome outcome = {.ending = SL_ENDING_OK, .tokens = ticket->demand.tokens};
    sl_queue_settle(rig->queue, ticket, &outcome, rig->now, rig->wall);
}

/* Passes time until something may start; fails if nothing ever does. */
static inline struct sl_ticket *rig_await(struct rig *rig) {
    for (int looks = 0; looks < 100000; looks++) {
        struct sl_ticket *ticket = rig_next(rig);
        if (ticket)
            return ticket;
        uint64_t at = rig_wake_at(rig);
        assert_true(at > rig->now);
        assert_true(at != SL_NEVER);
        rig_pass(rig, at - rig->now);
    }
    fail_msg("nothing starts");
    return NULL;
}

#endif
