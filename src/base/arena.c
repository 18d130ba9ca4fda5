/* Blocks grow with use: the first is small, since most requests need little. Blocks of the sizes
 * that nearly every request takes wait for the next arena. */
#include "sluice/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "sluice/base/mem.h"
#include "sluice/base/slab.h"

#define FIRST_BLOCK   1024
#define LARGEST_BLOCK 65536

struct sl_arena_block {
    struct sl_arena_block *next;
    size_t size;
    _Alignas(16) char bytes[];
};

#define OF(bytes_) (sizeof(struct sl_arena_block) + (bytes_))
static _Thread_local struct sl_slab slabs[] = {
    {.size = OF(FIRST_BLOCK), .keep = 512},
    {.size = OF(2 * FIRST_BLOCK), .keep = 256},
    {.size = OF(4 * FIRST_BLOCK), .keep = 64},
};

/* NULL: of a size that is not kept. */
static struct sl_slab *slab_for(size_t size) {
    for (size_t i = 0; i < sizeof(slabs) / sizeof(slabs[0]); i++)
        if (slabs[i].size == OF(size))
            return &slabs[i];
    return NULL;
}

void sl_arena_init(struct sl_arena *arena, size_t max) {
    *arena = (struct sl_arena){.max = max};
}

void sl_arena_done(struct sl_arena *arena) {
    for (struct sl_arena_block *block = arena->blocks; block;) {
        struct sl_arena_block *next = block->next;
        struct sl_slab *slab = slab_for(block->size);
        if (slab)
            sl_slab_give(slab, block);
        else
            sl_free(block);
        block = next;
    }
    sl_arena_init(arena, arena->max);
}

static int add_block(struct sl_arena *arena, size_t need) {
    size_t size = arena->blocks ? arena->blocks->size * 2 : FIRST_BLOCK;
    if (size > LARGEST_BLOCK)
        size = LARGEST_BLOCK;
    if (size < need)
        size = need;
    if (size > arena->max - arena->used) {
        size = arena->max - arena->used;
        if (size < need)
            return SL_E_LIMIT;
    }
    struct sl_slab *slab = slab_for(size);
    struct sl_arena_block *block = slab ? sl_slab_take(slab) : sl_alloc(OF(size));
    if (!block)
        return SL_E_NOMEM;
    block->next = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->used += size;
    arena->next = block->bytes;
    arena->end = block->bytes + size;
    return SL_OK;
}

void *sl_arena_alloc(struct sl_arena *arena, size_t size) {
    if (size > SIZE_MAX - 15)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    if (size > (size_t)(arena->end - arena->next) && add_block(arena, size) != SL_OK)
        return NULL;
    void *ptr = arena->next;
    arena->next += size;
    return ptr;
}

void *sl_arena_calloc(struct sl_arena *arena, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *ptr = sl_arena_alloc(arena, bytes);
    return ptr ? memset(ptr, 0, bytes) : NULL;
}

int sl_arena_copy(struct sl_arena *arena, struct sl_slice s, struct sl_slice *out) {
    char *copy = sl_arena_alloc(arena, s.len + 1);
    if (!copy)
        return SL_E_NOMEM;
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    *out = sl_slice_of(copy, s.len);
    return SL_OK;
}

int sl_arena_printf(struct sl_arena *arena, struct sl_slice *out, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = len < 0 ? NULL : sl_arena_alloc(arena, (size_t)len + 1);
    if (!text)
        return len < 0 ? SL_E_INVALID : SL_E_NOMEM;
    va_start(args, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    *out = sl_slice_of(text, (size_t)len);
    return SL_OK;
}
