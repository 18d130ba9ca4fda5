/*
 * curl_multi on the loop. curl is driven from three places: sockets that are ready (in the poll),
 * work that is due at once (a timeout of 0 ms, in the turn and never by a timer), and its other
 * timeouts. Results are handed up in the turn's first phase, with nothing of curl on the stack.
 *
 * A request that the turn's policy starts leaves in the same turn: curl's due work runs a second
 * time in the phase in which connections flush.
 *
 * Time limits after the connect are ours: one timer a fetch, set once, for the earliest moment at
 * which a limit could have passed. When it fires it looks at what really happened and sets itself
 * again; so no event of a transfer touches a timer.
 */
#include "sluice/io/fetch.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/fetch_impl.h"
#include "sluice/base/mem.h"

/* Connections beyond those in flight that may idle: other origins, and a burst's tail. */
#define IDLE_SLACK 32

/* ---- states */

static void change_state(struct sl_fetch *f, enum sl_fetch_state to) {
    static const unsigned legal[SL_FETCH_STATES] = {
        [SL_FETCH_SPARE] = 1u << SL_FETCH_QUEUED | 1u << SL_FETCH_RUNNING | 1u << SL_FETCH_ENDED,
        [SL_FETCH_QUEUED] = 1u << SL_FETCH_RUNNING | 1u << SL_FETCH_ENDED | 1u << SL_FETCH_SPARE,
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

/* Gives a fetch that curl no longer knows back to the pool. */
static void release(struct sl_fetch *f) {
    struct sl_fetch_client *client = f->client;
    sl_timer_clear(client->loop, &f->timer);
    sl_list_remove(&f->resume_link);
    change_state(f, SL_FETCH_SPARE);
    client->stats.in_flight--;
    f->body = NULL;
    sl_list_remove(&f->link);
    /* curl's intent to send again would stick to the handle. */
    if (client->spares >= SL_FETCH_SPARES_MAX || f->retried) {
        sl_fetch_free(f);
        return;
    }
    /* The handle used last is the warmest: first out. */
    sl_list_push_front(&client->lists[SL_FETCH_SPARE], &f->link);
    client->spares++;
}

static void detach(struct sl_fetch *f) {
    CURLMcode rc = curl_multi_remove_handle(f->client->multi, f->easy);
    assert(rc == CURLM_OK);
    (void)rc;
}

/* f->result says how. */
static void end(struct sl_fetch *f) {
    if (f->state == SL_FETCH_RUNNING)
        detach(f);
    sl_timer_clear(f->client->loop, &f->timer);
    sl_list_remove(&f->resume_link);
    change_state(f, SL_FETCH_ENDED);
}

static void end_with(struct sl_fetch *f, int error, enum sl_fetch_phase phase, const char *why) {
    f->result = (struct sl_fetch_result){error, phase, why};
    end(f);
}

/* ---- driving curl */

static void enter(struct sl_fetch_client *client) {
    client->depth++;
}

static void attach(struct sl_fetch *f) {
    if (curl_multi_add_handle(f->client->multi, f->easy) == CURLM_OK)
        change_state(f, SL_FETCH_RUNNING);
    else
        end_with(f, SL_E_NOMEM, SL_FETCH_RESOLVE, "out of memory");
}

/* curl has returned: what its callbacks asked for can be done. */
static void leave(struct sl_fetch_client *client) {
    if (--client->depth > 0)
        return;
    struct sl_fetch *f;
    while ((f = pop(&client->lists[SL_FETCH_DROPPED]))) {
        detach(f);
        release(f);
    }
    while ((f = pop(&client->lists[SL_FETCH_QUEUED])))
        attach(f);
}

static void collect(struct sl_fetch_client *client) {
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(client->multi, &left))) {
        struct sl_fetch *f = NULL;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&f);
        sl_fetch_explain(f, code);
        end(f);
    }
}

static void act(struct sl_fetch_client *client, curl_socket_t fd, int flags) {
    int running;
    enter(client);
    curl_multi_socket_action(client->multi, fd, flags, &running);
    leave(client);
}

static void on_ready(void *ctx, curl_socket_t fd, int flags) {
    struct sl_fetch_client *client = ctx;
    sl_loop_tick(client->loop);
    act(client, fd, flags);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx) {
    (void)easy, (void)socket_ctx;
    struct sl_fetch_client *client = ctx;
    sl_fetch_polls_watch(&client->polls, fd, what);
    return 0;
}

static void run_soon(struct sl_fetch_client *client) {
    client->due = true;
    sl_loop_want(client->loop, SL_TURN_WRITE);
}

