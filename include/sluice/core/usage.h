/* Tokens of one call, as Bedrock counts them. -1: not known. */
#ifndef SLUICE_CORE_USAGE_H
#define SLUICE_CORE_USAGE_H

#include <stdint.h>

struct sl_usage {
    int64_t input; /* without cached tokens */
    int64_t output;
    int64_t cache_read;  /* read from Bedrock's prompt cache */
    int64_t cache_write; /* written to it */
};

#define SL_USAGE_UNKNOWN ((struct sl_usage){-1, -1, -1, -1})

#endif
