/*
 * Facts over the tokenizer. A set of facts is a bit mask, and for each depth there is the set
 * whose path leads to the value under way there: matching[0] is all, a key or an element keeps
 * those of the level above whose next segment fits. Where the set is empty, nothing below can
 * match, and a token costs two loads and a branch. A set that is not empty belongs to a depth of
 * at most SL_JSON_MAX_SEGMENTS, so the tables by level are looked at behind that test only. Paths
 * are taken apart once, by level.
 *
 * A fact's type is written last, when its value is complete: until then it is absent.
 */
#include "sluice/wire/json.h"

#include <stddef.h>

enum number_part { WHOLE, FRACTION, EXPONENT };

#define MANTISSA_DIGITS 19 /* what surely fits into 64 bits */
/* No document is long enough for an exponent beyond this to matter. */
#define EXPONENT_CAP INT64_C(1000000000000000)

_Static_assert(SL_JSON_MAX_FACTS <= 32, "a set of facts is a 32 bit mask");

/* Takes one fact out of a set that is not empty. */
static struct sl_json_fact *take_fact(const struct sl_json_facts *f, uint32_t *set) {
    struct sl_json_fact *fact = &f->facts[__builtin_ctz(*set)];
    *set &= *set - 1;
    return fact;
}

static void number_byte(struct sl_json_number *n, char c) {
    switch (c) {
    case '+':
        return;
    case '-':
        *(n->part == EXPONENT ? &n->exponent_negative : &n->negative) = true;
        return;
    case '.':
        n->part = FRACTION;
        return;
    case 'e':
    case 'E':
        n->part = EXPONENT;
        return;
    default:
        break;
    }
    unsigned digit = (unsigned)(c - '0');
    if (n->part == EXPONENT) {
        if (n->exponent < EXPONENT_CAP)
            n->exponent = n->exponent * 10 + digit;
        return;
    }
    bool leading_zero = n->digits == 0 && digit == 0;
    bool kept = !leading_zero && n->digits < MANTISSA_DIGITS;
    if (kept) {
        n->mantissa = n->mantissa * 10 + digit;
        n->digits++;
    }
    if (n->part == FRACTION && (kept || leading_zero))
        n->scale--;
    else if (n->part == WHOLE && !kept && !leading_zero)
        n->scale++;
}

/* Truncated towards zero and saturated. Digits beyond the mantissa can only matter to values that
 * saturate, or behind the point. */
static int64_t number_value(const struct sl_json_number *n) {
    uint64_t value = n->mantissa, limit = (uint64_t)INT64_MAX + (n->negative ? 1 : 0);
    int64_t power = n->scale + (n->exponent_negative ? -n->exponent : n->exponent);
    for (; power < 0 && value != 0; power++)
        value /= 10;
    for (; power > 0 && value != 0 && value <= limit; power--)
        value = value > limit / 10 ? UINT64_MAX : value * 10;
    if (value >= limit)
        return n->negative ? INT64_MIN : INT64_MAX;
    return n->negative ? -(int64_t)value : (int64_t)value;
}

static void forget(struct sl_json_fact *fact) {
    fact->type = SL_FACT_ABSENT;
    fact->integer = 0;
    fact->start = fact->end = 0;
    fact->cut = false;
    sl_buf_clear(&fact->text);
}

static int keep_text(struct sl_json_fact *fact, struct sl_slice piece) {
    size_t room = fact->text.max - fact->text.len;
    if (piece.len > room) {
        piece.len = room;
        fact->cut = true;
    }
    return piece.len > 0 ? sl_buf_add(&fact->text, piece) : 0;
}

