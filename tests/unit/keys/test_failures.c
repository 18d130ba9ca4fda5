/* How often an address failed, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "keys/failures.h"
#include "sluice/base/clock.h"
#include "sluice/base/mem.h"

#define LIMIT 3

static struct sl_failures failures;

static int setup(void **state) {
    (void)state;
    return sl_failures_init(&failures);
}

static int teardown(void **state) {
    (void)state;
    sl_failures_done(&failures);
    return 0;
}

static void fail_times(const char *address, int times, uint64_t now) {
    for (int i = 0; i < times; i++)
        sl_failures_note(&failures, sl_slice_str(address), now);
}

static uint64_t wait_of(const char *address, uint64_t now) {
    return sl_failures_wait(&failures, sl_slice_str(address), LIMIT, now);
}

static void test_limit_and_window(void **state) {
    (void)state;
    const uint64_t start = 1000;
    fail_times("192.0.2.1:1000", LIMIT - 1, start);
    assert_int_equal(wait_of("192.0.2.1:1000", start), 0);
    fail_times("192.0.2.1:1000", 1, start + SL_NS_PER_S);
    assert_int_equal(wait_of("192.0.2.1:1000", start + SL_NS_PER_S), 59 * SL_NS_PER_S);
    assert_int_equal(wait_of("192.0.2.2:1000", start + SL_NS_PER_S), 0);
    assert_int_equal(wait_of("192.0.2.1:1000", start + 60 * SL_NS_PER_S - 1), 1);
    assert_int_equal(wait_of("192.0.2.1:1000", start + 60 * SL_NS_PER_S), 0);
    /* A new minute begins from nothing. */
    fail_times("192.0.2.1:1000", LIMIT - 1, start + 61 * SL_NS_PER_S);
    assert_int_equal(wait_of("192.0.2.1:1000", start + 61 * SL_NS_PER_S), 0);
}

static void test_one_address_in_many_forms(void **state) {
    (void)state;
    static const char *const same[][2] = {
        {"192.0.2.1:1000", "192.0.2.1:2000"},
        {"192.0.2.1:1000", "192.0.2.1"},
        {"[2001:db8::1]:4711", "[2001:db8:0:0:ffff::2]:4712"},
        {"[2001:db8::1]:4711", "2001:db8::3"},
        {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]:2"},
    };
    static const char *const other[][2] = {
        {"192.0.2.1:1000", "192.0.2.11:1000"},
        {"[2001:db8::1]:4711", "[2001:db8:0:1::1]:4711"},
        {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1"},
        {"not an address", "another"},
        {"", "192.0.2.1"},
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        uint64_t now = (i + 1) * 1000 * SL_NS_PER_S;
        fail_times(same[i][0], LIMIT, now);
        assert_true(wait_of(same[i][1], now) > 0);
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        uint64_t now = (i + 100) * 1000 * SL_NS_PER_S;
        fail_times(other[i][0], LIMIT, now);
        assert_true(wait_of(other[i][0], now) > 0);
        assert_int_equal(wait_of(other[i][1], now), 0);
    }
}

static void test_bounded(void **state) {
    (void)state;
    char address[32];
    fail_times("192.0.2.1", LIMIT, 0);
    for (unsigned i = 0; i < SL_FAILURES_MAX - 1; i++) {
        snprintf(address, sizeof(address), "10.%u.%u.%u:1", i >> 16, i >> 8 & 255, i & 255);
        fail_times(address, 1, 1);
    }
    assert_int_equal(failures.table.count, SL_FAILURES_MAX);
    assert_true(wait_of("192.0.2.1", 1) > 0);
    fail_times("192.0.2.2", 1, 2); /* takes the place of the oldest */
    assert_true(failures.table.count <= SL_FAILURES_MAX);
    assert_int_equal(wait_of("192.0.2.1", 2), 0);
    /* What is over is forgotten as others come. */
    for (unsigned i = 0; i < SL_FAILURES_MAX / 2; i++) {
        snprintf(address, sizeof(address), "11.%u.%u.%u:1", i >> 16, i >> 8 & 255, i & 255);
        fail_times(address, 1, 100 * SL_NS_PER_S);
    }
    assert_true(failures.table.count <= SL_FAILURES_MAX / 2 + 1);
}

static void test_no_memory(void **state) {
    (void)state;
    sl_mem_fail_after(1);
    fail_times("192.0.2.1", 1, 0);
    assert_int_equal(failures.table.count, 0);
    fail_times("192.0.2.1", LIMIT, 0);
    assert_true(wait_of("192.0.2.1", 0) > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_limit_and_window),
        TEST(test_one_address_in_many_forms),
        TEST(test_bounded),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
