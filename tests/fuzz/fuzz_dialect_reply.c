/*
 * Reading of answers, and their other shape. The first byte chooses operation and family, the
 * second the size of the pieces. With the first byte's top bit set, the rest is lines of types and
 * payloads, which are put into frames with good checksums; else it is the body as it comes. What is
 * told must not depend on the pieces, and keep its order; a document that becomes frames must come
 * back.
 */
#include <stdlib.h>

#include "dialect/frames.h"
#include "sluice/dialect/dialect.h"
#include "sluice/dialect/reply.h"
#include "sluice/wire/canonical.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TOLD_MAX ((size_t)4 << 20)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const char *const models[] = {
    "anthropic.claude-3-haiku-20240307-v1:0",
    "meta.llama3-8b-instruct-v1:0",
    "amazon.nova-lite-v1:0",
    "amazon.titan-text-express-v1",
    "mistral.mistral-7b-instruct-v0:2",
    "cohere.command-text-v14",
    "cohere.command-r-v1:0",
    "deepseek.r1-v1:0",
};
static const enum sl_operation operations[] = {SL_OP_CONVERSE, SL_OP_CONVERSE_STREAM,
                                               SL_OP_INVOKE_MODEL, SL_OP_INVOKE_MODEL_STREAM};

struct told {
    struct sl_buf text;
    uint32_t next; /* number of the block that is open, or comes next */
    bool started, open, stopped;
};

static void check_order(struct told *t, const struct sl_reply_event *e) {
    REQUIRE(t->started == (e->kind != SL_REPLY_START) || e->kind == SL_REPLY_EXCEPTION ||
            e->kind == SL_REPLY_USAGE);
    switch (e->kind) {
    case SL_REPLY_START:
        t->started = true;
        break;
    case SL_REPLY_BLOCK:
        REQUIRE(!t->open && e->index == t->next);
        t->open = true;
        break;
    case SL_REPLY_BLOCK_END:
        REQUIRE(t->open && e->index == t->next++);
        t->open = false;
        break;
    case SL_REPLY_STOP:
        REQUIRE(!t->open && !t->stopped);
        t->stopped = true;
        break;
    case SL_REPLY_USAGE:
    case SL_REPLY_EXCEPTION:
        break;
    default:
        REQUIRE(t->open && e->index == t->next);
    }
}

static int tell(void *ctx, const struct sl_reply_event *e) {
    struct told *t = ctx;
    check_order(t, e);
    int err = sl_buf_printf(&t->text, "%d %u %d %d ", (int)e->kind, e->index, (int)e->failure,
                            (int)e->usage.output);
    const struct sl_slice parts[] = {e->text, e->raw, e->tool_id, e->tool_name, e->stop_reason};
    for (size_t i = 0; !err && i < sizeof(parts) / sizeof(parts[0]); i++)
        err = sl_buf_add(&t->text, parts[i]);
    return err;
}

static int read_all(struct told *t, const struct sl_source *source, struct sl_slice body,
                    size_t step) {
    bool supported;
    *t = (struct told){0};
    sl_buf_init(&t->text, TOLD_MAX);
    struct sl_reply_reader *r = sl_reply_reader_new(source, tell, t, &supported);
    int err = r ? SL_OK : SL_E_NOMEM;
    while (!err && body.len > 0) {
        err = sl_reply_reader_feed(r, sl_slice_head(body, step));
        body = sl_slice_skip(body, step);
    }
    if (!err)
        err = sl_reply_reader_finish(r);
    sl_reply_reader_free(r);
    return err;
}

static int encode(struct sl_buf *out, enum sl_operation to, const struct sl_source *source,
                  struct sl_slice body) {
    struct sl_arena arena;
    struct sl_ask ask = {.operation = to};
    struct sl_encoder *e = NULL;
    sl_buf_init(out, TOLD_MAX);
    sl_arena_init(&arena, 1 << 20);
    int err = sl_dialect_bedrock.encoder(&ask, source, &arena, &e);
    if (!err)
        err = e->ops->feed(e, body, out);
    if (!err)
        err = e->ops->finish(e, out);
    if (e)
        e->ops->free(e);
    sl_arena_done(&arena);
    return err;
}

