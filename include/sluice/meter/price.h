/*
 * Prices of models and the cost of a call. Money is in nano-dollars (10^-9 USD), integers
 * throughout. The built-in table is conf/prices.yaml, compiled in; a file of the same form may
 * override rows.
 */
#ifndef SLUICE_METER_PRICE_H
#define SLUICE_METER_PRICE_H

#include <stdint.h>

#include "sluice/base/buf.h"
#include "sluice/core/usage.h"

/* Nano-dollars per 1,000 tokens (USD per million tokens times 1,000,000). */
struct sl_price {
    uint64_t input, output, cache_read, cache_write;
};

struct sl_prices;
/* text: YAML of the form of conf/prices.yaml, rows in it win over the built-in ones; empty: only
 * those. NULL and a sentence in why. */
SL_NODISCARD struct sl_prices *sl_prices_new(struct sl_slice text, const char *file, char *why,
                                             size_t why_size);
void sl_prices_free(struct sl_prices *prices);
/* By full id first ("us.anthropic…"), then ARN's id, then base id. False: unknown. */
bool sl_prices_find(const struct sl_prices *prices, struct sl_slice model, struct sl_price *out);
/* Nano-dollars; unknown counts are 0; saturates. */
int64_t sl_price_cost(const struct sl_price *price, const struct sl_usage *usage);
/* "0.001234" (USD, up to nine decimals, no trailing zeros). */
SL_NODISCARD int sl_money_print(struct sl_buf *out, int64_t nano_usd);
/* "2026-11-10": when the built-in figures were taken down. */
const char *sl_prices_date(const struct sl_prices *prices);

#endif
