/*
 * One small HTTP question and its whole answer, for sources that poll: open, send, poll until it
 * says done. Attempts that fail in a way that another may cure are repeated after a pause.
 */
#ifndef SLUICE_UPSTREAM_CREDHTTP_H
#define SLUICE_UPSTREAM_CREDHTTP_H

#include "sluice/base/chain.h"
#include "sluice/io/fetch.h"
#include "upstream/credwalk.h"

/* Real answers have some 2 kB. */
#define SL_CREDHTTP_MAX_ANSWER (1u << 20)

/* "http[s]://host[:port][/path][?query]" in its parts; slices of the input. */
struct sl_url {
    struct sl_slice origin; /* "http://[::1]:80" */
    struct sl_slice host;   /* without brackets */
    struct sl_slice target; /* "/path?query", "/" if there is none */
    bool tls;
};
/* SL_E_INVALID: another scheme, no host, user information, a byte that may not stand in one. */
SL_NODISCARD int sl_url_split(struct sl_slice url, struct sl_url *out);

struct sl_credhttp;
struct sl_credhttp_request {
    struct sl_slice method, target, body;
    struct sl_fetch_header headers[5];
    size_t header_count;
    uint32_t connect_ms, answer_ms; /* for the connection; then for the answer to begin */
    unsigned attempts;
    uint32_t pause_ms; /* before the second attempt, doubled for each further one */
    bool no_proxy;
    /* Whether a finished attempt is worth another. */
    bool (*again)(const struct sl_credhttp *http);
};

/* Embedded in a source's state; a zeroed one may be stopped. */
struct sl_credhttp {
    struct sl_credctx *ctx;
    struct sl_fetch_origin *origin;
    const struct sl_credhttp_request *request;
    struct sl_fetch *fetch; /* NULL while none runs */
    struct sl_chain body;
    struct sl_timer pause;
    unsigned attempt;      /* how many were made */
    unsigned paused_after; /* the attempt that the last pause followed */
    bool pausing;
    /* The answer, or what went wrong: */
    int status; /* 0: none came */
    int error;
    enum sl_fetch_phase phase;
    struct sl_buf answer;
    char why[160];
};

/* SL_E_NOMEM, or SL_E_INVALID for an origin that the client refuses. */
SL_NODISCARD int sl_credhttp_open(struct sl_credhttp *http, struct sl_credctx *ctx,
                                  struct sl_slice origin);
/* request, and what it points to, must outlive the exchange. Another may follow when it is done. */
void sl_credhttp_send(struct sl_credhttp *http, const struct sl_credhttp_request *request);
/* True when done. */
bool sl_credhttp_poll(struct sl_credhttp *http);
void sl_credhttp_stop(struct sl_credhttp *http); /* wipes what came */

/* The usual `again`: no answer, or one that is not 200. */
bool sl_credhttp_not_ok(const struct sl_credhttp *http);
/* "the answer was 404", "connection refused": into a buffer of the http. */
const char *sl_credhttp_outcome(struct sl_credhttp *http);

#endif
