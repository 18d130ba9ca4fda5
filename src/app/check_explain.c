/*
 * Rows are tried in order and the first that matches speaks, so special ones stand before general
 * ones and the last two match anything. {action}, {host}, {region}, {model}, {why}, {status},
 * {exception} and {message} in a text stand for what the call was and what came back.
 */
#include "app/check_explain.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "sluice/wire/json.h"

#define ANY 99 /* neither an error, which are negative, nor a phase */

struct row {
    int error;             /* an error of the attempt; 0: an answer; ANY: any error */
    int phase;             /* enum sl_fetch_phase or ANY; for errors */
    int status;            /* 0: any; 5: all of 5xx; for answers */
    const char *exception; /* how it starts; NULL: any */
    const char *message;   /* what it contains, whatever the case; NULL: any */
    enum sl_check_level level;
    bool permission;
    const char *cause, *cure;
};

/* An attempt that brought no answer. */
#define BROKE(e, p, why_text, cure_text)                                                           \
    { .error = (e), .phase = (p), .level = SL_CHECK_FAIL, .cause = (why_text), .cure = (cure_text) }
/* An answer that is a refusal. */
#define SAID(l, s, x, m, cause_text, cure_text)                                                    \
    {                                                                                              \
        .status = (s), .exception = (x), .message = (m), .level = SL_CHECK_##l,                    \
        .cause = (cause_text), .cure = (cure_text)                                                 \
    }
#define FORBIDS(m, cause_text, cure_text)                                                          \
    {                                                                                              \
        .status = 403, .exception = "AccessDenied", .message = (m), .level = SL_CHECK_FAIL,        \
        .permission = true, .cause = (cause_text), .cure = (cure_text)                             \
    }

#define SET_CLOCK "set this machine's clock and keep it set (timedatectl set-ntp true)"
#define NEW_KEYS                                                                                   \
    "check that the key is active in IAM and copied whole; temporary keys (ASIA...) also need "    \
    "their AWS_SESSION_TOKEN"
#define RENEW "get new ones: aws sso login, a new AWS_SESSION_TOKEN, or a role that renews itself"
#define ASK_ACCESS                                                                                 \
    "open the Bedrock console in {region}, Model access (or Model catalog), and request {model}; " \
    "it can take some minutes to take effect"
#define FIND_MODEL                                                                                 \
    "compare the id with: aws bedrock list-foundation-models --region {region}, and "              \
    "list-inference-profiles; not every model is in every region"

