/* Tenants' own limits: kept by waiting, over all lines, and in nobody else's way. */
#include "queue_rig.h"

#include "sched/tenant.h"

static void setup(struct rig *rig, struct sl_pool **pool, struct sl_line **line) {
    rig_open(rig, NULL);
    *pool = rig_pool(rig, (struct sl_limits){0}, SL_WINDOW_FIXED);
    *line = rig_line(rig, *pool);
}

static void teardown(struct rig *rig, struct sl_pool *pool, struct sl_line *line) {
    sl_line_free(line);
    sl_pool_free(pool);
    rig_close(rig);
}

static struct sl_demand limited(uint64_t tenant, uint64_t tokens, uint64_t rpm, uint64_t tpm) {
    struct sl_demand demand = rig_demand(tenant, SL_CLASS_NORMAL, tokens);
    demand.tenant_rpm = rpm;
    demand.tenant_tpm = tpm;
    return demand;
}

static void waits_alone_over_all_lines(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line);
    struct sl_line *other = rig_line(&rig, pool);
    struct sl_ticket tickets[6], free_one;
    struct sl_refusal why;
    struct sl_demand demand = limited(1, 10, 3, 0);
    uint64_t start = rig.now;
    for (int i = 0; i < 6; i++)
        assert_int_equal(rig_ask(&rig, i % 2 ? line : other, &tickets[i], &demand, &why), SL_OK);
    for (int i = 0; i < 3; i++)
        assert_non_null(rig_next(&rig));
    assert_null(rig_next(&rig));
    rig_submit(&rig, line, &free_one, 2, SL_CLASS_BATCH, 1000);
    assert_ptr_equal(rig_next(&rig), &free_one);
    for (int i = 0; i < 3; i++) {
        assert_non_null(rig_await(&rig));
        assert_true(rig.now >= start + (uint64_t)(i + 1) * 20 * SECOND);
        assert_true(rig.now < start + (uint64_t)(i + 1) * 20 * SECOND + SECOND);
    }
    for (int i = 0; i < 6; i++)
        rig_settle(&rig, &tickets[i]);
    rig_settle(&rig, &free_one);
    sl_line_free(other);
    teardown(&rig, pool, line);
}

static void what_was_not_used_comes_back(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line);
    struct sl_ticket tickets[3];
    struct sl_refusal why;
    struct sl_demand demand = limited(1, 900, 0, 1000);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_ask(&rig, line, &tickets[i], &demand, &why), SL_OK);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_null(rig_next(&rig));
    struct sl_outcome outcome = {.ending = SL_ENDING_OK, .tokens = 50};
    sl_queue_settle(rig.queue, &tickets[0], &outcome, rig.now, rig.wall);
    assert_ptr_equal(rig_next(&rig), &tickets[1]);
    outcome.tokens = 2000; /* more than was reserved is owed */
    sl_queue_settle(rig.queue, &tickets[1], &outcome, rig.now, rig.wall);
    uint64_t start = rig.now;
    assert_ptr_equal(rig_await(&rig), &tickets[2]);
    assert_true(rig.now - start > 110 * SECOND && rig.now - start < 120 * SECOND);
    rig_settle(&rig, &tickets[2]);
    teardown(&rig, pool, line);
}

static void more_than_the_whole_limit_may_start_once(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line);
    struct sl_ticket tickets[2];
    struct sl_refusal why;
    struct sl_demand demand = limited(1, 3000, 0, 1000);
    for (int i = 0; i < 2; i++)
        assert_int_equal(rig_ask(&rig, line, &tickets[i], &demand, &why), SL_OK);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    uint64_t start = rig.now;
    rig_settle(&rig, &tickets[0]);
    assert_ptr_equal(rig_await(&rig), &tickets[1]);
    assert_true(rig.now - start >= 3 * MINUTE && rig.now - start < 3 * MINUTE + SECOND);
    rig_settle(&rig, &tickets[1]);
    teardown(&rig, pool, line);
}

