/* Strict reading of heads: what is understood, and what is refused with which status. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "front/head.h"

struct result {
    struct sl_arena arena;
    struct sl_request_head head;
    struct sl_head_facts facts;
    const char *why;
    int status;
};

static struct result read_it(struct sl_slice raw, size_t max_headers) {
    struct result r = {0};
    sl_arena_init(&r.arena, 65536);
    r.status = sl_head_read(raw, max_headers, &r.arena, &r.head, &r.facts, &r.why);
    if (r.status)
        assert_non_null(r.why);
    return r;
}

static void assert_slice(struct sl_slice s, const char *want) {
    if (!sl_slice_eq(s, sl_slice_str(want)))
        fail_msg("\"%.*s\" is not \"%s\"", SL_FMT(s), want);
}

static void test_a_head_is_understood(void **state) {
    (void)state;
    struct result r = read_it(SL_LIT("\r\nPOST /model/a%3Ab/converse?x=1 HTTP/1.1\r\n"
                                     "hOST: example.com:8080\r\n"
                                     "X-Empty:\r\n"
                                     "X-Spaces: \t a b\t \r\n"
                                     "X-Latin: caf\xe9\r\n"
                                     "Expect: 100-Continue\r\n"
                                     "Content-Length: 12\r\n\r\n"),
                              10);
    assert_int_equal(r.status, 0);
    assert_slice(r.head.method, "POST");
    assert_slice(r.head.target, "/model/a%3Ab/converse?x=1");
    assert_slice(r.head.authority, "example.com:8080");
    assert_int_equal(r.head.version, 11);
    assert_int_equal(r.head.content_length, 12);
    assert_true(r.head.has_body && r.facts.expects_continue && !r.facts.chunked);
    assert_int_equal(r.head.headers.count, 6);
    assert_slice(r.head.headers.items[0].name, "hOST"); /* as sent */
    assert_slice(r.head.headers.items[1].value, "");
    assert_slice(r.head.headers.items[2].value, "a b");
    assert_slice(r.head.headers.items[3].value, "caf\xe9");
    sl_arena_done(&r.arena);
}

