/* Streams over loopback TCP: order of events, backpressure, closing, accepting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/io/conn.h"

#include "socket_client.h"

static struct {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_conn_listener *listener;
    struct sl_conn *conn; /* the last accepted */
    char log[256];
    struct sl_buf read;
    int close_error;
    int closes;
    bool in_call; /* the test is inside a call into the module */
    bool refuse, close_on_open, stop_on_read, echo;
    struct sl_slice to_write; /* goes on in on_writable */
    size_t pending_max;
} rig;

static void note(const char *what) {
    assert_false(rig.in_call);
    snprintf(rig.log + strlen(rig.log), sizeof(rig.log) - strlen(rig.log), "%s ", what);
}

static void write_on(void) {
    while (rig.to_write.len > 0) {
        struct sl_slice parts[] = {sl_slice_head(rig.to_write, 100000),
                                   sl_slice_head(sl_slice_skip(rig.to_write, 100000), 7)};
        rig.in_call = true;
        int64_t n = sl_conn_write(rig.conn, parts, 2);
        rig.in_call = false;
        assert_true(n >= 0);
        if (sl_conn_pending(rig.conn) > rig.pending_max)
            rig.pending_max = sl_conn_pending(rig.conn);
        rig.to_write = sl_slice_skip(rig.to_write, (size_t)n);
        if ((size_t)n < parts[0].len + parts[1].len)
            return;
    }
}

static void on_open(void *ctx, struct sl_slice alpn) {
    assert_ptr_equal(ctx, &rig);
    assert_int_equal(alpn.len, 0);
    note("open");
    if (rig.close_on_open)
        sl_conn_close(rig.conn, false);
}
static void on_read(void *ctx, struct sl_slice bytes) {
    (void)ctx;
    if (!strstr(rig.log, "read"))
        note("read");
    assert_int_equal(sl_buf_add(&rig.read, bytes), SL_OK);
    if (rig.stop_on_read)
        sl_conn_read_stop(rig.conn);
    if (rig.echo)
        assert_int_equal(sl_conn_write(rig.conn, &bytes, 1), bytes.len);
}
static void on_eof(void *ctx) {
    (void)ctx;
    note("eof");
}
static void on_writable(void *ctx) {
    (void)ctx;
    assert_false(rig.in_call);
    write_on();
}
static void on_close(void *ctx, int error) {
    (void)ctx;
    note("close");
    rig.close_error = error;
    rig.closes++;
}
static const struct sl_conn_handler handler = {.on_open = on_open,
                                               .on_read = on_read,
                                               .on_eof = on_eof,
                                               .on_writable = on_writable,
                                               .on_close = on_close};

static void on_accept(void *ctx, struct sl_conn *conn) {
    (void)ctx;
    note("accept");
    if (rig.refuse) {
        sl_conn_close(conn, false);
        return;
    }
    rig.conn = conn;
    sl_conn_set_handler(conn, &handler, &rig);
}

static struct sl_conn_listener *listen_at(const char *host, uint16_t port, char *why,
                                          size_t why_size) {
    struct sl_conn_listener_settings settings = {.host = host, .port = port, .backlog = 16};
    return sl_conn_listen(&rig.loop, &settings, NULL, on_accept, NULL, why, why_size);
}

static int setup(void **state) {
    (void)state;
    char why[200];
    memset(&rig, 0, sizeof(rig));
    sl_buf_init(&rig.read, 1 << 26);
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    rig.listener = listen_at("127.0.0.1", 0, why, sizeof(why));
    assert_non_null(rig.listener);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_conn_listener_close(rig.listener);
    if (rig.conn && rig.closes == 0)
        sl_conn_close(rig.conn, false);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(rig.loop.open_handles, 0);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
    sl_buf_done(&rig.read);
    return 0;
}

static bool log_has(void *ctx) {
    return strstr(rig.log, ctx) != NULL;
}

static void wait_log(const char *what) {
    assert_true(pump_until(&rig.uv, log_has, (void *)(uintptr_t)what));
}

