/*
 * Connections, made by libcurl: names looked up, addresses raced, proxies asked. Once a connection
 * stands curl lets go of it: the descriptor is the caller's, and nothing of curl's stays behind.
 *
 * One exception: below what is sent through an HTTPS proxy lies curl's own TLS. Such a connection
 * stays with its dial, and its bytes go through curl.
 */
#ifndef SLUICE_SRC_IO_FETCH_DIAL_H
#define SLUICE_SRC_IO_FETCH_DIAL_H

#include <curl/curl.h>

#include "io/fetch_poll.h"
#include "sluice/base/slice.h"
#include "sluice/io/fetch.h"

/* Easy handles kept for the next connections (about 6 KB each). */
#define SL_DIAL_SPARES_MAX 16

struct sl_dial_order {
    const char *url;   /* "http://host:port", whatever is spoken there */
    const char *proxy; /* "": none */
    bool tunnel;       /* an HTTP proxy is asked to CONNECT */
    bool piped;        /* an HTTPS proxy: the dial stays below the connection */
    const char *ca;    /* what an HTTPS proxy is verified with */
    uint32_t limit_ms; /* 0: none of the caller's */
};

struct sl_dial_result {
    CURLcode code;
    enum sl_fetch_phase phase; /* how far it came */
    const char *why;           /* curl's words; valid during the call */
    int fd;                    /* where it is connected: to be closed, unless the dial is piped */
};

struct sl_dial {
    struct sl_list link;
    struct sl_dialer *dialer;
    CURL *easy;
    void *ctx;
    bool piped;
    bool opened; /* an address is known */
    char why[CURL_ERROR_SIZE];
};

struct sl_dialer {
    struct sl_loop *loop;
    CURLM *multi;
    /* The end of a dial, which is over with it unless it is piped and came to stand. Fired with
     * nothing of curl on the stack, and never from inside sl_dial_start. */
    void (*on_end)(void *ctx, const struct sl_dial_result *result);
    struct sl_poll **polls; /* of curl's sockets, by descriptor */
    int poll_cap;
    int taken;             /* the descriptor that curl is made to let go of; -1 */
    struct sl_timer timer; /* curl's next timeout */
    uint64_t timer_at;     /* when curl wants to be run; the timer may be set for earlier */
    bool due;              /* curl wants to be run now */
    struct sl_list busy, spares;
    uint32_t spare_count;
};

/* After an error, and in any case at the end: sl_dialer_done, when no dial runs. */
SL_NODISCARD int sl_dialer_init(struct sl_dialer *dialer, struct sl_loop *loop,
                                void (*on_end)(void *ctx, const struct sl_dial_result *result));
void sl_dialer_done(struct sl_dialer *dialer);
/* Runs what curl wants to be run now. */
void sl_dialer_turn(struct sl_dialer *dialer);

/* NULL when out of memory. */
SL_NODISCARD struct sl_dial *sl_dial_start(struct sl_dialer *dialer,
                                           const struct sl_dial_order *order, void *ctx);
/* Also closes a piped connection. */
void sl_dial_cancel(struct sl_dial *dial);
/* RESOLVE, CONNECT, or TLS while a proxy is asked. */
enum sl_fetch_phase sl_dial_phase(const struct sl_dial *dial);

/* Bytes through a piped dial: how many; 0 when it would block, SL_E_EOF, SL_E_IO. */
SL_NODISCARD int64_t sl_dial_send(struct sl_dial *dial, struct sl_slice bytes);
SL_NODISCARD int64_t sl_dial_recv(struct sl_dial *dial, char *out, size_t size);

#endif
