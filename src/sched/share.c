/* Shares and their turns: see share.h for the idea. */
#include "sched/share.h"

#include <assert.h>

#include "sched/line.h"
#include "sched/number.h"
#include "sluice/base/mem.h"

#define MOVES_PER_STEP 8

/* 16 : 4 : 1 while all want. */
static const uint32_t class_charge[SL_CLASS_COUNT] = {1, 4, 16};

int sl_shares_init(struct sl_shares *shares) {
    *shares = (struct sl_shares){0};
    int rc = sl_tenants_init(&shares->tenants);
    return rc < 0 ? rc : sl_table_init(&shares->table);
}

void sl_shares_done(struct sl_shares *shares) {
    sl_tenants_done(&shares->tenants);
    sl_table_done(&shares->table);
}

void sl_order_init(struct sl_order *order, struct sl_shares *shares, struct sl_line *line,
                   enum sl_class priority) {
    *order = (struct sl_order){.shares = shares, .line = line, .charge = class_charge[priority]};
    sl_heap_init(&order->turns);
    sl_heap_init(&order->sizes);
    sl_list_init(&order->present);
    sl_list_init(&order->idle);
}

static struct sl_share *of_turn(struct sl_heap_node *node) {
    return SL_CONTAINER(node, struct sl_share, turn);
}

static struct sl_share *of_present(struct sl_list *link) {
    return SL_CONTAINER(link, struct sl_share, present);
}

static struct sl_share *of_size(struct sl_heap_node *node) {
    return SL_CONTAINER(node, struct sl_share, size);
}

static uint64_t hash_of(const struct sl_order *order, uint64_t tenant) {
    const uint64_t key[2] = {(uint64_t)(uintptr_t)order, tenant};
    return sl_hash((struct sl_slice){(const char *)key, sizeof(key)});
}

static struct sl_share *find(const struct sl_order *order, uint64_t tenant, uint64_t hash) {
    struct sl_table_node *node = sl_table_find(&order->shares->table, hash);
    for (; node; node = sl_table_find_next(node)) {
        struct sl_share *share = SL_CONTAINER(node, struct sl_share, node);
        if (share->order == order && share->tenant_id == tenant)
            return share;
    }
    return NULL;
}

struct sl_share *sl_share_find(const struct sl_order *order, uint64_t tenant) {
    return find(order, tenant, hash_of(order, tenant));
}

static bool is_idle(const struct sl_share *share) {
    return !share->waiting && !share->running;
}

static void forget(struct sl_share *share) {
    struct sl_order *order = share->order;
    assert(is_idle(share) && !share->tenant);
    sl_list_remove(&share->idle);
    order->shares->idle--;
    sl_heap_remove(&order->turns, &share->turn);
    sl_heap_remove(&order->sizes, &share->size);
    sl_table_remove(&order->shares->table, &share->node);
    sl_free(share);
}

static struct sl_share *longest_idle(struct sl_order *order) {
    struct sl_list *link = sl_list_first(&order->idle);
    return link ? SL_CONTAINER(link, struct sl_share, idle) : NULL;
}

void sl_order_done(struct sl_order *order) {
    for (struct sl_share *share; (share = longest_idle(order));)
        forget(share);
    assert(!order->turns.count);
    sl_heap_done(&order->turns);
    sl_heap_done(&order->sizes);
}

/* Each submission looks at two of the idle, so that those the present has passed do not pile up. */
static void sweep(struct sl_order *order) {
    for (int i = 0; i < 2; i++) {
        struct sl_share *share = longest_idle(order);
        if (!share)
            return;
        if (share->round <= order->low) {
            forget(share);
            continue;
        }
        sl_list_remove(&share->idle);
        sl_list_push_back(&order->idle, &share->idle);
    }
}

static void unpin(struct sl_share *share, uint64_t now) {
    if (share->tenant)
        sl_tenants_release(&share->order->shares->tenants, share->tenant, now);
    share->tenant = NULL;
}

