/* Who is let in, by each way; then each part of a proof spoiled. Signing is wire's own here; that
 * botocore's is understood as well shows tests/e2e/test_verify.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "keys/derive.h"
#include "keys/records.h"
#include "sluice/base/mem.h"

#define NOW_S   UINT64_C(1795342039) /* 2026-11-22T10:07:19Z */
#define ADDRESS SL_LIT("192.0.2.1:1000")
#define BODY    "{\"prompt\":\"hi\"}"
#define ID      "k3vqa7m2zc"

static const uint8_t masters[SL_KEY_MASTERS][SL_KEY_MASTER_SIZE] = {
    "the first master secret ........", "and the one being retired ......"};

struct rig {
    struct sl_keys *keys;
    struct sl_key_record record;
    struct sl_key_secrets secrets;
    struct sl_arena arena;
    struct sl_request_head head;
    struct sl_verify_settings settings;
    struct sl_proof proof;
    struct sl_slice subject;
    uint64_t wall_s, now;
    /* How to sign. */
    const char *service, *authority_name, *unsigned_name, *access_key_id, *secret;
    uint64_t signed_at, expires_s;
};

static struct rig rig;

static void add(const char *name, const char *value) {
    assert_int_equal(
        sl_headers_add_copy(&rig.head.headers, &rig.arena, sl_slice_str(name), sl_slice_str(value)),
        0);
}

/* A request anew; keys and what they know of failures stay. */
static void new_request(void) {
    sl_proof_done(&rig.proof);
    sl_arena_done(&rig.arena);
    sl_arena_init(&rig.arena, 1 << 20);
    rig.head = (struct sl_request_head){
        .method = SL_LIT("POST"),
        .authority = SL_LIT("127.0.0.1:8080"),
        .target = SL_LIT("/model/meta.llama3-8b-instruct-v1%3A0/invoke?x=1")};
    rig.subject = SL_EMPTY;
    rig.service = "bedrock";
    rig.authority_name = "host";
    rig.unsigned_name = NULL;
    rig.access_key_id = rig.secrets.access_key_id;
    rig.secret = rig.secrets.secret;
    rig.signed_at = rig.wall_s = NOW_S;
    rig.expires_s = 600;
    add("Content-Type", "application/json");
    add("X-Amz-Security-Token", "TOKEN");
}

static void put_record(void) {
    assert_int_equal(sl_keys_put(rig.keys, &rig.record), 0);
}

static int setup(void **state) {
    (void)state;
    rig = (struct rig){.keys = sl_keys_new(masters, 1),
                       .record = {.id = ID, .name = "team", .generation = 1},
                       .settings = {.skew_s = 300},
                       .now = 5000};
    put_record();
    assert_int_equal(sl_key_secrets(rig.keys, &rig.record, &rig.secrets), 0);
    new_request();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sl_proof_done(&rig.proof);
    sl_arena_done(&rig.arena);
    sl_keys_free(rig.keys);
    return 0;
}

/* ---- Signing ---------------------------------------------------------------------- */

