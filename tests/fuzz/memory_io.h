/*
 * What the front uses of `io`, in memory: connections whose other end is the test, and a loop whose
 * time is a number. No sockets, no waiting, and the same for the same input. Including this defines
 * the functions of sluice/io/conn.h and sluice/io/loop.h that the front calls, so that none of the
 * library's is linked: one file of a program includes it.
 *
 *   a round:  timers that are due ─ turn ─ poll (accept, reads, writable, EOF) ─ turn ─ closed
 *
 * The contract is asserted where its users could break it: nothing is written to a connection
 * behind its end, nothing is asked of one that was closed, and a loop comes to rest.
 */
#ifndef SLUICE_TESTS_MEMORY_IO_H
#define SLUICE_TESTS_MEMORY_IO_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/io/conn.h"
#include "sluice/io/loop.h"

#define MEMORY_CONNS  8
#define MEMORY_ROUNDS 400000 /* a loop that has not come to rest by then spins */
#define MEMORY_PACE   4096   /* of a backlog longer than this, reads take more than the chunk */
#define MEMORY_READ   65536  /* the most that one read gives */
#define MEMORY_ROOM   (SIZE_MAX / 4) /* a peer that reads all */

/* Allocated beside the account of base/mem.h, which is what the test is about. */
struct memory_bytes {
    char *ptr;
    size_t len, cap, at;
};

struct sl_conn {
    const struct sl_conn_handler *handler;
    void *ctx;
    struct sl_conn_info info;
    const char *alpn;
    struct memory_bytes in;  /* from the peer; read from `at` on */
    struct memory_bytes out; /* all that was taken */
    size_t room;             /* what the kernel still takes */
    size_t pending;
    bool accepted, shut, read_stopped, want_writable;
    bool closing;       /* on_close is due */
    bool closed;        /* by its user, who may not ask for anything more */
    bool reset;         /* and not in order */
    bool eof, eof_told; /* the peer's */
    int error;
};

struct sl_conn_listener {
    void (*on_accept)(void *ctx, struct sl_conn *conn);
    void *ctx;
    bool paused;
};

static struct {
    struct sl_loop loop;
    struct sl_conn_listener *listener;
    struct sl_conn *conns[MEMORY_CONNS]; /* the test's, also when closed */
    size_t count;
    size_t chunk; /* bytes a read gives at most */
    size_t burst; /* reads a round, as TLS gives several: also behind a read_stop */
    bool again;
} memory;

/* ---- bytes ---- */

static inline void memory_add(struct memory_bytes *b, const void *bytes, size_t len) {
    if (b->cap - b->len < len) {
        b->cap = 2 * b->cap + len;
        b->ptr = realloc(b->ptr, b->cap);
        assert(b->ptr);
    }
    if (len)
        memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
}

/* ---- the loop ---- */

void sl_loop_hook(struct sl_loop *loop, enum sl_turn_phase phase, struct sl_turn_hook *hook,
                  void (*run)(void *ctx), void *ctx) {
    hook->run = run;
    hook->ctx = ctx;
    sl_list_push_back(&loop->hooks[phase], &hook->link);
}

void sl_loop_unhook(struct sl_turn_hook *hook) {
    sl_list_remove(&hook->link);
}

void sl_loop_again(struct sl_loop *loop) {
    (void)loop;
    memory.again = true;
}

void sl_timer_init(struct sl_timer *timer, void (*fire)(void *ctx), void *ctx) {
    sl_heap_node_init(&timer->node);
    timer->fire = fire;
    timer->ctx = ctx;
}

int sl_timer_set(struct sl_loop *loop, struct sl_timer *timer, uint64_t at) {
    if (at <= loop->now)
        at = loop->now + 1;
    if (!sl_heap_linked(&timer->node))
        return sl_heap_push(&loop->timers, &timer->node, at);
    sl_heap_update(&loop->timers, &timer->node, at);
    return SL_OK;
}

void sl_timer_clear(struct sl_loop *loop, struct sl_timer *timer) {
    if (sl_heap_linked(&timer->node))
        sl_heap_remove(&loop->timers, &timer->node);
}

static inline void memory_fire(void) {
    struct sl_heap_node *node;
    while ((node = sl_heap_min(&memory.loop.timers)) && node->key <= memory.loop.now) {
        struct sl_timer *timer = SL_CONTAINER(node, struct sl_timer, node);
        sl_heap_remove(&memory.loop.timers, node);
        timer->fire(timer->ctx);
    }
}

