/* HTTP/1 over real loopback sockets: what the client sees, what the handler is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/front/front.h"

#include "../io/certificate.h"
#include "../io/tls_client.h"

/* One stream as the handler sees it. What it does is chosen by the target. */
struct exchange {
    struct sl_list link;
    struct sl_stream *stream;
    char target[64];
    struct sl_buf body, out;
    uint64_t big; /* body bytes that are made up as they are asked for */
    size_t at;
    bool ended; /* no more will be added to out */
    bool body_end;
};

static struct {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_front *front;
    const char *address;
    struct sl_list exchanges;
    char log[8192];
    int open, most_open;
    bool in_call; /* the test, or the handler, is inside of a call that must not call back */
    struct sl_headers headers; /* that responses bear */
    bool memory_fails;
} rig;

static void note(const char *fmt, ...) SL_PRINTF(1, 2);
static void note(const char *fmt, ...) {
    size_t len = strlen(rig.log);
    va_list args;
    va_start(args, fmt);
    assert_true(vsnprintf(rig.log + len, sizeof(rig.log) - len, fmt, args) >= 0);
    va_end(args);
    assert_false(rig.in_call);
}

#define CALL(expression)                                                                           \
    do {                                                                                           \
        rig.in_call = true;                                                                        \
        expression;                                                                                \
        rig.in_call = false;                                                                       \
    } while (0)

static bool starts(const struct exchange *x, const char *prefix) {
    return strncmp(x->target, prefix, strlen(prefix)) == 0;
}

static void respond(struct exchange *x, int status, int64_t length) {
    struct sl_response_head head = {
        .status = status, .headers = rig.headers, .content_length = length};
    int rc;
    CALL(rc = sl_stream_respond(x->stream, &head));
    if (rc == SL_E_NOMEM && rig.memory_fails) {
        CALL(sl_stream_abort(x->stream));
        return;
    }
    assert_int_equal(rc, SL_OK);
    CALL(rc = sl_stream_respond(x->stream, &head));
    assert_int_equal(rc, SL_E_EXISTS);
}

static void add(struct exchange *x, struct sl_buf *buf, struct sl_slice s) {
    int rc = sl_buf_add(buf, s);
    if (rc == SL_E_NOMEM && rig.memory_fails)
        CALL(sl_stream_abort(x->stream));
    else
        assert_int_equal(rc, SL_OK);
}

static void say(struct exchange *x, const char *text) {
    add(x, &x->out, sl_slice_str(text));
    CALL(sl_stream_wake(x->stream));
}

static void finish(struct exchange *x) {
    x->ended = true;
    CALL(sl_stream_wake(x->stream));
}

static struct exchange *new_exchange(struct sl_stream *stream, const struct sl_request_head *head) {
    struct exchange *x = sl_calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->stream = stream;
    snprintf(x->target, sizeof(x->target), "%.*s", SL_FMT(head->target));
    sl_buf_init(&x->body, 1 << 26);
    sl_buf_init(&x->out, 1 << 26);
    sl_list_push_back(&rig.exchanges, &x->link);
    if (++rig.open > rig.most_open)
        rig.most_open = rig.open;
    return x;
}

static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *head) {
    assert_ptr_equal(server, &rig);
    note("[%.*s %.*s %d %s%lld", SL_FMT(head->method), SL_FMT(head->target), head->version,
         head->has_body ? "body " : "", (long long)head->content_length);
    if (sl_slice_starts(head->target, SL_LIT("/null")))
        return NULL;
    struct exchange *x = new_exchange(stream, head);
    if (!x)
        return NULL;
    if (starts(x, "/early"))
        respond(x, 200, 2), say(x, "ok"), finish(x);
    if (starts(x, "/pause"))
        CALL(sl_stream_pause_body(stream));
    if (starts(x, "/hints"))
        CALL(sl_stream_interim(stream, 103));
    if (starts(x, "/last"))
        CALL(sl_stream_close_connection_after(stream));
    return x;
}

static void *on_malformed(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why) {
    (void)server;
    assert_non_null(why);
    note("[malformed %d %.*s", status, SL_FMT(head->method));
    struct exchange *x = new_exchange(stream, head);
    if (!x)
        return NULL;
    respond(x, status, 4);
    say(x, "bad!");
    finish(x);
    return x;
}

static void on_body(void *ctx, struct sl_slice bytes) {
    struct exchange *x = ctx;
    assert_false(x->body_end);
    assert_true(bytes.len > 0);
    assert_false(rig.in_call);
    if (starts(x, "/first") && x->body.len == 0)
        CALL(sl_stream_pause_body(x->stream));
    if (!starts(x, "/sink"))
        add(x, &x->body, bytes);
}

static void on_body_end(void *ctx) {
    struct exchange *x = ctx;
    assert_false(x->body_end);
    x->body_end = true;
    note(" %.*s", (int)(x->body.len < 100 ? x->body.len : 100), x->body.ptr ? x->body.ptr : "");
    if (starts(x, "/hold") || starts(x, "/early") || starts(x, "/drip"))
        return;
    struct sl_slice body = sl_buf_slice(&x->body);
    if (starts(x, "/big")) {
        x->big = strtoull(x->target + 5, NULL, 10);
        respond(x, 200, x->target[4] == '=' ? (int64_t)x->big : SL_LENGTH_UNKNOWN);
        return;
    }
    if (starts(x, "/204") || starts(x, "/304")) {
        respond(x, starts(x, "/204") ? 204 : 304, SL_LENGTH_UNKNOWN);
    } else if (starts(x, "/short")) {
        respond(x, 200, 10);
        say(x, "abc");
    } else if (starts(x, "/abort")) {
        respond(x, 200, SL_LENGTH_UNKNOWN);
        say(x, "abc");
        CALL(sl_stream_abort(x->stream));
    } else {
        respond(x, 200, starts(x, "/chunked") ? SL_LENGTH_UNKNOWN : (int64_t)body.len);
        add(x, &x->out, body);
    }
    finish(x);
}

