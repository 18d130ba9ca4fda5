/* Nothing here interprets; cli.c does. */
#include "app/cli_table.h"

#include <stddef.h>

#define CONFIG                                                                                     \
    {                                                                                              \
        "--config", "FILE", SL_CLI_TEXT, offsetof(struct sl_cli, source.file), NULL,               \
            "configuration to read; default: SLUICE_CONFIG, then /etc/sluice/sluice.yaml"          \
    }
#define LISTEN                                                                                     \
    {                                                                                              \
        "--listen", "HOST:PORT", SL_CLI_KEY, 0, "listen",                                          \
            "where clients connect (127.0.0.1:8080); several with commas; port 0 picks a free one" \
    }
#define ADMIN                                                                                      \
    { "--admin", "HOST:PORT", SL_CLI_KEY, 0, "admin", "where the admin pages are (127.0.0.1:8081)" }
#define SIMULATOR                                                                                  \
    {                                                                                              \
        "--simulator", NULL, SL_CLI_FLAG, offsetof(struct sl_cli, source.simulator), NULL,         \
            "use the simulated Bedrock inside this process: no AWS account needed"                 \
    }
#define SET                                                                                        \
    {                                                                                              \
        "--set", "PATH=VALUE", SL_CLI_SET, 0, NULL,                                                \
            "any configuration key, as often as you like: --set queue.max_wait=5m"                 \
    }
#define END                                                                                        \
    { NULL, NULL, SL_CLI_FLAG, 0, NULL, NULL }

static const struct sl_cli_option serve_options[] = {CONFIG, LISTEN, ADMIN, SIMULATOR, SET, END};
static const struct sl_cli_option simulator_options[] = {
    CONFIG,
    {"--listen", "HOST:PORT", SL_CLI_KEY, 0, "simulator.listen",
     "where it is reached (127.0.0.1:8082); port 0 picks a free one"},
    SET,
    END};
static const struct sl_cli_option check_options[] = {
    CONFIG,
    {"--model", "ID", SL_CLI_TEXT, offsetof(struct sl_cli, model), NULL,
     "also check that this model can be called, with calls that cost nothing"},
    {"--invoke", NULL, SL_CLI_FLAG, offsetof(struct sl_cli, invoke), NULL,
     "with --model: really call it, for one token of output"},
    {"--offline", NULL, SL_CLI_FLAG, offsetof(struct sl_cli, offline), NULL,
     "only the configuration: nothing is sent anywhere"},
    LISTEN,
    ADMIN,
    SIMULATOR,
    SET,
    {"--sample", NULL, SL_CLI_FLAG, offsetof(struct sl_cli, sample), NULL,
     "print a commented configuration file and stop"},
    {"--reference", NULL, SL_CLI_FLAG, offsetof(struct sl_cli, reference), NULL,
     "print the reference of all configuration keys and stop"},
    END};
static const struct sl_cli_option no_options[] = {END};

#define WISH(name, argument, field, doc)                                                           \
    { name, argument, SL_CLI_TEXT, offsetof(struct sl_cli, key.field), NULL, doc }
#define STATE                                                                                      \
    {                                                                                              \
        "--state", "FOLDER", SL_CLI_KEY, 0, "state",                                               \
            "the gateway's state folder, where keys are kept; default: as configured"              \
    }
#define JSON                                                                                       \
    { "--json", NULL, SL_CLI_FLAG, offsetof(struct sl_cli, json), NULL, "print JSON, for programs" }

