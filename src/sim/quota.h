/*
 * Bedrock's quotas, kept for each model and channel: requests a minute, tokens a minute, tokens a
 * day. A call reserves input + max_tokens when it starts; at its end that becomes input + cache
 * writes + output x burndown. Shares no arithmetic with the gateway's scheduler, which it tests.
 *
 * A bucket is kept as the time at which it will be full again: taking n moves that time n x
 * window / limit into the future, and it may stand at most one window ahead of now. A fixed
 * window is a count that starts anew with each window. A day is always a fixed window.
 */
#ifndef SIM_QUOTA_H
#define SIM_QUOTA_H

#include <stdint.h>

#include "sim/models.h"
#include "sluice/sim/sim.h"

struct sl_sim_meter {
    uint64_t limit;  /* 0: none */
    uint64_t window; /* ns */
    bool fixed;
    uint64_t full_at; /* bucket: ns */
    uint64_t begun;   /* fixed: when the window under way began, ns */
    uint64_t used;    /* fixed: in that window */
};

void sl_sim_meter_init(struct sl_sim_meter *meter, uint64_t limit, uint64_t window, bool fixed);
bool sl_sim_meter_fits(struct sl_sim_meter *meter, uint64_t n, uint64_t now);
void sl_sim_meter_take(struct sl_sim_meter *meter, uint64_t n, uint64_t now);
/* Gives back or takes on what a reservation made at `then` was wrong by. */
void sl_sim_meter_settle(struct sl_sim_meter *meter, uint64_t reserved, uint64_t actual,
                         uint64_t then, uint64_t now);

enum sl_sim_throttle {
    SL_SIM_ADMITTED,
    SL_SIM_THROTTLE_REQUESTS,
    SL_SIM_THROTTLE_TOKENS,
    SL_SIM_THROTTLE_DAY,
    SL_SIM_THROTTLES
};
/* Bedrock's sentence for it. */
const char *sl_sim_throttle_message(enum sl_sim_throttle kind);

struct sl_sim_quotas;
SL_NODISCARD struct sl_sim_quotas *sl_sim_quotas_new(const struct sl_sim_settings *settings);
void sl_sim_quotas_free(struct sl_sim_quotas *quotas);
/* All meters full again. */
void sl_sim_quotas_reset(struct sl_sim_quotas *quotas);

/* Made by reserve, used up by settle. */
struct sl_sim_reservation {
    struct sl_sim_target target;
    uint64_t tokens;
    uint64_t at, at_wall;
    bool open;
};
/* Times in ns; now is monotonic, wall since 1970 (for the day). */
enum sl_sim_throttle sl_sim_quotas_reserve(struct sl_sim_quotas *quotas,
                                           struct sl_sim_target target, uint64_t tokens,
                                           uint64_t now, uint64_t wall,
                                           struct sl_sim_reservation *out);
void sl_sim_quotas_settle(struct sl_sim_quotas *quotas, struct sl_sim_reservation *reservation,
                          uint64_t tokens, uint64_t now, uint64_t wall);

#endif
