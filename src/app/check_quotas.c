/*
 * What is known of a target's limits before the first call. Nothing here is needed for the gateway
 * to run, so nothing is worse than a warning: what is not known is learned from refusals.
 */
#include <inttypes.h>
#include <stdio.h>

#include "app/check_run.h"
#include "sluice/upstream/quotas.h"

#define WHAT "quotas"
#define CURE                                                                                       \
    "allow servicequotas:ListServiceQuotas, write limits under quotas.models, or leave it: "       \
    "limits "                                                                                      \
    "are learned from refusals"

/* See check_call.c: what ends the wait stops the loop. */
struct waiting {
    uv_loop_t *uv;
    struct sl_quota_rows rows;
    int error;
    char why[512];
    bool done;
};

static void on_done(void *ctx, const struct sl_quota_answer *answer) {
    struct waiting *w = ctx;
    w->error = answer->error;
    snprintf(w->why, sizeof(w->why), "%s", answer->why);
    w->rows = *answer->rows;
    *answer->rows = (struct sl_quota_rows){0};
    w->done = true;
    uv_stop(w->uv);
}

static void fetch(struct sl_check_run *run, struct waiting *w) {
    *w = (struct waiting){.uv = run->loop.uv};
    if (sl_quota_ask_start(&run->loop, run->target, on_done, w))
        while (!w->done)
            uv_run(run->loop.uv, UV_RUN_DEFAULT);
    else
        w->error = SL_E_NOMEM;
}

/* The models that a list has limits of: rows of one model stand together or not, so each is
 * counted where it stands first. */
static size_t count_models(const struct sl_quota_rows *rows) {
    size_t count = 0;
    for (size_t i = 0; i < rows->count; i++) {
        size_t k = 0;
        while (!sl_slice_eq(rows->items[k].model, rows->items[i].model))
            k++;
        count += k == i;
    }
    return count;
}

static void report_rows(struct sl_check_run *run, const struct waiting *w) {
    struct sl_check_verdict verdict = {.level = SL_CHECK_WARN};
    if (w->error) {
        snprintf(verdict.cause, sizeof(verdict.cause), "Service Quotas cannot be asked: %s",
                 w->why[0] ? w->why : sl_error_name(w->error));
        snprintf(verdict.cure, sizeof(verdict.cure), CURE);
        sl_check_report(run, WHAT, &verdict);
    } else if (w->rows.count == 0) {
        sl_check_say(run, SL_CHECK_OK, WHAT,
                     "Service Quotas lists none of models known here; limits are learned");
    } else {
        sl_check_say(run, SL_CHECK_OK, WHAT, "Service Quotas lists %zu limits of %zu models",
                     w->rows.count, count_models(&w->rows));
    }
}

static uint64_t either(uint64_t configured, uint64_t listed) {
    return configured ? configured : listed;
}

static size_t add_limit(char *out, size_t size, size_t n, uint64_t value, const char *of) {
    if (value == 0)
        return n;
    int wrote = snprintf(out + n, size - n, "%s%" PRIu64 " %s", n ? ", " : "", value, of);
    return wrote > 0 && (size_t)wrote < size - n ? n + (size_t)wrote : n;
}

/* The limits that calls of --model begin with here. */
static void report_model(struct sl_check_run *run, const struct sl_quota_rows *rows) {
    char text[256] = "";
    struct sl_slice model = sl_slice_str(run->cli->model);
    struct sl_limits own = sl_config_limits(run->config, model);
    struct sl_quota_limits listed;
    sl_quota_rows_find(rows, model, sl_model_channel(model), &listed);
    size_t n = add_limit(text, sizeof(text), 0, either(own.rpm, listed.rpm), "requests a minute");
    n = add_limit(text, sizeof(text), n, either(own.tpm, listed.tpm), "tokens a minute");
    n = add_limit(text, sizeof(text), n, either(own.tpd, listed.tpd), "tokens a day");
    n = add_limit(text, sizeof(text), n, own.in_flight, "calls at once");
    sl_check_say(run, SL_CHECK_OK, "model quotas", "%s has %s", run->cli->model,
                 n ? text : "no known limits; they are learned");
}

void sl_check_quotas(struct sl_check_run *run) {
    struct waiting w = {0};
    if (run->config->quotas.source == SL_QUOTAS_CONFIG) {
        sl_check_say(run, SL_CHECK_OK, WHAT,
                     "as configured for %zu models by name; others are learned",
                     run->config->quotas.models.count);
    } else if (!sl_target_endpoint(run->target, SL_PLANE_QUOTAS)) {
        sl_check_say(run, SL_CHECK_OK, WHAT,
                     "Service Quotas has no FIPS endpoint, so it is not asked; limits are learned");
    } else {
        fetch(run, &w);
        report_rows(run, &w);
    }
    if (run->cli->model)
        report_model(run, &w.rows);
    sl_quota_rows_done(&w.rows);
}
