/*
 * Runs a body through a shape: decode, generate, encode whole, encode as a stream. For tests that
 * look at what comes out.
 */
#ifndef SLUICE_TESTS_BODY_RIG_H
#define SLUICE_TESTS_BODY_RIG_H

#include "sim/bodies.h"
#include "sluice/wire/eventstream.h"
#include "sluice/wire/sse.h"

#define RIG_REQUEST_ID "6fc1759f-adaf-4b72-9c33-f48810034fd6"

struct body_rig {
    struct sl_arena arena;
    struct sl_sim_refusal no;
    struct sl_sim_ask ask;
    struct sl_sim_plan plan;
    struct sl_sim_reply reply;
    struct sl_sim_out whole, stream;
    cJSON *tree;
    int error; /* of decoding */
};

/* Decodes and, unless refused, generates and encodes whole. */
static inline void body_rig_run(struct body_rig *r, const struct sl_sim_shape *shape,
                                const char *model, const char *body) {
    *r = (struct body_rig){0};
    sl_arena_init(&r->arena, 1 << 22);
    r->no.arena = &r->arena;
    sl_sim_out_init(&r->whole, 1 << 22);
    sl_sim_out_init(&r->stream, 1 << 24);
    r->tree = cJSON_Parse(body);
    assert_non_null(r->tree);
    sl_sim_ask_init(&r->ask, &r->arena, &r->no, sl_sim_model_find(sl_slice_str(model)));
    assert_non_null(r->ask.model);
    r->error = shape->decode(&r->ask, r->tree);
    if (r->error)
        return;
    assert_int_equal(sl_sim_generate(&r->ask, 1, &r->plan), 0);
    r->reply = (struct sl_sim_reply){.plan = &r->plan,
                                     .model = r->ask.model,
                                     .model_id = sl_slice_str(model),
                                     .request_id = SL_LIT(RIG_REQUEST_ID),
                                     .stream_usage = true,
                                     .wall_ms = 1795342039000,
                                     .latency_ms = 12,
                                     .first_ms = 3};
    shape->whole(&r->whole, &r->reply);
    assert_int_equal(r->whole.error, 0);
}

/* Encodes all steps into r->stream. */
static inline void body_rig_stream(struct body_rig *r, const struct sl_sim_shape *shape,
                                   enum sl_sim_framing framing) {
    struct sl_sim_walk walk;
    struct sl_sim_emitter emitter;
    struct sl_sim_step step;
    sl_sim_walk_init(&walk, &r->plan);
    sl_sim_emitter_init(&emitter, framing, &r->stream, &r->reply);
    emitter.named = shape->named && framing == SL_SIM_FRAMING_CHUNK;
    for (sl_sim_walk_next(&walk, &step); step.kind != SL_SIM_STEP_DONE;
         sl_sim_walk_next(&walk, &step))
        shape->step(&emitter, &step);
    sl_sim_emitter_done(&emitter);
    assert_int_equal(r->stream.error, 0);
    assert_true(sl_sim_walk_midway(&walk));
}

static inline void body_rig_done(struct body_rig *r) {
    cJSON_Delete(r->tree);
    sl_sim_out_done(&r->whole);
    sl_sim_out_done(&r->stream);
    sl_arena_done(&r->arena);
}

/* The whole answer as a tree; the caller deletes it. */
static inline cJSON *body_rig_tree(const struct body_rig *r) {
    const char *end;
    cJSON *tree = cJSON_ParseWithLengthOpts(r->whole.buf.ptr, r->whole.buf.len, &end, false);
    assert_non_null(tree);
    assert_ptr_equal(end, r->whole.buf.ptr + r->whole.buf.len);
    return tree;
}

/* Follows "a.0.b": keys and indices. NULL where there is nothing. */
static inline const cJSON *body_at(const cJSON *tree, const char *path) {
    struct sl_slice rest = sl_slice_str(path), part;
    uint64_t index;
    char key[64];
    while (tree && sl_slice_split(&rest, '.', &part)) {
        assert_true(part.len < sizeof key);
        memcpy(key, part.ptr, part.len);
        key[part.len] = 0;
        tree = cJSON_IsArray(tree) && sl_slice_u64(part, &index)
                   ? cJSON_GetArrayItem(tree, (int)index)
                   : sl_sim_get(tree, key);
    }
    return tree;
}

static inline const char *body_string(const cJSON *tree, const char *path) {
    const char *s = cJSON_GetStringValue(body_at(tree, path));
    if (!s)
        fail_msg("no string at %s", path);
    return s;
}

static inline int64_t body_int(const cJSON *tree, const char *path) {
    if (!cJSON_IsNumber(body_at(tree, path)))
        fail_msg("no number at %s", path);
    return (int64_t)cJSON_GetNumberValue(body_at(tree, path));
}

/* The next event of a stream as a tree, its name in *name; NULL at the end. */
static inline cJSON *body_rig_next(struct sl_slice *rest, struct sl_slice *name) {
    struct sl_eventstream_message message;
    if (rest->len == 0)
        return NULL;
    int64_t used = sl_eventstream_decode(*rest, &message);
    assert_true(used > 0);
    *rest = sl_slice_skip(*rest, (size_t)used);
    assert_int_equal(sl_eventstream_check_headers(message.headers), 0);
    *name = sl_eventstream_string(message.headers, SL_LIT(":event-type"));
    cJSON *tree = cJSON_ParseWithLength(message.payload.ptr, message.payload.len);
    assert_non_null(tree);
    assert_true(body_string(tree, "p")[0] != 0);
    return tree;
}

#endif
