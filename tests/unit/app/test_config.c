/* Loading as a whole: defaults, precedence, messages that point at the fault, rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "sluice/app/config.h"
#include "sluice/base/mem.h"

static char why[1024];

static struct sl_config *load(const struct sl_config_source *source) {
    struct sl_config *config = NULL;
    why[0] = '\0';
    int rc = sl_config_load(source, &config, why, sizeof(why));
    if (rc != 0)
        fail_msg("refused: %s", why);
    return config;
}

static struct sl_config *load_text(const char *yaml) {
    struct sl_config_source source = {.file = "t.yaml", .text = sl_slice_str(yaml)};
    return load(&source);
}

static void refuses(const struct sl_config_source *source, const char *message) {
    struct sl_config *config = NULL;
    why[0] = '\0';
    assert_int_equal(sl_config_load(source, &config, why, sizeof(why)), SL_E_INVALID);
    assert_null(config);
    assert_string_equal(why, message);
}

static void refuses_text(const char *yaml, const char *message) {
    struct sl_config_source source = {.file = "t.yaml", .text = sl_slice_str(yaml)};
    refuses(&source, message);
}

static void test_defaults(void **state) {
    struct sl_config_source source = {0};
    struct sl_config *c = load(&source);
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    (void)state;
    assert_int_equal(c->listen.count, 1);
    assert_string_equal(c->listen.items[0].host, "127.0.0.1");
    assert_int_equal(c->listen.items[0].port, 8080);
    assert_int_equal(c->admin.port, 8081);
    assert_int_equal(c->auth, SL_AUTH_NONE);
    assert_null(c->tls.certificate);
    assert_null(c->targets[0].region);
    assert_null(c->targets[0].endpoint);
    assert_int_equal(c->targets[0].weight, 1);
    assert_int_equal(c->max_in_flight, 1024);
    assert_int_equal(c->timeouts.connect, 10000);
    assert_int_equal(c->timeouts.first_byte, 600000);
    assert_int_equal(c->timeouts.idle, 120000);
    assert_int_equal(c->models.retired, SL_RETIRED_MAP);
    assert_int_equal(c->models.successors.count, 0);
    assert_int_equal(c->queue.max_requests, 10000);
    assert_int_equal(c->queue.max_bytes, 512 << 20);
    assert_int_equal(c->queue.max_wait_ms, 600000);
    assert_int_equal(c->memory_max, 1 << 30);
    assert_int_equal(c->linger_ms, 30000);
    assert_int_equal(c->drain_ms, 30000);
    assert_int_equal(c->log.level, SL_LOG_INFO);
    assert_true(c->log.access);
    assert_string_equal(c->simulator.access_key_id, SL_SIM_ACCESS_KEY_ID);
    assert_int_equal(c->simulator.seed, 1);
    /* The front's own defaults and the table's are the same. */
    assert_int_equal(c->limits.header_bytes, limits.header_bytes);
    assert_int_equal(c->limits.header_count, limits.header_count);
    assert_int_equal(c->limits.body_bytes, limits.body_bytes);
    assert_int_equal(c->limits.connections, limits.connections);
    assert_int_equal(c->limits.streams, limits.streams);
    assert_int_equal(c->limits.header_ms, limits.header_ms);
    assert_int_equal(c->limits.body_ms, limits.body_ms);
    assert_int_equal(c->limits.body_rate, limits.body_rate);
    assert_int_equal(c->limits.idle_ms, limits.idle_ms);
    assert_int_equal(c->limits.write_ms, limits.write_ms);
    assert_int_equal(c->limits.pipeline_bytes, limits.pipeline_bytes);
    assert_int_equal(c->limits.resets_burst, limits.resets_burst);
    assert_int_equal(c->limits.resets_per_s, limits.resets_per_s);
    sl_config_free(c);
}

