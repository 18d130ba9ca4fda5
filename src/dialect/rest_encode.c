/*
 * Answers of the REST dialect: one document, or the text as it comes and at the end the document
 * without it. A chat's turn becomes part of its session only when the answer is complete.
 */
#include <stdio.h>

#include "dialect/frames.h"
#include "dialect/rest.h"
#include "dialect/tell.h"
#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/dialect/reply.h"
#include "sluice/wire/sse.h"

#define NANO INT64_C(1000000000)

struct answer {
    struct sl_encoder base;
    const struct sl_ask *ask;
    struct sl_rest_ask *own;
    struct sl_reply_reader *reader;
    struct sl_slice model; /* that served, in the exchange's arena */
    struct sl_buf *out;
    struct sl_buf text; /* said so far */
    struct sl_buf data; /* one event */
    struct sl_usage usage;
    bool stopped, failed;
};

static struct answer *of_base(struct sl_encoder *base) {
    return SL_CONTAINER(base, struct answer, base);
}

int sl_rest_error_body(struct sl_buf *out, enum sl_failure kind, struct sl_slice message,
                       const char *id) {
    struct sl_put p = {out, SL_OK};
    (void)id; /* x-sluice-request-id has it */
    sl_put(&p, "{\"error\":{");
    sl_put_member_string(&p, "code", sl_failure_info(kind)->exception);
    sl_put_member_string(&p, "message", message);
    sl_put(&p, "}}");
    return p.err;
}

int sl_rest_error_event(struct sl_buf *out, enum sl_failure kind, struct sl_slice message) {
    return sl_tell_event(out, "error", sl_rest_error_body, kind, message, NULL);
}

static void put_tokens(struct sl_put *p, const char *name, int64_t tokens) {
    if (tokens < 0)
        sl_put_member(p, name, SL_LIT("null"));
    else
        sl_put_member_int(p, name, tokens);
}

/* Dollars of nano-dollars, without superfluous zeros: 1500000 → 0.0015. */
static void put_cost(struct sl_put *p, int64_t nano) {
    char text[32];
    if (nano < 0) {
        sl_put_member(p, "cost_usd", SL_LIT("null"));
        return;
    }
    int len = snprintf(text, sizeof(text), "%lld.%09lld", (long long)(nano / NANO),
                       (long long)(nano % NANO));
    while (text[len - 1] == '0')
        len--;
    if (text[len - 1] == '.')
        len--;
    sl_put_member(p, "cost_usd", sl_slice_of(text, (size_t)len));
}

/* All that went in, what Bedrock's cache held included; -1: unknown. */
static int64_t tokens_in(const struct sl_usage *usage) {
    const int64_t parts[] = {usage->input, usage->cache_read, usage->cache_write};
    int64_t sum = 0;
    if (usage->input < 0)
        return -1;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i] > 0 && __builtin_add_overflow(sum, parts[i], &sum))
            return INT64_MAX;
    return sum;
}

static void put_numbers(struct sl_put *p, const struct sl_session_totals *used) {
    put_tokens(p, "tokens_input", used->input);
    put_tokens(p, "tokens_output", used->output);
    put_cost(p, used->cost);
}

/* What the turn used; and enters it into its session. */
static void settle(struct answer *a, struct sl_session_totals *used,
                   struct sl_session_totals *totals) {
    const struct sl_dialect_settings *settings = a->own->settings;
    *used = (struct sl_session_totals){.input = tokens_in(&a->usage),
                                       .output = a->usage.output >= 0 ? a->usage.output : -1,
                                       .cost = -1};
    if (settings->cost && used->input >= 0 && used->output >= 0)
        used->cost = settings->cost(settings->cost_ctx, a->model, &a->usage);
    if (a->own->kind != SL_REST_CHAT)
        return;
    sl_session_commit(&a->own->turn, sl_buf_slice(&a->own->system), sl_buf_slice(&a->own->prompt),
                      sl_buf_slice(&a->text), used, a->ask->created, totals);
}

static void put_document(struct sl_put *p, struct answer *a) {
    struct sl_session_totals used, totals = {0};
    bool chat = a->own->kind == SL_REST_CHAT;
    settle(a, &used, &totals);
    sl_put_raw(p, SL_LIT("{"));
    sl_put_member_string(p, chat ? "session" : "prompt",
                         sl_buf_slice(chat ? &a->own->session : &a->own->prompt));
    if (a->base.whole)
        sl_put_member_string(p, "response", sl_buf_slice(&a->text));
    put_numbers(p, &used);
    if (chat) {
        sl_put_key(p, "usage_total");
        sl_put_open(p, "{");
        put_numbers(p, &totals);
        sl_put_member_int(p, "turns", (int64_t)totals.turns);
        sl_put(p, "}");
    }
    sl_put(p, "}");
}

