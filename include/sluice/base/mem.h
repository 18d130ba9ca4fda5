/*
 * The only place that calls malloc. Every allocation may fail and every caller
 * handles it: a request that gets none ends with 503, the process lives.
 */
#ifndef SLUICE_BASE_MEM_H
#define SLUICE_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/base/error.h"

/*
 * Once, at the start of a process with a loop: freed memory stays with the process, but for single
 * blocks of a MiB and more. Else a free that happens to be the last one below the heap's end gives
 * all of a purged cache back to the kernel at once, which takes tens of milliseconds.
 */
void sl_mem_setup(void);

/* NULL on failure. Size 0 is allowed and gives a pointer that may be freed. */
SL_NODISCARD void *sl_alloc(size_t size);
SL_NODISCARD void *sl_calloc(size_t count, size_t size); /* zeroed; overflow-checked */
SL_NODISCARD void *sl_realloc(void *ptr, size_t size);   /* on failure ptr stays valid */
void sl_free(void *ptr);                                 /* NULL is fine */
/* Bytes that the allocator gave for it, which is what the account below counts; 0 for NULL. */
size_t sl_usable_size(const void *ptr);

/* A NUL-terminated copy of len bytes. */
SL_NODISCARD char *sl_strndup(const char *s, size_t len);
SL_NODISCARD char *sl_strdup(const char *s);

/*
 * Test hook: the allocation `countdown` calls from now fails, once (1 = the next).
 * 0 switches it off. Returns what was left of an earlier countdown.
 */
uint64_t sl_mem_fail_after(uint64_t countdown);

/* Bytes and blocks now allocated through this module, by the allocator's own count. */
struct sl_mem_stats {
    uint64_t blocks;
    uint64_t bytes;
};
struct sl_mem_stats sl_mem_stats(void);

#endif
