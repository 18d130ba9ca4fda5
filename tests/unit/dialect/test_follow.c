/* Following bodies: whole frames, first-frame failures, truncation, usage; at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "dialect/frames.h"
#include "sluice/dialect/follow.h"

static struct sl_headers headers_of(struct sl_header *item, const char *type) {
    *item = (struct sl_header){SL_LIT("Content-Type"), sl_slice_str(type)};
    return (struct sl_headers){item, 1, 1};
}

static void add_event(struct sl_buf *out, const char *kind, const char *type, const char *payload) {
    bool event = strcmp(kind, "event") == 0;
    struct sl_eventstream_pair pairs[] = {
        {SL_LIT(":message-type"), sl_slice_str(kind)},
        {event ? SL_LIT(":event-type") : SL_LIT(":exception-type"), sl_slice_str(type)}};
    assert_int_equal(sl_eventstream_encode(out, pairs, 2, sl_slice_str(payload)), SL_OK);
}

/* Feeds in pieces of `step`; returns the first error, or what finish says. */
static int follow(struct sl_follow *f, enum sl_operation op, const char *type, struct sl_slice body,
                  size_t step) {
    struct sl_header item;
    struct sl_headers headers = headers_of(&item, type);
    int err = sl_follow_init(f, op, 200, &headers);
    uint64_t last = 0;
    while (!err && body.len > 0) {
        err = sl_follow_feed(f, sl_slice_head(body, step));
        body = sl_slice_skip(body, step);
        assert_true(f->whole >= last && f->whole <= f->seen);
        last = f->whole;
    }
    return err ? err : sl_follow_finish(f);
}

#define EVENTSTREAM "application/vnd.amazon.eventstream"

static void converse_streams_are_read_at_every_split(void **state) {
    (void)state;
    struct sl_buf body;
    struct sl_follow f;
    sl_buf_init(&body, 65536);
    add_event(&body, "event", "messageStart", "{\"role\":\"assistant\"}");
    add_event(&body, "event", "contentBlockDelta", "{\"delta\":{\"text\":\"hi\"}}");
    add_event(&body, "event", "messageStop", "{\"stopReason\":\"end_turn\"}");
    add_event(&body, "event", "metadata",
              "{\"usage\":{\"inputTokens\":12,\"outputTokens\":3,\"cacheReadInputTokens\":4}}");
    for (size_t step = 1; step <= body.len; step++) {
        assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), step),
                         0);
        assert_true(f.begun);
        assert_int_equal(f.whole, body.len);
        assert_int_equal(f.usage.input, 12);
        assert_int_equal(f.usage.output, 3);
        assert_int_equal(f.usage.cache_read, 4);
        assert_int_equal(f.usage.cache_write, -1);
        sl_follow_done(&f);
    }
    sl_buf_done(&body);
}

static void a_stream_that_stops_short_is_no_success(void **state) {
    (void)state;
    struct sl_buf body;
    struct sl_follow f;
    sl_buf_init(&body, 65536);
    add_event(&body, "event", "messageStart", "{}");
    size_t frame = body.len;
    assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), 7),
                     SL_E_EOF);
    assert_int_equal(f.whole, frame);
    sl_follow_done(&f);
    struct sl_slice cut = sl_slice_head(sl_buf_slice(&body), frame - 1);
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, cut, 7), SL_E_EOF);
    assert_int_equal(f.whole, 0);
    sl_follow_done(&f);
    body.ptr[frame - 1] ^= 1;
    assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), 7),
                     SL_E_PROTOCOL);
    sl_follow_done(&f);
    sl_buf_done(&body);
}

