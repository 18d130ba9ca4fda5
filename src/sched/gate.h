/*
 * A gate before upstream: closed by bad news, opened by one probe.
 *
 *   OPEN ──bad news──▶ CLOSED ──backoff over──▶ HALF ──a call passes──▶ PROBING
 *    ▲                   ▲                                                │ │
 *    │                   └───────────────── bad news ─────────────────────┘ │
 *    └──────────────── success, or no bad news for the patience ────────────┘
 *
 * The backoff has full jitter: rand(0, base x 2^n), n the refusals since the last success, and is
 * never less than upstream asked for. Patience is twice as long as bad news took lately: a refusal
 * comes at once, a model's answer after a minute, and the quota must not lie idle for it.
 *
 * What was sent before the gate closed is old: its success does not open the gate, its failure is
 * the same event.
 */
#ifndef SCHED_GATE_H
#define SCHED_GATE_H

#include <stdbool.h>
#include <stdint.h>

enum sl_gate_state { SL_GATE_OPEN, SL_GATE_CLOSED, SL_GATE_HALF, SL_GATE_PROBING };

struct sl_gate {
    bool shut;    /* not OPEN */
    bool probing; /* a probe is under way since: */
    bool had_news;
    uint64_t probe_at;
    uint64_t closed_at, opens_at;
    uint32_t tries;   /* refusals since the last success */
    uint64_t news_ns; /* how long bad news took: the longest, forgotten slowly */
    uint64_t guard_ns;
    uint64_t random;
};

struct sl_backoff {
    uint64_t base_ns, max_ns;
    uint64_t asked_ns; /* by upstream, 0: nothing */
};

void sl_gate_init(struct sl_gate *g, uint64_t guard_ns, uint64_t seed);
enum sl_gate_state sl_gate_state(const struct sl_gate *g, uint64_t now);
/* ns until a call may pass; 0: now. */
uint64_t sl_gate_wait(const struct sl_gate *g, uint64_t now);
/* A call passes. True: it is the probe. */
bool sl_gate_pass(struct sl_gate *g, uint64_t now);
/* Sent before the last bad news. */
bool sl_gate_is_old(const struct sl_gate *g, uint64_t sent_at);
/* Bad news of a call. True when it closed the gate, false when it is old. */
bool sl_gate_refused(struct sl_gate *g, uint64_t sent_at, const struct sl_backoff *backoff,
                     uint64_t now);
void sl_gate_accepted(struct sl_gate *g, uint64_t sent_at);
/* The probe ended and tells nothing: another may pass. */
void sl_gate_probe_lost(struct sl_gate *g, uint64_t sent_at);

#endif
