/* The gate: backoff with full jitter, one probe, patience, old news. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/gate.h"
#include "sluice/base/clock.h"

#define S  SL_NS_PER_S
#define MS SL_NS_PER_MS

static const struct sl_backoff backoff = {.base_ns = S, .max_ns = 30 * S};
static struct sl_gate gate;

static void set_up(uint64_t seed) {
    sl_gate_init(&gate, 100 * MS, seed);
}

static void closes_for_the_backoff_then_passes_one(void **state) {
    (void)state;
    set_up(1);
    assert_false(sl_gate_pass(&gate, 0));
    assert_true(sl_gate_refused(&gate, 0, &backoff, 10 * MS));
    assert_int_equal(sl_gate_state(&gate, 10 * MS), SL_GATE_CLOSED);
    uint64_t wait = sl_gate_wait(&gate, 10 * MS);
    assert_in_range(wait, 1, S);
    assert_int_equal(sl_gate_wait(&gate, 10 * MS + wait - 1), 1);
    uint64_t now = 10 * MS + wait;
    assert_int_equal(sl_gate_state(&gate, now), SL_GATE_HALF);
    assert_true(sl_gate_pass(&gate, now));
    assert_int_equal(sl_gate_state(&gate, now), SL_GATE_PROBING);
    assert_true(sl_gate_wait(&gate, now) > 0);
    sl_gate_accepted(&gate, now);
    assert_int_equal(sl_gate_state(&gate, now), SL_GATE_OPEN);
    assert_int_equal(gate.tries, 0);
}

static void doubles_with_full_jitter_up_to_the_cap(void **state) {
    (void)state;
    uint64_t sum[8] = {0}, most[8] = {0};
    for (uint64_t seed = 0; seed < 2000; seed++) {
        set_up(seed * 77);
        uint64_t now = 0;
        for (int i = 0; i < 8; i++) {
            assert_true(sl_gate_refused(&gate, now, &backoff, now));
            uint64_t wait = sl_gate_wait(&gate, now);
            sum[i] += wait;
            most[i] = wait > most[i] ? wait : most[i];
            now += wait;
            assert_true(sl_gate_pass(&gate, now));
        }
    }
    for (int i = 0; i < 8; i++) {
        uint64_t cap = (S << i) < 30 * S ? S << i : 30 * S;
        assert_in_range(sum[i] / 2000, cap * 45 / 100, cap * 55 / 100);
        assert_in_range(most[i], cap * 95 / 100, cap);
    }
}

static void honours_upstreams_word(void **state) {
    (void)state;
    set_up(1);
    const struct sl_backoff asked = {S, 30 * S, 90 * S};
    assert_true(sl_gate_refused(&gate, 0, &asked, 0));
    assert_int_equal(sl_gate_wait(&gate, 0), 90 * S);
    set_up(1);
    assert_true(sl_gate_refused(&gate, 5, &backoff, 10));
    assert_false(sl_gate_refused(&gate, 5, &asked, 20)); /* old, but its word counts */
    assert_int_equal(sl_gate_wait(&gate, 20), 90 * S);
}

static void old_calls_neither_open_nor_double(void **state) {
    (void)state;
    set_up(1);
    assert_true(sl_gate_refused(&gate, 5 * MS, &backoff, 10 * MS));
    uint64_t opens = gate.opens_at;
    for (int i = 0; i < 50; i++)
        assert_false(sl_gate_refused(&gate, 6 * MS, &backoff, 11 * MS));
    sl_gate_accepted(&gate, 9 * MS);
    assert_int_equal(gate.opens_at, opens);
    assert_int_equal(gate.tries, 1);
    assert_int_equal(sl_gate_state(&gate, 11 * MS), SL_GATE_CLOSED);
    /* Nor after it has opened. */
    assert_true(sl_gate_pass(&gate, opens));
    sl_gate_accepted(&gate, opens);
    assert_false(sl_gate_refused(&gate, 6 * MS, &backoff, opens + 1));
    assert_int_equal(sl_gate_state(&gate, opens + 1), SL_GATE_OPEN);
}

static void no_bad_news_is_good_news(void **state) {
    (void)state;
    set_up(1);
    sl_gate_refused(&gate, 0, &backoff, 400 * MS); /* a refusal took 400 ms */
    uint64_t probe = gate.opens_at;
    assert_true(sl_gate_pass(&gate, probe));
    uint64_t wait = sl_gate_wait(&gate, probe);
    assert_int_equal(wait, 800 * MS + 1);
    assert_int_equal(sl_gate_state(&gate, probe + wait - 1), SL_GATE_PROBING);
    assert_false(sl_gate_pass(&gate, probe + wait));
    assert_int_equal(sl_gate_state(&gate, probe + wait), SL_GATE_OPEN);
    /* If the probe is refused after all, it is news again. */
    assert_true(sl_gate_refused(&gate, probe, &backoff, probe + 2 * S));
    assert_int_equal(gate.tries, 2);
}

static void a_lost_probe_lets_another_pass(void **state) {
    (void)state;
    set_up(1);
    sl_gate_refused(&gate, 0, &backoff, 1);
    uint64_t probe = gate.opens_at;
    assert_true(sl_gate_pass(&gate, probe));
    sl_gate_probe_lost(&gate, probe - 1); /* another call */
    assert_int_equal(sl_gate_state(&gate, probe), SL_GATE_PROBING);
    sl_gate_probe_lost(&gate, probe);
    assert_int_equal(sl_gate_state(&gate, probe), SL_GATE_HALF);
    assert_true(sl_gate_pass(&gate, probe));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(closes_for_the_backoff_then_passes_one),
        cmocka_unit_test(doubles_with_full_jitter_up_to_the_cap),
        cmocka_unit_test(honours_upstreams_word),
        cmocka_unit_test(old_calls_neither_open_nor_double),
        cmocka_unit_test(no_bad_news_is_good_news),
        cmocka_unit_test(a_lost_probe_lets_another_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
