/*
 * Operations. Each has a function that makes the answer; those that call a model share one course:
 * read the body, find the model, decode, generate, reserve quota, encode.
 */
#include <assert.h>

#include "sim/control.h"
#include "sim/embed.h"
#include "sim/exchange.h"
#include "sim/guardrail.h"
#include "sluice/base/mem.h"
#include "sluice/wire/modelid.h"

#define AGAIN ", please reformat your input and try again."
#define JSON  SL_LIT("application/json")

static int invalid(struct sl_sim_exchange *x, const char *words) {
    return sl_sim_refuse(&x->no, SL_FAILURE_VALIDATION, "%s", words);
}

static struct sl_slice region_of(const struct sl_sim_exchange *x) {
    return sl_slice_str(x->sim->settings.region);
}

static struct sl_slice header(const struct sl_sim_exchange *x, struct sl_slice name) {
    return sl_headers_get(&x->head.headers, name);
}

/* ---- The body --------------------------------------------------------------------- */

static bool is_large(const struct sl_sim_exchange *x) {
    return sl_chain_len(&x->body) > SL_SIM_MAX_TREE;
}

/* The tree of a body that may have one; NULL for a large one, which the scan has read. */
static int read_tree(struct sl_sim_exchange *x, cJSON **tree) {
    struct sl_slice text;
    *tree = NULL;
    if (x->scan_error == SL_E_NOMEM)
        return SL_E_NOMEM;
    if (x->scan_error)
        return invalid(x, sl_chain_len(&x->body)
                              ? "Malformed input request: the body is not a JSON object" AGAIN
                              : "Malformed input request: the body is empty" AGAIN);
    if (is_large(x))
        return 0;
    int error = sl_chain_flatten(&x->body, SL_SIM_MAX_TREE, &text);
    if (error)
        return error;
    *tree = cJSON_ParseWithLength(text.ptr, text.len);
    return *tree ? 0 : invalid(x, "Malformed input request: the body nests too deeply" AGAIN);
}

/* For operations whose large bodies nobody needs. */
static int read_small_tree(struct sl_sim_exchange *x, cJSON **tree) {
    int error = read_tree(x, tree);
    if (!error && !*tree)
        return sl_sim_refuse(&x->no, SL_FAILURE_TOO_LARGE, "The request body is too large.");
    return error;
}

/* ---- The model -------------------------------------------------------------------- */

static bool is_mantle(const struct sl_sim_exchange *x) {
    return x->auth.service == SL_SIM_SERVICE_MANTLE || x->route.services == SL_SIM_SERVICE_MANTLE;
}

/* As the request names it: in the path, or in the body. Kept in the arena. */
static int find_model(struct sl_sim_exchange *x, const cJSON *tree) {
    struct sl_slice name = x->route.params[0];
    if (x->route.api != SL_SIM_API_AWS)
        name = tree ? sl_sim_get_string(tree, "model") : sl_sim_scan_model(&x->scan);
    int error = sl_arena_copy(&x->arena, name, &x->reply.model_id);
    if (error)
        return error;
    name = x->reply.model_id;
    if (x->route.api != SL_SIM_API_AWS && !name.len)
        return invalid(x, x->route.api == SL_SIM_API_OPENAI ? "you must provide a model parameter"
                                                            : "model: Field required");
    return is_mantle(x) ? sl_sim_model_resolve_mantle(name, &x->target, &x->no)
                        : sl_sim_model_resolve(name, region_of(x), &x->target, &x->no);
}

/* The shape of this request's body; NULL for those that embed. */
static const struct sl_sim_shape *find_shape(const struct sl_sim_exchange *x, const cJSON *tree) {
    enum sl_family family = x->target.model->family;
    switch (x->route.op) {
    case SL_SIM_OP_CONVERSE:
    case SL_SIM_OP_CONVERSE_STREAM:
        return &sl_sim_shape_converse;
    case SL_SIM_OP_CHAT:
        return &sl_sim_shape_chat;
    case SL_SIM_OP_RESPONSES:
        return &sl_sim_shape_responses;
    case SL_SIM_OP_MESSAGES:
        return &sl_sim_shape_messages;
    default:
        if (x->target.channel == SL_SIM_OTHER_ARN && tree)
            family = sl_sim_family_of_body(tree);
        return sl_sim_shape_of(family);
    }
}

/* ---- Calls of a model ------------------------------------------------------------- */

