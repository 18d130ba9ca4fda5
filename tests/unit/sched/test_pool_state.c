/* What a restart keeps: never more room than before, whatever the line looks like. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/clock.h"
#include "sluice/sched/pool.h"

#define S      SL_NS_PER_S
#define MS     SL_NS_PER_MS
#define MINUTE (60 * S)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define NOON   (20000 * DAY + 12 * HOUR)

static const struct sl_limits limits = {.rpm = 600, .tpm = 100000, .tpd = 10000000};

static struct sl_pool *make(struct sl_limits configured, enum sl_window window, uint64_t now,
                            uint64_t wall) {
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    settings.configured = configured;
    settings.window = window;
    struct sl_pool *pool = sl_pool_new(SL_LIT("acc/us-east-1/m"), &settings, 1, now, wall);
    assert_non_null(pool);
    return pool;
}

static void use(struct sl_pool *pool, uint64_t tokens, enum sl_ending ending, enum sl_scarcity kind,
                uint64_t now, uint64_t wall) {
    struct sl_reservation r = {.open = false};
    const struct sl_outcome outcome = {.ending = ending, .kind = kind, .tokens = tokens};
    sl_pool_reserve(pool, &r, tokens, now, wall);
    sl_pool_settle(pool, &r, &outcome, now + MS, wall + MS);
}

static struct sl_buf saved(struct sl_pool *pool, uint64_t now, uint64_t wall) {
    struct sl_buf line;
    sl_buf_init(&line, 4096);
    assert_int_equal(sl_pool_save(pool, &line, now, wall), SL_OK);
    for (size_t i = 0; i < line.len; i++)
        assert_true(line.ptr[i] >= ' '); /* one line */
    return line;
}

/* Uses a pool at random for some minutes, restarts it, and asks both the same. */
static void restart_at_random(uint64_t seed) {
    uint64_t random = seed * 7919 + 1, now = 1000 * S, wall = NOON;
    enum sl_window window = seed % 2 ? SL_WINDOW_BUCKET : SL_WINDOW_FIXED;
    struct sl_pool *pool = make(limits, window, now, wall);
    for (int i = 0; i < 400; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t tokens = 1 + (random >> 40) % 2000;
        if (sl_pool_check(pool, tokens, now, wall).wait_ns == 0)
            use(pool, tokens, SL_ENDING_OK, 0, now, wall);
        now += (random >> 20) % S;
        wall += (random >> 20) % S;
    }
    struct sl_buf line = saved(pool, now, wall);
    uint64_t away = seed % 5 * 3 * S, boot = 2 * S; /* another monotonic clock */
    struct sl_pool *again = make(limits, window, boot, wall + away);
    assert_int_equal(sl_pool_restore(again, sl_buf_slice(&line), boot, wall + away), SL_OK);
    for (uint64_t tokens = 1; tokens <= limits.tpm; tokens = tokens * 3 + 1) {
        for (uint64_t later = 0; later <= 70 * S; later += 5 * S) {
            uint64_t before =
                sl_pool_check(pool, tokens, now + away + later, wall + away + later).wait_ns;
            uint64_t after =
                sl_pool_check(again, tokens, boot + later, wall + away + later).wait_ns;
            assert_true(after >= before);
            if (!away) /* nor much less: use is saved in groups of a sixteenth of the window */
                assert_true(after <= before + 5 * S);
        }
    }
    sl_pool_free(pool);
    sl_pool_free(again);
    sl_buf_done(&line);
}

static void a_restart_is_no_burst(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++)
        restart_at_random(seed);
}

static void keeps_the_day(void **state) {
    (void)state;
    struct sl_pool *pool = make(limits, SL_WINDOW_FIXED, 0, NOON);
    use(pool, 50000, SL_ENDING_OK, 0, 0, NOON);
    use(pool, 50, SL_ENDING_THROTTLED, SL_SCARCE_DAY, 10, NOON);
    struct sl_buf line = saved(pool, 20, NOON);
    struct sl_pool *again = make(limits, SL_WINDOW_FIXED, 5, NOON + HOUR);
    assert_int_equal(sl_pool_restore(again, sl_buf_slice(&line), 5, NOON + HOUR), SL_OK);
    struct sl_pool_view view;
    sl_pool_look(again, &view, 5, NOON + HOUR);
    assert_in_range(view.used_day, 50000, 53000);
    assert_string_equal(view.gate, "day");
    assert_int_equal(view.gate_opens_ns, 11 * HOUR);
    sl_pool_free(again);
    again = make(limits, SL_WINDOW_FIXED, 5, NOON + 13 * HOUR); /* another day */
    assert_int_equal(sl_pool_restore(again, sl_buf_slice(&line), 5, NOON + 13 * HOUR), SL_OK);
    sl_pool_look(again, &view, 5, NOON + 13 * HOUR);
    assert_in_range(view.used_day, 0, 3000);
    assert_string_equal(view.gate, "open");
    sl_pool_free(again);
    sl_pool_free(pool);
    sl_buf_done(&line);
}

