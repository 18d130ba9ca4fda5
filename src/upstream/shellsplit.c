/*
 * One pass over the line. Words are written behind the pointer array in the same block: a word is
 * never longer than what it was made from, and the byte that ended it pays for its NUL.
 */
#include "upstream/shellsplit.h"

#include "sluice/base/mem.h"

enum state { BETWEEN, WORD, SINGLE, DOUBLE };

struct splitter {
    enum state state;
    char *at; /* where the next byte of a word goes */
    struct sl_shell_words out;
};

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int begin_word(struct splitter *s) {
    if (s->out.count == SL_SHELL_MAX_WORDS)
        return SL_E_LIMIT;
    s->out.words[s->out.count++] = s->at;
    s->state = WORD;
    return SL_OK;
}

static void end_word(struct splitter *s) {
    *s->at++ = '\0';
    s->state = BETWEEN;
}

/* Takes the byte at rest (and the one behind a backslash); bytes taken, or an error. */
static int take(struct splitter *s, struct sl_slice rest) {
    char c = rest.ptr[0];
    if (s->state == SINGLE || s->state == DOUBLE) {
        bool escapes = s->state == DOUBLE && c == '\\' && rest.len > 1 &&
                       (rest.ptr[1] == '"' || rest.ptr[1] == '\\');
        if (c == (s->state == SINGLE ? '\'' : '"'))
            s->state = WORD;
        else
            *s->at++ = escapes ? rest.ptr[1] : c;
        return escapes ? 2 : 1;
    }
    if (is_space(c)) {
        if (s->state == WORD)
            end_word(s);
        return 1;
    }
    if (s->state == BETWEEN) {
        int rc = begin_word(s);
        if (rc < 0)
            return rc;
    }
    if (c == '\\') {
        if (rest.len < 2)
            return SL_E_INVALID;
        *s->at++ = rest.ptr[1];
        return 2;
    }
    if (c == '\'' || c == '"')
        s->state = c == '"' ? DOUBLE : SINGLE;
    else
        *s->at++ = c;
    return 1;
}

int sl_shell_split(struct sl_slice line, struct sl_shell_words *out) {
    if (line.len > SL_SHELL_MAX_BYTES)
        return SL_E_LIMIT;
    if (sl_slice_find(line, '\0') != line.len)
        return SL_E_INVALID;
    size_t pointers = (SL_SHELL_MAX_WORDS + 1) * sizeof(char *);
    struct splitter s = {.state = BETWEEN};
    s.out.words = sl_calloc(1, pointers + line.len + 1);
    if (!s.out.words)
        return SL_E_NOMEM;
    s.at = (char *)s.out.words + pointers;
    int rc = SL_OK;
    while (line.len) {
        rc = take(&s, line);
        if (rc < 0)
            goto fail;
        line = sl_slice_skip(line, (size_t)rc);
    }
    if (s.state == SINGLE || s.state == DOUBLE) {
        rc = SL_E_INVALID;
        goto fail;
    }
    if (s.state == WORD)
        end_word(&s);
    *out = s.out;
    return SL_OK;
fail:
    sl_free(s.out.words);
    return rc;
}
