#include "sched/trailing.h"

#include <stddef.h>

#include "sched/number.h"

static struct sl_slot *slot_at(struct sl_trailing *t, uint32_t i) {
    return &t->slots[(t->head + i) % SL_TRAILING_SLOTS];
}

static const struct sl_slot *slot_of(const struct sl_trailing *t, uint32_t i) {
    return &t->slots[(t->head + i) % SL_TRAILING_SLOTS];
}

static void set_span(struct sl_trailing *t, uint64_t span) {
    t->span = span;
    t->grain = span / (SL_TRAILING_SLOTS - 2) + 1; /* the partial slots at both ends */
}

void sl_trailing_init(struct sl_trailing *t, uint64_t span) {
    *t = (struct sl_trailing){0};
    set_span(t, span);
}

void sl_trailing_reshape(struct sl_trailing *t, uint64_t span) {
    for (uint32_t i = 0; i < t->count; i++) {
        struct sl_slot *slot = slot_at(t, i);
        slot->first = sl_sub_sat(sl_add_sat(slot->first, span), t->span);
        slot->last = sl_sub_sat(sl_add_sat(slot->last, span), t->span);
    }
    set_span(t, span);
}

static void drop_expired(struct sl_trailing *t, uint64_t now) {
    while (t->count && slot_at(t, 0)->last <= now) {
        for (int m = 0; m < SL_METERS; m++)
            t->sum[m] -= slot_at(t, 0)->amount[m];
        t->head = (t->head + 1) % SL_TRAILING_SLOTS;
        t->count--;
    }
}

/* The newest slot, where it may take something that expires then; else a new one. A ring that is
 * full, after the span has changed, lets its newest slot grow: it will expire too late, not too
 * early. */
static struct sl_slot *slot_for(struct sl_trailing *t, uint64_t expires) {
    struct sl_slot *newest = t->count ? slot_at(t, t->count - 1) : NULL;
    if (!newest ||
        (sl_sub_sat(expires, newest->first) >= t->grain && t->count < SL_TRAILING_SLOTS)) {
        newest = slot_at(t, t->count++);
        *newest = (struct sl_slot){.first = expires, .last = expires};
    }
    newest->last = sl_max(newest->last, expires);
    return newest;
}

static void put(struct sl_trailing *t, uint64_t requests, uint64_t tokens, uint64_t expires) {
    const uint64_t n[SL_METERS] = {requests, tokens};
    struct sl_slot *slot = slot_for(t, expires);
    for (int m = 0; m < SL_METERS; m++) {
        uint64_t add = sl_min(n[m], UINT64_MAX - t->sum[m]);
        slot->amount[m] += add;
        t->sum[m] += add;
    }
}

void sl_trailing_add(struct sl_trailing *t, uint64_t requests, uint64_t tokens, uint64_t now) {
    drop_expired(t, now);
    put(t, requests, tokens, sl_add_sat(now, t->span));
}

void sl_trailing_recall(struct sl_trailing *t, uint64_t requests, uint64_t tokens, uint64_t left,
                        uint64_t now) {
    put(t, requests, tokens, sl_add_sat(now, sl_min(left, t->span)));
}

/* The last slot that begins at or before: arrivals are in order, so are slots. */
static struct sl_slot *find(struct sl_trailing *t, uint64_t expires) {
    uint32_t low = 0, high = t->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (slot_at(t, middle)->first <= expires)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? slot_at(t, low - 1) : NULL;
}

void sl_trailing_correct(struct sl_trailing *t, enum sl_meter meter, uint64_t then, uint64_t n,
                         uint64_t now) {
    drop_expired(t, now);
    uint64_t expires = sl_add_sat(then, t->span);
    struct sl_slot *slot = find(t, expires);
    if (!slot || slot->last < expires)
        return;
    uint64_t back = sl_min(n, slot->amount[meter]);
    slot->amount[meter] -= back;
    t->sum[meter] -= back;
}

uint64_t sl_trailing_sum(const struct sl_trailing *t, enum sl_meter meter, uint64_t now) {
    uint64_t sum = t->sum[meter];
    for (uint32_t i = 0; i < t->count && slot_of(t, i)->last <= now; i++)
        sum -= slot_of(t, i)->amount[meter];
    return sum;
}

uint64_t sl_trailing_wait(const struct sl_trailing *t, enum sl_meter meter, uint64_t room,
                          uint64_t now) {
    uint64_t sum = t->sum[meter], wait = 0;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct sl_slot *slot = slot_of(t, i);
        if (slot->last > now) {
            if (sum <= room)
                break;
            wait = slot->last - now;
        }
        sum -= slot->amount[meter];
    }
    return wait;
}
