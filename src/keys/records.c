/*
 * A key is one block: the client, the patterns of its models, and all text behind them. A put that
 * fails leaves the former record in its place, but unmarked, so that the next sweep takes it away:
 * a key whose change cannot be read is refused rather than served as it was.
 */
#include "keys/records.h"

#include <assert.h>
#include <stdio.h>

#include "sluice/base/mem.h"
#include "sluice/core/call.h"

/* Heads are bounded far below by the front. */
#define SCRATCH_MAX 524288
#define ANYWHERE    "s3://"
/* Keeps the tenants of keys apart from 0, everybody. */
#define TENANT_BIT (UINT64_C(1) << 50)

#define BIT(op) (UINT64_C(1) << (op))

static const struct {
    struct sl_slice word;
    uint64_t bits;
} grants[] = {
    {SL_LIT("s3"), BIT(SL_OP_NONE)},
    {SL_LIT("async-invoke"),
     BIT(SL_OP_START_ASYNC_INVOKE) | BIT(SL_OP_GET_ASYNC_INVOKE) | BIT(SL_OP_LIST_ASYNC_INVOKES)},
    {SL_LIT("listings"), BIT(SL_OP_LIST_FOUNDATION_MODELS) | BIT(SL_OP_GET_FOUNDATION_MODEL) |
                             BIT(SL_OP_LIST_INFERENCE_PROFILES) | BIT(SL_OP_GET_INFERENCE_PROFILE) |
                             BIT(SL_OP_MANTLE_MODELS)},
};
#define GRANTS (sizeof(grants) / sizeof(grants[0]))

int sl_key_operations(struct sl_slice list, uint64_t *out) {
    uint64_t bits = 0;
    struct sl_slice word;
    if (list.len == 0)
        list.ptr = NULL; /* none, rather than one empty word */
    while (sl_slice_split(&list, ',', &word)) {
        size_t i = 0;
        while (i < GRANTS && !sl_slice_eq(sl_slice_trim(word), grants[i].word))
            i++;
        if (i == GRANTS)
            return SL_E_INVALID;
        bits |= grants[i].bits;
    }
    *out = bits;
    return SL_OK;
}

/* ---- One key ---------------------------------------------------------------------- */

/* A record's parts, checked. */
struct parts {
    struct sl_slice name, subject, s3_prefix;
    struct sl_slice models[SL_KEY_LIST_MAX];
    size_t model_count;
    uint64_t number, operations;
};

static int split_models(struct parts *parts, struct sl_slice list) {
    struct sl_slice pattern;
    if (list.len == 0)
        return SL_OK;
    while (sl_slice_split(&list, ',', &pattern)) {
        pattern = sl_slice_trim(pattern);
        if (pattern.len == 0)
            return SL_E_INVALID;
        if (parts->model_count == SL_KEY_LIST_MAX)
            return SL_E_LIMIT;
        parts->models[parts->model_count++] = pattern;
    }
    return SL_OK;
}

static int check(const struct sl_key_record *record, struct parts *parts) {
    *parts = (struct parts){.name = sl_slice_str(record->name),
                            .subject = sl_slice_str(record->subject),
                            .s3_prefix = sl_slice_str(record->s3_prefix)};
    if (!sl_key_id_number(sl_slice_of(record->id, strnlen(record->id, sizeof(record->id))),
                          &parts->number) ||
        parts->name.len == 0 || parts->name.len > SL_CLIENT_NAME_MAX || record->generation == 0 ||
        record->generation > SL_KEY_GENERATION_MAX || record->priority >= SL_CLASS_COUNT ||
        record->cache > SL_CACHE_ALWAYS ||
        (parts->s3_prefix.len > 0 && !sl_slice_starts(parts->s3_prefix, SL_LIT(ANYWHERE))) ||
        sl_key_operations(sl_slice_str(record->operations), &parts->operations) != SL_OK)
        return SL_E_INVALID;
    if ((parts->operations & BIT(SL_OP_NONE)) && parts->s3_prefix.len == 0)
        parts->s3_prefix = SL_LIT(ANYWHERE);
    parts->operations &= ~BIT(SL_OP_NONE);
    return split_models(parts, sl_slice_str(record->models));
}

