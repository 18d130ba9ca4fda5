/* Bedrock's dialect: routes, what passes, what is dropped, what is refused, what is replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sluice/dialect/dialect.h"
#include "sluice/dialect/edit.h"
#include "sluice/dialect/scan.h"

struct rig {
    struct sl_arena arena;
    struct sl_call call;
    struct sl_decode decode;
    struct sl_ask ask;
    struct sl_dialect_settings settings;
    struct sl_request_head head;
};

static void rig_init(struct rig *rig, const char *method, const char *target) {
    *rig = (struct rig){.settings = {.map_retired = true}};
    sl_arena_init(&rig->arena, 1 << 20);
    sl_chain_init(&rig->call.body, NULL);
    rig->head = (struct sl_request_head){
        .method = sl_slice_str(method), .target = sl_slice_str(target), .version = 11};
    rig->decode = (struct sl_decode){.dialect = &sl_dialect_bedrock,
                                     .settings = &rig->settings,
                                     .arena = &rig->arena,
                                     .ask_arena = &rig->arena,
                                     .ask = &rig->ask,
                                     .call = &rig->call};
}

static void add_header(struct rig *rig, const char *name, const char *value) {
    assert_int_equal(
        sl_headers_add(&rig->head.headers, &rig->arena, sl_slice_str(name), sl_slice_str(value)),
        SL_OK);
}

/* Feeds the body in pieces of `step` bytes. */
static void decode(struct rig *rig, const char *body, size_t step) {
    struct sl_slice rest = sl_slice_str(body);
    assert_int_equal(sl_dialect_bedrock.begin(&rig->decode, &rig->head), SL_OK);
    while (rest.len > 0) {
        assert_int_equal(sl_dialect_bedrock.body(&rig->decode, sl_slice_head(rest, step)), SL_OK);
        rest = sl_slice_skip(rest, step);
    }
    assert_int_equal(sl_dialect_bedrock.finish(&rig->decode), SL_OK);
}

static void rig_done(struct rig *rig) {
    sl_decode_done(&rig->decode);
    sl_chain_done(&rig->call.body);
    sl_arena_done(&rig->arena);
    sl_chunk_pool_done();
}

static void assert_slice(struct sl_slice s, const char *expected) {
    if (!sl_slice_eq(s, sl_slice_str(expected)))
        fail_msg("got '%.*s', expected '%s'", SL_FMT(s), expected);
}

static void assert_body(struct rig *rig, const char *expected) {
    struct sl_slice whole;
    uint8_t digest[32];
    assert_int_equal(sl_chain_flatten(&rig->call.body, 1 << 20, &whole), SL_OK);
    assert_slice(whole, expected);
    sl_sha256_of(sl_slice_str(expected), digest);
    if (rig->call.hash_due)
        sl_edit_hash(&rig->call);
    assert_memory_equal(digest, rig->call.body_sha256, 32);
}

