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
#include "sluice/core/usage.h"
#include "sluice/dialect/encode.h"
#include "sluice/wire/sigv4.h"

struct sl_sessions;

struct sl_dialect_settings {
    bool no_meaning;  /* nothing is ever cached: native bodies need no digest of their meaning */
    bool map_retired; /* withdrawn models are served by their successor; else refused as by Bedrock
                       */
    /* Successors from the configuration come first; the built-in table follows. NULL: none. */
    struct sl_slice (*successor)(void *ctx, struct sl_slice model);
    void *successor_ctx;
    /* Where a name from the configuration leads ("fast" → a Bedrock id), or the empty slice. */
    struct sl_slice (*alias)(void *ctx, struct sl_slice name);
    /* The names of all aliases, by number from 0; empty: no more. NULL: none. */
    struct sl_slice (*alias_at)(void *ctx, size_t i);
    void *alias_ctx;
    struct sl_slice default_model; /* of the REST dialect; empty: none */
    /* Put before a bare id that is served by inference profiles only ("us."); empty: none. */
    struct sl_slice geo_prefix;
    /* What a call costs, in nano-dollars; negative: unknown. */
    int64_t (*cost)(void *ctx, struct sl_slice model, const struct sl_usage *usage);
    void *cost_ctx;
    struct sl_sessions *sessions; /* conversations kept for the REST dialect; NULL: none */
};

/* One request being decoded. Embedded by the exchange; begin initialises it. */
struct sl_decode {
    const struct sl_dialect *dialect;
    const struct sl_dialect_settings *settings;
    struct sl_arena *arena; /* of the call: what it points at lives there */
    struct sl_call *call;
    struct sl_arena *ask_arena; /* of the exchange */
    struct sl_ask *ask;         /* how to answer; the decoder fills it */
    uint64_t tenant;            /* whose sessions */
    size_t parts;               /* set by finish: calls needed beyond the one in `call`; 0: none */
    void *own;                  /* a dialect's own state, in arena; release frees what it holds */
    struct sl_sha256 digest;    /* of a native body, from a certain size on */
    bool hashing;
    /* A refusal: kind is not NONE, and a sentence for the client. */
    enum sl_failure failure;
    struct sl_slice message;
};

struct sl_dialect {
    const char *name;
    /* Whether this dialect serves the request. The first one that does, decodes it. */
    bool (*serves)(const struct sl_request_head *head);
    /* Each returns SL_OK (a refusal included) or SL_E_NOMEM. A request that reshapes its body keeps
     * the client's bytes aside (own), and appends the upstream body to call->body in finish. */
    int (*begin)(struct sl_decode *d, const struct sl_request_head *head);
    int (*body)(struct sl_decode *d, struct sl_slice bytes);
    int (*finish)(struct sl_decode *d);
    /* Call number i (from 1) of a request that needs several; arena is that call's. NULL: never. */
    int (*part)(struct sl_decode *d, size_t i, struct sl_arena *arena, struct sl_call *call);
    /* Makes one response of the answers to all parts, in order; only called when d->parts > 0. */
    int (*join)(const struct sl_ask *ask, struct sl_arena *arena, const struct sl_part *parts,
                size_t count, struct sl_response_head *head, struct sl_buf *out);
    /* Answers without upstream (a page, a deletion), instead of finish's call: NULL: never. True
     * when head and out are filled. Called after finish. */
    bool (*local)(struct sl_decode *d, struct sl_response_head *head, struct sl_buf *out);
    /* Makes the encoder for this answer; *out NULL: its bytes pass untouched. NULL: they always do.
     * SL_E_NOTFOUND: this answer cannot be turned into that shape. */
    int (*encoder)(const struct sl_ask *ask, const struct sl_source *source, struct sl_arena *arena,
                   struct sl_encoder **out);
    void (*release)(struct sl_decode *d); /* frees what own holds; NULL: nothing */
    /* Appends the body of an error answer and names its headers (into arena). id: the exchange's,
     * which lives as long as the arena; NULL: it has none. */
    int (*error)(struct sl_arena *arena, const char *id, enum sl_failure kind,
                 struct sl_slice message, struct sl_headers *headers, struct sl_buf *body);
    /* Appends what tells a streaming client that the answer broke off: an exception frame, an error
     * event. SL_E_NOTFOUND where the framing has no such thing: then the connection must be broken.
     */
    int (*broken)(enum sl_operation op, enum sl_framing framing, enum sl_failure kind,
                  struct sl_slice message, struct sl_buf *out);
    /* The status of an error answer; NULL: the failure's own, as Bedrock has it. */
    int (*status)(enum sl_failure kind);
    /* The exchange is over, however it ended: frees what ask->own holds. Called once for each
     * begin; NULL: nothing. */
    void (*ended)(struct sl_ask *ask);
};

extern const struct sl_dialect sl_dialect_bedrock;
extern const struct sl_dialect sl_dialect_openai;
extern const struct sl_dialect sl_dialect_anthropic;
extern const struct sl_dialect sl_dialect_rest;

/* Whether this operation's answer for that model can be given in its other shape too (stream or
 * not): then both shapes share one answer. */
bool sl_bedrock_convertible(enum sl_operation op, struct sl_slice model);

/* The dialect for a request: never NULL, Bedrock's own answers for unknown paths. */
const struct sl_dialect *sl_dialect_for(const struct sl_request_head *head);

/* Frees what decoding held; the call stays. Safe on a zeroed struct. */
void sl_decode_done(struct sl_decode *d);

#endif
