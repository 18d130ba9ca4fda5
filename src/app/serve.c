/*
 * The gateway's life: everything is opened in one order, and closed in the opposite one.
 *
 *   configuration ─ state ─ store ─ keys ─ TLS ─ [simulator] ─ upstream ─ flow ─ front ─ admin ─▶
 * ready
 *
 * SIGHUP loads the configuration again: a bad one is reported and changes nothing. SIGTERM and
 * SIGINT drain: no new requests, what runs finishes within `drain`; a second signal ends it at
 * once.
 */
#include "sluice/app/serve.h"

#include <signal.h>
#include <stdio.h>

#include "app/account.h"
#include "app/activation.h"
#include "app/admin.h"
#include "app/admin_cache.h"
#include "app/admin_keys.h"
#include "app/admin_sched.h"
#include "app/journal.h"
#include "app/keyring.h"
#include "app/notify.h"
#include "app/policy.h"
#include "app/simulator.h"
#include "app/state.h"
#include "sluice/base/chain.h"
#include "sluice/base/mem.h"
#include "sluice/flow/flow.h"

#define WHY_SIZE     1024
#define EXIT_FINE    0
#define EXIT_RUNTIME 1
#define EXIT_CONFIG  2

struct server {
    uv_loop_t uv;
    struct sl_loop loop;
    const struct sl_config_source *source;
    struct sl_config *config;
    struct sl_state state;
    struct sl_tls *tls;
    struct sl_fetch_client *fetch;
    struct sl_sim *sim;
    struct sl_config *sim_config; /* that the simulator was started with, and keeps using */
    char sim_endpoint[SL_SIMULATED_ENDPOINT_SIZE];
    struct sl_policy policy;
    struct sl_account account;
    struct sl_admin_sched admin_sched;
    struct sl_admin_cache admin_cache;
    struct sl_admin_keys admin_keys;
    struct sl_store *store;
    struct sl_keyring keyring;
    struct sl_journal journal;
    struct sl_flow *flow;
    struct sl_front *front;
    struct sl_admin *admin;
    const char *address; /* of the first listener */
    struct sl_metrics metrics;
    uv_signal_t on_term, on_int, on_hup;
    struct sl_timer drain_timer;
    struct sl_turn_hook drain_check;
    bool draining, stopped;
    char why[WHY_SIZE];
};

/* ---- targets ---- */

/* One target: as configured, or the simulator in this process. */
static struct sl_target *make_target(struct server *s, const struct sl_config *config, size_t i) {
    struct sl_target_settings settings = config->targets[i];
    if (s->sim)
        sl_simulated_target(s->sim_config, sl_sim_address(s->sim), s->sim_endpoint, &settings);
    return sl_target_new(&s->loop, s->fetch, &settings, &config->timeouts, s->why, sizeof(s->why));
}

static size_t copy_profiles(const struct sl_target_settings *from, struct sl_flow_target *to) {
    size_t room = sizeof(to->profiles) / sizeof(to->profiles[0]), n = 0;
    for (; n < from->profiles.count && n < room; n++)
        to->profiles[n] = sl_slice_str(from->profiles.items[n]);
    return n;
}

/* All of the configuration's targets, or none and a sentence. */
static size_t make_targets(struct server *s, const struct sl_config *config,
                           struct sl_flow_target out[SL_LINE_ROUTES_MAX]) {
    size_t n = 0;
    for (; n < config->target_count && n < SL_LINE_ROUTES_MAX; n++) {
        const struct sl_target_settings *from = &config->targets[n];
        out[n] = (struct sl_flow_target){.target = make_target(s, config, n),
                                         .weight = from->weight,
                                         .priority = from->priority};
        out[n].profile_count = copy_profiles(from, &out[n]);
        if (out[n].target)
            continue;
        while (n > 0)
            sl_target_free(out[--n].target);
        return 0;
    }
    return n;
}

