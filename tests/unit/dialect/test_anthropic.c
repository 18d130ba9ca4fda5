/* Answers as Anthropic's: from Converse and from Claude's own, whole and streamed, and broken. */
#include "translate.h"

#include "sluice/base/mem.h"

#define CLAUDE "anthropic.claude-3-5-sonnet-20241022-v2:0"
#define NOVA   "us.amazon.nova-pro-v1:0"

static struct rig rig;
static struct sl_buf stream;

static int begin(void **state) {
    (void)state;
    rig_init(&rig, &sl_dialect_anthropic, "POST", "/v1/messages");
    rig.ask.model = SL_LIT("my-\"model");
    sl_buf_init(&stream, 1 << 20);
    return 0;
}

static int end(void **state) {
    (void)state;
    sl_buf_done(&stream);
    rig_done(&rig);
    return 0;
}

static const char converse_document[] =
    "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"reasoningContent\":{"
    "\"reasoningText\":{\"text\":\"hm\",\"signature\":\"sg\"}}},{\"text\":\"a\\u0000\\\"{\"},{"
    "\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"f\",\"input\":{\"n\":12345678901234567890}}}]}},"
    "\"stopReason\":\"tool_use\",\"usage\":{\"inputTokens\":5,\"outputTokens\":7,\"totalTokens\":"
    "15,"
    "\"cacheReadInputTokens\":3}}";

static const struct told converse_stream[] = {
    {"messageStart", "{\"role\":\"assistant\",\"p\":\"abc\"}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"hm\"}}}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"signature\":\"sg\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":0}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"a\\u0000\"}}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"\\\"{\"}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":1}"},
    {"contentBlockStart", "{\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"toolUseId\":\"t1\","
                          "\"name\":\"f\"}}}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{\\\"n\\\":1234567890\"}}}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"1234567890}\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":2}"},
    {"messageStop", "{\"stopReason\":\"tool_use\"}"},
    {"metadata", "{\"usage\":{\"inputTokens\":5,\"outputTokens\":7,\"totalTokens\":15,"
                 "\"cacheReadInputTokens\":3}}"},
};
#define CONVERSE_EVENTS (sizeof(converse_stream) / sizeof(converse_stream[0]))

static const char message[] =
    "{\"id\":\"msg_0b7e0000111142228333444455556666\",\"type\":\"message\",\"role\":\"assistant\","
    "\"model\":\"my-\\\"model\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\","
    "\"signature\":\"sg\"},{\"type\":\"text\",\"text\":\"a\\u0000\\\"{\"},{\"type\":\"tool_use\","
    "\"id\":\"t1\",\"name\":\"f\",\"input\":{\"n\":12345678901234567890}}],\"stop_reason\":"
    "\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,"
    "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":3,\"output_tokens\":7}}";

#define EVENT(name, data) "event: " name "\ndata: " data "\n\n"
#define START                                                                                      \
    EVENT("message_start",                                                                         \
          "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_0b7e0000111142228333444455556666" \
          "\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"my-\\\"model\","             \
          "\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens"   \
          "\":0,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"                  \
          "\"output_tokens\":0}}}")
