/*
 * The state folder and what is secret in it. Only this user may enter it: a folder that others can
 * open is refused rather than quietly changed, since it may be one that was named by mistake.
 */
#ifndef SLUICE_APP_STATE_H
#define SLUICE_APP_STATE_H

#include <stddef.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

#define SL_ADMIN_TOKEN_MAX 256

struct sl_state {
    int dir;                              /* the folder; -1: none */
    char admin_token[SL_ADMIN_TOKEN_MAX]; /* NUL-terminated */
};

/*
 * Makes the folder (0700, parents too) and STATE/admin.token (0600, 256 random bits in hex) where
 * they are missing, and reads the token. path NULL: no default could be found. On failure a
 * sentence in `why` and *state holds nothing.
 */
SL_NODISCARD int sl_state_open(struct sl_state *state, const char *path, char *why,
                               size_t why_size);
/* Wipes the token. */
void sl_state_close(struct sl_state *state);

#endif
