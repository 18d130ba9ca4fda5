/*
 * A chain holds a body as a list of chunks: it grows without moving what is
 * there, is freed piece by piece, and counts every chunk against a budget from
 * the first byte to the free.
 *
 *   first ──▶ [####] ──▶ [####] ──▶ [##..]      offsets count from the chain's
 *             ^start     ^start+n               first byte ever, so that a reader's
 *                                               position stays valid when the front
 *                                               is dropped
 *
 * Chunks come from a pool shared by the process, so that 25 MB bodies neither
 * return to the kernel in one long call nor fragment the heap. They grow with what
 * the chain holds: at most about as much is taken again as is in use.
 */
#ifndef SLUICE_BASE_CHAIN_H
#define SLUICE_BASE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/base/budget.h"
#include "sluice/base/error.h"
#include "sluice/base/slice.h"

#define SL_CHUNK_SMALL 512   /* bytes the smallest chunk takes, its header included */
#define SL_CHUNK_LARGE 65536 /* bytes the largest one takes */

struct sl_chunk {
    struct sl_chunk *next;
    uint64_t start; /* offset of bytes[0] in the chain */
    size_t len, cap;
    char bytes[];
};

struct sl_chain {
    struct sl_chunk *first, *last;
    uint64_t begin, end; /* offsets of the first byte held and behind the last */
    struct sl_budget *budget;
    uint32_t shape; /* how often chunks in use were replaced or cut off */
};

/* Where a reader stands. `chunk` is a hint, good while it has not been dropped or replaced. */
struct sl_chain_cursor {
    uint64_t offset;
    struct sl_chunk *chunk;
    uint64_t chunk_start;
    uint32_t shape; /* of the chain, when the hint was taken */
};

void sl_chain_init(struct sl_chain *chain, struct sl_budget *budget);
void sl_chain_done(struct sl_chain *chain); /* drops everything; may be used again */
static inline uint64_t sl_chain_len(const struct sl_chain *chain) {
    return chain->end - chain->begin;
}
/* Appends a copy. All or nothing; SL_E_NOMEM when the budget or memory is out. */
SL_NODISCARD int sl_chain_add(struct sl_chain *chain, struct sl_slice s);
/* The most budget that n bytes take, in whatever pieces they are appended. */
size_t sl_chain_most(size_t n);
/* Up to max slices from the cursor on; returns their number, 0 at the end. Nothing moves. */
size_t sl_chain_peek(const struct sl_chain *chain, struct sl_chain_cursor *cursor,
                     struct sl_slice *out, size_t max);
/* Moves the cursor n bytes on; n must not pass the end. */
void sl_chain_advance(const struct sl_chain *chain, struct sl_chain_cursor *cursor, uint64_t n);
/* Frees whole chunks before offset. Cursors must stand at or behind it. */
void sl_chain_drop(struct sl_chain *chain, uint64_t offset);
/* Cuts the end off, so that `end` is offset, which must be between begin and end. */
void sl_chain_truncate(struct sl_chain *chain, uint64_t offset);
/*
 * The whole content as one slice: where it is one chunk, that chunk; else a copy in a single
 * chunk replaces the list (costs budget and time: for small documents). SL_E_LIMIT above max.
 */
SL_NODISCARD int sl_chain_flatten(struct sl_chain *chain, size_t max, struct sl_slice *out);

/* Gives pooled chunks back to the allocator, at most n of them: called once a turn. */
void sl_chunk_pool_trim(size_t n);
void sl_chunk_pool_done(void);

#endif
