/*
 * Bedrock's own API: what SDKs speak. Bytes pass untouched both ways; the head is filtered
 * (hop-by-hop headers, the client's signature), facts are read beside the body, and a withdrawn
 * model is replaced by splicing.
 */
#include "dialect/bedrock_encode.h"
#include "dialect/reading.h"
#include "dialect/retired.h"
#include "dialect/route.h"
#include "sluice/base/slab.h"
#include "sluice/dialect/wishes.h"
#include "sluice/wire/eventstream.h"
#include "sluice/wire/modelid.h"
#include "sluice/wire/sse.h"
#include "sluice/wire/uri.h"

/* A client reaches mantle by signing for it, or by this path prefix (for API keys, which name no
 * service). */
#define MANTLE_PREFIX SL_LIT("/mantle")
/* Some ten microseconds. */
#define HASH_LATER_MAX 16384

/* Bodies that arrive at once. */
static _Thread_local struct sl_slab readings = {.size = sizeof(struct sl_reading), .keep = 256};

static bool serves(const struct sl_request_head *head) {
    (void)head;
    return true;
}

static int refuse(struct sl_decode *d, enum sl_failure kind, struct sl_slice message) {
    d->failure = kind;
    d->message = message;
    return SL_OK;
}

/* The service a client signed for, from its Authorization header; empty without a signature. */
static struct sl_slice signed_service(const struct sl_request_head *head) {
    struct sl_sigv4_credential credential;
    struct sl_slice value = sl_headers_get(&head->headers, SL_LIT("authorization"));
    if (value.len == 0 || sl_sigv4_parse_authorization(value, &credential) != SL_OK)
        return SL_EMPTY;
    return credential.service;
}

/* Headers that end here: the client's authentication, its wishes of the gateway, and what belongs
 * to this hop. */
static bool is_dropped(const struct sl_headers *all, struct sl_slice name) {
    static const struct sl_slice dropped[] = {
        SL_LIT("host"),      SL_LIT("authorization"),        SL_LIT("x-amz-date"),
        SL_LIT("x-api-key"), SL_LIT("x-amz-security-token"), SL_LIT("x-amz-content-sha256"),
        SL_LIT("expect"),    SL_LIT("content-length"),       SL_LIT("accept-encoding"),
    };
    if (sl_wishes_own_header(name))
        return true;
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
        if (sl_slice_ieq(dropped[i], name))
            return true;
    return sl_header_is_hop_by_hop(all, name);
}

static int copy_headers(struct sl_decode *d, const struct sl_request_head *head) {
    for (size_t i = 0; i < head->headers.count; i++) {
        const struct sl_header *h = &head->headers.items[i];
        if (is_dropped(&head->headers, h->name))
            continue;
        int err = sl_headers_add_copy(&d->call->headers, d->arena, h->name, h->value);
        if (err)
            return err;
    }
    return SL_OK;
}

static bool is_presign_parameter(struct sl_slice pair) {
    static const struct sl_slice names[] = {
        SL_LIT("X-Amz-Algorithm"),     SL_LIT("X-Amz-Credential"), SL_LIT("X-Amz-Date"),
        SL_LIT("X-Amz-Expires"),       SL_LIT("X-Amz-Signature"),  SL_LIT("X-Amz-SignedHeaders"),
        SL_LIT("X-Amz-Security-Token")};
    struct sl_slice name = sl_slice_head(pair, sl_slice_find(pair, '='));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sl_slice_eq(name, names[i]))
            return true;
    return false;
}

/* The target to emit: the client's, without a presigned query's signature. */
static int copy_target(struct sl_decode *d, struct sl_slice path, struct sl_slice query) {
    size_t most = path.len + 1 + query.len;
    struct sl_buf out = {.ptr = sl_arena_alloc(d->arena, most), .cap = most, .max = most};
    if (!out.ptr)
        return SL_E_NOMEM;
    struct sl_slice rest = query, pair;
    int err = sl_buf_add(&out, path);
    char separator = '?';
    while (!err && query.len > 0 && sl_slice_split(&rest, '&', &pair)) {
        if (is_presign_parameter(pair))
            continue;
        err = sl_buf_add_byte(&out, separator);
        if (!err)
            err = sl_buf_add(&out, pair);
        separator = '&';
    }
    d->call->target = sl_buf_slice(&out);
    return err;
}

static int decode_model(struct sl_decode *d, struct sl_slice encoded) {
    char space[SL_MODEL_ID_MAX];
    struct sl_buf id = {.ptr = space, .cap = sizeof(space), .max = sizeof(space)};
    int err = sl_uri_decode(&id, encoded);
    if (!err)
        err = sl_arena_copy(d->arena, sl_buf_slice(&id), &d->call->model);
    if (err == SL_E_LIMIT || err == SL_E_INVALID)
        return refuse(d, SL_FAILURE_VALIDATION,
                      SL_LIT("The provided model identifier is invalid."));
    return err;
}

