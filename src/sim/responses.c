/* OpenAI's Responses, synchronous and without server-side tools, as Bedrock's runtime serves it. */
#include "sim/bodies.h"

/* ---- Decoding --------------------------------------------------------------------- */

static void decode_item(struct sl_sim_ask *ask, const cJSON *item) {
    struct sl_slice type = sl_sim_get_string(item, "type");
    bool output = sl_slice_eq(type, SL_LIT("function_call_output"));
    if (output || sl_slice_eq(type, SL_LIT("function_call"))) {
        sl_sim_ask_turn(ask, type);
        ask->answered = output;
        sl_sim_ask_text(ask, sl_sim_get_string(item, output ? "output" : "name"));
    } else if (!type.len || sl_slice_eq(type, SL_LIT("message"))) {
        sl_sim_ask_turn(ask, sl_sim_get_string(item, "role"));
        sl_sim_openai_content(ask, sl_sim_get(item, "content"));
    }
}

static int decode_tools(struct sl_sim_ask *ask, const cJSON *body) {
    const cJSON *tool, *choice = sl_sim_get(body, "tool_choice");
    cJSON_ArrayForEach(tool, sl_sim_get(body, "tools")) {
        if (!sl_slice_eq(sl_sim_get_string(tool, "type"), SL_LIT("function")))
            return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                                 "Invalid value: 'tools[].type'. Supported values are: "
                                 "'function'.");
        SL_SIM_CHECK(sl_sim_ask_tool(ask, sl_sim_get_string(tool, "name"),
                                     sl_sim_get_string(tool, "description"),
                                     sl_sim_get(tool, "parameters")));
    }
    if (sl_slice_eq(sl_sim_string(choice), SL_LIT("required")))
        ask->choice = SL_SIM_CHOICE_ANY;
    else if (sl_slice_eq(sl_sim_string(choice), SL_LIT("none")))
        ask->choice = SL_SIM_CHOICE_NONE;
    ask->chosen = sl_sim_get_string(choice, "name");
    return 0;
}

static int decode(struct sl_sim_ask *ask, const cJSON *body) {
    const cJSON *input = sl_sim_get(body, "input"), *item;
    if (!cJSON_IsString(input) && !(cJSON_IsArray(input) && input->child))
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Missing required parameter: 'input'.");
    if (cJSON_IsTrue(sl_sim_get(body, "background")))
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Unsupported parameter: 'background' is not supported here.");
    SL_SIM_CHECK(decode_tools(ask, body));
    sl_sim_ask_turn(ask, SL_LIT("system"));
    sl_sim_ask_text(ask, sl_sim_get_string(body, "instructions"));
    if (cJSON_IsString(input)) {
        sl_sim_ask_turn(ask, SL_LIT("user"));
        sl_sim_ask_text(ask, sl_sim_string(input));
    } else {
        cJSON_ArrayForEach(item, input) {
            decode_item(ask, item);
        }
    }
    ask->max_tokens = sl_sim_get_int(body, "max_output_tokens", -1);
    if (ask->max_tokens == 0 || ask->max_tokens < -1)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "Invalid 'max_output_tokens': integer below minimum value.");
    if (ask->max_tokens > ask->model->max_output)
        ask->max_tokens = ask->model->max_output;
    ask->stream = cJSON_IsTrue(sl_sim_get(body, "stream"));
    return 0;
}

/* ---- Encoding --------------------------------------------------------------------- */

