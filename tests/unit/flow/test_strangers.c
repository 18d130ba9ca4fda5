/*
 * Bodies of clients that are not yet known: whatever they send, they hold a tenth of memory.max at
 * most; clients that are known are served beside them. Real sockets, one loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "flow/internal.h"
#include "sluice/base/mem.h"

#define MEMORY_MAX    (64u << 20)
#define STRANGERS     12
#define STRANGER_BODY (4u << 20) /* each; together far above the tenth */
#define PIECE         65536

struct client {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    struct rig *rig;
    bool known, stalled, closed;
    size_t to_send, sent;
    char head[1024], reply[4096];
    size_t reply_len;
};

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_flow *flow;
    struct sl_front *front;
    struct sl_metrics metrics;
    struct sl_keys *keys;
    struct sl_turn_hook watch;
    size_t most_held;
    struct client clients[STRANGERS + 1];
    char piece[PIECE];
};

/* One key: strangers sign with its id, and what they sign never ends; the known client shows its
 * token. */
static const uint8_t master[1][SL_KEY_MASTER_SIZE] = {{1, 2, 3}};
static struct sl_key_secrets secrets;

static struct sl_keys *make_keys(void) {
    struct sl_key_record record = {.id = "abcdefghij",
                                   .name = "test",
                                   .generation = 1,
                                   .priority = SL_CLASS_NORMAL,
                                   .created_at = 1};
    struct sl_keys *keys = sl_keys_new(master, 1);
    assert_non_null(keys);
    assert_int_equal(sl_keys_put(keys, &record), SL_OK);
    assert_int_equal(sl_key_secrets(keys, &record, &secrets), SL_OK);
    return keys;
}

static void watch(void *ctx) {
    struct rig *rig = ctx;
    if (rig->flow->strangers.used > rig->most_held)
        rig->most_held = rig->flow->strangers.used;
}

static void send_more(struct client *c);

static void on_written(uv_write_t *write, int status) {
    struct client *c = write->data;
    c->stalled = false;
    if (status == 0 && c->sent < c->to_send)
        send_more(c);
}

static void send_more(struct client *c) {
    size_t n = c->to_send - c->sent < PIECE ? c->to_send - c->sent : PIECE;
    uv_buf_t buf = uv_buf_init(c->rig->piece, (unsigned)n);
    c->sent += n;
    c->stalled = true;
    assert_int_equal(uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written), 0);
}

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *buf) {
    struct client *c = handle->data;
    (void)size;
    *buf = uv_buf_init(c->reply + c->reply_len, (unsigned)(sizeof(c->reply) - c->reply_len));
}

static void on_reply(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct client *c = stream->data;
    (void)buf;
    if (n > 0)
        c->reply_len += (size_t)n;
    else if (n < 0)
        uv_read_stop(stream);
}

static void on_connected(uv_connect_t *connect, int status) {
    struct client *c = connect->data;
    assert_int_equal(status, 0);
    uv_read_start((uv_stream_t *)&c->tcp, give_buffer, on_reply);
    uv_buf_t buf = uv_buf_init(c->head, (unsigned)strlen(c->head));
    c->stalled = true;
    assert_int_equal(uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written), 0);
}

static void start_client(struct rig *rig, struct client *c, const char *address, bool known) {
    struct sockaddr_in to;
    int port = 0;
    c->rig = rig;
    c->known = known;
    c->to_send = STRANGER_BODY;
    char proof[512], date[SL_AMZ_DATE_SIZE];
    sl_clock_amz_date(sl_clock_wall_ms(), date);
    if (known)
        snprintf(proof, sizeof(proof), "Authorization: Bearer %s\r\n", secrets.bearer);
    else
        snprintf(proof, sizeof(proof),
                 "X-Amz-Date: %s\r\nAuthorization: AWS4-HMAC-SHA256 "
                 "Credential=%s/%.8s/us-east-1/bedrock/aws4_request, "
                 "SignedHeaders=host;x-amz-date, Signature=%064d\r\n",
                 date, secrets.access_key_id, date, 0);
    /* One byte is never sent by strangers: they stay strangers. */
    snprintf(c->head, sizeof(c->head),
             "POST /model/m/converse HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %u\r\n%s\r\n",
             STRANGER_BODY + (known ? 0 : 1), proof);
    assert_int_equal(sscanf(address, "127.0.0.1:%d", &port), 1);
    uv_ip4_addr("127.0.0.1", port, &to);
    uv_tcp_init(&rig->uv, &c->tcp);
    c->tcp.data = c->connect.data = c->write.data = c;
    assert_int_equal(
        uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&to, on_connected), 0);
}

