/* TLS over loopback: handshakes that succeed and fail, data both ways, ends, reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/io/conn.h"

#include "certificate.h"
#include "tls_client.h"

static struct {
    uv_loop_t uv;
    struct sl_loop loop;
    struct certificate one, two;
    struct sl_tls *tls;
    struct sl_conn_listener *listener;
    struct sl_conn *conn;
    char log[256], alpn[32];
    struct sl_buf read;
    int close_error, closes, accepted;
    struct sl_slice to_write;
    bool echo;
    struct sl_buf echoes; /* waits to be written */
    size_t echoed, pending_max;
} rig;

static void note(const char *what) {
    if (!strstr(rig.log, what))
        snprintf(rig.log + strlen(rig.log), sizeof(rig.log) - strlen(rig.log), "%s ", what);
}

static void write_on(void) {
    if (rig.echo)
        rig.to_write = sl_slice_skip(sl_buf_slice(&rig.echoes), rig.echoed);
    while (rig.to_write.len > 0) {
        struct sl_slice parts[] = {sl_slice_head(rig.to_write, 5),
                                   sl_slice_head(sl_slice_skip(rig.to_write, 5), 50000)};
        int64_t n = sl_conn_write(rig.conn, parts, 2);
        assert_true(n >= 0);
        if (sl_conn_pending(rig.conn) > rig.pending_max)
            rig.pending_max = sl_conn_pending(rig.conn);
        rig.echoed += (size_t)n;
        rig.to_write = sl_slice_skip(rig.to_write, (size_t)n);
        if ((size_t)n < parts[0].len + parts[1].len)
            return;
    }
}

static void on_open(void *ctx, struct sl_slice alpn) {
    (void)ctx;
    snprintf(rig.alpn, sizeof(rig.alpn), "%.*s", SL_FMT(alpn));
    note("open");
}
static void on_read(void *ctx, struct sl_slice bytes) {
    (void)ctx;
    note("read");
    assert_int_equal(sl_buf_add(rig.echo ? &rig.echoes : &rig.read, bytes), SL_OK);
    if (rig.echo)
        write_on();
}
static void on_eof(void *ctx) {
    (void)ctx;
    note("eof");
}
static void on_writable(void *ctx) {
    (void)ctx;
    write_on();
}
static void on_close(void *ctx, int error) {
    (void)ctx;
    note("close");
    rig.close_error = error;
    rig.closes++;
    rig.conn = NULL;
}
static const struct sl_conn_handler handler = {.on_open = on_open,
                                               .on_read = on_read,
                                               .on_eof = on_eof,
                                               .on_writable = on_writable,
                                               .on_close = on_close};
static void on_accept(void *ctx, struct sl_conn *conn) {
    (void)ctx;
    rig.conn = conn;
    rig.accepted++;
    sl_conn_set_handler(conn, &handler, &rig);
}

static struct sl_tls *make_tls(const struct certificate *c, const char *client_ca) {
    char why[300] = "";
    struct sl_tls_settings settings = {
        .certificate = c->cert_file, .key = c->key_file, .client_ca = client_ca};
    struct sl_tls *tls = sl_tls_new(&settings, why, sizeof(why));
    assert_string_equal(why, "");
    assert_non_null(tls);
    return tls;
}

static int setup(void **state) {
    (void)state;
    char why[200];
    memset(&rig, 0, sizeof(rig));
    sl_buf_init(&rig.read, 1 << 24);
    sl_buf_init(&rig.echoes, 1 << 24);
    certificate_make(&rig.one, "one.test");
    certificate_make(&rig.two, "two.test");
    rig.tls = make_tls(&rig.one, NULL);
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    struct sl_conn_listener_settings settings = {.host = "127.0.0.1", .backlog = 16};
    rig.listener = sl_conn_listen(&rig.loop, &settings, rig.tls, on_accept, NULL, why, sizeof(why));
    assert_non_null(rig.listener);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_conn_listener_close(rig.listener);
    if (rig.conn)
        sl_conn_close(rig.conn, false);
    sl_tls_free(rig.tls);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(rig.loop.open_handles, 0);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
    sl_buf_done(&rig.read);
    sl_buf_done(&rig.echoes);
    certificate_remove(&rig.one);
    certificate_remove(&rig.two);
    return 0;
}

