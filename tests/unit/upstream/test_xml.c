#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "sluice/base/mem.h"
#include "upstream/xml.h"

static struct sl_buf text;

/* The text of <b> in <a>, or the error. */
static int read_b(const char *document) {
    struct sl_xml_field field = {.parent = "a", .name = "b", .text = &text};
    sl_buf_done(&text);
    sl_buf_init(&text, 64);
    int rc = sl_xml_read(sl_slice_str(document), &field, 1);
    return rc < 0 ? rc : field.found;
}

static void expect(const char *document, const char *value) {
    assert_int_equal(read_b(document), 1);
    if (!sl_slice_eq(sl_buf_slice(&text), sl_slice_str(value)))
        fail_msg("%s gives \"%.*s\", not \"%s\"", document, SL_FMT(sl_buf_slice(&text)), value);
}

static void test_elements(void **state) {
    (void)state;
    expect("<a><b>x</b></a>", "x");
    expect("<?xml version=\"1.0\"?>\n<!-- <a><b>no</b></a> -->\n<r><a x='>' y=\"/\"><b >x</b\n></a>"
           "</r>\n",
           "x");
    expect("<r xmlns=\"u\"><n:a xmlns:n=\"v\"><n:b>x</n:b></n:a></r>", "x");
    expect("<a><b>1</b><b>2</b></a>", "1");
    expect("<a><b>1<c>no</c>2</b></a>", "12");
    expect("<a><b/></a>", "");
    expect("<a><c><b>no</b></c><b>yes</b></a>", "yes");
    assert_int_equal(read_b("<b><a>x</a></b>"), 0);
    assert_int_equal(read_b("<a/>"), 0);
}

static void test_references(void **state) {
    (void)state;
    expect("<a><b>&lt;&gt;&amp;&quot;&apos;</b></a>", "<>&\"'");
    expect("<a><b>&#65;&#x42;&#xe9;&#x20AC;&#x1F600;</b></a>",
           "AB\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    static const char *const bad[] = {"&#0;", "&#xD800;", "&#x110000;", "&#;",   "&#x;",
                                      "&x;",  "&lt",      "&",          "&#1a;", "&#99999999;"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char document[64];
        snprintf(document, sizeof(document), "<a><b>%s</b></a>", bad[i]);
        assert_int_equal(read_b(document), SL_E_INVALID);
    }
}

static void test_refusals(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        "<a>",
        "<a></b>",
        "<a><b></a></b>",
        "<a></a><a></a>",
        "<a></a>x",
        "</a>",
        "<>",
        "< a></a>",
        "<a",
        "<a x=\"></a>",
        "<!DOCTYPE a [<!ENTITY e \"x\">]><a><b>&e;</b></a>",
        "<a><b><![CDATA[x]]></b></a>",
        "<!-- open",
        "<a><!-- open</a>",
        "<?xml",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (read_b(bad[i]) != SL_E_INVALID)
            fail_msg("accepted: %s", bad[i]);
}

static void test_limits(void **state) {
    (void)state;
    char document[SL_XML_MAX_DEPTH * 8 + 64] = "";
    for (int depth = SL_XML_MAX_DEPTH; depth <= SL_XML_MAX_DEPTH + 1; depth++) {
        size_t n = 0;
        for (int i = 0; i < depth; i++, n += 3)
            memcpy(document + n, "<a>", 3);
        for (int i = 0; i < depth; i++, n += 4)
            memcpy(document + n, "</a>", 4);
        document[n] = '\0';
        assert_int_equal(read_b(document), depth == SL_XML_MAX_DEPTH ? 0 : SL_E_INVALID);
    }
    char longer[128];
    memset(longer, 'x', sizeof(longer));
    memcpy(longer, "<a><b>", 6);
    memcpy(longer + sizeof(longer) - 9, "</b></a>", 9);
    assert_int_equal(read_b(longer), SL_E_LIMIT);
}

static void test_every_prefix(void **state) {
    (void)state;
    static const char document[] =
        "<?xml version='1'?><!-- c --><r a=\"1\"><a><b>x&amp;&#x41;</b><c/></a></r>";
    size_t accepted = 0;
    for (size_t n = 0; n < sizeof(document); n++) {
        char *exact = sl_alloc(n);
        memcpy(exact, document, n);
        struct sl_buf out;
        sl_buf_init(&out, 64);
        struct sl_xml_field field = {.parent = "a", .name = "b", .text = &out};
        accepted += sl_xml_read(sl_slice_of(exact, n), &field, 1) == SL_OK;
        sl_buf_done(&out);
        sl_free(exact);
    }
    assert_int_equal(accepted, 1); /* the whole one */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),     cmocka_unit_test(test_references),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_every_prefix),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sl_buf_done(&text);
    return failed;
}
