/*
 * The canonical digest. Documents are made at random as trees, together with a plain spelling that
 * the test believes in: members sorted, everything escaped. Two documents must have the same digest
 * if and only if their plain spellings are the same, however they are written down and fed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/wire/canonical.h"

/* Repeatable, so that a failure is. */
static uint64_t seed = 1;

static uint32_t draw(uint32_t below) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % below);
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    return sl_canonical_token(ctx, token);
}

/* Feeds pieces of at most `piece` bytes, or of any size when it is 0. */
static int digest_in(struct sl_slice doc, size_t piece, const struct sl_slice *without,
                     size_t count, uint8_t digest[32]) {
    struct sl_canonical *c = sl_canonical_new();
    struct sl_json_tokenizer t;
    int rc = 0;
    if (!c)
        return SL_E_NOMEM;
    sl_json_init(&t, on_token, c);
    while (rc == 0 && doc.len > 0) {
        size_t n = piece ? piece : draw(40) + 1;
        rc = sl_json_feed(&t, sl_slice_head(doc, n));
        doc = sl_slice_skip(doc, n);
    }
    if (rc == 0)
        rc = sl_json_finish(&t);
    if (rc == 0)
        rc = sl_canonical_finish(c, without, count, digest);
    sl_canonical_free(c);
    return rc;
}

static int digest_of(struct sl_slice doc, uint8_t digest[32]) {
    uint8_t again[32];
    int rc = digest_in(doc, SIZE_MAX, NULL, 0, digest);
    assert_int_equal(digest_in(doc, 1, NULL, 0, again), rc);
    if (rc == 0)
        assert_memory_equal(digest, again, 32);
    return rc;
}

static bool same(const char *a, const char *b) {
    uint8_t left[32], right[32];
    assert_int_equal(digest_of(sl_slice_str(a), left), 0);
    assert_int_equal(digest_of(sl_slice_str(b), right), 0);
    return memcmp(left, right, 32) == 0;
}

/* A tree: values are rows of an array, children are linked. */
enum type { OBJECT, ARRAY, STRING, NUMBER, TRUE, FALSE, NIL, TYPES };

#define NODES_MAX 400
#define TEXT_MAX  60

struct text {
    uint32_t points[TEXT_MAX]; /* code points */
    size_t len;
};

struct node {
    enum type type;
    struct text key, text;
    int child, next; /* -1: none */
};

struct tree {
    struct node nodes[NODES_MAX];
    int count;
};

static const char *const numbers[] = {"0", "-0", "1", "1.0", "1e0", "10", "12345678901234567890"};

static struct text random_text(void) {
    static const uint32_t some[] = {0,   'a', 'b', '"',    '\\',   '/',     '\n',   0x1f,
                                    ',', '{', ']', 0x00e9, 0x4e2d, 0x1f600, 0xffff, 0x10ffff};
    struct text text = {.len = draw(4)};
    if (draw(10) == 0)
        text.len = draw(TEXT_MAX);
    for (size_t i = 0; i < text.len; i++)
        text.points[i] = some[draw(sizeof(some) / sizeof(some[0]))];
    return text;
}

static bool text_eq(const struct text *a, const struct text *b) {
    return a->len == b->len && memcmp(a->points, b->points, a->len * sizeof(a->points[0])) == 0;
}

static bool has_key(const struct tree *tree, int object, const struct text *key) {
    for (int n = tree->nodes[object].child; n >= 0; n = tree->nodes[n].next)
        if (text_eq(&tree->nodes[n].key, key))
            return true;
    return false;
}

static int grow(struct tree *tree, unsigned depth);

static void add_children(struct tree *tree, int parent, unsigned depth) {
    int *link = &tree->nodes[parent].child;
    for (uint32_t left = draw(6); left > 0; left--) {
        struct text key = random_text();
        if (tree->nodes[parent].type == OBJECT && has_key(tree, parent, &key))
            continue;
        int n = grow(tree, depth + 1);
        if (n < 0)
            return;
        tree->nodes[n].key = key;
        *link = n;
        link = &tree->nodes[n].next;
    }
}

