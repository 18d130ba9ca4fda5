#include "sim/generate.h"

#include <assert.h>

#include "sim/write.h"

#define MAX_TEXT         262144
#define MAX_TOOL_INPUT   32768
#define MAX_SCHEMA_DEPTH 5
#define LEAST_WORDS      24 /* of an answer whose length the prompt does not say */
#define MORE_WORDS       72

static const char *const sentences[] = {
    "It is deterministic, so the same question always gets this same answer.",
    "No model was asked and nothing was charged.",
    "A real model would reason about your words here, and this one only counts them.",
    "Water finds its level, and a gate decides how fast.",
    "The words that follow have no meaning beyond their number.",
    "Quotas, errors and streams behave as they do on Bedrock.",
    "Point the endpoint at a real account to hear from a real model.",
    "Every sentence was chosen by the prompt and the seed.",
    "Longer answers repeat themselves, as this one may.",
    "Tokens are counted at four bytes each.",
};
#define SENTENCES (sizeof sentences / sizeof sentences[0])

static uint64_t words_in(const char *s) {
    uint64_t n = 1;
    for (; *s; s++)
        n += *s == ' ';
    return n;
}

/* The text in full, before parameters cut it. */
static int write_text(const struct sl_sim_ask *ask, uint64_t random, struct sl_sim_out *out) {
    sl_sim_put(out, "[simulated] This answer stands in for %r. The prompt has %d words",
               sl_slice_str(ask->model->name), (int64_t)ask->words);
    if (ask->images)
        sl_sim_put(out, " and %d attachments", (int64_t)ask->images);
    sl_sim_put(out, ".");
    uint64_t have = words_in("[simulated] This answer stands in for. The prompt has 1 words.");
    uint64_t want = ask->asked_words ? ask->asked_words : LEAST_WORDS + random % MORE_WORDS;
    for (uint64_t i = 0; have < want && !out->error; i++) {
        const char *sentence = sentences[sl_sim_mix(random + i) % SENTENCES];
        sl_sim_put(out, " %r", sl_slice_str(sentence));
        have += words_in(sentence);
    }
    return out->error;
}

/* ---- Tool use --------------------------------------------------------------------- */

/* A value that fits the schema: the first of an enum, else the plainest of its type. */
static void write_value(const cJSON *schema, int depth, struct sl_sim_out *out) {
    const cJSON *first = cJSON_GetArrayItem(sl_sim_get(schema, "enum"), 0);
    const cJSON *type_node = sl_sim_get(schema, "type");
    if (cJSON_IsArray(type_node)) /* ["string", "null"] */
        type_node = cJSON_GetArrayItem(type_node, 0);
    struct sl_slice type = sl_sim_string(type_node);
    const cJSON *properties = sl_sim_get(schema, "properties");
    if (cJSON_IsString(first)) {
        sl_sim_put(out, "%s", sl_sim_string(first));
    } else if (properties && depth < MAX_SCHEMA_DEPTH) {
        const cJSON *item;
        const char *comma = "{";
        cJSON_ArrayForEach(item, properties) {
            sl_sim_put(out, "%r%s: ", sl_slice_str(comma), sl_slice_str(item->string));
            write_value(item, depth + 1, out);
            comma = ", ";
        }
        sl_sim_put(out, properties->child ? "}" : "{}");
    } else if (sl_slice_eq(type, SL_LIT("string"))) {
        sl_sim_put(out, "'simulated'");
    } else if (sl_slice_eq(type, SL_LIT("boolean"))) {
        sl_sim_put(out, "true");
    } else if (sl_slice_eq(type, SL_LIT("array"))) {
        sl_sim_put(out, "[");
        if (depth < MAX_SCHEMA_DEPTH && sl_sim_get(schema, "items"))
            write_value(sl_sim_get(schema, "items"), depth + 1, out);
        sl_sim_put(out, "]");
    } else if (sl_slice_eq(type, SL_LIT("number")) || sl_slice_eq(type, SL_LIT("integer"))) {
        sl_sim_put(out, "1");
    } else {
        sl_sim_put(out, "{}");
    }
}

