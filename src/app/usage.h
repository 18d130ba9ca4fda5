/* `sluice usage`: what the ledger of the state folder adds up to. */
#ifndef SLUICE_APP_USAGE_H
#define SLUICE_APP_USAGE_H

#include "app/cli.h"
#include "sluice/store/store.h"

/* What is asked for. */
struct sl_usage_wish {
    enum sl_sum_by by;
    uint64_t since_ms; /* wall; 0: all there is */
};

/* From the words of --by and --since (NULL: model, 24h). SL_E_INVALID and a sentence. */
SL_NODISCARD int sl_usage_wish(struct sl_usage_wish *wish, const char *by, const char *since,
                               uint64_t wall_ms, char *why, size_t why_size);
/* The report, as a table or as one JSON object. */
SL_NODISCARD int sl_usage_report(struct sl_buf *out, struct sl_db *db,
                                 const struct sl_usage_wish *wish, bool json, char *why,
                                 size_t why_size);
/* Returns the exit code: 0 fine, 1 it could not be done, 2 bad usage or configuration. */
int sl_usage_command(const struct sl_cli *cli);

#endif