static int grow(struct tree *tree, unsigned depth) {
    if (tree->count == NODES_MAX)
        return -1;
    int n = tree->count++;
    enum type type = (enum type)(depth > 4 ? STRING + draw(5) : draw(TYPES));
    tree->nodes[n] = (struct node){.type = type, .child = -1, .next = -1, .text = random_text()};
    if (type == NUMBER)
        tree->nodes[n].text = (struct text){{draw(sizeof(numbers) / sizeof(numbers[0]))}, 1};
    if (type <= ARRAY)
        add_children(tree, n, depth);
    return n;
}

/* Writing. Plain: one spelling. Else any of those that mean the same. */
static void put(struct sl_buf *out, const char *s) {
    assert_int_equal(sl_buf_add_str(out, s), 0);
}

static void put_space(struct sl_buf *out, bool plain) {
    static const char *const spaces[] = {" ", "\n", "\t", "\r\n", ""};
    for (uint32_t n = plain ? 0 : draw(3); n > 0; n--)
        put(out, spaces[draw(5)]);
}

static void put_unicode(struct sl_buf *out, uint32_t unit, bool plain) {
    const char *format = !plain && draw(2) ? "\\u%04X" : "\\u%04x";
    char text[8];
    (void)snprintf(text, sizeof(text), format, unit & 0xffff);
    put(out, text);
}

static void put_utf8(struct sl_buf *out, uint32_t cp) {
    char text[5] = {0};
    if (cp < 0x80) {
        text[0] = (char)cp;
    } else if (cp < 0x800) {
        text[0] = (char)(uint8_t)(0xc0 | cp >> 6);
        text[1] = (char)(uint8_t)(0x80 | (cp & 0x3f));
    } else if (cp < 0x10000) {
        text[0] = (char)(uint8_t)(0xe0 | cp >> 12);
        text[1] = (char)(uint8_t)(0x80 | (cp >> 6 & 0x3f));
        text[2] = (char)(uint8_t)(0x80 | (cp & 0x3f));
    } else {
        text[0] = (char)(uint8_t)(0xf0 | cp >> 18);
        text[1] = (char)(uint8_t)(0x80 | (cp >> 12 & 0x3f));
        text[2] = (char)(uint8_t)(0x80 | (cp >> 6 & 0x3f));
        text[3] = (char)(uint8_t)(0x80 | (cp & 0x3f));
    }
    put(out, text);
}

static void put_point(struct sl_buf *out, uint32_t cp, bool plain) {
    uint32_t way = plain ? 0 : draw(3);
    bool must_escape = cp < 0x20 || cp == '"' || cp == '\\';
    if (way == 1 && !must_escape) {
        put_utf8(out, cp);
    } else if (way == 2 && (cp == '"' || cp == '\\' || cp == '/')) {
        put(out, cp == '"' ? "\\\"" : cp == '/' ? "\\/" : "\\\\");
    } else if (way == 2 && cp == '\n') {
        put(out, "\\n");
    } else if (cp >= 0x10000) {
        put_unicode(out, 0xd800 + ((cp - 0x10000) >> 10), plain);
        put_unicode(out, 0xdc00 + ((cp - 0x10000) & 0x3ff), plain);
    } else {
        put_unicode(out, cp, plain);
    }
}

static void put_text(struct sl_buf *out, const struct text *text, bool plain) {
    put(out, "\"");
    for (size_t i = 0; i < text->len; i++)
        put_point(out, text->points[i], plain);
    put(out, "\"");
}

static const struct tree *sorted_tree;

static int by_key(const void *a, const void *b) {
    const struct text *left = &sorted_tree->nodes[*(const int *)a].key;
    const struct text *right = &sorted_tree->nodes[*(const int *)b].key;
    for (size_t i = 0; i < left->len && i < right->len; i++)
        if (left->points[i] != right->points[i])
            return left->points[i] < right->points[i] ? -1 : 1;
    return (left->len > right->len) - (left->len < right->len);
}

static void write_node(struct sl_buf *out, const struct tree *tree, int n, bool plain);

static void write_children(struct sl_buf *out, const struct tree *tree, int parent, bool plain) {
    bool object = tree->nodes[parent].type == OBJECT;
    int children[8];
    size_t count = 0;
    for (int n = tree->nodes[parent].child; n >= 0; n = tree->nodes[n].next)
        children[count++] = n;
    sorted_tree = tree;
    if (object && plain)
        qsort(children, count, sizeof(children[0]), by_key);
    for (size_t i = count; object && !plain && i > 1; i--) {
        size_t j = draw((uint32_t)i);
        int turn = children[i - 1];
        children[i - 1] = children[j];
        children[j] = turn;
    }
    for (size_t i = 0; i < count; i++) {
        put(out, i ? "," : "");
        put_space(out, plain);
        if (object) {
            put_text(out, &tree->nodes[children[i]].key, plain);
            put_space(out, plain);
            put(out, ":");
        }
        write_node(out, tree, children[i], plain);
    }
}

