/*
 * The file and its statements. All statements are prepared when it is opened and stand in a table;
 * each operation binds, steps and resets one. Changes are durable when a call returns: WAL with
 * synchronous=FULL, so that a key that was revoked stays so after a power cut.
 *
 * A counter in the file, raised by triggers, tells every process of changed keys.
 */
#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/base/mem.h"

#define SCHEMA_VERSION 2
#define BUSY_MS        5000
#define SQL_MAX        128
#define EACH_COLUMN                                                                                \
    "id, name, subject, generation, overlap_until, created_at, expires_at, revoked_at, priority, " \
    "cache, rpm, tpm, models, operations, s3_prefix"

/* application_id says whose file it is. */
#define APPLICATION_ID 0x51106ce

/* A row's number is its time and, in the lowest bits, its place among those of the millisecond:
 * rows are appended to one tree, by which they are found by time too. */
#define PLACE_BITS "20"
#define PLACES     (UINT64_C(1) << 20)

#define LEDGER                                                                                     \
    "CREATE TABLE ledger ("                                                                        \
    " number INTEGER PRIMARY KEY,"                                                                 \
    " at_ms INTEGER NOT NULL GENERATED ALWAYS AS (number >> " PLACE_BITS ") VIRTUAL,"              \
    " tenant INTEGER NOT NULL,"                                                                    \
    " key_id TEXT NOT NULL,"                                                                       \
    " request_id TEXT NOT NULL,"                                                                   \
    " model TEXT NOT NULL,"                                                                        \
    " operation TEXT NOT NULL,"                                                                    \
    " target TEXT NOT NULL,"                                                                       \
    " cache TEXT NOT NULL,"                                                                        \
    " status INTEGER NOT NULL,"                                                                    \
    " input INTEGER,"                                                                              \
    " output INTEGER,"                                                                             \
    " cache_read INTEGER,"                                                                         \
    " cache_write INTEGER,"                                                                        \
    " cost INTEGER,"                                                                               \
    " saved INTEGER,"                                                                              \
    " duration_ms INTEGER NOT NULL,"                                                               \
    " queue_ms INTEGER NOT NULL,"                                                                  \
    " attempts INTEGER NOT NULL,"                                                                  \
    " estimated INTEGER NOT NULL) STRICT;"
#define LEDGER_FACTS                                                                               \
    "tenant, key_id, request_id, model, operation, target, cache, status, input, output, "         \
    "cache_read, cache_write, cost, saved, duration_ms, queue_ms, attempts, estimated"

static const char schema[] =
    "CREATE TABLE keys ("
    " number INTEGER PRIMARY KEY," /* order of creation */
    " id TEXT NOT NULL UNIQUE,"
    " name TEXT NOT NULL,"
    " subject TEXT NOT NULL,"
    " generation INTEGER NOT NULL,"
    " overlap_until INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL,"
    " expires_at INTEGER NOT NULL,"
    " revoked_at INTEGER NOT NULL,"
    " priority INTEGER NOT NULL,"
    " cache INTEGER NOT NULL,"
    " rpm INTEGER NOT NULL,"
    " tpm INTEGER NOT NULL,"
    " models TEXT NOT NULL,"
    " operations TEXT NOT NULL,"
    " s3_prefix TEXT NOT NULL) STRICT;"
    "CREATE UNIQUE INDEX keys_name ON keys (name) WHERE revoked_at = 0;"
    "CREATE UNIQUE INDEX keys_subject ON keys (subject) WHERE revoked_at = 0 AND subject <> '';"
    "CREATE TABLE changes (keys INTEGER NOT NULL) STRICT;"
    "INSERT INTO changes VALUES (1);"
    "CREATE TRIGGER keys_insert AFTER INSERT ON keys"
    " BEGIN UPDATE changes SET keys = keys + 1; END;"
    "CREATE TRIGGER keys_update AFTER UPDATE ON keys"
    " BEGIN UPDATE changes SET keys = keys + 1; END;"
    "CREATE TRIGGER keys_delete AFTER DELETE ON keys"
    " BEGIN UPDATE changes SET keys = keys + 1; END;" LEDGER;

