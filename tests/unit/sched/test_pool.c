/* A pool as its callers see it: what may start, what an ending changes, what a refusal teaches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sluice/base/clock.h"
#include "sluice/base/mem.h"
#include "sluice/sched/pool.h"

#define S      SL_NS_PER_S
#define MS     SL_NS_PER_MS
#define MINUTE (60 * S)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define NOON   (20000 * DAY + 12 * HOUR)
#define SPAN   (MINUTE + 100 * MS)

static struct sl_pool *pool;
static uint64_t now;

/* Wall and monotonic clock go together, from noon. */
static uint64_t wall(void) {
    return NOON + now;
}

static void begin(struct sl_limits limits, enum sl_window window) {
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    settings.configured = limits;
    settings.window = window;
    now = 0;
    pool = sl_pool_new(SL_LIT("a/r/m"), &settings, 1, now, wall());
    assert_non_null(pool);
}

static int finish(void **state) {
    (void)state;
    sl_pool_free(pool);
    pool = NULL;
    return 0;
}

static struct sl_pool_verdict check(uint64_t tokens) {
    return sl_pool_check(pool, tokens, now, wall());
}

static struct sl_pool_view look(void) {
    struct sl_pool_view view;
    sl_pool_look(pool, &view, now, wall());
    return view;
}

static struct sl_reservation take(uint64_t tokens) {
    struct sl_reservation r = {.open = false};
    assert_int_equal(check(tokens).wait_ns, 0);
    sl_pool_reserve(pool, &r, tokens, now, wall());
    assert_true(r.open);
    return r;
}

static void settle_as(struct sl_reservation *r, enum sl_ending ending, uint64_t tokens) {
    const struct sl_outcome outcome = {.ending = ending, .tokens = tokens};
    sl_pool_settle(pool, r, &outcome, now, wall());
    assert_false(r->open);
}

static void throttle(struct sl_reservation *r, enum sl_scarcity kind) {
    const struct sl_outcome outcome = {.ending = SL_ENDING_THROTTLED, .kind = kind};
    sl_pool_settle(pool, r, &outcome, now, wall());
}

static void call(uint64_t tokens, uint64_t used) {
    struct sl_reservation r = take(tokens);
    settle_as(&r, SL_ENDING_OK, used);
}

#define assert_waits(verdict, ns, what)                                                            \
    do {                                                                                           \
        struct sl_pool_verdict v = (verdict);                                                      \
        assert_int_equal(v.wait_ns, ns);                                                           \
        assert_int_equal(v.kind, what);                                                            \
    } while (0)

static void names_kinds(void **state) {
    (void)state;
    static const struct {
        const char *message, *name;
    } cases[] = {
        {"Too many requests, please wait before trying again.", "requests"},
        {"Your request rate is too high. Reduce the frequency of requests.", "requests"},
        {"Too many tokens, please wait before trying again.", "tokens"},
        {"Too many tokens per day, please wait before trying again.", "day"},
        {"too many TOKENS PER DAY", "day"},
        {"Too many connections, please wait before trying again.", "connections"},
        {"Bedrock is unable to process your request.", "health"},
        {"", "health"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_string_equal(
            sl_scarcity_name(sl_scarcity_of_message(sl_slice_str(cases[i].message))),
            cases[i].name);
    assert_string_equal(sl_scarcity_name(SL_SCARCE_NOTHING), "");
    assert_string_equal(sl_scarcity_name(SL_SCARCE_SHARE), "key");
    assert_string_equal(sl_scarcity_name(SL_SCARCE_CAPACITY), "capacity");
}

static void without_limits_nothing_waits(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    for (int i = 0; i < 10000; i++)
        call(UINT64_MAX, UINT64_MAX);
    assert_waits(check(UINT64_MAX), 0, SL_SCARCE_NOTHING);
    assert_int_equal(sl_pool_forecast(pool, 1000000, 1000, 1000, now, wall()), 0);
    assert_int_equal(sl_pool_headroom(pool, 1000, now, wall()), 1000000);
    uint64_t limit = 7;
    assert_false(sl_pool_exceeds(pool, UINT64_MAX, &limit));
    assert_int_equal(limit, 7);
}

static void keeps_requests_in_a_window(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 10}, SL_WINDOW_FIXED);
    for (int i = 0; i < 10; i++, now += S)
        call(100, 100);
    assert_waits(check(100), SPAN - 10 * S, SL_SCARCE_REQUESTS);
    assert_int_equal(look().used_requests, 10);
    assert_string_equal(look().window, "trailing");
    assert_int_equal(sl_pool_headroom(pool, 1, now, wall()), 0);
    now = SPAN;
    call(100, 100);
    assert_waits(check(100), S, SL_SCARCE_REQUESTS);
}

