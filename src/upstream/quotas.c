/*
 * The list of quotas, and the ask that fetches it page by page. An ask is one attempt at a time at
 * its target; the next page, and the end, come from a timer, never from inside an attempt's events.
 *
 *   [attempt] ──done──▶ page read ──more──▶ timer ──▶ [attempt]
 *                            └── last, or a failure ──▶ timer ──▶ on_done, freed
 */
#include "sluice/upstream/quotas.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>

#include "sluice/base/mem.h"
#include "sluice/core/failure.h"
#include "sluice/wire/sigv4.h"
#include "upstream/quota_names.h"

#define ROWS_MAX  8192               /* the API lists about a thousand for Bedrock */
#define PAGE_MAX  ((size_t)1 << 20)  /* 100 quotas of about 1 KiB */
#define TOKEN_MAX ((size_t)16 << 10) /* opaque to us */
#define PAGES_MAX 100
#define ARENA_MAX ((size_t)64 << 10)
/* Above this, figures would not be exact as cJSON's doubles, nor mean anything. */
#define VALUE_MAX 1e15

/* ---- the list ---- */

void sl_quota_rows_done(struct sl_quota_rows *rows) {
    sl_free(rows->items);
    *rows = (struct sl_quota_rows){0};
}

static int add_row(struct sl_quota_rows *rows, const struct sl_quota_row *row) {
    if (rows->count == ROWS_MAX)
        return SL_E_LIMIT;
    if (rows->count == rows->cap) {
        size_t cap = rows->cap ? 2 * rows->cap : 64;
        struct sl_quota_row *items = sl_realloc(rows->items, cap * sizeof(*items));
        if (!items)
            return SL_E_NOMEM;
        rows->items = items;
        rows->cap = cap;
    }
    rows->items[rows->count++] = *row;
    return SL_OK;
}

int sl_quota_rows_add(struct sl_quota_rows *rows, struct sl_slice name, uint64_t value) {
    struct sl_quota_name read;
    if (value == 0 || !sl_quota_name_read(name, &read) || read.model.len == 0)
        return SL_OK;
    struct sl_quota_row row = {read.model, read.channel, read.kind, value};
    int err = add_row(rows, &row);
    if (err || !read.doubled)
        return err;
    row.channel = SL_CHANNEL_CROSS_REGION;
    row.value = 2 * value;
    return add_row(rows, &row);
}

static struct sl_slice string_of(const cJSON *object, const char *name) {
    return sl_slice_str(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name)));
}

int sl_quota_rows_add_page(struct sl_quota_rows *rows, struct sl_slice json,
                           struct sl_buf *next_token) {
    cJSON *root = cJSON_ParseWithLength(json.ptr, json.len);
    const cJSON *quotas = cJSON_GetObjectItemCaseSensitive(root, "Quotas"), *quota;
    int err = cJSON_IsArray(quotas) ? SL_OK : SL_E_INVALID;
    if (!err) {
        cJSON_ArrayForEach(quota, quotas) {
            const cJSON *value = cJSON_GetObjectItemCaseSensitive(quota, "Value");
            double number = cJSON_IsNumber(value) ? value->valuedouble : 0;
            if (!err && number >= 1 && number <= VALUE_MAX)
                err = sl_quota_rows_add(rows, string_of(quota, "QuotaName"), (uint64_t)number);
        }
    }
    if (!err)
        err = sl_buf_add(next_token, string_of(root, "NextToken"));
    cJSON_Delete(root);
    return err;
}

bool sl_quota_rows_find(const struct sl_quota_rows *rows, struct sl_slice model,
                        enum sl_channel channel, struct sl_quota_limits *out) {
    struct sl_slice base = sl_model_base(model);
    bool found = false;
    *out = (struct sl_quota_limits){0};
    uint64_t *const fields[SL_QUOTA_KINDS] = {
        [SL_QUOTA_RPM] = &out->rpm, [SL_QUOTA_TPM] = &out->tpm, [SL_QUOTA_TPD] = &out->tpd};
    for (size_t i = 0; i < rows->count; i++) {
        const struct sl_quota_row *row = &rows->items[i];
        if (row->channel != channel || !sl_quota_model_is(row->model, base))
            continue;
        *fields[row->kind] = row->value;
        found = true;
    }
    return found;
}

static const struct sl_slice channel_names[] = {
    [SL_CHANNEL_ON_DEMAND] = SL_LIT("on-demand"),
    [SL_CHANNEL_CROSS_REGION] = SL_LIT("cross-region"),
    [SL_CHANNEL_GLOBAL] = SL_LIT("global"),
};
static const struct sl_slice kind_names[SL_QUOTA_KINDS] = {
    [SL_QUOTA_RPM] = SL_LIT("rpm"), [SL_QUOTA_TPM] = SL_LIT("tpm"), [SL_QUOTA_TPD] = SL_LIT("tpd")};

