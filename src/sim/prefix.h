/*
 * Bedrock's prompt cache, as far as usage shows it: a prefix that a cache point ends is written
 * once, and read while it lives. The answer's text never depends on it.
 */
#ifndef SIM_PREFIX_H
#define SIM_PREFIX_H

#include "sim/ask.h"
#include "sluice/core/usage.h"

#define SL_SIM_PREFIXES 1024 /* one of each slot: an older prefix gives way, as in any cache */

struct sl_sim_prefixes {
    struct {
        uint64_t digest, until;
    } slots[SL_SIM_PREFIXES];
};

/* Splits usage->input into what is read, written, and neither. */
void sl_sim_prefixes_apply(struct sl_sim_prefixes *prefixes, const struct sl_sim_ask *ask,
                           enum sl_sim_channel channel, uint64_t now, struct sl_usage *usage);

#endif
