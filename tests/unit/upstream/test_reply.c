#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "upstream/reply.h"

static enum sl_reply_hint hint(int status, const char *type) {
    const struct sl_fetch_header headers[] = {
        {SL_LIT("Content-Type"), SL_LIT("application/json")},
        {SL_LIT("X-Amzn-ErrorType"), sl_slice_str(type)},
    };
    return sl_reply_hint(&(struct sl_fetch_head){
        .status = status, .headers = headers, .header_count = type ? 2 : 1});
}

static void test_hints(void **state) {
    (void)state;
    assert_int_equal(hint(403, "ExpiredTokenException:http://internal.amazon.com/coral/"),
                     SL_REPLY_CREDENTIALS);
    assert_int_equal(hint(403, "com.amazon.coral#UnrecognizedClientException"),
                     SL_REPLY_CREDENTIALS);
    assert_int_equal(hint(400, "ExpiredToken"), SL_REPLY_CREDENTIALS);
    assert_int_equal(hint(401, "InvalidClientTokenId"), SL_REPLY_CREDENTIALS);
    assert_int_equal(hint(403, "InvalidSignatureException"), SL_REPLY_SIGNATURE);
    assert_int_equal(hint(400, "RequestExpired"), SL_REPLY_SIGNATURE);
    assert_int_equal(hint(403, "AccessDeniedException"), SL_REPLY_NONE);
    assert_int_equal(hint(403, "ExpiredTokenExceptional"), SL_REPLY_NONE);
    assert_int_equal(hint(403, ""), SL_REPLY_NONE);
    assert_int_equal(hint(403, NULL), SL_REPLY_NONE);
    assert_int_equal(hint(500, "ExpiredTokenException"), SL_REPLY_NONE);
    assert_int_equal(hint(200, "ExpiredTokenException"), SL_REPLY_NONE);
}

static bool date(const char *text, int64_t *ms) {
    const struct sl_fetch_header header = {SL_LIT("Date"), sl_slice_str(text)};
    return sl_reply_date(&(struct sl_fetch_head){.headers = &header, .header_count = 1}, ms);
}

static void test_dates(void **state) {
    (void)state;
    int64_t ms = 0;
    assert_true(date("Sun, 06 Nov 1994 08:49:37 GMT", &ms));
    assert_int_equal(ms, INT64_C(784111777000));
    assert_true(date("Thu, 31 Dec 2026 23:59:59 GMT", &ms));
    assert_int_equal(ms, INT64_C(1798761599000));
    static const char *const bad[] = {"",
                                      "Sunday, 06-Nov-94 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 06 Nox 1994 08:49:37 GMT",
                                      "Sun, 06 anF 1994 08:49:37 GMT",
                                      "Sun, 99 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 08-49-37 GMT"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(date(bad[i], &ms));
    assert_false(sl_reply_date(&(struct sl_fetch_head){.header_count = 0}, &ms));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hints),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
