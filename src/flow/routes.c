/*
 * Which targets serve a model, and under which quota. A line of the queue for each model asked for;
 * its routes are the targets, each with the model's id as that target wants it and the pool of
 * quota it draws on. Pools are found by name, so that lines share them and they outlive a change of
 * targets.
 *
 *   (model, plane) ──▶ line ──▶ route: target a, "us.meta.llama3-3-…" ──▶ pool
 * "a/us-east-1/cross-region/meta.…" └──▶ route: target b, "eu.meta.llama3-3-…" ──▶ pool
 * "b/eu-west-1/cross-region/meta.…"
 */
#include <assert.h>

#include "flow/internal.h"
#include "sluice/base/mem.h"

/* Clients name models: what they make up must not fill memory. Lines nobody waits in are dropped
 * for new ones; pools hold what was learned and stay, while there is room. */
#define LINES_MAX 1024
#define POOLS_MAX 4096
#define KEY_MAX   (SL_MODEL_ID_MAX + 16)

/* ---- pools ---- */

struct sl_flow_pool {
    struct sl_table_node node;
    struct sl_list link;
    struct sl_pool *pool;
    uint32_t users;                        /* routes */
    struct sl_slice target, region, model; /* within the pool's id, or the route's text: copied */
    char text[];
};

static struct sl_slice channel_name(enum sl_plane plane, struct sl_slice model) {
    if (plane == SL_PLANE_MANTLE)
        return SL_LIT("mantle");
    if (model.len == 0)
        return SL_LIT("other");
    switch (sl_model_channel(model)) {
    case SL_CHANNEL_CROSS_REGION:
        return SL_LIT("cross-region");
    case SL_CHANNEL_GLOBAL:
        return SL_LIT("global");
    default:
        return SL_LIT("on-demand");
    }
}

static struct sl_pool_settings pool_settings(const struct sl_flow *flow,
                                             const struct sl_flow_pool *p) {
    struct sl_pool_settings settings = flow->settings.pool;
    const struct sl_flow_policy *policy = &flow->settings.policy;
    if (policy->limits && p->model.len > 0)
        policy->limits(policy->ctx, p->target.ptr, p->region.ptr, p->model, &settings.configured,
                       &settings.initial);
    return settings;
}

static struct sl_flow_pool *find_pool(const struct sl_flow *flow, struct sl_slice id) {
    struct sl_table_node *node = sl_table_find(&flow->pools, sl_hash(id));
    for (; node; node = sl_table_find_next(node)) {
        struct sl_flow_pool *p = SL_CONTAINER(node, struct sl_flow_pool, node);
        if (sl_slice_eq(sl_pool_id(p->pool), id))
            return p;
    }
    return NULL;
}

/* What a former process left for a pool or model of that name; see sl_flow_restore. */
static struct sl_slice remembered(const struct sl_flow *flow, char kind, struct sl_slice name) {
    struct sl_slice rest = sl_buf_slice(&flow->remembered), line;
    while (sl_slice_split(&rest, '\n', &line)) {
        size_t head = name.len + 3;
        if (line.len > head && line.ptr[0] == kind && line.ptr[head - 1] == ' ' &&
            sl_slice_eq(sl_slice_head(sl_slice_skip(line, 2), name.len), name))
            return sl_slice_skip(line, head);
    }
    return SL_EMPTY;
}

/* Target, region and model end with a NUL each: policies take C strings. */
static struct sl_flow_pool *alloc_pool(const struct sl_target_ref *ref, struct sl_slice model) {
    struct sl_slice target = sl_slice_str(sl_target_name(ref->target)),
                    region = sl_slice_str(sl_target_region(ref->target));
    struct sl_flow_pool *p = sl_calloc(1, sizeof(*p) + target.len + region.len + model.len + 3);
    if (!p)
        return NULL;
    struct sl_slice *const parts[] = {&p->target, &p->region, &p->model};
    const struct sl_slice from[] = {target, region, model};
    char *at = p->text;
    for (size_t i = 0; i < 3; i++) {
        if (from[i].len)
            memcpy(at, from[i].ptr, from[i].len);
        *parts[i] = sl_slice_of(at, from[i].len);
        at += from[i].len + 1;
    }
    return p;
}

