/* HTTP/2 against a real client: nghttp2 in its client role, and bytes by hand where it is too
 * polite. */
#include "h2_rig.h"

#include <openssl/ec_key.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <poll.h>

#include "front/transport.h"

#define MIB ((size_t)1048576)

static const struct client_settings plain = {0};
/* Windows that never stand in the way. */
static const struct client_settings wide = {.window = 1 << 30};

/* The only exchange, or the one made last. */
static struct exchange *last(struct rig *rig) {
    assert_true(rig->count > 0);
    return rig->exchanges[rig->count - 1];
}

static void expect_answer(struct client *c, int32_t id, int status, uint64_t len) {
    struct call *call = call_of(c, id);
    assert_int_equal(call->status, status);
    assert_int_equal(call->received, len);
    assert_true(call->intact);
    assert_true(call->ended);
    assert_int_equal(call->error, NGHTTP2_NO_ERROR);
}

/* ---- requests and responses ---- */

static void exchange_both_ways(const struct client_settings *settings) {
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, *settings);
    int32_t get = client_get(c, "/size/100000");
    int32_t empty = client_get(c, "/size/0");
    int32_t post = client_post(c, "/echo", 3000, true);
    RUN_UNTIL(&rig, rig.closed == 3 && call_of(c, get)->closed && call_of(c, post)->closed);
    expect_answer(c, get, 200, 100000);
    expect_answer(c, empty, 200, 0);
    expect_answer(c, post, 200, 3000);
    assert_string_equal(call_of(c, get)->length, "100000");
    assert_string_equal(call_of(c, get)->test, "Value");
    struct exchange *e = rig.exchanges[0];
    assert_string_equal(e->method, "GET");
    assert_string_equal(e->target, "/size/100000");
    assert_string_equal(e->authority, "localhost");
    assert_string_equal(e->token, "abc");
    assert_int_equal(e->headers, 1);
    assert_false(e->has_body);
    assert_true(e->body_end);
    assert_int_equal(e->reason, SL_CLOSE_DONE);
    e = rig.exchanges[2];
    assert_int_equal(e->content_length, 3000);
    assert_true(e->has_body && e->intact && e->body_end);
    assert_int_equal(sl_front_stats(rig.front).requests, 3);
    client_close(c);
    rig_close(&rig);
}

static void test_request_and_response(void **state) {
    (void)state;
    exchange_both_ways(&plain);
}

/* The preface comes in pieces too. */
static void test_one_byte_at_a_time(void **state) {
    (void)state;
    exchange_both_ways(&(struct client_settings){.split = 1});
    exchange_both_ways(&(struct client_settings){.split = 7});
}

static void test_many_streams(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, wide);
    int32_t ids[300]; /* more than limits.streams: nghttp2's client keeps the rest back */
    for (size_t i = 0; i < 300; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/size/%zu", i * 100);
        ids[i] = i % 3 ? client_get(c, path) : client_post(c, "/echo", (int64_t)i * 200, i % 2);
    }
    RUN_UNTIL(&rig, rig.closed == 300);
    for (size_t i = 0; i < 300; i++) {
        RUN_UNTIL(&rig, call_of(c, ids[i])->closed);
        expect_answer(c, ids[i], 200, i % 3 ? i * 100 : i * 200);
    }
    assert_int_equal(sl_front_stats(rig.front).streams, 0);
    client_close(c);
    rig_close(&rig);
}

static void test_body_grows_with_wakes(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 1);
    struct exchange *e = last(&rig);
    respond(e, 200, 40000, 0, false);
    RUN_UNTIL(&rig, call_of(c, id)->status == 200);
    assert_string_equal(call_of(c, id)->length, "");
    for (uint64_t ready = 1; ready < 40000; ready += 1000) {
        give(e, ready);
        RUN_UNTIL(&rig, call_of(c, id)->received == ready);
        assert_false(call_of(c, id)->ended);
    }
    give(e, 40000);
    RUN_UNTIL(&rig, call_of(c, id)->closed && e->closed);
    expect_answer(c, id, 200, 40000);
    client_close(c);
    rig_close(&rig);
}

static void test_trailers(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t with_body = client_get(c, "/manual");
    int32_t without = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 2);
    rig.exchanges[0]->trailers = true; /* given with the last bytes */
    respond(rig.exchanges[0], 200, 20000, 20000, true);
    respond(rig.exchanges[1], 200, 50000, 50, false); /* the end comes alone, and later */
    RUN_UNTIL(&rig, call_of(c, without)->received == 50);
    add_trailers(rig.exchanges[1]);
    rig.exchanges[1]->total = 50;
    give(rig.exchanges[1], 50);
    RUN_UNTIL(&rig,
              rig.closed == 2 && call_of(c, with_body)->closed && call_of(c, without)->closed);
    expect_answer(c, with_body, 200, 20000);
    expect_answer(c, without, 200, 50);
    for (int32_t id = with_body; id <= without; id += 2) {
        assert_true(call_of(c, id)->trailers);
        assert_string_equal(call_of(c, id)->cost, "0.25");
    }
    client_close(c);
    rig_close(&rig);
}

static void test_interim_responses(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 1);
    sl_stream_interim(last(&rig)->stream, 102);
    RUN_UNTIL(&rig, call_of(c, id)->interim_count == 1);
    sl_stream_interim(last(&rig)->stream, 103);
    RUN_UNTIL(&rig, call_of(c, id)->interim_count == 2);
    respond(last(&rig), 200, 10, 10, true);
    sl_stream_interim(last(&rig)->stream, 102); /* too late */
    RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == 1);
    expect_answer(c, id, 200, 10);
    assert_int_equal(call_of(c, id)->interims[0], 102);
    assert_int_equal(call_of(c, id)->interims[1], 103);
    assert_int_equal(call_of(c, id)->interim_count, 2);
    client_close(c);
    rig_close(&rig);
}

static void test_expect_continue(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    nghttp2_nv nva[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/echo"),
                        NV(":authority", "localhost"), NV("expect", "100-continue")};
    int32_t id = client_submit(c, nva, 5, 500);
    call_of(c, id)->upload_ready = 0;
    RUN_UNTIL(&rig, call_of(c, id)->interim_count == 1);
    assert_int_equal(call_of(c, id)->interims[0], 100);
    assert_int_equal(last(&rig)->received, 0);
    call_of(c, id)->upload_ready = 500;
    assert_int_equal(nghttp2_session_resume_data(c->session, id), 0);
    client_watch(c);
    RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == 1);
    expect_answer(c, id, 200, 500);
    client_close(c);
    rig_close(&rig);
}

