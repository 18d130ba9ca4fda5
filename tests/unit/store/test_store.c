/* The worker against real files. Nothing sleeps: each test runs the loop until what it waits for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/base/mem.h"
#include "sluice/store/store.h"

struct fixture {
    char folder[64], path[96], file[96];
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_store *store;
    /* What came back. */
    int keys, ends, done, error;
    int keys_at_end, keys_at_done; /* how many had been visited by then */
    char last_name[72];
    char why[256];
};

static char why[256];

static int setup(void **state) {
    static struct fixture f;
    memset(&f, 0, sizeof(f));
    snprintf(f.folder, sizeof(f.folder), "/tmp/sluice-store-XXXXXX");
    if (!mkdtemp(f.folder) || uv_loop_init(&f.uv) != 0 || sl_loop_init(&f.loop, &f.uv) != 0)
        return -1;
    snprintf(f.path, sizeof(f.path), "%s/sluice.db", f.folder);
    snprintf(f.file, sizeof(f.file), "%s/snapshot", f.folder);
    struct sl_db *db = sl_db_open(f.path, why, sizeof(why));
    f.store = db ? sl_store_new(&f.loop, db) : NULL;
    *state = &f;
    return f.store ? 0 : -1;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    sl_store_free(f->store);
    sl_loop_done(&f->loop);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    int rc = f->loop.open_handles | uv_loop_close(&f->uv);
    unlink(f->path);
    unlink(f->file);
    return rc | rmdir(f->folder);
}

static void free_store(struct fixture *f) {
    sl_store_free(f->store);
    f->store = NULL;
}

static void run_until(struct fixture *f, const int *what, int value) {
    while (*what < value)
        uv_run(&f->uv, UV_RUN_ONCE);
}

static int64_t ask_sql(const char *path, const char *sql) {
    sqlite3 *raw = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    sqlite3_busy_timeout(raw, 5000);
    assert_int_equal(sqlite3_prepare_v2(raw, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
    return value;
}

static void visit(void *ctx, const struct sl_db_key *key) {
    struct fixture *f = ctx;
    if (!key) {
        f->ends++;
        f->keys_at_end = f->keys;
        return;
    }
    f->keys++;
    memcpy(f->last_name, key->name, sizeof(f->last_name));
}

static void on_done(void *ctx) {
    struct fixture *f = ctx;
    f->done++;
    f->keys_at_done = f->keys;
}

static void on_written(void *ctx, int error, const char *text) {
    struct fixture *f = ctx;
    f->done++;
    f->error = error;
    snprintf(f->why, sizeof(f->why), "%s", text);
}

static struct sl_db_key numbered(int i) {
    struct sl_db_key key = {.generation = 1};
    snprintf(key.id, sizeof(key.id), "k%09d", i);
    snprintf(key.name, sizeof(key.name), "key %d", i);
    return key;
}

static void insert_one(void *ctx, struct sl_db *db) {
    struct fixture *f = ctx;
    struct sl_db_key key = numbered(1);
    f->error = sl_db_key_insert(db, &key, f->why, sizeof(f->why));
}

/* ---- The ledger ------------------------------------------------------------------- */

static void test_rows_are_written_at_the_end(void **state) {
    struct fixture *f = *state;
    for (int i = 1; i <= 1500; i++)
        sl_store_ledger(f->store, &(struct sl_ledger_row){.at_ms = (uint64_t)i, .status = 200});
    free_store(f);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger"), 1500);
    assert_int_equal(ask_sql(f->path, "SELECT min(number = at_ms << 20) FROM ledger"), 1);
}

/* A full batch is written at once; one that is not, within its second. */
static void test_rows_are_written_in_time(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 513; i++)
        sl_store_ledger(f->store, &(struct sl_ledger_row){.status = 200});
    uint64_t begin = sl_clock_monotonic();
    while (ask_sql(f->path, "SELECT count(*) FROM ledger") < 512)
        assert_true(sl_clock_monotonic() - begin < 60 * SL_NS_PER_S);
    while (ask_sql(f->path, "SELECT count(*) FROM ledger") < 513) {
        assert_true(sl_clock_monotonic() - begin < 60 * SL_NS_PER_S);
        uv_run(&f->uv, UV_RUN_NOWAIT);
    }
}

/* The disk is full: rows wait, then are dropped and counted, and those that wait are not lost. */
static void test_full_disk(void **state) {
    struct fixture *f = *state;
    struct rlimit before, small = {.rlim_cur = 64 << 10};
    struct sl_ledger_row row = {.status = 200};
    memset(row.model, 'm', sizeof(row.model) - 1);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 512; i++)
        sl_store_ledger(f->store, &row);
    uint64_t begin = sl_clock_monotonic();
    while (sl_store_is_well(f->store, why, sizeof(why)))
        assert_true(sl_clock_monotonic() - begin < 60 * SL_NS_PER_S);
    assert_non_null(strstr(why, "store: "));
    for (int i = 0; i < 65536; i++)
        sl_store_ledger(f->store, &row);
    assert_int_equal(sl_store_dropped(f->store), 512);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    free_store(f);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger"), 65536);
}

