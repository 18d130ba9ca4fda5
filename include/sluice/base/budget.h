/*
 * A budget counts bytes against a maximum. memory.max is one; a part of it (what
 * strangers may hold) is a child, whose bytes count against both.
 */
#ifndef SLUICE_BASE_BUDGET_H
#define SLUICE_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct sl_budget {
    size_t used, max;
    struct sl_budget *parent;
};

static inline void sl_budget_init(struct sl_budget *b, size_t max, struct sl_budget *parent) {
    *b = (struct sl_budget){.max = max, .parent = parent};
}

static inline bool sl_budget_fits(const struct sl_budget *b, size_t n) {
    for (; b; b = b->parent)
        if (n > b->max - (b->used < b->max ? b->used : b->max))
            return false;
    return true;
}

/* All or nothing: false takes nothing from any level. NULL is an unlimited budget. */
static inline bool sl_budget_take(struct sl_budget *b, size_t n) {
    if (!sl_budget_fits(b, n))
        return false;
    for (; b; b = b->parent)
        b->used += n;
    return true;
}

static inline void sl_budget_give(struct sl_budget *b, size_t n) {
    for (; b; b = b->parent)
        b->used -= n;
}

#endif