static void hash_hex(const char *body, char out[65]) {
    uint8_t digest[SL_SHA256_SIZE];
    sl_sha256_of(sl_slice_str(body), digest);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

/* Signs what the head holds, with `query`, and writes the signature. */
static void sign_request(struct sl_sigv4_request *request, struct sl_sigv4_scope *scope,
                         struct sl_sigv4_header *headers, struct sl_slice query, const char *hash,
                         char signature[SL_SIGV4_SIGNATURE_SIZE]) {
    struct sl_sigv4_key key = {0};
    struct sl_buf scratch;
    size_t n = 0;
    headers[n++] = (struct sl_sigv4_header){sl_slice_str(rig.authority_name), rig.head.authority};
    for (size_t i = 0; i < rig.head.headers.count; i++)
        if (!sl_slice_ieq(rig.head.headers.items[i].name, sl_slice_str(rig.unsigned_name)))
            headers[n++] = (struct sl_sigv4_header){rig.head.headers.items[i].name,
                                                    rig.head.headers.items[i].value};
    *request = (struct sl_sigv4_request){.method = rig.head.method,
                                         .path = sl_target_path(rig.head.target),
                                         .query = query,
                                         .headers = headers,
                                         .header_count = n,
                                         .body_hash = sl_slice_of(hash, 64)};
    sl_buf_init(&scratch, 1 << 16);
    assert_int_equal(
        sl_sigv4_sign(&key, sl_slice_str(rig.secret), scope, request, &scratch, signature), 0);
    sl_sigv4_key_done(&key);
    sl_buf_done(&scratch);
}

static struct sl_sigv4_scope scope_of_rig(void) {
    struct sl_sigv4_scope scope = {.region = SL_LIT("eu-north-7"),
                                   .service = sl_slice_str(rig.service)};
    sl_clock_amz_date((int64_t)rig.signed_at * 1000, scope.date);
    return scope;
}

/* With a date in the header of that name. */
static void sign_with(const char *date_name, const char *date) {
    struct sl_sigv4_scope scope = scope_of_rig();
    struct sl_sigv4_header headers[16];
    struct sl_sigv4_request request;
    char signature[SL_SIGV4_SIGNATURE_SIZE], hash[65];
    struct sl_buf value;
    add(date_name, date ? date : scope.date);
    hash_hex(BODY, hash);
    sign_request(&request, &scope, headers, sl_target_query(rig.head.target), hash, signature);
    sl_buf_init(&value, 1 << 16);
    assert_int_equal(sl_sigv4_authorization(&value, sl_slice_str(rig.access_key_id), &scope,
                                            &request, signature),
                     0);
    assert_int_equal(sl_buf_terminate(&value), 0);
    add("Authorization", value.ptr);
    sl_buf_done(&value);
}

static void sign(void) {
    sign_with("X-Amz-Date", NULL);
}

/* A presigned request has no headers but its host, and no body. */
static void presign(void) {
    struct sl_sigv4_scope scope = scope_of_rig();
    struct sl_sigv4_header headers[16];
    struct sl_sigv4_request request;
    struct sl_slice query, target;
    char signature[SL_SIGV4_SIGNATURE_SIZE], hash[65];
    rig.head.headers.count = 0;
    rig.head.method = SL_LIT("GET");
    hash_hex("", hash);
    assert_int_equal(
        sl_arena_printf(&rig.arena, &query,
                        "x=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=%s%%2F%.8s%%2F"
                        "eu-north-7%%2F%s%%2Faws4_request&X-Amz-Date=%s&X-Amz-Expires=%llu&"
                        "X-Amz-SignedHeaders=host",
                        rig.access_key_id, scope.date, rig.service, scope.date,
                        (unsigned long long)rig.expires_s),
        0);
    sign_request(&request, &scope, headers, query, hash, signature);
    assert_int_equal(sl_arena_printf(&rig.arena, &target, "%.*s?%.*s&X-Amz-Signature=%.64s",
                                     SL_FMT(request.path), SL_FMT(query), signature),
                     0);
    rig.head.target = target;
}

/* ---- Judging ---------------------------------------------------------------------- */

static int look_at_head(void) {
    sl_proof_done(&rig.proof);
    return sl_proof_head(rig.keys, &rig.proof, &rig.settings, &rig.head, rig.subject, ADDRESS,
                         &rig.arena, rig.now, rig.wall_s);
}

static int look_at_body(const char *body) {
    uint8_t digest[SL_SHA256_SIZE];
    sl_sha256_of(sl_slice_str(body), digest);
    return sl_proof_body(rig.keys, &rig.proof, &rig.settings, &rig.head, digest, ADDRESS,
                         &rig.arena, rig.now, rig.wall_s);
}

static int judge(const char *body) {
    int rc = look_at_head();
    assert_int_equal(rig.proof.needs_body && rc != SL_E_DENIED, rc == SL_E_AGAIN);
    return rc == SL_E_AGAIN ? look_at_body(body) : rc;
}

static void assert_admitted(const char *body) {
    if (judge(body) != SL_OK)
        fail_msg("%.*s", SL_FMT(rig.proof.message));
    assert_string_equal(rig.proof.client->name, "team");
}

static void assert_words(enum sl_failure failure, const char *words) {
    assert_null(rig.proof.client);
    assert_int_equal(rig.proof.failure, failure);
    if (sl_slice_search(rig.proof.message, sl_slice_str(words)) == rig.proof.message.len)
        fail_msg("'%.*s' does not hold '%s'", SL_FMT(rig.proof.message), words);
}

static void assert_refused(const char *body, enum sl_failure failure, const char *words) {
    assert_int_equal(judge(body), SL_E_DENIED);
    assert_words(failure, words);
}

/* ---- Tokens ----------------------------------------------------------------------- */

static void add_bearer(const char *scheme, const char *token) {
    char value[160];
    snprintf(value, sizeof(value), "%s%s", scheme, token);
    add("authorization", value);
}

static void test_bearer(void **state) {
    (void)state;
    const char *const schemes[] = {"Bearer ", "bearer ", "BEARER   "};
    for (size_t i = 0; i < 3; i++) {
        new_request();
        add_bearer(schemes[i], rig.secrets.bearer);
        assert_int_equal(look_at_head(), SL_OK);
        assert_string_equal(rig.proof.client->name, "team");
        assert_int_equal(look_at_body("anything"), SL_OK);
    }
    new_request();
    add("X-Api-Key", rig.secrets.bearer);
    assert_admitted(BODY);
}

static void test_each_byte_of_a_token_counts(void **state) {
    (void)state;
    for (size_t i = 0; i < strlen(rig.secrets.bearer); i++) {
        char token[96];
        snprintf(token, sizeof(token), "%s", rig.secrets.bearer);
        token[i] = token[i] == 'b' ? 'c' : 'b';
        rig.now += 61 * SL_NS_PER_S; /* so that failures do not add up */
        new_request();
        add_bearer("Bearer ", token);
        assert_refused(BODY, SL_FAILURE_BAD_TOKEN,
                       "Authentication failed: Please make sure your API Key is valid.");
    }
}

static void test_no_proof(void **state) {
    (void)state;
    assert_refused(BODY, SL_FAILURE_NO_SIGNATURE, "Missing Authentication Token");
    new_request();
    add("Authorization", "Basic dXNlcjpwYXNz");
    assert_refused(BODY, SL_FAILURE_NO_SIGNATURE, "Missing Authentication Token");
}

static void test_bearer_goes_before_api_key(void **state) {
    (void)state;
    add_bearer("Bearer ", "wrong");
    add("x-api-key", rig.secrets.bearer);
    assert_refused(BODY, SL_FAILURE_BAD_TOKEN, "Authentication failed");
}

static void test_certificate(void **state) {
    (void)state;
    rig.record.subject = "CN=app";
    put_record();
    rig.subject = SL_LIT("CN=app");
    assert_admitted(BODY);
    new_request();
    rig.subject = SL_LIT("CN=stranger");
    assert_refused(BODY, SL_FAILURE_NO_SIGNATURE, "Missing");
    new_request();
    rig.subject = SL_LIT("CN=stranger");
    add_bearer("Bearer ", rig.secrets.bearer);
    assert_admitted(BODY);
    rig.record.revoked_at = 1;
    put_record();
    new_request();
    rig.subject = SL_LIT("CN=app");
    assert_refused(BODY, SL_FAILURE_UNKNOWN_CLIENT, "\"team\" was revoked");
}

/* ---- Standing --------------------------------------------------------------------- */

static void each_way(int way) {
    new_request();
    if (way == 0)
        add_bearer("Bearer ", rig.secrets.bearer);
    else if (way == 1)
        sign();
    else
        presign();
}

static const char *body_of(int way) {
    return way == 2 ? "" : BODY;
}

static void test_standing_is_told_to_who_has_the_secret(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        rig.record.revoked_at = rig.record.expires_at = 0;
        rig.record.generation = 1;
        put_record();
        each_way(way);
        assert_admitted(body_of(way));
        rig.record.expires_at = NOW_S + 1;
        put_record();
        each_way(way);
        assert_admitted(body_of(way));
        rig.record.expires_at = NOW_S;
        put_record();
        each_way(way);
        assert_refused(body_of(way), SL_FAILURE_EXPIRED_TOKEN,
                       "expired: the key \"team\" was valid until 2026-11-22T10:07:19.000Z");
        rig.record.revoked_at = 1;
        put_record();
        each_way(way);
        assert_refused(body_of(way), SL_FAILURE_UNKNOWN_CLIENT, "\"team\" was revoked");
    }
    each_way(1);
    rig.secret = "wrong";
    rig.head.headers.count = 0;
    sign();
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "does not match");
    assert_int_equal(sl_slice_search(rig.proof.message, SL_LIT("revoked")), rig.proof.message.len);
}

