/* Counts, reasons, ids and heads, the same for chat completions and responses. */
#include "dialect/openai_answer.h"

#include "sluice/wire/sse.h"

static int64_t known(int64_t count) {
    return count > 0 ? count : 0;
}

struct sl_openai_tokens sl_openai_tokens(const struct sl_usage *usage) {
    return (struct sl_openai_tokens){
        .input = known(usage->input) + known(usage->cache_read) + known(usage->cache_write),
        .cached = known(usage->cache_read),
        .written = known(usage->cache_write),
        .output = known(usage->output),
    };
}

const char *sl_openai_finish_reason(struct sl_slice reason, bool tool_calls) {
    static const struct {
        struct sl_slice converse;
        const char *openai;
    } rows[] = {
        {SL_LIT("max_tokens"), "length"},
        {SL_LIT("model_context_window_exceeded"), "length"},
        {SL_LIT("content_filtered"), "content_filter"},
        {SL_LIT("guardrail_intervened"), "content_filter"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (sl_slice_eq(reason, rows[i].converse))
            return rows[i].openai;
    return tool_calls ? "tool_calls" : "stop";
}

void sl_openai_put_id(struct sl_put *p, const char *name, const char *prefix, const char *id) {
    sl_put_key(p, name);
    sl_put(p, "\"");
    sl_put(p, prefix);
    for (; id && *id; id++)
        if (*id != '-')
            sl_put_raw(p, sl_slice_of(id, 1));
    sl_put(p, "\"");
}

int sl_openai_send(struct sl_buf *out, const char *event, const struct sl_buf *data) {
    return sl_sse_encode(out, sl_slice_str(event), sl_buf_slice(data));
}

int sl_openai_head(struct sl_response_head *head, struct sl_arena *arena,
                   const struct sl_ask *ask) {
    const struct sl_openai_ask *own = ask->own;
    struct sl_slice ignored;
    *head = (struct sl_response_head){.status = 200, .content_length = SL_LENGTH_UNKNOWN};
    int err = sl_headers_add(&head->headers, arena, SL_LIT("Content-Type"),
                             ask->stream ? SL_LIT("text/event-stream; charset=utf-8")
                                         : SL_LIT("application/json"));
    if (!err && ask->stream)
        err = sl_headers_add(&head->headers, arena, SL_LIT("Cache-Control"), SL_LIT("no-cache"));
    if (!err)
        err = sl_headers_add(&head->headers, arena, SL_LIT("x-request-id"), sl_slice_str(ask->id));
    if (err || own->ignored.len == 0)
        return err;
    err = sl_arena_copy(arena, sl_buf_slice(&own->ignored), &ignored);
    return err ? err : sl_headers_add(&head->headers, arena, SL_LIT("x-sluice-ignored"), ignored);
}
