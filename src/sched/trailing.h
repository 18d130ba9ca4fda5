/*
 * What was used in the trailing window: a ring of slots, oldest first, each with all that came in
 * one grain of time and the moment when it stops to count.
 *
 *    head                            newest
 *   [first…last | requests, tokens] [ … ] [ … ]      sum = all slots that have not expired
 *
 * A slot expires as a whole when the last thing in it does, so the sum is never too small, and too
 * large for less than a grain (1/510 of the window). A correction goes to the slot in which the
 * reservation stood, for upstream corrects the window in which it counted the call; once that slot
 * has expired there is nothing to correct. Adding and correcting are O(1) and O(log slots).
 *
 * Slots hold times of expiry instead of arrival, so that use from before a restart, older than the
 * clock itself, has a time too.
 */
#ifndef SCHED_TRAILING_H
#define SCHED_TRAILING_H

#include <stdint.h>

#define SL_TRAILING_SLOTS 512

enum sl_meter { SL_METER_REQUESTS, SL_METER_TOKENS, SL_METERS };

struct sl_slot {
    uint64_t first, last; /* expiry of the first and the last thing in it */
    uint64_t amount[SL_METERS];
};

struct sl_trailing {
    uint64_t span;  /* window + guard, ns */
    uint64_t grain; /* of time that shares a slot */
    uint32_t head, count;
    uint64_t sum[SL_METERS]; /* over the slots in the ring */
    struct sl_slot slots[SL_TRAILING_SLOTS];
};

void sl_trailing_init(struct sl_trailing *t, uint64_t span);
/* Another span for what is in it and comes. */
void sl_trailing_reshape(struct sl_trailing *t, uint64_t span);
/* now never steps back: the pool sees to it. */
void sl_trailing_add(struct sl_trailing *t, uint64_t requests, uint64_t tokens, uint64_t now);
/* As if it had been added `left` before its expiry. Only in order of expiry, into an empty ring. */
void sl_trailing_recall(struct sl_trailing *t, uint64_t requests, uint64_t tokens, uint64_t left,
                        uint64_t now);
/* Takes n back from what was added at `then`, where it still counts. */
void sl_trailing_correct(struct sl_trailing *t, enum sl_meter meter, uint64_t then, uint64_t n,
                         uint64_t now);
uint64_t sl_trailing_sum(const struct sl_trailing *t, enum sl_meter meter, uint64_t now);
/* ns until the sum is at most `room` if nothing is added; 0: it is. */
uint64_t sl_trailing_wait(const struct sl_trailing *t, enum sl_meter meter, uint64_t room,
                          uint64_t now);

#endif