static void test_head_and_bodyless_statuses(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    nghttp2_nv nva[] = {NV(":method", "HEAD"), NV(":scheme", "http"), NV(":path", "/size/77"),
                        NV(":authority", "localhost")};
    int32_t head = client_submit(c, nva, 4, -1);
    int32_t none = client_get(c, "/manual");
    int32_t null = client_get(c, "/null");
    RUN_UNTIL(&rig, rig.count == 3);
    respond(rig.exchanges[1], 204, 5, 5, false);
    rig.exchanges[2]->closed = 1; /* its handler gave up: it hears no more */
    RUN_UNTIL(&rig, rig.closed == 2 && call_of(c, head)->closed && call_of(c, none)->closed &&
                        call_of(c, null)->closed);
    expect_answer(c, head, 200, 0);
    assert_string_equal(call_of(c, head)->length, "77");
    expect_answer(c, none, 204, 0);
    expect_answer(c, null, 503, 0);
    client_close(c);
    rig_close(&rig);
}

/* ---- flow control ---- */

/* A paused body stops at the window the client was given; resumed, all of it comes, in order. */
static void test_pause_holds_an_upload(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_post(c, "/pause", 5 * MIB, true);
    int32_t other = client_post(c, "/echo", MIB, true);
    RUN_UNTIL(&rig, rig.count == 2 && call_of(c, id)->uploaded == NGHTTP2_INITIAL_WINDOW_SIZE);
    RUN_UNTIL(&rig, call_of(c, other)->received > 0); /* the paused one is in no one's way */
    assert_int_equal(nghttp2_session_get_stream_remote_window_size(c->session, id), 0);
    struct exchange *e = rig.exchanges[0];
    assert_int_equal(e->received, 0);

    sl_stream_resume_body(e->stream);
    RUN_UNTIL(&rig, e->received > 2 * MIB);
    sl_stream_pause_body(e->stream);
    uint64_t before = e->received;
    RUN_UNTIL(&rig, call_of(c, id)->uploaded - before >= MIB / 2); /* the window had grown */
    RUN_UNTIL(&rig, nghttp2_session_get_stream_remote_window_size(c->session, id) <= 0);
    assert_int_equal(e->received, before);
    assert_true(call_of(c, id)->uploaded - before <= MIB);

    sl_stream_resume_body(e->stream);
    RUN_UNTIL(&rig, e->received > before + MIB);
    sl_stream_pause_body(e->stream);
    before = call_of(c, id)->uploaded;
    RUN_UNTIL(&rig, call_of(c, id)->uploaded > before + 300000);
    sl_stream_resume_body(e->stream); /* while more comes behind what is held */
    RUN_UNTIL(&rig, e->body_end);
    assert_int_equal(e->received, 5 * MIB);
    assert_true(e->intact);
    respond(e, 200, 1, 1, true);
    RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == 2);
    expect_answer(c, id, 200, 1);
    client_close(c);
    rig_close(&rig);
}

static void client_upload_more(struct client *c, int32_t id, uint64_t ready) {
    call_of(c, id)->upload_ready = ready;
    assert_int_equal(nghttp2_session_resume_data(c->session, id), 0);
    client_write(c);
    client_watch(c);
}

/* What comes while held bytes are being given still comes behind them. */
static void test_resumed_body_keeps_its_order(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_post(c, "/manual", 400000, false);
    call_of(c, id)->upload_ready = 1;
    RUN_UNTIL(&rig, rig.count == 1 && last(&rig)->received == 1);
    struct exchange *e = last(&rig);
    sl_stream_pause_body(e->stream);
    client_upload_more(c, id, 300000);
    RUN_UNTIL(&rig, call_of(c, id)->uploaded == 300000);
    int32_t mark = client_get(c, "/size/1"); /* behind the upload */
    RUN_UNTIL(&rig, call_of(c, mark)->closed);
    assert_int_equal(e->received, 1);
    client_upload_more(c, id, 400000);
    sl_stream_resume_body(e->stream);
    RUN_UNTIL(&rig, e->body_end);
    assert_int_equal(e->received, 400000);
    assert_true(e->intact);
    client_close(c);
    rig_close(&rig);
}

/* The body's end waits behind a pause as its bytes do. */
static void test_pause_holds_the_end(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t small = client_post(c, "/pause", 100, true);
    int32_t empty = client_post(c, "/pause", 0, true);
    int32_t left = client_post(c, "/pause", 60000, true);
    int32_t mark = client_get(c, "/size/1"); /* behind the others' bytes */
    RUN_UNTIL(&rig, call_of(c, mark)->closed && rig.closed == 1);
    expect_answer(c, mark, 200, 1);
    for (size_t i = 0; i < 3; i++)
        assert_true(rig.exchanges[i]->received == 0 && !rig.exchanges[i]->body_end);
    sl_stream_resume_body(rig.exchanges[0]->stream);
    sl_stream_resume_body(rig.exchanges[1]->stream);
    RUN_UNTIL(&rig, rig.exchanges[0]->body_end && rig.exchanges[1]->body_end);
    assert_int_equal(rig.exchanges[0]->received, 100);
    client_reset(c, left); /* what was held goes with the stream */
    RUN_UNTIL(&rig, rig.exchanges[2]->closed);
    respond(rig.exchanges[0], 200, 1, 1, true);
    respond(rig.exchanges[1], 200, 1, 1, true);
    RUN_UNTIL(&rig, call_of(c, small)->closed && call_of(c, empty)->closed && rig.closed == 4);
    client_close(c);
    rig_close(&rig);
}

/* Streams that end while their bodies are held give their bytes back to the connection's window. */
static void test_held_bytes_are_given_back(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    for (size_t i = 0; i < 200; i++) { /* three times the connection's window */
        int32_t id = client_post(c, "/pause", 60000, false);
        RUN_UNTIL(&rig, call_of(c, id)->uploaded == 60000 && rig.count == i + 1);
        client_reset(c, id);
        RUN_UNTIL(&rig, rig.closed == i + 1);
        assert_int_equal(last(&rig)->reason, SL_CLOSE_CLIENT);
    }
    client_close(c);
    rig_close(&rig);
}

