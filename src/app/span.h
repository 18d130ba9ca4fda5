/* Times as people write them on the command line: spans, "12h", "7d", "2w" and "0", and days. */
#ifndef SLUICE_APP_SPAN_H
#define SLUICE_APP_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/slice.h"

/* False: it is none, or longer than any date. *seconds is written on success only. */
bool sl_span_read(struct sl_slice text, uint64_t *seconds);
/* "2026-11-22": the moment that day begins (UTC), in seconds since 1970. False for what is no such
 * date, and for the 31st of a month that has none. */
bool sl_span_read_day(struct sl_slice text, uint64_t *wall_s);

#endif
