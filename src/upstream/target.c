/*
 * One account's Bedrock in one region: its hosts, its credentials, and the attempts under way.
 *
 * A call waits here only for credentials. Once they are at hand it is signed and sent in one go, so
 * that the signature's date is that of the dispatch, however long the call was queued before. What
 * signing needs (the header list, the canonical request) is scratch of the target; attempts are
 * pooled: a steady target allocates nothing.
 *
 *   SPARE ──▶ WAITING (credentials) ──▶ RUNNING (fetch) ──▶ REPORTING ──▶ SPARE
 *
 * The clock: signatures are dated by ours, corrected by what replies have shown it to be off, as
 * AWS's SDKs do. Only a refused signature makes the Date header count, and only if the two clocks
 * are further apart than AWS allows: then the signature was refused for that.
 *
 * AWS_ENDPOINT_URL and its kin are not read, unlike in AWS's SDKs: on a machine with this gateway
 * they are set for its clients and point at the gateway itself.
 */
#include "sluice/upstream/target.h"

#include <assert.h>
#include <stdio.h>

#include "sluice/base/mem.h"
#include "sluice/upstream/credentials.h"
#include "sluice/wire/sigv4.h"
#include "upstream/endpoint.h"
#include "upstream/reply.h"

/* AWS takes signatures up to 5 minutes off. */
#define SKEW_TOLERATED_MS (INT64_C(5) * 60 * 1000)
#define SPARES_MAX        256
#define SCRATCH_MAX       262144 /* canonical requests: the request's head, encoded once more */
#define AUTHORIZATION_MAX 32768
#define HOST_MAX          128
/* Headers that a call gets here: Accept-Encoding, X-Amz-Date, X-Amz-Security-Token, Authorization.
 */
#define OWN_HEADERS 4

enum attempt_state { SPARE, WAITING, RUNNING, REPORTING };

struct sl_attempt {
    struct sl_list link;
    enum attempt_state state;
    struct sl_target *target;
    const struct sl_call *call;
    struct sl_attempt_events events;
    void *ctx;
    struct sl_credentials_wait wait;
    struct sl_fetch *fetch;
    bool paused;
    char signed_by[132]; /* access key id; empty for an API key */
    int64_t skew_ms;     /* as it was when this was signed */
    bool misdated;
};

struct plane {
    char endpoint[HOST_MAX + 8]; /* empty: the target has no such plane */
    struct sl_fetch_origin *origin;
    struct sl_sigv4_key key;
};

struct sl_target {
    struct sl_loop *loop;
    struct sl_fetch_client *client;
    struct sl_credentials_provider *provider;
    struct sl_upstream_timeouts timeouts;
    char *name, *region;
    struct plane planes[SL_PLANE_COUNT];
    int64_t skew_ms; /* what to add to our clock to get AWS's */
    struct sl_list live, spares;
    size_t spare_count;

    struct sl_fetch_header *headers; /* of the request being sent */
    size_t header_cap;
    struct sl_buf canonical, authorization;
};

/* ---- the header list */

/* Signature material of whoever signed before: it must neither be sent nor signed again. */
static bool is_signature(struct sl_slice name) {
    switch (name.len) {
    case 10:
        return sl_slice_ieq(name, SL_LIT("X-Amz-Date"));
    case 13:
        return sl_slice_ieq(name, SL_LIT("Authorization"));
    case 20:
        return sl_slice_ieq(name, SL_LIT("X-Amz-Security-Token")) ||
               sl_slice_ieq(name, SL_LIT("X-Amz-Content-Sha256"));
    default:
        return false;
    }
}

/* As botocore and the JavaScript SDK choose, so that proxies may touch the rest. A trace id is
 * rewritten on the way. */
static bool is_signed(struct sl_slice name) {
    if (name.len > 5 && sl_slice_ieq(sl_slice_head(name, 5), SL_LIT("x-amz")))
        return !sl_slice_ieq(name, SL_LIT("x-amzn-trace-id"));
    return name.len == 12 && sl_slice_ieq(name, SL_LIT("content-type"));
}

