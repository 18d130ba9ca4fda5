/*
 * Anthropic's Messages: Claude's InvokeModel body (anthropic_version in it, no model and no
 * stream) and /anthropic/v1/messages (the other way about). One encoder serves both: chunks and
 * server-sent events carry the same JSON.
 */
#include "sim/bodies.h"

static int invalid(struct sl_sim_ask *ask, const char *field, const char *words) {
    return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION, "%s: %s", field, words);
}

/* ---- Decoding --------------------------------------------------------------------- */

static void decode_cache_control(struct sl_sim_ask *ask, const cJSON *holder) {
    const cJSON *control = sl_sim_get(holder, "cache_control");
    if (cJSON_IsObject(control))
        sl_sim_ask_cache_point(ask, sl_sim_get_string(control, "ttl"));
}

/* A string, or blocks: of a message, a tool's result, or the system prompt. */
static void decode_content(struct sl_sim_ask *ask, const cJSON *content, int depth) {
    if (cJSON_IsString(content)) {
        sl_sim_ask_text(ask, sl_sim_string(content));
        return;
    }
    const cJSON *block;
    cJSON_ArrayForEach(block, content) {
        struct sl_slice type = sl_sim_get_string(block, "type");
        if (sl_slice_eq(type, SL_LIT("text"))) {
            sl_sim_ask_text(ask, sl_sim_get_string(block, "text"));
        } else if (sl_slice_eq(type, SL_LIT("image")) || sl_slice_eq(type, SL_LIT("document"))) {
            sl_sim_ask_image(ask, sl_sim_get(block, "source"));
        } else if (sl_slice_eq(type, SL_LIT("tool_use"))) {
            sl_sim_ask_text(ask, sl_sim_get_string(block, "name"));
        } else if (sl_slice_eq(type, SL_LIT("tool_result")) && depth == 0) {
            ask->answered = true;
            decode_content(ask, sl_sim_get(block, "content"), depth + 1);
        }
        decode_cache_control(ask, block);
    }
}

static int decode_messages(struct sl_sim_ask *ask, const cJSON *messages) {
    const cJSON *message;
    if (!messages)
        return invalid(ask, "messages", "Field required");
    if (!cJSON_IsArray(messages) || !messages->child)
        return invalid(ask, "messages", "at least one message is required");
    if (!sl_slice_eq(sl_sim_get_string(messages->child, "role"), SL_LIT("user")))
        return invalid(ask, "messages", "first message must use the \"user\" role");
    cJSON_ArrayForEach(message, messages) {
        struct sl_slice role = sl_sim_get_string(message, "role");
        if (!sl_slice_eq(role, SL_LIT("user")) && !sl_slice_eq(role, SL_LIT("assistant")))
            return invalid(ask, "messages", "Input should be 'user' or 'assistant'");
        sl_sim_ask_turn(ask, role);
        decode_content(ask, sl_sim_get(message, "content"), 0);
    }
    return 0;
}

static int decode_tools(struct sl_sim_ask *ask, const cJSON *body) {
    const cJSON *tool, *choice = sl_sim_get(body, "tool_choice");
    cJSON_ArrayForEach(tool, sl_sim_get(body, "tools")) {
        SL_SIM_CHECK(sl_sim_ask_tool(ask, sl_sim_get_string(tool, "name"),
                                     sl_sim_get_string(tool, "description"),
                                     sl_sim_get(tool, "input_schema")));
        decode_cache_control(ask, tool);
    }
    struct sl_slice type = sl_sim_get_string(choice, "type");
    if (sl_slice_eq(type, SL_LIT("any")))
        ask->choice = SL_SIM_CHOICE_ANY;
    else if (sl_slice_eq(type, SL_LIT("none")))
        ask->choice = SL_SIM_CHOICE_NONE;
    else if (sl_slice_eq(type, SL_LIT("tool")))
        ask->chosen = sl_sim_get_string(choice, "name");
    return 0;
}

static int decode_limit(struct sl_sim_ask *ask, const cJSON *body) {
    if (!sl_sim_get(body, "max_tokens"))
        return invalid(ask, "max_tokens", "Field required");
    ask->max_tokens = sl_sim_get_int(body, "max_tokens", 0);
    if (ask->max_tokens < 1)
        return invalid(ask, "max_tokens", "Input should be greater than or equal to 1");
    if (ask->max_tokens > ask->model->max_output)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "max_tokens: %lld > %lld, which is the maximum allowed number of "
                             "output tokens for %s",
                             (long long)ask->max_tokens, (long long)ask->model->max_output,
                             ask->model->id + strlen("anthropic."));
    return 0;
}

