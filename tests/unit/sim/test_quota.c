/* The simulator's quotas, in virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/quota.h"
#include "sluice/base/clock.h"

#define MINUTE (60 * SL_NS_PER_S)
#define NOON   (43200 * SL_NS_PER_S) /* of the first day, for the wall clock */

static struct sl_sim_target target(const char *id, enum sl_sim_channel channel) {
    const struct sl_sim_model *model = sl_sim_model_find(sl_slice_str(id));
    assert_non_null(model);
    return (struct sl_sim_target){model, channel};
}

static void test_bucket_refills_continuously(void **state) {
    (void)state;
    struct sl_sim_meter m;
    uint64_t now = 5 * SL_NS_PER_S;
    sl_sim_meter_init(&m, 60, MINUTE, false);
    for (int i = 0; i < 60; i++) {
        assert_true(sl_sim_meter_fits(&m, 1, now));
        sl_sim_meter_take(&m, 1, now);
    }
    assert_false(sl_sim_meter_fits(&m, 1, now));
    assert_false(sl_sim_meter_fits(&m, 1, now + SL_NS_PER_S - 1));
    assert_true(sl_sim_meter_fits(&m, 1, now + SL_NS_PER_S));
    assert_false(sl_sim_meter_fits(&m, 2, now + SL_NS_PER_S));
    assert_true(sl_sim_meter_fits(&m, 60, now + MINUTE));
    assert_false(sl_sim_meter_fits(&m, 61, now + 10 * MINUTE)); /* never more than the limit */
}

static void test_fixed_window_starts_anew(void **state) {
    (void)state;
    struct sl_sim_meter m;
    uint64_t now = 7 * MINUTE + 59 * SL_NS_PER_S;
    sl_sim_meter_init(&m, 10, MINUTE, true);
    sl_sim_meter_take(&m, 10, now);
    assert_false(sl_sim_meter_fits(&m, 1, now + SL_NS_PER_S - 1));
    assert_true(sl_sim_meter_fits(&m, 10, now + SL_NS_PER_S));
    assert_false(sl_sim_meter_fits(&m, 11, now + SL_NS_PER_S));
}

static void test_settle_gives_back(void **state) {
    (void)state;
    struct sl_sim_meter m;
    uint64_t now = MINUTE;
    sl_sim_meter_init(&m, 100, MINUTE, false);
    sl_sim_meter_take(&m, 100, now);
    sl_sim_meter_settle(&m, 100, 40, now, now);
    assert_true(sl_sim_meter_fits(&m, 60, now));
    assert_false(sl_sim_meter_fits(&m, 61, now));
    sl_sim_meter_settle(&m, 10, 70, now, now); /* burndown took more than was reserved */
    assert_false(sl_sim_meter_fits(&m, 1, now));
}

static void test_settle_after_its_window_gives_nothing(void **state) {
    (void)state;
    struct sl_sim_meter m;
    sl_sim_meter_init(&m, 100, MINUTE, true);
    sl_sim_meter_take(&m, 100, MINUTE);
    sl_sim_meter_take(&m, 30, 2 * MINUTE);
    sl_sim_meter_settle(&m, 100, 10, MINUTE, 2 * MINUTE);
    assert_true(sl_sim_meter_fits(&m, 70, 2 * MINUTE));
    assert_false(sl_sim_meter_fits(&m, 71, 2 * MINUTE));
}

static void test_huge_amounts_do_not_overflow(void **state) {
    (void)state;
    struct sl_sim_meter m;
    sl_sim_meter_init(&m, 1, MINUTE, false);
    sl_sim_meter_settle(&m, 0, UINT64_MAX / 4, MINUTE, MINUTE);
    assert_false(sl_sim_meter_fits(&m, 1, 2 * MINUTE));
    sl_sim_meter_init(&m, UINT64_MAX, MINUTE, false);
    assert_true(sl_sim_meter_fits(&m, UINT64_MAX, MINUTE));
}