static const struct {
    const char *method, *target, *model;
    enum sl_operation operation;
} routes[] = {
    {"POST", "/model/meta.llama3-8b-instruct-v1%3A0/invoke", "meta.llama3-8b-instruct-v1:0",
     SL_OP_INVOKE_MODEL},
    {"POST", "/model/meta.llama3-8b-instruct-v1:0/invoke-with-response-stream",
     "meta.llama3-8b-instruct-v1:0", SL_OP_INVOKE_MODEL_STREAM},
    {"POST", "/model/arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x.y/converse",
     "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.x.y", SL_OP_CONVERSE},
    {"POST", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprompt%2FABCDEFGHIJ%3A1/converse-stream",
     "arn:aws:bedrock:us-east-1:1:prompt/ABCDEFGHIJ:1", SL_OP_CONVERSE_STREAM},
    {"POST", "/model/m/count-tokens", "m", SL_OP_COUNT_TOKENS},
    {"POST", "/guardrail/g1/version/DRAFT/apply", "g1/version/DRAFT", SL_OP_APPLY_GUARDRAIL},
    {"POST", "/guardrail-checks/invoke", "", SL_OP_INVOKE_GUARDRAIL_CHECKS},
    {"POST", "/async-invoke", "", SL_OP_START_ASYNC_INVOKE},
    {"GET", "/async-invoke?maxResults=3", "", SL_OP_LIST_ASYNC_INVOKES},
    {"GET", "/async-invoke/arn%3Aaws%3Ax", "arn:aws:x", SL_OP_GET_ASYNC_INVOKE},
    {"GET", "/foundation-models?byProvider=Meta", "", SL_OP_LIST_FOUNDATION_MODELS},
    {"GET", "/foundation-models/a.b", "a.b", SL_OP_GET_FOUNDATION_MODEL},
    {"GET", "/inference-profiles", "", SL_OP_LIST_INFERENCE_PROFILES},
    {"GET", "/inference-profiles/us.a.b", "us.a.b", SL_OP_GET_INFERENCE_PROFILE},
    {"POST", "/anthropic/v1/messages", "", SL_OP_MESSAGES},
};

static void every_route_is_found_and_passes_untouched(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        struct rig rig;
        rig_init(&rig, routes[i].method, routes[i].target);
        decode(&rig, " {\"a\" : 1} ", 1);
        assert_int_equal(rig.decode.failure, SL_FAILURE_NONE);
        assert_int_equal(rig.call.operation, routes[i].operation);
        assert_slice(rig.call.target, routes[i].target);
        assert_slice(rig.call.model, routes[i].model);
        assert_body(&rig, " {\"a\" : 1} ");
        rig_done(&rig);
    }
}

