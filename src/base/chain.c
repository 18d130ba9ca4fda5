/*
 * Chains of chunks. A chunk's whole size is charged when it is taken, so that the budget bounds
 * what is really held, not what is used of it. Freed chunks wait in a pool by size: giving 25 MB
 * back to the kernel in one go would hold the loop.
 */
#include "sluice/base/chain.h"

#include <assert.h>
#include <string.h>

#include "sluice/base/mem.h"

struct pool {
    struct sl_chunk *free;
    size_t count, size, keep;
};
/* One thread owns all chains. Of each size a few chunks stay pooled, so that steady traffic does
 * not allocate. */
static struct pool pools[] = {
    {.size = SL_CHUNK_SMALL, .keep = 512},
    {.size = 4096, .keep = 256},
    {.size = 16384, .keep = 64},
    {.size = SL_CHUNK_LARGE, .keep = 16},
};

#define POOLS (sizeof(pools) / sizeof(pools[0]))

static size_t total_size(const struct sl_chunk *chunk) {
    return chunk->cap + sizeof(*chunk);
}

static struct pool *pool_for(size_t size) {
    for (size_t i = 0; i < POOLS; i++)
        if (pools[i].size == size)
            return &pools[i];
    return NULL;
}

static struct sl_chunk *take_chunk(size_t size) {
    struct pool *pool = pool_for(size);
    struct sl_chunk *chunk = pool ? pool->free : NULL;
    if (chunk) {
        pool->free = chunk->next;
        pool->count--;
    } else {
        chunk = sl_alloc(size);
        if (!chunk)
            return NULL;
    }
    *chunk = (struct sl_chunk){.cap = size - sizeof(*chunk)};
    return chunk;
}

static void give_chunk(struct sl_chunk *chunk) {
    struct pool *pool = pool_for(total_size(chunk));
    if (!pool) {
        sl_free(chunk);
        return;
    }
    chunk->next = pool->free;
    pool->free = chunk;
    pool->count++;
}

static void free_one(struct pool *pool) {
    struct sl_chunk *chunk = pool->free;
    pool->free = chunk->next;
    pool->count--;
    sl_free(chunk);
}

void sl_chunk_pool_trim(size_t n) {
    for (size_t i = 0; i < POOLS; i++)
        for (; n > 0 && pools[i].count > pools[i].keep; n--)
            free_one(&pools[i]);
}

void sl_chunk_pool_done(void) {
    for (size_t i = 0; i < POOLS; i++)
        while (pools[i].free)
            free_one(&pools[i]);
}

void sl_chain_init(struct sl_chain *chain, struct sl_budget *budget) {
    *chain = (struct sl_chain){.budget = budget};
}

static void drop_first(struct sl_chain *chain) {
    struct sl_chunk *chunk = chain->first;
    chain->first = chunk->next;
    if (!chain->first)
        chain->last = NULL;
    chain->begin = chunk->start + chunk->len;
    sl_budget_give(chain->budget, total_size(chunk));
    give_chunk(chunk);
}

void sl_chain_done(struct sl_chain *chain) {
    while (chain->first)
        drop_first(chain);
    sl_chain_init(chain, chain->budget);
}

/* The size of the next chunk: room for n bytes, and for as many as the chain already holds. */
static size_t next_size(const struct sl_chain *chain, size_t n) {
    uint64_t held = sl_chain_len(chain), room = held > n ? held : n;
    for (size_t i = 0; i < POOLS; i++)
        if (room <= pools[i].size - sizeof(struct sl_chunk))
            return pools[i].size;
    return SL_CHUNK_LARGE;
}

size_t sl_chain_most(size_t n) {
    static const struct sl_chain empty = {0};
    /* All chunks but the last are full. Below a large one, at most two of each size are. */
    size_t chunks = 2 * POOLS + n / (SL_CHUNK_LARGE - sizeof(struct sl_chunk));
    return n + chunks * sizeof(struct sl_chunk) + next_size(&empty, n);
}

static void fill(struct sl_chain *chain, struct sl_slice *s) {
    struct sl_chunk *chunk = chain->last;
    size_t n = chunk->cap - chunk->len;
    if (n > s->len)
        n = s->len;
    memcpy(chunk->bytes + chunk->len, s->ptr, n);
    chunk->len += n;
    chain->end += n;
    *s = sl_slice_skip(*s, n);
}