static int reserve_headers(struct sl_target *t, size_t count) {
    if (count <= t->header_cap)
        return SL_OK;
    struct sl_fetch_header *more = sl_realloc(t->headers, count * sizeof(*more));
    if (!more)
        return SL_E_NOMEM;
    t->headers = more;
    t->header_cap = count;
    return SL_OK;
}

static void add_header(struct sl_target *t, size_t *count, struct sl_slice name,
                       struct sl_slice value) {
    assert(*count < t->header_cap);
    t->headers[(*count)++] = (struct sl_fetch_header){name, value};
}

/* The call's own headers. Bodies are read as they are, so none may be compressed. */
static int list_headers(struct sl_target *t, const struct sl_call *call, size_t *count) {
    int rc = reserve_headers(t, call->headers.count + OWN_HEADERS);
    if (rc < 0)
        return rc;
    bool encoding_named = false;
    *count = 0;
    for (size_t i = 0; i < call->headers.count; i++) {
        const struct sl_header *h = &call->headers.items[i];
        if (is_signature(h->name))
            continue;
        encoding_named = encoding_named ||
                         (h->name.len == 15 && sl_slice_ieq(h->name, SL_LIT("Accept-Encoding")));
        add_header(t, count, h->name, h->value);
    }
    if (!encoding_named)
        add_header(t, count, SL_LIT("accept-encoding"), SL_LIT("identity"));
    return SL_OK;
}

/* ---- signing */

/* date: where the header's value lives; it must outlast the request's start. */
static int sign(struct sl_target *t, const struct sl_call *call,
                const struct sl_credentials *credentials, char date[SL_AMZ_DATE_SIZE],
                size_t *count) {
    struct plane *plane = &t->planes[call->plane];
    struct sl_sigv4_header chosen[SL_SIGV4_MAX_HEADERS];
    struct sl_sigv4_scope scope = {.region = sl_slice_str(t->region),
                                   .service = sl_endpoint_service(call->plane)};
    char signature[SL_SIGV4_SIGNATURE_SIZE], hash[2 * SL_SHA256_SIZE];
    size_t n = 0;

    sl_clock_amz_date(t->loop->wall_ms + t->skew_ms, scope.date);
    memcpy(date, scope.date, SL_AMZ_DATE_SIZE);
    add_header(t, count, SL_LIT("x-amz-date"), sl_slice_str(date));
    if (credentials->session_token.len)
        add_header(t, count, SL_LIT("x-amz-security-token"), credentials->session_token);

    chosen[n++] =
        (struct sl_sigv4_header){SL_LIT("host"), sl_fetch_origin_authority(plane->origin)};
    for (size_t i = 0; i < *count; i++) {
        if (!is_signed(t->headers[i].name))
            continue;
        if (n == SL_SIGV4_MAX_HEADERS)
            return SL_E_LIMIT;
        chosen[n++] = (struct sl_sigv4_header){t->headers[i].name, t->headers[i].value};
    }
    for (size_t i = 0; i < SL_SHA256_SIZE; i++) {
        hash[2 * i] = "0123456789abcdef"[call->body_sha256[i] >> 4];
        hash[2 * i + 1] = "0123456789abcdef"[call->body_sha256[i] & 15];
    }
    const struct sl_sigv4_request request = {.method = call->method,
                                             .path = sl_target_path(call->target),
                                             .query = sl_target_query(call->target),
                                             .headers = chosen,
                                             .header_count = n,
                                             .body_hash = sl_slice_of(hash, sizeof(hash))};
    int rc =
        sl_sigv4_sign(&plane->key, credentials->secret, &scope, &request, &t->canonical, signature);
    return rc < 0 ? rc
                  : sl_sigv4_authorization(&t->authorization, credentials->access_key_id, &scope,
                                           &request, signature);
}

