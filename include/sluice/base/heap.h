/*
 * An intrusive binary min-heap over an array of pointers: O(log n) push and
 * remove, O(1) minimum. Each item embeds a node that remembers its index, so that
 * any item is removed without a search. Used for timers and deadlines.
 */
#ifndef SLUICE_BASE_HEAP_H
#define SLUICE_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/base/error.h"

#define SL_HEAP_NONE SIZE_MAX

struct sl_heap_node {
    uint64_t key;
    size_t index; /* SL_HEAP_NONE while not in a heap */
};

struct sl_heap {
    struct sl_heap_node **items;
    size_t count, cap;
};

static inline void sl_heap_node_init(struct sl_heap_node *node) {
    node->key = 0;
    node->index = SL_HEAP_NONE;
}
static inline bool sl_heap_linked(const struct sl_heap_node *node) {
    return node->index != SL_HEAP_NONE;
}
void sl_heap_init(struct sl_heap *heap);
void sl_heap_done(struct sl_heap *heap); /* frees the array, not the items */
/* SL_E_NOMEM leaves the heap as it was. Equal keys come out in any order. */
SL_NODISCARD int sl_heap_push(struct sl_heap *heap, struct sl_heap_node *node, uint64_t key);
void sl_heap_remove(struct sl_heap *heap, struct sl_heap_node *node);
/* Gives a linked node another key; cannot fail. */
void sl_heap_update(struct sl_heap *heap, struct sl_heap_node *node, uint64_t key);
static inline struct sl_heap_node *sl_heap_min(const struct sl_heap *heap) {
    return heap->count ? heap->items[0] : NULL;
}

#endif
