#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "sluice/base/mem.h"
#include "upstream/ini.h"

static char why[256];

static struct sl_ini *parse(const char *text) {
    struct sl_ini *ini = NULL;
    assert_int_equal(sl_ini_parse(sl_slice_str(text), &ini, why, sizeof(why)), SL_OK);
    return ini;
}

static void refuse(const char *text, const char *sentence) {
    struct sl_ini *ini = NULL;
    assert_int_equal(sl_ini_parse(sl_slice_str(text), &ini, why, sizeof(why)), SL_E_INVALID);
    assert_null(ini);
    assert_string_equal(why, sentence);
}

static void expect(const struct sl_ini *ini, const char *section, const char *key,
                   const char *value) {
    struct sl_slice found = SL_EMPTY;
    bool has = false;
    for (size_t i = 0; i < sl_ini_section_count(ini); i++)
        if (sl_slice_eq(sl_ini_section_name(ini, i), sl_slice_str(section)))
            has = sl_ini_get(ini, i, sl_slice_str(key), &found);
    if (!has && value)
        fail_msg("[%s] %s is missing", section, key);
    if (has && !value)
        fail_msg("[%s] %s should not be there", section, key);
    if (has && !sl_slice_eq(found, sl_slice_str(value)))
        fail_msg("[%s] %s is \"%.*s\", not \"%s\"", section, key, SL_FMT(found), value);
}

static void test_entries(void **state) {
    (void)state;
    struct sl_ini *ini = parse("# a comment\n"
                               "[default]\n"
                               "aws_access_key_id = AKIA\n"
                               "Aws_Secret_Access_Key=a/b+c=\n"
                               "\n"
                               "; another\n"
                               "[profile two words]  \r\n"
                               "region: eu-west-1 # kept\r\n"
                               "empty =\n"
                               "colon = a:b\n"
                               "url : http://h/?a=b\n");
    assert_int_equal(sl_ini_section_count(ini), 2);
    expect(ini, "default", "aws_access_key_id", "AKIA");
    expect(ini, "default", "aws_secret_access_key", "a/b+c=");
    expect(ini, "default", "region", NULL);
    expect(ini, "profile two words", "region", "eu-west-1 # kept");
    expect(ini, "profile two words", "empty", "");
    expect(ini, "profile two words", "colon", "a:b");
    expect(ini, "profile two words", "url", "http://h/?a=b");
    sl_ini_free(ini);
}

static void test_continuation(void **state) {
    (void)state;
    struct sl_ini *ini = parse("[a]\n"
                               "one = first\n"
                               "   second\n"
                               "# not part of it\n"
                               "\n"
                               "\tthird\n"
                               "\n"
                               "s3 =\n"
                               "  max = 1\n"
                               "    deeper = 2\n"
                               "two = x\n"
                               "  [b]\n"
                               "[c]\n"
                               "  indented = yes\n"
                               "  also = yes\n"
                               "   [kept]\n");
    expect(ini, "a", "one", "first\nsecond\n\nthird");
    expect(ini, "a", "s3", "\nmax = 1\ndeeper = 2");
    expect(ini, "a", "two", "x\n[b]");
    expect(ini, "c", "indented", "yes");
    expect(ini, "c", "also", "yes\n[kept]");
    assert_int_equal(sl_ini_section_count(ini), 2);
    sl_ini_free(ini);
}

static void test_line_ends(void **state) {
    (void)state;
    struct sl_ini *ini = parse("[a]\rk = v\r\r w\r\n\r\n x\n[b]\nk=1");
    expect(ini, "a", "k", "v\n\nw\n\nx");
    expect(ini, "b", "k", "1");
    sl_ini_free(ini);
}

static void test_default_section(void **state) {
    (void)state;
    struct sl_ini *ini = parse("[a]\nx = own\n[DEFAULT]\nx = inherited\ny = inherited\n[b]\nz=1\n");
    assert_int_equal(sl_ini_section_count(ini), 2);
    expect(ini, "a", "x", "own");
    expect(ini, "a", "y", "inherited");
    expect(ini, "b", "x", "inherited");
    sl_ini_free(ini);
}

static void test_odd_headers(void **state) {
    (void)state;
    struct sl_ini *ini = parse("[a]b]tail\nk=1\n[ c ]\nk=2\n");
    expect(ini, "a]b", "k", "1");
    expect(ini, " c ", "k", "2");
    sl_ini_free(ini);
}