static inline void memory_turn(void) {
    struct sl_loop *loop = &memory.loop;
    for (loop->phase = 0; loop->phase < SL_TURN_PHASES; loop->phase++)
        SL_LIST_EACH(&loop->hooks[loop->phase], node, tmp) {
            struct sl_turn_hook *hook = SL_CONTAINER(node, struct sl_turn_hook, link);
            hook->run(hook->ctx);
        }
}

/* ---- connections, as the front sees them ---- */

void sl_conn_set_handler(struct sl_conn *conn, const struct sl_conn_handler *handler, void *ctx) {
    conn->handler = handler;
    conn->ctx = ctx;
}

int64_t sl_conn_write(struct sl_conn *conn, const struct sl_slice *slices, size_t count) {
    size_t offered = 0, taken = 0;
    assert(!conn->closed && !conn->shut);
    if (conn->closing)
        return SL_E_IO;
    size_t max = conn->pending ? 0 : conn->room + SL_CONN_PENDING_MAX;
    for (size_t i = 0; i < count; i++) {
        struct sl_slice part = sl_slice_head(slices[i], max - taken);
        memory_add(&conn->out, part.ptr, part.len);
        offered += slices[i].len;
        taken += part.len;
    }
    if (taken > conn->room)
        conn->pending = taken - conn->room;
    conn->room -= taken < conn->room ? taken : conn->room;
    conn->want_writable = taken < offered;
    return (int64_t)taken;
}

void sl_conn_read_stop(struct sl_conn *conn) {
    assert(!conn->closed);
    conn->read_stopped = true;
}

void sl_conn_read_start(struct sl_conn *conn) {
    assert(!conn->closed);
    conn->read_stopped = false;
}

void sl_conn_shutdown(struct sl_conn *conn) {
    assert(!conn->closed);
    conn->shut = true;
}

void sl_conn_close(struct sl_conn *conn, bool reset) {
    if (!conn->closing)
        conn->reset = reset;
    conn->closing = conn->closed = true;
}

size_t sl_conn_pending(const struct sl_conn *conn) {
    return conn->pending;
}

const struct sl_conn_info *sl_conn_info(const struct sl_conn *conn) {
    return &conn->info;
}

struct sl_conn_listener *sl_conn_listen(struct sl_loop *loop,
                                        const struct sl_conn_listener_settings *settings,
                                        struct sl_tls *tls,
                                        void (*on_accept)(void *ctx, struct sl_conn *conn),
                                        void *ctx, char *why, size_t why_size) {
    (void)loop, (void)settings, (void)tls, (void)why, (void)why_size;
    assert(!memory.listener);
    memory.listener = calloc(1, sizeof(*memory.listener));
    assert(memory.listener);
    memory.listener->on_accept = on_accept;
    memory.listener->ctx = ctx;
    return memory.listener;
}

void sl_conn_listener_set_tls(struct sl_conn_listener *listener, struct sl_tls *tls) {
    (void)listener, (void)tls;
}

const char *sl_conn_listener_address(const struct sl_conn_listener *listener) {
    (void)listener;
    return "192.0.2.1:80";
}

void sl_conn_listener_pause(struct sl_conn_listener *listener, bool paused) {
    listener->paused = paused;
}

void sl_conn_listener_close(struct sl_conn_listener *listener) {
    assert(listener == memory.listener);
    free(listener);
    memory.listener = NULL;
}

/* ---- their other end ---- */

/* A client that comes; the next round has it accepted. alpn NULL: without TLS. It is valid until
 * memory_clear, whatever the front does with it. */
static inline struct sl_conn *memory_connect(const char *alpn) {
    struct sl_conn *conn = calloc(1, sizeof(*conn));
    assert(conn && memory.count < MEMORY_CONNS);
    memory.conns[memory.count++] = conn;
    conn->alpn = alpn;
    conn->info.tls = alpn != NULL;
    snprintf(conn->info.peer, sizeof(conn->info.peer), "192.0.2.2:4711");
    conn->room = MEMORY_ROOM;
    return conn;
}

static inline void memory_send(struct sl_conn *conn, const void *bytes, size_t len) {
    if (!conn->eof)
        memory_add(&conn->in, bytes, len);
}

