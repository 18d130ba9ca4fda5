/*
 * Exchanges: one client request and its response each. The front's callbacks record; the step
 * decides. Every response is read from an answer: a flight's, or one made here (errors, /health).
 */
#include <assert.h>
#include <stdio.h>

#include "flow/internal.h"
#include "sluice/base/slab.h"

#define MEMORY_IN_USE  SL_LIT("The gateway's memory (memory.max) is in use. Please try again.")
#define EXCHANGE_MAGIC 0x65786331u /* "exc1" */
/* Body bytes are only asked for while this much is free: what one more read of a connection brings,
 * in the chunks it takes. */
#define BODY_HEADROOM (4 * SL_CHUNK_LARGE)

static _Thread_local struct sl_slab slab = {.size = sizeof(struct sl_exchange), .keep = 256};

void sl_exchange_set_state(struct sl_exchange *x, enum sl_exchange_state to) {
    static const unsigned char legal[SL_EXCHANGE_STATES][SL_EXCHANGE_STATES] = {
        [SL_EXCHANGE_RECEIVING] = {[SL_EXCHANGE_WAITING] = 1, [SL_EXCHANGE_CLOSED] = 1},
        [SL_EXCHANGE_WAITING] = {[SL_EXCHANGE_SENDING] = 1, [SL_EXCHANGE_CLOSED] = 1},
        [SL_EXCHANGE_SENDING] = {[SL_EXCHANGE_CLOSED] = 1},
    };
    assert(x->magic == EXCHANGE_MAGIC && legal[x->state][to]);
    x->state = to;
}

static void on_answer_change(void *ctx) {
    sl_flow_ready_exchange(ctx);
}

struct sl_client *sl_exchange_client(const struct sl_exchange *x) {
    return x->proof.client ? x->proof.client : sl_client_everybody();
}

static void leave_flight(struct sl_exchange *x) {
    struct sl_flight *f = x->flight;
    sl_reader_detach(&x->reader);
    x->flight = NULL;
    if (!f)
        return;
    if (f->state == SL_FLIGHT_FORMING)
        sl_flight_drop(f);
    else {
        sl_flight_reconsider(f);
        sl_flow_ready_flight(f);
    }
}

/* What a client is told of its call outlives the flight that it does not need. */
static struct sl_slice keep_text(struct sl_exchange *x, struct sl_slice text) {
    struct sl_slice copy;
    return sl_arena_copy(&x->arena, text, &copy) == SL_OK ? copy : SL_EMPTY;
}

static void remember_flight(struct sl_exchange *x) {
    const struct sl_flight *f = x->flight;
    if (!f || f->state == SL_FLIGHT_FORMING)
        return;
    x->past.called = true;
    x->past.model = keep_text(x, f->call.model);
    x->past.target = keep_text(x, f->target_name);
    x->past.operation = f->call.operation;
    x->past.attempts = f->attempts;
    x->past.queue_ns = f->queue_ns;
    x->past.estimated = f->estimated;
}

static void leave_answer(struct sl_exchange *x) {
    remember_flight(x);
    leave_flight(x);
    sl_kept_release(x->kept);
    x->kept = NULL;
    sl_gather_leave(x);
    sl_interim_end(x);
    sl_timer_clear(x->flow->loop, &x->deadline_timer);
}

/* ---- answers made here ---- */

static int fill_local(struct sl_exchange *x, const struct sl_response_head *head,
                      struct sl_slice body) {
    /* Not charged: an error must be told when memory.max is used up, too. At most 16 KB an
     * exchange. */
    sl_answer_init(&x->local, &x->arena, NULL);
    int err = sl_answer_add(&x->local, body);
    if (err) {
        sl_answer_done(&x->local);
        return err;
    }
    sl_answer_set_head(&x->local, head);
    sl_answer_finish(&x->local);
    return SL_OK;
}

/* Without memory even for an error's text, the client's connection is broken, and the exchange
 * stays as it is until it is closed. */
void sl_exchange_answer(struct sl_exchange *x, const struct sl_response_head *head,
                        struct sl_slice body) {
    if (fill_local(x, head, body) != SL_OK) {
        sl_stream_abort(x->stream);
        return;
    }
    leave_answer(x);
    sl_respond_done(x);
    sl_decode_done(&x->decode);
    x->has_local = true;
    bool attached = sl_reader_attach(&x->reader, &x->local);
    assert(attached);
    (void)attached;
    if (x->state == SL_EXCHANGE_RECEIVING)
        sl_exchange_set_state(x, SL_EXCHANGE_WAITING);
    sl_flow_ready_exchange(x);
}