/* A piece of a string or number that facts ask for. */
static int on_piece(struct sl_json_facts *f, const struct sl_json_token *token, uint32_t set) {
    bool number = token->event == SL_JSON_NUMBER;
    if (f->active == 0) {
        f->active = set;
        f->number = (struct sl_json_number){0};
        for (uint32_t left = set; left != 0;)
            forget(take_fact(f, &left));
    }
    for (size_t i = 0; number && i < token->text.len; i++)
        number_byte(&f->number, token->text.ptr[i]);
    for (uint32_t left = set; left != 0;) {
        struct sl_json_fact *fact = take_fact(f, &left);
        int rc = keep_text(fact, token->text);
        if (rc != 0)
            return rc;
    }
    if (!token->last)
        return 0;
    f->active = 0;
    for (uint32_t left = set; left != 0;) {
        struct sl_json_fact *fact = take_fact(f, &left);
        fact->integer = number ? number_value(&f->number) : 0;
        fact->start = token->offset;
        fact->end = token->end;
        fact->type = number ? SL_FACT_NUMBER : SL_FACT_STRING;
    }
    return 0;
}

/* true, false, null. */
static void on_literal(struct sl_json_facts *f, const struct sl_json_token *token, uint32_t set) {
    for (uint32_t left = set; left != 0;) {
        struct sl_json_fact *fact = take_fact(f, &left);
        forget(fact);
        fact->integer = token->event == SL_JSON_TRUE;
        fact->start = token->offset;
        fact->end = token->end;
        fact->type = token->event == SL_JSON_NULL ? SL_FACT_NULL : SL_FACT_BOOL;
    }
}

static void on_begin(struct sl_json_facts *f, const struct sl_json_token *token, uint32_t set) {
    unsigned level = token->depth;
    f->matching[level + 1] = 0; /* an object's keys will tell */
    if (set == 0)
        return;
    if (token->event == SL_JSON_ARRAY_BEGIN)
        f->matching[level + 1] = set & f->paths->any_element[level];
    for (uint32_t left = set & f->paths->ends[level]; left != 0;) {
        struct sl_json_fact *fact = take_fact(f, &left);
        forget(fact);
        fact->start = token->offset;
    }
}

static void on_end(struct sl_json_facts *f, const struct sl_json_token *token, uint32_t set) {
    for (uint32_t left = set; left != 0;) {
        struct sl_json_fact *fact = take_fact(f, &left);
        fact->end = token->end;
        fact->type = SL_FACT_CONTAINER;
    }
}

static void on_key_complete(struct sl_json_facts *f, unsigned depth, uint32_t candidates,
                            struct sl_slice key) {
    const struct sl_json_paths *paths = f->paths;
    unsigned level = depth - 1;
    uint32_t match = candidates & paths->any_key[level];
    for (uint32_t left = candidates & paths->named[level]; left != 0; left &= left - 1) {
        int i = __builtin_ctz(left);
        uint8_t len = paths->segments[level][i].len;
        if (key.len == len &&
            memcmp(key.ptr, f->facts[i].path + paths->segments[level][i].at, len) == 0)
            match |= UINT32_C(1) << i;
    }
    f->matching[depth] = match;
    /* If this key was there before, its value is now void. */
    for (uint32_t left = match & paths->plain[level]; left != 0;)
        forget(take_fact(f, &left));
}

static int on_key(struct sl_json_facts *f, const struct sl_json_token *token) {
    unsigned level = token->depth - 1;
    uint32_t above = f->matching[level];
    f->matching[token->depth] = 0;
    if (above == 0)
        return 0;
    uint32_t candidates = above & (f->paths->named[level] | f->paths->any_key[level]);
    if (candidates == 0)
        return 0;
    struct sl_slice key = token->text;
    if (!token->last || f->key.len > 0) {
        /* Its first bytes will do for a key longer than any segment: it equals none. */
        int rc = sl_buf_add(&f->key, sl_slice_head(key, f->key.max - f->key.len));
        if (rc != 0)
            return rc;
        key = sl_buf_slice(&f->key);
    }
    if (token->last) {
        on_key_complete(f, token->depth, candidates, key);
        sl_buf_clear(&f->key);
    }
    return 0;
}

