/*
 * A configuration file of any bytes; behind a NUL, further lines "PATH=VALUE" as overrides. It is
 * taken or refused with a sentence, and never anything else.
 */
#include <assert.h>
#include <stdint.h>

#include "sluice/app/config.h"

#define OVERRIDES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Nobody is let in without a key by accident: where "auth" is not written, only from here. */
static void check_open(const struct sl_config *config, struct sl_slice text) {
    assert(config->listen.count > 0 && config->auth != SL_AUTH_UNSET);
    if (config->auth == SL_AUTH_KEYS || sl_slice_search(text, SL_LIT("auth")) < text.len)
        return;
    for (size_t i = 0; i < config->listen.count; i++)
        assert(sl_hostport_is_loopback(&config->listen.items[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const environment[] = {"HOME=/home/user", NULL};
    struct sl_config_override overrides[OVERRIDES];
    struct sl_config *config = NULL;
    char why[512] = "";
    struct sl_slice all = sl_slice_of(data, size), line;
    size_t nul = sl_slice_find(all, '\0');
    struct sl_config_source source = {.file = "fuzz.yaml",
                                      .text = sl_slice_of(data, nul),
                                      .environment = environment,
                                      .overrides = overrides};
    struct sl_slice rest = sl_slice_skip(all, nul + 1);
    while (source.override_count < OVERRIDES && rest.len && sl_slice_split(&rest, '\n', &line)) {
        size_t equals = sl_slice_find(line, '=');
        overrides[source.override_count++] = (struct sl_config_override){
            "--set", sl_slice_head(line, equals), sl_slice_skip(line, equals + 1)};
    }
    int rc = sl_config_load(&source, &config, why, sizeof(why));
    assert((rc == 0) == (config != NULL));
    assert((rc == 0) == (why[0] == '\0'));
    if (rc == 0)
        check_open(config, all);
    sl_config_free(config);
    return 0;
}
