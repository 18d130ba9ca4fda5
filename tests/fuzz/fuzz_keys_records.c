/*
 * Records of keys as lines "id name models operations s3_prefix subject number" in fields separated
 * by tabs: what is put can be found by its secrets, allows the models that its patterns say, and is
 * gone once a sweep found that it was not put again.
 */
#include <assert.h>
#include <string.h>

#include "sluice/core/model.h"
#include "sluice/keys/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS   7
#define TEXT_MAX 4096

static const uint8_t master[1][SL_KEY_MASTER_SIZE] = {"a master secret for fuzzing ...."};

/* The fields as strings, one behind the other; empty ones are NULL. */
static void split(struct sl_slice line, const char *fields[FIELDS], char text[TEXT_MAX]) {
    struct sl_slice field;
    for (size_t i = 0; i < FIELDS; i++) {
        fields[i] = NULL;
        if (!sl_slice_split(&line, '\t', &field) || field.len == 0 || field.len >= TEXT_MAX / 8)
            continue;
        memcpy(text, field.ptr, field.len);
        text[field.len] = '\0';
        fields[i] = text;
        text += field.len + 1;
    }
}

static void check_secrets(struct sl_keys *keys, const struct sl_key_record *record) {
    const struct sl_verify_settings settings = {.skew_s = 300};
    struct sl_key_secrets secrets;
    struct sl_proof proof = {0};
    struct sl_arena arena;
    sl_arena_init(&arena, 1 << 16);
    int rc = sl_key_secrets(keys, record, &secrets);
    assert(rc == SL_OK);
    struct sl_header items[] = {{SL_LIT("x-api-key"), sl_slice_str(secrets.bearer)}};
    struct sl_request_head head = {.method = SL_LIT("GET"),
                                   .target = SL_LIT("/"),
                                   .authority = SL_LIT("h"),
                                   .headers = {items, 1, 1}};
    rc = sl_proof_head(keys, &proof, &settings, &head, SL_EMPTY, SL_LIT("192.0.2.1:1"), &arena,
                       SL_NS_PER_S, 1000);
    bool good = !record->revoked_at && (!record->expires_at || record->expires_at > 1000);
    assert(rc == (good ? SL_OK : SL_E_DENIED));
    if (rc == SL_OK) {
        assert(strcmp(proof.client->id, record->id) == 0);
        assert(record->models || sl_client_allows_model(proof.client, SL_LIT("any")));
    }
    sl_proof_done(&proof);
    sl_arena_done(&arena);
}

static void put(struct sl_keys *keys, struct sl_slice line) {
    const char *fields[FIELDS];
    char text[TEXT_MAX];
    uint64_t number = 0;
    split(line, fields, text);
    (void)sl_slice_u64(sl_slice_str(fields[6]), &number);
    struct sl_key_record record = {.name = fields[1],
                                   .models = fields[2],
                                   .operations = fields[3],
                                   .s3_prefix = fields[4],
                                   .subject = fields[5],
                                   .generation = 1 + (uint32_t)(number >> 8),
                                   .revoked_at = number & 1,
                                   .expires_at = number & 2 ? 999 + (number >> 3 & 3) : 0,
                                   .priority = (enum sl_class)(number >> 2 & 3)};
    sl_key_id((const uint8_t *)"fuzzing", record.id);
    if (fields[0])
        strncpy(record.id, fields[0], SL_KEY_ID_SIZE);
    int rc = sl_keys_put(keys, &record);
    assert(rc == SL_OK || rc == SL_E_INVALID || rc == SL_E_LIMIT || rc == SL_E_NOMEM);
    if (rc == SL_OK)
        check_secrets(keys, &record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_slice all = sl_slice_of(data, size), line;
    struct sl_keys *keys = sl_keys_new(master, 1);
    assert(keys);
    while (all.len > 0 && sl_slice_split(&all, '\n', &line)) {
        if (line.len > 0)
            put(keys, line);
        else
            sl_keys_sweep(keys);
    }
    sl_keys_sweep(keys);
    sl_keys_sweep(keys);
    assert(sl_keys_count(keys) == 0);
    sl_keys_free(keys);
    return 0;
}
