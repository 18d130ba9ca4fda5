/*
 * A pool as one line of text, and back. The id, a space, then fields `name=number:number…`:
 *
 *   default/us-east-1/m v=1 wall=… window=age:requests:tokens,… bucket=requests:tokens
 *       day=index:offset:used:since park=until:prolonged learn0=low:ceiling:hold:age:steps …
 * share=…
 *
 * The trailing window is saved in 16 groups, each as young as its youngest. Ages and wall times,
 * since monotonic ones do not survive. What was used between saving and restoring is not in the
 * line. The quota's own rate over that time is taken for it, over ten seconds at most, for the
 * state is saved at least that often while calls run. A field that is missing or damaged counts as
 * used: the whole window, or the share of the day that has passed. Learned limits that cannot be
 * read are forgotten. A line of another version, or with no time of its own, is invalid.
 */
#include <assert.h>

#include "sched/number.h"
#include "sched/pool_parts.h"

#define GROUPS     16
#define UNSEEN_MAX (10 * SL_NS_PER_S)
#define DAY_NS     (86400 * SL_NS_PER_S)
#define VALUES_MAX 5

/* Save. */

struct group {
    uint64_t left, amount[SL_METERS]; /* time until it expires */
};

static size_t group_window(const struct sl_trailing *t, uint64_t now, struct group out[GROUPS]) {
    size_t count = 0;
    uint64_t width = t->span / GROUPS + 1;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct sl_slot *slot = &t->slots[(t->head + i) % SL_TRAILING_SLOTS];
        if (slot->last <= now)
            continue;
        uint64_t left = sl_min(slot->last - now, t->span);
        if (count == 0 || out[count - 1].left / width != left / width)
            out[count++] = (struct group){0};
        out[count - 1].left = left;
        for (int m = 0; m < SL_METERS; m++)
            out[count - 1].amount[m] += slot->amount[m];
    }
    return count;
}

static int save_window(const struct sl_pool *pool, struct sl_buf *out, uint64_t now) {
    struct group groups[GROUPS];
    size_t count = group_window(&pool->trailing, now, groups);
    int error = sl_buf_add_str(out, " window=");
    for (size_t i = 0; i < count && !error; i++)
        error = sl_buf_printf(out, "%s%llu:%llu:%llu", i ? "," : "",
                              (unsigned long long)(pool->trailing.span - groups[i].left),
                              (unsigned long long)groups[i].amount[SL_METER_REQUESTS],
                              (unsigned long long)groups[i].amount[SL_METER_TOKENS]);
    return error;
}

static int save_field(struct sl_buf *out, const char *name, const uint64_t *values, size_t count) {
    int error = sl_buf_printf(out, " %s", name);
    for (size_t i = 0; i < count && !error; i++) {
        error = sl_buf_add_byte(out, i ? ':' : '=');
        if (!error)
            error = sl_buf_add_u64(out, values[i]);
    }
    return error;
}

static const char *const learner_names[SL_LIMITED_COUNT] = {
    [SL_LIMITED_REQUESTS] = "rpm",
    [SL_LIMITED_TOKENS] = "tpm",
    [SL_LIMITED_RUNNING] = "running",
};

static int save_learners(const struct sl_pool *pool, struct sl_buf *out) {
    int error = SL_OK;
    for (int i = 0; i < SL_LIMITED_COUNT && !error; i++) {
        const struct sl_learner *l = &pool->learners[i];
        const uint64_t values[] = {l->low, l->ceiling, l->hold_ns, l->age_ns, l->steps};
        if (l->refused)
            error = save_field(out, learner_names[i], values, 5);
    }
    return error;
}

