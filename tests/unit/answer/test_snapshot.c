/* What is written comes back; what is cut or damaged is reported and costs no more than it must. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "entries.h"
#include "sluice/answer/snapshot.h"
#include "sluice/base/crc32.h"
#include "sluice/base/mem.h"

#define MIB ((uint64_t)1 << 20)

static struct sl_cache *make_cache(enum sl_cache_eviction eviction) {
    struct sl_cache *cache = sl_cache_new(
        &(struct sl_cache_settings){.max_bytes = 16 * MIB, .max_entry = MIB, .eviction = eviction});
    assert_non_null(cache);
    return cache;
}

static struct sl_kept *streamed_kept(uint64_t key) {
    struct sl_header headers[] = {
        {SL_LIT("Content-Type"), SL_LIT("application/vnd.amazon.eventstream")},
        {SL_LIT("x-empty"), SL_EMPTY}};
    struct sl_pace pace[] = {{10, 5}, {90, UINT32_MAX}};
    struct sl_response_head head = {200, {headers, 2, 2}, SL_LENGTH_UNKNOWN};
    struct sl_kept_meta meta = {
        .tenant = UINT64_MAX - 1,
        .model = SL_LIT("us.anthropic.claude-3-7"),
        .operation = SL_OP_CONVERSE_STREAM,
        .framing = SL_FRAMING_EVENTSTREAM,
        .usage = {1, -1, INT64_MAX, 4},
        .cost = -1,
        .stored_at = 1000,
        .expires_at = 9000,
        .pace = pace,
        .pace_count = 2,
    };
    memcpy(meta.digest, digest_of(key), SL_DIGEST_SIZE);
    return sl_kept_from(&head, body_of(key, 90), &meta);
}

static uint64_t write_all(struct sl_cache *cache, struct sl_buf *out) {
    uint64_t count = 0;
    sl_buf_init(out, 64 * MIB);
    assert_int_equal(sl_snapshot_begin(out), SL_OK);
    for (struct sl_kept *k = sl_cache_next(cache, NULL); k; k = sl_cache_next(cache, k), count++)
        assert_int_equal(sl_snapshot_record(out, k), SL_OK);
    assert_int_equal(sl_snapshot_end(out, count), SL_OK);
    return count;
}

static struct sl_snapshot_report load(struct sl_slice file, uint64_t now, struct sl_cache **cache) {
    struct sl_snapshot_report report;
    struct sl_cache *into = make_cache(SL_EVICT_TINYLFU);
    /* A copy of its own, so that a read past the end is seen by the sanitizer. */
    char *copy = malloc(file.len ? file.len : 1);
    memcpy(copy, file.ptr, file.len);
    sl_snapshot_load(into, sl_slice_of(copy, file.len), now, &report);
    free(copy);
    assert_true(report.taken <= sl_cache_stats(into).entries || report.damaged > 0);
    if (cache)
        *cache = into;
    else
        sl_cache_free(into);
    return report;
}

/* A small file: three entries, of which the second is a stream with all there is to an entry. */
static void small_file(struct sl_buf *out) {
    struct sl_cache *cache = make_cache(SL_EVICT_LRU);
    assert_true(sl_cache_put(
        cache, make_kept((struct entry){.key = 1, .size = 30, .expires_at = NEVER}), 0));
    assert_true(sl_cache_put(cache, streamed_kept(2), 0));
    assert_true(
        sl_cache_put(cache, make_kept((struct entry){.key = 3, .size = 0, .expires_at = 5000}), 0));
    assert_int_equal(write_all(cache, out), 3);
    sl_cache_free(cache);
}

