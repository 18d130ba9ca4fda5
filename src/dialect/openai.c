/*
 * OpenAI's API: chat completions, responses, embeddings, models. All of it maps to Bedrock's own
 * operations (Converse, InvokeModel of embedding models, the two listings), so that the same
 * question is the same call whoever asks it.
 */
#include "dialect/openai.h"

#include "dialect/listing.h"
#include "dialect/tell.h"
#include "sluice/base/mem.h"
#include "sluice/wire/modelid.h"
#include "sluice/wire/uri.h"

static const struct route {
    struct sl_slice method, path;
    enum sl_openai_kind kind;
} routes[] = {
    {SL_LIT("POST"), SL_LIT("/v1/chat/completions"), SL_OPENAI_CHAT},
    {SL_LIT("POST"), SL_LIT("/v1/responses"), SL_OPENAI_RESPONSES},
    {SL_LIT("POST"), SL_LIT("/v1/embeddings"), SL_OPENAI_EMBEDDINGS},
    {SL_LIT("GET"), SL_LIT("/v1/models"), SL_OPENAI_MODELS},
};
#define MODEL_PREFIX SL_LIT("/v1/models/")

struct own {
    struct sl_compose compose;
    struct sl_openai_embeddings *embeddings;
};

/* Requests signed for mantle go to Bedrock's own API of the same paths. */
static bool is_for_mantle(const struct sl_request_head *head) {
    struct sl_sigv4_credential credential;
    struct sl_slice value = sl_headers_get(&head->headers, SL_LIT("authorization"));
    return sl_sigv4_parse_authorization(value, &credential) == SL_OK &&
           sl_slice_eq(credential.service, SL_LIT("bedrock-mantle"));
}

static const struct route *route_of(struct sl_slice path) {
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
        if (sl_slice_eq(path, routes[i].path) ||
            (routes[i].kind == SL_OPENAI_MODELS && sl_slice_starts(path, MODEL_PREFIX)))
            return &routes[i];
    return NULL;
}

static bool serves(const struct sl_request_head *head) {
    return route_of(sl_target_path(head->target)) != NULL && !is_for_mantle(head);
}

static int new_ask(struct sl_decode *d, enum sl_openai_kind kind, struct sl_slice path) {
    struct sl_openai_ask *ask = sl_calloc(1, sizeof(*ask));
    if (!ask)
        return SL_E_NOMEM;
    ask->kind = kind;
    ask->settings = d->settings;
    sl_buf_init(&ask->json_tool, SL_MODEL_ID_MAX);
    sl_buf_init(&ask->ignored, 1024);
    sl_buf_init(&ask->wanted, SL_MODEL_ID_MAX);
    sl_buf_init(&ask->echo, SL_COMPOSE_BODY_MAX);
    d->ask->own = ask;
    if (!sl_slice_starts(path, MODEL_PREFIX))
        return SL_OK;
    int err = sl_uri_decode(&ask->wanted, sl_slice_skip(path, MODEL_PREFIX.len));
    return err == SL_E_INVALID || err == SL_E_LIMIT
               ? sl_compose_refuse(d, SL_FAILURE_NOT_FOUND, SL_LIT("There is no such model."))
               : err;
}

static int begin(struct sl_decode *d, const struct sl_request_head *head) {
    struct sl_slice path = sl_target_path(head->target);
    const struct route *route = route_of(path);
    struct own *own = sl_arena_calloc(d->arena, 1, sizeof(*own));
    if (!own)
        return SL_E_NOMEM;
    d->own = own;
    int err = sl_compose_begin(d, head, &own->compose);
    if (!err)
        err = new_ask(d, route->kind, path);
    if (!err && !sl_slice_eq(head->method, route->method))
        err = sl_compose_refusef(d, SL_FAILURE_UNKNOWN_OPERATION,
                                 "%.*s is not allowed here: use %.*s.",
                                 SL_FMT(sl_slice_head(head->method, 16)), SL_FMT(route->method));
    return err;
}

