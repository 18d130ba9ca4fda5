/*
 * malloc with a failure hook and an account. The account asks the allocator for
 * usable sizes, so that it equals what is really held.
 */
#include "sluice/base/mem.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "sluice/base/slab.h"

/* Other threads (curl's resolver, libuv's pool) may allocate through hooks set to these functions.
 */
static _Atomic uint64_t countdown;
static _Atomic uint64_t blocks;
static _Atomic uint64_t bytes;
/* Of them, those that wait in this thread's slabs. */
static _Thread_local uint64_t waiting_blocks, waiting_bytes;

/* GCC and clang say in different ways that memory is watched. */
#if defined(__SANITIZE_ADDRESS__)
enum { SLABS_KEEP = 0 };
#elif !defined(__has_feature)
enum { SLABS_KEEP = 1 };
#else
enum { SLABS_KEEP = !__has_feature(address_sanitizer) };
#endif

#define OWN_MAPPING (1024 * 1024)

void sl_mem_setup(void) {
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_MMAP_THRESHOLD, OWN_MAPPING);
}

static int fails_now(void) {
    if (countdown == 0)
        return 0;
    return --countdown == 0;
}

static void *counted(void *ptr) {
    if (ptr) {
        blocks++;
        bytes += malloc_usable_size(ptr);
    }
    return ptr;
}

void *sl_alloc(size_t size) {
    return fails_now() ? NULL : counted(malloc(size ? size : 1));
}

void *sl_calloc(size_t count, size_t size) {
    return fails_now() ? NULL : counted(calloc(count ? count : 1, size ? size : 1));
}

void *sl_realloc(void *ptr, size_t size) {
    if (!ptr)
        return sl_alloc(size);
    if (fails_now())
        return NULL;
    size_t before = malloc_usable_size(ptr);
    void *moved = realloc(ptr, size ? size : 1);
    if (moved)
        bytes += malloc_usable_size(moved) - before;
    return moved;
}

void sl_free(void *ptr) {
    if (!ptr)
        return;
    blocks--;
    bytes -= malloc_usable_size(ptr);
    free(ptr);
}

size_t sl_usable_size(const void *ptr) {
    return malloc_usable_size((void *)ptr);
}

void *sl_slab_take(struct sl_slab *slab) {
    void *block = slab->waiting;
    if (!block)
        return sl_alloc(slab->size);
    if (fails_now())
        return NULL;
    memcpy(&slab->waiting, block, sizeof(void *));
    slab->count--;
    waiting_blocks--;
    waiting_bytes -= malloc_usable_size(block);
    return block;
}

void sl_slab_give(struct sl_slab *slab, void *block) {
    if (!block || !SLABS_KEEP || slab->count == slab->keep) {
        sl_free(block);
        return;
    }
    memcpy(block, &slab->waiting, sizeof(void *));
    slab->waiting = block;
    slab->count++;
    waiting_blocks++;
    waiting_bytes += malloc_usable_size(block);
}

char *sl_strndup(const char *s, size_t len) {
    char *copy = sl_alloc(len + 1);
    if (copy) {
        memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}

char *sl_strdup(const char *s) {
    return sl_strndup(s, strlen(s));
}

uint64_t sl_mem_fail_after(uint64_t next) {
    uint64_t left = countdown;
    countdown = next;
    return left;
}

struct sl_mem_stats sl_mem_stats(void) {
    return (struct sl_mem_stats){.blocks = blocks - waiting_blocks, .bytes = bytes - waiting_bytes};
}