static void keeps_tokens_in_a_bucket(void **state) {
    (void)state;
    begin((struct sl_limits){.tpm = 60000}, SL_WINDOW_BUCKET);
    struct sl_reservation r = take(50000);
    assert_waits(check(20000), 10 * S + 100 * MS, SL_SCARCE_TOKENS);
    assert_string_equal(look().window, "bucket");
    now = S;
    settle_as(&r, SL_ENDING_OK, 1000); /* 49,000 come back at once */
    assert_waits(check(59900), 0, SL_SCARCE_NOTHING);
    assert_int_equal(look().used_tokens, 100);
}

static void what_exceeds_the_limit_starts_alone(void **state) {
    (void)state;
    for (enum sl_window window = SL_WINDOW_AUTO; window <= SL_WINDOW_FIXED; window++) {
        begin((struct sl_limits){.tpm = 20000}, window);
        uint64_t limit = 0;
        assert_true(sl_pool_exceeds(pool, 64000, &limit));
        assert_int_equal(limit, 20000);
        assert_false(sl_pool_exceeds(pool, 20000, &limit));
        struct sl_reservation other = take(100);
        assert_waits(check(64000), SL_NEVER, SL_SCARCE_TOKENS);
        settle_as(&other, SL_ENDING_OK, 100);
        uint64_t wait = check(64000).wait_ns;
        assert_in_range(wait, 1, SPAN);
        now += wait;
        struct sl_reservation large = take(64000);
        assert_true(check(1).wait_ns > 0);
        settle_as(&large, SL_ENDING_OK, 10);
        assert_int_equal(check(10000).wait_ns, 0);
        sl_pool_free(pool);
    }
    pool = NULL;
}

static void bounds_calls_at_once(void **state) {
    (void)state;
    begin((struct sl_limits){.in_flight = 2}, SL_WINDOW_AUTO);
    struct sl_reservation a = take(1), b = take(1);
    assert_waits(check(1), SL_NEVER, SL_SCARCE_CONNECTIONS);
    settle_as(&a, SL_ENDING_OK, 1);
    assert_waits(check(1), 0, SL_SCARCE_NOTHING);
    settle_as(&b, SL_ENDING_OK, 1);
}

static void each_ending_counts_as_upstream_counts_it(void **state) {
    (void)state;
    static const struct {
        enum sl_ending ending;
        uint64_t requests, tokens;
    } cases[] = {
        {SL_ENDING_OK, 1, 300},     {SL_ENDING_REFUSED, 1, 0},   {SL_ENDING_THROTTLED, 0, 0},
        {SL_ENDING_FAILED, 1, 300}, {SL_ENDING_UNREACHED, 0, 0}, {SL_ENDING_CANCELED, 1, 300},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (enum sl_window window = SL_WINDOW_BUCKET; window <= SL_WINDOW_FIXED; window++) {
            begin((struct sl_limits){.rpm = 100, .tpm = 100000, .tpd = 1000000}, window);
            struct sl_reservation r = take(5000);
            assert_int_equal(look().running, 1);
            assert_int_equal(look().used_day, 5000);
            now += 300 * MS;
            settle_as(&r, cases[i].ending, 300);
            struct sl_pool_view view = look();
            /* A bucket has got a little back meanwhile, less than its guard took. */
            assert_in_range(view.used_requests, 0, cases[i].requests);
            assert_in_range(view.used_tokens, 0, cases[i].tokens);
            if (window == SL_WINDOW_FIXED) {
                assert_int_equal(view.used_requests, cases[i].requests);
                assert_int_equal(view.used_tokens, cases[i].tokens);
            }
            assert_int_equal(view.used_day, cases[i].tokens);
            assert_int_equal(view.running, 0);
            sl_pool_free(pool);
        }
    }
    pool = NULL;
}

