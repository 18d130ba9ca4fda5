/*
 * A client's end of a loopback connection for tests that run server and client in one thread: the
 * socket does not block, and whoever waits for something runs the loop meanwhile.
 */
#ifndef SLUICE_TESTS_SOCKET_CLIENT_H
#define SLUICE_TESTS_SOCKET_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "sluice/base/buf.h"
#include "sluice/base/clock.h"

#define CLIENT_PATIENCE (20 * SL_NS_PER_S) /* then what is waited for will not come */

struct client {
    int fd;
    struct sl_buf got;
    bool eof, reset;
};

/* address: "127.0.0.1:port". The kernel accepts; the loop need not run for it. */
static inline void client_open(struct client *c, const char *address) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    in.sin_port = htons((uint16_t)strtoul(strchr(address, ':') + 1, NULL, 10));
    *c = (struct client){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    sl_buf_init(&c->got, 1 << 26);
    assert_true(c->fd >= 0);
    int one = 1;
    assert_int_equal(setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)), 0);
    assert_int_equal(connect(c->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
}

static inline void client_close(struct client *c) {
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    sl_buf_done(&c->got);
}

/* Leaves with RST. */
static inline void client_reset(struct client *c) {
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    client_close(c);
}

/* What the socket takes now; bytes, or -1 when the server has closed. */
static inline int64_t client_try_send(struct client *c, struct sl_slice s) {
    ssize_t n = send(c->fd, s.ptr, s.len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN ? 0 : -1;
}

/* Takes what is there into `got`, at most `max` bytes. */
static inline void client_read(struct client *c, size_t max) {
    char chunk[65536];
    ssize_t n;
    while (max > 0 && !c->eof && !c->reset) {
        n = recv(c->fd, chunk, max < sizeof(chunk) ? max : sizeof(chunk), 0);
        if (n < 0) {
            c->reset = errno != EAGAIN;
            return;
        }
        c->eof = n == 0;
        assert_int_equal(sl_buf_add(&c->got, sl_slice_of(chunk, (size_t)n)), SL_OK);
        max -= (size_t)n;
    }
}

/* Runs the loop, never waiting, until `done` says so. False when patience is at its end. */
static inline bool pump_until(uv_loop_t *uv, bool (*done)(void *ctx), void *ctx) {
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    while (!done(ctx)) {
        if (sl_clock_monotonic() > end)
            return false;
        uv_run(uv, UV_RUN_NOWAIT);
    }
    return true;
}

/* Sends all of it, running the loop while the socket takes none. False: the server closed. */
static inline bool client_send(uv_loop_t *uv, struct client *c, struct sl_slice s) {
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    while (s.len > 0 && sl_clock_monotonic() < end) {
        int64_t n = client_try_send(c, s);
        if (n < 0)
            return false;
        s = sl_slice_skip(s, (size_t)n);
        if (s.len > 0)
            uv_run(uv, UV_RUN_NOWAIT);
    }
    return s.len == 0;
}

struct client_wait {
    struct client *c;
    struct sl_slice text;
    size_t bytes;
};

static inline bool client_ended(void *ctx) {
    struct client *c = ctx;
    client_read(c, SIZE_MAX);
    return c->eof || c->reset;
}

static inline bool client_has_text(void *ctx) {
    struct client_wait *wait = ctx;
    client_read(wait->c, SIZE_MAX);
    return sl_slice_search(sl_buf_slice(&wait->c->got), wait->text) < wait->c->got.len ||
           wait->c->eof || wait->c->reset;
}

static inline bool client_has_bytes(void *ctx) {
    struct client_wait *wait = ctx;
    client_read(wait->c, SIZE_MAX);
    return wait->c->got.len >= wait->bytes || wait->c->eof || wait->c->reset;
}

/* Waits until `text` has come; false when the connection ended without it. */
static inline bool client_expect(uv_loop_t *uv, struct client *c, const char *text) {
    struct client_wait wait = {.c = c, .text = sl_slice_str(text)};
    return pump_until(uv, client_has_text, &wait) &&
           sl_slice_search(sl_buf_slice(&c->got), wait.text) < c->got.len;
}

#endif
