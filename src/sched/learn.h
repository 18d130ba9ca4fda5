/*
 * A limit learned from refusals: of requests or tokens a window, or of calls at once.
 *
 * A refusal is evidence: what was used in the trailing window plus what was asked for is more than
 * the limit, in a bucket as in a fixed window. So the limit falls to that bound, and a step below.
 * The step is 1/64 when refusals are rare, for then the last limit was nearly right; it doubles, up
 * to 1/4, with each refusal that follows within one and a half windows. Then the limit comes back
 * along CUBIC (RFC 9438): fast at first, flat around the level that was refused, and slowly, then
 * faster, beyond it. Refusals at the same level double the time that takes (`hold`).
 *
 *   ceiling ─ ─ ─ ─ ─ ─ ─ ─ ─ ___________/     limit
 *                 __-----¯¯¯¯
 *       low ─ _-¯
 *             0                 hold        age
 *
 * Age is time in which the limit was what held calls back: a limit nobody reaches is not doubted.
 * A burst refused together is one event: of what was sent before the last event only the bound
 * counts, for that becomes exact once all that was refused has been taken out of the sum.
 */
#ifndef SCHED_LEARN_H
#define SCHED_LEARN_H

#include <stdbool.h>
#include <stdint.h>

struct sl_learner {
    bool known;     /* there is a limit */
    bool refused;   /* it comes from refusals, not from a default */
    bool pressed;   /* it holds calls back */
    uint64_t least; /* no lower limit is believed */
    uint64_t low, ceiling, hold_ns, age_ns;
    uint64_t at; /* last event */
    uint32_t steps;
};

struct sl_evidence {
    uint64_t sent_at; /* the refused call's start */
    uint64_t used;    /* in the trailing window, without it */
    uint64_t asked;
    uint64_t in_force; /* the limit we kept; 0: none */
    uint64_t window;
};

void sl_learner_init(struct sl_learner *l, uint64_t least);
/* A default to begin with; 0: none. */
void sl_learner_begin(struct sl_learner *l, uint64_t limit, uint64_t window);
/* 0: none. */
uint64_t sl_learner_limit(const struct sl_learner *l);
/* True when that was a new event. */
bool sl_learner_refused(struct sl_learner *l, const struct sl_evidence *e, uint64_t now);
/* The limit has held calls back for so long. */
void sl_learner_age(struct sl_learner *l, uint64_t ns);
void sl_learner_forget(struct sl_learner *l);

#endif