/* All but what the two surfaces differ in. */
static int decode(struct sl_sim_ask *ask, const cJSON *body, bool counting) {
    SL_SIM_CHECK(decode_tools(ask, body));
    sl_sim_ask_turn(ask, SL_LIT("system"));
    decode_content(ask, sl_sim_get(body, "system"), 1);
    SL_SIM_CHECK(decode_messages(ask, sl_sim_get(body, "messages")));
    if (counting)
        return 0;
    SL_SIM_CHECK(decode_limit(ask, body));
    SL_SIM_CHECK(sl_sim_ask_stops(ask, sl_sim_get(body, "stop_sequences")));
    struct sl_slice thinking = sl_sim_get_string(sl_sim_get(body, "thinking"), "type");
    if (sl_slice_eq(thinking, SL_LIT("enabled")) || sl_slice_eq(thinking, SL_LIT("adaptive")))
        ask->thinks = true;
    return 0;
}

/*
 * AWS documents the first alone ("Anthropic Claude Messages API", Bedrock user guide); the others
 * are what Anthropic's SDKs put into a body for Bedrock unless told otherwise: the Python SDK since
 * 2.0 (its ANTHROPIC_API_VERSION). Bedrock's words for any other: boto3 issue 4218.
 */
static bool is_known_version(struct sl_slice version) {
    static const struct sl_slice known[] = {SL_LIT("bedrock-2023-05-31"), SL_LIT("2026-10-21")};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (sl_slice_eq(version, known[i]))
            return true;
    return false;
}

static int claude_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const char *const foreign[] = {"model", "stream"};
    if (!cJSON_IsObject(body))
        return invalid(ask, "Malformed input request",
                       "expected type: JSONObject, please reformat your input and try again.");
    struct sl_slice version = sl_sim_get_string(body, "anthropic_version");
    if (!version.len)
        return invalid(ask, "anthropic_version", "Field required");
    if (!is_known_version(version))
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION, "Invalid API version: %.*s",
                             SL_FMT(version));
    for (size_t i = 0; i < 2; i++)
        if (sl_sim_get(body, foreign[i]))
            return invalid(ask, foreign[i], "Extra inputs are not permitted");
    return decode(ask, body, false);
}

static int messages_decode(struct sl_sim_ask *ask, const cJSON *body) {
    ask->stream = cJSON_IsTrue(sl_sim_get(body, "stream"));
    return decode(ask, body, false);
}

int sl_sim_messages_count(struct sl_sim_ask *ask, const cJSON *body) {
    return decode(ask, body, true);
}

/* ---- Encoding --------------------------------------------------------------------- */

static struct sl_slice stop_reason(const struct sl_sim_reply *reply) {
    static const char *const words[SL_SIM_STOPS] = {
        [SL_SIM_STOP_END] = "end_turn",          [SL_SIM_STOP_TOOL] = "tool_use",
        [SL_SIM_STOP_MAX_TOKENS] = "max_tokens", [SL_SIM_STOP_SEQUENCE] = "stop_sequence",
        [SL_SIM_STOP_GUARDRAIL] = "end_turn", /* the guardrail speaks in a field of its own */
    };
    return sl_slice_str(words[reply->plan->stop]);
}

static void put_stop(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    if (reply->plan->stop == SL_SIM_STOP_SEQUENCE)
        sl_sim_put(out, "'stop_reason':%s,'stop_sequence':%s", stop_reason(reply),
                   reply->plan->stop_sequence);
    else
        sl_sim_put(out, "'stop_reason':%s,'stop_sequence':null", stop_reason(reply));
}

static void put_usage(struct sl_sim_out *out, const struct sl_usage *u, int64_t output) {
    sl_sim_put(out,
               "'usage':{'input_tokens':%d,'cache_creation_input_tokens':%d,"
               "'cache_read_input_tokens':%d,'output_tokens':%d}",
               u->input, u->cache_write, u->cache_read, output);
}

static void put_block(struct sl_sim_out *out, const struct sl_sim_block *block) {
    switch (block->kind) {
    case SL_SIM_BLOCK_THOUGHT:
        sl_sim_put(out, "{'type':'thinking','thinking':%s,'signature':%s}", block->text, block->id);
        break;
    case SL_SIM_BLOCK_TEXT:
        sl_sim_put(out, "{'type':'text','text':%s}", block->text);
        break;
    case SL_SIM_BLOCK_TOOL:
        sl_sim_put(out, "{'type':'tool_use','id':%s,'name':%s,'input':%r}", block->id, block->name,
                   block->text);
        break;
    }
}