/* Streams of models, and of each beginning of them whether it is cut ('x') or may be all ('.'). */
#define EVENTS_MAX 6
static const struct {
    const char *events[EVENTS_MAX];
    const char *ends; /* one letter for each event, for the stream that ends behind it */
} streams[] = {
    {{"{\"type\":\"message_start\",\"message\":{\"stop_reason\":null}}",
      "{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"message_stop\"}}",
      "{\"type\":\"ping\"}", "{\"type\":\"content_block_stop\"}",
      "{\"delta\":{\"stop_reason\":\"end_turn\"},\"type\":\"message_delta\"}",
      "{\"type\":\"message_stop\"}"},
     "xxxxx."},
    {{"{\"type\":\"message_start\"}", "{\"type\":\"error\",\"error\":{}}"}, "x."},
    {{"{\"messageStart\":{\"role\":\"assistant\"}}", "{\"contentBlockDelta\":{\"delta\":{}}}",
      "{\"contentBlockStop\":{}}", "{\"messageStop\":{\"stopReason\":\"end_turn\"}}",
      "{\"metadata\":{\"usage\":{}}}"},
     "xxx.."},
    {{"{\"generation\":\"a\",\"stop_reason\":null}",
      "{\"generation\":\"\",\"stop_reason\":\"stop\"}"},
     "x."},
    {{"{\"outputs\":[{\"text\":\"a\",\"stop_reason\":null}]}",
      "{\"outputs\":[{\"text\":\"\",\"stop_reason\":\"length\"}]}"},
     "x."},
    {{"{\"outputText\":\"a\",\"completionReason\":null}",
      "{\"outputText\":\"b\",\"completionReason\":\"FINISH\"}"},
     "x."},
    {{"{\"is_finished\":false,\"text\":\"a\"}",
      "{\"is_finished\":true,\"finish_reason\":\"COMPLETE\"}"},
     "x."},
    /* Two choices, then usage alone; a second reason that stays null. */
    {{"{\"choices\":[{\"delta\":{},\"finish_reason\":null,\"stop_reason\":null}]}",
      "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"stop_reason\":null}]}",
      "{\"choices\":[{\"index\":1,\"finish_reason\":null}]}",
      "{\"choices\":[{\"index\":1,\"finish_reason\":\"length\"}]}",
      "{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"},
     "x.x.."},
    {{"{\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\"}}",
      "{\"type\":\"response.function_call_arguments.delta\",\"delta\":\"\"}",
      "{\"type\":\"response.completed\",\"response\":{\"status\":\"completed\"}}"},
     "xx."},
    {{"{\"type\":\"response.created\"}", "{\"type\":\"response.incomplete\"}"}, "x."},
    {{"{\"type\":\"response.created\"}", "{\"type\":\"response.failed\"}"}, "x."},
    /* Of families that are not known, and of servers that leave out what Bedrock says. */
    {{"{\"generation\":\"a\"}", "{\"generation\":\"b\"}"}, ".."},
    {{"{\"type\":\"delta\",\"text\":\"a\"}", "{\"stop_reason\":\"\"}",
      "{\"x\":{\"messageStart\":{}}}"},
     "..."},
    {{"{\"a\":{\"b\":{\"c\":{\"stop_reason\":null}}}}", "{\"x\":{\"type\":\"message_start\"}}",
      "null", "x"},
     "...."},
};

static void what_a_stream_last_said_tells_whether_it_was_cut(void **state) {
    (void)state;
    struct sl_buf frames, events;
    sl_buf_init(&frames, 65536);
    sl_buf_init(&events, 65536);
    for (size_t i = 0; i < sizeof(streams) / sizeof(streams[0]); i++) {
        sl_buf_clear(&frames);
        sl_buf_clear(&events);
        for (size_t n = 0; n < EVENTS_MAX && streams[i].events[n]; n++) {
            int expected = streams[i].ends[n] == 'x' ? SL_E_EOF : SL_OK;
            struct sl_slice json = sl_slice_str(streams[i].events[n]);
            assert_int_equal(sl_frame_put_chunk(&frames, json), SL_OK);
            assert_int_equal(sl_sse_encode(&events, SL_EMPTY, json), SL_OK);
            for (size_t step = 1; step < 300; step += step < 20 ? 1 : 31) {
                struct sl_follow f;
                assert_int_equal(
                    follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&frames), step),
                    expected);
                assert_int_equal(f.whole, frames.len);
                sl_follow_done(&f);
                assert_int_equal(follow(&f, SL_OP_CHAT_COMPLETIONS, "text/event-stream",
                                        sl_buf_slice(&events), step),
                                 expected);
                assert_int_equal(f.whole, events.len);
                sl_follow_done(&f);
            }
        }
    }
    sl_buf_done(&frames);
    sl_buf_done(&events);
}

