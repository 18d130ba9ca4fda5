/*
 * How often each address showed a wrong secret within its minute: a fixed window that opens with
 * the first failure. Bounded; where it is full, the address whose minute began first is forgotten.
 */
#ifndef KEYS_FAILURES_H
#define KEYS_FAILURES_H

#include "sluice/base/list.h"
#include "sluice/base/table.h"

/* 3 MB at most. An attacker with more addresses than this guesses 2^-256 no better for it. */
#define SL_FAILURES_MAX    65536
#define SL_FAILURES_WINDOW (60 * UINT64_C(1000000000)) /* ns */

struct sl_failures {
    struct sl_table table;
    struct sl_list oldest; /* by when their minute began */
};

SL_NODISCARD int sl_failures_init(struct sl_failures *failures);
void sl_failures_done(struct sl_failures *failures);
/* Counts one. Out of memory it does not, which lets an address guess on: better than refusing all.
 */
void sl_failures_note(struct sl_failures *failures, struct sl_slice address, uint64_t now);
/* How long the address is still to be refused, ns; 0: it is not. */
uint64_t sl_failures_wait(const struct sl_failures *failures, struct sl_slice address,
                          uint32_t limit, uint64_t now);

#endif
