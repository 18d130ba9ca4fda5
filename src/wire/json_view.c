/*
 * Nodes are made in document order, a container before what it holds, so links only point forward
 * and 0, the root, can stand for "none". A leaf becomes a node with its final piece; a container
 * with its opening bracket, and gets its end with the closing one. What is under way is known from
 * the token's depth alone: open[d] is the container whose values have depth d + 1, last[d] the
 * value that the next one there is linked behind.
 *
 * Texts are decoded by the tokenizer again when someone asks for them, which few do for few nodes.
 */
#include "sluice/wire/json_view.h"

#include "sluice/base/mem.h"

#define FIRST_NODES 64u

static int grow(struct sl_json_view *view) {
    if (view->count == view->max)
        return SL_E_LIMIT;
    uint32_t cap = view->cap == 0              ? FIRST_NODES
                   : view->cap > view->max / 2 ? view->max
                                               : view->cap * 2;
    if (cap > view->max)
        cap = view->max;
    struct sl_json_node *nodes = sl_realloc(view->nodes, cap * sizeof(*nodes));
    if (!nodes)
        return SL_E_NOMEM;
    view->nodes = nodes;
    view->cap = cap;
    return 0;
}

static void link_node(struct sl_json_view *view, uint32_t index, unsigned depth) {
    if (depth == 0)
        return;
    uint32_t before = view->last[depth - 1];
    if (before != 0)
        view->nodes[before].next = index;
    else
        view->nodes[view->open[depth - 1]].child = index;
    view->last[depth - 1] = index;
}

static int add_node(struct sl_json_view *view, const struct sl_json_token *token,
                    enum sl_json_type type) {
    int rc = view->count == view->cap ? grow(view) : 0;
    if (rc != 0)
        return rc;
    uint32_t index = view->count++;
    view->nodes[index] = (struct sl_json_node){
        .start = token->offset,
        .end = token->end,
        .key_start = view->key_start,
        .key_end = view->key_end,
        .type = (uint8_t)type,
    };
    view->key_start = view->key_end = 0;
    link_node(view, index, token->depth);
    if (type == SL_JSON_IS_OBJECT || type == SL_JSON_IS_ARRAY) {
        view->open[token->depth] = index;
        view->last[token->depth] = 0;
    }
    return 0;
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    static const uint8_t types[] = {
        [SL_JSON_OBJECT_BEGIN] = SL_JSON_IS_OBJECT, [SL_JSON_ARRAY_BEGIN] = SL_JSON_IS_ARRAY,
        [SL_JSON_STRING] = SL_JSON_IS_STRING,       [SL_JSON_NUMBER] = SL_JSON_IS_NUMBER,
        [SL_JSON_TRUE] = SL_JSON_IS_TRUE,           [SL_JSON_FALSE] = SL_JSON_IS_FALSE,
        [SL_JSON_NULL] = SL_JSON_IS_NULL,
    };
    struct sl_json_view *view = ctx;
    if (!token->last)
        return 0;
    switch (token->event) {
    case SL_JSON_KEY:
        view->key_start = token->offset;
        view->key_end = token->end;
        return 0;
    case SL_JSON_OBJECT_END:
    case SL_JSON_ARRAY_END:
        view->nodes[view->open[token->depth]].end = token->end;
        return 0;
    default:
        return add_node(view, token, types[token->event]);
    }
}

void sl_json_view_init(struct sl_json_view *view, uint32_t max_nodes) {
    *view = (struct sl_json_view){.max = max_nodes, .text = SL_EMPTY};
    sl_json_init(&view->tokenizer, on_token, view);
}

int sl_json_view_feed(struct sl_json_view *view, struct sl_slice bytes) {
    return sl_json_feed(&view->tokenizer, bytes);
}

int sl_json_view_finish(struct sl_json_view *view, struct sl_slice text) {
    int rc = sl_json_finish(&view->tokenizer);
    if (rc != 0)
        return rc;
    if (text.len != view->tokenizer.offset)
        return SL_E_INVALID; /* not what was fed: offsets would point anywhere */
    view->text = text;
    return 0;
}

void sl_json_view_done(struct sl_json_view *view) {
    sl_free(view->nodes);
    view->nodes = NULL;
    view->count = view->cap = 0;
}

int sl_json_view_parse(struct sl_json_view *view, struct sl_slice text, uint32_t max_nodes) {
    sl_json_view_init(view, max_nodes);
    int rc = sl_json_view_feed(view, text);
    return rc != 0 ? rc : sl_json_view_finish(view, text);
}

static struct sl_slice cut(const struct sl_json_view *view, uint64_t start, uint64_t end) {
    return sl_slice_head(sl_slice_skip(view->text, (size_t)start), (size_t)(end - start));
}

