/*
 * The cache proper: the index, the account of bytes, expiry and purges. Who goes when it is full is
 * for segments.c to say.
 *
 * Every entry is in the table (by digest), in a segment (by use) and in `ages` (by arrival, never
 * reordered). What has to look at all entries goes along `ages`, a few a turn: expiry round and
 * round, purges once from the oldest to the last that had arrived when the purge was asked for.
 * Removal moves both places on, so that they always stand on an entry, or on the list's head.
 */
#include "sluice/answer/cache.h"

#include <assert.h>

#include "answer/segments.h"
#include "answer/sketch.h"
#include "sluice/base/mem.h"

/* Bounds of the work in one call. */
#define EVICTIONS_PER_CALL 64
#define PURGE_LOOKS_FIRST  1024 /* at once, with the purge itself */
#define PURGE_LOOKS        256
#define EXPIRY_LOOKS       8
#define PURGES_MAX         8 /* under way; one more finishes the oldest at once */

/* One block of the sketch (64 bytes) for so many bytes of answers: sixteen counters an answer of
 * 4 KiB, for a fifth of a percent of the memory. */
#define BYTES_PER_SKETCH_BLOCK 32768
/* Touches for each entry, until counts are halved. */
#define TOUCHES_PER_ENTRY 10

struct purge {
    uint64_t upto; /* entries that arrived later are not meant */
    bool by_model, by_tenant;
    uint64_t model; /* its hash: no string to own; and keyed hashes of 64 bits do not collide */
    uint64_t tenant;
};

struct sl_cache {
    struct sl_cache_settings settings;
    struct sl_table table;
    struct sl_segments segments;
    struct sl_sketch sketch;
    struct sl_list ages;
    uint64_t serial;
    struct sl_list *expiry_at, *purge_at; /* the next to look at, of `ages` or its head */
    struct purge purges[PURGES_MAX];
    size_t purge_count;
    uint64_t hits, misses, puts, refused, evicted, expired;
};

/* Keyed: nobody can choose prompts that share a bucket. The digest is as good with half its bytes.
 */
static uint64_t hash_of(const uint8_t *digest) {
    return sl_hash(sl_slice_of(digest, SL_DIGEST_SIZE / 2));
}

static uint64_t overhead(const struct sl_cache *cache) {
    return sl_usable_size(cache) + cache->table.bytes + sl_sketch_bytes(&cache->sketch);
}

/* What blocks may take now. */
static uint64_t room(const struct sl_cache *cache) {
    uint64_t used = overhead(cache);
    return cache->settings.max_bytes > used ? cache->settings.max_bytes - used : 0;
}

/* Of the size that the settings call for. Without memory the old one stays: of any size it works.
 */
static int size_sketch(struct sl_cache *cache) {
    struct sl_sketch sketch = {0};
    if (cache->settings.eviction == SL_EVICT_TINYLFU && cache->settings.max_bytes > 0) {
        uint64_t blocks = cache->settings.max_bytes / BYTES_PER_SKETCH_BLOCK + 1;
        int err = sl_sketch_init(&sketch, (size_t)blocks);
        if (err)
            return err;
    }
    if (sketch.count == cache->sketch.count) {
        sl_sketch_done(&sketch);
        return SL_OK;
    }
    sl_sketch_done(&cache->sketch);
    cache->sketch = sketch;
    return SL_OK;
}

struct sl_cache *sl_cache_new(const struct sl_cache_settings *settings) {
    struct sl_cache *cache = sl_calloc(1, sizeof(*cache));
    if (!cache)
        return NULL;
    cache->settings = *settings;
    sl_segments_init(&cache->segments, settings->eviction);
    sl_list_init(&cache->ages);
    cache->expiry_at = cache->purge_at = &cache->ages;
    if (size_sketch(cache) != SL_OK || sl_table_init(&cache->table) != SL_OK) {
        sl_sketch_done(&cache->sketch);
        sl_free(cache);
        return NULL;
    }
    return cache;
}

static struct sl_kept *of_age(struct sl_list *age) {
    return SL_CONTAINER(age, struct sl_kept, age);
}

static void remove_entry(struct sl_cache *cache, struct sl_kept *kept) {
    if (cache->expiry_at == &kept->age)
        cache->expiry_at = kept->age.next;
    if (cache->purge_at == &kept->age)
        cache->purge_at = kept->age.next;
    sl_list_remove(&kept->age);
    sl_segments_remove(&cache->segments, kept);
    sl_table_remove(&cache->table, &kept->node);
    kept->indexed = false;
    sl_kept_release(kept);
}

