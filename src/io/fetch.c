/*
 * Requests and their answers over connections of fetch_link.c.
 *
 * Sockets are read as they are ready, and events of heads and bodies fired there; results are
 * handed up in the turn's first phase. A request leaves with one system call when it is started, if
 * a connection idles; its head is then never kept.
 *
 * Time limits are ours: one timer a fetch, set once, for the earliest moment at which a limit could
 * have passed. When it fires it looks at what really happened and sets itself again; so no event of
 * a transfer touches a timer.
 */
#include "sluice/io/fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/fetch_impl.h"
#include "sluice/base/mem.h"

/* Connections beyond those in flight that may idle: other origins, and a burst's tail. */
#define IDLE_SLACK 32
/* Of a body, offered to one send. */
#define BODY_SLICES 8

/* ---- states */

static void change_state(struct sl_fetch *f, enum sl_fetch_state to) {
    static const unsigned legal[SL_FETCH_STATES] = {
        [SL_FETCH_SPARE] = 1u << SL_FETCH_DIALING | 1u << SL_FETCH_RUNNING,
        [SL_FETCH_DIALING] = 1u << SL_FETCH_RUNNING | 1u << SL_FETCH_ENDED | 1u << SL_FETCH_SPARE,
        [SL_FETCH_RUNNING] = 1u << SL_FETCH_DROPPED | 1u << SL_FETCH_ENDED | 1u << SL_FETCH_SPARE,
        [SL_FETCH_DROPPED] = 1u << SL_FETCH_SPARE,
        [SL_FETCH_ENDED] = 1u << SL_FETCH_REPORTING | 1u << SL_FETCH_SPARE,
        [SL_FETCH_REPORTING] = 1u << SL_FETCH_SPARE,
    };
    assert(legal[f->state] & 1u << to);
    f->state = to;
    sl_list_remove(&f->link);
    sl_list_push_back(&f->client->lists[to], &f->link);
}

static struct sl_fetch *pop(struct sl_list *list) {
    struct sl_list *node = sl_list_first(list);
    return node ? SL_CONTAINER(node, struct sl_fetch, link) : NULL;
}

static void fetch_free(struct sl_fetch *f) {
    sl_list_remove(&f->link);
    sl_reply_done(&f->reply);
    sl_free(f);
}

/* What a fetch holds only while it runs. */
static void let_go(struct sl_fetch *f) {
    sl_timer_clear(f->client->loop, &f->timer);
    sl_list_remove(&f->again_link);
    sl_buf_done_secret(&f->own_head);
    sl_buf_done(&f->rest);
    if (f->conn)
        sl_link_close(f->conn);
    f->conn = NULL;
    f->body = NULL;
}

/* Gives it back to the pool. */
static void release(struct sl_fetch *f) {
    struct sl_fetch_client *client = f->client;
    let_go(f);
    change_state(f, SL_FETCH_SPARE);
    client->stats.in_flight--;
    if (client->spares >= SL_FETCH_SPARES_MAX) {
        fetch_free(f);
        return;
    }
    /* The one used last is the warmest: first out. */
    sl_list_remove(&f->link);
    sl_list_push_front(&client->lists[SL_FETCH_SPARE], &f->link);
    client->spares++;
}

/* result->why may be the connection's, or on the stack. */
static void end(struct sl_fetch *f, const struct sl_fetch_result *result) {
    f->result = *result;
    if (result->why && result->why != f->why) {
        snprintf(f->why, sizeof(f->why), "%s", result->why);
        f->result.why = f->why;
    }
    let_go(f);
    change_state(f, SL_FETCH_ENDED);
    sl_loop_want(f->client->loop, SL_TURN_TRANSFERS);
}

static void look_again(struct sl_fetch *f) {
    if (!sl_list_linked(&f->again_link))
        sl_list_push_back(&f->client->again, &f->again_link);
    sl_loop_want(f->client->loop, SL_TURN_TRANSFERS);
}

/* ---- sending */

static bool is_sent(const struct sl_fetch *f) {
    return f->head.len == 0 && f->body_left == 0 && sl_link_drained(f->conn);
}

static void count_sent(struct sl_fetch *f, uint64_t n) {
    uint64_t of_head = n < f->head.len ? n : f->head.len;
    f->head = sl_slice_skip(f->head, (size_t)of_head);
    if (n > of_head) {
        sl_chain_advance(f->body, &f->cursor, n - of_head);
        f->body_left -= n - of_head;
    }
    f->active_at = f->client->loop->now;
}

