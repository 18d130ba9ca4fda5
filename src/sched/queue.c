/*
 * The queue's calls: each ticket is WAITING in exactly one share and in the wheel of due times,
 * or GRANTED on a way, or IDLE. What is counted is counted in enter() and leave() alone.
 *
 * A step:
 *   time ──▶ tenants awake, lines awake ──▶ ready lines, longest unserved first ──▶ grant
 */
#include "sluice/sched/queue.h"

#include <assert.h>
#include <string.h>

#include "sched/line.h"
#include "sched/number.h"
#include "sluice/base/mem.h"

/* As estimates do: no sum of a hundred thousand overflows. */
#define TOKENS_MAX (UINT64_C(1) << 40)
/* Advice where it is the gateway itself that is full: no pool knows how long calls take. */
#define CAPACITY_WAIT_NS SL_NS_PER_S

struct sl_queue *sl_queue_new(const struct sl_queue_settings *settings) {
    struct sl_queue *queue = sl_calloc(1, sizeof(*queue));
    if (!queue)
        return NULL;
    queue->settings = *settings;
    sl_list_init(&queue->lines);
    sl_heap_init(&queue->ready);
    sl_heap_init(&queue->wakes);
    sl_wheel_init(&queue->due);
    if (sl_shares_init(&queue->shares) < 0 || sl_table_init(&queue->ports) < 0) {
        sl_queue_free(queue);
        return NULL;
    }
    return queue;
}

void sl_queue_free(struct sl_queue *queue) {
    if (!queue)
        return;
    assert(sl_list_empty(&queue->lines) && !queue->counts.waiting && !queue->counts.running);
    sl_shares_done(&queue->shares);
    sl_table_done(&queue->ports);
    sl_heap_done(&queue->ready);
    sl_heap_done(&queue->wakes);
    sl_free(queue);
}

static void wake_all(struct sl_queue *queue) {
    SL_LIST_EACH(&queue->lines, link, tmp)
    sl_line_wake(SL_CONTAINER(link, struct sl_line, link));
}

void sl_queue_configure(struct sl_queue *queue, const struct sl_queue_settings *settings) {
    queue->settings = *settings;
    wake_all(queue);
}

struct sl_line *sl_line_new(struct sl_queue *queue, struct sl_slice name,
                            const struct sl_route *routes, size_t count) {
    struct sl_line *line = sl_calloc(1, sizeof(*line) + name.len);
    if (!line)
        return NULL;
    line->queue = queue;
    line->shut = UINT64_MAX;
    line->name_len = name.len;
    if (name.len)
        memcpy(line->name, name.ptr, name.len);
    for (int i = 0; i < SL_CLASS_COUNT; i++)
        sl_order_init(&line->orders[i], &queue->shares, line, (enum sl_class)i);
    line->ways = sl_ways_new(&queue->ports, line, routes, count, ++queue->generation);
    if (!line->ways)
        goto fail;
    if (sl_heap_push(&queue->ready, &line->ready, SL_NEVER) < 0)
        goto release;
    if (sl_heap_push(&queue->wakes, &line->wake, SL_NEVER) < 0) {
        sl_heap_remove(&queue->ready, &line->ready);
        goto release;
    }
    sl_ways_enter(line->ways);
    sl_list_push_back(&queue->lines, &line->link);
    return line;
release:
    sl_ways_release(&queue->ports, line->ways);
fail:
    sl_free(line);
    return NULL;
}

int sl_line_set_routes(struct sl_line *line, const struct sl_route *routes, size_t count) {
    struct sl_queue *queue = line->queue;
    struct sl_ways *ways = sl_ways_new(&queue->ports, line, routes, count, ++queue->generation);
    if (!ways)
        return SL_E_NOMEM;
    sl_line_unclaim(line);
    sl_ways_leave(line->ways);
    sl_ways_release(&queue->ports, line->ways);
    line->ways = ways;
    sl_ways_enter(ways);
    sl_line_wake(line);
    return SL_OK;
}

bool sl_line_is_idle(const struct sl_line *line) {
    return !line->waiting && !line->running;
}

