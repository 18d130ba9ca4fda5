/*
 * The load generator of ./dev bench peers. One thread, epoll and a timerfd; sends one request over
 * and over, as bytes made elsewhere, and reads HTTP/1.1 answers.
 *
 *   load closed PORT REQUEST connections seconds         as fast as answers come
 *   load open   PORT REQUEST connections seconds rate    at a rate, whatever happens
 *   load hold   PORT REQUEST connections                 an answer each, one by one; then idle
 *   load stream PORT REQUEST connections rate            streams begun at a rate, then kept open
 *
 * At a rate, a request's time runs from the moment it was due, not from when it could be sent: a
 * server that stalls cannot hide what would have waited meanwhile (coordinated omission).
 *
 * closed and open print one JSON object when they are done. hold and stream print it once all
 * connections are idle, or have their first token, or ten seconds brought nothing new; then they
 * wait for SIGTERM. Times are in microseconds; `first` is the time to the first token.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "sluice/base/clock.h"
#include "sluice/base/mem.h"

#define REQUEST_MAX     65536
#define HEAD_MAX        16384
#define CONNECTIONS_MAX 20000
#define SAMPLES_MAX     (8u << 20)
#define EVENTS          256
#define PATIENCE        (10 * SL_NS_PER_S)
#define TOKEN           "first-token"

enum mode { CLOSED, OPEN, HOLD, STREAM };
enum part { IDLE, HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, UNTIL_CLOSE };

struct conn {
    int fd; /* -1: none yet */
    enum part part;
    uint64_t begun;
    uint64_t left;            /* of the body, or the chunk */
    size_t sent;              /* of the request; the rest when the socket takes it */
    size_t have;              /* of the head, or of a line of the chunked framing */
    bool first, closes;       /* the first token has come; the server ends the connection */
    char *head;               /* HEAD_MAX */
    char tail[sizeof(TOKEN)]; /* of the piece before, for a token that lies across two */
    size_t tail_len;
    struct conn *next; /* among the idle */
};

static enum mode mode;
static struct sockaddr_in address;
static char request[REQUEST_MAX];
static size_t request_len;
static struct conn *conns, *idle;
static size_t conn_count, opened, finished, firsts, errors;
static uint64_t rate, begin, end, due_count, news;
static uint32_t *samples;
static size_t sample_count;
static int epoll_fd, timer_fd;
static volatile sig_atomic_t stopped;

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- connections ---- */

