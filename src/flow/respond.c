/*
 * The way back of an exchange: from an answer (a flight's, a kept one, one made here) to the
 * client. Bytes pass untouched where the client asked for just what upstream said; else an encoder
 * of its dialect turns them, as they arrive, into `encoded`, from which the front pulls.
 *
 *   answer ─▶ reader ─┬──────────────────────────▶ front     verbatim; behind a break, a tail
 *                     └─▶ encoder ─▶ encoded ────▶ front
 */
#include <assert.h>

#include "flow/internal.h"
#include "sluice/base/mem.h"

/* Slices that are handed to an encoder at once. */
#define PUMP_SLICES 8
/* The buffer they share goes on with this much; one large document does not bloat it for good. */
#define SCRATCH_KEPT (256 * 1024)

/* ---- headers ---- */

static int add_number(struct sl_exchange *x, struct sl_headers *h, struct sl_slice name,
                      uint64_t value) {
    char digits[24];
    struct sl_buf text = {.ptr = digits, .cap = sizeof(digits), .max = sizeof(digits)};
    int err = sl_buf_add_u64(&text, value);
    return err ? err : sl_headers_add_copy(h, &x->arena, name, sl_buf_slice(&text));
}

static int add_money(struct sl_exchange *x, struct sl_headers *h, struct sl_slice name,
                     int64_t nano_usd) {
    char digits[32];
    struct sl_buf text = {.ptr = digits, .cap = sizeof(digits), .max = sizeof(digits)};
    int err = sl_money_print(&text, nano_usd);
    return err ? err : sl_headers_add_copy(h, &x->arena, name, sl_buf_slice(&text));
}

struct sl_slice sl_exchange_cache_word(const struct sl_exchange *x) {
    if (x->kept)
        return SL_LIT("hit");
    if (!x->flight)
        return SL_LIT("bypass");
    if (x->joined)
        return SL_LIT("join");
    return x->flight->cacheable ? SL_LIT("miss") : SL_LIT("bypass");
}

/* The model that served, where it is not the one asked for. */
static struct sl_slice other_model(const struct sl_exchange *x) {
    if (!x->flight)
        return x->served_model;
    return x->flight->route_model.len ? x->flight->route_model : x->flight->call.served_model;
}

/* Cost where it is known now: of documents and of kept answers. */
static int add_cost(struct sl_exchange *x, struct sl_headers *out) {
    const struct sl_flight *f = x->flight;
    int64_t cost = x->kept ? x->kept->meta.cost
                   : f && f->follow.framing == SL_FRAMING_WHOLE && f->answer.state == SL_ANSWER_DONE
                       ? sl_flow_cost(x->flow, f->call.model, &f->follow.usage)
                       : -1;
    if (cost < 0)
        return SL_OK;
    bool shared = x->kept || x->joined;
    int err = add_money(x, out, SL_LIT("x-sluice-cost-usd"), shared ? 0 : cost);
    if (!err && shared)
        err = add_money(x, out, SL_LIT("x-sluice-saved-usd"), cost);
    return err;
}

static int add_age(struct sl_exchange *x, struct sl_headers *out) {
    uint64_t wall = (uint64_t)x->flow->loop->wall_ms, stored = x->kept->meta.stored_at;
    return add_number(x, out, SL_LIT("Age"), wall > stored ? (wall - stored) / 1000 : 0);
}

/* The answer's headers as they are, and Sluice's own behind them. */
static int response_headers(struct sl_exchange *x, const struct sl_headers *from,
                            struct sl_headers *out) {
    const struct sl_flight *f = x->flight;
    out->cap = from->count + 12;
    out->items = sl_arena_calloc(&x->arena, out->cap, sizeof(*out->items));
    if (!out->items)
        return SL_E_NOMEM;
    if (from->count)
        memcpy(out->items, from->items, from->count * sizeof(*from->items));
    out->count = from->count;
    int err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-request-id"), sl_slice_str(x->id));
    if (!err)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-cache"), sl_exchange_cache_word(x));
    if (!err)
        err = add_number(x, out, SL_LIT("x-sluice-queue-ms"), f ? f->queue_ns / SL_NS_PER_MS : 0);
    if (!err)
        err = add_number(x, out, SL_LIT("x-sluice-attempts"), f ? f->attempts : 0);
    if (!err)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-target"),
                             f && f->target_name.len ? f->target_name : SL_LIT("none"));
    if (!err && other_model(x).len > 0)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-model"), other_model(x));
    struct sl_slice edited = f ? f->call.edited : x->edited;
    if (!err && edited.len > 0)
        err = sl_headers_add(out, &x->arena, SL_LIT("x-sluice-edited"), edited);
    if (!err && x->kept)
        err = add_age(x, out);
    return err ? err : add_cost(x, out);
}

