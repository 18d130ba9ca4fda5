/*
 * Messages of OpenAI's APIs in Converse's words. Strings go over as they stand in the client's
 * body, escapes and all. Converse wants turns to alternate, so blocks of one role in a row share a
 * message: that also brings the results of parallel tool calls together.
 */
#include "dialect/openai.h"

void sl_talk_init(struct sl_talk *t, struct sl_decode *d, const struct sl_json_view *view,
                  struct sl_openai_ask *ask) {
    *t = (struct sl_talk){.d = d, .view = view, .ask = ask};
    sl_buf_init(&t->messages, SL_OPENAI_BODY_MAX);
    sl_buf_init(&t->system, SL_OPENAI_BODY_MAX);
    sl_buf_init(&t->scratch, SL_COMPOSE_BODY_MAX);
    t->put.to = &t->messages;
    t->system_put.to = &t->system;
}

void sl_talk_done(struct sl_talk *t) {
    sl_buf_done(&t->messages);
    sl_buf_done(&t->system);
    sl_buf_done(&t->scratch);
}

int sl_talk_error(const struct sl_talk *t) {
    return t->put.err ? t->put.err : t->system_put.err;
}

static void refuse(struct sl_talk *t, struct sl_slice message) {
    (void)sl_compose_refuse(t->d, SL_FAILURE_VALIDATION, message);
}

static void end_message(struct sl_talk *t) {
    if (t->role)
        sl_put(&t->put, "]}");
    t->role = 0;
}

/* A block begins: the message of that role goes on, or a new one starts. */
static struct sl_put *begin_block(struct sl_talk *t, char role) {
    if (t->role != role) {
        end_message(t);
        t->role = role;
        sl_put_open(&t->put, "{");
        sl_put(&t->put, role == 'a' ? "\"role\":\"assistant\",\"content\":["
                                    : "\"role\":\"user\",\"content\":[");
    }
    sl_put_open(&t->put, "{");
    return &t->put;
}

static bool has_text(const struct sl_talk *t, const struct sl_json_node *node) {
    return sl_json_inner(t->view, node).len > 0;
}

void sl_talk_text(struct sl_talk *t, char role, const struct sl_json_node *text) {
    if (!has_text(t, text))
        return; /* Converse refuses empty text, which clients send beside tool calls */
    struct sl_put *p = begin_block(t, role);
    sl_put_member(p, "text", sl_json_raw(t->view, text));
    sl_put(p, "}");
}

void sl_talk_system(struct sl_talk *t, const struct sl_json_node *text) {
    if (!has_text(t, text))
        return;
    sl_put_open(&t->system_put, "{");
    sl_put_member(&t->system_put, "text", sl_json_raw(t->view, text));
    sl_put(&t->system_put, "}");
}

void sl_talk_instruct(struct sl_talk *t, const char *text) {
    sl_put_open(&t->system_put, "{");
    sl_put_member_string(&t->system_put, "text", sl_slice_str(text));
    sl_put(&t->system_put, "}");
}

/* A string's text: where it stands when it has no escapes, else decoded into scratch. */
static struct sl_slice plain(struct sl_talk *t, const struct sl_json_node *node) {
    struct sl_slice inner = sl_json_inner(t->view, node);
    if (sl_slice_find(inner, '\\') == inner.len)
        return inner;
    sl_buf_clear(&t->scratch);
    int err = sl_json_text(t->view, node, &t->scratch);
    if (err && !t->put.err)
        t->put.err = err;
    return sl_buf_slice(&t->scratch);
}

static bool is_base64(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!digit && c != '+' && c != '/' && c != '=')
            return false;
    }
    return s.len > 0;
}

/* "data:TYPE;base64,DATA". */
static bool data_url(struct sl_slice url, struct sl_slice *type, struct sl_slice *data) {
    if (!sl_slice_starts(url, SL_LIT("data:")))
        return false;
    url = sl_slice_skip(url, 5);
    size_t comma = sl_slice_find(url, ',');
    struct sl_slice head = sl_slice_head(url, comma);
    *data = sl_slice_skip(url, comma + 1);
    *type = sl_slice_head(head, sl_slice_find(head, ';'));
    return sl_slice_ends(head, SL_LIT(";base64")) && is_base64(*data);
}

static void put_media(struct sl_put *p, struct sl_slice format, struct sl_slice data) {
    sl_put_member_string(p, "format", format);
    sl_put_key(p, "source");
    sl_put(p, "{\"bytes\":\"");
    sl_put_raw(p, data);
    sl_put(p, "\"}");
}

