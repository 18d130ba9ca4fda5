/*
 * Decoding of Bedrock's own requests: a line with method and target, header lines up to an empty
 * one, a body. The first byte cuts the body in two; that must not show in the call, nor in a
 * refusal.
 */
#include <stdlib.h>

#include "sluice/dialect/dialect.h"
#include "sluice/dialect/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_MAX   ((size_t)1 << 20)
#define HEADERS_MAX 32
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

struct request {
    struct sl_request_head head;
    struct sl_header headers[HEADERS_MAX];
    struct sl_slice body;
};

struct decoded {
    struct sl_arena arena;
    struct sl_call call;
    enum sl_failure failure;
    struct sl_slice message;
    int rc;
};

static void parse(struct request *r, struct sl_slice in) {
    struct sl_slice line = SL_EMPTY;
    *r = (struct request){.head = {.content_length = SL_LENGTH_UNKNOWN, .version = 11}};
    (void)sl_slice_split(&in, '\n', &line);
    size_t blank = sl_slice_find(line, ' ');
    r->head.method = sl_slice_head(line, blank);
    r->head.target = sl_slice_skip(line, blank + 1);
    r->head.headers = (struct sl_headers){r->headers, 0, HEADERS_MAX};
    while (r->head.headers.count < HEADERS_MAX && sl_slice_split(&in, '\n', &line) && line.len) {
        size_t colon = sl_slice_find(line, ':');
        r->headers[r->head.headers.count++] = (struct sl_header){
            sl_slice_head(line, colon), sl_slice_trim(sl_slice_skip(line, colon + 1))};
    }
    r->body = in;
}

static void decode(struct decoded *out, const struct request *r, size_t cut) {
    static const struct sl_dialect_settings settings = {.map_retired = true};
    const struct sl_dialect *dialect = &sl_dialect_bedrock;
    *out = (struct decoded){0};
    sl_arena_init(&out->arena, ARENA_MAX);
    struct sl_ask ask = {0};
    struct sl_decode d = {.dialect = dialect,
                          .settings = &settings,
                          .arena = &out->arena,
                          .ask_arena = &out->arena,
                          .ask = &ask,
                          .call = &out->call};
    out->rc = dialect->begin(&d, &r->head);
    if (out->rc == SL_OK)
        out->rc = dialect->body(&d, sl_slice_head(r->body, cut));
    if (out->rc == SL_OK)
        out->rc = dialect->body(&d, sl_slice_skip(r->body, cut));
    if (out->rc == SL_OK)
        out->rc = dialect->finish(&d);
    if (out->call.hash_due)
        sl_edit_hash(&out->call);
    out->failure = d.failure;
    out->message = d.message;
    sl_decode_done(&d);
}

static void done(struct decoded *d) {
    sl_chain_done(&d->call.body);
    sl_arena_done(&d->arena);
}

static void require_equal_bodies(struct decoded *a, struct decoded *b) {
    struct sl_slice left, right;
    REQUIRE(sl_chain_flatten(&a->call.body, SIZE_MAX, &left) == SL_OK);
    REQUIRE(sl_chain_flatten(&b->call.body, SIZE_MAX, &right) == SL_OK);
    REQUIRE(sl_slice_eq(left, right));
}

static void require_equal(struct decoded *a, struct decoded *b) {
    REQUIRE(a->rc == b->rc && a->failure == b->failure);
    REQUIRE(sl_slice_eq(a->message, b->message));
    if (a->rc != SL_OK || a->failure)
        return;
    REQUIRE(a->call.operation == b->call.operation && a->call.plane == b->call.plane);
    REQUIRE(a->call.framing == b->call.framing && a->call.max_tokens == b->call.max_tokens);
    REQUIRE(sl_slice_eq(a->call.model, b->call.model));
    REQUIRE(sl_slice_eq(a->call.target, b->call.target));
    REQUIRE(sl_slice_eq(a->call.served_model, b->call.served_model));
    REQUIRE(sl_slice_eq(a->call.edited, b->call.edited));
    REQUIRE(memcmp(a->call.body_sha256, b->call.body_sha256, sizeof(a->call.body_sha256)) == 0);
    REQUIRE(a->call.deterministic == b->call.deterministic);
    REQUIRE(a->call.has_load == b->call.has_load && a->call.has_meaning == b->call.has_meaning);
    REQUIRE(!a->call.has_load || a->call.load.text_bytes == b->call.load.text_bytes);
    REQUIRE(!a->call.has_meaning || memcmp(a->call.meaning, b->call.meaning, 32) == 0);
    REQUIRE(a->call.priority == b->call.priority);
    require_equal_bodies(a, b);
}

/* What is sent is what came, unless it says otherwise. */
static void require_untouched(struct decoded *d, const struct request *r) {
    struct sl_slice sent;
    if (d->rc != SL_OK || d->failure || d->call.edited.len > 0)
        return;
    REQUIRE(sl_chain_flatten(&d->call.body, SIZE_MAX, &sent) == SL_OK);
    REQUIRE(sl_slice_eq(sent, r->body));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct request r;
    struct decoded whole, cut;
    if (size == 0)
        return 0;
    parse(&r, sl_slice_of(data + 1, size - 1));
    decode(&whole, &r, r.body.len);
    decode(&cut, &r, r.body.len * data[0] / 256);
    REQUIRE(whole.rc == SL_OK || whole.rc == SL_E_NOMEM);
    require_equal(&whole, &cut);
    require_untouched(&whole, &r);
    done(&whole);
    done(&cut);
    return 0;
}
