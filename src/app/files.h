/* Small helpers for files that are read whole. */
#ifndef SLUICE_SRC_APP_FILES_H
#define SLUICE_SRC_APP_FILES_H

#include <stddef.h>

/* A file's bytes (sl_free), at most max; NULL: it is not there, is empty, or is too large. */
char *sl_file_read(const char *path, size_t max, size_t *len);

#endif