/* An output item; `done` false gives the empty one that opens it in a stream. */
static void put_item(struct sl_sim_out *out, const struct sl_sim_reply *reply, size_t index,
                     bool done) {
    static const char *const templates[][2] = {
        [SL_SIM_BLOCK_THOUGHT] = {"{'id':'rs_%r','type':'reasoning','status':'in_progress',"
                                  "'summary':[],'content':[]}",
                                  "{'id':'rs_%r','type':'reasoning','status':'completed',"
                                  "'summary':[],'content':[{'type':'reasoning_text','text':%s}]}"},
        [SL_SIM_BLOCK_TEXT] = {"{'id':'msg_%r','type':'message','status':'in_progress','role':"
                               "'assistant','content':[]}",
                               "{'id':'msg_%r','type':'message','status':'completed','role':"
                               "'assistant','content':[{'type':'output_text','text':%s,"
                               "'annotations':[]}]}"},
        [SL_SIM_BLOCK_TOOL] = {"{'id':'fc_%r','type':'function_call','status':'in_progress',"
                               "'arguments':'','call_id':%s,'name':%s}",
                               "{'id':'fc_%r','type':'function_call','status':'completed',"
                               "'arguments':%s,'call_id':%s,'name':%s}"},
    };
    const struct sl_sim_block *block = &reply->plan->blocks[index];
    const char *template = templates[block->kind][done];
    struct sl_slice id = sl_slice_head(reply->request_id, 13);
    if (done)
        sl_sim_put(out, template, id, block->text, block->id, block->name);
    else
        sl_sim_put(out, template, id, block->id, block->name);
}

static void put_usage(struct sl_sim_out *out, const struct sl_sim_plan *plan) {
    const struct sl_usage *u = &plan->usage;
    int64_t input = u->input + u->cache_read + u->cache_write, thought = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (sl_sim_is_thought(&plan->blocks[i]))
            thought += (int64_t)sl_sim_tokens_of(plan->blocks[i].text.len);
    sl_sim_put(out,
               "{'input_tokens':%d,'input_tokens_details':{'cached_tokens':%d},'output_tokens':%d,"
               "'output_tokens_details':{'reasoning_tokens':%d},'total_tokens':%d}",
               input, u->cache_read, u->output, thought, input + u->output);
}

/* The response object: as it opens (in_progress), or complete. */
static void put_response(struct sl_sim_out *out, const struct sl_sim_reply *reply, bool done) {
    bool cut = done && reply->plan->stop == SL_SIM_STOP_MAX_TOKENS;
    sl_sim_put(out,
               "{'id':'resp_%r','object':'response','created_at':%d,'model':%s,'status':%s,"
               "'error':null,'instructions':null,'metadata':{},'parallel_tool_calls':true,"
               "'tool_choice':'auto','tools':[],'temperature':1.0,'top_p':1.0,",
               reply->request_id, reply->wall_ms / 1000, reply->model_id,
               !done ? SL_LIT("in_progress")
               : cut ? SL_LIT("incomplete")
                     : SL_LIT("completed"));
    sl_sim_put(out, cut ? "'incomplete_details':{'reason':'max_output_tokens'},'output':["
                        : "'incomplete_details':null,'output':[");
    for (size_t i = 0; done && i < reply->plan->count; i++) {
        sl_sim_put(out, i ? "," : "");
        put_item(out, reply, i, true);
    }
    sl_sim_put(out, "],'usage':");
    if (done)
        put_usage(out, reply->plan);
    else
        sl_sim_put(out, "null");
    sl_sim_put(out, "}");
}

static void whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    put_response(out, reply, true);
}

/* An event with its type and number; `inner` is the rest of its members. */
static void emit(struct sl_sim_emitter *e, const char *type, struct sl_slice inner) {
    sl_sim_emit(e, type, "{'type':%s,'sequence_number':%d,%r}", sl_slice_str(type),
                (int64_t)e->frames, inner);
}

static void emit_response(struct sl_sim_emitter *e, const char *type, bool done) {
    struct sl_sim_out inner;
    sl_sim_out_init(&inner, 524288);
    sl_sim_put(&inner, "'response':");
    put_response(&inner, e->reply, done);
    if (inner.error)
        e->out->error = inner.error;
    emit(e, type, sl_buf_slice(&inner.buf));
    sl_sim_out_done(&inner);
}