static void test_rotation(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++) {
        rig.record.generation = 2;
        rig.record.overlap_until = NOW_S + 1;
        put_record();
        each_way(way); /* the secrets are those of generation 1 */
        assert_admitted(body_of(way));
        rig.record.overlap_until = NOW_S;
        put_record();
        each_way(way);
        assert_refused(body_of(way), SL_FAILURE_UNKNOWN_CLIENT, "\"team\" was rotated");
        /* Two rotations back: a token is as good as wrong, a signature is still recognised. */
        rig.record.generation = 3;
        rig.record.overlap_until = NOW_S + 100;
        put_record();
        each_way(way);
        assert_refused(body_of(way), way ? SL_FAILURE_UNKNOWN_CLIENT : SL_FAILURE_BAD_TOKEN, "");
    }
    struct sl_key_secrets before = rig.secrets;
    assert_int_equal(sl_key_secrets(rig.keys, &rig.record, &rig.secrets), 0);
    assert_string_not_equal(before.bearer, rig.secrets.bearer);
    for (int way = 0; way < 3; way++) {
        each_way(way);
        assert_admitted(body_of(way));
    }
    rig.record.generation = 1; /* a generation that is not there yet */
    put_record();
    each_way(1);
    assert_refused(BODY, SL_FAILURE_UNKNOWN_CLIENT, "token included in the request is invalid.");
}