static int save_fields(const struct sl_pool *pool, struct sl_buf *out, uint64_t now,
                       uint64_t wall) {
    uint64_t used[SL_METERS];
    for (int m = 0; m < SL_METERS; m++)
        used[m] = sl_bucket_used(&pool->buckets[m], sl_pool_limit(pool, (enum sl_limited)m), now);
    const struct sl_day *d = &pool->day;
    const uint64_t day[] = {d->index, d->offset_ns, d->used, sl_sub_sat(now, d->since)};
    const uint64_t park[] = {d->parked_until, d->prolonged};
    const uint64_t share[] = {pool->share, pool->duration_ns};
    const uint64_t version = 1;
    int error = sl_buf_add(out, sl_pool_id(pool));
    if (!error)
        error = save_field(out, "v", &version, 1);
    if (!error)
        error = save_field(out, "wall", &wall, 1);
    if (!error)
        error = save_window(pool, out, now);
    if (!error)
        error = save_field(out, "bucket", used, SL_METERS);
    if (!error)
        error = save_field(out, "day", day, 4);
    if (!error && d->parked)
        error = save_field(out, "park", park, 2);
    if (!error)
        error = save_learners(pool, out);
    return error ? error : save_field(out, "share", share, 2);
}

int sl_pool_save(const struct sl_pool *pool, struct sl_buf *out, uint64_t now, uint64_t wall) {
    for (size_t i = 0; i < pool->id_len; i++)
        if ((unsigned char)pool->id[i] < ' ')
            return SL_E_INVALID; /* it would not be a line */
    size_t before = out->len;
    int error = save_fields(pool, out, sl_pool_time(pool, now), wall);
    if (error)
        out->len = before;
    return error;
}

/* Restore. */

/* The text of a field; false when the line has none. */
static bool find_field(struct sl_slice line, const char *name, struct sl_slice *text) {
    struct sl_slice part, key = sl_slice_str(name);
    while (sl_slice_split(&line, ' ', &part)) {
        if (sl_slice_starts(part, key) && part.len > key.len && part.ptr[key.len] == '=') {
            *text = sl_slice_skip(part, key.len + 1);
            return true;
        }
    }
    return false;
}

/* Exactly so many numbers. */
static bool read_numbers(struct sl_slice text, uint64_t *values, size_t count) {
    struct sl_slice part;
    size_t n = 0;
    while (sl_slice_split(&text, ':', &part))
        if (n == count || !sl_slice_u64(part, &values[n++]))
            return false;
    return n == count;
}

static bool read_field(struct sl_slice line, const char *name, uint64_t *values, size_t count) {
    struct sl_slice text;
    return find_field(line, name, &text) && read_numbers(text, values, count);
}

/* Oldest first; false when it is damaged. */
static bool read_window(struct sl_slice line, struct group out[GROUPS], size_t *count,
                        uint64_t span) {
    struct sl_slice text, part;
    *count = 0;
    if (!find_field(line, "window", &text))
        return false;
    while (text.len && sl_slice_split(&text, ',', &part)) {
        uint64_t values[3];
        if (*count == GROUPS || !read_numbers(part, values, 3))
            return false;
        out[(*count)++] = (struct group){sl_sub_sat(span, values[0]), {values[1], values[2]}};
    }
    return true;
}

static uint64_t unseen(uint64_t limit, uint64_t away, uint64_t window) {
    return sl_min(sl_scale(limit, sl_min(away, UNSEEN_MAX), window), limit);
}

/* What cannot be read counts as all used just now. */
static void restore_window(struct sl_pool *pool, struct sl_slice line, uint64_t away,
                           uint64_t now) {
    struct group groups[GROUPS];
    size_t count;
    uint64_t span = sl_pool_span(pool), window = pool->settings.window_ns;
    const uint64_t limits[SL_METERS] = {sl_pool_limit(pool, SL_LIMITED_REQUESTS),
                                        sl_pool_limit(pool, SL_LIMITED_TOKENS)};
    uint64_t late[SL_METERS];
    bool read = read_window(line, groups, &count, span);
    uint64_t latest = 0;
    for (size_t i = 0; read && i < count; i++) {
        uint64_t left = sl_max(sl_sub_sat(groups[i].left, away), latest); /* in order, always */
        if (left)
            sl_trailing_recall(&pool->trailing, groups[i].amount[0], groups[i].amount[1], left,
                               now);
        latest = left;
    }
    for (int m = 0; m < SL_METERS; m++)
        late[m] = read ? unseen(limits[m], away, window) : limits[m];
    if (sl_sub_sat(away, UNSEEN_MAX) < span)
        sl_trailing_recall(&pool->trailing, late[0], late[1], span - sl_sub_sat(away, UNSEEN_MAX),
                           now);
}

