/*
 * The checks stand in a list, each needing what the ones before it found; the first that makes the
 * rest pointless ends the run of its target, and each target has its turn. Only questions that cost
 * nothing are asked, over a loop of its own.
 */
#include "app/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "app/check_run.h"
#include "app/simulator.h"
#include "sluice/base/chain.h"
#include "sluice/base/mem.h"

#define EXIT_FINE   0
#define EXIT_FAILED 1
#define EXIT_CONFIG 2
#define WHY_SIZE    1024
#define LINE_SIZE   1024

/* check has one call under way at a time. */
#define MAX_IN_FLIGHT 4

void sl_check_report(struct sl_check_run *run, const char *what,
                     const struct sl_check_verdict *verdict) {
    static const char *const words[] = {"ok", "warn", "fail"};
    if (verdict->level == SL_CHECK_FAIL)
        run->failures++;
    printf("%-4s  %s%s%s – %s%s%s\n", words[verdict->level], run->name ? run->name : "",
           run->name ? ": " : "", what, verdict->cause, verdict->cure[0] ? "; " : "",
           verdict->cure);
    fflush(stdout);
}

void sl_check_say(struct sl_check_run *run, enum sl_check_level level, const char *what,
                  const char *fmt, ...) {
    struct sl_check_verdict verdict = {.level = level};
    va_list args;
    va_start(args, fmt);
    vsnprintf(verdict.cause, sizeof(verdict.cause), fmt, args);
    va_end(args);
    sl_check_report(run, what, &verdict);
}

bool sl_check_ask(struct sl_check_run *run, const char *what,
                  const struct sl_check_request *request, struct sl_check_subject *subject,
                  struct sl_check_outcome *outcome, struct sl_check_verdict *verdict) {
    const char *host = sl_target_endpoint(run->target, request->plane);
    subject->host = host ? host : "";
    subject->region = sl_target_region(run->target);
    sl_buf_clear(&run->body);
    int rc = sl_check_call(&run->loop, run->target, request, outcome, &run->body);
    if (rc != 0)
        sl_check_say(run, SL_CHECK_FAIL, what, "the call could not be made (%s)",
                     sl_error_name(rc));
    else
        sl_check_explain(outcome, subject, verdict);
    return rc == 0;
}

/* ---- the checks: false ends the run ---- */

static void check_tls(struct sl_check_run *run) {
    char why[WHY_SIZE];
    if (!run->config->tls.certificate)
        return;
    struct sl_tls *tls = sl_tls_new(&run->config->tls, why, sizeof(why));
    if (tls)
        sl_check_say(run, SL_CHECK_OK, "tls", "certificate and key fit");
    else
        sl_check_say(run, SL_CHECK_FAIL, "tls", "%s", why);
    sl_tls_free(tls);
}

static bool check_region(struct sl_check_run *run) {
    char why[WHY_SIZE] = "out of memory";
    struct sl_target_settings settings = run->config->targets[run->index];
    char endpoint[SL_SIMULATED_ENDPOINT_SIZE];
    if (run->sim)
        sl_simulated_target(run->config, sl_sim_address(run->sim), endpoint, &settings);
    run->target =
        sl_target_new(&run->loop, run->fetch, &settings, &run->config->timeouts, why, sizeof(why));
    if (!run->target) {
        sl_check_say(run, SL_CHECK_FAIL, "region", "%s", why);
        return false;
    }
    sl_check_say(run, SL_CHECK_OK, "region", "%s", sl_target_region(run->target));
    return true;
}

static bool check_credentials(struct sl_check_run *run) {
    struct sl_check_credentials found;
    struct sl_check_outcome none = {.error = SL_E_DENIED, .phase = SL_FETCH_RESOLVE};
    struct sl_check_subject subject = {"", "", "", ""};
    struct sl_check_verdict verdict;
    char date[SL_ISO_DATE_SIZE] = "";
    sl_check_credentials(&run->loop, run->target, &found);
    if (!found.found) {
        snprintf(none.why, sizeof(none.why), "%s", found.why);
        sl_check_explain(&none, &subject, &verdict);
        sl_check_report(run, "credentials", &verdict);
        return false;
    }
    bool forever = found.expires_ms == INT64_MAX;
    if (!forever)
        sl_clock_iso_date(found.expires_ms, date);
    sl_check_say(run, SL_CHECK_OK, "credentials", "%s from %s%s%s",
                 found.bearer ? "API key" : "access key", found.source,
                 forever ? "" : ", valid until ", date);
    return true;
}

/*
 * ListAsyncInvokes is the one question to the runtime host that costs nothing and names no model.
 * That it is not allowed does not matter: AWS knew the caller, which is what is asked.
 */
static bool check_runtime(struct sl_check_run *run) {
    const struct sl_check_request request = {.plane = SL_PLANE_RUNTIME,
                                             .operation = SL_OP_LIST_ASYNC_INVOKES,
                                             .method = "GET",
                                             .path = SL_LIT("/async-invoke?maxResults=1")};
    struct sl_check_subject subject = {.action = "bedrock:ListAsyncInvokes", .model = "the model"};
    struct sl_check_outcome outcome;
    struct sl_check_verdict verdict, clock;
    if (!sl_check_ask(run, "bedrock", &request, &subject, &outcome, &verdict))
        return false;
    if (verdict.permission || (!outcome.error && outcome.status / 100 == 2))
        sl_check_say(run, SL_CHECK_OK, "bedrock", "%s answers and accepts the credentials",
                     subject.host);
    else
        sl_check_report(run, "bedrock", &verdict);
    if (outcome.date_ms >= 0) {
        sl_check_clock(outcome.date_ms, sl_clock_wall_ms(), &clock);
        sl_check_report(run, "clock", &clock);
    }
    return verdict.permission || verdict.level != SL_CHECK_FAIL;
}

