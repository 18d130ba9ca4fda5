#include "sched/burst.h"

#include "sched/number.h"

#define FIRST_SHIFT 5
#define STEP_SHIFT  2
#define LAST_SHIFT  3
#define BAR_FIRST   60   /* windows */
#define BAR_MAX     1440 /* a day of minutes */

void sl_burst_init(struct sl_burst *b) {
    *b = (struct sl_burst){.state = SL_BURST_TRAILING, .bar_windows = BAR_FIRST};
}

static void step_to(struct sl_burst *b, uint32_t shift) {
    b->state = SL_BURST_TRYING;
    b->shift = shift;
    b->above = false;
}

uint64_t sl_burst_extra(const struct sl_burst *b, uint64_t limit) {
    return b->state == SL_BURST_TRYING ? sl_max(limit >> b->shift, 1) : 0;
}

void sl_burst_used(struct sl_burst *b, uint64_t sum, uint64_t limit, bool full, uint64_t span,
                   uint64_t now) {
    if (b->state == SL_BURST_TRAILING && full && now >= b->barred_until) {
        step_to(b, FIRST_SHIFT);
        return;
    }
    if (b->state != SL_BURST_TRYING || sum <= limit + sl_burst_extra(b, limit) / 2)
        return;
    if (!b->above) {
        b->above = true;
        b->above_at = now;
    } else if (now - b->above_at >= span) {
        if (b->shift <= LAST_SHIFT)
            b->state = SL_BURST_OPEN;
        else
            step_to(b, b->shift - STEP_SHIFT);
    }
}

void sl_burst_refused(struct sl_burst *b, uint64_t span, uint64_t now) {
    if (b->state == SL_BURST_TRAILING)
        return;
    b->state = SL_BURST_TRAILING;
    b->barred_until = sl_add_sat(now, sl_scale(span, b->bar_windows, 1));
    b->bar_windows = sl_min(2 * b->bar_windows, BAR_MAX);
}
