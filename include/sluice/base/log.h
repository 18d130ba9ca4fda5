/*
 * One line per event on stderr, as text for people or JSON for machines. Leaves
 * never log; edges log once. Prompts, keys, tokens and secrets never come here:
 * only ids, counts, times and names.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

enum sl_log_level { SL_LOG_DEBUG, SL_LOG_INFO, SL_LOG_WARN, SL_LOG_ERROR };
enum sl_log_format { SL_LOG_TEXT, SL_LOG_JSON };

void sl_log_setup(enum sl_log_level level, enum sl_log_format format);
/* A sentence. `area` is the room ("front", "upstream"). */
void sl_log(enum sl_log_level level, const char *area, const char *fmt, ...) SL_PRINTF(3, 4);

/* A structured record. Fields with a text of NULL ptr are left out. */
struct sl_log_field {
    const char *key;
    struct sl_slice text; /* used when ptr is not NULL, else number */
    int64_t number;
    enum { SL_FIELD_TEXT, SL_FIELD_NUMBER } type;
};
#define SL_LOG_TEXT_FIELD(k, s)                                                                    \
    ((struct sl_log_field){.key = (k), .text = (s), .type = SL_FIELD_TEXT})
#define SL_LOG_NUMBER_FIELD(k, n)                                                                  \
    ((struct sl_log_field){.key = (k), .number = (int64_t)(n), .type = SL_FIELD_NUMBER})
void sl_log_record(enum sl_log_level level, const char *area, const char *event,
                   const struct sl_log_field *fields, size_t count);

#endif
