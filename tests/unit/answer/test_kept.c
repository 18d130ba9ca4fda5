/* A kept answer is a faithful copy in one block, lives as long as somebody holds it, and reads like
 * the answer it was made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "entries.h"
#include "sluice/base/mem.h"

static void ignore_change(void *ctx) {
    (void)ctx;
}

static struct sl_headers headers_of(struct sl_header *items, size_t count) {
    return (struct sl_headers){.items = items, .count = count, .cap = count};
}

static size_t read_all(struct sl_answer *answer, char *out) {
    struct sl_reader reader;
    struct sl_slice slices[3];
    size_t len = 0, n;
    bool end = false;
    sl_reader_init(&reader, ignore_change, NULL);
    assert_true(sl_reader_attach(&reader, answer));
    while ((n = sl_reader_peek(&reader, slices, 3, &end)) > 0) {
        size_t taken = 0;
        for (size_t i = 0; i < n; i++) {
            memcpy(out + len + taken, slices[i].ptr, slices[i].len);
            taken += slices[i].len;
        }
        sl_reader_advance(&reader, taken);
        len += taken;
    }
    assert_true(end);
    sl_reader_detach(&reader);
    return len;
}

static void copies_the_answer_into_one_block(void **state) {
    (void)state;
    enum { SIZE = 200000 };
    static char body[SIZE], out[SIZE];
    struct sl_arena arena;
    struct sl_budget budget;
    struct sl_answer answer;
    struct sl_pace pace[] = {{100, 7}, {SIZE, 950}};
    char name[] = "Content-Type", value[] = "text/event-stream", model[] = "meta.llama3-8b";
    struct sl_header items[] = {{sl_slice_str(name), sl_slice_str(value)}};
    struct sl_kept_meta meta = {.tenant = 9,
                                .model = sl_slice_str(model),
                                .cost = 125,
                                .usage = {1, 2, 3, 4},
                                .pace = pace,
                                .pace_count = 2};
    memcpy(meta.digest, digest_of(77), SL_DIGEST_SIZE);
    for (int i = 0; i < SIZE; i++)
        body[i] = (char)(i * 13 + i / 255);
    sl_arena_init(&arena, 4096);
    sl_budget_init(&budget, SIZE_MAX, NULL);
    sl_answer_init(&answer, &arena, &budget);
    answer.retained = true;
    sl_answer_set_head(&answer, &(struct sl_response_head){200, headers_of(items, 1), SIZE});
    assert_int_equal(sl_answer_add(&answer, sl_slice_of(body, SIZE)), SL_OK);
    sl_answer_finish(&answer);

    struct sl_mem_stats before = sl_mem_stats();
    struct sl_kept *kept = sl_kept_new(&answer, &meta);
    assert_non_null(kept);
    assert_int_equal(sl_mem_stats().blocks - before.blocks, 1);
    assert_int_equal(sl_mem_stats().bytes - before.bytes, kept->size);
    /* What it was made of may go. */
    sl_answer_done(&answer);
    sl_arena_done(&arena);
    memset(name, 'x', sizeof(name) - 1);
    memset(value, 'x', sizeof(value) - 1);
    memset(model, 'x', sizeof(model) - 1);
    memset(pace, 0, sizeof(pace));

    assert_int_equal(kept->answer.state, SL_ANSWER_DONE);
    assert_int_equal(kept->answer.head.status, 200);
    assert_int_equal(kept->answer.head.content_length, SIZE);
    assert_int_equal(kept->answer.head.headers.count, 1);
    struct sl_slice got = sl_headers_get(&kept->answer.head.headers, SL_LIT("content-type"));
    assert_true(sl_slice_eq(got, SL_LIT("text/event-stream")));
    assert_true(sl_slice_eq(kept->meta.model, SL_LIT("meta.llama3-8b")));
    assert_int_equal(kept->meta.pace_count, 2);
    assert_int_equal(kept->meta.pace[1].upto, SIZE);
    assert_int_equal(kept->meta.pace[1].ms, 950);
    assert_int_equal(kept->meta.usage.cache_write, 4);
    assert_int_equal(read_all(&kept->answer, out), SIZE);
    assert_memory_equal(out, body, SIZE);

    /* A copy of a copy. */
    struct sl_kept *again = sl_kept_new(&kept->answer, &kept->meta);
    sl_kept_release(kept);
    memset(out, 0, SIZE);
    assert_int_equal(read_all(&again->answer, out), SIZE);
    assert_memory_equal(out, body, SIZE);
    assert_true(sl_slice_eq(again->meta.model, SL_LIT("meta.llama3-8b")));
    sl_kept_release(again);
    sl_chunk_pool_done();
}