static struct client connect_client(void) {
    struct client c;
    client_open(&c, sl_conn_listener_address(rig.listener));
    return c;
}

/* ---- tests ---- */

static void test_events_come_in_order(void **state) {
    (void)state;
    struct client c = connect_client();
    assert_true(client_send(&rig.uv, &c, SL_LIT("hello")));
    wait_log("read");
    struct sl_slice out[] = {SL_LIT("good"), SL_EMPTY, SL_LIT("bye")};
    assert_int_equal(sl_conn_write(rig.conn, out, 3), 7);
    sl_conn_shutdown(rig.conn);
    assert_int_equal(sl_conn_write(rig.conn, out, 3), SL_E_IO);
    assert_true(pump_until(&rig.uv, client_ended, &c));
    assert_true(c.eof && c.got.len == 7 && memcmp(c.got.ptr, "goodbye", 7) == 0);
    client_close(&c);
    wait_log("eof");
    rig.in_call = true;
    sl_conn_close(rig.conn, false);
    sl_conn_close(rig.conn, true); /* twice is fine */
    rig.in_call = false;
    wait_log("close");
    assert_string_equal(rig.log, "accept open read eof close ");
    assert_int_equal(rig.close_error, 0);
    assert_int_equal(rig.closes, 1);
}

static void test_addresses_are_told(void **state) {
    (void)state;
    struct client c = connect_client();
    wait_log("open");
    const struct sl_conn_info *info = sl_conn_info(rig.conn);
    assert_string_equal(info->local, sl_conn_listener_address(rig.listener));
    assert_memory_equal(info->peer, "127.0.0.1:", 10);
    assert_false(info->tls);
    assert_null(info->tls_version);
    client_close(&c);
}

static struct sl_slice pattern(size_t len) {
    char *bytes = sl_alloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    return sl_slice_of(bytes, len);
}

static void free_pattern(struct sl_slice s) {
    sl_free((void *)(uintptr_t)s.ptr);
}

static void test_a_slow_reader_is_waited_for(void **state) {
    (void)state;
    struct sl_slice all = pattern(16 << 20);
    struct client c = connect_client();
    wait_log("open");
    rig.to_write = all;
    write_on();
    assert_true(rig.to_write.len > 0); /* more than the kernel takes unread */
    assert_true(sl_conn_pending(rig.conn) > 0);
    struct sl_slice more = SL_LIT("x");
    assert_int_equal(sl_conn_write(rig.conn, &more, 1), 0);
    struct client_wait wait = {.c = &c, .bytes = all.len};
    assert_true(pump_until(&rig.uv, client_has_bytes, &wait));
    assert_int_equal(c.got.len, all.len);
    assert_memory_equal(c.got.ptr, all.ptr, all.len);
    assert_true(rig.pending_max <= SL_CONN_PENDING_MAX);
    assert_int_equal(sl_conn_pending(rig.conn), 0);
    client_close(&c);
    free_pattern(all);
}

static bool read_reached(void *ctx) {
    return rig.read.len >= *(size_t *)ctx;
}

static void test_reading_stops_and_goes_on(void **state) {
    (void)state;
    struct sl_slice all = pattern(24 << 20); /* more than the kernel keeps */
    struct client c = connect_client();
    rig.stop_on_read = true;
    struct sl_slice left = all;
    for (int idle = 0; idle < 100; uv_run(&rig.uv, UV_RUN_NOWAIT)) {
        int64_t n = client_try_send(&c, left);
        assert_true(n >= 0);
        left = sl_slice_skip(left, (size_t)n);
        idle = n > 0 ? 0 : idle + 1; /* until neither the kernel nor we take any */
    }
    assert_true(left.len > 0);
    assert_true(rig.read.len > 0 && rig.read.len <= 65536);
    rig.stop_on_read = false;
    sl_conn_read_start(rig.conn);
    assert_true(client_send(&rig.uv, &c, left));
    size_t want = all.len;
    assert_true(pump_until(&rig.uv, read_reached, &want));
    assert_memory_equal(rig.read.ptr, all.ptr, all.len);
    client_close(&c);
    free_pattern(all);
}