static int decode(struct sl_sim_exchange *x, const struct sl_sim_shape *shape, const cJSON *tree,
                  struct sl_sim_ask *ask) {
    int error = 0;
    bool named = header(x, SL_LIT("x-amzn-bedrock-guardrailidentifier")).len > 0;
    if (!tree) {
        sl_sim_scan_ask(&x->scan, ask);
        if (ask->max_tokens > ask->model->max_output)
            ask->max_tokens = ask->model->max_output;
    } else {
        error = shape ? shape->decode(ask, tree) : sl_sim_embed_decode(ask, tree);
    }
    ask->guarded = ask->guarded || named;
    if (!error && sl_sim_ask_tokens(ask) > (uint64_t)ask->model->context)
        return invalid(x, "Input is too long for requested model.");
    return error;
}

/* What the ask says beyond its plan, kept for as long as the exchange. */
static int keep_reply(struct sl_sim_exchange *x, const struct sl_sim_ask *ask) {
    struct sl_sim_reply *r = &x->reply;
    bool native = x->route.op == SL_SIM_OP_INVOKE || x->route.op == SL_SIM_OP_INVOKE_STREAM;
    struct sl_slice tier = native ? header(x, SL_LIT("x-amzn-bedrock-service-tier")) : ask->tier;
    struct sl_slice latency =
        native ? header(x, SL_LIT("x-amzn-bedrock-performanceconfig-latency")) : ask->latency;
    r->plan = &x->plan;
    r->model = ask->model;
    r->request_id = sl_slice_str(x->request_id);
    r->stream_usage = ask->stream_usage;
    r->guarded = ask->guarded;
    r->wall_ms = x->wall_ms;
    int error = sl_arena_copy(&x->arena, tier, &r->tier);
    return error ? error : sl_arena_copy(&x->arena, latency, &r->latency);
}

static int reserve(struct sl_sim_exchange *x, uint64_t tokens) {
    struct sl_sim *sim = x->sim;
    uint32_t most = sim->settings.max_in_flight;
    if (most && sim->stats.in_flight >= most)
        return sl_sim_refuse(&x->no, SL_FAILURE_UNAVAILABLE,
                             "Too many connections, please wait before trying again.");
    enum sl_sim_throttle kind =
        sl_sim_quotas_reserve(sim->quotas, x->target, tokens, sim->loop->now,
                              (uint64_t)sim->loop->wall_ms * SL_NS_PER_MS, &x->reservation);
    if (kind != SL_SIM_ADMITTED) {
        sim->stats.throttles[kind]++;
        return sl_sim_refuse(&x->no, SL_FAILURE_THROTTLED, "%s", sl_sim_throttle_message(kind));
    }
    x->counted = true;
    if (++sim->stats.in_flight > sim->stats.in_flight_max)
        sim->stats.in_flight_max = sim->stats.in_flight;
    return 0;
}

/* A whole answer comes when its last token would have. */
static void plan_wait(struct sl_sim_exchange *x, bool streamed) {
    const struct sl_sim_settings *s = &x->sim->settings;
    uint64_t wait = s->latency_ms * SL_NS_PER_MS;
    uint64_t first = wait + s->first_token_ms * SL_NS_PER_MS, all = first;
    if (s->tokens_per_second)
        all += (uint64_t)x->plan.usage.output * SL_NS_PER_S / s->tokens_per_second;
    x->answer.wait = streamed ? wait : all;
    uint64_t delay = x->fault.delay_ms;
    x->reply.first_ms = (int64_t)(first / SL_NS_PER_MS + delay);
    x->reply.latency_ms = (int64_t)(all / SL_NS_PER_MS + delay);
}

static void encode_stream(struct sl_sim_exchange *x, const struct sl_sim_shape *shape,
                          enum sl_sim_framing framing) {
    struct sl_sim_answer *a = &x->answer;
    a->shape = shape;
    a->content_type = framing == SL_SIM_FRAMING_SSE ? SL_LIT("text/event-stream; charset=utf-8")
                                                    : SL_LIT("application/vnd.amazon.eventstream");
    sl_sim_walk_init(&a->walk, &x->plan);
    sl_sim_emitter_init(&a->emitter, framing, &a->out, &x->reply);
    a->emitter.named = shape->named && framing == SL_SIM_FRAMING_CHUNK;
}

