/*
 * Linear hashing (Litwin, "Linear Hashing: A New Tool for File and Table Addressing", 1980), in
 * memory as Larson has it ("Dynamic Hash Tables", 1988): growing by one splits the one bucket whose
 * turn it is into itself and a new last one, shrinking by one merges the last back. The buckets lie
 * in segments of equal size, so that nothing large is ever taken, cleared, moved or given back.
 *
 *   0          size - mask - 1        mask          size
 *   |== split ======|==== not yet ======|== new =====|      a hash lives in hash & (2 mask + 1)
 *                                                           where that exists, else in hash & mask
 */
#include "sluice/base/table.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "sluice/base/mem.h"
#include "sluice/base/rand.h"

/* At most one entry a bucket, and that many buckets an entry; the steps let it catch up. */
#define BUCKETS_PER_ENTRY  4 /* above it the table shrinks */
#define GROWS_PER_INSERT   2
#define SHRINKS_PER_REMOVE (2 * BUCKETS_PER_ENTRY)
#define FIRST_CAP          4

int sl_table_init(struct sl_table *table) {
    *table = (struct sl_table){
        .segments_cap = FIRST_CAP, .size = SL_TABLE_SEGMENT, .mask = SL_TABLE_SEGMENT - 1};
    table->segments = sl_calloc(FIRST_CAP, sizeof(table->segments[0]));
    if (table->segments)
        table->segments[0] = sl_calloc(SL_TABLE_SEGMENT, sizeof(table->segments[0][0]));
    if (!table->segments || !table->segments[0]) {
        sl_free(table->segments);
        *table = (struct sl_table){0};
        return SL_E_NOMEM;
    }
    table->bytes = sl_usable_size(table->segments) + sl_usable_size(table->segments[0]);
    return SL_OK;
}

void sl_table_done(struct sl_table *table) {
    for (size_t i = 0; i * SL_TABLE_SEGMENT < table->size; i++)
        sl_free(table->segments[i]);
    sl_free(table->segments);
    *table = (struct sl_table){0};
}

static struct sl_table_node **bucket_at(const struct sl_table *table, size_t i) {
    return &table->segments[i / SL_TABLE_SEGMENT][i % SL_TABLE_SEGMENT];
}

static struct sl_table_node **bucket_of(const struct sl_table *table, uint64_t hash) {
    size_t i = hash & (2 * table->mask + 1);
    return bucket_at(table, i < table->size ? i : i & table->mask);
}

/* Sees to it that the bucket behind the last exists. False: no memory. */
static bool add_bucket(struct sl_table *table) {
    size_t segment = table->size / SL_TABLE_SEGMENT;
    if (table->size % SL_TABLE_SEGMENT != 0)
        return true;
    if (segment == table->segments_cap) {
        size_t before = sl_usable_size(table->segments);
        void *more = sl_realloc(table->segments, 2 * segment * sizeof(table->segments[0]));
        if (!more)
            return false;
        table->segments = more;
        table->segments_cap = 2 * segment;
        table->bytes += sl_usable_size(more) - before;
    }
    table->segments[segment] = sl_calloc(SL_TABLE_SEGMENT, sizeof(table->segments[0][0]));
    if (!table->segments[segment])
        return false;
    table->bytes += sl_usable_size(table->segments[segment]);
    return true;
}

static bool grow(struct sl_table *table) {
    if (!add_bucket(table))
        return false;
    struct sl_table_node **from = bucket_at(table, table->size - table->mask - 1);
    struct sl_table_node **to = bucket_at(table, table->size);
    uint64_t bit = table->mask + 1;
    for (struct sl_table_node *node; (node = *from) != NULL;) {
        if ((node->hash & bit) == 0) {
            from = &node->next;
            continue;
        }
        *from = node->next;
        node->next = *to;
        *to = node;
    }
    table->size++;
    if (table->size == 2 * (table->mask + 1))
        table->mask = table->size - 1;
    return true;
}

static void shrink(struct sl_table *table) {
    if (table->size == table->mask + 1)
        table->mask /= 2;
    size_t last = table->size - 1;
    struct sl_table_node **from = bucket_at(table, last),
                         **to = bucket_at(table, last & table->mask);
    while (*to)
        to = &(*to)->next;
    *to = *from;
    *from = NULL;
    table->size = last;
    if (last % SL_TABLE_SEGMENT == 0) {
        table->bytes -= sl_usable_size(table->segments[last / SL_TABLE_SEGMENT]);
        sl_free(table->segments[last / SL_TABLE_SEGMENT]);
    }
}

void sl_table_insert(struct sl_table *table, struct sl_table_node *node, uint64_t hash) {
    for (int i = 0; i < GROWS_PER_INSERT && table->count >= table->size; i++)
        if (!grow(table))
            break;
    struct sl_table_node **bucket = bucket_of(table, hash);
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    table->count++;
}

void sl_table_remove(struct sl_table *table, struct sl_table_node *node) {
    struct sl_table_node **at = bucket_of(table, node->hash);
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    node->next = NULL;
    table->count--;
    for (int i = 0; i < SHRINKS_PER_REMOVE && table->size > SL_TABLE_SEGMENT &&
                    table->size / BUCKETS_PER_ENTRY > table->count;
         i++)
        shrink(table);
}

static struct sl_table_node *first_with(struct sl_table_node *node, uint64_t hash) {
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

struct sl_table_node *sl_table_find(const struct sl_table *table, uint64_t hash) {
    return first_with(*bucket_of(table, hash), hash);
}

struct sl_table_node *sl_table_find_next(const struct sl_table_node *node) {
    return first_with(node->next, node->hash);
}

/*
 * SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"): keyed, so that clients
 * cannot choose ids that collide.
 */
static uint64_t sip_key[2];

static void make_sip_key(void) {
    sl_rand_bytes(sip_key, sizeof(sip_key));
}

static uint64_t rotate(uint64_t x, int by) {
    return (x << by) | (x >> (64 - by));
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
}

uint64_t sl_hash(struct sl_slice s) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_sip_key);
    uint64_t v[4] = {
        sip_key[0] ^ UINT64_C(0x736f6d6570736575), sip_key[1] ^ UINT64_C(0x646f72616e646f6d),
        sip_key[0] ^ UINT64_C(0x6c7967656e657261), sip_key[1] ^ UINT64_C(0x7465646279746573)};
    uint64_t word, last = (uint64_t)s.len << 56;
    size_t i = 0;
    for (; i + 8 <= s.len; i += 8) {
        memcpy(&word, s.ptr + i, 8);
        sip_word(v, word);
    }
    for (int shift = 0; i < s.len; i++, shift += 8)
        last |= (uint64_t)(unsigned char)s.ptr[i] << shift;
    sip_word(v, last);
    v[2] ^= 0xff;
    for (int round = 0; round < 3; round++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