/* Generation 0 is what stands before the first: its token must open nothing. */
static void test_no_generation_before_the_first(void **state) {
    (void)state;
    char token[SL_KEY_BEARER_LEN + 1], access[SL_KEY_ACCESS_ID_LEN + 1],
        secret[SL_KEY_SECRET_LEN + 1];
    sl_key_bearer(rig.keys->extracted[0], ID, 0, token);
    sl_key_access_id(ID, 0, access);
    sl_key_secret(rig.keys->extracted[0], ID, 0, secret);
    rig.record.overlap_until = NOW_S + 100;
    put_record();
    new_request();
    add_bearer("Bearer ", token);
    assert_refused(BODY, SL_FAILURE_BAD_TOKEN, "");
    new_request();
    rig.access_key_id = access;
    rig.secret = secret;
    sign();
    assert_refused(BODY, SL_FAILURE_UNKNOWN_CLIENT, "");
}

static void test_two_masters(void **state) {
    (void)state;
    uint8_t swapped[2][SL_KEY_MASTER_SIZE];
    memcpy(swapped[0], masters[1], SL_KEY_MASTER_SIZE);
    memcpy(swapped[1], masters[0], SL_KEY_MASTER_SIZE);
    sl_keys_free(rig.keys);
    rig.keys = sl_keys_new(swapped, 2);
    put_record();
    for (int way = 0; way < 3; way++) { /* with secrets of the one being retired */
        each_way(way);
        assert_admitted(body_of(way));
    }
    assert_int_equal(sl_key_secrets(rig.keys, &rig.record, &rig.secrets), 0);
    for (int way = 0; way < 3; way++) {
        each_way(way);
        assert_admitted(body_of(way));
    }
    sl_proof_done(&rig.proof);
    sl_keys_free(rig.keys);
    rig.keys = sl_keys_new(masters, 1);
    put_record();
    each_way(0);
    assert_refused(BODY, SL_FAILURE_BAD_TOKEN, "");
}

/* ---- Signatures ------------------------------------------------------------------- */

static void test_signed(void **state) {
    (void)state;
    static const char *const names[] = {"host", ":authority"};
    static const char *const services[] = {"bedrock", "bedrock-mantle"};
    for (size_t i = 0; i < 4; i++) {
        new_request();
        rig.authority_name = names[i & 1];
        rig.service = services[i >> 1];
        sign();
        assert_admitted(BODY);
    }
}