static void encode_whole(struct sl_sim_exchange *x, const struct sl_sim_shape *shape,
                         const struct sl_sim_ask *ask) {
    struct sl_sim_out *out = &x->answer.out;
    bool native = x->route.op == SL_SIM_OP_INVOKE;
    if (shape)
        shape->whole(out, &x->reply);
    else
        sl_sim_embed_whole(out, ask, x->sim->settings.seed, x->reply.request_id);
    if (native && x->reply.guarded && !out->error) {
        out->buf.len--; /* opens the object again */
        sl_sim_put(out, ",'amazon-bedrock-guardrailAction':%s}",
                   x->plan.stop == SL_SIM_STOP_GUARDRAIL ? SL_LIT("INTERVENED") : SL_LIT("NONE"));
    }
    x->answer.token_headers = native;
}

static enum sl_sim_framing framing_of(enum sl_sim_operation op) {
    return op == SL_SIM_OP_CONVERSE_STREAM ? SL_SIM_FRAMING_CONVERSE
           : op == SL_SIM_OP_INVOKE_STREAM ? SL_SIM_FRAMING_CHUNK
                                           : SL_SIM_FRAMING_SSE;
}

/* Imported models have InvokeModel alone. */
static bool is_beyond_converse(const struct sl_sim_exchange *x) {
    bool converse = x->route.op == SL_SIM_OP_CONVERSE || x->route.op == SL_SIM_OP_CONVERSE_STREAM;
    return converse && sl_model_id_kind(x->reply.model_id) == SL_MODEL_ID_IMPORTED_ARN;
}

static int call_model(struct sl_sim_exchange *x, const cJSON *tree, struct sl_sim_ask *ask) {
    int error = find_model(x, tree);
    if (error)
        return error;
    const struct sl_sim_shape *shape = find_shape(x, tree);
    bool native_stream =
        x->route.op == SL_SIM_OP_CONVERSE_STREAM || x->route.op == SL_SIM_OP_INVOKE_STREAM;
    bool streams = shape && !(x->target.model->flags & SL_SIM_MODEL_NO_STREAM);
    if (native_stream && (!streams || !shape->step))
        return invalid(x, "The model is unsupported for streaming.");
    if (shape && (x->target.model->flags & SL_SIM_MODEL_EMBEDS || is_beyond_converse(x)))
        return invalid(x,
                       "The action doesn't support the model that you provided. Try again with a "
                       "supported text or chat model.");
    sl_sim_ask_init(ask, &x->arena, &x->no, x->target.model);
    error = decode(x, shape, tree, ask);
    if (!error && !shape)
        x->plan.usage = (struct sl_usage){.input = (int64_t)sl_sim_ask_tokens(ask)};
    else if (!error)
        error = sl_sim_generate(ask, x->sim->settings.seed, &x->plan);
    if (!error)
        error = keep_reply(x, ask);
    if (!error)
        error = reserve(x, sl_sim_ask_tokens(ask) + (uint64_t)sl_sim_ask_limit(ask));
    if (error)
        return error;
    sl_sim_prefixes_apply(&x->sim->prefixes, ask, x->target.channel, x->sim->loop->now,
                          &x->plan.usage);
    bool streamed = shape && (native_stream || (x->route.api != SL_SIM_API_AWS && ask->stream));
    plan_wait(x, streamed);
    if (streamed)
        encode_stream(x, shape, framing_of(x->route.op));
    else
        encode_whole(x, shape, ask);
    return x->answer.out.error;
}

static int serve_model(struct sl_sim_exchange *x) {
    struct sl_sim_ask *ask = sl_alloc(sizeof *ask); /* too large for the stack's taste */
    cJSON *tree;
    if (!ask)
        return SL_E_NOMEM;
    int error = read_tree(x, &tree);
    if (!error)
        error = call_model(x, tree, ask);
    cJSON_Delete(tree);
    sl_free(ask);
    return error;
}

/* ---- Counting --------------------------------------------------------------------- */

