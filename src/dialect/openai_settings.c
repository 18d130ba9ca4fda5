/*
 * Sampling, reasoning, tools and format of OpenAI's requests in Converse's words. What a model
 * cannot do is left out and named (x-sluice-ignored) where the answer is still one to the question;
 * what would change the answer's form is refused.
 *
 * A JSON schema becomes a tool that the model must call; its input is then the content. That works
 * with every model that can call tools; those that cannot be made to are told so in words.
 */
#include <stdlib.h>

#include "dialect/openai.h"
#include "sluice/core/model.h"

/* Tokens to think, by effort; and what is left for the answer at least. */
#define THINK_MIN 1024

const struct sl_json_node *sl_openai_get(const struct sl_json_view *view,
                                         const struct sl_json_node *object, const char *name) {
    const struct sl_json_node *node = sl_json_get(view, object, name);
    return sl_json_is(node, SL_JSON_IS_NULL) ? NULL : node;
}

int sl_openai_ignore(struct sl_openai_ask *ask, const char *name) {
    int err = ask->ignored.len ? sl_buf_add_str(&ask->ignored, ", ") : SL_OK;
    return err ? err : sl_buf_add_str(&ask->ignored, name);
}

int sl_openai_ignore_all(struct sl_openai_ask *ask, const struct sl_json_view *view,
                         const char *const *names) {
    int err = SL_OK;
    for (; !err && *names; names++) {
        const struct sl_json_node *node = sl_openai_get(view, sl_json_root(view), *names);
        bool says = node && !sl_slice_eq(sl_json_raw(view, node), SL_LIT("0")) &&
                    !sl_slice_eq(sl_json_raw(view, node), SL_LIT("{}"));
        if (says)
            err = sl_openai_ignore(ask, *names);
    }
    return err;
}

static void ignore(struct sl_talk *t, const char *name) {
    int err = sl_openai_ignore(t->ask, name);
    if (err && !t->put.err)
        t->put.err = err;
}

/* Thinking of Claude's costs sampling and forced tools; where those, or too small a maximum, or
 * turns without the signatures that it needs are asked for, it is left out. */
static int64_t thinking_budget(const struct sl_talk *t, const struct sl_openai_settings *s,
                               bool forced) {
    static const struct {
        const char *effort;
        int64_t budget;
    } budgets[] = {{"low", 2048}, {"medium", 8192}, {"high", 24576}, {"xhigh", 32000}};
    int64_t budget = 0, max_tokens;
    for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++)
        if (sl_json_eq(t->view, s->effort, budgets[i].effort))
            budget = budgets[i].budget;
    if (forced || t->unsigned_tools)
        return 0;
    if (sl_json_int(t->view, s->max_tokens, &max_tokens) && budget >= max_tokens)
        budget = max_tokens / 2;
    return budget < THINK_MIN ? 0 : budget;
}

/* True when the model will think in Claude's way. */
static bool put_reasoning(struct sl_talk *t, struct sl_put *p, const struct sl_openai_settings *s,
                          bool forced) {
    enum sl_family family = sl_model_family(s->model);
    if (!s->effort)
        return false;
    if (family == SL_FAMILY_GPT_OSS) {
        sl_put_key(p, "additionalModelRequestFields");
        sl_put(p, "{");
        sl_put_member(p, "reasoning_effort", sl_json_raw(t->view, s->effort));
        sl_put(p, "}");
        return false;
    }
    int64_t budget = family == SL_FAMILY_CLAUDE ? thinking_budget(t, s, forced) : 0;
    if (budget == 0) {
        if (!sl_json_eq(t->view, s->effort, "none") && !sl_json_eq(t->view, s->effort, "minimal"))
            ignore(t, "reasoning_effort");
        return false;
    }
    sl_put_key(p, "additionalModelRequestFields");
    sl_put(p, "{\"thinking\":{\"type\":\"enabled\"");
    sl_put_member_int(p, "budget_tokens", budget);
    sl_put(p, "}}");
    return true;
}

/* OpenAI's temperatures go up to 2, Claude's to 1. */
static struct sl_slice temperature_of(struct sl_talk *t, const struct sl_openai_settings *s) {
    struct sl_slice raw = sl_json_raw(t->view, s->temperature);
    char text[64] = "";
    if (sl_model_family(s->model) != SL_FAMILY_CLAUDE || raw.len >= sizeof(text))
        return raw;
    memcpy(text, raw.ptr, raw.len);
    return strtod(text, NULL) > 1 ? SL_LIT("1") : raw;
}

