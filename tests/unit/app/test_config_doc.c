/* The committed sample and reference are the generated ones, and the sample means what it says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "app/config_doc.h"
#include "app/config_key.h"
#include "sluice/app/config.h"

static void generate(struct sl_buf *out, int (*write)(struct sl_buf *)) {
    sl_buf_init(out, SL_CONFIG_DOC_MAX);
    assert_int_equal(write(out), 0);
}

static void test_committed(void **state) {
    static const struct {
        const char *name;
        int (*write)(struct sl_buf *);
        const char *how;
    } files[] = {
        {"conf/sluice.yaml", sl_config_write_sample, "sluice check --sample"},
        {"conf/REFERENCE.md", sl_config_write_reference, "sluice check --reference"},
    };
    static char committed[SL_CONFIG_DOC_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct sl_buf generated;
        char path[1024];
        size_t root = sizeof(__FILE__) - sizeof("tests/unit/app/test_config_doc.c");
        generate(&generated, files[i].write);
        snprintf(path, sizeof(path), "%.*s%s", (int)root, __FILE__, files[i].name);
        FILE *f = fopen(path, "rb");
        if (!f)
            fail_msg("%s is missing: %s > %s", path, files[i].how, files[i].name);
        size_t len = fread(committed, 1, sizeof(committed), f);
        fclose(f);
        if (len != generated.len || memcmp(committed, generated.ptr, len) != 0)
            fail_msg("%s is stale: %s > %s", path, files[i].how, files[i].name);
        sl_buf_done(&generated);
    }
}

/* As it is, the sample changes nothing: a configuration from it equals one from no file. */
static void test_sample_is_neutral(void **state) {
    struct sl_buf sample;
    struct sl_config *with = NULL, *without = NULL;
    char why[512] = "";
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    (void)state;
    generate(&sample, sl_config_write_sample);
    struct sl_config_source source = {.text = sl_buf_slice(&sample)}, none = {0};
    if (sl_config_load(&source, &with, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    assert_int_equal(sl_config_load(&none, &without, why, sizeof(why)), 0);
    for (size_t i = 0; i < count; i++)
        if (keys[i].type <= SL_CONFIG_CHOICE)
            assert_memory_equal((char *)with + keys[i].offset, (char *)without + keys[i].offset,
                                keys[i].size);
    assert_null(with->tls.certificate);
    assert_null(with->targets[0].endpoint);
    sl_config_free(with);
    sl_config_free(without);
    sl_buf_done(&sample);
}

/* Drops the line of one key, which contradicts another one's example. */
static bool contradicts(struct sl_slice line) {
    return sl_slice_starts(sl_slice_trim(line), SL_LIT("#fips:")) ||
           sl_slice_starts(sl_slice_trim(line), SL_LIT("#dual_stack:")) ||
           sl_slice_starts(sl_slice_trim(line), SL_LIT("#mantle_endpoint:")) ||
           sl_slice_starts(sl_slice_trim(line), SL_LIT("#targets:"));
}

/* With every '#' before a key taken away it is a valid file that names every key. */
static void test_sample_uncommented(void **state) {
    struct sl_buf sample, file;
    struct sl_slice rest, line;
    struct sl_config *config = NULL;
    char why[512] = "";
    size_t count, named = 0, dropped = 0;
    (void)state;
    (void)sl_config_keys(&count);
    generate(&sample, sl_config_write_sample);
    sl_buf_init(&file, SL_CONFIG_DOC_MAX);
    rest = sl_buf_slice(&sample);
    while (sl_slice_split(&rest, '\n', &line)) {
        size_t hash = sl_slice_find(line, '#');
        bool key = hash + 1 < line.len && line.ptr[hash + 1] != ' ';
        if (key && contradicts(line)) {
            dropped++;
        } else if (key) {
            named++;
            assert_int_equal(sl_buf_printf(&file, "%.*s%.*s\n", (int)hash, line.ptr,
                                           SL_FMT(sl_slice_skip(line, hash + 1))),
                             0);
        } else {
            assert_int_equal(sl_buf_printf(&file, "%.*s\n", SL_FMT(line)), 0);
        }
    }
    assert_int_equal(dropped, 4);
    assert_int_equal(named + dropped, count);
    struct sl_config_source source = {.file = "sample", .text = sl_buf_slice(&file)};
    if (sl_config_load(&source, &config, why, sizeof(why)) != 0)
        fail_msg("%s", why);
    assert_string_equal(config->targets[0].region, "us-east-1");
    assert_string_equal(config->hosts.items[0], "gateway.example.com");
    assert_string_equal(config->models.successors.items[0].value,
                        "us.meta.llama3-3-70b-instruct-v1:0");
    sl_config_free(config);
    sl_buf_done(&sample);
    sl_buf_done(&file);
}

static void test_reference_names_every_key(void **state) {
    struct sl_buf reference;
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    (void)state;
    generate(&reference, sl_config_write_reference);
    for (size_t i = 0; i < count; i++) {
        char cell[128];
        int n = snprintf(cell, sizeof(cell), "| `%s`<br>", keys[i].path);
        assert_true(sl_slice_search(sl_buf_slice(&reference), sl_slice_of(cell, (size_t)n)) <
                    reference.len);
    }
    sl_buf_done(&reference);
}

/* Short buffers end the writing with an error, not with half a file that looks whole. */
static void test_limit(void **state) {
    (void)state;
    for (size_t max = 0; max < 4096; max += 97) {
        struct sl_buf out;
        sl_buf_init(&out, max);
        assert_int_equal(sl_config_write_sample(&out), SL_E_LIMIT);
        sl_buf_done(&out);
        sl_buf_init(&out, max);
        assert_int_equal(sl_config_write_reference(&out), SL_E_LIMIT);
        sl_buf_done(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_committed),
        cmocka_unit_test(test_sample_is_neutral),
        cmocka_unit_test(test_sample_uncommented),
        cmocka_unit_test(test_reference_names_every_key),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
