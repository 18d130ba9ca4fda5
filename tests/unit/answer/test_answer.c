/* Answers: readers of any age see the same bytes, published ones only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sluice/answer/answer.h"

struct rig {
    struct sl_budget budget;
    struct sl_arena arena;
    struct sl_answer answer;
    int changes;
};

static void count_change(void *ctx) {
    ++*(int *)ctx;
}

static void rig_init(struct rig *rig) {
    *rig = (struct rig){0};
    sl_budget_init(&rig->budget, SIZE_MAX, NULL);
    sl_arena_init(&rig->arena, 65536);
    sl_answer_init(&rig->answer, &rig->arena, &rig->budget);
}

static void rig_done(struct rig *rig) {
    sl_answer_done(&rig->answer);
    sl_arena_done(&rig->arena);
    assert_int_equal(rig->budget.used, 0);
    sl_chunk_pool_done();
}

/* Takes up to max bytes; returns how many, and whether the answer ended with them. */
static size_t read_some(struct sl_reader *reader, char *out, size_t max, bool *end) {
    struct sl_slice slices[4];
    size_t n = sl_reader_peek(reader, slices, 4, end), taken = 0;
    for (size_t i = 0; i < n && taken < max; i++) {
        size_t len = slices[i].len < max - taken ? slices[i].len : max - taken;
        memcpy(out + taken, slices[i].ptr, len);
        taken += len;
    }
    sl_reader_advance(reader, taken);
    return taken;
}

static void readers_see_published_bytes_only(void **state) {
    (void)state;
    struct rig rig;
    struct sl_reader reader;
    char out[64];
    bool end;
    rig_init(&rig);
    sl_reader_init(&reader, count_change, &rig.changes);
    assert_true(sl_reader_attach(&reader, &rig.answer));
    sl_answer_set_head(&rig.answer, &(struct sl_response_head){.status = 200});
    assert_int_equal(rig.changes, 1);
    assert_int_equal(sl_answer_add(&rig.answer, SL_LIT("whole|part")), SL_OK);
    assert_int_equal(rig.changes, 1);
    assert_int_equal(read_some(&reader, out, sizeof(out), &end), 0);
    sl_answer_publish(&rig.answer, 6);
    assert_int_equal(rig.changes, 2);
    assert_int_equal(sl_answer_lag(&rig.answer), 6);
    assert_int_equal(read_some(&reader, out, sizeof(out), &end), 6);
    assert_memory_equal(out, "whole|", 6);
    assert_false(end);
    sl_answer_truncate(&rig.answer);
    assert_int_equal(sl_answer_add(&rig.answer, SL_LIT("end")), SL_OK);
    sl_answer_finish(&rig.answer);
    assert_int_equal(read_some(&reader, out, sizeof(out), &end), 3);
    assert_memory_equal(out, "end", 3);
    assert_true(end);
    sl_reader_detach(&reader);
    rig_done(&rig);
}

static void a_broken_answer_never_ends(void **state) {
    (void)state;
    struct rig rig;
    struct sl_reader reader;
    char out[64];
    bool end;
    rig_init(&rig);
    sl_reader_init(&reader, count_change, &rig.changes);
    assert_true(sl_reader_attach(&reader, &rig.answer));
    sl_answer_set_head(&rig.answer, &(struct sl_response_head){.status = 200});
    assert_int_equal(sl_answer_add(&rig.answer, SL_LIT("abc")), SL_OK);
    sl_answer_publish(&rig.answer, 3);
    sl_answer_break(&rig.answer);
    assert_int_equal(read_some(&reader, out, sizeof(out), &end), 3);
    assert_false(end);
    sl_reader_detach(&reader);
    rig_done(&rig);
}

static void many_readers_at_their_own_pace_see_the_same(void **state) {
    (void)state;
    enum { READERS = 5, SIZE = 400000 };
    static char body[SIZE], seen[READERS][SIZE];
    struct rig rig;
    struct sl_reader readers[READERS];
    size_t have[READERS] = {0};
    bool ended[READERS] = {0};
    uint64_t seed = 5;
    rig_init(&rig);
    for (int i = 0; i < SIZE; i++)
        body[i] = (char)(i * 31 + i / 251);
    for (int r = 0; r < READERS; r++) {
        sl_reader_init(&readers[r], count_change, &rig.changes);
        assert_true(sl_reader_attach(&readers[r], &rig.answer));
    }
    sl_answer_set_head(&rig.answer, &(struct sl_response_head){.status = 200});
    size_t added = 0, left = READERS;
    while (left > 0) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t n = (size_t)(seed >> 40) % 9000;
        if (added < SIZE) {
            n = n < SIZE - added ? n : SIZE - added;
            assert_int_equal(sl_answer_add(&rig.answer, sl_slice_of(body + added, n)), SL_OK);
            added += n;
            sl_answer_publish(&rig.answer, added);
            if (added == SIZE)
                sl_answer_finish(&rig.answer);
        }
        int r = (int)((seed >> 33) % READERS);
        if (ended[r])
            continue;
        have[r] +=
            read_some(&readers[r], seen[r] + have[r], (size_t)(seed >> 35) % 12000, &ended[r]);
        ended[r] = ended[r] && have[r] == SIZE;
        if (ended[r]) {
            left--;
            sl_reader_detach(&readers[r]);
        }
    }
    for (int r = 0; r < READERS; r++)
        assert_memory_equal(seen[r], body, SIZE);
    rig_done(&rig);
}

