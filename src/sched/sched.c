/* Plain admission: one queue in order of arrival. */
#include "sluice/sched/sched.h"

#include <assert.h>

#include "sluice/base/clock.h"

void sl_sched_init(struct sl_sched *sched, const struct sl_sched_settings *settings) {
    *sched = (struct sl_sched){.settings = *settings};
    sl_list_init(&sched->waiting);
}

void sl_sched_configure(struct sl_sched *sched, const struct sl_sched_settings *settings) {
    sched->settings = *settings;
}

void sl_ticket_init(struct sl_ticket *ticket) {
    *ticket = (struct sl_ticket){.state = SL_TICKET_IDLE};
    sl_list_init(&ticket->link);
}

int sl_sched_submit(struct sl_sched *sched, struct sl_ticket *ticket, uint64_t bytes,
                    uint64_t now) {
    assert(ticket->state == SL_TICKET_IDLE);
    /* More may wait than is allowed: the limits can have been lowered meanwhile. */
    if (sched->waiting_count >= sched->settings.max_requests ||
        sched->waiting_bytes > sched->settings.max_bytes ||
        sched->settings.max_bytes - sched->waiting_bytes < bytes)
        return SL_E_LIMIT;
    ticket->state = SL_TICKET_WAITING;
    ticket->bytes = bytes;
    ticket->queued_at = now;
    if (__builtin_add_overflow(now, sched->settings.max_wait_ns, &ticket->deadline))
        ticket->deadline = SL_NEVER;
    sched->waiting_count++;
    sched->waiting_bytes += bytes;
    sl_list_push_back(&sched->waiting, &ticket->link);
    return SL_OK;
}

static struct sl_ticket *first_waiting(const struct sl_sched *sched) {
    return sched->waiting_count ? SL_CONTAINER(sched->waiting.next, struct sl_ticket, link) : NULL;
}

static void leave_queue(struct sl_sched *sched, struct sl_ticket *ticket) {
    sl_list_remove(&ticket->link);
    sched->waiting_count--;
    sched->waiting_bytes -= ticket->bytes;
}

bool sl_sched_can_start(const struct sl_sched *sched) {
    return sched->waiting_count > 0 && sched->in_flight < sched->settings.max_in_flight;
}

struct sl_ticket *sl_sched_next(struct sl_sched *sched) {
    if (!sl_sched_can_start(sched))
        return NULL;
    struct sl_ticket *ticket = first_waiting(sched);
    leave_queue(sched, ticket);
    ticket->state = SL_TICKET_GRANTED;
    sched->in_flight++;
    return ticket;
}

struct sl_ticket *sl_sched_expired(struct sl_sched *sched, uint64_t now) {
    struct sl_ticket *ticket = first_waiting(sched);
    if (!ticket || ticket->deadline > now)
        return NULL;
    leave_queue(sched, ticket);
    ticket->state = SL_TICKET_IDLE;
    return ticket;
}

uint64_t sl_sched_next_deadline(const struct sl_sched *sched) {
    const struct sl_ticket *ticket = first_waiting(sched);
    return ticket ? ticket->deadline : SL_NEVER;
}

void sl_sched_release(struct sl_sched *sched, struct sl_ticket *ticket) {
    if (ticket->state == SL_TICKET_WAITING)
        leave_queue(sched, ticket);
    else if (ticket->state == SL_TICKET_GRANTED)
        sched->in_flight--;
    ticket->state = SL_TICKET_IDLE;
}
