/*
 * The circuit breaker: a gate that closes when at least 10 calls ended in the last 10 s and too
 * large a share of them failed (5xx, timeouts, no connection). A single failure is nothing; calls
 * that end by our own doing count neither way.
 */
#ifndef SCHED_BREAKER_H
#define SCHED_BREAKER_H

#include "sched/gate.h"

#define SL_BREAKER_SECONDS 10

struct sl_breaker {
    struct sl_gate gate;
    uint64_t second; /* of the newest slot */
    struct {
        uint32_t ended, failed;
    } seconds[SL_BREAKER_SECONDS]; /* by second % 10 */
};

void sl_breaker_init(struct sl_breaker *b, uint64_t guard_ns, uint64_t seed);
void sl_breaker_succeeded(struct sl_breaker *b, uint64_t sent_at, uint64_t now);
/* percent 0: never opens. */
void sl_breaker_failed(struct sl_breaker *b, uint64_t sent_at, uint32_t percent,
                       const struct sl_backoff *backoff, uint64_t now);

#endif
