/*
 * Options are --name VALUE or --name=VALUE, in any order behind the command and, where it does
 * several things, the action. Those that stand for
 * configuration keys become overrides, so that the loader treats and checks them like any other
 * source; the parser itself knows no value.
 */
#include "app/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli_table.h"
#include "app/config_value.h"
#include "app/nearest.h"

#define DEFAULT_FILE "/etc/sluice/sluice.yaml"

struct parse {
    struct sl_cli *cli;
    int argc, at;
    const char *const *argv;
    char *why;
    size_t why_size;
};

SL_PRINTF(2, 3) static int refuse(struct parse *p, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(p->why, p->why_size, fmt, args);
    va_end(args);
    return SL_E_INVALID;
}

static bool is_help(struct sl_slice word) {
    return sl_slice_eq(word, SL_LIT("--help")) || sl_slice_eq(word, SL_LIT("-h")) ||
           sl_slice_eq(word, SL_LIT("help"));
}

static int parse_command(struct parse *p) {
    struct sl_slice word = sl_slice_str(p->argv[p->at++]);
    size_t best_distance = SIZE_MAX, best = 0;
    if (is_help(word)) {
        p->cli->help = p->cli->any = true;
        return 0;
    }
    if (sl_slice_eq(word, SL_LIT("--version")))
        word = SL_LIT("version");
    for (size_t i = 0; i < SL_COMMAND_COUNT; i++) {
        size_t distance = sl_edit_distance(word, sl_slice_str(sl_cli_commands[i].name));
        if (distance < best_distance) {
            best_distance = distance;
            best = i;
        }
    }
    p->cli->command = (enum sl_command)best;
    if (best_distance == 0)
        return 0;
    if (sl_is_near(word, best_distance))
        return refuse(p, "unknown command %s; the nearest is \"%s\"", sl_quote(word).text,
                      sl_cli_commands[best].name);
    return refuse(p, "unknown command %s; see sluice --help", sl_quote(word).text);
}

static const struct sl_cli_command *command_of(const struct sl_cli *cli) {
    return &sl_cli_commands[cli->command];
}

/* NULL: the command has none, or it was not named. */
static const struct sl_cli_action *action_of(const struct sl_cli *cli) {
    return cli->action >= 0 ? &command_of(cli)->actions[cli->action] : NULL;
}

static const struct sl_cli_option *options_of(const struct sl_cli *cli) {
    const struct sl_cli_action *action = action_of(cli);
    return action ? action->options : command_of(cli)->options;
}

/* "check", "key create" */
struct title {
    char text[40];
};

static struct title title_of(const struct sl_cli *cli) {
    const struct sl_cli_action *action = action_of(cli);
    struct title t;
    snprintf(t.text, sizeof(t.text), "%s%s%s", command_of(cli)->name, action ? " " : "",
             action ? action->name : "");
    return t;
}

/* The word behind a command that does several things. */
static int parse_action(struct parse *p) {
    const struct sl_cli_command *command = command_of(p->cli);
    struct sl_slice word = p->at < p->argc ? sl_slice_str(p->argv[p->at]) : SL_EMPTY;
    size_t best_distance = SIZE_MAX;
    const char *best = NULL;
    if (!command->actions)
        return 0;
    if (is_help(word)) {
        p->cli->help = true;
        return 0;
    }
    if (word.len == 0 || sl_slice_starts(word, SL_LIT("-")))
        return refuse(p, "sluice %s needs to be told what to do; see sluice %s --help",
                      command->name, command->name);
    for (int i = 0; command->actions[i].name; i++) {
        size_t distance = sl_edit_distance(word, sl_slice_str(command->actions[i].name));
        if (distance < best_distance) {
            best_distance = distance;
            best = command->actions[i].name;
            p->cli->action = i;
        }
    }
    p->at++;
    if (best_distance == 0)
        return 0;
    if (sl_is_near(word, best_distance))
        return refuse(p, "sluice %s cannot %s; the nearest is \"%s\"", command->name,
                      sl_quote(word).text, best);
    return refuse(p, "sluice %s cannot %s; see sluice %s --help", command->name,
                  sl_quote(word).text, command->name);
}