static void put_inference(struct sl_talk *t, struct sl_put *p, const struct sl_openai_settings *s,
                          bool thinking) {
    const struct sl_json_view *v = t->view;
    /* Left out where it would be empty: a request that says nothing of it is Converse's bare one.
     */
    if (!s->max_tokens && !s->temperature && !s->top_p && !s->stop)
        return;
    sl_put_key(p, "inferenceConfig");
    sl_put(p, "{");
    if (s->max_tokens)
        sl_put_member(p, "maxTokens", sl_json_raw(v, s->max_tokens));
    if (s->temperature && thinking)
        ignore(t, "temperature");
    else if (s->temperature)
        sl_put_member(p, "temperature", temperature_of(t, s));
    if (s->top_p && thinking)
        ignore(t, "top_p");
    else if (s->top_p)
        sl_put_member(p, "topP", sl_json_raw(v, s->top_p));
    if (sl_json_is(s->stop, SL_JSON_IS_STRING)) {
        sl_put_key(p, "stopSequences");
        sl_put(p, "[");
        sl_put_value(p, sl_json_raw(v, s->stop));
        sl_put(p, "]");
    } else if (s->stop) {
        sl_put_member(p, "stopSequences", sl_json_raw(v, s->stop));
    }
    sl_put(p, "}");
}

static void put_tool(struct sl_talk *t, struct sl_put *p, const struct sl_json_node *tool,
                     bool nested) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *spec = nested ? sl_json_get(v, tool, "function") : tool;
    const struct sl_json_node *name = sl_json_get(v, spec, "name");
    const struct sl_json_node *about = sl_openai_get(v, spec, "description");
    const struct sl_json_node *parameters = sl_openai_get(v, spec, "parameters");
    if (!sl_json_eq(v, sl_json_get(v, tool, "type"), "function") ||
        !sl_json_is(name, SL_JSON_IS_STRING)) {
        (void)sl_compose_refuse(t->d, SL_FAILURE_VALIDATION,
                                SL_LIT("Tools must be functions with a name: Bedrock has no "
                                       "built-in or custom tools of OpenAI's."));
        return;
    }
    sl_put_open(p, "{");
    sl_put(p, "\"toolSpec\":{");
    sl_put_member(p, "name", sl_json_raw(v, name));
    if (sl_json_inner(v, about).len > 0)
        sl_put_member(p, "description", sl_json_raw(v, about));
    sl_put(p, ",\"inputSchema\":{\"json\":");
    sl_put_raw(p, parameters ? sl_json_raw(v, parameters)
                             : SL_LIT("{\"type\":\"object\",\"properties\":{}}"));
    sl_put(p, "}}}");
}

static void put_schema_tool(struct sl_talk *t, struct sl_put *p,
                            const struct sl_openai_settings *s) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *about = sl_openai_get(v, s->schema, "description");
    const struct sl_json_node *schema = sl_openai_get(v, s->schema, "schema");
    sl_put_open(p, "{");
    sl_put(p, "\"toolSpec\":{");
    sl_put_member_string(p, "name", sl_buf_slice(&t->ask->json_tool));
    if (sl_json_inner(v, about).len > 0)
        sl_put_member(p, "description", sl_json_raw(v, about));
    else
        sl_put_member_string(p, "description", SL_LIT("Gives the answer in the form required."));
    sl_put(p, ",\"inputSchema\":{\"json\":");
    sl_put_raw(p, schema ? sl_json_raw(v, schema) : SL_LIT("{\"type\":\"object\"}"));
    sl_put(p, "}}}");
}

/* Families whose models can be made to call a tool (Bedrock API reference, ToolChoice). */
static bool can_force(struct sl_slice model) {
    enum sl_family family = sl_model_family(model);
    return family == SL_FAMILY_CLAUDE || family == SL_FAMILY_NOVA || family == SL_FAMILY_MISTRAL;
}

enum choice { CHOICE_NONE, CHOICE_AUTO, CHOICE_ANY, CHOICE_NAMED };

static enum choice choice_of(const struct sl_talk *t, const struct sl_openai_settings *s,
                             const struct sl_json_node **name) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *choice = s->tool_choice;
    *name = sl_json_get(v, s->tools_nested ? sl_json_get(v, choice, "function") : choice, "name");
    if (sl_json_eq(v, choice, "none"))
        return CHOICE_NONE;
    if (sl_json_eq(v, choice, "required"))
        return CHOICE_ANY;
    return *name ? CHOICE_NAMED : CHOICE_AUTO;
}

static void put_choice(struct sl_talk *t, struct sl_put *p, const struct sl_openai_settings *s,
                       enum choice choice, const struct sl_json_node *name) {
    bool schema = t->ask->json_tool.len > 0;
    if (choice == CHOICE_AUTO && !schema)
        return;
    sl_put_key(p, "toolChoice");
    if (choice == CHOICE_NAMED) {
        sl_put(p, "{\"tool\":{\"name\":");
        sl_put_raw(p, sl_json_raw(t->view, name));
        sl_put(p, "}}");
    } else if (schema && (!s->tools || choice == CHOICE_NONE)) {
        sl_put(p, "{\"tool\":{");
        sl_put_member_string(p, "name", sl_buf_slice(&t->ask->json_tool));
        sl_put(p, "}}");
    } else {
        sl_put(p, "{\"any\":{}}");
    }
}

