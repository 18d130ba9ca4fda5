/*
 * Streams over uv_tcp, with TLS between socket and caller where the listener has it.
 *
 *   write: slices ─▶ [records] ─▶ uv_try_write ─▶ kernel
 *                                      └─ what it did not take, ≤ SL_CONN_PENDING_MAX ─▶ uv_write
 *   read:  kernel ─▶ read_buffer ─▶ [plain_buffer] ─▶ on_read
 *
 * Invariants:
 * - Writes are taken only while nothing is pending, so the bound holds without counting ahead. Only
 * TLS's own messages (answers to key updates, close_notify) are queued behind what is pending.
 * - One read buffer serves all connections of a thread: libuv asks for it, fills it and hands it
 *   over in one go, and on_read takes all of it.
 * - Closing always ends in uv_close, whose callback fires on_close: never inside a call. From
 *   `closing` on nothing else is fired.
 */
#include "sluice/io/conn.h"

#include <assert.h>
#include <stdio.h>

#include "io/tls.h"
#include "sluice/base/mem.h"

#define READ_SIZE  65536
#define SLICES_MAX 64

static _Thread_local char read_buffer[READ_SIZE];
static _Thread_local char plain_buffer[READ_SIZE];

struct sl_conn {
    uv_tcp_t tcp;
    uv_shutdown_t shutdown;
    struct sl_loop *loop;
    const struct sl_conn_handler *handler;
    void *ctx;
    struct sl_tls_session *session; /* NULL on TCP */
    size_t pending;
    int error;
    bool open, closing, shut, eof;
    bool read_stopped;
    struct sl_turn_hook resume; /* hooked while reading rests until the next turn */
    bool want_writable;         /* a write took less than offered */
    struct sl_conn_info info;
};

/* What the kernel did not take, until libuv has written it. */
struct pending_write {
    uv_write_t request;
    struct sl_conn *conn;
    size_t len;
    char bytes[];
};

static uv_stream_t *stream_of(struct sl_conn *conn) {
    return (uv_stream_t *)&conn->tcp;
}

/* ---- closing ---- */

static void on_closed(uv_handle_t *handle) {
    struct sl_conn *conn = handle->data;
    conn->loop->open_handles--;
    if (conn->handler)
        conn->handler->on_close(conn->ctx, conn->error);
    sl_tls_session_free(conn->session);
    sl_free(conn);
}

static void close_with(struct sl_conn *conn, int error, bool reset) {
    if (conn->closing)
        return;
    conn->closing = true;
    conn->error = error;
    sl_loop_unhook(&conn->resume);
    /* libuv refuses a reset once a shutdown was asked for. */
    if (!reset || uv_tcp_close_reset(&conn->tcp, on_closed) != 0)
        uv_close((uv_handle_t *)&conn->tcp, on_closed);
}

void sl_conn_close(struct sl_conn *conn, bool reset) {
    close_with(conn, SL_OK, reset);
}

/* ---- writing ---- */

static void on_written(uv_write_t *request, int status) {
    struct pending_write *write = request->data;
    struct sl_conn *conn = write->conn;
    conn->pending -= write->len;
    sl_free(write);
    if (conn->closing)
        return;
    sl_loop_tick(conn->loop);
    if (status < 0) {
        close_with(conn, SL_E_IO, false);
        return;
    }
    if (conn->pending == 0 && conn->want_writable) {
        conn->want_writable = false;
        conn->handler->on_writable(conn->ctx);
    }
}

/* Copies up to `max` bytes of the slices, from `skip` on, and has libuv write them. */
static int64_t queue(struct sl_conn *conn, const struct sl_slice *slices, size_t count, size_t skip,
                     size_t max) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += slices[i].len;
    size_t len = total - skip < max ? total - skip : max;
    if (len == 0)
        return 0;
    struct pending_write *write = sl_alloc(sizeof(*write) + len);
    if (!write)
        return SL_E_NOMEM;
    write->request.data = write;
    write->conn = conn;
    write->len = 0;
    for (size_t i = 0; i < count && write->len < len; i++) {
        struct sl_slice s = sl_slice_head(sl_slice_skip(slices[i], skip), len - write->len);
        skip -= skip < slices[i].len ? skip : slices[i].len;
        if (s.len)
            memcpy(write->bytes + write->len, s.ptr, s.len);
        write->len += s.len;
    }
    uv_buf_t buf = {.base = write->bytes, .len = len};
    if (uv_write(&write->request, stream_of(conn), &buf, 1, on_written) < 0) {
        sl_free(write);
        return SL_E_IO;
    }
    conn->pending += len;
    return (int64_t)len;
}

