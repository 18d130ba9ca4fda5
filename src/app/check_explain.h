/*
 * From what came back to what it means: one table maps (how far the attempt came, status,
 * exception, message) to a cause and a cure. Pure, so that every row is tested without a network.
 */
#ifndef SLUICE_APP_CHECK_EXPLAIN_H
#define SLUICE_APP_CHECK_EXPLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "sluice/base/slice.h"
#include "sluice/io/fetch.h"

enum sl_check_level { SL_CHECK_OK, SL_CHECK_WARN, SL_CHECK_FAIL };

/* What one call brought back. Texts are NUL-terminated; empty where there is none. */
struct sl_check_outcome {
    int error; /* of the attempt; 0: an answer came, and the fields below hold */
    enum sl_fetch_phase phase;
    char why[1024];
    int status;
    char exception[96]; /* "AccessDeniedException" */
    char message[512];
    int64_t date_ms; /* of the Date header; -1: none */
};

/* What the call was, for the words of an explanation. */
struct sl_check_subject {
    const char *action; /* IAM action, "bedrock:InvokeModel" */
    const char *host;   /* "https://bedrock-runtime.us-east-1.amazonaws.com" */
    const char *region;
    const char *model; /* "the model" where the call names none */
};

struct sl_check_verdict {
    enum sl_check_level level;
    bool permission; /* AWS knows the caller, but does not allow this action */
    char cause[1280];
    char cure[512]; /* empty where nothing needs to be done */
};

void sl_check_explain(const struct sl_check_outcome *outcome,
                      const struct sl_check_subject *subject, struct sl_check_verdict *verdict);

/* AWS refuses signatures older or newer than 5 minutes (SigV4). date_ms and wall_ms: UTC. */
void sl_check_clock(int64_t date_ms, int64_t wall_ms, struct sl_check_verdict *verdict);

/*
 * Whether a profile's prefix ("us.") can be called from a region at all. Geographic profiles are
 * only offered in regions of their own part of the world (Bedrock user guide, "Supported Regions
 * and models for inference profiles").
 */
void sl_check_prefix(struct sl_slice prefix, const char *region, struct sl_check_verdict *verdict);

/* The answer of GetFoundationModelAvailability: each field's own cause and cure. */
void sl_check_availability(struct sl_slice body, const struct sl_check_subject *subject,
                           struct sl_check_verdict *verdict);

/* The Date of a response (IMF-fixdate, RFC 9110 5.6.7), or -1. */
int64_t sl_check_date(struct sl_slice value);

#endif
