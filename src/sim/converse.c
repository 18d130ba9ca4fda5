/*
 * Converse and ConverseStream, and Nova's InvokeModel body, which has the same form with smaller
 * differences: text-only tool schemas aside, the limit's name and how stream events are wrapped.
 */
#include "sim/bodies.h"

static int invalid(struct sl_sim_ask *ask, const char *words) {
    return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION, "%s", words);
}

/* ---- Decoding --------------------------------------------------------------------- */

static int decode_result(struct sl_sim_ask *ask, const cJSON *result) {
    const cJSON *item;
    ask->answered = true;
    cJSON_ArrayForEach(item, sl_sim_get(result, "content")) {
        if (sl_sim_get(item, "image"))
            sl_sim_ask_image(ask, sl_sim_get(item, "image"));
        else if (sl_sim_get(item, "json"))
            ask->bytes += 64; /* not printed again just to be counted */
        else
            sl_sim_ask_text(ask, sl_sim_get_string(item, "text"));
    }
    return 0;
}

static int decode_block(struct sl_sim_ask *ask, const cJSON *block, int message, int content) {
    static const char *const blobs[] = {"image", "document", "video", "audio"};
    const cJSON *text = sl_sim_get(block, "text"), *guard = sl_sim_get(block, "guardContent");
    if (guard)
        text = sl_sim_get(sl_sim_get(guard, "text"), "text");
    if (text) {
        if (!sl_sim_string(text).len)
            return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                                 "The text field in the ContentBlock object at messages.%d.content"
                                 ".%d is blank. Add text to the text field, and try again.",
                                 message, content);
        sl_sim_ask_text(ask, sl_sim_string(text));
        return 0;
    }
    for (size_t i = 0; i < sizeof blobs / sizeof blobs[0]; i++) {
        if (!sl_sim_get(block, blobs[i]))
            continue;
        sl_sim_ask_image(ask, sl_sim_get(block, blobs[i]));
        return 0;
    }
    if (sl_sim_get(block, "cachePoint")) {
        sl_sim_ask_cache_point(ask, sl_sim_get_string(sl_sim_get(block, "cachePoint"), "ttl"));
        return 0;
    }
    if (sl_sim_get(block, "toolUse")) {
        sl_sim_ask_text(ask, sl_sim_get_string(sl_sim_get(block, "toolUse"), "name"));
        return 0;
    }
    if (sl_sim_get(block, "toolResult"))
        return decode_result(ask, sl_sim_get(block, "toolResult"));
    if (cJSON_IsObject(block) && block->child) /* reasoningContent, citationsContent … */
        return 0;
    return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                         "The content field in the Message object at messages.%d is empty. Add a "
                         "ContentBlock object to the content field and try again.",
                         message);
}

static int decode_messages(struct sl_sim_ask *ask, const cJSON *messages) {
    const cJSON *message, *block;
    struct sl_slice before = SL_EMPTY;
    int m = 0;
    if (!cJSON_IsArray(messages) || !messages->child)
        return invalid(ask, "1 validation error detected: Value null at 'messages' failed to "
                            "satisfy constraint: Member must not be null");
    cJSON_ArrayForEach(message, messages) {
        struct sl_slice role = sl_sim_get_string(message, "role");
        int c = 0;
        if (m == 0 && !sl_slice_eq(role, SL_LIT("user")))
            return invalid(ask, "A conversation must start with a user message. Try again with a "
                                "conversation that starts with a user message.");
        if (sl_slice_eq(role, before))
            return invalid(ask, "A conversation must alternate between user and assistant roles. "
                                "Make sure the conversation alternates between user and assistant "
                                "roles and try again.");
        before = role;
        sl_sim_ask_turn(ask, role);
        if (!cJSON_IsArray(sl_sim_get(message, "content")) ||
            !sl_sim_get(message, "content")->child)
            return decode_block(ask, NULL, m, 0);
        cJSON_ArrayForEach(block, sl_sim_get(message, "content")) {
            SL_SIM_CHECK(decode_block(ask, block, m, c++));
        }
        m++;
    }
    return 0;
}