static int64_t send_part(struct sl_fetch *f) {
    struct sl_slice slices[1 + BODY_SLICES];
    size_t count = 0;
    if (f->head.len > 0)
        slices[count++] = f->head;
    if (f->body_left > 0)
        count += sl_chain_peek(f->body, &f->cursor, slices + count, BODY_SLICES);
    return count > 0 ? sl_link_send(f->conn, slices, count) : sl_link_flush(f->conn);
}

/* One send; the rest waits for the socket. An answer may have come before the request was refused,
 * so a failure shows only once nothing is left to read. */
static void send_some(struct sl_fetch *f) {
    int64_t n = send_part(f);
    if (n < 0) {
        f->send_failed = true;
        sl_link_want(f->conn, true, false);
        look_again(f);
        return;
    }
    if (n > 0)
        count_sent(f, (uint64_t)n);
    bool sent = is_sent(f);
    if (sent)
        sl_buf_done_secret(&f->own_head);
    sl_link_want(f->conn, true, !sent);
}

/* The head is in the client's buffer, which the next request needs. */
static int keep_head(struct sl_fetch *f) {
    if (f->head.len == 0)
        return SL_OK;
    int rc = sl_buf_add(&f->own_head, f->head);
    f->head = sl_buf_slice(&f->own_head);
    return rc;
}

void sl_fetch_on_open(struct sl_fetch *f) {
    f->phase = SL_FETCH_SEND;
    f->active_at = f->client->loop->now;
    change_state(f, SL_FETCH_RUNNING);
    send_some(f);
}

void sl_fetch_on_unreachable(struct sl_fetch *f, const struct sl_fetch_result *result) {
    f->conn = NULL;
    end(f, result);
}

/* ---- receiving */

static bool goes_on(const struct sl_fetch *f) {
    return f->state == SL_FETCH_RUNNING && !f->paused;
}

/* A pause holds back the body, not the head. */
static bool is_held(const struct sl_fetch *f) {
    return f->paused && f->phase == SL_FETCH_BODY;
}

static bool on_head(void *ctx, const struct sl_fetch_head *head) {
    struct sl_fetch *f = ctx;
    f->phase = SL_FETCH_BODY;
    f->events.on_head(f->ctx, head);
    return goes_on(f);
}

static bool on_body(void *ctx, struct sl_slice bytes) {
    struct sl_fetch *f = ctx;
    f->events.on_data(f->ctx, bytes);
    return goes_on(f);
}

static const struct sl_reply_events reply_events = {on_head, on_body};

/* The connection serves again only if both sides have said all they had to say, and no more. */
static void complete(struct sl_fetch *f, bool clean) {
    struct sl_link *conn = f->conn;
    if (clean && f->reply.keep && !f->send_failed && is_sent(f) && !sl_link_has_more(conn)) {
        f->conn = NULL;
        sl_link_park(conn);
    }
    end(f, &(struct sl_fetch_result){SL_OK, SL_FETCH_DONE, NULL});
}

static void lose(struct sl_fetch *f, int error) {
    if (error == SL_E_EOF && f->reply.has_head && sl_reply_eof(&f->reply) == SL_REPLY_DONE) {
        complete(f, false);
        return;
    }
    struct sl_fetch_result result = sl_fetch_explain_loss(f, error);
    end(f, &result);
}

/* Whether it is held: then *used says how far it came. In any other case the bytes are done with,
 * and the fetch may have ended. */
static bool feed(struct sl_fetch *f, char *bytes, size_t len, size_t *used) {
    struct sl_fetch_client *client = f->client;
    assert(!client->feeding);
    client->feeding = f;
    f->active_at = client->loop->now;
    int rc = sl_reply_feed(&f->reply, bytes, len, used);
    client->feeding = NULL;
    if (f->state == SL_FETCH_DROPPED) {
        let_go(f);
        sl_loop_want(client->loop, SL_TURN_TRANSFERS);
        return false;
    }
    switch (rc) {
    case SL_REPLY_MORE:
        return false;
    case SL_REPLY_HELD:
        return true;
    case SL_REPLY_DONE:
        complete(f, *used == len);
        return false;
    default:
        end(f, &(struct sl_fetch_result){rc, sl_fetch_progress(f), f->reply.why});
        return false;
    }
}

