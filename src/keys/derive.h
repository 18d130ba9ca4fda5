/*
 * From a master secret to what a key's holder gets, and from what a request shows back to the key's
 * id. HKDF-SHA256 (RFC 5869): the extract step once a master secret, one expand step a secret, with
 * the purpose, the key's id and its generation as info, so that no secret tells of another.
 */
#ifndef KEYS_DERIVE_H
#define KEYS_DERIVE_H

#include "sluice/keys/keys.h"

#define SL_KEY_BEARER_LEN    64 /* "sk-sluice-", id, '-', 43 characters */
#define SL_KEY_ACCESS_ID_LEN 20 /* "AKSL", id, 6 characters of generation */
#define SL_KEY_SECRET_LEN    40

/* HKDF-Extract; out replaces the master secret in memory. */
void sl_key_extract(const uint8_t master[SL_KEY_MASTER_SIZE], uint8_t out[SL_SHA256_SIZE]);
/* Each writes a NUL-terminated text. id: SL_KEY_ID_SIZE characters. */
void sl_key_bearer(const uint8_t extracted[SL_SHA256_SIZE], const char *id, uint32_t generation,
                   char out[SL_KEY_BEARER_LEN + 1]);
void sl_key_secret(const uint8_t extracted[SL_SHA256_SIZE], const char *id, uint32_t generation,
                   char out[SL_KEY_SECRET_LEN + 1]);
void sl_key_access_id(const char *id, uint32_t generation, char out[SL_KEY_ACCESS_ID_LEN + 1]);

/* False where it cannot be one of ours. Only the form is looked at. */
bool sl_key_parse_bearer(struct sl_slice token, char id[SL_KEY_ID_SIZE + 1]);
bool sl_key_parse_access_id(struct sl_slice text, char id[SL_KEY_ID_SIZE + 1],
                            uint32_t *generation);
/* The 50 bits that an id's characters stand for; false where one of them stands for none. */
bool sl_key_id_number(struct sl_slice id, uint64_t *out);

#endif
