/* The simulated Bedrock over a loopback connection: what a client sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "../io/socket_client.h"
#include "sluice/base/chain.h"
#include "sluice/base/mem.h"
#include "sluice/sim/sim.h"
#include "sluice/wire/eventstream.h"

#define LLAMA "/model/meta.llama3-8b-instruct-v1%3A0"
#define HI    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hi there\"}]}]}"

static struct {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_sim *sim;
    struct client client;
} rig;

static void start(struct sl_sim_settings settings) {
    char why[256];
    settings.bearer = SL_SIM_BEARER;
    settings.seed = 1;
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), 0);
    rig.sim = sl_sim_new(&rig.loop, &settings, "127.0.0.1", 0, NULL, why, sizeof why);
    if (!rig.sim)
        fail_msg("%s", why);
    client_open(&rig.client, sl_sim_address(rig.sim));
}

static void stop(void) {
    client_close(&rig.client);
    sl_sim_free(rig.sim);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
    sl_chunk_pool_done();
}

/* Sends a request with the API key and the header lines of `extra`. */
static void ask(const char *method, const char *path, const char *extra, struct sl_slice body) {
    struct sl_buf request;
    sl_buf_init(&request, 1 << 26);
    sl_buf_clear(&rig.client.got);
    assert_int_equal(sl_buf_printf(&request,
                                   "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s"
                                   "Content-Length: %zu\r\n\r\n",
                                   method, path, SL_SIM_BEARER, extra, body.len),
                     0);
    assert_int_equal(sl_buf_add(&request, body), 0);
    assert_true(client_send(&rig.uv, &rig.client, sl_buf_slice(&request)));
    sl_buf_done(&request);
}

static bool has(const char *text) {
    struct sl_slice got = sl_buf_slice(&rig.client.got);
    return sl_slice_search(got, sl_slice_str(text)) < got.len;
}

static void expect(const char *text) {
    if (!client_expect(&rig.uv, &rig.client, text))
        fail_msg("'%s' does not come; there is '%.*s'", text, SL_FMT(rig.client.got));
}

/* The response is whole when the body's last byte is in: all end with '}'. */
static void expect_json(const char *status, const char *text) {
    expect(status);
    expect(text);
    expect("\r\n\r\n{");
}

static void expect_end(void) {
    assert_true(pump_until(&rig.uv, client_ended, &rig.client));
}

static void test_whole_and_streamed(void **state) {
    (void)state;
    start((struct sl_sim_settings){0});
    ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
    expect_json("HTTP/1.1 200", "\"stopReason\":\"end_turn\"");
    assert_true(has("x-amzn-RequestId: ") && has("Date: ") && has("[simulated] "));
    expect("totalTokens");
    ask("POST", LLAMA "/converse-stream", "", sl_slice_str(HI));
    expect("Content-Type: application/vnd.amazon.eventstream");
    expect("\r\n0\r\n\r\n");
    assert_true(has("messageStart") && has("metadata"));
    ask("POST", LLAMA "/invoke", "X-Amzn-Bedrock-Service-Tier: flex\r\n",
        SL_LIT("{\"prompt\":\"hi there\"}"));
    expect_json("HTTP/1.1 200", "\"generation\":");
    assert_true(has("X-Amzn-Bedrock-Input-Token-Count: 2\r\n"));
    assert_true(has("X-Amzn-Bedrock-Service-Tier: flex\r\n"));
    stop();
}

static void test_errors_have_bedrocks_shape(void **state) {
    (void)state;
    start((struct sl_sim_settings){0});
    ask("POST", "/model/foo.bar/converse", "", sl_slice_str(HI));
    expect("HTTP/1.1 400");
    expect("{\"message\":\"The provided model identifier is invalid.\"}");
    assert_true(has("x-amzn-ErrorType: "
                    "ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/"));
    ask("GET", "/nothing", "", SL_EMPTY);
    expect("HTTP/1.1 404");
    expect("UnknownOperationException\"},\"Version\":\"1.0\"}");
    ask("POST", LLAMA "/invoke", "", SL_LIT("{\"prompt\""));
    expect("HTTP/1.1 400");
    expect("Malformed input request");
    ask("POST", "/v1/chat/completions", "", SL_LIT("{\"model\":\"x\",\"messages\":[]}"));
    expect("HTTP/1.1 404");
    expect("{\"error\":{\"message\":\"The model 'x' does not exist\"");
    stop();
}

