/* Order inside lines and among them: classes, turns, large heads, shared pools, routes. */
#include "queue_rig.h"

#include <string.h>

#define MANY 400

static struct sl_ticket tickets[8][MANY];

/* One place at once: each grant is a choice, and settles before the next. */
static struct sl_ticket *serve(struct rig *rig) {
    struct sl_ticket *ticket = rig_next(rig);
    if (ticket)
        rig_settle(rig, ticket);
    return ticket;
}

static void cancel_all(struct rig *rig) {
    for (size_t i = 0; i < 8; i++)
        for (size_t j = 0; j < MANY; j++)
            if (tickets[i][j].state == SL_TICKET_WAITING)
                sl_queue_cancel(rig->queue, &tickets[i][j]);
}

static void setup(struct rig *rig, struct sl_pool **pool, struct sl_line **line,
                  struct sl_limits limits, enum sl_window window) {
    memset(tickets, 0, sizeof(tickets));
    rig_open(rig, NULL);
    *pool = rig_pool(rig, limits, window);
    *line = rig_line(rig, *pool);
}

static void teardown(struct rig *rig, struct sl_pool *pool, struct sl_line *line) {
    cancel_all(rig);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(rig);
}

static void classes_share_by_weight_while_all_want(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){0}, SL_WINDOW_FIXED);
    for (int class = 0; class < SL_CLASS_COUNT; class ++)
        for (int i = 0; i < MANY; i++)
            rig_submit(&rig, line, &tickets[class][i], 1, (enum sl_class) class, 1000);
    int served[SL_CLASS_COUNT] = {0};
    assert_ptr_equal(serve(&rig), &tickets[SL_CLASS_INTERACTIVE][0]);
    served[SL_CLASS_INTERACTIVE]++;
    for (int i = 1; i < 16 * 21; i++)
        served[serve(&rig)->demand.priority]++;
    assert_in_range(served[SL_CLASS_INTERACTIVE], 255, 257);
    assert_in_range(served[SL_CLASS_NORMAL], 63, 65);
    assert_in_range(served[SL_CLASS_BATCH], 15, 17);
    teardown(&rig, pool, line);
}

static void a_class_that_was_idle_has_saved_nothing(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){0}, SL_WINDOW_FIXED);
    for (int i = 0; i < MANY; i++)
        rig_submit(&rig, line, &tickets[0][i], 1, SL_CLASS_INTERACTIVE, 1000);
    for (int i = 0; i < 200; i++)
        assert_non_null(serve(&rig));
    for (int i = 0; i < MANY; i++)
        rig_submit(&rig, line, &tickets[1][i], 1, SL_CLASS_BATCH, 1000);
    int batch = 0;
    for (int i = 0; i < 17 * 4; i++)
        batch += serve(&rig)->demand.priority == SL_CLASS_BATCH;
    assert_in_range(batch, 3, 5);
    teardown(&rig, pool, line);
}

static void tenants_differ_by_one_request_at_most(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    const uint64_t sizes[4] = {10, 700, 1000, 333};
    uint64_t served[4] = {0};
    setup(&rig, &pool, &line, (struct sl_limits){0}, SL_WINDOW_FIXED);
    for (uint64_t tenant = 0; tenant < 4; tenant++)
        for (int i = 0; i < MANY; i++)
            rig_submit(&rig, line, &tickets[tenant][i], tenant, SL_CLASS_NORMAL, sizes[tenant]);
    while (tickets[0][MANY - 1].state == SL_TICKET_WAITING) {
        const struct sl_ticket *ticket = serve(&rig);
        served[ticket->demand.tenant] += ticket->demand.tokens;
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++)
                assert_true(served[i] <= served[j] + 1000);
    }
    teardown(&rig, pool, line);
}

