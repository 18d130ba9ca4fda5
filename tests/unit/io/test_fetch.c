/* Fetches against scripted servers on the same loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include "../script_server.h"
#include "certificate.h"
#include "io/fetch_impl.h"
#include "sluice/io/conn.h"

/* ---- rig */

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_fetch_client *client;
    struct script_server server;
    struct sl_fetch_origin *origin;
    uv_timer_t guard;
};

static struct rig rig;

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("nothing happened for 20 s");
}

static void start_client(const char *user_agent) {
    rig.client = sl_fetch_client_new(&rig.loop, &(struct sl_fetch_client_settings){
                                                    .max_in_flight = 16, .user_agent = user_agent});
    assert_non_null(rig.client);
}

static void start(void (*script)(struct script_conn *, struct sl_slice)) {
    memset(&rig, 0, sizeof(rig));
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    uv_timer_init(&rig.uv, &rig.guard);
    uv_timer_start(&rig.guard, on_guard, 20000, 0);
    start_client(NULL);
    script_server_start(&rig.server, &rig.uv, script);
    rig.origin = sl_fetch_origin_new(rig.client, rig.server.url, NULL);
    assert_non_null(rig.origin);
}

static void stop(void) {
    sl_fetch_origin_free(rig.origin);
    sl_fetch_client_free(rig.client);
    script_server_stop(&rig.server);
    uv_close((uv_handle_t *)&rig.guard, NULL);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
}

enum act { ACT_NONE, ACT_PAUSE, ACT_CANCEL, ACT_CANCEL_OTHER, ACT_PAUSE_RESUME, ACT_START };

struct seen {
    struct sl_fetch *fetch, *other;
    int heads, datas, dones, status;
    int64_t content_length;
    char headers[2048];
    struct sl_buf body;
    struct sl_fetch_result result;
    char why[256];
    enum act on_head, on_data, on_done;
    struct seen *next; /* started by ACT_START */
};

static void launch(struct seen *seen, struct sl_fetch_request request);

static void play(struct seen *seen, enum act act) {
    uv_stop(&rig.uv); /* whoever waits may look before the loop waits */
    switch (act) {
    case ACT_NONE:
        break;
    case ACT_PAUSE:
        sl_fetch_pause(seen->fetch);
        break;
    case ACT_PAUSE_RESUME:
        sl_fetch_pause(seen->fetch);
        sl_fetch_resume(seen->fetch);
        break;
    case ACT_CANCEL:
        sl_fetch_cancel(seen->fetch);
        seen->fetch = NULL;
        break;
    case ACT_CANCEL_OTHER:
        sl_fetch_cancel(seen->other);
        break;
    case ACT_START:
        launch(seen->next, (struct sl_fetch_request){.target = SL_LIT("/next")});
        break;
    }
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct seen *seen = ctx;
    seen->heads++;
    seen->status = head->status;
    seen->content_length = head->content_length;
    size_t at = 0;
    for (size_t i = 0; i < head->header_count; i++)
        at += (size_t)snprintf(seen->headers + at, sizeof(seen->headers) - at, "%.*s=%.*s\n",
                               SL_FMT(head->headers[i].name), SL_FMT(head->headers[i].value));
    play(seen, seen->on_head);
}

static void on_data(void *ctx, struct sl_slice bytes) {
    struct seen *seen = ctx;
    seen->datas++;
    assert_int_equal(sl_buf_add(&seen->body, bytes), SL_OK);
    play(seen, seen->on_data);
}

static void on_done(void *ctx, const struct sl_fetch_result *result) {
    struct seen *seen = ctx;
    seen->dones++;
    seen->result = *result;
    snprintf(seen->why, sizeof(seen->why), "%s", result->why ? result->why : "");
    play(seen, seen->on_done);
    seen->fetch = NULL;
}

static const struct sl_fetch_events events = {on_head, on_data, on_done};

static void launch(struct seen *seen, struct sl_fetch_request request) {
    sl_buf_init(&seen->body, 64u << 20);
    if (!request.origin)
        request.origin = rig.origin;
    if (request.method.len == 0)
        request.method = request.body ? SL_LIT("POST") : SL_LIT("GET");
    if (request.target.len == 0)
        request.target = SL_LIT("/");
    seen->fetch = sl_fetch_start(rig.client, &request, &events, seen);
    assert_non_null(seen->fetch);
    assert_int_equal(seen->heads + seen->datas + seen->dones, 0);
}

static void wait_done(struct seen *seen) {
    while (!seen->dones)
        uv_run(&rig.uv, UV_RUN_ONCE);
    assert_int_equal(seen->dones, 1);
}

/* Runs the loop until the condition holds. */
#define WAIT(condition)                                                                            \
    while (!(condition))                                                                           \
    uv_run(&rig.uv, UV_RUN_ONCE)

static void run_turns(int n) {
    while (n-- > 0)
        uv_run(&rig.uv, UV_RUN_NOWAIT);
}

static void assert_body(const struct seen *seen, const char *text) {
    assert_int_equal(seen->body.len, strlen(text));
    assert_memory_equal(seen->body.ptr ? seen->body.ptr : "", text, strlen(text));
}

static void expect_result(struct seen *seen, int error, enum sl_fetch_phase phase) {
    wait_done(seen);
    if (seen->result.error != error || seen->result.phase != phase)
        print_error("got error %d phase %d: %s\n", seen->result.error, (int)seen->result.phase,
                    seen->why);
    assert_int_equal(seen->result.error, error);
    assert_int_equal(seen->result.phase, phase);
    assert_true((error == 0) == (seen->why[0] == '\0'));
    sl_buf_done(&seen->body);
}

/* ---- scripts */

static char last_request[65536];

static void keep_request(struct sl_slice request) {
    size_t n = request.len < sizeof(last_request) - 1 ? request.len : sizeof(last_request) - 1;
    memcpy(last_request, request.ptr, n);
    last_request[n] = '\0';
}

static void script_ok(struct script_conn *conn, struct sl_slice request) {
    keep_request(request);
    script_send(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

static void script_ignore(struct script_conn *conn, struct sl_slice request) {
    (void)conn;
    keep_request(request);
}

static void test_reuses_one_connection(void **state) {
    (void)state;
    start(script_ok);
    for (int i = 0; i < 20; i++) {
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){0});
        wait_done(&seen);
        assert_body(&seen, "hello");
        assert_int_equal(seen.content_length, 5);
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
    }
    assert_int_equal(rig.server.connections, 1);
    assert_int_equal(rig.server.requests, 20);
    struct sl_fetch_stats stats = sl_fetch_client_stats(rig.client);
    assert_int_equal(stats.started, 20);
    assert_int_equal(stats.connections_made, 1);
    assert_int_equal(stats.in_flight, 0);
    stop();
}

static void test_runs_many_at_once(void **state) {
    (void)state;
    enum { N = 40 };
    static struct seen seen[N];
    memset(seen, 0, sizeof(seen));
    start(script_ok);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            seen[i] = (struct seen){0};
            launch(&seen[i], (struct sl_fetch_request){0});
        }
        for (int i = 0; i < N; i++)
            expect_result(&seen[i], SL_OK, SL_FETCH_DONE);
    }
    assert_true(rig.server.connections <= N + 1); /* the second round reused the first's */
    assert_int_equal(rig.server.requests, 2 * N);
    stop();
}

/* The second request on a connection is read and never answered. */
static void script_die_on_second(struct script_conn *conn, struct sl_slice request) {
    if (conn->served == 1)
        script_ok(conn, request);
    else
        script_close(conn);
}

static struct sl_chain make_body(size_t len) {
    struct sl_chain chain;
    sl_chain_init(&chain, NULL);
    char piece[1024];
    for (size_t done = 0; done < len;) {
        size_t n = len - done < sizeof(piece) ? len - done : sizeof(piece);
        for (size_t i = 0; i < n; i++)
            piece[i] = (char)('a' + (done + i) % 23);
        assert_int_equal(sl_chain_add(&chain, sl_slice_of(piece, n)), SL_OK);
        done += n;
    }
    return chain;
}

