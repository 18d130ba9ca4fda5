/* Randomness: the kernel's for ids and secrets, a splitmix64 sequence for jitter. */
#include "sluice/base/rand.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void sl_rand_bytes(void *out, size_t len) {
    char *p = out;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort();
        p += n;
        len -= (size_t)n;
    }
}

uint64_t sl_rand_u64(void) {
    static _Thread_local uint64_t state;
    while (state == 0)
        sl_rand_bytes(&state, sizeof(state));
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void sl_rand_uuid(char out[SL_UUID_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    const uint64_t words[2] = {sl_rand_u64(), sl_rand_u64()};
    uint8_t bytes[16];
    memcpy(bytes, words, sizeof(bytes));
    char *p = out;
    for (int i = 0; i < 16; i++) {
        uint8_t b = bytes[i];
        if (i == 6)
            b = (uint8_t)((b & 0x0f) | 0x40); /* version 4 */
        if (i == 8)
            b = (uint8_t)((b & 0x3f) | 0x80); /* RFC variant */
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = digits[b >> 4];
        *p++ = digits[b & 15];
    }
    *p = '\0';
}