static void a_tenant_that_was_idle_has_saved_nothing(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){0}, SL_WINDOW_FIXED);
    rig_submit(&rig, line, &tickets[1][0], 2, SL_CLASS_NORMAL, 1000);
    for (int i = 0; i < MANY; i++)
        rig_submit(&rig, line, &tickets[0][i], 1, SL_CLASS_NORMAL, 1000);
    for (int i = 0; i < 200; i++)
        assert_non_null(serve(&rig));
    for (int i = 1; i < MANY; i++)
        rig_submit(&rig, line, &tickets[1][i], 2, SL_CLASS_NORMAL, 1000);
    int second = 0;
    for (int i = 0; i < 20; i++)
        second += serve(&rig)->demand.tenant == 2;
    assert_in_range(second, 9, 11);
    teardown(&rig, pool, line);
}

/* One that sends large requests, each when the last has started, against one with many small. */
static void leaving_and_coming_back_earns_nothing(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    uint64_t served[2] = {0};
    setup(&rig, &pool, &line, (struct sl_limits){0}, SL_WINDOW_FIXED);
    for (int i = 0; i < MANY; i++)
        rig_submit(&rig, line, &tickets[0][i], 0, SL_CLASS_NORMAL, 10);
    for (int i = 0; served[0] < 300 * 10; i++) {
        if (tickets[1][0].state != SL_TICKET_WAITING)
            rig_submit(&rig, line, &tickets[1][0], 1, SL_CLASS_NORMAL, 500);
        const struct sl_ticket *ticket = serve(&rig);
        served[ticket->demand.tenant] += ticket->demand.tokens;
        assert_true(served[1] <= served[0] + 500);
    }
    assert_true(served[1] >= 2500);
    teardown(&rig, pool, line);
}

/* Hundreds of tenants with one request each, and new ones all the time: first come, first served.
 */
static void among_equals_the_first_come_is_served_first(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){0}, SL_WINDOW_FIXED);
    for (int i = 0; i < 100; i++)
        rig_submit(&rig, line, &tickets[0][i], (uint64_t)i, SL_CLASS_NORMAL, 10 + 7 * (uint64_t)i);
    for (int i = 0; i < 300; i++) {
        rig_submit(&rig, line, &tickets[0][100 + i], (uint64_t)(100 + i), SL_CLASS_NORMAL, 5);
        assert_ptr_equal(serve(&rig), &tickets[0][i]);
    }
    teardown(&rig, pool, line);
}

static void a_large_head_is_overtaken_by_its_own_size(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){.tpm = 10000}, SL_WINDOW_BUCKET);
    /* 2,000 are left; the head wants 6,000; small ones of others come and come. */
    rig_submit(&rig, line, &tickets[1][0], 1, SL_CLASS_NORMAL, 8000);
    struct sl_ticket *first = rig_next(&rig);
    assert_ptr_equal(first, &tickets[1][0]);
    struct sl_ticket *large = &tickets[2][0];
    rig_submit(&rig, line, large, 2, SL_CLASS_NORMAL, 6000);
    assert_null(rig_next(&rig));
    uint64_t passed = 0;
    uint64_t start = rig.now;
    for (int i = 0; i < MANY && large->state == SL_TICKET_WAITING; i++) {
        for (int class = 0; class < SL_CLASS_COUNT; class ++)
            if (tickets[3 + class][i].state == SL_TICKET_IDLE)
                rig_submit(&rig, line, &tickets[3 + class][i], (uint64_t)(3 + class),
                           (enum sl_class) class, 300);
        for (struct sl_ticket *ticket; (ticket = rig_next(&rig));) {
            if (ticket != large)
                passed += ticket->demand.tokens;
            rig_settle(&rig, ticket);
        }
        rig_pass(&rig, 2 * SECOND);
    }
    assert_int_equal(large->state, SL_TICKET_IDLE);
    assert_true(passed <= 6000 + 900); /* and those that fit beside it, once it has gone */
    assert_true(passed >= 5700);       /* what could overtake did */
    assert_true(rig.now - start <= 62 * SECOND);
    rig_settle(&rig, first);
    teardown(&rig, pool, line);
}

/* While the claimant is of another class, who is next in turn in this one is not passed for ever.
 */
