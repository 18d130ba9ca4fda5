#include "sim/faults.h"

#include "sluice/sim/sim.h"

#define UNEXPECTED                                                                                 \
    "The system encountered an unexpected error during processing. Try your request again."
#define UNABLE "Bedrock is unable to process your request."

#define FAULT(name, at, how, failure, words)                                                       \
    {                                                                                              \
        (name), {                                                                                  \
            .place = SL_SIM_FAULT_##at, .midway = SL_SIM_BREAK_##how,                              \
            .kind = SL_FAILURE_##failure, .message = (words)                                       \
        }                                                                                          \
    }

static const struct {
    const char *name;
    struct sl_sim_fault fault;
} kinds[] = {
    /* clang-format off */
    FAULT("throttle",             REFUSE, NONE, THROTTLED, "Too many requests, please wait before trying again."),
    FAULT("throttle-tokens",      REFUSE, NONE, THROTTLED, "Too many tokens, please wait before trying again."),
    FAULT("throttle-day",         REFUSE, NONE, THROTTLED, "Too many tokens per day, please wait before trying again."),
    FAULT("throttle-rate",        REFUSE, NONE, THROTTLED, "Your request rate is too high. Reduce the frequency of requests."),
    FAULT("not-ready",            REFUSE, NONE, NOT_READY, "Model is not ready for inference. Wait and try your request again."),
    FAULT("500",                  REFUSE, NONE, INTERNAL, UNEXPECTED),
    FAULT("503",                  REFUSE, NONE, UNAVAILABLE, UNABLE),
    FAULT("connections",          REFUSE, NONE, UNAVAILABLE, "Too many connections, please wait before trying again."),
    FAULT("model-timeout",        REFUSE, NONE, MODEL_TIMEOUT, "Model has timed out in processing the request. Try your request again."),
    FAULT("model-error",          REFUSE, NONE, MODEL_ERROR, "The model returned an error while processing the request. Try your request again."),
    FAULT("validation",           REFUSE, NONE, VALIDATION, "Malformed input request: a fault was asked for, please reformat your input and try again."),
    FAULT("access-denied",        REFUSE, NONE, DENIED, "You don't have access to the model with the specified model ID."),
    FAULT("quota",                REFUSE, NONE, QUOTA, "Your request exceeds the service quota for your account."),
    FAULT("throttle-first-frame", FIRST,  NONE, THROTTLED, "Too many tokens, please wait before trying again."),
    FAULT("503-first-frame",      FIRST,  NONE, UNAVAILABLE, UNABLE),
    FAULT("500-first-frame",      FIRST,  NONE, INTERNAL, UNEXPECTED),
    FAULT("stall-head",           STALL,  NONE, NONE, ""),
    FAULT("reset-head",           RESET,  NONE, NONE, ""),
    FAULT("exception-midway",     MIDWAY, EXCEPTION, STREAM_ERROR, UNEXPECTED),
    FAULT("stall-midway",         MIDWAY, STALL, NONE, ""),
    FAULT("reset-midway",         MIDWAY, RESET, NONE, ""),
    FAULT("truncate",             MIDWAY, END, NONE, ""),
    FAULT("truncate-frame",       MIDWAY, CUT, NONE, ""),
    FAULT("malformed-frame",      MIDWAY, MALFORMED, NONE, ""),
    /* clang-format on */
};

static int parse_word(struct sl_slice word, struct sl_sim_fault *out) {
    struct sl_slice delay = SL_LIT("delay=");
    uint64_t ms;
    if (sl_slice_starts(word, delay)) {
        if (!sl_slice_u64(sl_slice_skip(word, delay.len), &ms) || ms > UINT32_MAX)
            return SL_E_INVALID;
        out->delay_ms = (uint32_t)ms;
        return 0;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!sl_slice_eq(word, sl_slice_str(kinds[i].name)))
            continue;
        uint32_t kept = out->delay_ms;
        *out = kinds[i].fault;
        out->delay_ms = kept;
        return 0;
    }
    return SL_E_INVALID;
}

int sl_sim_fault_parse(struct sl_slice text, struct sl_sim_fault *out) {
    struct sl_sim_fault found = {0};
    size_t start = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i < text.len && !strchr(",;+ ", text.ptr[i]))
            continue;
        struct sl_slice word = sl_slice_of(text.ptr + start, i - start);
        start = i + 1;
        if (word.len && parse_word(word, &found) != 0)
            return SL_E_INVALID;
    }
    *out = found;
    return 0;
}

int sl_sim_faults_init(struct sl_sim_faults *faults, struct sl_slice spec) {
    *faults = (struct sl_sim_faults){0};
    struct sl_slice rule;
    while (spec.len && sl_slice_split(&spec, ',', &rule)) {
        rule = sl_slice_trim(rule);
        size_t slash = sl_slice_find(rule, '/');
        uint64_t every;
        if (faults->count == SL_SIM_FAULT_RULES)
            return SL_E_LIMIT;
        if (!sl_slice_u64(sl_slice_skip(rule, slash + 1), &every) || every == 0 ||
            sl_sim_fault_parse(sl_slice_head(rule, slash), &faults->rules[faults->count].fault))
            return SL_E_INVALID;
        faults->rules[faults->count++].every = every;
    }
    return 0;
}

bool sl_sim_knows_faults(const char *faults) {
    struct sl_sim_faults scratch;
    return sl_sim_faults_init(&scratch, sl_slice_str(faults)) == SL_OK;
}

struct sl_sim_fault sl_sim_faults_next(struct sl_sim_faults *faults) {
    faults->requests++;
    for (size_t i = 0; i < faults->count; i++)
        if (faults->requests % faults->rules[i].every == 0)
            return faults->rules[i].fault;
    return (struct sl_sim_fault){0};
}
