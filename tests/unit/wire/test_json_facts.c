/* Facts: which values are found, what is read of them, and what a hostile document costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sluice/base/mem.h"
#include "sluice/wire/json.h"

static int read_facts(struct sl_json_facts *f, struct sl_json_fact *facts, size_t count,
                      size_t text_max, struct sl_slice doc, size_t first, size_t piece) {
    int rc = sl_json_facts_init(f, facts, count, text_max);
    for (size_t n = first; rc == 0 && doc.len > 0; n = piece) {
        rc = sl_json_facts_feed(f, sl_slice_head(doc, n));
        doc = sl_slice_skip(doc, n);
    }
    return rc != 0 ? rc : sl_json_facts_finish(f);
}

static void check_same(const struct sl_json_fact *a, const struct sl_json_fact *b) {
    assert_int_equal(a->type, b->type);
    if (a->type == SL_FACT_ABSENT)
        return;
    assert_int_equal(a->integer, b->integer);
    assert_int_equal(a->start, b->start);
    assert_int_equal(a->end, b->end);
    assert_int_equal(a->cut, b->cut);
    assert_true(sl_slice_eq(sl_buf_slice(&a->text), sl_buf_slice(&b->text)));
}

/* Reads at every split, which must not matter, and leaves the result in facts. */
static int read_all_ways(struct sl_json_facts *f, struct sl_json_fact *facts, size_t count,
                         struct sl_slice doc) {
    int rc = read_facts(f, facts, count, 16, doc, doc.len, 1);
    for (size_t first = 0; first < doc.len; first++) {
        struct sl_json_fact again[SL_JSON_MAX_FACTS];
        struct sl_json_facts g;
        for (size_t i = 0; i < count; i++)
            again[i].path = facts[i].path;
        assert_int_equal(read_facts(&g, again, count, 16, doc, first, first ? doc.len : 1), rc);
        for (size_t i = 0; i < count; i++)
            check_same(&facts[i], &again[i]);
        sl_json_facts_done(&g);
    }
    return rc;
}

/* One path, one document: the type, and the bytes that start and end point at. */
static void expect(const char *path, const char *doc, int type, const char *bytes) {
    struct sl_json_fact fact = {.path = path};
    struct sl_json_facts f;
    assert_int_equal(read_all_ways(&f, &fact, 1, sl_slice_str(doc)), 0);
    if ((int)fact.type != type)
        fail_msg("%s in %s: type %d, not %d", path, doc, (int)fact.type, type);
    if (type != SL_FACT_ABSENT)
        assert_true(
            sl_slice_eq(sl_slice_of(doc + fact.start, fact.end - fact.start), sl_slice_str(bytes)));
    sl_json_facts_done(&f);
}

