/*
 * Thousands of random scenarios in virtual time: a few pools with known limits, lines that share
 * them, tenants, classes, sizes; calls that end in every way, leave, change, are refused; routes
 * and settings that change; clocks that step. After every event the queue is asked until it has
 * nothing more, and these hold:
 *
 *   quota         never more sent than a second, naive account of the pools allows
 *   conserving    what waits does not fit, or its pool is held for a large head that does not fit
 *   large heads   overtaken by no more than their own size
 *   tenants       own limits kept; equal ones differ by no more than one request (and what
 * overtook) conservation  each call ends once; at the end nothing is counted, reserved, or
 * allocated time          _wake_at is later than now when nothing is to be had, and nothing is to
 * be had before it
 *
 * A failure names the seed: test_schedule_random SEED runs that scenario alone.
 */
#include "queue_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sched/line.h"

#define SCENARIOS 3000
#define POOLS     3
#define LINES     3
#define TENANTS   6
#define CALLS     150
#define SENT      1500
#define EVENTS    400

enum fate { NEW, WAITS, RUNS, DONE, REFUSED, EXPIRED, LEFT };

struct call {
    struct sl_ticket ticket;
    enum fate fate;
    int ends; /* how often it ended: once */
    int pool, sent;
};

/* What one pool was sent, by the naive account. */
struct sent {
    uint64_t at, tokens, requests;
};

struct account {
    struct sl_limits limits;
    enum sl_window window;
    struct sent sent[SENT];
    int count;
    uint32_t running;
    __extension__ __int128 left[2]; /* in the bucket: requests, tokens, × a minute */
    uint64_t left_at;
    const struct sl_ticket *claim;
    uint64_t overtaken;
};

struct sim {
    struct rig rig;
    uint64_t seed, random;
    /* What this scenario has: */
    bool steps, throttles, moves, own_limits, fair;
    uint64_t max_tokens;
    int tenants, pool_count, line_count;
    struct sl_pool *pools[POOLS];
    struct account accounts[POOLS];
    struct sl_line *lines[LINES];
    struct call calls[CALLS];
    int call_count;
    struct sl_queue_settings settings;
    struct account own[TENANTS];
    int64_t lead[LINES][SL_CLASS_COUNT][TENANTS][TENANTS];
};

static struct sim sim;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("seed %llu, call %d, %.3f s: %s", (unsigned long long)sim.seed,               \
                     sim.call_count, (double)sim.rig.now / 1e9, #condition);                       \
    } while (0)

static uint64_t dice(uint64_t sides) {
    sim.random = sim.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (sim.random >> 33) % sides;
}

static bool chance(uint64_t percent) {
    return dice(100) < percent;
}

/* The naive account. */

static void refill(struct account *account, uint64_t now) {
    const uint64_t limits[2] = {account->limits.rpm, account->limits.tpm};
    uint64_t passed = now - account->left_at;
    for (int i = 0; i < 2; i++) {
        __extension__ __int128 full = (__int128)limits[i] * MINUTE;
        account->left[i] += (__int128)limits[i] * passed;
        account->left[i] = account->left[i] > full ? full : account->left[i];
    }
    account->left_at = now;
}

static void open_account(struct account *account, struct sl_limits limits, enum sl_window window) {
    *account = (struct account){.limits = limits, .window = window, .left_at = 0};
    refill(account, sim.rig.now);
}

static void check_bucket(struct account *account, uint64_t tokens) {
    const uint64_t limits[2] = {account->limits.rpm, account->limits.tpm};
    const uint64_t asked[2] = {1, tokens};
    refill(account, sim.rig.now);
    for (int i = 0; i < 2 && !sim.steps; i++) {
        uint64_t fits = asked[i] < limits[i] ? asked[i] : limits[i];
        if (limits[i])
            CHECK(account->left[i] >= (__int128)fits * MINUTE);
    }
    for (int i = 0; i < 2; i++)
        account->left[i] -= (__int128)asked[i] * MINUTE;
}