void sl_cache_free(struct sl_cache *cache) {
    if (!cache)
        return;
    while (!sl_list_empty(&cache->ages))
        remove_entry(cache, of_age(cache->ages.next));
    sl_table_done(&cache->table);
    sl_sketch_done(&cache->sketch);
    sl_free(cache);
}

void sl_cache_configure(struct sl_cache *cache, const struct sl_cache_settings *settings) {
    cache->settings = *settings;
    cache->segments.policy = settings->eviction;
    (void)size_sketch(cache);
}

/* Purged, and not removed yet. */
static bool is_purged(const struct sl_cache *cache, const struct sl_kept *kept) {
    for (size_t i = 0; i < cache->purge_count; i++) {
        const struct purge *p = &cache->purges[i];
        if (kept->serial <= p->upto && (!p->by_tenant || kept->meta.tenant == p->tenant) &&
            (!p->by_model || sl_hash(kept->meta.model) == p->model))
            return true;
    }
    return false;
}

static struct sl_kept *lookup(const struct sl_cache *cache, const uint8_t *digest, uint64_t hash) {
    struct sl_table_node *node = sl_table_find(&cache->table, hash);
    for (; node; node = sl_table_find_next(node)) {
        struct sl_kept *kept = SL_CONTAINER(node, struct sl_kept, node);
        if (memcmp(kept->meta.digest, digest, SL_DIGEST_SIZE) == 0)
            return kept;
    }
    return NULL;
}

/* Removes an entry that may not be served any more. */
static bool is_stale(struct sl_cache *cache, struct sl_kept *kept, uint64_t wall_ms) {
    bool expired = kept->meta.expires_at <= wall_ms;
    if (!expired && !is_purged(cache, kept))
        return false;
    cache->expired += expired;
    remove_entry(cache, kept);
    return true;
}

struct sl_kept *sl_cache_find(struct sl_cache *cache, const uint8_t digest[SL_DIGEST_SIZE],
                              uint64_t wall_ms) {
    uint64_t hash = hash_of(digest);
    sl_sketch_touch(&cache->sketch, hash, cache->table.count * TOUCHES_PER_ENTRY);
    struct sl_kept *kept = lookup(cache, digest, hash);
    if (!kept || is_stale(cache, kept, wall_ms)) {
        cache->misses++;
        return NULL;
    }
    cache->hits++;
    kept->hits++;
    sl_segments_touch(&cache->segments, kept);
    return kept;
}

/* Evicts what has to go, some a call. */
static void settle(struct sl_cache *cache) {
    for (int i = 0; i < EVICTIONS_PER_CALL; i++) {
        struct sl_kept *kept = sl_segments_excess(&cache->segments, &cache->sketch, room(cache));
        if (!kept)
            return;
        cache->evicted++;
        remove_entry(cache, kept);
    }
}

/* Into a segment; SL_SEGMENT_COUNT: as one that is new. */
static bool insert(struct sl_cache *cache, struct sl_kept *kept, uint64_t wall_ms,
                   enum sl_segment segment) {
    assert(!kept->indexed);
    if (kept->size > cache->settings.max_entry || kept->size > room(cache) ||
        kept->meta.expires_at <= wall_ms) {
        cache->refused++;
        sl_kept_release(kept);
        return false;
    }
    uint64_t hash = hash_of(kept->meta.digest);
    struct sl_kept *old = lookup(cache, kept->meta.digest, hash);
    if (old) {
        segment = old->segment;
        remove_entry(cache, old);
    }
    sl_table_insert(&cache->table, &kept->node, hash);
    if (segment == SL_SEGMENT_COUNT)
        sl_segments_add(&cache->segments, kept, room(cache));
    else
        sl_segments_add_to(&cache->segments, kept, segment);
    sl_list_push_back(&cache->ages, &kept->age);
    kept->serial = ++cache->serial;
    kept->indexed = true;
    sl_kept_hold(kept);
    settle(cache);
    bool stays = kept->indexed;
    sl_kept_release(kept);
    if (stays) {
        cache->puts++;
    } else {
        cache->evicted--;
        cache->refused++;
    }
    return stays;
}

bool sl_cache_put(struct sl_cache *cache, struct sl_kept *kept, uint64_t wall_ms) {
    return insert(cache, kept, wall_ms, SL_SEGMENT_COUNT);
}

