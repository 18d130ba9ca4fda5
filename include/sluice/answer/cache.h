/*
 * The cache: kept answers by digest, bounded in bytes (index, blocks and allocator overhead
 * included), evicted by use. O(1) per operation, no pause for rehashing. Time is passed in.
 *
 * Eviction is a choice: LRU; segmented LRU; or TinyLFU (a small window in front of a segmented LRU,
 * entry to which takes being asked for more often than what would have to go, by a count-min sketch
 * that ages), so that a scan of one-off prompts does not flush the repeated ones.
 */
#ifndef SLUICE_ANSWER_CACHE_H
#define SLUICE_ANSWER_CACHE_H

#include "sluice/answer/kept.h"

enum sl_cache_eviction { SL_EVICT_LRU, SL_EVICT_SLRU, SL_EVICT_TINYLFU };

struct sl_cache_settings {
    uint64_t max_bytes; /* 0: keeps nothing */
    uint64_t max_entry; /* bytes of one answer's block */
    enum sl_cache_eviction eviction;
};

struct sl_cache;

SL_NODISCARD struct sl_cache *sl_cache_new(const struct sl_cache_settings *settings);
void sl_cache_free(struct sl_cache *cache);
/* New limits; entries beyond them go, some with each call of sl_cache_tend. */
void sl_cache_configure(struct sl_cache *cache, const struct sl_cache_settings *settings);
/* The entry, counted as asked for; NULL when there is none or it has expired. Not a reference: hold
 * it to keep it. Counts as asked for even when absent (admission learns from misses). */
struct sl_kept *sl_cache_find(struct sl_cache *cache, const uint8_t digest[SL_DIGEST_SIZE],
                              uint64_t wall_ms);
/* Takes over the reference. False: not admitted (too large, not asked for often enough); released.
 * An older entry of that digest is replaced. */
bool sl_cache_put(struct sl_cache *cache, struct sl_kept *kept, uint64_t wall_ms);
/* The same, for what a snapshot brings: back to the segment it was in, without a contest. Those
 * that come later are worth more. */
bool sl_cache_restore(struct sl_cache *cache, struct sl_kept *kept, uint64_t wall_ms);
/* Bounded work at the end of a turn: evicts what is too much, expires a few. True: call again. */
bool sl_cache_tend(struct sl_cache *cache, uint64_t wall_ms);

/* Removes what matches: each criterion unless unset (NULL, empty, false; with all unset,
 * everything). Nothing that matched is found from now on; its memory comes back in steps, some at
 * once, whose number is returned, the rest with each call of sl_cache_tend. */
struct sl_cache_match {
    const uint8_t *digest;
    struct sl_slice model;
    bool by_tenant;
    uint64_t tenant;
};
size_t sl_cache_purge(struct sl_cache *cache, const struct sl_cache_match *match);

struct sl_cache_stats {
    uint64_t entries, max_bytes;
    uint64_t bytes; /* all that the cache holds, as the allocator counts it */
    uint64_t hits, misses, puts, refused, evicted, expired;
};
struct sl_cache_stats sl_cache_stats(const struct sl_cache *cache);
/* Entries from least to most valuable, for a snapshot: NULL starts; returns NULL at the end. The
 * returned one must be held by the caller if anything happens in between. The cache keeps the
 * place, so there is one walk at a time; one that starts ends the other. No entry comes twice. Of
 * those that come, go or lose rank meanwhile, some may be missed. */
struct sl_kept *sl_cache_next(struct sl_cache *cache, const struct sl_kept *after);
/* The same order, but no place is kept: for who looks at many in one go, while nothing else happens
 * to the cache. Leaves a walk alone. */
struct sl_kept *sl_cache_behind(struct sl_cache *cache, const struct sl_kept *kept);

#endif
