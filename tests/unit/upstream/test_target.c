/* Targets against a scripted Bedrock that checks signatures with the same rules as AWS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../script_server.h"
#include "sluice/io/fetch.h"
#include "sluice/upstream/credentials.h"
#include "sluice/upstream/target.h"
#include "sluice/wire/sigv4.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

/* ---- rig */

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_fetch_client *client;
    struct script_server server;
    uv_timer_t guard;
    struct sl_arena arena;
    struct sl_target *target;
    char why[512];
};
static struct rig rig;

static const struct sl_upstream_timeouts timeouts = {
    .connect = 5000, .first_byte = 10000, .idle = 10000};

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("nothing happened for 20 s");
}

static void keys_in_environment(void) {
    setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE", 1);
    setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
}

static void clean_environment(void) {
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_DEFAULT_PROFILE",
                                        "AWS_BEARER_TOKEN_BEDROCK",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "http_proxy",
                                        "https_proxy",
                                        "HTTPS_PROXY",
                                        "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        unsetenv(names[i]);
    setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

static struct sl_target *open_target(struct sl_target_settings settings) {
    return sl_target_new(&rig.loop, rig.client, &settings, &timeouts, rig.why, sizeof(rig.why));
}

static void start(void (*script)(struct script_conn *, struct sl_slice)) {
    memset(&rig, 0, sizeof(rig));
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    uv_timer_init(&rig.uv, &rig.guard);
    uv_timer_start(&rig.guard, on_guard, 20000, 0);
    rig.client =
        sl_fetch_client_new(&rig.loop, &(struct sl_fetch_client_settings){.max_in_flight = 16});
    assert_non_null(rig.client);
    script_server_start(&rig.server, &rig.uv, script);
    sl_arena_init(&rig.arena, 1u << 20);
}

static void start_target(void (*script)(struct script_conn *, struct sl_slice)) {
    start(script);
    rig.target = open_target((struct sl_target_settings){
        .region = "us-west-2", .endpoint = rig.server.url, .mantle = true});
    assert_non_null(rig.target);
}

static void stop(void) {
    sl_target_free(rig.target);
    sl_fetch_client_free(rig.client);
    script_server_stop(&rig.server);
    uv_close((uv_handle_t *)&rig.guard, NULL);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
    sl_arena_done(&rig.arena);
    clean_environment();
}

struct seen {
    struct sl_attempt *attempt;
    int heads, dones, status;
    size_t body;
    struct sl_attempt_result result;
    char why[512];
    bool cancel_at_head;
};

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct seen *seen = ctx;
    seen->heads++;
    seen->status = head->status;
    uv_stop(&rig.uv);
    if (seen->cancel_at_head)
        sl_attempt_cancel(seen->attempt);
}

static void on_data(void *ctx, struct sl_slice bytes) {
    struct seen *seen = ctx;
    seen->body += bytes.len;
}

static void on_done(void *ctx, const struct sl_attempt_result *result) {
    struct seen *seen = ctx;
    seen->dones++;
    seen->result = *result;
    snprintf(seen->why, sizeof(seen->why), "%s", result->why ? result->why : "");
    sl_attempt_cancel(seen->attempt); /* allowed, and without effect */
    uv_stop(&rig.uv);
}

static const struct sl_attempt_events events = {on_head, on_data, on_done};

static void init_call(struct sl_call *call, const char *body) {
    *call =
        (struct sl_call){.plane = SL_PLANE_RUNTIME,
                         .method = SL_LIT("POST"),
                         .target = SL_LIT("/model/meta.llama3-3-70b-instruct-v1%3A0/converse?a=b")};
    sl_chain_init(&call->body, NULL);
    assert_int_equal(sl_chain_add(&call->body, sl_slice_str(body)), SL_OK);
    sl_sha256_of(sl_slice_str(body), call->body_sha256);
}

static void add(struct sl_call *call, const char *name, const char *value) {
    assert_int_equal(
        sl_headers_add(&call->headers, &rig.arena, sl_slice_str(name), sl_slice_str(value)), SL_OK);
}

