/*
 * A key or string that is only compared with names known beforehand: put together from the pieces
 * that the tokenizer gives, and cut where it is longer than any such name.
 */
#ifndef SLUICE_WIRE_JSON_SHORT_H
#define SLUICE_WIRE_JSON_SHORT_H

#include "sluice/wire/json.h"

#define SL_JSON_SHORT_MAX 32

/* Zeroed: nothing is under way. */
struct sl_json_short {
    uint8_t len;
    char bytes[SL_JSON_SHORT_MAX + 1];
};

/*
 * True with the last piece: *text is all of it, or, of a longer one, its first SL_JSON_SHORT_MAX +
 * 1 bytes; valid as long as the token.
 */
static inline bool sl_json_short_take(struct sl_json_short *s, const struct sl_json_token *token,
                                      struct sl_slice *text) {
    if (token->last && s->len == 0) {
        *text = sl_slice_head(token->text, sizeof(s->bytes));
        return true;
    }
    struct sl_slice piece = sl_slice_head(token->text, sizeof(s->bytes) - s->len);
    if (piece.len > 0)
        memcpy(s->bytes + s->len, piece.ptr, piece.len);
    s->len = (uint8_t)(s->len + piece.len);
    if (!token->last)
        return false;
    *text = sl_slice_of(s->bytes, s->len);
    s->len = 0;
    return true;
}

#endif
