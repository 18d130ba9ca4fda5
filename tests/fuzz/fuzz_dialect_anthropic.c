/*
 * Anthropic's dialect. The first byte says what the rest is and where it is cut in two; the cut
 * must not show.
 *
 *   0x00–0x3f  a request's body: what goes upstream is JSON
 *   0x40–0x7f  the same for the count of tokens
 *   0x80–…     an answer: bits 0–3 the operation and what was asked for, made of lines
 *              (a stream's events, "type json") or of one document
 */
#include <stdlib.h>

#include "dialect/frames.h"
#include "sluice/dialect/dialect.h"
#include "sluice/wire/json_view.h"
#include "sluice/wire/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)16 << 20)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct made {
    struct sl_arena arena;
    struct sl_call call;
    struct sl_ask ask;
    enum sl_failure failure;
    struct sl_buf out;
    int rc;
};

static void made_done(struct made *m) {
    sl_buf_done(&m->out);
    sl_chain_done(&m->call.body);
    sl_arena_done(&m->arena);
}

/* What is nested nearly as deep as our parser reads may be nested deeper than that afterwards. */
static bool is_deep(struct sl_slice text) {
    size_t open = 0;
    for (size_t i = 0; i < text.len; i++)
        open += text.ptr[i] == '[' || text.ptr[i] == '{';
    return open > SL_JSON_MAX_DEPTH - 16;
}

static void require_json(struct sl_slice text) {
    struct sl_json_view view;
    if (is_deep(text))
        return;
    REQUIRE(sl_json_view_parse(&view, text, UINT32_MAX) == SL_OK);
    sl_json_view_done(&view);
}

/* --- requests */

static void decode(struct made *m, const char *target, struct sl_slice body, size_t cut) {
    static const struct sl_dialect_settings settings = {.map_retired = true};
    const struct sl_dialect *dialect = &sl_dialect_anthropic;
    struct sl_header beta = {SL_LIT("anthropic-beta"), SL_LIT("a-1,b-2")};
    struct sl_request_head head = {.method = SL_LIT("POST"),
                                   .target = sl_slice_str(target),
                                   .headers = {&beta, 1, 1},
                                   .version = 11};
    *m = (struct made){.ask = {.id = "id"}};
    sl_arena_init(&m->arena, (size_t)1 << 20);
    sl_chain_init(&m->call.body, NULL);
    struct sl_decode d = {.dialect = dialect,
                          .settings = &settings,
                          .arena = &m->arena,
                          .ask_arena = &m->arena,
                          .ask = &m->ask,
                          .call = &m->call};
    m->rc = dialect->begin(&d, &head);
    if (m->rc == SL_OK)
        m->rc = dialect->body(&d, sl_slice_head(body, cut));
    if (m->rc == SL_OK)
        m->rc = dialect->body(&d, sl_slice_skip(body, cut));
    if (m->rc == SL_OK)
        m->rc = dialect->finish(&d);
    m->failure = d.failure;
    sl_decode_done(&d);
}

static void fuzz_request(const char *target, struct sl_slice body, size_t cut) {
    struct made whole, pieces;
    struct sl_slice a, b;
    decode(&whole, target, body, body.len);
    decode(&pieces, target, body, cut);
    REQUIRE(whole.rc == SL_OK && pieces.rc == SL_OK);
    REQUIRE(whole.failure == pieces.failure);
    if (!whole.failure) {
        REQUIRE(sl_chain_flatten(&whole.call.body, SIZE_MAX, &a) == SL_OK);
        REQUIRE(sl_chain_flatten(&pieces.call.body, SIZE_MAX, &b) == SL_OK);
        REQUIRE(sl_slice_eq(a, b));
        require_json(a);
    }
    made_done(&whole);
    made_done(&pieces);
}

/* --- answers */

