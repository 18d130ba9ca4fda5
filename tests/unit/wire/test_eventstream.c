/*
 * Event-stream framing: what is written is read back, whatever way it is cut; what is broken is
 * refused. Agreement with botocore is tests/e2e/test_eventstream.py's part.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/wire/eventstream.h"

/* The example of the Smithy document's length: an empty message is 16 bytes. */
static const char empty_message[] =
    "\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2\x48\xeb\x7d\x98\xc8\xff";
/* {"foo":"bar"} with the string header content-type: application/json. */
static const char json_message[] = "\x00\x00\x00\x3d\x00\x00\x00\x20\x07\xfd\x83\x96\x0c"
                                   "content-type\x07\x00\x10"
                                   "application/json{'foo':'bar'}\x8d\x9c\x08\xb1";

static struct sl_slice text(struct sl_buf *buf) {
    return sl_buf_slice(buf);
}

/* A frame around any bytes, its CRCs right. */
static void add_frame(struct sl_buf *out, uint32_t total, struct sl_slice headers,
                      struct sl_slice payload) {
    char lengths[8] = {(char)(total >> 24),       (char)(total >> 16),
                       (char)(total >> 8),        (char)total,
                       (char)(headers.len >> 24), (char)(headers.len >> 16),
                       (char)(headers.len >> 8),  (char)headers.len};
    size_t start = out->len;
    assert_int_equal(sl_buf_add(out, sl_slice_of(lengths, 8)), 0);
    for (int i = 0; i < 2; i++) {
        if (i == 1) {
            assert_int_equal(sl_buf_add(out, headers), 0);
            assert_int_equal(sl_buf_add(out, payload), 0);
        }
        uint32_t crc = sl_crc32(0, sl_slice_of(out->ptr + start, out->len - start));
        char be[4] = {(char)(crc >> 24), (char)(crc >> 16), (char)(crc >> 8), (char)crc};
        assert_int_equal(sl_buf_add(out, sl_slice_of(be, 4)), 0);
    }
}

static uint32_t frame_length(struct sl_slice headers, struct sl_slice payload) {
    return (uint32_t)(SL_EVENTSTREAM_OVERHEAD + headers.len + payload.len);
}

static void known_messages(void **state) {
    (void)state;
    struct sl_eventstream_message m;
    assert_int_equal(sl_eventstream_decode(sl_slice_of(empty_message, 16), &m), 16);
    assert_int_equal(m.headers.len, 0);
    assert_int_equal(m.payload.len, 0);

    struct sl_slice in = sl_slice_of(json_message, sizeof(json_message) - 1);
    assert_int_equal(sl_eventstream_decode(in, &m), in.len);
    assert_true(sl_slice_eq(m.payload, SL_LIT("{'foo':'bar'}")));
    assert_true(sl_slice_eq(m.frame, in));
    assert_true(sl_slice_eq(sl_eventstream_string(m.headers, SL_LIT("content-type")),
                            SL_LIT("application/json")));
    assert_int_equal(sl_eventstream_string(m.headers, SL_LIT("content")).len, 0);
}

static void encode_known_message(void **state) {
    (void)state;
    const struct sl_eventstream_pair header = {SL_LIT("content-type"), SL_LIT("application/json")};
    struct sl_buf out;
    sl_buf_init(&out, 1000);
    assert_int_equal(sl_eventstream_encode(&out, &header, 1, SL_LIT("{'foo':'bar'}")), 0);
    assert_true(sl_slice_eq(text(&out), sl_slice_of(json_message, sizeof(json_message) - 1)));
    assert_int_equal(sl_eventstream_encode(&out, NULL, 0, SL_EMPTY), 0);
    assert_true(sl_slice_ends(text(&out), sl_slice_of(empty_message, 16)));
    sl_buf_done(&out);
}

