/* The simulated Bedrock as a command of its own, and as the upstream of this process. */
#ifndef SLUICE_APP_SIMULATOR_H
#define SLUICE_APP_SIMULATOR_H

#include "sluice/app/config.h"

/*
 * `sluice simulator`: listens at simulator.listen, prints "ready simulator=HOST:PORT" on stderr and
 * serves until SIGTERM or SIGINT; then what runs may finish within `drain`. Returns the exit code.
 */
int sl_simulator(const struct sl_config_source *source);

/* "http://127.0.0.1:65535" */
#define SL_SIMULATED_ENDPOINT_SIZE 96
/*
 * Turns *settings to the simulator at `address`, with the keys that it accepts. endpoint is written
 * and must live as long as they do.
 */
void sl_simulated_target(const struct sl_config *config, const char *address,
                         char endpoint[SL_SIMULATED_ENDPOINT_SIZE],
                         struct sl_target_settings *settings);

#endif