/* The peer is gone without a word. */
static inline void memory_break(struct sl_conn *conn) {
    if (conn->closing)
        return;
    conn->closing = conn->reset = true;
    conn->error = SL_E_IO;
}

static inline bool memory_is_gone(const struct sl_conn *conn) {
    return conn->accepted && !conn->handler;
}

static inline void memory_accept(struct sl_conn *conn) {
    if (!memory.listener || memory.listener->paused || conn->closing)
        return;
    conn->accepted = true;
    memory.listener->on_accept(memory.listener->ctx, conn);
    assert(conn->handler || conn->closing);
    if (!conn->closing)
        conn->handler->on_open(conn->ctx, sl_slice_str(conn->alpn));
}

/* True when something happened. */
static inline bool memory_read(struct sl_conn *conn) {
    size_t reads = 0, left = MEMORY_READ;
    while (reads < memory.burst && left && conn->in.at < conn->in.len && !conn->closing &&
           (!conn->read_stopped || reads)) {
        size_t len = conn->in.len - conn->in.at;
        size_t chunk = memory.chunk + len / MEMORY_PACE;
        len = len < chunk ? len : chunk;
        len = len < left ? len : left;
        /* A copy of the exact size, so that a look past its end, or behind the call, is seen. */
        char *bytes = malloc(len);
        assert(bytes);
        memcpy(bytes, conn->in.ptr + conn->in.at, len);
        conn->in.at += len;
        left -= len;
        reads++;
        conn->handler->on_read(conn->ctx, sl_slice_of(bytes, len));
        free(bytes);
    }
    return reads > 0;
}

static inline bool memory_poll(struct sl_conn *conn) {
    if (!conn->accepted)
        memory_accept(conn);
    if (!conn->accepted || conn->closing)
        return false;
    bool busy = memory_read(conn);
    size_t left = conn->pending < conn->room ? conn->pending : conn->room;
    conn->pending -= left;
    conn->room -= left;
    if (!conn->closing && conn->want_writable && conn->pending == 0 && conn->room > 0) {
        conn->want_writable = false;
        conn->handler->on_writable(conn->ctx);
        busy = true;
    }
    bool over = conn->eof && !conn->eof_told && conn->in.at == conn->in.len;
    if (!conn->closing && !conn->read_stopped && over) {
        conn->eof_told = true;
        conn->handler->on_eof(conn->ctx);
        busy = true;
    }
    return busy;
}

static inline bool memory_round(void) {
    bool busy = false;
    memory_fire();
    if (!memory.again)
        memory_turn();
    memory.again = false;
    for (size_t i = 0; i < memory.count; i++)
        busy |= memory_poll(memory.conns[i]);
    memory_turn();
    for (size_t i = 0; i < memory.count; i++) {
        struct sl_conn *conn = memory.conns[i];
        if (!conn->closing || !conn->handler)
            continue;
        const struct sl_conn_handler *handler = conn->handler;
        conn->handler = NULL; /* whoever uses it from now on, crashes */
        handler->on_close(conn->ctx, conn->error);
        busy = true;
    }
    return busy || memory.again;
}

/* Until nothing happens any more at this time. */
static inline void memory_settle(void) {
    int rounds = 0;
    while (memory_round())
        assert(++rounds < MEMORY_ROUNDS);
}

static inline void memory_pass(uint64_t ms) {
    memory.loop.now += ms * SL_NS_PER_MS;
}

static inline void memory_init(void) {
    memset(&memory, 0, sizeof(memory));
    memory.chunk = MEMORY_READ;
    memory.burst = 1;
    memory.loop.now = SL_NS_PER_S;
    memory.loop.phase = SL_TURN_PHASES;
    for (int phase = 0; phase < SL_TURN_PHASES; phase++)
        sl_list_init(&memory.loop.hooks[phase]);
    sl_heap_init(&memory.loop.timers);
}

/* The front is freed already: nobody may be left that waits for the loop. */
static inline void memory_done_loop(void) {
    for (int phase = 0; phase < SL_TURN_PHASES; phase++)
        assert(sl_list_empty(&memory.loop.hooks[phase]));
    assert(memory.loop.timers.count == 0);
    sl_heap_done(&memory.loop.timers);
}

static inline void memory_clear(void) {
    for (size_t i = 0; i < memory.count; i++) {
        free(memory.conns[i]->in.ptr);
        free(memory.conns[i]->out.ptr);
        free(memory.conns[i]);
    }
}

#endif
