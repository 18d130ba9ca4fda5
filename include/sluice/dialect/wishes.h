/*
 * What a client wishes of the gateway itself, beside what it asks of the model: how long it waits,
 * how urgent it is, what the cache may do. Said in headers, the same for every dialect:
 *
 *   x-sluice-timeout      "30s", "1500ms", a plain number is seconds
 *   x-stainless-timeout   seconds, maybe decimal (SDKs of OpenAI and Anthropic)
 *   amz-sdk-request       "ttl=20261122T193000Z; attempt=1; max=3" (AWS SDKs)
 *   x-sluice-priority     "interactive", "normal", "batch"
 *   Cache-Control         RFC 9111 5.2.1: no-store, no-cache, only-if-cached, max-age
 */
#ifndef SLUICE_DIALECT_WISHES_H
#define SLUICE_DIALECT_WISHES_H

#include "sluice/dialect/dialect.h"

/*
 * Fills d->call's timeout_ms, priority and cache, all of them. The first of the three that names a
 * timeout, in that order, counts. An x-sluice- header that makes no sense is refused (d->failure,
 * d->message; returns SL_OK): its author means Sluice and wants to know. Others are then as if not
 * there. SL_E_NOMEM.
 */
SL_NODISCARD int sl_wishes_read(struct sl_decode *d, const struct sl_request_head *head);

/* Headers that are meant for the gateway or for nobody behind it, and are not sent upstream. */
bool sl_wishes_own_header(struct sl_slice name);

#endif