/* A client that opens no window gets no more than the first one, and nothing beyond it is taken
 * from the handler. */
static void test_window_bounds_what_is_pulled(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, (struct client_settings){.manual_windows = true});
    int32_t id = client_get(c, "/size/1000000");
    RUN_UNTIL(&rig, call_of(c, id)->received == NGHTTP2_INITIAL_WINDOW_SIZE);
    assert_int_equal(last(&rig)->sent, NGHTTP2_INITIAL_WINDOW_SIZE);
    while (!call_of(c, id)->closed || !last(&rig)->closed) {
        uint64_t before = call_of(c, id)->received, since = last(&rig)->stream->write_since;
        assert_int_equal(nghttp2_submit_window_update(c->session, 0, id, 50000), 0);
        assert_int_equal(nghttp2_submit_window_update(c->session, 0, 0, 50000), 0);
        client_watch(c);
        RUN_UNTIL(&rig, call_of(c, id)->received == before + 50000 || call_of(c, id)->ended);
        if (call_of(c, id)->ended)
            RUN_UNTIL(&rig, call_of(c, id)->closed && last(&rig)->closed);
        else
            assert_true(last(&rig)->stream->write_since > since); /* progress, its clock says */
    }
    expect_answer(c, id, 200, 1000000);
    client_close(c);
    rig_close(&rig);
}

/* TCP itself is full: the handler is not asked for more than the kernel's buffers take. */
static void test_slow_reader_holds_peek(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client_settings settings = wide;
    settings.receive_buffer = 65536;
    struct client *c = client_open(&rig, settings);
    int32_t first = client_get(c, "/size/10");
    RUN_UNTIL(&rig, call_of(c, first)->closed);
    int32_t other = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 2);
    c->stop_reading = true;
    client_watch(c);
    int32_t id = client_get(c, "/size/100000000");
    RUN_UNTIL(&rig, rig.count == 3 && last(&rig)->sent > 0);
    uint64_t before;
    do {
        before = last(&rig)->sent;
        for (int i = 0; i < 20; i++)
            uv_run(&rig.uv, UV_RUN_NOWAIT);
    } while (last(&rig)->sent != before);
    assert_true(before < 30 * MIB);
    uint64_t bytes = sl_mem_stats().bytes;
    for (int i = 0; i < 100; i++) /* nor do signs of life pile up */
        sl_stream_interim(rig.exchanges[1]->stream, 102);
    assert_int_equal(sl_mem_stats().bytes, bytes);
    c->stop_reading = false;
    client_watch(c);
    respond(rig.exchanges[1], 200, 1, 1, true);
    RUN_UNTIL(&rig, call_of(c, id)->closed && call_of(c, other)->closed && rig.closed == 3);
    expect_answer(c, id, 200, 100000000);
    client_close(c);
    rig_close(&rig);
}

/* ---- ends before their time ---- */

/* What AWS's JavaScript SDK does: GOAWAY while its answer still flows. */
static void test_goaway_from_client(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_post(c, "/manual", 56, true);
    RUN_UNTIL(&rig, rig.count == 1 && last(&rig)->body_end);
    respond(last(&rig), 200, 300, 0, false);
    RUN_UNTIL(&rig, call_of(c, id)->status == 200);
    assert_int_equal(nghttp2_submit_goaway(c->session, 0, 0, NGHTTP2_NO_ERROR, NULL, 0), 0);
    client_watch(c);
    RUN_UNTIL(&rig, !nghttp2_session_want_write(c->session) && c->out_len == 0);
    for (int i = 0; i < 5; i++)
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    assert_false(c->eof);
    assert_false(last(&rig)->closed);
    give(last(&rig), 100);
    RUN_UNTIL(&rig, call_of(c, id)->received == 100);
    give(last(&rig), 300);
    RUN_UNTIL(&rig, c->eof); /* no stream is left: the connection goes */
    expect_answer(c, id, 200, 300);
    assert_int_equal(last(&rig)->reason, SL_CLOSE_DONE);
    client_leave(c);
    RUN_UNTIL(&rig, sl_front_stats(rig.front).connections == 0);
    client_close(c);
    rig_close(&rig);
}

static void test_reset_mid_response(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t waiting = client_get(c, "/manual");
    int32_t running = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 2);
    respond(rig.exchanges[1], 200, 5000, 1000, true);
    RUN_UNTIL(&rig, call_of(c, running)->received == 1000);
    client_reset(c, running);
    client_reset(c, waiting);
    RUN_UNTIL(&rig, rig.closed == 2);
    assert_int_equal(rig.exchanges[0]->reason, SL_CLOSE_CLIENT);
    assert_int_equal(rig.exchanges[1]->reason, SL_CLOSE_CLIENT);
    int32_t next = client_get(c, "/size/5"); /* the connection is as good as before */
    RUN_UNTIL(&rig, call_of(c, next)->closed && rig.closed == 3);
    expect_answer(c, next, 200, 5);
    client_close(c);
    rig_close(&rig);
}

static void test_client_gone(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    client_get(c, "/manual");
    client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 2);
    respond(rig.exchanges[1], 200, 5000, 1000, true);
    /* Half a close is a whole one on HTTP/2. */
    assert_int_equal(shutdown(c->fd, SHUT_WR), 0);
    RUN_UNTIL(&rig, rig.closed == 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rig.exchanges[i]->reason, SL_CLOSE_CLIENT);
    RUN_UNTIL(&rig, sl_front_stats(rig.front).connections == 0);
    client_close(c);
    rig_close(&rig);
}

static void test_abort(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t ids[3];
    for (size_t i = 0; i < 3; i++)
        ids[i] = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 3);
    sl_stream_abort(rig.exchanges[0]->stream); /* before a head */
    assert_int_equal(rig.closed, 0);           /* never from inside the call */
    respond(rig.exchanges[1], 200, 5000, 1000, false);
    RUN_UNTIL(&rig, call_of(c, ids[1])->received == 1000);
    sl_stream_abort(rig.exchanges[1]->stream);
    rig.exchanges[2]->abort_in_peek = true;
    respond(rig.exchanges[2], 200, 5000, 1000, false);
    RUN_UNTIL(&rig, rig.closed == 3);
    for (size_t i = 0; i < 3; i++) {
        RUN_UNTIL(&rig, call_of(c, ids[i])->closed);
        assert_int_equal(call_of(c, ids[i])->error, NGHTTP2_INTERNAL_ERROR);
        assert_false(call_of(c, ids[i])->ended);
        assert_int_equal(rig.exchanges[i]->reason, SL_CLOSE_ABORT);
    }
    assert_int_equal(call_of(c, ids[2])->received, 0);
    client_close(c);
    rig_close(&rig);
}