static int on_timeout(CURLM *multi, long ms, void *ctx) {
    (void)multi;
    struct sl_fetch_client *client = ctx;
    client->timer_at = SL_NEVER;
    if (ms < 0) {
        sl_timer_clear(client->loop, &client->timer);
    } else if (ms == 0) {
        run_soon(client);
    } else {
        client->timer_at = client->loop->now + (uint64_t)ms * SL_NS_PER_MS;
        bool early_enough =
            sl_heap_linked(&client->timer.node) && client->timer.node.key <= client->timer_at;
        if (!early_enough && sl_timer_set(client->loop, &client->timer, client->timer_at) < 0)
            run_soon(client); /* curl asks again: a busy loop until there is memory */
    }
    return 0;
}

static void on_curl_timer(void *ctx) {
    struct sl_fetch_client *client = ctx;
    if (client->timer_at > client->loop->now && client->timer_at != SL_NEVER &&
        sl_timer_set(client->loop, &client->timer, client->timer_at) == SL_OK)
        return;
    run_soon(client);
}

/* ---- the turn */

static void run_due(struct sl_fetch_client *client) {
    client->due = false;
    act(client, CURL_SOCKET_TIMEOUT, 0);
}

static void resume_all(struct sl_fetch_client *client) {
    struct sl_list *node;
    if (!sl_list_empty(&client->resumes))
        collect(client); /* one that ended meanwhile is not resumed */
    while ((node = sl_list_pop_front(&client->resumes))) {
        struct sl_fetch *f = SL_CONTAINER(node, struct sl_fetch, resume_link);
        if (f->paused)
            continue;
        f->held = false;
        enter(client);
        CURLcode code = curl_easy_pause(f->easy, CURLPAUSE_CONT);
        bool dropped = f->state == SL_FETCH_DROPPED;
        leave(client);
        if (code != CURLE_OK && !dropped) {
            sl_fetch_explain(f, code);
            end(f);
        }
    }
}

static void hand_up(struct sl_fetch_client *client) {
    struct sl_fetch *f;
    while ((f = pop(&client->lists[SL_FETCH_ENDED]))) {
        change_state(f, SL_FETCH_REPORTING);
        f->events.on_done(f->ctx, &f->result);
        release(f);
    }
}

static void on_transfers(void *ctx) {
    struct sl_fetch_client *client = ctx;
    resume_all(client);
    if (client->due)
        run_due(client);
    collect(client);
    hand_up(client);
}

/* What policy started in this turn leaves with it. */
static void on_send(void *ctx) {
    struct sl_fetch_client *client = ctx;
    client->fired = false;
    if (client->due)
        run_due(client);
    collect(client);
    if (client->fired || !sl_list_empty(&client->lists[SL_FETCH_ENDED]))
        sl_loop_again(client->loop);
}

/* ---- time limits of a fetch */

static uint64_t later(uint64_t at, uint64_t by) {
    return by == SL_NEVER ? SL_NEVER : at + by;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* When the limit for the present phase passes; SL_NEVER where none runs. */
static uint64_t silence_deadline(const struct sl_fetch *f) {
    if (f->phase < SL_FETCH_SEND)
        return SL_NEVER; /* curl's connect timeout */
    if (f->phase < SL_FETCH_BODY)
        return later(f->active_at, f->first_byte);
    return f->paused ? SL_NEVER : later(f->active_at, f->idle);
}

/* The earliest time at which any limit could pass, given what may happen from now on. */
static uint64_t next_check(const struct sl_fetch *f) {
    uint64_t now = f->client->loop->now;
    uint64_t at = earlier(later(f->started_at, f->total), silence_deadline(f));
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

static void on_limit(void *ctx) {
    struct sl_fetch *f = ctx;
    uint64_t now = f->client->loop->now;
    const char *what = NULL;
    uint64_t limit = 0;
    if (later(f->started_at, f->total) <= now) {
        what = "the request took longer than %llu ms";
        limit = f->total;
    } else if (silence_deadline(f) <= now) {
        bool body = f->phase >= SL_FETCH_BODY;
        what = body ? "the response stood still for %llu ms" : "no answer within %llu ms";
        limit = body ? f->idle : f->first_byte;
    } else if (watch_limits(f) == SL_OK) {
        return;
    }
    enum sl_fetch_phase phase = sl_fetch_progress(f);
    if (!what) {
        end_with(f, SL_E_NOMEM, phase, "out of memory");
        return;
    }
    snprintf(f->why, sizeof(f->why), what, (unsigned long long)(limit / SL_NS_PER_MS));
    end_with(f, SL_E_TIMEOUT, phase, f->why);
}

/* ---- clients */

static const char *from_environment(const char *name) {
    return getenv(name);
}

static bool set_up_multi(struct sl_fetch_client *client, uint32_t max_in_flight) {
    CURLM *m = client->multi;
    return curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_SOCKETDATA, client) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timeout) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERDATA, client) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
           /* A cache smaller than what is in flight closes connections it will need at once. */
           curl_multi_setopt(m, CURLMOPT_MAXCONNECTS, (long)max_in_flight + IDLE_SLACK) == CURLM_OK;
}

