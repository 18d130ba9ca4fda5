/*
 * A prompt, or a turn of a conversation, as Converse's body. Converse applies each family's prompt
 * template itself, which is why nothing here knows one.
 */
#include "dialect/compose.h"
#include "dialect/rest.h"
#include "sluice/core/model.h"

/* What a request is answered with at most, if it does not say. */
#define MAX_TOKENS_DEFAULT 512

struct fields {
    const struct sl_json_node *text, *session, *system, *model, *max_tokens, *temperature, *top_p,
        *stream;
};

static int wrong(struct sl_decode *d, const char *name, const char *what) {
    return sl_compose_refusef(d, SL_FAILURE_VALIDATION, "'%s' must be %s.", name, what);
}

/* A member, if it is there and not null. */
static const struct sl_json_node *member(const struct sl_json_view *v, const char *name) {
    const struct sl_json_node *n = sl_json_get(v, sl_json_root(v), name);
    return sl_json_is(n, SL_JSON_IS_NULL) ? NULL : n;
}

static int require_text(struct sl_decode *d, const struct sl_json_view *v,
                        const struct sl_json_node *n, const char *name) {
    if (sl_json_is(n, SL_JSON_IS_STRING) && sl_json_inner(v, n).len > 0)
        return SL_OK;
    return wrong(d, name, "a string that is not empty");
}

static int check_optional(struct sl_decode *d, const struct fields *f) {
    const struct {
        const struct sl_json_node *node;
        const char *name, *what;
        enum sl_json_type type;
    } rows[] = {
        {f->system, "system", "a string", SL_JSON_IS_STRING},
        {f->model, "model", "a string", SL_JSON_IS_STRING},
        {f->max_tokens, "max_tokens", "a number", SL_JSON_IS_NUMBER},
        {f->temperature, "temperature", "a number", SL_JSON_IS_NUMBER},
        {f->top_p, "top_p", "a number", SL_JSON_IS_NUMBER},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].node && !sl_json_is(rows[i].node, rows[i].type))
            return wrong(d, rows[i].name, rows[i].what);
    if (f->stream && !sl_json_is(f->stream, SL_JSON_IS_TRUE) &&
        !sl_json_is(f->stream, SL_JSON_IS_FALSE))
        return wrong(d, "stream", "true or false");
    return SL_OK;
}

static int read_fields(struct sl_decode *d, const struct sl_json_view *v, bool chat,
                       struct fields *f) {
    *f = (struct fields){
        .text = member(v, chat ? "message" : "prompt"),
        .session = chat ? member(v, "session") : NULL,
        .system = chat ? member(v, "system") : NULL,
        .model = member(v, "model"),
        .max_tokens = member(v, "max_tokens"),
        .temperature = member(v, "temperature"),
        .top_p = member(v, "top_p"),
        .stream = member(v, "stream"),
    };
    int err = require_text(d, v, f->text, chat ? "message" : "prompt");
    if (!err && chat && !d->failure)
        err = require_text(d, v, f->session, "session");
    return err || d->failure ? err : check_optional(d, f);
}

static int find_model(struct sl_decode *d, const struct sl_json_view *v, const struct fields *f,
                      struct sl_slice *model) {
    struct sl_buf name;
    sl_buf_init(&name, SL_REST_BODY_MAX);
    int err =
        f->model ? sl_json_text(v, f->model, &name) : sl_buf_add(&name, d->settings->default_model);
    if (!err && name.len == 0)
        err = sl_compose_refuse(d, SL_FAILURE_VALIDATION,
                                SL_LIT("The request names no 'model', and the gateway has no "
                                       "default one (models.default)."));
    else if (!err)
        err = sl_compose_model(d, sl_buf_slice(&name), model);
    sl_buf_done(&name);
    return err;
}

static int take_texts(const struct sl_json_view *v, const struct fields *f,
                      struct sl_rest_ask *own) {
    int err = sl_json_text(v, f->text, &own->prompt);
    if (!err && f->session)
        err = sl_json_text(v, f->session, &own->session);
    return !err && f->system ? sl_json_text(v, f->system, &own->system) : err;
}

