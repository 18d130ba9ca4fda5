/* A request of OpenAI's, decoded, and answers to it, encoded: what its tests share. */
#ifndef SLUICE_TEST_OPENAI_RIG_H
#define SLUICE_TEST_OPENAI_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dialect/frames.h"
#include "sluice/dialect/dialect.h"
#include "sluice/wire/canonical.h"

struct rig {
    struct sl_arena arena;
    struct sl_call call;
    struct sl_ask ask;
    struct sl_dialect_settings settings;
    struct sl_decode decode;
    struct sl_request_head head;
};

static void rig_init(struct rig *r, const char *method, const char *target) {
    *r = (struct rig){.settings = {.map_retired = true}};
    sl_arena_init(&r->arena, 1 << 20);
    sl_chain_init(&r->call.body, NULL);
    r->ask = (struct sl_ask){.created = 1700000000, .id = "01234567-89ab-cdef"};
    r->head = (struct sl_request_head){
        .method = sl_slice_str(method), .target = sl_slice_str(target), .version = 11};
}

/* Feeds the body in pieces of `step` bytes. */
static int rig_decode(struct rig *r, struct sl_slice body, size_t step) {
    const struct sl_dialect *dialect = sl_dialect_for(&r->head);
    assert_ptr_equal(dialect, &sl_dialect_openai);
    r->decode = (struct sl_decode){.dialect = dialect,
                                   .settings = &r->settings,
                                   .arena = &r->arena,
                                   .ask_arena = &r->arena,
                                   .ask = &r->ask,
                                   .call = &r->call};
    int err = dialect->begin(&r->decode, &r->head);
    while (!err && body.len > 0) {
        err = dialect->body(&r->decode, sl_slice_head(body, step));
        body = sl_slice_skip(body, step);
    }
    return err ? err : dialect->finish(&r->decode);
}

static void rig_done(struct rig *r) {
    sl_decode_done(&r->decode);
    sl_dialect_openai.ended(&r->ask);
    sl_chain_done(&r->call.body);
    sl_arena_done(&r->arena);
    sl_chunk_pool_done();
}

static inline void assert_slice(struct sl_slice s, const char *expected) {
    if (!sl_slice_eq(s, sl_slice_str(expected)))
        fail_msg("got '%.*s', expected '%s'", SL_FMT(s), expected);
}

static int digest_token(void *ctx, const struct sl_json_token *token) {
    return sl_canonical_token(ctx, token);
}

static bool digest(struct sl_slice json, uint8_t out[32]) {
    struct sl_canonical *c = sl_canonical_new();
    struct sl_json_tokenizer t;
    assert_non_null(c);
    sl_json_init(&t, digest_token, c);
    bool good = sl_json_feed(&t, json) == SL_OK && sl_json_finish(&t) == SL_OK &&
                sl_canonical_finish(c, NULL, 0, out) == SL_OK;
    sl_canonical_free(c);
    return good;
}

static inline void assert_same_meaning(struct sl_slice got, const char *expected) {
    uint8_t a[32], b[32];
    assert_true(digest(sl_slice_str(expected), b));
    if (!digest(got, a) || memcmp(a, b, sizeof(a)) != 0)
        fail_msg("got      %.*s\nexpected %s", SL_FMT(got), expected);
}

/* Decodes and compares the upstream body, whole and byte by byte. */
static inline void assert_request(const char *target, const char *body, const char *upstream,
                                  const char *upstream_target) {
    static const size_t steps[] = {SIZE_MAX, 1};
    for (size_t i = 0; i < 2; i++) {
        struct rig r;
        struct sl_slice sent;
        uint8_t sha[32];
        rig_init(&r, "POST", target);
        assert_int_equal(rig_decode(&r, sl_slice_str(body), steps[i]), SL_OK);
        if (r.decode.failure)
            fail_msg("refused: %.*s", SL_FMT(r.decode.message));
        assert_int_equal(sl_chain_flatten(&r.call.body, 1 << 20, &sent), SL_OK);
        assert_same_meaning(sent, upstream);
        sl_sha256_of(sent, sha);
        assert_memory_equal(sha, r.call.body_sha256, 32);
        assert_slice(r.call.target, upstream_target);
        assert_slice(r.call.method, "POST");
        rig_done(&r);
    }
}

static inline void assert_refused(const char *target, const char *body, enum sl_failure kind,
                                  const char *words) {
    struct rig r;
    rig_init(&r, "POST", target);
    assert_int_equal(rig_decode(&r, sl_slice_str(body), SIZE_MAX), SL_OK);
    assert_int_equal(r.decode.failure, kind);
    if (sl_slice_search(r.decode.message, sl_slice_str(words)) == r.decode.message.len)
        fail_msg("'%.*s' lacks '%s'", SL_FMT(r.decode.message), words);
    rig_done(&r);
}

struct frame {
    const char *type, *payload;
};

/* Frames up to a NULL type; "!name" is an exception. */
static inline void build_frames(struct sl_buf *out, const struct frame *frames) {
    sl_buf_init(out, 1 << 20);
    for (; frames->type; frames++) {
        struct sl_slice payload = sl_slice_str(frames->payload);
        int err = frames->type[0] == '!'
                      ? sl_eventstream_exception(out, sl_slice_str(frames->type + 1), payload)
                      : sl_frame_put(out, frames->type, payload);
        assert_int_equal(err, SL_OK);
    }
}

/* The answer `body` of operation op, encoded for the decoded request. */
static inline int rig_answer(struct rig *r, enum sl_operation op, struct sl_slice body,
                             const struct sl_response_head *head, size_t step,
                             struct sl_response_head *out_head, struct sl_buf *out) {
    struct sl_source source = {op, sl_operation_info(op)->framing, r->call.model, head};
    struct sl_encoder *e = NULL;
    sl_buf_init(out, 1 << 20);
    int err = sl_dialect_openai.encoder(&r->ask, &source, &r->arena, &e);
    while (!err && body.len > 0) {
        err = e->ops->feed(e, sl_slice_head(body, step), out);
        body = sl_slice_skip(body, step);
    }
    if (!err)
        err = e->ops->finish(e, out);
    if (!err && out_head)
        *out_head = e->head;
    if (e)
        e->ops->free(e);
    return err;
}

#endif