#define NOT_DONE "{\"generation\":\"a\",\"stop_reason\":null}"

/* A chunk with metrics is the last one whatever it says, and so is an exception. */
static void metrics_and_exceptions_end_a_stream(void **state) {
    (void)state;
    struct sl_buf body;
    struct sl_follow f;
    sl_buf_init(&body, 65536);
    assert_int_equal(sl_frame_put_chunk(&body, SL_LIT("{\"stop_reason\":null,"
                                                      "\"amazon-bedrock-invocationMetrics\":{}}")),
                     SL_OK);
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), 9), 0);
    sl_follow_done(&f);
    sl_buf_clear(&body);
    assert_int_equal(sl_frame_put_chunk(&body, SL_LIT(NOT_DONE)), SL_OK);
    add_event(&body, "exception", "modelStreamErrorException", "{\"message\":\"x\"}");
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), 9), 0);
    sl_follow_done(&f);
    sl_buf_done(&body);
}

/* What could not be read may have been the end. */
static void a_stream_that_was_not_read_to_its_end_is_not_called_cut(void **state) {
    (void)state;
    static char text[SL_FOLLOW_CAPTURE_MAX + 100];
    struct sl_buf body;
    struct sl_follow f;
    memset(text, ' ', sizeof(text) - 1);
    sl_buf_init(&body, 1 << 20);
    assert_int_equal(sl_frame_put_chunk(&body, SL_LIT(NOT_DONE)), SL_OK);
    add_event(&body, "event", "chunk", text);
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), 5000),
                     0);
    sl_follow_done(&f);
    add_event(&body, "event", "chunk", "{\"bytes\":\"no base64!\"}");
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), 5000),
                     0);
    sl_follow_done(&f);
    assert_int_equal(sl_frame_put_chunk(&body, SL_LIT(NOT_DONE)), SL_OK);
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), 5000),
                     SL_E_EOF);
    sl_follow_done(&f);
    sl_buf_clear(&body);
    assert_int_equal(
        sl_buf_printf(&body, "data: " NOT_DONE "\n\ndata: %s\n\ndata: " NOT_DONE "\n\n", text), 0);
    for (size_t step = 1000; step < body.len; step += 7777) {
        assert_int_equal(
            follow(&f, SL_OP_CHAT_COMPLETIONS, "text/event-stream", sl_buf_slice(&body), step), 0);
        assert_int_equal(f.whole, body.len);
        sl_follow_done(&f);
    }
    sl_buf_done(&body);
}

static void an_event_without_its_empty_line_may_be_the_end(void **state) {
    (void)state;
    static const struct {
        const char *body;
        int rc;
        size_t whole;
    } cases[] = {
        {"data: " NOT_DONE "\n\ndata: [DONE]", 0, 57},
        {"data: " NOT_DONE "\r\n\r\ndata: {\"stop_reason\":\"stop\"}\r\n", 0, 77},
        {"data: " NOT_DONE "\n\ndata: {\"stop_reason\":nu", SL_E_EOF, 45},
        {"data: " NOT_DONE "\n\ndata: {}\n", SL_E_EOF, 45},
        {"data: " NOT_DONE "\n", SL_E_EOF, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t step = 1; step < 90; step++) {
            struct sl_follow f;
            assert_int_equal(follow(&f, SL_OP_CHAT_COMPLETIONS, "text/event-stream",
                                    sl_slice_str(cases[i].body), step),
                             cases[i].rc);
            assert_int_equal(f.whole, cases[i].whole);
            sl_follow_done(&f);
        }
}

static void an_exception_is_told_first_or_later(void **state) {
    (void)state;
    struct sl_buf body;
    struct sl_follow f;
    sl_buf_init(&body, 65536);
    add_event(&body, "exception", "throttlingException", "{\"message\":\"Too many requests\"}");
    assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), 9), 0);
    assert_false(f.begun);
    assert_int_equal(f.failure, SL_FAILURE_THROTTLED);
    sl_follow_done(&f);
    sl_buf_clear(&body);
    add_event(&body, "event", "messageStart", "{}");
    add_event(&body, "exception", "modelStreamErrorException", "{\"message\":\"x\"}");
    assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), 9), 0);
    assert_true(f.begun);
    assert_int_equal(f.failure, SL_FAILURE_STREAM_ERROR);
    sl_follow_done(&f);
    sl_buf_done(&body);
}

