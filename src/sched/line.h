/*
 * A line, and what the parts of the queue know of each other.
 *
 * Lines that may have something to start are ready, the one that was served longest ago first. One
 * that was looked at in vain sleeps: until the time its first ticket can start, until a call on one
 * of its pools ends, a claim on one is given up, a tenant wakes, or something smaller comes than
 * what was found not to fit.
 */
#ifndef SLUICE_SCHED_LINE_H
#define SLUICE_SCHED_LINE_H

#include "sched/route.h"
#include "sched/share.h"

struct sl_line {
    struct sl_queue *queue;
    struct sl_list link;
    struct sl_ways *ways;
    struct sl_order orders[SL_CLASS_COUNT];
    uint64_t low;               /* the present round of the classes */
    struct sl_ticket *claimant; /* next in turn, but lacks tokens */
    struct sl_port *claimed;    /* for it; NULL: others have claimed all that it could use */
    struct sl_heap_node ready;  /* by `served`; SL_NEVER: sleeps. Always in the heap */
    struct sl_heap_node wake;   /* likewise */
    uint64_t served;            /* number of its last grant */
    uint64_t shut;              /* while it sleeps: from this many tokens on nothing fits */
    uint32_t waiting, running;
    size_t name_len;
    char name[];
};

struct sl_queue {
    struct sl_queue_settings settings;
    struct sl_list lines;
    struct sl_heap ready, wakes; /* of all lines */
    struct sl_table ports;
    struct sl_shares shares;
    struct sl_wheel due;
    struct sl_queue_counts counts;
    uint64_t grants;
    uint64_t now; /* as last seen: a step back is noticed */
    uint32_t generation;
};

/* The ticket to start now, still waiting, and the way for it; NULL: the line sleeps. */
struct sl_ticket *sl_line_pick(struct sl_line *line, struct sl_way **way, uint64_t now,
                               uint64_t wall);
/* Something has changed that may let it start something. */
void sl_line_wake(struct sl_line *line);
void sl_port_wake(struct sl_port *port);
/* A class is about to have something to serve again: it starts in the present. */
void sl_line_enter(struct sl_line *line, struct sl_order *order);
/* The present is the lowest round of the classes with something to serve. */
void sl_line_move_present(struct sl_line *line);
/* Forgets the line's claimant, if it has one; those who waited for it are woken. */
void sl_line_unclaim(struct sl_line *line);
/* The ticket no longer waits here: nothing waits for it either. */
void sl_line_forget(struct sl_line *line, const struct sl_ticket *ticket);

/* All that waits in this class and better ones. */
struct sl_ahead sl_line_ahead(const struct sl_line *line, enum sl_class priority);
/* The least that must start before another one of this tenant does. */
struct sl_ahead sl_line_least_ahead(const struct sl_line *line, const struct sl_demand *demand);
/* The wait behind that. */
uint64_t sl_line_wait(const struct sl_line *line, struct sl_ahead ahead, uint64_t tokens,
                      uint64_t now, uint64_t wall, enum sl_scarcity *kind);

#endif
