/*
 * A file of prices: taken or refused with a sentence; and whatever the prices and the counts, a
 * cost is none below zero, and a sum of money that is written is a plain decimal.
 */
#include <assert.h>
#include <string.h>

#include "sluice/meter/price.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_money(int64_t nano_usd) {
    struct sl_buf out;
    sl_buf_init(&out, 64);
    int rc = sl_money_print(&out, nano_usd);
    assert(rc == SL_OK && out.len > 0);
    for (size_t i = 0; i < out.len; i++)
        assert((out.ptr[i] >= '0' && out.ptr[i] <= '9') || out.ptr[i] == '.' ||
               (i == 0 && out.ptr[i] == '-'));
    sl_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sl_slice models[] = {SL_LIT("us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
                                             SL_LIT("amazon.nova-lite-v1:0"), SL_LIT("m"),
                                             SL_LIT("arn:aws:bedrock:us-east-1::foundation-model/"
                                                    "meta.llama3-3-70b-instruct-v1:0")};
    struct sl_price price;
    char why[256] = "";
    int64_t counts[4] = {0};
    struct sl_slice text = sl_slice_of(data, size);
    struct sl_slice head = sl_slice_head(text, sizeof(counts));
    if (head.len)
        memcpy(counts, head.ptr, head.len);
    struct sl_usage usage = {.input = counts[0] >> 1 & INT64_MAX,
                             .output = counts[1] & INT64_MAX,
                             .cache_read = counts[2] & INT64_MAX,
                             .cache_write = counts[3] & INT64_MAX};
    text = sl_slice_skip(text, sizeof(counts));
    struct sl_prices *prices = sl_prices_new(text, "fuzz.yaml", why, sizeof(why));
    assert((prices != NULL) == (why[0] == '\0'));
    for (size_t i = 0; prices && i < sizeof(models) / sizeof(models[0]); i++)
        if (sl_prices_find(prices, models[i], &price)) {
            int64_t cost = sl_price_cost(&price, &usage);
            assert(cost >= 0);
            check_money(cost);
        }
    check_money(counts[0] == INT64_MIN ? 0 : counts[0]);
    sl_prices_free(prices);
    return 0;
}
