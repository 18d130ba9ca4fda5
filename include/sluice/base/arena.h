/*
 * An arena: many small allocations with one life and one free. Each exchange has
 * one. It grows by blocks, up to a maximum.
 */
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

struct sl_arena_block;

struct sl_arena {
    struct sl_arena_block *blocks;
    char *next, *end;
    size_t used, max; /* bytes of blocks taken, and their bound */
};

void sl_arena_init(struct sl_arena *arena, size_t max);
void sl_arena_done(struct sl_arena *arena);
/* 16-byte aligned, not zeroed. NULL when memory or the maximum is out. */
SL_NODISCARD void *sl_arena_alloc(struct sl_arena *arena, size_t size);
SL_NODISCARD void *sl_arena_calloc(struct sl_arena *arena, size_t count, size_t size);
/* Copies; *out lives as long as the arena. A NUL follows the bytes. */
SL_NODISCARD int sl_arena_copy(struct sl_arena *arena, struct sl_slice s, struct sl_slice *out);
SL_NODISCARD int sl_arena_printf(struct sl_arena *arena, struct sl_slice *out, const char *fmt, ...)
    SL_PRINTF(3, 4);

#endif
