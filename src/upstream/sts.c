#include "upstream/sts.h"

#include <stdio.h>

#include "sluice/wire/sigv4.h"
#include "sluice/wire/uri.h"
#include "upstream/xml.h"

/* A web identity token has at most 20000 bytes (STS API reference), each encoded as up to 3. */
#define FORM_MAX    65536
#define TEXTS_MAX   65536
#define ELEMENT_MAX 16384

/* Within a client's patience even if all attempts are needed. */
#define CONNECT_MS 3000
#define ANSWER_MS  10000
#define ATTEMPTS   3
#define PAUSE_MS   200

void sl_sts_session_name(int64_t wall_ms, char out[SL_STS_SESSION_NAME_SIZE]) {
    snprintf(out, SL_STS_SESSION_NAME_SIZE, "sluice-%lld", (long long)(wall_ms / 1000));
}

static bool is_region(struct sl_slice s) {
    if (s.len == 0 || s.len > 63)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = sl_ascii_lower(s.ptr[i]);
        if (c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9'))
            return false;
    }
    return true;
}

/* Regions that had the one global endpoint before regional ones were the default: botocore. */
static bool is_legacy_region(struct sl_slice region) {
    static const char *const legacy[] = {
        "ap-northeast-1", "ap-south-1",   "ap-southeast-1", "ap-southeast-2",
        "aws-global",     "ca-central-1", "eu-central-1",   "eu-north-1",
        "eu-west-1",      "eu-west-2",    "eu-west-3",      "sa-east-1",
        "us-east-1",      "us-east-2",    "us-west-1",      "us-west-2",
    };
    for (size_t i = 0; i < sizeof(legacy) / sizeof(*legacy); i++)
        if (sl_slice_eq(region, sl_slice_str(legacy[i])))
            return true;
    return false;
}

/* Source: botocore data/partitions.json (dnsSuffix). */
static const char *dns_suffix(struct sl_slice region) {
    static const struct {
        struct sl_slice prefix;
        const char *suffix;
    } partitions[] = {
        {{"cn-", 3}, "amazonaws.com.cn"},    {{"us-isob-", 8}, "sc2s.sgov.gov"},
        {{"us-isof-", 8}, "csp.hci.ic.gov"}, {{"us-iso-", 7}, "c2s.ic.gov"},
        {{"eu-isoe-", 8}, "cloud.adc-e.uk"}, {{"eusc-", 5}, "amazonaws.eu"},
    };
    for (size_t i = 0; i < sizeof(partitions) / sizeof(*partitions); i++)
        if (sl_slice_starts(region, partitions[i].prefix))
            return partitions[i].suffix;
    return "amazonaws.com";
}

static bool is_true(struct sl_slice s) {
    return sl_slice_ieq(s, SL_LIT("true"));
}

/* The first of the places where an endpoint may be set, in botocore's order; or empty. */
static struct sl_slice configured_endpoint(const struct sl_credctx *ctx) {
    struct sl_slice session = sl_slice_str(ctx->profile), services, url;
    if (is_true(sl_credctx_setting(ctx, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                                   "ignore_configured_endpoint_urls")))
        return SL_EMPTY;
    url = sl_credctx_env(ctx, "AWS_ENDPOINT_URL_STS");
    if (url.len == 0)
        url = sl_credctx_env(ctx, "AWS_ENDPOINT_URL");
    if (url.len == 0 &&
        sl_profiles_get(ctx->profiles, SL_PROFILE_MERGED, session, "services", &services) &&
        !sl_profiles_service(ctx->profiles, services, "sts", SL_LIT("endpoint_url"), &url))
        url = SL_EMPTY;
    if (url.len == 0 &&
        !sl_profiles_get(ctx->profiles, SL_PROFILE_MERGED, session, "endpoint_url", &url))
        url = SL_EMPTY;
    return url;
}

int sl_sts_endpoint(const struct sl_credctx *ctx, struct sl_sts_endpoint *out, char *why,
                    size_t why_size) {
    struct sl_slice region = ctx->region ? sl_slice_str(ctx->region) : sl_credctx_region(ctx);
    struct sl_slice url = configured_endpoint(ctx);
    if (!is_region(region)) {
        snprintf(why, why_size, "%s: set upstream.region or AWS_REGION",
                 region.len ? "the region is not one" : "no region is set");
        return SL_E_INVALID;
    }
    bool legacy =
        url.len == 0 && is_legacy_region(region) &&
        sl_slice_eq(sl_credctx_setting(ctx, "AWS_STS_REGIONAL_ENDPOINTS", "sts_regional_endpoints"),
                    SL_LIT("legacy"));
    struct sl_slice signed_for = legacy ? SL_LIT("us-east-1") : region;
    int n = url.len  ? snprintf(out->url, sizeof(out->url), "%.*s", SL_FMT(url))
            : legacy ? snprintf(out->url, sizeof(out->url), "https://sts.amazonaws.com")
                     : snprintf(out->url, sizeof(out->url), "https://sts.%.*s.%s", SL_FMT(region),
                                dns_suffix(region));
    if (n < 0 || (size_t)n >= sizeof(out->url)) {
        snprintf(why, why_size, "the endpoint set for STS is too long");
        return SL_E_INVALID;
    }
    snprintf(out->region, sizeof(out->region), "%.*s", SL_FMT(signed_for));
    return SL_OK;
}

