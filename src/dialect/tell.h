/*
 * How the dialects of other APIs tell a failure: a document with headers of its own, or an event of
 * a stream that has begun. Each API brings the body of its errors; what stands around it is the
 * same.
 */
#ifndef SLUICE_SRC_DIALECT_TELL_H
#define SLUICE_SRC_DIALECT_TELL_H

#include "sluice/dialect/dialect.h"

/* Appends an error's body. id: the exchange's; APIs that have no place for it leave it out. */
typedef int sl_error_body(struct sl_buf *out, enum sl_failure kind, struct sl_slice message,
                          const char *id);

/* An answer that is an error: its type, its id under `id_name` where one is given, its body. */
SL_NODISCARD int sl_tell_answer(struct sl_arena *arena, struct sl_headers *headers,
                                struct sl_buf *out, const char *id_name, sl_error_body *body,
                                enum sl_failure kind, struct sl_slice message, const char *id);
/* The same body as a server-sent event; name NULL: none. */
SL_NODISCARD int sl_tell_event(struct sl_buf *out, const char *name, sl_error_body *body,
                               enum sl_failure kind, struct sl_slice message, const char *id);
/* sl_dialect.broken of APIs whose every answer has an encoder: that one tells it, and where there
 * is none, nothing can. */
SL_NODISCARD int sl_tell_nothing(enum sl_operation op, enum sl_framing framing,
                                 enum sl_failure kind, struct sl_slice message, struct sl_buf *out);

#endif