static void never_sends_twice(size_t body_len) {
    start(script_die_on_second);
    struct sl_chain body = make_body(body_len);
    struct seen first = {0}, second = {0}, third = {0};
    launch(&first, (struct sl_fetch_request){.body = &body});
    expect_result(&first, SL_OK, SL_FETCH_DONE);
    launch(&second, (struct sl_fetch_request){.body = &body});
    expect_result(&second, SL_E_IO, SL_FETCH_SEND);
    run_turns(5);
    assert_int_equal(rig.server.requests, 2);
    assert_int_equal(rig.server.connections, 1);
    launch(&third, (struct sl_fetch_request){.body = &body});
    expect_result(&third, SL_OK, SL_FETCH_DONE);
    assert_int_equal(rig.server.connections, 2);
    sl_chain_done(&body);
    stop();
}

static void test_never_sends_twice(void **state) {
    (void)state;
    never_sends_twice(10);
    never_sends_twice(9000);   /* gathered */
    never_sends_twice(300000); /* through the read callback */
}

/* Another idle connection is at hand for curl's second try: it must not be used either. */
static void test_never_sends_twice_on_an_idle_connection(void **state) {
    (void)state;
    start(script_die_on_second);
    struct seen a = {0}, b = {0}, c = {0};
    launch(&a, (struct sl_fetch_request){0});
    launch(&b, (struct sl_fetch_request){0});
    expect_result(&a, SL_OK, SL_FETCH_DONE);
    expect_result(&b, SL_OK, SL_FETCH_DONE);
    assert_int_equal(rig.server.connections, 2);
    launch(&c, (struct sl_fetch_request){0});
    expect_result(&c, SL_E_IO, SL_FETCH_SEND);
    run_turns(5);
    assert_int_equal(rig.server.requests, 3);
    stop();
}

static void script_close_after_answer(struct script_conn *conn, struct sl_slice request) {
    script_ok(conn, request);
    script_close(conn);
}

static void test_notices_a_closed_idle_connection(void **state) {
    (void)state;
    start(script_close_after_answer);
    for (int i = 0; i < 3; i++) {
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){0});
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
        WAIT(!rig.server.conns);
        uint64_t turns = rig.loop.turns;
        run_turns(20);
        assert_true(rig.loop.turns - turns <= 40); /* and it does not spin */
    }
    assert_int_equal(rig.server.connections, 3);
    stop();
}

/* ---- what ends a connection */

static const char *script_text;
static bool script_then_close;

static void script_say(struct script_conn *conn, struct sl_slice request) {
    keep_request(request);
    script_send(conn, script_text);
    if (script_then_close)
        script_close(conn);
}

static void get(struct seen *seen, const char *answer, bool then_close) {
    *seen = (struct seen){0};
    script_text = answer;
    script_then_close = then_close;
    launch(seen, (struct sl_fetch_request){0});
    wait_done(seen);
}

/* Whoever says more than was asked, or that it will close, is not asked again. */
static void test_discards_connections(void **state) {
    (void)state;
    static const char *const answers[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    };
    start(script_say);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct seen seen;
        get(&seen, answers[i], false);
        assert_body(&seen, "hello");
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
        assert_int_equal(rig.server.connections, i + 1);
        WAIT(!rig.server.conns); /* it was closed */
    }
    stop();
}

static void test_discards_what_speaks_unasked(void **state) {
    (void)state;
    start(script_ok);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){0});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    script_send(rig.server.conns, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    WAIT(!rig.server.conns);
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){0});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    assert_int_equal(seen.status, 200);
    assert_int_equal(rig.server.connections, 2);
    stop();
}

static void test_closes_what_idles_too_long(void **state) {
    (void)state;
    start(script_ok);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){0});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    struct sl_link *link = SL_CONTAINER(rig.client->idle.next, struct sl_link, age);
    uint64_t until = link->idle_since + SL_LINK_IDLE_MS * SL_NS_PER_MS;
    assert_int_equal(rig.client->idle_timer.node.key, until);
    rig.loop.now = until - 1;
    sl_link_on_idle_timer(rig.client);
    assert_int_equal(rig.client->links, 1);
    rig.loop.now = until;
    sl_link_on_idle_timer(rig.client);
    assert_int_equal(rig.client->links, 0);
    WAIT(!rig.server.conns);
    stop();
}

/* A connection that is used again is young again, and the last used is the first taken. */
static void test_takes_the_warmest(void **state) {
    (void)state;
    start(script_ok);
    struct seen a = {0}, b = {0};
    launch(&a, (struct sl_fetch_request){0});
    launch(&b, (struct sl_fetch_request){0});
    expect_result(&a, SL_OK, SL_FETCH_DONE);
    expect_result(&b, SL_OK, SL_FETCH_DONE);
    assert_int_equal(rig.client->links, 2);
    for (int i = 0; i < 3; i++) {
        rig.loop.now += 100 * SL_NS_PER_MS;
        a = (struct seen){0};
        launch(&a, (struct sl_fetch_request){0});
        expect_result(&a, SL_OK, SL_FETCH_DONE);
    }
    struct sl_link *oldest = SL_CONTAINER(rig.client->idle.next, struct sl_link, age);
    struct sl_link *warmest = SL_CONTAINER(rig.client->idle.prev, struct sl_link, age);
    assert_false(oldest->reused);
    assert_true(warmest->reused);
    assert_ptr_equal(&warmest->link, oldest->route->idle.next);
    stop();
}

static void test_keeps_no_more_than_it_may(void **state) {
    (void)state;
    enum { N = 60 };
    static struct seen seen[N];
    start(script_ok);
    for (int i = 0; i < N; i++) {
        seen[i] = (struct seen){0};
        launch(&seen[i], (struct sl_fetch_request){0});
    }
    for (int i = 0; i < N; i++)
        expect_result(&seen[i], SL_OK, SL_FETCH_DONE);
    assert_int_equal(rig.client->links, 16 + 32);
    stop();
}

static void test_tells_resets_apart(void **state) {
    (void)state;
    static const struct {
        const char *before;
        int error;
        enum sl_fetch_phase phase;
    } cases[] = {
        {"", SL_E_IO, SL_FETCH_HEAD},
        {"HTTP/1.1 200 OK\r\nConte", SL_E_IO, SL_FETCH_HEAD},
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", SL_E_EOF, SL_FETCH_BODY},
    };
    start(script_say);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = {0};
        script_text = cases[i].before;
        script_then_close = false;
        launch(&seen, (struct sl_fetch_request){0});
        WAIT(rig.server.requests == (int)i + 1);
        run_turns(3);
        script_reset(rig.server.conns);
        expect_result(&seen, cases[i].error, cases[i].phase);
    }
    stop();
}

/* A server may refuse a long request and close before it has read it: its answer counts. */
static void script_refuse_and_close(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    script_send(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
    script_close(conn);
}

static void test_hears_a_server_that_closes_early(void **state) {
    (void)state;
    start(script_refuse_and_close);
    rig.server.greedy = true;
    struct sl_chain body = make_body(20000000);
    for (int i = 0; i < 10; i++) {
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){.body = &body});
        wait_done(&seen);
        assert_int_equal(seen.status, 413);
        assert_body(&seen, "no");
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
    }
    sl_chain_done(&body);
    stop();
}

static void script_just_reset(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    script_reset(conn);
}

static void test_reset_while_sending(void **state) {
    (void)state;
    start(script_just_reset);
    rig.server.greedy = true;
    struct sl_chain body = make_body(20000000);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.body = &body});
    expect_result(&seen, SL_E_IO, SL_FETCH_SEND);
    sl_chain_done(&body);
    stop();
}

static void test_pause_in_chunks(void **state) {
    (void)state;
    start(script_say);
    struct seen seen = {.on_data = ACT_PAUSE};
    script_text =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n3\r\ncde\r\n1\r\nf"
        "\r\n0\r\n\r\n";
    script_then_close = false;
    launch(&seen, (struct sl_fetch_request){0});
    static const char *const states[] = {"ab", "abcde", "abcdef"};
    for (int i = 0; i < 3; i++) {
        WAIT(seen.datas == i + 1);
        run_turns(10);
        assert_int_equal(seen.datas, i + 1);
        assert_body(&seen, states[i]);
        if (!seen.dones)
            sl_fetch_resume(seen.fetch);
    }
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    seen = (struct seen){.on_data = ACT_PAUSE};
    launch(&seen, (struct sl_fetch_request){0});
    WAIT(seen.datas);
    sl_fetch_cancel(seen.fetch); /* with bytes at hand */
    sl_buf_done(&seen.body);
    run_turns(3);
    assert_int_equal(rig.server.connections, 1);
    stop();
}

