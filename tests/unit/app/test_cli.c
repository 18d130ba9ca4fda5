#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/cli.h"
#include "app/cli_table.h"

static struct sl_cli cli;
static char why[512];

#define PARSE(...)                                                                                 \
    parse((const char *const[]){"sluice", __VA_ARGS__, NULL}, (const char *const[]){NULL})

static int parse(const char *const *argv, const char *const *environment) {
    int argc = 0;
    while (argv[argc])
        argc++;
    why[0] = '\0';
    return sl_cli_parse(&cli, argc, argv, environment, why, sizeof(why));
}

static void assert_override(size_t i, const char *option, const char *path, const char *value) {
    const struct sl_config_override *o = &cli.source.overrides[i];
    assert_true(i < cli.source.override_count);
    assert_string_equal(o->option, option);
    assert_true(sl_slice_eq(o->path, sl_slice_str(path)));
    assert_true(sl_slice_eq(o->value, sl_slice_str(value)));
}

static void test_serve(void **state) {
    (void)state;
    assert_int_equal(PARSE("serve", "--config", "a.yaml", "--listen", "h:1", "--admin=h:2",
                           "--simulator", "--set", "queue.max_wait=5m", "--set=a.b=c=d"),
                     0);
    assert_int_equal(cli.command, SL_COMMAND_SERVE);
    assert_false(cli.help);
    assert_true(cli.source.simulator);
    assert_string_equal(cli.source.file, "a.yaml");
    assert_int_equal(cli.source.override_count, 4);
    assert_override(0, "--listen", "listen", "h:1");
    assert_override(1, "--admin", "admin", "h:2");
    assert_override(2, "--set", "queue.max_wait", "5m");
    assert_override(3, "--set", "a.b", "c=d");
}

static void test_simulator_listens_elsewhere(void **state) {
    (void)state;
    assert_int_equal(PARSE("simulator", "--listen", "127.0.0.1:0"), 0);
    assert_override(0, "--listen", "simulator.listen", "127.0.0.1:0");
}

static void test_check(void **state) {
    (void)state;
    assert_int_equal(PARSE("check", "--model", "m", "--invoke"), 0);
    assert_string_equal(cli.model, "m");
    assert_true(cli.invoke);
    assert_int_equal(PARSE("check", "--sample"), 0);
    assert_true(cli.sample);
    assert_int_equal(PARSE("check", "--invoke"), SL_E_INVALID);
    assert_string_equal(why, "--invoke needs --model ID: which model to call");
    assert_int_equal(PARSE("check", "--offline", "--model", "m"), SL_E_INVALID);
    assert_string_equal(why, "--offline sends nothing, so it cannot check --model");
}

static void test_mistakes(void **state) {
    (void)state;
    assert_int_equal(PARSE("serv"), SL_E_INVALID);
    assert_string_equal(why, "unknown command \"serv\"; the nearest is \"serve\"");
    assert_int_equal(PARSE("banana"), SL_E_INVALID);
    assert_string_equal(why, "unknown command \"banana\"; see sluice --help");
    assert_int_equal(PARSE("serve", "--lisen", "h:1"), SL_E_INVALID);
    assert_string_equal(why, "unknown option \"--lisen\"; the nearest is --listen");
    assert_int_equal(PARSE("serve", "--cofnig=x"), SL_E_INVALID);
    assert_string_equal(why, "unknown option \"--cofnig\"; the nearest is --config");
    assert_int_equal(PARSE("serve", "--banana"), SL_E_INVALID);
    assert_string_equal(why, "unknown option \"--banana\"; see sluice serve --help");
    assert_int_equal(PARSE("serve", "a.yaml"), SL_E_INVALID);
    assert_string_equal(why,
                        "\"a.yaml\" is not an option of sluice serve; see sluice serve --help");
    assert_int_equal(PARSE("serve", "--config"), SL_E_INVALID);
    assert_string_equal(why, "--config needs FILE");
    assert_int_equal(PARSE("serve", "--config="), SL_E_INVALID);
    assert_string_equal(why, "--config needs FILE");
    assert_int_equal(PARSE("serve", "--simulator=on"), SL_E_INVALID);
    assert_string_equal(why, "--simulator takes no value");
    assert_int_equal(PARSE("serve", "--set", "queue.max_wait"), SL_E_INVALID);
    assert_string_equal(why, "--set takes PATH=VALUE, as in --set queue.max_wait=5m; this is "
                             "\"queue.max_wait\"");
    assert_int_equal(PARSE("version", "--config", "x"), SL_E_INVALID);
    assert_int_equal(parse((const char *const[]){"sluice", NULL}, NULL), SL_E_INVALID);
    assert_string_equal(why, "no command given; see sluice --help");
}

