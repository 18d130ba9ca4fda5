/*
 * Signing without allocation: headers and query parameters are sorted as slices on the
 * stack, the canonical request is written straight into the caller's buffer, and the
 * signing key is derived once a day.
 *
 * Invariant: no input can forge a line of the canonical request. Newlines are refused,
 * except in header values, where they collapse into a space like all white space.
 * A function that appends takes back its part when it fails.
 */
#include "sluice/wire/sigv4.h"

#include <assert.h>
#include <limits.h>
#include <openssl/mem.h>
#include <openssl/sha.h>

#include "sluice/wire/uri.h"

#define ALGORITHM  "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"
#define DAY_SIZE   8 /* "20150830", how an AMZ date begins */

static_assert(sizeof(struct sl_sha256) >= sizeof(SHA256_CTX), "opaque state too small");
static_assert(_Alignof(struct sl_sha256) >= _Alignof(SHA256_CTX), "opaque state misaligned");
static_assert(SL_SHA256_SIZE == SHA256_DIGEST_LENGTH, "digest size");

/* ---- SHA-256 and HMAC ------------------------------------------------------------- */

static SHA256_CTX *state_of(struct sl_sha256 *h) {
    return (SHA256_CTX *)h->opaque;
}

void sl_sha256_init(struct sl_sha256 *h) {
    SHA256_Init(state_of(h));
}

void sl_sha256_update(struct sl_sha256 *h, struct sl_slice s) {
    SHA256_Update(state_of(h), s.ptr, s.len);
}

/* The state may come from a key, so it is always wiped. */
void sl_sha256_final(struct sl_sha256 *h, uint8_t out[SL_SHA256_SIZE]) {
    SHA256_Final(out, state_of(h));
    OPENSSL_cleanse(h, sizeof(*h));
}

void sl_sha256_of(struct sl_slice s, uint8_t out[SL_SHA256_SIZE]) {
    struct sl_sha256 h;
    sl_sha256_init(&h);
    sl_sha256_update(&h, s);
    sl_sha256_final(&h, out);
}

/* One of the two nested hashes of RFC 2104: H((key ^ pad) || message). */
static void hmac_pass(const uint8_t key[SHA256_CBLOCK], uint8_t pad, struct sl_slice message,
                      uint8_t out[SL_SHA256_SIZE]) {
    uint8_t block[SHA256_CBLOCK];
    struct sl_sha256 h;
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] = key[i] ^ pad;
    sl_sha256_init(&h);
    sl_sha256_update(&h, sl_slice_of(block, sizeof(block)));
    sl_sha256_update(&h, message);
    sl_sha256_final(&h, out);
    OPENSSL_cleanse(block, sizeof(block));
}

/* BoringSSL's HMAC() allocates, so it is slower here and may fail; this one cannot. */
void sl_hmac_sha256(struct sl_slice key, struct sl_slice message, uint8_t out[SL_SHA256_SIZE]) {
    uint8_t block[SHA256_CBLOCK] = {0};
    uint8_t inner[SL_SHA256_SIZE];
    if (key.len > sizeof(block))
        sl_sha256_of(key, block);
    else if (key.len > 0)
        memcpy(block, key.ptr, key.len);
    hmac_pass(block, 0x36, message, inner);
    hmac_pass(block, 0x5c, sl_slice_of(inner, sizeof(inner)), out);
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(inner, sizeof(inner));
}

/* ---- Text ------------------------------------------------------------------------- */

/* Appends all parts or, on failure, none. */
static int add_parts(struct sl_buf *out, const struct sl_slice *parts, size_t count) {
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += parts[i].len;
    int rc = sl_buf_reserve(out, total);
    for (size_t i = 0; rc == SL_OK && i < count; i++)
        rc = sl_buf_add(out, parts[i]);
    return rc;
}
#define ADD(out, ...)                                                                              \
    add_parts((out), (const struct sl_slice[]){__VA_ARGS__},                                       \
              sizeof((const struct sl_slice[]){__VA_ARGS__}) / sizeof(struct sl_slice))

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_one_line(struct sl_slice s) {
    return sl_slice_find(s, '\n') == s.len;
}

/* No white space, no control characters. Without branches, so that it runs on whole vectors. */
static bool is_solid(struct sl_slice s) {
    unsigned char smallest = UCHAR_MAX;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        smallest = c < smallest ? c : smallest;
    }
    return smallest > ' ';
}

