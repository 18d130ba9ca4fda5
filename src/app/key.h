/* `sluice key …`: client keys, in the state folder itself. */
#ifndef SLUICE_APP_KEY_H
#define SLUICE_APP_KEY_H

#include "app/cli.h"

/* Returns the exit code: 0 fine, 1 it could not be done, 2 bad usage or configuration. */
int sl_key_command(const struct sl_cli *cli);

#endif
