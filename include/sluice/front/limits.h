/*
 * What a client may take, each with its reason. Times in milliseconds.
 */
#ifndef SLUICE_FRONT_LIMITS_H
#define SLUICE_FRONT_LIMITS_H

#include <stddef.h>
#include <stdint.h>

struct sl_front_limits {
    uint32_t header_bytes; /* request line and headers. AWS session tokens run to several KB; nginx
                              allows 32 KiB */
    uint32_t header_count; /* AWS SDKs send 10–20; a bound for hash and scan costs */
    uint64_t body_bytes;   /* Bedrock's own maximum is 25,000,000 */
    uint32_t connections;  /* file descriptors and ~1 KiB each */
    uint32_t streams;      /* concurrent HTTP/2 streams a connection */
    uint32_t header_ms;    /* first byte → complete head: slow-loris */
    uint32_t body_ms;      /* between two pieces of a body: a stalled upload */
    uint32_t body_rate; /* bytes/s a body must keep up, averaged, once a grace of body_ms is over;
                           0: off */
    uint32_t idle_ms;   /* a kept-alive connection without a request */
    uint32_t write_ms;  /* a client that takes nothing of what waits for it */
    uint32_t pipeline_bytes; /* bytes of further requests kept while one runs; reading then stops */
    uint32_t resets_burst;   /* h2: streams a client may reset before the rate counts (rapid reset,
                                CVE-2023-44487) */
    uint32_t resets_per_s;
};

#define SL_FRONT_LIMITS_DEFAULT                                                                    \
    ((struct sl_front_limits){.header_bytes = 65536,                                               \
                              .header_count = 100,                                                 \
                              .body_bytes = 25000000,                                              \
                              .connections = 20000,                                                \
                              .streams = 256,                                                      \
                              .header_ms = 15000,                                                  \
                              .body_ms = 30000,                                                    \
                              .body_rate = 1024,                                                   \
                              .idle_ms = 300000,                                                   \
                              .write_ms = 120000,                                                  \
                              .pipeline_bytes = 65536,                                             \
                              .resets_burst = 1000,                                                \
                              .resets_per_s = 33})

#endif
