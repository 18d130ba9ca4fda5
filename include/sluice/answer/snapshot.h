/*
 * The file form of kept answers: versioned, each record with a checksum, so that a damaged or cut
 * file gives what is whole and says what was not. Pure encoding; who writes files does so
 * elsewhere.
 */
#ifndef SLUICE_ANSWER_SNAPSHOT_H
#define SLUICE_ANSWER_SNAPSHOT_H

#include "sluice/answer/cache.h"
#include "sluice/base/buf.h"

#define SL_SNAPSHOT_VERSION 1

/* The file's first bytes. */
SL_NODISCARD int sl_snapshot_begin(struct sl_buf *out);
SL_NODISCARD int sl_snapshot_record(struct sl_buf *out, const struct sl_kept *kept);
/* The last record: a count, by which a cut file is known. */
SL_NODISCARD int sl_snapshot_end(struct sl_buf *out, uint64_t count);

struct sl_snapshot_report {
    uint64_t taken, expired;
    uint64_t damaged;    /* records whose checksum or form is wrong */
    const char *ignored; /* why the rest was not read: "version", "cut", "damaged"; NULL: all was */
};
/* Reads a whole file's bytes into the cache; never fails, reports. */
void sl_snapshot_load(struct sl_cache *cache, struct sl_slice file, uint64_t wall_ms,
                      struct sl_snapshot_report *report);

#endif
