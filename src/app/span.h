/* Spans of time as people write them on the command line: "12h", "7d", "2w", and "0". */
#ifndef SLUICE_APP_SPAN_H
#define SLUICE_APP_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/slice.h"

/* False: it is none, or longer than any date. *seconds is written on success only. */
bool sl_span_read(struct sl_slice text, uint64_t *seconds);

#endif
