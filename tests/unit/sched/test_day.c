/* The day's quota: its reset, clocks that step, parking and a reset that lies elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/day.h"
#include "sluice/base/clock.h"

#define S      SL_NS_PER_S
#define MINUTE (60 * S)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define NOON   (20000 * DAY + 12 * HOUR)

static struct sl_day day;

static void waits_for_midnight(void **state) {
    (void)state;
    sl_day_init(&day, 0, NOON);
    sl_day_take(&day, 900, 0, NOON);
    assert_int_equal(sl_day_wait(&day, 100, 1000, 0, NOON), 0);
    assert_int_equal(sl_day_wait(&day, 101, 1000, 0, NOON), 12 * HOUR);
    assert_int_equal(sl_day_wait(&day, 101, 1000, 0, NOON + 12 * HOUR - 1), 1);
    assert_int_equal(sl_day_wait(&day, 101, 1000, 0, NOON + 12 * HOUR), 0);
    assert_int_equal(sl_day_wait(&day, 101, 0, 0, NOON), 0); /* no limit */
    sl_day_give(&day, 850, NOON, 0, NOON + HOUR);
    assert_int_equal(sl_day_used(&day, 0, NOON + HOUR), 50);
    assert_int_equal(sl_day_used(&day, 0, NOON + 12 * HOUR), 0);
}

static void gives_back_only_to_the_day_it_took_from(void **state) {
    (void)state;
    sl_day_init(&day, 0, NOON);
    sl_day_take(&day, 500, 0, NOON);
    sl_day_take(&day, 300, 0, NOON + DAY);
    sl_day_give(&day, 500, NOON, 0, NOON + DAY);
    assert_int_equal(sl_day_used(&day, 0, NOON + DAY), 300);
}

static void is_not_doubled_by_a_clock_set_back(void **state) {
    (void)state;
    sl_day_init(&day, 0, NOON);
    sl_day_take(&day, 1000, 0, NOON);
    assert_int_equal(sl_day_used(&day, HOUR, NOON - 13 * HOUR), 1000); /* yesterday, it says */
    assert_true(sl_day_wait(&day, 1, 1000, HOUR, NOON - 13 * HOUR) > 0);
    sl_day_take(&day, 1, HOUR, NOON - 13 * HOUR);
    assert_int_equal(sl_day_used(&day, HOUR, NOON), 1001);
    /* But a day that has really passed ends, and when it does was foretold. */
    uint64_t wait = sl_day_wait(&day, 1, 1000, HOUR, NOON - 13 * HOUR);
    assert_int_equal(wait, 23 * HOUR);
    assert_int_equal(sl_day_wait(&day, 1, 1000, HOUR + wait, NOON - 13 * HOUR + wait), 0);
    /* Or when the wall clock has come round to its end. */
    assert_int_equal(sl_day_wait(&day, 1, 1000, 2 * HOUR, NOON - HOUR), 13 * HOUR);
    assert_int_equal(sl_day_wait(&day, 1, 1000, 15 * HOUR, NOON + 12 * HOUR), 0);
}

static void a_clock_set_forward_opens_a_day(void **state) {
    (void)state;
    sl_day_init(&day, 0, NOON);
    sl_day_take(&day, 1000, 0, NOON);
    assert_int_equal(sl_day_wait(&day, 1, 1000, 1, NOON + 5 * DAY), 0);
}

static void parks_until_the_reset(void **state) {
    (void)state;
    sl_day_init(&day, 0, NOON);
    sl_day_refused(&day, 1, 0, 2, NOON);
    sl_day_refused(&day, 1, 0, 3, NOON + 1); /* sent before: the same event */
    assert_int_equal(sl_day_park_wait(&day, 3, NOON), 12 * HOUR);
    assert_int_equal(sl_day_park_wait(&day, 3, NOON + 12 * HOUR), 0);
    /* A clock set back does not park it for longer than a day. */
    assert_int_equal(sl_day_park_wait(&day, 2 + DAY, NOON - 5 * DAY), 0);
    sl_day_accepted(&day, 1, NOON); /* of before */
    assert_true(day.parked);
    sl_day_accepted(&day, 4, NOON + 12 * HOUR);
    assert_false(day.parked);
    assert_int_equal(day.offset_ns, 0);
    sl_day_init(&day, 0, NOON);
    sl_day_refused(&day, 1, 13 * HOUR, 2, NOON); /* upstream knows better */
    assert_int_equal(sl_day_park_wait(&day, 2, NOON), 13 * HOUR);
}

static void finds_a_reset_that_lies_elsewhere(void **state) {
    (void)state;
    const uint64_t midnight = NOON + 12 * HOUR;
    sl_day_init(&day, 0, NOON);
    sl_day_refused(&day, 1, 0, 2, NOON);
    uint64_t now = 12 * HOUR, wall = midnight;
    for (int i = 0; i < 9; i++) { /* refused until eight hours later */
        sl_day_refused(&day, now, 0, now + 1, wall);
        uint64_t wait = sl_day_park_wait(&day, now + 1, wall);
        assert_int_equal(wait, i < 6 ? MINUTE << i : HOUR);
        now += wait + 1;
        wall += wait + 1;
    }
    sl_day_accepted(&day, now, wall);
    assert_int_equal(day.offset_ns, wall - midnight);
    sl_day_take(&day, 10, now, wall);
    assert_int_equal(sl_day_used(&day, now, wall + DAY - 1), 10);
    assert_int_equal(sl_day_used(&day, now, wall + DAY), 0);
}

static void a_refusal_right_after_midnight_is_a_matter_of_clocks(void **state) {
    (void)state;
    sl_day_init(&day, 0, NOON);
    sl_day_refused(&day, 1, 0, 2, NOON + 12 * HOUR + S);
    assert_int_equal(sl_day_park_wait(&day, 2, NOON + 12 * HOUR + S), MINUTE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_for_midnight),
        cmocka_unit_test(gives_back_only_to_the_day_it_took_from),
        cmocka_unit_test(is_not_doubled_by_a_clock_set_back),
        cmocka_unit_test(a_clock_set_forward_opens_a_day),
        cmocka_unit_test(parks_until_the_reset),
        cmocka_unit_test(finds_a_reset_that_lies_elsewhere),
        cmocka_unit_test(a_refusal_right_after_midnight_is_a_matter_of_clocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
