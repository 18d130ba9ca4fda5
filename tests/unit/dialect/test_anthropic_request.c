/* Anthropic's requests: spliced for Claude, mapped to Converse for others, counted, refused. */
#include "translate.h"

#define CLAUDE "anthropic.claude-3-5-sonnet-20241022-v2:0"
#define NOVA   "us.amazon.nova-pro-v1:0"
#define WHOLE  SIZE_MAX

static struct rig rig;

static void begin(const char *target) {
    rig_init(&rig, &sl_dialect_anthropic, "POST", target);
}

static int end(void **state) {
    (void)state;
    rig_done(&rig);
    return 0;
}

static void claude_gets_the_clients_bytes(void **state) {
    (void)state;
    begin("/v1/messages?beta=true");
    decode(&rig,
           "{\"model\":\"" CLAUDE
           "\", \"max_tokens\":10,\n \"stream\":true,\"messages\":[ {\"role\" "
           ": \"user\",\"content\":\"a\\u0000b 12345678901234567890\"} ],\"top_k\":1e0}",
           WHOLE);
    assert_text(call_body(&rig),
                "{\"max_tokens\":10,\"messages\":[ {\"role\" : \"user\",\"content\":\"a\\u0000b "
                "12345678901234567890\"} ],\"top_k\":1e0,\"anthropic_version\":"
                "\"bedrock-2023-05-31\"}");
    assert_int_equal(rig.call.operation, SL_OP_INVOKE_MODEL_STREAM);
    assert_text(rig.call.target,
                "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/invoke-with-response-stream");
    assert_true(rig.ask.stream);
    assert_text(rig.ask.model, CLAUDE);
    assert_int_equal(rig.call.max_tokens, 10);
    assert_true(rig.call.has_meaning);
}

static void every_model_and_stream_member_goes(void **state) {
    (void)state;
    begin("/v1/messages");
    decode(
        &rig,
        "{\"stream\":true,\"max_tokens\":1,\"model\":\"x\",\"stre\\u0061m\":false,\"mod\\u0065l\":"
        "\"" CLAUDE "\",\"anthropic_version\":\"v\"}",
        1);
    assert_text(call_body(&rig), "{\"max_tokens\":1,\"anthropic_version\":\"v\"}");
    assert_int_equal(rig.call.operation, SL_OP_INVOKE_MODEL);
}

static void betas_of_header_and_body_are_one_list(void **state) {
    (void)state;
    begin("/v1/messages");
    add_header(&rig, "anthropic-beta", "b, c");
    add_header(&rig, "Anthropic-Beta", "d,,b");
    decode(&rig, "{\"model\":\"" CLAUDE "\",\"max_tokens\":1,\"anthropic_beta\":[\"a\",\"b\"]}",
           WHOLE);
    assert_text(
        call_body(&rig),
        "{\"max_tokens\":1,\"anthropic_version\":\"bedrock-2023-05-31\",\"anthropic_beta\":["
        "\"a\",\"b\",\"c\",\"d\"]}");
}

static const struct {
    const char *name, *id;
} names[] = {
    {"claude-sonnet-4-5", "anthropic.claude-sonnet-4-5-20250929-v1:0"},
    {"claude-3-haiku-20240307", "anthropic.claude-3-haiku-20240307-v1:0"},
    {"claude-3-5-sonnet-20241022", "anthropic.claude-3-5-sonnet-20241022-v2:0"},
    {"claude-opus-4-7", "anthropic.claude-opus-4-7"},
    {"us.anthropic.claude-opus-4-7", "us.anthropic.claude-opus-4-7"},
};

static void anthropics_names_are_known(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char body[256];
        begin("/v1/messages");
        (void)snprintf(body, sizeof(body), "{\"model\":\"%s\",\"max_tokens\":1}", names[i].name);
        decode(&rig, body, WHOLE);
        assert_text(rig.call.model, names[i].id);
        assert_text(rig.ask.model, names[i].name);
        if (i + 1 < sizeof(names) / sizeof(names[0]))
            rig_done(&rig);
    }
}

