/* Several names for the same four numbers: tables of paths, one reader. */
#include "dialect/usage.h"

#include <assert.h>

/* Which number a fact is. */
enum field { INPUT, OUTPUT, CACHE_READ, CACHE_WRITE };

static const struct {
    const char *path;
    enum field field;
} rows[] = {
    {"usage.inputTokens", INPUT}, /* Converse, Nova */
    {"usage.outputTokens", OUTPUT},
    {"usage.cacheReadInputTokens", CACHE_READ},
    {"usage.cacheWriteInputTokens", CACHE_WRITE},
    {"usage.input_tokens", INPUT}, /* Claude, OpenAI responses */
    {"usage.output_tokens", OUTPUT},
    {"usage.cache_read_input_tokens", CACHE_READ},
    {"usage.cache_creation_input_tokens", CACHE_WRITE},
    {"usage.prompt_tokens", INPUT}, /* OpenAI chat */
    {"usage.completion_tokens", OUTPUT},
    {"message.usage.input_tokens", INPUT}, /* Anthropic message_start */
    {"message.usage.cache_read_input_tokens", CACHE_READ},
    {"message.usage.cache_creation_input_tokens", CACHE_WRITE},
    {"response.usage.input_tokens", INPUT}, /* OpenAI response.completed */
    {"response.usage.output_tokens", OUTPUT},
    {"prompt_token_count", INPUT}, /* Llama */
    {"generation_token_count", OUTPUT},
    {"inputTextTokenCount", INPUT}, /* Titan */
    {"results.[].tokenCount", OUTPUT},
    {"amazon-bedrock-invocationMetrics.inputTokenCount", INPUT},
    {"amazon-bedrock-invocationMetrics.outputTokenCount", OUTPUT},
    {"amazon-bedrock-invocationMetrics.cacheReadInputTokenCount", CACHE_READ},
    {"amazon-bedrock-invocationMetrics.cacheWriteInputTokenCount", CACHE_WRITE},
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == SL_FOLLOW_FACTS, "one fact a row");

static const struct {
    struct sl_slice name;
    enum field field;
} header_rows[] = {
    {SL_LIT("x-amzn-bedrock-input-token-count"), INPUT},
    {SL_LIT("x-amzn-bedrock-output-token-count"), OUTPUT},
    {SL_LIT("x-amzn-bedrock-cache-read-input-token-count"), CACHE_READ},
    {SL_LIT("x-amzn-bedrock-cache-write-input-token-count"), CACHE_WRITE},
};

static void set(struct sl_usage *usage, enum field field, int64_t value) {
    int64_t *const slots[] = {
        [INPUT] = &usage->input,
        [OUTPUT] = &usage->output,
        [CACHE_READ] = &usage->cache_read,
        [CACHE_WRITE] = &usage->cache_write,
    };
    if (value >= 0)
        *slots[field] = value;
}

void sl_usage_begin(struct sl_json_facts *reader, struct sl_json_fact facts[SL_FOLLOW_FACTS]) {
    static struct sl_json_paths paths; /* taken apart once: every document is read by them */
    static bool made;
    for (size_t i = 0; i < SL_FOLLOW_FACTS; i++)
        facts[i].path = rows[i].path;
    if (!made) {
        int err = sl_json_paths_init(&paths, facts, SL_FOLLOW_FACTS);
        assert(!err); /* they are fewer and shorter than the limits */
        (void)err;
    }
    made = true;
    sl_json_facts_begin(reader, &paths, facts, SL_FOLLOW_FACTS, SL_USAGE_TEXT_MAX);
}

void sl_usage_from_facts(struct sl_usage *usage, const struct sl_json_fact *facts) {
    for (size_t i = 0; i < SL_FOLLOW_FACTS; i++)
        if (facts[i].type == SL_FACT_NUMBER)
            set(usage, rows[i].field, facts[i].integer);
}

void sl_usage_from_headers(struct sl_usage *usage, const struct sl_headers *headers) {
    for (size_t i = 0; i < sizeof(header_rows) / sizeof(header_rows[0]); i++) {
        uint64_t value;
        struct sl_slice text = sl_headers_get(headers, header_rows[i].name);
        if (sl_slice_u64(text, &value) && value <= INT64_MAX)
            set(usage, header_rows[i].field, (int64_t)value);
    }
}

void sl_usage_from_json(struct sl_usage *usage, struct sl_slice json) {
    struct sl_json_fact facts[SL_FOLLOW_FACTS] = {0};
    struct sl_json_facts reader;
    sl_usage_begin(&reader, facts);
    if (sl_json_facts_feed(&reader, json) == SL_OK && sl_json_facts_finish(&reader) == SL_OK)
        sl_usage_from_facts(usage, facts);
    sl_json_facts_done(&reader);
}
