#include "io/fetch_link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "io/fetch_impl.h"
#include "sluice/base/mem.h"

/* Cipher text read in one go: with a record that was begun before, its plain text fits `plain`. */
#define CIPHER_READ 32768
#define SLICES_MAX  16
/* Records a send makes; tls.c's output has room for them. */
#define RECORDS_MAX 3
#define OUT_MAX     65536

static _Thread_local char plain[SL_LINK_READ + SL_TLS_RECORD + 1];
static _Thread_local char cipher[CIPHER_READ];
static _Thread_local char record[SL_TLS_RECORD];

/* ---- raw bytes: the socket, or curl's TLS to a proxy */

static int broken(struct sl_link *link) {
    link->errno_seen = errno;
    return SL_E_IO;
}

static int64_t push(struct sl_link *link, const struct iovec *parts, size_t count) {
    if (link->dial)
        return sl_dial_send(link->dial, sl_slice_of(parts[0].iov_base, parts[0].iov_len));
    const struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t n = sendmsg(link->fd, &message, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? 0 : broken(link);
}

static int64_t pull(struct sl_link *link, char *out, size_t size) {
    if (link->dial)
        return sl_dial_recv(link->dial, out, size);
    ssize_t n = recv(link->fd, out, size, 0);
    if (n > 0)
        return n;
    if (n == 0)
        return SL_E_EOF;
    return errno == EAGAIN || errno == EINTR ? 0 : broken(link);
}

/* ---- cipher text on its way out */

bool sl_link_has_more(const struct sl_link *link) {
    return link->ended != 0;
}

bool sl_link_drained(const struct sl_link *link) {
    return link->out.len == 0;
}

int sl_link_flush(struct sl_link *link) {
    while (link->out.len > 0) {
        const struct iovec part = {link->out.ptr + link->out_at, link->out.len - link->out_at};
        int64_t n = push(link, &part, 1);
        if (n <= 0)
            return (int)n;
        link->out_at += (size_t)n;
        if (link->out_at == link->out.len) {
            sl_buf_done(&link->out);
            link->out_at = 0;
        }
    }
    return SL_OK;
}

/* Sends what TLS has produced, or keeps it: the thread's output must be empty before another
 * session uses it. */
static int drain_tls(struct sl_link *link) {
    struct sl_slice made = sl_tls_output();
    if (made.len == 0)
        return SL_OK;
    int64_t n = 0;
    if (link->out.len == 0) {
        const struct iovec part = {(char *)made.ptr, made.len};
        n = push(link, &part, 1);
    }
    struct sl_slice rest = sl_slice_skip(made, n > 0 ? (size_t)n : 0);
    int rc = n < 0 ? (int)n : rest.len > 0 ? sl_buf_add(&link->out, rest) : SL_OK;
    sl_tls_sent();
    if (rc == SL_OK && link->out.len > 0 && link->poll)
        sl_poll_want(link->poll, sl_poll_wanted(link->poll) | UV_WRITABLE);
    return rc;
}

/* The next record's worth of the slices: a slice of its own if it fills one, else a copy of
 * several, so that a small head and body are one record. */
static struct sl_slice next_record(const struct sl_slice *slices, size_t count, uint64_t skip) {
    size_t len = 0;
    for (size_t i = 0; i < count && len < SL_TLS_RECORD; i++) {
        struct sl_slice s = slices[i];
        if (skip >= s.len) {
            skip -= s.len;
            continue;
        }
        s = sl_slice_skip(s, (size_t)skip);
        skip = 0;
        if (len == 0 && (s.len >= SL_TLS_RECORD || i + 1 == count))
            return sl_slice_head(s, SL_TLS_RECORD);
        s = sl_slice_head(s, SL_TLS_RECORD - len);
        memcpy(record + len, s.ptr, s.len);
        len += s.len;
    }
    return sl_slice_of(record, len);
}

static int64_t send_tls(struct sl_link *link, const struct sl_slice *slices, size_t count) {
    int rc = sl_link_flush(link);
    if (rc < 0 || link->out.len > 0)
        return rc;
    int64_t taken = 0;
    for (int i = 0; i < RECORDS_MAX; i++) {
        struct sl_slice r = next_record(slices, count, (uint64_t)taken);
        if (r.len == 0)
            break;
        if (sl_tls_write(link->tls, r) < 0) {
            link->why = "TLS refused to send";
            rc = SL_E_IO;
            break;
        }
        taken += (int64_t)r.len;
    }
    int sent = drain_tls(link);
    return rc < 0 ? rc : sent < 0 ? sent : taken;
}

int64_t sl_link_send(struct sl_link *link, const struct sl_slice *slices, size_t count) {
    assert(count > 0 && count <= SLICES_MAX);
    if (link->tls)
        return send_tls(link, slices, count);
    struct iovec parts[SLICES_MAX];
    for (size_t i = 0; i < count; i++)
        parts[i] = (struct iovec){(char *)slices[i].ptr, slices[i].len};
    return push(link, parts, count);
}

/* ---- receiving */

static int64_t read_plain(struct sl_link *link, size_t from) {
    int64_t n = sl_tls_read(link->tls, plain + from, sizeof(plain) - from);
    if (n < 0 && n != SL_E_EOF) {
        link->why = "a TLS record is malformed";
        n = SL_E_IO;
    }
    int rc = drain_tls(link); /* answers to key updates */
    return rc < 0 && n == 0 ? rc : n;
}

static int64_t recv_tls(struct sl_link *link) {
    if (link->ended)
        return link->ended;
    int64_t raw = pull(link, cipher, sizeof(cipher));
    if (raw == 0)
        return 0;
    if (raw < 0) {
        link->why = raw == SL_E_EOF ? "the connection ended without TLS saying so" : NULL;
        return SL_E_IO;
    }
    sl_tls_feed(link->tls, sl_slice_of(cipher, (size_t)raw));
    int64_t n = read_plain(link, 0);
    if (n > 0) {
        /* An end that came along shows only when it is asked for. */
        int64_t end = read_plain(link, (size_t)n);
        link->ended = end < 0 ? (int)end : 0;
    }
    return n;
}

int64_t sl_link_recv(struct sl_link *link, char **bytes) {
    *bytes = plain;
    return link->tls ? recv_tls(link) : pull(link, plain, SL_LINK_READ);
}

const char *sl_link_why(const struct sl_link *link) {
    return link->why          ? link->why
           : link->errno_seen ? strerror(link->errno_seen)
                              : "the connection broke";
}

/* ---- opening */

static void on_ready(void *ctx, int fd, int events);

static void opened(struct sl_link *link) {
    link->state = SL_LINK_BUSY;
    link->route->client->stats.connections_made++;
    sl_link_want(link, true, false);
    sl_fetch_on_open(link->user);
}

/* result->why must not be the link's. */
static void give_up(struct sl_link *link, const struct sl_fetch_result *result) {
    struct sl_fetch *user = link->user;
    sl_link_close(link);
    sl_fetch_on_unreachable(user, result);
}

static void give_up_tls(struct sl_link *link, int error, const char *why) {
    give_up(link, &(struct sl_fetch_result){error, SL_FETCH_TLS, why});
}

static void shake(struct sl_link *link) {
    char why[SL_FETCH_WHY_MAX];
    int rc = sl_tls_handshake(link->tls);
    int failure = rc == SL_OK || rc == SL_E_AGAIN ? 0 : sl_tls_failure(link->tls, why, sizeof(why));
    int sent = drain_tls(link); /* an alert too */
    if (failure) {
        give_up_tls(link, failure, why);
    } else if (sent < 0) {
        give_up_tls(link, SL_E_IO, "the connection broke in the TLS handshake");
    } else if (rc == SL_OK) {
        if (read_plain(link, 0) != 0) /* tickets may lie behind the handshake, but nothing else */
            give_up_tls(link, SL_E_IO, "the server spoke before it was asked");
        else
            opened(link);
    }
}

static void shake_on(struct sl_link *link, int events) {
    if (events & UV_WRITABLE) {
        if (sl_link_flush(link) < 0) {
            give_up_tls(link, SL_E_IO, "the connection broke in the TLS handshake");
            return;
        }
        sl_link_want(link, true, false);
    }
    int64_t n = events & UV_READABLE ? pull(link, cipher, sizeof(cipher)) : 0;
    if (n < 0) {
        give_up_tls(link, SL_E_IO, "the connection was closed in the TLS handshake");
    } else if (n > 0) {
        sl_tls_feed(link->tls, sl_slice_of(cipher, (size_t)n));
        shake(link);
    }
}

static void start_tls(struct sl_link *link) {
    struct sl_fetch_route *route = link->route;
    char why[SL_FETCH_WHY_MAX];
    struct sl_tls *tls =
        sl_fetch_trust_tls(route->trust, route->client->loop->now, why, sizeof(why));
    if (!tls) {
        give_up_tls(link, SL_E_DENIED, why);
        return;
    }
    link->tls = sl_tls_session_connect(tls, route->host, &route->ticket);
    if (!link->tls) {
        give_up_tls(link, SL_E_NOMEM, "out of memory");
        return;
    }
    link->state = SL_LINK_SHAKING;
    sl_link_want(link, true, false);
    shake(link);
}

void sl_link_on_dialed(void *ctx, const struct sl_dial_result *dialed) {
    struct sl_link *link = ctx;
    struct sl_dial *dial = link->dial;
    link->dial = NULL; /* it is over */
    if (dialed->code != CURLE_OK) {
        struct sl_fetch_result result = sl_fetch_explain_dial(dialed);
        give_up(link, &result);
        return;
    }
    if (link->route->dial.piped)
        link->dial = dial;
    link->fd = dialed->fd;
    link->poll = sl_poll_open(link->route->client->loop->uv, link->fd, on_ready, link);
    if (!link->poll)
        give_up(link, &(struct sl_fetch_result){SL_E_NOMEM, SL_FETCH_CONNECT, "out of memory"});
    else if (link->route->trust)
        start_tls(link);
    else
        opened(link);
}

struct sl_link *sl_link_open(struct sl_fetch_route *route, struct sl_fetch *user,
                             uint32_t connect_ms) {
    struct sl_link *link = sl_calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    sl_list_init(&link->link);
    sl_list_init(&link->age);
    sl_buf_init(&link->out, OUT_MAX);
    link->state = SL_LINK_DIALING;
    link->route = route;
    link->user = user;
    link->fd = -1;
    struct sl_dial_order order = route->dial;
    order.limit_ms = connect_ms;
    link->dial = sl_dial_start(&route->client->dialer, &order, link);
    if (!link->dial) {
        sl_free(link);
        return NULL;
    }
    route->client->links++;
    route->refs++;
    return link;
}

/* ---- closing and idling */

static void say_goodbye(struct sl_link *link) {
    if (!link->tls || link->state < SL_LINK_BUSY || link->out.len > 0)
        return;
    sl_tls_close_notify(link->tls);
    struct sl_slice made = sl_tls_output();
    const struct iovec part = {(char *)made.ptr, made.len};
    if (made.len > 0 && push(link, &part, 1) < 0)
        link->why = NULL; /* it was broken before */
    sl_tls_sent();
}

void sl_link_close(struct sl_link *link) {
    say_goodbye(link);
    sl_poll_close(link->poll);
    sl_tls_session_free(link->tls);
    if (link->dial)
        sl_dial_cancel(link->dial);
    else if (link->fd >= 0)
        close(link->fd);
    sl_buf_done(&link->out);
    sl_list_remove(&link->link);
    sl_list_remove(&link->age);
    link->route->client->links--;
    sl_fetch_route_put(link->route);
    sl_free(link);
}

static struct sl_link *oldest_idle(struct sl_fetch_client *client) {
    struct sl_list *node = sl_list_first(&client->idle);
    return node ? SL_CONTAINER(node, struct sl_link, age) : NULL;
}

/* The timer is set for the oldest when none is set; it looks again when it fires, so that taking
 * and parking touch no timer. Without memory for it the next parking tries again. */
static void watch_idle(struct sl_fetch_client *client) {
    struct sl_link *oldest = oldest_idle(client);
    if (oldest && !sl_heap_linked(&client->idle_timer.node) &&
        sl_timer_set(client->loop, &client->idle_timer,
                     oldest->idle_since + SL_LINK_IDLE_MS * SL_NS_PER_MS) < 0)
        return;
}

void sl_link_on_idle_timer(void *ctx) {
    struct sl_fetch_client *client = ctx;
    struct sl_link *link;
    while ((link = oldest_idle(client)) &&
           link->idle_since + SL_LINK_IDLE_MS * SL_NS_PER_MS <= client->loop->now)
        sl_link_close(link);
    watch_idle(client);
}

void sl_link_park(struct sl_link *link) {
    struct sl_fetch_client *client = link->route->client;
    assert(link->state == SL_LINK_BUSY && sl_link_drained(link));
    if (link->route->abandoned) {
        sl_link_close(link);
        return;
    }
    link->state = SL_LINK_IDLE;
    link->user = NULL;
    link->idle_since = client->loop->now;
    sl_list_push_front(&link->route->idle, &link->link);
    sl_list_push_back(&client->idle, &link->age);
    sl_link_want(link, true, false);
    watch_idle(client);
    if (client->links > client->links_max)
        sl_link_close(oldest_idle(client));
}

struct sl_link *sl_link_take(struct sl_fetch_route *route, struct sl_fetch *user) {
    struct sl_list *node = sl_list_pop_front(&route->idle);
    if (!node)
        return NULL;
    struct sl_link *link = SL_CONTAINER(node, struct sl_link, link);
    sl_list_remove(&link->age);
    link->state = SL_LINK_BUSY;
    link->user = user;
    link->reused = true;
    return link;
}

/* ---- events */

void sl_link_want(struct sl_link *link, bool readable, bool writable) {
    writable = writable || link->out.len > 0;
    sl_poll_want(link->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0));
}

/* Nothing may come on an idle connection, but for what TLS says to itself. */
static void on_idle_ready(struct sl_link *link) {
    char *bytes;
    if (!link->tls || sl_link_recv(link, &bytes) != 0 || sl_link_flush(link) < 0)
        sl_link_close(link);
    else
        sl_link_want(link, true, false);
}

static void on_ready(void *ctx, int fd, int events) {
    (void)fd;
    struct sl_link *link = ctx;
    sl_loop_tick(link->route->client->loop);
    switch (link->state) {
    case SL_LINK_DIALING:
        break;
    case SL_LINK_SHAKING:
        shake_on(link, events);
        break;
    case SL_LINK_BUSY:
        sl_fetch_on_ready(link->user, events);
        break;
    case SL_LINK_IDLE:
        on_idle_ready(link);
        break;
    }
}
