/* The admin port over real sockets: who is let in, methods, bodies, pages that answer later. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "app/admin.h"
#include "sluice/base/mem.h"
#include "sluice/io/fetch.h"

#define TOKEN "0123456789abcdef"

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_fetch_client *client;
    struct sl_fetch_origin *origin;
    struct sl_admin *admin;
    struct sl_metrics metrics;
    uv_timer_t guard;
    const char *not_ready;
    /* Of the page under test. */
    unsigned calls;
    char seen[256];
    struct sl_admin_reply *waiting;
    /* Of the answer. */
    int status;
    char type[64], allow[64], body[1024];
    size_t len;
    bool done;
};
static struct rig rig;

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("nothing happened for 20 s");
}

/* ---- pages ---- */

static void page_echo(void *ctx, const struct sl_admin_request *request,
                      struct sl_admin_reply *reply) {
    struct rig *r = ctx;
    struct sl_slice value = SL_LIT("-");
    r->calls++;
    (void)sl_admin_query(request, "name", &value);
    sl_admin_check(reply, sl_buf_printf(&reply->body, "%.*s %.*s %.*s %.*s %zu",
                                        SL_FMT(request->method), SL_FMT(request->path),
                                        SL_FMT(request->rest), SL_FMT(value), request->body.len));
}

static void page_later(void *ctx, const struct sl_admin_request *request,
                       struct sl_admin_reply *reply) {
    struct rig *r = ctx;
    (void)request;
    r->calls++;
    r->waiting = reply;
    sl_admin_later(reply);
    uv_stop(&r->uv);
}

/* One whose answer comes while it is being asked for. */
static void page_at_once(void *ctx, const struct sl_admin_request *request,
                         struct sl_admin_reply *reply) {
    (void)ctx;
    (void)request;
    sl_admin_later(reply);
    sl_admin_check(reply, sl_buf_add_str(&reply->body, "soon"));
    sl_admin_finish(reply);
}

static void page_large(void *ctx, const struct sl_admin_request *request,
                       struct sl_admin_reply *reply) {
    int err = 0;
    (void)ctx;
    (void)request;
    while (!err)
        err = sl_buf_printf(&reply->body, "%01000d", 0);
    sl_admin_check(reply, err);
}

static const struct sl_admin_row rows[] = {
    {"/admin/echo", SL_ADMIN_GET | SL_ADMIN_POST, page_echo, false},
    {"/admin/echo/*", SL_ADMIN_GET | SL_ADMIN_DELETE, page_echo, false},
    {"/admin/later", SL_ADMIN_GET, page_later, false},
    {"/admin/at-once", SL_ADMIN_GET, page_at_once, false},
    {"/admin/large", SL_ADMIN_GET, page_large, false},
    {NULL, 0, NULL, false},
};

/* ---- rig ---- */

static void measure(void *ctx, struct sl_metrics *metrics) {
    (void)ctx;
    metrics->queued = 42;
}

static const char *not_ready(void *ctx) {
    return ((struct rig *)ctx)->not_ready;
}

static int start(void **state) {
    char why[256], url[64];
    (void)state;
    memset(&rig, 0, sizeof(rig));
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    uv_timer_init(&rig.uv, &rig.guard);
    uv_timer_start(&rig.guard, on_guard, 20000, 0);
    const struct sl_admin_settings settings = {.token = TOKEN,
                                               .measure = measure,
                                               .not_ready = not_ready,
                                               .ctx = &rig,
                                               .metrics = &rig.metrics};
    rig.admin = sl_admin_new(&rig.loop, &settings, "127.0.0.1", 0, why, sizeof(why));
    if (!rig.admin)
        fail_msg("%s", why);
    assert_int_equal(sl_admin_add(rig.admin, rows, &rig), 0);
    snprintf(url, sizeof(url), "http://%s", sl_admin_address(rig.admin));
    rig.client =
        sl_fetch_client_new(&rig.loop, &(struct sl_fetch_client_settings){.max_in_flight = 4});
    rig.origin = sl_fetch_origin_new(rig.client, url, NULL);
    assert_non_null(rig.origin);
    return 0;
}

static int stop(void **state) {
    (void)state;
    sl_fetch_origin_free(rig.origin);
    sl_fetch_client_free(rig.client);
    sl_admin_free(rig.admin);
    uv_close((uv_handle_t *)&rig.guard, NULL);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
    sl_chunk_pool_done();
    return 0;
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    (void)ctx;
    rig.status = head->status;
    for (size_t i = 0; i < head->header_count; i++) {
        const struct sl_fetch_header *h = &head->headers[i];
        if (sl_slice_ieq(h->name, SL_LIT("content-type")))
            snprintf(rig.type, sizeof(rig.type), "%.*s", SL_FMT(h->value));
        if (sl_slice_ieq(h->name, SL_LIT("allow")))
            snprintf(rig.allow, sizeof(rig.allow), "%.*s", SL_FMT(h->value));
    }
}

static void on_data(void *ctx, struct sl_slice bytes) {
    (void)ctx;
    size_t room = sizeof(rig.body) - 1 - rig.len;
    bytes = sl_slice_head(bytes, room);
    memcpy(rig.body + rig.len, bytes.ptr, bytes.len);
    rig.len += bytes.len;
}

static void on_done(void *ctx, const struct sl_fetch_result *result) {
    (void)ctx;
    if (result->error)
        fail_msg("%s", result->why);
    rig.done = true;
    uv_stop(&rig.uv);
}