static void encode_refuses(void **state) {
    (void)state;
    struct sl_buf out;
    char *long_text = sl_calloc(1, 40000);
    assert_non_null(long_text);
    sl_buf_init(&out, 60);
    struct sl_eventstream_pair pair = {SL_EMPTY, SL_EMPTY};
    assert_int_equal(sl_eventstream_encode(&out, &pair, 1, SL_EMPTY), SL_E_INVALID);
    pair.name = sl_slice_of(long_text, 256);
    assert_int_equal(sl_eventstream_encode(&out, &pair, 1, SL_EMPTY), SL_E_LIMIT);
    pair = (struct sl_eventstream_pair){SL_LIT("a"), sl_slice_of(long_text, 32768)};
    assert_int_equal(sl_eventstream_encode(&out, &pair, 1, SL_EMPTY), SL_E_LIMIT);
    struct sl_eventstream_pair many[5];
    for (int i = 0; i < 5; i++)
        many[i] = (struct sl_eventstream_pair){SL_LIT("a"), sl_slice_of(long_text, 32767)};
    assert_int_equal(sl_eventstream_encode(&out, many, 5, SL_EMPTY), SL_E_LIMIT);
    /* Too long for the buffer: nothing of it is written. */
    assert_int_equal(sl_eventstream_encode(&out, NULL, 0, sl_slice_of(long_text, 45)), SL_E_LIMIT);
    assert_int_equal(out.len, 0);
    sl_mem_fail_after(1);
    assert_int_equal(sl_eventstream_encode(&out, NULL, 0, SL_EMPTY), SL_E_NOMEM);
    sl_buf_done(&out);
    sl_free(long_text);
}

static void exception_frame(void **state) {
    (void)state;
    struct sl_buf out;
    struct sl_eventstream_message m;
    sl_buf_init(&out, 1000);
    assert_int_equal(
        sl_eventstream_exception(&out, SL_LIT("throttlingException"), SL_LIT("say \"no\"\n")), 0);
    assert_int_equal(sl_eventstream_decode(text(&out), &m), out.len);
    assert_int_equal(sl_eventstream_check_headers(m.headers), 0);
    assert_true(sl_slice_eq(sl_eventstream_string(m.headers, SL_LIT(":message-type")),
                            SL_LIT("exception")));
    assert_true(sl_slice_eq(sl_eventstream_string(m.headers, SL_LIT(":exception-type")),
                            SL_LIT("throttlingException")));
    assert_true(sl_slice_eq(sl_eventstream_string(m.headers, SL_LIT(":content-type")),
                            SL_LIT("application/json")));
    assert_true(sl_slice_eq(m.payload, SL_LIT("{\"message\":\"say \\\"no\\\"\\n\"}")));
    sl_buf_done(&out);
}

static void all_header_types(void **state) {
    (void)state;
    struct sl_slice rest = SL_LIT("\1t\0"
                                  "\1f\1"
                                  "\1a\2\x80"
                                  "\1b\3\xff\xfe"
                                  "\1c\4\x7f\xff\xff\xff"
                                  "\1d\5\x80\0\0\0\0\0\0\0"
                                  "\1e\6\0\2\xff\0"
                                  "\1g\7\0\2\xc3\xa9"
                                  "\1h\x8\0\0\0\0\0\0\x03\xe8"
                                  "\1i\x9"
                                  "0123456789abcdef");
    static const struct {
        char name;
        int64_t integer;
        struct sl_slice bytes;
    } expected[] = {
        {'t', 1, SL_EMPTY},         {'f', 0, SL_EMPTY},
        {'a', -128, SL_EMPTY},      {'b', -2, SL_EMPTY},
        {'c', INT32_MAX, SL_EMPTY}, {'d', INT64_MIN, SL_EMPTY},
        {'e', 0, SL_LIT("\xff\0")}, {'g', 0, SL_LIT("\xc3\xa9")},
        {'h', 1000, SL_EMPTY},      {'i', 0, SL_LIT("0123456789abcdef")},
    };
    assert_int_equal(sl_eventstream_check_headers(rest), 0);
    struct sl_eventstream_header h;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(sl_eventstream_next_header(&rest, &h), 1);
        assert_int_equal(h.type, i);
        assert_true(sl_slice_eq(h.name, sl_slice_of(&expected[i].name, 1)));
        assert_int_equal(h.integer, expected[i].integer);
        assert_true(sl_slice_eq(h.bytes, expected[i].bytes));
    }
    assert_int_equal(sl_eventstream_next_header(&rest, &h), 0);
}