static int add_retry_after(struct sl_exchange *x, struct sl_headers *headers, uint64_t ms) {
    struct sl_slice seconds, millis;
    int err = sl_arena_printf(&x->arena, &seconds, "%llu", (unsigned long long)((ms + 999) / 1000));
    if (!err)
        err = sl_arena_printf(&x->arena, &millis, "%llu", (unsigned long long)ms);
    if (!err)
        err = sl_headers_add(headers, &x->arena, SL_LIT("Retry-After"), seconds);
    return err ? err : sl_headers_add(headers, &x->arena, SL_LIT("x-amz-retry-after"), millis);
}

void sl_exchange_refuse(struct sl_exchange *x, enum sl_failure kind, int status,
                        struct sl_slice message, uint64_t retry_after_ms) {
    struct sl_response_head head = {.content_length = SL_LENGTH_UNKNOWN};
    struct sl_buf body;
    sl_buf_init(&body, 16384);
    head.status = status               ? status
                  : x->dialect->status ? x->dialect->status(kind)
                                       : sl_failure_info(kind)->status;
    int err = x->dialect->error(&x->arena, x->id, kind, message, &head.headers, &body);
    if (!err && retry_after_ms)
        err = add_retry_after(x, &head.headers, retry_after_ms);
    head.content_length = (int64_t)body.len;
    if (err)
        sl_stream_abort(x->stream);
    else
        sl_exchange_answer(x, &head, sl_buf_slice(&body));
    sl_buf_done(&body);
}

static bool is_health(const struct sl_request_head *head) {
    return (sl_slice_eq(head->method, SL_LIT("GET")) ||
            sl_slice_eq(head->method, SL_LIT("HEAD"))) &&
           sl_slice_eq(sl_target_path(head->target), SL_LIT("/health"));
}

static void answer_health(struct sl_exchange *x) {
    static const struct sl_slice body = SL_LIT("{\"status\":\"ok\",\"service\":\"sluice\"}");
    struct sl_response_head head = {.status = 200, .content_length = (int64_t)body.len};
    if (sl_headers_add(&head.headers, &x->arena, SL_LIT("Content-Type"),
                       SL_LIT("application/json")) != SL_OK)
        sl_stream_abort(x->stream);
    else
        sl_exchange_answer(x, &head, body);
}

/* ---- request ---- */

/* This client waits no longer; others may read on. */
static void on_deadline(void *ctx) {
    struct sl_exchange *x = ctx;
    sl_flow_ready_exchange(x);
}

/* The flight that it still waits to be dispatched although its time is up. */
static const struct sl_flight *overdue(const struct sl_exchange *x) {
    const struct sl_flight *f = x->gather ? sl_gather_queued(x->gather) : x->flight;
    bool waits = !x->has_local && f && f->state == SL_FLIGHT_QUEUED;
    return waits && x->flow->loop->now >= x->deadline ? f : NULL;
}

static void refuse_overdue(struct sl_exchange *x, const struct sl_flight *f) {
    struct sl_slice message;
    f->flow->metrics->queue_refused++;
    struct sl_refusal why = sl_flight_shortage(f, x->priority);
    uint64_t retry_after_ms = sl_refusal_tell(&why, &x->arena, &message);
    sl_exchange_refuse(x, SL_FAILURE_THROTTLED, 0, message, retry_after_ms);
}

