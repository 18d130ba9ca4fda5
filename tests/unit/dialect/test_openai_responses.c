/* The Responses API: requests in Converse's words, answers as documents and events. */
#include "openai_rig.h"

#include "sluice/wire/json_view.h"
#include "sluice/wire/sse.h"

#define RESPONSES "/v1/responses"

static const struct {
    const char *body, *upstream, *target;
} requests[] = {
    {"{\"model\":\"m\",\"input\":\"Hi\",\"instructions\":\"Be brief.\",\"max_output_tokens\":7,"
     "\"store\":true}",
     "{\"inferenceConfig\":{\"maxTokens\":7},\"messages\":[{\"role\":\"user\",\"content\":[{"
     "\"text\":\"Hi\"}]}],\"system\":[{\"text\":\"Be brief.\"}]}",
     "/model/m/converse"},
    {"{\"model\":\"m\",\"stream\":true,\"input\":[{\"role\":\"developer\",\"content\":\"D\"},{"
     "\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"What?\"},{\"type\":"
     "\"input_image\",\"image_url\":\"data:image/jpeg;base64,/9j/\"}]},{\"type\":\"reasoning\","
     "\"id\":\"rs\",\"summary\":[],\"content\":[{\"type\":\"reasoning_text\",\"text\":\"hm\"}],"
     "\"encrypted_content\":\"s\"},{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"f\","
     "\"arguments\":\"{\\\"n\\\":12345678901234567890}\"},{\"type\":\"function_call_output\","
     "\"call_id\":\"a\",\"output\":\"1\"},{\"type\":\"message\",\"role\":\"assistant\","
     "\"content\":[{\"type\":\"output_text\",\"text\":\"ok\"}]}],\"tools\":[{\"type\":"
     "\"function\",\"name\":\"f\",\"parameters\":{\"type\":\"object\"},\"strict\":true}]}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"What?\"},"
     "{\"image\":{\"format\":\"jpeg\",\"source\":{\"bytes\":\"/9j/\"}}}]},{\"role\":"
     "\"assistant\",\"content\":[{\"reasoningContent\":{\"reasoningText\":{\"text\":\"hm\","
     "\"signature\":\"s\"}}},{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"f\",\"input\":{\"n\":"
     "12345678901234567890}}}]},{\"role\":\"user\",\"content\":[{\"toolResult\":{\"toolUseId\":"
     "\"a\",\"content\":[{\"text\":\"1\"}]}}]},{\"role\":\"assistant\",\"content\":[{\"text\":"
     "\"ok\"}]}],\"system\":[{\"text\":\"D\"}],\"toolConfig\":{\"tools\":[{\"toolSpec\":{"
     "\"name\":\"f\",\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}]}}",
     "/model/m/converse-stream"},
    {"{\"model\":\"amazon.nova-lite-v1:0\",\"input\":\"x\",\"text\":{\"format\":{\"type\":"
     "\"json_schema\",\"name\":\"p\",\"schema\":{\"type\":\"object\"}}}}",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}],"
     "\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"p\",\"description\":\"Gives the answer "
     "in the form required.\",\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}],\"toolChoice\":"
     "{\"tool\":{\"name\":\"p\"}}}}",
     "/model/amazon.nova-lite-v1%3A0/converse"},
};

static void requests_become_converse_bodies(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
        assert_request(RESPONSES, requests[i].body, requests[i].upstream, requests[i].target);
}

static void what_is_not_kept_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {
        {"{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":\"resp_1\"}",
         "previous_response_id"},
        {"{\"model\":\"m\",\"input\":\"x\",\"background\":true}", "background"},
        {"{\"model\":\"m\",\"input\":\"x\",\"conversation\":\"c\"}", "conversation"},
        {"{\"model\":\"m\"}", "input"},
        {"{\"model\":\"m\",\"input\":[{\"type\":\"item_reference\",\"id\":\"x\"}]}", "input item"},
        {"{\"model\":\"m\",\"input\":\"x\",\"tools\":[{\"type\":\"web_search\"}]}", "functions"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(RESPONSES, cases[i].body, SL_FAILURE_VALIDATION, cases[i].words);
}

static const struct frame frames[] = {
    {"messageStart", "{\"role\":\"assistant\"}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"hm\"}}}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"signature\":\"s\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":0}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"He\"}}"},
    {"contentBlockDelta", "{\"contentBlockIndex\":1,\"delta\":{\"text\":\"y\"}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":1}"},
    {"contentBlockStart", "{\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"toolUseId\":\"a\","
                          "\"name\":\"f\"}}}"},
    {"contentBlockDelta",
     "{\"contentBlockIndex\":2,\"delta\":{\"toolUse\":{\"input\":\"{\\\"n\\\":1}\"}}}"},
    {"contentBlockStop", "{\"contentBlockIndex\":2}"},
    {"messageStop", "{\"stopReason\":\"tool_use\"}"},
    {"metadata", "{\"usage\":{\"inputTokens\":3,\"outputTokens\":5}}"},
    {NULL, NULL},
};

