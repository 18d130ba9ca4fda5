/*
 * Anthropic's request as Converse's, for models other than Claude. Strings, numbers and tool inputs
 * are taken over as they stand; only what has another name or place is written anew. What asks for
 * something that Converse has not is refused, unless the answer would be the same without it
 * (metadata, thinking's budget).
 */
#include "dialect/anthropic.h"

#include <openssl/base64.h>
#include <stdarg.h>
#include <stdio.h>

#include "sluice/core/model.h"

/* A document's name, as Converse allows it. */
#define NAME_MAX 100
/* Of a client's value in a refusal. */
#define SHOWN_MAX 48

struct mapper {
    const struct sl_json_view *view;
    struct sl_slice model;
    struct sl_put put;
    struct sl_anthropic_refusal *refusal;
    bool caching;       /* the model keeps prefixes: cachePoint is allowed */
    unsigned documents; /* so far: their names must differ */
};

typedef const struct sl_json_node node;

static node *get(const struct mapper *m, node *object, const char *key) {
    return sl_json_get(m->view, object, key);
}

static bool is_type(const struct mapper *m, node *object, const char *type) {
    return sl_json_eq(m->view, get(m, object, "type"), type);
}

static struct sl_slice raw(const struct mapper *m, node *n) {
    return sl_json_raw(m->view, n);
}

/* Ends the mapping: the first refusal is the one that is told. */
SL_PRINTF(2, 3) static void refuse(struct mapper *m, const char *fmt, ...) {
    if (m->put.err)
        return;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(m->refusal->text, sizeof(m->refusal->text), fmt, args);
    va_end(args);
    m->refusal->kind = SL_FAILURE_VALIDATION;
    m->put.err = SL_E_INVALID;
}

/* What a client wrote, for a refusal: cut, since it may be anything, but not within a character. */
static struct sl_slice shown(const struct mapper *m, node *n) {
    struct sl_slice text =
        sl_json_is(n, SL_JSON_IS_STRING) ? sl_json_inner(m->view, n) : SL_LIT("none");
    size_t len = text.len < SHOWN_MAX ? text.len : SHOWN_MAX;
    while (len < text.len && len > 0 && ((unsigned char)text.ptr[len] & 0xC0) == 0x80)
        len--;
    return sl_slice_head(text, len);
}

static bool require_string(struct mapper *m, node *n, const char *where) {
    if (!sl_json_is(n, SL_JSON_IS_STRING))
        refuse(m, "%s: Input should be a valid string", where);
    return m->put.err == SL_OK;
}

static void put_cache_point(struct mapper *m, node *block) {
    node *control = get(m, block, "cache_control");
    if (!m->caching || !sl_json_is(control, SL_JSON_IS_OBJECT))
        return;
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "cachePoint");
    sl_put(&m->put, "{\"type\":\"default\"");
    if (sl_json_eq(m->view, get(m, control, "ttl"), "1h"))
        sl_put_member(&m->put, "ttl", SL_LIT("\"1h\""));
    sl_put(&m->put, "}}");
}

static void put_text(struct mapper *m, node *text) {
    if (!require_string(m, text, "text"))
        return;
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "text", raw(m, text));
    sl_put(&m->put, "}");
}

/* "image/png" → "png"; the empty slice for what is not of that kind. */
static struct sl_slice subtype(const struct mapper *m, node *media_type, struct sl_slice prefix) {
    struct sl_slice type = sl_json_inner(m->view, media_type);
    return sl_slice_starts(type, prefix) ? sl_slice_skip(type, prefix.len) : SL_EMPTY;
}

static void put_image(struct mapper *m, node *block) {
    node *source = get(m, block, "source"), *data = get(m, source, "data");
    struct sl_slice format = subtype(m, get(m, source, "media_type"), SL_LIT("image/"));
    if (!is_type(m, source, "base64")) {
        refuse(m, "Images by '%.*s' are not fetched: send the image itself, as base64",
               SL_FMT(shown(m, get(m, source, "type"))));
        return;
    }
    if (!require_string(m, data, "image.source.data"))
        return;
    if (format.len == 0)
        refuse(m, "image.source.media_type: Input should be image/jpeg, image/png, image/gif or "
                  "image/webp");
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "image");
    sl_put_open(&m->put, "{");
    sl_put_member_string(&m->put, "format", format);
    sl_put_key(&m->put, "source");
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "bytes", raw(m, data));
    sl_put(&m->put, "}}}");
}

/* Converse allows letters, digits, single blanks, hyphens, round and square brackets, and no name
 * twice. */
