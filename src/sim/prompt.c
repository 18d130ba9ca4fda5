/*
 * The families whose InvokeModel body holds one prompt: Llama, Titan, Mistral, Cohere, Jurassic,
 * DeepSeek.
 * One table says where prompt, limit and stop sequences stand; each family writes its answer.
 */
#include "sim/bodies.h"

#define STRING   SL_SIM_KEY_STRING
#define NUMBER   SL_SIM_KEY_NUMBER
#define INTEGER  SL_SIM_KEY_INTEGER
#define ARRAY    SL_SIM_KEY_ARRAY
#define OBJECT   SL_SIM_KEY_OBJECT
#define BOOLEAN  SL_SIM_KEY_BOOLEAN
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct sl_sim_key llama_keys[] = {
    {"prompt", STRING, true, 0, 0},       {"max_gen_len", INTEGER, false, 1, 8192},
    {"temperature", NUMBER, false, 0, 1}, {"top_p", NUMBER, false, 0, 1},
    {"images", ARRAY, false, 0, 0},
};
static const struct sl_sim_key titan_keys[] = {
    {"inputText", STRING, true, 0, 0},
    {"textGenerationConfig", OBJECT, false, 0, 0},
};
static const struct sl_sim_key mistral_keys[] = {
    {"prompt", STRING, true, 0, 0},       {"max_tokens", INTEGER, false, 1, 8192},
    {"temperature", NUMBER, false, 0, 1}, {"top_p", NUMBER, false, 0, 1},
    {"top_k", NUMBER, false, 0, 200},     {"stop", ARRAY, false, 0, 0},
};
static const struct sl_sim_key command_keys[] = {
    {"prompt", STRING, true, 0, 0},
    {"max_tokens", INTEGER, false, 1, 4096},
    {"temperature", NUMBER, false, 0, 5},
    {"p", NUMBER, false, 0, 1},
    {"k", NUMBER, false, 0, 500},
    {"stop_sequences", ARRAY, false, 0, 0},
    {"return_likelihoods", STRING, false, 0, 0},
    {"stream", BOOLEAN, false, 0, 0},
    {"num_generations", INTEGER, false, 1, 5},
    {"logit_bias", OBJECT, false, 0, 0},
    {"truncate", STRING, false, 0, 0},
};
static const struct sl_sim_key command_r_keys[] = {
    {"message", STRING, true, 0, 0},
    {"chat_history", ARRAY, false, 0, 0},
    {"preamble", STRING, false, 0, 0},
    {"max_tokens", INTEGER, false, 1, 4000},
    {"temperature", NUMBER, false, 0, 1},
    {"p", NUMBER, false, 0, 1},
    {"k", NUMBER, false, 0, 500},
    {"stop_sequences", ARRAY, false, 0, 0},
    {"documents", ARRAY, false, 0, 0},
    {"search_queries_only", BOOLEAN, false, 0, 0},
    {"prompt_truncation", STRING, false, 0, 0},
    {"frequency_penalty", NUMBER, false, 0, 1},
    {"presence_penalty", NUMBER, false, 0, 1},
    {"seed", NUMBER, false, 0, 0},
    {"return_prompt", BOOLEAN, false, 0, 0},
    {"tools", ARRAY, false, 0, 0},
    {"tool_results", ARRAY, false, 0, 0},
    {"raw_prompting", BOOLEAN, false, 0, 0},
};
static const struct sl_sim_key jurassic_keys[] = {
    {"prompt", STRING, true, 0, 0},           {"maxTokens", INTEGER, false, 1, 8191},
    {"temperature", NUMBER, false, 0, 1},     {"topP", NUMBER, false, 0, 1},
    {"stopSequences", ARRAY, false, 0, 0},    {"countPenalty", OBJECT, false, 0, 0},
    {"presencePenalty", OBJECT, false, 0, 0}, {"frequencyPenalty", OBJECT, false, 0, 0},
};
static const struct sl_sim_key deepseek_keys[] = {
    {"prompt", STRING, true, 0, 0},       {"max_tokens", INTEGER, false, 1, 32768},
    {"temperature", NUMBER, false, 0, 1}, {"top_p", NUMBER, false, 0, 1},
    {"stop", ARRAY, false, 0, 0},
};

