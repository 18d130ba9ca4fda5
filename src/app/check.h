/* `sluice check`: is the configuration right, and does the account behind it work? */
#ifndef SLUICE_APP_CHECK_H
#define SLUICE_APP_CHECK_H

#include "app/cli.h"

/* Prints a line for each check on stdout. The exit code: 0 no check failed, 1 one did, 2 the
 * configuration is wrong. */
int sl_check(const struct sl_cli *cli);

#endif
