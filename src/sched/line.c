/*
 * What a line starts next. Its classes take turns like the shares in them: a class pays 1, 4 or 16
 * rounds for a token, and the lowest round is next.
 *
 * The ticket next in turn that lacks tokens is the line's claimant; in each class the one next in
 * turn is blocked, if it lacks tokens. Another may go before these when that takes its share (its
 * class, if that is another) no further than they will take their own: so overtaking is no gain in
 * the long run, and fairness holds to one request. Without this rule one tenant's small requests
 * would overtake each of the others' large ones in turn.
 *
 * Tried in this order: the claimant; the next in turn; of each class the few next in turn, and the
 * smallest. Nothing larger than what was found to lack tokens is looked at. When none fits, the
 * line sleeps.
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

void sl_line_move_present(struct sl_line *line) {
    const struct sl_order *order = first_order(line);
    uint64_t present = order ? order->round : 0;
    /* With nothing to serve, all that was owed is forgiven. */
    for (int i = 0; !order && i < SL_CLASS_COUNT; i++)
        present = sl_max(present, line->orders[i].round);
    line->low = sl_max(line->low, present);
}

void sl_line_enter(struct sl_line *line, struct sl_order *order) {
    sl_line_move_present(line);
    order->round = sl_max(order->round, line->low);
}

void sl_line_unclaim(struct sl_line *line) {
    struct sl_port *port = line->claimed;
    line->claimant = NULL;
    line->claimed = NULL;
    sl_line_wake(line);
    if (!port)
        return;
    port->claim = NULL;
    sl_port_wake(port);
}

/* One look at a line. */
struct look {
    struct sl_line *line;
    uint64_t now, wall;
    uint64_t shut; /* the smallest found not to fit */
    uint64_t wait; /* until the first may */
    struct sl_choice choice;
};

static uint64_t look_again_in(const struct sl_choice *choice) {
    bool by_time = choice->wait_ns != SL_NEVER || choice->kind != SL_SCARCE_CONNECTIONS;
    return by_time && choice->wait_ns > LOOK_AGAIN_NS ? LOOK_AGAIN_NS : choice->wait_ns;
}

static uint64_t round_after(uint64_t round, const struct sl_ticket *ticket, uint32_t charge) {
    return sl_add_sat(round, sl_ticket_cost(ticket) * charge);
}

/* Whether it stays within its turn, as that of the other is going to be. */
static bool may_go_before(const struct sl_ticket *ticket, const struct sl_ticket *first) {
    if (!first || ticket == first)
        return true;
    const struct sl_share *share = ticket->flow, *other = first->flow;
    if (share->order == other->order)
        return round_after(share->round, ticket, 1) <= round_after(other->round, first, 1);
    return round_after(share->order->round, ticket, share->order->charge) <=
           round_after(other->order->round, first, other->order->charge);
}

static bool fits(struct look *look, const struct sl_ticket *ticket) {
    if (ticket->demand.tokens >= look->shut || !may_go_before(ticket, look->line->claimant))
        return false;
    look->choice = sl_ways_choose(look->line->ways, ticket, look->now, look->wall);
    if (look->choice.way)
        return true;
    look->wait = sl_min(look->wait, look_again_in(&look->choice));
    look->shut = ticket->demand.tokens;
    return false;
}

void sl_line_forget(struct sl_line *line, const struct sl_ticket *ticket) {
    if (line->claimant == ticket)
        sl_line_unclaim(line);
    struct sl_order *order = &line->orders[ticket->demand.priority];
    if (order->blocked != ticket)
        return;
    order->blocked = NULL;
    sl_line_wake(line);
}

static void claim(struct look *look, struct sl_ticket *ticket) {
    struct sl_line *line = look->line;
    line->claimant = ticket;
    if (line->claimed || !look->choice.claimable)
        return;
    line->claimed = look->choice.claimable;
    line->claimed->claim = ticket;
}

static struct sl_ticket *try_claimant(struct look *look) {
    struct sl_ticket *ticket = look->line->claimant;
    if (!ticket)
        return NULL;
    if (!sl_share_allows(ticket->flow, ticket, look->now)) {
        sl_line_unclaim(look->line);
        return NULL;
    }
    if (fits(look, ticket))
        return ticket;
    claim(look, ticket);
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
    if (!line->claimant && look->choice.lacks_tokens)
        claim(look, ticket);
    return NULL;
}

static bool fits_in_turn(struct look *look, struct sl_order *order, struct sl_ticket *ticket) {
    if (!may_go_before(ticket, order->blocked))
        return false;
    if (fits(look, ticket))
        return true;
    if (!order->blocked && look->choice.lacks_tokens)
        order->blocked = ticket;
    return false;
}

static struct sl_ticket *try_order(struct look *look, struct sl_order *order) {
    struct sl_share *near[SL_NEAR_MAX];
    size_t count = sl_order_near(order, near, SL_NEAR_MAX);
    order->blocked = NULL;
    for (size_t i = 0; i < count; i++) {
        struct sl_ticket *ticket = sl_share_head(near[i]);
        if (sl_share_allows(near[i], ticket, look->now) && fits_in_turn(look, order, ticket))
            return ticket;
    }
    struct sl_ticket *smallest = sl_order_smallest(order, look->now);
    return smallest && fits_in_turn(look, order, smallest) ? smallest : NULL;
}

struct sl_ticket *sl_line_pick(struct sl_line *line, struct sl_way **way, uint64_t now,
                               uint64_t wall) {
    struct look look = {line, now, wall, .shut = UINT64_MAX, .wait = SL_NEVER};
    struct sl_ticket *ticket = try_claimant(&look);
    if (!ticket)
        ticket = try_next(&look);
    for (int i = 0; !ticket && i < SL_CLASS_COUNT; i++)
        ticket = try_order(&look, &line->orders[i]);
    if (ticket)
        *way = look.choice.way;
    else
        sleep_until(line, look.shut, sl_add_sat(now, look.wait));
    return ticket;
}