/* Asks AWS for the quotas of these, unless the configuration alone counts. */
static void ask_quotas(struct server *s, const struct sl_flow_target *targets, size_t count) {
    struct sl_target *list[SL_LINE_ROUTES_MAX];
    bool ask = s->config->quotas.source == SL_QUOTAS_AUTO;
    for (size_t i = 0; i < count; i++)
        list[i] = targets[i].target;
    s->policy.account = ask ? &s->account : NULL;
    s->policy.geography = sl_region_geo_prefix(sl_slice_str(sl_target_region(list[0])));
    sl_account_set(&s->account, list, ask ? count : 0);
}

static void on_quotas(void *ctx) {
    struct server *s = ctx;
    struct sl_flow_settings settings = sl_policy_flow_settings(&s->policy);
    if (s->flow)
        sl_flow_configure(s->flow, &settings);
}

static void free_targets(struct sl_flow_target *targets, size_t count) {
    while (count > 0)
        sl_target_free(targets[--count].target);
}

/* ---- opening ---- */

static int open_config(struct server *s) {
    int err = sl_config_load(s->source, &s->config, s->why, sizeof(s->why));
    if (err)
        return err == SL_E_NOMEM ? EXIT_RUNTIME : EXIT_CONFIG;
    sl_log_setup(s->config->log.level, s->config->log.format);
    return EXIT_FINE;
}

static int open_state(struct server *s) {
    return sl_state_open(&s->state, s->config->state, s->why, sizeof(s->why)) ? EXIT_RUNTIME
                                                                              : EXIT_FINE;
}

static int open_store(struct server *s) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/sluice.db", s->config->state);
    struct sl_db *db = sl_db_open(path, s->why, sizeof(s->why));
    if (!db)
        return EXIT_RUNTIME;
    s->store = sl_store_new(&s->loop, db);
    if (!s->store) {
        sl_db_close(db);
        return EXIT_RUNTIME;
    }
    sl_store_keep_ledger(s->store, s->config->ledger.keep_ms);
    return EXIT_FINE;
}

static int open_keys(struct server *s) {
    if (sl_keyring_open(&s->keyring, s->config->state, s->why, sizeof(s->why)) != SL_OK)
        return EXIT_RUNTIME;
    sl_store_watch_keys(s->store, (uint64_t)s->config->keys.reload_ms * SL_NS_PER_MS,
                        sl_keyring_apply, &s->keyring);
    return EXIT_FINE;
}

static uint64_t snapshot_ns(const struct sl_config *config) {
    return config->cache.snapshot && config->cache.size
               ? (uint64_t)config->cache.snapshot_interval_ms * SL_NS_PER_MS
               : 0;
}

static int open_tls(struct server *s) {
    if (!s->config->tls.certificate)
        return EXIT_FINE;
    s->tls = sl_tls_new(&s->config->tls, s->why, sizeof(s->why));
    return s->tls ? EXIT_FINE : EXIT_CONFIG;
}

static int open_simulator(struct server *s) {
    if (!s->source->simulator)
        return EXIT_FINE;
    s->sim =
        sl_sim_new(&s->loop, &s->config->simulator, "127.0.0.1", 0, NULL, s->why, sizeof(s->why));
    s->sim_config = s->config;
    return s->sim ? EXIT_FINE : EXIT_RUNTIME;
}

static int open_upstream(struct server *s) {
    struct sl_fetch_client_settings settings = {.max_in_flight = s->config->max_in_flight};
    s->fetch = sl_fetch_client_new(&s->loop, &settings);
    if (!s->fetch)
        return EXIT_RUNTIME;
    return EXIT_FINE;
}

static int open_flow(struct server *s) {
    struct sl_flow_target targets[SL_LINE_ROUTES_MAX];
    if (sl_policy_init(&s->policy, s->config, s->why, sizeof(s->why)) != SL_OK)
        return EXIT_CONFIG;
    s->policy.store = s->store;
    s->policy.simulated = s->sim != NULL;
    s->policy.keys = s->config->auth == SL_AUTH_KEYS ? s->keyring.keys : NULL;
    size_t count = make_targets(s, s->config, targets);
    if (!count)
        return EXIT_CONFIG;
    sl_account_open(&s->account, &s->loop, s->store, s->config->state, on_quotas, s);
    ask_quotas(s, targets, count);
    struct sl_flow_settings settings = sl_policy_flow_settings(&s->policy);
    s->flow = sl_flow_new(&s->loop, &settings, &s->metrics);
    if (!s->flow || sl_flow_set_targets(s->flow, targets, count) != SL_OK) {
        sl_account_close(&s->account);
        free_targets(targets, count);
        return EXIT_RUNTIME;
    }
    sl_journal_open(&s->journal, &s->loop, s->flow, s->store, s->config->state,
                    snapshot_ns(s->config));
    return EXIT_FINE;
}

