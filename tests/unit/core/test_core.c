/* The tables all rooms speak: headers, exceptions, models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/core/failure.h"
#include "sluice/core/message.h"
#include "sluice/core/model.h"

static void hop_by_hop_headers_are_known_and_named(void **state) {
    (void)state;
    struct sl_arena arena;
    struct sl_headers h = {0};
    sl_arena_init(&arena, 65536);
    assert_int_equal(sl_headers_add(&h, &arena, SL_LIT("Connection"), SL_LIT("close, X-Mine")), 0);
    for (int i = 0; i < 40; i++)
        assert_int_equal(sl_headers_add(&h, &arena, SL_LIT("X-Other"), SL_LIT("1")), 0);
    assert_int_equal(h.count, 41);
    assert_true(sl_header_is_hop_by_hop(&h, SL_LIT("transfer-encoding")));
    assert_true(sl_header_is_hop_by_hop(&h, SL_LIT("x-mine")));
    assert_false(sl_header_is_hop_by_hop(&h, SL_LIT("x-other")));
    assert_false(sl_header_is_hop_by_hop(&h, SL_LIT("content-type")));
    sl_arena_done(&arena);
}

static void exceptions_are_known_in_every_spelling(void **state) {
    (void)state;
    static const struct sl_slice spellings[] = {
        SL_LIT("ThrottlingException"), SL_LIT("throttlingException"),
        SL_LIT("ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/"),
        SL_LIT("com.amazon.coral#ThrottlingException")};
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
        assert_int_equal(sl_failure_named(spellings[i]), SL_FAILURE_THROTTLED);
    assert_int_equal(sl_failure_named(SL_LIT("SomethingElse")), SL_FAILURE_NONE);
    assert_int_equal(sl_failure_named(SL_EMPTY), SL_FAILURE_NONE);
    for (int i = SL_FAILURE_NONE + 1; i < SL_FAILURE_COUNT; i++) {
        assert_true(sl_failure_info((enum sl_failure)i)->status >= 400);
        /* Bedrock's word for a wrong token is its word for what is forbidden. */
        int named = i == SL_FAILURE_BAD_TOKEN ? SL_FAILURE_DENIED : i;
        assert_int_equal(sl_failure_named(sl_failure_info((enum sl_failure)i)->exception), named);
    }
}

static void families_are_told_by_id_profile_and_arn(void **state) {
    (void)state;
    assert_int_equal(sl_model_family(SL_LIT("meta.llama3-8b-instruct-v1:0")), SL_FAMILY_LLAMA3);
    assert_int_equal(sl_model_family(SL_LIT("us.meta.llama4-scout-17b-instruct-v1:0")),
                     SL_FAMILY_LLAMA4);
    assert_int_equal(sl_model_family(SL_LIT(
                         "arn:aws:bedrock:us-east-1::foundation-model/cohere.command-r-v1:0")),
                     SL_FAMILY_COHERE_COMMAND_R);
    assert_int_equal(sl_model_family(SL_LIT("cohere.command-text-v14")), SL_FAMILY_COHERE_COMMAND);
    assert_int_equal(
        sl_model_family(
            SL_LIT("arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-x")),
        SL_FAMILY_CLAUDE);
    assert_int_equal(sl_model_family(SL_LIT("nobody.model")), SL_FAMILY_UNKNOWN);
}

static void withdrawn_models_have_living_successors(void **state) {
    (void)state;
    assert_true(sl_model_successor(SL_LIT("meta.llama2-70b-chat-v1")).len > 0);
    assert_true(sl_model_successor(SL_LIT("meta.llama2-13b-chat-v1:0:4k")).len > 0);
    assert_int_equal(sl_model_successor(SL_LIT("meta.llama2-70b-chat-v10")).len, 0);
    assert_int_equal(sl_model_successor(SL_LIT("meta.llama3-8b-instruct-v1:0")).len, 0);
    struct sl_slice next = sl_model_successor(SL_LIT("meta.llama2-70b-chat-v1"));
    assert_int_equal(sl_model_successor(next).len, 0); /* one step, no chains */
}

static void targets_are_cut_at_the_question_mark(void **state) {
    (void)state;
    assert_true(sl_slice_eq(sl_target_path(SL_LIT("/a?b?c")), SL_LIT("/a")));
    assert_true(sl_slice_eq(sl_target_query(SL_LIT("/a?b?c")), SL_LIT("b?c")));
    assert_int_equal(sl_target_query(SL_LIT("/a")).len, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hop_by_hop_headers_are_known_and_named),
        cmocka_unit_test(exceptions_are_known_in_every_spelling),
        cmocka_unit_test(families_are_told_by_id_profile_and_arn),
        cmocka_unit_test(withdrawn_models_have_living_successors),
        cmocka_unit_test(targets_are_cut_at_the_question_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