static const struct sl_cli_option key_create_options[] = {
    WISH("--name", "NAME", name, "who it is for, up to 64 bytes; must be given"),
    WISH("--models", "PATTERN,…", models,
         "models it may use, '*' for any text; default: all. Checked after aliases and fallbacks"),
    WISH("--priority", "CLASS", priority,
         "interactive, normal (default) or batch; x-sluice-priority may only lower it"),
    WISH("--rpm", "COUNT", rpm, "requests a minute; what is more waits; default: no limit"),
    WISH("--tpm", "COUNT", tpm, "tokens a minute; what is more waits; default: no limit"),
    WISH("--expires", "WHEN", expires,
         "90d, 12h or 2027-01-31, the last day (UTC) it is valid; default: never"),
    WISH("--cache", "WHEN", cache,
         "always, deterministic or never; default: as configured (cache.when)"),
    WISH("--operations", "NAME,…", operations,
         "what more it may do: async-invoke, listings (of models), s3 (any s3Location)"),
    WISH("--s3-prefix", "S3URI", s3_prefix,
         "s3Location below it is allowed, as in s3://bucket/folder/; default: none is"),
    WISH("--subject", "SUBJECT", subject,
         "a client certificate with this subject stands for the key (tls.client_ca)"),
    JSON,
    STATE,
    CONFIG,
    SET,
    END};
static const struct sl_cli_option key_options[] = {JSON, STATE, CONFIG, SET, END};
static const struct sl_cli_option key_rotate_options[] = {
    {"--overlap", "TIME", SL_CLI_TEXT, offsetof(struct sl_cli, overlap), NULL,
     "how long the former secrets stay valid: 12h, 7d (default), 2w, or 0"},
    JSON,
    STATE,
    CONFIG,
    SET,
    END};

static const struct sl_cli_option usage_options[] = {
    {"--since", "WHEN", SL_CLI_TEXT, offsetof(struct sl_cli, since), NULL,
     "24h (default), 7d, 2w, 2026-11-22 (UTC), or all"},
    {"--by", "WHAT", SL_CLI_TEXT, offsetof(struct sl_cli, by), NULL,
     "model (default), key or day: a row for each"},
    JSON,
    STATE,
    CONFIG,
    SET,
    END};

static const struct sl_cli_action key_actions[SL_KEY_ACTIONS + 1] = {
    [SL_KEY_CREATE] =
        {"create", NULL, "make a key and print its secrets", key_create_options,
         "Prints a bearer token, an AWS access key pair, and what to set for common clients. A\n"
         "running gateway knows the key within a second.\n"
         "\n"
         "Examples:\n"
         "  sluice key create --name chat --priority interactive\n"
         "  sluice key create --name nightly --priority batch --tpm 200000 --expires 90d\n"
         "      may use what others leave, and only so much of it\n"
         "  sluice key create --name team-a --models 'us.anthropic.*,amazon.nova-*'\n"
         "      these models and no others\n"},
    [SL_KEY_LIST] = {"list", NULL, "list all keys, without their secrets", key_options,
                     "Example:\n  sluice key list --json\n"},
    [SL_KEY_SHOW] =
        {"show", "NAME|ID", "print a key's secrets once more", key_options,
         "Secrets are not stored: they are derived from STATE/master.key and the key's id.\n"
         "\n"
         "Example:\n  sluice key show chat\n"},
    [SL_KEY_ROTATE] =
        {"rotate", "NAME|ID", "give a key new secrets", key_rotate_options,
         "The former secrets stay valid for the overlap, so that clients can be changed one by\n"
         "one. A second rotation ends those of the first.\n"
         "\n"
         "Examples:\n"
         "  sluice key rotate chat\n"
         "  sluice key rotate chat --overlap 0\n"
         "      a secret got out: it ends now\n"},
    [SL_KEY_REVOKE] =
        {"revoke", "NAME|ID", "end a key for good", key_options,
         "A running gateway refuses it within a second; its requests under way go on. The name is\n"
         "free for another key.\n"
         "\n"
         "Example:\n  sluice key revoke chat\n"},
};

