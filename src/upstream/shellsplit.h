/*
 * Splits a command line into words as Python's shlex.split (and so botocore) does: single quotes
 * keep everything, double quotes keep everything but \" and \\, a backslash outside of quotes takes
 * the next byte as it is. Nothing is expanded and no shell runs.
 */
#ifndef SLUICE_UPSTREAM_SHELLSPLIT_H
#define SLUICE_UPSTREAM_SHELLSPLIT_H

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

#define SL_SHELL_MAX_WORDS 256
#define SL_SHELL_MAX_BYTES 32768

/* NULL-terminated, as uv_spawn wants it: one block, freed by sl_free(words). */
struct sl_shell_words {
    char **words;
    size_t count;
};

/* SL_E_INVALID: an open quote, a backslash at the end, or a NUL; SL_E_LIMIT, SL_E_NOMEM. */
SL_NODISCARD int sl_shell_split(struct sl_slice line, struct sl_shell_words *out);

#endif
