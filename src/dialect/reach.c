/*
 * Which models these are, Bedrock's user guide says in "Supported models and model features":
 * Jurassic-2 and Cohere Command have "no chat support", Jurassic-2 no stream; Titan Text and
 * Mistral's 7B and 8x7B Instruct take no system prompts. Imported models have no Converse; theirs
 * is the form of OpenAI's chat completions ("Invoke your imported model"), to which Bedrock applies
 * the template that the model came with.
 *
 * Strings go over as they stand in the body, escapes and all. A single question is the prompt as it
 * is; only a conversation, or one with a system prompt, is written as a dialogue, in the words of
 * the provider's own examples, and the model is stopped before it speaks for the user.
 */
#include "dialect/reach.h"

#include "dialect/compose.h"
#include "dialect/put.h"
#include "sluice/core/model.h"
#include "sluice/wire/modelid.h"

typedef const struct sl_json_node node;

/* A family's InvokeModel body. */
struct form {
    const char *prompt; /* the member that holds all of it; NULL: "messages", turn by turn */
    const char *user, *assistant, *stop; /* of a dialogue: who speaks; where to stop */
    const char *max_tokens, *temperature, *top_p, *stops;
    int64_t unset; /* tokens where the request sets no limit; 0: the model knows a sensible one */
    const char *stream; /* the member that a streamed call must have; NULL: none */
    bool streams;
};

/* Unset, Jurassic-2 and Command stop after some twenty tokens. */
static const struct form jurassic = {
    "prompt", "User:",         "Assistant:", "User:", "maxTokens", "temperature",
    "topP",   "stopSequences", 1024,         NULL,    false};
static const struct form command = {
    "prompt", "User:",          "Chatbot:", "User:",  "max_tokens", "temperature",
    "p",      "stop_sequences", 1024,       "stream", true};
static const struct form imported = {NULL,    NULL,   NULL, NULL, "max_tokens", "temperature",
                                     "top_p", "stop", 0,    NULL, true};

static const struct row {
    struct sl_slice prefix;
    const struct form *form; /* NULL: Converse, without a system prompt */
} rows[] = {
    {SL_LIT("ai21.j2-"), &jurassic},
    {SL_LIT("cohere.command-text"), &command},
    {SL_LIT("cohere.command-light"), &command},
    {SL_LIT("amazon.titan-text"), NULL},
    {SL_LIT("amazon.titan-tg1"), NULL},
    {SL_LIT("mistral.mistral-7b-instruct"), NULL},
    {SL_LIT("mistral.mixtral-8x7b-instruct"), NULL},
};

static const struct row *row_of(struct sl_slice model) {
    static const struct row import = {SL_LIT(""), &imported};
    if (sl_model_id_kind(model) == SL_MODEL_ID_IMPORTED_ARN)
        return &import;
    model = sl_model_base(model);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (sl_slice_starts(model, rows[i].prefix))
            return &rows[i];
    return NULL;
}

/* The Converse body, and what is made of it. */
struct reach {
    struct sl_decode *d;
    const struct form *form;
    struct sl_json_view view;
    struct sl_put put;
};

static node *get(const struct reach *r, node *object, const char *name) {
    return sl_json_get(&r->view, object, name);
}

static bool is_assistant(const struct reach *r, node *message) {
    return sl_json_eq(&r->view, get(r, message, "role"), "assistant");
}

/* ---- no system prompt: it opens the first turn ---- */

static void put_children(struct reach *r, node *list) {
    for (node *n = sl_json_child(&r->view, list); n; n = sl_json_next(&r->view, n))
        sl_put_value(&r->put, sl_json_raw(&r->view, n));
}

static void put_folded_messages(struct reach *r, node *system, node *messages) {
    node *message = sl_json_child(&r->view, messages);
    sl_put(&r->put, "[{\"role\":\"user\",\"content\":[");
    put_children(r, system);
    if (message && !is_assistant(r, message)) {
        put_children(r, get(r, message, "content"));
        message = sl_json_next(&r->view, message);
    }
    sl_put(&r->put, "]}");
    for (; message; message = sl_json_next(&r->view, message))
        sl_put_value(&r->put, sl_json_raw(&r->view, message));
    sl_put(&r->put, "]");
}

