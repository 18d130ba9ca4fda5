/* What headers wish of the gateway: read, refused, or as if not there; and what is not sent on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "sluice/base/clock.h"
#include "sluice/base/mem.h"
#include "sluice/dialect/wishes.h"

#define HEADERS_MAX 4

struct rig {
    struct sl_arena arena;
    struct sl_call call;
    struct sl_decode decode;
    struct sl_header items[HEADERS_MAX];
    struct sl_request_head head;
};

static void rig_init(struct rig *rig) {
    *rig = (struct rig){0};
    sl_arena_init(&rig->arena, 65536);
    rig->decode = (struct sl_decode){.arena = &rig->arena, .call = &rig->call};
    rig->head.headers = (struct sl_headers){rig->items, 0, HEADERS_MAX};
    memset(&rig->call.cache, 0x7f, sizeof(rig->call.cache)); /* all of it must be set */
    rig->call.timeout_ms = 77;
}

static void add(struct rig *rig, const char *name, const char *value) {
    rig->items[rig->head.headers.count++] =
        (struct sl_header){sl_slice_str(name), sl_slice_str(value)};
}

static void wish(struct rig *rig) {
    assert_int_equal(sl_wishes_read(&rig->decode, &rig->head), SL_OK);
}

static void nothing_said(void **state) {
    struct rig rig;
    (void)state;
    rig_init(&rig);
    add(&rig, "content-type", "application/json");
    wish(&rig);
    assert_int_equal(rig.decode.failure, SL_FAILURE_NONE);
    assert_int_equal(rig.call.timeout_ms, 0);
    assert_int_equal(rig.call.priority, SL_CLASS_COUNT);
    assert_false(rig.call.cache.no_store || rig.call.cache.no_cache);
    assert_false(rig.call.cache.only_if_cached);
    assert_int_equal(rig.call.cache.max_age, -1);
    sl_arena_done(&rig.arena);
}

static void timeouts(void **state) {
    static const struct {
        const char *own;
        uint64_t ms; /* 0: refused */
    } cases[] = {
        {"30s", 30000},
        {"1500ms", 1500},
        {"30", 30000},
        {"0.25", 250},
        {"1.5s", 1500},
        {"2m", 120000},
        {"1h", 3600000},
        {"10 s", 10000},
        {"0.0001", 1}, /* never rounded to nothing */
        {"1.0000001", 1001},
        {"0.00000000001", 1},
        {"1000000000s", 1000000000000},
        {"1000000001s", 0},
        {"99999999999999999999", 0},
        {"0", 0},
        {"0.0s", 0},
        {"", 0},
        {"s", 0},
        {"-1", 0},
        {"1d", 0},
        {"1.", 0},
        {".5", 0},
        {"1e3", 0},
        {"1,5", 0},
        {"30s30s", 0},
        {"inf", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        rig_init(&rig);
        add(&rig, "X-Sluice-Timeout", cases[i].own);
        add(&rig, "x-stainless-timeout", "5");
        wish(&rig);
        if (rig.call.timeout_ms != cases[i].ms)
            fail_msg("'%s' gives %llu", cases[i].own, (unsigned long long)rig.call.timeout_ms);
        bool refused = cases[i].ms == 0;
        assert_int_equal(rig.decode.failure, refused ? SL_FAILURE_VALIDATION : SL_FAILURE_NONE);
        if (refused)
            assert_true(sl_slice_search(rig.decode.message, SL_LIT("x-sluice-timeout")) <
                        rig.decode.message.len);
        sl_arena_done(&rig.arena);
    }
}

static void timeouts_of_sdks(void **state) {
    struct rig rig;
    char ttl[SL_AMZ_DATE_SIZE], header[100];
    (void)state;
    rig_init(&rig);
    sl_clock_amz_date(sl_clock_wall_ms() + 90000, ttl);
    (void)snprintf(header, sizeof(header), "ttl=%s; attempt=1; max=3", ttl);
    add(&rig, "amz-sdk-request", header);
    wish(&rig);
    assert_in_range(rig.call.timeout_ms, 60000, 90000); /* the date has no milliseconds */

    add(&rig, "x-stainless-timeout", "600");
    wish(&rig);
    assert_int_equal(rig.call.timeout_ms, 600000);

    rig.items[1].value = SL_LIT("NaN"); /* a client's affair: the next one counts */
    wish(&rig);
    assert_in_range(rig.call.timeout_ms, 60000, 90000);

    rig.items[0].value = SL_LIT("attempt=2; ttl=20150830T123600Z");
    wish(&rig);
    assert_int_equal(rig.call.timeout_ms, 1); /* long gone */

    static const char *const none[] = {"attempt=1; max=3", "ttl=", "ttl=soon", ""};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        rig.items[0].value = sl_slice_str(none[i]);
        wish(&rig);
        assert_int_equal(rig.call.timeout_ms, 0);
    }
    assert_int_equal(rig.decode.failure, SL_FAILURE_NONE);
    sl_arena_done(&rig.arena);
}

