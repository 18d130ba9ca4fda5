/* Models that Converse does not serve: the body they get instead, and the answers they give. */
#include "openai_rig.h"

#include "sluice/base/mem.h"

#define CHAT      "/v1/chat/completions"
#define IMPORTED  "arn:aws:bedrock:us-east-1:123456789012:imported-model/a1b2"
#define COMMAND   "{\"model\":\"cohere.command-text-v14\","
#define JURASSIC  "{\"model\":\"ai21.j2-mid-v1\","
#define TITAN     "{\"model\":\"amazon.titan-text-express-v1\","
#define USER(t)   "{\"role\":\"user\",\"content\":\"" t "\"}"
#define MODEL(t)  "{\"role\":\"assistant\",\"content\":\"" t "\"}"
#define SYSTEM(t) "{\"role\":\"system\",\"content\":\"" t "\"}"

#define MISTRAL(id) "{\"model\":\"mistral.mistral-" id "\","
#define TALK        SYSTEM("Be brief.") "," USER("Hi") "," MODEL("Yes?") "," USER("Why?")

static const struct {
    const char *body, *upstream, *target, *edited;
} requests[] = {
    /* A single question is the prompt; escapes stay as they are. */
    {COMMAND "\"max_tokens\":7,\"temperature\":0.5,\"top_p\":0.9,\"stop\":[\"a\",\"b\"],"
             "\"messages\":[" USER("W\\u0000hy?") "]}",
     "{\"prompt\":\"W\\u0000hy?\",\"max_tokens\":7,\"temperature\":0.5,\"p\":0.9,"
     "\"stop_sequences\":[\"a\",\"b\"]}",
     "/model/cohere.command-text-v14/invoke", ""},
    /* Without a limit the model would stop after a few words. */
    {COMMAND "\"stream\":true,\"messages\":[" USER("Hi") "]}",
     "{\"prompt\":\"Hi\",\"max_tokens\":1024,\"stream\":true}",
     "/model/cohere.command-text-v14/invoke-with-response-stream", ""},
    {COMMAND "\"stop\":\"x\",\"messages\":[" TALK "]}",
     "{\"prompt\":\"Be brief.\\n\\nUser: Hi\\nChatbot: Yes?\\nUser: Why?\\nChatbot:\","
     "\"max_tokens\":1024,\"stop_sequences\":[\"x\",\"User:\"]}",
     "/model/cohere.command-text-v14/invoke", ""},
    /* A turn of the model's that it is to go on with. */
    {COMMAND "\"max_tokens\":9,\"messages\":[" USER("Hi") "," MODEL("Well,") "]}",
     "{\"prompt\":\"User: Hi\\nChatbot: Well,\",\"max_tokens\":9,\"stop_sequences\":[\"User:\"]}",
     "/model/cohere.command-text-v14/invoke", ""},
    /* Jurassic-2 has no stream: a document will be told as one. */
    {JURASSIC "\"max_tokens\":9,\"top_p\":0.9,\"stream\":true,\"messages\":[" TALK "]}",
     "{\"prompt\":\"Be brief.\\n\\nUser: Hi\\nAssistant: Yes?\\nUser: Why?\\nAssistant:\","
     "\"maxTokens\":9,\"topP\":0.9,\"stopSequences\":[\"User:\"]}",
     "/model/ai21.j2-mid-v1/invoke", ""},
    {"{\"model\":\"" IMPORTED "\",\"max_tokens\":9,\"stop\":\"x\",\"messages\":[" TALK "]}",
     "{\"messages\":[" TALK "],\"max_tokens\":9,\"stop\":[\"x\"]}",
     "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aimported-model%2Fa1b2/invoke", ""},
    /* Converse without a system prompt. */
    {TITAN "\"max_tokens\":9,\"messages\":[" TALK "]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Be brief.\"},{\"text\":\"Hi\"}]},"
     "{\"role\":\"assistant\",\"content\":[{\"text\":\"Yes?\"}]},{\"role\":\"user\",\"content\":["
     "{\"text\":\"Why?\"}]}],\"inferenceConfig\":{\"maxTokens\":9}}",
     "/model/amazon.titan-text-express-v1/converse", "system"},
    {TITAN "\"stream\":true,\"messages\":[" SYSTEM("S") "," MODEL("a") "]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"S\"}]},{\"role\":\"assistant\","
     "\"content\":[{\"text\":\"a\"}]}]}",
     "/model/amazon.titan-text-express-v1/converse-stream", "system"},
    {TITAN "\"messages\":[" USER("Hi") "]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi\"}]}]}",
     "/model/amazon.titan-text-express-v1/converse", ""},
    {MISTRAL("7b-instruct-v0:2") "\"messages\":[" SYSTEM("S") "," USER("Hi") "]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"S\"},{\"text\":\"Hi\"}]}]}",
     "/model/mistral.mistral-7b-instruct-v0%3A2/converse", "system"},
    {MISTRAL("large-2402-v1:0") "\"messages\":[" SYSTEM("S") "," USER("Hi") "]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi\"}]}],\"system\":[{\"text\":"
     "\"S\"}]}",
     "/model/mistral.mistral-large-2402-v1%3A0/converse", ""},
};

