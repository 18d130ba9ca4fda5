/*
 * Who is next in one class of a line. Each tenant has a share: its tickets, in order of arrival.
 * Shares take turns by deficit round-robin with a quantum of one token, where the rounds that serve
 * nobody are skipped: a share's `round` is the one in which what it has taken is paid, and the
 * share with the lowest round is next. So two tenants that both have something waiting never differ
 * by more than one request, whatever the sizes; a larger quantum would save a heap's log n and cost
 * that.
 *
 *   present: ▷ share a ▷ share b ▷ …     round = low: next, in order of arrival
 *   turns:   share c (low + 300), share d (low + 2000), …    a heap; the lowest become present
 *
 * A share that comes back joins the end of the present: idleness earns nothing. A share that
 * emptied is kept until the present has come to its round: leaving and coming back earns nothing
 * either.
 *
 * A share whose tenant has used up its own limits is parked: in no order, until the tenant wakes.
 */
#ifndef SLUICE_SCHED_SHARE_H
#define SLUICE_SCHED_SHARE_H

#include "sched/tenant.h"
#include "sluice/sched/queue.h"

#define SL_IDLE_SHARES_MAX 65536
#define SL_NEAR_MAX        16

/* What is to start before. */
struct sl_ahead {
    uint64_t requests, tokens;
};

/* All of a queue's shares, by order and tenant. */
struct sl_shares {
    struct sl_table table;
    struct sl_tenants tenants;
    uint32_t idle;
};

/* One class of a line. */
struct sl_order {
    struct sl_shares *shares;
    struct sl_line *line;
    struct sl_list present;      /* shares of the lowest round */
    struct sl_heap turns, sizes; /* all shares: by round unless present, by the head's tokens */
    struct sl_list idle;         /* shares with nothing waiting nor running */
    uint64_t low, high;          /* the present round, and the latest that anyone has reached */
    struct sl_ahead present_ahead;
    struct sl_ticket *blocked; /* found to be next in turn but to lack tokens; NULL: not so */
    uint32_t eligible;         /* shares with something waiting, not parked */
    uint32_t busy;             /* shares with something waiting */
    uint32_t waiting;
    uint64_t tokens;
    uint64_t round;  /* the class's own turn among its line's: the same idea one level up */
    uint32_t charge; /* rounds a token costs it there */
};

struct sl_share {
    struct sl_table_node node;
    struct sl_order *order;
    uint64_t tenant_id;
    struct sl_tenant *tenant; /* pinned while tickets wait or run; NULL without own limits */
    struct sl_list tickets;
    struct sl_heap_node turn, size; /* always in the heaps; SL_NEVER while not in that order */
    struct sl_list present, parked, idle;
    uint64_t present_tokens; /* counted in its order's present_ahead */
    uint64_t round;
    uint64_t tokens;
    uint32_t waiting, running;
};

SL_NODISCARD int sl_shares_init(struct sl_shares *shares);
void sl_shares_done(struct sl_shares *shares);
void sl_order_init(struct sl_order *order, struct sl_shares *shares, struct sl_line *line,
                   enum sl_class priority);
void sl_order_done(struct sl_order *order); /* nothing may wait or run */

/* NULL when that tenant has none. */
struct sl_share *sl_share_find(const struct sl_order *order, uint64_t tenant);
/* Finds or makes the one the demand belongs to, its tenant's limits as demanded. SL_E_NOMEM,
 * SL_E_LIMIT. */
SL_NODISCARD int sl_share_get(struct sl_order *order, const struct sl_demand *demand, uint64_t now,
                              struct sl_share **out);
/* It was got in vain. */
void sl_share_drop(struct sl_share *share, uint64_t now);

enum sl_end { SL_END_FRONT, SL_END_BACK };
void sl_share_add(struct sl_share *share, struct sl_ticket *ticket, enum sl_end end);
/* Takes a waiting ticket out; the share goes idle with its last. */
void sl_share_remove(struct sl_share *share, struct sl_ticket *ticket, uint64_t now);
/* Takes a waiting ticket out to run, and charges it. */
void sl_share_start(struct sl_share *share, struct sl_ticket *ticket, uint64_t now);
/* A ticket has run: its tenant's limits are corrected. */
void sl_share_settle(struct sl_share *share, const struct sl_ticket *ticket,
                     const struct sl_outcome *outcome, uint64_t now);
/* The same, but it waits again, as the first, and its turn is given back. */
void sl_share_return(struct sl_share *share, struct sl_ticket *ticket,
                     const struct sl_outcome *outcome, uint64_t now);

/* Of what may be served: the head of the share next in turn, or the smallest head; NULL when there
 * is none. Shares found to be over their tenant's limits are parked. */
struct sl_ticket *sl_order_next(struct sl_order *order, uint64_t now);
struct sl_ticket *sl_order_smallest(struct sl_order *order, uint64_t now);
/* Up to `max` of them in order of their turns; how many. O(max²), whatever the number. */
size_t sl_order_near(struct sl_order *order, struct sl_share **near, size_t max);
/* Whether the ticket's tenant may start it; else its share is parked. */
bool sl_share_allows(struct sl_share *share, const struct sl_ticket *ticket, uint64_t now);
/* Puts back in order one share that is parked for this tenant; NULL when none is. */
struct sl_share *sl_share_unpark(struct sl_tenant *tenant);

static inline struct sl_ticket *sl_share_head(const struct sl_share *share) {
    return share->waiting ? SL_CONTAINER(share->tickets.next, struct sl_ticket, link) : NULL;
}
/* What a request counts for in turns: one that is of no size still is one. */
static inline uint64_t sl_ticket_cost(const struct sl_ticket *ticket) {
    return ticket->demand.tokens ? ticket->demand.tokens : 1;
}

#endif
