/* Where usage stands in what Bedrock answers: headers, documents, events, last chunks. */
#ifndef SLUICE_SRC_DIALECT_USAGE_H
#define SLUICE_SRC_DIALECT_USAGE_H

#include "sluice/core/message.h"
#include "sluice/core/usage.h"
#include "sluice/dialect/follow.h"

/* Numbers only: their text is short. */
#define SL_USAGE_TEXT_MAX 32

/* A reader of all places in documents and events. */
void sl_usage_begin(struct sl_json_facts *reader, struct sl_json_fact facts[SL_FOLLOW_FACTS]);
/* Each of these overwrites what its source knows and leaves the rest. */
void sl_usage_from_facts(struct sl_usage *usage, const struct sl_json_fact *facts);
void sl_usage_from_headers(struct sl_usage *usage, const struct sl_headers *headers);
void sl_usage_from_json(struct sl_usage *usage, struct sl_slice json);

#endif