static void bare_ids_get_the_regions_profile(void **state) {
    (void)state;
    begin("/v1/messages");
    rig.settings.geo_prefix = SL_LIT("eu.");
    decode(&rig, "{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":1}", WHOLE);
    assert_text(rig.call.model, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0");
}

static const struct {
    const char *in, *out;
} mapped[] = {
    {"\"messages\":[{\"role\":\"user\",\"content\":\"hi\\n\"}]",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi\\n\"}]}],\"inferenceConfig\":{"
     "\"maxTokens\":9}}"},
    {"\"system\":\"be brief\",\"temperature\":0.10,\"top_p\":null,\"stop_sequences\":[\"x\"],"
     "\"top_k\":3,\"metadata\":{\"user_id\":\"u\"},\"messages\":[]",
     "{\"messages\":[],\"system\":[{\"text\":\"be brief\"}],\"inferenceConfig\":{\"maxTokens\":9,"
     "\"stopSequences\":[\"x\"],\"temperature\":0.10},\"additionalModelRequestFields\":{"
     "\"inferenceConfig\":{\"topK\":3}}}"},
    {"\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{\"type\":\"ephemeral\","
     "\"ttl\":\"1h\"}}],\"messages\":[]",
     "{\"messages\":[],\"system\":[{\"text\":\"s\"},{\"cachePoint\":{\"type\":\"default\",\"ttl\":"
     "\"1h\"}}],\"inferenceConfig\":{\"maxTokens\":9}}"},
    {"\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":"
     "\"base64\",\"media_type\":\"image/png\",\"data\":\"AAAA\"}},{\"type\":\"document\","
     "\"source\":{\"type\":\"base64\",\"media_type\":\"application/pdf\",\"data\":\"BBBB\"},"
     "\"title\":\"A_b..c.pdf\"},{\"type\":\"document\",\"source\":{\"type\":\"text\","
     "\"media_type\":\"text/plain\",\"data\":\"hi\\n\"}}]}]",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"image\":{\"format\":\"png\",\"source\":{"
     "\"bytes\":\"AAAA\"}}},{\"document\":{\"format\":\"pdf\",\"name\":\"A b c pdf\",\"source\":{"
     "\"bytes\":\"BBBB\"}}},{\"document\":{\"format\":\"txt\",\"name\":\"document 2\",\"source\":{"
     "\"bytes\":\"aGkK\"}}}]}],\"inferenceConfig\":{\"maxTokens\":9}}"},
    {"\"messages\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":"
     "\"t\",\"signature\":\"s\"},{\"type\":\"thinking\",\"thinking\":\"u\",\"signature\":\"\"},{"
     "\"type\":\"redacted_thinking\",\"data\":\"QQ==\"},{\"type\":\"tool_use\",\"id\":\"i\","
     "\"name\":\"n\",\"input\":{ \"big\" : 123456789012345678901,\"z\":\"\\u0000\"}}]},{\"role\":"
     "\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"i\",\"content\":\"r\","
     "\"is_error\":true},{\"type\":\"tool_result\",\"tool_use_id\":\"j\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"q\"}]}]}],\"tools\":[{\"name\":\"n\",\"description\":\"d\","
     "\"input_schema\":{ \"type\":\"object\"}}],\"tool_choice\":{\"type\":\"none\"}",
     "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"reasoningContent\":{"
     "\"reasoningText\":{\"text\":\"t\",\"signature\":\"s\"}}},{\"reasoningContent\":{"
     "\"reasoningText\":{\"text\":\"u\"}}},{\"reasoningContent\":{\"redactedContent\":\"QQ==\"}},"
     "{\"toolUse\":{\"toolUseId\":\"i\",\"name\":\"n\",\"input\":{ \"big\" : "
     "123456789012345678901,\"z\":\"\\u0000\"}}}]},{\"role\":\"user\",\"content\":[{"
     "\"toolResult\":{\"toolUseId\":\"i\",\"content\":[{\"text\":\"r\"}],\"status\":\"error\"}},{"
     "\"toolResult\":{\"toolUseId\":\"j\",\"content\":[{\"text\":\"q\"}]}}]}],\"inferenceConfig\":"
     "{\"maxTokens\":9},\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"n\",\"description\":"
     "\"d\",\"inputSchema\":{\"json\":{ \"type\":\"object\"}}}}]}}"},
    {"\"messages\":[],\"tools\":[{\"type\":\"custom\",\"name\":\"n\",\"input_schema\":{}}],"
     "\"tool_choice\":{\"type\":\"tool\",\"name\":\"n\"}",
     "{\"messages\":[],\"inferenceConfig\":{\"maxTokens\":9},\"toolConfig\":{\"tools\":[{"
     "\"toolSpec\":{\"name\":\"n\",\"inputSchema\":{\"json\":{}}}}],\"toolChoice\":{\"tool\":{"
     "\"name\":\"n\"}}}}"},
    {"\"messages\":[],\"tools\":[{\"name\":\"n\",\"input_schema\":{}}],\"tool_choice\":{\"type\":"
     "\"none\"}",
     "{\"messages\":[],\"inferenceConfig\":{\"maxTokens\":9}}"},
};

static void other_models_are_reached_through_converse(void **state) {
    (void)state;
    static char body[4096];
    for (size_t i = 0; i < sizeof(mapped) / sizeof(mapped[0]); i++) {
        for (size_t step = 1; step != 0; step = step == 1 ? WHOLE : 0) {
            if (i > 0 || step != 1)
                rig_done(&rig);
            begin("/v1/messages");
            (void)snprintf(body, sizeof(body), "{\"model\":\"" NOVA "\",\"max_tokens\":9,%s}",
                           mapped[i].in);
            decode(&rig, body, step);
            assert_text(call_body(&rig), mapped[i].out);
            assert_int_equal(rig.call.operation, SL_OP_CONVERSE);
            assert_text(rig.call.target, "/model/us.amazon.nova-pro-v1%3A0/converse");
        }
    }
}

static void models_without_prompt_caching_get_no_marks(void **state) {
    (void)state;
    begin("/v1/messages");
    decode(
        &rig,
        "{\"model\":\"meta.llama3-8b-instruct-v1:0\",\"max_tokens\":1,\"stream\":true,\"top_k\":4,"
        "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\","
        "\"cache_control\":{\"type\":\"ephemeral\"}}]}]}",
        WHOLE);
    assert_text(call_body(&rig), "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}"
                                 "],\"inferenceConfig\":{\"maxTokens\":1}}");
    assert_int_equal(rig.call.operation, SL_OP_CONVERSE_STREAM);
}

static void tokens_of_claude_are_counted_by_its_own_body(void **state) {
    (void)state;
    begin("/v1/messages/count_tokens");
    decode(&rig, "{\"model\":\"us." CLAUDE "\",\"messages\":[]}", WHOLE);
    /* {"messages":[],"anthropic_version":"bedrock-2023-05-31","max_tokens":1} */
    assert_text(call_body(&rig),
                "{\"input\":{\"invokeModel\":{\"body\":"
                "\"eyJtZXNzYWdlcyI6W10sImFudGhyb3BpY192ZXJzaW9uIjoiYmVkcm9jay0yMDIzLTA1LTMxIiwibWF4"
                "X3Rva2VucyI6MX0=\"}}}");
    assert_int_equal(rig.call.operation, SL_OP_COUNT_TOKENS);
    assert_text(rig.call.target, "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/count-tokens");
}

static void tokens_of_others_are_counted_by_converse(void **state) {
    (void)state;
    begin("/v1/messages/count_tokens");
    decode(&rig, "{\"model\":\"" NOVA "\",\"system\":\"s\",\"messages\":[]}", WHOLE);
    assert_text(call_body(&rig),
                "{\"input\":{\"converse\":{\"messages\":[],\"system\":[{\"text\":\"s\"}]}}}");
}

static const struct {
    const char *method, *body, *says;
} refused[] = {
    {"GET", "", "use POST"},
    {"POST", "[]", "not a JSON object"},
    {"POST", "{\"max_tokens\":1}", "model: Field required"},
    {"POST", "{\"model\":1,\"max_tokens\":1}", "model: Input should be"},
    {"POST", "{\"model\":\"" CLAUDE "\"}", "max_tokens: Field required"},
    {"POST", "{\"model\":\"" NOVA "\",\"max_tokens\":1}", "messages: Field required"},
    {"POST",
     "{\"model\":\"" NOVA "\",\"max_tokens\":1,\"messages\":[{\"role\":\"x\\u0022\",\"content\":"
     "\"a\"}]}",
     "Unexpected role 'x\\u0022'"},
    {"POST",
     "{\"model\":\"" NOVA "\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{"
     "\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"http://x\"}}]}]}",
     "not fetched"},
    {"POST",
     "{\"model\":\"" NOVA "\",\"max_tokens\":1,\"messages\":[],\"tools\":[{\"type\":"
     "\"web_search_20250305\",\"name\":\"w\"}]}",
     "'web_search_20250305' are Claude's own"},
    {"POST",
     "{\"model\":\"" NOVA "\",\"max_tokens\":1,\"messages\":[{\"role\":\"user\",\"content\":[{"
     "\"type\":\"text\",\"text\":7}]}]}",
     "text: Input should be a valid string"},
};

static void what_cannot_be_done_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (i > 0)
            rig_done(&rig);
        rig_init(&rig, &sl_dialect_anthropic, refused[i].method, "/v1/messages");
        decode(&rig, refused[i].body, WHOLE);
        assert_refused(&rig, SL_FAILURE_VALIDATION, refused[i].says);
    }
}