static void everything_comes_back(void **state) {
    (void)state;
    struct sl_buf file;
    struct sl_cache *cache;
    small_file(&file);
    struct sl_snapshot_report report = load(sl_buf_slice(&file), 4999, &cache);
    assert_int_equal(report.taken, 3);
    assert_int_equal(report.expired + report.damaged, 0);
    assert_null(report.ignored);
    struct sl_kept *kept = sl_cache_find(cache, digest_of(2), 4999);
    assert_non_null(kept);
    const struct sl_kept_meta *meta = &kept->meta;
    assert_true(meta->tenant == UINT64_MAX - 1 && meta->cost == -1);
    assert_true(sl_slice_eq(meta->model, SL_LIT("us.anthropic.claude-3-7")));
    assert_int_equal(meta->operation, SL_OP_CONVERSE_STREAM);
    assert_int_equal(meta->framing, SL_FRAMING_EVENTSTREAM);
    assert_true(meta->usage.input == 1 && meta->usage.output == -1);
    assert_true(meta->usage.cache_read == INT64_MAX && meta->usage.cache_write == 4);
    assert_true(meta->stored_at == 1000 && meta->expires_at == 9000);
    assert_int_equal(meta->pace_count, 2);
    assert_true(meta->pace[0].upto == 10 && meta->pace[0].ms == 5);
    assert_true(meta->pace[1].upto == 90 && meta->pace[1].ms == UINT32_MAX);
    const struct sl_response_head *head = &kept->answer.head;
    assert_true(head->status == 200 && head->content_length == SL_LENGTH_UNKNOWN);
    assert_int_equal(head->headers.count, 2);
    assert_true(sl_slice_eq(head->headers.items[0].name, SL_LIT("Content-Type")));
    assert_true(sl_slice_eq(head->headers.items[1].name, SL_LIT("x-empty")));
    assert_int_equal(head->headers.items[1].value.len, 0);
    assert_int_equal(kept->answer.packed.len, 90);
    assert_memory_equal(kept->answer.packed.ptr, body_of(2, 90).ptr, 90);
    assert_int_equal(sl_cache_find(cache, digest_of(1), 0)->answer.head.content_length, 30);
    sl_cache_free(cache);
    sl_buf_done(&file);
}

static void what_has_expired_stays_out(void **state) {
    (void)state;
    struct sl_buf file;
    small_file(&file);
    struct sl_snapshot_report report = load(sl_buf_slice(&file), 5000, NULL);
    assert_int_equal(report.taken, 2);
    assert_int_equal(report.expired, 1);
    assert_null(report.ignored);
    sl_buf_done(&file);
}

/* Writing what was read gives the same bytes: order and segments are kept. */
static void a_copy_of_a_copy_is_the_same(void **state) {
    (void)state;
    struct sl_cache *cache = make_cache(SL_EVICT_TINYLFU), *again;
    struct sl_buf first, second;
    uint64_t seed = 5;
    for (int i = 0; i < 4000; i++) {
        uint64_t r = next_random(&seed), key = r % 700;
        if (!sl_cache_find(cache, digest_of(key), 0))
            sl_cache_put(cache,
                         make_kept((struct entry){
                             .key = key, .size = (size_t)(r >> 40) % 30000, .expires_at = NEVER}),
                         0);
    }
    uint64_t count = write_all(cache, &first);
    assert_true(count > 500);
    struct sl_snapshot_report report = load(sl_buf_slice(&first), 0, &again);
    assert_int_equal(report.taken, count);
    assert_int_equal(write_all(again, &second), count);
    assert_true(sl_slice_eq(sl_buf_slice(&first), sl_buf_slice(&second)));
    /* Into a smaller cache: the most valuable stay. */
    sl_cache_configure(again, &(struct sl_cache_settings){0});
    while (sl_cache_tend(again, 0))
        ;
    sl_cache_configure(again, &(struct sl_cache_settings){4 * MIB, MIB, SL_EVICT_TINYLFU});
    struct sl_kept *last = NULL;
    for (struct sl_kept *k = sl_cache_next(cache, NULL); k; k = sl_cache_next(cache, k))
        last = k;
    sl_snapshot_load(again, sl_buf_slice(&first), 0, &report);
    assert_null(report.ignored);
    assert_true(sl_cache_stats(again).bytes <= 4 * MIB);
    assert_non_null(sl_cache_find(again, last->meta.digest, 0));
    sl_cache_free(cache);
    sl_cache_free(again);
    sl_buf_done(&first);
    sl_buf_done(&second);
}

