/*
 * POST /v1/embeddings. Titan embeds one text a call, Cohere up to 96, so a request may be several
 * calls; their vectors are put together in the order of the texts. Numbers go over as upstream
 * wrote them, or as 32-bit floats in base64, which OpenAI's SDKs ask for unless told otherwise.
 */
#include <openssl/base64.h>
#include <stdlib.h>

#include "dialect/frames.h"
#include "dialect/openai.h"
#include "dialect/openai_answer.h"
#include "dialect/retired.h"
#include "dialect/usage.h"
#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/core/model.h"

/* OpenAI's own maximum of texts; Cohere's of one call. */
#define TEXTS_MAX    2048
#define COHERE_TEXTS 96
/* Values in one call's answer: 96 vectors of up to 1,536 numbers, and what is around them. */
#define NODES_MAX ((uint32_t)1 << 18)
#define TOKENS    SL_LIT("x-amzn-bedrock-input-token-count")

struct sl_openai_embeddings {
    const struct sl_json_view *view;
    const struct sl_json_node **texts;
    size_t count, each; /* texts, and how many of them one call takes */
    struct sl_slice model;
    const struct sl_json_node *dimensions, *input_type;
    bool cohere;
};

static int refuse(struct sl_decode *d, struct sl_slice message) {
    return sl_compose_refuse(d, SL_FAILURE_VALIDATION, message);
}

static int read_texts(struct sl_decode *d, struct sl_openai_embeddings *e,
                      const struct sl_json_node *input) {
    bool list = sl_json_is(input, SL_JSON_IS_ARRAY);
    const struct sl_json_node *text = list ? sl_json_child(e->view, input) : input;
    e->texts = sl_arena_calloc(d->arena, list ? TEXTS_MAX : 1, sizeof(*e->texts));
    if (!e->texts)
        return SL_E_NOMEM;
    for (; text; text = sl_json_next(e->view, text)) {
        if (!sl_json_is(text, SL_JSON_IS_STRING))
            return refuse(d, SL_LIT("input must be a string or a list of strings: Bedrock's models "
                                    "do not take OpenAI's tokens (in LangChain, set "
                                    "check_embedding_ctx_length=False)."));
        if (e->count == TEXTS_MAX)
            return refuse(d, SL_LIT("input may hold at most 2048 texts."));
        e->texts[e->count++] = text;
        if (!list)
            break;
    }
    return e->count ? SL_OK : refuse(d, SL_LIT("input must not be empty."));
}

static void put_cohere(struct sl_put *p, const struct sl_openai_embeddings *e, size_t first) {
    sl_put(p, "{\"texts\":[");
    for (size_t i = first; i < e->count && i < first + e->each; i++)
        sl_put_value(p, sl_json_raw(e->view, e->texts[i]));
    sl_put(p, "]");
    sl_put_member(p, "input_type",
                  e->input_type ? sl_json_raw(e->view, e->input_type)
                                : SL_LIT("\"search_document\""));
    if (e->dimensions)
        sl_put_member(p, "output_dimension", sl_json_raw(e->view, e->dimensions));
    sl_put(p, "}");
}

static void put_titan(struct sl_put *p, const struct sl_openai_embeddings *e, size_t i) {
    sl_put(p, "{");
    sl_put_member(p, "inputText", sl_json_raw(e->view, e->texts[i]));
    if (e->dimensions)
        sl_put_member(p, "dimensions", sl_json_raw(e->view, e->dimensions));
    sl_put(p, "}");
}

static int write_body(const struct sl_openai_embeddings *e, size_t call, struct sl_buf *body) {
    struct sl_put p = {.to = body};
    sl_buf_init(body, SL_OPENAI_BODY_MAX);
    if (e->cohere)
        put_cohere(&p, e, call * e->each);
    else
        put_titan(&p, e, call);
    return p.err;
}

