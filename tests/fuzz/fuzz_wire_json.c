/*
 * JSON: whatever way the input is cut, the same tokens and facts come out, with the same verdict;
 * tokens nest, and lie in the document in order. The first byte sets the size of the pieces.
 */
#include <stdlib.h>

#include "sluice/wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* A digest of the tokens that does not see how texts are cut. */
struct digest {
    uint64_t hash, end, size;
    unsigned depth;
    bool in_piece;
};

static void mix(struct digest *d, uint64_t v) {
    d->hash = (d->hash ^ v) * UINT64_C(0x100000001b3);
}

static int on_token(void *ctx, const struct sl_json_token *token) {
    struct digest *d = ctx;
    REQUIRE(token->end <= d->size && token->offset < token->end && token->end >= d->end);
    REQUIRE(d->in_piece || token->offset >= d->end);
    d->end = token->end;
    if (token->event == SL_JSON_OBJECT_END || token->event == SL_JSON_ARRAY_END)
        d->depth--;
    REQUIRE(token->depth == d->depth);
    if (token->event == SL_JSON_OBJECT_BEGIN || token->event == SL_JSON_ARRAY_BEGIN)
        d->depth++;
    REQUIRE(d->depth <= SL_JSON_MAX_DEPTH);
    if (!d->in_piece) {
        mix(d, token->event);
        mix(d, token->offset);
    }
    for (size_t i = 0; i < token->text.len; i++)
        mix(d, (uint8_t)token->text.ptr[i]);
    if (token->last)
        mix(d, token->end);
    d->in_piece = !token->last;
    return 0;
}

static int tokens(struct sl_slice in, size_t piece, struct digest *d) {
    struct sl_json_tokenizer t;
    int rc = 0;
    *d = (struct digest){.size = in.len};
    sl_json_init(&t, on_token, d);
    while (rc == 0 && in.len > 0) {
        rc = sl_json_feed(&t, sl_slice_head(in, piece));
        in = sl_slice_skip(in, piece);
    }
    if (rc == 0)
        rc = sl_json_finish(&t);
    REQUIRE(rc != 0 || d->depth == 0);
    return rc;
}

#define FACTS 7

static int facts(struct sl_slice in, size_t piece, struct sl_json_facts *f,
                 struct sl_json_fact found[FACTS]) {
    static const char *const paths[FACTS] = {
        "a", "a.b", "*", "[].a", "*.*", "a.[].b", "",
    };
    for (size_t i = 0; i < FACTS; i++)
        found[i].path = paths[i];
    int rc = sl_json_facts_init(f, found, FACTS, 8);
    while (rc == 0 && in.len > 0) {
        rc = sl_json_facts_feed(f, sl_slice_head(in, piece));
        in = sl_slice_skip(in, piece);
    }
    return rc != 0 ? rc : sl_json_facts_finish(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct sl_slice in = sl_slice_of(data + 1, size - 1);
    size_t piece = data[0] % 64 + 1u;
    struct digest a, b;
    int rc = tokens(in, size, &a);
    REQUIRE(tokens(in, piece, &b) == rc);
    REQUIRE(rc == SL_E_INVALID || a.hash == b.hash);

    static struct sl_json_facts f, g;
    static struct sl_json_fact x[FACTS], y[FACTS];
    REQUIRE(facts(in, size, &f, x) == rc && facts(in, piece, &g, y) == rc);
    /* Of what is not JSON, pieces of the last token may have been handed out or not. */
    for (size_t i = 0; i < FACTS && rc != SL_E_INVALID; i++) {
        REQUIRE(x[i].type == y[i].type && x[i].integer == y[i].integer && x[i].start == y[i].start);
        REQUIRE(x[i].type == SL_FACT_ABSENT || (x[i].start < x[i].end && x[i].end <= in.len));
        REQUIRE(x[i].end == y[i].end && x[i].text.len <= 8);
        REQUIRE(x[i].type == SL_FACT_ABSENT ||
                sl_slice_eq(sl_buf_slice(&x[i].text), sl_buf_slice(&y[i].text)));
    }
    sl_json_facts_done(&f);
    sl_json_facts_done(&g);
    return 0;
}
