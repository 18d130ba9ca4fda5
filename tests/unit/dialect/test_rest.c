/* The REST dialect: prompts, conversations, models, pages. */
#include "translate.h"

#include "dialect/rest.h"
#include "sluice/base/mem.h"

#define NOVA  "us.amazon.nova-pro-v1:0"
#define WHOLE SIZE_MAX

static struct rig rig;
static struct sl_sessions *sessions;

static int64_t cost(void *ctx, struct sl_slice model, const struct sl_usage *usage) {
    (void)ctx;
    return sl_slice_eq(model, SL_LIT(NOVA)) ? usage->input * 800 + usage->output * 3200 : -1;
}

static struct sl_slice alias(void *ctx, struct sl_slice name) {
    (void)ctx;
    return sl_slice_eq(name, SL_LIT("fast")) ? SL_LIT(NOVA) : SL_EMPTY;
}

static void begin(const char *method, const char *target) {
    rig_init(&rig, &sl_dialect_rest, method, target);
    rig.settings.default_model = SL_LIT("fast");
    rig.settings.alias = alias;
    rig.settings.cost = cost;
    rig.settings.sessions = sessions;
}

static int setup(void **state) {
    static const struct sl_sessions_settings settings = {
        .count = 4, .bytes = 1 << 20, .session_bytes = 1 << 16, .idle_s = 1800, .turn_s = 900};
    (void)state;
    sessions = sl_sessions_new(&settings);
    return sessions ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    rig_done(&rig);
    sl_sessions_free(sessions);
    return 0;
}

#define ANSWER(text)                                                                               \
    "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"reasoningContent\":{"        \
    "\"reasoningText\":{\"text\":\"hm\"}}},{\"text\":\"" text "\"}]}},\"stopReason\":"             \
    "\"end_turn\",\"usage\":{\"inputTokens\":5,\"outputTokens\":7,\"totalTokens\":12}}"

static const struct told stream_rows[] = {
    {"messageStart", "{\"role\":\"assistant\"}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"on\"}}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"e\\n\"}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":0}"},
    {"messageStop", "{\"stopReason\":\"end_turn\"}"},
    {"metadata", "{\"usage\":{\"inputTokens\":5,\"outputTokens\":7,\"totalTokens\":12}}"},
};

static void a_prompt_is_a_conversation_of_one(void **state) {
    (void)state;
    begin("POST", "/invoke");
    decode(&rig, "{\"prompt\":\"h\\u00e9 \\\"you\\\"\\u0000\"}", 1);
    assert_text(call_body(&rig),
                "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"h\xc3\xa9 "
                "\\\"you\\\"\\u0000\"}]}],\"inferenceConfig\":{\"maxTokens\":512,\"temperature\":"
                "0.7,\"topP\":0.9}}");
    assert_int_equal(rig.call.operation, SL_OP_CONVERSE);
    assert_text(rig.call.model, NOVA);
    assert_int_equal(rig.call.max_tokens, 512);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, sl_slice_str(ANSWER("ok\\u0000")), 3),
                     SL_OK);
    assert_text(sl_buf_slice(&rig.out),
                "{\"prompt\":\"h\xc3\xa9 \\\"you\\\"\\u0000\",\"response\":\"ok\\u0000\","
                "\"tokens_input\":5,\"tokens_output\":7,\"cost_usd\":0.0000264}");
}

static void what_is_said_counts(void **state) {
    (void)state;
    begin("POST", "/invoke");
    decode(&rig,
           "{\"prompt\":\"p\",\"model\":\"meta.llama3-8b-instruct-v1:0\",\"max_tokens\":3,"
           "\"temperature\":0,\"top_p\":null,\"stream\":true}",
           WHOLE);
    assert_text(call_body(&rig),
                "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"p\"}]}],"
                "\"inferenceConfig\":{\"maxTokens\":3,\"temperature\":0,\"topP\":0.9}}");
    assert_int_equal(rig.call.operation, SL_OP_CONVERSE_STREAM);
    assert_text(rig.call.model, "meta.llama3-8b-instruct-v1:0");
}

static void claude_is_told_no_more_than_was_said(void **state) {
    (void)state;
    begin("POST", "/invoke");
    decode(&rig, "{\"prompt\":\"p\",\"model\":\"anthropic.claude-3-haiku-20240307-v1:0\"}", WHOLE);
    assert_text(call_body(&rig), "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"p\"}]}"
                                 "],\"inferenceConfig\":{\"maxTokens\":512}}");
}

