/*
 * Whether upstream's window is a bucket, for `window: auto`. Bedrock does not say, and a wrong
 * guess is refused calls, so the rule is: behave as in a fixed window, try a little more, believe
 * what lasts.
 *
 *   TRAILING ──the sum is used up──▶ TRYING 1/32 ──lasted──▶ TRYING 1/8 ──lasted──▶ OPEN
 *       ▲                               │                       │                    │
 *       └──────────── refused: not again for 60 windows, twice that the next time ───┘
 *
 * TRYING lets the trailing sum pass the limit by that share of it, where a bucket would have room.
 * A fixed window that is asked for more than its limit refuses before it ends. So a step has lasted
 * when the sum stood above limit + half the share, and again at least a whole window later, and
 * nothing was refused between. OPEN lets the bucket alone decide.
 */
#ifndef SCHED_BURST_H
#define SCHED_BURST_H

#include <stdbool.h>
#include <stdint.h>

enum sl_burst_state { SL_BURST_TRAILING, SL_BURST_TRYING, SL_BURST_OPEN };

struct sl_burst {
    enum sl_burst_state state;
    uint32_t shift; /* TRYING: the share is limit >> shift */
    bool above;     /* the sum has stood above, first at: */
    uint64_t above_at;
    uint64_t barred_until; /* TRAILING: no trying before */
    uint64_t bar_windows;  /* length of the next bar */
};

void sl_burst_init(struct sl_burst *b);
/* How far beyond its limit the trailing sum may go. */
uint64_t sl_burst_extra(const struct sl_burst *b, uint64_t limit);
/* Something was taken, which made the trailing sum `sum`; `full`: no more of it fits. */
void sl_burst_used(struct sl_burst *b, uint64_t sum, uint64_t limit, bool full, uint64_t span,
                   uint64_t now);
void sl_burst_refused(struct sl_burst *b, uint64_t span, uint64_t now);

#endif