static void read_some(struct sl_fetch *f) {
    char *bytes;
    int64_t n = sl_link_recv(f->conn, &bytes);
    if (n < 0 || (n == 0 && f->send_failed)) {
        lose(f, n < 0 ? (int)n : SL_E_IO);
        return;
    }
    size_t used;
    if (n == 0 || !feed(f, bytes, (size_t)n, &used))
        return;
    struct sl_slice left = sl_slice_of(bytes + used, (size_t)n - used);
    if (left.len > 0 && sl_buf_add(&f->rest, left) < 0)
        end(f, &(struct sl_fetch_result){SL_E_NOMEM, f->phase, "out of memory"});
}

static void feed_rest(struct sl_fetch *f) {
    size_t used;
    if (feed(f, f->rest.ptr + f->rest_at, f->rest.len - f->rest_at, &used)) {
        f->rest_at += used;
    } else if (f->state == SL_FETCH_RUNNING) {
        sl_buf_done(&f->rest);
        f->rest_at = 0;
    }
}

/* Hands up what there is, one read at most: a fast upstream never holds the loop. The fetch may
 * have ended, or be another one, when this returns. */
static void receive(struct sl_fetch *f) {
    struct sl_link *conn = f->conn;
    if (f->rest.len > 0)
        feed_rest(f);
    else
        read_some(f);
    if (f->conn == conn && sl_link_has_more(conn))
        look_again(f);
}

void sl_fetch_on_ready(struct sl_fetch *f, int events) {
    if (events & UV_WRITABLE)
        send_some(f);
    if (!(events & UV_READABLE))
        return;
    if (is_held(f) || f->rest.len > 0)
        sl_link_want(f->conn, false,
                     !f->send_failed && !is_sent(f)); /* TCP's window does the rest */
    else
        receive(f);
}

/* ---- the turn */

static void run_again(struct sl_fetch *f) {
    if (is_held(f))
        return;
    sl_link_want(f->conn, true, !f->send_failed && !is_sent(f));
    receive(f);
}

static void hand_up(struct sl_fetch_client *client) {
    struct sl_fetch *f;
    while ((f = pop(&client->lists[SL_FETCH_DROPPED])))
        release(f);
    while ((f = pop(&client->lists[SL_FETCH_ENDED]))) {
        change_state(f, SL_FETCH_REPORTING);
        f->events.on_done(f->ctx, &f->result);
        release(f);
    }
}

static void on_transfers(void *ctx) {
    struct sl_fetch_client *client = ctx;
    struct sl_list now, *node;
    sl_list_init(&now);
    sl_list_splice(&now, &client->again); /* those that ask anew wait for the next turn */
    while ((node = sl_list_pop_front(&now)))
        run_again(SL_CONTAINER(node, struct sl_fetch, again_link));
    sl_dialer_turn(&client->dialer);
    hand_up(client);
}

/* What policy started in this turn leaves with it. */
static void on_send(void *ctx) {
    struct sl_fetch_client *client = ctx;
    sl_dialer_turn(&client->dialer);
}

/* ---- limits */