static int decode_tools(struct sl_sim_ask *ask, const cJSON *config) {
    const cJSON *item, *choice = sl_sim_get(config, "toolChoice");
    cJSON_ArrayForEach(item, sl_sim_get(config, "tools")) {
        const cJSON *spec = sl_sim_get(item, "toolSpec");
        if (spec)
            SL_SIM_CHECK(sl_sim_ask_tool(ask, sl_sim_get_string(spec, "name"),
                                         sl_sim_get_string(spec, "description"),
                                         sl_sim_get(sl_sim_get(spec, "inputSchema"), "json")));
        else if (sl_sim_get(item, "cachePoint"))
            sl_sim_ask_cache_point(ask, sl_sim_get_string(sl_sim_get(item, "cachePoint"), "ttl"));
    }
    if (config && !ask->tool_count)
        return invalid(ask, "1 validation error detected: Value '[]' at 'toolConfig.tools' failed "
                            "to satisfy constraint: Member must have length greater than or equal "
                            "to 1");
    if (sl_sim_get(choice, "any"))
        ask->choice = SL_SIM_CHOICE_ANY;
    ask->chosen = sl_sim_get_string(sl_sim_get(choice, "tool"), "name");
    return 0;
}

static void decode_system(struct sl_sim_ask *ask, const cJSON *system) {
    const cJSON *item;
    sl_sim_ask_turn(ask, SL_LIT("system"));
    cJSON_ArrayForEach(item, system) {
        const cJSON *guard = sl_sim_get(sl_sim_get(item, "guardContent"), "text");
        if (sl_sim_get(item, "cachePoint"))
            sl_sim_ask_cache_point(ask, sl_sim_get_string(sl_sim_get(item, "cachePoint"), "ttl"));
        else
            sl_sim_ask_text(ask, sl_sim_get_string(guard ? guard : item, "text"));
    }
}

static int check_limit(struct sl_sim_ask *ask) {
    if (ask->max_tokens == 0 || ask->max_tokens < -1)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "1 validation error detected: Value '%lld' at 'inferenceConfig."
                             "maxTokens' failed to satisfy constraint: Member must have value "
                             "greater than or equal to 1",
                             (long long)ask->max_tokens);
    if (ask->max_tokens > ask->model->max_output)
        return sl_sim_refuse(ask->no, SL_FAILURE_VALIDATION,
                             "The maximum tokens you requested exceeds the model limit of %lld. "
                             "Try again with a maximum tokens value that is lower than %lld.",
                             (long long)ask->model->max_output, (long long)ask->model->max_output);
    return 0;
}

/* What the model's row in Bedrock's table of features has a "No" for, in Bedrock's words. */
static int check_features(struct sl_sim_ask *ask, const cJSON *body) {
    const cJSON *system = sl_sim_get(body, "system"), *messages = sl_sim_get(body, "messages");
    const cJSON *first = cJSON_IsArray(messages) ? messages->child : NULL;
    if (ask->model->flags & SL_SIM_MODEL_NO_SYSTEM && system && system->child)
        return invalid(ask, "This model doesn't support system messages. Try again without a "
                            "system message or use a model that supports system messages.");
    if (ask->model->flags & SL_SIM_MODEL_NO_TOOLS && sl_sim_get(body, "toolConfig"))
        return invalid(ask, "This model doesn't support tool use.");
    if (ask->model->flags & SL_SIM_MODEL_NO_CHAT && first && first->next)
        return invalid(ask, "This model doesn't support conversation history. Try again with "
                            "input from a single user prompt or use a model that supports "
                            "conversation history.");
    return 0;
}