static void small_ones_stay_within_their_turn_in_each_class(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){.tpm = 10000}, SL_WINDOW_BUCKET);
    rig_submit(&rig, line, &tickets[0][0], 9, SL_CLASS_INTERACTIVE, 9900);
    assert_ptr_equal(serve(&rig), &tickets[0][0]);
    rig_submit(&rig, line, &tickets[1][0], 1, SL_CLASS_INTERACTIVE, 9000);
    struct sl_ticket *larger = &tickets[2][0];
    rig_submit(&rig, line, larger, 2, SL_CLASS_NORMAL, 1000);
    for (int i = 0; i < 100; i++)
        rig_submit(&rig, line, &tickets[3][i], 3, SL_CLASS_NORMAL, 100);
    uint64_t passed = 0;
    for (struct sl_ticket *ticket; (ticket = rig_await(&rig)) != larger;) {
        assert_int_equal(ticket->demand.tenant, 3);
        passed += ticket->demand.tokens;
        rig_settle(&rig, ticket);
    }
    assert_int_equal(passed, 1000);
    rig_settle(&rig, larger);
    teardown(&rig, pool, line);
}

/* Behind more large ones than are looked at one by one, the smallest is still found. */
static void the_smallest_is_found_among_many(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){.tpm = 10000}, SL_WINDOW_BUCKET);
    rig_submit(&rig, line, &tickets[0][0], 1, SL_CLASS_NORMAL, 9000);
    assert_ptr_equal(serve(&rig), &tickets[0][0]);
    for (int i = 0; i < 17; i++)
        rig_submit(&rig, line, &tickets[1][i], (uint64_t)(100 + i), SL_CLASS_NORMAL,
                   5000 - 10 * (uint64_t)i);
    rig_submit(&rig, line, &tickets[2][0], 300, SL_CLASS_NORMAL, 900);
    assert_ptr_equal(serve(&rig), &tickets[2][0]);
    assert_null(rig_next(&rig));
    teardown(&rig, pool, line);
}

static void a_requeue_gives_the_turn_back(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){0}, SL_WINDOW_FIXED);
    for (int i = 0; i < 10; i++)
        for (uint64_t tenant = 0; tenant < 2; tenant++)
            rig_submit(&rig, line, &tickets[tenant][i], tenant, SL_CLASS_NORMAL, 1000);
    const struct sl_outcome unreached = {.ending = SL_ENDING_UNREACHED};
    struct sl_refusal why;
    struct sl_ticket *first = rig_next(&rig);
    for (int i = 0; i < 5; i++) {
        assert_ptr_equal(first, &tickets[0][0]);
        assert_int_equal(sl_queue_requeue(rig.queue, first, &unreached, rig.now, rig.wall, &why),
                         SL_OK);
        first = rig_next(&rig);
    }
    rig_settle(&rig, first);
    int balance = 1;
    for (int i = 1; i < 19; i++) {
        balance += serve(&rig)->demand.tenant == 0 ? 1 : -1;
        assert_in_range(balance + 1, 0, 2);
    }
    teardown(&rig, pool, line);
}

static void what_exceeds_the_limit_goes_alone(void **state) {
    (void)state;
    const enum sl_window windows[] = {SL_WINDOW_BUCKET, SL_WINDOW_FIXED};
    for (int w = 0; w < 2; w++) {
        struct rig rig;
        struct sl_pool *pool;
        struct sl_line *line;
        setup(&rig, &pool, &line, (struct sl_limits){.tpm = 1000}, windows[w]);
        rig_submit(&rig, line, &tickets[1][0], 1, SL_CLASS_NORMAL, 200);
        struct sl_ticket *running = rig_next(&rig);
        assert_non_null(running);
        struct sl_ticket *large = &tickets[2][0];
        rig_submit(&rig, line, large, 2, SL_CLASS_NORMAL, 5000);
        for (int i = 0; i < 90; i++)
            rig_submit(&rig, line, &tickets[3][i], 3, SL_CLASS_INTERACTIVE, 100);
        rig_settle(&rig, running);
        uint64_t start = rig.now;
        for (struct sl_ticket *ticket; (ticket = rig_await(&rig)) != large;)
            rig_settle(&rig, ticket);
        assert_true(rig.now - start < 9 * MINUTE);
        assert_null(rig_next(&rig));
        rig_settle(&rig, large);
        teardown(&rig, pool, line);
    }
}

