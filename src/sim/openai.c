/*
 * OpenAI's chat completions: Bedrock's /openai/v1/chat/completions, mantle's, and gpt-oss under
 * InvokeModel. A thought stands in the text between <reasoning> tags, as gpt-oss gives it there.
 */
#include "sim/bodies.h"

/* ---- Decoding --------------------------------------------------------------------- */

void sl_sim_openai_content(struct sl_sim_ask *ask, const cJSON *content) {
    if (cJSON_IsString(content)) {
        sl_sim_ask_text(ask, sl_sim_string(content));
        return;
    }
    const cJSON *part;
    cJSON_ArrayForEach(part, content) {
        if (sl_sim_get(part, "text"))
            sl_sim_ask_text(ask, sl_sim_get_string(part, "text"));
        else if (cJSON_IsObject(part))
            sl_sim_ask_image(ask, part);
    }
}

static int decode_tools(struct sl_sim_ask *ask, const cJSON *body) {
    const cJSON *tool, *choice = sl_sim_get(body, "tool_choice");
    cJSON_ArrayForEach(tool, sl_sim_get(body, "tools")) {
        const cJSON *function = sl_sim_get(tool, "function");
        SL_SIM_CHECK(sl_sim_ask_tool(ask, sl_sim_get_string(function, "name"),
                                     sl_sim_get_string(function, "description"),
                                     sl_sim_get(function, "parameters")));
    }
    if (sl_slice_eq(sl_sim_string(choice), SL_LIT("required")))
        ask->choice = SL_SIM_CHOICE_ANY;
    else if (sl_slice_eq(sl_sim_string(choice), SL_LIT("none")))
        ask->choice = SL_SIM_CHOICE_NONE;
    ask->chosen = sl_sim_get_string(sl_sim_get(choice, "function"), "name");
    return 0;
}

static int decode(struct sl_sim_ask *ask, const cJSON *body) {
    const cJSON *messages = sl_sim_get(body, "messages"), *message;
    if (!cJSON_IsArray(messages) || !messages->child)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             messages ? "Invalid 'messages': empty array. Expected an array with "
                                        "minimum length 1, but got an empty array instead."
                                      : "Missing required parameter: 'messages'.");
    SL_SIM_CHECK(decode_tools(ask, body));
    cJSON_ArrayForEach(message, messages) {
        struct sl_slice role = sl_sim_get_string(message, "role");
        if (!role.len)
            return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                                 "Missing required parameter: 'messages[].role'.");
        sl_sim_ask_turn(ask, role);
        ask->answered = sl_slice_eq(role, SL_LIT("tool"));
        sl_sim_openai_content(ask, sl_sim_get(message, "content"));
    }
    ask->max_tokens =
        sl_sim_get_int(body, "max_completion_tokens", sl_sim_get_int(body, "max_tokens", -1));
    if (ask->max_tokens == 0 || ask->max_tokens < -1)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Invalid 'max_completion_tokens': integer below minimum value. "
                             "Expected a value >= 1, but got %lld instead.",
                             (long long)ask->max_tokens);
    if (ask->max_tokens > ask->model->max_output)
        ask->max_tokens = ask->model->max_output;
    ask->stream = cJSON_IsTrue(sl_sim_get(body, "stream"));
    ask->stream_usage =
        cJSON_IsTrue(sl_sim_get(sl_sim_get(body, "stream_options"), "include_usage"));
    return sl_sim_ask_stops(ask, sl_sim_get(body, "stop"));
}

/* ---- Encoding --------------------------------------------------------------------- */

static struct sl_slice finish_reason(const struct sl_sim_reply *reply) {
    static const char *const words[SL_SIM_STOPS] = {
        [SL_SIM_STOP_END] = "stop",
        [SL_SIM_STOP_TOOL] = "tool_calls",
        [SL_SIM_STOP_MAX_TOKENS] = "length",
        [SL_SIM_STOP_SEQUENCE] = "stop",
        [SL_SIM_STOP_GUARDRAIL] = "content_filter",
    };
    return sl_slice_str(words[reply->plan->stop]);
}

static void put_opening(struct sl_sim_out *out, const struct sl_sim_reply *reply,
                        const char *object) {
    sl_sim_put(out, "'id':'chatcmpl-%r','object':%s,'created':%d,'model':%s,", reply->request_id,
               sl_slice_str(object), reply->wall_ms / 1000, reply->model_id);
}

static void put_usage(struct sl_sim_out *out, const struct sl_usage *u) {
    int64_t prompt = u->input + u->cache_read + u->cache_write;
    sl_sim_put(out,
               "'usage':{'prompt_tokens':%d,'completion_tokens':%d,'total_tokens':%d,"
               "'prompt_tokens_details':{'cached_tokens':%d}}",
               prompt, u->output, prompt + u->output, u->cache_read);
}

