/*
 * HTTP requests to others: libcurl makes the connections, TLS and HTTP/1.1 are spoken here.
 * Kept-alive connections, proxies from the environment, certificates always verified. One fetch is
 * one attempt: a request is never silently sent twice.
 *
 * Events come in order on_head, on_data…, on_done; on_done exactly once unless cancelled.
 * All are fired from the loop (as bytes come in, and in the turn), never from inside
 * sl_fetch_start. Inside any of them sl_fetch_pause, _resume and _cancel are allowed.
 */
#ifndef SLUICE_IO_FETCH_H
#define SLUICE_IO_FETCH_H

#include "sluice/base/chain.h"
#include "sluice/io/loop.h"

struct sl_fetch_client;
struct sl_fetch_origin;
struct sl_fetch;

struct sl_fetch_client_settings {
    uint32_t max_in_flight; /* bounds the connections that idle */
    const char *user_agent; /* used where a request brings none; NULL: none sent */
};

SL_NODISCARD struct sl_fetch_client *
sl_fetch_client_new(struct sl_loop *loop, const struct sl_fetch_client_settings *settings);
void sl_fetch_client_free(struct sl_fetch_client *client); /* cancels what runs */

/*
 * Scheme, host and port, parsed once. url is "https://host[:port]" (a path is refused).
 * ca_file: PEM bundle to verify with, NULL for the system's. The client owns it until it is freed.
 */
SL_NODISCARD struct sl_fetch_origin *sl_fetch_origin_new(struct sl_fetch_client *client,
                                                         const char *url, const char *ca_file);
/* "host" or "host:port" (port only if not the scheme's default): what the Host header says. */
struct sl_slice sl_fetch_origin_authority(const struct sl_fetch_origin *origin);
/* Closes its idle connections; fetches that use it go on. */
void sl_fetch_origin_free(struct sl_fetch_origin *origin);

struct sl_fetch_header {
    struct sl_slice name, value;
};

struct sl_fetch_request {
    const struct sl_fetch_origin *origin;
    struct sl_slice method; /* any token */
    struct sl_slice target; /* "/path?query", emitted byte for byte */
    const struct sl_fetch_header
        *headers; /* in this order; Host and Content-Length are made here */
    size_t header_count;
    const struct sl_chain *body;                           /* NULL: none. Must outlive the fetch */
    uint32_t connect_ms, first_byte_ms, idle_ms, total_ms; /* 0: no limit */
    bool no_proxy; /* link-local metadata services must not go through a proxy */
};

struct sl_fetch_head {
    int status;
    const struct sl_fetch_header *headers; /* raw, in order, names as sent; valid during the call */
    size_t header_count;
    int64_t content_length; /* or -1 */
};

enum sl_fetch_phase { /* how far an attempt came, for those who decide whether to try again */
                      SL_FETCH_RESOLVE,
                      SL_FETCH_CONNECT,
                      SL_FETCH_TLS,
                      SL_FETCH_SEND, /* connected; the request may have reached the server */
                      SL_FETCH_HEAD, /* sent; waiting for the response head */
                      SL_FETCH_BODY, /* head received */
                      SL_FETCH_DONE,
};

struct sl_fetch_result {
    int error; /* 0: complete. SL_E_TIMEOUT, SL_E_IO, SL_E_EOF (cut short), SL_E_PROTOCOL,
                  SL_E_DENIED (certificate) */
    enum sl_fetch_phase phase;
    const char *why; /* for people and logs; NULL when complete; static or valid during the call */
};

struct sl_fetch_events {
    void (*on_head)(void *ctx,
                    const struct sl_fetch_head *head); /* the final one; 1xx are skipped */
    void (*on_data)(void *ctx, struct sl_slice bytes); /* body, transfer coding removed */
    void (*on_done)(void *ctx, const struct sl_fetch_result *result);
};

/* NULL when out of memory, or when method, target or a header holds bytes that would end it early
 * (line ends, NUL; spaces in the target). Headers, target and method are copied; the body is not.
 */
SL_NODISCARD struct sl_fetch *sl_fetch_start(struct sl_fetch_client *client,
                                             const struct sl_fetch_request *request,
                                             const struct sl_fetch_events *events, void *ctx);
/* Stops on_data; what was received already comes on resume. TCP's window does the rest. */
void sl_fetch_pause(struct sl_fetch *fetch);
void sl_fetch_resume(struct sl_fetch *fetch);
/* No event after this; the connection is closed unless the response was complete. */
void sl_fetch_cancel(struct sl_fetch *fetch);

struct sl_fetch_stats {
    uint64_t started, connections_made;
    uint32_t in_flight;
};
struct sl_fetch_stats sl_fetch_client_stats(const struct sl_fetch_client *client);

#endif
