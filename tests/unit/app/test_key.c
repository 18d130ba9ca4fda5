/* Keys as people ask for them: from words to a row, rotation, JSON; the command line; and the
 * keyring of a state folder. What `sluice key` prints is judged in tests/e2e/test_keys.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/key_row.h"
#include "app/keyring.h"

#define NOW UINT64_C(1795342039) /* 2026-11-22T10:07:19Z */

static char why[512];

static struct sl_db_key made(const struct sl_key_wish *wish) {
    struct sl_db_key row;
    if (sl_key_row_make(&row, wish, NOW, why, sizeof(why)) != SL_OK)
        fail_msg("%s", why);
    return row;
}

static void test_row_of_a_name(void **state) {
    (void)state;
    struct sl_db_key a = made(&(struct sl_key_wish){.name = "chat"});
    struct sl_db_key b = made(&(struct sl_key_wish){.name = "chat"});
    assert_string_equal(a.name, "chat");
    assert_int_equal(strlen(a.id), SL_KEY_ID_SIZE);
    assert_string_not_equal(a.id, b.id);
    assert_int_equal(a.generation, 1);
    assert_int_equal(a.created_at, NOW);
    assert_int_equal(a.expires_at, 0);
    assert_int_equal(a.priority, SL_CLASS_NORMAL);
    assert_int_equal(a.cache, SL_CACHE_UNSET);
    assert_string_equal(a.models, "");
}

static void test_row_of_everything(void **state) {
    (void)state;
    struct sl_db_key row = made(&(struct sl_key_wish){.name = "n",
                                                      .models = "us.*,b",
                                                      .priority = "batch",
                                                      .rpm = "60",
                                                      .tpm = "200000",
                                                      .expires = "90d",
                                                      .cache = "never",
                                                      .operations = "listings,async-invoke",
                                                      .s3_prefix = "s3://bucket/in/",
                                                      .subject = "CN=app"});
    assert_string_equal(row.models, "us.*,b");
    assert_int_equal(row.priority, SL_CLASS_BATCH);
    assert_int_equal(row.rpm, 60);
    assert_int_equal(row.tpm, 200000);
    assert_int_equal(row.expires_at, NOW + 90 * 86400);
    assert_int_equal(row.cache, SL_CACHE_NEVER);
    assert_string_equal(row.operations, "listings,async-invoke");
    assert_string_equal(row.s3_prefix, "s3://bucket/in/");
    assert_string_equal(row.subject, "CN=app");
    /* Whatever is made here, the keys room takes. */
    uint8_t master[1][SL_KEY_MASTER_SIZE] = {{1}};
    struct sl_keys *keys = sl_keys_new(master, 1);
    struct sl_key_record record = sl_keyring_record(&row);
    assert_non_null(keys);
    assert_int_equal(sl_keys_put(keys, &record), 0);
    sl_keys_free(keys);
}

static void test_expiry(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t at;
    } cases[] = {
        {"12h", NOW + 43200},
        {"2w", NOW + 14 * 86400},
        {"2026-11-22", UINT64_C(1795392000)}, /* the midnight that ends it */
        {"2028-02-29", UINT64_C(1835481600)},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(
            made(&(struct sl_key_wish){.name = "n", .expires = cases[i].text}).expires_at,
            cases[i].at);
}

