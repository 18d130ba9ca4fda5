/*
 * libuv 1.44 deletes and adds the descriptor in epoll at each uv_poll_start, so it is called only
 * when the wanted events differ from the watched ones. The handle's memory is freed in uv_close's
 * callback; the descriptor may be closed and reused before that.
 */
#include "io/fetch_poll.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "sluice/base/mem.h"

struct sl_fetch_poll {
    uv_poll_t handle;
    struct sl_fetch_polls *polls;
    curl_socket_t fd;
    int wanted, watched; /* UV_READABLE | UV_WRITABLE */
    bool ours;           /* opened and closed by our callbacks, once it is connected */
    bool kept;
};

void sl_fetch_polls_init(struct sl_fetch_polls *polls, uv_loop_t *uv,
                         void (*on_ready)(void *ctx, curl_socket_t fd, int flags), void *ctx) {
    *polls = (struct sl_fetch_polls){.uv = uv, .on_ready = on_ready, .ctx = ctx};
}

void sl_fetch_polls_done(struct sl_fetch_polls *polls) {
    for (int fd = 0; fd < polls->cap; fd++)
        assert(!polls->by_fd[fd]);
    sl_free(polls->by_fd);
    polls->by_fd = NULL;
    polls->cap = 0;
}

static struct sl_fetch_poll *find(const struct sl_fetch_polls *polls, curl_socket_t fd) {
    return fd >= 0 && fd < polls->cap ? polls->by_fd[fd] : NULL;
}

/* Descriptors are small numbers that the kernel hands out lowest first: RLIMIT_NOFILE bounds this.
 */
static int cover(struct sl_fetch_polls *polls, curl_socket_t fd) {
    if (fd < polls->cap)
        return SL_OK;
    int cap = polls->cap ? polls->cap : 64;
    while (cap <= fd)
        cap *= 2;
    struct sl_fetch_poll **by_fd =
        sl_realloc(polls->by_fd, (size_t)cap * sizeof(struct sl_fetch_poll *));
    if (!by_fd)
        return SL_E_NOMEM;
    memset(by_fd + polls->cap, 0, (size_t)(cap - polls->cap) * sizeof(struct sl_fetch_poll *));
    polls->by_fd = by_fd;
    polls->cap = cap;
    return SL_OK;
}

static struct sl_fetch_poll *open_poll(struct sl_fetch_polls *polls, curl_socket_t fd) {
    if (cover(polls, fd) < 0)
        return NULL;
    assert(!polls->by_fd[fd]);
    struct sl_fetch_poll *poll = sl_calloc(1, sizeof(*poll));
    if (!poll)
        return NULL;
    if (uv_poll_init(polls->uv, &poll->handle, fd) < 0) {
        sl_free(poll);
        return NULL;
    }
    poll->handle.data = poll;
    poll->polls = polls;
    poll->fd = fd;
    polls->by_fd[fd] = poll;
    return poll;
}

static void on_closed(uv_handle_t *handle) {
    sl_free(handle->data);
}

void sl_fetch_polls_release(struct sl_fetch_polls *polls, curl_socket_t fd) {
    struct sl_fetch_poll *poll = find(polls, fd);
    if (!poll)
        return;
    polls->by_fd[fd] = NULL;
    uv_poll_stop(&poll->handle);
    uv_close((uv_handle_t *)&poll->handle, on_closed);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct sl_fetch_poll *poll, int wanted) {
    poll->wanted = wanted;
    if (wanted != poll->watched && uv_poll_start(&poll->handle, wanted, on_poll) == 0)
        poll->watched = wanted;
}

/* A broken connection is told as ready, not as CURL_CSELECT_ERR, at which curl would throw away
 * what had come before: an answer that is whole, and paid for. Reading finds the data, then the
 * error. */
static void on_poll(uv_poll_t *handle, int status, int events) {
    struct sl_fetch_poll *poll = handle->data;
    struct sl_fetch_polls *polls = poll->polls;
    curl_socket_t fd = poll->fd;
    if (status < 0) {
        poll->watched = 0; /* libuv has stopped the handle */
        events = poll->wanted;
    }
    if (poll->wanted == 0) {
        uv_poll_stop(handle);
        poll->watched = 0;
        return;
    }
    int flags = 0;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    polls->on_ready(polls->ctx, fd, flags);
    if (status < 0 && find(polls, fd) == poll)
        watch(poll, poll->wanted);
}

int sl_fetch_polls_opened(struct sl_fetch_polls *polls, curl_socket_t fd) {
    struct sl_fetch_poll *old = find(polls, fd);
    int wanted = old ? old->wanted : 0;
    sl_fetch_polls_release(polls, fd);
    struct sl_fetch_poll *poll = open_poll(polls, fd);
    if (!poll)
        return SL_E_NOMEM;
    poll->ours = true;
    /* curl closed a connecting socket of this number a moment ago and has not said so: if the same
     * transfer goes on with this one, it will not say that it wants the same again. */
    if (wanted)
        watch(poll, wanted);
    return SL_OK;
}

void sl_fetch_polls_watch(struct sl_fetch_polls *polls, curl_socket_t fd, int what) {
    struct sl_fetch_poll *poll = find(polls, fd);
    if (what == CURL_POLL_REMOVE) {
        if (poll && poll->kept)
            poll->wanted = 0;
        else
            sl_fetch_polls_release(polls, fd);
        return;
    }
    /* Without memory for a resolver's socket the transfer ends by its time limit. */
    if (!poll && !(poll = open_poll(polls, fd)))
        return;
    poll->kept = poll->kept || (poll->ours && (what & CURL_POLL_IN));
    watch(poll, (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0));
}
