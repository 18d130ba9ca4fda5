/*
 * The pass over a request's body: however it is cut, the same load, fact and digest, with the same
 * verdict; and nothing weighs more than the body. The first byte sets the size of the pieces.
 */
#include <stdlib.h>

#include "sluice/dialect/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct outcome {
    bool whole, has_digest;
    struct sl_load load;
    uint8_t digest[32];
    int type;
    int64_t integer;
};

static void scan(struct outcome *out, struct sl_slice in, size_t piece) {
    struct sl_json_fact fact = {.path = "inferenceConfig.maxTokens"};
    struct sl_json_facts facts;
    struct sl_scan s;
    const struct sl_slice without[] = {SL_LIT("stream")};
    REQUIRE(sl_json_facts_init(&facts, &fact, 1, 16) == 0);
    REQUIRE(sl_scan_init(&s, &facts, true) == SL_OK);
    for (; in.len > 0; in = sl_slice_skip(in, piece))
        sl_scan_feed(&s, sl_slice_head(in, piece));
    out->whole = sl_scan_finish(&s, without, 1, out->digest, &out->has_digest);
    out->load = s.weigh.load;
    out->type = (int)fact.type;
    out->integer = fact.integer;
    sl_scan_done(&s);
    sl_json_facts_done(&facts);
}

static void require_same_load(const struct sl_load *a, const struct sl_load *b) {
    REQUIRE(a->text_bytes == b->text_bytes && a->image_pixels == b->image_pixels);
    REQUIRE(a->images == b->images && a->unsized_images == b->unsized_images);
    REQUIRE(a->documents == b->documents && a->document_bytes == b->document_bytes);
    REQUIRE(a->videos == b->videos && a->video_bytes == b->video_bytes);
    REQUIRE(a->audio_bytes == b->audio_bytes && a->elsewhere == b->elsewhere);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct outcome whole = {0}, cut = {0};
    if (size == 0)
        return 0;
    struct sl_slice in = sl_slice_of(data + 1, size - 1);
    scan(&whole, in, in.len);
    scan(&cut, in, data[0] % 32 + 1u);
    REQUIRE(whole.whole == cut.whole && whole.has_digest == cut.has_digest);
    REQUIRE(whole.whole || !whole.has_digest);
    const struct sl_load *load = &whole.load;
    REQUIRE(load->text_bytes + load->document_bytes + load->video_bytes + load->audio_bytes <=
            in.len);
    REQUIRE(load->images >= load->unsized_images);
    if (!whole.whole)
        return 0;
    require_same_load(load, &cut.load);
    REQUIRE(whole.type == cut.type && whole.integer == cut.integer);
    REQUIRE(!whole.has_digest || memcmp(whole.digest, cut.digest, 32) == 0);
    return 0;
}
