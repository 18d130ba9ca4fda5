/*
 * Readers of answers: each body is told as lines, one an event, and must read the same in pieces of
 * one byte as in one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dialect/frames.h"
#include "sluice/base/mem.h"
#include "sluice/dialect/reply.h"

static const char *const kinds[] = {
    [SL_REPLY_START] = "START",         [SL_REPLY_BLOCK] = "BLOCK",
    [SL_REPLY_TEXT] = "TEXT",           [SL_REPLY_REASONING] = "REASONING",
    [SL_REPLY_SIGNATURE] = "SIGNATURE", [SL_REPLY_REDACTED] = "REDACTED",
    [SL_REPLY_TOOL_INPUT] = "INPUT",    [SL_REPLY_OTHER] = "OTHER",
    [SL_REPLY_BLOCK_END] = "END",       [SL_REPLY_STOP] = "STOP",
    [SL_REPLY_USAGE] = "USAGE",         [SL_REPLY_EXCEPTION] = "EXCEPTION",
};
static const char *const blocks[] = {"text", "reasoning", "tool", "other"};

static int tell(void *ctx, const struct sl_reply_event *e) {
    struct sl_buf *out = ctx;
    int err = sl_buf_printf(out, "%s", kinds[e->kind]);
    switch (e->kind) {
    case SL_REPLY_BLOCK:
        err |= sl_buf_printf(out, " %u %s", e->index, blocks[e->block]);
        if (e->block == SL_BLOCK_TOOL)
            err |= sl_buf_printf(out, " %.*s %.*s", SL_FMT(e->tool_id), SL_FMT(e->tool_name));
        break;
    case SL_REPLY_BLOCK_END:
        err |= sl_buf_printf(out, " %u", e->index);
        break;
    case SL_REPLY_STOP:
        err |= sl_buf_printf(out, " %.*s", SL_FMT(e->stop_reason));
        if (e->stop_sequence.len)
            err |= sl_buf_printf(out, " '%.*s'", SL_FMT(e->stop_sequence));
        break;
    case SL_REPLY_USAGE:
        err |= sl_buf_printf(out, " %d %d", (int)e->usage.input, (int)e->usage.output);
        break;
    case SL_REPLY_EXCEPTION:
        err |= sl_buf_printf(out, " %d", (int)e->failure);
        break;
    default:
        break;
    }
    if (e->text.len)
        err |= sl_buf_printf(out, " %.*s", SL_FMT(e->text));
    if (e->raw.len && e->kind != SL_REPLY_BLOCK)
        err |= sl_buf_printf(out, " %.*s", SL_FMT(e->raw));
    err |= sl_buf_add_byte(out, '\n');
    return err ? SL_E_NOMEM : SL_OK;
}

static int read_body(const struct sl_source *source, struct sl_slice body, size_t step,
                     struct sl_buf *out) {
    bool supported = false;
    struct sl_reply_reader *r = sl_reply_reader_new(source, tell, out, &supported);
    int err = r ? SL_OK : SL_E_NOMEM;
    while (!err && body.len > 0) {
        err = sl_reply_reader_feed(r, sl_slice_head(body, step));
        body = sl_slice_skip(body, step);
    }
    if (!err)
        err = sl_reply_reader_finish(r);
    sl_reply_reader_free(r);
    return err;
}

static void check(enum sl_operation op, const char *model, struct sl_slice body,
                  const struct sl_response_head *head, int rc, const char *expected) {
    static const size_t steps[] = {1, 7, SIZE_MAX};
    bool framed = op == SL_OP_CONVERSE_STREAM || op == SL_OP_INVOKE_MODEL_STREAM;
    struct sl_source source = {op, framed ? SL_FRAMING_EVENTSTREAM : SL_FRAMING_WHOLE,
                               sl_slice_str(model), head};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct sl_buf told;
        sl_buf_init(&told, 1 << 16);
        assert_int_equal(read_body(&source, body, steps[i], &told), rc);
        assert_int_equal(sl_buf_terminate(&told), SL_OK);
        assert_string_equal(told.ptr, expected);
        sl_buf_done(&told);
    }
}

static void check_document(const char *model, enum sl_operation op, const char *body,
                           const char *expected) {
    check(op, model, sl_slice_str(body), NULL, SL_OK, expected);
}

struct frame {
    const char *type, *payload;
};

/* Frames with a NULL type end the list; "chunk" wraps the payload, "!name" is an exception. */
static void build(struct sl_buf *out, const struct frame *frames) {
    sl_buf_init(out, 1 << 20);
    for (; frames->type; frames++) {
        struct sl_slice payload = sl_slice_str(frames->payload);
        if (frames->type[0] == '!')
            assert_int_equal(sl_eventstream_exception(out, sl_slice_str(frames->type + 1), payload),
                             SL_OK);
        else if (strcmp(frames->type, "chunk") == 0)
            assert_int_equal(sl_frame_put_chunk(out, payload), SL_OK);
        else
            assert_int_equal(sl_frame_put(out, frames->type, payload), SL_OK);
    }
}