static void put_opening(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "'id':'msg_bdrk_%r','type':'message','role':'assistant','model':%s,",
               sl_slice_head(reply->request_id, 8), reply->model_id);
}

static void whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{");
    put_opening(out, reply);
    sl_sim_put(out, "'content':[");
    for (size_t i = 0; i < reply->plan->count; i++) {
        sl_sim_put(out, i ? "," : "");
        put_block(out, &reply->plan->blocks[i]);
    }
    sl_sim_put(out, "],");
    put_stop(out, reply);
    sl_sim_put(out, ",");
    put_usage(out, &reply->plan->usage, reply->plan->usage.output);
    sl_sim_put(out, "}");
}

static void emit_start(struct sl_sim_emitter *e) {
    struct sl_sim_out head;
    sl_sim_out_init(&head, 8192);
    put_opening(&head, e->reply);
    sl_sim_put(&head, "'content':[],'stop_reason':null,'stop_sequence':null,");
    put_usage(&head, &e->reply->plan->usage, 1);
    if (head.error)
        e->out->error = head.error;
    sl_sim_emit(e, "message_start", "{'type':'message_start','message':{%r}}",
                sl_buf_slice(&head.buf));
    sl_sim_out_done(&head);
}

static void emit_block(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    static const char *const empty[] = {
        [SL_SIM_BLOCK_THOUGHT] = "{'type':'content_block_start','index':%d,'content_block':{'type':"
                                 "'thinking','thinking':'','signature':''}}",
        [SL_SIM_BLOCK_TEXT] = "{'type':'content_block_start','index':%d,'content_block':{'type':"
                              "'text','text':''}}",
        [SL_SIM_BLOCK_TOOL] = "{'type':'content_block_start','index':%d,'content_block':{'type':"
                              "'tool_use','id':%s,'name':%s,'input':{}}}",
    };
    sl_sim_emit(e, "content_block_start", empty[step->block->kind], (int64_t)step->index,
                step->block->id, step->block->name);
}

static void emit_delta(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    static const char *const templates[] = {
        [SL_SIM_BLOCK_THOUGHT] = "{'type':'content_block_delta','index':%d,'delta':{'type':"
                                 "'thinking_delta','thinking':%s}}",
        [SL_SIM_BLOCK_TEXT] = "{'type':'content_block_delta','index':%d,'delta':{'type':"
                              "'text_delta','text':%s}}",
        [SL_SIM_BLOCK_TOOL] = "{'type':'content_block_delta','index':%d,'delta':{'type':"
                              "'input_json_delta','partial_json':%s}}",
    };
    sl_sim_emit(e, "content_block_delta", templates[step->block->kind], (int64_t)step->index,
                step->piece);
}

static void emit_stop(struct sl_sim_emitter *e) {
    struct sl_sim_out stop;
    sl_sim_out_init(&stop, 4096);
    put_stop(&stop, e->reply);
    if (stop.error)
        e->out->error = stop.error;
    sl_sim_emit(e, "message_delta",
                "{'type':'message_delta','delta':{%r},'usage':{'output_tokens':%d}}",
                sl_buf_slice(&stop.buf), e->reply->plan->usage.output);
    sl_sim_out_done(&stop);
}

static void step(struct sl_sim_emitter *e, const struct sl_sim_step *s) {
    switch (s->kind) {
    case SL_SIM_STEP_START:
        emit_start(e);
        break;
    case SL_SIM_STEP_BLOCK:
        emit_block(e, s);
        break;
    case SL_SIM_STEP_DELTA:
        emit_delta(e, s);
        break;
    case SL_SIM_STEP_BLOCK_END:
        if (sl_sim_is_thought(s->block))
            sl_sim_emit(e, "content_block_delta",
                        "{'type':'content_block_delta','index':%d,'delta':{'type':"
                        "'signature_delta','signature':%s}}",
                        (int64_t)s->index, s->block->id);
        sl_sim_emit(e, "content_block_stop", "{'type':'content_block_stop','index':%d}",
                    (int64_t)s->index);
        break;
    case SL_SIM_STEP_STOP:
        emit_stop(e);
        break;
    case SL_SIM_STEP_END:
        sl_sim_emit_last(e, "message_stop", "{'type':'message_stop'}");
        break;
    case SL_SIM_STEP_DONE:
        break;
    }
}

const struct sl_sim_shape sl_sim_shape_claude = {claude_decode, whole, step, false};
const struct sl_sim_shape sl_sim_shape_messages = {messages_decode, whole, step, false};
