/* The sketch never says less than was counted, seldom more, and forgets by halves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "answer/sketch.h"
#include "entries.h"
#include "sluice/base/mem.h"

static uint64_t hash_of(uint64_t key) {
    uint64_t seed = key * 7 + 1;
    return next_random(&seed);
}

static void counts_at_least_and_seldom_more(void **state) {
    (void)state;
    enum { KEYS = 2000 };
    struct sl_sketch sketch;
    unsigned more = 0;
    assert_int_equal(sl_sketch_init(&sketch, KEYS / 8), SL_OK);
    assert_int_equal(sketch.count, 256);
    for (unsigned round = 1; round <= 20; round++)
        for (uint64_t key = 0; key < KEYS; key++)
            if (round <= key % 21)
                sl_sketch_touch(&sketch, hash_of(key), UINT64_MAX);
    for (uint64_t key = 0; key < KEYS; key++) {
        unsigned counted = key % 21 < SL_SKETCH_MOST ? (unsigned)(key % 21) : SL_SKETCH_MOST;
        unsigned said = sl_sketch_estimate(&sketch, hash_of(key));
        assert_true(said >= counted && said <= SL_SKETCH_MOST);
        more += said > counted;
    }
    assert_true(more < KEYS / 20);
    for (uint64_t key = KEYS; key < 2 * KEYS; key++)
        more += sl_sketch_estimate(&sketch, hash_of(key)) > 2;
    assert_true(more < KEYS / 10);
    sl_sketch_done(&sketch);
}

/* A halving is in force for every key from the touch that starts it, however far it has got. */
static void halves_at_once_though_done_in_steps(void **state) {
    (void)state;
    enum { BLOCKS = 64, PERIOD = 4096, KEYS = 60 };
    struct sl_sketch sketch;
    unsigned before[KEYS];
    uint64_t touches = 0;
    assert_int_equal(sl_sketch_init(&sketch, BLOCKS), SL_OK);
    for (uint64_t key = 0; key < KEYS; key++)
        for (uint64_t i = 0; i < key % 12; i++, touches++)
            sl_sketch_touch(&sketch, hash_of(key), PERIOD);
    /* The touches up to the period are of keys outside, of other blocks or other counters. */
    for (; touches < PERIOD - 1; touches++)
        sl_sketch_touch(&sketch, hash_of(1000000 + touches % 3), PERIOD);
    for (uint64_t key = 0; key < KEYS; key++)
        before[key] = sl_sketch_estimate(&sketch, hash_of(key));
    for (int step = 0; step <= BLOCKS; step++) {
        sl_sketch_touch(&sketch, hash_of(1000000), PERIOD);
        for (uint64_t key = 0; key < KEYS; key++)
            assert_int_equal(sl_sketch_estimate(&sketch, hash_of(key)), before[key] / 2);
    }
    assert_int_equal(sketch.halved, sketch.count);
    sl_sketch_done(&sketch);
}

static void counts_right_while_halving(void **state) {
    (void)state;
    enum { BLOCKS = 64, PERIOD = 2048 };
    struct sl_sketch sketch;
    assert_int_equal(sl_sketch_init(&sketch, BLOCKS), SL_OK);
    /* The last block is halved last. */
    uint64_t hash = UINT64_MAX, other = 0;
    for (int i = 0; i < PERIOD; i++)
        sl_sketch_touch(&sketch, other, PERIOD);
    assert_int_equal(sl_sketch_estimate(&sketch, hash), 0);
    for (unsigned i = 1; i <= 5; i++) {
        sl_sketch_touch(&sketch, hash, PERIOD);
        assert_true(sketch.halved < sketch.count);
        assert_int_equal(sl_sketch_estimate(&sketch, hash), i);
    }
    for (int i = 0; i < BLOCKS; i++)
        sl_sketch_touch(&sketch, other, PERIOD);
    assert_int_equal(sl_sketch_estimate(&sketch, hash), 5);
    sl_sketch_done(&sketch);
}

static void without_memory_it_says_nothing(void **state) {
    (void)state;
    struct sl_sketch sketch = {0};
    sl_mem_fail_after(1);
    assert_int_equal(sl_sketch_init(&sketch, 8), SL_E_NOMEM);
    sl_mem_fail_after(0);
    sl_sketch_touch(&sketch, 1, 10);
    assert_int_equal(sl_sketch_estimate(&sketch, 1), 0);
    assert_int_equal(sl_sketch_bytes(&sketch), 0);
    sl_sketch_done(&sketch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_at_least_and_seldom_more),
        cmocka_unit_test(halves_at_once_though_done_in_steps),
        cmocka_unit_test(counts_right_while_halving),
        cmocka_unit_test(without_memory_it_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
