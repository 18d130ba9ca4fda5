/*
 * One thread, one mutex, one condition. The loop puts rows and jobs on lists and goes on; the
 * worker takes them off, works without the mutex, and hands results back through one uv_async.
 *
 *   loop                                             worker
 *   ── rows ─▶ open ─▶ batches ──────────────────▶   one transaction a batch
 *   ── files, work ─▶ jobs ──────────────────────▶   one after the other
 *   ◀─ done callbacks ── finished ◀──────────────
 *   ◀─ keys ─────────── page ◀──── waits until visited ──
 *                                                    old ledger rows: some, a pause, some more
 *
 * Keys come back a page at a time and the worker waits until the loop has visited it, so that
 * neither a turn nor memory grows with their number.
 *
 * The mutex is held for list operations only, so the loop never waits for the disk. The batch that
 * rows go into is the loop's alone: it is handed over once it is full, or by a timer.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/store/files.h"
#include "store/db.h"

#define BATCH_ROWS   512
#define BATCH_WAIT   SL_NS_PER_S
#define RETRY_WAIT   SL_NS_PER_S
#define ROWS_WAITING 65536 /* about 35 MB */
#define PAGE_KEYS    64
/* Rows deleted at once: some milliseconds. The pause leaves the disk to others, and is short enough
 * that old rows go faster than new ones come. */
#define PRUNE_ROWS  2048
#define PRUNE_PAUSE (100 * SL_NS_PER_MS)
#define PRUNE_EVERY (60 * SL_NS_PER_S)
#define WHY_SIZE    256

struct batch {
    struct sl_list link;
    size_t count;
    struct sl_ledger_row rows[BATCH_ROWS];
};

/* A file or work; which of the two, run and finish know. */
struct job {
    struct sl_list link;
    void (*run)(struct job *job, struct sl_db *db);
    void (*finish)(struct job *job);
    void *ctx;
    void (*work)(void *ctx, struct sl_db *db);
    void (*worked)(void *ctx);
    void (*written)(void *ctx, int error, const char *why);
    char *bytes;
    size_t len;
    int error;
    char why[WHY_SIZE];
    char path[];
};

struct page {
    struct sl_db_key keys[PAGE_KEYS];
    size_t count;
    bool last; /* of all keys: NULL is to follow */
    bool full; /* the loop's to visit; else the worker's to fill */
};

struct sl_store {
    struct sl_loop *loop;
    uv_async_t async;
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t wake; /* the worker's */

    /* Under the lock. */
    struct sl_list batches; /* of struct batch, the oldest first */
    struct sl_list jobs, finished;
    size_t rows, job_count; /* rows: of the batches */
    uint64_t dropped;
    bool stopping;
    uint64_t interval; /* of looking at keys; 0: nobody watches */
    void (*visit)(void *ctx, const struct sl_db_key *key);
    void *visit_ctx;
    struct page page;
    uint64_t keep_ms;  /* age at which ledger rows are deleted; 0: never */
    uint64_t prune_at; /* when that is looked at again */
    char ledger_why[WHY_SIZE], keys_why[WHY_SIZE], prune_why[WHY_SIZE]; /* empty: well */

    /* The loop's own. */
    struct batch *open; /* takes the next row; NULL: there is none */
    struct sl_timer open_timer;

    /* The worker's own. */
    struct sl_db *db;
    uint64_t retry_at; /* no batch before it: the last failed */
    uint64_t look_at;  /* when keys are looked at again */
    uint64_t seen;     /* their version when they were last read; 0: never */
};

/* ---- The worker: ledger ----------------------------------------------------------- */

static struct batch *first_batch(struct sl_store *s) {
    struct sl_list *first = sl_list_first(&s->batches);
    return first ? SL_CONTAINER(first, struct batch, link) : NULL;
}

/* When the first batch is to be written; SL_NEVER: there is none. */
static uint64_t batch_due(struct sl_store *s) {
    if (!first_batch(s))
        return SL_NEVER;
    return s->stopping ? 0 : s->retry_at;
}

static void drop_batch(struct sl_store *s, struct batch *b) {
    s->rows -= b->count;
    sl_free(b);
}