static void test_each_limit_has_its_message(void **state) {
    (void)state;
    struct sl_sim_settings s = {.rpm = 3, .tpm = 1000, .tpd = 1500};
    struct sl_sim_quotas *q = sl_sim_quotas_new(&s);
    struct sl_sim_reservation r;
    struct sl_sim_target t = target("meta.llama3-8b-instruct-v1:0", SL_SIM_ON_DEMAND);
    assert_non_null(q);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 1001, MINUTE, NOON, &r), SL_SIM_THROTTLE_TOKENS);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 1501, MINUTE, NOON, &r), SL_SIM_THROTTLE_DAY);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 900, MINUTE, NOON, &r), SL_SIM_ADMITTED);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 101, MINUTE, NOON, &r), SL_SIM_THROTTLE_TOKENS);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 1, MINUTE, NOON, &r), SL_SIM_ADMITTED);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 1, MINUTE, NOON, &r), SL_SIM_ADMITTED);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 1, MINUTE, NOON, &r), SL_SIM_THROTTLE_REQUESTS);
    /* Ten minutes on, the minute's quotas are full again; the day's is not. */
    assert_int_equal(sl_sim_quotas_reserve(q, t, 600, 11 * MINUTE, NOON + 10 * MINUTE, &r),
                     SL_SIM_THROTTLE_DAY);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 600, 800 * MINUTE, NOON + 800 * MINUTE, &r),
                     SL_SIM_ADMITTED);
    assert_string_equal(sl_sim_throttle_message(SL_SIM_THROTTLE_DAY),
                        "Too many tokens per day, please wait before trying again.");
    sl_sim_quotas_reset(q);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 1000, MINUTE, NOON, &r), SL_SIM_ADMITTED);
    sl_sim_quotas_free(q);
}

static void test_channels_are_separate(void **state) {
    (void)state;
    struct sl_sim_settings s = {.rpm = 1};
    struct sl_sim_quotas *q = sl_sim_quotas_new(&s);
    struct sl_sim_reservation r;
    const char *id = "amazon.nova-lite-v1:0";
    assert_non_null(q);
    for (unsigned c = 0; c < SL_SIM_CHANNELS; c++) {
        struct sl_sim_target t = target(id, (enum sl_sim_channel)c);
        assert_int_equal(sl_sim_quotas_reserve(q, t, 1, MINUTE, NOON, &r), SL_SIM_ADMITTED);
        assert_int_equal(sl_sim_quotas_reserve(q, t, 1, MINUTE, NOON, &r),
                         SL_SIM_THROTTLE_REQUESTS);
    }
    struct sl_sim_target other = target("amazon.nova-pro-v1:0", SL_SIM_ON_DEMAND);
    assert_int_equal(sl_sim_quotas_reserve(q, other, 1, MINUTE, NOON, &r), SL_SIM_ADMITTED);
    sl_sim_quotas_free(q);
}

static void test_reservation_is_settled(void **state) {
    (void)state;
    struct sl_sim_settings s = {.tpm = 1000, .tpd = 2000};
    struct sl_sim_quotas *q = sl_sim_quotas_new(&s);
    struct sl_sim_reservation r;
    struct sl_sim_target t = target("amazon.nova-lite-v1:0", SL_SIM_US);
    assert_non_null(q);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 1000, MINUTE, NOON, &r), SL_SIM_ADMITTED);
    assert_true(r.open);
    sl_sim_quotas_settle(q, &r, 100, MINUTE, NOON);
    assert_false(r.open);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 901, MINUTE, NOON, &r), SL_SIM_THROTTLE_TOKENS);
    assert_int_equal(sl_sim_quotas_reserve(q, t, 900, MINUTE, NOON, &r), SL_SIM_ADMITTED);
    sl_sim_quotas_free(q);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket_refills_continuously),
        cmocka_unit_test(test_fixed_window_starts_anew),
        cmocka_unit_test(test_settle_gives_back),
        cmocka_unit_test(test_settle_after_its_window_gives_nothing),
        cmocka_unit_test(test_huge_amounts_do_not_overflow),
        cmocka_unit_test(test_each_limit_has_its_message),
        cmocka_unit_test(test_channels_are_separate),
        cmocka_unit_test(test_reservation_is_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