static void check_stream(const char *model, enum sl_operation op, const struct frame *frames,
                         int rc, const char *expected) {
    struct sl_buf body;
    build(&body, frames);
    check(op, model, sl_buf_slice(&body), NULL, rc, expected);
    sl_buf_done(&body);
}

static void a_converse_document_is_told_block_by_block(void **state) {
    (void)state;
    check_document(
        "amazon.nova-pro-v1:0", SL_OP_CONVERSE,
        "{\"metrics\":{\"latencyMs\":12},\"output\":{\"message\":{\"content\":["
        "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"hm\",\"signature\":\"c2ln\"}}},"
        "{\"reasoningContent\":{\"redactedContent\":\"AAEC\"}},"
        "{\"text\":\"Hi \\u00e9\\n\"},"
        "{\"toolUse\":{\"toolUseId\":\"t1\",\"name\":\"f\",\"input\":{\"n\" : "
        "12345678901234567890, \"z\":\"\\u0000\"}}},"
        "{\"citationsContent\":{\"content\":[{\"text\":\"so\"}],\"citations\":[{\"title\":\"x\"}]}}"
        ","
        "{\"novel\":{\"a\":1}}],\"role\":\"assistant\"}},"
        "\"stopReason\":\"tool_use\",\"additionalModelResponseFields\":{\"stop_sequence\":\"##\"},"
        "\"usage\":{\"inputTokens\":3,\"outputTokens\":5,\"totalTokens\":8}} ",
        "START {\"role\":\"assistant\"}\n"
        "BLOCK 0 reasoning\nREASONING hm\nSIGNATURE c2ln\nEND 0\n"
        "BLOCK 1 reasoning\nREDACTED AAEC\nEND 1\n"
        "BLOCK 2 text\nTEXT Hi \xc3\xa9\n\nEND 2\n"
        "BLOCK 3 tool t1 f\nINPUT {\"n\" : 12345678901234567890, \"z\":\"\\u0000\"}\nEND 3\n"
        "BLOCK 4 text\nTEXT so\nOTHER {\"citation\":{\"title\":\"x\"}}\nEND 4\n"
        "BLOCK 5 other\nOTHER {\"novel\":{\"a\":1}}\nEND 5\n"
        "STOP tool_use '##' {\"stop_sequence\":\"##\"}\n"
        "USAGE 3 5 {\"metrics\":{\"latencyMs\":12},\"usage\":{\"inputTokens\":3,"
        "\"outputTokens\":5,\"totalTokens\":8}}\n");
}

static void converse_frames_are_told_with_dense_blocks(void **state) {
    (void)state;
    static const struct frame frames[] = {
        {"messageStart", "{\"p\":\"abc\",\"role\":\"assistant\"}"},
        {"contentBlockStart", "{\"contentBlockIndex\":0,\"start\":{},\"p\":\"ab\"}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hel\"}}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"lo\"}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":0}"},
        {"contentBlockStart", "{\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"toolUseId\":"
                              "\"t\",\"name\":\"f\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{\\\"a\\\":\"}}}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"\\\"\\\\u0000\\\"}\"}}}"},
        {"contentBlockStop", "{\"contentBlockIndex\":2}"},
        {"novelty", "{\"a\":1}"},
        {"contentBlockDelta",
         "{\"contentBlockIndex\":3,\"delta\":{\"reasoningContent\":{\"text\":\"hm\"}}}"},
        {"contentBlockDelta", "{\"contentBlockIndex\":4,\"delta\":{\"image\":{\"x\":1}}}"},
        {"messageStop", "{\"stopReason\":\"tool_use\"}"},
        {"metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":5},\"p\":\"a\",\"x\":[1]}"},
        {NULL, NULL},
    };
    check_stream("m", SL_OP_CONVERSE_STREAM, frames, SL_OK,
                 "START {\"role\":\"assistant\"}\n"
                 "BLOCK 0 text\nTEXT Hel\nTEXT lo\nEND 0\n"
                 "BLOCK 1 tool t f\nINPUT {\"a\":\nINPUT \"\\u0000\"}\nEND 1\n"
                 "BLOCK 2 reasoning\nREASONING hm\nEND 2\n"
                 "BLOCK 3 other\nOTHER {\"image\":{\"x\":1}}\nEND 3\n"
                 "STOP tool_use\n"
                 "USAGE 3 5 {\"usage\":{\"inputTokens\":3,\"outputTokens\":5},\"x\":[1]}\n");
}

