/* `sluice usage`: its words, and the report over a ledger of known rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "app/usage.h"

#define NOW UINT64_C(1795342039000) /* 2026-11-22T10:07:19Z */
#define DAY UINT64_C(86400000)

static char why[512], folder[64], path[96];
static struct sl_db *db;
static struct sl_buf out;

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/sluice-usage-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/sluice.db", folder);
    db = sl_db_open(path, why, sizeof(why));
    sl_buf_init(&out, 65536);
    return db ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    sl_db_close(db);
    sl_buf_done(&out);
    unlink(path);
    return rmdir(folder);
}

/* Two models, two days, one key that has a name; a hit, a join, a refusal, an unknown price. */
static void fill(void) {
    static const struct sl_ledger_row rows[] = {
        {.at_ms = NOW - DAY - 1,
         .model = "old",
         .cache = "miss",
         .status = 200,
         .cost = 5000000000,
         .usage = {1, 1, 0, 0}},
        {.at_ms = NOW - DAY,
         .key_id = "kkkkkkkkkk",
         .model = "a",
         .cache = "miss",
         .status = 200,
         .usage = {100, 20, 3, 4},
         .cost = 1500000000},
        {.at_ms = NOW - 3000,
         .key_id = "kkkkkkkkkk",
         .model = "a",
         .cache = "hit",
         .status = 200,
         .usage = {100, 20, 3, 4},
         .saved = 1500000000},
        {.at_ms = NOW - 2000,
         .model = "a",
         .cache = "join",
         .status = 200,
         .usage = {100, 20, 3, 4},
         .saved = 100000},
        {.at_ms = NOW - 1000,
         .model = "b\"",
         .cache = "miss",
         .status = 429,
         .usage = {-1, -1, -1, -1},
         .cost = -1},
        {.at_ms = NOW,
         .model = "b\"",
         .cache = "miss",
         .status = 200,
         .usage = {7, 8, -1, -1},
         .cost = -1},
    };
    struct sl_db_key key = {.id = "kkkkkkkkkk", .name = "chat", .generation = 1};
    assert_int_equal(sl_db_key_insert(db, &key, why, sizeof(why)), 0);
    assert_int_equal(
        sl_db_ledger_insert(db, rows, sizeof(rows) / sizeof(rows[0]), why, sizeof(why)), 0);
}

static const char *report(const char *by, const char *since, bool json) {
    struct sl_usage_wish wish;
    sl_buf_clear(&out);
    assert_int_equal(sl_usage_wish(&wish, by, since, NOW, why, sizeof(why)), 0);
    assert_int_equal(sl_usage_report(&out, db, &wish, json, why, sizeof(why)), 0);
    assert_int_equal(sl_buf_terminate(&out), 0);
    return out.ptr;
}

static void test_wishes(void **state) {
    (void)state;
    struct sl_usage_wish wish;
    static const struct {
        const char *since;
        uint64_t at;
    } good[] = {{NULL, NOW - DAY},
                {"24h", NOW - DAY},
                {"2w", NOW - 14 * DAY},
                {"0", NOW},
                {"all", 0},
                {"9999w", 0},
                {"2026-11-22", UINT64_C(1795305600000)}};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(sl_usage_wish(&wish, NULL, good[i].since, NOW, why, sizeof(why)), 0);
        assert_int_equal(wish.since_ms, good[i].at);
        assert_int_equal(wish.by, SL_SUM_BY_MODEL);
    }
    assert_int_equal(sl_usage_wish(&wish, "day", NULL, NOW, why, sizeof(why)), 0);
    assert_int_equal(wish.by, SL_SUM_BY_DAY);
    static const char *const bad[] = {"",   "24",         "h",         "-1h",
                                      "1y", "2026-02-30", "2026-11-2", "99999999999w"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sl_usage_wish(&wish, NULL, bad[i], NOW, why, sizeof(why)), SL_E_INVALID);
        assert_non_null(strstr(why, "is not a time such as 24h"));
    }
    assert_int_equal(sl_usage_wish(&wish, "week", NULL, NOW, why, sizeof(why)), SL_E_INVALID);
    assert_string_equal(why, "--by \"week\" is not model, key or day");
    assert_int_equal(wish.by, SL_SUM_BY_DAY); /* untouched */
}

static void test_by_model(void **state) {
    (void)state;
    fill();
    assert_string_equal(
        report(NULL, NULL, true),
        "{\"by\":\"model\",\"since\":\"2026-11-21T10:07:19.000Z\",\n \"rows\":["
        "{\"model\":\"a\",\"requests\":3,\"failed\":0,\"shared\":2,\"input_tokens\":100,"
        "\"output_tokens\":20,\"cache_read_tokens\":3,\"cache_write_tokens\":4,\"unpriced\":0,"
        "\"cost_usd\":1.5,\"saved_usd\":1.5001},\n"
        "  {\"model\":\"b\\\"\",\"requests\":2,\"failed\":1,\"shared\":0,\"input_tokens\":7,"
        "\"output_tokens\":8,\"cache_read_tokens\":0,\"cache_write_tokens\":0,\"unpriced\":1,"
        "\"cost_usd\":0,\"saved_usd\":0}],\n"
        " \"total\":{\"requests\":5,\"failed\":1,\"shared\":2,\"input_tokens\":107,"
        "\"output_tokens\":28,\"cache_read_tokens\":3,\"cache_write_tokens\":4,\"unpriced\":1,"
        "\"cost_usd\":1.5,\"saved_usd\":1.5001}}\n");
    assert_string_equal(
        report(NULL, NULL, false),
        "  REQUESTS   FAILED  SHARED         INPUT        OUTPUT     COST USD    SAVED USD  MODEL\n"
        "         3        0   66.7%           100            20       1.5000       1.5001  a\n"
        "         2        1    0.0%             7             8       0.0000       0.0000  b\"\n"
        "         5        1   40.0%           107            28       1.5000       1.5001  total\n"
        "\n1 of these have no known price and are not in COST: the setting `prices` takes a file "
        "with more.\n");
}

static void test_by_key_and_day(void **state) {
    (void)state;
    fill();
    const char *keys = report("key", "24h", false);
    assert_non_null(strstr(keys, "  chat (kkkkkkkkkk)\n"));
    assert_non_null(strstr(keys, "  (none)\n"));
    assert_non_null(strstr(report("key", "24h", true),
                           "{\"key\":\"kkkkkkkkkk\",\"name\":\"chat\",\"requests\":2,"));
    const char *days = report("day", "all", false);
    const char *first =
        strstr(days, "         2        0    0.0%           101            21       "
                     "6.5000       0.0000  2026-11-21\n");
    assert_non_null(first);
    assert_non_null(strstr(first, "  2026-11-22\n"));
}

static void test_nothing(void **state) {
    (void)state;
    assert_string_equal(report(NULL, "all", false), "The ledger has no requests of that time.\n");
    assert_non_null(strstr(report(NULL, "all", true), "\"rows\":[],\n \"total\":{\"requests\":0,"));
}

static void test_no_room(void **state) {
    (void)state;
    struct sl_usage_wish wish = {.by = SL_SUM_BY_MODEL};
    struct sl_buf small;
    fill();
    sl_buf_init(&small, 100);
    assert_int_equal(sl_usage_report(&small, db, &wish, true, why, sizeof(why)), SL_E_LIMIT);
    assert_string_equal(why, "the report does not fit into memory");
    sl_buf_done(&small);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wishes),
        TEST(test_by_model),
        TEST(test_by_key_and_day),
        TEST(test_nothing),
        TEST(test_no_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