static void test_strangers_are_refused(void **state) {
    (void)state;
    start((struct sl_sim_settings){0});
    assert_true(client_send(&rig.uv, &rig.client,
                            SL_LIT("POST " LLAMA "/converse HTTP/1.1\r\nHost: x\r\n"
                                   "Content-Length: 2\r\n\r\n{}")));
    expect("HTTP/1.1 403");
    expect("{\"message\":\"Missing Authentication Token\"}");
    assert_true(has("x-amzn-ErrorType: MissingAuthenticationTokenException\r\n"));
    stop();
}

static void test_quota_throttles(void **state) {
    (void)state;
    start((struct sl_sim_settings){.rpm = 2});
    for (int i = 0; i < 2; i++) {
        ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
        expect_json("HTTP/1.1 200", "totalTokens");
    }
    ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
    expect("HTTP/1.1 429");
    expect("{\"message\":\"Too many requests, please wait before trying again.\"}");
    assert_true(has("x-amzn-ErrorType: ThrottlingException:"));
    assert_false(has("Retry-After"));
    ask("GET", "/simulator/stats", "", SL_EMPTY);
    expect("body_bytes");
    assert_true(has("\"throttles\":{\"requests\":1,\"tokens\":0,\"day\":0}"));
    assert_true(has("\"200\":2,\"429\":1") && has("\"Converse\":3") && has("\"in_flight\":0"));
    ask("POST", "/simulator/reset", "", SL_EMPTY);
    expect("body_bytes");
    ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
    expect_json("HTTP/1.1 200", "totalTokens");
    stop();
}

static void test_unset_limit_reserves_the_maximum(void **state) {
    (void)state;
    start((struct sl_sim_settings){.tpm = 2049}); /* the model's maximum is 2048, the prompt 2 */
    ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
    expect("HTTP/1.1 429");
    expect("Too many tokens, please wait before trying again.");
    ask("POST", LLAMA "/invoke", "", SL_LIT("{\"prompt\":\"hi\",\"max_gen_len\":50}"));
    expect_json("HTTP/1.1 200", "generation_token_count");
    stop();
}

/* Until the service says that so many calls are in flight; on a connection of its own. */
static void await_in_flight(const char *count) {
    struct client held = rig.client;
    client_open(&rig.client, sl_sim_address(rig.sim));
    do {
        ask("GET", "/simulator/stats", "", SL_EMPTY);
        expect("body_bytes");
    } while (!has(count));
    client_close(&rig.client);
    rig.client = held;
}

static void test_in_flight_limit(void **state) {
    (void)state;
    start((struct sl_sim_settings){.max_in_flight = 1, .latency_ms = 600000});
    ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
    await_in_flight("\"in_flight\":1");
    struct client first = rig.client;
    client_open(&rig.client, sl_sim_address(rig.sim));
    ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
    expect("HTTP/1.1 503");
    expect("Too many connections, please wait before trying again.");
    client_close(&first);
    stop();
}

/* Bytes of the chunked body that has come so far, its coding removed. */
static void body_of(struct sl_buf *out) {
    struct sl_slice rest = sl_buf_slice(&rig.client.got), end = SL_LIT("\r\n\r\n");
    rest = sl_slice_skip(rest, sl_slice_search(rest, end) + end.len);
    while (rest.len) {
        size_t size = strtoul(rest.ptr, NULL, 16);
        rest = sl_slice_skip(rest, sl_slice_search(rest, SL_LIT("\r\n")) + 2);
        if (!size || size > rest.len)
            return;
        assert_int_equal(sl_buf_add(out, sl_slice_head(rest, size)), 0);
        rest = sl_slice_skip(rest, size + 2);
    }
}

