#include "sched/learn.h"

#include "sched/number.h"

#define STEP_SHIFT  6 /* 1/64 */
#define STEPS_MAX   4 /* up to 1/4 */
#define HOLD_FIRST  4 /* windows */
#define HOLD_MAX    32
#define AGREE_SHIFT 4 /* within 1/16 of the last level */
#define LIMIT_MAX   (UINT64_C(1) << 48)

void sl_learner_init(struct sl_learner *l, uint64_t least) {
    *l = (struct sl_learner){.least = least};
}

void sl_learner_begin(struct sl_learner *l, uint64_t limit, uint64_t window) {
    if (!limit)
        return;
    l->known = true;
    l->low = l->ceiling = sl_min(limit, LIMIT_MAX);
    l->hold_ns = window;
    l->age_ns = 0;
}

void sl_learner_forget(struct sl_learner *l) {
    l->known = l->refused = l->pressed = false;
}

/* x^3 for x in 1/1024, likewise. */
static uint64_t cube(uint64_t x) {
    return sl_u128_to_u64((sl_u128)x * x * x >> 20);
}

uint64_t sl_learner_limit(const struct sl_learner *l) {
    if (!l->known)
        return 0;
    if (l->age_ns < l->hold_ns) {
        uint64_t left = sl_scale(l->hold_ns - l->age_ns, 1024, l->hold_ns);
        return l->ceiling - sl_scale(l->ceiling - l->low, cube(left), 1024);
    }
    uint64_t beyond = sl_min(sl_scale(l->age_ns - l->hold_ns, 1024, l->hold_ns), 1 << 20);
    uint64_t gain = sl_scale(l->ceiling / 8 + 1, cube(beyond), 1024);
    return sl_min(sl_add_sat(l->ceiling, gain), LIMIT_MAX);
}

/* What the refusal shows the limit to be at most; never less than half of what we kept, for others
 * may draw on the quota too. */
static uint64_t bound_of(const struct sl_learner *l, const struct sl_evidence *e) {
    uint64_t bound = sl_sub_sat(sl_add_sat(e->used, e->asked), 1);
    return sl_max(sl_max(bound, e->in_force / 2), l->least);
}

static void set_level(struct sl_learner *l, uint64_t ceiling, const struct sl_evidence *e) {
    uint64_t cut = sl_max(ceiling >> (STEP_SHIFT - l->steps), 1);
    /* The limit lies anywhere in what was asked for. */
    uint64_t middle = sl_sub_sat(bound_of(l, e), sl_min(e->asked / 2, ceiling / 4));
    l->ceiling = ceiling;
    l->low = sl_max(sl_min(ceiling - cut, middle), sl_min(l->least, ceiling));
    l->age_ns = 0;
}

bool sl_learner_refused(struct sl_learner *l, const struct sl_evidence *e, uint64_t now) {
    uint64_t bound = bound_of(l, e);
    if (l->refused && e->sent_at <= l->at) {
        if (bound < l->ceiling)
            set_level(l, bound, e);
        return false;
    }
    uint64_t kept = e->in_force ? e->in_force : LIMIT_MAX;
    uint64_t ceiling = sl_min(sl_min(kept, bound), LIMIT_MAX);
    bool again = l->refused && now - l->at < sl_scale(e->window, 3, 2);
    uint64_t apart = ceiling > l->ceiling ? ceiling - l->ceiling : l->ceiling - ceiling;
    bool agrees = l->refused && !again && apart <= l->ceiling >> AGREE_SHIFT;
    l->hold_ns = agrees ? sl_min(2 * l->hold_ns, HOLD_MAX * e->window) : HOLD_FIRST * e->window;
    l->steps = again ? (uint32_t)sl_min(l->steps + 1, STEPS_MAX) : 0;
    l->known = l->refused = true;
    l->at = now;
    set_level(l, ceiling, e);
    return true;
}

void sl_learner_age(struct sl_learner *l, uint64_t ns) {
    if (l->known)
        l->age_ns = sl_add_sat(l->age_ns, ns);
}
