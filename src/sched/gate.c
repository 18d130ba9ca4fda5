#include "sched/gate.h"

#include "sched/number.h"

void sl_gate_init(struct sl_gate *g, uint64_t guard_ns, uint64_t seed) {
    *g = (struct sl_gate){.guard_ns = guard_ns, .random = seed};
}

static uint64_t patience_ends(const struct sl_gate *g) {
    uint64_t news = sl_max(g->news_ns, g->guard_ns);
    return sl_add_sat(g->probe_at, sl_add_sat(sl_add_sat(news, news), 1));
}

enum sl_gate_state sl_gate_state(const struct sl_gate *g, uint64_t now) {
    if (!g->shut)
        return SL_GATE_OPEN;
    if (g->probing)
        return now < patience_ends(g) ? SL_GATE_PROBING : SL_GATE_OPEN;
    return now < g->opens_at ? SL_GATE_CLOSED : SL_GATE_HALF;
}

uint64_t sl_gate_wait(const struct sl_gate *g, uint64_t now) {
    switch (sl_gate_state(g, now)) {
    case SL_GATE_CLOSED:
        return g->opens_at - now;
    case SL_GATE_PROBING:
        return patience_ends(g) - now;
    case SL_GATE_OPEN:
    case SL_GATE_HALF:
        break;
    }
    return 0;
}

static void open_gate(struct sl_gate *g) {
    g->shut = g->probing = false;
}

bool sl_gate_pass(struct sl_gate *g, uint64_t now) {
    enum sl_gate_state state = sl_gate_state(g, now);
    if (state == SL_GATE_OPEN)
        open_gate(g); /* the probe's patience may be what opened it */
    if (state != SL_GATE_HALF)
        return false;
    g->probing = true;
    g->probe_at = now;
    return true;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(struct sl_gate *g) {
    uint64_t z = g->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* At least 1 ns, so that what is sent after opening is later than the closing. */
static uint64_t backoff_ns(struct sl_gate *g, const struct sl_backoff *backoff) {
    uint64_t most = backoff->base_ns;
    for (uint32_t i = 0; i < g->tries && most < backoff->max_ns; i++)
        most = sl_add_sat(most, most);
    most = sl_max(sl_min(most, backoff->max_ns), 1);
    return sl_max(next_random(g) % most + 1, backoff->asked_ns);
}

bool sl_gate_is_old(const struct sl_gate *g, uint64_t sent_at) {
    return g->had_news && sent_at <= g->closed_at;
}

bool sl_gate_refused(struct sl_gate *g, uint64_t sent_at, const struct sl_backoff *backoff,
                     uint64_t now) {
    uint64_t took = sl_sub_sat(now, sent_at);
    g->news_ns = sl_max(took, g->news_ns - g->news_ns / 8);
    if (sl_gate_is_old(g, sent_at)) {
        if (g->shut && backoff->asked_ns)
            g->opens_at = sl_max(g->opens_at, sl_add_sat(now, backoff->asked_ns));
        return false;
    }
    g->had_news = true;
    g->shut = true;
    g->probing = false;
    g->closed_at = now;
    g->opens_at = sl_add_sat(now, backoff_ns(g, backoff));
    g->tries += g->tries < 64;
    return true;
}

void sl_gate_accepted(struct sl_gate *g, uint64_t sent_at) {
    if (sl_gate_is_old(g, sent_at))
        return;
    g->tries = 0;
    open_gate(g);
}

void sl_gate_probe_lost(struct sl_gate *g, uint64_t sent_at) {
    if (g->probing && g->probe_at == sent_at)
        g->probing = false;
}
