/* Every family's body: what is read from it, what is refused, where the answer stands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "body_rig.h"
#include "sim/embed.h"
#include "sim/scan.h"

#define TEXT "[simulated] "

/* ---- Whole answers ---------------------------------------------------------------- */

static const struct {
    const struct sl_sim_shape *shape;
    const char *model, *body;
    const char *text, *reason, *reason_is, *output; /* paths; output may be NULL */
} families[] = {
    {&sl_sim_shape_llama, "meta.llama3-8b-instruct-v1:0",
     "{\"prompt\":\"one two\",\"max_gen_len\":7}", "generation", "stop_reason", "length",
     "generation_token_count"},
    {&sl_sim_shape_claude, "anthropic.claude-sonnet-4-5-20250929-v1:0",
     "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":7,\"messages\":[{\"role\":"
     "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one two\"}]}]}",
     "content.0.text", "stop_reason", "max_tokens", "usage.output_tokens"},
    {&sl_sim_shape_messages, "anthropic.claude-sonnet-4-5-20250929-v1:0",
     "{\"model\":\"m\",\"max_tokens\":7,\"messages\":[{\"role\":\"user\",\"content\":\"one "
     "two\"}]}",
     "content.0.text", "stop_reason", "max_tokens", "usage.output_tokens"},
    {&sl_sim_shape_nova, "amazon.nova-lite-v1:0",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"one two\"}]}],"
     "\"inferenceConfig\":{\"maxTokens\":7}}",
     "output.message.content.0.text", "stopReason", "max_tokens", "usage.outputTokens"},
    {&sl_sim_shape_converse, "amazon.nova-lite-v1:0",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"one two\"}]}],"
     "\"inferenceConfig\":{\"maxTokens\":7}}",
     "output.message.content.0.text", "stopReason", "max_tokens", "usage.outputTokens"},
    {&sl_sim_shape_titan, "amazon.titan-text-express-v1",
     "{\"inputText\":\"one two\",\"textGenerationConfig\":{\"maxTokenCount\":7}}",
     "results.0.outputText", "results.0.completionReason", "LENGTH", "results.0.tokenCount"},
    {&sl_sim_shape_mistral, "mistral.mistral-7b-instruct-v0:2",
     "{\"prompt\":\"one two\",\"max_tokens\":7}", "outputs.0.text", "outputs.0.stop_reason",
     "length", NULL},
    {&sl_sim_shape_command, "cohere.command-text-v14", "{\"prompt\":\"one two\",\"max_tokens\":7}",
     "generations.0.text", "generations.0.finish_reason", "MAX_TOKENS", NULL},
    {&sl_sim_shape_jurassic, "ai21.j2-mid-v1", "{\"prompt\":\"one two\",\"maxTokens\":7}",
     "completions.0.data.text", "completions.0.finishReason.reason", "length", NULL},
    {&sl_sim_shape_command_r, "cohere.command-r-v1:0", "{\"message\":\"one two\",\"max_tokens\":7}",
     "text", "finish_reason", "MAX_TOKENS", NULL},
    {&sl_sim_shape_deepseek, "deepseek.r1-v1:0", "{\"prompt\":\"one two\",\"max_tokens\":7}",
     "choices.0.text", "choices.0.stop_reason", "length", NULL},
    {&sl_sim_shape_chat, "openai.gpt-oss-20b-1:0",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"one two\"}],\"max_completion_tokens\":7}",
     "choices.0.message.content", "choices.0.finish_reason", "length", "usage.completion_tokens"},
    {&sl_sim_shape_responses, "openai.gpt-oss-20b-1:0",
     "{\"input\":\"one two\",\"max_output_tokens\":7}", "output.0.content.0.text",
     "incomplete_details.reason", "max_output_tokens", "usage.output_tokens"},
};
#define FAMILIES (sizeof families / sizeof families[0])