static int read_format(struct sl_decode *d, const struct sl_json_view *v) {
    struct sl_openai_ask *ask = d->ask->own;
    const struct sl_json_node *format = sl_openai_get(v, sl_json_root(v), "encoding_format");
    ask->base64 = sl_json_eq(v, format, "base64");
    if (format && !ask->base64 && !sl_json_eq(v, format, "float"))
        return refuse(d, SL_LIT("encoding_format must be float or base64."));
    return SL_OK;
}

int sl_openai_embeddings_request(struct sl_decode *d, const struct sl_json_view *v,
                                 struct sl_openai_embeddings **out) {
    const struct sl_json_node *root = sl_json_root(v);
    struct sl_openai_embeddings *e = sl_arena_calloc(d->arena, 1, sizeof(*e));
    if (!e)
        return SL_E_NOMEM;
    e->view = v;
    e->dimensions = sl_openai_get(v, root, "dimensions");
    e->input_type = sl_openai_get(v, root, "input_type");
    int err = read_format(d, v);
    if (!err && !d->failure)
        err = sl_openai_model(d, v, &e->model);
    if (!err && !d->failure)
        err = read_texts(d, e, sl_openai_get(v, root, "input"));
    if (err || d->failure)
        return err;
    enum sl_family family = sl_model_family(sl_retired_served(d, e->model));
    e->cohere = family == SL_FAMILY_COHERE_EMBED;
    e->each = e->cohere ? COHERE_TEXTS : 1;
    if (!e->cohere && family != SL_FAMILY_TITAN_EMBED)
        return refuse(d, SL_LIT("This model gives no embeddings: use one of Titan's or Cohere's "
                                "embedding models."));
    struct sl_buf body;
    err = write_body(e, 0, &body);
    if (!err)
        err = sl_compose_finish(d, SL_OP_INVOKE_MODEL, e->model, &body);
    sl_buf_done(&body);
    d->parts = (e->count - 1) / e->each;
    *out = e;
    return err;
}

int sl_openai_embeddings_part(const struct sl_decode *d, const struct sl_openai_embeddings *e,
                              size_t i, struct sl_arena *arena, struct sl_call *call) {
    struct sl_buf body;
    int err = write_body(e, i, &body);
    if (!err)
        err = sl_compose_part(d, arena, call, SL_OP_INVOKE_MODEL, e->model, &body);
    sl_buf_done(&body);
    return err;
}

/* The vector's numbers as little-endian 32-bit floats, in base64. */
static void put_base64(struct sl_put *p, const struct sl_json_view *v,
                       const struct sl_json_node *vector) {
    struct sl_buf floats;
    size_t size = 0;
    sl_buf_init(&floats, SL_ANSWER_MAX);
    const struct sl_json_node *number = sl_json_child(v, vector);
    for (; number && !p->err; number = sl_json_next(v, number)) {
        char text[64] = "";
        uint8_t bytes[4];
        uint32_t bits;
        struct sl_slice raw = sl_slice_head(sl_json_raw(v, number), sizeof(text) - 1);
        memcpy(text, raw.ptr, raw.len);
        float value = strtof(text, NULL);
        memcpy(&bits, &value, sizeof(bits));
        for (unsigned i = 0; i < 4; i++)
            bytes[i] = (uint8_t)(bits >> (8 * i));
        p->err = sl_buf_add(&floats, sl_slice_of(bytes, sizeof(bytes)));
    }
    sl_put(p, "\"");
    if (!p->err)
        p->err = EVP_EncodedLength(&size, floats.len) ? sl_buf_reserve(p->to, size) : SL_E_LIMIT;
    if (!p->err)
        p->to->len += EVP_EncodeBlock((uint8_t *)p->to->ptr + p->to->len,
                                      (const uint8_t *)floats.ptr, floats.len);
    sl_put(p, "\"");
    sl_buf_done(&floats);
}

static void put_vector(struct sl_put *p, const struct sl_json_view *v,
                       const struct sl_json_node *vector, bool base64, int64_t *index) {
    sl_put_open(p, "{");
    sl_put(p, "\"object\":\"embedding\"");
    sl_put_member_int(p, "index", (*index)++);
    sl_put_key(p, "embedding");
    if (base64)
        put_base64(p, v, vector);
    else
        sl_put_raw(p, sl_json_raw(v, vector));
    sl_put(p, "}");
}

