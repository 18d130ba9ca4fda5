#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/state.h"

struct fixture {
    char root[64], folder[128], token[160];
};

static char why[512];

static int setup(void **state) {
    static struct fixture f;
    snprintf(f.root, sizeof(f.root), "/tmp/sluice-state-XXXXXX");
    if (!mkdtemp(f.root))
        return -1;
    snprintf(f.folder, sizeof(f.folder), "%s/deep/state", f.root);
    snprintf(f.token, sizeof(f.token), "%s/admin.token", f.folder);
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    char deep[160];
    unlink(f->token);
    rmdir(f->folder);
    snprintf(deep, sizeof(deep), "%s/deep", f->root);
    rmdir(deep);
    return rmdir(f->root); /* fails, and the test with it, if anything was left behind */
}

static mode_t mode_of(const char *path) {
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static void put_token(const struct fixture *f, const char *text, mode_t mode) {
    unlink(f->token);
    int fd = open(f->token, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void opens(const char *folder, struct sl_state *out) {
    if (sl_state_open(out, folder, why, sizeof(why)) != 0)
        fail_msg("%s", why);
}

static void refuses(const char *folder, const char *text) {
    struct sl_state s;
    assert_int_equal(sl_state_open(&s, folder, why, sizeof(why)), SL_E_IO);
    assert_int_equal(s.dir, -1);
    assert_int_equal(s.admin_token[0], 0);
    if (!strstr(why, text))
        fail_msg("\"%s\" does not say \"%s\"", why, text);
}

static void test_made_and_kept(void **state) {
    struct fixture *f = *state;
    struct sl_state first, second;
    umask(0);
    opens(f->folder, &first);
    assert_int_equal(mode_of(f->folder), 0700);
    assert_int_equal(mode_of(f->token), 0600);
    assert_int_equal(strlen(first.admin_token), 64);
    assert_int_equal(strspn(first.admin_token, "0123456789abcdef"), 64);
    opens(f->folder, &second);
    assert_string_equal(first.admin_token, second.admin_token);
    sl_state_close(&first);
    assert_int_equal(first.admin_token[0], 0);
    sl_state_close(&second);
    unlink(f->token);
    opens(f->folder, &first); /* a new one, not the same again */
    assert_int_equal(strlen(first.admin_token), 64);
    sl_state_close(&first);
}

static void test_own_token(void **state) {
    struct fixture *f = *state;
    struct sl_state s;
    opens(f->folder, &s);
    sl_state_close(&s);
    put_token(f, "0123456789012345678901234567890123456789\r\n", 0600);
    opens(f->folder, &s);
    assert_string_equal(s.admin_token, "0123456789012345678901234567890123456789");
    sl_state_close(&s);
}

static void test_bad_tokens(void **state) {
    struct fixture *f = *state;
    struct sl_state s;
    char big[400];
    opens(f->folder, &s);
    sl_state_close(&s);
    put_token(f, "", 0600);
    refuses(f->folder, "must hold one word");
    put_token(f, "short\n", 0600);
    refuses(f->folder, "must hold one word");
    put_token(f, "two words 0123456789012345678901234567890\n", 0600);
    refuses(f->folder, "must hold one word");
    assert_null(strstr(why, "two words"));
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    put_token(f, big, 0600);
    refuses(f->folder, "must hold one word");
    put_token(f, "0123456789012345678901234567890123456789\n", 0640);
    refuses(f->folder, "chmod 600");
    unlink(f->token);
    assert_int_equal(symlink("/etc/passwd", f->token), 0);
    refuses(f->folder, "cannot be read");
    unlink(f->token);
    assert_int_equal(mkfifo(f->token, 0600), 0); /* must not wait for a writer */
    refuses(f->folder, "must be a file of this user alone");
}

static void test_open_folder_is_refused(void **state) {
    struct fixture *f = *state;
    struct sl_state s;
    opens(f->folder, &s);
    sl_state_close(&s);
    assert_int_equal(chmod(f->folder, 0750), 0);
    refuses(f->folder, "chmod 700");
    assert_int_equal(mode_of(f->folder), 0750); /* and left as it was */
}

static void test_no_folder(void **state) {
    struct fixture *f = *state;
    struct sl_state s;
    refuses(NULL, "there is no HOME");
    opens(f->folder, &s);
    sl_state_close(&s);
    refuses(f->token, "cannot be opened: Not a directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_and_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_open_folder_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
