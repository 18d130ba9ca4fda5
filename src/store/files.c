/*
 * Temporary name, write, fsync, rename, fsync of the folder: without the last, a power cut may undo
 * the rename. One worker writes, so the temporary name can be fixed, and what a crash left under it
 * is written over.
 */
#include "store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".new"

static bool write_all(int fd, struct sl_slice bytes) {
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = sl_slice_skip(bytes, (size_t)n);
    }
    return true;
}

/* errno stays that of what failed. */
static bool close_after(int fd, bool good) {
    int error = errno;
    close(fd);
    errno = error;
    return good;
}

static bool sync_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) : 1;
    snprintf(folder, sizeof(folder), "%.*s/", len, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && close_after(fd, fsync(fd) == 0);
}

static bool replace(const char *path, const char *temporary, struct sl_slice bytes) {
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || !close_after(fd, write_all(fd, bytes) && fsync(fd) == 0))
        return false;
    return rename(temporary, path) == 0 && sync_folder(path);
}

int sl_file_replace(const char *path, struct sl_slice bytes, char *why, size_t n) {
    char temporary[PATH_MAX];
    int len = snprintf(temporary, sizeof(temporary), "%s" SUFFIX, path);
    errno = ENAMETOOLONG;
    if (len < (int)sizeof(temporary) && replace(path, temporary, bytes))
        return SL_OK;
    snprintf(why, n, "%s cannot be written: %s", path, strerror(errno));
    if (len < (int)sizeof(temporary))
        unlink(temporary);
    return SL_E_IO;
}
