/* The turn: who was marked ready takes a step, in a fixed order; then what ended is freed. */
#include "sluice/flow/flow.h"

#include <assert.h>

#include "flow/internal.h"
#include "sluice/base/log.h"
#include "sluice/base/mem.h"

/* Withdrawn models named in the log once each; a client that makes up names must not fill memory.
 */
#define RETIRED_SEEN_MAX 4096

void sl_flow_ready_flight(struct sl_flight *f) {
    if (f->state == SL_FLIGHT_DEAD || sl_list_linked(&f->ready_link))
        return;
    sl_list_push_back(&f->flow->ready_flights, &f->ready_link);
    sl_loop_want(f->flow->loop, SL_TURN_REAP);
}

void sl_flow_ready_exchange(struct sl_exchange *x) {
    if (x->state == SL_EXCHANGE_CLOSED || sl_list_linked(&x->ready_link))
        return;
    sl_list_push_back(&x->flow->ready_exchanges, &x->ready_link);
    sl_loop_want(x->flow->loop, SL_TURN_FLOW);
}

void sl_flow_log_retired(struct sl_flow *flow, const struct sl_call *call) {
    struct sl_slice seen = sl_buf_slice(&flow->retired_seen), line;
    while (sl_slice_split(&seen, '\n', &line))
        if (sl_slice_eq(line, call->model))
            return;
    if (sl_buf_add(&flow->retired_seen, call->model) != SL_OK ||
        sl_buf_add_byte(&flow->retired_seen, '\n') != SL_OK)
        return;
    sl_log(SL_LOG_WARN, "flow",
           "model %.*s was withdrawn by Bedrock: %.*s serves its calls (models.retired, "
           "models.successors)",
           SL_FMT(call->model), SL_FMT(call->served_model));
}

/* The turn that follows looks at what is due. */
static void on_deadline(void *ctx) {
    struct sl_flow *flow = ctx;
    sl_loop_want(flow->loop, SL_TURN_FLOW);
}

static void wake_at(struct sl_flow *flow, struct sl_timer *timer, uint64_t at) {
    if (sl_timer_set(flow->loop, timer, at) != SL_OK)
        sl_loop_again(flow->loop); /* no timer to be had: look again at once */
}

static bool step_flights(struct sl_flow *flow) {
    struct sl_list now;
    sl_list_init(&now);
    sl_list_splice(&now, &flow->ready_flights);
    bool any = !sl_list_empty(&now);
    for (struct sl_list *node; (node = sl_list_pop_front(&now)) != NULL;)
        sl_flight_step(SL_CONTAINER(node, struct sl_flight, ready_link));
    return any;
}

static bool step_exchanges(struct sl_flow *flow) {
    struct sl_list now;
    sl_list_init(&now);
    sl_list_splice(&now, &flow->ready_exchanges);
    bool any = !sl_list_empty(&now);
    for (struct sl_list *node; (node = sl_list_pop_front(&now)) != NULL;)
        sl_exchange_step(SL_CONTAINER(node, struct sl_exchange, ready_link));
    return any;
}

static void admit(struct sl_flow *flow) {
    uint64_t now = flow->loop->now, wall = sl_flow_wall(flow);
    struct sl_ticket *ticket;
    struct sl_refusal why;
    bool expired;
    while ((ticket = sl_queue_due(flow->queue, now, wall, &expired, &why)) != NULL)
        sl_flight_due(sl_flight_of_ticket(ticket), expired, &why);
    while ((ticket = sl_queue_next(flow->queue, now, wall)) != NULL)
        sl_flight_dispatch(sl_flight_of_ticket(ticket));
    uint64_t at = sl_queue_wake_at(flow->queue, now, wall);
    if (at == SL_NEVER)
        sl_timer_clear(flow->loop, &flow->queue_timer);
    else
        wake_at(flow, &flow->queue_timer, at);
}

static void resume_bodies(struct sl_flow *flow) {
    SL_LIST_EACH(&flow->paused, node, next)
    sl_exchange_resume_body(SL_CONTAINER(node, struct sl_exchange, paused_link));
    struct sl_list *first = sl_list_first(&flow->paused);
    if (!first)
        sl_timer_clear(flow->loop, &flow->paused_timer);
    else
        wake_at(flow, &flow->paused_timer,
                SL_CONTAINER(first, struct sl_exchange, paused_link)->paused_until);
}

static void run_turn(void *ctx) {
    struct sl_flow *flow = ctx;
    bool more = true;
    while (more) {
        more = step_flights(flow);
        more |= step_exchanges(flow);
        admit(flow);
    }
    resume_bodies(flow);
    sl_interim_tend(flow);
    flow->memory_seen = flow->memory.used;
}

/* What the end of a turn gave back may be what others wait for. */
static bool freed_for_others(const struct sl_flow *flow) {
    bool memory = flow->memory.used < flow->memory_seen && !sl_list_empty(&flow->paused);
    uint64_t now = flow->loop->now;
    return memory || sl_queue_wake_at(flow->queue, now, sl_flow_wall(flow)) <= now;
}

static void reap(void *ctx) {
    struct sl_flow *flow = ctx;
    struct sl_list *node;
    /* What the write phase left: answers delivered, room for more. Spares a turn of its own. */
    step_flights(flow);
    while ((node = sl_list_first(&flow->dead_exchanges)) != NULL)
        sl_exchange_free(SL_CONTAINER(node, struct sl_exchange, link));
    while ((node = sl_list_first(&flow->dead_flights)) != NULL)
        sl_flight_free(SL_CONTAINER(node, struct sl_flight, link));
    sl_chunk_pool_trim(8);
    if (sl_cache_tend(flow->cache, (uint64_t)flow->loop->wall_ms))
        sl_loop_again(flow->loop);
    if (freed_for_others(flow))
        sl_loop_want(flow->loop, SL_TURN_FLOW);
}

