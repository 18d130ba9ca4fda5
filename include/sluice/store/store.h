/*
 * The store: one worker thread that owns the SQLite file STATE/sluice.db (0600, WAL). The loop
 * hands it plain records and gets answers back on the loop; nothing here ever blocks the loop.
 * Where there is no loop (the command line), the same operations run at once on the caller's
 * thread.
 *
 * Tables: keys (one row a key, a `changes` counter that tells others to read again), ledger (one
 * row an exchange, numbered by its time, deleted once it is older than the store is told to keep
 * it). Schema version in user_version; a file of an older one is brought up to date when it is
 * opened, an unknown newer one is refused with a sentence.
 */
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"
#include "sluice/core/usage.h"
#include "sluice/io/loop.h"

struct sl_db;

/* A key's row; the same fields as struct sl_key_record of the keys room, as plain text and numbers.
 */
struct sl_db_key {
    char id[32];
    char name[72];
    char subject[256];
    uint32_t generation;
    uint64_t overlap_until, created_at, expires_at, revoked_at;
    int priority, cache;
    uint64_t rpm, tpm;
    char models[1024];
    char operations[128];
    char s3_prefix[1100];
};

/* Opens or makes the file; synchronous. NULL and a sentence in why. */
SL_NODISCARD struct sl_db *sl_db_open(const char *path, char *why, size_t why_size);
void sl_db_close(struct sl_db *db);
/* Names of live keys are unique: SL_E_EXISTS. */
SL_NODISCARD int sl_db_key_insert(struct sl_db *db, const struct sl_db_key *key, char *why,
                                  size_t n);
/* By id or by name; SL_E_NOTFOUND. */
SL_NODISCARD int sl_db_key_find(struct sl_db *db, const char *id_or_name, struct sl_db_key *out,
                                char *why, size_t n);
/* By id. A key once revoked stays so and a generation never falls, whatever `key` says: two
 * processes may change a key at once. SL_E_NOTFOUND, SL_E_EXISTS. */
SL_NODISCARD int sl_db_key_update(struct sl_db *db, const struct sl_db_key *key, char *why,
                                  size_t n);
/* Calls visit for each key, revoked ones too, in order of creation. */
SL_NODISCARD int sl_db_keys(struct sl_db *db, void (*visit)(void *ctx, const struct sl_db_key *key),
                            void *ctx, char *why, size_t n);
/* A counter in the file: rises with every change of keys by whatever process. */
SL_NODISCARD int sl_db_keys_version(struct sl_db *db, uint64_t *out);

/* One exchange. Slices are copied. No prompt, no secret. */
struct sl_ledger_row {
    uint64_t at_ms; /* wall */
    uint64_t tenant;
    char key_id[32];
    char request_id[40];
    char model[256], operation[40], target[64];
    char cache[8]; /* hit, join, miss, bypass */
    int status;
    struct sl_usage usage;
    int64_t cost, saved; /* nano-dollars; negative: unknown */
    uint32_t duration_ms, queue_ms, attempts;
    bool estimated;
};
SL_NODISCARD int sl_db_ledger_insert(struct sl_db *db, const struct sl_ledger_row *rows,
                                     size_t count, char *why, size_t n);
/* Deletes rows from before a moment, `most` of them at most; *deleted says how many there were. */
SL_NODISCARD int sl_db_ledger_prune(struct sl_db *db, uint64_t before_ms, size_t most,
                                    size_t *deleted, char *why, size_t n);

/* The ledger added up: one sum a model, key or day (UTC). */
enum sl_sum_by { SL_SUM_BY_MODEL, SL_SUM_BY_KEY, SL_SUM_BY_DAY };
struct sl_ledger_sum {
    char group[256]; /* model as it was asked for, key's id (empty: without a key), 2026-11-22 */
    char name[72];   /* the key's; empty: not by key, or it has no row any more */
    int64_t requests;
    int64_t failed; /* answered with anything but 2xx */
    int64_t shared; /* answered from the cache, or by a call that ran already */
    /* What Bedrock was asked for, so of requests that were not shared. */
    int64_t input, output, cache_read, cache_write;
    int64_t cost, saved; /* nano-dollars; of what is known */
    int64_t unpriced;    /* succeeded, but what they cost is not known */
};
/*
 * Calls visit for each group of rows from since_ms on: days in order, others by cost, the dearest
 * first. Reads what the index on time selects, and writes nothing: other processes go on.
 */
SL_NODISCARD int sl_db_ledger_sum(struct sl_db *db, enum sl_sum_by by, uint64_t since_ms,
                                  void (*visit)(void *ctx, const struct sl_ledger_sum *sum),
                                  void *ctx, char *why, size_t n);

/* Jobs (files and work) that may wait. */
#define SL_STORE_JOBS 1024

struct sl_store;
/* The worker; the db handle belongs to it from now on. NULL: no memory or no thread, and the handle
 * is still the caller's. */
SL_NODISCARD struct sl_store *sl_store_new(struct sl_loop *loop, struct sl_db *db);
/* Finishes what was handed over, `done` callbacks included, then closes. Blocks for that long: at
 * most until the disk is done. */
void sl_store_free(struct sl_store *store);
/* Queued for the next batch (at most 1 s or 512 rows later); dropped and counted when 65536 wait
 * (a disk that does not take writes must not stop the gateway). */
void sl_store_ledger(struct sl_store *store, const struct sl_ledger_row *row);
uint64_t sl_store_dropped(const struct sl_store *store);
/* Deletes rows older than that, now and as they grow old, some at a time; 0: none, as from the
 * start. */
void sl_store_keep_ledger(struct sl_store *store, uint64_t keep_ms);
/* False, and a sentence in why, while the last batch could not be written (it is tried again every
 * second), or old rows not be deleted, or keys not be read. */
bool sl_store_is_well(struct sl_store *store, char *why, size_t n);
/* Looks every interval whether keys changed (also by other processes); reads them then and calls
 * visit for each on the loop, some each turn, with NULL behind the last. Also at once. Once a
 * store. */
void sl_store_watch_keys(struct sl_store *store, uint64_t interval_ns,
                         void (*visit)(void *ctx, const struct sl_db_key *key), void *ctx);
/* Writes a file atomically (temporary name, fsync, rename) off the loop; takes over `bytes`
 * (sl_alloc). done runs on the loop with 0 or a negative error and a sentence; may be NULL. */
SL_NODISCARD int sl_store_write_file(struct sl_store *store, const char *path, char *bytes,
                                     size_t len,
                                     void (*done)(void *ctx, int error, const char *why),
                                     void *ctx);
/*
 * Runs `work` on the worker, then `done` on the loop: admin changes to keys. Where keys are
 * watched, what `work` changed in them has been visited before `done`. SL_E_NOMEM; SL_E_LIMIT when
 * SL_STORE_JOBS wait.
 */
SL_NODISCARD int sl_store_run(struct sl_store *store, void (*work)(void *ctx, struct sl_db *db),
                              void (*done)(void *ctx), void *ctx);

#endif