static void test_each_family_answers_and_heeds_the_limit(void **state) {
    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        struct body_rig r;
        body_rig_run(&r, families[i].shape, families[i].model, families[i].body);
        if (r.error)
            fail_msg("%s: %.*s", families[i].model, SL_FMT(r.no.message));
        cJSON *tree = body_rig_tree(&r);
        const char *text = body_string(tree, families[i].text);
        if (families[i].shape == &sl_sim_shape_chat) /* a thought stands before it, in tags */
            text += strlen("<reasoning>");
        assert_memory_equal(text, TEXT, strlen(TEXT));
        assert_string_equal(body_string(tree, families[i].reason), families[i].reason_is);
        assert_int_equal(r.plan.usage.output, 7);
        assert_int_equal(r.plan.usage.input, 2); /* seven bytes */
        if (families[i].output)
            assert_int_equal(body_int(tree, families[i].output), 7);
        cJSON_Delete(tree);
        body_rig_done(&r);
    }
}

/* ---- Streams ---------------------------------------------------------------------- */

/* All string values of a tree at the places where text may stand, appended. */
static void gather(const cJSON *tree, struct sl_buf *out) {
    static const char *const keys[] = {"generation", "text",    "outputText",
                                       "thinking",   "content", "partial"};
    const cJSON *item;
    cJSON_ArrayForEach(item, tree) {
        for (size_t i = 0; cJSON_IsString(item) && item->string && i < 6; i++)
            if (strcmp(item->string, keys[i]) == 0)
                assert_int_equal(sl_buf_add_str(out, item->valuestring), 0);
        if (!cJSON_IsString(item))
            gather(item, out);
    }
}

static struct sl_slice unwrap(cJSON **tree, struct sl_buf *scratch) {
    /* base64 by hand: the test must not trust the encoder */
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *in = body_string(*tree, "bytes");
    uint32_t group = 0;
    int bits = 0;
    sl_buf_clear(scratch);
    for (; *in && *in != '='; in++) {
        group = group << 6 | (uint32_t)(strchr(digits, *in) - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            assert_int_equal(sl_buf_add_byte(scratch, (char)(group >> bits & 255)), 0);
        }
    }
    cJSON_Delete(*tree);
    *tree = cJSON_ParseWithLength(scratch->ptr, scratch->len);
    assert_non_null(*tree);
    return sl_buf_slice(scratch);
}

static void test_streams_say_what_whole_answers_say(void **state) {
    (void)state;
    for (size_t i = 0; i < FAMILIES; i++) {
        struct body_rig r;
        struct sl_buf whole, streamed, scratch;
        struct sl_slice rest, name;
        cJSON *event;
        size_t events = 0;
        bool metrics = false;
        if (families[i].shape == &sl_sim_shape_responses ||
            families[i].shape == &sl_sim_shape_messages ||
            families[i].shape == &sl_sim_shape_jurassic)
            continue; /* these are never in event frames */
        bool converse = families[i].shape == &sl_sim_shape_converse;
        sl_buf_init(&whole, 1 << 20);
        sl_buf_init(&streamed, 1 << 20);
        sl_buf_init(&scratch, 1 << 20);
        body_rig_run(&r, families[i].shape, families[i].model, families[i].body);
        assert_int_equal(r.error, 0);
        body_rig_stream(&r, families[i].shape,
                        converse ? SL_SIM_FRAMING_CONVERSE : SL_SIM_FRAMING_CHUNK);
        cJSON *tree = body_rig_tree(&r);
        gather(tree, &whole);
        cJSON_Delete(tree);
        rest = sl_buf_slice(&r.stream.buf);
        while ((event = body_rig_next(&rest, &name))) {
            assert_false(metrics); /* they are in the last one */
            if (!converse) {
                assert_true(sl_slice_eq(name, SL_LIT("chunk")));
                unwrap(&event, &scratch);
                metrics = sl_sim_get(event, "amazon-bedrock-invocationMetrics") != NULL;
            }
            if (metrics)
                assert_int_equal(
                    body_int(event, "amazon-bedrock-invocationMetrics.outputTokenCount"), 7);
            gather(event, &streamed);
            cJSON_Delete(event);
            events++;
        }
        assert_int_equal(metrics, !converse);
        assert_true(events >= 3);
        if (!sl_slice_eq(sl_buf_slice(&whole), sl_buf_slice(&streamed)))
            fail_msg("%s: whole '%.*s', streamed '%.*s'", families[i].model, SL_FMT(whole),
                     SL_FMT(streamed));
        sl_buf_done(&whole);
        sl_buf_done(&streamed);
        sl_buf_done(&scratch);
        body_rig_done(&r);
    }
}

