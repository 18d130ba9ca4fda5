/* Who is let in: a request signed with sl_sigv4, then each of its parts spoiled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/auth.h"

#define NOW_MS INT64_C(1795342039000) /* 2026-11-22T10:07:19Z */
#define BODY   "{\"prompt\":\"hi\"}"

static const struct sl_sim_settings settings = {.access_key_id = SL_SIM_ACCESS_KEY_ID,
                                                .secret = SL_SIM_SECRET,
                                                .bearer = SL_SIM_BEARER,
                                                .region = "us-east-1"};

struct rig {
    struct sl_arena arena;
    struct sl_request_head head;
    struct sl_sim_refusal no;
    struct sl_sim_auth auth;
    const char *region, *service, *secret, *key_id;
    const char *authority_name; /* "host", or ":authority" as over HTTP/2 */
    const char *unsigned_name;  /* a header left out of the signature */
    int64_t signed_at;
};

static void add(struct rig *r, const char *name, const char *value) {
    assert_int_equal(
        sl_headers_add_copy(&r->head.headers, &r->arena, sl_slice_str(name), sl_slice_str(value)),
        0);
}

static void rig_init(struct rig *r) {
    *r = (struct rig){
        .head = {.method = SL_LIT("POST"),
                 .authority = SL_LIT("127.0.0.1:8080"),
                 .target = SL_LIT("/model/meta.llama3-8b-instruct-v1%3A0/invoke?x=1")},
        .region = "us-east-1",
        .service = "bedrock",
        .secret = SL_SIM_SECRET,
        .key_id = SL_SIM_ACCESS_KEY_ID,
        .authority_name = "host",
        .signed_at = NOW_MS,
    };
    sl_arena_init(&r->arena, 1 << 20);
    r->no.arena = &r->arena;
    add(r, "Content-Type", "application/json");
    add(r, "X-Amz-Security-Token", "TOKEN");
}

/* Signs what the head holds. */
static void sign(struct rig *r) {
    struct sl_sigv4_header headers[16];
    struct sl_sigv4_scope scope = {.region = sl_slice_str(r->region),
                                   .service = sl_slice_str(r->service)};
    struct sl_sigv4_key key = {0};
    struct sl_buf scratch, value, hash;
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    uint8_t digest[SL_SHA256_SIZE];
    sl_buf_init(&scratch, 1 << 16);
    sl_buf_init(&value, 1 << 16);
    sl_buf_init(&hash, 64);
    sl_clock_amz_date(r->signed_at, scope.date);
    add(r, "X-Amz-Date", scope.date);
    size_t n = 0;
    headers[n++] = (struct sl_sigv4_header){sl_slice_str(r->authority_name), r->head.authority};
    for (size_t i = 0; i < r->head.headers.count; i++)
        if (!r->unsigned_name ||
            !sl_slice_ieq(r->head.headers.items[i].name, sl_slice_str(r->unsigned_name)))
            headers[n++] = (struct sl_sigv4_header){r->head.headers.items[i].name,
                                                    r->head.headers.items[i].value};
    sl_sha256_of(SL_LIT(BODY), digest);
    assert_int_equal(sl_buf_add_hex(&hash, digest, sizeof digest), 0);
    struct sl_sigv4_request request = {.method = r->head.method,
                                       .path = sl_target_path(r->head.target),
                                       .query = sl_target_query(r->head.target),
                                       .headers = headers,
                                       .header_count = n,
                                       .body_hash = sl_buf_slice(&hash)};
    assert_int_equal(
        sl_sigv4_sign(&key, sl_slice_str(r->secret), &scope, &request, &scratch, signature), 0);
    assert_int_equal(
        sl_sigv4_authorization(&value, sl_slice_str(r->key_id), &scope, &request, signature), 0);
    assert_int_equal(sl_buf_terminate(&value), 0);
    add(r, "Authorization", value.ptr);
    sl_sigv4_key_done(&key);
    sl_buf_done(&hash);
    sl_buf_done(&value);
    sl_buf_done(&scratch);
}