struct layout {
    const struct sl_sim_key *keys;
    size_t count;
    const char *prompt, *config /* object that holds the next two; NULL: the body */;
    const char *limit, *stops; /* NULL: none */
};

static int decode(struct sl_sim_ask *ask, const cJSON *body, const struct layout *layout) {
    int error = sl_sim_check_keys(ask, body, layout->keys, layout->count);
    if (error)
        return error;
    const cJSON *config = layout->config ? sl_sim_get(body, layout->config) : body;
    const cJSON *item;
    cJSON_ArrayForEach(item, sl_sim_get(body, "chat_history")) {
        sl_sim_ask_turn(ask, sl_sim_get_string(item, "role"));
        sl_sim_ask_text(ask, sl_sim_get_string(item, "message"));
    }
    sl_sim_ask_turn(ask, SL_LIT("user"));
    sl_sim_ask_text(ask, sl_sim_get_string(body, "preamble"));
    sl_sim_ask_text(ask, sl_sim_get_string(body, layout->prompt));
    cJSON_ArrayForEach(item, sl_sim_get(body, "images")) {
        sl_sim_ask_image(ask, item);
    }
    ask->max_tokens = sl_sim_get_int(config, layout->limit, -1);
    return layout->stops ? sl_sim_ask_stops(ask, sl_sim_get(config, layout->stops)) : 0;
}

/* All text of the answer: these bodies have one field for it. */
static void put_text(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    struct sl_slice thought = SL_EMPTY, text = SL_EMPTY;
    for (size_t i = 0; i < reply->plan->count; i++)
        *(sl_sim_is_thought(&reply->plan->blocks[i]) ? &thought : &text) =
            reply->plan->blocks[i].text;
    struct sl_buf joined;
    sl_buf_init(&joined, 524288);
    int error = sl_buf_add(&joined, thought);
    if (!error && thought.len)
        error = sl_buf_add_str(&joined, "\n</think>\n");
    if (!error)
        error = sl_buf_add(&joined, text);
    if (error)
        out->error = error;
    sl_sim_put(out, "%s", sl_buf_slice(&joined));
    sl_buf_done(&joined);
}

/* In a stream: the delta's text, or what closes a thought; false for steps that say nothing. */
static bool step_text(const struct sl_sim_step *step, struct sl_slice *text) {
    if (step->kind == SL_SIM_STEP_DELTA) {
        *text = step->piece;
        return true;
    }
    *text = SL_LIT("\n</think>\n");
    return step->kind == SL_SIM_STEP_BLOCK_END && sl_sim_is_thought(step->block);
}

static struct sl_slice reason(const struct sl_sim_reply *reply, const char *end, const char *limit,
                              const char *stop) {
    switch (reply->plan->stop) {
    case SL_SIM_STOP_MAX_TOKENS:
        return sl_slice_str(limit);
    case SL_SIM_STOP_SEQUENCE:
        return sl_slice_str(stop);
    default:
        return sl_slice_str(end);
    }
}

/* ---- Llama ------------------------------------------------------------------------ */

static int llama_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const struct layout layout = {llama_keys, COUNT(llama_keys), "prompt",
                                         NULL,       "max_gen_len",     NULL};
    return decode(ask, body, &layout);
}

static void llama_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{'generation':");
    put_text(out, reply);
    sl_sim_put(out, ",'prompt_token_count':%d,'generation_token_count':%d,'stop_reason':%s}",
               reply->plan->usage.input, reply->plan->usage.output,
               reason(reply, "stop", "length", "stop"));
}