static void test_converse_events_come_in_order(void **state) {
    (void)state;
    static const char *const order[] = {"messageStart",      "contentBlockStart",
                                        "contentBlockDelta", "contentBlockStop",
                                        "messageStop",       "metadata"};
    struct body_rig r;
    body_rig_run(
        &r, &sl_sim_shape_converse, "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"call look_up\"}]}],"
        "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"look_up\",\"inputSchema\":{"
        "\"json\":{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},"
        "\"n\":{\"type\":\"integer\"},\"kind\":{\"enum\":[\"a\",\"b\"]},\"all\":{\"type\":"
        "\"boolean\"},\"list\":{\"type\":\"array\",\"items\":{\"type\":\"number\"}}}}}}}]}}");
    assert_int_equal(r.error, 0);
    assert_int_equal(r.plan.stop, SL_SIM_STOP_TOOL);
    body_rig_stream(&r, &sl_sim_shape_converse, SL_SIM_FRAMING_CONVERSE);
    struct sl_slice rest = sl_buf_slice(&r.stream.buf), name;
    struct sl_buf input;
    cJSON *event;
    size_t at = 0;
    sl_buf_init(&input, 1 << 16);
    while ((event = body_rig_next(&rest, &name))) {
        if (!sl_slice_eq(name, sl_slice_str(order[at])))
            at++;
        assert_true(sl_slice_eq(name, sl_slice_str(order[at])));
        if (body_at(event, "delta.toolUse.input"))
            assert_int_equal(sl_buf_add_str(&input, body_string(event, "delta.toolUse.input")), 0);
        cJSON_Delete(event);
    }
    assert_int_equal(at, 5);
    assert_true(sl_slice_eq(sl_buf_slice(&input),
                            SL_LIT("{\"name\": \"simulated\", \"n\": 1, \"kind\": \"a\", \"all\": "
                                   "true, \"list\": [1]}")));
    sl_buf_done(&input);
    body_rig_done(&r);
}

/* ---- What is heeded --------------------------------------------------------------- */

static struct sl_sim_plan plan_of(const char *model, const char *body, struct sl_slice *text) {
    struct body_rig r;
    static char kept[1 << 20];
    body_rig_run(&r, &sl_sim_shape_converse, model, body);
    if (r.error)
        fail_msg("%.*s", SL_FMT(r.no.message));
    struct sl_sim_plan plan = r.plan;
    struct sl_slice last = plan.blocks[plan.count - 1].text;
    assert_true(last.len < sizeof kept);
    memcpy(kept, last.ptr, last.len);
    *text = sl_slice_of(kept, last.len);
    body_rig_done(&r);
    return plan;
}

#define NOVA "amazon.nova-lite-v1:0"
#define ASK(t, ...)                                                                                \
    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"" t "\"}]}]" __VA_ARGS__ "}"

static void test_same_question_same_answer(void **state) {
    (void)state;
    struct sl_slice text;
    char first[4096];
    struct sl_sim_plan plan = plan_of(NOVA, ASK("one two three"), &text);
    size_t len = text.len;
    assert_true(len < sizeof first);
    memcpy(first, text.ptr, len);
    plan = plan_of(NOVA, ASK("one two three"), &text);
    assert_true(sl_slice_eq(text, sl_slice_of(first, len)));
    assert_true(sl_slice_search(text, SL_LIT("The prompt has 3 words.")) < text.len);
    plan = plan_of(NOVA, ASK("one two four"), &text);
    assert_false(sl_slice_eq(text, sl_slice_of(first, len)));
    assert_int_equal(plan.stop, SL_SIM_STOP_END);
}

