/*
 * An address is known by its keyed 64-bit hash alone: two that share one by chance share a count,
 * which harms nobody, and no address is kept.
 */
#include "keys/failures.h"

#include <arpa/inet.h>

#include "sluice/base/mem.h"

#define V6_PREFIX   8  /* bytes: one subscriber has a /64, and all of its addresses */
#define V4_IN_V6    12 /* ::ffff:192.0.2.1 (RFC 4291 2.5.5.2) */
#define ADDRESS_MAX 64

struct entry {
    struct sl_table_node node;
    struct sl_list link;
    uint64_t since;
    uint32_t count;
};

static struct entry *entry_of(struct sl_table_node *node) {
    return SL_CONTAINER(node, struct entry, node);
}

int sl_failures_init(struct sl_failures *failures) {
    sl_list_init(&failures->oldest);
    return sl_table_init(&failures->table);
}

static void forget(struct sl_failures *failures, struct entry *e) {
    sl_table_remove(&failures->table, &e->node);
    sl_list_remove(&e->link);
    sl_free(e);
}

void sl_failures_done(struct sl_failures *failures) {
    SL_LIST_EACH(&failures->oldest, node, next) {
        forget(failures, SL_CONTAINER(node, struct entry, link));
    }
    sl_table_done(&failures->table);
}

/* "[2001:db8::1]:4711", "192.0.2.1:4711" and the same without ports. */
static struct sl_slice without_port(struct sl_slice address) {
    if (sl_slice_starts(address, SL_LIT("["))) {
        address = sl_slice_skip(address, 1);
        return sl_slice_head(address, sl_slice_find(address, ']'));
    }
    size_t colon = sl_slice_find(address, ':');
    struct sl_slice port = sl_slice_skip(address, colon + 1);
    return sl_slice_find(port, ':') == port.len ? sl_slice_head(address, colon) : address;
}

static uint64_t hash_of(struct sl_slice address) {
    static const uint8_t mapped[V4_IN_V6] = {[10] = 0xff, [11] = 0xff};
    uint8_t bytes[sizeof(struct in6_addr)];
    char text[ADDRESS_MAX];
    address = without_port(address);
    if (address.len >= sizeof(text))
        return sl_hash(address);
    if (address.len > 0)
        memcpy(text, address.ptr, address.len);
    text[address.len] = '\0';
    if (inet_pton(AF_INET6, text, bytes) != 1)
        return sl_hash(address);
    bool v4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;
    return v4 ? sl_hash(sl_slice_of(bytes, sizeof(bytes))) : sl_hash(sl_slice_of(bytes, V6_PREFIX));
}

static struct entry *find(const struct sl_failures *failures, uint64_t hash) {
    struct sl_table_node *node = sl_table_find(&failures->table, hash);
    return node ? entry_of(node) : NULL;
}

static bool is_over(const struct entry *e, uint64_t now) {
    return now - e->since >= SL_FAILURES_WINDOW;
}

/* Two a time keep up with one that is added. */
static void forget_some(struct sl_failures *failures, uint64_t now) {
    for (int i = 0; i < 2; i++) {
        struct sl_list *first = sl_list_first(&failures->oldest);
        struct entry *e = first ? SL_CONTAINER(first, struct entry, link) : NULL;
        if (!e || (!is_over(e, now) && failures->table.count < SL_FAILURES_MAX))
            return;
        forget(failures, e);
    }
}

void sl_failures_note(struct sl_failures *failures, struct sl_slice address, uint64_t now) {
    uint64_t hash = hash_of(address);
    forget_some(failures, now);
    struct entry *e = find(failures, hash);
    if (e && !is_over(e, now)) {
        e->count += e->count < UINT32_MAX;
        return;
    }
    if (e)
        forget(failures, e);
    e = sl_alloc(sizeof(*e));
    if (!e)
        return;
    e->since = now;
    e->count = 1;
    sl_table_insert(&failures->table, &e->node, hash);
    sl_list_push_back(&failures->oldest, &e->link);
}

uint64_t sl_failures_wait(const struct sl_failures *failures, struct sl_slice address,
                          uint32_t limit, uint64_t now) {
    const struct entry *e = find(failures, hash_of(address));
    return e && e->count >= limit && !is_over(e, now) ? SL_FAILURES_WINDOW - (now - e->since) : 0;
}
