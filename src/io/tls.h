/*
 * TLS without sockets: cipher text in and out, plain text in and out. conn.c moves the bytes.
 *
 * Cipher text that a call produces gathers in one buffer per thread, which the caller must empty
 * (sl_tls_output, sl_tls_sent) before anything else may run: so no connection owns a buffer.
 */
#ifndef SLUICE_SRC_IO_TLS_H
#define SLUICE_SRC_IO_TLS_H

#include "sluice/base/slice.h"
#include "sluice/io/conn.h"

#define SL_TLS_RECORD 16384 /* plain bytes of the largest record */

struct sl_tls_session;

struct sl_tls *sl_tls_ref(struct sl_tls *tls); /* NULL is fine */
/* The client's settings: certificates that servers are verified with, PEM. NULL: why says it. */
SL_NODISCARD struct sl_tls *sl_tls_client_new(const char *ca_file, char *why, size_t why_size);

/* The last ticket that a server gave, for the next session with it. Zeroed: none yet. It must
 * outlive the sessions made with it. */
struct sl_tls_ticket {
    struct ssl_session_st *last;
};
void sl_tls_ticket_done(struct sl_tls_ticket *ticket);

/* The client's side of one connection, to a server that must prove to be host (a name, or an
 * address without brackets); NULL when out of memory, or if host is empty. */
SL_NODISCARD struct sl_tls_session *sl_tls_session_connect(struct sl_tls *tls, const char *host,
                                                           struct sl_tls_ticket *ticket);
/* After a client's handshake failed: SL_E_DENIED if it was the certificate, else SL_E_IO. */
int sl_tls_failure(const struct sl_tls_session *session, char *why, size_t why_size);
/* The server's side of one connection; NULL when out of memory. */
SL_NODISCARD struct sl_tls_session *sl_tls_session_new(struct sl_tls *tls);
void sl_tls_session_free(struct sl_tls_session *session);

/* Cipher text for the calls that follow, until it is used up; borrowed. */
void sl_tls_feed(struct sl_tls_session *session, struct sl_slice cipher);
/* SL_OK when done, SL_E_AGAIN, SL_E_PROTOCOL. */
SL_NODISCARD int sl_tls_handshake(struct sl_tls_session *session);
/* Plain bytes read, 0 for none now, SL_E_EOF after close_notify, SL_E_PROTOCOL. */
SL_NODISCARD int64_t sl_tls_read(struct sl_tls_session *session, char *out, size_t size);
/* Encrypts one record, at most SL_TLS_RECORD bytes. SL_OK or SL_E_PROTOCOL. */
SL_NODISCARD int sl_tls_write(struct sl_tls_session *session, struct sl_slice plain);
void sl_tls_close_notify(struct sl_tls_session *session);

struct sl_slice sl_tls_alpn(const struct sl_tls_session *session);
const char *sl_tls_version(const struct sl_tls_session *session);
/* Of the verified certificate that the client showed, as long as the session; NULL: none. */
const char *sl_tls_peer_subject(struct sl_tls_session *session);

/* What was produced since the last sl_tls_sent, which empties it. */
struct sl_slice sl_tls_output(void);
void sl_tls_sent(void);

#endif