static void rest_if_idle(struct sl_share *share, uint64_t now) {
    struct sl_order *order = share->order;
    if (!is_idle(share))
        return;
    unpin(share, now);
    sl_list_push_back(&order->idle, &share->idle);
    if (++order->shares->idle > SL_IDLE_SHARES_MAX)
        forget(longest_idle(order));
}

void sl_share_drop(struct sl_share *share, uint64_t now) {
    if (is_idle(share))
        unpin(share, now);
}

static struct sl_share *make(struct sl_order *order, uint64_t tenant, uint64_t hash) {
    struct sl_share *share = sl_calloc(1, sizeof(*share));
    if (!share)
        return NULL;
    share->order = order;
    share->tenant_id = tenant;
    sl_list_init(&share->tickets);
    sl_list_init(&share->present);
    sl_list_init(&share->parked);
    sl_list_init(&share->idle);
    sl_heap_node_init(&share->turn);
    sl_heap_node_init(&share->size);
    if (sl_heap_push(&order->turns, &share->turn, SL_NEVER) < 0)
        goto fail;
    if (sl_heap_push(&order->sizes, &share->size, SL_NEVER) < 0) {
        sl_heap_remove(&order->turns, &share->turn);
        goto fail;
    }
    sl_table_insert(&order->shares->table, &share->node, hash);
    sl_list_push_back(&order->idle, &share->idle);
    order->shares->idle++;
    return share;
fail:
    sl_free(share);
    return NULL;
}

int sl_share_get(struct sl_order *order, const struct sl_demand *demand, uint64_t now,
                 struct sl_share **out) {
    sweep(order);
    uint64_t hash = hash_of(order, demand->tenant);
    struct sl_share *share = find(order, demand->tenant, hash);
    if (!share && !(share = make(order, demand->tenant, hash)))
        return SL_E_NOMEM;
    if (!share->tenant && (demand->tenant_rpm || demand->tenant_tpm)) {
        int rc = sl_tenants_hold(&order->shares->tenants, demand->tenant, now, &share->tenant);
        if (rc < 0)
            return rc; /* a new share stays idle, and is swept up */
        share->tenant->waiting += share->waiting;
        share->tenant->waiting_tokens += share->tokens;
    }
    if (share->tenant)
        sl_tenant_limit(share->tenant, demand->tenant_rpm, demand->tenant_tpm, now);
    *out = share;
    return SL_OK;
}

static void set_key(struct sl_heap *heap, struct sl_heap_node *node, uint64_t key) {
    if (node->key != key)
        sl_heap_update(heap, node, key);
}

/* Tickets lie wherever their flights do, cold when many wait. A share's head is fetched before its
 * turn comes, and with it the one that will be the head then. */
static void fetch_ahead(const struct sl_ticket *head) {
    __builtin_prefetch(head->link.next, 1);
    __builtin_prefetch(&head->demand, 1);
    __builtin_prefetch(&head->reservation, 1);
}

/* Its place in the present, or none without a head. */
static void set_present(struct sl_share *share, const struct sl_ticket *head) {
    struct sl_order *order = share->order;
    bool was = sl_list_linked(&share->present);
    uint64_t tokens = head ? head->demand.tokens : 0;
    if (head && !was)
        sl_list_push_back(&order->present, &share->present);
    if (!head && was)
        sl_list_remove(&share->present);
    order->present_ahead.requests += (uint64_t)(head != NULL) - was;
    order->present_ahead.tokens += tokens - share->present_tokens;
    share->present_tokens = tokens;
}

/* Its place among the turns, of the present or later ones; without a head it has none. */
static void take_turn(struct sl_share *share, const struct sl_ticket *head) {
    struct sl_order *order = share->order;
    bool present = head && share->round <= order->low;
    set_key(&order->turns, &share->turn, head && !present ? share->round : SL_NEVER);
    set_present(share, present ? head : NULL);
}

/* After any change of its head, its round or its parking. A head smaller than what its line found
 * not to fit wakes the line. */