static void more_than_reserved_counts_from_its_end(void **state) {
    (void)state;
    begin((struct sl_limits){.tpm = 10000}, SL_WINDOW_FIXED);
    struct sl_reservation r = take(1000);
    now = 30 * S;
    settle_as(&r, SL_ENDING_OK, 9000); /* output counts fivefold, say */
    assert_waits(check(2000), 30 * S + 100 * MS, SL_SCARCE_TOKENS);
    assert_int_equal(check(10000).wait_ns, SPAN);
}

static void longer_than_a_window_gives_nothing_back(void **state) {
    (void)state;
    begin((struct sl_limits){.tpm = 10000}, SL_WINDOW_FIXED);
    struct sl_reservation r = take(10000);
    now = SPAN;
    call(4000, 4000);
    settle_as(&r, SL_ENDING_OK, 100);
    assert_int_equal(look().used_tokens, 4000);
    assert_int_equal(check(6000).wait_ns, 0);
}

static void the_day_has_its_own_limit(void **state) {
    (void)state;
    begin((struct sl_limits){.tpd = 10000}, SL_WINDOW_AUTO);
    struct sl_reservation r = take(9000); /* reservations count */
    assert_waits(check(2000), 12 * HOUR, SL_SCARCE_DAY);
    settle_as(&r, SL_ENDING_OK, 1000);
    call(2000, 2000);
    assert_waits(check(20000), 12 * HOUR, SL_SCARCE_DAY); /* alone, in a new day */
    now = 12 * HOUR;
    r = take(20000);
    assert_waits(check(20000), SL_NEVER, SL_SCARCE_DAY);
    settle_as(&r, SL_ENDING_OK, 1);
}

static void exhaustion_parks_the_day_then_one_probes(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    struct sl_reservation a = take(10), b = take(10);
    throttle(&a, SL_SCARCE_DAY);
    throttle(&b, SL_SCARCE_DAY);
    assert_waits(check(1), 12 * HOUR, SL_SCARCE_DAY);
    assert_string_equal(look().gate, "day");
    assert_int_equal(look().gate_opens_ns, 12 * HOUR);
    assert_false(look().learned);
    now = 12 * HOUR;
    a = take(10);
    assert_true(a.probe);
    assert_waits(check(1), 200 * MS + 1, SL_SCARCE_DAY);
    settle_as(&a, SL_ENDING_OK, 10);
    assert_waits(check(1), 0, SL_SCARCE_NOTHING);
    assert_string_equal(look().gate, "open");
}

static void a_throttle_closes_the_gate_for_a_probe(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 1000}, SL_WINDOW_FIXED);
    struct sl_reservation old = take(1), refused[3];
    for (int i = 0; i < 3; i++)
        refused[i] = take(1);
    now = 50 * MS;
    throttle(&refused[0], SL_SCARCE_REQUESTS);
    uint64_t wait = check(1).wait_ns;
    assert_in_range(wait, 1, S);
    assert_string_equal(look().gate, "closed");
    now += 1;
    throttle(&refused[1], SL_SCARCE_REQUESTS); /* the same event */
    throttle(&refused[2], SL_SCARCE_REQUESTS);
    settle_as(&old, SL_ENDING_OK, 1); /* old: does not open it */
    assert_waits(check(1), wait - 1, SL_SCARCE_REQUESTS);
    assert_int_equal(sl_pool_headroom(pool, 1, now, wall()), 0);
    assert_int_equal(look().throttles, 3);
    now += wait - 1;
    struct sl_reservation probe = take(1);
    assert_true(probe.probe);
    assert_string_equal(look().gate, "probing");
    assert_in_range(check(1).wait_ns, 1, S);
    settle_as(&probe, SL_ENDING_OK, 1);
    assert_waits(check(1), 0, SL_SCARCE_NOTHING);
}

static void upstreams_word_is_kept(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    struct sl_reservation r = take(1);
    const struct sl_outcome outcome = {
        .ending = SL_ENDING_THROTTLED, .kind = SL_SCARCE_HEALTH, .retry_after_ns = 7 * S};
    sl_pool_settle(pool, &r, &outcome, now, wall());
    assert_waits(check(1), 7 * S, SL_SCARCE_HEALTH);
}

static void probes_that_tell_nothing_are_repeated(void **state) {
    (void)state;
    static const enum sl_ending endings[] = {SL_ENDING_REFUSED, SL_ENDING_CANCELED,
                                             SL_ENDING_FAILED, SL_ENDING_UNREACHED};
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    struct sl_reservation r = take(1);
    throttle(&r, SL_SCARCE_HEALTH);
    now += check(1).wait_ns;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        r = take(1);
        assert_true(r.probe);
        assert_true(check(1).wait_ns > 0);
        settle_as(&r, endings[i], 0);
        assert_int_equal(check(1).wait_ns, 0);
    }
}

