/* Slabs: blocks come back, within the bound, and account and fault injection do not see them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sluice/base/mem.h"
#include "sluice/base/slab.h"

#define SIZE 100
#define KEEP 3

static _Thread_local struct sl_slab slab = {.size = SIZE, .keep = KEEP};

static void blocks_come_back(void **state) {
    (void)state;
    void *blocks[2 * KEEP];
    struct sl_mem_stats before = sl_mem_stats();
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 2 * KEEP; i++) {
            blocks[i] = sl_slab_take(&slab);
            assert_non_null(blocks[i]);
            memset(blocks[i], (int)i, SIZE);
        }
        assert_int_equal(sl_mem_stats().blocks, before.blocks + 2 * KEEP);
        assert_true(sl_mem_stats().bytes >= before.bytes + 2 * KEEP * SIZE);
        for (size_t i = 0; i < 2 * KEEP; i++) {
            for (size_t k = 0; k < SIZE; k++)
                assert_int_equal(((uint8_t *)blocks[i])[k], i);
            sl_slab_give(&slab, blocks[i]);
        }
        assert_int_equal(sl_mem_stats().blocks, before.blocks);
        assert_int_equal(sl_mem_stats().bytes, before.bytes);
        assert_true(slab.count <= KEEP);
    }
    sl_slab_give(&slab, NULL);
}

static void a_take_may_fail(void **state) {
    (void)state;
    void *block = sl_slab_take(&slab);
    sl_slab_give(&slab, block);
    sl_mem_fail_after(1);
    assert_null(sl_slab_take(&slab));
    assert_int_equal(sl_mem_fail_after(0), 0);
    block = sl_slab_take(&slab);
    assert_non_null(block);
    sl_slab_give(&slab, block);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(a_take_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