static void test_too_many_values(void **state) {
    const char *argv[SL_CLI_OVERRIDES + 4] = {"sluice", "serve"};
    (void)state;
    for (size_t i = 0; i < SL_CLI_OVERRIDES; i++)
        argv[i + 2] = "--set=drain=1s";
    assert_int_equal(parse(argv, NULL), 0);
    argv[SL_CLI_OVERRIDES + 2] = "--set=drain=1s";
    assert_int_equal(parse(argv, NULL), SL_E_INVALID);
    assert_string_equal(why, "more than 128 values on the command line: put them into a file");
}

static void test_file_of_the_environment(void **state) {
    static const char *const environment[] = {"SLUICE_CONFIG=e.yaml", NULL};
    (void)state;
    assert_int_equal(parse((const char *const[]){"sluice", "serve", NULL}, environment), 0);
    assert_string_equal(cli.source.file, "e.yaml");
    assert_int_equal(
        parse((const char *const[]){"sluice", "serve", "--config", "c.yaml", NULL}, environment),
        0);
    assert_string_equal(cli.source.file, "c.yaml");
}

static void options_exist(const struct sl_cli_option *options) {
    for (const struct sl_cli_option *o = options; o->name; o++) {
        assert_true(o->kind != SL_CLI_FLAG || !o->argument);
        if (o->kind != SL_CLI_KEY)
            continue;
        struct sl_config_override override = {o->name, sl_slice_str(o->key), SL_LIT("127.0.0.1:1")};
        struct sl_config_source source = {.overrides = &override, .override_count = 1};
        struct sl_config *config = NULL;
        assert_int_equal(sl_config_load(&source, &config, why, sizeof(why)), 0);
        sl_config_free(config);
    }
}

/* Every option of the tables leads to a key that exists, or to a field of its own. */
static void test_option_keys_exist(void **state) {
    (void)state;
    for (size_t i = 0; i < SL_COMMAND_COUNT; i++) {
        const struct sl_cli_command *command = &sl_cli_commands[i];
        assert_int_equal(!command->options, !!command->actions);
        if (command->options)
            options_exist(command->options);
        for (const struct sl_cli_action *a = command->actions; a && a->name; a++)
            options_exist(a->options);
    }
}

/* action, or command and action, may be NULL. */
static void help_holds(const char *command, const char *action, const char *text) {
    struct sl_buf out;
    const char *argv[] = {"sluice", "--help", NULL, NULL, NULL};
    if (command) {
        argv[1] = command;
        argv[2] = action ? action : "--help";
        argv[3] = action ? "--help" : NULL;
    }
    assert_int_equal(parse(argv, NULL), 0);
    assert_true(cli.help);
    assert_int_equal(cli.any, !command);
    sl_buf_init(&out, 65536);
    assert_int_equal(sl_cli_help(&cli, &out), 0);
    if (sl_slice_search(sl_buf_slice(&out), sl_slice_str(text)) == out.len)
        fail_msg("the help of %s does not say \"%s\"", command ? command : "all", text);
    sl_buf_done(&out);
}

static void test_help(void **state) {
    (void)state;
    for (size_t i = 0; i < SL_COMMAND_COUNT; i++) {
        const struct sl_cli_command *command = &sl_cli_commands[i];
        help_holds(NULL, NULL, command->summary);
        help_holds(command->name, NULL, "Example");
        for (const struct sl_cli_option *o = command->options; o && o->name; o++)
            help_holds(command->name, NULL, o->doc);
        for (const struct sl_cli_action *a = command->actions; a && a->name; a++) {
            help_holds(command->name, NULL, a->summary);
            help_holds(command->name, a->name, "Example");
            for (const struct sl_cli_option *o = a->options; o->name; o++)
                help_holds(command->name, a->name, o->doc);
        }
    }
    assert_int_equal(PARSE("-h"), 0);
    assert_true(cli.help && cli.any);
    assert_int_equal(PARSE("serve", "-h"), 0);
    assert_true(cli.help && !cli.any);
    assert_int_equal(PARSE("--version"), 0);
    assert_int_equal(cli.command, SL_COMMAND_VERSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serve),
        cmocka_unit_test(test_simulator_listens_elsewhere),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_too_many_values),
        cmocka_unit_test(test_file_of_the_environment),
        cmocka_unit_test(test_option_keys_exist),
        cmocka_unit_test(test_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
