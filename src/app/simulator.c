#include "app/simulator.h"

#include <signal.h>
#include <stdio.h>

#include "app/notify.h"
#include "sluice/base/chain.h"
#include "sluice/base/mem.h"

#define EXIT_FINE    0
#define EXIT_RUNTIME 1
#define EXIT_CONFIG  2

struct simulator {
    uv_loop_t uv;
    struct sl_loop loop;
    struct sl_config *config;
    struct sl_sim *sim;
    uv_signal_t signals[2];
    uv_timer_t drain;
    bool draining;
    char why[1024];
};

void sl_simulated_target(const struct sl_config *config, const char *address,
                         char endpoint[SL_SIMULATED_ENDPOINT_SIZE],
                         struct sl_target_settings *settings) {
    snprintf(endpoint, SL_SIMULATED_ENDPOINT_SIZE, "http://%s", address);
    settings->endpoint = endpoint;
    settings->mantle_endpoint = NULL;
    settings->mantle = true;
    settings->fips = settings->dual_stack = false;
    settings->region = config->simulator.region;
    settings->access_key_id = config->simulator.access_key_id;
    settings->secret = config->simulator.secret;
}

static void on_drained(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

/*
 * The first signal lets what runs finish, and the loop ends by itself once nothing is open: the
 * handles here do not count. The second signal does not wait.
 */
static void on_signal(uv_signal_t *handle, int signum) {
    struct simulator *s = handle->data;
    (void)signum;
    if (s->draining) {
        uv_stop(&s->uv);
        return;
    }
    s->draining = true;
    sl_notify("STOPPING=1");
    sl_sim_drain(s->sim);
    uv_timer_start(&s->drain, on_drained, s->config->drain_ms, 0);
}

static void open_handles(struct simulator *s) {
    static const int numbers[] = {SIGTERM, SIGINT};
    uv_timer_init(&s->uv, &s->drain);
    uv_unref((uv_handle_t *)&s->drain);
    for (size_t i = 0; i < 2; i++) {
        uv_signal_init(&s->uv, &s->signals[i]);
        s->signals[i].data = s;
        uv_signal_start(&s->signals[i], on_signal, numbers[i]);
        uv_unref((uv_handle_t *)&s->signals[i]);
    }
}

static void close_all(struct simulator *s) {
    sl_sim_free(s->sim);
    uv_close((uv_handle_t *)&s->drain, NULL);
    uv_close((uv_handle_t *)&s->signals[0], NULL);
    uv_close((uv_handle_t *)&s->signals[1], NULL);
}

static int serve(struct simulator *s) {
    const struct sl_hostport *listen = &s->config->simulator_listen;
    s->sim = sl_sim_new(&s->loop, &s->config->simulator, listen->host, listen->port, NULL, s->why,
                        sizeof(s->why));
    if (!s->sim)
        return EXIT_RUNTIME;
    open_handles(s);
    fprintf(stderr, "ready simulator=%s\n", sl_sim_address(s->sim));
    sl_notify("READY=1");
    uv_run(&s->uv, UV_RUN_DEFAULT);
    close_all(s);
    return EXIT_FINE;
}

static int run(struct simulator *s) {
    if (uv_loop_init(&s->uv) != 0)
        return EXIT_RUNTIME;
    int code = EXIT_RUNTIME;
    if (sl_loop_init(&s->loop, &s->uv) == SL_OK) {
        code = serve(s);
        uv_run(&s->uv, UV_RUN_DEFAULT); /* closing callbacks */
        sl_loop_done(&s->loop);
    }
    uv_run(&s->uv, UV_RUN_DEFAULT);
    uv_loop_close(&s->uv);
    sl_chunk_pool_done();
    return code;
}

int sl_simulator(const struct sl_config_source *source) {
    struct simulator *s = sl_calloc(1, sizeof(*s));
    int code = EXIT_RUNTIME;
    if (s) {
        int rc = sl_config_load(source, &s->config, s->why, sizeof(s->why));
        code = rc == 0 ? EXIT_FINE : rc == SL_E_NOMEM ? EXIT_RUNTIME : EXIT_CONFIG;
    }
    if (code == EXIT_FINE) {
        sl_log_setup(s->config->log.level, s->config->log.format);
        code = run(s);
    }
    if (code != EXIT_FINE)
        fprintf(stderr, "sluice: %s\n", s && s->why[0] ? s->why : "out of memory");
    if (s)
        sl_config_free(s->config);
    sl_free(s);
    return code;
}
