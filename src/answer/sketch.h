/*
 * How often was this asked for lately? A count-min sketch of four-bit counters (Cormode and
 * Muthukrishnan, "An Improved Data Stream Summary", 2005) that ages by halving, as TinyLFU has it
 * (Einziger, Friedman, Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017).
 *
 * The four counters of a key lie in one block of 64 bytes, so that a lookup touches one line:
 *
 *   block: | row 0: 32 counters | row 1 | row 2 | row 3 |
 *
 * Halving all at once would pause. It is in force at once, and done a block with each touch:
 * counters of blocks not yet done hold double what they say.
 */
#ifndef SLUICE_ANSWER_SKETCH_PRIVATE_H
#define SLUICE_ANSWER_SKETCH_PRIVATE_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/base/error.h"

#define SL_SKETCH_MOST 15 /* where counters stop */

struct sl_sketch {
    void *memory;
    uint8_t *blocks; /* in memory, aligned to a line */
    size_t count;    /* of blocks; a power of two, 0: always says 0 */
    size_t halved;   /* blocks before it are done; count: no halving under way */
    uint64_t touches;
};

/* For so many blocks, rounded up to a power of two. SL_E_NOMEM. */
SL_NODISCARD int sl_sketch_init(struct sl_sketch *sketch, size_t blocks);
void sl_sketch_done(struct sl_sketch *sketch);
/* Counts a key, by its hash. Halves all counters every `period` touches, or less often where that
 * would be before an earlier halving is done. */
void sl_sketch_touch(struct sl_sketch *sketch, uint64_t hash, uint64_t period);
/* At least as often as touched since it began, up to SL_SKETCH_MOST and less the halvings. */
unsigned sl_sketch_estimate(const struct sl_sketch *sketch, uint64_t hash);
size_t sl_sketch_bytes(const struct sl_sketch *sketch);

#endif
