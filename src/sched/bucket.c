#include "sched/bucket.h"

#include "sched/number.h"

void sl_bucket_init(struct sl_bucket *b, uint64_t window, uint64_t guard, uint64_t now) {
    *b = (struct sl_bucket){
        .window = window, .guard = guard, .at = now, .stretch_at = now, .before_at = now};
}

static sl_u128 lack_at(const struct sl_bucket *b, uint64_t limit, uint64_t now) {
    if (!limit)
        return 0;
    sl_u128 flowed = now > b->at ? (sl_u128)limit * (now - b->at) : 0;
    return b->lack > flowed ? b->lack - flowed : 0;
}

void sl_bucket_advance(struct sl_bucket *b, uint64_t limit, uint64_t now) {
    b->lack = lack_at(b, limit, now);
    if (now > b->at)
        b->at = now;
}

void sl_bucket_reshape(struct sl_bucket *b, uint64_t window, uint64_t guard) {
    b->lack = b->lack / b->window * window;
    b->window = window;
    b->guard = guard;
}

static void turn_stretch(struct sl_bucket *b) {
    uint64_t length = sl_add_sat(b->guard, b->guard);
    uint64_t passed = b->at - b->stretch_at;
    if (passed < length)
        return;
    b->taken_before = passed - length < length ? b->taken : 0;
    b->before_at = b->stretch_at;
    b->taken = 0;
    b->stretch_at = b->at;
}

void sl_bucket_take(struct sl_bucket *b, uint64_t n, uint64_t limit, uint64_t now) {
    sl_bucket_advance(b, limit, now);
    turn_stretch(b);
    b->taken = sl_add_sat(b->taken, n);
    if (!limit)
        return;
    sl_u128 flow = (sl_u128)limit * b->guard;
    b->lack = (b->lack > flow ? b->lack : flow) + (sl_u128)n * b->window;
}

/* What was taken in the last two stretches, once n of it, taken at `then`, is given back. */
static sl_u128 recent_without(struct sl_bucket *b, uint64_t n, uint64_t then) {
    turn_stretch(b);
    if (then >= b->stretch_at)
        b->taken = sl_sub_sat(b->taken, n);
    else if (then >= b->before_at)
        b->taken_before = sl_sub_sat(b->taken_before, n);
    return (sl_u128)sl_add_sat(b->taken, b->taken_before) * b->window;
}

void sl_bucket_give(struct sl_bucket *b, uint64_t n, uint64_t then, uint64_t limit, uint64_t now) {
    sl_bucket_advance(b, limit, now);
    sl_u128 back = (sl_u128)n * b->window;
    sl_u128 recent = recent_without(b, n, then);
    sl_u128 floor = recent < b->lack ? recent : b->lack;
    b->lack = b->lack > back ? b->lack - back : 0;
    if (b->lack < floor)
        b->lack = floor;
}

void sl_bucket_exhaust(struct sl_bucket *b, uint64_t n, uint64_t limit, uint64_t now) {
    sl_bucket_advance(b, limit, now);
    sl_u128 least = (sl_u128)(limit - (n < limit ? n : limit) / 2) * b->window;
    if (b->lack < least)
        b->lack = least;
}

uint64_t sl_bucket_wait(const struct sl_bucket *b, uint64_t n, uint64_t limit, uint64_t now) {
    sl_u128 lack = lack_at(b, limit, now);
    sl_u128 need = (sl_u128)n * b->window;
    sl_u128 room = (sl_u128)limit * b->window;
    sl_u128 flow = (sl_u128)limit * b->guard;
    /* What does not fit beside the guard's flow needs a bucket that is surely full. */
    sl_u128 may_lack = room >= flow && room - flow >= need ? room - need : 0;
    if (lack <= may_lack)
        return 0;
    return sl_u128_to_u64((lack - may_lack + limit - 1) / limit);
}

uint64_t sl_bucket_used(const struct sl_bucket *b, uint64_t limit, uint64_t now) {
    return sl_u128_to_u64((lack_at(b, limit, now) + b->window - 1) / b->window);
}
