/*
 * The document's value is written as a text that has one spelling only, in marks that cannot occur
 * in what they separate (bytes from 0xf5 on are not UTF-8, RFC 3629):
 *
 *   string, number     its bytes, a mark that says which it was
 *   true, false, null  a mark
 *   array              a mark, the elements one after the other, a mark
 *   object             a mark, a brief of its members
 *
 * A brief stands for a text of any length in at most 40 bytes: a short text for itself, a longer
 * one by its SHA-256. The members of an object are pairs of briefs, key and value, that follow each
 * other sorted by key. So an object costs a hash only when it is more than a few words long, and
 * what has to be remembered of it is 80 bytes for each member.
 *
 * A text under way belongs to the document (level 0) or to the member under way in each open
 * object. The members of all open objects lie on one stack, each object's from its `first` on.
 *
 * The outermost object stays open until the end, when it is known which of its members count.
 */
#include "sluice/wire/canonical.h"

#include "sluice/base/mem.h"
#include "sluice/base/slab.h"

enum mark {
    MARK_STRING = 0xf5,
    MARK_NUMBER,
    MARK_TRUE,
    MARK_FALSE,
    MARK_NULL,
    MARK_ARRAY,
    MARK_ARRAY_END,
    MARK_OBJECT,
};

/* A brief begins with the length of the text, or with this, and then a hash follows. */
#define HASHED 0xff
/* Sizes of briefs. Keys are words; most values fit that hold nothing but words and one hash. */
#define KEY_SIZE   40
#define VALUE_SIZE 120
#define HELD_MAX   128
/* A handful of nested objects with a handful of members need no second allocation. */
#define FIRST_LEVELS  8
#define FIRST_MEMBERS 16
/* Up to here the simplest sort is the fastest. */
#define FEW 16u

/* A text under way: what was not hashed yet. */
struct text {
    size_t len;
    bool hashing;
    uint8_t held[HELD_MAX];
    struct sl_sha256 hash;
};

struct level {
    uint32_t first; /* of its members on the stack */
    struct text value;
};

struct member {
    uint8_t key[KEY_SIZE]; /* zero behind the brief, so that keys compare as a whole */
    uint8_t value[VALUE_SIZE];
};

struct sl_canonical {
    int error;
    bool complete; /* the document is over */
    bool object;   /* and it is an object, whose members wait on the stack */
    struct text key;
    struct level *levels;
    uint32_t open, level_cap;
    struct member *members;
    uint32_t count, member_cap;
    struct level first_levels[FIRST_LEVELS]; /* until more are needed */
    struct member first_members[FIRST_MEMBERS];
};

/* Bodies that arrive at once. */
static _Thread_local struct sl_slab slab = {.size = sizeof(struct sl_canonical), .keep = 256};

static void text_init(struct text *t) {
    t->len = 0;
    t->hashing = false;
}

static void spill(struct text *t, const void *bytes, size_t len) {
    if (!t->hashing)
        sl_sha256_init(&t->hash);
    t->hashing = true;
    if (t->len > 0)
        sl_sha256_update(&t->hash, sl_slice_of(t->held, t->len));
    t->len = 0;
    if (len >= HELD_MAX) {
        sl_sha256_update(&t->hash, sl_slice_of(bytes, len));
    } else {
        memcpy(t->held, bytes, len);
        t->len = len;
    }
}

static void put(struct text *t, const void *bytes, size_t len) {
    if (len > HELD_MAX - t->len) {
        spill(t, bytes, len);
    } else if (len > 0) {
        memcpy(t->held + t->len, bytes, len);
        t->len += len;
    }
}

static void put_mark(struct text *t, enum mark mark) {
    uint8_t byte = (uint8_t)mark;
    put(t, &byte, 1);
}

static void put_brief(struct text *t, const uint8_t *brief) {
    put(t, brief, 1 + (brief[0] == HASHED ? SL_SHA256_SIZE : (size_t)brief[0]));
}

static void text_digest(struct text *t, uint8_t digest[SL_SHA256_SIZE]) {
    if (!t->hashing)
        sl_sha256_init(&t->hash);
    sl_sha256_update(&t->hash, sl_slice_of(t->held, t->len));
    sl_sha256_final(&t->hash, digest);
    text_init(t);
}

/* The text is over; the next one may begin. */
static void text_brief(struct text *t, uint8_t *out, size_t size) {
    if (t->hashing || t->len >= size) {
        out[0] = HASHED;
        text_digest(t, out + 1);
        return;
    }
    out[0] = (uint8_t)t->len;
    memcpy(out + 1, t->held, t->len);
    text_init(t);
}

static void text_key(struct text *t, uint8_t key[KEY_SIZE]) {
    memset(key, 0, KEY_SIZE);
    text_brief(t, key, KEY_SIZE);
}

