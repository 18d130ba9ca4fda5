/* Every type: what it takes, what it refuses, and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/config_value.h"

struct fixture {
    struct sl_config config;
    struct sl_config_write write;
};

static void write_to(struct fixture *f, const char *path) {
    f->write.config = &f->config;
    f->write.key = sl_config_key_find(sl_slice_str(path));
    assert_non_null(f->write.key);
}

static int setup(void **state) {
    static struct fixture fixture;
    memset(&fixture, 0, sizeof(fixture));
    sl_arena_init(&fixture.config.arena, 1 << 20);
    *state = &fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    sl_arena_done(&f->config.arena);
    return 0;
}

static void takes(struct fixture *f, const char *path, const char *text) {
    write_to(f, path);
    int rc = sl_config_write_text(&f->write, sl_slice_str(text));
    if (rc != 0)
        fail_msg("%s: \"%s\" was refused: %s", path, text, f->write.reason);
}

static void refuses(struct fixture *f, const char *path, const char *text, const char *reason) {
    struct sl_config before = f->config;
    write_to(f, path);
    assert_int_equal(sl_config_write_text(&f->write, sl_slice_str(text)), SL_E_INVALID);
    if (!strstr(f->write.reason, reason))
        fail_msg("%s: \"%s\": the reason is \"%s\"", path, text, f->write.reason);
    if (sl_config_shape(f->write.key) == SL_CONFIG_SCALAR) {
        before.arena = f->config.arena;
        assert_memory_equal(&before, &f->config, sizeof(before));
    }
}

static void test_bool(void **state) {
    struct fixture *f = *state;
    static const char *const on[] = {"on", "true", "yes", "On", "TRUE"};
    static const char *const off[] = {"off", "false", "no", "No"};
    for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
        f->config.log.access = false;
        takes(f, "log.access", on[i]);
        assert_true(f->config.log.access);
    }
    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        f->config.log.access = true;
        takes(f, "log.access", off[i]);
        assert_false(f->config.log.access);
    }
    refuses(f, "log.access", "1", "\"1\" is not on or off");
    refuses(f, "log.access", "", "needs a value");
}

static void test_integer(void **state) {
    struct fixture *f = *state;
    takes(f, "queue.max_requests", "7");
    assert_int_equal(f->config.queue.max_requests, 7);
    takes(f, "simulator.seed", "18446744073709551615");
    assert_true(f->config.simulator.seed == UINT64_MAX);
    refuses(f, "queue.max_requests", "0", "\"0\" is too small; the least is 1");
    refuses(f, "queue.max_requests", "1000001", "the most is 1000000");
    refuses(f, "queue.max_requests", "-1", "is not a whole number");
    refuses(f, "queue.max_requests", "1.5", "is not a whole number");
    refuses(f, "queue.max_requests", "10k", "is not a whole number");
    refuses(f, "queue.max_requests", "0x10", "is not a whole number");
    refuses(f, "simulator.seed", "18446744073709551616", "too large");
}

static void test_size(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        {"1048576", 1048576}, {"2000000B", 2000000}, {"1024KiB", 1048576}, {"2000kB", 2000000},
        {"2000KB", 2000000},  {"512MiB", 536870912}, {"25MB", 25000000},   {"1GiB", 1073741824},
        {"1GB", 1000000000},  {"  3 MiB ", 3145728},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        takes(f, "queue.max_bytes", cases[i].text);
        assert_true(f->config.queue.max_bytes == cases[i].bytes);
    }
    refuses(f, "queue.max_bytes", "1M", "is not a size");
    refuses(f, "queue.max_bytes", "1mib", "is not a size");
    refuses(f, "queue.max_bytes", "MiB", "is not a size");
    refuses(f, "queue.max_bytes", "1kB", "the least is 1MiB");
    refuses(f, "queue.max_bytes", "18446744073709551615GiB", "too large");
    /* 4 GiB and a little must not wrap in a 32-bit field. */
    refuses(f, "limits.header_bytes", "4294971392", "the most is 1MiB");
}

