/*
 * A kept answer is one block, so that its size is one number, its memory comes back in one piece,
 * and a hit touches neighbouring lines:
 *
 *   | struct sl_kept | header items | pace | names, values, model | body |
 *
 * All slices of the head and the meta point into it.
 */
#include "sluice/answer/kept.h"

#include <assert.h>

#include "sluice/base/mem.h"

/* What belongs to one delivery, not to the answer: ids, times and the path it took; and what
 * upstream may have meant for one client alone. */
static bool is_of_one_delivery(const struct sl_headers *all, struct sl_slice name) {
    static const struct sl_slice names[] = {
        {"date", 4},
        {"age", 3},
        {"via", 3},
        {"set-cookie", 10},
        {"content-length", 14}, /* the head has it as a number */
        {"x-amzn-requestid", 16},
        {"x-amzn-request-id", 17},
        {"x-amz-request-id", 16},
        {"x-amz-id-2", 10},
        {"x-amzn-trace-id", 15},
        {"x-amzn-bedrock-invocation-latency", 33},
        {"x-cache", 7},
    };
    const struct sl_slice cloudfront = SL_LIT("x-amz-cf-");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sl_slice_ieq(name, names[i]))
            return true;
    return sl_slice_ieq(sl_slice_head(name, cloudfront.len), cloudfront) ||
           sl_header_is_hop_by_hop(all, name);
}

struct plan {
    size_t headers, strings, size;
};

static struct plan plan_of(const struct sl_response_head *head, const struct sl_kept_meta *meta,
                           size_t body) {
    struct plan plan = {.strings = meta->model.len};
    for (size_t i = 0; i < head->headers.count; i++) {
        const struct sl_header *h = &head->headers.items[i];
        if (is_of_one_delivery(&head->headers, h->name))
            continue;
        plan.headers++;
        plan.strings += h->name.len + h->value.len;
    }
    plan.size = sizeof(struct sl_kept) + plan.headers * sizeof(struct sl_header) +
                meta->pace_count * sizeof(struct sl_pace) + plan.strings + body;
    return plan;
}

/* Copies to *at, which moves on. */
static struct sl_slice place(char **at, struct sl_slice s) {
    struct sl_slice copy = sl_slice_of(*at, s.len);
    if (s.len > 0)
        memcpy(*at, s.ptr, s.len);
    *at += s.len;
    return copy;
}

static void place_headers(struct sl_headers *to, char **at, const struct sl_headers *from) {
    for (size_t i = 0; i < from->count; i++) {
        const struct sl_header *h = &from->items[i];
        if (is_of_one_delivery(from, h->name))
            continue;
        struct sl_header *item = &to->items[to->count++];
        item->name = place(at, h->name);
        item->value = place(at, h->value);
    }
}

/* The block with all but the body, whose place is *body. */
static struct sl_kept *build(const struct sl_response_head *head, const struct sl_kept_meta *meta,
                             size_t body_len, char **body) {
    struct plan plan = plan_of(head, meta, body_len);
    struct sl_kept *kept = sl_alloc(plan.size);
    if (!kept)
        return NULL;
    struct sl_header *items = (struct sl_header *)(kept + 1);
    struct sl_pace *pace = (struct sl_pace *)(items + plan.headers);
    char *at = (char *)(pace + meta->pace_count);
    *kept = (struct sl_kept){.meta = *meta, .refs = 1, .size = sl_usable_size(kept)};
    sl_list_init(&kept->link);
    sl_list_init(&kept->age);
    struct sl_response_head copy = {
        .status = head->status,
        .headers = {.items = items, .cap = plan.headers},
        .content_length = head->content_length,
    };
    place_headers(&copy.headers, &at, &head->headers);
    kept->meta.model = place(&at, meta->model);
    kept->meta.pace = pace;
    if (meta->pace_count > 0)
        memcpy(pace, meta->pace, meta->pace_count * sizeof(*pace));
    sl_answer_init_packed(&kept->answer, &copy, sl_slice_of(at, body_len));
    *body = at;
    return kept;
}

struct sl_kept *sl_kept_new(const struct sl_answer *answer, const struct sl_kept_meta *meta) {
    assert(answer->state == SL_ANSWER_DONE && answer->body.begin == 0);
    if (answer->packed.ptr)
        return sl_kept_from(&answer->head, answer->packed, meta);
    char *body;
    struct sl_kept *kept = build(&answer->head, meta, (size_t)answer->body.end, &body);
    if (!kept)
        return NULL;
    for (const struct sl_chunk *chunk = answer->body.first; chunk; chunk = chunk->next)
        place(&body, sl_slice_of(chunk->bytes, chunk->len));
    return kept;
}

struct sl_kept *sl_kept_from(const struct sl_response_head *head, struct sl_slice body,
                             const struct sl_kept_meta *meta) {
    char *at;
    struct sl_kept *kept = build(head, meta, body.len, &at);
    if (kept)
        place(&at, body);
    return kept;
}

void sl_kept_hold(struct sl_kept *kept) {
    assert(kept->refs > 0);
    kept->refs++;
}

void sl_kept_release(struct sl_kept *kept) {
    if (!kept)
        return;
    assert(kept->refs > 0);
    if (--kept->refs > 0)
        return;
    assert(!kept->indexed);
    sl_answer_done(&kept->answer);
    sl_free(kept);
}