/* The rest of a request nobody needs any more is taken in and thrown away, windows and all: a
 * client that is busy sending must not take a reset for the answer. */
static void test_response_before_the_body_is_in(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_post(c, "/size/100", 300000, false);
    call_of(c, id)->upload_ready = 10;
    RUN_UNTIL(&rig, call_of(c, id)->ended && rig.closed == 1);
    assert_int_equal(last(&rig)->reason, SL_CLOSE_DONE);
    assert_false(last(&rig)->body_end);
    assert_false(call_of(c, id)->closed);
    call_of(c, id)->upload_ready = 300000;
    assert_int_equal(nghttp2_session_resume_data(c->session, id), 0);
    client_watch(c);
    RUN_UNTIL(&rig, call_of(c, id)->closed);
    expect_answer(c, id, 200, 100);
    assert_int_equal(call_of(c, id)->uploaded, 300000);
    client_close(c);
    rig_close(&rig);
}

/* Beyond its bounds the stream is reset, without an error, and the connection serves on. */
static void expect_rest_refused(bool knows_length, uint64_t upload_ready) {
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_post(c, "/size/100", 8000000, knows_length);
    call_of(c, id)->upload_ready = upload_ready;
    RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == 1);
    expect_answer(c, id, 200, 100);
    assert_true(call_of(c, id)->uploaded < 8000000);
    int32_t next = client_get(c, "/size/10");
    RUN_UNTIL(&rig, call_of(c, next)->closed);
    expect_answer(c, next, 200, 10);
    client_close(c);
    rig_close(&rig);
}

static void test_rests_are_bounded(void **state) {
    (void)state;
    expect_rest_refused(false, 10);      /* it does not come: the timer's */
    expect_rest_refused(false, 8000000); /* there is too much of it */
    expect_rest_refused(true, 10);       /* which its length says at once */
}

static void test_front_freed(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    client_get(c, "/manual");
    client_post(c, "/pause", 5000, true);
    RUN_UNTIL(&rig, rig.count == 2);
    respond(rig.exchanges[0], 200, 10, 5, false);
    sl_front_free(rig.front);
    rig.front = NULL;
    RUN_UNTIL(&rig, c->eof);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(rig.exchanges[i]->reason, SL_CLOSE_SHUTDOWN);
    client_close(c);
    rig_close(&rig);
}

static void test_drain(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *idle = client_open(&rig, plain);
    struct client *c = client_open(&rig, plain);
    int32_t first = client_get(idle, "/size/1");
    int32_t id = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 2 && call_of(idle, first)->closed && rig.closed == 1);
    sl_front_drain(rig.front);
    RUN_UNTIL(&rig, idle->eof);
    assert_int_equal(idle->goaway_code, NGHTTP2_NO_ERROR);
    assert_int_equal(idle->goaway_last, first);
    RUN_UNTIL(&rig, c->goaways == 1);
    assert_int_equal(c->goaway_last, INT32_MAX); /* the notice */
    RUN_UNTIL(&rig, c->goaways == 2);
    assert_int_equal(c->goaway_last, id);
    struct exchange *e = rig.exchanges[strcmp(rig.exchanges[0]->target, "/manual") == 0 ? 0 : 1];
    assert_false(e->closed);
    respond(e, 200, 1000, 1000, true);
    RUN_UNTIL(&rig, c->eof && e->closed);
    expect_answer(c, id, 200, 1000);
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
    client_close(c);
    client_close(idle);
    rig_close(&rig);
}

static void test_close_connection_after(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 1);
    sl_stream_close_connection_after(last(&rig)->stream);
    respond(last(&rig), 200, 1000, 1000, true);
    RUN_UNTIL(&rig, c->eof);
    expect_answer(c, id, 200, 1000);
    assert_true(c->goaways > 0);
    client_close(c);
    rig_close(&rig);
}

/* ---- refusals ---- */

struct refusal {
    const char *method, *path, *authority, *name, *value;
    int status; /* 0: the stream is reset */
};

static void refuse_one(const struct refusal *r) {
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    nghttp2_nv nva[6];
    size_t count = 0;
    nva[count++] = NV(":scheme", "http");
    if (r->method)
        nva[count++] = NV(":method", r->method);
    if (r->path)
        nva[count++] = NV(":path", r->path);
    if (r->authority)
        nva[count++] = NV(":authority", r->authority);
    if (r->name)
        nva[count++] = NV(r->name, r->value);
    if (r->method && strcmp(r->method, "CONNECT") == 0)
        memmove(nva, nva + 1, --count * sizeof(*nva));
    int32_t id = client_submit(c, nva, count, -1);
    RUN_UNTIL(&rig, call_of(c, id)->closed && sl_front_stats(rig.front).streams == 0);
    if (r->status) {
        expect_answer(c, id, r->status, 10);
        assert_int_equal(last(&rig)->malformed, r->status);
        assert_int_equal(last(&rig)->reason, SL_CLOSE_DONE);
    } else {
        assert_int_equal(call_of(c, id)->error, NGHTTP2_PROTOCOL_ERROR);
        assert_int_equal(rig.count, 0);
    }
    int32_t next = client_get(c, "/size/5");
    RUN_UNTIL(&rig, call_of(c, next)->closed && last(&rig)->closed);
    expect_answer(c, next, 200, 5);
    client_close(c);
    rig_close(&rig);
}

static void test_bad_heads(void **state) {
    (void)state;
    static const struct refusal refusals[] = {
        {"GET", NULL, "localhost", NULL, NULL, 0},
        {NULL, "/", "localhost", NULL, NULL, 0},
        {"GET", "/", NULL, NULL, NULL, 0},
        {"GET", "/", "localhost", ":path", "/again", 0},
        {"GET", "/", "localhost", ":strange", "x", 0},
        {"GET", "/", "localhost", "connection", "keep-alive", 0},
        {"GET", "/", "localhost", "transfer-encoding", "chunked", 0},
        {"GET", "/", "localhost", "upgrade", "h2c", 0},
        {"GET", "/", "localhost", "te", "gzip", 0},
        {"POST", "/", "localhost", "content-length", "5", 0}, /* and no body */
        {"POST", "/", "localhost", "content-length", "-5", 0},
        {"OPTIONS", "*", "localhost", NULL, NULL, 400},
        {"GET", "/", "localhost", "host", "elsewhere", 400},
        {"GET", "/", "me@localhost", NULL, NULL, 400},
        {"GET", "/", "localhost", "bad name", "x", 400},
        {"GET", "/", "localhost", "bad-value", "a\x01z", 400},
        {"CONNECT", NULL, "localhost:443", NULL, NULL, 501},
    };
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refuse_one(&refusals[i]);
}