/* Whatever the file is cut to, the whole records before the cut are taken and the cut is said. */
static void cut_at_every_byte(void **state) {
    (void)state;
    struct sl_buf file;
    uint64_t taken = 0;
    small_file(&file);
    for (size_t len = 0; len < file.len; len++) {
        struct sl_snapshot_report report = load(sl_slice_of(file.ptr, len), 0, NULL);
        assert_non_null(report.ignored);
        assert_string_equal(report.ignored, "cut");
        assert_int_equal(report.damaged, 0);
        assert_true(report.taken >= taken && report.taken <= taken + 1);
        taken = report.taken;
    }
    assert_int_equal(taken, 3);
    /* And what follows the end does not belong there. */
    assert_int_equal(sl_buf_add_byte(&file, 0), SL_OK);
    assert_string_equal(load(sl_buf_slice(&file), 0, NULL).ignored, "damaged");
    sl_buf_done(&file);
}

/* Every single bit: always noticed, one record at most is lost where lengths hold, and what is
 * taken is right. */
static void flipped_at_every_bit(void **state) {
    (void)state;
    struct sl_buf file;
    uint64_t one_lost = 0;
    small_file(&file);
    for (size_t bit = 0; bit < file.len * 8; bit++) {
        struct sl_cache *cache;
        file.ptr[bit / 8] ^= (char)(1 << bit % 8);
        struct sl_snapshot_report report = load(sl_buf_slice(&file), 0, &cache);
        file.ptr[bit / 8] ^= (char)(1 << bit % 8);
        assert_true(report.ignored || report.damaged == 1);
        assert_true(report.taken <= 3);
        if (!report.ignored) {
            assert_int_equal(report.taken, 2);
            one_lost++;
        }
        struct sl_kept *kept = sl_cache_find(cache, digest_of(1), 0);
        if (kept)
            assert_memory_equal(kept->answer.packed.ptr, body_of(1, 30).ptr, 30);
        sl_cache_free(cache);
    }
    assert_true(one_lost > file.len * 8 / 2);
    sl_buf_done(&file);
}

static void put_u32(char *at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        at[i] = (char)(value >> (8 * i));
}

static void another_version_is_left_alone(void **state) {
    (void)state;
    struct sl_buf file;
    small_file(&file);
    put_u32(file.ptr + 8, SL_SNAPSHOT_VERSION + 1);
    put_u32(file.ptr + 12, sl_crc32(0, sl_slice_of(file.ptr, 12)));
    struct sl_snapshot_report report = load(sl_buf_slice(&file), 0, NULL);
    assert_string_equal(report.ignored, "version");
    assert_int_equal(report.taken, 0);
    sl_buf_done(&file);
}

/* Checksums that hold over nonsense: no field is trusted. */
static void lies_with_right_checksums(void **state) {
    (void)state;
    struct sl_buf file;
    struct sl_cache *cache = make_cache(SL_EVICT_LRU);
    assert_true(sl_cache_put(cache, streamed_kept(1), 0));
    write_all(cache, &file);
    sl_cache_free(cache);
    const size_t start = 32, size = file.len - 28 - 4 - start; /* heads, CRC, end record */
    char *payload = file.ptr + start, saved[4];
    size_t damaged = 0;
    for (size_t at = 0; at + 4 <= size; at++) {
        static const uint32_t lies[] = {0, 1, 0x7f, 0xffff, INT32_MAX, UINT32_MAX};
        for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
            memcpy(saved, payload + at, 4);
            put_u32(payload + at, lies[i]);
            put_u32(payload + size, sl_crc32(0, sl_slice_of(payload, size)));
            struct sl_snapshot_report report = load(sl_buf_slice(&file), 0, NULL);
            assert_null(report.ignored);
            assert_int_equal(report.taken + report.damaged + report.expired, 1);
            damaged += report.damaged;
            memcpy(payload + at, saved, 4);
        }
    }
    assert_true(damaged > 100);
    sl_buf_done(&file);
}