static void paths(void **state) {
    (void)state;
    expect("model", "{\"model\":\"x\"}", SL_FACT_STRING, "\"x\"");
    expect("model", "{\"m\":{\"model\":\"x\"}}", SL_FACT_ABSENT, NULL);
    expect("model", "[{\"model\":\"x\"}]", SL_FACT_ABSENT, NULL);
    expect("model", "{\"mode\":1,\"models\":2,\"Model\":3}", SL_FACT_ABSENT, NULL);
    expect("model", "{\"m\\u006fdel\": 1 }", SL_FACT_NUMBER, "1");
    expect("stream", "{\"a\":[1,{}],\"stream\" : true}", SL_FACT_BOOL, "true");
    expect("stream", "{\"stream\":null}", SL_FACT_NULL, "null");
    expect("inferenceConfig.maxTokens",
           "{\"messages\":[{\"maxTokens\":3}],\"inferenceConfig\":{\"x\":1,\"maxTokens\":512}}",
           SL_FACT_NUMBER, "512");
    expect("usage.inputTokens", "{\"usage\":[{\"inputTokens\":1}]}", SL_FACT_ABSENT, NULL);
    expect("usage.inputTokens", "{\"usage\":7}", SL_FACT_ABSENT, NULL);
    expect("*.usage.input_tokens", "{\"message\":{\"usage\":{\"input_tokens\":25}}}",
           SL_FACT_NUMBER, "25");
    expect("*.usage.input_tokens", "{\"usage\":{\"input_tokens\":25}}", SL_FACT_ABSENT, NULL);
    expect("a.[].b", "{\"a\":[{\"b\":1},[{\"b\":9}],{\"b\":2},{\"c\":3}]}", SL_FACT_NUMBER, "2");
    expect("a.[].[]", "{\"a\":[[1,2],3]}", SL_FACT_NUMBER, "2");
    expect("[].id", "[{\"id\":\"p\"},{\"id\":\"q\"}]", SL_FACT_STRING, "\"q\"");
    expect("[]", "{\"[]\":1}", SL_FACT_ABSENT, NULL);
    expect("*", "[1]", SL_FACT_ABSENT, NULL);
    expect("*", "{\"a\":1,\"b\":2}", SL_FACT_NUMBER, "2");
    expect("", " {\"a\":1} ", SL_FACT_CONTAINER, "{\"a\":1}");
    expect("", "12", SL_FACT_NUMBER, "12");
    expect("a.", "{\"a\":{\"\":1}}", SL_FACT_NUMBER, "1");
    expect("a..b", "{\"a\":{\"\":{\"b\":1}}}", SL_FACT_NUMBER, "1");
    expect("tools", "{\"tools\":[{},[]] , \"x\":1}", SL_FACT_CONTAINER, "[{},[]]");
    expect("a.b.c.d.e.f.g.h",
           "{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":{\"h\":[[]]}}}}}}}}",
           SL_FACT_CONTAINER, "[[]]");
}

/* As a parser that builds a tree would have it. */
static void duplicates(void **state) {
    (void)state;
    expect("a", "{\"a\":1,\"a\":\"z\"}", SL_FACT_STRING, "\"z\"");
    expect("a", "{\"a\":\"z\",\"b\":0,\"a\":[2]}", SL_FACT_CONTAINER, "[2]");
    expect("u.i", "{\"u\":{\"i\":1},\"u\":{\"i\":2}}", SL_FACT_NUMBER, "2");
    expect("u.i", "{\"u\":{\"i\":1},\"u\":{}}", SL_FACT_ABSENT, NULL);
    expect("u.i", "{\"u\":{\"i\":1},\"u\":5}", SL_FACT_ABSENT, NULL);
    expect("u.i", "{\"u\":{\"i\":1},\"v\":{}}", SL_FACT_NUMBER, "1");
    expect("*.i", "{\"u\":{\"i\":1},\"v\":{}}", SL_FACT_NUMBER, "1");
    expect("*.u.i", "{\"a\":{\"u\":{\"i\":1}},\"b\":{\"u\":{}}}", SL_FACT_NUMBER, "1");
}

static void integers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"4096", 4096},
        {"-17", -17},
        {"1.999", 1},
        {"-1.999", -1},
        {"0.99", 0},
        {"1e3", 1000},
        {"1.5E+2", 150},
        {"12345e-2", 123},
        {"5e-1", 0},
        {"0.00025e4", 2},
        {"0e999999999999999999999", 0},
        {"1e-999999999999999999999", 0},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", INT64_MAX},
        {"-9223372036854775807", -INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"-9223372036854775809", INT64_MIN},
        {"9223372036854775806.9", INT64_MAX - 1},
        {"922337203685477580.7e1", INT64_MAX},
        {"1e18", INT64_C(1000000000000000000)},
        {"1e19", INT64_MAX},
        {"-1e400", INT64_MIN},
        {"123456789012345678901234567890", INT64_MAX},
        {"123456789012345678901234567890e-20", 1234567890},
        {"0.0000000000000000000000000000012e30", 1},
        {"100000000000000000000000000000000e-32", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_json_fact fact = {.path = "n"};
        struct sl_json_facts f;
        struct sl_buf doc;
        sl_buf_init(&doc, 100);
        assert_int_equal(sl_buf_printf(&doc, "{\"n\":%s}", cases[i].text), 0);
        assert_int_equal(read_all_ways(&f, &fact, 1, sl_buf_slice(&doc)), 0);
        assert_int_equal(fact.type, SL_FACT_NUMBER);
        if (fact.integer != cases[i].value)
            fail_msg("%s: %lld", cases[i].text, (long long)fact.integer);
        assert_int_equal(fact.cut, strlen(cases[i].text) > 16);
        assert_true(sl_slice_starts(sl_slice_str(cases[i].text), sl_buf_slice(&fact.text)));
        sl_json_facts_done(&f);
        sl_buf_done(&doc);
    }
}

