#include "sim/error.h"

#define COORDINATES ":http://internal.amazon.com/coral/com.amazon.bedrock/"

/* Errors of AWS's front door, in front of the service: their type has no coordinates. */
static bool is_front_door(enum sl_failure kind) {
    return kind >= SL_FAILURE_UNKNOWN_OPERATION;
}

/* OpenAI and Anthropic know one status for those who are not let in. */
static bool is_stranger(const struct sl_sim_refusal *no) {
    return no->kind >= SL_FAILURE_BAD_SIGNATURE || no->kind == SL_FAILURE_DENIED;
}

static int write_aws(struct sl_sim_out *out, const struct sl_sim_refusal *no,
                     struct sl_slice *type) {
    const struct sl_failure_info *info = sl_failure_info(no->kind);
    *type = info->exception;
    if (!is_front_door(no->kind) &&
        sl_arena_printf(no->arena, type, "%.*s" COORDINATES, SL_FMT(info->exception)) != 0)
        *type = info->exception;
    if (no->kind == SL_FAILURE_UNKNOWN_OPERATION)
        sl_sim_put(out, "{'Output':{'__type':'com.amazon.coral.service#UnknownOperationException'},"
                        "'Version':'1.0'}");
    else
        sl_sim_put(out, "{'message':%s}", no->message);
    return info->status;
}

/* Service Quotas speaks awsJson1.1: the type is in the body, nearly every status is 400. */
static int write_aws_json(struct sl_sim_out *out, const struct sl_sim_refusal *no,
                          struct sl_slice *type) {
    const struct sl_failure_info *info = sl_failure_info(no->kind);
    *type = no->kind == SL_FAILURE_NOT_FOUND    ? SL_LIT("NoSuchResourceException")
            : no->kind == SL_FAILURE_VALIDATION ? SL_LIT("IllegalArgumentException")
            : no->kind == SL_FAILURE_THROTTLED  ? SL_LIT("TooManyRequestsException")
            : no->kind == SL_FAILURE_INTERNAL   ? SL_LIT("ServiceException")
                                                : info->exception;
    sl_sim_put(out, "{'__type':%s,'message':%s}", *type, no->message);
    return info->status >= 500 ? info->status : 400;
}

static int write_openai(struct sl_sim_out *out, const struct sl_sim_refusal *no) {
    int status = is_stranger(no) ? 401 : sl_failure_info(no->kind)->status;
    const char *type = status == 401   ? "authentication_error"
                       : status == 429 ? "rate_limit_error"
                       : status >= 500 ? "server_error"
                                       : "invalid_request_error";
    const char *code = status == 401   ? "'invalid_api_key'"
                       : status == 429 ? "'rate_limit_exceeded'"
                       : status == 404 ? "'model_not_found'"
                                       : "null";
    sl_sim_put(out, "{'error':{'message':%s,'type':%s,'param':null,'code':", no->message,
               sl_slice_str(type));
    sl_sim_put(out, code);
    sl_sim_put(out, "}}");
    return status;
}

static int write_anthropic(struct sl_sim_out *out, const struct sl_sim_refusal *no,
                           struct sl_slice request_id) {
    int status = is_stranger(no) ? 401 : sl_failure_info(no->kind)->status;
    const char *type = status == 401   ? "authentication_error"
                       : status == 404 ? "not_found_error"
                       : status == 413 ? "request_too_large"
                       : status == 429 ? "rate_limit_error"
                       : status == 503 ? "overloaded_error"
                       : status >= 500 ? "api_error"
                                       : "invalid_request_error";
    sl_sim_put(out, "{'type':'error','error':{'type':%s,'message':%s},'request_id':%s}",
               sl_slice_str(type), no->message, request_id);
    return status;
}

int sl_sim_error_write(struct sl_sim_out *out, enum sl_sim_api api, const struct sl_sim_refusal *no,
                       struct sl_slice request_id, struct sl_slice *type) {
    *type = SL_EMPTY;
    switch (api) {
    case SL_SIM_API_OPENAI:
        return write_openai(out, no);
    case SL_SIM_API_ANTHROPIC:
        return write_anthropic(out, no, request_id);
    case SL_SIM_API_AWS_JSON:
        return write_aws_json(out, no, type);
    case SL_SIM_API_AWS:
        break;
    }
    return write_aws(out, no, type);
}
