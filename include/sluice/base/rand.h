/* Random bytes and ids. */
#ifndef SLUICE_BASE_RAND_H
#define SLUICE_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

/* From the kernel (getrandom); aborts only if the kernel has none, which cannot be gone on from. */
void sl_rand_bytes(void *out, size_t len);
/* Fast, for jitter and sampling; never for secrets. Seeded from the kernel. */
uint64_t sl_rand_u64(void);
/* A random UUID version 4 (RFC 9562), lower case; out holds 37 bytes. */
#define SL_UUID_SIZE 37
void sl_rand_uuid(char out[SL_UUID_SIZE]);

#endif
