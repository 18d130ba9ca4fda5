/*
 * Each allocation of a request fails once, one after the other: the request may fail, but the
 * client is told or its connection ends, what it is shown is never half an answer that looks whole,
 * nothing is held afterwards, and the next request is served. Real sockets, one loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "flow/internal.h"
#include "sluice/base/mem.h"
#include "sluice/wire/eventstream.h"

#define MEMORY_MAX (64u << 20)
#define CALLS_MAX  32
/* The loop is looked at this often; a request that takes so many looks hangs. */
#define TICK_MS  2
#define PATIENCE 5000

/* One connection of the upstream that this test plays: a request, a reply, again. */
struct call {
    uv_tcp_t tcp;
    uv_write_t write;
    struct rig *rig;
    char in[16384];
    size_t len;
};

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_fetch_client *fetch;
    struct sl_flow *flow;
    struct sl_front *front;
    struct sl_metrics metrics;
    uv_tcp_t upstream;
    struct call calls[CALLS_MAX];
    size_t call_count;
    uv_tcp_t client;
    uv_connect_t connect;
    uv_write_t write;
    uv_timer_t watchdog;
    unsigned ticks;
    const char *request;
    char reply[65536];
    size_t reply_len;
    bool client_done;
};

/* ---- upstream ---- */

static const struct sl_slice document = SL_LIT(
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 158\r\n\r\n"
    "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{\"text\":\"good day\"}]}},"
    "\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":3,\"outputTokens\":2,"
    "\"totalTokens\":5}}");
static const struct sl_slice embedding =
    SL_LIT("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 49\r\n\r\n"
           "{\"embedding\":[0.25,0.5],\"inputTextTokenCount\": 2}");
static struct sl_buf stream;

static void add_frame(struct sl_buf *out, const char *type, const char *payload) {
    const struct sl_eventstream_pair headers[] = {
        {SL_LIT(":event-type"), sl_slice_str(type)},
        {SL_LIT(":content-type"), SL_LIT("application/json")},
        {SL_LIT(":message-type"), SL_LIT("event")},
    };
    assert_int_equal(sl_eventstream_encode(out, headers, 3, sl_slice_str(payload)), SL_OK);
}

static void make_stream(void) {
    struct sl_buf frames;
    sl_buf_init(&frames, 65536);
    add_frame(&frames, "messageStart", "{\"role\":\"assistant\"}");
    add_frame(&frames, "contentBlockDelta",
              "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"good day\"}}");
    add_frame(&frames, "contentBlockStop", "{\"contentBlockIndex\":0}");
    add_frame(&frames, "messageStop", "{\"stopReason\":\"end_turn\"}");
    add_frame(&frames, "metadata",
              "{\"usage\":{\"inputTokens\":3,\"outputTokens\":2,\"totalTokens\":5},"
              "\"metrics\":{\"latencyMs\":1}}");
    sl_buf_init(&stream, 65536);
    assert_int_equal(sl_buf_printf(&stream,
                                   "HTTP/1.1 200 OK\r\nContent-Type: "
                                   "application/vnd.amazon.eventstream\r\nContent-Length: "
                                   "%zu\r\n\r\n",
                                   frames.len),
                     SL_OK);
    assert_int_equal(sl_buf_add(&stream, sl_buf_slice(&frames)), SL_OK);
    sl_buf_done(&frames);
}

static bool is_whole(const struct call *c) {
    const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "content-length:");
    size_t body = length && end && length < end ? strtoul(length + 15, NULL, 10) : 0;
    return end && c->len >= (size_t)(end + 4 - c->in) + body;
}

static void on_asked(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf) {
    struct call *c = tcp->data;
    (void)buf;
    if (n < 0) {
        uv_read_stop(tcp);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    if (!is_whole(c))
        return;
    struct sl_slice reply = strstr(c->in, "converse-stream") ? sl_buf_slice(&stream)
                            : strstr(c->in, "/converse")     ? document
                                                             : embedding;
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)reply.ptr, (unsigned)reply.len);
    c->len = 0;
    assert_int_equal(uv_write(&c->write, tcp, &out, 1, NULL), 0);
}

static void give_call_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    struct call *c = handle->data;
    (void)size;
    assert_true(c->len < sizeof(c->in) - 1);
    *buf = uv_buf_init(c->in + c->len, (unsigned)(sizeof(c->in) - 1 - c->len));
}

static void on_call(uv_stream_t *listener, int status) {
    struct rig *rig = listener->data;
    assert_int_equal(status, 0);
    assert_true(rig->call_count < CALLS_MAX);
    struct call *c = &rig->calls[rig->call_count++];
    c->rig = rig;
    c->len = 0;
    uv_tcp_init(&rig->uv, &c->tcp);
    c->tcp.data = c;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&c->tcp), 0);
    uv_read_start((uv_stream_t *)&c->tcp, give_call_buffer, on_asked);
}