static void a_price_not_known_is_null(void **state) {
    (void)state;
    begin("POST", "/invoke");
    decode(&rig, "{\"prompt\":\"p\"}", WHOLE);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, "other.model", sl_slice_str(ANSWER("x")), WHOLE),
                     SL_OK);
    assert_has(sl_buf_slice(&rig.out), "\"cost_usd\":null}");
}

static void streams_end_with_the_numbers(void **state) {
    (void)state;
    struct sl_buf stream;
    sl_buf_init(&stream, 1 << 16);
    put_stream(&stream, stream_rows, 6);
    begin("POST", "/invoke");
    decode(&rig, "{\"prompt\":\"p\",\"stream\":true}", WHOLE);
    for (size_t step = 1; step <= stream.len; step += stream.len - 1) {
        assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), step),
                         SL_OK);
        assert_text(sl_buf_slice(&rig.out),
                    "data: {\"delta\":\"on\"}\n\ndata: {\"delta\":\"e\\n\"}\n\ndata: {\"prompt\":"
                    "\"p\",\"tokens_input\":5,\"tokens_output\":7,\"cost_usd\":0.0000264}\n\n");
    }
    sl_buf_clear(&stream);
    put_stream(&stream, stream_rows, 2);
    put_stream(&stream, &(struct told){"exception", "Slow down."}, 1);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), 5), SL_OK);
    assert_true(sl_slice_ends(sl_buf_slice(&rig.out),
                              SL_LIT("event: error\ndata: {\"error\":{\"code\":"
                                     "\"ThrottlingException\",\"message\":\"Slow down.\"}}\n\n")));
    sl_buf_done(&stream);
}

static void chat(const char *body) {
    begin("POST", "/chat");
    decode(&rig, body, WHOLE);
}

static void conversations_are_remembered(void **state) {
    (void)state;
    chat("{\"session\":\"s\",\"message\":\"one\",\"system\":\"brief\"}");
    assert_has(call_body(&rig), "\"system\":[{\"text\":\"brief\"}]");
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, sl_slice_str(ANSWER("1")), WHOLE), SL_OK);
    assert_text(sl_buf_slice(&rig.out),
                "{\"session\":\"s\",\"response\":\"1\",\"tokens_input\":5,\"tokens_output\":7,"
                "\"cost_usd\":0.0000264,\"usage_total\":{\"tokens_input\":5,\"tokens_output\":7,"
                "\"cost_usd\":0.0000264,\"turns\":1}}");
    rig_done(&rig);
    chat("{\"session\":\"s\",\"message\":\"two\"}");
    assert_text(call_body(&rig),
                "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"one\"}]},{\"role\":"
                "\"assistant\",\"content\":[{\"text\":\"1\"}]},{\"role\":\"user\",\"content\":[{"
                "\"text\":\"two\"}]}],\"system\":[{\"text\":\"brief\"}],\"inferenceConfig\":{"
                "\"maxTokens\":512,\"temperature\":0.7,\"topP\":0.9}}");
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, sl_slice_str(ANSWER("2")), WHOLE), SL_OK);
    assert_has(sl_buf_slice(&rig.out), "\"usage_total\":{\"tokens_input\":10,\"tokens_output\":14,"
                                       "\"cost_usd\":0.0000528,\"turns\":2}");
}

static void a_turn_that_breaks_off_is_not_remembered(void **state) {
    (void)state;
    struct sl_slice cut = sl_slice_head(SL_LIT(ANSWER("1")), 60);
    chat("{\"session\":\"s\",\"message\":\"one\"}");
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, cut, WHOLE), SL_E_PROTOCOL);
    rig_done(&rig);
    assert_int_equal(sl_sessions_count(sessions), 0);
    chat("{\"session\":\"s\",\"message\":\"two\"}");
    assert_has_not(call_body(&rig), "one");
}

static void one_turn_at_a_time(void **state) {
    (void)state;
    struct sl_session_turn turn;
    assert_int_equal(sl_sessions_begin(sessions, 7, SL_LIT("s"), 1000, &turn), SL_OK);
    chat("{\"session\":\"s\",\"message\":\"two\"}");
    assert_refused(&rig, SL_FAILURE_CONFLICT, "under way");
    assert_int_equal(sl_dialect_rest.status(SL_FAILURE_CONFLICT), 409);
    rig_done(&rig);
    /* Being refused ends nobody else's turn. */
    chat("{\"session\":\"s\",\"message\":\"three\"}");
    assert_refused(&rig, SL_FAILURE_CONFLICT, "under way");
    sl_session_cancel(&turn);
}