static void what_all_have_read_is_dropped_and_closes_the_door(void **state) {
    (void)state;
    static char body[300000], out[300000];
    struct rig rig;
    struct sl_reader first, late;
    bool end;
    rig_init(&rig);
    sl_reader_init(&first, count_change, &rig.changes);
    sl_reader_init(&late, count_change, &rig.changes);
    assert_true(sl_reader_attach(&first, &rig.answer));
    sl_answer_set_head(&rig.answer, &(struct sl_response_head){.status = 200});
    assert_int_equal(sl_answer_add(&rig.answer, sl_slice_of(body, sizeof(body))), SL_OK);
    sl_answer_publish(&rig.answer, sizeof(body));
    size_t before = rig.budget.used;
    while (read_some(&first, out, sizeof(out), &end) > 0)
        ;
    assert_true(rig.budget.used < before / 2);
    assert_false(sl_reader_attach(&late, &rig.answer));
    sl_reader_detach(&first);
    rig_done(&rig);
}

static void what_is_retained_stays_until_let_go(void **state) {
    (void)state;
    static char body[300000], out[300000];
    struct rig rig;
    struct sl_reader first, late;
    bool end;
    size_t n;
    rig_init(&rig);
    rig.answer.retained = true;
    sl_reader_init(&first, count_change, &rig.changes);
    sl_reader_init(&late, count_change, &rig.changes);
    assert_true(sl_reader_attach(&first, &rig.answer));
    sl_answer_set_head(&rig.answer, &(struct sl_response_head){.status = 200});
    assert_int_equal(sl_answer_add(&rig.answer, sl_slice_of(body, sizeof(body))), SL_OK);
    sl_answer_publish(&rig.answer, sizeof(body));
    size_t before = rig.budget.used;
    while (read_some(&first, out, sizeof(out), &end) > 0)
        ;
    assert_int_equal(rig.budget.used, before);
    assert_int_equal(sl_answer_held(&rig.answer), 0);
    assert_true(sl_reader_attach(&late, &rig.answer));
    assert_int_equal(sl_answer_held(&rig.answer), sizeof(body));
    n = read_some(&late, out, 200000, &end);
    assert_int_equal(sl_answer_held(&rig.answer), sizeof(body) - n);
    sl_answer_let_go(&rig.answer);
    assert_true(rig.budget.used < before);
    assert_true(rig.budget.used >= sizeof(body) - n);
    sl_reader_detach(&late);
    while (read_some(&first, out, sizeof(out), &end) > 0)
        ;
    sl_answer_finish(&rig.answer);
    sl_reader_detach(&first);
    /* Nobody reads: what is left stays, to the last byte. */
    assert_int_equal(sl_answer_held(&rig.answer), sl_chain_len(&rig.answer.body));
    sl_answer_let_go(&rig.answer);
    assert_int_equal(sl_answer_held(&rig.answer), sl_chain_len(&rig.answer.body));
    rig_done(&rig);
}

static void a_packed_answer_reads_like_any(void **state) {
    (void)state;
    struct sl_answer answer;
    struct sl_reader a, b;
    struct sl_slice slices[4];
    char out[8];
    int changes = 0;
    bool end;
    sl_answer_init_packed(&answer, &(struct sl_response_head){.status = 201}, SL_LIT("packed"));
    assert_int_equal(answer.state, SL_ANSWER_DONE);
    assert_int_equal(answer.head.status, 201);
    sl_reader_init(&a, count_change, &changes);
    sl_reader_init(&b, count_change, &changes);
    assert_int_equal(sl_answer_held(&answer), 6);
    assert_true(sl_reader_attach(&a, &answer));
    assert_int_equal(sl_reader_peek(&a, slices, 0, &end), 0);
    assert_false(end);
    assert_int_equal(read_some(&a, out, 4, &end), 4);
    assert_memory_equal(out, "pack", 4);
    assert_int_equal(sl_answer_lag(&answer), 2);
    assert_int_equal(sl_answer_held(&answer), 2);
    assert_true(sl_reader_attach(&b, &answer));
    assert_int_equal(read_some(&b, out, sizeof(out), &end), 6);
    assert_memory_equal(out, "packed", 6);
    assert_true(end);
    assert_int_equal(read_some(&a, out, sizeof(out), &end), 2);
    assert_memory_equal(out, "ed", 2);
    assert_true(end);
    assert_int_equal(sl_reader_peek(&a, slices, 4, &end), 0);
    assert_true(end);
    sl_reader_detach(&a);
    sl_reader_detach(&b);
    sl_answer_done(&answer);
    sl_answer_init_packed(&answer, &(struct sl_response_head){.status = 200}, SL_EMPTY);
    assert_true(sl_reader_attach(&a, &answer));
    assert_int_equal(sl_reader_peek(&a, slices, 4, &end), 0);
    assert_true(end);
    sl_reader_detach(&a);
    sl_answer_done(&answer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_published_bytes_only),
        cmocka_unit_test(a_broken_answer_never_ends),
        cmocka_unit_test(many_readers_at_their_own_pace_see_the_same),
        cmocka_unit_test(what_all_have_read_is_dropped_and_closes_the_door),
        cmocka_unit_test(what_is_retained_stays_until_let_go),
        cmocka_unit_test(a_packed_answer_reads_like_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
