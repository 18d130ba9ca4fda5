/*
 * `sluice check` as a whole: against the embedded simulator, against `sluice simulator` in a child
 * process (which makes that command's test too), and against addresses where nobody listens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/check.h"
#include "app/simulator.h"

#define PROFILE "us.meta.llama3-3-70b-instruct-v1:0"

static char output[65536];
static char simulator_endpoint[128];
static pid_t simulator_pid;

/* Runs `sluice check ARGS` with stdout going to `output`. */
static int check(const char *const *args) {
    static struct sl_cli cli;
    const char *argv[32] = {"sluice", "check"};
    char why[512];
    int argc = 2;
    for (; *args; args++)
        argv[argc++] = *args;
    assert_int_equal(sl_cli_parse(&cli, argc, argv, NULL, why, sizeof(why)), 0);
    cli.source.file = NULL; /* whatever this machine has under /etc */
    FILE *file = tmpfile();
    assert_non_null(file);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    int code = sl_check(&cli);
    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    rewind(file);
    output[fread(output, 1, sizeof(output) - 1, file)] = '\0';
    fclose(file);
    return code;
}
#define CHECK(...) check((const char *const[]){__VA_ARGS__, NULL})

static void says(const char *text) {
    if (!strstr(output, text))
        fail_msg("\"%s\" is not in:\n%s", text, output);
}

static void says_not(const char *text) {
    if (strstr(output, text))
        fail_msg("\"%s\" is in:\n%s", text, output);
}

static void test_offline(void **state) {
    (void)state;
    assert_int_equal(CHECK("--offline"), 0);
    assert_string_equal(output,
                        "ok    configuration – no file: defaults, environment and command line\n");
    assert_int_equal(CHECK("--offline", "--set", "queue.max_wait=soon"), 2);
    says("fail  configuration – --set: queue.max_wait: \"soon\" is not a duration");
    assert_int_equal(
        CHECK("--offline", "--set", "tls.certificate=/nowhere/a", "--set", "tls.key=/nowhere/b"),
        2);
    says("fail  tls – ");
    says("/nowhere/a");
}

static void test_embedded(void **state) {
    (void)state;
    assert_int_equal(CHECK("--simulator"), 0);
    says("ok    region – us-east-1\n");
    says("ok    credentials – access key from ");
    says("ok    bedrock – http://127.0.0.1:");
    says("ok    clock – within a minute");
    says("ok    models – ");
    says("ok    quotas – Service Quotas lists none of models known here; limits are learned\n");
    says_not("warn");
    says_not(SL_SIM_SECRET);
    says_not(SL_SIM_ACCESS_KEY_ID);
}

static void test_model(void **state) {
    (void)state;
    assert_int_equal(CHECK("--simulator", "--model", PROFILE), 0);
    says("ok    profile – can be called from us-east-1\n");
    says("ok    model – " PROFILE " is offered in us-east-1\n");
    says("ok    model on the runtime – ");
    assert_int_equal(CHECK("--simulator", "--model", PROFILE, "--invoke"), 0);
    says("ok    invoke – " PROFILE " answered: ");
    says(" 1 out\n");
}

static void test_quotas(void **state) {
    (void)state;
    assert_int_equal(CHECK("--simulator", "--set", "simulator.rpm=7", "--set", "simulator.tpm=900",
                           "--set", "quotas.default={in_flight: 5}", "--model", PROFILE),
                     0);
    says("ok    quotas – Service Quotas lists ");
    says_not(" limits of 0 models");
    says("ok    model quotas – " PROFILE
         " has 7 requests a minute, 900 tokens a minute, 5 calls at once\n");
    assert_int_equal(CHECK("--simulator", "--set", "quotas.source=config", "--model", PROFILE,
                           "--set", "simulator.rpm=7", "--set",
                           "quotas.models={" PROFILE ": {tpm: 3}}"),
                     0);
    says("ok    quotas – as configured for 1 models by name; others are learned\n");
    says("ok    model quotas – " PROFILE " has 3 tokens a minute\n");
    assert_int_equal(CHECK("--simulator", "--model", PROFILE), 0);
    says("ok    model quotas – " PROFILE " has no known limits; they are learned\n");
}

static void test_several_targets(void **state) {
    (void)state;
    assert_int_equal(CHECK("--simulator", "--set", "targets=[{name: east}, {name: west}]"), 0);
    says("ok    east: region – us-east-1\n");
    says("ok    west: credentials – ");
    says("ok    west: quotas – ");
    /* One that cannot work does not keep the others from being looked at. */
    assert_int_equal(
        CHECK("--set", "targets=[{name: bad, region: nowhere}, {name: worse, region: us-east-1, "
                       "endpoint: 'http://127.0.0.1:1', profile: none-of-that-name}]"),
        1);
    says("fail  bad: region – ");
    says("ok    worse: region – us-east-1\n");
}

static void test_wrong_models(void **state) {
    (void)state;
    assert_int_equal(CHECK("--simulator", "--model", "meta.llama99-v1:0"), 1);
    says("fail  model – ");
    says("aws bedrock list-foundation-models --region us-east-1");
    says_not("runtime –");
    assert_int_equal(CHECK("--simulator", "--model", "eu.meta.llama3-2-1b-instruct-v1:0"), 1);
    says("fail  profile – profiles that begin with eu. are not offered in us-east-1; ");
    assert_int_equal(CHECK("--simulator", "--model", "meta.llama2-13b-chat-v1"), 0);
    says("warn  model – meta.llama2-13b-chat-v1 has been withdrawn by AWS; Sluice sends its calls");
    assert_int_equal(CHECK("--simulator", "--model", "meta.llama2-13b-chat-v1", "--set",
                           "models.retired=refuse"),
                     1);
    says("fail  model – meta.llama2-13b-chat-v1 has been withdrawn by AWS; models.retired refuses");
}