static struct sl_exchange *new_exchange(struct sl_flow *flow, struct sl_stream *stream,
                                        const struct sl_request_head *head) {
    struct sl_exchange *x = sl_slab_take(&slab);
    if (!x)
        return NULL;
    memset(x, 0, sizeof(*x));
    x->magic = EXCHANGE_MAGIC;
    x->flow = flow;
    x->stream = stream;
    x->request = head;
    x->started = flow->loop->now;
    x->usage = SL_USAGE_UNKNOWN;
    x->dialect = sl_dialect_for(head);
    sl_rand_uuid(x->id);
    sl_arena_init(&x->arena, SL_EXCHANGE_ARENA_MAX);
    x->ask.id = x->id;
    x->ask.created = (uint64_t)(flow->loop->wall_ms / 1000);
    x->deadline = SL_NEVER;
    sl_reader_init(&x->reader, on_answer_change, x);
    sl_chain_init(&x->encoded, &flow->memory);
    sl_timer_init(&x->deadline_timer, on_deadline, x);
    sl_timer_init(&x->pace_timer, on_answer_change, x);
    sl_list_init(&x->waiting_link);
    sl_list_init(&x->ready_link);
    sl_list_init(&x->paused_link);
    sl_list_push_back(&flow->exchanges, &x->link);
    return x;
}

/* What stands against a request before any of it is decoded; true when it has been answered. */
static bool answer_early(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    if (flow->settings.guard_hosts &&
        !sl_guard_allows(x->request, flow->settings.hosts, flow->settings.host_count)) {
        sl_exchange_refuse(
            x, SL_FAILURE_DENIED, 0,
            SL_LIT("This gateway asks for no key, so it answers only to an IP address, "
                   "localhost, or a name listed "
                   "under `hosts`, and to no web page of another origin."),
            0);
        return true;
    }
    if (is_health(x->request)) {
        answer_health(x);
        return true;
    }
    if (flow->draining) {
        sl_stream_close_connection_after(x->stream);
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0,
                           SL_LIT("The gateway is stopping. Please try again."), 1000);
        return true;
    }
    return false;
}

/*
 * Whether more of the body may be read. A body whose length is known prepays for all of it before
 * its first byte is read: half-read bodies that wait for each other's memory cannot come about.
 */
static bool has_memory(struct sl_exchange *x) {
    struct sl_budget *budget = &x->flight->body_budget;
    int64_t length = x->request->content_length;
    if (length == SL_LENGTH_UNKNOWN)
        return sl_budget_fits(budget, BODY_HEADROOM);
    return budget->prepaid > 0 || sl_budget_prepay(budget, sl_chain_most((size_t)length));
}

/* Reads no more of the body until there is memory for it. */
static void pause_body(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    if (x->body_paused)
        return;
    x->body_paused = true;
    x->paused_until = flow->loop->now + flow->settings.body_wait_ns;
    sl_stream_pause_body(x->stream);
    sl_list_push_back(&flow->paused, &x->paused_link);
    sl_loop_want(flow->loop, SL_TURN_FLOW);
}

static void unpause_body(struct sl_exchange *x) {
    sl_list_remove(&x->paused_link);
    x->body_paused = false;
    sl_stream_resume_body(x->stream);
}

void sl_exchange_resume_body(struct sl_exchange *x) {
    if (x->state != SL_EXCHANGE_RECEIVING || has_memory(x)) {
        unpause_body(x);
    } else if (x->flow->loop->now >= x->paused_until) {
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, MEMORY_IN_USE, 1000);
        unpause_body(x); /* what still comes is thrown away */
    }
}

/* Pages that explain the gateway: read by people in a browser, which shows no key. */
static bool is_open_page(const struct sl_request_head *head) {
    struct sl_slice path = sl_target_path(head->target);
    return sl_slice_eq(head->method, SL_LIT("GET")) &&
           (sl_slice_eq(path, SL_LIT("/docs")) || sl_slice_eq(path, SL_LIT("/openapi.json")));
}

/* Who it is. False when it has been refused. */
static bool identify(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    const struct sl_conn_info *conn = sl_stream_conn(x->stream);
    if (!flow->settings.keys || is_open_page(x->request))
        return true;
    int known = sl_proof_head(flow->settings.keys, &x->proof, &flow->settings.verify, x->request,
                              sl_slice_str(conn->subject), sl_slice_str(conn->peer), &x->arena,
                              flow->loop->now, (uint64_t)flow->loop->wall_ms / 1000);
    x->stranger = known == SL_E_AGAIN;
    if (x->stranger)
        sl_sha256_init(&x->received_hash);
    if (known == SL_OK || x->stranger)
        return true;
    if (known == SL_E_DENIED)
        sl_exchange_refuse(x, x->proof.failure, 0, x->proof.message, 0);
    else
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
    return false;
}

