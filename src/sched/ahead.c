/*
 * How long until it would be a call's turn. Two readers, who want different errors:
 *
 * A refusal must be certain, so it takes the least that can be ahead. For a tenant with nothing
 * waiting that is who stands in the present turn, one request each. For others it is what the
 * tenant itself has waiting, and of each other tenant of the class on average as much. Of better
 * classes, it is their share meanwhile. Nothing counts that comes later.
 *
 * Advice to come back takes all that waits in this class and better ones.
 *
 * Several pools drain a line together. If each took the n-th part of what is ahead, the first to be
 * through would be through no later than the true end: the least of their forecasts is a lower
 * bound.
 */
#include "sched/line.h"
#include "sched/number.h"

static uint64_t times(uint64_t a, uint64_t b) {
    return sl_scale(a, b, 1);
}

struct sl_ahead sl_line_ahead(const struct sl_line *line, enum sl_class priority) {
    struct sl_ahead ahead = {0};
    for (int i = 0; i <= (int)priority; i++) {
        ahead.requests += line->orders[i].waiting;
        ahead.tokens += line->orders[i].tokens;
    }
    return ahead;
}

static struct sl_ahead least_in_class(const struct sl_order *order, uint64_t tenant) {
    const struct sl_share *share = order->waiting ? sl_share_find(order, tenant) : NULL;
    if (!share || !share->waiting)
        return order->present_ahead;
    return (struct sl_ahead){
        .requests = sl_min(order->waiting, times(share->waiting, order->busy)),
        .tokens = sl_min(order->tokens, times(share->tokens, order->busy)),
    };
}

struct sl_ahead sl_line_least_ahead(const struct sl_line *line, const struct sl_demand *demand) {
    const struct sl_order *own = &line->orders[demand->priority];
    const struct sl_ahead same = least_in_class(own, demand->tenant);
    struct sl_ahead ahead = same;
    for (int i = 0; i < (int)demand->priority; i++) {
        const struct sl_order *better = &line->orders[i];
        uint64_t ratio = own->charge / better->charge;
        ahead.requests += sl_min(better->waiting, times(same.requests, ratio));
        ahead.tokens += sl_min(better->tokens, times(same.tokens, ratio));
    }
    return ahead;
}

/* What is short on the pool the forecast is about: for the call itself, or once what is ahead has
 * been served. */
static enum sl_scarcity scarcity_of(const struct sl_pool *pool, struct sl_ahead ahead,
                                    uint64_t tokens, uint64_t now, uint64_t wall) {
    enum sl_scarcity kind = sl_pool_check(pool, tokens, now, wall).kind;
    if (kind == SL_SCARCE_NOTHING)
        kind = sl_pool_check(pool, ahead.tokens + tokens, now, wall).kind;
    return kind == SL_SCARCE_NOTHING ? SL_SCARCE_REQUESTS : kind;
}

uint64_t sl_line_wait(const struct sl_line *line, struct sl_ahead ahead, uint64_t tokens,
                      uint64_t now, uint64_t wall, enum sl_scarcity *kind) {
    const struct sl_pool *soonest = NULL;
    uint64_t least = SL_NEVER;
    size_t count = line->ways->count;
    for (size_t i = 0; i < count; i++) {
        const struct sl_pool *pool = line->ways->ways[i].route.pool;
        uint64_t wait =
            sl_pool_forecast(pool, ahead.tokens / count, ahead.requests / count, tokens, now, wall);
        if (!soonest || wait < least) {
            soonest = pool;
            least = wait;
        }
    }
    *kind = least && soonest ? scarcity_of(soonest, ahead, tokens, now, wall) : SL_SCARCE_NOTHING;
    /* How long running calls take is not known. */
    return *kind == SL_SCARCE_CONNECTIONS && least == SL_NEVER ? 0 : least;
}

uint64_t sl_line_forecast(const struct sl_line *line, enum sl_class priority, uint64_t tokens,
                          uint64_t now, uint64_t wall, enum sl_scarcity *kind) {
    return sl_line_wait(line, sl_line_ahead(line, priority), tokens, now, wall, kind);
}
