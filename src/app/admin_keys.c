/*
 * A request becomes an operation: read on the loop, done by the store's worker, answered on the
 * loop. The worker writes into the operation, and for the list into the reply, which nobody else
 * touches meanwhile.
 */
#include "app/admin_keys.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "app/config_value.h"
#include "app/key_row.h"
#include "app/keyring.h"
#include "sluice/base/mem.h"
#include "sluice/wire/uri.h"

#define WHY_SIZE    1024
#define NUMBER_SIZE 24
#define NUMBERS     2

struct operation {
    struct sl_admin_keys *pages;
    struct sl_admin_reply *reply;
    /* In the worker. A negative error and `why`. */
    int (*run)(struct operation *op, struct sl_db *db);
    int success; /* status */
    bool secrets;
    char which[sizeof(((struct sl_db_key *)0)->name)]; /* name or id */
    char overlap[16];
    struct sl_db_key row;
    uint64_t wall_s;
    size_t listed;
    int error;
    char why[WHY_SIZE];
};

/* ---- In the worker ---------------------------------------------------------------- */

static int run_create(struct operation *op, struct sl_db *db) {
    return sl_db_key_insert(db, &op->row, op->why, sizeof(op->why));
}

static int find(struct operation *op, struct sl_db *db) {
    return sl_db_key_find(db, op->which, &op->row, op->why, sizeof(op->why));
}

static int run_revoke(struct operation *op, struct sl_db *db) {
    int rc = find(op, db);
    if (rc < 0 || op->row.revoked_at)
        return rc;
    op->row.revoked_at = op->wall_s;
    return sl_db_key_update(db, &op->row, op->why, sizeof(op->why));
}

static int run_rotate(struct operation *op, struct sl_db *db) {
    int rc = find(op, db);
    if (rc == SL_OK)
        rc = sl_key_row_rotate(&op->row, op->overlap, op->wall_s, op->why, sizeof(op->why));
    return rc < 0 ? rc : sl_db_key_update(db, &op->row, op->why, sizeof(op->why));
}

static void list_row(void *ctx, const struct sl_db_key *row) {
    struct operation *op = ctx;
    struct sl_buf *out = &op->reply->body;
    if (op->error == SL_OK)
        op->error = sl_buf_add_str(out, op->listed++ ? ",\n " : "{\"keys\":[");
    if (op->error == SL_OK)
        op->error = sl_key_row_json(out, row, NULL, op->wall_s);
}

static int run_list(struct operation *op, struct sl_db *db) {
    int rc = sl_db_keys(db, list_row, op, op->why, sizeof(op->why));
    if (rc == SL_OK)
        rc = op->error;
    if (rc == SL_OK)
        rc = sl_buf_add_str(&op->reply->body, op->listed ? "]}\n" : "{\"keys\":[]}\n");
    if (rc == SL_E_LIMIT)
        snprintf(op->why, sizeof(op->why),
                 "there are too many keys for one page: use "
                 "`sluice key list --json`");
    return rc;
}

static void work(void *ctx, struct sl_db *db) {
    struct operation *op = ctx;
    op->error = op->run(op, db);
}

/* ---- On the loop ------------------------------------------------------------------ */

static int status_of(int error) {
    switch (error) {
    case SL_E_INVALID:
        return 400;
    case SL_E_NOTFOUND:
        return 404;
    case SL_E_EXISTS:
        return 409;
    default:
        return 503;
    }
}

static int write_row(struct operation *op) {
    struct sl_key_record record = sl_keyring_record(&op->row);
    struct sl_key_secrets secrets = {0};
    struct sl_buf *out = &op->reply->body;
    int rc = op->secrets ? sl_key_secrets(op->pages->keys, &record, &secrets) : SL_OK;
    if (rc == SL_OK)
        rc = sl_key_row_json(out, &op->row, op->secrets ? &secrets : NULL, op->wall_s);
    explicit_bzero(&secrets, sizeof(secrets));
    return rc < 0 ? rc : sl_buf_add_byte(out, '\n');
}

