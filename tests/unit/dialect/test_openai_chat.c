/* Chat completions: requests in Converse's words, answers as documents and chunks, errors. */
#include "openai_rig.h"
#include "sluice/base/mem.h"

#define CHAT          "/v1/chat/completions"
#define CLAUDE        "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
#define CLAUDE_TARGET "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"

static const struct {
    const char *body, *upstream, *target;
} requests[] = {
    {"{\"model\":\"amazon.nova-lite-v1:0\",\"messages\":[{\"role\":\"system\",\"content\":\"Be "
     "brief.\"},{\"role\":\"user\",\"content\":\"Hi \\u0000\\u00e9\"}],\"max_tokens\":5,"
     "\"max_completion_tokens\":7,\"temperature\":0.5,\"top_p\":0.9,\"stop\":\"END\"}",
     "{\"inferenceConfig\":{\"maxTokens\":7,\"temperature\":0.5,\"topP\":0.9,\"stopSequences\":["
     "\"END\"]},\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi \\u0000é\"}]}],"
     "\"system\":[{\"text\":\"Be brief.\"}]}",
     "/model/amazon.nova-lite-v1%3A0/converse"},
    /* Parallel calls and their results; arguments are spliced as they stand. */
    {"{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"What?\"},{\"type\":\"image_url\",\"image_url\":{\"url\":"
     "\"data:image/png;base64,iVBORw0=\"}}]},{\"role\":\"assistant\",\"content\":null,"
     "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
     "\"arguments\":\"{\\\"n\\\":12345678901234567890,\\\"z\\\":\\\"\\\\u0000\\\"}\"}},{\"id\":"
     "\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"\"}}]},{\"role\":"
     "\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"},{\"role\":\"tool\",\"tool_call_id\":"
     "\"b\",\"content\":[{\"type\":\"text\",\"text\":\"2\"}]},{\"role\":\"user\",\"content\":"
     "\"So?\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":"
     "\"d\",\"parameters\":{\"type\":\"object\"}}},{\"type\":\"function\",\"function\":{"
     "\"name\":\"g\"}}],\"tool_choice\":\"auto\"}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"What?\"},"
     "{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"iVBORw0=\"}}}]},{\"role\":"
     "\"assistant\",\"content\":[{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"f\",\"input\":{"
     "\"n\":12345678901234567890,\"z\":\"\\u0000\"}}},{\"toolUse\":{\"toolUseId\":\"b\","
     "\"name\":\"g\",\"input\":{}}}]},{\"role\":\"user\",\"content\":[{\"toolResult\":{"
     "\"toolUseId\":\"a\",\"content\":[{\"text\":\"1\"}]}},{\"toolResult\":{\"toolUseId\":\"b\","
     "\"content\":[{\"text\":\"2\"}]}},{\"text\":\"So?\"}]}],\"toolConfig\":{\"tools\":[{"
     "\"toolSpec\":{\"name\":\"f\",\"description\":\"d\",\"inputSchema\":{\"json\":{\"type\":"
     "\"object\"}}}},{\"toolSpec\":{\"name\":\"g\",\"inputSchema\":{\"json\":{\"type\":"
     "\"object\",\"properties\":{}}}}}]}}",
     "/model/m/converse-stream"},
    /* A schema is a tool that must be called. */
    {"{\"model\":\"" CLAUDE "\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
     "\"temperature\":2,\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
     "\"person\",\"strict\":true,\"schema\":{\"type\":\"object\",\"properties\":{}}}}}",
     "{\"inferenceConfig\":{\"temperature\":1},\"messages\":[{\"role\":\"user\",\"content\":[{"
     "\"text\":\"x\"}]}],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"person\","
     "\"description\":\"Gives the answer in the form required.\",\"inputSchema\":{\"json\":{"
     "\"type\":\"object\",\"properties\":{}}}}}],\"toolChoice\":{\"tool\":{\"name\":\"person\"}"
     "}}}",
     CLAUDE_TARGET},
    /* Plain JSON is asked for in words. */
    {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"response_format\":{"
     "\"type\":\"json_object\"}}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}],\"system\":[{\"text\":"
     "\"Answer with one JSON object and nothing else: no words around it, no code fence.\"}]}",
     "/model/m/converse"},
    /* Reasoning: what is left of max_tokens bounds it, and sampling gives way. */
    {"{\"model\":\"" CLAUDE "\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
     "\"temperature\":0.3,\"max_completion_tokens\":4096,\"reasoning_effort\":\"high\"}",
     "{\"inferenceConfig\":{\"maxTokens\":4096},\"additionalModelRequestFields\":{\"thinking\":{"
     "\"type\":\"enabled\",\"budget_tokens\":2048}},\"messages\":[{\"role\":\"user\","
     "\"content\":[{\"text\":\"x\"}]}]}",
     CLAUDE_TARGET},
    {"{\"model\":\"gpt-oss-120b\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
     "\"reasoning_effort\":\"low\"}",
     "{\"additionalModelRequestFields\":{\"reasoning_effort\":\"low\"},"
     "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
     "/model/openai.gpt-oss-120b-1%3A0/converse"},
    /* Named choice; tool calls in the past without tools now. */
    {"{\"model\":\"" CLAUDE "\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"tools\":[{"
     "\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],\"tool_choice\":{"
     "\"type\":\"function\",\"function\":{\"name\":\"f\"}}}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}],"
     "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"f\",\"inputSchema\":{\"json\":{}}}}],"
     "\"toolChoice\":{\"tool\":{\"name\":\"f\"}}}}",
     CLAUDE_TARGET},
    {"{\"model\":\"" CLAUDE "\",\"messages\":[{\"role\":\"assistant\",\"content\":\"\","
     "\"reasoning_content\":\"hm\",\"reasoning_signature\":\"s\",\"tool_calls\":[{\"id\":\"a\","
     "\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":"
     "\"a\",\"content\":\"\"}]}",
     "{\"messages\":[{\"role\":\"assistant\",\"content\":[{"
     "\"reasoningContent\":{\"reasoningText\":{\"text\":\"hm\",\"signature\":\"s\"}}},{"
     "\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"f\",\"input\":{}}}]},{\"role\":\"user\","
     "\"content\":[{\"toolResult\":{\"toolUseId\":\"a\",\"content\":[]}}]}],\"toolConfig\":{"
     "\"tools\":[{\"toolSpec\":{\"name\":\"unavailable\",\"description\":\"Do not call this.\","
     "\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}]}}",
     CLAUDE_TARGET},
};