/* At most SLICES_MAX slices to the kernel: bytes it took, or SL_E_IO. */
static int64_t try_write(struct sl_conn *conn, const struct sl_slice *slices, size_t count) {
    uv_buf_t bufs[SLICES_MAX];
    for (size_t i = 0; i < count; i++) /* libuv's buffers are not const, but it only reads them */
        bufs[i] = (uv_buf_t){.base = (char *)(uintptr_t)slices[i].ptr, .len = slices[i].len};
    int rc = uv_try_write(stream_of(conn), bufs, (unsigned)count);
    if (rc == UV_EAGAIN)
        return 0;
    return rc < 0 ? SL_E_IO : rc;
}

/* To the kernel, the rest to the queue, within its bound. Bytes taken. */
static int64_t send_now(struct sl_conn *conn, const struct sl_slice *slices, size_t count) {
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += slices[i].len;
    if (len == 0)
        return 0;
    int64_t wrote = conn->pending ? 0 : try_write(conn, slices, count);
    if (wrote < 0 || (size_t)wrote == len)
        return wrote;
    size_t room = SL_CONN_PENDING_MAX - conn->pending;
    int64_t queued = queue(conn, slices, count, (size_t)wrote, room);
    return queued < 0 ? queued : wrote + queued;
}

static int64_t write_tcp(struct sl_conn *conn, const struct sl_slice *slices, size_t count) {
    int64_t taken = 0;
    while (count > 0 && conn->pending == 0) {
        size_t n = count < SLICES_MAX ? count : SLICES_MAX;
        int64_t wrote = send_now(conn, slices, n);
        if (wrote < 0)
            return wrote;
        taken += wrote;
        slices += n; /* if not all of them went, something is pending now and the loop ends */
        count -= n;
    }
    return taken;
}

/* Sends what TLS has produced. It must go whole: what is beyond the bound is a peer that makes us
 * answer without reading. */
static int flush_tls(struct sl_conn *conn) {
    struct sl_slice cipher = sl_tls_output();
    int64_t sent = send_now(conn, &cipher, 1);
    sl_tls_sent();
    if (sent < 0)
        return (int)sent;
    return (size_t)sent == cipher.len ? SL_OK : SL_E_LIMIT;
}

/* Where a gathering stands in a list of slices. */
struct gather {
    const struct sl_slice *slices;
    size_t count, at, offset;
};

/* The next record's plain bytes: a part of one slice where that fills a record, else several,
 * copied together, since a small record costs as much as a large one. */
static struct sl_slice next_record(struct gather *g, char scratch[static SL_TLS_RECORD]) {
    size_t len = 0;
    while (g->at < g->count && len < SL_TLS_RECORD) {
        struct sl_slice rest = sl_slice_skip(g->slices[g->at], g->offset);
        struct sl_slice part = sl_slice_head(rest, SL_TLS_RECORD - len);
        g->offset += part.len;
        if (part.len == rest.len) {
            g->at++;
            g->offset = 0;
        }
        if (len == 0 && (part.len == SL_TLS_RECORD || g->at == g->count))
            return part;
        if (part.len)
            memcpy(scratch + len, part.ptr, part.len);
        len += part.len;
    }
    return sl_slice_of(scratch, len);
}

static int64_t write_tls(struct sl_conn *conn, const struct sl_slice *slices, size_t count) {
    static _Thread_local char scratch[SL_TLS_RECORD];
    struct gather g = {.slices = slices, .count = count};
    int64_t taken = 0;
    /* Two records a system call: what SL_CONN_PENDING_MAX has room for if the kernel takes none. */
    while (conn->pending == 0) {
        bool more = false;
        for (int records = 0; records < 2; records++) {
            struct sl_slice plain = next_record(&g, scratch);
            if (plain.len == 0)
                break;
            int rc = sl_tls_write(conn->session, plain);
            if (rc < 0)
                return rc;
            taken += (int64_t)plain.len;
            more = true;
        }
        if (!more)
            break;
        int rc = flush_tls(conn);
        if (rc < 0)
            return rc;
    }
    return taken;
}

