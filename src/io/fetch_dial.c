/*
 * curl_multi on the loop, for connecting alone (CURLOPT_CONNECT_ONLY). curl is driven from three
 * places: sockets that are ready, work that is due at once (a timeout of 0 ms: in the turn, never
 * by a timer), and its other timeouts. Its callbacks call nothing of ours but the watching of
 * sockets.
 *
 * Letting go: taking a handle out of its multi closes its connection, through a callback of ours.
 * That one keeps the descriptor which is `taken`.
 *
 * curl 7.88 closes sockets that it gives up while they connect (the loser of a race of two
 * addresses, a connect that took too long) behind our back, and says "stop watching" after that;
 * the next one may bear the same number.
 */
#include "io/fetch_dial.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sluice/base/mem.h"

/* The most that curl_easy_recv gives: a TLS record at least, so that curl never sits on a part of
 * one, of which the socket would not say that it can be read. */
#define PIPE_READ 32768L

/* ---- curl's sockets */

static struct sl_poll *find_poll(const struct sl_dialer *dialer, int fd) {
    return fd >= 0 && fd < dialer->poll_cap ? dialer->polls[fd] : NULL;
}

/* Descriptors are small numbers, the lowest handed out first: RLIMIT_NOFILE bounds this. */
static int cover(struct sl_dialer *dialer, int fd) {
    if (fd < dialer->poll_cap)
        return SL_OK;
    int cap = dialer->poll_cap ? dialer->poll_cap : 64;
    while (cap <= fd)
        cap *= 2;
    struct sl_poll **polls = sl_realloc(dialer->polls, (size_t)cap * sizeof(struct sl_poll *));
    if (!polls)
        return SL_E_NOMEM;
    memset(polls + dialer->poll_cap, 0,
           (size_t)(cap - dialer->poll_cap) * sizeof(struct sl_poll *));
    dialer->polls = polls;
    dialer->poll_cap = cap;
    return SL_OK;
}

static void forget(struct sl_dialer *dialer, int fd) {
    struct sl_poll *poll = find_poll(dialer, fd);
    if (poll)
        dialer->polls[fd] = NULL;
    sl_poll_close(poll);
}

static void on_ready(void *ctx, int fd, int events);

static struct sl_poll *watch(struct sl_dialer *dialer, int fd) {
    if (cover(dialer, fd) < 0)
        return NULL;
    if (!dialer->polls[fd])
        dialer->polls[fd] = sl_poll_open(dialer->loop->uv, fd, on_ready, dialer);
    return dialer->polls[fd];
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx) {
    (void)easy, (void)socket_ctx;
    struct sl_dialer *dialer = ctx;
    if (what == CURL_POLL_REMOVE) {
        forget(dialer, fd);
        return 0;
    }
    struct sl_poll *poll = watch(dialer, fd);
    if (poll) /* without memory for a resolver's socket the dial ends by its time limit */
        sl_poll_want(poll, (what & CURL_POLL_IN ? UV_READABLE : 0) |
                               (what & CURL_POLL_OUT ? UV_WRITABLE : 0));
    return 0;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    struct sl_dial *dial = ctx;
    struct sl_dialer *dialer = dial->dialer;
    dial->opened = true;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
                    address->protocol);
    if (fd < 0)
        return CURL_SOCKET_BAD;
    /* curl closed one of this number a moment ago and has not said so: if the same dial goes on
     * with this one, it will not say that it wants the same again. */
    struct sl_poll *old = find_poll(dialer, fd);
    int wanted = old ? sl_poll_wanted(old) : 0;
    forget(dialer, fd);
    struct sl_poll *poll = watch(dialer, fd);
    if (!poll) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    if (wanted)
        sl_poll_want(poll, wanted);
    return fd;
}

/* A connection outlives the dial that made it, in curl's eyes: ctx is the dialer. */
static int on_close(void *ctx, curl_socket_t fd) {
    struct sl_dialer *dialer = ctx;
    forget(dialer, fd);
    if (fd == dialer->taken) {
        dialer->taken = -1;
        return 0;
    }
    return close(fd);
}

/* ---- dials */

static void dial_free(struct sl_dial *dial) {
    curl_easy_cleanup(dial->easy);
    sl_list_remove(&dial->link);
    sl_free(dial);
}

