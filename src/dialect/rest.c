/*
 * A small API for small applications: a prompt in, its answer, its tokens and its cost out; and
 * conversations that the gateway remembers. Errors are {"error":{"code","message"}}.
 */
#include "dialect/rest.h"

#include "dialect/compose.h"
#include "dialect/listing.h"
#include "dialect/tell.h"
#include "sluice/base/mem.h"
#include "sluice/wire/uri.h"

static const struct route {
    struct sl_slice method, path;
    bool named; /* a session's name follows the path */
    enum sl_rest_kind kind;
} routes[] = {
    {SL_LIT("POST"), SL_LIT("/invoke"), false, SL_REST_INVOKE},
    {SL_LIT("POST"), SL_LIT("/chat"), false, SL_REST_CHAT},
    {SL_LIT("DELETE"), SL_LIT("/chat/"), true, SL_REST_FORGET},
    {SL_LIT("GET"), SL_LIT("/models"), false, SL_REST_MODELS},
    {SL_LIT("GET"), SL_LIT("/openapi.json"), false, SL_REST_OPENAPI},
    {SL_LIT("GET"), SL_LIT("/docs"), false, SL_REST_DOCS},
};

/* While a request is decoded. */
struct own {
    struct sl_compose compose;
    struct sl_rest_ask *ask;
    bool has_body;
    bool deleted; /* what FORGET came to */
};

static const struct route *find_route(const struct sl_request_head *head) {
    struct sl_slice path = sl_target_path(head->target);
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *r = &routes[i];
        if (r->named ? path.len > r->path.len && sl_slice_starts(path, r->path)
                     : sl_slice_eq(path, r->path))
            return r;
    }
    return NULL;
}

static bool serves(const struct sl_request_head *head) {
    return find_route(head) != NULL;
}

/* The session that DELETE /chat/{session} names. */
static int take_name(struct sl_decode *d, const struct sl_request_head *head,
                     const struct route *route, struct sl_rest_ask *own) {
    struct sl_slice path = sl_target_path(head->target);
    int err = sl_uri_decode(&own->session, sl_slice_skip(path, route->path.len));
    return err == SL_E_NOMEM ? err
           : err             ? sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                                 SL_LIT("The session's name is not percent-encoded."))
                             : SL_OK;
}

static int make_own(struct sl_decode *d, const struct route *route) {
    struct own *own = sl_arena_calloc(d->arena, 1, sizeof(*own));
    struct sl_rest_ask *ask = own ? sl_calloc(1, sizeof(*ask)) : NULL;
    if (!ask)
        return SL_E_NOMEM;
    ask->kind = route->kind;
    ask->settings = d->settings;
    sl_buf_init(&ask->prompt, SL_REST_BODY_MAX);
    sl_buf_init(&ask->system, SL_REST_BODY_MAX);
    sl_buf_init(&ask->session, SL_REST_BODY_MAX);
    own->ask = ask;
    own->has_body = route->kind == SL_REST_INVOKE || route->kind == SL_REST_CHAT;
    d->ask->own = ask;
    d->own = own;
    return SL_OK;
}

static int begin(struct sl_decode *d, const struct sl_request_head *head) {
    const struct route *route = find_route(head);
    int err = make_own(d, route);
    if (err)
        return err;
    struct own *own = d->own;
    err = sl_compose_begin(d, head, &own->compose);
    if (err || d->failure)
        return err;
    if (!sl_slice_eq(head->method, route->method))
        return sl_compose_refusef(d, SL_FAILURE_VALIDATION,
                                  "Method %.*s is not allowed here: use %.*s.",
                                  SL_FMT(sl_slice_head(head->method, 16)), SL_FMT(route->method));
    if ((route->kind == SL_REST_CHAT || route->kind == SL_REST_FORGET) && !d->settings->sessions)
        return sl_compose_refuse(d, SL_FAILURE_UNKNOWN_OPERATION,
                                 SL_LIT("This gateway keeps no conversations."));
    return route->named ? take_name(d, head, route, own->ask) : SL_OK;
}

static int body(struct sl_decode *d, struct sl_slice bytes) {
    struct own *own = d->own;
    if (!own->has_body || d->failure)
        return SL_OK;
    if (bytes.len > SL_REST_BODY_MAX - sl_chain_len(&own->compose.text))
        return sl_compose_refuse(d, SL_FAILURE_TOO_LARGE,
                                 SL_LIT("The request's body is larger than 1 MiB."));
    return sl_compose_body(d, &own->compose, bytes);
}