static void put_content(struct sl_sim_out *out, const struct sl_sim_plan *plan) {
    struct sl_buf text;
    int error = 0;
    sl_buf_init(&text, 524288);
    for (size_t i = 0; i < plan->count && !error; i++) {
        const char *format =
            sl_sim_is_thought(&plan->blocks[i]) ? "<reasoning>%.*s</reasoning>" : "%.*s";
        if (plan->blocks[i].kind != SL_SIM_BLOCK_TOOL)
            error = sl_buf_printf(&text, format, SL_FMT(plan->blocks[i].text));
    }
    if (error)
        out->error = error;
    sl_sim_put(out, text.len ? "'content':%s" : "'content':null", sl_buf_slice(&text));
    sl_buf_done(&text);
}

static void put_tool_calls(struct sl_sim_out *out, const struct sl_sim_plan *plan) {
    for (size_t i = 0; i < plan->count; i++)
        if (plan->blocks[i].kind == SL_SIM_BLOCK_TOOL)
            sl_sim_put(out,
                       ",'tool_calls':[{'id':%s,'type':'function','function':{'name':%s,"
                       "'arguments':%s}}]",
                       plan->blocks[i].id, plan->blocks[i].name, plan->blocks[i].text);
}

static void whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{");
    put_opening(out, reply, "chat.completion");
    sl_sim_put(out, "'choices':[{'index':0,'message':{'role':'assistant',");
    put_content(out, reply->plan);
    put_tool_calls(out, reply->plan);
    sl_sim_put(out, "},'logprobs':null,'finish_reason':%s}],", finish_reason(reply));
    put_usage(out, &reply->plan->usage);
    sl_sim_put(out, "}");
}

/* One chunk: `inner` is what stands in choices[0] behind the index. */
static void emit_choice(struct sl_sim_emitter *e, bool last, const char *template, ...) {
    struct sl_sim_out chunk;
    va_list args;
    va_start(args, template);
    sl_sim_out_init(&chunk, 65536);
    put_opening(&chunk, e->reply, "chat.completion.chunk");
    sl_sim_put(&chunk, "'choices':[{'index':0,");
    sl_sim_vput(&chunk, template, args);
    sl_sim_put(&chunk, "}]");
    va_end(args);
    if (chunk.error)
        e->out->error = chunk.error;
    (last ? sl_sim_emit_last : sl_sim_emit)(e, NULL, "{%r}", sl_buf_slice(&chunk.buf));
    sl_sim_out_done(&chunk);
}

static void emit_delta(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    emit_choice(e, false,
                step->block->kind == SL_SIM_BLOCK_TOOL
                    ? "'delta':{'tool_calls':[{'index':0,'function':{'arguments':%s}}]},"
                      "'finish_reason':null"
                    : "'delta':{'content':%s},'finish_reason':null",
                step->piece);
}

static void emit_tag(struct sl_sim_emitter *e, const char *tag) {
    emit_choice(e, false, "'delta':{'content':%s},'finish_reason':null", sl_slice_str(tag));
}

/* OpenAI's surface ends with the usage, when it was asked for, and a word that is no JSON. */
static void emit_end(struct sl_sim_emitter *e) {
    if (e->framing != SL_SIM_FRAMING_SSE)
        return;
    if (e->reply->stream_usage) {
        struct sl_sim_out chunk;
        sl_sim_out_init(&chunk, 8192);
        put_opening(&chunk, e->reply, "chat.completion.chunk");
        sl_sim_put(&chunk, "'choices':[],");
        put_usage(&chunk, &e->reply->plan->usage);
        if (chunk.error)
            e->out->error = chunk.error;
        sl_sim_emit(e, NULL, "{%r}", sl_buf_slice(&chunk.buf));
        sl_sim_out_done(&chunk);
    }
    sl_sim_emit(e, NULL, "[DONE]");
}

static void step(struct sl_sim_emitter *e, const struct sl_sim_step *s) {
    switch (s->kind) {
    case SL_SIM_STEP_START:
        emit_choice(e, false, "'delta':{'role':'assistant','content':''},'finish_reason':null");
        break;
    case SL_SIM_STEP_BLOCK:
        if (sl_sim_is_thought(s->block))
            emit_tag(e, "<reasoning>");
        else if (s->block->kind == SL_SIM_BLOCK_TOOL)
            emit_choice(e, false,
                        "'delta':{'tool_calls':[{'index':0,'id':%s,'type':'function','function':"
                        "{'name':%s,'arguments':''}}]},'finish_reason':null",
                        s->block->id, s->block->name);
        break;
    case SL_SIM_STEP_DELTA:
        emit_delta(e, s);
        break;
    case SL_SIM_STEP_BLOCK_END:
        if (sl_sim_is_thought(s->block))
            emit_tag(e, "</reasoning>");
        break;
    case SL_SIM_STEP_STOP:
        emit_choice(e, true, "'delta':{},'finish_reason':%s", finish_reason(e->reply));
        break;
    case SL_SIM_STEP_END:
        emit_end(e);
        break;
    case SL_SIM_STEP_DONE:
        break;
    }
}

const struct sl_sim_shape sl_sim_shape_chat = {decode, whole, step, false};