void sl_line_free(struct sl_line *line) {
    if (!line)
        return;
    struct sl_queue *queue = line->queue;
    assert(sl_line_is_idle(line) && !line->claimant);
    for (int i = 0; i < SL_CLASS_COUNT; i++)
        sl_order_done(&line->orders[i]);
    sl_ways_leave(line->ways);
    sl_ways_release(&queue->ports, line->ways);
    sl_heap_remove(&queue->ready, &line->ready);
    sl_heap_remove(&queue->wakes, &line->wake);
    sl_list_remove(&line->link);
    sl_free(line);
}

void sl_ticket_init(struct sl_ticket *ticket) {
    *ticket = (struct sl_ticket){.state = SL_TICKET_IDLE, .queued_at = SL_NEVER};
    sl_list_init(&ticket->link);
    sl_wheel_node_init(&ticket->due);
}

static void set_due(struct sl_queue *queue, struct sl_ticket *ticket) {
    uint64_t at = sl_min(ticket->demand.deadline, ticket->demand.fallback_at);
    if (sl_wheel_linked(&ticket->due))
        sl_wheel_remove(&queue->due, &ticket->due);
    if (at != SL_NEVER)
        sl_wheel_add(&queue->due, &ticket->due, at);
}

/* Then the ticket goes to a share. */
static void enter(struct sl_line *line, struct sl_ticket *ticket) {
    struct sl_queue *queue = line->queue;
    ticket->state = SL_TICKET_WAITING;
    line->waiting++;
    queue->counts.waiting++;
    queue->counts.waiting_bytes += ticket->demand.bytes;
    queue->counts.waiting_tokens += ticket->demand.tokens;
    set_due(queue, ticket);
}

/* Then its share loses it. */
static void leave(struct sl_line *line, struct sl_ticket *ticket) {
    struct sl_queue *queue = line->queue;
    if (sl_wheel_linked(&ticket->due))
        sl_wheel_remove(&queue->due, &ticket->due);
    line->waiting--;
    queue->counts.waiting--;
    queue->counts.waiting_bytes -= ticket->demand.bytes;
    queue->counts.waiting_tokens -= ticket->demand.tokens;
    sl_line_forget(line, ticket);
}

static void become_idle(struct sl_ticket *ticket) {
    ticket->state = SL_TICKET_IDLE;
    ticket->flow = NULL;
    ticket->route = NULL;
}

static bool is_full(const struct sl_queue *queue, const struct sl_demand *demand) {
    /* More may wait than is allowed: the limits can have been lowered meanwhile. */
    const struct sl_queue_settings *settings = &queue->settings;
    return queue->counts.waiting >= settings->max_requests ||
           queue->counts.waiting_bytes > settings->max_bytes ||
           settings->max_bytes - queue->counts.waiting_bytes < demand->bytes;
}

static struct sl_refusal capacity(uint64_t wait) {
    return (struct sl_refusal){SL_SCARCE_CAPACITY,
                               wait && wait != SL_NEVER ? wait : CAPACITY_WAIT_NS};
}

/* The tenant's own limits, or the pools', whichever take longer. */
static struct sl_refusal forecast(const struct sl_line *line, struct sl_ahead ahead,
                                  const struct sl_tenant *tenant, struct sl_ahead own_ahead,
                                  uint64_t tokens, uint64_t now, uint64_t wall) {
    struct sl_refusal found;
    found.wait_ns = sl_line_wait(line, ahead, tokens, now, wall, &found.kind);
    if (!tenant)
        return found;
    uint64_t own = sl_tenant_forecast(tenant, own_ahead.requests, own_ahead.tokens, tokens, now);
    return own > found.wait_ns ? (struct sl_refusal){SL_SCARCE_SHARE, own} : found;
}

static struct sl_ahead ahead_of_tenant(const struct sl_tenant *tenant) {
    return tenant ? (struct sl_ahead){tenant->waiting, tenant->waiting_tokens}
                  : (struct sl_ahead){0};
}