static void check_trailing(const struct account *account, uint64_t tokens) {
    uint64_t sums[2] = {0}, now = sim.rig.now;
    for (int i = 0; i < account->count; i++) {
        if (account->sent[i].at + MINUTE <= now)
            continue;
        sums[0] += account->sent[i].requests;
        sums[1] += account->sent[i].tokens;
    }
    if (account->limits.rpm)
        CHECK(sums[0] + 1 <= account->limits.rpm);
    if (account->limits.tpm)
        CHECK(sums[1] + tokens <= account->limits.tpm || (sums[1] == 0 && !account->running));
}

static int note_sent(struct account *account, uint64_t tokens) {
    if (account->limits.in_flight)
        CHECK(account->running < account->limits.in_flight);
    if (account->window == SL_WINDOW_BUCKET)
        check_bucket(account, tokens);
    else if (!sim.steps)
        check_trailing(account, tokens);
    CHECK(account->count < SENT);
    account->sent[account->count] = (struct sent){sim.rig.now, tokens, 1};
    account->running++;
    return account->count++;
}

static void note_ended(struct account *account, int which, uint64_t requests, uint64_t tokens) {
    struct sent *sent = &account->sent[which];
    if (account->window == SL_WINDOW_BUCKET) {
        refill(account, sim.rig.now);
        account->left[0] += ((__int128)sent->requests - requests) * MINUTE;
        account->left[1] += ((__int128)sent->tokens - tokens) * MINUTE;
        refill(account, sim.rig.now);
    }
    sent->requests = requests;
    sent->tokens = tokens;
    account->running--;
}

/* What holds whenever the queue has been asked for all it has. */

static const struct sl_port *port_of(int pool) {
    for (int l = 0; l < sim.line_count; l++) {
        const struct sl_ways *ways = sim.lines[l]->ways;
        for (size_t i = 0; i < ways->count; i++)
            if (ways->ways[i].route.pool == sim.pools[pool])
                return ways->ways[i].port;
    }
    return NULL;
}

static bool is_held_against(const struct sl_port *port, const struct sl_ticket *ticket) {
    const struct sl_ticket *claim = port->claim;
    return claim && claim != ticket &&
           claim->overtaken + sl_ticket_cost(ticket) > sl_ticket_cost(claim);
}

/* It would get ahead of where the large one's own tenant, or class, will be. */
static bool is_beyond(const struct sl_ticket *ticket, const struct sl_ticket *large) {
    if (!large || large == ticket)
        return false;
    CHECK(large->state == SL_TICKET_WAITING && large->line == ticket->line);
    const struct sl_share *share = ticket->flow, *other = large->flow;
    uint64_t cost = sl_ticket_cost(ticket), ahead = sl_ticket_cost(large);
    if (share->order == other->order)
        return share->round + cost > other->round + ahead;
    return share->order->round + cost * share->order->charge >
           other->order->round + ahead * other->order->charge;
}

/* A learned limit grows with each call that is sent, and others may then fit before they thought.
 */
static bool is_learning(const struct sl_pool *pool) {
    struct sl_pool_view view;
    sl_pool_look(pool, &view, sim.rig.now, sim.rig.wall);
    return view.learned;
}

static void check_conserving(const struct sl_ticket *ticket) {
    const struct sl_share *share = ticket->flow;
    if (sl_share_head(share) != ticket ||
        sl_queue_count(sim.rig.queue).running >= sim.settings.max_in_flight)
        return;
    if (share->tenant && sl_tenant_wait(share->tenant, ticket->demand.tokens, sim.rig.now))
        return;
    if (is_beyond(ticket, ticket->line->claimant) || is_beyond(ticket, share->order->blocked))
        return;
    const struct sl_ways *ways = ticket->line->ways;
    for (size_t i = 0; i < ways->count; i++) {
        const struct sl_way *way = &ways->ways[i];
        if (is_held_against(way->port, ticket))
            CHECK(way->port->claim->state == SL_TICKET_WAITING);
        else if (!is_learning(way->route.pool))
            CHECK(sl_pool_check(way->route.pool, ticket->demand.tokens, sim.rig.now, sim.rig.wall)
                      .wait_ns);
    }
}

