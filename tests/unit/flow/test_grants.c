/* Locations in S3 are found wherever they stand in a body, however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/internal.h"

static bool is_outside(const char *body, const char *prefix, size_t piece) {
    struct sl_grants_scan scan;
    struct sl_slice rest = sl_slice_str(body);
    sl_grants_begin(&scan, sl_slice_str(prefix));
    while (rest.len > 0) {
        sl_grants_feed(&scan, sl_slice_head(rest, piece));
        rest = sl_slice_skip(rest, piece);
    }
    bool outside = scan.outside;
    sl_grants_done(&scan);
    return outside;
}

static void check(const char *body, const char *prefix, bool outside) {
    assert_int_equal(is_outside(body, prefix, 1), outside);
    assert_int_equal(is_outside(body, prefix, SIZE_MAX), outside);
}

#define AT(uri)                                                                                    \
    "{\"messages\":[{\"content\":[{\"video\":{\"source\":{\"s3Location\":{\"uri\":\"" uri          \
    "\"}}}}]}]}"

static void locations_need_a_grant(void **state) {
    (void)state;
    check(AT("s3://bucket/key"), "", true);
    check(AT("s3://bucket/key"), "s3://bucket", false);
    check(AT("s3://bucket/key"), "s3://bucket/", false);
    check(AT("s3://bucket/key"), "s3://bucket/key", false);
    check(AT("s3://bucket/key"), "s3://", false); /* any location */
    check(AT("s3://bucket2/key"), "s3://bucket", true);
    check(AT("s3://bucket/key"), "s3://bucket/key/more", true);
    check(AT("s3://bucket/a/../b"), "s3://bucket/a", true);
    check(AT("s3:\\/\\/bucket\\u002fkey"), "s3://other", true); /* escapes hide nothing */
    check("{\"outputDataConfig\":{\"s3OutputDataConfig\":{\"s3Uri\":\"s3://b/o\"}}}", "", true);
    check("{\"s3\\u0055ri\":\"s3://b/o\"}", "", true);
    check(AT("S3://bucket/key"), "", true);
}

static void other_strings_are_none(void **state) {
    (void)state;
    check("{\"text\":\"s3://bucket/key\"}", "", false); /* somebody writes about S3 */
    check("{\"uri\":\"https://example.com\"}", "", false);
    check("{\"uris\":\"s3://bucket\"}", "", false);
    check("not json s3://bucket", "", false);
}

/* Bedrock may read on where this parser does not: such a body's locations are not known. */
static void what_cannot_be_read_is_told(void **state) {
    static const char *const bodies[] = {
        "{\"a\":\"\\ud800\",\"s3Uri\":\"s3://b/o\"}",
        "{} {\"s3Uri\":\"s3://b/o\"}",
        "{'s3Uri':'s3://b/o'}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct sl_grants_scan scan;
        sl_grants_begin(&scan, SL_EMPTY);
        sl_grants_feed(&scan, sl_slice_str(bodies[i]));
        assert_true(scan.unreadable || scan.outside);
        sl_grants_done(&scan);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locations_need_a_grant),
        cmocka_unit_test(other_strings_are_none),
        cmocka_unit_test(what_cannot_be_read_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