/* ---- framing */

static void test_reads_every_framing(void **state) {
    (void)state;
    start(script_say);
    struct seen seen;
    get(&seen,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n "
        "world\r\n0\r\nX-Trailer: t\r\n\r\n",
        false);
    assert_body(&seen, "hello world");
    assert_int_equal(seen.content_length, -1);
    assert_null(strstr(seen.headers, "X-Trailer"));
    expect_result(&seen, SL_OK, SL_FETCH_DONE);

    get(&seen, "HTTP/1.1 200 OK\r\n\r\nuntil the end", true);
    assert_body(&seen, "until the end");
    assert_int_equal(seen.content_length, -1);
    expect_result(&seen, SL_OK, SL_FETCH_DONE);

    get(&seen, "HTTP/1.1 204 No Content\r\n\r\n", false);
    assert_int_equal(seen.status, 204);
    expect_result(&seen, SL_OK, SL_FETCH_DONE);

    get(&seen,
        "HTTP/1.1 100 Continue\r\nX-A: no\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: "
        "x\r\n\r\nHTTP/1.1 500 Oh\r\nX-B: yes\r\nContent-Length: 2\r\n\r\nok",
        false);
    assert_int_equal(seen.heads, 1);
    assert_int_equal(seen.status, 500);
    assert_string_equal(seen.headers, "X-B=yes\nContent-Length=2\n");
    assert_body(&seen, "ok");
    expect_result(&seen, SL_OK, SL_FETCH_DONE);

    get(&seen,
        "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        false);
    assert_int_equal(seen.status, 307);
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    stop();
}

static void test_reports_broken_answers(void **state) {
    (void)state;
    start(script_say);
    struct seen seen;
    get(&seen, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", true);
    assert_body(&seen, "short");
    expect_result(&seen, SL_E_EOF, SL_FETCH_BODY);
    get(&seen, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true);
    expect_result(&seen, SL_E_EOF, SL_FETCH_BODY);
    get(&seen, "", true);
    expect_result(&seen, SL_E_IO, SL_FETCH_HEAD);
    get(&seen, "SSH-2.0-OpenSSH_9.2\r\n", true);
    expect_result(&seen, SL_E_PROTOCOL, SL_FETCH_HEAD);
    get(&seen, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", true);
    expect_result(&seen, SL_E_PROTOCOL, SL_FETCH_HEAD);
    get(&seen, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", true);
    expect_result(&seen, SL_E_PROTOCOL, SL_FETCH_HEAD);
    assert_int_equal(seen.heads, 0);
    stop();
}

static void test_refuses_an_endless_head(void **state) {
    (void)state;
    start(script_say);
    struct seen seen;
    struct sl_buf text;
    sl_buf_init(&text, 1u << 20);
    assert_int_equal(sl_buf_add_str(&text, "HTTP/1.1 200 OK\r\n"), SL_OK);
    for (int i = 0; i < 600; i++)
        assert_int_equal(sl_buf_add_str(&text, "X-Again: and again\r\n"), SL_OK);
    assert_int_equal(sl_buf_terminate(&text), SL_OK);
    get(&seen, text.ptr, false);
    expect_result(&seen, SL_E_PROTOCOL, SL_FETCH_HEAD);
    sl_buf_done(&text);
    stop();
}

static void test_keeps_response_headers_as_sent(void **state) {
    (void)state;
    start(script_say);
    struct seen seen;
    get(&seen,
        "HTTP/1.1 200 OK\r\nx-Amzn-RequestId:abc \r\nSet-Cookie: a\r\nSET-COOKIE: b\r\nFolded: "
        "one\r\n\ttwo\r\nEmpty:\r\nContent-Length: 0\r\n\r\n",
        false);
    assert_string_equal(seen.headers, "x-Amzn-RequestId=abc\nSet-Cookie=a\nSET-COOKIE=b\n"
                                      "Folded=one  \ttwo\nEmpty=\nContent-Length=0\n");
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    stop();
}

/* The same answer a byte at a time must give the same events. */
struct dribble {
    uv_idle_t idle;
    struct script_conn *conn;
    const char *at;
};
static struct dribble dribble;

static void on_dribble(uv_idle_t *idle) {
    (void)idle;
    if (*dribble.at)
        script_send_bytes(dribble.conn, sl_slice_of(dribble.at++, 1));
    else
        uv_close((uv_handle_t *)&dribble.idle, NULL);
}

static void script_dribble(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    dribble.conn = conn;
    dribble.at = script_text;
    uv_idle_init(conn->tcp.loop, &dribble.idle);
    uv_idle_start(&dribble.idle, on_dribble);
}

static void test_reads_byte_by_byte(void **state) {
    (void)state;
    start(script_dribble);
    struct seen seen;
    get(&seen,
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n e\r\nTransfer-Encoding: "
        "chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        false);
    assert_string_equal(seen.headers, "A=b\nC=d   e\nTransfer-Encoding=chunked\n");
    assert_body(&seen, "hello");
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    stop();
}

/* ---- requests on the wire */

static void test_sends_only_what_it_was_given(void **state) {
    (void)state;
    start(script_ok);
    struct seen seen = {0};
    char expected[512];
    launch(&seen, (struct sl_fetch_request){.target = SL_LIT("/model/a%3Ab/..%2f/x?y=%20")});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    snprintf(expected, sizeof(expected),
             "GET /model/a%%3Ab/..%%2f/x?y=%%20 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
             rig.server.port);
    assert_string_equal(last_request, expected);

    const struct sl_fetch_header headers[] = {
        {SL_LIT("X-Empty"), SL_EMPTY},
        {SL_LIT("x-b"), SL_LIT("1")},
        {SL_LIT("HOST"), SL_LIT("elsewhere")},
        {SL_LIT("X-a"), SL_LIT("2 , 3")},
        {SL_LIT("content-length"), SL_LIT("999")},
        {SL_LIT("x-B"), SL_LIT("1")},
        {SL_LIT("transfer-encoding"), SL_LIT("chunked")},
    };
    struct sl_chain body = make_body(4);
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.target = SL_LIT("/a/../b//c"),
                                            .headers = headers,
                                            .header_count = 7,
                                            .body = &body});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    snprintf(expected, sizeof(expected),
             "POST /a/../b//c HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Empty: \r\nx-b: 1\r\nX-a: 2 , "
             "3\r\nx-B: 1\r\nContent-Length: 4\r\n\r\nabcd",
             rig.server.port);
    assert_string_equal(last_request, expected);

    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.headers = headers, .header_count = 1});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    snprintf(expected, sizeof(expected),
             "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Empty: \r\n\r\n", rig.server.port);
    assert_string_equal(last_request, expected);
    sl_chain_done(&body);
    stop();
}

static void test_methods_and_lengths(void **state) {
    (void)state;
    start(script_ok);
    struct sl_chain empty = make_body(0), some = make_body(3);
    const struct {
        struct sl_slice method;
        struct sl_chain *body;
        const char *line, *length;
    } cases[] = {
        {SL_LIT("POST"), NULL, "POST / ", "Content-Length: 0\r\n"},
        {SL_LIT("GET"), NULL, "GET / ", NULL},
        {SL_LIT("PUT"), &empty, "PUT / ", "Content-Length: 0\r\n"},
        {SL_LIT("DELETE"), &empty, "DELETE / ", NULL},
        {SL_LIT("PATCH"), &some, "PATCH / ", "Content-Length: 3\r\n"},
        {SL_LIT("GET"), &some, "GET / ", "Content-Length: 3\r\n"},
        {SL_LIT("HEAD"), NULL, "HEAD / ", NULL},
        {SL_LIT("POST"), &some, "POST / ", "Content-Length: 3\r\n"},
        {SL_LIT("DELETE"), &some, "DELETE / ", "Content-Length: 3\r\n"},
        {SL_LIT("GET"), &empty, "GET / ", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){.method = cases[i].method, .body = cases[i].body});
        /* the answer to HEAD carries a body here, which no client may read */
        wait_done(&seen);
        assert_int_equal(seen.result.error, SL_OK);
        assert_body(&seen, sl_slice_eq(cases[i].method, SL_LIT("HEAD")) ? "" : "hello");
        sl_buf_done(&seen.body);
        assert_memory_equal(last_request, cases[i].line, strlen(cases[i].line));
        if (cases[i].length)
            assert_non_null(strstr(last_request, cases[i].length));
        else
            assert_null(strstr(last_request, "Content-Length"));
        assert_null(strstr(last_request, "Expect"));
        assert_null(strstr(last_request, "Content-Type"));
        assert_null(strstr(last_request, "Accept"));
    }
    sl_chain_done(&some);
    sl_chain_done(&empty);
    stop();
}