static void note_claims(void) {
    for (int p = 0; p < sim.pool_count; p++) {
        const struct sl_port *port = port_of(p);
        const struct sl_ticket *claim = port ? port->claim : NULL;
        if (claim != sim.accounts[p].claim)
            sim.accounts[p].overtaken = 0;
        sim.accounts[p].claim = claim;
    }
}

static void check_rest(void) {
    struct sl_queue_counts counts = sl_queue_count(sim.rig.queue), seen = {0};
    for (int i = 0; i < sim.call_count; i++) {
        const struct call *call = &sim.calls[i];
        if (call->fate == RUNS)
            seen.running++;
        if (call->fate != WAITS)
            continue;
        seen.waiting++;
        seen.waiting_tokens += call->ticket.demand.tokens;
        seen.waiting_bytes += call->ticket.demand.bytes;
        CHECK(sl_wheel_linked(&call->ticket.due) || call->ticket.demand.deadline == SL_NEVER);
        check_conserving(&call->ticket);
    }
    CHECK(counts.waiting == seen.waiting && counts.running == seen.running);
    CHECK(counts.waiting_tokens == seen.waiting_tokens);
    CHECK(counts.waiting_bytes == seen.waiting_bytes);
    CHECK(rig_wake_at(&sim.rig) > sim.rig.now);
}

/* Fairness: how far each tenant is ahead of each other since both have had something waiting. */

static int class_of(const struct sl_ticket *ticket) {
    return (int)ticket->demand.priority;
}

static int line_of(const struct sl_ticket *ticket) {
    for (int l = 0; l < sim.line_count; l++)
        if (sim.lines[l] == ticket->line)
            return l;
    return -1;
}

static bool has_waiting(int line, int class, int tenant) {
    const struct sl_share *share = sl_share_find(&sim.lines[line]->orders[class], (uint64_t)tenant);
    return share && share->waiting;
}

/* A tenant with nothing waiting any more is ahead of nobody. */
static void forget_lead(const struct sl_ticket *ticket) {
    int line = line_of(ticket), class = class_of(ticket), tenant = (int)ticket->demand.tenant;
    if (has_waiting(line, class, tenant))
        return;
    for (int other = 0; other < sim.tenants; other++)
        sim.lead[line][class][tenant][other] = sim.lead[line][class][other][tenant] = 0;
}

static void note_served(const struct sl_ticket *ticket) {
    int line = line_of(ticket), class = class_of(ticket), tenant = (int)ticket->demand.tenant;
    for (int other = 0; other < sim.tenants; other++) {
        if (other == tenant || !has_waiting(line, class, other))
            continue;
        sim.lead[line][class][tenant][other] += (int64_t)sl_ticket_cost(ticket);
        sim.lead[line][class][other][tenant] -= (int64_t)sl_ticket_cost(ticket);
        /* Who joins may find the other up to one request ahead. */
        if (sim.fair)
            CHECK(sim.lead[line][class][tenant][other] <= 2 * (int64_t)sim.max_tokens);
    }
    forget_lead(ticket);
}

/* Events. */

static void end(struct call *call, enum fate fate) {
    call->fate = fate;
    call->ends++;
    CHECK(call->ticket.state == SL_TICKET_IDLE);
}

static void start(struct sl_ticket *ticket) {
    struct call *call = SL_CONTAINER(ticket, struct call, ticket);
    CHECK(call->fate == WAITS && ticket->state == SL_TICKET_GRANTED);
    for (int p = 0; p < sim.pool_count; p++)
        if (sim.pools[p] == ticket->route->pool)
            call->pool = p;
    struct account *account = &sim.accounts[call->pool];
    note_claims();
    if (account->claim) {
        account->overtaken += sl_ticket_cost(ticket);
        CHECK(account->overtaken <= sl_ticket_cost(account->claim));
    }
    call->sent = note_sent(account, ticket->demand.tokens);
    if (sim.own_limits && (ticket->demand.tenant_rpm || ticket->demand.tenant_tpm))
        check_bucket(&sim.own[ticket->demand.tenant], ticket->demand.tokens);
    note_served(ticket);
    call->fate = RUNS;
}

