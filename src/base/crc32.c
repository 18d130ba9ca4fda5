/*
 * CRC-32 as zlib computes it (reflected polynomial 0xEDB88320), eight bytes a step: the tables are
 * those of "slicing-by-8" (Kounavis and Berry, "A Systematic Approach to Building High Performance
 * Software-based CRC Generators", 2005). tables[k][b] is the CRC of byte b followed by k zeros.
 *
 * The tables are filled before main, so that there is neither a race between threads nor a check
 * with each call.
 */
#include "sluice/base/crc32.h"

#include <endian.h>

#define POLYNOMIAL UINT32_C(0xEDB88320)

static uint32_t tables[8][256];

__attribute__((constructor)) static void fill_tables(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int byte = 0; byte < 256; byte++)
            tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
}

static uint32_t load_le32(const char *p) {
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

uint32_t sl_crc32(uint32_t crc, struct sl_slice s) {
    crc = ~crc;
    for (; s.len >= 8; s = sl_slice_skip(s, 8)) {
        uint32_t a = crc ^ load_le32(s.ptr), b = load_le32(s.ptr + 4);
        crc = tables[7][a & 0xff] ^ tables[6][(a >> 8) & 0xff] ^ tables[5][(a >> 16) & 0xff] ^
              tables[4][a >> 24] ^ tables[3][b & 0xff] ^ tables[2][(b >> 8) & 0xff] ^
              tables[1][(b >> 16) & 0xff] ^ tables[0][b >> 24];
    }
    for (size_t i = 0; i < s.len; i++)
        crc = (crc >> 8) ^ tables[0][(crc ^ (uint8_t)s.ptr[i]) & 0xff];
    return ~crc;
}
