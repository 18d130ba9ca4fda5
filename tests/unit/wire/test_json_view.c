/*
 * The view of a JSON document: links and offsets at every split of the input, what is read of the
 * nodes, and its limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/wire/json_view.h"

#define MANY 1000u

static int feed(struct sl_json_view *view, struct sl_slice doc, size_t piece) {
    struct sl_slice rest = doc;
    int rc = 0;
    sl_json_view_init(view, MANY);
    while (rc == 0 && rest.len > 0) {
        rc = sl_json_view_feed(view, sl_slice_head(rest, piece));
        rest = sl_slice_skip(rest, piece);
    }
    return rc != 0 ? rc : sl_json_view_finish(view, doc);
}

static void check_same(const struct sl_json_view *a, const struct sl_json_view *b) {
    assert_int_equal(a->count, b->count);
    for (uint32_t i = 0; i < a->count; i++) {
        assert_int_equal(a->nodes[i].start, b->nodes[i].start);
        assert_int_equal(a->nodes[i].end, b->nodes[i].end);
        assert_int_equal(a->nodes[i].key_start, b->nodes[i].key_start);
        assert_int_equal(a->nodes[i].key_end, b->nodes[i].key_end);
        assert_int_equal(a->nodes[i].next, b->nodes[i].next);
        assert_int_equal(a->nodes[i].child, b->nodes[i].child);
        assert_int_equal(a->nodes[i].type, b->nodes[i].type);
    }
}

/* Parsed at once, and in pieces of every size, which must not show. */
static void open_view(struct sl_json_view *view, const char *doc) {
    struct sl_slice text = sl_slice_str(doc);
    assert_int_equal(sl_json_view_parse(view, text, MANY), 0);
    for (size_t piece = 1; piece < text.len; piece++) {
        struct sl_json_view other;
        assert_int_equal(feed(&other, text, piece), 0);
        check_same(view, &other);
        sl_json_view_done(&other);
    }
}

static void assert_slice(struct sl_slice s, const char *expected) {
    if (!sl_slice_eq(s, sl_slice_str(expected)))
        fail_msg("got '%.*s', expected '%s'", SL_FMT(s), expected);
}

/* Writes the tree as "type(key)raw" lines by walking the links. */
static void walk(const struct sl_json_view *view, const struct sl_json_node *node,
                 struct sl_buf *out) {
    static const char types[] = "{[sntf0";
    assert_int_equal(sl_buf_add_byte(out, types[node->type]), 0);
    assert_int_equal(sl_buf_add(out, sl_json_key_raw(view, node)), 0);
    if (node->type > SL_JSON_IS_ARRAY)
        assert_int_equal(sl_buf_add(out, sl_json_raw(view, node)), 0);
    const struct sl_json_node *child = sl_json_child(view, node);
    for (; child; child = sl_json_next(view, child)) {
        assert_int_equal(sl_buf_add_byte(out, ' '), 0);
        walk(view, child, out);
    }
    if (node->type <= SL_JSON_IS_ARRAY)
        assert_int_equal(sl_buf_add_byte(out, ')'), 0);
}

static void expect_tree(const char *doc, const char *tree) {
    struct sl_json_view view;
    struct sl_buf out;
    sl_buf_init(&out, 1000);
    open_view(&view, doc);
    walk(&view, sl_json_root(&view), &out);
    assert_slice(sl_buf_slice(&out), tree);
    sl_buf_done(&out);
    sl_json_view_done(&view);
}

static void links_follow_the_document(void **state) {
    (void)state;
    expect_tree(" 12 ", "n12");
    expect_tree("\"\"", "s\"\"");
    expect_tree("{}", "{)");
    expect_tree("[ ]", "[)");
    expect_tree("[[],{},[1,[2]],3]", "[ [) {) [ n1 [ n2)) n3)");
    expect_tree("{\"a\" : 1, \"b\":{\"c\":[true,false,null]},\"a\":\"x\"}",
                "{ n\"a\"1 {\"b\" [\"c\" ttrue ffalse 0null)) s\"a\"\"x\")");
    /* An element has no key, whatever key stands in front of its array. */
    expect_tree("{\"k\":[{\"l\":1},2]}", "{ [\"k\" { n\"l\"1) n2))");
}

