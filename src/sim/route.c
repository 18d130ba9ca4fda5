#include "sim/route.h"

#include "sim/auth.h"
#include "sluice/wire/uri.h"

const char *sl_sim_operation_name(enum sl_sim_operation op) {
    static const char *const names[] = {
#define X(op, name) [SL_SIM_OP_##op] = (name),
        SL_SIM_OPERATIONS(X)
#undef X
    };
    return names[op];
}

#define BEDROCK SL_SIM_SERVICE_BEDROCK
#define MANTLE  SL_SIM_SERVICE_MANTLE
#define BOTH    (BEDROCK | MANTLE)

/* "{}" stands for one segment, percent-encoded slashes included. */
static const struct {
    const char *method, *pattern;
    enum sl_sim_operation op;
    enum sl_sim_api api;
    unsigned services;
} routes[] = {
    /* clang-format off */
    {"POST", "/model/{}/invoke", SL_SIM_OP_INVOKE, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/model/{}/invoke-with-response-stream", SL_SIM_OP_INVOKE_STREAM, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/model/{}/invoke-with-bidirectional-stream", SL_SIM_OP_INVOKE_BIDIRECTIONAL, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/model/{}/converse", SL_SIM_OP_CONVERSE, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/model/{}/converse-stream", SL_SIM_OP_CONVERSE_STREAM, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/model/{}/count-tokens", SL_SIM_OP_COUNT_TOKENS, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/guardrail/{}/version/{}/apply", SL_SIM_OP_APPLY_GUARDRAIL, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/guardrail-checks/invoke", SL_SIM_OP_GUARDRAIL_CHECKS, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/async-invoke", SL_SIM_OP_START_ASYNC, SL_SIM_API_AWS, BEDROCK},
    {"GET", "/async-invoke", SL_SIM_OP_LIST_ASYNC, SL_SIM_API_AWS, BEDROCK},
    {"GET", "/async-invoke/{}", SL_SIM_OP_GET_ASYNC, SL_SIM_API_AWS, BEDROCK},
    {"GET", "/foundation-models", SL_SIM_OP_LIST_MODELS, SL_SIM_API_AWS, BEDROCK},
    {"GET", "/foundation-models/{}", SL_SIM_OP_GET_MODEL, SL_SIM_API_AWS, BEDROCK},
    {"GET", "/inference-profiles", SL_SIM_OP_LIST_PROFILES, SL_SIM_API_AWS, BEDROCK},
    {"GET", "/inference-profiles/{}", SL_SIM_OP_GET_PROFILE, SL_SIM_API_AWS, BEDROCK},
    {"POST", "/", SL_SIM_OP_SERVICE_QUOTAS, SL_SIM_API_AWS_JSON, SL_SIM_SERVICE_QUOTAS},
    {"POST", "/openai/v1/chat/completions", SL_SIM_OP_CHAT, SL_SIM_API_OPENAI, BOTH},
    {"POST", "/v1/chat/completions", SL_SIM_OP_CHAT, SL_SIM_API_OPENAI, MANTLE},
    {"POST", "/openai/v1/responses", SL_SIM_OP_RESPONSES, SL_SIM_API_OPENAI, BOTH},
    {"POST", "/v1/responses", SL_SIM_OP_RESPONSES, SL_SIM_API_OPENAI, MANTLE},
    {"GET", "/v1/models", SL_SIM_OP_MANTLE_MODELS, SL_SIM_API_OPENAI, MANTLE},
    {"GET", "/openai/v1/models", SL_SIM_OP_MANTLE_MODELS, SL_SIM_API_OPENAI, MANTLE},
    {"POST", "/anthropic/v1/messages", SL_SIM_OP_MESSAGES, SL_SIM_API_ANTHROPIC, BOTH},
    {"POST", "/anthropic/v1/messages/count_tokens", SL_SIM_OP_MESSAGES_COUNT, SL_SIM_API_ANTHROPIC, MANTLE},
    {"GET", "/simulator/stats", SL_SIM_OP_STATS, SL_SIM_API_AWS, 0},
    {"POST", "/simulator/reset", SL_SIM_OP_RESET, SL_SIM_API_AWS, 0},
    /* clang-format on */
};

/* Compares segment by segment; keeps what "{}" stood for, undecoded. */
static bool matches(struct sl_slice pattern, struct sl_slice path,
                    struct sl_slice params[SL_SIM_ROUTE_PARAMS]) {
    struct sl_slice want, have;
    size_t n = 0;
    while (sl_slice_split(&pattern, '/', &want)) {
        if (!sl_slice_split(&path, '/', &have))
            return false;
        if (!sl_slice_eq(want, SL_LIT("{}"))) {
            if (!sl_slice_eq(want, have))
                return false;
        } else if (have.len == 0) {
            return false;
        } else {
            params[n++] = have;
        }
    }
    return path.ptr == NULL;
}

static int decode(struct sl_slice raw, struct sl_arena *arena, struct sl_slice *out) {
    struct sl_buf buf;
    sl_buf_init(&buf, raw.len);
    int error = sl_uri_decode(&buf, raw);
    if (!error)
        error = sl_arena_copy(arena, sl_buf_slice(&buf), out);
    sl_buf_done(&buf);
    return error;
}

int sl_sim_route_find(struct sl_slice method, struct sl_slice path, struct sl_arena *arena,
                      struct sl_sim_route *out) {
    struct sl_sim_route found = {.op = SL_SIM_OP_UNKNOWN, .services = BOTH};
    struct sl_slice raw[SL_SIM_ROUTE_PARAMS] = {SL_EMPTY, SL_EMPTY};
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!sl_slice_eq(method, sl_slice_str(routes[i].method)) ||
            !matches(sl_slice_str(routes[i].pattern), path, raw))
            continue;
        found = (struct sl_sim_route){routes[i].op, routes[i].api, routes[i].services, {SL_EMPTY}};
        break;
    }
    for (size_t i = 0; found.op && i < SL_SIM_ROUTE_PARAMS; i++) {
        int error = decode(raw[i], arena, &found.params[i]);
        if (error == SL_E_NOMEM)
            return error;
        if (error)
            found.op = SL_SIM_OP_UNKNOWN; /* a stray '%' */
    }
    *out = found;
    return 0;
}

struct sl_slice sl_sim_query_get(struct sl_slice query, struct sl_slice name,
                                 struct sl_arena *arena) {
    struct sl_slice pair, value;
    while (sl_slice_split(&query, '&', &pair)) {
        size_t eq = sl_slice_find(pair, '=');
        if (sl_slice_eq(sl_slice_head(pair, eq), name))
            return decode(sl_slice_skip(pair, eq + 1), arena, &value) == 0 ? value : SL_EMPTY;
    }
    return SL_EMPTY;
}
