/*
 * The way back: an upstream answer, as it arrives, turned into what the client's API says. An
 * answer is stored once, in upstream's bytes; every reader whose dialect or shape differs has an
 * encoder of its own. Sans-I/O.
 *
 *   upstream head ─▶ open ─▶ feed(bytes)… ─▶ finish        out: the client's body bytes
 *                                   └─ broken                head: once, before or after
 */
#ifndef SLUICE_DIALECT_ENCODE_H
#define SLUICE_DIALECT_ENCODE_H

#include "sluice/base/buf.h"
#include "sluice/core/call.h"
#include "sluice/core/failure.h"

struct sl_dialect;

/* How the client wants its answer. Filled while its request is decoded; lives, with all it points
 * at, as long as the exchange. */
struct sl_ask {
    enum sl_operation operation; /* native: as asked. Others: the call's, once decoded */
    bool stream;
    struct sl_slice model; /* as the client named it */
    uint64_t created;      /* wall clock, seconds */
    const char *id;        /* the exchange's id, a UUID, to build the API's own ids from */
    void *own;             /* the dialect's */
};

/* What an answer is: how its bytes are to be read. Only successes (200) are encoded. */
struct sl_source {
    enum sl_operation operation; /* that upstream served */
    enum sl_framing framing;     /* of the body */
    struct sl_slice model;       /* that upstream served */
    const struct sl_response_head *head;
};

struct sl_encoder;

struct sl_encoder_ops {
    /*
     * Appends what these bytes amount to. Any split. SL_E_PROTOCOL: upstream's bytes make no sense;
     * SL_E_NOMEM, SL_E_LIMIT.
     */
    int (*feed)(struct sl_encoder *e, struct sl_slice bytes, struct sl_buf *out);
    /* The answer is complete: appends the rest. */
    int (*finish)(struct sl_encoder *e, struct sl_buf *out);
    /* The answer broke off after something was shown: the API's own error event. SL_E_NOTFOUND:
     * there is none, the connection must be broken. */
    int (*broken)(struct sl_encoder *e, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out);
    void (*free)(struct sl_encoder *e);
};

/* Base of each encoder. */
struct sl_encoder {
    const struct sl_encoder_ops *ops;
    /*
     * Streams: filled by the maker, to be sent before the first body byte. Documents: complete at
     * the latest after finish (content_length is set by the caller). In the exchange's arena.
     */
    struct sl_response_head head;
    bool whole; /* a document: nothing may be sent before finish */
};

/* One of several upstream answers that make one response (see sl_dialect.join). */
struct sl_part {
    int status;
    struct sl_slice body;
    const struct sl_headers *headers;
};

#endif