static int from_base64(struct sl_slice in, struct sl_buf *out) {
    uint32_t group = 0;
    int bits = 0, error = 0;
    while (in.len && in.ptr[in.len - 1] == '=')
        in.len--;
    for (size_t i = 0; i < in.len && !error; i++) {
        char c = in.ptr[i];
        int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                    : c >= 'a' && c <= 'z' ? c - 'a' + 26
                    : c >= '0' && c <= '9' ? c - '0' + 52
                    : c == '+'             ? 62
                    : c == '/'             ? 63
                                           : -1;
        if (value < 0)
            return SL_E_INVALID;
        group = group << 6 | (uint32_t)value;
        bits += 6;
        if (bits < 8)
            continue;
        bits -= 8;
        error = sl_buf_add_byte(out, (char)(group >> bits & 255));
    }
    return error;
}

/* The body in input.invokeModel, in the shape of its family. */
static int count_invoke(struct sl_sim_exchange *x, const cJSON *input, struct sl_sim_ask *ask) {
    const struct sl_sim_shape *shape = sl_sim_shape_of(x->target.model->family);
    struct sl_buf text;
    sl_buf_init(&text, SL_SIM_MAX_TREE);
    int error = from_base64(sl_sim_get_string(input, "body"), &text);
    cJSON *inner = error ? NULL : cJSON_ParseWithLength(sl_buf_slice(&text).ptr, text.len);
    if (error == SL_E_NOMEM)
        ; /* told by the caller */
    else if (!inner)
        error = invalid(x, "Malformed input request: the body is not a JSON object" AGAIN);
    else
        error = shape ? shape->decode(ask, inner) : sl_sim_embed_decode(ask, inner);
    cJSON_Delete(inner);
    sl_buf_done(&text);
    return error;
}

static int count_tokens(struct sl_sim_exchange *x, const cJSON *tree, struct sl_sim_ask *ask) {
    int error = find_model(x, tree);
    if (error)
        return error;
    sl_sim_ask_init(ask, &x->arena, &x->no, x->target.model);
    const cJSON *input = sl_sim_get(tree, "input");
    if (x->route.op == SL_SIM_OP_MESSAGES_COUNT)
        error = sl_sim_messages_count(ask, tree);
    else if (x->target.model->family == SL_FAMILY_CLAUDE &&
             !sl_sim_model_has(x->target.model, SL_SIM_ON_DEMAND) &&
             x->target.channel == SL_SIM_ON_DEMAND)
        error = invalid(x, "The provided model doesn't support counting tokens.");
    else if (sl_sim_get(input, "converse"))
        error = sl_sim_shape_converse.decode(ask, sl_sim_get(input, "converse"));
    else if (sl_sim_get(input, "invokeModel"))
        error = count_invoke(x, sl_sim_get(input, "invokeModel"), ask);
    else
        error = invalid(x, "1 validation error detected: Value null at 'input' failed to satisfy "
                           "constraint: Member must not be null");
    if (error)
        return error;
    sl_sim_put(&x->answer.out,
               x->route.op == SL_SIM_OP_MESSAGES_COUNT ? "{'input_tokens':%d}"
                                                       : "{'inputTokens':%d}",
               (int64_t)sl_sim_ask_tokens(ask));
    return x->answer.out.error;
}

static int serve_count(struct sl_sim_exchange *x) {
    struct sl_sim_ask *ask = sl_alloc(sizeof *ask);
    cJSON *tree;
    if (!ask)
        return SL_E_NOMEM;
    int error = read_small_tree(x, &tree);
    if (!error)
        error = count_tokens(x, tree, ask);
    cJSON_Delete(tree);
    sl_free(ask);
    return error;
}

/* ---- The others ------------------------------------------------------------------- */

/* Operations with a body that one function answers. */
static int serve_document(struct sl_sim_exchange *x) {
    struct sl_sim_out *out = &x->answer.out;
    cJSON *tree;
    int error = read_small_tree(x, &tree);
    if (error)
        return error;
    switch (x->route.op) {
    case SL_SIM_OP_APPLY_GUARDRAIL:
        error = sl_sim_guardrail_apply(tree, x->route.params[0], x->route.params[1], out, &x->no);
        break;
    case SL_SIM_OP_GUARDRAIL_CHECKS:
        error = sl_sim_guardrail_checks(tree, out, &x->no);
        break;
    case SL_SIM_OP_START_ASYNC:
        error = sl_sim_jobs_start(&x->sim->jobs, tree, region_of(x), x->wall_ms, out, &x->no);
        break;
    default:
        assert(x->route.op == SL_SIM_OP_SERVICE_QUOTAS);
        x->answer.content_type = SL_LIT("application/x-amz-json-1.1");
        error = sl_sim_list_quotas(header(x, SL_LIT("x-amz-target")), tree, &x->sim->settings, out,
                                   &x->no);
        break;
    }
    cJSON_Delete(tree);
    return error;
}

