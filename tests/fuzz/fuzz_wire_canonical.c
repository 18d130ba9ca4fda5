/*
 * The canonical digest: however the document is cut, the same verdict and digest; written down
 * again with members in reverse order, spaces and every character escaped, the same digest; with
 * one value more around it, another. The first byte sets the size of the pieces.
 */
#include <stdlib.h>

#include "sluice/wire/canonical.h"
#include "sluice/wire/json_view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NODES_MAX 10000
#define TEXT_MAX  ((size_t)64 << 20)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static int on_token(void *ctx, const struct sl_json_token *token) {
    return sl_canonical_token(ctx, token);
}

static int digest_of(struct sl_slice in, size_t piece, uint8_t digest[32]) {
    struct sl_canonical *c = sl_canonical_new();
    struct sl_json_tokenizer t;
    int rc = 0;
    REQUIRE(c);
    sl_json_init(&t, on_token, c);
    while (rc == 0 && in.len > 0) {
        rc = sl_json_feed(&t, sl_slice_head(in, piece));
        in = sl_slice_skip(in, piece);
    }
    if (rc == 0)
        rc = sl_json_finish(&t);
    if (rc == 0)
        rc = sl_canonical_finish(c, NULL, 0, digest);
    sl_canonical_free(c);
    return rc;
}

/* "\u0061": decoded text as UTF-16 units. */
static int put_escaped(void *ctx, const struct sl_json_token *token) {
    struct sl_buf *out = ctx;
    const uint8_t *p = (const uint8_t *)token->text.ptr, *end = p + token->text.len;
    while (p < end) {
        unsigned more = *p < 0x80 ? 0 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;
        if ((size_t)(end - p) <= more) /* a character that the tokenizer has cut goes as it is */
            return sl_buf_add(out, sl_slice_of(p, (size_t)(end - p)));
        uint32_t cp = more == 0 ? *p : *p & (0x3fu >> more);
        p++;
        for (; more > 0; more--)
            cp = cp << 6 | (*p++ & 0x3fu);
        int rc = cp < 0x10000
                     ? sl_buf_printf(out, "\\u%04x", cp)
                     : sl_buf_printf(out, "\\u%04x\\u%04X", 0xd800 + ((cp - 0x10000) >> 10),
                                     0xdc00 + ((cp - 0x10000) & 0x3ff));
        if (rc != 0)
            return rc;
    }
    return 0;
}

static void put(struct sl_buf *out, const char *s) {
    REQUIRE(sl_buf_add_str(out, s) == 0);
}

static void put_string(struct sl_buf *out, struct sl_slice raw) {
    struct sl_json_tokenizer t;
    put(out, " \"");
    sl_json_init(&t, put_escaped, out);
    REQUIRE(sl_json_feed(&t, raw) == 0 && sl_json_finish(&t) == 0);
    put(out, "\"\n");
}

static void rewrite(struct sl_buf *out, const struct sl_json_view *view,
                    const struct sl_json_node *node);

/* Members back to front. */
static void put_members(struct sl_buf *out, const struct sl_json_view *view,
                        const struct sl_json_node *member) {
    const struct sl_json_node *next = sl_json_next(view, member);
    if (next) {
        put_members(out, view, next);
        put(out, ",");
    }
    put_string(out, sl_json_key_raw(view, member));
    put(out, ":");
    rewrite(out, view, member);
}

static void rewrite(struct sl_buf *out, const struct sl_json_view *view,
                    const struct sl_json_node *node) {
    const struct sl_json_node *child = sl_json_child(view, node);
    if (sl_json_is(node, SL_JSON_IS_OBJECT)) {
        put(out, "{");
        if (child)
            put_members(out, view, child);
        put(out, "}");
    } else if (sl_json_is(node, SL_JSON_IS_ARRAY)) {
        put(out, "[\t");
        for (; child; child = sl_json_next(view, child)) {
            rewrite(out, view, child);
            put(out, sl_json_next(view, child) ? "," : "");
        }
        put(out, "\r]");
    } else if (sl_json_is(node, SL_JSON_IS_STRING)) {
        put_string(out, sl_json_raw(view, node));
    } else {
        REQUIRE(sl_buf_add(out, sl_json_raw(view, node)) == 0);
    }
}

/* The same means the same, and in an array it is another thing. */
static void compare_with_rewritten(struct sl_slice in, const uint8_t digest[32]) {
    uint8_t other[32];
    struct sl_json_view view;
    struct sl_buf again;
    sl_buf_init(&again, TEXT_MAX);
    if (sl_json_view_parse(&view, in, NODES_MAX) == 0) {
        put(&again, "[");
        rewrite(&again, &view, sl_json_root(&view));
        struct sl_slice bare = sl_slice_skip(sl_buf_slice(&again), 1);
        REQUIRE(digest_of(bare, bare.len, other) == 0);
        REQUIRE(memcmp(digest, other, 32) == 0);
        put(&again, "]");
        int rc = digest_of(sl_buf_slice(&again), again.len, other);
        REQUIRE(rc != 0 || memcmp(digest, other, 32) != 0); /* it may be too deep now */
    }
    sl_buf_done(&again);
    sl_json_view_done(&view);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t whole[32], other[32];
    if (size == 0)
        return 0;
    struct sl_slice in = sl_slice_of(data + 1, size - 1);
    int rc = digest_of(in, in.len, whole);
    REQUIRE(digest_of(in, data[0] % 32 + 1u, other) == rc);
    REQUIRE(rc != 0 || memcmp(whole, other, 32) == 0);
    if (rc == 0)
        compare_with_rewritten(in, whole);
    return 0;
}