static void test_parameters(void **state) {
    (void)state;
    struct sl_slice text;
    struct sl_sim_plan plan = plan_of(
        NOVA, ASK("x", ",\"inferenceConfig\":{\"stopSequences\":[\"zz\",\"stands\"]}"), &text);
    assert_int_equal(plan.stop, SL_SIM_STOP_SEQUENCE);
    assert_true(sl_slice_eq(text, SL_LIT("[simulated] This answer ")));
    plan = plan_of(NOVA, ASK("a story of 400 words please"), &text);
    size_t spaces = 0;
    for (size_t i = 0; i < text.len; i++)
        spaces += text.ptr[i] == ' ';
    assert_in_range(spaces, 395, 420);
    plan = plan_of(NOVA, ASK("BLOCKME", ",\"guardrailConfig\":{\"guardrailIdentifier\":\"g\"}"),
                   &text);
    assert_int_equal(plan.stop, SL_SIM_STOP_GUARDRAIL);
    plan = plan_of(NOVA, ASK("BLOCKME"), &text);
    assert_int_equal(plan.stop, SL_SIM_STOP_END);
}

#define TOOLS(choice)                                                                              \
    ",\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"first\",\"inputSchema\":{\"json\":{}}}" \
    "}"                                                                                            \
    ",{\"toolSpec\":{\"name\":\"second\",\"inputSchema\":{\"json\":{}}}}]" choice "}"