static void conversations_are_forgotten(void **state) {
    (void)state;
    struct sl_response_head head;
    chat("{\"session\":\"a/b\",\"message\":\"one\"}");
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, sl_slice_str(ANSWER("1")), WHOLE), SL_OK);
    for (int i = 0; i < 2; i++) {
        rig_done(&rig);
        begin("DELETE", "/chat/a%2Fb");
        assert_true(sl_dialect_rest.serves(&rig.head));
        decode(&rig, "", WHOLE);
        assert_true(sl_dialect_rest.local(&rig.decode, &head, &rig.out));
        assert_text(sl_buf_slice(&rig.out), i == 0 ? "{\"deleted\":true}" : "{\"deleted\":false}");
        assert_int_equal(head.status, 200);
        assert_int_equal(head.content_length, rig.out.len);
    }
}

static void models_are_listed(void **state) {
    (void)state;
    const struct sl_part parts[] = {
        {200,
         SL_LIT("{\"modelSummaries\":[{\"modelId\":\"a.one\",\"inferenceTypesSupported\":[\"ON_"
                "DEMAND\"]},{\"modelId\":\"a.two\",\"inferenceTypesSupported\":[\"INFERENCE_"
                "PROFILE\"]},{\"modelId\":\"a.one\"}]}"),
         NULL},
        {200,
         SL_LIT("{\"inferenceProfileSummaries\":[{\"inferenceProfileId\":\"us.a.two\",\"type\":"
                "\"SYSTEM_DEFINED\"},{\"inferenceProfileId\":\"x1\",\"inferenceProfileArn\":\"arn:"
                "p\",\"type\":\"APPLICATION\"}]}"),
         NULL},
    };
    struct sl_response_head head;
    struct sl_call second = {0};
    begin("GET", "/models");
    decode(&rig, "", WHOLE);
    assert_int_equal(rig.decode.parts, 1);
    assert_text(rig.call.target, "/foundation-models");
    assert_int_equal(rig.call.plane, SL_PLANE_CONTROL);
    assert_int_equal(sl_dialect_rest.part(&rig.decode, 1, &rig.arena, &second), SL_OK);
    assert_text(second.target, "/inference-profiles?maxResults=1000");
    assert_int_equal(sl_dialect_rest.join(&rig.ask, &rig.arena, parts, 2, &head, &rig.out), SL_OK);
    assert_text(sl_buf_slice(&rig.out),
                "{\"models\":[\"a.one\",\"us.a.two\",\"arn:p\"],\"default\":\"fast\"}");
    sl_buf_clear(&rig.out);
    const struct sl_part denied[] = {{403, SL_LIT("{}"), NULL}, {403, SL_LIT("{}"), NULL}};
    assert_int_equal(sl_dialect_rest.join(&rig.ask, &rig.arena, denied, 2, &head, &rig.out),
                     SL_E_PROTOCOL);
    const struct sl_part half[] = {denied[0], parts[1]};
    assert_int_equal(sl_dialect_rest.join(&rig.ask, &rig.arena, half, 2, &head, &rig.out), SL_OK);
    assert_has(sl_buf_slice(&rig.out), "[\"us.a.two\",\"arn:p\"]");
}

static void pages_are_served(void **state) {
    (void)state;
    struct sl_response_head head;
    begin("GET", "/docs");
    decode(&rig, "", WHOLE);
    assert_true(sl_dialect_rest.local(&rig.decode, &head, &rig.out));
    assert_text(sl_headers_get(&head.headers, SL_LIT("content-type")), "text/html; charset=utf-8");
    struct sl_slice policy = sl_headers_get(&head.headers, SL_LIT("content-security-policy"));
    assert_has(policy, "default-src 'none'; script-src 'sha256-");
    assert_has(policy, "style-src 'sha256-");
    struct sl_slice page = sl_buf_slice(&rig.out);
    assert_int_equal(head.content_length, page.len);
    /* The policy would keep these from working: */
    static const char *const absent[] = {" style=", " onclick=", " onsubmit=", "<script src",
                                         "<link",   "http://",   "https://",   "innerHTML"};
    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
        assert_has_not(page, absent[i]);
    rig_done(&rig);
    begin("GET", "/openapi.json");
    decode(&rig, "", WHOLE);
    assert_true(sl_dialect_rest.local(&rig.decode, &head, &rig.out));
    assert_has(sl_buf_slice(&rig.out), "\"openapi\": \"3.1.0\"");
    struct sl_json_view view;
    assert_int_equal(sl_json_view_parse(&view, sl_buf_slice(&rig.out), 10000), SL_OK);
    sl_json_view_done(&view);
}

