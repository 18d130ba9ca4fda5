/*
 * An incremental JSON tokenizer (RFC 8259), fed as bytes arrive: it yields facts
 * (values at paths that the caller names) and builds no tree. Memory is bounded by depth and by the
 * longest fact asked for; no call does more work than the bytes it is given.
 *
 * It refuses (SL_E_INVALID): what is not JSON, depth above SL_JSON_MAX_DEPTH, lone
 * surrogates, invalid UTF-8, text behind the document.
 *
 * Events arrive in document order. Strings come decoded (escapes resolved; U+0000 is a byte
 * like any other) in one or more pieces; numbers come as their text.
 */
#ifndef SLUICE_WIRE_JSON_H
#define SLUICE_WIRE_JSON_H

#include <stdint.h>

#include "sluice/base/buf.h"
#include "sluice/base/slice.h"

#define SL_JSON_MAX_DEPTH 128

enum sl_json_event {
    SL_JSON_OBJECT_BEGIN,
    SL_JSON_OBJECT_END,
    SL_JSON_ARRAY_BEGIN,
    SL_JSON_ARRAY_END,
    SL_JSON_KEY,    /* a piece of a key; `last` on its final piece (which may be empty) */
    SL_JSON_STRING, /* a piece of a string; `last` likewise */
    SL_JSON_NUMBER, /* a piece of a number's text; `last` likewise */
    SL_JSON_TRUE,
    SL_JSON_FALSE,
    SL_JSON_NULL,
};

struct sl_json_token {
    enum sl_json_event event;
    struct sl_slice text; /* decoded piece; valid during the callback */
    bool last;
    unsigned depth;  /* open containers around the value; the root value has 0 */
    uint64_t offset; /* of the token's first byte in the document (of the quote, for strings) */
    uint64_t end;    /* behind the last byte of this piece; with `last`, behind the closing quote */
};

struct sl_json_tokenizer {
    int state;
    int error; /* sticky */
    unsigned depth;
    uint64_t offset; /* bytes consumed */
    uint64_t token_start;
    uint32_t unicode;   /* \uXXXX under way */
    uint32_t surrogate; /* high half waiting for its low half */
    uint8_t digits, utf8_left, utf8_lead, literal, in_key;
    uint8_t stack[SL_JSON_MAX_DEPTH / 8]; /* bit set: object */
    int (*on_token)(void *ctx, const struct sl_json_token *token);
    void *ctx;
};

/* on_token returns 0, or a negative error that ends the parse. */
void sl_json_init(struct sl_json_tokenizer *t,
                  int (*on_token)(void *ctx, const struct sl_json_token *token), void *ctx);
SL_NODISCARD int sl_json_feed(struct sl_json_tokenizer *t, struct sl_slice in);
/* The document must be complete: 0, SL_E_EOF, or the sticky error. */
SL_NODISCARD int sl_json_finish(struct sl_json_tokenizer *t);

/*
 * Facts: values at fixed paths, such as "usage.inputTokens" or "inferenceConfig.maxTokens".
 * Segments are keys, separated by '.'; "[]" as a segment stands for any array element; "*" for any
 * key. The empty path is the document itself.
 */
struct sl_json_fact {
    const char *path;
    /* Results: */
    enum {
        SL_FACT_ABSENT,
        SL_FACT_NUMBER,
        SL_FACT_STRING,
        SL_FACT_BOOL,
        SL_FACT_NULL,
        SL_FACT_CONTAINER
    } type;
    int64_t integer;     /* numbers: truncated towards zero and saturated; bools: 0 or 1 */
    uint64_t start, end; /* the value's bytes in the document (last occurrence wins) */
    struct sl_buf text;  /* strings, decoded, and numbers, as text; longer ones are cut at max */
    bool cut;
};

/* At most this many facts for one reader, of so many segments, of so many bytes each; a path has
 * at most 255 bytes. */
#define SL_JSON_MAX_FACTS    32
#define SL_JSON_MAX_SEGMENTS 8
#define SL_JSON_MAX_SEGMENT  64

/* A number under way: its value is mantissa * 10^(scale ± exponent). */
struct sl_json_number {
    uint64_t mantissa; /* its first 19 significant digits */
    int64_t scale, exponent;
    uint8_t digits, part;
    bool negative, exponent_negative;
};

/* Paths, taken apart: for each level the sets of facts by what their segment there is. */
struct sl_json_paths {
    uint32_t ends[SL_JSON_MAX_SEGMENTS + 1]; /* nothing: the path has this many segments */
    uint32_t named[SL_JSON_MAX_SEGMENTS + 1];
    uint32_t any_key[SL_JSON_MAX_SEGMENTS + 1];
    uint32_t any_element[SL_JSON_MAX_SEGMENTS + 1];
    uint32_t plain[SL_JSON_MAX_SEGMENTS + 1]; /* named, here and at each level above */
    struct {
        uint8_t at, len; /* within the path */
    } segments[SL_JSON_MAX_SEGMENTS][SL_JSON_MAX_FACTS];
};

struct sl_json_facts {
    struct sl_json_tokenizer tokenizer;
    struct sl_json_fact *facts; /* the caller's array, which must outlive this */
    size_t count;
    /* For each depth, the set of facts whose path matches so far. */
    uint32_t matching[SL_JSON_MAX_DEPTH + 1];
    struct sl_buf key;
    uint32_t active; /* facts whose value is under way */
    struct sl_json_number number;
    const struct sl_json_paths *paths; /* `own`, or those that many readers share */
    struct sl_json_paths own;
};

/*
 * text_max bounds each fact's text. Each fact's result fields are reset. SL_E_LIMIT beyond the
 * maxima above. A fact is present once its value is complete, so a document that breaks off leaves
 * the facts seen until then. Where an object repeats a key, the last one counts with all that is
 * in it, as for a parser that builds a tree; below "*" and "[]" the last match in the document.
 */
SL_NODISCARD int sl_json_facts_init(struct sl_json_facts *f, struct sl_json_fact *facts,
                                    size_t count, size_t text_max);
/* The same in two steps, for a table of paths that is read in every request: taken apart once, and
 * a reader with it, whose facts have these paths. The paths outlive it. */
SL_NODISCARD int sl_json_paths_init(struct sl_json_paths *paths, const struct sl_json_fact *facts,
                                    size_t count);
void sl_json_facts_begin(struct sl_json_facts *f, const struct sl_json_paths *paths,
                         struct sl_json_fact *facts, size_t count, size_t text_max);
SL_NODISCARD int sl_json_facts_feed(struct sl_json_facts *f, struct sl_slice in);
SL_NODISCARD int sl_json_facts_finish(struct sl_json_facts *f);
/* One token of a document that another tokenizer reads, in place of _feed. After an error, no more
 * of that document. */
SL_NODISCARD int sl_json_facts_token(struct sl_json_facts *f, const struct sl_json_token *token);
void sl_json_facts_done(struct sl_json_facts *f); /* frees the facts' texts too */

#endif
