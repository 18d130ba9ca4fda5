/* Segments and the policies over them. */
#include "answer/segments.h"

#include <assert.h>

/* Moves between segments in one call, and victims weighed against one newcomer. */
#define MOVES_MAX   64
#define VICTIMS_MAX 256

/* Shares in percent: the window of all, protected of what is not the window. Measured, see
 * bench/README.md: less protected costs hits wherever use is uneven, more keeps what is over; a
 * larger window costs hits there and gains where prompts come back soon. */
static const struct {
    unsigned window, protected;
    bool contest;
} policies[] = {
    [SL_EVICT_LRU] = {0, 0, false},
    [SL_EVICT_SLRU] = {0, 80, false},
    [SL_EVICT_TINYLFU] = {5, 80, true},
};

static uint64_t window_max(const struct sl_segments *s, uint64_t room) {
    return room / 100 * policies[s->policy].window;
}

static uint64_t protected_max(const struct sl_segments *s, uint64_t room) {
    return (room - window_max(s, room)) / 100 * policies[s->policy].protected;
}

void sl_segments_init(struct sl_segments *s, enum sl_cache_eviction policy) {
    *s = (struct sl_segments){.policy = policy};
    for (int i = 0; i < SL_SEGMENT_COUNT; i++)
        sl_list_init(&s->at[i].list);
}

static struct sl_kept *first_of(struct sl_segments *s, enum sl_segment segment) {
    struct sl_list *first = sl_list_first(&s->at[segment].list);
    return first ? SL_CONTAINER(first, struct sl_kept, link) : NULL;
}

/* The one behind it, in its segment or the next that has any. */
static struct sl_kept *behind(struct sl_segments *s, const struct sl_kept *kept) {
    enum sl_segment segment = kept->segment;
    if (kept->link.next != &s->at[segment].list)
        return SL_CONTAINER(kept->link.next, struct sl_kept, link);
    struct sl_kept *next = NULL;
    while (!next && ++segment < SL_SEGMENT_COUNT)
        next = first_of(s, segment);
    return next;
}

void sl_segments_add_to(struct sl_segments *s, struct sl_kept *kept, enum sl_segment segment) {
    kept->segment = (uint8_t)segment;
    kept->walk = s->walk;
    sl_list_push_back(&s->at[segment].list, &kept->link);
    s->at[segment].bytes += kept->size;
    s->bytes += kept->size;
}

void sl_segments_add(struct sl_segments *s, struct sl_kept *kept, uint64_t room) {
    if (policies[s->policy].window == 0) {
        sl_segments_add_to(s, kept, SL_PROBATION);
        return;
    }
    sl_segments_add_to(s, kept, SL_WINDOW);
    if (kept->size > window_max(s, room)) {
        /* It cannot stay; the others in the window need not go for it. */
        sl_list_remove(&kept->link);
        sl_list_push_front(&s->at[SL_WINDOW].list, &kept->link);
    }
}

void sl_segments_remove(struct sl_segments *s, struct sl_kept *kept) {
    if (s->next_walked == kept)
        s->next_walked = behind(s, kept);
    sl_list_remove(&kept->link);
    s->at[kept->segment].bytes -= kept->size;
    s->bytes -= kept->size;
}

static void move(struct sl_segments *s, struct sl_kept *kept, enum sl_segment to) {
    if (kept->segment == to && kept->link.next == &s->at[to].list)
        return;
    uint32_t walk = kept->walk;
    bool was_next = s->next_walked == kept;
    sl_segments_remove(s, kept);
    sl_segments_add_to(s, kept, to);
    kept->walk = walk;
    if (was_next && !s->next_walked)
        s->next_walked = kept;
}

void sl_segments_touch(struct sl_segments *s, struct sl_kept *kept) {
    bool promoted = kept->segment == SL_PROBATION && policies[s->policy].protected > 0;
    move(s, kept, promoted ? SL_PROTECTED : (enum sl_segment)kept->segment);
}

/* Who goes first, if one must. */
static struct sl_kept *least_valuable(struct sl_segments *s) {
    struct sl_kept *kept = NULL;
    for (int i = 0; !kept && i < SL_SEGMENT_COUNT; i++)
        kept = first_of(s, (enum sl_segment)i);
    return kept;
}

/* Whether a candidate at the window's end was asked for more often than those together that have to
 * go for it. */
static bool wins(struct sl_segments *s, const struct sl_sketch *sketch,
                 const struct sl_kept *candidate, uint64_t room) {
    unsigned worth = sl_sketch_estimate(sketch, candidate->node.hash), against = 0;
    uint64_t need = s->bytes - room, freed = 0;
    struct sl_kept *victim = least_valuable(s);
    for (int i = 0; i < VICTIMS_MAX && victim && freed < need; i++) {
        if (victim->segment != SL_WINDOW) {
            against += sl_sketch_estimate(sketch, victim->node.hash);
            freed += victim->size;
        }
        if (against >= worth)
            return false;
        victim = behind(s, victim);
    }
    return freed >= need;
}

struct sl_kept *sl_segments_excess(struct sl_segments *s, const struct sl_sketch *sketch,
                                   uint64_t room) {
    for (int moves = 0; moves < MOVES_MAX; moves++) {
        if (s->at[SL_PROTECTED].bytes > protected_max(s, room)) {
            move(s, first_of(s, SL_PROTECTED), SL_PROBATION);
        } else if (s->at[SL_WINDOW].bytes > window_max(s, room)) {
            struct sl_kept *candidate = first_of(s, SL_WINDOW);
            if (policies[s->policy].contest && s->bytes > room && !wins(s, sketch, candidate, room))
                return candidate;
            move(s, candidate, SL_PROBATION);
        } else {
            break;
        }
    }
    return s->bytes > room ? least_valuable(s) : NULL;
}

bool sl_segments_settled(const struct sl_segments *s, uint64_t room) {
    return s->bytes <= room && s->at[SL_PROTECTED].bytes <= protected_max(s, room) &&
           s->at[SL_WINDOW].bytes <= window_max(s, room);
}

struct sl_kept *sl_segments_behind(struct sl_segments *s, const struct sl_kept *kept) {
    return kept ? behind(s, kept) : least_valuable(s);
}

void sl_segments_walk(struct sl_segments *s) {
    s->walk++;
    s->next_walked = least_valuable(s);
}

struct sl_kept *sl_segments_walk_next(struct sl_segments *s) {
    struct sl_kept *kept = s->next_walked;
    while (kept && kept->walk == s->walk)
        kept = behind(s, kept); /* seen, then used: it moved ahead of the walk */
    if (kept) {
        kept->walk = s->walk;
        s->next_walked = behind(s, kept);
    } else {
        s->next_walked = NULL;
    }
    return kept;
}