static void test_host_stands_in_for_authority(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    nghttp2_nv nva[] = {NV(":method", "GET"), NV(":scheme", "http"), NV(":path", "/size/1"),
                        NV("host", "example.com")};
    int32_t id = client_submit(c, nva, 4, -1);
    RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == 1);
    expect_answer(c, id, 200, 1);
    assert_string_equal(last(&rig)->authority, "example.com");
    client_close(c);
    rig_close(&rig);
}

static void test_header_limits(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.header_bytes = 20000;
    limits.header_count = 20;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    struct client *c = client_open(&rig, plain);
    char *big = malloc(30001);
    memset(big, 'a', 30000);
    nghttp2_nv nva[40] = {NV(":method", "GET"), NV(":scheme", "http"), NV(":path", "/size/1"),
                          NV(":authority", "localhost")};
    for (size_t i = 4; i < 40; i++)
        nva[i] = NV("x-token", "1");
    int32_t fits = client_submit(c, nva, 24, -1);
    int32_t many = client_submit(c, nva, 25, -1);
    big[15000] = '\0';
    nva[4] = NV("x-token", big);
    int32_t long_one = client_submit(c, nva, 5, -1);
    big[15000] = 'a';
    big[30000] = '\0';
    nva[4] = NV("x-token", big); /* with CONTINUATION */
    int32_t too_long = client_submit(c, nva, 5, -1);
    RUN_UNTIL(&rig, rig.closed == 4 && call_of(c, too_long)->closed);
    expect_answer(c, fits, 200, 1);
    expect_answer(c, many, 431, 10);
    expect_answer(c, long_one, 200, 1);
    expect_answer(c, too_long, 431, 10);
    assert_int_equal(sl_front_stats(rig.front).malformed, 2);
    free(big);
    client_close(c);
    rig_close(&rig);
}

static void test_body_limits(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.body_bytes = 100000;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t fits = client_post(c, "/echo", 100000, false);
    int32_t announced = client_post(c, "/echo", 100001, true);
    int32_t grown = client_post(c, "/manual", 5 * MIB, false);
    RUN_UNTIL(&rig, rig.closed == 3 && call_of(c, announced)->closed && call_of(c, grown)->closed &&
                        call_of(c, fits)->closed);
    expect_answer(c, fits, 200, 100000);
    expect_answer(c, announced, 413, 10);
    expect_answer(c, grown, 413, 5);
    assert_int_equal(rig.exchanges[1]->malformed, 413);
    assert_int_equal(rig.exchanges[2]->fault, 413);
    assert_true(rig.exchanges[2]->received <= 100000);
    assert_false(rig.exchanges[2]->body_end);
    client_close(c);
    rig_close(&rig);
}

/* A body that does not keep to its Content-Length never looks complete. */
static void test_content_length_mismatch(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    struct client *c = client_open(&rig, plain);
    for (int64_t sent = 99; sent <= 101; sent += 2) {
        nghttp2_nv nva[] = {NV(":method", "POST"), NV(":scheme", "http"), NV(":path", "/echo"),
                            NV(":authority", "localhost"), NV("content-length", "100")};
        int32_t id = client_submit(c, nva, 5, sent);
        RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == rig.count && rig.count > 0);
        assert_int_equal(call_of(c, id)->error, NGHTTP2_PROTOCOL_ERROR);
        assert_false(last(&rig)->body_end);
        assert_int_equal(last(&rig)->reason, SL_CLOSE_CLIENT);
    }
    client_close(c);
    rig_close(&rig);
}

static void test_rapid_reset(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.resets_burst = 20;
    limits.resets_per_s = 1;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t running = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 1);
    for (size_t i = 0; i < 20; i++) {
        int32_t id = client_get(c, "/manual");
        RUN_UNTIL(&rig, rig.count == i + 2);
        client_reset(c, id);
        RUN_UNTIL(&rig, rig.closed == i + 1);
    }
    assert_int_equal(c->goaways, 0);
    for (size_t i = 0; i < 3; i++) {
        int32_t id = client_get(c, "/manual");
        RUN_UNTIL(&rig, c->goaways || rig.count == i + 22);
        if (!c->goaways)
            client_reset(c, id);
    }
    RUN_UNTIL(&rig, c->eof);
    assert_int_equal(c->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(rig.exchanges[0]->reason, SL_CLOSE_CLIENT); /* it fell with the connection */
    assert_int_equal(rig.closed, rig.count);
    assert_int_equal(call_of(c, running)->status, 0);
    client_close(c);
    rig_close(&rig);
}

/* ---- limits of time ---- */

static void test_body_stall(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.body_ms = 30;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_post(c, "/echo", 1000, true);
    call_of(c, id)->upload_ready = 10;
    RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == 1);
    expect_answer(c, id, 408, 5);
    assert_int_equal(last(&rig)->fault, 408);
    assert_int_equal(last(&rig)->reason, SL_CLOSE_TIMEOUT);
    client_close(c);
    rig_close(&rig);
}

static void test_closed_window_times_out(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.write_ms = 100;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    struct client *c = client_open(&rig, (struct client_settings){.manual_windows = true});
    int32_t quiet = client_get(c, "/manual");
    RUN_UNTIL(&rig, rig.count == 1);
    respond(rig.exchanges[0], 200, 10, 0, false); /* has nothing to send: waits for nobody */
    RUN_UNTIL(&rig, call_of(c, quiet)->status == 200);
    int32_t id = client_get(c, "/size/1000000");
    RUN_UNTIL(&rig, call_of(c, id)->closed && rig.closed == 1);
    assert_int_equal(rig.exchanges[1]->reason, SL_CLOSE_TIMEOUT);
    assert_int_equal(call_of(c, id)->error, NGHTTP2_CANCEL);
    assert_false(call_of(c, quiet)->closed);
    client_close(c);
    rig_close(&rig);
}