static void members_are_found_by_what_their_key_means(void **state) {
    struct sl_json_view view;
    (void)state;
    open_view(&view, "{\"a\":1,\"\\u0062\":2,\"a\\n\":3,\"a\":4,\"\":5,\"ab\\u0000\":6,\"o\":{}}");
    const struct sl_json_node *root = sl_json_root(&view);
    assert_slice(sl_json_raw(&view, sl_json_get(&view, root, "a")), "4");
    assert_slice(sl_json_raw(&view, sl_json_get(&view, root, "b")), "2");
    assert_slice(sl_json_raw(&view, sl_json_get(&view, root, "a\n")), "3");
    assert_slice(sl_json_raw(&view, sl_json_get(&view, root, "")), "5");
    assert_null(sl_json_get(&view, root, "ab"));
    assert_null(sl_json_get(&view, root, "\\u0062"));
    assert_null(sl_json_get(&view, sl_json_get(&view, root, "o"), "a"));
    assert_slice(sl_json_key_raw(&view, sl_json_get(&view, root, "b")), "\"\\u0062\"");
    sl_json_view_done(&view);
}

static void texts_are_decoded_or_taken_as_they_stand(void **state) {
    struct sl_json_view view;
    struct sl_buf out;
    (void)state;
    open_view(&view, "[\"plain\",\"\\u0041\\ud83d\\ude00\\/\",\"\\u0000x\",7]");
    const struct sl_json_node *n = sl_json_child(&view, sl_json_root(&view));
    sl_buf_init(&out, 12);
    assert_int_equal(sl_json_text(&view, n, &out), 0);
    assert_true(sl_json_eq(&view, n, "plain"));
    assert_false(sl_json_eq(&view, n, "plai") || sl_json_eq(&view, n, "plain+"));
    n = sl_json_next(&view, n);
    assert_int_equal(sl_json_text(&view, n, &out), 0);
    assert_slice(sl_buf_slice(&out), "plainA\xf0\x9f\x98\x80/");
    assert_true(sl_json_eq(&view, n, "A\xf0\x9f\x98\x80/"));
    assert_false(sl_json_eq(&view, n, "A") || sl_json_eq(&view, n, "A\xf0\x9f\x98\x80/ "));
    assert_slice(sl_json_inner(&view, n), "\\u0041\\ud83d\\ude00\\/");
    n = sl_json_next(&view, n);
    assert_int_equal(sl_json_text(&view, n, &out), SL_E_LIMIT); /* one byte too many */
    assert_int_equal(out.len, 11);
    assert_false(sl_json_eq(&view, n, ""));
    n = sl_json_next(&view, n);
    assert_int_equal(sl_json_text(&view, n, &out), SL_E_INVALID);
    assert_int_equal(sl_json_inner(&view, n).len, 0);
    sl_buf_done(&out);
    sl_json_view_done(&view);
}

static void integers(void **state) {
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"42", true, 42},
        {"-42", true, -42},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"1.0", false, 0},
        {"1e2", false, 0},
        {"\"1\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_json_view view;
        int64_t value = 77;
        open_view(&view, cases[i].text);
        assert_int_equal(sl_json_int(&view, sl_json_root(&view), &value), cases[i].ok);
        assert_int_equal(value, cases[i].ok ? cases[i].value : 77);
        sl_json_view_done(&view);
    }
}

static void absent_is_accepted_everywhere(void **state) {
    struct sl_json_view view;
    struct sl_buf out;
    int64_t value;
    (void)state;
    sl_buf_init(&out, 10);
    open_view(&view, "[1]");
    assert_null(sl_json_get(&view, NULL, "a"));
    assert_null(sl_json_get(&view, sl_json_root(&view), "a"));
    assert_null(sl_json_child(&view, NULL));
    assert_null(sl_json_child(&view, sl_json_child(&view, sl_json_root(&view))));
    assert_null(sl_json_next(&view, NULL));
    assert_null(sl_json_next(&view, sl_json_root(&view)));
    assert_false(sl_json_is(NULL, SL_JSON_IS_OBJECT));
    assert_int_equal(sl_json_raw(&view, NULL).len, 0);
    assert_int_equal(sl_json_key_raw(&view, NULL).len, 0);
    assert_int_equal(sl_json_key_raw(&view, sl_json_root(&view)).len, 0);
    assert_int_equal(sl_json_inner(&view, NULL).len, 0);
    assert_int_equal(sl_json_text(&view, NULL, &out), SL_E_INVALID);
    assert_false(sl_json_eq(&view, NULL, "a"));
    assert_false(sl_json_int(&view, NULL, &value));
    sl_json_view_done(&view);
}