static void put_document_name(struct mapper *m, node *title) {
    char name[NAME_MAX];
    size_t len = 0;
    struct sl_slice text = sl_json_inner(m->view, title);
    for (size_t i = 0; i < text.len && len < sizeof(name) - 16; i++) {
        char c = text.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("-()[]", c));
        if (plain)
            name[len++] = c;
        else if (len > 0 && name[len - 1] != ' ')
            name[len++] = ' ';
    }
    while (len > 0 && name[len - 1] == ' ')
        len--;
    if (len == 0)
        len = (size_t)snprintf(name, sizeof(name), "document");
    if (++m->documents > 1)
        len += (size_t)snprintf(name + len, sizeof(name) - len, " %u", m->documents);
    sl_put_member_string(&m->put, "name", sl_slice_of(name, len));
}

/* The text of a plain document, in base64: every model that reads documents takes bytes. */
static void put_text_bytes(struct mapper *m, node *data) {
    struct sl_buf text, coded;
    size_t size;
    sl_buf_init(&text, SIZE_MAX);
    sl_buf_init(&coded, SIZE_MAX);
    int err = sl_json_text(m->view, data, &text);
    if (!err && !EVP_EncodedLength(&size, text.len))
        err = SL_E_LIMIT;
    if (!err)
        err = sl_buf_reserve(&coded, size);
    if (!err) {
        struct sl_slice plain = sl_buf_slice(&text);
        coded.len = EVP_EncodeBlock((uint8_t *)coded.ptr, (const uint8_t *)plain.ptr, plain.len);
        sl_put_member_string(&m->put, "bytes", sl_buf_slice(&coded));
    } else if (!m->put.err) {
        m->put.err = err;
    }
    sl_buf_done(&text);
    sl_buf_done(&coded);
}

static void put_document(struct mapper *m, node *block) {
    node *source = get(m, block, "source"), *data = get(m, source, "data");
    bool text = is_type(m, source, "text");
    if (!text && !is_type(m, source, "base64")) {
        refuse(m, "Documents by '%.*s' are not supported for this model: send base64 or text",
               SL_FMT(shown(m, get(m, source, "type"))));
        return;
    }
    if (!require_string(m, data, "document.source.data"))
        return;
    struct sl_slice format = text ? SL_LIT("txt") : SL_LIT("pdf");
    if (!text && !sl_json_eq(m->view, get(m, source, "media_type"), "application/pdf"))
        refuse(m, "document.source.media_type: Input should be 'application/pdf'");
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "document");
    sl_put_open(&m->put, "{");
    sl_put_member_string(&m->put, "format", format);
    put_document_name(m, get(m, block, "title"));
    sl_put_key(&m->put, "source");
    sl_put_open(&m->put, "{");
    if (text)
        put_text_bytes(m, data);
    else
        sl_put_member(&m->put, "bytes", raw(m, data));
    sl_put(&m->put, "}}}");
}

static void put_tool_use(struct mapper *m, node *block) {
    node *id = get(m, block, "id"), *name = get(m, block, "name"), *input = get(m, block, "input");
    if (!require_string(m, id, "tool_use.id") || !require_string(m, name, "tool_use.name"))
        return;
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "toolUse");
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "toolUseId", raw(m, id));
    sl_put_member(&m->put, "name", raw(m, name));
    sl_put_member(&m->put, "input", input ? raw(m, input) : SL_LIT("{}"));
    sl_put(&m->put, "}}");
}

static void put_result_block(struct mapper *m, node *block) {
    if (is_type(m, block, "text"))
        put_text(m, get(m, block, "text"));
    else if (is_type(m, block, "image"))
        put_image(m, block);
    else if (is_type(m, block, "document"))
        put_document(m, block);
    else
        refuse(m, "Tool results with '%.*s' are not supported for this model",
               SL_FMT(shown(m, get(m, block, "type"))));
}

static void put_tool_result(struct mapper *m, node *block) {
    node *id = get(m, block, "tool_use_id"), *content = get(m, block, "content");
    if (!require_string(m, id, "tool_result.tool_use_id"))
        return;
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "toolResult");
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "toolUseId", raw(m, id));
    sl_put_key(&m->put, "content");
    sl_put_open(&m->put, "[");
    if (sl_json_is(content, SL_JSON_IS_STRING))
        put_text(m, content);
    for (node *n = sl_json_child(m->view, content); n; n = sl_json_next(m->view, n))
        put_result_block(m, n);
    sl_put(&m->put, "]");
    if (sl_json_is(get(m, block, "is_error"), SL_JSON_IS_TRUE))
        sl_put_member(&m->put, "status", SL_LIT("\"error\""));
    sl_put(&m->put, "}}");
}