static void an_exception_midway_is_an_event(void **state) {
    (void)state;
    static const struct frame frames[] = {
        {"contentBlockDelta", "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"a\"}}"},
        {"!throttlingException", "Too many requests"},
        {"messageStop", "{\"stopReason\":\"end_turn\"}"},
        {NULL, NULL},
    };
    char expected[256];
    struct sl_buf out;
    sl_buf_init(&out, sizeof(expected));
    assert_int_equal(sl_buf_printf(&out,
                                   "START {\"role\":\"assistant\"}\nBLOCK 0 text\nTEXT a\n"
                                   "EXCEPTION %d Too many requests\n",
                                   SL_FAILURE_THROTTLED),
                     SL_OK);
    assert_int_equal(sl_buf_terminate(&out), SL_OK);
    check_stream("m", SL_OP_CONVERSE_STREAM, frames, SL_OK, out.ptr);
    sl_buf_done(&out);
}

static const char claude_document[] =
    "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\","
    "\"content\":[{\"type\":\"thinking\",\"thinking\":\"hm\",\"signature\":\"s\"},"
    "{\"type\":\"redacted_thinking\",\"data\":\"AA\"},{\"type\":\"text\",\"text\":\"Hi\"},"
    "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"n\":1e400}},"
    "{\"type\":\"server_tool_use\",\"id\":\"u\"}],\"stop_reason\":\"tool_use\","
    "\"stop_sequence\":null,\"usage\":{\"input_tokens\":3,\"output_tokens\":5}}";

static void claude_documents_and_events_tell_the_same(void **state) {
    (void)state;
    static const struct frame frames[] = {
        {"chunk", "{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{"
                  "\"input_tokens\":3,\"output_tokens\":1}}}"},
        {"chunk", "{\"type\":\"ping\"}"},
        {"chunk", "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
                  "\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}"},
        {"chunk", "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                  "\"thinking_delta\",\"thinking\":\"hm\"}}"},
        {"chunk", "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
                  "\"signature_delta\",\"signature\":\"s\"}}"},
        {"chunk", "{\"type\":\"content_block_stop\",\"index\":0}"},
        {"chunk", "{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":"
                  "\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}"},
        {"chunk", "{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":"
                  "\"input_json_delta\",\"partial_json\":\"{\\\"n\\\":1e400}\"}}"},
        {"chunk", "{\"type\":\"content_block_stop\",\"index\":1}"},
        {"chunk", "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"stop_sequence\","
                  "\"stop_sequence\":\"##\"},\"usage\":{\"output_tokens\":5}}"},
        {"chunk", "{\"type\":\"message_stop\",\"amazon-bedrock-invocationMetrics\":{"
                  "\"inputTokenCount\":3,\"outputTokenCount\":5}}"},
        {NULL, NULL},
    };
    const char *const model = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
    char *start = NULL;
    struct sl_buf expected;
    sl_buf_init(&expected, 4096);
    assert_int_equal(
        sl_buf_printf(&expected,
                      "START %s\nBLOCK 0 reasoning\nREASONING hm\nSIGNATURE s\nEND 0\n"
                      "BLOCK 1 reasoning\nREDACTED AA\nEND 1\nBLOCK 2 text\nTEXT Hi\nEND 2\n"
                      "BLOCK 3 tool t f\nINPUT {\"n\":1e400}\nEND 3\n"
                      "BLOCK 4 other\nOTHER {\"type\":\"server_tool_use\",\"id\":\"u\"}\nEND 4\n"
                      "STOP tool_use\nUSAGE 3 5\n",
                      claude_document),
        SL_OK);
    assert_int_equal(sl_buf_terminate(&expected), SL_OK);
    start = expected.ptr;
    check_document(model, SL_OP_INVOKE_MODEL, claude_document, start);
    sl_buf_done(&expected);
    check_stream(model, SL_OP_INVOKE_MODEL_STREAM, frames, SL_OK,
                 "START {\"id\":\"msg_1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}\n"
                 "BLOCK 0 reasoning\nREASONING hm\nSIGNATURE s\nEND 0\n"
                 "BLOCK 1 tool t f\nINPUT {\"n\":1e400}\nEND 1\n"
                 "STOP stop_sequence '##'\nUSAGE 3 5\n");
}

