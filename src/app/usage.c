/*
 * Reads the state folder directly, whether a gateway runs on it or not, and changes nothing in it.
 * Rows are written as they are read, so memory does not grow with their number but by the output.
 */
#include "app/usage.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/config_value.h"
#include "app/span.h"
#include "sluice/base/clock.h"
#include "sluice/meter/price.h"

#define EXIT_USAGE 2
#define WHY_SIZE   1024
#define OUTPUT_MAX ((size_t)64 << 20)
#define SINCE      "24h"
#define MONEY_SIZE 48

struct report {
    struct sl_buf *out;
    const struct sl_usage_wish *wish;
    bool json;
    size_t rows;
    struct sl_ledger_sum total;
    int rc; /* the first failure of writing to out */
};

static const char *const by_names[] = {
    [SL_SUM_BY_MODEL] = "model", [SL_SUM_BY_KEY] = "key", [SL_SUM_BY_DAY] = "day"};
static const char *const by_titles[] = {
    [SL_SUM_BY_MODEL] = "MODEL", [SL_SUM_BY_KEY] = "KEY", [SL_SUM_BY_DAY] = "DAY (UTC)"};
#define BY_COUNT (sizeof(by_names) / sizeof(by_names[0]))

/* ---- What is asked for ------------------------------------------------------------ */

static bool read_by(const char *text, enum sl_sum_by *by) {
    for (size_t i = 0; i < BY_COUNT; i++)
        if (strcmp(text, by_names[i]) == 0) {
            *by = (enum sl_sum_by)i;
            return true;
        }
    return false;
}

/* "24h", "2w", "2026-11-22" (from its first moment on, UTC), "all" */
static bool read_since(struct sl_slice text, uint64_t wall_ms, uint64_t *since_ms) {
    uint64_t seconds;
    if (sl_slice_eq(text, SL_LIT("all"))) {
        *since_ms = 0;
        return true;
    }
    if (sl_span_read(text, &seconds)) {
        *since_ms = wall_ms > seconds * 1000 ? wall_ms - seconds * 1000 : 0;
        return true;
    }
    if (!sl_span_read_day(text, &seconds))
        return false;
    *since_ms = seconds * 1000;
    return true;
}

int sl_usage_wish(struct sl_usage_wish *wish, const char *by, const char *since, uint64_t wall_ms,
                  char *why, size_t why_size) {
    struct sl_usage_wish made;
    struct sl_slice from = sl_slice_str(since ? since : SINCE);
    if (!read_by(by ? by : by_names[SL_SUM_BY_MODEL], &made.by)) {
        snprintf(why, why_size, "--by %s is not model, key or day",
                 sl_quote(sl_slice_str(by)).text);
        return SL_E_INVALID;
    }
    if (!read_since(from, wall_ms, &made.since_ms)) {
        snprintf(why, why_size, "--since %s is not a time such as 24h, 7d, 2w, 2026-11-22 or all",
                 sl_quote(from).text);
        return SL_E_INVALID;
    }
    *wish = made;
    return SL_OK;
}

/* ---- Output ----------------------------------------------------------------------- */

SL_PRINTF(2, 3) static void put(struct report *r, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (r->rc == 0)
        r->rc = sl_buf_add(
            r->out, sl_slice_of(text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1));
}

static void put_json(struct report *r, const char *name, const char *text) {
    put(r, "\"%s\":", name);
    if (r->rc == 0)
        r->rc = sl_buf_add_json(r->out, sl_slice_str(text));
    put(r, ",");
}

struct money {
    char text[MONEY_SIZE];
};

/* To the hundredth of a cent. */
static struct money money(int64_t nano_usd) {
    struct money m;
    snprintf(m.text, sizeof(m.text), "%" PRId64 ".%04" PRId64, nano_usd / 1000000000,
             nano_usd % 1000000000 / 100000);
    return m;
}

static void put_row(struct report *r, const struct sl_ledger_sum *s, const char *label) {
    double share = s->requests ? 100.0 * (double)s->shared / (double)s->requests : 0;
    put(r, "%10" PRId64 " %8" PRId64 " %6.1f%% %13" PRId64 " %13" PRId64 " %12s %12s  ",
        s->requests, s->failed, share, s->input, s->output, money(s->cost).text,
        money(s->saved).text);
    if (r->rc == 0)
        r->rc = sl_buf_add_str(r->out, label);
    if (s->name[0])
        put(r, " (%s)", s->group);
    put(r, "\n");
}

static void put_money(struct report *r, const char *name, int64_t nano_usd, const char *end) {
    put(r, "\"%s\":", name);
    if (r->rc == 0)
        r->rc = sl_money_print(r->out, nano_usd);
    put(r, "%s", end);
}

static void put_members(struct report *r, const struct sl_ledger_sum *s) {
    put(r,
        "\"requests\":%" PRId64 ",\"failed\":%" PRId64 ",\"shared\":%" PRId64
        ",\"input_tokens\":%" PRId64 ",\"output_tokens\":%" PRId64 ",\"cache_read_tokens\":%" PRId64
        ",\"cache_write_tokens\":%" PRId64 ",\"unpriced\":%" PRId64 ",",
        s->requests, s->failed, s->shared, s->input, s->output, s->cache_read, s->cache_write,
        s->unpriced);
    put_money(r, "cost_usd", s->cost, ",");
    put_money(r, "saved_usd", s->saved, "}");
}

