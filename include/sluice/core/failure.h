/*
 * Kinds of failure and how Bedrock words them: one table gives the exception's
 * name, its HTTP status, and whether waiting or another target can cure it.
 * Source: the service model's error shapes; AWS's retry guidance for Bedrock.
 */
#ifndef SLUICE_CORE_FAILURE_H
#define SLUICE_CORE_FAILURE_H

#include "sluice/base/slice.h"

enum sl_failure {
    SL_FAILURE_NONE,
    SL_FAILURE_THROTTLED,            /* ThrottlingException 429 */
    SL_FAILURE_NOT_READY,            /* ModelNotReadyException 429 */
    SL_FAILURE_UNAVAILABLE,          /* ServiceUnavailableException 503 */
    SL_FAILURE_INTERNAL,             /* InternalServerException 500 */
    SL_FAILURE_MODEL_TIMEOUT,        /* ModelTimeoutException 408 */
    SL_FAILURE_MODEL_ERROR,          /* ModelErrorException 424 */
    SL_FAILURE_STREAM_ERROR,         /* ModelStreamErrorException 424 */
    SL_FAILURE_QUOTA,                /* ServiceQuotaExceededException 400 */
    SL_FAILURE_VALIDATION,           /* ValidationException 400 */
    SL_FAILURE_CONFLICT,             /* ConflictException 400 */
    SL_FAILURE_DENIED,               /* AccessDeniedException 403 */
    SL_FAILURE_NOT_FOUND,            /* ResourceNotFoundException 404 */
    SL_FAILURE_UNKNOWN_OPERATION,    /* UnknownOperationException 404 */
    SL_FAILURE_TOO_LARGE,            /* RequestEntityTooLargeException 413 (HTTP layer) */
    SL_FAILURE_BAD_SIGNATURE,        /* InvalidSignatureException 403 */
    SL_FAILURE_UNKNOWN_CLIENT,       /* UnrecognizedClientException 403 */
    SL_FAILURE_NO_SIGNATURE,         /* MissingAuthenticationTokenException 403 */
    SL_FAILURE_INCOMPLETE_SIGNATURE, /* IncompleteSignatureException 400 */
    SL_FAILURE_EXPIRED_TOKEN,        /* ExpiredTokenException 403 */
    SL_FAILURE_BAD_TOKEN,            /* AccessDeniedException 403, of a bearer token: who it is, not
                                        what they may; other APIs tell these apart */
    SL_FAILURE_COUNT
};

struct sl_failure_info {
    struct sl_slice exception; /* "ThrottlingException": x-amzn-ErrorType, without the URL part */
    struct sl_slice
        frame_name; /* "throttlingException": :exception-type; empty if never in a frame */
    int status;
    bool transient; /* trying again later, or elsewhere, may help */
};

const struct sl_failure_info *sl_failure_info(enum sl_failure kind);
/*
 * From an exception name in either case ("ThrottlingException", "throttlingException", with
 * ":http://…" or "ns#" around it, as on the wire). SL_FAILURE_NONE when unknown.
 */
enum sl_failure sl_failure_named(struct sl_slice name);

#endif