static void sample(uint64_t from, uint64_t now) {
    uint64_t us = (now - from) / 1000;
    if (sample_count < SAMPLES_MAX)
        samples[sample_count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
    news = now;
}

static void watch(struct conn *c, int op, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (epoll_ctl(epoll_fd, op, c->fd, &event) < 0)
        die("epoll_ctl");
}

static void connect_conn(struct conn *c) {
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 &&
        errno != EINPROGRESS)
        die("connect");
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void send_rest(struct conn *c) {
    ssize_t n = send(c->fd, request + c->sent, request_len - c->sent, MSG_NOSIGNAL);
    if (n > 0)
        c->sent += (size_t)n;
    /* Also while it is being connected. A broken connection is seen by reading. */
    watch(c, EPOLL_CTL_MOD, c->sent < request_len ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void start(struct conn *c, uint64_t due) {
    if (c->fd < 0)
        connect_conn(c);
    c->part = HEAD;
    c->begun = due;
    c->have = c->sent = c->tail_len = 0;
    c->first = c->closes = false;
    ssize_t n = send(c->fd, request, request_len, MSG_NOSIGNAL);
    c->sent = n > 0 ? (size_t)n : 0;
    if (c->sent < request_len)
        watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
}

static void start_next(uint64_t now) {
    if (opened < conn_count)
        start(&conns[opened++], now);
}

static void disconnect(struct conn *c) {
    close(c->fd);
    c->fd = -1;
}

static void rest(struct conn *c, uint64_t now) {
    c->part = IDLE;
    if (mode == CLOSED && now < end)
        start(c, now);
    else if (mode == HOLD)
        start_next(now);
    else if (mode == OPEN) {
        c->next = idle;
        idle = c;
    }
}

static void finish(struct conn *c, uint64_t now) {
    finished++;
    sample(c->begun, now);
    if (c->closes)
        disconnect(c);
    rest(c, now);
}

static void fail(struct conn *c, uint64_t now) {
    bool busy = c->part != IDLE;
    errors += busy;
    disconnect(c);
    if (busy)
        rest(c, now);
}

/* ---- answers ---- */

static const char *header(const char *head, const char *name) {
    const char *at = strcasestr(head, name);
    return at ? at + strlen(name) : NULL;
}

/* False: no good answer. */
static bool read_head(struct conn *c, uint64_t now) {
    c->head[c->have] = '\0';
    const char *length = header(c->head, "\r\ncontent-length:");
    const char *encoding = header(c->head, "\r\ntransfer-encoding:");
    const char *connection = header(c->head, "\r\nconnection:");
    if (strncmp(c->head, "HTTP/1.1 200", 12) != 0) {
        if (errors == 0)
            fprintf(stderr, "load: %.*s\n", (int)strcspn(c->head, "\r"), c->head);
        return false;
    }
    c->closes = connection && strncasecmp(connection + strspn(connection, " "), "close", 5) == 0;
    c->left = length ? strtoull(length, NULL, 10) : 0;
    c->have = 0;
    c->part = encoding ? CHUNK_SIZE : length ? BODY : UNTIL_CLOSE;
    if (c->part == BODY && c->left == 0)
        finish(c, now);
    return true;
}

static void look_for_token(struct conn *c, const char *bytes, size_t len, uint64_t now) {
    char joint[2 * sizeof(TOKEN)];
    size_t n = len < sizeof(TOKEN) - 1 ? len : sizeof(TOKEN) - 1;
    if (c->first || mode != STREAM)
        return;
    memcpy(joint, c->tail, c->tail_len);
    memcpy(joint + c->tail_len, bytes, n);
    c->first = memmem(joint, c->tail_len + n, TOKEN, sizeof(TOKEN) - 1) ||
               memmem(bytes, len, TOKEN, sizeof(TOKEN) - 1);
    if (c->first) {
        firsts++;
        sample(c->begun, now);
        return;
    }
    size_t all = c->tail_len + n, keep = all < sizeof(TOKEN) - 2 ? all : sizeof(TOKEN) - 2;
    if (n < len)
        memcpy(c->tail, bytes + len - keep, keep);
    else
        memmove(c->tail, joint + all - keep, keep);
    c->tail_len = keep;
}

/* A line of the chunked framing; returns the bytes it took. */
static size_t read_line(struct conn *c, const char *bytes, size_t len, uint64_t now) {
    const char *lf = memchr(bytes, '\n', len);
    size_t n = lf ? (size_t)(lf - bytes) + 1 : len;
    size_t room = HEAD_MAX - 1 - c->have, kept = n < room ? n : room;
    memcpy(c->head + c->have, bytes, kept);
    c->have += kept;
    if (!lf)
        return n;
    c->head[c->have] = '\0';
    if (c->part == CHUNK_SIZE) {
        c->left = strtoull(c->head, NULL, 16);
        c->part = c->left ? CHUNK : TRAILER;
    } else if (c->part == CHUNK_END) {
        c->part = CHUNK_SIZE;
    } else if (c->head[0] == '\r' || c->head[0] == '\n') {
        finish(c, now);
    }
    c->have = 0;
    return n;
}

static size_t take_head(struct conn *c, const char *bytes, size_t len, uint64_t now) {
    size_t room = HEAD_MAX - 1 - c->have, n = len < room ? len : room, before = c->have;
    memcpy(c->head + before, bytes, n);
    c->have += n;
    char *blank = memmem(c->head, c->have, "\r\n\r\n", 4);
    if (!blank) {
        if (c->have == HEAD_MAX - 1)
            fail(c, now);
        return n;
    }
    c->have = (size_t)(blank - c->head) + 4;
    size_t took = c->have - before;
    if (!read_head(c, now))
        fail(c, now);
    return took;
}

static size_t take_body(struct conn *c, const char *bytes, size_t len, uint64_t now) {
    size_t n = c->part == UNTIL_CLOSE || len < c->left ? len : (size_t)c->left;
    look_for_token(c, bytes, n, now);
    if (c->part == UNTIL_CLOSE)
        return n;
    c->left -= n;
    if (c->left > 0)
        return n;
    if (c->part == CHUNK)
        c->part = CHUNK_END;
    else
        finish(c, now);
    return n;
}

static void take(struct conn *c, const char *bytes, size_t len, uint64_t now) {
    while (len > 0 && c->fd >= 0) {
        size_t n =
            c->part == HEAD   ? take_head(c, bytes, len, now)
            : c->part == IDLE ? len /* nothing was asked for */
            : c->part >= BODY && c->part != CHUNK_SIZE && c->part != CHUNK_END && c->part != TRAILER
                ? take_body(c, bytes, len, now)
                : read_line(c, bytes, len, now);
        bytes += n;
        len -= n;
    }
}

static void on_event(struct conn *c, uint32_t events) {
    static char in[1 << 16];
    if (events & EPOLLOUT)
        send_rest(c);
    if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP)))
        return;
    ssize_t n = recv(c->fd, in, sizeof(in), 0);
    uint64_t now = sl_clock_monotonic();
    if (n > 0)
        take(c, in, (size_t)n, now);
    else if (n == 0 && c->part == UNTIL_CLOSE) {
        c->closes = true;
        finish(c, now);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        fail(c, now);
}

/* ---- time ---- */

static uint64_t due_at(uint64_t i) {
    return begin + (uint64_t)((double)i * 1e9 / (double)rate);
}

static void set_timer(uint64_t at) {
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / SL_NS_PER_S), .tv_nsec = (long)(at % SL_NS_PER_S)}};
    if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
        die("timerfd_settime");
}

