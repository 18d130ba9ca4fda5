#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "upstream/credset.h"

static char why[512];

static void test_dates(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } dates[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T10:07:19Z", INT64_C(1795342039000)},
        {"2026-11-22T12:07:19+02:00", INT64_C(1795342039000)},
        {"2026-11-22T12:07:19+0200", INT64_C(1795342039000)},
        {"2026-11-22T02:37:19-07:30", INT64_C(1795342039000)},
        {"2026-11-22T10:07:19.500Z", INT64_C(1795342039500)},
    };
    for (size_t i = 0; i < sizeof(dates) / sizeof(*dates); i++) {
        int64_t ms = -1;
        assert_int_equal(sl_credset_parse_date(sl_slice_str(dates[i].text), &ms), SL_OK);
        assert_int_equal(ms, dates[i].ms);
    }
    static const char *const bad[] = {"",
                                      "tomorrow",
                                      "2026-11-22",
                                      "2026-11-22T10:07:19+2",
                                      "2026-11-22T10:07:19+25:00",
                                      "2026-11-22T10:07:19+0a:00"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        int64_t ms = -1;
        assert_true(sl_credset_parse_date(sl_slice_str(bad[i]), &ms) < 0);
        assert_int_equal(ms, -1);
    }
}

static struct sl_credentials fields(const char *id, const char *secret, const char *token) {
    return (struct sl_credentials){.access_key_id = sl_slice_str(id),
                                   .secret = sl_slice_str(secret),
                                   .session_token = sl_slice_str(token),
                                   .bearer = SL_EMPTY,
                                   .expires_ms = INT64_MAX,
                                   .source = "test"};
}

static void test_values(void **state) {
    (void)state;
    struct sl_credset *set = NULL;
    struct sl_credentials good = fields("AKIA", "s/+=", "t");
    assert_int_equal(sl_credset_new(&good, true, &set, why, sizeof(why)), SL_OK);
    assert_true(sl_slice_eq(set->view.access_key_id, SL_LIT("AKIA")));
    assert_true(sl_slice_eq(set->view.secret, SL_LIT("s/+=")));
    assert_true(sl_slice_eq(set->view.session_token, SL_LIT("t")));
    assert_int_equal(set->view.bearer.len, 0);
    assert_ptr_not_equal(set->view.secret.ptr, good.secret.ptr);
    assert_true(set->fixed);
    sl_credset_free(set);
    sl_credset_free(NULL);

    static const char *const bad[][3] = {{"", "s", ""},       {"a", "", ""},
                                         {"a b", "s", ""},    {"a", "s3cret\n", ""},
                                         {"a", "s", "t\r\n"}, {"a\x80", "s", ""}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sl_credentials f = fields(bad[i][0], bad[i][1], bad[i][2]);
        set = NULL;
        assert_int_equal(sl_credset_new(&f, false, &set, why, sizeof(why)), SL_E_INVALID);
        assert_null(set);
        assert_null(strstr(why, "s3cret"));
    }
    sl_mem_fail_after(1);
    assert_int_equal(sl_credset_new(&good, false, &set, why, sizeof(why)), SL_E_NOMEM);
}

static const struct sl_credset_json process = {
    .source = "p", .token_key = "SessionToken", .needs_version_1 = true};
static const struct sl_credset_json service = {
    .source = "s", .token_key = "Token", .needs_token_and_expiration = true};

static void test_json(void **state) {
    (void)state;
    struct sl_credset *set = NULL;
    assert_int_equal(sl_credset_from_json(&process,
                                          SL_LIT("{\"Version\":1,\"AccessKeyId\":\"A\","
                                                 "\"SecretAccessKey\":\"S\"}\n"),
                                          &set, why, sizeof(why)),
                     SL_OK);
    assert_true(sl_slice_eq(set->view.access_key_id, SL_LIT("A")));
    assert_true(set->view.expires_ms == INT64_MAX);
    assert_int_equal(set->view.session_token.len, 0);
    sl_credset_free(set);
    assert_int_equal(sl_credset_from_json(&service,
                                          SL_LIT("{\"Code\":\"Success\",\"AccessKeyId\":\"A\","
                                                 "\"SecretAccessKey\":\"S\",\"Token\":\"T\","
                                                 "\"Expiration\":\"2026-11-22T10:07:19Z\"}"),
                                          &set, why, sizeof(why)),
                     SL_OK);
    assert_true(sl_slice_eq(set->view.session_token, SL_LIT("T")));
    assert_true(set->view.expires_ms == INT64_C(1795342039000));
    sl_credset_free(set);
}

static void refuse(const struct sl_credset_json *form, const char *document, const char *sentence) {
    struct sl_credset *set = NULL;
    assert_int_equal(sl_credset_from_json(form, sl_slice_str(document), &set, why, sizeof(why)),
                     SL_E_INVALID);
    assert_null(set);
    assert_string_equal(why, sentence);
}

static void test_json_refusals(void **state) {
    (void)state;
    refuse(&process, "", "its answer is not a JSON object");
    refuse(&process, "[1]", "its answer is not a JSON object");
    refuse(&process, "{} x", "its answer is not a JSON object");
    refuse(&process, "{\"Version\":1", "its answer is not a JSON object");
    refuse(&process, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}",
           "its answer has no \"Version\": 1");
    refuse(&process, "{\"Version\":\"1\",\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\"}",
           "its answer has no \"Version\": 1");
    refuse(&process, "{\"Version\":1,\"AccessKeyId\":\"A\"}", "its answer has no SecretAccessKey");
    refuse(&process, "{\"Version\":1,\"AccessKeyId\":7,\"SecretAccessKey\":\"S\"}",
           "its answer has no AccessKeyId");
    refuse(
        &process,
        "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":\"soon\"}",
        "its answer's Expiration is no date: \"soon\"");
    refuse(&service, "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Token\":\"T\"}",
           "its answer has no Expiration");
    refuse(&service, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"EC2 cannot\"}",
           "its answer has no AccessKeyId; it says AssumeRoleUnauthorizedAccess: EC2 cannot");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_json_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