static int decode(struct sl_sim_ask *ask, const cJSON *body, const char *limit) {
    const cJSON *config = sl_sim_get(body, "inferenceConfig");
    const cJSON *extra = sl_sim_get(body, "additionalModelRequestFields");
    if (ask->model->flags & SL_SIM_MODEL_EMBEDS)
        return invalid(ask, "The action doesn't support the model that you provided. Try again "
                            "with a supported text or chat model.");
    if (!cJSON_IsObject(body))
        return invalid(ask, "Malformed input request: expected type: JSONObject, please reformat "
                            "your input and try again.");
    SL_SIM_CHECK(check_features(ask, body));
    SL_SIM_CHECK(decode_tools(ask, sl_sim_get(body, "toolConfig")));
    decode_system(ask, sl_sim_get(body, "system"));
    SL_SIM_CHECK(decode_messages(ask, sl_sim_get(body, "messages")));
    ask->max_tokens = sl_sim_get_int(config, limit, -1);
    SL_SIM_CHECK(check_limit(ask));
    SL_SIM_CHECK(sl_sim_ask_stops(ask, sl_sim_get(config, "stopSequences")));
    const cJSON *thinking = sl_sim_get(extra, "thinking");
    if (!thinking)
        thinking = sl_sim_get(extra, "reasoning_config");
    if (sl_slice_eq(sl_sim_get_string(thinking, "type"), SL_LIT("enabled")))
        ask->thinks = true;
    if (sl_sim_get(sl_sim_get(body, "guardrailConfig"), "guardrailIdentifier"))
        ask->guarded = true;
    ask->tier = sl_sim_get_string(sl_sim_get(body, "serviceTier"), "type");
    ask->latency = sl_sim_get_string(sl_sim_get(body, "performanceConfig"), "latency");
    return 0;
}

static int converse_decode(struct sl_sim_ask *ask, const cJSON *body) {
    return decode(ask, body, "maxTokens");
}

static int nova_decode(struct sl_sim_ask *ask, const cJSON *body) {
    static const char *const names[] = {"maxTokens", "max_new_tokens"};
    bool old = sl_sim_get(sl_sim_get(body, "inferenceConfig"), names[1]) != NULL;
    return decode(ask, body, names[old]);
}

/* ---- Encoding --------------------------------------------------------------------- */

static struct sl_slice stop_reason(const struct sl_sim_reply *reply) {
    static const char *const words[SL_SIM_STOPS] = {
        [SL_SIM_STOP_END] = "end_turn",
        [SL_SIM_STOP_TOOL] = "tool_use",
        [SL_SIM_STOP_MAX_TOKENS] = "max_tokens",
        [SL_SIM_STOP_SEQUENCE] = "stop_sequence",
        [SL_SIM_STOP_GUARDRAIL] = "guardrail_intervened",
    };
    return sl_slice_str(words[reply->plan->stop]);
}

static void put_usage(struct sl_sim_out *out, const struct sl_usage *u) {
    sl_sim_put(out,
               "'usage':{'inputTokens':%d,'outputTokens':%d,'totalTokens':%d,"
               "'cacheReadInputTokens':%d,'cacheWriteInputTokens':%d,"
               "'cacheReadInputTokenCount':%d,'cacheWriteInputTokenCount':%d}",
               u->input, u->output, u->input + u->output + u->cache_read + u->cache_write,
               u->cache_read, u->cache_write, u->cache_read, u->cache_write);
}

static void put_block(struct sl_sim_out *out, const struct sl_sim_block *block) {
    switch (block->kind) {
    case SL_SIM_BLOCK_THOUGHT:
        sl_sim_put(out, "{'reasoningContent':{'reasoningText':{'text':%s,'signature':%s}}}",
                   block->text, block->id);
        break;
    case SL_SIM_BLOCK_TEXT:
        sl_sim_put(out, "{'text':%s}", block->text);
        break;
    case SL_SIM_BLOCK_TOOL:
        sl_sim_put(out, "{'toolUse':{'toolUseId':%s,'name':%s,'input':%r}}", block->id, block->name,
                   block->text);
        break;
    }
}

