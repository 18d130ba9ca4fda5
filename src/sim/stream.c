#include "sim/stream.h"

#include "sluice/wire/eventstream.h"
#include "sluice/wire/sse.h"

#define MAX_FRAME 1048576
#define MAX_EVENT 524288

/* ---- The walk --------------------------------------------------------------------- */

void sl_sim_walk_init(struct sl_sim_walk *walk, const struct sl_sim_plan *plan) {
    *walk = (struct sl_sim_walk){.plan = plan, .next = SL_SIM_STEP_START};
}

bool sl_sim_walk_midway(const struct sl_sim_walk *walk) {
    return walk->bytes * 2 >= walk->plan->bytes && walk->next > SL_SIM_STEP_BLOCK;
}

/* One to three words, or 16 bytes of a tool's input: real streams are uneven too. */
static size_t piece_length(const struct sl_sim_block *block, size_t offset) {
    struct sl_slice rest = sl_slice_skip(block->text, offset);
    if (block->kind == SL_SIM_BLOCK_TOOL)
        return rest.len < 16 ? rest.len : 16;
    size_t words = 1 + sl_sim_mix(offset) % 3, at = 0;
    while (words-- && at < rest.len) {
        at++; /* the space that begins a word */
        at += sl_slice_find(sl_slice_skip(rest, at), ' ');
    }
    return at;
}

static void give_delta(struct sl_sim_walk *walk, struct sl_sim_step *out) {
    const struct sl_sim_block *block = out->block;
    size_t len = piece_length(block, walk->offset);
    out->piece = sl_slice_head(sl_slice_skip(block->text, walk->offset), len);
    out->first = !walk->begun;
    walk->begun = true;
    walk->offset += len;
    walk->bytes += len;
    out->tokens = sl_sim_tokens_of(walk->bytes);
    if (walk->offset == block->text.len)
        walk->next = SL_SIM_STEP_BLOCK_END;
}

void sl_sim_walk_next(struct sl_sim_walk *walk, struct sl_sim_step *out) {
    const struct sl_sim_plan *plan = walk->plan;
    *out =
        (struct sl_sim_step){.kind = walk->next,
                             .index = walk->index,
                             .block = walk->index < plan->count ? &plan->blocks[walk->index] : NULL,
                             .piece = SL_EMPTY,
                             .tokens = sl_sim_tokens_of(walk->bytes)};
    switch (walk->next) {
    case SL_SIM_STEP_START:
        walk->next = plan->count ? SL_SIM_STEP_BLOCK : SL_SIM_STEP_STOP;
        break;
    case SL_SIM_STEP_BLOCK:
        walk->next = out->block->text.len ? SL_SIM_STEP_DELTA : SL_SIM_STEP_BLOCK_END;
        break;
    case SL_SIM_STEP_DELTA:
        give_delta(walk, out);
        break;
    case SL_SIM_STEP_BLOCK_END:
        walk->index++;
        walk->offset = 0;
        walk->next = walk->index < plan->count ? SL_SIM_STEP_BLOCK : SL_SIM_STEP_STOP;
        break;
    case SL_SIM_STEP_STOP:
        walk->next = SL_SIM_STEP_END;
        break;
    case SL_SIM_STEP_END:
    case SL_SIM_STEP_DONE:
        walk->next = SL_SIM_STEP_DONE;
        break;
    }
}

/* ---- Framing ---------------------------------------------------------------------- */

void sl_sim_emitter_init(struct sl_sim_emitter *e, enum sl_sim_framing framing,
                         struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    *e = (struct sl_sim_emitter){.framing = framing, .out = out, .reply = reply};
    sl_sim_out_init(&e->json, MAX_EVENT);
}

void sl_sim_emitter_done(struct sl_sim_emitter *e) {
    sl_sim_out_done(&e->json);
}

/* Bedrock pads frames so that their length does not tell the token's; of a length from the content
 * alone, so that the same answer has the same bytes. */
static struct sl_slice padding(const struct sl_sim_emitter *e) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    uint64_t random = sl_sim_mix(e->frames * 131 + e->json.buf.len);
    return sl_slice_head(sl_slice_str(letters), 2 + random % (sizeof letters - 3));
}