static void llama_step(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    const struct sl_sim_reply *reply = e->reply;
    if (step->kind == SL_SIM_STEP_DELTA && step->first)
        sl_sim_emit(e, NULL,
                    "{'generation':%s,'prompt_token_count':%d,'generation_token_count':%d,"
                    "'stop_reason':null}",
                    step->piece, reply->plan->usage.input, (int64_t)step->tokens);
    else if (step->kind == SL_SIM_STEP_DELTA)
        sl_sim_emit(e, NULL,
                    "{'generation':%s,'prompt_token_count':null,'generation_token_count':%d,"
                    "'stop_reason':null}",
                    step->piece, (int64_t)step->tokens);
    else if (step->kind == SL_SIM_STEP_END)
        sl_sim_emit_last(e, NULL,
                         "{'generation':'','prompt_token_count':null,'generation_token_count':%d,"
                         "'stop_reason':%s}",
                         reply->plan->usage.output, reason(reply, "stop", "length", "stop"));
}

const struct sl_sim_shape sl_sim_shape_llama = {llama_decode, llama_whole, llama_step, false};

/* ---- Titan ------------------------------------------------------------------------ */

static int titan_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const struct layout layout = {titan_keys,      COUNT(titan_keys),
                                         "inputText",     "textGenerationConfig",
                                         "maxTokenCount", "stopSequences"};
    return decode(ask, body, &layout);
}

static struct sl_slice titan_reason(const struct sl_sim_reply *reply) {
    return reason(reply, "FINISH", "LENGTH", "STOP_CRITERIA_MET");
}

static void titan_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{'inputTextTokenCount':%d,'results':[{'tokenCount':%d,'outputText':",
               reply->plan->usage.input, reply->plan->usage.output);
    put_text(out, reply);
    sl_sim_put(out, ",'completionReason':%s}]}", titan_reason(reply));
}

static void titan_step(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    const struct sl_sim_reply *reply = e->reply;
    if (step->kind == SL_SIM_STEP_DELTA)
        sl_sim_emit(e, NULL,
                    "{'outputText':%s,'index':0,'totalOutputTextTokenCount':null,"
                    "'completionReason':null,'inputTextTokenCount':null}",
                    step->piece);
    else if (step->kind == SL_SIM_STEP_END)
        sl_sim_emit_last(e, NULL,
                         "{'outputText':'','index':0,'totalOutputTextTokenCount':%d,"
                         "'completionReason':%s,'inputTextTokenCount':%d}",
                         reply->plan->usage.output, titan_reason(reply), reply->plan->usage.input);
}

const struct sl_sim_shape sl_sim_shape_titan = {titan_decode, titan_whole, titan_step, false};

/* ---- Mistral ---------------------------------------------------------------------- */

static int mistral_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const struct layout layout = {mistral_keys, COUNT(mistral_keys), "prompt",
                                         NULL,         "max_tokens",        "stop"};
    return decode(ask, body, &layout);
}

