/* Sessions: what is kept, for whom, how long, and how much of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "sluice/base/mem.h"
#include "sluice/dialect/sessions.h"

static struct sl_sessions *sessions;

static int begin(void **state) {
    static const struct sl_sessions_settings settings = {
        .count = 3, .bytes = 4096, .session_bytes = 1024, .idle_s = 100, .turn_s = 20};
    (void)state;
    sessions = sl_sessions_new(&settings);
    return sessions ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    sl_sessions_free(sessions);
    return 0;
}

static struct sl_session_turn turn_in(uint64_t tenant, const char *name, uint64_t now) {
    struct sl_session_turn turn = {0};
    assert_int_equal(sl_sessions_begin(sessions, tenant, sl_slice_str(name), now, &turn), SL_OK);
    return turn;
}

static struct sl_session_totals commit(struct sl_session_turn *turn, const char *system,
                                       const char *user, const char *assistant, int64_t cost,
                                       uint64_t now) {
    struct sl_session_totals used = {.input = 2, .output = 3, .cost = cost}, totals;
    sl_session_commit(turn, sl_slice_str(system), sl_slice_str(user), sl_slice_str(assistant),
                      &used, now, &totals);
    return totals;
}

static void say(uint64_t tenant, const char *name, const char *user, uint64_t now) {
    struct sl_session_turn turn = turn_in(tenant, name, now);
    (void)commit(&turn, "", user, "answer", 1, now);
}

/* How many exchanges the session remembers, and whether the oldest is this one. */
static void assert_remembers(uint64_t tenant, const char *name, uint64_t now, size_t count,
                             const char *oldest) {
    struct sl_session_turn turn = turn_in(tenant, name, now);
    struct sl_session_said said;
    size_t i = 0;
    while (sl_session_said(&turn, i, &said)) {
        if (i == 0)
            assert_true(sl_slice_eq(said.user, sl_slice_str(oldest)));
        i++;
    }
    assert_int_equal(i, count);
    sl_session_cancel(&turn);
}

static void turns_are_remembered_in_order(void **state) {
    (void)state;
    struct sl_session_said said;
    struct sl_session_turn turn = turn_in(1, "s", 0);
    assert_false(sl_session_said(&turn, 0, &said));
    struct sl_session_totals totals = commit(&turn, "sys", "u1", "a1", 10, 0);
    assert_int_equal(totals.turns, 1);
    turn = turn_in(1, "s", 1);
    assert_true(sl_slice_eq(sl_session_system(&turn), SL_LIT("sys")));
    totals = commit(&turn, "other", "u2", "a2", 5, 1);
    assert_int_equal(totals.turns, 2);
    assert_int_equal(totals.input, 4);
    assert_int_equal(totals.output, 6);
    assert_int_equal(totals.cost, 15);
    turn = turn_in(1, "s", 2);
    assert_true(sl_slice_eq(sl_session_system(&turn), SL_LIT("other")));
    assert_true(sl_session_said(&turn, 0, &said));
    assert_true(sl_slice_eq(said.user, SL_LIT("u1")));
    assert_true(sl_slice_eq(said.assistant, SL_LIT("a1")));
    assert_true(sl_session_said(&turn, 1, &said));
    assert_true(sl_slice_eq(said.assistant, SL_LIT("a2")));
    assert_false(sl_session_said(&turn, 2, &said));
    assert_int_equal(commit(&turn, "", "u3", "a3", -1, 2).cost, -1);
}

static void tenants_do_not_meet(void **state) {
    (void)state;
    say(1, "s", "mine", 0);
    assert_remembers(2, "s", 0, 0, NULL);
    assert_false(sl_sessions_delete(sessions, 2, SL_LIT("s"), 0));
    assert_remembers(1, "s", 0, 1, "mine");
}

static void a_second_turn_meanwhile_is_refused(void **state) {
    (void)state;
    struct sl_session_turn first = turn_in(1, "s", 0), second;
    assert_int_equal(sl_sessions_begin(sessions, 1, SL_LIT("s"), 19, &second), SL_E_EXISTS);
    /* One that is never heard of again does not lock the session for ever, nor speak up later. */
    second = turn_in(1, "s", 20);
    assert_int_equal(commit(&first, "", "late", "a", 1, 21).turns, 1);
    assert_int_equal(commit(&second, "", "u", "a", 1, 22).turns, 1);
    assert_remembers(1, "s", 23, 1, "u");
    sl_session_cancel(&second); /* over already */
}

static void a_turn_without_answer_leaves_nothing(void **state) {
    (void)state;
    struct sl_session_turn turn = turn_in(1, "s", 0);
    assert_int_equal(sl_sessions_count(sessions), 1);
    sl_session_cancel(&turn);
    assert_int_equal(sl_sessions_count(sessions), 0);
    assert_int_equal(sl_sessions_bytes(sessions), 0);
    turn = turn_in(1, "s", 0);
    assert_int_equal(commit(&turn, "", "u", "", 1, 0).turns, 1);
    assert_remembers(1, "s", 0, 0, NULL);
}

