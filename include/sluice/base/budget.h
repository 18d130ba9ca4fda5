/*
 * A budget counts bytes against a maximum. memory.max is one; a part of it (what strangers may
 * hold, one body) is a child, whose bytes count against both. A child may prepay: then its parent
 * is charged for that much from the start, and for more only beyond it, so that what was promised
 * to one cannot be taken by others meanwhile.
 */
#ifndef SLUICE_BASE_BUDGET_H
#define SLUICE_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sl_budget {
    size_t used, max;
    size_t prepaid; /* bytes that the parent is charged for at least */
    struct sl_budget *parent;
};

static inline void sl_budget_init(struct sl_budget *b, size_t max, struct sl_budget *parent) {
    *b = (struct sl_budget){.max = max, .parent = parent};
}

/* What the parent is charged for when `used` bytes are. */
static inline size_t sl_budget_charged(const struct sl_budget *b, size_t used) {
    return used > b->prepaid ? used : b->prepaid;
}

/* NULL is an unlimited budget. */
static inline bool sl_budget_fits(const struct sl_budget *b, size_t n) {
    for (; b; b = b->parent) {
        if (b->used > b->max || n > b->max - b->used)
            return false;
        n = sl_budget_charged(b, b->used + n) - sl_budget_charged(b, b->used);
    }
    return true;
}

/* Counts what is held whether it fits or not. */
static inline void sl_budget_charge(struct sl_budget *b, size_t n) {
    for (; b; b = b->parent) {
        size_t before = sl_budget_charged(b, b->used);
        b->used += n;
        n = sl_budget_charged(b, b->used) - before;
    }
}

/* All or nothing: false takes nothing from any level. */
static inline bool sl_budget_take(struct sl_budget *b, size_t n) {
    if (!sl_budget_fits(b, n))
        return false;
    sl_budget_charge(b, n);
    return true;
}

static inline void sl_budget_give(struct sl_budget *b, size_t n) {
    for (; b; b = b->parent) {
        size_t before = sl_budget_charged(b, b->used);
        b->used -= n;
        n = before - sl_budget_charged(b, b->used);
    }
}

/* Prepays n bytes (0: no more than what is used). False, and nothing changed, if the parent has not
 * that much. */
static inline bool sl_budget_prepay(struct sl_budget *b, size_t n) {
    size_t now = sl_budget_charged(b, b->used), then = n > b->used ? n : b->used;
    if (then > now && !sl_budget_take(b->parent, then - now))
        return false;
    if (then < now)
        sl_budget_give(b->parent, now - then);
    b->prepaid = n;
    return true;
}

/* Moves a budget and what is charged for it under another parent. False, and nothing changed, if it
 * does not fit. */
static inline bool sl_budget_move(struct sl_budget *b, struct sl_budget *parent) {
    size_t charged = sl_budget_charged(b, b->used);
    /* Given back first: the new parent may be the old one's. */
    sl_budget_give(b->parent, charged);
    bool fits = sl_budget_take(parent, charged);
    if (fits)
        b->parent = parent;
    else
        sl_budget_charge(b->parent, charged); /* even if its maximum has been lowered since */
    return fits;
}

#endif
