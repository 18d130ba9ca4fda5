/* Command lines: words with NUL between. Each is understood, or refused with a sentence; and help
 * can be written for what was asked. */
#include <assert.h>
#include <string.h>

#include "app/cli.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WORDS    64
#define TEXT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const environment[] = {"HOME=/nonexistent", "SLUICE_LOG_LEVEL=info", NULL};
    static struct sl_cli cli;
    const char *argv[WORDS + 2] = {"sluice"};
    char text[TEXT_MAX + 1], why[512] = "";
    struct sl_buf help;
    int argc = 1;
    if (size > TEXT_MAX)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; at < text + size && argc <= WORDS; at += strlen(at) + 1)
        argv[argc++] = at;
    int rc = sl_cli_parse(&cli, argc, argv, environment, why, sizeof(why));
    assert(rc == SL_OK || (rc == SL_E_INVALID && why[0]));
    if (rc == SL_OK && cli.help) {
        sl_buf_init(&help, 1 << 20);
        rc = sl_cli_help(&cli, &help);
        assert(rc == SL_OK && help.len > 0);
        sl_buf_done(&help);
    }
    return 0;
}
