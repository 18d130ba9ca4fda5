/*
 * Anthropic's names of models as Bedrock's ids: "anthropic." in front and, for the models that have
 * a date, date and version behind. Names without a date mean the model's one date.
 */
#include "dialect/anthropic.h"

#define DATE_DIGITS 8

static const struct {
    struct sl_slice name, id;
} names[] = {
    {SL_LIT("claude-3-5-sonnet-20241022"), SL_LIT("claude-3-5-sonnet-20241022-v2:0")},
    {SL_LIT("claude-3-5-sonnet-latest"), SL_LIT("claude-3-5-sonnet-20241022-v2:0")},
    {SL_LIT("claude-3-5-haiku-latest"), SL_LIT("claude-3-5-haiku-20241022-v1:0")},
    {SL_LIT("claude-3-7-sonnet-latest"), SL_LIT("claude-3-7-sonnet-20250219-v1:0")},
    {SL_LIT("claude-sonnet-4-0"), SL_LIT("claude-sonnet-4-20250514-v1:0")},
    {SL_LIT("claude-opus-4-0"), SL_LIT("claude-opus-4-20250514-v1:0")},
    {SL_LIT("claude-opus-4-1"), SL_LIT("claude-opus-4-1-20250805-v1:0")},
    {SL_LIT("claude-opus-4-5"), SL_LIT("claude-opus-4-5-20251101-v1:0")},
    {SL_LIT("claude-sonnet-4-5"), SL_LIT("claude-sonnet-4-5-20250929-v1:0")},
    {SL_LIT("claude-haiku-4-5"), SL_LIT("claude-haiku-4-5-20251001-v1:0")},
    {SL_LIT("claude-opus-4-6"), SL_LIT("claude-opus-4-6-v1")},
};

static bool ends_with_date(struct sl_slice name) {
    if (name.len <= DATE_DIGITS || name.ptr[name.len - DATE_DIGITS - 1] != '-')
        return false;
    for (size_t i = name.len - DATE_DIGITS; i < name.len; i++)
        if (name.ptr[i] < '0' || name.ptr[i] > '9')
            return false;
    return true;
}

int sl_anthropic_bedrock_id(struct sl_arena *arena, struct sl_slice name, struct sl_slice *id) {
    if (!sl_slice_starts(name, SL_LIT("claude-"))) {
        *id = name;
        return SL_OK;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sl_slice_eq(names[i].name, name))
            return sl_arena_printf(arena, id, "anthropic.%.*s", SL_FMT(names[i].id));
    return sl_arena_printf(arena, id, "anthropic.%.*s%s", SL_FMT(name),
                           ends_with_date(name) ? "-v1:0" : "");
}
