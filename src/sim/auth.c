#include "sim/auth.h"

#define SKEW_MS       300000
#define HASH_DIGITS   64
#define MAX_SIGNED    128
#define MAX_CANONICAL 524288 /* heads are bounded far below by the front */

static const char *service_name(unsigned service) {
    return service == SL_SIM_SERVICE_MANTLE   ? "bedrock-mantle"
           : service == SL_SIM_SERVICE_QUOTAS ? "servicequotas"
                                              : "bedrock";
}

static unsigned service_of(struct sl_slice name) {
    for (unsigned s = SL_SIM_SERVICE_BEDROCK; s <= SL_SIM_SERVICE_QUOTAS; s <<= 1)
        if (sl_slice_eq(name, sl_slice_str(service_name(s))))
            return s;
    return 0;
}

/* ---- API keys --------------------------------------------------------------------- */

static int check_api_key(const struct sl_sim_settings *settings, struct sl_slice key,
                         struct sl_sim_refusal *no) {
    if (settings->bearer && sl_slice_eq_secret(key, sl_slice_str(settings->bearer)))
        return 0;
    return sl_sim_refuse(no, SL_FAILURE_DENIED,
                         "Authentication failed: Please make sure your API Key is valid.");
}

/* ---- The head --------------------------------------------------------------------- */

static bool is_signed(struct sl_slice signed_headers, struct sl_slice name) {
    struct sl_slice part;
    while (sl_slice_split(&signed_headers, ';', &part))
        if (sl_slice_ieq(part, name))
            return true;
    return false;
}

/* Host and every x-amz-* header that is there must be under the signature. */
static int check_signed_headers(const struct sl_sim_auth *auth, const struct sl_request_head *head,
                                struct sl_sim_refusal *no) {
    struct sl_slice names = auth->credential.signed_headers;
    if (!is_signed(names, SL_LIT("host")) && !is_signed(names, SL_LIT(":authority")))
        return sl_sim_refuse(no, SL_FAILURE_BAD_SIGNATURE,
                             "'Host' or ':authority' must be a 'SignedHeader' in the AWS "
                             "Authorization.");
    for (size_t i = 0; i < head->headers.count; i++) {
        struct sl_slice name = head->headers.items[i].name;
        if (sl_slice_ieq(sl_slice_head(name, 6), SL_LIT("x-amz-")) && !is_signed(names, name))
            return sl_sim_refuse(no, SL_FAILURE_BAD_SIGNATURE,
                                 "'%.*s' must be a 'SignedHeader' in the AWS Authorization.",
                                 SL_FMT(name));
    }
    return 0;
}

static int check_date(const struct sl_sim_auth *auth, int64_t wall_ms, struct sl_sim_refusal *no) {
    struct sl_slice date = auth->date, day = auth->credential.date;
    if (!sl_slice_eq(sl_slice_head(date, 8), day))
        return sl_sim_refuse(no, SL_FAILURE_BAD_SIGNATURE,
                             "Date in Credential scope does not match YYYYMMDD from ISO-8601 "
                             "version of date from HTTP: '%.*s' != '%.*s', from '%.*s'.",
                             SL_FMT(day), SL_FMT(sl_slice_head(date, 8)), SL_FMT(date));
    int64_t then;
    if (date.len != SL_AMZ_DATE_SIZE - 1 || sl_clock_parse_iso(date.ptr, date.len, &then) != 0)
        return sl_sim_refuse(no, SL_FAILURE_INCOMPLETE_SIGNATURE,
                             "Date must be in ISO-8601 'basic format'. Got '%.*s'.", SL_FMT(date));
    char now[SL_AMZ_DATE_SIZE], edge[SL_AMZ_DATE_SIZE];
    sl_clock_amz_date(wall_ms, now);
    if (then < wall_ms - SKEW_MS) {
        sl_clock_amz_date(wall_ms - SKEW_MS, edge);
        return sl_sim_refuse(no, SL_FAILURE_BAD_SIGNATURE,
                             "Signature expired: %.*s is now earlier than %s (%s - 5 min.)",
                             SL_FMT(date), edge, now);
    }
    if (then > wall_ms + SKEW_MS) {
        sl_clock_amz_date(wall_ms + SKEW_MS, edge);
        return sl_sim_refuse(no, SL_FAILURE_BAD_SIGNATURE,
                             "Signature not yet current: %.*s is still later than %s (%s + 5 min.)",
                             SL_FMT(date), edge, now);
    }
    return 0;
}

static int check_scope(struct sl_sim_auth *auth, const struct sl_sim_settings *settings,
                       unsigned services, struct sl_sim_refusal *no) {
    if (!sl_slice_eq(auth->credential.region, sl_slice_str(settings->region)))
        return sl_sim_refuse(no, SL_FAILURE_BAD_SIGNATURE,
                             "Credential should be scoped to a valid region, not '%.*s'.",
                             SL_FMT(auth->credential.region));
    auth->service = service_of(auth->credential.service);
    if (!(auth->service & services))
        return sl_sim_refuse(no, SL_FAILURE_BAD_SIGNATURE,
                             "Credential should be scoped to correct service: '%s'.",
                             service_name(services & -services));
    return 0;
}