static void a_pool_is_held_against_other_lines_too(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){.tpm = 10000}, SL_WINDOW_BUCKET);
    struct sl_line *other = rig_line(&rig, pool);
    rig_submit(&rig, line, &tickets[0][0], 1, SL_CLASS_NORMAL, 10000);
    assert_ptr_equal(serve(&rig), &tickets[0][0]);
    struct sl_ticket *large = &tickets[1][0];
    rig_submit(&rig, line, large, 1, SL_CLASS_NORMAL, 3000);
    assert_null(rig_next(&rig));
    uint64_t passed = 0;
    for (int i = 0; i < MANY; i++)
        rig_submit(&rig, other, &tickets[2][i], 2, SL_CLASS_INTERACTIVE, 100);
    for (struct sl_ticket *ticket; (ticket = rig_await(&rig)) != large;) {
        passed += ticket->demand.tokens;
        rig_settle(&rig, ticket);
    }
    assert_true(passed >= 2900 && passed <= 3000);
    rig_settle(&rig, large);
    assert_int_equal(rig_await(&rig)->line == other, 1); /* the hold is over */
    for (int i = 0; i < MANY; i++)
        if (tickets[2][i].state == SL_TICKET_GRANTED)
            rig_settle(&rig, &tickets[2][i]);
    cancel_all(&rig);
    sl_line_free(other);
    teardown(&rig, pool, line);
}

static void a_hold_ends_with_who_it_was_for(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){.tpm = 10000}, SL_WINDOW_BUCKET);
    rig_submit(&rig, line, &tickets[0][0], 1, SL_CLASS_NORMAL, 9000);
    assert_ptr_equal(serve(&rig), &tickets[0][0]);
    rig_submit(&rig, line, &tickets[1][0], 1, SL_CLASS_NORMAL, 1500);
    rig_submit(&rig, line, &tickets[1][1], 1, SL_CLASS_NORMAL, 900);
    for (int i = 0; i < 3; i++)
        rig_submit(&rig, line, &tickets[2][i], 2, SL_CLASS_NORMAL, 800);
    assert_ptr_equal(serve(&rig), &tickets[2][0]); /* overtakes */
    rig_pass(&rig, 5 * SECOND);                    /* 1,033: a second one would fit */
    assert_null(rig_next(&rig));
    sl_queue_cancel(rig.queue, &tickets[1][0]);
    assert_ptr_equal(serve(&rig), &tickets[1][1]);
    teardown(&rig, pool, line);
}

static void routes_go_by_priority_then_weight(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pools[3];
    for (int i = 0; i < 3; i++)
        pools[i] = rig_pool(&rig, (struct sl_limits){.rpm = i == 0 ? 4 : 0}, SL_WINDOW_FIXED);
    const struct sl_route routes[] = {{.pool = pools[1], .weight = 3, .priority = 7},
                                      {.pool = pools[0], .weight = 1, .priority = 2},
                                      {.pool = pools[2], .weight = 1, .priority = 7}};
    struct sl_line *line = sl_line_new(rig.queue, (struct sl_slice){"m", 1}, routes, 3);
    memset(tickets, 0, sizeof(tickets));
    int served[3] = {0};
    for (int i = 0; i < 44; i++) {
        rig_submit(&rig, line, &tickets[0][i], 1, SL_CLASS_NORMAL, 10);
        struct sl_ticket *ticket = rig_next(&rig);
        for (int p = 0; p < 3; p++)
            served[p] += ticket->route->pool == pools[p];
        assert_true(i >= 4 || ticket->route->pool == pools[0]);
    }
    assert_int_equal(served[0], 4);
    assert_int_equal(served[1], 30);
    assert_int_equal(served[2], 10);
    for (int i = 0; i < 44; i++)
        rig_settle(&rig, &tickets[0][i]);
    sl_line_free(line);
    for (int i = 0; i < 3; i++)
        sl_pool_free(pools[i]);
    rig_close(&rig);
}