/* Bedrock's OpenAI and Anthropic surfaces name the model, and whether to stream, in the body. */
static bool is_body_routed(enum sl_operation op) {
    return op == SL_OP_CHAT_COMPLETIONS || op == SL_OP_RESPONSES || op == SL_OP_MESSAGES ||
           op == SL_OP_MESSAGES_COUNT_TOKENS;
}

static int begin_reading(struct sl_decode *d) {
    if (d->failure || !sl_reading_wanted(d->call->operation))
        return SL_OK;
    d->own = sl_slab_take(&readings);
    return d->own ? sl_reading_begin(d->own, !d->settings->no_meaning) : SL_E_NOMEM;
}

static int begin_call(struct sl_decode *d, const struct sl_request_head *head,
                      const struct sl_route *route, struct sl_slice path) {
    struct sl_call *call = d->call;
    const struct sl_operation_info *info = sl_operation_info(route->operation);
    call->operation = route->operation;
    if (call->plane != SL_PLANE_MANTLE)
        call->plane = info->plane;
    call->framing = info->framing;
    call->max_tokens = -1;
    d->ask->operation = route->operation;
    d->ask->stream = info->framing == SL_FRAMING_EVENTSTREAM;
    int err = sl_arena_copy(d->arena, head->method, &call->method);
    if (!err)
        err = copy_target(d, path, sl_target_query(head->target));
    if (!err)
        err = copy_headers(d, head);
    if (!err && route->model.len > 0)
        err = decode_model(d, route->model);
    struct sl_slice key = sl_headers_get(&head->headers, SL_LIT("amz-sdk-invocation-id"));
    if (key.len == 0)
        key = sl_headers_get(&head->headers, SL_LIT("idempotency-key"));
    if (!err && key.len > 0)
        err = sl_arena_copy(d->arena, key, &call->rejoin_key);
    if (!err)
        err = sl_wishes_read(d, head);
    return err ? err : begin_reading(d);
}