static void test_user_agent_is_a_default(void **state) {
    (void)state;
    start(script_ok);
    sl_fetch_origin_free(rig.origin);
    sl_fetch_client_free(rig.client);
    start_client("sluice/1");
    rig.origin = sl_fetch_origin_new(rig.client, rig.server.url, NULL);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){0});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    assert_non_null(strstr(last_request, "\r\nUser-Agent: sluice/1\r\n"));
    const struct sl_fetch_header own = {SL_LIT("user-agent"), SL_LIT("boto")};
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.headers = &own, .header_count = 1});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    assert_null(strstr(last_request, "sluice/1"));
    assert_non_null(strstr(last_request, "\r\nuser-agent: boto\r\n"));
    stop();
}

static void test_refuses_smuggling(void **state) {
    (void)state;
    start(script_ok);
    struct sl_fetch_request r = {
        .origin = rig.origin, .method = SL_LIT("GET"), .target = SL_LIT("/")};
    struct sl_fetch_header bad[] = {{SL_LIT("A"), SL_LIT("b\r\nC: d")},
                                    {SL_LIT("A\nB"), SL_LIT("c")},
                                    {SL_LIT("A"), SL_LIT("b\0c")},
                                    {SL_EMPTY, SL_LIT("x")}};
    r.header_count = 1;
    for (size_t i = 0; i < 4; i++) {
        r.headers = &bad[i];
        assert_null(sl_fetch_start(rig.client, &r, &events, NULL));
    }
    r.header_count = 0;
    const struct sl_slice targets[] = {SL_EMPTY, SL_LIT("x"), SL_LIT("/a b"), SL_LIT("/a\r\nb")};
    for (size_t i = 0; i < 4; i++) {
        r.target = targets[i];
        assert_null(sl_fetch_start(rig.client, &r, &events, NULL));
    }
    r.target = SL_LIT("/");
    r.method = SL_LIT("GET\r\n");
    assert_null(sl_fetch_start(rig.client, &r, &events, NULL));
    run_turns(3);
    assert_int_equal(rig.server.connections, 0);
    stop();
}

static size_t sent_len;
static void script_count(struct script_conn *conn, struct sl_slice request) {
    size_t head = sl_slice_search(request, SL_LIT("\r\n\r\n")) + 4;
    sent_len = request.len - head;
    for (size_t i = 0; i < sent_len; i++)
        assert_int_equal(request.ptr[head + i], 'a' + (int)(i % 23));
    script_ok(conn, request);
}

static void test_sends_bodies_of_all_sizes(void **state) {
    (void)state;
    start(script_count);
    const size_t sizes[] = {1, 4000, 4096, 5000, 16384, 16385, 65535, 65536, 200000, 5000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct sl_chain body = make_body(sizes[i]);
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){.body = &body});
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
        assert_int_equal(sent_len, sizes[i]);
        sl_chain_done(&body);
    }
    assert_int_equal(rig.server.connections, 1);
    stop();
}

/* An answer may come before the body has been sent. */
static void script_too_large(struct script_conn *conn, struct sl_slice request) {
    if (conn->served > 1)
        return;
    keep_request(request);
    script_send(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
}

static void test_takes_an_early_answer(void **state) {
    (void)state;
    start(script_too_large);
    rig.server.greedy = true;
    struct sl_chain body = make_body(20000000);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.body = &body});
    wait_done(&seen);
    assert_int_equal(seen.status, 413);
    assert_body(&seen, "no");
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    sl_chain_done(&body);
    stop();
}

/* ---- pausing */

#define LARGE (8u << 20)
static void script_large(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    char head[64];
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %u\r\n\r\n", LARGE);
    script_send(conn, head);
    struct sl_chain chain = make_body(LARGE);
    struct sl_chain_cursor cursor = {0};
    struct sl_slice piece;
    while (sl_chain_peek(&chain, &cursor, &piece, 1) == 1) {
        script_send_bytes(conn, piece);
        sl_chain_advance(&chain, &cursor, piece.len);
    }
    sl_chain_done(&chain);
}

static void test_pause_stops_the_flow(void **state) {
    (void)state;
    start(script_large);
    struct seen seen = {.on_data = ACT_PAUSE};
    launch(&seen, (struct sl_fetch_request){.idle_ms = 50});
    int resumes = 0;
    size_t last = 0;
    while (!seen.dones) {
        WAIT(seen.dones || seen.body.len > last);
        last = seen.body.len;
        int datas = seen.datas;
        if (resumes < 3) {
            /* Longer than the idle limit, which must not run now. Nothing may come. */
            uint64_t until = sl_clock_monotonic() + 80 * SL_NS_PER_MS;
            while (sl_clock_monotonic() < until)
                run_turns(1);
            assert_int_equal(seen.datas, datas);
        }
        resumes++;
        if (!seen.dones)
            sl_fetch_resume(seen.fetch);
        assert_int_equal(seen.datas, datas); /* nothing from inside the call */
        WAIT(seen.dones || seen.body.len > last);
        assert_true(seen.body.len - last <= 32768);
        last = 0;
        if (resumes == 40)
            seen.on_data = ACT_NONE;
        if (resumes >= 40 && !seen.dones) {
            sl_fetch_resume(seen.fetch);
            WAIT(seen.dones);
        }
    }
    assert_int_equal(seen.body.len, LARGE);
    for (size_t i = 0; i < LARGE; i++)
        if (seen.body.ptr[i] != (char)('a' + i % 23))
            fail_msg("byte %zu differs", i);
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    stop();
}

static void test_pause_and_resume_inside_events(void **state) {
    (void)state;
    start(script_large);
    struct seen seen = {.on_head = ACT_PAUSE_RESUME, .on_data = ACT_PAUSE_RESUME};
    launch(&seen, (struct sl_fetch_request){0});
    wait_done(&seen);
    assert_int_equal(seen.body.len, LARGE);
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    struct seen held = {.on_head = ACT_PAUSE};
    launch(&held, (struct sl_fetch_request){0});
    WAIT(held.heads);
    run_turns(50);
    assert_int_equal(held.datas, 0);
    sl_fetch_resume(held.fetch);
    wait_done(&held);
    assert_int_equal(held.body.len, LARGE);
    expect_result(&held, SL_OK, SL_FETCH_DONE);
    stop();
}

static void test_cancel_while_paused(void **state) {
    (void)state;
    start(script_large);
    struct seen seen = {.on_data = ACT_PAUSE};
    launch(&seen, (struct sl_fetch_request){0});
    WAIT(seen.datas);
    run_turns(10);
    sl_fetch_resume(seen.fetch);
    sl_fetch_cancel(seen.fetch);
    run_turns(10);
    assert_int_equal(seen.dones, 0);
    sl_buf_done(&seen.body);
    assert_int_equal(sl_fetch_client_stats(rig.client).in_flight, 0);
    stop();
}

/* ---- cancelling */

static void test_cancel_in_each_event(void **state) {
    (void)state;
    start(script_large);
    struct seen at_head = {.on_head = ACT_CANCEL}, at_data = {.on_data = ACT_CANCEL},
                at_done = {.on_done = ACT_CANCEL};
    launch(&at_head, (struct sl_fetch_request){0});
    launch(&at_data, (struct sl_fetch_request){0});
    launch(&at_done, (struct sl_fetch_request){0});
    wait_done(&at_done);
    WAIT(at_head.heads && at_data.datas);
    run_turns(20);
    assert_int_equal(at_head.datas + at_head.dones, 0);
    assert_int_equal(at_data.datas, 1);
    assert_int_equal(at_data.dones, 0);
    assert_int_equal(sl_fetch_client_stats(rig.client).in_flight, 0);
    sl_buf_done(&at_data.body);
    sl_buf_done(&at_done.body);
    stop();
}