/* What takes a file from the version before to this one: in the transaction that opens it. */
static const char *const migrations[SCHEMA_VERSION + 1] = {
    [2] = "DROP INDEX ledger_at; ALTER TABLE ledger RENAME TO former;" LEDGER
          "INSERT INTO ledger (number, " LEDGER_FACTS ")"
          " SELECT (at_ms << " PLACE_BITS
          ") + row_number() OVER (PARTITION BY at_ms), " LEDGER_FACTS " FROM former;"
          "DROP TABLE former;",
};

enum statement {
    BEGIN_WRITE,
    COMMIT,
    ROLLBACK,
    KEY_INSERT,
    KEY_UPDATE,
    KEY_FIND,
    KEYS,
    VERSION,
    LEDGER_INSERT,
    LEDGER_PRUNE,
    SUM_BY_MODEL,
    SUM_BY_KEY,
    SUM_BY_DAY,
    STATEMENTS
};

#define SHARED "cache IN ('hit', 'join')"
/* Sums of nothing are NULL, which reads as 0. */
#define SUM_OF(group, name, order)                                                                 \
    "SELECT " group " AS part, " name ", count(*), sum(status NOT BETWEEN 200 AND 299),"           \
    " sum(" SHARED "), sum(input) FILTER (WHERE NOT " SHARED "),"                                  \
    " sum(output) FILTER (WHERE NOT " SHARED "), sum(cache_read) FILTER (WHERE NOT " SHARED "),"   \
    " sum(cache_write) FILTER (WHERE NOT " SHARED "), sum(cost) AS cost_sum, sum(saved),"          \
    " sum(cost IS NULL AND status BETWEEN 200 AND 299)"                                            \
    " FROM ledger WHERE number >= ?1 << " PLACE_BITS " GROUP BY part ORDER BY " order

static const char *const statements[STATEMENTS] = {
    [BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [KEY_INSERT] = "INSERT INTO keys (" EACH_COLUMN ")"
                   " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15)",
    [KEY_UPDATE] = "UPDATE keys SET name = ?2, subject = ?3, generation = max(generation, ?4),"
                   " overlap_until = ?5, created_at = ?6, expires_at = ?7,"
                   " revoked_at = iif(revoked_at > 0, revoked_at, ?8), priority = ?9, cache = ?10,"
                   " rpm = ?11, tpm = ?12, models = ?13, operations = ?14, s3_prefix = ?15"
                   " WHERE id = ?1",
    /* A name may have been used before: the live key is meant, else the latest. */
    [KEY_FIND] = "SELECT " EACH_COLUMN " FROM keys WHERE id = ?1 OR name = ?1"
                 " ORDER BY id = ?1 DESC, revoked_at = 0 DESC, number DESC LIMIT 1",
    [KEYS] = "SELECT " EACH_COLUMN " FROM keys ORDER BY number",
    [VERSION] = "SELECT keys FROM changes",
    [LEDGER_INSERT] =
        "INSERT INTO ledger (number, " LEDGER_FACTS ")"
        " VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19)",
    [LEDGER_PRUNE] =
        "DELETE FROM ledger WHERE number IN"
        " (SELECT number FROM ledger WHERE number < ?1 << " PLACE_BITS " ORDER BY number LIMIT ?2)",
    [SUM_BY_MODEL] = SUM_OF("model", "''", "cost_sum DESC, count(*) DESC, part"),
    [SUM_BY_KEY] = SUM_OF("key_id", "ifnull((SELECT name FROM keys WHERE id = key_id), '')",
                          "cost_sum DESC, count(*) DESC, part"),
    [SUM_BY_DAY] = SUM_OF("strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch')", "''", "part"),
};

struct sl_db {
    sqlite3 *file;
    sqlite3_stmt *prepared[STATEMENTS];
    uint64_t last; /* number of the ledger's last row */
};

/* ---- Errors ----------------------------------------------------------------------- */

SL_PRINTF(3, 4) static void say(char *why, size_t n, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, n, fmt, args);
    va_end(args);
}

static int error_of(int rc) {
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return SL_E_NOMEM;
    case SQLITE_CONSTRAINT:
        return SL_E_EXISTS; /* all that can be broken is uniqueness */
    default:
        return SL_E_IO;
    }
}

static int fail(struct sl_db *db, int rc, char *why, size_t n) {
    say(why, n, "store: %s", sqlite3_errmsg(db->file));
    return error_of(rc);
}

/* ---- Opening ---------------------------------------------------------------------- */

/*
 * Makes the file where it is missing, since SQLite would make it by the umask, and looks at it. It
 * is not opened where it exists: closing any descriptor of a file drops the process's locks on it.
 */
