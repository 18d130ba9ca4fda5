/*
 * A display name is a bag of words: "Anthropic Claude 3.5 Sonnet V2" and "Claude Sonnet 3.5 V2" are
 * the same model. A row of the table fits when all its words are there and what is left over are
 * words that tell nothing. "V2" and "1M" do tell: such a quota is of another model, or of a way of
 * calling it that has a quota of its own.
 */
#include "upstream/quota_names.h"

#define WORDS_MAX 16

static const struct {
    struct sl_slice words, id;
} models[] = {
    {SL_LIT("claude 3 haiku"), SL_LIT("anthropic.claude-3-haiku")},
    {SL_LIT("claude 3 sonnet"), SL_LIT("anthropic.claude-3-sonnet")},
    {SL_LIT("claude 3 opus"), SL_LIT("anthropic.claude-3-opus")},
    {SL_LIT("claude 3.5 haiku"), SL_LIT("anthropic.claude-3-5-haiku")},
    {SL_LIT("claude 3.5 sonnet"), SL_LIT("anthropic.claude-3-5-sonnet-20240620")},
    {SL_LIT("claude 3.5 sonnet v2"), SL_LIT("anthropic.claude-3-5-sonnet-20241022")},
    {SL_LIT("claude 3.7 sonnet"), SL_LIT("anthropic.claude-3-7-sonnet")},
    {SL_LIT("claude sonnet 4"), SL_LIT("anthropic.claude-sonnet-4")},
    {SL_LIT("claude opus 4"), SL_LIT("anthropic.claude-opus-4")},
    {SL_LIT("claude opus 4.1"), SL_LIT("anthropic.claude-opus-4-1")},
    {SL_LIT("claude sonnet 4.5"), SL_LIT("anthropic.claude-sonnet-4-5")},
    {SL_LIT("claude haiku 4.5"), SL_LIT("anthropic.claude-haiku-4-5")},
    {SL_LIT("claude opus 4.5"), SL_LIT("anthropic.claude-opus-4-5")},
    {SL_LIT("claude sonnet 4.6"), SL_LIT("anthropic.claude-sonnet-4-6")},
    {SL_LIT("claude opus 4.6"), SL_LIT("anthropic.claude-opus-4-6")},
    {SL_LIT("claude opus 4.7"), SL_LIT("anthropic.claude-opus-4-7")},
    {SL_LIT("claude opus 4.8"), SL_LIT("anthropic.claude-opus-4-8")},
    {SL_LIT("claude sonnet 5"), SL_LIT("anthropic.claude-sonnet-5")},
    {SL_LIT("claude opus 5"), SL_LIT("anthropic.claude-opus-5")},
    {SL_LIT("claude fable 5"), SL_LIT("anthropic.claude-fable-5")},
    {SL_LIT("claude fable 5.1"), SL_LIT("anthropic.claude-fable-5-1")},
    {SL_LIT("claude fable 5.2"), SL_LIT("anthropic.claude-fable-5-2")},
    {SL_LIT("claude haiku 5.5"), SL_LIT("anthropic.claude-haiku-5-5")},
    {SL_LIT("claude sonnet 5.5"), SL_LIT("anthropic.claude-sonnet-5-5")},
    {SL_LIT("claude opus 5.5"), SL_LIT("anthropic.claude-opus-5-5")},

    {SL_LIT("llama 3 8b"), SL_LIT("meta.llama3-8b-instruct")},
    {SL_LIT("llama 3 70b"), SL_LIT("meta.llama3-70b-instruct")},
    {SL_LIT("llama 3.1 8b"), SL_LIT("meta.llama3-1-8b-instruct")},
    {SL_LIT("llama 3.1 70b"), SL_LIT("meta.llama3-1-70b-instruct")},
    {SL_LIT("llama 3.3 70b"), SL_LIT("meta.llama3-3-70b-instruct")},
    {SL_LIT("llama 4 scout"), SL_LIT("meta.llama4-scout-17b-instruct")},
    {SL_LIT("llama 4 maverick"), SL_LIT("meta.llama4-maverick-17b-instruct")},

    {SL_LIT("nova micro"), SL_LIT("amazon.nova-micro")},
    {SL_LIT("nova lite"), SL_LIT("amazon.nova-lite")},
    {SL_LIT("nova pro"), SL_LIT("amazon.nova-pro")},
    {SL_LIT("nova premier"), SL_LIT("amazon.nova-premier")},
    {SL_LIT("nova 2 lite"), SL_LIT("amazon.nova-2-lite")},
    {SL_LIT("titan text express"), SL_LIT("amazon.titan-text-express")},
    {SL_LIT("titan text lite"), SL_LIT("amazon.titan-text-lite")},
    {SL_LIT("titan text premier"), SL_LIT("amazon.titan-text-premier")},
    {SL_LIT("titan embeddings text"), SL_LIT("amazon.titan-embed-text-v1")},
    {SL_LIT("titan text embeddings v2"), SL_LIT("amazon.titan-embed-text-v2")},
    {SL_LIT("titan multimodal embeddings"), SL_LIT("amazon.titan-embed-image-v1")},

    {SL_LIT("mistral 7b"), SL_LIT("mistral.mistral-7b-instruct")},
    {SL_LIT("mixtral 8x7b"), SL_LIT("mistral.mixtral-8x7b-instruct")},
    {SL_LIT("mistral small"), SL_LIT("mistral.mistral-small-2402")},
    {SL_LIT("mistral small 24.02"), SL_LIT("mistral.mistral-small-2402")},
    {SL_LIT("mistral large"), SL_LIT("mistral.mistral-large-2402")},
    {SL_LIT("mistral large 24.02"), SL_LIT("mistral.mistral-large-2402")},
    {SL_LIT("mistral large 2407"), SL_LIT("mistral.mistral-large-2407")},
    {SL_LIT("pixtral large 25.02"), SL_LIT("mistral.pixtral-large-2502")},

    {SL_LIT("command"), SL_LIT("cohere.command-text")},
    {SL_LIT("command light"), SL_LIT("cohere.command-light-text")},
    {SL_LIT("command r"), SL_LIT("cohere.command-r")},
    {SL_LIT("command r plus"), SL_LIT("cohere.command-r-plus")},
    {SL_LIT("embed english"), SL_LIT("cohere.embed-english-v3")},
    {SL_LIT("embed multilingual"), SL_LIT("cohere.embed-multilingual-v3")},
    {SL_LIT("embed v4"), SL_LIT("cohere.embed-v4")},

    {SL_LIT("deepseek r1"), SL_LIT("deepseek.r1")},
    {SL_LIT("deepseek v3"), SL_LIT("deepseek.v3-v1")},
    {SL_LIT("deepseek v3.2"), SL_LIT("deepseek.v3.2")},
    {SL_LIT("gpt oss 20b"), SL_LIT("openai.gpt-oss-20b-1")},
    {SL_LIT("gpt oss 120b"), SL_LIT("openai.gpt-oss-120b-1")},
};
#define MODELS (sizeof(models) / sizeof(models[0]))

