/* The scheduler's pages, over made-up pools and queues. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <string.h>

#include "app/admin_sched.h"

struct world {
    size_t pools; /* how many of them */
    char pool[64], target[64];
    struct sl_limits limits;
    uint32_t weight;
    unsigned changes;
};

static struct sl_pool_view view_of(size_t i) {
    static char ids[2][32] = {"east/us-east-1/on-demand/a", "west/\"b\""};
    return (struct sl_pool_view){.id = sl_slice_str(ids[i % 2]),
                                 .limits = {1, 2, 3, 4},
                                 .configured = {10, 20, 30, 40},
                                 .used_requests = 5,
                                 .used_tokens = 6,
                                 .used_day = 7,
                                 .running = 8,
                                 .gate = "closed",
                                 .gate_opens_ns = 1500000,
                                 .window = "bucket",
                                 .throttles = 9,
                                 .failures = 11,
                                 .calls = 12,
                                 .retries = 13,
                                 .learned = true};
}

static void look_pools(void *ctx, sl_pool_visit visit, void *visitor) {
    struct world *w = ctx;
    for (size_t i = 0; i < w->pools; i++) {
        struct sl_pool_view view = view_of(i);
        if (!visit(visitor, &view))
            return;
    }
}

static void look_queue(void *ctx, sl_queue_visit visit, void *visitor) {
    (void)ctx;
    if (visit(visitor, SL_LIT("m"), SL_CLASS_BATCH, UINT64_MAX, 2, 300, 4000000))
        visit(visitor, SL_LIT("n"), SL_CLASS_NORMAL, 0, 1, 1, 0);
}

static struct sl_queue_counts count_queue(void *ctx) {
    (void)ctx;
    return (struct sl_queue_counts){3, 4, 5, 6};
}

static bool set_limits(void *ctx, struct sl_slice pool, const struct sl_limits *limits) {
    struct world *w = ctx;
    snprintf(w->pool, sizeof(w->pool), "%.*s", SL_FMT(pool));
    w->limits = *limits;
    w->changes++;
    return true;
}

static bool set_weight(void *ctx, struct sl_slice target, uint32_t weight) {
    struct world *w = ctx;
    if (!sl_slice_eq(target, SL_LIT("east")))
        return false;
    w->weight = weight;
    w->changes++;
    return true;
}

static struct world world;
static struct sl_admin_reply reply;

static void call(const char *method, const char *path, const char *body, size_t max) {
    struct sl_admin_sched sched = {look_pools, look_queue, count_queue,
                                   set_limits, set_weight, &world};
    struct sl_admin_request request = {
        .method = sl_slice_str(method), .path = sl_slice_str(path), .body = sl_slice_str(body)};
    reply = (struct sl_admin_reply){.status = 200, .content_type = "application/json"};
    sl_buf_init(&reply.body, max);
    for (const struct sl_admin_row *row = sl_admin_sched_rows; row->path; row++)
        if (strcmp(row->path, path) == 0)
            row->page(&sched, &request, &reply);
}

static void expect(int status, const char *body) {
    assert_int_equal(sl_buf_terminate(&reply.body), 0);
    assert_string_equal(reply.body.ptr, body);
    assert_int_equal(reply.status, status);
    sl_buf_done(&reply.body);
}

static void test_targets(void **state) {
    (void)state;
    world = (struct world){.pools = 1};
    call("GET", "/admin/targets", "", 65536);
    expect(200, "{\"pools\":[{\"id\":\"east/us-east-1/on-demand/a\","
                "\"limits\":{\"rpm\":1,\"tpm\":2,\"tpd\":3,\"in_flight\":4},"
                "\"configured\":{\"rpm\":10,\"tpm\":20,\"tpd\":30,\"in_flight\":40},"
                "\"used\":{\"requests\":5,\"tokens\":6,\"day\":7},\"running\":8,"
                "\"gate\":\"closed\",\"gate_opens_ms\":1,\"window\":\"bucket\",\"learned\":true,"
                "\"calls\":12,\"throttles\":9,\"failures\":11,\"retries\":13}]}\n");
    world.pools = 0;
    call("GET", "/admin/targets", "", 65536);
    expect(200, "{\"pools\":[]}\n");
    world.pools = 2;
    call("GET", "/admin/targets", "", 65536);
    assert_true(sl_slice_search(sl_buf_slice(&reply.body),
                                SL_LIT("},\n{\"id\":\"west/\\\"b\\\"\"")) < reply.body.len);
    sl_buf_done(&reply.body);
    world.pools = 100; /* too many for this page: an error, not half a list */
    call("GET", "/admin/targets", "", 1000);
    expect(500, "{\"error\":\"the page is larger than 4194304 bytes\"}\n");
}