#define DELTA(index, body)                                                                         \
    EVENT("content_block_delta",                                                                   \
          "{\"type\":\"content_block_delta\",\"index\":" #index ",\"delta\":{" body "}}")
#define BLOCK(index, body)                                                                         \
    EVENT("content_block_start",                                                                   \
          "{\"type\":\"content_block_start\",\"index\":" #index ",\"content_block\":{" body "}}")
#define STOP(index)                                                                                \
    EVENT("content_block_stop", "{\"type\":\"content_block_stop\",\"index\":" #index "}")

static const char events[] =
    START BLOCK(0, "\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"") DELTA(
        0, "\"type\":\"thinking_delta\",\"thinking\":\"hm\"")
        DELTA(0, "\"type\":\"signature_delta\",\"signature\":\"sg\"") STOP(0) BLOCK(
            1, "\"type\":\"text\",\"text\":\"\"")
            DELTA(1, "\"type\":\"text_delta\",\"text\":\"a\\u0000\"") DELTA(
                1, "\"type\":\"text_delta\",\"text\":\"\\\"{\"") STOP(1)
                BLOCK(2, "\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"f\",\"input\":{}") DELTA(
                    2, "\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"n\\\":1234567890\"")
                    DELTA(2, "\"type\":\"input_json_delta\",\"partial_json\":\"1234567890}\"")
                        STOP(2) EVENT(
                            "message_delta",
                            "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\","
                            "\"stop_sequence\":"
                            "null},\"usage\":{\"input_tokens\":5,\"cache_creation_input_tokens\":0,"
                            "\"cache_read_input_tokens\":3,\"output_tokens\":7}}")
                            EVENT("message_stop", "{\"type\":\"message_stop\"}");

static void a_document_becomes_a_message(void **state) {
    (void)state;
    struct sl_slice bytes = sl_slice_str(converse_document);
    for (size_t step = 1; step <= bytes.len; step += bytes.len - 1) {
        assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, bytes, step), SL_OK);
        assert_text(sl_buf_slice(&rig.out), message);
    }
}

static void a_stream_becomes_events(void **state) {
    (void)state;
    rig.ask.stream = true;
    put_stream(&stream, converse_stream, CONVERSE_EVENTS);
    for (size_t step = 1; step <= stream.len; step += stream.len - 1) {
        assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), step),
                         SL_OK);
        assert_text(sl_buf_slice(&rig.out), events);
    }
}

static void a_stream_becomes_the_same_message(void **state) {
    (void)state;
    put_stream(&stream, converse_stream, CONVERSE_EVENTS);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), 7), SL_OK);
    assert_text(sl_buf_slice(&rig.out), message);
}

static void a_document_becomes_events(void **state) {
    (void)state;
    rig.ask.stream = true;
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, sl_slice_str(converse_document), SIZE_MAX),
                     SL_OK);
    struct sl_slice out = sl_buf_slice(&rig.out);
    assert_has(out, DELTA(1, "\"type\":\"text_delta\",\"text\":\"a\\u0000\\\"{\""));
    assert_has(out, "\\\"n\\\":12345678901234567890}");
    assert_has(out, "\"output_tokens\":7}}");
    assert_true(sl_slice_ends(out, sl_slice_str("data: {\"type\":\"message_stop\"}\n\n")));
}

static void redacted_thinking_is_a_block_of_its_own(void **state) {
    (void)state;
    static const struct told rows[] = {
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{"
                              "\"redactedContent\":\"QUI=\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":0}"},
        {"messageStop", "{\"stopReason\":\"content_filtered\"}"},
    };
    put_stream(&stream, rows, 3);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), 9), SL_OK);
    assert_has(sl_buf_slice(&rig.out),
               "\"content\":[{\"type\":\"redacted_thinking\",\"data\":\"QUI=\"}],\"stop_reason\":"
               "\"refusal\"");
    rig.ask.stream = true;
    assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), 9), SL_OK);
    assert_has(sl_buf_slice(&rig.out),
               BLOCK(0, "\"type\":\"redacted_thinking\",\"data\":\"QUI=\"") STOP(0));
}

static const char claude_document[] =
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\",\"content\":[{"
    "\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"sg\"},{\"type\":"
    "\"redacted_thinking\",\"data\":\"xx\"},{\"type\":\"text\",\"citations\":[{\"type\":"
    "\"char_location\",\"n\":1.50}],\"text\":\"h\\u00e9\"},{\"type\":\"tool_use\",\"id\":\"t\","
    "\"name\":\"f\",\"input\":{\"n\":12345678901234567890,\"z\":\"\\u0000\"}}],\"stop_reason\":"
    "\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,\"output_tokens\":7}}";

