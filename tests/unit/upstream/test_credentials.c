#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http_script.h"
#include "sluice/base/log.h"
#include "sluice/upstream/credentials.h"

#define MINUTE INT64_C(60000)

static uv_loop_t uv;
static struct sl_loop loop;
static struct sl_fetch_client *client;
static struct http_script server;
static struct sl_turn_hook clock_hook;
static int64_t wall_offset; /* virtual: added to the wall clock in every turn */
static char folder[64];

/* ---- environment */

static struct { char name[64], value[512]; } variables[24];
static size_t variable_count;

static const char *env(const char *name) {
    for (size_t i = variable_count; i-- > 0;)
        if (strcmp(variables[i].name, name) == 0)
            return variables[i].value;
    return NULL;
}

static void set(const char *name, const char *fmt, ...) SL_PRINTF(2, 3);
static void set(const char *name, const char *fmt, ...) {
    va_list args;
    assert_true(variable_count < sizeof(variables) / sizeof(*variables));
    snprintf(variables[variable_count].name, sizeof(variables[0].name), "%s", name);
    va_start(args, fmt);
    vsnprintf(variables[variable_count].value, sizeof(variables[0].value), fmt, args);
    va_end(args);
    variable_count++;
}

static void write_file(const char *name, const char *fmt, ...) SL_PRINTF(2, 3);
static void write_file(const char *name, const char *fmt, ...) {
    char path[128], text[4096];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, (size_t)n), n);
    close(fd);
}

/* ---- time */

static void step_clock(void *ctx) {
    (void)ctx;
    loop.wall_ms = sl_clock_wall_ms() + wall_offset;
}

static void advance(int64_t ms) {
    wall_offset += ms;
    step_clock(NULL);
}

static const char *date_in(int64_t ms) {
    static char dates[4][SL_ISO_DATE_SIZE];
    static unsigned next;
    char *out = dates[next++ % 4];
    sl_clock_iso_date(sl_clock_wall_ms() + wall_offset + ms, out);
    return out;
}

/* ---- answers of the server */

static char body[4096];

static struct http_script_reply say(int status, const char *fmt, ...) SL_PRINTF(2, 3);
static struct http_script_reply say(int status, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(body, sizeof(body), fmt, args);
    va_end(args);
    return (struct http_script_reply){status, body};
}

static struct http_script_reply say_json(const char *id, int64_t life) {
    return say(200,
               "{\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"S\",\"Token\":\"T\","
               "\"Expiration\":\"%s\"}",
               id, date_in(life));
}

static struct http_script_reply say_sts(const char *action, const char *id, int64_t life) {
    return say(200,
               "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%sResult>"
               "<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn></AssumedRoleUser>"
               "<Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>S</SecretAccessKey>"
               "<SessionToken>T&#43;</SessionToken><Expiration>%s</Expiration></Credentials>"
               "</%sResult></%sResponse>",
               action, action, id, date_in(life), action, action);
}

static struct http_script_reply no_reply(struct http_script *s, const char *request) {
    (void)s, (void)request;
    return (struct http_script_reply){0, ""};
}

/* ---- the provider */

static struct sl_credentials_provider *make(const char *profile) {
    struct sl_credentials_settings settings = {
        .profile = profile, .region = "eu-west-1", .getenv = env};
    struct sl_credentials_provider *p = sl_credentials_provider_new(&loop, client, &settings);
    assert_non_null(p);
    return p;
}

struct outcome {
    struct sl_credentials_wait wait;
    bool told, have;
    char id[64], token[64], bearer[64], source[64], why[2048];
    int64_t expires_ms;
};

static void copy(char *to, size_t size, struct sl_slice s) {
    snprintf(to, size, "%.*s", SL_FMT(s));
}

static void note(void *ctx, const struct sl_credentials *c, const char *why) {
    struct outcome *o = ctx;
    assert_false(o->told);
    o->told = true;
    sl_loop_again(&loop); /* so that run_until need not wait for another event */
    o->have = c != NULL;
    assert_int_equal(c == NULL, why != NULL);
    if (why)
        snprintf(o->why, sizeof(o->why), "%s", why);
    if (!c)
        return;
    copy(o->id, sizeof(o->id), c->access_key_id);
    copy(o->token, sizeof(o->token), c->session_token);
    copy(o->bearer, sizeof(o->bearer), c->bearer);
    snprintf(o->source, sizeof(o->source), "%s", c->source);
    o->expires_ms = c->expires_ms;
}

/* True if credentials were at hand; else o waits. */
static bool ask(struct sl_credentials_provider *p, struct outcome *o) {
    *o = (struct outcome){.wait = {.on_ready = note, .ctx = o}};
    const struct sl_credentials *c = sl_credentials_get(p, &o->wait);
    if (c)
        note(o, c, NULL);
    return c != NULL;
}

static void run_until(const bool *flag) {
    while (!*flag)
        uv_run(&uv, UV_RUN_ONCE);
    step_clock(NULL);
}