static bool log_has(void *ctx) {
    return strstr(rig.log, ctx) != NULL;
}
static void wait_log(const char *what) {
    assert_true(pump_until(&rig.uv, log_has, (void *)(uintptr_t)what));
}

static struct sl_slice pattern(size_t len) {
    char *bytes = sl_alloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 2654435761u >> 11);
    return sl_slice_of(bytes, len);
}

/* ---- tests ---- */

static void test_versions_and_alpn(void **state) {
    (void)state;
    static const struct {
        uint16_t version;
        const uint8_t *alpn;
        unsigned alpn_len;
        const char *version_name, *alpn_name;
    } cases[] = {
        {TLS1_3_VERSION, tls_alpn_both, sizeof(tls_alpn_both) - 1, "TLSv1.3", "h2"},
        {TLS1_2_VERSION, tls_alpn_both, sizeof(tls_alpn_both) - 1, "TLSv1.2", "h2"},
        {TLS1_3_VERSION, (const uint8_t *)"\x08http/1.1", 9, "TLSv1.3", "http/1.1"},
        {TLS1_3_VERSION, (const uint8_t *)"", 0, "TLSv1.3", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct tls_client t;
        tls_open(&t, sl_conn_listener_address(rig.listener), cases[i].alpn, cases[i].alpn_len);
        SSL_set_max_proto_version(t.ssl, cases[i].version);
        rig.log[0] = '\0';
        assert_true(tls_handshake(&rig.uv, &t));
        wait_log("open");
        assert_string_equal(rig.alpn, cases[i].alpn_name);
        assert_true(sl_conn_info(rig.conn)->tls);
        assert_string_equal(sl_conn_info(rig.conn)->tls_version, cases[i].version_name);
        tls_close(&t);
        wait_log("eof"); /* also without close_notify */
        sl_conn_close(rig.conn, false);
        wait_log("close");
    }
}

static void test_handshakes_that_must_fail(void **state) {
    (void)state;
    struct tls_client t;
    tls_open(&t, sl_conn_listener_address(rig.listener), (const uint8_t *)"\x04spdy", 5);
    assert_false(tls_handshake(&rig.uv, &t));
    wait_log("close");
    assert_int_equal(rig.close_error, SL_E_PROTOCOL);
    tls_close(&t);

    rig.log[0] = '\0';
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    SSL_set_min_proto_version(t.ssl, TLS1_VERSION);
    SSL_set_max_proto_version(t.ssl, TLS1_1_VERSION);
    assert_false(tls_handshake(&rig.uv, &t));
    wait_log("close");
    tls_close(&t);

    rig.log[0] = '\0';
    struct client c;
    client_open(&c, sl_conn_listener_address(rig.listener));
    assert_true(client_send(&rig.uv, &c, SL_LIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n")));
    assert_true(pump_until(&rig.uv, client_ended, &c));
    wait_log("close");
    assert_int_equal(rig.close_error, SL_E_PROTOCOL);
    client_close(&c);

    rig.log[0] = '\0';
    client_open(&c, sl_conn_listener_address(rig.listener));
    assert_true(client_send(&rig.uv, &c, SL_LIT("\x16\x03\x01")));
    client_close(&c);
    wait_log("close");
    assert_int_equal(rig.close_error, SL_E_IO);
    assert_null(strstr(rig.log, "open"));
}

static void test_data_flows_both_ways(void **state) {
    (void)state;
    struct sl_slice all = pattern(3000000), left = all;
    struct tls_client t;
    rig.echo = true;
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    SSL_set_mode(t.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    assert_true(tls_handshake(&rig.uv, &t));
    /* All is sent before any is read, so that the server meets a full socket. */
    while (left.len > 0) {
        int rc = SSL_write(t.ssl, left.ptr, (int)left.len);
        if (rc > 0)
            left = sl_slice_skip(left, (size_t)rc);
        else
            assert_true(tls_again(&t, rc));
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    }
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    while (t.got.len < all.len && sl_clock_monotonic() < end) {
        assert_false(tls_read_end(&t));
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    }
    assert_int_equal(t.got.len, all.len);
    assert_memory_equal(t.got.ptr, all.ptr, all.len);
    assert_true(rig.pending_max <= SL_CONN_PENDING_MAX);
    assert_int_equal(sl_conn_pending(rig.conn), 0);
    tls_close(&t);
    sl_free((void *)(uintptr_t)all.ptr);
}

static void test_a_flight_in_single_bytes(void **state) {
    (void)state;
    struct tls_client t;
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    /* The client talks to memory, and each byte of it goes through the socket alone. */
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(t.ssl, in, out);
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    bool sent = false;
    while (rig.read.len < 5 && sl_clock_monotonic() < end) {
        if (SSL_do_handshake(t.ssl) == 1 && !sent)
            sent = SSL_write(t.ssl, "hello", 5) == 5;
        char byte;
        while (BIO_read(out, &byte, 1) == 1) {
            assert_true(client_send(&rig.uv, &t.c, sl_slice_of(&byte, 1)));
            uv_run(&rig.uv, UV_RUN_NOWAIT);
        }
        uv_run(&rig.uv, UV_RUN_NOWAIT);
        client_read(&t.c, SIZE_MAX);
        if (t.c.got.len > 0)
            BIO_write(in, t.c.got.ptr, (int)t.c.got.len);
        sl_buf_clear(&t.c.got);
    }
    assert_int_equal(rig.read.len, 5);
    assert_memory_equal(rig.read.ptr, "hello", 5);
    tls_close(&t);
}

static void test_shutdown_says_goodbye(void **state) {
    (void)state;
    struct tls_client t;
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    assert_true(tls_handshake(&rig.uv, &t));
    wait_log("open");
    struct sl_slice out = SL_LIT("the end");
    assert_int_equal(sl_conn_write(rig.conn, &out, 1), 7);
    sl_conn_shutdown(rig.conn);
    assert_true(pump_until(&rig.uv, tls_read_end, &t));
    assert_true(t.done);
    assert_int_equal(t.got.len, 7);
    SSL_shutdown(t.ssl);
    wait_log("eof");
    assert_string_equal(rig.log, "open eof ");
    tls_close(&t);
}

static void test_a_plain_close_is_no_clean_end(void **state) {
    (void)state;
    struct tls_client t;
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    assert_true(tls_handshake(&rig.uv, &t));
    wait_log("open");
    sl_conn_close(rig.conn, false);
    assert_true(pump_until(&rig.uv, tls_read_end, &t));
    assert_false(t.done);
    tls_close(&t);
}

static void test_a_broken_record_closes(void **state) {
    (void)state;
    struct tls_client t;
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    assert_true(tls_handshake(&rig.uv, &t));
    wait_log("open");
    assert_true(client_send(&rig.uv, &t.c,
                            SL_LIT("\x17\x03\x03\x00\x20"
                                   "0123456789abcdef0123456789abcdef")));
    wait_log("close");
    assert_int_equal(rig.close_error, SL_E_PROTOCOL);
    assert_null(strstr(rig.log, "read"));
    tls_close(&t);
}

static void subject_of(struct tls_client *t, char *out, int size) {
    X509 *x509 = SSL_get_peer_certificate(t->ssl);
    assert_non_null(x509);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x509), NID_commonName, out, size);
    X509_free(x509);
}

static void test_reload_swaps_certificates(void **state) {
    (void)state;
    char name[64];
    struct tls_client old, fresh;
    tls_open(&old, sl_conn_listener_address(rig.listener), tls_alpn_both,
             sizeof(tls_alpn_both) - 1);
    assert_true(tls_handshake(&rig.uv, &old));
    wait_log("open");
    struct sl_conn *old_conn = rig.conn;
    struct sl_tls *two = make_tls(&rig.two, NULL);
    sl_conn_listener_set_tls(rig.listener, two);
    sl_tls_free(two);
    sl_tls_free(rig.tls); /* the listener and the old connection hold what they need */
    rig.tls = NULL;

    tls_open(&fresh, sl_conn_listener_address(rig.listener), tls_alpn_both,
             sizeof(tls_alpn_both) - 1);
    assert_true(tls_handshake(&rig.uv, &fresh));
    subject_of(&fresh, name, sizeof(name));
    assert_string_equal(name, "two.test");
    subject_of(&old, name, sizeof(name));
    assert_string_equal(name, "one.test");

    struct sl_conn *fresh_conn = rig.conn;
    struct sl_slice out = SL_LIT("still here");
    assert_int_equal(sl_conn_write(old_conn, &out, 1), out.len);
    sl_conn_shutdown(old_conn);
    assert_true(pump_until(&rig.uv, tls_read_end, &old));
    assert_true(old.done);
    sl_conn_close(old_conn, false);
    wait_log("close");
    rig.conn = fresh_conn;
    tls_close(&old);
    tls_close(&fresh);
}

static void test_clients_are_asked_for_a_certificate(void **state) {
    (void)state;
    struct sl_tls *mutual = make_tls(&rig.one, rig.two.cert_file);
    sl_conn_listener_set_tls(rig.listener, mutual);
    sl_tls_free(mutual);
    struct tls_client t;
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    (void)tls_handshake(&rig.uv, &t); /* TLS 1.3: the client learns of the refusal afterwards */
    wait_log("close");
    assert_int_equal(rig.close_error, SL_E_PROTOCOL);
    tls_close(&t);

    rig.log[0] = '\0';
    tls_open(&t, sl_conn_listener_address(rig.listener), tls_alpn_both, sizeof(tls_alpn_both) - 1);
    assert_int_equal(SSL_use_certificate_file(t.ssl, rig.two.cert_file, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_use_PrivateKey_file(t.ssl, rig.two.key_file, SSL_FILETYPE_PEM), 1);
    assert_true(tls_handshake(&rig.uv, &t));
    wait_log("open");
    tls_close(&t);
}

static void test_bad_settings_name_the_file(void **state) {
    (void)state;
    static const char missing[] = "/nonexistent/x.pem";
    const struct {
        struct sl_tls_settings settings;
        const char *says;
    } cases[] = {
        {{missing, rig.one.key_file, NULL}, "certificate file /nonexistent/x.pem"},
        {{rig.one.cert_file, missing, NULL}, "key file /nonexistent/x.pem"},
        {{rig.one.cert_file, rig.two.key_file, NULL}, rig.two.key_file},
        {{rig.one.cert_file, rig.one.key_file, missing}, "client CA file /nonexistent/x.pem"},
        {{rig.one.cert_file, rig.one.key_file, rig.one.key_file}, "client CA file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char why[300] = "";
        assert_null(sl_tls_new(&cases[i].settings, why, sizeof(why)));
        assert_non_null(strstr(why, cases[i].says));
    }
}

static void test_without_memory_a_client_is_refused(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 2; n++) { /* the connection, then its session */
        struct client c;
        client_open(&c, sl_conn_listener_address(rig.listener));
        sl_mem_fail_after(n);
        assert_true(pump_until(&rig.uv, client_ended, &c));
        sl_mem_fail_after(0);
        client_close(&c);
    }
    assert_int_equal(rig.accepted, 0);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_versions_and_alpn),
        CASE(test_handshakes_that_must_fail),
        CASE(test_data_flows_both_ways),
        CASE(test_a_flight_in_single_bytes),
        CASE(test_shutdown_says_goodbye),
        CASE(test_a_plain_close_is_no_clean_end),
        CASE(test_a_broken_record_closes),
        CASE(test_reload_swaps_certificates),
        CASE(test_clients_are_asked_for_a_certificate),
        CASE(test_bad_settings_name_the_file),
        CASE(test_without_memory_a_client_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
