/* Keys over the admin port: real sockets, a real store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "../io/socket_client.h"
#include "app/admin.h"
#include "app/admin_keys.h"
#include "app/keyring.h"

struct rig {
    char folder[64], path[96], master[96];
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_keyring ring;
    struct sl_admin_keys pages;
    struct sl_admin *admin;
    struct sl_metrics metrics;
    struct client client;
    int status;
    char body[8192];
};

static struct rig rig;
static char why[512];

static void measure(void *ctx, struct sl_metrics *metrics) {
    (void)ctx;
    (void)metrics;
}

static const char *not_ready(void *ctx) {
    (void)ctx;
    return NULL;
}

static int setup(void **state) {
    (void)state;
    memset(&rig, 0, sizeof(rig));
    snprintf(rig.folder, sizeof(rig.folder), "/tmp/sluice-admin-XXXXXX");
    if (!mkdtemp(rig.folder))
        return -1;
    snprintf(rig.path, sizeof(rig.path), "%s/sluice.db", rig.folder);
    snprintf(rig.master, sizeof(rig.master), "%s/master.key", rig.folder);
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), 0);
    assert_int_equal(sl_keyring_open(&rig.ring, rig.folder, why, sizeof(why)), 0);
    struct sl_db *db = sl_db_open(rig.path, why, sizeof(why));
    assert_non_null(db);
    rig.pages = (struct sl_admin_keys){
        .loop = &rig.loop, .store = sl_store_new(&rig.loop, db), .keys = rig.ring.keys};
    assert_non_null(rig.pages.store);
    /* An hour: what is known sooner, the change itself has brought. */
    sl_store_watch_keys(rig.pages.store, 3600 * SL_NS_PER_S, sl_keyring_apply, &rig.ring);
    struct sl_admin_settings settings = {
        .token = "t", .measure = measure, .not_ready = not_ready, .metrics = &rig.metrics};
    rig.admin = sl_admin_new(&rig.loop, &settings, "127.0.0.1", 0, why, sizeof(why));
    assert_non_null(rig.admin);
    assert_int_equal(sl_admin_keys(rig.admin, &rig.pages), 0);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_admin_free(rig.admin);
    sl_store_free(rig.pages.store);
    sl_keyring_close(&rig.ring);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(rig.loop.open_handles, 0);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
    unlink(rig.path);
    unlink(rig.master);
    return rmdir(rig.folder);
}