static void respond(struct sl_exchange *x, const struct sl_response_head *from) {
    struct sl_response_head head = *from;
    head.headers = (struct sl_headers){0};
    sl_interim_end(x);
    if (response_headers(x, &from->headers, &head.headers) != SL_OK ||
        sl_stream_respond(x->stream, &head) != SL_OK) {
        sl_stream_abort(x->stream);
        return;
    }
    x->status = head.status;
    x->first_byte = x->flow->loop->now;
    sl_exchange_set_state(x, SL_EXCHANGE_SENDING);
}

/* ---- reading ---- */

/* How much of a kept stream may be shown now, where it is replayed at its own pace. */
static uint64_t paced_until(struct sl_exchange *x, uint64_t *next_ms) {
    const struct sl_kept_meta *meta = &x->kept->meta;
    uint64_t elapsed = (x->flow->loop->now - x->started) / SL_NS_PER_MS, upto = 0;
    for (size_t i = 0; i < meta->pace_count; i++) {
        if (meta->pace[i].ms > elapsed) {
            *next_ms = meta->pace[i].ms;
            return upto;
        }
        upto = meta->pace[i].upto;
    }
    return UINT64_MAX;
}

/* Slices of what the reader may have now. */
static size_t readable(struct sl_exchange *x, struct sl_slice *out, size_t max, bool *end) {
    uint64_t next_ms = 0;
    *end = false;
    if (!x->reader.answer)
        return 0;
    size_t count = sl_reader_peek(&x->reader, out, max, end);
    if (!x->kept || x->kept->meta.pace_count == 0 || !x->flow->settings.cache_paced)
        return count;
    uint64_t upto = paced_until(x, &next_ms), at = x->reader.cursor.offset;
    for (size_t i = 0; i < count; i++) {
        if (at + out[i].len <= upto) {
            at += out[i].len;
            continue;
        }
        out[i].len = upto > at ? (size_t)(upto - at) : 0;
        *end = false;
        if (sl_timer_set(x->flow->loop, &x->pace_timer, x->started + next_ms * SL_NS_PER_MS) !=
            SL_OK)
            sl_loop_again(x->flow->loop);
        return out[i].len ? i + 1 : i;
    }
    return count;
}

static void took(struct sl_exchange *x, size_t n) {
    sl_reader_advance(&x->reader, n);
    if (x->flight && x->flight->paused)
        sl_flow_ready_flight(x->flight);
}

static bool is_broken(const struct sl_exchange *x) {
    const struct sl_answer *answer = x->reader.answer;
    return answer && answer->state == SL_ANSWER_BROKEN &&
           x->reader.cursor.offset == answer->published;
}

/* ---- encoding ---- */

static int keep_scratch(struct sl_exchange *x) {
    struct sl_buf *scratch = &x->flow->scratch;
    if (scratch->len > 0 && sl_chain_len(&x->encoded) + scratch->len > SL_ENCODED_MAX)
        return SL_E_LIMIT;
    int err = scratch->len ? sl_chain_add(&x->encoded, sl_buf_slice(scratch)) : SL_OK;
    if (scratch->cap > SCRATCH_KEPT)
        sl_buf_done(scratch);
    else
        sl_buf_clear(scratch);
    return err;
}

/* What tells the client that its answer broke off, in its own API. */
static int encode_break(struct sl_exchange *x) {
    const struct sl_flight *f = x->flight;
    struct sl_buf *scratch = &x->flow->scratch;
    sl_buf_clear(scratch);
    enum sl_failure kind = f && f->failure ? f->failure : SL_FAILURE_INTERNAL;
    struct sl_slice message = f ? f->message : SL_EMPTY;
    int err = x->encoder ? x->encoder->ops->broken(x->encoder, kind, message, scratch)
                         : x->dialect->broken(f ? f->call.operation : SL_OP_NONE,
                                              f ? f->follow.framing : SL_FRAMING_WHOLE, kind,
                                              message, scratch);
    if (!err)
        err = keep_scratch(x);
    x->encoded_all = !err;
    return err;
}