static void test_targets(void **state) {
    (void)state;
    static const struct {
        const char *line, *target, *authority;
    } cases[] = {
        {"GET / HTTP/1.1", "/", "h"},
        {"GET //x HTTP/1.1", "//x", "h"},
        {"OPTIONS * HTTP/1.1", "*", "h"},
        {"GET http://other:81/p?q HTTP/1.1", "/p?q", "other:81"},
        {"GET HTTPS://other HTTP/1.1", "/", "other"},
        {"GET /http://x/ HTTP/1.1", "/http://x/", "h"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char raw[200];
        snprintf(raw, sizeof(raw), "%s\r\nHost: h\r\n\r\n", cases[i].line);
        struct result r = read_it(sl_slice_str(raw), 10);
        assert_int_equal(r.status, 0);
        assert_slice(r.head.target, cases[i].target);
        assert_slice(r.head.authority, cases[i].authority);
        sl_arena_done(&r.arena);
    }
}

static void test_bodies(void **state) {
    (void)state;
    static const struct {
        const char *header;
        int64_t length;
        bool has_body, chunked;
    } cases[] = {
        {"", 0, false, false},
        {"Content-Length: 0\r\n", 0, false, false},
        {"Content-Length: 9223372036854775807\r\n", INT64_MAX, true, false},
        {"Transfer-Encoding: Chunked\r\n", SL_LENGTH_UNKNOWN, true, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char raw[200];
        snprintf(raw, sizeof(raw), "POST / HTTP/1.1\r\nHost: h\r\n%s\r\n", cases[i].header);
        struct result r = read_it(sl_slice_str(raw), 10);
        assert_int_equal(r.status, 0);
        assert_true(r.head.content_length == cases[i].length);
        assert_int_equal(r.head.has_body, cases[i].has_body);
        assert_int_equal(r.facts.chunked, cases[i].chunked);
        sl_arena_done(&r.arena);
    }
}

#define LINE "GET / HTTP/1.1\r\nHost: h\r\n"

static void test_what_is_refused(void **state) {
    (void)state;
    static const struct {
        int status;
        struct sl_slice raw;
    } cases[] = {
        {400, SL_LIT("GET /\r\n\r\n")},                      /* HTTP/0.9 */
        {400, SL_LIT("GET / HTTP/1.1 \r\nHost: h\r\n\r\n")}, /* trailing space */
        {400, SL_LIT("GET  / HTTP/1.1\r\nHost: h\r\n\r\n")}, /* two spaces */
        {400, SL_LIT(" GET / HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("G(T / HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET / http/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET / HTTP/1.10\r\nHost: h\r\n\r\n")},
        {505, SL_LIT("GET / HTTP/2.0\r\nHost: h\r\n\r\n")},
        {505, SL_LIT("GET / HTTP/1.2\r\nHost: h\r\n\r\n")},
        {505, SL_LIT("GET / HTTP/0.9\r\nHost: h\r\n\r\n")},
        {501, SL_LIT("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET * HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET x HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET http://u@h/x HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET /\x80 HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET /\x01 HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT("GET / HTTP/1.1\r\n\r\n")}, /* no Host */
        {400, SL_LIT(LINE "Host: h\r\n\r\n")},   /* two */
        {400, SL_LIT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")},
        {400, SL_LIT("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n")},
        {400, SL_LIT("GET / HTTP/1.1\r\nHost: h/x\r\n\r\n")},
        {400, SL_LIT(LINE "X: a\r\n b\r\n\r\n")}, /* folded */
        {400, SL_LIT(LINE "X: a\r\n\tb\r\n\r\n")},
        {400, SL_LIT("GET / HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n")},
        {400, SL_LIT(LINE ": a\r\n\r\n")},   /* empty name */
        {400, SL_LIT(LINE "X : a\r\n\r\n")}, /* space before the colon */
        {400, SL_LIT(LINE "X\t: a\r\n\r\n")},
        {400, SL_LIT(LINE "X Y: a\r\n\r\n")},
        {400, SL_LIT(LINE "X\r\n\r\n")}, /* no colon */
        {400, SL_LIT(LINE "X\xe9: a\r\n\r\n")},
        {400, SL_LIT(LINE "X: a\0b\r\n\r\n")},
        {400, SL_LIT(LINE "X: a\x7f\r\n\r\n")},
        {400, SL_LIT(LINE "X: a\rb\r\n\r\n")},    /* bare CR */
        {400, SL_LIT(LINE "X: a\nY: b\r\n\r\n")}, /* bare LF */
        {400, SL_LIT("GET / HTTP/1.1\nHost: h\r\n\r\n")},
        {400, SL_LIT(LINE "\n")},
        {400, SL_LIT("\nGET / HTTP/1.1\r\nHost: h\r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: 1\r\nContent-Length: 1\r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: 1\r\ncontent-length: 2\r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: 1, 1\r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: +1\r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: 0x1\r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: \r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: 9223372036854775808\r\n\r\n")},
        {400, SL_LIT(LINE "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")},
        {400, SL_LIT(LINE "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n")},
        {400, SL_LIT(LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")},
        {501, SL_LIT(LINE "Transfer-Encoding: gzip, chunked\r\n\r\n")},
        {501, SL_LIT(LINE "Transfer-Encoding: chunked, identity\r\n\r\n")},
        {501, SL_LIT(LINE "Transfer-Encoding: xchunked\r\n\r\n")},
        {400, SL_LIT(LINE "Transfer-Encoding:\r\n\r\n")},
        {400, SL_LIT(LINE "Transfer-Encoding: \vchunked\r\n\r\n")},
        {400, SL_LIT("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")},
        {431, SL_LIT(LINE "A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\n\r\n")}, /* four are allowed below */
        {400, SL_LIT("")},
        {400, SL_LIT("\r\n\r\n")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct result r = read_it(cases[i].raw, 4);
        if (r.status != cases[i].status)
            fail_msg("%d, not %d, for: %.*s", r.status, cases[i].status, SL_FMT(cases[i].raw));
        sl_arena_done(&r.arena);
    }
}

/* Whatever is cut off, nothing is taken for a whole head. */
static void test_no_part_passes_for_the_whole(void **state) {
    (void)state;
    struct sl_slice raw = SL_LIT("POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n");
    for (size_t n = 0; n < raw.len; n++) {
        struct result r = read_it(sl_slice_head(raw, n), 10);
        assert_int_equal(r.status, 400);
        sl_arena_done(&r.arena);
    }
    struct result r = read_it(raw, 10);
    assert_int_equal(r.status, 0);
    sl_arena_done(&r.arena);
}

static void test_what_was_understood_is_told(void **state) {
    (void)state;
    struct result r = read_it(SL_LIT("POST /x HTTP/1.0\r\nBad header\r\n\r\n"), 10);
    assert_int_equal(r.status, 400);
    assert_slice(r.head.method, "POST");
    assert_slice(r.head.target, "/x");
    assert_int_equal(r.head.version, 10);
    sl_arena_done(&r.arena);
}

static void test_lack_of_memory_is_503(void **state) {
    (void)state;
    struct result r = {0};
    sl_arena_init(&r.arena, 0);
    int status = sl_head_read(SL_LIT(LINE "\r\n"), 10, &r.arena, &r.head, &r.facts, &r.why);
    assert_int_equal(status, 503);
}

static void test_trailers(void **state) {
    (void)state;
    static const struct {
        struct sl_slice line;
        int status;
    } cases[] = {
        {SL_LIT("\r\n"), 0},
        {SL_LIT("X-A: b\r\n"), 0},
        {SL_LIT("X-A:\r\n"), 0},
        {SL_LIT("\n"), 400},
        {SL_LIT("X-A: b\n"), 400},
        {SL_LIT("X-A: b"), 400},
        {SL_LIT("X-A: b\r\r\n"), 400},
        {SL_LIT(" X-A: b\r\n"), 400},
        {SL_LIT("X-A : b\r\n"), 400},
        {SL_LIT(": b\r\n"), 400},
        {SL_LIT("X-A\r\n"), 400},
        {SL_LIT("X-A: \0\r\n"), 400},
        {SL_LIT("content-length: 1\r\n"), 400},
        {SL_LIT("Transfer-Encoding: chunked\r\n"), 400},
        {SL_LIT("Host: x\r\n"), 400},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why = NULL;
        assert_int_equal(sl_head_trailer(cases[i].line, &why), cases[i].status);
        assert_true((why != NULL) == (cases[i].status != 0));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_head_is_understood),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_no_part_passes_for_the_whole),
        cmocka_unit_test(test_what_was_understood_is_told),
        cmocka_unit_test(test_lack_of_memory_is_503),
        cmocka_unit_test(test_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
