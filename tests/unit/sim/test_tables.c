/* The simulator's tables: models and ids, routes, faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/auth.h"
#include "sim/bodies.h"
#include "sim/faults.h"
#include "sim/models.h"
#include "sim/route.h"

static struct sl_arena arena;

static int setup(void **state) {
    (void)state;
    sl_arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_arena_done(&arena);
    return 0;
}

static void test_ids_resolve_as_on_bedrock(void **state) {
    (void)state;
    static const struct {
        const char *id, *region;
        enum sl_failure kind;
        const char *what; /* the model, or the words of the refusal */
        enum sl_sim_channel channel;
    } cases[] = {
        {"meta.llama3-8b-instruct-v1:0", "us-east-1", 0, "meta.llama3-8b-instruct-v1:0",
         SL_SIM_ON_DEMAND},
        {"us.meta.llama3-3-70b-instruct-v1:0", "us-west-2", 0, "meta.llama3-3-70b-instruct-v1:0",
         SL_SIM_US},
        {"global.anthropic.claude-haiku-4-5-20251001-v1:0", "eu-west-1", 0,
         "anthropic.claude-haiku-4-5-20251001-v1:0", SL_SIM_GLOBAL},
        {"us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0", "us-gov-west-1", 0,
         "anthropic.claude-sonnet-4-5-20250929-v1:0", SL_SIM_US_GOV},
        {"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "us-east-1", 0,
         "amazon.nova-lite-v1:0", SL_SIM_ON_DEMAND},
        {"arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-lite-v1:0",
         "us-east-1", 0, "amazon.nova-lite-v1:0", SL_SIM_US},
        {"arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123def456",
         "us-east-1", 0, "meta.llama3-3-70b-instruct-v1:0", SL_SIM_OTHER_ARN},
        {"arn:aws:bedrock:us-east-1:123456789012:prompt/ABCDEFGHIJ:1", "us-east-1", 0,
         "meta.llama3-3-70b-instruct-v1:0", SL_SIM_OTHER_ARN},
        {"foo.bar-v1:0", "us-east-1", SL_FAILURE_VALIDATION,
         "The provided model identifier is invalid.", 0},
        {"", "us-east-1", SL_FAILURE_VALIDATION, "The provided model identifier is invalid.", 0},
        {"eu.amazon.nova-lite-v1:0", "us-east-1", SL_FAILURE_VALIDATION,
         "The provided model identifier is invalid.", 0},
        {"us.amazon.nova-lite-v1:0", "us-gov-west-1", SL_FAILURE_VALIDATION,
         "The provided model identifier is invalid.", 0},
        {"us.meta.llama3-8b-instruct-v1:0", "us-east-1", SL_FAILURE_VALIDATION,
         "The provided model identifier is invalid.", 0},
        {"meta.llama3-3-70b-instruct-v1:0", "us-east-1", SL_FAILURE_VALIDATION,
         "Invocation of model ID meta.llama3-3-70b-instruct-v1:0 with on-demand throughput "
         "isn\xe2\x80\x99t supported. Retry your request with the ID or ARN of an inference "
         "profile "
         "that contains this model.",
         0},
        {"meta.llama2-70b-chat-v1", "us-east-1", SL_FAILURE_NOT_FOUND,
         "This model version has reached the end of its life. Please refer to the AWS "
         "documentation for more details.",
         0},
        {"anthropic.claude-3-haiku-20240307-v1:0", "us-east-1", SL_FAILURE_NOT_FOUND,
         "This model version has reached the end of its life. Please refer to the AWS "
         "documentation for more details.",
         0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_sim_refusal no = {.arena = &arena};
        struct sl_sim_target target = {0};
        int error = sl_sim_model_resolve(sl_slice_str(cases[i].id), sl_slice_str(cases[i].region),
                                         &target, &no);
        assert_int_equal(error, cases[i].kind ? SL_E_DENIED : 0);
        assert_int_equal(no.kind, cases[i].kind);
        if (error) {
            assert_int_equal(no.message.len, strlen(cases[i].what));
            assert_memory_equal(no.message.ptr, cases[i].what, no.message.len);
        } else {
            assert_string_equal(target.model->id, cases[i].what);
            assert_int_equal(target.channel, cases[i].channel);
        }
    }
}

static void test_mantle_takes_bare_ids(void **state) {
    (void)state;
    struct sl_sim_refusal no = {.arena = &arena};
    struct sl_sim_target target;
    const char *good[] = {"openai.gpt-oss-20b-1:0", "openai.gpt-oss-20b",
                          "anthropic.claude-haiku-4-5"};
    const char *bad[] = {"us.anthropic.claude-haiku-4-5-20251001-v1:0", "openai.gpt-oss",
                         "meta.llama3-8b-instruct-v1:0", ""};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(sl_sim_model_resolve_mantle(sl_slice_str(good[i]), &target, &no), 0);
        assert_int_equal(target.channel, SL_SIM_MANTLE);
    }
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(sl_sim_model_resolve_mantle(sl_slice_str(bad[i]), &target, &no),
                         SL_E_DENIED);
}

static void test_catalogue_is_consistent(void **state) {
    (void)state;
    for (size_t i = 0; i < sl_sim_model_count(); i++) {
        const struct sl_sim_model *m = sl_sim_model_at(i);
        assert_ptr_equal(sl_sim_model_find(sl_slice_str(m->id)), m); /* ids are unique */
        assert_int_equal(sl_sim_model_index(m), i);
        assert_int_equal(sl_model_family(sl_slice_str(m->id)), m->family);
        assert_true(m->channels != 0 && m->context > 0 && m->burndown > 0);
        assert_int_equal(m->max_output == 0, (m->flags & SL_SIM_MODEL_EMBEDS) != 0);
        assert_int_equal(sl_sim_shape_of(m->family) == NULL, (m->flags & SL_SIM_MODEL_EMBEDS) != 0);
    }
}