/* Words that any display name may have more than its row does. */
static const struct sl_slice fillers[] = {
    SL_LIT("anthropic"), SL_LIT("meta"),     SL_LIT("amazon"),   SL_LIT("ai"),   SL_LIT("cohere"),
    SL_LIT("openai"),    SL_LIT("mistral"),  SL_LIT("instruct"), SL_LIT("v1"),   SL_LIT("g1"),
    SL_LIT("17b"),       SL_LIT("deepseek"), SL_LIT("model"),    SL_LIT("chat"),
};

struct words {
    struct sl_slice items[WORDS_MAX];
    size_t count;
};

static bool is_word_byte(char c) {
    c = sl_ascii_lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.';
}

/* Runs of letters, digits and dots; '+' is the word "plus". Too many words are no name. */
static bool split_words(struct sl_slice text, struct words *out) {
    out->count = 0;
    for (size_t i = 0; i < text.len;) {
        size_t from = i;
        struct sl_slice word = SL_LIT("plus");
        while (i < text.len && is_word_byte(text.ptr[i]))
            i++;
        if (i > from)
            word = sl_slice_of(text.ptr + from, i - from);
        else if (text.ptr[i++] != '+')
            continue;
        if (out->count == WORDS_MAX)
            return false;
        out->items[out->count++] = word;
    }
    return true;
}