static void what_is_not_carried_names_the_setting(void **state) {
    (void)state;
    static const struct {
        const char *target, *service;
    } cases[] = {
        {"/model/m/invoke-with-bidirectional-stream", "bedrock"},
        {"/agents/x/agentAliases/y/sessions/z/text", "bedrock"},
        {"/bucket/key", "s3"},
        {"/model/m/invoke", "s3"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        struct sl_slice value;
        rig_init(&rig, "POST", cases[i].target);
        assert_int_equal(
            sl_arena_printf(
                &rig.arena, &value,
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/%s/aws4_request, "
                "SignedHeaders=host, Signature=%064d",
                cases[i].service, 0),
            SL_OK);
        add_header(&rig, "Authorization", value.ptr);
        decode(&rig, "{}", 2);
        assert_int_equal(rig.decode.failure, SL_FAILURE_UNKNOWN_OPERATION);
        assert_true(
            sl_slice_search(rig.decode.message, SL_LIT("AWS_ENDPOINT_URL_BEDROCK_RUNTIME")) <
            rig.decode.message.len);
        rig_done(&rig);
    }
}

static void authentication_and_hop_headers_stay_behind(void **state) {
    (void)state;
    struct rig rig;
    rig_init(&rig, "POST", "/model/m/converse?X-Amz-Signature=abc&keep=1&X-Amz-Date=x");
    static const char *const dropped[] = {"Authorization",
                                          "X-Amz-Date",
                                          "x-amz-security-token",
                                          "x-amz-content-sha256",
                                          "Host",
                                          "Connection",
                                          "Transfer-Encoding",
                                          "Expect",
                                          "x-sluice-timeout",
                                          "x-api-key",
                                          "X-Hop"};
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
        add_header(&rig, dropped[i], strcmp(dropped[i], "Connection") ? "v" : "X-Hop");
    add_header(&rig, "X-Amzn-Bedrock-Trace", "ENABLED");
    add_header(&rig, "amz-sdk-invocation-id", "id-1");
    add_header(&rig, "User-Agent", "Boto3/1");
    decode(&rig, "", 1);
    assert_int_equal(rig.call.headers.count, 3);
    assert_slice(rig.call.headers.items[0].name, "X-Amzn-Bedrock-Trace");
    assert_slice(rig.call.rejoin_key, "id-1");
    assert_slice(rig.call.target, "/model/m/converse?keep=1");
    rig_done(&rig);
}

static void facts_come_from_every_body_shape(void **state) {
    (void)state;
    static const struct {
        const char *target, *body;
        int64_t max_tokens;
    } cases[] = {
        {"/model/m/invoke", "{\"prompt\":\"x\",\"max_gen_len\":5}", 5},
        {"/model/m/invoke", "{\"max_tokens\":6,\"messages\":[{\"max_tokens\":99}]}", 6},
        {"/model/m/invoke", "{\"textGenerationConfig\":{\"maxTokenCount\":7}}", 7},
        {"/model/m/converse", "{\"inferenceConfig\":{\"maxTokens\":8}}", 8},
        {"/model/m/converse", "{\"messages\":[]}", -1},
        {"/model/m/converse", "not json", -1},
        {"/openai/v1/chat/completions", "{\"max_completion_tokens\":9,\"model\":\"z\"}", 9},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        rig_init(&rig, "POST", cases[i].target);
        decode(&rig, cases[i].body, 3);
        assert_int_equal(rig.call.max_tokens, cases[i].max_tokens);
        assert_body(&rig, cases[i].body);
        rig_done(&rig);
    }
}

/* A body's meaning, by another road than the dialect takes. */
static void assert_meaning(struct rig *rig, const char *body) {
    struct sl_scan scan;
    uint8_t digest[32];
    bool has_digest;
    assert_int_equal(sl_scan_init(&scan, NULL, true), SL_OK);
    sl_scan_feed(&scan, sl_slice_str(body));
    assert_true(sl_scan_finish(&scan, NULL, 0, digest, &has_digest) && has_digest);
    assert_true(rig->call.has_meaning);
    assert_memory_equal(rig->call.meaning, digest, 32);
    sl_scan_done(&scan);
}

static void a_body_says_what_it_means_and_weighs(void **state) {
    static const char body[] = "{\"b\":\"\\u0041\",\"a\":[1,{\"image\":{\"source\":{\"bytes\":"
                               "\"R0lGODlhLAHIAPcA\"}}}]}";
    struct rig rig;
    (void)state;
    for (size_t step = 1; step <= sizeof(body); step += 7) {
        rig_init(&rig, "POST", "/model/m/converse");
        decode(&rig, body, step);
        assert_meaning(&rig,
                       "{\"a\":[1,{\"image\":{\"source\":{\"bytes\":\"R0lGODlhLAHIAPcA\"}}}], "
                       "\"b\":\"A\"}");
        assert_true(rig.call.has_load);
        assert_int_equal(rig.call.load.images, 1);
        assert_int_equal(rig.call.load.image_pixels, 300 * 200);
        assert_int_equal(rig.call.load.text_bytes, 1 + 1 + 1 + 5 + 6 + 5);
        assert_false(rig.call.load.elsewhere);
        rig_done(&rig);
    }
    static const char *const unclear[] = {"not json", "{\"a\":1", "{} {}", ""};
    for (size_t i = 0; i < sizeof(unclear) / sizeof(unclear[0]); i++) {
        rig_init(&rig, "POST", "/model/m/converse");
        decode(&rig, unclear[i], 3);
        assert_false(rig.call.has_load || rig.call.has_meaning || rig.call.deterministic);
        assert_body(&rig, unclear[i]);
        rig_done(&rig);
    }
    rig_init(&rig, "POST", "/model/m/converse"); /* JSON, but which of the two counts? */
    decode(&rig, "{\"a\":1,\"a\":2}", 3);
    assert_true(rig.call.has_load);
    assert_false(rig.call.has_meaning);
    rig_done(&rig);
    rig_init(
        &rig, "POST",
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aprompt%2FABCDEFGHIJ%3A1/converse");
    decode(&rig, "{\"promptVariables\":{}}", 3);
    assert_true(rig.call.load.elsewhere);
    rig_done(&rig);
}

static void determinism(void **state) {
    static const char *const converse = "/model/m/converse", *const invoke = "/model/m/invoke";
    const struct {
        const char *target, *body;
        bool deterministic;
    } cases[] = {
        {invoke, "{}", false},
        {invoke, "{\"temperature\":0}", true},
        {invoke, "{\"temperature\":0.0}", true},
        {invoke, "{\"temperature\":-0.00E+7}", true},
        {invoke, "{\"temperature\":0e5}", true},
        {invoke, "{\"temperature\":0.0001}", false},
        {invoke, "{\"temperature\":1e-400}", false},
        {invoke, "{\"temperature\":\"0\"}", false},
        {invoke, "{\"temperature\":null}", false},
        {invoke, "{\"temperature\":1,\"temperature\":0}", true}, /* the last one counts */
        {invoke, "{\"temperature\":0,\"inferenceConfig\":{\"temperature\":1}}", false},
        {invoke, "{\"textGenerationConfig\":{\"temperature\":0}}", true},
        {invoke, "{\"inferenceConfig\":{\"temperature\":0}}", true},
        {invoke, "{\"messages\":[{\"temperature\":0}]}", false},
        {invoke, "{\"top_k\":1,\"temperature\":1}", true},
        {invoke, "{\"top_k\":10}", false},
        {invoke, "{\"inferenceConfig\":{\"topK\":1}}", true},
        {converse, "{\"inferenceConfig\":{\"temperature\":0}}", true},
        {converse, "{\"inferenceConfig\":{\"temperature\":0.5}}", false},
        {converse, "{\"temperature\":0}", false}, /* not a member of that operation */
        {converse, "{\"top_k\":1}", false},
        {converse, "{\"additionalModelRequestFields\":{\"top_k\":1}}", true},
        {converse, "{\"additionalModelRequestFields\":{\"inferenceConfig\":{\"topK\":1}}}", true},
        {"/model/amazon.titan-embed-text-v2%3A0/invoke", "{\"inputText\":\"x\"}", true},
        {"/model/cohere.rerank-v3-5%3A0/invoke", "{}", true},
        {"/model/m/count-tokens", "{\"input\":{}}", true},
        {"/openai/v1/chat/completions", "{\"temperature\":0,\"model\":\"z\"}", true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        rig_init(&rig, "POST", cases[i].target);
        decode(&rig, cases[i].body, 1);
        if (rig.call.deterministic != cases[i].deterministic)
            fail_msg("%s %s", cases[i].target, cases[i].body);
        rig_done(&rig);
    }
}

static void wishes_are_read_and_stay_here(void **state) {
    struct rig rig;
    (void)state;
    rig_init(&rig, "POST", "/model/m/converse");
    add_header(&rig, "Cache-Control", "no-store");
    add_header(&rig, "x-stainless-timeout", "5");
    add_header(&rig, "x-sluice-priority", "batch");
    decode(&rig, "{}", 1);
    assert_int_equal(rig.call.headers.count, 0);
    assert_true(rig.call.cache.no_store);
    assert_int_equal(rig.call.timeout_ms, 5000);
    assert_int_equal(rig.call.priority, SL_CLASS_BATCH);
    rig_done(&rig);

    rig_init(&rig, "POST", "/model/m/converse");
    add_header(&rig, "x-sluice-timeout", "tomorrow");
    decode(&rig, "{\"a\":1}", 1);
    assert_int_equal(rig.decode.failure, SL_FAILURE_VALIDATION);
    rig_done(&rig);
}

static void surfaces_name_model_and_stream_in_the_body(void **state) {
    (void)state;
    struct rig rig;
    rig_init(&rig, "POST", "/mantle/v1/chat/completions");
    decode(&rig, "{\"model\":\"openai.gpt-oss-20b\",\"stream\":true}", 7);
    assert_int_equal(rig.call.plane, SL_PLANE_MANTLE);
    assert_slice(rig.call.target, "/v1/chat/completions");
    assert_slice(rig.call.model, "openai.gpt-oss-20b");
    assert_int_equal(rig.call.framing, SL_FRAMING_SSE);
    rig_done(&rig);
}

static void a_withdrawn_model_is_replaced_by_splicing(void **state) {
    (void)state;
    struct rig rig;
    rig_init(&rig, "POST", "/model/meta.llama2-70b-chat-v1/invoke");
    decode(&rig, "{ \"prompt\" : \"<s>[INST] Hi \\u00e9 [/INST]\",\n \"max_gen_len\": 5 }", 5);
    assert_slice(rig.call.target, "/model/meta.llama3-70b-instruct-v1%3A0/invoke");
    assert_slice(rig.call.served_model, "meta.llama3-70b-instruct-v1:0");
    assert_slice(rig.call.edited, "model,prompt");
    assert_body(
        &rig, "{ \"prompt\" : \"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\\n\\nHi "
              "\xc3\xa9<|eot_id|><|start_header_id|>assistant<|end_header_id|>\\n\\n\",\n "
              "\"max_gen_len\": 5 }");
    /* What is said of the body holds for the one that is sent. */
    assert_meaning(&rig, "{\"max_gen_len\":5,\"prompt\":\"<|begin_of_text|><|start_header_id|>user"
                         "<|end_header_id|>\\n\\nHi \\u00e9<|eot_id|><|start_header_id|>assistant"
                         "<|end_header_id|>\\n\\n\"}");
    assert_int_equal(rig.call.load.text_bytes, 6 + 11 + 121);
    assert_int_equal(rig.call.max_tokens, 5);
    rig_done(&rig);

    rig_init(&rig, "POST", "/model/meta.llama2-70b-chat-v1/invoke");
    rig.settings.map_retired = false;
    decode(&rig, "{\"prompt\":\"[INST] a [/INST]\"}", 5);
    assert_int_equal(rig.decode.failure, SL_FAILURE_NOT_FOUND);
    assert_int_equal(rig.call.edited.len, 0);
    rig_done(&rig);
}

static void a_prompt_that_grows_without_measure_goes_as_it_is(void **state) {
    struct rig rig;
    struct sl_buf body;
    (void)state;
    sl_buf_init(&body, 1 << 20);
    assert_int_equal(sl_buf_add_str(&body, "{\"prompt\":\""), SL_OK);
    while (body.len < 200000)
        assert_int_equal(sl_buf_add_str(&body, "[INST][/INST]"), SL_OK);
    assert_int_equal(sl_buf_add(&body, SL_LIT("\"}\0")), SL_OK);
    rig_init(&rig, "POST", "/model/meta.llama2-70b-chat-v1/invoke");
    decode(&rig, body.ptr, 4000);
    assert_int_equal(rig.decode.failure, SL_FAILURE_NONE);
    assert_slice(rig.call.edited, "model");
    assert_body(&rig, body.ptr);
    rig_done(&rig);
    sl_buf_done(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_found_and_passes_untouched),
        cmocka_unit_test(what_is_not_carried_names_the_setting),
        cmocka_unit_test(authentication_and_hop_headers_stay_behind),
        cmocka_unit_test(facts_come_from_every_body_shape),
        cmocka_unit_test(a_body_says_what_it_means_and_weighs),
        cmocka_unit_test(determinism),
        cmocka_unit_test(wishes_are_read_and_stay_here),
        cmocka_unit_test(surfaces_name_model_and_stream_in_the_body),
        cmocka_unit_test(a_withdrawn_model_is_replaced_by_splicing),
        cmocka_unit_test(a_prompt_that_grows_without_measure_goes_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