static void test_duration(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *text;
        uint32_t ms;
    } cases[] = {{"0ms", 0},      {"0", 0},        {"1500ms", 1500}, {"30s", 30000},
                 {"10m", 600000}, {"1h", 3600000}, {"1d", 86400000}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        takes(f, "queue.max_wait", cases[i].text);
        assert_int_equal(f->config.queue.max_wait_ms, cases[i].ms);
    }
    refuses(f, "queue.max_wait", "30", "a number with ms, s, m, h or d");
    refuses(f, "queue.max_wait", "1.5s", "is not a duration");
    refuses(f, "queue.max_wait", "-1s", "is not a duration");
    refuses(f, "queue.max_wait", "2d", "the most is 1d");
    refuses(f, "upstream.connect_timeout", "99ms", "the least is 100ms");
}

static void test_choice(void **state) {
    struct fixture *f = *state;
    takes(f, "log.level", "warn");
    assert_int_equal(f->config.log.level, SL_LOG_WARN);
    refuses(f, "log.level", "loud", "\"loud\" is none of: debug, info, warn, error");
    refuses(f, "auth", "", "needs a value");
}

static void test_string(void **state) {
    struct fixture *f = *state;
    static char big[5000];
    takes(f, "upstream.region", " eu-west-1 ");
    assert_string_equal(f->config.upstream.region, "eu-west-1");
    takes(f, "upstream.region", "");
    assert_null(f->config.upstream.region);
    refuses(f, "simulator.region", "", "needs a value");
    refuses(f, "upstream.region", "a\nb", "\"a?b\" holds a control character");
    memset(big, 'x', sizeof(big) - 1);
    refuses(f, "upstream.region", big, "is longer than 4096 bytes");
    assert_true(strlen(f->write.reason) < 200);
}

static void test_url(void **state) {
    struct fixture *f = *state;
    takes(f, "upstream.endpoint", "https://vpce-1.example.com");
    takes(f, "upstream.endpoint", "http://127.0.0.1:8000");
    assert_string_equal(f->config.upstream.endpoint, "http://127.0.0.1:8000");
    refuses(f, "upstream.endpoint", "vpce-1.example.com", "https://HOST");
    refuses(f, "upstream.endpoint", "ftp://host", "https://HOST");
    refuses(f, "upstream.endpoint", "https://", "https://HOST");
    refuses(f, "upstream.endpoint", "https://host/path", "goes on behind host and port");
    refuses(f, "upstream.endpoint", "https://user@host", "goes on behind host and port");
}

static void test_hostport(void **state) {
    struct fixture *f = *state;
    takes(f, "admin", "[::1]:0");
    assert_string_equal(f->config.admin.host, "::1");
    assert_int_equal(f->config.admin.port, 0);
    takes(f, "admin", "gateway_1.example.com:65535");
    assert_string_equal(f->config.admin.host, "gateway_1.example.com");
    assert_int_equal(f->config.admin.port, 65535);
    refuses(f, "admin", "localhost", "is not HOST:PORT");
    refuses(f, "admin", "localhost:", "is not HOST:PORT");
    refuses(f, "admin", "localhost:65536", "is not HOST:PORT");
    refuses(f, "admin", "localhost:http", "is not HOST:PORT");
    refuses(f, "admin", "8081", "is not HOST:PORT");
    refuses(f, "admin", ":8081", "write 0.0.0.0:8081 for every address");
    refuses(f, "admin", "::1:8081", "stands in brackets");
    refuses(f, "admin", "[localhost]:1", "neither a host name nor an address");
    refuses(f, "admin", "a b:1", "neither a host name nor an address");
    refuses(f, "admin", "http://h:1", "neither a host name nor an address");
}

static void test_list(void **state) {
    struct fixture *f = *state;
    takes(f, "hosts", "a, b ,c,d,e");
    assert_int_equal(f->config.hosts.count, 5);
    assert_string_equal(f->config.hosts.items[0], "a");
    assert_string_equal(f->config.hosts.items[1], "b");
    assert_string_equal(f->config.hosts.items[4], "e");
    takes(f, "hosts", "z"); /* replaces, does not add */
    assert_int_equal(f->config.hosts.count, 1);
    takes(f, "hosts", "");
    assert_int_equal(f->config.hosts.count, 0);
    refuses(f, "hosts", "a,,b", "holds an empty item");
    takes(f, "listen", "127.0.0.1:1,[::1]:2");
    assert_int_equal(f->config.listen.count, 2);
    assert_string_equal(f->config.listen.items[1].host, "::1");
    refuses(f, "listen", "", "needs at least 1");
    refuses(f, "listen", "127.0.0.1:1,nonsense", "\"nonsense\" is not HOST:PORT");
}

