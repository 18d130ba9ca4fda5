#include "sim/scan.h"

static const struct {
    struct sl_slice key;
    enum sl_sim_scan_role role;
} roles[] = {
    {SL_LIT("text"), SL_SIM_SCAN_TEXT},
    {SL_LIT("content"), SL_SIM_SCAN_TEXT},
    {SL_LIT("prompt"), SL_SIM_SCAN_TEXT},
    {SL_LIT("inputText"), SL_SIM_SCAN_TEXT},
    {SL_LIT("message"), SL_SIM_SCAN_TEXT},
    {SL_LIT("preamble"), SL_SIM_SCAN_TEXT},
    {SL_LIT("system"), SL_SIM_SCAN_TEXT},
    {SL_LIT("instructions"), SL_SIM_SCAN_TEXT},
    {SL_LIT("input"), SL_SIM_SCAN_TEXT},
    {SL_LIT("bytes"), SL_SIM_SCAN_BLOB},
    {SL_LIT("data"), SL_SIM_SCAN_BLOB},
    {SL_LIT("url"), SL_SIM_SCAN_BLOB},
    {SL_LIT("image_url"), SL_SIM_SCAN_BLOB},
    {SL_LIT("images"), SL_SIM_SCAN_BLOB},
    {SL_LIT("max_tokens"), SL_SIM_SCAN_LIMIT},
    {SL_LIT("maxTokens"), SL_SIM_SCAN_LIMIT},
    {SL_LIT("max_gen_len"), SL_SIM_SCAN_LIMIT},
    {SL_LIT("maxTokenCount"), SL_SIM_SCAN_LIMIT},
    {SL_LIT("max_completion_tokens"), SL_SIM_SCAN_LIMIT},
    {SL_LIT("max_output_tokens"), SL_SIM_SCAN_LIMIT},
    {SL_LIT("model"), SL_SIM_SCAN_MODEL},
    {SL_LIT("stream"), SL_SIM_SCAN_STREAM},
};

static void on_key(struct sl_sim_scan *scan, const struct sl_json_token *token) {
    if (!scan->in_value)
        scan->key_len = 0;
    for (size_t i = 0; i < token->text.len; i++, scan->key_len++)
        if (scan->key_len < sizeof scan->key)
            scan->key[scan->key_len] = token->text.ptr[i];
    scan->in_value = !token->last;
    if (!token->last)
        return;
    scan->role = SL_SIM_SCAN_OTHER;
    struct sl_slice key =
        sl_slice_of(scan->key, scan->key_len <= sizeof scan->key ? scan->key_len : 0);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (sl_slice_eq(key, roles[i].key))
            scan->role = roles[i].role;
}

static void add_text(struct sl_sim_scan *scan, struct sl_slice text) {
    if (!scan->in_value)
        scan->digest = sl_sim_digest(scan->digest, SL_LIT("\x1f"));
    scan->digest = sl_sim_digest(scan->digest, text);
    scan->bytes += text.len;
    for (size_t i = 0; i < text.len; i++) {
        bool space = text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r');
        scan->words += scan->in_word && space;
        scan->in_word = !space;
    }
}

static void on_string(struct sl_sim_scan *scan, const struct sl_json_token *token) {
    if (scan->role == SL_SIM_SCAN_TEXT) {
        add_text(scan, token->text);
        scan->words += token->last && scan->in_word;
        scan->in_word = scan->in_word && !token->last;
    } else if (scan->role == SL_SIM_SCAN_BLOB) {
        scan->blobs += token->last;
        scan->digest = sl_sim_digest(scan->digest, token->text);
    } else if (scan->role == SL_SIM_SCAN_MODEL && token->depth == 1) {
        for (size_t i = 0; i < token->text.len && scan->model_len < sizeof scan->model; i++)
            scan->model[scan->model_len++] = token->text.ptr[i];
    }
    scan->in_value = !token->last;
}

static void on_number(struct sl_sim_scan *scan, const struct sl_json_token *token) {
    uint64_t n;
    if (!scan->in_value)
        scan->number_len = 0;
    for (size_t i = 0; i < token->text.len && scan->number_len < sizeof scan->number; i++)
        scan->number[scan->number_len++] = token->text.ptr[i];
    scan->in_value = !token->last;
    if (token->last && scan->role == SL_SIM_SCAN_LIMIT &&
        sl_slice_u64(sl_slice_of(scan->number, scan->number_len), &n) && n <= INT64_MAX)
        scan->max_tokens = (int64_t)n;
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    struct sl_sim_scan *scan = ctx;
    if (!scan->begun)
        scan->object = token->event == SL_JSON_OBJECT_BEGIN;
    scan->begun = true;
    switch (token->event) {
    case SL_JSON_KEY:
        on_key(scan, token);
        break;
    case SL_JSON_STRING:
        on_string(scan, token);
        break;
    case SL_JSON_NUMBER:
        on_number(scan, token);
        break;
    case SL_JSON_TRUE:
        if (scan->role == SL_SIM_SCAN_STREAM && token->depth == 1)
            scan->stream = true;
        break;
    default:
        break;
    }
    return 0;
}

void sl_sim_scan_init(struct sl_sim_scan *scan) {
    *scan = (struct sl_sim_scan){.digest = SL_SIM_DIGEST_BEGIN, .max_tokens = -1};
    sl_json_init(&scan->tokenizer, on_token, scan);
}

int sl_sim_scan_feed(struct sl_sim_scan *scan, struct sl_slice in) {
    return sl_json_feed(&scan->tokenizer, in);
}

int sl_sim_scan_finish(struct sl_sim_scan *scan) {
    int error = sl_json_finish(&scan->tokenizer);
    return error ? error : scan->object ? 0 : SL_E_INVALID;
}

struct sl_slice sl_sim_scan_model(const struct sl_sim_scan *scan) {
    return sl_slice_of(scan->model, scan->model_len);
}

void sl_sim_scan_ask(const struct sl_sim_scan *scan, struct sl_sim_ask *ask) {
    ask->digest = scan->digest;
    ask->bytes = scan->bytes;
    ask->words = scan->words;
    ask->images = scan->blobs;
    ask->max_tokens = scan->max_tokens;
    ask->stream = scan->stream;
}
