/*
 * The tokenizer. Each document is fed whole, byte by byte and at every split in two; pieces joined,
 * the tokens must be the same, offsets included. Refusals likewise.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/wire/json.h"
#include "wire/scan.h"

/* Tokens as text: "{0:0-1 " is event, depth, offset, end; texts stand in between. */
struct log {
    struct sl_buf out;
    bool in_piece;
    uint64_t start;
};

static int record(void *ctx, const struct sl_json_token *token) {
    static const char names[] = "{}[]KSNtfn";
    struct log *log = ctx;
    int rc = 0;
    if (!log->in_piece) {
        rc = sl_buf_printf(&log->out, "%c%u:%llu'", names[token->event], token->depth,
                           (unsigned long long)token->offset);
        log->start = token->offset;
    }
    assert_int_equal(log->start, token->offset);
    assert_true(token->end > token->offset);
    assert_true(token->last || token->text.len > 0); /* only the final piece may be empty */
    log->in_piece = !token->last;
    if (rc == 0)
        rc = sl_buf_add(&log->out, token->text);
    if (rc == 0 && token->last)
        rc = sl_buf_printf(&log->out, "'%llu ", (unsigned long long)token->end);
    return rc;
}

/* Feeds `first` bytes, then pieces of `piece`. */
static int parse(struct sl_slice in, size_t first, size_t piece, struct log *log) {
    struct sl_json_tokenizer t;
    int rc = 0;
    *log = (struct log){0};
    sl_buf_init(&log->out, 1 << 20);
    sl_json_init(&t, record, log);
    for (size_t n = first; rc == 0 && in.len > 0; n = piece) {
        rc = sl_json_feed(&t, sl_slice_head(in, n));
        in = sl_slice_skip(in, n);
    }
    if (rc == 0)
        rc = sl_json_finish(&t);
    else
        assert_int_equal(sl_json_finish(&t), rc); /* sticky */
    if (rc == SL_E_INVALID)
        assert_int_equal(sl_json_feed(&t, SL_LIT(" ")), rc);
    return rc;
}

/* Parses at every split; the log of the first is left in *out. */
static int parse_all_ways(struct sl_slice in, struct sl_buf *out) {
    struct log whole, other;
    int rc = parse(in, in.len, in.len, &whole);
    for (size_t first = 0; first <= in.len; first++) {
        assert_int_equal(parse(in, first, first == 0 ? 1 : in.len, &other), rc);
        if (rc == 0)
            assert_true(sl_slice_eq(sl_buf_slice(&whole.out), sl_buf_slice(&other.out)));
        sl_buf_done(&other.out);
    }
    *out = whole.out;
    return rc;
}

static void expect(struct sl_slice in, struct sl_slice tokens) {
    struct sl_buf out;
    assert_int_equal(parse_all_ways(in, &out), 0);
    if (!sl_slice_eq(sl_buf_slice(&out), tokens))
        fail_msg("%.*s\n gives    %.*s\n expected %.*s", SL_FMT(in), SL_FMT(sl_buf_slice(&out)),
                 SL_FMT(tokens));
    sl_buf_done(&out);
}

static void expect_error(struct sl_slice in, int error) {
    struct sl_buf out;
    int rc = parse_all_ways(in, &out);
    if (rc != error)
        fail_msg("%.*s gives %d, not %d", SL_FMT(in), rc, error);
    sl_buf_done(&out);
}

static void scalars(void **state) {
    (void)state;
    expect(SL_LIT("true"), SL_LIT("t0:0''4 "));
    expect(SL_LIT(" false\n"), SL_LIT("f0:1''6 "));
    expect(SL_LIT("\tnull\r"), SL_LIT("n0:1''5 "));
    expect(SL_LIT("\"\""), SL_LIT("S0:0''2 "));
    expect(SL_LIT(" \"abc\" "), SL_LIT("S0:1'abc'6 "));
    expect(SL_LIT("\"\x7f\""), SL_LIT("S0:0'\x7f'3 "));
}

