/*
 * A configuration file of any bytes; behind a NUL, further lines "PATH=VALUE" as overrides. It is
 * taken or refused with a sentence, and never anything else.
 */
#include <assert.h>
#include <stdint.h>

#include "sluice/app/config.h"

#define OVERRIDES 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
        assert(config->listen.count > 0 && config->auth == SL_AUTH_NONE);
    sl_config_free(config);
    return 0;
}
