/*
 * POST /v1/responses as a Converse body. Stateless: the conversation is what the request holds, and
 * what asks for one kept here is refused. The answer repeats the request's settings, so these are
 * noted, as they stand.
 */
#include "dialect/openai.h"

static const char *const ignored[] = {"top_logprobs", "prompt_cache_retention", "max_tool_calls",
                                      NULL};

/* Fields that ask for what is not there, and the sentence that says so. */
static const struct {
    const char *name;
    struct sl_slice message;
} unsupported[] = {
    {"previous_response_id",
     SL_LIT("previous_response_id is not supported: responses are not kept. Send the whole "
            "conversation as input.")},
    {"conversation", SL_LIT("conversation is not supported: conversations are not kept. Send the "
                            "whole conversation as input.")},
    {"prompt", SL_LIT("prompt is not supported: there are no stored prompts.")},
};

static int refuse(struct sl_decode *d, struct sl_slice message) {
    return sl_compose_refuse(d, SL_FAILURE_VALIDATION, message);
}

static int refuse_unsupported(struct sl_decode *d, const struct sl_json_view *v) {
    const struct sl_json_node *root = sl_json_root(v);
    for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++)
        if (sl_openai_get(v, root, unsupported[i].name))
            return refuse(d, unsupported[i].message);
    if (sl_json_is(sl_json_get(v, root, "background"), SL_JSON_IS_TRUE))
        return refuse(d, SL_LIT("background is not supported: responses are not kept."));
    return SL_OK;
}

static const struct sl_json_node *first_text(const struct sl_json_view *v,
                                             const struct sl_json_node *list) {
    return sl_json_get(v, sl_json_child(v, list), "text");
}

static void message(struct sl_talk *t, const struct sl_json_node *item) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *role = sl_json_get(v, item, "role");
    const struct sl_json_node *content = sl_openai_get(v, item, "content");
    if (sl_json_eq(v, role, "user"))
        sl_talk_content(t, 'u', content);
    else if (sl_json_eq(v, role, "assistant"))
        sl_talk_content(t, 'a', content);
    else if (sl_json_eq(v, role, "system") || sl_json_eq(v, role, "developer"))
        sl_talk_content(t, 's', content);
    else
        (void)refuse(t->d, SL_LIT("A message's role must be user, assistant, system or "
                                  "developer."));
}

/* signed_turn: the turn's reasoning came back with what the model signed. */
static void input_item(struct sl_talk *t, const struct sl_json_node *item, bool *signed_turn) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *type = sl_openai_get(v, item, "type");
    if (sl_json_eq(v, type, "function_call")) {
        t->unsigned_tools = t->unsigned_tools || !*signed_turn;
        sl_talk_tool_use(t, sl_json_get(v, item, "call_id"), sl_json_get(v, item, "name"),
                         sl_json_get(v, item, "arguments"));
    } else if (sl_json_eq(v, type, "function_call_output")) {
        *signed_turn = false;
        sl_talk_tool_result(t, sl_json_get(v, item, "call_id"), sl_json_get(v, item, "output"));
    } else if (sl_json_eq(v, type, "reasoning")) {
        const struct sl_json_node *text = first_text(v, sl_openai_get(v, item, "content"));
        const struct sl_json_node *signature = sl_openai_get(v, item, "encrypted_content");
        struct sl_slice sealed = sl_json_inner(v, signature), mark = SL_LIT(SL_OPENAI_REDACTED);
        *signed_turn = signature != NULL;
        if (sl_slice_starts(sealed, mark))
            sl_talk_redacted(t, sl_slice_skip(sealed, mark.len));
        else
            sl_talk_reasoning(t, text ? text : first_text(v, sl_openai_get(v, item, "summary")),
                              signature);
    } else if (!type || sl_json_eq(v, type, "message")) {
        message(t, item);
    } else {
        (void)refuse(t->d, SL_LIT("An input item must be a message, function_call, "
                                  "function_call_output or reasoning."));
    }
}

static void read_input(struct sl_talk *t, const struct sl_json_node *input) {
    bool signed_turn = false;
    sl_talk_system(t, sl_openai_get(t->view, sl_json_root(t->view), "instructions"));
    if (sl_json_is(input, SL_JSON_IS_STRING)) {
        sl_talk_text(t, 'u', input);
        return;
    }
    for (const struct sl_json_node *item = sl_json_child(t->view, input); item;
         item = sl_json_next(t->view, item))
        input_item(t, item, &signed_turn);
}

/* Members of the answer that repeat the request; what was not said has OpenAI's default. */
static int note_echo(struct sl_openai_ask *ask, const struct sl_json_view *v) {
    static const struct {
        const char *name, *silent;
    } rows[] = {
        {"instructions", "null"},
        {"max_output_tokens", "null"},
        {"parallel_tool_calls", "true"},
        {"reasoning", "{\"effort\":null,\"summary\":null}"},
        {"temperature", "1.0"},
        {"text", "{\"format\":{\"type\":\"text\"}}"},
        {"tool_choice", "\"auto\""},
        {"tools", "[]"},
        {"top_p", "1.0"},
        {"metadata", "{}"},
        {"truncation", "\"disabled\""},
    };
    struct sl_put p = {.to = &ask->echo};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct sl_json_node *node = sl_openai_get(v, sl_json_root(v), rows[i].name);
        sl_put_member(&p, rows[i].name, node ? sl_json_raw(v, node) : sl_slice_str(rows[i].silent));
    }
    return p.err;
}

static struct sl_openai_settings settings_of(const struct sl_json_view *v, struct sl_slice model) {
    const struct sl_json_node *root = sl_json_root(v);
    const struct sl_json_node *format = sl_openai_get(v, sl_openai_get(v, root, "text"), "format");
    return (struct sl_openai_settings){
        .model = model,
        .max_tokens = sl_openai_get(v, root, "max_output_tokens"),
        .temperature = sl_openai_get(v, root, "temperature"),
        .top_p = sl_openai_get(v, root, "top_p"),
        .effort = sl_openai_get(v, sl_openai_get(v, root, "reasoning"), "effort"),
        .service_tier = sl_openai_get(v, root, "service_tier"),
        .tools = sl_openai_get(v, root, "tools"),
        .tool_choice = sl_openai_get(v, root, "tool_choice"),
        .format = format,
        .schema = format,
    };
}

int sl_openai_responses_request(struct sl_decode *d, const struct sl_json_view *v) {
    struct sl_openai_ask *ask = d->ask->own;
    const struct sl_json_node *root = sl_json_root(v), *input = sl_json_get(v, root, "input");
    bool stream = sl_json_is(sl_json_get(v, root, "stream"), SL_JSON_IS_TRUE);
    struct sl_slice model = SL_EMPTY;
    int err = refuse_unsupported(d, v);
    if (!err && !d->failure)
        err = sl_openai_model(d, v, &model);
    if (!err && !d->failure && !sl_json_is(input, SL_JSON_IS_STRING) &&
        !sl_json_is(input, SL_JSON_IS_ARRAY))
        return refuse(d, SL_LIT("input must be a string or a list of items."));
    if (!err)
        err = sl_openai_ignore_all(ask, v, ignored);
    if (!err)
        err = note_echo(ask, v);
    if (err || d->failure)
        return err;
    struct sl_talk talk;
    struct sl_openai_settings settings = settings_of(v, model);
    sl_talk_init(&talk, d, v, ask);
    read_input(&talk, input);
    err = sl_openai_finish_talk(&talk, &settings, stream);
    sl_talk_done(&talk);
    return err;
}
