/*
 * Who asks: a SigV4 signature or an API key, checked as strictly as AWS does and refused in its
 * words. In two steps: what the head alone can tell, so that a stranger's body is never kept, then
 * the signature, which covers the body's hash.
 */
#ifndef SIM_AUTH_H
#define SIM_AUTH_H

#include "sim/refuse.h"
#include "sluice/core/message.h"
#include "sluice/sim/sim.h"
#include "sluice/wire/sigv4.h"

/* Services a signature's scope may name; a route says which it takes. */
enum {
    SL_SIM_SERVICE_BEDROCK = 1,
    SL_SIM_SERVICE_MANTLE = 2,
    SL_SIM_SERVICE_QUOTAS = 4,
};

struct sl_sim_auth {
    bool signature_due; /* sl_sim_auth_body is still to be asked */
    unsigned service;   /* the one the scope names; 0 with an API key */
    struct sl_sigv4_credential credential;
    struct sl_slice date; /* "20150830T123600Z" */
};

/* services: those that the route takes. 0 or SL_E_DENIED, with *no filled. */
SL_NODISCARD int sl_sim_auth_head(struct sl_sim_auth *auth, const struct sl_sim_settings *settings,
                                  const struct sl_request_head *head, unsigned services,
                                  int64_t wall_ms, struct sl_sim_refusal *no);
/* body_sha256 NULL: a body of signed event frames, which the head's signature does not cover. */
SL_NODISCARD int sl_sim_auth_body(const struct sl_sim_auth *auth,
                                  const struct sl_sim_settings *settings,
                                  const struct sl_request_head *head, struct sl_sigv4_key *key,
                                  const uint8_t *body_sha256, struct sl_sim_refusal *no);

#endif