static void test_tool_choice(void **state) {
    (void)state;
    static const struct {
        const char *body, *tool; /* NULL: text */
    } cases[] = {
        {ASK("hello", TOOLS("")), NULL},
        {ASK("use Second now", TOOLS("")), "second"},
        {ASK("hello", TOOLS(",\"toolChoice\":{\"any\":{}}")), "first"},
        {ASK("hello", TOOLS(",\"toolChoice\":{\"tool\":{\"name\":\"second\"}}")), "second"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"use first\"}]},{\"role\":"
         "\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"first\","
         "\"input\":{}}}]},{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":\"a\","
         "\"content\":[{\"text\":\"first is done\"}]}}]}]" TOOLS("") "}",
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct body_rig r;
        body_rig_run(&r, &sl_sim_shape_converse, NOVA, cases[i].body);
        assert_int_equal(r.error, 0);
        assert_int_equal(r.plan.stop == SL_SIM_STOP_TOOL, cases[i].tool != NULL);
        if (cases[i].tool)
            assert_true(sl_slice_eq(r.plan.blocks[0].name, sl_slice_str(cases[i].tool)));
        body_rig_done(&r);
    }
}

/* ---- What is refused -------------------------------------------------------------- */

static void test_refusals_are_worded_as_on_bedrock(void **state) {
    (void)state;
#define LLAMA    &sl_sim_shape_llama, "meta.llama3-8b-instruct-v1:0"
#define CLAUDE   &sl_sim_shape_claude, "anthropic.claude-sonnet-4-5-20250929-v1:0"
#define CONVERSE &sl_sim_shape_converse, NOVA
#define AGAIN    ", please reformat your input and try again."
    static const struct {
        const struct sl_sim_shape *shape;
        const char *model, *body, *message;
    } cases[] = {
        {LLAMA, "{}", "Malformed input request: #: required key [prompt] not found" AGAIN},
        {LLAMA, "[]", "Malformed input request: expected type: JSONObject, found: JSONArray" AGAIN},
        {LLAMA, "{\"prompt\":1}",
         "Malformed input request: #/prompt: expected type: String, found: Number" AGAIN},
        {LLAMA, "{\"prompt\":\"x\",\"foo\":1}",
         "Malformed input request: #: extraneous key [foo] is not permitted" AGAIN},
        {LLAMA, "{\"prompt\":\"x\",\"temperature\":1.5}",
         "Malformed input request: #/temperature: 1.5 is not less or equal to 1" AGAIN},
        {LLAMA, "{\"prompt\":\"x\",\"max_gen_len\":1.5}",
         "Malformed input request: #/max_gen_len: expected type: Integer, found: Number" AGAIN},
        {CLAUDE, "{\"max_tokens\":1}", "anthropic_version: Field required"},
        {CLAUDE, "{\"anthropic_version\":\"2023-06-01\"}", "Invalid API version: 2023-06-01"},
        {CLAUDE, "{\"anthropic_version\":\"2026-10-21\",\"max_tokens\":1}",
         "messages: Field required"},
        {CLAUDE, "{\"anthropic_version\":\"bedrock-2023-05-31\",\"stream\":true}",
         "stream: Extra inputs are not permitted"},
        {CLAUDE, "{\"anthropic_version\":\"bedrock-2023-05-31\",\"max_tokens\":1}",
         "messages: Field required"},
        {CLAUDE,
         "{\"anthropic_version\":\"bedrock-2023-05-31\",\"messages\":[{\"role\":\"user\","
         "\"content\":\"x\"}]}",
         "max_tokens: Field required"},
        {CONVERSE, "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"text\":\"x\"}]}]}",
         "A conversation must start with a user message. Try again with a conversation that starts "
         "with a user message."},
        {&sl_sim_shape_converse, "amazon.titan-text-express-v1",
         ASK("x", ",\"system\":[{\"text\":\"s\"}]"),
         "This model doesn't support system messages. Try again without a system message or use a "
         "model that supports system messages."},
        {&sl_sim_shape_converse, "mistral.mistral-7b-instruct-v0:2",
         ASK("x", ",\"toolConfig\":{\"tools\":[{}]}"), "This model doesn't support tool use."},
        {&sl_sim_shape_converse, "cohere.command-text-v14",
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]},{\"role\":"
         "\"assistant\","
         "\"content\":[{\"text\":\"y\"}]}]}",
         "This model doesn't support conversation history. Try again with input from a single user "
         "prompt or use a model that supports conversation history."},
        {CONVERSE, ASK(""),
         "The text field in the ContentBlock object at messages.0.content.0 is blank. Add text to "
         "the text field, and try again."},
        {CONVERSE, ASK("x", ",\"inferenceConfig\":{\"maxTokens\":99999}"),
         "The maximum tokens you requested exceeds the model limit of 10000. Try again with a "
         "maximum tokens value that is lower than 10000."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct body_rig r;
        body_rig_run(&r, cases[i].shape, cases[i].model, cases[i].body);
        assert_int_equal(r.error, SL_E_DENIED);
        assert_int_equal(r.no.kind, SL_FAILURE_VALIDATION);
        if (!sl_slice_eq(r.no.message, sl_slice_str(cases[i].message)))
            fail_msg("'%.*s' is not '%s'", SL_FMT(r.no.message), cases[i].message);
        body_rig_done(&r);
    }
}

/* ---- Embeddings, and bodies without a tree ---------------------------------------- */

static double dot(const int32_t *a, const int32_t *b, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)a[i] * b[i] / 1e12;
    return sum;
}

static void test_embeddings_are_unit_vectors_near_their_likes(void **state) {
    (void)state;
    int32_t a[1024], b[1024], c[1024];
    sl_sim_embed(SL_LIT("the cat sat on the mat"), 1, a, 1024);
    sl_sim_embed(SL_LIT("a cat sat on a mat"), 1, b, 1024);
    sl_sim_embed(SL_LIT("quarterly revenue grew by nine percent"), 1, c, 1024);
    assert_true(dot(a, a, 1024) > 0.99 && dot(a, a, 1024) < 1.01);
    assert_true(dot(a, b, 1024) > dot(a, c, 1024) + 0.2);
}