/* One call's answer: {"embedding":[…]}, {"embeddings":[[…]…]}, {"embeddings":{"float":[[…]…]}}. */
static int put_answer(struct sl_put *p, const struct sl_part *part, bool base64, int64_t *index,
                      int64_t *tokens) {
    struct sl_json_view v;
    struct sl_usage usage = SL_USAGE_UNKNOWN;
    int err = part->status == 200 ? sl_json_view_parse(&v, part->body, NODES_MAX) : SL_E_PROTOCOL;
    if (part->status != 200)
        return err;
    const struct sl_json_node *root = err ? NULL : sl_json_root(&v);
    const struct sl_json_node *one = sl_json_get(&v, root, "embedding");
    const struct sl_json_node *many = sl_json_get(&v, root, "embeddings");
    if (sl_json_is(many, SL_JSON_IS_OBJECT))
        many = sl_json_get(&v, many, "float");
    if (one)
        put_vector(p, &v, one, base64, index);
    for (many = sl_json_child(&v, many); many; many = sl_json_next(&v, many))
        put_vector(p, &v, many, base64, index);
    if (!err && !one && *index == 0)
        err = SL_E_PROTOCOL;
    sl_json_view_done(&v);
    if (part->headers)
        sl_usage_from_headers(&usage, part->headers);
    if (usage.input < 0)
        sl_usage_from_json(&usage, part->body);
    *tokens += usage.input > 0 ? usage.input : 0;
    return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
}

int sl_openai_embeddings_join(const struct sl_ask *ask, const struct sl_part *parts, size_t count,
                              struct sl_buf *out) {
    const struct sl_openai_ask *own = ask->own;
    struct sl_put p = {.to = out};
    int64_t index = 0, tokens = 0;
    int err = SL_OK;
    sl_put(&p, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; !err && i < count; i++)
        err = put_answer(&p, &parts[i], own->base64, &index, &tokens);
    sl_put(&p, "]");
    sl_put_member_string(&p, "model", ask->model);
    sl_put_key(&p, "usage");
    sl_put(&p, "{");
    sl_put_member_int(&p, "prompt_tokens", tokens);
    sl_put_member_int(&p, "total_tokens", tokens);
    sl_put(&p, "}}");
    return err ? err : p.err;
}

/* The answer to a request that is one call. */
struct single {
    struct sl_encoder base;
    const struct sl_ask *ask;
    struct sl_headers headers; /* of upstream's, the one that has the tokens */
    struct sl_buf body;
};

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    (void)out;
    return sl_buf_add(&SL_CONTAINER(base, struct single, base)->body, bytes);
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct single *s = SL_CONTAINER(base, struct single, base);
    struct sl_part part = {200, sl_buf_slice(&s->body), &s->headers};
    return sl_openai_embeddings_join(s->ask, &part, 1, out);
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    (void)base;
    (void)kind;
    (void)message;
    (void)out;
    return SL_E_NOTFOUND;
}

static void release(struct sl_encoder *base) {
    sl_buf_done(&SL_CONTAINER(base, struct single, base)->body);
}

int sl_openai_embeddings_encoder(const struct sl_ask *ask, const struct sl_source *source,
                                 struct sl_arena *arena, struct sl_encoder **out) {
    static const struct sl_encoder_ops ops = {feed, finish, broken, release};
    struct single *s = sl_arena_calloc(arena, 1, sizeof(*s));
    if (!s)
        return SL_E_NOMEM;
    s->base = (struct sl_encoder){.ops = &ops, .whole = true};
    s->ask = ask;
    sl_buf_init(&s->body, SL_ANSWER_MAX);
    int err = sl_openai_head(&s->base.head, arena, ask);
    if (!err && source->head)
        err = sl_headers_add_copy(&s->headers, arena, TOKENS,
                                  sl_headers_get(&source->head->headers, TOKENS));
    if (!err)
        *out = &s->base;
    return err;
}
