/* HTTP message heads. */
#include "sluice/core/message.h"

#define FIRST_HEADERS 24

int sl_headers_add(struct sl_headers *h, struct sl_arena *arena, struct sl_slice name,
                   struct sl_slice value) {
    if (h->count == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : FIRST_HEADERS;
        struct sl_header *items = sl_arena_calloc(arena, cap, sizeof(*items));
        if (!items)
            return SL_E_NOMEM;
        if (h->count)
            memcpy(items, h->items, h->count * sizeof(*items));
        h->items = items;
        h->cap = cap;
    }
    h->items[h->count++] = (struct sl_header){name, value};
    return SL_OK;
}

int sl_headers_add_copy(struct sl_headers *h, struct sl_arena *arena, struct sl_slice name,
                        struct sl_slice value) {
    int err = sl_arena_copy(arena, name, &name);
    if (!err)
        err = sl_arena_copy(arena, value, &value);
    return err ? err : sl_headers_add(h, arena, name, value);
}

const struct sl_header *sl_headers_find(const struct sl_headers *h, struct sl_slice name) {
    for (size_t i = 0; i < h->count; i++)
        if (sl_slice_ieq(h->items[i].name, name))
            return &h->items[i];
    return NULL;
}

struct sl_slice sl_headers_get(const struct sl_headers *h, struct sl_slice name) {
    const struct sl_header *header = sl_headers_find(h, name);
    return header ? header->value : SL_EMPTY;
}

static bool named_by_connection(const struct sl_headers *all, struct sl_slice name) {
    for (size_t i = 0; i < all->count; i++) {
        if (!sl_slice_ieq(all->items[i].name, SL_LIT("connection")))
            continue;
        struct sl_slice rest = all->items[i].value, token;
        while (sl_slice_split(&rest, ',', &token))
            if (sl_slice_ieq(sl_slice_trim(token), name))
                return true;
    }
    return false;
}

bool sl_header_is_hop_by_hop(const struct sl_headers *all, struct sl_slice name) {
    static const struct sl_slice names[] = {
        SL_LIT("connection"),
        SL_LIT("keep-alive"),
        SL_LIT("proxy-connection"),
        SL_LIT("proxy-authenticate"),
        SL_LIT("proxy-authorization"),
        SL_LIT("te"),
        SL_LIT("trailer"),
        SL_LIT("transfer-encoding"),
        SL_LIT("upgrade"),
        SL_LIT("http2-settings"),
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (sl_slice_ieq(names[i], name))
            return true;
    return named_by_connection(all, name);
}

struct sl_slice sl_target_path(struct sl_slice target) {
    return sl_slice_head(target, sl_slice_find(target, '?'));
}

struct sl_slice sl_target_query(struct sl_slice target) {
    return sl_slice_skip(target, sl_slice_find(target, '?') + 1);
}
