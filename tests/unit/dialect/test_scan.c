/* One pass over a body: what it weighs, in every API's shape and at every split; its three readers
 * together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/dialect/scan.h"

/* First bytes of files, in base64: a PNG of 1024x768, a GIF of 300x200, PDF, docx, mp4, mp3. */
#define PNG  "iVBORw0KGgoAAAANSUhEUgAABAAAAAMACAYAAAA="
#define GIF  "R0lGODlhLAHIAPcA"
#define PDF  "JVBERi0xLjcK"
#define DOCX "UEsDBBQABgAI"
#define MP4  "AAAAGGZ0eXBtcDQy"
#define MP3  "SUQzBAAAAAAA"

static void weigh(struct sl_load *load, const char *body, size_t step) {
    struct sl_scan scan;
    struct sl_slice rest = sl_slice_str(body);
    uint8_t digest[32];
    bool has_digest;
    assert_int_equal(sl_scan_init(&scan, NULL, false), SL_OK);
    while (rest.len > 0) {
        sl_scan_feed(&scan, sl_slice_head(rest, step));
        rest = sl_slice_skip(rest, step);
    }
    assert_true(sl_scan_finish(&scan, NULL, 0, digest, &has_digest));
    assert_false(has_digest);
    *load = scan.weigh.load;
    sl_scan_done(&scan);
}

static void check(const char *body, const struct sl_load *got, const struct sl_load *want) {
    bool same = got->text_bytes == want->text_bytes && got->image_pixels == want->image_pixels &&
                got->images == want->images && got->unsized_images == want->unsized_images &&
                got->document_bytes == want->document_bytes && got->documents == want->documents &&
                got->video_bytes == want->video_bytes && got->videos == want->videos &&
                got->audio_bytes == want->audio_bytes && got->elsewhere == want->elsewhere;
    if (!same)
        fail_msg("%s\n text %llu pixels %llu images %u unsized %u documents %u of %llu videos %u "
                 "of %llu audio %llu elsewhere %d",
                 body, (unsigned long long)got->text_bytes, (unsigned long long)got->image_pixels,
                 got->images, got->unsized_images, got->documents,
                 (unsigned long long)got->document_bytes, got->videos,
                 (unsigned long long)got->video_bytes, (unsigned long long)got->audio_bytes,
                 got->elsewhere);
}

struct sample {
    const char *body;
    struct sl_load load;
};

static void expect(const struct sample *samples, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t step = 1; step <= strlen(samples[i].body); step++) {
            struct sl_load load;
            weigh(&load, samples[i].body, step);
            check(samples[i].body, &load, &samples[i].load);
        }
}

#define EXPECT(samples) expect(samples, sizeof(samples) / sizeof((samples)[0]))

static void text(void **state) {
    static const struct sample samples[] = {
        {"{}", {0}},
        {"\"hello\"", {.text_bytes = 5}},
        {"{\"text\":\"h\\u00e9\"}", {.text_bytes = 4 + 3}},
        {"[\"a\",[\"bc\"],1,null]", {.text_bytes = 3}},
        {"{\"text\":\"a text that is longer than what is looked at, as most are\"}",
         {.text_bytes = 4 + 57}},
        /* What looks like media stands under other keys, or is none. */
        {"{\"text\":\"" PNG "\"}", {.text_bytes = 4 + 40}},
        {"{\"data\":\"plain words, as in a document of Claude's\"}", {.text_bytes = 4 + 41}},
        {"{\"bytes\":\"AAAA\"}", {.text_bytes = 5 + 4}},
        {"{\"document\":\"words\"}", {.text_bytes = 8 + 5}},
        {"{\"text\":\"data: see below\"}", {.text_bytes = 4 + 15}},
        {"{\"text\":\"https://example.com/\"}", {.text_bytes = 4 + 20}},
        {"{\"input\":{\"url\":\"https://example.com/\"}}", {.text_bytes = 5 + 3 + 20}},
    };
    (void)state;
    EXPECT(samples);
}