static void test_body_is_signed(void **state) {
    (void)state;
    sign();
    assert_refused(BODY " ", SL_FAILURE_BAD_SIGNATURE, "does not match the signature you provided");
}

/* Where the head names the body's hash, a wrong signature is refused before the body. */
static void test_claimed_hash(void **state) {
    (void)state;
    char hash[65];
    hash_hex(BODY, hash);
    add("x-amz-content-sha256", hash);
    sign();
    assert_admitted(BODY);
    assert_refused(BODY " ", SL_FAILURE_BAD_SIGNATURE,
                   "'x-amz-content-sha256' header does not match what was computed");
    new_request();
    add("x-amz-content-sha256", hash);
    rig.secret = "wrong";
    sign();
    assert_int_equal(look_at_head(), SL_E_DENIED);
    assert_words(SL_FAILURE_BAD_SIGNATURE, "does not match the signature you provided");
}

static void test_unsigned_payloads(void **state) {
    (void)state;
    static const char *const values[] = {
        "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "", "00",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        new_request();
        add("x-amz-content-sha256", values[i]);
        sign();
        assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "It must be the SHA-256 of the body");
    }
}

static void test_mismatch_shows_what_was_expected(void **state) {
    (void)state;
    char hash[65], canonical[512];
    rig.secret = "wrong";
    sign();
    hash_hex(BODY, hash);
    snprintf(canonical, sizeof(canonical),
             "The Canonical String for this request should have been\n'POST\n"
             "/model/meta.llama3-8b-instruct-v1%%253A0/invoke\nx=1\n"
             "content-type:application/json\nhost:127.0.0.1:8080\nx-amz-date:20261122T100719Z\n"
             "x-amz-security-token:TOKEN\n\n"
             "content-type;host;x-amz-date;x-amz-security-token\n%s'\n\n"
             "The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20261122T100719Z\n"
             "20261122/eu-north-7/bedrock/aws4_request\n",
             hash);
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, canonical);
    /* Without room for it, fewer words; without any, no verdict. */
    size_t used = rig.arena.used;
    rig.arena.max = used + 300;
    rig.arena.next = rig.arena.end;
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "does not match the signature you provided");
    rig.arena.max = rig.arena.used;
    rig.arena.next = rig.arena.end;
    assert_int_equal(judge(BODY), SL_E_NOMEM);
    assert_null(rig.proof.client);
}

static void test_unknown_key_id(void **state) {
    (void)state;
    static const char *const ids[] = {"AKIDEXAMPLE", "AKSLK3VQA7M2ZDAAAAAB",
                                      "AKSLAAAAAAAAAAAAAAAB"};
    for (size_t i = 0; i < 3; i++) {
        new_request();
        rig.access_key_id = ids[i];
        sign();
        assert_int_equal(look_at_head(), SL_E_DENIED);
        assert_words(SL_FAILURE_UNKNOWN_CLIENT,
                     "The security token included in the request is invalid.");
    }
    /* Not even with the secret of the key that stands in for unknown ones. */
    new_request();
    char secret[SL_KEY_SECRET_LEN + 1];
    sl_key_secret(rig.keys->extracted[0], "aaaaaaaaaa", 1, secret);
    rig.access_key_id = "AKSLAAAAAAAAAAAAAAAB";
    rig.secret = secret;
    char hash[65];
    hash_hex(BODY, hash);
    add("x-amz-content-sha256", hash);
    sign();
    assert_int_equal(look_at_head(), SL_E_DENIED);
    assert_words(SL_FAILURE_UNKNOWN_CLIENT, "");
}

static void test_scope(void **state) {
    (void)state;
    rig.service = "s3";
    sign();
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "correct service: 'bedrock'");
}

static void test_host_and_amz_headers_must_be_signed(void **state) {
    (void)state;
    rig.unsigned_name = "X-Amz-Security-Token";
    sign();
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE,
                   "'X-Amz-Security-Token' must be a 'SignedHeader'");
    new_request();
    rig.authority_name = "forwarded-host";
    sign();
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "'Host' or ':authority' must be");
    new_request();
    sign();
    add("x-amz-user-agent", "added later");
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "'x-amz-user-agent' must be");
    new_request();
    sign();
    add("x-amzn-trace-id", "Root=1"); /* added by load balancers */
    add("X-Forwarded-For", "10.0.0.1");
    assert_admitted(BODY);
}

