/*
 * A token bucket that refills continuously: capacity `limit`, `limit` a window. Kept as what it
 * lacks, in units x window ns, so that every sum is exact: one unit is `window` of it, and `limit`
 * of it flow back each ns. Time is passed in; one that steps back counts as none passed.
 *
 * It is never fuller than the bucket it models, which hears of each call up to `guard` later, and
 * of each end up to `guard` before we do:
 *  - that bucket may have been full, and so have gained nothing, for as long as a call was under
 *    way. So whenever something is taken, at least what flows in during the guard is lacking.
 *  - it may have been full when a call gave back, and the gift was lost. So after giving back, at
 *    least what was taken in the last two guards is lacking.
 * Both matter only near full; where work waits, nothing is lost by them.
 */
#ifndef SCHED_BUCKET_H
#define SCHED_BUCKET_H

#include <stdint.h>

struct sl_bucket {
    unsigned __int128 lack; /* right at `at` */
    uint64_t at;
    uint64_t window, guard;
    /* What was taken in this stretch of two guards, and in the one before. */
    uint64_t stretch_at, taken, before_at, taken_before;
};

/* Full. */
void sl_bucket_init(struct sl_bucket *b, uint64_t window, uint64_t guard, uint64_t now);
/* The limit is an argument since learning moves it: advance with the old one before it changes. A
 * limit of 0 is none; nothing is lacking then. */
void sl_bucket_advance(struct sl_bucket *b, uint64_t limit, uint64_t now);
/* Other times for what is lacking, which stays the same number of units. */
void sl_bucket_reshape(struct sl_bucket *b, uint64_t window, uint64_t guard);
/* Unconditionally: it may come to lack more than the limit. */
void sl_bucket_take(struct sl_bucket *b, uint64_t n, uint64_t limit, uint64_t now);
/* Of what was taken at `then`. */
void sl_bucket_give(struct sl_bucket *b, uint64_t n, uint64_t then, uint64_t limit, uint64_t now);
/* Upstream said that it has not even n left: what is lacking becomes at least limit - n/2. */
void sl_bucket_exhaust(struct sl_bucket *b, uint64_t n, uint64_t limit, uint64_t now);
/* ns until n fits, 0: now. More than the limit fits when full. */
uint64_t sl_bucket_wait(const struct sl_bucket *b, uint64_t n, uint64_t limit, uint64_t now);
/* Units lacking, rounded up. */
uint64_t sl_bucket_used(const struct sl_bucket *b, uint64_t limit, uint64_t now);

#endif
