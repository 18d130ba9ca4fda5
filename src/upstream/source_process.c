/* The profile's credential_process: a program that prints credentials as JSON. */
#include "sluice/base/mem.h"
#include "upstream/credprocess.h"
#include "upstream/shellsplit.h"
#include "upstream/sources.h"

struct run {
    struct sl_credprocess *process;
};

static enum sl_credpoll begin(struct sl_credwalk *walk, struct run *run) {
    struct sl_slice line;
    struct sl_shell_words words;
    char why[SL_CRED_WHY_SIZE / 2];
    if (!sl_profiles_get(walk->ctx->profiles, SL_PROFILE_MERGED, sl_slice_str(walk->profile),
                         "credential_process", &line))
        return sl_credwalk_absent(walk, "profile %s has no credential_process", walk->profile);
    int rc = sl_shell_split(line, &words);
    if (rc < 0)
        return sl_credwalk_fail(walk,
                                "credential_process of profile %s has an open quote, or is too "
                                "long",
                                walk->profile);
    if (words.count == 0)
        rc = SL_E_INVALID;
    else
        run->process = sl_credprocess_start(walk->ctx, words.words, why, sizeof(why));
    sl_free(words.words);
    if (rc < 0)
        return sl_credwalk_fail(walk, "credential_process of profile %s is empty", walk->profile);
    return run->process ? SL_CRED_PENDING : sl_credwalk_fail(walk, "%s", why);
}

static enum sl_credpoll poll_process(struct sl_credwalk *walk, void *state) {
    static const struct sl_credset_json form = {
        .source = "credential-process", .token_key = "SessionToken", .needs_version_1 = true};
    struct run *run = state;
    enum sl_credpoll result = run->process ? SL_CRED_PENDING : begin(walk, run);
    if (result != SL_CRED_PENDING || !sl_credprocess_ended(run->process))
        return result;
    char why[SL_CRED_WHY_SIZE / 2];
    struct sl_slice output = SL_EMPTY;
    struct sl_credset *set = NULL;
    int rc = sl_credprocess_result(run->process, &output, why, sizeof(why));
    if (rc == SL_OK)
        rc = sl_credset_from_json(&form, output, &set, why, sizeof(why));
    if (rc < 0)
        return sl_credwalk_fail(walk, "the process of profile %s: %s", walk->profile, why);
    return sl_credwalk_found(walk, set);
}

static void drop_process(void *state) {
    struct run *run = state;
    sl_credprocess_free(run->process);
}

const struct sl_credsource sl_source_process = {.name = "credential-process",
                                                .state_size = sizeof(struct run),
                                                .poll = poll_process,
                                                .drop = drop_process};
