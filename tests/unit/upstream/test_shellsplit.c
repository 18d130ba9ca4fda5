#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "upstream/shellsplit.h"

static void expect(const char *line, const char *const *words) {
    struct sl_shell_words got;
    size_t n = 0;
    assert_int_equal(sl_shell_split(sl_slice_str(line), &got), SL_OK);
    for (; words[n]; n++) {
        if (n >= got.count)
            fail_msg("%s: word %zu is missing", line, n);
        assert_string_equal(got.words[n], words[n]);
    }
    assert_int_equal(got.count, n);
    assert_null(got.words[n]);
    sl_free(got.words);
}

#define EXPECT(line, ...) expect(line, (const char *const[]){__VA_ARGS__, NULL})

/* Expected values were taken from Python's shlex.split. */
static void test_words(void **state) {
    (void)state;
    expect("", (const char *const[]){NULL});
    expect(" \t\r\n", (const char *const[]){NULL});
    EXPECT("/usr/bin/get creds", "/usr/bin/get", "creds");
    EXPECT("  a\tb\nc  ", "a", "b", "c");
    EXPECT("'a b' \"c d\"", "a b", "c d");
    EXPECT("a'b'\"c\"d", "abcd");
    EXPECT("'' x \"\"", "", "x", "");
    EXPECT("a\\ b \\'c \\\\", "a b", "'c", "\\");
    EXPECT("\"a\\\"b\\\\c\\d\\$e\"", "a\"b\\c\\d\\$e");
    EXPECT("'a\\b\"'", "a\\b\"");
    EXPECT("--x=\"a b\" #not a comment", "--x=a b", "#not", "a", "comment");
    EXPECT("$HOME `id` $(id) a|b;c&d>e *", "$HOME", "`id`", "$(id)", "a|b;c&d>e", "*");
    EXPECT("a\\\nb", "a\nb");
}

static void test_refusals(void **state) {
    (void)state;
    struct sl_shell_words got;
    static const char *const broken[] = {"'a", "\"a", "a\\", "\"a\\", "'a\"", "\"a\\\""};
    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
        assert_int_equal(sl_shell_split(sl_slice_str(broken[i]), &got), SL_E_INVALID);
    assert_int_equal(sl_shell_split(SL_LIT("a\0b"), &got), SL_E_INVALID);
}

static void test_limits(void **state) {
    (void)state;
    struct sl_shell_words got;
    char *line = sl_alloc(SL_SHELL_MAX_BYTES + 1);
    assert_non_null(line);
    memset(line, 'a', SL_SHELL_MAX_BYTES + 1);
    assert_int_equal(sl_shell_split(sl_slice_of(line, SL_SHELL_MAX_BYTES + 1), &got), SL_E_LIMIT);
    for (size_t i = 0; i <= SL_SHELL_MAX_WORDS; i++)
        line[2 * i + 1] = ' ';
    assert_int_equal(sl_shell_split(sl_slice_of(line, 2 * SL_SHELL_MAX_WORDS), &got), SL_OK);
    assert_int_equal(got.count, SL_SHELL_MAX_WORDS);
    assert_null(got.words[SL_SHELL_MAX_WORDS]);
    sl_free(got.words);
    assert_int_equal(sl_shell_split(sl_slice_of(line, 2 * SL_SHELL_MAX_WORDS + 1), &got),
                     SL_E_LIMIT);
    sl_free(line);
}

static void test_out_of_memory(void **state) {
    (void)state;
    struct sl_shell_words got;
    sl_mem_fail_after(1);
    assert_int_equal(sl_shell_split(SL_LIT("a b"), &got), SL_E_NOMEM);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
