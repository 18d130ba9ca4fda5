/*
 * The loop: one libuv loop, one thread, one "now" a turn. Callbacks of libuv, llhttp, nghttp2 and
 * libcurl only record and mark ready; what to do about it is decided in the turn hooks, which
 * run in a fixed order after each round of I/O (uv_check) and after timers (uv_prepare).
 *
 *   timers → [turn] → poll (I/O callbacks) → [turn] → closing callbacks
 *
 * A hook that leaves work for the next turn says so with sl_loop_again: the loop then polls
 * without waiting.
 */
#ifndef SLUICE_IO_LOOP_H
#define SLUICE_IO_LOOP_H

#include <uv.h>

#include "sluice/base/clock.h"
#include "sluice/base/heap.h"
#include "sluice/base/list.h"

/* Order in which hooks run within a turn. */
enum sl_turn_phase {
    SL_TURN_TRANSFERS, /* connections that were made; results of finished fetches are handed up */
    SL_TURN_FLOW,      /* exchanges and flights: policy */
    SL_TURN_WRITE,     /* connections flush what the turn produced, in one write each */
    SL_TURN_REAP,      /* what ended is freed */
    SL_TURN_PHASES
};

struct sl_turn_hook {
    struct sl_list link;
    void (*run)(void *ctx);
    void *ctx;
};

struct sl_loop {
    uv_loop_t *uv;
    uint64_t now; /* monotonic, ns; read once a turn and after each poll */
    int64_t wall_ms;
    uint64_t polled_ms; /* uv_now() when `now` was read: tells whether a poll came between */
    struct sl_list hooks[SL_TURN_PHASES];
    struct sl_heap timers;
    uv_timer_t timer;
    uint64_t timer_armed_for; /* what `timer` waits for; SL_NEVER: stopped */
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* active while a hook asked to run again */
    int phase;      /* of the turn that runs; SL_TURN_PHASES outside of one */
    int open_handles;
    uint64_t turns,
        turn_cpu_max; /* the longest turn so far, thread CPU ns: I/O callbacks and hooks */
    uint64_t cpu_mark;
};

/* Takes over uv (not owned). */
SL_NODISCARD int sl_loop_init(struct sl_loop *loop, uv_loop_t *uv);
/* Closes the loop's own handles; run the uv loop once more so that their callbacks fire. */
void sl_loop_done(struct sl_loop *loop);
void sl_loop_hook(struct sl_loop *loop, enum sl_turn_phase phase, struct sl_turn_hook *hook,
                  void (*run)(void *ctx), void *ctx);
void sl_loop_unhook(struct sl_turn_hook *hook);
/* Another turn at once, after a poll that does not wait. */
void sl_loop_again(struct sl_loop *loop);
/* Makes sure that `phase` runs before the loop waits: asks for another turn if this one has come
 * to it already. Nothing to do outside of turns, since one always follows. */
static inline void sl_loop_want(struct sl_loop *loop, enum sl_turn_phase phase) {
    if (loop->phase != SL_TURN_PHASES && loop->phase >= (int)phase)
        sl_loop_again(loop);
}
/*
 * Rereads `now` if the loop has waited since it was read. Callbacks that libuv makes from its poll
 * call this first: the turn that reads the clock comes after them.
 */
void sl_loop_tick(struct sl_loop *loop);

/*
 * Timers: embedded, O(log n), one uv_timer for all. A timer fires once, at or after
 * its time (1 ms granularity), outside of any hook; it may be set again in its callback.
 */
struct sl_timer {
    struct sl_heap_node node;
    void (*fire)(void *ctx);
    void *ctx;
};
void sl_timer_init(struct sl_timer *timer, void (*fire)(void *ctx), void *ctx);
/* Sets or moves it. SL_E_NOMEM only when it was not set before. `at`: loop->now based, ns. */
SL_NODISCARD int sl_timer_set(struct sl_loop *loop, struct sl_timer *timer, uint64_t at);
void sl_timer_clear(struct sl_loop *loop, struct sl_timer *timer);

#endif
