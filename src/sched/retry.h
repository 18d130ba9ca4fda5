/*
 * Retries as a share of calls, so that an outage is not answered with a multiple of the load. Each
 * call earns the share; a retry costs a whole one. A few are saved up for short trouble, and one
 * in ten seconds is free for pools with hardly any traffic. Kept in hundredths.
 */
#ifndef SCHED_RETRY_H
#define SCHED_RETRY_H

#include <stdbool.h>
#include <stdint.h>

struct sl_retry {
    uint64_t saved; /* hundredths of a retry */
    uint64_t free_at;
};

void sl_retry_init(struct sl_retry *r, uint64_t now);
void sl_retry_earn(struct sl_retry *r, uint32_t percent);
bool sl_retry_spend(struct sl_retry *r, uint32_t percent, uint64_t now);

#endif
