/*
 * A descriptor watched through libuv, for as long as it lives: a connection that waits for its next
 * request costs no system call, nor does one that is taken up again.
 *
 * Wanting less than is watched is only noted, and acted upon when an event comes that is not
 * wanted; wanting more starts at once.
 */
#ifndef SLUICE_SRC_IO_FETCH_POLL_H
#define SLUICE_SRC_IO_FETCH_POLL_H

#include <uv.h>

#include "sluice/base/error.h"

struct sl_poll;
/* events: UV_READABLE | UV_WRITABLE. A broken descriptor is told as ready for all that is wanted:
 * reading finds what had come before, then the error. */
typedef void (*sl_poll_ready)(void *ctx, int fd, int events);

/* NULL when out of memory. */
SL_NODISCARD struct sl_poll *sl_poll_open(uv_loop_t *uv, int fd, sl_poll_ready on_ready, void *ctx);
void sl_poll_want(struct sl_poll *poll, int events);
int sl_poll_wanted(const struct sl_poll *poll);
/* Before the descriptor is closed; nothing is fired from here on. NULL is fine. */
void sl_poll_close(struct sl_poll *poll);

#endif
