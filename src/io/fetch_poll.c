/*
 * libuv 1.44 deletes and adds the descriptor in epoll at each uv_poll_start, so it is called only
 * when the watched events must change. The handle's memory is freed in uv_close's callback; the
 * descriptor may be closed and reused before that.
 */
#include "io/fetch_poll.h"

#include "sluice/base/mem.h"

struct sl_poll {
    uv_poll_t handle;
    int fd;
    int wanted, watched;
    sl_poll_ready on_ready;
    void *ctx;
};

struct sl_poll *sl_poll_open(uv_loop_t *uv, int fd, sl_poll_ready on_ready, void *ctx) {
    struct sl_poll *poll = sl_calloc(1, sizeof(*poll));
    if (!poll)
        return NULL;
    if (uv_poll_init(uv, &poll->handle, fd) < 0) {
        sl_free(poll);
        return NULL;
    }
    poll->handle.data = poll;
    poll->fd = fd;
    poll->on_ready = on_ready;
    poll->ctx = ctx;
    return poll;
}

static void on_closed(uv_handle_t *handle) {
    sl_free(handle->data);
}

void sl_poll_close(struct sl_poll *poll) {
    if (!poll)
        return;
    uv_poll_stop(&poll->handle);
    uv_close((uv_handle_t *)&poll->handle, on_closed);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch(struct sl_poll *poll, int events) {
    if (events == 0)
        uv_poll_stop(&poll->handle);
    else if (uv_poll_start(&poll->handle, events, on_poll) < 0)
        return;
    poll->watched = events;
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct sl_poll *poll = handle->data;
    if (status < 0) {
        poll->watched = 0; /* libuv has stopped the handle */
        events = poll->wanted;
    } else if (events & ~poll->wanted) {
        watch(poll, poll->wanted);
        events &= poll->wanted;
    }
    if (events == 0)
        return;
    poll->on_ready(poll->ctx, poll->fd, events);
    if (status < 0 && !uv_is_closing((uv_handle_t *)handle))
        sl_poll_want(poll, poll->wanted);
}

void sl_poll_want(struct sl_poll *poll, int events) {
    poll->wanted = events;
    if (events & ~poll->watched)
        watch(poll, events);
}

int sl_poll_wanted(const struct sl_poll *poll) {
    return poll->wanted;
}