/* True when the model is made to call a tool. */
static bool put_tools(struct sl_talk *t, struct sl_put *p, const struct sl_openai_settings *s) {
    const struct sl_json_node *name, *tool = sl_json_child(t->view, s->tools);
    enum choice choice = choice_of(t, s, &name);
    bool schema = t->ask->json_tool.len > 0;
    if (choice == CHOICE_NONE && !t->tools)
        tool = NULL;
    if (!tool && !schema && !t->tools)
        return false;
    sl_put_key(p, "toolConfig");
    sl_put(p, "{\"tools\":[");
    bool any = tool || schema;
    for (; tool; tool = sl_json_next(t->view, tool))
        put_tool(t, p, tool, s->tools_nested);
    if (schema)
        put_schema_tool(t, p, s);
    if (!any) /* Converse wants tools where the conversation used some, also when none is offered */
        sl_put(p, "{\"toolSpec\":{\"name\":\"unavailable\",\"description\":\"Do not call this.\","
                  "\"inputSchema\":{\"json\":{\"type\":\"object\"}}}}");
    sl_put(p, "]");
    bool force = (choice != CHOICE_NONE && choice != CHOICE_AUTO) || schema;
    if (force && any && can_force(s->model))
        put_choice(t, p, s, choice, name);
    else if (force)
        sl_talk_instruct(t, "Answer by calling one of the tools, not in words.");
    sl_put(p, "}");
    return force;
}

/* response_format, or text.format: notes the schema's tool, instructs for plain JSON. */
static void read_format(struct sl_talk *t, const struct sl_openai_settings *s) {
    const struct sl_json_view *v = t->view;
    const struct sl_json_node *type = sl_json_get(v, s->format, "type");
    const struct sl_json_node *name = sl_json_get(v, s->schema, "name");
    if (!s->format || sl_json_eq(v, type, "text"))
        return;
    if (sl_json_eq(v, type, "json_object")) {
        sl_talk_instruct(t, "Answer with one JSON object and nothing else: no words around it, no "
                            "code fence.");
        return;
    }
    if (!sl_json_eq(v, type, "json_schema")) {
        (void)sl_compose_refuse(t->d, SL_FAILURE_VALIDATION,
                                SL_LIT("The response format must be text, json_object or "
                                       "json_schema."));
        return;
    }
    int err =
        sl_json_is(name, SL_JSON_IS_STRING) ? sl_json_text(v, name, &t->ask->json_tool) : SL_OK;
    if (!err && t->ask->json_tool.len == 0)
        err = sl_buf_add_str(&t->ask->json_tool, "answer");
    if (err && !t->put.err)
        t->put.err = err;
}

static void put_service_tier(struct sl_talk *t, struct sl_put *p,
                             const struct sl_openai_settings *s) {
    static const char *const tiers[] = {"priority", "flex"}; /* others mean the usual one */
    for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
        if (sl_json_eq(t->view, s->service_tier, tiers[i])) {
            sl_put_key(p, "serviceTier");
            sl_put(p, "{\"type\":\"");
            sl_put(p, tiers[i]);
            sl_put(p, "\"}");
        }
}

static void put_settings(struct sl_talk *t, struct sl_put *p, const struct sl_openai_settings *s) {
    read_format(t, s);
    bool forced = put_tools(t, p, s);
    bool thinking = put_reasoning(t, p, s, forced);
    put_inference(t, p, s, thinking);
    put_service_tier(t, p, s);
}

int sl_openai_model(struct sl_decode *d, const struct sl_json_view *v, struct sl_slice *model) {
    const struct sl_json_node *name = sl_json_get(v, sl_json_root(v), "model");
    struct sl_buf text;
    if (sl_json_inner(v, name).len == 0)
        return sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                 SL_LIT("You must provide a model parameter."));
    sl_buf_init(&text, SL_COMPOSE_BODY_MAX);
    int err = sl_json_text(v, name, &text);
    if (!err)
        err = sl_compose_model(d, sl_buf_slice(&text), model);
    sl_buf_done(&text);
    if (!err && !d->failure && sl_slice_eq(*model, SL_LIT("gpt-oss-120b")))
        *model = SL_LIT("openai.gpt-oss-120b-1:0");
    if (!err && !d->failure && sl_slice_eq(*model, SL_LIT("gpt-oss-20b")))
        *model = SL_LIT("openai.gpt-oss-20b-1:0");
    return err;
}

int sl_openai_finish_talk(struct sl_talk *t, const struct sl_openai_settings *s, bool stream) {
    struct sl_buf body;
    struct sl_put p = {.to = &body};
    if (t->d->failure)
        return SL_OK;
    sl_buf_init(&body, SL_OPENAI_BODY_MAX);
    sl_put(&p, "{");
    put_settings(t, &p, s); /* first: it may instruct */
    sl_talk_put(t, &p);
    sl_put(&p, "}");
    int err = p.err ? p.err : sl_talk_error(t);
    if (!err && !t->d->failure)
        err = sl_compose_finish(t->d, stream ? SL_OP_CONVERSE_STREAM : SL_OP_CONVERSE, s->model,
                                &body);
    sl_buf_done(&body);
    return err;
}
