/* Embeddings and the list of models: requests that may be several calls. */
#include "openai_rig.h"

#define EMBEDDINGS "/v1/embeddings"

static struct sl_slice body_of(struct sl_call *call) {
    struct sl_slice body;
    assert_int_equal(sl_chain_flatten(&call->body, 1 << 20, &body), SL_OK);
    return body;
}

static void titan_embeds_one_text_a_call(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r, "POST", EMBEDDINGS);
    assert_int_equal(rig_decode(&r,
                                SL_LIT("{\"model\":\"amazon.titan-embed-text-v2:0\",\"input\":["
                                       "\"a\\u0000\",\"b\",\"c\"],\"dimensions\":256}"),
                                5),
                     SL_OK);
    assert_int_equal(r.decode.failure, SL_FAILURE_NONE);
    assert_int_equal(r.decode.parts, 2);
    assert_same_meaning(body_of(&r.call), "{\"inputText\":\"a\\u0000\",\"dimensions\":256}");
    for (size_t i = 1; i <= 2; i++) {
        struct sl_arena arena;
        struct sl_call call = {0};
        sl_arena_init(&arena, 1 << 20);
        sl_chain_init(&call.body, NULL);
        assert_int_equal(sl_dialect_openai.part(&r.decode, i, &arena, &call), SL_OK);
        assert_same_meaning(body_of(&call), i == 1 ? "{\"inputText\":\"b\",\"dimensions\":256}"
                                                   : "{\"inputText\":\"c\",\"dimensions\":256}");
        assert_slice(call.target, "/model/amazon.titan-embed-text-v2%3A0/invoke");
        assert_int_equal(call.max_tokens, -1);
        sl_chain_done(&call.body);
        sl_arena_done(&arena);
    }
    static const struct sl_part parts[] = {
        {200, SL_LIT("{\"embedding\":[0.5,-1e-3],\"inputTextTokenCount\":2}"), NULL},
        {200, SL_LIT("{\"embedding\":[1,2],\"inputTextTokenCount\":3}"), NULL},
        {200, SL_LIT("{\"embedding\":[3,4],\"inputTextTokenCount\":4}"), NULL},
    };
    struct sl_response_head head;
    struct sl_buf out;
    sl_buf_init(&out, 1 << 16);
    assert_int_equal(sl_dialect_openai.join(&r.ask, &r.arena, parts, 3, &head, &out), SL_OK);
    assert_slice(sl_buf_slice(&out),
                 "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                 "\"embedding\":[0.5,-1e-3]},{\"object\":\"embedding\",\"index\":1,\"embedding\":["
                 "1,2]},{\"object\":\"embedding\",\"index\":2,\"embedding\":[3,4]}],\"model\":"
                 "\"amazon.titan-embed-text-v2:0\",\"usage\":{\"prompt_tokens\":9,"
                 "\"total_tokens\":9}}");
    assert_int_equal(head.status, 200);
    sl_buf_done(&out);
    rig_done(&r);
}

