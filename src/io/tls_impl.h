/* What the two ends of TLS share: tls.c has the sessions and the server's settings, tls_client.c
 * the client's. */
#ifndef SLUICE_SRC_IO_TLS_IMPL_H
#define SLUICE_SRC_IO_TLS_IMPL_H

#include <openssl/ssl.h>

#include "io/tls.h"

struct sl_tls {
    SSL_CTX *ctx;
    unsigned refs;
};

struct sl_tls_session {
    char *subject; /* of the peer, once asked for */
    SSL *ssl;
    struct sl_slice input;
    struct sl_tls_ticket *ticket; /* of a client: where the server's go; NULL: nowhere */
};

/* A session joined to the BIO, of neither end yet. */
SL_NODISCARD struct sl_tls_session *sl_tls_session_make(struct sl_tls *tls);
/* A context with what holds for both ends. */
SL_NODISCARD SSL_CTX *sl_tls_context_new(const SSL_METHOD *method);
/* The oldest error that BoringSSL noted. */
const char *sl_tls_reason(void);

#endif