static void free_pool(struct sl_flow *flow, struct sl_flow_pool *p) {
    sl_table_remove(&flow->pools, &p->node);
    sl_list_remove(&p->link);
    sl_pool_free(p->pool);
    sl_free(p);
}

/* The oldest that no line draws on. Calls of a former routing may still be at it. */
static void drop_unused_pool(struct sl_flow *flow) {
    SL_LIST_EACH(&flow->pool_list, node, next) {
        struct sl_flow_pool *p = SL_CONTAINER(node, struct sl_flow_pool, link);
        struct sl_pool_view view;
        if (p->users > 0)
            continue;
        sl_pool_look(p->pool, &view, flow->loop->now, sl_flow_wall(flow));
        if (view.running > 0)
            continue;
        free_pool(flow, p);
        return;
    }
}

static struct sl_flow_pool *make_pool(struct sl_flow *flow, const struct sl_target_ref *ref,
                                      struct sl_slice model, struct sl_slice id) {
    if (flow->pools.count >= POOLS_MAX)
        drop_unused_pool(flow);
    struct sl_flow_pool *p = flow->pools.count < POOLS_MAX ? alloc_pool(ref, model) : NULL;
    if (!p)
        return NULL;
    struct sl_pool_settings settings = pool_settings(flow, p);
    uint64_t now = flow->loop->now, wall = sl_flow_wall(flow);
    p->pool = sl_pool_new(id, &settings, sl_rand_u64(), now, wall);
    if (!p->pool) {
        sl_free(p);
        return NULL;
    }
    struct sl_slice line = remembered(flow, 'p', id);
    if (line.len > 0 && sl_pool_restore(p->pool, line, now, wall) != SL_OK)
        sl_log(SL_LOG_WARN, "flow", "what was saved of quota %.*s is damaged and ignored",
               SL_FMT(id));
    sl_table_insert(&flow->pools, &p->node, sl_hash(id));
    sl_list_push_back(&flow->pool_list, &p->link);
    return p;
}

static struct sl_flow_pool *pool_for(struct sl_flow *flow, const struct sl_target_ref *ref,
                                     enum sl_plane plane, struct sl_slice model) {
    struct sl_buf id;
    struct sl_slice channel = channel_name(plane, model), base = sl_model_base(model);
    sl_buf_init(&id, 2 * KEY_MAX);
    int err = sl_buf_printf(&id, "%s/%s/%.*s", sl_target_name(ref->target),
                            sl_target_region(ref->target), SL_FMT(channel));
    if (!err && base.len > 0)
        err = sl_buf_printf(&id, "/%.*s", SL_FMT(base));
    struct sl_flow_pool *p = err ? NULL : find_pool(flow, sl_buf_slice(&id));
    if (!err && !p)
        p = make_pool(flow, ref, model, sl_buf_slice(&id));
    sl_buf_done(&id);
    return p;
}

/* ---- lines ---- */

/* The model's id as one target wants it. `wish` stands for the geography the client named, if any;
 * empty: as asked. */
static int model_at(struct sl_arena *arena, struct sl_slice model, struct sl_slice wish,
                    struct sl_slice *out) {
    if (wish.len == 0 || sl_slice_eq(wish, sl_model_geo_prefix(model)) ||
        sl_slice_starts(model, SL_LIT("arn:")))
        return sl_arena_copy(arena, model, out);
    return sl_arena_printf(arena, out, "%.*s%.*s", SL_FMT(wish), SL_FMT(sl_model_base(model)));
}

/* What stands for the client's geography at that target; with one target, nothing does. */
static struct sl_slice own_geography(const struct sl_flow *flow, const struct sl_target_ref *ref,
                                     struct sl_slice model) {
    struct sl_slice geo = sl_model_geo_prefix(model);
    if (flow->target_count < 2 || geo.len == 0 || sl_slice_eq(geo, SL_LIT("global.")))
        return SL_EMPTY;
    return sl_region_geo_prefix(sl_slice_str(sl_target_region(ref->target)));
}