static const struct {
    const char *method, *target, *body;
    enum sl_failure kind;
    const char *says;
} refused[] = {
    {"GET", "/invoke", "", SL_FAILURE_VALIDATION, "use POST"},
    {"POST", "/invoke", "{", SL_FAILURE_VALIDATION, "not a JSON object"},
    {"POST", "/invoke", "{}", SL_FAILURE_VALIDATION, "'prompt' must be"},
    {"POST", "/invoke", "{\"prompt\":\"\"}", SL_FAILURE_VALIDATION, "'prompt' must be"},
    {"POST", "/invoke", "{\"prompt\":\"p\",\"max_tokens\":\"9\"}", SL_FAILURE_VALIDATION,
     "'max_tokens' must be a number"},
    {"POST", "/invoke", "{\"prompt\":\"p\",\"stream\":1}", SL_FAILURE_VALIDATION,
     "'stream' must be true or false"},
    {"POST", "/chat", "{\"message\":\"p\"}", SL_FAILURE_VALIDATION, "'session' must be"},
    {"DELETE", "/chat/%zz", "", SL_FAILURE_VALIDATION, "percent-encoded"},
    {"GET", "/chat/x", "", SL_FAILURE_VALIDATION, "use DELETE"},
    {"POST", "/docs", "", SL_FAILURE_VALIDATION, "use GET"},
};

static void what_is_wrong_is_named(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        begin(refused[i].method, refused[i].target);
        assert_true(sl_dialect_rest.serves(&rig.head));
        decode(&rig, refused[i].body, WHOLE);
        assert_refused(&rig, refused[i].kind, refused[i].says);
        rig_done(&rig);
    }
    begin("POST", "/invoke");
    rig.settings.default_model = SL_EMPTY;
    decode(&rig, "{\"prompt\":\"p\"}", WHOLE);
    assert_refused(&rig, SL_FAILURE_VALIDATION, "no 'model'");
    rig_done(&rig);
    begin("POST", "/chat");
    rig.settings.sessions = NULL;
    decode(&rig, "{\"session\":\"s\",\"message\":\"p\"}", WHOLE);
    assert_refused(&rig, SL_FAILURE_UNKNOWN_OPERATION, "no conversations");
}

static void bodies_are_bounded(void **state) {
    (void)state;
    static char piece[65536];
    memset(piece, ' ', sizeof(piece));
    begin("POST", "/invoke");
    assert_int_equal(sl_dialect_rest.begin(&rig.decode, &rig.head), SL_OK);
    for (int i = 0; i < 17; i++)
        assert_int_equal(sl_dialect_rest.body(&rig.decode, sl_slice_of(piece, sizeof(piece))),
                         SL_OK);
    assert_int_equal(sl_dialect_rest.finish(&rig.decode), SL_OK);
    assert_refused(&rig, SL_FAILURE_TOO_LARGE, "1 MiB");
}

static void other_paths_are_not_its(void **state) {
    (void)state;
    static const char *const paths[] = {"/",       "/invoke/", "/chats", "/model/x/invoke",
                                        "/docs/x", "/chat/"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        begin("POST", paths[i]);
        assert_false(sl_dialect_rest.serves(&rig.head));
        if (i + 1 < sizeof(paths) / sizeof(paths[0]))
            rig_done(&rig);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_prompt_is_a_conversation_of_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_said_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(claude_is_told_no_more_than_was_said, setup, teardown),
        cmocka_unit_test_setup_teardown(a_price_not_known_is_null, setup, teardown),
        cmocka_unit_test_setup_teardown(streams_end_with_the_numbers, setup, teardown),
        cmocka_unit_test_setup_teardown(conversations_are_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_that_breaks_off_is_not_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(one_turn_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(conversations_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(models_are_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(pages_are_served, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(bodies_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(other_paths_are_not_its, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
