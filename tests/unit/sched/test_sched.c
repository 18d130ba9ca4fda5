/* Admission: order, bounds, deadlines; time is virtual. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/clock.h"
#include "sluice/sched/sched.h"

static const struct sl_sched_settings settings = {
    .max_in_flight = 2, .max_requests = 4, .max_bytes = 1000, .max_wait_ns = 100};

static void grants_in_order_up_to_the_limit(void **state) {
    (void)state;
    struct sl_sched sched;
    struct sl_ticket t[4];
    sl_sched_init(&sched, &settings);
    for (int i = 0; i < 4; i++) {
        sl_ticket_init(&t[i]);
        assert_int_equal(sl_sched_submit(&sched, &t[i], 10, 0), SL_OK);
    }
    assert_ptr_equal(sl_sched_next(&sched), &t[0]);
    assert_ptr_equal(sl_sched_next(&sched), &t[1]);
    assert_null(sl_sched_next(&sched));
    sl_sched_release(&sched, &t[2]); /* its client left */
    sl_sched_release(&sched, &t[0]); /* done */
    assert_ptr_equal(sl_sched_next(&sched), &t[3]);
    assert_null(sl_sched_next(&sched));
    sl_sched_release(&sched, &t[1]);
    sl_sched_release(&sched, &t[3]);
    assert_int_equal(sched.in_flight, 0);
    assert_int_equal(sched.waiting_bytes, 0);
}

static void is_bounded_in_number_and_bytes(void **state) {
    (void)state;
    struct sl_sched sched;
    struct sl_ticket t[5];
    sl_sched_init(&sched, &settings);
    for (int i = 0; i < 5; i++)
        sl_ticket_init(&t[i]);
    assert_int_equal(sl_sched_submit(&sched, &t[0], 990, 0), SL_OK);
    assert_int_equal(sl_sched_submit(&sched, &t[1], 11, 0), SL_E_LIMIT);
    assert_int_equal(t[1].state, SL_TICKET_IDLE);
    for (int i = 1; i < 4; i++)
        assert_int_equal(sl_sched_submit(&sched, &t[i], 1, 0), SL_OK);
    assert_int_equal(sl_sched_submit(&sched, &t[4], 1, 0), SL_E_LIMIT);
    for (int i = 0; i < 4; i++)
        sl_sched_release(&sched, &t[i]);
}

static void lowered_limits_hold_for_what_comes(void **state) {
    (void)state;
    struct sl_sched_settings lower = settings;
    struct sl_sched sched;
    struct sl_ticket t[2];
    sl_sched_init(&sched, &settings);
    for (int i = 0; i < 2; i++)
        sl_ticket_init(&t[i]);
    assert_int_equal(sl_sched_submit(&sched, &t[0], 500, 0), SL_OK);
    lower.max_bytes = 100;
    sl_sched_configure(&sched, &lower);
    assert_int_equal(sl_sched_submit(&sched, &t[1], 1, 0), SL_E_LIMIT);
    assert_true(sl_sched_can_start(&sched));
    assert_ptr_equal(sl_sched_next(&sched), &t[0]);
    assert_false(sl_sched_can_start(&sched));
    sl_sched_release(&sched, &t[0]);
}

static void gives_up_what_waited_too_long(void **state) {
    (void)state;
    struct sl_sched sched;
    struct sl_ticket t[2];
    sl_sched_init(&sched, &settings);
    assert_true(sl_sched_next_deadline(&sched) == SL_NEVER);
    for (int i = 0; i < 2; i++) {
        sl_ticket_init(&t[i]);
        assert_int_equal(sl_sched_submit(&sched, &t[i], 1, (uint64_t)i * 10), SL_OK);
    }
    assert_int_equal(sl_sched_next_deadline(&sched), 100);
    assert_null(sl_sched_expired(&sched, 99));
    assert_ptr_equal(sl_sched_expired(&sched, 105), &t[0]);
    assert_null(sl_sched_expired(&sched, 105));
    assert_int_equal(sl_sched_next_deadline(&sched), 110);
    sl_sched_release(&sched, &t[0]); /* harmless after expiry */
    sl_sched_release(&sched, &t[1]);
    assert_int_equal(sched.waiting_count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_in_order_up_to_the_limit),
        cmocka_unit_test(is_bounded_in_number_and_bytes),
        cmocka_unit_test(lowered_limits_hold_for_what_comes),
        cmocka_unit_test(gives_up_what_waited_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