static void test_routes(void **state) {
    (void)state;
    static const struct {
        const char *method, *path;
        enum sl_sim_operation op;
        const char *params[2];
    } cases[] = {
        {"POST", "/model/a.b%3A0/invoke", SL_SIM_OP_INVOKE, {"a.b:0", ""}},
        {"POST", "/model/a.b:0/converse-stream", SL_SIM_OP_CONVERSE_STREAM, {"a.b:0", ""}},
        {"POST", "/model/arn%3Aaws%2Fx/converse", SL_SIM_OP_CONVERSE, {"arn:aws/x", ""}},
        {"POST", "/guardrail/g1/version/DRAFT/apply", SL_SIM_OP_APPLY_GUARDRAIL, {"g1", "DRAFT"}},
        {"GET", "/async-invoke/arn%3Ax", SL_SIM_OP_GET_ASYNC, {"arn:x", ""}},
        {"GET", "/async-invoke", SL_SIM_OP_LIST_ASYNC, {"", ""}},
        {"POST", "/", SL_SIM_OP_SERVICE_QUOTAS, {"", ""}},
        {"GET", "/", SL_SIM_OP_UNKNOWN, {"", ""}},
        {"GET", "/model/a/invoke", SL_SIM_OP_UNKNOWN, {"", ""}},
        {"POST", "/model//invoke", SL_SIM_OP_UNKNOWN, {"", ""}},
        {"POST", "/model/a/b/invoke", SL_SIM_OP_UNKNOWN, {"", ""}},
        {"POST", "/model/a%zz/invoke", SL_SIM_OP_UNKNOWN, {"", ""}},
        {"POST", "/model/a/invoke/", SL_SIM_OP_UNKNOWN, {"", ""}},
        {"POST", "", SL_SIM_OP_UNKNOWN, {"", ""}},
        {"GET", "/simulator/stats", SL_SIM_OP_STATS, {"", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sl_sim_route route;
        assert_int_equal(sl_sim_route_find(sl_slice_str(cases[i].method),
                                           sl_slice_str(cases[i].path), &arena, &route),
                         0);
        assert_int_equal(route.op, cases[i].op);
        for (size_t p = 0; route.op && p < 2; p++)
            assert_true(sl_slice_eq(route.params[p], sl_slice_str(cases[i].params[p])));
    }
}

static void test_query(void **state) {
    (void)state;
    struct sl_slice query = SL_LIT("a=1&bb=x%20y&c");
    assert_true(sl_slice_eq(sl_sim_query_get(query, SL_LIT("a"), &arena), SL_LIT("1")));
    assert_true(sl_slice_eq(sl_sim_query_get(query, SL_LIT("bb"), &arena), SL_LIT("x y")));
    assert_int_equal(sl_sim_query_get(query, SL_LIT("b"), &arena).len, 0);
    assert_int_equal(sl_sim_query_get(query, SL_LIT("c"), &arena).len, 0);
}

static void test_fault_words(void **state) {
    (void)state;
    struct sl_sim_fault f;
    assert_int_equal(sl_sim_fault_parse(SL_LIT("throttle-day"), &f), 0);
    assert_int_equal(f.place, SL_SIM_FAULT_REFUSE);
    assert_int_equal(f.kind, SL_FAILURE_THROTTLED);
    assert_int_equal(sl_sim_fault_parse(SL_LIT("delay=250, stall-midway"), &f), 0);
    assert_int_equal(f.place, SL_SIM_FAULT_MIDWAY);
    assert_int_equal(f.midway, SL_SIM_BREAK_STALL);
    assert_int_equal(f.delay_ms, 250);
    assert_int_equal(sl_sim_fault_parse(SL_LIT("delay=9"), &f), 0);
    assert_int_equal(f.place, SL_SIM_FAULT_NONE);
    assert_int_equal(sl_sim_fault_parse(SL_LIT("reset"), &f), SL_E_INVALID);
    assert_int_equal(sl_sim_fault_parse(SL_LIT("delay=x"), &f), SL_E_INVALID);
}

static void test_faults_by_count(void **state) {
    (void)state;
    struct sl_sim_faults faults;
    assert_int_equal(sl_sim_faults_init(&faults, SL_LIT("throttle/3, delay=5+503/4")), 0);
    enum sl_failure expected[] = {0,
                                  0,
                                  SL_FAILURE_THROTTLED,
                                  SL_FAILURE_UNAVAILABLE,
                                  0,
                                  SL_FAILURE_THROTTLED,
                                  0,
                                  SL_FAILURE_UNAVAILABLE};
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(sl_sim_faults_next(&faults).kind, expected[i]);
    assert_int_equal(sl_sim_faults_init(&faults, SL_EMPTY), 0);
    assert_int_equal(sl_sim_faults_next(&faults).place, SL_SIM_FAULT_NONE);
    const char *bad[] = {"throttle", "throttle/0", "throttle/x", "nothing/3", ",throttle/3"};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(sl_sim_faults_init(&faults, sl_slice_str(bad[i])), SL_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_resolve_as_on_bedrock),
        cmocka_unit_test(test_mantle_takes_bare_ids),
        cmocka_unit_test(test_catalogue_is_consistent),
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_query),
        cmocka_unit_test(test_fault_words),
        cmocka_unit_test(test_faults_by_count),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
