/* The breaker: what opens it, what does not, its probe. And the retry budget. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/breaker.h"
#include "sched/retry.h"
#include "sluice/base/clock.h"

#define S  SL_NS_PER_S
#define MS SL_NS_PER_MS

static const struct sl_backoff backoff = {.base_ns = S, .max_ns = 30 * S};
static struct sl_breaker breaker;

static void set_up(void) {
    sl_breaker_init(&breaker, 100 * MS, 7);
}

static void fails(int calls, uint64_t now) {
    for (int i = 0; i < calls; i++)
        sl_breaker_failed(&breaker, now - MS, 50, &backoff, now);
}

static void succeeds(int calls, uint64_t now) {
    for (int i = 0; i < calls; i++)
        sl_breaker_succeeded(&breaker, now - MS, now);
}

static bool is_open(uint64_t now) { /* lets nothing through */
    return sl_gate_state(&breaker.gate, now) != SL_GATE_OPEN;
}

static void opens_on_a_share_of_enough_calls(void **state) {
    (void)state;
    set_up();
    fails(9, 100 * S);
    assert_false(is_open(100 * S)); /* too few to tell */
    fails(1, 100 * S);
    assert_true(is_open(100 * S));
    set_up();
    succeeds(11, 100 * S);
    fails(10, 100 * S);
    assert_false(is_open(100 * S)); /* 10 of 21 */
    fails(1, 100 * S);
    assert_true(is_open(100 * S));
}

static void forgets_after_ten_seconds(void **state) {
    (void)state;
    set_up();
    fails(9, 100 * S);
    fails(1, 110 * S);
    assert_false(is_open(110 * S));
    set_up();
    succeeds(100, 100 * S);
    fails(10, 112 * S);
    assert_true(is_open(112 * S));
}

static void its_probe_decides(void **state) {
    (void)state;
    set_up();
    fails(10, 100 * S);
    uint64_t probe = breaker.gate.opens_at;
    assert_true(sl_gate_pass(&breaker.gate, probe));
    sl_breaker_failed(&breaker, probe, 50, &backoff, probe + MS); /* one is enough now */
    assert_true(is_open(probe + MS));
    assert_int_equal(breaker.gate.tries, 2);
    probe = breaker.gate.opens_at;
    assert_true(sl_gate_pass(&breaker.gate, probe));
    sl_breaker_succeeded(&breaker, 100 * S, probe); /* sent before it opened: no word */
    assert_true(is_open(probe));
    sl_breaker_succeeded(&breaker, probe, probe + 1);
    assert_false(is_open(probe + 1));
}

static void stragglers_do_not_open_it_again(void **state) {
    (void)state;
    set_up();
    fails(10, 100 * S);
    uint64_t probe = breaker.gate.opens_at;
    sl_gate_pass(&breaker.gate, probe);
    sl_breaker_succeeded(&breaker, probe, probe + 1);
    for (int i = 0; i < 100; i++)
        sl_breaker_failed(&breaker, 99 * S, 50, &backoff, probe + 2);
    assert_false(is_open(probe + 2));
}

static void can_be_off(void **state) {
    (void)state;
    set_up();
    for (int i = 0; i < 100; i++)
        sl_breaker_failed(&breaker, 99 * S, 0, &backoff, 100 * S);
    assert_false(is_open(100 * S));
}

static void retries_are_a_share_of_calls(void **state) {
    (void)state;
    struct sl_retry retry;
    sl_retry_init(&retry, 0);
    uint64_t retries = 0, now = 0;
    for (int i = 0; i < 10000; i++) { /* every call fails, and every retry: in no time */
        sl_retry_earn(&retry, 20);
        while (sl_retry_spend(&retry, 20, now)) {
            retries++;
            sl_retry_earn(&retry, 20);
        }
    }
    assert_in_range(retries, 2000, 2000 + 20);
    assert_false(sl_retry_spend(&retry, 20, 10 * S - 1));
    assert_true(sl_retry_spend(&retry, 20, 10 * S)); /* one in ten seconds is free */
    assert_false(sl_retry_spend(&retry, 20, 10 * S));
    sl_retry_init(&retry, 0);
    assert_false(sl_retry_spend(&retry, 0, 100 * S));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens_on_a_share_of_enough_calls),
        cmocka_unit_test(forgets_after_ten_seconds),
        cmocka_unit_test(its_probe_decides),
        cmocka_unit_test(stragglers_do_not_open_it_again),
        cmocka_unit_test(can_be_off),
        cmocka_unit_test(retries_are_a_share_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