static void run_until_requests(int count) {
    while (server.count < count)
        uv_run(&uv, UV_RUN_ONCE);
    step_clock(NULL);
}

static struct outcome fetch(struct sl_credentials_provider *p) {
    static struct outcome o;
    if (!ask(p, &o))
        run_until(&o.told);
    return o;
}

static void expect(struct sl_credentials_provider *p, const char *source, const char *id) {
    struct outcome o = fetch(p);
    if (!o.have)
        fail_msg("%s", o.why);
    assert_string_equal(o.source, source);
    assert_string_equal(o.id, id);
}

static void expect_failure(struct sl_credentials_provider *p, const char *part) {
    struct outcome o = fetch(p);
    assert_false(o.have);
    if (!strstr(o.why, part))
        fail_msg("\"%s\" is not in: %s", part, o.why);
    assert_null(strstr(o.why, "s3cret"));
}

/* ---- fixture */

static int setup(void **state) {
    (void)state;
    wall_offset = 0;
    variable_count = 0;
    snprintf(folder, sizeof(folder), "/tmp/sluice-credentials-XXXXXX");
    if (!mkdtemp(folder) || uv_loop_init(&uv) != 0 || sl_loop_init(&loop, &uv) != 0)
        return -1;
    sl_loop_hook(&loop, SL_TURN_TRANSFERS, &clock_hook, step_clock, NULL);
    client = sl_fetch_client_new(&loop, &(struct sl_fetch_client_settings){.max_in_flight = 4});
    http_script_start(&server, &uv, no_reply);
    set("HOME", "%s", folder);
    set("AWS_CONFIG_FILE", "%s/config", folder);
    set("AWS_SHARED_CREDENTIALS_FILE", "%s/credentials", folder);
    set("AWS_EC2_METADATA_DISABLED", "true");
    set("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:%d", server.port);
    return client ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    sl_fetch_client_free(client);
    http_script_stop(&server);
    sl_loop_unhook(&clock_hook);
    sl_loop_done(&loop);
    uv_run(&uv, UV_RUN_DEFAULT);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return server.open == 0 && uv_loop_close(&uv) == 0 && system(command) == 0 ? 0 : -1;
}

/* ---- sources without I/O */

static void test_environment(void **state) {
    (void)state;
    struct outcome o;
    struct sl_credentials_provider *p = make(NULL);
    set("AWS_ACCESS_KEY_ID", "AKENV");
    set("AWS_SECRET_ACCESS_KEY", "s3cret");
    set("AWS_SESSION_TOKEN", "token");
    assert_true(ask(p, &o)); /* at once */
    assert_string_equal(o.source, "environment");
    assert_string_equal(o.id, "AKENV");
    assert_string_equal(o.token, "token");
    assert_true(o.expires_ms == INT64_MAX);
    assert_false(sl_credentials_rejected(p, SL_LIT("AKENV")));
    assert_true(sl_credentials_rejected(p, SL_LIT("AKOLD")));
    assert_true(ask(p, &o));
    sl_credentials_provider_free(p);
}

static void test_bearer_first(void **state) {
    (void)state;
    struct sl_credentials_provider *p = make(NULL);
    set("AWS_ACCESS_KEY_ID", "AKENV");
    set("AWS_SECRET_ACCESS_KEY", "s3cret");
    set("AWS_BEARER_TOKEN_BEDROCK", "ABSKtoken");
    struct outcome o = fetch(p);
    assert_true(o.have);
    assert_string_equal(o.bearer, "ABSKtoken");
    assert_string_equal(o.id, "");
    assert_string_equal(o.source, "bearer-token");
    sl_credentials_provider_free(p);
}

/* Keys of the settings serve even where everything around is broken. */
static void test_given(void **state) {
    (void)state;
    struct outcome o;
    struct sl_credentials_settings settings = {
        .access_key_id = "AKGIVEN", .secret = "s3cret", .getenv = env};
    write_file("config", "broken\n");
    set("AWS_PROFILE", "nobody");
    set("AWS_BEARER_TOKEN_BEDROCK", "ABSKtoken");
    struct sl_credentials_provider *p = sl_credentials_provider_new(&loop, client, &settings);
    assert_non_null(p);
    assert_true(ask(p, &o));
    assert_string_equal(o.id, "AKGIVEN");
    assert_string_equal(o.source, "settings");
    assert_string_equal(o.bearer, "");
    assert_false(sl_credentials_rejected(p, SL_LIT("AKGIVEN")));
    advance(1000 * 24 * 60 * MINUTE);
    assert_true(ask(p, &o));
    sl_credentials_provider_free(p);
}

