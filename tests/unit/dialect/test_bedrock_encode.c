/*
 * Both shapes of an answer: a document goes to frames and back, and means the same; frames are
 * whole, in order, and are read in pieces of any size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dialect/frames.h"
#include "sluice/base/mem.h"
#include "sluice/dialect/dialect.h"
#include "sluice/wire/canonical.h"

#define CLAUDE "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
#define LLAMA  "meta.llama3-8b-instruct-v1:0"

static enum sl_operation streamed(enum sl_operation op) {
    return op == SL_OP_CONVERSE ? SL_OP_CONVERSE_STREAM : SL_OP_INVOKE_MODEL_STREAM;
}

struct answer {
    struct sl_arena arena;
    struct sl_response_head head;
    struct sl_buf body;
    bool whole;
};

static void answer_done(struct answer *a) {
    sl_buf_done(&a->body);
    sl_arena_done(&a->arena);
}

/* Encodes `body`, an answer of `from`, for one who asked for `to`. */
static int encode(struct answer *a, enum sl_operation from, enum sl_operation to, const char *model,
                  const struct sl_response_head *head, struct sl_slice body, size_t step) {
    struct sl_ask ask = {.operation = to};
    struct sl_source source = {from, sl_operation_info(from)->framing, sl_slice_str(model), head};
    struct sl_encoder *e = NULL;
    *a = (struct answer){0};
    sl_arena_init(&a->arena, 1 << 20);
    sl_buf_init(&a->body, 1 << 20);
    int err = sl_dialect_bedrock.encoder(&ask, &source, &a->arena, &e);
    while (!err && body.len > 0) {
        err = e->ops->feed(e, sl_slice_head(body, step), &a->body);
        body = sl_slice_skip(body, step);
    }
    if (!err)
        err = e->ops->finish(e, &a->body);
    if (!err) {
        a->head = e->head;
        a->whole = e->whole;
    }
    if (e)
        e->ops->free(e);
    return err;
}

static int digest_token(void *ctx, const struct sl_json_token *token) {
    return sl_canonical_token(ctx, token);
}

static void digest(struct sl_slice json, uint8_t out[32]) {
    struct sl_canonical *c = sl_canonical_new();
    struct sl_json_tokenizer t;
    assert_non_null(c);
    sl_json_init(&t, digest_token, c);
    assert_int_equal(sl_json_feed(&t, json), SL_OK);
    assert_int_equal(sl_json_finish(&t), SL_OK);
    assert_int_equal(sl_canonical_finish(c, NULL, 0, out), SL_OK);
    sl_canonical_free(c);
}

static void assert_same_meaning(struct sl_slice got, struct sl_slice expected) {
    uint8_t a[32], b[32];
    digest(got, a);
    digest(expected, b);
    if (memcmp(a, b, sizeof(a)) != 0)
        fail_msg("got      %.*s\nexpected %.*s", SL_FMT(got), SL_FMT(expected));
}

