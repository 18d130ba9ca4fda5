/*
 * A call is one piece of upstream work, as a dialect decoded it: what is asked of
 * which model, the bytes to send, and the facts that scheduling and accounting need.
 */
#ifndef SLUICE_CORE_CALL_H
#define SLUICE_CORE_CALL_H

#include "sluice/base/chain.h"
#include "sluice/core/client.h"
#include "sluice/core/load.h"
#include "sluice/core/message.h"
#include "sluice/core/usage.h"

/* Which of Bedrock's hosts serves a call. Each is a kind of target with quotas of its own. */
enum sl_plane {
    SL_PLANE_RUNTIME, /* bedrock-runtime.REGION, signed for "bedrock" */
    SL_PLANE_CONTROL, /* bedrock.REGION, signed for "bedrock" */
    SL_PLANE_MANTLE,  /* bedrock-mantle.REGION.api.aws, signed for "bedrock-mantle" */
    SL_PLANE_QUOTAS,  /* servicequotas.REGION, the Service Quotas API; no client's calls */
    SL_PLANE_COUNT
};

enum sl_operation {
    SL_OP_NONE,
    SL_OP_INVOKE_MODEL,
    SL_OP_INVOKE_MODEL_STREAM,
    SL_OP_CONVERSE,
    SL_OP_CONVERSE_STREAM,
    SL_OP_COUNT_TOKENS,
    SL_OP_APPLY_GUARDRAIL,
    SL_OP_INVOKE_GUARDRAIL_CHECKS,
    SL_OP_START_ASYNC_INVOKE,
    SL_OP_GET_ASYNC_INVOKE,
    SL_OP_LIST_ASYNC_INVOKES,
    SL_OP_CHAT_COMPLETIONS,      /* Bedrock's own /openai/v1/chat/completions */
    SL_OP_RESPONSES,             /* /openai/v1/responses */
    SL_OP_MESSAGES,              /* /anthropic/v1/messages */
    SL_OP_MESSAGES_COUNT_TOKENS, /* mantle's /anthropic/v1/messages/count_tokens */
    SL_OP_MANTLE_MODELS,         /* mantle's GET …/models */
    SL_OP_LIST_FOUNDATION_MODELS,
    SL_OP_GET_FOUNDATION_MODEL,
    SL_OP_LIST_INFERENCE_PROFILES,
    SL_OP_GET_INFERENCE_PROFILE,
    SL_OP_COUNT
};

/* How the answer's body is framed. */
enum sl_framing {
    SL_FRAMING_WHOLE,       /* one document */
    SL_FRAMING_EVENTSTREAM, /* application/vnd.amazon.eventstream */
    SL_FRAMING_SSE,         /* text/event-stream */
};

struct sl_operation_info {
    struct sl_slice name; /* as AWS names it, "InvokeModel" */
    enum sl_plane plane;
    enum sl_framing framing; /* of a success; SSE dialects decide by the body's "stream" */
    bool metered;            /* uses model tokens */
};
const struct sl_operation_info *sl_operation_info(enum sl_operation op);

struct sl_call {
    enum sl_operation operation;
    enum sl_plane plane;
    enum sl_framing framing;
    struct sl_slice model; /* decoded id or ARN; empty where the operation names none */
    struct sl_slice method;
    struct sl_slice target;     /* path and query to emit, byte for byte */
    struct sl_headers headers;  /* end-to-end headers to send, unsigned */
    struct sl_chain body;       /* its bytes count against memory.max */
    uint8_t body_sha256[32];    /* of the body as it is sent, but for where it is due: */
    bool hash_due;              /* sl_edit_hash takes it, if the call is sent at all */
    struct sl_slice rejoin_key; /* amz-sdk-invocation-id or Idempotency-Key; empty: none */
    struct sl_slice
        served_model;       /* what x-sluice-model says, when the model was mapped; else empty */
    struct sl_slice edited; /* what x-sluice-edited says; else empty */
    int64_t max_tokens;     /* asked for; -1: unset */
    /* What the body says. */
    struct sl_load load;
    bool has_load;      /* the body was read, and is JSON */
    bool deterministic; /* asked again, the model would answer the same */
    bool has_meaning;
    uint8_t meaning[32]; /* canonical digest of the body as it is sent */
    /* What the client wishes besides (dialect/wishes.h). */
    uint64_t timeout_ms;    /* from arrival; 0: not said */
    enum sl_class priority; /* SL_CLASS_COUNT: not said */
    struct {
        bool no_store, no_cache, only_if_cached;
        int64_t max_age; /* seconds; -1: not said */
    } cache;             /* Cache-Control of the request (RFC 9111 5.2.1) */
};

#endif
