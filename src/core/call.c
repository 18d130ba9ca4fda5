/* What is known of each operation. */
#include "sluice/core/call.h"

#define ROW(op_name, where, frames, meter)                                                         \
    { .name = SL_LIT(op_name), .plane = (where), .framing = (frames), .metered = (meter) }

static const struct sl_operation_info table[SL_OP_COUNT] = {
    [SL_OP_NONE] = ROW("", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, false),
    [SL_OP_INVOKE_MODEL] = ROW("InvokeModel", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, true),
    [SL_OP_INVOKE_MODEL_STREAM] =
        ROW("InvokeModelWithResponseStream", SL_PLANE_RUNTIME, SL_FRAMING_EVENTSTREAM, true),
    [SL_OP_CONVERSE] = ROW("Converse", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, true),
    [SL_OP_CONVERSE_STREAM] = ROW("ConverseStream", SL_PLANE_RUNTIME, SL_FRAMING_EVENTSTREAM, true),
    [SL_OP_COUNT_TOKENS] = ROW("CountTokens", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, false),
    [SL_OP_APPLY_GUARDRAIL] = ROW("ApplyGuardrail", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, false),
    [SL_OP_INVOKE_GUARDRAIL_CHECKS] =
        ROW("InvokeGuardrailChecks", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, false),
    [SL_OP_START_ASYNC_INVOKE] = ROW("StartAsyncInvoke", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, false),
    [SL_OP_GET_ASYNC_INVOKE] = ROW("GetAsyncInvoke", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, false),
    [SL_OP_LIST_ASYNC_INVOKES] = ROW("ListAsyncInvokes", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, false),
    [SL_OP_CHAT_COMPLETIONS] = ROW("ChatCompletions", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, true),
    [SL_OP_RESPONSES] = ROW("Responses", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, true),
    [SL_OP_MESSAGES] = ROW("Messages", SL_PLANE_RUNTIME, SL_FRAMING_WHOLE, true),
    [SL_OP_MESSAGES_COUNT_TOKENS] =
        ROW("MessagesCountTokens", SL_PLANE_MANTLE, SL_FRAMING_WHOLE, false),
    [SL_OP_MANTLE_MODELS] = ROW("MantleModels", SL_PLANE_MANTLE, SL_FRAMING_WHOLE, false),
    [SL_OP_LIST_FOUNDATION_MODELS] =
        ROW("ListFoundationModels", SL_PLANE_CONTROL, SL_FRAMING_WHOLE, false),
    [SL_OP_GET_FOUNDATION_MODEL] =
        ROW("GetFoundationModel", SL_PLANE_CONTROL, SL_FRAMING_WHOLE, false),
    [SL_OP_LIST_INFERENCE_PROFILES] =
        ROW("ListInferenceProfiles", SL_PLANE_CONTROL, SL_FRAMING_WHOLE, false),
    [SL_OP_GET_INFERENCE_PROFILE] =
        ROW("GetInferenceProfile", SL_PLANE_CONTROL, SL_FRAMING_WHOLE, false),
};

const struct sl_operation_info *sl_operation_info(enum sl_operation op) {
    return &table[op < SL_OP_COUNT ? op : SL_OP_NONE];
}
