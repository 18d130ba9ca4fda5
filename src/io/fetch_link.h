/*
 * One connection to an origin: it is dialed, shakes hands if there is TLS, serves one fetch after
 * another, and idles in between.
 *
 *   DIALING ──▶ SHAKING ──▶ BUSY ◀──▶ IDLE        any ──▶ closed
 *
 * Bytes of all connections are received into one buffer a thread, and handed over before another
 * may be received: no connection owns a buffer, but for cipher text that the kernel did not take.
 */
#ifndef SLUICE_SRC_IO_FETCH_LINK_H
#define SLUICE_SRC_IO_FETCH_LINK_H

#include "sluice/base/buf.h"
#include "sluice/base/list.h"
#include "sluice/base/slice.h"

/* What one fetch is handed in one turn: at 10 ns a byte, a third of a millisecond. */
#define SL_LINK_READ 32768
/* Longer idle ones are closed: firewalls forget them without a word after some minutes. */
#define SL_LINK_IDLE_MS 118000

struct sl_dial_result;
struct sl_fetch;
struct sl_fetch_client;
struct sl_fetch_route;

enum sl_link_state { SL_LINK_DIALING, SL_LINK_SHAKING, SL_LINK_BUSY, SL_LINK_IDLE };

struct sl_link {
    struct sl_list link, age; /* while idle: on its route's list, and on the client's */
    enum sl_link_state state;
    struct sl_fetch_route *route;
    struct sl_fetch *user; /* unless idle */
    struct sl_dial *dial;  /* while dialing, and on if its bytes go through curl */
    int fd;
    struct sl_poll *poll;
    struct sl_tls_session *tls;
    struct sl_buf out; /* cipher text to send, from out_at on */
    size_t out_at;
    bool reused;
    int ended;       /* of TLS: what the next read returns */
    const char *why; /* after an error: words, static; NULL: see errno_seen */
    int errno_seen;
    uint64_t idle_since;
};

/* An idle connection; NULL: there is none. */
SL_NODISCARD struct sl_link *sl_link_take(struct sl_fetch_route *route, struct sl_fetch *user);
/* A new one, which tells its user when it is open. NULL when out of memory. */
SL_NODISCARD struct sl_link *sl_link_open(struct sl_fetch_route *route, struct sl_fetch *user,
                                          uint32_t connect_ms);
/* Its user has no more use for it, and nothing is under way: another may. */
void sl_link_park(struct sl_link *link);
void sl_link_close(struct sl_link *link);
/* The dialer's end of it. */
void sl_link_on_dialed(void *ctx, const struct sl_dial_result *result);
/* Closes those that have been idle for too long. */
void sl_link_on_idle_timer(void *client);

/* Bytes taken, 0 if none can be now (the user is told when they can), negative if it is broken. */
SL_NODISCARD int64_t sl_link_send(struct sl_link *link, const struct sl_slice *slices,
                                  size_t count);
/* Sends what was taken before, as far as it goes. */
SL_NODISCARD int sl_link_flush(struct sl_link *link);
/* All that was taken has left for the kernel. */
bool sl_link_drained(const struct sl_link *link);
/* Up to SL_LINK_READ bytes and a record, valid until the next call; 0 for none now, SL_E_EOF, or
 * another error. */
SL_NODISCARD int64_t sl_link_recv(struct sl_link *link, char **bytes);
/* The next sl_link_recv has something to say that the socket does not announce. */
bool sl_link_has_more(const struct sl_link *link);
/* What the user waits for, beside what is taken but not sent. */
void sl_link_want(struct sl_link *link, bool readable, bool writable);
const char *sl_link_why(const struct sl_link *link);

#endif
