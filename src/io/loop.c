/*
 * The loop's rhythm on libuv's own: prepare and check handles frame the poll, and each runs a turn.
 *
 *   uv:   timers ─ idle ─ prepare ─ poll ─ check ─ closing
 *   here: fire            turn             turn
 *
 * The turn before the poll picks up what timers and closing callbacks left, so that nothing waits
 * for a poll that may last. It is skipped when a hook asked for another turn: then the poll does
 * not wait and its turn follows at once.
 *
 * One uv_timer serves all timers. It is armed for the earliest time asked for and moved only
 * towards the present: a timer that moves away (the common case, a timeout renewed by progress)
 * costs a heap update and, much later, one wake-up that finds nothing due.
 */
#include "sluice/io/loop.h"

#include <assert.h>

static void read_clocks(struct sl_loop *loop) {
    loop->now = sl_clock_monotonic();
    loop->wall_ms = sl_clock_wall_ms();
    loop->polled_ms = uv_now(loop->uv);
}

void sl_loop_tick(struct sl_loop *loop) {
    if (uv_now(loop->uv) != loop->polled_ms)
        read_clocks(loop);
}

static void run_turn(struct sl_loop *loop) {
    loop->turns++;
    for (loop->phase = 0; loop->phase < SL_TURN_PHASES; loop->phase++)
        SL_LIST_EACH(&loop->hooks[loop->phase], node, tmp) {
            struct sl_turn_hook *hook = SL_CONTAINER(node, struct sl_turn_hook, link);
            hook->run(hook->ctx);
        }
}

static void on_prepare(uv_prepare_t *prepare) {
    struct sl_loop *loop = prepare->data;
    if (uv_is_active((uv_handle_t *)&loop->idle))
        return;
    read_clocks(loop);
    run_turn(loop);
}

static void on_check(uv_check_t *check) {
    struct sl_loop *loop = check->data;
    uv_idle_stop(&loop->idle);
    read_clocks(loop);
    run_turn(loop);

    /* From mark to mark lies one round of timers, I/O callbacks and hooks; time spent waiting
     * is not CPU time, so one reading a round is enough. */
    uint64_t cpu = sl_clock_thread_cpu();
    if (loop->cpu_mark && cpu - loop->cpu_mark > loop->turn_cpu_max)
        loop->turn_cpu_max = cpu - loop->cpu_mark;
    loop->cpu_mark = cpu;
}

/* Its being active is all that counts: libuv then polls without waiting. */
static void on_idle(uv_idle_t *idle) {
    (void)idle;
}

static void on_timer(uv_timer_t *handle);

/*
 * libuv counts in milliseconds of the same clock. Rounding the absolute time up means that the
 * handle never fires before `at`, and that equal times share a wake-up.
 */
static void arm(struct sl_loop *loop, uint64_t at) {
    uint64_t at_ms = at / SL_NS_PER_MS + (at % SL_NS_PER_MS != 0);
    uint64_t now_ms = uv_now(loop->uv);
    loop->timer_armed_for = at;
    int rc = uv_timer_start(&loop->timer, on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
    assert(rc == 0); /* fails only for a closing handle */
    (void)rc;
}

static void on_timer(uv_timer_t *handle) {
    struct sl_loop *loop = handle->data;
    read_clocks(loop);
    loop->timer_armed_for = SL_NEVER;
    /* sl_timer_set never accepts a time that has come, so a timer that sets itself again is not
     * met twice. */
    uint64_t now = loop->now;
    struct sl_heap_node *node;
    while ((node = sl_heap_min(&loop->timers)) && node->key <= now) {
        struct sl_timer *timer = SL_CONTAINER(node, struct sl_timer, node);
        sl_heap_remove(&loop->timers, node);
        timer->fire(timer->ctx);
    }
    if (node && node->key < loop->timer_armed_for)
        arm(loop, node->key);
}

void sl_timer_init(struct sl_timer *timer, void (*fire)(void *ctx), void *ctx) {
    sl_heap_node_init(&timer->node);
    timer->fire = fire;
    timer->ctx = ctx;
}

int sl_timer_set(struct sl_loop *loop, struct sl_timer *timer, uint64_t at) {
    if (at <= loop->now)
        at = loop->now + 1;
    if (sl_heap_linked(&timer->node)) {
        sl_heap_update(&loop->timers, &timer->node, at);
    } else {
        int rc = sl_heap_push(&loop->timers, &timer->node, at);
        if (rc < 0)
            return rc;
    }
    if (at < loop->timer_armed_for)
        arm(loop, at);
    return SL_OK;
}

void sl_timer_clear(struct sl_loop *loop, struct sl_timer *timer) {
    if (sl_heap_linked(&timer->node))
        sl_heap_remove(&loop->timers, &timer->node);
    if (loop->timers.count == 0 && loop->timer_armed_for != SL_NEVER) {
        uv_timer_stop(&loop->timer); /* an idle loop may end */
        loop->timer_armed_for = SL_NEVER;
    }
}

int sl_loop_init(struct sl_loop *loop, uv_loop_t *uv) {
    *loop = (struct sl_loop){.uv = uv, .phase = SL_TURN_PHASES, .timer_armed_for = SL_NEVER};
    for (int phase = 0; phase < SL_TURN_PHASES; phase++)
        sl_list_init(&loop->hooks[phase]);
    sl_heap_init(&loop->timers);
    /* libuv's inits of these four cannot fail; the starts fail only without a callback. */
    uv_timer_init(uv, &loop->timer);
    uv_prepare_init(uv, &loop->prepare);
    uv_check_init(uv, &loop->check);
    uv_idle_init(uv, &loop->idle);
    loop->timer.data = loop->prepare.data = loop->check.data = loop->idle.data = loop;
    loop->open_handles = 4;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    /* The frame alone keeps no loop alive. */
    uv_unref((uv_handle_t *)&loop->prepare);
    uv_unref((uv_handle_t *)&loop->check);
    uv_update_time(uv);
    read_clocks(loop);
    return SL_OK;
}

static void on_handle_closed(uv_handle_t *handle) {
    struct sl_loop *loop = handle->data;
    loop->open_handles--;
}

void sl_loop_done(struct sl_loop *loop) {
    sl_heap_done(&loop->timers);
    loop->timer_armed_for = SL_NEVER;
    uv_close((uv_handle_t *)&loop->timer, on_handle_closed);
    uv_close((uv_handle_t *)&loop->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&loop->check, on_handle_closed);
    uv_close((uv_handle_t *)&loop->idle, on_handle_closed);
}

void sl_loop_hook(struct sl_loop *loop, enum sl_turn_phase phase, struct sl_turn_hook *hook,
                  void (*run)(void *ctx), void *ctx) {
    hook->run = run;
    hook->ctx = ctx;
    sl_list_push_back(&loop->hooks[phase], &hook->link);
}

void sl_loop_unhook(struct sl_turn_hook *hook) {
    sl_list_remove(&hook->link);
}

void sl_loop_again(struct sl_loop *loop) {
    uv_idle_start(&loop->idle, on_idle);
}
