/* Prices: the built-in rows, overrides and what is wrong with them, and exact money. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sluice/base/mem.h"
#include "sluice/meter/price.h"

static char why[512];

static struct sl_prices *prices_of(const char *text) {
    struct sl_prices *prices = sl_prices_new(sl_slice_str(text), "p.yaml", why, sizeof(why));
    if (!prices)
        fail_msg("%s", why);
    return prices;
}

static void check(const struct sl_prices *prices, const char *model, uint64_t input,
                  uint64_t output, uint64_t read, uint64_t write) {
    struct sl_price p;
    if (!sl_prices_find(prices, sl_slice_str(model), &p))
        fail_msg("%s has no price", model);
    if (p.input != input || p.output != output || p.cache_read != read || p.cache_write != write)
        fail_msg("%s: %lu %lu %lu %lu", model, p.input, p.output, p.cache_read, p.cache_write);
}

static void builtin_rows_are_found_by_full_id_arn_and_base(void **state) {
    struct sl_price p;
    (void)state;
    struct sl_prices *prices = prices_of("");
    assert_string_equal(sl_prices_date(prices), "2026-11-10");
    check(prices, "amazon.nova-lite-v1:0", 60000, 240000, 15000, 60000);
    check(prices, "meta.llama3-8b-instruct-v1:0", 300000, 600000, 300000, 300000);
    /* Profiles have prices of their own. */
    check(prices, "anthropic.claude-sonnet-4-5-20250929-v1:0", 3000000, 15000000, 300000, 3750000);
    check(prices, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 3300000, 16500000, 330000,
          4125000);
    check(prices,
          "arn:aws:bedrock:us-east-1:1:inference-profile/"
          "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
          3300000, 16500000, 330000, 4125000);
    check(prices, "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", 60000,
          240000, 15000, 60000);
    /* One that has none costs what its model does. */
    check(prices, "ca.meta.llama3-8b-instruct-v1:0", 300000, 600000, 300000, 300000);
    assert_false(sl_prices_find(prices, SL_LIT("nobody.model"), &p));
    assert_false(sl_prices_find(prices, SL_EMPTY, &p));
    sl_prices_free(prices);
}

static void rows_of_a_file_win(void **state) {
    (void)state;
    struct sl_prices *prices = prices_of("date: 2027-01-01\n"
                                         "models:\n"
                                         "  amazon.nova-lite-v1:0: {input: 1, output: 0.000001}\n"
                                         "  mine.own: {output: 2.5, input: 0, cache_read: 1}\n");
    check(prices, "amazon.nova-lite-v1:0", 1000000, 1, 1000000, 1000000);
    check(prices, "mine.own", 0, 2500000, 1000000, 0);
    check(prices, "amazon.nova-pro-v1:0", 800000, 3200000, 200000, 800000);
    assert_string_equal(sl_prices_date(prices), "2026-11-10");
    sl_prices_free(prices);
}

