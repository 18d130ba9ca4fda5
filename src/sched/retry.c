#include "sched/retry.h"

#include "sched/number.h"
#include "sluice/base/clock.h"

#define ONE        100
#define SAVED_MAX  (20 * ONE)
#define FREE_EVERY (10 * SL_NS_PER_S)

void sl_retry_init(struct sl_retry *r, uint64_t now) {
    *r = (struct sl_retry){.saved = SAVED_MAX, .free_at = sl_add_sat(now, FREE_EVERY)};
}

void sl_retry_earn(struct sl_retry *r, uint32_t percent) {
    r->saved = sl_min(r->saved + percent, SAVED_MAX);
}

bool sl_retry_spend(struct sl_retry *r, uint32_t percent, uint64_t now) {
    if (!percent)
        return false;
    /* A retry is sent as a call and earns as one: it pays that back here. */
    uint64_t price = ONE + percent;
    if (r->saved >= price)
        r->saved -= price;
    else if (now >= r->free_at)
        r->free_at = sl_add_sat(now, FREE_EVERY);
    else
        return false;
    return true;
}
