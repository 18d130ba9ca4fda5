/*
 * The simulated Bedrock: an HTTP service good enough to try the product on and to test it hard. It
 * verifies signatures, keeps quotas, speaks Bedrock's exact errors and frames, and injects faults
 * on request. Its text is deterministic from prompt and seed, and says that it is simulated.
 */
#ifndef SLUICE_SIM_SIM_H
#define SLUICE_SIM_SIM_H

#include "sluice/front/front.h"
#include "sluice/io/loop.h"

enum sl_sim_window { SL_SIM_WINDOW_BUCKET, SL_SIM_WINDOW_FIXED };

struct sl_sim_settings {
    uint64_t rpm, tpm, tpd; /* per model id; 0: unlimited */
    uint32_t max_in_flight; /* per process; 0: unlimited. Beyond: 503 "Too many connections, …" */
    enum sl_sim_window window;
    uint32_t window_ms;         /* how long a minute is; 0: a minute */
    uint32_t latency_ms;        /* before the response head */
    uint32_t first_token_ms;    /* head → first content frame of a stream */
    uint32_t tokens_per_second; /* pace of a stream; 0: as fast as it is read */
    uint64_t seed;
    const char *access_key_id, *secret; /* accepted beside any bearer token of `bearer`; */
    const char *session_token; /* that X-Amz-Security-Token must hold; NULL: any, or none */
    const char *bearer;        /* NULL: none is accepted */
    const char *region;        /* the scope a signature must carry; NULL: us-east-1 */
    /*
     * A fault for every n-th request, e.g. "throttle/10,reset-midway/50"; NULL: none. Single
     * requests ask for one with the header x-simulator-fault. Kinds: see src/sim/README.md.
     */
    const char *faults;
};

/* The credentials that the embedded simulator accepts by default. Not secret: they open nothing
 * else. */
#define SL_SIM_ACCESS_KEY_ID "AKIASIMULATOR0000001"
#define SL_SIM_SECRET        "simulated/secret/key/that/opens/nothing"
#define SL_SIM_BEARER        "simulated-api-key"

/* Whether settings.faults could be read; NULL is fine. */
bool sl_sim_knows_faults(const char *faults);

struct sl_sim;
/*
 * settings' strings must outlive it. Listens on host:port through a front of its own. On failure
 * NULL, and a sentence in `why` (an unknown fault kind, an address in use).
 */
SL_NODISCARD struct sl_sim *sl_sim_new(struct sl_loop *loop, const struct sl_sim_settings *settings,
                                       const char *host, uint16_t port, struct sl_tls *tls,
                                       char *why, size_t why_size);
const char *sl_sim_address(const struct sl_sim *sim);
/* Stops listening; what runs is finished. */
void sl_sim_drain(struct sl_sim *sim);
/* Ends what runs. Run the uv loop until the front's handles are closed. */
void sl_sim_free(struct sl_sim *sim);

#endif
