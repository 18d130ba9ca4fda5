/*
 * Bodies as the simulator reads them: whatever is asked in whatever shape, it is refused in words
 * or answered by what is JSON, whole and as a stream, within max_tokens. The first byte picks the
 * shape, the second the model.
 */
#include <stdlib.h>

#include "sim/bodies.h"
#include "sim/scan.h"
#include "sluice/wire/eventstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const struct sl_sim_shape *const shapes[] = {
    &sl_sim_shape_converse, &sl_sim_shape_nova,      &sl_sim_shape_claude,
    &sl_sim_shape_messages, &sl_sim_shape_chat,      &sl_sim_shape_responses,
    &sl_sim_shape_llama,    &sl_sim_shape_titan,     &sl_sim_shape_mistral,
    &sl_sim_shape_command,  &sl_sim_shape_command_r, &sl_sim_shape_deepseek,
};
#define SHAPES (sizeof shapes / sizeof shapes[0])

static bool is_object(struct sl_slice s) {
    struct sl_sim_scan scan;
    sl_sim_scan_init(&scan);
    return sl_sim_scan_feed(&scan, s) == 0 && sl_sim_scan_finish(&scan) == 0;
}

static void check_stream(const struct sl_sim_shape *shape, const struct sl_sim_reply *reply,
                         enum sl_sim_framing framing) {
    struct sl_sim_walk walk;
    struct sl_sim_emitter e;
    struct sl_sim_step step;
    struct sl_sim_out out;
    sl_sim_out_init(&out, 1 << 26);
    sl_sim_walk_init(&walk, reply->plan);
    sl_sim_emitter_init(&e, framing, &out, reply);
    e.named = shape->named && framing == SL_SIM_FRAMING_CHUNK;
    for (sl_sim_walk_next(&walk, &step); step.kind != SL_SIM_STEP_DONE;
         sl_sim_walk_next(&walk, &step))
        shape->step(&e, &step);
    REQUIRE(!out.error && out.buf.len > 0);
    REQUIRE(walk.bytes == reply->plan->bytes);
    struct sl_slice rest = sl_buf_slice(&out.buf);
    while (framing != SL_SIM_FRAMING_SSE && rest.len) {
        struct sl_eventstream_message message;
        int64_t used = sl_eventstream_decode(rest, &message);
        REQUIRE(used > 0 && is_object(message.payload));
        rest = sl_slice_skip(rest, (size_t)used);
    }
    sl_sim_emitter_done(&e);
    sl_sim_out_done(&out);
}

static void answer(const struct sl_sim_shape *shape, struct sl_sim_ask *ask) {
    struct sl_sim_plan plan;
    struct sl_sim_out whole;
    REQUIRE(sl_sim_generate(ask, 1, &plan) == 0);
    REQUIRE(ask->guarded || plan.stop == SL_SIM_STOP_TOOL ||
            plan.usage.output <= sl_sim_ask_limit(ask));
    struct sl_sim_reply reply = {.plan = &plan,
                                 .model = ask->model,
                                 .model_id = sl_slice_str(ask->model->id),
                                 .request_id = SL_LIT("6fc1759f-adaf-4b72-9c33-f48810034fd6"),
                                 .stream_usage = ask->stream_usage};
    sl_sim_out_init(&whole, 1 << 22);
    shape->whole(&whole, &reply);
    REQUIRE(!whole.error && is_object(sl_buf_slice(&whole.buf)));
    sl_sim_out_done(&whole);
    check_stream(shape, &reply, SL_SIM_FRAMING_SSE);
    check_stream(shape, &reply,
                 shape == &sl_sim_shape_converse ? SL_SIM_FRAMING_CONVERSE : SL_SIM_FRAMING_CHUNK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_arena arena;
    struct sl_sim_refusal no = {.arena = &arena};
    static struct sl_sim_ask ask;
    if (size < 2)
        return 0;
    struct sl_slice body = sl_slice_of(data + 2, size - 2);
    if (!is_object(body)) /* as the simulator does: no tree of what is not JSON */
        return 0;
    cJSON *tree = cJSON_ParseWithLength(body.ptr, body.len);
    if (!tree)
        return 0;
    const struct sl_sim_shape *shape = shapes[data[0] % SHAPES];
    sl_arena_init(&arena, 1 << 22);
    sl_sim_ask_init(&ask, &arena, &no, sl_sim_model_at(data[1] % sl_sim_model_count()));
    if (ask.model->flags & SL_SIM_MODEL_EMBEDS || shape->decode(&ask, tree) != 0)
        REQUIRE(no.kind || ask.model->flags & SL_SIM_MODEL_EMBEDS);
    else
        answer(shape, &ask);
    cJSON_Delete(tree);
    sl_arena_done(&arena);
    return 0;
}