static unsigned count_models(struct sl_slice body) {
    const struct sl_slice needle = SL_LIT("\"modelId\"");
    unsigned count = 0;
    for (size_t at; (at = sl_slice_search(body, needle)) < body.len; count++)
        body = sl_slice_skip(body, at + needle.len);
    return count;
}

/* The gateway itself does not need the control plane, so nothing here is worse than a warning. */
static bool check_catalogue(struct sl_check_run *run) {
    const struct sl_check_request request = {.plane = SL_PLANE_CONTROL,
                                             .operation = SL_OP_LIST_FOUNDATION_MODELS,
                                             .method = "GET",
                                             .path = SL_LIT("/foundation-models")};
    struct sl_check_subject subject = {.action = "bedrock:ListFoundationModels",
                                       .model = "the model"};
    struct sl_check_outcome outcome;
    struct sl_check_verdict verdict;
    if (!sl_check_ask(run, "models", &request, &subject, &outcome, &verdict))
        return true;
    if (verdict.level == SL_CHECK_OK)
        snprintf(verdict.cause, sizeof(verdict.cause), "%u offered in %s",
                 count_models(sl_buf_slice(&run->body)), subject.region);
    else
        verdict.level = SL_CHECK_WARN;
    sl_check_report(run, "models", &verdict);
    return true;
}

static bool check_quotas(struct sl_check_run *run) {
    sl_check_quotas(run);
    return true;
}

static bool check_model(struct sl_check_run *run) {
    if (run->cli->model)
        sl_check_model(run);
    return true;
}

/* ---- the run ---- */

static bool start_simulator(struct sl_check_run *run) {
    char why[WHY_SIZE] = "out of memory";
    if (!run->cli->source.simulator)
        return true;
    run->sim =
        sl_sim_new(&run->loop, &run->config->simulator, "127.0.0.1", 0, NULL, why, sizeof(why));
    if (!run->sim)
        sl_check_say(run, SL_CHECK_FAIL, "simulator", "%s", why);
    return run->sim != NULL;
}

static bool open_run(struct sl_check_run *run) {
    const struct sl_fetch_client_settings settings = {.max_in_flight = MAX_IN_FLIGHT,
                                                      .user_agent = "sluice/" SLUICE_VERSION};
    sl_buf_init(&run->body, SL_CHECK_BODY_MAX);
    run->fetch = sl_fetch_client_new(&run->loop, &settings);
    if (run->fetch)
        return start_simulator(run);
    sl_check_say(run, SL_CHECK_FAIL, "network", "out of memory");
    return false;
}

static void close_run(struct sl_check_run *run) {
    if (run->fetch)
        sl_fetch_client_free(run->fetch);
    if (run->sim)
        sl_sim_free(run->sim);
    sl_buf_done(&run->body);
}

static void check_target(struct sl_check_run *run) {
    static bool (*const checks[])(struct sl_check_run *) = {
        check_region, check_credentials, check_runtime, check_catalogue, check_quotas, check_model,
    };
    bool going = true;
    run->name = run->config->target_count > 1 ? run->config->targets[run->index].name : NULL;
    for (size_t i = 0; going && i < sizeof(checks) / sizeof(checks[0]); i++)
        going = checks[i](run);
    sl_target_free(run->target);
    run->target = NULL;
    run->name = NULL;
}

/* Everything that needs the loop; it is gone again afterwards. */
static void check_network(struct sl_check_run *run) {
    if (uv_loop_init(&run->uv) != 0 || sl_loop_init(&run->loop, &run->uv) != SL_OK) {
        sl_check_say(run, SL_CHECK_FAIL, "network", "no event loop can be made");
        return;
    }
    if (open_run(run))
        for (; run->index < run->config->target_count; run->index++)
            check_target(run);
    close_run(run);
    uv_run(&run->uv, UV_RUN_DEFAULT); /* closing callbacks */
    sl_loop_done(&run->loop);
    uv_run(&run->uv, UV_RUN_DEFAULT);
    uv_loop_close(&run->uv);
    sl_chunk_pool_done();
}

static int load(struct sl_check_run *run) {
    char why[WHY_SIZE];
    const char *file = run->cli->source.file;
    int rc = sl_config_load(&run->cli->source, &run->config, why, sizeof(why));
    if (rc != 0)
        sl_check_say(run, SL_CHECK_FAIL, "configuration", "%s", why);
    else
        sl_check_say(run, SL_CHECK_OK, "configuration", "%s",
                     file ? file : "no file: defaults, environment and command line");
    return rc;
}

int sl_check(const struct sl_cli *cli) {
    struct sl_check_run *run = sl_calloc(1, sizeof(*run));
    if (!run)
        return EXIT_FAILED;
    run->cli = cli;
    int code = load(run) == 0 ? EXIT_FINE : EXIT_CONFIG;
    if (code == EXIT_FINE) {
        sl_log_setup(SL_LOG_WARN, run->config->log.format); /* the lines on stdout say the rest */
        check_tls(run);
        if (run->failures > 0)
            code = EXIT_CONFIG;
        if (!cli->offline)
            check_network(run);
    }
    if (code == EXIT_FINE && run->failures > 0)
        code = EXIT_FAILED;
    sl_config_free(run->config);
    sl_free(run);
    return code;
}
