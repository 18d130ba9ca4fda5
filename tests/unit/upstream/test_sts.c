#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "upstream/sts.h"

static char config[64], why[512];
static const char *variables[8][2];

static const char *env(const char *name) {
    if (strcmp(name, "AWS_CONFIG_FILE") == 0)
        return config;
    if (strcmp(name, "AWS_SHARED_CREDENTIALS_FILE") == 0)
        return "/dev/null";
    for (size_t i = 0; i < 8; i++)
        if (variables[i][0] && strcmp(name, variables[i][0]) == 0)
            return variables[i][1];
    return NULL;
}

static int write_config(void **state) {
    (void)state;
    static const char text[] = "[profile services]\nservices = local\nendpoint_url = http://all\n"
                               "[profile all]\nendpoint_url = http://all\n"
                               "[profile legacy]\nsts_regional_endpoints = legacy\n"
                               "[profile ignore]\nendpoint_url = http://all\n"
                               "ignore_configured_endpoint_urls = true\n"
                               "[services local]\nsts =\n  endpoint_url = http://sts\n";
    snprintf(config, sizeof(config), "/tmp/sluice-sts-XXXXXX");
    int fd = mkstemp(config);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) != (ssize_t)(sizeof(text) - 1))
        return -1;
    return close(fd);
}

static int remove_config(void **state) {
    (void)state;
    return unlink(config);
}

static int endpoint(const char *profile, const char *region, struct sl_sts_endpoint *out) {
    struct sl_credctx ctx = {.getenv = env, .profile = profile, .region = region};
    assert_int_equal(sl_profiles_load(env, &ctx.profiles, why, sizeof(why)), SL_OK);
    int rc = sl_sts_endpoint(&ctx, out, why, sizeof(why));
    sl_profiles_free(ctx.profiles);
    return rc;
}

static void expect(const char *profile, const char *region, const char *url,
                   const char *signed_for) {
    struct sl_sts_endpoint out;
    assert_int_equal(endpoint(profile, region, &out), SL_OK);
    assert_string_equal(out.url, url);
    assert_string_equal(out.region, signed_for);
}

static void set(size_t i, const char *name, const char *value) {
    variables[i][0] = name;
    variables[i][1] = value;
}

static void test_regions(void **state) {
    (void)state;
    expect("none", "eu-west-1", "https://sts.eu-west-1.amazonaws.com", "eu-west-1");
    expect("none", "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn", "cn-north-1");
    expect("none", "us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com", "us-gov-west-1");
    expect("none", "us-isob-east-1", "https://sts.us-isob-east-1.sc2s.sgov.gov", "us-isob-east-1");
    set(0, "AWS_DEFAULT_REGION", "ap-east-1");
    expect("none", NULL, "https://sts.ap-east-1.amazonaws.com", "ap-east-1");
    set(1, "AWS_REGION", "us-west-2");
    expect("none", NULL, "https://sts.us-west-2.amazonaws.com", "us-west-2");
    memset(variables, 0, sizeof(variables));
    struct sl_sts_endpoint out;
    assert_int_equal(endpoint("none", NULL, &out), SL_E_INVALID);
    assert_string_equal(why, "no region is set: set upstream.region or AWS_REGION");
    static const char *const bad[] = {"", "a.b", "evil.example.com/", "a b", "a@b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(endpoint("none", bad[i], &out), SL_E_INVALID);
}

static void test_legacy(void **state) {
    (void)state;
    expect("legacy", "eu-west-1", "https://sts.amazonaws.com", "us-east-1");
    expect("legacy", "eu-south-1", "https://sts.eu-south-1.amazonaws.com", "eu-south-1");
    set(0, "AWS_STS_REGIONAL_ENDPOINTS", "legacy");
    expect("none", "us-west-2", "https://sts.amazonaws.com", "us-east-1");
    set(0, "AWS_STS_REGIONAL_ENDPOINTS", "regional");
    expect("legacy", "us-west-2", "https://sts.us-west-2.amazonaws.com", "us-west-2");
    memset(variables, 0, sizeof(variables));
}

static void test_configured(void **state) {
    (void)state;
    expect("all", "eu-west-1", "http://all", "eu-west-1");
    expect("services", "eu-west-1", "http://sts", "eu-west-1");
    expect("ignore", "eu-west-1", "https://sts.eu-west-1.amazonaws.com", "eu-west-1");
    set(0, "AWS_ENDPOINT_URL", "http://global");
    expect("services", "eu-west-1", "http://global", "eu-west-1");
    set(1, "AWS_ENDPOINT_URL_STS", "http://first");
    expect("services", "eu-west-1", "http://first", "eu-west-1");
    set(2, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True");
    expect("services", "eu-west-1", "https://sts.eu-west-1.amazonaws.com", "eu-west-1");
    memset(variables, 0, sizeof(variables));
}

static void test_read(void **state) {
    (void)state;
    struct sl_credset *set_read = NULL;
    assert_int_equal(sl_sts_read(SL_LIT("<R><Credentials><AccessKeyId> A </AccessKeyId>"
                                        "<SecretAccessKey>S</SecretAccessKey><SessionToken>T"
                                        "</SessionToken><Expiration>2026-11-22T10:07:19Z"
                                        "</Expiration></Credentials></R>"),
                                 "x", &set_read, why, sizeof(why)),
                     SL_OK);
    assert_true(sl_slice_eq(set_read->view.access_key_id, SL_LIT("A")));
    assert_true(sl_slice_eq(set_read->view.session_token, SL_LIT("T")));
    assert_true(set_read->view.expires_ms == INT64_C(1795342039000));
    sl_credset_free(set_read);
    set_read = NULL;
    static const struct {
        const char *document, *why;
    } bad[] = {
        {"", "STS's answer is not the XML that it should be"},
        {"<R/>", "STS's answer has no Expiration"},
        {"<R><Error><Code>C</Code><Message>M</Message></Error></R>", "STS says C: M"},
        {"<R><Credentials><AccessKeyId>A</AccessKeyId><Expiration>2026-11-22T10:07:19Z"
         "</Expiration></Credentials></R>",
         "the secret access key is empty"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_true(sl_sts_read(sl_slice_str(bad[i].document), "x", &set_read, why, sizeof(why)) <
                    0);
        assert_null(set_read);
        assert_string_equal(why, bad[i].why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regions),
        cmocka_unit_test(test_legacy),
        cmocka_unit_test(test_configured),
        cmocka_unit_test(test_read),
    };
    return cmocka_run_group_tests(tests, write_config, remove_config);
}
