/*
 * Sessions hang in a table, by a hash of tenant and name, and in one list, the one used last in
 * front: what is forgotten, for age or for room, is taken from its end.
 */
#include "sluice/dialect/sessions.h"

#include "sluice/base/list.h"
#include "sluice/base/mem.h"
#include "sluice/base/table.h"

struct said {
    struct sl_list link;
    size_t user, assistant; /* lengths; the bytes follow */
    char bytes[];
};

struct session {
    struct sl_table_node node;
    struct sl_list link;
    struct sl_list said; /* the oldest first */
    uint64_t tenant;
    uint64_t turn; /* under way; 0: none */
    uint64_t turn_began, used;
    size_t bytes; /* of all that it holds */
    char *system;
    size_t system_len;
    struct sl_session_totals totals;
    size_t name_len;
    char name[];
};

struct sl_sessions {
    struct sl_sessions_settings settings;
    struct sl_table table;
    struct sl_list by_use;
    size_t bytes;
    uint64_t next_turn;
};

static struct session *of_link(struct sl_list *link) {
    return SL_CONTAINER(link, struct session, link);
}

static size_t said_size(const struct said *said) {
    return sizeof(*said) + said->user + said->assistant;
}

static void count_bytes(struct sl_sessions *sessions, struct session *s, size_t more) {
    s->bytes += more;
    sessions->bytes += more;
}

static void uncount_bytes(struct sl_sessions *sessions, struct session *s, size_t less) {
    s->bytes -= less;
    sessions->bytes -= less;
}

static void drop_said(struct sl_sessions *sessions, struct session *s, struct said *said) {
    uncount_bytes(sessions, s, said_size(said));
    sl_list_remove(&said->link);
    sl_free(said);
}

static void forget(struct sl_sessions *sessions, struct session *s) {
    SL_LIST_EACH(&s->said, link, next) {
        drop_said(sessions, s, SL_CONTAINER(link, struct said, link));
    }
    sessions->bytes -= s->bytes;
    sl_list_remove(&s->link);
    sl_table_remove(&sessions->table, &s->node);
    sl_free(s->system);
    sl_free(s);
}

struct sl_sessions *sl_sessions_new(const struct sl_sessions_settings *settings) {
    struct sl_sessions *sessions = sl_calloc(1, sizeof(*sessions));
    if (!sessions)
        return NULL;
    sessions->settings = *settings;
    sl_list_init(&sessions->by_use);
    if (sl_table_init(&sessions->table) != SL_OK) {
        sl_free(sessions);
        return NULL;
    }
    return sessions;
}

void sl_sessions_free(struct sl_sessions *sessions) {
    if (!sessions)
        return;
    SL_LIST_EACH(&sessions->by_use, link, next) {
        forget(sessions, of_link(link));
    }
    sl_table_done(&sessions->table);
    sl_free(sessions);
}

/* The later of two times minus the earlier: a clock set back makes nothing old. */
static uint64_t age(uint64_t now, uint64_t then) {
    return now > then ? now - then : 0;
}

static bool in_turn(const struct sl_sessions *sessions, const struct session *s, uint64_t now) {
    return s->turn != 0 && age(now, s->turn_began) < sessions->settings.turn_s;
}

static void expire(struct sl_sessions *sessions, uint64_t now) {
    while (!sl_list_empty(&sessions->by_use)) {
        struct session *s = of_link(sessions->by_use.prev);
        if (age(now, s->used) < sessions->settings.idle_s || in_turn(sessions, s, now))
            return;
        forget(sessions, s);
    }
}

/* Forgets the session unused for longest, but not `keep` and none whose turn is under way. */
static bool evict(struct sl_sessions *sessions, const struct session *keep, uint64_t now) {
    for (struct sl_list *l = sessions->by_use.prev; l != &sessions->by_use; l = l->prev) {
        struct session *s = of_link(l);
        if (s == keep || in_turn(sessions, s, now))
            continue;
        forget(sessions, s);
        return true;
    }
    return false;
}

static uint64_t hash_of(uint64_t tenant, struct sl_slice name) {
    return sl_hash(name) ^ tenant * UINT64_C(0x9e3779b97f4a7c15);
}

static struct session *find(const struct sl_sessions *sessions, uint64_t tenant,
                            struct sl_slice name) {
    struct sl_table_node *node = sl_table_find(&sessions->table, hash_of(tenant, name));
    for (; node; node = sl_table_find_next(node)) {
        struct session *s = SL_CONTAINER(node, struct session, node);
        if (s->tenant == tenant && sl_slice_eq(sl_slice_of(s->name, s->name_len), name))
            return s;
    }
    return NULL;
}

static struct session *find_turn(const struct sl_session_turn *turn) {
    struct sl_table_node *node =
        turn->sessions ? sl_table_find(&turn->sessions->table, turn->hash) : NULL;
    for (; node; node = sl_table_find_next(node)) {
        struct session *s = SL_CONTAINER(node, struct session, node);
        if (turn->id != 0 && s->turn == turn->id)
            return s;
    }
    return NULL;
}

static int add(struct sl_sessions *sessions, uint64_t tenant, struct sl_slice name, uint64_t now,
               struct session **out) {
    size_t size = sizeof(struct session) + name.len;
    while (sessions->table.count >= sessions->settings.count ||
           sessions->bytes + size > sessions->settings.bytes)
        if (!evict(sessions, NULL, now))
            return SL_E_LIMIT;
    struct session *s = sl_calloc(1, size);
    if (!s)
        return SL_E_NOMEM;
    s->tenant = tenant;
    s->name_len = name.len;
    memcpy(s->name, name.ptr, name.len);
    sl_list_init(&s->said);
    sl_list_init(&s->link);
    sl_list_push_front(&sessions->by_use, &s->link);
    sl_table_insert(&sessions->table, &s->node, hash_of(tenant, name));
    count_bytes(sessions, s, size);
    *out = s;
    return SL_OK;
}

