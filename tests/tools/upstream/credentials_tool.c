/*
 * Shows which AWS credentials Sluice finds, so that tests/e2e/test_credentials.py can hold it
 * against botocore: credentials_tool [PROFILE]. The environment is the process's. One line of JSON:
 *
 *   {"access_key_id","session_token","bearer","source","expires"}  or  {"error"}
 *
 * Secrets are not printed; that they are right shows in signatures.
 */
#include <stdio.h>

#include "sluice/base/buf.h"
#include "sluice/base/log.h"
#include "sluice/upstream/credentials.h"

static struct sl_buf out;
static bool done;

static int add(const char *key, struct sl_slice value) {
    int rc = sl_buf_printf(&out, "%s\"%s\":", out.len ? "," : "{", key);
    return rc < 0 ? rc : sl_buf_add_json(&out, value);
}

static int describe(const struct sl_credentials *c, const char *why) {
    int rc;
    if (!c)
        return add("error", sl_slice_str(why));
    if ((rc = add("access_key_id", c->access_key_id)) < 0 ||
        (rc = add("session_token", c->session_token)) < 0 || (rc = add("bearer", c->bearer)) < 0 ||
        (rc = add("source", sl_slice_str(c->source))) < 0)
        return rc;
    return sl_buf_printf(&out, ",\"expires\":%s", c->expires_ms == INT64_MAX ? "false" : "true");
}

static void on_ready(void *ctx, const struct sl_credentials *credentials, const char *why) {
    done = true;
    sl_loop_again(ctx); /* main looks at done without waiting for another event */
    if (describe(credentials, why) < 0)
        sl_buf_clear(&out);
}

int main(int argc, char **argv) {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_credentials_settings settings = {.profile = argc > 1 ? argv[1] : NULL};
    struct sl_credentials_wait wait = {.on_ready = on_ready, .ctx = &loop};
    sl_buf_init(&out, 65536);
    sl_log_setup(SL_LOG_ERROR, SL_LOG_TEXT);
    if (uv_loop_init(&uv) != 0 || sl_loop_init(&loop, &uv) < 0)
        return 1;
    struct sl_fetch_client *client =
        sl_fetch_client_new(&loop, &(struct sl_fetch_client_settings){.max_in_flight = 1});
    struct sl_credentials_provider *provider =
        client ? sl_credentials_provider_new(&loop, client, &settings) : NULL;
    if (provider) {
        const struct sl_credentials *at_once = sl_credentials_get(provider, &wait);
        if (at_once)
            on_ready(&loop, at_once, NULL);
        while (!done)
            uv_run(&uv, UV_RUN_ONCE);
    }
    sl_credentials_provider_free(provider);
    sl_fetch_client_free(client);
    sl_loop_done(&loop);
    uv_run(&uv, UV_RUN_DEFAULT);
    if (out.len)
        printf("%.*s}\n", SL_FMT(sl_buf_slice(&out)));
    int status = out.len && uv_loop_close(&uv) == 0 ? 0 : 1;
    sl_buf_done(&out);
    return status;
}
