/*
 * What a line starts next. Its classes take turns like the shares in them: a class pays 1, 4 or 16
 * rounds for a token, and the lowest round is next.
 *
 * Tried in this order: the line's claimant; the head of the class and share next in turn; when
 * that does not fit, the smallest head of each class. A smaller request fits wherever a larger one
 * does, so when the smallest does not fit, nothing does, and the line sleeps.
 */
#include "sched/line.h"

#include "sched/number.h"

/* What waits for time is looked at again this often, since pools change otherwise, too (new limits,
 * a wall clock that was set). */
#define LOOK_AGAIN_NS (60 * SL_NS_PER_S)

static void sleep_until(struct sl_line *line, uint64_t shut, uint64_t at) {
    struct sl_queue *queue = line->queue;
    line->shut = shut;
    sl_heap_update(&queue->ready, &line->ready, SL_NEVER);
    sl_heap_update(&queue->wakes, &line->wake, at);
}

void sl_line_wake(struct sl_line *line) {
    if (line->ready.key == line->served)
        return;
    sleep_until(line, UINT64_MAX, SL_NEVER);
    if (line->waiting)
        sl_heap_update(&line->queue->ready, &line->ready, line->served);
}

void sl_port_wake(struct sl_port *port) {
    SL_LIST_EACH(&port->ways, link, tmp)
    sl_line_wake(SL_CONTAINER(link, struct sl_way, link)->line);
}

/* The class next in turn, of those with something to serve. */
static struct sl_order *first_order(struct sl_line *line) {
    struct sl_order *first = NULL;
    for (int i = 0; i < SL_CLASS_COUNT; i++) {
        struct sl_order *order = &line->orders[i];
        if (order->eligible && (!first || order->round < first->round))
            first = order;
    }
    return first;
}

void sl_line_enter(struct sl_line *line, struct sl_order *order) {
    order->round = sl_max(order->round, line->low);
}

void sl_line_charged(struct sl_line *line) {
    const struct sl_order *order = first_order(line);
    uint64_t present = order ? order->round : 0;
    /* With nothing to serve, all that was owed is forgiven. */
    for (int i = 0; !order && i < SL_CLASS_COUNT; i++)
        present = sl_max(present, line->orders[i].round);
    line->low = sl_max(line->low, present);
}

void sl_line_unclaim(struct sl_line *line) {
    struct sl_port *port = line->claimed;
    if (!port)
        return;
    line->claimant = NULL;
    line->claimed = NULL;
    port->claim = NULL;
    sl_port_wake(port);
}

static void claim(struct sl_line *line, struct sl_ticket *ticket, struct sl_port *port) {
    line->claimant = ticket;
    line->claimed = port;
    port->claim = ticket;
}

/* One look at a line. */
struct look {
    struct sl_line *line;
    uint64_t now, wall;
    uint64_t shut; /* the smallest found not to fit; the claimant, tried first, may do most */
    uint64_t wait; /* until the first may */
    struct sl_port *claimable;
    struct sl_way *way;
};

static uint64_t look_again_in(const struct sl_choice *choice) {
    bool by_time = choice->wait_ns != SL_NEVER || choice->kind != SL_SCARCE_CONNECTIONS;
    return by_time && choice->wait_ns > LOOK_AGAIN_NS ? LOOK_AGAIN_NS : choice->wait_ns;
}

static bool fits(struct look *look, const struct sl_ticket *ticket) {
    if (ticket->demand.tokens >= look->shut)
        return false;
    struct sl_choice choice = sl_ways_choose(look->line->ways, ticket, look->now, look->wall);
    look->way = choice.way;
    look->claimable = choice.claimable;
    if (choice.way)
        return true;
    uint64_t wait = look_again_in(&choice);
    look->wait = sl_min(look->wait, wait);
    look->shut = ticket->demand.tokens;
    return false;
}

static struct sl_ticket *try_claimant(struct look *look) {
    struct sl_ticket *ticket = look->line->claimant;
    if (!ticket)
        return NULL;
    if (sl_share_allows(ticket->flow, ticket, look->now))
        return fits(look, ticket) ? ticket : NULL;
    sl_line_unclaim(look->line);
    return NULL;
}

static struct sl_ticket *try_next(struct look *look) {
    struct sl_line *line = look->line;
    struct sl_ticket *ticket = NULL;
    for (struct sl_order *order; !ticket && (order = first_order(line));)
        ticket = sl_order_next(order, look->now);
    if (!ticket || ticket == line->claimant)
        return NULL;
    if (fits(look, ticket))
        return ticket;
    if (!line->claimant && look->claimable)
        claim(line, ticket, look->claimable);
    return NULL;
}

static struct sl_ticket *try_smallest(struct look *look) {
    for (int i = 0; i < SL_CLASS_COUNT; i++) {
        struct sl_ticket *ticket = sl_order_smallest(&look->line->orders[i], look->now);
        if (ticket && ticket != look->line->claimant && fits(look, ticket))
            return ticket;
    }
    return NULL;
}

struct sl_ticket *sl_line_pick(struct sl_line *line, struct sl_way **way, uint64_t now,
                               uint64_t wall) {
    struct look look = {line, now, wall, .shut = UINT64_MAX, .wait = SL_NEVER};
    struct sl_ticket *ticket = try_claimant(&look);
    if (!ticket)
        ticket = try_next(&look);
    if (!ticket)
        ticket = try_smallest(&look);
    if (ticket)
        *way = look.way;
    else
        sleep_until(line, look.shut, sl_add_sat(now, look.wait));
    return ticket;
}
