/*
 * All keys, by id and by certificate subject. A record is never changed: putting it again makes a
 * new one, and the former lives on while a proof holds it.
 */
#ifndef KEYS_RECORDS_H
#define KEYS_RECORDS_H

#include "keys/derive.h"
#include "keys/failures.h"
#include "sluice/keys/keys.h"

struct sl_key {
    struct sl_client client; /* its refs count the key's holders; the table is one */
    struct sl_table_node by_id, by_subject;
    struct sl_list link; /* on sl_keys.all while in the table */
    uint64_t round;      /* of the last put */
    struct sl_slice subject;
    uint32_t generation;
    uint64_t overlap_until, expires_at, revoked_at;
    /* By master secret: this generation's, the one's before. Derived once, since most requests show
     * one of them. */
    char bearer[SL_KEY_MASTERS][2][SL_KEY_BEARER_LEN + 1];
    /* The signing keys last used, by master secret: clients keep to a day, region and service. */
    struct sl_sigv4_key signing[SL_KEY_MASTERS];
    _Alignas(struct sl_slice) char text[]; /* the patterns, then what all slices point to */
};

struct sl_keys {
    uint8_t extracted[SL_KEY_MASTERS][SL_SHA256_SIZE];
    size_t masters;
    struct sl_table by_id, by_subject;
    struct sl_list all; /* by their last put, the oldest first */
    uint64_t round;     /* raised by each sweep */
    struct sl_failures failures;
    struct sl_key *nobody; /* in no table: what an unknown key id is checked against */
    struct sl_buf scratch; /* for signing */
};

/* Borrowed; NULL where there is none. */
struct sl_key *sl_keys_by_id(const struct sl_keys *keys, const char *id);
struct sl_key *sl_keys_by_subject(const struct sl_keys *keys, struct sl_slice subject);

#endif