static void test_queue(void **state) {
    (void)state;
    call("GET", "/admin/queue", "", 65536);
    expect(200, "{\"waiting\":3,\"running\":4,\"waiting_bytes\":5,\"waiting_tokens\":6,\"lines\":["
                "{\"line\":\"m\",\"class\":\"batch\",\"tenant\":\"18446744073709551615\","
                "\"waiting\":2,\"tokens\":300,\"oldest_ms\":4},\n"
                "{\"line\":\"n\",\"class\":\"normal\",\"tenant\":\"0\",\"waiting\":1,\"tokens\":1,"
                "\"oldest_ms\":0}]}\n");
}

static void test_changes(void **state) {
    (void)state;
    world = (struct world){.pools = 2};
    call("PATCH", "/admin/targets", "{\"pool\":\"west/\\\"b\\\"\",\"tpm\":600000}", 65536);
    expect(200, "{}\n");
    assert_string_equal(world.pool, "west/\"b\"");
    assert_true(world.limits.rpm == 10 && world.limits.tpm == 600000 && world.limits.tpd == 30 &&
                world.limits.in_flight == 40);
    call("POST", "/admin/targets", "{\"target\":\"east\",\"weight\":7}", 65536);
    expect(200, "{}\n");
    assert_int_equal(world.weight, 7);
    assert_int_equal(world.changes, 2);
}

static void test_wrong_changes(void **state) {
    static const struct {
        const char *body;
        int status;
        const char *error;
    } cases[] = {
        {"", 400, "the body takes JSON such as {\\\"pool\\\":\\\"ID\\\",\\\"tpm\\\":600000}"},
        {"[]", 400, "the body takes JSON such as {\\\"pool\\\":\\\"ID\\\",\\\"tpm\\\":600000}"},
        {"{}", 400, "it takes a pool with its limits, a target with its weight, or both"},
        {"{\"pool\":\"a\"}", 400,
         "it takes a pool with its limits, a target with its weight, or both"},
        {"{\"tpm\":1}", 400, "it takes a pool with its limits, a target with its weight, or both"},
        {"{\"pool\":1,\"tpm\":1}", 400, "\\\"pool\\\" takes a text"},
        {"{\"pool\":\"a\",\"tpm\":\"1\"}", 400,
         "\\\"tpm\\\" takes a whole number from 0 to 1000000000000"},
        {"{\"pool\":\"a\",\"rpm\":-1}", 400,
         "\\\"rpm\\\" takes a whole number from 0 to 1000000000"},
        {"{\"pool\":\"a\",\"rpm\":1.5}", 400,
         "\\\"rpm\\\" takes a whole number from 0 to 1000000000"},
        {"{\"target\":\"east\",\"weight\":0}", 400,
         "\\\"weight\\\" takes a whole number from 1 to 1000"},
        {"{\"pool\":\"a\",\"tmp\":1}", 400,
         "unknown member \\\"tmp\\\"; it takes pool, rpm, tpm, tpd, in_flight, target, weight"},
        {"{\"pool\":\"a\",\"tpm\":1}", 404,
         "there is no pool \\\"a\\\"; GET /admin/targets lists them"},
        {"{\"target\":\"north\",\"weight\":1}", 404, "there is no target \\\"north\\\""},
    };
    (void)state;
    world = (struct world){.pools = 2};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char body[512];
        snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", cases[i].error);
        call("PATCH", "/admin/targets", cases[i].body, 65536);
        expect(cases[i].status, body);
    }
    assert_int_equal(world.changes, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_wrong_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
