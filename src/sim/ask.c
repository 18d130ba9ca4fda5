#include "sim/ask.h"

#include <strings.h>

#define BLOCKED_WORD "BLOCKME"

void sl_sim_ask_init(struct sl_sim_ask *ask, struct sl_arena *arena, struct sl_sim_refusal *no,
                     const struct sl_sim_model *model) {
    *ask = (struct sl_sim_ask){
        .arena = arena,
        .no = no,
        .model = model,
        .digest = SL_SIM_DIGEST_BEGIN,
        .max_tokens = -1,
        .mentioned = SL_EMPTY,
        .chosen = SL_EMPTY,
        .tier = SL_EMPTY,
        .latency = SL_EMPTY,
        .thinks = model && model->flags & SL_SIM_MODEL_REASONS,
    };
}

uint64_t sl_sim_digest(uint64_t digest, struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        digest = (digest ^ (uint8_t)s.ptr[i]) * UINT64_C(0x100000001b3);
    return digest;
}

uint64_t sl_sim_mix(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

uint64_t sl_sim_tokens_of(uint64_t bytes) {
    return bytes / SL_SIM_BYTES_PER_TOKEN + (bytes % SL_SIM_BYTES_PER_TOKEN != 0);
}

uint64_t sl_sim_ask_tokens(const struct sl_sim_ask *ask) {
    uint64_t n = sl_sim_tokens_of(ask->bytes) + (uint64_t)ask->images * SL_SIM_TOKENS_PER_IMAGE;
    return n ? n : 1;
}

int64_t sl_sim_ask_limit(const struct sl_sim_ask *ask) {
    return ask->max_tokens >= 0 ? ask->max_tokens : ask->model->max_output;
}

void sl_sim_ask_turn(struct sl_sim_ask *ask, struct sl_slice role) {
    ask->digest = sl_sim_digest(sl_sim_digest(ask->digest, SL_LIT("\x1e")), role);
    ask->asked_words = 0;
    ask->mentioned = SL_EMPTY;
    ask->answered = false;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static uint64_t count_words(struct sl_slice s) {
    uint64_t n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += !is_space(s.ptr[i]) && (i == 0 || is_space(s.ptr[i - 1]));
    return n;
}

/* The number before the last " words" of a text, 0 without one: "a story of 300 words" gives 300.
 */
static uint64_t find_asked_words(struct sl_slice s) {
    struct sl_slice unit = SL_LIT(" words");
    uint64_t found = 0;
    for (size_t at; (at = sl_slice_search(s, unit)) < s.len; s = sl_slice_skip(s, at + unit.len)) {
        size_t first = at;
        while (first > 0 && s.ptr[first - 1] >= '0' && s.ptr[first - 1] <= '9')
            first--;
        uint64_t n;
        if (sl_slice_u64(sl_slice_of(s.ptr + first, at - first), &n))
            found = n < SL_SIM_MAX_WORDS ? n : SL_SIM_MAX_WORDS;
    }
    return found;
}

static bool contains_nocase(struct sl_slice s, struct sl_slice word) {
    for (size_t i = 0; word.len && i + word.len <= s.len; i++)
        if (strncasecmp(s.ptr + i, word.ptr, word.len) == 0)
            return true;
    return false;
}

void sl_sim_ask_text(struct sl_sim_ask *ask, struct sl_slice text) {
    ask->digest = sl_sim_digest(sl_sim_digest(ask->digest, SL_LIT("\x1f")), text);
    ask->bytes += text.len;
    ask->words += count_words(text);
    ask->blocked = ask->blocked || sl_slice_search(text, SL_LIT(BLOCKED_WORD)) < text.len;
    uint64_t asked = find_asked_words(text);
    if (asked)
        ask->asked_words = asked;
    for (size_t i = 0; i < ask->tool_count && !ask->mentioned.len; i++)
        if (contains_nocase(text, ask->tools[i].name))
            ask->mentioned = ask->tools[i].name;
}

/* Only the longest string of an image tells it from another: where it lies differs by API. */
void sl_sim_ask_image(struct sl_sim_ask *ask, const cJSON *image) {
    ask->images++;
    struct sl_slice longest = SL_EMPTY;
    const cJSON *level = image;
    for (int depth = 0; level && depth < 3; depth++) {
        const cJSON *next = NULL, *item;
        cJSON_ArrayForEach(item, level) {
            if (cJSON_IsString(item) && sl_sim_string(item).len > longest.len)
                longest = sl_sim_string(item);
            if (cJSON_IsObject(item))
                next = item;
        }
        level = next;
    }
    ask->digest = sl_sim_digest(ask->digest, longest);
}

void sl_sim_ask_cache_point(struct sl_sim_ask *ask, struct sl_slice ttl) {
    if (ask->cache_count == SL_SIM_MAX_CACHE_POINTS)
        return; /* Bedrock takes four; the decoders refuse more where it does */
    ask->cache[ask->cache_count++] = (struct sl_sim_cache_point){
        .digest = ask->digest,
        .tokens = sl_sim_ask_tokens(ask),
        .ttl_s = sl_slice_eq(ttl, SL_LIT("1h")) ? 3600 : 300,
    };
}

int sl_sim_ask_tool(struct sl_sim_ask *ask, struct sl_slice name, struct sl_slice description,
                    const cJSON *schema) {
    if (!name.len || ask->tool_count == SL_SIM_MAX_TOOLS)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             name.len ? "Too many tools: at most %d are allowed."
                                      : "Each of the at most %d tools must have a name.",
                             SL_SIM_MAX_TOOLS);
    ask->tools[ask->tool_count++] = (struct sl_sim_tool){name, schema};
    ask->digest = sl_sim_digest(sl_sim_digest(ask->digest, SL_LIT("\x1d")), name);
    ask->bytes += name.len + description.len;
    return 0;
}

int sl_sim_ask_stops(struct sl_sim_ask *ask, const cJSON *stops) {
    if (cJSON_IsString(stops)) {
        if (sl_sim_string(stops).len)
            ask->stops[ask->stop_count++] = sl_sim_string(stops);
        return 0;
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, stops) {
        if (!cJSON_IsString(item) || !sl_sim_string(item).len ||
            ask->stop_count == SL_SIM_MAX_STOPS)
            return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                                 "stop_sequences: at most %d strings that are not empty are "
                                 "allowed.",
                                 SL_SIM_MAX_STOPS);
        ask->stops[ask->stop_count++] = sl_sim_string(item);
    }
    return 0;
}

