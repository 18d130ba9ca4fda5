/* Percent-encoding: the set that stays, malformed escapes, maxima. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/wire/uri.h"

static void assert_buf(const struct sl_buf *buf, struct sl_slice expected) {
    assert_int_equal(buf->len, expected.len);
    assert_memory_equal(sl_buf_slice(buf).ptr, expected.ptr, expected.len);
}

static void check_encode(struct sl_slice in, bool keep_slash, struct sl_slice expected) {
    struct sl_buf buf;
    sl_buf_init(&buf, 4096);
    assert_int_equal(sl_uri_encode(&buf, in, keep_slash), SL_OK);
    assert_buf(&buf, expected);
    sl_buf_done(&buf);
}

static void check_decode(struct sl_slice in, int rc, struct sl_slice expected) {
    struct sl_buf buf;
    sl_buf_init(&buf, 4096);
    assert_int_equal(sl_buf_add_str(&buf, "<"), SL_OK);
    assert_int_equal(sl_uri_decode(&buf, in), rc);
    assert_int_equal(buf.ptr[0], '<');
    assert_int_equal(buf.len - 1, expected.len);
    assert_memory_equal(buf.ptr + 1, expected.ptr, expected.len);
    sl_buf_done(&buf);
}

static void test_encode(void **state) {
    (void)state;
    check_encode(SL_EMPTY, false, SL_EMPTY);
    check_encode(SL_LIT("AZaz09-._~"), false, SL_LIT("AZaz09-._~"));
    check_encode(SL_LIT("a/b"), true, SL_LIT("a/b"));
    check_encode(SL_LIT("a/b"), false, SL_LIT("a%2Fb"));
    check_encode(SL_LIT("v1:0 +%\x7f"), true, SL_LIT("v1%3A0%20%2B%25%7F"));
    check_encode(SL_LIT("\0\xc3\xa9\xff"), true, SL_LIT("%00%C3%A9%FF"));
}

static void test_decode(void **state) {
    (void)state;
    check_decode(SL_EMPTY, SL_OK, SL_EMPTY);
    check_decode(SL_LIT("a+b/c"), SL_OK, SL_LIT("a+b/c"));
    check_decode(SL_LIT("v1%3A0%3a%2f"), SL_OK, SL_LIT("v1:0:/"));
    check_decode(SL_LIT("%00%C3%a9%fF"), SL_OK, SL_LIT("\0\xc3\xa9\xff"));
    check_decode(SL_LIT("%253A"), SL_OK, SL_LIT("%3A")); /* once, not twice */
}

static void test_decode_malformed(void **state) {
    (void)state;
    check_decode(SL_LIT("%"), SL_E_INVALID, SL_EMPTY);
    check_decode(SL_LIT("a%4"), SL_E_INVALID, SL_EMPTY);
    check_decode(SL_LIT("%41%4G"), SL_E_INVALID, SL_EMPTY);
    check_decode(SL_LIT("%G4"), SL_E_INVALID, SL_EMPTY);
    check_decode(SL_LIT("%%41"), SL_E_INVALID, SL_EMPTY);
    check_decode(SL_LIT("% 41"), SL_E_INVALID, SL_EMPTY);
    check_decode(SL_LIT("%-1x"), SL_E_INVALID, SL_EMPTY);
    check_decode(sl_slice_of("%41", 2), SL_E_INVALID, SL_EMPTY); /* the digit is not ours */
}

static void test_every_byte_comes_back(void **state) {
    (void)state;
    char all[256];
    struct sl_buf encoded, decoded;
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    sl_buf_init(&encoded, 3 * sizeof(all));
    sl_buf_init(&decoded, sizeof(all));
    assert_int_equal(sl_uri_encode(&encoded, sl_slice_of(all, sizeof(all)), false), SL_OK);
    assert_int_equal(encoded.len, 66 + 3 * (256 - 66));
    assert_int_equal(sl_uri_decode(&decoded, sl_buf_slice(&encoded)), SL_OK);
    assert_buf(&decoded, sl_slice_of(all, sizeof(all)));
    sl_buf_done(&encoded);
    sl_buf_done(&decoded);
}

/* The result may fill the buffer to its last byte; one more is refused and leaves no trace. */
static void test_limit_is_exact(void **state) {
    (void)state;
    struct sl_buf buf;
    sl_buf_init(&buf, 5);
    assert_int_equal(sl_uri_encode(&buf, SL_LIT("a:b"), false), SL_OK);
    assert_buf(&buf, SL_LIT("a%3Ab"));
    assert_int_equal(sl_uri_encode(&buf, SL_LIT("c"), false), SL_E_LIMIT);
    assert_int_equal(sl_uri_decode(&buf, SL_LIT("c")), SL_E_LIMIT);
    assert_buf(&buf, SL_LIT("a%3Ab"));
    sl_buf_clear(&buf);
    assert_int_equal(sl_uri_decode(&buf, SL_LIT("%41%42%43%44%45")), SL_OK);
    assert_buf(&buf, SL_LIT("ABCDE"));
    sl_buf_done(&buf);
}

static void test_no_memory(void **state) {
    (void)state;
    struct sl_buf buf;
    sl_buf_init(&buf, 64);
    sl_mem_fail_after(1);
    assert_int_equal(sl_uri_encode(&buf, SL_LIT("a"), false), SL_E_NOMEM);
    sl_mem_fail_after(1);
    assert_int_equal(sl_uri_decode(&buf, SL_LIT("a")), SL_E_NOMEM);
    sl_mem_fail_after(0);
    assert_int_equal(buf.len, 0);
    sl_buf_done(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode),           cmocka_unit_test(test_decode),
        cmocka_unit_test(test_decode_malformed), cmocka_unit_test(test_every_byte_comes_back),
        cmocka_unit_test(test_limit_is_exact),   cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
