/*
 * The sockets of curl's connections, watched through libuv: one uv_poll per socket, kept while the
 * connection lives, however many transfers it serves.
 *
 * curl says "stop watching" and "watch again" around every transfer; once a socket is connected the
 * first is only noted, so that a reused connection costs no system call. An event that comes while
 * nothing is wanted (the server closed an idle connection) stops the watch then.
 *
 * A socket that is still connecting is another matter: curl 7.88 closes those it gives up (the
 * loser of a race of two addresses, a connect that took too long) behind the application's back,
 * and says "stop watching" after that. So until a socket is first read from, that means: forget it.
 */
#ifndef SLUICE_SRC_IO_FETCH_POLL_H
#define SLUICE_SRC_IO_FETCH_POLL_H

#include <curl/curl.h>
#include <uv.h>

#include "sluice/base/error.h"

struct sl_fetch_poll;

struct sl_fetch_polls {
    uv_loop_t *uv;
    struct sl_fetch_poll **by_fd; /* indexed by descriptor, as large as the largest seen */
    int cap;
    /* flags: CURL_CSELECT_… */
    void (*on_ready)(void *ctx, curl_socket_t fd, int flags);
    void *ctx;
};

void sl_fetch_polls_init(struct sl_fetch_polls *polls, uv_loop_t *uv,
                         void (*on_ready)(void *ctx, curl_socket_t fd, int flags), void *ctx);
/* Frees the table; every socket must have been released. */
void sl_fetch_polls_done(struct sl_fetch_polls *polls);
/* A socket that we opened for curl. SL_E_NOMEM: it is not watched, close it. */
SL_NODISCARD int sl_fetch_polls_opened(struct sl_fetch_polls *polls, curl_socket_t fd);
/* What curl wants to know of a socket now (CURL_POLL_…); it may be one that curl opened itself, for
 * its resolver. */
void sl_fetch_polls_watch(struct sl_fetch_polls *polls, curl_socket_t fd, int what);
/* Before the descriptor is closed. */
void sl_fetch_polls_release(struct sl_fetch_polls *polls, curl_socket_t fd);

#endif