static void requests_become_converse_bodies(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        assert_request(CHAT, requests[i].body, requests[i].upstream, requests[i].target);
}

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]"

static void what_cannot_be_had_is_refused_in_words(void **state) {
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {
        {"", "not a JSON object"},
        {"[]", "not a JSON object"},
        {"{\"model\":\"m\"", "not a JSON object"},
        {"{" USER "}", "model parameter"},
        {"{\"model\":\"m\"}", "messages"},
        {"{\"model\":\"m\",\"n\":2," USER "}", "n=1"},
        {"{\"model\":\"m\",\"logprobs\":true," USER "}", "logprobs"},
        {"{\"model\":\"m\",\"functions\":[]," USER "}", "tools"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"x\"}]}", "role"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
         "\"image_url\":{\"url\":\"https://x/y.png\"}}]}]}",
         "data URL"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\","
         "\"image_url\":{\"url\":\"data:image/png;base64,a\\\"}\"}}]}]}",
         "data URL"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
         "\"input_audio\"}]}]}",
         "not supported"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
         "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":\"}}]}]}",
         "JSON object"},
        {"{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\","
         "\"function\":{\"name\":\"f\",\"arguments\":\"[1]\"}}]}]}",
         "JSON object"},
        {"{\"model\":\"m\",\"tools\":[{\"type\":\"web_search\"}]," USER "}", "functions"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(CHAT, cases[i].body, SL_FAILURE_VALIDATION, cases[i].words);
}

static void the_call_knows_what_the_body_says(void **state) {
    (void)state;
    struct rig r;
    struct sl_header items[] = {{SL_LIT("Idempotency-Key"), SL_LIT("k1")},
                                {SL_LIT("x-sluice-timeout"), SL_LIT("5s")}};
    rig_init(&r, "POST", CHAT);
    r.head.headers = (struct sl_headers){items, 2, 2};
    assert_int_equal(rig_decode(&r,
                                SL_LIT("{\"model\":\"m\",\"max_tokens\":9,\"temperature\":0,"
                                       "\"seed\":4,\"frequency_penalty\":0," USER "}"),
                                SIZE_MAX),
                     SL_OK);
    assert_int_equal(r.decode.failure, SL_FAILURE_NONE);
    assert_int_equal(r.call.operation, SL_OP_CONVERSE);
    assert_int_equal(r.call.max_tokens, 9);
    assert_true(r.call.has_meaning && r.call.has_load && r.call.deterministic);
    assert_slice(r.call.rejoin_key, "k1");
    assert_int_equal(r.call.timeout_ms, 5000);
    assert_slice(r.call.model, "m");
    assert_slice(r.ask.model, "m");
    assert_slice(sl_headers_get(&r.call.headers, SL_LIT("content-type")), "application/json");
    rig_done(&r);
}

static struct sl_slice alias(void *ctx, struct sl_slice name) {
    (void)ctx;
    return sl_slice_eq(name, SL_LIT("fast")) ? SL_LIT("meta.llama3-8b-instruct-v1:0") : SL_EMPTY;
}

static void an_alias_leads_to_its_model(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r, "POST", CHAT);
    r.settings.alias = alias;
    assert_int_equal(rig_decode(&r, SL_LIT("{\"model\":\"fast\"," USER "}"), SIZE_MAX), SL_OK);
    assert_slice(r.call.model, "meta.llama3-8b-instruct-v1:0");
    assert_slice(r.ask.model, "fast");
    rig_done(&r);
}

static const struct frame frames[] = {
    {"messageStart", "{\"role\":\"assistant\",\"p\":\"ab\"}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"hm\"}}}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"signature\":\"s\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":0}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"He\"}}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"y\\u0000\"}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":1}"},
    {"contentBlockStart", "{\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"toolUseId\":\"a\","
                          "\"name\":\"f\"}}}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{\\\"n\\\":1\"}}}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"}\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":2}"},
    {"contentBlockStart", "{\"contentBlockIndex\":3,\"start\":{\"toolUse\":{\"toolUseId\":\"b\","
                          "\"name\":\"g\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":3}"},
    {"messageStop", "{\"stopReason\":\"tool_use\"}"},
    {"metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":5,\"cacheReadInputTokens\":2}}"},
    {NULL, NULL},
};

