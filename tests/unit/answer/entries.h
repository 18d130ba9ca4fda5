/* Kept answers made up for tests: the key decides the digest, model and tenant are as told. */
#ifndef SLUICE_TEST_ANSWER_ENTRIES_H
#define SLUICE_TEST_ANSWER_ENTRIES_H

#include <stdint.h>
#include <string.h>

#include "sluice/answer/kept.h"

#define NEVER UINT64_MAX

struct entry {
    uint64_t key, tenant, expires_at;
    const char *model;
    size_t size; /* of the body */
};

static inline const uint8_t *digest_of(uint64_t key) {
    static uint8_t digest[SL_DIGEST_SIZE];
    memset(digest, 0x5a, sizeof(digest));
    memcpy(digest, &key, sizeof(key));
    return digest;
}

/* A body whose bytes say which entry it is of. */
static inline struct sl_slice body_of(uint64_t key, size_t size) {
    static char body[1 << 20];
    for (size_t i = 0; i < size; i++)
        body[i] = (char)(key * 131 + i * 7);
    return sl_slice_of(body, size);
}

static inline struct sl_kept *make_kept(struct entry e) {
    struct sl_header headers[] = {{SL_LIT("content-type"), SL_LIT("application/json")}};
    struct sl_response_head head = {
        .status = 200, .headers = {headers, 1, 1}, .content_length = (int64_t)e.size};
    struct sl_kept_meta meta = {
        .tenant = e.tenant,
        .model = sl_slice_str(e.model),
        .operation = SL_OP_CONVERSE,
        .usage = SL_USAGE_UNKNOWN,
        .expires_at = e.expires_at,
    };
    memcpy(meta.digest, digest_of(e.key), SL_DIGEST_SIZE);
    return sl_kept_from(&head, body_of(e.key, e.size), &meta);
}

static inline uint64_t next_random(uint64_t *seed) {
    *seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
