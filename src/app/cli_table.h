/* Commands and options as data. */
#ifndef SLUICE_APP_CLI_TABLE_H
#define SLUICE_APP_CLI_TABLE_H

#include "app/cli.h"

enum sl_cli_kind {
    SL_CLI_FLAG, /* sets the bool at `offset` */
    SL_CLI_TEXT, /* sets the string at `offset` */
    SL_CLI_KEY,  /* sets the configuration key `key` */
    SL_CLI_SET,  /* PATH=VALUE sets any key */
};

struct sl_cli_option {
    const char *name;     /* "--listen"; NULL ends the list */
    const char *argument; /* "HOST:PORT"; NULL: takes none */
    enum sl_cli_kind kind;
    size_t offset; /* in struct sl_cli */
    const char *key;
    const char *doc;
};

/* One of several things a command does: `sluice key create`. */
struct sl_cli_action {
    const char *name;     /* NULL ends the list */
    const char *argument; /* what it is done to, "NAME|ID"; NULL: takes none */
    const char *summary;
    const struct sl_cli_option *options;
    const char *teaching;
};

struct sl_cli_command {
    const char *name, *summary;
    const struct sl_cli_option *options; /* NULL: it has actions, and they have */
    const struct sl_cli_action *actions;
    const char *teaching; /* what it does, and examples; the last part of its help */
};

/* Indexed by enum sl_command. */
extern const struct sl_cli_command sl_cli_commands[SL_COMMAND_COUNT];

#endif