static const struct row rows[] = {
    /* No answer. */
    /* The credentials' own sentence says what to set and what was tried. */
    BROKE(SL_E_DENIED, SL_FETCH_RESOLVE, "{why}", ""),
    BROKE(ANY, SL_FETCH_RESOLVE, "{host} cannot be found: {why}",
          "check upstream.region ({region}) and upstream.endpoint, then DNS; in a network without "
          "internet make a VPC endpoint for bedrock-runtime"),
    BROKE(SL_E_TIMEOUT, SL_FETCH_CONNECT, "{host} cannot be reached: {why}",
          "let this machine connect to port 443 outside, or use a VPC endpoint; behind a proxy set "
          "HTTPS_PROXY"),
    BROKE(ANY, SL_FETCH_CONNECT, "{host} refuses the connection: {why}",
          "check upstream.endpoint and its port, and HTTPS_PROXY where a proxy is used"),
    BROKE(SL_E_DENIED, SL_FETCH_TLS, "the certificate of {host} is not trusted: {why}",
          "where a proxy re-signs TLS, set upstream.ca_file to its authority's PEM file; else "
          "somebody is in between"),
    BROKE(ANY, SL_FETCH_TLS, "TLS with {host} fails: {why}",
          "check that upstream.endpoint is an https port, and what stands in between (proxy, "
          "firewall)"),
    BROKE(SL_E_TIMEOUT, ANY, "{host} took the request and did not answer: {why}",
          "try again; if it stays so, look at what stands in between, and at the AWS Health "
          "Dashboard"),
    BROKE(ANY, ANY, "the connection to {host} broke: {why}",
          "try again; if it stays so, look at what stands in between (proxy, firewall)"),

    /* Who we are: signature, clock, keys. */
    SAID(FAIL, 0, "InvalidSignature", "signature expired",
         "this machine's clock is behind AWS's: {message}", SET_CLOCK),
    SAID(FAIL, 0, "InvalidSignature", "not yet current",
         "this machine's clock is ahead of AWS's: {message}", SET_CLOCK),
    SAID(FAIL, 0, "RequestExpired", NULL, "this machine's clock is off: {message}", SET_CLOCK),
    SAID(FAIL, 0, "InvalidSignature", "valid region",
         "calls are signed for {region}, but {host} serves another region",
         "set upstream.region to the endpoint's region"),
    SAID(FAIL, 0, "InvalidSignature", "correct service", "{host} is not Bedrock: {message}",
         "upstream.endpoint must be an endpoint of bedrock-runtime"),
    SAID(FAIL, 0, "InvalidSignature", NULL,
         "the signature does not match: the secret key is not the one of this access key",
         "copy access key and secret again; if they are right, a proxy changes the requests"),
    SAID(FAIL, 0, "UnrecognizedClient", NULL, "AWS does not know these credentials: {message}",
         NEW_KEYS),
    SAID(FAIL, 0, "InvalidClientTokenId", NULL, "AWS does not know these credentials: {message}",
         NEW_KEYS),
    SAID(FAIL, 0, "ExpiredToken", NULL, "the credentials have expired", RENEW),
    SAID(FAIL, 0, "IncompleteSignature", NULL, "the signature arrived damaged: {message}",
         "check that access key and secret hold no spaces or line ends, and that no proxy removes "
         "headers"),
    SAID(FAIL, 0, "MissingAuthenticationToken", NULL, "the signature did not arrive",
         "a proxy removes the Authorization header, or upstream.endpoint is not Bedrock's"),
    SAID(FAIL, 403, NULL, "api key",
         "the API key in AWS_BEARER_TOKEN_BEDROCK is not valid (any more): {message}",
         "make a new one in the Bedrock console in {region}; short-term keys last 12 hours at "
         "most and serve one region"),
    SAID(FAIL, 403, NULL, "bearer token",
         "the API key in AWS_BEARER_TOKEN_BEDROCK is not valid (any more): {message}",
         "make a new one in the Bedrock console in {region}; short-term keys last 12 hours at "
         "most and serve one region"),

    /* What the account may do. */
    SAID(FAIL, 0, NULL, "access to the model", "the account has no access to {model} in {region}",
         ASK_ACCESS),
    SAID(FAIL, 0, NULL, "use case details",
         "the model's maker wants to know what it is used for first: {message}",
         "fill in the use case form of {model} in the Bedrock console, Model catalog"),
    SAID(FAIL, 0, NULL, "aws-marketplace",
         "the first call of {model} has to subscribe to it, and this identity may not: {message}",
         "call it once with an identity that is allowed aws-marketplace:Subscribe and "
         "aws-marketplace:ViewSubscriptions"),
    SAID(FAIL, 0, NULL, "INVALID_PAYMENT_INSTRUMENT",
         "the account has no valid payment method for {model}",
         "add one under Billing, Payment preferences"),
    FORBIDS("explicit deny", "a policy forbids {action}: {message}",
            "find the Deny: IAM policies, permission boundary, or a service control policy of the "
            "organisation (often a region lock)"),
    FORBIDS("not authorized to perform", "this identity may not call {action}",
            "allow {action} in its IAM policy, for {model}"),
    FORBIDS(NULL, "{action} is denied: {message}",
            "allow {action} in the IAM policy, and check the model's access in the Bedrock console "
            "in {region}"),

    /* The model. */
    SAID(FAIL, 0, NULL, "end of its life", "{model} has been withdrawn by AWS",
         "use its successor; Sluice maps known ones (models.retired), others go into "
         "models.successors"),
    SAID(FAIL, 0, NULL, "marked by provider as legacy",
         "{model} is kept for accounts that still use it, and this one does not",
         "use its successor"),
    SAID(FAIL, 400, "Validation", "on-demand throughput",
         "{model} can only be called through an inference profile",
         "use the profile's id, such as us.{model}: aws bedrock list-inference-profiles --region "
         "{region}"),
    SAID(FAIL, 400, "Validation", "model identifier is invalid", "there is no model {model}",
         FIND_MODEL),
    SAID(FAIL, 400, "Validation", "operation not allowed",
         "the account is not enabled for Bedrock yet (new accounts wait for it)",
         "open a case with AWS Support, account and billing"),
    SAID(FAIL, 404, "ResourceNotFound", NULL, "{model} is not there in {region}: {message}",
         FIND_MODEL),
    SAID(FAIL, 404, "UnknownOperation", NULL, "{host} does not know this call ({action})",
         "check upstream.endpoint: it must be Bedrock's for this kind of call"),
    SAID(FAIL, 400, "Validation", NULL, "Bedrock refuses the call: {message}",
         "the message says what to change"),

    /* Later. */
    SAID(WARN, 429, NULL, "per day", "access works, but today's tokens are used up: {message}",
         "wait until the day is over, or ask for a higher quota: Service Quotas, Amazon Bedrock"),
    SAID(WARN, 429, NULL, NULL, "access works, but the quota is used up just now: {message}",
         "Sluice queues what does not fit; for more ask Service Quotas, Amazon Bedrock"),
    SAID(WARN, 400, "ServiceQuotaExceeded", NULL, "a quota is used up: {message}",
         "ask for a higher one: Service Quotas, Amazon Bedrock"),
    SAID(FAIL, 407, NULL, NULL, "the proxy wants a password",
         "put it into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT"),
    SAID(WARN, 5, "", NULL, "Bedrock has trouble just now: {status} {exception} {message}",
         "try again; if it stays so, look at the AWS Health Dashboard"),
    SAID(FAIL, 0, "", NULL, "Bedrock answers {status} {exception}: {message}",
         "see the Bedrock user guide, Troubleshooting API error codes"),
    SAID(FAIL, 0, NULL, NULL, "{host} answers {status}, and not as Bedrock does",
         "check upstream.endpoint, and what stands in between (proxy, captive portal)"),
};

