#include "app/journal.h"

#include <stdio.h>
#include <unistd.h>

#include "app/files.h"
#include "sluice/answer/snapshot.h"
#include "sluice/base/log.h"
#include "sluice/base/mem.h"
#include "sluice/store/files.h"

/* What a crash loses is charged at the quota's own rate. */
#define QUOTAS_EVERY (2 * SL_NS_PER_S)
#define QUOTAS_MAX   ((size_t)8 << 20)
#define CACHE_MAX    ((size_t)64 << 30)
/* Encoded at once, then written. One record may be larger. */
#define PIECE ((size_t)256 << 10)
/* Entries picked up in one turn: a bounded step, a fraction of a millisecond. */
#define STEP 2048

/* Entries are held while the worker writes them: they never change. */
struct sl_snapshot_job {
    struct sl_journal *journal;
    struct sl_kept **items;
    size_t count, cap;
    struct sl_timer timer;
    bool given; /* to the worker */
    int error;
    char why[256];
};

/* ---- trouble ---- */

/* A disk that is full, or that became read-only, is told once for each kind of loss, and once that
 * it is over: these files are tried again every few seconds. */
static void tell(const struct sl_journal *j, bool *troubled, const char *what, const char *why) {
    if (why && !*troubled)
        sl_log(SL_LOG_ERROR, "app",
               "%s: %s. Requests are served all the same, and it is tried again until it works: "
               "see that %s can be written to and has space",
               what, why, j->state);
    else if (!why && *troubled)
        sl_log(SL_LOG_INFO, "app", "%s can be written to again (it was said: %s)", j->state, what);
    *troubled = why != NULL;
}

/* ---- the snapshot's file ---- */

static int write_records(struct sl_draft *draft, const struct sl_snapshot_job *job) {
    struct sl_buf piece;
    sl_buf_init(&piece, (size_t)1 << 30);
    int err = sl_snapshot_begin(&piece);
    for (size_t i = 0; !err && i < job->count; i++) {
        err = sl_snapshot_record(&piece, job->items[i]);
        if (!err && piece.len >= PIECE) {
            err = sl_draft_add(draft, sl_buf_slice(&piece));
            sl_buf_clear(&piece);
        }
    }
    if (!err)
        err = sl_snapshot_end(&piece, job->count);
    if (!err)
        err = sl_draft_add(draft, sl_buf_slice(&piece));
    sl_buf_done(&piece);
    return err;
}

static int write_snapshot(struct sl_snapshot_job *job) {
    struct sl_draft draft;
    int err = sl_draft_begin(&draft, job->journal->cache);
    if (!err)
        err = write_records(&draft, job);
    return sl_draft_end(&draft, err, job->why, sizeof(job->why));
}

/* ---- the snapshot ---- */

static void free_job(struct sl_snapshot_job *job) {
    for (size_t i = 0; i < job->count; i++)
        sl_kept_release(job->items[i]);
    sl_timer_clear(job->journal->loop, &job->timer);
    if (job->journal->job == job)
        job->journal->job = NULL;
    sl_free(job->items);
    sl_free(job);
}

static void work(void *ctx, struct sl_db *db) {
    struct sl_snapshot_job *job = ctx;
    (void)db;
    job->error = write_snapshot(job);
}

static void on_written(void *ctx) {
    struct sl_snapshot_job *job = ctx;
    tell(job->journal, &job->journal->trouble.snapshot, "kept answers would be lost by a restart",
         job->error ? job->why : NULL);
    free_job(job);
}

static bool add_item(struct sl_snapshot_job *job, struct sl_kept *kept) {
    if (job->count == job->cap) {
        size_t cap = job->cap ? 2 * job->cap : 1024;
        struct sl_kept **more = sl_realloc(job->items, cap * sizeof(*more));
        if (!more)
            return false;
        job->items = more;
        job->cap = cap;
    }
    sl_kept_hold(kept);
    job->items[job->count++] = kept;
    return true;
}

/* Picks up some entries; true when that was all. */
static bool pick_up(struct sl_snapshot_job *job, size_t most) {
    struct sl_cache *cache = sl_flow_cache(job->journal->flow);
    struct sl_kept *kept = job->count > 0 ? job->items[job->count - 1] : NULL;
    for (size_t i = 0; i < most; i++) {
        kept = sl_cache_next(cache, kept);
        if (!kept || !add_item(job, kept))
            return true;
    }
    return false;
}

/* To the worker. */
static void give(struct sl_snapshot_job *job) {
    job->given = sl_store_run(job->journal->store, work, on_written, job) == SL_OK;
    if (!job->given)
        free_job(job);
}

static void go_on(void *ctx) {
    struct sl_snapshot_job *job = ctx;
    struct sl_journal *j = job->journal;
    if (!pick_up(job, STEP)) {
        if (sl_timer_set(j->loop, &job->timer, j->loop->now) != SL_OK)
            free_job(job);
        return;
    }
    give(job);
}

static struct sl_snapshot_job *new_job(struct sl_journal *j) {
    struct sl_snapshot_job *job = sl_calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->journal = j;
    sl_timer_init(&job->timer, go_on, job);
    j->job = job;
    return job;
}