static const struct {
    enum sl_operation operation;
    const char *model, *document;
} round_trips[] = {
    {SL_OP_CONVERSE, "amazon.nova-pro-v1:0",
     "{\"metrics\":{\"latencyMs\":12},\"output\":{\"message\":{\"content\":["
     "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"hm\",\"signature\":\"c2ln\"}}},"
     "{\"reasoningContent\":{\"redactedContent\":\"AAEC\"}},{\"text\":\"Hi \\u0000\\\"é\"},"
     "{\"text\":\"\"},"
     "{\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"f\",\"type\":\"x\",\"input\":{\"n\" : "
     "12345678901234567890, \"z\":\"\\u0000\"}}},{\"toolUse\":{\"toolUseId\":\"t2\",\"name\":"
     "\"g\",\"input\":{}}},{\"citationsContent\":{\"content\":[{\"text\":\"so\"}],"
     "\"citations\":[{\"title\":\"x\"},{\"title\":\"y\"}]}},{\"novel\":{\"a\":1}}],"
     "\"role\":\"assistant\"}},\"stopReason\":\"tool_use\",\"additionalModelResponseFields\":{"
     "\"stop_sequence\":\"##\"},\"trace\":{\"guardrail\":[1]},\"usage\":{\"inputTokens\":3,"
     "\"outputTokens\":5,\"totalTokens\":8,\"serverToolUsage\":{}}}"},
    {SL_OP_CONVERSE, "m",
     "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[]}},\"stopReason\":"
     "\"guardrail_intervened\",\"usage\":{\"inputTokens\":1}}"},
    {SL_OP_INVOKE_MODEL, CLAUDE,
     "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\","
     "\"content\":[{\"type\":\"thinking\",\"thinking\":\"h\\nm\",\"signature\":\"s\"},"
     "{\"type\":\"redacted_thinking\",\"data\":\"AA\"},{\"type\":\"text\",\"text\":\"Hi \\u00e9\","
     "\"citations\":[{\"type\":\"char_location\",\"i\":1},{\"i\":2}]},"
     "{\"type\":\"text\",\"text\":\"\"},"
     "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"n\":1e400,\"z\":"
     "\"\\u0000\"}},{\"type\":\"tool_use\",\"id\":\"u\",\"name\":\"g\",\"input\":{}},"
     "{\"type\":\"server_tool_use\",\"id\":\"u\",\"x\":[1]}],"
     "\"stop_reason\":\"tool_use\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,"
     "\"cache_read_input_tokens\":7,\"output_tokens\":5},"
     "\"amazon-bedrock-guardrailAction\":\"NONE\"}"},
    {SL_OP_INVOKE_MODEL, LLAMA,
     "{\"generation\":\"\\n\\nHi \\u0000\",\"prompt_token_count\":3,\"generation_token_count\":5,"
     "\"stop_reason\":\"length\"}"},
};

static void a_document_comes_back_from_frames(void **state) {
    (void)state;
    static const size_t steps[] = {1, 13, SIZE_MAX};
    for (size_t i = 0; i < sizeof(round_trips) / sizeof(round_trips[0]); i++) {
        enum sl_operation op = round_trips[i].operation, stream = streamed(op);
        struct sl_slice document = sl_slice_str(round_trips[i].document);
        for (size_t j = 0; j < sizeof(steps) / sizeof(steps[0]); j++) {
            struct answer frames, back;
            assert_int_equal(
                encode(&frames, op, stream, round_trips[i].model, NULL, document, steps[j]), SL_OK);
            assert_false(frames.whole);
            assert_int_equal(encode(&back, stream, op, round_trips[i].model, NULL,
                                    sl_buf_slice(&frames.body), steps[j]),
                             SL_OK);
            assert_true(back.whole);
            assert_same_meaning(sl_buf_slice(&back.body), document);
            answer_done(&frames);
            answer_done(&back);
        }
    }
}

static int collect_types(void *ctx, const struct sl_eventstream_message *frame) {
    int err = sl_buf_add(ctx, sl_eventstream_string(frame->headers, SL_LIT(":event-type")));
    return err ? err : sl_buf_add_byte(ctx, ' ');
}

static void frames_come_in_bedrocks_order(void **state) {
    (void)state;
    struct answer a;
    struct sl_frames frames;
    struct sl_buf types;
    static const char document[] =
        "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"a\"},"
        "{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"f\",\"input\":{}}}]}},\"stopReason\":"
        "\"tool_use\",\"usage\":{}}";
    sl_buf_init(&types, 4096);
    sl_frames_init(&frames);
    assert_int_equal(encode(&a, SL_OP_CONVERSE, SL_OP_CONVERSE_STREAM, "m", NULL,
                            sl_slice_str(document), SIZE_MAX),
                     SL_OK);
    assert_int_equal(sl_frames_feed(&frames, sl_buf_slice(&a.body), collect_types, &types), SL_OK);
    assert_true(sl_frames_at_boundary(&frames));
    assert_int_equal(sl_buf_terminate(&types), SL_OK);
    assert_string_equal(types.ptr, "messageStart contentBlockDelta contentBlockStop "
                                   "contentBlockStart contentBlockDelta contentBlockStop "
                                   "messageStop metadata ");
    sl_frames_done(&frames);
    sl_buf_done(&types);
    answer_done(&a);
}