static int check_identity(const struct sl_sim_auth *auth, const struct sl_sim_settings *settings,
                          const struct sl_request_head *head, struct sl_sim_refusal *no) {
    struct sl_slice token = sl_headers_get(&head->headers, SL_LIT("x-amz-security-token"));
    bool known =
        settings->access_key_id &&
        sl_slice_eq(auth->credential.access_key_id, sl_slice_str(settings->access_key_id)) &&
        (!settings->session_token ||
         sl_slice_eq_secret(token, sl_slice_str(settings->session_token)));
    if (known)
        return 0;
    return sl_sim_refuse(no, SL_FAILURE_UNKNOWN_CLIENT,
                         "The security token included in the request is invalid.");
}

/* Names each part that a SigV4 header lacks, as AWS does. The signature itself is not echoed. */
static int refuse_incomplete(struct sl_slice value, bool dated, struct sl_sim_refusal *no) {
    static const struct sl_slice parts[] = {SL_LIT("Credential="), SL_LIT("Signature="),
                                            SL_LIT("SignedHeaders=")};
    static const char *const words[] = {
        "Authorization header requires 'Credential' parameter. ",
        "Authorization header requires 'Signature' parameter. ",
        "Authorization header requires 'SignedHeaders' parameter. "};
    const char *missing[3];
    bool whole = dated;
    for (size_t i = 0; i < 3; i++) {
        bool there = sl_slice_search(value, parts[i]) < value.len;
        missing[i] = there ? "" : words[i];
        whole = whole && there;
    }
    if (whole)
        return sl_sim_refuse(no, SL_FAILURE_INCOMPLETE_SIGNATURE,
                             "Credential must have exactly 5 slash-delimited elements, e.g. "
                             "keyid/date/region/service/term, and Signature 64 hex digits.");
    return sl_sim_refuse(no, SL_FAILURE_INCOMPLETE_SIGNATURE, "%s%s%s%sAuthorization=%.*s",
                         missing[0], missing[1], missing[2],
                         dated ? ""
                               : "Authorization header requires existence of either a "
                                 "'X-Amz-Date' or a 'Date' header. ",
                         SL_FMT(sl_slice_head(value, sl_slice_find(value, ' '))));
}

static int check_signature_head(struct sl_sim_auth *auth, const struct sl_sim_settings *settings,
                                const struct sl_request_head *head, unsigned services,
                                int64_t wall_ms, struct sl_slice value, struct sl_sim_refusal *no) {
    auth->date = sl_headers_get(&head->headers, SL_LIT("x-amz-date"));
    if (!auth->date.len)
        auth->date = sl_headers_get(&head->headers, SL_LIT("date"));
    if (!auth->date.len || sl_sigv4_parse_authorization(value, &auth->credential) != 0)
        return refuse_incomplete(value, auth->date.len > 0, no);
    int error = check_identity(auth, settings, head, no);
    if (!error)
        error = check_scope(auth, settings, services, no);
    if (!error)
        error = check_signed_headers(auth, head, no);
    if (!error)
        error = check_date(auth, wall_ms, no);
    auth->signature_due = !error;
    return error;
}

int sl_sim_auth_head(struct sl_sim_auth *auth, const struct sl_sim_settings *settings,
                     const struct sl_request_head *head, unsigned services, int64_t wall_ms,
                     struct sl_sim_refusal *no) {
    *auth = (struct sl_sim_auth){0};
    struct sl_slice value = sl_headers_get(&head->headers, SL_LIT("authorization"));
    struct sl_slice bearer = SL_LIT("bearer "), sigv4 = SL_LIT("AWS4-HMAC-SHA256");
    if (sl_slice_ieq(sl_slice_head(value, bearer.len), bearer))
        return check_api_key(settings, sl_slice_trim(sl_slice_skip(value, bearer.len)), no);
    if (sl_slice_starts(value, sigv4))
        return check_signature_head(auth, settings, head, services, wall_ms, value, no);
    struct sl_slice key = sl_headers_get(&head->headers, SL_LIT("x-api-key"));
    if (key.len) /* as Anthropic's SDK sends it */
        return check_api_key(settings, key, no);
    return sl_sim_refuse(no, SL_FAILURE_NO_SIGNATURE, "Missing Authentication Token");
}

/* ---- The signature ---------------------------------------------------------------- */

/*
 * The headers that the client says it signed, as they arrived. An absent one stands with an empty
 * value, so that the canonical request in the refusal shows what was expected.
 */
