/*
 * Client keys over the admin port, for programs that give keys to others:
 *
 *   GET    /admin/keys              all keys, without their secrets
 *   POST   /admin/keys              makes one: {"name":…} and any of models, priority, rpm, tpm,
 *                                   expires, cache, operations, s3_prefix, subject, as the command
 *                                   line takes them; 201 with its secrets
 *   DELETE /admin/keys/{id}         revokes it
 *   POST   /admin/keys/{id}/rotate  {"overlap":"7d"} or nothing; 200 with its secrets
 *
 * {id} may be a name too. When an answer comes, the gateway goes by the change already.
 */
#ifndef SLUICE_APP_ADMIN_KEYS_H
#define SLUICE_APP_ADMIN_KEYS_H

#include "app/admin_page.h"
#include "sluice/keys/keys.h"
#include "sluice/store/store.h"

struct sl_admin_keys {
    struct sl_loop *loop;
    struct sl_store *store; /* it watches keys */
    struct sl_keys *keys;
};

/* Adds the pages. `pages` and what it points to must outlive the admin and, for the store's last
 * answers, be freed after the store. */
SL_NODISCARD int sl_admin_keys(struct sl_admin *admin, struct sl_admin_keys *pages);

#endif