static void answer(void *ctx) {
    struct operation *op = ctx;
    struct sl_admin_reply *reply = op->reply;
    if (op->error < 0) {
        sl_admin_fail(reply, status_of(op->error), "%s", op->why[0] ? op->why : "out of memory");
    } else {
        reply->status = op->success;
        if (op->run != run_list)
            sl_admin_check(reply, write_row(op));
    }
    sl_free(op);
    sl_admin_finish(reply);
}

static struct operation *new_operation(struct sl_admin_keys *pages, struct sl_admin_reply *reply,
                                       int (*run)(struct operation *op, struct sl_db *db)) {
    struct operation *op = sl_calloc(1, sizeof(*op));
    if (!op) {
        sl_admin_fail(reply, 503, "out of memory");
        return NULL;
    }
    op->pages = pages;
    op->reply = reply;
    op->run = run;
    op->success = 200;
    op->wall_s = (uint64_t)(pages->loop->wall_ms / 1000);
    return op;
}

/* The reply is due from the worker now, or is a failure already. */
static void start(struct operation *op) {
    struct sl_admin_reply *reply = op->reply;
    sl_admin_later(reply);
    int rc = sl_store_run(op->pages->store, work, answer, op);
    if (rc == SL_OK)
        return;
    sl_admin_fail(reply, 503, "the store takes no more work (%s)", sl_error_name(rc));
    sl_free(op);
    sl_admin_finish(reply);
}

static void give_up(struct operation *op) {
    sl_admin_fail(op->reply, 400, "%s", op->why);
    sl_free(op);
}

/* ---- Bodies ----------------------------------------------------------------------- */

/* Members of an object, as texts: numbers too, since the command line has only texts. */
struct member {
    const char *name;
    const char **text;
};

static int take_member(struct operation *op, const cJSON *item, const struct member *members,
                       char numbers[NUMBERS][NUMBER_SIZE], size_t *used) {
    while (members->name && strcmp(members->name, item->string) != 0)
        members++;
    if (!members->name) {
        snprintf(op->why, sizeof(op->why), "a key has no %s",
                 sl_quote(sl_slice_str(item->string)).text);
        return SL_E_INVALID;
    }
    if (cJSON_IsNull(item))
        return SL_OK;
    if (cJSON_IsString(item)) {
        *members->text = item->valuestring;
        return SL_OK;
    }
    if (!cJSON_IsNumber(item) || *used == NUMBERS || item->valuedouble < 0 ||
        item->valuedouble > 1e15) {
        snprintf(op->why, sizeof(op->why), "%s is neither text nor a number that it can be",
                 item->string);
        return SL_E_INVALID;
    }
    snprintf(numbers[*used], NUMBER_SIZE, "%.16g", item->valuedouble);
    *members->text = numbers[(*used)++];
    return SL_OK;
}

/* The body's object; NULL, and a sentence in op->why, where it is none. An empty body is one. */
static cJSON *read_object(struct operation *op, const struct sl_admin_request *request) {
    struct sl_slice body = sl_slice_trim(request->body);
    cJSON *json = body.len > 0 ? cJSON_ParseWithLength(body.ptr, body.len) : cJSON_CreateObject();
    if (cJSON_IsObject(json))
        return json;
    cJSON_Delete(json);
    snprintf(op->why, sizeof(op->why), "the body is no JSON object");
    return NULL;
}

static int read_members(struct operation *op, const cJSON *json, const struct member *members,
                        char numbers[NUMBERS][NUMBER_SIZE]) {
    const cJSON *item;
    size_t used = 0;
    int rc = SL_OK;
    cJSON_ArrayForEach(item, json) {
        rc = take_member(op, item, members, numbers, &used);
        if (rc < 0)
            break;
    }
    return rc;
}

