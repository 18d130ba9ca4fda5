/*
 * Requests as the simulator reads them, beside their bodies' shapes (fuzz_sim_body.c): lines with
 * method, target, authority and a fault, then headers "name:value" up to an empty one, then a body.
 * Nobody comes in without a secret, whatever he shows; and what is said of models, quotas and jobs
 * is JSON or a refusal.
 */
#include <stdlib.h>

#include "sim/auth.h"
#include "sim/control.h"
#include "sim/faults.h"
#include "sim/jobs.h"
#include "sim/route.h"
#include "sim/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARENA_MAX   ((size_t)4 << 20)
#define MAX_HEADERS 32
#define NOW_MS      INT64_C(1795342039000)
#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static const struct sl_sim_settings settings = {.access_key_id = SL_SIM_ACCESS_KEY_ID,
                                                .secret = "a secret that no input holds",
                                                .rpm = 10,
                                                .tpm = 1000};

static void check_auth(const struct sl_request_head *head, unsigned services,
                       struct sl_sim_refusal *no) {
    static const uint8_t hash[SL_SHA256_SIZE] = {1};
    struct sl_sim_auth auth = {0};
    struct sl_sigv4_key key = {.valid = false};
    int rc = sl_sim_auth_head(&auth, &settings, head, services, NOW_MS, no);
    if (rc == 0) {
        REQUIRE(auth.signature_due);
        rc = sl_sim_auth_body(&auth, &settings, head, &key, hash, no);
    }
    REQUIRE(rc == SL_E_NOMEM || (rc == SL_E_DENIED && no->kind && no->message.len > 0));
    sl_sigv4_key_done(&key);
}

static bool is_json(struct sl_slice text) {
    struct sl_sim_scan scan;
    sl_sim_scan_init(&scan);
    return sl_sim_scan_feed(&scan, text) == 0 && sl_sim_scan_finish(&scan) == 0;
}

static void check_told(int rc, struct sl_sim_out *out, struct sl_sim_refusal *no) {
    REQUIRE(rc == 0 || rc == SL_E_NOMEM || (rc == SL_E_DENIED && no->kind));
    REQUIRE(rc || out->error || is_json(sl_buf_slice(&out->buf)));
    sl_sim_out_done(out);
    sl_sim_out_init(out, ARENA_MAX);
    no->kind = 0;
}

static void check_control(const struct sl_sim_route *route, const struct sl_request_head *head,
                          struct sl_slice body, struct sl_sim_refusal *no) {
    struct sl_slice query = sl_target_query(head->target), region = SL_LIT("us-east-1");
    struct sl_sim_jobs jobs = {0};
    struct sl_sim_out out;
    sl_sim_out_init(&out, ARENA_MAX);
    check_told(sl_sim_list_models(query, region, &out, no), &out, no);
    check_told(sl_sim_list_profiles(query, region, &out, no), &out, no);
    check_told(sl_sim_get_model(route->params[0], region, &out, no), &out, no);
    check_told(sl_sim_get_profile(route->params[0], region, &out, no), &out, no);
    /* As the simulator does: no tree of what is not JSON. */
    cJSON *tree = is_json(body) ? cJSON_ParseWithLength(body.ptr, body.len) : NULL;
    if (tree) {
        struct sl_slice target = sl_headers_get(&head->headers, SL_LIT("x-amz-target"));
        check_told(sl_sim_list_quotas(target, tree, &settings, &out, no), &out, no);
        check_told(sl_sim_jobs_start(&jobs, tree, region, NOW_MS, &out, no), &out, no);
    }
    check_told(sl_sim_jobs_get(&jobs, route->params[0], region, NOW_MS, &out, no), &out, no);
    check_told(sl_sim_jobs_list(&jobs, query, region, NOW_MS, &out, no), &out, no);
    cJSON_Delete(tree);
    sl_sim_jobs_done(&jobs);
    sl_sim_out_done(&out);
}

static void check_fault(struct sl_slice text) {
    struct sl_sim_fault fault;
    struct sl_sim_faults faults;
    int rc = sl_sim_fault_parse(text, &fault);
    REQUIRE(rc == 0 || rc == SL_E_INVALID);
    rc = sl_sim_faults_init(&faults, text);
    REQUIRE(rc == 0 || rc == SL_E_INVALID || rc == SL_E_LIMIT);
    for (int i = 0; rc == 0 && i < 20; i++)
        (void)sl_sim_faults_next(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct sl_header headers[MAX_HEADERS];
    struct sl_request_head head = {.headers = {headers, 0, MAX_HEADERS}};
    struct sl_slice text = sl_slice_of(data, size), fault, line;
    struct sl_sim_route route;
    struct sl_arena arena;
    if (size == 0 || size > 1 << 16 || !sl_slice_split(&text, '\n', &head.method) ||
        !sl_slice_split(&text, '\n', &head.target) ||
        !sl_slice_split(&text, '\n', &head.authority) || !sl_slice_split(&text, '\n', &fault))
        return 0;
    while (sl_slice_split(&text, '\n', &line) && line.len > 0) {
        size_t colon = sl_slice_find(line, ':');
        if (head.headers.count == MAX_HEADERS)
            return 0;
        headers[head.headers.count++] = (struct sl_header){
            sl_slice_head(line, colon), sl_slice_trim(sl_slice_skip(line, colon + 1))};
    }
    sl_arena_init(&arena, ARENA_MAX);
    struct sl_sim_refusal no = {.arena = &arena};
    check_fault(fault);
    if (sl_sim_route_find(head.method, sl_target_path(head.target), &arena, &route) == 0) {
        check_auth(&head, route.services ? route.services : SL_SIM_SERVICE_BEDROCK, &no);
        check_control(&route, &head, text.ptr ? text : SL_EMPTY, &no);
    }
    sl_arena_done(&arena);
    return 0;
}