static int encode_some(struct sl_exchange *x, const struct sl_slice *slices, size_t count,
                       bool end) {
    struct sl_buf *scratch = &x->flow->scratch;
    size_t taken = 0;
    int err = SL_OK;
    sl_buf_clear(scratch);
    for (size_t i = 0; !err && i < count; i++) {
        err = x->encoder->ops->feed(x->encoder, slices[i], scratch);
        taken += slices[i].len;
    }
    if (!err && end) {
        err = x->encoder->ops->finish(x->encoder, scratch);
        x->encoded_all = true;
    }
    if (!err)
        err = keep_scratch(x);
    if (taken)
        took(x, taken);
    return err;
}

/* Feeds the encoder while there is something to feed and room for what it makes. */
static int pump(struct sl_exchange *x) {
    struct sl_slice slices[PUMP_SLICES];
    bool end = false;
    int err = SL_OK;
    while (!err && !x->encoded_all &&
           (x->encoder->whole || sl_chain_len(&x->encoded) < SL_ENCODED_WINDOW)) {
        size_t count = readable(x, slices, PUMP_SLICES, &end);
        if (count > 0 || end)
            err = encode_some(x, slices, count, end);
        else if (is_broken(x) && !x->encoder->whole)
            err = encode_break(x);
        else
            break;
    }
    return err;
}

static int make_encoder(struct sl_exchange *x) {
    const struct sl_answer *answer = x->reader.answer;
    struct sl_source source = {.head = &answer->head};
    if (x->kept) {
        source.operation = x->kept->meta.operation;
        source.framing = x->kept->meta.framing;
        source.model = x->kept->meta.model;
    } else {
        source.operation = x->flight->call.operation;
        source.framing = x->flight->follow.framing;
        source.model = x->flight->call.model;
    }
    return x->dialect->encoder(&x->ask, &source, &x->arena, &x->encoder);
}

/* ---- errors of upstream's, in another API's words ---- */

void sl_respond_translated(struct sl_exchange *x, const struct sl_headers *headers, int status,
                           struct sl_slice document) {
    struct sl_json_fact fact = {.path = "message"};
    struct sl_json_facts reader;
    struct sl_slice message = SL_EMPTY;
    enum sl_failure kind = sl_failure_named(sl_headers_get(headers, SL_LIT("x-amzn-errortype")));
    if (sl_json_facts_init(&reader, &fact, 1, 8192) == SL_OK) {
        if (sl_json_facts_feed(&reader, document) == SL_OK && fact.type == SL_FACT_STRING &&
            sl_arena_copy(&x->arena, sl_buf_slice(&fact.text), &message) != SL_OK)
            message = SL_OUT_OF_MEMORY;
        sl_json_facts_done(&reader);
    }
    if (!kind)
        kind = status >= 500 ? SL_FAILURE_INTERNAL : SL_FAILURE_VALIDATION;
    sl_exchange_refuse(x, kind, 0, message, 0);
}

static void translate_error(struct sl_exchange *x) {
    struct sl_answer *answer = x->reader.answer;
    struct sl_slice document;
    if (sl_chain_flatten(&answer->body, SL_HOLD_MAX, &document) != SL_OK)
        document = SL_EMPTY;
    sl_respond_translated(x, &answer->head.headers, answer->head.status, document);
}

/* ---- steps ---- */

static void fail(struct sl_exchange *x, int err) {
    if (x->state == SL_EXCHANGE_SENDING)
        sl_stream_abort(x->stream);
    else if (err == SL_E_NOTFOUND || err == SL_E_PROTOCOL)
        sl_exchange_refuse(x, SL_FAILURE_MODEL_ERROR, 0,
                           SL_LIT("Bedrock's answer has a form that this API cannot be given."), 0);
    else
        sl_exchange_refuse(x, SL_FAILURE_UNAVAILABLE, 0, SL_OUT_OF_MEMORY, 1000);
}

/* A document is complete before any of it is sent. */
static void respond_whole(struct sl_exchange *x) {
    int err = pump(x);
    if (err) {
        fail(x, err);
    } else if (x->encoded_all) {
        x->encoder->head.content_length = (int64_t)sl_chain_len(&x->encoded);
        respond(x, &x->encoder->head);
    } else if (is_broken(x)) {
        sl_exchange_refuse(x, x->flight->failure, 0, x->flight->message, 0);
    }
}