static void test_full_connection_times_out(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.write_ms = 100;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    struct client_settings settings = wide;
    settings.receive_buffer = 65536;
    struct client *c = client_open(&rig, settings);
    client_get(c, "/size/100000000");
    RUN_UNTIL(&rig, rig.count == 1);
    c->stop_reading = true;
    client_watch(c);
    RUN_UNTIL(&rig, rig.closed == 1);
    assert_int_equal(last(&rig)->reason, SL_CLOSE_TIMEOUT);
    client_close(c);
    rig_close(&rig);
}

static void test_idle_connection_leaves(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.idle_ms = 30;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    struct client *c = client_open(&rig, plain);
    int32_t id = client_get(c, "/size/10");
    RUN_UNTIL(&rig, c->eof);
    expect_answer(c, id, 200, 10);
    assert_int_equal(c->goaways, 1);
    assert_int_equal(c->goaway_code, NGHTTP2_NO_ERROR);
    client_close(c);
    rig_close(&rig);
}

/* ---- bytes that nghttp2's client would not send ---- */

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

/* Sends bytes over a socket of its own; true once the server has closed it. */
static bool is_closed(int fd) {
    char buf[4096];
    ssize_t n;
    while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        ;
    return n == 0 || errno != EAGAIN;
}

static void send_all(struct rig *rig, int fd, const void *bytes, size_t len) {
    const char *p = bytes;
    while (len) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno != EAGAIN)
            return; /* the server had enough */
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
        uv_run(&rig->uv, UV_RUN_NOWAIT);
        (void)is_closed(fd);
    }
}

/* Runs until the front has let go of the connection. */
static void expect_refused(struct rig *rig, int fd) {
    struct pollfd wait = {.fd = fd, .events = POLLIN}; /* the loop does not watch it */
    uv_timer_start(&rig->guard, on_guard, GUARD_MS, 0);
    while (!is_closed(fd)) {
        assert_false(rig->guard_fired);
        (void)poll(&wait, 1, 1);
        uv_run(&rig->uv, UV_RUN_NOWAIT);
    }
    uv_timer_stop(&rig->guard);
    close(fd);
    RUN_UNTIL(rig, sl_front_stats(rig->front).connections == 0);
    assert_int_equal(sl_front_stats(rig->front).streams, 0);
}

static void test_slow_head(void **state) {
    (void)state;
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.header_ms = 30;
    /* A preface and no SETTINGS; a HEADERS frame that stops; one whose CONTINUATION never comes. */
    static const struct {
        const char *bytes;
        size_t len;
    } starts[] = {
        {preface, 26},
        {"\0\0\x20\1\5\0\0\0\1\x82", 10},
        {"\0\0\1\1\1\0\0\0\1\x82", 10},
    };
    for (size_t i = 0; i < 3; i++) {
        struct rig rig;
        rig_open(&rig, &limits, NULL);
        int fd = dial(&rig, 0);
        if (i > 0)
            send_all(&rig, fd, preface, sizeof(preface) - 1);
        send_all(&rig, fd, starts[i].bytes, starts[i].len);
        RUN_UNTIL(&rig, sl_front_stats(rig.front).accepted == 1);
        expect_refused(&rig, fd);
        rig_close(&rig);
    }
}

/* A head that nghttp2 accepts: GET / at x. It takes 15 bytes. */
#define REQUEST_LEN 15
static size_t put_request(char *out, uint32_t id, bool ends) {
    char frame[] = "\0\0\6\1\4\0\0\0\0\x82\x86\x84\x41\x01x";
    frame[4] = ends ? 5 : 4;
    for (int i = 0; i < 4; i++)
        frame[5 + i] = (char)(id >> (24 - 8 * i));
    memcpy(out, frame, sizeof(frame) - 1);
    return sizeof(frame) - 1;
}

/* Each head has its own time: a busy client's may all be cut by the end of a read. */
static void test_each_head_has_its_time(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    int fd = dial(&rig, 0);
    char requests[3 * REQUEST_LEN];
    for (uint32_t i = 0; i < 3; i++)
        put_request(requests + (size_t)i * REQUEST_LEN, 2 * i + 1, true);
    send_all(&rig, fd, preface, sizeof(preface) - 1);
    send_all(&rig, fd, requests, REQUEST_LEN);
    RUN_UNTIL(&rig, rig.count == 1);
    const struct sl_front_conn *c = rig.exchanges[0]->stream->c;
    assert_int_equal(c->head_since, 0);
    send_all(&rig, fd, requests + REQUEST_LEN, 12);
    RUN_UNTIL(&rig, c->head_since > 0);
    uint64_t first = c->head_since;
    send_all(&rig, fd, requests + REQUEST_LEN + 12, REQUEST_LEN);
    RUN_UNTIL(&rig, rig.count == 2);
    assert_true(c->head_since > first);
    close(fd);
    RUN_UNTIL(&rig, rig.closed == 2);
    rig_close(&rig);
}

struct flood {
    const char *first, *frame; /* NULL: requests, each on the next stream */
    size_t first_len, len;
};

static size_t put_flood(const struct flood *flood, char *out, size_t size, uint32_t *id) {
    size_t len = 0;
    while (len + 32 <= size) {
        if (flood->frame) {
            memcpy(out + len, flood->frame, flood->len);
            len += flood->len;
        } else {
            len += put_request(out + len, *id, true);
            *id += 2;
        }
    }
    return len;
}

/* What a peer could pile up on us ends the connection instead: it reads nothing and sends PINGs,
 * SETTINGS, CONTINUATIONs, or requests beyond the number of streams it was given. */
