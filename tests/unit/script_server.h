/*
 * A scripted HTTP/1.1 server on the test's own loop: it gathers a request (head and, by
 * Content-Length, body) and calls the script, which sends whatever bytes it likes, closes or
 * resets. One struct per server, header only, for tests of rooms that speak to servers.
 */
#ifndef SLUICE_TEST_SCRIPT_SERVER_H
#define SLUICE_TEST_SCRIPT_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "sluice/base/buf.h"
#include "sluice/base/mem.h"
#include "sluice/base/slice.h"

struct script_server;

struct script_conn {
    uv_tcp_t tcp;
    struct script_server *server;
    struct script_conn *next;
    struct sl_buf in;
    int served; /* requests on this connection so far, the present one included */
    bool closing;
};

struct script_server {
    uv_tcp_t listener;
    int port, connections, requests;
    /* request: head and body; valid during the call. */
    void (*script)(struct script_conn *conn, struct sl_slice request);
    bool greedy; /* call the script at the end of the head, without waiting for the body */
    struct script_conn *conns;
    void *ctx;
    char url[64];
};

/* A test may have the next allocation fail, once: that one is not the server's to suffer. */
static inline void *script_calloc(size_t size) {
    void *p = sl_calloc(1, size);
    if (!p && !(p = sl_calloc(1, size)))
        abort();
    return p;
}

struct script_write {
    uv_write_t write;
    char bytes[];
};

static inline void script_on_written(uv_write_t *write, int status) {
    (void)status;
    sl_free(write->data);
}

static inline void script_send_bytes(struct script_conn *conn, struct sl_slice bytes) {
    struct script_write *w = script_calloc(sizeof(*w) + bytes.len);
    memcpy(w->bytes, bytes.ptr, bytes.len);
    w->write.data = w;
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)bytes.len);
    if (uv_write(&w->write, (uv_stream_t *)&conn->tcp, &buf, 1, script_on_written) < 0)
        sl_free(w);
}

static inline void script_send(struct script_conn *conn, const char *text) {
    script_send_bytes(conn, sl_slice_str(text));
}

static inline void script_on_conn_closed(uv_handle_t *handle) {
    struct script_conn *conn = handle->data;
    struct script_conn **at = &conn->server->conns;
    while (*at != conn)
        at = &(*at)->next;
    *at = conn->next;
    sl_buf_done(&conn->in);
    sl_free(conn);
}

/* Sends FIN behind what was sent. */
static inline void script_on_shut(uv_shutdown_t *shutdown, int status) {
    (void)status;
    uv_handle_t *handle = (uv_handle_t *)shutdown->handle;
    sl_free(shutdown);
    if (!uv_is_closing(handle))
        uv_close(handle, script_on_conn_closed);
}

static inline void script_close(struct script_conn *conn) {
    if (conn->closing)
        return;
    conn->closing = true;
    uv_shutdown_t *shutdown = script_calloc(sizeof(*shutdown));
    if (uv_shutdown(shutdown, (uv_stream_t *)&conn->tcp, script_on_shut) < 0) {
        sl_free(shutdown);
        uv_close((uv_handle_t *)&conn->tcp, script_on_conn_closed);
    }
}

static inline void script_reset(struct script_conn *conn) {
    conn->closing = true;
    uv_tcp_close_reset(&conn->tcp, script_on_conn_closed);
}

static inline void script_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf) {
    static char space[65536];
    (void)handle, (void)hint;
    *buf = uv_buf_init(space, sizeof(space));
}

/* Length of the request at the front of conn->in, 0 while it is incomplete. */
static inline size_t script_request_len(const struct script_conn *conn) {
    struct sl_slice in = sl_buf_slice(&conn->in);
    size_t head = sl_slice_search(in, SL_LIT("\r\n\r\n"));
    if (head == in.len)
        return 0;
    head += 4;
    size_t at = sl_slice_search(sl_slice_head(in, head), SL_LIT("\r\nContent-Length: "));
    uint64_t body = 0;
    if (at < head) {
        struct sl_slice value = sl_slice_skip(in, at + 18);
        if (!sl_slice_u64(sl_slice_head(value, sl_slice_find(value, '\r')), &body))
            abort();
    }
    if (conn->server->greedy)
        body = 0;
    return in.len >= head + body ? head + (size_t)body : 0;
}

static inline void script_on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct script_conn *conn = stream->data;
    if (n < 0) {
        if (!uv_is_closing((uv_handle_t *)stream))
            uv_close((uv_handle_t *)stream, script_on_conn_closed);
        return;
    }
    struct sl_slice bytes = sl_slice_of(buf->base, (size_t)n);
    if (sl_buf_add(&conn->in, bytes) < 0 && sl_buf_add(&conn->in, bytes) < 0)
        abort();
    size_t len;
    while (!conn->closing && (len = script_request_len(conn)) > 0) {
        conn->served++;
        conn->server->requests++;
        conn->server->script(conn, sl_slice_of(conn->in.ptr, len));
        memmove(conn->in.ptr, conn->in.ptr + len, conn->in.len - len);
        conn->in.len -= len;
    }
}

static inline void script_on_accept(uv_stream_t *listener, int status) {
    struct script_server *server = listener->data;
    struct script_conn *conn = script_calloc(sizeof(*conn));
    if (status < 0)
        abort();
    conn->server = server;
    conn->tcp.data = conn;
    conn->next = server->conns;
    server->conns = conn;
    server->connections++;
    sl_buf_init(&conn->in, 64u << 20);
    uv_tcp_init(listener->loop, &conn->tcp);
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) < 0)
        abort();
    uv_read_start((uv_stream_t *)&conn->tcp, script_alloc, script_on_read);
}

static inline void script_server_start(struct script_server *server, uv_loop_t *loop,
                                       void (*script)(struct script_conn *, struct sl_slice)) {
    *server = (struct script_server){.script = script};
    struct sockaddr_in address;
    int len = sizeof(address);
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(loop, &server->listener);
    server->listener.data = server;
    if (uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0) < 0 ||
        uv_listen((uv_stream_t *)&server->listener, 128, script_on_accept) < 0 ||
        uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &len) < 0)
        abort();
    server->port = ntohs(address.sin_port);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d", server->port);
}

static inline void script_server_stop(struct script_server *server) {
    uv_close((uv_handle_t *)&server->listener, NULL);
    for (struct script_conn *conn = server->conns; conn; conn = conn->next)
        if (!uv_is_closing((uv_handle_t *)&conn->tcp))
            uv_close((uv_handle_t *)&conn->tcp, script_on_conn_closed);
}

#endif
