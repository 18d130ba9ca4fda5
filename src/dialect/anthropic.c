/*
 * Anthropic's API: Messages and its count of tokens. Claude gets the client's body (spliced)
 * through InvokeModel, so that all it can do it can do here; any other model is reached through
 * Converse.
 */
#include "dialect/anthropic.h"

#include <openssl/base64.h>

#include "dialect/compose.h"
#include "dialect/tell.h"
#include "sluice/core/model.h"

#define MESSAGES     SL_LIT("/v1/messages")
#define COUNT_TOKENS SL_LIT("/v1/messages/count_tokens")

/* Of an upstream body: the client's own, and what is said anew around its strings. */
#define BODY_MAX (2 * SL_COMPOSE_BODY_MAX)

struct own {
    struct sl_compose compose;
    struct sl_slice betas;
    bool counting;
};

static bool serves(const struct sl_request_head *head) {
    struct sl_slice path = sl_target_path(head->target);
    return sl_slice_eq(path, MESSAGES) || sl_slice_eq(path, COUNT_TOKENS);
}

/* The header may come more than once: one list of all. */
static int take_betas(struct sl_decode *d, const struct sl_request_head *head, struct own *own) {
    int err = SL_OK;
    for (size_t i = 0; i < head->headers.count && !err; i++) {
        const struct sl_header *h = &head->headers.items[i];
        if (!sl_slice_ieq(h->name, SL_LIT("anthropic-beta")) || h->value.len == 0)
            continue;
        err = own->betas.len == 0 ? sl_arena_copy(d->arena, h->value, &own->betas)
                                  : sl_arena_printf(d->arena, &own->betas, "%.*s,%.*s",
                                                    SL_FMT(own->betas), SL_FMT(h->value));
    }
    return err;
}

static int begin(struct sl_decode *d, const struct sl_request_head *head) {
    struct own *own = sl_arena_calloc(d->arena, 1, sizeof(*own));
    if (!own)
        return SL_E_NOMEM;
    d->own = own;
    own->counting = sl_slice_eq(sl_target_path(head->target), COUNT_TOKENS);
    int err = sl_compose_begin(d, head, &own->compose);
    if (!err)
        err = take_betas(d, head, own);
    if (!err && !sl_slice_eq(head->method, SL_LIT("POST")))
        return sl_compose_refusef(d, SL_FAILURE_VALIDATION,
                                  "Method %.*s is not allowed here: use POST",
                                  SL_FMT(sl_slice_head(head->method, 16)));
    return err;
}

static int body(struct sl_decode *d, struct sl_slice bytes) {
    struct own *own = d->own;
    return sl_compose_body(d, &own->compose, bytes);
}

/* An alias of the configuration first, then Anthropic's own names. */
static int find_model(struct sl_decode *d, struct sl_slice name, struct sl_slice *model) {
    struct sl_slice id;
    int err = sl_compose_model(d, name, model);
    if (err || d->failure || sl_model_family(*model) != SL_FAMILY_UNKNOWN)
        return err;
    struct sl_slice asked = d->ask->model;
    err = sl_anthropic_bedrock_id(d->arena, *model, &id);
    if (!err && !sl_slice_eq(id, *model))
        err = sl_compose_model(d, id, model);
    d->ask->model = asked;
    return err;
}

/* The model and, unless tokens are only counted, max_tokens must be there: they decide what is
 * asked of whom. The rest is for upstream, or the mapping, to judge. */
static int read_model(struct sl_decode *d, const struct own *own, struct sl_slice *model) {
    const struct sl_json_view *view = &own->compose.view;
    const struct sl_json_node *root = sl_json_root(view), *name = sl_json_get(view, root, "model");
    const struct sl_json_node *max_tokens = sl_json_get(view, root, "max_tokens");
    struct sl_buf text;
    if (!sl_json_is(name, SL_JSON_IS_STRING))
        return sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                 name ? SL_LIT("model: Input should be a valid string")
                                      : SL_LIT("model: Field required"));
    if (!own->counting && !sl_json_is(max_tokens, SL_JSON_IS_NUMBER))
        return sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                 max_tokens ? SL_LIT("max_tokens: Input should be a valid integer")
                                            : SL_LIT("max_tokens: Field required"));
    sl_buf_init(&text, SIZE_MAX);
    int err = sl_json_text(view, name, &text);
    if (!err)
        err = find_model(d, sl_buf_slice(&text), model);
    sl_buf_done(&text);
    return err;
}