/* The tool to use, or NULL: the one that must be, the one the last turn names, or any. */
static const struct sl_sim_tool *choose_tool(const struct sl_sim_ask *ask) {
    struct sl_slice wanted = ask->chosen.len ? ask->chosen : ask->mentioned;
    if (!ask->tool_count || ask->choice == SL_SIM_CHOICE_NONE ||
        (ask->answered && !ask->chosen.len))
        return NULL;
    for (size_t i = 0; wanted.len && i < ask->tool_count; i++)
        if (sl_slice_eq(ask->tools[i].name, wanted))
            return &ask->tools[i];
    return ask->choice == SL_SIM_CHOICE_ANY ? &ask->tools[0] : NULL;
}

static int add_tool_use(struct sl_sim_ask *ask, const struct sl_sim_tool *tool, uint64_t random,
                        struct sl_sim_plan *plan) {
    struct sl_sim_out out;
    struct sl_sim_block *block = &plan->blocks[plan->count];
    sl_sim_out_init(&out, MAX_TOOL_INPUT);
    write_value(tool->schema, 0, &out);
    block->kind = SL_SIM_BLOCK_TOOL;
    int error = out.error;
    if (error == SL_E_LIMIT) /* a schema of that size gets a call without arguments */
        error = sl_arena_copy(ask->arena, SL_LIT("{}"), &block->text);
    else if (!error)
        error = sl_arena_copy(ask->arena, sl_buf_slice(&out.buf), &block->text);
    if (!error)
        error = sl_arena_copy(ask->arena, tool->name, &block->name);
    if (!error)
        error = sl_arena_printf(ask->arena, &block->id, "tooluse_%016llx%06llx",
                                (unsigned long long)random,
                                (unsigned long long)(sl_sim_mix(random) & 0xffffff));
    sl_sim_out_done(&out);
    plan->count += !error;
    plan->stop = SL_SIM_STOP_TOOL;
    return error;
}

/* ---- Text ------------------------------------------------------------------------- */

static void cut_at_stop(const struct sl_sim_ask *ask, struct sl_slice *text,
                        struct sl_sim_plan *plan) {
    for (size_t i = 0; i < ask->stop_count; i++) {
        size_t at = sl_slice_search(*text, ask->stops[i]);
        if (at == text->len)
            continue;
        *text = sl_slice_head(*text, at);
        plan->stop = SL_SIM_STOP_SEQUENCE;
        plan->stop_sequence = ask->stops[i];
    }
}

/* Cuts a block to what is left of max_tokens, and takes it off. */
static void cut_at_limit(struct sl_slice *text, int64_t *left, struct sl_sim_plan *plan) {
    if (sl_sim_tokens_of(text->len) > (uint64_t)*left) {
        *text = sl_slice_head(*text, (size_t)*left * SL_SIM_BYTES_PER_TOKEN);
        plan->stop = SL_SIM_STOP_MAX_TOKENS;
    }
    *left -= (int64_t)sl_sim_tokens_of(text->len);
}

static int add_thought(struct sl_sim_ask *ask, uint64_t random, int64_t *left,
                       struct sl_sim_plan *plan) {
    struct sl_sim_block *block = &plan->blocks[plan->count];
    block->kind = SL_SIM_BLOCK_THOUGHT;
    int error = sl_arena_printf(ask->arena, &block->text,
                                "[simulated] The prompt has %llu words, so the answer is chosen "
                                "by their digest.",
                                (unsigned long long)ask->words);
    if (!error)
        error = sl_arena_printf(ask->arena, &block->id, "c2ltdWxhdGVk%016llx",
                                (unsigned long long)random);
    if (!error)
        cut_at_limit(&block->text, left, plan);
    plan->count += !error;
    return error;
}

