/*
 * Signing against AWS's published vectors (get-vanilla of the test suite, the IAM example of
 * the General Reference), hashing against BoringSSL's own HMAC, and what must be refused.
 * The broad comparison is tests/e2e/test_signing.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "sluice/base/mem.h"
#include "sluice/wire/sigv4.h"

#define EMPTY_HASH SL_LIT("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
#define SECRET     SL_LIT("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
#define HEADER(n, v)                                                                               \
    { SL_LIT(n), SL_LIT(v) }

static void assert_slice(struct sl_slice got, struct sl_slice expected) {
    if (!sl_slice_eq(got, expected))
        fail_msg("got \"%.*s\", expected \"%.*s\"", SL_FMT(got), SL_FMT(expected));
}

static struct sl_sigv4_request request_of(const char *method, const char *path, const char *query,
                                          const struct sl_sigv4_header *headers, size_t count) {
    return (struct sl_sigv4_request){
        .method = sl_slice_str(method),
        .path = sl_slice_str(path),
        .query = sl_slice_str(query),
        .headers = headers,
        .header_count = count,
        .body_hash = EMPTY_HASH,
    };
}

static struct sl_sigv4_scope scope_of(const char *service) {
    return (struct sl_sigv4_scope){
        .region = SL_LIT("us-east-1"),
        .service = sl_slice_str(service),
        .date = "20150830T123600Z",
    };
}

/* ---- published vectors ---- */

static const struct sl_sigv4_header vanilla_headers[] = {
    HEADER("X-Amz-Date", "20150830T123600Z"),
    HEADER("Host", "example.amazonaws.com"),
};

static void check_signature(const struct sl_sigv4_request *request, const char *service,
                            struct sl_slice expected) {
    struct sl_sigv4_key key = {.valid = false};
    struct sl_sigv4_scope scope = scope_of(service);
    struct sl_buf scratch;
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    sl_buf_init(&scratch, 4096);
    assert_int_equal(sl_sigv4_sign(&key, SECRET, &scope, request, &scratch, signature), SL_OK);
    assert_slice(sl_slice_of(signature, sizeof(signature)), expected);
    assert_int_equal(scratch.len, 0);
    sl_buf_done(&scratch);
    sl_sigv4_key_done(&key);
}

static void test_vector_get_vanilla(void **state) {
    (void)state;
    struct sl_sigv4_request request = request_of("GET", "/", "", vanilla_headers, 2);
    check_signature(&request, "service",
                    SL_LIT("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"));
}