int sl_quota_rows_save(const struct sl_quota_rows *rows, struct sl_buf *out) {
    int err = SL_OK;
    for (size_t i = 0; i < rows->count && !err; i++) {
        const struct sl_quota_row *row = &rows->items[i];
        err =
            sl_buf_printf(out, "%.*s %.*s %" PRIu64 " %.*s\n", SL_FMT(channel_names[row->channel]),
                          SL_FMT(kind_names[row->kind]), row->value, SL_FMT(row->model));
    }
    return err;
}

/* The word's place in the list, or count. */
static size_t index_of(struct sl_slice word, const struct sl_slice *list, size_t count) {
    size_t i = 0;
    while (i < count && !sl_slice_eq(word, list[i]))
        i++;
    return i;
}

static int parse_line(struct sl_quota_rows *rows, struct sl_slice line) {
    struct sl_slice parts[4];
    const size_t channel_count = sizeof(channel_names) / sizeof(channel_names[0]);
    uint64_t value;
    for (size_t i = 0; i < 4; i++)
        if (!sl_slice_split(&line, ' ', &parts[i]))
            return SL_E_INVALID;
    size_t channel = index_of(parts[0], channel_names, channel_count);
    size_t kind = index_of(parts[1], kind_names, SL_QUOTA_KINDS);
    if (line.ptr || channel == channel_count || kind == SL_QUOTA_KINDS ||
        !sl_slice_u64(parts[2], &value))
        return SL_E_INVALID;
    struct sl_quota_row row = {sl_quota_model_named(parts[3]), (enum sl_channel)channel,
                               (enum sl_quota_kind)kind, value};
    return row.model.len ? add_row(rows, &row) : SL_OK;
}

int sl_quota_rows_parse(struct sl_quota_rows *rows, struct sl_slice text) {
    struct sl_slice line;
    int err = SL_OK;
    while (!err && text.len > 0 && sl_slice_split(&text, '\n', &line))
        if (line.len > 0)
            err = parse_line(rows, line);
    return err;
}

/* ---- the ask ---- */

struct sl_quota_ask {
    struct sl_loop *loop;
    struct sl_target *target;
    void (*on_done)(void *ctx, const struct sl_quota_answer *answer);
    void *ctx;
    struct sl_attempt *attempt;
    struct sl_timer timer; /* the next step */
    struct sl_arena arena;
    struct sl_call call;
    struct sl_buf page, next_token;
    struct sl_quota_rows rows;
    struct sl_quota_answer answer;
    unsigned pages;
    bool finished;
    char why[512];
};

static void free_ask(struct sl_quota_ask *ask) {
    sl_timer_clear(ask->loop, &ask->timer);
    sl_chain_done(&ask->call.body);
    sl_arena_done(&ask->arena);
    sl_buf_done(&ask->page);
    sl_buf_done(&ask->next_token);
    sl_quota_rows_done(&ask->rows);
    sl_free(ask);
}

static void finish(struct sl_quota_ask *ask, int error, const char *why) {
    ask->finished = true;
    ask->answer.error = error;
    if (why != ask->why)
        snprintf(ask->why, sizeof(ask->why), "%s", why ? why : "");
}

/* The body of one page's request, and what signing needs of it. */
static int make_call(struct sl_quota_ask *ask) {
    struct sl_buf body;
    struct sl_call *call = &ask->call;
    sl_buf_init(&body, 2 * TOKEN_MAX);
    sl_chain_done(&call->body);
    sl_arena_done(&ask->arena);
    sl_arena_init(&ask->arena, ARENA_MAX);
    *call = (struct sl_call){.plane = SL_PLANE_QUOTAS,
                             .framing = SL_FRAMING_WHOLE,
                             .method = SL_LIT("POST"),
                             .target = SL_LIT("/"),
                             .max_tokens = -1};
    sl_chain_init(&call->body, NULL);
    int err = sl_buf_add_str(&body, "{\"ServiceCode\":\"bedrock\",\"MaxResults\":100");
    if (!err && ask->next_token.len > 0)
        err = sl_buf_add_str(&body, ",\"NextToken\":");
    if (!err && ask->next_token.len > 0)
        err = sl_buf_add_json(&body, sl_buf_slice(&ask->next_token));
    if (!err)
        err = sl_buf_add_str(&body, "}");
    if (!err)
        err = sl_chain_add(&call->body, sl_buf_slice(&body));
    if (!err)
        err = sl_headers_add(&call->headers, &ask->arena, SL_LIT("content-type"),
                             SL_LIT("application/x-amz-json-1.1"));
    if (!err)
        err = sl_headers_add(&call->headers, &ask->arena, SL_LIT("x-amz-target"),
                             SL_LIT("ServiceQuotasV20190624.ListServiceQuotas"));
    sl_sha256_of(sl_buf_slice(&body), call->body_sha256);
    sl_buf_done(&body);
    return err;
}

