#include "upstream/credhttp.h"

#include <openssl/mem.h>
#include <stdio.h>

/* Keeps answers with secrets from being copied around as they grow. */
#define ANSWER_EXPECTED 8192

int sl_url_split(struct sl_slice url, struct sl_url *out) {
    struct sl_url u = {.tls = sl_slice_starts(url, SL_LIT("https://"))};
    if (!u.tls && !sl_slice_starts(url, SL_LIT("http://")))
        return SL_E_INVALID;
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] <= ' ' || url.ptr[i] > '~' || url.ptr[i] == '\\' || url.ptr[i] == '#')
            return SL_E_INVALID;
    size_t scheme = u.tls ? 8 : 7, end = scheme;
    while (end < url.len && url.ptr[end] != '/' && url.ptr[end] != '?')
        end++;
    struct sl_slice authority = sl_slice_of(url.ptr + scheme, end - scheme);
    if (sl_slice_find(authority, '@') != authority.len)
        return SL_E_INVALID;
    if (sl_slice_starts(authority, SL_LIT("["))) {
        size_t close = sl_slice_find(authority, ']');
        if (close == authority.len)
            return SL_E_INVALID;
        u.host = sl_slice_of(authority.ptr + 1, close - 1);
    } else {
        u.host = sl_slice_head(authority, sl_slice_find(authority, ':'));
    }
    if (u.host.len == 0)
        return SL_E_INVALID;
    u.origin = sl_slice_head(url, end);
    u.target = end < url.len ? sl_slice_skip(url, end) : SL_LIT("/");
    if (u.target.ptr[0] != '/')
        return SL_E_INVALID;
    *out = u;
    return SL_OK;
}

static void wipe_chain(struct sl_chain *chain) {
    for (struct sl_chunk *c = chain->first; c; c = c->next)
        OPENSSL_cleanse(c->bytes, c->len);
    sl_chain_done(chain);
}

static void on_pause_over(void *ctx) {
    struct sl_credhttp *http = ctx;
    http->pausing = false;
    sl_credctx_wake(http->ctx);
}

int sl_credhttp_open(struct sl_credhttp *http, struct sl_credctx *ctx, struct sl_slice origin) {
    char url[512];
    if (origin.len >= sizeof(url))
        return SL_E_INVALID;
    snprintf(url, sizeof(url), "%.*s", SL_FMT(origin));
    http->ctx = ctx;
    sl_chain_init(&http->body, NULL);
    sl_timer_init(&http->pause, on_pause_over, http);
    sl_buf_init(&http->answer, SL_CREDHTTP_MAX_ANSWER);
    http->origin = sl_fetch_origin_new(ctx->client, url, NULL);
    return http->origin ? sl_buf_reserve(&http->answer, ANSWER_EXPECTED) : SL_E_INVALID;
}

static void fail(struct sl_credhttp *http, int error, const char *why) {
    http->error = error;
    snprintf(http->why, sizeof(http->why), "%s", why);
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct sl_credhttp *http = ctx;
    http->status = head->status;
}

static void on_data(void *ctx, struct sl_slice bytes) {
    struct sl_credhttp *http = ctx;
    int rc = sl_buf_add(&http->answer, bytes);
    if (rc == SL_OK)
        return;
    sl_fetch_cancel(http->fetch);
    http->fetch = NULL;
    fail(http, rc, "its answer is larger than 1 MiB");
    sl_credctx_wake(http->ctx);
}

static void on_done(void *ctx, const struct sl_fetch_result *result) {
    struct sl_credhttp *http = ctx;
    http->fetch = NULL;
    http->phase = result->phase;
    if (result->error)
        fail(http, result->error, result->why ? result->why : sl_error_name(result->error));
    sl_credctx_wake(http->ctx);
}

static void attempt(struct sl_credhttp *http) {
    static const struct sl_fetch_events events = {on_head, on_data, on_done};
    const struct sl_credhttp_request *r = http->request;
    http->attempt++;
    http->status = 0;
    http->error = 0;
    http->phase = SL_FETCH_RESOLVE;
    sl_buf_clear(&http->answer);
    struct sl_fetch_request request = {
        .origin = http->origin,
        .method = r->method,
        .target = r->target,
        .headers = r->headers,
        .header_count = r->header_count,
        .body = r->body.len ? &http->body : NULL,
        .connect_ms = r->connect_ms,
        .first_byte_ms = r->answer_ms,
        .idle_ms = r->answer_ms,
        .total_ms = r->connect_ms + 2 * r->answer_ms,
        .no_proxy = r->no_proxy,
    };
    http->fetch = sl_fetch_start(http->ctx->client, &request, &events, http);
    if (!http->fetch)
        fail(http, SL_E_NOMEM, "out of memory");
}

void sl_credhttp_send(struct sl_credhttp *http, const struct sl_credhttp_request *request) {
    http->request = request;
    http->attempt = http->paused_after = 0;
    wipe_chain(&http->body);
    if (sl_chain_add(&http->body, request->body) < 0) {
        http->attempt = request->attempts;
        http->status = 0;
        fail(http, SL_E_NOMEM, "out of memory");
        return;
    }
    attempt(http);
}

bool sl_credhttp_poll(struct sl_credhttp *http) {
    const struct sl_credhttp_request *r = http->request;
    if (http->fetch || http->pausing)
        return false;
    while (http->attempt < r->attempts && r->again(http)) {
        uint64_t pause = (uint64_t)r->pause_ms << (http->attempt - 1);
        /* on_pause_over clears `pausing`; the next poll then sends again. */
        if (pause && http->attempt != http->paused_after) {
            if (sl_timer_set(http->ctx->loop, &http->pause,
                             http->ctx->loop->now + pause * SL_NS_PER_MS) < 0)
                return true;
            http->paused_after = http->attempt;
            http->pausing = true;
            return false;
        }
        attempt(http);
        if (http->fetch)
            return false;
    }
    return true;
}

void sl_credhttp_stop(struct sl_credhttp *http) {
    if (!http->ctx)
        return;
    if (http->fetch)
        sl_fetch_cancel(http->fetch);
    sl_timer_clear(http->ctx->loop, &http->pause);
    sl_fetch_origin_free(http->origin);
    wipe_chain(&http->body);
    sl_buf_done_secret(&http->answer);
    *http = (struct sl_credhttp){.ctx = NULL};
}

bool sl_credhttp_not_ok(const struct sl_credhttp *http) {
    return http->error != 0 || http->status != 200;
}

const char *sl_credhttp_outcome(struct sl_credhttp *http) {
    if (!http->error)
        snprintf(http->why, sizeof(http->why), "the answer was %d", http->status);
    return http->why;
}