/* Nothing moves any more: every stranger waits for the gateway to read. */
static bool all_stalled(const struct rig *rig) {
    for (int i = 0; i < STRANGERS; i++)
        if (!rig->clients[i].stalled && rig->clients[i].sent < rig->clients[i].to_send)
            return false;
    return true;
}

static void rig_open(struct rig *rig, char *why, size_t why_size) {
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    struct sl_flow_settings settings = {
        .queue = {.max_in_flight = 10,
                  .max_requests = 100,
                  .max_bytes = MEMORY_MAX,
                  .max_wait_ns = SL_NS_PER_S},
        .memory_max = MEMORY_MAX,
        .body_wait_ns = 60 * SL_NS_PER_S,
        .verify = {.skew_s = 300},
    };
    sl_pool_settings_default(&settings.pool);
    settings.keys = rig->keys = make_keys();
    uv_loop_init(&rig->uv);
    assert_int_equal(sl_loop_init(&rig->loop, &rig->uv), SL_OK);
    rig->flow = sl_flow_new(&rig->loop, &settings, &rig->metrics);
    assert_non_null(rig->flow);
    rig->front = sl_front_new(&rig->loop, &limits, sl_flow_front_handler(), rig->flow);
    assert_non_null(rig->front);
    const char *address = sl_front_listen(rig->front, "127.0.0.1", 0, NULL, why, why_size);
    assert_non_null(address);
    sl_loop_hook(&rig->loop, SL_TURN_WRITE, &rig->watch, watch, rig);
    for (int i = 0; i < STRANGERS; i++)
        start_client(rig, &rig->clients[i], address, false);
}

static void rig_close(struct rig *rig) {
    for (int i = 0; i <= STRANGERS; i++)
        if (rig->clients[i].rig)
            uv_close((uv_handle_t *)&rig->clients[i].tcp, NULL);
    sl_front_free(rig->front);
    sl_loop_unhook(&rig->watch);
    sl_flow_free(rig->flow);
    sl_keys_free(rig->keys);
    uv_run(&rig->uv, UV_RUN_DEFAULT);
    sl_loop_done(&rig->loop);
    uv_run(&rig->uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->uv), 0);
    sl_chunk_pool_done();
}

/* What a body is looked through for while it arrives goes by the key that is claimed. */
static void check_rules(const struct rig *rig) {
    SL_LIST_EACH(&rig->flow->exchanges, node, next) {
        const struct sl_exchange *x = SL_CONTAINER(node, struct sl_exchange, link);
        assert_true(x->stranger && x->has_grants);
        assert_ptr_not_equal(x->flight->client, sl_client_everybody());
        assert_int_equal(x->decode.tenant, x->flight->client->tenant);
        assert_true(x->decode.tenant != 0);
        assert_ptr_equal(sl_exchange_client(x), sl_client_everybody()); /* nothing is proved */
    }
}

static void strangers_hold_a_tenth_and_known_clients_are_served(void **state) {
    static struct rig rig;
    char why[256];
    (void)state;
    memset(rig.piece, ' ', sizeof(rig.piece)); /* JSON as far as it goes */
    rig_open(&rig, why, sizeof(why));
    size_t held = 0;
    for (int quiet = 0; quiet < 200;) {
        uv_run(&rig.uv, UV_RUN_NOWAIT);
        quiet = rig.flow->strangers.used == held && held > 0 ? quiet + 1 : 0;
        held = rig.flow->strangers.used;
    }
    assert_true(rig.most_held <= MEMORY_MAX / 10);
    assert_true(rig.most_held > MEMORY_MAX / 20); /* they did press */
    assert_true(all_stalled(&rig));
    check_rules(&rig);

    struct client *known = &rig.clients[STRANGERS];
    char address[64];
    struct sockaddr_in self;
    int len = sizeof(self);
    uv_tcp_getpeername(&rig.clients[0].tcp, (struct sockaddr *)&self, &len);
    snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(self.sin_port));
    start_client(&rig, known, address, true);
    while (known->reply_len == 0)
        uv_run(&rig.uv, UV_RUN_ONCE);
    /* There is no upstream in this rig: the call came as far as it could. */
    assert_non_null(strstr(known->reply, "503"));
    assert_non_null(strstr(known->reply, "no upstream"));
    assert_true(rig.most_held <= MEMORY_MAX / 10);
    assert_int_equal(rig.flow->memory.used, rig.flow->strangers.used);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strangers_hold_a_tenth_and_known_clients_are_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