static void cohere_embeds_many(void **state) {
    (void)state;
    struct rig r;
    struct sl_buf body, out;
    struct sl_header items[] = {{SL_LIT("X-Amzn-Bedrock-Input-Token-Count"), SL_LIT("7")}};
    struct sl_response_head head = {.status = 200, .headers = {items, 1, 1}};
    rig_init(&r, "POST", EMBEDDINGS);
    sl_buf_init(&body, 1 << 16);
    assert_int_equal(sl_buf_add_str(&body,
                                    "{\"model\":\"cohere.embed-english-v3\",\"encoding_format\":"
                                    "\"base64\",\"input\":[\"t\""),
                     SL_OK);
    for (size_t i = 1; i < 96; i++)
        assert_int_equal(sl_buf_add_str(&body, ",\"t\""), SL_OK);
    size_t fits = body.len;
    assert_int_equal(sl_buf_add_str(&body, "]}"), SL_OK);
    assert_int_equal(rig_decode(&r, sl_buf_slice(&body), SIZE_MAX), SL_OK);
    assert_int_equal(r.decode.parts, 0);
    /* One call: its answer comes through an encoder. */
    assert_int_equal(rig_answer(&r, SL_OP_INVOKE_MODEL,
                                SL_LIT("{\"embeddings\":[[1,-2.5],[0]],\"id\":\"x\"}"), &head, 1,
                                NULL, &out),
                     SL_OK);
    assert_slice(sl_buf_slice(&out),
                 "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,"
                 "\"embedding\":\"AACAPwAAIMA=\"},{\"object\":\"embedding\",\"index\":1,"
                 "\"embedding\":\"AAAAAA==\"}],\"model\":\"cohere.embed-english-v3\",\"usage\":{"
                 "\"prompt_tokens\":7,\"total_tokens\":7}}");
    sl_buf_done(&out);
    rig_done(&r);
    /* One more text is one more call. */
    body.len = fits;
    assert_int_equal(sl_buf_add_str(&body, ",\"u\"]}"), SL_OK);
    rig_init(&r, "POST", EMBEDDINGS);
    assert_int_equal(rig_decode(&r, sl_buf_slice(&body), SIZE_MAX), SL_OK);
    assert_int_equal(r.decode.parts, 1);
    struct sl_arena arena;
    struct sl_call call = {0};
    sl_arena_init(&arena, 1 << 20);
    sl_chain_init(&call.body, NULL);
    assert_int_equal(sl_dialect_openai.part(&r.decode, 1, &arena, &call), SL_OK);
    assert_same_meaning(body_of(&call), "{\"texts\":[\"u\"],\"input_type\":\"search_document\"}");
    sl_chain_done(&call.body);
    sl_arena_done(&arena);
    sl_buf_done(&body);
    rig_done(&r);
}

static struct sl_slice successor(void *ctx, struct sl_slice model) {
    (void)ctx;
    return sl_slice_eq(model, SL_LIT("amazon.titan-embed-g1-text-02"))
               ? SL_LIT("amazon.titan-embed-text-v1")
           : sl_slice_eq(model, SL_LIT("amazon.titan-embed-text-v1"))
               ? SL_LIT("cohere.embed-english-v3")
               : SL_EMPTY;
}

/* All calls of a request go to the successor, and their bodies have its form. */
static void every_call_of_a_withdrawn_model_is_mapped(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r, "POST", EMBEDDINGS);
    r.settings.successor = successor;
    assert_int_equal(rig_decode(&r,
                                SL_LIT("{\"model\":\"amazon.titan-embed-g1-text-02\",\"input\":["
                                       "\"a\",\"b\"]}"),
                                SIZE_MAX),
                     SL_OK);
    assert_int_equal(r.decode.parts, 1);
    assert_slice(r.call.target, "/model/amazon.titan-embed-text-v1/invoke");
    struct sl_arena arena;
    struct sl_call call = {0};
    sl_arena_init(&arena, 1 << 20);
    sl_chain_init(&call.body, NULL);
    assert_int_equal(sl_dialect_openai.part(&r.decode, 1, &arena, &call), SL_OK);
    assert_slice(call.target, "/model/amazon.titan-embed-text-v1/invoke");
    assert_slice(call.model, "amazon.titan-embed-text-v1");
    assert_slice(call.served_model, "amazon.titan-embed-text-v1");
    assert_slice(call.edited, "model");
    assert_same_meaning(body_of(&call), "{\"inputText\":\"b\"}");
    sl_chain_done(&call.body);
    sl_arena_done(&arena);
    rig_done(&r);

    rig_init(&r, "POST", EMBEDDINGS);
    r.settings.successor = successor;
    assert_int_equal(rig_decode(&r,
                                SL_LIT("{\"model\":\"amazon.titan-embed-text-v1\",\"input\":["
                                       "\"a\",\"b\"]}"),
                                SIZE_MAX),
                     SL_OK);
    assert_int_equal(r.decode.parts, 0);
    assert_slice(r.call.target, "/model/cohere.embed-english-v3/invoke");
    assert_same_meaning(body_of(&r.call),
                        "{\"texts\":[\"a\",\"b\"],\"input_type\":\"search_document\"}");
    rig_done(&r);
}

