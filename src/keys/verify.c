/*
 * SigV4, verified as AWS does it. What the head alone can tell is checked at the head, so that a
 * stranger's body is not kept: the parts of the proof, the key's id, the scope, the list of signed
 * headers, the date. Where the head names the body's hash, as the JavaScript SDK's does, the
 * signature is checked there too, and the body only against that hash.
 *
 * A key id that nobody has is checked like any other, with a secret that nobody has, so that time
 * does not tell one from the other.
 *
 * Stricter than AWS in two ways that no client notices: names in SignedHeaders must be in lower
 * case and in order, and a presigned query counts as it is on the wire.
 */
#include "keys/verify.h"

#include <openssl/mem.h>
#include <string.h>

#include "keys/derive.h"

#define HASH_DIGITS ((size_t)2 * SL_SHA256_SIZE)
#define DAY_DIGITS  8

#define HASH_WORDS "The provided 'x-amz-content-sha256' header does not match what was computed."
#define MISMATCH_WORDS                                                                             \
    "The request signature we calculated does not match the signature you provided. Check your "   \
    "AWS Secret Access Key and signing method. Consult the service documentation for details."

/* ---- The parts -------------------------------------------------------------------- */

/* Names each part that a header lacks. The signature itself is not echoed. */
static int refuse_incomplete(struct sl_proof_look *look, struct sl_slice value, bool dated) {
    static const struct {
        struct sl_slice part;
        const char *words;
    } needs[] = {
        {SL_LIT("Credential="), "Authorization header requires 'Credential' parameter. "},
        {SL_LIT("Signature="), "Authorization header requires 'Signature' parameter. "},
        {SL_LIT("SignedHeaders="), "Authorization header requires 'SignedHeaders' parameter. "},
    };
    const char *missing[3];
    bool whole = dated;
    for (size_t i = 0; i < 3; i++) {
        bool there = sl_slice_search(value, needs[i].part) < value.len;
        missing[i] = there ? "" : needs[i].words;
        whole = whole && there;
    }
    if (whole)
        return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                               "Credential must have exactly 5 slash-delimited elements, e.g. "
                               "keyid/date/region/service/term, and Signature 64 hex digits.");
    return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE, "%s%s%s%sAuthorization=%.*s",
                           missing[0], missing[1], missing[2],
                           dated ? ""
                                 : "Authorization header requires existence of either a "
                                   "'X-Amz-Date' or a 'Date' header. ",
                           SL_FMT(sl_slice_head(value, sl_slice_find(value, ' '))));
}

static int read_header(struct sl_proof_look *look, struct sl_slice value,
                       struct sl_verify_claim *claim) {
    const struct sl_headers *headers = &look->head->headers;
    claim->date = sl_headers_get(headers, SL_LIT("x-amz-date"));
    if (claim->date.len == 0)
        claim->date = sl_headers_get(headers, SL_LIT("date"));
    look->proof->query = sl_target_query(look->head->target);
    if (claim->date.len == 0 ||
        sl_sigv4_parse_authorization(value, &look->proof->credential) != SL_OK)
        return refuse_incomplete(look, value, claim->date.len > 0);
    return SL_OK;
}

/* ---- The scope -------------------------------------------------------------------- */

static int check_scope(struct sl_proof_look *look) {
    struct sl_slice service = look->proof->credential.service;
    if (sl_slice_eq(service, SL_LIT("bedrock")) || sl_slice_eq(service, SL_LIT("bedrock-mantle")))
        return SL_OK;
    return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                           "Credential should be scoped to correct service: 'bedrock'.");
}

/* ---- Signed headers --------------------------------------------------------------- */

static bool is_host(struct sl_slice name) {
    return sl_slice_eq(name, SL_LIT("host")) || sl_slice_eq(name, SL_LIT(":authority"));
}

static bool is_lower(struct sl_slice name) {
    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] >= 'A' && name.ptr[i] <= 'Z')
            return false;
    return true;
}

static bool is_before(struct sl_slice a, struct sl_slice b) {
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order < 0 || (order == 0 && a.len < b.len);
}

