/* The loop: order of phases, another turn, timers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/io/loop.h"

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    char log[128]; /* what happened, a letter each */
    struct sl_turn_hook hooks[SL_TURN_PHASES];
};

static struct rig rig;

static int setup(void **state) {
    (void)state;
    memset(&rig, 0, sizeof(rig));
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(rig.loop.open_handles, 0);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
    return 0;
}

static void note(const char *what) {
    snprintf(rig.log + strlen(rig.log), sizeof(rig.log) - strlen(rig.log), "%s", what);
}

static void note_ctx(void *ctx) {
    note(ctx);
}

/* ---- turns ---- */

static void hook_all(void) {
    static char names[][2] = {"t", "f", "w", "r"};
    /* Hooked in reverse: the order is the phases', not that of registration. */
    for (int phase = SL_TURN_PHASES - 1; phase >= 0; phase--)
        sl_loop_hook(&rig.loop, (enum sl_turn_phase)phase, &rig.hooks[phase], note_ctx,
                     names[phase]);
}

static void test_phases_run_in_order(void **state) {
    (void)state;
    hook_all();
    sl_loop_again(&rig.loop); /* else nothing keeps the loop alive */
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.log, "tfwr");
    assert_int_equal(rig.loop.turns, 1);
}

static void test_unhooked_runs_no_more(void **state) {
    (void)state;
    hook_all();
    sl_loop_unhook(&rig.hooks[SL_TURN_FLOW]);
    sl_loop_again(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.log, "twr");
}

static void ask_again_twice(void *ctx) {
    int *left = ctx;
    note("a");
    if ((*left)-- > 0)
        sl_loop_again(&rig.loop);
}

static void test_again_gives_another_turn(void **state) {
    (void)state;
    int left = 2;
    sl_loop_hook(&rig.loop, SL_TURN_FLOW, &rig.hooks[0], ask_again_twice, &left);
    sl_loop_again(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.log, "aaa");
}

static enum sl_turn_phase wanted;
static void want_once(void *ctx) {
    bool *done = ctx;
    note("n");
    if (!*done)
        sl_loop_want(&rig.loop, wanted);
    *done = true;
}

static void test_want_asks_only_for_phases_that_passed(void **state) {
    (void)state;
    static const struct {
        enum sl_turn_phase wanted;
        const char *turns;
    } cases[] = {{SL_TURN_TRANSFERS, "nn"},
                 {SL_TURN_FLOW, "nn"},
                 {SL_TURN_WRITE, "nn"},
                 {SL_TURN_REAP, "n"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        bool done = false;
        wanted = cases[i].wanted;
        rig.log[0] = '\0';
        sl_loop_hook(&rig.loop, SL_TURN_WRITE, &rig.hooks[0], want_once, &done);
        sl_loop_again(&rig.loop);
        uv_run(&rig.uv, UV_RUN_DEFAULT);
        assert_string_equal(rig.log, cases[i].turns);
        sl_loop_unhook(&rig.hooks[0]);
    }
}

/* ---- timers ---- */

struct probe {
    struct sl_timer timer;
    const char *name;
    uint64_t due, again;
};

static void probe_fire(void *ctx) {
    struct probe *probe = ctx;
    assert_true(rig.loop.now >= probe->due);
    assert_int_equal(rig.loop.phase, SL_TURN_PHASES);
    note(probe->name);
    if (probe->again-- > 0)
        assert_int_equal(sl_timer_set(&rig.loop, &probe->timer, rig.loop.now), SL_OK);
}

static void probe_set(struct probe *probe, const char *name, uint64_t in) {
    probe->name = name;
    probe->due = rig.loop.now + in;
    probe->again = 0;
    sl_timer_init(&probe->timer, probe_fire, probe);
    assert_int_equal(sl_timer_set(&rig.loop, &probe->timer, probe->due), SL_OK);
}

static void test_timers_fire_in_order_and_never_early(void **state) {
    (void)state;
    struct probe p[4];
    probe_set(&p[0], "c", 7 * SL_NS_PER_MS + 300);
    probe_set(&p[1], "a", 1);
    probe_set(&p[2], "d", 7 * SL_NS_PER_MS + 2 * SL_NS_PER_MS);
    probe_set(&p[3], "b", 2 * SL_NS_PER_MS);
    uv_run(&rig.uv, UV_RUN_DEFAULT); /* ends because no timer is left */
    assert_string_equal(rig.log, "abcd");
}

static void test_a_timer_may_move_and_go(void **state) {
    (void)state;
    struct probe p[3];
    probe_set(&p[0], "x", SL_NS_PER_MS);
    probe_set(&p[1], "a", 3 * SL_NS_PER_MS);
    probe_set(&p[2], "b", SL_NS_PER_S * 3600);
    sl_timer_clear(&rig.loop, &p[0].timer);
    sl_timer_clear(&rig.loop, &p[0].timer); /* twice is fine */
    p[1].due = rig.loop.now + 5 * SL_NS_PER_MS;
    assert_int_equal(sl_timer_set(&rig.loop, &p[1].timer, p[1].due), SL_OK);
    p[2].due = rig.loop.now + 6 * SL_NS_PER_MS;
    assert_int_equal(sl_timer_set(&rig.loop, &p[2].timer, p[2].due), SL_OK);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.log, "ab");
}

static void test_cleared_timers_let_the_loop_end(void **state) {
    (void)state;
    struct probe p;
    probe_set(&p, "x", 3600 * SL_NS_PER_S);
    sl_timer_clear(&rig.loop, &p.timer);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.log, "");
}

/* One that sets itself to "now" gets its turn in the next round, and starves nobody. */
static void test_a_timer_that_sets_itself_does_not_starve(void **state) {
    (void)state;
    struct probe p;
    struct probe other;
    sl_loop_hook(&rig.loop, SL_TURN_FLOW, &rig.hooks[0], note_ctx, ".");
    probe_set(&p, "a", 1);
    p.again = 2;
    probe_set(&other, "b", 1);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    const char *first = strchr(rig.log, 'a'), *b = strchr(rig.log, 'b');
    const char *second = strchr(first + 1, 'a'), *third = strchr(second + 1, 'a');
    assert_non_null(third);
    assert_true(b < second);
    assert_non_null(memchr(first, '.', (size_t)(second - first))); /* a turn came between */
    assert_non_null(memchr(second, '.', (size_t)(third - second)));
}

static void test_setting_reports_lack_of_memory(void **state) {
    (void)state;
    struct sl_timer timer;
    sl_timer_init(&timer, note_ctx, "x");
    sl_mem_fail_after(1);
    int rc = sl_timer_set(&rig.loop, &timer, rig.loop.now + 1);
    sl_mem_fail_after(0);
    assert_int_equal(rc, SL_E_NOMEM);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.log, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_phases_run_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unhooked_runs_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_again_gives_another_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_want_asks_only_for_phases_that_passed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_timers_fire_in_order_and_never_early, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_timer_may_move_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cleared_timers_let_the_loop_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_timer_that_sets_itself_does_not_starve, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_setting_reports_lack_of_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
