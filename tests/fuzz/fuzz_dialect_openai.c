/*
 * OpenAI's requests: the first byte chooses the path, the second cuts the body in two; that must
 * not show. What goes upstream must be JSON, whatever was spliced into it; and the answer to it,
 * whose text, tool's name and input are taken from the request's own bytes, must be JSON too.
 */
#include <stdlib.h>

#include "dialect/put.h"
#include "sluice/dialect/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_MAX  ((size_t)4 << 20)
#define ANSWER_MAX ((size_t)16 << 20)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const struct sl_slice paths[] = {SL_LIT("/v1/chat/completions"), SL_LIT("/v1/responses"),
                                        SL_LIT("/v1/embeddings")};

struct decoded {
    struct sl_arena arena;
    struct sl_call call;
    struct sl_ask ask;
    struct sl_decode decode;
    int rc;
};

static void decode(struct decoded *out, struct sl_slice path, struct sl_slice body, size_t cut) {
    static const struct sl_dialect_settings settings = {.map_retired = true};
    const struct sl_dialect *dialect = &sl_dialect_openai;
    struct sl_request_head head = {.method = SL_LIT("POST"), .target = path, .version = 11};
    *out = (struct decoded){.ask = {.id = "0-1", .created = 1}};
    sl_arena_init(&out->arena, ARENA_MAX);
    out->decode = (struct sl_decode){.dialect = dialect,
                                     .settings = &settings,
                                     .arena = &out->arena,
                                     .ask_arena = &out->arena,
                                     .ask = &out->ask,
                                     .call = &out->call};
    out->rc = dialect->begin(&out->decode, &head);
    if (out->rc == SL_OK)
        out->rc = dialect->body(&out->decode, sl_slice_head(body, cut));
    if (out->rc == SL_OK)
        out->rc = dialect->body(&out->decode, sl_slice_skip(body, cut));
    if (out->rc == SL_OK)
        out->rc = dialect->finish(&out->decode);
}

static void done(struct decoded *d) {
    sl_decode_done(&d->decode);
    sl_dialect_openai.ended(&d->ask);
    sl_chain_done(&d->call.body);
    sl_arena_done(&d->arena);
}

/* A document that says the request's bytes back, as far as they are text. */
static void put_answer(struct sl_buf *out, struct sl_slice body) {
    struct sl_put p = {.to = out};
    sl_put(&p, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{");
    sl_put_member(&p, "text", body);
    sl_put(&p, "},{\"toolUse\":{\"toolUseId\":\"t\",\"name\":\"answer\"");
    sl_put_member(&p, "input", body);
    sl_put(&p, "}}]}},\"stopReason\":\"tool_use\",\"usage\":{}}");
    REQUIRE(p.err == SL_OK);
}

static void answer(struct decoded *d, struct sl_slice upstream) {
    struct sl_source source = {SL_OP_CONVERSE, SL_FRAMING_WHOLE, SL_LIT("m"), NULL};
    struct sl_buf body, out;
    struct sl_encoder *e = NULL;
    sl_buf_init(&body, ANSWER_MAX);
    sl_buf_init(&out, ANSWER_MAX);
    put_answer(&body, upstream);
    int err = sl_dialect_openai.encoder(&d->ask, &source, &d->arena, &e);
    if (!err)
        err = e->ops->feed(e, sl_buf_slice(&body), &out);
    if (!err)
        err = e->ops->finish(e, &out);
    REQUIRE(err == SL_OK || err == SL_E_NOMEM || err == SL_E_LIMIT);
    REQUIRE(err || d->ask.stream || sl_put_can(sl_buf_slice(&out), true));
    if (e)
        e->ops->free(e);
    sl_buf_done(&body);
    sl_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct decoded whole, cut;
    struct sl_slice a, b;
    if (size < 2)
        return 0;
    struct sl_slice path = paths[data[0] % 3], body = sl_slice_of(data + 2, size - 2);
    decode(&whole, path, body, body.len);
    decode(&cut, path, body, body.len * data[1] / 256);
    REQUIRE(whole.rc == cut.rc && whole.decode.failure == cut.decode.failure);
    REQUIRE(whole.rc == SL_OK || whole.rc == SL_E_NOMEM);
    if (whole.rc == SL_OK && !whole.decode.failure) {
        REQUIRE(sl_chain_flatten(&whole.call.body, SIZE_MAX, &a) == SL_OK);
        REQUIRE(sl_chain_flatten(&cut.call.body, SIZE_MAX, &b) == SL_OK);
        REQUIRE(sl_slice_eq(a, b));
        REQUIRE(sl_put_can(a, true));
        if (data[0] % 3 < 2)
            answer(&whole, a);
    }
    done(&whole);
    done(&cut);
    sl_chunk_pool_done();
    return 0;
}