static void test_refusals(void **state) {
    (void)state;
    refuse("key = value\n", "line 1 stands before the first [section]");
    refuse("[a]\nk = 1\n\n[b]\n[a]\n", "line 5 opens a section that was there already");
    refuse("[a]\nk = 1\nK = 2\n", "line 3 repeats a key of its section");
    refuse("[a]\nno delimiter\n", "line 2 is neither a section nor an entry (key = value)");
    refuse("[a]\n= value\n", "line 2 is neither a section nor an entry (key = value)");
    refuse("[]\n", "line 1 stands before the first [section]");
}

static void test_limits(void **state) {
    (void)state;
    struct sl_ini *ini = NULL;
    char *text = sl_alloc(SL_INI_MAX_BYTES + 1);
    assert_non_null(text);
    memset(text, '#', SL_INI_MAX_BYTES + 1);
    assert_int_equal(sl_ini_parse(sl_slice_of(text, SL_INI_MAX_BYTES + 1), &ini, why, sizeof(why)),
                     SL_E_LIMIT);
    size_t n = 0;
    for (int i = 0; i <= SL_INI_MAX_SECTIONS; i++)
        n += (size_t)snprintf(text + n, 16, "[%d]\n", i);
    assert_int_equal(sl_ini_parse(sl_slice_of(text, n), &ini, why, sizeof(why)), SL_E_LIMIT);
    sl_free(text);
}

static void test_nested(void **state) {
    (void)state;
    struct sl_slice value = SL_EMPTY;
    struct sl_slice text = SL_LIT("\nendpoint_url = http://a\n\nother=1\nendpoint_url= http://b");
    assert_int_equal(sl_ini_nested(text, SL_LIT("endpoint_url"), &value), SL_OK);
    assert_true(sl_slice_eq(value, SL_LIT("http://b")));
    assert_int_equal(sl_ini_nested(text, SL_LIT("none"), &value), SL_E_NOTFOUND);
    assert_int_equal(sl_ini_nested(SL_LIT("\nno equals sign"), SL_LIT("a"), &value), SL_E_INVALID);
    struct sl_ini *ini = parse("[a]\ns3 =\n  x = 1\nk = v\n more\n");
    assert_int_equal(sl_ini_check_nested(ini, why, sizeof(why)), SL_OK);
    sl_ini_free(ini);
    ini = parse("[a]\nregion =\n  us-east-1\n");
    assert_int_equal(sl_ini_check_nested(ini, why, sizeof(why)), SL_E_INVALID);
    assert_string_equal(why, "the indented lines below region are not all name = value");
    sl_ini_free(ini);
}

/* Any beginning of a file, in a block of exactly its size, is read or refused. */
static void test_every_prefix(void **state) {
    (void)state;
    static const char text[] =
        "[a]\nk = v\n  w\n\n\n x\n#c\nempty =\n y\r\n[profile \"b c\"]\nz:1\n ";
    for (size_t n = 0; n < sizeof(text); n++) {
        struct sl_ini *ini = NULL;
        char *exact = sl_alloc(n);
        memcpy(exact, text, n);
        if (sl_ini_parse(sl_slice_of(exact, n), &ini, why, sizeof(why)) == SL_OK)
            assert_non_null(ini);
        sl_ini_free(ini);
        sl_free(exact);
    }
}

static void test_out_of_memory(void **state) {
    (void)state;
    for (uint64_t n = 1;; n++) {
        struct sl_ini *ini = NULL;
        uint64_t blocks = sl_mem_stats().blocks;
        sl_mem_fail_after(n);
        int rc = sl_ini_parse(SL_LIT("[a]\nk = v\n"), &ini, why, sizeof(why));
        if (sl_mem_fail_after(0) > 0) { /* it was never reached */
            assert_int_equal(rc, SL_OK);
            sl_ini_free(ini);
            assert_true(n > 3);
            return;
        }
        assert_int_equal(rc, SL_E_NOMEM);
        assert_null(ini);
        assert_int_equal(sl_mem_stats().blocks, blocks);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),      cmocka_unit_test(test_continuation),
        cmocka_unit_test(test_line_ends),    cmocka_unit_test(test_default_section),
        cmocka_unit_test(test_odd_headers),  cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),       cmocka_unit_test(test_nested),
        cmocka_unit_test(test_every_prefix), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