static struct sl_slice unquoted(struct sl_slice raw) {
    return raw.len < 2 ? SL_EMPTY : sl_slice_of(raw.ptr + 1, raw.len - 2);
}

static bool is_container(const struct sl_json_node *node) {
    return sl_json_is(node, SL_JSON_IS_OBJECT) || sl_json_is(node, SL_JSON_IS_ARRAY);
}

/* Decodes a string as it stands in the document, quotes included. */
static int decode(struct sl_slice raw, int (*on_piece)(void *ctx, const struct sl_json_token *),
                  void *ctx) {
    struct sl_json_tokenizer t;
    sl_json_init(&t, on_piece, ctx);
    int rc = sl_json_feed(&t, raw);
    return rc != 0 ? rc : sl_json_finish(&t);
}

static int append_piece(void *ctx, const struct sl_json_token *token) {
    return sl_buf_add(ctx, token->text);
}

/* Takes a piece off the text that the string should equal. */
static int match_piece(void *ctx, const struct sl_json_token *token) {
    struct sl_slice *rest = ctx;
    if (!sl_slice_starts(*rest, token->text))
        return SL_E_NOTFOUND;
    *rest = sl_slice_skip(*rest, token->text.len);
    return 0;
}

static bool string_eq(struct sl_slice raw, struct sl_slice text) {
    struct sl_slice inner = unquoted(raw);
    if (inner.len < text.len)
        return false; /* decoding never makes it longer */
    if (sl_slice_find(inner, '\\') == inner.len)
        return sl_slice_eq(inner, text);
    return decode(raw, match_piece, &text) == 0 && text.len == 0;
}

const struct sl_json_node *sl_json_root(const struct sl_json_view *view) {
    return view->text.len > 0 ? &view->nodes[0] : NULL; /* bound, so complete */
}

bool sl_json_is(const struct sl_json_node *node, enum sl_json_type type) {
    return node && node->type == type;
}

const struct sl_json_node *sl_json_child(const struct sl_json_view *view,
                                         const struct sl_json_node *node) {
    return is_container(node) && node->child != 0 ? &view->nodes[node->child] : NULL;
}

const struct sl_json_node *sl_json_next(const struct sl_json_view *view,
                                        const struct sl_json_node *node) {
    return node && node->next != 0 ? &view->nodes[node->next] : NULL;
}

const struct sl_json_node *sl_json_get(const struct sl_json_view *view,
                                       const struct sl_json_node *object, const char *key) {
    const struct sl_json_node *found = NULL;
    if (!sl_json_is(object, SL_JSON_IS_OBJECT))
        return NULL;
    struct sl_slice name = sl_slice_str(key);
    for (const struct sl_json_node *n = sl_json_child(view, object); n; n = sl_json_next(view, n))
        if (string_eq(sl_json_key_raw(view, n), name))
            found = n;
    return found;
}

struct sl_slice sl_json_raw(const struct sl_json_view *view, const struct sl_json_node *node) {
    return node ? cut(view, node->start, node->end) : SL_EMPTY;
}

struct sl_slice sl_json_key_raw(const struct sl_json_view *view, const struct sl_json_node *node) {
    return node && node->key_end != 0 ? cut(view, node->key_start, node->key_end) : SL_EMPTY;
}

struct sl_slice sl_json_inner(const struct sl_json_view *view, const struct sl_json_node *node) {
    return sl_json_is(node, SL_JSON_IS_STRING) ? unquoted(sl_json_raw(view, node)) : SL_EMPTY;
}

int sl_json_text(const struct sl_json_view *view, const struct sl_json_node *node,
                 struct sl_buf *out) {
    if (!sl_json_is(node, SL_JSON_IS_STRING))
        return SL_E_INVALID;
    struct sl_slice inner = sl_json_inner(view, node);
    if (sl_slice_find(inner, '\\') == inner.len)
        return sl_buf_add(out, inner);
    size_t before = out->len;
    int rc = decode(sl_json_raw(view, node), append_piece, out);
    if (rc != 0)
        out->len = before;
    return rc;
}

bool sl_json_eq(const struct sl_json_view *view, const struct sl_json_node *node,
                const char *text) {
    return sl_json_is(node, SL_JSON_IS_STRING) &&
           string_eq(sl_json_raw(view, node), sl_slice_str(text));
}

bool sl_json_int(const struct sl_json_view *view, const struct sl_json_node *node, int64_t *out) {
    if (!sl_json_is(node, SL_JSON_IS_NUMBER))
        return false;
    struct sl_slice raw = sl_json_raw(view, node);
    bool negative = raw.ptr[0] == '-';
    uint64_t value;
    if (!sl_slice_u64(sl_slice_skip(raw, negative ? 1 : 0), &value) ||
        value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}
