/* Anthropic's heads and errors: one table gives each failure its type and status. */
#include "dialect/anthropic.h"
#include "dialect/tell.h"

static const struct {
    struct sl_slice type;
    int status;
} errors[SL_FAILURE_COUNT] = {
    [SL_FAILURE_NONE] = {SL_LIT("api_error"), 500},
    [SL_FAILURE_THROTTLED] = {SL_LIT("rate_limit_error"), 429},
    [SL_FAILURE_NOT_READY] = {SL_LIT("overloaded_error"), 529},
    [SL_FAILURE_UNAVAILABLE] = {SL_LIT("overloaded_error"), 503},
    [SL_FAILURE_INTERNAL] = {SL_LIT("api_error"), 500},
    [SL_FAILURE_MODEL_TIMEOUT] = {SL_LIT("timeout_error"), 504},
    [SL_FAILURE_MODEL_ERROR] = {SL_LIT("api_error"), 500},
    [SL_FAILURE_STREAM_ERROR] = {SL_LIT("api_error"), 500},
    [SL_FAILURE_QUOTA] = {SL_LIT("invalid_request_error"), 400},
    [SL_FAILURE_VALIDATION] = {SL_LIT("invalid_request_error"), 400},
    [SL_FAILURE_CONFLICT] = {SL_LIT("invalid_request_error"), 409},
    [SL_FAILURE_DENIED] = {SL_LIT("permission_error"), 403},
    [SL_FAILURE_NOT_FOUND] = {SL_LIT("not_found_error"), 404},
    [SL_FAILURE_UNKNOWN_OPERATION] = {SL_LIT("not_found_error"), 404},
    [SL_FAILURE_TOO_LARGE] = {SL_LIT("request_too_large"), 413},
    [SL_FAILURE_BAD_SIGNATURE] = {SL_LIT("authentication_error"), 401},
    [SL_FAILURE_UNKNOWN_CLIENT] = {SL_LIT("authentication_error"), 401},
    [SL_FAILURE_NO_SIGNATURE] = {SL_LIT("authentication_error"), 401},
    [SL_FAILURE_INCOMPLETE_SIGNATURE] = {SL_LIT("authentication_error"), 401},
    [SL_FAILURE_EXPIRED_TOKEN] = {SL_LIT("authentication_error"), 401},
    [SL_FAILURE_BAD_TOKEN] = {SL_LIT("authentication_error"), 401},
};

int sl_anthropic_status(enum sl_failure kind) {
    return errors[kind < SL_FAILURE_COUNT ? kind : SL_FAILURE_INTERNAL].status;
}

int sl_anthropic_error_body(struct sl_buf *out, enum sl_failure kind, struct sl_slice message,
                            const char *id) {
    struct sl_put p = {out, SL_OK};
    sl_put(&p, "{\"type\":\"error\",\"error\":{");
    sl_put_member_string(&p, "type",
                         errors[kind < SL_FAILURE_COUNT ? kind : SL_FAILURE_INTERNAL].type);
    sl_put_member_string(&p, "message", message);
    sl_put(&p, "}");
    if (id)
        sl_put_member_string(&p, "request_id", sl_slice_str(id));
    else
        sl_put_member(&p, "request_id", SL_LIT("null"));
    sl_put(&p, "}");
    return p.err;
}

int sl_anthropic_error_event(struct sl_buf *out, enum sl_failure kind, struct sl_slice message,
                             const char *id) {
    return sl_tell_event(out, "error", sl_anthropic_error_body, kind, message, id);
}

int sl_anthropic_head(struct sl_response_head *head, struct sl_arena *arena,
                      const struct sl_ask *ask) {
    struct sl_slice type =
        ask->stream ? SL_LIT("text/event-stream; charset=utf-8") : SL_LIT("application/json");
    *head = (struct sl_response_head){.status = 200, .content_length = SL_LENGTH_UNKNOWN};
    int err = sl_headers_add(&head->headers, arena, SL_LIT("Content-Type"), type);
    if (!err && ask->stream)
        err = sl_headers_add(&head->headers, arena, SL_LIT("Cache-Control"), SL_LIT("no-cache"));
    if (!err)
        err = sl_headers_add(&head->headers, arena, SL_LIT("request-id"), sl_slice_str(ask->id));
    return err;
}