static void wrong_files_are_refused_with_a_place(void **state) {
    static const char *const cases[][2] = {
        {"models: {a: {input: 1}}", "p.yaml:1:10: \"a\" needs input and output"},
        {"models:\n  a: {input: x, output: 1}",
         "p.yaml:2:14: \"x\" is not USD per million tokens, as in 0.0825"},
        {"models: {a: {input: -1, output: 1}}",
         "p.yaml:1:21: \"-1\" is not USD per million tokens, as in 0.0825"},
        {"models: {a: {input: 1.0000001, output: 1}}",
         "p.yaml:1:21: \"1.0000001\" is not USD per million tokens, as in 0.0825"},
        {"models: {a: {input: 1., output: 1}}",
         "p.yaml:1:21: \"1.\" is not USD per million tokens, as in 0.0825"},
        {"models: {a: {input: [], output: 1}}",
         "p.yaml:1:21: \"\" is not USD per million tokens, as in 0.0825"},
        {"models: {a: {inptu: 1}}",
         "p.yaml:1:14: unknown key \"inptu\"; a price has: input, output, "
         "cache_read, cache_write"},
        {"models: {a: {input: 1, input: 1}}", "p.yaml:1:24: input is there twice"},
        {"models: {a: 1}", "p.yaml:1:10: takes MODEL: {input: USD, output: USD}"},
        {"models: 1", "p.yaml:1:9: models takes MODEL: {input: USD, output: USD} lines"},
        {"prices: {}", "p.yaml:1:1: unknown key \"prices\"; the file takes date, models"},
        {"- a", "p.yaml:1:1: the file takes `date` and `models`"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_null(sl_prices_new(sl_slice_str(cases[i][0]), "p.yaml", why, sizeof(why)));
        assert_string_equal(why, cases[i][1]);
    }
    assert_null(sl_prices_new(SL_LIT("models: {"), "p.yaml", why, sizeof(why)));
    assert_non_null(strstr(why, "this is not YAML"));
}

static void costs_are_exact_and_saturate(void **state) {
    const struct sl_price price = {
        .input = 3000000, .output = 15000000, .cache_read = 300000, .cache_write = 3750000};
    struct sl_usage usage = {.input = 1000, .output = 10, .cache_read = 100, .cache_write = 20};
    (void)state;
    /* 1000 x 3 + 10 x 15 + 100 x 0.3 + 20 x 3.75 micro-dollars */
    assert_int_equal(sl_price_cost(&price, &usage), 3255000);
    assert_int_equal(sl_price_cost(&price, &SL_USAGE_UNKNOWN), 0);
    usage =
        (struct sl_usage){.input = INT64_MAX, .output = -1, .cache_read = -1, .cache_write = -1};
    assert_int_equal(sl_price_cost(&price, &usage), INT64_MAX);
    /* A single token of the cheapest model is not lost. */
    const struct sl_price cheap = {.input = 20000};
    usage = (struct sl_usage){.input = 1, .output = -1, .cache_read = -1, .cache_write = -1};
    assert_int_equal(sl_price_cost(&cheap, &usage), 20);
}

static void money_is_printed_in_dollars(void **state) {
    static const struct {
        int64_t nano;
        const char *text;
    } cases[] = {{0, "0"},
                 {1234000, "0.001234"},
                 {1, "0.000000001"},
                 {1000000000, "1"},
                 {12500000000, "12.5"},
                 {-250000000, "-0.25"},
                 {INT64_MAX, "9223372036.854775807"},
                 {INT64_MIN, "-9223372036.854775808"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_buf out;
        sl_buf_init(&out, 64);
        assert_int_equal(sl_money_print(&out, cases[i].nano), 0);
        assert_true(sl_slice_eq(sl_buf_slice(&out), sl_slice_str(cases[i].text)));
        sl_buf_done(&out);
    }
}

static void no_memory_is_no_table(void **state) {
    (void)state;
    struct sl_mem_stats before = sl_mem_stats();
    unsigned failures = 0;
    for (uint64_t n = 1;; n++) {
        sl_mem_fail_after(n);
        struct sl_prices *prices =
            sl_prices_new(SL_LIT("models: {a: {input: 1, output: 2}}"), "p", why, sizeof(why));
        bool unused = sl_mem_fail_after(0) > 0;
        sl_prices_free(prices);
        assert_int_equal(sl_mem_stats().blocks, before.blocks);
        failures += prices == NULL;
        if (unused)
            break;
    }
    assert_true(failures > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builtin_rows_are_found_by_full_id_arn_and_base),
        cmocka_unit_test(rows_of_a_file_win),
        cmocka_unit_test(wrong_files_are_refused_with_a_place),
        cmocka_unit_test(costs_are_exact_and_saturate),
        cmocka_unit_test(money_is_printed_in_dollars),
        cmocka_unit_test(no_memory_is_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