static const struct told claude_stream[] = {
    {"chunk", "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\","
              "\"role\":\"assistant\",\"model\":\"c\",\"content\":[],\"stop_reason\":null,"
              "\"stop_sequence\":null,\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}"},
    {"chunk", "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
              "\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}"},
    {"chunk", "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
              "\"thinking_delta\",\"thinking\":\"hm\"}}"},
    {"chunk", "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
              "\"signature_delta\",\"signature\":\"sg\"}}"},
    {"chunk", "{\"type\":\"content_block_stop\",\"index\":0}"},
    {"chunk", "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":"
              "\"redacted_thinking\",\"data\":\"xx\"}}"},
    {"chunk", "{\"type\":\"content_block_stop\",\"index\":1}"},
    {"chunk", "{\"type\":\"content_block_start\",\"index\":2,\"content_block\":{\"type\":\"text\","
              "\"citations\":[],\"text\":\"\"}}"},
    {"chunk", "{\"type\":\"ping\"}"},
    {"chunk", "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":"
              "\"citations_delta\",\"citation\":{\"type\":\"char_location\",\"n\":1.50}}}"},
    {"chunk", "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"text_delta\","
              "\"text\":\"h\"}}"},
    {"chunk", "{\"type\":\"content_block_delta\",\"index\":2,\"delta\":{\"type\":\"text_delta\","
              "\"text\":\"\\u00e9\"}}"},
    {"chunk", "{\"type\":\"content_block_stop\",\"index\":2}"},
    {"chunk", "{\"type\":\"content_block_start\",\"index\":3,\"content_block\":{\"type\":"
              "\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}"},
    {"chunk", "{\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":"
              "\"input_json_delta\",\"partial_json\":\"{\\\"n\\\":1234567890\"}}"},
    {"chunk",
     "{\"type\":\"content_block_delta\",\"index\":3,\"delta\":{\"type\":"
     "\"input_json_delta\",\"partial_json\":\"1234567890,\\\"z\\\":\\\"\\\\u0000\\\"}\"}}"},
    {"chunk", "{\"type\":\"content_block_stop\",\"index\":3}"},
    {"chunk", "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\","
              "\"stop_sequence\":null},\"usage\":{\"output_tokens\":7}}"},
    {"chunk", "{\"type\":\"message_stop\",\"amazon-bedrock-invocationMetrics\":{"
              "\"inputTokenCount\":5}}"},
};
#define CLAUDE_EVENTS (sizeof(claude_stream) / sizeof(claude_stream[0]))

static void claudes_document_passes(void **state) {
    (void)state;
    assert_null(make_encoder(&rig, SL_OP_INVOKE_MODEL, CLAUDE));
}

static void claudes_stream_is_unwrapped(void **state) {
    (void)state;
    rig.ask.stream = true;
    put_stream(&stream, claude_stream, CLAUDE_EVENTS);
    for (size_t step = 1; step <= stream.len; step += stream.len - 1) {
        assert_int_equal(
            encode(&rig, SL_OP_INVOKE_MODEL_STREAM, CLAUDE, sl_buf_slice(&stream), step), SL_OK);
        struct sl_slice rest = sl_buf_slice(&rig.out);
        for (size_t i = 0; i + 1 < CLAUDE_EVENTS; i++) {
            struct sl_slice json = sl_slice_str(claude_stream[i].payload);
            size_t at = sl_slice_search(rest, SL_LIT("\ndata: "));
            rest = sl_slice_skip(rest, at + 7);
            assert_true(sl_slice_starts(rest, json));
            rest = sl_slice_skip(rest, json.len);
        }
        assert_text(rest, "\n\n" EVENT("message_stop", "{\"type\":\"message_stop\"}"));
        assert_true(sl_slice_starts(sl_buf_slice(&rig.out), SL_LIT("event: message_start\n")));
    }
}

/* The members are those of the document; their order is the stream's. */
static void claudes_stream_becomes_a_message(void **state) {
    (void)state;
    put_stream(&stream, claude_stream, CLAUDE_EVENTS);
    assert_int_equal(encode(&rig, SL_OP_INVOKE_MODEL_STREAM, CLAUDE, sl_buf_slice(&stream), 11),
                     SL_OK);
    struct sl_slice out = sl_buf_slice(&rig.out);
    assert_text(
        out, "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"c\","
             "\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"sg\"},{"
             "\"type\":\"redacted_thinking\",\"data\":\"xx\"},{\"type\":\"text\",\"citations\":[{"
             "\"type\":\"char_location\",\"n\":1.50}],\"text\":\"h\\u00e9\"},{\"type\":"
             "\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"n\":12345678901234567890,"
             "\"z\":\"\\u0000\"}}],\"stop_reason\":\"tool_use\",\"stop_sequence\":null,\"usage\":"
             "{\"output_tokens\":7,\"input_tokens\":5}}");
}