static void ask_all(void) {
    struct sl_refusal why;
    bool expired;
    struct sl_ticket *ticket;
    while ((ticket = sl_queue_due(sim.rig.queue, sim.rig.now, sim.rig.wall, &expired, &why))) {
        CHECK(expired == (ticket->demand.deadline <= sim.rig.now));
        CHECK(why.kind != SL_SCARCE_NOTHING);
        if (!expired && chance(50))
            continue; /* it stays */
        if (!expired)
            sl_queue_cancel(sim.rig.queue, ticket);
        end(SL_CONTAINER(ticket, struct call, ticket), EXPIRED);
        forget_lead(ticket);
    }
    while ((ticket = rig_next(&sim.rig))) {
        CHECK(sl_queue_count(sim.rig.queue).running <= sim.settings.max_in_flight);
        start(ticket);
    }
    note_claims();
    check_rest();
}

static void submit(void) {
    if (sim.call_count == CALLS)
        return;
    struct call *call = &sim.calls[sim.call_count++];
    int tenant = (int)dice((uint64_t)sim.tenants);
    uint64_t tokens = chance(10) ? sim.max_tokens : dice(sim.max_tokens / (1 + dice(10)) + 1);
    struct sl_demand demand = rig_demand((uint64_t)tenant, (enum sl_class)dice(3), tokens);
    demand.bytes = dice(1000);
    if (!sim.fair && chance(20))
        demand.deadline = sim.rig.now + dice(3 * MINUTE);
    if (!sim.fair && chance(10))
        demand.fallback_at = sim.rig.now + dice(MINUTE);
    if (sim.own_limits && tenant % 2) {
        demand.tenant_rpm = sim.own[tenant].limits.rpm;
        demand.tenant_tpm = sim.own[tenant].limits.tpm;
    }
    struct sl_refusal why = {0};
    struct sl_line *line = sim.lines[dice((uint64_t)sim.line_count)];
    int rc = rig_ask(&sim.rig, line, &call->ticket, &demand, &why);
    if (rc == SL_OK) {
        call->fate = WAITS;
        return;
    }
    CHECK(rc == SL_E_LIMIT && why.kind != SL_SCARCE_NOTHING);
    end(call, REFUSED);
}

static struct call *any(enum fate fate) {
    if (!sim.call_count)
        return NULL;
    uint64_t first = dice((uint64_t)sim.call_count);
    for (int i = 0; i < sim.call_count; i++) {
        struct call *call = &sim.calls[(first + (uint64_t)i) % (uint64_t)sim.call_count];
        if (call->fate == fate)
            return call;
    }
    return NULL;
}

static struct sl_outcome some_outcome(uint64_t reserved) {
    struct sl_outcome outcome = {.ending = SL_ENDING_OK};
    if (sim.throttles && chance(30))
        outcome.ending = (enum sl_ending)dice(SL_ENDING_CANCELED + 1);
    if (outcome.ending == SL_ENDING_THROTTLED)
        outcome.kind = (enum sl_scarcity)(SL_SCARCE_REQUESTS + dice(5));
    outcome.tokens = chance(5) ? reserved + dice(100) : dice(reserved + 1);
    if (chance(20))
        outcome.retry_after_ns = dice(5 * SECOND);
    return outcome;
}

