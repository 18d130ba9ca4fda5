/* The bucket: exact sums, the guard's two rules, clocks that step, numbers at the edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/bucket.h"
#include "sluice/base/clock.h"

#define S      SL_NS_PER_S
#define MS     SL_NS_PER_MS
#define MINUTE (60 * S)

static struct sl_bucket bucket;

static void set_up(uint64_t guard) {
    sl_bucket_init(&bucket, MINUTE, guard, 1000 * S);
}

static void refills_to_the_nanosecond(void **state) {
    (void)state;
    uint64_t now = 1000 * S;
    set_up(0);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(sl_bucket_wait(&bucket, 1, 7, now), 0);
        sl_bucket_take(&bucket, 1, 7, now);
    }
    uint64_t wait = sl_bucket_wait(&bucket, 1, 7, now); /* a seventh of a minute, rounded up */
    assert_int_equal(wait, MINUTE / 7 + 1);
    assert_int_equal(sl_bucket_wait(&bucket, 1, 7, now + wait - 1), 1);
    assert_int_equal(sl_bucket_wait(&bucket, 1, 7, now + wait), 0);
    /* Sevenths never add up to a loss. */
    for (int i = 0; i < 700; i++) {
        now += i % 7 ? MINUTE / 7 : MINUTE - 6 * (MINUTE / 7);
        assert_true(sl_bucket_wait(&bucket, 1, 7, now) <= 6);
        sl_bucket_take(&bucket, 1, 7, now);
    }
    assert_int_equal(sl_bucket_used(&bucket, 7, now), 7);
}

static void is_not_full_before_upstream_heard(void **state) {
    (void)state;
    set_up(100 * MS);
    uint64_t now = 1000 * S;
    /* 600 a minute: one flows in during the guard. */
    sl_bucket_take(&bucket, 1, 600, now);
    assert_int_equal(sl_bucket_used(&bucket, 600, now), 2);
    /* Upstream's may have been full until now, whatever has flowed into ours. */
    now += 190 * MS;
    sl_bucket_take(&bucket, 598, 600, now);
    assert_int_equal(sl_bucket_wait(&bucket, 2, 600, now), 100 * MS);
    /* The whole limit needs one that is surely full. */
    set_up(100 * MS);
    assert_int_equal(sl_bucket_wait(&bucket, 600, 600, 1000 * S), 0);
    sl_bucket_take(&bucket, 1, 600, 1000 * S);
    assert_int_equal(sl_bucket_wait(&bucket, 600, 600, 1000 * S), 200 * MS);
    assert_int_equal(sl_bucket_wait(&bucket, 599, 600, 1000 * S), 100 * MS);
    assert_int_equal(sl_bucket_wait(&bucket, 600, 600, 1000 * S + 150 * MS), 50 * MS);
    /* So does what leaves less of it than flows in during the guard. */
    set_up(200 * MS);
    sl_bucket_take(&bucket, 1, 600, 1000 * S); /* lacks 3 */
    assert_int_equal(sl_bucket_wait(&bucket, 598, 600, 1000 * S), 100 * MS);
    assert_int_equal(sl_bucket_wait(&bucket, 599, 600, 1000 * S), 300 * MS);
}

static void a_gift_may_have_overflowed_upstream(void **state) {
    (void)state;
    set_up(100 * MS);
    uint64_t then = 1000 * S, now = then + 50 * S;
    sl_bucket_take(&bucket, 600, 600, then); /* lacks 601, of which 500 flow back */
    sl_bucket_take(&bucket, 400, 600, now);
    assert_int_equal(sl_bucket_used(&bucket, 600, now), 501);
    /* 590 come back of the first. Upstream may have been full before it saw the second. */
    sl_bucket_give(&bucket, 590, then, 600, now + 10 * MS);
    assert_int_equal(sl_bucket_used(&bucket, 600, now + 10 * MS), 400);
    /* What the second gives back is surely free. */
    sl_bucket_give(&bucket, 390, now, 600, now + 10 * MS);
    assert_int_equal(sl_bucket_used(&bucket, 600, now + 10 * MS), 10);
    /* Later nothing is uncertain. */
    set_up(100 * MS);
    sl_bucket_take(&bucket, 400, 600, then);
    sl_bucket_give(&bucket, 400, then, 600, then + S);
    assert_int_equal(sl_bucket_used(&bucket, 600, then + S), 0);
}

static void clocks_may_step_back(void **state) {
    (void)state;
    set_up(0);
    sl_bucket_take(&bucket, 600, 600, 1000 * S);
    assert_int_equal(sl_bucket_wait(&bucket, 10, 600, 500 * S), S);
    sl_bucket_advance(&bucket, 600, 500 * S);
    assert_int_equal(sl_bucket_used(&bucket, 600, 1000 * S), 600);
    assert_int_equal(sl_bucket_used(&bucket, 600, UINT64_MAX), 0);
}

static void can_owe(void **state) {
    (void)state;
    set_up(0);
    sl_bucket_take(&bucket, 1200, 600, 1000 * S);
    assert_int_equal(sl_bucket_wait(&bucket, 1, 600, 1000 * S), MINUTE + 100 * MS);
    sl_bucket_give(&bucket, 1200, 1000 * S, 600, 1000 * S);
    assert_int_equal(sl_bucket_used(&bucket, 600, 1000 * S), 0);
}

static void is_exhausted_on_upstreams_word(void **state) {
    (void)state;
    set_up(0);
    sl_bucket_exhaust(&bucket, 100, 600, 1000 * S);
    assert_int_equal(sl_bucket_used(&bucket, 600, 1000 * S), 550);
    sl_bucket_exhaust(&bucket, 600, 600, 1000 * S); /* never makes it fuller */
    assert_int_equal(sl_bucket_used(&bucket, 600, 1000 * S), 550);
}

static void keeps_units_when_reshaped(void **state) {
    (void)state;
    set_up(0);
    sl_bucket_take(&bucket, 300, 600, 1000 * S);
    sl_bucket_reshape(&bucket, S, 0);
    assert_int_equal(sl_bucket_used(&bucket, 600, 1000 * S), 300);
    assert_int_equal(sl_bucket_wait(&bucket, 600, 600, 1000 * S), S / 2);
}

static void survives_extremes(void **state) {
    (void)state;
    const uint64_t most = UINT64_C(1) << 48;
    sl_bucket_init(&bucket, UINT64_C(1) << 42, 0, 0);
    for (int i = 0; i < 1000; i++)
        sl_bucket_take(&bucket, most, 1, 0);
    assert_int_equal(sl_bucket_wait(&bucket, 1, 1, 0), UINT64_MAX);
    assert_int_equal(sl_bucket_used(&bucket, most, UINT64_MAX), 0);
    assert_int_equal(sl_bucket_used(&bucket, 0, 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refills_to_the_nanosecond),
        cmocka_unit_test(is_not_full_before_upstream_heard),
        cmocka_unit_test(a_gift_may_have_overflowed_upstream),
        cmocka_unit_test(clocks_may_step_back),
        cmocka_unit_test(can_owe),
        cmocka_unit_test(is_exhausted_on_upstreams_word),
        cmocka_unit_test(keeps_units_when_reshaped),
        cmocka_unit_test(survives_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