static struct sl_slice header(const struct answer *a, const char *name) {
    return sl_headers_get(&a->head.headers, sl_slice_str(name));
}

static void assert_slice(struct sl_slice s, const char *expected) {
    if (!sl_slice_eq(s, sl_slice_str(expected)))
        fail_msg("got '%.*s', expected '%s'", SL_FMT(s), expected);
}

static int last_chunk(void *ctx, const struct sl_eventstream_message *frame) {
    sl_buf_clear(ctx);
    return sl_frame_chunk(frame, ctx);
}

static void tokens_move_between_headers_and_the_last_chunk(void **state) {
    (void)state;
    struct sl_header items[] = {
        {SL_LIT("content-type"), SL_LIT("application/json")},
        {SL_LIT("x-amzn-RequestId"), SL_LIT("r1")},
        {SL_LIT("x-amzn-bedrock-input-token-count"), SL_LIT("3")},
        {SL_LIT("x-amzn-bedrock-output-token-count"), SL_LIT("5")},
        {SL_LIT("x-amzn-bedrock-invocation-latency"), SL_LIT("77")},
    };
    struct sl_response_head head = {.status = 200, .headers = {items, 5, 5}};
    struct answer stream, back;
    struct sl_frames frames;
    struct sl_buf last;
    sl_buf_init(&last, 4096);
    sl_frames_init(&frames);
    assert_int_equal(encode(&stream, SL_OP_INVOKE_MODEL, SL_OP_INVOKE_MODEL_STREAM, LLAMA, &head,
                            sl_slice_str(round_trips[3].document), SIZE_MAX),
                     SL_OK);
    assert_slice(header(&stream, "content-type"), "application/vnd.amazon.eventstream");
    assert_slice(header(&stream, "x-amzn-bedrock-content-type"), "application/json");
    assert_slice(header(&stream, "x-amzn-requestid"), "r1");
    assert_slice(header(&stream, "x-amzn-bedrock-input-token-count"), "");
    assert_int_equal(sl_frames_feed(&frames, sl_buf_slice(&stream.body), last_chunk, &last), SL_OK);
    assert_same_meaning(
        sl_buf_slice(&last),
        SL_LIT("{\"generation\":\"\",\"prompt_token_count\":null,\"generation_token_count\":5,"
               "\"stop_reason\":\"length\",\"amazon-bedrock-invocationMetrics\":{"
               "\"inputTokenCount\":3,\"outputTokenCount\":5,\"invocationLatency\":77}}"));
    assert_int_equal(encode(&back, SL_OP_INVOKE_MODEL_STREAM, SL_OP_INVOKE_MODEL, LLAMA,
                            &stream.head, sl_buf_slice(&stream.body), SIZE_MAX),
                     SL_OK);
    assert_slice(header(&back, "content-type"), "application/json");
    assert_slice(header(&back, "x-amzn-bedrock-input-token-count"), "3");
    assert_slice(header(&back, "x-amzn-bedrock-output-token-count"), "5");
    sl_frames_done(&frames);
    sl_buf_done(&last);
    answer_done(&stream);
    answer_done(&back);
}

