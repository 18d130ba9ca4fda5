/*
 * The configuration: plain data, made whole by sl_config_load and never changed afterwards. A
 * reload builds another one and swaps the pointer, so that nobody ever sees half of each.
 *
 * Four sources, later ones win key by key: the defaults of the table (src/app/config_table.c), the
 * YAML file, SLUICE_… environment variables, and the command line. Every string and array lives in
 * the configuration's arena. Times are in milliseconds, sizes in bytes.
 */
#ifndef SLUICE_APP_CONFIG_H
#define SLUICE_APP_CONFIG_H

#include "sluice/answer/cache.h"
#include "sluice/base/arena.h"
#include "sluice/base/log.h"
#include "sluice/core/client.h"
#include "sluice/core/target.h"
#include "sluice/front/limits.h"
#include "sluice/io/conn.h"
#include "sluice/sched/pool.h"
#include "sluice/sim/sim.h"

struct sl_hostport {
    const char *host; /* a name, or an address without brackets */
    uint16_t port;    /* 0: the kernel picks one */
};
struct sl_hostport_list {
    struct sl_hostport *items;
    size_t count;
};
struct sl_string_list {
    const char **items;
    size_t count;
};
struct sl_string_pair {
    const char *name, *value;
};
struct sl_string_map {
    struct sl_string_pair *items; /* in the order of the file, names unique */
    size_t count;
};

/* The same, with a list for each name. */
struct sl_named_strings {
    const char *name;
    struct sl_string_list values;
};
struct sl_named_strings_list {
    struct sl_named_strings *items;
    size_t count;
};
struct sl_target_list {
    struct sl_target_settings *items;
    size_t count;
};
/* Limits of one model; 0: not given here. */
struct sl_model_limits {
    const char *model;
    struct sl_limits limits;
};
struct sl_model_limits_list {
    struct sl_model_limits *items;
    size_t count;
};

enum sl_auth { SL_AUTH_UNSET, SL_AUTH_NONE, SL_AUTH_KEYS }; /* UNSET never leaves sl_config_load */
enum sl_retired { SL_RETIRED_MAP, SL_RETIRED_REFUSE };
enum sl_max_tokens { SL_MAX_TOKENS_CLIENT, SL_MAX_TOKENS_LEARNED };
enum sl_profiles { SL_PROFILES_OFF, SL_PROFILES_AUTO };
enum sl_interim { SL_INTERIM_OFF, SL_INTERIM_AUTO };
enum sl_quota_source { SL_QUOTAS_AUTO, SL_QUOTAS_CONFIG };
enum sl_cache_scope { SL_CACHE_TENANT, SL_CACHE_GLOBAL };
enum sl_cache_replay { SL_REPLAY_INSTANT, SL_REPLAY_RECORDED };

