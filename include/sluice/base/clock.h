/*
 * Time. Two clocks: `monotonic` in nanoseconds for every duration and deadline,
 * `wall` in milliseconds since 1970 for dates that others see. Modules do not read
 * them: `now` is passed in. The loop reads them once a turn.
 */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define SL_NS_PER_US UINT64_C(1000)
#define SL_NS_PER_MS UINT64_C(1000000)
#define SL_NS_PER_S  UINT64_C(1000000000)
#define SL_NEVER     UINT64_MAX

uint64_t sl_clock_monotonic(void);
int64_t sl_clock_wall_ms(void);
/* CPU time this thread has used, in nanoseconds. */
uint64_t sl_clock_thread_cpu(void);

/* "20150830T123600Z", as SigV4 wants it; out holds 17 bytes. Proleptic Gregorian, UTC. */
#define SL_AMZ_DATE_SIZE 17
void sl_clock_amz_date(int64_t wall_ms, char out[SL_AMZ_DATE_SIZE]);
/* "2026-11-22T10:07:19.123Z"; out holds 25 bytes. */
#define SL_ISO_DATE_SIZE 25
void sl_clock_iso_date(int64_t wall_ms, char out[SL_ISO_DATE_SIZE]);
/* IMF-fixdate of RFC 9110 5.6.7, "Sun, 06 Nov 1994 08:49:37 GMT"; out holds 30 bytes. */
#define SL_HTTP_DATE_SIZE 30
void sl_clock_http_date(int64_t wall_ms, char out[SL_HTTP_DATE_SIZE]);
/* Reads "2015-08-30T12:36:00Z" (fractions and "+00:00" allowed) or "20150830T123600Z". */
int sl_clock_parse_iso(const char *text, size_t len, int64_t *wall_ms);

#endif