static const struct {
    const char *model, *body, *stop;
    int input, output;
} plain[] = {
    {"meta.llama3-8b-instruct-v1:0",
     "{\"generation\":\"Hi\",\"prompt_token_count\":3,\"generation_token_count\":5,"
     "\"stop_reason\":\"length\"}",
     "max_tokens", 3, 5},
    {"amazon.titan-text-express-v1",
     "{\"inputTextTokenCount\":3,\"results\":[{\"tokenCount\":5,\"outputText\":\"Hi\","
     "\"completionReason\":\"FINISH\"}]}",
     "end_turn", 3, 5},
    {"mistral.mistral-7b-instruct-v0:2",
     "{\"outputs\":[{\"text\":\"Hi\",\"stop_reason\":\"stop\"}]}", "end_turn", -1, -1},
    {"cohere.command-text-v14",
     "{\"generations\":[{\"text\":\"Hi\",\"finish_reason\":\"MAX_TOKENS\"}]}", "max_tokens", -1,
     -1},
    {"cohere.command-r-v1:0", "{\"text\":\"Hi\",\"finish_reason\":\"COMPLETE\"}", "end_turn", -1,
     -1},
    {"deepseek.r1-v1:0", "{\"choices\":[{\"text\":\"Hi\",\"stop_reason\":\"length\"}]}",
     "max_tokens", -1, -1},
};

static void each_familys_text_is_found(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        struct sl_buf expected;
        sl_buf_init(&expected, 4096);
        assert_int_equal(sl_buf_printf(&expected,
                                       "START {\"role\":\"assistant\"}\nBLOCK 0 text\nTEXT Hi\n"
                                       "END 0\nSTOP %s\nUSAGE %d %d\n",
                                       plain[i].stop, plain[i].input, plain[i].output),
                         SL_OK);
        assert_int_equal(sl_buf_terminate(&expected), SL_OK);
        check_document(plain[i].model, SL_OP_INVOKE_MODEL, plain[i].body, expected.ptr);
        sl_buf_done(&expected);
    }
}

static void llama_streams_end_with_their_metrics(void **state) {
    (void)state;
    static const struct frame frames[] = {
        {"chunk", "{\"generation\":\"Hi\",\"prompt_token_count\":3,\"generation_token_count\":1,"
                  "\"stop_reason\":null}"},
        {"chunk", "{\"generation\":\"!\",\"prompt_token_count\":null,\"generation_token_count\":2,"
                  "\"stop_reason\":null}"},
        {"chunk", "{\"generation\":\"\",\"prompt_token_count\":null,\"generation_token_count\":2,"
                  "\"stop_reason\":\"stop\",\"amazon-bedrock-invocationMetrics\":{"
                  "\"inputTokenCount\":3,\"outputTokenCount\":2}}"},
        {NULL, NULL},
    };
    check_stream("meta.llama3-8b-instruct-v1:0", SL_OP_INVOKE_MODEL_STREAM, frames, SL_OK,
                 "START {\"role\":\"assistant\"}\nBLOCK 0 text\nTEXT Hi\nTEXT !\nEND 0\n"
                 "STOP end_turn\nUSAGE 3 2\n");
}