static int unknown_option(struct parse *p, struct sl_slice name) {
    struct title title = title_of(p->cli);
    size_t best_distance = SIZE_MAX;
    const char *best = NULL;
    if (!sl_slice_starts(name, SL_LIT("-")))
        return refuse(p, "%s is not an option of sluice %s; see sluice %s --help",
                      sl_quote(name).text, title.text, title.text);
    for (const struct sl_cli_option *o = options_of(p->cli); o->name; o++) {
        size_t distance = sl_edit_distance(name, sl_slice_str(o->name));
        if (sl_is_near(name, distance) && distance < best_distance) {
            best_distance = distance;
            best = o->name;
        }
    }
    if (best)
        return refuse(p, "unknown option %s; the nearest is %s", sl_quote(name).text, best);
    return refuse(p, "unknown option %s; see sluice %s --help", sl_quote(name).text, title.text);
}

static int add_override(struct parse *p, const char *option, struct sl_slice path,
                        struct sl_slice value) {
    struct sl_config_source *source = &p->cli->source;
    if (source->override_count == SL_CLI_OVERRIDES)
        return refuse(p, "more than %d values on the command line: put them into a file",
                      SL_CLI_OVERRIDES);
    p->cli->overrides[source->override_count++] = (struct sl_config_override){option, path, value};
    return 0;
}

static int apply_option(struct parse *p, const struct sl_cli_option *o, const char *value) {
    struct sl_slice text = sl_slice_str(value);
    char *field = (char *)p->cli + o->offset;
    size_t equals = sl_slice_find(text, '=');
    switch (o->kind) {
    case SL_CLI_FLAG:
        *(bool *)(void *)field = true;
        return 0;
    case SL_CLI_TEXT:
        if (text.len == 0)
            return refuse(p, "%s needs %s", o->name, o->argument);
        *(const char **)(void *)field = value;
        return 0;
    case SL_CLI_KEY:
        return add_override(p, o->name, sl_slice_str(o->key), text);
    case SL_CLI_SET:
        break;
    }
    if (equals == text.len)
        return refuse(p, "%s takes PATH=VALUE, as in --set queue.max_wait=5m; this is %s", o->name,
                      sl_quote(text).text);
    return add_override(p, o->name, sl_slice_trim(sl_slice_head(text, equals)),
                        sl_slice_skip(text, equals + 1));
}

static int parse_option(struct parse *p) {
    const char *word = p->argv[p->at++];
    struct sl_slice text = sl_slice_str(word);
    size_t equals = sl_slice_find(text, '=');
    struct sl_slice name = sl_slice_head(text, equals);
    const char *value = equals < text.len ? word + equals + 1 : NULL;
    if (is_help(text)) {
        p->cli->help = true;
        return 0;
    }
    const struct sl_cli_action *action = action_of(p->cli);
    if (action && action->argument && !p->cli->which && word[0] != '-') {
        p->cli->which = word;
        return 0;
    }
    const struct sl_cli_option *o = options_of(p->cli);
    while (o->name && !sl_slice_eq(name, sl_slice_str(o->name)))
        o++;
    if (!o->name)
        return unknown_option(p, name);
    if (!o->argument && value)
        return refuse(p, "%s takes no value", o->name);
    if (o->argument && !value) {
        if (p->at >= p->argc)
            return refuse(p, "%s needs %s", o->name, o->argument);
        value = p->argv[p->at++];
    }
    return apply_option(p, o, value);
}

/* What no option can say alone. */
static int check_combination(struct parse *p) {
    const struct sl_cli *cli = p->cli;
    if (cli->invoke && !cli->model)
        return refuse(p, "--invoke needs --model ID: which model to call");
    if (cli->offline && (cli->model || cli->invoke))
        return refuse(p, "--offline sends nothing, so it cannot check --model");
    const struct sl_cli_action *action = action_of(cli);
    if (action && action->argument && (!cli->which || !cli->which[0]))
        return refuse(p, "sluice %s needs %s: which one", title_of(cli).text, action->argument);
    if (cli->command == SL_COMMAND_KEY && cli->action == SL_KEY_CREATE && !cli->key.name)
        return refuse(p, "sluice key create needs --name NAME: who it is for");
    return 0;
}

