/* The body is spliced, not re-serialised: only the bytes of the prompt's value change. */
#include "dialect/retired.h"

#include "dialect/llama.h"
#include "dialect/reading.h"
#include "sluice/core/model.h"
#include "sluice/dialect/edit.h"
#include "sluice/wire/json_view.h"
#include "sluice/wire/uri.h"

/* Llama 2's context held about 16 KB of text; a body far beyond is no prompt of its, and is sent as
 * it is rather than hold the loop. */
#define BODY_MAX (256 * 1024)

static bool names_a_model(enum sl_operation op) {
    return op == SL_OP_INVOKE_MODEL || op == SL_OP_INVOKE_MODEL_STREAM || op == SL_OP_CONVERSE ||
           op == SL_OP_CONVERSE_STREAM || op == SL_OP_COUNT_TOKENS;
}

static struct sl_slice successor_of(const struct sl_dialect_settings *settings,
                                    struct sl_slice model) {
    struct sl_slice found = SL_EMPTY;
    if (settings->successor)
        found = settings->successor(settings->successor_ctx, model);
    return found.len > 0 ? found : sl_model_successor(model);
}

struct sl_slice sl_retired_served(const struct sl_decode *d, struct sl_slice model) {
    struct sl_slice successor = successor_of(d->settings, model);
    return successor.len > 0 ? successor : model;
}

/* "/model/OLD/invoke" → "/model/NEW/invoke": what stands behind the id begins at the last '/'. */
static int replace_target(struct sl_decode *d, struct sl_slice successor) {
    struct sl_slice target = d->call->target, path = sl_target_path(target);
    size_t tail = path.len;
    while (tail > 0 && path.ptr[tail - 1] != '/')
        tail--;
    struct sl_buf out;
    sl_buf_init(&out, target.len + successor.len * 3);
    int err = sl_buf_add_str(&out, "/model/");
    if (!err)
        err = sl_uri_encode(&out, successor, false);
    if (!err)
        err = sl_buf_add_byte(&out, '/');
    if (!err)
        err = sl_buf_add(&out, sl_slice_skip(target, tail));
    if (!err)
        err = sl_arena_copy(d->arena, sl_buf_slice(&out), &d->call->target);
    sl_buf_done(&out);
    return err;
}

/* Decodes the JSON string that is a fact's value. */
static int decode_string(struct sl_slice json, struct sl_buf *out) {
    struct sl_json_view view;
    int err = sl_json_view_parse(&view, json, 1);
    if (!err)
        err = sl_json_text(&view, sl_json_root(&view), out);
    sl_json_view_done(&view);
    return err;
}

static int splice(struct sl_decode *d, struct sl_slice whole, const struct sl_json_fact *prompt,
                  struct sl_slice replacement) {
    struct sl_chain spliced;
    sl_chain_init(&spliced, d->call->body.budget);
    int err = sl_chain_add(&spliced, sl_slice_head(whole, (size_t)prompt->start));
    if (!err)
        err = sl_chain_add(&spliced, replacement);
    if (!err)
        err = sl_chain_add(&spliced, sl_slice_skip(whole, (size_t)prompt->end));
    if (err) {
        sl_chain_done(&spliced);
        return err;
    }
    sl_chain_done(&d->call->body);
    d->call->body = spliced;
    return SL_OK;
}

/* What was said of the body as it came is said of it as it is sent. */
static int read_again(struct sl_decode *d) {
    sl_edit_hash(d->call);
    return sl_reading_of(d->call, &d->call->body);
}

/* Gives the prompt the successor's template. A prompt that cannot be read, or that grows without
 * measure, goes as it is. */
static int replace_prompt(struct sl_decode *d, const struct sl_json_fact *prompt, bool llama4) {
    struct sl_slice whole;
    int err = sl_chain_flatten(&d->call->body, BODY_MAX, &whole);
    if (err)
        return err == SL_E_LIMIT ? SL_OK : err;
    struct sl_buf old, text, json;
    sl_buf_init(&old, BODY_MAX);
    sl_buf_init(&text, 2 * BODY_MAX);
    sl_buf_init(&json, 8 * BODY_MAX);
    err = decode_string(
        sl_slice_of(whole.ptr + prompt->start, (size_t)(prompt->end - prompt->start)), &old);
    if (!err)
        err = sl_llama_from_llama2(&text, sl_buf_slice(&old), llama4);
    if (!err && !sl_slice_eq(sl_buf_slice(&text), sl_buf_slice(&old))) {
        err = sl_buf_add_json(&json, sl_buf_slice(&text));
        if (!err)
            err = splice(d, whole, prompt, sl_buf_slice(&json));
        if (!err) {
            d->call->edited = SL_LIT("model,prompt");
            err = read_again(d);
        }
    }
    sl_buf_done(&old);
    sl_buf_done(&text);
    sl_buf_done(&json);
    return err == SL_E_NOMEM ? err : SL_OK;
}

int sl_retired_replace(struct sl_decode *d, const struct sl_json_fact *prompt) {
    struct sl_slice successor =
        names_a_model(d->call->operation) ? successor_of(d->settings, d->call->model) : SL_EMPTY;
    if (successor.len == 0)
        return SL_OK;
    if (!d->settings->map_retired) {
        d->failure = SL_FAILURE_NOT_FOUND;
        d->message =
            SL_LIT("This model version has reached the end of its life. Please refer to the AWS "
                   "documentation for more details.");
        return SL_OK;
    }
    enum sl_family from = sl_model_family(d->call->model), to = sl_model_family(successor);
    int err = replace_target(d, successor);
    if (!err)
        err = sl_arena_copy(d->arena, successor, &d->call->served_model);
    if (!err && d->call->edited.len > 0)
        err = sl_arena_printf(d->arena, &d->call->edited, "model,%.*s", SL_FMT(d->call->edited));
    else
        d->call->edited = SL_LIT("model");
    if (!err && prompt && prompt->type == SL_FACT_STRING && from == SL_FAMILY_LLAMA2 &&
        (to == SL_FAMILY_LLAMA3 || to == SL_FAMILY_LLAMA4))
        err = replace_prompt(d, prompt, to == SL_FAMILY_LLAMA4);
    return err;
}

int sl_retired_replace_part(const struct sl_decode *d, struct sl_arena *arena,
                            struct sl_call *call) {
    struct sl_decode part = {.settings = d->settings, .arena = arena, .call = call};
    int err = sl_retired_replace(&part, NULL);
    if (!err && call->served_model.len > 0)
        call->model = call->served_model;
    return err;
}