static void bodies_fit_the_model(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct rig r;
        assert_request(CHAT, requests[i].body, requests[i].upstream, requests[i].target);
        rig_init(&r, "POST", CHAT);
        assert_int_equal(rig_decode(&r, sl_slice_str(requests[i].body), SIZE_MAX), SL_OK);
        assert_slice(r.call.edited, requests[i].edited);
        rig_done(&r);
    }
}

static void the_call_knows_what_was_asked(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r, "POST", CHAT);
    assert_int_equal(
        rig_decode(&r,
                   SL_LIT(JURASSIC "\"messages\":[" USER("Hi") "],\"max_tokens\":9,\"stream\":true,"
                                                               "\"service_tier\":\"flex\"}"),
                   SIZE_MAX),
        SL_OK);
    assert_int_equal(r.call.operation, SL_OP_INVOKE_MODEL);
    assert_int_equal(r.call.max_tokens, 9);
    assert_true(r.ask.stream);
    assert_slice(sl_headers_get(&r.call.headers, SL_LIT("X-Amzn-Bedrock-Service-Tier")), "flex");
    rig_done(&r);
}

static void what_a_text_cannot_carry_is_refused(void **state) {
    (void)state;
#define TOOLS "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
    assert_refused(CHAT, COMMAND "\"messages\":[" USER("Hi") "]," TOOLS "}", SL_FAILURE_VALIDATION,
                   "tools");
    assert_refused(CHAT,
                   JURASSIC "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
                            "\"image_url\":{\"url\":\"data:image/png;base64,QUI=\"}}]}]}",
                   SL_FAILURE_VALIDATION, "an image cannot be sent");
    assert_refused(CHAT,
                   "{\"model\":\"" IMPORTED "\",\"messages\":[" USER(
                       "Hi") "],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                             "\"name\":\"n\",\"schema\":{}}}}",
                   SL_FAILURE_VALIDATION, "JSON schemas");
}

static struct sl_slice successor(void *ctx, struct sl_slice model) {
    (void)ctx;
    return sl_slice_starts(model, SL_LIT("ai21.j2")) ? SL_LIT("amazon.titan-text-lite-v1")
           : sl_slice_starts(model, SL_LIT("cohere.command-text"))
               ? SL_LIT("us.amazon.nova-lite-v1:0")
               : SL_EMPTY;
}

/* The form is that of the model that will serve. */
static void a_successor_gets_its_own_form(void **state) {
    (void)state;
    static const struct {
        const char *body, *target, *edited;
    } cases[] = {
        {JURASSIC "\"messages\":[" SYSTEM("S") "," USER("Hi") "]}",
         "/model/amazon.titan-text-lite-v1/converse", "model,system"},
        {COMMAND "\"messages\":[" SYSTEM("S") "," USER("Hi") "]}",
         "/model/us.amazon.nova-lite-v1%3A0/converse", "model"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        rig_init(&r, "POST", CHAT);
        r.settings.successor = successor;
        assert_int_equal(rig_decode(&r, sl_slice_str(cases[i].body), SIZE_MAX), SL_OK);
        assert_slice(r.call.target, cases[i].target);
        assert_slice(r.call.edited, cases[i].edited);
        rig_done(&r);
    }
}

/* ---- answers ---- */

static void assert_within(const struct sl_buf *text, const char *part) {
    struct sl_slice got = sl_buf_slice(text), needle = sl_slice_str(part);
    if (sl_slice_search(got, needle) == got.len)
        fail_msg("'%s' is not in '%.*s'", part, SL_FMT(got));
}

#define TOKENS(in, out) "\"usage\":{\"prompt_tokens\":" in ",\"completion_tokens\":" out

static void a_document_is_told_as_a_stream(void **state) {
    (void)state;
    struct sl_header items[] = {{SL_LIT("x-amzn-bedrock-input-token-count"), SL_LIT("3")},
                                {SL_LIT("x-amzn-bedrock-output-token-count"), SL_LIT("5")}};
    struct sl_response_head head = {.status = 200, .headers = {items, 2, 2}};
    static const char *const bodies[] = {
        JURASSIC "\"messages\":[" USER("Hi") "]}",
        JURASSIC "\"messages\":[" USER("Hi") "],\"stream\":true,\"stream_options\":{"
                                             "\"include_usage\":true}}"};
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        struct sl_buf out;
        rig_init(&r, "POST", CHAT);
        assert_int_equal(rig_decode(&r, sl_slice_str(bodies[i]), SIZE_MAX), SL_OK);
        assert_int_equal(
            rig_answer(&r, SL_OP_INVOKE_MODEL,
                       SL_LIT("{\"id\":1234,\"prompt\":{\"text\":\"Hi\",\"tokens\":[]},"
                              "\"completions\":[{\"data\":{\"text\":\"Hey\\u0000\",\"tokens\":[]},"
                              "\"finishReason\":{\"reason\":\"length\"}}]}"),
                       &head, 1, NULL, &out),
            SL_OK);
        assert_within(&out,
                      i ? "\"delta\":{\"content\":\"Hey\\u0000\"}" : "\"content\":\"Hey\\u0000\"");
        assert_within(&out, "\"finish_reason\":\"length\"");
        assert_within(&out, TOKENS("3", "5"));
        assert_int_equal(sl_slice_ends(sl_buf_slice(&out), SL_LIT("data: [DONE]\n\n")), i == 1);
        sl_buf_done(&out);
        rig_done(&r);
    }
}