static void test_signed_headers_must_be_there(void **state) {
    (void)state;
    add("x-extra", "1");
    sign();
    rig.head.headers.items[2].name = SL_LIT("x-extrb");
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "'x-extra' is a 'SignedHeader'");
    new_request();
    sign();
    rig.head.authority = SL_EMPTY;
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "'host' is a 'SignedHeader'");
}

static void replace_in_authorization(const char *what, const char *with) {
    struct sl_header *h = &rig.head.headers.items[rig.head.headers.count - 1];
    size_t at = sl_slice_search(h->value, sl_slice_str(what));
    assert_true(at < h->value.len);
    struct sl_slice tail = sl_slice_skip(h->value, at + strlen(what));
    assert_int_equal(sl_arena_printf(&rig.arena, &h->value, "%.*s%s%.*s", (int)at, h->value.ptr,
                                     with, SL_FMT(tail)),
                     0);
}

static void test_list_of_headers_is_canonical(void **state) {
    (void)state;
    static const char *const lists[] = {"Content-type;host;", "host;content-type;",
                                        "content-type;host;host;"};
    for (size_t i = 0; i < 3; i++) {
        new_request();
        sign();
        replace_in_authorization("content-type;host;", lists[i]);
        assert_refused(BODY, SL_FAILURE_INCOMPLETE_SIGNATURE, "lower case, sorted");
    }
}

static void test_incomplete(void **state) {
    (void)state;
    static const struct {
        const char *what, *with, *words;
    } cases[] = {
        {"Credential=", "Credentjal=", "requires 'Credential' parameter. Authorization=AWS4-HMAC"},
        {"Signature=", "Signatura=", "requires 'Signature' parameter"},
        {"SignedHeaders=", "signedHeaders=", "requires 'SignedHeaders' parameter"},
        {"aws4_request", "aws3_request", "exactly 5 slash-delimited"},
        {"AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256X ", "exactly 5 slash-delimited"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        new_request();
        sign();
        replace_in_authorization(cases[i].what, cases[i].with);
        assert_refused(BODY, SL_FAILURE_INCOMPLETE_SIGNATURE, cases[i].words);
    }
    new_request();
    sign_with("X-Not-A-Date", "x");
    assert_refused(BODY, SL_FAILURE_INCOMPLETE_SIGNATURE,
                   "requires existence of either a 'X-Amz-Date' or a 'Date' header");
}

static void test_clock_skew(void **state) {
    (void)state;
    rig.signed_at = NOW_S - 300;
    sign();
    assert_admitted(BODY);
    new_request();
    rig.signed_at = NOW_S + 300;
    sign();
    assert_admitted(BODY);
    new_request();
    rig.signed_at = NOW_S - 301;
    sign();
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE,
                   "Signature expired: 20261122T100218Z is now earlier than 20261122T100219Z "
                   "(20261122T100719Z - 5 min.)");
    new_request();
    rig.signed_at = NOW_S + 301;
    sign();
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE,
                   "Signature not yet current: 20261122T101220Z is still later than "
                   "20261122T101219Z (20261122T100719Z + 5 min.)");
}

static void test_dates(void **state) {
    (void)state;
    static const char *const bad[] = {"20261122T100719",
                                      "2026-11-22T10:07:19Z",
                                      "20261122t100719z",
                                      "20261322T100719Z",
                                      "Sun, 22 Nov 2026 10:07:19 UTC",
                                      "Sun, 22 ovD 2026 10:07:19 GMT",
                                      "Sun, 22 Nov 2026 10:07:1x GMT",
                                      "yesterday"};
    sign_with("Date", "Sun, 22 Nov 2026 10:07:19 GMT");
    assert_admitted(BODY);
    new_request();
    sign_with("Date", "Sun, 22 Nov 2026 10:07:19 -0000"); /* botocore */
    assert_admitted(BODY);
    new_request();
    sign_with("Date", "20261122T100719Z");
    assert_admitted(BODY);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        new_request();
        sign_with(i & 1 ? "X-Amz-Date" : "Date", bad[i]);
        assert_refused(BODY, SL_FAILURE_INCOMPLETE_SIGNATURE, "'basic format'. Got '");
    }
    new_request();
    sign();
    replace_in_authorization("/20261122/", "/20261121/");
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "Date in Credential scope does not match");
}

