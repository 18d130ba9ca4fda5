/*
 * Can this model be called? First what can be known without calling (its prefix, the catalogue, the
 * account's access), then the free CountTokens, and with --invoke one token of output. A question
 * that cannot be answered is a warning; only an answer that says no is a failure.
 */
#include <stdio.h>

#include "app/check_run.h"
#include "sluice/core/model.h"
#include "sluice/wire/json.h"
#include "sluice/wire/modelid.h"
#include "sluice/wire/uri.h"

/* An encoded id, which may be three times its length, and the path around it. */
#define PATH_MAX_BYTES (3 * SL_MODEL_ID_MAX + 128)

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"Hi\"}]}]"

/* One question about the model. */
struct question {
    const char *what, *action;
    enum sl_plane plane;
    enum sl_operation operation;
    const char *method, *before, *after; /* the path around the encoded id */
    const char *body;
};

static const struct question ask_model = {"model",
                                          "bedrock:GetFoundationModel",
                                          SL_PLANE_CONTROL,
                                          SL_OP_GET_FOUNDATION_MODEL,
                                          "GET",
                                          "/foundation-models/",
                                          "",
                                          ""};
static const struct question ask_profile = {"model",
                                            "bedrock:GetInferenceProfile",
                                            SL_PLANE_CONTROL,
                                            SL_OP_GET_INFERENCE_PROFILE,
                                            "GET",
                                            "/inference-profiles/",
                                            "",
                                            ""};
/* Not among the operations that the gateway serves, hence no number of its own. */
static const struct question ask_access = {"model access",
                                           "bedrock:GetFoundationModelAvailability",
                                           SL_PLANE_CONTROL,
                                           SL_OP_NONE,
                                           "GET",
                                           "/foundation-model-availability/",
                                           "",
                                           ""};
static const struct question ask_tokens = {"model on the runtime",
                                           "bedrock:CountTokens",
                                           SL_PLANE_RUNTIME,
                                           SL_OP_COUNT_TOKENS,
                                           "POST",
                                           "/model/",
                                           "/count-tokens",
                                           "{\"input\":{\"converse\":{" MESSAGES "}}}"};
static const struct question ask_call = {
    "invoke",         "bedrock:InvokeModel",
    SL_PLANE_RUNTIME, SL_OP_CONVERSE,
    "POST",           "/model/",
    "/converse",      "{" MESSAGES ",\"inferenceConfig\":{\"maxTokens\":1}}"};

static int make_path(struct sl_buf *path, const struct question *q, struct sl_slice id) {
    int rc = sl_buf_add_str(path, q->before);
    if (rc == 0)
        rc = sl_uri_encode(path, id, false);
    return rc ? rc : sl_buf_add_str(path, q->after);
}

/* Asks about `id`, which messages call by the name the user gave. False: reported already. */
static bool ask(struct sl_check_run *run, const struct question *q, struct sl_slice id,
                struct sl_check_subject *subject, struct sl_check_outcome *outcome,
                struct sl_check_verdict *verdict) {
    struct sl_buf path;
    bool asked = false;
    sl_buf_init(&path, PATH_MAX_BYTES);
    *subject = (struct sl_check_subject){.action = q->action, .model = run->cli->model};
    int rc = make_path(&path, q, id);
    if (rc != 0) {
        sl_check_say(run, SL_CHECK_FAIL, q->what, "this is no model id (%s)", sl_error_name(rc));
    } else {
        const struct sl_check_request request = {.plane = q->plane,
                                                 .operation = q->operation,
                                                 .method = q->method,
                                                 .path = sl_buf_slice(&path),
                                                 .body = sl_slice_str(q->body)};
        asked = sl_check_ask(run, q->what, &request, subject, outcome, verdict);
    }
    sl_buf_done(&path);
    return asked;
}

static bool starts(const char *text, const char *with) {
    return sl_slice_starts(sl_slice_str(text), sl_slice_str(with));
}

/* Bedrock looked for the model and says that there is none. */
static bool is_missing(const struct sl_check_outcome *o) {
    return !o->error && (starts(o->exception, "ResourceNotFound") ||
                         sl_slice_search(sl_slice_str(o->message),
                                         SL_LIT("identifier is invalid")) < strlen(o->message));
}

static bool check_prefix(struct sl_check_run *run, struct sl_slice id) {
    struct sl_check_verdict verdict;
    struct sl_slice prefix = sl_model_geo_prefix(id);
    if (prefix.len == 0)
        return true;
    sl_check_prefix(prefix, sl_target_region(run->target), &verdict);
    sl_check_report(run, "profile", &verdict);
    return verdict.level != SL_CHECK_FAIL;
}

