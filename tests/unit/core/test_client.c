/* Clients: names of classes, and which models a key may use. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/core/client.h"

static void classes_have_names(void **state) {
    (void)state;
    for (enum sl_class c = SL_CLASS_INTERACTIVE; c < SL_CLASS_COUNT; c++)
        assert_int_equal(sl_class_named(sl_class_name(c)), c);
    assert_int_equal(sl_class_named(SL_LIT("batch")), SL_CLASS_BATCH);
    assert_int_equal(sl_class_named(SL_LIT("Batch")), SL_CLASS_COUNT);
    assert_int_equal(sl_class_named(SL_LIT("urgent")), SL_CLASS_COUNT);
    assert_int_equal(sl_class_named(SL_EMPTY), SL_CLASS_COUNT);
    assert_int_equal(sl_class_name(SL_CLASS_COUNT).len, 0);
}

static void everybody_may_do_everything(void **state) {
    (void)state;
    struct sl_client *client = sl_client_everybody();
    assert_ptr_equal(client, sl_client_everybody());
    assert_true(client->unlimited);
    assert_true(client->refs > 0);
    assert_int_equal(client->tenant, 0);
    assert_int_equal(client->priority, SL_CLASS_INTERACTIVE);
    assert_int_equal(client->cache, SL_CACHE_UNSET);
    assert_true(sl_client_allows_model(client, SL_LIT("any.model")));
}

static void patterns(void **state) {
    static const struct {
        const char *pattern, *model;
        bool allowed;
    } cases[] = {
        {"a.b", "a.b", true},
        {"a.b", "a.bc", false},
        {"a.b", "xa.b", false},
        {"a.b", "A.b", false},
        {"a?b", "a.b", false}, /* '*' only */
        {"*", "anything", true},
        {"*", "", true},
        {"", "", true},
        {"", "a", false},
        {"us.*", "us.meta.llama", true},
        {"us.*", "us.", true},
        {"us.*", "us", false},
        {"*llama*", "us.meta.llama3", true},
        {"*llama*", "llama", true},
        {"*llama*", "us.meta.lama3", false},
        {"*.llama3-*:0", "meta.llama3-70b:0", true},
        {"*.llama3-*:0", "meta.llama3-70b:1", false},
        {"*ab", "aab", true},
        {"*ab", "abab", true},
        {"*ab", "aba", false},
        {"a**b", "ab", true},
        {"*a*b*", "xxbxaxxb", true},
        {"*a*b*", "xxbxa", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct sl_slice models[] = {SL_LIT("no.such"), sl_slice_str(cases[i].pattern)};
        struct sl_client client = {.models = models, .model_count = 2};
        if (sl_client_allows_model(&client, sl_slice_str(cases[i].model)) != cases[i].allowed)
            fail_msg("'%s' and '%s'", cases[i].pattern, cases[i].model);
    }
    const struct sl_client any = {.model_count = 0};
    assert_true(sl_client_allows_model(&any, SL_LIT("a.b")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_have_names),
        cmocka_unit_test(everybody_may_do_everything),
        cmocka_unit_test(patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
