/*
 * One request of the admin port: refused at its head, or read to its end and given to the page that
 * its path names, which answers at once or later.
 *
 *   READING ──body end──▶ [page] ──▶ SENT ──close──▶ freed
 *      │                     └─later─▶ WAITING ──finish──▶ SENT
 *      └─ refused ─▶ SENT                └─ close ─▶ (stream gone) ──finish──▶ freed
 */
#include "app/admin.h"

#include <assert.h>
#include <stdio.h>

#include "sluice/base/mem.h"

#define TABLES_MAX 16
#define TARGET_MAX ((size_t)64 << 10) /* as much as the front takes for a whole head */
#define TEXT       "text/plain; charset=utf-8"

struct table {
    const struct sl_admin_row *rows;
    void *ctx;
};

struct sl_admin {
    struct sl_admin_settings settings;
    struct sl_front *front;
    const char *address;
    struct table tables[TABLES_MAX];
    size_t table_count;
};

enum ask_state { ASK_READING, ASK_WAITING, ASK_SENT };

struct ask {
    enum ask_state state;
    struct sl_stream *stream; /* NULL: the client left */
    const struct sl_admin_row *row;
    void *ctx; /* of the row's table */
    struct sl_admin_request request;
    struct sl_buf target, body; /* that request points into */
    struct sl_admin_reply reply;
    size_t sent;
    bool later; /* asked for by the page */
};

/* ---- replies ---- */

void sl_admin_fail(struct sl_admin_reply *reply, int status, const char *fmt, ...) {
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    size_t len = n < 0 ? 0 : n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1;
    sl_buf_clear(&reply->body);
    int err = sl_buf_add_str(&reply->body, "{\"error\":");
    if (!err)
        err = sl_buf_add_json(&reply->body, sl_slice_of(text, len));
    if (!err)
        err = sl_buf_add_str(&reply->body, "}\n");
    if (err)
        sl_buf_clear(&reply->body);
    reply->content_type = "application/json";
    reply->status = status;
}

void sl_admin_check(struct sl_admin_reply *reply, int err) {
    if (err == SL_E_LIMIT)
        sl_admin_fail(reply, 500, "the page is larger than %zu bytes", SL_ADMIN_REPLY_MAX);
    else if (err)
        sl_admin_fail(reply, 500, "the page cannot be made (%s)", sl_error_name(err));
}

bool sl_admin_query(const struct sl_admin_request *request, const char *name,
                    struct sl_slice *value) {
    struct sl_slice rest = request->query, part;
    while (rest.len > 0 && sl_slice_split(&rest, '&', &part)) {
        size_t equals = sl_slice_find(part, '=');
        if (!sl_slice_eq(sl_slice_head(part, equals), sl_slice_str(name)))
            continue;
        *value = sl_slice_skip(part, equals + 1);
        return true;
    }
    return false;
}

static void free_ask(struct ask *ask) {
    sl_buf_done(&ask->target);
    sl_buf_done(&ask->body);
    sl_buf_done(&ask->reply.body);
    sl_free(ask);
}

static const struct {
    struct sl_slice name;
    unsigned bit;
} methods[] = {
    {SL_LIT("GET"), SL_ADMIN_GET},     {SL_LIT("HEAD"), SL_ADMIN_GET},
    {SL_LIT("POST"), SL_ADMIN_POST},   {SL_LIT("PUT"), SL_ADMIN_PUT},
    {SL_LIT("PATCH"), SL_ADMIN_PATCH}, {SL_LIT("DELETE"), SL_ADMIN_DELETE},
};
#define METHODS (sizeof(methods) / sizeof(methods[0]))

/* "GET, HEAD, POST"; room for all of them. */
static struct sl_slice allowed(unsigned bits, char out[64]) {
    size_t n = 0;
    for (size_t i = 0; i < METHODS; i++)
        if (bits & methods[i].bit)
            n += (size_t)snprintf(out + n, 64 - n, "%s%s", n ? ", " : "", methods[i].name.ptr);
    return sl_slice_of(out, n);
}

static void send_reply(struct ask *ask) {
    char allow[64];
    struct sl_header headers[] = {
        {SL_LIT("Content-Type"), sl_slice_str(ask->reply.content_type)},
        {SL_LIT("Cache-Control"), SL_LIT("no-store")},
        {SL_LIT("WWW-Authenticate"), SL_LIT("Bearer")},
    };
    int status = ask->reply.status;
    if (status == 405 && ask->row)
        headers[2] = (struct sl_header){SL_LIT("Allow"), allowed(ask->row->methods, allow)};
    struct sl_response_head head = {.status = status,
                                    .headers = {headers, status == 401 || status == 405 ? 3 : 2, 3},
                                    .content_length = (int64_t)ask->reply.body.len};
    ask->state = ASK_SENT;
    if (sl_stream_respond(ask->stream, &head) != SL_OK)
        sl_stream_abort(ask->stream);
}

void sl_admin_later(struct sl_admin_reply *reply) {
    SL_CONTAINER(reply, struct ask, reply)->later = true;
}