static void numbers(void **state) {
    (void)state;
    static const struct sl_slice good[] = {
        SL_LIT("0"),    SL_LIT("-0"),   SL_LIT("7"),      SL_LIT("1234567890"), SL_LIT("-12"),
        SL_LIT("0.5"),  SL_LIT("-0.0"), SL_LIT("12.034"), SL_LIT("1e5"),        SL_LIT("1E+05"),
        SL_LIT("0e-0"), SL_LIT("0E1"),  SL_LIT("1.5e-9"), SL_LIT("9e999999"),
    };
    static const struct sl_slice bad[] = {
        SL_LIT("+1"),    SL_LIT(".5"),    SL_LIT("01"),   SL_LIT("-01"),       SL_LIT("00"),
        SL_LIT("1.e5"),  SL_LIT("1 2"),   SL_LIT("--1"),  SL_LIT("1e5.0"),     SL_LIT("1.2.3"),
        SL_LIT("0x1"),   SL_LIT("1e++1"), SL_LIT("NaN"),  SL_LIT("-Infinity"), SL_LIT("1,"),
        SL_LIT("[1.]"),  SL_LIT("[-]"),   SL_LIT("[1e]"), SL_LIT("[1e+]"),     SL_LIT("1_0"),
        SL_LIT("[007]"), SL_LIT("1\0"),
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sl_buf want;
        sl_buf_init(&want, 100);
        assert_int_equal(sl_buf_printf(&want, "N0:0'%.*s'%zu ", SL_FMT(good[i]), good[i].len), 0);
        expect(good[i], sl_buf_slice(&want));
        sl_buf_done(&want);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_error(bad[i], SL_E_INVALID);
    expect(SL_LIT("[1,-2 ,3e1]"), SL_LIT("[0:0''1 N1:1'1'2 N1:3'-2'5 N1:7'3e1'10 ]0:10''11 "));
    expect(SL_LIT(" 5 "), SL_LIT("N0:1'5'2 "));
    expect(SL_LIT("{\"a\":0}"), SL_LIT("{0:0''1 K1:1'a'4 N1:5'0'6 }0:6''7 "));
}

static void containers(void **state) {
    (void)state;
    expect(SL_LIT("{}"), SL_LIT("{0:0''1 }0:1''2 "));
    expect(SL_LIT("[ ]"), SL_LIT("[0:0''1 ]0:2''3 "));
    expect(SL_LIT("[[],{}]"), SL_LIT("[0:0''1 [1:1''2 ]1:2''3 {1:4''5 }1:5''6 ]0:6''7 "));
    expect(SL_LIT("{\"a\" : [true] , \"\":{\"b\":null}}"),
           SL_LIT("{0:0''1 K1:1'a'4 [1:7''8 t2:8''12 ]1:12''13 K1:16''18 {1:19''20 "
                  "K2:20'b'23 n2:24''28 }1:28''29 }0:29''30 "));
    static const struct sl_slice bad[] = {
        SL_LIT("[1,]"),
        SL_LIT("[,1]"),
        SL_LIT("{,}"),
        SL_LIT("{\"a\":1,}"),
        SL_LIT("{\"a\"}"),
        SL_LIT("{\"a\":}"),
        SL_LIT("{1:2}"),
        SL_LIT("{a:1}"),
        SL_LIT("[}"),
        SL_LIT("{]"),
        SL_LIT("[1}"),
        SL_LIT("{\"a\":1]"),
        SL_LIT("[1 2]"),
        SL_LIT("]"),
        SL_LIT("}"),
        SL_LIT("{}{}"),
        SL_LIT("[]x"),
        SL_LIT("{\"a\":1}}"),
        SL_LIT("{{"),
        SL_LIT("{\"a\"::1}"),
        SL_LIT("[1,,2]"),
        SL_LIT("{'a':1}"),
        SL_LIT("[1]//c"),
        SL_LIT("{\"a\" 1}"),
        SL_LIT("True"),
        SL_LIT("nul "),
        SL_LIT("truE"),
        SL_LIT("[truex]"),
        SL_LIT("\xEF\xBB\xBF{}"),
        SL_LIT("\f1"),
        SL_LIT("\v1"),
        SL_LIT("\xC2\xA0"
               "1"),
        SL_LIT("{\"a\":1 \"b\":2}"),
        SL_LIT("\0"),
        SL_LIT(","),
        SL_LIT(":"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_error(bad[i], SL_E_INVALID);
}

static void unfinished(void **state) {
    (void)state;
    static const struct sl_slice cut[] = {
        SL_EMPTY,
        SL_LIT(" "),
        SL_LIT("["),
        SL_LIT("{"),
        SL_LIT("[1"),
        SL_LIT("{\"a\""),
        SL_LIT("\"abc"),
        SL_LIT("\"a\\"),
        SL_LIT("\"\\u12"),
        SL_LIT("tru"),
        SL_LIT("-"),
        SL_LIT("1."),
        SL_LIT("1e"),
        SL_LIT("1e-"),
        SL_LIT("[[]"),
        SL_LIT("{\"a\":"),
        SL_LIT("\"\xc3"),
        SL_LIT("[1,"),
        SL_LIT("{\"a\":1,"),
        SL_LIT("\"\\ud83d"),
        SL_LIT("\"\\ud83d\\"),
    };
    for (size_t i = 0; i < sizeof(cut) / sizeof(cut[0]); i++)
        expect_error(cut[i], SL_E_EOF);
}

static void escapes(void **state) {
    (void)state;
    expect(SL_LIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), SL_LIT("S0:0'\"\\/\b\f\n\r\t'18 "));
    expect(SL_LIT("\"a\\nb\\\"c\""), SL_LIT("S0:0'a\nb\"c'9 "));
    expect(SL_LIT("\"\\u0041\\u00e9\\u4E2d\\uFFFF\""),
           SL_LIT("S0:0'A\xc3\xa9\xe4\xb8\xad\xef\xbf\xbf'26 "));
    expect(SL_LIT("\"\\u0000\""), SL_LIT("S0:0'\0'8 "));
    expect(SL_LIT("\"\\ud83d\\uDE00\""), SL_LIT("S0:0'\xf0\x9f\x98\x80'14 "));
    expect(SL_LIT("\"\\ud800\\udc00\\udbff\\udfff\""),
           SL_LIT("S0:0'\xf0\x90\x80\x80\xf4\x8f\xbf\xbf'26 "));
    expect(SL_LIT("{\"\\u006dodel\":\"\\/x\"}"),
           SL_LIT("{0:0''1 K1:1'model'13 S1:14'/x'19 }0:19''20 "));
    static const struct sl_slice bad[] = {
        SL_LIT("\"\\x41\""),      SL_LIT("\"\\u00g0\""),        SL_LIT("\"\\ud83d\""),
        SL_LIT("\"\\ude00\""),    SL_LIT("\"\\ud83d\\ud83d\""), SL_LIT("\"\\ud83dx\""),
        SL_LIT("\"\\ud83d\\n\""), SL_LIT("\"\\ud83d\\u0041\""), SL_LIT("\"\\'\""),
        SL_LIT("\"\\\0\""),       SL_LIT("\"\\U0041\""),        SL_LIT("\"\\u+123\""),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_error(bad[i], SL_E_INVALID);
}

static void control_characters(void **state) {
    (void)state;
    for (char c = 0; c < 0x20; c++) {
        char doc[] = {'"', 'a', c, '"'};
        expect_error(sl_slice_of(doc, sizeof(doc)), SL_E_INVALID);
    }
}

static void utf8(void **state) {
    (void)state;
    static const struct sl_slice good[] = {
        SL_LIT("\xc2\x80"),         SL_LIT("\xdf\xbf"),
        SL_LIT("\xe0\xa0\x80"),     SL_LIT("\xed\x9f\xbf"),
        SL_LIT("\xee\x80\x80"),     SL_LIT("\xef\xbf\xbf"),
        SL_LIT("\xf0\x90\x80\x80"), SL_LIT("\xf4\x8f\xbf\xbf"),
        SL_LIT("\xf3\xbf\xbf\xbf"), SL_LIT("a\xc3\xa9z\xe4\xb8\xad"),
    };
    static const struct sl_slice bad[] = {
        SL_LIT("\x80"),
        SL_LIT("\xbf"),
        SL_LIT("\xc0\x80"),
        SL_LIT("\xc1\xbf"),
        SL_LIT("\xe0\x9f\xbf"),
        SL_LIT("\xed\xa0\x80"),
        SL_LIT("\xed\xbf\xbf"),
        SL_LIT("\xf0\x8f\xbf\xbf"),
        SL_LIT("\xf4\x90\x80\x80"),
        SL_LIT("\xf5\x80\x80\x80"),
        SL_LIT("\xff"),
        SL_LIT("\xc3\x28"),
        SL_LIT("\xe4\xb8 "),
        SL_LIT("\xf0\x9f\x98"),
        SL_LIT("\xc3\xa9\xa9"),
        SL_LIT("\xc3\\n"),
        SL_LIT("\xe0\xa0\xc3\xa9"),
    };
    for (int key = 0; key < 2; key++)
        for (size_t i = 0; i < 27; i++) {
            bool ok = i < 10;
            struct sl_slice s = ok ? good[i] : bad[i - 10];
            struct sl_buf doc, want;
            sl_buf_init(&doc, 100);
            sl_buf_init(&want, 100);
            assert_int_equal(sl_buf_printf(&doc, key ? "{\"%.*s\":1}" : "\"%.*s\"", SL_FMT(s)), 0);
            if (!ok)
                expect_error(sl_buf_slice(&doc), SL_E_INVALID);
            else if (!key) {
                assert_int_equal(sl_buf_printf(&want, "S0:0'%.*s'%zu ", SL_FMT(s), s.len + 2), 0);
                expect(sl_buf_slice(&doc), sl_buf_slice(&want));
            }
            sl_buf_done(&doc);
            sl_buf_done(&want);
        }
    expect_error(SL_LIT("[\xc3\xa9]"), SL_E_INVALID); /* outside of strings */
}

static void depth(void **state) {
    (void)state;
    char doc[SL_JSON_MAX_DEPTH + SL_JSON_MAX_DEPTH];
    struct log log;
    memset(doc, '[', SL_JSON_MAX_DEPTH);
    memset(doc + SL_JSON_MAX_DEPTH, ']', SL_JSON_MAX_DEPTH);
    assert_int_equal(parse(sl_slice_of(doc, sizeof(doc)), 1, 1, &log), 0);
    sl_buf_done(&log.out);
    memset(doc, '[', SL_JSON_MAX_DEPTH + 1);
    assert_int_equal(parse(sl_slice_of(doc, SL_JSON_MAX_DEPTH + 1), 1, 1, &log), SL_E_INVALID);
    sl_buf_done(&log.out);
}

/* The kind of each open container is remembered on all levels. */
static void mixed_nesting(void **state) {
    (void)state;
    struct sl_buf doc;
    struct log log;
    sl_buf_init(&doc, 2000);
    for (int i = 0; i < SL_JSON_MAX_DEPTH; i++)
        assert_int_equal(sl_buf_add_str(&doc, i % 3 ? "{\"k\":" : "["), 0);
    assert_int_equal(sl_buf_add_byte(&doc, '1'), 0);
    for (int i = SL_JSON_MAX_DEPTH - 1; i >= 0; i--)
        assert_int_equal(sl_buf_add_byte(&doc, i % 3 ? '}' : ']'), 0);
    assert_int_equal(parse(sl_buf_slice(&doc), 1, 1, &log), 0);
    sl_buf_done(&log.out);
    doc.ptr[doc.len - 1] = '}';
    assert_int_equal(parse(sl_buf_slice(&doc), doc.len, 1, &log), SL_E_INVALID);
    sl_buf_done(&log.out);
    sl_buf_done(&doc);
}

/* A piece without an escape is the input's own bytes. */
static int same_bytes(void *ctx, const struct sl_json_token *token) {
    const char *in = ctx;
    assert_int_equal(token->event, SL_JSON_STRING);
    assert_ptr_equal(token->text.ptr, in + 1);
    return SL_E_CANCELED;
}

static void no_copies_and_stop(void **state) {
    (void)state;
    static const char doc[] = "\"plain text, longer than one step of the scan \xc3\xa9\" ?";
    struct sl_json_tokenizer t;
    sl_json_init(&t, same_bytes, (void *)(uintptr_t)doc);
    assert_int_equal(sl_json_feed(&t, sl_slice_str(doc)), SL_E_CANCELED);
    assert_int_equal(sl_json_feed(&t, SL_LIT(" ")), SL_E_CANCELED);
    assert_int_equal(sl_json_finish(&t), SL_E_CANCELED);
}

/* The offset stands at the byte that is wrong. */
static void offset_of_error(void **state) {
    (void)state;
    struct log log = {0};
    struct sl_json_tokenizer t;
    sl_buf_init(&log.out, 1000);
    sl_json_init(&t, record, &log);
    assert_int_equal(sl_json_feed(&t, SL_LIT("{\"abc\"")), 0);
    assert_int_equal(sl_json_feed(&t, SL_LIT(" : ?}")), SL_E_INVALID);
    assert_int_equal(t.offset, 9);
    sl_buf_done(&log.out);
}

/* Hostile bodies of 25 MB in 64 KB pieces: counted, nothing kept. */
#define BODY  (25u << 20)
#define PIECE 65536u

static int count(void *ctx, const struct sl_json_token *token) {
    *(uint64_t *)ctx += token->last;
    return 0;
}

/* The tokens wanted: so many for each unit, and so many besides. */
static void expect_body(const char *head, const char *unit, const char *tail, int rc_wanted,
                        uint64_t for_each, uint64_t besides) {
    size_t unit_len = strlen(unit), units = PIECE / unit_len;
    char *piece = malloc(PIECE);
    struct sl_json_tokenizer t;
    uint64_t tokens = 0, pieces = 0;
    assert_non_null(piece);
    for (size_t i = 0; i < units * unit_len; i++)
        piece[i] = unit[i % unit_len];
    sl_json_init(&t, count, &tokens);
    uint64_t blocks = sl_mem_stats().blocks;
    int rc = sl_json_feed(&t, sl_slice_str(head));
    for (; rc == 0 && pieces < BODY / PIECE; pieces++)
        rc = sl_json_feed(&t, sl_slice_of(piece, units * unit_len));
    assert_int_equal(sl_mem_stats().blocks, blocks);
    if (rc == 0)
        rc = sl_json_feed(&t, sl_slice_str(tail));
    if (rc == 0)
        rc = sl_json_finish(&t);
    assert_int_equal(rc, rc_wanted);
    assert_int_equal(tokens, for_each * pieces * units + besides);
    free(piece);
}

static void hostile_bodies(void **state) {
    (void)state;
    expect_body("", "{", "", SL_E_INVALID, 0, 1);
    expect_body("", "[", "", SL_E_INVALID, 0, SL_JSON_MAX_DEPTH);
    expect_body("", "{\"a\":", "", SL_E_INVALID, 0, SL_JSON_MAX_DEPTH + SL_JSON_MAX_DEPTH);
    expect_body("", "{\"a\":1},", "", SL_E_INVALID, 0, 4);
    expect_body("\"", "abcdefgh", "\"", 0, 0, 1);
    expect_body("\"", "\\u4e2d\\n", "\"", 0, 0, 1);
    expect_body("\"", "\xe4\xb8\xad\xe6\x96\x87zz", "\"", 0, 0, 1);
    expect_body("", "7", "", 0, 0, 1);
    expect_body("0.", "0", "e1", 0, 0, 1);
    expect_body("", " ", "1", 0, 0, 1);
    expect_body("\"", "abcdefgh", "", SL_E_EOF, 0, 0);
    expect_body("{", "\"a\":1, ", "\"b\":{}}", 0, 2, 5);
    expect_body("[", "[],{},8,", "9]", 0, 5, 3);
}

static void scans_agree(void **state) {
    (void)state;
    char text[64];
    for (size_t at = 0; at < sizeof(text); at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            memset(text, 'a', sizeof(text));
            text[at] = (char)byte;
            text[sizeof(text) - 1] = '"';
            const char *want = text;
            while (sl_scan_is_plain(*want))
                want++;
            for (size_t from = 0; from <= at; from += 1 + at / 3) {
                const char *end = text + sizeof(text);
                assert_ptr_equal(sl_scan_plain(text + from, end), want);
                assert_ptr_equal(sl_scan_plain_portable(text + from, end), want);
                assert_ptr_equal(sl_scan_plain(text + from, text + at), text + at);
                assert_ptr_equal(sl_scan_plain_portable(text + from, text + at), text + at);
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars),
        cmocka_unit_test(numbers),
        cmocka_unit_test(containers),
        cmocka_unit_test(unfinished),
        cmocka_unit_test(escapes),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(utf8),
        cmocka_unit_test(depth),
        cmocka_unit_test(mixed_nesting),
        cmocka_unit_test(no_copies_and_stop),
        cmocka_unit_test(offset_of_error),
        cmocka_unit_test(hostile_bodies),
        cmocka_unit_test(scans_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
