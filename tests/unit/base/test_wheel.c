/* The wheel against a plain array of times: never early, at most a tick late, whatever happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/clock.h"
#include "sluice/base/wheel.h"

#define COUNT 400
#define TICK  (UINT64_C(1) << SL_WHEEL_TICK_BITS)

struct entry {
    struct sl_wheel_node node;
    uint64_t at;
};

static uint64_t seed = 7;

static uint64_t next_random(void) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return seed >> 20;
}

/* From a nanosecond to months ahead, all lengths alike. */
static uint64_t some_delay(void) {
    return next_random() % (UINT64_C(1) << (1 + next_random() % 53));
}

static void check_nothing_is_late(const struct entry *entries, uint64_t now) {
    for (int i = 0; i < COUNT; i++)
        if (sl_wheel_linked(&entries[i].node))
            assert_true(entries[i].at + TICK > now);
}

static void gives_each_entry_in_its_tick(void **state) {
    (void)state;
    static struct sl_wheel wheel;
    static struct entry entries[COUNT];
    uint64_t now = 12345, last_next = 0;
    sl_wheel_init(&wheel);
    for (int i = 0; i < COUNT; i++)
        sl_wheel_node_init(&entries[i].node);
    for (int step = 0; step < 100000; step++) {
        struct entry *entry = &entries[next_random() % COUNT];
        if (!sl_wheel_linked(&entry->node)) {
            entry->at = now + some_delay();
            sl_wheel_add(&wheel, &entry->node, entry->at);
        } else if (next_random() % 4 == 0) {
            sl_wheel_remove(&wheel, &entry->node);
            assert_false(sl_wheel_linked(&entry->node));
        }
        if (next_random() % 8)
            continue;
        last_next = sl_wheel_next_at(&wheel);
        now = next_random() % 2 && last_next != SL_NEVER && last_next > now
                  ? last_next
                  : now + some_delay() / 1024;
        for (struct sl_wheel_node *node; (node = sl_wheel_pop(&wheel, now));)
            assert_true(SL_CONTAINER(node, struct entry, node)->at <= now);
        check_nothing_is_late(entries, now);
        assert_true(sl_wheel_next_at(&wheel) > now);
    }
}

static void is_empty_when_all_are_out(void **state) {
    (void)state;
    static struct sl_wheel wheel;
    static struct entry entries[COUNT];
    sl_wheel_init(&wheel);
    assert_true(sl_wheel_next_at(&wheel) == SL_NEVER);
    for (int i = 0; i < COUNT; i++) {
        sl_wheel_node_init(&entries[i].node);
        sl_wheel_add(&wheel, &entries[i].node, some_delay());
    }
    uint64_t turns = 0, now = 0;
    for (; sl_wheel_next_at(&wheel) != SL_NEVER; turns++) {
        assert_true(sl_wheel_next_at(&wheel) >= now);
        now = sl_wheel_next_at(&wheel);
        while (sl_wheel_pop(&wheel, now))
            ;
    }
    assert_true(turns <= (uint64_t)COUNT * SL_WHEEL_LEVELS);
}

static void keeps_the_order_of_one_moment(void **state) {
    (void)state;
    static struct sl_wheel wheel;
    struct entry entries[3];
    sl_wheel_init(&wheel);
    for (int i = 0; i < 3; i++) {
        sl_wheel_node_init(&entries[i].node);
        sl_wheel_add(&wheel, &entries[i].node, 900 * SL_NS_PER_S);
    }
    for (int i = 0; i < 3; i++)
        assert_ptr_equal(sl_wheel_pop(&wheel, 1000 * SL_NS_PER_S), &entries[i].node);
    assert_null(sl_wheel_pop(&wheel, 1000 * SL_NS_PER_S));
}

static void takes_a_clock_that_steps_back(void **state) {
    (void)state;
    static struct sl_wheel wheel;
    struct entry entry;
    sl_wheel_init(&wheel);
    sl_wheel_node_init(&entry.node);
    assert_null(sl_wheel_pop(&wheel, 500 * SL_NS_PER_S));
    sl_wheel_add(&wheel, &entry.node, 501 * SL_NS_PER_S);
    assert_null(sl_wheel_pop(&wheel, 100 * SL_NS_PER_S));
    sl_wheel_remove(&wheel, &entry.node);
    sl_wheel_add(&wheel, &entry.node, 200 * SL_NS_PER_S);
    assert_null(sl_wheel_pop(&wheel, 199 * SL_NS_PER_S));
    assert_true(sl_wheel_next_at(&wheel) > 200 * SL_NS_PER_S);
    assert_ptr_equal(sl_wheel_pop(&wheel, 502 * SL_NS_PER_S), &entry.node);
    sl_wheel_add(&wheel, &entry.node, SL_NEVER - 1);
    assert_null(sl_wheel_pop(&wheel, 503 * SL_NS_PER_S));
    sl_wheel_remove(&wheel, &entry.node);
    assert_true(sl_wheel_next_at(&wheel) == SL_NEVER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_each_entry_in_its_tick),
        cmocka_unit_test(is_empty_when_all_are_out),
        cmocka_unit_test(keeps_the_order_of_one_moment),
        cmocka_unit_test(takes_a_clock_that_steps_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