void sl_admin_finish(struct sl_admin_reply *reply) {
    struct ask *ask = SL_CONTAINER(reply, struct ask, reply);
    assert(ask->later && ask->state != ASK_SENT);
    ask->later = false;
    if (ask->state == ASK_READING)
        return; /* from within the page itself: it is sent when that returns */
    if (ask->stream)
        send_reply(ask);
    else
        free_ask(ask);
}

/* ---- the admin's own pages ---- */

static void page_healthz(void *ctx, const struct sl_admin_request *request,
                         struct sl_admin_reply *reply) {
    (void)ctx;
    (void)request;
    reply->content_type = TEXT;
    sl_admin_check(reply, sl_buf_add_str(&reply->body, "ok\n"));
}

static void page_readyz(void *ctx, const struct sl_admin_request *request,
                        struct sl_admin_reply *reply) {
    struct sl_admin *admin = ctx;
    const char *why = admin->settings.not_ready(admin->settings.ctx);
    (void)request;
    reply->content_type = TEXT;
    reply->status = why ? 503 : 200;
    sl_admin_check(reply, sl_buf_printf(&reply->body, "%s\n", why ? why : "ready"));
}

static void page_metrics(void *ctx, const struct sl_admin_request *request,
                         struct sl_admin_reply *reply) {
    struct sl_admin *admin = ctx;
    (void)request;
    admin->settings.measure(admin->settings.ctx, admin->settings.metrics);
    reply->content_type = "text/plain; version=0.0.4; charset=utf-8";
    sl_admin_check(reply, sl_metrics_render(admin->settings.metrics, &reply->body));
}

static const struct sl_admin_row own_rows[] = {
    {"/healthz", SL_ADMIN_GET, page_healthz, true},
    {"/readyz", SL_ADMIN_GET, page_readyz, true},
    {"/metrics", SL_ADMIN_GET, page_metrics, false},
    {NULL, 0, NULL, false},
};

int sl_admin_add(struct sl_admin *admin, const struct sl_admin_row *rows, void *ctx) {
    if (admin->table_count == TABLES_MAX)
        return SL_E_LIMIT;
    admin->tables[admin->table_count++] = (struct table){rows, ctx};
    return SL_OK;
}

/* ---- from a head to a page ---- */

static bool has_token(const struct sl_admin *admin, const struct sl_request_head *head) {
    struct sl_slice value = sl_headers_get(&head->headers, SL_LIT("authorization"));
    struct sl_slice scheme = SL_LIT("Bearer ");
    return value.len > scheme.len && sl_slice_ieq(sl_slice_head(value, scheme.len), scheme) &&
           sl_slice_eq_secret(sl_slice_trim(sl_slice_skip(value, scheme.len)),
                              sl_slice_str(admin->settings.token));
}

/* Whether the row is the page of that path; *rest is what a '*' stands for. */
static bool matches(const struct sl_admin_row *row, struct sl_slice path, struct sl_slice *rest) {
    struct sl_slice pattern = sl_slice_str(row->path);
    if (!sl_slice_ends(pattern, SL_LIT("*"))) {
        *rest = SL_EMPTY;
        return sl_slice_eq(path, pattern);
    }
    pattern.len--;
    *rest = sl_slice_skip(path, pattern.len);
    return sl_slice_starts(path, pattern) && rest->len > 0;
}

static bool find_row(const struct sl_admin *admin, struct ask *ask) {
    for (size_t t = 0; t < admin->table_count; t++)
        for (const struct sl_admin_row *row = admin->tables[t].rows; row->path; row++)
            if (matches(row, ask->request.path, &ask->request.rest)) {
                ask->row = row;
                ask->ctx = admin->tables[t].ctx;
                return true;
            }
    return false;
}

/* For those with the token who guess. */
static void no_such_page(const struct sl_admin *admin, struct sl_admin_reply *reply) {
    char list[400] = "";
    size_t n = 0;
    for (size_t t = 0; t < admin->table_count; t++)
        for (const struct sl_admin_row *row = admin->tables[t].rows; row->path; row++) {
            int wrote = snprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "", row->path);
            n += wrote > 0 && (size_t)wrote < sizeof(list) - n ? (size_t)wrote : 0;
        }
    list[n] = '\0';
    sl_admin_fail(reply, 404, "there is no such page; there are: %s", list);
}

/* The bit of a method that the row takes; the request is told GET for HEAD. */
static bool takes_method(struct ask *ask, struct sl_slice method) {
    for (size_t i = 0; i < METHODS; i++)
        if (sl_slice_eq(method, methods[i].name) && (ask->row->methods & methods[i].bit)) {
            ask->request.method =
                methods[i].bit == SL_ADMIN_GET ? methods[0].name : methods[i].name;
            return true;
        }
    return false;
}