struct sl_config {
    struct sl_hostport_list listen; /* at least one */
    struct sl_tls_settings tls;     /* certificate NULL: cleartext */
    struct sl_hostport admin;
    enum sl_auth auth;
    struct sl_string_list hosts; /* Host names accepted beside IP literals and localhost */
    const char *state;           /* NULL: no HOME to find a default under */
    /* Where calls go: `targets`, or the one of `upstream`, named "default". Names are unique. */
    struct sl_target_settings *targets;
    size_t target_count; /* at least one */
    struct sl_upstream_timeouts timeouts;
    uint32_t max_in_flight; /* upstream attempts at once */
    struct {
        enum sl_retired retired;
        struct sl_string_map successors;
        struct sl_string_map aliases;           /* no alias stands for another */
        struct sl_named_strings_list fallbacks; /* ids only: aliases are resolved */
        uint32_t fallback_after_ms;
        const char *standard; /* of the REST dialect; an id; NULL: none */
        enum sl_max_tokens max_tokens;
        enum sl_profiles
            profiles; /* a bare id without on-demand throughput gets its region's profile */
    } models;
    struct {
        enum sl_quota_source source;
        enum sl_window window;
        uint32_t window_ms;
        struct sl_model_limits standard; /* of every model that `models` does not name */
        struct sl_model_limits_list models;
    } quotas; /* ask sl_config_limits */
    struct {
        uint32_t max_attempts; /* of a call that fails; throttles are not counted */
        uint32_t backoff_ms, backoff_max_ms;
        uint32_t budget; /* percent of calls that may be retries */
    } retry;
    uint32_t breaker_threshold; /* percent of calls that fail */
    struct {
        uint32_t max_requests;
        uint64_t max_bytes;
        uint32_t max_wait_ms;
        enum sl_class priority; /* of requests without key or wish */
    } queue;
    struct {
        enum sl_cache_when when;
        struct sl_string_map models; /* pattern → when; ask sl_config_cache_when */
        uint64_t size, max_entry;
        uint32_t ttl_ms;
        enum sl_cache_scope scope;
        enum sl_cache_replay replay;
        enum sl_cache_eviction eviction;
        bool snapshot;
        uint32_t snapshot_interval_ms;
    } cache;
    struct {
        struct sl_string_list models; /* patterns; ask sl_config_marks_prompts */
    } prompt_caching;
    struct {
        enum sl_interim interim;
        uint32_t interval_ms;
    } keepalive;
    struct {
        struct sl_string_list trusted_hosts;
        uint32_t reload_ms;
    } keys;
    struct {
        bool enabled;
        uint64_t keep_ms; /* 0: for good */
    } ledger;
    const char *prices; /* file whose rows win over the built-in ones; NULL: none */
    uint64_t memory_max;
    uint32_t linger_ms; /* of a dispatched flight without readers */
    uint32_t drain_ms;
    struct sl_front_limits limits;
    struct {
        enum sl_log_level level;
        enum sl_log_format format;
        bool access;
    } log;
    struct sl_sim_settings simulator;
    struct sl_hostport simulator_listen; /* of `sluice simulator`; the embedded one picks a port */
    /* As they were written; sl_config_load makes `targets` of one of them. */
    struct sl_target_list listed;
    struct sl_target_settings upstream;
    struct sl_arena arena;
};

/* One value from the command line. */
struct sl_config_override {
    const char *option; /* "--set", "--listen": what an error message calls it */
    struct sl_slice path, value;
};

/* Where a configuration comes from, kept by those who reload it. */
struct sl_config_source {
    const char *file;     /* NULL: no file */
    struct sl_slice text; /* the file's content, where it is in memory already; ptr NULL: read it */
    const char *const *environment; /* "NAME=VALUE"…, NULL at the end; NULL: none */
    const struct sl_config_override *overrides;
    size_t override_count;
    bool simulator; /* the embedded simulator serves as upstream */
    size_t sockets; /* that a service manager passed; `listen` then names their addresses */
};

/* A file above this size is refused: it is no configuration. */
#define SL_CONFIG_FILE_MAX ((size_t)1 << 20)

/*
 * *out is written on success only. SL_E_INVALID: the configuration is at fault; SL_E_IO: the file
 * cannot be read; SL_E_NOMEM. `why` then holds a sentence that names file, line, column and key, or
 * the variable or option, and the nearest valid key.
 */
SL_NODISCARD int sl_config_load(const struct sl_config_source *source, struct sl_config **out,
                                char *why, size_t why_size);
void sl_config_free(struct sl_config *config);

/* What is configured for a model's calls: its own entry (by the id as it is called, else by the
 * base id), and quotas.default for what that leaves out. 0: not configured. */
struct sl_limits sl_config_limits(const struct sl_config *config, struct sl_slice model);
/* Empty slices: there is none. */
struct sl_slice sl_config_alias(const struct sl_config *config, struct sl_slice name);
struct sl_slice sl_config_successor(const struct sl_config *config, struct sl_slice model);
struct sl_slice sl_config_fallback(const struct sl_config *config, struct sl_slice model, size_t i);
/* The first pattern of cache.models that matches, else cache.when. */
enum sl_cache_when sl_config_cache_when(const struct sl_config *config, struct sl_slice model);
bool sl_config_marks_prompts(const struct sl_config *config, struct sl_slice model);

/* True for localhost, 127.0.0.0/8 and ::1. */
bool sl_hostport_is_loopback(const struct sl_hostport *address);

#endif