/* A batch that cannot be written goes back to the front; at the end, it and all others are lost. */
static void write_batch(struct sl_store *s) {
    struct batch *b = first_batch(s);
    char why[WHY_SIZE];
    sl_list_remove(&b->link);
    uv_mutex_unlock(&s->lock);
    int rc = sl_db_ledger_insert(s->db, b->rows, b->count, why, sizeof(why));
    uv_mutex_lock(&s->lock);
    memcpy(s->ledger_why, rc == SL_OK ? "" : why, rc == SL_OK ? 1 : sizeof(why));
    if (rc == SL_OK) {
        drop_batch(s, b);
        s->retry_at = 0;
        return;
    }
    sl_list_push_front(&s->batches, &b->link);
    s->retry_at = sl_clock_monotonic() + RETRY_WAIT;
    while (s->stopping && (b = first_batch(s)) != NULL) {
        sl_list_remove(&b->link);
        s->dropped += b->count;
        drop_batch(s, b);
    }
}

/* One step of deleting what is too old. */
static void prune(struct sl_store *s) {
    int64_t before = sl_clock_wall_ms() - (int64_t)s->keep_ms;
    size_t deleted = 0;
    char why[WHY_SIZE];
    s->prune_at = SL_NEVER; /* unless it is set anew meanwhile */
    uv_mutex_unlock(&s->lock);
    int rc = before > 0 ? sl_db_ledger_prune(s->db, (uint64_t)before, PRUNE_ROWS, &deleted, why,
                                             sizeof(why))
                        : SL_OK;
    uint64_t again = sl_clock_monotonic() + (deleted == PRUNE_ROWS ? PRUNE_PAUSE : PRUNE_EVERY);
    uv_mutex_lock(&s->lock);
    memcpy(s->prune_why, rc == SL_OK ? "" : why, rc == SL_OK ? 1 : sizeof(why));
    s->prune_at = again < s->prune_at ? again : s->prune_at;
}

/* ---- The worker: keys ------------------------------------------------------------- */

/* Gives the page to the loop and waits until it is visited. False: the store is stopping. */
static bool hand_over(struct sl_store *s, bool last) {
    uv_mutex_lock(&s->lock);
    s->page.last = last;
    s->page.full = true;
    uv_async_send(&s->async);
    while (s->page.full && !s->stopping)
        uv_cond_wait(&s->wake, &s->lock);
    bool visited = !s->page.full;
    s->page.full = false;
    s->page.count = 0;
    uv_mutex_unlock(&s->lock);
    return visited;
}

static bool put_into_page(void *ctx, const struct sl_db_key *key) {
    struct sl_store *s = ctx;
    s->page.keys[s->page.count++] = *key;
    return s->page.count < PAGE_KEYS || hand_over(s, false);
}

/* Reads the keys if they have changed. Without the lock. */
static void look_at_keys(struct sl_store *s) {
    char why[WHY_SIZE] = "store: the version of the keys cannot be read";
    uint64_t version = 0;
    int rc = sl_db_keys_version(s->db, &version);
    if (rc == SL_OK && version != s->seen) {
        s->page.count = 0;
        rc = sl_db_keys_while(s->db, put_into_page, s, why, sizeof(why));
        if (rc == SL_OK && hand_over(s, true))
            s->seen = version;
    }
    uv_mutex_lock(&s->lock);
    memcpy(s->keys_why, rc == SL_OK ? "" : why, rc == SL_OK ? 1 : sizeof(why));
    uv_mutex_unlock(&s->lock);
}

static void look(struct sl_store *s) {
    uint64_t interval = s->interval;
    uv_mutex_unlock(&s->lock);
    look_at_keys(s);
    s->look_at = sl_clock_monotonic() + interval;
    uv_mutex_lock(&s->lock);
}

/* ---- The worker: jobs ------------------------------------------------------------- */

static void run_job(struct sl_store *s) {
    struct job *job = SL_CONTAINER(sl_list_pop_front(&s->jobs), struct job, link);
    bool watched = s->interval > 0 && !s->stopping;
    uv_mutex_unlock(&s->lock);
    job->run(job, s->db);
    if (watched && job->work)
        look_at_keys(s);
    uv_mutex_lock(&s->lock);
    s->job_count--;
    sl_list_push_back(&s->finished, &job->link);
    uv_async_send(&s->async);
}

/* One thing that is due, or a wait. False: all is done and the store is stopping. */
static bool step(struct sl_store *s) {
    uint64_t now = sl_clock_monotonic();
    uint64_t due = batch_due(s), look_due = s->interval && !s->stopping ? s->look_at : SL_NEVER;
    uint64_t prune_due = s->keep_ms && !s->stopping ? s->prune_at : SL_NEVER;
    if (!sl_list_empty(&s->jobs))
        run_job(s);
    else if (due <= now)
        write_batch(s);
    else if (look_due <= now)
        look(s);
    else if (prune_due <= now)
        prune(s);
    else if (s->stopping)
        return false;
    else {
        uint64_t until = due < look_due ? due : look_due;
        until = until < prune_due ? until : prune_due;
        if (until == SL_NEVER)
            uv_cond_wait(&s->wake, &s->lock);
        else
            (void)uv_cond_timedwait(&s->wake, &s->lock, until - now);
    }
    return true;
}