/* Listens at an address, or at the socket that a service manager has opened for it. */
static const char *listen_at(struct server *s, size_t i) {
    const struct sl_hostport *at = &s->config->listen.items[i];
    if (i < s->source->sockets)
        return sl_front_listen_socket(s->front, SL_ACTIVATION_FROM + (int)i, s->tls, s->why,
                                      sizeof(s->why));
    return sl_front_listen(s->front, at->host, at->port, s->tls, s->why, sizeof(s->why));
}

static int open_front(struct server *s) {
    const struct sl_config *c = s->config;
    s->front = sl_front_new(&s->loop, &c->limits, sl_flow_front_handler(), s->flow);
    if (!s->front)
        return EXIT_RUNTIME;
    for (size_t i = 0; i < c->listen.count; i++) {
        const char *address = listen_at(s, i);
        if (!address)
            return EXIT_RUNTIME;
        if (i == 0)
            s->address = address;
    }
    return EXIT_FINE;
}

static void measure(void *ctx, struct sl_metrics *metrics) {
    struct server *s = ctx;
    sl_flow_measure(s->flow, metrics);
    metrics->connections = sl_front_stats(s->front).connections;
    metrics->turn_cpu_max_ns = s->loop.turn_cpu_max;
}

static const char *not_ready(void *ctx) {
    const struct server *s = ctx;
    return s->draining ? "stopping" : NULL;
}

static void look_pools(void *ctx, sl_pool_visit visit, void *visitor) {
    sl_flow_look(((struct server *)ctx)->flow, visit, visitor);
}

static void look_queue(void *ctx, sl_queue_visit visit, void *visitor) {
    struct server *s = ctx;
    sl_queue_look(sl_flow_queue(s->flow), s->loop.now, visit, visitor);
}

static struct sl_queue_counts count_queue(void *ctx) {
    return sl_queue_count(sl_flow_queue(((struct server *)ctx)->flow));
}

static bool set_limits(void *ctx, struct sl_slice pool, const struct sl_limits *limits) {
    return sl_flow_set_limits(((struct server *)ctx)->flow, pool, limits);
}

static bool set_weight(void *ctx, struct sl_slice target, uint32_t weight) {
    return sl_flow_set_weight(((struct server *)ctx)->flow, target, weight);
}

static int add_pages(struct server *s) {
    s->admin_sched = (struct sl_admin_sched){.look_pools = look_pools,
                                             .look_queue = look_queue,
                                             .count_queue = count_queue,
                                             .set_limits = set_limits,
                                             .set_weight = set_weight,
                                             .ctx = s};
    s->admin_cache = (struct sl_admin_cache){.flow = s->flow, .metrics = &s->metrics};
    s->admin_keys =
        (struct sl_admin_keys){.loop = &s->loop, .store = s->store, .keys = s->keyring.keys};
    int err = sl_admin_add(s->admin, sl_admin_sched_rows, &s->admin_sched);
    if (!err)
        err = sl_admin_add(s->admin, sl_admin_cache_rows, &s->admin_cache);
    return err ? err : sl_admin_keys(s->admin, &s->admin_keys);
}

static int open_admin(struct server *s) {
    struct sl_admin_settings settings = {.token = s->state.admin_token,
                                         .measure = measure,
                                         .not_ready = not_ready,
                                         .ctx = s,
                                         .metrics = &s->metrics};
    s->admin = sl_admin_new(&s->loop, &settings, s->config->admin.host, s->config->admin.port,
                            s->why, sizeof(s->why));
    return s->admin && add_pages(s) == SL_OK ? EXIT_FINE : EXIT_RUNTIME;
}