static void test_none(void **state) {
    (void)state;
    struct outcome o;
    struct sl_credentials_provider *p = make(NULL);
    assert_false(ask(p, &o));
    assert_false(o.told); /* never from inside get */
    run_until(&o.told);
    assert_false(o.have);
    static const char *const parts[] = {"set AWS_ACCESS_KEY_ID",
                                        "environment (AWS_ACCESS_KEY_ID is not set), assume-role",
                                        "shared-credentials-file (profile default has no",
                                        "credential-process",
                                        "container (AWS_CONTAINER",
                                        "instance-metadata (AWS_EC2_METADATA_DISABLED is set)"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (!strstr(o.why, parts[i]))
            fail_msg("\"%s\" is not in: %s", parts[i], o.why);
    sl_credentials_provider_free(p);
}

static void test_broken_environment(void **state) {
    (void)state;
    struct sl_credentials_provider *p = make(NULL);
    set("AWS_ACCESS_KEY_ID", "AKENV");
    expect_failure(p, "AWS_SECRET_ACCESS_KEY is not");
    sl_credentials_provider_free(p);
    p = make(NULL);
    set("AWS_SECRET_ACCESS_KEY", "s3cret\n");
    expect_failure(p, "a line break");
    sl_credentials_provider_free(p);
    p = make(NULL);
    set("AWS_SECRET_ACCESS_KEY", "s3cret");
    set("AWS_CREDENTIAL_EXPIRATION", "2001-01-01T00:00:00Z");
    expect_failure(p, "have expired");
    sl_credentials_provider_free(p);
}

static void test_files(void **state) {
    (void)state;
    write_file("credentials", "[default]\naws_access_key_id=AKFILE\naws_secret_access_key=s3cret\n"
                              "[half]\naws_access_key_id=AKHALF\n");
    write_file("config", "[default]\naws_access_key_id=AKNOT\naws_secret_access_key=s\n"
                         "[profile c]\naws_access_key_id=AKCONF\naws_secret_access_key=s3cret\n"
                         "aws_session_token=tok\nregion=ap-south-1\n");
    struct sl_credentials_provider *p = make(NULL);
    expect(p, "shared-credentials-file", "AKFILE");
    sl_credentials_provider_free(p);

    p = make("c");
    set("AWS_ACCESS_KEY_ID", "AKENV"); /* a named profile overrides it */
    set("AWS_SECRET_ACCESS_KEY", "s3cret");
    struct outcome o = fetch(p);
    assert_string_equal(o.id, "AKCONF");
    assert_string_equal(o.source, "config-file");
    assert_string_equal(o.token, "tok");
    assert_string_equal(sl_credentials_region(p), "ap-south-1");
    sl_credentials_provider_free(p);

    set("AWS_PROFILE", "c"); /* one named by the environment does not */
    p = make(NULL);
    expect(p, "environment", "AKENV");
    sl_credentials_provider_free(p);

    p = make("half");
    expect_failure(p, "profile half has aws_access_key_id but no aws_secret_access_key");
    sl_credentials_provider_free(p);
    p = make("nobody");
    expect_failure(p, "profile nobody is neither in the AWS config file nor");
    sl_credentials_provider_free(p);
}

static void test_broken_file(void **state) {
    (void)state;
    write_file("config", "[default]\nthis is no entry\n");
    set("AWS_REGION", "us-west-2");
    struct sl_credentials_provider *p = make(NULL);
    expect_failure(p, "config: line 2 is neither a section nor an entry");
    assert_string_equal(sl_credentials_region(p), "us-west-2");
    sl_credentials_provider_free(p);
}

static void test_refusals(void **state) {
    (void)state;
    write_file("config",
               "[profile sso]\nsso_account_id=1\nsso_role_name=r\n"
               "[profile login]\nlogin_session=x\n"
               "[profile mfa]\nrole_arn=a\nsource_profile=k\nmfa_serial=m\n"
               "[profile both]\nrole_arn=a\nsource_profile=k\ncredential_source=Environment\n"
               "[profile neither]\nrole_arn=a\n"
               "[profile place]\nrole_arn=a\ncredential_source=Elsewhere\n"
               "[profile gone]\nrole_arn=a\nsource_profile=nobody\n"
               "[profile self]\nrole_arn=a\nsource_profile=self\n"
               "[profile x]\nrole_arn=a\nsource_profile=y\n"
               "[profile y]\nrole_arn=a\nsource_profile=x\n"
               "[profile empty]\nregion=r\n"
               "[profile void]\nrole_arn=a\nsource_profile=empty\n"
               "[profile web]\nweb_identity_token_file=/none/such\nrole_arn=a\n"
               "[profile norole]\nweb_identity_token_file=/none/such\n"
               "[profile k]\naws_access_key_id=AK\naws_secret_access_key=s3cret\n");
    static const struct {
        const char *profile, *why;
    } cases[] = {
        {"sso", "credential_process = aws configure export-credentials --profile sso"},
        {"login", "credential_process = aws configure export-credentials --profile login"},
        {"mfa", "profile mfa needs an MFA code"},
        {"both", "profile both has both source_profile and credential_source"},
        {"neither", "neither source_profile nor credential_source"},
        {"place", "must be Environment, EcsContainer or Ec2InstanceMetadata"},
        {"gone", "source_profile nobody of profile gone does not exist"},
        {"self", "source_profile self of profile self leads in a circle"},
        {"x", "source_profile x of profile y leads in a circle"},
        {"void", "profile void: no credentials to assume the role with: web-identity"},
        {"web", "the token file /none/such cannot be read"},
        {"norole", "a token file is set, but no role"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct sl_credentials_provider *p = make(cases[i].profile);
        expect_failure(p, cases[i].why);
        sl_credentials_provider_free(p);
    }
    assert_int_equal(server.count, 0);
}

/* ---- processes */

static void test_process(void **state) {
    (void)state;
    write_file("get creds", "#!/bin/sh\nprintf '{\"Version\":1,\"AccessKeyId\":\"%%s\","
                            "\"SecretAccessKey\":\"s\",\"SessionToken\":\"t\"}' \"$1\"\n");
    write_file("config", "[default]\ncredential_process = \"%s/get creds\" 'AK$HOME'\n", folder);
    struct sl_credentials_provider *p = make(NULL);
    expect(p, "credential-process", "AK$HOME"); /* no shell in between */
    sl_credentials_provider_free(p);
}

static void test_process_failures(void **state) {
    (void)state;
    write_file("fails", "#!/bin/sh\necho not today >&2\necho more >&2\nexit 3\n");
    write_file("talks", "#!/bin/sh\necho hello\n");
    write_file("dies", "#!/bin/sh\nkill -9 $$\n");
    write_file("floods", "#!/bin/sh\nexec head -c 3000000 /dev/zero\n");
    write_file("config",
               "[profile fails]\ncredential_process=%s/fails\n[profile talks]\n"
               "credential_process=%s/talks\n[profile dies]\ncredential_process=%s/dies\n"
               "[profile floods]\ncredential_process=%s/floods\n"
               "[profile none]\ncredential_process=/none/such x\n"
               "[profile quote]\ncredential_process=a 'b\n[profile empty]\ncredential_process=\n",
               folder, folder, folder, folder);
    static const struct {
        const char *profile, *why;
    } cases[] = {
        {"fails", "the process of profile fails: it ended with status 3: not today"},
        {"talks", "its answer is not a JSON object"},
        {"dies", "it was ended by signal 9"},
        {"floods", "it wrote more than 1 MiB"},
        {"none", "/none/such cannot be started: no such file or directory"},
        {"quote", "has an open quote"},
        {"empty", "credential_process of profile empty is empty"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct sl_credentials_provider *p = make(cases[i].profile);
        expect_failure(p, cases[i].why);
        sl_credentials_provider_free(p);
    }
}

static void test_process_given_up(void **state) {
    (void)state;
    struct outcome o;
    char path[128];
    struct stat st;
    write_file("hangs", "#!/bin/sh\necho $$ > %s/pid\nmv %s/pid %s/started\nsleep 600\n", folder,
               folder, folder);
    write_file("config", "[default]\ncredential_process=%s/hangs\n", folder);
    struct sl_credentials_provider *p = make(NULL);
    assert_false(ask(p, &o));
    snprintf(path, sizeof(path), "%s/started", folder);
    while (stat(path, &st) != 0) /* the event is a file: look for it at each turn */
        uv_run(&uv, UV_RUN_NOWAIT);
    sl_credentials_provider_free(p); /* teardown's uv_run ends only if it was killed */
    assert_false(o.told);
}

/* ---- instance metadata */

static struct http_script_reply imds_v2(struct http_script *s, const char *request) {
    (void)s;
    if (http_script_begins(request, "PUT /latest/api/token ") &&
        strstr(request, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"))
        return say(200, "IMDSTOKEN==");
    if (!strstr(request, "x-aws-ec2-metadata-token: IMDSTOKEN==\r\n"))
        return say(401, "no token");
    if (http_script_begins(request, "GET /latest/meta-data/iam/security-credentials/ "))
        return say(200, "my-role\n");
    if (http_script_begins(request, "GET /latest/meta-data/iam/security-credentials/my-role "))
        return say_json("ASIMDS", 6 * 60 * MINUTE);
    return say(404, "?");
}

static void use_imds(void) {
    set("AWS_EC2_METADATA_DISABLED", "false");
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:%d/", server.port);
}

static void test_imds(void **state) {
    (void)state;
    use_imds();
    server.reply = imds_v2;
    struct sl_credentials_provider *p = make(NULL);
    expect(p, "instance-metadata", "ASIMDS");
    assert_int_equal(server.count, 3);
    expect(p, "instance-metadata", "ASIMDS");
    assert_int_equal(server.count, 3);
    sl_credentials_provider_free(p);
}

static int token_status;

static struct http_script_reply imds_v1(struct http_script *s, const char *request) {
    (void)s;
    if (http_script_begins(request, "PUT "))
        return (struct http_script_reply){token_status, ""};
    if (strstr(request, "x-aws-ec2-metadata-token"))
        return say(400, "%s", "");
    if (http_script_begins(request, "GET /latest/meta-data/iam/security-credentials/ "))
        return say(200, "r");
    return say_json("ASV1", 60 * MINUTE);
}

static void test_imds_v1(void **state) {
    (void)state;
    static const int refused[] = {403, 404, 405};
    use_imds();
    server.reply = imds_v1;
    for (size_t i = 0; i < 3; i++) {
        token_status = refused[i];
        struct sl_credentials_provider *p = make(NULL);
        expect(p, "instance-metadata", "ASV1");
        sl_credentials_provider_free(p);
    }
    int before = server.count;
    token_status = 400;
    struct sl_credentials_provider *p = make(NULL);
    expect_failure(p, "refuses to give a token");
    sl_credentials_provider_free(p);
    assert_int_equal(server.count, before + 1);
    token_status = 403;
    set("AWS_EC2_METADATA_V1_DISABLED", "true");
    p = make(NULL);
    expect_failure(p, "its version 1 is disabled");
    sl_credentials_provider_free(p);
    assert_int_equal(server.count, before + 2);
}

static struct http_script_reply imds_error(struct http_script *s, const char *request) {
    (void)s;
    if (http_script_begins(request, "PUT "))
        return say(200, "t");
    if (http_script_begins(request, "GET /latest/meta-data/iam/security-credentials/ "))
        return say(200, "r");
    return say(200, "{\"Code\":\"AssumeRoleUnauthorizedAccess\",\"Message\":\"no trust\"}");
}

static void test_imds_error(void **state) {
    (void)state;
    use_imds();
    set("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "2");
    server.reply = imds_error;
    struct sl_credentials_provider *p = make(NULL);
    expect_failure(p, "it says AssumeRoleUnauthorizedAccess: no trust");
    sl_credentials_provider_free(p);
    set("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"); /* nobody listens there */
    p = make(NULL);
    expect_failure(p, "no instance metadata service answers");
    sl_credentials_provider_free(p);
}

static struct http_script_reply imds_old_keys(struct http_script *s, const char *request) {
    return strstr(request, "security-credentials/my-role") ? say_json("ASOLD", -60 * MINUTE)
                                                           : imds_v2(s, request);
}

/* While AWS cannot renew them it accepts expired ones: they serve. */
static void test_imds_extends(void **state) {
    (void)state;
    use_imds();
    server.reply = imds_old_keys;
    struct sl_credentials_provider *p = make(NULL);
    struct outcome o = fetch(p);
    assert_true(o.have);
    assert_string_equal(o.id, "ASOLD");
    assert_true(o.expires_ms > loop.wall_ms + 16 * MINUTE);
    assert_true(o.expires_ms < loop.wall_ms + 26 * MINUTE);
    sl_credentials_provider_free(p);
}

/* ---- container */

static struct http_script_reply container(struct http_script *s, const char *request) {
    (void)s;
    if (!http_script_begins(request, "GET /creds?x=1 "))
        return say(404, "%s", "");
    if (strstr(request, "Authorization: first-token\r\n"))
        return say_json("ASFIRST", 60 * MINUTE);
    if (strstr(request, "Authorization: second-token\r\n"))
        return say_json("ASSECOND", 60 * MINUTE);
    return say(403, "%s", "");
}

static void test_container_token_file(void **state) {
    (void)state;
    server.reply = container;
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/creds?x=1", server.port);
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "%s/token", folder);
    set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "the file goes first");
    write_file("token", "first-token");
    struct sl_credentials_provider *p = make(NULL);
    expect(p, "container", "ASFIRST");
    write_file("token", "second-token");
    assert_true(sl_credentials_rejected(p, SL_LIT("ASFIRST")));
    expect(p, "container", "ASSECOND");
    assert_int_equal(server.count, 2);
    sl_credentials_provider_free(p);
    write_file("token", "s3cret\r\nx-evil: 1");
    p = make(NULL);
    expect_failure(p, "the authorization token holds a line break");
    sl_credentials_provider_free(p);
}

static void test_container_hosts(void **state) {
    (void)state;
    static const char *const refused[] = {"http://192.0.2.1/", "http://169.254.169.254/x",
                                          "http://127.0.0.1.example.com/", "http://[::2]/",
                                          "http://2130706433/"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "%s", refused[i]);
        struct sl_credentials_provider *p = make(NULL);
        expect_failure(p, "must be https, or name this machine");
        sl_credentials_provider_free(p);
    }
    static const char *const no_url[] = {"ftp://localhost/", "http://u:p@127.0.0.1/", "http:///x",
                                         "http://127.0.0.1/a b"};
    for (size_t i = 0; i < sizeof(no_url) / sizeof(*no_url); i++) {
        set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "%s", no_url[i]);
        struct sl_credentials_provider *p = make(NULL);
        expect_failure(p, "is no URL");
        sl_credentials_provider_free(p);
    }
}

static int failures_left;

static struct http_script_reply flaky(struct http_script *s, const char *request) {
    (void)s, (void)request;
    return failures_left-- > 0 ? say(500, "%s", "") : say_json("ASFLAKY", 60 * MINUTE);
}

static void test_container_attempts(void **state) {
    (void)state;
    server.reply = flaky;
    failures_left = 1;
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost:%d/", server.port);
    struct sl_credentials_provider *p = make(NULL);
    expect(p, "container", "ASFLAKY");
    assert_int_equal(server.count, 2);
    sl_credentials_provider_free(p);
}

/* ---- STS */

static struct http_script_reply web_identity(struct http_script *s, const char *request) {
    (void)s;
    if (strstr(request, "WebIdentityToken=jwt-1"))
        return say_sts("AssumeRoleWithWebIdentity", "ASWEB1", 60 * MINUTE);
    return say_sts("AssumeRoleWithWebIdentity", "ASWEB2", 60 * MINUTE);
}

static void test_web_identity(void **state) {
    (void)state;
    server.reply = web_identity;
    set("AWS_WEB_IDENTITY_TOKEN_FILE", "%s/jwt", folder);
    set("AWS_ROLE_ARN", "arn:aws:iam::1:role/r");
    set("AWS_ROLE_SESSION_NAME", "me");
    write_file("jwt", "jwt-1\n");
    struct sl_credentials_provider *p = make(NULL);
    struct outcome o = fetch(p);
    assert_string_equal(o.source, "web-identity");
    assert_string_equal(o.id, "ASWEB1");
    assert_string_equal(o.token, "T+");
    const char *request = server.requests[0];
    assert_true(http_script_begins(request, "POST / "));
    assert_null(strstr(request, "Authorization:"));
    assert_non_null(strstr(request, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn="
                                    "arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=me&"
                                    "WebIdentityToken=jwt-1"));
    write_file("jwt", "jwt-2");
    assert_true(sl_credentials_rejected(p, SL_LIT("ASWEB1")));
    expect(p, "web-identity", "ASWEB2");
    sl_credentials_provider_free(p);
}

static struct http_script_reply assume_role(struct http_script *s, const char *request) {
    (void)s;
    if (strstr(request, "Credential=AKBASE/") && strstr(request, "role%2Finner"))
        return say_sts("AssumeRole", "ASINNER", 60 * MINUTE);
    if (strstr(request, "Credential=ASINNER/") && strstr(request, "role%2Fouter") &&
        strstr(request, "X-Amz-Security-Token: T+\r\n"))
        return say_sts("AssumeRole", "ASOUTER", 60 * MINUTE);
    return say(403, "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                    "<Message>not authorized to perform sts:AssumeRole</Message></Error>"
                    "</ErrorResponse>");
}

static void test_assume_role(void **state) {
    (void)state;
    server.reply = assume_role;
    write_file("config", "[profile outer]\nrole_arn=arn:aws:iam::1:role/outer\n"
                         "source_profile=inner\nexternal_id=e x\nduration_seconds=900\n"
                         "role_session_name=me\n"
                         "[profile inner]\nrole_arn=arn:aws:iam::1:role/inner\n"
                         "source_profile=base\nduration_seconds=soon\n"
                         "[profile denied]\nrole_arn=arn:aws:iam::1:role/other\n"
                         "source_profile=base\n");
    write_file("credentials", "[base]\naws_access_key_id=AKBASE\naws_secret_access_key=s3cret\n");
    struct sl_credentials_provider *p = make("outer");
    expect(p, "assume-role", "ASOUTER");
    assert_int_equal(server.count, 2);
    assert_null(strstr(server.requests[0], "DurationSeconds"));
    assert_non_null(strstr(server.requests[0], "RoleSessionName=sluice-"));
    assert_non_null(strstr(server.requests[0], "/eu-west-1/sts/aws4_request"));
    assert_non_null(strstr(server.requests[1], "RoleSessionName=me&ExternalId=e%20x&"
                                               "DurationSeconds=900"));
    sl_credentials_provider_free(p);
    p = make("denied");
    expect_failure(p, "profile denied: STS says AccessDenied: not authorized to perform "
                      "sts:AssumeRole (the answer was 403)");
    sl_credentials_provider_free(p);
}

static struct http_script_reply throttled(struct http_script *s, const char *request) {
    (void)request;
    if (s->count == 1)
        return say(400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>");
    return s->count == 2 ? say(200, "no xml") : say_sts("AssumeRole", "ASLATE", 60 * MINUTE);
}

static void test_sts_attempts(void **state) {
    (void)state;
    server.reply = throttled;
    write_file("config", "[default]\nrole_arn=r\ncredential_source=Environment\n");
    struct sl_credentials_provider *p = make("default");
    set("AWS_ACCESS_KEY_ID", "AKENV");
    set("AWS_SECRET_ACCESS_KEY", "s3cret");
    expect_failure(p, "STS's answer is not the XML");
    assert_int_equal(server.count, 2); /* once more after a throttle, not after nonsense */
    sl_credentials_provider_free(p);
    p = make("default");
    expect(p, "assume-role", "ASLATE");
    sl_credentials_provider_free(p);
}

/* ---- cache */

static char next_id[32];
static int64_t next_life;
static int next_status;

static struct http_script_reply next_set(struct http_script *s, const char *request) {
    (void)s, (void)request;
    return next_status == 200 ? say_json(next_id, next_life) : say(next_status, "%s", "");
}

static struct sl_credentials_provider *make_container(const char *id, int64_t life) {
    server.reply = next_set;
    snprintf(next_id, sizeof(next_id), "%s", id);
    next_life = life;
    next_status = 200;
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/", server.port);
    struct sl_credentials_provider *p = make(NULL);
    expect(p, "container", id);
    assert_int_equal(server.count, 1);
    return p;
}

static void test_advisory_refresh(void **state) {
    (void)state;
    struct outcome o;
    struct sl_credentials_provider *p = make_container("AS1", 60 * MINUTE);
    advance(44 * MINUTE);
    assert_true(ask(p, &o));
    snprintf(next_id, sizeof(next_id), "AS2");
    advance(2 * MINUTE);
    assert_true(ask(p, &o)); /* 14 minutes left: served, and refreshed behind it */
    assert_string_equal(o.id, "AS1");
    assert_true(ask(p, &o));
    run_until_requests(2);
    while (ask(p, &o), strcmp(o.id, "AS2") != 0)
        uv_run(&uv, UV_RUN_ONCE);
    assert_int_equal(server.count, 2);
    sl_credentials_provider_free(p);
}

static void test_mandatory_refresh(void **state) {
    (void)state;
    struct outcome a, b;
    struct sl_credentials_provider *p = make_container("AS1", 60 * MINUTE);
    snprintf(next_id, sizeof(next_id), "AS2");
    advance(51 * MINUTE);
    assert_false(ask(p, &a)); /* 9 minutes left: waits for the new ones */
    assert_false(ask(p, &b));
    run_until(&a.told);
    assert_true(b.told);
    assert_string_equal(a.id, "AS2");
    assert_string_equal(b.id, "AS2");
    assert_int_equal(server.count, 2); /* one fetch for both */
    sl_credentials_provider_free(p);
}

static void test_stale_while_failing(void **state) {
    (void)state;
    struct outcome o;
    struct sl_credentials_provider *p = make_container("AS1", 60 * MINUTE);
    next_status = 404;
    advance(51 * MINUTE);
    assert_false(ask(p, &o));
    run_until(&o.told);
    assert_true(o.have); /* refreshing failed: the old ones serve while they are valid */
    assert_string_equal(o.id, "AS1");
    int asked = server.count;
    assert_true(ask(p, &o)); /* within the backoff: no new attempt, no waiting */
    uv_run(&uv, UV_RUN_NOWAIT);
    assert_int_equal(server.count, asked);
    advance(9 * MINUTE);
    assert_false(ask(p, &o)); /* now they have expired */
    run_until(&o.told);
    assert_false(o.have);
    assert_non_null(strstr(o.why, "the container's credentials endpoint gave none: the answer was "
                                  "404"));
    assert_int_equal(server.count, asked);
    sl_credentials_provider_free(p);
}

static void test_failure_is_not_hammered(void **state) {
    (void)state;
    struct outcome o;
    server.reply = next_set;
    next_status = 404;
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/", server.port);
    struct sl_credentials_provider *p = make(NULL);
    expect_failure(p, "the answer was 404");
    int asked = server.count;
    assert_int_equal(asked, 3);
    for (int i = 0; i < 5; i++) {
        assert_false(ask(p, &o));
        run_until(&o.told);
        assert_non_null(strstr(o.why, "the answer was 404"));
    }
    assert_int_equal(server.count, asked);
    sl_credentials_provider_free(p);
}

/* A set that lives 2 s is refreshed when 1 s is left, by the timer alone. */
static void test_refresh_when_idle(void **state) {
    (void)state;
    struct outcome o;
    struct sl_credentials_provider *p = make_container("AS1", 2500);
    snprintf(next_id, sizeof(next_id), "AS2");
    next_life = 60 * MINUTE;
    run_until_requests(2);
    while (ask(p, &o), !o.told || strcmp(o.id, "AS2") != 0) {
        sl_credentials_wait_cancel(&o.wait);
        uv_run(&uv, UV_RUN_ONCE);
    }
    assert_int_equal(server.count, 2);
    sl_credentials_provider_free(p);
}

static void test_cancelled_wait(void **state) {
    (void)state;
    struct outcome a, b;
    struct sl_credentials_wait never = {.on_ready = note, .ctx = &a};
    server.reply = next_set;
    snprintf(next_id, sizeof(next_id), "AS1");
    next_life = 60 * MINUTE;
    next_status = 200;
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:%d/", server.port);
    struct sl_credentials_provider *p = make(NULL);
    assert_false(ask(p, &a));
    assert_false(ask(p, &b));
    sl_credentials_wait_cancel(&a.wait);
    sl_credentials_wait_cancel(&a.wait); /* again does no harm */
    sl_credentials_wait_cancel(&never);
    run_until(&b.told);
    assert_false(a.told);
    assert_true(b.have);
    assert_int_equal(server.count, 1);
    sl_credentials_provider_free(p);
}

static void test_rejected(void **state) {
    (void)state;
    write_file("credentials", "[default]\naws_access_key_id=AK1\naws_secret_access_key=s\n");
    struct sl_credentials_provider *p = make(NULL);
    expect(p, "shared-credentials-file", "AK1");
    assert_true(sl_credentials_rejected(p, SL_LIT("AK1")));
    expect(p, "shared-credentials-file", "AK1");             /* the file has no others: */
    assert_false(sl_credentials_rejected(p, SL_LIT("AK1"))); /* no use in trying again */
    write_file("credentials", "[default]\naws_access_key_id=AK2\naws_secret_access_key=s\n");
    sl_credentials_provider_free(p);

    p = make(NULL);
    expect(p, "shared-credentials-file", "AK2");
    write_file("credentials", "[default]\naws_access_key_id=AK3\naws_secret_access_key=s\n");
    assert_true(sl_credentials_rejected(p, SL_LIT("AK2")));
    expect(p, "shared-credentials-file", "AK3");
    assert_true(sl_credentials_rejected(p, SL_LIT("AK2"))); /* a newer set is there */
    expect(p, "shared-credentials-file", "AK3");
    sl_credentials_provider_free(p);
}

static void test_freed_while_fetching(void **state) {
    (void)state;
    struct outcome o;
    use_imds();
    set("AWS_METADATA_SERVICE_TIMEOUT", "60");
    struct sl_credentials_provider *p = make(NULL);
    assert_false(ask(p, &o));
    run_until_requests(1); /* never answered */
    sl_credentials_provider_free(p);
    assert_false(o.told);
    sl_credentials_provider_free(NULL);
}

static void test_region(void **state) {
    (void)state;
    struct sl_credentials_provider *p = make(NULL);
    assert_null(sl_credentials_region(p));
    sl_credentials_provider_free(p);
    write_file("config", "[default]\nregion=r-profile\n");
    p = make(NULL);
    assert_string_equal(sl_credentials_region(p), "r-profile");
    assert_string_equal(sl_credentials_region(p), "r-profile");
    sl_credentials_provider_free(p);
    set("AWS_DEFAULT_REGION", "r-default");
    p = make(NULL);
    assert_string_equal(sl_credentials_region(p), "r-default");
    sl_credentials_provider_free(p);
    set("AWS_REGION", "r-env");
    p = make(NULL);
    assert_string_equal(sl_credentials_region(p), "r-env");
    sl_credentials_provider_free(p);
}

/* Whatever allocation fails: a sentence or credentials, and nothing lost. */
static void test_out_of_memory(void **state) {
    (void)state;
    server.reply = assume_role;
    write_file("config",
               "[profile r]\nrole_arn=arn:aws:iam::1:role/inner\nsource_profile=base\n"
               "[profile base]\naws_access_key_id=AKBASE\naws_secret_access_key=s3cret\n");
    uint64_t n = 1;
    for (bool reached = true; reached; n++) {
        struct sl_credentials_settings settings = {.profile = "r", .region = "r", .getenv = env};
        struct outcome o = {.told = false};
        sl_mem_fail_after(n);
        struct sl_credentials_provider *p = sl_credentials_provider_new(&loop, client, &settings);
        if (p && !ask(p, &o))
            run_until(&o.told);
        reached = sl_mem_fail_after(0) == 0;
        if (p && !o.have)
            assert_true(o.why[0] != '\0');
        sl_credentials_provider_free(p);
        server.count = 0;
    }
    assert_true(n > 30);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_given),
        TEST(test_environment),
        TEST(test_bearer_first),
        TEST(test_none),
        TEST(test_broken_environment),
        TEST(test_files),
        TEST(test_broken_file),
        TEST(test_refusals),
        TEST(test_process),
        TEST(test_process_failures),
        TEST(test_process_given_up),
        TEST(test_imds),
        TEST(test_imds_v1),
        TEST(test_imds_error),
        TEST(test_imds_extends),
        TEST(test_container_token_file),
        TEST(test_container_hosts),
        TEST(test_container_attempts),
        TEST(test_web_identity),
        TEST(test_assume_role),
        TEST(test_sts_attempts),
        TEST(test_advisory_refresh),
        TEST(test_mandatory_refresh),
        TEST(test_stale_while_failing),
        TEST(test_failure_is_not_hammered),
        TEST(test_refresh_when_idle),
        TEST(test_cancelled_wait),
        TEST(test_rejected),
        TEST(test_freed_while_fetching),
        TEST(test_region),
        TEST(test_out_of_memory),
    };
    sl_log_setup(SL_LOG_ERROR, SL_LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