static void begin_call(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    if (!identify(x))
        return;
    x->flight = sl_flight_new(flow, x->dialect, x->stranger ? &flow->strangers : &flow->bodies);
    if (!x->flight) {
        sl_stream_abort(x->stream);
        return;
    }
    x->flight->client = x->stranger ? sl_proof_claimed(&x->proof) : sl_exchange_client(x);
    sl_keys_hold(x->flight->client);
    x->has_grants = !x->flight->client->unlimited;
    if (x->has_grants)
        sl_grants_begin(&x->grants, x->flight->client->s3_prefix);
    x->decode = (struct sl_decode){.dialect = x->dialect,
                                   .settings = &flow->settings.dialect,
                                   .arena = &x->flight->arena,
                                   .call = &x->flight->call,
                                   .ask_arena = &x->arena,
                                   .ask = &x->ask,
                                   .tenant = x->flight->client->tenant};
    x->begun = true;
    if (x->dialect->begin(&x->decode, x->request) != SL_OK)
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
    else if (x->decode.failure)
        sl_flow_ready_exchange(x);
    else if (x->request->content_length != 0 && !has_memory(x))
        pause_body(x);
}

static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *head) {
    struct sl_exchange *x = new_exchange(server, stream, head);
    if (x && !answer_early(x))
        begin_call(x);
    return x;
}

static enum sl_failure failure_for_status(int status) {
    if (status == 413)
        return SL_FAILURE_TOO_LARGE;
    return status >= 500 ? SL_FAILURE_UNAVAILABLE : SL_FAILURE_VALIDATION;
}

static void *on_malformed(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why) {
    static const struct sl_request_head nothing = {.content_length = SL_LENGTH_UNKNOWN};
    struct sl_exchange *x = new_exchange(server, stream, head ? head : &nothing);
    if (x)
        sl_exchange_refuse(x, failure_for_status(status), status, sl_slice_str(why), 0);
    return x;
}

static void on_fault(void *ctx, int status, const char *why) {
    struct sl_exchange *x = ctx;
    if (x->state == SL_EXCHANGE_RECEIVING)
        sl_exchange_refuse(x, failure_for_status(status), status, sl_slice_str(why), 0);
}

static void on_body(void *ctx, struct sl_slice bytes) {
    struct sl_exchange *x = ctx;
    x->received += bytes.len;
    if (x->state != SL_EXCHANGE_RECEIVING)
        return; /* answered already: the rest is of no interest */
    if (x->stranger)
        sl_sha256_update(&x->received_hash, bytes); /* to its end, whatever it says */
    if (x->decode.failure)
        return;
    if (x->has_grants)
        sl_grants_feed(&x->grants, bytes);
    if (x->dialect->body(&x->decode, bytes) != SL_OK) {
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, MEMORY_IN_USE, 1000);
        return;
    }
    if (!has_memory(x))
        pause_body(x);
}

static void on_body_end(void *ctx) {
    struct sl_exchange *x = ctx;
    x->body_over = true;
    if (x->state == SL_EXCHANGE_RECEIVING)
        sl_flow_ready_exchange(x);
}

/* ---- the end ---- */

static void on_close(void *ctx, enum sl_close_reason reason) {
    struct sl_exchange *x = ctx;
    if (x->flight && x->flight->state != SL_FLIGHT_FORMING)
        x->usage = x->flight->follow.usage;
    if (x->flight && reason == SL_CLOSE_DONE)
        x->flight->delivered = true;
    if (x->kept)
        x->usage = x->kept->meta.usage;
    sl_exchange_log(x, reason);
    leave_answer(x);
    sl_respond_done(x);
    x->stream = NULL;
    x->request = NULL;
    sl_exchange_set_state(x, SL_EXCHANGE_CLOSED);
    sl_list_remove(&x->ready_link);
    sl_list_remove(&x->paused_link);
    sl_list_remove(&x->link);
    sl_list_push_back(&x->flow->dead_exchanges, &x->link);
}

void sl_exchange_free(struct sl_exchange *x) {
    assert(x->state == SL_EXCHANGE_CLOSED);
    sl_list_remove(&x->link);
    sl_decode_done(&x->decode);
    sl_gather_free(x);
    if (x->begun && x->dialect->ended)
        x->dialect->ended(&x->ask);
    sl_proof_done(&x->proof);
    if (x->has_grants)
        sl_grants_done(&x->grants);
    if (x->has_local)
        sl_answer_done(&x->local);
    sl_arena_done(&x->arena);
    x->magic = 0;
    sl_slab_give(&slab, x);
}