static struct sl_slice copy(char **to, struct sl_slice s) {
    struct sl_slice made = sl_slice_of(*to, s.len);
    if (s.len > 0)
        memcpy(*to, s.ptr, s.len);
    *to += s.len;
    return made;
}

static void derive_bearers(const struct sl_keys *keys, struct sl_key *key) {
    for (size_t m = 0; m < keys->masters; m++)
        for (uint32_t back = 0; back <= 1; back++)
            sl_key_bearer(keys->extracted[m], key->client.id, key->generation - back,
                          key->bearer[m][back]);
}

static struct sl_key *new_key(const struct sl_keys *keys, const struct sl_key_record *record,
                              const struct parts *parts) {
    size_t slices = parts->model_count * sizeof(struct sl_slice);
    size_t text = parts->subject.len + parts->s3_prefix.len;
    for (size_t i = 0; i < parts->model_count; i++)
        text += parts->models[i].len;
    struct sl_key *key = sl_calloc(1, sizeof(*key) + slices + text);
    if (!key)
        return NULL;
    struct sl_slice *models = (struct sl_slice *)(void *)key->text;
    char *to = key->text + slices;
    for (size_t i = 0; i < parts->model_count; i++)
        models[i] = copy(&to, parts->models[i]);
    key->client = (struct sl_client){
        .refs = 1,
        .tenant = TENANT_BIT | parts->number,
        .priority = record->priority,
        .rpm = record->rpm,
        .tpm = record->tpm,
        .cache = record->cache,
        .models = models,
        .model_count = parts->model_count,
        .operations = parts->operations,
        .s3_prefix = copy(&to, parts->s3_prefix),
    };
    memcpy(key->client.id, record->id, SL_KEY_ID_SIZE);
    memcpy(key->client.name, parts->name.ptr, parts->name.len);
    key->subject = copy(&to, parts->subject);
    key->generation = record->generation;
    key->overlap_until = record->overlap_until;
    key->expires_at = record->expires_at;
    key->revoked_at = record->revoked_at;
    derive_bearers(keys, key);
    return key;
}

/* The client is the key's first member, and everybody has no id. */
static struct sl_key *key_of(struct sl_client *client) {
    return client->id[0] ? SL_CONTAINER(client, struct sl_key, client) : NULL;
}

void sl_keys_hold(struct sl_client *client) {
    if (key_of(client))
        client->refs++;
}

void sl_keys_release(struct sl_client *client) {
    struct sl_key *key = key_of(client);
    if (!key)
        return;
    assert(client->refs > 0);
    if (--client->refs > 0)
        return;
    for (size_t i = 0; i < SL_KEY_MASTERS; i++)
        sl_sigv4_key_done(&key->signing[i]);
    explicit_bzero(key->bearer, sizeof(key->bearer));
    sl_free(key);
}

/* ---- All of them ------------------------------------------------------------------ */

/* Any id will do: it stands in no table, and what its secret opens is refused in any case. */
static struct sl_key *new_nobody(const struct sl_keys *keys) {
    struct sl_key_record record = {.id = "aaaaaaaaaa", .name = "nobody", .generation = 1};
    struct parts parts;
    return check(&record, &parts) == SL_OK ? new_key(keys, &record, &parts) : NULL;
}

struct sl_keys *sl_keys_new(const uint8_t (*master)[SL_KEY_MASTER_SIZE], size_t count) {
    struct sl_keys *keys =
        count > 0 && count <= SL_KEY_MASTERS ? sl_calloc(1, sizeof(*keys)) : NULL;
    if (!keys)
        return NULL;
    keys->masters = count;
    for (size_t i = 0; i < count; i++)
        sl_key_extract(master[i], keys->extracted[i]);
    sl_list_init(&keys->all);
    sl_buf_init(&keys->scratch, SCRATCH_MAX);
    int rc = sl_failures_init(&keys->failures);
    if (rc == SL_OK)
        rc = sl_table_init(&keys->by_id);
    if (rc == SL_OK)
        rc = sl_table_init(&keys->by_subject);
    keys->nobody = new_nobody(keys);
    if (rc == SL_OK && keys->nobody)
        return keys;
    sl_keys_free(keys);
    return NULL;
}