static void finish(struct call *call) {
    struct sl_ticket *ticket = &call->ticket;
    struct sl_outcome outcome = some_outcome(ticket->demand.tokens);
    bool reached = outcome.ending != SL_ENDING_THROTTLED && outcome.ending != SL_ENDING_UNREACHED;
    bool counted = reached && outcome.ending != SL_ENDING_REFUSED;
    uint64_t used = counted ? outcome.tokens : 0;
    note_ended(&sim.accounts[call->pool], call->sent, reached, used);
    if (sim.own_limits && (ticket->demand.tenant_rpm || ticket->demand.tenant_tpm)) {
        struct account *own = &sim.own[ticket->demand.tenant];
        refill(own, sim.rig.now);
        own->left[0] += ((__int128)1 - reached) * MINUTE;
        own->left[1] += ((__int128)ticket->demand.tokens - used) * MINUTE;
        refill(own, sim.rig.now);
    }
    struct sl_refusal why = {0};
    bool again = outcome.ending == SL_ENDING_THROTTLED || outcome.ending == SL_ENDING_FAILED ||
                 outcome.ending == SL_ENDING_UNREACHED;
    if (!again || chance(20)) {
        sl_queue_settle(sim.rig.queue, ticket, &outcome, sim.rig.now, sim.rig.wall);
        end(call, DONE);
        return;
    }
    int rc = sl_queue_requeue(sim.rig.queue, ticket, &outcome, sim.rig.now, sim.rig.wall, &why);
    if (rc == SL_OK) {
        call->fate = WAITS;
        CHECK(ticket->state == SL_TICKET_WAITING);
        CHECK(sl_share_head(ticket->flow) == ticket);
        return;
    }
    CHECK(rc == SL_E_LIMIT);
    end(call, REFUSED);
}

static void some_routes(struct sl_route *routes, size_t *count) {
    *count = 1 + dice((uint64_t)sim.pool_count);
    for (size_t i = 0; i < *count; i++)
        routes[i] = (struct sl_route){.pool = sim.pools[dice((uint64_t)sim.pool_count)],
                                      .weight = 1 + (uint32_t)dice(5),
                                      .priority = (uint32_t)dice(2)};
}

static void move_something(void) {
    struct call *call = any(WAITS);
    struct sl_route routes[POOLS];
    size_t count;
    switch (dice(5)) {
    case 0:
        some_routes(routes, &count);
        CHECK(!sl_line_set_routes(sim.lines[dice((uint64_t)sim.line_count)], routes, count));
        break;
    case 1:
        sim.settings.max_in_flight = 1 + (uint32_t)dice(20);
        while (sim.settings.max_in_flight < sl_queue_count(sim.rig.queue).running)
            sim.settings.max_in_flight++;
        sl_queue_configure(sim.rig.queue, &sim.settings);
        break;
    case 2:
        if (call)
            sl_queue_change(sim.rig.queue, &call->ticket, (enum sl_class)dice(3),
                            chance(50) ? SL_NEVER : sim.rig.now + dice(MINUTE));
        break;
    default:
        if (!call)
            break;
        sl_queue_cancel(sim.rig.queue, &call->ticket);
        end(call, LEFT);
    }
}

/* Nothing may be had before the time that _wake_at says. */
static void pass_some_time(void) {
    uint64_t at = rig_wake_at(&sim.rig), now = sim.rig.now;
    if (at == SL_NEVER || at - now > 5 * MINUTE)
        at = now + dice(10 * SECOND);
    if (at > now + 1 && chance(30)) {
        rig_pass(&sim.rig, dice(at - now));
        if (!sim.steps)
            CHECK(!rig_next(&sim.rig));
        return;
    }
    rig_pass(&sim.rig, at - now);
}

static void step_clocks(void) {
    if (chance(50))
        sim.rig.now =
            chance(50) ? sim.rig.now + dice(1000 * SECOND) : sim.rig.now - dice(sim.rig.now / 2);
    else
        sim.rig.wall = chance(50) ? sim.rig.wall + dice(200000000) : sim.rig.wall - dice(200000000);
}

static void happen(void) {
    struct call *call;
    uint64_t roll = dice(100);
    if (roll < 40)
        submit();
    else if (roll < 65 && (call = any(RUNS)))
        finish(call);
    else if (roll < 75 && sim.moves)
        move_something();
    else if (roll < 77 && sim.steps)
        step_clocks();
    else
        pass_some_time();
}