/* ---- steps ---- */

/* The signature covers the body, which is in now. */
static bool verify_at_body(struct sl_exchange *x) {
    struct sl_flow *flow = x->flow;
    uint8_t hash[SL_SHA256_SIZE];
    if (!x->stranger)
        return true;
    sl_sha256_final(&x->received_hash, hash);
    int err = sl_proof_body(flow->settings.keys, &x->proof, &flow->settings.verify, x->request,
                            hash, sl_slice_str(sl_stream_conn(x->stream)->peer), &x->arena,
                            flow->loop->now, (uint64_t)flow->loop->wall_ms / 1000);
    if (err) {
        bool denied = err == SL_E_DENIED;
        sl_exchange_refuse(x, denied ? x->proof.failure : SL_FAILURE_UNAVAILABLE, 0,
                           denied ? x->proof.message : SL_OUT_OF_MEMORY, 0);
        return false;
    }
    x->stranger = false;
    sl_keys_release(x->flight->client); /* what the head said it was; now it is known */
    x->flight->client = sl_exchange_client(x);
    sl_keys_hold(x->flight->client);
    if (sl_budget_move(&x->flight->body_budget, &flow->bodies))
        return true;
    sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, MEMORY_IN_USE, 1000);
    return false;
}

/* Whether this client may make this call; false when it has been refused. */
static bool permit(struct sl_exchange *x) {
    struct sl_slice why = sl_grants_refusal(x);
    if (why.len > 0)
        sl_exchange_refuse(x, SL_FAILURE_DENIED, 0, why, 0);
    else if (x->has_grants && x->grants.unreadable)
        sl_exchange_refuse(x, SL_FAILURE_VALIDATION, 0,
                           SL_LIT("Malformed input request: the body is no JSON that can be "
                                  "checked, please reformat your input and try again."),
                           0);
    else
        return true;
    return false;
}

/* What the client wishes of its wait; it may ask for less than its key has, never for more. */
static void take_wishes(struct sl_exchange *x) {
    struct sl_call *call = &x->flight->call;
    const struct sl_client *client = x->flight->client;
    enum sl_class usual = client->unlimited ? x->flow->settings.usual_class : client->priority;
    if (call->priority == SL_CLASS_COUNT)
        call->priority = usual;
    else if (!client->unlimited && call->priority < client->priority)
        call->priority = client->priority;
    x->priority = call->priority;
    uint64_t wait_ns, deadline;
    if (call->timeout_ms > 0 && !__builtin_mul_overflow(call->timeout_ms, SL_NS_PER_MS, &wait_ns) &&
        !__builtin_add_overflow(x->started, wait_ns, &deadline) &&
        sl_timer_set(x->flow->loop, &x->deadline_timer, deadline) == SL_OK)
        x->deadline = deadline; /* else, with no timer to be had, the queue's own bound holds */
}

static void read_answer(struct sl_exchange *x, struct sl_answer *answer) {
    bool attached = sl_reader_attach(&x->reader, answer);
    assert(attached);
    (void)attached;
    sl_exchange_set_state(x, SL_EXCHANGE_WAITING);
}

void sl_kept_used(struct sl_flow *flow, struct sl_kept *kept) {
    struct sl_metrics *m = flow->metrics;
    sl_kept_hold(kept);
    m->hits++; /* the entry's own are counted as it is found */
    if (kept->meta.cost > 0)
        m->saved_nano_usd += (uint64_t)kept->meta.cost;
    sl_metrics_add_saved(m, &kept->meta.usage);
}

static void serve_kept(struct sl_exchange *x, struct sl_kept *kept) {
    x->served_model = keep_text(x, x->flight->call.served_model);
    x->edited = keep_text(x, x->flight->call.edited);
    sl_flight_drop(x->flight);
    x->flight = NULL;
    x->kept = kept;
    sl_kept_used(x->flow, kept);
    read_answer(x, &kept->answer);
}

static void join(struct sl_exchange *x, struct sl_flight *other) {
    x->flow->metrics->joins++;
    sl_timer_clear(x->flow->loop, &other->linger);
    sl_flight_drop(x->flight);
    x->flight = other;
    x->joined = true;
    read_answer(x, &other->answer);
    sl_flight_reconsider(other);
}