static void bad_headers(void **state) {
    (void)state;
    static const struct sl_slice bad[] = {
        SL_LIT("\5a"),                   /* name cut */
        SL_LIT("\1a"),                   /* no type */
        SL_LIT("\1a\12"),                /* no such type */
        SL_LIT("\1a\3\0"),               /* short integer */
        SL_LIT("\1a\7\0"),               /* length cut */
        SL_LIT("\1\xff\0"),              /* name not UTF-8 */
        SL_LIT("\1a\7\0\3\xed\xa0\x80"), /* a surrogate */
        SL_LIT("\1a\7\0\1\xc3"),         /* half a character */
        SL_LIT("\1a\0\1b\1\1a\1"),       /* twice */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sl_eventstream_check_headers(bad[i]), SL_E_PROTOCOL);
    /* As botocore has it: the last value may promise more than there is. */
    struct sl_slice cut = SL_LIT("\1a\7\0\x9xyz");
    assert_int_equal(sl_eventstream_check_headers(cut), 0);
    assert_true(sl_slice_eq(sl_eventstream_string(cut, SL_LIT("a")), SL_LIT("xyz")));
}

/* 40,000 headers: the check must neither take their square nor miss the one duplicate. */
static void many_headers(void **state) {
    (void)state;
    struct sl_buf headers;
    sl_buf_init(&headers, SL_EVENTSTREAM_MAX_HEADERS + 16);
    for (unsigned i = 0; headers.len + 8 < SL_EVENTSTREAM_MAX_HEADERS; i++) {
        char h[5] = {3, (char)('0' + i % 64), (char)('0' + i / 64 % 64), (char)('0' + i / 4096), 0};
        assert_int_equal(sl_buf_add(&headers, sl_slice_of(h, sizeof(h))), 0);
    }
    assert_int_equal(sl_eventstream_check_headers(text(&headers)), 0);
    sl_mem_fail_after(1);
    assert_int_equal(sl_eventstream_check_headers(text(&headers)), SL_E_NOMEM);
    assert_int_equal(sl_buf_add(&headers, SL_LIT("\003000\0")), 0);
    assert_int_equal(sl_eventstream_check_headers(text(&headers)), SL_E_PROTOCOL);
    sl_buf_done(&headers);
}

/* Feeds pieces that end at the cuts; frames found, or the error. */
static int scan_pieces(struct sl_slice in, size_t piece, size_t first, bool *boundary) {
    struct sl_eventstream_scanner s;
    int frames = 0;
    size_t frame_bytes = 0;
    sl_eventstream_scanner_init(&s);
    assert_true(sl_eventstream_at_boundary(&s));
    for (size_t n = first; in.len > 0; n = piece) {
        struct sl_slice part = sl_slice_head(in, n);
        in = sl_slice_skip(in, n);
        while (part.len > 0) {
            int rc = sl_eventstream_scan(&s, &part);
            if (rc < 0) {
                assert_int_equal(sl_eventstream_scan(&s, &part), rc); /* final */
                assert_false(sl_eventstream_at_boundary(&s));
                return rc;
            }
            if (rc == 1) {
                frames++;
                frame_bytes += s.total;
            } else {
                assert_int_equal(part.len, 0);
            }
        }
    }
    *boundary = sl_eventstream_at_boundary(&s);
    assert_true(!*boundary || frame_bytes > 0 || frames == 0);
    return frames;
}

static void build_stream(struct sl_buf *out) {
    sl_buf_init(out, 10000);
    assert_int_equal(sl_buf_add(out, sl_slice_of(json_message, sizeof(json_message) - 1)), 0);
    assert_int_equal(sl_buf_add(out, sl_slice_of(empty_message, 16)), 0);
    assert_int_equal(sl_eventstream_exception(out, SL_LIT("x"), SL_LIT("y")), 0);
}

static void scanner_any_split(void **state) {
    (void)state;
    struct sl_buf out;
    bool boundary = false;
    build_stream(&out);
    for (size_t cut = 1; cut <= out.len; cut++) {
        assert_int_equal(scan_pieces(text(&out), out.len, cut, &boundary), 3);
        assert_true(boundary);
        assert_int_equal(scan_pieces(text(&out), cut, cut, &boundary), 3);
        assert_true(boundary);
    }
    /* Cut off anywhere, it is not at a boundary but where a frame ends. */
    for (size_t len = 0; len < out.len; len++) {
        (void)scan_pieces(sl_slice_head(text(&out), len), 1, 1, &boundary);
        assert_int_equal(boundary, len == 0 || len == 61 || len == 77);
    }
    sl_buf_done(&out);
}