static void what_is_no_failure_begins_a_stream(void **state) {
    (void)state;
    struct sl_buf body;
    struct sl_follow f;
    sl_buf_init(&body, 65536);
    add_event(&body, "notice", "x", "{}");
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), 9), 0);
    assert_true(f.begun);
    assert_int_equal(f.failure, SL_FAILURE_NONE);
    sl_follow_done(&f);

    /* A name that is not modelled passes as it is: nothing says that trying again would help. */
    sl_buf_clear(&body);
    add_event(&body, "exception", "newException", "{}");
    assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), 9), 0);
    assert_false(f.begun);
    assert_int_equal(f.failure, SL_FAILURE_STREAM_ERROR);
    sl_follow_done(&f);

    sl_buf_clear(&body);
    const struct sl_eventstream_pair error[] = {
        {SL_LIT(":message-type"), SL_LIT("error")},
        {SL_LIT(":error-code"), SL_LIT("InternalServerException")}};
    assert_int_equal(sl_eventstream_encode(&body, error, 2, SL_EMPTY), SL_OK);
    assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), 9), 0);
    assert_int_equal(f.failure, SL_FAILURE_INTERNAL);
    sl_follow_done(&f);
    sl_buf_done(&body);
}

static void media_types_have_no_case(void **state) {
    (void)state;
    static const struct {
        const char *type;
        enum sl_framing framing;
    } cases[] = {
        {"Application/VND.Amazon.EventStream", SL_FRAMING_EVENTSTREAM},
        {"Text/Event-Stream ; Charset=UTF-8", SL_FRAMING_SSE},
        {"text/event-streams", SL_FRAMING_WHOLE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_follow f;
        struct sl_header item;
        struct sl_headers headers = headers_of(&item, cases[i].type);
        assert_int_equal(sl_follow_init(&f, SL_OP_MESSAGES, 200, &headers), SL_OK);
        assert_int_equal(f.framing, cases[i].framing);
        sl_follow_done(&f);
    }
}

static void invoke_streams_carry_usage_in_the_last_chunk(void **state) {
    (void)state;
    /* {"outputText":"","amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":6}}
     */
    static const char last[] =
        "{\"bytes\":"
        "\"eyJvdXRwdXRUZXh0IjoiIiwiYW1hem9uLWJlZHJvY2staW52b2NhdGlvbk1ldHJpY3MiOnsiaW5wdXRUb2tl"
        "bkNvdW50Ijo1LCJvdXRwdXRUb2tlbkNvdW50Ijo2fX0=\",\"p\":\"abc\"}";
    struct sl_buf body;
    struct sl_follow f;
    sl_buf_init(&body, 65536);
    add_event(&body, "event", "chunk", "{\"bytes\":\"e30=\"}");
    add_event(&body, "event", "chunk", last);
    assert_int_equal(follow(&f, SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), 11),
                     0);
    assert_int_equal(f.usage.input, 5);
    assert_int_equal(f.usage.output, 6);
    sl_follow_done(&f);
    sl_buf_done(&body);
}

