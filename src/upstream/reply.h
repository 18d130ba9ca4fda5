/* What a refusal says about our side: credentials that are worn out, or a clock that is off. */
#ifndef SLUICE_UPSTREAM_REPLY_H
#define SLUICE_UPSTREAM_REPLY_H

#include "sluice/io/fetch.h"

enum sl_reply_hint {
    SL_REPLY_NONE,
    SL_REPLY_CREDENTIALS, /* these are expired or unknown */
    SL_REPLY_SIGNATURE,   /* the signature does not fit or is out of time */
};
enum sl_reply_hint sl_reply_hint(const struct sl_fetch_head *head);
/* The Date header. False where there is none that can be read. */
bool sl_reply_date(const struct sl_fetch_head *head, int64_t *wall_ms);

#endif