static int body(struct sl_decode *d, struct sl_slice bytes) {
    struct own *own = d->own;
    const struct sl_openai_ask *ask = d->ask->own;
    return ask->kind == SL_OPENAI_MODELS ? SL_OK : sl_compose_body(d, &own->compose, bytes);
}

static int finish_models(struct sl_decode *d) {
    d->parts = SL_LISTING_CALLS - 1;
    int err = sl_listing_call(d->call, d->arena, 0);
    d->ask->operation = d->call->operation;
    return err;
}

static int finish(struct sl_decode *d) {
    struct own *own = d->own;
    const struct sl_openai_ask *ask = d->ask->own;
    if (d->failure)
        return SL_OK;
    if (ask->kind == SL_OPENAI_MODELS)
        return finish_models(d);
    int err = sl_compose_read(d, &own->compose);
    if (err || d->failure)
        return err;
    const struct sl_json_view *view = &own->compose.view;
    switch (ask->kind) {
    case SL_OPENAI_CHAT:
        return sl_openai_chat_request(d, view);
    case SL_OPENAI_RESPONSES:
        return sl_openai_responses_request(d, view);
    default:
        return sl_openai_embeddings_request(d, view, &own->embeddings);
    }
}

static int part(struct sl_decode *d, size_t i, struct sl_arena *arena, struct sl_call *call) {
    const struct own *own = d->own;
    call->max_tokens = -1;
    call->timeout_ms = d->call->timeout_ms; /* the client's wishes are for all of them */
    call->priority = d->call->priority;
    call->cache = d->call->cache;
    return own->embeddings ? sl_openai_embeddings_part(d, own->embeddings, i, arena, call)
                           : sl_listing_call(call, arena, i);
}

static int join(const struct sl_ask *ask, struct sl_arena *arena, const struct sl_part *parts,
                size_t count, struct sl_response_head *head, struct sl_buf *out) {
    const struct sl_openai_ask *own = ask->own;
    int err = sl_openai_head(head, arena, ask);
    if (err)
        return err;
    return own->kind == SL_OPENAI_EMBEDDINGS
               ? sl_openai_embeddings_join(ask, parts, count, out)
               : sl_openai_models_join(ask, arena, parts, count, head, out);
}

static int encoder(const struct sl_ask *ask, const struct sl_source *source, struct sl_arena *arena,
                   struct sl_encoder **out) {
    const struct sl_openai_ask *own = ask->own;
    switch (own->kind) {
    case SL_OPENAI_RESPONSES:
        return sl_openai_responses_encoder(ask, source, arena, out);
    case SL_OPENAI_EMBEDDINGS:
        return sl_openai_embeddings_encoder(ask, source, arena, out);
    default:
        return sl_openai_chat_encoder(ask, source, arena, out);
    }
}

static void release(struct sl_decode *d) {
    struct own *own = d->own;
    sl_compose_done(&own->compose);
}

static void ended(struct sl_ask *ask) {
    struct sl_openai_ask *own = ask->own;
    if (!own)
        return;
    sl_buf_done(&own->json_tool);
    sl_buf_done(&own->ignored);
    sl_buf_done(&own->wanted);
    sl_buf_done(&own->echo);
    sl_free(own);
    ask->own = NULL;
}

static int error(struct sl_arena *arena, const char *id, enum sl_failure kind,
                 struct sl_slice message, struct sl_headers *headers, struct sl_buf *out) {
    return sl_tell_answer(arena, headers, out, "x-request-id", sl_openai_error_body, kind, message,
                          id);
}

const struct sl_dialect sl_dialect_openai = {
    .name = "openai",
    .serves = serves,
    .begin = begin,
    .body = body,
    .finish = finish,
    .part = part,
    .join = join,
    .encoder = encoder,
    .release = release,
    .status = sl_openai_status,
    .error = error,
    .broken = sl_tell_nothing,
    .ended = ended,
};
