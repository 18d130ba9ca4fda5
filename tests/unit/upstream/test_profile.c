#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/base/mem.h"
#include "upstream/profile.h"

static char why[512], folder[64], home[64], config_path[128], credentials_path[128];
static const char *config_variable, *credentials_variable;

static const char *env(const char *name) {
    if (strcmp(name, "HOME") == 0)
        return home;
    if (strcmp(name, "FOLDER") == 0)
        return folder;
    if (strcmp(name, "AWS_CONFIG_FILE") == 0)
        return config_variable;
    if (strcmp(name, "AWS_SHARED_CREDENTIALS_FILE") == 0)
        return credentials_variable;
    return NULL;
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sluice-profile-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(home, sizeof(home), "%s", folder);
    snprintf(config_path, sizeof(config_path), "%s/config", folder);
    snprintf(credentials_path, sizeof(credentials_path), "%s/credentials", folder);
    config_variable = config_path;
    credentials_variable = credentials_path;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(config_path);
    unlink(credentials_path);
    return rmdir(folder);
}

static struct sl_profiles *load(void) {
    struct sl_profiles *p = NULL;
    if (sl_profiles_load(env, &p, why, sizeof(why)) != SL_OK)
        fail_msg("%s", why);
    return p;
}

static void expect(const struct sl_profiles *p, enum sl_profile_file file, const char *profile,
                   const char *key, const char *value) {
    struct sl_slice found;
    bool has = sl_profiles_get(p, file, sl_slice_str(profile), key, &found);
    assert_int_equal(has, value != NULL);
    if (value && !sl_slice_eq(found, sl_slice_str(value)))
        fail_msg("%s of %s is %.*s", key, profile, SL_FMT(found));
}

static void test_merge(void **state) {
    (void)state;
    write_file(config_path, "[default]\nregion = r0\n"
                            "[profile a]\nregion = r1\naws_access_key_id = from-config\n"
                            "[profile \"b c\"]\nregion = r2\n"
                            "[b]\nregion = no profile\n"
                            "[profile one two]\nregion = no profile\n"
                            "[services local]\nsts =\n  endpoint_url = http://sts\n");
    write_file(credentials_path, "[a]\naws_access_key_id = from-credentials\n"
                                 "[only]\naws_access_key_id = k\n");
    struct sl_profiles *p = load();
    expect(p, SL_PROFILE_MERGED, "default", "region", "r0");
    expect(p, SL_PROFILE_MERGED, "a", "region", "r1");
    expect(p, SL_PROFILE_MERGED, "a", "aws_access_key_id", "from-credentials");
    expect(p, SL_PROFILE_CONFIG, "a", "aws_access_key_id", "from-config");
    expect(p, SL_PROFILE_CREDENTIALS, "a", "region", NULL);
    expect(p, SL_PROFILE_MERGED, "b c", "region", "r2");
    assert_true(sl_profiles_has(p, SL_LIT("only")));
    assert_false(sl_profiles_has(p, SL_LIT("b")));
    assert_false(sl_profiles_has(p, SL_LIT("one")));
    assert_false(sl_profiles_has(p, SL_LIT("local")));
    struct sl_slice url;
    assert_true(sl_profiles_service(p, SL_LIT("local"), "sts", SL_LIT("endpoint_url"), &url));
    assert_true(sl_slice_eq(url, SL_LIT("http://sts")));
    assert_false(sl_profiles_service(p, SL_LIT("other"), "sts", SL_LIT("endpoint_url"), &url));
    sl_profiles_free(p);
}

static void test_paths(void **state) {
    (void)state;
    write_file(config_path, "[default]\nregion = r\n");
    static const char *const names[] = {"~/config", "$FOLDER/config", "${FOLDER}/config",
                                        "${HOME}//config"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        config_variable = names[i];
        struct sl_profiles *p = load();
        expect(p, SL_PROFILE_MERGED, "default", "region", "r");
        sl_profiles_free(p);
    }
    static const char *const missing[] = {"", "/dev/null", "~", "$NONE/config", "/none/such"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(*missing); i++) {
        config_variable = missing[i];
        struct sl_profiles *p = load();
        assert_false(sl_profiles_has(p, SL_LIT("default")));
        sl_profiles_free(p);
    }
}

static void test_broken_file(void **state) {
    (void)state;
    struct sl_profiles *p = NULL;
    write_file(credentials_path, "[a]\nsecret-looking line\n");
    assert_int_equal(sl_profiles_load(env, &p, why, sizeof(why)), SL_E_INVALID);
    assert_null(p);
    assert_non_null(strstr(why, credentials_path));
    assert_non_null(strstr(why, "line 2"));
    assert_null(strstr(why, "secret-looking"));
}

static void test_small_file(void **state) {
    (void)state;
    struct sl_buf buf;
    sl_buf_init(&buf, SL_SMALL_FILE_MAX + 2);
    write_file(config_path, "token\n");
    assert_int_equal(sl_small_file_read(config_path, &buf), SL_OK);
    assert_true(sl_slice_eq(sl_buf_slice(&buf), SL_LIT("token\n")));
    write_file(config_path, "");
    assert_int_equal(sl_small_file_read(config_path, &buf), SL_OK);
    assert_int_equal(buf.len, 0);
    assert_int_equal(truncate(config_path, SL_SMALL_FILE_MAX), 0);
    assert_int_equal(sl_small_file_read(config_path, &buf), SL_OK);
    assert_int_equal(buf.len, SL_SMALL_FILE_MAX);
    assert_int_equal(truncate(config_path, SL_SMALL_FILE_MAX + 1), 0);
    assert_int_equal(sl_small_file_read(config_path, &buf), SL_E_LIMIT);
    assert_int_equal(sl_small_file_read(folder, &buf), SL_E_NOTFOUND);
    assert_int_equal(sl_small_file_read("/none/such", &buf), SL_E_NOTFOUND);
    sl_buf_done(&buf);
}

static void test_out_of_memory(void **state) {
    (void)state;
    write_file(config_path, "[profile a]\nregion = r1\n");
    write_file(credentials_path, "[a]\nk = v\n");
    for (uint64_t n = 1;; n++) {
        struct sl_profiles *p = NULL;
        uint64_t blocks = sl_mem_stats().blocks;
        sl_mem_fail_after(n);
        int rc = sl_profiles_load(env, &p, why, sizeof(why));
        if (sl_mem_fail_after(0) > 0) {
            assert_int_equal(rc, SL_OK);
            sl_profiles_free(p);
            assert_true(n > 8);
            return;
        }
        assert_int_equal(rc, SL_E_NOMEM);
        assert_null(p);
        assert_int_equal(sl_mem_stats().blocks, blocks);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_merge),      TEST(test_paths),         TEST(test_broken_file),
        TEST(test_small_file), TEST(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