/* The verdict on the request as it stands, with this body. */
static int judge(struct rig *r, const char *body) {
    struct sl_sigv4_key key = {0};
    uint8_t digest[SL_SHA256_SIZE];
    int error =
        sl_sim_auth_head(&r->auth, &settings, &r->head, SL_SIM_SERVICE_BEDROCK, NOW_MS, &r->no);
    sl_sha256_of(sl_slice_str(body), digest);
    if (!error && r->auth.signature_due)
        error = sl_sim_auth_body(&r->auth, &settings, &r->head, &key, digest, &r->no);
    sl_sigv4_key_done(&key);
    return error;
}

static void assert_refused(struct rig *r, enum sl_failure kind, const char *words) {
    assert_int_equal(judge(r, BODY), SL_E_DENIED);
    assert_int_equal(r->no.kind, kind);
    if (sl_slice_search(r->no.message, sl_slice_str(words)) == r->no.message.len)
        fail_msg("'%.*s' does not hold '%s'", SL_FMT(r->no.message), words);
}

static void rig_done(struct rig *r) {
    sl_arena_done(&r->arena);
}

static void test_signed_is_let_in(void **state) {
    (void)state;
    const char *names[] = {"host", ":authority"};
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        rig_init(&r);
        r.authority_name = names[i];
        sign(&r);
        assert_int_equal(judge(&r, BODY), 0);
        assert_int_equal(r.auth.service, SL_SIM_SERVICE_BEDROCK);
        rig_done(&r);
    }
}

static void test_each_part_is_under_the_signature(void **state) {
    (void)state;
    const char *words = "The request signature we calculated does not match the signature you "
                        "provided.";
    for (int part = 0; part < 6; part++) {
        struct rig r;
        rig_init(&r);
        sign(&r);
        switch (part) {
        case 0:
            r.head.method = SL_LIT("PUT");
            break;
        case 1:
            r.head.target = SL_LIT("/model/meta.llama3-70b-instruct-v1%3A0/invoke?x=1");
            break;
        case 2:
            r.head.target = SL_LIT("/model/meta.llama3-8b-instruct-v1%3A0/invoke?x=2");
            break;
        case 3:
            r.head.authority = SL_LIT("127.0.0.1:8081");
            break;
        case 4:
            r.head.headers.items[0].value = SL_LIT("text/plain");
            break;
        default:
            r.head.headers.items[1].value = SL_LIT("TOKEN2");
            break;
        }
        assert_refused(&r, SL_FAILURE_BAD_SIGNATURE, words);
        rig_done(&r);
    }
}

static void test_body_is_under_the_signature(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    sign(&r);
    assert_int_equal(judge(&r, BODY " "), SL_E_DENIED);
    assert_int_equal(r.no.kind, SL_FAILURE_BAD_SIGNATURE);
    rig_done(&r);
}

static void test_mismatch_shows_the_canonical_request(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    r.secret = "wrong";
    sign(&r);
    assert_refused(&r, SL_FAILURE_BAD_SIGNATURE,
                   "The Canonical String for this request should have been\n'POST\n"
                   "/model/meta.llama3-8b-instruct-v1%253A0/invoke\nx=1\n"
                   "content-type:application/json\nhost:127.0.0.1:8080\n");
    assert_refused(&r, SL_FAILURE_BAD_SIGNATURE,
                   "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20261122T100719Z\n"
                   "20261122/us-east-1/bedrock/aws4_request\n");
    rig_done(&r);
}

static void test_content_hash_must_match(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    add(&r, "x-amz-content-sha256", "00");
    sign(&r);
    assert_refused(&r, SL_FAILURE_BAD_SIGNATURE, "'x-amz-content-sha256' header does not match");
    rig_done(&r);
}

