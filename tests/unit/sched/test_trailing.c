/* The trailing window: expiry, corrections, and agreement with a list of everything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sched/trailing.h"
#include "sluice/base/clock.h"

#define S      SL_NS_PER_S
#define MS     SL_NS_PER_MS
#define MINUTE (60 * S)

static struct sl_trailing ring;

static uint64_t tokens_at(uint64_t now) {
    return sl_trailing_sum(&ring, SL_METER_TOKENS, now);
}

static void forgets_after_the_span(void **state) {
    (void)state;
    sl_trailing_init(&ring, MINUTE);
    sl_trailing_add(&ring, 1, 500, 10 * S);
    sl_trailing_add(&ring, 1, 300, 20 * S);
    assert_int_equal(tokens_at(20 * S), 800);
    assert_int_equal(sl_trailing_sum(&ring, SL_METER_REQUESTS, 20 * S), 2);
    assert_int_equal(tokens_at(70 * S - 1), 800);
    assert_int_equal(tokens_at(70 * S), 300);
    assert_int_equal(tokens_at(80 * S), 0);
}

static void tells_when_there_is_room(void **state) {
    (void)state;
    sl_trailing_init(&ring, MINUTE);
    sl_trailing_add(&ring, 1, 500, 10 * S);
    sl_trailing_add(&ring, 1, 300, 20 * S);
    assert_int_equal(sl_trailing_wait(&ring, SL_METER_TOKENS, 800, 20 * S), 0);
    assert_int_equal(sl_trailing_wait(&ring, SL_METER_TOKENS, 799, 20 * S), 50 * S);
    assert_int_equal(sl_trailing_wait(&ring, SL_METER_TOKENS, 299, 20 * S), 60 * S);
    assert_int_equal(sl_trailing_wait(&ring, SL_METER_TOKENS, 299, 79 * S), S);
    assert_int_equal(sl_trailing_wait(&ring, SL_METER_TOKENS, 0, 80 * S), 0);
}

static void corrects_where_the_reservation_stood(void **state) {
    (void)state;
    sl_trailing_init(&ring, MINUTE);
    sl_trailing_add(&ring, 1, 500, 10 * S);
    sl_trailing_add(&ring, 1, 300, 20 * S);
    sl_trailing_correct(&ring, SL_METER_TOKENS, 10 * S, 450, 30 * S);
    assert_int_equal(tokens_at(30 * S), 350);
    assert_int_equal(tokens_at(70 * S), 300);
    /* What has expired is upstream's past too. */
    sl_trailing_correct(&ring, SL_METER_TOKENS, 10 * S, 50, 75 * S);
    assert_int_equal(tokens_at(75 * S), 300);
    sl_trailing_correct(&ring, SL_METER_TOKENS, 15 * S, 50, 75 * S); /* nothing stood there */
    assert_int_equal(tokens_at(75 * S), 300);
}

static void expires_with_the_last_in_a_slot(void **state) {
    (void)state;
    sl_trailing_init(&ring, MINUTE);
    sl_trailing_add(&ring, 1, 1, 10 * S);
    sl_trailing_add(&ring, 1, 1, 10 * S + 50 * MS); /* within the grain of 118 ms */
    sl_trailing_add(&ring, 1, 1, 10 * S + 120 * MS);
    assert_int_equal(ring.count, 2);
    assert_int_equal(tokens_at(70 * S + 49 * MS), 3);
    assert_int_equal(tokens_at(70 * S + 50 * MS), 1);
    assert_int_equal(tokens_at(70 * S + 120 * MS), 0);
}

static void recalls_from_before_the_clock_began(void **state) {
    (void)state;
    sl_trailing_init(&ring, MINUTE);
    sl_trailing_recall(&ring, 1, 10, 5 * S, 2 * S); /* 55 s old, with the clock at 2 s */
    sl_trailing_recall(&ring, 1, 20, 50 * S, 2 * S);
    sl_trailing_add(&ring, 1, 30, 2 * S);
    assert_int_equal(tokens_at(2 * S), 60);
    assert_int_equal(tokens_at(7 * S), 50);
    assert_int_equal(tokens_at(52 * S), 30);
}