static void mistral_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{'outputs':[{'text':");
    put_text(out, reply);
    sl_sim_put(out, ",'stop_reason':%s}]}", reason(reply, "stop", "length", "stop"));
}

static void mistral_step(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    if (step->kind == SL_SIM_STEP_DELTA)
        sl_sim_emit(e, NULL, "{'outputs':[{'text':%s,'stop_reason':null}]}", step->piece);
    else if (step->kind == SL_SIM_STEP_END)
        sl_sim_emit_last(e, NULL, "{'outputs':[{'text':'','stop_reason':%s}]}",
                         reason(e->reply, "stop", "length", "stop"));
}

const struct sl_sim_shape sl_sim_shape_mistral = {mistral_decode, mistral_whole, mistral_step,
                                                  false};

/* ---- Cohere Command --------------------------------------------------------------- */

static int command_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const struct layout layout = {command_keys, COUNT(command_keys), "prompt",
                                         NULL,         "max_tokens",        "stop_sequences"};
    return decode(ask, body, &layout);
}

static struct sl_slice cohere_reason(const struct sl_sim_reply *reply) {
    return reason(reply, "COMPLETE", "MAX_TOKENS", "COMPLETE");
}

static void command_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{'generations':[{'finish_reason':%s,'id':%s,'text':", cohere_reason(reply),
               reply->request_id);
    put_text(out, reply);
    sl_sim_put(out, "}],'id':%s,'prompt':''}", reply->request_id);
}

static void command_step(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    if (step->kind == SL_SIM_STEP_DELTA)
        sl_sim_emit(e, NULL, "{'index':0,'is_finished':false,'text':%s}", step->piece);
    else if (step->kind == SL_SIM_STEP_END)
        sl_sim_emit_last(e, NULL, "{'index':0,'is_finished':true,'finish_reason':%s}",
                         cohere_reason(e->reply));
}

const struct sl_sim_shape sl_sim_shape_command = {command_decode, command_whole, command_step,
                                                  false};

static int command_r_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const struct layout layout = {command_r_keys, COUNT(command_r_keys), "message",
                                         NULL,           "max_tokens",          "stop_sequences"};
    return decode(ask, body, &layout);
}

static void command_r_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out,
               "{'response_id':%s,'generation_id':%s,'chat_history':[],'text':", reply->request_id,
               reply->request_id);
    put_text(out, reply);
    sl_sim_put(out, ",'finish_reason':%s}", cohere_reason(reply));
}

static void command_r_step(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    if (step->kind == SL_SIM_STEP_START)
        sl_sim_emit(e, NULL, "{'is_finished':false,'event_type':'stream-start','generation_id':%s}",
                    e->reply->request_id);
    else if (step->kind == SL_SIM_STEP_DELTA)
        sl_sim_emit(e, NULL, "{'is_finished':false,'event_type':'text-generation','text':%s}",
                    step->piece);
    else if (step->kind == SL_SIM_STEP_END)
        sl_sim_emit_last(e, NULL,
                         "{'is_finished':true,'event_type':'stream-end','finish_reason':%s}",
                         cohere_reason(e->reply));
}

const struct sl_sim_shape sl_sim_shape_command_r = {command_r_decode, command_r_whole,
                                                    command_r_step, false};

/* ---- Jurassic --------------------------------------------------------------------- */

static int jurassic_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const struct layout layout = {jurassic_keys, COUNT(jurassic_keys), "prompt",
                                         NULL,          "maxTokens",          "stopSequences"};
    return decode(ask, body, &layout);
}

static void jurassic_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{'id':1234,'prompt':{'text':'','tokens':[]},'completions':[{'data':{'text':");
    put_text(out, reply);
    sl_sim_put(out, ",'tokens':[]},'finishReason':{'reason':%s}}]}",
               reason(reply, "endoftext", "length", "stop"));
}

const struct sl_sim_shape sl_sim_shape_jurassic = {jurassic_decode, jurassic_whole, NULL, false};

/* ---- DeepSeek --------------------------------------------------------------------- */

static int deepseek_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const struct layout layout = {deepseek_keys, COUNT(deepseek_keys), "prompt",
                                         NULL,          "max_tokens",         "stop"};
    return decode(ask, body, &layout);
}

static void deepseek_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{'choices':[{'text':");
    put_text(out, reply);
    sl_sim_put(out, ",'stop_reason':%s}]}", reason(reply, "stop", "length", "stop"));
}

static void deepseek_step(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    struct sl_slice text;
    if (step_text(step, &text))
        sl_sim_emit(e, NULL, "{'choices':[{'text':%s,'stop_reason':null}]}", text);
    else if (step->kind == SL_SIM_STEP_END)
        sl_sim_emit_last(e, NULL, "{'choices':[{'text':'','stop_reason':%s}]}",
                         reason(e->reply, "stop", "length", "stop"));
}

const struct sl_sim_shape sl_sim_shape_deepseek = {deepseek_decode, deepseek_whole, deepseek_step,
                                                   false};
