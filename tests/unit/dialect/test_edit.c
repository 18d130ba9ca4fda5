/* Edits are spliced: every byte that was not asked for stays where it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "sluice/dialect/edit.h"
#include "sluice/wire/sigv4.h"

#define CLAUDE SL_LIT("us.anthropic.claude-sonnet-4-5-20250929-v1:0")
#define NOVA   SL_LIT("amazon.nova-pro-v1:0")

struct rig {
    struct sl_call call;
    struct sl_arena arena;
    struct sl_slice body;
};

static void open_rig(struct rig *r, enum sl_operation op, struct sl_slice model, const char *body) {
    *r = (struct rig){.call = {.operation = op, .model = model, .max_tokens = -1}};
    sl_arena_init(&r->arena, 65536);
    sl_chain_init(&r->call.body, NULL);
    assert_int_equal(sl_chain_add(&r->call.body, sl_slice_str(body)), SL_OK);
    sl_sha256_of(sl_slice_str(body), r->call.body_sha256);
}

static void expect(struct rig *r, const char *body, const char *edited) {
    uint8_t hash[SL_SHA256_SIZE];
    assert_int_equal(sl_chain_flatten(&r->call.body, 1 << 20, &r->body), SL_OK);
    assert_int_equal(r->body.len, strlen(body));
    assert_memory_equal(r->body.ptr, body, r->body.len);
    sl_sha256_of(r->body, hash);
    assert_memory_equal(hash, r->call.body_sha256, sizeof(hash));
    assert_true(sl_slice_eq(r->call.edited, sl_slice_str(edited)));
    sl_chain_done(&r->call.body);
    sl_arena_done(&r->arena);
}

static void mark(enum sl_operation op, struct sl_slice model, const char *body, uint32_t least,
                 const char *expected, const char *edited) {
    struct rig r;
    open_rig(&r, op, model, body);
    assert_int_equal(sl_edit_mark_prompts(&r.call, &r.arena, least), SL_OK);
    expect(&r, expected, edited);
}

static void converse_gets_elements(void **state) {
    (void)state;
    mark(SL_OP_CONVERSE, CLAUDE,
         "{\"system\":[{\"text\":\"s\"}] ,\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":"
         "\"a\"}]},{\"role\":\"assistant\",\"content\":[{\"text\":\"b\"}]},{\"role\":\"user\","
         "\"content\":[{\"text\":\"c\"}]}],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":"
         "\"t\"}}]}}",
         1,
         "{\"system\":[{\"text\":\"s\"},{\"cachePoint\":{\"type\":\"default\"}}] ,\"messages\":[{"
         "\"role\":\"user\",\"content\":[{\"text\":\"a\"}]},{\"role\":\"assistant\",\"content\":[{"
         "\"text\":\"b\"},{\"cachePoint\":{\"type\":\"default\"}}]},{\"role\":\"user\",\"content\":"
         "[{\"text\":\"c\"}]}],\"toolConfig\":{\"tools\":[{\"toolSpec\":{\"name\":\"t\"}},{"
         "\"cachePoint\":{\"type\":\"default\"}}]}}",
         "cache-points");
}

static void only_claude_takes_markers_behind_tools(void **state) {
    (void)state;
    mark(SL_OP_CONVERSE_STREAM, NOVA,
         "{\"system\":[{\"text\":\"s\"}],\"toolConfig\":{\"tools\":[{\"toolSpec\":{}}]}}", 1,
         "{\"system\":[{\"text\":\"s\"},{\"cachePoint\":{\"type\":\"default\"}}],\"toolConfig\":{"
         "\"tools\":[{\"toolSpec\":{}}]}}",
         "cache-points");
}

static void claude_bodies_get_members(void **state) {
    (void)state;
    mark(
        SL_OP_INVOKE_MODEL, CLAUDE,
        "{\"system\":\"be\\u0000brief\",\"tools\":[{\"name\":\"t\"}],\"messages\":[{\"content\":"
        "\"a\"},{\"content\":\"b\"}]}",
        1,
        "{\"system\":[{\"type\":\"text\",\"text\":\"be\\u0000brief\",\"cache_control\":{\"type\":"
        "\"ephemeral\"}}],\"tools\":[{\"name\":\"t\",\"cache_control\":{\"type\":\"ephemeral\"}}],"
        "\"messages\":[{\"content\":[{\"type\":\"text\",\"text\":\"a\",\"cache_control\":{\"type\":"
        "\"ephemeral\"}}]},{\"content\":\"b\"}]}",
        "cache-points");
}

static void what_does_not_qualify_goes_as_it_is(void **state) {
    static const char *const bodies[] = {
        "{\"system\":[{\"text\":\"short\"}],\"messages\":[]}", /* below the minimum */
        "not json",
        "{}",
        "[]",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        mark(SL_OP_CONVERSE, CLAUDE, bodies[i], 1024, bodies[i], "");
    /* The client's own markers stand alone. */
    static const char own[] =
        "{\"system\":[{\"text\":\"s\"},{\"cachePoint\":{\"type\":\"default\"}}],\"messages\":[]}";
    mark(SL_OP_CONVERSE, CLAUDE, own, 1, own, "");
    /* A thinking block takes no marker; another operation is not looked at. */
    static const char thinking[] =
        "{\"messages\":[{\"content\":[{\"type\":\"thinking\"}]},{\"content\":\"b\"}]}";
    mark(SL_OP_INVOKE_MODEL, CLAUDE, thinking, 1, thinking, "");
    mark(SL_OP_COUNT_TOKENS, CLAUDE, thinking, 1, thinking, "");
}

static void max_tokens(const char *body, const char *expected, const char *edited) {
    struct rig r;
    open_rig(&r, SL_OP_CONVERSE, NOVA, body);
    assert_int_equal(sl_edit_max_tokens(&r.call, &r.arena, 700), SL_OK);
    assert_int_equal(r.call.max_tokens, edited[0] ? 700 : -1);
    expect(&r, expected, edited);
}

static void max_tokens_is_added_where_none_is(void **state) {
    (void)state;
    max_tokens("{\"messages\":[] }", "{\"messages\":[] ,\"inferenceConfig\":{\"maxTokens\":700}}",
               "max-tokens");
    max_tokens("{\"inferenceConfig\":{\"topP\":1},\"messages\":[]}",
               "{\"inferenceConfig\":{\"maxTokens\":700,\"topP\":1},\"messages\":[]}",
               "max-tokens");
    max_tokens("{\"inferenceConfig\":{}}", "{\"inferenceConfig\":{\"maxTokens\":700}}",
               "max-tokens");
    max_tokens("{\"inferenceConfig\":null}", "{\"inferenceConfig\":null}", "");
}

static void a_limit_of_the_client_s_stays(void **state) {
    static const char body[] = "{\"inferenceConfig\":{\"maxTokens\":5}}";
    struct rig r;
    (void)state;
    open_rig(&r, SL_OP_CONVERSE, NOVA, body);
    r.call.max_tokens = 5;
    assert_int_equal(sl_edit_max_tokens(&r.call, &r.arena, 700), SL_OK);
    expect(&r, body, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(converse_gets_elements),
        cmocka_unit_test(only_claude_takes_markers_behind_tools),
        cmocka_unit_test(claude_bodies_get_members),
        cmocka_unit_test(what_does_not_qualify_goes_as_it_is),
        cmocka_unit_test(max_tokens_is_added_where_none_is),
        cmocka_unit_test(a_limit_of_the_client_s_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