static int finish_models(struct sl_decode *d) {
    d->parts = SL_LISTING_CALLS - 1;
    int err = sl_listing_call(d->call, d->arena, 0);
    d->ask->operation = d->call->operation;
    return err;
}

static int finish(struct sl_decode *d) {
    struct own *own = d->own;
    if (d->failure)
        return SL_OK;
    if (own->ask->kind == SL_REST_MODELS)
        return finish_models(d);
    if (own->ask->kind == SL_REST_FORGET)
        own->deleted = sl_sessions_delete(d->settings->sessions, d->tenant,
                                          sl_buf_slice(&own->ask->session), d->ask->created);
    if (!own->has_body)
        return SL_OK;
    int err = sl_compose_read(d, &own->compose);
    return err || d->failure ? err : sl_rest_compose(d, &own->compose.view, own->ask);
}

static int part(struct sl_decode *d, size_t i, struct sl_arena *arena, struct sl_call *call) {
    (void)d;
    return sl_listing_call(call, arena, i);
}

static int json_head(struct sl_response_head *head, struct sl_arena *arena, size_t len) {
    *head = (struct sl_response_head){.status = 200, .content_length = (int64_t)len};
    return sl_headers_add(&head->headers, arena, SL_LIT("Content-Type"),
                          SL_LIT("application/json"));
}

static int join(const struct sl_ask *ask, struct sl_arena *arena, const struct sl_part *parts,
                size_t count, struct sl_response_head *head, struct sl_buf *out) {
    const struct sl_rest_ask *own = ask->own;
    struct sl_slice fallback = own->settings->default_model;
    struct sl_listing listing;
    struct sl_put p = {out, SL_OK};
    int err = sl_listing_read(&listing, arena, parts, count);
    if (err)
        return err;
    sl_put_raw(&p, SL_LIT("{"));
    sl_put_key(&p, "models");
    sl_put_open(&p, "[");
    for (size_t i = 0; i < listing.count; i++)
        sl_put_string(&p, listing.items[i].id);
    sl_put(&p, "]");
    sl_put_key(&p, "default");
    if (fallback.len > 0)
        sl_put_string(&p, fallback);
    else
        sl_put(&p, "null");
    sl_put(&p, "}");
    return p.err ? p.err : json_head(head, arena, out->len);
}

/* Out of memory leaves the answer to the caller, which has none either and says so. */
static bool local(struct sl_decode *d, struct sl_response_head *head, struct sl_buf *out) {
    const struct own *own = d->own;
    int err;
    switch (own->ask->kind) {
    case SL_REST_OPENAPI:
    case SL_REST_DOCS:
        err = sl_rest_page(own->ask->kind, d->ask_arena, head, out);
        break;
    case SL_REST_FORGET:
        err = sl_buf_add_str(out, own->deleted ? "{\"deleted\":true}" : "{\"deleted\":false}");
        if (!err)
            err = json_head(head, d->ask_arena, out->len);
        break;
    default:
        return false;
    }
    return err == SL_OK;
}

static void release(struct sl_decode *d) {
    struct own *own = d->own;
    if (own)
        sl_compose_done(&own->compose);
}

static void ended(struct sl_ask *ask) {
    struct sl_rest_ask *own = ask->own;
    if (!own)
        return;
    sl_session_cancel(&own->turn);
    sl_buf_done(&own->prompt);
    sl_buf_done(&own->system);
    sl_buf_done(&own->session);
    sl_free(own);
    ask->own = NULL;
}

static int error(struct sl_arena *arena, const char *id, enum sl_failure kind,
                 struct sl_slice message, struct sl_headers *headers, struct sl_buf *out) {
    return sl_tell_answer(arena, headers, out, NULL, sl_rest_error_body, kind, message, id);
}

static int status(enum sl_failure kind) {
    switch (kind) {
    case SL_FAILURE_CONFLICT:
        return 409;
    case SL_FAILURE_BAD_SIGNATURE:
    case SL_FAILURE_UNKNOWN_CLIENT:
    case SL_FAILURE_NO_SIGNATURE:
    case SL_FAILURE_INCOMPLETE_SIGNATURE:
    case SL_FAILURE_EXPIRED_TOKEN:
    case SL_FAILURE_BAD_TOKEN:
        return 401;
    default:
        return sl_failure_info(kind)->status;
    }
}

const struct sl_dialect sl_dialect_rest = {
    .name = "rest",
    .serves = serves,
    .begin = begin,
    .body = body,
    .finish = finish,
    .part = part,
    .join = join,
    .local = local,
    .encoder = sl_rest_encoder,
    .release = release,
    .error = error,
    .broken = sl_tell_nothing,
    .status = status,
    .ended = ended,
};
