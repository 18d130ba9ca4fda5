/* Percent-encoding (RFC 3986) as AWS's signing wants it. Pure. */
#ifndef SLUICE_WIRE_URI_H
#define SLUICE_WIRE_URI_H

#include "sluice/base/buf.h"
#include "sluice/base/slice.h"

/* Appends s with every byte but A-Z a-z 0-9 - . _ ~ (and '/' if keep_slash) as %XX, upper case. */
SL_NODISCARD int sl_uri_encode(struct sl_buf *out, struct sl_slice s, bool keep_slash);
/*
 * Appends s with each valid %XX decoded. SL_E_INVALID on a '%' without two hex digits.
 * '+' stays '+'.
 */
SL_NODISCARD int sl_uri_decode(struct sl_buf *out, struct sl_slice s);

#endif
