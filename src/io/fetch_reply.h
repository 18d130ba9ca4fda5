/*
 * Responses of HTTP/1.1, bytes in and events out: no sockets, no clock. Interim responses (1xx) and
 * trailers are skipped; what is fed may be cut anywhere.
 */
#ifndef SLUICE_SRC_IO_FETCH_REPLY_H
#define SLUICE_SRC_IO_FETCH_REPLY_H

#include <llhttp.h>

#include "sluice/base/buf.h"
#include "sluice/io/fetch.h"

/* A head larger than this is refused: Bedrock's are below 2 KB. So is as much of anything else that
 * brings no byte of a body: interim responses, chunk extensions, trailers. */
#define SL_REPLY_HEAD_MAX 65536
/* Header lines. */
#define SL_REPLY_LINES_MAX 512

/* Both say whether to go on; if not, sl_reply_feed returns where it is. */
struct sl_reply_events {
    bool (*on_head)(void *ctx, const struct sl_fetch_head *head);
    bool (*on_body)(void *ctx, struct sl_slice bytes);
};

enum sl_reply_progress {
    SL_REPLY_MORE, /* all was used */
    SL_REPLY_HELD, /* an event said stop; the rest is to be fed later */
    SL_REPLY_DONE, /* the response is complete; what is left over belongs to nothing */
};

struct sl_reply {
    llhttp_t parser;
    const struct sl_reply_events *events;
    void *ctx;
    struct sl_buf head; /* as far as it came, where it came in pieces */
    size_t lines;       /* header lines so far */
    size_t barren;      /* bytes since the last one of the body */
    bool bodiless;      /* the answer to HEAD */
    bool has_head;      /* the final one */
    bool interim;       /* the message that is read is a 1xx response */
    bool keep;          /* from the head on: the connection may serve again */
    bool fed;           /* anything at all came */
    bool delivered;     /* a part of the body, in this call */
    uint8_t stop;       /* why the parser paused */
    const char *why;    /* after an error: a sentence */
};

void sl_reply_init(struct sl_reply *reply, const struct sl_reply_events *events, void *ctx);
void sl_reply_done(struct sl_reply *reply);
/* Before each response. */
void sl_reply_begin(struct sl_reply *reply, bool bodiless);
/* A progress, SL_E_PROTOCOL or SL_E_NOMEM. The bytes may be changed (folded lines are joined), and
 * are borrowed for the call. *used is set unless it fails. */
SL_NODISCARD int sl_reply_feed(struct sl_reply *reply, char *bytes, size_t len, size_t *used);
/* The connection ended: SL_REPLY_DONE if that is what ends the body, else SL_E_EOF, or
 * SL_E_PROTOCOL within the head. */
SL_NODISCARD int sl_reply_eof(struct sl_reply *reply);

#endif
