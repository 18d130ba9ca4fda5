/* Dimensions of images: of every format, in pieces of every size, and of files that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/wire/image.h"

/* Feeds in pieces of `step`; whether the probe said that it had enough. */
static bool probe(struct sl_image_probe *p, struct sl_slice file, size_t step) {
    bool over = false;
    sl_image_probe_init(p);
    while (file.len > 0) {
        bool now = sl_image_probe_feed(p, sl_slice_head(file, step));
        assert_true(now || !over); /* once enough, always enough */
        over = now;
        file = sl_slice_skip(file, step);
    }
    return over;
}

static void expect(struct sl_slice file, bool over, uint32_t width, uint32_t height) {
    for (size_t step = 1; step <= file.len; step++) {
        struct sl_image_probe p;
        assert_int_equal(probe(&p, file, step), over);
        assert_int_equal(p.width, width);
        assert_int_equal(p.height, height);
    }
}

#define PNG_START "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"

static void png(void **state) {
    (void)state;
    expect(SL_LIT(PNG_START "\0\0\x04\x00\0\0\x03\x00\x08\x06"), true, 1024, 768);
    expect(SL_LIT(PNG_START "\xff\xff\xff\xff\x80\0\0\x01"), true, UINT32_MAX, 0x80000001);
    expect(SL_LIT(PNG_START "\0\0\0\0\0\0\0\x05"), true, 0, 0);
    expect(SL_LIT(PNG_START "\0\0\x04\x00\0\0\x03"), false, 0, 0);
    expect(SL_LIT("\x89PNG\r\n\x1a\n\0\0\0\x0dIDAT\0\0\0\1\0\0\0\1"), true, 0, 0);
    expect(SL_LIT("\x89PNX\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\1\0\0\0\1"), true, 0, 0);
}

static void gif(void **state) {
    (void)state;
    expect(SL_LIT("GIF89a\x2c\x01\xc8\x00\xf7"), true, 300, 200);
    expect(SL_LIT("GIF87a\x01\x00\x02\x00"), true, 1, 2);
    expect(SL_LIT("GIF88a\x01\x00\x02\x00"), true, 0, 0);
    expect(SL_LIT("GIF89a\x2c\x01\xc8"), false, 0, 0);
}

static void webp(void **state) {
    (void)state;
    expect(SL_LIT("RIFF\x10\0\0\0WEBPVP8 \x10\0\0\0\x30\x01\x00\x9d\x01\x2a\x80\x42\xe0\x01"), true,
           640, 480);
    expect(SL_LIT("RIFF\x10\0\0\0WEBPVP8L\x10\0\0\0\x2f\x7f\xc2\x77\x00\0\0\0\0\0"), true, 640,
           480);
    expect(SL_LIT("RIFF\x10\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x7f\x02\x00\xdf\x01\x00"), true, 640,
           480);
    expect(SL_LIT("RIFF\x10\0\0\0WEBPVP8 \x10\0\0\0\x30\x01\x00\x9d\x01\x2b\x80\x02\xe0\x01"), true,
           0, 0);
    expect(SL_LIT("RIFF\x10\0\0\0WEBPVP8L\x10\0\0\0\x2e\x7f\xc2\x77\x00\0\0\0\0\0"), true, 0, 0);
    expect(SL_LIT("RIFF\x10\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\0\0\0\0\0\0"), true, 0, 0);
}

#define APP0 "\xff\xe0\x00\x06JFIF"
/* SOF with 8 bits, so many lines, so many samples. */
#define FRAME(marker) "\xff" marker "\x00\x11\x08\x02\x58\x03\x20"

static void jpeg(void **state) {
    (void)state;
    expect(SL_LIT("\xff\xd8" APP0 FRAME("\xc0") "\x03"), true, 800, 600);
    expect(SL_LIT("\xff\xd8" FRAME("\xc2")), true, 800, 600);
    expect(SL_LIT("\xff\xd8" FRAME("\xcf")), true, 800, 600);
    /* Tables look like frames by their number; fill bytes; markers that stand alone. */
    expect(SL_LIT("\xff\xd8\xff\xc4\x00\x04\xff\xc0" FRAME("\xc1")), true, 800, 600);
    expect(SL_LIT("\xff\xd8\xff\xff\xff\xe1\x00\x02\xff\xff\xff" FRAME("\xc0")), true, 800, 600);
    expect(SL_LIT("\xff\xd8\xff\x01\xff\xd3" FRAME("\xc0")), true, 800, 600);
    expect(SL_LIT("\xff\xd8\xff\xda\x00\x08" FRAME("\xc0")), true, 0, 0); /* data before a frame */
    expect(SL_LIT("\xff\xd8\xff\xd9" FRAME("\xc0")), true, 0, 0);
    expect(SL_LIT("\xff\xd8\x12\x34"), true, 0, 0);
    expect(SL_LIT("\xff\xd8\xff\xe0\x00\x01"), true, 0, 0);
    expect(SL_LIT("\xff\xd8\xff\x00\x00\x04"), true, 0, 0);
    expect(SL_LIT("\xff\xd8\xff\xc0\x00\x11\x08\x00\x00\x03\x20"), true, 0, 0); /* told later */
    expect(SL_LIT("\xff\xd8" APP0), false, 0, 0);
}

/* A thumbnail's frame inside a long segment is passed over with it. */
static void long_segments_are_passed_over(void **state) {
    static char file[70000];
    struct sl_slice start = SL_LIT("\xff\xd8\xff\xe1\xff\xff"), frame = SL_LIT(FRAME("\xc0"));
    (void)state;
    for (size_t i = 0; i < sizeof(file); i++)
        file[i] = "\xff\xc0\x00"[i % 3];
    memcpy(file, start.ptr, start.len);
    memcpy(file + 4 + 65535, frame.ptr, frame.len);
    static const size_t steps[] = {1, 2, 999, 65536, sizeof(file)};
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct sl_image_probe p;
        assert_true(probe(&p, sl_slice_of(file, sizeof(file)), steps[i]));
        assert_int_equal(p.width, 800);
        assert_int_equal(p.height, 600);
    }
}

static void other_files(void **state) {
    (void)state;
    expect(SL_LIT("%PDF-1.7"), true, 0, 0);
    expect(SL_LIT("BM"), true, 0, 0);
    expect(SL_LIT("\xff\xd9"), true, 0, 0);
    expect(SL_LIT("G"), false, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png),         cmocka_unit_test(gif),
        cmocka_unit_test(webp),        cmocka_unit_test(jpeg),
        cmocka_unit_test(other_files), cmocka_unit_test(long_segments_are_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
