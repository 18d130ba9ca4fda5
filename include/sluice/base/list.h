/*
 * An intrusive, circular, doubly linked list: state is membership. A node is
 * either initialised and alone (it points at itself) or on exactly one list.
 */
#ifndef SLUICE_BASE_LIST_H
#define SLUICE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct sl_list {
    struct sl_list *next, *prev;
};

#define SL_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void sl_list_init(struct sl_list *l) {
    l->next = l->prev = l;
}

static inline bool sl_list_empty(const struct sl_list *l) {
    return l->next == l;
}

/* True when the node is on a list. */
static inline bool sl_list_linked(const struct sl_list *node) {
    return node->next != node;
}

static inline void sl_list_push_back(struct sl_list *l, struct sl_list *node) {
    node->next = l;
    node->prev = l->prev;
    l->prev->next = node;
    l->prev = node;
}

static inline void sl_list_push_front(struct sl_list *l, struct sl_list *node) {
    sl_list_push_back(l->next, node);
}

/* Takes the node off whatever list it is on; it is alone afterwards. */
static inline void sl_list_remove(struct sl_list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    sl_list_init(node);
}

static inline struct sl_list *sl_list_first(struct sl_list *l) {
    return sl_list_empty(l) ? NULL : l->next;
}

static inline struct sl_list *sl_list_pop_front(struct sl_list *l) {
    struct sl_list *node = sl_list_first(l);
    if (node)
        sl_list_remove(node);
    return node;
}

/* Moves all of `from` to the end of `to`; `from` is empty afterwards. */
static inline void sl_list_splice(struct sl_list *to, struct sl_list *from) {
    if (sl_list_empty(from))
        return;
    from->next->prev = to->prev;
    from->prev->next = to;
    to->prev->next = from->next;
    to->prev = from->prev;
    sl_list_init(from);
}

/* The current node may be removed inside the loop; others may not. */
#define SL_LIST_EACH(l, node, tmp)                                                                 \
    for (struct sl_list *node = (l)->next, *tmp = node->next; node != (l);                         \
         node = tmp, tmp = node->next)

#endif