/* The options that hold for every dial. */
static bool set_up_easy(struct sl_dial *dial) {
    CURL *e = dial->easy;
    return curl_easy_setopt(e, CURLOPT_PRIVATE, dial) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* else a cancel while a name is looked up waits for the resolver's thread */
           curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, dial->why) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           /* given, even if empty, so that curl does not search the environment */
           curl_easy_setopt(e, CURLOPT_NOPROXY, "") == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, dial) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, dial->dialer) == CURLE_OK;
}

static struct sl_dial *dial_new(struct sl_dialer *dialer) {
    struct sl_dial *dial = sl_calloc(1, sizeof(*dial));
    if (!dial)
        return NULL;
    sl_list_init(&dial->link);
    dial->dialer = dialer;
    dial->easy = curl_easy_init();
    if (dial->easy && set_up_easy(dial))
        return dial;
    dial_free(dial);
    return NULL;
}

static struct sl_dial *take_spare(struct sl_dialer *dialer) {
    struct sl_list *node = sl_list_pop_front(&dialer->spares);
    if (!node)
        return dial_new(dialer);
    dialer->spare_count--;
    return SL_CONTAINER(node, struct sl_dial, link);
}

/* It made its connection. One that failed or was cancelled is not used again: curl keeps buffers of
 * it, and refuses some options then. */
static void release(struct sl_dial *dial) {
    struct sl_dialer *dialer = dial->dialer;
    if (dialer->spare_count >= SL_DIAL_SPARES_MAX) {
        dial_free(dial);
        return;
    }
    sl_list_remove(&dial->link);
    sl_list_push_front(&dialer->spares, &dial->link);
    dialer->spare_count++;
}

static void detach(struct sl_dial *dial) {
    CURLMcode rc = curl_multi_remove_handle(dial->dialer->multi, dial->easy);
    assert(rc == CURLM_OK);
    (void)rc;
}

struct sl_dial *sl_dial_start(struct sl_dialer *dialer, const struct sl_dial_order *order,
                              void *ctx) {
    struct sl_dial *dial = take_spare(dialer);
    if (!dial)
        return NULL;
    CURL *e = dial->easy;
    dial->ctx = ctx;
    dial->piped = order->piped;
    dial->opened = false;
    dial->why[0] = '\0';
    if (curl_easy_setopt(e, CURLOPT_URL, order->url) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_PROXY, order->proxy) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, order->tunnel ? 1L : 0L) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, order->ca) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_BUFFERSIZE, order->piped ? PIPE_READ : 1024L) == CURLE_OK &&
        curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)order->limit_ms) == CURLE_OK &&
        curl_multi_add_handle(dialer->multi, e) == CURLM_OK) {
        sl_list_push_back(&dialer->busy, &dial->link);
        return dial;
    }
    dial_free(dial);
    return NULL;
}

void sl_dial_cancel(struct sl_dial *dial) {
    detach(dial);
    dial_free(dial);
}

enum sl_fetch_phase sl_dial_phase(const struct sl_dial *dial) {
    if (!dial->opened)
        return SL_FETCH_RESOLVE;
    curl_off_t connected = 0;
    curl_easy_getinfo(dial->easy, CURLINFO_CONNECT_TIME_T, &connected);
    return connected > 0 ? SL_FETCH_TLS : SL_FETCH_CONNECT;
}

static int64_t pipe_result(CURLcode code, size_t n) {
    switch (code) {
    case CURLE_OK:
        return n ? (int64_t)n : SL_E_EOF;
    case CURLE_AGAIN:
        return 0;
    default:
        return SL_E_IO;
    }
}

int64_t sl_dial_send(struct sl_dial *dial, struct sl_slice bytes) {
    size_t n = 0;
    CURLcode code = curl_easy_send(dial->easy, bytes.ptr, bytes.len, &n);
    return pipe_result(code, n);
}

int64_t sl_dial_recv(struct sl_dial *dial, char *out, size_t size) {
    size_t n = 0;
    CURLcode code = curl_easy_recv(dial->easy, out, size, &n);
    return pipe_result(code, n);
}

/* ---- results */

