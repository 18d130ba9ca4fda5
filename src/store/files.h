/* A whole file, written so that a crash leaves the former one or the new one. Blocks. */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include "sluice/base/error.h"
#include "sluice/base/slice.h"

/* Mode 0600. SL_E_IO and a sentence; the file is then as it was. */
SL_NODISCARD int sl_file_replace(const char *path, struct sl_slice bytes, char *why, size_t n);

#endif