static void on_head(void *ctx, const struct sl_fetch_head *head) {
    struct sl_quota_ask *ask = ctx;
    ask->answer.status = head->status;
}

static void on_data(void *ctx, struct sl_slice bytes) {
    struct sl_quota_ask *ask = ctx;
    if (!ask->finished && sl_buf_add(&ask->page, bytes) != SL_OK)
        finish(ask, SL_E_PROTOCOL, "an answer of the Service Quotas API is too large");
}

/* "{"__type":"AccessDeniedException","Message":"User: … is not authorized …"}" */
static void read_refusal(struct sl_quota_ask *ask) {
    cJSON *root = cJSON_ParseWithLength(ask->page.ptr ? ask->page.ptr : "", ask->page.len);
    struct sl_slice type = string_of(root, "__type"), message = string_of(root, "message");
    if (message.len == 0)
        message = string_of(root, "Message");
    enum sl_failure kind = sl_failure_named(type);
    snprintf(ask->why, sizeof(ask->why), "%.*s%s%.*s",
             SL_FMT(type.len ? sl_slice_head(type, 100) : SL_LIT("the Service Quotas API refused")),
             message.len ? ": " : "", SL_FMT(sl_slice_head(message, 380)));
    bool denied =
        kind == SL_FAILURE_DENIED || ask->answer.status == 401 || ask->answer.status == 403;
    finish(ask, denied ? SL_E_DENIED : SL_E_PROTOCOL, ask->why);
    cJSON_Delete(root);
}

static void read_page(struct sl_quota_ask *ask) {
    sl_buf_clear(&ask->next_token);
    int err = sl_quota_rows_add_page(&ask->rows, sl_buf_slice(&ask->page), &ask->next_token);
    if (err == SL_E_INVALID)
        finish(ask, SL_E_PROTOCOL, "the Service Quotas API gave no list of quotas");
    else if (err)
        finish(ask, err, sl_error_name(err));
    else if (ask->next_token.len == 0)
        finish(ask, SL_OK, "");
    else if (++ask->pages == PAGES_MAX)
        finish(ask, SL_E_PROTOCOL, "the Service Quotas API does not come to an end");
}

static void on_attempt_done(void *ctx, const struct sl_attempt_result *result) {
    struct sl_quota_ask *ask = ctx;
    ask->attempt = NULL;
    if (ask->finished)
        ; /* too large */
    else if (result->error)
        finish(ask, result->error, result->why);
    else if (ask->answer.status / 100 != 2)
        read_refusal(ask);
    else
        read_page(ask);
    /* The timer was set when the attempt began, so that this cannot fail. */
    (void)!sl_timer_set(ask->loop, &ask->timer, ask->loop->now);
}

static int ask_page(struct sl_quota_ask *ask) {
    static const struct sl_attempt_events events = {on_head, on_data, on_attempt_done};
    int err = make_call(ask);
    sl_buf_clear(&ask->page);
    if (!err)
        err = sl_timer_set(ask->loop, &ask->timer, SL_NEVER);
    if (err)
        return err;
    ask->attempt = sl_attempt_start(ask->target, &ask->call, &events, ask);
    return ask->attempt ? SL_OK : SL_E_NOMEM;
}

static void on_step(void *ctx) {
    struct sl_quota_ask *ask = ctx;
    if (!ask->finished && ask_page(ask) != SL_OK)
        finish(ask, SL_E_NOMEM, "out of memory");
    if (!ask->finished)
        return;
    ask->answer.why = ask->why;
    ask->answer.rows = &ask->rows;
    ask->on_done(ask->ctx, &ask->answer);
    free_ask(ask);
}

struct sl_quota_ask *
sl_quota_ask_start(struct sl_loop *loop, struct sl_target *target,
                   void (*on_done)(void *ctx, const struct sl_quota_answer *answer), void *ctx) {
    if (!sl_target_endpoint(target, SL_PLANE_QUOTAS))
        return NULL;
    struct sl_quota_ask *ask = sl_calloc(1, sizeof(*ask));
    if (!ask)
        return NULL;
    *ask = (struct sl_quota_ask){.loop = loop, .target = target, .on_done = on_done, .ctx = ctx};
    sl_timer_init(&ask->timer, on_step, ask);
    sl_arena_init(&ask->arena, ARENA_MAX);
    sl_chain_init(&ask->call.body, NULL);
    sl_buf_init(&ask->page, PAGE_MAX);
    sl_buf_init(&ask->next_token, TOKEN_MAX);
    if (ask_page(ask) == SL_OK)
        return ask;
    free_ask(ask);
    return NULL;
}

void sl_quota_ask_cancel(struct sl_quota_ask *ask) {
    if (!ask)
        return;
    if (ask->attempt)
        sl_attempt_cancel(ask->attempt);
    free_ask(ask);
}