int64_t sl_conn_write(struct sl_conn *conn, const struct sl_slice *slices, size_t count) {
    if (conn->closing || conn->shut)
        return SL_E_IO;
    size_t offered = 0;
    for (size_t i = 0; i < count; i++)
        offered += slices[i].len;
    int64_t taken = !conn->open     ? 0
                    : conn->session ? write_tls(conn, slices, count)
                                    : write_tcp(conn, slices, count);
    if (taken < 0) {
        close_with(conn, (int)taken, false);
        return SL_E_IO;
    }
    conn->want_writable = (size_t)taken < offered;
    return taken;
}

size_t sl_conn_pending(const struct sl_conn *conn) {
    return conn->pending;
}

static void on_shut(uv_shutdown_t *request, int status) {
    (void)request, (void)status; /* a failure shows on the reading side, or in closing */
}

void sl_conn_shutdown(struct sl_conn *conn) {
    if (conn->closing || conn->shut)
        return;
    conn->shut = true;
    if (conn->session && conn->open) {
        sl_tls_close_notify(conn->session);
        int rc = flush_tls(conn);
        if (rc < 0) {
            close_with(conn, rc, false);
            return;
        }
    }
    uv_shutdown(&conn->shutdown, stream_of(conn), on_shut); /* behind what is queued */
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)handle, (void)suggested;
    *buf = (uv_buf_t){.base = read_buffer, .len = READ_SIZE};
}

static void tell_eof(struct sl_conn *conn) {
    if (conn->eof || conn->closing)
        return;
    conn->eof = true;
    uv_read_stop(stream_of(conn));
    if (conn->open)
        conn->handler->on_eof(conn->ctx);
    else
        close_with(conn, SL_E_IO, false);
}

static void set_open(struct sl_conn *conn) {
    struct sl_slice alpn = SL_EMPTY;
    conn->open = true;
    if (conn->session) {
        alpn = sl_tls_alpn(conn->session);
        conn->info.tls_version = sl_tls_version(conn->session);
        conn->info.subject = sl_tls_peer_subject(conn->session);
    }
    conn->handler->on_open(conn->ctx, alpn);
}

/* Output is flushed before the handler is called: it may write to any connection. */
static void read_tls(struct sl_conn *conn, struct sl_slice cipher) {
    sl_tls_feed(conn->session, cipher);
    if (!conn->open) {
        int rc = sl_tls_handshake(conn->session);
        int flushed = flush_tls(conn); /* an alert as well, when it failed */
        if (rc == SL_OK)
            rc = flushed;
        if (rc == SL_E_AGAIN && flushed == SL_OK)
            return;
        if (rc < 0) {
            close_with(conn, rc, false);
            return;
        }
        set_open(conn);
    }
    while (!conn->closing && !conn->eof) {
        int64_t got = sl_tls_read(conn->session, plain_buffer, READ_SIZE);
        int flushed = flush_tls(conn);
        if (got >= 0 && flushed < 0)
            got = flushed;
        if (got == 0)
            return;
        if (got == SL_E_EOF)
            tell_eof(conn);
        else if (got < 0)
            close_with(conn, (int)got, false);
        else
            conn->handler->on_read(conn->ctx, sl_slice_of(plain_buffer, (size_t)got));
    }
}

static void on_uv_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf);

static void start_reading(struct sl_conn *conn) {
    if (uv_read_start(stream_of(conn), on_alloc, on_uv_read) < 0)
        close_with(conn, SL_E_IO, false);
}

static void resume_reading(void *ctx) {
    struct sl_conn *conn = ctx;
    sl_loop_unhook(&conn->resume);
    if (!conn->read_stopped && !conn->eof)
        start_reading(conn);
}

/* libuv would read up to 32 full buffers in one go. One a turn keeps a fast sender from holding the
 * loop; the others get theirs in between. */
static void rest(struct sl_conn *conn) {
    uv_read_stop(stream_of(conn));
    sl_loop_hook(conn->loop, SL_TURN_TRANSFERS, &conn->resume, resume_reading, conn);
}

static void on_uv_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf) {
    struct sl_conn *conn = stream->data;
    if (nread == 0 || conn->closing)
        return;
    sl_loop_tick(conn->loop);
    if (nread == READ_SIZE)
        rest(conn);
    if (nread == UV_EOF)
        tell_eof(conn);
    else if (nread < 0)
        close_with(conn, SL_E_IO, false);
    else if (conn->session)
        read_tls(conn, sl_slice_of(buf->base, (size_t)nread));
    else
        conn->handler->on_read(conn->ctx, sl_slice_of(buf->base, (size_t)nread));
}

void sl_conn_read_stop(struct sl_conn *conn) {
    if (conn->read_stopped || conn->closing)
        return;
    conn->read_stopped = true;
    uv_read_stop(stream_of(conn));
}

