/*
 * The client's end of TLS. The certificate must lead to an authority that is trusted, and name the
 * host: a session cannot be made without the host that it will be checked against.
 *
 * An authority may be any certificate of the file, not only a root (X509_V_FLAG_PARTIAL_CHAIN):
 * that is how a server's own certificate, or a company's intermediate, is pinned.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>

#include "io/tls_impl.h"
#include "sluice/base/mem.h"

static const uint8_t alpn[] = "\x08http/1.1";

/* A ticket saves the next connection the certificates and half of the arithmetic. */
static int on_ticket(SSL *ssl, SSL_SESSION *ticket) {
    struct sl_tls_session *session = SSL_get_app_data(ssl);
    if (!session->ticket)
        return 0;
    SSL_SESSION_free(session->ticket->last);
    session->ticket->last = ticket;
    return 1; /* it is ours now */
}

void sl_tls_ticket_done(struct sl_tls_ticket *ticket) {
    SSL_SESSION_free(ticket->last);
    ticket->last = NULL;
}

static bool trust(SSL_CTX *ctx, const char *ca_file) {
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ctx);
    return SSL_CTX_load_verify_locations(ctx, ca_file, NULL) &&
           X509_VERIFY_PARAM_set_flags(param,
                                       X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN);
}

struct sl_tls *sl_tls_client_new(const char *ca_file, char *why, size_t why_size) {
    ERR_clear_error();
    struct sl_tls *tls = sl_calloc(1, sizeof(*tls));
    SSL_CTX *ctx = sl_tls_context_new(TLS_client_method());
    if (!tls || !ctx || SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn) - 1) != 0) {
        snprintf(why, why_size, "out of memory");
        goto fail;
    }
    if (!trust(ctx, ca_file)) {
        snprintf(why, why_size, "cannot use the certificates in %s: %s", ca_file, sl_tls_reason());
        goto fail;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    /* Tickets are kept by whoever made the session. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    tls->ctx = ctx;
    tls->refs = 1;
    return tls;
fail:
    SSL_CTX_free(ctx);
    sl_free(tls);
    return NULL;
}

static bool is_address(const char *host) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* Addresses are not told in the handshake (RFC 6066 3), but the certificate must name them. */
static bool expect_host(SSL *ssl, const char *host) {
    if (!*host)
        return false;
    if (is_address(host))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
    return SSL_set1_host(ssl, host) && SSL_set_tlsext_host_name(ssl, host);
}

struct sl_tls_session *sl_tls_session_connect(struct sl_tls *tls, const char *host,
                                              struct sl_tls_ticket *ticket) {
    ERR_clear_error();
    struct sl_tls_session *session = sl_tls_session_make(tls);
    if (!session)
        return NULL;
    session->ticket = ticket;
    if (!expect_host(session->ssl, host) || !SSL_set_app_data(session->ssl, session) ||
        (ticket->last && !SSL_set_session(session->ssl, ticket->last))) {
        sl_tls_session_free(session);
        return NULL;
    }
    SSL_set_connect_state(session->ssl);
    return session;
}

int sl_tls_failure(const struct sl_tls_session *session, char *why, size_t why_size) {
    uint32_t error = ERR_peek_error();
    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        snprintf(why, why_size, "SSL certificate problem: %s",
                 X509_verify_cert_error_string(SSL_get_verify_result(session->ssl)));
        return SL_E_DENIED;
    }
    snprintf(why, why_size, "TLS handshake: %s", sl_tls_reason());
    return SL_E_IO;
}
