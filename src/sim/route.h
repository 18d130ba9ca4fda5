/* From method and path to operation: one table. */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

#include "sluice/base/arena.h"
#include "sluice/base/slice.h"

#define SL_SIM_OPERATIONS(X)                                                                       \
    X(UNKNOWN, "UnknownOperation")                                                                 \
    X(INVOKE, "InvokeModel")                                                                       \
    X(INVOKE_STREAM, "InvokeModelWithResponseStream")                                              \
    X(INVOKE_BIDIRECTIONAL, "InvokeModelWithBidirectionalStream")                                  \
    X(CONVERSE, "Converse")                                                                        \
    X(CONVERSE_STREAM, "ConverseStream")                                                           \
    X(COUNT_TOKENS, "CountTokens")                                                                 \
    X(APPLY_GUARDRAIL, "ApplyGuardrail")                                                           \
    X(GUARDRAIL_CHECKS, "InvokeGuardrailChecks")                                                   \
    X(START_ASYNC, "StartAsyncInvoke")                                                             \
    X(GET_ASYNC, "GetAsyncInvoke")                                                                 \
    X(LIST_ASYNC, "ListAsyncInvokes")                                                              \
    X(LIST_MODELS, "ListFoundationModels")                                                         \
    X(GET_MODEL, "GetFoundationModel")                                                             \
    X(LIST_PROFILES, "ListInferenceProfiles")                                                      \
    X(GET_PROFILE, "GetInferenceProfile")                                                          \
    X(SERVICE_QUOTAS, "ListServiceQuotas")                                                         \
    X(CHAT, "ChatCompletions")                                                                     \
    X(RESPONSES, "Responses")                                                                      \
    X(MESSAGES, "Messages")                                                                        \
    X(MESSAGES_COUNT, "MessagesCountTokens")                                                       \
    X(MANTLE_MODELS, "MantleModels")                                                               \
    X(STATS, "SimulatorStats")                                                                     \
    X(RESET, "SimulatorReset")

enum sl_sim_operation {
#define X(op, name) SL_SIM_OP_##op,
    SL_SIM_OPERATIONS(X)
#undef X
        SL_SIM_OPERATION_COUNT
};
const char *sl_sim_operation_name(enum sl_sim_operation op);

/* Whose shape errors take. */
enum sl_sim_api { SL_SIM_API_AWS, SL_SIM_API_AWS_JSON, SL_SIM_API_OPENAI, SL_SIM_API_ANTHROPIC };

#define SL_SIM_ROUTE_PARAMS 2
struct sl_sim_route {
    enum sl_sim_operation op;
    enum sl_sim_api api;
    unsigned services; /* that a signature may be scoped to; 0: no authentication */
    struct sl_slice params[SL_SIM_ROUTE_PARAMS]; /* decoded, in the arena */
};
/* Never fails but for memory: an unknown path is SL_SIM_OP_UNKNOWN. */
SL_NODISCARD int sl_sim_route_find(struct sl_slice method, struct sl_slice path,
                                   struct sl_arena *arena, struct sl_sim_route *out);

/* The decoded value of a query parameter, in the arena; empty where absent or malformed. */
struct sl_slice sl_sim_query_get(struct sl_slice query, struct sl_slice name,
                                 struct sl_arena *arena);

#endif
