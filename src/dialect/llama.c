/*
 * Llama 2:  <s>[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST] {answer} </s><s>[INST] {user}
 * [/INST] Llama 3:
 * <|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{system}<|eot_id|>… and the
 *           assistant's header at the end.
 *
 * Scripts write the template by hand and in many ways: with and without <s>, with spaces or not. So
 * the parser takes the markers wherever they stand and what is between them as the text, trimmed.
 */
#include "dialect/llama.h"

struct template {
    struct sl_slice begin, before_role, after_role, end_of_turn;
};

static const struct template llama3 = {SL_LIT("<|begin_of_text|>"), SL_LIT("<|start_header_id|>"),
                                       SL_LIT("<|end_header_id|>\n\n"), SL_LIT("<|eot_id|>")};
static const struct template llama4 = {SL_LIT("<|begin_of_text|>"), SL_LIT("<|header_start|>"),
                                       SL_LIT("<|header_end|>\n\n"), SL_LIT("<|eot|>")};

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static struct sl_slice strip(struct sl_slice s) {
    while (s.len && is_space(s.ptr[0]))
        s = sl_slice_skip(s, 1);
    while (s.len && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* Without the sentence marks that belong to the template, at either end. */
static struct sl_slice strip_marks(struct sl_slice s) {
    for (;;) {
        struct sl_slice before = s = strip(s);
        if (sl_slice_starts(s, SL_LIT("<s>")))
            s = sl_slice_skip(s, 3);
        if (sl_slice_ends(s, SL_LIT("<s>")))
            s.len -= 3;
        if (sl_slice_ends(s, SL_LIT("</s>")))
            s.len -= 4;
        if (s.len == before.len)
            return s;
    }
}

/* The text up to `mark`, and *rest behind it; without the mark, all of it and an empty rest. */
static struct sl_slice take_until(struct sl_slice *rest, struct sl_slice mark) {
    size_t at = sl_slice_search(*rest, mark);
    struct sl_slice text = sl_slice_head(*rest, at);
    *rest = sl_slice_skip(*rest, at + mark.len);
    return text;
}

static int add_header(struct sl_buf *out, const struct template *t, struct sl_slice role) {
    int err = sl_buf_add(out, t->before_role);
    if (!err)
        err = sl_buf_add(out, role);
    if (!err)
        err = sl_buf_add(out, t->after_role);
    return err;
}

static int add_turn(struct sl_buf *out, const struct template *t, struct sl_slice role,
                    struct sl_slice text) {
    int err = add_header(out, t, role);
    if (!err)
        err = sl_buf_add(out, text);
    if (!err)
        err = sl_buf_add(out, t->end_of_turn);
    return err;
}

/* One [INST] … [/INST] and the answer behind it, if there is one. */
static int add_exchange(struct sl_buf *out, const struct template *t, struct sl_slice *rest) {
    struct sl_slice user = take_until(rest, SL_LIT("[/INST]"));
    int err = SL_OK;
    size_t sys = sl_slice_search(user, SL_LIT("<<SYS>>"));
    if (sys < user.len) {
        user = sl_slice_skip(user, sys + 7);
        struct sl_slice system = take_until(&user, SL_LIT("<</SYS>>"));
        err = add_turn(out, t, SL_LIT("system"), strip(system));
    }
    if (!err)
        err = add_turn(out, t, SL_LIT("user"), strip(user));
    struct sl_slice answer = strip_marks(take_until(rest, SL_LIT("[INST]")));
    if (!err && answer.len > 0)
        err = add_turn(out, t, SL_LIT("assistant"), answer);
    return err;
}

int sl_llama_from_llama2(struct sl_buf *out, struct sl_slice prompt, bool to_llama4) {
    const struct template *t = to_llama4 ? &llama4 : &llama3;
    size_t first = sl_slice_search(prompt, SL_LIT("[INST]"));
    if (first == prompt.len)
        return sl_buf_add(out, prompt);
    int err = sl_buf_add(out, t->begin);
    struct sl_slice preamble = strip_marks(sl_slice_head(prompt, first));
    if (!err && preamble.len > 0)
        err = add_turn(out, t, SL_LIT("system"), preamble);
    struct sl_slice rest = sl_slice_skip(prompt, first + 6);
    while (!err && rest.len > 0)
        err = add_exchange(out, t, &rest);
    return err ? err : add_header(out, t, SL_LIT("assistant"));
}
