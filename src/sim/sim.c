/* The service: its settings, its front, and what its exchanges share. */
#include <stdio.h>

#include "sim/exchange.h"
#include "sluice/base/mem.h"

#define MAX_BODIES 268435456 /* of all requests under way: ten of the largest */

static void set_defaults(struct sl_sim_settings *s) {
    if (!s->region)
        s->region = "us-east-1";
    if (!s->secret)
        s->access_key_id = NULL; /* no secret verifies nothing */
}

struct sl_sim *sl_sim_new(struct sl_loop *loop, const struct sl_sim_settings *settings,
                          const char *host, uint16_t port, struct sl_tls *tls, char *why,
                          size_t why_size) {
    struct sl_sim *sim = sl_calloc(1, sizeof *sim);
    (void)snprintf(why, why_size, "out of memory");
    if (!sim)
        return NULL;
    sim->loop = loop;
    sim->settings = *settings;
    set_defaults(&sim->settings);
    sl_budget_init(&sim->bodies, MAX_BODIES, NULL);
    if (sl_sim_faults_init(&sim->faults, sl_slice_str(settings->faults)) != 0) {
        (void)snprintf(why, why_size, "faults: \"%s\" is not a list of KIND/N, of at most %d rules",
                       settings->faults, SL_SIM_FAULT_RULES);
        goto fail;
    }
    sim->quotas = sl_sim_quotas_new(&sim->settings);
    if (sim->quotas)
        sim->front = sl_front_new(loop, &SL_FRONT_LIMITS_DEFAULT, &sl_sim_handler, sim);
    if (!sim->front)
        goto fail;
    sim->address = sl_front_listen(sim->front, host, port, tls, why, why_size);
    if (sim->address)
        return sim;
fail:
    sl_sim_free(sim);
    return NULL;
}

const char *sl_sim_address(const struct sl_sim *sim) {
    return sim->address;
}

void sl_sim_drain(struct sl_sim *sim) {
    sl_front_drain(sim->front);
}

void sl_sim_free(struct sl_sim *sim) {
    if (!sim)
        return;
    if (sim->front)
        sl_front_free(sim->front); /* closes every exchange, which need the rest */
    sl_sim_quotas_free(sim->quotas);
    sl_sim_jobs_done(&sim->jobs);
    sl_sigv4_key_done(&sim->key);
    sl_free(sim);
}