static bool check_retired(struct sl_check_run *run, struct sl_slice id) {
    struct sl_slice successor = sl_model_successor(id);
    if (successor.len == 0)
        return true;
    bool mapped = run->config->models.retired == SL_RETIRED_MAP;
    sl_check_say(run, mapped ? SL_CHECK_WARN : SL_CHECK_FAIL, "model",
                 "%.*s has been withdrawn by AWS; %s%.*s", SL_FMT(id),
                 mapped ? "Sluice sends its calls to " : "models.retired refuses it; use ",
                 SL_FMT(successor));
    return false;
}

/* False when it is certain that there is no such model. */
static bool check_exists(struct sl_check_run *run, struct sl_slice id, bool profile) {
    struct sl_check_subject subject;
    struct sl_check_outcome outcome;
    struct sl_check_verdict verdict;
    if (!ask(run, profile ? &ask_profile : &ask_model, id, &subject, &outcome, &verdict))
        return true;
    bool missing = is_missing(&outcome);
    if (verdict.level == SL_CHECK_OK)
        snprintf(verdict.cause, sizeof(verdict.cause), "%s is offered in %s", subject.model,
                 subject.region);
    else if (!missing)
        verdict.level = SL_CHECK_WARN;
    sl_check_report(run, "model", &verdict);
    return !missing;
}

/* Access is given to the foundation model, under whatever profile it is called. */
static void check_access(struct sl_check_run *run, struct sl_slice id) {
    struct sl_check_subject subject;
    struct sl_check_outcome outcome;
    struct sl_check_verdict verdict;
    struct sl_slice base = sl_slice_skip(id, sl_model_geo_prefix(id).len);
    if (!ask(run, &ask_access, base, &subject, &outcome, &verdict))
        return;
    if (verdict.level == SL_CHECK_OK) {
        sl_check_availability(sl_buf_slice(&run->body), &subject, &verdict);
    } else if (starts(outcome.exception, "UnknownOperation")) {
        verdict.level = SL_CHECK_WARN;
        snprintf(verdict.cause, sizeof(verdict.cause), "%s cannot say", subject.host);
        snprintf(verdict.cure, sizeof(verdict.cure), "--invoke tells for certain");
    } else {
        verdict.level = SL_CHECK_WARN;
    }
    sl_check_report(run, ask_access.what, &verdict);
}

static void check_tokens(struct sl_check_run *run, struct sl_slice id) {
    struct sl_check_subject subject;
    struct sl_check_outcome outcome;
    struct sl_check_verdict verdict;
    if (!ask(run, &ask_tokens, id, &subject, &outcome, &verdict))
        return;
    if (verdict.level == SL_CHECK_OK) {
        snprintf(verdict.cause, sizeof(verdict.cause), "%s counts its tokens", subject.model);
    } else if (!is_missing(&outcome)) {
        /* Many models that can be called cannot count. */
        verdict.level = SL_CHECK_WARN;
        snprintf(verdict.cure, sizeof(verdict.cure),
                 "not every model counts tokens: --invoke tells for certain");
    }
    sl_check_report(run, ask_tokens.what, &verdict);
}

static int64_t fact_of(struct sl_slice body, const char *path) {
    struct sl_json_fact fact = {.path = path};
    struct sl_json_facts facts;
    int64_t value = -1;
    if (sl_json_facts_init(&facts, &fact, 1, 32) != 0)
        return -1;
    if (sl_json_facts_feed(&facts, body) == 0 && sl_json_facts_finish(&facts) == 0 &&
        fact.type == SL_FACT_NUMBER)
        value = fact.integer;
    sl_json_facts_done(&facts);
    return value;
}

static void check_invoke(struct sl_check_run *run, struct sl_slice id) {
    struct sl_check_subject subject;
    struct sl_check_outcome outcome;
    struct sl_check_verdict verdict;
    if (!ask(run, &ask_call, id, &subject, &outcome, &verdict))
        return;
    if (verdict.level == SL_CHECK_OK)
        snprintf(verdict.cause, sizeof(verdict.cause), "%s answered: %lld tokens in, %lld out",
                 subject.model, (long long)fact_of(sl_buf_slice(&run->body), "usage.inputTokens"),
                 (long long)fact_of(sl_buf_slice(&run->body), "usage.outputTokens"));
    sl_check_report(run, ask_call.what, &verdict);
}

void sl_check_model(struct sl_check_run *run) {
    struct sl_slice id = sl_slice_str(run->cli->model);
    enum sl_model_id_kind kind = sl_model_id_kind(id);
    bool profile = kind == SL_MODEL_ID_PROFILE || kind == SL_MODEL_ID_PROFILE_ARN ||
                   kind == SL_MODEL_ID_APP_PROFILE_ARN;
    bool named = kind == SL_MODEL_ID_BASE || kind == SL_MODEL_ID_PROFILE;
    if (named && (!check_prefix(run, id) || !check_retired(run, id)))
        return;
    if ((named || profile) && !check_exists(run, id, profile))
        return;
    if (named)
        check_access(run, id);
    if (run->cli->invoke)
        check_invoke(run, id);
    else
        check_tokens(run, id);
}
