/*
 * What fetch's files share.
 *
 *   fetch.c          a fetch from start to on_done: states, limits, events
 *   fetch_request.c  a request's head as text
 *   fetch_reply.c    a response's bytes to events (fetch_reply.h)
 *   fetch_link.c     a connection: TLS, sending, receiving, idling (fetch_link.h)
 *   fetch_origin.c   where connections lead, and how they get there
 *   fetch_dial.c     libcurl makes connections (fetch_dial.h)
 *   fetch_error.c    what went wrong, how far it came, and a sentence for people
 *
 * A fetch's state is the list it is on:
 *
 *   SPARE ──▶ DIALING ──▶ RUNNING ──▶ ENDED ──▶ REPORTING ──▶ SPARE
 *      └────────────────────▲ │                               ▲
 *                             └──▶ DROPPED ───────────────────┘
 *
 * DROPPED is a fetch that was cancelled by one of its own events: its callers are still at work
 * with it, so it goes back to the pool in the turn.
 */
#ifndef SLUICE_SRC_IO_FETCH_IMPL_H
#define SLUICE_SRC_IO_FETCH_IMPL_H

#include <assert.h>

#include "io/fetch_dial.h"
#include "io/fetch_link.h"
#include "io/fetch_reply.h"
#include "io/proxy.h"
#include "io/tls.h"
#include "sluice/base/buf.h"
#include "sluice/io/fetch.h"

/* Request line and headers of a request. */
#define SL_FETCH_REQUEST_MAX 262144
/* Fetches kept for reuse, below 1 KB each. */
#define SL_FETCH_SPARES_MAX 256
/* Words about what went wrong. */
#define SL_FETCH_WHY_MAX 256

/* Certificates to trust: one set for all origins that name the same file, read when first needed,
 * and again after a day. */
struct sl_fetch_trust {
    struct sl_list link; /* on the client's list */
    char *ca_file;
    uint32_t refs;
    struct sl_tls *tls;
    uint64_t read_at;
};

/* One way to an origin, and the idle connections that came by it. Its origin holds it, and so does
 * every connection: those in use may outlive the origin, but are not kept when they are done. */
struct sl_fetch_route {
    struct sl_fetch_client *client;
    uint32_t refs;
    bool abandoned;      /* by its origin */
    struct sl_list idle; /* the last used first: it is the warmest, and the others may time out */
    struct sl_dial_order dial;
    struct sl_fetch_trust *trust; /* NULL: no TLS */
    struct sl_tls_ticket ticket;
    char *url, *host; /* host: as the certificate must name it */
    /* The request line goes "METHOD before TARGET after": before is the scheme and the authority if
     * an HTTP proxy reads the request, after has the version and the headers that never change. */
    char *before, *after;
    size_t before_len, after_len;
};

struct sl_fetch_origin {
    struct sl_list link; /* on the client's list */
    char *authority;
    struct sl_fetch_route *direct, *usual; /* one and the same where no proxy applies */
};

enum sl_fetch_state {
    SL_FETCH_SPARE,
    SL_FETCH_DIALING,
    SL_FETCH_RUNNING,
    SL_FETCH_DROPPED,
    SL_FETCH_ENDED,
    SL_FETCH_REPORTING,
    SL_FETCH_STATES
};

struct sl_fetch_client {
    struct sl_loop *loop;
    struct sl_dialer dialer;
    struct sl_turn_hook transfers, send;
    struct sl_list lists[SL_FETCH_STATES];
    struct sl_list again; /* running ones to be looked at in the turn */
    struct sl_list origins, trusts;
    struct sl_fetch_trust *trust_default; /* of the system; kept, for it takes long to read */
    struct sl_list idle;                  /* links of all routes, the longest idle first */
    struct sl_timer idle_timer;
    uint32_t links, links_max;
    uint32_t spares;
    struct sl_fetch *feeding; /* whose events are being fired */
    struct sl_buf head;       /* the request that is being started */
    struct sl_fetch_stats stats;
    struct sl_proxies proxies;
    char *user_agent;
    const char *ca_default; /* libcurl's own string */
};

struct sl_fetch {
    struct sl_list link, again_link;
    enum sl_fetch_state state;
    struct sl_fetch_client *client;
    struct sl_link *conn; /* NULL once it has ended */
    struct sl_fetch_events events;
    void *ctx;

    /* What of the request has not been sent. */
    struct sl_slice head;   /* in the client's buffer, or in own_head */
    struct sl_buf own_head; /* while it has to wait */
    const struct sl_chain *body;
    struct sl_chain_cursor cursor;
    uint64_t body_left;
    bool send_failed; /* an answer may have come all the same */

    /* Progress. */
    enum sl_fetch_phase phase; /* SEND until the head is there */
    bool paused;               /* as the caller wishes */
    uint64_t started_at, active_at;
    uint64_t connect, first_byte, idle, total; /* ns; SL_NEVER: no limit */
    struct sl_timer timer;

    /* The response. */
    struct sl_reply reply;
    struct sl_buf rest; /* received when an event said pause, from rest_at on */
    size_t rest_at;

    struct sl_fetch_result result;
    char why[SL_FETCH_WHY_MAX];
};

/* fetch_request.c: SL_E_INVALID, SL_E_NOMEM, SL_E_LIMIT. */
SL_NODISCARD int sl_fetch_write_head(struct sl_buf *out, const struct sl_fetch_request *request,
                                     const struct sl_fetch_route *route, const char *user_agent,
                                     uint64_t body_len);

/* fetch_origin.c */
SL_NODISCARD struct sl_fetch_trust *sl_fetch_trust_get(struct sl_fetch_client *client,
                                                       const char *ca_file);
void sl_fetch_trust_put(struct sl_fetch_trust *trust);
/* NULL: why says it. */
SL_NODISCARD struct sl_tls *sl_fetch_trust_tls(struct sl_fetch_trust *trust, uint64_t now,
                                               char *why, size_t why_size);

void sl_fetch_route_put(struct sl_fetch_route *route);

/* fetch.c: what its connection tells a fetch. None of them fires an event but on_ready. */
void sl_fetch_on_open(struct sl_fetch *fetch);
/* It never came to stand; result->why is valid during the call. */
void sl_fetch_on_unreachable(struct sl_fetch *fetch, const struct sl_fetch_result *result);
void sl_fetch_on_ready(struct sl_fetch *fetch, int events);

/* fetch_error.c */
struct sl_fetch_result sl_fetch_explain_dial(const struct sl_dial_result *dialed);
/* An open connection broke or ended; error is what sl_link_recv returned. */
struct sl_fetch_result sl_fetch_explain_loss(struct sl_fetch *fetch, int error);
/* How far it came. */
enum sl_fetch_phase sl_fetch_progress(const struct sl_fetch *fetch);

#endif
