/* One writer of digits serves base32, base64 and base64url: they differ in alphabet and bits. */
#include "keys/derive.h"

#include <stdio.h>

#define SALT          "sluice client keys"
#define BEARER_PREFIX "sk-sluice-"
#define ACCESS_PREFIX "AKSL"
#define BEARER_DIGITS 43 /* 256 bits in base64url */
#define SECRET_BYTES  30 /* 40 characters of base64, as AWS's secrets have */
#define INFO_MAX      64
#define BASE32_BITS   5
#define BASE64_BITS   6

/* RFC 4648, sections 4 to 6. */
#define BASE64_COMMON "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
static const char base32_lower[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base32_upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
static const char base64[] = BASE64_COMMON "+/";
static const char base64url[] = BASE64_COMMON "-_";

/* `count` digits of `bits` bits each, the first from the most significant end of bytes; bits
 * missing in the last one are 0. Ends with NUL. */
static void put_digits(const uint8_t *bytes, size_t len, const char *alphabet, unsigned bits,
                       char *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        unsigned digit = 0;
        for (size_t bit = i * bits; bit < (i + 1) * bits; bit++) {
            unsigned set = bit / 8 < len ? (unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1U : 0;
            digit = digit << 1 | set;
        }
        out[i] = alphabet[digit];
    }
    out[count] = '\0';
}

/* The value of base32 digits, at most 12 of them. */
static bool take_digits(struct sl_slice digits, const char *alphabet, uint64_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < digits.len; i++) {
        const char *at = memchr(alphabet, digits.ptr[i], (size_t)1 << BASE32_BITS);
        if (!at)
            return false;
        value = value << BASE32_BITS | (uint64_t)(at - alphabet);
    }
    *out = value;
    return true;
}

void sl_key_id(const uint8_t random[SL_KEY_ID_BYTES], char out[SL_KEY_ID_SIZE + 1]) {
    put_digits(random, SL_KEY_ID_BYTES, base32_lower, BASE32_BITS, out, SL_KEY_ID_SIZE);
}

void sl_key_extract(const uint8_t master[SL_KEY_MASTER_SIZE], uint8_t out[SL_SHA256_SIZE]) {
    sl_hmac_sha256(SL_LIT(SALT), sl_slice_of(master, SL_KEY_MASTER_SIZE), out);
}

/* HKDF-Expand of one block: HMAC(key, info || 1). No part of info can hold its '/'. */
static void expand(const uint8_t extracted[SL_SHA256_SIZE], const char *purpose, const char *id,
                   uint32_t generation, uint8_t out[SL_SHA256_SIZE]) {
    char info[INFO_MAX];
    int len = snprintf(info, sizeof(info), "%s/%.*s/%u\x01", purpose, SL_KEY_ID_SIZE, id,
                       (unsigned)generation);
    sl_hmac_sha256(sl_slice_of(extracted, SL_SHA256_SIZE), sl_slice_of(info, (size_t)len), out);
}

void sl_key_bearer(const uint8_t extracted[SL_SHA256_SIZE], const char *id, uint32_t generation,
                   char out[SL_KEY_BEARER_LEN + 1]) {
    uint8_t bytes[SL_SHA256_SIZE];
    expand(extracted, "bearer", id, generation, bytes);
    int len = snprintf(out, SL_KEY_BEARER_LEN + 1, BEARER_PREFIX "%.*s-", SL_KEY_ID_SIZE, id);
    put_digits(bytes, sizeof(bytes), base64url, BASE64_BITS, out + len, BEARER_DIGITS);
    explicit_bzero(bytes, sizeof(bytes));
}

void sl_key_secret(const uint8_t extracted[SL_SHA256_SIZE], const char *id, uint32_t generation,
                   char out[SL_KEY_SECRET_LEN + 1]) {
    uint8_t bytes[SL_SHA256_SIZE];
    expand(extracted, "secret access key", id, generation, bytes);
    put_digits(bytes, SECRET_BYTES, base64, BASE64_BITS, out, SL_KEY_SECRET_LEN);
    explicit_bzero(bytes, sizeof(bytes));
}

void sl_key_access_id(const char *id, uint32_t generation, char out[SL_KEY_ACCESS_ID_LEN + 1]) {
    char *p = out + sizeof(ACCESS_PREFIX) - 1;
    memcpy(out, ACCESS_PREFIX, sizeof(ACCESS_PREFIX) - 1);
    for (size_t i = 0; i < SL_KEY_ID_SIZE; i++)
        *p++ = (char)(id[i] >= 'a' && id[i] <= 'z' ? id[i] - 32 : id[i]);
    uint32_t left = generation << 2; /* its 30 bits from the top */
    uint8_t bytes[] = {(uint8_t)(left >> 24), (uint8_t)(left >> 16), (uint8_t)(left >> 8),
                       (uint8_t)left};
    put_digits(bytes, sizeof(bytes), base32_upper, BASE32_BITS, p,
               SL_KEY_ACCESS_ID_LEN - (size_t)(p - out));
}

bool sl_key_id_number(struct sl_slice id, uint64_t *out) {
    return id.len == SL_KEY_ID_SIZE && take_digits(id, base32_lower, out);
}

bool sl_key_parse_bearer(struct sl_slice token, char id[SL_KEY_ID_SIZE + 1]) {
    const size_t prefix = sizeof(BEARER_PREFIX) - 1;
    struct sl_slice found = sl_slice_head(sl_slice_skip(token, prefix), SL_KEY_ID_SIZE);
    uint64_t number;
    if (token.len != SL_KEY_BEARER_LEN || !sl_slice_starts(token, SL_LIT(BEARER_PREFIX)) ||
        token.ptr[prefix + SL_KEY_ID_SIZE] != '-' || !sl_key_id_number(found, &number))
        return false;
    memcpy(id, found.ptr, SL_KEY_ID_SIZE);
    id[SL_KEY_ID_SIZE] = '\0';
    return true;
}

bool sl_key_parse_access_id(struct sl_slice text, char id[SL_KEY_ID_SIZE + 1],
                            uint32_t *generation) {
    const size_t prefix = sizeof(ACCESS_PREFIX) - 1;
    struct sl_slice found = sl_slice_head(sl_slice_skip(text, prefix), SL_KEY_ID_SIZE);
    uint64_t number, of;
    if (text.len != SL_KEY_ACCESS_ID_LEN || !sl_slice_starts(text, SL_LIT(ACCESS_PREFIX)) ||
        !take_digits(found, base32_upper, &number) ||
        !take_digits(sl_slice_skip(text, prefix + SL_KEY_ID_SIZE), base32_upper, &of))
        return false;
    for (size_t i = 0; i < SL_KEY_ID_SIZE; i++)
        id[i] = sl_ascii_lower(found.ptr[i]);
    id[SL_KEY_ID_SIZE] = '\0';
    *generation = (uint32_t)of;
    return true;
}