static const struct {
    const char *model;
    const char *chunks[4];
} streams[] = {
    {"cohere.command-text-v14",
     {"{\"index\":0,\"is_finished\":false,\"text\":\"He\"}",
      "{\"index\":0,\"is_finished\":false,\"text\":\"y\"}",
      "{\"index\":0,\"is_finished\":true,\"finish_reason\":\"MAX_TOKENS\","
      "\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":3,\"outputTokenCount\":5}}",
      NULL}},
    {IMPORTED,
     {"{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
      "\"finish_reason\":null}]}",
      "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hey\"},\"finish_reason\":null}]}",
      "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"length\"}],"
      "\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":3,\"outputTokenCount\":5}}",
      NULL}},
};

static void streams_are_read(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        struct rig r;
        struct sl_buf frames, request, out;
        sl_buf_init(&frames, 1 << 16);
        sl_buf_init(&request, 4096);
        for (const char *const *chunk = streams[i].chunks; *chunk; chunk++)
            assert_int_equal(sl_frame_put_chunk(&frames, sl_slice_str(*chunk)), SL_OK);
        assert_int_equal(sl_buf_printf(&request, "{\"model\":\"%s\",\"messages\":[" USER("Hi") "]}",
                                       streams[i].model),
                         SL_OK);
        rig_init(&r, "POST", CHAT);
        assert_int_equal(rig_decode(&r, sl_buf_slice(&request), SIZE_MAX), SL_OK);
        assert_int_equal(
            rig_answer(&r, SL_OP_INVOKE_MODEL_STREAM, sl_buf_slice(&frames), NULL, 1, NULL, &out),
            SL_OK);
        assert_within(&out, "\"content\":\"Hey\"");
        assert_within(&out, "\"finish_reason\":\"length\"");
        assert_within(&out, TOKENS("3", "5"));
        sl_buf_done(&out);
        sl_buf_done(&request);
        sl_buf_done(&frames);
        rig_done(&r);
    }
}

static void an_imported_models_document_is_read(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf out;
    rig_init(&r, "POST", CHAT);
    assert_int_equal(
        rig_decode(&r, SL_LIT("{\"model\":\"" IMPORTED "\",\"messages\":[" USER("Hi") "]}"), 7),
        SL_OK);
    assert_int_equal(
        rig_answer(&r, SL_OP_INVOKE_MODEL,
                   SL_LIT("{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                          "\"content\":\"Hey\"},\"finish_reason\":\"content_filter\"}],\"usage\":{"
                          "\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}"),
                   NULL, 1, NULL, &out),
        SL_OK);
    assert_within(&out, "\"content\":\"Hey\"");
    assert_within(&out, "\"finish_reason\":\"content_filter\"");
    assert_within(&out, TOKENS("3", "5"));
    sl_buf_done(&out);
    rig_done(&r);
}

static void memory_that_runs_out_fails_the_request(void **state) {
    (void)state;
    static const size_t which[] = {2, 5, 6};
    for (size_t i = 0; i < sizeof(which) / sizeof(which[0]); i++) {
        int rc = SL_E_NOMEM;
        for (uint64_t n = 1; rc == SL_E_NOMEM; n++) {
            struct rig r;
            rig_init(&r, "POST", CHAT);
            sl_mem_fail_after(n);
            rc = rig_decode(&r, sl_slice_str(requests[which[i]].body), SIZE_MAX);
            sl_mem_fail_after(0);
            rig_done(&r);
            assert_true(n < 5000);
        }
        assert_int_equal(rc, SL_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_fit_the_model),
        cmocka_unit_test(the_call_knows_what_was_asked),
        cmocka_unit_test(what_a_text_cannot_carry_is_refused),
        cmocka_unit_test(a_successor_gets_its_own_form),
        cmocka_unit_test(a_document_is_told_as_a_stream),
        cmocka_unit_test(streams_are_read),
        cmocka_unit_test(an_imported_models_document_is_read),
        cmocka_unit_test(memory_that_runs_out_fails_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
