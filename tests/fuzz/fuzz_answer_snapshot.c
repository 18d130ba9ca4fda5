/*
 * Snapshots: any bytes load without harm, as they are and with their checksums made right (which a
 * fuzzer cannot guess, and behind which the parsing lies). What was taken can be written again, and
 * that file loads whole.
 */
#include <stdlib.h>

#include "sluice/answer/snapshot.h"
#include "sluice/base/crc32.h"
#include "sluice/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MIB ((size_t)1 << 20)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static uint64_t little_endian(const char *at, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)(uint8_t)at[i] << (8 * i);
    return value;
}

static void put_crc(char *at, const char *of, size_t len) {
    uint32_t crc = sl_crc32(0, sl_slice_of(of, len));
    for (int i = 0; i < 4; i++)
        at[i] = (char)(crc >> (8 * i));
}

/* Makes the checksums right, as far as there are records. */
static void mend(char *file, size_t size) {
    if (size < 16)
        return;
    put_crc(file + 12, file, 12);
    for (size_t at = 16; size - at >= 16;) {
        put_crc(file + at + 12, file + at, 12);
        uint64_t length = little_endian(file + at + 4, 8);
        at += 16;
        if (length > size - at || size - at - length < 4)
            return;
        put_crc(file + at + length, file + at, (size_t)length);
        at += (size_t)length + 4;
    }
}

static struct sl_cache *load(struct sl_slice file, struct sl_snapshot_report *report) {
    struct sl_cache *cache = sl_cache_new(&(struct sl_cache_settings){
        .max_bytes = 4 * MIB, .max_entry = MIB, .eviction = SL_EVICT_TINYLFU});
    REQUIRE(cache);
    sl_snapshot_load(cache, file, 1000, report);
    REQUIRE(sl_cache_stats(cache).entries <= report->taken);
    return cache;
}

static void load_and_write_again(struct sl_slice file) {
    struct sl_snapshot_report report;
    struct sl_buf out;
    uint64_t count = 0;
    struct sl_cache *cache = load(file, &report);
    sl_buf_init(&out, 16 * MIB);
    REQUIRE(sl_snapshot_begin(&out) == SL_OK);
    for (struct sl_kept *k = sl_cache_next(cache, NULL); k; k = sl_cache_next(cache, k), count++)
        REQUIRE(sl_snapshot_record(&out, k) == SL_OK);
    REQUIRE(sl_snapshot_end(&out, count) == SL_OK);
    sl_cache_free(cache);
    cache = load(sl_buf_slice(&out), &report);
    REQUIRE(!report.ignored && report.damaged == 0 && report.expired == 0);
    REQUIRE(sl_cache_stats(cache).entries == count);
    sl_cache_free(cache);
    sl_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    load_and_write_again(sl_slice_of(data, size));
    char *copy = sl_alloc(size);
    REQUIRE(copy);
    if (size > 0)
        memcpy(copy, data, size);
    mend(copy, size);
    load_and_write_again(sl_slice_of(copy, size));
    sl_free(copy);
    return 0;
}
