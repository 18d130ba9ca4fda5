#include "sim/embed.h"

#include "sim/generate.h"

#define MAX_TITAN_BYTES   50000 /* Titan's own limit of characters */
#define MAX_COHERE_BYTES  2048
#define COHERE_DIMENSIONS 1024

static const struct sl_sim_key titan_keys[] = {
    {"inputText", SL_SIM_KEY_STRING, true, 0, 0},
    {"dimensions", SL_SIM_KEY_INTEGER, false, 0, 0},
    {"normalize", SL_SIM_KEY_BOOLEAN, false, 0, 0},
    {"embeddingTypes", SL_SIM_KEY_ARRAY, false, 0, 0},
};
static const struct sl_sim_key cohere_keys[] = {
    {"texts", SL_SIM_KEY_ARRAY, true, 0, 0},
    {"input_type", SL_SIM_KEY_STRING, true, 0, 0},
    {"truncate", SL_SIM_KEY_STRING, false, 0, 0},
    {"embedding_types", SL_SIM_KEY_ARRAY, false, 0, 0},
};

static int add_text(struct sl_sim_ask *ask, struct sl_slice text, size_t max) {
    if (text.len == 0 || text.len > max)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             text.len ? "Malformed input request: expected maxLength: %zu, actual: "
                                        "%zu, please reformat your input and try again."
                                      : "Malformed input request: expected minLength: 1 (of %zu), "
                                        "actual: %zu, please reformat your input and try again.",
                             max, text.len);
    ask->texts[ask->text_count++] = text;
    sl_sim_ask_text(ask, text);
    return 0;
}

static int decode_titan(struct sl_sim_ask *ask, const cJSON *body) {
    int error = sl_sim_check_keys(ask, body, titan_keys, 4);
    if (error)
        return error;
    bool second = strcmp(ask->model->id, "amazon.titan-embed-text-v1") != 0;
    int64_t dimensions = sl_sim_get_int(body, "dimensions", second ? 1024 : 1536);
    if (second && dimensions != 1024 && dimensions != 512 && dimensions != 256)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Malformed input request: #/dimensions: %lld is not a valid enum "
                             "value, please reformat your input and try again.",
                             (long long)dimensions);
    ask->dimensions = second ? (uint32_t)dimensions : 1536;
    ask->typed = second;
    return add_text(ask, sl_sim_get_string(body, "inputText"), MAX_TITAN_BYTES);
}

static int decode_cohere(struct sl_sim_ask *ask, const cJSON *body) {
    int error = sl_sim_check_keys(ask, body, cohere_keys, 4);
    if (error)
        return error;
    ask->dimensions = COHERE_DIMENSIONS;
    ask->typed = sl_sim_get(body, "embedding_types") != NULL;
    const cJSON *texts = sl_sim_get(body, "texts"), *item;
    if (cJSON_GetArraySize(texts) < 1 || cJSON_GetArraySize(texts) > SL_SIM_MAX_TEXTS)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Malformed input request: #/texts: expected 1 to %d items, found: %d, "
                             "please reformat your input and try again.",
                             SL_SIM_MAX_TEXTS, cJSON_GetArraySize(texts));
    cJSON_ArrayForEach(item, texts) {
        error = add_text(ask, sl_sim_string(item), MAX_COHERE_BYTES);
        if (error)
            return error;
    }
    return 0;
}

int sl_sim_embed_decode(struct sl_sim_ask *ask, const cJSON *body) {
    return ask->model->family == SL_FAMILY_COHERE_EMBED ? decode_cohere(ask, body)
                                                        : decode_titan(ask, body);
}

/* printf would take most of the time of a large batch: "-0.012345" by hand. */
static void put_millionths(struct sl_sim_out *out, int32_t value) {
    char text[9] = "0.000000";
    uint32_t left = (uint32_t)(value < 0 ? -value : value);
    for (int i = 7; i > 1; i--, left /= 10)
        text[i] = (char)('0' + left % 10);
    text[0] = (char)('0' + left);
    if (!out->error && value < 0)
        out->error = sl_buf_add_byte(&out->buf, '-');
    if (!out->error)
        out->error = sl_buf_add(&out->buf, sl_slice_of(text, 8));
}

static void put_vector(struct sl_sim_out *out, const struct sl_sim_ask *ask, size_t text,
                       uint64_t seed) {
    int32_t vector[SL_SIM_MAX_DIMENSIONS];
    uint64_t model = sl_sim_digest(SL_SIM_DIGEST_BEGIN, sl_slice_str(ask->model->id));
    sl_sim_embed(ask->texts[text], sl_sim_mix(seed ^ model), vector, ask->dimensions);
    for (uint32_t d = 0; d < ask->dimensions; d++) {
        sl_sim_put(out, d ? "," : "[");
        put_millionths(out, vector[d]);
    }
    sl_sim_put(out, "]");
}

static void titan_whole(struct sl_sim_out *out, const struct sl_sim_ask *ask, uint64_t seed) {
    sl_sim_put(out, "{'embedding':");
    put_vector(out, ask, 0, seed);
    if (ask->typed) {
        sl_sim_put(out, ",'embeddingsByType':{'float':");
        put_vector(out, ask, 0, seed);
        sl_sim_put(out, "}");
    }
    sl_sim_put(out, ",'inputTextTokenCount':%d}", (int64_t)sl_sim_ask_tokens(ask));
}

static void cohere_whole(struct sl_sim_out *out, const struct sl_sim_ask *ask, uint64_t seed,
                         struct sl_slice request_id) {
    sl_sim_put(out, ask->typed ? "{'embeddings':{'float':" : "{'embeddings':");
    for (size_t i = 0; i < ask->text_count; i++) {
        sl_sim_put(out, i ? "," : "[");
        put_vector(out, ask, i, seed);
    }
    sl_sim_put(out,
               ask->typed ? "]},'id':%s,'response_type':'embeddings_by_type','texts':"
                          : "],'id':%s,'response_type':'embeddings_floats','texts':",
               request_id);
    for (size_t i = 0; i < ask->text_count; i++)
        sl_sim_put(out, i ? ",%s" : "[%s", ask->texts[i]);
    sl_sim_put(out, "]}");
}

void sl_sim_embed_whole(struct sl_sim_out *out, const struct sl_sim_ask *ask, uint64_t seed,
                        struct sl_slice request_id) {
    if (ask->model->family == SL_FAMILY_COHERE_EMBED)
        cohere_whole(out, ask, seed, request_id);
    else
        titan_whole(out, ask, seed);
}