static bool comes_too_late(const struct sl_demand *demand, uint64_t wait, uint64_t now) {
    return demand->deadline != SL_NEVER && sl_add_sat(now, wait) > demand->deadline;
}

/* With room in the queue: whether it can be in time, and its share. */
static int admit(struct sl_line *line, const struct sl_demand *demand, uint64_t now, uint64_t wall,
                 struct sl_share **share, struct sl_refusal *why) {
    int rc = sl_share_get(&line->orders[demand->priority], demand, now, share);
    if (rc < 0) {
        *why = capacity(0);
        return rc;
    }
    const struct sl_tenant *tenant = (*share)->tenant;
    struct sl_refusal found = forecast(line, sl_line_least_ahead(line, demand), tenant,
                                       ahead_of_tenant(tenant), demand->tokens, now, wall);
    if (!comes_too_late(demand, found.wait_ns, now))
        return SL_OK;
    sl_share_drop(*share, now);
    *why = found;
    return SL_E_LIMIT;
}

int sl_queue_submit(struct sl_queue *queue, struct sl_line *line, struct sl_ticket *ticket,
                    const struct sl_demand *demand, uint64_t now, uint64_t wall,
                    struct sl_refusal *why) {
    assert(ticket->state == SL_TICKET_IDLE && line->queue == queue);
    assert(demand->priority < SL_CLASS_COUNT);
    struct sl_demand asked = *demand;
    uint64_t queued_at = ticket->queued_at == SL_NEVER ? now : ticket->queued_at;
    asked.tokens = sl_min(asked.tokens, TOKENS_MAX);
    asked.deadline = sl_min(asked.deadline, sl_add_sat(queued_at, queue->settings.max_wait_ns));
    if (is_full(queue, &asked)) {
        enum sl_scarcity kind;
        *why = capacity(sl_line_forecast(line, asked.priority, asked.tokens, now, wall, &kind));
        return SL_E_LIMIT;
    }
    struct sl_share *share;
    int rc = admit(line, &asked, now, wall, &share, why);
    if (rc < 0)
        return rc;
    ticket->line = line;
    ticket->demand = asked;
    ticket->queued_at = queued_at;
    ticket->overtaken = 0;
    ticket->avoid = 0;
    enter(line, ticket);
    sl_share_add(share, ticket, SL_END_BACK);
    return SL_OK;
}

static void wake_tenant(struct sl_tenant *tenant) {
    while (sl_share_unpark(tenant))
        ;
}

/* What time alone has changed. */
static void see_time(struct sl_queue *queue, uint64_t now) {
    if (now < queue->now) {
        sl_tenants_step_back(&queue->shares.tenants, queue->now - now);
        wake_all(queue);
    }
    queue->now = now;
    for (struct sl_tenant *tenant; (tenant = sl_tenants_awake(&queue->shares.tenants, now));)
        wake_tenant(tenant);
    for (struct sl_heap_node *node;
         (node = sl_heap_min(&queue->wakes)) && node->key <= now && node->key != SL_NEVER;)
        sl_line_wake(SL_CONTAINER(node, struct sl_line, wake));
}

static void grant(struct sl_line *line, struct sl_ticket *ticket, struct sl_way *way, uint64_t now,
                  uint64_t wall) {
    struct sl_queue *queue = line->queue;
    struct sl_share *share = ticket->flow;
    leave(line, ticket); /* which ends its own claim */
    if (way->port->claim)
        way->port->claim->overtaken += sl_ticket_cost(ticket);
    sl_share_start(share, ticket, now);
    sl_line_move_present(line);
    sl_pool_reserve(way->route.pool, &ticket->reservation, ticket->demand.tokens, now, wall);
    way->of->refs++;
    ticket->route = &way->route;
    ticket->state = SL_TICKET_GRANTED;
    line->running++;
    queue->counts.running++;
    line->served = ++queue->grants;
    sl_heap_update(&queue->ready, &line->ready, line->waiting ? line->served : SL_NEVER);
}