static bool has_word(const struct words *words, struct sl_slice word) {
    for (size_t i = 0; i < words->count; i++)
        if (sl_slice_ieq(words->items[i], word))
            return true;
    return false;
}

static bool is_filler(struct sl_slice word) {
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++)
        if (sl_slice_ieq(word, fillers[i]))
            return true;
    return false;
}

static bool fits(const struct words *name, struct sl_slice row) {
    struct words wanted;
    if (!split_words(row, &wanted))
        return false;
    for (size_t i = 0; i < wanted.count; i++)
        if (!has_word(name, wanted.items[i]))
            return false;
    for (size_t i = 0; i < name->count; i++)
        if (!has_word(&wanted, name->items[i]) && !is_filler(name->items[i]))
            return false;
    return true;
}

static struct sl_slice model_of(struct sl_slice display) {
    struct words name;
    if (!split_words(display, &name))
        return SL_EMPTY;
    for (size_t i = 0; i < MODELS; i++)
        if (fits(&name, models[i].words))
            return models[i].id;
    return SL_EMPTY;
}

/* Takes a beginning off, whatever its case. */
static bool take(struct sl_slice *text, struct sl_slice beginning) {
    if (!sl_slice_ieq(sl_slice_head(*text, beginning.len), beginning))
        return false;
    *text = sl_slice_skip(*text, beginning.len);
    return true;
}

bool sl_quota_name_read(struct sl_slice name, struct sl_quota_name *out) {
    static const struct {
        struct sl_slice text;
        enum sl_channel channel;
    } channels[] = {{SL_LIT("On-demand model inference "), SL_CHANNEL_ON_DEMAND},
                    {SL_LIT("Cross-region model inference "), SL_CHANNEL_CROSS_REGION},
                    {SL_LIT("Global cross-region model inference "), SL_CHANNEL_GLOBAL},
                    {SL_LIT("Model invocation max "), SL_CHANNEL_ON_DEMAND}};
    static const struct {
        struct sl_slice text;
        enum sl_quota_kind kind;
    } kinds[] = {{SL_LIT("requests per minute for "), SL_QUOTA_RPM},
                 {SL_LIT("tokens per minute for "), SL_QUOTA_TPM},
                 {SL_LIT("tokens per day for "), SL_QUOTA_TPD}};
    const struct sl_slice doubled = SL_LIT(" (doubled for cross-region calls)");
    for (size_t c = 0; c < sizeof(channels) / sizeof(channels[0]); c++) {
        struct sl_slice rest = name;
        if (!take(&rest, channels[c].text))
            continue;
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            if (!take(&rest, kinds[k].text))
                continue;
            bool twice = sl_slice_ends(rest, doubled);
            rest.len -= twice ? doubled.len : 0;
            *out =
                (struct sl_quota_name){model_of(rest), channels[c].channel, kinds[k].kind, twice};
            return true;
        }
    }
    return false;
}

struct sl_slice sl_quota_model_named(struct sl_slice id) {
    for (size_t i = 0; i < MODELS; i++)
        if (sl_slice_eq(id, models[i].id))
            return models[i].id;
    return SL_EMPTY;
}

/* "-v1:0", ":0", "-20250929-v1:0": versions, and not the "-5" that makes another model of it. */
bool sl_quota_model_is(struct sl_slice row, struct sl_slice base) {
    struct sl_slice rest = sl_slice_skip(base, row.len);
    uint64_t date;
    if (!sl_slice_starts(base, row))
        return false;
    return rest.len == 0 || rest.ptr[0] == ':' || sl_slice_starts(rest, SL_LIT("-v")) ||
           (rest.len >= 9 && rest.ptr[0] == '-' &&
            sl_slice_u64(sl_slice_head(sl_slice_skip(rest, 1), 8), &date));
}