static void what_cannot_be_embedded_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *body, *words;
    } cases[] = {
        {"{\"model\":\"amazon.titan-embed-text-v2:0\",\"input\":[[1,2]]}", "check_embedding"},
        {"{\"model\":\"amazon.titan-embed-text-v2:0\",\"input\":[]}", "empty"},
        {"{\"model\":\"amazon.titan-embed-text-v2:0\"}", "empty"},
        {"{\"model\":\"amazon.nova-lite-v1:0\",\"input\":\"x\"}", "embedding models"},
        {"{\"model\":\"amazon.titan-embed-text-v2:0\",\"input\":\"x\",\"encoding_format\":\"x\"}",
         "encoding_format"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_refused(EMBEDDINGS, cases[i].body, SL_FAILURE_VALIDATION, cases[i].words);
}

static const struct sl_part listings[] = {
    {200,
     SL_LIT("{\"modelSummaries\":[{\"modelId\":\"amazon.nova-lite-v1:0\",\"inferenceTypesSupported"
            "\":[\"ON_DEMAND\"]}]}"),
     NULL},
    {200,
     SL_LIT("{\"inferenceProfileSummaries\":[{\"inferenceProfileId\":\"us.meta.llama3-3-70b-"
            "instruct-v1:0\",\"type\":\"SYSTEM_DEFINED\"}]}"),
     NULL},
};

static struct sl_slice alias_at(void *ctx, size_t i) {
    (void)ctx;
    return i == 0 ? SL_LIT("fast") : SL_EMPTY;
}

static void get_models(const char *target, int status, const char *expected) {
    struct rig r;
    struct sl_response_head head;
    struct sl_buf out;
    rig_init(&r, "GET", target);
    r.settings.alias_at = alias_at;
    sl_buf_init(&out, 1 << 16);
    assert_int_equal(rig_decode(&r, SL_EMPTY, 1), SL_OK);
    assert_int_equal(r.decode.failure, SL_FAILURE_NONE);
    assert_int_equal(r.decode.parts, 1);
    assert_int_equal(r.call.operation, SL_OP_LIST_FOUNDATION_MODELS);
    assert_int_equal(sl_dialect_openai.join(&r.ask, &r.arena, listings, 2, &head, &out), SL_OK);
    assert_slice(sl_buf_slice(&out), expected);
    assert_int_equal(head.status, status);
    sl_buf_done(&out);
    rig_done(&r);
}

#define MODEL(id, owner)                                                                           \
    "{\"id\":\"" id "\",\"object\":\"model\",\"created\":0,\"owned_by\":\"" owner "\"}"

static void models_come_from_both_listings(void **state) {
    (void)state;
    get_models("/v1/models", 200,
               "{\"object\":\"list\",\"data\":[" MODEL("fast", "alias") "," MODEL(
                   "amazon.nova-lite-v1:0",
                   "amazon") "," MODEL("us.meta.llama3-3-70b-instruct-v1:0", "meta") "]}");
    get_models("/v1/models/amazon.nova-lite-v1%3A0", 200, MODEL("amazon.nova-lite-v1:0", "amazon"));
    get_models("/v1/models/fast", 200, MODEL("fast", "alias"));
    get_models("/v1/models/none", 404,
               "{\"error\":{\"message\":\"The model 'none' does not exist here.\",\"type\":"
               "\"invalid_request_error\",\"param\":null,\"code\":\"model_not_found\"}}");
}

static void another_method_is_refused(void **state) {
    (void)state;
    assert_refused("/v1/models", "", SL_FAILURE_UNKNOWN_OPERATION, "use GET");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(titan_embeds_one_text_a_call),
        cmocka_unit_test(cohere_embeds_many),
        cmocka_unit_test(every_call_of_a_withdrawn_model_is_mapped),
        cmocka_unit_test(what_cannot_be_embedded_is_refused),
        cmocka_unit_test(models_come_from_both_listings),
        cmocka_unit_test(another_method_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
