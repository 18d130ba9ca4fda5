/*
 * The scheduler's queue: tickets wait in lines, one for each model, until one of the line's pools
 * has room. Pure: time is passed in, nothing is called back.
 *
 *   submit ──▶ WAITING ──next──▶ GRANTED ──settle──▶ IDLE
 *                 │                  └──requeue──▶ WAITING (in front of its tenant's others)
 *                 └─ cancel / due, expired ──▶ IDLE
 *
 *   line ─┬─ interactive ─┬─ tenant a: ticket ticket      a line's routes: [pool, pool, …]
 *         ├─ normal       └─ tenant b: ticket             by priority, then weight × headroom
 *         └─ batch
 *
 * Inside a line: classes share by weights (interactive first, but a lower class is never starved:
 * it gets at least its share, 16 : 4 : 1 of tokens while all want), tenants of a class by deficit
 * round-robin over reserved tokens, tickets of a tenant in order of arrival. A head that does not
 * fit yet may be overtaken by at most its own size in tokens; then its pool is held for it. All
 * operations are O(1) or O(log n) in the number of tenants; none depends on how many wait.
 *
 * Waiting is bounded in number, bytes and time. What cannot start before its deadline by the
 * forecast is refused at once, with the wait computed.
 */
#ifndef SLUICE_SCHED_QUEUE_H
#define SLUICE_SCHED_QUEUE_H

#include "sluice/base/list.h"
#include "sluice/base/wheel.h"
#include "sluice/core/client.h"
#include "sluice/sched/pool.h"

#define SL_LINE_ROUTES_MAX 16

struct sl_queue;
struct sl_line;

/* One way to serve a line's model. The caller's: must live as long as the line. */
struct sl_route {
    struct sl_pool *pool;
    uint32_t weight;   /* share among routes of one priority, 1…1000 */
    uint32_t priority; /* lower first; a higher one serves only while no lower one can */
    void *ctx;
};

struct sl_queue_settings {
    uint32_t max_in_flight; /* calls running at once, over all lines */
    uint32_t max_requests;  /* waiting */
    uint64_t max_bytes;     /* of their bodies */
    uint64_t max_wait_ns;
};

enum sl_ticket_state { SL_TICKET_IDLE, SL_TICKET_WAITING, SL_TICKET_GRANTED };

/* What a call asks for. */
struct sl_demand {
    uint64_t tokens;   /* to reserve: estimated input + max_tokens */
    uint64_t bytes;    /* of the body, while it waits */
    uint64_t deadline; /* monotonic; SL_NEVER: only max_wait bounds it */
    uint64_t
        fallback_at; /* monotonic: _due tells of it then, to be tried elsewhere; SL_NEVER: never */
    uint64_t tenant;
    uint64_t tenant_rpm, tenant_tpm; /* the tenant's own limits, kept by waiting; 0: none */
    enum sl_class priority;
};

/* Embedded by the flight. Fields are the queue's, for reading only. */
struct sl_ticket {
    enum sl_ticket_state state;
    struct sl_line *line;
    struct sl_list link;      /* among its tenant's */
    struct sl_wheel_node due; /* by deadline or fallback_at, the earlier */
    struct sl_demand demand;
    uint64_t queued_at;           /* of the first submission */
    uint64_t overtaken;           /* tokens that passed it while it was a blocked head */
    void *flow;                   /* tenant's queue within the line */
    const struct sl_route *route; /* granted on */
    uint32_t avoid;    /* bit per route: refused or failed there, tried after the others */
    uint32_t avoid_of; /* the generation of routes that these bits are about */
    struct sl_reservation reservation;
};

SL_NODISCARD struct sl_queue *sl_queue_new(const struct sl_queue_settings *settings);
void sl_queue_free(struct sl_queue *queue); /* nothing may wait or run */
/* Also to be called after pools were configured: what sleeps is looked at again. */
void sl_queue_configure(struct sl_queue *queue, const struct sl_queue_settings *settings);

/* A line over its routes (copied; at most SL_LINE_ROUTES_MAX). A line without limits is one whose
 * pools have none. name is copied, for the admin page. */