void sl_conn_read_start(struct sl_conn *conn) {
    if (!conn->read_stopped || conn->closing)
        return;
    conn->read_stopped = false;
    if (!conn->eof && !sl_list_linked(&conn->resume.link))
        start_reading(conn);
}

/* ---- identity ---- */

void sl_conn_set_handler(struct sl_conn *conn, const struct sl_conn_handler *handler, void *ctx) {
    conn->handler = handler;
    conn->ctx = ctx;
}

const struct sl_conn_info *sl_conn_info(const struct sl_conn *conn) {
    return &conn->info;
}

/* "192.0.2.1:4711", "[2001:db8::1]:4711" */
static void format_address(const struct sockaddr_storage *address, char *out, size_t size) {
    char host[INET6_ADDRSTRLEN] = "";
    const void *storage = address;
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = storage;
        uv_ip6_name(in6, host, sizeof(host));
        snprintf(out, size, "[%s]:%u", host, (unsigned)ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in4 = storage;
        uv_ip4_name(in4, host, sizeof(host));
        snprintf(out, size, "%s:%u", host, (unsigned)ntohs(in4->sin_port));
    }
}

static void fill_info(struct sl_conn *conn) {
    struct sockaddr_storage address = {0};
    void *storage = &address;
    int len = sizeof(address);
    if (uv_tcp_getpeername(&conn->tcp, storage, &len) == 0)
        format_address(&address, conn->info.peer, sizeof(conn->info.peer));
    len = sizeof(address);
    if (uv_tcp_getsockname(&conn->tcp, storage, &len) == 0)
        format_address(&address, conn->info.local, sizeof(conn->info.local));
    conn->info.tls = conn->session != NULL;
}

/* ---- listening ---- */

struct sl_conn_listener {
    uv_tcp_t tcp;
    uv_tcp_t refused; /* takes a connection for which there is no memory, to close it */
    struct sl_loop *loop;
    struct sl_tls *tls;
    void (*on_accept)(void *ctx, struct sl_conn *conn);
    void *ctx;
    unsigned handles; /* of the two, how many are open */
    bool paused, closing;
    bool waiting; /* libuv holds a connection for us, and watches for no other until we take it */
    bool refusing;
    char address[64];
};

static void accept_waiting(struct sl_conn_listener *listener);

static void on_listener_closed(uv_handle_t *handle) {
    struct sl_conn_listener *listener = handle->data;
    listener->loop->open_handles--;
    if (handle == (uv_handle_t *)&listener->refused)
        listener->refusing = false;
    if (--listener->handles == 0)
        sl_free(listener);
    else if (!listener->closing)
        accept_waiting(listener);
}

static int open_handle(struct sl_conn_listener *listener, uv_tcp_t *handle) {
    if (uv_tcp_init(listener->loop->uv, handle) < 0)
        return SL_E_IO;
    handle->data = listener;
    listener->handles++;
    listener->loop->open_handles++;
    return SL_OK;
}

/* Without memory for a connection: takes it from the kernel and closes it, one at a time. */
static void refuse(struct sl_conn_listener *listener) {
    if (listener->refusing || open_handle(listener, &listener->refused) < 0)
        return;
    listener->refusing = true;
    listener->waiting = false;
    (void)uv_accept((uv_stream_t *)&listener->tcp, (uv_stream_t *)&listener->refused);
    uv_close((uv_handle_t *)&listener->refused, on_listener_closed);
}

static struct sl_conn *new_conn(struct sl_conn_listener *listener) {
    struct sl_conn *conn = sl_calloc(1, sizeof(*conn));
    if (!conn)
        return NULL;
    if (listener->tls && !(conn->session = sl_tls_session_new(listener->tls))) {
        sl_free(conn);
        return NULL;
    }
    if (uv_tcp_init(listener->loop->uv, &conn->tcp) < 0) {
        sl_tls_session_free(conn->session);
        sl_free(conn);
        return NULL;
    }
    conn->loop = listener->loop;
    conn->loop->open_handles++;
    conn->tcp.data = conn;
    sl_list_init(&conn->resume.link);
    conn->read_stopped = true;
    return conn;
}

