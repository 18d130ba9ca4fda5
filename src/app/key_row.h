/*
 * What the command line and the admin port have in common about keys: from words to a row, a row
 * turned to its next generation, and rows as JSON. Pure, but for the random bytes of a new id.
 */
#ifndef SLUICE_APP_KEY_ROW_H
#define SLUICE_APP_KEY_ROW_H

#include "sluice/base/buf.h"
#include "sluice/keys/keys.h"
#include "sluice/store/store.h"

/* A key as it is asked for. NULL: not said. */
struct sl_key_wish {
    const char *name; /* must be there */
    const char *models, *priority, *rpm, *tpm, *expires, *cache, *operations, *s3_prefix, *subject;
};

/* A row with a new id. SL_E_INVALID and a sentence that says what is wrong with which wish. */
SL_NODISCARD int sl_key_row_make(struct sl_db_key *row, const struct sl_key_wish *wish,
                                 uint64_t wall_s, char *why, size_t why_size);
#define SL_KEY_OVERLAP "7d"
/* The next generation; the former stays valid for the overlap ("7d", "0"). SL_E_INVALID and a
 * sentence: a revoked key, or no duration. */
SL_NODISCARD int sl_key_row_rotate(struct sl_db_key *row, const char *overlap, uint64_t wall_s,
                                   char *why, size_t why_size);
/* "live", "revoked" or "expired". */
const char *sl_key_row_state(const struct sl_db_key *row, uint64_t wall_s);
/* "2027-01-31T23:59:59.000Z"; empty for 0, which is never. */
void sl_key_row_date(uint64_t wall_s, char out[SL_ISO_DATE_SIZE]);
/* One object; secrets may be NULL. */
SL_NODISCARD int sl_key_row_json(struct sl_buf *out, const struct sl_db_key *row,
                                 const struct sl_key_secrets *secrets, uint64_t wall_s);

#endif