/* More than are kept for reuse: what is freed may not be in use. */
static void test_cancel_many_inside(void **state) {
    (void)state;
    enum { N = SL_FETCH_SPARES_MAX + 20 };
    static struct seen seen[N];
    start(script_ok);
    int datas = 0;
    for (int i = 0; i < N; i++) {
        seen[i] = (struct seen){.on_data = ACT_CANCEL};
        launch(&seen[i], (struct sl_fetch_request){0});
    }
    while (datas < N) {
        uv_run(&rig.uv, UV_RUN_ONCE);
        datas = 0;
        for (int i = 0; i < N; i++)
            datas += seen[i].datas;
    }
    run_turns(2);
    assert_int_equal(sl_fetch_client_stats(rig.client).in_flight, 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(seen[i].dones, 0);
        sl_buf_done(&seen[i].body);
    }
    stop();
}

static void test_cancel_at_once(void **state) {
    (void)state;
    start(script_ok);
    struct seen seen = {0};
    struct sl_chain body = make_body(300000);
    launch(&seen, (struct sl_fetch_request){.body = &body});
    sl_fetch_cancel(seen.fetch);
    sl_chain_done(&body);
    run_turns(20);
    assert_int_equal(seen.heads + seen.dones, 0);
    assert_int_equal(rig.server.requests, 0);
    stop();
}

static void test_cancel_another_from_inside(void **state) {
    (void)state;
    /* from a callback of curl's, and from on_done */
    for (int where = 0; where < 3; where++) {
        start(script_ok);
        struct seen a = {0}, b = {0};
        *(where == 0 ? &a.on_head : where == 1 ? &a.on_data : &a.on_done) = ACT_CANCEL_OTHER;
        struct sl_chain body = make_body(1000);
        launch(&a, (struct sl_fetch_request){0});
        launch(&b, (struct sl_fetch_request){
                       .origin = rig.origin, .method = SL_LIT("POST"), .body = &body});
        /* Let b hang: its request is never whole for the server. */
        a.other = b.fetch;
        WAIT(a.dones);
        run_turns(10);
        assert_true(b.dones == 0);
        sl_buf_done(&a.body);
        sl_buf_done(&b.body);
        sl_chain_done(&body);
        stop();
    }
}

static void test_start_inside_each_event(void **state) {
    (void)state;
    for (int where = 0; where < 3; where++) {
        start(script_ok);
        struct seen b = {0}, a = {.next = &b};
        *(where == 0 ? &a.on_head : where == 1 ? &a.on_data : &a.on_done) = ACT_START;
        launch(&a, (struct sl_fetch_request){0});
        expect_result(&a, SL_OK, SL_FETCH_DONE);
        expect_result(&b, SL_OK, SL_FETCH_DONE);
        stop();
    }
}

static void test_free_with_fetches_under_way(void **state) {
    (void)state;
    start(script_ignore);
    struct seen a = {0}, b = {0};
    launch(&a, (struct sl_fetch_request){.total_ms = 60000});
    WAIT(rig.server.requests == 1);
    launch(&b, (struct sl_fetch_request){0});
    stop();
    assert_int_equal(a.dones + b.dones, 0);
}

/* ---- limits of time */

static void script_half(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    script_send(conn, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
}

static void test_time_limits(void **state) {
    (void)state;
    struct seen seen = {0};
    start(script_ignore);
    launch(&seen, (struct sl_fetch_request){.first_byte_ms = 30, .idle_ms = 10});
    uint64_t from = sl_clock_monotonic();
    expect_result(&seen, SL_E_TIMEOUT, SL_FETCH_HEAD);
    assert_true(sl_clock_monotonic() - from >= 30 * SL_NS_PER_MS);
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.total_ms = 30});
    expect_result(&seen, SL_E_TIMEOUT, SL_FETCH_HEAD);
    stop();

    start(script_half);
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.first_byte_ms = 5000, .idle_ms = 30});
    expect_result(&seen, SL_E_TIMEOUT, SL_FETCH_BODY);
    assert_int_equal(seen.datas, 1);
    stop();
}

static void test_upload_that_stands_still(void **state) {
    (void)state;
    start(script_ok);
    rig.server.greedy = true;
    rig.server.script = script_ignore;
    struct sl_chain body = make_body(20000000);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.body = &body, .first_byte_ms = 100});
    WAIT(rig.server.conns);
    uv_read_stop((uv_stream_t *)&rig.server.conns->tcp);
    expect_result(&seen, SL_E_TIMEOUT, SL_FETCH_SEND);
    sl_chain_done(&body);
    stop();
}

/* A full accept queue answers no SYN. */
static void test_connect_limit(void **state) {
    (void)state;
    start(script_ok);
    int full = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    assert_int_equal(bind(full, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(full, 0), 0);
    assert_int_equal(getsockname(full, (struct sockaddr *)&address, &len), 0);
    int fill[4];
    for (int i = 0; i < 4; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&address, len);
    }
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    struct sl_fetch_origin *origin = sl_fetch_origin_new(rig.client, url, NULL);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.origin = origin, .connect_ms = 50});
    expect_result(&seen, SL_E_TIMEOUT, SL_FETCH_CONNECT);
    for (int i = 0; i < 4; i++)
        close(fill[i]);
    close(full);
    sl_fetch_origin_free(origin);
    stop();
}

static void test_connect_refused_and_unknown_host(void **state) {
    (void)state;
    start(script_ok);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(address.sin_port));
    struct sl_fetch_origin *dead = sl_fetch_origin_new(rig.client, url, NULL);
    struct sl_fetch_origin *unknown = sl_fetch_origin_new(rig.client, "http://no.invalid", NULL);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.origin = dead});
    expect_result(&seen, SL_E_IO, SL_FETCH_CONNECT);
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.origin = unknown});
    expect_result(&seen, SL_E_IO, SL_FETCH_RESOLVE);
    assert_non_null(strstr(seen.why, "no.invalid"));
    /* One cancelled while its name is being looked up. */
    seen = (struct seen){0};
    struct sl_fetch_origin *other = sl_fetch_origin_new(rig.client, "http://other.invalid", NULL);
    launch(&seen, (struct sl_fetch_request){.origin = other});
    run_turns(1);
    if (!seen.dones)
        sl_fetch_cancel(seen.fetch);
    run_turns(3);
    sl_fetch_origin_free(other);
    sl_fetch_origin_free(unknown);
    sl_fetch_origin_free(dead);
    close(fd);
    stop();
}

/* ---- origins and proxies */

static void test_origins(void **state) {
    (void)state;
    start(script_ok);
    static const struct {
        const char *url, *authority;
    } good[] = {
        {"https://bedrock.us-east-1.amazonaws.com", "bedrock.us-east-1.amazonaws.com"},
        {"https://host:443", "host"},
        {"https://host:8443/", "host:8443"},
        {"http://[::1]:8080", "[::1]:8080"},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct sl_fetch_origin *o = sl_fetch_origin_new(rig.client, good[i].url, NULL);
        assert_non_null(o);
        assert_true(sl_slice_eq(sl_fetch_origin_authority(o), sl_slice_str(good[i].authority)));
        sl_fetch_origin_free(o);
    }
    static const char *const bad[] = {"",           "host",          "ftp://host", "https://h/path",
                                      "http://h?q", "http://u:p@h/", "http://h#f", "https://"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_null(sl_fetch_origin_new(rig.client, bad[i], NULL));
    stop();
}

/* One pooled handle serves two origins in turn; each request goes where it should. */
static void test_switches_origins(void **state) {
    (void)state;
    start(script_ok);
    struct script_server second;
    script_server_start(&second, &rig.uv, script_ok);
    struct sl_fetch_origin *other = sl_fetch_origin_new(rig.client, second.url, NULL);
    for (int i = 0; i < 6; i++) {
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){.origin = i % 2 ? other : rig.origin});
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
        char host[64];
        snprintf(host, sizeof(host), "Host: 127.0.0.1:%d\r\n",
                 i % 2 ? second.port : rig.server.port);
        assert_non_null(strstr(last_request, host));
    }
    assert_int_equal(second.requests, 3);
    assert_int_equal(second.connections, 1);
    assert_int_equal(rig.server.connections, 1);
    sl_fetch_origin_free(other);
    script_server_stop(&second);
    stop();
}