/* Sends `sent` at once, of which upstream accepts `accepted`. */
static void burst(uint32_t sent, uint32_t accepted, uint64_t tokens, enum sl_scarcity kind) {
    static struct sl_reservation r[2000];
    for (uint32_t i = 0; i < sent; i++) {
        r[i].open = false;
        sl_pool_reserve(pool, &r[i], tokens, now, wall());
    }
    now += 20 * MS;
    for (uint32_t i = sent; i > accepted; i--)
        throttle(&r[i - 1], kind);
    for (uint32_t i = 0; i < accepted; i++)
        settle_as(&r[i], SL_ENDING_OK, tokens);
}

static void learns_what_nobody_told_it(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    burst(1000, 600, 100, SL_SCARCE_REQUESTS);
    struct sl_pool_view view = look();
    assert_true(view.learned);
    assert_in_range(view.limits.rpm, 590, 600);
    assert_int_equal(view.limits.tpm, 0);
    assert_int_equal(view.configured.rpm, 0);
    now += 2 * S;
    assert_int_equal(check(1).kind, SL_SCARCE_REQUESTS);
    finish(NULL);
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    burst(100, 20, 5000, SL_SCARCE_TOKENS);
    assert_in_range(look().limits.tpm, 100000,
                    105000); /* refused with 100,000 used and 5,000 asked */
    finish(NULL);
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    burst(100, 20, 1, SL_SCARCE_CONNECTIONS);
    assert_in_range(look().limits.in_flight, 19, 20);
}

static void counts_what_others_gave_back_meanwhile(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    struct sl_reservation large = take(50000), refused = take(2000);
    settle_as(&large, SL_ENDING_OK, 1000); /* upstream still held 50,000 when it refused */
    now = MS;
    throttle(&refused, SL_SCARCE_TOKENS);
    assert_in_range(look().limits.tpm, 50000, 52000);
}

static void never_learns_beyond_what_is_configured(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 600}, SL_WINDOW_FIXED);
    burst(500, 400, 100, SL_SCARCE_REQUESTS); /* somebody else uses the account */
    assert_in_range(look().limits.rpm, 380, 400);
    uint64_t lowest = look().limits.rpm;
    bool back = false;
    for (int minute = 0; minute < 60; minute++) { /* nobody else does any more */
        now += MINUTE;
        while (check(100).wait_ns == 0)
            call(100, 100);
        assert_in_range(look().limits.rpm, lowest, 600);
        lowest = look().limits.rpm;
        back |= lowest == 600 && !look().learned;
    }
    assert_true(back);
}

static void a_refused_probe_teaches_nothing(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 600}, SL_WINDOW_FIXED);
    burst(500, 400, 100, SL_SCARCE_REQUESTS);
    now += SPAN;
    for (int i = 0; i < 100; i++)
        call(1, 1);
    struct sl_reservation first = take(1);
    throttle(&first, SL_SCARCE_REQUESTS);
    now += check(1).wait_ns;
    uint64_t limit = look().limits.rpm;
    for (int i = 0; i < 5; i++) {
        struct sl_reservation r = take(1);
        now += 10 * MS;
        throttle(&r, SL_SCARCE_REQUESTS);
        assert_int_equal(look().limits.rpm, limit);
        now += check(1).wait_ns;
    }
}

static void a_call_too_large_for_a_hidden_limit_is_found_out(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    now = 10 * S;
    struct sl_reservation r = take(64000);
    throttle(&r, SL_SCARCE_TOKENS);
    uint64_t limit;
    assert_false(sl_pool_exceeds(pool, 64000, &limit)); /* what was used before is not known */
    now = 2 * MINUTE;
    r = take(64000);
    throttle(&r, SL_SCARCE_TOKENS);
    assert_true(sl_pool_exceeds(pool, 64000, &limit));
}