static void touch(struct sl_sessions *sessions, struct session *s, uint64_t now) {
    s->used = now;
    sl_list_remove(&s->link);
    sl_list_push_front(&sessions->by_use, &s->link);
}

int sl_sessions_begin(struct sl_sessions *sessions, uint64_t tenant, struct sl_slice name,
                      uint64_t now, struct sl_session_turn *turn) {
    if (name.len == 0 || name.len > SL_SESSION_NAME_MAX)
        return SL_E_INVALID;
    expire(sessions, now);
    struct session *s = find(sessions, tenant, name);
    if (s && in_turn(sessions, s, now))
        return SL_E_EXISTS;
    int err = s ? SL_OK : add(sessions, tenant, name, now, &s);
    if (err)
        return err;
    touch(sessions, s, now);
    s->turn = ++sessions->next_turn;
    s->turn_began = now;
    *turn = (struct sl_session_turn){sessions, s->node.hash, s->turn};
    return SL_OK;
}

bool sl_session_said(const struct sl_session_turn *turn, size_t i, struct sl_session_said *out) {
    struct session *s = find_turn(turn);
    if (!s)
        return false;
    SL_LIST_EACH(&s->said, link, next) {
        const struct said *said = SL_CONTAINER(link, struct said, link);
        if (i-- > 0)
            continue;
        out->user = sl_slice_of(said->bytes, said->user);
        out->assistant = sl_slice_of(said->bytes + said->user, said->assistant);
        return true;
    }
    return false;
}

struct sl_slice sl_session_system(const struct sl_session_turn *turn) {
    const struct session *s = find_turn(turn);
    return s && s->system ? sl_slice_of(s->system, s->system_len) : SL_EMPTY;
}

static void add_totals(struct sl_session_totals *totals, const struct sl_session_totals *used) {
    totals->turns++;
    if (used->input > 0 && __builtin_add_overflow(totals->input, used->input, &totals->input))
        totals->input = INT64_MAX;
    if (used->output > 0 && __builtin_add_overflow(totals->output, used->output, &totals->output))
        totals->output = INT64_MAX;
    if (totals->cost < 0 || used->cost < 0)
        totals->cost = -1;
    else if (__builtin_add_overflow(totals->cost, used->cost, &totals->cost))
        totals->cost = INT64_MAX;
}

/* Drops the oldest turns, then other sessions, until both bounds hold. */
static void make_room(struct sl_sessions *sessions, struct session *s, uint64_t now) {
    while (s->bytes > sessions->settings.session_bytes ||
           sessions->bytes > sessions->settings.bytes) {
        bool others = s->bytes <= sessions->settings.session_bytes && evict(sessions, s, now);
        struct sl_list *oldest = others ? NULL : sl_list_first(&s->said);
        if (oldest)
            drop_said(sessions, s, SL_CONTAINER(oldest, struct said, link));
        else if (!others)
            return; /* the rest is its name and system prompt, bounded where they are taken */
    }
}

static void keep_system(struct sl_sessions *sessions, struct session *s, struct sl_slice system) {
    if (sl_slice_eq(system, sl_slice_of(s->system ? s->system : "", s->system_len)) ||
        system.len > sessions->settings.session_bytes / 2)
        return;
    char *copy = sl_strndup(system.ptr, system.len);
    if (!copy)
        return;
    uncount_bytes(sessions, s, s->system_len);
    sl_free(s->system);
    s->system = copy;
    s->system_len = system.len;
    count_bytes(sessions, s, system.len);
}

static void keep_said(struct sl_sessions *sessions, struct session *s, struct sl_slice user,
                      struct sl_slice assistant) {
    struct said *said = sl_alloc(sizeof(*said) + user.len + assistant.len);
    if (!said)
        return;
    said->user = user.len;
    said->assistant = assistant.len;
    memcpy(said->bytes, user.ptr, user.len);
    memcpy(said->bytes + user.len, assistant.ptr, assistant.len);
    sl_list_push_back(&s->said, &said->link);
    count_bytes(sessions, s, said_size(said));
}

void sl_session_commit(struct sl_session_turn *turn, struct sl_slice system, struct sl_slice user,
                       struct sl_slice assistant, const struct sl_session_totals *used,
                       uint64_t now, struct sl_session_totals *totals) {
    struct session *s = find_turn(turn);
    *totals = (struct sl_session_totals){0};
    if (!s) {
        add_totals(totals, used);
        return;
    }
    s->turn = 0;
    add_totals(&s->totals, used);
    *totals = s->totals;
    touch(turn->sessions, s, now);
    keep_system(turn->sessions, s, system);
    if (user.len > 0 && assistant.len > 0)
        keep_said(turn->sessions, s, user, assistant);
    make_room(turn->sessions, s, now);
}

void sl_session_cancel(struct sl_session_turn *turn) {
    struct session *s = find_turn(turn);
    if (!s)
        return;
    s->turn = 0;
    if (s->totals.turns == 0)
        forget(turn->sessions, s); /* it was made for this turn */
}

bool sl_sessions_delete(struct sl_sessions *sessions, uint64_t tenant, struct sl_slice name,
                        uint64_t now) {
    expire(sessions, now);
    struct session *s = find(sessions, tenant, name);
    if (!s)
        return false;
    forget(sessions, s);
    return true;
}

size_t sl_sessions_count(const struct sl_sessions *sessions) {
    return sessions->table.count;
}

size_t sl_sessions_bytes(const struct sl_sessions *sessions) {
    return sessions->bytes;
}
