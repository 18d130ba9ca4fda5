#include "sim/prefix.h"

#include "sluice/base/clock.h"

void sl_sim_prefixes_apply(struct sl_sim_prefixes *prefixes, const struct sl_sim_ask *ask,
                           enum sl_sim_channel channel, uint64_t now, struct sl_usage *usage) {
    uint64_t least = (uint64_t)ask->model->cache_least, read = 0, all = 0;
    uint64_t owner = sl_sim_model_index(ask->model) * SL_SIM_CHANNELS + channel;
    for (size_t i = 0; least && i < ask->cache_count; i++) {
        const struct sl_sim_cache_point *point = &ask->cache[i];
        if (point->tokens < least)
            continue; /* too short to be kept: silently ignored, as on Bedrock */
        uint64_t digest = sl_sim_mix(point->digest ^ sl_sim_mix(owner));
        size_t slot = digest % SL_SIM_PREFIXES;
        if (prefixes->slots[slot].digest == digest && prefixes->slots[slot].until > now)
            read = point->tokens;
        all = point->tokens;
        prefixes->slots[slot].digest = digest;
        prefixes->slots[slot].until = now + point->ttl_s * SL_NS_PER_S;
    }
    usage->cache_read = (int64_t)read;
    usage->cache_write = (int64_t)(all - read);
    usage->input -= (int64_t)all;
}
