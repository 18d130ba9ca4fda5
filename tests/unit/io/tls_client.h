/* A TLS client over socket_client.h, which does not block either. */
#ifndef SLUICE_TESTS_TLS_CLIENT_H
#define SLUICE_TESTS_TLS_CLIENT_H

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "socket_client.h"

struct tls_client {
    struct client c;
    SSL_CTX *ctx;
    SSL *ssl;
    bool failed, done;
    struct sl_buf got;
};

static const uint8_t tls_alpn_both[] = "\x02h2\x08http/1.1";

static inline void tls_open(struct tls_client *t, const char *address, const uint8_t *alpn,
                            unsigned alpn_len) {
    *t = (struct tls_client){.ctx = SSL_CTX_new(TLS_method())};
    sl_buf_init(&t->got, 1 << 24);
    client_open(&t->c, address);
    t->ssl = SSL_new(t->ctx);
    assert_int_equal(SSL_set_alpn_protos(t->ssl, alpn, alpn_len), 0);
    SSL_set_fd(t->ssl, t->c.fd);
    SSL_set_connect_state(t->ssl);
}

static inline void tls_close(struct tls_client *t) {
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    client_close(&t->c);
    sl_buf_done(&t->got);
}

/* True when the call is to be repeated. */
static inline bool tls_again(struct tls_client *t, int rc) {
    int error = SSL_get_error(t->ssl, rc);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return true;
    t->failed = true;
    ERR_clear_error();
    return false;
}

static inline bool tls_handshake_over(void *ctx) {
    struct tls_client *t = ctx;
    int rc = SSL_do_handshake(t->ssl);
    return rc == 1 || !tls_again(t, rc);
}

static inline bool tls_handshake(uv_loop_t *uv, struct tls_client *t) {
    assert_true(pump_until(uv, tls_handshake_over, t));
    return !t->failed;
}

static inline bool tls_read_end(void *ctx) {
    struct tls_client *t = ctx;
    char chunk[20000];
    int rc;
    while ((rc = SSL_read(t->ssl, chunk, sizeof(chunk))) > 0)
        assert_int_equal(sl_buf_add(&t->got, sl_slice_of(chunk, (size_t)rc)), SL_OK);
    t->done = SSL_get_error(t->ssl, rc) == SSL_ERROR_ZERO_RETURN;
    return t->done || !tls_again(t, rc);
}

#endif