static void any_flipped_bit_is_seen(void **state) {
    (void)state;
    struct sl_buf out;
    bool boundary;
    build_stream(&out); /* whose first frame has 61 bytes, 488 bits */
    for (size_t bit = 0; bit < 488; bit++) {
        struct sl_eventstream_message m;
        out.ptr[bit / 8] = (char)(out.ptr[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(sl_eventstream_decode(text(&out), &m), SL_E_PROTOCOL);
        assert_int_equal(scan_pieces(text(&out), out.len, out.len, &boundary), SL_E_PROTOCOL);
        assert_int_equal(scan_pieces(text(&out), 1, 1, &boundary), SL_E_PROTOCOL);
        out.ptr[bit / 8] = (char)(out.ptr[bit / 8] ^ 1 << bit % 8);
    }
    sl_buf_done(&out);
}

static void decode_waits(void **state) {
    (void)state;
    struct sl_eventstream_message m = {0};
    struct sl_slice in = sl_slice_of(json_message, sizeof(json_message) - 1);
    for (size_t len = 0; len < in.len; len++)
        assert_int_equal(sl_eventstream_decode(sl_slice_head(in, len), &m), SL_E_AGAIN);
    assert_null(m.frame.ptr); /* untouched */
}

/* Bad lengths are refused with the prelude, before anything waits for the rest. */
static void bad_lengths(void **state) {
    (void)state;
    static const struct {
        uint32_t total;
        size_t header_len;
        bool ok;
    } cases[] = {
        {0, 0, false},
        {15, 0, false},
        {12, 0, false},
        {16, 1, false},
        {116, 101, false},
        {116, 100, true},
        {UINT32_MAX, 0, false},
        {SL_EVENTSTREAM_MAX_PAYLOAD + 16, 0, true},
        {SL_EVENTSTREAM_MAX_PAYLOAD + 17, 0, false},
        {SL_EVENTSTREAM_MAX_HEADERS + 16, SL_EVENTSTREAM_MAX_HEADERS, true},
        {SL_EVENTSTREAM_MAX_HEADERS + 17, SL_EVENTSTREAM_MAX_HEADERS + 1, false},
    };
    struct sl_buf out;
    char *zeros = sl_calloc(1, SL_EVENTSTREAM_MAX_HEADERS + 1);
    assert_non_null(zeros);
    sl_buf_init(&out, SL_EVENTSTREAM_MAX_HEADERS + 100);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_eventstream_message m;
        struct sl_eventstream_scanner s;
        sl_buf_clear(&out);
        add_frame(&out, cases[i].total, sl_slice_of(zeros, cases[i].header_len), SL_EMPTY);
        struct sl_slice prelude = sl_slice_head(text(&out), 12);
        assert_int_equal(sl_eventstream_decode(prelude, &m),
                         cases[i].ok ? SL_E_AGAIN : SL_E_PROTOCOL);
        sl_eventstream_scanner_init(&s);
        assert_int_equal(sl_eventstream_scan(&s, &prelude), cases[i].ok ? 0 : SL_E_PROTOCOL);
        if (cases[i].ok) {
            assert_int_equal(s.total, cases[i].total);
            assert_int_equal(s.header_len, cases[i].header_len);
        }
    }
    sl_buf_done(&out);
    sl_free(zeros);
}

/* The largest payload goes through in pieces, and its scanner keeps nothing of it. */
static void largest_payload(void **state) {
    (void)state;
    size_t len = SL_EVENTSTREAM_MAX_PAYLOAD;
    char *payload = sl_calloc(1, len);
    struct sl_buf out;
    bool boundary = false;
    assert_non_null(payload);
    sl_buf_init(&out, len + 100);
    add_frame(&out, frame_length(SL_EMPTY, sl_slice_of(payload, len)), SL_EMPTY,
              sl_slice_of(payload, len));
    assert_int_equal(scan_pieces(text(&out), 65536, 1, &boundary), 1);
    assert_true(boundary);
    sl_buf_done(&out);
    sl_free(payload);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_messages),
        cmocka_unit_test(encode_known_message),
        cmocka_unit_test(encode_refuses),
        cmocka_unit_test(exception_frame),
        cmocka_unit_test(all_header_types),
        cmocka_unit_test(bad_headers),
        cmocka_unit_test(many_headers),
        cmocka_unit_test(scanner_any_split),
        cmocka_unit_test(any_flipped_bit_is_seen),
        cmocka_unit_test(decode_waits),
        cmocka_unit_test(bad_lengths),
        cmocka_unit_test(largest_payload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
