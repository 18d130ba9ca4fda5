/*
 * What is left of requests whose answers are complete. Each is bounded in bytes and in time, the
 * same for all, so that the oldest is due first and one timer serves them. Only the windows of what
 * came within the bound are opened again.
 */
#include "front/h2.h"

#include "sluice/base/mem.h"

static struct h2_rest *rest_of(struct sl_list *node) {
    return SL_CONTAINER(node, struct h2_rest, link);
}

static struct h2_rest *find(struct h2 *h, int32_t id) {
    SL_LIST_EACH(&h->rests, node, next) {
        struct h2_rest *rest = rest_of(node);
        if (rest->id == id)
            return rest;
    }
    return NULL;
}

static void drop(struct h2_rest *rest) {
    sl_list_remove(&rest->link);
    sl_free(rest);
}

static void reset(struct h2 *h, int32_t id) {
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR) != 0)
        h2_fail(h);
    sl_front_conn_mark(h->c);
}

/* For the oldest. Without a timer nothing may stay. */
static void set_timer(struct h2 *h) {
    struct sl_list *first = sl_list_first(&h->rests);
    if (first && sl_timer_set(h->c->loop, &h->rest_timer, rest_of(first)->until) < 0)
        h2_fail(h);
}

static void on_timer(void *ctx) {
    struct h2 *h = ctx;
    struct sl_list *first;
    while (h->c->state == SL_FRONT_OPEN && (first = sl_list_first(&h->rests)) &&
           rest_of(first)->until <= h->c->loop->now) {
        reset(h, rest_of(first)->id);
        drop(rest_of(first));
    }
    if (h->c->state == SL_FRONT_OPEN)
        set_timer(h);
}

void h2_rests_init(struct h2 *h) {
    sl_list_init(&h->rests);
    sl_timer_init(&h->rest_timer, on_timer, h);
}

void h2_rests_done(struct h2 *h) {
    struct sl_list *first;
    while ((first = sl_list_first(&h->rests)))
        drop(rest_of(first));
    sl_timer_clear(h->c->loop, &h->rest_timer);
}

void h2_rest_begin(struct h2 *h, int32_t id, int64_t left) {
    struct h2_rest *rest = left <= H2_REST_BYTES ? sl_alloc(sizeof(*rest)) : NULL;
    if (!rest) {
        reset(h, id);
        return;
    }
    *rest = (struct h2_rest){
        .id = id,
        .until = h->c->loop->now + H2_REST_MS * SL_NS_PER_MS,
        .left = H2_REST_BYTES,
    };
    sl_list_init(&rest->link);
    bool first = sl_list_empty(&h->rests);
    sl_list_push_back(&h->rests, &rest->link);
    if (first)
        set_timer(h);
}

void h2_rest_data(struct h2 *h, int32_t id, size_t len) {
    struct h2_rest *rest = find(h, id);
    if (!rest)
        return;
    if (len <= rest->left) {
        rest->left -= len;
        return;
    }
    reset(h, id);
    drop(rest);
}

void h2_rest_end(struct h2 *h, int32_t id) {
    struct h2_rest *rest = find(h, id);
    if (rest)
        drop(rest);
}
