/*
 * The admin port: /healthz and /readyz for everyone who reaches it, all else with the token of
 * STATE/admin.token. Host and Origin are always guarded: this port belongs to people, not web
 * pages.
 */
#ifndef SLUICE_APP_ADMIN_H
#define SLUICE_APP_ADMIN_H

#include "app/admin_page.h"
#include "sluice/flow/flow.h"

struct sl_admin_settings {
    const char *token; /* NUL-terminated; must outlive the admin */
    /* Fills in the gauges before a page of metrics is made. */
    void (*measure)(void *ctx, struct sl_metrics *metrics);
    /* Why the gateway is not ready to serve, or NULL when it is. */
    const char *(*not_ready)(void *ctx);
    void *ctx;
    struct sl_metrics *metrics;
};

/* With the pages named above and /metrics; sl_admin_add brings the others. */
SL_NODISCARD struct sl_admin *sl_admin_new(struct sl_loop *loop,
                                           const struct sl_admin_settings *settings,
                                           const char *host, uint16_t port, char *why,
                                           size_t why_size);
const char *sl_admin_address(const struct sl_admin *admin);
void sl_admin_free(struct sl_admin *admin);

#endif