/* Makes the Authorization header, and those that belong to it. */
static int authorize(struct sl_target *t, const struct sl_call *call,
                     const struct sl_credentials *credentials, char date[SL_AMZ_DATE_SIZE],
                     size_t *count) {
    int rc;
    sl_buf_clear(&t->authorization);
    if (credentials->bearer.len == 0)
        rc = sign(t, call, credentials, date, count);
    else if ((rc = sl_buf_add(&t->authorization, SL_LIT("Bearer "))) == SL_OK)
        rc = sl_buf_add(&t->authorization, credentials->bearer);
    if (rc == SL_OK)
        add_header(t, count, SL_LIT("authorization"), sl_buf_slice(&t->authorization));
    return rc;
}

/* ---- attempts */

static void release(struct sl_attempt *a) {
    struct sl_target *t = a->target;
    assert(a->state != SPARE);
    a->state = SPARE;
    a->fetch = NULL;
    sl_list_remove(&a->link);
    if (t->spare_count >= SPARES_MAX) {
        sl_free(a);
        return;
    }
    t->spare_count++;
    sl_list_push_front(&t->spares, &a->link);
}

static void report(struct sl_attempt *a, int error, enum sl_fetch_phase phase, const char *why) {
    a->state = REPORTING;
    a->events.on_done(a->ctx, &(struct sl_attempt_result){error, phase, why, a->misdated});
    release(a);
}

/* What a refusal teaches is for the attempts to come; whether there is one is the caller's choice.
 */
static void learn(struct sl_attempt *a, const struct sl_fetch_head *head) {
    struct sl_target *t = a->target;
    int64_t date;
    if (head->status < 400 || a->signed_by[0] == '\0')
        return;
    switch (sl_reply_hint(head)) {
    case SL_REPLY_NONE:
        break;
    case SL_REPLY_CREDENTIALS:
        sl_credentials_rejected(t->provider, sl_slice_str(a->signed_by));
        break;
    case SL_REPLY_SIGNATURE:
        if (sl_reply_date(head, &date)) {
            int64_t off = date - (t->loop->wall_ms + t->skew_ms);
            if (off >= SKEW_TOLERATED_MS || off <= -SKEW_TOLERATED_MS)
                t->skew_ms = date - t->loop->wall_ms;
            a->misdated = a->skew_ms != t->skew_ms; /* or another's refusal told it meanwhile */
        }
        break;
    }
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct sl_attempt *a = ctx;
    learn(a, head);
    a->events.on_head(a->ctx, head);
}

static void on_data(void *ctx, struct sl_slice bytes) {
    struct sl_attempt *a = ctx;
    a->events.on_data(a->ctx, bytes);
}

static void on_done(void *ctx, const struct sl_fetch_result *result) {
    struct sl_attempt *a = ctx;
    report(a, result->error, result->phase, result->why);
}

static int dispatch(struct sl_attempt *a, const struct sl_credentials *credentials) {
    static const struct sl_fetch_events events = {on_head, on_data, on_done};
    struct sl_target *t = a->target;
    const struct sl_call *call = a->call;
    char date[SL_AMZ_DATE_SIZE];
    size_t count;
    int rc = list_headers(t, call, &count);
    if (rc < 0 || (rc = authorize(t, call, credentials, date, &count)) < 0)
        return rc;
    size_t id = credentials->access_key_id.len;
    id = id < sizeof(a->signed_by) ? id : 0; /* IAM's have at most 128 bytes */
    memcpy(a->signed_by, credentials->access_key_id.ptr, id);
    a->signed_by[id] = '\0';
    a->skew_ms = t->skew_ms;
    const struct sl_fetch_request request = {.origin = t->planes[call->plane].origin,
                                             .method = call->method,
                                             .target = call->target,
                                             .headers = t->headers,
                                             .header_count = count,
                                             .body = &call->body,
                                             .connect_ms = t->timeouts.connect,
                                             .first_byte_ms = t->timeouts.first_byte,
                                             .idle_ms = t->timeouts.idle};
    a->fetch = sl_fetch_start(t->client, &request, &events, a);
    if (!a->fetch)
        return SL_E_NOMEM;
    a->state = RUNNING;
    if (a->paused)
        sl_fetch_pause(a->fetch);
    return SL_OK;
}