/* A record is as long as what is in it. */
static void more_than_an_entry_is_damage(void **state) {
    (void)state;
    struct sl_buf file, longer;
    struct sl_cache *cache = make_cache(SL_EVICT_LRU);
    assert_true(sl_cache_put(cache, streamed_kept(1), 0));
    write_all(cache, &file);
    sl_cache_free(cache);
    const size_t start = 32, size = file.len - 28 - 4 - start;
    char crc[4];
    sl_buf_init(&longer, MIB);
    assert_int_equal(sl_buf_add(&longer, sl_slice_of(file.ptr, start + size)), SL_OK);
    put_u32(longer.ptr + 20, (uint32_t)size + 1);
    put_u32(longer.ptr + 28, sl_crc32(0, sl_slice_of(longer.ptr + 16, 12)));
    assert_int_equal(sl_buf_add_byte(&longer, 'x'), SL_OK);
    put_u32(crc, sl_crc32(0, sl_slice_of(longer.ptr + start, size + 1)));
    assert_int_equal(sl_buf_add(&longer, sl_slice_of(crc, 4)), SL_OK);
    assert_int_equal(sl_snapshot_end(&longer, 1), SL_OK);
    struct sl_snapshot_report report = load(sl_buf_slice(&longer), 0, NULL);
    assert_null(report.ignored);
    assert_int_equal(report.damaged, 1);
    assert_int_equal(report.taken, 0);
    sl_buf_done(&file);
    sl_buf_done(&longer);
}

/* Without a pace that makes sense an answer is still an answer. */
static void a_pace_out_of_order_is_left_out(void **state) {
    (void)state;
    static struct sl_pace paces[][2] = {{{10, 1}, {9, 2}}, {{10, 1}, {91, 2}}, {{10, 1}, {90, 2}}};
    for (int i = 0; i < 3; i++) {
        struct sl_buf file;
        struct sl_cache *cache = make_cache(SL_EVICT_LRU), *again;
        struct sl_response_head head = {.status = 200, .content_length = SL_LENGTH_UNKNOWN};
        struct sl_kept_meta meta = {.expires_at = NEVER, .pace = paces[i], .pace_count = 2};
        memcpy(meta.digest, digest_of(1), SL_DIGEST_SIZE);
        assert_true(sl_cache_put(cache, sl_kept_from(&head, body_of(1, 90), &meta), 0));
        write_all(cache, &file);
        assert_int_equal(load(sl_buf_slice(&file), 0, &again).taken, 1);
        struct sl_kept *kept = sl_cache_find(again, digest_of(1), 0);
        assert_int_equal(kept->meta.pace_count, i == 2 ? 2 : 0);
        sl_cache_free(cache);
        sl_cache_free(again);
        sl_buf_done(&file);
    }
}

static void lack_of_memory_loses_entries_not_the_process(void **state) {
    (void)state;
    struct sl_buf file;
    small_file(&file);
    for (uint64_t n = 1; n < 12; n++) {
        struct sl_snapshot_report report;
        struct sl_cache *cache = make_cache(SL_EVICT_LRU);
        sl_mem_fail_after(n);
        sl_snapshot_load(cache, sl_buf_slice(&file), 0, &report);
        sl_mem_fail_after(0);
        assert_null(report.ignored);
        assert_int_equal(report.damaged, 0);
        assert_true(report.taken >= 2);
        sl_cache_free(cache);
    }
    struct sl_kept *kept = streamed_kept(1);
    struct sl_buf small;
    sl_buf_init(&small, 100);
    assert_int_equal(sl_snapshot_record(&small, kept), SL_E_LIMIT);
    assert_int_equal(small.len, 0);
    sl_buf_done(&small);
    sl_kept_release(kept);
    sl_buf_done(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_back),
        cmocka_unit_test(what_has_expired_stays_out),
        cmocka_unit_test(a_copy_of_a_copy_is_the_same),
        cmocka_unit_test(cut_at_every_byte),
        cmocka_unit_test(flipped_at_every_bit),
        cmocka_unit_test(another_version_is_left_alone),
        cmocka_unit_test(lies_with_right_checksums),
        cmocka_unit_test(more_than_an_entry_is_damage),
        cmocka_unit_test(a_pace_out_of_order_is_left_out),
        cmocka_unit_test(lack_of_memory_loses_entries_not_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
