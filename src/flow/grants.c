/*
 * What a key was granted, checked against what its holder asks for. Under key authentication
 * nothing runs with the gateway's own role that the key was not given: other models than its own,
 * operations beyond calling a model, objects in S3.
 */
#include "flow/internal.h"

static bool is_location_key(const struct sl_grants_scan *s) {
    struct sl_slice key = sl_slice_of(s->key, s->key_len);
    return sl_slice_eq(key, SL_LIT("uri")) || sl_slice_eq(key, SL_LIT("s3Uri"));
}

/* Below the prefix: equal, or behind one that ends with '/', or followed by one. No way up. */
static bool is_below(struct sl_slice uri, struct sl_slice prefix) {
    struct sl_slice rest = sl_slice_skip(uri, prefix.len);
    if (prefix.len == 0 || !sl_slice_starts(uri, prefix) ||
        sl_slice_search(uri, SL_LIT("/../")) < uri.len)
        return false;
    return rest.len == 0 || rest.ptr[0] == '/' || sl_slice_ends(prefix, SL_LIT("/"));
}

static void on_key(struct sl_grants_scan *s, const struct sl_json_token *token) {
    if (!s->in_key)
        s->key_len = 0;
    size_t room = sizeof(s->key) - s->key_len;
    size_t n = token->text.len < room ? token->text.len : room;
    memcpy(s->key + s->key_len, token->text.ptr, n);
    s->key_len += n;
    s->in_key = !token->last;
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    struct sl_grants_scan *s = ctx;
    if (token->event == SL_JSON_KEY) {
        on_key(s, token);
        return SL_OK;
    }
    if (token->event != SL_JSON_STRING || !is_location_key(s))
        return SL_OK;
    if (sl_buf_add(&s->uri, token->text) != SL_OK)
        s->outside = true; /* too long to be one that was granted */
    if (!token->last)
        return SL_OK;
    struct sl_slice uri = sl_buf_slice(&s->uri);
    if (sl_slice_ieq(sl_slice_head(uri, 5), SL_LIT("s3://")) && !is_below(uri, s->prefix))
        s->outside = true;
    sl_buf_clear(&s->uri);
    return SL_OK;
}

void sl_grants_begin(struct sl_grants_scan *s, struct sl_slice s3_prefix) {
    *s = (struct sl_grants_scan){.prefix = s3_prefix};
    sl_buf_init(&s->uri, 2048);
    sl_json_init(&s->tokenizer, on_token, s);
}

void sl_grants_feed(struct sl_grants_scan *s, struct sl_slice bytes) {
    if (sl_json_feed(&s->tokenizer, bytes) != SL_OK)
        s->unreadable = true; /* Bedrock's parser may be less strict, and read on */
}

void sl_grants_done(struct sl_grants_scan *s) {
    sl_buf_done(&s->uri);
}

/* Operations that act with the gateway's role beyond calling a model. */
static bool needs_grant(enum sl_operation op) {
    return op == SL_OP_START_ASYNC_INVOKE || op == SL_OP_GET_ASYNC_INVOKE ||
           op == SL_OP_LIST_ASYNC_INVOKES || op == SL_OP_MANTLE_MODELS ||
           op >= SL_OP_LIST_FOUNDATION_MODELS;
}

/* The one that serves: a withdrawn model's name stands for its successor. */
static struct sl_slice serving_model(const struct sl_call *call) {
    return call->served_model.len > 0 ? call->served_model : call->model;
}

/* The body names the model, and is not one that all parsers read alike. */
static bool is_vague(const struct sl_call *call) {
    return sl_operation_info(call->operation)->metered && !sl_call_names_model_in_path(call) &&
           !call->has_meaning;
}

struct sl_slice sl_grants_refusal(const struct sl_exchange *x) {
    const struct sl_call *call = &x->flight->call;
    const struct sl_client *client = x->flight->client;
    if (client->unlimited)
        return SL_EMPTY;
    if (call->model.len > 0 && !sl_client_allows_model(client, serving_model(call)))
        return SL_LIT("This key may not use the model that serves this call (sluice key create "
                      "--models).");
    if (client->model_count > 0 && is_vague(call))
        return SL_LIT(
            "The request's body cannot be checked for the model it names: is it JSON, with "
            "no member twice?");
    if (needs_grant(call->operation) && !(client->operations & UINT64_C(1) << call->operation))
        return SL_LIT("This key was not granted this operation (sluice key create --operations: "
                      "async-invoke, listings).");
    if (x->grants.outside)
        return SL_LIT("This key may not use that S3 location (sluice key create --s3-prefix).");
    return SL_EMPTY;
}
