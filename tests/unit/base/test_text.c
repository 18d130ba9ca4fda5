/* Slices, buffers, arenas, dates: the small things everything stands on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

#include "sluice/base/arena.h"
#include "sluice/base/buf.h"
#include "sluice/base/clock.h"
#include "sluice/base/mem.h"
#include "sluice/base/rand.h"

static void assert_slice(struct sl_slice s, const char *expected) {
    assert_int_equal(s.len, strlen(expected));
    assert_memory_equal(s.ptr, expected, s.len);
}

static void slices_split_at_every_separator(void **state) {
    (void)state;
    struct sl_slice rest = SL_LIT("a,,b"), part;
    assert_true(sl_slice_split(&rest, ',', &part));
    assert_slice(part, "a");
    assert_true(sl_slice_split(&rest, ',', &part));
    assert_slice(part, "");
    assert_true(sl_slice_split(&rest, ',', &part));
    assert_slice(part, "b");
    assert_false(sl_slice_split(&rest, ',', &part));
    rest = SL_EMPTY;
    assert_true(sl_slice_split(&rest, ',', &part));
    assert_false(sl_slice_split(&rest, ',', &part));
}

static void numbers_are_digits_and_fit(void **state) {
    (void)state;
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616"};
    uint64_t value = 42;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sl_slice_u64(sl_slice_str(bad[i]), &value));
    assert_int_equal(value, 42);
    assert_true(sl_slice_u64(SL_LIT("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
}

static void compares_without_regard_to_case(void **state) {
    (void)state;
    assert_true(sl_slice_ieq(SL_LIT("Content-TYPE"), SL_LIT("content-type")));
    assert_false(sl_slice_ieq(SL_LIT("content-type"), SL_LIT("content_type")));
    assert_false(sl_slice_ieq(SL_LIT("@"), SL_LIT("`"))); /* differ by the case bit only */
    assert_true(sl_slice_eq_secret(SL_LIT("abc"), SL_LIT("abc")));
    assert_false(sl_slice_eq_secret(SL_LIT("abc"), SL_LIT("abd")));
    assert_false(sl_slice_eq_secret(SL_LIT("abc"), SL_LIT("abcd")));
}

static void buffers_stop_at_their_maximum(void **state) {
    (void)state;
    struct sl_buf buf;
    sl_buf_init(&buf, 10);
    assert_int_equal(sl_buf_add_str(&buf, "0123456"), SL_OK);
    assert_int_equal(sl_buf_add_str(&buf, "789x"), SL_E_LIMIT);
    assert_slice(sl_buf_slice(&buf), "0123456");
    assert_int_equal(sl_buf_printf(&buf, "%d", 789), SL_OK);
    assert_int_equal(sl_buf_printf(&buf, "%d", 1), SL_E_LIMIT);
    assert_slice(sl_buf_slice(&buf), "0123456789");
    sl_buf_done(&buf);
}

static void json_strings_are_escaped(void **state) {
    (void)state;
    struct sl_buf buf;
    sl_buf_init(&buf, 1000);
    assert_int_equal(sl_buf_add_json(&buf, sl_slice_of("a\"\\\n\t\0\x1f\x7f\xc3\xa9z", 11)), SL_OK);
    assert_slice(sl_buf_slice(&buf), "\"a\\\"\\\\\\n\\t\\u0000\\u001f\\u007f\xc3\xa9z\"");
    sl_buf_done(&buf);
}

static void arenas_stop_at_their_maximum(void **state) {
    (void)state;
    struct sl_arena arena;
    sl_arena_init(&arena, 10000);
    size_t taken = 0;
    for (char *p; (p = sl_arena_alloc(&arena, 100)) != NULL; taken += 112) {
        assert_int_equal((uintptr_t)p % 16, 0);
        memset(p, 1, 100);
    }
    assert_true(taken > 5000 && taken <= 10000);
    assert_true(arena.used <= 10000);
    sl_arena_done(&arena);
    sl_mem_fail_after(1);
    assert_null(sl_arena_alloc(&arena, 1));
    sl_mem_fail_after(0);
    sl_arena_done(&arena);
}

static void dates_agree_with_libc(void **state) {
    (void)state;
    for (int64_t s = -3000000000; s < 40000000000; s += 86399 * 517) {
        time_t t = (time_t)s;
        struct tm tm;
        char expected[64], amz[SL_AMZ_DATE_SIZE], http[SL_HTTP_DATE_SIZE], iso[SL_ISO_DATE_SIZE];
        gmtime_r(&t, &tm);
        sl_clock_amz_date(s * 1000 + 7, amz);
        assert_true(strftime(expected, sizeof(expected), "%Y%m%dT%H%M%SZ", &tm) > 0);
        assert_string_equal(amz, expected);
        sl_clock_http_date(s * 1000, http);
        assert_true(strftime(expected, sizeof(expected), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
        assert_string_equal(http, expected);
        sl_clock_iso_date(s * 1000 + 7, iso);
        assert_true(strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.007Z", &tm) > 0);
        assert_string_equal(iso, expected);
        int64_t back;
        assert_int_equal(sl_clock_parse_iso(iso, strlen(iso), &back), SL_OK);
        assert_true(back == s * 1000 + 7);
        assert_int_equal(sl_clock_parse_iso(amz, strlen(amz), &back), SL_OK);
        assert_true(back == s * 1000);
    }
}

static void dates_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "2015",
                                      "2015-08-30",
                                      "2015-13-30T12:36:00Z",
                                      "garbage",
                                      "2015-08-30T25:00:00Z",
                                      "2015-08-30T12:36:00Zx"};
    int64_t ms = 5;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sl_clock_parse_iso(bad[i], strlen(bad[i]), &ms), SL_E_INVALID);
    assert_int_equal(ms, 5);
    assert_int_equal(sl_clock_parse_iso("2015-08-30T12:36:00+00:00", 25, &ms), SL_OK);
}

static void uuids_have_their_form(void **state) {
    (void)state;
    char a[SL_UUID_SIZE], b[SL_UUID_SIZE];
    sl_rand_uuid(a);
    sl_rand_uuid(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_not_equal(a, b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_split_at_every_separator),
        cmocka_unit_test(numbers_are_digits_and_fit),
        cmocka_unit_test(compares_without_regard_to_case),
        cmocka_unit_test(buffers_stop_at_their_maximum),
        cmocka_unit_test(json_strings_are_escaped),
        cmocka_unit_test(arenas_stop_at_their_maximum),
        cmocka_unit_test(dates_agree_with_libc),
        cmocka_unit_test(dates_that_are_none_are_refused),
        cmocka_unit_test(uuids_have_their_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