/* ---- reloading ---- */

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* What a running process cannot change: said, and left as it is. */
static void warn_fixed(const struct sl_config *old, const struct sl_config *fresh) {
    bool moved = old->listen.count != fresh->listen.count || old->admin.port != fresh->admin.port ||
                 !same_text(old->admin.host, fresh->admin.host);
    for (size_t i = 0; !moved && i < old->listen.count; i++)
        moved = old->listen.items[i].port != fresh->listen.items[i].port ||
                !same_text(old->listen.items[i].host, fresh->listen.items[i].host);
    if (moved)
        sl_log(SL_LOG_WARN, "app", "listen and admin take effect at the next start only");
    if (old->auth != fresh->auth)
        sl_log(SL_LOG_WARN, "app", "auth takes effect at the next start only");
    if (!same_text(old->state, fresh->state))
        sl_log(SL_LOG_WARN, "app", "state takes effect at the next start only");
}

static void use_tls(struct server *s, struct sl_tls *tls) {
    if (!tls)
        return; /* none is configured: what listens with TLS goes on with what it has */
    sl_front_set_tls(s->front, tls);
    sl_tls_free(s->tls);
    s->tls = tls;
}

/* All that can fail comes first; from the target on, nothing does. */
static int reload(struct server *s) {
    struct sl_config *fresh;
    if (sl_config_load(s->source, &fresh, s->why, sizeof(s->why)) != SL_OK)
        return EXIT_CONFIG;
    struct sl_flow_target targets[SL_LINE_ROUTES_MAX];
    size_t count = make_targets(s, fresh, targets);
    struct sl_tls *tls = NULL;
    if (!count ||
        (fresh->tls.certificate && !(tls = sl_tls_new(&fresh->tls, s->why, sizeof(s->why)))) ||
        sl_policy_change(&s->policy, fresh, s->why, sizeof(s->why)) != SL_OK) {
        sl_tls_free(tls);
        free_targets(targets, count);
        sl_config_free(fresh);
        return EXIT_CONFIG;
    }
    warn_fixed(s->config, fresh);
    use_tls(s, tls);
    struct sl_config *old = s->config;
    s->config = fresh;
    ask_quotas(s, targets, count);
    struct sl_flow_settings settings = sl_policy_flow_settings(&s->policy);
    sl_flow_configure(s->flow, &settings);
    if (sl_flow_set_targets(s->flow, targets, count) != SL_OK) {
        sl_log(SL_LOG_ERROR, "app", "out of memory: the targets stay as they were");
        sl_account_set(&s->account, NULL, 0);
        free_targets(targets, count);
    }
    sl_journal_configure(&s->journal, snapshot_ns(fresh));
    sl_store_keep_ledger(s->store, fresh->ledger.keep_ms);
    sl_front_set_limits(s->front, &fresh->limits);
    sl_log_setup(fresh->log.level, fresh->log.format);
    if (old != s->sim_config)
        sl_config_free(old);
    return EXIT_FINE;
}

static void on_reload(uv_signal_t *handle, int signum) {
    struct server *s = handle->data;
    (void)signum;
    sl_notify("RELOADING=1");
    if (reload(s) == EXIT_FINE)
        sl_log(SL_LOG_INFO, "app", "configuration loaded again");
    else
        sl_log(SL_LOG_ERROR, "app", "configuration not changed: %s", s->why);
    sl_notify("READY=1");
}

/* ---- stopping ---- */

static void stop(struct server *s) {
    s->stopped = true;
    uv_stop(&s->uv);
}

static void on_drain_timeout(void *ctx) {
    sl_log(SL_LOG_WARN, "app", "stopping with requests unfinished: `drain` is over");
    stop(ctx);
}

static void check_drained(void *ctx) {
    struct server *s = ctx;
    if (s->draining && !s->stopped && sl_flow_is_idle(s->flow) &&
        sl_front_stats(s->front).connections == 0)
        stop(s);
}

