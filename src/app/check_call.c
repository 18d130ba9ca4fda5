#include "app/check_call.h"

#include <stdio.h>

#include "sluice/core/failure.h"
#include "sluice/wire/json.h"
#include "sluice/wire/sigv4.h"

/* Heads and the call's own strings. */
#define ARENA_MAX 65536

/*
 * What ends a wait stops the loop, rather than being looked for after each of its rounds: it may
 * come in the turn before a poll, which would then go on without anything to wait for.
 */
struct waiting {
    uv_loop_t *uv;
    struct sl_check_outcome *outcome;
    struct sl_buf *body;
    bool done;
};

static void copy(char *out, size_t size, struct sl_slice s) {
    snprintf(out, size, "%.*s", SL_FMT(sl_slice_head(s, size - 1)));
}

/* "AccessDeniedException:http://internal…" → "AccessDeniedException". */
static void copy_exception(struct sl_check_outcome *outcome, struct sl_slice value) {
    size_t hash = sl_slice_find(value, '#');
    if (hash < value.len)
        value = sl_slice_skip(value, hash + 1);
    copy(outcome->exception, sizeof(outcome->exception),
         sl_slice_trim(sl_slice_head(value, sl_slice_find(value, ':'))));
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct waiting *w = ctx;
    w->outcome->status = head->status;
    for (size_t i = 0; i < head->header_count; i++) {
        const struct sl_fetch_header *h = &head->headers[i];
        if (sl_slice_ieq(h->name, SL_LIT("x-amzn-errortype")))
            copy_exception(w->outcome, h->value);
        else if (sl_slice_ieq(h->name, SL_LIT("date")))
            w->outcome->date_ms = sl_check_date(h->value);
    }
}

/* What does not fit is not needed: an answer that large is looked at from its beginning only. */
static void on_data(void *ctx, struct sl_slice bytes) {
    struct waiting *w = ctx;
    (void)!sl_buf_add(w->body, sl_slice_head(bytes, w->body->max - w->body->len));
}

static void on_done(void *ctx, const struct sl_attempt_result *result) {
    struct waiting *w = ctx;
    w->outcome->error = result->error;
    w->outcome->phase = result->phase;
    snprintf(w->outcome->why, sizeof(w->outcome->why), "%s", result->why ? result->why : "");
    w->done = true;
    uv_stop(w->uv);
}

/* The sentence of an error body, and its type where the header did not say. */
static void read_error(struct sl_check_outcome *outcome, struct sl_slice body) {
    struct sl_json_fact fact[] = {
        {.path = "message"}, {.path = "Message"}, {.path = "error.message"}, {.path = "__type"}};
    struct sl_json_facts facts;
    if (sl_json_facts_init(&facts, fact, 4, sizeof(outcome->message)) != 0)
        return;
    if (sl_json_facts_feed(&facts, body) == 0 && sl_json_facts_finish(&facts) == 0) {
        for (size_t i = 0; i < 3 && outcome->message[0] == '\0'; i++)
            if (fact[i].type == SL_FACT_STRING)
                copy(outcome->message, sizeof(outcome->message), sl_buf_slice(&fact[i].text));
        if (fact[3].type == SL_FACT_STRING && outcome->exception[0] == '\0')
            copy_exception(outcome, sl_buf_slice(&fact[3].text));
    }
    sl_json_facts_done(&facts);
}

static int make_call(struct sl_call *call, const struct sl_check_request *request,
                     struct sl_arena *arena) {
    *call = (struct sl_call){.operation = request->operation,
                             .plane = request->plane,
                             .framing = SL_FRAMING_WHOLE,
                             .method = sl_slice_str(request->method),
                             .target = request->path,
                             .max_tokens = -1};
    sl_chain_init(&call->body, NULL);
    sl_sha256_of(request->body, call->body_sha256);
    int rc = sl_headers_add(&call->headers, arena, SL_LIT("accept"), SL_LIT("application/json"));
    if (rc == 0 && request->body.len)
        rc = sl_headers_add(&call->headers, arena, SL_LIT("content-type"),
                            SL_LIT("application/json"));
    if (rc == 0 && request->body.len)
        rc = sl_chain_add(&call->body, request->body);
    return rc;
}

int sl_check_call(struct sl_loop *loop, struct sl_target *target,
                  const struct sl_check_request *request, struct sl_check_outcome *outcome,
                  struct sl_buf *body) {
    static const struct sl_attempt_events events = {on_head, on_data, on_done};
    struct waiting waiting = {.uv = loop->uv, .outcome = outcome, .body = body};
    struct sl_arena arena;
    struct sl_call call;
    *outcome = (struct sl_check_outcome){.date_ms = -1};
    if (!sl_target_endpoint(target, request->plane))
        return SL_E_NOTFOUND;
    sl_arena_init(&arena, ARENA_MAX);
    int rc = make_call(&call, request, &arena);
    if (rc == 0 && !sl_attempt_start(target, &call, &events, &waiting))
        rc = SL_E_NOMEM;
    while (rc == 0 && !waiting.done)
        uv_run(loop->uv, UV_RUN_DEFAULT);
    if (rc == 0 && !outcome->error && outcome->status / 100 != 2)
        read_error(outcome, sl_buf_slice(body));
    sl_chain_done(&call.body);
    sl_arena_done(&arena);
    return rc;
}

struct credentials_waiting {
    uv_loop_t *uv;
    struct sl_check_credentials *out;
    bool done;
};

static void note_credentials(struct sl_check_credentials *out,
                             const struct sl_credentials *credentials) {
    out->found = true;
    out->source = credentials->source;
    out->bearer = credentials->bearer.len > 0;
    out->expires_ms = credentials->expires_ms;
}

static void on_credentials(void *ctx, const struct sl_credentials *credentials, const char *why) {
    struct credentials_waiting *w = ctx;
    w->done = true;
    uv_stop(w->uv);
    if (credentials)
        note_credentials(w->out, credentials);
    else
        snprintf(w->out->why, sizeof(w->out->why), "%s", why ? why : "");
}

void sl_check_credentials(struct sl_loop *loop, struct sl_target *target,
                          struct sl_check_credentials *out) {
    struct credentials_waiting waiting = {.uv = loop->uv, .out = out};
    struct sl_credentials_wait wait = {.on_ready = on_credentials, .ctx = &waiting};
    *out = (struct sl_check_credentials){.expires_ms = INT64_MAX};
    sl_list_init(&wait.link);
    const struct sl_credentials *present = sl_credentials_get(sl_target_credentials(target), &wait);
    if (present)
        note_credentials(out, present);
    while (!present && !waiting.done)
        uv_run(loop->uv, UV_RUN_DEFAULT);
    sl_credentials_wait_cancel(&wait);
}
