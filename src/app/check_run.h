/* What the parts of `sluice check` share: the run under way, and how it reports. */
#ifndef SLUICE_APP_CHECK_RUN_H
#define SLUICE_APP_CHECK_RUN_H

#include "app/check_call.h"
#include "app/cli.h"
#include "sluice/sim/sim.h"

struct sl_check_run {
    const struct sl_cli *cli;
    struct sl_config *config;
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_fetch_client *fetch;
    struct sl_sim *sim;
    struct sl_target *target; /* that is being looked at */
    size_t index;             /* of it in the configuration */
    const char *name;         /* of it, where there are several; else NULL */
    struct sl_buf body;       /* of the latest answer */
    unsigned failures;
};

/* "fail  WHAT – CAUSE; CURE" */
void sl_check_report(struct sl_check_run *run, const char *what,
                     const struct sl_check_verdict *verdict);
void sl_check_say(struct sl_check_run *run, enum sl_check_level level, const char *what,
                  const char *fmt, ...) SL_PRINTF(4, 5);

/*
 * Calls and explains. The subject's host and region are filled in here. False when it could not
 * even be sent (out of memory, no such plane), which is reported under `what`.
 */
SL_NODISCARD bool sl_check_ask(struct sl_check_run *run, const char *what,
                               const struct sl_check_request *request,
                               struct sl_check_subject *subject, struct sl_check_outcome *outcome,
                               struct sl_check_verdict *verdict);

/* check_model.c: everything about --model. */
void sl_check_model(struct sl_check_run *run);
/* check_quotas.c: what limits are known. */
void sl_check_quotas(struct sl_check_run *run);

#endif
