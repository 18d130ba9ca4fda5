#include "sim/quota.h"

#include <assert.h>

#include "sluice/base/clock.h"
#include "sluice/base/mem.h"

#define MINUTE (60 * SL_NS_PER_S)
#define DAY    (1440 * MINUTE)

void sl_sim_meter_init(struct sl_sim_meter *meter, uint64_t limit, uint64_t window, bool fixed) {
    *meter = (struct sl_sim_meter){.limit = limit, .window = window, .fixed = fixed};
}

/* Time that n units take to come back. 128 bits: a window in ns times tokens passes 64. */
static uint64_t span(const struct sl_sim_meter *meter, uint64_t n) {
    unsigned __int128 ns = (unsigned __int128)n * meter->window / meter->limit;
    return ns > UINT64_MAX / 2 ? UINT64_MAX / 2 : (uint64_t)ns;
}

static void roll(struct sl_sim_meter *meter, uint64_t now) {
    uint64_t begun = now - now % meter->window;
    if (begun != meter->begun) {
        meter->begun = begun;
        meter->used = 0;
    }
}

bool sl_sim_meter_fits(struct sl_sim_meter *meter, uint64_t n, uint64_t now) {
    if (!meter->limit)
        return true;
    if (n > meter->limit)
        return false;
    if (meter->fixed) {
        roll(meter, now);
        return meter->used <= meter->limit - n;
    }
    uint64_t from = meter->full_at > now ? meter->full_at : now;
    return from + span(meter, n) <= now + meter->window;
}

void sl_sim_meter_take(struct sl_sim_meter *meter, uint64_t n, uint64_t now) {
    if (!meter->limit)
        return;
    if (meter->fixed) {
        roll(meter, now);
        meter->used += n;
    } else {
        meter->full_at = (meter->full_at > now ? meter->full_at : now) + span(meter, n);
    }
}

void sl_sim_meter_settle(struct sl_sim_meter *meter, uint64_t reserved, uint64_t actual,
                         uint64_t then, uint64_t now) {
    if (!meter->limit)
        return;
    if (actual >= reserved) {
        sl_sim_meter_take(meter, actual - reserved, now);
        return;
    }
    uint64_t back = reserved - actual;
    if (!meter->fixed) {
        uint64_t ns = span(meter, back);
        meter->full_at -= ns < meter->full_at ? ns : meter->full_at;
        return;
    }
    roll(meter, now);
    if (then - then % meter->window == meter->begun) /* a window that is over gets nothing back */
        meter->used -= back < meter->used ? back : meter->used;
}

const char *sl_sim_throttle_message(enum sl_sim_throttle kind) {
    static const char *const messages[SL_SIM_THROTTLES] = {
        [SL_SIM_ADMITTED] = "",
        [SL_SIM_THROTTLE_REQUESTS] = "Too many requests, please wait before trying again.",
        [SL_SIM_THROTTLE_TOKENS] = "Too many tokens, please wait before trying again.",
        [SL_SIM_THROTTLE_DAY] = "Too many tokens per day, please wait before trying again.",
    };
    return messages[kind];
}

struct account {
    struct sl_sim_meter requests, tokens, day;
};

struct sl_sim_quotas {
    const struct sl_sim_settings *settings;
    struct account accounts[]; /* model x channel */
};

static size_t account_count(void) {
    return sl_sim_model_count() * SL_SIM_CHANNELS;
}

struct sl_sim_quotas *sl_sim_quotas_new(const struct sl_sim_settings *settings) {
    struct sl_sim_quotas *quotas =
        sl_alloc(sizeof *quotas + account_count() * sizeof quotas->accounts[0]);
    if (!quotas)
        return NULL;
    quotas->settings = settings;
    sl_sim_quotas_reset(quotas);
    return quotas;
}

void sl_sim_quotas_free(struct sl_sim_quotas *quotas) {
    sl_free(quotas);
}

void sl_sim_quotas_reset(struct sl_sim_quotas *quotas) {
    const struct sl_sim_settings *s = quotas->settings;
    bool fixed = s->window == SL_SIM_WINDOW_FIXED;
    uint64_t window = s->window_ms ? s->window_ms * SL_NS_PER_MS : MINUTE;
    for (size_t i = 0; i < account_count(); i++) {
        sl_sim_meter_init(&quotas->accounts[i].requests, s->rpm, window, fixed);
        sl_sim_meter_init(&quotas->accounts[i].tokens, s->tpm, window, fixed);
        sl_sim_meter_init(&quotas->accounts[i].day, s->tpd, DAY, true);
    }
}

static struct account *account_of(struct sl_sim_quotas *quotas, struct sl_sim_target target) {
    return &quotas->accounts[sl_sim_model_index(target.model) * SL_SIM_CHANNELS + target.channel];
}

enum sl_sim_throttle sl_sim_quotas_reserve(struct sl_sim_quotas *quotas,
                                           struct sl_sim_target target, uint64_t tokens,
                                           uint64_t now, uint64_t wall,
                                           struct sl_sim_reservation *out) {
    struct account *a = account_of(quotas, target);
    if (!sl_sim_meter_fits(&a->requests, 1, now))
        return SL_SIM_THROTTLE_REQUESTS;
    if (!sl_sim_meter_fits(&a->day, tokens, wall))
        return SL_SIM_THROTTLE_DAY;
    if (!sl_sim_meter_fits(&a->tokens, tokens, now))
        return SL_SIM_THROTTLE_TOKENS;
    sl_sim_meter_take(&a->requests, 1, now);
    sl_sim_meter_take(&a->day, tokens, wall);
    sl_sim_meter_take(&a->tokens, tokens, now);
    *out = (struct sl_sim_reservation){target, tokens, now, wall, true};
    return SL_SIM_ADMITTED;
}

void sl_sim_quotas_settle(struct sl_sim_quotas *quotas, struct sl_sim_reservation *r,
                          uint64_t tokens, uint64_t now, uint64_t wall) {
    assert(r->open);
    r->open = false;
    struct account *a = account_of(quotas, r->target);
    sl_sim_meter_settle(&a->day, r->tokens, tokens, r->at_wall, wall);
    sl_sim_meter_settle(&a->tokens, r->tokens, tokens, r->at, now);
}