static int add_text(struct sl_sim_ask *ask, uint64_t random, int64_t *left,
                    struct sl_sim_plan *plan) {
    struct sl_sim_block *block = &plan->blocks[plan->count];
    struct sl_sim_out out;
    sl_sim_out_init(&out, MAX_TEXT);
    int error = write_text(ask, random, &out);
    struct sl_slice text = sl_buf_slice(&out.buf);
    block->kind = SL_SIM_BLOCK_TEXT;
    if (!error) {
        cut_at_stop(ask, &text, plan);
        cut_at_limit(&text, left, plan);
        error = sl_arena_copy(ask->arena, text, &block->text);
    }
    if (!error && plan->stop == SL_SIM_STOP_SEQUENCE)
        error = sl_arena_copy(ask->arena, plan->stop_sequence, &plan->stop_sequence);
    sl_sim_out_done(&out);
    plan->count += !error;
    return error;
}

static int fill(struct sl_sim_ask *ask, uint64_t random, struct sl_sim_plan *plan) {
    int64_t left = sl_sim_ask_limit(ask);
    if (ask->guarded && ask->blocked) {
        plan->stop = SL_SIM_STOP_GUARDRAIL;
        plan->blocks[0] = (struct sl_sim_block){
            .kind = SL_SIM_BLOCK_TEXT,
            .text = SL_LIT("Sorry, the model cannot answer this question."),
        };
        plan->count = 1;
        return 0;
    }
    int error = ask->thinks ? add_thought(ask, random, &left, plan) : 0;
    if (error || plan->stop != SL_SIM_STOP_END)
        return error;
    const struct sl_sim_tool *tool = choose_tool(ask);
    return tool ? add_tool_use(ask, tool, random, plan) : add_text(ask, random, &left, plan);
}

int sl_sim_generate(struct sl_sim_ask *ask, uint64_t seed, struct sl_sim_plan *out) {
    struct sl_sim_plan plan = {.stop = SL_SIM_STOP_END, .stop_sequence = SL_EMPTY};
    uint64_t model = sl_sim_digest(SL_SIM_DIGEST_BEGIN, sl_slice_str(ask->model->id));
    int error = fill(ask, sl_sim_mix(ask->digest ^ sl_sim_mix(model ^ seed)), &plan);
    if (error)
        return error;
    uint64_t output = 0;
    for (size_t i = 0; i < plan.count; i++) {
        plan.bytes += plan.blocks[i].text.len;
        output += sl_sim_tokens_of(plan.blocks[i].text.len + plan.blocks[i].name.len);
    }
    plan.usage =
        (struct sl_usage){.input = (int64_t)sl_sim_ask_tokens(ask), .output = (int64_t)output};
    *out = plan;
    return 0;
}

/* ---- Embeddings ------------------------------------------------------------------- */

/* Rounded down, bit by bit. */
static uint64_t square_root(uint64_t n) {
    uint64_t root = 0;
    for (uint64_t bit = UINT64_C(1) << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= n)
            root += bit;
    return root;
}

/* Each word pushes a few coordinates, which its own digest picks, up or down. */
void sl_sim_embed(struct sl_slice text, uint64_t seed, int32_t *out, uint32_t dimensions) {
    assert(dimensions > 0 && dimensions <= SL_SIM_MAX_DIMENSIONS);
    for (uint32_t d = 0; d < dimensions; d++) /* a little of every coordinate, as models give */
        out[d] = (int32_t)(sl_sim_mix(seed + d) % 201) - 100;
    struct sl_slice word;
    while (sl_slice_split(&text, ' ', &word)) {
        uint64_t random = sl_sim_mix(sl_sim_digest(SL_SIM_DIGEST_BEGIN, word) ^ seed);
        for (int i = 0; word.len && i < 16; i++, random = sl_sim_mix(random))
            out[random % dimensions] += random >> 63 ? 1000 : -1000;
    }
    uint64_t sum = 1;
    for (uint32_t d = 0; d < dimensions; d++)
        sum += (uint64_t)((int64_t)out[d] * out[d]);
    int64_t length = (int64_t)square_root(sum);
    assert(length > 0);
    for (uint32_t d = 0; d < dimensions; d++)
        out[d] = (int32_t)((int64_t)out[d] * 1000000 / length);
}