/* Document to frames to document. */
static int there_and_back(struct sl_buf *out, const struct sl_source *source,
                          const struct sl_source *back, struct sl_slice body) {
    struct sl_buf frames;
    int err = encode(&frames, back->operation, source, body);
    sl_buf_init(out, TOLD_MAX);
    if (!err)
        err = encode(out, source->operation, back, sl_buf_slice(&frames));
    sl_buf_done(&frames);
    return err;
}

static int canonical_token(void *ctx, const struct sl_json_token *token) {
    return sl_canonical_token(ctx, token);
}

/* Whether no object has a key twice, of which readers would see one and copies keep both. */
static bool is_plain(struct sl_slice json) {
    struct sl_canonical *c = sl_canonical_new();
    struct sl_json_tokenizer t;
    uint8_t digest[32];
    REQUIRE(c);
    sl_json_init(&t, canonical_token, c);
    bool plain = sl_json_feed(&t, json) == SL_OK && sl_json_finish(&t) == SL_OK &&
                 sl_canonical_finish(c, NULL, 0, digest) == SL_OK;
    sl_canonical_free(c);
    return plain;
}

/* What went there and back once stays as it is the second time. */
static void round_trip(const struct sl_source *source, struct sl_slice body) {
    bool framed = source->framing == SL_FRAMING_EVENTSTREAM;
    struct sl_buf once, twice;
    struct sl_source back = *source;
    if (framed || !sl_bedrock_convertible(source->operation, source->model) || !is_plain(body))
        return;
    back.operation =
        source->operation == SL_OP_CONVERSE ? SL_OP_CONVERSE_STREAM : SL_OP_INVOKE_MODEL_STREAM;
    back.framing = SL_FRAMING_EVENTSTREAM;
    if (there_and_back(&once, source, &back, body) == SL_OK) {
        int err = there_and_back(&twice, source, &back, sl_buf_slice(&once));
        REQUIRE(err == SL_E_LIMIT || err == SL_E_NOMEM ||
                (err == SL_OK && sl_slice_eq(sl_buf_slice(&once), sl_buf_slice(&twice))));
        sl_buf_done(&twice);
    }
    sl_buf_done(&once);
}

static void build(struct sl_buf *out, struct sl_slice lines, bool chunks) {
    struct sl_slice type, payload;
    while (sl_slice_split(&lines, '\n', &type) && sl_slice_split(&lines, '\n', &payload)) {
        char name[64] = "";
        memcpy(name, type.ptr, type.len < 63 ? type.len : 63);
        int err = chunks ? sl_frame_put_chunk(out, payload) : sl_frame_put(out, name, payload);
        if (err)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct told whole, pieces;
    struct sl_buf built;
    if (size < 2)
        return 0;
    struct sl_source source = {.operation = operations[data[0] & 3],
                               .model = sl_slice_str(models[(data[0] >> 2) & 7])};
    source.framing = sl_operation_info(source.operation)->framing;
    struct sl_slice body = sl_slice_of(data + 2, size - 2);
    sl_buf_init(&built, TOLD_MAX);
    if (data[0] & 128) {
        build(&built, body, source.operation == SL_OP_INVOKE_MODEL_STREAM);
        body = sl_buf_slice(&built);
    }
    int a = read_all(&whole, &source, body, SIZE_MAX);
    int b = read_all(&pieces, &source, body, (size_t)data[1] + 1);
    REQUIRE(a == b);
    REQUIRE(a != SL_OK || sl_slice_eq(sl_buf_slice(&whole.text), sl_buf_slice(&pieces.text)));
    REQUIRE(a != SL_OK || !whole.open);
    round_trip(&source, body);
    sl_buf_done(&whole.text);
    sl_buf_done(&pieces.text);
    sl_buf_done(&built);
    return 0;
}
