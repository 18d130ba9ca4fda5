/*
 * The command line: a table of commands with their options, one parser for all of them, and the
 * help that is written from the same table. Pure, but for the look whether a default file exists.
 */
#ifndef SLUICE_APP_CLI_H
#define SLUICE_APP_CLI_H

#include "sluice/app/config.h"
#include "sluice/base/buf.h"

/* Values one command line may set; each takes an argument or two, so this is a long line. */
#define SL_CLI_OVERRIDES 128

enum sl_command {
    SL_COMMAND_SERVE,
    SL_COMMAND_SIMULATOR,
    SL_COMMAND_CHECK,
    SL_COMMAND_VERSION,
    SL_COMMAND_COUNT
};

/* What a command line asked for. Strings point into argv and the environment. */
struct sl_cli {
    enum sl_command command;
    bool help;         /* print the help of `command`, or of all when `any` is set too */
    bool any;          /* no command was named */
    const char *model; /* check --model */
    bool invoke, offline, sample, reference; /* check's */
    struct sl_config_source source;
    struct sl_config_override overrides[SL_CLI_OVERRIDES];
};

/*
 * Reads argv[1…]. SL_E_INVALID and a sentence in `why`, which names the nearest command or option,
 * when it makes no sense. *cli is large and self-referring: it stays where it is.
 */
SL_NODISCARD int sl_cli_parse(struct sl_cli *cli, int argc, const char *const *argv,
                              const char *const *environment, char *why, size_t why_size);
/* The help that cli->help asked for. */
SL_NODISCARD int sl_cli_help(const struct sl_cli *cli, struct sl_buf *out);

#endif