static void on_fault(void *ctx, int status, const char *why) {
    struct exchange *x = ctx;
    assert_false(x->body_end);
    assert_non_null(why);
    note(" fault %d", status);
    if (sl_stream_responded(x->stream))
        return;
    respond(x, status, 5);
    say(x, "fault");
    finish(x);
}

static char made_up[65536];

static size_t peek(void *ctx, struct sl_slice *out, size_t max, bool *end) {
    struct exchange *x = ctx;
    assert_false(rig.in_call);
    size_t n = 0;
    if (x->big > 0) {
        uint64_t left = x->big - x->at;
        /* Made-up content repeats with the buffer's size, so a slice may start anywhere in it. */
        for (size_t at = x->at; n < max && left > 0; n++) {
            size_t from = at % sizeof(made_up), len = sizeof(made_up) - from;
            len = len < left ? len : (size_t)left;
            out[n] = sl_slice_of(made_up + from, len);
            at += len;
            left -= len;
        }
        *end = left == 0;
        return n;
    }
    struct sl_slice rest = sl_slice_skip(sl_buf_slice(&x->out), x->at);
    for (; n < max && rest.len > 0; n++) { /* in pieces, to make it harder */
        out[n] = sl_slice_head(rest, n == 0 ? 1 : 1000);
        rest = sl_slice_skip(rest, out[n].len);
    }
    *end = x->ended && rest.len == 0;
    return n;
}

static void advance(void *ctx, size_t n) {
    struct exchange *x = ctx;
    assert_false(rig.in_call);
    x->at += n;
}

static void on_close(void *ctx, enum sl_close_reason reason) {
    static const char *const names[] = {"done", "client", "timeout", "abort", "shutdown"};
    struct exchange *x = ctx;
    note(" %s]", names[reason]);
    rig.open--;
    sl_list_remove(&x->link);
    sl_buf_done(&x->body);
    sl_buf_done(&x->out);
    sl_free(x);
}

static const struct sl_front_handler handler = {.on_request = on_request,
                                                .on_malformed = on_malformed,
                                                .on_body = on_body,
                                                .on_body_end = on_body_end,
                                                .on_fault = on_fault,
                                                .peek = peek,
                                                .advance = advance,
                                                .on_close = on_close};

static void start(const struct sl_front_limits *limits, const struct sl_front_handler *h) {
    char why[200];
    memset(&rig, 0, sizeof(rig));
    for (size_t i = 0; i < sizeof(made_up); i++)
        made_up[i] = (char)(i * 2654435761u >> 9);
    sl_list_init(&rig.exchanges);
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    rig.front = sl_front_new(&rig.loop, limits, h, &rig);
    assert_non_null(rig.front);
    rig.address = sl_front_listen(rig.front, "127.0.0.1", 0, NULL, why, sizeof(why));
    assert_non_null(rig.address);
}

static void stop(void) {
    sl_front_free(rig.front);
    rig.front = NULL;
    assert_int_equal(rig.open, 0);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(rig.loop.open_handles, 0);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
}

static int setup(void **state) {
    (void)state;
    start(&SL_FRONT_LIMITS_DEFAULT, &handler);
    return 0;
}

static void restart(const struct sl_front_limits *limits) {
    stop();
    start(limits, &handler);
}

static int teardown(void **state) {
    (void)state;
    stop();
    return 0;
}

static bool log_has(void *ctx) {
    return strstr(rig.log, ctx) != NULL;
}
static void wait_log(const char *what) {
    if (!pump_until(&rig.uv, log_has, (void *)(uintptr_t)what))
        fail_msg("waited for \"%s\" in \"%s\"", what, rig.log);
}

static struct client ask(const char *text) {
    struct client c;
    client_open(&c, rig.address);
    assert_true(client_send(&rig.uv, &c, sl_slice_str(text)));
    return c;
}

static void expect(struct client *c, const char *text) {
    if (!client_expect(&rig.uv, c, text))
        fail_msg("waited for \"%s\" in \"%.*s\" (log: %s)", text, (int)c->got.len, c->got.ptr,
                 rig.log);
}

static void expect_end(struct client *c) {
    assert_true(pump_until(&rig.uv, client_ended, c));
    assert_true(c->eof);
}

static void assert_got(struct client *c, const char *text) {
    struct sl_slice want = sl_slice_str(text);
    if (!sl_slice_eq(sl_buf_slice(&c->got), want))
        fail_msg("got \"%.*s\", not \"%s\"", (int)c->got.len, c->got.ptr, text);
}

static void turns(int n) {
    while (n-- > 0)
        uv_run(&rig.uv, UV_RUN_NOWAIT);
}

static struct exchange *only_exchange(void) {
    assert_int_equal(rig.open, 1);
    return SL_CONTAINER(rig.exchanges.next, struct exchange, link);
}

#define GET(target)        "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST(target, rest) "POST " target " HTTP/1.1\r\nHost: h\r\n" rest

/* ---- plain exchanges ---- */

