/*
 * Flights: one unit of upstream work each. The attempt's callbacks keep bytes and record
 * (attempt.c); the step, run once a turn, decides: hold or show, try again, go on or break off,
 * linger or die.
 */
#include <assert.h>

#include "flow/internal.h"
#include "sluice/base/mem.h"
#include "sluice/base/slab.h"
#include "sluice/dialect/edit.h"

#define FLIGHT_MAGIC 0x666c7431u /* "flt1" */
/* A learned max_tokens is never so small that an answer of ordinary length is cut. */
#define LEAST_MAX_TOKENS 512

static _Thread_local struct sl_slab slab = {.size = sizeof(struct sl_flight), .keep = 256};

void sl_flight_set_state(struct sl_flight *f, enum sl_flight_state to) {
    static const unsigned char legal[SL_FLIGHT_STATES][SL_FLIGHT_STATES] = {
        [SL_FLIGHT_FORMING] = {[SL_FLIGHT_QUEUED] = 1, [SL_FLIGHT_ENDED] = 1, [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_QUEUED] = {[SL_FLIGHT_RUNNING] = 1, [SL_FLIGHT_ENDED] = 1, [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_RUNNING] = {[SL_FLIGHT_HOLDING] = 1,
                               [SL_FLIGHT_QUEUED] = 1,
                               [SL_FLIGHT_ENDED] = 1,
                               [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_HOLDING] = {[SL_FLIGHT_FLOWING] = 1,
                               [SL_FLIGHT_QUEUED] = 1,
                               [SL_FLIGHT_ENDED] = 1,
                               [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_FLOWING] = {[SL_FLIGHT_ENDED] = 1, [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_ENDED] = {[SL_FLIGHT_DEAD] = 1},
    };
    assert(f->magic == FLIGHT_MAGIC && legal[f->state][to]);
    f->state = to;
    if (to != SL_FLIGHT_DEAD)
        return;
    sl_list_remove(&f->link);
    sl_list_remove(&f->ready_link);
    sl_list_push_back(&f->flow->dead_flights, &f->link);
}

static void give_back_body(struct sl_flight *f) {
    sl_chain_done(&f->call.body);
    bool given = sl_budget_prepay(&f->body_budget, 0);
    assert(given); /* asking for less cannot fail */
    (void)given;
}

static void leave_target(struct sl_flight *f) {
    if (f->target)
        sl_target_ref_release(f->target);
    f->target = NULL;
}

/* Gives back what upstream work holds; the answer stays for its readers. */
static void settle(struct sl_flight *f, const struct sl_outcome *outcome) {
    struct sl_flow *flow = f->flow;
    if (f->attempt)
        sl_attempt_cancel(f->attempt);
    f->attempt = NULL;
    if (f->ticket.state == SL_TICKET_WAITING)
        sl_queue_cancel(flow->queue, &f->ticket);
    else if (f->ticket.state == SL_TICKET_GRANTED)
        sl_queue_settle(flow->queue, &f->ticket, outcome, flow->loop->now, sl_flow_wall(flow));
    if (f->line)
        f->line->flights--;
    f->line = NULL;
    leave_target(f);
    give_back_body(f);
}

static void end(struct sl_flight *f, const struct sl_outcome *outcome) {
    settle(f, outcome);
    sl_sharing_withdraw(f, &f->same);
    if (f->failure || f->answer.state == SL_ANSWER_BROKEN || f->answer.head.status != 200)
        sl_sharing_withdraw(f, &f->rejoin); /* a failure is not handed to those who try again */
    sl_metrics_add_usage(f->flow->metrics, &f->follow.usage);
    sl_flight_set_state(f, SL_FLIGHT_ENDED);
    sl_flow_ready_flight(f);
}

static void fail_with(struct sl_flight *f, enum sl_failure kind, struct sl_slice message,
                      const struct sl_outcome *outcome) {
    f->failure = kind;
    f->message = message;
    sl_answer_break(&f->answer);
    end(f, outcome);
}

void sl_flight_fail(struct sl_flight *f, enum sl_failure kind, struct sl_slice message) {
    /* Nothing reached upstream. */
    struct sl_outcome outcome = {.ending = SL_ENDING_CANCELED};
    fail_with(f, kind, message, &outcome);
}

static void die(struct sl_flight *f) {
    struct sl_outcome outcome = sl_flight_outcome(f, SL_ENDING_CANCELED);
    sl_sharing_withdraw(f, &f->same);
    sl_sharing_withdraw(f, &f->rejoin);
    settle(f, &outcome);
    sl_timer_clear(f->flow->loop, &f->linger);
    sl_flight_set_state(f, SL_FLIGHT_DEAD);
}

static void on_linger(void *ctx) {
    struct sl_flight *f = ctx;
    f->lingered = true;
    sl_flow_ready_flight(f);
}

struct sl_flight *sl_flight_new(struct sl_flow *flow, const struct sl_dialect *dialect,
                                struct sl_budget *lender) {
    struct sl_flight *f = sl_slab_take(&slab);
    if (!f)
        return NULL;
    memset(f, 0, sizeof(*f));
    f->magic = FLIGHT_MAGIC;
    f->flow = flow;
    f->dialect = dialect;
    sl_arena_init(&f->arena, SL_EXCHANGE_ARENA_MAX);
    sl_arena_init(&f->attempt_arena, SL_EXCHANGE_ARENA_MAX);
    sl_budget_init(&f->body_budget, SIZE_MAX, lender);
    sl_chain_init(&f->call.body, &f->body_budget);
    sl_answer_init(&f->answer, &f->arena, &flow->memory);
    sl_ticket_init(&f->ticket);
    sl_list_init(&f->ready_link);
    sl_timer_init(&f->linger, on_linger, f);
    f->rejoin.flight = f->same.flight = f;
    f->call.priority = SL_CLASS_COUNT;
    f->call.cache.max_age = -1;
    f->follow.usage = SL_USAGE_UNKNOWN;
    sl_list_push_back(&flow->flights, &f->link);
    return f;
}

void sl_flight_drop(struct sl_flight *f) {
    die(f);
}

void sl_flight_free(struct sl_flight *f) {
    assert(f->state == SL_FLIGHT_DEAD);
    sl_list_remove(&f->link);
    sl_answer_done(&f->answer);
    give_back_body(f);
    if (f->has_head)
        sl_flight_forget(f);
    sl_keys_release(f->client);
    sl_arena_done(&f->attempt_arena);
    sl_arena_done(&f->arena);
    sl_free(f->pace);
    f->magic = 0;
    sl_slab_give(&slab, f);
}

struct sl_flight *sl_flight_of_ticket(struct sl_ticket *ticket) {
    return SL_CONTAINER(ticket, struct sl_flight, ticket);
}

/* ---- the queue ---- */

/* Output tokens that Bedrock reserves: what was asked for, else the model's maximum. */
static uint64_t reserved_output(const struct sl_flight *f) {
    if (f->call.max_tokens >= 0)
        return (uint64_t)f->call.max_tokens;
    enum sl_family family = sl_model_family(f->call.model);
    if (family == SL_FAMILY_TITAN_EMBED || family == SL_FAMILY_COHERE_EMBED)
        return 0;
    return sl_model_info(f->call.model)->max_output;
}

static bool may_fall_back(const struct sl_flight *f) {
    enum sl_operation op = f->call.operation;
    return op == SL_OP_CONVERSE || op == SL_OP_CONVERSE_STREAM;
}

static struct sl_slice next_fallback(const struct sl_flight *f) {
    const struct sl_flow_policy *policy = &f->flow->settings.policy;
    if (!policy->fallback || !may_fall_back(f))
        return SL_EMPTY;
    return policy->fallback(policy->ctx, f->asked, f->fallback);
}

static struct sl_demand demand_of(struct sl_flight *f, uint64_t deadline) {
    struct sl_flow *flow = f->flow;
    struct sl_demand demand = {.tenant = f->client->tenant,
                               .tenant_rpm = f->client->rpm,
                               .tenant_tpm = f->client->tpm,
                               .priority = f->call.priority,
                               .bytes = sl_chain_len(&f->call.body),
                               .deadline = deadline,
                               .fallback_at = SL_NEVER};
    if (sl_operation_info(f->call.operation)->metered) {
        f->estimated_input = sl_estimate_input(&f->line->estimator, &f->call.load);
        demand.tokens = f->reserved = f->estimated_input + reserved_output(f);
    }
    if (!f->stays && next_fallback(f).len > 0)
        demand.fallback_at = flow->loop->now + flow->settings.fallback_after_ns;
    return demand;
}

/* In the sentence's words, what the wait is for. */
static struct sl_slice reason_of(enum sl_scarcity kind) {
    switch (kind) {
    case SL_SCARCE_REQUESTS:
        return SL_LIT("Bedrock's quota of requests a minute is used up");
    case SL_SCARCE_TOKENS:
        return SL_LIT("Bedrock's quota of tokens a minute is used up");
    case SL_SCARCE_DAY:
        return SL_LIT("Bedrock's quota of tokens a day is used up");
    case SL_SCARCE_CONNECTIONS:
        return SL_LIT("as many calls as may run at once are running");
    case SL_SCARCE_SHARE:
        return SL_LIT("this key's own limit (rpm, tpm) is used up");
    case SL_SCARCE_HEALTH:
        return SL_LIT("Bedrock is refusing or failing calls at present");
    default:
        return SL_LIT("the gateway's queue is full (queue.max_requests, queue.max_bytes)");
    }
}

uint64_t sl_refusal_tell(const struct sl_refusal *why, struct sl_arena *arena,
                         struct sl_slice *message) {
    uint64_t ms = why->wait_ns == SL_NEVER ? 0 : why->wait_ns / SL_NS_PER_MS;
    if (ms == 0)
        ms = 1000;
    if (sl_arena_printf(arena, message,
                        "%s: %.*s, and the request cannot wait long enough. Please wait %llu s "
                        "before trying again.",
                        sl_scarcity_name(why->kind), SL_FMT(reason_of(why->kind)),
                        (unsigned long long)((ms + 999) / 1000)) != SL_OK)
        *message = SL_OUT_OF_MEMORY;
    return ms;
}

/* What could start just now, but too late, has waited for what upstream refused it for. */
static void name_shortage(const struct sl_flight *f, struct sl_refusal *why) {
    if (why->kind != SL_SCARCE_NOTHING && why->kind != SL_SCARCE_CAPACITY)
        return;
    why->kind = f->refused_for ? f->refused_for : SL_SCARCE_CAPACITY;
}

void sl_flight_refuse(struct sl_flight *f, const struct sl_refusal *why) {
    struct sl_refusal told = *why;
    struct sl_slice message;
    name_shortage(f, &told);
    f->flow->metrics->queue_refused++;
    f->queue_ns = f->flow->loop->now - f->ticket.queued_at;
    f->retry_after_ms = sl_refusal_tell(&told, &f->arena, &message);
    sl_flight_fail(f, SL_FAILURE_THROTTLED, message);
}

struct sl_refusal sl_flight_shortage(const struct sl_flight *f, enum sl_class priority) {
    const struct sl_flow *flow = f->flow;
    struct sl_refusal why = {SL_SCARCE_NOTHING, 0};
    why.wait_ns = sl_line_forecast(f->line->line, priority, f->reserved, flow->loop->now,
                                   sl_flow_wall(flow), &why.kind);
    name_shortage(f, &why);
    return why;
}

/* Into the line of the call's model. */
static int enqueue(struct sl_flight *f, uint64_t deadline, struct sl_refusal *why) {
    struct sl_flow *flow = f->flow;
    struct sl_model_line *line = sl_flow_line(flow, &f->call, f->call.model);
    *why = (struct sl_refusal){SL_SCARCE_CAPACITY, SL_NS_PER_S};
    if (!line)
        return SL_E_NOMEM;
    if (f->line)
        f->line->flights--;
    f->line = line;
    line->flights++;
    if (line->routing.count == 0)
        return SL_E_NOTFOUND;
    struct sl_demand demand = demand_of(f, deadline);
    return sl_queue_submit(flow->queue, line->line, &f->ticket, &demand, flow->loop->now,
                           sl_flow_wall(flow), why);
}

/* No target serves this kind of call. */
static void fail_unserved(struct sl_flight *f) {
    if (f->flow->target_count == 0)
        sl_flight_fail(f, SL_FAILURE_UNAVAILABLE,
                       SL_LIT("The gateway has no upstream: see its log."));
    else
        sl_flight_fail(
            f, SL_FAILURE_UNKNOWN_OPERATION,
            SL_LIT("This gateway does not serve bedrock-mantle: set upstream.mantle to true."));
}

/* The opt-in edits of the body. */
static int edit(struct sl_flight *f) {
    const struct sl_flow_settings *settings = &f->flow->settings;
    uint32_t least = sl_model_info(f->call.model)->cache_min;
    if (least > 0 && settings->policy.mark_prompts &&
        settings->policy.mark_prompts(settings->policy.ctx, f->call.model) &&
        sl_edit_mark_prompts(&f->call, &f->arena, least) != SL_OK)
        return SL_E_NOMEM;
    if (!settings->learned_max_tokens || f->call.max_tokens >= 0)
        return SL_OK;
    struct sl_model_line *line = sl_flow_line(f->flow, &f->call, f->call.model);
    struct sl_estimator *own =
        line ? sl_line_outputs(line, f->client->tenant, f->flow->loop->now) : NULL;
    uint64_t most = own ? sl_estimate_output_p99(own, LEAST_MAX_TOKENS) : 0;
    return most > 0 ? sl_edit_max_tokens(&f->call, &f->arena, most) : SL_OK;
}

void sl_flight_submit(struct sl_flight *f, uint64_t deadline) {
    struct sl_refusal why = {SL_SCARCE_NOTHING, 0};
    f->path_asked = f->call.target;
    f->asked = f->call.model;
    if (f->path_model.len == 0)
        f->path_model = f->call.model;
    f->ticket.queued_at = f->flow->loop->now;
    int err = edit(f);
    if (!err)
        err = enqueue(f, deadline, &why);
    if (err == SL_OK)
        sl_flight_set_state(f, SL_FLIGHT_QUEUED);
    else if (err == SL_E_NOTFOUND)
        fail_unserved(f);
    else if (err == SL_E_NOMEM)
        sl_flight_fail(f, SL_FAILURE_UNAVAILABLE, SL_OUT_OF_MEMORY);
    else
        sl_flight_refuse(f, &why);
}

/* Into another model's line. Who asks for the model that was asked for is not to find this. */
static int change_model(struct sl_flight *f, struct sl_slice model) {
    struct sl_slice former = f->call.model;
    struct sl_refusal why = {SL_SCARCE_NOTHING, 0};
    int err = sl_arena_copy(&f->arena, model, &f->call.model);
    if (f->ticket.state == SL_TICKET_WAITING)
        sl_queue_cancel(f->flow->queue, &f->ticket);
    if (!err)
        err = enqueue(f, f->ticket.demand.deadline, &why);
    if (err) {
        f->call.model = former;
        return err;
    }
    f->call.served_model = f->call.model;
    f->cacheable = false;
    sl_sharing_withdraw(f, &f->same);
    sl_answer_let_go(&f->answer);
    return SL_OK;
}

/* The next model in the list that could start before this one, or any when this one cannot at all.
 */
static bool fall_back(struct sl_flight *f, bool must) {
    struct sl_flow *flow = f->flow;
    uint64_t now = flow->loop->now, wall = sl_flow_wall(flow);
    enum sl_scarcity kind;
    struct sl_slice model;
    uint64_t own = must || !f->line ? SL_NEVER
                                    : sl_line_forecast(f->line->line, f->call.priority, f->reserved,
                                                       now, wall, &kind);
    for (; (model = next_fallback(f)).len > 0; f->fallback++) {
        struct sl_model_line *line = sl_flow_line(flow, &f->call, model);
        if (!line || !sl_client_allows_model(f->client, model) ||
            sl_line_forecast(line->line, f->call.priority, f->reserved, now, wall, &kind) >= own)
            continue;
        if (change_model(f, model) == SL_OK) {
            f->fallback++;
            return true;
        }
    }
    return false;
}

void sl_flight_due(struct sl_flight *f, bool expired, const struct sl_refusal *why) {
    struct sl_refusal again = {SL_SCARCE_NOTHING, 0};
    if (expired) {
        sl_flight_refuse(f, why);
    } else if (!fall_back(f, false)) {
        f->stays = true;
        if (f->ticket.state == SL_TICKET_IDLE && /* the other line had no room after all */
            enqueue(f, f->ticket.demand.deadline, &again) != SL_OK)
            sl_flight_refuse(f, &again);
    }
}

/* False: nobody reads. */
static bool best_of_readers(const struct sl_flight *f, enum sl_class *best, uint64_t *latest) {
    if (sl_list_empty(&f->answer.readers))
        return false;
    *best = SL_CLASS_BATCH;
    *latest = 0;
    SL_LIST_EACH(&f->answer.readers, node, next) {
        const struct sl_exchange *x = SL_CONTAINER(node, struct sl_reader, link)->ctx;
        if (x->priority < *best)
            *best = x->priority;
        if (x->deadline > *latest)
            *latest = x->deadline;
    }
    return true;
}

void sl_flight_reconsider(struct sl_flight *f) {
    uint64_t latest;
    if (f->state == SL_FLIGHT_QUEUED && best_of_readers(f, &f->call.priority, &latest))
        sl_queue_change(f->flow->queue, &f->ticket, f->call.priority, latest);
}

void sl_flight_dispatch(struct sl_flight *f) {
    struct sl_flow *flow = f->flow;
    const struct sl_model_route *route = f->ticket.route->ctx;
    f->dispatched_at = flow->loop->now;
    f->queue_ns = f->dispatched_at - f->ticket.queued_at;
    f->target = route->target;
    f->target->users++;
    if (f->call.hash_due)
        sl_edit_hash(&f->call);
    if (sl_flight_send(f, route) != SL_OK) {
        sl_flight_fail(f, SL_FAILURE_UNAVAILABLE, SL_OUT_OF_MEMORY);
        return;
    }
    f->attempts++;
    flow->metrics->attempts++;
    sl_flight_set_state(f, SL_FLIGHT_RUNNING);
}

/* ---- policy ---- */

/* What the last attempt left goes; the ticket waits already. */
static void begin_again(struct sl_flight *f) {
    if (f->attempt)
        sl_attempt_cancel(f->attempt);
    f->attempt = NULL;
    leave_target(f);
    sl_answer_truncate(&f->answer);
    sl_flight_forget(f);
    sl_flight_set_state(f, SL_FLIGHT_QUEUED);
    /* Readers came and left while it ran; those whose time is up wait no longer. */
    sl_flight_reconsider(f);
    SL_LIST_EACH(&f->answer.readers, node, next)
    sl_flow_ready_exchange(SL_CONTAINER(node, struct sl_reader, link)->ctx);
}

/* Past the deadline of who caused it, for one who came later and has more time. */
static bool wait_longer(struct sl_flight *f) {
    struct sl_refusal why = {SL_SCARCE_NOTHING, 0};
    uint64_t latest;
    return best_of_readers(f, &f->call.priority, &latest) && latest > f->ticket.demand.deadline &&
           enqueue(f, latest, &why) == SL_OK;
}

/* Back into the queue, where other targets and other times are to be had. */
static void try_again(struct sl_flight *f, const struct sl_judgment *judged) {
    struct sl_flow *flow = f->flow;
    struct sl_refusal why = {SL_SCARCE_NOTHING, 0};
    f->refused_for =
        judged->outcome.ending == SL_ENDING_THROTTLED ? judged->outcome.kind : SL_SCARCE_HEALTH;
    if (sl_queue_requeue(flow->queue, &f->ticket, &judged->outcome, flow->loop->now,
                         sl_flow_wall(flow), &why) != SL_OK &&
        !wait_longer(f) && !fall_back(f, true)) {
        sl_flight_forget(f);
        sl_flight_refuse(f, &why);
        return;
    }
    flow->metrics->retries++;
    begin_again(f);
}

static void show(struct sl_flight *f) {
    if (sl_flight_is_complete(f))
        f->head.content_length = (int64_t)sl_chain_len(&f->answer.body);
    else if (f->follow.framing != SL_FRAMING_WHOLE)
        f->head.content_length = SL_LENGTH_UNKNOWN; /* an end frame may have to follow */
    sl_answer_set_head(&f->answer, &f->head);
    sl_flight_set_state(f, SL_FLIGHT_FLOWING);
}

/* Another model's turn, where this one failed for good. */
static bool unavailable(const struct sl_judgment *judged) {
    return judged->outcome.ending == SL_ENDING_FAILED ||
           judged->outcome.ending == SL_ENDING_UNREACHED;
}

/* The attempt is over, or has failed in its first frame, and nothing of it was shown. */
static void judge(struct sl_flight *f) {
    struct sl_judgment judged = sl_flight_judge(f);
    if (judged.what == SL_JUDGED_AGAIN) {
        try_again(f, &judged);
        return;
    }
    if (unavailable(&judged) && next_fallback(f).len > 0) {
        judged.outcome.ending = SL_ENDING_FAILED;
        sl_queue_settle(f->flow->queue, &f->ticket, &judged.outcome, f->flow->loop->now,
                        sl_flow_wall(f->flow));
        if (fall_back(f, true)) {
            begin_again(f);
            return;
        }
    }
    f->ending = judged.outcome.ending;
    if (judged.what == SL_JUDGED_SHOW)
        show(f);
    else
        fail_with(f, judged.failure, judged.message, &judged.outcome);
}

/* Upstream died midway: the client is told inside the stream, or its connection is broken. */
static void break_off(struct sl_flight *f) {
    struct sl_outcome outcome = sl_flight_outcome(f, SL_ENDING_FAILED);
    f->flow->metrics->attempts_lost++;
    f->failure = SL_FAILURE_INTERNAL;
    f->message = SL_LIT("Bedrock's answer broke off before its end.");
    sl_answer_break(&f->answer);
    end(f, &outcome);
}

/* Upstream is read no faster than the fastest reader reads. */
static void regulate(struct sl_flight *f) {
    uint64_t lag = sl_answer_lag(&f->answer);
    if (!f->attempt)
        return;
    if (!f->paused && lag > SL_ANSWER_WINDOW) {
        f->paused = true;
        sl_attempt_pause(f->attempt);
    } else if (f->paused && lag <= SL_ANSWER_WINDOW / 2) {
        f->paused = false;
        sl_attempt_resume(f->attempt);
    }
}

/* Nobody keeps this answer, so what a slow reader has not taken is held for it alone. */
static void cut_off_laggards(struct sl_flight *f) {
    if (f->answer.retained || sl_answer_held(&f->answer) <= SL_LAGGARD_MAX)
        return;
    SL_LIST_EACH(&f->answer.readers, node, next) {
        struct sl_reader *reader = SL_CONTAINER(node, struct sl_reader, link);
        if (f->answer.published - reader->cursor.offset > SL_LAGGARD_MAX)
            sl_stream_abort(((struct sl_exchange *)reader->ctx)->stream);
    }
}

static void step_running(struct sl_flight *f) {
    if (f->has_head && !f->body_error)
        sl_flight_set_state(f, SL_FLIGHT_HOLDING);
    else if (sl_flight_is_over(f))
        judge(f);
}

/* Whether the head may be shown: nothing that is still to come can make this attempt a failure
 * unseen. */
static bool may_show(const struct sl_flight *f) {
    if (f->follow.framing == SL_FRAMING_WHOLE)
        return sl_chain_len(&f->answer.body) > SL_HOLD_MAX;
    return f->follow.begun;
}

static void step_holding(struct sl_flight *f) {
    if (sl_flight_is_over(f) || (f->follow.failure && !f->follow.begun))
        judge(f);
    else if (may_show(f))
        show(f);
}

static void finish(struct sl_flight *f) {
    struct sl_outcome outcome = sl_flight_outcome(f, f->ending);
    sl_answer_finish(&f->answer);
    sl_sharing_keep(f);
    end(f, &outcome);
}

static void step_flowing(struct sl_flight *f) {
    if (sl_flight_is_complete(f)) {
        finish(f);
        return;
    }
    sl_answer_publish(&f->answer, f->follow.whole);
    sl_sharing_grown(f);
    if (sl_flight_is_over(f)) {
        break_off(f);
        return;
    }
    regulate(f);
    cut_off_laggards(f);
}

/* A client that timed out comes back with the same id within moments: what was paid for waits for
 * it. Only while the answer is whole from its first byte, and only for documents: who leaves a
 * stream does not come back for it. */
static bool may_linger(const struct sl_flight *f) {
    bool dispatched = f->state >= SL_FLIGHT_RUNNING;
    bool streaming = f->state == SL_FLIGHT_FLOWING && f->follow.framing != SL_FRAMING_WHOLE;
    return f->rejoin.indexed && dispatched && !streaming && !f->delivered &&
           f->answer.body.begin == 0;
}

/* Nobody reads. */
static void step_alone(struct sl_flight *f) {
    struct sl_flow *flow = f->flow;
    if (may_linger(f) && !f->lingered && !flow->draining &&
        (sl_heap_linked(&f->linger.node) ||
         sl_timer_set(flow->loop, &f->linger, flow->loop->now + flow->settings.linger_ns) == SL_OK))
        return;
    if (f->state != SL_FLIGHT_ENDED)
        flow->metrics->canceled++;
    die(f);
}

typedef void (*step_fn)(struct sl_flight *);
static const step_fn steps[SL_FLIGHT_STATES] = {
    [SL_FLIGHT_RUNNING] = step_running,
    [SL_FLIGHT_HOLDING] = step_holding,
    [SL_FLIGHT_FLOWING] = step_flowing,
};

void sl_flight_step(struct sl_flight *f) {
    enum sl_flight_state before;
    do {
        before = f->state;
        if (steps[before])
            steps[before](f);
    } while (f->state != before);
    if (f->state != SL_FLIGHT_FORMING && f->state != SL_FLIGHT_DEAD &&
        sl_list_empty(&f->answer.readers))
        step_alone(f);
}
