/*
 * Conversations kept for the REST dialect: what was said so far under a name, and what it cost.
 * Each belongs to one tenant; another's session of the same name is another session.
 *
 *   begin ──▶ (the model answers) ──▶ commit: the turn becomes part of the conversation
 *                                └──▶ cancel: nothing happened
 *
 * A session has at most one turn under way. Bounded in number and bytes: the session unused for
 * longest makes room. In memory only. Times are seconds of any clock, the same for all calls.
 */
#ifndef SLUICE_DIALECT_SESSIONS_H
#define SLUICE_DIALECT_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

struct sl_sessions;

struct sl_sessions_settings {
    size_t count;         /* sessions */
    size_t bytes;         /* of all of them, with what keeping them takes */
    size_t session_bytes; /* of one; its oldest turns are dropped beyond */
    uint64_t idle_s;      /* a session unused for so long is forgotten */
    uint64_t turn_s;      /* a turn not heard of for so long no longer keeps others out */
};

/* Fits an ordinary gateway: ten thousand conversations in 64 MiB. */
#define SL_SESSIONS_DEFAULT                                                                        \
    ((struct sl_sessions_settings){                                                                \
        .count = 10000,                                                                            \
        .bytes = (size_t)64 << 20,                                                                 \
        .session_bytes = (size_t)256 << 10,                                                        \
        .idle_s = 30 * 60,                                                                         \
        .turn_s = 15 * 60,                                                                         \
    })

/* The longest name; names are any bytes. */
#define SL_SESSION_NAME_MAX 256

/* What a conversation used, over all its turns, those dropped included. */
struct sl_session_totals {
    int64_t input, output; /* tokens */
    int64_t cost;          /* nano-dollars; negative once a turn's cost was unknown */
    uint64_t turns;
};

/* A turn under way. Plain data: a turn whose session is gone is without effect. */
struct sl_session_turn {
    struct sl_sessions *sessions;
    uint64_t hash, id; /* of the session, and of this turn in it */
};

struct sl_session_said {
    struct sl_slice user, assistant;
};

struct sl_sessions *sl_sessions_new(const struct sl_sessions_settings *settings); /* NULL: memory */
void sl_sessions_free(struct sl_sessions *sessions);
/* Finds the session or makes it. SL_E_EXISTS: a turn is under way in it. SL_E_LIMIT: there is no
 * room, all sessions being in use. SL_E_INVALID: no such name is possible. SL_E_NOMEM. */
SL_NODISCARD int sl_sessions_begin(struct sl_sessions *sessions, uint64_t tenant,
                                   struct sl_slice name, uint64_t now,
                                   struct sl_session_turn *turn);
/* What was said before this turn: number i, the oldest first; false at the end. Slices live until
 * the next call that changes sessions. */
bool sl_session_said(const struct sl_session_turn *turn, size_t i, struct sl_session_said *said);
/* The system prompt it was last given; empty: none. Lives likewise. */
struct sl_slice sl_session_system(const struct sl_session_turn *turn);
/*
 * The turn is complete. A negative number in `used` is unknown (and counts as none; an unknown
 * cost makes the total unknown); `used->turns` is ignored. *totals is filled in any case: with this
 * turn alone when the session was deleted meanwhile. A turn too large to keep, one for
 * which there is no memory, and one in which a side said nothing (models refuse blank text) is only
 * counted.
 */
void sl_session_commit(struct sl_session_turn *turn, struct sl_slice system, struct sl_slice user,
                       struct sl_slice assistant, const struct sl_session_totals *used,
                       uint64_t now, struct sl_session_totals *totals);
/* The turn is over without an answer. Without effect after commit, or on a zeroed turn. */
void sl_session_cancel(struct sl_session_turn *turn);
/* Forgets a session, with the turn under way in it. False: there is none. */
bool sl_sessions_delete(struct sl_sessions *sessions, uint64_t tenant, struct sl_slice name,
                        uint64_t now);
size_t sl_sessions_count(const struct sl_sessions *sessions);
size_t sl_sessions_bytes(const struct sl_sessions *sessions);

#endif