static int serve_query(struct sl_sim_exchange *x) {
    struct sl_slice query = sl_target_query(x->head.target), id = x->route.params[0];
    struct sl_sim_out *out = &x->answer.out;
    switch (x->route.op) {
    case SL_SIM_OP_GET_ASYNC:
        return sl_sim_jobs_get(&x->sim->jobs, id, region_of(x), x->wall_ms, out, &x->no);
    case SL_SIM_OP_LIST_ASYNC:
        return sl_sim_jobs_list(&x->sim->jobs, query, region_of(x), x->wall_ms, out, &x->no);
    case SL_SIM_OP_LIST_MODELS:
        return sl_sim_list_models(query, region_of(x), out, &x->no);
    case SL_SIM_OP_GET_MODEL:
        return sl_sim_get_model(id, region_of(x), out, &x->no);
    case SL_SIM_OP_LIST_PROFILES:
        return sl_sim_list_profiles(query, region_of(x), out, &x->no);
    case SL_SIM_OP_GET_PROFILE:
        return sl_sim_get_profile(id, region_of(x), out, &x->no);
    default:
        assert(x->route.op == SL_SIM_OP_MANTLE_MODELS);
        return sl_sim_list_mantle_models(out);
    }
}

static int serve_simulator(struct sl_sim_exchange *x) {
    struct sl_sim *sim = x->sim;
    if (x->route.op == SL_SIM_OP_RESET) {
        sl_sim_stats_reset(&sim->stats);
        sl_sim_quotas_reset(sim->quotas);
        sim->prefixes = (struct sl_sim_prefixes){0};
        sim->faults.requests = 0;
        sl_sim_jobs_done(&sim->jobs);
    }
    sl_sim_stats_write(&sim->stats, sim->bodies.used, &x->answer.out);
    return x->answer.out.error;
}

static int serve_nothing(struct sl_sim_exchange *x) {
    if (x->route.op == SL_SIM_OP_INVOKE_BIDIRECTIONAL)
        return invalid(x, "The model is unsupported for bidirectional streaming.");
    return sl_sim_refuse(&x->no, SL_FAILURE_UNKNOWN_OPERATION, "Unknown operation");
}

int sl_sim_serve(struct sl_sim_exchange *x) {
    static int (*const operations[SL_SIM_OPERATION_COUNT])(struct sl_sim_exchange *) = {
        [SL_SIM_OP_UNKNOWN] = serve_nothing,
        [SL_SIM_OP_INVOKE] = serve_model,
        [SL_SIM_OP_INVOKE_STREAM] = serve_model,
        [SL_SIM_OP_INVOKE_BIDIRECTIONAL] = serve_nothing,
        [SL_SIM_OP_CONVERSE] = serve_model,
        [SL_SIM_OP_CONVERSE_STREAM] = serve_model,
        [SL_SIM_OP_COUNT_TOKENS] = serve_count,
        [SL_SIM_OP_APPLY_GUARDRAIL] = serve_document,
        [SL_SIM_OP_GUARDRAIL_CHECKS] = serve_document,
        [SL_SIM_OP_START_ASYNC] = serve_document,
        [SL_SIM_OP_GET_ASYNC] = serve_query,
        [SL_SIM_OP_LIST_ASYNC] = serve_query,
        [SL_SIM_OP_LIST_MODELS] = serve_query,
        [SL_SIM_OP_GET_MODEL] = serve_query,
        [SL_SIM_OP_LIST_PROFILES] = serve_query,
        [SL_SIM_OP_GET_PROFILE] = serve_query,
        [SL_SIM_OP_SERVICE_QUOTAS] = serve_document,
        [SL_SIM_OP_CHAT] = serve_model,
        [SL_SIM_OP_RESPONSES] = serve_model,
        [SL_SIM_OP_MESSAGES] = serve_model,
        [SL_SIM_OP_MESSAGES_COUNT] = serve_count,
        [SL_SIM_OP_MANTLE_MODELS] = serve_query,
        [SL_SIM_OP_STATS] = serve_simulator,
        [SL_SIM_OP_RESET] = serve_simulator,
    };
    x->answer.status = 200;
    x->answer.content_type = JSON;
    return operations[x->route.op](x);
}