struct sl_ticket *sl_queue_next(struct sl_queue *queue, uint64_t now, uint64_t wall) {
    if (queue->counts.running >= queue->settings.max_in_flight)
        return NULL;
    see_time(queue, now);
    for (struct sl_heap_node *node; (node = sl_heap_min(&queue->ready)) && node->key != SL_NEVER;) {
        struct sl_line *line = SL_CONTAINER(node, struct sl_line, ready);
        struct sl_way *way;
        struct sl_ticket *ticket = sl_line_pick(line, &way, now, wall);
        if (!ticket)
            continue;
        grant(line, ticket, way, now, wall);
        return ticket;
    }
    return NULL;
}

static void withdraw(struct sl_ticket *ticket, uint64_t now) {
    struct sl_line *line = ticket->line;
    struct sl_share *share = ticket->flow;
    leave(line, ticket);
    sl_share_remove(share, ticket, now);
    become_idle(ticket);
}

/* For when it comes again: behind all that waits now. */
static struct sl_refusal why_waiting(const struct sl_ticket *ticket, uint64_t now, uint64_t wall) {
    const struct sl_demand *demand = &ticket->demand;
    const struct sl_tenant *tenant = ((const struct sl_share *)ticket->flow)->tenant;
    struct sl_ahead ahead = sl_line_ahead(ticket->line, demand->priority);
    struct sl_ahead own = ahead_of_tenant(tenant);
    ahead.requests--;
    ahead.tokens -= demand->tokens;
    own.requests--;
    own.tokens -= demand->tokens;
    struct sl_refusal found = forecast(ticket->line, ahead, tenant, own, demand->tokens, now, wall);
    return found.kind == SL_SCARCE_NOTHING ? capacity(0) : found;
}

struct sl_ticket *sl_queue_due(struct sl_queue *queue, uint64_t now, uint64_t wall, bool *expired,
                               struct sl_refusal *why) {
    struct sl_wheel_node *node = sl_wheel_pop(&queue->due, now);
    if (!node)
        return NULL;
    struct sl_ticket *ticket = SL_CONTAINER(node, struct sl_ticket, due);
    *why = why_waiting(ticket, now, wall);
    *expired = ticket->demand.deadline <= now;
    if (*expired) {
        withdraw(ticket, now);
    } else {
        ticket->demand.fallback_at = SL_NEVER;
        set_due(queue, ticket);
    }
    return ticket;
}

uint64_t sl_queue_wake_at(const struct sl_queue *queue, uint64_t now, uint64_t wall) {
    (void)wall;
    uint64_t at = sl_wheel_next_at(&queue->due);
    if (queue->counts.running >= queue->settings.max_in_flight)
        return at;
    const struct sl_heap_node *ready = sl_heap_min(&queue->ready);
    if (ready && ready->key != SL_NEVER)
        return now;
    const struct sl_heap_node *wake = sl_heap_min(&queue->wakes);
    at = sl_min(at, sl_tenants_wake_at(&queue->shares.tenants));
    return wake ? sl_min(at, wake->key) : at;
}

/* What a call held on the way that served it. The pool's other lines get to know. */
static void end_call(struct sl_ticket *ticket, const struct sl_outcome *outcome, uint64_t now,
                     uint64_t wall) {
    struct sl_line *line = ticket->line;
    struct sl_way *way = sl_way_of(ticket->route);
    assert(ticket->state == SL_TICKET_GRANTED);
    sl_pool_settle(way->route.pool, &ticket->reservation, outcome, now, wall);
    sl_port_wake(way->port);
    sl_ways_release(&line->queue->ports, way->of);
    ticket->route = NULL;
    line->running--;
    line->queue->counts.running--;
}

void sl_queue_settle(struct sl_queue *queue, struct sl_ticket *ticket,
                     const struct sl_outcome *outcome, uint64_t now, uint64_t wall) {
    struct sl_share *share = ticket->flow;
    assert(ticket->line->queue == queue);
    end_call(ticket, outcome, now, wall);
    if (share->tenant)
        wake_tenant(share->tenant);
    sl_share_settle(share, ticket, outcome, now);
    become_idle(ticket);
}

