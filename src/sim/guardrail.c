#include "sim/guardrail.h"

#include "sim/ask.h"

#define WORD         SL_LIT("BLOCKME")
#define BYTES_A_UNIT 1000 /* of text, as AWS counts guardrail units */
#define MAX_FINDINGS 64

static bool is_blocked(struct sl_slice text) {
    return sl_slice_search(text, WORD) < text.len;
}

static int64_t units(uint64_t bytes) {
    return (int64_t)((bytes + BYTES_A_UNIT - 1) / BYTES_A_UNIT);
}

int sl_sim_guardrail_apply(const cJSON *body, struct sl_slice id, struct sl_slice version,
                           struct sl_sim_out *out, struct sl_sim_refusal *no) {
    struct sl_slice source = sl_sim_get_string(body, "source");
    const cJSON *content = sl_sim_get(body, "content"), *item;
    if (!sl_slice_eq(source, SL_LIT("INPUT")) && !sl_slice_eq(source, SL_LIT("OUTPUT")))
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                             "1 validation error detected: Value '%.*s' at 'source' failed to "
                             "satisfy constraint: Member must satisfy enum value set: [INPUT, "
                             "OUTPUT]",
                             SL_FMT(sl_slice_head(source, 64)));
    if (!cJSON_IsArray(content))
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                             "1 validation error detected: Value null at 'content' failed to "
                             "satisfy constraint: Member must not be null");
    uint64_t bytes = 0;
    bool blocked = false;
    cJSON_ArrayForEach(item, content) {
        struct sl_slice text = sl_sim_get_string(sl_sim_get(item, "text"), "text");
        bytes += text.len;
        blocked = blocked || is_blocked(text);
    }
    sl_sim_put(out,
               "{'usage':{'topicPolicyUnits':0,'contentPolicyUnits':0,'wordPolicyUnits':%d,"
               "'sensitiveInformationPolicyUnits':0,'sensitiveInformationPolicyFreeUnits':0,"
               "'contextualGroundingPolicyUnits':0},'guardrailCoverage':{'textCharacters':"
               "{'guarded':%d,'total':%d}},",
               units(bytes), (int64_t)bytes, (int64_t)bytes);
    if (blocked)
        sl_sim_put(out,
                   "'action':'GUARDRAIL_INTERVENED','actionReason':'Guardrail blocked.',"
                   "'outputs':[{'text':'Sorry, the model cannot answer this question.'}],"
                   "'assessments':[{'wordPolicy':{'customWords':[{'match':%s,'action':'BLOCKED',"
                   "'detected':true}],'managedWordLists':[]},'appliedGuardrailDetails':"
                   "{'guardrailId':%s,'guardrailVersion':%s}}]}",
                   WORD, id, version);
    else
        sl_sim_put(out, "'action':'NONE','actionReason':'No action.','outputs':[],'assessments':"
                        "[]}");
    return out->error;
}

/* ---- InvokeGuardrailChecks -------------------------------------------------------- */

struct findings {
    int64_t message, content, begin;
};

/* Where the word stands in the messages, and how many bytes they have. */
static size_t find_words(const cJSON *messages, struct findings *found, size_t max,
                         uint64_t *bytes) {
    const cJSON *message, *block;
    size_t n = 0;
    int64_t m = 0;
    cJSON_ArrayForEach(message, messages) {
        int64_t c = 0;
        cJSON_ArrayForEach(block, sl_sim_get(message, "content")) {
            struct sl_slice text = sl_sim_get_string(block, "text");
            size_t at = sl_slice_search(text, WORD);
            *bytes += text.len;
            if (at < text.len && n < max)
                found[n++] = (struct findings){m, c, (int64_t)at};
            c++;
        }
        m++;
    }
    return n;
}

/* "results" of a check that scores categories: high for all where the word is, else zero. */
static void put_scores(struct sl_sim_out *out, const cJSON *check, bool blocked) {
    const cJSON *item;
    const char *comma = "";
    sl_sim_put(out, "{'results':[");
    cJSON_ArrayForEach(item, sl_sim_get(check, "categories")) {
        sl_sim_put(out,
                   blocked ? "%r{'category':%s,'severityScore':0.9}"
                           : "%r{'category':%s,'severityScore':0.0}",
                   sl_slice_str(comma), sl_sim_get_string(item, "category"));
        comma = ",";
    }
    sl_sim_put(out, "]}");
}

static void put_entities(struct sl_sim_out *out, const cJSON *check, const struct findings *found,
                         size_t count) {
    struct sl_slice type =
        sl_sim_get_string(cJSON_GetArrayItem(sl_sim_get(check, "entities"), 0), "type");
    sl_sim_put(out, "{'results':[");
    for (size_t i = 0; type.len && i < count; i++)
        sl_sim_put(out,
                   "%r{'type':%s,'confidenceScore':0.9,'beginOffset':%d,'endOffset':%d,"
                   "'messageIndex':%d,'contentIndex':%d}",
                   i ? SL_LIT(",") : SL_EMPTY, type, found[i].begin,
                   found[i].begin + (int64_t)WORD.len, found[i].message, found[i].content);
    sl_sim_put(out, "],'truncated':false}");
}

int sl_sim_guardrail_checks(const cJSON *body, struct sl_sim_out *out, struct sl_sim_refusal *no) {
    static const char *const names[] = {"contentFilter", "promptAttack", "sensitiveInformation"};
    const cJSON *checks = sl_sim_get(body, "checks"), *messages = sl_sim_get(body, "messages");
    struct findings found[MAX_FINDINGS];
    uint64_t bytes = 0;
    if (!cJSON_IsArray(messages) || !cJSON_IsObject(checks))
        return sl_sim_refuse(no, SL_FAILURE_VALIDATION,
                             "1 validation error detected: Value null at '%s' failed to satisfy "
                             "constraint: Member must not be null",
                             cJSON_IsArray(messages) ? "checks" : "messages");
    size_t n = find_words(messages, found, MAX_FINDINGS, &bytes);
    const char *comma = "";
    sl_sim_put(out, "{'results':{");
    for (size_t i = 0; i < 3; i++) {
        const cJSON *check = sl_sim_get(checks, names[i]);
        if (!check)
            continue;
        sl_sim_put(out, "%r%s:", sl_slice_str(comma), sl_slice_str(names[i]));
        if (i < 2)
            put_scores(out, check, n > 0);
        else
            put_entities(out, check, found, n);
        comma = ",";
    }
    comma = "";
    sl_sim_put(out, "},'usage':{");
    for (size_t i = 0; i < 3; i++) {
        if (!sl_sim_get(checks, names[i]))
            continue;
        sl_sim_put(out, "%r%s:{'textUnits':%d}", sl_slice_str(comma), sl_slice_str(names[i]),
                   units(bytes));
        comma = ",";
    }
    sl_sim_put(out, "}}");
    return out->error;
}
