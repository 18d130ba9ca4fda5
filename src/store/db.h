/* What the worker needs of the database beyond the operations. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "sluice/store/store.h"

/* As sl_db_keys, but ends early, with SL_E_CANCELED, once visit says false. */
SL_NODISCARD int sl_db_keys_while(struct sl_db *db,
                                  bool (*visit)(void *ctx, const struct sl_db_key *key), void *ctx,
                                  char *why, size_t n);

#endif