static void test_trusted_hosts(void **state) {
    (void)state;
    static const struct sl_slice hosts[] = {SL_LIT("other.example"), SL_LIT("llm.example")};
    sign();
    rig.head.authority = SL_LIT("10.0.0.5:8080"); /* a proxy rewrote it */
    struct sl_slice signed_for = SL_LIT("llm.example");
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "host:10.0.0.5:8080\n");
    rig.settings.trusted_hosts = hosts;
    rig.settings.trusted_host_count = 2;
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "host:10.0.0.5:8080\n");
    new_request();
    rig.head.authority = signed_for;
    sign();
    rig.head.authority = SL_LIT("10.0.0.5:8080");
    assert_admitted(BODY);
    new_request();
    sign();
    assert_admitted(BODY); /* unrewritten */
}

static void test_too_much_to_sign(void **state) {
    (void)state;
    char query[600] = "/model/m/invoke?";
    sign();
    for (size_t i = 0; i < 140; i++)
        memcpy(query + 16 + 2 * i, "a&", 3);
    rig.head.target = sl_slice_str(query);
    assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "cannot be verified: it has more than");
}

/* ---- Presigned queries ------------------------------------------------------------ */

static void test_presigned(void **state) {
    (void)state;
    rig.expires_s = 604800;
    rig.signed_at = NOW_S - 604800;
    presign();
    assert_admitted("");
    assert_refused("x", SL_FAILURE_BAD_SIGNATURE, "does not match the signature you provided");
    rig.wall_s++;
    assert_refused("", SL_FAILURE_BAD_SIGNATURE,
                   "Signature expired: 20261115T100719Z is now "
                   "earlier than 20261115T100720Z "
                   "(20261122T100720Z - 10080 min.)");
    new_request();
    rig.signed_at = NOW_S + 301;
    presign();
    assert_refused("", SL_FAILURE_BAD_SIGNATURE, "not yet current");
    new_request();
    presign();
    add("x-amz-user-agent", "unsigned");
    assert_refused("", SL_FAILURE_BAD_SIGNATURE, "'x-amz-user-agent' must be");
}

static void replace_in_target(const char *what, const char *with) {
    size_t at = sl_slice_search(rig.head.target, sl_slice_str(what));
    assert_true(at < rig.head.target.len);
    struct sl_slice tail = sl_slice_skip(rig.head.target, at + strlen(what));
    assert_int_equal(sl_arena_printf(&rig.arena, &rig.head.target, "%.*s%s%.*s", (int)at,
                                     rig.head.target.ptr, with, SL_FMT(tail)),
                     0);
}

