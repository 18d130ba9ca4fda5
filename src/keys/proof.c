/*
 * The ways to prove who one is, in their order; the first that is tried decides. What the key's
 * standing is (revoked, expired, rotated) is told only to those who have shown its secret.
 *
 * Only wrong secrets count as failures: a clock that is off or a header that was not signed is a
 * mistake, and guesses nothing.
 */
#include <stdarg.h>
#include <stdio.h>

#include "keys/derive.h"
#include "keys/verify.h"

#define ALGORITHM "AWS4-HMAC-SHA256"

int sl_proof_refuse(struct sl_proof_look *look, enum sl_failure failure, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = len < 0 ? NULL : sl_arena_alloc(look->arena, (size_t)len + 1);
    if (!text)
        return SL_E_NOMEM;
    va_start(args, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    look->proof->failure = failure;
    look->proof->message = sl_slice_of(text, (size_t)len);
    return SL_E_DENIED;
}

/* ---- The key's standing ----------------------------------------------------------- */

static bool is_former(const struct sl_key *key, uint32_t generation, uint64_t wall_s) {
    bool overlaps = generation + 1 == key->generation && wall_s < key->overlap_until;
    return generation != key->generation && !overlaps;
}

int sl_proof_admit(struct sl_proof_look *look, uint32_t generation) {
    struct sl_key *key = look->proof->key;
    char date[SL_ISO_DATE_SIZE];
    if (key->revoked_at)
        return sl_proof_refuse(look, SL_FAILURE_UNKNOWN_CLIENT,
                               "The security token included in the request is invalid: the key "
                               "\"%s\" was revoked.",
                               key->client.name);
    if (key->expires_at && look->wall_s >= key->expires_at) {
        /* Far beyond the year 9999 no date can be written, nor has anything expired. */
        sl_clock_iso_date((int64_t)key->expires_at * 1000, date);
        return sl_proof_refuse(look, SL_FAILURE_EXPIRED_TOKEN,
                               "The security token included in the request is expired: the key "
                               "\"%s\" was valid until %s.",
                               key->client.name, date);
    }
    if (is_former(key, generation, look->wall_s))
        return sl_proof_refuse(look, SL_FAILURE_UNKNOWN_CLIENT,
                               "The security token included in the request is invalid: the key "
                               "\"%s\" was rotated, and this is its former secret.",
                               key->client.name);
    look->proof->client = &key->client;
    look->proof->needs_body = false;
    return SL_OK;
}

static void take_key(struct sl_proof_look *look, struct sl_key *key) {
    look->proof->key = key;
    sl_keys_hold(&key->client);
}

/* ---- Bearer tokens ---------------------------------------------------------------- */

/* Compares with both generations by all master secrets, whatever matches: the same time for all.
 * Returns the generation, or 0. The former of the first is 0, which nobody has. */
static uint32_t match_token(const struct sl_keys *keys, const struct sl_key *key,
                            struct sl_slice token) {
    uint32_t found = 0;
    for (size_t m = 0; m < keys->masters; m++)
        for (uint32_t back = 0; back <= 1; back++)
            if (sl_slice_eq_secret(token, sl_slice_of(key->bearer[m][back], SL_KEY_BEARER_LEN)))
                found = key->generation - back;
    return found;
}

static int check_token(struct sl_proof_look *look, struct sl_slice token) {
    struct sl_keys *keys = look->keys;
    char id[SL_KEY_ID_SIZE + 1];
    struct sl_key *known = sl_key_parse_bearer(token, id) ? sl_keys_by_id(keys, id) : NULL;
    uint32_t generation = match_token(keys, known ? known : keys->nobody, token);
    if (!known || generation == 0) {
        sl_failures_note(&keys->failures, look->address, look->now);
        return sl_proof_refuse(look, SL_FAILURE_BAD_TOKEN,
                               "Authentication failed: Please make sure your API Key is valid.");
    }
    take_key(look, known);
    return sl_proof_admit(look, generation);
}

/* ---- The ways --------------------------------------------------------------------- */

/* A certificate that stands for no key leaves the other ways open. */
static bool try_certificate(struct sl_proof_look *look, struct sl_slice subject, int *rc) {
    struct sl_key *key = subject.len > 0 ? sl_keys_by_subject(look->keys, subject) : NULL;
    if (!key)
        return false;
    take_key(look, key);
    *rc = sl_proof_admit(look, key->generation);
    return true;
}

static int look_at_head(struct sl_proof_look *look, struct sl_slice subject) {
    const struct sl_headers *headers = &look->head->headers;
    struct sl_slice value = sl_headers_get(headers, SL_LIT("authorization"));
    struct sl_slice api_key = sl_headers_get(headers, SL_LIT("x-api-key"));
    struct sl_slice bearer = SL_LIT("bearer ");
    int rc = SL_OK;
    if (try_certificate(look, subject, &rc))
        return rc;
    if (sl_slice_ieq(sl_slice_head(value, bearer.len), bearer))
        return check_token(look, sl_slice_trim(sl_slice_skip(value, bearer.len)));
    if (api_key.len > 0)
        return check_token(look, api_key);
    if (sl_slice_starts(value, SL_LIT(ALGORITHM)))
        return sl_verify_head(look, value);
    if (sl_presigned(sl_target_query(look->head->target)))
        return sl_verify_head(look, SL_EMPTY);
    return sl_proof_refuse(look, SL_FAILURE_NO_SIGNATURE, "Missing Authentication Token");
}

int sl_proof_head(struct sl_keys *keys, struct sl_proof *proof,
                  const struct sl_verify_settings *settings, const struct sl_request_head *head,
                  struct sl_slice subject, struct sl_slice address, struct sl_arena *arena,
                  uint64_t now, uint64_t wall_s) {
    struct sl_proof_look look = {.keys = keys,
                                 .proof = proof,
                                 .settings = settings,
                                 .head = head,
                                 .address = address,
                                 .arena = arena,
                                 .now = now,
                                 .wall_s = wall_s};
    *proof = (struct sl_proof){0};
    uint64_t wait = sl_failures_wait(&keys->failures, address, SL_PROOF_FAILURES, now);
    if (wait > 0)
        return sl_proof_refuse(&look, SL_FAILURE_THROTTLED,
                               "Too many wrong keys or signatures from this address: nothing from "
                               "it is looked at for another %u seconds.",
                               (unsigned)((wait + SL_NS_PER_S - 1) / SL_NS_PER_S));
    return look_at_head(&look, subject);
}

int sl_proof_body(struct sl_keys *keys, struct sl_proof *proof,
                  const struct sl_verify_settings *settings, const struct sl_request_head *head,
                  const uint8_t sha256[32], struct sl_slice address, struct sl_arena *arena,
                  uint64_t now, uint64_t wall_s) {
    struct sl_proof_look look = {.keys = keys,
                                 .proof = proof,
                                 .settings = settings,
                                 .head = head,
                                 .address = address,
                                 .arena = arena,
                                 .now = now,
                                 .wall_s = wall_s};
    return proof->needs_body ? sl_verify_body(&look, sha256) : SL_OK;
}

struct sl_client *sl_proof_claimed(const struct sl_proof *proof) {
    return &proof->key->client;
}

void sl_proof_done(struct sl_proof *proof) {
    if (proof->key)
        sl_keys_release(&proof->key->client);
    explicit_bzero(proof, sizeof(*proof));
}
