/*
 * Members are known by their name and by how deep they may lie, as in verdict.c. Within one event
 * its type weighs most: Claude's message_delta has a stop_reason, and message_stop still follows.
 * Else a reason weighs more than a null, for servers that write several such members.
 *
 *   Claude                    type: message_start … message_stop
 *   OpenAI's responses        type: response.created … response.completed
 *   Nova                      messageStart … messageStop
 *   Llama, Mistral, DeepSeek  stop_reason: null … "stop"
 *   OpenAI's chat and kin     finish_reason: null … "stop"
 *   Titan                     completionReason: null … "FINISH"
 *   Cohere                    is_finished: false … true
 */
#include "sluice/dialect/closing.h"

enum rule {
    NO_RULE,
    TYPE,
    GOES_ON, /* that it is there says so */
    OVER,
    REASON, /* null until the end; or false, then true */
};

static const struct {
    struct sl_slice key;
    uint8_t depth; /* at most */
    uint8_t rule;
} rows[] = {
    {SL_LIT("type"), 1, TYPE},
    {SL_LIT("messageStart"), 1, GOES_ON},
    {SL_LIT("contentBlockStart"), 1, GOES_ON},
    {SL_LIT("contentBlockDelta"), 1, GOES_ON},
    {SL_LIT("contentBlockStop"), 1, GOES_ON},
    {SL_LIT("messageStop"), 1, OVER},
    {SL_LIT("stop_reason"), 3, REASON},
    {SL_LIT("finish_reason"), 3, REASON},
    {SL_LIT("completionReason"), 3, REASON},
    {SL_LIT("is_finished"), 1, REASON},
};

/* The first that fits counts. */
static const struct {
    struct sl_slice type;
    bool begins; /* it is the beginning of the name */
    uint8_t rule;
} types[] = {
    {SL_LIT("message_stop"), false, OVER},
    {SL_LIT("error"), false, OVER}, /* told, though not as Bedrock does */
    {SL_LIT("message_"), true, GOES_ON},
    {SL_LIT("content_block_"), true, GOES_ON},
    {SL_LIT("response.completed"), false, OVER},
    {SL_LIT("response.incomplete"), false, OVER},
    {SL_LIT("response.failed"), false, OVER},
    {SL_LIT("response."), true, GOES_ON},
};

static uint8_t rule_for(struct sl_slice key, unsigned depth) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (sl_slice_eq(key, rows[i].key))
            return depth <= rows[i].depth ? rows[i].rule : NO_RULE;
    return NO_RULE;
}

static uint8_t rule_of_type(struct sl_slice type) {
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].begins ? sl_slice_starts(type, types[i].type)
                            : sl_slice_eq(type, types[i].type))
            return types[i].rule;
    return NO_RULE;
}

static void on_key(struct sl_closing *c, const struct sl_json_token *token) {
    struct sl_slice key;
    if (!sl_json_short_take(&c->text, token, &key))
        return;
    c->rule = rule_for(key, token->depth);
    c->goes_on |= c->rule == GOES_ON;
    c->over |= c->rule == OVER;
}

static void on_string(struct sl_closing *c, const struct sl_json_token *token) {
    struct sl_slice text;
    if (c->rule == REASON && token->text.len > 0)
        c->over = true;
    if (c->rule == TYPE && sl_json_short_take(&c->text, token, &text))
        c->type = rule_of_type(text);
    if (token->last)
        c->rule = NO_RULE;
}

void sl_closing_token(struct sl_closing *c, const struct sl_json_token *token) {
    bool reason = c->rule == REASON;
    switch (token->event) {
    case SL_JSON_KEY:
        on_key(c, token);
        return;
    case SL_JSON_STRING:
        on_string(c, token);
        return;
    case SL_JSON_NULL:
    case SL_JSON_FALSE:
        c->goes_on |= reason;
        break;
    case SL_JSON_TRUE:
        c->over |= reason;
        break;
    default:
        break;
    }
    c->rule = NO_RULE;
}

void sl_closing_event_end(struct sl_closing *c) {
    bool open = c->open;
    if (c->type != NO_RULE)
        open = c->type == GOES_ON;
    else if (c->over)
        open = false;
    else if (c->goes_on)
        open = true;
    *c = (struct sl_closing){.open = open};
}
