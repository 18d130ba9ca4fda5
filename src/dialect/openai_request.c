/* POST /v1/chat/completions as a Converse body. */
#include "dialect/openai.h"

static const char *const ignored[] = {
    "seed",      "frequency_penalty", "presence_penalty",   "logit_bias", "prediction",
    "verbosity", "top_logprobs",      "web_search_options", NULL,
};

static int refuse(struct sl_decode *d, struct sl_slice message) {
    return sl_compose_refuse(d, SL_FAILURE_VALIDATION, message);
}

/* What would change the answer's form and cannot be had. */
static int refuse_unsupported(struct sl_decode *d, const struct sl_json_view *v) {
    const struct sl_json_node *root = sl_json_root(v);
    const struct sl_json_node *n = sl_openai_get(v, root, "n");
    if (n && !sl_slice_eq(sl_json_raw(v, n), SL_LIT("1")))
        return refuse(d, SL_LIT("Only n=1 is supported: Bedrock gives one answer to a request. "
                                "Send the request n times instead."));
    if (sl_json_is(sl_json_get(v, root, "logprobs"), SL_JSON_IS_TRUE))
        return refuse(d, SL_LIT("logprobs is not supported: Bedrock does not tell them."));
    if (sl_openai_get(v, root, "functions") || sl_openai_get(v, root, "function_call"))
        return refuse(d, SL_LIT("functions and function_call are not supported: use tools and "
                                "tool_choice."));
    if (sl_openai_get(v, root, "audio"))
        return refuse(d, SL_LIT("Audio output is not supported."));
    return SL_OK;
}

static void assistant_message(struct sl_talk *t, const struct sl_json_node *message) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *calls = sl_openai_get(v, message, "tool_calls"), *call;
    const struct sl_json_node *signature = sl_openai_get(v, message, "reasoning_signature");
    const struct sl_json_node *redacted =
        sl_json_child(v, sl_openai_get(v, message, "reasoning_redacted"));
    bool is_signed = signature || redacted;
    sl_talk_reasoning(t, sl_openai_get(v, message, "reasoning_content"), signature);
    for (; redacted; redacted = sl_json_next(v, redacted))
        sl_talk_redacted(t, sl_json_inner(v, redacted));
    sl_talk_content(t, 'a', sl_openai_get(v, message, "content"));
    for (call = sl_json_child(v, calls); call; call = sl_json_next(v, call)) {
        const struct sl_json_node *function = sl_json_get(v, call, "function");
        t->unsigned_tools = t->unsigned_tools || !is_signed;
        sl_talk_tool_use(t, sl_json_get(v, call, "id"), sl_json_get(v, function, "name"),
                         sl_json_get(v, function, "arguments"));
    }
}

static void message(struct sl_talk *t, const struct sl_json_node *m) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *role = sl_json_get(v, m, "role");
    const struct sl_json_node *content = sl_openai_get(v, m, "content");
    if (sl_json_eq(v, role, "system") || sl_json_eq(v, role, "developer"))
        sl_talk_content(t, 's', content);
    else if (sl_json_eq(v, role, "user"))
        sl_talk_content(t, 'u', content);
    else if (sl_json_eq(v, role, "assistant"))
        assistant_message(t, m);
    else if (sl_json_eq(v, role, "tool"))
        sl_talk_tool_result(t, sl_json_get(v, m, "tool_call_id"), content);
    else
        (void)refuse(t->d, SL_LIT("A message's role must be system, developer, user, assistant or "
                                  "tool."));
}

static struct sl_openai_settings settings_of(const struct sl_json_view *v, struct sl_slice model) {
    const struct sl_json_node *root = sl_json_root(v);
    const struct sl_json_node *newer = sl_openai_get(v, root, "max_completion_tokens");
    const struct sl_json_node *format = sl_openai_get(v, root, "response_format");
    return (struct sl_openai_settings){
        .model = model,
        .max_tokens = newer ? newer : sl_openai_get(v, root, "max_tokens"),
        .temperature = sl_openai_get(v, root, "temperature"),
        .top_p = sl_openai_get(v, root, "top_p"),
        .stop = sl_openai_get(v, root, "stop"),
        .effort = sl_openai_get(v, root, "reasoning_effort"),
        .service_tier = sl_openai_get(v, root, "service_tier"),
        .tools = sl_openai_get(v, root, "tools"),
        .tool_choice = sl_openai_get(v, root, "tool_choice"),
        .tools_nested = true,
        .format = format,
        .schema = sl_json_get(v, format, "json_schema"),
    };
}

int sl_openai_chat_request(struct sl_decode *d, const struct sl_json_view *v) {
    struct sl_openai_ask *ask = d->ask->own;
    const struct sl_json_node *root = sl_json_root(v);
    const struct sl_json_node *messages = sl_json_get(v, root, "messages");
    const struct sl_json_node *options = sl_json_get(v, root, "stream_options");
    bool stream = sl_json_is(sl_json_get(v, root, "stream"), SL_JSON_IS_TRUE);
    struct sl_slice model = SL_EMPTY;
    ask->include_usage = sl_json_is(sl_json_get(v, options, "include_usage"), SL_JSON_IS_TRUE);
    int err = refuse_unsupported(d, v);
    if (!err && !d->failure)
        err = sl_openai_model(d, v, &model);
    if (!err && !d->failure && !sl_json_is(messages, SL_JSON_IS_ARRAY))
        return refuse(d, SL_LIT("messages must be a list of messages."));
    if (!err)
        err = sl_openai_ignore_all(ask, v, ignored);
    if (err || d->failure)
        return err;
    struct sl_talk talk;
    struct sl_openai_settings settings = settings_of(v, model);
    sl_talk_init(&talk, d, v, ask);
    for (const struct sl_json_node *m = sl_json_child(v, messages); m; m = sl_json_next(v, m))
        message(&talk, m);
    err = sl_openai_finish_talk(&talk, &settings, stream);
    sl_talk_done(&talk);
    return err;
}
