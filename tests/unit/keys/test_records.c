/* Derivation against vectors made by Python's hmac, and the table of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "keys/derive.h"
#include "keys/records.h"
#include "sluice/base/mem.h"
#include "sluice/core/call.h"

static const uint8_t masters[SL_KEY_MASTERS][SL_KEY_MASTER_SIZE] = {
    "the first master secret ........", "and the one being retired ......"};

static struct sl_key_record a_record(const char *id, const char *name) {
    struct sl_key_record record = {
        .name = name, .generation = 1, .priority = SL_CLASS_NORMAL, .rpm = 60};
    snprintf(record.id, sizeof(record.id), "%s", id);
    return record;
}

static struct sl_keys *new_keys(void) {
    struct sl_keys *keys = sl_keys_new(masters, 2);
    assert_non_null(keys);
    return keys;
}

static void test_vectors(void **state) {
    (void)state;
    struct sl_keys *keys = new_keys();
    struct sl_key_record record = a_record("k3vqa7m2zc", "team");
    struct sl_key_secrets secrets;
    record.generation = 7;
    assert_int_equal(sl_key_secrets(keys, &record, &secrets), 0);
    assert_string_equal(secrets.bearer,
                        "sk-sluice-k3vqa7m2zc-eIhykb8K_C8sctsauc9ulzRNWsbIBp_KM0aLmlLZfc0");
    assert_string_equal(secrets.access_key_id, "AKSLK3VQA7M2ZCAAAAAH");
    assert_string_equal(secrets.secret, "Q8e3In8jG4duK/38C6B3gzD/ZOm7ZdL4CHk+ZgPs");
    sl_keys_free(keys);
}

static void test_ids(void **state) {
    (void)state;
    char id[SL_KEY_ID_SIZE + 1], back[SL_KEY_ID_SIZE + 1], access[SL_KEY_ACCESS_ID_LEN + 1];
    const uint8_t random[][SL_KEY_ID_BYTES] = {
        {0}, {255, 255, 255, 255, 255, 255, 255}, {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}};
    const char *const ids[] = {"aaaaaaaaaa", "7777777777", "ci2fm6e2xt"};
    const uint32_t generations[] = {1, SL_KEY_GENERATION_MAX, 123456789};
    uint32_t generation;
    for (size_t i = 0; i < 3; i++) {
        sl_key_id(random[i], id);
        assert_string_equal(id, ids[i]);
        sl_key_access_id(id, generations[i], access);
        assert_int_equal(strlen(access), SL_KEY_ACCESS_ID_LEN);
        assert_true(sl_key_parse_access_id(sl_slice_str(access), back, &generation));
        assert_string_equal(back, id);
        assert_int_equal(generation, generations[i]);
    }
}

static void test_odd_forms_are_none(void **state) {
    (void)state;
    static const char *const tokens[] = {
        "",
        "sk-sluice-",
        "sk-sluice-aaaaaaaaaa-short",
        "sk-sluicf-aaaaaaaaaa-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "sk-sluice-aaaaaaaaa1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "sk-sluice-aaaaaaaaaaxAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "sk-sluice-aaaaaaaaaa-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    static const char *const accesses[] = {"",
                                           "AKSL",
                                           "AKIAAAAAAAAAAAAAAAAA",
                                           "AKSLaaaaaaaaaaAAAAAA",
                                           "AKSLAAAAAAAAAAAAAAA1",
                                           "AKSLAAAAAAAAAAAAAAAAA"};
    char id[SL_KEY_ID_SIZE + 1];
    uint32_t generation;
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
        assert_false(sl_key_parse_bearer(sl_slice_str(tokens[i]), id));
    for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++)
        assert_false(sl_key_parse_access_id(sl_slice_str(accesses[i]), id, &generation));
}

static void test_record_becomes_client(void **state) {
    (void)state;
    struct sl_keys *keys = new_keys();
    struct sl_key_record record = a_record("bbbbbbbbbb", "team");
    record.tpm = 5000;
    record.cache = SL_CACHE_NEVER;
    record.models = "us.meta.*, anthropic.*";
    record.operations = "async-invoke";
    record.s3_prefix = "s3://bucket/in/";
    assert_int_equal(sl_keys_put(keys, &record), 0);
    const struct sl_client *c = &sl_keys_by_id(keys, "bbbbbbbbbb")->client;
    assert_string_equal(c->id, "bbbbbbbbbb");
    assert_string_equal(c->name, "team");
    assert_true(c->tenant != 0);
    assert_int_equal(c->priority, SL_CLASS_NORMAL);
    assert_int_equal(c->rpm, 60);
    assert_int_equal(c->tpm, 5000);
    assert_int_equal(c->cache, SL_CACHE_NEVER);
    assert_false(c->unlimited);
    assert_true(sl_client_allows_model(c, SL_LIT("anthropic.claude")));
    assert_false(sl_client_allows_model(c, SL_LIT("amazon.nova")));
    assert_int_equal(c->operations, UINT64_C(1) << SL_OP_START_ASYNC_INVOKE |
                                        UINT64_C(1) << SL_OP_GET_ASYNC_INVOKE |
                                        UINT64_C(1) << SL_OP_LIST_ASYNC_INVOKES);
    assert_true(sl_slice_eq(c->s3_prefix, SL_LIT("s3://bucket/in/")));
    sl_keys_free(keys);
}

static void test_tenants_are_stable_and_apart(void **state) {
    (void)state;
    struct sl_keys *keys = new_keys();
    struct sl_key_record a = a_record("aaaaaaaaaa", "a"), b = a_record("aaaaaaaaab", "b");
    assert_int_equal(sl_keys_put(keys, &a), 0);
    assert_int_equal(sl_keys_put(keys, &b), 0);
    assert_int_equal(sl_keys_by_id(keys, "aaaaaaaaaa")->client.tenant, UINT64_C(1) << 50);
    assert_int_equal(sl_keys_by_id(keys, "aaaaaaaaab")->client.tenant, (UINT64_C(1) << 50) + 1);
    sl_keys_free(keys);
}

static void test_operations(void **state) {
    (void)state;
    uint64_t bits = 1;
    assert_int_equal(sl_key_operations(SL_EMPTY, &bits), 0);
    assert_int_equal(bits, 0);
    assert_int_equal(sl_key_operations(SL_LIT("listings, s3"), &bits), 0);
    assert_true(bits & UINT64_C(1) << SL_OP_LIST_FOUNDATION_MODELS);
    assert_true(bits & UINT64_C(1) << SL_OP_NONE);
    assert_int_equal(sl_key_operations(SL_LIT("listing"), &bits), SL_E_INVALID);
    assert_int_equal(sl_key_operations(SL_LIT("listings,"), &bits), SL_E_INVALID);
    struct sl_keys *keys = new_keys();
    struct sl_key_record record = a_record("bbbbbbbbbb", "team");
    record.operations = "s3";
    assert_int_equal(sl_keys_put(keys, &record), 0);
    const struct sl_client *c = &sl_keys_by_id(keys, "bbbbbbbbbb")->client;
    assert_true(sl_slice_eq(c->s3_prefix, SL_LIT("s3://")));
    assert_int_equal(c->operations, 0);
    sl_keys_free(keys);
}

static void test_bad_records(void **state) {
    (void)state;
    struct sl_keys *keys = new_keys();
    struct sl_key_record record;
    char list[SL_KEY_LIST_MAX * 2 + 2], name[SL_CLIENT_NAME_MAX + 2];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (size_t i = 0; i < sizeof(list); i++)
        list[i] = i % 2 ? ',' : 'm';
    list[sizeof(list) - 1] = '\0';
#define REFUSES(error, change)                                                                     \
    do {                                                                                           \
        record = a_record("bbbbbbbbbb", "team");                                                   \
        change;                                                                                    \
        assert_int_equal(sl_keys_put(keys, &record), error);                                       \
    } while (0)
    REFUSES(SL_E_INVALID, record.id[9] = '1');
    REFUSES(SL_E_INVALID, record.id[9] = '\0');
    REFUSES(SL_E_INVALID, record.name = "");
    REFUSES(SL_E_INVALID, record.name = NULL);
    REFUSES(SL_E_INVALID, record.name = name);
    REFUSES(SL_E_INVALID, record.generation = 0);
    REFUSES(SL_E_INVALID, record.generation = SL_KEY_GENERATION_MAX + 1);
    REFUSES(SL_E_INVALID, record.priority = SL_CLASS_COUNT);
    REFUSES(SL_E_INVALID, record.cache = SL_CACHE_ALWAYS + 1);
    REFUSES(SL_E_INVALID, record.operations = "everything");
    REFUSES(SL_E_INVALID, record.s3_prefix = "bucket");
    REFUSES(SL_E_INVALID, record.models = "a,,b");
    REFUSES(SL_E_LIMIT, record.models = list);
    assert_int_equal(sl_keys_count(keys), 0);
    sl_keys_free(keys);
}

static void test_subjects(void **state) {
    (void)state;
    struct sl_keys *keys = new_keys();
    struct sl_key_record former = a_record("bbbbbbbbbb", "former"),
                         live = a_record("cccccccccc", "l");
    former.subject = live.subject = "CN=app";
    former.revoked_at = 5;
    assert_int_equal(sl_keys_put(keys, &live), 0);
    assert_int_equal(sl_keys_put(keys, &former), 0);
    assert_string_equal(sl_keys_by_subject(keys, SL_LIT("CN=app"))->client.id, "cccccccccc");
    assert_null(sl_keys_by_subject(keys, SL_LIT("CN=other")));
    live.subject = "CN=other";
    assert_int_equal(sl_keys_put(keys, &live), 0);
    assert_string_equal(sl_keys_by_subject(keys, SL_LIT("CN=app"))->client.id, "bbbbbbbbbb");
    assert_string_equal(sl_keys_by_subject(keys, SL_LIT("CN=other"))->client.id, "cccccccccc");
    sl_keys_free(keys);
}

static void test_reload_sweeps(void **state) {
    (void)state;
    struct sl_keys *keys = new_keys();
    struct sl_key_record a = a_record("aaaaaaaaaa", "a"), b = a_record("bbbbbbbbbb", "b");
    assert_int_equal(sl_keys_put(keys, &a), 0);
    assert_int_equal(sl_keys_put(keys, &b), 0);
    sl_keys_sweep(keys);
    assert_int_equal(sl_keys_count(keys), 2);
    struct sl_client *held = &sl_keys_by_id(keys, "aaaaaaaaaa")->client;
    sl_keys_hold(held);
    a.name = "renamed";
    assert_int_equal(sl_keys_put(keys, &a), 0);
    assert_string_equal(held->name, "a"); /* a request under way keeps what it began with */
    assert_string_equal(sl_keys_by_id(keys, "aaaaaaaaaa")->client.name, "renamed");
    sl_keys_sweep(keys);
    assert_int_equal(sl_keys_count(keys), 1);
    assert_null(sl_keys_by_id(keys, "bbbbbbbbbb"));
    /* A record that cannot be read is refused from the next sweep on, not served as it was. */
    a.models = ",";
    assert_int_equal(sl_keys_put(keys, &a), SL_E_INVALID);
    sl_keys_sweep(keys);
    assert_int_equal(sl_keys_count(keys), 0);
    sl_keys_free(keys);
    assert_string_equal(held->name, "a");
    sl_keys_release(held);
}