static void script_refuse_connect(struct script_conn *conn, struct sl_slice request) {
    keep_request(request);
    script_send(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    script_close(conn);
}

static void test_proxies(void **state) {
    (void)state;
    start(script_ok);
    sl_fetch_origin_free(rig.origin);
    sl_fetch_client_free(rig.client);
    char with_name[256];
    snprintf(with_name, sizeof(with_name), "http://me:a%%20b@%s",
             rig.server.url + strlen("http://"));
    setenv("http_proxy", with_name, 1);
    setenv("HTTPS_PROXY", rig.server.url, 1);
    setenv("NO_PROXY", "direct.test,127.0.0.0/8", 1);
    start_client(NULL);
    rig.origin = sl_fetch_origin_new(rig.client, rig.server.url, NULL);
    unsetenv("http_proxy"); /* read once */

    struct sl_fetch_origin *plain = sl_fetch_origin_new(rig.client, "http://far.test:81", NULL);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.origin = plain, .target = SL_LIT("/a%2F../b?c=%20")});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    const char *line = "GET http://far.test:81/a%2F../b?c=%20 HTTP/1.1\r\nHost: far.test:81\r\n"
                       "Proxy-Authorization: Basic bWU6YSBi\r\n\r\n";
    assert_memory_equal(last_request, line, strlen(line));

    /* Not for what no_proxy names, nor where the request forbids it. */
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){0});
    expect_result(&seen, SL_OK, SL_FETCH_DONE);
    assert_memory_equal(last_request, "GET / HTTP/1.1\r\n", 16);
    seen = (struct seen){0};
    struct sl_fetch_origin *metadata = sl_fetch_origin_new(rig.client, "http://no.invalid", NULL);
    launch(&seen, (struct sl_fetch_request){.origin = metadata, .no_proxy = true});
    expect_result(&seen, SL_E_IO, SL_FETCH_RESOLVE);

    rig.server.script = script_refuse_connect;
    seen = (struct seen){0};
    struct sl_fetch_origin *tls = sl_fetch_origin_new(rig.client, "https://far.test", NULL);
    launch(&seen, (struct sl_fetch_request){.origin = tls});
    wait_done(&seen);
    assert_int_equal(seen.result.error, SL_E_IO);
    assert_true(seen.result.phase < SL_FETCH_SEND);
    assert_int_equal(seen.heads, 0);
    assert_memory_equal(last_request, "CONNECT far.test:443 HTTP/1.1\r\n", 31);
    sl_buf_done(&seen.body);
    unsetenv("HTTPS_PROXY");
    unsetenv("NO_PROXY");
    sl_fetch_origin_free(plain);
    sl_fetch_origin_free(metadata);
    sl_fetch_origin_free(tls);
    stop();
}

/* ---- TLS */

/* Servers and proxies that speak TLS: what came so far goes to `answer`. */
struct tls_server {
    struct certificate certificate;
    struct sl_tls *tls;
    struct sl_conn_listener *listener;
    struct tls_peer *peers;
    void (*answer)(struct tls_peer *peer);
    int accepted;
    char url[128];
};

struct tls_peer {
    struct tls_peer *next;
    struct tls_server *server;
    struct sl_conn *conn;
    struct sl_buf in;
    struct sl_chain out; /* to be written as it fits */
    struct sl_chain_cursor at;
    bool close_after;
    uv_tcp_t *beyond; /* of a proxy that tunnels */
};

static void tls_flush(struct tls_peer *peer) {
    struct sl_slice piece;
    while (peer->conn && sl_chain_peek(&peer->out, &peer->at, &piece, 1) == 1) {
        int64_t n = sl_conn_write(peer->conn, &piece, 1);
        if (n <= 0)
            return;
        sl_chain_advance(&peer->out, &peer->at, (uint64_t)n);
    }
    if (peer->conn && peer->close_after)
        sl_conn_shutdown(peer->conn);
}

static void tls_say(struct tls_peer *peer, struct sl_slice bytes) {
    assert_int_equal(sl_chain_add(&peer->out, bytes), SL_OK);
    tls_flush(peer);
}

static void tls_on_open(void *ctx, struct sl_slice alpn) {
    (void)ctx, (void)alpn;
}
static void tls_on_read(void *ctx, struct sl_slice bytes) {
    struct tls_peer *peer = ctx;
    assert_int_equal(sl_buf_add(&peer->in, bytes), SL_OK);
    peer->server->answer(peer);
}
static void tls_on_eof(void *ctx) {
    struct tls_peer *peer = ctx;
    sl_conn_close(peer->conn, false);
}
static void tls_on_writable(void *ctx) {
    tls_flush(ctx);
}
static void tls_on_close(void *ctx, int error) {
    (void)error;
    struct tls_peer *peer = ctx;
    peer->conn = NULL;
    if (peer->beyond && !uv_is_closing((uv_handle_t *)peer->beyond))
        uv_close((uv_handle_t *)peer->beyond, (uv_close_cb)free);
    peer->beyond = NULL;
}
static const struct sl_conn_handler tls_handler = {tls_on_open, tls_on_read, tls_on_eof,
                                                   tls_on_writable, tls_on_close};

static void tls_on_accept(void *ctx, struct sl_conn *conn) {
    struct tls_server *server = ctx;
    struct tls_peer *peer = script_calloc(sizeof(*peer));
    *peer = (struct tls_peer){.next = server->peers, .server = server, .conn = conn};
    sl_buf_init(&peer->in, 64u << 20);
    sl_chain_init(&peer->out, NULL);
    server->peers = peer;
    server->accepted++;
    sl_conn_set_handler(conn, &tls_handler, peer);
}

static void tls_server_start(struct tls_server *server, struct certificate_settings names,
                             void (*answer)(struct tls_peer *peer)) {
    char why[256];
    *server = (struct tls_server){.answer = answer};
    certificate_make_with(&server->certificate, names);
    server->tls = sl_tls_new(&(struct sl_tls_settings){.certificate = server->certificate.cert_file,
                                                       .key = server->certificate.key_file},
                             why, sizeof(why));
    assert_non_null(server->tls);
    server->listener = sl_conn_listen(
        &rig.loop, &(struct sl_conn_listener_settings){.host = "127.0.0.1", .backlog = 8},
        server->tls, tls_on_accept, server, why, sizeof(why));
    assert_non_null(server->listener);
    snprintf(server->url, sizeof(server->url), "https://%s",
             sl_conn_listener_address(server->listener));
}

static void tls_server_stop(struct tls_server *server) {
    sl_conn_listener_close(server->listener);
    sl_tls_free(server->tls);
    certificate_remove(&server->certificate);
    for (struct tls_peer *peer = server->peers, *next; peer; peer = next) {
        next = peer->next;
        if (peer->conn)
            sl_conn_close(peer->conn, true);
        WAIT(!peer->conn);
        sl_buf_done(&peer->in);
        sl_chain_done(&peer->out);
        sl_free(peer);
    }
}

/* The requests of these tests end so. */
static void tls_answer_secret(struct tls_peer *peer) {
    if (!sl_slice_ends(sl_buf_slice(&peer->in), SL_LIT("abc")))
        return;
    sl_buf_clear(&peer->in);
    tls_say(peer, SL_LIT("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret"));
}

static const struct certificate_settings of_loopback = {.name = "127.0.0.1"};

static void test_tls_verifies(void **state) {
    (void)state;
    start(script_ok);
    struct tls_server server;
    tls_server_start(&server, of_loopback, tls_answer_secret);
    const char *cert = server.certificate.cert_file, *url = server.url;
    struct sl_chain body = make_body(3);
    struct sl_fetch_origin *stranger = sl_fetch_origin_new(rig.client, url, NULL);
    struct sl_fetch_origin *known = sl_fetch_origin_new(rig.client, url, cert);
    struct sl_fetch_origin *no_bundle = sl_fetch_origin_new(rig.client, url, "/nonexistent");
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.origin = stranger, .body = &body});
    expect_result(&seen, SL_E_DENIED, SL_FETCH_TLS);
    for (int i = 0; i < 3; i++) {
        seen = (struct seen){0};
        launch(&seen, (struct sl_fetch_request){.origin = known, .body = &body});
        wait_done(&seen);
        assert_body(&seen, "secret");
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
    }
    assert_int_equal(server.accepted, 2);
    /* The same again, for the origin without that bundle. */
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.origin = stranger, .body = &body});
    expect_result(&seen, SL_E_DENIED, SL_FETCH_TLS);
    seen = (struct seen){0};
    launch(&seen, (struct sl_fetch_request){.origin = no_bundle, .body = &body});
    expect_result(&seen, SL_E_DENIED, SL_FETCH_TLS);
    assert_non_null(strstr(seen.why, "/nonexistent"));

    sl_chain_done(&body);
    sl_fetch_origin_free(stranger);
    sl_fetch_origin_free(known);
    sl_fetch_origin_free(no_bundle);
    tls_server_stop(&server);
    stop();
}

