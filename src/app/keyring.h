/*
 * The client keys of one state folder: the master secrets (STATE/master.key, 0600, made at first
 * use; STATE/master.key.old while it is being retired) and the records, put into the keys room as
 * the store reads them.
 */
#ifndef SLUICE_SRC_APP_KEYRING_H
#define SLUICE_SRC_APP_KEYRING_H

#include "sluice/keys/keys.h"
#include "sluice/store/store.h"

struct sl_keyring {
    struct sl_keys *keys;
};

/* On failure a sentence in why, and nothing is held. The folder is there already. */
SL_NODISCARD int sl_keyring_open(struct sl_keyring *ring, const char *state, char *why,
                                 size_t why_size);
void sl_keyring_close(struct sl_keyring *ring);
/* For sl_store_watch_keys, ctx is the ring: takes a row in; NULL: those were all. */
void sl_keyring_apply(void *ring, const struct sl_db_key *row);
/* A row as the keys room wants it; points into the row. */
struct sl_key_record sl_keyring_record(const struct sl_db_key *row);

#endif
