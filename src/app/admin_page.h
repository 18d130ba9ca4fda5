/*
 * Pages of the admin port. Each part of the program has a table of its own (admin_keys.c,
 * admin_sched.c, …), added to the admin at start; the admin looks after token, Host, methods and
 * bodies, and calls a page only with a whole, permitted request.
 *
 *   request ──▶ page(ctx, request, reply) ──▶ returns, the reply filled in: sent
 *                         └─ sl_admin_later(reply) ─▶ returns; whoever it waits for fills the reply
 *                                                     in and calls sl_admin_finish(reply): sent
 *
 * A page that does nothing has answered 200 with an empty body. Errors are JSON, {"error":"…"}.
 */
#ifndef SLUICE_APP_ADMIN_PAGE_H
#define SLUICE_APP_ADMIN_PAGE_H

#include "sluice/base/buf.h"

#define SL_ADMIN_BODY_MAX  ((size_t)64 << 10) /* of a request */
#define SL_ADMIN_REPLY_MAX ((size_t)4 << 20)

struct sl_admin_request {
    struct sl_slice method; /* "GET" for HEAD too */
    struct sl_slice path;   /* without the query, as it was sent */
    struct sl_slice rest;   /* what follows the prefix of a page that ends with '*' */
    struct sl_slice query;  /* without the '?' */
    struct sl_slice body;
};

/* Methods a page takes; HEAD comes with GET. */
enum {
    SL_ADMIN_GET = 1,
    SL_ADMIN_POST = 2,
    SL_ADMIN_PUT = 4,
    SL_ADMIN_PATCH = 8,
    SL_ADMIN_DELETE = 16,
};

struct sl_admin_reply {
    int status;               /* 200 at first */
    const char *content_type; /* static; "application/json" at first */
    struct sl_buf body;       /* at most SL_ADMIN_REPLY_MAX */
};

/* The request's slices live until the reply is sent. */
typedef void (*sl_admin_page)(void *ctx, const struct sl_admin_request *request,
                              struct sl_admin_reply *reply);

struct sl_admin_row {
    const char *path; /* "/admin/keys"; "/admin/keys/" and then '*' for all below it */
    unsigned methods; /* SL_ADMIN_GET | … */
    sl_admin_page page;
    bool open; /* without the token */
};

/* rows ends with a NULL path and must outlive the admin, as must ctx. */
struct sl_admin;
SL_NODISCARD int sl_admin_add(struct sl_admin *admin, const struct sl_admin_row *rows, void *ctx);

/*
 * Keeps reply and request for later: exactly one sl_admin_finish must follow, whatever happens. It
 * may follow after the client left, or after the admin was freed: then it only frees.
 */
void sl_admin_later(struct sl_admin_reply *reply);
void sl_admin_finish(struct sl_admin_reply *reply);

/* In place of whatever the body held: {"error":"…"}. */
void sl_admin_fail(struct sl_admin_reply *reply, int status, const char *fmt, ...) SL_PRINTF(3, 4);
/* For the end of a page that built JSON with functions that can fail: 500 if err is not 0. */
void sl_admin_check(struct sl_admin_reply *reply, int err);
/* The raw value of "name=…" in the query; false where it is not there. */
bool sl_admin_query(const struct sl_admin_request *request, const char *name,
                    struct sl_slice *value);

#endif