static void another_span_moves_expiry(void **state) {
    (void)state;
    sl_trailing_init(&ring, MINUTE);
    sl_trailing_add(&ring, 1, 10, 10 * S);
    sl_trailing_reshape(&ring, 2 * MINUTE);
    assert_int_equal(tokens_at(100 * S), 10);
    sl_trailing_correct(&ring, SL_METER_TOKENS, 10 * S, 4, 100 * S);
    assert_int_equal(tokens_at(100 * S), 6);
    sl_trailing_reshape(&ring, 10 * S);
    assert_int_equal(tokens_at(20 * S), 0);
}

static void a_full_ring_counts_for_longer(void **state) {
    (void)state;
    sl_trailing_init(&ring, S);
    for (uint64_t i = 0; i < SL_TRAILING_SLOTS; i++)
        sl_trailing_add(&ring, 1, 1, i * 2 * MS);
    sl_trailing_reshape(&ring, MINUTE);
    for (uint64_t i = 0; i < 100; i++)
        sl_trailing_add(&ring, 1, 1, 2 * S + i * S / 10);
    uint64_t sum = tokens_at(12 * S);
    assert_int_equal(sum, sl_trailing_sum(&ring, SL_METER_REQUESTS, 12 * S));
    assert_true(sum >= 100);
    assert_int_equal(tokens_at(80 * S), 0);
}

static void saturates_without_losing_count(void **state) {
    (void)state;
    sl_trailing_init(&ring, MINUTE);
    sl_trailing_add(&ring, 1, UINT64_MAX - 5, 0);
    sl_trailing_add(&ring, 1, 100, S);
    assert_int_equal(tokens_at(S), UINT64_MAX);
    assert_int_equal(tokens_at(MINUTE), 5);
    assert_int_equal(tokens_at(MINUTE + S), 0);
}

/* Against a list of everything that was added. */
#define ITEMS 3000

static void agrees_with_a_list(void **state) {
    (void)state;
    static struct { uint64_t at, tokens; } items[ITEMS];
    uint64_t now = 0, random = 42;
    sl_trailing_init(&ring, MINUTE);
    for (size_t i = 0; i < ITEMS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        now += (random >> 33) % (300 * MS);
        items[i].at = now;
        items[i].tokens = (random >> 40) % 1000;
        sl_trailing_add(&ring, 1, items[i].tokens, now);
        size_t other = (random >> 20) % (i + 1);
        uint64_t back = items[other].tokens / 2;
        if (items[other].at + MINUTE > now) {
            sl_trailing_correct(&ring, SL_METER_TOKENS, items[other].at, back, now);
            items[other].tokens -= back;
        }
        uint64_t least = 0, most = 0, grain = MINUTE / 500;
        for (size_t k = 0; k <= i; k++) {
            least += items[k].at + MINUTE > now ? items[k].tokens : 0;
            most += items[k].at + MINUTE + grain > now ? items[k].tokens : 0;
        }
        assert_in_range(tokens_at(now), least, most);
        uint64_t wait = sl_trailing_wait(&ring, SL_METER_TOKENS, least / 2, now);
        assert_true(tokens_at(now + wait) <= least / 2);
        assert_true(wait == 0 || tokens_at(now + wait - 1) > least / 2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forgets_after_the_span),
        cmocka_unit_test(tells_when_there_is_room),
        cmocka_unit_test(corrects_where_the_reservation_stood),
        cmocka_unit_test(expires_with_the_last_in_a_slot),
        cmocka_unit_test(recalls_from_before_the_clock_began),
        cmocka_unit_test(another_span_moves_expiry),
        cmocka_unit_test(a_full_ring_counts_for_longer),
        cmocka_unit_test(saturates_without_losing_count),
        cmocka_unit_test(agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
