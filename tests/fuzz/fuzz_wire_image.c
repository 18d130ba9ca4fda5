/* Dimensions of images: however the file is cut, the same; both known or none. The first byte sets
 * the size of the pieces. */
#include <stdlib.h>

#include "sluice/wire/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static bool probe(struct sl_image_probe *p, struct sl_slice in, size_t piece) {
    bool over = false;
    sl_image_probe_init(p);
    while (in.len > 0) {
        bool now = sl_image_probe_feed(p, sl_slice_head(in, piece));
        REQUIRE(now || !over);
        over = now;
        in = sl_slice_skip(in, piece);
    }
    return over;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_image_probe whole, cut;
    if (size == 0)
        return 0;
    struct sl_slice in = sl_slice_of(data + 1, size - 1);
    bool over = probe(&whole, in, in.len);
    REQUIRE(probe(&cut, in, data[0] % 32 + 1u) == over);
    REQUIRE(whole.width == cut.width && whole.height == cut.height);
    REQUIRE((whole.width == 0) == (whole.height == 0));
    REQUIRE(over || whole.width == 0);
    return 0;
}