static void accept_waiting(struct sl_conn_listener *listener) {
    if (!listener->waiting || listener->paused || listener->closing)
        return;
    struct sl_conn *conn = new_conn(listener);
    if (!conn) {
        refuse(listener);
        return;
    }
    listener->waiting = false;
    if (uv_accept((uv_stream_t *)&listener->tcp, stream_of(conn)) < 0) {
        close_with(conn, SL_E_IO, false); /* has no handler: nobody hears of it */
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1); /* what a turn made leaves in one write: nothing to wait for */
    fill_info(conn);
    listener->on_accept(listener->ctx, conn);
    assert(conn->handler || conn->closing);
    if (!conn->closing && !conn->session)
        set_open(conn);
    if (!conn->closing)
        sl_conn_read_start(conn);
}

static void on_connection(uv_stream_t *server, int status) {
    struct sl_conn_listener *listener = server->data;
    if (status < 0)
        return; /* the connection was gone again, or descriptors are out: libuv tries again */
    sl_loop_tick(listener->loop);
    listener->waiting = true;
    accept_waiting(listener);
}

static int resolve(struct sl_loop *loop, const struct sl_conn_listener_settings *settings,
                   struct sockaddr_storage *out) {
    char port[8];
    snprintf(port, sizeof(port), "%u", (unsigned)settings->port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    uv_getaddrinfo_t request;
    /* Without a callback this waits: it happens once, at the start. */
    int rc = uv_getaddrinfo(loop->uv, &request, NULL, settings->host, port, &hints);
    if (rc < 0)
        return rc;
    memcpy(out, request.addrinfo->ai_addr, request.addrinfo->ai_addrlen);
    uv_freeaddrinfo(request.addrinfo);
    return 0;
}

static int bind_to(struct sl_conn_listener *listener,
                   const struct sl_conn_listener_settings *settings) {
    struct sockaddr_storage address = {0};
    void *storage = &address;
    if (settings->fd)
        return uv_tcp_open(&listener->tcp, settings->fd);
    int rc = resolve(listener->loop, settings, &address);
    return rc ? rc : uv_tcp_bind(&listener->tcp, storage, 0);
}

static int bind_and_listen(struct sl_conn_listener *listener,
                           const struct sl_conn_listener_settings *settings) {
    struct sockaddr_storage address = {0};
    void *storage = &address;
    int rc = bind_to(listener, settings);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&listener->tcp, settings->backlog, on_connection);
    int len = sizeof(address);
    if (rc == 0)
        rc = uv_tcp_getsockname(&listener->tcp, storage, &len);
    if (rc == 0)
        format_address(&address, listener->address, sizeof(listener->address));
    return rc;
}

struct sl_conn_listener *sl_conn_listen(struct sl_loop *loop,
                                        const struct sl_conn_listener_settings *settings,
                                        struct sl_tls *tls,
                                        void (*on_accept)(void *ctx, struct sl_conn *conn),
                                        void *ctx, char *why, size_t why_size) {
    struct sl_conn_listener *listener = sl_calloc(1, sizeof(*listener));
    if (!listener) {
        snprintf(why, why_size, "out of memory");
        return NULL;
    }
    listener->loop = loop;
    listener->on_accept = on_accept;
    listener->ctx = ctx;
    listener->tls = sl_tls_ref(tls);
    if (open_handle(listener, &listener->tcp) < 0) {
        snprintf(why, why_size, "cannot make a socket");
        sl_tls_free(listener->tls);
        sl_free(listener);
        return NULL;
    }
    int rc = bind_and_listen(listener, settings);
    if (rc < 0 && settings->fd)
        snprintf(why, why_size, "cannot listen on descriptor %d: %s", settings->fd,
                 uv_strerror(rc));
    else if (rc < 0)
        snprintf(why, why_size, "cannot listen on %s port %u: %s", settings->host,
                 (unsigned)settings->port, uv_strerror(rc));
    if (rc < 0) {
        sl_conn_listener_close(listener);
        return NULL;
    }
    return listener;
}

void sl_conn_listener_set_tls(struct sl_conn_listener *listener, struct sl_tls *tls) {
    struct sl_tls *old = listener->tls;
    listener->tls = sl_tls_ref(tls);
    sl_tls_free(old);
}

const char *sl_conn_listener_address(const struct sl_conn_listener *listener) {
    return listener->address;
}

void sl_conn_listener_pause(struct sl_conn_listener *listener, bool paused) {
    listener->paused = paused;
    accept_waiting(listener);
}

void sl_conn_listener_close(struct sl_conn_listener *listener) {
    if (!listener || listener->closing)
        return;
    listener->closing = true;
    sl_tls_free(listener->tls);
    listener->tls = NULL;
    uv_close((uv_handle_t *)&listener->tcp, on_listener_closed);
}