static void flood_with(const struct flood *flood) {
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.write_ms = 200;
    limits.streams = 1;
    struct rig rig;
    rig_open(&rig, &limits, NULL);
    int fd = dial(&rig, 4096);
    char block[65536], request[32];
    size_t len = 0, at = 0, most = 0;
    uint32_t id = 3;
    send_all(&rig, fd, preface, sizeof(preface) - 1);
    send_all(&rig, fd, flood->first, flood->first_len);
    if (!flood->frame)
        send_all(&rig, fd, request, put_request(request, 1, false));
    uv_timer_start(&rig.guard, on_guard, GUARD_MS, 0);
    while (!sl_front_stats(rig.front).accepted || sl_front_stats(rig.front).connections) {
        assert_false(rig.guard_fired);
        if (at == len) {
            at = 0;
            len = put_flood(flood, block, sizeof(block), &id);
        }
        ssize_t n = send(fd, block + at, len - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        at += n > 0 ? (size_t)n : 0;
        uv_run(&rig.uv, n > 0 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
        if (sl_mem_stats().bytes > most)
            most = sl_mem_stats().bytes;
    }
    uv_timer_stop(&rig.guard);
    assert_true(most < 2 * MIB);
    close(fd);
    rig_close(&rig);
}

static void test_floods(void **state) {
    (void)state;
    static const struct flood floods[] = {
        {"", "\0\0\x08\6\0\0\0\0\0abcdefgh", 0, 17},
        {"", "\0\0\0\4\0\0\0\0\0", 0, 9},
        {"\0\0\1\1\1\0\0\0\1\x82", "\0\0\1\x09\0\0\0\0\1\x84", 10, 10},
        {"", NULL, 0, 0},
    };
    for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++)
        flood_with(&floods[i]);
}

/* Behind the final GOAWAY a request is not looked at: its client knows it may send it elsewhere. */
static void test_request_behind_goaway(void **state) {
    (void)state;
    static const char ack[] = "\0\0\x08\6\1\0\0\0\0\0\0\0\0\0\0\0\0";
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    int fd = dial(&rig, 0);
    char request[32];
    send_all(&rig, fd, preface, sizeof(preface) - 1);
    send_all(&rig, fd, request, put_request(request, 1, true));
    RUN_UNTIL(&rig, rig.count == 1);
    sl_front_drain(rig.front);
    send_all(&rig, fd, request, put_request(request, 3, true)); /* crosses the notice */
    RUN_UNTIL(&rig, rig.count == 2);
    send_all(&rig, fd, ack, sizeof(ack) - 1);
    send_all(&rig, fd, request, put_request(request, 5, true));
    respond(rig.exchanges[0], 200, 1, 1, true);
    RUN_UNTIL(&rig, rig.closed == 1);
    respond(rig.exchanges[1], 200, 1, 1, true);
    expect_refused(&rig, fd);
    assert_int_equal(rig.count, 2);
    rig_close(&rig);
}

/* A client that never answers the ping behind the notice is let go with its last response. */
static void test_drain_without_an_answer(void **state) {
    (void)state;
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    int fd = dial(&rig, 0);
    char request[32];
    send_all(&rig, fd, preface, sizeof(preface) - 1);
    send_all(&rig, fd, request, put_request(request, 1, true));
    RUN_UNTIL(&rig, rig.count == 1);
    sl_front_drain(rig.front);
    respond(rig.exchanges[0], 200, 1, 1, true);
    expect_refused(&rig, fd);
    assert_int_equal(rig.exchanges[0]->reason, SL_CLOSE_DONE);
    rig_close(&rig);
}

static void test_not_http2(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\0\0\4\x08\0\0\0\0\0\0\0\0\0", 13}, /* WINDOW_UPDATE by nothing */
        {"\0\0\1\0\0\0\0\0\0x", 10},          /* DATA on stream 0 */
        {"\0\xff\xff\4\0\0\0\0\0", 9},        /* a frame larger than ours may be */
        {"\0\0\1\1\5\0\0\0\2\x82", 10},       /* HEADERS on an even stream */
        {"\0\0\2\1\5\0\0\0\1\xff\xff", 11},   /* a header block that is none */
        {"\0\0\4\5\4\0\0\0\1\0\0\0\2", 13},   /* PUSH_PROMISE from a client */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig rig;
        rig_open(&rig, NULL, NULL);
        int fd = dial(&rig, 0);
        send_all(&rig, fd, preface, sizeof(preface) - 1);
        send_all(&rig, fd, cases[i].bytes, cases[i].len);
        expect_refused(&rig, fd);
        rig_close(&rig);
    }
}

/* ---- frames for streams that are closed ---- */

/* Runs until these bytes have come. */
static void expect_bytes(struct rig *rig, int fd, const char *bytes, size_t len) {
    static char got[65536];
    size_t have = 0;
    uv_timer_start(&rig->guard, on_guard, GUARD_MS, 0);
    while (have < len || !memmem(got, have, bytes, len)) {
        assert_false(rig->guard_fired);
        ssize_t n = recv(fd, got + have, sizeof(got) - have, MSG_DONTWAIT);
        assert_true(n > 0 || (n < 0 && errno == EAGAIN));
        have += n > 0 ? (size_t)n : 0;
        uv_run(&rig->uv, UV_RUN_NOWAIT);
    }
    uv_timer_stop(&rig->guard);
}

#define RST_STREAM_1(code) "\0\0\4\3\0\0\0\0\1\0\0\0" code
#define GOAWAY(last, code) "\0\0\x08\7\0\0\0\0\0\0\0\0" last "\0\0\0" code

/* Request 1 is served and over, then request 5; id 3 stays unused. What follows, byte by byte, must
 * be answered so. */
static void expect_closed(const char *frames, size_t len, const char *answer, size_t answer_len) {
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    int fd = dial(&rig, 0);
    char request[32];
    send_all(&rig, fd, preface, sizeof(preface) - 1);
    for (uint32_t id = 1; id <= 5; id += 4) {
        send_all(&rig, fd, request, put_request(request, id, true));
        RUN_UNTIL(&rig, rig.count == 1 + id / 4);
        respond(rig.exchanges[rig.count - 1], 200, 1, 1, true);
        RUN_UNTIL(&rig, rig.closed == rig.count);
    }
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(send(fd, frames + i, 1, MSG_NOSIGNAL), 1);
        uv_run(&rig.uv, UV_RUN_NOWAIT);
    }
    expect_bytes(&rig, fd, answer, answer_len);
    assert_int_equal(rig.count, 2);
    close(fd);
    RUN_UNTIL(&rig, sl_front_stats(rig.front).connections == 0);
    rig_close(&rig);
}

static void test_frames_for_closed_streams(void **state) {
    (void)state;
    static const char data[] = "\0\0\1\0\1\0\0\0\1x";
    static const char again[] = "\0\0\6\1\5\0\0\0\1\x82\x86\x84\x41\x01x";
    static const char skipped[] = "\0\0\6\1\5\0\0\0\3\x82\x86\x84\x41\x01x";
    expect_closed(data, sizeof(data) - 1, RST_STREAM_1("\5"), 13);
    expect_closed(again, sizeof(again) - 1, GOAWAY("\5", "\5"), 17);
    expect_closed(skipped, sizeof(skipped) - 1, GOAWAY("\5", "\1"), 17);
}