static void nova_speaks_converse_inside_chunks(void **state) {
    (void)state;
    static const struct frame frames[] = {
        {"chunk", "{\"messageStart\":{\"role\":\"assistant\"}}"},
        {"chunk", "{\"contentBlockDelta\":{\"delta\":{\"text\":\"Hi\"},\"contentBlockIndex\":0}}"},
        {"chunk", "{\"contentBlockStop\":{\"contentBlockIndex\":0}}"},
        {"chunk", "{\"messageStop\":{\"stopReason\":\"end_turn\"}}"},
        {"chunk", "{\"metadata\":{\"usage\":{\"inputTokens\":3,\"outputTokens\":5}},"
                  "\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":3}}"},
        {NULL, NULL},
    };
    check_stream("amazon.nova-lite-v1:0", SL_OP_INVOKE_MODEL_STREAM, frames, SL_OK,
                 "START {\"role\":\"assistant\"}\nBLOCK 0 text\nTEXT Hi\nEND 0\nSTOP end_turn\n"
                 "USAGE 3 5 {\"usage\":{\"inputTokens\":3,\"outputTokens\":5}}\n");
}

static void usage_may_stand_in_headers(void **state) {
    (void)state;
    struct sl_header items[] = {
        {SL_LIT("x-amzn-bedrock-input-token-count"), SL_LIT("3")},
        {SL_LIT("x-amzn-bedrock-output-token-count"), SL_LIT("5")},
    };
    struct sl_response_head head = {.status = 200, .headers = {items, 2, 2}};
    check(SL_OP_INVOKE_MODEL, plain[2].model, sl_slice_str(plain[2].body), &head, SL_OK,
          "START {\"role\":\"assistant\"}\nBLOCK 0 text\nTEXT Hi\nEND 0\nSTOP end_turn\n"
          "USAGE 3 5\n");
}

static void what_is_not_complete_is_told_so(void **state) {
    (void)state;
    static const struct frame cut[] = {{"messageStart", "{\"role\":\"assistant\"}"}, {NULL, NULL}};
    check_stream("m", SL_OP_CONVERSE_STREAM, cut, SL_E_PROTOCOL,
                 "START {\"role\":\"assistant\"}\n");
    check(SL_OP_CONVERSE, "m", SL_LIT("{\"output\":{"), NULL, SL_E_PROTOCOL, "");
    check(SL_OP_CONVERSE, "m", SL_LIT("{\"output\":}"), NULL, SL_E_PROTOCOL, "");
    check(SL_OP_CONVERSE, "m", SL_LIT("{}"), NULL, SL_E_PROTOCOL, "");
    check(SL_OP_CONVERSE_STREAM, "m", SL_LIT("HTTP/1.1 200 OK, not frames"), NULL, SL_E_PROTOCOL,
          "");
}

static void other_operations_have_no_reader(void **state) {
    (void)state;
    bool supported = true;
    struct sl_source source = {SL_OP_CHAT_COMPLETIONS, SL_FRAMING_WHOLE, SL_LIT("m"), NULL};
    assert_null(sl_reply_reader_new(&source, tell, NULL, &supported));
    assert_false(supported);
    source = (struct sl_source){SL_OP_INVOKE_MODEL, SL_FRAMING_WHOLE,
                                SL_LIT("amazon.titan-embed-text-v2:0"), NULL};
    assert_null(sl_reply_reader_new(&source, tell, NULL, &supported));
    assert_false(supported);
}

static void memory_that_runs_out_fails_the_reading(void **state) {
    (void)state;
    static const struct sl_source source = {SL_OP_INVOKE_MODEL, SL_FRAMING_WHOLE,
                                            SL_LIT("anthropic.claude-x"), NULL};
    int rc = SL_E_NOMEM;
    for (uint64_t i = 1; rc == SL_E_NOMEM; i++) {
        struct sl_buf told;
        sl_buf_init(&told, 1 << 16);
        sl_mem_fail_after(i);
        rc = read_body(&source, sl_slice_str(claude_document), SIZE_MAX, &told);
        sl_mem_fail_after(0);
        sl_buf_done(&told);
        assert_true(i < 1000);
    }
    assert_int_equal(rc, SL_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_converse_document_is_told_block_by_block),
        cmocka_unit_test(converse_frames_are_told_with_dense_blocks),
        cmocka_unit_test(an_exception_midway_is_an_event),
        cmocka_unit_test(claude_documents_and_events_tell_the_same),
        cmocka_unit_test(each_familys_text_is_found),
        cmocka_unit_test(llama_streams_end_with_their_metrics),
        cmocka_unit_test(nova_speaks_converse_inside_chunks),
        cmocka_unit_test(usage_may_stand_in_headers),
        cmocka_unit_test(what_is_not_complete_is_told_so),
        cmocka_unit_test(other_operations_have_no_reader),
        cmocka_unit_test(memory_that_runs_out_fails_the_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