static void a_stream_that_broke_is_no_document(void **state) {
    (void)state;
    struct answer frames, back;
    for (size_t i = 0; i < sizeof(round_trips) / sizeof(round_trips[0]); i++) {
        enum sl_operation op = round_trips[i].operation;
        assert_int_equal(encode(&frames, op, streamed(op), round_trips[i].model, NULL,
                                sl_slice_str(round_trips[i].document), SIZE_MAX),
                         SL_OK);
        struct sl_slice cut = sl_slice_head(sl_buf_slice(&frames.body), frames.body.len / 2);
        assert_int_equal(encode(&back, streamed(op), op, round_trips[i].model, NULL, cut, SIZE_MAX),
                         SL_E_PROTOCOL);
        answer_done(&back);
        frames.body.len = 0;
        assert_int_equal(
            sl_eventstream_exception(&frames.body, SL_LIT("throttlingException"), SL_LIT("no")),
            SL_OK);
        assert_int_equal(encode(&back, streamed(op), op, round_trips[i].model, NULL,
                                sl_buf_slice(&frames.body), SIZE_MAX),
                         SL_E_PROTOCOL);
        answer_done(&frames);
        answer_done(&back);
    }
}

static void what_needs_no_change_has_no_encoder(void **state) {
    (void)state;
    static const struct {
        enum sl_operation from, to;
        const char *model;
        int rc;
    } cases[] = {
        {SL_OP_CONVERSE, SL_OP_CONVERSE, "m", SL_OK},
        {SL_OP_COUNT_TOKENS, SL_OP_COUNT_TOKENS, "m", SL_OK},
        {SL_OP_INVOKE_MODEL, SL_OP_INVOKE_MODEL_STREAM, "amazon.titan-text-express-v1",
         SL_E_NOTFOUND},
        {SL_OP_INVOKE_MODEL, SL_OP_CONVERSE, CLAUDE, SL_E_NOTFOUND},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_ask ask = {.operation = cases[i].to};
        struct sl_source source = {cases[i].from, SL_FRAMING_WHOLE, sl_slice_str(cases[i].model),
                                   NULL};
        struct sl_encoder *e = NULL;
        assert_int_equal(sl_dialect_bedrock.encoder(&ask, &source, NULL, &e), cases[i].rc);
        assert_null(e);
    }
    assert_true(sl_bedrock_convertible(SL_OP_CONVERSE, SL_LIT("any")));
    assert_true(sl_bedrock_convertible(SL_OP_INVOKE_MODEL_STREAM, SL_LIT(CLAUDE)));
    assert_false(
        sl_bedrock_convertible(SL_OP_INVOKE_MODEL, SL_LIT("amazon.titan-embed-text-v2:0")));
    assert_false(sl_bedrock_convertible(SL_OP_COUNT_TOKENS, SL_LIT(CLAUDE)));
}

static void memory_that_runs_out_fails_the_answer(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(round_trips) / sizeof(round_trips[0]); i++) {
        enum sl_operation op = round_trips[i].operation;
        int rc = SL_E_NOMEM;
        for (uint64_t n = 1; rc == SL_E_NOMEM; n++) {
            struct answer frames, back;
            sl_mem_fail_after(n);
            rc = encode(&frames, op, streamed(op), round_trips[i].model, NULL,
                        sl_slice_str(round_trips[i].document), SIZE_MAX);
            if (!rc) {
                rc = encode(&back, streamed(op), op, round_trips[i].model, NULL,
                            sl_buf_slice(&frames.body), SIZE_MAX);
                answer_done(&back);
            }
            sl_mem_fail_after(0);
            answer_done(&frames);
            assert_true(n < 5000);
        }
        assert_int_equal(rc, SL_OK);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_document_comes_back_from_frames),
        cmocka_unit_test(frames_come_in_bedrocks_order),
        cmocka_unit_test(tokens_move_between_headers_and_the_last_chunk),
        cmocka_unit_test(a_stream_that_broke_is_no_document),
        cmocka_unit_test(what_needs_no_change_has_no_encoder),
        cmocka_unit_test(memory_that_runs_out_fails_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
