/* Each way of failing that we know: level, and what cause and cure must say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "app/check_explain.h"
#include "sluice/base/clock.h"

#define MODEL "meta.llama3-8b-instruct-v1:0"

static const struct sl_check_subject subject = {
    .action = "bedrock:InvokeModel",
    .host = "https://bedrock-runtime.us-east-1.amazonaws.com",
    .region = "us-east-1",
    .model = MODEL,
};

struct expected {
    enum sl_check_level level;
    const char *cause, *cure; /* parts of them */
    bool permission;
};

static void expect(const struct sl_check_outcome *outcome, const struct expected *e) {
    struct sl_check_verdict v;
    sl_check_explain(outcome, &subject, &v);
    bool good = v.level == e->level && v.permission == e->permission && strstr(v.cause, e->cause) &&
                strstr(v.cure, e->cure) && !strchr(v.cause, '{') && !strchr(v.cure, '{');
    if (!good)
        fail_msg("%d %s \"%s\" (error %d, phase %d) became %d, permission %d: %s; %s",
                 outcome->status, outcome->exception, outcome->message, outcome->error,
                 (int)outcome->phase, (int)v.level, v.permission, v.cause, v.cure);
}

static void test_no_answer(void **state) {
    static const struct {
        int error;
        enum sl_fetch_phase phase;
        struct expected expected;
    } cases[] = {
        {SL_E_DENIED, SL_FETCH_RESOLVE, {SL_CHECK_FAIL, "because", "", 0}},
        {SL_E_IO,
         SL_FETCH_RESOLVE,
         {SL_CHECK_FAIL, "cannot be found", "upstream.region (us-east-1)", 0}},
        {SL_E_TIMEOUT, SL_FETCH_RESOLVE, {SL_CHECK_FAIL, "cannot be found", "DNS", 0}},
        {SL_E_TIMEOUT, SL_FETCH_CONNECT, {SL_CHECK_FAIL, "cannot be reached", "port 443", 0}},
        {SL_E_IO,
         SL_FETCH_CONNECT,
         {SL_CHECK_FAIL, "refuses the connection", "upstream.endpoint", 0}},
        {SL_E_DENIED, SL_FETCH_TLS, {SL_CHECK_FAIL, "is not trusted", "upstream.ca_file", 0}},
        {SL_E_IO, SL_FETCH_TLS, {SL_CHECK_FAIL, "TLS with", "https port", 0}},
        {SL_E_PROTOCOL, SL_FETCH_TLS, {SL_CHECK_FAIL, "TLS with", "https port", 0}},
        {SL_E_TIMEOUT, SL_FETCH_HEAD, {SL_CHECK_FAIL, "did not answer", "Health", 0}},
        {SL_E_EOF, SL_FETCH_BODY, {SL_CHECK_FAIL, "broke: because", "try again", 0}},
        {SL_E_NOMEM, SL_FETCH_SEND, {SL_CHECK_FAIL, "broke: because", "try again", 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_check_outcome o = {.error = cases[i].error, .phase = cases[i].phase};
        snprintf(o.why, sizeof(o.why), "because");
        expect(&o, &cases[i].expected);
    }
}

static void test_answers(void **state) {
    static const struct {
        int status;
        const char *exception, *message;
        struct expected expected;
    } cases[] = {
        {403,
         "InvalidSignatureException",
         "Signature expired: 20150830T123600Z is now earlier than …",
         {SL_CHECK_FAIL, "clock is behind", "ntp", 0}},
        {403,
         "InvalidSignatureException",
         "Signature not yet current: 2015… is still later than …",
         {SL_CHECK_FAIL, "clock is ahead", "ntp", 0}},
        {400, "RequestExpired", "", {SL_CHECK_FAIL, "clock is off: no message", "ntp", 0}},
        {403,
         "InvalidSignatureException",
         "Credential should be scoped to a valid region, not 'x'.",
         {SL_CHECK_FAIL, "signed for us-east-1", "upstream.region", 0}},
        {403,
         "InvalidSignatureException",
         "Credential should be scoped to correct service: 's3'.",
         {SL_CHECK_FAIL, "is not Bedrock", "upstream.endpoint", 0}},
        {403,
         "InvalidSignatureException",
         "The request signature we calculated does not match …",
         {SL_CHECK_FAIL, "secret key is not the one", "copy", 0}},
        {403,
         "UnrecognizedClientException",
         "The security token included in the request is invalid.",
         {SL_CHECK_FAIL, "does not know these credentials", "AWS_SESSION_TOKEN", 0}},
        {403, "InvalidClientTokenId", "", {SL_CHECK_FAIL, "does not know", "active in IAM", 0}},
        {403,
         "ExpiredTokenException",
         "The security token included in the request is expired",
         {SL_CHECK_FAIL, "have expired", "aws sso login", 0}},
        {400, "IncompleteSignatureException", "…", {SL_CHECK_FAIL, "damaged", "spaces", 0}},
        {403,
         "MissingAuthenticationTokenException",
         "Missing Authentication Token",
         {SL_CHECK_FAIL, "did not arrive", "proxy", 0}},
        {403,
         "AccessDeniedException",
         "Authentication failed: Please make sure your API Key is valid.",
         {SL_CHECK_FAIL, "AWS_BEARER_TOKEN_BEDROCK is not valid", "make a new one", 0}},
        {403,
         "AccessDeniedException",
         "You don't have access to the model with the specified model ID.",
         {SL_CHECK_FAIL, "no access to " MODEL " in us-east-1", "Model access", 0}},
        {404,
         "ResourceNotFoundException",
         "Model use case details have not been submitted for this account.",
         {SL_CHECK_FAIL, "what it is used for", "use case form of " MODEL, 0}},
        {403,
         "AccessDeniedException",
         "… required AWS Marketplace actions (aws-marketplace:Subscribe) …",
         {SL_CHECK_FAIL, "subscribe", "aws-marketplace:ViewSubscriptions", 0}},
        {403,
         "AccessDeniedException",
         "… INVALID_PAYMENT_INSTRUMENT …",
         {SL_CHECK_FAIL, "payment method", "Billing", 0}},
        {403,
         "AccessDeniedException",
         "User: arn:… is not authorized to perform: bedrock:InvokeModel with an explicit deny in …",
         {SL_CHECK_FAIL, "a policy forbids bedrock:InvokeModel", "service control policy", 1}},
        {403,
         "AccessDeniedException",
         "User: arn:… is not authorized to perform: bedrock:InvokeModel",
         {SL_CHECK_FAIL, "may not call bedrock:InvokeModel", "for " MODEL, 1}},
        {403, "AccessDeniedException", "no", {SL_CHECK_FAIL, "is denied: no", "IAM policy", 1}},
        {404,
         "ResourceNotFoundException",
         "This model version has reached the end of its life. …",
         {SL_CHECK_FAIL, "withdrawn", "models.successors", 0}},
        {404,
         "ResourceNotFoundException",
         "Access denied. This Model is marked by provider as Legacy …",
         {SL_CHECK_FAIL, "still use it", "successor", 0}},
        {400,
         "ValidationException",
         "Invocation of model ID x with on-demand throughput isn’t supported.",
         {SL_CHECK_FAIL, "inference profile", "us." MODEL, 0}},
        {400,
         "ValidationException",
         "The provided model identifier is invalid.",
         {SL_CHECK_FAIL, "there is no model " MODEL, "list-foundation-models --region us-east-1",
          0}},
        {400,
         "ValidationException",
         "Operation not allowed",
         {SL_CHECK_FAIL, "not enabled for Bedrock yet", "AWS Support", 0}},
        {404,
         "ResourceNotFoundException",
         "Could not resolve the foundation model …",
         {SL_CHECK_FAIL, "is not there in us-east-1", "list-inference-profiles", 0}},
        {404,
         "UnknownOperationException",
         "",
         {SL_CHECK_FAIL, "does not know this call", "upstream.endpoint", 0}},
        {400,
         "ValidationException",
         "Malformed input request: …",
         {SL_CHECK_FAIL, "Malformed", "message", 0}},
        {429,
         "ThrottlingException",
         "Too many tokens per day, please wait before trying again.",
         {SL_CHECK_WARN, "today's tokens", "Service Quotas", 0}},
        {429,
         "ThrottlingException",
         "Too many requests, please wait before trying again.",
         {SL_CHECK_WARN, "quota is used up just now", "queues", 0}},
        {400,
         "ServiceQuotaExceededException",
         "…",
         {SL_CHECK_WARN, "quota is used up", "Service Quotas", 0}},
        {407, "", "", {SL_CHECK_FAIL, "proxy wants a password", "HTTPS_PROXY", 0}},
        {503,
         "ServiceUnavailableException",
         "Too many connections",
         {SL_CHECK_WARN, "503 ServiceUnavailableException", "Health", 0}},
        {418,
         "TeapotException",
         "short and stout",
         {SL_CHECK_FAIL, "418 TeapotException: short", "Troubleshooting", 0}},
        {502, "", "", {SL_CHECK_FAIL, "answers 502, and not as Bedrock does", "captive portal", 0}},
        {404, "", "", {SL_CHECK_FAIL, "answers 404", "upstream.endpoint", 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_check_outcome o = {.status = cases[i].status, .phase = SL_FETCH_DONE};
        snprintf(o.exception, sizeof(o.exception), "%s", cases[i].exception);
        snprintf(o.message, sizeof(o.message), "%s", cases[i].message);
        expect(&o, &cases[i].expected);
    }
}

static void test_success(void **state) {
    const struct sl_check_outcome o = {.status = 200};
    struct sl_check_verdict v;
    (void)state;
    sl_check_explain(&o, &subject, &v);
    assert_int_equal(v.level, SL_CHECK_OK);
    assert_int_equal(v.cure[0], '\0');
}

/* What AWS sends is put in as it is, never read as a template, and cut where it is long. */
static void test_hostile_message(void **state) {
    struct sl_check_outcome o = {.status = 400};
    struct sl_check_verdict v;
    (void)state;
    snprintf(o.exception, sizeof(o.exception), "ValidationException");
    snprintf(o.message, sizeof(o.message), "{host}%%n{message}");
    sl_check_explain(&o, &subject, &v);
    assert_string_equal(v.cause, "Bedrock refuses the call: {host}%n{message}");
    memset(o.message, 'x', sizeof(o.message) - 1);
    sl_check_explain(&o, &subject, &v);
    assert_true(strlen(v.cause) < sizeof(v.cause));
}

static void test_clock(void **state) {
    static const struct {
        int64_t skew_s;
        enum sl_check_level level;
        const char *says;
    } cases[] = {
        {0, SL_CHECK_OK, "within a minute"},     {59, SL_CHECK_OK, "within a minute"},
        {-59, SL_CHECK_OK, "within a minute"},   {60, SL_CHECK_WARN, "60 s ahead of"},
        {-299, SL_CHECK_WARN, "299 s behind"},   {300, SL_CHECK_FAIL, "300 s ahead of"},
        {-7200, SL_CHECK_FAIL, "7200 s behind"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_check_verdict v;
        sl_check_clock(1000000000000, 1000000000000 + cases[i].skew_s * 1000, &v);
        assert_int_equal(v.level, cases[i].level);
        assert_non_null(strstr(v.cause, cases[i].says));
        assert_int_equal(v.cure[0] == '\0', v.level == SL_CHECK_OK);
    }
}

static void test_date(void **state) {
    static const char *const bad[] = {"", "yesterday", "Sun, 06 Nov 1994 08:49:37 GMT ",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Sun, 06 Nov 1994 08:49:37 GMT and much more text behind it"};
    char text[SL_HTTP_DATE_SIZE];
    (void)state;
    assert_true(sl_check_date(SL_LIT("Sun, 06 Nov 1994 08:49:37 GMT")) == INT64_C(784111777000));
    sl_clock_http_date(INT64_C(1795342081000), text);
    assert_true(sl_check_date(sl_slice_str(text)) == INT64_C(1795342081000));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(sl_check_date(sl_slice_str(bad[i])) == -1);
}

static void test_prefix(void **state) {
    static const struct {
        const char *prefix, *region;
        enum sl_check_level level;
    } cases[] = {
        {"us.", "us-east-1", SL_CHECK_OK},         {"us.", "us-west-2", SL_CHECK_OK},
        {"us.", "eu-west-1", SL_CHECK_FAIL},       {"us.", "us-gov-west-1", SL_CHECK_FAIL},
        {"us-gov.", "us-gov-west-1", SL_CHECK_OK}, {"us-gov.", "us-east-1", SL_CHECK_FAIL},
        {"eu.", "eu-central-1", SL_CHECK_OK},      {"eu.", "us-east-1", SL_CHECK_FAIL},
        {"apac.", "ap-south-1", SL_CHECK_OK},      {"jp.", "ap-northeast-1", SL_CHECK_OK},
        {"jp.", "ap-south-1", SL_CHECK_FAIL},      {"au.", "ap-southeast-2", SL_CHECK_OK},
        {"ca.", "ca-central-1", SL_CHECK_OK},      {"in.", "ap-south-1", SL_CHECK_OK},
        {"global.", "sa-east-1", SL_CHECK_OK},     {"new.", "mars-1", SL_CHECK_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_check_verdict v;
        sl_check_prefix(sl_slice_str(cases[i].prefix), cases[i].region, &v);
        if (v.level != cases[i].level)
            fail_msg("%s in %s: %s", cases[i].prefix, cases[i].region, v.cause);
        assert_non_null(strstr(v.cause, cases[i].region));
    }
}

static void test_availability(void **state) {
#define BODY(agreement, authorisation, entitlement, region)                                        \
    "{\"modelId\":\"m\",\"agreementAvailability\":{\"status\":\"" agreement                        \
    "\"},\"authorizationStatus\":\"" authorisation "\",\"entitlementAvailability\":\"" entitlement \
    "\",\"regionAvailability\":\"" region "\"}"
    static const struct {
        const char *body;
        enum sl_check_level level;
        const char *says;
    } cases[] = {
        {BODY("AVAILABLE", "AUTHORIZED", "AVAILABLE", "AVAILABLE"), SL_CHECK_OK, "granted"},
        {BODY("NOT_AVAILABLE", "AUTHORIZED", "AVAILABLE", "AVAILABLE"), SL_CHECK_FAIL, "terms of"},
        {BODY("AVAILABLE", "NOT_AUTHORIZED", "AVAILABLE", "AVAILABLE"), SL_CHECK_FAIL,
         "not authorised"},
        {BODY("AVAILABLE", "AUTHORIZED", "NOT_AVAILABLE", "AVAILABLE"), SL_CHECK_FAIL,
         "has no access"},
        {BODY("NOT_AVAILABLE", "NOT_AUTHORIZED", "NOT_AVAILABLE", "NOT_AVAILABLE"), SL_CHECK_FAIL,
         MODEL " is not offered in us-east-1"},
        {"{\"authorizationStatus\":\"AUTHORIZED\"}", SL_CHECK_OK, "granted"},
        {"{}", SL_CHECK_WARN, "cannot be read"},
        {"<html>", SL_CHECK_WARN, "cannot be read"},
        {"", SL_CHECK_WARN, "cannot be read"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_check_verdict v;
        sl_check_availability(sl_slice_str(cases[i].body), &subject, &v);
        if (v.level != cases[i].level || !strstr(v.cause, cases[i].says))
            fail_msg("%s became %d: %s", cases[i].body, (int)v.level, v.cause);
        assert_int_equal(v.cure[0] != '\0', v.level == SL_CHECK_FAIL);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_answer), cmocka_unit_test(test_answers),
        cmocka_unit_test(test_success),   cmocka_unit_test(test_hostile_message),
        cmocka_unit_test(test_clock),     cmocka_unit_test(test_date),
        cmocka_unit_test(test_prefix),    cmocka_unit_test(test_availability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