static size_t collect_signed(struct sl_slice names, const struct sl_request_head *head,
                             struct sl_sigv4_header *out, size_t max) {
    struct sl_slice name;
    size_t n = 0;
    while (n < max && sl_slice_split(&names, ';', &name)) {
        size_t before = n;
        for (size_t i = 0; i < head->headers.count && n < max; i++)
            if (sl_slice_ieq(head->headers.items[i].name, name))
                out[n++] = (struct sl_sigv4_header){name, head->headers.items[i].value};
        bool host = sl_slice_ieq(name, SL_LIT("host")) || sl_slice_eq(name, SL_LIT(":authority"));
        if (n == before)
            out[n++] = (struct sl_sigv4_header){name, host ? head->authority : SL_EMPTY};
    }
    return n;
}

static int refuse_mismatch(const struct sl_sigv4_request *request, const struct sl_sim_auth *auth,
                           struct sl_sim_refusal *no) {
    struct sl_buf canonical, hash;
    uint8_t digest[SL_SHA256_SIZE];
    sl_buf_init(&canonical, MAX_CANONICAL);
    sl_buf_init(&hash, HASH_DIGITS);
    int error = sl_sigv4_canonical(&canonical, request);
    sl_sha256_of(sl_buf_slice(&canonical), digest);
    if (!error)
        error = sl_buf_add_hex(&hash, digest, sizeof digest);
    const struct sl_sigv4_credential *c = &auth->credential;
    int refused = sl_sim_refuse(
        no, SL_FAILURE_BAD_SIGNATURE,
        "The request signature we calculated does not match the signature you provided. Check your "
        "AWS Secret Access Key and signing method. Consult the service documentation for "
        "details.\n\nThe Canonical String for this request should have been\n'%.*s'\n\nThe "
        "String-to-Sign should have been\n'AWS4-HMAC-SHA256\n%.*s\n%.*s/%.*s/%.*s/aws4_request\n"
        "%.*s'\n",
        SL_FMT(sl_buf_slice(&canonical)), SL_FMT(auth->date), SL_FMT(c->date), SL_FMT(c->region),
        SL_FMT(c->service), SL_FMT(sl_buf_slice(&hash)));
    sl_buf_done(&hash);
    sl_buf_done(&canonical);
    return error == SL_E_NOMEM ? error : refused;
}

static int check_content_hash(const struct sl_request_head *head, struct sl_slice hash,
                              struct sl_sim_refusal *no) {
    const struct sl_header *claimed =
        sl_headers_find(&head->headers, SL_LIT("x-amz-content-sha256"));
    if (!claimed || sl_slice_ieq(claimed->value, hash))
        return 0;
    return sl_sim_refuse(
        no, SL_FAILURE_BAD_SIGNATURE,
        "The provided 'x-amz-content-sha256' header does not match what was computed.");
}

/* The hash as the canonical request has it; `hex` holds 64 bytes. */
static struct sl_slice body_hash(const uint8_t *sha256, char *hex) {
    if (!sha256)
        return SL_LIT("STREAMING-AWS4-HMAC-SHA256-EVENTS");
    char *digit = hex;
    for (size_t i = 0; i < SL_SHA256_SIZE; i++) {
        *digit++ = "0123456789abcdef"[sha256[i] >> 4];
        *digit++ = "0123456789abcdef"[sha256[i] & 15];
    }
    return sl_slice_of(hex, HASH_DIGITS);
}

int sl_sim_auth_body(const struct sl_sim_auth *auth, const struct sl_sim_settings *settings,
                     const struct sl_request_head *head, struct sl_sigv4_key *key,
                     const uint8_t *body_sha256, struct sl_sim_refusal *no) {
    struct sl_sigv4_header headers[MAX_SIGNED];
    struct sl_sigv4_scope scope = {.region = auth->credential.region,
                                   .service = auth->credential.service};
    char signature[SL_SIGV4_SIGNATURE_SIZE], hex[HASH_DIGITS];
    struct sl_slice hash = body_hash(body_sha256, hex);
    int error = check_content_hash(head, hash, no);
    if (error)
        return error;
    memcpy(scope.date, auth->date.ptr, SL_AMZ_DATE_SIZE - 1);
    struct sl_sigv4_request request = {
        .method = head->method,
        .path = sl_target_path(head->target),
        .query = sl_target_query(head->target),
        .headers = headers,
        .header_count = collect_signed(auth->credential.signed_headers, head, headers, MAX_SIGNED),
        .body_hash = hash,
    };
    struct sl_buf scratch;
    sl_buf_init(&scratch, MAX_CANONICAL);
    error =
        sl_sigv4_sign(key, sl_slice_str(settings->secret), &scope, &request, &scratch, signature);
    sl_buf_done_secret(&scratch);
    if (error == SL_E_NOMEM)
        return error;
    struct sl_slice expected = sl_slice_of(signature, sizeof signature);
    if (error || !sl_slice_eq_secret(auth->credential.signature, expected))
        return refuse_mismatch(&request, auth, no);
    return 0;
}
