/* JSON of what the scheduler shows, and the one change that is taken back: limits and weights. */
#include "app/admin_sched.h"

#include <inttypes.h>

#include "sluice/wire/json_view.h"

#define WEIGHT_MAX 1000
#define NAME_MAX   4096 /* a pool's id ends with a model's */
#define NODES_MAX  32   /* values in a change */

/* A list under way: a page stops growing at the first error, which the end reports. */
struct list {
    struct sl_buf *out;
    size_t count;
    int err;
};

static int add_limits(struct sl_buf *out, const char *name, const struct sl_limits *l) {
    return sl_buf_printf(out,
                         "\"%s\":{\"rpm\":%" PRIu64 ",\"tpm\":%" PRIu64 ",\"tpd\":%" PRIu64
                         ",\"in_flight\":%" PRIu32 "},",
                         name, l->rpm, l->tpm, l->tpd, l->in_flight);
}

static int add_pool(struct sl_buf *out, const struct sl_pool_view *v) {
    int err = sl_buf_add_str(out, "{\"id\":");
    if (!err)
        err = sl_buf_add_json(out, v->id);
    if (!err)
        err = sl_buf_add_str(out, ",");
    if (!err)
        err = add_limits(out, "limits", &v->limits);
    if (!err)
        err = add_limits(out, "configured", &v->configured);
    if (!err)
        err = sl_buf_printf(out,
                            "\"used\":{\"requests\":%" PRIu64 ",\"tokens\":%" PRIu64
                            ",\"day\":%" PRIu64 "},\"running\":%" PRIu32
                            ",\"gate\":\"%s\",\"gate_opens_ms\":%" PRIu64 ",\"window\":\"%s\",",
                            v->used_requests, v->used_tokens, v->used_day, v->running, v->gate,
                            v->gate_opens_ns / SL_NS_PER_MS, v->window);
    if (!err)
        err = sl_buf_printf(out,
                            "\"learned\":%s,\"calls\":%" PRIu64 ",\"throttles\":%" PRIu64
                            ",\"failures\":%" PRIu64 ",\"retries\":%" PRIu64 "}",
                            v->learned ? "true" : "false", v->calls, v->throttles, v->failures,
                            v->retries);
    return err;
}

static bool list_pool(void *ctx, const struct sl_pool_view *view) {
    struct list *list = ctx;
    if (list->count++ > 0)
        list->err = sl_buf_add_str(list->out, ",\n");
    if (!list->err)
        list->err = add_pool(list->out, view);
    return list->err == 0;
}

static void get_targets(void *ctx, const struct sl_admin_request *request,
                        struct sl_admin_reply *reply) {
    const struct sl_admin_sched *sched = ctx;
    struct list list = {.out = &reply->body};
    (void)request;
    list.err = sl_buf_add_str(&reply->body, "{\"pools\":[");
    if (!list.err)
        sched->look_pools(sched->ctx, list_pool, &list);
    if (!list.err)
        list.err = sl_buf_add_str(&reply->body, "]}\n");
    sl_admin_check(reply, list.err);
}

static bool list_wait(void *ctx, struct sl_slice line, enum sl_class priority, uint64_t tenant,
                      uint32_t waiting, uint64_t tokens, uint64_t oldest_ns) {
    struct list *list = ctx;
    list->err = sl_buf_printf(list->out, "%s{\"line\":", list->count++ > 0 ? ",\n" : "");
    if (!list->err)
        list->err = sl_buf_add_json(list->out, line);
    /* Tenants are 64 bits, more than a JSON number holds everywhere. */
    if (!list->err)
        list->err = sl_buf_printf(
            list->out,
            ",\"class\":\"%.*s\",\"tenant\":\"%" PRIu64 "\",\"waiting\":%" PRIu32
            ",\"tokens\":%" PRIu64 ",\"oldest_ms\":%" PRIu64 "}",
            SL_FMT(sl_class_name(priority)), tenant, waiting, tokens, oldest_ns / SL_NS_PER_MS);
    return list->err == 0;
}

static void get_queue(void *ctx, const struct sl_admin_request *request,
                      struct sl_admin_reply *reply) {
    const struct sl_admin_sched *sched = ctx;
    struct sl_queue_counts counts = sched->count_queue(sched->ctx);
    struct list list = {.out = &reply->body};
    (void)request;
    list.err =
        sl_buf_printf(&reply->body,
                      "{\"waiting\":%" PRIu32 ",\"running\":%" PRIu32 ",\"waiting_bytes\":%" PRIu64
                      ",\"waiting_tokens\":%" PRIu64 ",\"lines\":[",
                      counts.waiting, counts.running, counts.waiting_bytes, counts.waiting_tokens);
    if (!list.err)
        sched->look_queue(sched->ctx, list_wait, &list);
    if (!list.err)
        list.err = sl_buf_add_str(&reply->body, "]}\n");
    sl_admin_check(reply, list.err);
}

/* ---- changes ---- */

enum change_field { POOL, TARGET, RPM, TPM, TPD, IN_FLIGHT, WEIGHT, FIELDS };
static const struct {
    struct sl_slice key; /* as it stands in the body */
    int64_t max;         /* of numbers; 0: a text */
    int64_t min;
} fields[FIELDS] = {
    [POOL] = {SL_LIT("\"pool\""), 0, 0},
    [TARGET] = {SL_LIT("\"target\""), 0, 0},
    [RPM] = {SL_LIT("\"rpm\""), 1000000000, 0},
    [TPM] = {SL_LIT("\"tpm\""), INT64_C(1000000000000), 0},
    [TPD] = {SL_LIT("\"tpd\""), INT64_C(1000000000000000), 0},
    [IN_FLIGHT] = {SL_LIT("\"in_flight\""), 1000000, 0},
    [WEIGHT] = {SL_LIT("\"weight\""), WEIGHT_MAX, 1},
};