static void encode(struct made *m, const struct sl_source *source, bool stream,
                   struct sl_slice bytes, size_t cut) {
    struct sl_encoder *e = NULL;
    *m = (struct made){.ask = {.id = "id", .stream = stream, .model = SL_LIT("m")}};
    sl_arena_init(&m->arena, (size_t)1 << 20);
    sl_chain_init(&m->call.body, NULL);
    sl_buf_init(&m->out, OUT_MAX);
    REQUIRE(sl_dialect_anthropic.encoder(&m->ask, source, &m->arena, &e) == SL_OK);
    if (!e)
        return;
    m->rc = e->ops->feed(e, sl_slice_head(bytes, cut), &m->out);
    if (m->rc == SL_OK)
        m->rc = e->ops->feed(e, sl_slice_skip(bytes, cut), &m->out);
    if (m->rc == SL_OK)
        m->rc = e->ops->finish(e, &m->out);
    e->ops->free(e);
}

static int require_event(void *ctx, const struct sl_sse_event *event) {
    (void)ctx;
    require_json(event->data);
    return SL_OK;
}

static void require_events(struct sl_slice out) {
    struct sl_sse_parser parser;
    sl_sse_init(&parser, OUT_MAX);
    REQUIRE(sl_sse_feed(&parser, out, require_event, NULL) == SL_OK);
    sl_sse_done(&parser);
}

/* Lines "type json" as frames; those of Claude, as chunks. */
static void make_stream(struct sl_slice lines, bool chunks, struct sl_buf *out) {
    struct sl_slice line;
    char type[32];
    while (sl_slice_split(&lines, '\n', &line)) {
        size_t blank = sl_slice_find(line, ' ');
        struct sl_slice name = sl_slice_head(line, blank < 31 ? blank : 31);
        struct sl_slice json = sl_slice_skip(line, blank + 1);
        memcpy(type, name.ptr, name.len);
        type[name.len] = '\0';
        int err = sl_slice_eq(name, SL_LIT("exception"))
                      ? sl_eventstream_exception(out, SL_LIT("throttlingException"), json)
                  : chunks ? sl_frame_put_chunk(out, json)
                           : sl_frame_put(out, type, json);
        REQUIRE(err == SL_OK || err == SL_E_LIMIT);
    }
}

static void fuzz_answer(uint8_t how, struct sl_slice in) {
    static const enum sl_operation operations[] = {SL_OP_CONVERSE, SL_OP_CONVERSE_STREAM,
                                                   SL_OP_INVOKE_MODEL, SL_OP_INVOKE_MODEL_STREAM};
    enum sl_operation op = operations[how & 3];
    bool stream = (how & 4) != 0;
    struct sl_response_head head = {.status = 200};
    struct sl_source source = {.operation = op,
                               .framing = sl_operation_info(op)->framing,
                               .model = SL_LIT("anthropic.claude-3-haiku-20240307-v1:0"),
                               .head = &head};
    struct sl_buf frames;
    struct made whole, pieces;
    sl_buf_init(&frames, OUT_MAX);
    if (source.framing == SL_FRAMING_EVENTSTREAM) {
        make_stream(in, op == SL_OP_INVOKE_MODEL_STREAM, &frames);
        in = sl_buf_slice(&frames);
    }
    encode(&whole, &source, stream, in, in.len);
    encode(&pieces, &source, stream, in, (size_t)(how >> 3 & 15) * in.len / 16);
    REQUIRE(whole.rc == pieces.rc);
    REQUIRE(whole.rc != SL_OK || sl_slice_eq(sl_buf_slice(&whole.out), sl_buf_slice(&pieces.out)));
    /* Claude's own events are passed on as they are. */
    if (stream && op != SL_OP_INVOKE_MODEL_STREAM)
        require_events(sl_buf_slice(&whole.out));
    else if (!stream && whole.rc == SL_OK && whole.out.len > 0)
        require_json(sl_buf_slice(&whole.out));
    made_done(&whole);
    made_done(&pieces);
    sl_buf_done(&frames);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    struct sl_slice rest = sl_slice_of(data + 1, size - 1);
    if (data[0] >= 0x80)
        fuzz_answer(data[0] & 0x7f, rest);
    else
        fuzz_request(data[0] < 0x40 ? "/v1/messages" : "/v1/messages/count_tokens", rest,
                     rest.len * (data[0] & 0x3f) / 64);
    return 0;
}