static void test_embedding_bodies(void **state) {
    (void)state;
    struct body_rig r = {0};
    sl_arena_init(&r.arena, 1 << 20);
    r.no.arena = &r.arena;
    sl_sim_out_init(&r.whole, 1 << 20);
    sl_sim_ask_init(&r.ask, &r.arena, &r.no,
                    sl_sim_model_find(SL_LIT("amazon.titan-embed-text-v2:0")));
    r.tree = cJSON_Parse("{\"inputText\":\"hello world\",\"dimensions\":256}");
    assert_int_equal(sl_sim_embed_decode(&r.ask, r.tree), 0);
    sl_sim_embed_whole(&r.whole, &r.ask, 1, SL_LIT("id"));
    cJSON *tree = body_rig_tree(&r);
    assert_int_equal(cJSON_GetArraySize(sl_sim_get(tree, "embedding")), 256);
    assert_int_equal(body_int(tree, "inputTextTokenCount"), 3);
    cJSON_Delete(tree);
    cJSON_Delete(r.tree);
    r.tree = cJSON_Parse("{\"inputText\":\"x\",\"dimensions\":7}");
    assert_int_equal(sl_sim_embed_decode(&r.ask, r.tree), SL_E_DENIED);
    body_rig_done(&r);
}

static void test_scan_reads_what_a_tree_would(void **state) {
    (void)state;
    struct sl_slice body =
        SL_LIT("{\"model\":\"m.x\",\"stream\":true,\"max_tokens\":321,\"messages\":[{\"role\":"
               "\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one two  three\"},{\"type\":"
               "\"image\",\"source\":{\"data\":\"AAAA\"}},{\"text\":\"four\"}]}]}");
    struct sl_sim_ask first = {0};
    for (size_t piece = 1; piece <= body.len; piece += 7) {
        struct sl_sim_scan scan;
        struct sl_sim_ask ask = {0};
        sl_sim_scan_init(&scan);
        for (struct sl_slice rest = body; rest.len; rest = sl_slice_skip(rest, piece))
            assert_int_equal(sl_sim_scan_feed(&scan, sl_slice_head(rest, piece)), 0);
        assert_int_equal(sl_sim_scan_finish(&scan), 0);
        sl_sim_scan_ask(&scan, &ask);
        assert_true(sl_slice_eq(sl_sim_scan_model(&scan), SL_LIT("m.x")));
        assert_int_equal(ask.max_tokens, 321);
        assert_int_equal(ask.images, 1);
        assert_int_equal(ask.words, 4);
        assert_int_equal(ask.bytes, 18);
        assert_true(ask.stream);
        if (piece == 1)
            first = ask;
        assert_true(ask.digest == first.digest);
    }
}

static void test_scan_refuses_what_is_no_object(void **state) {
    (void)state;
    const char *bad[] = {"", "{", "[1]", "\"x\"", "{\"a\":1},", "{\"a\":01}"};
    for (size_t i = 0; i < 6; i++) {
        struct sl_sim_scan scan;
        sl_sim_scan_init(&scan);
        int error = sl_sim_scan_feed(&scan, sl_slice_str(bad[i]));
        assert_true(error < 0 || sl_sim_scan_finish(&scan) < 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_family_answers_and_heeds_the_limit),
        cmocka_unit_test(test_streams_say_what_whole_answers_say),
        cmocka_unit_test(test_converse_events_come_in_order),
        cmocka_unit_test(test_same_question_same_answer),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_tool_choice),
        cmocka_unit_test(test_refusals_are_worded_as_on_bedrock),
        cmocka_unit_test(test_embeddings_are_unit_vectors_near_their_likes),
        cmocka_unit_test(test_embedding_bodies),
        cmocka_unit_test(test_scan_reads_what_a_tree_would),
        cmocka_unit_test(test_scan_refuses_what_is_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