static void add_to_total(struct sl_ledger_sum *total, const struct sl_ledger_sum *s) {
    total->requests += s->requests;
    total->failed += s->failed;
    total->shared += s->shared;
    total->input += s->input;
    total->output += s->output;
    total->cache_read += s->cache_read;
    total->cache_write += s->cache_write;
    total->cost += s->cost;
    total->saved += s->saved;
    total->unpriced += s->unpriced;
}

static void put_group(void *ctx, const struct sl_ledger_sum *s) {
    struct report *r = ctx;
    add_to_total(&r->total, s);
    if (r->json) {
        put(r, "%s{", r->rows++ ? ",\n  " : "");
        put_json(r, by_names[r->wish->by], s->group);
        if (r->wish->by == SL_SUM_BY_KEY)
            put_json(r, "name", s->name);
        put_members(r, s);
        return;
    }
    if (r->rows++ == 0)
        put(r, "%10s %8s %7s %13s %13s %12s %12s  %s\n", "REQUESTS", "FAILED", "SHARED", "INPUT",
            "OUTPUT", "COST USD", "SAVED USD", by_titles[r->wish->by]);
    put_row(r, s, s->name[0] ? s->name : s->group[0] ? s->group : "(none)");
}

static void begin(struct report *r) {
    char since[SL_ISO_DATE_SIZE];
    if (!r->json)
        return;
    sl_clock_iso_date((int64_t)r->wish->since_ms, since);
    put(r, "{");
    put_json(r, "by", by_names[r->wish->by]);
    put_json(r, "since", since);
    put(r, "\n \"rows\":[");
}

static void end(struct report *r) {
    if (r->json) {
        put(r, "],\n \"total\":{");
        put_members(r, &r->total);
        put(r, "}\n");
    } else if (r->rows == 0) {
        put(r, "The ledger has no requests of that time.\n");
    } else {
        put_row(r, &r->total, "total");
        if (r->total.unpriced)
            put(r,
                "\n%" PRId64 " of these have no known price and are not in COST: the setting "
                "`prices` takes a file with more.\n",
                r->total.unpriced);
    }
}

int sl_usage_report(struct sl_buf *out, struct sl_db *db, const struct sl_usage_wish *wish,
                    bool json, char *why, size_t why_size) {
    struct report r = {.out = out, .wish = wish, .json = json};
    begin(&r);
    int rc = sl_db_ledger_sum(db, wish->by, wish->since_ms, put_group, &r, why, why_size);
    if (rc != SL_OK)
        return rc;
    end(&r);
    if (r.rc != 0)
        snprintf(why, why_size, "the report does not fit into memory");
    return r.rc;
}

/* ---- The command ------------------------------------------------------------------ */

/* The file must be there: a report makes none. */
static struct sl_db *open_ledger(const char *folder, char *why) {
    char path[PATH_MAX];
    if (!folder) {
        snprintf(why, WHY_SIZE, "state: no HOME to find the folder under: use --state");
        return NULL;
    }
    if ((size_t)snprintf(path, sizeof(path), "%s/sluice.db", folder) >= sizeof(path)) {
        snprintf(why, WHY_SIZE, "state: %s is too long a name", folder);
        return NULL;
    }
    if (access(path, F_OK) != 0) {
        snprintf(why, WHY_SIZE,
                 "there is no ledger at %.900s (%s): is --state the gateway's folder?", path,
                 strerror(errno));
        return NULL;
    }
    return sl_db_open(path, why, WHY_SIZE);
}

static int print_report(const struct sl_cli *cli, const struct sl_usage_wish *wish,
                        struct sl_db *db, char *why) {
    struct sl_buf out;
    sl_buf_init(&out, OUTPUT_MAX);
    int rc = sl_usage_report(&out, db, wish, cli->json, why, WHY_SIZE);
    if (rc == SL_OK && (fwrite(out.ptr, 1, out.len, stdout) != out.len || fflush(stdout) != 0)) {
        snprintf(why, WHY_SIZE, "cannot write the output");
        rc = SL_E_IO;
    }
    sl_buf_done(&out);
    return rc == SL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int sl_usage_command(const struct sl_cli *cli) {
    char why[WHY_SIZE] = "out of memory";
    struct sl_config *config = NULL;
    struct sl_usage_wish wish;
    int code = EXIT_USAGE;
    if (sl_usage_wish(&wish, cli->by, cli->since, (uint64_t)sl_clock_wall_ms(), why, sizeof(why)) ==
            SL_OK &&
        sl_config_load(&cli->source, &config, why, sizeof(why)) == SL_OK) {
        struct sl_db *db = open_ledger(config->state, why);
        code = db ? print_report(cli, &wish, db, why) : EXIT_FAILURE;
        sl_db_close(db);
    }
    if (code != EXIT_SUCCESS)
        fprintf(stderr, "sluice: %s\n", why);
    sl_config_free(config);
    return code;
}