static void work(void *ctx) {
    struct sl_store *s = ctx;
    uv_mutex_lock(&s->lock);
    while (step(s))
        continue;
    uv_mutex_unlock(&s->lock);
}

/* ---- The loop's side -------------------------------------------------------------- */

static void visit_page(struct sl_store *s) {
    uv_mutex_lock(&s->lock);
    bool full = s->page.full;
    uv_mutex_unlock(&s->lock);
    if (!full)
        return;
    for (size_t i = 0; i < s->page.count; i++)
        s->visit(s->visit_ctx, &s->page.keys[i]);
    if (s->page.last)
        s->visit(s->visit_ctx, NULL);
    uv_mutex_lock(&s->lock);
    s->page.full = false;
    uv_cond_signal(&s->wake);
    uv_mutex_unlock(&s->lock);
}

static void finish_jobs(struct sl_store *s) {
    struct sl_list done, *node;
    sl_list_init(&done);
    uv_mutex_lock(&s->lock);
    sl_list_splice(&done, &s->finished);
    uv_mutex_unlock(&s->lock);
    while ((node = sl_list_pop_front(&done)) != NULL) {
        struct job *job = SL_CONTAINER(node, struct job, link);
        job->finish(job);
        sl_free(job);
    }
}

static void on_async(uv_async_t *async) {
    struct sl_store *s = async->data;
    sl_loop_tick(s->loop);
    visit_page(s);
    finish_jobs(s);
}

static void on_closed(uv_handle_t *handle) {
    struct sl_store *s = handle->data;
    s->loop->open_handles--;
    sl_free(s);
}

/* False: nothing was made. */
static bool make_parts(struct sl_store *s) {
    if (uv_mutex_init(&s->lock) != 0)
        return false;
    if (uv_cond_init(&s->wake) != 0)
        goto no_cond;
    if (uv_async_init(s->loop->uv, &s->async, on_async) != 0)
        goto no_async;
    return true;
no_async:
    uv_cond_destroy(&s->wake);
no_cond:
    uv_mutex_destroy(&s->lock);
    return false;
}

static void drop_parts(struct sl_store *s) {
    uv_cond_destroy(&s->wake);
    uv_mutex_destroy(&s->lock);
    uv_close((uv_handle_t *)&s->async, on_closed);
}

/* The open batch is the worker's from now on. */
static void hand_over_open(void *ctx) {
    struct sl_store *s = ctx;
    struct batch *b = s->open;
    if (!b)
        return;
    s->open = NULL;
    sl_timer_clear(s->loop, &s->open_timer);
    uv_mutex_lock(&s->lock);
    s->rows += b->count;
    sl_list_push_back(&s->batches, &b->link);
    uv_cond_signal(&s->wake);
    uv_mutex_unlock(&s->lock);
}

struct sl_store *sl_store_new(struct sl_loop *loop, struct sl_db *db) {
    struct sl_store *s = sl_calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->loop = loop;
    s->db = db;
    s->async.data = s;
    sl_timer_init(&s->open_timer, hand_over_open, s);
    sl_list_init(&s->batches);
    sl_list_init(&s->jobs);
    sl_list_init(&s->finished);
    if (!make_parts(s)) {
        sl_free(s);
        return NULL;
    }
    loop->open_handles++;
    if (uv_thread_create(&s->thread, work, s) == 0)
        return s;
    drop_parts(s);
    return NULL;
}

void sl_store_free(struct sl_store *s) {
    if (!s)
        return;
    hand_over_open(s);
    uv_mutex_lock(&s->lock);
    s->stopping = true;
    uv_cond_signal(&s->wake);
    uv_mutex_unlock(&s->lock);
    int rc = uv_thread_join(&s->thread);
    assert(rc == 0);
    finish_jobs(s);
    sl_db_close(s->db);
    drop_parts(s);
}

/* A batch for the next rows; NULL, and one row dropped: there is no room for them. */
static struct batch *new_batch(struct sl_store *s) {
    uv_mutex_lock(&s->lock);
    bool full = s->rows + BATCH_ROWS > ROWS_WAITING;
    uv_mutex_unlock(&s->lock);
    struct batch *b = full ? NULL : sl_alloc(sizeof(*b));
    if (b && sl_timer_set(s->loop, &s->open_timer, s->loop->now + BATCH_WAIT) == SL_OK) {
        b->count = 0;
        sl_list_init(&b->link);
        return b;
    }
    sl_free(b);
    uv_mutex_lock(&s->lock);
    s->dropped++;
    uv_mutex_unlock(&s->lock);
    return NULL;
}