static void test_vector_iam(void **state) {
    (void)state;
    const struct sl_sigv4_header headers[] = {
        HEADER("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        HEADER("host", "iam.amazonaws.com"),
        HEADER("x-amz-date", "20150830T123600Z"),
    };
    struct sl_sigv4_request request =
        request_of("GET", "", "Version=2010-05-08&Action=ListUsers", headers, 3);
    check_signature(&request, "iam",
                    SL_LIT("5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"));
}

static void test_authorization(void **state) {
    (void)state;
    struct sl_sigv4_request request = request_of("GET", "/", "", vanilla_headers, 2);
    struct sl_sigv4_scope scope = scope_of("service");
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    struct sl_buf out;
    memset(signature, 'a', sizeof(signature));
    sl_buf_init(&out, 4096);
    assert_int_equal(
        sl_sigv4_authorization(&out, SL_LIT("AKIDEXAMPLE"), &scope, &request, signature), SL_OK);
    assert_slice(sl_buf_slice(&out),
                 SL_LIT("AWS4-HMAC-SHA256 "
                        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                        "SignedHeaders=host;x-amz-date, Signature="
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
    sl_buf_done(&out);
}

/* ---- the canonical request, part by part ---- */

static void check_canonical(const struct sl_sigv4_request *request, struct sl_slice expected) {
    struct sl_buf out;
    sl_buf_init(&out, 1 << 16);
    assert_int_equal(sl_sigv4_canonical(&out, request), SL_OK);
    struct sl_slice got = sl_buf_slice(&out);
    assert_true(sl_slice_ends(got, request->body_hash));
    assert_slice(sl_slice_head(got, got.len - request->body_hash.len), expected);
    sl_buf_done(&out);
}

static void test_canonical_path(void **state) {
    (void)state;
    static const struct {
        const char *path, *canonical;
    } cases[] = {
        {"", "/"},
        {"/", "/"},
        {"//", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"//a///b//", "/a/b/"},
        {"/./a/./b/.", "/a/b"},
        {"/a/b/..", "/a"},
        {"/a/b/../", "/a/"},
        {"/a/..", "/"},
        {"/a/../", "/"},
        {"/../../a", "/a"},
        {"/a/.../..b", "/a/.../..b"},
        {"/model/x%3A0/converse", "/model/x%253A0/converse"},
        {"/model/x:0/converse", "/model/x%3A0/converse"},
        {"/a%2Fb/%2e%2e", "/a%252Fb/%252e%252e"},
        {"/\xc3\xa9 ~", "/%C3%A9%20~"},
        {"/a\nb", "/a%0Ab"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[256];
        struct sl_sigv4_request request = request_of("GET", cases[i].path, "", NULL, 0);
        snprintf(expected, sizeof(expected), "GET\n%s\n\n\n\n", cases[i].canonical);
        check_canonical(&request, sl_slice_str(expected));
    }
}

static void test_canonical_query(void **state) {
    (void)state;
    static const struct {
        const char *query, *canonical;
    } cases[] = {
        {"a=1", "a=1"},
        {"a", "a="},
        {"b=2&a=1", "a=1&b=2"},
        {"a=2&a=1&a=", "a=&a=1&a=2"},
        {"a=b=c", "a=b=c"},
        {"=x", "=x"},
        {"&", "=&="},
        {"ab=1&a=2&a-=3&A=4", "A=4&a=2&a-=3&ab=1"}, /* names sort before "=value" counts */
        {"a=%2f&a=%2F&a=+", "a=%2F&a=%2f&a=+"},
        {"\xc3\xa9=1&z=2", "z=2&\xc3\xa9=1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char expected[256];
        struct sl_sigv4_request request = request_of("GET", "/", cases[i].query, NULL, 0);
        snprintf(expected, sizeof(expected), "GET\n/\n%s\n\n\n", cases[i].canonical);
        check_canonical(&request, sl_slice_str(expected));
    }
}

static void test_canonical_headers(void **state) {
    (void)state;
    const struct sl_sigv4_header headers[] = {
        HEADER("My-Header", "  b   \t c\r\n d "),
        HEADER("host", "h"),
        HEADER("my-header", "a"),
        HEADER(":authority", "example:443"),
        HEADER("MY-HEADER", ""),
        HEADER("my", "\"x  y\""),
        HEADER("my-header-2", "   "),
    };
    struct sl_sigv4_request request =
        request_of("POST", "/", "", headers, sizeof(headers) / sizeof(headers[0]));
    check_canonical(&request, SL_LIT("POST\n/\n\n"
                                     ":authority:example:443\n"
                                     "host:h\n"
                                     "my:\"x y\"\n"
                                     "my-header:b c d,a,\n"
                                     "my-header-2:\n"
                                     "\n"
                                     ":authority;host;my;my-header;my-header-2\n"));
    struct sl_buf out;
    sl_buf_init(&out, 4096);
    assert_int_equal(sl_sigv4_signed_headers(&out, &request), SL_OK);
    assert_slice(sl_buf_slice(&out), SL_LIT(":authority;host;my;my-header;my-header-2"));
    sl_buf_done(&out);
}

/* ---- refusals ---- */

static void check_refused(struct sl_sigv4_request request, int error) {
    struct sl_buf out;
    sl_buf_init(&out, 1 << 16);
    assert_int_equal(sl_buf_add_str(&out, "kept"), SL_OK);
    assert_int_equal(sl_sigv4_canonical(&out, &request), error);
    assert_slice(sl_buf_slice(&out), SL_LIT("kept"));
    sl_buf_done(&out);
}

static void test_forged_lines_are_refused(void **state) {
    (void)state;
    const struct sl_sigv4_header bad[] = {HEADER("", "v"), HEADER("a\nb", "v"), HEADER("a b", "v"),
                                          HEADER("a\0", "v")};
    check_refused(request_of("GET\n/", "/", "", NULL, 0), SL_E_INVALID);
    check_refused(request_of("GET", "a", "", NULL, 0), SL_E_INVALID);
    check_refused(request_of("GET", "*", "", NULL, 0), SL_E_INVALID);
    check_refused(request_of("GET", "/", "a=1\nb", NULL, 0), SL_E_INVALID);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_refused(request_of("GET", "/", "", &bad[i], 1), SL_E_INVALID);
    struct sl_sigv4_request request = request_of("GET", "/", "", NULL, 0);
    request.body_hash = SL_LIT("x\ny");
    check_refused(request, SL_E_INVALID);
}

static void test_maxima(void **state) {
    (void)state;
    struct sl_sigv4_header headers[SL_SIGV4_MAX_HEADERS + 1];
    char query[SL_SIGV4_MAX_QUERY + 1];
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        headers[i] = (struct sl_sigv4_header)HEADER("a", "1");
    check_refused(request_of("GET", "/", "", headers, SL_SIGV4_MAX_HEADERS + 1), SL_E_LIMIT);
    memset(query, '&', SL_SIGV4_MAX_QUERY); /* n separators part n + 1 parameters */
    query[SL_SIGV4_MAX_QUERY] = '\0';
    check_refused(request_of("GET", "/", query, NULL, 0), SL_E_LIMIT);

    struct sl_buf out;
    sl_buf_init(&out, 1 << 16);
    struct sl_sigv4_request full = request_of("GET", "/", query + 1, headers, SL_SIGV4_MAX_HEADERS);
    assert_int_equal(sl_sigv4_canonical(&out, &full), SL_OK);
    sl_buf_done(&out);
}

/* Whatever the room or the memory that is left, a failure leaves the content as it was. */
static void test_every_failure_leaves_no_trace(void **state) {
    (void)state;
    const struct sl_sigv4_header headers[] = {HEADER("b", " 1  2 "), HEADER("a", "3"),
                                              HEADER("B", "4")};
    struct sl_sigv4_request request = request_of("GET", "/x/../y:z/", "b=1&a", headers, 3);
    struct sl_sigv4_scope scope = scope_of("bedrock");
    char signature[SL_SIGV4_SIGNATURE_SIZE] = {0};
    struct sl_buf out;
    sl_buf_init(&out, 4096);
    assert_int_equal(sl_sigv4_canonical(&out, &request), SL_OK);
    const size_t whole = out.len;
    sl_buf_done(&out);
    for (size_t max = 1; max < whole; max++) {
        sl_buf_init(&out, max);
        assert_int_equal(sl_sigv4_canonical(&out, &request), SL_E_LIMIT);
        assert_int_equal(out.len, 0);
        int rc = sl_sigv4_signed_headers(&out, &request);
        assert_int_equal(rc, max < 3 ? SL_E_LIMIT : SL_OK);
        assert_int_equal(out.len, max < 3 ? 0 : 3);
        sl_buf_clear(&out);
        rc = sl_sigv4_authorization(&out, SL_LIT("AKID"), &scope, &request, signature);
        assert_true(rc == SL_OK || (rc == SL_E_LIMIT && out.len == 0));
        sl_buf_done(&out);
    }
    for (uint64_t n = 1;; n++) {
        sl_buf_init(&out, 4096);
        sl_mem_fail_after(n);
        int rc = sl_sigv4_canonical(&out, &request);
        uint64_t left = sl_mem_fail_after(0);
        assert_int_equal(rc, left > 0 ? SL_OK : SL_E_NOMEM);
        assert_int_equal(out.len, left > 0 ? whole : 0);
        sl_buf_done(&out);
        if (left > 0)
            break;
    }
}

static void test_sign_refusals(void **state) {
    (void)state;
    static const char *const dates[] = {"2015-08-30T12:36", "20150830 123600Z", "20150830T12360ZZ",
                                        "20150830T123600z", ""};
    struct sl_sigv4_request request = request_of("GET", "/", "", vanilla_headers, 2);
    struct sl_sigv4_key key = {.valid = false};
    char secret[SL_SIGV4_MAX_SECRET + 1] = {0}, signature[SL_SIGV4_SIGNATURE_SIZE] = "unchanged";
    struct sl_buf scratch;
    sl_buf_init(&scratch, 64); /* too small for the canonical request */
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        struct sl_sigv4_scope scope = scope_of("service");
        memset(scope.date, 0, sizeof(scope.date));
        memcpy(scope.date, dates[i], strlen(dates[i]));
        assert_int_equal(sl_sigv4_sign(&key, SECRET, &scope, &request, &scratch, signature),
                         SL_E_INVALID);
    }
    struct sl_sigv4_scope scope = scope_of("service");
    assert_int_equal(sl_sigv4_sign(&key, sl_slice_of(secret, sizeof(secret)), &scope, &request,
                                   &scratch, signature),
                     SL_E_LIMIT);
    assert_false(key.valid);
    assert_int_equal(sl_sigv4_sign(&key, SECRET, &scope, &request, &scratch, signature),
                     SL_E_LIMIT);
    assert_int_equal(scratch.len, 0);
    assert_string_equal(signature, "unchanged");
    sl_buf_done(&scratch);
    sl_sigv4_key_done(&key);
}

/* ---- the cached key ---- */

static void test_key_follows_its_inputs(void **state) {
    (void)state;
    struct sl_sigv4_request request = request_of("GET", "/", "", vanilla_headers, 2);
    struct sl_sigv4_scope scopes[4] = {scope_of("service"), scope_of("other"), scope_of("service"),
                                       scope_of("service")};
    struct sl_slice secrets[5] = {SECRET, SECRET, SECRET, SECRET, SL_LIT("another")};
    struct sl_sigv4_key kept = {.valid = false};
    struct sl_buf scratch;
    sl_buf_init(&scratch, 4096);
    scopes[2].region = SL_LIT("us-east-2");
    scopes[3].date[7] = '1';
    for (size_t i = 0; i < 5; i++) {
        char reused[SL_SIGV4_SIGNATURE_SIZE], fresh[SL_SIGV4_SIGNATURE_SIZE];
        struct sl_sigv4_key key = {.valid = false};
        uint8_t before[SL_SHA256_SIZE];
        memcpy(before, kept.key, sizeof(before));
        const struct sl_sigv4_scope *scope = &scopes[i % 4];
        assert_int_equal(sl_sigv4_sign(&kept, secrets[i], scope, &request, &scratch, reused),
                         SL_OK);
        assert_memory_not_equal(kept.key, before, sizeof(before));
        assert_int_equal(sl_sigv4_sign(&key, secrets[i], scope, &request, &scratch, fresh), SL_OK);
        assert_memory_equal(reused, fresh, sizeof(fresh));
        sl_sigv4_key_done(&key);
    }
    sl_buf_done(&scratch);
    sl_sigv4_key_done(&kept);
    const struct sl_sigv4_key zero = {.valid = false};
    assert_memory_equal(&kept, &zero, sizeof(kept));
}

static void test_warm_signing_allocates_nothing(void **state) {
    (void)state;
    struct sl_sigv4_request request = request_of("GET", "/a", "b=1", vanilla_headers, 2);
    struct sl_sigv4_scope scope = scope_of("service");
    struct sl_sigv4_key key = {.valid = false};
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    struct sl_buf scratch;
    sl_buf_init(&scratch, 4096);
    assert_int_equal(sl_sigv4_sign(&key, SECRET, &scope, &request, &scratch, signature), SL_OK);
    sl_mem_fail_after(1);
    int rc = sl_sigv4_sign(&key, SECRET, &scope, &request, &scratch, signature);
    assert_int_equal(sl_mem_fail_after(0), 1); /* the failure is still due */
    assert_int_equal(rc, SL_OK);
    sl_buf_done(&scratch);
    sl_sigv4_key_done(&key);
}

/* ---- the Authorization header, read ---- */

#define SIG64  "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define CRED   "Credential=AKID/20150830/us-east-1/bedrock/aws4_request"
#define PREFIX "AWS4-HMAC-SHA256 "

static void test_parse(void **state) {
    (void)state;
    static const char *const forms[] = {
        PREFIX CRED ", SignedHeaders=:authority;x-amz-date, Signature=" SIG64,
        PREFIX CRED ",SignedHeaders=:authority;x-amz-date,Signature=" SIG64,
        PREFIX "  Signature=" SIG64 " ,\t" CRED " , SignedHeaders=:authority;x-amz-date ",
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct sl_sigv4_credential c;
        assert_int_equal(sl_sigv4_parse_authorization(sl_slice_str(forms[i]), &c), SL_OK);
        assert_slice(c.access_key_id, SL_LIT("AKID"));
        assert_slice(c.date, SL_LIT("20150830"));
        assert_slice(c.region, SL_LIT("us-east-1"));
        assert_slice(c.service, SL_LIT("bedrock"));
        assert_slice(c.signed_headers, SL_LIT(":authority;x-amz-date"));
        assert_slice(c.signature, SL_LIT(SIG64));
    }
}

static void test_parse_malformed(void **state) {
    (void)state;
    static const char *const forms[] = {
        "",
        "AWS4-HMAC-SHA256",
        PREFIX,
        "Bearer x",
        "AWS4-HMAC-SHA512 " CRED ", SignedHeaders=a, Signature=" SIG64,
        "AWS4-HMAC-SHA256," CRED ", SignedHeaders=a, Signature=" SIG64,
        PREFIX CRED ", SignedHeaders=a",
        PREFIX CRED ", SignedHeaders=a, Signature=",
        PREFIX CRED ", SignedHeaders=, Signature=" SIG64,
        PREFIX CRED ", SignedHeaders=a;;b, Signature=" SIG64,
        PREFIX CRED ", SignedHeaders=a;, Signature=" SIG64,
        PREFIX CRED ", SignedHeaders=a b, Signature=" SIG64,
        PREFIX CRED ", SignedHeaders=a, Signature=" SIG64 "0",
        PREFIX CRED ", SignedHeaders=a, Signature=G" SIG64,
        PREFIX CRED ", SignedHeaders=a, Signature=" SIG64 ",",
        PREFIX CRED ", SignedHeaders=a, Signature=" SIG64 ", " CRED,
        PREFIX CRED ", SignedHeaders=a, Signature=" SIG64 ", X=1",
        PREFIX CRED ", signedheaders=a, Signature=" SIG64,
        PREFIX "Credential=AKID/20150830/us-east-1/bedrock, SignedHeaders=a, Signature=" SIG64,
        PREFIX CRED "/x, SignedHeaders=a, Signature=" SIG64,
        PREFIX "Credential=AKID/20150830//bedrock/aws4_request, SignedHeaders=a, Signature=" SIG64,
        PREFIX "Credential=AKID/2015083/r/bedrock/aws4_request, SignedHeaders=a, Signature=" SIG64,
        PREFIX "Credential=AKID/2015083x/r/bedrock/aws4_request, SignedHeaders=a, Signature=" SIG64,
        PREFIX "Credential=/20150830/r/bedrock/aws4_request, SignedHeaders=a, Signature=" SIG64,
        PREFIX "Credential=AKID/20150830/r/bedrock/aws5_request, SignedHeaders=a, Signature=" SIG64,
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct sl_sigv4_credential c = {.service = SL_LIT("unchanged")};
        assert_int_equal(sl_sigv4_parse_authorization(sl_slice_str(forms[i]), &c), SL_E_INVALID);
        assert_slice(c.service, SL_LIT("unchanged"));
    }
}

/* No beginning of a complete header is taken for a complete one. */
static void test_parse_cut_anywhere(void **state) {
    (void)state;
    struct sl_slice whole = SL_LIT(PREFIX CRED ", SignedHeaders=host, Signature=" SIG64);
    struct sl_sigv4_credential c;
    for (size_t n = 0; n < whole.len; n++)
        assert_int_equal(sl_sigv4_parse_authorization(sl_slice_head(whole, n), &c), SL_E_INVALID);
    assert_int_equal(sl_sigv4_parse_authorization(whole, &c), SL_OK);
}

/* ---- hashing ---- */

static void test_sha256_in_steps(void **state) {
    (void)state;
    char bytes[300];
    uint8_t expected[SL_SHA256_SIZE], got[SL_SHA256_SIZE];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7);
    struct sl_slice all = sl_slice_of(bytes, sizeof(bytes));
    assert_int_equal(EVP_Digest(bytes, sizeof(bytes), expected, NULL, EVP_sha256(), NULL), 1);
    for (size_t step = 1; step <= sizeof(bytes); step++) {
        struct sl_sha256 h;
        sl_sha256_init(&h);
        for (size_t at = 0; at < all.len; at += step)
            sl_sha256_update(&h, sl_slice_head(sl_slice_skip(all, at), step));
        sl_sha256_final(&h, got);
        assert_memory_equal(got, expected, sizeof(got));
    }
    sl_sha256_of(all, got);
    assert_memory_equal(got, expected, sizeof(got));
    sl_sha256_of((struct sl_slice){NULL, 0}, got);
    assert_int_equal(got[0], 0xe3);
}

static void test_hmac(void **state) {
    (void)state;
    char bytes[200];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 13 + 1);
    for (size_t key = 0; key <= 130; key++) {
        size_t message = key * 3 / 2;
        uint8_t expected[SL_SHA256_SIZE], got[SL_SHA256_SIZE];
        assert_non_null(
            HMAC(EVP_sha256(), bytes, key, (const uint8_t *)bytes, message, expected, NULL));
        sl_hmac_sha256(sl_slice_of(bytes, key), sl_slice_of(bytes, message), got);
        assert_memory_equal(got, expected, sizeof(got));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vector_get_vanilla),
        cmocka_unit_test(test_vector_iam),
        cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_canonical_path),
        cmocka_unit_test(test_canonical_query),
        cmocka_unit_test(test_canonical_headers),
        cmocka_unit_test(test_forged_lines_are_refused),
        cmocka_unit_test(test_maxima),
        cmocka_unit_test(test_every_failure_leaves_no_trace),
        cmocka_unit_test(test_sign_refusals),
        cmocka_unit_test(test_key_follows_its_inputs),
        cmocka_unit_test(test_warm_signing_allocates_nothing),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_malformed),
        cmocka_unit_test(test_parse_cut_anywhere),
        cmocka_unit_test(test_sha256_in_steps),
        cmocka_unit_test(test_hmac),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
