/* Server-sent events: the rules of WHATWG HTML 9.2, at every split of the input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/wire/sse.h"

/* Events as "name|data;" in a row. */
static int record(void *ctx, const struct sl_sse_event *event) {
    struct sl_buf *log = ctx;
    return sl_buf_printf(log, "%.*s|%.*s;", SL_FMT(event->event), SL_FMT(event->data));
}

/* The log of the input fed as a first piece, then pieces of `piece` bytes. */
static int feed(struct sl_slice in, size_t first, size_t piece, size_t max, struct sl_buf *log) {
    struct sl_sse_parser p;
    int rc = 0;
    sl_sse_init(&p, max);
    sl_buf_init(log, 10000);
    for (size_t n = first; rc == 0 && in.len > 0; n = piece) {
        rc = sl_sse_feed(&p, sl_slice_head(in, n), record, log);
        in = sl_slice_skip(in, n);
    }
    sl_sse_done(&p);
    return rc;
}

static void expect(struct sl_slice in, const char *events) {
    for (size_t first = 0; first <= in.len; first++)
        for (size_t piece = 1; piece <= in.len + 1; piece += piece < 3 ? 1 : in.len) {
            struct sl_buf log;
            assert_int_equal(feed(in, first, piece, 100, &log), 0);
            assert_int_equal(sl_buf_terminate(&log), 0);
            assert_string_equal(log.ptr, events);
            sl_buf_done(&log);
        }
}

static void fields(void **state) {
    (void)state;
    expect(SL_LIT("data: a\n\n"), "|a;");
    expect(SL_LIT("data:a\n\n"), "|a;");
    expect(SL_LIT("data:  a \n\n"), "| a ;"); /* one space goes */
    expect(SL_LIT("event: x\ndata: a\n\n"), "x|a;");
    expect(SL_LIT("data: a\nevent: x\nevent: y\n\n"), "y|a;");
    expect(SL_LIT("data: a\ndata: b\n\n"), "|a\nb;");
    expect(SL_LIT("data\n\n"), "|;");
    expect(SL_LIT("data\ndata\n\n"), "|\n;");
    expect(SL_LIT("data:\ndata: b\n\n"), "|\nb;");
    expect(SL_LIT("data: a:b\n\n"), "|a:b;");
    expect(SL_LIT("id: 1\nretry: 5\n: note\nfoo: x\nDATA: y\ndata: a\n\n"), "|a;");
    expect(SL_LIT("data : a\n\n"), "");
    expect(SL_LIT("data: {\"p\":1}\n\ndata: [DONE]\n\n"), "|{\"p\":1};|[DONE];");
}

static void no_event(void **state) {
    (void)state;
    expect(SL_EMPTY, "");
    expect(SL_LIT("\n\n\n"), "");
    expect(SL_LIT(": ping\n\n"), "");
    expect(SL_LIT("event: x\n\ndata: a\n\n"), "|a;"); /* the name does not carry over */
    expect(SL_LIT("data: a\n"), "");                  /* unfinished */
    expect(SL_LIT("data: a\n\ndata: b"), "|a;");
}

static void line_ends(void **state) {
    (void)state;
    expect(SL_LIT("data: a\r\n\r\ndata: b\r\n\r\n"), "|a;|b;");
    expect(SL_LIT("data: a\r\rdata: b\r\r"), "|a;|b;");
    expect(SL_LIT("data: a\r\ndata: b\rdata: c\n\r\n"), "|a\nb\nc;");
    expect(SL_LIT("data: a\n\r"), "|a;");
    expect(SL_LIT("data: a\r\n\n"), "|a;");
    expect(SL_LIT("\r\r\r\n\r\rdata: a\r\r"), "|a;");
}

static void byte_order_mark(void **state) {
    (void)state;
    expect(SL_LIT("\xEF\xBB\xBF"
                  "data: a\n\n"),
           "|a;");
    expect(SL_LIT("\xEF\xBB\xBF\ndata: a\n\n"), "|a;");
    expect(SL_LIT("\n\xEF\xBB\xBF"
                  "data: a\n\n"),
           ""); /* only at the start */
    expect(SL_LIT("\xEF\xBB\xBF\xEF\xBB\xBF"
                  "data: a\n\n"),
           "");
    expect(SL_LIT("\xEF\xBB"
                  "data: a\n\n"),
           "");
}

