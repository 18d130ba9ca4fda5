/*
 * A credential process: started without a shell, its output bounded, its time limited, its whole
 * process group killed when it is given up.
 */
#ifndef SLUICE_UPSTREAM_CREDPROCESS_H
#define SLUICE_UPSTREAM_CREDPROCESS_H

#include "upstream/credwalk.h"

/* As the other AWS SDKs' limit. */
#define SL_CREDPROCESS_TIMEOUT_MS 60000
#define SL_CREDPROCESS_MAX_OUTPUT (1u << 20)

struct sl_credprocess;

/* argv[0] is looked up in PATH. The environment is the gateway's. NULL with a sentence. */
SL_NODISCARD struct sl_credprocess *sl_credprocess_start(struct sl_credctx *ctx, char **argv,
                                                         char *why, size_t why_size);
/* True when it has ended and its output is complete; then: */
bool sl_credprocess_ended(const struct sl_credprocess *process);
/* Its standard output, or SL_E_IO with a sentence (exit status, signal, time limit, size). */
SL_NODISCARD int sl_credprocess_result(const struct sl_credprocess *process,
                                       struct sl_slice *output, char *why, size_t why_size);
/* Kills it if it runs. Its memory goes when libuv has closed its handles: the loop must run on. */
void sl_credprocess_free(struct sl_credprocess *process);

#endif