static void test_presigned_parts(void **state) {
    (void)state;
    static const struct {
        const char *what, *with, *words;
    } cases[] = {
        {"X-Amz-Expires=600", "X-Amz-Expires=604801", "from 1 to 604800"},
        {"X-Amz-Expires=600", "X-Amz-Expires=0", "from 1 to 604800"},
        {"X-Amz-Expires=600", "X-Amz-Expires=-1", "from 1 to 604800"},
        {"X-Amz-Expires=600", "X-Amz-Expires=", "must include 'X-Amz-Expires'"},
        {"X-Amz-Date=", "X-Amz-Data=", "must include 'X-Amz-Date'"},
        {"X-Amz-Signature=", "X-Amz-Signatura=", "must include 'X-Amz-Signature'"},
        {"X-Amz-Algorithm=", "X-Amz-algorithm=", "must include 'X-Amz-Algorithm'"},
        {"AWS4-HMAC-SHA256", "AWS4-HMAC-SHA255", "Unsupported AWS 'algorithm'"},
        {"x=1", "X-Amz-Date=20261122T100719Z", "each may stand once"},
        {"=host", "=host%0a", "percent-encoded"},
        {"=host", "=host%zz", "percent-encoded"},
        {"aws4_request", "aws4_request%2Fx", "exactly 5 slash-delimited"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        new_request();
        presign();
        replace_in_target(cases[i].what, cases[i].with);
        assert_refused("", SL_FAILURE_INCOMPLETE_SIGNATURE, cases[i].words);
    }
    new_request();
    presign();
    replace_in_target("x=1", "x=2");
    assert_refused("", SL_FAILURE_BAD_SIGNATURE, "\nX-Amz-Algorithm=AWS4-HMAC-SHA256&");
}

/* ---- Failures --------------------------------------------------------------------- */

static void test_failures_are_limited(void **state) {
    (void)state;
    for (int i = 0; i < SL_PROOF_FAILURES; i++) {
        new_request();
        if (i % 3 == 0)
            add_bearer("Bearer ", "wrong");
        else if (i % 3 == 1)
            rig.secret = "wrong";
        else
            rig.access_key_id = "AKIDEXAMPLE";
        if (i % 3)
            sign();
        assert_int_equal(judge(BODY), SL_E_DENIED);
        assert_true(rig.proof.failure != SL_FAILURE_THROTTLED);
    }
    new_request();
    sign();
    assert_refused(BODY, SL_FAILURE_THROTTLED, "nothing from it is looked at for another 60 s");
    rig.now += 60 * SL_NS_PER_S;
    assert_admitted(BODY);
}

/* Mistakes that guess nothing are not counted. */
static void test_mistakes_are_no_failures(void **state) {
    (void)state;
    for (int i = 0; i < SL_PROOF_FAILURES; i++) {
        new_request();
        assert_refused(BODY, SL_FAILURE_NO_SIGNATURE, "");
        rig.signed_at = NOW_S - 1000;
        sign();
        assert_refused(BODY, SL_FAILURE_BAD_SIGNATURE, "Signature expired");
    }
    new_request();
    sign();
    assert_admitted(BODY);
}

/* ---- Lifetimes and memory --------------------------------------------------------- */

static void test_reload_between_head_and_body(void **state) {
    (void)state;
    sign();
    assert_int_equal(look_at_head(), SL_E_AGAIN);
    sl_keys_sweep(rig.keys);
    sl_keys_sweep(rig.keys);
    assert_int_equal(sl_keys_count(rig.keys), 0);
    assert_int_equal(look_at_body(BODY), SL_OK); /* it keeps what it began with */
    assert_string_equal(rig.proof.client->name, "team");
    sl_proof_done(&rig.proof);
    sl_proof_done(&rig.proof); /* safe on a zeroed struct */
    assert_refused(BODY, SL_FAILURE_UNKNOWN_CLIENT, "");
}

static void test_no_memory(void **state) {
    (void)state;
    for (int way = 0; way < 3; way++)
        for (uint64_t i = 1;; i++) {
            each_way(way);
            sl_proof_done(&rig.proof);
            sl_buf_done(&rig.keys->scratch);
            rig.arena.next = rig.arena.end;
            sl_mem_fail_after(i);
            int rc = judge(body_of(way));
            bool failed = sl_mem_fail_after(0) == 0;
            assert_int_equal(rc, failed ? SL_E_NOMEM : SL_OK);
            if (!failed)
                break;
        }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_bearer),
        TEST(test_each_byte_of_a_token_counts),
        TEST(test_no_proof),
        TEST(test_bearer_goes_before_api_key),
        TEST(test_certificate),
        TEST(test_standing_is_told_to_who_has_the_secret),
        TEST(test_rotation),
        TEST(test_no_generation_before_the_first),
        TEST(test_two_masters),
        TEST(test_signed),
        TEST(test_body_is_signed),
        TEST(test_claimed_hash),
        TEST(test_unsigned_payloads),
        TEST(test_mismatch_shows_what_was_expected),
        TEST(test_unknown_key_id),
        TEST(test_scope),
        TEST(test_host_and_amz_headers_must_be_signed),
        TEST(test_signed_headers_must_be_there),
        TEST(test_list_of_headers_is_canonical),
        TEST(test_incomplete),
        TEST(test_clock_skew),
        TEST(test_dates),
        TEST(test_trusted_hosts),
        TEST(test_too_much_to_sign),
        TEST(test_presigned),
        TEST(test_presigned_parts),
        TEST(test_failures_are_limited),
        TEST(test_mistakes_are_no_failures),
        TEST(test_reload_between_head_and_body),
        TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
