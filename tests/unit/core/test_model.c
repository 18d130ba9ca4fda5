/* What is known of models: quota figures by id in every spelling, channels, geographies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/core/quota.h"

static void check_info(const char *model, uint32_t burndown, uint32_t output, uint32_t cache,
                       bool profile_only) {
    const struct sl_model_info *info = sl_model_info(sl_slice_str(model));
    if (info->burndown != burndown || info->max_output != output || info->cache_min != cache ||
        info->profile_only != profile_only)
        fail_msg("%s: burndown %u, output %u, cache %u, profile %d", model, info->burndown,
                 info->max_output, info->cache_min, info->profile_only);
}

static void figures_are_found_by_base_profile_and_arn(void **state) {
    (void)state;
    check_info("anthropic.claude-3-haiku-20240307-v1:0", 1, 4096, 0, false);
    check_info("us.anthropic.claude-3-5-haiku-20241022-v1:0", 1, 8192, 2048, false);
    check_info("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 5, 64000, 1024, true);
    check_info("global.anthropic.claude-sonnet-4-5-20250929-v1:0", 5, 64000, 1024, true);
    check_info("eu.anthropic.claude-sonnet-4-6", 5, 64000, 2048, true);
    check_info("anthropic.claude-opus-4-20250514-v1:0", 5, 32000, 1024, true);
    check_info("anthropic.claude-opus-4-8", 15, 128000, 1024, true);
    check_info("anthropic.claude-opus-5", 10, 128000, 1024, true);
    check_info("meta.llama3-8b-instruct-v1:0", 1, 2048, 0, false);
    check_info("us.meta.llama3-3-70b-instruct-v1:0", 1, 8192, 0, true);
    check_info("amazon.nova-pro-v1:0", 1, 10000, 1024, false);
    check_info("arn:aws:bedrock:us-east-1:1:inference-profile/us.deepseek.r1-v1:0", 1, 32768, 0,
               true);
    check_info("amazon.titan-embed-text-v2:0", 1, 0, 0, false);
    check_info("openai.gpt-oss-20b-1:0", 1, 16384, 0, false);
    check_info("us.openai.gpt-5.6-sol", 10, 128000, 0, false);
}

static void unknown_models_get_a_default(void **state) {
    (void)state;
    check_info("nobody.model-v1:0", 1, 4096, 0, false);
    check_info("", 1, 4096, 0, false);
    /* Bedrock has no end of new Claudes; a missing one must not be taken for a small one. */
    check_info("anthropic.claude-next", 10, 128000, 1024, true);
}

static void images_cost_up_to_a_cap(void **state) {
    (void)state;
    assert_int_equal(sl_model_info(SL_LIT("us.anthropic.claude-sonnet-4-6"))->image_tokens, 1600);
    assert_int_equal(sl_model_info(SL_LIT("anthropic.claude-opus-4-7"))->image_tokens, 4800);
    assert_int_equal(sl_model_info(SL_LIT("meta.llama3-8b-instruct-v1:0"))->image_tokens, 0);
}

static void channels_follow_the_geography(void **state) {
    (void)state;
    assert_int_equal(sl_model_channel(SL_LIT("meta.llama3-8b-instruct-v1:0")),
                     SL_CHANNEL_ON_DEMAND);
    assert_int_equal(sl_model_channel(SL_LIT("us.meta.llama3-3-70b-instruct-v1:0")),
                     SL_CHANNEL_CROSS_REGION);
    assert_int_equal(sl_model_channel(SL_LIT("jp.anthropic.claude-opus-5")),
                     SL_CHANNEL_CROSS_REGION);
    assert_int_equal(sl_model_channel(SL_LIT("global.anthropic.claude-opus-5")), SL_CHANNEL_GLOBAL);
    assert_int_equal(
        sl_model_channel(SL_LIT("arn:aws:bedrock:us-east-1:1:inference-profile/global.x.y")),
        SL_CHANNEL_GLOBAL);
}

static void bases_have_neither_geography_nor_arn(void **state) {
    (void)state;
    static const struct {
        struct sl_slice model, base;
    } cases[] = {
        {SL_LIT("us.meta.llama3-3-70b-instruct-v1:0"), SL_LIT("meta.llama3-3-70b-instruct-v1:0")},
        {SL_LIT("meta.llama3-8b-instruct-v1:0"), SL_LIT("meta.llama3-8b-instruct-v1:0")},
        {SL_LIT("us-gov.anthropic.claude-x"), SL_LIT("anthropic.claude-x")},
        {SL_LIT("arn:aws:bedrock:eu-west-1::foundation-model/a.b"), SL_LIT("a.b")},
        {SL_LIT("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.a.b"), SL_LIT("a.b")},
        {SL_EMPTY, SL_EMPTY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(sl_slice_eq(sl_model_base(cases[i].model), cases[i].base));
}

static void regions_know_their_geography(void **state) {
    (void)state;
    static const struct {
        struct sl_slice region, prefix;
    } cases[] = {
        {SL_LIT("us-east-1"), SL_LIT("us.")},
        {SL_LIT("us-gov-west-1"), SL_LIT("us-gov.")},
        {SL_LIT("eu-central-1"), SL_LIT("eu.")},
        {SL_LIT("ap-southeast-2"), SL_LIT("apac.")},
        {SL_LIT("ca-central-1"), SL_LIT("ca.")},
        {SL_LIT("me-south-1"), SL_EMPTY},
        {SL_EMPTY, SL_EMPTY},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(sl_slice_eq(sl_region_geo_prefix(cases[i].region), cases[i].prefix));
}

static void defaults_differ_by_channel(void **state) {
    struct sl_quota_limits profile, bare, only = {1, 1, 1};
    (void)state;
    assert_true(
        sl_quota_default(SL_LIT("us.amazon.nova-lite-v1:0"), SL_CHANNEL_CROSS_REGION, &profile));
    assert_true(sl_quota_default(SL_LIT("amazon.nova-lite-v1:0"), SL_CHANNEL_ON_DEMAND, &bare));
    assert_true(profile.rpm == 2 * bare.rpm && profile.tpm == 2 * bare.tpm && bare.rpm > 0);
    assert_int_equal(bare.tpd, 0);
    assert_false(sl_quota_default(SL_LIT("nobody.model"), SL_CHANNEL_ON_DEMAND, &only));
    assert_int_equal(only.rpm, 1); /* untouched */
}

static void patterns_match_ids(void **state) {
    (void)state;
    assert_true(sl_model_matches(SL_LIT("*claude*"), SL_LIT("us.anthropic.claude-opus-5")));
    assert_true(sl_model_matches(SL_LIT("*"), SL_EMPTY));
    assert_true(sl_model_matches(SL_LIT("a*b*c"), SL_LIT("abbbc")));
    assert_false(sl_model_matches(SL_LIT("a*b"), SL_LIT("abc")));
    assert_false(sl_model_matches(SL_LIT("claude"), SL_LIT("us.claude")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_found_by_base_profile_and_arn),
        cmocka_unit_test(unknown_models_get_a_default),
        cmocka_unit_test(images_cost_up_to_a_cap),
        cmocka_unit_test(channels_follow_the_geography),
        cmocka_unit_test(bases_have_neither_geography_nor_arn),
        cmocka_unit_test(regions_know_their_geography),
        cmocka_unit_test(defaults_differ_by_channel),
        cmocka_unit_test(patterns_match_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