/* A body that crosses our RST_STREAM is nobody's mistake. */
static void test_frames_that_crossed_a_reset(void **state) {
    (void)state;
    static const char data[] = "\0\0\1\0\1\0\0\0\1x";
    struct rig rig;
    rig_open(&rig, NULL, NULL);
    int fd = dial(&rig, 0);
    char request[32];
    send_all(&rig, fd, preface, sizeof(preface) - 1);
    send_all(&rig, fd, request, put_request(request, 1, false));
    RUN_UNTIL(&rig, rig.count == 1);
    respond(rig.exchanges[0], 200, 1, 1, true);
    expect_bytes(&rig, fd, RST_STREAM_1("\0"), 13);
    send_all(&rig, fd, data, sizeof(data) - 1);
    send_all(&rig, fd, request, put_request(request, 3, true));
    RUN_UNTIL(&rig, rig.count == 2);
    respond(rig.exchanges[1], 200, 1, 1, true);
    RUN_UNTIL(&rig, rig.closed == 2);
    assert_int_equal(rig.exchanges[1]->reason, SL_CLOSE_DONE);
    assert_false(is_closed(fd));
    close(fd);
    RUN_UNTIL(&rig, sl_front_stats(rig.front).connections == 0);
    rig_close(&rig);
}

/* ---- memory ---- */

/* Whatever allocation fails, every exchange is closed once and the front serves the next
 * connection. */
static void test_allocation_failures(void **state) {
    (void)state;
    bool injected = true;
    for (uint64_t n = 1; injected; n++) {
        struct rig rig;
        rig_open(&rig, NULL, NULL);
        struct client *c = client_open(&rig, plain);
        int32_t post = client_post(c, "/echo", 80000, true);
        int32_t get = client_get(c, "/size/50000");
        rig.memory_fails = true;
        sl_mem_fail_after(n);
        uv_timer_start(&rig.guard, on_guard, GUARD_MS, 0);
        while (!c->eof && !(call_of(c, post)->closed && call_of(c, get)->closed)) {
            assert_false(rig.guard_fired);
            uv_run(&rig.uv, UV_RUN_ONCE);
        }
        uv_timer_stop(&rig.guard);
        injected = sl_mem_fail_after(0) == 0;
        rig.memory_fails = false;
        struct client *next = client_open(&rig, plain);
        int32_t id = client_get(next, "/size/5");
        RUN_UNTIL(&rig, call_of(next, id)->closed);
        expect_answer(next, id, 200, 5);
        client_close(next);
        client_close(c);
        rig_close(&rig);
    }
}

/* ---- TLS ---- */

/* A certificate that signs itself, in two files of the test's own. */
static void write_certificate(const char *cert_path, const char *key_path) {
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    assert_int_equal(EC_KEY_generate_key(ec), 1);
    EVP_PKEY *key = EVP_PKEY_new();
    assert_int_equal(EVP_PKEY_assign_EC_KEY(key, ec), 1);
    X509 *cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"localhost", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *f = fopen(cert_path, "w");
    assert_int_equal(PEM_write_X509(f, cert), 1);
    fclose(f);
    f = fopen(key_path, "w");
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void test_tls_with_alpn(void **state) {
    (void)state;
    char dir[] = "/tmp/sluice-h2-XXXXXX", cert[64], key[64], why[256];
    assert_non_null(mkdtemp(dir));
    snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    write_certificate(cert, key);
    struct sl_tls_settings settings = {.certificate = cert, .key = key};
    struct sl_tls *tls = sl_tls_new(&settings, why, sizeof(why));
    unlink(cert);
    unlink(key);
    rmdir(dir);
    assert_non_null(tls);

    struct rig rig;
    rig_open(&rig, NULL, tls);
    SSL_CTX *ctx = SSL_CTX_new(TLS_method());
    struct client *c = client_open(&rig, wide);
    client_use_tls(c, ctx);
    int32_t get = client_get(c, "/size/1000000");
    int32_t post = client_post(c, "/echo", MIB, true);
    RUN_UNTIL(&rig, call_of(c, get)->closed && call_of(c, post)->closed && rig.closed == 2);
    expect_answer(c, get, 200, 1000000);
    expect_answer(c, post, 200, MIB);
    client_close(c);
    rig_close(&rig);
    SSL_CTX_free(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_response),
        cmocka_unit_test(test_one_byte_at_a_time),
        cmocka_unit_test(test_many_streams),
        cmocka_unit_test(test_body_grows_with_wakes),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_interim_responses),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_head_and_bodyless_statuses),
        cmocka_unit_test(test_pause_holds_an_upload),
        cmocka_unit_test(test_resumed_body_keeps_its_order),
        cmocka_unit_test(test_pause_holds_the_end),
        cmocka_unit_test(test_held_bytes_are_given_back),
        cmocka_unit_test(test_window_bounds_what_is_pulled),
        cmocka_unit_test(test_slow_reader_holds_peek),
        cmocka_unit_test(test_goaway_from_client),
        cmocka_unit_test(test_reset_mid_response),
        cmocka_unit_test(test_client_gone),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_response_before_the_body_is_in),
        cmocka_unit_test(test_rests_are_bounded),
        cmocka_unit_test(test_front_freed),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_close_connection_after),
        cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_host_stands_in_for_authority),
        cmocka_unit_test(test_header_limits),
        cmocka_unit_test(test_body_limits),
        cmocka_unit_test(test_content_length_mismatch),
        cmocka_unit_test(test_rapid_reset),
        cmocka_unit_test(test_body_stall),
        cmocka_unit_test(test_closed_window_times_out),
        cmocka_unit_test(test_full_connection_times_out),
        cmocka_unit_test(test_idle_connection_leaves),
        cmocka_unit_test(test_slow_head),
        cmocka_unit_test(test_each_head_has_its_time),
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_request_behind_goaway),
        cmocka_unit_test(test_frames_for_closed_streams),
        cmocka_unit_test(test_frames_that_crossed_a_reset),
        cmocka_unit_test(test_drain_without_an_answer),
        cmocka_unit_test(test_not_http2),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_tls_with_alpn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