static void restore_buckets(struct sl_pool *pool, struct sl_slice line, uint64_t away,
                            uint64_t now) {
    uint64_t used[SL_METERS];
    bool read = read_field(line, "bucket", used, SL_METERS);
    for (int m = 0; m < SL_METERS; m++) {
        uint64_t limit = sl_pool_limit(pool, (enum sl_limited)m);
        uint64_t window = pool->settings.window_ns;
        struct sl_bucket *bucket = &pool->buckets[m];
        sl_bucket_init(bucket, window, pool->settings.guard_ns, now);
        if (!limit)
            continue;
        uint64_t flowed = sl_scale(limit, away, window);
        uint64_t lack =
            read ? sl_add_sat(sl_min(used[m], SL_POOL_LIMIT_MAX), unseen(limit, away, window))
                 : limit;
        sl_bucket_take(bucket, sl_sub_sat(lack, flowed), limit, now);
    }
}

static void restore_day(struct sl_pool *pool, struct sl_slice line, uint64_t away, uint64_t now,
                        uint64_t wall) {
    struct sl_day *d = &pool->day;
    uint64_t day[4], park[2], tpd = pool->settings.configured.tpd;
    sl_day_init(d, now, wall);
    if (read_field(line, "day", day, 4) && day[1] < DAY_NS) {
        d->offset_ns = day[1];
        d->index = day[0];
        d->used = day[2];
        d->since = sl_sub_sat(now, sl_add_sat(day[3], away));
        sl_day_take(
            d,
            unseen(sl_scale(tpd, pool->settings.window_ns, DAY_NS), away, pool->settings.window_ns),
            now, wall);
    } else {
        sl_day_take(d, sl_scale(tpd, wall % DAY_NS, DAY_NS), now, wall);
    }
    if (read_field(line, "park", park, 2)) {
        d->parked = true;
        d->parked_at = now;
        d->parked_until = sl_min(park[0], sl_add_sat(wall, DAY_NS));
        d->prolonged = (uint32_t)sl_min(park[1], 6);
    }
}

static void restore_learners(struct sl_pool *pool, struct sl_slice line, uint64_t now) {
    for (int i = 0; i < SL_LIMITED_COUNT; i++) {
        struct sl_learner *l = &pool->learners[i];
        uint64_t values[VALUES_MAX];
        if (!read_field(line, learner_names[i], values, 5) || values[1] < l->least ||
            values[1] > SL_POOL_LIMIT_MAX || values[0] > values[1] || values[2] == 0)
            continue;
        l->known = l->refused = true;
        l->low = values[0];
        l->ceiling = values[1];
        l->hold_ns = sl_min(values[2], 32 * pool->settings.window_ns);
        l->age_ns = values[3];
        l->steps = (uint32_t)sl_min(values[4], 4);
        l->at = now;
    }
}

int sl_pool_restore(struct sl_pool *pool, struct sl_slice line, uint64_t now, uint64_t wall) {
    uint64_t version, saved, share[2];
    struct sl_slice id = sl_pool_id(pool);
    if (!sl_slice_starts(line, id) || line.len == id.len || line.ptr[id.len] != ' ')
        return SL_E_INVALID;
    line = sl_slice_skip(line, id.len + 1);
    if (!read_field(line, "v", &version, 1) || version != 1 || !read_field(line, "wall", &saved, 1))
        return SL_E_INVALID;
    assert(pool->running == 0);
    now = pool->now = sl_pool_time(pool, now);
    uint64_t away = sl_sub_sat(wall, saved);
    restore_learners(pool, line, now);
    sl_trailing_init(&pool->trailing, sl_pool_span(pool));
    restore_window(pool, line, away, now);
    restore_buckets(pool, line, away, now);
    restore_day(pool, line, away, now, wall);
    if (read_field(line, "share", share, 2)) {
        pool->share = sl_min(share[0], 16 * SL_SHARE_ONE);
        pool->duration_ns = sl_min(share[1], DAY_NS);
    }
    return SL_OK;
}
