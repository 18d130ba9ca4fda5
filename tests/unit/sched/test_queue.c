/* The queue's calls, one by one, against real pools in virtual time. */
#include "queue_rig.h"

static void grants_at_once_where_nothing_limits(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_AUTO);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[3];
    assert_true(rig_wake_at(&rig) == SL_NEVER);
    for (int i = 0; i < 3; i++)
        rig_submit(&rig, line, &tickets[i], 1, SL_CLASS_NORMAL, 10);
    assert_int_equal(sl_queue_count(rig.queue).waiting, 3);
    assert_int_equal(sl_queue_count(rig.queue).waiting_bytes, 300);
    assert_int_equal(sl_queue_count(rig.queue).waiting_tokens, 30);
    assert_true(rig_wake_at(&rig) <= rig.now);
    for (int i = 0; i < 3; i++) {
        assert_ptr_equal(rig_next(&rig), &tickets[i]);
        assert_int_equal(tickets[i].state, SL_TICKET_GRANTED);
        assert_ptr_equal(tickets[i].route->pool, pool);
    }
    assert_null(rig_next(&rig));
    assert_int_equal(sl_queue_count(rig.queue).running, 3);
    assert_false(sl_line_is_idle(line));
    for (int i = 0; i < 3; i++)
        rig_settle(&rig, &tickets[i]);
    assert_int_equal(tickets[0].state, SL_TICKET_IDLE);
    assert_true(sl_line_is_idle(line));
    assert_true(rig_wake_at(&rig) == SL_NEVER);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void waits_for_quota_and_wakes_in_time(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){.rpm = 2}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[4];
    uint64_t start = rig.now;
    for (int i = 0; i < 4; i++)
        rig_submit(&rig, line, &tickets[i], 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_ptr_equal(rig_next(&rig), &tickets[1]);
    assert_null(rig_next(&rig));
    rig_settle(&rig, &tickets[0]);
    rig_settle(&rig, &tickets[1]);
    assert_null(rig_next(&rig));
    assert_ptr_equal(rig_await(&rig), &tickets[2]);
    assert_true(rig.now >= start + MINUTE && rig.now < start + MINUTE + SECOND);
    assert_ptr_equal(rig_await(&rig), &tickets[3]);
    rig_settle(&rig, &tickets[2]);
    rig_settle(&rig, &tickets[3]);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void only_an_end_helps_where_calls_at_once_are_limited(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){.in_flight = 1}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[2];
    struct sl_demand demand = rig_demand(1, SL_CLASS_NORMAL, 10);
    struct sl_refusal why;
    rig_submit(&rig, line, &tickets[0], 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    struct sl_queue_settings forever = rig_settings;
    forever.max_wait_ns = SL_NEVER;
    sl_queue_configure(rig.queue, &forever);
    assert_int_equal(rig_ask(&rig, line, &tickets[1], &demand, &why), SL_OK);
    assert_null(rig_next(&rig));
    assert_true(rig_wake_at(&rig) == SL_NEVER);
    rig_settle(&rig, &tickets[0]);
    assert_ptr_equal(rig_next(&rig), &tickets[1]);
    rig_settle(&rig, &tickets[1]);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void never_runs_more_at_once_than_the_gateway_may(void **state) {
    (void)state;
    struct rig rig;
    struct sl_queue_settings settings = rig_settings;
    settings.max_in_flight = 2;
    rig_open(&rig, &settings);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[4];
    for (int i = 0; i < 4; i++)
        rig_submit(&rig, line, &tickets[i], 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_ptr_equal(rig_next(&rig), &tickets[1]);
    assert_null(rig_next(&rig));
    assert_true(rig_wake_at(&rig) > rig.now + MINUTE);
    rig_settle(&rig, &tickets[0]);
    assert_ptr_equal(rig_next(&rig), &tickets[2]);
    assert_null(rig_next(&rig));
    settings.max_in_flight = 3;
    sl_queue_configure(rig.queue, &settings);
    assert_ptr_equal(rig_next(&rig), &tickets[3]);
    for (int i = 1; i < 4; i++)
        rig_settle(&rig, &tickets[i]);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void refuses_what_finds_no_room(void **state) {
    (void)state;
    struct rig rig;
    struct sl_queue_settings settings = rig_settings;
    settings.max_requests = 2;
    settings.max_bytes = 1000;
    rig_open(&rig, &settings);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[3];
    struct sl_demand demand = rig_demand(1, SL_CLASS_NORMAL, 10);
    struct sl_refusal why = {0};
    demand.bytes = 600;
    assert_int_equal(rig_ask(&rig, line, &tickets[0], &demand, &why), SL_OK);
    assert_int_equal(rig_ask(&rig, line, &tickets[1], &demand, &why), SL_E_LIMIT);
    assert_int_equal(why.kind, SL_SCARCE_CAPACITY);
    assert_true(why.wait_ns > 0 && why.wait_ns < MINUTE);
    assert_int_equal(tickets[1].state, SL_TICKET_IDLE);
    demand.bytes = 400;
    assert_int_equal(rig_ask(&rig, line, &tickets[1], &demand, &why), SL_OK);
    demand.bytes = 0;
    assert_int_equal(rig_ask(&rig, line, &tickets[2], &demand, &why), SL_E_LIMIT);
    sl_queue_cancel(rig.queue, &tickets[0]);
    assert_int_equal(tickets[0].state, SL_TICKET_IDLE);
    assert_int_equal(rig_ask(&rig, line, &tickets[2], &demand, &why), SL_OK);
    sl_queue_cancel(rig.queue, &tickets[1]);
    sl_queue_cancel(rig.queue, &tickets[2]);
    assert_null(rig_next(&rig));
    assert_int_equal(sl_queue_count(rig.queue).waiting_bytes, 0);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void a_deadline_takes_a_ticket_out(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){.in_flight = 1}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket running, late, patient, elsewhere;
    struct sl_refusal why = {0};
    bool expired = false;
    rig_submit(&rig, line, &running, 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &running);
    struct sl_demand demand = rig_demand(1, SL_CLASS_NORMAL, 10);
    demand.deadline = rig.now + 30 * SECOND;
    assert_int_equal(rig_ask(&rig, line, &late, &demand, &why), SL_OK);
    demand.deadline = SL_NEVER;
    assert_int_equal(rig_ask(&rig, line, &patient, &demand, &why), SL_OK);
    demand.fallback_at = rig.now + 20 * SECOND;
    assert_int_equal(rig_ask(&rig, line, &elsewhere, &demand, &why), SL_OK);
    struct sl_ticket *order[] = {&elsewhere, &late, &patient};
    const bool expires[] = {false, true, true};
    const uint64_t after[] = {20 * SECOND, 30 * SECOND, 10 * MINUTE};
    uint64_t start = rig.now;
    assert_null(rig_next(&rig));
    for (int i = 0; i < 3; i++) {
        struct sl_ticket *due;
        while (!(due = sl_queue_due(rig.queue, rig.now, rig.wall, &expired, &why))) {
            assert_true(rig_wake_at(&rig) > rig.now);
            rig_pass(&rig, rig_wake_at(&rig) - rig.now);
            assert_null(rig_next(&rig));
        }
        assert_ptr_equal(due, order[i]);
        assert_int_equal(expired, expires[i]);
        assert_int_equal(why.kind, SL_SCARCE_CAPACITY); /* nobody knows how long calls take */
        assert_int_equal(due->state, expires[i] ? SL_TICKET_IDLE : SL_TICKET_WAITING);
        if (!expired)
            sl_queue_cancel(rig.queue, due);
        assert_true(rig.now >= start + after[i]);
        assert_true(rig.now <= start + after[i] + 2 * SL_NS_PER_MS);
    }
    rig_settle(&rig, &running);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void refuses_what_cannot_make_its_deadline(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){.rpm = 10}, SL_WINDOW_BUCKET);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[40], hurried;
    for (int i = 0; i < 40; i++) /* 30 of them wait: three minutes of work */
        rig_submit(&rig, line, &tickets[i], 1, SL_CLASS_NORMAL, 10);
    for (int i = 0; i < 10; i++)
        assert_ptr_equal(rig_next(&rig), &tickets[i]);
    assert_null(rig_next(&rig));
    struct sl_demand demand = rig_demand(1, SL_CLASS_NORMAL, 10);
    struct sl_refusal why = {0};
    demand.deadline = rig.now + 100 * SECOND;
    assert_int_equal(rig_ask(&rig, line, &hurried, &demand, &why), SL_E_LIMIT);
    assert_int_equal(why.kind, SL_SCARCE_REQUESTS);
    assert_true(why.wait_ns > 150 * SECOND && why.wait_ns < 210 * SECOND);
    enum sl_scarcity kind;
    assert_true(sl_line_forecast(line, SL_CLASS_NORMAL, 10, rig.now, rig.wall, &kind) ==
                why.wait_ns);
    demand.deadline = rig.now + 200 * SECOND;
    assert_int_equal(rig_ask(&rig, line, &hurried, &demand, &why), SL_OK);
    sl_queue_cancel(rig.queue, &hurried);
    /* A better class does not wait for this, another tenant of the class only for one. */
    demand.deadline = rig.now + 13 * SECOND;
    demand.priority = SL_CLASS_INTERACTIVE;
    assert_int_equal(rig_ask(&rig, line, &hurried, &demand, &why), SL_OK);
    sl_queue_cancel(rig.queue, &hurried);
    demand.priority = SL_CLASS_NORMAL;
    demand.tenant = 2;
    assert_int_equal(rig_ask(&rig, line, &hurried, &demand, &why), SL_OK);
    sl_queue_cancel(rig.queue, &hurried);
    demand.deadline = rig.now + 10 * SECOND;
    assert_int_equal(rig_ask(&rig, line, &hurried, &demand, &why), SL_E_LIMIT);
    for (int i = 10; i < 40; i++)
        sl_queue_cancel(rig.queue, &tickets[i]);
    for (int i = 0; i < 10; i++)
        rig_settle(&rig, &tickets[i]);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void requeued_it_is_first_and_goes_elsewhere(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *first = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_pool *second = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    const struct sl_route routes[] = {{.pool = first, .weight = 1, .priority = 0},
                                      {.pool = second, .weight = 1, .priority = 1}};
    struct sl_line *line = sl_line_new(rig.queue, (struct sl_slice){"m", 1}, routes, 2);
    struct sl_ticket tickets[2];
    struct sl_refusal why;
    const struct sl_outcome throttled = {.ending = SL_ENDING_THROTTLED, .kind = SL_SCARCE_HEALTH};
    rig_submit(&rig, line, &tickets[0], 1, SL_CLASS_NORMAL, 10);
    uint64_t queued_at = tickets[0].queued_at;
    rig_submit(&rig, line, &tickets[1], 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_ptr_equal(tickets[0].route->pool, first);
    rig_pass(&rig, SECOND);
    assert_int_equal(sl_queue_requeue(rig.queue, &tickets[0], &throttled, rig.now, rig.wall, &why),
                     SL_OK);
    assert_int_equal(tickets[0].state, SL_TICKET_WAITING);
    assert_true(tickets[0].queued_at == queued_at);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_ptr_equal(tickets[0].route->pool, second);
    assert_int_equal(sl_queue_requeue(rig.queue, &tickets[0], &throttled, rig.now, rig.wall, &why),
                     SL_OK);
    assert_int_equal(tickets[0].avoid, 0);          /* both refused: all may be tried again */
    assert_ptr_equal(rig_await(&rig), &tickets[0]); /* once a gate opens */
    rig_settle(&rig, &tickets[0]);
    assert_ptr_equal(rig_await(&rig), &tickets[1]);
    rig_settle(&rig, &tickets[1]);
    sl_line_free(line);
    sl_pool_free(first);
    sl_pool_free(second);
    rig_close(&rig);
}

/* Where it failed it goes again only when nowhere else can serve it, though the pool is open. */
static void a_route_that_failed_is_tried_last(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *first = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_pool *second = rig_pool(&rig, (struct sl_limits){.in_flight = 1}, SL_WINDOW_FIXED);
    const struct sl_route routes[] = {{.pool = first, .weight = 1, .priority = 0},
                                      {.pool = second, .weight = 1, .priority = 1}};
    struct sl_line *line = sl_line_new(rig.queue, (struct sl_slice){"m", 1}, routes, 2);
    struct sl_ticket tickets[2];
    struct sl_refusal why;
    const struct sl_outcome unreached = {.ending = SL_ENDING_UNREACHED};
    struct sl_pool *expected[2] = {second, first};
    for (int i = 0; i < 2; i++) {
        rig_submit(&rig, line, &tickets[i], 1, SL_CLASS_NORMAL, 10);
        assert_ptr_equal(rig_next(&rig), &tickets[i]);
        assert_ptr_equal(tickets[i].route->pool, first);
        assert_int_equal(
            sl_queue_requeue(rig.queue, &tickets[i], &unreached, rig.now, rig.wall, &why), SL_OK);
        assert_int_equal(tickets[i].avoid, 1);
        assert_ptr_equal(rig_next(&rig), &tickets[i]);
        assert_ptr_equal(tickets[i].route->pool, expected[i]);
    }
    rig_settle(&rig, &tickets[0]);
    rig_settle(&rig, &tickets[1]);
    sl_line_free(line);
    sl_pool_free(first);
    sl_pool_free(second);
    rig_close(&rig);
}

static void requeue_refuses_what_is_too_late(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket ticket;
    struct sl_refusal why;
    struct sl_demand demand = rig_demand(1, SL_CLASS_NORMAL, 10);
    demand.deadline = rig.now + 5 * SECOND;
    assert_int_equal(rig_ask(&rig, line, &ticket, &demand, &why), SL_OK);
    assert_ptr_equal(rig_next(&rig), &ticket);
    rig_pass(&rig, 4 * SECOND);
    const struct sl_outcome throttled = {
        .ending = SL_ENDING_THROTTLED, .kind = SL_SCARCE_HEALTH, .retry_after_ns = 20 * SECOND};
    assert_int_equal(sl_queue_requeue(rig.queue, &ticket, &throttled, rig.now, rig.wall, &why),
                     SL_E_LIMIT);
    assert_int_equal(why.kind, SL_SCARCE_HEALTH);
    assert_true(why.wait_ns >= 19 * SECOND && why.wait_ns < MINUTE);
    assert_int_equal(ticket.state, SL_TICKET_IDLE);
    assert_true(sl_line_is_idle(line));
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void submitted_elsewhere_it_keeps_its_first_arrival(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){.in_flight = 1}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool), *other = rig_line(&rig, pool);
    struct sl_ticket running, ticket;
    struct sl_refusal why;
    bool expired;
    rig_submit(&rig, line, &running, 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &running);
    struct sl_demand demand = rig_demand(1, SL_CLASS_NORMAL, 10);
    demand.fallback_at = rig.now + MINUTE;
    uint64_t start = rig.now;
    assert_int_equal(rig_ask(&rig, line, &ticket, &demand, &why), SL_OK);
    rig_pass(&rig, MINUTE + SECOND);
    assert_ptr_equal(sl_queue_due(rig.queue, rig.now, rig.wall, &expired, &why), &ticket);
    assert_false(expired);
    assert_int_equal(ticket.state, SL_TICKET_WAITING); /* where it was */
    assert_null(sl_queue_due(rig.queue, rig.now, rig.wall, &expired, &why));
    sl_queue_cancel(rig.queue, &ticket);
    demand.fallback_at = SL_NEVER;
    assert_int_equal(sl_queue_submit(rig.queue, other, &ticket, &demand, rig.now, rig.wall, &why),
                     SL_OK);
    assert_true(ticket.queued_at == start);
    assert_true(ticket.demand.deadline == start + rig_settings.max_wait_ns);
    rig_settle(&rig, &running);
    assert_ptr_equal(rig_next(&rig), &ticket);
    rig_settle(&rig, &ticket);
    sl_line_free(line);
    sl_line_free(other);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void a_change_moves_class_and_deadline(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){.in_flight = 1}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket running, batch[2], interactive;
    struct sl_refusal why;
    bool expired;
    rig_submit(&rig, line, &running, 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &running);
    for (int i = 0; i < 2; i++)
        rig_submit(&rig, line, &batch[i], 1, SL_CLASS_BATCH, 10);
    rig_pass(&rig, SECOND);
    rig_submit(&rig, line, &interactive, 1, SL_CLASS_INTERACTIVE, 10);
    /* The older goes before those of its new class. */
    sl_queue_change(rig.queue, &batch[1], SL_CLASS_INTERACTIVE, SL_NEVER);
    assert_int_equal(batch[1].demand.priority, SL_CLASS_INTERACTIVE);
    sl_queue_change(rig.queue, &batch[0], SL_CLASS_BATCH, rig.now + 3 * SECOND);
    rig_settle(&rig, &running);
    assert_ptr_equal(rig_next(&rig), &batch[1]);
    assert_null(rig_next(&rig));
    rig_pass(&rig, 4 * SECOND);
    assert_ptr_equal(sl_queue_due(rig.queue, rig.now, rig.wall, &expired, &why), &batch[0]);
    assert_true(expired);
    rig_settle(&rig, &batch[1]);
    assert_ptr_equal(rig_next(&rig), &interactive);
    rig_settle(&rig, &interactive);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

static void routes_change_under_what_waits_and_runs(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *narrow = rig_pool(&rig, (struct sl_limits){.in_flight = 1}, SL_WINDOW_FIXED);
    struct sl_pool *wide = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, narrow);
    struct sl_ticket tickets[2];
    for (int i = 0; i < 2; i++)
        rig_submit(&rig, line, &tickets[i], 1, SL_CLASS_NORMAL, 10);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_null(rig_next(&rig));
    const struct sl_route route = {.pool = wide, .weight = 1};
    assert_int_equal(sl_line_set_routes(line, &route, 1), SL_OK);
    assert_ptr_equal(tickets[0].route->pool, narrow);
    assert_ptr_equal(rig_next(&rig), &tickets[1]);
    assert_ptr_equal(tickets[1].route->pool, wide);
    struct sl_refusal why;
    const struct sl_outcome unreached = {.ending = SL_ENDING_UNREACHED};
    assert_int_equal(sl_queue_requeue(rig.queue, &tickets[0], &unreached, rig.now, rig.wall, &why),
                     SL_OK);
    sl_pool_free(narrow);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    rig_settle(&rig, &tickets[0]);
    rig_settle(&rig, &tickets[1]);
    sl_line_free(line);
    sl_pool_free(wide);
    rig_close(&rig);
}

struct seen {
    int rows, stop_after;
    uint32_t waiting;
    uint64_t tokens, oldest;
};

static bool visit(void *ctx, struct sl_slice line, enum sl_class priority, uint64_t tenant,
                  uint32_t waiting, uint64_t tokens, uint64_t oldest_ns) {
    struct seen *seen = ctx;
    assert_int_equal(line.len, 5);
    assert_int_equal(priority, tenant == 7 ? SL_CLASS_BATCH : SL_CLASS_NORMAL);
    seen->waiting += waiting;
    seen->tokens += tokens;
    seen->oldest = oldest_ns > seen->oldest ? oldest_ns : seen->oldest;
    return ++seen->rows != seen->stop_after;
}

static void shows_who_waits(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[3];
    rig_submit(&rig, line, &tickets[0], 1, SL_CLASS_NORMAL, 10);
    rig_pass(&rig, SECOND);
    rig_submit(&rig, line, &tickets[1], 1, SL_CLASS_NORMAL, 20);
    rig_submit(&rig, line, &tickets[2], 7, SL_CLASS_BATCH, 40);
    struct seen seen = {0};
    sl_queue_look(rig.queue, rig.now, visit, &seen);
    assert_int_equal(seen.rows, 2);
    assert_int_equal(seen.waiting, 3);
    assert_int_equal(seen.tokens, 70);
    assert_true(seen.oldest == SECOND);
    seen = (struct seen){.stop_after = 1};
    sl_queue_look(rig.queue, rig.now, visit, &seen);
    assert_int_equal(seen.rows, 1);
    for (int i = 0; i < 3; i++)
        sl_queue_cancel(rig.queue, &tickets[i]);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

/* Every allocation on the way fails once; what was there before goes on. */
static void lack_of_memory_fails_one_submission(void **state) {
    (void)state;
    for (uint64_t nth = 1; nth < 16; nth++) {
        struct rig rig;
        rig_open(&rig, NULL);
        struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
        struct sl_line *line = rig_line(&rig, pool);
        struct sl_ticket tickets[2];
        struct sl_refusal why;
        rig_submit(&rig, line, &tickets[0], 1, SL_CLASS_NORMAL, 10);
        struct sl_demand demand = rig_demand(2, SL_CLASS_BATCH, 10);
        demand.tenant_rpm = 5;
        sl_mem_fail_after(nth);
        int rc = rig_ask(&rig, line, &tickets[1], &demand, &why);
        bool failed = !sl_mem_fail_after(0);
        assert_int_equal(rc, failed ? SL_E_NOMEM : SL_OK);
        if (rc < 0)
            assert_int_equal(rig_ask(&rig, line, &tickets[1], &demand, &why), SL_OK);
        assert_ptr_equal(rig_next(&rig), &tickets[0]);
        assert_ptr_equal(rig_next(&rig), &tickets[1]);
        rig_settle(&rig, &tickets[0]);
        rig_settle(&rig, &tickets[1]);
        sl_line_free(line);
        sl_pool_free(pool);
        rig_close(&rig);
    }
}

static void lack_of_memory_fails_a_line_whole(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    const struct sl_route route = {.pool = pool, .weight = 1};
    struct sl_line *line = NULL;
    int failures = 0;
    for (uint64_t nth = 1; !line; nth++) {
        sl_mem_fail_after(nth);
        line = sl_line_new(rig.queue, (struct sl_slice){"m", 1}, &route, 1);
        failures += !line;
    }
    sl_mem_fail_after(0);
    assert_true(failures >= 3);
    sl_mem_fail_after(1);
    assert_int_equal(sl_line_set_routes(line, &route, 1), SL_E_NOMEM);
    sl_line_free(line);
    sl_queue_free(rig.queue);
    for (uint64_t nth = 1; nth < 4; nth++) {
        sl_mem_fail_after(nth);
        assert_null(sl_queue_new(&rig_settings));
    }
    sl_mem_fail_after(0);
    sl_pool_free(pool);
    rig.queue = NULL;
    rig_close(&rig);
}

static void a_clock_that_steps_is_survived(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL);
    struct sl_pool *pool = rig_pool(&rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    struct sl_line *line = rig_line(&rig, pool);
    struct sl_ticket tickets[2];
    struct sl_refusal why;
    struct sl_demand demand = rig_demand(1, SL_CLASS_NORMAL, 10);
    demand.tenant_rpm = 1;
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_ask(&rig, line, &tickets[i], &demand, &why), SL_OK);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    rig_settle(&rig, &tickets[0]);
    assert_null(rig_next(&rig));
    uint64_t wait = rig_wake_at(&rig) - rig.now;
    assert_true(wait > 59 * SECOND && wait <= MINUTE);
    rig.now -= 900 * SECOND;
    assert_null(rig_next(&rig));
    assert_true(rig_wake_at(&rig) == rig.now + wait);
    rig_pass(&rig, wait);
    assert_ptr_equal(rig_next(&rig), &tickets[1]);
    rig_settle(&rig, &tickets[1]);
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grants_at_once_where_nothing_limits),
        cmocka_unit_test(waits_for_quota_and_wakes_in_time),
        cmocka_unit_test(only_an_end_helps_where_calls_at_once_are_limited),
        cmocka_unit_test(never_runs_more_at_once_than_the_gateway_may),
        cmocka_unit_test(refuses_what_finds_no_room),
        cmocka_unit_test(a_deadline_takes_a_ticket_out),
        cmocka_unit_test(refuses_what_cannot_make_its_deadline),
        cmocka_unit_test(requeued_it_is_first_and_goes_elsewhere),
        cmocka_unit_test(a_route_that_failed_is_tried_last),
        cmocka_unit_test(requeue_refuses_what_is_too_late),
        cmocka_unit_test(submitted_elsewhere_it_keeps_its_first_arrival),
        cmocka_unit_test(a_change_moves_class_and_deadline),
        cmocka_unit_test(routes_change_under_what_waits_and_runs),
        cmocka_unit_test(shows_who_waits),
        cmocka_unit_test(lack_of_memory_fails_one_submission),
        cmocka_unit_test(lack_of_memory_fails_a_line_whole),
        cmocka_unit_test(a_clock_that_steps_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