static uint64_t later(uint64_t from, uint64_t by) {
    return by == SL_NEVER ? SL_NEVER : from + by;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the limit for the present phase passes; SL_NEVER where none runs. */
static uint64_t phase_deadline(const struct sl_fetch *f) {
    if (f->phase < SL_FETCH_SEND)
        return later(f->started_at, f->connect);
    if (f->phase < SL_FETCH_BODY)
        return later(f->active_at, f->first_byte);
    return f->paused ? SL_NEVER : later(f->active_at, f->idle);
}

/* The earliest time at which any limit could pass, given what may happen from now on. */
static uint64_t next_check(const struct sl_fetch *f) {
    uint64_t now = f->client->loop->now;
    uint64_t at = earlier(later(f->started_at, f->total), phase_deadline(f));
    if (f->phase < SL_FETCH_SEND)
        at = earlier(at, later(now, f->first_byte));
    if (f->phase < SL_FETCH_BODY || f->paused)
        at = earlier(at, later(now, f->idle));
    return at;
}

static int watch_limits(struct sl_fetch *f) {
    uint64_t at = next_check(f);
    return at == SL_NEVER ? SL_OK : sl_timer_set(f->client->loop, &f->timer, at);
}

static void end_late(struct sl_fetch *f, const char *what, uint64_t limit) {
    struct sl_fetch_result result = {SL_E_TIMEOUT, sl_fetch_progress(f), f->why};
    snprintf(f->why, sizeof(f->why), what, (unsigned long long)(limit / SL_NS_PER_MS));
    end(f, &result);
}

static void on_limit(void *ctx) {
    struct sl_fetch *f = ctx;
    uint64_t now = f->client->loop->now;
    if (later(f->started_at, f->total) <= now)
        end_late(f, "the request took longer than %llu ms", f->total);
    else if (phase_deadline(f) > now && watch_limits(f) == SL_OK)
        return;
    else if (phase_deadline(f) > now)
        end(f, &(struct sl_fetch_result){SL_E_NOMEM, sl_fetch_progress(f), "out of memory"});
    else if (f->phase < SL_FETCH_SEND)
        end_late(f, "no connection within %llu ms", f->connect);
    else if (f->phase < SL_FETCH_BODY)
        end_late(f, "no answer within %llu ms", f->first_byte);
    else
        end_late(f, "the response stood still for %llu ms", f->idle);
}

/* ---- clients */

static const char *from_environment(const char *name) {
    return getenv(name);
}

/* libcurl was built with the path of the system's bundle, which only a fresh handle still knows. */
static bool find_ca_default(struct sl_fetch_client *client) {
    CURL *easy = curl_easy_init();
    if (!easy)
        return false;
    char *ca = NULL;
    curl_easy_getinfo(easy, CURLINFO_CAINFO, &ca);
    client->ca_default = ca ? ca : "";
    curl_easy_cleanup(easy);
    return true;
}

struct sl_fetch_client *sl_fetch_client_new(struct sl_loop *loop,
                                            const struct sl_fetch_client_settings *settings) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return NULL;
    struct sl_fetch_client *client = sl_calloc(1, sizeof(*client));
    if (!client) {
        curl_global_cleanup();
        return NULL;
    }
    client->loop = loop;
    client->links_max = settings->max_in_flight + IDLE_SLACK;
    for (int i = 0; i < SL_FETCH_STATES; i++)
        sl_list_init(&client->lists[i]);
    sl_list_init(&client->again);
    sl_list_init(&client->origins);
    sl_list_init(&client->trusts);
    sl_list_init(&client->idle);
    sl_buf_init(&client->head, SL_FETCH_REQUEST_MAX);
    sl_timer_init(&client->idle_timer, sl_link_on_idle_timer, client);
    sl_loop_hook(loop, SL_TURN_TRANSFERS, &client->transfers, on_transfers, client);
    sl_loop_hook(loop, SL_TURN_WRITE, &client->send, on_send, client);
    int rc = sl_dialer_init(&client->dialer, loop, sl_link_on_dialed);
    if (rc == SL_OK && find_ca_default(client) &&
        sl_proxies_init(&client->proxies, from_environment) == SL_OK &&
        (!settings->user_agent || (client->user_agent = sl_strdup(settings->user_agent))) &&
        (client->trust_default = sl_fetch_trust_get(client, client->ca_default)))
        return client;
    sl_fetch_client_free(client);
    return NULL;
}

/* Cancels whatever is in that state. */
static void clear(struct sl_fetch_client *client, enum sl_fetch_state state) {
    struct sl_fetch *f;
    while ((f = pop(&client->lists[state])))
        sl_fetch_cancel(f);
}

void sl_fetch_client_free(struct sl_fetch_client *client) {
    if (!client)
        return;
    assert(!client->feeding && sl_list_empty(&client->lists[SL_FETCH_REPORTING]));
    clear(client, SL_FETCH_DIALING);
    clear(client, SL_FETCH_RUNNING);
    clear(client, SL_FETCH_ENDED);
    struct sl_fetch *f;
    while ((f = pop(&client->lists[SL_FETCH_DROPPED])))
        release(f);
    while ((f = pop(&client->lists[SL_FETCH_SPARE])))
        fetch_free(f);
    struct sl_list *node;
    while ((node = sl_list_first(&client->origins))) /* closes the idle connections */
        sl_fetch_origin_free(SL_CONTAINER(node, struct sl_fetch_origin, link));
    sl_fetch_trust_put(client->trust_default);
    assert(client->links == 0);
    sl_dialer_done(&client->dialer);
    sl_timer_clear(client->loop, &client->idle_timer);
    sl_loop_unhook(&client->transfers);
    sl_loop_unhook(&client->send);
    sl_proxies_done(&client->proxies);
    sl_buf_done_secret(&client->head);
    sl_free(client->user_agent);
    sl_free(client);
    curl_global_cleanup();
}

