/* Budgets: what is counted at each level, whatever fails on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/budget.h"

static void a_child_counts_against_its_parent(void **state) {
    (void)state;
    struct sl_budget whole, part;
    sl_budget_init(&whole, 100, NULL);
    sl_budget_init(&part, 60, &whole);
    assert_true(sl_budget_take(&part, 50));
    assert_false(sl_budget_take(&part, 11));
    assert_true(sl_budget_take(&whole, 45));
    assert_false(sl_budget_take(&part, 6));
    assert_int_equal(whole.used, 95);
    sl_budget_give(&part, 50);
    assert_int_equal(whole.used, 45);
}

static void what_is_prepaid_cannot_be_taken_by_others(void **state) {
    (void)state;
    struct sl_budget whole, body;
    sl_budget_init(&whole, 100, NULL);
    sl_budget_init(&body, SIZE_MAX, &whole);
    assert_true(sl_budget_prepay(&body, 80));
    assert_false(sl_budget_take(&whole, 21));
    assert_true(sl_budget_take(&body, 80));
    assert_int_equal(whole.used, 80);
    assert_true(sl_budget_take(&body, 20)); /* beyond it */
    assert_int_equal(whole.used, 100);
    sl_budget_give(&body, 100);
    assert_int_equal(whole.used, 80);
    assert_true(sl_budget_prepay(&body, 0));
    assert_int_equal(whole.used, 0);
}

static void a_move_that_fails_changes_nothing(void **state) {
    (void)state;
    struct sl_budget whole, strangers, body;
    sl_budget_init(&whole, 100, NULL);
    sl_budget_init(&strangers, 50, &whole);
    sl_budget_init(&body, SIZE_MAX, &strangers);
    assert_true(sl_budget_take(&body, 40));
    whole.max = 30; /* lowered while it is in use */
    strangers.max = 15;
    assert_false(sl_budget_move(&body, &whole));
    assert_int_equal(strangers.used, 40);
    assert_int_equal(whole.used, 40);
    whole.max = 100;
    assert_true(sl_budget_move(&body, &whole));
    assert_int_equal(strangers.used, 0);
    assert_int_equal(whole.used, 40);
    sl_budget_give(&body, 40);
    assert_int_equal(whole.used, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_counts_against_its_parent),
        cmocka_unit_test(what_is_prepaid_cannot_be_taken_by_others),
        cmocka_unit_test(a_move_that_fails_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
