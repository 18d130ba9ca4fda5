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
    struct sl_ticket *ticket;
    while ((ticket = sl_sched_expired(&flow->sched, flow->loop->now)) != NULL)
        sl_flight_expire(sl_flight_of_ticket(ticket));
    while ((ticket = sl_sched_next(&flow->sched)) != NULL)
        sl_flight_dispatch(sl_flight_of_ticket(ticket));
    uint64_t deadline = sl_sched_next_deadline(&flow->sched);
    if (deadline == SL_NEVER)
        sl_timer_clear(flow->loop, &flow->queue_timer);
    else
        wake_at(flow, &flow->queue_timer, deadline);
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
    flow->memory_seen = flow->memory.used;
}

/* What the end of a turn gave back may be what others wait for. */
static bool freed_for_others(const struct sl_flow *flow) {
    bool memory = flow->memory.used < flow->memory_seen && !sl_list_empty(&flow->paused);
    return memory || sl_sched_can_start(&flow->sched);
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

struct sl_flow *sl_flow_new(struct sl_loop *loop, const struct sl_flow_settings *settings,
                            struct sl_metrics *metrics) {
    struct sl_flow *flow = sl_calloc(1, sizeof(*flow));
    if (!flow)
        return NULL;
    if (sl_table_init(&flow->rejoin) != SL_OK) {
        sl_free(flow);
        return NULL;
    }
    flow->loop = loop;
    flow->metrics = metrics;
    sl_budget_init(&flow->memory, 0, NULL);
    sl_budget_init(&flow->bodies, 0, &flow->memory);
    sl_budget_init(&flow->strangers, 0, &flow->bodies);
    apply_settings(flow, settings);
    sl_sched_init(&flow->sched, &settings->sched);
    struct sl_list *const lists[] = {
        &flow->exchanges,     &flow->ready_exchanges, &flow->dead_exchanges, &flow->flights,
        &flow->ready_flights, &flow->dead_flights,    &flow->paused};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        sl_list_init(lists[i]);
    sl_buf_init(&flow->retired_seen, RETIRED_SEEN_MAX);
    sl_timer_init(&flow->queue_timer, on_deadline, flow);
    sl_timer_init(&flow->paused_timer, on_deadline, flow);
    sl_loop_hook(loop, SL_TURN_FLOW, &flow->turn, run_turn, flow);
    sl_loop_hook(loop, SL_TURN_REAP, &flow->reap, reap, flow);
    return flow;
}

void sl_flow_configure(struct sl_flow *flow, const struct sl_flow_settings *settings) {
    apply_settings(flow, settings);
    sl_sched_configure(&flow->sched, &settings->sched);
}

static void retire_target(struct sl_flow *flow) {
    struct sl_target_ref *old = flow->target;
    flow->target = NULL;
    if (!old)
        return;
    old->retired = true;
    if (old->flights > 0)
        return;
    sl_target_free(old->target);
    sl_free(old);
}

int sl_flow_set_target(struct sl_flow *flow, struct sl_target *target) {
    struct sl_target_ref *ref = sl_calloc(1, sizeof(*ref));
    if (!ref)
        return SL_E_NOMEM;
    ref->target = target;
    retire_target(flow);
    flow->target = ref;
    return SL_OK;
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
    retire_target(flow);
    sl_timer_clear(flow->loop, &flow->queue_timer);
    sl_timer_clear(flow->loop, &flow->paused_timer);
    sl_loop_unhook(&flow->turn);
    sl_loop_unhook(&flow->reap);
    sl_table_done(&flow->rejoin);
    sl_buf_done(&flow->retired_seen);
    sl_free(flow);
}

static uint64_t count(const struct sl_list *list) {
    uint64_t n = 0;
    for (const struct sl_list *node = list->next; node != list; node = node->next)
        n++;
    return n;
}

void sl_flow_measure(const struct sl_flow *flow, struct sl_metrics *metrics) {
    metrics->queued = flow->sched.waiting_count;
    metrics->in_flight = flow->sched.in_flight;
    metrics->exchanges = count(&flow->exchanges);
    metrics->memory_used = flow->memory.used;
    metrics->memory_max = flow->memory.max;
}