static void run(struct seen *seen, const struct sl_call *call) {
    *seen = (struct seen){0};
    seen->attempt = sl_attempt_start(rig.target, call, &events, seen);
    assert_non_null(seen->attempt);
    while (!seen->dones)
        uv_run(&rig.uv, UV_RUN_ONCE);
    assert_int_equal(seen->dones, 1);
}

static void run_turns(int n) {
    while (n-- > 0)
        uv_run(&rig.uv, UV_RUN_NOWAIT);
}

/* ---- a server that checks signatures */

struct request {
    struct sl_slice method, target, body;
    struct sl_sigv4_header headers[32];
    size_t count;
};

static struct request parse(struct sl_slice bytes) {
    struct request r = {.count = 0};
    size_t head = sl_slice_search(bytes, SL_LIT("\r\n\r\n"));
    struct sl_slice rest = sl_slice_head(bytes, head), line;
    r.body = sl_slice_skip(bytes, head + 4);
    sl_slice_split(&rest, '\n', &line);
    sl_slice_split(&line, ' ', &r.method);
    sl_slice_split(&line, ' ', &r.target);
    while (sl_slice_split(&rest, '\n', &line)) {
        size_t colon = sl_slice_find(line, ':');
        struct sl_slice value = sl_slice_skip(line, colon + 1);
        if (value.len && value.ptr[value.len - 1] == '\r')
            value.len--;
        r.headers[r.count++] =
            (struct sl_sigv4_header){sl_slice_head(line, colon), sl_slice_trim(value)};
    }
    return r;
}

static struct sl_slice header(const struct request *r, const char *name) {
    for (size_t i = 0; i < r->count; i++)
        if (sl_slice_ieq(r->headers[i].name, sl_slice_str(name)))
            return r->headers[i].value;
    return SL_EMPTY;
}

static bool lists(struct sl_slice names, struct sl_slice name) {
    struct sl_slice one;
    while (sl_slice_split(&names, ';', &one))
        if (sl_slice_ieq(one, name))
            return true;
    return false;
}

/* The last request's Authorization; its signature is checked. */
static char signed_headers[512], service[32], key_id[64], amz_date[32];

static bool is_signed_well(const struct request *r) {
    struct sl_sigv4_credential c;
    if (sl_sigv4_parse_authorization(header(r, "authorization"), &c) < 0)
        return false;
    struct sl_sigv4_header chosen[32];
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++)
        if (lists(c.signed_headers, r->headers[i].name))
            chosen[n++] = r->headers[i];
    struct sl_buf scratch, hash;
    uint8_t digest[SL_SHA256_SIZE];
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    sl_buf_init(&scratch, 65536);
    sl_buf_init(&hash, 100);
    sl_sha256_of(r->body, digest);
    assert_int_equal(sl_buf_add_hex(&hash, digest, sizeof(digest)), SL_OK);
    struct sl_sigv4_scope scope = {.region = c.region, .service = c.service};
    assert_int_equal(header(r, "x-amz-date").len, SL_AMZ_DATE_SIZE - 1);
    memcpy(scope.date, header(r, "x-amz-date").ptr, SL_AMZ_DATE_SIZE - 1);
    struct sl_sigv4_key key = {.valid = false};
    const struct sl_sigv4_request request = {.method = r->method,
                                             .path = sl_target_path(r->target),
                                             .query = sl_target_query(r->target),
                                             .headers = chosen,
                                             .header_count = n,
                                             .body_hash = sl_buf_slice(&hash)};
    assert_int_equal(sl_sigv4_sign(&key, SL_LIT(SECRET), &scope, &request, &scratch, signature),
                     SL_OK);
    sl_sigv4_key_done(&key);
    sl_buf_done(&scratch);
    sl_buf_done(&hash);
    snprintf(signed_headers, sizeof(signed_headers), "%.*s", SL_FMT(c.signed_headers));
    snprintf(service, sizeof(service), "%.*s", SL_FMT(c.service));
    snprintf(key_id, sizeof(key_id), "%.*s", SL_FMT(c.access_key_id));
    snprintf(amz_date, sizeof(amz_date), "%s", scope.date);
    return sl_slice_eq(c.region, SL_LIT("us-west-2")) &&
           sl_slice_eq(c.signature, sl_slice_of(signature, sizeof(signature)));
}

