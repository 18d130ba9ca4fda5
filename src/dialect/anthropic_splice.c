/*
 * Claude's body on Bedrock is Anthropic's, but for four members. What stays is copied as it stands
 * (large integers, U+0000, escapes, white space within values), so that a prefix that Bedrock
 * caches is the same in each request.
 */
#include "dialect/anthropic.h"

#define BEDROCK_VERSION SL_LIT("\"bedrock-2023-05-31\"")
/* Bytes of a list of betas. */
#define BETAS_MAX 16384

/* Keys are nearly always written plainly; only one with a backslash needs decoding. */
static bool has_key(const struct sl_json_view *view, const struct sl_json_node *member,
                    const char *name) {
    struct sl_slice key = sl_json_key_raw(view, member), plain = sl_slice_str(name);
    if (sl_slice_find(key, '\\') == key.len)
        return key.len == plain.len + 2 && memcmp(key.ptr + 1, plain.ptr, plain.len) == 0;
    struct sl_json_view one;
    bool same =
        sl_json_view_parse(&one, key, 1) == SL_OK && sl_json_eq(&one, sl_json_root(&one), name);
    sl_json_view_done(&one);
    return same;
}

static bool is_named(const struct sl_json_view *view, const struct sl_json_node *member,
                     const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (has_key(view, member, names[i]))
            return true;
    return false;
}

void sl_anthropic_members(struct sl_put *p, const struct sl_json_view *view,
                          const struct sl_json_node *object, const char *const *without,
                          size_t count) {
    const struct sl_json_node *m = sl_json_child(view, object);
    for (; m; m = sl_json_next(view, m))
        if (!is_named(view, m, without, count))
            sl_put_copy(p, view, m);
}

/* Whether the list, as it was written so far, has this beta: names need no escapes. */
static bool has_beta(struct sl_slice list, struct sl_slice beta) {
    for (struct sl_slice rest = list; rest.len > beta.len + 1; rest = sl_slice_skip(rest, 1))
        if (rest.ptr[0] == '"' && rest.ptr[beta.len + 1] == '"' &&
            sl_slice_eq(sl_slice_of(rest.ptr + 1, beta.len), beta))
            return true;
    return false;
}

/* The betas of the body, then those of the header that it has not. */
static int add_betas(const struct sl_json_view *view, struct sl_slice betas, struct sl_buf *out) {
    struct sl_put p = {out, SL_OK};
    struct sl_slice beta;
    const struct sl_json_node *own = sl_json_get(view, sl_json_root(view), "anthropic_beta");
    sl_put_open(&p, "[");
    if (sl_json_is(own, SL_JSON_IS_STRING))
        sl_put_value(&p, sl_json_raw(view, own));
    for (const struct sl_json_node *n = sl_json_child(view, own); n; n = sl_json_next(view, n))
        sl_put_value(&p, sl_json_raw(view, n));
    while (!p.err && betas.len > 0 && sl_slice_split(&betas, ',', &beta)) {
        beta = sl_slice_trim(beta);
        if (beta.len > 0 && !has_beta(sl_buf_slice(out), beta))
            sl_put_string(&p, beta);
    }
    sl_put(&p, "]");
    return p.err;
}

int sl_anthropic_splice(const struct sl_json_view *view, const struct sl_anthropic_splice *how,
                        struct sl_buf *out) {
    static const char *const without[] = {"model", "stream", "anthropic_beta"};
    const struct sl_json_node *root = sl_json_root(view);
    struct sl_put p = {out, SL_OK};
    struct sl_buf betas;
    /* Without the header, a list in the body stays as it stands. */
    size_t dropped = how->betas.len > 0 ? 3 : 2;
    sl_put_open(&p, "{");
    sl_anthropic_members(&p, view, root, without, dropped);
    if (!sl_json_get(view, root, "anthropic_version"))
        sl_put_member(&p, "anthropic_version", BEDROCK_VERSION);
    if (how->needs_max_tokens && !sl_json_get(view, root, "max_tokens"))
        sl_put_member_int(&p, "max_tokens", 1);
    if (how->betas.len > 0) {
        sl_buf_init(&betas, BETAS_MAX);
        int err = add_betas(view, how->betas, &betas);
        if (!p.err)
            p.err = err;
        sl_put_member(&p, "anthropic_beta", sl_buf_slice(&betas));
        sl_buf_done(&betas);
    }
    sl_put(&p, "}");
    return p.err;
}
