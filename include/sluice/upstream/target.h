/*
 * A target: one account's Bedrock in one region. It knows the hosts of its planes, asks for
 * credentials, signs at the moment of dispatch, and runs one attempt through the fetch client.
 * It does not judge replies: status, headers and bytes go up as they came.
 */
#ifndef SLUICE_UPSTREAM_TARGET_H
#define SLUICE_UPSTREAM_TARGET_H

#include "sluice/core/call.h"
#include "sluice/core/target.h"
#include "sluice/io/fetch.h"

struct sl_target;
struct sl_attempt;

/* On failure NULL and a sentence in `why` that names the setting to change. */
SL_NODISCARD struct sl_target *sl_target_new(struct sl_loop *loop, struct sl_fetch_client *client,
                                             const struct sl_target_settings *settings,
                                             const struct sl_upstream_timeouts *timeouts, char *why,
                                             size_t why_size);
void sl_target_free(struct sl_target *target);
const char *sl_target_name(const struct sl_target *target);
const char *sl_target_region(const struct sl_target *target);
/* "https://bedrock-runtime.us-east-1.amazonaws.com": where a plane's calls go; NULL: it has no such
 * plane. */
const char *sl_target_endpoint(const struct sl_target *target, enum sl_plane plane);
struct sl_credentials_provider;
struct sl_credentials_provider *sl_target_credentials(struct sl_target *target);

struct sl_attempt_result {
    int error; /* as in sl_fetch_result; SL_E_DENIED with phase SL_FETCH_RESOLVE: no credentials */
    enum sl_fetch_phase phase;
    const char *why;
    /* Refused for the date it was signed with, because our clock is wrong. By how much is known
     * now: sent again, it is signed with AWS's date. */
    bool misdated;
};
struct sl_attempt_events {
    void (*on_head)(void *ctx, const struct sl_fetch_head *head);
    void (*on_data)(void *ctx, struct sl_slice bytes);
    void (*on_done)(void *ctx,
                    const struct sl_attempt_result *result); /* exactly once unless cancelled */
};
/*
 * Starts one attempt: signed now if credentials are at hand, else as soon as they are. call must
 * outlive it. NULL: out of memory, or the target has no such plane.
 */
SL_NODISCARD struct sl_attempt *sl_attempt_start(struct sl_target *target,
                                                 const struct sl_call *call,
                                                 const struct sl_attempt_events *events, void *ctx);
void sl_attempt_pause(struct sl_attempt *attempt);
void sl_attempt_resume(struct sl_attempt *attempt);
void sl_attempt_cancel(struct sl_attempt *attempt);

#endif
