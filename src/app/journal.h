/*
 * What outlives the process beside keys and ledger: quota use and what was learned (STATE/quotas),
 * and the kept answers (STATE/cache). Read at start; written now and then and at the end, off the
 * loop, whole or not at all. A damaged file is said and ignored. What cannot be written is said
 * once, for the store as well.
 */
#ifndef SLUICE_SRC_APP_JOURNAL_H
#define SLUICE_SRC_APP_JOURNAL_H

#include <limits.h>

#include "sluice/flow/flow.h"
#include "sluice/store/store.h"

struct sl_journal {
    struct sl_loop *loop;
    struct sl_flow *flow;
    struct sl_store *store;
    char state[PATH_MAX], quotas[PATH_MAX], cache[PATH_MAX];
    uint64_t snapshot_ns; /* between snapshots; 0: none */
    struct sl_timer quotas_timer, snapshot_timer;
    struct sl_snapshot_job *job; /* under way */
    struct {
        bool quotas, snapshot, store; /* each was told, and is not over */
    } trouble;
};

/* Reads what is there and starts the timers. The flow has served nothing yet. */
void sl_journal_open(struct sl_journal *journal, struct sl_loop *loop, struct sl_flow *flow,
                     struct sl_store *store, const char *state, uint64_t snapshot_ns);
void sl_journal_configure(struct sl_journal *journal, uint64_t snapshot_ns);
/* Writes both once more; the store is freed after this, the flow after the store. */
void sl_journal_close(struct sl_journal *journal);

#endif
