/* Telling the service manager how far we are: the protocol of sd_notify(3), without its library. */
#ifndef SLUICE_APP_NOTIFY_H
#define SLUICE_APP_NOTIFY_H

/*
 * Sends one datagram to NOTIFY_SOCKET: "READY=1", "STOPPING=1", or "RELOADING=1", to which the time
 * is added that Type=notify-reload wants. Does nothing where no service manager listens; whether it
 * took the message does not change what we do, so there is no result.
 */
void sl_notify(const char *state);

#endif
