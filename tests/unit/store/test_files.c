/* A file replaced as a whole, or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/store/files.h"

static struct { char folder[64], file[96], temporary[128], why[256]; } f;

static int setup(void **state) {
    (void)state;
    snprintf(f.folder, sizeof(f.folder), "/tmp/sluice-files-XXXXXX");
    if (!mkdtemp(f.folder))
        return -1;
    snprintf(f.file, sizeof(f.file), "%s/file", f.folder);
    snprintf(f.temporary, sizeof(f.temporary), "%s.new", f.file);
    f.why[0] = '\0';
    return 0;
}

static int teardown(void **state) {
    (void)state;
    unlink(f.file);
    unlink(f.temporary);
    return rmdir(f.folder);
}

static void expect_file(const char *content) {
    char bytes[64] = "";
    FILE *file = fopen(f.file, "r");
    assert_non_null(file);
    bytes[fread(bytes, 1, sizeof(bytes) - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(bytes, content);
    assert_int_not_equal(access(f.temporary, F_OK), 0);
}

static int replace(const char *text) {
    return sl_file_replace(f.file, sl_slice_str(text), f.why, sizeof(f.why));
}

static void a_draft_takes_the_place_of_the_file(void **state) {
    (void)state;
    struct stat st;
    struct sl_draft draft;
    assert_int_equal(replace("former and longer"), SL_OK);
    assert_int_equal(sl_draft_begin(&draft, f.file), SL_OK);
    assert_int_equal(sl_draft_add(&draft, SL_LIT("in ")), SL_OK);
    assert_int_equal(sl_draft_add(&draft, SL_EMPTY), SL_OK);
    assert_int_equal(sl_draft_add(&draft, SL_LIT("pieces")), SL_OK);
    assert_int_equal(sl_draft_end(&draft, SL_OK, f.why, sizeof(f.why)), SL_OK);
    expect_file("in pieces");
    assert_int_equal(stat(f.file, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_string_equal(f.why, "");
}

static void the_callers_failure_leaves_the_file(void **state) {
    (void)state;
    struct sl_draft draft;
    assert_int_equal(replace("former"), SL_OK);
    assert_int_equal(sl_draft_begin(&draft, f.file), SL_OK);
    assert_int_equal(sl_draft_add(&draft, SL_LIT("half")), SL_OK);
    assert_int_equal(sl_draft_end(&draft, SL_E_NOMEM, f.why, sizeof(f.why)), SL_E_NOMEM);
    assert_non_null(strstr(f.why, sl_error_name(SL_E_NOMEM)));
    expect_file("former");
}

/* Root may write anywhere, so a limit of the size stands for the disk that takes no more. */
static void the_first_failure_sticks(void **state) {
    (void)state;
    struct rlimit former, none;
    struct sl_draft draft;
    assert_int_equal(replace("former"), SL_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &former), 0);
    none = (struct rlimit){4, former.rlim_max};
    assert_int_equal(sl_draft_begin(&draft, f.file), SL_OK);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(sl_draft_add(&draft, SL_LIT("more than four")), SL_E_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &former), 0);
    assert_int_equal(sl_draft_add(&draft, SL_LIT("now it would work")), SL_E_IO);
    assert_int_equal(sl_draft_end(&draft, SL_OK, f.why, sizeof(f.why)), SL_E_IO);
    assert_non_null(strstr(f.why, "File too large"));
    expect_file("former");
    assert_int_equal(replace("later"), SL_OK);
    expect_file("later");
}

static void a_link_in_the_way_is_not_followed(void **state) {
    (void)state;
    char other[128];
    snprintf(other, sizeof(other), "%s/other", f.folder);
    assert_int_equal(replace("former"), SL_OK);
    assert_int_equal(symlink(other, f.temporary), 0);
    assert_int_equal(replace("x"), SL_E_IO);
    assert_int_not_equal(access(other, F_OK), 0);
    expect_file("former");
    assert_int_equal(replace("later"), SL_OK);
    expect_file("later");
}

static void names_that_cannot_be_are_told(void **state) {
    (void)state;
    static char name[PATH_MAX];
    memset(name, 'a', sizeof(name) - 2);
    assert_int_equal(sl_file_replace(name, SL_LIT("x"), f.why, sizeof(f.why)), SL_E_IO);
    assert_int_equal(sl_file_replace("/nonexistent/x", SL_LIT("x"), f.why, sizeof(f.why)), SL_E_IO);
    assert_string_equal(f.why, "/nonexistent/x cannot be written: No such file or directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_draft_takes_the_place_of_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(the_callers_failure_leaves_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_failure_sticks, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_in_the_way_is_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_cannot_be_are_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
