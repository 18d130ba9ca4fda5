/*
 * The command line: a table of commands with their options, one parser for all of them, and the
 * help that is written from the same table. Pure, but for the look whether a default file exists.
 */
#ifndef SLUICE_APP_CLI_H
#define SLUICE_APP_CLI_H

#include "app/key_row.h"
#include "sluice/app/config.h"
#include "sluice/base/buf.h"

/* Values one command line may set; each takes an argument or two, so this is a long line. */
#define SL_CLI_OVERRIDES 128

enum sl_command {
    SL_COMMAND_SERVE,
    SL_COMMAND_SIMULATOR,
    SL_COMMAND_CHECK,
    SL_COMMAND_KEY,
    SL_COMMAND_USAGE,
    SL_COMMAND_VERSION,
    SL_COMMAND_COUNT
};

/* Of SL_COMMAND_KEY. */
enum sl_key_action {
    SL_KEY_CREATE,
    SL_KEY_LIST,
    SL_KEY_SHOW,
    SL_KEY_ROTATE,
    SL_KEY_REVOKE,
    SL_KEY_ACTIONS
};

/* What a command line asked for. Strings point into argv and the environment. */
struct sl_cli {
    enum sl_command command;
    int action;        /* of a command that has several; -1: none was named */
    const char *which; /* what the action is done to */
    bool help;         /* print the help of `command`, or of all when `any` is set too */
    bool any;          /* no command was named */
    const char *model; /* check --model */
    bool invoke, offline, sample, reference; /* check's */
    struct sl_key_wish key;                  /* key create's */
    const char *overlap;                     /* key rotate's */
    const char *by, *since;                  /* usage's */
    bool json;                               /* key's, usage's */
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
