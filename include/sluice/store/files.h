/*
 * A file replaced as a whole: a crash leaves the former one or the new one. What is written goes
 * under another name until it is complete and on the disk. Blocks; for the store's worker, and for
 * the end of the process. One writer a path.
 */
#ifndef SLUICE_STORE_FILES_H
#define SLUICE_STORE_FILES_H

#include <limits.h>

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

/* The new file under way. The first failure sticks: what follows does nothing. */
struct sl_draft {
    int fd;
    int error; /* errno of the first failure, or 0 */
    char path[PATH_MAX], temporary[PATH_MAX];
};

/* Mode 0600. sl_draft_end must follow, whatever these return: SL_E_IO, once it has failed. */
SL_NODISCARD int sl_draft_begin(struct sl_draft *draft, const char *path);
SL_NODISCARD int sl_draft_add(struct sl_draft *draft, struct sl_slice bytes);
/* Puts it in the file's place. `err` that is not 0 (the caller's own failure) leaves it out instead
 * and is returned. SL_E_IO: the file is as it was. A sentence in why whenever it was not replaced.
 */
SL_NODISCARD int sl_draft_end(struct sl_draft *draft, int err, char *why, size_t n);

/* All three, for bytes at hand. */
SL_NODISCARD int sl_file_replace(const char *path, struct sl_slice bytes, char *why, size_t n);

#endif
