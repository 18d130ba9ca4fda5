/* The database against real files: what is written is read again, what is wrong is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/store/store.h"

struct fixture {
    char folder[64], path[96];
    struct sl_db *db;
};

static char why[512];

static struct sl_db *opened(const char *path) {
    struct sl_db *db = sl_db_open(path, why, sizeof(why));
    if (!db)
        fail_msg("%s", why);
    return db;
}

static void assert_says(const char *text) {
    if (!strstr(why, text))
        fail_msg("\"%s\" does not say \"%s\"", why, text);
}

static int setup(void **state) {
    static struct fixture f;
    snprintf(f.folder, sizeof(f.folder), "/tmp/sluice-db-XXXXXX");
    if (!mkdtemp(f.folder))
        return -1;
    snprintf(f.path, sizeof(f.path), "%s/sluice.db", f.folder);
    f.db = NULL;
    *state = &f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    sl_db_close(f->db);
    unlink(f->path);
    return rmdir(f->folder); /* fails if the log or anything else was left behind */
}

static struct sl_db_key a_key(const char *id, const char *name) {
    struct sl_db_key key = {.generation = 1,
                            .created_at = 1000,
                            .priority = 1,
                            .cache = 2,
                            .rpm = 60,
                            .tpm = 100000,
                            .models = "us.meta.*,anthropic.*",
                            .operations = "listings",
                            .s3_prefix = "s3://bucket/in"};
    snprintf(key.id, sizeof(key.id), "%s", id);
    snprintf(key.name, sizeof(key.name), "%s", name);
    return key;
}

static int insert(struct sl_db *db, const char *id, const char *name) {
    struct sl_db_key key = a_key(id, name);
    return sl_db_key_insert(db, &key, why, sizeof(why));
}

static uint64_t version_of(struct sl_db *db) {
    uint64_t version = 0;
    assert_int_equal(sl_db_keys_version(db, &version), 0);
    return version;
}