struct sl_fetch_stats sl_fetch_client_stats(const struct sl_fetch_client *client) {
    return client->stats;
}

/* ---- fetches */

static struct sl_fetch *take_spare(struct sl_fetch_client *client) {
    struct sl_fetch *f = pop(&client->lists[SL_FETCH_SPARE]);
    if (f) {
        client->spares--;
        return f;
    }
    f = sl_calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->client = client;
    sl_list_init(&f->link);
    sl_list_init(&f->again_link);
    sl_buf_init(&f->own_head, SL_FETCH_REQUEST_MAX);
    sl_buf_init(&f->rest, SL_LINK_READ + SL_TLS_RECORD + 1);
    sl_reply_init(&f->reply, &reply_events, f);
    sl_timer_init(&f->timer, on_limit, f);
    f->state = SL_FETCH_SPARE;
    sl_list_push_back(&client->lists[SL_FETCH_SPARE], &f->link);
    return f;
}

static uint64_t limit(uint32_t ms) {
    return ms ? ms * SL_NS_PER_MS : SL_NEVER;
}

static void set_up(struct sl_fetch *f, const struct sl_fetch_request *r) {
    f->head = sl_buf_slice(&f->client->head);
    f->body = r->body;
    f->body_left = r->body ? sl_chain_len(r->body) : 0;
    f->cursor = (struct sl_chain_cursor){.offset = r->body ? r->body->begin : 0};
    f->send_failed = f->paused = false;
    f->phase = SL_FETCH_RESOLVE;
    f->started_at = f->active_at = f->client->loop->now;
    f->connect = limit(r->connect_ms);
    f->first_byte = limit(r->first_byte_ms);
    f->idle = limit(r->idle_ms);
    f->total = limit(r->total_ms);
    f->rest_at = 0;
    sl_reply_begin(&f->reply, sl_slice_eq(r->method, SL_LIT("HEAD")));
}

/* Nothing fires from here: an idle connection takes the request at once, a new one later. */
static int connect_it(struct sl_fetch *f, struct sl_fetch_route *route, uint32_t connect_ms) {
    f->conn = sl_link_take(route, f);
    if (f->conn) {
        sl_fetch_on_open(f);
        return keep_head(f);
    }
    int rc = keep_head(f);
    if (rc < 0)
        return rc;
    f->conn = sl_link_open(route, f, connect_ms);
    if (!f->conn)
        return SL_E_NOMEM;
    change_state(f, SL_FETCH_DIALING);
    return SL_OK;
}

struct sl_fetch *sl_fetch_start(struct sl_fetch_client *client,
                                const struct sl_fetch_request *request,
                                const struct sl_fetch_events *events, void *ctx) {
    const struct sl_fetch_origin *origin = request->origin;
    struct sl_fetch_route *route = request->no_proxy ? origin->direct : origin->usual;
    struct sl_fetch *f = take_spare(client);
    if (!f)
        return NULL;
    if (sl_fetch_write_head(&client->head, request, route, client->user_agent,
                            request->body ? sl_chain_len(request->body) : 0) < 0)
        goto fail;
    set_up(f, request);
    if (watch_limits(f) < 0)
        goto fail;
    f->events = *events;
    f->ctx = ctx;
    if (connect_it(f, route, request->connect_ms) < 0)
        goto fail;
    client->stats.started++;
    client->stats.in_flight++;
    return f;
fail:
    let_go(f);
    fetch_free(f);
    return NULL;
}

void sl_fetch_pause(struct sl_fetch *f) {
    f->paused = true; /* what the kernel has for it stays there from the next event on */
}

void sl_fetch_resume(struct sl_fetch *f) {
    if (!f->paused)
        return;
    f->paused = false;
    f->active_at = f->client->loop->now;
    if (f->state == SL_FETCH_RUNNING && f->client->feeding != f)
        look_again(f);
}

void sl_fetch_cancel(struct sl_fetch *f) {
    if (f->state == SL_FETCH_REPORTING)
        return; /* its last event: it is freed behind it */
    assert(f->state != SL_FETCH_SPARE && f->state != SL_FETCH_DROPPED);
    if (f->client->feeding == f)
        change_state(f, SL_FETCH_DROPPED);
    else
        release(f);
}
