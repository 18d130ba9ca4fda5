/* The byte before tells whether a comma is due: no state is kept that could disagree with it. */
#include "dialect/put.h"

void sl_put_raw(struct sl_put *p, struct sl_slice s) {
    if (!p->err)
        p->err = sl_buf_add(p->to, s);
}

void sl_put(struct sl_put *p, const char *s) {
    sl_put_raw(p, sl_slice_str(s));
}

static void separate(struct sl_put *p) {
    char last = p->to->len ? p->to->ptr[p->to->len - 1] : '[';
    if (last != '{' && last != '[' && last != ':' && last != ',')
        sl_put(p, ",");
}

void sl_put_key(struct sl_put *p, const char *name) {
    separate(p);
    sl_put(p, "\"");
    sl_put(p, name);
    sl_put(p, "\":");
}

void sl_put_open(struct sl_put *p, const char *bracket) {
    separate(p);
    sl_put(p, bracket);
}

void sl_put_value(struct sl_put *p, struct sl_slice json) {
    separate(p);
    sl_put_raw(p, json);
}

void sl_put_string(struct sl_put *p, struct sl_slice text) {
    separate(p);
    if (!p->err)
        p->err = sl_buf_add_json(p->to, text);
}

void sl_put_int(struct sl_put *p, int64_t value) {
    separate(p);
    if (!p->err)
        p->err = sl_buf_printf(p->to, "%lld", (long long)value);
}

void sl_put_member(struct sl_put *p, const char *name, struct sl_slice json) {
    sl_put_key(p, name);
    sl_put_raw(p, json);
}

void sl_put_member_string(struct sl_put *p, const char *name, struct sl_slice text) {
    sl_put_key(p, name);
    sl_put_string(p, text);
}

void sl_put_member_int(struct sl_put *p, const char *name, int64_t value) {
    sl_put_key(p, name);
    sl_put_int(p, value);
}

void sl_put_copy(struct sl_put *p, const struct sl_json_view *view,
                 const struct sl_json_node *member) {
    separate(p);
    sl_put_raw(p, sl_json_key_raw(view, member));
    sl_put(p, ":");
    sl_put_raw(p, sl_json_raw(view, member));
}

void sl_put_inner(struct sl_put *p, struct sl_slice text) {
    size_t start = p->to->len;
    if (p->err || (p->err = sl_buf_add_json(p->to, text)) != SL_OK)
        return;
    p->to->len -= 2;
    memmove(p->to->ptr + start, p->to->ptr + start + 1, p->to->len - start);
}

struct shape {
    bool any, object;
};

static int note_first(void *ctx, const struct sl_json_token *token) {
    struct shape *shape = ctx;
    if (!shape->any)
        shape->object = token->event == SL_JSON_OBJECT_BEGIN;
    shape->any = true;
    return SL_OK;
}

bool sl_put_can(struct sl_slice text, bool object) {
    struct shape shape = {0};
    struct sl_json_tokenizer t;
    sl_json_init(&t, note_first, &shape);
    return sl_json_feed(&t, text) == SL_OK && sl_json_finish(&t) == SL_OK &&
           (shape.object || !object);
}