static void emit_item(struct sl_sim_emitter *e, size_t index, bool done) {
    struct sl_sim_out inner;
    sl_sim_out_init(&inner, 524288);
    sl_sim_put(&inner, "'output_index':%d,'item':", (int64_t)index);
    put_item(&inner, e->reply, index, done);
    if (inner.error)
        e->out->error = inner.error;
    emit(e, done ? "response.output_item.done" : "response.output_item.added",
         sl_buf_slice(&inner.buf));
    sl_sim_out_done(&inner);
}

/* What happens inside an item: its part opens, grows, is complete, closes. */
static void emit_part(struct sl_sim_emitter *e, const struct sl_sim_step *step, const char *type,
                      const char *template, struct sl_slice text) {
    static const char *const prefixes[] = {
        [SL_SIM_BLOCK_THOUGHT] = "rs", [SL_SIM_BLOCK_TEXT] = "msg", [SL_SIM_BLOCK_TOOL] = "fc"};
    struct sl_sim_out inner;
    sl_sim_out_init(&inner, 524288);
    sl_sim_put(&inner, "'output_index':%d,'item_id':'%r_%r'", (int64_t)step->index,
               sl_slice_str(prefixes[step->block->kind]), sl_slice_head(e->reply->request_id, 13));
    sl_sim_put(&inner, step->block->kind == SL_SIM_BLOCK_TOOL ? "," : ",'content_index':0,");
    sl_sim_put(&inner, template, text);
    if (inner.error)
        e->out->error = inner.error;
    emit(e, type, sl_buf_slice(&inner.buf));
    sl_sim_out_done(&inner);
}

static void emit_block(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    emit_item(e, step->index, false);
    if (step->block->kind == SL_SIM_BLOCK_TEXT)
        emit_part(e, step, "response.content_part.added",
                  "'part':{'type':'output_text','text':%s,'annotations':[]}", SL_EMPTY);
}

static void emit_delta(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    static const char *const types[] = {
        [SL_SIM_BLOCK_THOUGHT] = "response.reasoning_text.delta",
        [SL_SIM_BLOCK_TEXT] = "response.output_text.delta",
        [SL_SIM_BLOCK_TOOL] = "response.function_call_arguments.delta",
    };
    emit_part(e, step, types[step->block->kind],
              step->block->kind == SL_SIM_BLOCK_TEXT ? "'delta':%s,'logprobs':[]" : "'delta':%s",
              step->piece);
}

static void emit_block_end(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    struct sl_slice text = step->block->text;
    switch (step->block->kind) {
    case SL_SIM_BLOCK_THOUGHT:
        emit_part(e, step, "response.reasoning_text.done", "'text':%s", text);
        break;
    case SL_SIM_BLOCK_TEXT:
        emit_part(e, step, "response.output_text.done", "'text':%s,'logprobs':[]", text);
        emit_part(e, step, "response.content_part.done",
                  "'part':{'type':'output_text','text':%s,'annotations':[]}", text);
        break;
    case SL_SIM_BLOCK_TOOL:
        emit_part(e, step, "response.function_call_arguments.done", "'arguments':%s", text);
        break;
    }
    emit_item(e, step->index, true);
}

static void step(struct sl_sim_emitter *e, const struct sl_sim_step *s) {
    switch (s->kind) {
    case SL_SIM_STEP_START:
        emit_response(e, "response.created", false);
        emit_response(e, "response.in_progress", false);
        break;
    case SL_SIM_STEP_BLOCK:
        emit_block(e, s);
        break;
    case SL_SIM_STEP_DELTA:
        emit_delta(e, s);
        break;
    case SL_SIM_STEP_BLOCK_END:
        emit_block_end(e, s);
        break;
    case SL_SIM_STEP_END:
        emit_response(e,
                      e->reply->plan->stop == SL_SIM_STOP_MAX_TOKENS ? "response.incomplete"
                                                                     : "response.completed",
                      true);
        break;
    case SL_SIM_STEP_STOP:
    case SL_SIM_STEP_DONE:
        break;
    }
}

const struct sl_sim_shape sl_sim_shape_responses = {decode, whole, step, false};