static bool is_signed(struct sl_slice names, struct sl_slice name) {
    struct sl_slice part;
    while (sl_slice_split(&names, ';', &part))
        if (sl_slice_ieq(part, name))
            return true;
    return false;
}

/* The list itself: canonical, and nothing in it that is not there. */
static int check_list(struct sl_proof_look *look) {
    struct sl_slice names = look->proof->credential.signed_headers, name;
    struct sl_slice former = SL_EMPTY;
    while (sl_slice_split(&names, ';', &name)) {
        if (!is_lower(name) || (former.len > 0 && !is_before(former, name)))
            return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                                   "SignedHeaders must be names in lower case, sorted, each once: "
                                   "'%.*s'.",
                                   SL_FMT(look->proof->credential.signed_headers));
        bool there = is_host(name) ? look->head->authority.len > 0
                                   : sl_headers_find(&look->head->headers, name) != NULL;
        if (!there)
            return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                                   "'%.*s' is a 'SignedHeader' in the AWS Authorization, and not "
                                   "in the request.",
                                   SL_FMT(name));
        former = name;
    }
    return SL_OK;
}

/* The host and every x-amz-* header that is there must be under the signature. */
static int check_signed_headers(struct sl_proof_look *look) {
    struct sl_slice names = look->proof->credential.signed_headers, prefix = SL_LIT("x-amz-");
    const struct sl_headers *headers = &look->head->headers;
    if (!is_signed(names, SL_LIT("host")) && !is_signed(names, SL_LIT(":authority")))
        return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                               "'Host' or ':authority' must be a 'SignedHeader' in the AWS "
                               "Authorization.");
    for (size_t i = 0; i < headers->count; i++) {
        struct sl_slice name = headers->items[i].name;
        if (sl_slice_ieq(sl_slice_head(name, prefix.len), prefix) && !is_signed(names, name))
            return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                                   "'%.*s' must be a 'SignedHeader' in the AWS Authorization.",
                                   SL_FMT(name));
    }
    return check_list(look);
}

/* ---- The date --------------------------------------------------------------------- */

