/* Llama: a text in pieces. The tokens of the prompt are told with the first piece, the reason for
 * the end with the last. */
#include "dialect/bedrock_encode.h"

static int put_chunk(struct sl_buf *out, struct sl_buf *scratch, const struct sl_json_view *v,
                     const char *const *names, struct sl_slice metrics, bool last) {
    static const struct sl_slice null = SL_LIT("null"), empty = SL_LIT("\"\"");
    const struct sl_json_node *root = sl_json_root(v);
    struct sl_put p = {.to = scratch};
    sl_buf_clear(scratch);
    sl_put(&p, "{");
    /* What belongs to the other chunk is null here; the count of tokens stands in both. */
    for (size_t i = 0; names[i]; i++) {
        struct sl_slice value = sl_json_raw(v, sl_json_get(v, root, names[i]));
        bool here = i == 3 || (i == 2) == last;
        sl_put_member(&p, names[i], here && value.len ? value : i == 0 ? empty : null);
    }
    if (last)
        sl_put_member(&p, SL_METRICS_KEY, metrics);
    sl_put(&p, "}");
    return p.err ? p.err : sl_frame_put_chunk(out, sl_buf_slice(scratch));
}

static int split(struct sl_buf *out, const struct sl_json_view *v, struct sl_slice metrics) {
    static const char *const names[] = {"generation", "prompt_token_count", "stop_reason",
                                        "generation_token_count", NULL};
    if (!sl_json_is(sl_json_get(v, sl_json_root(v), "generation"), SL_JSON_IS_STRING))
        return SL_E_PROTOCOL;
    struct sl_buf scratch;
    sl_buf_init(&scratch, 2 * SL_ANSWER_MAX);
    int err = put_chunk(out, &scratch, v, names, metrics, false);
    if (!err)
        err = put_chunk(out, &scratch, v, names, metrics, true);
    sl_buf_done(&scratch);
    return err;
}

/* The latest value that is one. */
static int keep(struct sl_buf *to, const struct sl_json_view *v, const char *name) {
    const struct sl_json_node *node = sl_json_get(v, sl_json_root(v), name);
    if (!node || sl_json_is(node, SL_JSON_IS_NULL))
        return SL_OK;
    sl_buf_clear(to);
    return sl_buf_add(to, sl_json_raw(v, node));
}

static int take(struct sl_invoke_join *join, const struct sl_json_view *v) {
    const struct sl_json_node *text = sl_json_get(v, sl_json_root(v), "generation");
    int err = sl_buf_add(&join->text, sl_json_inner(v, text));
    if (!err)
        err = keep(&join->start, v, "prompt_token_count");
    if (!err)
        err = keep(&join->block, v, "generation_token_count");
    if (!err)
        err = keep(&join->stop, v, "stop_reason");
    join->stopped = join->stop.len > 0;
    return err;
}

static int join_document(struct sl_buf *out, const struct sl_invoke_join *join) {
    const struct {
        const char *name;
        const struct sl_buf *value;
    } members[] = {{"prompt_token_count", &join->start},
                   {"generation_token_count", &join->block},
                   {"stop_reason", &join->stop}};
    struct sl_put p = {.to = out};
    sl_put(&p, "{\"generation\":\"");
    sl_put_raw(&p, sl_buf_slice(&join->text));
    sl_put(&p, "\"");
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
        sl_put_member(&p, members[i].name,
                      members[i].value->len ? sl_buf_slice(members[i].value) : SL_LIT("null"));
    sl_put(&p, "}");
    return p.err;
}

const struct sl_invoke_shapes sl_invoke_llama = {split, take, join_document};