static bool is_header_name(struct sl_slice name) {
    return name.len > 0 && is_solid(name);
}

static bool is_digits(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    }
    return true;
}

static int add_lower(struct sl_buf *out, struct sl_slice s) {
    int rc = sl_buf_reserve(out, s.len);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < s.len; i++)
        out->ptr[out->len + i] = sl_ascii_lower(s.ptr[i]);
    out->len += s.len;
    return SL_OK;
}

/* Appends s without white space at its ends and with each run of it inside as one space. */
static int add_collapsed(struct sl_buf *out, struct sl_slice s) {
    if (is_solid(s)) /* as most are: tokens, hashes, dates */
        return sl_buf_add(out, s);
    int rc = sl_buf_reserve(out, s.len);
    if (rc < 0)
        return rc;
    char *const start = out->ptr + out->len, *to = start;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_space(s.ptr[i]))
            *to++ = s.ptr[i];
        else if (to > start && to[-1] != ' ')
            *to++ = ' ';
    }
    if (to > start && to[-1] == ' ')
        to--;
    out->len += (size_t)(to - start);
    return SL_OK;
}

/* ---- Sorting ---------------------------------------------------------------------- */

/* Names and values of headers or of query parameters, in canonical order. */
struct sorted {
    size_t count;
    struct sl_sigv4_header
        at[SL_SIGV4_MAX_HEADERS > SL_SIGV4_MAX_QUERY ? SL_SIGV4_MAX_HEADERS : SL_SIGV4_MAX_QUERY];
};

typedef int compare_fn(const struct sl_sigv4_header *a, const struct sl_sigv4_header *b);

static int compare_lengths(struct sl_slice a, struct sl_slice b) {
    return (a.len > b.len) - (a.len < b.len);
}

static int compare_bytes(struct sl_slice a, struct sl_slice b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0;
    return order != 0 ? order : compare_lengths(a, b);
}

/* Headers sort by lower-case name; those of one name keep the order they came in. */
static int compare_headers(const struct sl_sigv4_header *a, const struct sl_sigv4_header *b) {
    size_t n = a->name.len < b->name.len ? a->name.len : b->name.len;
    for (size_t i = 0; i < n; i++) {
        unsigned char x = (unsigned char)sl_ascii_lower(a->name.ptr[i]);
        unsigned char y = (unsigned char)sl_ascii_lower(b->name.ptr[i]);
        if (x != y)
            return x - y;
    }
    return compare_lengths(a->name, b->name);
}

static int compare_parameters(const struct sl_sigv4_header *a, const struct sl_sigv4_header *b) {
    int order = compare_bytes(a->name, b->name);
    return order != 0 ? order : compare_bytes(a->value, b->value);
}

/*
 * Inserts behind everything that is not greater: stable. The binary search keeps the
 * comparisons of a hostile request (long names, equal but for their ends) few.
 */
static int insert(struct sorted *sorted, size_t max, struct sl_sigv4_header item,
                  compare_fn *compare) {
    if (sorted->count == max)
        return SL_E_LIMIT;
    size_t low = 0, high = sorted->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare(&item, &sorted->at[middle]) < 0)
            high = middle;
        else
            low = middle + 1;
    }
    memmove(&sorted->at[low + 1], &sorted->at[low], (sorted->count - low) * sizeof(item));
    sorted->at[low] = item;
    sorted->count++;
    return SL_OK;
}

static int sort_headers(struct sorted *sorted, const struct sl_sigv4_request *request) {
    sorted->count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        if (!is_header_name(request->headers[i].name))
            return SL_E_INVALID;
        int rc = insert(sorted, SL_SIGV4_MAX_HEADERS, request->headers[i], compare_headers);
        if (rc < 0)
            return rc;
    }
    return SL_OK;
}

/* ---- The canonical request -------------------------------------------------------- */

/*
 * Every segment encoded once more; empty ones and "." left out, ".." taking the one before
 * it away. Unlike RFC 3986 5.2.4, "/a/." ends without a slash: botocore's rule.
 */
