#include "app/account.h"

#include <stdio.h>
#include <string.h>

#include "app/files.h"
#include "sluice/base/log.h"
#include "sluice/base/mem.h"

#define EVERY    (24 * 3600 * SL_NS_PER_S)
#define FILE_MAX ((size_t)1 << 20)
#define HEAD     "target "

const struct sl_quota_rows *sl_account_rows(const struct sl_account *a, const char *target) {
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->targets[i].name, target) == 0 && a->targets[i].rows.count > 0)
            return &a->targets[i].rows;
    return NULL;
}

/* ---- the file: "target NAME", then its rows ---- */

static int print_all(const struct sl_account *a, struct sl_buf *out) {
    int err = SL_OK;
    for (size_t i = 0; !err && i < a->count; i++) {
        err = sl_buf_printf(out, HEAD "%s\n", a->targets[i].name);
        if (!err)
            err = sl_quota_rows_save(&a->targets[i].rows, out);
    }
    return err;
}

static void on_written(void *ctx, int error, const char *why) {
    (void)ctx;
    if (error)
        sl_log(SL_LOG_WARN, "app", "the account's quotas were not written: %s", why);
}

static void save(struct sl_account *a) {
    struct sl_buf text;
    sl_buf_init(&text, FILE_MAX);
    if (print_all(a, &text) != SL_OK || text.len == 0 ||
        sl_store_write_file(a->store, a->path, text.ptr, text.len, on_written, NULL) != SL_OK)
        sl_buf_done(&text);
}

/* The part of the file that is about one target. */
static struct sl_slice section(struct sl_slice file, const char *name) {
    struct sl_slice rest = file, line, begin = SL_EMPTY;
    bool inside = false;
    while (sl_slice_split(&rest, '\n', &line)) {
        bool head = sl_slice_starts(line, SL_LIT(HEAD));
        if (inside && head)
            return sl_slice_of(begin.ptr, (size_t)(line.ptr - begin.ptr));
        if (head && sl_slice_eq(sl_slice_skip(line, sizeof(HEAD) - 1), sl_slice_str(name))) {
            inside = true;
            begin = rest;
        }
    }
    return inside ? begin : SL_EMPTY;
}

static void load(struct sl_account *a, struct sl_account_quotas *q) {
    size_t len;
    char *bytes = sl_file_read(a->path, FILE_MAX, &len);
    if (!bytes)
        return;
    struct sl_slice text = section(sl_slice_of(bytes, len), q->name);
    if (text.len > 0 && sl_quota_rows_parse(&q->rows, text) != SL_OK)
        sl_log(SL_LOG_WARN, "app", "%s is damaged and partly ignored", a->path);
    sl_free(bytes);
}

/* ---- asking ---- */

static void on_done(void *ctx, const struct sl_quota_answer *answer) {
    struct sl_account_quotas *q = ctx;
    q->ask = NULL;
    if (answer->error) {
        sl_log(SL_LOG_WARN, "app",
               "the quotas of target %s are not known from AWS, and are learned: %s", q->name,
               answer->why);
        return;
    }
    sl_quota_rows_done(&q->rows);
    q->rows = *answer->rows;
    *answer->rows = (struct sl_quota_rows){0};
    sl_log(SL_LOG_INFO, "app", "target %s: %zu quotas from AWS", q->name, q->rows.count);
    save(q->account);
    q->account->on_change(q->account->ctx);
}

static void ask_all(struct sl_account *a) {
    for (size_t i = 0; i < a->count; i++) {
        struct sl_account_quotas *q = &a->targets[i];
        if (!q->ask && sl_target_endpoint(q->target, SL_PLANE_QUOTAS))
            q->ask = sl_quota_ask_start(a->loop, q->target, on_done, q);
    }
}

static void on_time(void *ctx) {
    struct sl_account *a = ctx;
    ask_all(a);
    if (sl_timer_set(a->loop, &a->again, a->loop->now + EVERY) != SL_OK)
        sl_log(SL_LOG_WARN, "app", "out of memory: quotas are not asked for again");
}

void sl_account_open(struct sl_account *a, struct sl_loop *loop, struct sl_store *store,
                     const char *state, void (*on_change)(void *ctx), void *ctx) {
    *a = (struct sl_account){.loop = loop, .store = store, .on_change = on_change, .ctx = ctx};
    snprintf(a->path, sizeof(a->path), "%s/service-quotas", state);
    sl_timer_init(&a->again, on_time, a);
}

void sl_account_set(struct sl_account *a, struct sl_target *const *targets, size_t count) {
    struct sl_account_quotas old[SL_ACCOUNT_TARGETS_MAX];
    size_t old_count = a->count;
    memcpy(old, a->targets, sizeof(old));
    a->count = 0;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].ask)
            sl_quota_ask_cancel(old[i].ask);
    for (size_t i = 0; i < count && i < SL_ACCOUNT_TARGETS_MAX; i++) {
        struct sl_account_quotas *q = &a->targets[a->count++];
        *q = (struct sl_account_quotas){.account = a, .target = targets[i]};
        snprintf(q->name, sizeof(q->name), "%s", sl_target_name(targets[i]));
        for (size_t k = 0; k < old_count; k++)
            if (strcmp(old[k].name, q->name) == 0 && old[k].rows.items) {
                q->rows = old[k].rows;
                old[k].rows = (struct sl_quota_rows){0};
            }
        if (!q->rows.items)
            load(a, q);
    }
    for (size_t k = 0; k < old_count; k++)
        sl_quota_rows_done(&old[k].rows);
    on_time(a);
}

void sl_account_close(struct sl_account *a) {
    if (!a->loop)
        return;
    sl_timer_clear(a->loop, &a->again);
    for (size_t i = 0; i < a->count; i++) {
        if (a->targets[i].ask)
            sl_quota_ask_cancel(a->targets[i].ask);
        sl_quota_rows_done(&a->targets[i].rows);
    }
    a->count = 0;
}
