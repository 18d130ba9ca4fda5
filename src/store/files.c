/*
 * Temporary name, write, fsync, rename, fsync of the folder: without the last, a power cut may undo
 * the rename. One thread writes a path, so the temporary name can be fixed, and what a crash left
 * under it is written over.
 */
#include "sluice/store/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".new"

static int fail(struct sl_draft *d) {
    if (d->error == 0)
        d->error = errno;
    return SL_E_IO;
}

int sl_draft_begin(struct sl_draft *d, const char *path) {
    d->fd = -1;
    d->error = 0;
    snprintf(d->path, sizeof(d->path), "%s", path);
    int len = snprintf(d->temporary, sizeof(d->temporary), "%s" SUFFIX, path);
    errno = ENAMETOOLONG;
    if (len >= (int)sizeof(d->temporary))
        d->temporary[0] = '\0';
    else
        d->fd = open(d->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    return d->fd < 0 ? fail(d) : SL_OK;
}

int sl_draft_add(struct sl_draft *d, struct sl_slice bytes) {
    while (d->error == 0 && bytes.len > 0) {
        ssize_t n = write(d->fd, bytes.ptr, bytes.len);
        if (n == 0)
            errno = ENOSPC;
        if (n > 0)
            bytes = sl_slice_skip(bytes, (size_t)n);
        else if (n == 0 || errno != EINTR)
            fail(d);
    }
    return d->error ? SL_E_IO : SL_OK;
}

static int sync_folder(struct sl_draft *d) {
    char folder[PATH_MAX];
    const char *slash = strrchr(d->path, '/');
    int len = slash ? (int)(slash - d->path) : 1;
    snprintf(folder, sizeof(folder), "%.*s/", len, slash ? d->path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = fd < 0 || fsync(fd) != 0 ? fail(d) : SL_OK;
    if (fd >= 0)
        close(fd);
    return err;
}

static int put_in_place(struct sl_draft *d) {
    if (d->error)
        return SL_E_IO;
    return fsync(d->fd) != 0 || rename(d->temporary, d->path) != 0 ? fail(d) : sync_folder(d);
}

int sl_draft_end(struct sl_draft *d, int err, char *why, size_t n) {
    bool io = err == SL_OK || err == SL_E_IO;
    if (err == SL_OK)
        err = put_in_place(d);
    if (err)
        snprintf(why, n, "%s cannot be written: %s", d->path,
                 io ? strerror(d->error) : sl_error_name(err));
    if (err)
        unlink(d->temporary); /* also what stood in the way: the next time may then do */
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
    return err;
}

int sl_file_replace(const char *path, struct sl_slice bytes, char *why, size_t n) {
    struct sl_draft draft;
    int err = sl_draft_begin(&draft, path);
    if (!err)
        err = sl_draft_add(&draft, bytes);
    return sl_draft_end(&draft, err, why, n);
}