static void test_a_response_is_exact(void **state) {
    (void)state;
    struct sl_header items[] = {{SL_LIT("x-B"), SL_LIT("2")},
                                {SL_LIT("Connection"), SL_LIT("no")}, /* ours to make */
                                {SL_LIT("X-a"), SL_LIT("one, two")},
                                {SL_LIT("x-B"), SL_LIT("")}};
    rig.headers = (struct sl_headers){.items = items, .count = 4};
    struct client c = ask(POST("/echo", "Content-Length: 5\r\n\r\nhello"));
    expect(&c, "hello");
    assert_got(&c, "HTTP/1.1 200 OK\r\nx-B: 2\r\nX-a: one, two\r\nx-B: \r\n"
                   "Content-Length: 5\r\n\r\nhello");
    assert_string_equal(rig.log, "[POST /echo 11 body 5 hello done]");
    sl_buf_clear(&c.got);
    assert_true(client_send(&rig.uv, &c, SL_LIT(GET("/chunked")))); /* the same connection */
    expect(&c, "0\r\n\r\n");
    client_close(&c);
    struct sl_front_stats stats = sl_front_stats(rig.front);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.requests, 2);
    assert_int_equal(stats.malformed, 0);
}

static void test_a_header_cannot_be_split(void **state) {
    (void)state;
    static const struct sl_header bad[] = {
        {{"a", 1}, {"b\r\nc: d", 7}}, {{"a\nb", 3}, {"c", 1}}, {{"", 0}, {"c", 1}}};
    struct client c = ask(GET("/hold"));
    wait_log("/hold");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct sl_header item = bad[i];
        struct sl_response_head head = {.status = 200, .headers = {.items = &item, .count = 1}};
        assert_int_equal(sl_stream_respond(only_exchange()->stream, &head), SL_E_INVALID);
    }
    respond(only_exchange(), 200, 0); /* nothing of the failed heads is left */
    expect(&c, "\r\n\r\n");
    assert_got(&c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client_close(&c);
}