static void keeps_what_was_learned(void **state) {
    (void)state;
    struct sl_pool *pool = make((struct sl_limits){0}, SL_WINDOW_AUTO, 0, NOON);
    for (int i = 0; i < 300; i++)
        use(pool, 10, SL_ENDING_OK, 0, 0, NOON);
    use(pool, 10, SL_ENDING_THROTTLED, SL_SCARCE_REQUESTS, S, NOON);
    struct sl_pool_view before, after;
    sl_pool_look(pool, &before, 2 * S, NOON);
    assert_int_equal(before.limits.rpm, 296);
    struct sl_buf line = saved(pool, 2 * S, NOON);
    struct sl_pool *again = make((struct sl_limits){0}, SL_WINDOW_AUTO, 0, NOON + HOUR);
    assert_int_equal(sl_pool_restore(again, sl_buf_slice(&line), 0, NOON + HOUR), SL_OK);
    sl_pool_look(again, &after, 0, NOON + HOUR);
    assert_int_equal(after.limits.rpm, before.limits.rpm);
    assert_true(after.learned);
    sl_pool_free(again);
    again = make((struct sl_limits){.rpm = 100}, SL_WINDOW_AUTO, 0, NOON + HOUR);
    assert_int_equal(sl_pool_restore(again, sl_buf_slice(&line), 0, NOON + HOUR), SL_OK);
    sl_pool_look(again, &after, 0, NOON + HOUR);
    assert_int_equal(after.limits.rpm, 100); /* within the new caps */
    sl_pool_free(again);
    sl_pool_free(pool);
    sl_buf_done(&line);
}

static void what_is_missing_counts_as_used(void **state) {
    (void)state;
    static const char *const lines[] = {
        "acc/us-east-1/m v=1 wall=1728043200000000000",
        "acc/us-east-1/m v=1 wall=1728043200000000000 window=1:2 bucket=1 day=1:2 park=1 rpm=1:1",
        "acc/us-east-1/m v=1 wall=1728043200000000000 window=x:1:1, bucket=: day=::: rpm=9:1:1:1:1",
        "acc/us-east-1/m v=1 wall=1728043200000000000 window=1:1:1,, bucket=1:2:3",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        for (enum sl_window window = SL_WINDOW_AUTO; window <= SL_WINDOW_FIXED; window++) {
            struct sl_pool *pool = make(limits, window, 100 * S, NOON);
            assert_int_equal(sl_pool_restore(pool, sl_slice_str(lines[i]), 100 * S, NOON), SL_OK);
            struct sl_pool_view view;
            sl_pool_look(pool, &view, 100 * S, NOON);
            assert_in_range(view.used_requests, limits.rpm, limits.rpm * 101 / 100);
            assert_in_range(view.used_tokens, limits.tpm, limits.tpm * 101 / 100);
            assert_int_equal(view.used_day, limits.tpd / 2);
            assert_false(view.learned);
            assert_true(sl_pool_check(pool, 1, 100 * S, NOON).wait_ns > 0);
            assert_int_equal(sl_pool_check(pool, 1, 161 * S, NOON + 61 * S).wait_ns, 0);
            sl_pool_free(pool);
        }
    }
}

static void other_lines_change_nothing(void **state) {
    (void)state;
    static const char *const lines[] = {
        "",
        "acc/us-east-1/m",
        "acc/us-east-1/m ",
        "acc/us-east-1/mm v=1 wall=1",
        "acc/us-east-1/m v=2 wall=1",
        "acc/us-east-1/m v=1",
        "acc/us-east-1/m wall=1",
        "acc/us-east-1/m v=1 wall=-1",
        "v=1 wall=1",
    };
    struct sl_pool *pool = make(limits, SL_WINDOW_FIXED, 0, NOON);
    use(pool, 5000, SL_ENDING_OK, 0, 0, NOON);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        assert_int_equal(sl_pool_restore(pool, sl_slice_str(lines[i]), S, NOON), SL_E_INVALID);
        struct sl_pool_view view;
        sl_pool_look(pool, &view, S, NOON);
        assert_int_equal(view.used_tokens, 5000);
        assert_int_equal(view.used_day, 5000);
    }
    sl_pool_free(pool);
}

static void a_line_that_does_not_fit_is_not_begun(void **state) {
    (void)state;
    struct sl_pool *pool = make(limits, SL_WINDOW_FIXED, 0, NOON);
    struct sl_buf line;
    sl_buf_init(&line, 60);
    assert_int_equal(sl_buf_add_str(&line, "before"), SL_OK);
    assert_int_equal(sl_pool_save(pool, &line, 0, NOON), SL_E_LIMIT);
    assert_int_equal(line.len, 6);
    sl_buf_done(&line);
    sl_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_restart_is_no_burst),
        cmocka_unit_test(keeps_the_day),
        cmocka_unit_test(keeps_what_was_learned),
        cmocka_unit_test(what_is_missing_counts_as_used),
        cmocka_unit_test(other_lines_change_nothing),
        cmocka_unit_test(a_line_that_does_not_fit_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
