/*
 * Blocks of one size for objects that come and go with every request: what is given back waits for
 * the next to take it, up to a bound, so that steady traffic neither calls the allocator nor
 * touches cold memory.
 *
 * Blocks that wait do not count as allocated (sl_mem_stats), and taking one counts as an allocation
 * for sl_mem_fail_after: to callers and tests it is as if there were no slab. Under
 * AddressSanitizer there is none: each block is freed, so that a use behind its end is seen.
 *
 * A slab is static, `_Thread_local`, and used by one thread.
 */
#ifndef SLUICE_BASE_SLAB_H
#define SLUICE_BASE_SLAB_H

#include <stddef.h>

#include "sluice/base/error.h"

struct sl_slab {
    size_t size;   /* of a block: at least a pointer's */
    size_t keep;   /* blocks that may wait */
    void *waiting; /* the first; each begins with where the next is */
    size_t count;
};

/* Not zeroed; NULL: out of memory. */
SL_NODISCARD void *sl_slab_take(struct sl_slab *slab);
/* NULL is fine. */
void sl_slab_give(struct sl_slab *slab, void *block);

#endif