/* Trusted, but not for this host, or not now. */
static void test_tls_looks_at_name_and_date(void **state) {
    (void)state;
    static const struct {
        struct certificate_settings certificate;
        const char *host; /* NULL: the address */
        int error;
    } cases[] = {
        {{.name = "127.0.0.2"}, NULL, SL_E_DENIED},
        {{.name = "127.0.0.1", .nameless = true}, NULL, SL_E_DENIED},
        {{.name = "127.0.0.1", .expired = true}, NULL, SL_E_DENIED},
        {{.name = "other.test"}, "localhost", SL_E_DENIED},
        {{.name = "ocalhost"}, "localhost", SL_E_DENIED},
        {{.name = "localhost"}, NULL, SL_E_DENIED},
        {{.name = "localhost"}, "localhost", SL_OK},
        {{.name = "LOCALHOST"}, "localhost", SL_OK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(script_ok);
        struct tls_server server;
        tls_server_start(&server, cases[i].certificate, tls_answer_secret);
        char url[128];
        snprintf(url, sizeof(url), "https://%s%s", cases[i].host ? cases[i].host : "127.0.0.1",
                 strrchr(server.url, ':'));
        struct sl_fetch_origin *origin =
            sl_fetch_origin_new(rig.client, url, server.certificate.cert_file);
        struct sl_chain body = make_body(3);
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){.origin = origin, .body = &body});
        expect_result(&seen, cases[i].error, cases[i].error ? SL_FETCH_TLS : SL_FETCH_DONE);
        for (struct tls_peer *peer = server.peers; cases[i].error && peer; peer = peer->next)
            assert_int_equal(peer->in.len, 0); /* nothing was said to the wrong one */
        sl_chain_done(&body);
        sl_fetch_origin_free(origin);
        tls_server_stop(&server);
        stop();
    }
}

static void test_tls_that_fails(void **state) {
    (void)state;
    static const char *const answers[] = {"\x15\x03\x03\x00\x02\x02\x28", "HTTP/1.1 400 No\r\n\r\n",
                                          ""};
    for (size_t i = 0; i < 3; i++) {
        /* A socket of its own: the script server waits for the end of a head. */
        start(script_ok);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(address);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
        char url[64];
        snprintf(url, sizeof(url), "https://127.0.0.1:%d", ntohs(address.sin_port));
        struct sl_fetch_origin *origin = sl_fetch_origin_new(rig.client, url, NULL);
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){.origin = origin});
        run_turns(3);
        int peer = accept(fd, NULL, NULL);
        size_t size = i == 0 ? 7 : strlen(answers[i]);
        assert_int_equal(write(peer, answers[i], size), size);
        shutdown(peer, SHUT_WR);
        expect_result(&seen, SL_E_IO, SL_FETCH_TLS);
        /* Nor for ever. */
        seen = (struct seen){0};
        launch(&seen, (struct sl_fetch_request){.origin = origin, .connect_ms = 30});
        expect_result(&seen, SL_E_TIMEOUT, SL_FETCH_TLS);
        close(peer);
        close(fd);
        sl_fetch_origin_free(origin);
        stop();
    }
}

static size_t tls_body_len;
static void tls_answer_large(struct tls_peer *peer) {
    struct sl_slice in = sl_buf_slice(&peer->in);
    size_t head = sl_slice_search(in, SL_LIT("\r\n\r\n")) + 4;
    if (in.len < head + tls_body_len)
        return;
    for (size_t i = 0; i < tls_body_len; i++)
        assert_int_equal(in.ptr[head + i], 'a' + (int)(i % 23));
    sl_buf_clear(&peer->in);
    char text[64];
    snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", tls_body_len);
    tls_say(peer, sl_slice_str(text));
    struct sl_chain chain = make_body(tls_body_len);
    struct sl_chain_cursor cursor = {0};
    struct sl_slice piece;
    while (sl_chain_peek(&chain, &cursor, &piece, 1) == 1) {
        assert_int_equal(sl_chain_add(&peer->out, piece), SL_OK);
        sl_chain_advance(&chain, &cursor, piece.len);
    }
    sl_chain_done(&chain);
    tls_flush(peer);
}

static void exchange_large(struct sl_fetch_origin *origin, enum act on_data) {
    const size_t sizes[] = {1, 16000, 16384, 16385, 40000, 65536, 3000000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        tls_body_len = sizes[i];
        struct sl_chain body = make_body(tls_body_len);
        struct seen seen = {.on_data = on_data};
        launch(&seen, (struct sl_fetch_request){.origin = origin, .body = &body});
        while (!seen.dones) {
            uv_run(&rig.uv, UV_RUN_ONCE);
            if (seen.fetch && on_data == ACT_PAUSE)
                sl_fetch_resume(seen.fetch);
        }
        assert_int_equal(seen.body.len, tls_body_len);
        for (size_t k = 0; k < tls_body_len; k++)
            if (seen.body.ptr[k] != (char)('a' + k % 23))
                fail_msg("byte %zu of %zu differs", k, tls_body_len);
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
        sl_chain_done(&body);
    }
}

static void test_tls_carries_much(void **state) {
    (void)state;
    start(script_ok);
    struct tls_server server;
    tls_server_start(&server, of_loopback, tls_answer_large);
    struct sl_fetch_origin *origin =
        sl_fetch_origin_new(rig.client, server.url, server.certificate.cert_file);
    exchange_large(origin, ACT_NONE);
    exchange_large(origin, ACT_PAUSE);
    assert_int_equal(server.accepted, 1);
    sl_fetch_origin_free(origin);
    tls_server_stop(&server);
    stop();
}

/* Without a length the end must be told by TLS: a bare FIN may be anybody's. */
static void tls_answer_and_shut(struct tls_peer *peer) {
    if (peer->close_after)
        return;
    peer->close_after = true;
    tls_say(peer, SL_LIT("HTTP/1.1 200 OK\r\n\r\nto the end"));
}

static void tls_answer_and_cut(struct tls_peer *peer) {
    tls_say(peer, SL_LIT("HTTP/1.1 200 OK\r\n\r\nto the end"));
    sl_conn_close(peer->conn, false);
}

static void test_tls_end_of_body(void **state) {
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        start(script_ok);
        struct tls_server server;
        tls_server_start(&server, of_loopback, cut ? tls_answer_and_cut : tls_answer_and_shut);
        struct sl_fetch_origin *origin =
            sl_fetch_origin_new(rig.client, server.url, server.certificate.cert_file);
        struct seen seen = {0};
        launch(&seen, (struct sl_fetch_request){.origin = origin});
        wait_done(&seen);
        assert_body(&seen, "to the end");
        expect_result(&seen, cut ? SL_E_EOF : SL_OK, cut ? SL_FETCH_BODY : SL_FETCH_DONE);
        sl_fetch_origin_free(origin);
        tls_server_stop(&server);
        stop();
    }
}

/* ---- HTTPS proxies: curl's TLS lies below */

static void proxy_on_written(uv_write_t *write, int status) {
    (void)status;
    free(write);
}
static void proxy_on_beyond(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct tls_peer *peer = stream->data;
    if (n > 0)
        tls_say(peer, sl_slice_of(buf->base, (size_t)n));
    else if (n < 0 && peer->conn)
        sl_conn_close(peer->conn, false);
}
static void proxy_on_connected(uv_connect_t *connect, int status) {
    assert_int_equal(status, 0);
    struct tls_peer *peer = connect->handle->data;
    free(connect);
    tls_say(peer, SL_LIT("HTTP/1.1 200 Connected\r\n\r\n"));
    uv_read_start((uv_stream_t *)peer->beyond, script_alloc, proxy_on_beyond);
}

