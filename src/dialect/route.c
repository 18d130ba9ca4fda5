/*
 * Routes are matched by what stands before and behind the model id, because an ARN may bring
 * slashes of its own, raw or as %2F.
 */
#include "dialect/route.h"

#define PLAIN   false
#define WITH_ID true

static const struct row {
    struct sl_slice method, prefix, suffix;
    bool id; /* something, not empty, stands between prefix and suffix */
    enum sl_operation operation;
} bedrock_rows[] = {
    {SL_LIT("POST"), SL_LIT("/model/"), SL_LIT("/invoke"), WITH_ID, SL_OP_INVOKE_MODEL},
    {SL_LIT("POST"), SL_LIT("/model/"), SL_LIT("/invoke-with-response-stream"), WITH_ID,
     SL_OP_INVOKE_MODEL_STREAM},
    {SL_LIT("POST"), SL_LIT("/model/"), SL_LIT("/converse"), WITH_ID, SL_OP_CONVERSE},
    {SL_LIT("POST"), SL_LIT("/model/"), SL_LIT("/converse-stream"), WITH_ID, SL_OP_CONVERSE_STREAM},
    {SL_LIT("POST"), SL_LIT("/model/"), SL_LIT("/count-tokens"), WITH_ID, SL_OP_COUNT_TOKENS},
    {SL_LIT("POST"), SL_LIT("/guardrail/"), SL_LIT("/apply"), WITH_ID, SL_OP_APPLY_GUARDRAIL},
    {SL_LIT("POST"), SL_LIT("/guardrail-checks/invoke"), SL_LIT(""), PLAIN,
     SL_OP_INVOKE_GUARDRAIL_CHECKS},
    {SL_LIT("POST"), SL_LIT("/async-invoke"), SL_LIT(""), PLAIN, SL_OP_START_ASYNC_INVOKE},
    {SL_LIT("GET"), SL_LIT("/async-invoke"), SL_LIT(""), PLAIN, SL_OP_LIST_ASYNC_INVOKES},
    {SL_LIT("GET"), SL_LIT("/async-invoke/"), SL_LIT(""), WITH_ID, SL_OP_GET_ASYNC_INVOKE},
    {SL_LIT("POST"), SL_LIT("/openai/v1/chat/completions"), SL_LIT(""), PLAIN,
     SL_OP_CHAT_COMPLETIONS},
    {SL_LIT("POST"), SL_LIT("/openai/v1/responses"), SL_LIT(""), PLAIN, SL_OP_RESPONSES},
    {SL_LIT("POST"), SL_LIT("/anthropic/v1/messages"), SL_LIT(""), PLAIN, SL_OP_MESSAGES},
    {SL_LIT("GET"), SL_LIT("/foundation-models"), SL_LIT(""), PLAIN, SL_OP_LIST_FOUNDATION_MODELS},
    {SL_LIT("GET"), SL_LIT("/foundation-models/"), SL_LIT(""), WITH_ID, SL_OP_GET_FOUNDATION_MODEL},
    {SL_LIT("GET"), SL_LIT("/inference-profiles"), SL_LIT(""), PLAIN,
     SL_OP_LIST_INFERENCE_PROFILES},
    {SL_LIT("GET"), SL_LIT("/inference-profiles/"), SL_LIT(""), WITH_ID,
     SL_OP_GET_INFERENCE_PROFILE},
};

/* Some models are served under /openai/v1, others under /v1 (user guide, "endpoints"). */
static const struct row mantle_rows[] = {
    {SL_LIT("POST"), SL_LIT("/v1/chat/completions"), SL_LIT(""), PLAIN, SL_OP_CHAT_COMPLETIONS},
    {SL_LIT("POST"), SL_LIT("/v1/responses"), SL_LIT(""), PLAIN, SL_OP_RESPONSES},
    {SL_LIT("POST"), SL_LIT("/openai/v1/chat/completions"), SL_LIT(""), PLAIN,
     SL_OP_CHAT_COMPLETIONS},
    {SL_LIT("POST"), SL_LIT("/openai/v1/responses"), SL_LIT(""), PLAIN, SL_OP_RESPONSES},
    {SL_LIT("POST"), SL_LIT("/anthropic/v1/messages"), SL_LIT(""), PLAIN, SL_OP_MESSAGES},
    {SL_LIT("POST"), SL_LIT("/anthropic/v1/messages/count_tokens"), SL_LIT(""), PLAIN,
     SL_OP_MESSAGES_COUNT_TOKENS},
    {SL_LIT("GET"), SL_LIT("/v1/models"), SL_LIT(""), PLAIN, SL_OP_MANTLE_MODELS},
    {SL_LIT("GET"), SL_LIT("/openai/v1/models"), SL_LIT(""), PLAIN, SL_OP_MANTLE_MODELS},
};

/* SDKs emit "/async-invoke" and "/async-invoke/" alike for an operation without an id. */
static struct sl_slice without_trailing_slash(struct sl_slice path) {
    if (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    return path;
}

static bool matches(const struct row *row, struct sl_slice path, struct sl_slice *id) {
    if (!row->id) {
        *id = SL_EMPTY;
        return sl_slice_eq(without_trailing_slash(path), row->prefix);
    }
    if (path.len <= row->prefix.len + row->suffix.len || !sl_slice_starts(path, row->prefix) ||
        !sl_slice_ends(path, row->suffix))
        return false;
    *id = sl_slice_of(path.ptr + row->prefix.len, path.len - row->prefix.len - row->suffix.len);
    return true;
}

struct sl_route sl_route_find(enum sl_plane plane, struct sl_slice method, struct sl_slice path) {
    const struct row *rows = plane == SL_PLANE_MANTLE ? mantle_rows : bedrock_rows;
    size_t count = plane == SL_PLANE_MANTLE ? sizeof(mantle_rows) / sizeof(mantle_rows[0])
                                            : sizeof(bedrock_rows) / sizeof(bedrock_rows[0]);
    struct sl_route route = {.outcome = SL_ROUTE_UNKNOWN};
    if (sl_slice_starts(path, SL_LIT("/model/")) &&
        sl_slice_ends(path, SL_LIT("/invoke-with-bidirectional-stream")))
        route.outcome = SL_ROUTE_BIDIRECTIONAL;
    for (size_t i = 0; i < count; i++) {
        struct sl_slice id;
        if (sl_slice_eq(rows[i].method, method) && matches(&rows[i], path, &id))
            return (struct sl_route){SL_ROUTE_FOUND, rows[i].operation, id};
    }
    return route;
}
