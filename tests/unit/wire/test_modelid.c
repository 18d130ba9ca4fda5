/* Every kind of model id, each raw and percent-encoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sluice/wire/modelid.h"
#include "sluice/wire/uri.h"

#define ARN     "arn:aws:bedrock:us-east-1:123456789012:"
#define LONG_ID "meta.llama3-3-70b-instruct-v1:0"

static const struct {
    const char *id;
    enum sl_model_id_kind kind;
    const char *bare; /* NULL: the id itself */
    const char *region;
} cases[] = {
    {"meta.llama3-8b-instruct-v1:0", SL_MODEL_ID_BASE, NULL, ""},
    {"amazon.titan-embed-text-v2:0:8k", SL_MODEL_ID_BASE, NULL, ""},
    {"minimax.minimax-m2.1", SL_MODEL_ID_BASE, NULL, ""},
    {"anthropic.claude-v2:1", SL_MODEL_ID_BASE, NULL, ""},
    {"us.name", SL_MODEL_ID_BASE, NULL, ""},
    {"usa.meta.llama", SL_MODEL_ID_BASE, NULL, ""},
    {"us." LONG_ID, SL_MODEL_ID_PROFILE, NULL, ""},
    {"eu." LONG_ID, SL_MODEL_ID_PROFILE, NULL, ""},
    {"apac." LONG_ID, SL_MODEL_ID_PROFILE, NULL, ""},
    {"us-gov." LONG_ID, SL_MODEL_ID_PROFILE, NULL, ""},
    {"global.anthropic.claude-sonnet-4-20250514-v1:0", SL_MODEL_ID_PROFILE, NULL, ""},
    {"arn:aws:bedrock:us-east-1::foundation-model/" LONG_ID, SL_MODEL_ID_FOUNDATION_ARN, LONG_ID,
     "us-east-1"},
    {"arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/a.b", SL_MODEL_ID_FOUNDATION_ARN,
     "a.b", "us-gov-west-1"},
    {ARN "inference-profile/us." LONG_ID, SL_MODEL_ID_PROFILE_ARN, "us." LONG_ID, "us-east-1"},
    {"arn:aws:bedrock:::inference-profile/global.a.b", SL_MODEL_ID_PROFILE_ARN, "global.a.b", ""},
    {ARN "application-inference-profile/abc123", SL_MODEL_ID_APP_PROFILE_ARN, NULL, "us-east-1"},
    {ARN "provisioned-model/abcdefghij12", SL_MODEL_ID_PROVISIONED_ARN, NULL, "us-east-1"},
    {ARN "custom-model/amazon.titan-text/abcdefghij12", SL_MODEL_ID_CUSTOM_ARN, NULL, "us-east-1"},
    {ARN "custom-model-deployment/abcdefghij12", SL_MODEL_ID_CUSTOM_DEPLOYMENT_ARN, NULL,
     "us-east-1"},
    {ARN "imported-model/abcdefghij12", SL_MODEL_ID_IMPORTED_ARN, NULL, "us-east-1"},
    {ARN "prompt/ABCDEFGHIJ", SL_MODEL_ID_PROMPT_ARN, NULL, "us-east-1"},
    {ARN "prompt/ABCDEFGHIJ:3", SL_MODEL_ID_PROMPT_ARN, NULL, "us-east-1"},
    {ARN "prompt-router/abc", SL_MODEL_ID_PROMPT_ROUTER_ARN, NULL, "us-east-1"},
    {ARN "default-prompt-router/anthropic.claude:1", SL_MODEL_ID_PROMPT_ROUTER_ARN, NULL,
     "us-east-1"},
    {"arn:aws:sagemaker:eu-west-1:123456789012:endpoint/my-endpoint", SL_MODEL_ID_SAGEMAKER_ARN,
     NULL, "eu-west-1"},
    /* Shapes that are not known, or only nearly. */
    {"", SL_MODEL_ID_OTHER, NULL, ""},
    {"my-model", SL_MODEL_ID_OTHER, NULL, ""},
    {".a", SL_MODEL_ID_OTHER, NULL, ""},
    {"a.", SL_MODEL_ID_OTHER, NULL, ""},
    {"a b.c", SL_MODEL_ID_OTHER, NULL, ""},
    {"meta.llama/x", SL_MODEL_ID_OTHER, NULL, ""},
    {"arn", SL_MODEL_ID_OTHER, NULL, ""},
    {"arn:aws:bedrock:us-east-1", SL_MODEL_ID_OTHER, NULL, ""},
    {ARN "prompt", SL_MODEL_ID_OTHER, NULL, ""},
    {ARN "prompt/", SL_MODEL_ID_OTHER, NULL, ""},
    {ARN "agent/abc", SL_MODEL_ID_OTHER, NULL, "us-east-1"},
    {ARN "foundation-model/x/", SL_MODEL_ID_FOUNDATION_ARN, NULL, "us-east-1"},
    {"arn:gcp:bedrock:us-east-1::foundation-model/a b", SL_MODEL_ID_OTHER, NULL, ""},
    {"arn:aws:s3:us-east-1::foundation-model/a", SL_MODEL_ID_OTHER, NULL, "us-east-1"},
    {"arn:aws:sagemaker:us-east-1:1:foundation-model/a", SL_MODEL_ID_OTHER, NULL, "us-east-1"},
};
#define CASES (sizeof(cases) / sizeof(cases[0]))

