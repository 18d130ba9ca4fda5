/*
 * Whether an answer says of itself that it is not for everyone who asks the same: a guardrail or a
 * filter stopped it, the model refused or failed, or there is state of it at the server. Reads the
 * tokens of documents and events beside their other readers; builds nothing, allocates nothing.
 */
#ifndef SLUICE_DIALECT_VERDICT_H
#define SLUICE_DIALECT_VERDICT_H

#include "sluice/wire/json_short.h"

/* Zeroed: nothing was read yet. One for all documents of an answer. */
struct sl_verdict {
    bool spoiled;
    uint8_t rule;   /* for the value of the key just read */
    uint8_t inside; /* depth of what is in a member that should hold nothing; 0: in none */
    struct sl_json_short text;
};

void sl_verdict_token(struct sl_verdict *v, const struct sl_json_token *token);
/* Behind the last token of one of several documents, whole or not. */
void sl_verdict_event_end(struct sl_verdict *v);
/* A document at hand; of one that is not JSON, what can be read. */
void sl_verdict_read(struct sl_verdict *v, struct sl_slice json);

#endif
