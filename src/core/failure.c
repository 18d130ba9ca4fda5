/* Bedrock's exceptions. Statuses: service model of bedrock-runtime; signature errors: AWS common
 * errors. */
#include "sluice/core/failure.h"

#define ROW(exception_name, frame, http, again)                                                    \
    {                                                                                              \
        .exception = SL_LIT(exception_name), .frame_name = SL_LIT(frame), .status = (http),        \
        .transient = (again)                                                                       \
    }

static const struct sl_failure_info table[SL_FAILURE_COUNT] = {
    [SL_FAILURE_NONE] = ROW("", "", 200, false),
    [SL_FAILURE_THROTTLED] = ROW("ThrottlingException", "throttlingException", 429, true),
    [SL_FAILURE_NOT_READY] = ROW("ModelNotReadyException", "", 429, true),
    [SL_FAILURE_UNAVAILABLE] =
        ROW("ServiceUnavailableException", "serviceUnavailableException", 503, true),
    [SL_FAILURE_INTERNAL] = ROW("InternalServerException", "internalServerException", 500, true),
    [SL_FAILURE_MODEL_TIMEOUT] = ROW("ModelTimeoutException", "modelTimeoutException", 408, true),
    [SL_FAILURE_MODEL_ERROR] = ROW("ModelErrorException", "", 424, false),
    [SL_FAILURE_STREAM_ERROR] =
        ROW("ModelStreamErrorException", "modelStreamErrorException", 424, false),
    [SL_FAILURE_QUOTA] = ROW("ServiceQuotaExceededException", "", 400, false),
    [SL_FAILURE_VALIDATION] = ROW("ValidationException", "validationException", 400, false),
    [SL_FAILURE_CONFLICT] = ROW("ConflictException", "", 400, false),
    [SL_FAILURE_DENIED] = ROW("AccessDeniedException", "", 403, false),
    [SL_FAILURE_NOT_FOUND] = ROW("ResourceNotFoundException", "", 404, false),
    [SL_FAILURE_UNKNOWN_OPERATION] = ROW("UnknownOperationException", "", 404, false),
    [SL_FAILURE_TOO_LARGE] = ROW("RequestEntityTooLargeException", "", 413, false),
    [SL_FAILURE_BAD_SIGNATURE] = ROW("InvalidSignatureException", "", 403, false),
    [SL_FAILURE_UNKNOWN_CLIENT] = ROW("UnrecognizedClientException", "", 403, false),
    [SL_FAILURE_NO_SIGNATURE] = ROW("MissingAuthenticationTokenException", "", 403, false),
    [SL_FAILURE_INCOMPLETE_SIGNATURE] = ROW("IncompleteSignatureException", "", 400, false),
    [SL_FAILURE_EXPIRED_TOKEN] = ROW("ExpiredTokenException", "", 403, false),
    [SL_FAILURE_BAD_TOKEN] = ROW("AccessDeniedException", "", 403, false),
};

const struct sl_failure_info *sl_failure_info(enum sl_failure kind) {
    return &table[kind < SL_FAILURE_COUNT ? kind : SL_FAILURE_INTERNAL];
}

enum sl_failure sl_failure_named(struct sl_slice name) {
    /* "aws.protocoltests#FooError:http://internal…" → "FooError" */
    size_t hash = sl_slice_find(name, '#');
    if (hash < name.len)
        name = sl_slice_skip(name, hash + 1);
    name = sl_slice_head(name, sl_slice_find(name, ':'));
    for (int i = SL_FAILURE_NONE + 1; i < SL_FAILURE_COUNT; i++)
        if (sl_slice_ieq(name, table[i].exception))
            return (enum sl_failure)i;
    return SL_FAILURE_NONE;
}