static void leaves_out_what_belongs_to_one_delivery(void **state) {
    (void)state;
    struct sl_header items[] = {
        {SL_LIT("Date"), SL_LIT("Mon, 01 Jan 2024 00:00:00 GMT")},
        {SL_LIT("x-amzn-RequestId"), SL_LIT("5d2c6b8e")},
        {SL_LIT("Content-Type"), SL_LIT("application/json")},
        {SL_LIT("X-Amzn-Bedrock-Invocation-Latency"), SL_LIT("950")},
        {SL_LIT("X-Amz-Cf-Pop"), SL_LIT("IAD89-C1")},
        {SL_LIT("X-Amz-Cf-Id"), SL_LIT("abc")},
        {SL_LIT("Connection"), SL_LIT("keep-alive, x-hop")},
        {SL_LIT("X-Hop"), SL_LIT("1")},
        {SL_LIT("Transfer-Encoding"), SL_LIT("chunked")},
        {SL_LIT("Set-Cookie"), SL_LIT("a=b")},
        {SL_LIT("Content-Length"), SL_LIT("2")},
        {SL_LIT("x-amzn-bedrock-input-token-count"), SL_LIT("12")},
        {SL_LIT("X-Amzn-Bedrock-Output-Token-Count"), SL_LIT("34")},
        {SL_LIT("x-empty"), SL_EMPTY},
    };
    static const char *const stay[] = {"Content-Type", "x-amzn-bedrock-input-token-count",
                                       "X-Amzn-Bedrock-Output-Token-Count", "x-empty"};
    struct sl_response_head head = {200, headers_of(items, sizeof(items) / sizeof(items[0])),
                                    SL_LENGTH_UNKNOWN};
    struct sl_kept *kept = sl_kept_from(&head, SL_LIT("{}"), &(struct sl_kept_meta){0});
    assert_non_null(kept);
    const struct sl_headers *got = &kept->answer.head.headers;
    assert_int_equal(got->count, sizeof(stay) / sizeof(stay[0]));
    for (size_t i = 0; i < got->count; i++)
        assert_true(sl_slice_eq(got->items[i].name, sl_slice_str(stay[i])));
    assert_true(sl_slice_eq(got->items[2].value, SL_LIT("34")));
    sl_kept_release(kept);
}

static void lives_as_long_as_it_is_held(void **state) {
    (void)state;
    uint64_t before = sl_mem_stats().blocks;
    struct sl_kept *kept = make_kept((struct entry){.key = 1, .size = 10});
    sl_kept_hold(kept);
    sl_kept_release(kept);
    assert_int_equal(kept->refs, 1);
    assert_memory_equal(kept->answer.packed.ptr, body_of(1, 10).ptr, 10);
    sl_kept_release(kept);
    sl_kept_release(NULL);
    assert_int_equal(sl_mem_stats().blocks, before);
}

static void an_empty_body_ends_at_once(void **state) {
    (void)state;
    char out[1];
    struct sl_kept *kept = make_kept((struct entry){.key = 1, .size = 0});
    assert_int_equal(read_all(&kept->answer, out), 0);
    sl_kept_release(kept);
}

static void without_memory_there_is_none(void **state) {
    (void)state;
    sl_mem_fail_after(1);
    assert_null(make_kept((struct entry){.key = 1, .size = 10}));
    sl_mem_fail_after(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_the_answer_into_one_block),
        cmocka_unit_test(leaves_out_what_belongs_to_one_delivery),
        cmocka_unit_test(lives_as_long_as_it_is_held),
        cmocka_unit_test(an_empty_body_ends_at_once),
        cmocka_unit_test(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