static void write_node(struct sl_buf *out, const struct tree *tree, int n, bool plain) {
    const struct node *node = &tree->nodes[n];
    put_space(out, plain);
    switch (node->type) {
    case OBJECT:
    case ARRAY:
        put(out, node->type == OBJECT ? "{" : "[");
        write_children(out, tree, n, plain);
        put(out, node->type == OBJECT ? "}" : "]");
        break;
    case STRING:
        put_text(out, &node->text, plain);
        break;
    case NUMBER:
        put(out, numbers[node->text.points[0]]);
        break;
    default:
        put(out, node->type == TRUE ? "true" : node->type == FALSE ? "false" : "null");
        break;
    }
    put_space(out, plain);
}

/* One small change somewhere; it may turn out to be none. */
static void mutate(struct tree *tree) {
    int n = (int)draw((uint32_t)tree->count);
    struct node *node = &tree->nodes[n];
    int next = node->next, child = node->child;
    switch (draw(7)) {
    case 0: /* another text */
        node->text = node->type == NUMBER ? (struct text){{draw(7)}, 1} : random_text();
        break;
    case 1: /* another key, if it is free; keys of elements do not show */
        node->key = random_text();
        break;
    case 2: /* another type */
        node->type = (enum type)draw(TYPES);
        if (node->type == NUMBER)
            node->text = (struct text){{draw(7)}, 1};
        break;
    case 3: /* without the first child */
        if (child >= 0)
            node->child = tree->nodes[child].next;
        break;
    case 4: /* the first two children in another order */
        if (child >= 0 && tree->nodes[child].next >= 0) {
            int second = tree->nodes[child].next;
            tree->nodes[child].next = tree->nodes[second].next;
            tree->nodes[second].next = child;
            node->child = second;
        }
        break;
    case 5: /* the next sibling becomes the last child */
        if (node->type <= ARRAY && next >= 0) {
            int *link = &node->child;
            while (*link >= 0)
                link = &tree->nodes[*link].next;
            node->next = tree->nodes[next].next;
            tree->nodes[next].next = -1;
            *link = next;
        }
        break;
    default: /* a character moves over to the next text */
        if (next >= 0 && node->type == STRING && tree->nodes[next].type == STRING &&
            node->text.len > 0 && tree->nodes[next].text.len < TEXT_MAX) {
            struct text *to = &tree->nodes[next].text;
            memmove(to->points + 1, to->points, to->len++ * sizeof(to->points[0]));
            to->points[0] = node->text.points[--node->text.len];
        }
        break;
    }
}

/* Mutation may have made keys repeat or objects too wide; such trees are not documents. */
static bool is_document(const struct tree *tree, int n) {
    size_t width = 0;
    for (int c = tree->nodes[n].child; c >= 0; c = tree->nodes[c].next) {
        if (tree->nodes[n].type > ARRAY)
            return true;
        for (int d = tree->nodes[c].next; d >= 0; d = tree->nodes[d].next)
            if (tree->nodes[n].type == OBJECT && text_eq(&tree->nodes[c].key, &tree->nodes[d].key))
                return false;
        if (++width > 8 || !is_document(tree, c))
            return false;
    }
    return true;
}

static void write_tree(struct sl_buf *out, const struct tree *tree, bool plain) {
    sl_buf_clear(out);
    write_node(out, tree, 0, plain);
}

static void expect_digest(struct sl_buf *doc, const uint8_t expected[32], bool equal) {
    uint8_t digest[32];
    assert_int_equal(digest_in(sl_buf_slice(doc), 0, NULL, 0, digest), 0);
    if ((memcmp(digest, expected, 32) == 0) != equal)
        fail_msg("should be %s: %.*s", equal ? "equal" : "different", SL_FMT(sl_buf_slice(doc)));
}