static int add_path(struct sl_buf *out, struct sl_slice path) {
    const size_t start = out->len;
    const bool closed = sl_slice_ends(path, SL_LIT("/"));
    struct sl_slice segment;
    int rc = SL_OK;
    if (path.len > 0 && path.ptr[0] != '/')
        return SL_E_INVALID;
    while (sl_slice_split(&path, '/', &segment)) {
        if (segment.len == 0 || sl_slice_eq(segment, SL_LIT(".")))
            continue;
        if (sl_slice_eq(segment, SL_LIT(".."))) {
            while (out->len > start && out->ptr[--out->len] != '/')
                continue;
            continue;
        }
        if ((rc = sl_buf_add_byte(out, '/')) < 0 || (rc = sl_uri_encode(out, segment, false)) < 0)
            return rc;
    }
    if (closed || out->len == start)
        rc = sl_buf_add_byte(out, '/');
    return rc;
}

/* Parameters as they are on the wire, sorted by name, then value; each gets its '='. */
static int add_query(struct sl_buf *out, struct sl_slice query) {
    struct sorted sorted;
    struct sl_slice part;
    if (query.len == 0)
        return SL_OK;
    sorted.count = 0;
    while (sl_slice_split(&query, '&', &part)) {
        size_t equals = sl_slice_find(part, '=');
        struct sl_sigv4_header item = {sl_slice_head(part, equals),
                                       sl_slice_skip(part, equals + 1)};
        int rc = insert(&sorted, SL_SIGV4_MAX_QUERY, item, compare_parameters);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < sorted.count; i++) {
        int rc = ADD(out, i > 0 ? SL_LIT("&") : SL_EMPTY, sorted.at[i].name, SL_LIT("="),
                     sorted.at[i].value);
        if (rc < 0)
            return rc;
    }
    return SL_OK;
}

static bool repeats_name(const struct sorted *headers, size_t i) {
    return i > 0 && compare_headers(&headers->at[i - 1], &headers->at[i]) == 0;
}

/* "name:value\n" for each name; the values of one name joined with ','. */
static int add_headers(struct sl_buf *out, const struct sorted *headers) {
    int rc = SL_OK;
    for (size_t i = 0; i < headers->count && rc == SL_OK; i++) {
        if (repeats_name(headers, i))
            out->ptr[out->len - 1] = ','; /* in place of the newline before */
        else if ((rc = add_lower(out, headers->at[i].name)) < 0 ||
                 (rc = sl_buf_add_byte(out, ':')) < 0)
            break;
        if ((rc = add_collapsed(out, headers->at[i].value)) == SL_OK)
            rc = sl_buf_add_byte(out, '\n');
    }
    return rc;
}

static int add_names(struct sl_buf *out, const struct sorted *headers) {
    int rc = SL_OK;
    for (size_t i = 0; i < headers->count && rc == SL_OK; i++) {
        if (repeats_name(headers, i))
            continue;
        if (i > 0 && (rc = sl_buf_add_byte(out, ';')) < 0)
            break;
        rc = add_lower(out, headers->at[i].name);
    }
    return rc;
}

static int add_canonical(struct sl_buf *out, const struct sl_sigv4_request *request,
                         const struct sorted *headers) {
    int rc;
    if ((rc = ADD(out, request->method, SL_LIT("\n"))) < 0)
        return rc;
    if ((rc = add_path(out, request->path)) < 0 || (rc = sl_buf_add_byte(out, '\n')) < 0)
        return rc;
    if ((rc = add_query(out, request->query)) < 0 || (rc = sl_buf_add_byte(out, '\n')) < 0)
        return rc;
    if ((rc = add_headers(out, headers)) < 0 || (rc = sl_buf_add_byte(out, '\n')) < 0)
        return rc;
    if ((rc = add_names(out, headers)) < 0)
        return rc;
    return ADD(out, SL_LIT("\n"), request->body_hash);
}

int sl_sigv4_canonical(struct sl_buf *out, const struct sl_sigv4_request *request) {
    const size_t start = out->len;
    struct sorted headers;
    if (!is_one_line(request->method) || !is_one_line(request->query) ||
        !is_one_line(request->body_hash))
        return SL_E_INVALID;
    int rc = sort_headers(&headers, request);
    if (rc == SL_OK && (rc = add_canonical(out, request, &headers)) < 0)
        out->len = start;
    return rc;
}

int sl_sigv4_signed_headers(struct sl_buf *out, const struct sl_sigv4_request *request) {
    const size_t start = out->len;
    struct sorted headers;
    int rc = sort_headers(&headers, request);
    if (rc == SL_OK && (rc = add_names(out, &headers)) < 0)
        out->len = start;
    return rc;
}

/* ---- Signing ---------------------------------------------------------------------- */

