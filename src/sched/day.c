#include "sched/day.h"

#include "sched/number.h"
#include "sluice/base/clock.h"

#define MINUTE (60 * SL_NS_PER_S)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static uint64_t index_of(const struct sl_day *d, uint64_t wall) {
    return sl_sub_sat(wall, d->offset_ns) / DAY;
}

static uint64_t until_reset(const struct sl_day *d, uint64_t wall) {
    return DAY - sl_sub_sat(wall, d->offset_ns) % DAY;
}

void sl_day_init(struct sl_day *d, uint64_t now, uint64_t wall) {
    *d = (struct sl_day){.since = now};
    d->index = index_of(d, wall);
}

/* By wall clock, or because a whole day has passed since its first use: then the wall clock was set
 * back. */
static bool is_over(const struct sl_day *d, uint64_t now, uint64_t wall) {
    return index_of(d, wall) > d->index || sl_sub_sat(now, d->since) >= DAY;
}

static void roll(struct sl_day *d, uint64_t now, uint64_t wall) {
    if (!is_over(d, now, wall))
        return;
    d->index = index_of(d, wall);
    d->since = now;
    d->used = 0;
}

uint64_t sl_day_used(const struct sl_day *d, uint64_t now, uint64_t wall) {
    return is_over(d, now, wall) ? 0 : d->used;
}

static uint64_t until_over(const struct sl_day *d, uint64_t now, uint64_t wall) {
    uint64_t days_ahead = sl_sub_sat(d->index, index_of(d, wall));
    uint64_t by_wall = sl_add_sat(sl_scale(days_ahead, DAY, 1), until_reset(d, wall));
    return sl_min(by_wall, DAY - sl_sub_sat(now, d->since));
}

uint64_t sl_day_wait(const struct sl_day *d, uint64_t n, uint64_t limit, uint64_t now,
                     uint64_t wall) {
    uint64_t used = sl_day_used(d, now, wall);
    if (!limit || used == 0 || (n <= limit && used <= limit - n))
        return 0;
    return until_over(d, now, wall);
}

uint64_t sl_day_park_wait(const struct sl_day *d, uint64_t now, uint64_t wall) {
    if (!d->parked)
        return 0;
    /* Whichever clock says first that it is over: a wall clock set back must not park for longer.
     */
    return sl_min(sl_sub_sat(d->parked_until, wall),
                  sl_sub_sat(sl_add_sat(d->parked_at, DAY), now));
}

void sl_day_take(struct sl_day *d, uint64_t n, uint64_t now, uint64_t wall) {
    roll(d, now, wall);
    d->used = sl_add_sat(d->used, n);
}

void sl_day_give(struct sl_day *d, uint64_t n, uint64_t then, uint64_t now, uint64_t wall) {
    roll(d, now, wall);
    if (index_of(d, then) == d->index)
        d->used = sl_sub_sat(d->used, n);
}

void sl_day_refused(struct sl_day *d, uint64_t sent_at, uint64_t asked_ns, uint64_t now,
                    uint64_t wall) {
    if (d->parked && sent_at <= d->parked_at)
        return; /* the same event */
    uint64_t wait = until_reset(d, wall);
    if (d->parked || DAY - wait < HOUR) {
        wait = sl_min(MINUTE << sl_min(d->prolonged, 6), HOUR);
        d->prolonged++;
    }
    d->parked = true;
    d->parked_at = now;
    d->parked_until = sl_add_sat(wall, sl_max(wait, asked_ns));
}

void sl_day_accepted(struct sl_day *d, uint64_t sent_at, uint64_t sent_wall) {
    if (!d->parked || sent_at <= d->parked_at)
        return;
    if (d->prolonged) {
        d->offset_ns = sent_wall % DAY;
        d->index = index_of(d, sent_wall);
    }
    d->parked = false;
    d->prolonged = 0;
}