static void refuses_by_its_own_forecast(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line);
    struct sl_ticket tickets[4];
    struct sl_refusal why = {0};
    struct sl_demand demand = limited(1, 10, 1, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rig_ask(&rig, line, &tickets[i], &demand, &why), SL_OK);
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_null(rig_next(&rig));
    demand.deadline = rig.now + 2 * MINUTE;
    assert_int_equal(rig_ask(&rig, line, &tickets[3], &demand, &why), SL_E_LIMIT);
    assert_int_equal(why.kind, SL_SCARCE_SHARE);
    assert_true(why.wait_ns > 170 * SECOND && why.wait_ns <= 181 * SECOND);
    demand.tenant = 2; /* of others it is not the affair */
    assert_int_equal(rig_ask(&rig, line, &tickets[3], &demand, &why), SL_OK);
    assert_ptr_equal(rig_next(&rig), &tickets[3]);
    rig_settle(&rig, &tickets[0]);
    rig_settle(&rig, &tickets[3]);
    sl_queue_cancel(rig.queue, &tickets[1]);
    bool expired;
    rig_pass(&rig, 11 * MINUTE);
    assert_ptr_equal(sl_queue_due(rig.queue, rig.now, rig.wall, &expired, &why), &tickets[2]);
    assert_true(expired);
    teardown(&rig, pool, line);
}

/* A large head that its tenant may not send is passed over; once cancelled, the next one goes. */
static void a_cancelled_head_lets_the_next_go(void **state) {
    (void)state;
    struct rig rig;
    struct sl_pool *pool;
    struct sl_line *line;
    setup(&rig, &pool, &line);
    struct sl_ticket tickets[3];
    struct sl_refusal why;
    const uint64_t sizes[3] = {600, 900, 100};
    for (int i = 0; i < 3; i++) {
        struct sl_demand demand = limited(1, sizes[i], 0, 1000);
        assert_int_equal(rig_ask(&rig, line, &tickets[i], &demand, &why), SL_OK);
    }
    assert_ptr_equal(rig_next(&rig), &tickets[0]);
    assert_null(rig_next(&rig));
    sl_queue_cancel(rig.queue, &tickets[1]);
    assert_ptr_equal(rig_next(&rig), &tickets[2]);
    rig_settle(&rig, &tickets[0]);
    rig_settle(&rig, &tickets[2]);
    teardown(&rig, pool, line);
}

static void is_forgotten_once_full_and_bounded(void **state) {
    (void)state;
    uint64_t blocks = sl_mem_stats().blocks, now = SECOND;
    struct sl_tenants tenants;
    struct sl_tenant *tenant, *kept;
    assert_int_equal(sl_tenants_init(&tenants), SL_OK);
    assert_int_equal(sl_tenants_hold(&tenants, 1, now, &kept), SL_OK);
    sl_tenant_limit(kept, 60, 0, now);
    sl_tenant_charge(kept, 10, now);
    sl_tenants_release(&tenants, kept, now);
    assert_int_equal(sl_tenants_hold(&tenants, 2, now, &tenant), SL_OK);
    assert_int_equal(sl_tenants_hold(&tenants, 1, now, &tenant), SL_OK);
    assert_ptr_equal(tenant, kept); /* it has used something */
    sl_tenants_release(&tenants, kept, now);
    now += 2 * SECOND;
    assert_int_equal(sl_tenants_hold(&tenants, 3, now, &tenant), SL_OK);
    assert_int_equal(tenants.count, 2); /* 1 was full again */
    /* With the table full, one that is idle gives way, those that are in use do not. */
    for (uint64_t id = 4; tenants.count < SL_TENANTS_MAX; id++)
        assert_int_equal(sl_tenants_hold(&tenants, id, now, &tenant), SL_OK);
    assert_int_equal(sl_tenants_hold(&tenants, UINT64_MAX, now, &kept), SL_E_LIMIT);
    sl_tenant_limit(tenant, 60, 0, now);
    sl_tenant_charge(tenant, 10, now);
    sl_tenants_release(&tenants, tenant, now);
    assert_int_equal(sl_tenants_hold(&tenants, UINT64_MAX, now, &kept), SL_OK);
    assert_int_equal(tenants.count, SL_TENANTS_MAX);
    for (size_t i = 0; i < tenants.wakes.count; i++) {
        tenant = SL_CONTAINER(tenants.wakes.items[i], struct sl_tenant, wake);
        sl_tenants_release(&tenants, tenant, now);
    }
    sl_tenants_done(&tenants);
    assert_int_equal(sl_mem_stats().blocks, blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_alone_over_all_lines),
        cmocka_unit_test(what_was_not_used_comes_back),
        cmocka_unit_test(more_than_the_whole_limit_may_start_once),
        cmocka_unit_test(refuses_by_its_own_forecast),
        cmocka_unit_test(a_cancelled_head_lets_the_next_go),
        cmocka_unit_test(is_forgotten_once_full_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
