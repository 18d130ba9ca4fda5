/*
 * A byte stream to a client: TCP, or TLS over TCP, behind one contract. Plain bytes
 * in and out; the protocol above does not know which it is.
 *
 * Reading is on from the start and may be stopped. Writing takes what fits now: what a
 * write does not take is offered again after on_writable. At most SL_CONN_PENDING_MAX bytes
 * wait inside (ciphertext, or what the kernel did not take).
 */
#ifndef SLUICE_IO_CONN_H
#define SLUICE_IO_CONN_H

#include "sluice/base/slice.h"
#include "sluice/io/loop.h"

/* Two TLS records and a little: enough to keep a fast peer busy, small enough to hold for
 * thousands. */
#define SL_CONN_PENDING_MAX 40960

struct sl_conn;
struct sl_tls;

struct sl_conn_handler {
    /* Handshake done (at once on TCP). alpn is empty where none was agreed. */
    void (*on_open)(void *ctx, struct sl_slice alpn);
    /* Bytes, valid during the call; all are taken. May stop reading or close. */
    void (*on_read)(void *ctx, struct sl_slice bytes);
    /* The peer sent FIN (or close_notify): nothing more will come; writing still works. */
    void (*on_eof)(void *ctx);
    /* A write that took less than offered may go on. */
    void (*on_writable)(void *ctx);
    /* Terminal, exactly once, also after sl_conn_close: the connection is freed behind it. error is
     * 0 after sl_conn_close, else why it broke (SL_E_IO, SL_E_PROTOCOL for TLS). Never called from
     * inside a call into this module. */
    void (*on_close)(void *ctx, int error);
};

void sl_conn_set_handler(struct sl_conn *conn, const struct sl_conn_handler *handler, void *ctx);
/* Writes as much of the slices as fits; bytes taken, or SL_E_IO (on_close follows). */
SL_NODISCARD int64_t sl_conn_write(struct sl_conn *conn, const struct sl_slice *slices,
                                   size_t count);
/* What was received already (one read of at most 64 KiB) may still come. */
void sl_conn_read_stop(struct sl_conn *conn);
void sl_conn_read_start(struct sl_conn *conn);
/* Sends FIN (and close_notify) once what is pending has left; nothing can be written behind it. */
void sl_conn_shutdown(struct sl_conn *conn);
/* Closes; pending bytes get no further chance. `reset` sends RST instead of FIN. */
void sl_conn_close(struct sl_conn *conn, bool reset);
/* Bytes that wait inside. */
size_t sl_conn_pending(const struct sl_conn *conn);

struct sl_conn_info {
    char peer[64]; /* "192.0.2.1:4711", "[2001:db8::1]:4711" */
    char local[64];
    bool tls;
    const char *tls_version; /* "TLSv1.3" or NULL */
    const char *subject;     /* of the client's verified certificate, RFC 2253 ("CN=app,O=Example");
                              * NULL:     none was shown */
};
const struct sl_conn_info *sl_conn_info(const struct sl_conn *conn);

/*
 * TLS settings shared by connections, reference-counted inside, so that a reload swaps
 * certificates while old connections live on. TLS 1.2 and 1.3, ALPN h2 and http/1.1.
 */
struct sl_tls_settings {
    const char *certificate; /* PEM file: chain, leaf first */
    const char *key;         /* PEM file */
    const char *
        client_ca; /* PEM file: clients must show a certificate by one of these; NULL: none asked */
};
/* On failure NULL, and a sentence that names the file in `why`. */
SL_NODISCARD struct sl_tls *sl_tls_new(const struct sl_tls_settings *settings, char *why,
                                       size_t why_size);
void sl_tls_free(struct sl_tls *tls); /* drops one reference */

/*
 * A listening socket. on_accept gets each new connection, which it must give a handler at once,
 * or close. tls may be NULL; sl_conn_listener_set_tls changes it for connections to come. Both take
 * a reference of their own.
 */
struct sl_conn_listener;
struct sl_conn_listener_settings {
    const char *host; /* numeric address, or a name that is resolved at start */
    uint16_t port;    /* 0: the kernel picks one */
    int fd;           /* a bound TCP socket to use instead, taken over; 0: none */
    int backlog;
};
SL_NODISCARD struct sl_conn_listener *
sl_conn_listen(struct sl_loop *loop, const struct sl_conn_listener_settings *settings,
               struct sl_tls *tls, void (*on_accept)(void *ctx, struct sl_conn *conn), void *ctx,
               char *why, size_t why_size);
void sl_conn_listener_set_tls(struct sl_conn_listener *listener, struct sl_tls *tls);
/* "127.0.0.1:8080", with the port the kernel picked. */
const char *sl_conn_listener_address(const struct sl_conn_listener *listener);
/* Stops and resumes accepting (at the connection limit). */
void sl_conn_listener_pause(struct sl_conn_listener *listener, bool paused);
void sl_conn_listener_close(struct sl_conn_listener *listener);

#endif