static int write_form(struct sl_buf *form, const struct sl_sts_parameter *parameters,
                      size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (parameters[i].value.len == 0)
            continue;
        int rc = sl_buf_printf(form, "%s%s=", form->len ? "&" : "", parameters[i].name);
        if (rc == SL_OK)
            rc = sl_uri_encode(form, parameters[i].value, false);
        if (rc < 0)
            return rc;
    }
    return SL_OK;
}

static void add_header(struct sl_credhttp_request *request, struct sl_slice name,
                       struct sl_slice value) {
    request->headers[request->header_count++] = (struct sl_fetch_header){name, value};
}

/* Adds the headers of SigV4. Values go into call->texts, which was given room for all of them. */
static int sign(struct sl_sts_call *call, const char *region, const struct sl_credentials *signer,
                int64_t wall_ms) {
    struct sl_credhttp_request *request = &call->request;
    struct sl_sigv4_scope scope = {.region = sl_slice_str(region), .service = SL_LIT("sts")};
    struct sl_buf hash, scratch, *texts = &call->texts;
    struct sl_sigv4_header headers[8] = {
        {SL_LIT("host"), sl_fetch_origin_authority(call->http.origin)}};
    struct sl_sigv4_key key = {.valid = false};
    uint8_t digest[SL_SHA256_SIZE];
    char signature[SL_SIGV4_SIGNATURE_SIZE];

    sl_buf_init(&hash, 2 * SL_SHA256_SIZE + 1);
    sl_buf_init(&scratch, TEXTS_MAX);
    sl_clock_amz_date(wall_ms, scope.date);
    size_t mark = texts->len;
    int rc = sl_buf_add_str(texts, scope.date);
    add_header(request, SL_LIT("X-Amz-Date"), sl_slice_skip(sl_buf_slice(texts), mark));
    mark = texts->len;
    if (rc == SL_OK && signer->session_token.len) {
        rc = sl_buf_add(texts, signer->session_token);
        add_header(request, SL_LIT("X-Amz-Security-Token"),
                   sl_slice_skip(sl_buf_slice(texts), mark));
    }
    for (size_t i = 0; i < request->header_count; i++)
        headers[i + 1] =
            (struct sl_sigv4_header){request->headers[i].name, request->headers[i].value};
    sl_sha256_of(request->body, digest);
    if (rc == SL_OK)
        rc = sl_buf_add_hex(&hash, digest, sizeof(digest));
    size_t query = sl_slice_find(request->target, '?');
    struct sl_sigv4_request to_sign = {.method = request->method,
                                       .path = sl_slice_head(request->target, query),
                                       .query = sl_slice_skip(request->target, query + 1),
                                       .headers = headers,
                                       .header_count = request->header_count + 1,
                                       .body_hash = sl_buf_slice(&hash)};
    if (rc == SL_OK)
        rc = sl_sigv4_sign(&key, signer->secret, &scope, &to_sign, &scratch, signature);
    mark = texts->len;
    if (rc == SL_OK)
        rc = sl_sigv4_authorization(texts, signer->access_key_id, &scope, &to_sign, signature);
    add_header(request, SL_LIT("Authorization"), sl_slice_skip(sl_buf_slice(texts), mark));
    sl_sigv4_key_done(&key);
    sl_buf_done_secret(&scratch);
    sl_buf_done(&hash);
    return rc;
}

/* A throttled or failed STS is asked again; a refusal is final. */
static bool worth_another(const struct sl_credhttp *http) {
    struct sl_slice answer = sl_buf_slice(&http->answer);
    return http->error || http->status >= 500 || http->status == 429 ||
           (http->status != 200 &&
            (sl_slice_search(answer, SL_LIT("Throttl")) < answer.len ||
             sl_slice_search(answer, SL_LIT("IDPCommunicationError")) < answer.len));
}

