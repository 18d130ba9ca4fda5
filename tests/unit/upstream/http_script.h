/*
 * A scripted HTTP server for tests, on the loop of the test: it notes each request and answers what
 * the test's function says.
 */
#ifndef SLUICE_TESTS_UPSTREAM_HTTP_SCRIPT_H
#define SLUICE_TESTS_UPSTREAM_HTTP_SCRIPT_H

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "sluice/base/mem.h"

struct http_script_reply {
    int status; /* 0: none, the question stays open */
    const char *body;
};

struct http_script {
    uv_tcp_t listener;
    int port;
    int count;                /* requests so far */
    char requests[32][16384]; /* head and body, NUL-terminated */
    struct http_script_reply (*reply)(struct http_script *server, const char *request);
    int open; /* handles not yet closed */
};

struct connection {
    uv_tcp_t tcp;
    struct http_script *server;
    size_t len;
    char in[16384];
};

static inline bool http_script_begins(const char *request, const char *start) {
    return strncmp(request, start, strlen(start)) == 0;
}

static void on_closed(uv_handle_t *handle) {
    struct connection *c = handle->data;
    c->server->open--;
    sl_free(c);
}

static void on_listener_closed(uv_handle_t *handle) {
    struct http_script *server = handle->data;
    server->open--;
}

static void on_written(uv_write_t *write, int status) {
    (void)status;
    sl_free(write);
}

static void answer(struct connection *c) {
    struct http_script *server = c->server;
    assert(server->count < (int)(sizeof(server->requests) / sizeof(*server->requests)));
    char *request = server->requests[server->count++];
    memcpy(request, c->in, c->len + 1);
    c->len = 0;
    struct http_script_reply reply = server->reply(server, request);
    if (reply.status == 0)
        return;
    size_t size = strlen(reply.body) + 256;
    uv_write_t *write = sl_alloc(sizeof(*write) + size);
    if (!write)
        write = sl_alloc(sizeof(*write) + size);
    char *out = (char *)(write + 1);
    int n = snprintf(out, size, "HTTP/1.1 %d Said\r\nContent-Length: %zu\r\n\r\n%s", reply.status,
                     strlen(reply.body), reply.body);
    uv_buf_t buf = uv_buf_init(out, (unsigned)n);
    uv_write(write, (uv_stream_t *)&c->tcp, &buf, 1, on_written);
}

static bool complete(const struct connection *c) {
    const char *end = strstr(c->in, "\r\n\r\n");
    const char *length = strstr(c->in, "Content-Length: ");
    size_t body = 0;
    if (!end)
        return false;
    if (length && length < end)
        sscanf(length, "Content-Length: %zu", &body);
    return c->len >= (size_t)(end + 4 - c->in) + body;
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf) {
    struct connection *c = handle->data;
    (void)wanted;
    *buf = uv_buf_init(c->in + c->len, (unsigned)(sizeof(c->in) - 1 - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct connection *c = stream->data;
    (void)buf;
    if (n < 0) {
        if (!uv_is_closing((uv_handle_t *)stream))
            uv_close((uv_handle_t *)stream, on_closed);
        return;
    }
    c->len += (size_t)n;
    c->in[c->len] = '\0';
    if (complete(c))
        answer(c);
}

static void on_connection(uv_stream_t *listener, int status) {
    struct http_script *server = listener->data;
    assert(status == 0);
    (void)status;
    struct connection *c = sl_calloc(1, sizeof(*c));
    if (!c) /* a test has one allocation fail: it is not the server's to suffer */
        c = sl_calloc(1, sizeof(*c));
    c->server = server;
    uv_tcp_init(listener->loop, &c->tcp);
    c->tcp.data = c;
    server->open++;
    uv_accept(listener, (uv_stream_t *)&c->tcp);
    uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

static inline void http_script_start(struct http_script *server, uv_loop_t *uv,
                                     struct http_script_reply (*reply)(struct http_script *,
                                                                       const char *)) {
    struct sockaddr_in address;
    int size = sizeof(address), rc = 0;
    server->reply = reply;
    server->count = 0;
    server->open = 1;
    uv_tcp_init(uv, &server->listener);
    server->listener.data = server;
    uv_ip4_addr("127.0.0.1", 0, &address);
    rc |= uv_tcp_bind(&server->listener, (struct sockaddr *)&address, 0);
    rc |= uv_listen((uv_stream_t *)&server->listener, 8, on_connection);
    rc |= uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &size);
    assert(rc == 0);
    (void)rc;
    server->port = ntohs(address.sin_port);
}

static void close_connection(uv_handle_t *handle, void *ctx) {
    if (handle->type != UV_TCP || handle->data == ctx || uv_is_closing(handle))
        return;
    struct connection *c = handle->data;
    if (c->server == ctx)
        uv_close(handle, on_closed);
}

/* Closes the listener and every connection; run the loop until server->open is 0. */
static inline void http_script_stop(struct http_script *server) {
    uv_walk(server->listener.loop, close_connection, server);
    uv_close((uv_handle_t *)&server->listener, on_listener_closed);
}

#endif