static void test_everybody_is_left_alone(void **state) {
    (void)state;
    struct sl_client *everybody = sl_client_everybody();
    uint32_t refs = everybody->refs;
    sl_keys_hold(everybody);
    sl_keys_release(everybody);
    sl_keys_release(everybody);
    assert_int_equal(everybody->refs, refs);
}

static void test_no_memory(void **state) {
    (void)state;
    struct sl_mem_stats before = sl_mem_stats();
    struct sl_key_record record = a_record("bbbbbbbbbb", "team");
    struct sl_keys *keys = NULL;
    for (uint64_t i = 1; !keys; i++) {
        sl_mem_fail_after(i);
        keys = sl_keys_new(masters, 1);
        sl_mem_fail_after(0);
        assert_true(i < 50);
    }
    sl_mem_fail_after(1);
    assert_int_equal(sl_keys_put(keys, &record), SL_E_NOMEM);
    assert_int_equal(sl_keys_put(keys, &record), 0);
    sl_keys_free(keys);
    assert_int_equal(sl_mem_stats().blocks, before.blocks);
    assert_null(sl_keys_new(masters, 0));
    assert_null(sl_keys_new(masters, SL_KEY_MASTERS + 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_odd_forms_are_none),
        cmocka_unit_test(test_record_becomes_client),
        cmocka_unit_test(test_tenants_are_stable_and_apart),
        cmocka_unit_test(test_operations),
        cmocka_unit_test(test_bad_records),
        cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_reload_sweeps),
        cmocka_unit_test(test_everybody_is_left_alone),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
