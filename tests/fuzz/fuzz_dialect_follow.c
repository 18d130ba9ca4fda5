/*
 * Following of bodies: the first byte chooses the framing, the second the size of the pieces. What
 * is whole never goes back nor past what was seen, and however the body is cut, it comes to the
 * same end.
 */
#include <stdlib.h>

#include "sluice/dialect/follow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const struct {
    enum sl_operation operation;
    struct sl_slice type;
} kinds[] = {
    {SL_OP_CONVERSE_STREAM, SL_LIT("application/vnd.amazon.eventstream")},
    {SL_OP_INVOKE_MODEL_STREAM, SL_LIT("application/vnd.amazon.eventstream")},
    {SL_OP_MESSAGES, SL_LIT("text/event-stream; charset=utf-8")},
    {SL_OP_CONVERSE, SL_LIT("application/json")},
};

struct outcome {
    int rc; /* of the last feed, or of finish */
    uint64_t whole;
    bool begun, ended, storable;
    enum sl_failure failure;
    struct sl_usage usage;
};

static struct outcome follow(size_t kind, struct sl_slice body, size_t piece) {
    struct sl_header type = {SL_LIT("content-type"), kinds[kind].type};
    struct sl_headers headers = {&type, 1, 1};
    struct sl_follow f;
    uint64_t before = 0;
    int rc = sl_follow_init(&f, kinds[kind].operation, 200, &headers);
    while (rc == SL_OK && body.len > 0) {
        rc = sl_follow_feed(&f, sl_slice_head(body, piece));
        body = sl_slice_skip(body, piece);
        REQUIRE(f.whole >= before && f.whole <= f.seen);
        before = f.whole;
    }
    if (rc == SL_OK)
        rc = sl_follow_finish(&f);
    struct outcome end = {rc, f.whole, f.begun, f.ended, f.storable, f.failure, f.usage};
    sl_follow_done(&f);
    return end;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    size_t kind = data[0] % (sizeof(kinds) / sizeof(kinds[0]));
    struct sl_slice body = sl_slice_of(data + 2, size - 2);
    const size_t pieces[] = {1, data[1] + 2u};
    struct outcome at_once = follow(kind, body, size);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct outcome cut = follow(kind, body, pieces[i]);
        REQUIRE(cut.rc == at_once.rc && cut.whole == at_once.whole);
        REQUIRE(cut.begun == at_once.begun && cut.ended == at_once.ended);
        REQUIRE(cut.storable == at_once.storable && (cut.rc == SL_OK || !cut.storable));
        REQUIRE(cut.failure == at_once.failure);
        REQUIRE(cut.usage.input == at_once.usage.input);
        REQUIRE(cut.usage.output == at_once.usage.output);
        REQUIRE(cut.usage.cache_read == at_once.usage.cache_read);
        REQUIRE(cut.usage.cache_write == at_once.usage.cache_write);
    }
    return 0;
}