/* Scans the stream: whole frames, the verdict, and whether it ended between two frames. */
static size_t scan(int *verdict, bool *boundary) {
    struct sl_eventstream_scanner s;
    struct sl_buf body;
    size_t frames = 0;
    sl_buf_init(&body, 1 << 24);
    body_of(&body);
    sl_eventstream_scanner_init(&s);
    struct sl_slice rest = sl_buf_slice(&body);
    for (*verdict = 1; *verdict == 1 && rest.len; frames += *verdict == 1)
        *verdict = sl_eventstream_scan(&s, &rest);
    *boundary = sl_eventstream_at_boundary(&s);
    sl_buf_done(&body);
    return frames;
}

static void test_faults_before_the_head(void **state) {
    (void)state;
    start((struct sl_sim_settings){0});
    ask("POST", LLAMA "/converse", "x-simulator-fault: throttle-day\r\n", sl_slice_str(HI));
    expect("HTTP/1.1 429");
    expect("Too many tokens per day");
    ask("POST", LLAMA "/converse", "x-simulator-fault: unheard-of\r\n", sl_slice_str(HI));
    expect("HTTP/1.1 400");
    expect("unknown kind unheard-of");
    ask("POST", LLAMA "/converse-stream", "x-simulator-fault: 503-first-frame\r\n",
        sl_slice_str(HI));
    expect("HTTP/1.1 200");
    expect("\r\n0\r\n\r\n");
    assert_true(has("serviceUnavailableException") && !has("messageStart"));
    ask("POST", LLAMA "/converse", "x-simulator-fault: reset-head\r\n", sl_slice_str(HI));
    expect_end();
    assert_int_equal(rig.client.got.len, 0);
    stop();
}

static void test_faults_midway(void **state) {
    (void)state;
    static const struct {
        const char *kind;
        bool ends; /* the body does, cleanly */
        int verdict;
        bool boundary;
    } cases[] = {
        {"exception-midway", true, 1, true}, {"truncate", true, 1, true},
        {"truncate-frame", true, 0, false},  {"malformed-frame", true, SL_E_PROTOCOL, false},
        {"reset-midway", false, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char fault[64];
        int verdict;
        bool boundary;
        start((struct sl_sim_settings){0});
        (void)snprintf(fault, sizeof fault, "x-simulator-fault: %s\r\n", cases[i].kind);
        ask("POST", LLAMA "/converse-stream", fault, sl_slice_str(HI));
        if (cases[i].ends)
            expect("\r\n0\r\n\r\n");
        else
            expect_end();
        assert_true(scan(&verdict, &boundary) > 2);
        assert_int_equal(verdict, cases[i].verdict);
        if (verdict >= 0)
            assert_int_equal(boundary, cases[i].boundary);
        assert_true(has("contentBlockDelta"));
        if (verdict >= 0) /* behind a malformed frame all goes on */
            assert_false(has("messageStop"));
        assert_int_equal(has("modelStreamErrorException"), i == 0);
        stop();
    }
}

static void test_pace(void **state) {
    (void)state;
    start(
        (struct sl_sim_settings){.latency_ms = 20, .first_token_ms = 20, .tokens_per_second = 500});
    uint64_t from = sl_clock_monotonic();
    ask("POST", LLAMA "/converse-stream", "", sl_slice_str(HI));
    expect("HTTP/1.1 200");
    assert_true(sl_clock_monotonic() - from >= 20 * SL_NS_PER_MS);
    expect("contentBlockDelta");
    assert_true(sl_clock_monotonic() - from >= 40 * SL_NS_PER_MS);
    expect("\r\n0\r\n\r\n");
    assert_true(sl_clock_monotonic() - from >= 80 * SL_NS_PER_MS); /* more than 20 tokens */
    stop();
}

static void test_large_body_needs_no_tree(void **state) {
    (void)state;
    struct sl_buf body;
    sl_buf_init(&body, 1 << 24);
    start((struct sl_sim_settings){0});
    assert_int_equal(sl_buf_add_str(&body,
                                    "{\"messages\":[{\"role\":\"user\",\"content\":[{\"image\":"
                                    "{\"source\":{\"bytes\":\""),
                     0);
    for (int i = 0; i < 40000; i++)
        assert_int_equal(sl_buf_add_str(&body, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlq"),
                         0);
    assert_int_equal(sl_buf_add_str(&body, "\"}}},{\"text\":\"what is this\"}]}]}"), 0);
    ask("POST", "/model/amazon.nova-lite-v1%3A0/converse", "", sl_buf_slice(&body));
    expect_json("HTTP/1.1 200", "\"inputTokens\":1603");
    body.len--;
    ask("POST", "/model/amazon.nova-lite-v1%3A0/converse", "", sl_buf_slice(&body));
    expect("HTTP/1.1 400");
    expect("Malformed input request");
    sl_buf_done(&body);
    stop();
}

static void test_client_that_leaves_frees_its_place(void **state) {
    (void)state;
    start((struct sl_sim_settings){.tpm = 5000, .latency_ms = 600000});
    ask("POST", LLAMA "/converse-stream", "", sl_slice_str(HI));
    await_in_flight("\"in_flight\":1");
    client_reset(&rig.client);
    client_open(&rig.client, sl_sim_address(rig.sim));
    await_in_flight("\"in_flight\":0");
    stop();
}

static void test_settings_are_checked(void **state) {
    (void)state;
    char why[256];
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), 0);
    struct sl_sim_settings bad = {.faults = "throttle/often"};
    assert_null(sl_sim_new(&rig.loop, &bad, "127.0.0.1", 0, NULL, why, sizeof why));
    assert_non_null(strstr(why, "throttle/often"));
    struct sl_sim_settings fine = {0};
    assert_null(sl_sim_new(&rig.loop, &fine, "256.0.0.1", 0, NULL, why, sizeof why));
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
}

