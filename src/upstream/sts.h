/*
 * The two calls of AWS STS that give credentials: AssumeRole, signed with others, and
 * AssumeRoleWithWebIdentity, unsigned. Query protocol, version 2011-06-15: a form goes out, XML
 * comes back.
 */
#ifndef SLUICE_UPSTREAM_STS_H
#define SLUICE_UPSTREAM_STS_H

#include "upstream/credhttp.h"

/* "https://sts.eu-west-1.amazonaws.com", and the region that a call to it is signed for. */
struct sl_sts_endpoint {
    char url[512];
    char region[64];
};
/*
 * By settings of the session: AWS_ENDPOINT_URL_STS, AWS_ENDPOINT_URL, the profile's services and
 * endpoint_url, else AWS's by region, regional unless AWS_STS_REGIONAL_ENDPOINTS says legacy.
 * SL_E_INVALID with a sentence.
 */
SL_NODISCARD int sl_sts_endpoint(const struct sl_credctx *ctx, struct sl_sts_endpoint *out,
                                 char *why, size_t why_size);

struct sl_sts_parameter {
    const char *name;
    struct sl_slice value; /* empty: left out */
};

/* Embedded in a source's state; a zeroed one may be stopped. */
struct sl_sts_call {
    struct sl_credhttp http;
    struct sl_credhttp_request request;
    struct sl_buf form, texts; /* the body; values of headers */
};
/* signer NULL: unsigned. SL_E_INVALID or SL_E_NOMEM with a sentence. */
SL_NODISCARD int sl_sts_start(struct sl_sts_call *call, struct sl_credctx *ctx,
                              const struct sl_sts_parameter *parameters, size_t count,
                              const struct sl_credentials *signer, char *why, size_t why_size);
/* Of the walk's present source: PENDING, FOUND or FAILED. `what` begins the sentence. */
enum sl_credpoll sl_sts_poll(struct sl_sts_call *call, struct sl_credwalk *walk, const char *what);
void sl_sts_stop(struct sl_sts_call *call);

/* Reads the answer of either call. SL_E_INVALID with a sentence. */
SL_NODISCARD int sl_sts_read(struct sl_slice document, const char *source, struct sl_credset **out,
                             char *why, size_t why_size);
/* "sluice-1764000000": where no role_session_name is set. */
#define SL_STS_SESSION_NAME_SIZE 32
void sl_sts_session_name(int64_t wall_ms, char out[SL_STS_SESSION_NAME_SIZE]);

#endif