static struct sl_slice day_of(const struct sl_sigv4_scope *scope) {
    return sl_slice_of(scope->date, DAY_SIZE);
}

static bool is_amz_date(const char date[SL_AMZ_DATE_SIZE]) {
    return is_digits(sl_slice_of(date, DAY_SIZE)) && date[DAY_SIZE] == 'T' &&
           is_digits(sl_slice_of(date + DAY_SIZE + 1, 6)) && date[DAY_SIZE + 7] == 'Z';
}

static int add_scope(struct sl_buf *out, const struct sl_sigv4_scope *scope) {
    return ADD(out, day_of(scope), SL_LIT("/"), scope->region, SL_LIT("/"), scope->service,
               SL_LIT("/" TERMINATOR));
}

/* Lengths go in too, so that ("ab","c") and ("a","bc") differ. */
static void digest_inputs(struct sl_slice secret, const struct sl_sigv4_scope *scope,
                          uint8_t out[SL_SHA256_SIZE]) {
    const struct sl_slice inputs[] = {secret, day_of(scope), scope->region, scope->service};
    struct sl_sha256 h;
    sl_sha256_init(&h);
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        sl_sha256_update(&h, sl_slice_of(&inputs[i].len, sizeof(inputs[i].len)));
        sl_sha256_update(&h, inputs[i]);
    }
    sl_sha256_final(&h, out);
}

static void derive_key(uint8_t key[SL_SHA256_SIZE], struct sl_slice secret,
                       const struct sl_sigv4_scope *scope) {
    const struct sl_slice steps[] = {day_of(scope), scope->region, scope->service,
                                     SL_LIT(TERMINATOR)};
    char first[4 + SL_SIGV4_MAX_SECRET] = {'A', 'W', 'S', '4'};
    if (secret.len > 0)
        memcpy(first + 4, secret.ptr, secret.len);
    struct sl_slice with = sl_slice_of(first, 4 + secret.len);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        sl_hmac_sha256(with, steps[i], key);
        with = sl_slice_of(key, SL_SHA256_SIZE);
    }
    OPENSSL_cleanse(first, sizeof(first));
}

static int update_key(struct sl_sigv4_key *key, struct sl_slice secret,
                      const struct sl_sigv4_scope *scope) {
    uint8_t inputs[SL_SHA256_SIZE];
    if (secret.len > SL_SIGV4_MAX_SECRET)
        return SL_E_LIMIT;
    digest_inputs(secret, scope, inputs);
    if (!key->valid || CRYPTO_memcmp(key->inputs, inputs, sizeof(inputs)) != 0) {
        derive_key(key->key, secret, scope);
        memcpy(key->inputs, inputs, sizeof(inputs));
        key->valid = true;
    }
    OPENSSL_cleanse(inputs, sizeof(inputs));
    return SL_OK;
}

static int add_string_to_sign(struct sl_buf *out, const struct sl_sigv4_scope *scope,
                              const uint8_t canonical[SL_SHA256_SIZE]) {
    int rc = ADD(out, SL_LIT(ALGORITHM "\n"), sl_slice_of(scope->date, SL_AMZ_DATE_SIZE - 1),
                 SL_LIT("\n"));
    if (rc < 0 || (rc = add_scope(out, scope)) < 0 || (rc = sl_buf_add_byte(out, '\n')) < 0)
        return rc;
    return sl_buf_add_hex(out, canonical, SL_SHA256_SIZE);
}

int sl_sigv4_sign(struct sl_sigv4_key *key, struct sl_slice secret,
                  const struct sl_sigv4_scope *scope, const struct sl_sigv4_request *request,
                  struct sl_buf *scratch, char signature[SL_SIGV4_SIGNATURE_SIZE]) {
    uint8_t digest[SL_SHA256_SIZE];
    if (!is_amz_date(scope->date))
        return SL_E_INVALID;
    int rc = update_key(key, secret, scope);
    if (rc < 0)
        return rc;
    sl_buf_clear(scratch);
    if ((rc = sl_sigv4_canonical(scratch, request)) < 0)
        goto out;
    sl_sha256_of(sl_buf_slice(scratch), digest);
    sl_buf_clear(scratch);
    if ((rc = add_string_to_sign(scratch, scope, digest)) < 0)
        goto out;
    sl_hmac_sha256(sl_slice_of(key->key, sizeof(key->key)), sl_buf_slice(scratch), digest);
    sl_buf_clear(scratch);
    if ((rc = sl_buf_add_hex(scratch, digest, sizeof(digest))) == SL_OK)
        memcpy(signature, scratch->ptr, SL_SIGV4_SIGNATURE_SIZE);
out:
    sl_buf_clear(scratch);
    return rc;
}

