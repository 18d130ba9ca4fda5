/*
 * What one key demands of another, and the defaults that depend on where the process runs. Each
 * rule is a function in a list; the first that fails speaks, and points at where its key was set.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/config_load.h"
#include "sluice/core/model.h"

bool sl_hostport_is_loopback(const struct sl_hostport *address) {
    struct in_addr v4;
    struct in6_addr v6;
    if (sl_slice_ieq(sl_slice_str(address->host), SL_LIT("localhost")))
        return true;
    if (inet_pton(AF_INET, address->host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return inet_pton(AF_INET6, address->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

SL_PRINTF(3, 4)
static int broken(struct sl_config_loader *l, const char *path, const char *fmt, ...) {
    char text[SL_CONFIG_REASON];
    const struct sl_config_key *key = sl_config_key_find(sl_slice_str(path));
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return sl_config_fault(l, sl_config_place_of(l, key), path, "%s", text);
}

static const struct sl_hostport *first_public(const struct sl_hostport_list *list) {
    for (size_t i = 0; i < list->count; i++)
        if (!sl_hostport_is_loopback(&list->items[i]))
            return &list->items[i];
    return NULL;
}

/* Whoever reaches the port spends the account's money, so open ports ask for keys unless it is
 * written out that they need not. */
static int rule_auth(struct sl_config_loader *l) {
    struct sl_config *c = l->config;
    if (c->auth == SL_AUTH_UNSET)
        c->auth = first_public(&c->listen) ? SL_AUTH_KEYS : SL_AUTH_NONE;
    return 0;
}

static int rule_tls(struct sl_config_loader *l) {
    const struct sl_tls_settings *tls = &l->config->tls;
    if (tls->certificate && !tls->key)
        return broken(l, "tls.certificate", "needs tls.key beside it");
    if (tls->key && !tls->certificate)
        return broken(l, "tls.key", "needs tls.certificate beside it");
    if (tls->client_ca && !tls->certificate)
        return broken(l, "tls.client_ca", "needs tls.certificate and tls.key beside it");
    return 0;
}

static int rule_faults(struct sl_config_loader *l) {
    const char *faults = l->config->simulator.faults;
    if (!sl_sim_knows_faults(faults))
        return broken(l, "simulator.faults",
                      "\"%s\" is no list of KIND/N, such as throttle/10,reset-midway/50; "
                      "src/sim/README.md lists the kinds",
                      faults);
    return 0;
}

/* Keys of `upstream` that describe its one target. */
static const char *const upstream_keys[] = {
    "upstream.region",     "upstream.endpoint", "upstream.profile",         "upstream.fips",
    "upstream.dual_stack", "upstream.mantle",   "upstream.mantle_endpoint", "upstream.ca_file",
};

/* `targets`, or the one that `upstream` stands for. */
static int rule_targets(struct sl_config_loader *l) {
    struct sl_config *c = l->config;
    c->targets = &c->upstream;
    c->target_count = 1;
    if (c->listed.count == 0)
        return 0;
    for (size_t i = 0; i < sizeof(upstream_keys) / sizeof(upstream_keys[0]); i++) {
        const struct sl_config_key *key = sl_config_key_find(sl_slice_str(upstream_keys[i]));
        if (sl_config_place_of(l, key)->origin != SL_CONFIG_FROM_DEFAULT)
            return broken(l, key->path,
                          "stands beside `targets`: write it into one of them, or leave "
                          "`targets` out");
    }
    c->targets = c->listed.items;
    c->target_count = c->listed.count;
    for (size_t i = 0; i < c->target_count; i++) {
        if (!c->targets[i].name)
            return broken(l, "targets", "number %zu has no name", i + 1);
        for (size_t k = 0; k < i; k++)
            if (strcmp(c->targets[i].name, c->targets[k].name) == 0)
                return broken(l, "targets", "two are named \"%s\"", c->targets[i].name);
    }
    return 0;
}

/* Blames the key of `upstream`, or the target in the list. */
static int broken_target(struct sl_config_loader *l, const struct sl_target_settings *t,
                         const char *member, const char *text) {
    char path[SL_CONFIG_PATH_MAX];
    if (t != &l->config->upstream)
        return broken(l, "targets", "%s of \"%s\" %s", member, t->name, text);
    snprintf(path, sizeof(path), "upstream.%s", member);
    return broken(l, path, "%s", text);
}

static int rule_endpoint(struct sl_config_loader *l) {
#define CHOOSES "chooses among AWS's own addresses, but its endpoint names one"
    for (size_t i = 0; i < l->config->target_count; i++) {
        const struct sl_target_settings *t = &l->config->targets[i];
        if (t->endpoint && t->fips)
            return broken_target(l, t, "fips", CHOOSES);
        if (t->endpoint && t->dual_stack)
            return broken_target(l, t, "dual_stack", CHOOSES);
        if (t->mantle_endpoint && !t->mantle)
            return broken_target(l, t, "mantle_endpoint", "has no effect without mantle: on");
    }
    return 0;
#undef CHOOSES
}