static void on_stop(uv_signal_t *handle, int signum) {
    struct server *s = handle->data;
    (void)signum;
    if (s->draining) {
        stop(s);
        return;
    }
    s->draining = true;
    sl_notify("STOPPING=1");
    sl_log(SL_LOG_INFO, "app", "stopping: requests under way have %u s to finish",
           s->config->drain_ms / 1000);
    sl_front_drain(s->front);
    sl_flow_drain(s->flow);
    if (sl_timer_set(&s->loop, &s->drain_timer,
                     s->loop.now + (uint64_t)s->config->drain_ms * SL_NS_PER_MS) != SL_OK)
        stop(s);
    sl_loop_again(&s->loop);
}

static void start_signal(struct server *s, uv_signal_t *handle, uv_signal_cb cb, int signum) {
    uv_signal_init(&s->uv, handle);
    handle->data = s;
    uv_signal_start(handle, cb, signum);
    uv_unref((uv_handle_t *)handle);
}

static int open_signals(struct server *s) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file's limit is an error of the write, as a full disk is */
    start_signal(s, &s->on_term, on_stop, SIGTERM);
    start_signal(s, &s->on_int, on_stop, SIGINT);
    start_signal(s, &s->on_hup, on_reload, SIGHUP);
    sl_timer_init(&s->drain_timer, on_drain_timeout, s);
    sl_loop_hook(&s->loop, SL_TURN_REAP, &s->drain_check, check_drained, s);
    return EXIT_FINE;
}

/* ---- the whole ---- */

static int open_all(struct server *s) {
    static int (*const steps[])(struct server *) = {
        open_state,     open_store, open_keys,  open_tls,   open_upstream,
        open_simulator, open_flow,  open_front, open_admin, open_signals,
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int code = steps[i](s);
        if (code != EXIT_FINE)
            return code;
    }
    return EXIT_FINE;
}

static void close_signals(struct server *s) {
    if (!s->on_hup.data)
        return;
    sl_loop_unhook(&s->drain_check);
    sl_timer_clear(&s->loop, &s->drain_timer);
    uv_close((uv_handle_t *)&s->on_term, NULL);
    uv_close((uv_handle_t *)&s->on_int, NULL);
    uv_close((uv_handle_t *)&s->on_hup, NULL);
}

static void close_all(struct server *s) {
    close_signals(s);
    sl_admin_free(s->admin);
    if (s->front)
        sl_front_free(s->front);
    sl_account_close(&s->account);
    sl_journal_close(&s->journal);
    sl_store_free(s->store);
    sl_flow_free(s->flow);
    if (s->sim)
        sl_sim_free(s->sim);
    if (s->fetch)
        sl_fetch_client_free(s->fetch);
    uv_run(&s->uv, UV_RUN_DEFAULT); /* closing callbacks */
    sl_loop_done(&s->loop);
    uv_run(&s->uv, UV_RUN_DEFAULT);
    uv_loop_close(&s->uv);
    sl_tls_free(s->tls);
    sl_policy_done(&s->policy);
    sl_keyring_close(&s->keyring);
    sl_state_close(&s->state);
    sl_chunk_pool_done();
}

static void announce(const struct server *s) {
    fprintf(stderr, "ready client=%s admin=%s\n", s->address, sl_admin_address(s->admin));
    sl_notify("READY=1");
}

int sl_serve(const struct sl_config_source *source) {
    sl_mem_setup();
    struct server *s = sl_calloc(1, sizeof(*s));
    if (!s) {
        fprintf(stderr, "sluice: out of memory\n");
        return EXIT_RUNTIME;
    }
    s->source = source;
    s->state.dir = -1;
    int code = open_config(s);
    if (code == EXIT_FINE) {
        uv_loop_init(&s->uv);
        code = sl_loop_init(&s->loop, &s->uv) == SL_OK ? open_all(s) : EXIT_RUNTIME;
        if (code == EXIT_FINE) {
            announce(s);
            while (!s->stopped)
                uv_run(&s->uv, UV_RUN_DEFAULT);
        }
        close_all(s);
    }
    if (code != EXIT_FINE)
        fprintf(stderr, "sluice: %s\n", s->why[0] ? s->why : "out of memory");
    if (s->sim_config != s->config)
        sl_config_free(s->sim_config);
    sl_config_free(s->config);
    sl_free(s);
    return code;
}
