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

#include "sluice/base/arena.h"
#include "sluice/base/log.h"
#include "sluice/core/target.h"
#include "sluice/front/limits.h"
#include "sluice/io/conn.h"
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

enum sl_auth { SL_AUTH_UNSET, SL_AUTH_NONE, SL_AUTH_KEYS }; /* UNSET never leaves sl_config_load */
enum sl_retired { SL_RETIRED_MAP, SL_RETIRED_REFUSE };

struct sl_config {
    struct sl_hostport_list listen; /* at least one */
    struct sl_tls_settings tls;     /* certificate NULL: cleartext */
    struct sl_hostport admin;
    enum sl_auth auth;
    struct sl_string_list hosts; /* Host names accepted beside IP literals and localhost */
    const char *state;           /* NULL: no HOME to find a default under */
    struct sl_target_settings target;
    struct sl_upstream_timeouts timeouts;
    uint32_t max_in_flight; /* upstream attempts at once */
    struct {
        enum sl_retired retired;
        struct sl_string_map successors;
    } models;
    struct {
        uint32_t max_requests;
        uint64_t max_bytes;
        uint32_t max_wait_ms;
    } queue;
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

/* True for localhost, 127.0.0.0/8 and ::1. */
bool sl_hostport_is_loopback(const struct sl_hostport *address);

#endif
