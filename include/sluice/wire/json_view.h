/*
 * An index of a JSON document for those who reshape it: nodes with the offsets of their bytes,
 * built as the bytes arrive, so that parts are taken over verbatim (large integers, U+0000, escapes
 * and all). The document itself stays with the caller, as one slice, once it is complete.
 */
#ifndef SLUICE_WIRE_JSON_VIEW_H
#define SLUICE_WIRE_JSON_VIEW_H

#include "sluice/wire/json.h"

enum sl_json_type {
    SL_JSON_IS_OBJECT,
    SL_JSON_IS_ARRAY,
    SL_JSON_IS_STRING,
    SL_JSON_IS_NUMBER,
    SL_JSON_IS_TRUE,
    SL_JSON_IS_FALSE,
    SL_JSON_IS_NULL,
};

struct sl_json_node {
    uint64_t start, end; /* the value's bytes, quotes included */
    uint64_t key_start,
        key_end;    /* of a member's key with its quotes; both 0 in arrays and at the root */
    uint32_t next;  /* sibling; 0: none (node 0 is the root) */
    uint32_t child; /* first; 0: none */
    uint8_t type;
};

struct sl_json_view {
    struct sl_json_tokenizer tokenizer;
    struct sl_json_node *nodes;
    uint32_t count, cap, max;
    uint32_t open[SL_JSON_MAX_DEPTH], last[SL_JSON_MAX_DEPTH]; /* containers and their last child */
    uint64_t key_start, key_end; /* of the member whose value comes next */
    struct sl_slice text;        /* bound */
};

/* At most max_nodes values. Nothing allocated yet. The view stays in its place until _finish. */
void sl_json_view_init(struct sl_json_view *view, uint32_t max_nodes);
/* SL_E_INVALID (not JSON), SL_E_LIMIT (too many values), SL_E_NOMEM; sticky. */
SL_NODISCARD int sl_json_view_feed(struct sl_json_view *view, struct sl_slice bytes);
/* Complete. `text` is the whole document; it must outlive the view's use. */
SL_NODISCARD int sl_json_view_finish(struct sl_json_view *view, struct sl_slice text);
void sl_json_view_done(struct sl_json_view *view);
/* A document at hand: init, feed, finish. */
SL_NODISCARD int sl_json_view_parse(struct sl_json_view *view, struct sl_slice text,
                                    uint32_t max_nodes);

/* Nodes are named by pointer; NULL is "absent" and is accepted everywhere. */
const struct sl_json_node *sl_json_root(const struct sl_json_view *view); /* NULL before _finish */
/* Member of that name (last one wins), compared decoded; NULL if absent or not an object. */
const struct sl_json_node *sl_json_get(const struct sl_json_view *view,
                                       const struct sl_json_node *object, const char *key);
const struct sl_json_node *sl_json_child(const struct sl_json_view *view,
                                         const struct sl_json_node *node); /* first */
const struct sl_json_node *sl_json_next(const struct sl_json_view *view,
                                        const struct sl_json_node *node);
bool sl_json_is(const struct sl_json_node *node, enum sl_json_type type);
/* The value's bytes as they stand; empty when absent. */
struct sl_slice sl_json_raw(const struct sl_json_view *view, const struct sl_json_node *node);
/* The member's key, as it stands, with quotes. */
struct sl_slice sl_json_key_raw(const struct sl_json_view *view, const struct sl_json_node *node);
/* Appends the decoded string. SL_E_INVALID when the node is no string. */
SL_NODISCARD int sl_json_text(const struct sl_json_view *view, const struct sl_json_node *node,
                              struct sl_buf *out);
/* Whether a string node's decoded text equals `text`. */
bool sl_json_eq(const struct sl_json_view *view, const struct sl_json_node *node, const char *text);
/* An integer in range; false for anything else. */
bool sl_json_int(const struct sl_json_view *view, const struct sl_json_node *node, int64_t *out);
/* Appends a string's content (without quotes, escapes as they stand): for joining strings verbatim.
 */
struct sl_slice sl_json_inner(const struct sl_json_view *view, const struct sl_json_node *node);

#endif
