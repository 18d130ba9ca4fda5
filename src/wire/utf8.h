/*
 * UTF-8 (RFC 3629), one byte at a time, so that a sequence may be cut anywhere. What a sequence
 * still allows depends on its lead byte alone: that is how overlong forms, surrogates and code
 * points above U+10FFFF are refused at the second byte.
 */
#ifndef SLUICE_SRC_WIRE_UTF8_H
#define SLUICE_SRC_WIRE_UTF8_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/slice.h"

/*
 * Takes one byte. *left counts the bytes still due (0 between characters), *lead is the lead byte
 * until the second byte has been checked. False: not UTF-8.
 */
static inline bool sl_utf8_step(uint8_t *left, uint8_t *lead, uint8_t byte) {
    if (*left == 0) {
        if (byte < 0x80)
            return true;
        if (byte < 0xc2 || byte > 0xf4)
            return false;
        *left = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
        *lead = byte;
        return true;
    }
    uint8_t low = *lead == 0xe0 ? 0xa0 : *lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = *lead == 0xed ? 0x9f : *lead == 0xf4 ? 0x8f : 0xbf;
    *lead = 0;
    *left = (uint8_t)(*left - 1);
    return byte >= low && byte <= high;
}

static inline bool sl_utf8_valid(struct sl_slice s) {
    uint8_t left = 0, lead = 0;
    for (size_t i = 0; i < s.len; i++)
        if (!sl_utf8_step(&left, &lead, (uint8_t)s.ptr[i]))
            return false;
    return left == 0;
}

#endif
