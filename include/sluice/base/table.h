/*
 * An intrusive chained hash table keyed by the caller's 64-bit hash. It grows and shrinks by a
 * bucket or a few with each insertion and removal, so that no operation pauses. The caller compares
 * keys: iterate over the nodes of one hash.
 */
#ifndef SLUICE_BASE_TABLE_H
#define SLUICE_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

struct sl_table_node {
    struct sl_table_node *next;
    uint64_t hash;
};

struct sl_table {
    struct sl_table_node ***segments; /* each of SL_TABLE_SEGMENT buckets */
    size_t segments_cap;
    size_t size; /* buckets */
    size_t mask; /* mask + 1 is the largest power of two up to size */
    size_t count;
    size_t bytes; /* of the arrays, as the allocator counts them */
};

#define SL_TABLE_SEGMENT 256

/* SL_E_NOMEM. */
SL_NODISCARD int sl_table_init(struct sl_table *table);
void sl_table_done(struct sl_table *table); /* frees the buckets, not the nodes */
/* Cannot fail: where more buckets cannot be had, chains get longer. */
void sl_table_insert(struct sl_table *table, struct sl_table_node *node, uint64_t hash);
void sl_table_remove(struct sl_table *table, struct sl_table_node *node);
/* First node with this hash, then the next with the same hash; NULL at the end. */
struct sl_table_node *sl_table_find(const struct sl_table *table, uint64_t hash);
struct sl_table_node *sl_table_find_next(const struct sl_table_node *node);
/* A hash of bytes that an outsider cannot aim collisions at: keyed once per process. */
uint64_t sl_hash(struct sl_slice s);

#endif
