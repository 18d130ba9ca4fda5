/* Following bodies: whole frames, first-frame failures, truncation, usage; at every split. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converse_streams_are_read_at_every_split),
        cmocka_unit_test(a_stream_that_stops_short_is_no_success),
        cmocka_unit_test(an_exception_is_told_first_or_later),
        cmocka_unit_test(what_is_no_failure_begins_a_stream),
        cmocka_unit_test(media_types_have_no_case),
        cmocka_unit_test(invoke_streams_carry_usage_in_the_last_chunk),
        cmocka_unit_test(documents_and_events_of_each_api_carry_usage),
        cmocka_unit_test(events_are_whole_at_their_empty_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