static void only_what_means_the_same_is_equal(void **state) {
    static struct tree tree, other;
    struct sl_buf plain, doc, changed;
    uint8_t digest[32];
    unsigned differing = 0;
    (void)state;
    sl_buf_init(&plain, 1 << 20);
    sl_buf_init(&doc, 1 << 20);
    sl_buf_init(&changed, 1 << 20);
    for (int round = 0; round < 1500; round++) {
        tree.count = 0;
        (void)grow(&tree, 0);
        write_tree(&plain, &tree, true);
        assert_int_equal(digest_of(sl_buf_slice(&plain), digest), 0);
        for (int i = 0; i < 3; i++) {
            write_tree(&doc, &tree, false);
            expect_digest(&doc, digest, true);
        }
        for (int i = 0; i < 8; i++) {
            other = tree;
            mutate(&other);
            if (!is_document(&other, 0))
                continue;
            write_tree(&changed, &other, true);
            bool equal = sl_slice_eq(sl_buf_slice(&changed), sl_buf_slice(&plain));
            write_tree(&doc, &other, false);
            expect_digest(&doc, digest, equal);
            differing += !equal;
        }
    }
    assert_true(differing > 2000); /* the mutations do bite */
    sl_buf_done(&plain);
    sl_buf_done(&doc);
    sl_buf_done(&changed);
}

static void known_pairs(void **state) {
    static const char *const equal[][2] = {
        {"{\"a\":1,\"b\":[true]}", " { \"b\" : [ true ] , \"a\" : 1 } "},
        {"\"a/b\"", "\"\\u0061\\/b\""},
        {"\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""},
        {"{\"\\u0061\":{\"x\":1,\"y\":2}}", "{\"a\":{\"y\":2,\"x\":1}}"},
        {"\"\\u0000\"", "\"\\u0000\""},
    };
    static const char *const different[][2] = {
        {"[\"ab\",\"c\"]", "[\"a\",\"bc\"]"},
        {"[[1],2]", "[1,[2]]"},
        {"[[1,2]]", "[1,2]"},
        {"[[],[]]", "[[[]]]"},
        {"1", "1.0"},
        {"1", "\"1\""},
        {"true", "\"true\""},
        {"null", "false"},
        {"{}", "[]"},
        {"{}", "[{}]"},
        {"[{},{}]", "[{}]"},
        {"{\"a\":null}", "{}"},
        {"{\"a\":\"b\"}", "{\"ab\":\"\"}"},
        {"{\"a\":{\"b\":1}}", "{\"a\":1,\"b\":1}"},
        {"{\"a\":{\"b\":1},\"c\":2}", "{\"a\":{\"b\":1,\"c\":2}}"},
        {"{\"a\":\"b\",\"c\":\"d\"}", "{\"a\":\"d\",\"c\":\"b\"}"},
        {"\"a\\u0000\"", "\"a\""},
        {"\"a\\u0000b\"", "\"a\\u0000c\""},
        {"[12]", "[1,2]"},
        {"\"\"", "\" \""},
        {"\"\\u00e9\"", "\"e\\u0301\""}, /* no normalisation */
        {"[{\"\":\"\"}]",
         "[\"\\u0003\\u0000\\u0001\"]"}, /* what stands for the object, as a text */
    };
    (void)state;
    for (size_t i = 0; i < sizeof(equal) / sizeof(equal[0]); i++)
        assert_true(same(equal[i][0], equal[i][1]));
    for (size_t i = 0; i < sizeof(different) / sizeof(different[0]); i++)
        if (same(different[i][0], different[i][1]))
            fail_msg("equal: %s and %s", different[i][0], different[i][1]);
}

/* Texts of every length around those where a brief becomes a hash and where bytes are held back. */
static void lengths_make_no_difference(void **state) {
    uint8_t digests[300][32], again[32];
    struct sl_buf doc;
    (void)state;
    sl_buf_init(&doc, 10000);
    for (size_t len = 0; len < 300; len++) {
        sl_buf_clear(&doc);
        put(&doc, "{\"k\":\"");
        for (size_t i = 0; i < len; i++)
            put(&doc, "x");
        put(&doc, "\",\"l\":[\"");
        for (size_t i = len; i < 300; i++)
            put(&doc, "x");
        put(&doc, "\"]}");
        assert_int_equal(digest_of(sl_buf_slice(&doc), digests[len]), 0);
        assert_int_equal(digest_in(sl_buf_slice(&doc), 7, NULL, 0, again), 0);
        assert_memory_equal(digests[len], again, 32);
        for (size_t i = 0; i < len; i++)
            assert_memory_not_equal(digests[i], digests[len], 32);
    }
    sl_buf_done(&doc);
}

static void a_key_may_not_repeat(void **state) {
    static const char *const repeated[] = {
        "{\"a\":1,\"a\":1}",
        "{\"a\":1,\"b\":2,\"\\u0061\":3}",
        "[[{\"x\":{\"k\":1,\"l\":2,\"k\":1}}]]",
        "{\"\":1,\"\":2}",
        "{\"a\\u0000\":1,\"a\\u0000\":2}",
        "{\"a/b\":1,\"a\\/b\":1}",
        ("{\"0123456789012345678901234567890123456789+\":1,"
         "\"0123456789012345678901234567890123456789\\u002b\":1}"),
    };
    uint8_t digest[32];
    (void)state;
    for (size_t i = 0; i < sizeof(repeated) / sizeof(repeated[0]); i++)
        assert_int_equal(digest_of(sl_slice_str(repeated[i]), digest), SL_E_INVALID);
    /* Not in one object, or not the same. */
    assert_int_equal(digest_of(SL_LIT("{\"a\":{\"a\":1},\"A\":[{\"a\":1},{\"a\":1}]}"), digest), 0);
    assert_int_equal(digest_of(SL_LIT("{\"a\":1,\"a\\u0000\":2}"), digest), 0);
}

static void add_members(struct sl_buf *doc, uint32_t count, uint32_t step) {
    put(doc, "{");
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(
            sl_buf_printf(doc, "%s\"k%u\":%u", i ? "," : "", i * step % count, i * step % count),
            0);
    put(doc, "}");
}

static void many_members_in_any_order(void **state) {
    static const uint32_t counts[] = {15, 16, 17, 31, 32, 33, 64, 100, 4095, 4096};
    struct sl_buf doc;
    (void)state;
    sl_buf_init(&doc, 1 << 20);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        uint8_t forward[32], mixed[32];
        uint32_t step = counts[i] % 7 ? 7 : 11; /* no common divisor: every number once */
        sl_buf_clear(&doc);
        add_members(&doc, counts[i], 1);
        assert_int_equal(digest_in(sl_buf_slice(&doc), SIZE_MAX, NULL, 0, forward), 0);
        sl_buf_clear(&doc);
        add_members(&doc, counts[i], step);
        assert_int_equal(digest_in(sl_buf_slice(&doc), SIZE_MAX, NULL, 0, mixed), 0);
        assert_memory_equal(forward, mixed, 32);
        doc.ptr[doc.len - 2] = doc.ptr[doc.len - 2] == '1' ? '2' : '1';
        assert_int_equal(digest_in(sl_buf_slice(&doc), SIZE_MAX, NULL, 0, mixed), 0);
        assert_memory_not_equal(forward, mixed, 32);
    }
    sl_buf_done(&doc);
}