/* "us" becomes "us.", as ids begin. */
static int rule_profiles(struct sl_config_loader *l) {
    struct sl_config *c = l->config;
    for (size_t i = 0; i < c->listed.count; i++) {
        const struct sl_target_settings *t = &c->listed.items[i];
        for (size_t k = 0; k < t->profiles.count; k++) {
            struct sl_slice prefix;
            int rc = sl_arena_printf(&c->arena, &prefix, "%s.", t->profiles.items[k]);
            if (rc != 0)
                return rc;
            if (!sl_slice_eq(sl_model_geo_prefix(prefix), prefix))
                return broken(l, "targets",
                              "profiles of \"%s\": \"%s\" is no geography, such as us, eu, apac "
                              "or global",
                              t->name, t->profiles.items[k]);
            t->profiles.items[k] = prefix.ptr;
        }
    }
    return 0;
}

/* The id an alias stands for; anything else is an id itself. */
static const char *resolved(const struct sl_config *c, const char *name) {
    struct sl_slice id = sl_config_alias(c, sl_slice_str(name));
    return id.len ? id.ptr : name;
}

/* Aliases are for clients; within the configuration only ids remain. */
static int rule_models(struct sl_config_loader *l) {
    struct sl_config *c = l->config;
    const struct sl_string_map *aliases = &c->models.aliases;
    const struct sl_named_strings_list *fallbacks = &c->models.fallbacks;
    for (size_t i = 0; i < aliases->count; i++)
        if (sl_config_alias(c, sl_slice_str(aliases->items[i].value)).len)
            return broken(l, "models.aliases", "\"%s\" stands for \"%s\", which is an alias itself",
                          aliases->items[i].name, aliases->items[i].value);
    if (c->models.standard)
        c->models.standard = resolved(c, c->models.standard);
    for (size_t i = 0; i < c->quotas.models.count; i++)
        c->quotas.models.items[i].model = resolved(c, c->quotas.models.items[i].model);
    for (size_t i = 0; i < fallbacks->count; i++) {
        struct sl_named_strings *f = &fallbacks->items[i];
        f->name = resolved(c, f->name);
        for (size_t k = 0; k < f->values.count; k++) {
            f->values.items[k] = resolved(c, f->values.items[k]);
            if (strcmp(f->values.items[k], f->name) == 0)
                return broken(l, "models.fallbacks", "\"%s\" falls back to itself", f->name);
        }
    }
    return 0;
}

static int rule_backoff(struct sl_config_loader *l) {
    if (l->config->retry.backoff_ms > l->config->retry.backoff_max_ms)
        return broken(l, "retry.backoff", "is longer than retry.backoff_max");
    return 0;
}

static int rule_memory(struct sl_config_loader *l) {
    const struct sl_config *c = l->config;
    char body[SL_CONFIG_AMOUNT];
    /* An eighth is kept for answers. */
    if (c->limits.body_bytes <= c->memory_max - c->memory_max / 8)
        return 0;
    sl_config_amount(SL_CONFIG_SIZE, c->limits.body_bytes, body);
    return broken(l, "memory.max", "holds no body of limits.body_bytes (%s)", body);
}

static const char *variable(const struct sl_config_source *source, const char *name) {
    size_t len = strlen(name);
    for (const char *const *e = source->environment; e && *e; e++)
        if (strncmp(*e, name, len) == 0 && (*e)[len] == '=' && (*e)[len + 1])
            return *e + len + 1;
    return NULL;
}

/* XDG Base Directory Specification: a relative XDG_STATE_HOME is to be ignored. */
static int rule_state(struct sl_config_loader *l) {
    struct sl_config *c = l->config;
    struct sl_slice path;
    const char *xdg = variable(l->source, "XDG_STATE_HOME"), *home = variable(l->source, "HOME");
    int rc = 0;
    if (c->state)
        return 0;
    if (xdg && xdg[0] == '/')
        rc = sl_arena_printf(&c->arena, &path, "%s/sluice", xdg);
    else if (home)
        rc = sl_arena_printf(&c->arena, &path, "%s/.local/state/sluice", home);
    else
        return 0;
    if (rc == 0)
        c->state = path.ptr;
    return rc;
}

int sl_config_apply_rules(struct sl_config_loader *loader) {
    static int (*const rules[])(struct sl_config_loader *) = {
        rule_auth,   rule_tls,     rule_targets, rule_endpoint, rule_profiles,
        rule_models, rule_backoff, rule_faults,  rule_memory,   rule_state,
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        int rc = rules[i](loader);
        if (rc != 0)
            return rc;
    }
    return 0;
}
