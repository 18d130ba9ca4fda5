/* The program: reads the command line and hands over to the command. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/activation.h"
#include "app/check.h"
#include "app/cli.h"
#include "app/config_doc.h"
#include "app/key.h"
#include "app/simulator.h"
#include "app/usage.h"
#include "sluice/app/serve.h"

#define EXIT_USAGE 2
#define HELP_MAX   65536

/* Writes to stdout what was put into a buffer; the exit code. */
static int print(struct sl_buf *out, int rc) {
    bool printed =
        rc == 0 && fwrite(out->ptr, 1, out->len, stdout) == out->len && fflush(stdout) == 0;
    sl_buf_done(out);
    if (!printed)
        fprintf(stderr, "sluice: cannot write the output\n");
    return printed ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_help(const struct sl_cli *cli) {
    struct sl_buf out;
    sl_buf_init(&out, HELP_MAX);
    return print(&out, sl_cli_help(cli, &out));
}

static int check(const struct sl_cli *cli) {
    struct sl_buf out;
    sl_buf_init(&out, SL_CONFIG_DOC_MAX);
    if (cli->sample)
        return print(&out, sl_config_write_sample(&out));
    if (cli->reference)
        return print(&out, sl_config_write_reference(&out));
    return sl_check(cli);
}

static int serve(struct sl_cli *cli) {
    char why[128];
    if (sl_activation_take(cli, why, sizeof(why)) != SL_OK) {
        fprintf(stderr, "sluice: %s\n", why);
        return EXIT_USAGE;
    }
    return sl_serve(&cli->source);
}

static int run(struct sl_cli *cli) {
    switch (cli->command) {
    case SL_COMMAND_SERVE:
        return serve(cli);
    case SL_COMMAND_SIMULATOR:
        return sl_simulator(&cli->source);
    case SL_COMMAND_CHECK:
        return check(cli);
    case SL_COMMAND_KEY:
        return sl_key_command(cli);
    case SL_COMMAND_USAGE:
        return sl_usage_command(cli);
    case SL_COMMAND_VERSION:
    case SL_COMMAND_COUNT:
        break;
    }
    printf("sluice " SLUICE_VERSION "\n");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    static struct sl_cli cli;
    char why[512];
    if (sl_cli_parse(&cli, argc, (const char *const *)argv, (const char *const *)environ, why,
                     sizeof(why)) != 0) {
        fprintf(stderr, "sluice: %s\n", why);
        return EXIT_USAGE;
    }
    if (cli.help)
        return print_help(&cli);
    signal(SIGPIPE, SIG_IGN);
    /* The simulator is in this process: a proxy of the environment could not reach it. */
    if (cli.source.simulator)
        setenv("no_proxy", "*", 1);
    return run(&cli);
}
