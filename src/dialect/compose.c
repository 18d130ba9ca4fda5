/* One body in, one call out. The view is fed as the bytes arrive, so that the end of a large body
 * costs no second pass over it. */
#include "dialect/compose.h"

#include <stdarg.h>
#include <stdio.h>

#include "dialect/reach.h"
#include "dialect/reading.h"
#include "dialect/retired.h"
#include "sluice/core/model.h"
#include "sluice/dialect/wishes.h"
#include "sluice/wire/modelid.h"
#include "sluice/wire/uri.h"

/* A refusal's sentence; what it quotes of the client's is cut to fit. */
#define MESSAGE_MAX 512

int sl_compose_refuse(struct sl_decode *d, enum sl_failure kind, struct sl_slice message) {
    if (d->failure == SL_FAILURE_NONE) {
        d->failure = kind;
        d->message = message;
    }
    return SL_OK;
}

int sl_compose_refusef(struct sl_decode *d, enum sl_failure kind, const char *fmt, ...) {
    char text[MESSAGE_MAX];
    struct sl_slice message;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len < 0)
        return SL_E_INVALID;
    size_t kept = (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1;
    int err = sl_arena_copy(d->arena, sl_slice_of(text, kept), &message);
    return err ? err : sl_compose_refuse(d, kind, message);
}

int sl_compose_begin(struct sl_decode *d, const struct sl_request_head *head,
                     struct sl_compose *c) {
    *c = (struct sl_compose){0};
    sl_chain_init(&c->text, d->call->body.budget);
    sl_json_view_init(&c->view, SL_COMPOSE_NODES_MAX);
    d->call->max_tokens = -1;
    struct sl_slice key = sl_headers_get(&head->headers, SL_LIT("idempotency-key"));
    if (key.len == 0)
        key = sl_headers_get(&head->headers, SL_LIT("amz-sdk-invocation-id"));
    int err = key.len ? sl_arena_copy(d->arena, key, &d->call->rejoin_key) : SL_OK;
    return err ? err : sl_wishes_read(d, head);
}

int sl_compose_body(struct sl_decode *d, struct sl_compose *c, struct sl_slice bytes) {
    if (d->failure || c->broken)
        return SL_OK;
    if (bytes.len > SL_COMPOSE_BODY_MAX - sl_chain_len(&c->text))
        return sl_compose_refuse(d, SL_FAILURE_TOO_LARGE,
                                 SL_LIT("The request's body is larger than the 25 MB that Bedrock "
                                        "accepts."));
    int err = sl_chain_add(&c->text, bytes);
    if (err)
        return err;
    c->broken = sl_json_view_feed(&c->view, bytes);
    return c->broken == SL_E_NOMEM ? SL_E_NOMEM : SL_OK;
}

int sl_compose_read(struct sl_decode *d, struct sl_compose *c) {
    struct sl_slice text;
    if (d->failure)
        return SL_OK;
    int err = c->broken ? SL_OK : sl_chain_flatten(&c->text, SL_COMPOSE_BODY_MAX, &text);
    if (err)
        return err;
    if (!c->broken)
        c->broken = sl_json_view_finish(&c->view, text);
    if (c->broken == SL_E_NOMEM)
        return SL_E_NOMEM;
    if (c->broken == SL_E_LIMIT)
        return sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                 SL_LIT("The request's body holds too many values."));
    if (c->broken || !sl_json_is(sl_json_root(&c->view), SL_JSON_IS_OBJECT))
        return sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                 SL_LIT("The request's body is not a JSON object."));
    return SL_OK;
}

void sl_compose_done(struct sl_compose *c) {
    sl_json_view_done(&c->view);
    sl_chain_done(&c->text);
}

int sl_compose_model(struct sl_decode *d, struct sl_slice name, struct sl_slice *model) {
    const struct sl_dialect_settings *settings = d->settings;
    struct sl_slice found = SL_EMPTY;
    if (name.len > SL_MODEL_ID_MAX)
        return sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                 SL_LIT("The provided model identifier is invalid."));
    int err = sl_arena_copy(d->ask_arena, name, &d->ask->model);
    if (err)
        return err;
    if (settings->alias)
        found = settings->alias(settings->alias_ctx, name);
    if (found.len == 0)
        found = name;
    bool bare = sl_model_geo_prefix(found).len == 0 && !sl_slice_starts(found, SL_LIT("arn:"));
    if (bare && settings->geo_prefix.len > 0 && sl_model_info(found)->profile_only)
        return sl_arena_printf(d->arena, model, "%.*s%.*s", SL_FMT(settings->geo_prefix),
                               SL_FMT(found));
    return sl_arena_copy(d->arena, found, model);
}