/* The maximum holds for an event as a whole, at any split, and not for the stream. */
static void limits(void **state) {
    (void)state;
    static const struct {
        struct sl_slice in;
        int rc;
    } cases[] = {
        {SL_LIT("data: 34567890123456\n\n"), 0},
        {SL_LIT("data: 345678901234567890\n\n"), 0},
        {SL_LIT("data: 3456789012345678901\n\n"), SL_E_LIMIT},
        {SL_LIT(": 345678901234567890123456789"), SL_E_LIMIT},
        {SL_LIT("data: 3456789\ndata: 0123456789\n\n"), 0},
        {SL_LIT("data: 3456789\ndata: 0123456789\ndata: 3\n\n"), SL_E_LIMIT},
        {SL_LIT("event: 34567890\ndata: 0123456789\n\n"), 0},
        {SL_LIT("event: 34567890\ndata: 01234567890\n\n"), SL_E_LIMIT},
        {SL_LIT("data: 34567890\n\ndata: 34567890\n\ndata: 34567890\n\n"), 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t piece = 1; piece <= cases[i].in.len; piece++) {
            struct sl_buf log;
            assert_int_equal(feed(cases[i].in, piece, piece, 24, &log), cases[i].rc);
            sl_buf_done(&log);
        }
}

static int refuse(void *ctx, const struct sl_sse_event *event) {
    (void)event;
    ++*(int *)ctx;
    return SL_E_CANCELED;
}

static void the_callback_may_stop(void **state) {
    (void)state;
    struct sl_sse_parser p;
    int calls = 0;
    sl_sse_init(&p, 100);
    assert_int_equal(sl_sse_feed(&p, SL_LIT("data: a\n\ndata: b\n\n"), refuse, &calls),
                     SL_E_CANCELED);
    assert_int_equal(calls, 1);
    sl_sse_done(&p);
}

static void out_of_memory(void **state) {
    (void)state;
    struct sl_slice in = SL_LIT("event: x\ndata: a\n\n");
    for (uint64_t n = 1; n <= 4; n++) {
        struct sl_sse_parser p;
        sl_sse_init(&p, 100);
        sl_mem_fail_after(n);
        int rc = 0, calls = 0;
        for (size_t i = 0; rc == 0 && i < in.len; i++)
            rc = sl_sse_feed(&p, sl_slice_of(in.ptr + i, 1), refuse, &calls);
        (void)sl_mem_fail_after(0);
        assert_int_equal(rc, n <= 3 ? SL_E_NOMEM : SL_E_CANCELED); /* line, event, data */
        sl_sse_done(&p);
    }
}

static void encode(void **state) {
    (void)state;
    struct sl_buf out;
    sl_buf_init(&out, 60);
    assert_int_equal(sl_sse_encode(&out, SL_EMPTY, SL_LIT("a")), 0);
    assert_int_equal(sl_sse_encode(&out, SL_LIT("x"), SL_LIT("a\nb\r\nc\rd")), 0);
    assert_true(sl_slice_eq(sl_buf_slice(&out),
                            SL_LIT("data: a\n\nevent: x\ndata: a\ndata: b\ndata: c\ndata: d\n\n")));
    /* What does not fit leaves no part behind. */
    size_t len = out.len;
    assert_int_equal(sl_sse_encode(&out, SL_LIT("x"), SL_LIT("a")), SL_E_LIMIT);
    assert_int_equal(sl_sse_encode(&out, SL_LIT("x\ndata: y"), SL_LIT("a")), SL_E_INVALID);
    assert_int_equal(sl_sse_encode(&out, SL_LIT("x\r"), SL_LIT("a")), SL_E_INVALID);
    assert_int_equal(out.len, len);
    sl_buf_done(&out);
}

static void encode_then_parse(void **state) {
    (void)state;
    static const struct sl_slice texts[] = {SL_EMPTY,         SL_LIT("a"),  SL_LIT(" a"),
                                            SL_LIT("a\n"),    SL_LIT("\n"), SL_LIT("a\n\nb"),
                                            SL_LIT("data: x")};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sl_buf out, log;
        sl_buf_init(&out, 1000);
        assert_int_equal(sl_sse_encode(&out, SL_LIT("n"), texts[i]), 0);
        assert_int_equal(feed(sl_buf_slice(&out), 1, 1, 1000, &log), 0);
        sl_buf_clear(&out);
        assert_int_equal(sl_buf_printf(&out, "n|%.*s;", SL_FMT(texts[i])), 0);
        assert_true(sl_slice_eq(sl_buf_slice(&log), sl_buf_slice(&out)));
        sl_buf_done(&out);
        sl_buf_done(&log);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields),
        cmocka_unit_test(no_event),
        cmocka_unit_test(line_ends),
        cmocka_unit_test(byte_order_mark),
        cmocka_unit_test(limits),
        cmocka_unit_test(the_callback_may_stop),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(encode),
        cmocka_unit_test(encode_then_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