static void begins_with_the_default(void **state) {
    (void)state;
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    settings.initial.rpm = 100;
    settings.window = SL_WINDOW_FIXED;
    now = 0;
    pool = sl_pool_new(SL_LIT("a"), &settings, 1, now, wall());
    assert_int_equal(look().limits.rpm, 100);
    assert_false(look().learned);
    for (int minute = 0; minute < 10; minute++, now += SPAN)
        while (check(1).wait_ns == 0)
            call(1, 1);
    assert_true(look().limits.rpm > 150); /* and finds that there is more */
    settings.configured.rpm = 120;
    sl_pool_configure(pool, &settings, now);
    assert_int_equal(look().limits.rpm, 120);
}

static void lower_limits_hold_at_once(void **state) {
    (void)state;
    for (enum sl_window window = SL_WINDOW_AUTO; window <= SL_WINDOW_FIXED; window++) {
        begin((struct sl_limits){.tpm = 60000}, window);
        struct sl_reservation r = take(30000);
        struct sl_pool_settings settings;
        sl_pool_settings_default(&settings);
        settings.window = window;
        settings.configured.tpm = 20000;
        now = S;
        sl_pool_configure(pool, &settings, now);
        assert_in_range(look().used_tokens, 29000, 30000);
        assert_true(check(1).wait_ns > 0);
        settle_as(&r, SL_ENDING_OK, 1000);
        assert_int_equal(check(18000).wait_ns, 0);
        sl_pool_free(pool);
    }
    pool = NULL;
}

static void the_breaker_closes_and_probes(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    struct sl_reservation r[10];
    for (int i = 0; i < 10; i++)
        r[i] = take(1);
    now = S;
    for (int i = 0; i < 10; i++)
        settle_as(&r[i], i % 2 ? SL_ENDING_FAILED : SL_ENDING_UNREACHED, 0);
    assert_int_equal(look().failures, 10);
    assert_string_equal(look().gate, "breaker");
    struct sl_pool_verdict verdict = check(1);
    assert_in_range(verdict.wait_ns, 1, S);
    assert_int_equal(verdict.kind, SL_SCARCE_HEALTH);
    now += verdict.wait_ns;
    struct sl_reservation probe = take(1);
    assert_true(probe.probe);
    assert_true(check(1).wait_ns > 0);
    settle_as(&probe, SL_ENDING_OK, 1);
    assert_string_equal(look().gate, "open");
}

static void clocks_may_step_back(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 2, .tpd = 100}, SL_WINDOW_FIXED);
    now = 100 * S;
    struct sl_reservation a = take(10), b = take(10);
    now = 50 * S;
    uint64_t wait = check(10).wait_ns;
    assert_int_equal(wait, SPAN); /* from the latest that was seen */
    settle_as(&a, SL_ENDING_OK, 10);
    now = 100 * S + SPAN;
    assert_int_equal(check(10).wait_ns, 0);
    settle_as(&b, SL_ENDING_OK, 10);
    assert_int_equal(look().used_requests, 0);
    assert_int_equal(look().used_day, 20);
}

static void forecasts_by_what_is_ahead(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 60}, SL_WINDOW_FIXED);
    assert_int_equal(sl_pool_forecast(pool, 0, 59, 1, now, wall()), 0);
    for (int i = 0; i < 60; i++, now += S)
        call(1, 1);
    uint64_t last = 0;
    for (uint64_t ahead = 0; ahead < 200; ahead++) {
        uint64_t wait = sl_pool_forecast(pool, 0, ahead, 1, now, wall());
        assert_in_range(wait, (ahead + 1) * S - S, (ahead + 1) * S + S);
        assert_true(wait >= last);
        last = wait;
    }
    finish(NULL);
    begin((struct sl_limits){.rpm = 60}, SL_WINDOW_BUCKET);
    for (int i = 0; i < 59; i++)
        call(1, 1);
    assert_in_range(sl_pool_forecast(pool, 0, 10, 1, now, wall()), 10 * S, 11 * S);
}

static void forecasts_by_what_calls_really_use(void **state) {
    (void)state;
    begin((struct sl_limits){.tpm = 100000}, SL_WINDOW_BUCKET);
    for (int i = 0; i < 200; i++, now += S) {
        struct sl_reservation r = take(10000);
        settle_as(&r, SL_ENDING_OK, 500);
    }
    /* 100 waiting reserve ten windows' worth and will use half of one. */
    assert_int_equal(sl_pool_forecast(pool, 1000000, 100, 10000, now, wall()), 0);
    assert_in_range(sl_pool_forecast(pool, 4000000, 400, 10000, now, wall()), 30 * S, 90 * S);
    /* But ten places beside one another, each for 2 s. */
    for (int i = 0; i < 200; i++) {
        struct sl_reservation r = take(10000);
        now += 2 * S;
        settle_as(&r, SL_ENDING_OK, 500);
    }
    assert_in_range(sl_pool_forecast(pool, 1000000, 100, 10000, now, wall()), 15 * S, 22 * S);
}