static void test_scope_and_identity(void **state) {
    (void)state;
    static const struct {
        const char *region, *service, *key_id;
        enum sl_failure kind;
        const char *words;
    } cases[] = {
        {"us-west-2", "bedrock", SL_SIM_ACCESS_KEY_ID, SL_FAILURE_BAD_SIGNATURE,
         "Credential should be scoped to a valid region"},
        {"us-east-1", "s3", SL_SIM_ACCESS_KEY_ID, SL_FAILURE_BAD_SIGNATURE,
         "Credential should be scoped to correct service: 'bedrock'."},
        {"us-east-1", "bedrock-mantle", SL_SIM_ACCESS_KEY_ID, SL_FAILURE_BAD_SIGNATURE,
         "Credential should be scoped to correct service: 'bedrock'."},
        {"us-east-1", "bedrock", "AKIAOTHER", SL_FAILURE_UNKNOWN_CLIENT,
         "The security token included in the request is invalid."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig r;
        rig_init(&r);
        r.region = cases[i].region;
        r.service = cases[i].service;
        r.key_id = cases[i].key_id;
        sign(&r);
        assert_refused(&r, cases[i].kind, cases[i].words);
        rig_done(&r);
    }
}

static void test_clock_skew(void **state) {
    (void)state;
    static const struct {
        int64_t offset_ms;
        const char *words; /* NULL: let in */
    } cases[] = {
        {300000, NULL},
        {-300000, NULL},
        {301000, "Signature not yet current: 20261122T101220Z is still later than"},
        {-301000, "Signature expired: 20261122T100218Z is now earlier than 20261122T100219Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig r;
        rig_init(&r);
        r.signed_at = NOW_MS + cases[i].offset_ms;
        sign(&r);
        if (cases[i].words)
            assert_refused(&r, SL_FAILURE_BAD_SIGNATURE, cases[i].words);
        else
            assert_int_equal(judge(&r, BODY), 0);
        rig_done(&r);
    }
}

static void test_what_must_be_signed(void **state) {
    (void)state;
    struct rig r;
    rig_init(&r);
    r.unsigned_name = "x-amz-security-token";
    sign(&r);
    assert_refused(&r, SL_FAILURE_BAD_SIGNATURE, "'X-Amz-Security-Token' must be a 'SignedHeader'");
    rig_done(&r);
    rig_init(&r);
    r.authority_name = "x-other";
    sign(&r);
    assert_refused(&r, SL_FAILURE_BAD_SIGNATURE, "'Host' or ':authority' must be a 'SignedHeader'");
    rig_done(&r);
    rig_init(&r); /* x-amzn-* need not be, and content-type may be left out */
    add(&r, "x-amzn-trace-id", "Root=1");
    r.unsigned_name = "x-amzn-trace-id";
    sign(&r);
    assert_int_equal(judge(&r, BODY), 0);
    rig_done(&r);
}

static void test_incomplete_headers(void **state) {
    (void)state;
    static const struct {
        const char *value;
        enum sl_failure kind;
        const char *words;
    } cases[] = {
        {NULL, SL_FAILURE_NO_SIGNATURE, "Missing Authentication Token"},
        {"Basic abc", SL_FAILURE_NO_SIGNATURE, "Missing Authentication Token"},
        {"AWS4-HMAC-SHA256 Credential=a/20261122/us-east-1/bedrock/aws4_request",
         SL_FAILURE_INCOMPLETE_SIGNATURE,
         "Authorization header requires 'Signature' parameter. Authorization header requires "
         "'SignedHeaders' parameter. Authorization header requires existence of either a "
         "'X-Amz-Date' or a 'Date' header. "},
        {"Bearer wrong", SL_FAILURE_DENIED, "Please make sure your API Key is valid."},
        {"Bearer ", SL_FAILURE_DENIED, "Please make sure your API Key is valid."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rig r;
        rig_init(&r);
        if (cases[i].value)
            add(&r, "Authorization", cases[i].value);
        assert_refused(&r, cases[i].kind, cases[i].words);
        rig_done(&r);
    }
}

static void test_api_keys(void **state) {
    (void)state;
    static const char *const headers[][2] = {{"Authorization", "Bearer " SL_SIM_BEARER},
                                             {"authorization", "bearer  " SL_SIM_BEARER},
                                             {"x-api-key", SL_SIM_BEARER}};
    for (size_t i = 0; i < 3; i++) {
        struct rig r;
        rig_init(&r);
        add(&r, headers[i][0], headers[i][1]);
        assert_int_equal(judge(&r, "anything"), 0);
        assert_false(r.auth.signature_due);
        rig_done(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signed_is_let_in),
        cmocka_unit_test(test_each_part_is_under_the_signature),
        cmocka_unit_test(test_body_is_under_the_signature),
        cmocka_unit_test(test_mismatch_shows_the_canonical_request),
        cmocka_unit_test(test_content_hash_must_match),
        cmocka_unit_test(test_scope_and_identity),
        cmocka_unit_test(test_clock_skew),
        cmocka_unit_test(test_what_must_be_signed),
        cmocka_unit_test(test_incomplete_headers),
        cmocka_unit_test(test_api_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
