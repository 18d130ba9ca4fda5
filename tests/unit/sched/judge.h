/*
 * An upstream that judges a pool: quotas kept by the reference's rules, naively, in code that knows
 * nothing of the pool's. A bucket is its level, refilled and clipped at each look; a fixed window
 * is a count that starts anew at phase + k windows. Exact: one unit is `window` of level.
 */
#ifndef TEST_SCHED_JUDGE_H
#define TEST_SCHED_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

struct judge_meter {
    bool fixed;
    uint64_t limit, window, phase; /* limit 0: none */
    unsigned __int128 level;       /* bucket: what is left, units x window */
    uint64_t at;
    uint64_t round, used;      /* fixed */
    unsigned __int128 charged; /* ever, less what was given back in time: units x window */
};

static void judge_init(struct judge_meter *m, bool fixed, uint64_t limit, uint64_t window,
                       uint64_t phase) {
    *m = (struct judge_meter){.fixed = fixed, .limit = limit, .window = window, .phase = phase};
    m->level = (unsigned __int128)limit * window;
}

static uint64_t judge_round(const struct judge_meter *m, uint64_t now) {
    return (now + m->phase) / m->window;
}

static void judge_look(struct judge_meter *m, uint64_t now) {
    unsigned __int128 full = (unsigned __int128)m->limit * m->window;
    m->level += (unsigned __int128)m->limit * (now - m->at);
    if (m->level > full)
        m->level = full;
    m->at = now;
    if (judge_round(m, now) != m->round) {
        m->round = judge_round(m, now);
        m->used = 0;
    }
}

static bool judge_fits(struct judge_meter *m, uint64_t n, uint64_t now) {
    judge_look(m, now);
    if (!m->limit)
        return true;
    return m->fixed ? m->used + n <= m->limit : m->level >= (unsigned __int128)n * m->window;
}

static void judge_take(struct judge_meter *m, uint64_t n, uint64_t now) {
    judge_look(m, now);
    unsigned __int128 units = (unsigned __int128)n * m->window;
    m->used += n;
    m->level = m->level > units ? m->level - units : 0;
    m->charged += units;
}

static void judge_give(struct judge_meter *m, uint64_t n, uint64_t then, uint64_t now) {
    judge_look(m, now);
    unsigned __int128 units = (unsigned __int128)n * m->window;
    unsigned __int128 room = (unsigned __int128)m->limit * m->window - m->level;
    if (m->fixed) {
        if (judge_round(m, then) != m->round)
            return; /* that window is over */
        m->used -= n;
    } else {
        units = units < room ? units : room; /* what would overflow is lost: charged all the same */
        m->level += units;
    }
    m->charged -= units;
}

#endif
