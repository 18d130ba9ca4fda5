#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "io/proxy.h"
#include "sluice/base/mem.h"

static bool excluded(const char *patterns, const char *host) {
    return sl_proxy_excluded(sl_slice_str(patterns), sl_slice_str(host));
}

static void test_domains(void **state) {
    (void)state;
    assert_true(excluded("*", "any.test"));
    assert_true(excluded("example.com", "example.com"));
    assert_true(excluded("example.com", "EXAMPLE.com."));
    assert_true(excluded("Example.COM.", "www.example.com"));
    assert_true(excluded(".example.com", "example.com"));
    assert_true(excluded(".example.com", "a.b.example.com"));
    assert_false(excluded("example.com", "nonexample.com"));
    assert_false(excluded("www.example.com", "example.com"));
    assert_false(excluded("", "example.com"));
    assert_false(excluded(",, ,.", "example.com"));
    assert_true(excluded("a.test, b.test c.test", "b.test"));
    assert_true(excluded("a.test, b.test c.test", "x.c.test"));
    assert_false(excluded("10.0.0.0/8", "ten.test"));
}

static void test_addresses(void **state) {
    (void)state;
    assert_true(excluded("169.254.169.254", "169.254.169.254"));
    assert_true(excluded("169.254.0.0/16", "169.254.170.2"));
    assert_true(excluded("10.0.0.0/9", "10.127.255.255"));
    assert_false(excluded("10.0.0.0/9", "10.128.0.0"));
    assert_true(excluded("0.0.0.0/0", "192.0.2.1"));
    assert_false(excluded("10.0.0.0/33", "10.0.0.0"));
    assert_false(excluded("10.0.0.0/x", "10.0.0.0"));
    assert_false(excluded("0.1", "10.0.0.1"));
    assert_true(excluded("fd00:ec2::254", "[fd00:ec2::254]"));
    assert_true(excluded("[fd00::]", "fd00::"));
    assert_true(excluded("fd00::/8", "[fd12::1]"));
    assert_false(excluded("fd00::/16", "[fd12::1]"));
    assert_false(excluded("::/0", "192.0.2.1"));
}

static const char *const *variables;
static const char *lookup(const char *name) {
    for (const char *const *v = variables; *v; v += 2)
        if (strcmp(*v, name) == 0)
            return v[1];
    return NULL;
}

static void check(const char *const *vars, bool tls, const char *expected) {
    struct sl_proxies proxies;
    variables = vars;
    assert_int_equal(sl_proxies_init(&proxies, lookup), SL_OK);
    const char *got = sl_proxies_for(&proxies, tls, SL_LIT("far.test"));
    if (expected)
        assert_string_equal(got, expected);
    else
        assert_null(got);
    sl_proxies_done(&proxies);
}

static void test_environment(void **state) {
    (void)state;
    check((const char *const[]){NULL}, true, NULL);
    check((const char *const[]){"HTTP_PROXY", "http://cgi", NULL}, false, NULL);
    check((const char *const[]){"http_proxy", "http://a", NULL}, false, "http://a");
    check((const char *const[]){"http_proxy", "http://a", NULL}, true, NULL);
    check((const char *const[]){"HTTPS_PROXY", "A", "https_proxy", "b", NULL}, true, "b");
    check((const char *const[]){"ALL_PROXY", "x", "https_proxy", "", NULL}, true, "x");
    check((const char *const[]){"ALL_PROXY", "x", NULL}, false, "x");
    check((const char *const[]){"ALL_PROXY", "x", "NO_PROXY", "test", NULL}, false, NULL);
    check((const char *const[]){"ALL_PROXY", "x", "NO_PROXY", "test", "no_proxy", "other", NULL},
          false, "x");
}

static void test_out_of_memory(void **state) {
    (void)state;
    variables = (const char *const[]){"ALL_PROXY", "x", "NO_PROXY", "y", NULL};
    for (uint64_t n = 1; n <= 3; n++) {
        struct sl_proxies proxies;
        sl_mem_fail_after(n);
        assert_int_equal(sl_proxies_init(&proxies, lookup), SL_E_NOMEM);
        assert_null(proxies.http);
    }
    sl_mem_fail_after(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
