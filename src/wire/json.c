/*
 * The tokenizer is a state machine in two parts. Between tokens and within numbers a table says
 * for each state and class of byte where to go; entries past the table's own states are actions
 * (open, close, begin a token). Within strings and literals small functions run, because there the
 * work is to get over many bytes quickly.
 *
 * A piece of text is handed out as it lies in the input: `run` is where it starts. Only an escape
 * breaks a string into pieces, and \" \\ \/ not even there, as the byte behind the backslash is the
 * decoded one and simply starts the next run. What is left at the end of the input goes out then,
 * so nothing is ever stored and the state fits into the struct.
 *
 * The parent of a value is one bit of `stack`, hence the limit on depth.
 */
#include "sluice/wire/json.h"

#include "wire/scan.h"
#include "wire/utf8.h"

enum state {
    S_FAIL, /* no state, but the table's empty entries */
    S_VALUE,
    S_ELEMENT,     /* the first value of an array, or its end */
    S_MEMBER,      /* the first key of an object, or its end */
    S_KEY,         /* behind a comma */
    S_COLON,       /* behind a key */
    S_OBJECT_NEXT, /* behind a member's value */
    S_ARRAY_NEXT,  /* behind an element */
    S_END,         /* behind the document */
    S_MINUS,
    S_ZERO,
    S_INTEGER,
    S_POINT,
    S_FRACTION,
    S_EXPONENT_MARK,
    S_EXPONENT_SIGN,
    S_EXPONENT,
    TABLE_STATES,

    S_LITERAL = TABLE_STATES,
    S_TEXT,
    S_ESCAPE,
    S_HEX,
    S_LOW_BACKSLASH, /* a high surrogate wants "\u" and its low half */
    S_LOW_U,
};

/* What the table may ask for besides a state. The byte is not consumed yet. */
enum action {
    A_OPEN_OBJECT = S_LOW_U + 1,
    A_OPEN_ARRAY,
    A_CLOSE,
    A_KEY,
    A_STRING,
    A_NUMBER,
    A_NUMBER_END,
    A_LITERAL,
};

enum byte_class {
    C_OTHER,
    C_SPACE,
    C_OPEN_BRACE,
    C_CLOSE_BRACE,
    C_OPEN_BRACKET,
    C_CLOSE_BRACKET,
    C_COLON,
    C_COMMA,
    C_QUOTE,
    C_MINUS,
    C_PLUS,
    C_POINT,
    C_ZERO,
    C_DIGIT,
    C_E,
    C_LETTER, /* that a literal starts with */
    BYTE_CLASSES,
};

static const uint8_t classes[256] = {
    [' '] = C_SPACE,      ['\t'] = C_SPACE,      ['\n'] = C_SPACE,       ['\r'] = C_SPACE,
    ['{'] = C_OPEN_BRACE, ['}'] = C_CLOSE_BRACE, ['['] = C_OPEN_BRACKET, [']'] = C_CLOSE_BRACKET,
    [':'] = C_COLON,      [','] = C_COMMA,       ['"'] = C_QUOTE,        ['-'] = C_MINUS,
    ['+'] = C_PLUS,       ['.'] = C_POINT,       ['0'] = C_ZERO,         ['1' ... '9'] = C_DIGIT,
    ['e'] = C_E,          ['E'] = C_E,           ['t'] = C_LETTER,       ['f'] = C_LETTER,
    ['n'] = C_LETTER,
};

/* clang-format off */
#define BEGIN_VALUE                                                                                \
    [C_OPEN_BRACE] = A_OPEN_OBJECT, [C_OPEN_BRACKET] = A_OPEN_ARRAY, [C_QUOTE] = A_STRING,         \
    [C_MINUS] = A_NUMBER, [C_ZERO] = A_NUMBER, [C_DIGIT] = A_NUMBER, [C_LETTER] = A_LITERAL
#define END_NUMBER                                                                                 \
    [C_SPACE] = A_NUMBER_END, [C_COMMA] = A_NUMBER_END, [C_CLOSE_BRACE] = A_NUMBER_END,            \
    [C_CLOSE_BRACKET] = A_NUMBER_END
#define DIGITS(to) [C_ZERO] = (to), [C_DIGIT] = (to)