static void frame(struct sl_sim_emitter *e, const char *event, struct sl_slice payload) {
    struct sl_eventstream_pair headers[] = {
        {SL_LIT(":event-type"), sl_slice_str(event)},
        {SL_LIT(":content-type"), SL_LIT("application/json")},
        {SL_LIT(":message-type"), SL_LIT("event")},
    };
    if (!e->out->error)
        e->out->error = sl_eventstream_encode(&e->out->buf, headers, 3, payload);
}

/* Opens the object again to add a member. */
static void reopen(struct sl_sim_emitter *e) {
    if (!e->json.error)
        e->json.buf.len--;
}

static void flush_chunk(struct sl_sim_emitter *e) {
    struct sl_sim_out wrapped;
    sl_sim_out_init(&wrapped, MAX_FRAME);
    sl_sim_put(&wrapped, "{'bytes':'");
    sl_sim_put_base64(&wrapped, sl_buf_slice(&e->json.buf));
    sl_sim_put(&wrapped, "','p':%s}", padding(e));
    if (wrapped.error)
        e->out->error = wrapped.error;
    frame(e, "chunk", sl_buf_slice(&wrapped.buf));
    sl_sim_out_done(&wrapped);
}

static void flush(struct sl_sim_emitter *e, const char *event) {
    if (e->json.error && !e->out->error)
        e->out->error = e->json.error;
    if (e->out->error)
        return;
    switch (e->framing) {
    case SL_SIM_FRAMING_CONVERSE: {
        struct sl_slice p = padding(e);
        reopen(e);
        sl_sim_put(&e->json, ",'p':%s}", p);
        if (!(e->out->error = e->json.error))
            frame(e, event, sl_buf_slice(&e->json.buf));
        break;
    }
    case SL_SIM_FRAMING_CHUNK:
        flush_chunk(e);
        break;
    case SL_SIM_FRAMING_SSE:
        e->out->error =
            sl_sse_encode(&e->out->buf, sl_slice_str(event), sl_buf_slice(&e->json.buf));
        break;
    }
    e->frames++;
}

static void write_event(struct sl_sim_emitter *e, const char *event, const char *template,
                        va_list args) {
    sl_sim_out_reset(&e->json);
    if (e->named)
        sl_sim_put(&e->json, "{%s:", sl_slice_str(event));
    sl_sim_vput(&e->json, template, args);
    if (e->named)
        sl_sim_put(&e->json, "}");
}

void sl_sim_emit(struct sl_sim_emitter *e, const char *event, const char *template, ...) {
    va_list args;
    va_start(args, template);
    write_event(e, event, template, args);
    va_end(args);
    flush(e, event);
}

void sl_sim_emit_last(struct sl_sim_emitter *e, const char *event, const char *template, ...) {
    va_list args;
    va_start(args, template);
    write_event(e, event, template, args);
    va_end(args);
    if (e->framing == SL_SIM_FRAMING_CHUNK) {
        const struct sl_usage *u = &e->reply->plan->usage;
        reopen(e);
        sl_sim_put(&e->json,
                   ",'amazon-bedrock-invocationMetrics':{'inputTokenCount':%d,"
                   "'outputTokenCount':%d,'invocationLatency':%d,'firstByteLatency':%d",
                   u->input, u->output, e->reply->latency_ms, e->reply->first_ms);
        if (u->cache_read || u->cache_write)
            sl_sim_put(&e->json, ",'cacheReadInputTokenCount':%d,'cacheWriteInputTokenCount':%d",
                       u->cache_read, u->cache_write);
        sl_sim_put(&e->json, "}}");
    }
    flush(e, event);
}

void sl_sim_emit_exception(struct sl_sim_emitter *e, enum sl_failure kind,
                           struct sl_slice message) {
    const struct sl_failure_info *info = sl_failure_info(kind);
    if (e->framing == SL_SIM_FRAMING_SSE) {
        sl_sim_emit(e, "error", "{'type':'error','error':{'type':%s,'code':%s,'message':%s}}",
                    info->exception, info->exception, message);
    } else if (!e->out->error) {
        e->out->error = sl_eventstream_exception(&e->out->buf, info->frame_name, message);
    }
}
