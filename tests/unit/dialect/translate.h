/* A dialect at work, for tests: a request in, its call out; upstream's bytes in, the client's out.
 */
#ifndef SLUICE_TESTS_DIALECT_TRANSLATE_H
#define SLUICE_TESTS_DIALECT_TRANSLATE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "dialect/frames.h"
#include "sluice/dialect/dialect.h"

struct rig {
    const struct sl_dialect *dialect;
    struct sl_arena arena;
    struct sl_call call;
    struct sl_ask ask;
    struct sl_decode decode;
    struct sl_dialect_settings settings;
    struct sl_request_head head;
    struct sl_buf out;
};

static inline void rig_init(struct rig *rig, const struct sl_dialect *dialect, const char *method,
                            const char *target) {
    *rig = (struct rig){.dialect = dialect, .settings = {.map_retired = true}};
    sl_arena_init(&rig->arena, 1 << 20);
    sl_chain_init(&rig->call.body, NULL);
    sl_buf_init(&rig->out, 1 << 20);
    rig->ask = (struct sl_ask){.id = "0b7e0000-1111-4222-8333-444455556666", .created = 1000};
    rig->head = (struct sl_request_head){
        .method = sl_slice_str(method), .target = sl_slice_str(target), .version = 11};
    rig->decode = (struct sl_decode){.dialect = dialect,
                                     .settings = &rig->settings,
                                     .arena = &rig->arena,
                                     .call = &rig->call,
                                     .ask_arena = &rig->arena,
                                     .ask = &rig->ask,
                                     .tenant = 7};
}

static inline void rig_done(struct rig *rig) {
    sl_decode_done(&rig->decode);
    if (rig->dialect->ended)
        rig->dialect->ended(&rig->ask);
    sl_buf_done(&rig->out);
    sl_chain_done(&rig->call.body);
    sl_arena_done(&rig->arena);
    sl_chunk_pool_done();
}

static inline void add_header(struct rig *rig, const char *name, const char *value) {
    assert_int_equal(
        sl_headers_add(&rig->head.headers, &rig->arena, sl_slice_str(name), sl_slice_str(value)),
        SL_OK);
}

/* Feeds the body in pieces of `step` bytes. */
static inline void decode(struct rig *rig, const char *body, size_t step) {
    struct sl_slice rest = sl_slice_str(body);
    assert_int_equal(rig->dialect->begin(&rig->decode, &rig->head), SL_OK);
    while (rest.len > 0) {
        assert_int_equal(rig->dialect->body(&rig->decode, sl_slice_head(rest, step)), SL_OK);
        rest = sl_slice_skip(rest, step);
    }
    assert_int_equal(rig->dialect->finish(&rig->decode), SL_OK);
}

static inline void assert_text(struct sl_slice s, const char *expected) {
    if (!sl_slice_eq(s, sl_slice_str(expected)))
        fail_msg("got '%.*s', expected '%s'", SL_FMT(s), expected);
}

static inline void assert_has(struct sl_slice s, const char *part) {
    struct sl_slice needle = sl_slice_str(part);
    if (sl_slice_search(s, needle) == s.len)
        fail_msg("'%s' is not in '%.*s'", part, SL_FMT(s));
}

static inline void assert_has_not(struct sl_slice s, const char *part) {
    struct sl_slice needle = sl_slice_str(part);
    if (sl_slice_search(s, needle) < s.len)
        fail_msg("'%s' is in '%.*s'", part, SL_FMT(s));
}

static inline struct sl_slice call_body(struct rig *rig) {
    struct sl_slice whole = SL_EMPTY;
    assert_int_equal(rig->decode.failure, SL_FAILURE_NONE);
    assert_int_equal(sl_chain_flatten(&rig->call.body, 1 << 20, &whole), SL_OK);
    return whole;
}

static inline void assert_refused(struct rig *rig, enum sl_failure kind, const char *part) {
    assert_int_equal(rig->decode.failure, kind);
    assert_has(rig->decode.message, part);
}

static inline struct sl_encoder *make_encoder(struct rig *rig, enum sl_operation op,
                                              const char *model) {
    struct sl_response_head head = {.status = 200};
    struct sl_source source = {.operation = op,
                               .framing = sl_operation_info(op)->framing,
                               .model = sl_slice_str(model),
                               .head = &head};
    struct sl_encoder *encoder = NULL;
    assert_int_equal(rig->dialect->encoder(&rig->ask, &source, &rig->arena, &encoder), SL_OK);
    return encoder;
}

/* An answer through its encoder, in pieces of `step` bytes; rig->out is what came out. */
static inline int encode(struct rig *rig, enum sl_operation op, const char *model,
                         struct sl_slice bytes, size_t step) {
    struct sl_encoder *encoder = make_encoder(rig, op, model);
    int err = SL_OK;
    sl_buf_clear(&rig->out);
    assert_non_null(encoder);
    while (bytes.len > 0 && !err) {
        err = encoder->ops->feed(encoder, sl_slice_head(bytes, step), &rig->out);
        bytes = sl_slice_skip(bytes, step);
    }
    if (!err)
        err = encoder->ops->finish(encoder, &rig->out);
    encoder->ops->free(encoder);
    return err;
}

/* A stream of upstream's: rows of event type and payload; type "chunk" wraps the payload. */
struct told {
    const char *type, *payload;
};

static inline void put_stream(struct sl_buf *out, const struct told *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct sl_slice payload = sl_slice_str(rows[i].payload);
        int err = strcmp(rows[i].type, "chunk") == 0 ? sl_frame_put_chunk(out, payload)
                  : strcmp(rows[i].type, "exception") == 0
                      ? sl_eventstream_exception(out, SL_LIT("throttlingException"), payload)
                      : sl_frame_put(out, rows[i].type, payload);
        assert_int_equal(err, SL_OK);
    }
}

#endif