#define HEAD                                                                                       \
    "data: {\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion.chunk\","            \
    "\"created\":1700000000,\"model\":\"m\",\"system_fingerprint\":null,\"choices\":["
#define CHUNK(delta)                                                                               \
    HEAD "{\"index\":0,\"delta\":{" delta "},\"logprobs\":null,\"finish_reason\":null}],"          \
         "\"usage\":null}\n\n"
#define USAGE                                                                                      \
    "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":5,\"total_tokens\":10,"                  \
    "\"prompt_tokens_details\":{\"cached_tokens\":2,\"audio_tokens\":0},"                          \
    "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"                    \
    "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"

static const char chunks[] = CHUNK("\"role\":\"assistant\",\"content\":\"\",\"refusal\":null")
    CHUNK("\"reasoning_content\":\"hm\"") CHUNK("\"reasoning_signature\":\"s\"")
        CHUNK("\"content\":\"He\"") CHUNK("\"content\":\"y\\u0000\"") CHUNK(
            "\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{"
            "\"name\":\"f\",\"arguments\":\"\"}}]")
            CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"n\\\":1\"}}]")
                CHUNK("\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]") CHUNK(
                    "\"tool_calls\":[{\"index\":1,\"id\":\"b\",\"type\":\"function\",\"function\":{"
                    "\"name\":\"g\",\"arguments\":\"\"}}]")
                    CHUNK("\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}}]") HEAD
    "{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"tool_calls\"}],"
    "\"usage\":null}\n\n" HEAD "]," USAGE "}\n\n"
    "data: [DONE]\n\n";

static void ask_for(struct rig *r, const char *body) {
    rig_init(r, "POST", CHAT);
    assert_int_equal(rig_decode(r, sl_slice_str(body), SIZE_MAX), SL_OK);
    assert_int_equal(r->decode.failure, SL_FAILURE_NONE);
}

#define STREAMED                                                                                   \
    "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":true}," USER "}"