static void more_members_than_that_are_refused(void **state) {
    uint8_t digest[32];
    struct sl_buf doc;
    (void)state;
    sl_buf_init(&doc, 1 << 20);
    add_members(&doc, SL_CANONICAL_MEMBERS + 1, 1);
    assert_int_equal(digest_in(sl_buf_slice(&doc), SIZE_MAX, NULL, 0, digest), SL_E_LIMIT);
    /* The limit is over all open objects; what is closed does not count. */
    sl_buf_clear(&doc);
    put(&doc, "[");
    add_members(&doc, 3000, 1);
    put(&doc, ",");
    add_members(&doc, 3000, 1);
    put(&doc, "]");
    assert_int_equal(digest_in(sl_buf_slice(&doc), SIZE_MAX, NULL, 0, digest), 0);
    sl_buf_clear(&doc);
    put(&doc, "{\"x\":");
    add_members(&doc, SL_CANONICAL_MEMBERS, 1);
    put(&doc, "}");
    assert_int_equal(digest_in(sl_buf_slice(&doc), SIZE_MAX, NULL, 0, digest), SL_E_LIMIT);
    sl_buf_done(&doc);
}

static void some_members_may_not_count(void **state) {
    static const struct sl_slice without[] = {
        SL_LIT("stream"), SL_LIT("a name longer than what stands for itself in a brief")};
    uint8_t bare[32], digest[32];
    (void)state;
    assert_int_equal(digest_of(SL_LIT("{\"a\":1}"), bare), 0);
    assert_int_equal(digest_in(SL_LIT("{\"stream\":true,\"a\":1}"), 3, without, 2, digest), 0);
    assert_memory_equal(bare, digest, 32);
    assert_int_equal(digest_in(SL_LIT("{\"a\":1,\"\\u0073tream\":{\"x\":[]},\"a name longer than "
                                      "what stands for itself in a brief\":2}"),
                               3, without, 2, digest),
                     0);
    assert_memory_equal(bare, digest, 32);
    /* Only at the top, and only whole names. */
    assert_int_equal(digest_in(SL_LIT("{\"a\":1,\"streams\":1}"), 3, without, 2, digest), 0);
    assert_memory_not_equal(bare, digest, 32);
    assert_int_equal(digest_in(SL_LIT("{\"a\":{\"stream\":1}}"), 3, without, 2, digest), 0);
    assert_int_equal(digest_of(SL_LIT("{\"a\":{}}"), bare), 0);
    assert_memory_not_equal(bare, digest, 32);
    assert_int_equal(digest_in(SL_LIT("{\"stream\":1,\"stream\":2}"), 3, without, 2, digest),
                     SL_E_INVALID);
    /* A document that is no object has nothing to leave out. */
    assert_int_equal(digest_of(SL_LIT("[{\"stream\":1}]"), bare), 0);
    assert_int_equal(digest_in(SL_LIT("[{\"stream\":1}]"), 3, without, 2, digest), 0);
    assert_memory_equal(bare, digest, 32);
}

