/* CRC-32 against its published check value and against the definition, bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/crc32.h"

static uint32_t by_definition(struct sl_slice s) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < s.len; i++) {
        crc ^= (uint8_t)s.ptr[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ UINT32_C(0xEDB88320) : crc >> 1;
    }
    return ~crc;
}

static void check_values(void **state) {
    (void)state;
    assert_int_equal(sl_crc32(0, SL_EMPTY), 0);
    assert_int_equal(sl_crc32(0, SL_LIT("123456789")), 0xCBF43926);
    assert_int_equal(sl_crc32(0, SL_LIT("The quick brown fox jumps over the lazy dog")),
                     0x414FA339);
}

static void every_length_and_alignment(void **state) {
    (void)state;
    char bytes[80];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 151 + 7);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; from + len <= sizeof(bytes); len++) {
            struct sl_slice s = sl_slice_of(bytes + from, len);
            assert_int_equal(sl_crc32(0, s), by_definition(s));
        }
}

static void any_split(void **state) {
    (void)state;
    struct sl_slice s = SL_LIT("a CRC goes on where the piece before it ended");
    for (size_t cut = 0; cut <= s.len; cut++) {
        uint32_t crc = sl_crc32(0, sl_slice_head(s, cut));
        assert_int_equal(sl_crc32(crc, sl_slice_skip(s, cut)), by_definition(s));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_values),
        cmocka_unit_test(every_length_and_alignment),
        cmocka_unit_test(any_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
