/*
 * Growth is incremental: a larger array is taken, and each insertion or removal moves a few
 * buckets of the old one into it. Until `old` is empty, a lookup looks where its hash now lives: in
 * `old` if that bucket has not been moved yet.
 */
#include "sluice/base/table.h"

#include <pthread.h>
#include <string.h>

#include "sluice/base/mem.h"
#include "sluice/base/rand.h"

#define FIRST_SIZE     64
#define MOVES_PER_STEP 4

int sl_table_init(struct sl_table *table) {
    *table = (struct sl_table){.mask = FIRST_SIZE - 1};
    table->buckets = sl_calloc(FIRST_SIZE, sizeof(table->buckets[0]));
    return table->buckets ? SL_OK : SL_E_NOMEM;
}

void sl_table_done(struct sl_table *table) {
    sl_free(table->buckets);
    sl_free(table->old);
    *table = (struct sl_table){0};
}

static struct sl_table_node **bucket_of(const struct sl_table *table, uint64_t hash) {
    if (table->old && (hash & table->old_mask) >= table->moved)
        return &table->old[hash & table->old_mask];
    return &table->buckets[hash & table->mask];
}

static void move_some(struct sl_table *table) {
    for (int i = 0; table->old && i < MOVES_PER_STEP; i++) {
        struct sl_table_node *node = table->old[table->moved++];
        while (node) {
            struct sl_table_node *next = node->next;
            struct sl_table_node **bucket = &table->buckets[node->hash & table->mask];
            node->next = *bucket;
            *bucket = node;
            node = next;
        }
        if (table->moved > table->old_mask) {
            sl_free(table->old);
            table->old = NULL;
        }
    }
}

static void grow(struct sl_table *table) {
    size_t size = (table->mask + 1) * 2;
    void *buckets = sl_calloc(size, sizeof(table->buckets[0]));
    if (!buckets)
        return;
    table->old = table->buckets;
    table->old_mask = table->mask;
    table->moved = 0;
    table->buckets = buckets;
    table->mask = size - 1;
}

void sl_table_insert(struct sl_table *table, struct sl_table_node *node, uint64_t hash) {
    if (!table->old && table->count > table->mask)
        grow(table);
    move_some(table);
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
    move_some(table);
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