static void priorities(void **state) {
    static const struct {
        const char *value;
        enum sl_class priority;
    } cases[] = {
        {"interactive", SL_CLASS_INTERACTIVE},
        {"normal", SL_CLASS_NORMAL},
        {"batch", SL_CLASS_BATCH},
        {"urgent", SL_CLASS_COUNT},
        {"", SL_CLASS_COUNT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        rig_init(&rig);
        add(&rig, "x-sluice-priority", cases[i].value);
        wish(&rig);
        assert_int_equal(rig.call.priority, cases[i].priority);
        if (cases[i].priority == SL_CLASS_COUNT) {
            assert_int_equal(rig.decode.failure, SL_FAILURE_VALIDATION);
            assert_true(
                sl_slice_search(rig.decode.message, SL_LIT("interactive, normal or batch")) <
                rig.decode.message.len);
        }
        sl_arena_done(&rig.arena);
    }
}

static void cache_directives(void **state) {
    static const struct {
        const char *first, *second;
        bool no_store, no_cache, only;
        int64_t age;
    } cases[] = {
        {"no-store", "x", true, false, false, -1},
        {"No-Cache", "x", false, true, false, -1},
        {"x, no-cache ,only-if-cached", "no-store", true, true, true, -1},
        {"max-age=60", "x", false, false, false, 60},
        {"max-age=\"60\"", "MAX-AGE=5", false, false, false, 5},
        {"max-age=0", "max-age=9", false, false, false, 0},
        {"max-age=soon", "x", false, false, false, 0},
        {"max-age", "x", false, false, false, 0},
        {"max-age=99999999999999999", "x", false, false, false, INT32_MAX},
        {"max-age=4294967296", "x", false, false, false, INT32_MAX},
        {"no-stores, xno-cache", "", false, false, false, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        rig_init(&rig);
        add(&rig, "Cache-Control", cases[i].first);
        add(&rig, "cache-control", cases[i].second);
        wish(&rig);
        assert_int_equal(rig.call.cache.no_store, cases[i].no_store);
        assert_int_equal(rig.call.cache.no_cache, cases[i].no_cache);
        assert_int_equal(rig.call.cache.only_if_cached, cases[i].only);
        assert_int_equal(rig.call.cache.max_age, cases[i].age);
        sl_arena_done(&rig.arena);
    }
}

static void what_is_not_sent_on(void **state) {
    (void)state;
    assert_true(sl_wishes_own_header(SL_LIT("X-Sluice-Anything")));
    assert_true(sl_wishes_own_header(SL_LIT("x-stainless-lang")));
    assert_true(sl_wishes_own_header(SL_LIT("Cache-Control")));
    assert_false(sl_wishes_own_header(SL_LIT("x-sluic")));
    assert_false(sl_wishes_own_header(SL_LIT("cache-controls")));
    assert_false(sl_wishes_own_header(SL_LIT("content-type")));
    assert_false(sl_wishes_own_header(SL_EMPTY));
}

static void no_memory_for_a_refusal(void **state) {
    struct rig rig;
    (void)state;
    rig_init(&rig);
    add(&rig, "x-sluice-priority", "urgent");
    sl_mem_fail_after(1);
    assert_int_equal(sl_wishes_read(&rig.decode, &rig.head), SL_E_NOMEM);
    assert_int_equal(sl_mem_fail_after(0), 0);
    sl_arena_done(&rig.arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said),
        cmocka_unit_test(timeouts),
        cmocka_unit_test(timeouts_of_sdks),
        cmocka_unit_test(priorities),
        cmocka_unit_test(cache_directives),
        cmocka_unit_test(what_is_not_sent_on),
        cmocka_unit_test(no_memory_for_a_refusal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