/* True when the page may be called; else the reply says why not. */
static bool admits(struct sl_admin *admin, struct ask *ask, const struct sl_request_head *head) {
    char allow[64];
    struct sl_admin_reply *reply = &ask->reply;
    if (!sl_guard_allows(head, NULL, 0)) {
        sl_admin_fail(reply, 403, "the admin port answers to an IP address or localhost only");
        return false;
    }
    bool known = has_token(admin, head), found = find_row(admin, ask);
    if (!known && !(found && ask->row->open)) {
        sl_admin_fail(reply, 401, "send the token of STATE/admin.token: Authorization: Bearer …");
        return false;
    }
    if (!found) {
        no_such_page(admin, reply);
        return false;
    }
    if (takes_method(ask, head->method))
        return true;
    sl_admin_fail(reply, 405, "this page takes %.*s", SL_FMT(allowed(ask->row->methods, allow)));
    return false;
}

/* ---- the front's handler ---- */

static struct ask *new_ask(struct sl_stream *stream, struct sl_slice target) {
    struct ask *ask = sl_calloc(1, sizeof(*ask));
    if (!ask)
        return NULL;
    ask->stream = stream;
    ask->reply = (struct sl_admin_reply){.status = 200, .content_type = "application/json"};
    sl_buf_init(&ask->target, TARGET_MAX);
    sl_buf_init(&ask->body, SL_ADMIN_BODY_MAX);
    sl_buf_init(&ask->reply.body, SL_ADMIN_REPLY_MAX);
    /* Copied, because a page that answers later may outlive the stream. */
    if (sl_buf_add(&ask->target, target) != SL_OK) {
        free_ask(ask);
        return NULL;
    }
    ask->request.path = sl_target_path(sl_buf_slice(&ask->target));
    ask->request.query = sl_target_query(sl_buf_slice(&ask->target));
    return ask;
}

static void *on_request(void *server, struct sl_stream *stream,
                        const struct sl_request_head *head) {
    struct ask *ask = new_ask(stream, head->target);
    if (ask && !admits(server, ask, head))
        send_reply(ask);
    return ask;
}

static void *on_malformed(void *server, struct sl_stream *stream,
                          const struct sl_request_head *head, int status, const char *why) {
    struct ask *ask = new_ask(stream, SL_EMPTY);
    (void)server;
    (void)head;
    if (ask) {
        sl_admin_fail(&ask->reply, status, "%s", why);
        send_reply(ask);
    }
    return ask;
}

static void on_body(void *x, struct sl_slice bytes) {
    struct ask *ask = x;
    if (ask->state != ASK_READING || sl_buf_add(&ask->body, bytes) == SL_OK)
        return;
    sl_admin_fail(&ask->reply, 503, "out of memory");
    send_reply(ask);
}

static void on_body_end(void *x) {
    struct ask *ask = x;
    if (ask->state != ASK_READING)
        return;
    ask->request.body = sl_buf_slice(&ask->body);
    ask->row->page(ask->ctx, &ask->request, &ask->reply);
    if (ask->later)
        ask->state = ASK_WAITING;
    else
        send_reply(ask);
}

static void on_fault(void *x, int status, const char *why) {
    struct ask *ask = x;
    if (ask->state != ASK_READING)
        return;
    sl_admin_fail(&ask->reply, status, "%s", why);
    send_reply(ask);
}

static size_t peek(void *x, struct sl_slice *out, size_t max, bool *end) {
    struct ask *ask = x;
    (void)max;
    *end = true;
    *out = sl_slice_skip(sl_buf_slice(&ask->reply.body), ask->sent);
    return out->len > 0 ? 1 : 0;
}

static void advance(void *x, size_t n) {
    struct ask *ask = x;
    ask->sent += n;
}

static void on_close(void *x, enum sl_close_reason reason) {
    struct ask *ask = x;
    (void)reason;
    ask->stream = NULL;
    if (ask->state != ASK_WAITING)
        free_ask(ask);
}

static const struct sl_front_handler handler = {
    .on_request = on_request,
    .on_malformed = on_malformed,
    .on_body = on_body,
    .on_body_end = on_body_end,
    .on_fault = on_fault,
    .peek = peek,
    .advance = advance,
    .on_close = on_close,
};

struct sl_admin *sl_admin_new(struct sl_loop *loop, const struct sl_admin_settings *settings,
                              const char *host, uint16_t port, char *why, size_t why_size) {
    /* A few people and programs look at a time. */
    struct sl_front_limits limits = SL_FRONT_LIMITS_DEFAULT;
    limits.body_bytes = SL_ADMIN_BODY_MAX;
    limits.connections = 64;
    struct sl_admin *admin = sl_calloc(1, sizeof(*admin));
    if (!admin)
        return NULL;
    admin->settings = *settings;
    admin->tables[admin->table_count++] = (struct table){own_rows, admin};
    admin->front = sl_front_new(loop, &limits, &handler, admin);
    if (admin->front)
        admin->address = sl_front_listen(admin->front, host, port, NULL, why, why_size);
    if (admin->address)
        return admin;
    sl_admin_free(admin);
    return NULL;
}

const char *sl_admin_address(const struct sl_admin *admin) {
    return admin->address;
}

void sl_admin_free(struct sl_admin *admin) {
    if (!admin)
        return;
    if (admin->front)
        sl_front_free(admin->front);
    sl_free(admin);
}