static void documents_and_events_of_each_api_carry_usage(void **state) {
    (void)state;
    static const struct {
        enum sl_operation op;
        const char *type, *body;
        int64_t input, output;
    } cases[] = {
        {SL_OP_CONVERSE, "application/json", "{\"usage\":{\"inputTokens\":1,\"outputTokens\":2}}",
         1, 2},
        {SL_OP_INVOKE_MODEL, "application/json",
         "{\"generation\":\"x\",\"prompt_token_count\":3,\"generation_token_count\":4}", 3, 4},
        {SL_OP_INVOKE_MODEL, "application/json",
         "{\"inputTextTokenCount\":5,\"results\":[{\"tokenCount\":6,\"outputText\":\"\"}]}", 5, 6},
        {SL_OP_INVOKE_MODEL, "application/json", "not json", -1, -1},
        {SL_OP_MESSAGES, "text/event-stream",
         "event: message_start\r\ndata: {\"message\":{\"usage\":{\"input_tokens\":7}}}\r\n\r\n"
         "data: {\"usage\":{\"output_tokens\":8}}\n\n",
         7, 8},
        {SL_OP_CHAT_COMPLETIONS, "text/event-stream; charset=utf-8",
         "data: {\"choices\":[]}\n\ndata: "
         "{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":10}}\n\n"
         "data: [DONE]\n\n",
         9, 10},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t step = 1; step < 40; step++) {
            struct sl_follow f;
            struct sl_slice body = sl_slice_str(cases[i].body);
            assert_int_equal(follow(&f, cases[i].op, cases[i].type, body, step), 0);
            assert_int_equal(f.usage.input, cases[i].input);
            assert_int_equal(f.usage.output, cases[i].output);
            assert_int_equal(f.whole, body.len);
            sl_follow_done(&f);
        }
}

static void events_are_whole_at_their_empty_line(void **state) {
    (void)state;
    static const struct {
        const char *body;
        size_t whole;
    } cases[] = {
        {"data: a\n\ndata: b", 9},
        {"data: a\r\n\r\ndata: b", 11},
        {"data: a\r\rdata: b", 9},
        {"data: a\n\ndata: b\n\n", 18},
        {"data: a\n", 0},
        {"data: a\r\n", 0},
        {"data: a\r\n\r\nevent: b\r\ndata: c\r\n", 11},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t step = 1; step < 20; step++) {
            struct sl_follow f;
            struct sl_header item;
            struct sl_headers headers = headers_of(&item, "text/event-stream");
            struct sl_slice rest = sl_slice_str(cases[i].body);
            assert_int_equal(sl_follow_init(&f, SL_OP_MESSAGES, 200, &headers), SL_OK);
            while (rest.len > 0) {
                assert_int_equal(sl_follow_feed(&f, sl_slice_head(rest, step)), SL_OK);
                rest = sl_slice_skip(rest, step);
            }
            assert_int_equal(f.whole, cases[i].whole);
            sl_follow_done(&f);
        }
}

/* {"bytes":"<base64>"} around a model's JSON. */
static void add_chunk(struct sl_buf *out, const char *json) {
    assert_int_equal(sl_frame_put_chunk(out, sl_slice_str(json)), SL_OK);
}

static void expect_storable(enum sl_operation op, const char *type, struct sl_slice body,
                            bool storable) {
    for (size_t step = 1; step <= body.len; step += step < 40 ? 1 : 37) {
        struct sl_follow f;
        bool ok = follow(&f, op, type, body, step) == SL_OK;
        if ((ok && f.storable) != storable)
            fail_msg("%.*s, step %zu: should %sbe storable", SL_FMT(body), step,
                     storable ? "" : "not ");
        assert_true(ok || !f.storable);
        sl_follow_done(&f);
    }
}

