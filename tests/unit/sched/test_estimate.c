/* Estimates before the call, and what they learn from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/buf.h"
#include "sluice/sched/estimate.h"

static struct sl_estimator e;

static void teach(const struct sl_load *load, uint64_t actual, uint64_t output) {
    sl_estimator_learn(&e, load, sl_estimate_input(&e, load), actual, output);
}

static void starts_with_what_is_published(void **state) {
    (void)state;
    sl_estimator_init(&e);
    const struct sl_load text = {.text_bytes = 4000};
    assert_int_equal(sl_estimate_input(&e, &text), 1000);
    const struct sl_load image = {.images = 1, .image_pixels = 1000 * 750};
    assert_in_range(sl_estimate_input(&e, &image), 990, 1000);
    const struct sl_load large = {.images = 2, .image_pixels = 2 * 4000 * 4000};
    assert_int_equal(sl_estimate_input(&e, &large), 3200);
    const struct sl_load unsized = {.images = 3, .unsized_images = 3};
    assert_int_equal(sl_estimate_input(&e, &unsized), 4800);
    const struct sl_load elsewhere = {.text_bytes = 4, .elsewhere = true};
    assert_int_equal(sl_estimate_input(&e, &elsewhere), 1000);
    const struct sl_load absurd = {.text_bytes = UINT64_MAX,
                                   .image_pixels = UINT64_MAX,
                                   .images = UINT32_MAX,
                                   .video_bytes = UINT64_MAX};
    assert_int_equal(sl_estimate_input(&e, &absurd), UINT64_C(1) << 40);
}

static void learns_the_ratio_of_text(void **state) {
    (void)state;
    sl_estimator_init(&e);
    for (uint64_t i = 0; i < 100; i++) {
        const struct sl_load load = {.text_bytes = 2000 + 37 * i};
        teach(&load, load.text_bytes * 2 / 5, 10);
    }
    assert_in_range(sl_estimator_error(&e), 1, 60000);
    const struct sl_load load = {.text_bytes = 100000};
    assert_in_range(sl_estimate_input(&e, &load), 39500, 40500);
    /* An outlier moves it little: a repeated word compresses well, once. */
    teach(&load, 5, 10);
    assert_in_range(sl_estimate_input(&e, &load), 38000, 40500);
}

static void small_prompts_weigh_little(void **state) {
    (void)state;
    sl_estimator_init(&e);
    const struct sl_load tiny = {.text_bytes = 8}; /* 2 tokens, and 10 around them */
    for (int i = 0; i < 100; i++)
        teach(&tiny, 12, 10);
    const struct sl_load load = {.text_bytes = 4000};
    assert_in_range(sl_estimate_input(&e, &load), 1000, 2000);
}

static void media_are_told_from_their_text(void **state) {
    (void)state;
    sl_estimator_init(&e);
    for (uint64_t i = 0; i < 200; i++) {
        const struct sl_load document = {
            .text_bytes = 400, .documents = 1, .document_bytes = 100000};
        teach(&document, 100 + 12000, 10);
        const struct sl_load video = {.videos = 1, .video_bytes = 1000000};
        teach(&video, 4000, 10);
        const struct sl_load audio = {.audio_bytes = 1000000};
        teach(&audio, 1000, 10);
        const struct sl_load unsized = {.images = 1, .unsized_images = 1};
        teach(&unsized, 700, 10);
        const struct sl_load small = {.images = 1, .image_pixels = 200 * 200};
        teach(&small, 100, 10);
        const struct sl_load large = {.images = 1, .image_pixels = 4000 * 4000};
        teach(&large, 2400, 10);
    }
    const struct sl_load text = {.text_bytes = 4000};
    assert_int_equal(sl_estimate_input(&e, &text), 1000); /* untouched by all that */
    const struct sl_load document = {.documents = 1, .document_bytes = 200000};
    assert_in_range(sl_estimate_input(&e, &document), 23500, 24500);
    const struct sl_load video = {.videos = 1, .video_bytes = 1000000};
    assert_in_range(sl_estimate_input(&e, &video), 3900, 4100);
    const struct sl_load audio = {.audio_bytes = 1000000};
    assert_in_range(sl_estimate_input(&e, &audio), 970, 1030);
    const struct sl_load unsized = {.images = 1, .unsized_images = 1};
    assert_in_range(sl_estimate_input(&e, &unsized), 690, 710);
    const struct sl_load small = {.images = 2, .image_pixels = 2 * 200 * 200};
    assert_in_range(sl_estimate_input(&e, &small), 190, 210);
    const struct sl_load large = {.images = 1, .image_pixels = 4000 * 4000};
    assert_in_range(sl_estimate_input(&e, &large), 2300, 2500);
}