static void frames_become_chunks(void **state) {
    (void)state;
    static const size_t steps[] = {1, 11, SIZE_MAX};
    struct sl_buf body;
    build_frames(&body, frames);
    for (size_t i = 0; i < 3; i++) {
        struct rig r;
        struct sl_buf out;
        struct sl_response_head head;
        ask_for(&r, STREAMED);
        assert_int_equal(
            rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, steps[i], &head, &out),
            SL_OK);
        assert_int_equal(sl_buf_terminate(&out), SL_OK);
        assert_string_equal(out.ptr, chunks);
        assert_slice(sl_headers_get(&head.headers, SL_LIT("content-type")),
                     "text/event-stream; charset=utf-8");
        sl_buf_done(&out);
        rig_done(&r);
    }
    sl_buf_done(&body);
}

static void each_frame_is_sent_on_at_once(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf body, out;
    struct sl_encoder *e = NULL;
    struct sl_source source = {SL_OP_CONVERSE_STREAM, SL_FRAMING_EVENTSTREAM, SL_LIT("m"), NULL};
    struct frame one[] = {frames[0], frames[4], {NULL, NULL}};
    ask_for(&r, STREAMED);
    build_frames(&body, one);
    sl_buf_init(&out, 1 << 16);
    assert_int_equal(sl_dialect_openai.encoder(&r.ask, &source, &r.arena, &e), SL_OK);
    assert_int_equal(e->ops->feed(e, sl_buf_slice(&body), &out), SL_OK);
    assert_true(sl_slice_search(sl_buf_slice(&out), SL_LIT("\"content\":\"He\"")) < out.len);
    sl_buf_clear(&out);
    assert_int_equal(e->ops->broken(e, SL_FAILURE_UNAVAILABLE, SL_LIT("gone"), &out), SL_OK);
    assert_slice(sl_buf_slice(&out),
                 "data: {\"error\":{\"message\":\"gone\",\"type\":\"server_error\",\"param\":null,"
                 "\"code\":\"service_unavailable\"}}\n\n");
    e->ops->free(e);
    sl_buf_done(&body);
    sl_buf_done(&out);
    rig_done(&r);
}

static const char document[] =
    "{\"id\":\"chatcmpl-0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1700000000,"
    "\"model\":\"m\",\"system_fingerprint\":null,\"choices\":[{\"index\":0,\"message\":{\"role\":"
    "\"assistant\",\"content\":\"Hey\\u0000\",\"refusal\":null,\"annotations\":[],"
    "\"reasoning_content\":\"hm\",\"reasoning_signature\":\"s\",\"tool_calls\":[{\"id\":\"a\","
    "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"n\\\":1}\"}},{"
    "\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},"
    "\"logprobs\":null,\"finish_reason\":\"tool_calls\"}]," USAGE "}";

/* A stored stream serves those who want a document, and the other way about. */
static void frames_and_documents_become_the_same_document(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf body, out;
    struct sl_response_head head;
    ask_for(&r, "{\"model\":\"m\",\"seed\":1," USER "}");
    build_frames(&body, frames);
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, SIZE_MAX, &head, &out),
        SL_OK);
    assert_same_meaning(sl_buf_slice(&out), document);
    assert_slice(sl_headers_get(&head.headers, SL_LIT("x-sluice-ignored")), "seed");
    sl_buf_done(&out);
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE,
                   SL_LIT("{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{"
                          "\"reasoningContent\":{\"reasoningText\":{\"text\":\"hm\","
                          "\"signature\":\"s\"}}},{\"text\":\"Hey\\u0000\"},{\"toolUse\":{"
                          "\"toolUseId\":\"a\",\"name\":\"f\",\"input\":{\"n\":1}}},{\"toolUse\":{"
                          "\"toolUseId\":\"b\",\"name\":\"g\",\"input\":{}}}]}},\"stopReason\":"
                          "\"tool_use\",\"usage\":{\"inputTokens\":3,\"outputTokens\":5,"
                          "\"cacheReadInputTokens\":2}}"),
                   NULL, 3, NULL, &out),
        SL_OK);
    assert_same_meaning(sl_buf_slice(&out), document);
    sl_buf_done(&out);
    sl_buf_done(&body);
    rig_done(&r);
}

static const struct frame sealed_frames[] = {
    {"messageStart", "{\"role\":\"assistant\"}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"redactedContent\":\"QUI=\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":0}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"Hey\"}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":1}"},
    {"messageStop", "{\"stopReason\":\"end_turn\"}"},
    {"metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":5}}"},
    {NULL, NULL},
};