static const char *default_file(const char *const *environment) {
    static const char name[] = "SLUICE_CONFIG=";
    for (const char *const *e = environment; e && *e; e++)
        if (strncmp(*e, name, sizeof(name) - 1) == 0 && (*e)[sizeof(name) - 1])
            return *e + sizeof(name) - 1;
    return access(DEFAULT_FILE, F_OK) == 0 ? DEFAULT_FILE : NULL;
}

int sl_cli_parse(struct sl_cli *cli, int argc, const char *const *argv,
                 const char *const *environment, char *why, size_t why_size) {
    struct parse p = {cli, argc, 1, argv, why, why_size};
    memset(cli, 0, sizeof(*cli));
    cli->action = -1;
    cli->source.environment = environment;
    cli->source.overrides = cli->overrides;
    if (argc < 2)
        return refuse(&p, "no command given; see sluice --help");
    int rc = parse_command(&p);
    if (rc == 0 && !cli->help)
        rc = parse_action(&p);
    while (rc == 0 && !cli->help && p.at < argc)
        rc = parse_option(&p);
    if (rc == 0 && !cli->help)
        rc = check_combination(&p);
    if (rc == 0 && !cli->source.file)
        cli->source.file = default_file(environment);
    return rc;
}

static int help_option(struct sl_buf *out, const struct sl_cli_option *o) {
    return sl_buf_printf(out, "  %s%s%s\n      %s\n", o->name, o->argument ? " " : "",
                         o->argument ? o->argument : "", o->doc);
}

static int help_options(struct sl_buf *out, const struct sl_cli_option *options) {
    bool any = options[0].name != NULL;
    int rc = SL_OK;
    for (const struct sl_cli_option *o = options; rc == 0 && o->name; o++)
        rc = help_option(out, o);
    return rc == 0 && any ? sl_buf_add_byte(out, '\n') : rc;
}

static int help_actions(struct sl_buf *out, const struct sl_cli_command *command) {
    int rc = sl_buf_printf(out, "sluice %s: %s\n\nUsage: sluice %s ACTION [OPTION]…\n\n",
                           command->name, command->summary, command->name);
    for (const struct sl_cli_action *a = command->actions; rc == 0 && a->name; a++)
        rc = sl_buf_printf(out, "  %s%s%s\n      %s\n", a->name, a->argument ? " " : "",
                           a->argument ? a->argument : "", a->summary);
    if (rc == 0)
        rc = sl_buf_printf(out, "\n`sluice %s ACTION --help` explains each.\n\n", command->name);
    return rc ? rc : sl_buf_add_str(out, command->teaching);
}

static int help_command(struct sl_buf *out, const struct sl_cli *cli) {
    const struct sl_cli_command *command = command_of(cli);
    const struct sl_cli_action *action = action_of(cli);
    const struct sl_cli_option *options = options_of(cli);
    const char *argument = action ? action->argument : NULL;
    struct title title = title_of(cli);
    if (!options)
        return help_actions(out, command);
    int rc =
        sl_buf_printf(out, "sluice %s: %s\n\nUsage: sluice %s%s%s%s\n\n", title.text,
                      action ? action->summary : command->summary, title.text, argument ? " " : "",
                      argument ? argument : "", options[0].name ? " [OPTION]…" : "");
    if (rc == 0)
        rc = help_options(out, options);
    return rc ? rc : sl_buf_add_str(out, action ? action->teaching : command->teaching);
}

int sl_cli_help(const struct sl_cli *cli, struct sl_buf *out) {
    if (!cli->any)
        return help_command(out, cli);
    int rc = sl_buf_add_str(out, "Sluice: the gateway between applications and Amazon Bedrock.\n\n"
                                 "Usage: sluice COMMAND [OPTION]…\n\n");
    for (size_t i = 0; i < SL_COMMAND_COUNT && rc == 0; i++)
        rc =
            sl_buf_printf(out, "  %-10s %s\n", sl_cli_commands[i].name, sl_cli_commands[i].summary);
    return rc ? rc
              : sl_buf_add_str(out, "\n`sluice COMMAND --help` explains each. To begin:\n"
                                    "  sluice serve --simulator\n");
}
