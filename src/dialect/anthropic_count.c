/* CountTokens' answer, {"inputTokens":n}, as Anthropic says it. */
#include "dialect/anthropic.h"
#include "sluice/base/list.h"
#include "sluice/base/mem.h"

/* The answer is one number. */
#define DOCUMENT_MAX 65536
#define NODES_MAX    64

struct count {
    struct sl_encoder base;
    struct sl_buf document;
};

static struct count *of_base(struct sl_encoder *base) {
    return SL_CONTAINER(base, struct count, base);
}

static int feed(struct sl_encoder *base, struct sl_slice bytes, struct sl_buf *out) {
    (void)out;
    return sl_buf_add(&of_base(base)->document, bytes);
}

static int finish(struct sl_encoder *base, struct sl_buf *out) {
    struct sl_json_view view;
    int64_t tokens = -1;
    int err = sl_json_view_parse(&view, sl_buf_slice(&of_base(base)->document), NODES_MAX);
    if (!err &&
        !sl_json_int(&view, sl_json_get(&view, sl_json_root(&view), "inputTokens"), &tokens))
        err = SL_E_PROTOCOL;
    sl_json_view_done(&view);
    struct sl_put p = {out, SL_OK};
    if (err)
        return err == SL_E_INVALID ? SL_E_PROTOCOL : err;
    sl_put_raw(&p, SL_LIT("{"));
    sl_put_member_int(&p, "input_tokens", tokens);
    sl_put(&p, "}");
    return p.err;
}

static int broken(struct sl_encoder *base, enum sl_failure kind, struct sl_slice message,
                  struct sl_buf *out) {
    (void)base, (void)kind, (void)message, (void)out;
    return SL_E_NOTFOUND;
}

static void count_free(struct sl_encoder *base) {
    sl_buf_done(&of_base(base)->document);
    sl_free(of_base(base));
}

static const struct sl_encoder_ops ops = {feed, finish, broken, count_free};

int sl_anthropic_count_new(const struct sl_ask *ask, struct sl_arena *arena,
                           struct sl_encoder **out) {
    struct count *c = sl_calloc(1, sizeof(*c));
    if (!c)
        return SL_E_NOMEM;
    c->base.ops = &ops;
    c->base.whole = true;
    sl_buf_init(&c->document, DOCUMENT_MAX);
    int err = sl_anthropic_head(&c->base.head, arena, ask);
    if (err)
        count_free(&c->base);
    else
        *out = &c->base;
    return err;
}
