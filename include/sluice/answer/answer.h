/*
 * An answer: the growing record of what upstream said, with readers. A reader on an answer that is
 * done, growing or new is one and the same thing.
 *
 *        begin        kept from here         published        end
 *          |·············|=======================|~~~~~~~~~~~~~|
 *                        ^ slowest reader        ^ whole frames only go to readers
 *
 *   NEW ──head──▶ GROWING ──▶ DONE       nothing follows; the bytes are complete
 *     └─────────────┴───────▶ BROKEN     nothing follows; the bytes are not complete
 *
 * Bytes that every reader has taken are dropped, as long as somebody reads, unless the answer is
 * retained: then who joins late still gets it from the first byte.
 */
#ifndef SLUICE_ANSWER_ANSWER_H
#define SLUICE_ANSWER_ANSWER_H

#include "sluice/base/arena.h"
#include "sluice/base/chain.h"
#include "sluice/base/list.h"
#include "sluice/core/message.h"

enum sl_answer_state { SL_ANSWER_NEW, SL_ANSWER_GROWING, SL_ANSWER_DONE, SL_ANSWER_BROKEN };

struct sl_answer {
    enum sl_answer_state state;
    struct sl_arena *arena; /* of the head; the owner's */
    struct sl_response_head head;
    struct sl_chain body;
    struct sl_slice packed; /* of a kept answer: all of the body, instead of the chain */
    uint64_t published;     /* readers see bytes up to here */
    bool retained;          /* nothing is dropped; may be given up later, never taken up again */
    struct sl_list readers;
};

struct sl_reader {
    struct sl_list link;
    struct sl_answer *answer; /* NULL: not attached */
    struct sl_chain_cursor cursor;
    void (*on_change)(void *ctx); /* head, bytes, or state are new: mark ready, do nothing else */
    void *ctx;
};

/* Head bytes come from arena, body bytes count against budget. */
void sl_answer_init(struct sl_answer *answer, struct sl_arena *arena, struct sl_budget *budget);
/* A DONE answer over a head and a body that the caller keeps for as long as the answer lives. */
void sl_answer_init_packed(struct sl_answer *answer, const struct sl_response_head *head,
                           struct sl_slice body);
/* No reader may be left. */
void sl_answer_done(struct sl_answer *answer);
/* Takes the head, whose slices live in the answer's arena; NEW → GROWING. */
void sl_answer_set_head(struct sl_answer *answer, const struct sl_response_head *head);
/* Appends without publishing. */
SL_NODISCARD int sl_answer_add(struct sl_answer *answer, struct sl_slice bytes);
/* Shows readers the bytes up to `upto`, counted from the first ever. */
void sl_answer_publish(struct sl_answer *answer, uint64_t upto);
/* Publishes everything; → DONE. */
void sl_answer_finish(struct sl_answer *answer);
/* What was not published stays unseen; → BROKEN. */
void sl_answer_break(struct sl_answer *answer);
/* Bytes added and never published are dropped, so that an end frame can follow whole ones. */
void sl_answer_truncate(struct sl_answer *answer);
/* Bytes held from the slowest reader's position on; with none, all that is held. */
uint64_t sl_answer_held(const struct sl_answer *answer);
/* Retained no longer: what every reader has taken goes at once. */
void sl_answer_let_go(struct sl_answer *answer);
/* Published bytes that the fastest reader has yet to take; 0 with no reader. */
uint64_t sl_answer_lag(const struct sl_answer *answer);

void sl_reader_init(struct sl_reader *reader, void (*on_change)(void *ctx), void *ctx);
/* Starts at the first byte; false when that has been dropped already. */
SL_NODISCARD bool sl_reader_attach(struct sl_reader *reader, struct sl_answer *answer);
void sl_reader_detach(struct sl_reader *reader); /* safe when not attached */
/* Published bytes from where the reader stands; *end when they are the last of a DONE answer. */
size_t sl_reader_peek(struct sl_reader *reader, struct sl_slice *out, size_t max, bool *end);
void sl_reader_advance(struct sl_reader *reader, size_t n);

#endif