static bool is_digits(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

static bool is_amz_date(struct sl_slice date) {
    return date.len == SL_AMZ_DATE_SIZE - 1 && date.ptr[DAY_DIGITS] == 'T' &&
           date.ptr[date.len - 1] == 'Z' && is_digits(sl_slice_head(date, DAY_DIGITS)) &&
           is_digits(sl_slice_of(date.ptr + DAY_DIGITS + 1, 6));
}

/*
 * "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7) as "19941106T084937Z". botocore writes "-0000"
 * in place of GMT (RFC 5322 3.3).
 */
static bool read_http_date(struct sl_slice date, char out[SL_AMZ_DATE_SIZE]) {
    static const char form[] = "aaa, 00 aaa 0000 00:00:00 ";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct sl_slice zone = sl_slice_skip(date, sizeof(form) - 1);
    if (!sl_slice_eq(zone, SL_LIT("GMT")) && !sl_slice_eq(zone, SL_LIT("-0000")) &&
        !sl_slice_eq(zone, SL_LIT("+0000")))
        return false;
    for (size_t i = 0; i < sizeof(form) - 1; i++) {
        bool digit = date.ptr[i] >= '0' && date.ptr[i] <= '9';
        if (form[i] == '0' ? !digit : form[i] != 'a' && form[i] != date.ptr[i])
            return false;
    }
    const size_t end = sizeof(months) - 1;
    size_t month = sl_slice_search(sl_slice_of(months, end), sl_slice_of(date.ptr + 8, 3));
    if (month == end || month % 3 != 0)
        return false;
    month = month / 3 + 1;
    memcpy(out, date.ptr + 12, 4);
    out[4] = (char)('0' + month / 10);
    out[5] = (char)('0' + month % 10);
    memcpy(out + 6, date.ptr + 5, 2);
    out[8] = 'T';
    memcpy(out + 9, date.ptr + 17, 2);
    memcpy(out + 11, date.ptr + 20, 2);
    memcpy(out + 13, date.ptr + 23, 2);
    memcpy(out + 15, "Z", 2);
    return true;
}

/* The date in the one form that is signed, whichever header it came from. */
static int read_date(struct sl_proof_look *look, struct sl_slice date, int64_t *then_s) {
    char *out = look->proof->date;
    int64_t ms;
    bool good = is_amz_date(date);
    if (good)
        memcpy(out, date.ptr, date.len);
    else
        good = read_http_date(date, out);
    if (!good || sl_clock_parse_iso(out, SL_AMZ_DATE_SIZE - 1, &ms) != 0)
        return sl_proof_refuse(look, SL_FAILURE_INCOMPLETE_SIGNATURE,
                               "Date must be in ISO-8601 'basic format'. Got '%.*s'. See "
                               "http://en.wikipedia.org/wiki/ISO_8601",
                               SL_FMT(date));
    *then_s = ms / 1000;
    return SL_OK;
}

static int refuse_date(struct sl_proof_look *look, bool expired, int64_t edge_s, uint64_t by_s) {
    char now[SL_AMZ_DATE_SIZE], edge[SL_AMZ_DATE_SIZE];
    bool minutes = by_s % 60 == 0;
    sl_clock_amz_date((int64_t)look->wall_s * 1000, now);
    sl_clock_amz_date(edge_s * 1000, edge);
    return sl_proof_refuse(
        look, SL_FAILURE_BAD_SIGNATURE, "Signature %s: %s is %s %s (%s %c %llu %s.)",
        expired ? "expired" : "not yet current", look->proof->date,
        expired ? "now earlier than" : "still later than", edge, now, expired ? '-' : '+',
        (unsigned long long)(minutes ? by_s / 60 : by_s), minutes ? "min" : "sec");
}

static int check_date(struct sl_proof_look *look, const struct sl_verify_claim *claim) {
    struct sl_slice day = look->proof->credential.date;
    struct sl_slice today = sl_slice_of(look->proof->date, DAY_DIGITS);
    uint64_t skew = look->settings->skew_s;
    uint64_t lasts = claim->presigned ? claim->expires_s : skew;
    int64_t now = (int64_t)look->wall_s, then = 0;
    int rc = read_date(look, claim->date, &then);
    if (rc < 0)
        return rc;
    if (!sl_slice_eq(day, today))
        return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                               "Date in Credential scope does not match YYYYMMDD from ISO-8601 "
                               "version of date from HTTP: '%.*s' != '%.*s', from '%.*s'.",
                               SL_FMT(day), SL_FMT(today), SL_FMT(claim->date));
    if (then < now - (int64_t)lasts)
        return refuse_date(look, true, now - (int64_t)lasts, lasts);
    if (then > now + (int64_t)skew)
        return refuse_date(look, false, now + (int64_t)skew, skew);
    return SL_OK;
}

/* ---- The body's hash -------------------------------------------------------------- */

static int digit_of(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What the head says of the body. UNSIGNED-PAYLOAD and STREAMING-… are no hash, and refused. */
static int read_claimed(struct sl_proof_look *look) {
    struct sl_proof *proof = look->proof;
    const struct sl_header *header =
        sl_headers_find(&look->head->headers, SL_LIT("x-amz-content-sha256"));
    if (!header)
        return SL_OK;
    bool good = header->value.len == HASH_DIGITS;
    for (size_t i = 0; good && i < SL_SHA256_SIZE; i++) {
        int high = digit_of(header->value.ptr[2 * i]), low = digit_of(header->value.ptr[2 * i + 1]);
        good = high >= 0 && low >= 0;
        proof->claimed[i] = (uint8_t)(good ? high << 4 | low : 0);
    }
    proof->has_claimed = good;
    if (good)
        return SL_OK;
    return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                           HASH_WORDS " It must be the SHA-256 of the body in hex.");
}

/* ---- The signature ---------------------------------------------------------------- */

/* What is signed, but for the secret. Lives on the caller's stack and points into itself. */
struct signable {
    struct sl_sigv4_request request;
    struct sl_sigv4_scope scope;
    struct sl_sigv4_header headers[SL_SIGV4_MAX_HEADERS];
    char hash[HASH_DIGITS];
};