static const uint8_t table[TABLE_STATES][BYTE_CLASSES] = {
    [S_VALUE]         = { [C_SPACE] = S_VALUE, BEGIN_VALUE },
    [S_ELEMENT]       = { [C_SPACE] = S_ELEMENT, BEGIN_VALUE, [C_CLOSE_BRACKET] = A_CLOSE },
    [S_MEMBER]        = { [C_SPACE] = S_MEMBER, [C_QUOTE] = A_KEY, [C_CLOSE_BRACE] = A_CLOSE },
    [S_KEY]           = { [C_SPACE] = S_KEY, [C_QUOTE] = A_KEY },
    [S_COLON]         = { [C_SPACE] = S_COLON, [C_COLON] = S_VALUE },
    [S_OBJECT_NEXT]   = { [C_SPACE] = S_OBJECT_NEXT, [C_COMMA] = S_KEY, [C_CLOSE_BRACE] = A_CLOSE },
    [S_ARRAY_NEXT]    = { [C_SPACE] = S_ARRAY_NEXT, [C_COMMA] = S_VALUE, [C_CLOSE_BRACKET] = A_CLOSE },
    [S_END]           = { [C_SPACE] = S_END },
    [S_MINUS]         = { [C_ZERO] = S_ZERO, [C_DIGIT] = S_INTEGER },
    [S_ZERO]          = { [C_POINT] = S_POINT, [C_E] = S_EXPONENT_MARK, END_NUMBER },
    [S_INTEGER]       = { DIGITS(S_INTEGER), [C_POINT] = S_POINT, [C_E] = S_EXPONENT_MARK, END_NUMBER },
    [S_POINT]         = { DIGITS(S_FRACTION) },
    [S_FRACTION]      = { DIGITS(S_FRACTION), [C_E] = S_EXPONENT_MARK, END_NUMBER },
    [S_EXPONENT_MARK] = { DIGITS(S_EXPONENT), [C_MINUS] = S_EXPONENT_SIGN, [C_PLUS] = S_EXPONENT_SIGN },
    [S_EXPONENT_SIGN] = { DIGITS(S_EXPONENT) },
    [S_EXPONENT]      = { DIGITS(S_EXPONENT), END_NUMBER },
};
/* clang-format on */

static const struct {
    struct sl_slice text;
    enum sl_json_event event;
} literals[] = {
    {SL_LIT("true"), SL_JSON_TRUE},
    {SL_LIT("false"), SL_JSON_FALSE},
    {SL_LIT("null"), SL_JSON_NULL},
};

/* One call of sl_json_feed. */
struct cursor {
    struct sl_json_tokenizer *t;
    const char *start, *p, *end;
    const char *run; /* first byte of the piece under way */
};

static uint64_t offset_of(const struct cursor *c, const char *p) {
    return c->t->offset + (uint64_t)(p - c->start);
}

static int emit(struct sl_json_tokenizer *t, enum sl_json_event event, struct sl_slice text,
                bool last, uint64_t end) {
    const struct sl_json_token token = {
        .event = event,
        .text = text,
        .last = last,
        .depth = t->depth,
        .offset = t->token_start,
        .end = end,
    };
    int rc = t->on_token(t->ctx, &token);
    return rc < 0 ? rc : 0;
}

/* The run up to p, which ends behind it at `end`. */
static int emit_run(struct cursor *c, enum sl_json_event event, const char *p, bool last,
                    const char *end) {
    struct sl_slice text = sl_slice_of(c->run, (size_t)(p - c->run));
    c->run = p;
    return emit(c->t, event, text, last, offset_of(c, end));
}

static enum sl_json_event text_event(const struct sl_json_tokenizer *t) {
    return t->in_key ? SL_JSON_KEY : SL_JSON_STRING;
}

static bool in_object(const struct sl_json_tokenizer *t) {
    unsigned at = t->depth - 1;
    return (t->stack[at / 8] >> (at % 8) & 1) != 0;
}

static int after_value(const struct sl_json_tokenizer *t) {
    if (t->depth == 0)
        return S_END;
    return in_object(t) ? S_OBJECT_NEXT : S_ARRAY_NEXT;
}

static int open_container(struct cursor *c, bool object) {
    struct sl_json_tokenizer *t = c->t;
    if (t->depth == SL_JSON_MAX_DEPTH)
        return SL_E_INVALID;
    t->token_start = offset_of(c, c->p++);
    int rc = emit(t, object ? SL_JSON_OBJECT_BEGIN : SL_JSON_ARRAY_BEGIN, SL_EMPTY, true,
                  t->token_start + 1);
    uint8_t bit = (uint8_t)(1u << (t->depth % 8));
    uint8_t *byte = &t->stack[t->depth / 8];
    *byte = (uint8_t)(object ? *byte | bit : *byte & ~bit);
    t->depth++;
    t->state = object ? S_MEMBER : S_ELEMENT;
    return rc;
}