static void on_credentials(void *ctx, const struct sl_credentials *credentials, const char *why) {
    struct sl_attempt *a = ctx;
    if (!credentials) {
        report(a, SL_E_DENIED, SL_FETCH_RESOLVE, why);
        return;
    }
    int rc = dispatch(a, credentials);
    if (rc < 0)
        report(a, rc, SL_FETCH_RESOLVE,
               rc == SL_E_NOMEM ? "out of memory" : "the request's headers cannot be signed");
}

static struct sl_attempt *take_spare(struct sl_target *t) {
    struct sl_list *node = sl_list_pop_front(&t->spares);
    if (node) {
        t->spare_count--;
        return SL_CONTAINER(node, struct sl_attempt, link);
    }
    struct sl_attempt *a = sl_calloc(1, sizeof(*a));
    if (a)
        sl_list_init(&a->link);
    return a;
}

struct sl_attempt *sl_attempt_start(struct sl_target *t, const struct sl_call *call,
                                    const struct sl_attempt_events *events, void *ctx) {
    if (!t->planes[call->plane].origin)
        return NULL;
    struct sl_attempt *a = take_spare(t);
    if (!a)
        return NULL;
    *a = (struct sl_attempt){.link = a->link,
                             .state = WAITING,
                             .target = t,
                             .call = call,
                             .events = *events,
                             .ctx = ctx,
                             .wait = {.on_ready = on_credentials, .ctx = a}};
    sl_list_init(&a->link);
    sl_list_push_back(&t->live, &a->link);
    const struct sl_credentials *credentials = sl_credentials_get(t->provider, &a->wait);
    if (credentials && dispatch(a, credentials) < 0) {
        release(a);
        return NULL;
    }
    return a;
}

void sl_attempt_pause(struct sl_attempt *a) {
    a->paused = true;
    if (a->state == RUNNING)
        sl_fetch_pause(a->fetch);
}

void sl_attempt_resume(struct sl_attempt *a) {
    a->paused = false;
    if (a->state == RUNNING)
        sl_fetch_resume(a->fetch);
}

void sl_attempt_cancel(struct sl_attempt *a) {
    if (a->state == REPORTING)
        return; /* its last event: it is freed behind it */
    if (a->state == WAITING)
        sl_credentials_wait_cancel(&a->wait);
    else
        sl_fetch_cancel(a->fetch);
    release(a);
}

/* ---- targets */

/* One of the target's endpoints, as settings and region say. */
static int find_endpoint(const struct sl_target_settings *s, enum sl_plane plane,
                         struct sl_slice region, char *out, size_t size) {
    const char *given =
        plane == SL_PLANE_MANTLE && s->mantle_endpoint ? s->mantle_endpoint : s->endpoint;
    if (given) {
        int n = snprintf(out, size, "%s", given);
        return n >= 0 && (size_t)n < size ? SL_OK : SL_E_LIMIT;
    }
    return sl_endpoint_of(
        &(struct sl_endpoint_wish){
            .plane = plane, .region = region, .fips = s->fips, .dual_stack = s->dual_stack},
        out, size);
}

static bool open_plane(struct sl_target *t, const struct sl_target_settings *s, enum sl_plane which,
                       char *why, size_t why_size) {
    struct plane *plane = &t->planes[which];
    const char *setting = which == SL_PLANE_MANTLE && s->mantle_endpoint
                              ? "upstream.mantle_endpoint"
                              : "upstream.endpoint";
    int rc =
        find_endpoint(s, which, sl_slice_str(t->region), plane->endpoint, sizeof(plane->endpoint));
    if (rc == SL_E_NOTFOUND && which == SL_PLANE_QUOTAS)
        return true; /* limits are learned instead */
    if (rc == SL_E_NOTFOUND) {
        snprintf(why, why_size,
                 "bedrock-mantle has no FIPS endpoint: set upstream.mantle_endpoint, or "
                 "upstream.fips or upstream.mantle to false");
        return false;
    }
    plane->origin =
        rc == SL_OK ? sl_fetch_origin_new(t->client, plane->endpoint, s->ca_file) : NULL;
    if (plane->origin)
        return true;
    snprintf(why, why_size,
             "%s must be \"https://host\" or \"https://host:port\", of at most %d "
             "bytes",
             setting, HOST_MAX);
    return false;
}