static void test_file(void **state) {
    struct sl_config *c = load_text("listen: [127.0.0.1:1, '[::1]:2']\n"
                                    "hosts:\n"
                                    "  - a.example.com\n"
                                    "  - b.example.com\n"
                                    "upstream:\n"
                                    "  region: eu-west-1   # a comment\n"
                                    "  fips: yes\n"
                                    "models:\n"
                                    "  successors: {old-v1:0: new-v1:0}\n"
                                    "queue: {max_wait: 5s, max_bytes: 25MB}\n"
                                    "log:\n"
                                    "simulator: ~\n");
    (void)state;
    assert_int_equal(c->listen.count, 2);
    assert_string_equal(c->listen.items[1].host, "::1");
    assert_string_equal(c->hosts.items[1], "b.example.com");
    assert_string_equal(c->targets[0].region, "eu-west-1");
    assert_true(c->targets[0].fips);
    assert_string_equal(c->models.successors.items[0].name, "old-v1:0");
    assert_int_equal(c->queue.max_wait_ms, 5000);
    assert_int_equal(c->queue.max_bytes, 25000000);
    sl_config_free(c);
}

static void test_empty_files(void **state) {
    static const char *const texts[] = {"", "\n\n", "# nothing\n", "---\n", "~\n", "{}"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        sl_config_free(load_text(texts[i]));
}

static void test_precedence(void **state) {
    static const char *const environment[] = {"PATH=/bin", "SLUICE_QUEUE_MAX_WAIT=2s",
                                              "SLUICE_QUEUE_MAX_REQUESTS=2", "SLUICE_HOSTS=c,d",
                                              NULL};
    const struct sl_config_override overrides[] = {
        {"--set", SL_LIT("queue.max_requests"), SL_LIT("3")},
        {"--set", SL_LIT("queue.max_requests"), SL_LIT("4")},
        {"--set", SL_LIT("upstream.region"), SL_LIT("")},
    };
    struct sl_config_source source = {
        .text = SL_LIT("queue: {max_wait: 1s, max_requests: 1, max_bytes: 2MB}\n"
                       "hosts: [a, b, c]\n"
                       "upstream: {region: us-east-1}\n"),
        .environment = environment,
        .overrides = overrides,
        .override_count = 3,
    };
    struct sl_config *c = load(&source);
    (void)state;
    assert_int_equal(c->queue.max_bytes, 2000000); /* the file over the default */
    assert_int_equal(c->queue.max_wait_ms, 2000);  /* the environment over the file */
    assert_int_equal(c->queue.max_requests, 4);    /* the last option over all */
    assert_int_equal(c->hosts.count, 2);           /* lists are replaced */
    assert_null(c->targets[0].region);             /* and texts can be taken back */
    sl_config_free(c);
}

static void test_unknown_keys(void **state) {
    (void)state;
    refuses_text("upstream:\n  regoin: us-east-1\n",
                 "t.yaml:2:3: unknown key \"upstream.regoin\"; the nearest is \"upstream.region\"");
    refuses_text("\nregion: us-east-1\n",
                 "t.yaml:2:1: unknown key \"region\"; the nearest is \"upstream.region\"");
    refuses_text("quue:\n  max_wait: 1s\n",
                 "t.yaml:1:1: unknown key \"quue\"; the nearest section is \"queue\"");
    refuses_text("memory: {banana: 1}\n", "t.yaml:1:10: unknown key \"memory.banana\"; the section "
                                          "holds: max");
    refuses_text("banana: 1\n", "t.yaml:1:1: unknown key \"banana\"; keys outside of sections are: "
                                "listen, admin, auth, hosts, state, targets, prices, drain");
    refuses_text("queue: {max_wait: {max_wait: 1s}}\n",
                 "t.yaml:1:19: queue.max_wait: is a mapping; it takes a duration: a number with "
                 "ms, s, m, h or d, as in 30s");
    refuses_text("<<: {listen: 127.0.0.1:1}\n",
                 "t.yaml:1:1: unknown key \"<<\"; keys outside of sections are: listen, admin, "
                 "auth, hosts, state, targets, prices, drain");
}

static void test_wrong_values_in_file(void **state) {
    (void)state;
    refuses_text("queue:\n  max_wait: soon\n",
                 "t.yaml:2:13: queue.max_wait: \"soon\" is not a duration: a number with ms, s, m, "
                 "h or d, as in 30s");
    refuses_text("listen:\n- 127.0.0.1:1\n- nonsense\n",
                 "t.yaml:3:3: listen: \"nonsense\" is not HOST:PORT, as in 127.0.0.1:8080");
    refuses_text("listen: []\n", "t.yaml:1:9: listen: needs at least 1");
    refuses_text("listen: [[a]]\n", "t.yaml:1:10: listen: is a list; it takes single values as "
                                    "items");
    refuses_text("models: {successors: {a: [b]}}\n",
                 "t.yaml:1:26: models.successors: is a list; it takes single values as names and "
                 "values");
    refuses_text("models: {successors: [a]}\n",
                 "t.yaml:1:22: models.successors: is a list; it takes names with a value each");
    refuses_text("queue:\n  max_wait:\n",
                 "t.yaml:2:12: queue.max_wait: needs a value; leave the key out for its default");
    refuses_text("queue: 5\n", "t.yaml:1:1: \"queue\" is a single value; it is a section that "
                               "holds keys");
    refuses_text("- listen\n", "t.yaml:1:1: the file is a list; it takes KEY: VALUE lines");
    refuses_text("[a]: b\n", "t.yaml:1:1: a key is a list; it must be a name");
    refuses_text("drain: 1s\nlog: {level: info}\ndrain: 2s\n",
                 "t.yaml:3:1: drain: is there twice, first on line 1");
    refuses_text("queue: {max_wait: 1s}\nqueue.max_wait: 1s\n",
                 "t.yaml:2:1: queue.max_wait: is there twice, first on line 1");
    refuses_text("drain: 1s\n---\ndrain: 2s\n", "t.yaml:3:1: a second document (---) in the file");
    refuses_text("drain: \"1\\0s\"\n", "t.yaml:1:8: drain: \"1?s\" is not a duration: a number "
                                       "with ms, s, m, h or d, as in 30s");
}

static void test_not_yaml(void **state) {
    struct sl_config_source source = {.file = "t.yaml", .text = SL_LIT("listen: [a\ndrain: 1s\n")};
    struct sl_config *config = NULL;
    (void)state;
    assert_int_equal(sl_config_load(&source, &config, why, sizeof(why)), SL_E_INVALID);
    assert_non_null(strstr(why, "t.yaml:2:6: this is not YAML: "));
    source.text = SL_LIT("listen: *nowhere\n");
    assert_int_equal(sl_config_load(&source, &config, why, sizeof(why)), SL_E_INVALID);
    assert_non_null(strstr(why, "this is not YAML: "));
}

/* libyaml resolves aliases to the same node: a mapping that holds itself must not trap the walk. */
static void test_self_reference(void **state) {
    (void)state;
    refuses_text("queue: &q\n  queue: *q\n",
                 "t.yaml:2:3: unknown key \"queue.queue\"; the section holds: max_requests, "
                 "max_bytes, max_wait, priority");
    struct sl_config *c = load_text("hosts: [&h example.com]\nupstream: {profile: *h}\n");
    assert_string_equal(c->targets[0].profile, "example.com");
    sl_config_free(c);
}

static void refuses_override(const char *path, const char *value, const char *message) {
    const struct sl_config_override override = {"--set", sl_slice_str(path), sl_slice_str(value)};
    struct sl_config_source source = {.overrides = &override, .override_count = 1};
    refuses(&source, message);
}

static void test_wrong_overrides(void **state) {
    (void)state;
    refuses_override("queue.maxwait", "1s",
                     "--set: unknown key \"queue.maxwait\"; the nearest is \"queue.max_wait\"");
    refuses_override(
        "queue", "1s",
        "--set: \"queue\" is a section; it holds: max_requests, max_bytes, max_wait, priority");
    refuses_override("queue.max_requests", "many",
                     "--set: queue.max_requests: \"many\" is not a whole number");
    refuses_override("", "1",
                     "--set: unknown key \"\"; keys outside of sections are: listen, "
                     "admin, auth, hosts, state, targets, prices, drain");
}

static void test_option_that_names_its_key(void **state) {
    const struct sl_config_override override = {"--listen", SL_LIT("simulator.listen"),
                                                SL_LIT("nonsense")};
    struct sl_config_source source = {.overrides = &override, .override_count = 1};
    (void)state;
    refuses(&source, "--listen: \"nonsense\" is not HOST:PORT, as in 127.0.0.1:8080");
}

static void refuses_variable(const char *entry, const char *message) {
    const char *environment[] = {entry, NULL};
    struct sl_config_source source = {.environment = environment};
    refuses(&source, message);
}

static void test_variables(void **state) {
    static const char *const strangers[] = {"SLUICE_PORT=tcp://10.0.0.1:80",
                                            "SLUICE_SERVICE_HOST=10.0.0.1",
                                            "SLUICE_PORT_80_TCP=x",
                                            "SLUICE_CONFIG=/etc/x.yaml",
                                            "SLUICE_=x",
                                            "SLUICE_DRAIN",
                                            NULL};
    struct sl_config_source source = {.environment = strangers};
    (void)state;
    refuses_variable("SLUICE_QUEUE_MAX_WAIT=soon",
                     "SLUICE_QUEUE_MAX_WAIT in the environment: queue.max_wait: \"soon\" is not a "
                     "duration: a number with ms, s, m, h or d, as in 30s");
    refuses_variable("SLUICE_UPSTREAM_REGOIN=x",
                     "\"SLUICE_UPSTREAM_REGOIN\" in the environment: unknown variable; the nearest "
                     "is \"SLUICE_UPSTREAM_REGION\"");
    sl_config_free(load(&source));
}

static void check_auth(const char *yaml, enum sl_auth auth) {
    struct sl_config *c = load_text(yaml);
    assert_int_equal(c->auth, auth);
    sl_config_free(c);
}

/* Without a word on it, whoever is not on this machine needs a key. */
static void test_auth(void **state) {
    (void)state;
    check_auth("drain: 1s\nauth: keys\n", SL_AUTH_KEYS);
    check_auth("listen: [127.0.0.1:1, 0.0.0.0:8080]\n", SL_AUTH_KEYS);
    check_auth("listen: '[::]:8080'\n", SL_AUTH_KEYS);
    check_auth("listen: gateway.example.com:8080\n", SL_AUTH_KEYS);
    check_auth("listen: 0.0.0.0:8080\nauth: none\n", SL_AUTH_NONE);
    check_auth("listen: [localhost:1, 127.8.9.1:1, '[::1]:1']\n", SL_AUTH_NONE);
}

static void test_rules(void **state) {
    (void)state;
    refuses_text("tls: {certificate: a}\n", "t.yaml:1:7: tls.certificate: needs tls.key beside it");
    refuses_text("tls: {key: a}\n", "t.yaml:1:7: tls.key: needs tls.certificate beside it");
    refuses_text("tls: {client_ca: a}\n",
                 "t.yaml:1:7: tls.client_ca: needs tls.certificate and tls.key beside it");
    refuses_text("upstream: {endpoint: 'http://h', fips: on}\n",
                 "t.yaml:1:34: upstream.fips: chooses among AWS's own addresses, but its endpoint "
                 "names one");
    refuses_text("upstream: {endpoint: 'http://h', dual_stack: on}\n",
                 "t.yaml:1:34: upstream.dual_stack: chooses among AWS's own addresses, but its "
                 "endpoint names one");
    refuses_text("upstream: {mantle_endpoint: 'http://h'}\n",
                 "t.yaml:1:12: upstream.mantle_endpoint: has no effect without mantle: on");
    refuses_text("retry: {backoff: 2m}\n",
                 "t.yaml:1:9: retry.backoff: is longer than retry.backoff_max");
    refuses_text("memory: {max: 64MiB}\nlimits: {body_bytes: 65MiB}\n",
                 "t.yaml:1:10: memory.max: holds no body of limits.body_bytes (65MiB)");
}

/* ---- several targets ---- */

static void test_targets(void **state) {
    (void)state;
    struct sl_config *c = load_text("targets:\n"
                                    "  - {name: east, region: us-east-1, profiles: [us, global]}\n"
                                    "  - name: test\n"
                                    "    endpoint: http://127.0.0.1:9\n"
                                    "    mantle: on\n"
                                    "    weight: 3\n"
                                    "    priority: 1\n"
                                    "  - {name: third}\n");
    assert_int_equal(c->target_count, 3);
    assert_string_equal(c->targets[0].name, "east");
    assert_string_equal(c->targets[0].region, "us-east-1");
    assert_int_equal(c->targets[0].weight, 1);
    assert_int_equal(c->targets[0].priority, 0);
    assert_int_equal(c->targets[0].profiles.count, 2);
    assert_string_equal(c->targets[0].profiles.items[0], "us.");
    assert_string_equal(c->targets[0].profiles.items[1], "global.");
    assert_string_equal(c->targets[1].endpoint, "http://127.0.0.1:9");
    assert_true(c->targets[1].mantle);
    assert_int_equal(c->targets[1].weight, 3);
    assert_int_equal(c->targets[1].priority, 1);
    assert_null(c->targets[1].region);
    assert_int_equal(c->targets[2].profiles.count, 0);
    sl_config_free(c);
    c = load_text("upstream: {region: eu-west-1, max_in_flight: 3}\n");
    assert_int_equal(c->target_count, 1);
    assert_string_equal(c->targets[0].name, "default");
    sl_config_free(c);
    /* What upstream says of all targets may stand beside them; an empty list is none. */
    c = load_text("upstream: {max_in_flight: 3}\ntargets: [{name: a}]\n");
    assert_string_equal(c->targets[0].name, "a");
    sl_config_free(c);
    c = load_text("targets: []\n");
    assert_string_equal(c->targets[0].name, "default");
    sl_config_free(c);
}

static void test_targets_from_the_command_line(void **state) {
    const struct sl_config_override overrides[] = {
        {"--set", SL_LIT("targets"), SL_LIT("[{name: a, region: us-east-1}, {name: b}]")},
        {"--set", SL_LIT("quotas.models"),
         SL_LIT("{us.meta.llama3-3-70b-instruct-v1:0: {rpm: 9}}")},
        {"--set", SL_LIT("quotas.default"), SL_LIT("{tpm: 5}")},
        {"--set", SL_LIT("models.fallbacks"), SL_LIT("{a: [b, c], d: e}")},
    };
    const char *environment[] = {"SLUICE_TARGETS=[{name: c}]", NULL};
    struct sl_config_source source = {.environment = environment,
                                      .overrides = overrides,
                                      .override_count = sizeof(overrides) / sizeof(overrides[0]),
                                      .file = "t.yaml",
                                      .text = SL_LIT("targets: [{name: d}, {name: e}, {name: f}]")};
    (void)state;
    struct sl_config *c = load(&source);
    assert_int_equal(c->target_count, 2);
    assert_string_equal(c->targets[1].name, "b");
    assert_int_equal(sl_config_limits(c, SL_LIT("us.meta.llama3-3-70b-instruct-v1:0")).rpm, 9);
    assert_int_equal(sl_config_limits(c, SL_LIT("x")).tpm, 5);
    assert_true(sl_slice_eq(sl_config_fallback(c, SL_LIT("d"), 0), SL_LIT("e")));
    sl_config_free(c);
    source.override_count = 0;
    c = load(&source);
    assert_int_equal(c->target_count, 1);
    assert_string_equal(c->targets[0].name, "c");
    sl_config_free(c);
}

static void test_wrong_targets(void **state) {
    (void)state;
    refuses_text("targets: [{name: a, regoin: x}]\n",
                 "t.yaml:1:21: targets[0]: unknown key \"regoin\"; the nearest is \"region\"");
    refuses_text("targets: [{name: a}, {name: b, secret: x}]\n",
                 "t.yaml:1:32: targets[1]: unknown key \"secret\"; it holds: name, region, "
                 "endpoint, profile, fips, dual_stack, mantle, mantle_endpoint, ca_file, weight, "
                 "priority, profiles");
    refuses_text("targets: [{name: a, weight: 0}]\n",
                 "t.yaml:1:29: targets[0].weight: \"0\" is too small; the least is 1");
    refuses_text("targets: [{name: a, name: b}]\n", "t.yaml:1:21: targets[0]: name is there twice");
    refuses_text("targets: [{region: x}]\n", "t.yaml:1:1: targets: number 1 has no name");
    refuses_text("targets: [{name: a}, {name: a}]\n", "t.yaml:1:1: targets: two are named \"a\"");
    refuses_text(
        "targets: [a]\n",
        "t.yaml:1:11: targets[0]: is a single value; it takes a mapping of keys to values");
    refuses_text("targets: {name: a}\n", "t.yaml:1:10: targets: is a mapping; it takes a list of "
                                         "mappings, as in [{a: 1}, {a: 2}]");
    refuses_text("targets: a\n",
                 "t.yaml:1:10: targets: is a single value; it takes a list of mappings, as in "
                 "[{a: 1}, {a: 2}]");
    refuses_text(
        "targets: [{name: a, profiles: [mars]}]\n",
        "t.yaml:1:1: targets: profiles of \"a\": \"mars\" is no geography, such as us, eu, "
        "apac or global");
    refuses_text("targets: [{name: a, endpoint: 'http://h', fips: on}]\n",
                 "t.yaml:1:1: targets: fips of \"a\" chooses among AWS's own addresses, but its "
                 "endpoint names one");
    refuses_text(
        "targets: [{name: a}]\nupstream: {region: x}\n",
        "t.yaml:2:12: upstream.region: stands beside `targets`: write it into one of them, "
        "or leave `targets` out");
    refuses_override("targets", "[{name: a, wieght: 2}]",
                     "--set: targets[0]: unknown key \"wieght\"; the nearest is \"weight\"");
    refuses_variable("SLUICE_TARGETS=[{name: a, weight: x}]",
                     "SLUICE_TARGETS in the environment: targets[0].weight: \"x\" is not a whole "
                     "number");
    struct sl_config *config = NULL;
    const struct sl_config_override override = {"--set", SL_LIT("targets"), SL_LIT("[{name: a")};
    struct sl_config_source source = {.overrides = &override, .override_count = 1};
    assert_int_equal(sl_config_load(&source, &config, why, sizeof(why)), SL_E_INVALID);
    assert_non_null(strstr(why, "--set: targets: this is not YAML: "));
}

/* ---- models, quotas, cache ---- */

static void test_models(void **state) {
    (void)state;
    struct sl_config *c = load_text("models:\n"
                                    "  aliases: {fast: a.small-v1:0, smart: b.large-v1:0}\n"
                                    "  default: fast\n"
                                    "  fallbacks:\n"
                                    "    smart: [fast, c.other]\n"
                                    "    c.other: fast\n");
    assert_true(sl_slice_eq(sl_config_alias(c, SL_LIT("fast")), SL_LIT("a.small-v1:0")));
    assert_int_equal(sl_config_alias(c, SL_LIT("a.small-v1:0")).len, 0);
    assert_string_equal(c->models.standard, "a.small-v1:0");
    struct sl_slice large = SL_LIT("b.large-v1:0");
    assert_true(sl_slice_eq(sl_config_fallback(c, large, 0), SL_LIT("a.small-v1:0")));
    assert_true(sl_slice_eq(sl_config_fallback(c, large, 1), SL_LIT("c.other")));
    assert_int_equal(sl_config_fallback(c, large, 2).len, 0);
    assert_true(sl_slice_eq(sl_config_fallback(c, SL_LIT("c.other"), 0), SL_LIT("a.small-v1:0")));
    assert_int_equal(sl_config_fallback(c, SL_LIT("fast"), 0).len, 0);
    sl_config_free(c);
    refuses_text("models: {aliases: {a: b, b: c}}\n",
                 "t.yaml:1:10: models.aliases: \"a\" stands for \"b\", which is an alias itself");
    refuses_text("models: {aliases: {a: b}, fallbacks: {a: [b]}}\n",
                 "t.yaml:1:27: models.fallbacks: \"b\" falls back to itself");
    refuses_text("models: {fallbacks: {a: [b], a: [c]}}\n",
                 "t.yaml:1:30: models.fallbacks: \"a\" is there twice");
    refuses_text("models: {fallbacks: {a: []}}\n",
                 "t.yaml:1:25: models.fallbacks[a]: needs at least 1");
    refuses_text("models: {fallbacks: {a: {b: c}}}\n",
                 "t.yaml:1:25: models.fallbacks[a]: is a mapping; it takes a list of texts");
}

static void test_quotas(void **state) {
    (void)state;
    struct sl_config *c = load_text("models: {aliases: {fast: us.a.small}}\n"
                                    "quotas:\n"
                                    "  window: fixed\n"
                                    "  default: {rpm: 10, in_flight: 4}\n"
                                    "  models:\n"
                                    "    a.model: {tpm: 7}\n"
                                    "    us.a.model: {tpm: 8, rpm: 9}\n"
                                    "    fast: {tpd: 5}\n");
    assert_int_equal(c->quotas.window, SL_WINDOW_FIXED);
    assert_int_equal(c->quotas.window_ms, 60000);
    struct sl_limits l = sl_config_limits(c, SL_LIT("us.a.model"));
    assert_true(l.tpm == 8 && l.rpm == 9 && l.in_flight == 4 && l.tpd == 0);
    l = sl_config_limits(c, SL_LIT("eu.a.model")); /* a bare id stands for its profiles */
    assert_true(l.tpm == 7 && l.rpm == 10 && l.in_flight == 4);
    assert_int_equal(sl_config_limits(c, SL_LIT("us.a.small")).tpd, 5);
    assert_int_equal(sl_config_limits(c, SL_LIT("other")).rpm, 10);
    sl_config_free(c);
    refuses_text("quotas: {default: {rmp: 1}}\n",
                 "t.yaml:1:20: quotas.default: unknown key \"rmp\"; the nearest is \"rpm\"");
    refuses_text("quotas: {models: {x: {rpm: -1}}}\n",
                 "t.yaml:1:28: quotas.models[x].rpm: \"-1\" is not a whole number");
    refuses_text("quotas: {models: {x: {}, x: {}}}\n",
                 "t.yaml:1:26: quotas.models: \"x\" is there twice");
    refuses_text("quotas: {models: {x: 3}}\n", "t.yaml:1:22: quotas.models[x]: is a single value; "
                                               "it takes a mapping of keys to values");
}

static void test_cache(void **state) {
    (void)state;
    struct sl_config *c = load_text("cache:\n"
                                    "  when: deterministic\n"
                                    "  models: {'*nova*': never, '*': always}\n"
                                    "prompt_caching: {models: ['*claude*']}\n");
    assert_int_equal(sl_config_cache_when(c, SL_LIT("us.amazon.nova-lite-v1:0")), SL_CACHE_NEVER);
    assert_int_equal(sl_config_cache_when(c, SL_LIT("x")), SL_CACHE_ALWAYS);
    assert_true(sl_config_marks_prompts(c, SL_LIT("us.anthropic.claude-opus-5")));
    assert_false(sl_config_marks_prompts(c, SL_LIT("x")));
    sl_config_free(c);
    c = load_text("cache: {when: deterministic}\n");
    assert_int_equal(sl_config_cache_when(c, SL_LIT("x")), SL_CACHE_DETERMINISTIC);
    assert_int_equal(c->cache.eviction, SL_EVICT_SLRU);
    assert_int_equal(c->cache.size, 256 << 20);
    assert_false(sl_config_marks_prompts(c, SL_LIT("us.anthropic.claude-opus-5")));
    sl_config_free(c);
    refuses_text(
        "cache: {models: {x: sometimes}}\n",
        "t.yaml:1:18: cache.models: \"sometimes\" is none of: always, deterministic, never");
}

static void test_state_folder(void **state) {
    static const struct {
        const char *environment[3];
        const char *folder;
    } cases[] = {
        {{"XDG_STATE_HOME=/xdg", "HOME=/home/u", NULL}, "/xdg/sluice"},
        {{"XDG_STATE_HOME=relative", "HOME=/home/u", NULL}, "/home/u/.local/state/sluice"},
        {{"XDG_STATE_HOME=", "HOME=/home/u", NULL}, "/home/u/.local/state/sluice"},
        {{"HOME=", NULL}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_config_source source = {.environment = cases[i].environment};
        struct sl_config *c = load(&source);
        if (cases[i].folder)
            assert_string_equal(c->state, cases[i].folder);
        else
            assert_null(c->state);
        sl_config_free(c);
    }
    struct sl_config *c = load_text("state: /var/lib/sluice\n");
    assert_string_equal(c->state, "/var/lib/sluice");
    sl_config_free(c);
}

static void test_files_on_disk(void **state) {
    char path[] = "/tmp/sluice-test-XXXXXX", expected[128];
    int fd = mkstemp(path);
    struct sl_config_source source = {.file = path};
    struct sl_config *config = NULL;
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "drain: 7s\n", 10), 10);
    config = load(&source);
    assert_int_equal(config->drain_ms, 7000);
    sl_config_free(config);
    config = NULL;
    assert_int_equal(ftruncate(fd, SL_CONFIG_FILE_MAX + 1), 0);
    snprintf(expected, sizeof(expected),
             "%s: is larger than 1048576 bytes: this is no configuration", path);
    assert_int_equal(sl_config_load(&source, &config, why, sizeof(why)), SL_E_LIMIT);
    assert_string_equal(why, expected);
    close(fd);
    unlink(path);
    snprintf(expected, sizeof(expected), "%s: cannot be read: No such file or directory", path);
    assert_int_equal(sl_config_load(&source, &config, why, sizeof(why)), SL_E_IO);
    assert_string_equal(why, expected);
    assert_null(config);
}