static void assert_within(const struct sl_buf *text, const char *part) {
    struct sl_slice got = sl_buf_slice(text), needle = sl_slice_str(part);
    if (sl_slice_search(got, needle) == got.len)
        fail_msg("'%s' is not in '%.*s'", part, SL_FMT(got));
}

/* What only the model can read goes to the client and comes back as it was. */
static void redacted_reasoning_goes_both_ways(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf body, out;
    build_frames(&body, sealed_frames);
    ask_for(&r, "{\"model\":\"m\"," USER "}");
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, 1, NULL, &out), SL_OK);
    assert_within(&out, "\"content\":\"Hey\",\"refusal\":null,\"annotations\":[],"
                        "\"reasoning_redacted\":[\"QUI=\"]");
    sl_buf_done(&out);
    rig_done(&r);
    ask_for(&r, STREAMED);
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, 1, NULL, &out), SL_OK);
    assert_within(&out, "\"delta\":{\"reasoning_redacted\":[\"QUI=\"]}");
    sl_buf_done(&out);
    rig_done(&r);
    sl_buf_done(&body);
    assert_request(CHAT,
                   "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":"
                   "\"assistant\",\"content\":\"Hey\",\"reasoning_redacted\":[\"QUI=\"]}]}",
                   "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]},{\"role\":"
                   "\"assistant\",\"content\":[{\"reasoningContent\":{\"redactedContent\":"
                   "\"QUI=\"}},{\"text\":\"Hey\"}]}]}",
                   "/model/m/converse");
    assert_refused(CHAT,
                   "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"reasoning_redacted\":["
                   "\"a\\\"b\"]}]}",
                   SL_FAILURE_VALIDATION, "as it was given");
}

static void a_schemas_tool_is_the_content(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf out;
    ask_for(&r, "{\"model\":\"m\",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{"
                "\"name\":\"p\",\"schema\":{}}}," USER "}");
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE,
                   SL_LIT("{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{"
                          "\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"p\",\"input\":{\"n\":1}}}"
                          "]}},\"stopReason\":\"tool_use\",\"usage\":{}}"),
                   NULL, SIZE_MAX, NULL, &out),
        SL_OK);
    struct sl_slice got = sl_buf_slice(&out);
    assert_true(sl_slice_search(got, SL_LIT("\"content\":\"{\\\"n\\\":1}\"")) < got.len);
    assert_true(sl_slice_search(got, SL_LIT("\"finish_reason\":\"stop\"")) < got.len);
    assert_true(sl_slice_search(got, SL_LIT("tool_calls")) == got.len);
    sl_buf_done(&out);
    rig_done(&r);
}

static void an_exception_midway_is_the_last_event(void **state) {
    (void)state;
    static const struct frame failing[] = {
        {"messageStart", "{\"role\":\"assistant\"}"},
        {"!throttlingException", "slow down"},
        {NULL, NULL},
    };
    struct rig r;
    struct sl_buf body, out;
    build_frames(&body, failing);
    ask_for(&r, STREAMED);
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, SIZE_MAX, NULL, &out),
        SL_OK);
    assert_true(sl_slice_ends(
        sl_buf_slice(&out),
        SL_LIT("data: {\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\","
               "\"param\":null,\"code\":\"rate_limit_exceeded\"}}\n\n")));
    sl_buf_done(&out);
    sl_buf_done(&body);
    rig_done(&r);
}