static void what_is_elsewhere_costs_the_mean(void **state) {
    (void)state;
    sl_estimator_init(&e);
    const struct sl_load load = {.text_bytes = 4000, .elsewhere = true};
    for (int i = 0; i < 100; i++)
        teach(&load, 50000, 10);
    assert_in_range(sl_estimate_input(&e, &load), 49000, 50000);
    const struct sl_load text = {.text_bytes = 4000};
    assert_int_equal(sl_estimate_input(&e, &text), 1000);
}

static void output_p99(void **state) {
    (void)state;
    sl_estimator_init(&e);
    const struct sl_load load = {.text_bytes = 4000};
    for (int i = 0; i < 99; i++)
        teach(&load, 1000, 200);
    assert_int_equal(sl_estimate_output_p99(&e, 16), 0); /* too few */
    teach(&load, 1000, 3000);
    assert_in_range(sl_estimate_output_p99(&e, 16), 250, 400);
    assert_int_equal(sl_estimate_output_p99(&e, 1000), 1000);
    for (int i = 0; i < 20; i++)
        teach(&load, 1000, 3000);
    assert_in_range(sl_estimate_output_p99(&e, 16), 3750, 5500);
    for (int i = 0; i < 100000; i++) /* old habits fade */
        teach(&load, 1000, 50);
    assert_in_range(sl_estimate_output_p99(&e, 16), 62, 100);
    for (int i = 0; i < 100000; i++)
        teach(&load, 1000, UINT64_MAX);
    assert_true(sl_estimate_output_p99(&e, 16) > 200000);
}

static void survives_a_restart(void **state) {
    (void)state;
    sl_estimator_init(&e);
    for (uint64_t i = 0; i < 5000; i++) {
        const struct sl_load load = {.text_bytes = 1000 + i};
        teach(&load, 700, i % 500);
    }
    struct sl_buf buf;
    sl_buf_init(&buf, 4096);
    assert_int_equal(sl_estimator_save(&e, &buf), SL_OK);
    struct sl_estimator other;
    sl_estimator_init(&other);
    assert_int_equal(sl_estimator_restore(&other, sl_buf_slice(&buf)), SL_OK);
    assert_memory_equal(&other, &e, sizeof e);
    for (size_t len = 0; len < buf.len; len++) { /* any cut that is not at a number's end */
        sl_estimator_init(&other);
        struct sl_estimator before = other;
        if (sl_estimator_restore(&other, sl_slice_of(buf.ptr, len)) != SL_OK)
            assert_memory_equal(&other, &before, sizeof other);
        else
            assert_true(len + 4 > buf.len);
    }
    assert_int_equal(sl_estimator_restore(&other, SL_LIT("2 1 1")), SL_E_INVALID);
    sl_buf_done(&buf);
    sl_buf_init(&buf, 40);
    assert_int_equal(sl_estimator_save(&e, &buf), SL_E_LIMIT);
    assert_int_equal(buf.len, 0);
    sl_buf_done(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_with_what_is_published),
        cmocka_unit_test(learns_the_ratio_of_text),
        cmocka_unit_test(small_prompts_weigh_little),
        cmocka_unit_test(media_are_told_from_their_text),
        cmocka_unit_test(what_is_elsewhere_costs_the_mean),
        cmocka_unit_test(output_p99),
        cmocka_unit_test(survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