int sl_sigv4_authorization(struct sl_buf *out, struct sl_slice access_key_id,
                           const struct sl_sigv4_scope *scope,
                           const struct sl_sigv4_request *request,
                           const char signature[SL_SIGV4_SIGNATURE_SIZE]) {
    const size_t start = out->len;
    int rc = ADD(out, SL_LIT(ALGORITHM " Credential="), access_key_id, SL_LIT("/"));
    if (rc < 0 || (rc = add_scope(out, scope)) < 0 ||
        (rc = ADD(out, SL_LIT(", SignedHeaders="))) < 0 ||
        (rc = sl_sigv4_signed_headers(out, request)) < 0 ||
        (rc = ADD(out, SL_LIT(", Signature="), sl_slice_of(signature, SL_SIGV4_SIGNATURE_SIZE))) <
            0)
        out->len = start;
    return rc;
}

void sl_sigv4_key_done(struct sl_sigv4_key *key) {
    OPENSSL_cleanse(key, sizeof(*key));
}

/* ---- The Authorization header, read ----------------------------------------------- */

/* "AKID/20150830/us-east-1/bedrock/aws4_request" */
static bool parse_scope(struct sl_slice value, struct sl_sigv4_credential *out) {
    struct sl_slice terminator;
    struct sl_slice *const fields[] = {&out->access_key_id, &out->date, &out->region, &out->service,
                                       &terminator};
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (!sl_slice_split(&value, '/', fields[i]) || fields[i]->len == 0)
            return false;
    }
    return !value.ptr && sl_slice_eq(terminator, SL_LIT(TERMINATOR)) && out->date.len == DAY_SIZE &&
           is_digits(out->date);
}

static bool is_name_list(struct sl_slice names) {
    struct sl_slice name;
    while (sl_slice_split(&names, ';', &name)) {
        if (!is_header_name(name))
            return false;
    }
    return true;
}

static bool is_signature(struct sl_slice s) {
    for (size_t i = 0; i < s.len; i++) {
        bool hex = (s.ptr[i] >= '0' && s.ptr[i] <= '9') || (s.ptr[i] >= 'a' && s.ptr[i] <= 'f');
        if (!hex)
            return false;
    }
    return s.len == SL_SIGV4_SIGNATURE_SIZE;
}

/* "Name=value": stores value in the slot of that name. False on others and on repetition. */
static bool take_parameter(struct sl_slice part, const struct sl_slice *names,
                           struct sl_slice *values, size_t count) {
    size_t equals = sl_slice_find(part, '=');
    struct sl_slice name = sl_slice_head(part, equals);
    for (size_t i = 0; i < count; i++) {
        if (!sl_slice_eq(name, names[i]))
            continue;
        if (values[i].len > 0)
            return false;
        values[i] = sl_slice_skip(part, equals + 1);
        return values[i].len > 0;
    }
    return false;
}

int sl_sigv4_parse_authorization(struct sl_slice value, struct sl_sigv4_credential *out) {
    enum { CREDENTIAL, SIGNED_HEADERS, SIGNATURE, COUNT };
    static const struct sl_slice names[COUNT] = {SL_LIT("Credential"), SL_LIT("SignedHeaders"),
                                                 SL_LIT("Signature")};
    struct sl_slice values[COUNT] = {SL_EMPTY, SL_EMPTY, SL_EMPTY};
    struct sl_slice part;
    struct sl_sigv4_credential found;
    if (!sl_slice_starts(value, SL_LIT(ALGORITHM " ")))
        return SL_E_INVALID;
    value = sl_slice_skip(value, sizeof(ALGORITHM));
    while (sl_slice_split(&value, ',', &part)) {
        if (!take_parameter(sl_slice_trim(part), names, values, COUNT))
            return SL_E_INVALID;
    }
    /* A parameter that was not there is empty, which none of these three accepts. */
    if (!parse_scope(values[CREDENTIAL], &found) || !is_name_list(values[SIGNED_HEADERS]) ||
        !is_signature(values[SIGNATURE]))
        return SL_E_INVALID;
    found.signed_headers = values[SIGNED_HEADERS];
    found.signature = values[SIGNATURE];
    *out = found;
    return SL_OK;
}