static int make_private(const char *path, char *why, size_t n) {
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        close(fd);
    else if (errno != EEXIST) {
        say(why, n, "store: %s cannot be made: %s", path, strerror(errno));
        return SL_E_IO;
    }
    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        (st.st_mode & 077) == 0)
        return SL_OK;
    say(why, n, "store: %s must be a file of this user alone: chown and chmod 600 it", path);
    return SL_E_DENIED;
}

static int run(struct sl_db *db, const char *sql) {
    return sqlite3_exec(db->file, sql, NULL, NULL, NULL);
}

static int read_number(struct sl_db *db, const char *sql, int64_t *out) {
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->file, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *out = sqlite3_column_int64(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

static int mark_schema(struct sl_db *db) {
    char sql[SQL_MAX];
    snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             APPLICATION_ID, SCHEMA_VERSION);
    return run(db, sql);
}

/* Inside of a transaction, so that of two processes that start at once one makes it. */
static int make_schema(struct sl_db *db) {
    int rc = run(db, schema);
    return rc == SQLITE_OK ? mark_schema(db) : rc;
}

static int migrate(struct sl_db *db, int64_t version) {
    int rc = SQLITE_OK;
    while (rc == SQLITE_OK && version < SCHEMA_VERSION)
        rc = run(db, migrations[++version]);
    return rc == SQLITE_OK ? mark_schema(db) : rc;
}

/* SQLITE_MISMATCH: refused, with a sentence. */
static int check_schema(struct sl_db *db, const char *path, char *why, size_t n) {
    int64_t version = 0, application = 0, tables = 0;
    int rc = read_number(db, "PRAGMA user_version", &version);
    if (rc == SQLITE_OK)
        rc = read_number(db, "PRAGMA application_id", &application);
    if (rc == SQLITE_OK)
        rc = read_number(db, "SELECT count(*) FROM sqlite_schema", &tables);
    if (rc != SQLITE_OK)
        return rc;
    if (tables == 0 && version == 0)
        return make_schema(db);
    if (application != APPLICATION_ID) {
        say(why, n, "store: %s is a database, but not Sluice's: move it away", path);
        return SQLITE_MISMATCH;
    }
    if (version == SCHEMA_VERSION)
        return SQLITE_OK;
    if (version > 0 && version < SCHEMA_VERSION)
        return migrate(db, version);
    say(why, n,
        "store: %s was written by a newer Sluice (its schema is %lld, this one knows %d): use that "
        "version, or another state folder",
        path, (long long)version, SCHEMA_VERSION);
    return SQLITE_MISMATCH;
}

static int set_up(struct sl_db *db, const char *path, char *why, size_t n) {
    sqlite3_extended_result_codes(db->file, 1);
    int rc = sqlite3_busy_timeout(db->file, BUSY_MS);
    if (rc == SQLITE_OK)
        rc = run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                     "PRAGMA trusted_schema = OFF; BEGIN IMMEDIATE;");
    if (rc == SQLITE_OK)
        rc = check_schema(db, path, why, n);
    if (rc == SQLITE_OK)
        rc = run(db, "COMMIT");
    for (int i = 0; rc == SQLITE_OK && i < STATEMENTS; i++)
        rc = sqlite3_prepare_v3(db->file, statements[i], -1, SQLITE_PREPARE_PERSISTENT,
                                &db->prepared[i], NULL);
    if (rc != SQLITE_OK && rc != SQLITE_MISMATCH)
        say(why, n, "store: %s cannot be used: %s", path, sqlite3_errmsg(db->file));
    return rc;
}

