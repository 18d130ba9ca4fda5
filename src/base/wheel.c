/*
 * An entry lies on the level of the highest group of six bits in which its tick differs from the
 * wheel's, in the slot that group names. So all of a level lies after all of the levels below, all
 * used slots of a level lie after the wheel's own position, and the first entries are those of the
 * lowest used slot of the lowest used level. When the wheel comes to a slot, its entries move to
 * lower levels, or, at level 0, are due.
 */
#include "sluice/base/wheel.h"

#include "sluice/base/clock.h"

#define SLOT_MASK (SL_WHEEL_SLOTS - 1)

void sl_wheel_init(struct sl_wheel *wheel) {
    *wheel = (struct sl_wheel){0};
    for (int level = 0; level < SL_WHEEL_LEVELS; level++)
        for (int slot = 0; slot < SL_WHEEL_SLOTS; slot++)
            sl_list_init(&wheel->slots[level][slot]);
    sl_list_init(&wheel->due);
}

static unsigned level_of(const struct sl_wheel *wheel, uint64_t tick) {
    return (63 - (unsigned)__builtin_clzll(tick ^ wheel->tick)) / SL_WHEEL_SLOT_BITS;
}

static unsigned slot_of(uint64_t tick, unsigned level) {
    return (unsigned)(tick >> (level * SL_WHEEL_SLOT_BITS)) & SLOT_MASK;
}

static void place(struct sl_wheel *wheel, struct sl_wheel_node *node) {
    if (node->tick <= wheel->tick) {
        sl_list_push_back(&wheel->due, &node->link);
        return;
    }
    unsigned level = level_of(wheel, node->tick), slot = slot_of(node->tick, level);
    sl_list_push_back(&wheel->slots[level][slot], &node->link);
    wheel->used[level] |= UINT64_C(1) << slot;
}

void sl_wheel_add(struct sl_wheel *wheel, struct sl_wheel_node *node, uint64_t at) {
    uint64_t part = (UINT64_C(1) << SL_WHEEL_TICK_BITS) - 1;
    node->tick = (at >> SL_WHEEL_TICK_BITS) + ((at & part) != 0);
    place(wheel, node);
}

void sl_wheel_remove(struct sl_wheel *wheel, struct sl_wheel_node *node) {
    sl_list_remove(&node->link);
    if (node->tick <= wheel->tick)
        return;
    unsigned level = level_of(wheel, node->tick), slot = slot_of(node->tick, level);
    if (sl_list_empty(&wheel->slots[level][slot]))
        wheel->used[level] &= ~(UINT64_C(1) << slot);
}

/* The lowest used level; SL_WHEEL_LEVELS when there is none. */
static unsigned first_level(const struct sl_wheel *wheel) {
    unsigned level = 0;
    while (level < SL_WHEEL_LEVELS && !wheel->used[level])
        level++;
    return level;
}

/* The tick at which the first used slot of that level begins. */
static uint64_t slot_start(const struct sl_wheel *wheel, unsigned level) {
    unsigned shift = level * SL_WHEEL_SLOT_BITS;
    uint64_t slot = (uint64_t)__builtin_ctzll(wheel->used[level]);
    return (((wheel->tick >> shift) & ~(uint64_t)SLOT_MASK) | slot) << shift;
}

static void turn_to(struct sl_wheel *wheel, uint64_t tick) {
    for (unsigned level; (level = first_level(wheel)) < SL_WHEEL_LEVELS;) {
        uint64_t start = slot_start(wheel, level);
        if (start > tick)
            break;
        struct sl_list moving;
        sl_list_init(&moving);
        sl_list_splice(&moving, &wheel->slots[level][slot_of(start, level)]);
        wheel->used[level] &= ~(UINT64_C(1) << slot_of(start, level));
        wheel->tick = start;
        for (struct sl_list *link; (link = sl_list_pop_front(&moving));)
            place(wheel, SL_CONTAINER(link, struct sl_wheel_node, link));
    }
    if (tick > wheel->tick)
        wheel->tick = tick;
}

struct sl_wheel_node *sl_wheel_pop(struct sl_wheel *wheel, uint64_t now) {
    uint64_t tick = now >> SL_WHEEL_TICK_BITS;
    if (sl_list_empty(&wheel->due))
        turn_to(wheel, tick);
    /* After a step back of the clock the wheel is ahead of it. */
    if (sl_list_empty(&wheel->due) || tick < wheel->tick)
        return NULL;
    return SL_CONTAINER(sl_list_pop_front(&wheel->due), struct sl_wheel_node, link);
}

uint64_t sl_wheel_next_at(const struct sl_wheel *wheel) {
    if (!sl_list_empty(&wheel->due))
        return wheel->tick << SL_WHEEL_TICK_BITS;
    unsigned level = first_level(wheel);
    return level < SL_WHEEL_LEVELS ? slot_start(wheel, level) << SL_WHEEL_TICK_BITS : SL_NEVER;
}