static void assert_slice(struct sl_slice got, struct sl_slice expected) {
    assert_int_equal(got.len, expected.len);
    assert_memory_equal(got.ptr, expected.ptr, expected.len);
}

static void test_raw(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct sl_slice id = sl_slice_str(cases[i].id);
        assert_int_equal(sl_model_id_kind(id), cases[i].kind);
        assert_slice(sl_model_id_bare(id), cases[i].bare ? sl_slice_str(cases[i].bare) : id);
        assert_slice(sl_model_id_region(id), sl_slice_str(cases[i].region));
    }
}

static void check_encoded(struct sl_slice id, size_t i) {
    struct sl_buf decoded;
    sl_buf_init(&decoded, SL_MODEL_ID_MAX);
    assert_int_equal(sl_model_id_kind(id), cases[i].kind);
    assert_int_equal(sl_uri_decode(&decoded, sl_model_id_bare(id)), SL_OK);
    assert_slice(sl_buf_slice(&decoded), sl_slice_str(cases[i].bare ? cases[i].bare : cases[i].id));
    assert_slice(sl_model_id_region(id), sl_slice_str(cases[i].region));
    sl_buf_done(&decoded);
}

static void test_encoded(void **state) {
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct sl_buf encoded;
        sl_buf_init(&encoded, SL_MODEL_ID_MAX);
        assert_int_equal(sl_uri_encode(&encoded, sl_slice_str(cases[i].id), false), SL_OK);
        check_encoded(sl_buf_slice(&encoded), i);
        /* The hexadecimal digits may be lower case: only escapes hold '%'. */
        for (size_t at = 0; at < encoded.len; at++) {
            if (encoded.ptr[at] == '%')
                encoded.ptr[at + 2] = sl_ascii_lower(encoded.ptr[at + 2]);
        }
        check_encoded(sl_buf_slice(&encoded), i);
        sl_buf_done(&encoded);
    }
}

static void test_mixed(void **state) {
    (void)state;
    /* As @anthropic-ai/bedrock-sdk sends it: ':' raw, '/' encoded. */
    struct sl_slice id = SL_LIT("arn:aws:bedrock:us-east-1::foundation-model%2Fa.b-v1:0");
    assert_int_equal(sl_model_id_kind(id), SL_MODEL_ID_FOUNDATION_ARN);
    assert_slice(sl_model_id_bare(id), SL_LIT("a.b-v1:0"));
    /* Not an escape of a separator, or cut short. */
    assert_int_equal(sl_model_id_kind(SL_LIT("a.b%41")), SL_MODEL_ID_OTHER);
    assert_int_equal(sl_model_id_kind(SL_LIT("a.b%3")), SL_MODEL_ID_OTHER);
    assert_int_equal(sl_model_id_kind(SL_LIT("a.b%2F")), SL_MODEL_ID_OTHER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_encoded),
        cmocka_unit_test(test_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