struct change {
    bool has[FIELDS];
    int64_t numbers[FIELDS];
    struct sl_buf pool, target;
};

/* One member of the body; false when the reply says what is wrong with it. */
static bool read_member(const struct sl_json_view *view, const struct sl_json_node *node,
                        struct change *change, struct sl_admin_reply *reply) {
    struct sl_slice key = sl_json_key_raw(view, node);
    size_t f = 0;
    while (f < FIELDS && !sl_slice_eq(key, fields[f].key))
        f++;
    if (f == FIELDS) {
        sl_admin_fail(reply, 400,
                      "unknown member %.*s; it takes pool, rpm, tpm, tpd, in_flight, target, "
                      "weight",
                      SL_FMT(sl_slice_head(key, 80)));
        return false;
    }
    bool fine = fields[f].max == 0
                    ? sl_json_text(view, node, f == POOL ? &change->pool : &change->target) == 0
                    : sl_json_int(view, node, &change->numbers[f]) &&
                          change->numbers[f] >= fields[f].min &&
                          change->numbers[f] <= fields[f].max;
    change->has[f] = true;
    if (!fine && fields[f].max == 0)
        sl_admin_fail(reply, 400, "%.*s takes a text", SL_FMT(key));
    else if (!fine)
        sl_admin_fail(reply, 400, "%.*s takes a whole number from %" PRId64 " to %" PRId64,
                      SL_FMT(key), fields[f].min, fields[f].max);
    return fine;
}

static bool read_change(struct sl_slice body, struct change *change, struct sl_admin_reply *reply) {
    struct sl_json_view view;
    bool fine = sl_json_view_parse(&view, body, NODES_MAX) == 0 &&
                sl_json_is(sl_json_root(&view), SL_JSON_IS_OBJECT);
    if (!fine)
        sl_admin_fail(reply, 400, "the body takes JSON such as {\"pool\":\"ID\",\"tpm\":600000}");
    const struct sl_json_node *node = fine ? sl_json_child(&view, sl_json_root(&view)) : NULL;
    for (; node && fine; node = sl_json_next(&view, node))
        fine = read_member(&view, node, change, reply);
    sl_json_view_done(&view);
    if (!fine)
        return false;
    bool limits =
        change->has[RPM] || change->has[TPM] || change->has[TPD] || change->has[IN_FLIGHT];
    if (limits != change->has[POOL] || change->has[WEIGHT] != change->has[TARGET] ||
        (!limits && !change->has[WEIGHT])) {
        sl_admin_fail(reply, 400,
                      "it takes a pool with its limits, a target with its weight, or "
                      "both");
        return false;
    }
    return true;
}

struct search {
    struct sl_slice id;
    struct sl_limits limits;
    bool found;
};

static bool match_pool(void *ctx, const struct sl_pool_view *view) {
    struct search *search = ctx;
    search->found = sl_slice_eq(view->id, search->id);
    if (search->found)
        search->limits = view->configured;
    return !search->found;
}

/* What is not named stays as it is. */
static void merge(const struct change *change, struct sl_limits *limits) {
    if (change->has[RPM])
        limits->rpm = (uint64_t)change->numbers[RPM];
    if (change->has[TPM])
        limits->tpm = (uint64_t)change->numbers[TPM];
    if (change->has[TPD])
        limits->tpd = (uint64_t)change->numbers[TPD];
    if (change->has[IN_FLIGHT])
        limits->in_flight = (uint32_t)change->numbers[IN_FLIGHT];
}

static void patch_targets(const struct sl_admin_sched *sched, const struct change *change,
                          struct sl_admin_reply *reply) {
    struct search search = {.id = sl_buf_slice(&change->pool)};
    struct sl_slice target = sl_buf_slice(&change->target);
    if (change->has[POOL]) {
        sched->look_pools(sched->ctx, match_pool, &search);
        merge(change, &search.limits);
        if (!search.found || !sched->set_limits(sched->ctx, search.id, &search.limits)) {
            sl_admin_fail(reply, 404, "there is no pool \"%.*s\"; GET /admin/targets lists them",
                          SL_FMT(sl_slice_head(search.id, 200)));
            return;
        }
    }
    if (change->has[WEIGHT] &&
        !sched->set_weight(sched->ctx, target, (uint32_t)change->numbers[WEIGHT])) {
        sl_admin_fail(reply, 404, "there is no target \"%.*s\"",
                      SL_FMT(sl_slice_head(target, 200)));
        return;
    }
    sl_admin_check(reply, sl_buf_add_str(&reply->body, "{}\n"));
}

static void change_targets(void *ctx, const struct sl_admin_request *request,
                           struct sl_admin_reply *reply) {
    struct change change = {0};
    sl_buf_init(&change.pool, NAME_MAX);
    sl_buf_init(&change.target, NAME_MAX);
    if (read_change(request->body, &change, reply))
        patch_targets(ctx, &change, reply);
    sl_buf_done(&change.pool);
    sl_buf_done(&change.target);
}

static void page_targets(void *ctx, const struct sl_admin_request *request,
                         struct sl_admin_reply *reply) {
    if (sl_slice_eq(request->method, SL_LIT("GET")))
        get_targets(ctx, request, reply);
    else
        change_targets(ctx, request, reply);
}

const struct sl_admin_row sl_admin_sched_rows[] = {
    {"/admin/targets", SL_ADMIN_GET | SL_ADMIN_PATCH | SL_ADMIN_POST, page_targets, false},
    {"/admin/queue", SL_ADMIN_GET, get_queue, false},
    {NULL, 0, NULL, false},
};