/* The body for Claude or another model. May refuse. */
static int write_body(struct sl_decode *d, const struct own *own, struct sl_slice model,
                      struct sl_buf *out) {
    const struct sl_json_view *view = &own->compose.view;
    struct sl_anthropic_splice how = {own->betas, own->counting};
    struct sl_anthropic_refusal refusal;
    if (sl_model_family(model) == SL_FAMILY_CLAUDE)
        return sl_anthropic_splice(view, &how, out);
    int err = sl_anthropic_to_converse(view, model, own->counting, out, &refusal);
    return err || !refusal.kind ? err : sl_compose_refusef(d, refusal.kind, "%s", refusal.text);
}

/* CountTokens takes either body, in an envelope. */
static int wrap(bool claude, const struct sl_buf *inner, struct sl_buf *out) {
    size_t size = 0;
    int err = sl_buf_add_str(out, claude ? "{\"input\":{\"invokeModel\":{\"body\":\""
                                         : "{\"input\":{\"converse\":");
    if (!claude && !err)
        err = sl_buf_add(out, sl_buf_slice(inner));
    if (claude && !err)
        err = EVP_EncodedLength(&size, inner->len) ? sl_buf_reserve(out, size) : SL_E_LIMIT;
    if (claude && !err)
        out->len += EVP_EncodeBlock((uint8_t *)out->ptr + out->len, (const uint8_t *)inner->ptr,
                                    inner->len);
    return err ? err : sl_buf_add_str(out, claude ? "\"}}}" : "}}");
}

/* Tokens are counted by model, not by profile: Bedrock knows no other name here. */
static int finish_count(struct sl_decode *d, struct sl_slice model, const struct sl_buf *inner) {
    struct sl_buf envelope;
    sl_buf_init(&envelope, BODY_MAX + SL_COMPOSE_BODY_MAX);
    int err = wrap(sl_model_family(model) == SL_FAMILY_CLAUDE, inner, &envelope);
    if (!err)
        err = sl_compose_finish(d, SL_OP_COUNT_TOKENS, sl_model_base(model), &envelope);
    sl_buf_done(&envelope);
    return err;
}

static enum sl_operation operation_of(struct sl_slice model, bool stream) {
    if (sl_model_family(model) == SL_FAMILY_CLAUDE)
        return stream ? SL_OP_INVOKE_MODEL_STREAM : SL_OP_INVOKE_MODEL;
    return stream ? SL_OP_CONVERSE_STREAM : SL_OP_CONVERSE;
}

static int finish(struct sl_decode *d) {
    struct own *own = d->own;
    const struct sl_json_view *view = &own->compose.view;
    struct sl_slice model = SL_EMPTY;
    struct sl_buf out;
    int err = sl_compose_read(d, &own->compose);
    if (!err && !d->failure)
        err = read_model(d, own, &model);
    if (err || d->failure)
        return err;
    bool stream = sl_json_is(sl_json_get(view, sl_json_root(view), "stream"), SL_JSON_IS_TRUE);
    sl_buf_init(&out, BODY_MAX);
    err = write_body(d, own, model, &out);
    if (!err && !d->failure)
        err = own->counting ? finish_count(d, model, &out)
                            : sl_compose_finish(d, operation_of(model, stream), model, &out);
    sl_buf_done(&out);
    if (err == SL_E_LIMIT)
        return sl_compose_refuse(d, SL_FAILURE_TOO_LARGE,
                                 SL_LIT("Request exceeds the maximum allowed number of bytes."));
    return err;
}

static void release(struct sl_decode *d) {
    struct own *own = d->own;
    if (own)
        sl_compose_done(&own->compose);
}

static int encoder(const struct sl_ask *ask, const struct sl_source *source, struct sl_arena *arena,
                   struct sl_encoder **out) {
    bool invoked =
        source->operation == SL_OP_INVOKE_MODEL || source->operation == SL_OP_INVOKE_MODEL_STREAM;
    if (source->operation == SL_OP_COUNT_TOKENS)
        return sl_anthropic_count_new(ask, arena, out);
    if (invoked && sl_model_family(source->model) == SL_FAMILY_CLAUDE)
        return sl_anthropic_native_new(ask, source, arena, out);
    return sl_anthropic_encoder_new(ask, source, arena, out);
}

static int error(struct sl_arena *arena, const char *id, enum sl_failure kind,
                 struct sl_slice message, struct sl_headers *headers, struct sl_buf *out) {
    return sl_tell_answer(arena, headers, out, "request-id", sl_anthropic_error_body, kind, message,
                          id);
}

const struct sl_dialect sl_dialect_anthropic = {
    .name = "anthropic",
    .serves = serves,
    .begin = begin,
    .body = body,
    .finish = finish,
    .encoder = encoder,
    .release = release,
    .error = error,
    .broken = sl_tell_nothing,
    .status = sl_anthropic_status,
};
