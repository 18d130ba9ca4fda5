/* A response as text, to be compared: its head, its body, how it ended and how much was used. */
#ifndef SLUICE_TESTS_REPLY_LOG_H
#define SLUICE_TESTS_REPLY_LOG_H

#include <stdlib.h>

#include "io/fetch_reply.h"
#include "sluice/base/mem.h"

struct reply_log {
    struct sl_buf head, body;
    size_t used;
    int rc; /* SL_REPLY_DONE, SL_REPLY_MORE if all was used and the connection stays open, an error
             */
    bool keep, stops; /* stops: an event says stop every other time */
    unsigned events;
    const char *why;
};

static inline void reply_log_must(int rc) {
    if (rc < 0)
        abort();
}

static inline bool reply_log_on_head(void *ctx, const struct sl_fetch_head *head) {
    struct reply_log *log = ctx;
    reply_log_must(
        sl_buf_printf(&log->head, "%d %lld\n", head->status, (long long)head->content_length));
    for (size_t i = 0; i < head->header_count; i++) {
        reply_log_must(sl_buf_add(&log->head, head->headers[i].name));
        reply_log_must(sl_buf_add_byte(&log->head, '='));
        reply_log_must(sl_buf_add(&log->head, head->headers[i].value));
        reply_log_must(sl_buf_add_byte(&log->head, '\n'));
    }
    return !log->stops || ++log->events % 2;
}

static inline bool reply_log_on_body(void *ctx, struct sl_slice bytes) {
    struct reply_log *log = ctx;
    reply_log_must(sl_buf_add(&log->body, bytes));
    return !log->stops || ++log->events % 2;
}

/* Feeds the text in pieces, each from memory of its own size. */
static inline void reply_log_run(struct reply_log *log, struct sl_slice text, size_t piece,
                                 bool bodiless, bool stops, bool then_eof) {
    static const struct sl_reply_events events = {reply_log_on_head, reply_log_on_body};
    struct sl_reply reply;
    *log = (struct reply_log){.rc = SL_REPLY_MORE, .stops = stops};
    sl_buf_init(&log->head, 1u << 20);
    sl_buf_init(&log->body, 1u << 20);
    sl_reply_init(&reply, &events, log);
    sl_reply_begin(&reply, bodiless);
    while (text.len > 0 && log->rc == SL_REPLY_MORE) {
        struct sl_slice part = sl_slice_head(text, piece);
        char *copy = sl_alloc(part.len);
        if (!copy)
            abort();
        memcpy(copy, part.ptr, part.len);
        size_t used, at = 0;
        do {
            log->rc = sl_reply_feed(&reply, copy + at, part.len - at, &used);
            at += log->rc < 0 ? 0 : used;
        } while (log->rc == SL_REPLY_HELD);
        sl_free(copy);
        log->used += at;
        text = sl_slice_skip(text, part.len);
    }
    if (log->rc == SL_REPLY_MORE && then_eof)
        log->rc = sl_reply_eof(&reply);
    log->keep = reply.keep;
    log->why = reply.why;
    sl_reply_done(&reply);
}

static inline void reply_log_done(struct reply_log *log) {
    sl_buf_done(&log->head);
    sl_buf_done(&log->body);
}

static inline bool reply_log_same(const struct reply_log *a, const struct reply_log *b) {
    return sl_slice_eq(sl_buf_slice(&a->head), sl_buf_slice(&b->head)) &&
           sl_slice_eq(sl_buf_slice(&a->body), sl_buf_slice(&b->body)) && a->rc == b->rc &&
           a->why == b->why && (a->rc < 0 || (a->keep == b->keep && a->used == b->used));
}

#endif
