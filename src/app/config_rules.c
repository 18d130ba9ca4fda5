/*
 * What one key demands of another, and the defaults that depend on where the process runs. Each
 * rule is a function in a list; the first that fails speaks, and points at where its key was set.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "app/config_load.h"

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

#define NO_KEYS                                                                                    \
    "this version has no client keys yet: listen on loopback, or write auth: none out behind a "   \
    "network you trust"

/* Whoever reaches the port spends the account's money, so open ports must be asked for. */
static int rule_auth(struct sl_config_loader *l) {
    struct sl_config *c = l->config;
    const struct sl_hostport *open = first_public(&c->listen);
    if (c->auth == SL_AUTH_KEYS)
        return broken(l, "auth", NO_KEYS);
    if (c->auth == SL_AUTH_UNSET && open)
        return broken(l, "listen", "%s can be reached by others, and %s", open->host, NO_KEYS);
    c->auth = SL_AUTH_NONE;
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

static int rule_endpoint(struct sl_config_loader *l) {
    const struct sl_target_settings *t = &l->config->target;
    if (t->endpoint && t->fips)
        return broken(l, "upstream.fips",
                      "chooses among AWS's own addresses, but "
                      "upstream.endpoint names one");
    if (t->endpoint && t->dual_stack)
        return broken(l, "upstream.dual_stack",
                      "chooses among AWS's own addresses, but "
                      "upstream.endpoint names one");
    if (t->mantle_endpoint && !t->mantle)
        return broken(l, "upstream.mantle_endpoint", "has no effect without upstream.mantle: on");
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
        rule_auth, rule_tls, rule_endpoint, rule_faults, rule_memory, rule_state,
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        int rc = rules[i](loader);
        if (rc != 0)
            return rc;
    }
    return 0;
}