static void sessions_are_deleted(void **state) {
    (void)state;
    struct sl_session_turn turn = turn_in(1, "s", 0);
    assert_true(sl_sessions_delete(sessions, 1, SL_LIT("s"), 0));
    assert_false(sl_sessions_delete(sessions, 1, SL_LIT("s"), 0));
    assert_int_equal(commit(&turn, "", "u", "a", 1, 0).turns, 1);
    assert_int_equal(sl_sessions_count(sessions), 0);
    assert_int_equal(sl_sessions_bytes(sessions), 0);
}

static void idle_sessions_are_forgotten(void **state) {
    (void)state;
    say(1, "a", "u", 0);
    say(1, "b", "u", 50);
    assert_remembers(1, "b", 100, 1, "u");
    assert_int_equal(sl_sessions_count(sessions), 1);
    assert_remembers(1, "b", 40, 1, "u"); /* a clock set back makes nothing old */
}

static void the_number_is_bounded(void **state) {
    (void)state;
    say(1, "a", "u", 0);
    say(1, "b", "u", 1);
    say(1, "c", "u", 2);
    say(1, "a", "v", 3);
    say(1, "d", "u", 4); /* in place of b, unused for longest */
    assert_int_equal(sl_sessions_count(sessions), 3);
    assert_remembers(1, "a", 5, 2, "u");
    assert_false(sl_sessions_delete(sessions, 1, SL_LIT("b"), 5));
    struct sl_session_turn turn;
    (void)turn_in(1, "a", 6);
    (void)turn_in(1, "c", 6);
    (void)turn_in(1, "d", 6);
    assert_int_equal(sl_sessions_begin(sessions, 1, SL_LIT("e"), 6, &turn), SL_E_LIMIT);
}

static void the_oldest_turns_make_room(void **state) {
    (void)state;
    static char text[301];
    memset(text, 'x', 300);
    for (int i = 0; i < 9; i++) {
        text[0] = (char)('0' + i);
        say(1, "s", text, 0);
        assert_true(sl_sessions_bytes(sessions) <= 1024);
    }
    text[0] = '8'; /* the last one, and one before */
    struct sl_session_turn turn = turn_in(1, "s", 0);
    struct sl_session_said said;
    size_t last = 0;
    while (sl_session_said(&turn, last, &said))
        last++;
    assert_in_range(last, 1, 3);
    assert_true(sl_session_said(&turn, last - 1, &said));
    assert_true(sl_slice_eq(said.user, sl_slice_str(text)));
    static char large[2001];
    memset(large, 'y', 2000);
    assert_int_equal(commit(&turn, "", large, "a", 1, 0).turns, 10);
    assert_remembers(1, "s", 0, 0, NULL);
}

static void others_make_room_for_bytes(void **state) {
    (void)state;
    static char text[801];
    memset(text, 'x', 600);
    struct sl_sessions_settings settings = {
        .count = 100, .bytes = 2500, .session_bytes = 1024, .idle_s = 100, .turn_s = 20};
    sl_sessions_free(sessions);
    sessions = sl_sessions_new(&settings);
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "s%d", i);
        say(1, name, text, (uint64_t)i);
        assert_true(sl_sessions_bytes(sessions) <= 2500);
    }
    assert_in_range(sl_sessions_count(sessions), 2, 4);
    assert_remembers(1, "s19", 20, 1, text);
}

static void names_are_bounded(void **state) {
    (void)state;
    static char name[SL_SESSION_NAME_MAX + 1];
    struct sl_session_turn turn;
    assert_int_equal(sl_sessions_begin(sessions, 1, sl_slice_of(name, sizeof(name)), 0, &turn),
                     SL_E_INVALID);
    assert_int_equal(sl_sessions_begin(sessions, 1, SL_EMPTY, 0, &turn), SL_E_INVALID);
    assert_int_equal(sl_sessions_begin(sessions, 1, sl_slice_of(name, sizeof(name) - 1), 0, &turn),
                     SL_OK);
}

static void memory_may_run_out(void **state) {
    (void)state;
    struct sl_session_turn turn;
    (void)sl_mem_fail_after(1);
    assert_int_equal(sl_sessions_begin(sessions, 1, SL_LIT("s"), 0, &turn), SL_E_NOMEM);
    assert_int_equal(sl_sessions_count(sessions), 0);
    turn = turn_in(1, "s", 0);
    (void)sl_mem_fail_after(1);
    assert_int_equal(commit(&turn, "", "u", "a", 1, 0).turns, 1);
    assert_int_equal(sl_mem_fail_after(0), 0);
    assert_remembers(1, "s", 0, 0, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turns_are_remembered_in_order, begin, end),
        cmocka_unit_test_setup_teardown(tenants_do_not_meet, begin, end),
        cmocka_unit_test_setup_teardown(a_second_turn_meanwhile_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_turn_without_answer_leaves_nothing, begin, end),
        cmocka_unit_test_setup_teardown(sessions_are_deleted, begin, end),
        cmocka_unit_test_setup_teardown(idle_sessions_are_forgotten, begin, end),
        cmocka_unit_test_setup_teardown(the_number_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(the_oldest_turns_make_room, begin, end),
        cmocka_unit_test_setup_teardown(others_make_room_for_bytes, begin, end),
        cmocka_unit_test_setup_teardown(names_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(memory_may_run_out, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