static bool open_planes(struct sl_target *t, const struct sl_target_settings *s, char *why,
                        size_t why_size) {
    if (s->endpoint && (s->fips || s->dual_stack)) {
        snprintf(
            why, why_size,
            "upstream.endpoint names one host, so upstream.fips and upstream.dual_stack, which "
            "choose among AWS's own, cannot be set with it");
        return false;
    }
    for (int i = 0; i < SL_PLANE_COUNT; i++)
        if ((i != SL_PLANE_MANTLE || s->mantle) &&
            !open_plane(t, s, (enum sl_plane)i, why, why_size))
            return false;
    return true;
}

static bool find_region(struct sl_target *t, const struct sl_target_settings *s, char *why,
                        size_t why_size) {
    const char *region = s->region ? s->region : sl_credentials_region(t->provider);
    if (!region || !*region) {
        snprintf(why, why_size,
                 "no AWS region is known: set upstream.region, or AWS_REGION in the environment");
        return false;
    }
    if (!sl_endpoint_is_region(sl_slice_str(region))) {
        snprintf(
            why, why_size,
            "\"%.64s\" is no AWS region: set upstream.region to one like us-east-1 (it may come "
            "from AWS_REGION or the profile)",
            region);
        return false;
    }
    t->region = sl_strdup(region);
    if (!t->region)
        snprintf(why, why_size, "out of memory");
    return t->region != NULL;
}

struct sl_target *sl_target_new(struct sl_loop *loop, struct sl_fetch_client *client,
                                const struct sl_target_settings *s,
                                const struct sl_upstream_timeouts *timeouts, char *why,
                                size_t why_size) {
    snprintf(why, why_size, "out of memory");
    struct sl_target *t = sl_calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->loop = loop;
    t->client = client;
    t->timeouts = *timeouts;
    sl_list_init(&t->live);
    sl_list_init(&t->spares);
    sl_buf_init(&t->canonical, SCRATCH_MAX);
    sl_buf_init(&t->authorization, AUTHORIZATION_MAX);
    t->provider = sl_credentials_provider_new(
        loop, client,
        &(struct sl_credentials_settings){.profile = s->profile,
                                          .region = s->region,
                                          .access_key_id = s->access_key_id,
                                          .secret = s->secret});
    if (t->provider && find_region(t, s, why, why_size) && open_planes(t, s, why, why_size)) {
        t->name = sl_strdup(s->name ? s->name : t->region);
        if (t->name)
            return t;
        snprintf(why, why_size, "out of memory");
    }
    sl_target_free(t);
    return NULL;
}

void sl_target_free(struct sl_target *t) {
    if (!t)
        return;
    SL_LIST_EACH(&t->live, node, tmp) {
        struct sl_attempt *a = SL_CONTAINER(node, struct sl_attempt, link);
        assert(a->state != REPORTING);
        sl_attempt_cancel(a);
    }
    for (struct sl_list *node; (node = sl_list_pop_front(&t->spares));)
        sl_free(SL_CONTAINER(node, struct sl_attempt, link));
    sl_credentials_provider_free(t->provider);
    for (int i = 0; i < SL_PLANE_COUNT; i++) {
        sl_fetch_origin_free(t->planes[i].origin);
        sl_sigv4_key_done(&t->planes[i].key);
    }
    sl_buf_done(&t->canonical);
    sl_buf_done_secret(&t->authorization);
    sl_free(t->headers);
    sl_free(t->name);
    sl_free(t->region);
    sl_free(t);
}

const char *sl_target_name(const struct sl_target *t) {
    return t->name;
}

const char *sl_target_region(const struct sl_target *t) {
    return t->region;
}

const char *sl_target_endpoint(const struct sl_target *t, enum sl_plane plane) {
    return t->planes[plane].origin ? t->planes[plane].endpoint : NULL;
}

struct sl_credentials_provider *sl_target_credentials(struct sl_target *t) {
    return t->provider;
}