static struct sl_fetch *begin(const char *method, const char *target, const char *token,
                              const struct sl_chain *body) {
    static const struct sl_fetch_events events = {on_head, on_data, on_done};
    char value[64];
    snprintf(value, sizeof(value), "Bearer %s", token ? token : "");
    const struct sl_fetch_header header = {SL_LIT("Authorization"), sl_slice_str(value)};
    const struct sl_fetch_request request = {.origin = rig.origin,
                                             .method = sl_slice_str(method),
                                             .target = sl_slice_str(target),
                                             .headers = &header,
                                             .header_count = token ? 1 : 0,
                                             .body = body,
                                             .no_proxy = true};
    rig.status = 0;
    rig.len = 0;
    rig.done = false;
    rig.type[0] = rig.allow[0] = '\0';
    memset(rig.body, 0, sizeof(rig.body));
    struct sl_fetch *fetch = sl_fetch_start(rig.client, &request, &events, NULL);
    assert_non_null(fetch);
    return fetch;
}

static void expect(const char *method, const char *target, const char *token, int status,
                   const char *body) {
    begin(method, target, token, NULL);
    while (!rig.done)
        uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.body, body);
    assert_int_equal(rig.status, status);
}

/* ---- tests ---- */

static void test_open_pages(void **state) {
    (void)state;
    expect("GET", "/healthz", NULL, 200, "ok\n");
    assert_string_equal(rig.type, "text/plain; charset=utf-8");
    expect("GET", "/readyz", NULL, 200, "ready\n");
    rig.not_ready = "stopping";
    expect("GET", "/readyz", NULL, 503, "stopping\n");
    begin("GET", "/metrics", TOKEN, NULL);
    while (!rig.done)
        uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(rig.status, 200);
    assert_int_equal(rig.metrics.queued, 42);
}

static void test_token(void **state) {
    static const char *const wrong[] = {NULL, "", "0123456789abcdeg", TOKEN "0"};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        static const char *const paths[] = {"/metrics", "/admin/echo", "/nowhere"};
        for (size_t k = 0; k < 3; k++)
            expect(
                "GET", paths[k], wrong[i], 401,
                "{\"error\":\"send the token of STATE/admin.token: Authorization: Bearer …\"}\n");
    }
    assert_int_equal(rig.calls, 0);
}

static void test_pages_and_methods(void **state) {
    (void)state;
    expect("GET", "/admin/echo?a=b&name=x&name=y", TOKEN, 200, "GET /admin/echo  x 0");
    assert_string_equal(rig.type, "application/json");
    expect("GET", "/admin/echo/some/thing", TOKEN, 200,
           "GET /admin/echo/some/thing some/thing - 0");
    expect("DELETE", "/admin/echo/x", TOKEN, 200, "DELETE /admin/echo/x x - 0");
    expect("PUT", "/admin/echo", TOKEN, 405, "{\"error\":\"this page takes GET, HEAD, POST\"}\n");
    assert_string_equal(rig.allow, "GET, HEAD, POST");
    expect("GET", "/admin/at-once", TOKEN, 200, "soon");
    expect("GET", "/admin/echo/", TOKEN, 404,
           "{\"error\":\"there is no such page; there are: /healthz, /readyz, /metrics, "
           "/admin/echo, /admin/echo/*, /admin/later, /admin/at-once, /admin/large\"}\n");
    expect("GET", "/admin/large", TOKEN, 500,
           "{\"error\":\"the page is larger than 4194304 bytes\"}\n");
}

static void test_bodies(void **state) {
    struct sl_chain body;
    char bytes[1024] = {0};
    (void)state;
    sl_chain_init(&body, NULL);
    for (size_t i = 0; i < SL_ADMIN_BODY_MAX / sizeof(bytes); i++)
        assert_int_equal(sl_chain_add(&body, sl_slice_of(bytes, sizeof(bytes))), 0);
    begin("POST", "/admin/echo", TOKEN, &body);
    while (!rig.done)
        uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_string_equal(rig.body, "POST /admin/echo  - 65536");
    sl_chain_done(&body);
}

static void test_pages_that_answer_later(void **state) {
    (void)state;
    begin("GET", "/admin/later", TOKEN, NULL);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_non_null(rig.waiting);
    assert_false(rig.done);
    sl_admin_fail(rig.waiting, 409, "it is %s", "taken");
    sl_admin_finish(rig.waiting);
    while (!rig.done)
        uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(rig.status, 409);
    assert_string_equal(rig.body, "{\"error\":\"it is taken\"}\n");
}

/* The client leaves, or the admin goes, before the answer is there: it is only freed. */
static void test_answers_for_nobody(void **state) {
    (void)state;
    struct sl_fetch *fetch = begin("GET", "/admin/later", TOKEN, NULL);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    sl_fetch_cancel(fetch);
    struct sl_admin_reply *first = rig.waiting;
    expect("GET", "/healthz", NULL, 200, "ok\n"); /* the loop has seen the client go */
    begin("GET", "/admin/later", TOKEN, NULL);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    struct sl_admin_reply *second = rig.waiting;
    assert_ptr_not_equal(first, second);
    assert_int_equal(sl_buf_add_str(&first->body, "unheard"), 0);
    sl_admin_finish(first);
    sl_fetch_client_free(rig.client);
    rig.client = NULL;
    sl_admin_free(rig.admin);
    rig.admin = NULL;
    sl_admin_finish(second);
    rig.client =
        sl_fetch_client_new(&rig.loop, &(struct sl_fetch_client_settings){.max_in_flight = 1});
    rig.origin = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_open_pages, start, stop),
        cmocka_unit_test_setup_teardown(test_token, start, stop),
        cmocka_unit_test_setup_teardown(test_pages_and_methods, start, stop),
        cmocka_unit_test_setup_teardown(test_bodies, start, stop),
        cmocka_unit_test_setup_teardown(test_pages_that_answer_later, start, stop),
        cmocka_unit_test_setup_teardown(test_answers_for_nobody, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