static void finish(struct sl_dial *dial, CURLcode code) {
    struct sl_dialer *dialer = dial->dialer;
    struct sl_dial_result result = {.code = code, .phase = sl_dial_phase(dial), .fd = -1};
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (code == CURLE_OK) {
        curl_easy_getinfo(dial->easy, CURLINFO_ACTIVESOCKET, &fd);
        if (fd == CURL_SOCKET_BAD)
            result.code = CURLE_COULDNT_CONNECT;
    }
    bool stays = result.code == CURLE_OK && dial->piped;
    if (stays) {
        forget(dialer, fd);
    } else {
        dialer->taken = fd;
        detach(dial);
        assert(dialer->taken == -1);
    }
    result.fd = fd;
    result.why = dial->why[0] ? dial->why : curl_easy_strerror(result.code);
    dialer->on_end(dial->ctx, &result);
    if (result.code != CURLE_OK)
        dial_free(dial);
    else if (!stays)
        release(dial);
}

static void act(struct sl_dialer *dialer, curl_socket_t fd, int flags) {
    int running, left;
    CURLMsg *msg;
    curl_multi_socket_action(dialer->multi, fd, flags, &running);
    while ((msg = curl_multi_info_read(dialer->multi, &left))) {
        struct sl_dial *dial = NULL;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&dial);
        finish(dial, code);
    }
}

static void on_ready(void *ctx, int fd, int events) {
    struct sl_dialer *dialer = ctx;
    sl_loop_tick(dialer->loop);
    act(dialer, fd,
        (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
            (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0));
}

/* ---- curl's time */

static void run_soon(struct sl_dialer *dialer) {
    dialer->due = true;
    sl_loop_want(dialer->loop, SL_TURN_WRITE);
}

static int on_timeout(CURLM *multi, long ms, void *ctx) {
    (void)multi;
    struct sl_dialer *dialer = ctx;
    dialer->timer_at = SL_NEVER;
    if (ms < 0) {
        sl_timer_clear(dialer->loop, &dialer->timer);
    } else if (ms == 0) {
        run_soon(dialer);
    } else {
        dialer->timer_at = dialer->loop->now + (uint64_t)ms * SL_NS_PER_MS;
        bool early_enough =
            sl_heap_linked(&dialer->timer.node) && dialer->timer.node.key <= dialer->timer_at;
        if (!early_enough && sl_timer_set(dialer->loop, &dialer->timer, dialer->timer_at) < 0)
            run_soon(dialer); /* curl asks again: a busy loop until there is memory */
    }
    return 0;
}

static void on_timer(void *ctx) {
    struct sl_dialer *dialer = ctx;
    if (dialer->timer_at > dialer->loop->now && dialer->timer_at != SL_NEVER &&
        sl_timer_set(dialer->loop, &dialer->timer, dialer->timer_at) == SL_OK)
        return;
    run_soon(dialer);
}

void sl_dialer_turn(struct sl_dialer *dialer) {
    if (!dialer->due)
        return;
    dialer->due = false;
    act(dialer, CURL_SOCKET_TIMEOUT, 0);
}

/* ---- dialers */

int sl_dialer_init(struct sl_dialer *dialer, struct sl_loop *loop,
                   void (*on_end)(void *ctx, const struct sl_dial_result *result)) {
    *dialer = (struct sl_dialer){.loop = loop, .on_end = on_end, .taken = -1, .timer_at = SL_NEVER};
    sl_list_init(&dialer->busy);
    sl_list_init(&dialer->spares);
    sl_timer_init(&dialer->timer, on_timer, dialer);
    CURLM *m = dialer->multi = curl_multi_init();
    return m && curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
                   curl_multi_setopt(m, CURLMOPT_SOCKETDATA, dialer) == CURLM_OK &&
                   curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timeout) == CURLM_OK &&
                   curl_multi_setopt(m, CURLMOPT_TIMERDATA, dialer) == CURLM_OK &&
                   curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK
               ? SL_OK
               : SL_E_NOMEM;
}

void sl_dialer_done(struct sl_dialer *dialer) {
    struct sl_list *node;
    assert(sl_list_empty(&dialer->busy));
    while ((node = sl_list_first(&dialer->spares)))
        dial_free(SL_CONTAINER(node, struct sl_dial, link));
    curl_multi_cleanup(dialer->multi);
    sl_timer_clear(dialer->loop, &dialer->timer);
    for (int fd = 0; fd < dialer->poll_cap; fd++)
        assert(!dialer->polls[fd]);
    sl_free(dialer->polls);
}
