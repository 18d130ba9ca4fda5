/*
 * One call to a target, waited for: check has nothing else to do meanwhile, so it turns the loop
 * itself until the answer is in.
 */
#ifndef SLUICE_APP_CHECK_CALL_H
#define SLUICE_APP_CHECK_CALL_H

#include "app/check_explain.h"
#include "sluice/base/buf.h"
#include "sluice/upstream/credentials.h"
#include "sluice/upstream/target.h"

/* Largest answer that is looked at (ListFoundationModels runs to some hundred KiB). */
#define SL_CHECK_BODY_MAX ((size_t)4 << 20)

struct sl_check_request {
    enum sl_plane plane;
    enum sl_operation operation;
    const char *method;
    struct sl_slice path; /* path and query, encoded */
    struct sl_slice body; /* JSON; empty: none */
};

/*
 * Sends and waits. *outcome holds what came; its body is appended to `body`, cut at its maximum.
 * SL_E_NOMEM, and SL_E_NOTFOUND where the target has no such plane.
 */
SL_NODISCARD int sl_check_call(struct sl_loop *loop, struct sl_target *target,
                               const struct sl_check_request *request,
                               struct sl_check_outcome *outcome, struct sl_buf *body);

/* What is known of the credentials, without the credentials. */
struct sl_check_credentials {
    bool found;
    const char *source; /* "environment" */
    bool bearer;
    int64_t expires_ms;
    char why[1024]; /* when there are none */
};
void sl_check_credentials(struct sl_loop *loop, struct sl_target *target,
                          struct sl_check_credentials *out);

#endif