static int read_wish(struct operation *op, const struct sl_admin_request *request) {
    struct sl_key_wish wish = {0};
    const struct member members[] = {{"name", &wish.name},
                                     {"models", &wish.models},
                                     {"priority", &wish.priority},
                                     {"rpm", &wish.rpm},
                                     {"tpm", &wish.tpm},
                                     {"expires", &wish.expires},
                                     {"cache", &wish.cache},
                                     {"operations", &wish.operations},
                                     {"s3_prefix", &wish.s3_prefix},
                                     {"subject", &wish.subject},
                                     {NULL, NULL}};
    char numbers[NUMBERS][NUMBER_SIZE];
    cJSON *json = read_object(op, request);
    int rc = json ? read_members(op, json, members, numbers) : SL_E_INVALID;
    if (rc == SL_OK)
        rc = sl_key_row_make(&op->row, &wish, op->wall_s, op->why, sizeof(op->why));
    cJSON_Delete(json);
    return rc;
}

static int read_overlap(struct operation *op, const struct sl_admin_request *request) {
    const char *overlap = SL_KEY_OVERLAP;
    const struct member members[] = {{"overlap", &overlap}, {NULL, NULL}};
    char numbers[NUMBERS][NUMBER_SIZE];
    cJSON *json = read_object(op, request);
    int rc = json ? read_members(op, json, members, numbers) : SL_E_INVALID;
    if (rc == SL_OK && strlen(overlap) >= sizeof(op->overlap)) {
        snprintf(op->why, sizeof(op->why), "overlap is no time, such as 7d");
        rc = SL_E_INVALID;
    }
    if (rc == SL_OK)
        memcpy(op->overlap, overlap, strlen(overlap) + 1);
    cJSON_Delete(json);
    return rc;
}

/* The path's part, decoded. */
static int read_which(struct operation *op, struct sl_slice part) {
    struct sl_buf text;
    sl_buf_init(&text, sizeof(op->which) - 1);
    int rc = sl_uri_decode(&text, part);
    if (rc == SL_OK)
        memcpy(op->which, text.ptr, text.len);
    else
        snprintf(op->why, sizeof(op->why), "%s is neither a key's id nor its name",
                 sl_quote(part).text);
    sl_buf_done(&text);
    return rc;
}

/* ---- Pages ------------------------------------------------------------------------ */

static void page_keys(void *ctx, const struct sl_admin_request *request,
                      struct sl_admin_reply *reply) {
    bool post = sl_slice_eq(request->method, SL_LIT("POST"));
    struct operation *op = new_operation(ctx, reply, post ? run_create : run_list);
    if (!op)
        return;
    op->secrets = post;
    op->success = post ? 201 : 200;
    if (post && read_wish(op, request) < 0)
        give_up(op);
    else
        start(op);
}

static void page_key(void *ctx, const struct sl_admin_request *request,
                     struct sl_admin_reply *reply) {
    bool post = sl_slice_eq(request->method, SL_LIT("POST"));
    size_t slash = sl_slice_find(request->rest, '/');
    struct sl_slice part = sl_slice_head(request->rest, slash);
    struct sl_slice tail = sl_slice_skip(request->rest, slash);
    if (part.len == 0 || !sl_slice_eq(tail, post ? SL_LIT("/rotate") : SL_EMPTY)) {
        sl_admin_fail(reply, 404, "there is DELETE /admin/keys/ID and POST /admin/keys/ID/rotate");
        return;
    }
    struct operation *op = new_operation(ctx, reply, post ? run_rotate : run_revoke);
    if (!op)
        return;
    op->secrets = post;
    if (read_which(op, part) < 0 || (post && read_overlap(op, request) < 0))
        give_up(op);
    else
        start(op);
}

static const struct sl_admin_row rows[] = {
    {"/admin/keys", SL_ADMIN_GET | SL_ADMIN_POST, page_keys, false},
    {"/admin/keys/*", SL_ADMIN_DELETE | SL_ADMIN_POST, page_key, false},
    {NULL, 0, NULL, false},
};

int sl_admin_keys(struct sl_admin *admin, struct sl_admin_keys *pages) {
    return sl_admin_add(admin, rows, pages);
}
