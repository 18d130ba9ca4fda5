/*
 * Families whose InvokeModel bodies are one text: where it stands, and where the word for why it
 * ended, is a table, the same for documents and for the chunks of a stream ("Inference request
 * parameters and response fields", Bedrock user guide). A chunk that has the word is the last one;
 * Bedrock's metrics may come with it or behind it, so usage is told with the latest that has any.
 */
#include "dialect/reply_own.h"
#include "dialect/usage.h"

static const struct row {
    enum sl_family family;
    const char *text, *reason;
} rows[] = {
    {SL_FAMILY_LLAMA2, "generation", "stop_reason"},
    {SL_FAMILY_LLAMA3, "generation", "stop_reason"},
    {SL_FAMILY_LLAMA4, "generation", "stop_reason"},
    {SL_FAMILY_TITAN_TEXT, "results.outputText", "results.completionReason"}, /* document */
    {SL_FAMILY_TITAN_TEXT, "outputText", "completionReason"},                 /* stream */
    {SL_FAMILY_MISTRAL, "outputs.text", "outputs.stop_reason"},
    {SL_FAMILY_COHERE_COMMAND, "generations.text", "generations.finish_reason"},
    {SL_FAMILY_COHERE_COMMAND, "text", "finish_reason"},
    {SL_FAMILY_COHERE_COMMAND_R, "text", "finish_reason"},
    {SL_FAMILY_DEEPSEEK, "choices.text", "choices.stop_reason"},
    {SL_FAMILY_JURASSIC, "completions.data.text", "completions.finishReason.reason"},
    /* Imported models: their ids name no family; all answer as OpenAI's chat completions. */
    {SL_FAMILY_UNKNOWN, "choices.message.content", "choices.finish_reason"},
    {SL_FAMILY_UNKNOWN, "choices.delta.content", "choices.finish_reason"},
};

/* Families' words for an end, and Converse's. What is not listed is an end like any other. */
static const struct {
    const char *family;
    struct sl_slice converse;
} reasons[] = {
    {"length", SL_LIT("max_tokens")},
    {"LENGTH", SL_LIT("max_tokens")},
    {"MAX_TOKENS", SL_LIT("max_tokens")},
    {"STOP_CRITERIA_MET", SL_LIT("stop_sequence")},
    {"CONTENT_FILTERED", SL_LIT("content_filtered")},
    {"content_filter", SL_LIT("content_filtered")},
    {"ERROR_TOXIC", SL_LIT("content_filtered")},
};

/* "a.b": member b of member a, or of the first element of a where that is an array. */
static const struct sl_json_node *at(const struct sl_json_view *v, const char *path) {
    const struct sl_json_node *node = sl_json_root(v);
    struct sl_slice rest = sl_slice_str(path), part;
    while (node && sl_slice_split(&rest, '.', &part)) {
        char name[32] = "";
        if (part.len >= sizeof(name))
            return NULL;
        memcpy(name, part.ptr, part.len);
        if (sl_json_is(node, SL_JSON_IS_ARRAY))
            node = sl_json_child(v, node);
        node = sl_json_get(v, node, name);
    }
    return node;
}

static int stop(struct sl_reply_reader *r, const struct sl_json_view *v,
                const struct sl_json_node *reason) {
    struct sl_slice word = SL_LIT("end_turn");
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (sl_json_eq(v, reason, reasons[i].family))
            word = reasons[i].converse;
    int err = sl_reply_stop(r, v, word, NULL, SL_EMPTY);
    return err ? err : sl_reply_usage(r, SL_EMPTY);
}

/* The row of this family that fits: whose text is there, or at least the word for the end. */
static const struct row *row_of(const struct sl_reply_reader *r, const struct sl_json_view *v) {
    const struct row *ends = NULL;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].family != r->family)
            continue;
        if (at(v, rows[i].text))
            return &rows[i];
        if (!ends && at(v, rows[i].reason))
            ends = &rows[i];
    }
    return ends;
}

static int document(struct sl_reply_reader *r, const struct sl_json_view *v) {
    const struct row *row = row_of(r, v);
    const struct sl_json_node *text = row ? at(v, row->text) : NULL;
    if (!row || !sl_json_is(text, SL_JSON_IS_STRING))
        return SL_E_PROTOCOL;
    int err = sl_reply_need(r, SL_BLOCK_TEXT, 0);
    if (!err)
        err = sl_reply_piece(r, SL_REPLY_TEXT, v, text);
    return err ? err : stop(r, v, at(v, row->reason));
}

static int event(struct sl_reply_reader *r, const struct sl_json_view *v, struct sl_slice type) {
    const struct row *row = row_of(r, v);
    const struct sl_json_node *text = row ? at(v, row->text) : NULL;
    const struct sl_json_node *reason = row ? at(v, row->reason) : NULL;
    int err = SL_OK;
    (void)type;
    sl_usage_from_json(&r->usage, v->text);
    if (!r->stopped && sl_json_is(text, SL_JSON_IS_STRING)) {
        err = sl_reply_need(r, SL_BLOCK_TEXT, 0);
        if (!err)
            err = sl_reply_piece(r, SL_REPLY_TEXT, v, text);
    }
    if (err)
        return err;
    if (sl_json_is(reason, SL_JSON_IS_STRING))
        return stop(r, v, reason);
    bool metrics = sl_json_get(v, sl_json_root(v), "amazon-bedrock-invocationMetrics") != NULL;
    return r->stopped && metrics ? sl_reply_usage(r, SL_EMPTY) : SL_OK;
}

const struct sl_reply_shape sl_reply_plain = {document, event};