/* The table has seen to it that the bracket fits the container. */
static int close_container(struct cursor *c) {
    struct sl_json_tokenizer *t = c->t;
    bool object = in_object(t);
    t->depth--;
    t->token_start = offset_of(c, c->p++);
    t->state = after_value(t);
    return emit(t, object ? SL_JSON_OBJECT_END : SL_JSON_ARRAY_END, SL_EMPTY, true,
                t->token_start + 1);
}

static int begin_text(struct cursor *c, bool key) {
    c->t->token_start = offset_of(c, c->p++);
    c->t->in_key = key;
    c->t->state = S_TEXT;
    c->run = c->p;
    return 0;
}

static int begin_number(struct cursor *c) {
    char first = *c->p;
    c->run = c->p;
    c->t->token_start = offset_of(c, c->p++);
    c->t->state = first == '-' ? S_MINUS : first == '0' ? S_ZERO : S_INTEGER;
    return 0;
}

static int end_number(struct cursor *c) {
    c->t->state = after_value(c->t);
    return emit_run(c, SL_JSON_NUMBER, c->p, true, c->p);
}

static int begin_literal(struct cursor *c) {
    c->t->literal = *c->p == 't' ? 0 : *c->p == 'f' ? 1 : 2;
    c->t->digits = 0;
    c->t->token_start = offset_of(c, c->p);
    c->t->state = S_LITERAL;
    return 0;
}

static int act(struct cursor *c, uint8_t action) {
    switch (action) {
    case A_OPEN_OBJECT:
        return open_container(c, true);
    case A_OPEN_ARRAY:
        return open_container(c, false);
    case A_CLOSE:
        return close_container(c);
    case A_KEY:
        return begin_text(c, true);
    case A_STRING:
        return begin_text(c, false);
    case A_NUMBER:
        return begin_number(c);
    case A_NUMBER_END:
        return end_number(c);
    case A_LITERAL:
        return begin_literal(c);
    default:
        return SL_E_INVALID;
    }
}

static int by_table(struct cursor *c) {
    unsigned state = (unsigned)c->t->state;
    const char *p = c->p;
    uint8_t next = S_FAIL;
    for (; p < c->end; p++) {
        next = table[state][classes[(uint8_t)*p]];
        if (next == S_FAIL || next >= TABLE_STATES)
            break;
        state = next;
    }
    c->p = p;
    c->t->state = (int)state;
    return p < c->end ? act(c, next) : 0;
}

static int in_literal(struct cursor *c) {
    struct sl_json_tokenizer *t = c->t;
    struct sl_slice text = literals[t->literal].text;
    while (c->p < c->end && t->digits < text.len)
        if (*c->p++ != text.ptr[t->digits++])
            return SL_E_INVALID;
    if (t->digits < text.len)
        return 0;
    t->state = after_value(t);
    return emit(t, literals[t->literal].event, SL_EMPTY, true, offset_of(c, c->p));
}

static int in_text(struct cursor *c) {
    struct sl_json_tokenizer *t = c->t;
    const char *p = c->p;
    int rc = 0;
    for (;;) {
        while (p < c->end && (t->utf8_left > 0 || (uint8_t)*p >= 0x80))
            if (!sl_utf8_step(&t->utf8_left, &t->utf8_lead, (uint8_t)*p++)) {
                c->p = p - 1;
                return SL_E_INVALID;
            }
        p = sl_scan_plain(p, c->end);
        if (p == c->end || (uint8_t)*p < 0x80)
            break;
    }
    c->p = p;
    if (p == c->end)
        return 0;
    if (*p == '"') {
        t->state = t->in_key ? S_COLON : after_value(t);
        c->p++;
        return emit_run(c, text_event(t), p, true, p + 1);
    }
    if (*p != '\\')
        return SL_E_INVALID;
    t->state = S_ESCAPE;
    c->p++;
    if (p > c->run)
        rc = emit_run(c, text_event(t), p, false, p);
    return rc;
}

/* A decoded piece, whose source ends at c->p; the string goes on from there. */
static int emit_decoded(struct cursor *c, struct sl_slice text) {
    c->t->state = S_TEXT;
    c->run = c->p;
    return emit(c->t, text_event(c->t), text, false, offset_of(c, c->p));
}

