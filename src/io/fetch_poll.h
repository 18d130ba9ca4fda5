/*
 * The sockets of curl's connections, watched through libuv: one uv_poll per socket, kept while the
 * connection lives, however many transfers it serves.
 *
 * curl says "stop watching" and "watch again" around every transfer; for a kept socket the first is
 * only noted, so that a reused connection costs no system call. An event that comes while nothing is
 * wanted (the server closed an idle connection) stops the watch then.
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
/* A socket that lives until it is released, and is never closed without. */
SL_NODISCARD int sl_fetch_polls_keep(struct sl_fetch_polls *polls, curl_socket_t fd);
/* What curl wants to know of a socket now (CURL_POLL_…). One that was not kept is forgotten with
 * CURL_POLL_REMOVE: curl's resolver opens and closes such ones by itself. */
void sl_fetch_polls_watch(struct sl_fetch_polls *polls, curl_socket_t fd, int what);
/* Before the descriptor is closed. */
void sl_fetch_polls_release(struct sl_fetch_polls *polls, curl_socket_t fd);

#endif
