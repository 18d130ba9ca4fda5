/* A binary min-heap: children of i are 2i+1 and 2i+2; every node knows its index. */
#include "sluice/base/heap.h"

#include "sluice/base/mem.h"

void sl_heap_init(struct sl_heap *heap) {
    *heap = (struct sl_heap){0};
}

void sl_heap_done(struct sl_heap *heap) {
    sl_free(heap->items);
    sl_heap_init(heap);
}

static void place(struct sl_heap *heap, size_t index, struct sl_heap_node *node) {
    heap->items[index] = node;
    node->index = index;
}

static void sift_up(struct sl_heap *heap, size_t index) {
    struct sl_heap_node *node = heap->items[index];
    while (index > 0) {
        size_t parent = (index - 1) / 2;
        if (heap->items[parent]->key <= node->key)
            break;
        place(heap, index, heap->items[parent]);
        index = parent;
    }
    place(heap, index, node);
}

static void sift_down(struct sl_heap *heap, size_t index) {
    struct sl_heap_node *node = heap->items[index];
    for (;;) {
        size_t child = index * 2 + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->items[child + 1]->key < heap->items[child]->key)
            child++;
        if (node->key <= heap->items[child]->key)
            break;
        place(heap, index, heap->items[child]);
        index = child;
    }
    place(heap, index, node);
}

int sl_heap_push(struct sl_heap *heap, struct sl_heap_node *node, uint64_t key) {
    if (heap->count == heap->cap) {
        size_t cap = heap->cap ? heap->cap * 2 : 64;
        void *items = sl_realloc(heap->items, cap * sizeof(heap->items[0]));
        if (!items)
            return SL_E_NOMEM;
        heap->items = items;
        heap->cap = cap;
    }
    node->key = key;
    place(heap, heap->count++, node);
    sift_up(heap, node->index);
    return SL_OK;
}

void sl_heap_remove(struct sl_heap *heap, struct sl_heap_node *node) {
    size_t index = node->index;
    struct sl_heap_node *last = heap->items[--heap->count];
    node->index = SL_HEAP_NONE;
    if (last == node)
        return;
    place(heap, index, last);
    sift_up(heap, index);
    sift_down(heap, last->index);
}

void sl_heap_update(struct sl_heap *heap, struct sl_heap_node *node, uint64_t key) {
    node->key = key;
    sift_up(heap, node->index);
    sift_down(heap, node->index);
}