bool sl_cache_restore(struct sl_cache *cache, struct sl_kept *kept, uint64_t wall_ms) {
    enum sl_segment segment = kept->segment;
    return insert(cache, kept, wall_ms, segment < SL_SEGMENT_COUNT ? segment : SL_PROBATION);
}

/* Goes on with the oldest purge: looks at so many entries, removes those that any purge means. */
static size_t purge_some(struct sl_cache *cache, size_t looks) {
    size_t removed = 0;
    while (cache->purge_count > 0 && looks > 0) {
        struct sl_kept *kept = of_age(cache->purge_at);
        if (cache->purge_at == &cache->ages || kept->serial > cache->purges[0].upto) {
            cache->purge_count--;
            memmove(cache->purges, cache->purges + 1,
                    cache->purge_count * sizeof(cache->purges[0]));
            cache->purge_at = cache->ages.next;
            continue;
        }
        looks--;
        cache->purge_at = kept->age.next;
        if (is_purged(cache, kept)) {
            remove_entry(cache, kept);
            removed++;
        }
    }
    return removed;
}

size_t sl_cache_purge(struct sl_cache *cache, const struct sl_cache_match *match) {
    struct purge purge = {
        .upto = cache->serial,
        .by_model = match->model.len > 0,
        .by_tenant = match->by_tenant,
        .model = sl_hash(match->model),
        .tenant = match->tenant,
    };
    size_t removed = 0;
    if (match->digest) {
        struct sl_kept *kept = lookup(cache, match->digest, hash_of(match->digest));
        if (!kept || (purge.by_tenant && kept->meta.tenant != purge.tenant) ||
            (purge.by_model && !sl_slice_eq(kept->meta.model, match->model)))
            return 0;
        remove_entry(cache, kept);
        return 1;
    }
    for (size_t full = cache->purge_count; full == PURGES_MAX; full = cache->purge_count)
        removed += purge_some(cache, PURGE_LOOKS);
    if (cache->purge_count == 0)
        cache->purge_at = cache->ages.next;
    cache->purges[cache->purge_count++] = purge;
    return removed + purge_some(cache, PURGE_LOOKS_FIRST);
}

/* Entries mostly live equally long, so that the oldest expire first; a round over all finds those
 * that were given less. */
static void expire_some(struct sl_cache *cache, uint64_t wall_ms) {
    for (int i = 0; i < EXPIRY_LOOKS && !sl_list_empty(&cache->ages); i++)
        if (!is_stale(cache, of_age(cache->ages.next), wall_ms))
            break;
    for (int i = 0; i < EXPIRY_LOOKS && !sl_list_empty(&cache->ages); i++) {
        if (cache->expiry_at == &cache->ages)
            cache->expiry_at = cache->ages.next;
        struct sl_kept *kept = of_age(cache->expiry_at);
        cache->expiry_at = kept->age.next;
        (void)is_stale(cache, kept, wall_ms);
    }
}

bool sl_cache_tend(struct sl_cache *cache, uint64_t wall_ms) {
    settle(cache);
    purge_some(cache, PURGE_LOOKS);
    expire_some(cache, wall_ms);
    return cache->purge_count > 0 ||
           (!sl_list_empty(&cache->ages) && !sl_segments_settled(&cache->segments, room(cache)));
}

struct sl_cache_stats sl_cache_stats(const struct sl_cache *cache) {
    return (struct sl_cache_stats){
        .entries = cache->table.count,
        .bytes = cache->segments.bytes + overhead(cache),
        .max_bytes = cache->settings.max_bytes,
        .hits = cache->hits,
        .misses = cache->misses,
        .puts = cache->puts,
        .refused = cache->refused,
        .evicted = cache->evicted,
        .expired = cache->expired,
    };
}

struct sl_kept *sl_cache_next(struct sl_cache *cache, const struct sl_kept *after) {
    if (!after)
        sl_segments_walk(&cache->segments);
    struct sl_kept *kept;
    do
        kept = sl_segments_walk_next(&cache->segments);
    while (kept && is_purged(cache, kept));
    return kept;
}

struct sl_kept *sl_cache_behind(struct sl_cache *cache, const struct sl_kept *kept) {
    struct sl_kept *next = sl_segments_behind(&cache->segments, kept);
    while (next && is_purged(cache, next))
        next = sl_segments_behind(&cache->segments, next);
    return next;
}
