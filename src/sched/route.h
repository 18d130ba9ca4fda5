/*
 * Routes, and the pools behind them.
 *
 *   line ──▶ ways ─┬─ way ──▶ port ──▶ pool        a port is a pool as the queue sees it: the ways
 *                  └─ way ──▶ port ◀── way ◀── …    of all lines that lead to it, and who holds it
 *
 * A line's ways are one block, shared with the tickets granted on it: after a change of routes the
 * old block lives until the last of those has settled.
 *
 * A claim: the ticket that is next in its line, and lacks only tokens, claims the pool that will
 * have them first. Others may then take at most as many tokens there as the claimant asks for;
 * after that the pool is held until the claimant fits. One pool has at most one claim.
 */
#ifndef SLUICE_SCHED_ROUTE_H
#define SLUICE_SCHED_ROUTE_H

#include "sluice/base/table.h"
#include "sluice/sched/queue.h"

struct sl_port {
    struct sl_table_node node;
    struct sl_pool *pool;
    struct sl_list ways; /* in force */
    struct sl_ticket *claim;
    uint32_t refs;
};

struct sl_way {
    struct sl_route route;
    struct sl_port *port;
    struct sl_line *line;
    struct sl_list link; /* among its port's */
    struct sl_ways *of;
    int64_t turn; /* smooth weighted round-robin */
};

struct sl_ways {
    uint32_t refs; /* its line's, and of each ticket granted on it */
    uint32_t generation;
    size_t count;
    struct sl_way ways[];
};

/* NULL: no memory. Not in force before _enter. */
struct sl_ways *sl_ways_new(struct sl_table *ports, struct sl_line *line,
                            const struct sl_route *routes, size_t count, uint32_t generation);
void sl_ways_enter(struct sl_ways *ways);
void sl_ways_leave(struct sl_ways *ways);
void sl_ways_release(struct sl_table *ports, struct sl_ways *ways);

struct sl_choice {
    struct sl_way *way;        /* NULL: none may serve it now */
    uint64_t wait_ns;          /* then: until the first may; SL_NEVER: not by time */
    enum sl_scarcity kind;     /* of that */
    bool lacks_tokens;         /* only, on some way */
    struct sl_port *claimable; /* of those, unclaimed, the soonest to have them; or NULL */
};
/* The way for a ticket that starts now if there is one: of those its turn is taken. */
struct sl_choice sl_ways_choose(struct sl_ways *ways, const struct sl_ticket *ticket, uint64_t now,
                                uint64_t wall);
/* The ticket is not to go there again while another can serve it. */
void sl_ways_avoid(const struct sl_ways *ways, struct sl_ticket *ticket,
                   const struct sl_pool *pool);

static inline struct sl_way *sl_way_of(const struct sl_route *route) {
    return SL_CONTAINER(route, struct sl_way, route);
}

#endif
