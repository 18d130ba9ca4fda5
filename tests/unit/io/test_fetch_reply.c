/* The response parser by itself: every text whole, byte by byte, and with stops in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "reply_log.h"

#define OK    "HTTP/1.1 200 OK\r\n"
#define CHUNK "Transfer-Encoding: chunked\r\n"

struct expected {
    const char *text;
    int rc;
    const char *head, *body;
    bool keep, bodiless, open; /* open: the connection did not end behind the text */
    size_t left;               /* bytes that are not the response's */
};

#define IS(said, end, lines, bytes, ...)                                                           \
    { .text = said, .rc = end, .head = lines, .body = bytes, ##__VA_ARGS__ }

static const struct expected cases[] = {
    /* lengths */
    IS(OK "Content-Length: 5\r\n\r\nhello", SL_REPLY_DONE, "200 5\nContent-Length=5\n", "hello",
       .keep = true, .open = true),
    IS(OK "Content-Length: 0\r\n\r\n", SL_REPLY_DONE, "200 0\nContent-Length=0\n", "",
       .keep = true),
    IS(OK "content-length:2\r\n\r\nok", SL_REPLY_DONE, "200 2\ncontent-length=2\n", "ok",
       .keep = true),
    IS(OK "Content-Length: 5\r\n\r\nhel", SL_REPLY_MORE, "200 5\nContent-Length=5\n", "hel",
       .keep = true, .open = true),
    IS(OK "Content-Length: 5\r\n\r\nhel", SL_E_EOF, "200 5\nContent-Length=5\n", "hel"),
    IS(OK "Content-Length: 2\r\n\r\nokHTTP/1.1", SL_REPLY_DONE, "200 2\nContent-Length=2\n", "ok",
       .keep = true, .left = 8),
    IS(OK "Content-Length: 9223372036854775808\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS(OK "Content-Length: -1\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS(OK "Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", SL_E_PROTOCOL, "", ""),
    IS(OK "Content-Length: 2\r\n" CHUNK "\r\n0\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS(OK CHUNK "Content-Length: 2\r\n\r\n0\r\n\r\n", SL_E_PROTOCOL, "", ""),
    /* chunks */
    IS(OK CHUNK "\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-T: t\r\n\r\n", SL_REPLY_DONE,
       "200 -1\nTransfer-Encoding=chunked\n", "hello world", .keep = true, .open = true),
    IS(OK CHUNK "\r\n5\r\nhello\r\n", SL_E_EOF, "200 -1\nTransfer-Encoding=chunked\n", "hello"),
    IS(OK CHUNK "\r\n5\r\nhello\r\n0\r\n\r\nx", SL_REPLY_DONE,
       "200 -1\nTransfer-Encoding=chunked\n", "hello", .keep = true, .left = 1),
    IS(OK CHUNK "\r\nzz\r\n", SL_E_PROTOCOL, "200 -1\nTransfer-Encoding=chunked\n", ""),
    IS(OK CHUNK "\r\n2\r\nabc\r\n", SL_E_PROTOCOL, "200 -1\nTransfer-Encoding=chunked\n", "ab"),
    IS(OK CHUNK "\r\n10000000000000000\r\n", SL_E_PROTOCOL, "200 -1\nTransfer-Encoding=chunked\n",
       ""),
    /* until the end */
    IS(OK "\r\nuntil the end", SL_REPLY_DONE, "200 -1\n", "until the end"),
    IS(OK "Transfer-Encoding: gzip\r\n\r\nx", SL_REPLY_DONE, "200 -1\nTransfer-Encoding=gzip\n",
       "x"),
    IS(OK "\r\nuntil", SL_REPLY_MORE, "200 -1\n", "until", .open = true),
    /* no body */
    IS("HTTP/1.1 204 No Content\r\n\r\n", SL_REPLY_DONE, "204 -1\n", "", .keep = true),
    IS("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", SL_REPLY_DONE,
       "304 9\nContent-Length=9\n", "", .keep = true),
    IS(OK "Content-Length: 9\r\n\r\n", SL_REPLY_DONE, "200 9\nContent-Length=9\n", "", .keep = true,
       .bodiless = true),
    IS(OK "\r\n", SL_REPLY_DONE, "200 -1\n", "", .keep = true, .bodiless = true, .open = true),
    IS(OK CHUNK "\r\n", SL_REPLY_DONE, "200 -1\nTransfer-Encoding=chunked\n", "", .keep = true,
       .bodiless = true, .open = true),
    /* keeping the connection */
    IS(OK "Connection: close\r\nContent-Length: 0\r\n\r\n", SL_REPLY_DONE,
       "200 0\nConnection=close\nContent-Length=0\n", ""),
    IS("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", SL_REPLY_DONE, "200 0\nContent-Length=0\n",
       ""),
    IS("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", SL_REPLY_DONE,
       "200 0\nConnection=keep-alive\nContent-Length=0\n", "", .keep = true),
    /* interim responses */
    IS("HTTP/1.1 100 Continue\r\nA: no\r\n\r\nHTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 500 Oh\r\n"
       "Content-Length: 2\r\n\r\nok",
       SL_REPLY_DONE, "500 2\nContent-Length=2\n", "ok", .keep = true),
    IS("HTTP/1.1 102 Processing\r\nContent-Length: 3\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", SL_REPLY_DONE,
       "200 -1\n", ""),
    IS("HTTP/1.1 100 Continue\r\n\r\n", SL_REPLY_MORE, "", "", .open = true),
    IS("HTTP/1.1 100 Continue\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
       SL_E_PROTOCOL, "", ""),
    IS(OK "Upgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok", SL_REPLY_DONE,
       "200 2\nUpgrade=h2\nConnection=Upgrade\nContent-Length=2\n", "ok", .keep = true),
    /* lines */
    IS(OK "Folded: one\r\n\ttwo\r\n  three\r\nEmpty:\r\nX:  a b \r\nContent-Length: 0\r\n\r\n",
       SL_REPLY_DONE, "200 0\nFolded=one  \ttwo    three\nEmpty=\nX=a b\nContent-Length=0\n", "",
       .keep = true),
    IS(OK "No colon\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS(OK ": nameless\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS("HTTP/2.0 200 OK\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS("HTTP/1.1 099 Low\r\n\r\n", SL_E_PROTOCOL, "", ""),
    IS("SSH-2.0-OpenSSH_9.2\r\n", SL_E_PROTOCOL, "", ""),
    IS("HTTP/1.1 200 OK\r\nA: b", SL_E_PROTOCOL, "", ""),
    IS("", SL_E_PROTOCOL, "", ""),
};

static void check(const struct expected *e, size_t piece, bool stops) {
    struct reply_log log;
    struct sl_slice text = sl_slice_str(e->text);
    reply_log_run(&log, text, piece, e->bodiless, stops, !e->open);
    if (log.rc != e->rc)
        fail_msg("%s: %d, not %d (%s)", e->text, log.rc, e->rc, log.why ? log.why : "");
    assert_true(sl_slice_eq(sl_buf_slice(&log.body), sl_slice_str(e->body)));
    if (!sl_slice_eq(sl_buf_slice(&log.head), sl_slice_str(e->head)))
        fail_msg("%s gave %.*s", e->text, SL_FMT(sl_buf_slice(&log.head)));
    assert_true((log.rc < 0) == (log.why != NULL));
    if (log.rc >= 0) {
        assert_int_equal(log.keep, e->keep);
        assert_int_equal(log.used, text.len - e->left);
    }
    reply_log_done(&log);
}

static void test_reads_every_cut(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (size_t piece = strlen(cases[i].text) + 1; piece > 0; piece--) {
            check(&cases[i], piece, false);
            check(&cases[i], piece, true);
        }
}

/* Whatever has no end and brings nothing is refused, at any size of pieces. */
static void test_has_limits(void **state) {
    (void)state;
    static const struct {
        const char *begin, *again;
    } endless[] = {
        {OK, "X-Again: and again\r\n"},
        {OK "X: ", "and on and on and on"},
        {"", "HTTP/1.1 100 Continue\r\n\r\n"},
        {OK CHUNK "\r\n5;", "extension"},
        {OK CHUNK "\r\n0\r\n", "X-Trailer: on\r\n"},
        {"", "\r\n"},
    };
    for (size_t i = 0; i < sizeof(endless) / sizeof(endless[0]); i++) {
        struct sl_buf text;
        sl_buf_init(&text, 1u << 20);
        reply_log_must(sl_buf_add_str(&text, endless[i].begin));
        while (text.len < 200000)
            reply_log_must(sl_buf_add_str(&text, endless[i].again));
        const size_t pieces[] = {100, 32768};
        for (size_t k = 0; k < 2; k++) {
            struct reply_log log;
            reply_log_run(&log, sl_buf_slice(&text), pieces[k], false, false, false);
            assert_int_equal(log.rc, SL_E_PROTOCOL);
            assert_true(log.used <= SL_REPLY_HEAD_MAX + 32768);
            reply_log_done(&log);
        }
        sl_buf_done(&text);
    }
}

/* Small chunks are no such thing, however many. */
static void test_takes_many_small_chunks(void **state) {
    (void)state;
    struct sl_buf text;
    struct reply_log log;
    sl_buf_init(&text, 1u << 20);
    reply_log_must(sl_buf_add_str(&text, OK CHUNK "\r\n"));
    for (int i = 0; i < 50000; i++)
        reply_log_must(sl_buf_add_str(&text, "1\r\nx\r\n"));
    reply_log_must(sl_buf_add_str(&text, "0\r\n\r\n"));
    reply_log_run(&log, sl_buf_slice(&text), 1000, false, true, false);
    assert_int_equal(log.rc, SL_REPLY_DONE);
    assert_int_equal(log.body.len, 50000);
    reply_log_done(&log);
    sl_buf_done(&text);
}

static void test_memory_out_in_the_head(void **state) {
    (void)state;
    static const struct sl_reply_events events = {reply_log_on_head, reply_log_on_body};
    struct reply_log log = {0};
    struct sl_reply reply;
    size_t used;
    sl_reply_init(&reply, &events, &log);
    char part[] = OK;
    sl_mem_fail_after(1);
    assert_int_equal(sl_reply_feed(&reply, part, sizeof(part) - 1, &used), SL_E_NOMEM);
    sl_mem_fail_after(0);
    assert_non_null(reply.why);
    sl_reply_done(&reply);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_every_cut),
        cmocka_unit_test(test_has_limits),
        cmocka_unit_test(test_takes_many_small_chunks),
        cmocka_unit_test(test_memory_out_in_the_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
