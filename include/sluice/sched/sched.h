/*
 * Admission of flights. Pure: time comes as an argument, nothing is called back. For now in order
 * of arrival, bounded in number, bytes, time and concurrency; quotas, fairness and priorities come
 * to stand behind these same calls.
 *
 *   submit ──▶ WAITING ──next──▶ GRANTED ──settle──▶ IDLE
 *                 └─ cancel / expired ──────────────▶ IDLE
 */
#ifndef SLUICE_SCHED_SCHED_H
#define SLUICE_SCHED_SCHED_H

#include <stdint.h>

#include "sluice/base/error.h"
#include "sluice/base/list.h"

struct sl_sched_settings {
    uint32_t max_in_flight; /* calls running at once */
    uint32_t max_requests;  /* waiting */
    uint64_t max_bytes;     /* of their bodies */
    uint64_t max_wait_ns;
};

enum sl_ticket_state { SL_TICKET_IDLE, SL_TICKET_WAITING, SL_TICKET_GRANTED };

struct sl_ticket {
    enum sl_ticket_state state;
    struct sl_list link;
    uint64_t bytes, queued_at, deadline;
};

struct sl_sched {
    struct sl_sched_settings settings;
    struct sl_list waiting; /* arrival order, which is deadline order too */
    uint32_t waiting_count, in_flight;
    uint64_t waiting_bytes;
};

void sl_sched_init(struct sl_sched *sched, const struct sl_sched_settings *settings);
/* Limits change for what comes; what waits keeps its deadline. */
void sl_sched_configure(struct sl_sched *sched, const struct sl_sched_settings *settings);
void sl_ticket_init(struct sl_ticket *ticket);
/* SL_E_LIMIT: the queue is full. */
SL_NODISCARD int sl_sched_submit(struct sl_sched *sched, struct sl_ticket *ticket, uint64_t bytes,
                                 uint64_t now);
/* The next ticket that may start now, granted; NULL when none may. */
struct sl_ticket *sl_sched_next(struct sl_sched *sched);
/* Whether _next would grant one. */
bool sl_sched_can_start(const struct sl_sched *sched);
/* A waiting ticket whose time is up, taken out of the queue; NULL when there is none. */
struct sl_ticket *sl_sched_expired(struct sl_sched *sched, uint64_t now);
/* When the next ticket expires; SL_NEVER with an empty queue. */
uint64_t sl_sched_next_deadline(const struct sl_sched *sched);
/* Takes a ticket out, wherever it stands: a waiting one is forgotten, a granted one is settled.
 * O(1). */
void sl_sched_release(struct sl_sched *sched, struct sl_ticket *ticket);

#endif
