/*
 * OpenAI's errors: one table gives each failure its type, code and status. Its SDKs try again at
 * 408, 409, 429 and from 500 on, so what waiting cannot cure must have none of these.
 */
#include "dialect/openai.h"
#include "dialect/tell.h"
#include "sluice/wire/sse.h"

static const struct {
    const char *type, *code; /* code NULL: null */
    int status;
} errors[SL_FAILURE_COUNT] = {
    [SL_FAILURE_NONE] = {"server_error", NULL, 500},
    [SL_FAILURE_THROTTLED] = {"rate_limit_error", "rate_limit_exceeded", 429},
    [SL_FAILURE_NOT_READY] = {"rate_limit_error", "model_not_ready", 429},
    [SL_FAILURE_UNAVAILABLE] = {"server_error", "service_unavailable", 503},
    [SL_FAILURE_INTERNAL] = {"server_error", NULL, 500},
    [SL_FAILURE_MODEL_TIMEOUT] = {"server_error", "model_timeout", 408},
    [SL_FAILURE_MODEL_ERROR] = {"server_error", "model_error", 502},
    [SL_FAILURE_STREAM_ERROR] = {"server_error", "model_error", 502},
    [SL_FAILURE_QUOTA] = {"invalid_request_error", "quota_exceeded", 400},
    [SL_FAILURE_VALIDATION] = {"invalid_request_error", NULL, 400},
    [SL_FAILURE_CONFLICT] = {"invalid_request_error", "conflict", 400},
    [SL_FAILURE_DENIED] = {"permission_error", "permission_denied", 403},
    [SL_FAILURE_NOT_FOUND] = {"invalid_request_error", "model_not_found", 404},
    [SL_FAILURE_UNKNOWN_OPERATION] = {"invalid_request_error", "unknown_url", 404},
    [SL_FAILURE_TOO_LARGE] = {"invalid_request_error", "request_too_large", 413},
    [SL_FAILURE_BAD_SIGNATURE] = {"invalid_request_error", "invalid_api_key", 401},
    [SL_FAILURE_UNKNOWN_CLIENT] = {"invalid_request_error", "invalid_api_key", 401},
    [SL_FAILURE_NO_SIGNATURE] = {"invalid_request_error", "invalid_api_key", 401},
    [SL_FAILURE_INCOMPLETE_SIGNATURE] = {"invalid_request_error", "invalid_api_key", 401},
    [SL_FAILURE_EXPIRED_TOKEN] = {"invalid_request_error", "invalid_api_key", 401},
    [SL_FAILURE_BAD_TOKEN] = {"invalid_request_error", "invalid_api_key", 401},
};

int sl_openai_status(enum sl_failure kind) {
    return errors[kind < SL_FAILURE_COUNT ? kind : SL_FAILURE_INTERNAL].status;
}

static void put_members(struct sl_put *p, enum sl_failure kind, struct sl_slice message) {
    size_t row = kind < SL_FAILURE_COUNT ? kind : SL_FAILURE_INTERNAL;
    sl_put_member_string(p, "message", message);
    sl_put_member_string(p, "type", sl_slice_str(errors[row].type));
    sl_put_member(p, "param", SL_LIT("null"));
    if (errors[row].code)
        sl_put_member_string(p, "code", sl_slice_str(errors[row].code));
    else
        sl_put_member(p, "code", SL_LIT("null"));
}

int sl_openai_error_body(struct sl_buf *out, enum sl_failure kind, struct sl_slice message,
                         const char *id) {
    struct sl_put p = {.to = out};
    (void)id; /* in a header */
    sl_put(&p, "{\"error\":{");
    put_members(&p, kind, message);
    sl_put(&p, "}}");
    return p.err;
}

int sl_openai_error_event(struct sl_buf *out, enum sl_failure kind, struct sl_slice message) {
    return sl_tell_event(out, NULL, sl_openai_error_body, kind, message, NULL);
}

int sl_openai_response_error(struct sl_buf *out, enum sl_failure kind, struct sl_slice message,
                             int64_t sequence) {
    struct sl_buf data;
    struct sl_put p = {.to = &data};
    size_t row = kind < SL_FAILURE_COUNT ? kind : SL_FAILURE_INTERNAL;
    const char *code = errors[row].code ? errors[row].code : errors[row].type;
    sl_buf_init(&data, message.len * 6 + 512);
    sl_put(&p, "{\"type\":\"error\"");
    sl_put_member_string(&p, "code", sl_slice_str(code));
    sl_put_member_string(&p, "message", message);
    sl_put(&p, ",\"param\":null");
    sl_put_member_int(&p, "sequence_number", sequence);
    sl_put(&p, "}");
    int err = p.err ? p.err : sl_sse_encode(out, SL_LIT("error"), sl_buf_slice(&data));
    sl_buf_done(&data);
    return err;
}
