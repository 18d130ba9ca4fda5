/*
 * The token appears under its name complete or not at all: it is written to a file of its own and
 * linked, so that a crash leaves no half of it and of two processes that start at once one wins.
 */
#include "app/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/base/rand.h"

#define TOKEN_FILE  "admin.token"
#define TOKEN_BYTES 32
/* A token someone wrote by hand must not be guessable: 128 bits in hex. */
#define TOKEN_LEAST 32

SL_PRINTF(3, 4) static int refuse(char *why, size_t size, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, size, fmt, args);
    va_end(args);
    return SL_E_IO;
}

/* mkdir -p. EEXIST is fine at every level; the last one is opened and looked at afterwards. */
static int make_folders(const char *path) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return SL_E_IO;
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return SL_E_IO;
    }
    return 0;
}

/* Ours alone: nothing for group and others. */
static bool is_private(const struct stat *st) {
    return st->st_uid == geteuid() && (st->st_mode & 077) == 0;
}

static int open_folder(const char *path, int *out, char *why, size_t why_size) {
    struct stat st;
    if (make_folders(path) != 0)
        return refuse(why, why_size, "state: %s cannot be made: %s", path, strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int rc = refuse(why, why_size, "state: %s cannot be opened: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    if (!is_private(&st)) {
        close(fd);
        return refuse(why, why_size,
                      "state: %s must belong to this user alone, and does not (mode %04o, owner "
                      "%u): chown and chmod 700 it, or name another folder",
                      path, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid);
    }
    *out = fd;
    return 0;
}

static int write_token(int dir, const char *name) {
    uint8_t bytes[TOKEN_BYTES];
    char text[2 * TOKEN_BYTES + 1];
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return SL_E_IO;
    sl_rand_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++) {
        text[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    text[sizeof(text) - 1] = '\n';
    ssize_t n = write(fd, text, sizeof(text));
    bool good = n == (ssize_t)sizeof(text) && fsync(fd) == 0;
    int error = n >= 0 && n != (ssize_t)sizeof(text) ? ENOSPC : errno;
    close(fd);
    explicit_bzero(bytes, sizeof(bytes));
    explicit_bzero(text, sizeof(text));
    errno = error;
    return good ? 0 : SL_E_IO;
}

static int make_token(int dir) {
    char uuid[SL_UUID_SIZE], name[sizeof(".token.") + SL_UUID_SIZE];
    if (faccessat(dir, TOKEN_FILE, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    sl_rand_uuid(uuid);
    snprintf(name, sizeof(name), ".token.%s", uuid);
    int rc = write_token(dir, name);
    if (rc == 0 && linkat(dir, name, dir, TOKEN_FILE, 0) != 0 && errno != EEXIST)
        rc = SL_E_IO;
    int error = errno;
    unlinkat(dir, name, 0);
    errno = error;
    return rc;
}

/* The file's one line. Its content never appears in a message. */
static int read_token(int dir, const char *path, char token[SL_ADMIN_TOKEN_MAX], char *why,
                      size_t why_size) {
    struct stat st;
    int fd = openat(dir, TOKEN_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = -1;
    if (fd >= 0 && fstat(fd, &st) == 0)
        n = read(fd, token, SL_ADMIN_TOKEN_MAX - 1);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return refuse(why, why_size, "state: %s/" TOKEN_FILE " cannot be read: %s", path,
                      strerror(error));
    if (!S_ISREG(st.st_mode) || !is_private(&st))
        return refuse(why, why_size,
                      "state: %s/" TOKEN_FILE " must be a file of this user alone: chmod 600 it, "
                      "or delete it and a new one is made",
                      path);
    struct sl_slice text = sl_slice_of(token, (size_t)n);
    while (text.len && (text.ptr[text.len - 1] == '\n' || text.ptr[text.len - 1] == '\r'))
        text.len--;
    bool visible = true;
    for (size_t i = 0; i < text.len; i++)
        visible = visible && text.ptr[i] > 0x20 && text.ptr[i] < 0x7f;
    if (!visible || text.len < TOKEN_LEAST || n == SL_ADMIN_TOKEN_MAX - 1)
        return refuse(why, why_size,
                      "state: %s/" TOKEN_FILE " must hold one word of %d to %d characters: delete "
                      "it and a new one is made",
                      path, TOKEN_LEAST, SL_ADMIN_TOKEN_MAX - 3);
    token[text.len] = '\0';
    return 0;
}

int sl_state_open(struct sl_state *state, const char *path, char *why, size_t why_size) {
    *state = (struct sl_state){.dir = -1};
    if (!path)
        return refuse(why, why_size,
                      "state: there is no HOME to make a folder under: set state to one");
    int rc = open_folder(path, &state->dir, why, why_size);
    if (rc != 0)
        return rc;
    rc = make_token(state->dir);
    if (rc != 0)
        rc = refuse(why, why_size, "state: %s/" TOKEN_FILE " cannot be made: %s", path,
                    strerror(errno));
    else
        rc = read_token(state->dir, path, state->admin_token, why, why_size);
    if (rc != 0)
        sl_state_close(state);
    return rc;
}

void sl_state_close(struct sl_state *state) {
    if (state->dir >= 0)
        close(state->dir);
    state->dir = -1;
    explicit_bzero(state->admin_token, sizeof(state->admin_token));
}