static const struct {
    const char *type, *format;
} image_types[] = {{"image/png", "png"},
                   {"image/jpeg", "jpeg"},
                   {"image/jpg", "jpeg"},
                   {"image/gif", "gif"},
                   {"image/webp", "webp"}};

/* {"image":{…}} into an open object; refuses what it cannot. */
static void put_image(struct sl_talk *t, struct sl_put *p, struct sl_slice url) {
    struct sl_slice type, data;
    if (!data_url(url, &type, &data)) {
        refuse(t, sl_slice_starts(url, SL_LIT("http"))
                      ? SL_LIT("Images by http(s) URL are not fetched. Send the image itself, as a "
                               "data URL: data:image/png;base64,...")
                      : SL_LIT("An image's URL must be a data URL: data:image/png;base64,..."));
        return;
    }
    for (size_t i = 0; i < sizeof(image_types) / sizeof(image_types[0]); i++)
        if (sl_slice_ieq(type, sl_slice_str(image_types[i].type))) {
            sl_put_key(p, "image");
            sl_put(p, "{");
            put_media(p, sl_slice_str(image_types[i].format), data);
            sl_put(p, "}");
            return;
        }
    refuse(t, SL_LIT("This type of image is not supported: use png, jpeg, gif or webp."));
}

void sl_talk_image(struct sl_talk *t, char role, const struct sl_json_node *url) {
    struct sl_put *p = begin_block(t, role);
    put_image(t, p, plain(t, url));
    sl_put(p, "}");
}

/* Bedrock takes letters, digits, single spaces, hyphens and brackets in a document's name, and
 * wants no ending there. */
static void put_document_name(struct sl_put *p, struct sl_slice name) {
    size_t end = name.len;
    while (end > 0 && name.ptr[end - 1] != '.')
        end--;
    name = sl_slice_head(name, end > 1 ? end - 1 : name.len);
    name = sl_slice_head(name, 100);
    sl_put_key(p, "name");
    sl_put(p, "\"");
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool plain_char =
            (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        sl_put_raw(p, plain_char ? sl_slice_of(&name.ptr[i], 1) : SL_LIT("-"));
    }
    sl_put(p, name.len ? "\"" : "document\"");
}

void sl_talk_file(struct sl_talk *t, const struct sl_json_node *data,
                  const struct sl_json_node *name) {
    struct sl_slice type = SL_EMPTY, bytes = SL_EMPTY;
    if (!data_url(plain(t, data), &type, &bytes) ||
        !sl_slice_ieq(type, SL_LIT("application/pdf"))) {
        refuse(t, SL_LIT("A file must be a PDF, sent as a data URL in file_data: "
                         "data:application/pdf;base64,..."));
        return;
    }
    struct sl_put *p = begin_block(t, 'u');
    sl_put_key(p, "document");
    sl_put(p, "{");
    put_media(p, SL_LIT("pdf"), bytes);
    put_document_name(p, sl_json_inner(t->view, name));
    sl_put(p, "}}");
}

void sl_talk_reasoning(struct sl_talk *t, const struct sl_json_node *text,
                       const struct sl_json_node *signature) {
    if (!has_text(t, text) || !has_text(t, signature))
        return; /* models take back only what they signed */
    struct sl_put *p = begin_block(t, 'a');
    sl_put(p, "\"reasoningContent\":{\"reasoningText\":{");
    sl_put_member(p, "text", sl_json_raw(t->view, text));
    sl_put_member(p, "signature", sl_json_raw(t->view, signature));
    sl_put(p, "}}}");
}

void sl_talk_redacted(struct sl_talk *t, struct sl_slice data) {
    if (!is_base64(data)) {
        refuse(t, SL_LIT("Redacted reasoning must come back as it was given."));
        return;
    }
    struct sl_put *p = begin_block(t, 'a');
    sl_put(p, "\"reasoningContent\":{\"redactedContent\":\"");
    sl_put_raw(p, data);
    sl_put(p, "\"}}");
}

void sl_talk_tool_use(struct sl_talk *t, const struct sl_json_node *id,
                      const struct sl_json_node *name, const struct sl_json_node *arguments) {
    struct sl_slice input = plain(t, arguments);
    t->tools = true;
    if (!has_text(t, id) || !has_text(t, name)) {
        refuse(t, SL_LIT("A tool call needs an id and the function's name."));
        return;
    }
    if (input.len > 0 && !sl_put_can(input, true)) {
        refuse(t, SL_LIT("The arguments of a tool call must be a string that holds a JSON "
                         "object."));
        return;
    }
    struct sl_put *p = begin_block(t, 'a');
    sl_put(p, "\"toolUse\":{");
    sl_put_member(p, "toolUseId", sl_json_raw(t->view, id));
    sl_put_member(p, "name", sl_json_raw(t->view, name));
    sl_put_member(p, "input", input.len ? input : SL_LIT("{}"));
    sl_put(p, "}}");
}