static void put_message(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "'output':{'message':{'role':'assistant','content':[");
    for (size_t i = 0; i < reply->plan->count; i++) {
        sl_sim_put(out, i ? "," : "");
        put_block(out, &reply->plan->blocks[i]);
    }
    sl_sim_put(out, "]}},'stopReason':%s,", stop_reason(reply));
}

/* performanceConfig and serviceTier are echoed where they were asked for. */
static void put_echoes(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    if (reply->latency.len)
        sl_sim_put(out, ",'performanceConfig':{'latency':%s}", reply->latency);
    if (reply->tier.len)
        sl_sim_put(out, ",'serviceTier':{'type':%s}", reply->tier);
}

static void converse_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{'metrics':{'latencyMs':%d},", reply->latency_ms);
    put_message(out, reply);
    put_usage(out, &reply->plan->usage);
    put_echoes(out, reply);
    sl_sim_put(out, "}");
}

static void nova_whole(struct sl_sim_out *out, const struct sl_sim_reply *reply) {
    sl_sim_put(out, "{");
    put_message(out, reply);
    put_usage(out, &reply->plan->usage);
    sl_sim_put(out, "}");
}

static void emit_delta(struct sl_sim_emitter *e, const struct sl_sim_step *step) {
    static const char *const templates[] = {
        [SL_SIM_BLOCK_THOUGHT] =
            "{'contentBlockIndex':%d,'delta':{'reasoningContent':{'text':%s}}}",
        [SL_SIM_BLOCK_TEXT] = "{'contentBlockIndex':%d,'delta':{'text':%s}}",
        [SL_SIM_BLOCK_TOOL] = "{'contentBlockIndex':%d,'delta':{'toolUse':{'input':%s}}}",
    };
    sl_sim_emit(e, "contentBlockDelta", templates[step->block->kind], (int64_t)step->index,
                step->piece);
}

static void emit_metadata(struct sl_sim_emitter *e) {
    struct sl_sim_out extra;
    sl_sim_out_init(&extra, 4096);
    put_usage(&extra, &e->reply->plan->usage);
    if (!e->named) {
        sl_sim_put(&extra, ",'metrics':{'latencyMs':%d}", e->reply->latency_ms);
        put_echoes(&extra, e->reply);
    }
    if (extra.error)
        e->out->error = extra.error;
    sl_sim_emit_last(e, "metadata", "{%r}", sl_buf_slice(&extra.buf));
    sl_sim_out_done(&extra);
}

static void step(struct sl_sim_emitter *e, const struct sl_sim_step *s) {
    switch (s->kind) {
    case SL_SIM_STEP_START:
        sl_sim_emit(e, "messageStart", "{'role':'assistant'}");
        break;
    case SL_SIM_STEP_BLOCK:
        if (s->block->kind == SL_SIM_BLOCK_TOOL) /* text blocks begin with their first delta */
            sl_sim_emit(e, "contentBlockStart",
                        "{'contentBlockIndex':%d,'start':{'toolUse':{'toolUseId':%s,'name':%s}}}",
                        (int64_t)s->index, s->block->id, s->block->name);
        break;
    case SL_SIM_STEP_DELTA:
        emit_delta(e, s);
        break;
    case SL_SIM_STEP_BLOCK_END:
        if (sl_sim_is_thought(s->block))
            sl_sim_emit(e, "contentBlockDelta",
                        "{'contentBlockIndex':%d,'delta':{'reasoningContent':{'signature':%s}}}",
                        (int64_t)s->index, s->block->id);
        sl_sim_emit(e, "contentBlockStop", "{'contentBlockIndex':%d}", (int64_t)s->index);
        break;
    case SL_SIM_STEP_STOP:
        sl_sim_emit(e, "messageStop", "{'stopReason':%s}", stop_reason(e->reply));
        break;
    case SL_SIM_STEP_END:
        emit_metadata(e);
        break;
    case SL_SIM_STEP_DONE:
        break;
    }
}

const struct sl_sim_shape sl_sim_shape_converse = {converse_decode, converse_whole, step, false};
const struct sl_sim_shape sl_sim_shape_nova = {nova_decode, nova_whole, step, true};