static void errors_stick_and_half_a_document_has_no_digest(void **state) {
    uint8_t digest[32] = {7}, before[32] = {7};
    struct sl_json_tokenizer t;
    (void)state;
    struct sl_canonical *c = sl_canonical_new();
    assert_non_null(c);
    assert_int_equal(sl_canonical_finish(c, NULL, 0, digest), SL_E_EOF);
    sl_canonical_free(c);

    c = sl_canonical_new();
    assert_non_null(c);
    sl_json_init(&t, on_token, c);
    assert_int_equal(sl_json_feed(&t, SL_LIT("{\"a\":[1,")), 0);
    assert_int_equal(sl_canonical_finish(c, NULL, 0, digest), SL_E_EOF);
    sl_canonical_free(c);

    c = sl_canonical_new();
    assert_non_null(c);
    sl_json_init(&t, on_token, c);
    assert_int_equal(sl_json_feed(&t, SL_LIT("[{\"a\":1,\"a\":2}")), SL_E_INVALID);
    const struct sl_json_token token = {.event = SL_JSON_ARRAY_END, .last = true};
    assert_int_equal(sl_canonical_token(c, &token), SL_E_INVALID);
    assert_int_equal(sl_canonical_finish(c, NULL, 0, digest), SL_E_INVALID);
    sl_canonical_free(c);
    assert_memory_equal(digest, before, 32);
    sl_canonical_free(NULL);
}

static void memory_may_run_out_anywhere(void **state) {
    struct sl_buf doc;
    uint8_t digest[32];
    (void)state;
    sl_buf_init(&doc, 1 << 20);
    for (int i = 0; i < 40; i++)
        put(&doc, "{\"d\":");
    add_members(&doc, 300, 1);
    for (int i = 0; i < 40; i++)
        put(&doc, "}");
    uint64_t blocks = sl_mem_stats().blocks;
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        sl_mem_fail_after(n);
        int rc = digest_in(sl_buf_slice(&doc), SIZE_MAX, NULL, 0, digest);
        bool failed = sl_mem_fail_after(0) == 0;
        assert_int_equal(rc, failed ? SL_E_NOMEM : 0);
        assert_int_equal(sl_mem_stats().blocks, blocks);
        if (!failed)
            break;
        failures++;
    }
    assert_true(failures > 8); /* itself, levels and members with their growth, a sort, the end */
    sl_buf_done(&doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_means_the_same_is_equal),
        cmocka_unit_test(known_pairs),
        cmocka_unit_test(lengths_make_no_difference),
        cmocka_unit_test(a_key_may_not_repeat),
        cmocka_unit_test(many_members_in_any_order),
        cmocka_unit_test(more_members_than_that_are_refused),
        cmocka_unit_test(some_members_may_not_count),
        cmocka_unit_test(errors_stick_and_half_a_document_has_no_digest),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