static void submit(struct sl_exchange *x) {
    struct sl_flight *mine = x->flight, *other;
    struct sl_kept *kept;
    bool refused;
    other = sl_sharing_find(mine, &kept, &refused);
    if (refused) {
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 504,
                           SL_LIT("This answer is not in the cache (only-if-cached)."), 0);
        return;
    }
    sl_decode_done(&x->decode);
    sl_interim_begin(x);
    if (kept) {
        serve_kept(x, kept);
    } else if (other) {
        join(x, other);
    } else {
        sl_flight_submit(mine, x->deadline);
        sl_sharing_offer(mine);
        read_answer(x, &mine->answer);
    }
}

/* The call is for the model that is to serve it: a successor, or what a name from the configuration
 * stands for in a native path. */
static int resolve_model(struct sl_exchange *x) {
    const struct sl_dialect_settings *settings = &x->flow->settings.dialect;
    struct sl_call *call = &x->flight->call;
    if (call->served_model.len > 0) {
        /* Withdrawn: the path names its successor already, whose quota and price count. */
        x->flow->metrics->retired++;
        sl_flow_log_retired(x->flow, call);
        call->model = call->served_model;
    }
    x->flight->path_model = call->model;
    if (!settings->alias || call->model.len == 0 || !sl_call_names_model_in_path(call))
        return SL_OK;
    struct sl_slice model = settings->alias(settings->alias_ctx, call->model);
    return model.len ? sl_arena_copy(&x->flight->arena, model, &call->model) : SL_OK;
}

static void start(struct sl_exchange *x) {
    take_wishes(x);
    if (x->decode.parts > 0)
        sl_gather_start(x);
    else
        submit(x);
}

/* Answered by the dialect itself, without upstream. */
static bool answer_by_dialect(struct sl_exchange *x) {
    struct sl_response_head head = {.status = 200, .content_length = SL_LENGTH_UNKNOWN};
    struct sl_buf body;
    if (!x->dialect->local)
        return false;
    sl_buf_init(&body, 1 << 20);
    bool local = x->dialect->local(&x->decode, &head, &body);
    head.content_length = (int64_t)body.len;
    if (local)
        sl_exchange_answer(x, &head, sl_buf_slice(&body));
    sl_buf_done(&body);
    return local;
}

static void step_receiving(struct sl_exchange *x) {
    if (x->decode.failure && !x->stranger) {
        sl_exchange_refuse(x, x->decode.failure, 0, x->decode.message, 0);
        return;
    }
    if (!x->body_over || !verify_at_body(x))
        return;
    if (!x->decode.failure && x->dialect->finish(&x->decode) != SL_OK)
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
    else if (x->decode.failure)
        sl_exchange_refuse(x, x->decode.failure, 0, x->decode.message, 0);
    else if (answer_by_dialect(x))
        return;
    else if (resolve_model(x) != SL_OK)
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
    else if (permit(x))
        start(x);
}

static void step_waiting(struct sl_exchange *x) {
    const struct sl_flight *late = overdue(x);
    if (late)
        refuse_overdue(x, late);
    if (x->gather && !x->has_local)
        sl_gather_step(x);
    else
        sl_respond_step_waiting(x);
}

typedef void (*step_fn)(struct sl_exchange *);
static const step_fn steps[SL_EXCHANGE_STATES] = {
    [SL_EXCHANGE_RECEIVING] = step_receiving,
    [SL_EXCHANGE_WAITING] = step_waiting,
    [SL_EXCHANGE_SENDING] = sl_respond_step_sending,
};

void sl_exchange_step(struct sl_exchange *x) {
    enum sl_exchange_state before;
    do {
        before = x->state;
        if (steps[before])
            steps[before](x);
    } while (x->state != before);
}

const struct sl_front_handler *sl_flow_front_handler(void) {
    static const struct sl_front_handler handler = {
        .on_request = on_request,
        .on_malformed = on_malformed,
        .on_body = on_body,
        .on_body_end = on_body_end,
        .on_fault = on_fault,
        .peek = sl_respond_peek,
        .advance = sl_respond_advance,
        .on_close = on_close,
    };
    return &handler;
}