struct sl_db *sl_db_open(const char *path, char *why, size_t why_size) {
    if (make_private(path, why, why_size) != SL_OK)
        return NULL;
    struct sl_db *db = sl_calloc(1, sizeof(*db));
    if (!db) {
        say(why, why_size, "store: out of memory");
        return NULL;
    }
    /* Its account of memory would take a lock for each allocation. Only the first open may say so;
     * later ones are told that it is too late. */
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    /* One thread at a time has the handle, so SQLite need not lock it. */
    int rc = sqlite3_open_v2(path, &db->file, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        say(why, why_size, "store: %s cannot be opened: %s", path,
            db->file ? sqlite3_errmsg(db->file) : "out of memory");
    else
        rc = set_up(db, path, why, why_size);
    if (rc == SQLITE_OK)
        return db;
    sl_db_close(db);
    return NULL;
}

void sl_db_close(struct sl_db *db) {
    if (!db)
        return;
    for (int i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(db->prepared[i]);
    int rc = sqlite3_close(db->file);
    assert(rc == SQLITE_OK);
    sl_free(db);
}

/* ---- Statements ------------------------------------------------------------------- */

/* One that returns no row. */
static int step(struct sl_db *db, enum statement which) {
    sqlite3_stmt *stmt = db->prepared[which];
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Binds one after the other; the first failure stays. */
struct binder {
    sqlite3_stmt *stmt;
    int at, rc;
};

static void bind_text(struct binder *b, const char *text) {
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_text(b->stmt, ++b->at, text, -1, SQLITE_STATIC);
}

static void bind_int(struct binder *b, int64_t value) {
    if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_int64(b->stmt, ++b->at, value);
}

/* What SQLite cannot hold is as good as no limit, or never. */
static void bind_u64(struct binder *b, uint64_t value) {
    bind_int(b, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

/* Negative: not known. */
static void bind_known(struct binder *b, int64_t value) {
    if (value >= 0)
        bind_int(b, value);
    else if (b->rc == SQLITE_OK)
        b->rc = sqlite3_bind_null(b->stmt, ++b->at);
}

/* ---- Keys ------------------------------------------------------------------------- */

static int write_key(struct sl_db *db, enum statement which, const struct sl_db_key *key) {
    struct binder b = {.stmt = db->prepared[which], .rc = SQLITE_OK};
    bind_text(&b, key->id);
    bind_text(&b, key->name);
    bind_text(&b, key->subject);
    bind_u64(&b, key->generation);
    bind_u64(&b, key->overlap_until);
    bind_u64(&b, key->created_at);
    bind_u64(&b, key->expires_at);
    bind_u64(&b, key->revoked_at);
    bind_int(&b, key->priority);
    bind_int(&b, key->cache);
    bind_u64(&b, key->rpm);
    bind_u64(&b, key->tpm);
    bind_text(&b, key->models);
    bind_text(&b, key->operations);
    bind_text(&b, key->s3_prefix);
    return b.rc == SQLITE_OK ? step(db, which) : b.rc;
}

/* Says which of the things that must be unique was not. */
static int fail_key(struct sl_db *db, int rc, const struct sl_db_key *key, char *why, size_t n) {
    if (error_of(rc) != SL_E_EXISTS)
        return fail(db, rc, why, n);
    if (strstr(sqlite3_errmsg(db->file), "subject"))
        say(why, n, "another live key has the certificate subject \"%s\"", key->subject);
    else if (strstr(sqlite3_errmsg(db->file), "name"))
        say(why, n, "there is a live key named \"%s\": revoke it first, or take another name",
            key->name);
    else
        say(why, n, "there is a key with the id %s", key->id);
    return SL_E_EXISTS;
}

int sl_db_key_insert(struct sl_db *db, const struct sl_db_key *key, char *why, size_t n) {
    int rc = write_key(db, KEY_INSERT, key);
    return rc == SQLITE_OK ? SL_OK : fail_key(db, rc, key, why, n);
}

int sl_db_key_update(struct sl_db *db, const struct sl_db_key *key, char *why, size_t n) {
    int rc = write_key(db, KEY_UPDATE, key);
    if (rc != SQLITE_OK)
        return fail_key(db, rc, key, why, n);
    if (sqlite3_changes(db->file) > 0)
        return SL_OK;
    say(why, n, "there is no key with the id %s", key->id);
    return SL_E_NOTFOUND;
}

/* Takes columns one after the other; a text that is too long for its field fails. */
struct reader {
    sqlite3_stmt *stmt;
    int at;
    bool good;
};

static void read_text(struct reader *r, char *out, size_t size) {
    const unsigned char *text = sqlite3_column_text(r->stmt, r->at);
    size_t len = (size_t)sqlite3_column_bytes(r->stmt, r->at++);
    r->good = r->good && text && len < size && strlen((const char *)text) == len;
    if (r->good)
        memcpy(out, text, len + 1);
}

static int64_t read_int(struct reader *r) {
    return sqlite3_column_int64(r->stmt, r->at++);
}

static uint64_t read_u64(struct reader *r) {
    int64_t value = read_int(r);
    r->good = r->good && value >= 0;
    return (uint64_t)value;
}

static bool read_key(sqlite3_stmt *stmt, struct sl_db_key *out) {
    struct reader r = {.stmt = stmt, .good = true};
    memset(out, 0, sizeof(*out));
    read_text(&r, out->id, sizeof(out->id));
    read_text(&r, out->name, sizeof(out->name));
    read_text(&r, out->subject, sizeof(out->subject));
    out->generation = (uint32_t)read_u64(&r);
    out->overlap_until = read_u64(&r);
    out->created_at = read_u64(&r);
    out->expires_at = read_u64(&r);
    out->revoked_at = read_u64(&r);
    out->priority = (int)read_int(&r);
    out->cache = (int)read_int(&r);
    out->rpm = read_u64(&r);
    out->tpm = read_u64(&r);
    read_text(&r, out->models, sizeof(out->models));
    read_text(&r, out->operations, sizeof(out->operations));
    read_text(&r, out->s3_prefix, sizeof(out->s3_prefix));
    return r.good;
}

static int fail_row(char *why, size_t n) {
    say(why, n, "store: a row holds what no Sluice wrote");
    return SL_E_INVALID;
}

int sl_db_key_find(struct sl_db *db, const char *id_or_name, struct sl_db_key *out, char *why,
                   size_t n) {
    struct binder b = {.stmt = db->prepared[KEY_FIND], .rc = SQLITE_OK};
    struct sl_db_key found;
    int error = SL_OK;
    bind_text(&b, id_or_name);
    int rc = b.rc == SQLITE_OK ? sqlite3_step(b.stmt) : b.rc;
    if (rc == SQLITE_ROW) {
        error = read_key(b.stmt, &found) ? SL_OK : fail_row(why, n);
    } else if (rc == SQLITE_DONE) {
        say(why, n, "there is no key with the name or id \"%s\"", id_or_name);
        error = SL_E_NOTFOUND;
    } else {
        error = fail(db, rc, why, n);
    }
    sqlite3_reset(b.stmt);
    sqlite3_clear_bindings(b.stmt);
    if (error == SL_OK)
        *out = found;
    return error;
}

int sl_db_keys_while(struct sl_db *db, bool (*visit)(void *ctx, const struct sl_db_key *key),
                     void *ctx, char *why, size_t n) {
    sqlite3_stmt *stmt = db->prepared[KEYS];
    struct sl_db_key key;
    int error = SL_OK, rc;
    while (error == SL_OK && (rc = sqlite3_step(stmt)) != SQLITE_DONE) {
        if (rc != SQLITE_ROW)
            error = fail(db, rc, why, n);
        else if (!read_key(stmt, &key))
            error = fail_row(why, n);
        else if (!visit(ctx, &key))
            error = SL_E_CANCELED;
    }
    sqlite3_reset(stmt);
    return error;
}

struct every {
    void (*visit)(void *ctx, const struct sl_db_key *key);
    void *ctx;
};

static bool visit_every(void *ctx, const struct sl_db_key *key) {
    struct every *every = ctx;
    every->visit(every->ctx, key);
    return true;
}

int sl_db_keys(struct sl_db *db, void (*visit)(void *ctx, const struct sl_db_key *key), void *ctx,
               char *why, size_t n) {
    struct every every = {visit, ctx};
    return sl_db_keys_while(db, visit_every, &every, why, n);
}

int sl_db_keys_version(struct sl_db *db, uint64_t *out) {
    sqlite3_stmt *stmt = db->prepared[VERSION];
    int rc = sqlite3_step(stmt);
    uint64_t version = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    if (rc != SQLITE_ROW)
        return error_of(rc);
    *out = version;
    return SL_OK;
}

/* ---- The ledger ------------------------------------------------------------------- */

/* Behind the last row, if that is of the same millisecond. */
static uint64_t number_of(const struct sl_db *db, const struct sl_ledger_row *row) {
    uint64_t latest = INT64_MAX / PLACES - 1;
    uint64_t first = (row->at_ms < latest ? row->at_ms : latest) * PLACES;
    return db->last >= first && db->last - first < PLACES - 1 ? db->last + 1 : first;
}

static int bind_row(struct sl_db *db, const struct sl_ledger_row *row) {
    struct binder b = {.stmt = db->prepared[LEDGER_INSERT], .rc = SQLITE_OK};
    bind_u64(&b, db->last);
    bind_u64(&b, row->tenant);
    bind_text(&b, row->key_id);
    bind_text(&b, row->request_id);
    bind_text(&b, row->model);
    bind_text(&b, row->operation);
    bind_text(&b, row->target);
    bind_text(&b, row->cache);
    bind_int(&b, row->status);
    bind_known(&b, row->usage.input);
    bind_known(&b, row->usage.output);
    bind_known(&b, row->usage.cache_read);
    bind_known(&b, row->usage.cache_write);
    bind_known(&b, row->cost);
    bind_known(&b, row->saved);
    bind_int(&b, row->duration_ms);
    bind_int(&b, row->queue_ms);
    bind_int(&b, row->attempts);
    bind_int(&b, row->estimated);
    return b.rc;
}

/* Another process, or this one before the clock was set back, may have used the number. */
static int write_row(struct sl_db *db, const struct sl_ledger_row *row) {
    int rc;
    db->last = number_of(db, row);
    while ((rc = bind_row(db, row)) == SQLITE_OK &&
           (rc = step(db, LEDGER_INSERT)) == SQLITE_CONSTRAINT_PRIMARYKEY)
        db->last++;
    return rc;
}

/* All rows or none. */
int sl_db_ledger_insert(struct sl_db *db, const struct sl_ledger_row *rows, size_t count, char *why,
                        size_t n) {
    int rc = step(db, BEGIN_WRITE);
    for (size_t i = 0; rc == SQLITE_OK && i < count; i++)
        rc = write_row(db, &rows[i]);
    if (rc == SQLITE_OK)
        rc = step(db, COMMIT);
    if (rc == SQLITE_OK)
        return SL_OK;
    int error = fail(db, rc, why, n);
    /* A full disk may have ended the transaction already; then there is nothing to roll back. */
    if (!sqlite3_get_autocommit(db->file))
        (void)step(db, ROLLBACK);
    return error;
}

int sl_db_ledger_prune(struct sl_db *db, uint64_t before_ms, size_t most, size_t *deleted,
                       char *why, size_t n) {
    struct binder b = {.stmt = db->prepared[LEDGER_PRUNE], .rc = SQLITE_OK};
    bind_u64(&b, before_ms);
    bind_u64(&b, most);
    int rc = b.rc == SQLITE_OK ? step(db, LEDGER_PRUNE) : b.rc;
    if (rc != SQLITE_OK)
        return fail(db, rc, why, n);
    *deleted = (size_t)sqlite3_changes(db->file);
    return SL_OK;
}

static bool read_sum(sqlite3_stmt *stmt, struct sl_ledger_sum *out) {
    struct reader r = {.stmt = stmt, .good = true};
    memset(out, 0, sizeof(*out));
    read_text(&r, out->group, sizeof(out->group));
    read_text(&r, out->name, sizeof(out->name));
    out->requests = read_int(&r);
    out->failed = read_int(&r);
    out->shared = read_int(&r);
    out->input = read_int(&r);
    out->output = read_int(&r);
    out->cache_read = read_int(&r);
    out->cache_write = read_int(&r);
    out->cost = read_int(&r);
    out->saved = read_int(&r);
    out->unpriced = read_int(&r);
    return r.good;
}

int sl_db_ledger_sum(struct sl_db *db, enum sl_sum_by by, uint64_t since_ms,
                     void (*visit)(void *ctx, const struct sl_ledger_sum *sum), void *ctx,
                     char *why, size_t n) {
    static const enum statement which[] = {[SL_SUM_BY_MODEL] = SUM_BY_MODEL,
                                           [SL_SUM_BY_KEY] = SUM_BY_KEY,
                                           [SL_SUM_BY_DAY] = SUM_BY_DAY};
    struct binder b = {.stmt = db->prepared[which[by]], .rc = SQLITE_OK};
    struct sl_ledger_sum sum;
    int error = SL_OK;
    bind_u64(&b, since_ms);
    int rc = b.rc == SQLITE_OK ? sqlite3_step(b.stmt) : b.rc;
    for (; error == SL_OK && rc == SQLITE_ROW; rc = sqlite3_step(b.stmt)) {
        if (read_sum(b.stmt, &sum))
            visit(ctx, &sum);
        else
            error = fail_row(why, n);
    }
    if (error == SL_OK && rc != SQLITE_DONE)
        error = fail(db, rc, why, n);
    sqlite3_reset(b.stmt);
    return error;
}