static void fold_system(struct reach *r) {
    node *root = sl_json_root(&r->view), *system = get(r, root, "system");
    if (!sl_json_child(&r->view, system))
        return;
    sl_put_open(&r->put, "{");
    sl_put_key(&r->put, "messages");
    put_folded_messages(r, system, get(r, root, "messages"));
    for (node *n = sl_json_child(&r->view, root); n; n = sl_json_next(&r->view, n)) {
        struct sl_slice key = sl_json_key_raw(&r->view, n);
        if (!sl_slice_eq(key, SL_LIT("\"messages\"")) && !sl_slice_eq(key, SL_LIT("\"system\"")))
            sl_put_copy(&r->put, &r->view, n);
    }
    sl_put(&r->put, "}");
    r->d->call->edited = SL_LIT("system");
}

/* ---- InvokeModel ---- */

static void refuse(struct reach *r, const char *what) {
    int err = sl_compose_refusef(r->d, SL_FAILURE_VALIDATION,
                                 "This model takes text alone: %s cannot be sent to it.", what);
    if (err && !r->put.err)
        r->put.err = err;
}

/* The text of a block; NULL where it has none that matters. Refuses what is no text. */
static node *text_of(struct reach *r, node *block) {
    static const char *const kinds[][2] = {
        {"image", "an image"},
        {"document", "a document"},
        {"video", "a video"},
        {"toolUse", "a tool's call"},
        {"toolResult", "the result of a tool"},
        {"reasoningContent", "reasoning"},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (get(r, block, kinds[i][0]))
            refuse(r, kinds[i][1]);
    return get(r, block, "text");
}

/* Blocks one under the other, inside of a string. */
static void put_texts(struct reach *r, node *blocks) {
    bool first = true;
    for (node *n = sl_json_child(&r->view, blocks); n; n = sl_json_next(&r->view, n)) {
        node *text = text_of(r, n);
        if (!text)
            continue;
        sl_put(&r->put, first ? "" : "\\n");
        sl_put_raw(&r->put, sl_json_inner(&r->view, text));
        first = false;
    }
}

static void put_message(struct reach *r, const char *role, node *blocks) {
    sl_put_open(&r->put, "{");
    sl_put_member_string(&r->put, "role", sl_slice_str(role));
    sl_put_key(&r->put, "content");
    sl_put(&r->put, "\"");
    put_texts(r, blocks);
    sl_put(&r->put, "\"}");
}

static void put_messages(struct reach *r, node *system, node *messages) {
    sl_put_key(&r->put, "messages");
    sl_put_open(&r->put, "[");
    if (sl_json_child(&r->view, system))
        put_message(r, "system", system);
    for (node *m = sl_json_child(&r->view, messages); m; m = sl_json_next(&r->view, m))
        put_message(r, is_assistant(r, m) ? "assistant" : "user", get(r, m, "content"));
    sl_put(&r->put, "]");
}

/* "User: …\nChatbot: …\nUser: …\nChatbot:"; a last turn of the model's is left open. */
static void put_dialogue(struct reach *r, node *system, node *messages) {
    const char *speaker = r->form->user;
    put_texts(r, system);
    sl_put(&r->put, sl_json_child(&r->view, system) ? "\\n\\n" : "");
    for (node *m = sl_json_child(&r->view, messages); m; m = sl_json_next(&r->view, m)) {
        speaker = is_assistant(r, m) ? r->form->assistant : r->form->user;
        sl_put(&r->put, speaker);
        sl_put(&r->put, " ");
        put_texts(r, get(r, m, "content"));
        sl_put(&r->put, sl_json_next(&r->view, m) ? "\\n" : "");
    }
    if (speaker == r->form->user) {
        sl_put(&r->put, "\\n");
        sl_put(&r->put, r->form->assistant);
    }
}

/* True when the prompt is a dialogue. */
static bool put_prompt(struct reach *r, node *system, node *messages) {
    node *first = sl_json_child(&r->view, messages);
    bool dialogue = sl_json_child(&r->view, system) || sl_json_next(&r->view, first);
    sl_put_key(&r->put, r->form->prompt);
    sl_put(&r->put, "\"");
    if (dialogue)
        put_dialogue(r, system, messages);
    else
        put_texts(r, get(r, first, "content"));
    sl_put(&r->put, "\"");
    return dialogue;
}

static void put_setting(struct reach *r, node *config, const char *from, const char *to) {
    node *value = get(r, config, from);
    if (value)
        sl_put_member(&r->put, to, sl_json_raw(&r->view, value));
}

static void put_settings(struct reach *r, node *config, bool dialogue) {
    const struct form *form = r->form;
    node *stops = sl_json_child(&r->view, get(r, config, "stopSequences"));
    put_setting(r, config, "maxTokens", form->max_tokens);
    if (form->unset > 0 && !get(r, config, "maxTokens"))
        sl_put_member_int(&r->put, form->max_tokens, form->unset);
    put_setting(r, config, "temperature", form->temperature);
    put_setting(r, config, "topP", form->top_p);
    if (!stops && !dialogue)
        return;
    sl_put_key(&r->put, form->stops);
    sl_put_open(&r->put, "[");
    put_children(r, get(r, config, "stopSequences"));
    if (dialogue)
        sl_put_string(&r->put, sl_slice_str(form->stop));
    sl_put(&r->put, "]");
}

/* Converse says it in the body, InvokeModel in a header. */
static void put_tier(struct reach *r, node *tier) {
    struct sl_slice value;
    struct sl_slice type = sl_json_inner(&r->view, get(r, tier, "type"));
    if (type.len == 0 || r->put.err)
        return;
    r->put.err = sl_arena_copy(r->d->arena, type, &value);
    if (!r->put.err)
        r->put.err = sl_headers_add(&r->d->call->headers, r->d->arena,
                                    SL_LIT("x-amzn-bedrock-service-tier"), value);
}

static void invoke(struct reach *r, bool stream) {
    node *root = sl_json_root(&r->view);
    node *system = get(r, root, "system"), *messages = get(r, root, "messages");
    node *more = sl_json_child(&r->view, get(r, root, "additionalModelRequestFields"));
    bool dialogue = false;
    if (get(r, root, "toolConfig"))
        refuse(r, "tools (and JSON schemas, which need them)");
    sl_put_open(&r->put, "{");
    if (r->form->prompt)
        dialogue = put_prompt(r, system, messages);
    else
        put_messages(r, system, messages);
    put_settings(r, get(r, root, "inferenceConfig"), dialogue);
    for (; more; more = sl_json_next(&r->view, more))
        sl_put_copy(&r->put, &r->view, more);
    if (stream && r->form->stream)
        sl_put_member(&r->put, r->form->stream, SL_LIT("true"));
    sl_put(&r->put, "}");
    put_tier(r, get(r, root, "serviceTier"));
}

int sl_reach_adapt(struct sl_decode *d, struct sl_slice model, struct sl_slice body,
                   enum sl_operation *op, struct sl_buf *out) {
    const struct row *row = row_of(model);
    if (!row)
        return SL_OK;
    struct reach r = {.d = d, .form = row->form, .put = {out, SL_OK}};
    bool stream = *op == SL_OP_CONVERSE_STREAM;
    int err = sl_json_view_parse(&r.view, body, SL_COMPOSE_NODES_MAX);
    if (!err) {
        if (row->form)
            invoke(&r, stream && row->form->streams);
        else
            fold_system(&r);
        err = r.put.err;
    }
    if (!err && row->form)
        *op = stream && row->form->streams ? SL_OP_INVOKE_MODEL_STREAM : SL_OP_INVOKE_MODEL;
    sl_json_view_done(&r.view);
    return err;
}