static void put_thinking(struct mapper *m, node *block) {
    node *text = get(m, block, "thinking"), *signature = get(m, block, "signature");
    if (!require_string(m, text, "thinking.thinking"))
        return;
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "reasoningContent");
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "reasoningText");
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "text", raw(m, text));
    if (sl_json_inner(m->view, signature).len > 0)
        sl_put_member(&m->put, "signature", raw(m, signature));
    sl_put(&m->put, "}}}");
}

static void put_redacted(struct mapper *m, node *block) {
    node *data = get(m, block, "data");
    if (!require_string(m, data, "redacted_thinking.data"))
        return;
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "reasoningContent");
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "redactedContent", raw(m, data));
    sl_put(&m->put, "}}");
}

static void put_text_block(struct mapper *m, node *block) {
    put_text(m, get(m, block, "text"));
}

static const struct {
    const char *type;
    void (*put)(struct mapper *m, node *block);
} blocks[] = {
    {"text", put_text_block},
    {"image", put_image},
    {"document", put_document},
    {"tool_use", put_tool_use},
    {"tool_result", put_tool_result},
    {"thinking", put_thinking},
    {"redacted_thinking", put_redacted},
};

static void put_block(struct mapper *m, node *block) {
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        if (!is_type(m, block, blocks[i].type))
            continue;
        blocks[i].put(m, block);
        put_cache_point(m, block);
        return;
    }
    refuse(m, "Content of type '%.*s' is not supported for this model",
           SL_FMT(shown(m, get(m, block, "type"))));
}

/* A string, or blocks, as a list of Converse's blocks. */
static void put_content(struct mapper *m, node *content) {
    sl_put_open(&m->put, "[");
    if (sl_json_is(content, SL_JSON_IS_STRING))
        put_text(m, content);
    else if (!sl_json_is(content, SL_JSON_IS_ARRAY))
        refuse(m, "content: Input should be a valid string or list");
    for (node *n = sl_json_child(m->view, content); n; n = sl_json_next(m->view, n))
        put_block(m, n);
    sl_put(&m->put, "]");
}

static void put_messages(struct mapper *m, node *messages) {
    if (!sl_json_is(messages, SL_JSON_IS_ARRAY)) {
        refuse(m, "messages: %s", messages ? "Input should be a valid list" : "Field required");
        return;
    }
    sl_put_key(&m->put, "messages");
    sl_put_open(&m->put, "[");
    for (node *n = sl_json_child(m->view, messages); n; n = sl_json_next(m->view, n)) {
        node *role = get(m, n, "role");
        if (!sl_json_eq(m->view, role, "user") && !sl_json_eq(m->view, role, "assistant"))
            refuse(m,
                   "messages: Unexpected role '%.*s'. The Messages API accepts 'user' and "
                   "'assistant'",
                   SL_FMT(shown(m, role)));
        sl_put_open(&m->put, "{");
        sl_put_member(&m->put, "role", raw(m, role));
        sl_put_key(&m->put, "content");
        put_content(m, get(m, n, "content"));
        sl_put(&m->put, "}");
    }
    sl_put(&m->put, "]");
}

static void put_system(struct mapper *m, node *system) {
    if (!system || sl_json_is(system, SL_JSON_IS_NULL))
        return;
    /* Converse refuses a blank text, which Anthropic's clients send for "none". */
    if (sl_json_is(system, SL_JSON_IS_STRING) && sl_json_inner(m->view, system).len == 0)
        return;
    sl_put_key(&m->put, "system");
    put_content(m, system);
}

/* A member that differs in name alone; null is absent. */
static void put_renamed(struct mapper *m, node *from, const char *key, const char *name) {
    node *value = get(m, from, key);
    if (value && !sl_json_is(value, SL_JSON_IS_NULL))
        sl_put_member(&m->put, name, raw(m, value));
}

static void put_inference(struct mapper *m, node *root) {
    sl_put_key(&m->put, "inferenceConfig");
    sl_put_open(&m->put, "{");
    put_renamed(m, root, "max_tokens", "maxTokens");
    put_renamed(m, root, "stop_sequences", "stopSequences");
    put_renamed(m, root, "temperature", "temperature");
    put_renamed(m, root, "top_p", "topP");
    sl_put(&m->put, "}");
}

/* How a family takes top_k, which Converse has not; families without a row that matters take
 * none. */
static const struct {
    enum sl_family family;
    const char *open, *close;
} top_k[] = {
    {SL_FAMILY_NOVA, "{\"inferenceConfig\":{\"topK\":", "}}"},
    {SL_FAMILY_MISTRAL, "{\"top_k\":", "}"},
    {SL_FAMILY_COHERE_COMMAND, "{\"k\":", "}"},
    {SL_FAMILY_COHERE_COMMAND_R, "{\"k\":", "}"},
    {SL_FAMILY_UNKNOWN, "{\"top_k\":", "}"},
};