/* What is due is sent as far as there are connections; what is not stays due. */
static void send_due(uint64_t now) {
    if (mode == STREAM) {
        while (opened < conn_count && due_at(opened) <= now)
            start_next(due_at(opened));
        return;
    }
    while (idle && due_at(due_count) <= now && due_at(due_count) < end) {
        struct conn *c = idle;
        idle = c->next;
        start(c, due_at(due_count++));
    }
}

static void on_timer(void) {
    uint64_t ticks;
    if (read(timer_fd, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
        die("timerfd");
}

/* ---- the whole ---- */

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(double p) {
    return sample_count ? samples[(size_t)((double)(sample_count - 1) * p)] : 0;
}

static void report(uint64_t now) {
    uint64_t unserved = mode == OPEN ? due_count - finished - errors : 0;
    for (uint64_t i = due_count; mode == OPEN && due_at(i) < end; i++)
        unserved++;
    qsort(samples, sample_count, sizeof(*samples), compare);
    printf("{\"finished\":%zu,\"first\":%zu,\"errors\":%zu,\"unserved\":%llu,\"seconds\":%.3f,"
           "\"p50\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u}\n",
           finished, firsts, errors, (unsigned long long)unserved, (double)(now - begin) / 1e9,
           percentile(0.5), percentile(0.99), percentile(0.999), percentile(1));
    fflush(stdout);
}

static bool is_done(uint64_t now) {
    switch (mode) {
    case CLOSED:
        return now >= end;
    case OPEN: /* a second for those under way */
        return now >= end + SL_NS_PER_S;
    case HOLD:
        return finished + errors >= conn_count || now > news + PATIENCE;
    default:
        return firsts + errors >= conn_count || now > news + PATIENCE;
    }
}

static void turn(void) {
    struct epoll_event events[EVENTS];
    int n = epoll_wait(epoll_fd, events, EVENTS, 100);
    for (int i = 0; i < n; i++) {
        if (!events[i].data.ptr)
            on_timer();
        else if (((struct conn *)events[i].data.ptr)->fd >= 0)
            on_event(events[i].data.ptr, events[i].events);
    }
    uint64_t now = sl_clock_monotonic();
    if (mode != OPEN && mode != STREAM)
        return;
    send_due(now);
    uint64_t next = due_at(mode == OPEN ? due_count : opened);
    set_timer(next > now ? next : now + SL_NS_PER_MS);
}

static void read_request(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        die(path);
    request_len = fread(request, 1, sizeof(request), file);
    fclose(file);
}

static bool read_arguments(int argc, char **argv) {
    static const char *const modes[] = {"closed", "open", "hold", "stream"};
    static const int counts[] = {6, 7, 5, 6};
    while (argc > 1 && mode <= STREAM && strcmp(argv[1], modes[mode]) != 0)
        mode++;
    if (argc < 2 || mode > STREAM || argc != counts[mode])
        return false;
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    read_request(argv[3]);
    conn_count = strtoul(argv[4], NULL, 10);
    end = mode <= OPEN ? (uint64_t)(strtod(argv[5], NULL) * 1e9) : 0;
    rate = mode == OPEN     ? strtoull(argv[6], NULL, 10)
           : mode == STREAM ? strtoull(argv[5], NULL, 10)
                            : 1;
    return conn_count > 0 && conn_count <= CONNECTIONS_MAX && rate > 0;
}

static void on_signal(int number) {
    (void)number;
    stopped = 1;
}

static void set_up(void) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    prctl(PR_SET_TIMERSLACK, 1UL);
    signal(SIGTERM, on_signal);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    conns = sl_calloc(conn_count, sizeof(*conns));
    samples = sl_calloc(SAMPLES_MAX, sizeof(*samples));
    if (epoll_fd < 0 || timer_fd < 0 || !conns || !samples ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer_fd, &event) < 0)
        die("start");
    for (size_t i = 0; i < conn_count; i++) {
        conns[i] = (struct conn){.fd = -1, .head = sl_alloc(HEAD_MAX), .next = idle};
        if (!conns[i].head)
            die("start");
        idle = &conns[i];
    }
}

int main(int argc, char **argv) {
    if (!read_arguments(argc, argv)) {
        fprintf(stderr, "usage: load closed|open|hold|stream PORT REQUEST connections …\n");
        return 2;
    }
    set_up();
    begin = news = sl_clock_monotonic();
    end += begin;
    if (mode == CLOSED)
        while (opened < conn_count)
            start_next(begin);
    else if (mode == HOLD)
        start_next(begin);
    else
        set_timer(begin + 1);
    while (!stopped && !is_done(sl_clock_monotonic()))
        turn();
    report(sl_clock_monotonic());
    while (!stopped && mode >= HOLD)
        turn();
    return 0;
}