/* Whatever allocation fails, the request ends somehow, and the service lives on. */
static void test_out_of_memory_fails_one_request(void **state) {
    (void)state;
    start((struct sl_sim_settings){0});
    ask("GET", "/simulator/stats", "", SL_EMPTY);
    expect("body_bytes");
    for (uint64_t n = 1; n <= 40; n++) {
        struct client held = rig.client;
        client_open(&rig.client, sl_sim_address(rig.sim));
        ask("GET", "/simulator/stats", "", SL_EMPTY);
        expect("body_bytes"); /* the connection stands */
        struct sl_buf request;
        sl_buf_init(&request, 4096);
        assert_int_equal(sl_buf_printf(&request,
                                       "POST %s/converse%s HTTP/1.1\r\nHost: x\r\n"
                                       "Connection: close\r\nAuthorization: Bearer %s\r\n"
                                       "Content-Length: %zu\r\n\r\n%s",
                                       LLAMA, n % 2 ? "" : "-stream", SL_SIM_BEARER, strlen(HI),
                                       HI),
                         0);
        assert_int_equal(client_try_send(&rig.client, sl_buf_slice(&request)), request.len);
        sl_buf_done(&request);
        sl_buf_clear(&rig.client.got);
        assert_int_equal(sl_buf_reserve(&rig.client.got, 1 << 16), 0);
        sl_mem_fail_after(n);
        expect_end();
        sl_mem_fail_after(0);
        client_close(&rig.client);
        rig.client = held;
    }
    ask("POST", LLAMA "/converse", "", sl_slice_str(HI));
    expect_json("HTTP/1.1 200", "totalTokens");
    stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_and_streamed),
        cmocka_unit_test(test_errors_have_bedrocks_shape),
        cmocka_unit_test(test_strangers_are_refused),
        cmocka_unit_test(test_quota_throttles),
        cmocka_unit_test(test_unset_limit_reserves_the_maximum),
        cmocka_unit_test(test_in_flight_limit),
        cmocka_unit_test(test_faults_before_the_head),
        cmocka_unit_test(test_faults_midway),
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_large_body_needs_no_tree),
        cmocka_unit_test(test_client_that_leaves_frees_its_place),
        cmocka_unit_test(test_settings_are_checked),
        cmocka_unit_test(test_out_of_memory_fails_one_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