static void test_chunks_both_ways(void **state) {
    (void)state;
    struct client c = ask(POST("/chunked", "Transfer-Encoding: chunked\r\n\r\n"
                                           "3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: t\r\n\r\n"));
    expect(&c, "0\r\n\r\n");
    assert_got(&c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n");
    assert_string_equal(rig.log, "[POST /chunked 11 body -1 abcde done]");
    client_close(&c);
}

static void test_pieces_of_a_turn_are_one_chunk(void **state) {
    (void)state;
    struct client c = ask(GET("/drip"));
    wait_log("/drip");
    struct exchange *x = only_exchange();
    respond(x, 200, SL_LENGTH_UNKNOWN);
    say(x, "one ");
    say(x, "two");
    expect(&c, "two\r\n");
    say(x, "three");
    expect(&c, "three\r\n");
    finish(x);
    expect(&c, "0\r\n\r\n");
    assert_got(&c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "7\r\none two\r\n5\r\nthree\r\n0\r\n\r\n");
    client_close(&c);
}

static void test_responses_without_a_body(void **state) {
    (void)state;
    struct client c = ask("HEAD /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" GET(
        "/204") GET("/304") GET("/echo"));
    expect(&c, "Content-Length: 0\r\n\r\n");
    assert_got(&c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
                   "HTTP/1.1 204 No Content\r\n\r\n"
                   "HTTP/1.1 304 Not Modified\r\n\r\n"
                   "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    client_close(&c);
}

static void test_http10(void **state) {
    (void)state;
    struct client c = ask("GET /chunked HTTP/1.0\r\n\r\n");
    expect_end(&c);
    assert_got(&c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    client_close(&c);
    c = ask("POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi"
            "POST /chunked HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nyo");
    expect_end(&c);
    assert_got(&c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"
                   "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nyo");
    client_close(&c);
}

static void test_connection_close(void **state) {
    (void)state;
    struct client c = ask("GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    expect_end(&c);
    assert_got(&c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client_close(&c);
    rig.log[0] = '\0';
    c = ask(GET("/last") GET("/never"));
    expect_end(&c);
    assert_got(&c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_null(strstr(rig.log, "/never"));
    client_close(&c);
}

static void test_upgrades_are_ignored(void **state) {
    (void)state;
    struct client c = ask("GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                          "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n" GET("/b"));
    wait_log("/b 11 0  done]");
    assert_string_equal(rig.log, "[GET /a 11 0  done][GET /b 11 0  done]");
    client_close(&c);
}

static void test_interim_responses(void **state) {
    (void)state;
    struct client c = ask(POST("/echo", "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    expect(&c, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_true(client_send(&rig.uv, &c, SL_LIT("ok")));
    expect(&c, "\r\n\r\nok");
    sl_buf_clear(&c.got);
    assert_true(client_send(&rig.uv, &c, SL_LIT(GET("/hints"))));
    expect(&c, "200 OK");
    assert_memory_equal(c.got.ptr, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n", 45);
    sl_buf_clear(&c.got);
    /* A final answer that is there already makes 100 pointless. */
    assert_true(client_send(
        &rig.uv, &c, SL_LIT(POST("/early", "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"))));
    expect(&c, "ok");
    assert_memory_equal(c.got.ptr, "HTTP/1.1 200 OK", 15);
    client_close(&c);
    c = ask("GET /hints HTTP/1.0\r\n\r\n"); /* HTTP/1.0 knows no interim responses */
    expect_end(&c);
    assert_memory_equal(c.got.ptr, "HTTP/1.1 200 OK", 15);
    client_close(&c);
}

/* ---- any split of the input ---- */

static const char script[] = "\r\n" GET("/one") POST("/two", "Content-Length: 5\r\n\r\nhello")
    POST("/chunked/three", "Transfer-Encoding: chunked\r\n\r\n4\r\nwiki\r\n5;a=b\r\npedia\r\n"
                           "0\r\nA: b\r\n\r\n") "PUT http://z/four HTTP/1.1\r\nHost: "
                                                "h\r\nContent-Length: 1\r\n\r\n!";
static const char script_log[] = "[GET /one 11 0  done][POST /two 11 body 5 hello done]"
                                 "[POST /chunked/three 11 body -1 wikipedia done]"
                                 "[PUT /four 11 body 1 ! done]";
static const char script_answer[] =
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nwikipedia\r\n0\r\n\r\n"
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n!";

static void test_any_split_is_the_same(void **state) {
    (void)state;
    struct sl_slice all = sl_slice_of(script, sizeof(script) - 1);
    /* Whole, then one byte at a time, then in two parts at every place. */
    for (size_t split = 0; split <= all.len; split++) {
        rig.log[0] = '\0';
        rig.most_open = 0;
        struct client c;
        client_open(&c, rig.address);
        size_t step = split == 0 ? 1 : split;
        struct sl_slice rest = all;
        while (rest.len > 0) {
            struct sl_slice part = sl_slice_head(rest, step);
            assert_true(client_send(&rig.uv, &c, part));
            turns(2);
            rest = sl_slice_skip(rest, part.len);
            step = split == 0 ? 1 : all.len;
        }
        wait_log("! done]");
        expect(&c, "\r\n\r\n!");
        assert_string_equal(rig.log, script_log);
        assert_got(&c, script_answer);
        assert_int_equal(rig.most_open, 1);
        client_close(&c);
        turns(2);
    }
}

/* ---- what must be refused ---- */

static void test_smuggling_is_refused(void **state) {
    (void)state;
#define REFUSED(status, text)                                                                      \
    {                                                                                              \
        status, {                                                                                  \
            text, sizeof(text) - 1                                                                 \
        }                                                                                          \
    }
    static const struct {
        int status;
        struct sl_slice raw;
    } cases[] = {
        REFUSED(400, "GET /\r\n\r\n"),
        REFUSED(400, "GET / HTTP/1.1\r\n\r\n"),
        REFUSED(400, "GET / HTTP/1.1\nHost: h\n\n"),
        REFUSED(400, "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
        REFUSED(400, "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n"),
        REFUSED(400, POST("/", "Transfer-Encoding: \r\n chunked\r\n\r\n0\r\n\r\n")),
        REFUSED(400, POST("/", "A: b\r\n\tContent-Length: 5\r\n\r\nhello")),
        REFUSED(400, "GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n"),
        REFUSED(400, "GET / HTTP/1.1\r\nHost : h\r\n\r\n"),
        REFUSED(400, "GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n"),
        REFUSED(400, "GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n"),
        REFUSED(400, "GET / HTTP/1.1\r\nHost: h\r\n\rX"),
        REFUSED(400, POST("/", "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc")),
        REFUSED(400, POST("/", "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")),
        REFUSED(400, POST("/", "Content-Length: 3, 3\r\n\r\nabc")),
        REFUSED(400, POST("/", "Content-Length: -1\r\n\r\n")),
        REFUSED(400, POST("/", "Content-Length: 18446744073709551617\r\n\r\na")),
        REFUSED(400, POST("/", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        REFUSED(400, POST("/", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n")),
        REFUSED(400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        REFUSED(501, POST("/", "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")),
        REFUSED(501, POST("/", "Transfer-Encoding: identity\r\n\r\n")),
        REFUSED(501, "CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSED(505, "GET / HTTP/2.0\r\nHost: h\r\n\r\n"),
        REFUSED(505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"),
        REFUSED(505, "GET / HTTP/1.9\r\nHost: h\r\n\r\n"),
        REFUSED(400, "GET x HTTP/1.1\r\nHost: h\r\n\r\n"),
        REFUSED(400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        REFUSED(400, "BREW / HTTP/1.1\r\nHost: h\r\n\r\n"),
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        /* At once, and byte by byte until the server answers. */
        for (size_t step = 1; step < 1000; step += 998) {
            char want[64];
            struct client c;
            rig.log[0] = '\0';
            client_open(&c, rig.address);
            for (struct sl_slice rest = cases[i].raw; rest.len > 0 && c.got.len == 0;
                 rest = sl_slice_skip(rest, step)) {
                (void)client_send(&rig.uv, &c, sl_slice_head(rest, step));
                turns(2);
                client_read(&c, SIZE_MAX);
            }
            expect_end(&c);
            snprintf(want, sizeof(want), "HTTP/1.1 %d ", cases[i].status);
            if (!sl_slice_starts(sl_buf_slice(&c.got), sl_slice_str(want)))
                fail_msg("got \"%.*s\", not %s, for: %.*s", (int)c.got.len, c.got.ptr, want,
                         SL_FMT(cases[i].raw));
            client_close(&c);
            wait_log("done]");
            assert_memory_equal(rig.log, "[malformed", 10);
            assert_null(strchr(rig.log + 1, '[')); /* and nothing but that */
        }
    }
    assert_int_equal(sl_front_stats(rig.front).requests, 0);
}

static void test_malformed_chunks_are_faults(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "x\r\n",         "5\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\r\nhello\rX",
        "-1\r\n",        "5 \r\nhello\r\n",       "\r\n5\r\nhello\r\n",    "11111111111111111\r\n",
        "5;a\nhello\r\n"};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        rig.log[0] = '\0';
        struct client c = ask(POST("/sink", "Transfer-Encoding: chunked\r\n\r\n"));
        (void)client_send(&rig.uv, &c, sl_slice_str(bodies[i]));
        expect_end(&c);
        assert_memory_equal(c.got.ptr, "HTTP/1.1 400 ", 13);
        assert_non_null(strstr(c.got.ptr, "Connection: close"));
        wait_log("done]");
        assert_string_equal(rig.log, "[POST /sink 11 body -1 fault 400 done]");
        client_close(&c);
    }
}

static void test_limits_of_the_head(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.header_bytes = 1000;
    limits.header_count = 4;
    restart(&limits);
    char long_text[1500];
    char raw[4000];
    memset(long_text, 'a', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    static const struct {
        const char *shape, *status;
    } cases[] = {{"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n", "414"},
                 {"GET / HTTP/1.1\r\nHost: h\r\nX: %s\r\n\r\n", "431"},
                 {"GET / HTTP/1.1\r\nHost: h\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", "431"}};
    for (size_t i = 0; i < 3; i++)
        for (size_t step = 1; step < 5000; step += 4998) {
            struct client c;
            client_open(&c, rig.address);
            snprintf(raw, sizeof(raw), cases[i].shape, long_text);
            for (struct sl_slice rest = sl_slice_str(raw); rest.len > 0 && c.got.len == 0;
                 rest = sl_slice_skip(rest, step)) {
                assert_true(client_send(&rig.uv, &c, sl_slice_head(rest, step)));
                turns(1);
                client_read(&c, SIZE_MAX);
            }
            expect_end(&c);
            assert_memory_equal(c.got.ptr + 9, cases[i].status, 3);
            client_close(&c);
        }
    assert_int_equal(sl_front_stats(rig.front).requests, 0);
}

/* The answer arrives although the client goes on sending. */
static void test_bodies_too_large(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.body_bytes = 1000;
    restart(&limits);
    static const char *const heads[] = {POST("/sink", "Content-Length: 1001\r\n\r\n"),
                                        POST("/sink", "Transfer-Encoding: chunked\r\n\r\n"
                                                      "100000\r\n")};
    static const char *const logs[] = {"[malformed 413 POST done]",
                                       "[POST /sink 11 body -1 fault 413 done]"};
    for (size_t i = 0; i < 2; i++) {
        rig.log[0] = '\0';
        struct client c = ask(heads[i]);
        char junk[4096] = {0};
        for (int n = 0; n < 200; n++)
            assert_true(client_send(&rig.uv, &c, sl_slice_of(junk, sizeof(junk))));
        expect_end(&c);
        assert_memory_equal(c.got.ptr, "HTTP/1.1 413 ", 13);
        assert_string_equal(rig.log, logs[i]);
        client_close(&c);
    }
    struct client c = ask(POST("/echo", "Content-Length: 1000\r\n\r\n"));
    char exact[1000] = {0};
    assert_true(client_send(&rig.uv, &c, sl_slice_of(exact, sizeof(exact))));
    expect(&c, "200 OK");
    client_close(&c);
}

static void test_a_handler_without_memory(void **state) {
    (void)state;
    struct client c = ask(POST("/null", "Content-Length: 5\r\n\r\nhello"));
    expect_end(&c);
    assert_got(&c, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                   "Connection: close\r\n\r\n");
    client_close(&c);
}

static void test_without_on_malformed_the_answer_is_bare(void **state) {
    (void)state;
    struct sl_front_handler bare = handler;
    bare.on_malformed = NULL;
    stop();
    start(&SL_FRONT_LIMITS_DEFAULT, &bare);
    struct client c = ask("nonsense\r\n\r\n");
    expect_end(&c);
    assert_got(&c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    client_close(&c);
}

/* ---- pipelining and leaving ---- */

static void test_one_request_at_a_time(void **state) {
    (void)state;
    struct client c = ask(GET("/hold") GET("/b") GET("/c"));
    wait_log("/hold");
    turns(20);
    assert_int_equal(rig.open, 1);
    assert_null(strstr(rig.log, "/b"));
    respond(only_exchange(), 200, 0);
    wait_log("/c 11 0  done]");
    assert_string_equal(rig.log, "[GET /hold 11 0  done][GET /b 11 0  done][GET /c 11 0  done]");
    assert_int_equal(rig.most_open, 1);
    client_close(&c);
}

static void test_pipelined_input_is_bounded(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.pipeline_bytes = 1000;
    restart(&limits);
    struct client c = ask(GET("/hold"));
    wait_log("/hold");
    size_t sent = 0, idle = 0;
    uint64_t before = sl_mem_stats().bytes;
    struct sl_slice request = SL_LIT(GET("/x")), rest = request;
    for (; idle < 200; uv_run(&rig.uv, UV_RUN_NOWAIT)) {
        int64_t n = client_try_send(&c, rest);
        assert_true(n >= 0);
        idle = n > 0 ? 0 : idle + 1;
        sent += (size_t)n;
        rest = sl_slice_skip(rest, (size_t)n);
        if (rest.len == 0)
            rest = request;
        if (sent > 200000)
            break; /* more than is kept: the kernel has the rest */
    }
    assert_true(sl_mem_stats().bytes - before < 200000);
    respond(only_exchange(), 200, 0);
    char last[200];
    snprintf(last, sizeof(last), "%.*s", SL_FMT(rest));
    if (rest.len < request.len)
        assert_true(client_send(&rig.uv, &c, sl_slice_str(last)));
    size_t want = 1 + (sent + request.len - 1) / request.len;
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    while (sl_front_stats(rig.front).requests < want && sl_clock_monotonic() < end) {
        rig.log[0] = '\0';
        uv_run(&rig.uv, UV_RUN_NOWAIT);
        client_read(&c, SIZE_MAX);
    }
    assert_int_equal(sl_front_stats(rig.front).requests, want);
    client_close(&c);
}

static void test_a_client_that_leaves_is_noticed(void **state) {
    (void)state;
    struct client c = ask(GET("/hold"));
    wait_log("/hold");
    shutdown(c.fd, SHUT_WR); /* as good as gone */
    wait_log("client]");
    client_close(&c);

    rig.log[0] = '\0';
    c = ask(POST("/hold", "Content-Length: 100\r\n\r\nabc"));
    wait_log("/hold");
    client_reset(&c);
    wait_log("client]");

    rig.log[0] = '\0';
    c = ask(GET("/drip"));
    wait_log("/drip");
    struct exchange *x = only_exchange();
    respond(x, 200, SL_LENGTH_UNKNOWN);
    say(x, "begun");
    expect(&c, "begun");
    client_close(&c);
    wait_log("client]");
}

static void test_a_client_that_leaves_between_requests(void **state) {
    (void)state;
    struct client c = ask(GET("/a") "GET /b");
    wait_log("done]");
    client_close(&c);
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    while (sl_front_stats(rig.front).connections > 0 && sl_clock_monotonic() < end)
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    assert_int_equal(sl_front_stats(rig.front).connections, 0);
    assert_string_equal(rig.log, "[GET /a 11 0  done]");
}

static void test_breaks_are_no_clean_ends(void **state) {
    (void)state;
    struct client c = ask(GET("/abort"));
    wait_log("abort]");
    assert_true(pump_until(&rig.uv, client_ended, &c));
    assert_true(c.reset);
    client_close(&c);
    c = ask(GET("/short"));
    assert_true(pump_until(&rig.uv, client_ended, &c));
    assert_true(c.reset);
    client_close(&c);
}

/* ---- backpressure ---- */

static void check_big(const char *request, uint64_t len, bool chunked) {
    struct client c = ask(request);
    wait_log("/big");
    for (int i = 0; i < 300; i++)
        turns(1);
    struct exchange *x = only_exchange(); /* it has stopped, far from its end */
    assert_true(x->at < len / 2);
    size_t before = x->at;
    turns(50);
    assert_int_equal(x->at, before);
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    while (!strstr(rig.log, "done]") && sl_clock_monotonic() < end) {
        client_read(&c, 100000);
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    }
    struct client_wait wait = {.c = &c, .bytes = len};
    assert_true(pump_until(&rig.uv, client_has_bytes, &wait));
    if (chunked)
        expect(&c, "\r\n0\r\n\r\n");
    struct sl_slice got = sl_buf_slice(&c.got);
    got = sl_slice_skip(got, sl_slice_search(got, SL_LIT("\r\n\r\n")) + 4);
    uint64_t at = 0;
    while (got.len > 0) { /* each chunk, or all of it as one */
        size_t size = got.len;
        if (chunked) {
            char *digits_end;
            size = strtoul(got.ptr, &digits_end, 16);
            got = sl_slice_skip(got, (size_t)(digits_end - got.ptr) + 2);
        }
        for (size_t i = 0; i < size; i++, at++)
            if (got.ptr[i] != made_up[at % sizeof(made_up)])
                fail_msg("byte %zu is wrong", (size_t)at);
        got = sl_slice_skip(got, size + (chunked ? 2 : 0));
    }
    assert_int_equal(at, len);
    rig.log[0] = '\0';
    client_close(&c);
}

static void test_a_slow_reader_holds_the_handler(void **state) {
    (void)state;
    check_big(GET("/big=40000001"), 40000001, false);
    check_big(GET("/big:40000001"), 40000001, true);
    check_big("GET /big:40000001 HTTP/1.0\r\n\r\n", 40000001, false);
}

static void test_a_paused_body_waits(void **state) {
    (void)state;
    static const struct {
        const char *head, *tail;
    } shapes[] = {{POST("/pause", "Content-Length: 400000\r\n\r\n"), ""},
                  {POST("/first", "Content-Length: 400000\r\n\r\n"), ""},
                  {POST("/pause", "Transfer-Encoding: chunked\r\n\r\n61a80\r\n"), "\r\n0\r\n\r\n"}};
    for (size_t i = 0; i < 3; i++) {
        rig.log[0] = '\0';
        struct client c = ask(shapes[i].head);
        size_t sent = 0, idle = 0;
        for (; idle < 200 && sent < 400000; uv_run(&rig.uv, UV_RUN_NOWAIT)) {
            size_t n = 400000 - sent < 10000 ? 400000 - sent : 10000;
            int64_t rc = client_try_send(&c, sl_slice_of(made_up, n));
            assert_true(rc >= 0);
            sent += (size_t)rc;
            idle = rc > 0 ? 0 : idle + 1;
        }
        wait_log(" body ");
        turns(20);
        struct exchange *x = only_exchange();
        bool first = strstr(shapes[i].head, "/first") != NULL;
        assert_true(first ? x->body.len > 0 && x->body.len <= 65536 : x->body.len == 0);
        CALL(sl_stream_resume_body(x->stream));
        assert_true(client_send(&rig.uv, &c, sl_slice_str(shapes[i].tail)));
        wait_log("done]");
        expect(&c, "200 OK");
        client_close(&c);
    }
}

/* Between two small chunks of one read as well. */
static void test_a_pause_takes_effect_at_once(void **state) {
    (void)state;
    struct client c = ask(POST(
        "/first", "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n") GET("/next"));
    wait_log("/first");
    turns(20);
    struct exchange *x = only_exchange();
    assert_int_equal(x->body.len, 1);
    CALL(sl_stream_resume_body(x->stream));
    wait_log("/next 11 0  done]");
    assert_string_equal(rig.log, "[POST /first 11 body -1 ab done][GET /next 11 0  done]");
    client_close(&c);
}

static void test_an_early_answer_waits_for_the_body(void **state) {
    (void)state;
    struct client c = ask(POST("/early", "Content-Length: 4\r\n\r\nab"));
    expect(&c, "\r\n\r\nok");
    turns(10);
    assert_int_equal(rig.open, 1);
    assert_true(client_send(&rig.uv, &c, SL_LIT("cd" GET("/next"))));
    wait_log("/next 11 0  done]");
    assert_string_equal(rig.log, "[POST /early 11 body 4 abcd done][GET /next 11 0  done]");
    client_close(&c);
}

/* ---- time ---- */

static void test_time_limits(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.header_ms = limits.body_ms = limits.idle_ms = limits.write_ms = 60;
    restart(&limits);
    static const struct {
        const char *input, *answer, *log;
    } cases[] = {
        {"", "", ""},
        {"GET / HT", "HTTP/1.1 408", "[malformed 408  done]"},
        {"PRI * HT", "", ""}, /* of which protocol is not known yet */
        {"GET / HTTP/1.1\r\nHost:", "HTTP/1.1 408", "[malformed 408 GET done]"},
        {POST("/sink", "Content-Length: 9\r\n\r\nabc"), "HTTP/1.1 408",
         "[POST /sink 11 body 9 fault 408 timeout]"},
        {GET("/echo"), "HTTP/1.1 200", "[GET /echo 11 0  done]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        rig.log[0] = '\0';
        uint64_t begun = sl_clock_monotonic();
        struct client c = ask(cases[i].input);
        expect_end(&c);
        assert_true(sl_clock_monotonic() - begun >= 60 * SL_NS_PER_MS);
        assert_true(sl_slice_starts(sl_buf_slice(&c.got), sl_slice_str(cases[i].answer)));
        assert_string_equal(rig.log, cases[i].log);
        client_close(&c);
    }
}

static void test_no_limit_runs_while_the_handler_thinks(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.header_ms = limits.body_ms = limits.idle_ms = limits.write_ms = 20;
    restart(&limits);
    struct client c = ask(GET("/hold")), p = ask(POST("/pause", "Content-Length: 9\r\n\r\nabc"));
    uint64_t until = sl_clock_monotonic() + 150 * SL_NS_PER_MS;
    while (sl_clock_monotonic() < until)
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    assert_int_equal(rig.open, 2);
    client_close(&c);
    client_close(&p);
}

static void test_a_trickled_body_is_too_slow(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.body_ms = 100;
    limits.body_rate = 100000;
    restart(&limits);
    struct client c = ask(POST("/sink", "Content-Length: 1000000\r\n\r\n"));
    uint64_t begun = sl_clock_monotonic(), next = begun;
    while (c.got.len == 0 && sl_clock_monotonic() < begun + CLIENT_PATIENCE) {
        if (sl_clock_monotonic() >= next) { /* never still for body_ms, but far too slow */
            (void)client_try_send(&c, SL_LIT("x"));
            next += 5 * SL_NS_PER_MS;
        }
        uv_run(&rig.uv, UV_RUN_NOWAIT);
        client_read(&c, SIZE_MAX);
    }
    assert_memory_equal(c.got.ptr, "HTTP/1.1 408", 12);
    assert_non_null(strstr(rig.log, "fault 408"));
    client_close(&c);
}

static void test_a_client_that_takes_nothing(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.write_ms = 60;
    restart(&limits);
    struct client c = ask(GET("/big=40000001"));
    wait_log("timeout]");
    assert_true(pump_until(&rig.uv, client_ended, &c));
    assert_true(c.got.len < 40000001);
    client_close(&c);
}

/* ---- connections ---- */

static void test_draining(void **state) {
    (void)state;
    struct client idle = ask(GET("/a")), busy = ask(GET("/hold")),
                  begun = ask("GET /b HTTP/1.1\r\n");
    wait_log("/hold");
    expect(&idle, "200 OK");
    turns(10);
    CALL(sl_front_drain(rig.front));
    expect_end(&idle);
    respond(only_exchange(), 200, 0);
    expect_end(&busy);
    assert_non_null(strstr(busy.got.ptr, "Connection: close\r\n"));
    assert_true(client_send(&rig.uv, &begun, SL_LIT("Host: h\r\n\r\n")));
    expect_end(&begun);
    assert_memory_equal(begun.got.ptr, "HTTP/1.1 200", 12);
    assert_int_equal(sl_front_stats(rig.front).connections, 0);
    client_close(&idle);
    client_close(&busy);
    client_close(&begun);
}

static void test_freeing_ends_what_runs(void **state) {
    (void)state;
    struct client a = ask(GET("/hold")), b = ask(POST("/sink", "Content-Length: 9\r\n\r\nabc"));
    wait_log("/hold");
    wait_log("/sink");
    stop();
    assert_non_null(strstr(rig.log, "/sink 11 body 9"));
    const char *first = strstr(rig.log, "shutdown]");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, "shutdown]"));
    client_close(&a);
    client_close(&b);
    start(&SL_FRONT_LIMITS_DEFAULT, &handler); /* for teardown */
}

static void test_connections_are_limited(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.connections = 2;
    restart(&limits);
    struct client a = ask(GET("/hold/a")), b = ask(GET("/hold/b"));
    wait_log("/hold/a");
    wait_log("/hold/b");
    struct client c = ask(GET("/c"));
    turns(50);
    assert_null(strstr(rig.log, "/c "));
    assert_int_equal(sl_front_stats(rig.front).connections, 2);
    client_close(&a);
    wait_log("/c 11 0  done]");
    client_close(&b);
    client_close(&c);
}

static void test_an_idle_connection_is_small(void **state) {
    (void)state;
    enum { COUNT = 50 };
    struct client clients[COUNT];
    uint64_t before = sl_mem_stats().bytes;
    for (int i = 0; i < COUNT; i++) {
        clients[i] = ask(POST("/echo", "Content-Length: 5\r\n\r\nhello"));
        expect(&clients[i], "hello");
        sl_buf_done(&clients[i].got);
    }
    assert_true((sl_mem_stats().bytes - before) / COUNT < 4096);
    for (int i = 0; i < COUNT; i++)
        client_close(&clients[i]);
}

static void test_alpn_chooses_the_protocol(void **state) {
    (void)state;
    char why[300] = "";
    struct certificate certificate;
    certificate_make(&certificate, "front.test");
    struct sl_tls_settings settings = {.certificate = certificate.cert_file,
                                       .key = certificate.key_file};
    struct sl_tls *tls = sl_tls_new(&settings, why, sizeof(why));
    const char *address = sl_front_listen(rig.front, "127.0.0.1", 0, tls, why, sizeof(why));
    assert_non_null(address);
    sl_tls_free(tls);

    struct tls_client t;
    tls_open(&t, address, (const uint8_t *)"\x08http/1.1", 9);
    assert_true(tls_handshake(&rig.uv, &t));
    static const char request[] = "GET /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert_int_equal(SSL_write(t.ssl, request, sizeof(request) - 1), sizeof(request) - 1);
    assert_true(pump_until(&rig.uv, tls_read_end, &t));
    assert_true(t.done); /* close_notify came */
    assert_memory_equal(t.got.ptr, "HTTP/1.1 200 OK\r\n", 17);
    tls_close(&t);

    tls_open(&t, address, tls_alpn_both, sizeof(tls_alpn_both) - 1);
    assert_true(tls_handshake(&rig.uv, &t));
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
    assert_int_equal(SSL_write(t.ssl, preface, sizeof(preface)), sizeof(preface));
    uint64_t end = sl_clock_monotonic() + CLIENT_PATIENCE;
    while (t.got.len < 9 && sl_clock_monotonic() < end && !tls_read_end(&t))
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    assert_true(t.got.len >= 9);
    assert_int_equal(t.got.ptr[3], 4); /* a SETTINGS frame */
    tls_close(&t);
    certificate_remove(&certificate);
}

/* Whichever allocation fails: an answer or an end, and the next client is served. */
static void test_any_allocation_may_fail(void **state) {
    (void)state;
    bool reached_the_end = false;
    rig.memory_fails = true;
    for (uint64_t n = 1; n < 60 && !reached_the_end; n++) {
        struct client c;
        rig.log[0] = '\0';
        client_open(&c, rig.address);
        assert_true(client_send(&rig.uv, &c, SL_LIT("POST /nobody HTTP/1.1\r\nHost: h\r\n")));
        sl_mem_fail_after(n);
        turns(4);
        (void)client_send(&rig.uv, &c, SL_LIT("Content-Length: 3\r\n\r\nabc" GET("/hold")));
        turns(20);
        reached_the_end = sl_mem_fail_after(0) > 0;
        (void)client_send(&rig.uv, &c, SL_LIT("x"));
        client_read(&c, SIZE_MAX);
        client_close(&c);
        turns(20);
        assert_int_equal(rig.open, 0);
        c = ask(GET("/echo"));
        expect(&c, "200 OK");
        client_close(&c);
        turns(20);
    }
    assert_true(reached_the_end);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_a_response_is_exact),
        CASE(test_a_header_cannot_be_split),
        CASE(test_chunks_both_ways),
        CASE(test_pieces_of_a_turn_are_one_chunk),
        CASE(test_responses_without_a_body),
        CASE(test_http10),
        CASE(test_connection_close),
        CASE(test_upgrades_are_ignored),
        CASE(test_interim_responses),
        CASE(test_any_split_is_the_same),
        CASE(test_smuggling_is_refused),
        CASE(test_malformed_chunks_are_faults),
        CASE(test_limits_of_the_head),
        CASE(test_bodies_too_large),
        CASE(test_a_handler_without_memory),
        CASE(test_without_on_malformed_the_answer_is_bare),
        CASE(test_one_request_at_a_time),
        CASE(test_pipelined_input_is_bounded),
        CASE(test_a_client_that_leaves_is_noticed),
        CASE(test_a_client_that_leaves_between_requests),
        CASE(test_breaks_are_no_clean_ends),
        CASE(test_a_slow_reader_holds_the_handler),
        CASE(test_a_paused_body_waits),
        CASE(test_a_pause_takes_effect_at_once),
        CASE(test_an_early_answer_waits_for_the_body),
        CASE(test_time_limits),
        CASE(test_no_limit_runs_while_the_handler_thinks),
        CASE(test_a_trickled_body_is_too_slow),
        CASE(test_a_client_that_takes_nothing),
        CASE(test_draining),
        CASE(test_freeing_ends_what_runs),
        CASE(test_connections_are_limited),
        CASE(test_an_idle_connection_is_small),
        CASE(test_alpn_chooses_the_protocol),
        CASE(test_any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