static int add_route(struct sl_flow *flow, const struct sl_model_line *line,
                     struct sl_routing *routing, struct sl_target_ref *ref, struct sl_slice wish) {
    struct sl_model_route r = {.target = ref};
    if (routing->count == SL_LINE_ROUTES_MAX)
        return SL_OK;
    int err = model_at(&routing->arena, line->model, line->fixed_id ? SL_EMPTY : wish, &r.model);
    if (err)
        return err;
    for (size_t i = 0; i < routing->count; i++)
        if (routing->routes[i].target == ref && sl_slice_eq(routing->routes[i].model, r.model))
            return SL_OK;
    r.pool = pool_for(flow, ref, line->plane, r.model);
    if (!r.pool)
        return SL_E_NOMEM;
    r.target->users++;
    r.pool->users++;
    routing->routes[routing->count++] = r;
    return SL_OK;
}

static void drop_routing(struct sl_routing *routing) {
    for (size_t i = 0; i < routing->count; i++) {
        sl_target_ref_release(routing->routes[i].target);
        routing->routes[i].pool->users--;
    }
    routing->count = 0;
    sl_arena_done(&routing->arena);
}

/* From the flow's targets; on failure as far as it came. */
static int find_routes(struct sl_flow *flow, const struct sl_model_line *line,
                       struct sl_routing *out) {
    int err = SL_OK;
    out->count = 0;
    sl_arena_init(&out->arena, 64 * 1024);
    for (size_t i = 0; !err && i < flow->target_count; i++) {
        struct sl_target_ref *ref = flow->targets[i];
        if (!sl_target_endpoint(ref->target, line->plane))
            continue;
        if (ref->profile_count == 0)
            err = add_route(flow, line, out, ref, own_geography(flow, ref, line->model));
        for (size_t p = 0; !err && p < ref->profile_count; p++)
            err = add_route(flow, line, out, ref, sl_slice_str(ref->profiles[p]));
    }
    return err;
}

/* As the queue wants them. They lead to where the routing is going to stand, in the line. */
static size_t queue_routes(struct sl_model_line *line, const struct sl_routing *routing,
                           struct sl_route out[]) {
    for (size_t i = 0; i < routing->count; i++)
        out[i] = (struct sl_route){.pool = routing->routes[i].pool->pool,
                                   .weight = routing->routes[i].target->weight,
                                   .priority = routing->routes[i].target->priority,
                                   .ctx = &line->routing.routes[i]};
    return routing->count;
}

static int reroute(struct sl_flow *flow, struct sl_model_line *line) {
    struct sl_route routes[SL_LINE_ROUTES_MAX];
    struct sl_routing fresh;
    int err = find_routes(flow, line, &fresh);
    if (!err)
        err = sl_line_set_routes(line->line, routes, queue_routes(line, &fresh, routes));
    if (err) {
        drop_routing(&fresh);
        return err;
    }
    drop_routing(&line->routing);
    line->routing = fresh;
    return SL_OK;
}

static void free_line(struct sl_flow *flow, struct sl_model_line *line) {
    if (sl_list_linked(&line->link)) {
        sl_list_remove(&line->link);
        sl_table_remove(&flow->lines, &line->node);
    }
    if (line->line)
        sl_line_free(line->line);
    drop_routing(&line->routing);
    sl_free(line->outputs);
    sl_free(line);
}

/* So many that each finds its pools. */
static size_t max_lines(const struct sl_flow *flow) {
    size_t routes = 0;
    for (size_t i = 0; i < flow->target_count; i++)
        routes += flow->targets[i]->profile_count ? flow->targets[i]->profile_count : 1;
    if (routes > SL_LINE_ROUTES_MAX)
        routes = SL_LINE_ROUTES_MAX;
    return routes * LINES_MAX > POOLS_MAX ? POOLS_MAX / routes : LINES_MAX;
}

