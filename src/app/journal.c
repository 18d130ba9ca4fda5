#include "app/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/files.h"
#include "sluice/answer/snapshot.h"
#include "sluice/base/log.h"
#include "sluice/base/mem.h"

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

/* ---- files ---- */

static int write_all(int fd, struct sl_slice bytes) {
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return SL_E_IO;
        bytes = sl_slice_skip(bytes, (size_t)n);
    }
    return SL_OK;
}

static int write_records(int fd, const struct sl_snapshot_job *job) {
    struct sl_buf piece;
    sl_buf_init(&piece, (size_t)1 << 30);
    int err = sl_snapshot_begin(&piece);
    for (size_t i = 0; !err && i < job->count; i++) {
        err = sl_snapshot_record(&piece, job->items[i]);
        if (!err && piece.len >= PIECE) {
            err = write_all(fd, sl_buf_slice(&piece));
            sl_buf_clear(&piece);
        }
    }
    if (!err)
        err = sl_snapshot_end(&piece, job->count);
    if (!err)
        err = write_all(fd, sl_buf_slice(&piece));
    sl_buf_done(&piece);
    return err;
}

/* Under another name until it is whole and on the disk. */
static int write_snapshot(const struct sl_snapshot_job *job) {
    char temporary[PATH_MAX + 8];
    snprintf(temporary, sizeof(temporary), "%s.new", job->journal->cache);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return SL_E_IO;
    int err = write_records(fd, job);
    if (!err && fsync(fd) != 0)
        err = SL_E_IO;
    close(fd);
    if (!err && rename(temporary, job->journal->cache) != 0)
        err = SL_E_IO;
    if (err)
        unlink(temporary);
    return err;
}

/* ---- the snapshot ---- */

static void free_job(struct sl_snapshot_job *job) {
    for (size_t i = 0; i < job->count; i++)
        sl_kept_release(job->items[i]);
    sl_timer_clear(job->journal->loop, &job->timer);
    job->journal->job = NULL;
    sl_free(job->items);
    sl_free(job);
}

static void work(void *ctx, struct sl_db *db) {
    struct sl_snapshot_job *job = ctx;
    (void)db;
    job->error = write_snapshot(job);
    if (job->error)
        snprintf(job->why, sizeof(job->why), "%s", strerror(errno));
}

static void on_written(void *ctx) {
    struct sl_snapshot_job *job = ctx;
    if (job->error)
        sl_log(SL_LOG_ERROR, "app", "the cache's snapshot was not written: %s", job->why);
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

static void go_on(void *ctx) {
    struct sl_snapshot_job *job = ctx;
    struct sl_journal *j = job->journal;
    if (!pick_up(job, STEP)) {
        if (sl_timer_set(j->loop, &job->timer, j->loop->now) != SL_OK)
            free_job(job);
        return;
    }
    job->given = sl_store_run(j->store, work, on_written, job) == SL_OK;
    if (!job->given)
        free_job(job);
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
    (void)ctx;
    if (error)
        sl_log(SL_LOG_ERROR, "app", "what is known of quotas was not written: %s", why);
}

static void save_quotas(struct sl_journal *j) {
    struct sl_buf text;
    sl_buf_init(&text, QUOTAS_MAX);
    if (sl_flow_save(j->flow, &text) != SL_OK || text.len == 0 ||
        sl_store_write_file(j->store, j->quotas, text.ptr, text.len, on_quotas_written, NULL) !=
            SL_OK)
        sl_buf_done(&text);
}

static void on_quotas_timer(void *ctx) {
    struct sl_journal *j = ctx;
    save_quotas(j);
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

/* The loop has stopped: this may take the time it takes. */
void sl_journal_close(struct sl_journal *j) {
    if (!j->loop)
        return;
    sl_timer_clear(j->loop, &j->quotas_timer);
    sl_timer_clear(j->loop, &j->snapshot_timer);
    save_quotas(j);
    /* The worker's writes the same file, so it is left to be the last. */
    if (j->job && j->job->given)
        return;
    if (j->job)
        free_job(j->job); /* half picked up */
    if (!j->snapshot_ns)
        return;
    struct sl_snapshot_job *job = new_job(j);
    if (!job)
        return;
    pick_up(job, SIZE_MAX);
    work(job, NULL);
    on_written(job);
}
