#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "upstream/endpoint.h"

static void test_regions(void **state) {
    (void)state;
    static const char *const good[] = {"us-east-1",      "us-gov-west-1",  "ap-southeast-7",
                                       "cn-northwest-1", "eusc-de-east-1", "me-central-1"};
    static const char *const bad[] = {
        "",           "us-east",    "us-east-1a",  "US-EAST-1",
        "us--east-1", "-us-east-1", "us-east-1-",  "us-1-east",
        "us-1",       "us.east-1",  "us-east-1/x", "useast1",
        "us-e@st-1",  "a-b-1\n",    "12-34-56",    "aaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbbbb-1"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(sl_endpoint_is_region(sl_slice_str(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(sl_endpoint_is_region(sl_slice_str(bad[i])));
}

static void test_hosts(void **state) {
    (void)state;
    static const struct {
        enum sl_plane plane;
        const char *region;
        bool fips, dual_stack;
        const char *expected;
    } cases[] = {
        {SL_PLANE_RUNTIME, "us-east-1", 0, 0, "https://bedrock-runtime.us-east-1.amazonaws.com"},
        {SL_PLANE_RUNTIME, "ca-central-1", 1, 0,
         "https://bedrock-runtime-fips.ca-central-1.amazonaws.com"},
        {SL_PLANE_RUNTIME, "eu-west-1", 0, 1, "https://bedrock-runtime.eu-west-1.api.aws"},
        {SL_PLANE_RUNTIME, "us-west-2", 1, 1, "https://bedrock-runtime-fips.us-west-2.api.aws"},
        {SL_PLANE_CONTROL, "us-east-1", 0, 0, "https://bedrock.us-east-1.amazonaws.com"},
        {SL_PLANE_CONTROL, "us-east-1", 1, 0, "https://bedrock-fips.us-east-1.amazonaws.com"},
        {SL_PLANE_CONTROL, "us-east-1", 0, 1, "https://bedrock.us-east-1.api.aws"},
        {SL_PLANE_MANTLE, "us-east-1", 0, 0, "https://bedrock-mantle.us-east-1.api.aws"},
        {SL_PLANE_MANTLE, "us-east-1", 0, 1, "https://bedrock-mantle.us-east-1.api.aws"},
        {SL_PLANE_MANTLE, "us-east-1", 1, 0, NULL},
        {SL_PLANE_QUOTAS, "eu-west-1", 0, 0, "https://servicequotas.eu-west-1.amazonaws.com"},
        {SL_PLANE_QUOTAS, "cn-north-1", 0, 0, "https://servicequotas.cn-north-1.amazonaws.com.cn"},
        {SL_PLANE_QUOTAS, "us-east-1", 0, 1, "https://servicequotas.us-east-1.api.aws"},
        {SL_PLANE_QUOTAS, "us-east-1", 1, 0, NULL},
        {SL_PLANE_RUNTIME, "us-gov-west-1", 0, 0,
         "https://bedrock-runtime.us-gov-west-1.amazonaws.com"},
        {SL_PLANE_RUNTIME, "us-gov-west-1", 1, 0,
         "https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com"},
        {SL_PLANE_RUNTIME, "cn-north-1", 0, 0,
         "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"},
        {SL_PLANE_CONTROL, "cn-north-1", 0, 1,
         "https://bedrock.cn-north-1.api.amazonwebservices.com.cn"},
        {SL_PLANE_RUNTIME, "us-iso-east-1", 0, 0,
         "https://bedrock-runtime.us-iso-east-1.c2s.ic.gov"},
        {SL_PLANE_RUNTIME, "us-isob-east-1", 0, 0,
         "https://bedrock-runtime.us-isob-east-1.sc2s.sgov.gov"},
        {SL_PLANE_RUNTIME, "eusc-de-east-1", 0, 0,
         "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char out[128];
        const struct sl_endpoint_wish wish = {cases[i].plane, sl_slice_str(cases[i].region),
                                              cases[i].fips, cases[i].dual_stack};
        int rc = sl_endpoint_of(&wish, out, sizeof(out));
        if (!cases[i].expected) {
            assert_int_equal(rc, SL_E_NOTFOUND);
            continue;
        }
        assert_int_equal(rc, SL_OK);
        assert_string_equal(out, cases[i].expected);
        assert_int_equal(sl_endpoint_of(&wish, out, strlen(cases[i].expected)), SL_E_LIMIT);
    }
    assert_true(sl_slice_eq(sl_endpoint_service(SL_PLANE_CONTROL), SL_LIT("bedrock")));
    assert_true(sl_slice_eq(sl_endpoint_service(SL_PLANE_MANTLE), SL_LIT("bedrock-mantle")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