static char raw[8192];

static void script_check(struct script_conn *conn, struct sl_slice bytes) {
    struct request r = parse(bytes);
    snprintf(raw, sizeof(raw), "%.*s", SL_FMT(bytes));
    script_send(conn, is_signed_well(&r)
                          ? "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"
                          : "HTTP/1.1 403 No\r\nx-amzn-errortype: InvalidSignatureException\r\n"
                            "Content-Length: 3\r\n\r\nbad");
}

static void script_ok(struct script_conn *conn, struct sl_slice bytes) {
    snprintf(raw, sizeof(raw), "%.*s", SL_FMT(bytes));
    script_send(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood");
}

static void script_ignore(struct script_conn *conn, struct sl_slice bytes) {
    (void)conn, (void)bytes;
}

/* ---- signing */

static void test_signs_what_it_sends(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_check);
    struct sl_call call;
    struct seen seen;
    init_call(&call, "{\"messages\":[]}");
    add(&call, "User-Agent", "Boto3/1.40");
    add(&call, "Content-Type", "application/json");
    add(&call, "X-Amzn-Bedrock-Trace", "ENABLED");
    add(&call, "x-amzn-trace-id", "Root=1");
    add(&call, "X-Amzn-Bedrock-Tag", "  two   spaces ");
    add(&call, "Authorization", "Bearer the client's own");
    add(&call, "X-AMZ-DATE", "20000101T000000Z");
    add(&call, "x-amz-security-token", "theirs");
    add(&call, "x-amz-content-sha256", "theirs");
    add(&call, "accept", "*/*");
    run(&seen, &call);
    assert_int_equal(seen.result.error, SL_OK);
    assert_int_equal(seen.result.phase, SL_FETCH_DONE);
    assert_int_equal(seen.status, 200);
    assert_int_equal(seen.body, 4);
    assert_string_equal(signed_headers,
                        "content-type;host;x-amz-date;x-amzn-bedrock-tag;x-amzn-bedrock-trace");
    assert_string_equal(service, "bedrock");
    assert_string_equal(key_id, "AKIDEXAMPLE");
    assert_null(strstr(raw, "theirs"));
    assert_null(strstr(raw, "own"));
    assert_null(strstr(raw, "20000101"));
    assert_non_null(strstr(raw, "\r\naccept-encoding: identity\r\n"));
    char order[512];
    snprintf(order, sizeof(order),
             "POST /model/meta.llama3-3-70b-instruct-v1%%3A0/converse?a=b HTTP/1.1\r\n"
             "Host: 127.0.0.1:%d\r\nUser-Agent: Boto3/1.40\r\nContent-Type: application/json\r\n"
             "X-Amzn-Bedrock-Trace: ENABLED\r\nx-amzn-trace-id: Root=1\r\n",
             rig.server.port);
    assert_memory_equal(raw, order, strlen(order));
    sl_chain_done(&call.body);
    stop();
}

static void test_planes_have_services_of_their_own(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_check);
    static const char *const services[SL_PLANE_COUNT] = {"bedrock", "bedrock", "bedrock-mantle",
                                                         "servicequotas"};
    for (int round = 0; round < 2; round++)
        for (int plane = 0; plane < SL_PLANE_COUNT; plane++) {
            struct sl_call call;
            struct seen seen;
            init_call(&call, "x");
            call.plane = (enum sl_plane)plane;
            run(&seen, &call);
            assert_int_equal(seen.status, 200);
            assert_string_equal(service, services[plane]);
            assert_string_equal(sl_target_endpoint(rig.target, call.plane), rig.server.url);
            sl_chain_done(&call.body);
        }
    stop();
}