static void put_top_k(struct mapper *m, node *value) {
    if (!sl_json_is(value, SL_JSON_IS_NUMBER))
        return;
    for (size_t i = 0; i < sizeof(top_k) / sizeof(top_k[0]); i++) {
        if (top_k[i].family != sl_model_family(m->model))
            continue;
        sl_put_key(&m->put, "additionalModelRequestFields");
        sl_put(&m->put, top_k[i].open);
        sl_put_raw(&m->put, raw(m, value));
        sl_put(&m->put, top_k[i].close);
    }
}

static void put_tool(struct mapper *m, node *tool) {
    node *type = get(m, tool, "type"), *name = get(m, tool, "name");
    node *schema = get(m, tool, "input_schema"), *description = get(m, tool, "description");
    if (type && !sl_json_is(type, SL_JSON_IS_NULL) && !sl_json_eq(m->view, type, "custom")) {
        refuse(m, "Tools of type '%.*s' are Claude's own: this model has none of them",
               SL_FMT(shown(m, type)));
        return;
    }
    if (!require_string(m, name, "tools.name"))
        return;
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "toolSpec");
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "name", raw(m, name));
    if (sl_json_inner(m->view, description).len > 0)
        sl_put_member(&m->put, "description", raw(m, description));
    sl_put_key(&m->put, "inputSchema");
    sl_put_open(&m->put, "{");
    sl_put_member(&m->put, "json", schema ? raw(m, schema) : SL_LIT("{\"type\":\"object\"}"));
    sl_put(&m->put, "}}}");
    put_cache_point(m, tool);
}

static void put_tool_choice(struct mapper *m, node *choice) {
    node *name = get(m, choice, "name");
    if (is_type(m, choice, "auto") || is_type(m, choice, "any")) {
        sl_put_key(&m->put, "toolChoice");
        sl_put(&m->put, is_type(m, choice, "any") ? "{\"any\":{}}" : "{\"auto\":{}}");
    } else if (is_type(m, choice, "tool") && require_string(m, name, "tool_choice.name")) {
        sl_put_key(&m->put, "toolChoice");
        sl_put(&m->put, "{\"tool\":{\"name\":");
        sl_put_raw(&m->put, raw(m, name));
        sl_put(&m->put, "}}");
    } else if (!is_type(m, choice, "none")) {
        refuse(m, "tool_choice: Input should be auto, any, tool or none");
    }
}

/* Whether the conversation has calls of tools: then Converse wants their definitions. */
static bool has_tool_blocks(const struct mapper *m, node *messages) {
    for (node *n = sl_json_child(m->view, messages); n; n = sl_json_next(m->view, n)) {
        node *block = sl_json_child(m->view, get(m, n, "content"));
        for (; block; block = sl_json_next(m->view, block))
            if (is_type(m, block, "tool_use") || is_type(m, block, "tool_result"))
                return true;
    }
    return false;
}

/* "none" has no counterpart: the tools are left away, unless the conversation needs them. */
static void put_tools(struct mapper *m, node *root) {
    node *tools = get(m, root, "tools"), *choice = get(m, root, "tool_choice");
    if (!sl_json_child(m->view, tools))
        return;
    if (is_type(m, choice, "none") && !has_tool_blocks(m, get(m, root, "messages")))
        return;
    sl_put_key(&m->put, "toolConfig");
    sl_put_open(&m->put, "{");
    sl_put_key(&m->put, "tools");
    sl_put_open(&m->put, "[");
    for (node *n = sl_json_child(m->view, tools); n; n = sl_json_next(m->view, n))
        put_tool(m, n);
    sl_put(&m->put, "]");
    if (sl_json_is(choice, SL_JSON_IS_OBJECT))
        put_tool_choice(m, choice);
    sl_put(&m->put, "}");
}

int sl_anthropic_to_converse(const struct sl_json_view *view, struct sl_slice model, bool counting,
                             struct sl_buf *out, struct sl_anthropic_refusal *refusal) {
    struct mapper m = {
        .view = view,
        .model = model,
        .put = {out, SL_OK},
        .refusal = refusal,
        .caching = sl_model_info(model)->cache_min > 0,
    };
    node *root = sl_json_root(view);
    refusal->kind = SL_FAILURE_NONE;
    sl_put_open(&m.put, "{");
    put_messages(&m, get(&m, root, "messages"));
    put_system(&m, get(&m, root, "system"));
    if (!counting)
        put_inference(&m, root);
    put_tools(&m, root);
    put_top_k(&m, get(&m, root, "top_k"));
    sl_put(&m.put, "}");
    return refusal->kind ? SL_OK : m.put.err;
}
