/* What a limit learns from refusals, and how the window's kind is found out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/burst.h"
#include "sched/learn.h"
#include "sluice/base/clock.h"

#define S      SL_NS_PER_S
#define MINUTE (60 * S)

static struct sl_learner learner;

static bool refuse(uint64_t used, uint64_t asked, uint64_t sent_at, uint64_t now) {
    const struct sl_evidence evidence = {.sent_at = sent_at,
                                         .used = used,
                                         .asked = asked,
                                         .in_force = sl_learner_limit(&learner),
                                         .window = MINUTE};
    return sl_learner_refused(&learner, &evidence, now);
}

static void learns_the_bound(void **state) {
    (void)state;
    sl_learner_init(&learner, 1);
    assert_int_equal(sl_learner_limit(&learner), 0);
    assert_true(refuse(640, 1, 1, 2));
    assert_int_equal(learner.ceiling, 640); /* less than 641 */
    assert_int_equal(sl_learner_limit(&learner), 630);
}

static void a_burst_is_one_event(void **state) {
    (void)state;
    sl_learner_init(&learner, 1);
    assert_true(refuse(1000, 1, 100, 200));
    /* As more of the burst comes back, the sum falls to what was really accepted. */
    for (uint64_t used = 999; used >= 640; used--)
        assert_false(refuse(used, 1, 150, 300));
    assert_int_equal(learner.ceiling, 640);
    assert_int_equal(sl_learner_limit(&learner), 630);
    assert_false(refuse(2000, 1, 150, 300)); /* a looser bound says nothing */
    assert_int_equal(learner.ceiling, 640);
}

static void steps_grow_while_refusals_follow(void **state) {
    (void)state;
    sl_learner_init(&learner, 1);
    sl_learner_begin(&learner, 64000, MINUTE);
    uint64_t now = 1000 * S, before = 64000;
    const uint64_t parts[] = {64, 32, 16, 8, 4, 4};
    for (int i = 0; i < 6; i++) {
        assert_true(refuse(100000, 1, now - 1, now));
        assert_int_equal(sl_learner_limit(&learner), before - before / parts[i]);
        before = sl_learner_limit(&learner);
        now += S;
    }
    now += 2 * MINUTE;
    assert_true(refuse(100000, 1, now - 1, now)); /* rare again: small again */
    assert_int_equal(sl_learner_limit(&learner), before - before / 64);
}

static void agreement_makes_it_hold(void **state) {
    (void)state;
    sl_learner_init(&learner, 1);
    uint64_t now = 0;
    for (int i = 0; i < 8; i++, now += 10 * MINUTE) {
        refuse(64000, 1, now, now + 1);
        assert_int_equal(learner.hold_ns, (i < 3 ? UINT64_C(4) << i : 32) * MINUTE);
    }
    refuse(50000, 1, now, now + 1); /* another level */
    assert_int_equal(learner.hold_ns, 4 * MINUTE);
}

static void recovers_along_a_cubic(void **state) {
    (void)state;
    sl_learner_init(&learner, 1);
    refuse(64000, 1, 1, 2);
    uint64_t last = sl_learner_limit(&learner), low = last;
    sl_learner_age(&learner, MINUTE); /* a quarter of the hold: more than half is back */
    assert_true(sl_learner_limit(&learner) - low > 500);
    for (int i = 0; i < 200; i++) {
        assert_true(sl_learner_limit(&learner) >= last);
        last = sl_learner_limit(&learner);
        if (learner.age_ns == 4 * MINUTE)
            assert_int_equal(last, 64000);
        if (learner.age_ns == 5 * MINUTE)
            assert_in_range(last, 64000, 64200); /* flat around what was refused */
        sl_learner_age(&learner, MINUTE);
    }
    assert_true(last > 10 * 64000);
    sl_learner_age(&learner, UINT64_MAX);
    assert_true(sl_learner_limit(&learner) <= UINT64_C(1) << 48);
}

static void never_halves_twice_at_once(void **state) {
    (void)state;
    sl_learner_init(&learner, 1000);
    sl_learner_begin(&learner, 100000, MINUTE);
    refuse(10, 5, 1, 2); /* others used it up */
    assert_in_range(sl_learner_limit(&learner), 45000, 50000);
    sl_learner_init(&learner, 1000);
    refuse(10, 5, 1, 2); /* nor is a quota of 15 tokens believed */
    assert_in_range(sl_learner_limit(&learner), 1, 1000);
    assert_int_equal(learner.ceiling, 1000);
}

static void large_calls_leave_doubt(void **state) {
    (void)state;
    sl_learner_init(&learner, 1);
    refuse(90000, 10000, 1, 2); /* the limit is in 90,000 to 99,999 */
    assert_int_equal(sl_learner_limit(&learner), 94999);
}

/* The window's kind. */

static void opens_when_more_lasts(void **state) {
    (void)state;
    struct sl_burst burst;
    sl_burst_init(&burst);
    const uint64_t span = MINUTE + S / 10, limit = 3200;
    uint64_t now = 0;
    sl_burst_used(&burst, 3000, limit, false, span, now);
    assert_int_equal(burst.state, SL_BURST_TRAILING);
    sl_burst_used(&burst, 3200, limit, true, span, now);
    assert_int_equal(burst.state, SL_BURST_TRYING);
    assert_int_equal(sl_burst_extra(&burst, limit), 100);
    sl_burst_used(&burst, 3251, limit, true, span, now);
    sl_burst_used(&burst, 3300, limit, true, span, now + span - 1); /* has not lasted yet */
    assert_int_equal(sl_burst_extra(&burst, limit), 100);
    sl_burst_used(&burst, 3200, limit, true, span, now + span); /* is not above */
    assert_int_equal(sl_burst_extra(&burst, limit), 100);
    sl_burst_used(&burst, 3300, limit, true, span, now + span);
    assert_int_equal(sl_burst_extra(&burst, limit), 400);
    now += span;
    sl_burst_used(&burst, 3600, limit, true, span, now);
    sl_burst_used(&burst, 3600, limit, true, span, now + span);
    assert_int_equal(burst.state, SL_BURST_OPEN);
    assert_int_equal(sl_burst_extra(&burst, limit), 0);
}

static void a_refusal_bars_for_long(void **state) {
    (void)state;
    struct sl_burst burst;
    sl_burst_init(&burst);
    uint64_t now = 0;
    for (uint64_t windows = 60; windows < 300; windows *= 2) {
        sl_burst_used(&burst, 100, 100, true, MINUTE, now);
        assert_int_equal(burst.state, SL_BURST_TRYING);
        sl_burst_refused(&burst, MINUTE, now);
        assert_int_equal(burst.state, SL_BURST_TRAILING);
        sl_burst_used(&burst, 100, 100, true, MINUTE, now + windows * MINUTE - 1);
        assert_int_equal(burst.state, SL_BURST_TRAILING);
        now += windows * MINUTE;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_the_bound),
        cmocka_unit_test(a_burst_is_one_event),
        cmocka_unit_test(steps_grow_while_refusals_follow),
        cmocka_unit_test(agreement_makes_it_hold),
        cmocka_unit_test(recovers_along_a_cubic),
        cmocka_unit_test(never_halves_twice_at_once),
        cmocka_unit_test(large_calls_leave_doubt),
        cmocka_unit_test(opens_when_more_lasts),
        cmocka_unit_test(a_refusal_bars_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