SL_NODISCARD struct sl_line *sl_line_new(struct sl_queue *queue, struct sl_slice name,
                                         const struct sl_route *routes, size_t count);
/* Other routes for what waits and comes; tickets granted on old ones keep them until they settle.
 */
SL_NODISCARD int sl_line_set_routes(struct sl_line *line, const struct sl_route *routes,
                                    size_t count);
bool sl_line_is_idle(const struct sl_line *line); /* nothing waits or runs */
void sl_line_free(struct sl_line *line);          /* idle only */

void sl_ticket_init(struct sl_ticket *ticket);

struct sl_refusal {
    enum sl_scarcity kind;
    uint64_t wait_ns; /* after which trying again makes sense */
};
/*
 * SL_OK: waits (or can be granted at once by _next). SL_E_LIMIT: refused, for the reason in *why:
 * the queue is full (CAPACITY), or by the forecast it cannot start before its deadline or max_wait.
 */
SL_NODISCARD int sl_queue_submit(struct sl_queue *queue, struct sl_line *line,
                                 struct sl_ticket *ticket, const struct sl_demand *demand,
                                 uint64_t now, uint64_t wall, struct sl_refusal *why);
/* The next ticket that may start now, granted, its reservation taken; NULL when none may. */
struct sl_ticket *sl_queue_next(struct sl_queue *queue, uint64_t now, uint64_t wall);
/* A waiting ticket whose deadline (or max_wait) has come: *expired, and it is taken out (IDLE). Or
 * one whose fallback_at has come, once: it keeps its place, and the caller may cancel it to try
 * elsewhere. *why as computed for its Retry-After. NULL when none. It comes up to 1.05 ms after its
 * time (base/wheel.h), never before. */
struct sl_ticket *sl_queue_due(struct sl_queue *queue, uint64_t now, uint64_t wall, bool *expired,
                               struct sl_refusal *why);
/* When _next or _due may have something without anything else happening; SL_NEVER: not by time. */
uint64_t sl_queue_wake_at(const struct sl_queue *queue, uint64_t now, uint64_t wall);
/* A granted ticket's call ended. */
void sl_queue_settle(struct sl_queue *queue, struct sl_ticket *ticket,
                     const struct sl_outcome *outcome, uint64_t now, uint64_t wall);
/* Settles a granted ticket and lets it wait again, in front of its tenant's others, its route to be
 * avoided while another can serve. Never refused for room: its place was its own. SL_E_LIMIT when
 * its deadline cannot be met any more. */
SL_NODISCARD int sl_queue_requeue(struct sl_queue *queue, struct sl_ticket *ticket,
                                  const struct sl_outcome *outcome, uint64_t now, uint64_t wall,
                                  struct sl_refusal *why);
/* Takes a waiting ticket out. O(1) but for its deadline, O(log n). */
void sl_queue_cancel(struct sl_queue *queue, struct sl_ticket *ticket);
/* A waiting ticket's class or deadline changes: somebody joined its flight, or left. Without memory
 * it stays in its class. */
void sl_queue_change(struct sl_queue *queue, struct sl_ticket *ticket, enum sl_class priority,
                     uint64_t deadline);
/* The forecast of the wait for a call of that size on that line, were it submitted now. */
uint64_t sl_line_forecast(const struct sl_line *line, enum sl_class priority, uint64_t tokens,
                          uint64_t now, uint64_t wall, enum sl_scarcity *kind);

/* For the admin page. */
struct sl_queue_counts {
    uint32_t waiting, running;
    uint64_t waiting_bytes, waiting_tokens;
};
struct sl_queue_counts sl_queue_count(const struct sl_queue *queue);
/* Each line, class and tenant with something waiting; stops when visit returns false. */
typedef bool (*sl_queue_visit)(void *ctx, struct sl_slice line, enum sl_class priority,
                               uint64_t tenant, uint32_t waiting, uint64_t tokens,
                               uint64_t oldest_ns);
void sl_queue_look(const struct sl_queue *queue, uint64_t now, sl_queue_visit visit, void *ctx);

#endif