/* ---- the client ---- */

static void give_reply_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    struct rig *rig = handle->data;
    (void)size;
    *buf = uv_buf_init(rig->reply + rig->reply_len,
                       (unsigned)(sizeof(rig->reply) - 1 - rig->reply_len));
}

static void on_client_closed(uv_handle_t *handle) {
    ((struct rig *)handle->data)->client_done = true;
}

static void on_reply(uv_stream_t *tcp, ssize_t n, const uv_buf_t *buf) {
    struct rig *rig = tcp->data;
    (void)buf;
    if (n > 0)
        rig->reply_len += (size_t)n;
    else if (n < 0)
        uv_close((uv_handle_t *)tcp, on_client_closed);
}

static void on_connected(uv_connect_t *connect, int status) {
    struct rig *rig = connect->data;
    assert_int_equal(status, 0);
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)rig->request, (unsigned)strlen(rig->request));
    uv_read_start((uv_stream_t *)&rig->client, give_reply_buffer, on_reply);
    assert_int_equal(uv_write(&rig->write, (uv_stream_t *)&rig->client, &out, 1, NULL), 0);
}

/* ---- the rig ---- */

static enum sl_cache_when keep(void *ctx, struct sl_slice model) {
    (void)ctx, (void)model;
    return SL_CACHE_ALWAYS;
}

static struct sl_flow_settings settings_of_test(void) {
    struct sl_flow_settings settings = {
        .queue = {.max_in_flight = 10,
                  .max_requests = 100,
                  .max_bytes = MEMORY_MAX,
                  .max_wait_ns = 2 * SL_NS_PER_S},
        .cache = {.max_bytes = 1 << 20, .max_entry = 1 << 20},
        .cache_ttl_ms = 60000,
        .policy = {.cache_when = keep},
        .max_attempts = 3,
        .memory_max = MEMORY_MAX,
        .body_wait_ns = SL_NS_PER_S,
    };
    sl_pool_settings_default(&settings.pool);
    settings.pool.backoff_ns = settings.pool.backoff_max_ns = SL_NS_PER_MS;
    return settings;
}

static void listen_upstream(struct rig *rig, char *endpoint, size_t size) {
    struct sockaddr_in at;
    int len = sizeof(at);
    uv_ip4_addr("127.0.0.1", 0, &at);
    uv_tcp_init(&rig->uv, &rig->upstream);
    rig->upstream.data = rig;
    assert_int_equal(uv_tcp_bind(&rig->upstream, (const struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&rig->upstream, 16, on_call), 0);
    uv_tcp_getsockname(&rig->upstream, (struct sockaddr *)&at, &len);
    snprintf(endpoint, size, "http://127.0.0.1:%d", ntohs(at.sin_port));
}

static void rig_open(struct rig *rig, struct sockaddr_in *front) {
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    struct sl_flow_settings settings = settings_of_test();
    struct sl_fetch_client_settings fetch = {.max_in_flight = 10};
    struct sl_upstream_timeouts timeouts = {1000, 1000, 1000};
    char endpoint[64], why[256];
    int port = 0;
    *rig = (struct rig){.call_count = 0};
    uv_loop_init(&rig->uv);
    assert_int_equal(sl_loop_init(&rig->loop, &rig->uv), SL_OK);
    uv_timer_init(&rig->uv, &rig->watchdog);
    rig->watchdog.data = rig;
    listen_upstream(rig, endpoint, sizeof(endpoint));
    rig->fetch = sl_fetch_client_new(&rig->loop, &fetch);
    rig->flow = sl_flow_new(&rig->loop, &settings, &rig->metrics);
    assert_true(rig->fetch && rig->flow);
    struct sl_target_settings at = {.name = "a",
                                    .region = "us-east-1",
                                    .endpoint = endpoint,
                                    .access_key_id = "AKID",
                                    .secret = "secret"};
    struct sl_flow_target target = {
        .target = sl_target_new(&rig->loop, rig->fetch, &at, &timeouts, why, sizeof(why))};
    assert_non_null(target.target);
    assert_int_equal(sl_flow_set_targets(rig->flow, &target, 1), SL_OK);
    rig->front = sl_front_new(&rig->loop, &limits, sl_flow_front_handler(), rig->flow);
    const char *address = sl_front_listen(rig->front, "127.0.0.1", 0, NULL, why, sizeof(why));
    assert_non_null(address);
    assert_int_equal(sscanf(address, "127.0.0.1:%d", &port), 1);
    uv_ip4_addr("127.0.0.1", port, front);
}

static void rig_close(struct rig *rig) {
    for (size_t i = 0; i < rig->call_count; i++)
        uv_close((uv_handle_t *)&rig->calls[i].tcp, NULL);
    uv_close((uv_handle_t *)&rig->upstream, NULL);
    uv_close((uv_handle_t *)&rig->watchdog, NULL);
    sl_front_free(rig->front);
    sl_flow_free(rig->flow);
    sl_fetch_client_free(rig->fetch);
    uv_run(&rig->uv, UV_RUN_DEFAULT);
    sl_loop_done(&rig->loop);
    uv_run(&rig->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->uv), 0);
    sl_chunk_pool_done();
}

