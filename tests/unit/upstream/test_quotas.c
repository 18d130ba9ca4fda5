/* Names of quotas back to models, the list and its text form, and asking a scripted API for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "../script_server.h"
#include "sluice/upstream/quotas.h"
#include "upstream/quota_names.h"

/* ---- names ---- */

static void check_name(const char *name, const char *model, enum sl_channel channel,
                       enum sl_quota_kind kind) {
    struct sl_quota_name read;
    if (!sl_quota_name_read(sl_slice_str(name), &read))
        fail_msg("\"%s\" is not read", name);
    if (!sl_slice_eq(read.model, sl_slice_str(model)) || read.channel != channel ||
        read.kind != kind)
        fail_msg("\"%s\": %.*s %d %d", name, SL_FMT(read.model), read.channel, read.kind);
}

static void names_lead_to_models(void **state) {
    static const struct {
        const char *display, *model;
    } cases[] = {
        {"Anthropic Claude 3.5 Sonnet", "anthropic.claude-3-5-sonnet-20240620"},
        {"Anthropic Claude 3.5 Sonnet V2", "anthropic.claude-3-5-sonnet-20241022"},
        {"Anthropic Claude Sonnet 4 V1", "anthropic.claude-sonnet-4"},
        {"Anthropic Claude Sonnet 4.5 V1", "anthropic.claude-sonnet-4-5"},
        {"Anthropic Claude Sonnet 4.5 V1 1M Context Length", ""},
        {"Anthropic Claude 3.7 Sonnet V1", "anthropic.claude-3-7-sonnet"},
        {"Anthropic Claude Opus 4.1", "anthropic.claude-opus-4-1"},
        {"Meta Llama 3.3 70B Instruct", "meta.llama3-3-70b-instruct"},
        {"Meta Llama 3 8B Instruct", "meta.llama3-8b-instruct"},
        {"Meta Llama 4 Scout V1", "meta.llama4-scout-17b-instruct"},
        {"Meta Llama 4 Scout 17B Instruct", "meta.llama4-scout-17b-instruct"},
        {"Amazon Nova Lite", "amazon.nova-lite"},
        {"Amazon Nova 2 Lite", "amazon.nova-2-lite"},
        {"Amazon Titan Text Embeddings V2", "amazon.titan-embed-text-v2"},
        {"Amazon Titan Embeddings G1 - Text", "amazon.titan-embed-text-v1"},
        {"Amazon Titan Text G1 - Express", "amazon.titan-text-express"},
        {"Mistral AI Mistral 7B Instruct", "mistral.mistral-7b-instruct"},
        {"Mistral AI Mixtral 8X7BB Instruct", ""},
        {"Mistral Mixtral 8x7b Instruct", "mistral.mixtral-8x7b-instruct"},
        {"Mistral AI Mistral Small (24.02)", "mistral.mistral-small-2402"},
        {"Cohere Command R", "cohere.command-r"},
        {"Cohere Command R+", "cohere.command-r-plus"},
        {"DeepSeek DeepSeek-R1", "deepseek.r1"},
        {"DeepSeek R1 V1", "deepseek.r1"},
        {"OpenAI gpt-oss-120b", "openai.gpt-oss-120b-1"},
        {"Somebody's New Model", ""},
        {"", ""},
        {"a b c d e f g h i j k l m n o p q r", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[256];
        snprintf(name, sizeof(name), "On-demand model inference tokens per minute for %s",
                 cases[i].display);
        check_name(name, cases[i].model, SL_CHANNEL_ON_DEMAND, SL_QUOTA_TPM);
    }
}

static void names_tell_channel_and_kind(void **state) {
    struct sl_quota_name read;
    (void)state;
    check_name("Cross-region model inference requests per minute for Amazon Nova Pro",
               "amazon.nova-pro", SL_CHANNEL_CROSS_REGION, SL_QUOTA_RPM);
    check_name("Global cross-region model inference tokens per day for Anthropic Claude Opus 4.5",
               "anthropic.claude-opus-4-5", SL_CHANNEL_GLOBAL, SL_QUOTA_TPD);
    check_name("cross-region Model Inference tokens per minute for amazon nova pro",
               "amazon.nova-pro", SL_CHANNEL_CROSS_REGION, SL_QUOTA_TPM);
    assert_true(
        sl_quota_name_read(SL_LIT("Model invocation max tokens per day for Anthropic Claude "
                                  "Sonnet 4 V1 (doubled for cross-region calls)"),
                           &read));
    assert_true(read.doubled && read.kind == SL_QUOTA_TPD);
    static const char *const others[] = {
        "On-demand latency-optimized model inference requests per minute for Amazon Nova Pro",
        "Batch inference job size (in GB) for Amazon Nova Pro",
        "On-demand model inference images per minute for Amazon Nova Pro",
        "Custom models with a creation status per account",
        "On-demand model inference ",
        "",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(sl_quota_name_read(sl_slice_str(others[i]), &read));
}

static void versions_do_not_make_another_model(void **state) {
    static const struct {
        const char *row, *base;
        bool is;
    } cases[] = {
        {"anthropic.claude-sonnet-4", "anthropic.claude-sonnet-4-20250514-v1:0", true},
        {"anthropic.claude-sonnet-4", "anthropic.claude-sonnet-4-5-20250929-v1:0", false},
        {"anthropic.claude-sonnet-4", "anthropic.claude-sonnet-4-6", false},
        {"anthropic.claude-opus-4-6", "anthropic.claude-opus-4-6-v1", true},
        {"amazon.nova-lite", "amazon.nova-lite-v1:0", true},
        {"amazon.nova-lite", "amazon.nova-litest", false},
        {"cohere.command-r", "cohere.command-r-plus-v1:0", false},
        {"cohere.command-r", "cohere.command-r-v1:0", true},
        {"openai.gpt-oss-20b-1", "openai.gpt-oss-20b-1:0", true},
        {"deepseek.r1", "deepseek.r1-v1:0", true},
        {"x", "x", true},
        {"x", "", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (sl_quota_model_is(sl_slice_str(cases[i].row), sl_slice_str(cases[i].base)) !=
            cases[i].is)
            fail_msg("%s, %s", cases[i].row, cases[i].base);
}

/* ---- the list ---- */

static void add(struct sl_quota_rows *rows, const char *name, uint64_t value) {
    assert_int_equal(sl_quota_rows_add(rows, sl_slice_str(name), value), 0);
}

static void fill(struct sl_quota_rows *rows) {
    add(rows, "On-demand model inference tokens per minute for Amazon Nova Lite", 1000);
    add(rows, "Cross-region model inference tokens per minute for Amazon Nova Lite", 2000);
    add(rows, "Cross-region model inference requests per minute for Amazon Nova Lite", 20);
    add(rows,
        "Model invocation max tokens per day for Amazon Nova Lite (doubled for cross-region "
        "calls)",
        5000);
    add(rows, "Model invocation max tokens per day for Nobody's Model", 5000);
    add(rows, "Something else", 1);
}

static void check_filled(const struct sl_quota_rows *rows) {
    struct sl_quota_limits l;
    assert_int_equal(rows->count, 5);
    assert_true(
        sl_quota_rows_find(rows, SL_LIT("amazon.nova-lite-v1:0"), SL_CHANNEL_ON_DEMAND, &l));
    assert_true(l.tpm == 1000 && l.rpm == 0 && l.tpd == 5000);
    assert_true(
        sl_quota_rows_find(rows, SL_LIT("us.amazon.nova-lite-v1:0"), SL_CHANNEL_CROSS_REGION, &l));
    assert_true(l.tpm == 2000 && l.rpm == 20 && l.tpd == 10000);
    assert_false(sl_quota_rows_find(rows, SL_LIT("amazon.nova-lite-v1:0"), SL_CHANNEL_GLOBAL, &l));
    assert_true(l.tpm == 0);
    assert_false(
        sl_quota_rows_find(rows, SL_LIT("amazon.nova-pro-v1:0"), SL_CHANNEL_ON_DEMAND, &l));
}

static void rows_are_found_by_model_and_channel(void **state) {
    struct sl_quota_rows rows = {0};
    (void)state;
    fill(&rows);
    check_filled(&rows);
    sl_quota_rows_done(&rows);
}

static void lists_survive_as_text(void **state) {
    struct sl_quota_rows rows = {0}, again = {0};
    struct sl_buf text;
    (void)state;
    fill(&rows);
    sl_buf_init(&text, 4096);
    assert_int_equal(sl_quota_rows_save(&rows, &text), 0);
    sl_quota_rows_done(&rows);
    assert_int_equal(sl_buf_add_str(&text, "global tpm 5 unknown.model\n"), 0);
    assert_int_equal(sl_quota_rows_parse(&again, sl_buf_slice(&text)), 0);
    check_filled(&again);
    sl_quota_rows_done(&again);
    sl_buf_done(&text);
    static const char *const wrong[] = {
        "on-demand tpm x amazon.nova-lite",   "on-demand tpm 5",
        "nowhere tpm 5 amazon.nova-lite",     "global tps 5 amazon.nova-lite",
        "global tpm 5 amazon.nova-lite more", " "};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(sl_quota_rows_parse(&again, sl_slice_str(wrong[i])), SL_E_INVALID);
    assert_int_equal(again.count, 0);
}

static void pages_that_make_no_sense(void **state) {
    static const char *const wrong[] = {"", "{", "[]", "{}", "{\"Quotas\":{}}", "{\"Quotas\":1}"};
    struct sl_quota_rows rows = {0};
    struct sl_buf token;
    (void)state;
    sl_buf_init(&token, 1024);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(sl_quota_rows_add_page(&rows, sl_slice_str(wrong[i]), &token),
                         SL_E_INVALID);
    struct sl_slice odd = SL_LIT(
        "{\"Quotas\":[1,null,{},{\"QuotaName\":5,\"Value\":5},{\"QuotaName\":\"On-demand model "
        "inference tokens per minute for Amazon Nova Lite\",\"Value\":\"7\"},{\"QuotaName\":"
        "\"On-demand model inference tokens per minute for Amazon Nova Lite\",\"Value\":-3},"
        "{\"QuotaName\":\"On-demand model inference tokens per minute for Amazon Nova Lite\","
        "\"Value\":1e300}],\"NextToken\":null}");
    assert_int_equal(sl_quota_rows_add_page(&rows, odd, &token), 0);
    assert_int_equal(rows.count, 0);
    assert_int_equal(token.len, 0);
    sl_buf_done(&token);
}

/* ---- asking ---- */

struct rig {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_fetch_client *client;
    struct script_server server;
    uv_timer_t guard;
    struct sl_target *target;
    char why[512];
};
static struct rig rig;

static void on_guard(uv_timer_t *timer) {
    (void)timer;
    fail_msg("nothing happened for 20 s");
}

static void start(void (*script)(struct script_conn *, struct sl_slice)) {
    static const struct sl_upstream_timeouts timeouts = {5000, 10000, 10000};
    memset(&rig, 0, sizeof(rig));
    assert_int_equal(uv_loop_init(&rig.uv), 0);
    assert_int_equal(sl_loop_init(&rig.loop, &rig.uv), SL_OK);
    uv_timer_init(&rig.uv, &rig.guard);
    uv_timer_start(&rig.guard, on_guard, 20000, 0);
    rig.client =
        sl_fetch_client_new(&rig.loop, &(struct sl_fetch_client_settings){.max_in_flight = 4});
    script_server_start(&rig.server, &rig.uv, script);
    const struct sl_target_settings settings = {.name = "t",
                                                .region = "us-west-2",
                                                .endpoint = rig.server.url,
                                                .access_key_id = "AKIDEXAMPLE",
                                                .secret = "secret"};
    rig.target =
        sl_target_new(&rig.loop, rig.client, &settings, &timeouts, rig.why, sizeof(rig.why));
    assert_non_null(rig.target);
}

static void stop(void) {
    sl_target_free(rig.target);
    sl_fetch_client_free(rig.client);
    script_server_stop(&rig.server);
    uv_close((uv_handle_t *)&rig.guard, NULL);
    sl_loop_done(&rig.loop);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig.uv), 0);
}

static void reply(struct script_conn *conn, const char *status, const char *body) {
    char text[2048];
    snprintf(text, sizeof(text), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status,
             strlen(body), body);
    script_send(conn, text);
}

static bool has(struct sl_slice request, const char *part) {
    return sl_slice_search(request, sl_slice_str(part)) < request.len;
}

#define QUOTA(what, model, value)                                                                  \
    "{\"QuotaName\":\"" what " model inference tokens per minute for " model "\",\"Value\":" value \
    "}"

static void script_two_pages(struct script_conn *conn, struct sl_slice request) {
    assert_true(sl_slice_starts(request, SL_LIT("POST / HTTP/1.1\r\n")));
    assert_true(has(request, "x-amz-target: ServiceQuotasV20190624.ListServiceQuotas\r\n"));
    assert_true(has(request, "content-type: application/x-amz-json-1.1\r\n"));
    assert_true(has(request, "/us-west-2/servicequotas/aws4_request"));
    assert_true(has(request, "\"ServiceCode\":\"bedrock\""));
    if (has(request, "\"NextToken\":\"a\\\"b\""))
        reply(conn, "200 OK", "{\"Quotas\":[" QUOTA("On-demand", "Amazon Nova Pro", "7.0") "]}");
    else
        reply(conn, "200 OK",
              "{\"Quotas\":[" QUOTA("On-demand", "Amazon Nova Lite",
                                    "1000.0") "],\"NextToken\":\"a\\\"b\"}");
}

static void script_denied(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    reply(conn, "400 Bad Request",
          "{\"__type\":\"AccessDeniedException\",\"Message\":\"User is not authorized\"}");
}

static void script_nonsense(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    reply(conn, "200 OK", "<html>");
}

static void script_error(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    reply(conn, "503 Service Unavailable", "");
}

static void script_endless(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    reply(conn, "200 OK", "{\"Quotas\":[],\"NextToken\":\"x\"}");
}

static void script_silent(struct script_conn *conn, struct sl_slice request) {
    (void)conn;
    (void)request;
    uv_stop(&rig.uv);
}

static void script_reset_it(struct script_conn *conn, struct sl_slice request) {
    (void)request;
    script_reset(conn);
}

struct seen {
    int count, error, status;
    char why[512];
    struct sl_quota_rows rows;
};

static void on_done(void *ctx, const struct sl_quota_answer *answer) {
    struct seen *seen = ctx;
    seen->count++;
    seen->error = answer->error;
    seen->status = answer->status;
    snprintf(seen->why, sizeof(seen->why), "%s", answer->why);
    seen->rows = *answer->rows;
    *answer->rows = (struct sl_quota_rows){0};
    uv_stop(&rig.uv);
}

static void ask(void (*script)(struct script_conn *, struct sl_slice), struct seen *seen) {
    *seen = (struct seen){0};
    start(script);
    assert_non_null(sl_quota_ask_start(&rig.loop, rig.target, on_done, seen));
    assert_int_equal(seen->count, 0);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    assert_int_equal(seen->count, 1);
    stop();
}

static void all_pages_are_fetched(void **state) {
    struct seen seen;
    struct sl_quota_limits l;
    (void)state;
    ask(script_two_pages, &seen);
    assert_int_equal(seen.error, 0);
    assert_int_equal(seen.rows.count, 2);
    assert_true(
        sl_quota_rows_find(&seen.rows, SL_LIT("amazon.nova-pro-v1:0"), SL_CHANNEL_ON_DEMAND, &l));
    assert_int_equal(l.tpm, 7);
    sl_quota_rows_done(&seen.rows);
}

static void refusals_are_told(void **state) {
    static const struct {
        void (*script)(struct script_conn *, struct sl_slice);
        int error, status;
        const char *why;
    } cases[] = {
        {script_denied, SL_E_DENIED, 400, "AccessDeniedException: User is not authorized"},
        {script_nonsense, SL_E_PROTOCOL, 200, "the Service Quotas API gave no list of quotas"},
        {script_error, SL_E_PROTOCOL, 503, "the Service Quotas API refused"},
        {script_endless, SL_E_PROTOCOL, 200, "the Service Quotas API does not come to an end"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct seen seen;
        ask(cases[i].script, &seen);
        assert_int_equal(seen.error, cases[i].error);
        assert_int_equal(seen.status, cases[i].status);
        assert_string_equal(seen.why, cases[i].why);
        sl_quota_rows_done(&seen.rows);
    }
    struct seen seen;
    ask(script_reset_it, &seen);
    assert_true(seen.error < 0);
    assert_int_equal(seen.status, 0);
    assert_true(seen.why[0] != '\0');
    sl_quota_rows_done(&seen.rows);
}

static void a_cancelled_ask_is_silent(void **state) {
    struct seen seen = {0};
    (void)state;
    start(script_silent);
    struct sl_quota_ask *a = sl_quota_ask_start(&rig.loop, rig.target, on_done, &seen);
    assert_non_null(a);
    uv_run(&rig.uv, UV_RUN_DEFAULT);
    sl_quota_ask_cancel(a);
    sl_quota_ask_cancel(NULL);
    uv_run(&rig.uv, UV_RUN_NOWAIT);
    stop();
    assert_int_equal(seen.count, 0);
}

static void no_memory_is_no_ask(void **state) {
    (void)state;
    start(script_endless);
    struct sl_mem_stats before = sl_mem_stats();
    for (uint64_t n = 1; n < 4; n++) {
        struct seen seen = {0};
        sl_mem_fail_after(n);
        struct sl_quota_ask *a = sl_quota_ask_start(&rig.loop, rig.target, on_done, &seen);
        sl_mem_fail_after(0);
        assert_null(a);
        assert_int_equal(seen.count, 0);
    }
    assert_int_equal(sl_mem_stats().blocks, before.blocks);
    stop();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_lead_to_models),
        cmocka_unit_test(names_tell_channel_and_kind),
        cmocka_unit_test(versions_do_not_make_another_model),
        cmocka_unit_test(rows_are_found_by_model_and_channel),
        cmocka_unit_test(lists_survive_as_text),
        cmocka_unit_test(pages_that_make_no_sense),
        cmocka_unit_test(all_pages_are_fetched),
        cmocka_unit_test(refusals_are_told),
        cmocka_unit_test(a_cancelled_ask_is_silent),
        cmocka_unit_test(no_memory_is_no_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