static void only_its_own_paths_are_served(void **state) {
    (void)state;
    begin("/v1/messages");
    assert_true(sl_dialect_anthropic.serves(&rig.head));
    rig.head.target = SL_LIT("/v1/messages/count_tokens?beta=true");
    assert_true(sl_dialect_anthropic.serves(&rig.head));
    rig.head.target = SL_LIT("/anthropic/v1/messages");
    assert_false(sl_dialect_anthropic.serves(&rig.head));
    rig.head.target = SL_LIT("/v1/messages/batches");
    assert_false(sl_dialect_anthropic.serves(&rig.head));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(claude_gets_the_clients_bytes, end),
        cmocka_unit_test_teardown(every_model_and_stream_member_goes, end),
        cmocka_unit_test_teardown(betas_of_header_and_body_are_one_list, end),
        cmocka_unit_test_teardown(anthropics_names_are_known, end),
        cmocka_unit_test_teardown(bare_ids_get_the_regions_profile, end),
        cmocka_unit_test_teardown(other_models_are_reached_through_converse, end),
        cmocka_unit_test_teardown(models_without_prompt_caching_get_no_marks, end),
        cmocka_unit_test_teardown(tokens_of_claude_are_counted_by_its_own_body, end),
        cmocka_unit_test_teardown(tokens_of_others_are_counted_by_converse, end),
        cmocka_unit_test_teardown(what_cannot_be_done_is_refused, end),
        cmocka_unit_test_teardown(only_its_own_paths_are_served, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