static void test_keeps_a_named_encoding_and_signs_an_empty_get(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_check);
    struct sl_call call;
    struct seen seen;
    init_call(&call, "");
    call.method = SL_LIT("GET");
    call.plane = SL_PLANE_CONTROL;
    call.target = SL_LIT("/foundation-models?byProvider=meta&a=%20b");
    add(&call, "Accept-Encoding", "gzip");
    run(&seen, &call);
    assert_int_equal(seen.status, 200);
    assert_non_null(strstr(raw, "Accept-Encoding: gzip"));
    assert_null(strstr(raw, "identity"));
    assert_null(strstr(raw, "Content-Length"));
    sl_chain_done(&call.body);
    stop();
}

static void test_session_token(void **state) {
    (void)state;
    keys_in_environment();
    setenv("AWS_SESSION_TOKEN", "token+/=", 1);
    start_target(script_check);
    struct sl_call call;
    struct seen seen;
    init_call(&call, "x");
    run(&seen, &call);
    assert_int_equal(seen.status, 200);
    assert_string_equal(signed_headers, "host;x-amz-date;x-amz-security-token");
    assert_non_null(strstr(raw, "x-amz-security-token: token+/=\r\n"));
    sl_chain_done(&call.body);
    stop();
}

static void test_bearer(void **state) {
    (void)state;
    keys_in_environment();
    setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-abc", 1);
    start_target(script_ok);
    struct sl_call call;
    struct seen seen;
    init_call(&call, "x");
    run(&seen, &call);
    assert_int_equal(seen.result.error, SL_OK);
    assert_non_null(strstr(raw, "\r\nauthorization: Bearer bedrock-api-key-abc\r\n"));
    assert_null(strstr(raw, "x-amz-date"));
    sl_chain_done(&call.body);
    stop();
}

static void test_given_keys(void **state) {
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "AKIDWRONG", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "wrong", 1);
    start(script_check);
    rig.target = open_target((struct sl_target_settings){.region = "us-west-2",
                                                         .endpoint = rig.server.url,
                                                         .access_key_id = "AKIDGIVEN",
                                                         .secret = SECRET});
    struct sl_call call;
    struct seen seen;
    init_call(&call, "x");
    run(&seen, &call);
    assert_int_equal(seen.status, 200);
    assert_string_equal(key_id, "AKIDGIVEN");
    sl_chain_done(&call.body);
    stop();
}

/* ---- waiting for credentials */

static int credentials_served;
static bool credentials_held;
static struct script_conn *credentials_asker;

static void serve_credentials(struct script_conn *conn) {
    char body[512], reply[768];
    snprintf(body, sizeof(body),
             "{\"AccessKeyId\":\"ASIA%d\",\"SecretAccessKey\":\"" SECRET
             "\",\"Token\":\"t\",\"Expiration\":\"2099-01-01T00:00:00Z\"}",
             ++credentials_served);
    snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
             body);
    script_send(conn, reply);
}

static const char *expired_key;

static void script_container(struct script_conn *conn, struct sl_slice bytes) {
    struct request r = parse(bytes);
    if (sl_slice_eq(r.target, SL_LIT("/credentials"))) {
        credentials_asker = conn;
        if (!credentials_held)
            serve_credentials(conn);
        return;
    }
    if (is_signed_well(&r) && expired_key && strcmp(key_id, expired_key) == 0) {
        script_send(conn, "HTTP/1.1 403 No\r\nx-amzn-errortype: ExpiredTokenException:http://x\r\n"
                          "Content-Length: 2\r\n\r\n{}");
        return;
    }
    script_check(conn, bytes);
}

static void start_container(void) {
    char uri[128];
    credentials_served = 0;
    credentials_held = false;
    credentials_asker = NULL;
    expired_key = NULL;
    start_target(script_container);
    snprintf(uri, sizeof(uri), "%s/credentials", rig.server.url);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri, 1);
}

