/* Chains against a flat model: every operation must keep content, offsets and budget the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sluice/base/chain.h"
#include "sluice/base/mem.h"

#define MODEL_MAX (1 << 20)

static char model[MODEL_MAX];

static uint64_t next_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return *state >> 33;
}

static void expect_content(const struct sl_chain *chain, uint64_t from) {
    struct sl_chain_cursor cursor = {.offset = from};
    struct sl_slice piece;
    while (sl_chain_peek(chain, &cursor, &piece, 1) == 1) {
        assert_memory_equal(piece.ptr, model + cursor.offset, piece.len);
        sl_chain_advance(chain, &cursor, piece.len);
    }
    assert_int_equal(cursor.offset, chain->end);
}

static size_t held(const struct sl_chain *chain) {
    size_t sum = 0;
    for (const struct sl_chunk *chunk = chain->first; chunk; chunk = chunk->next)
        sum += chunk->cap + sizeof(*chunk);
    return sum;
}

static void equals_a_flat_model_over_random_operations(void **state) {
    (void)state;
    struct sl_budget budget;
    struct sl_chain chain;
    uint64_t seed = 7, end = 0, reader = 0;
    sl_budget_init(&budget, SIZE_MAX, NULL);
    sl_chain_init(&chain, &budget);
    struct sl_chain_cursor cursor = {0};
    for (int step = 0; step < 20000; step++) {
        uint64_t kind = next_random(&seed) % 8;
        if (kind < 4) {
            size_t n = (size_t)(next_random(&seed) % (kind == 0 ? 90000 : 300));
            if (end + n > MODEL_MAX)
                break;
            for (size_t i = 0; i < n; i++)
                model[end + i] = (char)next_random(&seed);
            assert_int_equal(sl_chain_add(&chain, sl_slice_of(model + end, n)), SL_OK);
            end += n;
        } else if (kind < 6) {
            struct sl_slice piece;
            if (sl_chain_peek(&chain, &cursor, &piece, 1)) {
                size_t n = (size_t)(next_random(&seed) % piece.len) + 1;
                assert_memory_equal(piece.ptr, model + reader, n);
                sl_chain_advance(&chain, &cursor, n);
                reader += n;
            }
        } else if (kind == 6) {
            sl_chain_drop(&chain, reader);
        } else {
            uint64_t cut = end - (end - reader) / 2;
            sl_chain_truncate(&chain, cut);
            end = cut;
        }
        assert_int_equal(chain.end, end);
        assert_true(chain.begin <= reader);
        assert_int_equal(budget.used, held(&chain));
    }
    assert_true(end > 100000); /* the walk went somewhere */
    expect_content(&chain, reader);
    sl_chain_done(&chain);
    assert_int_equal(budget.used, 0);
    sl_chunk_pool_done();
}

/* Little is taken for little, and never more than was foretold, in whatever pieces it comes. */
static void takes_as_much_as_is_used_and_no_more_than_foretold(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 480, 481, 5000, 70000, 500000};
    struct sl_budget budget;
    uint64_t seed = 11;
    sl_budget_init(&budget, SIZE_MAX, NULL);
    for (int round = 0; round < 600; round++) {
        size_t len = lengths[round % 6], most = (size_t)1 << next_random(&seed) % 20;
        struct sl_chain chain;
        sl_chain_init(&chain, &budget);
        for (size_t n, at = 0; at < len; at += n) {
            n = (size_t)(next_random(&seed) % most) + 1;
            n = n < len - at ? n : len - at;
            assert_int_equal(sl_chain_add(&chain, sl_slice_of(model + at, n)), SL_OK);
        }
        assert_true(budget.used <= sl_chain_most(len));
        assert_true(budget.used <= SL_CHUNK_SMALL || budget.used <= 10 * len);
        assert_true(budget.used <= len + 2 * SL_CHUNK_LARGE);
        sl_chain_done(&chain);
    }
    sl_chunk_pool_done();
}

static void fails_whole_when_the_budget_is_used_up(void **state) {
    (void)state;
    struct sl_budget budget;
    struct sl_chain chain;
    sl_budget_init(&budget, sl_chain_most(1000) + SL_CHUNK_LARGE, NULL);
    sl_chain_init(&chain, &budget);
    assert_int_equal(sl_chain_add(&chain, sl_slice_of(model, 1000)), SL_OK);
    uint64_t end = chain.end;
    size_t used = budget.used;
    assert_int_equal(sl_chain_add(&chain, sl_slice_of(model, 200000)), SL_E_NOMEM);
    assert_int_equal(chain.end, end);
    assert_int_equal(budget.used, used);
    assert_int_equal(sl_chain_add(&chain, sl_slice_of(model, 60000)), SL_OK);
    sl_chain_done(&chain);
    assert_int_equal(budget.used, 0);
    sl_chunk_pool_done();
}

static void fails_whole_when_memory_is_out(void **state) {
    (void)state;
    struct sl_budget budget;
    struct sl_chain chain;
    sl_budget_init(&budget, SIZE_MAX, NULL);
    for (uint64_t nth = 1; nth <= 4; nth++) {
        sl_chain_init(&chain, &budget);
        sl_mem_fail_after(nth);
        int err = sl_chain_add(&chain, sl_slice_of(model, 3 * SL_CHUNK_LARGE));
        sl_mem_fail_after(0);
        assert_int_equal(err, SL_E_NOMEM);
        assert_int_equal(chain.end, 0);
        assert_int_equal(budget.used, 0);
        sl_chain_done(&chain);
        sl_chunk_pool_done();
    }
}