static void refresh(struct sl_share *share) {
    struct sl_order *order = share->order;
    bool was = share->size.key != SL_NEVER;
    bool is = share->waiting && !sl_list_linked(&share->parked);
    const struct sl_ticket *head = is ? sl_share_head(share) : NULL;
    uint64_t size = head ? head->demand.tokens : SL_NEVER;
    if (head)
        fetch_ahead(head);
    take_turn(share, head);
    set_key(&order->sizes, &share->size, size);
    if (is && !was && !order->eligible)
        sl_line_enter(order->line, order);
    order->eligible += (uint32_t)is - (uint32_t)was;
    if (is && size < order->line->shut)
        sl_line_wake(order->line);
}

static void count(struct sl_share *share, const struct sl_ticket *ticket, int by) {
    struct sl_order *order = share->order;
    uint64_t tokens = by > 0 ? ticket->demand.tokens : -ticket->demand.tokens;
    share->waiting += (uint32_t)by;
    share->tokens += tokens;
    order->waiting += (uint32_t)by;
    order->tokens += tokens;
    if (share->tenant) {
        share->tenant->waiting += (uint64_t)by;
        share->tenant->waiting_tokens += tokens;
    }
}

/* The present is the lowest round of those that may be served; of what is large and blocked, too:
 * who overtakes it does not move the present. With nothing waiting, all that was owed is forgiven.
 * Those whose round has come join it, a few at a time, since all can have the same. */
static void move_present(struct sl_order *order) {
    const struct sl_heap_node *node = sl_heap_min(&order->turns);
    if (!order->waiting)
        order->low = order->high;
    else if (sl_list_empty(&order->present) && node && node->key != SL_NEVER)
        order->low = sl_max(order->low, node->key);
    for (int i = 0; i < MOVES_PER_STEP; i++) {
        struct sl_heap_node *next = sl_heap_min(&order->turns);
        if (!next || next->key > order->low)
            return;
        struct sl_share *share = of_turn(next);
        take_turn(share, sl_share_head(share));
    }
}

static void enter_present(struct sl_share *share) {
    move_present(share->order);
    share->round = sl_max(share->round, share->order->low);
}

/* Another head may be allowed where the last was not. */
static void follow_head(struct sl_share *share, const struct sl_ticket *last) {
    if (sl_share_head(share) == last)
        return;
    if (sl_list_linked(&share->parked)) {
        sl_list_remove(&share->parked);
        enter_present(share);
    }
    refresh(share);
}

void sl_share_add(struct sl_share *share, struct sl_ticket *ticket, enum sl_end end) {
    struct sl_order *order = share->order;
    const struct sl_ticket *last = sl_share_head(share);
    if (sl_list_linked(&share->idle)) {
        sl_list_remove(&share->idle);
        order->shares->idle--;
    }
    if (!share->waiting) {
        enter_present(share);
        order->busy++;
    }
    if (end == SL_END_FRONT)
        sl_list_push_front(&share->tickets, &ticket->link);
    else
        sl_list_push_back(&share->tickets, &ticket->link);
    ticket->flow = share;
    count(share, ticket, 1);
    follow_head(share, last);
}

static void take_out(struct sl_share *share, struct sl_ticket *ticket) {
    struct sl_order *order = share->order;
    const struct sl_ticket *last = sl_share_head(share);
    sl_list_remove(&ticket->link);
    count(share, ticket, -1);
    if (!share->waiting)
        order->busy--;
    follow_head(share, last);
    move_present(order);
}

void sl_share_remove(struct sl_share *share, struct sl_ticket *ticket, uint64_t now) {
    take_out(share, ticket);
    rest_if_idle(share, now);
}

void sl_share_start(struct sl_share *share, struct sl_ticket *ticket, uint64_t now) {
    struct sl_order *order = share->order;
    uint64_t cost = sl_ticket_cost(ticket);
    assert(sl_share_head(share) == ticket);
    share->round += cost;
    order->high = sl_max(order->high, share->round);
    order->round += cost * order->charge;
    share->running++;
    if (share->tenant)
        sl_tenant_charge(share->tenant, ticket->demand.tokens, now);
    take_out(share, ticket);
}