static int in_escape(struct cursor *c) {
    static const char controls[256] = {
        ['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};
    struct sl_json_tokenizer *t = c->t;
    uint8_t byte = (uint8_t)*c->p;
    if (byte == 'u') {
        c->p++;
        t->unicode = 0;
        t->digits = 0;
        t->state = S_HEX;
        return 0;
    }
    if (byte == '"' || byte == '\\' || byte == '/') {
        c->run = c->p++;
        t->state = S_TEXT;
        return 0;
    }
    if (controls[byte] == 0)
        return SL_E_INVALID;
    c->p++;
    return emit_decoded(c, sl_slice_of(&controls[byte], 1));
}

static int emit_code_point(struct cursor *c, uint32_t cp) {
    char out[4];
    size_t n = 0;
    if (cp < 0x80) {
        out[n++] = (char)cp;
        return emit_decoded(c, sl_slice_of(out, n));
    }
    unsigned more = cp < 0x800 ? 1 : cp < 0x10000 ? 2 : 3;
    static const uint8_t leads[] = {0, 0xc0, 0xe0, 0xf0};
    out[n++] = (char)(uint8_t)(leads[more] | cp >> (6 * more));
    while (more-- > 0)
        out[n++] = (char)(uint8_t)(0x80 | (cp >> (6 * more) & 0x3f));
    return emit_decoded(c, sl_slice_of(out, n));
}

/* -1: not a hexadecimal digit. */
static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = sl_ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int in_hex(struct cursor *c) {
    struct sl_json_tokenizer *t = c->t;
    for (; c->p < c->end && t->digits < 4; c->p++, t->digits++) {
        int value = hex_value(*c->p);
        if (value < 0)
            return SL_E_INVALID;
        t->unicode = t->unicode << 4 | (uint32_t)value;
    }
    if (t->digits < 4)
        return 0;
    bool low = t->unicode >= 0xdc00 && t->unicode < 0xe000;
    if (low != (t->surrogate != 0))
        return SL_E_INVALID; /* one half without the other */
    if (t->unicode >= 0xd800 && t->unicode < 0xdc00) {
        t->surrogate = t->unicode;
        t->state = S_LOW_BACKSLASH;
        return 0;
    }
    uint32_t cp = t->unicode;
    if (low)
        cp = 0x10000 + ((t->surrogate - 0xd800) << 10) + (t->unicode - 0xdc00);
    t->surrogate = 0;
    return emit_code_point(c, cp);
}

static int expect(struct cursor *c, char byte, int next) {
    if (*c->p != byte)
        return SL_E_INVALID;
    c->p++;
    c->t->state = next;
    return 0;
}

static int step(struct cursor *c) {
    switch (c->t->state) {
    case S_LITERAL:
        return in_literal(c);
    case S_TEXT:
        return in_text(c);
    case S_ESCAPE:
        return in_escape(c);
    case S_HEX:
        return in_hex(c);
    case S_LOW_BACKSLASH:
        return expect(c, '\\', S_LOW_U);
    case S_LOW_U:
        c->t->unicode = 0;
        c->t->digits = 0;
        return expect(c, 'u', S_HEX);
    default:
        return by_table(c);
    }
}

static bool in_number(const struct sl_json_tokenizer *t) {
    return t->state >= S_MINUS && t->state <= S_EXPONENT;
}

/* Hands out what is left of a piece at the end of the input. */
static int flush(struct cursor *c) {
    struct sl_json_tokenizer *t = c->t;
    if (c->p == c->run || (t->state != S_TEXT && !in_number(t)))
        return 0;
    return emit_run(c, t->state == S_TEXT ? text_event(t) : SL_JSON_NUMBER, c->p, false, c->p);
}

void sl_json_init(struct sl_json_tokenizer *t,
                  int (*on_token)(void *ctx, const struct sl_json_token *token), void *ctx) {
    *t = (struct sl_json_tokenizer){.state = S_VALUE, .on_token = on_token, .ctx = ctx};
}

int sl_json_feed(struct sl_json_tokenizer *t, struct sl_slice in) {
    if (t->error != 0)
        return t->error;
    if (in.len == 0)
        return 0;
    struct cursor c = {.t = t, .start = in.ptr, .p = in.ptr, .end = in.ptr + in.len, .run = in.ptr};
    int rc = 0;
    while (rc == 0 && c.p < c.end)
        rc = step(&c);
    if (rc == 0)
        rc = flush(&c);
    t->offset += (uint64_t)(c.p - c.start);
    t->error = rc;
    return rc;
}

int sl_json_finish(struct sl_json_tokenizer *t) {
    if (t->error != 0)
        return t->error;
    /* Only the end of the document shows that a number at its root is complete. */
    bool number = t->state == S_ZERO || t->state == S_INTEGER || t->state == S_FRACTION ||
                  t->state == S_EXPONENT;
    if (number && t->depth == 0) {
        t->state = S_END;
        t->error = emit(t, SL_JSON_NUMBER, SL_EMPTY, true, t->offset);
        return t->error;
    }
    return t->state == S_END ? 0 : SL_E_EOF;
}