static void test_waits_for_credentials(void **state) {
    (void)state;
    start_container();
    credentials_held = true;
    struct sl_call call;
    struct seen a = {0}, b = {0}, gone = {0};
    init_call(&call, "x");
    a.attempt = sl_attempt_start(rig.target, &call, &events, &a);
    gone.attempt = sl_attempt_start(rig.target, &call, &events, &gone);
    b.attempt = sl_attempt_start(rig.target, &call, &events, &b);
    assert_true(a.attempt && b.attempt && gone.attempt);
    sl_attempt_pause(b.attempt);
    while (!credentials_asker)
        uv_run(&rig.uv, UV_RUN_ONCE);
    sl_attempt_cancel(gone.attempt);
    run_turns(3);
    assert_int_equal(a.heads + b.heads, 0);
    serve_credentials(credentials_asker);
    while (!a.dones || !b.heads)
        uv_run(&rig.uv, UV_RUN_ONCE);
    assert_int_equal(a.status, 200);
    run_turns(5);
    assert_int_equal(b.dones, 0); /* paused before it was sent */
    sl_attempt_resume(b.attempt);
    while (!b.dones)
        uv_run(&rig.uv, UV_RUN_ONCE);
    assert_int_equal(b.result.error, SL_OK);
    assert_int_equal(gone.heads + gone.dones, 0);
    assert_int_equal(credentials_served, 1);
    sl_chain_done(&call.body);
    stop();
}

static void test_expired_credentials_are_replaced(void **state) {
    (void)state;
    start_container();
    expired_key = "ASIA1";
    struct sl_call call;
    struct seen seen;
    init_call(&call, "x");
    run(&seen, &call);
    assert_int_equal(seen.status, 403); /* as it came; whether to try again is not ours */
    assert_string_equal(key_id, "ASIA1");
    run(&seen, &call);
    assert_int_equal(seen.status, 200);
    assert_string_equal(key_id, "ASIA2");
    sl_chain_done(&call.body);
    stop();
}

static void test_no_credentials(void **state) {
    (void)state;
    start_target(script_ok);
    struct sl_call call;
    struct seen seen;
    init_call(&call, "x");
    run(&seen, &call);
    assert_int_equal(seen.result.error, SL_E_DENIED);
    assert_int_equal(seen.result.phase, SL_FETCH_RESOLVE);
    assert_non_null(strstr(seen.why, "AWS_ACCESS_KEY_ID"));
    assert_int_equal(rig.server.requests, 0);
    sl_chain_done(&call.body);
    stop();
}

/* ---- the clock */

static int64_t server_offset_ms;

static void script_clock(struct script_conn *conn, struct sl_slice bytes) {
    struct request r = parse(bytes);
    int64_t signed_at, now = rig.loop.wall_ms + server_offset_ms;
    char date[SL_HTTP_DATE_SIZE], reply[256];
    bool fits = is_signed_well(&r);
    assert_true(fits);
    assert_int_equal(sl_clock_parse_iso(amz_date, strlen(amz_date), &signed_at), SL_OK);
    sl_clock_http_date(now, date);
    int64_t off = signed_at > now ? signed_at - now : now - signed_at;
    snprintf(reply, sizeof(reply), "HTTP/1.1 %s\r\nDate: %s\r\nContent-Length: 0\r\n\r\n",
             off > 300000 ? "403 No\r\nx-amzn-ErrorType: InvalidSignatureException" : "200 OK",
             date);
    script_send(conn, reply);
}

static void test_learns_the_clock(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_clock);
    struct sl_call call;
    struct seen seen;
    init_call(&call, "x");
    static const int64_t offsets[] = {0, 7200000, 7200000, -86400000, 0};
    for (size_t i = 0; i < 5; i++) {
        bool moved = i > 0 && offsets[i] != offsets[i - 1];
        server_offset_ms = offsets[i];
        run(&seen, &call);
        assert_int_equal(seen.status, moved ? 403 : 200);
        assert_int_equal(seen.result.misdated, moved);
        run(&seen, &call);
        assert_int_equal(seen.status, 200);
        assert_false(seen.result.misdated);
    }
    sl_chain_done(&call.body);
    stop();
}

static void script_bad_signature(struct script_conn *conn, struct sl_slice bytes) {
    struct request r = parse(bytes);
    char date[SL_HTTP_DATE_SIZE], reply[256];
    is_signed_well(&r);
    sl_clock_http_date(rig.loop.wall_ms + 120000, date);
    snprintf(reply, sizeof(reply),
             "HTTP/1.1 403 No\r\nx-amzn-errortype: InvalidSignatureException\r\nDate: "
             "%s\r\nContent-Length: 0\r\n\r\n",
             date);
    script_send(conn, reply);
}

