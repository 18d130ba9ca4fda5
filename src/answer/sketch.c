/* The sketch. Only the smallest of a key's counters are raised ("conservative update"): the others
 * are above its count already. */
#include "answer/sketch.h"

#include <stdbool.h>
#include <string.h>

#include "sluice/base/mem.h"

#define BLOCK     64
#define ROWS      4
#define ROW_BYTES (BLOCK / ROWS)
/* Touches between halvings, per block: fewer, and counts would be gone before they mean anything
 * where entries are large and few. */
#define LEAST_PERIOD_PER_BLOCK 16

int sl_sketch_init(struct sl_sketch *sketch, size_t blocks) {
    size_t count = 1;
    while (count < blocks)
        count *= 2;
    void *memory = sl_calloc(count + 1, BLOCK);
    if (!memory)
        return SL_E_NOMEM;
    uintptr_t aligned = ((uintptr_t)memory + BLOCK - 1) & ~(uintptr_t)(BLOCK - 1);
    *sketch = (struct sl_sketch){
        .memory = memory, .blocks = (uint8_t *)aligned, .count = count, .halved = count};
    return SL_OK;
}

void sl_sketch_done(struct sl_sketch *sketch) {
    sl_free(sketch->memory);
    *sketch = (struct sl_sketch){0};
}

size_t sl_sketch_bytes(const struct sl_sketch *sketch) {
    return sl_usable_size(sketch->memory);
}

/* The high half of the hash chooses the block, 5 bits a row of the low half the counters. */
static size_t block_of(const struct sl_sketch *sketch, uint64_t hash) {
    return (size_t)(hash >> 32) & (sketch->count - 1);
}

struct counter {
    uint8_t *byte;
    int shift;
};

static struct counter counter_of(const struct sl_sketch *sketch, uint64_t hash, int row) {
    size_t at = hash >> (5 * row) & 31;
    uint8_t *block = sketch->blocks + block_of(sketch, hash) * BLOCK;
    return (struct counter){block + (size_t)row * ROW_BYTES + at / 2, at % 2 ? 4 : 0};
}

static unsigned value_of(struct counter counter) {
    return *counter.byte >> counter.shift & SL_SKETCH_MOST;
}

static unsigned least_of(const struct sl_sketch *sketch, uint64_t hash) {
    unsigned least = SL_SKETCH_MOST;
    for (int row = 0; row < ROWS; row++) {
        unsigned value = value_of(counter_of(sketch, hash, row));
        if (value < least)
            least = value;
    }
    return least;
}

static void halve_one(struct sl_sketch *sketch) {
    uint8_t *block = sketch->blocks + sketch->halved++ * BLOCK;
    for (size_t i = 0; i < BLOCK; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, block + i, sizeof(word));
        word = word >> 1 & UINT64_C(0x7777777777777777);
        memcpy(block + i, &word, sizeof(word));
    }
}

static void age(struct sl_sketch *sketch, uint64_t period) {
    if (period < sketch->count * LEAST_PERIOD_PER_BLOCK)
        period = sketch->count * LEAST_PERIOD_PER_BLOCK;
    if (sketch->halved < sketch->count) {
        halve_one(sketch);
    } else if (sketch->touches >= period) {
        sketch->touches = 0;
        sketch->halved = 0;
    }
}

void sl_sketch_touch(struct sl_sketch *sketch, uint64_t hash, uint64_t period) {
    if (sketch->count == 0)
        return;
    sketch->touches++;
    age(sketch, period);
    bool doubled = block_of(sketch, hash) >= sketch->halved;
    unsigned least = least_of(sketch, hash), unit = doubled ? 2 : 1;
    if (least + unit > SL_SKETCH_MOST)
        return;
    for (int row = 0; row < ROWS; row++) {
        struct counter c = counter_of(sketch, hash, row);
        unsigned rest = *c.byte & ~((unsigned)SL_SKETCH_MOST << c.shift);
        if (value_of(c) < least + unit)
            *c.byte = (uint8_t)(rest | (least + unit) << c.shift);
    }
}

unsigned sl_sketch_estimate(const struct sl_sketch *sketch, uint64_t hash) {
    if (sketch->count == 0)
        return 0;
    unsigned least = least_of(sketch, hash);
    return block_of(sketch, hash) >= sketch->halved ? least / 2 : least;
}
