/*
 * A dialect turns a client's request into a call and gives errors the shape of the client's API.
 *
 *   head ──▶ begin ──▶ body… ──▶ finish ──▶ call, or a refusal
 *
 * Facts are read beside the body as it arrives; the bytes themselves pass untouched. A refusal is
 * final: the rest of the body is of no interest.
 */
#ifndef SLUICE_DIALECT_DIALECT_H
#define SLUICE_DIALECT_DIALECT_H

#include "sluice/core/call.h"
#include "sluice/core/failure.h"
#include "sluice/wire/json.h"
#include "sluice/wire/sigv4.h"

struct sl_dialect_settings {
    bool map_retired; /* withdrawn models are served by their successor; else refused as by Bedrock
                       */
    /* Successors from the configuration come first; the built-in table follows. NULL: none. */
    struct sl_slice (*successor)(void *ctx, struct sl_slice model);
    void *successor_ctx;
};

#define SL_DECODE_FACTS 9

/* One request being decoded. Embedded by the exchange; begin initialises it. */
struct sl_decode {
    const struct sl_dialect *dialect;
    const struct sl_dialect_settings *settings;
    struct sl_arena *arena; /* of the call: what it points at lives there */
    struct sl_call *call;
    struct sl_json_facts facts;
    struct sl_json_fact fact[SL_DECODE_FACTS];
    bool reading_facts;
    struct sl_sha256 digest;
    /* A refusal: kind is not NONE, and a sentence for the client. */
    enum sl_failure failure;
    struct sl_slice message;
};

struct sl_dialect {
    const char *name;
    /* Whether this dialect serves the request. The first one that does, decodes it. */
    bool (*serves)(const struct sl_request_head *head);
    /* Each returns SL_OK (a refusal included) or SL_E_NOMEM. */
    int (*begin)(struct sl_decode *d, const struct sl_request_head *head);
    int (*body)(struct sl_decode *d, struct sl_slice bytes);
    int (*finish)(struct sl_decode *d);
    /* Appends the body of an error answer and names its headers (into arena). */
    int (*error)(struct sl_arena *arena, enum sl_operation op, enum sl_failure kind,
                 struct sl_slice message, struct sl_headers *headers, struct sl_buf *body);
    /* Appends what tells a streaming client that the answer broke off: an exception frame, an error
     * event. SL_E_NOTFOUND where the framing has no such thing: then the connection must be broken.
     */
    int (*broken)(enum sl_operation op, enum sl_framing framing, enum sl_failure kind,
                  struct sl_slice message, struct sl_buf *out);
};

extern const struct sl_dialect sl_dialect_bedrock;

/* The dialect for a request: never NULL, Bedrock's own answers for unknown paths. */
const struct sl_dialect *sl_dialect_for(const struct sl_request_head *head);

/* Frees what decoding held; the call stays. Safe on a zeroed struct. */
void sl_decode_done(struct sl_decode *d);

#endif