static void media_of_converse(void **state) {
    static const struct sample samples[] = {
        {"{\"image\":{\"format\":\"png\",\"source\":{\"bytes\":\"" PNG "\"}}}",
         {.text_bytes = 5 + 6 + 3 + 6 + 5, .images = 1, .image_pixels = 1024 * 768}},
        {"{\"image\":{\"source\":{\"bytes\":\"AAAAAAAA\"}}}",
         {.text_bytes = 5 + 6 + 5, .images = 1, .unsized_images = 1}},
        {"{\"image\":{\"source\":{\"bytes\":\"iVBORw0KGg\\/o\"}}}",
         {.text_bytes = 5 + 6 + 5, .images = 1, .unsized_images = 1}},
        {"{\"document\":{\"name\":\"a\",\"source\":{\"bytes\":\"aGVsbG8=\"}}}",
         {.text_bytes = 8 + 4 + 1 + 6 + 5, .documents = 1, .document_bytes = 5}},
        {"{\"document\":{\"source\":{\"bytes\":\"aA==\"}}}",
         {.text_bytes = 8 + 6 + 5, .documents = 1, .document_bytes = 1}},
        {"{\"video\":{\"source\":{\"bytes\":\"" MP4 "\"}}}",
         {.text_bytes = 5 + 6 + 5, .videos = 1, .video_bytes = 12}},
        {"{\"audio\":{\"source\":{\"bytes\":\"" MP4 "\"}}}",
         {.text_bytes = 5 + 6 + 5, .audio_bytes = 12}},
        {"{\"video\":{\"source\":{\"s3Location\":{\"uri\":\"s3://b/k\"}}}}",
         {.text_bytes = 5 + 6 + 10 + 3 + 8, .videos = 1, .elsewhere = true}},
        {"{\"image\":{\"source\":{\"s3Location\":{}}}}",
         {.text_bytes = 5 + 6 + 10, .images = 1, .unsized_images = 1, .elsewhere = true}},
        {"{\"document\":{\"source\":{\"s3Location\":{}}}}",
         {.text_bytes = 8 + 6 + 10, .documents = 1, .elsewhere = true}},
        /* The nearest key counts, and only for what is below it. */
        {"[{\"document\":{\"image\":{\"bytes\":\"AAAA\"}}},{\"bytes\":\"AAAA\"}]",
         {.text_bytes = 8 + 5 + 5 + 5 + 4, .images = 1, .unsized_images = 1}},
    };
    (void)state;
    EXPECT(samples);
}

static void media_of_other_apis(void **state) {
    static const struct sample samples[] = {
        /* Claude */
        {"{\"source\":{\"data\":\"" GIF "\"}}",
         {.text_bytes = 6 + 4, .images = 1, .image_pixels = 300 * 200}},
        {"{\"source\":{\"data\":\"" PDF "\"}}",
         {.text_bytes = 6 + 4, .documents = 1, .document_bytes = 9}},
        {"{\"source\":{\"url\":\"https://example.com/a.png\"}}",
         {.text_bytes = 6 + 3, .elsewhere = true}},
        {"{\"source\":{\"file_id\":\"file_1\"}}", {.text_bytes = 6 + 7, .elsewhere = true}},
        /* OpenAI */
        {"{\"image_url\":{\"url\":\"data:image/png;base64," PNG "\"}}",
         {.text_bytes = 9 + 3, .images = 1, .image_pixels = 1024 * 768}},
        {"{\"image_url\":\"data:image/gif;charset=a-name-beyond-the-head;base64," GIF "\"}",
         {.text_bytes = 9, .images = 1, .image_pixels = 300 * 200}},
        {"{\"image_url\":{\"url\":\"http://example.com/a\"}}",
         {.text_bytes = 9 + 3, .images = 1, .unsized_images = 1, .elsewhere = true}},
        {"{\"file\":{\"file_data\":\"data:application/pdf;base64," PDF "\"}}",
         {.text_bytes = 4 + 9, .documents = 1, .document_bytes = 9}},
        {"{\"input_audio\":{\"data\":\"" MP3 "\",\"format\":\"mp3\"}}",
         {.text_bytes = 11 + 4 + 6 + 3, .audio_bytes = 9}},
        {"{\"x\":\"data:image/png\"}", {.text_bytes = 1, .images = 1, .unsized_images = 1}},
        {"{\"previous_response_id\":null}", {.text_bytes = 20}},
        {"{\"previous_response_id\":\"r1\"}", {.text_bytes = 20, .elsewhere = true}},
        /* Llama, Titan, TwelveLabs, and a key in pieces that begins like one of the table */
        {"{\"images\":[\"" GIF "\",\"" GIF "\"]}",
         {.text_bytes = 6, .images = 2, .image_pixels = 2 * 300 * 200}},
        {"{\"inputImage\":\"" DOCX "\"}", {.text_bytes = 10, .documents = 1, .document_bytes = 9}},
        {"{\"mediaSource\":{\"base64String\":\"AAAA\"}}",
         {.text_bytes = 11 + 12, .videos = 1, .video_bytes = 3}},
        {"{\"image\\u005fur\\u006c\":{\"url\":\"http://example.com/a\"}}",
         {.text_bytes = 9 + 3, .images = 1, .unsized_images = 1, .elsewhere = true}},
        {"{\"previous_response_id_and_a_good_deal_more\":\"r1\"}", {.text_bytes = 41 + 2}},
    };
    (void)state;
    EXPECT(samples);
}

