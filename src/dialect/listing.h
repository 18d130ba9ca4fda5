/*
 * The models that can be called, from Bedrock's two listings: foundation models by their own id
 * where they are served on demand, and inference profiles.
 */
#ifndef SLUICE_SRC_DIALECT_LISTING_H
#define SLUICE_SRC_DIALECT_LISTING_H

#include "sluice/core/call.h"
#include "sluice/dialect/encode.h"

/* The calls that a listing takes: number 0 and 1. */
#define SL_LISTING_CALLS 2

struct sl_listed {
    struct sl_slice id;       /* what a call names: model id, profile id, or an application
                                 profile's ARN */
    struct sl_slice provider; /* "anthropic", "meta", as the id says; "application" for ARNs */
};

struct sl_listing {
    struct sl_listed *items;
    size_t count;
};

/* Fills in the call number i, but for its authentication; body_sha256 is that of no body. */
SL_NODISCARD int sl_listing_call(struct sl_call *call, struct sl_arena *arena, size_t i);
/*
 * From the answers to these calls, in order; a part that failed counts as empty, since accounts may
 * allow one listing and not the other. SL_E_PROTOCOL: none of them was a listing. SL_E_LIMIT: one
 * is too large. All in arena.
 */
SL_NODISCARD int sl_listing_read(struct sl_listing *out, struct sl_arena *arena,
                                 const struct sl_part *parts, size_t count);

#endif