static void send_request(const char *method, const char *path, const char *body) {
    char text[2048];
    int len = snprintf(text, sizeof(text),
                       "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer t\r\n"
                       "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                       method, path, strlen(body), body);
    client_open(&rig.client, sl_admin_address(rig.admin));
    assert_true(client_send(&rig.uv, &rig.client, sl_slice_of(text, (size_t)len)));
}

static int ask(const char *method, const char *path, const char *body) {
    send_request(method, path, body);
    assert_true(pump_until(&rig.uv, client_ended, &rig.client));
    struct sl_slice got = sl_buf_slice(&rig.client.got);
    struct sl_slice content = sl_slice_skip(got, sl_slice_search(got, SL_LIT("\r\n\r\n")) + 4);
    assert_true(sl_slice_starts(got, SL_LIT("HTTP/1.1 ")) && content.len < sizeof(rig.body));
    memcpy(rig.body, content.ptr, content.len);
    rig.body[content.len] = '\0';
    int status = (int)strtol(got.ptr + 9, NULL, 10);
    client_close(&rig.client);
    return status;
}

static void assert_body(const char *says) {
    if (!strstr(rig.body, says))
        fail_msg("\"%s\" does not say \"%s\"", rig.body, says);
}

/* The value of "name":"…" in the body. */
static void take(const char *name, char *out, size_t size) {
    char label[64];
    snprintf(label, sizeof(label), "\"%s\":\"", name);
    const char *at = strstr(rig.body, label);
    if (!at)
        fail_msg("no %s in %s", name, rig.body);
    at += strlen(label);
    snprintf(out, size, "%.*s", (int)strcspn(at, "\""), at);
}

static enum sl_failure try_token(const char *token) {
    struct sl_header header = {SL_LIT("x-api-key"), sl_slice_str(token)};
    struct sl_request_head head = {.headers = {&header, 1, 1}};
    struct sl_verify_settings settings = {.skew_s = 300};
    struct sl_proof proof = {0};
    struct sl_arena arena;
    sl_arena_init(&arena, 4096);
    int rc = sl_proof_head(rig.ring.keys, &proof, &settings, &head, SL_EMPTY, SL_LIT("a"), &arena,
                           1, (uint64_t)(sl_clock_wall_ms() / 1000));
    enum sl_failure failure = rc == SL_OK ? SL_FAILURE_NONE : proof.failure;
    sl_proof_done(&proof);
    sl_arena_done(&arena);
    return failure;
}

static void test_life_of_a_key(void **state) {
    (void)state;
    char id[32], path[128], first[96], second[96];
    assert_int_equal(ask("GET", "/admin/keys", ""), 200);
    assert_string_equal(rig.body, "{\"keys\":[]}\n");
    assert_int_equal(ask("POST", "/admin/keys",
                         "{\"name\":\"chat\",\"rpm\":60,\"tpm\":\"5000\",\"models\":null,"
                         "\"priority\":\"interactive\"}"),
                     201);
    take("id", id, sizeof(id));
    take("bearer_token", first, sizeof(first));
    assert_body("\"rpm\":60,\"tpm\":5000,");
    assert_int_equal(try_token(first), SL_FAILURE_NONE); /* known when the answer comes */
    assert_int_equal(ask("GET", "/admin/keys", ""), 200);
    assert_body("\"name\":\"chat\"");
    assert_null(strstr(rig.body, "bearer"));
    snprintf(path, sizeof(path), "/admin/keys/%s/rotate", id);
    assert_int_equal(ask("POST", path, ""), 200);
    take("bearer_token", second, sizeof(second));
    assert_string_not_equal(first, second);
    assert_int_equal(try_token(first), SL_FAILURE_NONE);
    assert_int_equal(try_token(second), SL_FAILURE_NONE);
    assert_int_equal(ask("POST", "/admin/keys/ch%61t/rotate", "{\"overlap\":\"0\"}"), 200);
    assert_int_equal(try_token(second), SL_FAILURE_UNKNOWN_CLIENT);
    take("bearer_token", second, sizeof(second));
    assert_int_equal(ask("DELETE", "/admin/keys/chat", ""), 200);
    assert_body("\"state\":\"revoked\"");
    assert_int_equal(try_token(second), SL_FAILURE_UNKNOWN_CLIENT);
    assert_int_equal(ask("DELETE", "/admin/keys/chat", ""), 200); /* twice is fine */
    assert_int_equal(ask("POST", "/admin/keys/chat/rotate", ""), 400);
    assert_body("\\\"chat\\\" is revoked");
}

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *method, *path, *body;
        int status;
        const char *says;
    } cases[] = {
        {"POST", "/admin/keys", "", 400, "a key needs a name"},
        {"POST", "/admin/keys", "[]", 400, "no JSON object"},
        {"POST", "/admin/keys", "{\"name\":", 400, "no JSON object"},
        {"POST", "/admin/keys", "{\"name\":\"n\",\"color\":1}", 400, "a key has no \\\"color\\\""},
        {"POST", "/admin/keys", "{\"name\":[]}", 400, "name is neither text nor a number"},
        {"POST", "/admin/keys", "{\"name\":\"n\",\"rpm\":-1}", 400, "rpm is neither"},
        {"POST", "/admin/keys", "{\"name\":\"n\",\"rpm\":1.5}", 400, "rpm \\\"1.5\\\" is not"},
        {"POST", "/admin/keys", "{\"name\":\"n\",\"cache\":\"x\"}", 400, "always, determin"},
        {"POST", "/admin/keys", "{\"name\":\"taken\"}", 409, "a live key named"},
        {"DELETE", "/admin/keys/nobody", "", 404, "there is no key"},
        {"DELETE", "/admin/keys/nobody/rotate", "", 404, "there is DELETE"},
        {"POST", "/admin/keys/nobody/spin", "", 404, "there is DELETE"},
        {"POST", "/admin/keys/nobody/rotate", "", 404, "there is no key"},
        {"POST", "/admin/keys/taken/rotate", "{\"overlap\":\"long\"}", 400, "overlap"},
        {"POST", "/admin/keys/taken/rotate", "{\"overlap\":\"000000000000007dXX\"}", 400,
         "overlap"},
        {"DELETE", "/admin/keys/%zz", "", 400, "neither a key's id nor its name"},
        {"PUT", "/admin/keys", "", 405, "takes"},
    };
    assert_int_equal(ask("POST", "/admin/keys", "{\"name\":\"taken\"}"), 201);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int status = ask(cases[i].method, cases[i].path, cases[i].body);
        if (status != cases[i].status)
            fail_msg("%s %s: %d %s", cases[i].method, cases[i].path, status, rig.body);
        assert_body(cases[i].says);
    }
    assert_int_equal(sl_keys_count(rig.ring.keys), 1);
}

static bool key_is_known(void *ctx) {
    (void)ctx;
    return sl_keys_count(rig.ring.keys) == 1;
}

/* The client is gone when its answer is written: the key is made all the same. */
static void test_client_leaves(void **state) {
    (void)state;
    send_request("POST", "/admin/keys", "{\"name\":\"chat\"}");
    assert_true(pump_until(&rig.uv, key_is_known, NULL));
    client_reset(&rig.client);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_life_of_a_key),
        TEST(test_refusals),
        TEST(test_client_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
