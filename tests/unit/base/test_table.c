/* The table keeps every node findable while it grows, and tells equal hashes apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/base/table.h"

#define COUNT 20000

struct item {
    struct sl_table_node node;
    int value;
    bool in;
};

static struct item items[COUNT];

/* Few distinct low bits, so that chains and splits are exercised. */
static uint64_t hash_of(int value) {
    return (uint64_t)value * 3 % 7919;
}

static bool finds(const struct sl_table *table, int value) {
    struct sl_table_node *node = sl_table_find(table, hash_of(value));
    for (; node; node = sl_table_find_next(node))
        if (SL_CONTAINER(node, struct item, node)->value == value)
            return true;
    return false;
}

static void finds_what_is_in_and_nothing_else(void **state) {
    (void)state;
    struct sl_table table;
    uint64_t seed = 11;
    assert_int_equal(sl_table_init(&table), SL_OK);
    size_t in = 0;
    for (int step = 0; step < 200000; step++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        int value = (int)((seed >> 33) % COUNT);
        struct item *item = &items[value];
        item->value = value;
        assert_int_equal(finds(&table, value), item->in);
        if (item->in)
            sl_table_remove(&table, &item->node);
        else
            sl_table_insert(&table, &item->node, hash_of(value));
        item->in = !item->in;
        in = item->in ? in + 1 : in - 1;
        assert_int_equal(table.count, in);
    }
    sl_table_done(&table);
}

static void works_on_without_memory_to_grow(void **state) {
    (void)state;
    struct sl_table table;
    assert_int_equal(sl_table_init(&table), SL_OK);
    for (int i = 0; i < 1000; i++) {
        items[i] = (struct item){.value = i};
        sl_mem_fail_after(1);
        sl_table_insert(&table, &items[i].node, hash_of(i));
        sl_mem_fail_after(0);
    }
    for (int i = 0; i < 1000; i++)
        assert_true(finds(&table, i));
    sl_table_done(&table);
}

/* Full growth and full shrinking, the arrays' account checked against the allocator's. */
static void grows_and_shrinks_with_its_entries(void **state) {
    (void)state;
    struct sl_table table;
    uint64_t before = sl_mem_stats().bytes;
    assert_int_equal(sl_table_init(&table), SL_OK);
    size_t first = table.bytes;
    for (int i = 0; i < COUNT; i++) {
        items[i] = (struct item){.value = i};
        sl_table_insert(&table, &items[i].node, hash_of(i));
        assert_true(table.size >= table.count);
    }
    assert_int_equal(sl_mem_stats().bytes - before, table.bytes);
    assert_true(table.bytes < 10 * COUNT + 4096);
    for (int i = 0; i < COUNT; i++) {
        assert_true(finds(&table, i));
        sl_table_remove(&table, &items[i].node);
        assert_false(finds(&table, i));
        assert_true(table.size <= SL_TABLE_SEGMENT || table.size <= 4 * table.count + 3);
        if (i % 1000 == 0)
            for (int k = i + 1; k < COUNT; k++)
                assert_true(finds(&table, k));
    }
    assert_int_equal(table.size, SL_TABLE_SEGMENT);
    assert_int_equal(sl_mem_stats().bytes - before, table.bytes);
    assert_true(table.bytes < first + 16 * COUNT / SL_TABLE_SEGMENT + 64);
    sl_table_done(&table);
    assert_int_equal(sl_mem_stats().bytes, before);
}

static void hashes_equal_bytes_alike(void **state) {
    (void)state;
    char a[] = "the same nineteen b", b[] = "the same nineteen b";
    for (size_t len = 0; len < sizeof(a); len++) {
        assert_int_equal(sl_hash(sl_slice_of(a, len)), sl_hash(sl_slice_of(b, len)));
        assert_int_not_equal(sl_hash(sl_slice_of(a, len)), sl_hash(sl_slice_of(b, len + 1)));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_in_and_nothing_else),
        cmocka_unit_test(works_on_without_memory_to_grow),
        cmocka_unit_test(grows_and_shrinks_with_its_entries),
        cmocka_unit_test(hashes_equal_bytes_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
