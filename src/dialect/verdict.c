/*
 * Members are known by their name and by how deep they may lie: what a model writes into the input
 * of a tool lies deeper than what the API says of the answer.
 */
#include "sluice/dialect/verdict.h"

enum rule {
    NO_RULE,
    WORD,    /* a string that may be one of the words */
    NOTHING, /* null, false, 0 or empty, and so is all that is in it; else there is state */
};

static const struct {
    struct sl_slice key;
    uint8_t depth; /* at most */
    uint8_t rule;
} rows[] = {
    {SL_LIT("type"), 6, WORD},
    {SL_LIT("stopReason"), 1, WORD},  /* Converse, Nova */
    {SL_LIT("stop_reason"), 3, WORD}, /* Claude, Llama, Mistral */
    {SL_LIT("finish_reason"), 3, WORD},
    {SL_LIT("completionReason"), 3, WORD}, /* Titan */
    {SL_LIT("status"), 2, WORD},           /* OpenAI responses */
    {SL_LIT("reason"), 3, WORD},           /* of incomplete_details there */
    {SL_LIT("amazon-bedrock-guardrailAction"), 1, WORD},
    {SL_LIT("error"), 2, NOTHING},
    {SL_LIT("refusal"), 4, NOTHING},
    {SL_LIT("store"), 2, NOTHING},
    {SL_LIT("previous_response_id"), 2, NOTHING},
    {SL_LIT("container"), 2, NOTHING},
    {SL_LIT("server_tool_use"), 3, NOTHING},
    {SL_LIT("serverToolUsage"), 3, NOTHING},
    {SL_LIT("serverToolUse"), 6, NOTHING},
};

static const struct sl_slice words[] = {
    SL_LIT("guardrail_intervened"),
    SL_LIT("content_filtered"),
    SL_LIT("malformed_model_output"),
    SL_LIT("malformed_tool_use"),
    SL_LIT("refusal"),
    SL_LIT("content_filter"),
    SL_LIT("CONTENT_FILTERED"),
    SL_LIT("INTERVENED"),
    SL_LIT("GUARDRAIL_INTERVENED"),
    SL_LIT("ERROR"), /* Cohere */
    SL_LIT("ERROR_TOXIC"),
    SL_LIT("failed"),
    SL_LIT("pause_turn"), /* Claude, with tools of the server's */
    SL_LIT("server_tool_use"),
};

static uint8_t rule_for(struct sl_slice key, unsigned depth) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (sl_slice_eq(key, rows[i].key))
            return depth <= rows[i].depth ? rows[i].rule : NO_RULE;
    return NO_RULE;
}

static bool is_word(struct sl_slice text) {
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (sl_slice_eq(text, words[i]))
            return true;
    return false;
}

/* Whether a piece of a value is more than nothing. */
static bool is_something(const struct sl_json_token *token) {
    if (token->event == SL_JSON_NUMBER)
        for (size_t i = 0; i < token->text.len; i++)
            if (token->text.ptr[i] >= '1' && token->text.ptr[i] <= '9')
                return true;
    return token->event == SL_JSON_TRUE || (token->event == SL_JSON_STRING && token->text.len > 0);
}

static void on_key(struct sl_verdict *v, const struct sl_json_token *token) {
    struct sl_slice key;
    if (v->inside == 0 && sl_json_short_take(&v->text, token, &key))
        v->rule = rule_for(key, token->depth);
}

static void on_scalar(struct sl_verdict *v, const struct sl_json_token *token) {
    struct sl_slice text;
    if ((v->inside != 0 || v->rule == NOTHING) && is_something(token))
        v->spoiled = true;
    if (v->inside == 0 && v->rule == WORD && token->event == SL_JSON_STRING &&
        sl_json_short_take(&v->text, token, &text) && is_word(text))
        v->spoiled = true;
    if (token->last)
        v->rule = NO_RULE;
}

void sl_verdict_token(struct sl_verdict *v, const struct sl_json_token *token) {
    switch (token->event) {
    case SL_JSON_KEY:
        on_key(v, token);
        break;
    case SL_JSON_OBJECT_BEGIN:
    case SL_JSON_ARRAY_BEGIN:
        if (v->inside == 0 && v->rule == NOTHING)
            v->inside = (uint8_t)(token->depth + 1);
        v->rule = NO_RULE;
        break;
    case SL_JSON_OBJECT_END:
    case SL_JSON_ARRAY_END:
        if (v->inside == token->depth + 1)
            v->inside = 0;
        break;
    default:
        on_scalar(v, token);
        break;
    }
}

void sl_verdict_event_end(struct sl_verdict *v) {
    *v = (struct sl_verdict){.spoiled = v->spoiled};
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    sl_verdict_token(ctx, token);
    return 0;
}

void sl_verdict_read(struct sl_verdict *v, struct sl_slice json) {
    struct sl_json_tokenizer t;
    sl_json_init(&t, on_token, v);
    (void)(sl_json_feed(&t, json) == 0 && sl_json_finish(&t) == 0);
    sl_verdict_event_end(v);
}