static void run_sql(const char *path, const char *sql) {
    sqlite3 *raw = NULL;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

static int64_t ask_sql(const char *path, const char *sql) {
    sqlite3 *raw = NULL;
    sqlite3_stmt *stmt = NULL;
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(raw, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_close(raw), SQLITE_OK);
    return value;
}

/* ---- Opening ---------------------------------------------------------------------- */

static void test_made_private(void **state) {
    struct fixture *f = *state;
    struct stat st;
    char wal[128];
    umask(0);
    f->db = opened(f->path);
    assert_int_equal(insert(f->db, "aaaaaaaaaa", "a"), 0);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    snprintf(wal, sizeof(wal), "%s-wal", f->path);
    assert_int_equal(stat(wal, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void test_open_file_is_refused(void **state) {
    struct fixture *f = *state;
    sl_db_close(opened(f->path));
    assert_int_equal(chmod(f->path, 0640), 0);
    assert_null(sl_db_open(f->path, why, sizeof(why)));
    assert_says("chmod 600");
    unlink(f->path);
    assert_int_equal(symlink("/etc/passwd", f->path), 0);
    assert_null(sl_db_open(f->path, why, sizeof(why)));
    assert_says("must be a file of this user alone");
}

static void test_no_folder(void **state) {
    (void)state;
    assert_null(sl_db_open("/nonexistent/sluice.db", why, sizeof(why)));
    assert_says("/nonexistent/sluice.db cannot be made: No such file");
}

/* Root may write anywhere, so it becomes somebody else for this one. */
static void test_read_only_folder(void **state) {
    struct fixture *f = *state;
    uid_t me = geteuid();
    sl_db_close(opened(f->path));
    if (me == 0) {
        assert_int_equal(chown(f->path, 65534, 65534), 0);
        assert_int_equal(chown(f->folder, 65534, 65534), 0);
    }
    assert_int_equal(chmod(f->folder, 0500), 0);
    assert_int_equal(me == 0 ? seteuid(65534) : 0, 0);
    struct sl_db *db = sl_db_open(f->path, why, sizeof(why));
    assert_int_equal(seteuid(me), 0);
    assert_int_equal(chmod(f->folder, 0700), 0);
    assert_null(db);
    assert_says("cannot be used");
}

static void test_no_database(void **state) {
    struct fixture *f = *state;
    FILE *file = fopen(f->path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs("this is no database\n", file);
    fclose(file);
    assert_int_equal(chmod(f->path, 0600), 0);
    assert_null(sl_db_open(f->path, why, sizeof(why)));
    assert_says("file is not a database");
}

static void test_foreign_and_newer(void **state) {
    struct fixture *f = *state;
    umask(077);
    run_sql(f->path, "CREATE TABLE theirs (x)");
    assert_null(sl_db_open(f->path, why, sizeof(why)));
    assert_says("not Sluice's");
    unlink(f->path);
    sl_db_close(opened(f->path));
    run_sql(f->path, "PRAGMA user_version = 99");
    assert_null(sl_db_open(f->path, why, sizeof(why)));
    assert_says("newer Sluice (its schema is 99, this one knows 2)");
}

/* ---- Keys ------------------------------------------------------------------------- */

static void test_key_comes_back(void **state) {
    struct fixture *f = *state;
    struct sl_db_key key = a_key("abcdefghij", "team \"a\" – é"), found;
    key.generation = 3;
    key.overlap_until = 2000;
    key.expires_at = UINT64_MAX; /* never, as good as */
    snprintf(key.subject, sizeof(key.subject), "CN=app,O=\"Ex; DROP TABLE keys\"");
    f->db = opened(f->path);
    assert_int_equal(sl_db_key_insert(f->db, &key, why, sizeof(why)), 0);
    sl_db_close(f->db);
    f->db = opened(f->path);
    assert_int_equal(sl_db_key_find(f->db, key.name, &found, why, sizeof(why)), 0);
    key.expires_at = INT64_MAX;
    assert_memory_equal(&key, &found, sizeof(key));
    assert_int_equal(sl_db_key_find(f->db, "abcdefghij", &found, why, sizeof(why)), 0);
    assert_memory_equal(&key, &found, sizeof(key));
    assert_int_equal(sl_db_key_find(f->db, "none", &found, why, sizeof(why)), SL_E_NOTFOUND);
    assert_says("no key with the name or id \"none\"");
}

static void test_names_are_unique_while_live(void **state) {
    struct fixture *f = *state;
    struct sl_db_key key;
    f->db = opened(f->path);
    assert_int_equal(insert(f->db, "aaaaaaaaaa", "team"), 0);
    assert_int_equal(insert(f->db, "bbbbbbbbbb", "team"), SL_E_EXISTS);
    assert_says("a live key named \"team\"");
    assert_int_equal(insert(f->db, "aaaaaaaaaa", "other"), SL_E_EXISTS);
    assert_says("the id aaaaaaaaaa");
    assert_int_equal(sl_db_key_find(f->db, "team", &key, why, sizeof(why)), 0);
    key.revoked_at = 5000;
    assert_int_equal(sl_db_key_update(f->db, &key, why, sizeof(why)), 0);
    assert_int_equal(insert(f->db, "bbbbbbbbbb", "team"), 0);
    assert_int_equal(sl_db_key_find(f->db, "team", &key, why, sizeof(why)), 0);
    assert_string_equal(key.id, "bbbbbbbbbb"); /* the live one */
    snprintf(key.id, sizeof(key.id), "cccccccccc");
    assert_int_equal(sl_db_key_update(f->db, &key, why, sizeof(why)), SL_E_NOTFOUND);
}

static void test_subjects_are_unique(void **state) {
    struct fixture *f = *state;
    struct sl_db_key key = a_key("aaaaaaaaaa", "one");
    f->db = opened(f->path);
    snprintf(key.subject, sizeof(key.subject), "CN=x");
    assert_int_equal(sl_db_key_insert(f->db, &key, why, sizeof(why)), 0);
    snprintf(key.id, sizeof(key.id), "bbbbbbbbbb");
    snprintf(key.name, sizeof(key.name), "two");
    assert_int_equal(sl_db_key_insert(f->db, &key, why, sizeof(why)), SL_E_EXISTS);
    assert_says("certificate subject \"CN=x\"");
}

/* What another process did in between is not undone. */
static void test_update_keeps_revocation_and_generation(void **state) {
    struct fixture *f = *state;
    struct sl_db_key stale, key;
    f->db = opened(f->path);
    assert_int_equal(insert(f->db, "aaaaaaaaaa", "team"), 0);
    assert_int_equal(sl_db_key_find(f->db, "team", &stale, why, sizeof(why)), 0);
    key = stale;
    key.revoked_at = 5000;
    key.generation = 4;
    assert_int_equal(sl_db_key_update(f->db, &key, why, sizeof(why)), 0);
    stale.generation = 2;
    assert_int_equal(sl_db_key_update(f->db, &stale, why, sizeof(why)), 0);
    assert_int_equal(sl_db_key_find(f->db, "team", &key, why, sizeof(why)), 0);
    assert_int_equal(key.revoked_at, 5000);
    assert_int_equal(key.generation, 4);
}

static void collect_ids(void *ctx, const struct sl_db_key *key) {
    char *out = ctx;
    size_t len = strlen(out);
    snprintf(out + len, 256 - len, "%s ", key->name);
}

static void test_all_in_order_of_creation(void **state) {
    struct fixture *f = *state;
    char names[256] = "";
    f->db = opened(f->path);
    assert_int_equal(insert(f->db, "cccccccccc", "first"), 0);
    assert_int_equal(insert(f->db, "aaaaaaaaaa", "second"), 0);
    assert_int_equal(insert(f->db, "bbbbbbbbbb", "third"), 0);
    assert_int_equal(sl_db_keys(f->db, collect_ids, names, why, sizeof(why)), 0);
    assert_string_equal(names, "first second third ");
}

static void test_version_tells_of_other_processes(void **state) {
    struct fixture *f = *state;
    f->db = opened(f->path);
    uint64_t before = version_of(f->db);
    assert_int_equal(version_of(f->db), before);
    struct sl_db *other = opened(f->path);
    assert_int_equal(insert(other, "aaaaaaaaaa", "team"), 0);
    sl_db_close(other);
    assert_true(version_of(f->db) > before);
    before = version_of(f->db);
    struct sl_ledger_row row = {.status = 200};
    assert_int_equal(sl_db_ledger_insert(f->db, &row, 1, why, sizeof(why)), 0);
    assert_int_equal(version_of(f->db), before); /* the ledger is no key */
}

static void test_odd_row_is_refused(void **state) {
    struct fixture *f = *state;
    struct sl_db_key key;
    char names[256] = "";
    f->db = opened(f->path);
    assert_int_equal(insert(f->db, "aaaaaaaaaa", "team"), 0);
    run_sql(f->path, "UPDATE keys SET models = hex(zeroblob(600))");
    assert_int_equal(sl_db_key_find(f->db, "team", &key, why, sizeof(why)), SL_E_INVALID);
    assert_int_equal(sl_db_keys(f->db, collect_ids, names, why, sizeof(why)), SL_E_INVALID);
    assert_says("what no Sluice wrote");
}

/* ---- The ledger ------------------------------------------------------------------- */

static void test_ledger(void **state) {
    struct fixture *f = *state;
    struct sl_ledger_row rows[3] = {
        {.at_ms = 1, .status = 200, .usage = {10, 20, 30, 40}, .cost = 5, .saved = -1},
        {.at_ms = 2, .status = 429, .usage = {-1, -1, -1, -1}, .cost = -1, .saved = -1},
        {.at_ms = 3, .status = 200, .cost = 7, .estimated = true, .model = "m", .cache = "hit"}};
    f->db = opened(f->path);
    assert_int_equal(sl_db_ledger_insert(f->db, rows, 3, why, sizeof(why)), 0);
    assert_int_equal(ask_sql(f->path, "SELECT sum(cost) FROM ledger"), 12);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger WHERE input IS NULL"), 1);
    assert_int_equal(ask_sql(f->path, "SELECT cache_write FROM ledger WHERE at_ms = 1"), 40);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger WHERE estimated AND"
                                      " model = 'm' AND cache = 'hit'"),
                     1);
}

/* Rows of one millisecond are told apart, also where another handle wrote some of them. */
static void test_rows_of_one_time(void **state) {
    struct fixture *f = *state;
    struct sl_ledger_row rows[4] = {{.at_ms = 7, .status = 200},
                                    {.at_ms = 7, .status = 200},
                                    {.at_ms = 6, .status = 200},
                                    {.at_ms = UINT64_MAX, .status = 200}};
    for (int i = 0; i < 3; i++) {
        struct sl_db *db = opened(f->path);
        assert_int_equal(sl_db_ledger_insert(db, rows, 4, why, sizeof(why)), 0);
        sl_db_close(db);
    }
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger WHERE at_ms = 7"), 6);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger WHERE at_ms = 6"), 3);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger"), 12);
}

/* A file of the first schema: rows had a time and an index on it. */
static void test_first_schema(void **state) {
    struct fixture *f = *state;
    struct sl_ledger_row row = {.at_ms = 5, .status = 200, .cost = 100};
    sl_db_close(opened(f->path));
    run_sql(f->path, "DROP TABLE ledger; CREATE TABLE ledger (number INTEGER PRIMARY KEY,"
                     " at_ms INTEGER NOT NULL, tenant INTEGER NOT NULL, key_id TEXT NOT NULL,"
                     " request_id TEXT NOT NULL, model TEXT NOT NULL, operation TEXT NOT NULL,"
                     " target TEXT NOT NULL, cache TEXT NOT NULL, status INTEGER NOT NULL,"
                     " input INTEGER, output INTEGER, cache_read INTEGER, cache_write INTEGER,"
                     " cost INTEGER, saved INTEGER, duration_ms INTEGER NOT NULL,"
                     " queue_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,"
                     " estimated INTEGER NOT NULL) STRICT;"
                     "CREATE INDEX ledger_at ON ledger (at_ms);"
                     "INSERT INTO ledger SELECT column1, column2, 1, 'k', 'r' || column1, 'm', 'o',"
                     " 't', 'hit', 200, NULL, 2, 3, 4, column1, 6, 7, 8, 9, 0"
                     " FROM (VALUES (1, 5), (2, 5), (3, 6), (4, 4));"
                     "PRAGMA user_version = 1");
    f->db = opened(f->path);
    assert_int_equal(ask_sql(f->path, "PRAGMA user_version"), 2);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger WHERE at_ms = 5"), 2);
    assert_int_equal(ask_sql(f->path, "SELECT at_ms FROM ledger WHERE request_id = 'r4'"), 4);
    assert_int_equal(ask_sql(f->path, "SELECT sum(cost) FROM ledger WHERE input IS NULL AND"
                                      " saved = 6 AND attempts = 9 AND key_id = 'k'"),
                     10);
    assert_int_equal(sl_db_ledger_insert(f->db, &row, 1, why, sizeof(why)), 0);
    assert_int_equal(ask_sql(f->path, "SELECT sum(cost) FROM ledger WHERE at_ms = 5"), 103);
}

/* What is too old goes, a bounded number at a time; what sums read is in tests/unit/app. */
static void test_prune(void **state) {
    struct fixture *f = *state;
    static struct sl_ledger_row rows[10];
    size_t deleted = 77;
    for (size_t i = 0; i < 10; i++)
        rows[i] = (struct sl_ledger_row){.at_ms = 100 - i, .status = 200};
    f->db = opened(f->path);
    assert_int_equal(sl_db_ledger_insert(f->db, rows, 10, why, sizeof(why)), 0);
    assert_int_equal(sl_db_ledger_prune(f->db, 98, 4, &deleted, why, sizeof(why)), 0);
    assert_int_equal(deleted, 4);
    assert_int_equal(ask_sql(f->path, "SELECT min(at_ms) FROM ledger"), 95); /* oldest first */
    assert_int_equal(sl_db_ledger_prune(f->db, 98, 4, &deleted, why, sizeof(why)), 0);
    assert_int_equal(deleted, 3);
    assert_int_equal(sl_db_ledger_prune(f->db, 98, 4, &deleted, why, sizeof(why)), 0);
    assert_int_equal(deleted, 0);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger WHERE at_ms >= 98"), 3);
}

/* A disk that is full: no batch is half written, and once there is room, writing goes on. */
static void test_full_disk(void **state) {
    struct fixture *f = *state;
    static struct sl_ledger_row rows[512];
    struct rlimit before, small = {.rlim_cur = 256 << 10};
    f->db = opened(f->path);
    for (size_t i = 0; i < 512; i++)
        memset(rows[i].model, 'm', sizeof(rows[i].model) - 1);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = 0, batches = 0;
    for (; rc == 0 && batches < 100; batches++)
        rc = sl_db_ledger_insert(f->db, rows, 512, why, sizeof(why));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(rc, SL_E_IO);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger") % 512, 0);
    assert_int_equal(sl_db_ledger_insert(f->db, rows, 512, why, sizeof(why)), 0);
    assert_int_equal(ask_sql(f->path, "SELECT count(*) FROM ledger"), batches * 512);
    assert_int_equal(insert(f->db, "aaaaaaaaaa", "team"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_made_private),
        TEST(test_open_file_is_refused),
        TEST(test_no_folder),
        TEST(test_read_only_folder),
        TEST(test_no_database),
        TEST(test_foreign_and_newer),
        TEST(test_key_comes_back),
        TEST(test_names_are_unique_while_live),
        TEST(test_subjects_are_unique),
        TEST(test_update_keeps_revocation_and_generation),
        TEST(test_all_in_order_of_creation),
        TEST(test_version_tells_of_other_processes),
        TEST(test_odd_row_is_refused),
        TEST(test_ledger),
        TEST(test_rows_of_one_time),
        TEST(test_first_schema),
        TEST(test_prune),
        TEST(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
