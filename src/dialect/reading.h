/*
 * What a body for Bedrock tells: read beside its bytes, once, while they arrive or when they have
 * been put together. Fills the call's max_tokens, load, deterministic and meaning.
 */
#ifndef SLUICE_SRC_DIALECT_READING_H
#define SLUICE_SRC_DIALECT_READING_H

#include "sluice/dialect/dialect.h"
#include "sluice/dialect/scan.h"

/* Over all model families and surfaces: one list, since a body has few and the rest is absent. */
enum sl_reading_fact {
    SL_READING_MODEL,
    SL_READING_STREAM,
    SL_READING_PROMPT,
    SL_READING_FACTS = 18, /* the others are named in reading.c alone */
};

/* Stays in its place from begin on. */
struct sl_reading {
    struct sl_scan scan;
    struct sl_json_facts facts;
    struct sl_json_fact fact[SL_READING_FACTS];
    bool begun;
    bool whole; /* it was one JSON document; before the end: false */
};

/* Whether bodies of this operation are read. */
bool sl_reading_wanted(enum sl_operation op);
/* meaning: whether the digest is wanted. SL_E_NOMEM. */
SL_NODISCARD int sl_reading_begin(struct sl_reading *r, bool meaning);
void sl_reading_feed(struct sl_reading *r, struct sl_slice bytes);
/* The body is over: what it says is entered into the call, whose operation and model are set. */
void sl_reading_finish(struct sl_reading *r, struct sl_call *call);
/* The fact, if it was found in a whole document; else NULL. */
const struct sl_json_fact *sl_reading_fact(const struct sl_reading *r, enum sl_reading_fact which);
void sl_reading_done(struct sl_reading *r); /* safe on a zeroed one */
/* A body at hand, in one go. SL_E_NOMEM. */
SL_NODISCARD int sl_reading_of(struct sl_call *call, const struct sl_chain *body);

#endif
