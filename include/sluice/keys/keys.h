/*
 * Client keys: who may use the gateway, and as whom. One key is one record; from a master secret,
 * the key's id and its generation come a bearer token and a virtual AWS key pair, so that no secret
 * is stored. Pure: records come in as plain data, time is passed in, nothing is written.
 *
 *   bearer token   "sk-sluice-<id>-<43 base64url characters>"
 *   access key id  "AKSL" + 16 characters (base32 of id and generation)
 *   secret         40 characters of base64
 *
 * A request is known by the first of: a client certificate's subject; Authorization: Bearer;
 * x-api-key; Authorization: AWS4-HMAC-SHA256; a presigned query. Two master secrets may be valid at
 * once (the second is being retired), and two generations of a key while a rotation overlaps.
 */
#ifndef SLUICE_KEYS_KEYS_H
#define SLUICE_KEYS_KEYS_H

#include "sluice/core/client.h"
#include "sluice/core/failure.h"
#include "sluice/core/message.h"
#include "sluice/wire/sigv4.h"

#define SL_KEY_ID_SIZE     10 /* characters of a key's id: lower-case base32 */
#define SL_KEY_MASTER_SIZE 32
#define SL_KEYS_MAX        100000
#define SL_KEY_LIST_MAX    64 /* patterns of models in one record */
#define SL_KEY_MASTERS     2  /* that may be valid at once */
/* An access key id has room for 30 bits of it. */
#define SL_KEY_GENERATION_MAX ((UINT32_C(1) << 30) - 1)
/* Random bytes behind an id: 50 bits of them are used. */
#define SL_KEY_ID_BYTES 7

/* As stored. Strings are owned by whoever holds the record; _put copies. */
struct sl_key_record {
    char id[SL_KEY_ID_SIZE + 1];
    const char *name;       /* unique among live keys */
    const char *subject;    /* of a client certificate that stands for this key; NULL: none */
    uint32_t generation;    /* from 1; raised by rotate */
    uint64_t overlap_until; /* wall s: the former generation is valid until then; 0: not */
    uint64_t created_at;    /* wall s */
    uint64_t expires_at;    /* wall s; 0: never */
    uint64_t revoked_at;    /* wall s; 0: live */
    enum sl_class priority;
    uint64_t rpm, tpm;
    enum sl_cache_when cache;
    const char *models;     /* comma-separated patterns; NULL: all */
    const char *operations; /* comma-separated: "async-invoke", "listings"; NULL: none of them */
    const char *s3_prefix;  /* "s3://bucket/prefix"; NULL: no s3Location */
};

/* What a key gives its holder. Wipe after use. */
struct sl_key_secrets {
    char bearer[96];
    char access_key_id[24];
    char secret[48];
};

struct sl_keys;

/* master: one or two secrets of SL_KEY_MASTER_SIZE; the first makes new ones. Copied, wiped by
 * _free. */
SL_NODISCARD struct sl_keys *sl_keys_new(const uint8_t (*master)[SL_KEY_MASTER_SIZE], size_t count);
void sl_keys_free(struct sl_keys *keys);
/* Adds or replaces by id. Clients of requests under way keep what they began with. SL_E_NOMEM,
 * SL_E_LIMIT, SL_E_INVALID (a bad id, an unknown operation). */
SL_NODISCARD int sl_keys_put(struct sl_keys *keys, const struct sl_key_record *record);
/* Drops those not put since the last call of _sweep: for reloading all records. */
void sl_keys_sweep(struct sl_keys *keys);
size_t sl_keys_count(const struct sl_keys *keys);
/* The secrets of a record's current generation, by the first master secret. */
SL_NODISCARD int sl_key_secrets(const struct sl_keys *keys, const struct sl_key_record *record,
                                struct sl_key_secrets *out);
/*
 * "async-invoke", "listings": bits of sl_client.operations. "s3" is the bit of SL_OP_NONE here and
 * none in a client: a record with it and without a prefix gets the prefix "s3://", any location.
 * SL_E_INVALID: a word that is not known.
 */
SL_NODISCARD int sl_key_operations(struct sl_slice list, uint64_t *out);
/* A new key's id, from random bytes. */
void sl_key_id(const uint8_t random[SL_KEY_ID_BYTES], char out[SL_KEY_ID_SIZE + 1]);
/*
 * For those who need a client beyond its proof. Each hold needs one release; both take
 * sl_client_everybody() too, and do nothing with it.
 */
void sl_keys_hold(struct sl_client *client);
void sl_keys_release(struct sl_client *client);

/* Hosts that a proxy in front may have rewritten: a signature may have been made for any of them.
 */
struct sl_verify_settings {
    const struct sl_slice *trusted_hosts;
    size_t trusted_host_count;
    uint64_t skew_s; /* 300 */
};

/* One request's proof, between its head and its body's end. Embed; wipe with _done. */
struct sl_proof {
    struct sl_client *client;        /* held; set once known */
    bool needs_body;                 /* a signature: the body's hash is to be checked by _body */
    uint8_t claimed[SL_SHA256_SIZE]; /* the hash that was signed, when the head names it */
    bool has_claimed;
    /* Everything else needed to compute the signature once the body's hash is known. */
    struct sl_key *key;
    struct sl_sigv4_credential credential;
    char date[SL_AMZ_DATE_SIZE];
    struct sl_slice query; /* as it was signed: a presigned one has lost its signature */
    uint32_t generation;   /* of the access key id */
    bool proved;           /* the signature is right, for the hash claimed */
    /* A refusal: */
    enum sl_failure failure;
    struct sl_slice message; /* lives in the arena given to _head or _body */
};

/*
 * Looks at a request's head. Returns SL_OK: known, no more to check. SL_E_AGAIN: known by its key
 * id, to be proved by sl_proof_body. SL_E_DENIED: refused, with failure and message as AWS words
 * them (InvalidSignatureException shows the canonical request; MissingAuthenticationTokenException,
 * UnrecognizedClientException, IncompleteSignatureException, …). SL_E_NOMEM. `subject` is the
 * client certificate's, verified by TLS; empty: none. The head and the arena must live
 * until _body. address: of the peer, with or without its port, for limiting failures: after
 * SL_PROOF_FAILURES wrong secrets within a minute it is refused unseen until the minute is over
 * (429). IPv6 addresses count by their /64.
 */
SL_NODISCARD int sl_proof_head(struct sl_keys *keys, struct sl_proof *proof,
                               const struct sl_verify_settings *settings,
                               const struct sl_request_head *head, struct sl_slice subject,
                               struct sl_slice address, struct sl_arena *arena, uint64_t now,
                               uint64_t wall_s);
/* Between SL_E_AGAIN and _body: the client whose key id the head names, held by the proof. Nothing
 * is proved yet: good for reading the body by its rules, not for acting in its name. */
struct sl_client *sl_proof_claimed(const struct sl_proof *proof);
/* The body is in: its hash as received. SL_OK, SL_E_DENIED, SL_E_NOMEM. */
SL_NODISCARD int sl_proof_body(struct sl_keys *keys, struct sl_proof *proof,
                               const struct sl_verify_settings *settings,
                               const struct sl_request_head *head, const uint8_t sha256[32],
                               struct sl_slice address, struct sl_arena *arena, uint64_t now,
                               uint64_t wall_s);
void sl_proof_done(struct sl_proof *proof); /* lets go of the client; safe on a zeroed struct */

#define SL_PROOF_FAILURES 30 /* wrong secrets from one address in a minute */

#endif