static void test_list_has_a_maximum(void **state) {
    struct fixture *f = *state;
    write_to(f, "listen");
    assert_int_equal(sl_config_write_begin(&f->write), 0);
    for (size_t i = 0; i < f->write.key->max; i++)
        assert_int_equal(sl_config_write_item(&f->write, SL_EMPTY, SL_LIT("h:1")), 0);
    assert_int_equal(sl_config_write_item(&f->write, SL_EMPTY, SL_LIT("h:1")), SL_E_INVALID);
    assert_string_equal(f->write.reason, "holds more than 16 items");
}

static void test_map(void **state) {
    struct fixture *f = *state;
    takes(f, "models.successors", "a.b-v1:0 = us.c-v1:0, d=e");
    assert_int_equal(f->config.models.successors.count, 2);
    assert_string_equal(f->config.models.successors.items[0].name, "a.b-v1:0");
    assert_string_equal(f->config.models.successors.items[0].value, "us.c-v1:0");
    assert_string_equal(f->config.models.successors.items[1].value, "e");
    refuses(f, "models.successors", "a=b,a=c", "\"a\" is there twice");
    refuses(f, "models.successors", "a", "needs a name and a value");
    refuses(f, "models.successors", "=b", "needs a name and a value");
}

static void test_amount(void **state) {
    static const struct {
        enum sl_config_type type;
        uint64_t value;
        const char *text;
    } cases[] = {
        {SL_CONFIG_SIZE, 0, "0"},
        {SL_CONFIG_SIZE, 65536, "64KiB"},
        {SL_CONFIG_SIZE, 25000000, "25MB"},
        {SL_CONFIG_SIZE, 1001, "1001B"},
        {SL_CONFIG_DURATION, 0, "0ms"},
        {SL_CONFIG_DURATION, 90000, "90s"},
        {SL_CONFIG_DURATION, 86400000, "1d"},
        {SL_CONFIG_INTEGER, 42, "42"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[SL_CONFIG_AMOUNT];
        sl_config_amount(cases[i].type, cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
}

/* Records come from YAML alone; as a text they can only be taken back. */
static void test_records_as_text(void **state) {
    struct fixture *f = *state;
    void *item;
    refuses(f, "targets", "name=a", "is not a list of mappings");
    refuses(f, "quotas.models", "x=1", "is not names with a mapping each");
    refuses(f, "models.fallbacks", "a=b", "is not names with a list each");
    write_to(f, "targets");
    assert_int_equal(sl_config_write_begin(&f->write), 0);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(sl_config_write_record(&f->write, SL_EMPTY, &item), 0);
    assert_int_equal(sl_config_write_record(&f->write, SL_EMPTY, &item), SL_E_INVALID);
    assert_non_null(strstr(f->write.reason, "more than 16"));
    assert_int_equal(f->config.listed.count, 16);
    assert_int_equal(f->config.listed.items[15].weight, 1);
    takes(f, "targets", "");
    assert_int_equal(f->config.listed.count, 0);
}

static void test_maps_of_choices(void **state) {
    struct fixture *f = *state;
    takes(f, "cache.models", "*nova*=never, x=always");
    assert_string_equal(f->config.cache.models.items[0].name, "*nova*");
    assert_string_equal(f->config.cache.models.items[1].value, "always");
    refuses(f, "cache.models", "a=b", "\"b\" is none of: always, deterministic, never");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bool, setup, teardown),
        cmocka_unit_test_setup_teardown(test_integer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_size, setup, teardown),
        cmocka_unit_test_setup_teardown(test_duration, setup, teardown),
        cmocka_unit_test_setup_teardown(test_choice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_string, setup, teardown),
        cmocka_unit_test_setup_teardown(test_url, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostport, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_list_has_a_maximum, setup, teardown),
        cmocka_unit_test_setup_teardown(test_map, setup, teardown),
        cmocka_unit_test_setup_teardown(test_records_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_maps_of_choices, setup, teardown),
        cmocka_unit_test(test_amount),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