/* Members are sorted by a number made of the key, which compares faster than the key does; only
 * keys made for it on purpose share one. */
struct place {
    uint64_t rank;
    const struct member *member;
};

static uint64_t rank_of(const uint8_t key[KEY_SIZE]) {
    uint64_t words[KEY_SIZE / sizeof(uint64_t)], rank = 0;
    memcpy(words, key, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        rank = (rank ^ words[i]) * UINT64_C(0x9e3779b97f4a7c15);
        rank ^= rank >> 32;
    }
    return rank;
}

static int compare(const struct place *a, const struct place *b) {
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return memcmp(a->member->key, b->member->key, KEY_SIZE);
}

static void sort_few(struct place *places, size_t count) {
    for (size_t i = 1; i < count; i++) {
        struct place moved = places[i];
        size_t at = i;
        for (; at > 0 && compare(&moved, &places[at - 1]) < 0; at--)
            places[at] = places[at - 1];
        places[at] = moved;
    }
}

static void merge(const struct place *from, size_t middle, size_t count, struct place *to) {
    size_t left = 0, right = middle;
    while (left < middle && right < count)
        *to++ = compare(&from[right], &from[left]) < 0 ? from[right++] : from[left++];
    memcpy(to, from + left, (middle - left) * sizeof(*from));
    to += middle - left;
    memcpy(to, from + right, (count - right) * sizeof(*from));
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Sorts with as much room again behind the places; returns where they are then. */
static struct place *sort_many(struct place *places, size_t count) {
    struct place *from = places, *to = places + count;
    for (size_t i = 0; i < count; i += FEW)
        sort_few(from + i, least(FEW, count - i));
    for (size_t width = FEW; width < count; width *= 2) {
        for (size_t i = 0; i < count; i += 2 * width)
            merge(from + i, least(width, count - i), least(2 * width, count - i), to + i);
        struct place *turn = from;
        from = to;
        to = turn;
    }
    return from;
}

/* What of the outermost object does not count. */
struct without {
    const uint8_t *keys; /* KEY_SIZE bytes each */
    size_t count;
};

static bool is_without(const struct without *w, const uint8_t key[KEY_SIZE]) {
    for (size_t i = 0; i < w->count; i++)
        if (memcmp(w->keys + i * KEY_SIZE, key, KEY_SIZE) == 0)
            return true;
    return false;
}

static int put_sorted(struct text *to, const struct place *places, size_t count,
                      const struct without *without) {
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare(&places[i - 1], &places[i]) == 0)
            return SL_E_INVALID;
        if (is_without(without, places[i].member->key))
            continue;
        put_brief(to, places[i].member->key);
        put_brief(to, places[i].member->value);
    }
    return 0;
}

static int put_members(struct text *to, const struct member *members, size_t count,
                       const struct without *without) {
    struct place few[FEW], *places = few, *sorted = few;
    if (count > FEW)
        places = sl_alloc(2 * count * sizeof(*places));
    if (!places)
        return SL_E_NOMEM;
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){rank_of(members[i].key), &members[i]};
    if (count > FEW)
        sorted = sort_many(places, count);
    else
        sort_few(few, count);
    int rc = put_sorted(to, sorted, count, without);
    if (places != few)
        sl_free(places);
    return rc;
}

struct sl_canonical *sl_canonical_new(void) {
    struct sl_canonical *c = sl_slab_take(&slab);
    if (!c)
        return NULL;
    c->error = 0;
    c->complete = c->object = false;
    text_init(&c->key);
    c->levels = c->first_levels;
    c->members = c->first_members;
    c->level_cap = FIRST_LEVELS;
    c->member_cap = FIRST_MEMBERS;
    c->open = c->count = 0;
    c->levels[0].first = 0;
    text_init(&c->levels[0].value);
    return c;
}

void sl_canonical_free(struct sl_canonical *c) {
    if (!c)
        return;
    if (c->levels != c->first_levels)
        sl_free(c->levels);
    if (c->members != c->first_members)
        sl_free(c->members);
    sl_slab_give(&slab, c);
}

/* Twice the room of an array that began within the digest itself; NULL: out of memory. */
static void *grow(void *array, const void *first, size_t size) {
    if (array != first)
        return sl_realloc(array, 2 * size);
    void *larger = sl_alloc(2 * size);
    return larger ? memcpy(larger, first, size) : NULL;
}

static int open_object(struct sl_canonical *c) {
    if (++c->open == c->level_cap) {
        struct level *levels = grow(c->levels, c->first_levels, c->level_cap * sizeof(*levels));
        if (!levels)
            return SL_E_NOMEM;
        c->levels = levels;
        c->level_cap *= 2; /* the tokenizer limits the depth */
    }
    c->levels[c->open].first = c->count;
    text_init(&c->levels[c->open].value);
    return 0;
}