static void counts_a_child_against_its_parent(void **state) {
    (void)state;
    struct sl_budget all, part;
    struct sl_chain chain;
    sl_budget_init(&all, 10 * SL_CHUNK_LARGE, NULL);
    sl_budget_init(&part, SL_CHUNK_LARGE, &all);
    sl_chain_init(&chain, &part);
    assert_int_equal(sl_chain_add(&chain, sl_slice_of(model, 5000)), SL_OK);
    assert_int_equal(part.used, held(&chain));
    assert_int_equal(all.used, held(&chain));
    assert_int_equal(sl_chain_add(&chain, sl_slice_of(model, SL_CHUNK_LARGE)), SL_E_NOMEM);
    sl_chain_done(&chain);
    assert_int_equal(all.used, 0);
    sl_chunk_pool_done();
}

static void a_prepaid_budget_keeps_its_promise(void **state) {
    (void)state;
    struct sl_budget all, part, body, other;
    sl_budget_init(&all, 1000, NULL);
    sl_budget_init(&part, 300, &all);
    sl_budget_init(&body, SIZE_MAX, &part);
    sl_budget_init(&other, SIZE_MAX, &all);
    assert_false(sl_budget_prepay(&body, 301));
    assert_int_equal(all.used, 0);
    assert_true(sl_budget_prepay(&body, 200));
    assert_int_equal(part.used, 200);
    assert_int_equal(all.used, 200);
    assert_true(sl_budget_take(&other, 800));
    assert_true(sl_budget_take(&body, 200)); /* paid for before */
    assert_int_equal(all.used, 1000);
    assert_false(sl_budget_take(&body, 1));
    sl_budget_give(&other, 800);
    assert_true(sl_budget_take(&body, 50));
    assert_int_equal(part.used, 250);
    assert_true(sl_budget_move(&body, &all)); /* no longer a stranger's */
    assert_int_equal(part.used, 0);
    assert_int_equal(all.used, 250);
    sl_budget_give(&body, 250);
    assert_int_equal(all.used, 200);
    assert_true(sl_budget_prepay(&body, 0));
    assert_int_equal(all.used, 0);
    assert_true(sl_budget_take(&part, 300) && sl_budget_take(&body, 600));
    assert_false(sl_budget_move(&body, &part));
    assert_int_equal(all.used, 900);
    assert_int_equal(part.used, 300);
}

static void flattens_into_one_slice(void **state) {
    (void)state;
    struct sl_chain chain;
    struct sl_slice whole;
    memset(model, 'x', 200000);
    sl_chain_init(&chain, NULL);
    assert_int_equal(sl_chain_flatten(&chain, 10, &whole), SL_OK);
    assert_int_equal(whole.len, 0);
    for (int i = 0; i < 200; i++)
        assert_int_equal(sl_chain_add(&chain, sl_slice_of(model + i * 1000, 1000)), SL_OK);
    assert_int_equal(sl_chain_flatten(&chain, 199999, &whole), SL_E_LIMIT);
    assert_int_equal(sl_chain_flatten(&chain, 200000, &whole), SL_OK);
    assert_int_equal(whole.len, 200000);
    assert_memory_equal(whole.ptr, model, 200000);
    assert_int_equal(chain.end, 200000);
    sl_chain_done(&chain);
    sl_chunk_pool_done();
}

/* Others that read the chain while it becomes one chunk go on where they were. */
static void cursors_survive_a_flattening(void **state) {
    (void)state;
    struct sl_chain chain;
    struct sl_chain_cursor cursor = {0};
    struct sl_slice whole, rest[8];
    memset(model, 'x', 200000);
    model[150000] = 'y';
    sl_chain_init(&chain, NULL);
    assert_int_equal(sl_chain_add(&chain, sl_slice_of(model, 200000)), SL_OK);
    sl_chain_advance(&chain, &cursor, 150000);
    assert_true(sl_chain_peek(&chain, &cursor, rest, 8) > 0);
    assert_int_equal(sl_chain_flatten(&chain, 200000, &whole), SL_OK);
    sl_chunk_pool_done(); /* what was replaced is gone for good */
    assert_int_equal(sl_chain_peek(&chain, &cursor, rest, 8), 1);
    assert_int_equal(rest[0].len, 50000);
    assert_int_equal(rest[0].ptr[0], 'y');
    sl_chain_done(&chain);
    sl_chunk_pool_done();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_a_flat_model_over_random_operations),
        cmocka_unit_test(takes_as_much_as_is_used_and_no_more_than_foretold),
        cmocka_unit_test(fails_whole_when_the_budget_is_used_up),
        cmocka_unit_test(fails_whole_when_memory_is_out),
        cmocka_unit_test(counts_a_child_against_its_parent),
        cmocka_unit_test(a_prepaid_budget_keeps_its_promise),
        cmocka_unit_test(flattens_into_one_slice),
        cmocka_unit_test(cursors_survive_a_flattening),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