void sl_store_ledger(struct sl_store *s, const struct sl_ledger_row *row) {
    if (!s->open)
        s->open = new_batch(s);
    if (!s->open)
        return;
    s->open->rows[s->open->count++] = *row;
    if (s->open->count == BATCH_ROWS)
        hand_over_open(s);
}

uint64_t sl_store_dropped(const struct sl_store *store) {
    struct sl_store *s = (struct sl_store *)store; /* for the lock alone */
    uv_mutex_lock(&s->lock);
    uint64_t dropped = s->dropped;
    uv_mutex_unlock(&s->lock);
    return dropped;
}

bool sl_store_is_well(struct sl_store *s, char *why, size_t n) {
    uv_mutex_lock(&s->lock);
    const char *trouble = s->ledger_why[0] ? s->ledger_why
                          : s->keys_why[0] ? s->keys_why
                                           : s->prune_why;
    bool well = trouble[0] == '\0';
    if (!well)
        snprintf(why, n, "%s", trouble);
    uv_mutex_unlock(&s->lock);
    return well;
}

void sl_store_keep_ledger(struct sl_store *s, uint64_t keep_ms) {
    uv_mutex_lock(&s->lock);
    s->keep_ms = keep_ms;
    s->prune_at = 0;
    s->prune_why[0] = '\0';
    uv_cond_signal(&s->wake);
    uv_mutex_unlock(&s->lock);
}

void sl_store_watch_keys(struct sl_store *s, uint64_t interval_ns,
                         void (*visit)(void *ctx, const struct sl_db_key *key), void *ctx) {
    uv_mutex_lock(&s->lock);
    assert(s->interval == 0 && interval_ns > 0);
    s->interval = interval_ns;
    s->visit = visit;
    s->visit_ctx = ctx;
    uv_cond_signal(&s->wake);
    uv_mutex_unlock(&s->lock);
}

/* ---- Jobs from the loop ----------------------------------------------------------- */

static int add_job(struct sl_store *s, struct job *job) {
    int rc = SL_OK;
    sl_list_init(&job->link);
    uv_mutex_lock(&s->lock);
    if (s->stopping)
        rc = SL_E_CANCELED;
    else if (s->job_count == SL_STORE_JOBS)
        rc = SL_E_LIMIT;
    if (rc == SL_OK) {
        s->job_count++;
        sl_list_push_back(&s->jobs, &job->link);
        uv_cond_signal(&s->wake);
    }
    uv_mutex_unlock(&s->lock);
    return rc;
}

static void run_work(struct job *job, struct sl_db *db) {
    job->work(job->ctx, db);
}

static void finish_work(struct job *job) {
    if (job->worked)
        job->worked(job->ctx);
}

int sl_store_run(struct sl_store *store, void (*do_work)(void *ctx, struct sl_db *db),
                 void (*done)(void *ctx), void *ctx) {
    struct job *job = sl_calloc(1, sizeof(*job));
    if (!job)
        return SL_E_NOMEM;
    job->run = run_work;
    job->finish = finish_work;
    job->work = do_work;
    job->worked = done;
    job->ctx = ctx;
    int rc = add_job(store, job);
    if (rc < 0)
        sl_free(job);
    return rc;
}

static void run_file(struct job *job, struct sl_db *db) {
    (void)db;
    job->error =
        sl_file_replace(job->path, sl_slice_of(job->bytes, job->len), job->why, sizeof(job->why));
    sl_free(job->bytes);
}

static void finish_file(struct job *job) {
    if (job->written)
        job->written(job->ctx, job->error, job->why);
}

int sl_store_write_file(struct sl_store *store, const char *path, char *bytes, size_t len,
                        void (*done)(void *ctx, int error, const char *why), void *ctx) {
    size_t path_size = strlen(path) + 1;
    struct job *job = sl_calloc(1, sizeof(*job) + path_size);
    int rc = SL_E_NOMEM;
    if (job) {
        job->run = run_file;
        job->finish = finish_file;
        job->written = done;
        job->ctx = ctx;
        job->bytes = bytes;
        job->len = len;
        memcpy(job->path, path, path_size);
        rc = add_job(store, job);
    }
    if (rc < 0) {
        sl_free(bytes); /* taken over in any case */
        sl_free(job);
    }
    return rc;
}