static void which_documents_are_for_others_too(void **state) {
    static const struct {
        enum sl_operation op;
        const char *body;
        bool storable;
    } cases[] = {
        {SL_OP_CONVERSE,
         "{\"output\":{\"message\":{\"content\":[{\"text\":\"refusal\"}]}},"
         "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":1,\"serverToolUsage\":{}}}",
         true},
        {SL_OP_CONVERSE, "{\"stopReason\":\"guardrail_intervened\"}", false},
        {SL_OP_CONVERSE, "{\"stopReason\":\"content_filtered\"}", false},
        {SL_OP_CONVERSE, "{\"stopReason\":\"malformed_tool_use\"}", false},
        {SL_OP_CONVERSE, "{\"stopReason\":\"malformed_model_output\"}", false},
        {SL_OP_CONVERSE, "{\"usage\":{\"serverToolUsage\":{\"webSearch\":0}}}", true},
        {SL_OP_CONVERSE, "{\"usage\":{\"serverToolUsage\":{\"webSearch\":10}}}", false},
        {SL_OP_CONVERSE,
         "{\"output\":{\"message\":{\"content\":[{\"toolUse\":{\"type\":\"server_tool_use\"}}]}}}",
         false},
        /* What a model says to a tool is not what the API says of the answer. */
        {SL_OP_CONVERSE,
         "{\"output\":{\"message\":{\"content\":[{\"toolUse\":{\"input\":{\"container\":\"x\","
         "\"error\":\"x\",\"stop_reason\":\"refusal\"}}}]}}}",
         true},
        {SL_OP_CONVERSE, "{\"stopReason\":\"end_turn\"", false},
        {SL_OP_CONVERSE, "not json", false},
        {SL_OP_INVOKE_MODEL, "{\"stop_reason\":\"end_turn\",\"container\":null}", true},
        {SL_OP_INVOKE_MODEL, "{\"stop_reason\":\"refusal\"}", false},
        {SL_OP_INVOKE_MODEL, "{\"stop_reason\":\"\\u0072efusal\"}", false},
        {SL_OP_INVOKE_MODEL, "{\"stop_reason\":\"refusals\"}", true},
        {SL_OP_INVOKE_MODEL, "{\"container\":{\"id\":\"c\"}}", false},
        {SL_OP_INVOKE_MODEL, "{\"content\":[{\"type\":\"server_tool_use\"},{\"type\":\"text\"}]}",
         false},
        {SL_OP_INVOKE_MODEL, "{\"content\":[{\"input\":{\"container\":\"x\"}}]}", true},
        {SL_OP_INVOKE_MODEL, "{\"amazon-bedrock-guardrailAction\":\"INTERVENED\"}", false},
        {SL_OP_INVOKE_MODEL, "{\"amazon-bedrock-guardrailAction\":\"NONE\"}", true},
        {SL_OP_INVOKE_MODEL, "{\"results\":[{\"completionReason\":\"CONTENT_FILTERED\"}]}", false},
        {SL_OP_INVOKE_MODEL, "{\"embedding\":[0.5,1]}", true},
        {SL_OP_MESSAGES, "{\"usage\":{\"server_tool_use\":{\"web_search_requests\":2}}}", false},
        {SL_OP_MESSAGES, "{\"usage\":{\"server_tool_use\":null}}", true},
        {SL_OP_CHAT_COMPLETIONS,
         "{\"choices\":[{\"finish_reason\":\"content_filter\"},{\"finish_reason\":\"stop\"}]}",
         false},
        {SL_OP_CHAT_COMPLETIONS,
         "{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"refusal\":null}}]}", true},
        {SL_OP_CHAT_COMPLETIONS, "{\"choices\":[{\"message\":{\"refusal\":\"no\"}}]}", false},
        {SL_OP_RESPONSES, "{\"status\":\"completed\",\"error\":null,\"store\":false}", true},
        {SL_OP_RESPONSES, "{\"status\":\"completed\",\"store\":true}", false},
        {SL_OP_RESPONSES, "{\"previous_response_id\":\"resp_1\"}", false},
        {SL_OP_RESPONSES, "{\"status\":\"failed\"}", false},
        {SL_OP_RESPONSES, "{\"incomplete_details\":{\"reason\":\"content_filter\"}}", false},
        {SL_OP_COUNT_TOKENS, "{\"inputTokens\":5}", true},
        {SL_OP_GET_ASYNC_INVOKE, "{\"status\":\"InProgress\"}", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_storable(cases[i].op, "application/json", sl_slice_str(cases[i].body),
                        cases[i].storable);
    struct sl_follow f;
    struct sl_header item;
    struct sl_headers headers = headers_of(&item, "application/json");
    assert_int_equal(sl_follow_init(&f, SL_OP_CONVERSE, 400, &headers), SL_OK);
    assert_int_equal(sl_follow_feed(&f, SL_LIT("{}")), SL_OK);
    assert_int_equal(sl_follow_finish(&f), SL_OK);
    assert_false(f.storable);
    sl_follow_done(&f);
}

static void converse_stream(struct sl_buf *body, const char *start, const char *stop,
                            const char *metadata) {
    sl_buf_clear(body);
    add_event(body, "event", "messageStart", "{\"role\":\"assistant\"}");
    add_event(body, "event", "contentBlockStart", start);
    add_event(body, "event", "contentBlockDelta", "{\"delta\":{\"text\":\"hi\"}}");
    add_event(body, "event", "messageStop", stop);
    add_event(body, "event", "metadata", metadata);
}

#define METRICS "\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":5}"

static void which_frames_are_for_others_too(void **state) {
    static const char *const tool = "{\"start\":{\"toolUse\":{\"toolUseId\":\"t\"}}}";
    static const char *const stop = "{\"stopReason\":\"end_turn\"}";
    struct sl_buf body;
    (void)state;
    sl_buf_init(&body, 1 << 20);
    converse_stream(&body, tool, stop, "{\"usage\":{}}");
    expect_storable(SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), true);
    struct sl_slice cut = sl_slice_head(sl_buf_slice(&body), body.len - 1);
    expect_storable(SL_OP_CONVERSE_STREAM, EVENTSTREAM, cut, false);
    converse_stream(&body, "{\"start\":{\"toolUse\":{\"type\":\"server_tool_use\"}}}", stop, "{}");
    expect_storable(SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), false);
    converse_stream(&body, tool, "{\"stopReason\":\"content_filtered\"}", "{}");
    expect_storable(SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), false);
    converse_stream(&body, tool, stop, "{\"usage\":{\"serverToolUsage\":{\"x\":1}}}");
    expect_storable(SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), false);
    converse_stream(&body, tool, stop, "{}");
    add_event(&body, "exception", "modelStreamErrorException", "{\"message\":\"x\"}");
    expect_storable(SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), false);

    /* Only the last chunk has metrics: without them the answer may have been cut off. */
    static const struct {
        const char *first, *last;
        bool storable;
    } chunks[] = {
        {"{\"generation\":\"hi\"}", "{\"stop_reason\":\"stop\"," METRICS "}", true},
        {"{\"generation\":\"hi\"}", "{\"stop_reason\":\"stop\"}", false},
        {"{\"delta\":{\"stop_reason\":\"refusal\"}}", "{" METRICS "}", false},
        {"{\"content_block\":{\"type\":\"server_tool_use\"}}", "{" METRICS "}", false},
        {"{\"message\":{\"container\":{\"id\":\"c\"}}}", "{" METRICS "}", false},
        {"{\"amazon-bedrock-guardrailAction\":\"INTERVENED\"}", "{" METRICS "}", false},
        {"{\"generation\":\"hi\"}",
         "{\"amazon-bedrock-guardrailAction\":\"INTERVENED\"," METRICS "}", false},
    };
    for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++) {
        sl_buf_clear(&body);
        add_chunk(&body, chunks[i].first);
        add_chunk(&body, chunks[i].last);
        expect_storable(SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body),
                        chunks[i].storable);
    }
    sl_buf_clear(&body);
    add_event(&body, "event", "chunk", "{\"bytes\":\"no base64!\"}");
    add_chunk(&body, "{" METRICS "}");
    expect_storable(SL_OP_INVOKE_MODEL_STREAM, EVENTSTREAM, sl_buf_slice(&body), false);
    sl_buf_done(&body);
}