static void begin_response(struct sl_exchange *x) {
    struct sl_answer *answer = x->reader.answer;
    if (x->encoder) {
        respond_whole(x); /* waits for the rest */
        return;
    }
    if (!x->has_local && x->dialect->encoder) {
        bool failed = answer->head.status != 200;
        if (failed && x->dialect != &sl_dialect_bedrock) {
            if (answer->state == SL_ANSWER_DONE)
                translate_error(x);
            return;
        }
        int err = failed ? SL_OK : make_encoder(x);
        if (err) {
            fail(x, err);
            return;
        }
    }
    if (!x->encoder)
        respond(x, &answer->head);
    else if (x->encoder->whole)
        respond_whole(x);
    else
        respond(x, &x->encoder->head);
}

void sl_respond_step_waiting(struct sl_exchange *x) {
    const struct sl_answer *answer = x->reader.answer;
    if (!answer || answer->state == SL_ANSWER_NEW)
        return;
    if (answer->state == SL_ANSWER_BROKEN && (!x->encoder || x->encoder->whole))
        sl_exchange_refuse(x, x->flight->failure, 0, x->flight->message, x->flight->retry_after_ms);
    else
        begin_response(x);
}

/* Streams tell their cost behind the last byte, to those whose protocol has room for it. */
static void add_trailers(struct sl_exchange *x) {
    struct sl_flight *f = x->flight;
    struct sl_headers trailers = {0};
    if (!f || x->has_local || f->follow.framing == SL_FRAMING_WHOLE || x->trailers_given)
        return;
    x->trailers_given = true;
    int64_t cost = sl_flow_cost(x->flow, f->call.model, &f->follow.usage);
    if (cost >= 0 &&
        (add_money(x, &trailers, SL_LIT("x-sluice-cost-usd"), x->joined ? 0 : cost) != SL_OK ||
         sl_stream_trailers(x->stream, &trailers) != SL_OK))
        x->trailers_given = true; /* for want of memory there are none */
}

void sl_respond_step_sending(struct sl_exchange *x) {
    int err = x->encoder ? pump(x) : SL_OK;
    if (err) {
        fail(x, err);
        return;
    }
    if (x->reader.answer && x->reader.answer->state == SL_ANSWER_DONE)
        add_trailers(x);
    sl_stream_wake(x->stream);
}

/* ---- the front pulls ---- */

static size_t peek_encoded(struct sl_exchange *x, struct sl_slice *out, size_t max, bool *end) {
    size_t count = sl_chain_peek(&x->encoded, &x->encoded_cursor, out, max), given = 0;
    for (size_t i = 0; i < count; i++)
        given += out[i].len;
    *end = x->encoded_all && x->encoded_cursor.offset + given == x->encoded.end;
    return count;
}

size_t sl_respond_peek(void *ctx, struct sl_slice *out, size_t max, bool *end) {
    struct sl_exchange *x = ctx;
    *end = false;
    int err = x->encoder ? pump(x) : SL_OK;
    if (!err && !x->encoder && !x->encoded_all) {
        size_t count = readable(x, out, max, end);
        if (count > 0 || *end || !is_broken(x))
            return count;
        err = encode_break(x);
    }
    if (!err)
        return peek_encoded(x, out, max, end);
    sl_stream_abort(x->stream);
    return 0;
}

/* Whether something follows that the last peek did not show: what there was no room to encode, or
 * how the answer broke off. The front takes what it was shown for all there is. */
static bool has_unshown(const struct sl_exchange *x) {
    const struct sl_answer *answer = x->reader.answer;
    if (!answer || x->encoded_all)
        return false;
    if (!x->encoder)
        return is_broken(x);
    return answer->state != SL_ANSWER_GROWING || x->reader.cursor.offset < answer->published;
}

void sl_respond_advance(void *ctx, size_t n) {
    struct sl_exchange *x = ctx;
    x->sent += n;
    if (!x->encoder && !x->encoded_all) {
        took(x, n);
    } else {
        sl_chain_advance(&x->encoded, &x->encoded_cursor, n);
        sl_chain_drop(&x->encoded, x->encoded_cursor.offset);
    }
    if (has_unshown(x))
        sl_flow_ready_exchange(x);
}

void sl_respond_done(struct sl_exchange *x) {
    if (x->encoder)
        x->encoder->ops->free(x->encoder);
    x->encoder = NULL;
    sl_chain_done(&x->encoded);
    x->encoded_cursor = (struct sl_chain_cursor){0};
    x->encoded_all = false; /* an answer made here may follow */
    sl_timer_clear(x->flow->loop, &x->pace_timer);
}