/* Taken apart and put together again, the document is what it was. */
static void claudes_document_becomes_events(void **state) {
    (void)state;
    rig.ask.stream = true;
    assert_int_equal(encode(&rig, SL_OP_INVOKE_MODEL, CLAUDE, sl_slice_str(claude_document), 5),
                     SL_OK);
    struct sl_slice rest = sl_buf_slice(&rig.out), line;
    assert_has(rest, DELTA(0, "\"type\":\"signature_delta\",\"signature\":\"sg\""));
    assert_has(rest, BLOCK(1, "\"type\":\"redacted_thinking\",\"data\":\"xx\""));
    while (sl_slice_split(&rest, '\n', &line))
        if (sl_slice_starts(line, SL_LIT("data: ")))
            assert_int_equal(sl_frame_put_chunk(&stream, sl_slice_skip(line, 6)), SL_OK);
    rig.ask.stream = false;
    assert_int_equal(encode(&rig, SL_OP_INVOKE_MODEL_STREAM, CLAUDE, sl_buf_slice(&stream), 99),
                     SL_OK);
    assert_text(sl_buf_slice(&rig.out), claude_document);
}

static void an_exception_midway_is_an_error_event(void **state) {
    (void)state;
    static const struct told rows[] = {
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}"},
        {"exception", "Slow down."},
    };
    const char *error = EVENT("error", "{\"type\":\"error\",\"error\":{\"type\":"
                                       "\"rate_limit_error\",\"message\":\"Slow down.\"},"
                                       "\"request_id\":\"0b7e0000-1111-4222-8333-444455556666\"}");
    rig.ask.stream = true;
    put_stream(&stream, rows, 2);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), 3), SL_OK);
    assert_true(sl_slice_ends(sl_buf_slice(&rig.out), sl_slice_str(error)));
    sl_buf_clear(&stream);
    put_stream(&stream, claude_stream, 3);
    put_stream(&stream, rows + 1, 1);
    assert_int_equal(encode(&rig, SL_OP_INVOKE_MODEL_STREAM, CLAUDE, sl_buf_slice(&stream), 3),
                     SL_OK);
    assert_true(sl_slice_ends(sl_buf_slice(&rig.out), sl_slice_str(error)));
}

static void what_breaks_off_is_no_message(void **state) {
    (void)state;
    put_stream(&stream, claude_stream, CLAUDE_EVENTS - 1);
    struct sl_slice bytes = sl_buf_slice(&stream);
    assert_int_equal(encode(&rig, SL_OP_INVOKE_MODEL_STREAM, CLAUDE, bytes, 99), SL_E_PROTOCOL);
    rig.ask.stream = true;
    assert_int_equal(encode(&rig, SL_OP_INVOKE_MODEL_STREAM, CLAUDE, bytes, 99), SL_E_PROTOCOL);
    struct sl_slice cut = sl_slice_head(sl_slice_str(converse_document), 100);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE, NOVA, cut, 99), SL_E_PROTOCOL);
    struct sl_encoder *encoder = make_encoder(&rig, SL_OP_CONVERSE_STREAM, NOVA);
    sl_buf_clear(&rig.out);
    assert_int_equal(
        encoder->ops->broken(encoder, SL_FAILURE_UNAVAILABLE, SL_LIT("gone"), &rig.out), SL_OK);
    assert_has(sl_buf_slice(&rig.out), "\"type\":\"overloaded_error\",\"message\":\"gone\"");
    encoder->ops->free(encoder);
}

static void an_input_that_broke_off_is_left_away(void **state) {
    (void)state;
    put_stream(&stream, claude_stream, CLAUDE_EVENTS - 4); /* without its last piece */
    put_stream(&stream, claude_stream + CLAUDE_EVENTS - 3, 3);
    assert_int_equal(encode(&rig, SL_OP_INVOKE_MODEL_STREAM, CLAUDE, sl_buf_slice(&stream), 99),
                     SL_OK);
    assert_has(sl_buf_slice(&rig.out), "\"name\":\"f\",\"input\":{}}]");
    sl_buf_clear(&stream);
    put_stream(&stream, converse_stream, CONVERSE_EVENTS - 4);
    put_stream(&stream, converse_stream + CONVERSE_EVENTS - 3, 3);
    assert_int_equal(encode(&rig, SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&stream), 99), SL_OK);
    assert_has(sl_buf_slice(&rig.out), "\"name\":\"f\",\"input\":{}}]");
}