static void which_events_are_for_others_too(void **state) {
    static const struct {
        enum sl_operation op;
        const char *body;
        bool storable;
    } cases[] = {
        {SL_OP_CHAT_COMPLETIONS,
         "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", true},
        {SL_OP_CHAT_COMPLETIONS, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n", false},
        {SL_OP_CHAT_COMPLETIONS,
         "data: {\"choices\":[{\"finish_reason\":\"content_filter\"}]}\n\ndata: [DONE]\n\n", false},
        {SL_OP_CHAT_COMPLETIONS, "data: {\"error\":{\"message\":\"x\"}}\n\ndata: [DONE]\n\n",
         false},
        {SL_OP_MESSAGES,
         "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"}}\n\n"
         "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
         true},
        {SL_OP_MESSAGES,
         "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"refusal\"}}\n\n"
         "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
         false},
        {SL_OP_RESPONSES,
         "event: response.completed\ndata: {\"response\":{\"status\":\"completed\"}}\n\n", true},
        {SL_OP_RESPONSES, "event: response.completed\ndata: {\"response\":{\"store\":true}}\n\n",
         false},
        {SL_OP_RESPONSES, "event: response.incomplete\ndata: {\"response\":{}}\n\n", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_storable(cases[i].op, "text/event-stream", sl_slice_str(cases[i].body),
                        cases[i].storable);
}

/* What was not looked into may say anything. */
static void what_is_too_large_to_look_into_is_not_kept(void **state) {
    static char text[SL_FOLLOW_CAPTURE_MAX + 100];
    struct sl_buf body;
    (void)state;
    memset(text, ' ', sizeof(text) - 1);
    sl_buf_init(&body, 1 << 20);
    converse_stream(&body, text, "{\"stopReason\":\"end_turn\"}", "{}");
    struct sl_follow f;
    assert_int_equal(follow(&f, SL_OP_CONVERSE_STREAM, EVENTSTREAM, sl_buf_slice(&body), 5000), 0);
    assert_false(f.storable);
    sl_follow_done(&f);
    sl_buf_clear(&body);
    assert_int_equal(sl_buf_printf(&body, "data: %s\n\ndata: [DONE]\n\n", text), 0);
    assert_int_equal(
        follow(&f, SL_OP_CHAT_COMPLETIONS, "text/event-stream", sl_buf_slice(&body), 5000), 0);
    assert_false(f.storable);
    sl_follow_done(&f);
    sl_buf_done(&body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converse_streams_are_read_at_every_split),
        cmocka_unit_test(a_stream_that_stops_short_is_no_success),
        cmocka_unit_test(what_a_stream_last_said_tells_whether_it_was_cut),
        cmocka_unit_test(metrics_and_exceptions_end_a_stream),
        cmocka_unit_test(a_stream_that_was_not_read_to_its_end_is_not_called_cut),
        cmocka_unit_test(an_event_without_its_empty_line_may_be_the_end),
        cmocka_unit_test(an_exception_is_told_first_or_later),
        cmocka_unit_test(what_is_no_failure_begins_a_stream),
        cmocka_unit_test(media_types_have_no_case),
        cmocka_unit_test(invoke_streams_carry_usage_in_the_last_chunk),
        cmocka_unit_test(documents_and_events_of_each_api_carry_usage),
        cmocka_unit_test(events_are_whole_at_their_empty_line),
        cmocka_unit_test(which_documents_are_for_others_too),
        cmocka_unit_test(which_frames_are_for_others_too),
        cmocka_unit_test(which_events_are_for_others_too),
        cmocka_unit_test(what_is_too_large_to_look_into_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