/* Old rows go in several steps; those that are young enough, and new ones, stay. */
static void test_old_rows_go(void **state) {
    struct fixture *f = *state;
    uint64_t now = (uint64_t)sl_clock_wall_ms(), begin = sl_clock_monotonic();
    for (int i = 0; i < 5000; i++)
        sl_store_ledger(f->store, &(struct sl_ledger_row){.at_ms = now - 7200000, .status = 200});
    for (int i = 0; i < 120; i++)
        sl_store_ledger(f->store, &(struct sl_ledger_row){.at_ms = now, .status = 200});
    while (ask_sql(f->path, "SELECT count(*) FROM ledger") < 5120)
        assert_true(sl_clock_monotonic() - begin < 60 * SL_NS_PER_S);
    sl_store_keep_ledger(f->store, 3600000);
    while (ask_sql(f->path, "SELECT count(*) FROM ledger") > 120)
        assert_true(sl_clock_monotonic() - begin < 60 * SL_NS_PER_S);
    assert_true(sl_store_is_well(f->store, why, sizeof(why)));
    free_store(f);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger"), 120);
}

static void test_no_memory_drops_a_row(void **state) {
    struct fixture *f = *state;
    sl_mem_fail_after(1);
    sl_store_ledger(f->store, &(struct sl_ledger_row){.status = 200});
    assert_int_equal(sl_store_dropped(f->store), 1);
    sl_mem_fail_after(1);
    assert_int_equal(sl_store_run(f->store, insert_one, on_done, f), SL_E_NOMEM);
    sl_store_ledger(f->store, &(struct sl_ledger_row){.status = 200});
    free_store(f);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger"), 1);
}

/* ---- Keys ------------------------------------------------------------------------- */

static void insert_many(const char *path, int from, int count) {
    struct sl_db *db = sl_db_open(path, why, sizeof(why));
    assert_non_null(db);
    for (int i = from; i < from + count; i++) {
        struct sl_db_key key = numbered(i);
        assert_int_equal(sl_db_key_insert(db, &key, why, sizeof(why)), 0);
    }
    sl_db_close(db);
}

static void test_keys_are_seen(void **state) {
    struct fixture *f = *state;
    insert_many(f->path, 100, 130); /* two pages and a little */
    sl_store_watch_keys(f->store, SL_NS_PER_MS, visit, f);
    run_until(f, &f->ends, 1);
    assert_int_equal(f->keys_at_end, 130);
    assert_string_equal(f->last_name, "key 229");
    insert_many(f->path, 300, 1); /* as another process would */
    run_until(f, &f->ends, 2);
    assert_int_equal(f->keys, 130 + 131);
    assert_string_equal(f->last_name, "key 300");
    assert_true(sl_store_is_well(f->store, why, sizeof(why)));
}

static void test_no_keys(void **state) {
    struct fixture *f = *state;
    sl_store_watch_keys(f->store, SL_NS_PER_S, visit, f);
    run_until(f, &f->ends, 1);
    assert_int_equal(f->keys, 0);
}

static void test_full_page_alone(void **state) {
    struct fixture *f = *state;
    insert_many(f->path, 0, 64);
    sl_store_watch_keys(f->store, SL_NS_PER_S, visit, f);
    run_until(f, &f->ends, 1);
    assert_int_equal(f->keys_at_end, 64);
}