static int on_text(struct answer *a, struct sl_slice text) {
    int err = sl_buf_add(&a->text, text);
    if (err || a->base.whole)
        return err;
    sl_buf_clear(&a->data);
    struct sl_put p = {&a->data, SL_OK};
    sl_put(&p, "{");
    sl_put_member_string(&p, "delta", text);
    sl_put(&p, "}");
    return p.err ? p.err : sl_sse_encode(a->out, SL_EMPTY, sl_buf_slice(&a->data));
}

static int on_event(void *ctx, const struct sl_reply_event *event) {
    struct answer *a = ctx;
    switch (event->kind) {
    case SL_REPLY_TEXT:
        return on_text(a, event->text);
    case SL_REPLY_STOP:
        a->stopped = true;
        return SL_OK;
    case SL_REPLY_USAGE:
        a->usage = event->usage;
        return SL_OK;
    case SL_REPLY_EXCEPTION:
        a->failed = true;
        return a->base.whole ? SL_E_PROTOCOL
                             : sl_rest_error_event(a->out, event->failure, event->text);
    default:
        return SL_OK; /* reasoning, and what is no text */
    }
}

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    struct answer *a = of_base(base);
    a->out = out;
    return sl_reply_reader_feed(a->reader, bytes);
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct answer *a = of_base(base);
    a->out = out;
    int err = sl_reply_reader_finish(a->reader);
    if (err || a->failed)
        return err;
    if (!a->stopped)
        return SL_E_PROTOCOL;
    sl_buf_clear(&a->data);
    struct sl_put p = {&a->data, SL_OK};
    put_document(&p, a);
    if (p.err)
        return p.err;
    return a->base.whole ? sl_buf_add(out, sl_buf_slice(&a->data))
                         : sl_sse_encode(out, SL_EMPTY, sl_buf_slice(&a->data));
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    struct answer *a = of_base(base);
    if (a->base.whole)
        return SL_E_NOTFOUND;
    if (a->failed)
        return SL_OK; /* upstream's own words were passed on */
    a->failed = true;
    return sl_rest_error_event(out, kind, message);
}

static void answer_free(struct sl_encoder *base) {
    struct answer *a = of_base(base);
    sl_reply_reader_free(a->reader);
    sl_buf_done(&a->text);
    sl_buf_done(&a->data);
    sl_free(a);
}

static const struct sl_encoder_ops ops = {feed, finish, broken, answer_free};

static int make_head(struct sl_response_head *head, struct sl_arena *arena, bool stream) {
    struct sl_slice type =
        stream ? SL_LIT("text/event-stream; charset=utf-8") : SL_LIT("application/json");
    *head = (struct sl_response_head){.status = 200, .content_length = SL_LENGTH_UNKNOWN};
    int err = sl_headers_add(&head->headers, arena, SL_LIT("Content-Type"), type);
    return err ? err
               : sl_headers_add(&head->headers, arena, SL_LIT("Cache-Control"), SL_LIT("no-store"));
}

int sl_rest_encoder(const struct sl_ask *ask, const struct sl_source *source,
                    struct sl_arena *arena, struct sl_encoder **out) {
    bool supported = true;
    struct answer *a = sl_calloc(1, sizeof(*a));
    if (!a)
        return SL_E_NOMEM;
    a->base.ops = &ops;
    a->base.whole = !ask->stream;
    a->ask = ask;
    a->own = ask->own;
    a->usage = SL_USAGE_UNKNOWN;
    sl_buf_init(&a->text, SL_ANSWER_MAX);
    /* The answer's text, escaped, and as much of a prompt. */
    sl_buf_init(&a->data, 6 * (SL_ANSWER_MAX + SL_REST_BODY_MAX));
    a->reader = sl_reply_reader_new(source, on_event, a, &supported);
    int err = a->reader ? SL_OK : supported ? SL_E_NOMEM : SL_E_NOTFOUND;
    if (!err)
        err = sl_arena_copy(arena, source->model, &a->model);
    if (!err)
        err = make_head(&a->base.head, arena, ask->stream);
    if (err)
        answer_free(&a->base);
    else
        *out = &a->base;
    return err;
}