/*
 * The headers that the client says it signed, as they arrived. host: in place of what the request
 * says, where ptr is not NULL. One more than the maximum makes signing fail.
 */
static int collect(struct signable *s, const struct sl_proof_look *look, struct sl_slice host) {
    struct sl_slice names = look->proof->credential.signed_headers, name;
    const struct sl_headers *headers = &look->head->headers;
    size_t n = 0;
    while (sl_slice_split(&names, ';', &name)) {
        if (is_host(name)) {
            if (n == SL_SIGV4_MAX_HEADERS)
                return SL_E_LIMIT;
            s->headers[n++] =
                (struct sl_sigv4_header){name, host.ptr ? host : look->head->authority};
            continue;
        }
        for (size_t i = 0; i < headers->count; i++) {
            if (!sl_slice_ieq(headers->items[i].name, name))
                continue;
            if (n == SL_SIGV4_MAX_HEADERS)
                return SL_E_LIMIT;
            s->headers[n++] = (struct sl_sigv4_header){name, headers->items[i].value};
        }
    }
    s->request.headers = s->headers;
    s->request.header_count = n;
    return SL_OK;
}

static void put_hex(const uint8_t hash[SL_SHA256_SIZE], char out[HASH_DIGITS]) {
    for (size_t i = 0; i < SL_SHA256_SIZE; i++) {
        *out++ = "0123456789abcdef"[hash[i] >> 4];
        *out++ = "0123456789abcdef"[hash[i] & 15];
    }
}

static void prepare(struct signable *s, const struct sl_proof_look *look,
                    const uint8_t hash[SL_SHA256_SIZE]) {
    const struct sl_proof *proof = look->proof;
    put_hex(hash, s->hash);
    s->scope = (struct sl_sigv4_scope){.region = proof->credential.region,
                                       .service = proof->credential.service};
    memcpy(s->scope.date, proof->date, sizeof(s->scope.date));
    s->request = (struct sl_sigv4_request){.method = look->head->method,
                                           .path = sl_target_path(look->head->target),
                                           .query = proof->query,
                                           .body_hash = sl_slice_of(s->hash, HASH_DIGITS)};
}

/* With one master secret and one host. *match is written on success. */
static int compare(struct signable *s, struct sl_proof_look *look, size_t master, bool *match) {
    struct sl_keys *keys = look->keys;
    struct sl_proof *proof = look->proof;
    char secret[SL_KEY_SECRET_LEN + 1], signature[SL_SIGV4_SIGNATURE_SIZE];
    sl_key_secret(keys->extracted[master], proof->key->client.id, proof->generation, secret);
    int rc = sl_sigv4_sign(&proof->key->signing[master], sl_slice_str(secret), &s->scope,
                           &s->request, &keys->scratch, signature);
    explicit_bzero(secret, sizeof(secret));
    if (rc == SL_OK)
        *match = sl_slice_eq_secret(proof->credential.signature,
                                    sl_slice_of(signature, sizeof(signature)));
    explicit_bzero(signature, sizeof(signature));
    return rc;
}

/* By any of the master secrets, for the request's host or any that a proxy may have rewritten. */
static int match_signature(struct signable *s, struct sl_proof_look *look, bool *match) {
    *match = false;
    for (size_t h = 0; h <= look->settings->trusted_host_count; h++) {
        struct sl_slice host =
            h > 0 ? look->settings->trusted_hosts[h - 1] : (struct sl_slice){NULL, 0};
        int rc = collect(s, look, host);
        for (size_t m = 0; rc == SL_OK && !*match && m < look->keys->masters; m++)
            rc = compare(s, look, m, match);
        if (rc < 0 || *match)
            return rc;
    }
    return collect(s, look, (struct sl_slice){NULL, 0}); /* what a refusal shows */
}

