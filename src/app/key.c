/*
 * Works on the state folder directly, whether a gateway runs on it or not: that one looks for
 * changes. Output is made whole, then printed, and wiped, since it holds secrets.
 */
#include "app/key.h"

#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config_value.h"
#include "app/keyring.h"
#include "app/state.h"
#include "sluice/base/clock.h"

#define EXIT_USAGE 2
#define WHY_SIZE   1024
#define OUTPUT_MAX ((size_t)64 << 20) /* 100,000 keys */

/* What an action works with. Its functions return an exit code, and say why in `why`. */
struct job {
    const struct sl_cli *cli;
    struct sl_config *config;
    struct sl_state state;
    struct sl_db *db;
    struct sl_keyring ring;
    struct sl_buf out;
    uint64_t wall_s;
    size_t listed;
    int rc; /* of writing to out */
    char why[WHY_SIZE];
};

/* ---- Output ----------------------------------------------------------------------- */

/* Where clients connect, as they would write it: an address that stands for all is none. */
static void put_url(struct job *job) {
    const struct sl_hostport *at = &job->config->listen.items[0];
    const char *host =
        strcmp(at->host, "0.0.0.0") == 0 || strcmp(at->host, "::") == 0 ? "HOST" : at->host;
    bool v6 = strchr(host, ':') != NULL;
    job->rc =
        sl_buf_printf(&job->out, "%s://%s%s%s", job->config->tls.certificate ? "https" : "http",
                      v6 ? "[" : "", host, v6 ? "]" : "");
    if (job->rc == 0)
        job->rc = at->port ? sl_buf_printf(&job->out, ":%u", (unsigned)at->port)
                           : sl_buf_add_str(&job->out, ":PORT");
}

SL_PRINTF(2, 3) static void put(struct job *job, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (job->rc == 0)
        job->rc =
            sl_buf_add(&job->out, sl_slice_of(text, (size_t)len < sizeof(text) ? (size_t)len
                                                                               : sizeof(text) - 1));
    explicit_bzero(text, sizeof(text));
}

/* "  export NAME=http://…/path" */
static void put_endpoint(struct job *job, const char *name, const char *path) {
    put(job, "  export %s=", name);
    if (job->rc == 0)
        put_url(job);
    put(job, "%s\n", path);
}

static void put_use(struct job *job, const struct sl_key_secrets *secrets) {
    put(job, "\nboto3 and any AWS SDK\n");
    put_endpoint(job, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "");
    put(job, "  export AWS_ACCESS_KEY_ID=%s\n", secrets->access_key_id);
    put(job, "  export AWS_SECRET_ACCESS_KEY=%s\n", secrets->secret);
    put(job, "  export AWS_REGION=us-east-1    # any will do\n");
    put(job, "\nthe same with an API key in place of the pair (boto3 sends it over https only)\n");
    put(job, "  export AWS_BEARER_TOKEN_BEDROCK=%s\n", secrets->bearer);
    put(job, "\nOpenAI SDKs\n");
    put_endpoint(job, "OPENAI_BASE_URL", "/v1");
    put(job, "  export OPENAI_API_KEY=%s\n", secrets->bearer);
    put(job, "\nAnthropic SDKs\n");
    put_endpoint(job, "ANTHROPIC_BASE_URL", "");
    put(job, "  export ANTHROPIC_API_KEY=%s\n", secrets->bearer);
}

/* A key with its secrets. `done`: what was done to it. */
static int show_key(struct job *job, const struct sl_db_key *row, const char *done) {
    struct sl_key_record record = sl_keyring_record(row);
    struct sl_key_secrets secrets;
    if (sl_key_secrets(job->ring.keys, &record, &secrets) != SL_OK) {
        snprintf(job->why, sizeof(job->why), "%s is not valid: its row was written by others",
                 sl_quote(sl_slice_str(row->name)).text);
        return EXIT_FAILURE;
    }
    if (job->cli->json) {
        job->rc = sl_key_row_json(&job->out, row, &secrets, job->wall_s);
        put(job, "\n");
    } else {
        put(job, "key %s %s (id %s)\n", row->name, done, row->id);
        put(job, "\nbearer token           %s\n", secrets.bearer);
        put(job, "AWS access key id      %s\n", secrets.access_key_id);
        put(job, "AWS secret access key  %s\n", secrets.secret);
        put_use(job, &secrets);
        put(job, "\nWhoever has these is this client. `sluice key show %s` prints them again.\n",
            row->id);
    }
    explicit_bzero(&secrets, sizeof(secrets));
    return EXIT_SUCCESS;
}

/* ---- Actions ---------------------------------------------------------------------- */

static int create(struct job *job) {
    struct sl_db_key row;
    if (sl_key_row_make(&row, &job->cli->key, job->wall_s, job->why, sizeof(job->why)) != SL_OK)
        return EXIT_USAGE;
    if (sl_db_key_insert(job->db, &row, job->why, sizeof(job->why)) != SL_OK)
        return EXIT_FAILURE;
    return show_key(job, &row, "made");
}

static void put_limit(struct job *job, uint64_t limit) {
    if (limit)
        put(job, "%-10" PRIu64 " ", limit);
    else
        put(job, "%-10s ", "-");
}

