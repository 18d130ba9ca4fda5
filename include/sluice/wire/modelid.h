/*
 * Model identifiers in a request path: any form Bedrock accepts, raw or
 * percent-encoded, up to 2048 bytes: base ids, inference-profile ids, and ARNs of
 * foundation models, inference profiles, application inference profiles,
 * provisioned, custom and imported models, custom-model deployments, prompts,
 * prompt routers and SageMaker endpoints.
 */
#ifndef SLUICE_WIRE_MODELID_H
#define SLUICE_WIRE_MODELID_H

#include "sluice/base/slice.h"

enum sl_model_id_kind {
    SL_MODEL_ID_BASE,    /* "meta.llama3-8b-instruct-v1:0" */
    SL_MODEL_ID_PROFILE, /* "us.meta.llama3-…" */
    SL_MODEL_ID_FOUNDATION_ARN,
    SL_MODEL_ID_PROFILE_ARN, /* inference-profile/… */
    SL_MODEL_ID_APP_PROFILE_ARN,
    SL_MODEL_ID_PROVISIONED_ARN,
    SL_MODEL_ID_CUSTOM_ARN,
    SL_MODEL_ID_CUSTOM_DEPLOYMENT_ARN,
    SL_MODEL_ID_IMPORTED_ARN,
    SL_MODEL_ID_PROMPT_ARN,
    SL_MODEL_ID_PROMPT_ROUTER_ARN,
    SL_MODEL_ID_SAGEMAKER_ARN,
    SL_MODEL_ID_OTHER, /* a shape not known here: passed on, Bedrock decides */
};

#define SL_MODEL_ID_MAX 2048

/* All take the id raw or percent-encoded; slices point into it, in the form it came in. */
enum sl_model_id_kind sl_model_id_kind(struct sl_slice id);
/*
 * What a foundation-model or inference-profile ARN names, the part behind its last '/';
 * else the id itself: other ARNs do not tell their model.
 */
struct sl_slice sl_model_id_bare(struct sl_slice id);
/* The region field of an ARN; empty where absent or not an ARN. */
struct sl_slice sl_model_id_region(struct sl_slice id);

#endif
