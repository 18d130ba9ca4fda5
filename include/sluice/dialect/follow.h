/*
 * Follows an upstream body as it arrives: up to where it is whole (frames, events), whether it has
 * begun well, and what it says of usage. The bytes themselves are kept by the answer.
 */
#ifndef SLUICE_DIALECT_FOLLOW_H
#define SLUICE_DIALECT_FOLLOW_H

#include "sluice/core/call.h"
#include "sluice/core/failure.h"
#include "sluice/dialect/closing.h"
#include "sluice/dialect/verdict.h"
#include "sluice/wire/eventstream.h"
#include "sluice/wire/json.h"
#include "sluice/wire/sse.h"

/* Frames up to this size are looked into; larger ones carry content, not facts. */
#define SL_FOLLOW_CAPTURE_MAX 65536
#define SL_FOLLOW_FACTS       23

struct sl_follow {
    enum sl_operation operation;
    enum sl_framing framing;
    uint64_t seen;  /* bytes fed */
    uint64_t whole; /* bytes up to which every frame or event is complete */
    bool begun;     /* the first frame is in and is not an exception: the status may be sent */
    bool ended;     /* a frame or event that ends the message was seen */
    enum sl_failure failure; /* the first exception frame's kind; NONE if there was none */
    struct sl_usage usage;
    /*
     * After a finish that returned SL_OK: a complete success that answers whoever asks the same.
     * Not so what a guardrail or a content filter stopped, or an answer with state at the server.
     */
    bool storable;
    struct sl_verdict verdict;
    struct sl_closing closing; /* of event streams but ConverseStream's, which has one end only */
    bool blind;                /* something was too large to be looked into */
    struct sl_eventstream_scanner scanner;
    struct sl_buf capture; /* the frame under way, or the last one */
    bool capture_cut;
    struct sl_buf chunk; /* what a frame of an InvokeModel stream holds */
    struct sl_sse_parser sse;
    struct sl_json_tokenizer document; /* a whole one */
    struct sl_json_facts facts;        /* of it */
    struct sl_json_fact fact[SL_FOLLOW_FACTS];
    bool reading;
    bool line_empty, after_cr; /* event boundaries of SSE */
};

/* status and headers decide the framing: an error is a document even where a stream was asked for.
 */
SL_NODISCARD int sl_follow_init(struct sl_follow *f, enum sl_operation op, int status,
                                const struct sl_headers *headers);
void sl_follow_done(struct sl_follow *f);
/* SL_E_PROTOCOL: a malformed frame; whole tells up to where it was good. SL_E_NOMEM. */
SL_NODISCARD int sl_follow_feed(struct sl_follow *f, struct sl_slice bytes);
/* The body ended: SL_E_EOF when it ended in mid-frame, or when its last word was that more follows.
 * Usage is final now. */
SL_NODISCARD int sl_follow_finish(struct sl_follow *f);

#endif
