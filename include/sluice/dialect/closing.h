/*
 * Whether a stream says of itself that more follows. Families end their streams in different ways,
 * and a clean end of the connection is none of them; but most say in every event that they are not
 * done yet: by the event's type, or by a reason to stop that is still null. What was last said
 * counts. A stream that says nothing of the kind, of a family not known here, is taken at its word
 * when it ends.
 *
 * Reads the tokens of events beside their other readers; builds nothing, allocates nothing.
 */
#ifndef SLUICE_DIALECT_CLOSING_H
#define SLUICE_DIALECT_CLOSING_H

#include "sluice/wire/json_short.h"

/* Zeroed: nothing was said yet. One for all events of a stream. */
struct sl_closing {
    bool open; /* the last event that said anything of it said that more follows */
    /* Of the event under way: */
    uint8_t rule; /* for the value of the key just read */
    uint8_t type; /* what its type says */
    bool goes_on, over;
    struct sl_json_short text;
};

void sl_closing_token(struct sl_closing *c, const struct sl_json_token *token);
/* Behind the last token of an event, whole or not. */
void sl_closing_event_end(struct sl_closing *c);

#endif
