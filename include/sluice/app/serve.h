/* The gateway itself: `sluice serve`. */
#ifndef SLUICE_APP_SERVE_H
#define SLUICE_APP_SERVE_H

#include "sluice/app/config.h"

/*
 * Loads the configuration, listens, prints the ready line on stderr and serves until SIGTERM or
 * SIGINT; SIGHUP loads the source again. source must outlive the call. Returns the exit code: 0
 * fine, 1 runtime failure, 2 bad configuration.
 */
int sl_serve(const struct sl_config_source *source);

#endif