/* What is put before a claimant, in their tenant's order, goes before it. */
static void unclaim_behind(const struct sl_share *share) {
    struct sl_line *line = share->order->line;
    if (line->claimant && line->claimant->flow == share)
        sl_line_unclaim(line);
}

int sl_queue_requeue(struct sl_queue *queue, struct sl_ticket *ticket,
                     const struct sl_outcome *outcome, uint64_t now, uint64_t wall,
                     struct sl_refusal *why) {
    struct sl_line *line = ticket->line;
    struct sl_share *share = ticket->flow;
    const struct sl_pool *pool = ticket->route->pool;
    assert(line->queue == queue);
    end_call(ticket, outcome, now, wall);
    if (share->tenant)
        wake_tenant(share->tenant);
    struct sl_refusal found;
    found.wait_ns =
        sl_line_wait(line, (struct sl_ahead){0}, ticket->demand.tokens, now, wall, &found.kind);
    if (comes_too_late(&ticket->demand, found.wait_ns, now)) {
        sl_share_settle(share, ticket, outcome, now);
        become_idle(ticket);
        *why = found;
        return SL_E_LIMIT;
    }
    unclaim_behind(share);
    ticket->overtaken = 0;
    sl_ways_avoid(line->ways, ticket, pool);
    enter(line, ticket);
    sl_share_return(share, ticket, outcome, now);
    sl_line_wake(line); /* others of its class may be within their turn again */
    return SL_OK;
}

void sl_queue_cancel(struct sl_queue *queue, struct sl_ticket *ticket) {
    assert(ticket->state == SL_TICKET_WAITING && ticket->line->queue == queue);
    withdraw(ticket, queue->now);
}

void sl_queue_change(struct sl_queue *queue, struct sl_ticket *ticket, enum sl_class priority,
                     uint64_t deadline) {
    struct sl_line *line = ticket->line;
    struct sl_share *from = ticket->flow, *to = from;
    assert(ticket->state == SL_TICKET_WAITING && line->queue == queue);
    ticket->demand.deadline =
        sl_min(deadline, sl_add_sat(ticket->queued_at, queue->settings.max_wait_ns));
    set_due(queue, ticket);
    /* Without memory for another share it stays in its class. */
    if (priority == ticket->demand.priority ||
        sl_share_get(&line->orders[priority], &ticket->demand, queue->now, &to) < 0)
        return;
    sl_line_forget(line, ticket);
    sl_share_remove(from, ticket, queue->now);
    ticket->demand.priority = priority;
    const struct sl_ticket *head = sl_share_head(to);
    bool older = head && head->queued_at > ticket->queued_at;
    if (older)
        unclaim_behind(to);
    sl_share_add(to, ticket, older ? SL_END_FRONT : SL_END_BACK);
}

struct sl_queue_counts sl_queue_count(const struct sl_queue *queue) {
    return queue->counts;
}

static bool look_at_order(const struct sl_line *line, int priority, uint64_t now,
                          sl_queue_visit visit, void *ctx) {
    const struct sl_order *order = &line->orders[priority];
    const struct sl_slice name = {line->name, line->name_len};
    for (size_t i = 0; i < order->turns.count; i++) {
        const struct sl_share *share = SL_CONTAINER(order->turns.items[i], struct sl_share, turn);
        const struct sl_ticket *head = sl_share_head(share);
        if (!head)
            continue;
        uint64_t oldest = now > head->queued_at ? now - head->queued_at : 0;
        if (!visit(ctx, name, (enum sl_class)priority, share->tenant_id, share->waiting,
                   share->tokens, oldest))
            return false;
    }
    return true;
}

void sl_queue_look(const struct sl_queue *queue, uint64_t now, sl_queue_visit visit, void *ctx) {
    for (const struct sl_list *at = queue->lines.next; at != &queue->lines; at = at->next) {
        const struct sl_line *line = SL_CONTAINER(at, struct sl_line, link);
        for (int i = 0; i < SL_CLASS_COUNT; i++)
            if (!look_at_order(line, i, now, visit, ctx))
                return;
    }
}