static void test_bad_wishes(void **state) {
    (void)state;
    char name[66], models[300], prefix[1200] = "s3://";
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    for (size_t i = 0; i < 130; i++)
        models[i] = i % 2 ? ',' : 'm';
    models[129] = '\0';
    memset(prefix + 5, 'x', sizeof(prefix) - 6);
    prefix[sizeof(prefix) - 1] = '\0';
    const struct {
        struct sl_key_wish wish;
        const char *says;
    } cases[] = {
        {{.name = NULL}, "a key needs a name"},
        {{.name = ""}, "name \"\" is not 1 to 64 bytes"},
        {{.name = name}, "is not 1 to 64 bytes"},
        {{.name = "a\nb"}, "name \"a?b\" is not"},
        {{.name = "n", .models = "a,,b"}, "up to 64 model ids"},
        {{.name = "n", .models = models}, "up to 64 model ids"},
        {{.name = "n", .priority = "high"}, "priority \"high\" is not interactive, normal or"},
        {{.name = "n", .rpm = "-1"}, "rpm \"-1\" is not a whole number"},
        {{.name = "n", .tpm = "1e6"}, "tpm \"1e6\" is not a whole number"},
        {{.name = "n", .tpm = "9223372036854775808"}, "is not a whole number"},
        {{.name = "n", .expires = "90"}, "expires \"90\" is not a time"},
        {{.name = "n", .expires = "0"}, "must not be over"},
        {{.name = "n", .expires = "99999999999w"}, "expires"},
        {{.name = "n", .expires = "2026-11-21"}, "must not be over"},
        {{.name = "n", .expires = "2027-02-29"}, "expires \"2027-02-29\""},
        {{.name = "n", .expires = "2027-13-01"}, "expires"},
        {{.name = "n", .cache = "sometimes"}, "always, deterministic or never"},
        {{.name = "n", .operations = "s4"}, "async-invoke, listings and s3"},
        {{.name = "n", .s3_prefix = "bucket"}, "s3-prefix \"bucket\""},
        {{.name = "n", .s3_prefix = prefix}, "s3-prefix"},
        {{.name = "n", .subject = "CN=\n"}, "subject"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_db_key row = {.name = "untouched"};
        assert_int_equal(sl_key_row_make(&row, &cases[i].wish, NOW, why, sizeof(why)),
                         SL_E_INVALID);
        assert_string_equal(row.name, "untouched");
        if (!strstr(why, cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", why, cases[i].says);
    }
}

static void test_rotation(void **state) {
    (void)state;
    struct sl_db_key row = made(&(struct sl_key_wish){.name = "chat"});
    assert_int_equal(sl_key_row_rotate(&row, "7d", NOW, why, sizeof(why)), 0);
    assert_int_equal(row.generation, 2);
    assert_int_equal(row.overlap_until, NOW + 7 * 86400);
    assert_int_equal(sl_key_row_rotate(&row, "0", NOW, why, sizeof(why)), 0);
    assert_int_equal(row.generation, 3);
    assert_int_equal(row.overlap_until, 0);
    assert_int_equal(sl_key_row_rotate(&row, "7", NOW, why, sizeof(why)), SL_E_INVALID);
    row.revoked_at = NOW;
    assert_int_equal(sl_key_row_rotate(&row, "7d", NOW, why, sizeof(why)), SL_E_INVALID);
    assert_string_equal(why, "\"chat\" is revoked: make a new key");
    row.revoked_at = 0;
    row.generation = SL_KEY_GENERATION_MAX;
    assert_int_equal(sl_key_row_rotate(&row, "7d", NOW, why, sizeof(why)), SL_E_INVALID);
    assert_int_equal(row.generation, SL_KEY_GENERATION_MAX);
}

static void test_json(void **state) {
    (void)state;
    struct sl_db_key row = made(&(struct sl_key_wish){.name = "a \"b\"", .expires = "2027-01-31"});
    struct sl_key_secrets secrets = {"sk-sluice-x", "AKSLX", "secret"};
    struct sl_buf out;
    char expected[1024];
    sl_buf_init(&out, 4096);
    assert_int_equal(sl_key_row_json(&out, &row, &secrets, NOW), 0);
    assert_int_equal(sl_buf_terminate(&out), 0);
    snprintf(expected, sizeof(expected),
             "{\"id\":\"%s\",\"generation\":1,\"rpm\":0,\"tpm\":0,\"name\":\"a \\\"b\\\"\","
             "\"state\":\"live\",\"priority\":\"normal\",\"cache\":null,\"models\":null,"
             "\"operations\":null,\"s3_prefix\":null,\"subject\":null,"
             "\"created_at\":\"2026-11-22T10:07:19.000Z\","
             "\"expires_at\":\"2027-02-01T00:00:00.000Z\",\"revoked_at\":null,"
             "\"overlap_until\":null,\"bearer_token\":\"sk-sluice-x\","
             "\"aws_access_key_id\":\"AKSLX\",\"aws_secret_access_key\":\"secret\"}",
             row.id);
    assert_string_equal(out.ptr, expected);
    sl_buf_done(&out);
    assert_string_equal(sl_key_row_state(&row, row.expires_at), "expired");
    row.revoked_at = 1;
    assert_string_equal(sl_key_row_state(&row, NOW), "revoked");
}

/* ---- The command line ------------------------------------------------------------- */

static struct sl_cli cli;

#define PARSE(...) parse((const char *const[]){"sluice", "key", __VA_ARGS__, NULL})

static int parse(const char *const *argv) {
    int argc = 0;
    while (argv[argc])
        argc++;
    why[0] = '\0';
    return sl_cli_parse(&cli, argc, argv, (const char *const[]){NULL}, why, sizeof(why));
}

static void test_actions(void **state) {
    (void)state;
    assert_int_equal(PARSE("create", "--name", "chat", "--rpm=60", "--state", "/s"), 0);
    assert_int_equal(cli.command, SL_COMMAND_KEY);
    assert_int_equal(cli.action, SL_KEY_CREATE);
    assert_string_equal(cli.key.name, "chat");
    assert_string_equal(cli.key.rpm, "60");
    assert_int_equal(cli.source.override_count, 1);
    assert_int_equal(PARSE("list", "--json"), 0);
    assert_int_equal(cli.action, SL_KEY_LIST);
    assert_true(cli.json);
    assert_int_equal(PARSE("rotate", "--overlap", "1d", "chat"), 0);
    assert_int_equal(cli.action, SL_KEY_ROTATE);
    assert_string_equal(cli.which, "chat");
    assert_string_equal(cli.overlap, "1d");
}

static void test_mistaken_actions(void **state) {
    (void)state;
    const struct {
        const char *word, *next, *says;
    } cases[] = {
        {"creat", NULL, "sluice key cannot \"creat\"; the nearest is \"create\""},
        {"banana", NULL, "sluice key cannot \"banana\"; see sluice key --help"},
        {"--json", NULL, "sluice key needs to be told what to do; see sluice key --help"},
        {"create", NULL, "sluice key create needs --name NAME: who it is for"},
        {"revoke", NULL, "sluice key revoke needs NAME|ID: which one"},
        {"revoke", "--overlap", "unknown option \"--overlap\"; see sluice key revoke --help"},
        {"list", "chat",
         "\"chat\" is not an option of sluice key list; see sluice key list "
         "--help"},
        {"create", "--nam", "unknown option \"--nam\"; the nearest is --name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(PARSE(cases[i].word, cases[i].next), SL_E_INVALID);
        assert_string_equal(why, cases[i].says);
    }
}

static void assert_help(const char *says) {
    struct sl_buf out;
    sl_buf_init(&out, 65536);
    assert_true(cli.help);
    assert_int_equal(sl_cli_help(&cli, &out), 0);
    if (sl_slice_search(sl_buf_slice(&out), sl_slice_str(says)) == out.len)
        fail_msg("the help does not say \"%s\"", says);
    sl_buf_done(&out);
}

static void test_help(void **state) {
    (void)state;
    assert_int_equal(PARSE("--help"), 0);
    assert_help("Usage: sluice key ACTION [OPTION]…\n\n  create\n      make a key");
    assert_int_equal(PARSE("rotate", "--help"), 0);
    assert_help("Usage: sluice key rotate NAME|ID [OPTION]…\n\n  --overlap TIME\n");
}

/* ---- The keyring ------------------------------------------------------------------ */

static char folder[64], file[96], old[96];

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sluice-keyring-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(file, sizeof(file), "%s/master.key", folder);
    snprintf(old, sizeof(old), "%s/master.key.old", folder);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(file);
    unlink(old);
    return rmdir(folder); /* fails if anything was left behind */
}

static struct sl_key_secrets secrets_of(const struct sl_keyring *ring) {
    struct sl_key_record record = {.id = "aaaaaaaaaa", .name = "n", .generation = 1};
    struct sl_key_secrets secrets;
    assert_int_equal(sl_key_secrets(ring->keys, &record, &secrets), 0);
    return secrets;
}

static void test_master_is_made_and_kept(void **state) {
    (void)state;
    struct sl_keyring first, second;
    struct stat st;
    assert_int_equal(sl_keyring_open(&first, folder, why, sizeof(why)), 0);
    assert_int_equal(sl_keyring_open(&second, folder, why, sizeof(why)), 0);
    assert_string_equal(secrets_of(&first).bearer, secrets_of(&second).bearer);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, SL_KEY_MASTER_SIZE);
    sl_keyring_close(&second);
    /* Retired: another one is made, and both are known. */
    assert_int_equal(rename(file, old), 0);
    assert_int_equal(sl_keyring_open(&second, folder, why, sizeof(why)), 0);
    assert_string_not_equal(secrets_of(&first).bearer, secrets_of(&second).bearer);
    struct sl_db_key row = {.id = "aaaaaaaaaa", .name = "n", .generation = 1};
    sl_keyring_apply(&second, &row);
    sl_keyring_apply(&second, NULL);
    assert_int_equal(sl_keys_count(second.keys), 1);
    struct sl_key_secrets former = secrets_of(&first);
    struct sl_header header = {SL_LIT("x-api-key"), sl_slice_str(former.bearer)};
    struct sl_request_head head = {.headers = {&header, 1, 1}};
    struct sl_verify_settings settings = {.skew_s = 300};
    struct sl_proof proof = {0};
    struct sl_arena arena;
    sl_arena_init(&arena, 4096);
    assert_int_equal(sl_proof_head(second.keys, &proof, &settings, &head, SL_EMPTY,
                                   SL_LIT("192.0.2.1"), &arena, 1, NOW),
                     SL_OK);
    sl_proof_done(&proof);
    sl_arena_done(&arena);
    sl_keyring_apply(&second, NULL); /* no rows: all keys are gone */
    assert_int_equal(sl_keys_count(second.keys), 0);
    sl_keyring_close(&first);
    sl_keyring_close(&second);
}

static void test_bad_masters(void **state) {
    (void)state;
    struct sl_keyring ring;
    assert_int_equal(sl_keyring_open(&ring, folder, why, sizeof(why)), 0);
    sl_keyring_close(&ring);
    assert_int_equal(chmod(file, 0640), 0);
    assert_int_equal(sl_keyring_open(&ring, folder, why, sizeof(why)), SL_E_IO);
    assert_non_null(strstr(why, "chmod 600"));
    assert_int_equal(chmod(file, 0600), 0);
    assert_int_equal(truncate(file, 31), 0);
    assert_int_equal(sl_keyring_open(&ring, folder, why, sizeof(why)), SL_E_IO);
    assert_non_null(strstr(why, "of 32 bytes"));
    assert_null(ring.keys);
    unlink(file);
    assert_int_equal(sl_keyring_open(&ring, folder, why, sizeof(why)), 0);
    sl_keyring_close(&ring);
    assert_int_equal(symlink("/etc/passwd", old), 0);
    assert_int_equal(sl_keyring_open(&ring, folder, why, sizeof(why)), SL_E_IO);
    assert_int_equal(sl_keyring_open(&ring, "/nonexistent", why, sizeof(why)), SL_E_IO);
    assert_non_null(strstr(why, "cannot be made"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_of_a_name),
        cmocka_unit_test(test_row_of_everything),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_bad_wishes),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_mistaken_actions),
        cmocka_unit_test(test_help),
        cmocka_unit_test_setup_teardown(test_master_is_made_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_masters, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