/* Room for one more line: the one unused for longest goes. */
static bool make_room(struct sl_flow *flow) {
    if (flow->lines.count < max_lines(flow))
        return true;
    SL_LIST_EACH(&flow->line_list, node, next) {
        struct sl_model_line *line = SL_CONTAINER(node, struct sl_model_line, link);
        if (line->flights > 0 || !sl_line_is_idle(line->line))
            continue;
        free_line(flow, line);
        return true;
    }
    return false;
}

static struct sl_model_line *new_line(struct sl_flow *flow, struct sl_slice key,
                                      struct sl_slice model, enum sl_plane plane, bool fixed_id) {
    struct sl_route routes[SL_LINE_ROUTES_MAX];
    struct sl_model_line *line = make_room(flow) ? sl_calloc(1, sizeof(*line) + key.len) : NULL;
    if (!line)
        return NULL;
    memcpy(line->key, key.ptr, key.len);
    line->key_len = key.len;
    line->model = sl_slice_of(line->key + (key.len - model.len), model.len);
    line->plane = plane;
    line->fixed_id = fixed_id;
    sl_list_init(&line->link);
    sl_estimator_init(&line->estimator);
    struct sl_slice saved = remembered(flow, 'e', line->model);
    if (saved.len > 0 && sl_estimator_restore(&line->estimator, saved) != SL_OK)
        sl_estimator_init(&line->estimator);
    if (find_routes(flow, line, &line->routing) == SL_OK)
        line->line = sl_line_new(flow->queue, model.len ? model : SL_LIT("(other)"), routes,
                                 queue_routes(line, &line->routing, routes));
    if (!line->line) {
        free_line(flow, line);
        return NULL;
    }
    sl_table_insert(&flow->lines, &line->node, sl_hash(key));
    sl_list_push_back(&flow->line_list, &line->link);
    return line;
}

struct sl_model_line *sl_flow_line(struct sl_flow *flow, const struct sl_call *call,
                                   struct sl_slice model) {
    bool fixed_id = !sl_call_names_model_in_path(call);
    char key[KEY_MAX];
    if (!sl_operation_info(call->operation)->metered || model.len > SL_MODEL_ID_MAX)
        model = SL_EMPTY;
    key[0] = (char)('0' + call->plane);
    key[1] = fixed_id ? 'f' : 'p';
    if (model.len)
        memcpy(key + 2, model.ptr, model.len);
    struct sl_slice name = sl_slice_of(key, model.len + 2);
    struct sl_table_node *node = sl_table_find(&flow->lines, sl_hash(name));
    for (; node; node = sl_table_find_next(node)) {
        struct sl_model_line *line = SL_CONTAINER(node, struct sl_model_line, node);
        if (!sl_slice_eq(sl_slice_of(line->key, line->key_len), name))
            continue;
        sl_list_remove(&line->link);
        sl_list_push_back(&flow->line_list, &line->link); /* used most recently */
        return line;
    }
    return new_line(flow, name, model, call->plane, fixed_id);
}

struct sl_estimator *sl_line_outputs(struct sl_model_line *line, uint64_t tenant, uint64_t now) {
    if (!line->outputs)
        line->outputs = sl_calloc(SL_OUTPUT_MEMORIES, sizeof(*line->outputs));
    if (!line->outputs)
        return NULL;
    struct sl_output_memory *oldest = &line->outputs[0];
    for (size_t i = 0; i < SL_OUTPUT_MEMORIES; i++) {
        struct sl_output_memory *m = &line->outputs[i];
        if (m->used_at && m->tenant == tenant) {
            m->used_at = now;
            return &m->estimator;
        }
        if (m->used_at < oldest->used_at)
            oldest = m;
    }
    *oldest = (struct sl_output_memory){.tenant = tenant, .used_at = now ? now : 1};
    sl_estimator_init(&oldest->estimator);
    return &oldest->estimator;
}

/* ---- targets ---- */

void sl_target_ref_release(struct sl_target_ref *ref) {
    if (--ref->users > 0)
        return;
    sl_target_free(ref->target);
    sl_free(ref);
}