static void ended(struct sl_share *share, const struct sl_ticket *ticket,
                  const struct sl_outcome *outcome, uint64_t now) {
    if (share->tenant)
        sl_tenant_settle(share->tenant, &ticket->reservation, outcome, now);
    share->running--;
}

void sl_share_settle(struct sl_share *share, const struct sl_ticket *ticket,
                     const struct sl_outcome *outcome, uint64_t now) {
    ended(share, ticket, outcome, now);
    rest_if_idle(share, now);
}

void sl_share_return(struct sl_share *share, struct sl_ticket *ticket,
                     const struct sl_outcome *outcome, uint64_t now) {
    ended(share, ticket, outcome, now);
    struct sl_order *order = share->order;
    share->round = sl_sub_sat(share->round, sl_ticket_cost(ticket));
    order->round = sl_sub_sat(order->round, sl_ticket_cost(ticket) * order->charge);
    sl_share_add(share, ticket, SL_END_FRONT);
    if (!sl_list_linked(&share->present))
        return;
    /* It stood before those who are there now. */
    sl_list_remove(&share->present);
    sl_list_push_front(&order->present, &share->present);
}

static void park(struct sl_share *share, uint64_t at) {
    assert(!sl_list_linked(&share->parked));
    sl_list_push_back(&share->tenant->parked, &share->parked);
    sl_tenant_wake_by(&share->order->shares->tenants, share->tenant, at);
    refresh(share);
}

bool sl_share_allows(struct sl_share *share, const struct sl_ticket *ticket, uint64_t now) {
    uint64_t wait = share->tenant ? sl_tenant_wait(share->tenant, ticket->demand.tokens, now) : 0;
    if (!wait)
        return true;
    park(share, sl_min(sl_add_sat(now, wait), SL_NEVER - 1));
    return false;
}

struct sl_ticket *sl_order_next(struct sl_order *order, uint64_t now) {
    while (order->eligible) {
        move_present(order);
        struct sl_share *share = of_present(order->present.next);
        struct sl_ticket *ticket = sl_share_head(share);
        __builtin_prefetch(ticket->due.link.next, 1);
        __builtin_prefetch(ticket->due.link.prev, 1);
        if (sl_share_allows(share, ticket, now))
            return ticket;
    }
    return NULL;
}

struct sl_ticket *sl_order_smallest(struct sl_order *order, uint64_t now) {
    while (order->eligible) {
        struct sl_share *share = of_size(sl_heap_min(&order->sizes));
        struct sl_ticket *ticket = sl_share_head(share);
        if (sl_share_allows(share, ticket, now))
            return ticket;
    }
    return NULL;
}

/* The heap's smallest come from its top down: behind each taken stand only its two children. */
static size_t near_turns(const struct sl_heap *turns, struct sl_share **near, size_t max) {
    size_t edge[SL_NEAR_MAX + 1] = {0}, width = turns->count ? 1 : 0, count = 0;
    while (width && count < max) {
        size_t first = 0;
        for (size_t i = 1; i < width; i++)
            if (turns->items[edge[i]]->key < turns->items[edge[first]]->key)
                first = i;
        size_t at = edge[first];
        if (turns->items[at]->key == SL_NEVER)
            break;
        near[count++] = of_turn(turns->items[at]);
        edge[first] = edge[--width];
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < turns->count; child++)
            edge[width++] = child;
    }
    return count;
}

size_t sl_order_near(struct sl_order *order, struct sl_share **near, size_t max) {
    size_t count = 0;
    assert(max <= SL_NEAR_MAX);
    for (struct sl_list *at = order->present.next; at != &order->present && count < max;
         at = at->next)
        near[count++] = of_present(at);
    return count + near_turns(&order->turns, near + count, max - count);
}

struct sl_share *sl_share_unpark(struct sl_tenant *tenant) {
    struct sl_list *link = sl_list_pop_front(&tenant->parked);
    if (!link)
        return NULL;
    struct sl_share *share = SL_CONTAINER(link, struct sl_share, parked);
    enter_present(share);
    refresh(share);
    return share;
}