int sl_json_facts_token(struct sl_json_facts *f, const struct sl_json_token *token) {
    if (token->event == SL_JSON_KEY)
        return on_key(f, token);
    uint32_t set = f->matching[token->depth];
    if (token->event == SL_JSON_OBJECT_BEGIN || token->event == SL_JSON_ARRAY_BEGIN) {
        on_begin(f, token, set);
        return 0;
    }
    if (set == 0)
        return 0;
    set &= f->paths->ends[token->depth];
    if (set == 0)
        return 0;
    switch (token->event) {
    case SL_JSON_STRING:
    case SL_JSON_NUMBER:
        return on_piece(f, token, set);
    case SL_JSON_OBJECT_END:
    case SL_JSON_ARRAY_END:
        on_end(f, token, set);
        return 0;
    default:
        on_literal(f, token, set);
        return 0;
    }
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    return sl_json_facts_token(ctx, token);
}

/* Enters one path into the sets. */
static int add_path(struct sl_json_paths *p, const char *path, size_t index) {
    struct sl_slice rest = sl_slice_str(path), segment;
    uint32_t bit = UINT32_C(1) << index;
    size_t level = 0;
    bool plain = true;
    if (rest.len > UINT8_MAX)
        return SL_E_LIMIT;
    while (path[0] != '\0' && sl_slice_split(&rest, '.', &segment)) {
        if (level == SL_JSON_MAX_SEGMENTS || segment.len > SL_JSON_MAX_SEGMENT)
            return SL_E_LIMIT;
        bool key = sl_slice_eq(segment, SL_LIT("*")), element = sl_slice_eq(segment, SL_LIT("[]"));
        plain = plain && !key && !element;
        *(key ? &p->any_key[level] : element ? &p->any_element[level] : &p->named[level]) |= bit;
        p->plain[level] |= plain ? bit : 0;
        p->segments[level][index].at = (uint8_t)(segment.ptr - path);
        p->segments[level][index].len = (uint8_t)segment.len;
        level++;
    }
    p->ends[level] |= bit;
    return 0;
}

int sl_json_paths_init(struct sl_json_paths *paths, const struct sl_json_fact *facts,
                       size_t count) {
    *paths = (struct sl_json_paths){0};
    if (count > SL_JSON_MAX_FACTS)
        return SL_E_LIMIT;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++)
        rc = add_path(paths, facts[i].path, i);
    return rc;
}

void sl_json_facts_begin(struct sl_json_facts *f, const struct sl_json_paths *paths,
                         struct sl_json_fact *facts, size_t count, size_t text_max) {
    memset(f, 0, offsetof(struct sl_json_facts, own));
    sl_buf_init(&f->key, SL_JSON_MAX_SEGMENT + 1);
    f->paths = paths;
    f->facts = facts;
    f->count = count;
    for (size_t i = 0; i < count; i++) {
        sl_buf_init(&facts[i].text, text_max);
        forget(&facts[i]);
    }
    f->matching[0] = count > 0 ? UINT32_MAX >> (32 - count) : 0;
    sl_json_init(&f->tokenizer, on_token, f);
}

int sl_json_facts_init(struct sl_json_facts *f, struct sl_json_fact *facts, size_t count,
                       size_t text_max) {
    *f = (struct sl_json_facts){0}; /* _done is safe if paths are refused */
    int rc = sl_json_paths_init(&f->own, facts, count);
    if (rc == 0)
        sl_json_facts_begin(f, &f->own, facts, count, text_max);
    return rc;
}

int sl_json_facts_feed(struct sl_json_facts *f, struct sl_slice in) {
    return sl_json_feed(&f->tokenizer, in);
}

int sl_json_facts_finish(struct sl_json_facts *f) {
    return sl_json_finish(&f->tokenizer);
}

void sl_json_facts_done(struct sl_json_facts *f) {
    for (size_t i = 0; i < f->count; i++)
        sl_buf_done(&f->facts[i].text);
    sl_buf_done(&f->key);
    f->count = 0;
}