const struct sl_cli_command sl_cli_commands[SL_COMMAND_COUNT] = {
    [SL_COMMAND_SERVE] =
        {"serve", "run the gateway", serve_options, NULL,
         "Clients that used to talk to Bedrock talk to this address instead; nothing else about\n"
         "them changes. Once it accepts, one line on stderr says where:\n"
         "  ready client=127.0.0.1:8080 admin=127.0.0.1:8081\n"
         "SIGTERM stops it after the running answers, SIGHUP reads the configuration again.\n"
         "\n"
         "Examples:\n"
         "  sluice serve --simulator\n"
         "      try it without an AWS account\n"
         "  AWS_PROFILE=production sluice serve --set upstream.region=eu-central-1\n"
         "      front your account's Bedrock in Frankfurt\n"
         "  sluice serve --config /etc/sluice/sluice.yaml --listen 127.0.0.1:0\n"
         "      a configuration file, and a free port\n"},
    [SL_COMMAND_SIMULATOR] =
        {"simulator", "run the simulated Bedrock alone", simulator_options, NULL,
         "It checks signatures, keeps quotas and answers with Bedrock's own shapes and errors; "
         "its\n"
         "text says that it is simulated. It accepts one made-up key, which opens nothing else:\n"
         "  AWS_ACCESS_KEY_ID=" SL_SIM_ACCESS_KEY_ID "\n"
         "  AWS_SECRET_ACCESS_KEY=" SL_SIM_SECRET "\n"
         "Once it accepts, one line on stderr says where: ready simulator=127.0.0.1:8082\n"
         "\n"
         "Examples:\n"
         "  sluice simulator --set simulator.rpm=60\n"
         "      throttle a model beyond 60 requests a minute\n"
         "  sluice simulator --set simulator.first_token=400ms "
         "--set simulator.tokens_per_second=80\n"
         "      stream at the pace of a real model\n"
         "  sluice simulator --listen 127.0.0.1:9000 --set simulator.faults=throttle/10\n"
         "      refuse every tenth call\n"},
    [SL_COMMAND_CHECK] =
        {"check", "check configuration, credentials and access to Bedrock", check_options, NULL,
         "One line for each check: ok, warn or fail, what was found, and what to do about it.\n"
         "Nothing that costs money is called unless --invoke says so. Exit code 0: no check\n"
         "failed; 1: one did; 2: the configuration is wrong.\n"
         "\n"
         "Examples:\n"
         "  sluice check\n"
         "      the configuration that `sluice serve` would use, and the account behind it\n"
         "  sluice check --model us.meta.llama3-3-70b-instruct-v1:0 --invoke\n"
         "      can this model really be called?\n"
         "  sluice check --offline --config new.yaml\n"
         "      before a reload\n"
         "  sluice check --sample > sluice.yaml\n"
         "      a file to start from\n"},
    [SL_COMMAND_KEY] =
        {"key", "make, list and end client keys", NULL, key_actions,
         "One key is a bearer token, for OpenAI and Anthropic SDKs and as a Bedrock API key, and\n"
         "an AWS access key pair, for AWS SDKs. With auth: keys the gateway serves nobody else.\n"
         "Keys are kept in the state folder, and a running gateway sees changes by itself.\n"
         "\n"
         "The secrets come from STATE/master.key, made at first use: keep a copy, and keep it\n"
         "secret. To retire it, rename it to master.key.old: both are accepted until that is\n"
         "deleted, and `sluice key show` prints the new secrets.\n"
         "\n"
         "Example:\n"
         "  sluice key create --name chat\n"},
    [SL_COMMAND_USAGE] =
        {"usage", "add up requests, tokens and cost", usage_options, NULL,
         "From the ledger in the state folder, whether a gateway runs or not; `ledger.keep` says\n"
         "how far back it goes. SHARED are answers from the cache, or from a call that ran\n"
         "already; tokens and cost are those of the others, what Bedrock was asked for.\n"
         "\n"
         "Examples:\n"
         "  sluice usage\n"
         "      by model, the last 24 hours\n"
         "  sluice usage --by key --since 30d --json\n"
         "      who spent what\n"},
    [SL_COMMAND_VERSION] = {"version", "print the version", no_options, NULL,
                            "Example:\n  sluice version\n"},
};
