/*
 * Writes JSON from templates that read like the JSON they make: in a template ' stands for ",
 * and these take an argument:
 *
 *   %s  struct sl_slice, as a JSON string      %d  int64_t
 *   %r  struct sl_slice, as it is              %b  int, as true or false
 *
 * The error is sticky, so that an encoder is a list of puts and one check at the end.
 */
#ifndef SIM_WRITE_H
#define SIM_WRITE_H

#include <stdarg.h>

#include "sluice/base/buf.h"

struct sl_sim_out {
    struct sl_buf buf;
    int error;
};

void sl_sim_out_init(struct sl_sim_out *out, size_t max);
void sl_sim_out_done(struct sl_sim_out *out);
/* Empties it and forgets the error. */
void sl_sim_out_reset(struct sl_sim_out *out);
void sl_sim_put(struct sl_sim_out *out, const char *template, ...);
void sl_sim_vput(struct sl_sim_out *out, const char *template, va_list args);
/* Appends base64 (RFC 4648, padded). */
void sl_sim_put_base64(struct sl_sim_out *out, struct sl_slice bytes);
/* "2026-11-22T10:07:19.123Z" in quotes. */
void sl_sim_put_date(struct sl_sim_out *out, int64_t wall_ms);

#endif