static void apply_settings(struct sl_flow *flow, const struct sl_flow_settings *settings) {
    flow->settings = *settings;
    flow->memory.max = settings->memory_max;
    /* Bodies leave room for answers: what has been paid for must not fail for memory that those
     * who still wait hold. */
    flow->bodies.max = settings->memory_max - settings->memory_max / 8;
    flow->strangers.max = settings->memory_max / 10;
}

static void free_parts(struct sl_flow *flow) {
    sl_timer_clear(flow->loop, &flow->queue_timer);
    sl_timer_clear(flow->loop, &flow->paused_timer);
    sl_timer_clear(flow->loop, &flow->interim_timer);
    sl_loop_unhook(&flow->turn);
    sl_loop_unhook(&flow->reap);
    sl_routes_done(flow);
    sl_queue_free(flow->queue);
    sl_cache_free(flow->cache);
    sl_table_done(&flow->shared);
    sl_buf_done(&flow->retired_seen);
    sl_buf_done(&flow->scratch);
    sl_free(flow);
}

int64_t sl_flow_cost(const struct sl_flow *flow, struct sl_slice model,
                     const struct sl_usage *usage) {
    const struct sl_flow_policy *policy = &flow->settings.policy;
    return policy->cost ? policy->cost(policy->ctx, model, usage) : -1;
}

static int init_parts(struct sl_flow *flow) {
    flow->queue = sl_queue_new(&flow->settings.queue);
    flow->cache = sl_cache_new(&flow->settings.cache);
    int err = flow->queue && flow->cache ? sl_sharing_init(flow) : SL_E_NOMEM;
    return err ? err : sl_routes_init(flow);
}

struct sl_flow *sl_flow_new(struct sl_loop *loop, const struct sl_flow_settings *settings,
                            struct sl_metrics *metrics) {
    struct sl_flow *flow = sl_calloc(1, sizeof(*flow));
    if (!flow)
        return NULL;
    flow->loop = loop;
    flow->metrics = metrics;
    sl_budget_init(&flow->memory, 0, NULL);
    sl_budget_init(&flow->bodies, 0, &flow->memory);
    sl_budget_init(&flow->strangers, 0, &flow->bodies);
    apply_settings(flow, settings);
    struct sl_list *const lists[] = {
        &flow->exchanges,     &flow->ready_exchanges, &flow->dead_exchanges, &flow->flights,
        &flow->ready_flights, &flow->dead_flights,    &flow->paused,         &flow->waiting,
        &flow->line_list,     &flow->pool_list};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        sl_list_init(lists[i]);
    sl_buf_init(&flow->retired_seen, RETIRED_SEEN_MAX);
    sl_buf_init(&flow->scratch, SL_ENCODED_MAX);
    sl_timer_init(&flow->queue_timer, on_deadline, flow);
    sl_timer_init(&flow->paused_timer, on_deadline, flow);
    sl_timer_init(&flow->interim_timer, on_deadline, flow);
    sl_loop_hook(loop, SL_TURN_FLOW, &flow->turn, run_turn, flow);
    sl_loop_hook(loop, SL_TURN_REAP, &flow->reap, reap, flow);
    if (init_parts(flow) == SL_OK)
        return flow;
    free_parts(flow);
    return NULL;
}

void sl_flow_configure(struct sl_flow *flow, const struct sl_flow_settings *settings) {
    apply_settings(flow, settings);
    sl_cache_configure(flow->cache, &settings->cache);
    sl_routes_configure(flow);
    sl_queue_configure(flow->queue, &settings->queue); /* behind the pools: wakes who waits */
    sl_loop_want(flow->loop, SL_TURN_FLOW);
}

void sl_flow_drain(struct sl_flow *flow) {
    flow->draining = true;
    /* Flights that only wait for their client to come back have nobody to wait for now. */
    SL_LIST_EACH(&flow->flights, node, next)
    sl_flow_ready_flight(SL_CONTAINER(node, struct sl_flight, link));
}

bool sl_flow_is_idle(const struct sl_flow *flow) {
    return sl_list_empty(&flow->exchanges) && sl_list_empty(&flow->flights);
}

void sl_flow_free(struct sl_flow *flow) {
    if (!flow)
        return;
    assert(sl_list_empty(&flow->exchanges));
    SL_LIST_EACH(&flow->flights, node, next)
    sl_flight_drop(SL_CONTAINER(node, struct sl_flight, link));
    reap(flow);
    free_parts(flow);
}

struct sl_cache *sl_flow_cache(struct sl_flow *flow) {
    return flow->cache;
}

struct sl_queue *sl_flow_queue(struct sl_flow *flow) {
    return flow->queue;
}

static uint64_t count(const struct sl_list *list) {
    uint64_t n = 0;
    for (const struct sl_list *node = list->next; node != list; node = node->next)
        n++;
    return n;
}

void sl_flow_measure(const struct sl_flow *flow, struct sl_metrics *metrics) {
    struct sl_queue_counts counts = sl_queue_count(flow->queue);
    struct sl_cache_stats cache = sl_cache_stats(flow->cache);
    metrics->queued = counts.waiting;
    metrics->in_flight = counts.running;
    metrics->cache_entries = cache.entries;
    metrics->cache_bytes = cache.bytes;
    metrics->exchanges = count(&flow->exchanges);
    metrics->memory_used = flow->memory.used;
    metrics->memory_max = flow->memory.max;
}