/* Takes all chunks that n more bytes need, before any byte is copied: an append fails whole. */
static int take_chunks(struct sl_chain *chain, size_t n, struct sl_chunk **list) {
    size_t size = next_size(chain, n), unit = size - sizeof(struct sl_chunk);
    size_t count = (n + unit - 1) / unit;
    if (!sl_budget_take(chain->budget, count * size))
        return SL_E_NOMEM;
    *list = NULL;
    for (size_t i = 0; i < count; i++) {
        struct sl_chunk *chunk = take_chunk(size);
        if (!chunk) {
            while (*list) {
                struct sl_chunk *next = (*list)->next;
                give_chunk(*list);
                *list = next;
            }
            sl_budget_give(chain->budget, count * size);
            return SL_E_NOMEM;
        }
        chunk->next = *list;
        *list = chunk;
    }
    return SL_OK;
}

int sl_chain_add(struct sl_chain *chain, struct sl_slice s) {
    size_t room = chain->last ? chain->last->cap - chain->last->len : 0;
    struct sl_chunk *list = NULL;
    if (s.len > room) {
        int err = take_chunks(chain, s.len - room, &list);
        if (err)
            return err;
    }
    if (room > 0)
        fill(chain, &s);
    while (s.len > 0) {
        struct sl_chunk *chunk = list;
        assert(chunk); /* take_chunks took enough */
        list = chunk->next;
        chunk->next = NULL;
        chunk->start = chain->end;
        if (chain->last)
            chain->last->next = chunk;
        else
            chain->first = chunk;
        chain->last = chunk;
        fill(chain, &s);
    }
    return SL_OK;
}

/* Moves the hint to the chunk that holds the cursor's offset. */
static struct sl_chunk *seek(const struct sl_chain *chain, struct sl_chain_cursor *cursor) {
    bool stale =
        !cursor->chunk || cursor->chunk_start < chain->begin || cursor->shape != chain->shape;
    struct sl_chunk *chunk = stale ? chain->first : cursor->chunk;
    while (chunk && chunk->start + chunk->len <= cursor->offset && chunk->next)
        chunk = chunk->next;
    cursor->chunk = chunk;
    cursor->chunk_start = chunk ? chunk->start : 0;
    cursor->shape = chain->shape;
    return chunk;
}

size_t sl_chain_peek(const struct sl_chain *chain, struct sl_chain_cursor *cursor,
                     struct sl_slice *out, size_t max) {
    assert(cursor->offset >= chain->begin && cursor->offset <= chain->end);
    size_t n = 0;
    uint64_t offset = cursor->offset;
    for (struct sl_chunk *chunk = seek(chain, cursor); chunk && n < max; chunk = chunk->next) {
        size_t from = (size_t)(offset - chunk->start);
        if (from < chunk->len) {
            out[n++] = sl_slice_of(chunk->bytes + from, chunk->len - from);
            offset = chunk->start + chunk->len;
        }
    }
    return n;
}

void sl_chain_advance(const struct sl_chain *chain, struct sl_chain_cursor *cursor, uint64_t n) {
    assert(n <= chain->end - cursor->offset);
    cursor->offset += n;
}

void sl_chain_drop(struct sl_chain *chain, uint64_t offset) {
    /* The last chunk stays: it is still written to. */
    while (chain->first && chain->first->next && chain->first->start + chain->first->len <= offset)
        drop_first(chain);
}

void sl_chain_truncate(struct sl_chain *chain, uint64_t offset) {
    assert(offset >= chain->begin && offset <= chain->end);
    struct sl_chunk *last = chain->first;
    if (!last)
        return;
    while (last->next && last->next->start <= offset)
        last = last->next;
    while (last->next) {
        struct sl_chunk *chunk = last->next;
        last->next = chunk->next;
        sl_budget_give(chain->budget, total_size(chunk));
        give_chunk(chunk);
    }
    last->len = (size_t)(offset - last->start);
    chain->last = last;
    chain->shape++;
    chain->end = offset;
}

int sl_chain_flatten(struct sl_chain *chain, size_t max, struct sl_slice *out) {
    uint64_t len = sl_chain_len(chain);
    if (len > max)
        return SL_E_LIMIT;
    if (!chain->first) {
        *out = SL_EMPTY;
        return SL_OK;
    }
    size_t size = (size_t)len + sizeof(struct sl_chunk);
    if (chain->first->next) {
        if (!sl_budget_take(chain->budget, size))
            return SL_E_NOMEM;
        struct sl_chunk *whole = sl_alloc(size);
        if (!whole) {
            sl_budget_give(chain->budget, size);
            return SL_E_NOMEM;
        }
        *whole = (struct sl_chunk){.cap = (size_t)len, .start = chain->begin};
        uint64_t begin = chain->begin, end = chain->end;
        while (chain->first) {
            memcpy(whole->bytes + whole->len, chain->first->bytes, chain->first->len);
            whole->len += chain->first->len;
            drop_first(chain);
        }
        chain->first = chain->last = whole;
        chain->shape++;
        chain->begin = begin;
        chain->end = end;
    }
    *out = sl_slice_of(chain->first->bytes, chain->first->len);
    return SL_OK;
}