static void set_keys(const char *access_key, const char *secret) {
    setenv("AWS_ACCESS_KEY_ID", access_key, 1);
    setenv("AWS_SECRET_ACCESS_KEY", secret, 1);
}

static void test_wrong_keys(void **state) {
    char endpoint[192];
    (void)state;
    snprintf(endpoint, sizeof(endpoint), "upstream.endpoint=%s", simulator_endpoint);
    set_keys(SL_SIM_ACCESS_KEY_ID, SL_SIM_SECRET);
    assert_int_equal(CHECK("--set", endpoint, "--set", "upstream.region=us-east-1"), 0);
    says("ok    credentials – access key from environment");

    assert_int_equal(CHECK("--set", endpoint, "--set", "upstream.region=eu-west-1"), 1);
    says("fail  bedrock – calls are signed for eu-west-1, but http://127.0.0.1:");
    says_not("models");

    set_keys(SL_SIM_ACCESS_KEY_ID, "another-secret");
    assert_int_equal(CHECK("--set", endpoint, "--set", "upstream.region=us-east-1"), 1);
    says("fail  bedrock – the signature does not match");
    says_not("another-secret");

    set_keys("AKIANOBODY0000000001", SL_SIM_SECRET);
    assert_int_equal(CHECK("--set", endpoint, "--set", "upstream.region=us-east-1"), 1);
    says("fail  bedrock – AWS does not know these credentials");

    setenv("AWS_BEARER_TOKEN_BEDROCK", "expired-api-key", 1);
    assert_int_equal(CHECK("--set", endpoint, "--set", "upstream.region=us-east-1"), 1);
    unsetenv("AWS_BEARER_TOKEN_BEDROCK");
    says("ok    credentials – API key from ");
    says("fail  bedrock – the API key in AWS_BEARER_TOKEN_BEDROCK is not valid");
    says_not("expired-api-key");
}

/* A port that was free a moment ago, held by a socket that does not listen. */
static int closed_port(char *endpoint, size_t size) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    snprintf(endpoint, size, "upstream.endpoint=http://127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
    return fd;
}

static void test_nobody_there(void **state) {
    char endpoint[128];
    int fd = closed_port(endpoint, sizeof(endpoint));
    (void)state;
    set_keys(SL_SIM_ACCESS_KEY_ID, SL_SIM_SECRET);
    assert_int_equal(CHECK("--set", endpoint, "--set", "upstream.region=us-east-1"), 1);
    close(fd);
    says("fail  bedrock – http://127.0.0.1:");
    says(" refuses the connection: ");
    says("; check upstream.endpoint and its port");
}

static void test_nothing_configured(void **state) {
    (void)state;
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    assert_int_equal(CHECK("--set", "upstream.region=us-east-1"), 1);
    says("fail  credentials – no AWS credentials: ");
    says("AWS_ACCESS_KEY_ID is not set");
    assert_int_equal(CHECK("--set", "drain=1s"), 1);
    says("fail  region – ");
}

/* Only what the tests set counts as AWS's settings of this machine. */
static void forget_aws(void) {
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",
                                        "AWS_PROFILE",
                                        "AWS_DEFAULT_PROFILE",
                                        "AWS_REGION",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_BEARER_TOKEN_BEDROCK",
                                        "AWS_ROLE_ARN",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                        "AWS_ENDPOINT_URL",
                                        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unsetenv(names[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials", 1);
    setenv("AWS_CONFIG_FILE", "/nowhere/config", 1);
    setenv("no_proxy", "*", 1);
}

static void run_simulator(int err) {
    const struct sl_config_override overrides[] = {
        {"--listen", SL_LIT("simulator.listen"), SL_LIT("127.0.0.1:0")},
        {"--set", SL_LIT("drain"), SL_LIT("5s")}};
    const struct sl_config_source source = {.overrides = overrides, .override_count = 2};
    dup2(err, STDERR_FILENO);
    _exit(sl_simulator(&source));
}

static int start_simulator(void **state) {
    int pipes[2];
    char line[128] = "", address[101] = "";
    (void)state;
    forget_aws();
    if (pipe(pipes) != 0)
        return -1;
    simulator_pid = fork();
    if (simulator_pid == 0)
        run_simulator(pipes[1]);
    close(pipes[1]);
    FILE *err = fdopen(pipes[0], "r");
    bool ready = err && fgets(line, sizeof(line), err) &&
                 sscanf(line, "ready simulator=%100s", address) == 1;
    if (err)
        fclose(err);
    snprintf(simulator_endpoint, sizeof(simulator_endpoint), "http://%s", address);
    return ready ? 0 : -1;
}

/* SIGTERM ends it in good order, although clients may have left connections open. */
static int stop_simulator(void **state) {
    int status;
    (void)state;
    if (kill(simulator_pid, SIGTERM) != 0 || waitpid(simulator_pid, &status, 0) != simulator_pid)
        return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offline),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_several_targets),
        cmocka_unit_test(test_wrong_models),
        cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_nothing_configured),
    };
    return cmocka_run_group_tests(tests, start_simulator, stop_simulator);
}