static void headroom_is_the_scarcest_share(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 10, .tpm = 1000, .tpd = 10000, .in_flight = 4},
          SL_WINDOW_FIXED);
    assert_int_equal(sl_pool_headroom(pool, 50, now, wall()), 750000); /* in flight */
    assert_int_equal(sl_pool_headroom(pool, 600, now, wall()), 400000);
    assert_int_equal(sl_pool_headroom(pool, UINT64_MAX, now, wall()), 0);
    for (int i = 0; i < 5; i++)
        call(1, 1);
    assert_int_equal(sl_pool_headroom(pool, 50, now, wall()), 400000);
}

static void auto_opens_the_bucket_on_evidence(void **state) {
    (void)state;
    begin((struct sl_limits){.rpm = 600}, SL_WINDOW_AUTO);
    assert_string_equal(look().window, "trailing");
    uint64_t end = 6 * MINUTE;
    while (now < end) { /* upstream is a bucket and takes all that is tried */
        uint64_t wait = check(1).wait_ns;
        if (wait)
            now += wait;
        else
            call(1, 1);
    }
    assert_string_equal(look().window, "bucket");
    struct sl_reservation r = take(1);
    throttle(&r, SL_SCARCE_REQUESTS);
    assert_string_equal(look().window, "trailing");
    now += MINUTE;
    for (int i = 0; i < 2000; i++) {
        uint64_t wait = check(1).wait_ns;
        if (wait)
            now += wait;
        else
            call(1, 1);
        assert_true(look().used_requests <= 600);
    }
}

static void retries_are_counted(void **state) {
    (void)state;
    begin((struct sl_limits){0}, SL_WINDOW_AUTO);
    uint32_t granted = 0;
    while (sl_pool_may_retry(pool, now))
        granted++;
    assert_in_range(granted, 1, 20);
    assert_int_equal(look().retries, granted);
    for (int i = 0; i < 100; i++)
        call(1, 1);
    for (granted = 0; sl_pool_may_retry(pool, now);)
        granted++;
    assert_in_range(granted, 15, 17); /* a retry earns as a call, which its price takes back */
}

static void survives_lack_of_memory(void **state) {
    (void)state;
    struct sl_pool_settings settings;
    sl_pool_settings_default(&settings);
    sl_mem_fail_after(1);
    assert_null(sl_pool_new(SL_LIT("a"), &settings, 1, 0, 0));
    sl_mem_fail_after(0);
    sl_pool_free(NULL);
}

#define TEST(f) cmocka_unit_test_teardown(f, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(names_kinds),
        TEST(without_limits_nothing_waits),
        TEST(keeps_requests_in_a_window),
        TEST(keeps_tokens_in_a_bucket),
        TEST(what_exceeds_the_limit_starts_alone),
        TEST(bounds_calls_at_once),
        TEST(each_ending_counts_as_upstream_counts_it),
        TEST(more_than_reserved_counts_from_its_end),
        TEST(longer_than_a_window_gives_nothing_back),
        TEST(the_day_has_its_own_limit),
        TEST(exhaustion_parks_the_day_then_one_probes),
        TEST(a_throttle_closes_the_gate_for_a_probe),
        TEST(upstreams_word_is_kept),
        TEST(probes_that_tell_nothing_are_repeated),
        TEST(learns_what_nobody_told_it),
        TEST(counts_what_others_gave_back_meanwhile),
        TEST(never_learns_beyond_what_is_configured),
        TEST(a_refused_probe_teaches_nothing),
        TEST(a_call_too_large_for_a_hidden_limit_is_found_out),
        TEST(begins_with_the_default),
        TEST(lower_limits_hold_at_once),
        TEST(the_breaker_closes_and_probes),
        TEST(clocks_may_step_back),
        TEST(forecasts_by_what_is_ahead),
        TEST(forecasts_by_what_calls_really_use),
        TEST(headroom_is_the_scarcest_share),
        TEST(auto_opens_the_bucket_on_evidence),
        TEST(retries_are_counted),
        TEST(survives_lack_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