/* Paths of Bedrock's that are not carried, and paths of other services. */
static int refuse_route(struct sl_decode *d, const struct sl_route *route,
                        struct sl_slice service) {
    if (route->outcome == SL_ROUTE_BIDIRECTIONAL)
        return refuse(
            d, SL_FAILURE_UNKNOWN_OPERATION,
            SL_LIT("Sluice does not carry InvokeModelWithBidirectionalStream. Use Bedrock "
                   "directly for it: create that client with endpoint_url "
                   "https://bedrock-runtime.REGION.amazonaws.com, which overrides "
                   "AWS_ENDPOINT_URL_BEDROCK_RUNTIME."));
    if (service.len > 0 && !sl_slice_starts(service, SL_LIT("bedrock"))) {
        int err = sl_arena_printf(
            d->arena, &d->message,
            "Sluice serves Amazon Bedrock only, and this request is signed for '%.*s'. Set "
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME instead of AWS_ENDPOINT_URL, so that other "
            "services keep their own endpoints.",
            SL_FMT(sl_slice_head(service, 64)));
        d->failure = SL_FAILURE_UNKNOWN_OPERATION;
        return err;
    }
    return refuse(
        d, SL_FAILURE_UNKNOWN_OPERATION,
        SL_LIT(
            "Sluice knows no operation at this path. It serves Bedrock's runtime (and the listing "
            "of models "
            "and inference profiles): for other Bedrock APIs, such as agents, set "
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME alone, so that their clients keep AWS's endpoints."));
}

static int begin(struct sl_decode *d, const struct sl_request_head *head) {
    struct sl_slice path = sl_target_path(head->target), service = signed_service(head);
    if (sl_slice_starts(path, MANTLE_PREFIX) && path.len > MANTLE_PREFIX.len &&
        path.ptr[MANTLE_PREFIX.len] == '/') {
        path = sl_slice_skip(path, MANTLE_PREFIX.len);
        d->call->plane = SL_PLANE_MANTLE;
    } else if (sl_slice_eq(service, SL_LIT("bedrock-mantle"))) {
        d->call->plane = SL_PLANE_MANTLE;
    }
    struct sl_route route = sl_route_find(d->call->plane, head->method, path);
    bool foreign = service.len > 0 && !sl_slice_starts(service, SL_LIT("bedrock"));
    if (route.outcome != SL_ROUTE_FOUND || foreign)
        return refuse_route(d, &route, service);
    return begin_call(d, head, &route, path);
}

/* A body is hashed when it is sent, but a large one while it arrives: no step is to take long. */
static void hash(struct sl_decode *d, struct sl_slice bytes) {
    const struct sl_chain *body = &d->call->body;
    struct sl_chain_cursor cursor = {0};
    struct sl_slice former;
    uint64_t before = sl_chain_len(body) - bytes.len;
    if (sl_chain_len(body) <= HASH_LATER_MAX)
        return;
    if (!d->hashing)
        sl_sha256_init(&d->digest);
    while (!d->hashing && cursor.offset < before && sl_chain_peek(body, &cursor, &former, 1) == 1) {
        former = sl_slice_head(former, (size_t)(before - cursor.offset));
        sl_sha256_update(&d->digest, former);
        sl_chain_advance(body, &cursor, former.len);
    }
    d->hashing = true;
    sl_sha256_update(&d->digest, bytes);
}

static int body(struct sl_decode *d, struct sl_slice bytes) {
    if (d->failure)
        return SL_OK;
    int err = sl_chain_add(&d->call->body, bytes);
    if (err)
        return err;
    hash(d, bytes);
    if (d->own)
        sl_reading_feed(d->own, bytes);
    return SL_OK;
}

/* What the surfaces say in the body instead of in the path. */
static int take_routing(struct sl_decode *d) {
    const struct sl_json_fact *stream = sl_reading_fact(d->own, SL_READING_STREAM);
    const struct sl_json_fact *model = sl_reading_fact(d->own, SL_READING_MODEL);
    if (stream && stream->type == SL_FACT_BOOL && stream->integer) {
        d->call->framing = SL_FRAMING_SSE;
        d->ask->stream = true;
    }
    if (!model || model->type != SL_FACT_STRING || model->cut)
        return SL_OK;
    return sl_arena_copy(d->arena, sl_buf_slice(&model->text), &d->call->model);
}

static int finish(struct sl_decode *d) {
    const struct sl_json_fact *prompt = NULL;
    int err = SL_OK;
    if (d->failure)
        return SL_OK;
    if (d->own) {
        /* A body that is not JSON is Bedrock's to refuse; only what it says is lost. */
        sl_reading_finish(d->own, d->call);
        prompt = sl_reading_fact(d->own, SL_READING_PROMPT);
        if (is_body_routed(d->call->operation))
            err = take_routing(d);
    }
    if (d->hashing)
        sl_sha256_final(&d->digest, d->call->body_sha256);
    d->call->hash_due = !d->hashing;
    return err ? err : sl_retired_replace(d, prompt);
}

static void release(struct sl_decode *d) {
    sl_reading_done(d->own);
    sl_slab_give(&readings, d->own);
}

static int error(struct sl_arena *arena, const char *id, enum sl_failure kind,
                 struct sl_slice message, struct sl_headers *headers, struct sl_buf *out) {
    const struct sl_failure_info *info = sl_failure_info(kind);
    struct sl_slice type;
    (void)id; /* x-sluice-request-id has it */
    int err =
        sl_arena_printf(arena, &type, "%.*s:http://internal.amazon.com/coral/com.amazon.bedrock/",
                        SL_FMT(info->exception));
    if (!err)
        err = sl_headers_add(headers, arena, SL_LIT("Content-Type"), SL_LIT("application/json"));
    if (!err)
        err = sl_headers_add(headers, arena, SL_LIT("x-amzn-ErrorType"), type);
    if (!err)
        err = sl_buf_add_str(out, "{\"message\":");
    if (!err)
        err = sl_buf_add_json(out, message);
    return err ? err : sl_buf_add_byte(out, '}');
}

/* OpenAI's and Anthropic's streams on Bedrock have error events of their own. */
static int broken_sse(enum sl_operation op, struct sl_slice message, struct sl_buf *out) {
    bool anthropic = op == SL_OP_MESSAGES;
    struct sl_buf data;
    sl_buf_init(&data, 4096);
    int err = sl_buf_add_str(
        &data,
        anthropic
            ? "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":"
            : "{\"error\":{\"type\":\"server_error\",\"code\":null,\"param\":null,\"message\":");
    if (!err)
        err = sl_buf_add_json(&data, message);
    if (!err)
        err = sl_buf_add_str(&data, "}}");
    if (!err)
        err = sl_sse_encode(out, op == SL_OP_CHAT_COMPLETIONS ? SL_EMPTY : SL_LIT("error"),
                            sl_buf_slice(&data));
    sl_buf_done(&data);
    return err;
}

static int broken(enum sl_operation op, enum sl_framing framing, enum sl_failure kind,
                  struct sl_slice message, struct sl_buf *out) {
    switch (framing) {
    case SL_FRAMING_EVENTSTREAM:
        return sl_eventstream_exception(out, sl_failure_info(kind)->frame_name, message);
    case SL_FRAMING_SSE:
        return broken_sse(op, message, out);
    default:
        return SL_E_NOTFOUND;
    }
}

const struct sl_dialect sl_dialect_bedrock = {
    .name = "bedrock",
    .serves = serves,
    .begin = begin,
    .body = body,
    .finish = finish,
    .release = release,
    .encoder = sl_bedrock_encoder,
    .error = error,
    .broken = broken,
};

const struct sl_dialect *sl_dialect_for(const struct sl_request_head *head) {
    static const struct sl_dialect *const all[] = {&sl_dialect_openai, &sl_dialect_anthropic,
                                                   &sl_dialect_rest, &sl_dialect_bedrock};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i]->serves(head))
            return all[i];
    return &sl_dialect_bedrock;
}

void sl_decode_done(struct sl_decode *d) {
    if (d->own && d->dialect->release)
        d->dialect->release(d);
    *d = (struct sl_decode){0};
}