/* CONNECT host:port opens a tunnel to that port of this machine; anything else is answered. */
static void proxy_answer(struct tls_peer *peer) {
    struct sl_slice in = sl_buf_slice(&peer->in);
    if (peer->beyond) {
        uv_write_t *write = malloc(sizeof(*write) + in.len);
        memcpy(write + 1, in.ptr, in.len);
        uv_buf_t buf = uv_buf_init((char *)(write + 1), (unsigned)in.len);
        uv_write(write, (uv_stream_t *)peer->beyond, &buf, 1, proxy_on_written);
        sl_buf_clear(&peer->in);
        return;
    }
    if (!sl_slice_ends(in, SL_LIT("\r\n\r\n")))
        return;
    keep_request(in);
    sl_buf_clear(&peer->in);
    if (!sl_slice_starts(sl_slice_str(last_request), SL_LIT("CONNECT "))) {
        tls_say(peer, SL_LIT("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nproxied"));
        return;
    }
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", (int)strtol(strchr(last_request, ':') + 1, NULL, 10), &address);
    peer->beyond = malloc(sizeof(*peer->beyond));
    uv_tcp_init(&rig.uv, peer->beyond);
    peer->beyond->data = peer;
    uv_tcp_connect(malloc(sizeof(uv_connect_t)), peer->beyond, (struct sockaddr *)&address,
                   proxy_on_connected);
}

static void test_https_proxies(void **state) {
    (void)state;
    start(script_ok);
    struct tls_server proxy, server;
    tls_server_start(&proxy, of_loopback, proxy_answer);
    tls_server_start(&server, of_loopback, tls_answer_large);
    sl_fetch_origin_free(rig.origin);
    sl_fetch_client_free(rig.client);
    char url[256];
    snprintf(url, sizeof(url), "https://us%%40er:pass@%s", proxy.url + strlen("https://"));
    setenv("http_proxy", url, 1);
    setenv("https_proxy", url, 1);
    start_client(NULL);
    unsetenv("http_proxy");
    unsetenv("https_proxy");

    struct sl_fetch_origin *plain = sl_fetch_origin_new(rig.client, "http://far.test", NULL);
    struct seen seen = {0};
    launch(&seen, (struct sl_fetch_request){.origin = plain});
    expect_result(&seen, SL_E_DENIED, SL_FETCH_TLS); /* nobody knows the proxy */
    sl_fetch_origin_free(plain);

    rig.client->ca_default = proxy.certificate.cert_file;
    plain = sl_fetch_origin_new(rig.client, "http://far.test", NULL);
    for (int i = 0; i < 2; i++) {
        seen = (struct seen){0};
        launch(&seen, (struct sl_fetch_request){.origin = plain});
        wait_done(&seen);
        assert_body(&seen, "proxied");
        expect_result(&seen, SL_OK, SL_FETCH_DONE);
    }
    assert_string_equal(last_request, "GET http://far.test/ HTTP/1.1\r\nHost: far.test\r\n"
                                      "Proxy-Authorization: Basic dXNAZXI6cGFzcw==\r\n\r\n");
    int before = proxy.accepted;
    assert_int_equal(before, 2); /* the refused one, and one for both */

    rig.origin = sl_fetch_origin_new(rig.client, server.url, server.certificate.cert_file);
    exchange_large(rig.origin, ACT_NONE);
    exchange_large(rig.origin, ACT_PAUSE);
    assert_int_equal(proxy.accepted, before + 1);
    assert_int_equal(server.accepted, 1);
    sl_fetch_origin_free(plain);
    sl_fetch_origin_free(rig.origin);
    rig.origin = NULL;
    run_turns(3);
    tls_server_stop(&proxy);
    tls_server_stop(&server);
    stop();
}

/* ---- memory */

static void ignore_data(void *ctx, struct sl_slice bytes) {
    (void)ctx, (void)bytes;
}
static const struct sl_fetch_events quiet_events = {on_head, ignore_data, on_done};

/* Whichever allocation of ours fails, the request fails or succeeds, and nothing else breaks. */
static void test_survives_failed_allocations(void **state) {
    (void)state;
    start(script_ok);
    struct sl_chain body = make_body(9000);
    const struct sl_fetch_header header = {SL_LIT("A"), SL_LIT("b")};
    int failed = 0;
    struct sl_fetch_client *client = rig.client;
    for (uint64_t n = 1; n < 30; n++) {
        /* A client of its own, so that nothing is pooled yet. */
        start_client(NULL);
        struct sl_fetch_origin *origin = sl_fetch_origin_new(rig.client, rig.server.url, NULL);
        const struct sl_fetch_request r = {.origin = origin,
                                           .method = SL_LIT("POST"),
                                           .target = SL_LIT("/"),
                                           .headers = &header,
                                           .header_count = 1,
                                           .body = &body,
                                           .total_ms = 60000};
        struct seen seen = {0};
        sl_buf_init(&seen.body, 1000);
        sl_mem_fail_after(n);
        seen.fetch = sl_fetch_start(rig.client, &r, &quiet_events, &seen);
        if (seen.fetch)
            wait_done(&seen);
        sl_mem_fail_after(0);
        failed += !seen.heads;
        sl_fetch_origin_free(origin);
        sl_fetch_client_free(rig.client);
    }
    rig.client = client;
    assert_true(failed >= 4);
    sl_chain_done(&body);
    stop();
}

int main(void) {
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuses_one_connection),
        cmocka_unit_test(test_runs_many_at_once),
        cmocka_unit_test(test_never_sends_twice),
        cmocka_unit_test(test_never_sends_twice_on_an_idle_connection),
        cmocka_unit_test(test_notices_a_closed_idle_connection),
        cmocka_unit_test(test_discards_connections),
        cmocka_unit_test(test_discards_what_speaks_unasked),
        cmocka_unit_test(test_closes_what_idles_too_long),
        cmocka_unit_test(test_takes_the_warmest),
        cmocka_unit_test(test_keeps_no_more_than_it_may),
        cmocka_unit_test(test_tells_resets_apart),
        cmocka_unit_test(test_hears_a_server_that_closes_early),
        cmocka_unit_test(test_reset_while_sending),
        cmocka_unit_test(test_pause_in_chunks),
        cmocka_unit_test(test_reads_every_framing),
        cmocka_unit_test(test_reports_broken_answers),
        cmocka_unit_test(test_refuses_an_endless_head),
        cmocka_unit_test(test_keeps_response_headers_as_sent),
        cmocka_unit_test(test_reads_byte_by_byte),
        cmocka_unit_test(test_sends_only_what_it_was_given),
        cmocka_unit_test(test_methods_and_lengths),
        cmocka_unit_test(test_user_agent_is_a_default),
        cmocka_unit_test(test_refuses_smuggling),
        cmocka_unit_test(test_sends_bodies_of_all_sizes),
        cmocka_unit_test(test_takes_an_early_answer),
        cmocka_unit_test(test_pause_stops_the_flow),
        cmocka_unit_test(test_pause_and_resume_inside_events),
        cmocka_unit_test(test_cancel_while_paused),
        cmocka_unit_test(test_cancel_in_each_event),
        cmocka_unit_test(test_cancel_many_inside),
        cmocka_unit_test(test_cancel_at_once),
        cmocka_unit_test(test_cancel_another_from_inside),
        cmocka_unit_test(test_start_inside_each_event),
        cmocka_unit_test(test_free_with_fetches_under_way),
        cmocka_unit_test(test_time_limits),
        cmocka_unit_test(test_upload_that_stands_still),
        cmocka_unit_test(test_connect_limit),
        cmocka_unit_test(test_connect_refused_and_unknown_host),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_switches_origins),
        cmocka_unit_test(test_proxies),
        cmocka_unit_test(test_tls_verifies),
        cmocka_unit_test(test_tls_looks_at_name_and_date),
        cmocka_unit_test(test_tls_that_fails),
        cmocka_unit_test(test_tls_carries_much),
        cmocka_unit_test(test_tls_end_of_body),
        cmocka_unit_test(test_https_proxies),
        cmocka_unit_test(test_survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
