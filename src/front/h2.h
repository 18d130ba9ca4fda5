/*
 * HTTP/2: what h2.c (the session: bytes in and out, its end) and h2_stream.c (heads and bodies)
 * share.
 *
 * nghttp2 owns the protocol's state; a stream of ours exists from its first header frame until both
 * nghttp2 and the handler are done with it:
 *
 *   on_begin_headers ─▶ c->streams ─▶ nghttp2 closed it, or it was aborted ─▶ h->over ─▶ freed
 *
 * nghttp2's callbacks put a stream on h->over and no more; it is ended behind the call into nghttp2
 * that closed it, so that nothing is freed under nghttp2's or a handler's feet.
 */
#ifndef SLUICE_SRC_FRONT_H2_H
#define SLUICE_SRC_FRONT_H2_H

#include <nghttp2/nghttp2.h>

#include "front/transport.h"
#include "sluice/base/buf.h"
#include "sluice/base/chain.h"

/* The largest frame we send: SETTINGS_MAX_FRAME_SIZE's default and a frame header. */
#define H2_FRAME_HEADER 9
#define H2_FRAME_MAX    (H2_FRAME_HEADER + 16384)

/* Slices of a body taken in one look; more than one DATA frame needs of any sensible handler. */
#define H2_SLICES 16

/*
 * Windows for request bodies. A stream starts with the protocol's 64 KiB, which is all a paused one
 * can make us keep. Once its handler takes the body it gets 1 MiB: 20 MB/s at a round trip of
 * 50 ms. The connection's bounds what its paused streams may hold together.
 */
#define H2_STREAM_WINDOW     (1 << 20)
#define H2_CONNECTION_WINDOW (4 << 20)

/* What is taken in of a request whose answer is complete: what a client has under way before it
 * reads the answer. */
#define H2_REST_BYTES (1 << 20)
#define H2_REST_MS    3000

enum h2_drain {
    H2_SERVING,
    H2_LEAVING, /* the shutdown notice is out: requests that crossed it are still served */
    H2_LEFT,    /* the final GOAWAY is out: nghttp2 ignores what comes behind it */
};

struct h2 {
    struct sl_front_conn *c;
    nghttp2_session *session;
    /* Frames of this turn; bytes from out_at on wait for the connection. Filled only when empty, so
     * a peer that takes nothing stops the pulling of bodies. */
    struct sl_buf out;
    size_t out_at;
    struct sl_list over;  /* h2_stream.over_link */
    struct sl_list held;  /* h2_stream.held_link: streams whose input waits for the handler */
    struct sl_list rests; /* h2_rest.link, the oldest first */
    struct sl_timer rest_timer;
    struct h2_stream *head; /* its header block is under way; there is at most one */
    /* What the last peek gave, between nghttp2's two callbacks for one DATA frame. */
    struct sl_slice body[H2_SLICES];
    size_t body_count;
    uint64_t resets_until; /* rapid reset: see h2_count_reset */
    /* Where the client's frames begin: what is left of the present one (or of the preface), and
     * the header of the next as far as it has come. */
    uint32_t frame_left;
    uint8_t header[H2_FRAME_HEADER], header_len;
    /* The newest stream, the one opened before it, and the newest that was ended here and not by
     * the client: see check_closed. */
    int32_t opened, before, ended_here;
    enum sl_close_reason reason; /* for streams the session's end cuts off */
    enum h2_drain drain;
    bool greeted;      /* the preface and the first SETTINGS are in */
    bool read_stopped; /* until the output that input caused is written */
};

struct h2_stream {
    struct sl_stream base;
    int32_t id;
    struct sl_list over_link, held_link;
    struct sl_chain held; /* came while the handler had paused; not yet given back to the windows */
    struct sl_chain_cursor held_at;
    struct sl_headers trailers;
    uint64_t came;      /* bytes of the body, delivered or not */
    uint64_t head_size; /* as RFC 9113 6.5.2 counts: 32 bytes for each field */
    int refused;        /* the head will be answered with this status */
    const char *why;
    bool end_held; /* the body's end waits behind `held` */
    bool wide;     /* has H2_STREAM_WINDOW */
    bool deferred; /* nghttp2 asks for no body until the handler wakes it */
    bool sent_end; /* END_STREAM has been written */
};

/*
 * A stream whose answer is complete and whose request is not: the handler is done with it, nghttp2
 * is not. RFC 9113 8.1 lets a server reset it at once, without an error; but clients that are busy
 * sending (curl 7.88) may then miss the answer. So the rest is thrown away for a while first.
 */
struct h2_rest {
    struct sl_list link;
    int32_t id;
    uint64_t until;
    size_t left; /* bytes that may still come */
};

/* ---- h2.c ---- */

/* Memory is out, or nghttp2 is beyond use: the connection ends. */
void h2_fail(struct h2 *h);
/* Counts a stream that the client's doing ended early; too many in too short a time end the
 * connection with ENHANCE_YOUR_CALM. */
void h2_count_reset(struct h2 *h);
void h2_drain(struct sl_front_conn *c);
/* The final GOAWAY: streams that are open are still served. */
void h2_leave(struct h2 *h);

/* ---- h2_rest.c ---- */

void h2_rests_init(struct h2 *h);
void h2_rests_done(struct h2 *h);
/* The answer is complete, and at least `left` bytes of the request are to come (SL_LENGTH_UNKNOWN:
 * nobody knows): they are thrown away within limits; beyond these the stream is reset. */
void h2_rest_begin(struct h2 *h, int32_t id, int64_t left);
/* Bytes came for a stream that is no longer ours. */
void h2_rest_data(struct h2 *h, int32_t id, size_t len);
/* nghttp2 closed the stream. */
void h2_rest_end(struct h2 *h, int32_t id);

/* ---- h2_stream.c ---- */

void h2_stream_callbacks(nghttp2_session_callbacks *callbacks);
void h2_stream_set_over(struct h2_stream *s, enum sl_close_reason reason);
/* Ends one stream that is off nghttp2's hands, or takes it off them. */
void h2_stream_end(struct h2_stream *s);
/* Gives the handler a piece of what came while it had paused. True when more can follow. */
bool h2_stream_release(struct h2_stream *s);

int h2_stream_respond(struct sl_stream *base, const struct sl_response_head *head);
void h2_stream_interim(struct sl_stream *base, int status);
int h2_stream_trailers(struct sl_stream *base, const struct sl_headers *trailers);
void h2_stream_wake(struct sl_stream *base);
void h2_stream_abort(struct sl_stream *base);
void h2_stream_pause(struct sl_stream *base, bool on);
void h2_stream_free(struct sl_stream *base);

#endif