static void test_short_why(void **state) {
    struct sl_config_source source = {.file = "t.yaml", .text = SL_LIT("banana: 1\n")};
    struct sl_config *config = NULL;
    char small[8];
    (void)state;
    for (size_t size = 1; size <= sizeof(small); size++) {
        assert_int_equal(sl_config_load(&source, &config, small, size), SL_E_INVALID);
        assert_true(strlen(small) < size);
    }
}

/* Whatever allocation fails, loading says so and leaks nothing (the sanitizer looks). */
static void test_out_of_memory(void **state) {
    struct sl_config_source source = {
        .file = "t.yaml", .text = SL_LIT("hosts: [a, b, c]\nmodels: {successors: {a: b, c: d}}\n")};
    int failures = 0;
    (void)state;
    for (uint64_t n = 1; n < 1000; n++) {
        struct sl_config *config = NULL;
        sl_mem_fail_after(n);
        int rc = sl_config_load(&source, &config, why, sizeof(why));
        sl_mem_fail_after(0);
        if (rc == 0) {
            sl_config_free(config);
            break;
        }
        assert_int_equal(rc, SL_E_NOMEM);
        assert_null(config);
        failures++;
    }
    assert_true(failures > 1 && failures < 999);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_empty_files),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_wrong_values_in_file),
        cmocka_unit_test(test_not_yaml),
        cmocka_unit_test(test_self_reference),
        cmocka_unit_test(test_wrong_overrides),
        cmocka_unit_test(test_option_that_names_its_key),
        cmocka_unit_test(test_variables),
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_targets_from_the_command_line),
        cmocka_unit_test(test_wrong_targets),
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_quotas),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_state_folder),
        cmocka_unit_test(test_files_on_disk),
        cmocka_unit_test(test_short_why),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
