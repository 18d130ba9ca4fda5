/*
 * The view of a JSON document: however the document is cut, the same nodes; every node lies in its
 * parent and behind its elder sibling, and is reached once; texts decode to what they say. The
 * first byte sets the size of the pieces.
 */
#include <stdlib.h>

#include "sluice/wire/json_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NODES_MAX 1000
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static int build(struct sl_json_view *view, struct sl_slice in, size_t piece) {
    struct sl_slice rest = in;
    int rc = 0;
    sl_json_view_init(view, NODES_MAX);
    while (rc == 0 && rest.len > 0) {
        rc = sl_json_view_feed(view, sl_slice_head(rest, piece));
        rest = sl_slice_skip(rest, piece);
    }
    return rc != 0 ? rc : sl_json_view_finish(view, in);
}

static void require_same(const struct sl_json_view *a, const struct sl_json_view *b) {
    REQUIRE(a->count == b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        const struct sl_json_node *x = &a->nodes[i], *y = &b->nodes[i];
        REQUIRE(x->start == y->start && x->end == y->end && x->type == y->type);
        REQUIRE(x->key_start == y->key_start && x->key_end == y->key_end);
        REQUIRE(x->next == y->next && x->child == y->child);
    }
}

/* A text, escaped and read again, is the same text. */
static void require_text(const struct sl_json_view *view, const struct sl_json_node *node) {
    struct sl_json_view other;
    struct sl_buf text, json, again;
    size_t max = 8 * (sl_json_raw(view, node).len + 1);
    sl_buf_init(&text, max);
    sl_buf_init(&json, max);
    sl_buf_init(&again, max);
    REQUIRE(sl_json_text(view, node, &text) == 0);
    REQUIRE(sl_buf_terminate(&text) == 0);
    bool has_nul = sl_slice_find(sl_buf_slice(&text), '\0') < text.len;
    REQUIRE(sl_json_eq(view, node, text.ptr) == !has_nul);
    REQUIRE(sl_buf_add_json(&json, sl_buf_slice(&text)) == 0);
    REQUIRE(sl_json_view_parse(&other, sl_buf_slice(&json), 1) == 0);
    REQUIRE(sl_json_text(&other, sl_json_root(&other), &again) == 0);
    REQUIRE(sl_slice_eq(sl_buf_slice(&text), sl_buf_slice(&again)));
    sl_json_view_done(&other);
    sl_buf_done(&text);
    sl_buf_done(&json);
    sl_buf_done(&again);
}

/* Returns how many nodes there are below and including this one. */
static uint32_t require_sound(const struct sl_json_view *view, const struct sl_json_node *node) {
    uint32_t count = 1;
    uint64_t at = node->start + 1;
    bool object = sl_json_is(node, SL_JSON_IS_OBJECT);
    int64_t value;
    REQUIRE(node->start < node->end && node->end <= view->text.len);
    if (sl_json_is(node, SL_JSON_IS_STRING))
        require_text(view, node);
    if (sl_json_int(view, node, &value))
        REQUIRE(sl_json_is(node, SL_JSON_IS_NUMBER));
    const struct sl_json_node *child = sl_json_child(view, node);
    for (; child; child = sl_json_next(view, child)) {
        REQUIRE((child->key_end != 0) == object);
        REQUIRE(child->start >= at && child->end < node->end);
        if (object) {
            REQUIRE(child->key_start >= at && child->key_end < child->start);
            REQUIRE(sl_json_key_raw(view, child).ptr[0] == '"');
        }
        at = child->end;
        count += require_sound(view, child);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_json_view whole, cut;
    if (size == 0)
        return 0;
    struct sl_slice in = sl_slice_of(data + 1, size - 1);
    int rc = build(&whole, in, in.len);
    REQUIRE(build(&cut, in, data[0] % 32 + 1u) == rc);
    REQUIRE((sl_json_root(&whole) != NULL) == (rc == 0));
    if (rc == 0) {
        require_same(&whole, &cut);
        REQUIRE(require_sound(&whole, sl_json_root(&whole)) == whole.count);
        (void)sl_json_get(&whole, sl_json_root(&whole), "a");
    }
    sl_json_view_done(&whole);
    sl_json_view_done(&cut);
    return 0;
}
