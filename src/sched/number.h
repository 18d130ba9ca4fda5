/* Integer arithmetic that saturates instead of wrapping. */
#ifndef SCHED_NUMBER_H
#define SCHED_NUMBER_H

#include <stdint.h>

typedef unsigned __int128 sl_u128;

static inline uint64_t sl_add_sat(uint64_t a, uint64_t b) {
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static inline uint64_t sl_sub_sat(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static inline uint64_t sl_min(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static inline uint64_t sl_max(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static inline uint64_t sl_u128_to_u64(sl_u128 value) {
    return value > UINT64_MAX ? UINT64_MAX : (uint64_t)value;
}

/* value x by / over, rounded down; over is not 0. */
static inline uint64_t sl_scale(uint64_t value, uint64_t by, uint64_t over) {
    return sl_u128_to_u64((sl_u128)value * by / over);
}

#endif
