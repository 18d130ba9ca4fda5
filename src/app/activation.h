/*
 * Sockets that a service manager has opened for us: the protocol of sd_listen_fds(3), without its
 * library. They stand in place of `listen`, so that every rule about listening holds for what is
 * really listened at.
 */
#ifndef SLUICE_APP_ACTIVATION_H
#define SLUICE_APP_ACTIVATION_H

#include "app/cli.h"

#define SL_ACTIVATION_MAX  16
#define SL_ACTIVATION_FROM 3 /* the first one's descriptor; the others follow */

/*
 * Takes the sockets of LISTEN_FDS, if LISTEN_PID means this process: their addresses override
 * `listen`, and cli->source.sockets tells their number. The variables are unset, and children do
 * not inherit the sockets. SL_E_INVALID and a sentence when one of them is no TCP socket.
 */
SL_NODISCARD int sl_activation_take(struct sl_cli *cli, char *why, size_t why_size);

#endif