int sl_sts_start(struct sl_sts_call *call, struct sl_credctx *ctx,
                 const struct sl_sts_parameter *parameters, size_t count,
                 const struct sl_credentials *signer, char *why, size_t why_size) {
    struct sl_sts_endpoint endpoint;
    struct sl_url url;
    sl_buf_init(&call->form, FORM_MAX);
    sl_buf_init(&call->texts, TEXTS_MAX);
    int rc = sl_sts_endpoint(ctx, &endpoint, why, why_size);
    if (rc < 0)
        return rc;
    if (sl_url_split(sl_slice_str(endpoint.url), &url) < 0 ||
        sl_credhttp_open(&call->http, ctx, url.origin) < 0) {
        snprintf(why, why_size, "the endpoint set for STS is no http or https URL");
        return SL_E_INVALID;
    }
    snprintf(why, why_size, "the request is too large, or memory is out");
    rc = sl_buf_add(&call->texts, url.target);
    /* Slices into texts stay: it does not grow beyond this. */
    if (rc == SL_OK)
        rc = sl_buf_reserve(&call->texts,
                            (signer ? signer->session_token.len + signer->access_key_id.len : 0) +
                                1024);
    if (rc == SL_OK)
        rc = write_form(&call->form, parameters, count);
    if (rc < 0)
        return rc;
    call->request = (struct sl_credhttp_request){.method = SL_LIT("POST"),
                                                 .target = sl_buf_slice(&call->texts),
                                                 .body = sl_buf_slice(&call->form),
                                                 .connect_ms = CONNECT_MS,
                                                 .answer_ms = ANSWER_MS,
                                                 .attempts = ATTEMPTS,
                                                 .pause_ms = PAUSE_MS,
                                                 .again = worth_another};
    add_header(&call->request, SL_LIT("Content-Type"),
               SL_LIT("application/x-www-form-urlencoded; charset=utf-8"));
    if (signer)
        rc = sign(call, endpoint.region, signer, ctx->loop->wall_ms);
    if (rc == SL_OK)
        sl_credhttp_send(&call->http, &call->request);
    return rc;
}

enum { ID, SECRET, TOKEN, EXPIRATION, CODE, MESSAGE, ELEMENTS };

static int read_elements(struct sl_slice document, struct sl_buf texts[ELEMENTS]) {
    static const struct {
        const char *parent, *name;
    } names[ELEMENTS] = {[ID] = {"Credentials", "AccessKeyId"},
                         [SECRET] = {"Credentials", "SecretAccessKey"},
                         [TOKEN] = {"Credentials", "SessionToken"},
                         [EXPIRATION] = {"Credentials", "Expiration"},
                         [CODE] = {"Error", "Code"},
                         [MESSAGE] = {"Error", "Message"}};
    struct sl_xml_field fields[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++) {
        sl_buf_init(&texts[i], ELEMENT_MAX);
        fields[i] = (struct sl_xml_field){names[i].parent, names[i].name, &texts[i], false};
    }
    return sl_xml_read(document, fields, ELEMENTS);
}

int sl_sts_read(struct sl_slice document, const char *source, struct sl_credset **out, char *why,
                size_t why_size) {
    struct sl_buf texts[ELEMENTS];
    int rc = read_elements(document, texts);
    struct sl_credentials fields = {.access_key_id = sl_slice_trim(sl_buf_slice(&texts[ID])),
                                    .secret = sl_slice_trim(sl_buf_slice(&texts[SECRET])),
                                    .session_token = sl_slice_trim(sl_buf_slice(&texts[TOKEN])),
                                    .bearer = SL_EMPTY,
                                    .source = source};
    if (rc < 0) {
        snprintf(why, why_size, "STS's answer is not the XML that it should be");
    } else if (texts[CODE].len) {
        snprintf(why, why_size, "STS says %.*s: %.*s",
                 SL_FMT(sl_slice_head(sl_buf_slice(&texts[CODE]), 64)),
                 SL_FMT(sl_slice_head(sl_buf_slice(&texts[MESSAGE]), 400)));
        rc = SL_E_DENIED;
    } else if (sl_credset_parse_date(sl_slice_trim(sl_buf_slice(&texts[EXPIRATION])),
                                     &fields.expires_ms) < 0) {
        snprintf(why, why_size, "STS's answer has no Expiration");
        rc = SL_E_INVALID;
    } else {
        rc = sl_credset_new(&fields, false, out, why, why_size);
    }
    for (size_t i = 0; i < ELEMENTS; i++)
        sl_buf_done_secret(&texts[i]);
    return rc;
}

enum sl_credpoll sl_sts_poll(struct sl_sts_call *call, struct sl_credwalk *walk, const char *what) {
    char why[SL_CRED_WHY_SIZE / 2];
    struct sl_credset *set;
    if (!sl_credhttp_poll(&call->http))
        return SL_CRED_PENDING;
    struct sl_credhttp *http = &call->http;
    if (http->error)
        return sl_credwalk_fail(walk, "%s: no answer from STS: %s", what,
                                sl_credhttp_outcome(http));
    int rc = sl_sts_read(sl_buf_slice(&http->answer), walk->sources[walk->at]->name, &set, why,
                         sizeof(why));
    if (http->status != 200) {
        if (rc == SL_OK)
            sl_credset_free(set);
        return sl_credwalk_fail(walk, "%s: %s (%s)", what, rc == SL_OK ? "STS refused" : why,
                                sl_credhttp_outcome(http));
    }
    if (rc < 0)
        return sl_credwalk_fail(walk, "%s: %s", what, why);
    return sl_credwalk_found(walk, set);
}

void sl_sts_stop(struct sl_sts_call *call) {
    sl_credhttp_stop(&call->http);
    sl_buf_done_secret(&call->form);
    sl_buf_done_secret(&call->texts);
}
