/*
 * Flights: one unit of upstream work each. The attempt's callbacks keep bytes and record; the step,
 * run once a turn, decides: hold or show, go on or break off, linger or die.
 */
#include "flow/internal.h"

#include <assert.h>
#include <stdio.h>

#include "sluice/base/mem.h"

#define OUT_OF_MEMORY SL_LIT("The gateway is out of memory for this request.")
#define FLIGHT_MAGIC  0x666c7431u /* "flt1" */

static void set_state(struct sl_flight *f, enum sl_flight_state to) {
    static const unsigned char legal[SL_FLIGHT_STATES][SL_FLIGHT_STATES] = {
        [SL_FLIGHT_FORMING] = {[SL_FLIGHT_QUEUED] = 1, [SL_FLIGHT_ENDED] = 1, [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_QUEUED] = {[SL_FLIGHT_RUNNING] = 1, [SL_FLIGHT_ENDED] = 1, [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_RUNNING] =
            {[SL_FLIGHT_HOLDING] = 1, [SL_FLIGHT_ENDED] = 1, [SL_FLIGHT_DEAD] = 1},
        [SL_FLIGHT_HOLDING] =
            {[SL_FLIGHT_FLOWING] = 1, [SL_FLIGHT_ENDED] = 1, [SL_FLIGHT_DEAD] = 1},
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

static void unindex(struct sl_flight *f) {
    if (!f->indexed)
        return;
    sl_table_remove(&f->flow->rejoin, &f->rejoin_node);
    f->indexed = false;
}

static void give_back_body(struct sl_flight *f) {
    sl_chain_done(&f->call.body);
    bool given = sl_budget_prepay(&f->body_budget, 0);
    assert(given); /* asking for less cannot fail */
    (void)given;
}

/* Gives back what upstream work holds; the answer stays for its readers. */
static void settle(struct sl_flight *f) {
    if (f->attempt)
        sl_attempt_cancel(f->attempt);
    f->attempt = NULL;
    sl_sched_release(&f->flow->sched, &f->ticket);
    if (f->target && --f->target->flights == 0 && f->target->retired) {
        sl_target_free(f->target->target);
        sl_free(f->target);
    }
    f->target = NULL;
    give_back_body(f);
}

static void end(struct sl_flight *f) {
    settle(f);
    if (f->failure || f->answer.state == SL_ANSWER_BROKEN || f->answer.head.status != 200)
        unindex(f); /* a failure is not handed to those who try again */
    sl_metrics_add_usage(f->flow->metrics, &f->follow.usage);
    set_state(f, SL_FLIGHT_ENDED);
    sl_flow_ready_flight(f);
}

/* No answer: each reader tells so in its own dialect. */
static void fail(struct sl_flight *f, enum sl_failure kind, struct sl_slice message) {
    f->failure = kind;
    f->message = message;
    sl_answer_break(&f->answer);
    end(f);
}

static void die(struct sl_flight *f) {
    unindex(f);
    settle(f);
    sl_timer_clear(f->flow->loop, &f->linger);
    set_state(f, SL_FLIGHT_DEAD);
}

static void on_linger(void *ctx) {
    struct sl_flight *f = ctx;
    f->lingered = true;
    sl_flow_ready_flight(f);
}

struct sl_flight *sl_flight_new(struct sl_flow *flow, const struct sl_dialect *dialect,
                                struct sl_budget *lender) {
    struct sl_flight *f = sl_calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->magic = FLIGHT_MAGIC;
    f->flow = flow;
    f->dialect = dialect;
    sl_arena_init(&f->arena, SL_EXCHANGE_ARENA_MAX);
    sl_budget_init(&f->body_budget, SIZE_MAX, lender);
    sl_chain_init(&f->call.body, &f->body_budget);
    sl_answer_init(&f->answer, &f->arena, &flow->memory);
    sl_ticket_init(&f->ticket);
    sl_list_init(&f->ready_link);
    sl_timer_init(&f->linger, on_linger, f);
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
    sl_follow_done(&f->follow);
    sl_arena_done(&f->arena);
    f->magic = 0;
    sl_free(f);
}

struct sl_flight *sl_flight_of_ticket(struct sl_ticket *ticket) {
    return SL_CONTAINER(ticket, struct sl_flight, ticket);
}

/* Headers that change what is answered; others (dates, traces, counts of tries) differ from try to
 * try. */
static bool shapes_answer(struct sl_slice name) {
    static const struct sl_slice prefixes[] = {SL_LIT("x-amzn-bedrock-"), SL_LIT("anthropic-"),
                                               SL_LIT("openai-"), SL_LIT("accept"),
                                               SL_LIT("content-type")};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (sl_slice_ieq(sl_slice_head(name, prefixes[i].len), prefixes[i]))
            return true;
    return false;
}

static void add_line(struct sl_sha256 *h, struct sl_slice text) {
    sl_sha256_update(h, text);
    sl_sha256_update(h, SL_LIT("\n"));
}

/* What makes two requests the same try: the id an SDK keeps over its retries, and all that is asked
 * with it. */
static void make_rejoin_digest(struct sl_flight *f) {
    struct sl_sha256 h;
    const struct sl_headers *headers = &f->call.headers;
    const char plane = (char)f->call.plane;
    sl_sha256_init(&h);
    sl_sha256_update(&h, sl_slice_of(&plane, 1));
    add_line(&h, f->call.rejoin_key);
    add_line(&h, f->call.method);
    add_line(&h, f->call.target);
    for (size_t i = 0; i < headers->count; i++)
        if (shapes_answer(headers->items[i].name)) {
            add_line(&h, headers->items[i].name);
            add_line(&h, headers->items[i].value);
        }
    add_line(&h, SL_EMPTY);
    sl_sha256_update(&h, sl_slice_of(f->call.body_sha256, sizeof(f->call.body_sha256)));
    sl_sha256_final(&h, f->rejoin_digest);
}

/* A flight under way, or ended and not yet delivered, that answers this very request. */
static struct sl_flight *find_equal(struct sl_flow *flow, uint64_t hash, const uint8_t digest[]) {
    struct sl_table_node *node = sl_table_find(&flow->rejoin, hash);
    for (; node; node = sl_table_find_next(node)) {
        struct sl_flight *f = SL_CONTAINER(node, struct sl_flight, rejoin_node);
        if (memcmp(f->rejoin_digest, digest, SL_SHA256_SIZE) == 0 && f->answer.body.begin == 0)
            return f;
    }
    return NULL;
}

static struct sl_flight *rejoin(struct sl_flight *f) {
    if (f->call.rejoin_key.len == 0)
        return NULL;
    make_rejoin_digest(f);
    uint64_t hash = sl_hash(sl_slice_of(f->rejoin_digest, sizeof(f->rejoin_digest)));
    struct sl_flight *other = find_equal(f->flow, hash, f->rejoin_digest);
    if (other)
        return other;
    sl_table_insert(&f->flow->rejoin, &f->rejoin_node, hash);
    f->indexed = true;
    return NULL;
}

struct sl_flight *sl_flight_submit(struct sl_flight *f) {
    struct sl_flow *flow = f->flow;
    struct sl_flight *other = rejoin(f);
    if (other) {
        flow->metrics->joins++;
        sl_timer_clear(flow->loop, &other->linger);
        die(f);
        return other;
    }
    if (sl_sched_submit(&flow->sched, &f->ticket, sl_chain_len(&f->call.body), flow->loop->now) !=
        SL_OK) {
        flow->metrics->queue_refused++;
        f->retry_after_ms = 1000;
        fail(f, SL_FAILURE_THROTTLED,
             SL_LIT("The gateway's queue is full (capacity: queue.max_requests, queue.max_bytes). "
                    "Please wait "
                    "before trying again."));
        return f;
    }
    set_state(f, SL_FLIGHT_QUEUED);
    return f;
}

/* ---- what the attempt reports: recorded, nothing more ---- */

static bool is_framing_header(struct sl_slice name) {
    return sl_slice_ieq(name, SL_LIT("content-length"));
}

static int copy_head(struct sl_flight *f, const struct sl_fetch_head *head) {
    struct sl_headers all = {0}, kept = {0};
    int err = SL_OK;
    for (size_t i = 0; !err && i < head->header_count; i++)
        err = sl_headers_add(&all, &f->arena, head->headers[i].name, head->headers[i].value);
    for (size_t i = 0; !err && i < all.count; i++)
        if (!is_framing_header(all.items[i].name) &&
            !sl_header_is_hop_by_hop(&all, all.items[i].name))
            err = sl_headers_add_copy(&kept, &f->arena, all.items[i].name, all.items[i].value);
    if (!err)
        err = sl_follow_init(&f->follow, f->call.operation, head->status, &kept);
    f->head = (struct sl_response_head){head->status, kept, head->content_length};
    return err;
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct sl_flight *f = ctx;
    f->body_error = copy_head(f, head);
    f->has_head = true;
    f->head_at = f->flow->loop->now;
    sl_flow_ready_flight(f);
}

static void on_data(void *ctx, struct sl_slice bytes) {
    struct sl_flight *f = ctx;
    if (f->body_error)
        return;
    f->body_error = sl_answer_add(&f->answer, bytes);
    if (!f->body_error)
        f->body_error = sl_follow_feed(&f->follow, bytes);
    sl_flow_ready_flight(f);
}

static void on_done(void *ctx, const struct sl_attempt_result *result) {
    struct sl_flight *f = ctx;
    f->attempt = NULL;
    f->has_result = true;
    f->result = *result;
    if (result->why && sl_arena_copy(&f->arena, sl_slice_str(result->why), &f->message) != SL_OK)
        f->message = SL_LIT("out of memory");
    if (result->error == SL_OK && !f->body_error)
        f->body_error = sl_follow_finish(&f->follow);
    sl_flow_ready_flight(f);
}

static const struct sl_attempt_events attempt_events = {on_head, on_data, on_done};

void sl_flight_dispatch(struct sl_flight *f) {
    struct sl_flow *flow = f->flow;
    f->dispatched_at = flow->loop->now;
    f->queue_ns = f->dispatched_at - f->ticket.queued_at;
    if (!flow->target) {
        fail(f, SL_FAILURE_UNAVAILABLE, SL_LIT("The gateway has no upstream: see its log."));
        return;
    }
    if (!sl_target_endpoint(flow->target->target, f->call.plane)) {
        fail(f, SL_FAILURE_UNKNOWN_OPERATION,
             SL_LIT("This gateway does not serve bedrock-mantle: set upstream.mantle to true."));
        return;
    }
    if (sl_arena_copy(&f->arena, sl_slice_str(sl_target_name(flow->target->target)),
                      &f->target_name) != SL_OK) {
        fail(f, SL_FAILURE_UNAVAILABLE, OUT_OF_MEMORY);
        return;
    }
    f->target = flow->target;
    f->target->flights++;
    f->attempt = sl_attempt_start(f->target->target, &f->call, &attempt_events, f);
    if (!f->attempt) {
        fail(f, SL_FAILURE_UNAVAILABLE, OUT_OF_MEMORY);
        return;
    }
    f->attempts++;
    flow->metrics->attempts++;
    set_state(f, SL_FLIGHT_RUNNING);
}

void sl_flight_expire(struct sl_flight *f) {
    f->flow->metrics->queue_refused++;
    f->queue_ns = f->flow->loop->now - f->ticket.queued_at;
    f->retry_after_ms = 1000;
    fail(f, SL_FAILURE_THROTTLED,
         SL_LIT("The request waited in the gateway's queue for as long as queue.max_wait allows. "
                "Please wait before trying again."));
}

/* ---- policy ---- */

/* A reply that never became one, in the words and the kind that make SDKs do the right thing. */
static void fail_attempt(struct sl_flight *f) {
    struct sl_slice message;
    enum sl_failure kind = SL_FAILURE_UNAVAILABLE;
    const char *cure = "";
    f->flow->metrics->attempts_lost++;
    if (f->result.error == SL_E_DENIED && f->result.phase == SL_FETCH_RESOLVE) {
        kind = SL_FAILURE_DENIED; /* no credentials: trying again does not help */
        cure = " Run `sluice check` on the gateway.";
    } else if (f->result.error == SL_E_DENIED) {
        cure = " The certificate of the upstream endpoint was not accepted: run `sluice check`.";
    }
    const char *what = f->body_error == SL_E_NOMEM ? "The gateway is out of memory for this request"
                       : f->body_error             ? "Bedrock's answer was cut short or malformed"
                                                   : "The gateway could not reach Bedrock";
    if (sl_arena_printf(&f->arena, &message, "%s%s%.*s.%s", what, f->message.len ? ": " : "",
                        SL_FMT(f->message), cure) != SL_OK)
        message = OUT_OF_MEMORY;
    fail(f, kind, message);
}

static bool is_over(const struct sl_flight *f) {
    return f->has_result || f->body_error;
}

static bool is_complete(const struct sl_flight *f) {
    return f->has_result && f->result.error == SL_OK && !f->body_error;
}

/* An exception as the first frame, of a kind that waiting can cure: told with its HTTP status,
 * because SDKs do not retry what fails behind a 200. */
static bool fails_at_first_frame(const struct sl_flight *f) {
    return f->follow.failure && !f->follow.begun && sl_failure_info(f->follow.failure)->transient;
}

static struct sl_slice exception_message(struct sl_flight *f) {
    struct sl_eventstream_message frame;
    struct sl_json_fact fact = {.path = "message"};
    struct sl_json_facts reader;
    struct sl_slice message = SL_LIT("Bedrock refused the stream at its start.");
    if (sl_eventstream_decode(sl_buf_slice(&f->follow.capture), &frame) < 0 ||
        sl_json_facts_init(&reader, &fact, 1, 2048) != SL_OK)
        return message;
    if (sl_json_facts_feed(&reader, frame.payload) == SL_OK && fact.type == SL_FACT_STRING &&
        sl_arena_copy(&f->arena, sl_buf_slice(&fact.text), &message) != SL_OK)
        message = SL_EMPTY;
    sl_json_facts_done(&reader);
    return message;
}

/* Whether the head may be shown: nothing that is still to come can make this attempt a failure
 * unseen. */
static bool may_show(const struct sl_flight *f) {
    if (is_complete(f))
        return true;
    if (f->follow.framing == SL_FRAMING_WHOLE)
        return sl_chain_len(&f->answer.body) > SL_HOLD_MAX;
    return f->follow.begun || f->follow.failure;
}

static void show(struct sl_flight *f) {
    if (is_complete(f))
        f->head.content_length = (int64_t)sl_chain_len(&f->answer.body);
    else if (f->follow.framing != SL_FRAMING_WHOLE)
        f->head.content_length = SL_LENGTH_UNKNOWN; /* an end frame may have to follow */
    sl_answer_set_head(&f->answer, &f->head);
    set_state(f, SL_FLIGHT_FLOWING);
}

/* Upstream died midway: the client is told inside the stream, or its connection is broken. */
static void break_off(struct sl_flight *f) {
    struct sl_buf frame;
    sl_buf_init(&frame, 8192);
    f->flow->metrics->attempts_lost++;
    sl_answer_truncate(&f->answer);
    int err = f->dialect->broken(f->call.operation, f->follow.framing, SL_FAILURE_INTERNAL,
                                 SL_LIT("Bedrock's answer broke off before its end."), &frame);
    if (!err)
        err = sl_answer_add(&f->answer, sl_buf_slice(&frame));
    sl_buf_done(&frame);
    if (err) {
        /* A reader that has not sent its head yet can still say so properly. */
        f->failure = SL_FAILURE_UNAVAILABLE;
        f->message = SL_LIT("Bedrock's answer broke off before its end.");
        sl_answer_break(&f->answer);
    } else {
        sl_answer_finish(&f->answer);
    }
    end(f);
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

static void step_running(struct sl_flight *f) {
    if (f->has_head && !f->body_error)
        set_state(f, SL_FLIGHT_HOLDING);
    else if (is_over(f))
        fail_attempt(f);
}

static void step_holding(struct sl_flight *f) {
    if (fails_at_first_frame(f))
        fail(f, f->follow.failure, exception_message(f));
    else if (may_show(f))
        show(f);
    else if (is_over(f))
        fail_attempt(f);
}

static void step_flowing(struct sl_flight *f) {
    if (is_complete(f)) {
        sl_answer_finish(&f->answer);
        end(f);
        return;
    }
    sl_answer_publish(&f->answer, f->follow.whole);
    if (is_over(f))
        break_off(f);
    else
        regulate(f);
}

/* A client that timed out comes back with the same id within moments: what was paid for waits for
 * it. Only while the answer is whole from its first byte, and only for documents: who leaves a
 * stream does not come back for it. */
static bool may_linger(const struct sl_flight *f) {
    bool dispatched = f->state >= SL_FLIGHT_RUNNING;
    bool streaming = f->state == SL_FLIGHT_FLOWING && f->follow.framing != SL_FRAMING_WHOLE;
    return f->indexed && dispatched && !streaming && !f->delivered && f->answer.body.begin == 0;
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
