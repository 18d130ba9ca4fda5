/* Facts as a table: where each stands, which bodies it counts in, what it says. */
#include "dialect/reading.h"

#include <assert.h>

#include "sluice/core/model.h"
#include "sluice/wire/modelid.h"

/* Texts of facts: model ids. */
#define FACT_TEXT_MAX SL_MODEL_ID_MAX

enum role { OTHER, MAX_TOKENS, TEMPERATURE, TOP_K };

/* A member that an operation does not know is ignored there, and says nothing. */
enum where { CONVERSE = 1, INVOKE = 2, BOTH = CONVERSE | INVOKE };

static const struct {
    const char *path;
    uint8_t role, where;
} rows[SL_READING_FACTS] = {
    [SL_READING_MODEL] = {"model", OTHER, BOTH},
    [SL_READING_STREAM] = {"stream", OTHER, BOTH},
    [SL_READING_PROMPT] = {"prompt", OTHER, BOTH},
    {"max_tokens", MAX_TOKENS, INVOKE},
    {"max_gen_len", MAX_TOKENS, INVOKE},
    {"maxTokens", MAX_TOKENS, INVOKE},
    {"inferenceConfig.maxTokens", MAX_TOKENS, BOTH},
    {"inferenceConfig.max_new_tokens", MAX_TOKENS, INVOKE},
    {"textGenerationConfig.maxTokenCount", MAX_TOKENS, INVOKE},
    {"max_completion_tokens", MAX_TOKENS, INVOKE},
    {"max_output_tokens", MAX_TOKENS, INVOKE},
    {"temperature", TEMPERATURE, INVOKE},
    {"inferenceConfig.temperature", TEMPERATURE, BOTH},
    {"textGenerationConfig.temperature", TEMPERATURE, INVOKE},
    {"top_k", TOP_K, INVOKE},
    {"inferenceConfig.topK", TOP_K, INVOKE},
    {"additionalModelRequestFields.top_k", TOP_K, CONVERSE},
    {"additionalModelRequestFields.inferenceConfig.topK", TOP_K, CONVERSE},
};

bool sl_reading_wanted(enum sl_operation op) {
    return sl_operation_info(op)->metered || op == SL_OP_COUNT_TOKENS ||
           op == SL_OP_MESSAGES_COUNT_TOKENS;
}

/* The rows' paths, which every body is read by. */
static const struct sl_json_paths *paths_of(const struct sl_json_fact *facts) {
    static struct sl_json_paths paths;
    static bool made;
    if (!made) {
        int err = sl_json_paths_init(&paths, facts, SL_READING_FACTS);
        assert(!err); /* they are fewer and shorter than the limits */
        (void)err;
    }
    made = true;
    return &paths;
}

int sl_reading_begin(struct sl_reading *r, bool meaning) {
    r->begun = true;
    r->whole = false;
    for (size_t i = 0; i < SL_READING_FACTS; i++)
        r->fact[i].path = rows[i].path;
    sl_json_facts_begin(&r->facts, paths_of(r->fact), r->fact, SL_READING_FACTS, FACT_TEXT_MAX);
    return sl_scan_init(&r->scan, &r->facts, meaning);
}

void sl_reading_feed(struct sl_reading *r, struct sl_slice bytes) {
    sl_scan_feed(&r->scan, bytes);
}

/* 0, -0.0, 0e5: no digit but 0 before the exponent. */
static bool is_zero(struct sl_slice number) {
    for (size_t i = 0; i < number.len && (number.ptr[i] | 0x20) != 'e'; i++)
        if (number.ptr[i] >= '1' && number.ptr[i] <= '9')
            return false;
    return true;
}

/* Whether the model always takes the likeliest token. */
static bool is_greedy(const struct sl_reading *r, unsigned where) {
    bool cold = false, warm = false, single = false;
    for (size_t i = 0; i < SL_READING_FACTS; i++) {
        const struct sl_json_fact *fact = &r->fact[i];
        struct sl_slice text = sl_buf_slice(&fact->text);
        if ((rows[i].where & where) == 0 || fact->type != SL_FACT_NUMBER)
            continue;
        if (rows[i].role == TEMPERATURE)
            *(is_zero(text) && !fact->cut ? &cold : &warm) = true;
        if (rows[i].role == TOP_K && sl_slice_eq(text, SL_LIT("1")))
            single = true;
    }
    return (cold && !warm) || single;
}

/* These have nothing to draw lots for. */
static bool is_function(const struct sl_call *call) {
    if (call->operation == SL_OP_COUNT_TOKENS || call->operation == SL_OP_MESSAGES_COUNT_TOKENS)
        return true;
    return call->operation == SL_OP_INVOKE_MODEL &&
           (sl_slice_search(call->model, SL_LIT("embed")) < call->model.len ||
            sl_slice_search(call->model, SL_LIT("rerank")) < call->model.len);
}

void sl_reading_finish(struct sl_reading *r, struct sl_call *call) {
    bool converse = call->operation == SL_OP_CONVERSE || call->operation == SL_OP_CONVERSE_STREAM;
    unsigned where = converse ? CONVERSE : INVOKE;
    r->whole = sl_scan_finish(&r->scan, NULL, 0, call->meaning, &call->has_meaning);
    sl_scan_done(&r->scan);
    call->has_load = r->whole;
    call->deterministic = false;
    if (!r->whole)
        return;
    call->load = r->scan.weigh.load;
    if (sl_slice_starts(call->model, SL_LIT("arn")) &&
        sl_model_id_kind(call->model) == SL_MODEL_ID_PROMPT_ARN)
        call->load.elsewhere = true;
    for (size_t i = 0; i < SL_READING_FACTS; i++)
        if (rows[i].role == MAX_TOKENS && (rows[i].where & where) != 0 &&
            r->fact[i].type == SL_FACT_NUMBER)
            call->max_tokens = r->fact[i].integer;
    call->deterministic = is_function(call) || is_greedy(r, where);
}

const struct sl_json_fact *sl_reading_fact(const struct sl_reading *r, enum sl_reading_fact which) {
    return r->whole && r->fact[which].type != SL_FACT_ABSENT ? &r->fact[which] : NULL;
}

void sl_reading_done(struct sl_reading *r) {
    if (!r->begun)
        return;
    sl_scan_done(&r->scan);
    sl_json_facts_done(&r->facts);
    r->begun = r->whole = false;
}

int sl_reading_of(struct sl_call *call, const struct sl_chain *body) {
    struct sl_chain_cursor cursor = {.offset = body->begin};
    struct sl_slice piece;
    struct sl_reading r;
    int err = sl_reading_begin(&r, true);
    while (!err && sl_chain_peek(body, &cursor, &piece, 1) == 1) {
        sl_reading_feed(&r, piece);
        sl_chain_advance(body, &cursor, piece.len);
    }
    if (!err)
        sl_reading_finish(&r, call);
    sl_reading_done(&r);
    return err;
}
