/*
 * The REST dialect, several requests in a row, so that conversations go on: requests are separated
 * by NUL, each a byte that chooses route and cut, then its body, or the rest of its path. What goes
 * upstream is JSON and does not depend on the cut; so is the answer, made of one that says the
 * request's bytes back; and what is remembered keeps its bounds.
 */
#include <stdlib.h>

#include "dialect/put.h"
#include "sluice/dialect/dialect.h"
#include "sluice/dialect/sessions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_MAX      ((size_t)4 << 20)
#define ANSWER_MAX     ((size_t)16 << 20)
#define SESSIONS       ((size_t)3)
#define SESSIONS_BYTES ((size_t)16384)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const struct {
    struct sl_slice method, target;
} routes[] = {
    {SL_LIT("POST"), SL_LIT("/invoke")},
    {SL_LIT("POST"), SL_LIT("/chat")},
    {SL_LIT("DELETE"), SL_LIT("/chat/")},
    {SL_LIT("GET"), SL_LIT("/models")},
};
#define ROUTES (sizeof(routes) / sizeof(routes[0]))

struct decoded {
    struct sl_arena arena;
    struct sl_call call;
    struct sl_ask ask;
    struct sl_decode decode;
    int rc;
};

static struct sl_dialect_settings settings = {.map_retired = true,
                                              .default_model = SL_LIT("amazon.nova-lite-v1:0")};

static void decode(struct decoded *out, size_t route, struct sl_slice body, size_t cut) {
    const struct sl_dialect *dialect = &sl_dialect_rest;
    struct sl_request_head head = {
        .method = routes[route].method, .target = routes[route].target, .version = 11};
    *out = (struct decoded){.ask = {.id = "0-1", .created = 1}};
    sl_arena_init(&out->arena, ARENA_MAX);
    if (route == 2)
        REQUIRE(sl_arena_printf(&out->arena, &head.target, "/chat/%.*s", SL_FMT(body)) == SL_OK);
    out->decode = (struct sl_decode){.dialect = dialect,
                                     .settings = &settings,
                                     .arena = &out->arena,
                                     .ask_arena = &out->arena,
                                     .ask = &out->ask,
                                     .call = &out->call};
    if (!dialect->serves(&head)) {
        out->rc = SL_E_NOTFOUND;
        return;
    }
    out->rc = dialect->begin(&out->decode, &head);
    if (out->rc == SL_OK)
        out->rc = dialect->body(&out->decode, sl_slice_head(body, cut));
    if (out->rc == SL_OK)
        out->rc = dialect->body(&out->decode, sl_slice_skip(body, cut));
    if (out->rc == SL_OK)
        out->rc = dialect->finish(&out->decode);
    REQUIRE(out->rc == SL_OK || out->rc == SL_E_NOMEM);
}

static void done(struct decoded *d) {
    sl_decode_done(&d->decode);
    sl_dialect_rest.ended(&d->ask);
    sl_chain_done(&d->call.body);
    sl_arena_done(&d->arena);
}

/* A document that says the request's bytes back, as far as they are text. */
static void put_answer(struct sl_buf *out, struct sl_slice body) {
    struct sl_put p = {.to = out};
    sl_put(&p, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[{");
    sl_put_member_string(&p, "text", body);
    sl_put(&p, "}]}},\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":1}}");
    REQUIRE(p.err == SL_OK);
}

static void answer(struct decoded *d, struct sl_slice request) {
    struct sl_source source = {SL_OP_CONVERSE, SL_FRAMING_WHOLE, SL_LIT("m"), NULL};
    struct sl_buf body, out;
    struct sl_encoder *e = NULL;
    sl_buf_init(&body, ANSWER_MAX);
    sl_buf_init(&out, ANSWER_MAX);
    put_answer(&body, request);
    int err = sl_dialect_rest.encoder(&d->ask, &source, &d->arena, &e);
    if (!err)
        err = e->ops->feed(e, sl_buf_slice(&body), &out);
    if (!err)
        err = e->ops->finish(e, &out);
    REQUIRE(err == SL_OK || err == SL_E_NOMEM || err == SL_E_LIMIT || err == SL_E_PROTOCOL);
    REQUIRE(err || d->ask.stream || sl_put_can(sl_buf_slice(&out), true));
    if (e)
        e->ops->free(e);
    sl_buf_done(&body);
    sl_buf_done(&out);
}

/* The request's body as what Bedrock says of its models. */
static void list(struct decoded *d, struct sl_slice body) {
    struct sl_headers headers = {0};
    struct sl_part parts[] = {{200, body, &headers}, {200, body, &headers}};
    struct sl_response_head head = {0};
    struct sl_buf out;
    sl_buf_init(&out, ANSWER_MAX);
    int err = sl_dialect_rest.join(&d->ask, &d->arena, parts, 1 + d->decode.parts, &head, &out);
    REQUIRE(err || head.status != 200 || sl_put_can(sl_buf_slice(&out), true));
    sl_buf_done(&out);
}

static void request(uint8_t how, struct sl_slice body) {
    struct decoded whole, cut;
    struct sl_slice a, b;
    size_t route = how % ROUTES;
    decode(&whole, route, body, body.len);
    if (route != 1) { /* a conversation's turn keeps others out */
        decode(&cut, route, body, body.len * (how / ROUTES) / (256 / ROUTES));
        REQUIRE(whole.rc == cut.rc);
        /* What was deleted once is not there to be deleted again. */
        REQUIRE(route == 2 || whole.decode.failure == cut.decode.failure);
        REQUIRE(whole.rc || whole.decode.failure || route == 2 ||
                (sl_chain_flatten(&whole.call.body, SIZE_MAX, &a) == SL_OK &&
                 sl_chain_flatten(&cut.call.body, SIZE_MAX, &b) == SL_OK && sl_slice_eq(a, b)));
        done(&cut);
    }
    if (whole.rc == SL_OK && !whole.decode.failure && route == 3) {
        list(&whole, body);
    } else if (whole.rc == SL_OK && !whole.decode.failure && route < 2) {
        REQUIRE(sl_chain_flatten(&whole.call.body, SIZE_MAX, &a) == SL_OK && sl_put_can(a, true));
        if (how < 0xf0) /* else the model never answers */
            answer(&whole, body);
    }
    done(&whole);
    REQUIRE(sl_sessions_count(settings.sessions) <= SESSIONS);
    REQUIRE(sl_sessions_bytes(settings.sessions) <= SESSIONS_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct sl_sessions_settings bounds = {.count = SESSIONS,
                                                       .bytes = SESSIONS_BYTES,
                                                       .session_bytes = SESSIONS_BYTES / 2,
                                                       .idle_s = 1800,
                                                       .turn_s = 900};
    struct sl_slice all = sl_slice_of(data, size), body;
    settings.sessions = sl_sessions_new(&bounds);
    REQUIRE(settings.sessions);
    while (size > 0 && sl_slice_split(&all, '\0', &body))
        if (body.len > 0)
            request((uint8_t)body.ptr[0], sl_slice_skip(body, 1));
    sl_sessions_free(settings.sessions);
    sl_chunk_pool_done();
    return 0;
}
