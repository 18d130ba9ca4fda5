/*
 * Answers and their readers. A packed answer has all of its bytes in one piece that somebody else
 * owns (a kept answer's block): a reader needs no more than its offset then, and nothing is
 * dropped.
 */
#include "sluice/answer/answer.h"

#include <assert.h>

/* The one setter of an answer's state; every legal change stands here. */
static void set_state(struct sl_answer *answer, enum sl_answer_state to) {
    static const unsigned char legal[][4] = {
        [SL_ANSWER_NEW] = {[SL_ANSWER_GROWING] = 1, [SL_ANSWER_BROKEN] = 1},
        [SL_ANSWER_GROWING] = {[SL_ANSWER_DONE] = 1, [SL_ANSWER_BROKEN] = 1},
        [SL_ANSWER_DONE] = {0},
        [SL_ANSWER_BROKEN] = {0},
    };
    assert(legal[answer->state][to]);
    answer->state = to;
}

static void tell_readers(struct sl_answer *answer) {
    SL_LIST_EACH(&answer->readers, node, next) {
        struct sl_reader *reader = SL_CONTAINER(node, struct sl_reader, link);
        reader->on_change(reader->ctx);
    }
}

void sl_answer_init(struct sl_answer *answer, struct sl_arena *arena, struct sl_budget *budget) {
    *answer = (struct sl_answer){.state = SL_ANSWER_NEW, .arena = arena};
    sl_chain_init(&answer->body, budget);
    sl_list_init(&answer->readers);
}

void sl_answer_init_packed(struct sl_answer *answer, const struct sl_response_head *head,
                           struct sl_slice body) {
    sl_answer_init(answer, NULL, NULL);
    answer->packed = body;
    answer->published = body.len;
    sl_answer_set_head(answer, head);
    set_state(answer, SL_ANSWER_DONE);
}

void sl_answer_done(struct sl_answer *answer) {
    assert(sl_list_empty(&answer->readers));
    sl_chain_done(&answer->body);
}

void sl_answer_set_head(struct sl_answer *answer, const struct sl_response_head *head) {
    answer->head = *head;
    set_state(answer, SL_ANSWER_GROWING);
    tell_readers(answer);
}

int sl_answer_add(struct sl_answer *answer, struct sl_slice bytes) {
    assert(answer->state == SL_ANSWER_NEW || answer->state == SL_ANSWER_GROWING);
    return sl_chain_add(&answer->body, bytes);
}

void sl_answer_publish(struct sl_answer *answer, uint64_t upto) {
    assert(upto >= answer->published && upto <= answer->body.end);
    if (upto == answer->published)
        return;
    answer->published = upto;
    tell_readers(answer);
}

void sl_answer_finish(struct sl_answer *answer) {
    answer->published = answer->body.end;
    set_state(answer, SL_ANSWER_DONE);
    tell_readers(answer);
}

void sl_answer_break(struct sl_answer *answer) {
    set_state(answer, SL_ANSWER_BROKEN);
    tell_readers(answer);
}

void sl_answer_truncate(struct sl_answer *answer) {
    sl_chain_truncate(&answer->body, answer->published);
}

uint64_t sl_answer_lag(const struct sl_answer *answer) {
    uint64_t lag = UINT64_MAX;
    if (sl_list_empty(&answer->readers))
        return 0;
    SL_LIST_EACH(&answer->readers, node, next) {
        struct sl_reader *reader = SL_CONTAINER(node, struct sl_reader, link);
        uint64_t behind = answer->published - reader->cursor.offset;
        if (behind < lag)
            lag = behind;
    }
    return lag;
}

/* Where the slowest reader stands; without one, where the bytes begin. */
static uint64_t slowest_of(const struct sl_answer *answer) {
    uint64_t slowest = answer->published;
    if (sl_list_empty(&answer->readers))
        return answer->body.begin;
    SL_LIST_EACH(&answer->readers, node, next) {
        struct sl_reader *reader = SL_CONTAINER(node, struct sl_reader, link);
        if (reader->cursor.offset < slowest)
            slowest = reader->cursor.offset;
    }
    return slowest;
}

/* Drops what every reader has taken. */
static void trim(struct sl_answer *answer) {
    if (!answer->retained)
        sl_chain_drop(&answer->body, slowest_of(answer));
}

uint64_t sl_answer_held(const struct sl_answer *answer) {
    return (answer->packed.ptr ? answer->packed.len : answer->body.end) - slowest_of(answer);
}

void sl_answer_let_go(struct sl_answer *answer) {
    answer->retained = false;
    trim(answer);
}

void sl_reader_init(struct sl_reader *reader, void (*on_change)(void *ctx), void *ctx) {
    *reader = (struct sl_reader){.on_change = on_change, .ctx = ctx};
    sl_list_init(&reader->link);
}

bool sl_reader_attach(struct sl_reader *reader, struct sl_answer *answer) {
    assert(!reader->answer);
    if (answer->body.begin > 0)
        return false;
    reader->answer = answer;
    reader->cursor = (struct sl_chain_cursor){0};
    sl_list_push_back(&answer->readers, &reader->link);
    return true;
}

void sl_reader_detach(struct sl_reader *reader) {
    if (!reader->answer)
        return;
    sl_list_remove(&reader->link);
    reader->answer = NULL;
}

/* Cuts the slices so that none reaches past `room` bytes. */
static size_t cut(struct sl_slice *slices, size_t count, uint64_t room) {
    for (size_t i = 0; i < count; i++) {
        if (slices[i].len >= room) {
            slices[i].len = (size_t)room;
            return room ? i + 1 : i;
        }
        room -= slices[i].len;
    }
    return count;
}

size_t sl_reader_peek(struct sl_reader *reader, struct sl_slice *out, size_t max, bool *end) {
    struct sl_answer *answer = reader->answer;
    uint64_t room = answer->published - reader->cursor.offset, given = 0;
    size_t count = 0;
    if (answer->packed.ptr && room > 0 && max > 0)
        out[count++] = sl_slice_skip(answer->packed, (size_t)reader->cursor.offset);
    else if (room > 0)
        count = cut(out, sl_chain_peek(&answer->body, &reader->cursor, out, max), room);
    for (size_t i = 0; i < count; i++)
        given += out[i].len;
    *end = answer->state == SL_ANSWER_DONE && given == room;
    return count;
}

void sl_reader_advance(struct sl_reader *reader, size_t n) {
    struct sl_answer *answer = reader->answer;
    if (answer->packed.ptr) {
        assert(n <= answer->packed.len - reader->cursor.offset);
        reader->cursor.offset += n;
        return;
    }
    sl_chain_advance(&answer->body, &reader->cursor, n);
    trim(answer);
}
