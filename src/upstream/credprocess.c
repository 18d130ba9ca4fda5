/*
 * Three libuv handles in one block: the process and two pipes. The block is freed by the last close
 * callback. A process that is given up is killed at once, but its handle stays until its exit is
 * reported, so that no zombie is left.
 *
 * `ctx` is NULL once the owner has let go: from then on nothing is reported.
 */
#include "upstream/credprocess.h"

#include <assert.h>
#include <openssl/mem.h>
#include <signal.h>
#include <stdio.h>

#include "sluice/base/mem.h"

/* What of stderr goes into a message. */
#define STDERR_MAX 200

struct stream {
    uv_pipe_t pipe;
    struct sl_buf text;
    bool ended;
};

struct sl_credprocess {
    struct sl_credctx *ctx;
    uv_process_t handle;
    struct stream out, err;
    struct sl_timer timer;
    int handles; /* not yet closed */
    bool exited, timed_out, too_much;
    int64_t exit_status;
    int signal;
    char chunk[4096]; /* libuv reads into it; wiped after each read */
};

static void kill_group(struct sl_credprocess *p) {
    if (!p->exited)
        uv_kill(-p->handle.pid, SIGKILL);
}

static void on_closed(uv_handle_t *handle) {
    struct sl_credprocess *p = handle->data;
    if (--p->handles > 0)
        return;
    sl_buf_done_secret(&p->out.text);
    sl_buf_done(&p->err.text);
    sl_free(p);
}

static void close_once(uv_handle_t *handle) {
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void wake(struct sl_credprocess *p) {
    if (p->ctx)
        sl_credctx_wake(p->ctx);
}

static void on_exit_status(uv_process_t *handle, int64_t status, int signal) {
    struct sl_credprocess *p = handle->data;
    p->exited = true;
    p->exit_status = status;
    p->signal = signal;
    close_once((uv_handle_t *)&p->handle);
    wake(p);
}

static void on_timeout(void *ctx) {
    struct sl_credprocess *p = ctx;
    p->timed_out = true;
    kill_group(p);
    /* A grandchild that left the group may hold the pipes open: do not wait for their end. */
    p->out.ended = p->err.ended = true;
    wake(p);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf) {
    struct sl_credprocess *p = handle->data;
    (void)wanted;
    *buf = uv_buf_init(p->chunk, sizeof(p->chunk));
}

static void on_out(struct sl_credprocess *p, struct sl_slice bytes) {
    if (sl_buf_add(&p->out.text, bytes) == SL_OK)
        return;
    p->too_much = true;
    kill_group(p);
}

/* The beginning is enough; the rest is read so that the process does not block on it. */
static void on_err(struct sl_credprocess *p, struct sl_slice bytes) {
    struct sl_buf *text = &p->err.text;
    int rc = sl_buf_add(text, sl_slice_head(bytes, STDERR_MAX - text->len));
    (void)rc; /* without memory for it the message is shorter */
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct sl_credprocess *p = stream->data;
    struct stream *s = (void *)stream == (void *)&p->out.pipe ? &p->out : &p->err;
    if (n > 0)
        (s == &p->out ? on_out : on_err)(p, sl_slice_of(buf->base, (size_t)n));
    if (buf->base)
        OPENSSL_cleanse(buf->base, buf->len);
    if (n >= 0)
        return;
    s->ended = true;
    close_once((uv_handle_t *)stream);
    wake(p);
}

static void init_stream(struct sl_credprocess *p, struct stream *s, size_t max) {
    sl_buf_init(&s->text, max);
    int rc = uv_pipe_init(p->ctx->loop->uv, &s->pipe, 0);
    assert(rc == 0); /* fails only where handles are passed */
    (void)rc;
    s->pipe.data = p;
    p->handles++;
}

static int spawn(struct sl_credprocess *p, char **argv) {
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE}, /* a process that would ask somebody finds nobody */
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->out.pipe},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&p->err.pipe},
    };
    uv_process_options_t options = {.exit_cb = on_exit_status,
                                    .file = argv[0],
                                    .args = argv,
                                    .flags = UV_PROCESS_DETACHED, /* a group of its own */
                                    .stdio_count = 3,
                                    .stdio = stdio};
    int rc = uv_spawn(p->ctx->loop->uv, &p->handle, &options);
    p->handle.data = p;
    p->handles++; /* uv_spawn initialises the handle even when it fails */
    p->exited = rc != 0;
    if (rc == 0)
        rc = uv_read_start((uv_stream_t *)&p->out.pipe, on_alloc, on_read);
    if (rc == 0)
        rc = uv_read_start((uv_stream_t *)&p->err.pipe, on_alloc, on_read);
    return rc;
}

struct sl_credprocess *sl_credprocess_start(struct sl_credctx *ctx, char **argv, char *why,
                                            size_t why_size) {
    snprintf(why, why_size, "out of memory");
    struct sl_credprocess *p = sl_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->ctx = ctx;
    sl_timer_init(&p->timer, on_timeout, p);
    init_stream(p, &p->out, SL_CREDPROCESS_MAX_OUTPUT);
    init_stream(p, &p->err, STDERR_MAX);
    int rc = spawn(p, argv);
    if (rc != 0)
        snprintf(why, why_size, "%s cannot be started: %s", argv[0], uv_strerror(rc));
    else if (sl_timer_set(ctx->loop, &p->timer,
                          ctx->loop->now + SL_CREDPROCESS_TIMEOUT_MS * SL_NS_PER_MS) == SL_OK)
        return p;
    sl_credprocess_free(p);
    return NULL;
}

bool sl_credprocess_ended(const struct sl_credprocess *p) {
    return p->exited && p->out.ended && p->err.ended;
}

int sl_credprocess_result(const struct sl_credprocess *p, struct sl_slice *output, char *why,
                          size_t why_size) {
    if (p->timed_out)
        snprintf(why, why_size, "it did not end within %d s", SL_CREDPROCESS_TIMEOUT_MS / 1000);
    else if (p->too_much)
        snprintf(why, why_size, "it wrote more than 1 MiB");
    else if (p->signal)
        snprintf(why, why_size, "it was ended by signal %d", p->signal);
    else if (p->exit_status) {
        struct sl_slice said = sl_slice_trim(sl_buf_slice(&p->err.text));
        said = sl_slice_head(said, sl_slice_find(said, '\n'));
        snprintf(why, why_size, "it ended with status %lld%s%.*s", (long long)p->exit_status,
                 said.len ? ": " : "", SL_FMT(said));
    } else {
        *output = sl_buf_slice(&p->out.text);
        return SL_OK;
    }
    return SL_E_IO;
}

void sl_credprocess_free(struct sl_credprocess *p) {
    if (!p)
        return;
    sl_timer_clear(p->ctx->loop, &p->timer);
    p->ctx = NULL;
    kill_group(p);
    close_once((uv_handle_t *)&p->out.pipe);
    close_once((uv_handle_t *)&p->err.pipe);
    if (p->exited)
        close_once((uv_handle_t *)&p->handle);
}