/* The string of a text part, of either API and direction; NULL for any other part. */
static const struct sl_json_node *text_of(const struct sl_talk *t,
                                          const struct sl_json_node *part) {
    static const char *const types[] = {"text", "input_text", "output_text"};
    const struct sl_json_node *type = sl_json_get(t->view, part, "type");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (sl_json_eq(t->view, type, types[i]))
            return sl_json_get(t->view, part, "text");
    if (sl_json_eq(t->view, type, "refusal"))
        return sl_json_get(t->view, part, "refusal");
    return NULL;
}

/* The URL of an image part: {"image_url":{"url"}} or {"image_url":"…"}; NULL: none. */
static const struct sl_json_node *image_of(const struct sl_talk *t,
                                           const struct sl_json_node *part) {
    const struct sl_json_node *image = sl_json_get(t->view, part, "image_url");
    return sl_json_is(image, SL_JSON_IS_OBJECT) ? sl_json_get(t->view, image, "url") : image;
}

static void put_result_part(struct sl_talk *t, const struct sl_json_node *part) {
    const struct sl_json_node *text = text_of(t, part), *image = image_of(t, part);
    if (!image && !text)
        refuse(t, SL_LIT("A tool's result can hold text and images only."));
    if (!image && !has_text(t, text))
        return;
    sl_put_open(&t->put, "{");
    if (image)
        put_image(t, &t->put, plain(t, image));
    else
        sl_put_member(&t->put, "text", sl_json_raw(t->view, text));
    sl_put(&t->put, "}");
}

void sl_talk_tool_result(struct sl_talk *t, const struct sl_json_node *id,
                         const struct sl_json_node *content) {
    if (!has_text(t, id)) {
        refuse(t, SL_LIT("A tool's result needs the id of its call."));
        return;
    }
    t->tools = true;
    struct sl_put *p = begin_block(t, 'u');
    sl_put(p, "\"toolResult\":{");
    sl_put_member(p, "toolUseId", sl_json_raw(t->view, id));
    sl_put(p, ",\"content\":[");
    if (has_text(t, content)) {
        sl_put(p, "{\"text\":");
        sl_put_raw(p, sl_json_raw(t->view, content));
        sl_put(p, "}");
    }
    if (sl_json_is(content, SL_JSON_IS_ARRAY))
        for (content = sl_json_child(t->view, content); content;
             content = sl_json_next(t->view, content))
            put_result_part(t, content);
    sl_put(p, "]}}");
}

static void content_part(struct sl_talk *t, char role, const struct sl_json_node *part) {
    const struct sl_json_node *type = sl_json_get(t->view, part, "type");
    const struct sl_json_node *image = image_of(t, part), *file = part;
    if (text_of(t, part)) {
        sl_talk_text(t, role, text_of(t, part));
    } else if (image) {
        sl_talk_image(t, role, image);
    } else if (sl_json_eq(t->view, type, "file") || sl_json_eq(t->view, type, "input_file")) {
        if (sl_json_get(t->view, part, "file"))
            file = sl_json_get(t->view, part, "file");
        sl_talk_file(t, sl_json_get(t->view, file, "file_data"),
                     sl_json_get(t->view, file, "filename"));
    } else {
        refuse(t, SL_LIT("A message can hold text, images (data URLs) and PDF files; this type of "
                         "content is not supported."));
    }
}

void sl_talk_content(struct sl_talk *t, char role, const struct sl_json_node *content) {
    if (sl_json_is(content, SL_JSON_IS_ARRAY)) {
        for (const struct sl_json_node *part = sl_json_child(t->view, content); part;
             part = sl_json_next(t->view, part)) {
            if (role == 's')
                sl_talk_system(t, text_of(t, part));
            else
                content_part(t, role, part);
        }
    } else if (role == 's') {
        sl_talk_system(t, content);
    } else {
        sl_talk_text(t, role, content);
    }
}

void sl_talk_put(struct sl_talk *t, struct sl_put *p) {
    end_message(t);
    sl_put_key(p, "messages");
    sl_put(p, "[");
    sl_put_raw(p, sl_buf_slice(&t->messages));
    sl_put(p, "]");
    if (t->system.len == 0)
        return;
    sl_put_key(p, "system");
    sl_put(p, "[");
    sl_put_raw(p, sl_buf_slice(&t->system));
    sl_put(p, "]");
}