static int push_member(struct sl_canonical *c) {
    if (c->count == SL_CANONICAL_MEMBERS)
        return SL_E_LIMIT;
    if (c->count == c->member_cap) {
        struct member *members =
            grow(c->members, c->first_members, c->member_cap * sizeof(*members));
        if (!members)
            return SL_E_NOMEM;
        c->members = members;
        c->member_cap *= 2;
    }
    text_key(&c->key, c->members[c->count++].key);
    return 0;
}

/* The value of the newest member, if there is one, is complete. */
static void end_member(struct sl_canonical *c, struct level *level) {
    if (c->count > level->first)
        text_brief(&level->value, c->members[c->count - 1].value, VALUE_SIZE);
}

static int on_key(struct sl_canonical *c, const struct sl_json_token *token) {
    put(&c->key, token->text.ptr, token->text.len);
    if (!token->last)
        return 0;
    end_member(c, &c->levels[c->open]);
    return push_member(c);
}

static int close_object(struct sl_canonical *c, bool outermost) {
    static const struct without nothing = {0};
    struct level *level = &c->levels[c->open--];
    struct text *value = &c->levels[c->open].value;
    end_member(c, level);
    if (outermost) {
        c->object = true;
        return 0;
    }
    struct text members;
    uint8_t brief[VALUE_SIZE];
    text_init(&members);
    int rc = put_members(&members, c->members + level->first, c->count - level->first, &nothing);
    if (rc != 0)
        return rc;
    c->count = level->first;
    text_brief(&members, brief, sizeof(brief));
    put_mark(value, MARK_OBJECT);
    put_brief(value, brief);
    return 0;
}

static void put_piece(struct text *to, const struct sl_json_token *token, enum mark mark) {
    put(to, token->text.ptr, token->text.len);
    if (token->last)
        put_mark(to, mark);
}

static int take(struct sl_canonical *c, const struct sl_json_token *token) {
    struct text *value = &c->levels[c->open].value;
    switch (token->event) {
    case SL_JSON_KEY:
        return on_key(c, token);
    case SL_JSON_OBJECT_BEGIN:
        return open_object(c);
    case SL_JSON_OBJECT_END:
        return close_object(c, token->depth == 0);
    case SL_JSON_ARRAY_BEGIN:
        put_mark(value, MARK_ARRAY);
        return 0;
    case SL_JSON_ARRAY_END:
        put_mark(value, MARK_ARRAY_END);
        return 0;
    case SL_JSON_STRING:
        put_piece(value, token, MARK_STRING);
        return 0;
    case SL_JSON_NUMBER:
        put_piece(value, token, MARK_NUMBER);
        return 0;
    case SL_JSON_TRUE:
        put_mark(value, MARK_TRUE);
        return 0;
    case SL_JSON_FALSE:
        put_mark(value, MARK_FALSE);
        return 0;
    case SL_JSON_NULL:
        put_mark(value, MARK_NULL);
        return 0;
    }
    return SL_E_INVALID;
}

int sl_canonical_token(struct sl_canonical *c, const struct sl_json_token *token) {
    if (c->error != 0)
        return c->error;
    c->error = take(c, token);
    bool opens = token->event == SL_JSON_OBJECT_BEGIN || token->event == SL_JSON_ARRAY_BEGIN;
    c->complete = token->depth == 0 && token->last && !opens;
    return c->error;
}

static int put_outermost(struct sl_canonical *c, const struct sl_slice *names, size_t count) {
    uint8_t *keys = count > 0 ? sl_alloc(count * KEY_SIZE) : NULL;
    if (count > 0 && !keys)
        return SL_E_NOMEM;
    for (size_t i = 0; i < count; i++) {
        put(&c->key, names[i].ptr, names[i].len);
        text_key(&c->key, keys + i * KEY_SIZE);
    }
    const struct without without = {keys, count};
    put_mark(&c->levels[0].value, MARK_OBJECT);
    int rc = put_members(&c->levels[0].value, c->members, c->count, &without);
    sl_free(keys);
    return rc;
}

int sl_canonical_finish(struct sl_canonical *c, const struct sl_slice *without, size_t count,
                        uint8_t digest[32]) {
    if (c->error == 0 && !c->complete)
        c->error = SL_E_EOF;
    if (c->error == 0 && c->object)
        c->error = put_outermost(c, without, count);
    if (c->error != 0)
        return c->error;
    text_digest(&c->levels[0].value, digest);
    c->error = SL_E_EOF; /* nothing of it is left */
    return 0;
}
