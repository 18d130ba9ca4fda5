/*
 * A head, judged. Input: a line for how, then method, target, authority, headers "name:value", an
 * empty line, the body. How: "raw" leaves all as it is; anything else signs the request with the
 * key's secret first, so that what lies behind a right signature is reached as well. Then it must
 * be let in, and with another body refused.
 */
#include <assert.h>

#include "sluice/base/clock.h"
#include "sluice/keys/keys.h"

#define MAX_HEADERS 64
#define NOW_S       UINT64_C(1795342039) /* 2026-11-22T10:07:19Z */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t master[1][SL_KEY_MASTER_SIZE] = {"a master secret for fuzzing ...."};
static struct sl_keys *keys;
static struct sl_key_secrets secrets;

static void set_up(void) {
    struct sl_key_record record = {
        .id = "fuzzfuzzfu", .name = "fuzz", .subject = "CN=fuzz", .generation = 1};
    if (keys)
        return;
    keys = sl_keys_new(master, 1);
    assert(keys);
    int rc = sl_keys_put(keys, &record);
    if (rc == SL_OK)
        rc = sl_key_secrets(keys, &record, &secrets);
    assert(rc == SL_OK);
}

struct input {
    struct sl_request_head head;
    struct sl_header headers[MAX_HEADERS + 2];
    struct sl_slice body;
    bool raw;
};

static bool read_input(struct input *in, struct sl_slice text) {
    struct sl_slice how, line;
    *in = (struct input){.head.headers = {in->headers, 0, MAX_HEADERS + 2}};
    if (!sl_slice_split(&text, '\n', &how) || !sl_slice_split(&text, '\n', &in->head.method) ||
        !sl_slice_split(&text, '\n', &in->head.target) ||
        !sl_slice_split(&text, '\n', &in->head.authority))
        return false;
    in->raw = sl_slice_eq(how, SL_LIT("raw"));
    while (sl_slice_split(&text, '\n', &line) && line.len > 0) {
        size_t colon = sl_slice_find(line, ':');
        if (in->head.headers.count == MAX_HEADERS)
            return false;
        in->headers[in->head.headers.count++] = (struct sl_header){
            sl_slice_head(line, colon), sl_slice_trim(sl_slice_skip(line, colon + 1))};
    }
    in->body = text.ptr ? text : SL_EMPTY;
    return true;
}

static int judge(const struct input *in, struct sl_slice body, struct sl_arena *arena) {
    static uint64_t now; /* a minute later each time, so that failures do not add up */
    const struct sl_slice hosts[] = {SL_LIT("trusted.example")};
    const struct sl_verify_settings settings = {
        .trusted_hosts = hosts, .trusted_host_count = 1, .skew_s = 300};
    struct sl_proof proof = {0};
    uint8_t hash[SL_SHA256_SIZE];
    struct sl_slice from = SL_LIT("192.0.2.1:1000");
    now += 61 * SL_NS_PER_S;
    int rc = sl_proof_head(keys, &proof, &settings, &in->head, SL_EMPTY, from, arena, now, NOW_S);
    if (rc == SL_E_AGAIN) {
        assert(proof.needs_body && !proof.client);
        sl_sha256_of(body, hash);
        rc = sl_proof_body(keys, &proof, &settings, &in->head, hash, from, arena, now, NOW_S);
    }
    assert(rc == SL_OK || rc == SL_E_DENIED || rc == SL_E_NOMEM);
    assert((rc == SL_OK) == (proof.client != NULL));
    assert((rc == SL_E_DENIED) == (proof.message.len > 0));
    sl_proof_done(&proof);
    return rc;
}

/* Headers that do not prove anything by themselves, with names that HTTP lets through. */
static bool is_plain(const struct input *in) {
    static const struct sl_slice special[] = {SL_LIT("authorization"), SL_LIT("x-api-key"),
                                              SL_LIT("x-amz-content-sha256"), SL_LIT("x-amz-date"),
                                              SL_LIT("host")};
    for (size_t i = 0; i < in->head.headers.count; i++) {
        struct sl_slice name = in->headers[i].name;
        for (size_t j = 0; j < sizeof(special) / sizeof(special[0]); j++)
            if (sl_slice_ieq(name, special[j]))
                return false;
        for (size_t j = 0; j < name.len; j++) {
            char c = sl_ascii_lower(name.ptr[j]);
            if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
                return false;
        }
        if (name.len == 0)
            return false;
    }
    return in->head.authority.len > 0;
}

/* Adds X-Amz-Date and Authorization. False: wire does not sign such a request. */
static bool sign(struct input *in, struct sl_buf *value) {
    struct sl_sigv4_scope scope = {.region = SL_LIT("us-east-1"), .service = SL_LIT("bedrock")};
    struct sl_sigv4_header headers[MAX_HEADERS + 2];
    struct sl_sigv4_key key = {.valid = false};
    struct sl_buf scratch, hex;
    char signature[SL_SIGV4_SIGNATURE_SIZE];
    uint8_t hash[SL_SHA256_SIZE];
    static char date[SL_AMZ_DATE_SIZE];
    sl_clock_amz_date((int64_t)NOW_S * 1000, date);
    memcpy(scope.date, date, sizeof(date));
    in->headers[in->head.headers.count++] =
        (struct sl_header){SL_LIT("X-Amz-Date"), sl_slice_str(date)};
    size_t n = 0;
    headers[n++] = (struct sl_sigv4_header){SL_LIT("host"), in->head.authority};
    for (size_t i = 0; i < in->head.headers.count; i++)
        headers[n++] = (struct sl_sigv4_header){in->headers[i].name, in->headers[i].value};
    sl_buf_init(&hex, 64);
    sl_buf_init(&scratch, 1 << 20);
    sl_sha256_of(in->body, hash);
    int rc = sl_buf_add_hex(&hex, hash, sizeof(hash));
    struct sl_sigv4_request request = {.method = in->head.method,
                                       .path = sl_target_path(in->head.target),
                                       .query = sl_target_query(in->head.target),
                                       .headers = headers,
                                       .header_count = n,
                                       .body_hash = sl_buf_slice(&hex)};
    if (rc == SL_OK)
        rc = sl_sigv4_sign(&key, sl_slice_str(secrets.secret), &scope, &request, &scratch,
                           signature);
    if (rc == SL_OK)
        rc = sl_sigv4_authorization(value, sl_slice_str(secrets.access_key_id), &scope, &request,
                                    signature);
    if (rc == SL_OK)
        in->headers[in->head.headers.count++] =
            (struct sl_header){SL_LIT("Authorization"), sl_buf_slice(value)};
    sl_sigv4_key_done(&key);
    sl_buf_done(&scratch);
    sl_buf_done(&hex);
    return rc == SL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct input in;
    struct sl_arena arena;
    struct sl_buf value;
    set_up();
    if (size > 1 << 16 || !read_input(&in, sl_slice_of(data, size)))
        return 0;
    sl_arena_init(&arena, 1 << 20);
    sl_buf_init(&value, 1 << 20);
    if (in.raw) {
        (void)judge(&in, in.body, &arena);
    } else if (is_plain(&in) && sign(&in, &value)) {
        int rc = judge(&in, in.body, &arena);
        assert(rc == SL_OK);
        rc = judge(&in, sl_slice_eq(in.body, SL_LIT("x")) ? SL_LIT("y") : SL_LIT("x"), &arena);
        assert(rc == SL_E_DENIED);
    }
    sl_buf_done(&value);
    sl_arena_done(&arena);
    return 0;
}