/* ---- timers ---- */

static void again(struct sl_journal *j, struct sl_timer *timer, uint64_t in_ns) {
    if (in_ns && sl_timer_set(j->loop, timer, j->loop->now + in_ns) != SL_OK)
        sl_log(SL_LOG_ERROR, "app", "out of memory: state is written at the end only");
}

static void on_quotas_written(void *ctx, int error, const char *why) {
    struct sl_journal *j = ctx;
    tell(j, &j->trouble.quotas, "what is known of quotas would be lost by a restart",
         error ? why : NULL);
}

/* The store goes on trying by itself. */
static void look_at_store(struct sl_journal *j) {
    char why[256];
    bool well = sl_store_is_well(j->store, why, sizeof(why));
    tell(j, &j->trouble.store, "the ledger and changes of keys wait", well ? NULL : why);
}

static void save_quotas(struct sl_journal *j) {
    struct sl_buf text;
    sl_buf_init(&text, QUOTAS_MAX);
    if (sl_flow_save(j->flow, &text) != SL_OK || text.len == 0 ||
        sl_store_write_file(j->store, j->quotas, text.ptr, text.len, on_quotas_written, j) != SL_OK)
        sl_buf_done(&text);
}

static void on_quotas_timer(void *ctx) {
    struct sl_journal *j = ctx;
    save_quotas(j);
    look_at_store(j);
    again(j, &j->quotas_timer, QUOTAS_EVERY);
}

static void on_snapshot_timer(void *ctx) {
    struct sl_journal *j = ctx;
    if (!j->job) {
        struct sl_snapshot_job *job = new_job(j);
        if (job)
            go_on(job);
    }
    again(j, &j->snapshot_timer, j->snapshot_ns);
}

/* ---- the whole ---- */

static void load_quotas(struct sl_journal *j) {
    size_t len;
    char *bytes = sl_file_read(j->quotas, QUOTAS_MAX, &len);
    if (bytes && sl_flow_restore(j->flow, sl_slice_of(bytes, len)) != SL_OK)
        sl_log(SL_LOG_WARN, "app", "%s is too large and ignored", j->quotas);
    sl_free(bytes);
}

static void load_cache(struct sl_journal *j) {
    struct sl_snapshot_report report;
    size_t len;
    char *bytes = sl_file_read(j->cache, CACHE_MAX, &len);
    if (!bytes) {
        if (access(j->cache, F_OK) == 0)
            sl_log(SL_LOG_WARN, "app", "%s is empty or cannot be read, and is ignored", j->cache);
        return;
    }
    sl_snapshot_load(sl_flow_cache(j->flow), sl_slice_of(bytes, len), (uint64_t)sl_clock_wall_ms(),
                     &report);
    sl_free(bytes);
    if (report.ignored || report.damaged)
        sl_log(SL_LOG_WARN, "app", "%s: %llu answers taken; ignored: %llu damaged records%s%s",
               j->cache, (unsigned long long)report.taken, (unsigned long long)report.damaged,
               report.ignored ? ", and the rest of the file: " : "",
               report.ignored ? report.ignored : "");
    else if (report.taken)
        sl_log(SL_LOG_INFO, "app", "%llu kept answers taken over",
               (unsigned long long)report.taken);
}

void sl_journal_open(struct sl_journal *j, struct sl_loop *loop, struct sl_flow *flow,
                     struct sl_store *store, const char *state, uint64_t snapshot_ns) {
    *j =
        (struct sl_journal){.loop = loop, .flow = flow, .store = store, .snapshot_ns = snapshot_ns};
    snprintf(j->state, sizeof(j->state), "%s", state);
    snprintf(j->quotas, sizeof(j->quotas), "%s/quotas", state);
    snprintf(j->cache, sizeof(j->cache), "%s/cache", state);
    sl_timer_init(&j->quotas_timer, on_quotas_timer, j);
    sl_timer_init(&j->snapshot_timer, on_snapshot_timer, j);
    load_quotas(j);
    if (snapshot_ns)
        load_cache(j);
    again(j, &j->quotas_timer, QUOTAS_EVERY);
    again(j, &j->snapshot_timer, snapshot_ns);
}

void sl_journal_configure(struct sl_journal *j, uint64_t snapshot_ns) {
    j->snapshot_ns = snapshot_ns;
    sl_timer_clear(j->loop, &j->snapshot_timer);
    again(j, &j->snapshot_timer, snapshot_ns);
}

/* The loop has stopped: this may take the time it takes. One snapshot may be under way; the last
 * one goes to the same worker, behind it. */
void sl_journal_close(struct sl_journal *j) {
    if (!j->loop)
        return;
    sl_timer_clear(j->loop, &j->quotas_timer);
    sl_timer_clear(j->loop, &j->snapshot_timer);
    save_quotas(j);
    if (j->job && !j->job->given)
        free_job(j->job); /* half picked up */
    struct sl_snapshot_job *job = j->snapshot_ns ? new_job(j) : NULL;
    if (!job)
        return;
    pick_up(job, SIZE_MAX);
    give(job);
}
