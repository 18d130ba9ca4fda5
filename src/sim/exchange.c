#include "sim/exchange.h"

#include "sluice/base/mem.h"

#define MAX_ARENA   2097152
#define MAX_OUT     8388608 /* the largest batch of embeddings is 2 MB */
#define SCAN_BEHIND 65536   /* smaller bodies are read in one go at their end */

static void refuse_nomem(struct sl_sim_exchange *x) {
    sl_sim_refuse(&x->no, SL_FAILURE_UNAVAILABLE, "Bedrock is unable to process your request.");
}

/* Turns an error that is no refusal into one. */
static void refuse_error(struct sl_sim_exchange *x, int error) {
    if (error && !x->no.kind)
        refuse_nomem(x);
}

static struct sl_sim_exchange *exchange_new(struct sl_sim *sim, struct sl_stream *stream,
                                            const struct sl_request_head *head) {
    struct sl_sim_exchange *x = sl_calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->sim = sim;
    x->stream = stream;
    x->head = *head;
    x->began = sim->loop->now;
    x->wall_ms = sim->loop->wall_ms;
    x->no.arena = &x->arena;
    sl_arena_init(&x->arena, MAX_ARENA);
    sl_chain_init(&x->body, &sim->bodies);
    sl_sha256_init(&x->hash);
    sl_sim_scan_init(&x->scan);
    sl_timer_init(&x->timer, sl_sim_deliver_fire, x);
    sl_sim_out_init(&x->answer.out, MAX_OUT);
    sl_rand_uuid(x->request_id);
    refuse_error(
        x, sl_sim_route_find(head->method, sl_target_path(head->target), &x->arena, &x->route));
    sim->stats.requests[x->route.op]++;
    return x;
}

/* A bidirectional stream is refused at its head: its body would not end before an answer came. */
static void refuse_bidirectional(struct sl_sim_exchange *x) {
    if (x->auth.signature_due)
        refuse_error(
            x, sl_sim_auth_body(&x->auth, &x->sim->settings, &x->head, &x->sim->key, NULL, &x->no));
    if (!x->no.kind)
        refuse_error(x, sl_sim_serve(x));
    sl_sim_deliver_refusal(x);
}

static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *head) {
    struct sl_sim *sim = server;
    struct sl_sim_exchange *x = exchange_new(sim, stream, head);
    if (x && !x->no.kind && x->route.services)
        refuse_error(x, sl_sim_auth_head(&x->auth, &sim->settings, head, x->route.services,
                                         x->wall_ms, &x->no));
    if (x && x->route.op == SL_SIM_OP_INVOKE_BIDIRECTIONAL)
        refuse_bidirectional(x);
    return x;
}

/* Refuses by a rule of HTTP, with its own status, in the shape of the API. */
static void refuse_http(struct sl_sim_exchange *x, int status, const char *why) {
    sl_sim_refuse(&x->no, status == 413 ? SL_FAILURE_TOO_LARGE : SL_FAILURE_VALIDATION, "%s", why);
    x->http_status = status;
    sl_sim_deliver_refusal(x);
}

static void *on_malformed(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why) {
    struct sl_sim_exchange *x = exchange_new(server, stream, head);
    if (x)
        refuse_http(x, status, why);
    return x;
}

/* Feeds the scan with what it has not seen. */
static void scan_on(struct sl_sim_exchange *x) {
    struct sl_slice piece;
    while (!x->scan_error && sl_chain_peek(&x->body, &x->scanned, &piece, 1) == 1) {
        x->scan_error = sl_sim_scan_feed(&x->scan, piece);
        sl_chain_advance(&x->body, &x->scanned, piece.len);
    }
}

static void on_body(void *ctx, struct sl_slice bytes) {
    struct sl_sim_exchange *x = ctx;
    if (x->no.kind) /* read and forgotten, so that the refusal can be sent */
        return;
    if (sl_chain_add(&x->body, bytes) != 0) {
        sl_chain_done(&x->body);
        refuse_nomem(x);
        return;
    }
    sl_sha256_update(&x->hash, bytes);
    if (sl_chain_len(&x->body) > SCAN_BEHIND)
        scan_on(x);
}