static const struct shape {
    enum sl_operation operation;
    const char *verb;
    struct sl_slice accept_name, accept;
} shapes[] = {
    {SL_OP_CONVERSE, "converse", SL_LIT("accept"), SL_LIT("application/json")},
    {SL_OP_CONVERSE_STREAM, "converse-stream", SL_LIT("accept"),
     SL_LIT("application/vnd.amazon.eventstream")},
    {SL_OP_INVOKE_MODEL, "invoke", SL_LIT("accept"), SL_LIT("application/json")},
    {SL_OP_INVOKE_MODEL_STREAM, "invoke-with-response-stream", SL_LIT("x-amzn-bedrock-accept"),
     SL_LIT("application/json")},
    {SL_OP_COUNT_TOKENS, "count-tokens", SL_LIT("accept"), SL_LIT("application/json")},
};

static int write_target(struct sl_arena *arena, struct sl_call *call, const struct shape *shape) {
    struct sl_buf target;
    sl_buf_init(&target, 4 * SL_MODEL_ID_MAX);
    int err = sl_buf_add_str(&target, "/model/");
    if (!err)
        err = sl_uri_encode(&target, call->model, false);
    if (!err)
        err = sl_buf_printf(&target, "/%s", shape->verb);
    if (!err)
        err = sl_arena_copy(arena, sl_buf_slice(&target), &call->target);
    sl_buf_done(&target);
    return err;
}

static int write_headers(struct sl_arena *arena, struct sl_call *call, const struct shape *shape) {
    int err =
        sl_headers_add(&call->headers, arena, SL_LIT("content-type"), SL_LIT("application/json"));
    return err ? err : sl_headers_add(&call->headers, arena, shape->accept_name, shape->accept);
}

static int write_call(struct sl_arena *arena, struct sl_call *call, enum sl_operation op,
                      struct sl_slice model, const struct sl_buf *body) {
    const struct sl_operation_info *info = sl_operation_info(op);
    const struct shape *shape = shapes;
    while (shape->operation != op)
        shape++;
    call->operation = op;
    call->plane = info->plane;
    call->framing = info->framing;
    call->method = SL_LIT("POST");
    /* Of several calls of one request each lives as long as it must. */
    int err = sl_arena_copy(arena, model, &call->model);
    if (!err)
        err = write_target(arena, call, shape);
    if (!err)
        err = write_headers(arena, call, shape);
    if (!err)
        err = sl_chain_add(&call->body, sl_buf_slice(body));
    if (err)
        return err;
    sl_sha256_of(sl_buf_slice(body), call->body_sha256);
    return sl_reading_of(call, &call->body);
}

int sl_compose_finish(struct sl_decode *d, enum sl_operation op, struct sl_slice model,
                      const struct sl_buf *body) {
    bool stream = op == SL_OP_CONVERSE_STREAM || op == SL_OP_INVOKE_MODEL_STREAM;
    struct sl_buf adapted;
    int err = SL_OK;
    sl_buf_init(&adapted, 2 * SL_COMPOSE_BODY_MAX);
    if (op == SL_OP_CONVERSE || op == SL_OP_CONVERSE_STREAM)
        err = sl_reach_adapt(d, sl_retired_served(d, model), sl_buf_slice(body), &op, &adapted);
    if (!err && !d->failure)
        err = write_call(d->arena, d->call, op, model, adapted.len ? &adapted : body);
    sl_buf_done(&adapted);
    d->ask->operation = op;
    d->ask->stream = stream;
    return err || d->failure ? err : sl_retired_replace(d, NULL);
}

int sl_compose_part(const struct sl_decode *d, struct sl_arena *arena, struct sl_call *call,
                    enum sl_operation op, struct sl_slice model, const struct sl_buf *body) {
    int err = write_call(arena, call, op, model, body);
    return err ? err : sl_retired_replace_part(d, arena, call);
}
