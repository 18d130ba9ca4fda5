/* What one look at a request works with, and SigV4 as a way to prove who sent it. */
#ifndef KEYS_VERIFY_H
#define KEYS_VERIFY_H

#include "keys/records.h"

struct sl_proof_look {
    struct sl_keys *keys;
    struct sl_proof *proof;
    const struct sl_verify_settings *settings;
    const struct sl_request_head *head;
    struct sl_slice address;
    struct sl_arena *arena;
    uint64_t now, wall_s;
};

/* SL_E_DENIED with failure and message set, so that `return sl_proof_refuse(…)` reads as it acts;
 * SL_E_NOMEM where the message found no room. */
SL_NODISCARD int sl_proof_refuse(struct sl_proof_look *look, enum sl_failure failure,
                                 const char *fmt, ...) SL_PRINTF(3, 4);
/* The secret of this generation was shown: lets the client in, unless the key's time is over. */
SL_NODISCARD int sl_proof_admit(struct sl_proof_look *look, uint32_t generation);

/* A SigV4 proof taken apart, from header or query. */
struct sl_verify_claim {
    struct sl_slice date; /* as it was sent */
    bool presigned;
    uint64_t expires_s; /* of a presigned query */
};

/* True where the query says that it is presigned. */
bool sl_presigned(struct sl_slice query);
/*
 * Reads it into proof->credential and *claim, and the query without its signature into
 * proof->query; all of it in the arena. SL_OK, SL_E_DENIED, SL_E_NOMEM.
 */
SL_NODISCARD int sl_presigned_read(struct sl_proof_look *look, struct sl_verify_claim *claim);

/* As sl_proof_head and _body, for requests with an Authorization header (value) or, where value is
 * empty, a presigned query. */
SL_NODISCARD int sl_verify_head(struct sl_proof_look *look, struct sl_slice value);
SL_NODISCARD int sl_verify_body(struct sl_proof_look *look, const uint8_t sha256[SL_SHA256_SIZE]);

#endif