/* ---- Reading JSON trees ----------------------------------------------------------- */

const cJSON *sl_sim_get(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

struct sl_slice sl_sim_string(const cJSON *value) {
    return sl_slice_str(cJSON_GetStringValue(value));
}

struct sl_slice sl_sim_get_string(const cJSON *object, const char *key) {
    return sl_sim_string(sl_sim_get(object, key));
}

int64_t sl_sim_get_int(const cJSON *object, const char *key, int64_t otherwise) {
    const cJSON *value = sl_sim_get(object, key);
    if (!cJSON_IsNumber(value))
        return otherwise;
    double d = cJSON_GetNumberValue(value);
    return d >= 9e18 ? INT64_MAX : d <= -9e18 ? INT64_MIN : (int64_t)d;
}

static const char *type_name(const cJSON *value) {
    return cJSON_IsString(value)   ? "String"
           : cJSON_IsNumber(value) ? "Number"
           : cJSON_IsBool(value)   ? "Boolean"
           : cJSON_IsArray(value)  ? "JSONArray"
           : cJSON_IsObject(value) ? "JSONObject"
                                   : "Null";
}

static bool is_whole(const cJSON *value) {
    double d = cJSON_GetNumberValue(value);
    return d > -9e15 && d < 9e15 && d == (double)(int64_t)d;
}

/* NULL when the value is of the type, else the type's name. */
static const char *type_mismatch(const cJSON *value, enum sl_sim_key_type type) {
    switch (type) {
    case SL_SIM_KEY_STRING:
        return cJSON_IsString(value) ? NULL : "String";
    case SL_SIM_KEY_NUMBER:
        return cJSON_IsNumber(value) ? NULL : "Number";
    case SL_SIM_KEY_INTEGER:
        return cJSON_IsNumber(value) && is_whole(value) ? NULL : "Integer";
    case SL_SIM_KEY_ARRAY:
        return cJSON_IsArray(value) ? NULL : "JSONArray";
    case SL_SIM_KEY_OBJECT:
        return cJSON_IsObject(value) ? NULL : "JSONObject";
    case SL_SIM_KEY_BOOLEAN:
        return cJSON_IsBool(value) ? NULL : "Boolean";
    case SL_SIM_KEY_ANY:
        break;
    }
    return NULL;
}

#define AGAIN ", please reformat your input and try again."

static int check_value(struct sl_sim_ask *ask, const struct sl_sim_key *key, const cJSON *value) {
    const char *expected = type_mismatch(value, key->type);
    if (expected)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Malformed input request: #/%s: expected type: %s, found: %s" AGAIN,
                             key->name, expected, type_name(value));
    if (!cJSON_IsNumber(value) || key->min == key->max)
        return 0;
    double d = cJSON_GetNumberValue(value);
    if (d >= key->min && d <= key->max)
        return 0;
    return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                         "Malformed input request: #/%s: %.15g is not %s or equal to %.15g" AGAIN,
                         key->name, d, d < key->min ? "greater" : "less",
                         d < key->min ? key->min : key->max);
}

int sl_sim_check_keys(struct sl_sim_ask *ask, const cJSON *body, const struct sl_sim_key *keys,
                      size_t count) {
    if (!cJSON_IsObject(body))
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Malformed input request: expected type: JSONObject, found: %s" AGAIN,
                             type_name(body));
    for (size_t i = 0; i < count; i++)
        if (keys[i].required && !sl_sim_get(body, keys[i].name))
            return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                                 "Malformed input request: #: required key [%s] not found" AGAIN,
                                 keys[i].name);
    const cJSON *item;
    cJSON_ArrayForEach(item, body) {
        const struct sl_sim_key *key = NULL;
        for (size_t i = 0; i < count && !key; i++)
            if (strcmp(item->string, keys[i].name) == 0)
                key = &keys[i];
        if (!key)
            return sl_sim_refuse(
                ask->no, SL_FAILURE_VALIDATION,
                "Malformed input request: #: extraneous key [%.256s] is not permitted" AGAIN,
                item->string);
        int error = check_value(ask, key, item);
        if (error)
            return error;
    }
    return 0;
}