/* Whether that address has been there, also for the targets before a reload: what waits for it
 * waits on. */
static bool was_reached(const struct sl_flow *flow, const struct sl_target *target) {
    const char *address = sl_target_endpoint(target, SL_PLANE_RUNTIME);
    for (size_t i = 0; i < flow->target_count; i++) {
        const struct sl_target_ref *old = flow->targets[i];
        const char *former = sl_target_endpoint(old->target, SL_PLANE_RUNTIME);
        if (old->reached && address && former &&
            sl_slice_eq(sl_slice_str(address), sl_slice_str(former)))
            return true;
    }
    return false;
}

static struct sl_target_ref *new_ref(const struct sl_flow *flow,
                                     const struct sl_flow_target *from) {
    struct sl_target_ref *ref = sl_calloc(1, sizeof(*ref));
    if (!ref)
        return NULL;
    ref->target = from->target;
    ref->users = 1;
    ref->reached = was_reached(flow, from->target);
    ref->weight = from->weight ? from->weight : 1;
    ref->priority = from->priority;
    for (size_t i = 0; i < from->profile_count && i < 4; i++) {
        size_t n = from->profiles[i].len < sizeof(ref->profiles[0]) - 1
                       ? from->profiles[i].len
                       : sizeof(ref->profiles[0]) - 1;
        memcpy(ref->profiles[i], from->profiles[i].ptr, n);
        ref->profile_count++;
    }
    return ref;
}

/* False: some line keeps its old routes for want of memory. */
static bool reroute_all(struct sl_flow *flow) {
    bool all = true;
    SL_LIST_EACH(&flow->line_list, node, next) {
        struct sl_model_line *line = SL_CONTAINER(node, struct sl_model_line, link);
        all &= reroute(flow, line) == SL_OK;
    }
    return all;
}

int sl_flow_set_targets(struct sl_flow *flow, const struct sl_flow_target *targets, size_t count) {
    struct sl_target_ref *fresh[SL_LINE_ROUTES_MAX], *old[SL_LINE_ROUTES_MAX];
    size_t made = 0, old_count = flow->target_count;
    assert(count > 0 && count <= SL_LINE_ROUTES_MAX);
    for (; made < count; made++)
        if (!(fresh[made] = new_ref(flow, &targets[made])))
            break;
    if (made < count) {
        while (made > 0)
            sl_free(fresh[--made]); /* the targets stay the caller's */
        return SL_E_NOMEM;
    }
    memcpy(old, flow->targets, sizeof(old));
    memcpy(flow->targets, fresh, count * sizeof(fresh[0]));
    flow->target_count = count;
    if (!reroute_all(flow))
        sl_log(SL_LOG_ERROR, "flow", "out of memory: some models keep their former targets");
    for (size_t i = 0; i < old_count; i++)
        sl_target_ref_release(old[i]); /* routes that could not be changed hold theirs */
    return SL_OK;
}

bool sl_flow_set_weight(struct sl_flow *flow, struct sl_slice target, uint32_t weight) {
    bool found = false;
    for (size_t i = 0; i < flow->target_count; i++)
        if (sl_slice_eq(sl_slice_str(sl_target_name(flow->targets[i]->target)), target)) {
            flow->targets[i]->weight = weight;
            found = true;
        }
    return found && reroute_all(flow);
}

bool sl_flow_set_limits(struct sl_flow *flow, struct sl_slice pool,
                        const struct sl_limits *limits) {
    struct sl_flow_pool *p = find_pool(flow, pool);
    if (!p)
        return false;
    struct sl_pool_settings settings = pool_settings(flow, p);
    settings.configured = *limits;
    sl_pool_configure(p->pool, &settings, flow->loop->now);
    sl_queue_configure(flow->queue, &flow->settings.queue); /* wakes who waits */
    sl_loop_want(flow->loop, SL_TURN_FLOW);
    return true;
}

/* ---- all of it ---- */

