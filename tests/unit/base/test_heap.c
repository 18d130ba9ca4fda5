/* The heap against a sorted truth, with removals and changes from the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/heap.h"

#define COUNT 500

static uint64_t seed = 3;

static uint64_t next_random(void) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return seed >> 33;
}

static void gives_the_minimum_after_any_change(void **state) {
    (void)state;
    struct sl_heap heap;
    struct sl_heap_node nodes[COUNT];
    sl_heap_init(&heap);
    for (int i = 0; i < COUNT; i++)
        sl_heap_node_init(&nodes[i]);
    for (int step = 0; step < 50000; step++) {
        struct sl_heap_node *node = &nodes[next_random() % COUNT];
        if (!sl_heap_linked(node))
            assert_int_equal(sl_heap_push(&heap, node, next_random() % 1000), SL_OK);
        else if (next_random() % 2)
            sl_heap_update(&heap, node, next_random() % 1000);
        else
            sl_heap_remove(&heap, node);
        uint64_t least = UINT64_MAX;
        size_t linked = 0;
        for (int i = 0; i < COUNT; i++)
            if (sl_heap_linked(&nodes[i])) {
                linked++;
                least = nodes[i].key < least ? nodes[i].key : least;
            }
        assert_int_equal(heap.count, linked);
        if (linked)
            assert_int_equal(sl_heap_min(&heap)->key, least);
        else
            assert_null(sl_heap_min(&heap));
    }
    sl_heap_done(&heap);
}

static void gives_all_in_order(void **state) {
    (void)state;
    struct sl_heap heap;
    struct sl_heap_node nodes[COUNT];
    uint64_t last = 0;
    sl_heap_init(&heap);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(sl_heap_push(&heap, &nodes[i], next_random()), SL_OK);
    for (int i = 0; i < COUNT; i++) {
        struct sl_heap_node *node = sl_heap_min(&heap);
        assert_true(node->key >= last);
        last = node->key;
        sl_heap_remove(&heap, node);
        assert_false(sl_heap_linked(node));
    }
    sl_heap_done(&heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_minimum_after_any_change),
        cmocka_unit_test(gives_all_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