static void several(void **state) {
    (void)state;
    struct sl_json_fact facts[] = {
        {.path = "model"},    {.path = "stream"},           {.path = "max_tokens"},
        {.path = "messages"}, {.path = "messages.[].role"}, {.path = "*"},
        {.path = "stop.[]"},  {.path = "missing"},
    };
    struct sl_json_facts f;
    struct sl_slice doc = SL_LIT(
        "{\"model\":\"a\\\"b\\u0000\",\"max_tokens\":1e2,\"messages\":[{\"role\":\"user\","
        "\"content\":[{\"role\":\"x\"}]}],\"stop\":[\"\",\"a string of more than 16 bytes\"],"
        "\"stream\":false}");
    assert_int_equal(read_all_ways(&f, facts, 8, doc), 0);
    assert_true(sl_slice_eq(sl_buf_slice(&facts[0].text), SL_LIT("a\"b\0")));
    assert_false(facts[0].cut);
    assert_int_equal(facts[1].type, SL_FACT_BOOL);
    assert_int_equal(facts[1].integer, 0);
    assert_int_equal(facts[2].integer, 100);
    assert_int_equal(facts[3].type, SL_FACT_CONTAINER);
    assert_true(sl_slice_eq(sl_buf_slice(&facts[4].text), SL_LIT("user")));
    assert_int_equal(facts[5].type, SL_FACT_BOOL);
    assert_true(sl_slice_eq(sl_buf_slice(&facts[6].text), SL_LIT("a string of more")));
    assert_true(facts[6].cut);
    assert_int_equal(facts[7].type, SL_FACT_ABSENT);
    sl_json_facts_done(&f);
}

/* A fact is there once its value is complete, and not before. */
static void incomplete(void **state) {
    (void)state;
    struct sl_json_fact facts[] = {{.path = "a"}, {.path = "s"}, {.path = "o"}, {.path = "o.n"}};
    static const struct {
        struct sl_slice doc;
        bool present[4];
        int rc;
    } cases[] = {
        {SL_LIT("{\"a\":tru"), {0}, SL_E_EOF},
        {SL_LIT("{\"a\":12"), {0}, SL_E_EOF},
        {SL_LIT("{\"a\":12,"), {1}, SL_E_EOF},
        {SL_LIT("{\"a\":1,\"s\":\"half"), {1}, SL_E_EOF},
        {SL_LIT("{\"a\":1,\"s\":\"whole\""), {1, 1}, SL_E_EOF},
        {SL_LIT("{\"a\":1,\"a\""), {0}, SL_E_EOF},
        {SL_LIT("{\"a\":1,\"a\":\"x"), {0}, SL_E_EOF},
        {SL_LIT("{\"o\":{\"n\":1 "), {0, 0, 0, 1}, SL_E_EOF},
        {SL_LIT("{\"o\":{\"n\":1}"), {0, 0, 1, 1}, SL_E_EOF},
        {SL_LIT("{\"a\":1,\"s\":\"x\"]"), {1, 1}, SL_E_INVALID},
        {SL_EMPTY, {0}, SL_E_EOF},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_json_facts f;
        assert_int_equal(read_all_ways(&f, facts, 4, cases[i].doc), cases[i].rc);
        for (int k = 0; k < 4; k++)
            assert_int_equal(facts[k].type != SL_FACT_ABSENT, cases[i].present[k]);
        sl_json_facts_done(&f);
    }
}

static void bad_paths(void **state) {
    (void)state;
    struct sl_json_fact facts[SL_JSON_MAX_FACTS + 1] = {{.path = "a"}};
    struct sl_json_facts f;
    char name[300];
    memset(name, 'x', sizeof(name));
    name[SL_JSON_MAX_SEGMENT + 1] = '\0';
    facts[0].path = name;
    assert_int_equal(sl_json_facts_init(&f, facts, 1, 16), SL_E_LIMIT);
    sl_json_facts_done(&f); /* harmless */
    facts[0].path = "1.2.3.4.5.6.7.8.9";
    assert_int_equal(sl_json_facts_init(&f, facts, 1, 16), SL_E_LIMIT);
    for (size_t i = 0; i < SL_JSON_MAX_FACTS + 1; i++)
        facts[i].path = "a";
    assert_int_equal(sl_json_facts_init(&f, facts, SL_JSON_MAX_FACTS + 1, 16), SL_E_LIMIT);
    assert_int_equal(sl_json_facts_init(&f, facts, SL_JSON_MAX_FACTS, 16), 0);
    assert_int_equal(sl_json_facts_feed(&f, SL_LIT("{\"a\":3}")), 0);
    assert_int_equal(facts[SL_JSON_MAX_FACTS - 1].integer, 3);
    sl_json_facts_done(&f);
}

/* A key as long as the longest segment is found, a longer one is not. */
static void long_keys(void **state) {
    (void)state;
    char path[SL_JSON_MAX_SEGMENT + 1], doc[100];
    memset(path, 'k', SL_JSON_MAX_SEGMENT);
    path[SL_JSON_MAX_SEGMENT] = '\0';
    snprintf(doc, sizeof(doc), "{\"%s\":1}", path);
    expect(path, doc, SL_FACT_NUMBER, "1");
    snprintf(doc, sizeof(doc), "{\"%sk\":1}", path);
    expect(path, doc, SL_FACT_ABSENT, NULL);
    snprintf(doc, sizeof(doc), "{\"%skkkkkkkk\":1}", path);
    expect(path, doc, SL_FACT_ABSENT, NULL);
    expect("*", doc, SL_FACT_NUMBER, "1");
}