#define OUTPUT                                                                                     \
    "[{\"id\":\"rs_0123456789abcdef_0\",\"type\":\"reasoning\",\"status\":\"completed\","          \
    "\"summary\":[],\"encrypted_content\":\"s\",\"content\":[{\"type\":\"reasoning_text\","        \
    "\"text\":\"hm\"}]},{\"id\":\"msg_0123456789abcdef_1\",\"type\":\"message\",\"status\":"       \
    "\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","                 \
    "\"annotations\":[],\"logprobs\":[],\"text\":\"Hey\"}]},{\"id\":\"fc_0123456789abcdef_2\","    \
    "\"type\":\"function_call\",\"status\":\"completed\",\"call_id\":\"a\",\"name\":\"f\","        \
    "\"arguments\":\"{\\\"n\\\":1}\"}]"

#define RESPONSE(status, output, usage)                                                            \
    "{\"id\":\"resp_0123456789abcdef\",\"object\":\"response\",\"created_at\":1700000000,"         \
    "\"status\":\"" status "\",\"background\":false,\"error\":null,\"previous_response_id\":null," \
    "\"store\":false,\"user\":null,\"incomplete_details\":null,\"model\":\"m\","                   \
    "\"instructions\":null,\"max_output_tokens\":9,\"parallel_tool_calls\":true,\"reasoning\":{"   \
    "\"effort\":null,\"summary\":null},\"temperature\":1.0,\"text\":{\"format\":{\"type\":"        \
    "\"text\"}},\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"metadata\":{},"              \
    "\"truncation\":\"disabled\",\"output\":" output ",\"usage\":" usage "}"
#define USAGE                                                                                      \
    "{\"input_tokens\":3,\"input_tokens_details\":{\"cached_tokens\":0,\"cache_write_tokens\":0}," \
    "\"output_tokens\":5,"                                                                         \
    "\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":8}"

static void ask_for(struct rig *r, const char *body) {
    rig_init(r, "POST", RESPONSES);
    assert_int_equal(rig_decode(r, sl_slice_str(body), SIZE_MAX), SL_OK);
    assert_int_equal(r->decode.failure, SL_FAILURE_NONE);
}

static void frames_become_a_response(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf body, out;
    build_frames(&body, frames);
    ask_for(&r, "{\"model\":\"m\",\"input\":\"x\",\"max_output_tokens\":9}");
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, 7, NULL, &out), SL_OK);
    assert_same_meaning(sl_buf_slice(&out), RESPONSE("completed", OUTPUT, USAGE));
    sl_buf_done(&out);
    sl_buf_done(&body);
    rig_done(&r);
}

struct events {
    struct sl_buf types, last, deltas;
    int64_t sequence;
};

/* Each event carries its name as its type, and the next number; deltas are put together. */
static int on_event(void *ctx, const struct sl_sse_event *event) {
    struct events *e = ctx;
    struct sl_json_view v;
    int64_t sequence = -1;
    assert_int_equal(sl_json_view_parse(&v, event->data, 1 << 12), SL_OK);
    const struct sl_json_node *root = sl_json_root(&v);
    struct sl_slice type = sl_json_inner(&v, sl_json_get(&v, root, "type"));
    assert_true(sl_slice_eq(type, event->event));
    assert_true(sl_json_int(&v, sl_json_get(&v, root, "sequence_number"), &sequence));
    assert_int_equal(sequence, e->sequence++);
    int err = sl_buf_printf(&e->types, "%.*s\n", SL_FMT(type));
    const struct sl_json_node *delta = sl_json_get(&v, root, "delta");
    if (delta)
        err |= sl_json_text(&v, delta, &e->deltas);
    sl_buf_clear(&e->last);
    err |= sl_buf_add(&e->last, event->data);
    sl_json_view_done(&v);
    return err;
}

