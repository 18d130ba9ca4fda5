#include "sched/breaker.h"

#include "sched/number.h"
#include "sluice/base/clock.h"

#define CALLS_MIN 10

void sl_breaker_init(struct sl_breaker *b, uint64_t guard_ns, uint64_t seed) {
    *b = (struct sl_breaker){0};
    sl_gate_init(&b->gate, guard_ns, seed);
}

static void roll(struct sl_breaker *b, uint64_t now) {
    uint64_t second = now / SL_NS_PER_S;
    if (second <= b->second)
        return;
    uint64_t stale = sl_min(second - b->second, SL_BREAKER_SECONDS);
    for (uint64_t i = 0; i < stale; i++)
        b->seconds[(second - i) % SL_BREAKER_SECONDS].ended =
            b->seconds[(second - i) % SL_BREAKER_SECONDS].failed = 0;
    b->second = second;
}

static void note(struct sl_breaker *b, bool failed, uint64_t now) {
    roll(b, now);
    b->seconds[b->second % SL_BREAKER_SECONDS].ended++;
    b->seconds[b->second % SL_BREAKER_SECONDS].failed += failed;
}

static bool too_many(const struct sl_breaker *b, uint32_t percent) {
    uint64_t ended = 0, failed = 0;
    for (int i = 0; i < SL_BREAKER_SECONDS; i++) {
        ended += b->seconds[i].ended;
        failed += b->seconds[i].failed;
    }
    return percent && ended >= CALLS_MIN && failed * 100 >= ended * percent;
}

void sl_breaker_succeeded(struct sl_breaker *b, uint64_t sent_at, uint64_t now) {
    note(b, false, now);
    sl_gate_accepted(&b->gate, sent_at);
}

void sl_breaker_failed(struct sl_breaker *b, uint64_t sent_at, uint32_t percent,
                       const struct sl_backoff *backoff, uint64_t now) {
    if (sl_gate_is_old(&b->gate, sent_at))
        return; /* it belongs to what the breaker opened for */
    note(b, true, now);
    bool probed = b->gate.probing && b->gate.probe_at == sent_at;
    if (!probed && !too_many(b, percent))
        return;
    sl_gate_refused(&b->gate, sent_at, backoff, now);
    for (int i = 0; i < SL_BREAKER_SECONDS; i++)
        b->seconds[i].ended = b->seconds[i].failed = 0;
}