static void out_of_memory(void **state) {
    (void)state;
    struct sl_slice doc = SL_LIT("{\"a\":\"text\"}");
    for (uint64_t n = 1; n <= 3; n++) {
        struct sl_json_fact fact = {.path = "a"};
        struct sl_json_facts f;
        sl_mem_fail_after(n);
        int rc = read_facts(&f, &fact, 1, 16, doc, 3, 1);
        (void)sl_mem_fail_after(0);
        assert_int_equal(rc, n <= 2 ? SL_E_NOMEM : 0); /* the key, the text */
        sl_json_facts_done(&f);
    }
}

/* 25 MB in 64 KB pieces, aimed at the facts: memory stays that of one text. */
static void hostile_bodies(void **state) {
    (void)state;
    static const struct {
        const char *head, *unit, *tail;
        int rc, type;
    } cases[] = {
        {"{\"a\":\"", "abcdefgh", "\"}", 0, SL_FACT_STRING},
        {"{\"a\":\"", "\\n", "\"}", 0, SL_FACT_STRING},
        {"{\"a\":", "7", "}", 0, SL_FACT_NUMBER},
        {"{\"a\":0.", "0", "1}", 0, SL_FACT_NUMBER},
        {"{\"", "a", "\":1}", 0, SL_FACT_ABSENT},
        {"{\"a\":[", "{},[],", "1]}", 0, SL_FACT_CONTAINER},
        {"{", "\"a\":1,", "\"b\":1}", 0, SL_FACT_NUMBER},
        {"{", "{", "", SL_E_INVALID, SL_FACT_ABSENT},
        {"{\"a\":", "[", "", SL_E_INVALID, SL_FACT_ABSENT},
    };
    char *piece = malloc(65536);
    assert_non_null(piece);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_json_fact fact = {.path = "a"};
        struct sl_json_facts f;
        size_t unit = strlen(cases[i].unit), size = 65536 / unit * unit;
        for (size_t at = 0; at < size; at += unit)
            memcpy(piece + at, cases[i].unit, unit);
        assert_int_equal(sl_json_facts_init(&f, &fact, 1, 1000), 0);
        int rc = sl_json_facts_feed(&f, sl_slice_str(cases[i].head));
        for (size_t fed = 0; rc == 0 && fed < 25u << 20; fed += size)
            rc = sl_json_facts_feed(&f, sl_slice_of(piece, size));
        if (rc == 0)
            rc = sl_json_facts_feed(&f, sl_slice_str(cases[i].tail));
        if (rc == 0)
            rc = sl_json_facts_finish(&f);
        assert_int_equal(rc, cases[i].rc);
        assert_int_equal(fact.type, cases[i].type);
        assert_true(fact.text.len <= 1000 && f.key.cap <= 128);
        sl_json_facts_done(&f);
    }
    free(piece);
    assert_int_equal(sl_mem_stats().blocks, 0);
}

/* Tokens of a tokenizer that others read as well. */
static int pass_on(void *ctx, const struct sl_json_token *token) {
    return sl_json_facts_token(ctx, token);
}

static void tokens_of_another_tokenizer(void **state) {
    static const char doc[] = "{\"a\":{\"b\":[1,-25e1]},\"c\":\"\\u0041b\",\"a\":{\"b\":[7]}}";
    (void)state;
    for (size_t piece = 1; piece < sizeof(doc); piece++) {
        struct sl_json_fact fed[2] = {{.path = "a.b.[]"}, {.path = "c"}}, told[2];
        struct sl_json_facts f, g;
        struct sl_json_tokenizer t;
        struct sl_slice rest = sl_slice_str(doc);
        memcpy(told, fed, sizeof(told));
        assert_int_equal(read_facts(&f, fed, 2, 16, rest, piece, piece), 0);
        assert_int_equal(sl_json_facts_init(&g, told, 2, 16), 0);
        sl_json_init(&t, pass_on, &g);
        for (; rest.len > 0; rest = sl_slice_skip(rest, piece))
            assert_int_equal(sl_json_feed(&t, sl_slice_head(rest, piece)), 0);
        assert_int_equal(told[0].integer, 7);
        check_same(&fed[0], &told[0]);
        check_same(&fed[1], &told[1]);
        sl_json_facts_done(&f);
        sl_json_facts_done(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_of_another_tokenizer),
        cmocka_unit_test(paths),
        cmocka_unit_test(duplicates),
        cmocka_unit_test(integers),
        cmocka_unit_test(several),
        cmocka_unit_test(incomplete),
        cmocka_unit_test(bad_paths),
        cmocka_unit_test(long_keys),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(hostile_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