int sl_routes_init(struct sl_flow *flow) {
    sl_list_init(&flow->line_list);
    sl_list_init(&flow->pool_list);
    sl_buf_init(&flow->remembered, SL_FLOW_STATE_MAX);
    int err = sl_table_init(&flow->lines);
    return err ? err : sl_table_init(&flow->pools);
}

void sl_routes_done(struct sl_flow *flow) {
    struct sl_list *node;
    while ((node = sl_list_first(&flow->line_list)) != NULL)
        free_line(flow, SL_CONTAINER(node, struct sl_model_line, link));
    while ((node = sl_list_first(&flow->pool_list)) != NULL)
        free_pool(flow, SL_CONTAINER(node, struct sl_flow_pool, link));
    for (size_t i = 0; i < flow->target_count; i++)
        sl_target_ref_release(flow->targets[i]);
    sl_table_done(&flow->lines);
    sl_table_done(&flow->pools);
    sl_buf_done(&flow->remembered);
}

void sl_routes_configure(struct sl_flow *flow) {
    SL_LIST_EACH(&flow->pool_list, node, next) {
        struct sl_flow_pool *p = SL_CONTAINER(node, struct sl_flow_pool, link);
        struct sl_pool_settings settings = pool_settings(flow, p);
        sl_pool_configure(p->pool, &settings, flow->loop->now);
    }
}

void sl_flow_look(struct sl_flow *flow, bool (*visit)(void *ctx, const struct sl_pool_view *view),
                  void *ctx) {
    SL_LIST_EACH(&flow->pool_list, node, next) {
        struct sl_pool_view view;
        sl_pool_look(SL_CONTAINER(node, struct sl_flow_pool, link)->pool, &view, flow->loop->now,
                     sl_flow_wall(flow));
        if (!visit(ctx, &view))
            return;
    }
}

/* A line each: "p ID state" for pools, "e MODEL state" for estimators. What was remembered of pools
 * that nobody has asked for yet is handed on. */
static int save_pools(struct sl_flow *flow, struct sl_buf *out) {
    SL_LIST_EACH(&flow->pool_list, node, next) {
        const struct sl_pool *pool = SL_CONTAINER(node, struct sl_flow_pool, link)->pool;
        int err = sl_buf_printf(out, "p %.*s ", SL_FMT(sl_pool_id(pool)));
        if (!err)
            err = sl_pool_save(pool, out, flow->loop->now, sl_flow_wall(flow));
        if (!err)
            err = sl_buf_add_byte(out, '\n');
        if (err)
            return err;
    }
    return SL_OK;
}

static int save_estimators(struct sl_flow *flow, struct sl_buf *out) {
    SL_LIST_EACH(&flow->line_list, node, next) {
        const struct sl_model_line *line = SL_CONTAINER(node, struct sl_model_line, link);
        if (line->model.len == 0 || line->estimator.samples == 0)
            continue;
        int err = sl_buf_printf(out, "e %.*s ", SL_FMT(line->model));
        if (!err)
            err = sl_estimator_save(&line->estimator, out);
        if (!err)
            err = sl_buf_add_byte(out, '\n');
        if (err)
            return err;
    }
    return SL_OK;
}

int sl_flow_save(struct sl_flow *flow, struct sl_buf *out) {
    struct sl_slice rest = sl_buf_slice(&flow->remembered), line, id;
    int err = save_pools(flow, out);
    if (!err)
        err = save_estimators(flow, out);
    while (!err && sl_slice_split(&rest, '\n', &line)) {
        struct sl_slice words = line;
        if (!sl_slice_split(&words, ' ', &id) || !sl_slice_eq(id, SL_LIT("p")) ||
            !sl_slice_split(&words, ' ', &id) || find_pool(flow, id))
            continue;
        err = sl_buf_printf(out, "%.*s\n", SL_FMT(line));
    }
    return err;
}

int sl_flow_restore(struct sl_flow *flow, struct sl_slice text) {
    sl_buf_clear(&flow->remembered);
    return sl_buf_add(&flow->remembered, text);
}