/* libcurl was built with the path of the system's bundle, which only a fresh handle still knows. */
static bool find_ca_default(struct sl_fetch_client *client) {
    CURL *easy = curl_easy_init();
    if (!easy)
        return false;
    char *ca = NULL;
    curl_easy_getinfo(easy, CURLINFO_CAINFO, &ca);
    client->ca_default = ca;
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
    client->timer_at = SL_NEVER;
    for (int i = 0; i < SL_FETCH_STATES; i++)
        sl_list_init(&client->lists[i]);
    sl_list_init(&client->resumes);
    sl_list_init(&client->origins);
    sl_timer_init(&client->timer, on_curl_timer, client);
    sl_fetch_polls_init(&client->polls, loop->uv, on_ready, client);
    sl_loop_hook(loop, SL_TURN_TRANSFERS, &client->transfers, on_transfers, client);
    sl_loop_hook(loop, SL_TURN_WRITE, &client->send, on_send, client);
    if (settings->user_agent && !(client->user_agent = sl_strdup(settings->user_agent)))
        goto fail;
    client->multi = curl_multi_init();
    if (!client->multi || !set_up_multi(client, settings->max_in_flight) ||
        !find_ca_default(client) || sl_proxies_init(&client->proxies, from_environment) < 0)
        goto fail;
    return client;
fail:
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
    assert(client->depth == 0 && sl_list_empty(&client->lists[SL_FETCH_REPORTING]));
    clear(client, SL_FETCH_RUNNING);
    clear(client, SL_FETCH_ENDED);
    struct sl_fetch *f;
    while ((f = pop(&client->lists[SL_FETCH_SPARE]))) {
        sl_list_remove(&f->link);
        sl_fetch_free(f);
    }
    curl_multi_cleanup(client->multi); /* closes the connections */
    struct sl_list *node;
    while ((node = sl_list_first(&client->origins)))
        sl_fetch_origin_free(SL_CONTAINER(node, struct sl_fetch_origin, link));
    sl_timer_clear(client->loop, &client->timer);
    sl_loop_unhook(&client->transfers);
    sl_loop_unhook(&client->send);
    sl_fetch_polls_done(&client->polls);
    sl_proxies_done(&client->proxies);
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
    f = sl_fetch_new(client);
    if (!f)
        return NULL;
    sl_timer_init(&f->timer, on_limit, f);
    f->state = SL_FETCH_SPARE;
    sl_list_push_back(&client->lists[SL_FETCH_SPARE], &f->link);
    return f;
}

struct sl_fetch *sl_fetch_start(struct sl_fetch_client *client,
                                const struct sl_fetch_request *request,
                                const struct sl_fetch_events *events, void *ctx) {
    struct sl_fetch *f = take_spare(client);
    if (!f)
        return NULL;
    if (sl_fetch_setup(f, request) < 0 || watch_limits(f) < 0) {
        sl_list_remove(&f->link);
        sl_fetch_free(f);
        return NULL;
    }
    f->events = *events;
    f->ctx = ctx;
    client->stats.started++;
    client->stats.in_flight++;
    if (client->depth > 0)
        change_state(f, SL_FETCH_QUEUED);
    else
        attach(f);
    return f;
}

void sl_fetch_pause(struct sl_fetch *f) {
    f->paused = true; /* curl learns of it when it has bytes: what it reads then, it keeps */
}

void sl_fetch_resume(struct sl_fetch *f) {
    if (!f->paused)
        return;
    f->paused = false;
    f->active_at = f->client->loop->now;
    if (!f->held || f->state != SL_FETCH_RUNNING || sl_list_linked(&f->resume_link))
        return;
    sl_list_push_back(&f->client->resumes, &f->resume_link);
    sl_loop_want(f->client->loop, SL_TURN_TRANSFERS);
}

void sl_fetch_cancel(struct sl_fetch *f) {
    if (f->state == SL_FETCH_REPORTING)
        return; /* its last event: it is freed behind it */
    assert(f->state != SL_FETCH_SPARE && f->state != SL_FETCH_DROPPED);
    if (f->state == SL_FETCH_RUNNING) {
        if (f->client->depth > 0) {
            change_state(f, SL_FETCH_DROPPED);
            return;
        }
        detach(f);
    }
    release(f);
}