/* A wrong secret must not move the clock. */
static void test_small_offsets_teach_nothing(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_bad_signature);
    struct sl_call call;
    struct seen seen;
    int64_t at;
    init_call(&call, "x");
    for (int i = 0; i < 2; i++) {
        run(&seen, &call);
        assert_false(seen.result.misdated);
        assert_int_equal(sl_clock_parse_iso(amz_date, strlen(amz_date), &at), SL_OK);
        assert_true(at <= rig.loop.wall_ms && at > rig.loop.wall_ms - 30000);
    }
    sl_chain_done(&call.body);
    stop();
}

/* ---- settings */

static void expect_refusal(struct sl_target_settings settings, const char *words) {
    assert_null(open_target(settings));
    if (!strstr(rig.why, words))
        fail_msg("\"%s\" does not name %s", rig.why, words);
}

static void test_settings(void **state) {
    (void)state;
    start(script_ok);
    expect_refusal((struct sl_target_settings){0}, "upstream.region");
    assert_non_null(strstr(rig.why, "AWS_REGION"));
    expect_refusal((struct sl_target_settings){.region = "Oregon"}, "upstream.region");
    expect_refusal((struct sl_target_settings){.region = "us-east-1.evil.test/"},
                   "upstream.region");
    expect_refusal(
        (struct sl_target_settings){.region = "us-east-1", .endpoint = "https://h", .fips = true},
        "upstream.fips");
    expect_refusal((struct sl_target_settings){.region = "us-east-1",
                                               .endpoint = "https://h",
                                               .dual_stack = true},
                   "upstream.dual_stack");
    expect_refusal((struct sl_target_settings){.region = "us-east-1", .endpoint = "https://h/path"},
                   "upstream.endpoint");
    expect_refusal((struct sl_target_settings){.region = "us-east-1", .endpoint = "bedrock"},
                   "upstream.endpoint");
    expect_refusal((struct sl_target_settings){.region = "us-east-1",
                                               .mantle = true,
                                               .mantle_endpoint = "ftp://h"},
                   "upstream.mantle_endpoint");
    expect_refusal((struct sl_target_settings){.region = "us-east-1", .mantle = true, .fips = true},
                   "upstream.mantle_endpoint");

    setenv("AWS_REGION", "eu-central-1", 1);
    setenv("AWS_ENDPOINT_URL", "https://gateway.test", 1);
    setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "https://gateway.test", 1);
    rig.target = open_target((struct sl_target_settings){.name = "main"});
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME");
    assert_non_null(rig.target);
    assert_string_equal(sl_target_name(rig.target), "main");
    assert_string_equal(sl_target_region(rig.target), "eu-central-1");
    assert_string_equal(sl_target_endpoint(rig.target, SL_PLANE_RUNTIME),
                        "https://bedrock-runtime.eu-central-1.amazonaws.com");
    assert_string_equal(sl_target_endpoint(rig.target, SL_PLANE_CONTROL),
                        "https://bedrock.eu-central-1.amazonaws.com");
    assert_null(sl_target_endpoint(rig.target, SL_PLANE_MANTLE));
    struct sl_call call = {.plane = SL_PLANE_MANTLE};
    assert_null(sl_attempt_start(rig.target, &call, &events, NULL));
    sl_target_free(rig.target);

    rig.target = open_target((struct sl_target_settings){
        .mantle = true, .endpoint = "http://one.test:81", .mantle_endpoint = "https://two.test"});
    assert_string_equal(sl_target_endpoint(rig.target, SL_PLANE_CONTROL), "http://one.test:81");
    assert_string_equal(sl_target_endpoint(rig.target, SL_PLANE_MANTLE), "https://two.test");
    stop();
}

/* ---- ends */