static void set_up(uint64_t seed) {
    memset(&sim, 0, sizeof(sim));
    sim.seed = seed;
    sim.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    dice(1);
    sim.settings = rig_settings;
    if (chance(30))
        sim.settings.max_requests = 10 + (uint32_t)dice(40);
    if (chance(30))
        sim.settings.max_in_flight = 1 + (uint32_t)dice(20);
    if (chance(60))
        sim.settings.max_wait_ns = SL_NEVER;
    sim.fair = chance(30);
    sim.steps = !sim.fair && chance(10);
    sim.throttles = !sim.fair && chance(40);
    sim.moves = !sim.fair && chance(60);
    sim.own_limits = !sim.fair && !sim.steps && chance(30);
    sim.max_tokens = 1 + dice(5000);
    sim.tenants = 1 + (int)dice(TENANTS);
    rig_open(&sim.rig, &sim.settings);
    sim.pool_count = 1 + (int)dice(POOLS);
    for (int p = 0; p < sim.pool_count; p++) {
        struct sl_limits limits = {0};
        if (chance(50))
            limits.rpm = 1 + dice(60);
        if (chance(50))
            limits.tpm = 1 + dice(10000);
        if (chance(20))
            limits.in_flight = 1 + (uint32_t)dice(5);
        enum sl_window window = chance(50) ? SL_WINDOW_BUCKET : SL_WINDOW_FIXED;
        sim.pools[p] = rig_pool(&sim.rig, limits, window);
        open_account(&sim.accounts[p], limits, window);
    }
    sim.line_count = 1 + (int)dice(LINES);
    for (int l = 0; l < sim.line_count; l++) {
        struct sl_route routes[POOLS];
        size_t count;
        some_routes(routes, &count);
        sim.lines[l] = sl_line_new(sim.rig.queue, (struct sl_slice){"line", 4}, routes, count);
        assert_non_null(sim.lines[l]);
    }
    for (int t = 0; t < TENANTS; t++)
        open_account(&sim.own[t], (struct sl_limits){.rpm = 1 + dice(30), .tpm = 1 + dice(5000)},
                     SL_WINDOW_BUCKET);
}

/* Nothing new comes: all that waits gets its turn. */
static void run_dry(void) {
    for (int turns = 0; any(RUNS) || any(WAITS); turns++) {
        struct call *call = any(RUNS);
        CHECK(turns < 200000);
        if (call) {
            finish(call);
        } else {
            CHECK(rig_wake_at(&sim.rig) != SL_NEVER);
            rig_pass(&sim.rig, rig_wake_at(&sim.rig) - sim.rig.now);
            /* Pools stand still until a clock that was set back has caught up. */
            if (sim.steps)
                rig_pass(&sim.rig, SECOND);
        }
        ask_all();
    }
}

static void tear_down(void) {
    for (int i = 0; i < sim.call_count; i++)
        CHECK(sim.calls[i].ends == 1);
    for (int l = 0; l < sim.line_count; l++) {
        CHECK(sl_line_is_idle(sim.lines[l]));
        sl_line_free(sim.lines[l]);
    }
    for (int p = 0; p < sim.pool_count; p++) {
        struct sl_pool_view view;
        sl_pool_look(sim.pools[p], &view, sim.rig.now, sim.rig.wall);
        CHECK(view.running == 0 && sim.accounts[p].running == 0);
        sl_pool_free(sim.pools[p]);
    }
    rig_close(&sim.rig);
}

static void run(uint64_t seed) {
    set_up(seed);
    for (int event = 0; event < EVENTS; event++) {
        happen();
        ask_all();
    }
    run_dry();
    tear_down();
}

/* A queue with room and time for all. */
static void set_up_patient(uint64_t seed) {
    set_up(seed);
    sim.settings = rig_settings;
    sim.settings.max_wait_ns = SL_NEVER;
    sl_queue_configure(sim.rig.queue, &sim.settings);
}

/* All tenants have something waiting from the beginning: none is ever ahead of another by more than
 * one request. */