static void refusals_are_sticky(void **state) {
    struct sl_json_view view;
    (void)state;
    assert_int_equal(sl_json_view_parse(&view, SL_LIT("{\"a\":}"), MANY), SL_E_INVALID);
    assert_int_equal(sl_json_view_feed(&view, SL_LIT(" ")), SL_E_INVALID);
    assert_null(sl_json_root(&view));
    sl_json_view_done(&view);
    assert_int_equal(sl_json_view_parse(&view, SL_LIT("[1"), MANY), SL_E_EOF);
    assert_null(sl_json_root(&view));
    sl_json_view_done(&view);
    assert_int_equal(sl_json_view_parse(&view, SL_LIT("[1,2]"), 2), SL_E_LIMIT);
    assert_int_equal(sl_json_view_finish(&view, SL_LIT("[1,2]")), SL_E_LIMIT);
    sl_json_view_done(&view);
    assert_int_equal(sl_json_view_parse(&view, SL_LIT("[1,2]"), 3), 0);
    sl_json_view_done(&view);
    assert_int_equal(sl_json_view_parse(&view, SL_LIT("1"), 0), SL_E_LIMIT);
    sl_json_view_done(&view);
    /* A text that is not the one that was fed. */
    sl_json_view_init(&view, MANY);
    assert_int_equal(sl_json_view_feed(&view, SL_LIT("[1,2]")), 0);
    assert_int_equal(sl_json_view_finish(&view, SL_LIT("[1,2")), SL_E_INVALID);
    assert_null(sl_json_root(&view));
    sl_json_view_done(&view);
}

static void memory_may_run_out_at_each_growth(void **state) {
    struct sl_buf doc;
    (void)state;
    sl_buf_init(&doc, 10000);
    assert_int_equal(sl_buf_add_str(&doc, "[0"), 0);
    for (int i = 0; i < 550; i++)
        assert_int_equal(sl_buf_add_str(&doc, ",0"), 0);
    assert_int_equal(sl_buf_add_str(&doc, "]"), 0);
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        struct sl_json_view view;
        sl_mem_fail_after(n);
        int rc = sl_json_view_parse(&view, sl_buf_slice(&doc), 600);
        bool failed = sl_mem_fail_after(0) == 0;
        assert_int_equal(rc, failed ? SL_E_NOMEM : 0);
        sl_json_view_done(&view);
        if (!failed)
            break;
        failures++;
    }
    assert_int_equal(failures, 5); /* 64, 128, 256, 512, 600 */
    sl_buf_done(&doc);
}

static void the_deepest_document(void **state) {
    char doc[2 * SL_JSON_MAX_DEPTH];
    struct sl_json_view view;
    (void)state;
    memset(doc, '[', SL_JSON_MAX_DEPTH);
    memset(doc + SL_JSON_MAX_DEPTH, ']', SL_JSON_MAX_DEPTH);
    assert_int_equal(feed(&view, sl_slice_of(doc, sizeof(doc)), 1), 0);
    const struct sl_json_node *n = sl_json_root(&view);
    for (size_t i = 0; i < SL_JSON_MAX_DEPTH; i++, n = sl_json_child(&view, n))
        assert_int_equal(sl_json_raw(&view, n).len, sizeof(doc) - 2 * i);
    assert_null(n);
    sl_json_view_done(&view);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(links_follow_the_document),
        cmocka_unit_test(members_are_found_by_what_their_key_means),
        cmocka_unit_test(texts_are_decoded_or_taken_as_they_stand),
        cmocka_unit_test(integers),
        cmocka_unit_test(absent_is_accepted_everywhere),
        cmocka_unit_test(refusals_are_sticky),
        cmocka_unit_test(memory_may_run_out_at_each_growth),
        cmocka_unit_test(the_deepest_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
