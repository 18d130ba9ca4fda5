/* Choice among routes; ports and claims: see route.h for the idea. */
#include "sched/route.h"

#include <assert.h>

#include "sched/line.h"
#include "sluice/base/mem.h"

static uint64_t hash_of(const struct sl_pool *pool) {
    uint64_t key = (uint64_t)(uintptr_t)pool;
    return sl_hash((struct sl_slice){(const char *)&key, sizeof(key)});
}

static struct sl_port *find_port(const struct sl_table *ports, const struct sl_pool *pool) {
    struct sl_table_node *node = sl_table_find(ports, hash_of(pool));
    for (; node; node = sl_table_find_next(node)) {
        struct sl_port *port = SL_CONTAINER(node, struct sl_port, node);
        if (port->pool == pool)
            return port;
    }
    return NULL;
}

static struct sl_port *take_port(struct sl_table *ports, struct sl_pool *pool) {
    struct sl_port *port = find_port(ports, pool);
    if (!port) {
        port = sl_calloc(1, sizeof(*port));
        if (!port)
            return NULL;
        port->pool = pool;
        sl_list_init(&port->ways);
        sl_table_insert(ports, &port->node, hash_of(pool));
    }
    port->refs++;
    return port;
}

static void drop_port(struct sl_table *ports, struct sl_port *port) {
    if (--port->refs)
        return;
    assert(!port->claim && sl_list_empty(&port->ways));
    sl_table_remove(ports, &port->node);
    sl_free(port);
}

struct sl_ways *sl_ways_new(struct sl_table *ports, struct sl_line *line,
                            const struct sl_route *routes, size_t count, uint32_t generation) {
    assert(count <= SL_LINE_ROUTES_MAX);
    struct sl_ways *ways = sl_calloc(1, sizeof(*ways) + count * sizeof(ways->ways[0]));
    if (!ways)
        return NULL;
    ways->refs = 1;
    ways->generation = generation;
    for (; ways->count < count; ways->count++) {
        struct sl_way *way = &ways->ways[ways->count];
        *way = (struct sl_way){.route = routes[ways->count], .line = line, .of = ways};
        sl_list_init(&way->link);
        way->port = take_port(ports, way->route.pool);
        if (!way->port) {
            sl_ways_release(ports, ways);
            return NULL;
        }
    }
    return ways;
}

void sl_ways_enter(struct sl_ways *ways) {
    for (size_t i = 0; i < ways->count; i++)
        sl_list_push_back(&ways->ways[i].port->ways, &ways->ways[i].link);
}

void sl_ways_leave(struct sl_ways *ways) {
    for (size_t i = 0; i < ways->count; i++)
        sl_list_remove(&ways->ways[i].link);
}

void sl_ways_release(struct sl_table *ports, struct sl_ways *ways) {
    if (--ways->refs)
        return;
    for (size_t i = 0; i < ways->count; i++)
        drop_port(ports, ways->ways[i].port);
    sl_free(ways);
}

static uint32_t avoided(const struct sl_ways *ways, const struct sl_ticket *ticket) {
    return ticket->avoid_of == ways->generation ? ticket->avoid : 0;
}

void sl_ways_avoid(const struct sl_ways *ways, struct sl_ticket *ticket,
                   const struct sl_pool *pool) {
    uint32_t avoid = avoided(ways, ticket), all = (uint32_t)((UINT64_C(1) << ways->count) - 1);
    for (size_t i = 0; i < ways->count; i++)
        if (ways->ways[i].route.pool == pool)
            avoid |= UINT32_C(1) << i;
    ticket->avoid = avoid == all ? 0 : avoid;
    ticket->avoid_of = ways->generation;
}

static bool is_held(const struct sl_port *port, const struct sl_ticket *ticket) {
    const struct sl_ticket *claim = port->claim;
    if (!claim || claim == ticket)
        return false;
    uint64_t size = sl_ticket_cost(claim);
    return claim->overtaken >= size || size - claim->overtaken < sl_ticket_cost(ticket);
}

static void note_wait(struct sl_choice *choice, struct sl_way *way, struct sl_pool_verdict verdict,
                      uint64_t *claim_wait) {
    if (verdict.wait_ns < choice->wait_ns || choice->kind == SL_SCARCE_NOTHING) {
        choice->wait_ns = verdict.wait_ns;
        choice->kind = verdict.kind;
    }
    if (verdict.kind != SL_SCARCE_TOKENS)
        return;
    choice->lacks_tokens = true;
    if (way->port->claim)
        return;
    if (!choice->claimable || verdict.wait_ns < *claim_wait) {
        choice->claimable = way->port;
        *claim_wait = verdict.wait_ns;
    }
}

/* Smooth weighted round-robin by weight × headroom: an even share while pools are alike, and less
 * for one that runs short, before it is short. */
static struct sl_way *share_out(struct sl_way **fit, size_t count, uint64_t tokens, uint64_t now,
                                uint64_t wall) {
    struct sl_way *best = NULL;
    int64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        struct sl_way *way = fit[i];
        uint32_t headroom = sl_pool_headroom(way->route.pool, tokens, now, wall);
        int64_t score = (int64_t)way->route.weight * (headroom ? headroom : 1);
        way->turn += score;
        total += score;
        if (!best || way->turn > best->turn)
            best = way;
    }
    best->turn -= total;
    return best;
}

struct sl_choice sl_ways_choose(struct sl_ways *ways, const struct sl_ticket *ticket, uint64_t now,
                                uint64_t wall) {
    struct sl_choice choice = {.wait_ns = SL_NEVER};
    struct sl_way *fit[SL_LINE_ROUTES_MAX];
    uint64_t best = UINT64_MAX, claim_wait = SL_NEVER;
    uint32_t avoid = avoided(ways, ticket);
    size_t count = 0;
    for (size_t i = 0; i < ways->count; i++) {
        struct sl_way *way = &ways->ways[i];
        uint64_t rank = ((uint64_t)(avoid >> i & 1) << 32) | way->route.priority;
        if (rank > best)
            continue;
        struct sl_pool_verdict verdict = {SL_NEVER, SL_SCARCE_TOKENS};
        if (!is_held(way->port, ticket))
            verdict = sl_pool_check(way->route.pool, ticket->demand.tokens, now, wall);
        if (verdict.wait_ns) {
            note_wait(&choice, way, verdict, &claim_wait);
            continue;
        }
        if (rank < best)
            count = 0;
        best = rank;
        fit[count++] = way;
    }
    if (count)
        choice.way = count == 1 ? fit[0] : share_out(fit, count, ticket->demand.tokens, now, wall);
    return choice;
}