static void test_a_reset_is_seen_by_the_client(void **state) {
    (void)state;
    struct client c = connect_client();
    wait_log("open");
    sl_conn_close(rig.conn, true);
    assert_true(pump_until(&rig.uv, client_ended, &c));
    assert_true(c.reset);
    wait_log("close");
    client_close(&c);
}

static void test_a_client_that_resets_closes_with_an_error(void **state) {
    (void)state;
    struct client c = connect_client();
    wait_log("open");
    client_reset(&c);
    wait_log("close");
    assert_int_equal(rig.close_error, SL_E_IO);
    assert_string_equal(rig.log, "accept open close ");
}

static void test_closing_within_callbacks(void **state) {
    (void)state;
    rig.close_on_open = true;
    struct client c = connect_client();
    assert_true(client_send(&rig.uv, &c, SL_LIT("unread")));
    wait_log("close");
    assert_string_equal(rig.log, "accept open close ");
    client_close(&c);

    rig.refuse = true;
    rig.log[0] = '\0';
    c = connect_client();
    assert_true(pump_until(&rig.uv, client_ended, &c));
    assert_string_equal(rig.log, "accept ");
    client_close(&c);
}

static void test_pending_output_is_dropped_by_close(void **state) {
    (void)state;
    struct sl_slice all = pattern(16 << 20);
    struct client c = connect_client();
    wait_log("open");
    rig.to_write = all;
    write_on();
    assert_true(sl_conn_pending(rig.conn) > 0);
    sl_conn_close(rig.conn, false);
    wait_log("close");
    assert_true(pump_until(&rig.uv, client_ended, &c));
    assert_true(c.got.len < all.len);
    assert_int_equal(rig.closes, 1);
    client_close(&c);
    free_pattern(all);
}

static void test_a_paused_listener_accepts_later(void **state) {
    (void)state;
    sl_conn_listener_pause(rig.listener, true);
    struct client c = connect_client();
    for (int i = 0; i < 20; i++)
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    assert_string_equal(rig.log, "");
    sl_conn_listener_pause(rig.listener, false);
    wait_log("open");
    client_close(&c);
}

static void test_without_memory_a_client_is_refused(void **state) {
    (void)state;
    struct client c = connect_client();
    sl_mem_fail_after(1);
    assert_true(pump_until(&rig.uv, client_ended, &c));
    sl_mem_fail_after(0);
    assert_string_equal(rig.log, "");
    client_close(&c);
    c = connect_client(); /* the next is served */
    wait_log("open");
    client_close(&c);
}

static void test_listening_says_why_it_cannot(void **state) {
    (void)state;
    char why[200] = "";
    const char *address = sl_conn_listener_address(rig.listener);
    uint16_t port = (uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10);
    assert_null(listen_at("127.0.0.1", port, why, sizeof(why)));
    assert_non_null(strstr(why, "cannot listen on 127.0.0.1 port"));
    assert_non_null(strstr(why, "in use"));
    assert_null(listen_at("no.such.host.invalid", 0, why, sizeof(why)));
    assert_non_null(strstr(why, "no.such.host.invalid"));
    sl_mem_fail_after(1);
    assert_null(listen_at("127.0.0.1", 0, why, sizeof(why)));
    sl_mem_fail_after(0);
    assert_string_equal(why, "out of memory");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_events_come_in_order),
        CASE(test_addresses_are_told),
        CASE(test_a_slow_reader_is_waited_for),
        CASE(test_reading_stops_and_goes_on),
        CASE(test_a_reset_is_seen_by_the_client),
        CASE(test_a_client_that_resets_closes_with_an_error),
        CASE(test_closing_within_callbacks),
        CASE(test_pending_output_is_dropped_by_close),
        CASE(test_a_paused_listener_accepts_later),
        CASE(test_without_memory_a_client_is_refused),
        CASE(test_listening_says_why_it_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
