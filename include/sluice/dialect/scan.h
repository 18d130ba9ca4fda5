/*
 * One pass over a request's JSON body as it arrives, for all who want to know something of it:
 * facts, the load (for the estimate of tokens), and the canonical digest (for the cache).
 */
#ifndef SLUICE_DIALECT_SCAN_H
#define SLUICE_DIALECT_SCAN_H

#include "sluice/core/load.h"
#include "sluice/wire/canonical.h"
#include "sluice/wire/image.h"
#include "sluice/wire/json.h"
#include "sluice/wire/json_short.h"

/*
 * Weighs strings: those under the keys "bytes" or "data", and data: URLs, are media in base64, told
 * apart by their first bytes and the nearest enclosing key (image, document, video, audio);
 * s3Location and http(s) URLs count as elsewhere; all other strings and keys are text.
 */
#define SL_WEIGH_HEAD_MAX 32

struct sl_weigh {
    struct sl_load load;
    uint8_t what[SL_JSON_MAX_DEPTH + 1]; /* what the keys around a value say of it, by depth */
    struct sl_json_short key;            /* under way */
    /* The string under way. */
    uint8_t state, kind, head_len;
    char head[SL_WEIGH_HEAD_MAX]; /* its first bytes, until it is known what it is */
    bool probing;
    uint8_t digits;        /* base64 digits that do not make bytes yet */
    uint32_t bits;         /* of these */
    uint64_t length, pads; /* of base64, and how many '=' end it */
    struct sl_image_probe probe;
};
void sl_weigh_init(struct sl_weigh *w);
void sl_weigh_token(struct sl_weigh *w, const struct sl_json_token *token);

struct sl_scan {
    struct sl_json_tokenizer tokenizer;
    struct sl_json_facts *facts;
    struct sl_canonical *canonical; /* NULL: not wanted, or given up */
    struct sl_weigh weigh;
    bool broken; /* not JSON: facts seen until then stay */
};
/* facts: initialised, or NULL. With want_digest the digest is taken while it can be. SL_E_NOMEM.
 * The scan stays in its place until _done. */
SL_NODISCARD int sl_scan_init(struct sl_scan *scan, struct sl_json_facts *facts, bool want_digest);
void sl_scan_feed(struct sl_scan *scan, struct sl_slice bytes);
/* The body is over. True: it was one JSON document. *has_digest: and it has a canonical form. */
bool sl_scan_finish(struct sl_scan *scan, const struct sl_slice *without, size_t count,
                    uint8_t digest[32], bool *has_digest);
void sl_scan_done(struct sl_scan *scan);

#endif