static void drop(struct sl_keys *keys, struct sl_key *key) {
    sl_table_remove(&keys->by_id, &key->by_id);
    if (key->subject.len > 0)
        sl_table_remove(&keys->by_subject, &key->by_subject);
    sl_list_remove(&key->link);
    sl_keys_release(&key->client);
}

void sl_keys_free(struct sl_keys *keys) {
    if (!keys)
        return;
    SL_LIST_EACH(&keys->all, node, next) {
        drop(keys, SL_CONTAINER(node, struct sl_key, link));
    }
    if (keys->nobody)
        sl_keys_release(&keys->nobody->client);
    sl_table_done(&keys->by_id);
    sl_table_done(&keys->by_subject);
    sl_failures_done(&keys->failures);
    sl_buf_done_secret(&keys->scratch);
    explicit_bzero(keys->extracted, sizeof(keys->extracted));
    sl_free(keys);
}

struct sl_key *sl_keys_by_id(const struct sl_keys *keys, const char *id) {
    struct sl_table_node *node = sl_table_find(&keys->by_id, sl_hash(sl_slice_str(id)));
    for (; node; node = sl_table_find_next(node)) {
        struct sl_key *key = SL_CONTAINER(node, struct sl_key, by_id);
        if (strcmp(key->client.id, id) == 0)
            return key;
    }
    return NULL;
}

/* A revoked key and the one that followed it may have one subject: the live one is meant. */
struct sl_key *sl_keys_by_subject(const struct sl_keys *keys, struct sl_slice subject) {
    struct sl_key *found = NULL;
    struct sl_table_node *node = sl_table_find(&keys->by_subject, sl_hash(subject));
    for (; node; node = sl_table_find_next(node)) {
        struct sl_key *key = SL_CONTAINER(node, struct sl_key, by_subject);
        if (sl_slice_eq(key->subject, subject) && (!found || found->revoked_at))
            found = key;
    }
    return found;
}

int sl_keys_put(struct sl_keys *keys, const struct sl_key_record *record) {
    struct parts parts;
    int rc = check(record, &parts);
    if (rc < 0)
        return rc;
    struct sl_key *former = sl_keys_by_id(keys, record->id);
    if (!former && keys->by_id.count == SL_KEYS_MAX)
        return SL_E_LIMIT;
    struct sl_key *key = new_key(keys, record, &parts);
    if (!key)
        return SL_E_NOMEM;
    if (former)
        drop(keys, former);
    key->round = keys->round;
    sl_list_push_back(&keys->all, &key->link);
    sl_table_insert(&keys->by_id, &key->by_id, sl_hash(sl_slice_str(key->client.id)));
    if (key->subject.len > 0)
        sl_table_insert(&keys->by_subject, &key->by_subject, sl_hash(key->subject));
    return SL_OK;
}

void sl_keys_sweep(struct sl_keys *keys) {
    for (struct sl_list *first; (first = sl_list_first(&keys->all)) != NULL;) {
        struct sl_key *key = SL_CONTAINER(first, struct sl_key, link);
        if (key->round == keys->round)
            break;
        drop(keys, key);
    }
    keys->round++;
}

size_t sl_keys_count(const struct sl_keys *keys) {
    return keys->by_id.count;
}

int sl_key_secrets(const struct sl_keys *keys, const struct sl_key_record *record,
                   struct sl_key_secrets *out) {
    struct parts parts;
    int rc = check(record, &parts);
    if (rc < 0)
        return rc;
    sl_key_bearer(keys->extracted[0], record->id, record->generation, out->bearer);
    sl_key_access_id(record->id, record->generation, out->access_key_id);
    sl_key_secret(keys->extracted[0], record->id, record->generation, out->secret);
    return SL_OK;
}
