/*
 * The day's quota: a fixed day by wall clock, 00:00 UTC unless learned otherwise. A wall clock that
 * steps back stays in its day, so that no day is had twice, unless a whole day has really passed;
 * one that steps forward opens the new day.
 *
 * A refusal parks the day until its reset: it is not transient, and each try before would be
 * refused too. When the first call after the reset, or one in the first hour, is refused as well,
 * the reset lies elsewhere or the clocks differ: the park is for a minute, doubling up to an hour,
 * and the first success tells where the reset is.
 */
#ifndef SCHED_DAY_H
#define SCHED_DAY_H

#include <stdbool.h>
#include <stdint.h>

struct sl_day {
    uint64_t offset_ns; /* of the reset after 00:00 UTC */
    uint64_t index;     /* which day, counted from 1970 */
    uint64_t since;     /* monotonic, of its first use */
    uint64_t used;
    bool parked;           /* until a success after: */
    uint32_t prolonged;    /* times that the reset was not where it was thought */
    uint64_t parked_until; /* wall */
    uint64_t parked_at;    /* monotonic */
};

void sl_day_init(struct sl_day *d, uint64_t now, uint64_t wall);
/* ns until n fits, 0: now; limit 0: none. More than the limit fits a day of which nothing is used.
 */
uint64_t sl_day_wait(const struct sl_day *d, uint64_t n, uint64_t limit, uint64_t now,
                     uint64_t wall);
uint64_t sl_day_park_wait(const struct sl_day *d, uint64_t now, uint64_t wall);
uint64_t sl_day_used(const struct sl_day *d, uint64_t now, uint64_t wall);
void sl_day_take(struct sl_day *d, uint64_t n, uint64_t now, uint64_t wall);
/* Of what was taken at the wall time `then`; nothing when that day is over. */
void sl_day_give(struct sl_day *d, uint64_t n, uint64_t then, uint64_t now, uint64_t wall);
/* asked_ns: upstream's word on when to come back; 0: none. */
void sl_day_refused(struct sl_day *d, uint64_t sent_at, uint64_t asked_ns, uint64_t now,
                    uint64_t wall);
void sl_day_accepted(struct sl_day *d, uint64_t sent_at, uint64_t sent_wall);

#endif
