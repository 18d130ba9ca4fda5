/*
 * Who goes when the cache is full: entries by use in up to three segments, and a policy for moving
 * between them. Decides; does not index, free or account for anything but sizes.
 *
 *               room left, or asked for more often than those that would go for it
 *   ──▶ window ────────────────────────────────▶ probation ──used again──▶ protected
 *         │ neither                              ▲  │                         │
 *         ▼                                      │  ▼ least lately used       │ beyond its share
 *        out                                     │ out                        │
 *                                                └────────────────────────────┘
 *
 * LRU is probation alone; segmented LRU (Karedla, Love, Wherry, 1994) has no window; TinyLFU has
 * all three (W-TinyLFU: Einziger, Friedman, Manes, 2017). A policy is a row of shares, so that
 * changing it is a matter of entries flowing to where their segment has room.
 *
 * Entries differ in size. One that leaves the window would push out as many as free its bytes, and
 * must have been asked for more often than these together ("aggregated victims": Einziger, Eytan,
 * Friedman, Manes, "Lightweight Robust Size Aware Cache Management", 2022): what counts is calls
 * answered, and a large answer does not answer more calls than a small one.
 */
#ifndef SLUICE_ANSWER_SEGMENTS_PRIVATE_H
#define SLUICE_ANSWER_SEGMENTS_PRIVATE_H

#include "answer/sketch.h"
#include "sluice/answer/cache.h"

/* In the order in which they are walked, and given up: the least valuable first. */
enum sl_segment { SL_PROBATION, SL_WINDOW, SL_PROTECTED, SL_SEGMENT_COUNT };

struct sl_segments {
    enum sl_cache_eviction policy;
    struct {
        struct sl_list list; /* least lately used first */
        uint64_t bytes;
    } at[SL_SEGMENT_COUNT];
    uint64_t bytes; /* of all entries */
    struct sl_kept *next_walked;
    uint32_t walk;
};

void sl_segments_init(struct sl_segments *s, enum sl_cache_eviction policy);
/* An entry that is new to the cache. */
void sl_segments_add(struct sl_segments *s, struct sl_kept *kept, uint64_t room);
/* To the lately used end of a segment; one that the policy does not have empties by itself. */
void sl_segments_add_to(struct sl_segments *s, struct sl_kept *kept, enum sl_segment segment);
void sl_segments_remove(struct sl_segments *s, struct sl_kept *kept);
/* It was used. */
void sl_segments_touch(struct sl_segments *s, struct sl_kept *kept);
/* Settles the segments into `room` bytes, some steps a call: the next entry that must go for that,
 * which the caller removes before it calls again, or NULL. */
struct sl_kept *sl_segments_excess(struct sl_segments *s, const struct sl_sketch *sketch,
                                   uint64_t room);
bool sl_segments_settled(const struct sl_segments *s, uint64_t room);
/* The next more valuable one; of NULL: the least valuable. */
struct sl_kept *sl_segments_behind(struct sl_segments *s, const struct sl_kept *kept);
/* A walk over all, from least to most valuable: see sl_cache_next. */
void sl_segments_walk(struct sl_segments *s);
struct sl_kept *sl_segments_walk_next(struct sl_segments *s);

#endif