static int refuse_mismatch(struct sl_proof_look *look, const struct signable *s) {
    const struct sl_sigv4_credential *c = &look->proof->credential;
    struct sl_buf *canonical = &look->keys->scratch;
    uint8_t digest[SL_SHA256_SIZE];
    char hex[HASH_DIGITS];
    sl_buf_clear(canonical);
    int rc = sl_sigv4_canonical(canonical, &s->request);
    if (rc == SL_OK) {
        sl_sha256_of(sl_buf_slice(canonical), digest);
        put_hex(digest, hex);
        rc = sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                             MISMATCH_WORDS
                             "\n\nThe Canonical String for this request should have been\n"
                             "'%.*s'\n\nThe String-to-Sign should have been\n"
                             "'AWS4-HMAC-SHA256\n%s\n%.*s/%.*s/%.*s/aws4_request\n%.*s'\n",
                             SL_FMT(sl_buf_slice(canonical)), look->proof->date, SL_FMT(c->date),
                             SL_FMT(c->region), SL_FMT(c->service), (int)HASH_DIGITS, hex);
    }
    sl_buf_clear(canonical);
    /* A request whose text finds no room in its arena is refused all the same, in fewer words. */
    return rc == SL_E_DENIED ? rc : sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE, MISMATCH_WORDS);
}

/* SL_OK: the signature is right. */
static int check_signature(struct sl_proof_look *look, const uint8_t hash[SL_SHA256_SIZE]) {
    struct sl_keys *keys = look->keys;
    struct signable s;
    bool match, known = look->proof->key != keys->nobody;
    prepare(&s, look, hash);
    int rc = match_signature(&s, look, &match);
    if (rc == SL_E_NOMEM)
        return rc;
    if (known && rc < 0)
        return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE,
                               "The request cannot be verified: it has more than %d signed headers "
                               "or %d query parameters, or a path that is none.",
                               SL_SIGV4_MAX_HEADERS, SL_SIGV4_MAX_QUERY);
    if (known && match)
        return SL_OK;
    sl_failures_note(&keys->failures, look->address, look->now);
    if (known)
        return refuse_mismatch(look, &s);
    return sl_proof_refuse(look, SL_FAILURE_UNKNOWN_CLIENT,
                           "The security token included in the request is invalid.");
}

/* ---- Head and body ---------------------------------------------------------------- */

static void find_key(struct sl_proof_look *look) {
    struct sl_proof *proof = look->proof;
    char id[SL_KEY_ID_SIZE + 1];
    struct sl_key *key = NULL;
    proof->generation = 1;
    if (sl_key_parse_access_id(proof->credential.access_key_id, id, &proof->generation))
        key = sl_keys_by_id(look->keys, id);
    /* A generation still to come is as unknown as a key that was never made. */
    if (!key || proof->generation == 0 || proof->generation > key->generation)
        key = look->keys->nobody;
    proof->key = key;
    sl_keys_hold(&key->client);
}

int sl_verify_head(struct sl_proof_look *look, struct sl_slice value) {
    struct sl_proof *proof = look->proof;
    struct sl_verify_claim claim = {.presigned = value.len == 0};
    int rc = claim.presigned ? sl_presigned_read(look, &claim) : read_header(look, value, &claim);
    if (rc == SL_OK)
        rc = check_scope(look);
    if (rc == SL_OK)
        rc = check_signed_headers(look);
    if (rc == SL_OK)
        rc = check_date(look, &claim);
    if (rc == SL_OK)
        rc = read_claimed(look);
    if (rc < 0)
        return rc;
    find_key(look);
    proof->needs_body = true;
    if (proof->has_claimed || proof->key == look->keys->nobody) {
        rc = check_signature(look, proof->claimed);
        proof->proved = rc == SL_OK;
    }
    return rc == SL_OK ? SL_E_AGAIN : rc;
}

int sl_verify_body(struct sl_proof_look *look, const uint8_t sha256[SL_SHA256_SIZE]) {
    struct sl_proof *proof = look->proof;
    if (proof->has_claimed && CRYPTO_memcmp(proof->claimed, sha256, SL_SHA256_SIZE) != 0)
        return sl_proof_refuse(look, SL_FAILURE_BAD_SIGNATURE, HASH_WORDS);
    if (!proof->proved) {
        int rc = check_signature(look, sha256);
        if (rc < 0)
            return rc;
        proof->proved = true;
    }
    return sl_proof_admit(look, proof->generation);
}
