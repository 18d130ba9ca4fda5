#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/nearest.h"

static size_t distance(const char *a, const char *b) {
    return sl_edit_distance(sl_slice_str(a), sl_slice_str(b));
}

static void test_distance(void **state) {
    static const struct {
        const char *a, *b;
        size_t distance;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"abc", "abc", 0},
        {"ABC", "abc", 0},
        {"regoin", "region", 1},
        {"regon", "region", 1},
        {"regions", "region", 1},
        {"rexion", "region", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"abcd", "badc", 2},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(distance(cases[i].a, cases[i].b), cases[i].distance);
        assert_int_equal(distance(cases[i].b, cases[i].a), cases[i].distance);
    }
}

static void test_long_names_are_far(void **state) {
    char longest[SL_NEAREST_MAX + 1];
    (void)state;
    memset(longest, 'a', sizeof(longest));
    struct sl_slice fits = sl_slice_of(longest, SL_NEAREST_MAX);
    struct sl_slice over = sl_slice_of(longest, SL_NEAREST_MAX + 1);
    assert_int_equal(sl_edit_distance(fits, fits), 0);
    assert_true(sl_edit_distance(fits, over) == SIZE_MAX);
}

static void test_near(void **state) {
    (void)state;
    assert_true(sl_is_near(SL_LIT("tsl"), 1));
    assert_false(sl_is_near(SL_LIT("tsl"), 2));
    assert_true(sl_is_near(SL_LIT("regoin"), 2));
    assert_false(sl_is_near(SL_LIT("regoin"), 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_long_names_are_far),
        cmocka_unit_test(test_near),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