static void list_row(void *ctx, const struct sl_db_key *row) {
    struct job *job = ctx;
    char until[SL_ISO_DATE_SIZE];
    if (job->cli->json) {
        put(job, "%s", job->listed++ ? ",\n " : "");
        if (job->rc == 0)
            job->rc = sl_key_row_json(&job->out, row, NULL, job->wall_s);
        return;
    }
    if (job->listed++ == 0)
        put(job, "%-10s  %-24s %-8s %-12s %-10s %-10s %-10s %s\n", "ID", "NAME", "STATE",
            "PRIORITY", "RPM", "TPM", "EXPIRES", "MODELS");
    sl_key_row_date(row->expires_at ? row->expires_at - 1 : 0, until);
    put(job, "%-10s  %-24s %-8s %-12s ", row->id, row->name, sl_key_row_state(row, job->wall_s),
        sl_class_name((enum sl_class)row->priority).ptr);
    put_limit(job, row->rpm);
    put_limit(job, row->tpm);
    put(job, "%-10.10s ", until[0] ? until : "-");
    if (job->rc == 0)
        job->rc = sl_buf_add_str(&job->out, row->models[0] ? row->models : "all");
    put(job, "\n");
}

static int list(struct job *job) {
    if (job->cli->json)
        put(job, "[");
    if (sl_db_keys(job->db, list_row, job, job->why, sizeof(job->why)) != SL_OK)
        return EXIT_FAILURE;
    if (job->cli->json)
        put(job, "]\n");
    else if (job->listed == 0)
        put(job, "There are no keys. Make one: sluice key create --name NAME\n");
    return EXIT_SUCCESS;
}

static int find(struct job *job, struct sl_db_key *row) {
    int rc = sl_db_key_find(job->db, job->cli->which, row, job->why, sizeof(job->why));
    return rc == SL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int show(struct job *job) {
    struct sl_db_key row;
    int code = find(job, &row);
    return code ? code : show_key(job, &row, sl_key_row_state(&row, job->wall_s));
}

static int change(struct job *job, const struct sl_db_key *row) {
    int rc = sl_db_key_update(job->db, row, job->why, sizeof(job->why));
    return rc == SL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int rotate(struct job *job) {
    const char *overlap = job->cli->overlap ? job->cli->overlap : SL_KEY_OVERLAP;
    struct sl_db_key row;
    int code = find(job, &row);
    if (code)
        return code;
    if (sl_key_row_rotate(&row, overlap, job->wall_s, job->why, sizeof(job->why)) != SL_OK)
        return row.revoked_at ? EXIT_FAILURE : EXIT_USAGE;
    code = change(job, &row);
    return code ? code : show_key(job, &row, "rotated");
}

/* Revoking twice is fine: it is what the caller wants. */
static int end(struct job *job) {
    struct sl_db_key row;
    int code = find(job, &row);
    if (!code && !row.revoked_at) {
        row.revoked_at = job->wall_s;
        code = change(job, &row);
    }
    if (code)
        return code;
    if (job->cli->json)
        job->rc = sl_key_row_json(&job->out, &row, NULL, job->wall_s);
    else
        put(job, "key %s is revoked (id %s)", row.name, row.id);
    put(job, "\n");
    return EXIT_SUCCESS;
}

static int (*const actions[SL_KEY_ACTIONS])(struct job *job) = {
    [SL_KEY_CREATE] = create, [SL_KEY_LIST] = list,  [SL_KEY_SHOW] = show,
    [SL_KEY_ROTATE] = rotate, [SL_KEY_REVOKE] = end,
};

/* ---- The command ------------------------------------------------------------------ */

static int open_all(struct job *job) {
    char path[PATH_MAX];
    int rc = sl_config_load(&job->cli->source, &job->config, job->why, sizeof(job->why));
    if (rc != SL_OK)
        return rc == SL_E_INVALID || rc == SL_E_IO ? EXIT_USAGE : EXIT_FAILURE;
    const char *folder = job->config->state;
    if (sl_state_open(&job->state, folder, job->why, sizeof(job->why)) != SL_OK)
        return EXIT_FAILURE;
    if ((size_t)snprintf(path, sizeof(path), "%s/sluice.db", folder) >= sizeof(path)) {
        snprintf(job->why, sizeof(job->why), "state: %s is too long a name", folder);
        return EXIT_FAILURE;
    }
    job->db = sl_db_open(path, job->why, sizeof(job->why));
    if (!job->db || sl_keyring_open(&job->ring, folder, job->why, sizeof(job->why)) != SL_OK)
        return EXIT_FAILURE;
    return EXIT_SUCCESS;
}

static void close_all(struct job *job) {
    sl_keyring_close(&job->ring);
    sl_db_close(job->db);
    sl_state_close(&job->state);
    sl_config_free(job->config);
    sl_buf_done_secret(&job->out);
}

static int print(struct job *job) {
    struct sl_buf *out = &job->out;
    if (job->rc == 0 && (out->len == 0 || fwrite(out->ptr, 1, out->len, stdout) == out->len) &&
        fflush(stdout) == 0)
        return EXIT_SUCCESS;
    snprintf(job->why, sizeof(job->why), "cannot write the output");
    return EXIT_FAILURE;
}

int sl_key_command(const struct sl_cli *cli) {
    struct job job = {
        .cli = cli, .state = {.dir = -1}, .wall_s = (uint64_t)(sl_clock_wall_ms() / 1000)};
    sl_buf_init(&job.out, OUTPUT_MAX);
    int code = open_all(&job);
    if (code == EXIT_SUCCESS)
        code = actions[cli->action](&job);
    if (code == EXIT_SUCCESS)
        code = print(&job);
    if (code != EXIT_SUCCESS)
        fprintf(stderr, "sluice: %s\n", job.why);
    close_all(&job);
    return code;
}
