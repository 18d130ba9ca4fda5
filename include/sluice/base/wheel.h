/*
 * An intrusive hierarchical timing wheel (Varghese and Lauck, 1987): O(1) insertion and removal,
 * whatever the number of entries; a heap of a hundred thousand deadlines would cost a cache miss a
 * level. Each level has 64 slots, and each slot of a level spans a whole level below.
 *
 * Time is ns, counted in ticks of 2^20 ns: an entry comes out never before its time, and at most
 * 1.05 ms after. A clock that steps back delays what is in the wheel by as much.
 */
#ifndef SLUICE_BASE_WHEEL_H
#define SLUICE_BASE_WHEEL_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/base/list.h"

#define SL_WHEEL_TICK_BITS 20
#define SL_WHEEL_SLOT_BITS 6
#define SL_WHEEL_SLOTS     (1 << SL_WHEEL_SLOT_BITS)
#define SL_WHEEL_LEVELS    8 /* of 6 bits: all 44 bits of a tick */

struct sl_wheel_node {
    struct sl_list link;
    uint64_t tick;
};

struct sl_wheel {
    uint64_t tick;                  /* entries up to it are on `due` */
    uint64_t used[SL_WHEEL_LEVELS]; /* a bit for each slot that has entries */
    struct sl_list slots[SL_WHEEL_LEVELS][SL_WHEEL_SLOTS];
    struct sl_list due;
};

static inline void sl_wheel_node_init(struct sl_wheel_node *node) {
    sl_list_init(&node->link);
    node->tick = 0;
}
static inline bool sl_wheel_linked(const struct sl_wheel_node *node) {
    return sl_list_linked(&node->link);
}
void sl_wheel_init(struct sl_wheel *wheel);
/* A node that is in no wheel, to come out at `at`. */
void sl_wheel_add(struct sl_wheel *wheel, struct sl_wheel_node *node, uint64_t at);
void sl_wheel_remove(struct sl_wheel *wheel, struct sl_wheel_node *node);
/* Takes out one entry whose time has come; NULL when there is none. Amortised O(1). */
struct sl_wheel_node *sl_wheel_pop(struct sl_wheel *wheel, uint64_t now);
/* A time not after the first entry's: _pop then gives it, or this moves on. SL_NEVER: empty. */
uint64_t sl_wheel_next_at(const struct sl_wheel *wheel);

#endif