static void on_watchdog(uv_timer_t *timer) {
    struct rig *rig = timer->data;
    if (++rig->ticks > PATIENCE)
        fail_msg("hangs: %s, after %zu calls: %s", rig->request, rig->call_count, rig->reply);
}

static void ask(struct rig *rig, const struct sockaddr_in *front, const char *request) {
    rig->request = request;
    rig->reply_len = 0;
    rig->client_done = false;
    memset(rig->reply, 0, sizeof(rig->reply));
    uv_tcp_init(&rig->uv, &rig->client);
    rig->client.data = rig->connect.data = rig;
    assert_int_equal(
        uv_tcp_connect(&rig->connect, &rig->client, (const struct sockaddr *)front, on_connected),
        0);
    rig->ticks = 0;
    uv_timer_start(&rig->watchdog, on_watchdog, TICK_MS, TICK_MS);
    while (!rig->client_done || !sl_flow_is_idle(rig->flow))
        uv_run(&rig->uv, UV_RUN_ONCE);
    uv_timer_stop(&rig->watchdog);
    assert_int_equal(rig->flow->memory.used, 0);
    struct sl_queue_counts counts = sl_queue_count(rig->flow->queue);
    assert_int_equal(counts.waiting + counts.running, 0);
}

/* ---- requests ---- */

struct sample {
    const char *request, *end; /* of a whole good reply */
};

#define POST(path, length, body)                                                                   \
    "POST " path " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"                           \
    "Content-Type: application/json\r\namz-sdk-invocation-id: one\r\n"                             \
    "Content-Length: " length "\r\n\r\n" body

static const struct sample samples[] = {
    {POST("/model/m/converse", "59",
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hello\"}]}]}"),
     "\"totalTokens\":5}}"},
    {POST("/model/m/converse-stream", "59",
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"hello\"}]}]}"),
     ""},
    {POST("/v1/chat/completions", "61",
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi you\"}]}"),
     "}"},
    {POST("/v1/chat/completions", "75",
          "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi you\"}],"
          "\"stream\":true}"),
     "data: [DONE]\n\n\r\n0\r\n\r\n"},
    {POST("/v1/embeddings", "63",
          "{\"model\":\"amazon.titan-embed-text-v2:0\",\"input\":[\"a\",\"b\",\"cd\"]}"),
     "}"},
};

static bool ends_with(const struct rig *rig, const char *end) {
    return sl_slice_ends(sl_slice_of(rig->reply, rig->reply_len), sl_slice_str(end));
}

static bool is_success(const struct rig *rig) {
    return strncmp(rig->reply, "HTTP/1.1 200", 12) == 0;
}

/* To its last byte, as the framing has it. */
static bool has_arrived(const struct rig *rig) {
    const char *body = strstr(rig->reply, "\r\n\r\n");
    const char *length = strcasestr(rig->reply, "\r\ncontent-length: ");
    if (!body)
        return false;
    if (!length || length > body)
        return ends_with(rig, "\r\n0\r\n\r\n");
    return strtoul(length + 18, NULL, 10) == rig->reply_len - (size_t)(body + 4 - rig->reply);
}

/* An answer, an error with a status, an error inside a stream, or a connection that broke: nothing
 * that a client takes for a whole answer and is none. */
static void check_reply(const struct rig *rig, const struct sample *sample) {
    if (!is_success(rig) || !has_arrived(rig))
        return;
    assert_true(ends_with(rig, sample->end) || memmem(rig->reply, rig->reply_len, "xception", 8) ||
                strstr(rig->reply, "\"error\""));
}

static bool run_with_failure_at(const struct sample *sample, uint64_t at) {
    static struct rig rig;
    struct sockaddr_in front;
    rig_open(&rig, &front);
    sl_mem_fail_after(at);
    ask(&rig, &front, sample->request);
    bool failed = sl_mem_fail_after(0) == 0;
    check_reply(&rig, sample);
    ask(&rig, &front, sample->request);
    assert_true(is_success(&rig) && has_arrived(&rig) && ends_with(&rig, sample->end));
    rig_close(&rig);
    return failed;
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    make_stream();
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        struct sl_mem_stats before = sl_mem_stats();
        uint64_t at = 1;
        while (run_with_failure_at(&samples[i], at))
            at++;
        assert_true(at > 30); /* it went through a request, not past one */
        assert_true(at < 2000);
        struct sl_mem_stats after = sl_mem_stats();
        assert_int_equal(after.blocks, before.blocks);
    }
    sl_buf_done(&stream);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