static void tokens_are_counted(void **state) {
    (void)state;
    assert_int_equal(encode(&rig, SL_OP_COUNT_TOKENS, NOVA, SL_LIT("{\"inputTokens\":42}"), 1),
                     SL_OK);
    assert_text(sl_buf_slice(&rig.out), "{\"input_tokens\":42}");
    assert_int_equal(encode(&rig, SL_OP_COUNT_TOKENS, NOVA, SL_LIT("{}"), 1), SL_E_PROTOCOL);
}

static void errors_have_anthropics_shape(void **state) {
    (void)state;
    struct sl_headers headers = {0};
    sl_buf_clear(&rig.out);
    assert_int_equal(sl_dialect_anthropic.error(&rig.arena, "some-id", SL_FAILURE_THROTTLED,
                                                SL_LIT("a\"b"), &headers, &rig.out),
                     SL_OK);
    assert_text(sl_buf_slice(&rig.out),
                "{\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":"
                "\"a\\\"b\"},\"request_id\":\"some-id\"}");
    assert_text(sl_headers_get(&headers, SL_LIT("content-type")), "application/json");
    assert_text(sl_headers_get(&headers, SL_LIT("request-id")), "some-id");
    assert_int_equal(sl_dialect_anthropic.status(SL_FAILURE_UNKNOWN_CLIENT), 401);
    for (int kind = SL_FAILURE_NONE; kind < SL_FAILURE_COUNT; kind++)
        assert_in_range(sl_dialect_anthropic.status((enum sl_failure)kind), 400, 599);
}

/* Each allocation fails once: the answer fails, nothing leaks (the sanitizer sees to that). */
static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    put_stream(&stream, claude_stream, CLAUDE_EVENTS);
    struct sl_buf other;
    sl_buf_init(&other, 1 << 20);
    put_stream(&other, converse_stream, CONVERSE_EVENTS);
    for (uint64_t n = 1; n < 60; n++) {
        const struct {
            enum sl_operation op;
            const char *model;
            struct sl_slice bytes;
        } rows[] = {{SL_OP_INVOKE_MODEL_STREAM, CLAUDE, sl_buf_slice(&stream)},
                    {SL_OP_CONVERSE_STREAM, NOVA, sl_buf_slice(&other)}};
        for (size_t i = 0; i < 2; i++) {
            struct sl_encoder *encoder = make_encoder(&rig, rows[i].op, rows[i].model);
            sl_buf_clear(&rig.out);
            (void)sl_mem_fail_after(n);
            int err = encoder->ops->feed(encoder, rows[i].bytes, &rig.out);
            if (!err)
                err = encoder->ops->finish(encoder, &rig.out);
            bool fired = sl_mem_fail_after(0) == 0;
            /* Converse's reader may lose its usage instead. */
            assert_true(err == SL_OK || (fired && err == SL_E_NOMEM));
            assert_true(err == SL_E_NOMEM || !fired || i == 1);
            encoder->ops->free(encoder);
        }
    }
    sl_buf_done(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_document_becomes_a_message, begin, end),
        cmocka_unit_test_setup_teardown(a_stream_becomes_events, begin, end),
        cmocka_unit_test_setup_teardown(a_stream_becomes_the_same_message, begin, end),
        cmocka_unit_test_setup_teardown(a_document_becomes_events, begin, end),
        cmocka_unit_test_setup_teardown(redacted_thinking_is_a_block_of_its_own, begin, end),
        cmocka_unit_test_setup_teardown(claudes_document_passes, begin, end),
        cmocka_unit_test_setup_teardown(claudes_stream_is_unwrapped, begin, end),
        cmocka_unit_test_setup_teardown(claudes_stream_becomes_a_message, begin, end),
        cmocka_unit_test_setup_teardown(claudes_document_becomes_events, begin, end),
        cmocka_unit_test_setup_teardown(an_exception_midway_is_an_error_event, begin, end),
        cmocka_unit_test_setup_teardown(what_breaks_off_is_no_message, begin, end),
        cmocka_unit_test_setup_teardown(an_input_that_broke_off_is_left_away, begin, end),
        cmocka_unit_test_setup_teardown(tokens_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(errors_have_anthropics_shape, begin, end),
        cmocka_unit_test_setup_teardown(memory_may_run_out_anywhere, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