static bool contains(const char *text, const char *part) {
    return strcasestr(text, part) != NULL;
}

static bool status_matches(int wanted, int status) {
    return wanted == 0 || wanted == status || (wanted == 5 && status / 100 == 5);
}

static bool matches(const struct row *r, const struct sl_check_outcome *o) {
    if (o->error)
        return (r->error == ANY || r->error == o->error) &&
               (r->phase == ANY || r->phase == (int)o->phase);
    if (r->error != 0 || !status_matches(r->status, o->status))
        return false;
    /* "" matches any exception, but there must be one. */
    if (r->exception && (o->exception[0] == '\0' ||
                         strncasecmp(o->exception, r->exception, strlen(r->exception)) != 0))
        return false;
    return !r->message || contains(o->message, r->message);
}

struct value {
    const char *name, *text;
};

/* Writes template to out with its {names} replaced; cut where out ends. */
static void fill(char *out, size_t size, const char *template, const struct value *values,
                 size_t count) {
    size_t n = 0;
    while (*template && n + 1 < size) {
        size_t i = 0;
        while (i < count && strncmp(template, values[i].name, strlen(values[i].name)) != 0)
            i++;
        if (i == count) {
            out[n++] = *template ++;
            continue;
        }
        size_t len = strlen(values[i].text);
        if (len > size - 1 - n)
            len = size - 1 - n;
        memcpy(out + n, values[i].text, len);
        n += len;
        template += strlen(values[i].name);
    }
    out[n] = '\0';
}

static void fill_row(const struct row *row, const struct sl_check_outcome *o,
                     const struct sl_check_subject *s, struct sl_check_verdict *verdict) {
    char status[16];
    const struct value values[] = {
        {"{action}", s->action}, {"{host}", s->host},
        {"{region}", s->region}, {"{model}", s->model},
        {"{why}", o->why},       {"{exception}", o->exception},
        {"{status}", status},    {"{message}", o->message[0] ? o->message : "no message"},
    };
    snprintf(status, sizeof(status), "%d", o->status);
    verdict->level = row->level;
    verdict->permission = row->permission;
    fill(verdict->cause, sizeof(verdict->cause), row->cause, values,
         sizeof(values) / sizeof(values[0]));
    fill(verdict->cure, sizeof(verdict->cure), row->cure, values,
         sizeof(values) / sizeof(values[0]));
}

void sl_check_explain(const struct sl_check_outcome *outcome,
                      const struct sl_check_subject *subject, struct sl_check_verdict *verdict) {
    *verdict = (struct sl_check_verdict){.level = SL_CHECK_OK};
    if (!outcome->error && outcome->status / 100 == 2) {
        snprintf(verdict->cause, sizeof(verdict->cause), "%s answers", subject->host);
        return;
    }
    const struct row *row = rows;
    while (!matches(row, outcome)) /* the last rows of both kinds match anything */
        row++;
    fill_row(row, outcome, subject, verdict);
}

int64_t sl_check_date(struct sl_slice value) {
    char text[40];
    struct tm tm = {0};
    if (value.len >= sizeof(text))
        return -1;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return end && *end == '\0' ? (int64_t)timegm(&tm) * 1000 : -1;
}

#define SKEW_WARN_S  60
#define SKEW_LIMIT_S 300

void sl_check_clock(int64_t date_ms, int64_t wall_ms, struct sl_check_verdict *verdict) {
    int64_t skew = (wall_ms - date_ms) / 1000, size = skew < 0 ? -skew : skew;
    *verdict = (struct sl_check_verdict){.level = size >= SKEW_LIMIT_S  ? SL_CHECK_FAIL
                                                  : size >= SKEW_WARN_S ? SL_CHECK_WARN
                                                                        : SL_CHECK_OK};
    if (verdict->level == SL_CHECK_OK) {
        snprintf(verdict->cause, sizeof(verdict->cause), "within a minute of AWS's");
        return;
    }
    snprintf(verdict->cause, sizeof(verdict->cause),
             "this machine's clock is %" PRId64 " s %s AWS's; from %d s on all calls are refused",
             size, skew < 0 ? "behind" : "ahead of", SKEW_LIMIT_S);
    snprintf(verdict->cure, sizeof(verdict->cure), SET_CLOCK);
}