static void test_cancel_and_free(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_ignore);
    struct sl_call call;
    struct seen a = {0}, b = {0};
    init_call(&call, "x");
    a.attempt = sl_attempt_start(rig.target, &call, &events, &a);
    b.attempt = sl_attempt_start(rig.target, &call, &events, &b);
    assert_true(a.attempt && b.attempt);
    while (rig.server.requests < 2)
        uv_run(&rig.uv, UV_RUN_ONCE);
    sl_attempt_cancel(a.attempt);
    stop(); /* with b under way */
    assert_int_equal(a.dones + b.dones, 0);
    sl_chain_done(&call.body);

    keys_in_environment();
    start_target(script_ok);
    struct seen c = {.cancel_at_head = true};
    init_call(&call, "x");
    c.attempt = sl_attempt_start(rig.target, &call, &events, &c);
    while (!c.heads)
        uv_run(&rig.uv, UV_RUN_ONCE);
    run_turns(5);
    assert_int_equal(c.dones, 0);
    assert_int_equal(c.body, 0);
    sl_chain_done(&call.body);
    stop();
}

static void test_too_many_headers_to_sign(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_ok);
    struct sl_call call;
    init_call(&call, "x");
    for (int i = 0; i < SL_SIGV4_MAX_HEADERS; i++)
        add(&call, "x-amz-meta", "y");
    assert_null(sl_attempt_start(rig.target, &call, &events, NULL));
    run_turns(3);
    assert_int_equal(rig.server.requests, 0);
    sl_chain_done(&call.body);
    stop();
}

static void test_steady_state_allocates_nothing(void **state) {
    (void)state;
    keys_in_environment();
    start_target(script_ok);
    struct sl_call call;
    struct seen seen;
    init_call(&call, "x");
    add(&call, "Content-Type", "application/json");
    for (int i = 0; i < 3; i++)
        run(&seen, &call);
    /* Only the scripted server allocates: its two writes a reply. */
    uint64_t left = sl_mem_fail_after(UINT64_C(1) << 40);
    assert_int_equal(left, 0);
    for (int i = 0; i < 10; i++) {
        run(&seen, &call);
        assert_int_equal(seen.result.error, SL_OK);
    }
    uint64_t made = (UINT64_C(1) << 40) - sl_mem_fail_after(0);
    assert_true(made <= 10);
    sl_chain_done(&call.body);
    stop();
}

static void test_survives_failed_allocations(void **state) {
    (void)state;
    keys_in_environment();
    int refused = 0;
    for (uint64_t n = 1; n < 60; n++) {
        start(script_ok);
        sl_mem_fail_after(n);
        rig.target = open_target(
            (struct sl_target_settings){.region = "us-west-2", .endpoint = rig.server.url});
        uint64_t left = sl_mem_fail_after(0);
        struct sl_call call;
        init_call(&call, "x");
        if (rig.target) {
            struct seen seen = {0};
            sl_mem_fail_after(left);
            seen.attempt = sl_attempt_start(rig.target, &call, &events, &seen);
            while (seen.attempt && !seen.dones)
                uv_run(&rig.uv, UV_RUN_ONCE);
            sl_mem_fail_after(0);
            refused += !seen.attempt || seen.result.error;
        } else {
            assert_true(rig.why[0]);
            refused++;
        }
        sl_chain_done(&call.body);
        stop();
        keys_in_environment();
    }
    assert_true(refused >= 8);
    clean_environment();
}

int main(void) {
    clean_environment();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signs_what_it_sends),
        cmocka_unit_test(test_planes_have_services_of_their_own),
        cmocka_unit_test(test_keeps_a_named_encoding_and_signs_an_empty_get),
        cmocka_unit_test(test_session_token),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_given_keys),
        cmocka_unit_test(test_waits_for_credentials),
        cmocka_unit_test(test_expired_credentials_are_replaced),
        cmocka_unit_test(test_no_credentials),
        cmocka_unit_test(test_learns_the_clock),
        cmocka_unit_test(test_small_offsets_teach_nothing),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_cancel_and_free),
        cmocka_unit_test(test_too_many_headers_to_sign),
        cmocka_unit_test(test_steady_state_allocates_nothing),
        cmocka_unit_test(test_survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