/* With an hour between looks, only the work itself can have had its key seen. */
static void test_work_is_seen_before_done(void **state) {
    struct fixture *f = *state;
    sl_store_watch_keys(f->store, 3600 * SL_NS_PER_S, visit, f);
    run_until(f, &f->ends, 1);
    f->error = -1;
    assert_int_equal(sl_store_run(f->store, insert_one, on_done, f), 0);
    run_until(f, &f->done, 1);
    assert_int_equal(f->error, 0);
    assert_int_equal(f->ends, 2);
    assert_int_equal(f->keys_at_done, 1);
}

/* Nobody runs the loop while the worker waits for its page to be visited. */
static void test_free_while_keys_wait(void **state) {
    struct fixture *f = *state;
    insert_many(f->path, 0, 200);
    sl_store_watch_keys(f->store, SL_NS_PER_MS, visit, f);
    assert_int_equal(sl_store_run(f->store, insert_one, on_done, f), 0);
    free_store(f);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->ends, 0);
}

/* ---- Jobs ------------------------------------------------------------------------- */

static char *bytes_of(const char *text) {
    char *bytes = sl_strdup(text);
    assert_non_null(bytes);
    return bytes;
}

static void assert_holds(const char *path, const char *text) {
    char got[64] = "";
    struct stat st;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, got, sizeof(got) - 1), strlen(text));
    assert_string_equal(got, text);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    close(fd);
}

static void test_file(void **state) {
    struct fixture *f = *state;
    assert_int_equal(
        sl_store_write_file(f->store, f->file, bytes_of("first, longer"), 13, NULL, NULL), 0);
    assert_int_equal(sl_store_write_file(f->store, f->file, bytes_of("second"), 6, on_written, f),
                     0);
    run_until(f, &f->done, 1);
    assert_int_equal(f->error, 0);
    assert_holds(f->file, "second");
}

static void test_file_fails(void **state) {
    struct fixture *f = *state;
    assert_int_equal(
        sl_store_write_file(f->store, "/nonexistent/x", bytes_of("x"), 1, on_written, f), 0);
    run_until(f, &f->done, 1);
    assert_int_equal(f->error, SL_E_IO);
    assert_string_equal(f->why, "/nonexistent/x cannot be written: No such file or directory");
}

/* The former file stays whole when the disk is full, and nothing else is left behind. */
static void test_file_on_a_full_disk(void **state) {
    struct fixture *f = *state;
    struct rlimit before, small = {.rlim_cur = 1024};
    char *large = sl_calloc(1, 65536);
    assert_non_null(large);
    assert_int_equal(sl_store_write_file(f->store, f->file, bytes_of("whole"), 5, on_written, f),
                     0);
    run_until(f, &f->done, 1);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(sl_store_write_file(f->store, f->file, large, 65536, on_written, f), 0);
    run_until(f, &f->done, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(f->error, SL_E_IO);
    assert_holds(f->file, "whole");
}

static void wait_for_pipe(void *ctx, struct sl_db *db) {
    char c;
    (void)db;
    assert_int_equal(read(*(int *)ctx, &c, 1), 1);
}

static void test_jobs_are_bounded_and_all_finish(void **state) {
    struct fixture *f = *state;
    int gate[2];
    assert_int_equal(pipe(gate), 0);
    assert_int_equal(sl_store_run(f->store, wait_for_pipe, NULL, &gate[0]), 0);
    int count = 1;
    while (sl_store_run(f->store, insert_one, on_done, f) == 0)
        count++;
    assert_int_equal(count, SL_STORE_JOBS);
    assert_int_equal(sl_store_write_file(f->store, f->file, bytes_of("x"), 1, NULL, NULL),
                     SL_E_LIMIT);
    assert_int_equal(write(gate[1], "x", 1), 1);
    free_store(f);
    assert_int_equal(f->done, SL_STORE_JOBS - 1);
    close(gate[0]);
    close(gate[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_rows_are_written_at_the_end),
        TEST(test_rows_are_written_in_time),
        TEST(test_full_disk),
        TEST(test_old_rows_go),
        TEST(test_no_memory_drops_a_row),
        TEST(test_keys_are_seen),
        TEST(test_no_keys),
        TEST(test_full_page_alone),
        TEST(test_work_is_seen_before_done),
        TEST(test_free_while_keys_wait),
        TEST(test_file),
        TEST(test_file_fails),
        TEST(test_file_on_a_full_disk),
        TEST(test_jobs_are_bounded_and_all_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