static void sizes_that_no_sum_can_hold(void **state) {
    /* 2^32-1 by 2^32-1, twice. */
    static const char body[] = "{\"images\":[\"iVBORw0KGgoAAAANSUhEUv//////////\","
                               "\"iVBORw0KGgoAAAANSUhEUv//////////\"]}";
    struct sl_load load;
    (void)state;
    weigh(&load, body, 5);
    assert_int_equal(load.images, 2);
    assert_true(load.image_pixels == UINT64_MAX);
}

static bool scan_all(const char *body, size_t step, struct sl_json_fact *fact, uint8_t digest[32],
                     bool *has_digest) {
    struct sl_scan scan;
    struct sl_json_facts facts;
    struct sl_slice rest = sl_slice_str(body);
    assert_int_equal(sl_json_facts_init(&facts, fact, 1, 100), 0);
    assert_int_equal(sl_scan_init(&scan, &facts, true), SL_OK);
    while (rest.len > 0) {
        sl_scan_feed(&scan, sl_slice_head(rest, step));
        rest = sl_slice_skip(rest, step);
    }
    static const struct sl_slice without[] = {SL_LIT("stream")};
    bool whole = sl_scan_finish(&scan, without, 1, digest, has_digest);
    sl_scan_done(&scan);
    sl_json_facts_done(&facts);
    return whole;
}

static void readers_go_on_alone(void **state) {
    static const struct {
        const char *body;
        bool whole, digest, fact;
    } cases[] = {
        {"{\"b\":{\"stream\":1},\"a\":7,\"stream\":true}", true, true, true},
        {"{\"a\":1,\"a\":7}", true, false, true}, /* no canonical form */
        {"{\"x\":{\"a\":1,\"a\":7},\"a\":7}", true, false, true},
        {"{\"a\":7} x", false, false, true}, /* facts seen until then stay */
        {"{\"a\":7,", false, false, true},
        {"", false, false, false},
        {"[]", true, true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t step = 1; step < 50; step++) {
            struct sl_json_fact fact = {.path = "a"};
            uint8_t digest[32];
            bool has_digest;
            assert_int_equal(scan_all(cases[i].body, step, &fact, digest, &has_digest),
                             cases[i].whole);
            assert_int_equal(has_digest, cases[i].digest);
            assert_int_equal(fact.type, cases[i].fact ? SL_FACT_NUMBER : SL_FACT_ABSENT);
            assert_int_equal(fact.integer, cases[i].fact ? 7 : 0);
        }
    uint8_t with[32], other[32];
    bool has;
    struct sl_json_fact fact = {.path = "a"};
    assert_true(scan_all("{\"stream\":true,\"a\":1}", 3, &fact, with, &has) && has);
    assert_true(scan_all("{ \"a\":1 }", 3, &fact, other, &has) && has);
    assert_memory_equal(with, other, 32);
}

static void no_memory_for_the_digest(void **state) {
    struct sl_scan scan;
    (void)state;
    uint64_t blocks = sl_mem_stats().blocks;
    sl_mem_fail_after(1);
    assert_int_equal(sl_scan_init(&scan, NULL, true), SL_E_NOMEM);
    assert_int_equal(sl_mem_fail_after(0), 0);
    sl_scan_done(&scan);
    assert_int_equal(sl_mem_stats().blocks, blocks);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),
        cmocka_unit_test(media_of_converse),
        cmocka_unit_test(media_of_other_apis),
        cmocka_unit_test(sizes_that_no_sum_can_hold),
        cmocka_unit_test(readers_go_on_alone),
        cmocka_unit_test(no_memory_for_the_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