/* What OpenAI's SDKs try again (408, 409, 429, from 500) is what trying again may cure. */
static void statuses_fit_the_sdks_retries(void **state) {
    (void)state;
    static const struct {
        enum sl_failure kind;
        int status;
        const char *body;
    } cases[] = {
        {SL_FAILURE_THROTTLED, 429,
         "{\"error\":{\"message\":\"m\",\"type\":\"rate_limit_error\",\"param\":null,\"code\":"
         "\"rate_limit_exceeded\"}}"},
        {SL_FAILURE_VALIDATION, 400,
         "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,"
         "\"code\":null}}"},
        {SL_FAILURE_NOT_FOUND, 404,
         "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,"
         "\"code\":\"model_not_found\"}}"},
        {SL_FAILURE_UNKNOWN_CLIENT, 401,
         "{\"error\":{\"message\":\"m\",\"type\":\"invalid_request_error\",\"param\":null,"
         "\"code\":\"invalid_api_key\"}}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        struct sl_headers headers = {0};
        struct sl_buf out;
        rig_init(&r, "POST", CHAT);
        sl_buf_init(&out, 4096);
        assert_int_equal(sl_dialect_openai.status(cases[i].kind), cases[i].status);
        assert_int_equal(sl_dialect_openai.error(&r.arena, "some-id", cases[i].kind, SL_LIT("m"),
                                                 &headers, &out),
                         SL_OK);
        assert_slice(sl_headers_get(&headers, SL_LIT("x-request-id")), "some-id");
        assert_slice(sl_buf_slice(&out), cases[i].body);
        sl_buf_done(&out);
        rig_done(&r);
    }
    for (int kind = SL_FAILURE_THROTTLED; kind < SL_FAILURE_COUNT; kind++) {
        int status = sl_dialect_openai.status((enum sl_failure)kind);
        bool retried = status == 408 || status == 409 || status == 429 || status >= 500;
        bool upstream_only = kind == SL_FAILURE_MODEL_ERROR || kind == SL_FAILURE_STREAM_ERROR ||
                             kind == SL_FAILURE_MODEL_TIMEOUT;
        assert_true(upstream_only || retried == sl_failure_info((enum sl_failure)kind)->transient);
    }
}

static void paths_of_bedrocks_own_stay_native(void **state) {
    (void)state;
    static const struct {
        const char *method, *target;
        bool openai;
    } cases[] = {
        {"POST", "/v1/chat/completions", true},
        {"POST", "/v1/chat/completions?api-version=1", true},
        {"GET", "/v1/models/a%3Ab", true},
        {"POST", "/openai/v1/chat/completions", false},
        {"POST", "/mantle/v1/chat/completions", false},
        {"POST", "/v1/completions", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig r;
        rig_init(&r, cases[i].method, cases[i].target);
        assert_int_equal(sl_dialect_for(&r.head) == &sl_dialect_openai, cases[i].openai);
        rig_done(&r);
    }
    struct rig r;
    struct sl_header items[] = {
        {SL_LIT("Authorization"),
         SL_LIT("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/bedrock-mantle/"
                "aws4_request, SignedHeaders=host, "
                "Signature=0000000000000000000000000000000000000000000000000000000000000000")}};
    rig_init(&r, "POST", CHAT);
    r.head.headers = (struct sl_headers){items, 1, 1};
    assert_ptr_equal(sl_dialect_for(&r.head), &sl_dialect_bedrock);
    rig_done(&r);
}

static void memory_that_runs_out_fails_the_request(void **state) {
    (void)state;
    struct sl_buf body;
    build_frames(&body, frames);
    int rc = SL_E_NOMEM;
    for (uint64_t n = 1; rc == SL_E_NOMEM; n++) {
        struct rig r;
        struct sl_buf out = {0};
        rig_init(&r, "POST", CHAT);
        sl_mem_fail_after(n);
        rc = rig_decode(&r, sl_slice_str(requests[1].body), SIZE_MAX);
        if (!rc)
            rc = rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, SIZE_MAX, NULL,
                            &out);
        sl_mem_fail_after(0);
        sl_buf_done(&out);
        rig_done(&r);
        assert_true(n < 5000);
    }
    assert_int_equal(rc, SL_OK);
    sl_buf_done(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_become_converse_bodies),
        cmocka_unit_test(what_cannot_be_had_is_refused_in_words),
        cmocka_unit_test(the_call_knows_what_the_body_says),
        cmocka_unit_test(an_alias_leads_to_its_model),
        cmocka_unit_test(frames_become_chunks),
        cmocka_unit_test(each_frame_is_sent_on_at_once),
        cmocka_unit_test(frames_and_documents_become_the_same_document),
        cmocka_unit_test(redacted_reasoning_goes_both_ways),
        cmocka_unit_test(a_schemas_tool_is_the_content),
        cmocka_unit_test(an_exception_midway_is_the_last_event),
        cmocka_unit_test(statuses_fit_the_sdks_retries),
        cmocka_unit_test(paths_of_bedrocks_own_stay_native),
        cmocka_unit_test(memory_that_runs_out_fails_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
