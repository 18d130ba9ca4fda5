/* Names of what is scarce, and Bedrock's sentences for it. Only the sentence tells kinds apart: all
 * of them are ThrottlingException or ServiceUnavailableException. */
#include "sluice/sched/pool.h"

const char *sl_scarcity_name(enum sl_scarcity kind) {
    static const char *const names[] = {
        [SL_SCARCE_NOTHING] = "",
        [SL_SCARCE_REQUESTS] = "requests",
        [SL_SCARCE_TOKENS] = "tokens",
        [SL_SCARCE_DAY] = "day",
        [SL_SCARCE_CONNECTIONS] = "connections",
        [SL_SCARCE_HEALTH] = "health",
        [SL_SCARCE_SHARE] = "key",
        [SL_SCARCE_CAPACITY] = "capacity",
    };
    return names[kind];
}

static bool mentions(struct sl_slice text, struct sl_slice phrase) {
    for (size_t i = 0; i + phrase.len <= text.len; i++)
        if (sl_slice_ieq(sl_slice_of(text.ptr + i, phrase.len), phrase))
            return true;
    return false;
}

enum sl_scarcity sl_scarcity_of_message(struct sl_slice message) {
    /* In this order: a day's tokens are tokens too. */
    static const struct {
        struct sl_slice phrase;
        enum sl_scarcity kind;
    } phrases[] = {
        {{"per day", 7}, SL_SCARCE_DAY},
        {{"daily", 5}, SL_SCARCE_DAY},
        {{"too many tokens", 15}, SL_SCARCE_TOKENS},
        {{"token rate", 10}, SL_SCARCE_TOKENS},
        {{"too many requests", 17}, SL_SCARCE_REQUESTS},
        {{"request rate", 12}, SL_SCARCE_REQUESTS},
        {{"too many connections", 20}, SL_SCARCE_CONNECTIONS},
        {{"concurrent", 10}, SL_SCARCE_CONNECTIONS},
    };
    message = sl_slice_head(message, 1024); /* more is no sentence */
    for (size_t i = 0; i < sizeof phrases / sizeof phrases[0]; i++)
        if (mentions(message, phrases[i].phrase))
            return phrases[i].kind;
    return SL_SCARCE_HEALTH;
}
