/* Why a request is refused: the kind (which gives status and exception name) and Bedrock's words.
 */
#ifndef SIM_REFUSE_H
#define SIM_REFUSE_H

#include "sluice/base/arena.h"
#include "sluice/core/failure.h"

struct sl_sim_refusal {
    struct sl_arena *arena; /* where the message lives; set by the owner */
    enum sl_failure kind;
    struct sl_slice message;
};

/* Fills it. Always SL_E_DENIED, so that `return sl_sim_refuse(…)` reads as it acts. */
int sl_sim_refuse(struct sl_sim_refusal *no, enum sl_failure kind, const char *fmt, ...)
    SL_PRINTF(3, 4);

#endif