static void equal_tenants_differ_by_one_request(uint64_t seed) {
    set_up_patient(seed);
    struct sl_limits limits = {.rpm = 10 + dice(50), .tpm = chance(50) ? 1 + dice(20000) : 0};
    struct sl_pool *pool =
        rig_pool(&sim.rig, limits, chance(50) ? SL_WINDOW_BUCKET : SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&sim.rig, pool);
    uint64_t served[TENANTS] = {0};
    int left[TENANTS] = {0}, tenants = 2 + (int)dice(TENANTS - 1);
    for (; sim.call_count < 60; sim.call_count++) {
        int tenant = sim.call_count % tenants;
        rig_submit(&sim.rig, line, &sim.calls[sim.call_count].ticket, (uint64_t)tenant,
                   SL_CLASS_NORMAL, 1 + dice(sim.max_tokens));
        left[tenant]++;
    }
    for (int i = 0; i < 60; i++) {
        struct sl_ticket *ticket = rig_await(&sim.rig);
        int tenant = (int)ticket->demand.tenant;
        rig_settle(&sim.rig, ticket);
        served[tenant] += ticket->demand.tokens;
        for (int other = 0; other < tenants; other++)
            CHECK(!left[other] || served[tenant] <= served[other] + sim.max_tokens);
        left[tenant]--;
    }
    sim.call_count = 0;
    sl_line_free(line);
    sl_pool_free(pool);
    tear_down();
}

/* Serves the next; if it is not that one, another small one comes for it. */
static bool serve_small(struct sl_line *line, uint64_t small, const struct sl_ticket *but) {
    struct sl_ticket *ticket = rig_await(&sim.rig);
    rig_settle(&sim.rig, ticket);
    if (ticket == but)
        return false;
    rig_submit(&sim.rig, line, ticket, dice(4), SL_CLASS_INTERACTIVE, 1 + dice(small));
    return true;
}

/* More than the quota comes without end, of the best class and small. What is batch, and large, up
 * to twice the quota of a minute, still gets its share. */
static void nobody_starves(uint64_t seed) {
    set_up_patient(seed);
    struct sl_limits limits = {.tpm = 2000 + dice(20000)};
    struct sl_pool *pool =
        rig_pool(&sim.rig, limits, chance(50) ? SL_WINDOW_BUCKET : SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&sim.rig, pool);
    struct sl_ticket *large = &sim.calls[CALLS - 1].ticket;
    uint64_t size = 1 + dice(2 * limits.tpm), small = 1 + dice(limits.tpm / 10);
    for (int i = 0; i < 40; i++)
        rig_submit(&sim.rig, line, &sim.calls[i].ticket, dice(4), SL_CLASS_INTERACTIVE,
                   1 + dice(small));
    for (int i = 0; i < 100; i++)
        serve_small(line, small, NULL);
    for (int times = 0; times < 3; times++) {
        uint64_t since = sim.rig.now;
        rig_submit(&sim.rig, line, large, 9, SL_CLASS_BATCH, size);
        while (serve_small(line, small, large))
            ;
        /* A 17th of the rate is its own; and once it is its turn, the pool is held. */
        uint64_t minutes = 17 * (size + small) / limits.tpm + size / limits.tpm + 4;
        CHECK(sim.rig.now - since <= minutes * MINUTE);
    }
    for (int i = 0; i < 40; i++)
        sl_queue_cancel(sim.rig.queue, &sim.calls[i].ticket);
    sl_line_free(line);
    sl_pool_free(pool);
    tear_down();
}

static uint64_t only;

static void for_each_seed(void (*scenario)(uint64_t), uint64_t count) {
    if (only)
        scenario(only);
    for (uint64_t seed = 1; !only && seed <= count; seed++)
        scenario(seed);
}

static void fairness_holds(void **state) {
    (void)state;
    for_each_seed(equal_tenants_differ_by_one_request, 1000);
}

static void starvation_never(void **state) {
    (void)state;
    for_each_seed(nobody_starves, 200);
}

static void every_scenario_holds(void **state) {
    (void)state;
    for_each_seed(run, SCENARIOS);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scenario_holds),
        cmocka_unit_test(fairness_holds),
        cmocka_unit_test(starvation_never),
    };
    only = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