void sl_check_prefix(struct sl_slice prefix, const char *region, struct sl_check_verdict *verdict) {
    static const struct {
        const char *prefix;
        const char *regions[5]; /* how their names start */
    } places[] = {
        {"us-gov.", {"us-gov-"}},   {"us.", {"us-east-", "us-west-", "ca-"}},
        {"eu.", {"eu-", "il-"}},    {"apac.", {"ap-", "me-"}},
        {"jp.", {"ap-northeast-"}}, {"au.", {"ap-southeast-"}},
        {"ca.", {"ca-"}},           {"in.", {"ap-south-"}},
    };
    *verdict = (struct sl_check_verdict){.level = SL_CHECK_OK};
    snprintf(verdict->cause, sizeof(verdict->cause), "can be called from %s", region);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (!sl_slice_eq(prefix, sl_slice_str(places[i].prefix)))
            continue;
        for (const char *const *start = places[i].regions; *start; start++)
            if (strncmp(region, *start, strlen(*start)) == 0)
                return;
        verdict->level = SL_CHECK_FAIL;
        snprintf(verdict->cause, sizeof(verdict->cause),
                 "profiles that begin with %s are not offered in %s", places[i].prefix, region);
        snprintf(verdict->cure, sizeof(verdict->cure),
                 "use the profile of your part of the world, or a global. one: aws bedrock "
                 "list-inference-profiles --region %s; or change upstream.region",
                 region);
        return;
    }
}

/* Each field of the answer with the value that is good. */
static const struct {
    const char *path, *good, *cause, *cure;
} availability[] = {
    {"regionAvailability", "AVAILABLE", "{model} is not offered in {region}", FIND_MODEL},
    {"authorizationStatus", "AUTHORIZED", "the account is not authorised for {model}", ASK_ACCESS},
    {"entitlementAvailability", "AVAILABLE", "the account has no access to {model} in {region}",
     ASK_ACCESS},
    {"agreementAvailability.status", "AVAILABLE",
     "the terms of {model} have not been accepted for this account", ASK_ACCESS},
};
#define AVAILABILITY_FIELDS (sizeof(availability) / sizeof(availability[0]))

/* True when the body is JSON; facts is then to be released. */
static bool read_facts(struct sl_json_facts *facts, struct sl_json_fact *fact,
                       struct sl_slice body) {
    for (size_t i = 0; i < AVAILABILITY_FIELDS; i++)
        fact[i] = (struct sl_json_fact){.path = availability[i].path};
    if (sl_json_facts_init(facts, fact, AVAILABILITY_FIELDS, 64) != 0)
        return false;
    if (sl_json_facts_feed(facts, body) == 0 && sl_json_facts_finish(facts) == 0)
        return true;
    sl_json_facts_done(facts);
    return false;
}

static void cannot_read(struct sl_check_verdict *verdict) {
    verdict->level = SL_CHECK_WARN;
    snprintf(verdict->cause, sizeof(verdict->cause), "the answer cannot be read");
}

void sl_check_availability(struct sl_slice body, const struct sl_check_subject *subject,
                           struct sl_check_verdict *verdict) {
    const struct value values[] = {{"{model}", subject->model}, {"{region}", subject->region}};
    struct sl_json_fact fact[AVAILABILITY_FIELDS];
    struct sl_json_facts facts;
    *verdict = (struct sl_check_verdict){.level = SL_CHECK_OK};
    snprintf(verdict->cause, sizeof(verdict->cause), "granted to this account in %s",
             subject->region);
    if (!read_facts(&facts, fact, body)) {
        cannot_read(verdict);
        return;
    }
    size_t found = 0;
    for (size_t i = 0; i < AVAILABILITY_FIELDS; i++) {
        bool said = fact[i].type == SL_FACT_STRING;
        found += said;
        if (!said || sl_slice_eq(sl_buf_slice(&fact[i].text), sl_slice_str(availability[i].good)))
            continue;
        verdict->level = SL_CHECK_FAIL;
        fill(verdict->cause, sizeof(verdict->cause), availability[i].cause, values, 2);
        fill(verdict->cure, sizeof(verdict->cure), availability[i].cure, values, 2);
        break;
    }
    if (found == 0)
        cannot_read(verdict);
    sl_json_facts_done(&facts);
}
