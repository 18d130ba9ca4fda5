/* The table's own sanity: what every row must obey for the code that reads rows to be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/config_key.h"
#include "app/config_value.h"

static size_t field_size(enum sl_config_type type) {
    switch (type) {
    case SL_CONFIG_BOOL:
        return sizeof(bool);
    case SL_CONFIG_DURATION:
        return sizeof(uint32_t);
    case SL_CONFIG_CHOICE:
        return sizeof(unsigned);
    case SL_CONFIG_HOSTPORT:
        return sizeof(struct sl_hostport);
    case SL_CONFIG_HOSTPORTS:
    case SL_CONFIG_STRINGS:
    case SL_CONFIG_MAP:
    case SL_CONFIG_LISTS:
    case SL_CONFIG_RECORDS:
    case SL_CONFIG_NAMED_RECORDS:
        return sizeof(struct sl_string_list);
    default:
        return sizeof(const char *);
    }
}

static void check_rows(const struct sl_config_key *keys, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const struct sl_config_key *k = &keys[i];
        bool records = sl_config_shape(k) > SL_CONFIG_PAIRS;
        bool number = k->type == SL_CONFIG_INTEGER || k->type == SL_CONFIG_SIZE ||
                      k->type == SL_CONFIG_DURATION;
        if (number)
            assert_true(k->size == sizeof(uint32_t) || k->size == sizeof(uint64_t));
        else if (k->type == SL_CONFIG_RECORD)
            assert_int_equal(k->size, k->item_size);
        else
            assert_int_equal(k->size, field_size(k->type));
        if (number)
            assert_true(k->max > k->min && (k->size == sizeof(uint64_t) || k->max <= UINT32_MAX));
        if (sl_config_shape(k) != SL_CONFIG_SCALAR && k->type != SL_CONFIG_RECORD)
            assert_true(k->max > 0);
        if (k->type != SL_CONFIG_MAP)
            assert_int_equal(k->type == SL_CONFIG_CHOICE, k->choices != NULL);
        assert_int_equal(records, k->members != NULL);
        assert_true(k->member_count < 64); /* those seen are bits of one word */
        for (size_t m = 0; m < k->member_count; m++) {
            assert_true(k->members[m].offset + k->members[m].size <= k->item_size);
            assert_ptr_equal(sl_config_member_find(k, sl_slice_str(k->members[m].path)),
                             &k->members[m]);
            assert_true(sl_config_shape(&k->members[m]) <= SL_CONFIG_PAIRS); /* no deeper */
        }
        check_rows(k->members, k->member_count);
        assert_true((k->fallback != NULL) != (k->example != NULL));
        assert_true(strlen(k->path) < SL_CONFIG_PATH_MAX);
        size_t len = strlen(k->doc);
        assert_true(len > 10 && k->doc[len - 1] == '.');
        assert_null(strchr(k->doc, '|')); /* it would break the reference's table */
    }
}

static void test_rows(void **state) {
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    (void)state;
    check_rows(keys, count);
}

static void test_paths_into_records_lead_to_their_key(void **state) {
    (void)state;
    const struct sl_config_key *targets = sl_config_key_find(SL_LIT("targets"));
    assert_ptr_equal(sl_config_key_holding(SL_LIT("targets[0].region")), targets);
    assert_ptr_equal(sl_config_key_holding(SL_LIT("targets")), targets);
    assert_null(sl_config_key_holding(SL_LIT("nothing[0]")));
    assert_string_equal(sl_config_member_nearest(targets, SL_LIT("endpiont"))->path, "endpoint");
    assert_null(sl_config_member_nearest(targets, SL_LIT("colour")));
}

static void test_fields_do_not_overlap(void **state) {
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    (void)state;
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count; j++)
            assert_true(keys[i].offset + keys[i].size <= keys[j].offset ||
                        keys[j].offset + keys[j].size <= keys[i].offset);
}

static void test_names_are_unique_as_variables_too(void **state) {
    size_t count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char a[SL_CONFIG_VARIABLE_SIZE], b[SL_CONFIG_VARIABLE_SIZE];
        sl_config_key_variable(&keys[i], a);
        assert_string_not_equal(a, "SLUICE_CONFIG");
        for (size_t j = i + 1; j < count; j++) {
            sl_config_key_variable(&keys[j], b);
            assert_string_not_equal(a, b);
        }
    }
}

static void test_sections_match_keys(void **state) {
    size_t count, section_count;
    const struct sl_config_key *keys = sl_config_keys(&count);
    const struct sl_config_section *sections = sl_config_sections(&section_count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct sl_slice section = sl_config_key_section(&keys[i]);
        assert_true(section.len == 0 || sl_config_is_section(section));
        assert_ptr_equal(sl_config_key_find(sl_slice_str(keys[i].path)), &keys[i]);
    }
    for (size_t i = 0; i < section_count; i++) {
        size_t held = 0;
        for (size_t j = 0; j < count; j++)
            held += sl_slice_eq(sl_config_key_section(&keys[j]), sl_slice_str(sections[i].name));
        assert_true(held > 0);
        assert_null(sl_config_key_find(sl_slice_str(sections[i].name)));
    }
}

static void test_variable(void **state) {
    char name[SL_CONFIG_VARIABLE_SIZE];
    (void)state;
    sl_config_key_variable(sl_config_key_find(SL_LIT("upstream.ca_file")), name);
    assert_string_equal(name, "SLUICE_UPSTREAM_CA_FILE");
}

static void test_nearest(void **state) {
    static const char *const cases[][2] = {
        {"upstream.regoin", "upstream.region"},
        {"region", "upstream.region"},
        {"queue.maxwait", "queue.max_wait"},
        {"quue.max_wait", "queue.max_wait"},
        {"Listen", "listen"},
        {"something.else.entirely", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct sl_config_key *key = sl_config_key_nearest(sl_slice_str(cases[i][0]));
        if (!cases[i][1])
            assert_null(key);
        else
            assert_string_equal(key->path, cases[i][1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_paths_into_records_lead_to_their_key),
        cmocka_unit_test(test_fields_do_not_overlap),
        cmocka_unit_test(test_names_are_unique_as_variables_too),
        cmocka_unit_test(test_sections_match_keys),
        cmocka_unit_test(test_variable),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