/* The fault that this request asks for, or that is its lot. */
static int find_fault(struct sl_sim_exchange *x) {
    struct sl_slice wish = sl_headers_get(&x->head.headers, SL_LIT("x-simulator-fault"));
    if (!x->route.services)
        return 0;
    x->fault = sl_sim_faults_next(&x->sim->faults);
    if (wish.len && sl_sim_fault_parse(wish, &x->fault) != 0)
        return sl_sim_refuse(&x->no, SL_FAILURE_VALIDATION, "x-simulator-fault: unknown kind %.*s",
                             SL_FMT(sl_slice_head(wish, 64)));
    x->sim->stats.faults += x->fault.place != SL_SIM_FAULT_NONE;
    if (x->fault.place == SL_SIM_FAULT_REFUSE)
        return sl_sim_refuse(&x->no, x->fault.kind, "%s", x->fault.message);
    return 0;
}

static int examine(struct sl_sim_exchange *x) {
    uint8_t digest[SL_SHA256_SIZE];
    int error = 0;
    sl_sha256_final(&x->hash, digest);
    if (x->auth.signature_due)
        error =
            sl_sim_auth_body(&x->auth, &x->sim->settings, &x->head, &x->sim->key, digest, &x->no);
    if (!error)
        error = find_fault(x);
    if (error || x->fault.place == SL_SIM_FAULT_STALL || x->fault.place == SL_SIM_FAULT_RESET)
        return error;
    scan_on(x);
    if (!x->scan_error)
        x->scan_error = sl_sim_scan_finish(&x->scan);
    return sl_sim_serve(x);
}

static void on_body_end(void *ctx) {
    struct sl_sim_exchange *x = ctx;
    if (x->state != SL_SIM_READING)
        return;
    if (!x->no.kind)
        refuse_error(x, examine(x));
    sl_chain_done(&x->body);
    if (x->no.kind)
        sl_sim_deliver_refusal(x);
    else
        sl_sim_deliver(x);
}

static void on_fault(void *ctx, int status, const char *why) {
    struct sl_sim_exchange *x = ctx;
    if (!sl_stream_responded(x->stream) && x->state == SL_SIM_READING)
        refuse_http(x, status, why);
}

void sl_sim_exchange_settle(struct sl_sim_exchange *x) {
    struct sl_sim *sim = x->sim;
    if (x->counted)
        sim->stats.in_flight--;
    x->counted = false;
    if (!x->reservation.open)
        return;
    bool partial = x->answer.shape && x->answer.walk.next != SL_SIM_STEP_DONE;
    const struct sl_usage *u = &x->plan.usage;
    uint64_t output = partial ? sl_sim_tokens_of(x->answer.walk.bytes) : (uint64_t)u->output;
    uint64_t tokens =
        (uint64_t)(u->input + u->cache_write) + output * (uint64_t)x->target.model->burndown;
    sl_sim_quotas_settle(sim->quotas, &x->reservation, tokens, sim->loop->now,
                         (uint64_t)sim->loop->wall_ms * SL_NS_PER_MS);
    sim->stats.input_tokens += (uint64_t)(u->input + u->cache_read + u->cache_write);
    sim->stats.output_tokens += output;
}

static void on_close(void *ctx, enum sl_close_reason reason) {
    struct sl_sim_exchange *x = ctx;
    sl_sim_exchange_settle(x);
    if (reason == SL_CLOSE_DONE)
        x->sim->stats.completed++;
    else
        x->sim->stats.abandoned++;
    sl_timer_clear(x->sim->loop, &x->timer);
    if (x->answer.shape)
        sl_sim_emitter_done(&x->answer.emitter);
    sl_sim_out_done(&x->answer.out);
    sl_chain_done(&x->body);
    sl_arena_done(&x->arena);
    sl_free(x);
}

const struct sl_front_handler sl_sim_handler = {
    .on_request = on_request,
    .on_malformed = on_malformed,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_fault = on_fault,
    .peek = sl_sim_deliver_peek,
    .advance = sl_sim_deliver_advance,
    .on_close = on_close,
};