static void frames_become_events_in_order(void **state) {
    (void)state;
    static const size_t steps[] = {1, SIZE_MAX};
    struct sl_buf body;
    build_frames(&body, frames);
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        struct sl_buf out;
        struct sl_sse_parser sse;
        struct events e = {0};
        sl_buf_init(&e.types, 4096);
        sl_buf_init(&e.last, 1 << 16);
        sl_buf_init(&e.deltas, 4096);
        sl_sse_init(&sse, 1 << 16);
        ask_for(&r, "{\"model\":\"m\",\"input\":\"x\",\"max_output_tokens\":9,\"stream\":true}");
        assert_int_equal(
            rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, steps[i], NULL, &out),
            SL_OK);
        assert_int_equal(sl_sse_feed(&sse, sl_buf_slice(&out), on_event, &e), SL_OK);
        assert_slice(sl_buf_slice(&e.types),
                     "response.created\nresponse.in_progress\n"
                     "response.output_item.added\nresponse.reasoning_text.delta\n"
                     "response.reasoning_text.done\nresponse.output_item.done\n"
                     "response.output_item.added\nresponse.content_part.added\n"
                     "response.output_text.delta\nresponse.output_text.delta\n"
                     "response.output_text.done\nresponse.content_part.done\n"
                     "response.output_item.done\nresponse.output_item.added\n"
                     "response.function_call_arguments.delta\n"
                     "response.function_call_arguments.done\nresponse.output_item.done\n"
                     "response.completed\n");
        assert_slice(sl_buf_slice(&e.deltas), "hmHey{\"n\":1}");
        assert_same_meaning(sl_buf_slice(&e.last),
                            "{\"type\":\"response.completed\",\"sequence_number\":17,"
                            "\"response\":" RESPONSE("completed", OUTPUT, USAGE) "}");
        sl_sse_done(&sse);
        sl_buf_done(&e.types);
        sl_buf_done(&e.last);
        sl_buf_done(&e.deltas);
        sl_buf_done(&out);
        rig_done(&r);
    }
    sl_buf_done(&body);
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

#define SEALED                                                                                     \
    "{\"id\":\"rs_0123456789abcdef_0\",\"type\":\"reasoning\",\"status\":\"completed\","           \
    "\"summary\":[],\"encrypted_content\":\"redacted:QUI=\",\"content\":[]}"

/* What only the model can read goes to the client and comes back as it was. */
static void redacted_reasoning_goes_both_ways(void **state) {
    (void)state;
    static const char *const bodies[] = {"{\"model\":\"m\",\"input\":\"x\"}",
                                         "{\"model\":\"m\",\"input\":\"x\",\"stream\":true}"};
    struct sl_buf body, out;
    build_frames(&body, sealed_frames);
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        ask_for(&r, bodies[i]);
        assert_int_equal(
            rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, 1, NULL, &out), SL_OK);
        struct sl_slice got = sl_buf_slice(&out);
        assert_true(sl_slice_search(got, SL_LIT("\"output\":[" SEALED ",{")) < got.len);
        assert_true(sl_slice_search(got, SL_LIT("reasoning_text")) == got.len);
        bool event = sl_slice_search(got, SL_LIT("\"output_index\":0,\"item\":" SEALED)) < got.len;
        assert_int_equal(event, i == 1);
        sl_buf_done(&out);
        rig_done(&r);
    }
    sl_buf_done(&body);
    assert_request(RESPONSES, "{\"model\":\"m\",\"input\":[" SEALED "]}",
                   "{\"messages\":[{\"role\":\"assistant\",\"content\":[{\"reasoningContent\":{"
                   "\"redactedContent\":\"QUI=\"}}]}]}",
                   "/model/m/converse");
}

static void an_answer_cut_short_is_incomplete(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf out;
    ask_for(&r, "{\"model\":\"m\",\"input\":\"x\"}");
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE,
                   SL_LIT("{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{"
                          "\"text\":\"a\"}]}},\"stopReason\":\"max_tokens\",\"usage\":{}}"),
                   NULL, SIZE_MAX, NULL, &out),
        SL_OK);
    struct sl_slice got = sl_buf_slice(&out);
    assert_true(sl_slice_search(got, SL_LIT("\"status\":\"incomplete\"")) < got.len);
    assert_true(
        sl_slice_search(got, SL_LIT("\"incomplete_details\":{\"reason\":\"max_output_tokens\"}")) <
        got.len);
    sl_buf_done(&out);
    rig_done(&r);
}

static void an_exception_midway_is_an_error_event(void **state) {
    (void)state;
    static const struct frame failing[] = {
        {"messageStart", "{\"role\":\"assistant\"}"},
        {"!internalServerException", "oops"},
        {NULL, NULL},
    };
    struct rig r;
    struct sl_buf body, out;
    build_frames(&body, failing);
    ask_for(&r, "{\"model\":\"m\",\"input\":\"x\",\"stream\":true}");
    assert_int_equal(
        rig_answer(&r, SL_OP_CONVERSE_STREAM, sl_buf_slice(&body), NULL, SIZE_MAX, NULL, &out),
        SL_OK);
    assert_true(sl_slice_ends(sl_buf_slice(&out),
                              SL_LIT("event: error\ndata: {\"type\":\"error\",\"code\":"
                                     "\"server_error\",\"message\":\"oops\",\"param\":null,"
                                     "\"sequence_number\":2}\n\n")));
    sl_buf_done(&out);
    sl_buf_done(&body);
    rig_done(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_become_converse_bodies),
        cmocka_unit_test(what_is_not_kept_is_refused),
        cmocka_unit_test(frames_become_a_response),
        cmocka_unit_test(frames_become_events_in_order),
        cmocka_unit_test(redacted_reasoning_goes_both_ways),
        cmocka_unit_test(an_answer_cut_short_is_incomplete),
        cmocka_unit_test(an_exception_midway_is_an_error_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