/* Begins the turn; afterwards own->system is the one that counts. */
static int begin_turn(struct sl_decode *d, struct sl_rest_ask *own) {
    struct sl_slice name = sl_buf_slice(&own->session);
    int err =
        sl_sessions_begin(d->settings->sessions, d->tenant, name, d->ask->created, &own->turn);
    switch (err) {
    case SL_E_EXISTS:
        return sl_compose_refuse(d, SL_FAILURE_CONFLICT,
                                 SL_LIT("A turn is under way in this session: wait for its answer "
                                        "before the next message."));
    case SL_E_LIMIT:
        return sl_compose_refuse(d, SL_FAILURE_THROTTLED,
                                 SL_LIT("All the sessions that the gateway can keep are in use."));
    case SL_E_INVALID:
        return wrong(d, "session", "at most 256 bytes long");
    default:
        break;
    }
    if (!err && own->system.len == 0)
        err = sl_buf_add(&own->system, sl_session_system(&own->turn));
    return err;
}

static void put_message(struct sl_put *p, const char *role, struct sl_slice text) {
    sl_put_open(p, "{");
    sl_put_member_string(p, "role", sl_slice_str(role));
    sl_put_key(p, "content");
    sl_put(p, "[{");
    sl_put_member_string(p, "text", text);
    sl_put(p, "}]}");
}

/* Claude is told only what the client said: some versions refuse temperature beside top_p, some
 * refuse either. */
static void put_inference(struct sl_put *p, const struct sl_json_view *v, const struct fields *f,
                          struct sl_slice model) {
    bool defaults = sl_model_family(model) != SL_FAMILY_CLAUDE;
    sl_put_key(p, "inferenceConfig");
    sl_put_open(p, "{");
    if (f->max_tokens)
        sl_put_member(p, "maxTokens", sl_json_raw(v, f->max_tokens));
    else
        sl_put_member_int(p, "maxTokens", MAX_TOKENS_DEFAULT);
    if (f->temperature || defaults)
        sl_put_member(p, "temperature",
                      f->temperature ? sl_json_raw(v, f->temperature) : SL_LIT("0.7"));
    if (f->top_p || defaults)
        sl_put_member(p, "topP", f->top_p ? sl_json_raw(v, f->top_p) : SL_LIT("0.9"));
    sl_put(p, "}");
}

static int write_body(const struct sl_rest_ask *own, const struct sl_json_view *v,
                      const struct fields *f, struct sl_slice model, struct sl_buf *out) {
    struct sl_put p = {out, SL_OK};
    struct sl_session_said said;
    sl_put_open(&p, "{");
    sl_put_key(&p, "messages");
    sl_put_open(&p, "[");
    for (size_t i = 0; sl_session_said(&own->turn, i, &said); i++) {
        put_message(&p, "user", said.user);
        put_message(&p, "assistant", said.assistant);
    }
    put_message(&p, "user", sl_buf_slice(&own->prompt));
    sl_put(&p, "]");
    if (own->system.len > 0) {
        sl_put_key(&p, "system");
        sl_put(&p, "[{");
        sl_put_member_string(&p, "text", sl_buf_slice(&own->system));
        sl_put(&p, "}]");
    }
    put_inference(&p, v, f, model);
    sl_put(&p, "}");
    return p.err;
}

int sl_rest_compose(struct sl_decode *d, const struct sl_json_view *view, struct sl_rest_ask *own) {
    struct fields f;
    struct sl_slice model = SL_EMPTY;
    struct sl_buf out;
    bool chat = own->kind == SL_REST_CHAT;
    int err = read_fields(d, view, chat, &f);
    if (!err && !d->failure)
        err = find_model(d, view, &f, &model);
    if (!err && !d->failure)
        err = take_texts(view, &f, own);
    if (!err && !d->failure && chat)
        err = begin_turn(d, own);
    if (err || d->failure)
        return err;
    bool stream = sl_json_is(f.stream, SL_JSON_IS_TRUE);
    sl_buf_init(&out, SL_COMPOSE_BODY_MAX);
    err = write_body(own, view, &f, model, &out);
    if (!err)
        err = sl_compose_finish(d, stream ? SL_OP_CONVERSE_STREAM : SL_OP_CONVERSE, model, &out);
    sl_buf_done(&out);
    return err;
}