static void one_of_two_pools_that_runs_short_is_spared(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *small = rig_pool(&rig, (struct sl_limits){.rpm = 20}, SL_WINDOW_FIXED);
    struct sl_pool *large = rig_pool(&rig, (struct sl_limits){.rpm = 80}, SL_WINDOW_FIXED);
    const struct sl_route routes[] = {{.pool = small, .weight = 1}, {.pool = large, .weight = 1}};
    struct sl_line *line = sl_line_new(rig.queue, (struct sl_slice){"m", 1}, routes, 2);
    memset(tickets, 0, sizeof(tickets));
    int on_small = 0;
    for (int i = 0; i < 101; i++)
        rig_submit(&rig, line, &tickets[0][i], 1, SL_CLASS_NORMAL, 10);
    for (int i = 0; i < 100; i++) { /* both are used up */
        struct sl_ticket *ticket = rig_next(&rig);
        assert_non_null(ticket);
        on_small += ticket->route->pool == small;
        assert_true(i != 49 || on_small < 19);
    }
    assert_int_equal(on_small, 20);
    assert_null(rig_next(&rig));
    for (int i = 0; i < 100; i++)
        rig_settle(&rig, &tickets[0][i]);
    cancel_all(&rig);
    sl_line_free(line);
    sl_pool_free(small);
    sl_pool_free(large);
    rig_close(&rig);
}

static void lines_on_one_pool_take_turns(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){.rpm = 60}, SL_WINDOW_BUCKET);
    struct sl_line *other = rig_line(&rig, pool);
    for (int i = 0; i < 200; i++) {
        rig_submit(&rig, line, &tickets[0][i], 1, SL_CLASS_NORMAL, 10);
        rig_submit(&rig, other, &tickets[1][i], 1, SL_CLASS_NORMAL, 10);
    }
    int balance = 0;
    for (int i = 0; i < 200; i++) {
        struct sl_ticket *ticket = rig_await(&rig);
        balance += ticket->line == line ? 1 : -1;
        assert_in_range(balance + 1, 0, 2);
        rig_settle(&rig, ticket);
    }
    cancel_all(&rig);
    sl_line_free(other);
    teardown(&rig, pool, line);
}

/* A smaller one that comes while the line sleeps is looked at, a larger one need not be. */
static void what_comes_small_enough_wakes_the_line(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line, (struct sl_limits){.tpm = 1000}, SL_WINDOW_BUCKET);
    rig_submit(&rig, line, &tickets[0][0], 1, SL_CLASS_NORMAL, 900);
    assert_ptr_equal(serve(&rig), &tickets[0][0]);
    rig_submit(&rig, line, &tickets[1][0], 1, SL_CLASS_NORMAL, 500);
    assert_null(rig_next(&rig));
    rig_submit(&rig, line, &tickets[2][0], 2, SL_CLASS_NORMAL, 600);
    assert_true(rig_wake_at(&rig) > rig.now);
    rig_submit(&rig, line, &tickets[3][0], 3, SL_CLASS_BATCH, 50);
    assert_true(rig_wake_at(&rig) <= rig.now);
    assert_ptr_equal(serve(&rig), &tickets[3][0]);
    teardown(&rig, pool, line);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_share_by_weight_while_all_want),
        cmocka_unit_test(a_class_that_was_idle_has_saved_nothing),
        cmocka_unit_test(tenants_differ_by_one_request_at_most),
        cmocka_unit_test(a_tenant_that_was_idle_has_saved_nothing),
        cmocka_unit_test(leaving_and_coming_back_earns_nothing),
        cmocka_unit_test(among_equals_the_first_come_is_served_first),
        cmocka_unit_test(a_large_head_is_overtaken_by_its_own_size),
        cmocka_unit_test(small_ones_stay_within_their_turn_in_each_class),
        cmocka_unit_test(the_smallest_is_found_among_many),
        cmocka_unit_test(a_requeue_gives_the_turn_back),
        cmocka_unit_test(what_exceeds_the_limit_goes_alone),
        cmocka_unit_test(a_pool_is_held_against_other_lines_too),
        cmocka_unit_test(a_hold_ends_with_who_it_was_for),
        cmocka_unit_test(routes_go_by_priority_then_weight),
        cmocka_unit_test(one_of_two_pools_that_runs_short_is_spared),
        cmocka_unit_test(lines_on_one_pool_take_turns),
        cmocka_unit_test(what_comes_small_enough_wakes_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
