#include "app/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sluice/base/log.h"
#include "sluice/base/rand.h"

#define MASTER     "master.key"
#define MASTER_OLD "master.key.old"

/* Under a name of its own until it is whole: of two processes that start at once, one wins. */
static int make_master(const char *path) {
    char temporary[PATH_MAX + SL_UUID_SIZE + 2], uuid[SL_UUID_SIZE];
    uint8_t secret[SL_KEY_MASTER_SIZE];
    sl_rand_uuid(uuid);
    snprintf(temporary, sizeof(temporary), "%s.%s", path, uuid);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return SL_E_IO;
    sl_rand_bytes(secret, sizeof(secret));
    bool good = write(fd, secret, sizeof(secret)) == (ssize_t)sizeof(secret) && fsync(fd) == 0;
    explicit_bzero(secret, sizeof(secret));
    close(fd);
    if (good && link(temporary, path) != 0 && errno != EEXIST)
        good = false;
    int error = errno;
    unlink(temporary);
    errno = error;
    return good ? SL_OK : SL_E_IO;
}

/* SL_E_NOTFOUND: there is no such file. */
static int read_master(const char *path, uint8_t out[SL_KEY_MASTER_SIZE], char *why,
                       size_t why_size) {
    struct stat st;
    uint8_t bytes[SL_KEY_MASTER_SIZE + 1];
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return SL_E_NOTFOUND;
    ssize_t n = -1;
    bool ours = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                (st.st_mode & 077) == 0;
    if (ours)
        n = read(fd, bytes, sizeof(bytes));
    if (fd >= 0)
        close(fd);
    if (n == SL_KEY_MASTER_SIZE)
        memcpy(out, bytes, SL_KEY_MASTER_SIZE);
    explicit_bzero(bytes, sizeof(bytes));
    if (n == SL_KEY_MASTER_SIZE)
        return SL_OK;
    snprintf(why, why_size,
             "keys: %s must be a file of this user alone (chmod 600) of %d bytes; without it no "
             "client key is valid",
             path, SL_KEY_MASTER_SIZE);
    return SL_E_IO;
}

int sl_keyring_open(struct sl_keyring *ring, const char *state, char *why, size_t why_size) {
    uint8_t master[SL_KEY_MASTERS][SL_KEY_MASTER_SIZE];
    char path[PATH_MAX];
    size_t count = 1;
    *ring = (struct sl_keyring){0};
    snprintf(path, sizeof(path), "%s/" MASTER, state);
    if (access(path, F_OK) != 0 && make_master(path) != SL_OK) {
        snprintf(why, why_size, "keys: %s cannot be made: %s", path, strerror(errno));
        return SL_E_IO;
    }
    int err = read_master(path, master[0], why, why_size);
    if (!err) {
        snprintf(path, sizeof(path), "%s/" MASTER_OLD, state);
        err = read_master(path, master[1], why, why_size);
        count = err ? 1 : 2;
        if (err == SL_E_NOTFOUND)
            err = SL_OK;
    }
    if (!err && !(ring->keys = sl_keys_new(master, count))) {
        snprintf(why, why_size, "out of memory");
        err = SL_E_NOMEM;
    }
    explicit_bzero(master, sizeof(master));
    return err;
}

void sl_keyring_close(struct sl_keyring *ring) {
    sl_keys_free(ring->keys);
    ring->keys = NULL;
}

static const char *or_null(const char *text) {
    return text[0] ? text : NULL;
}

struct sl_key_record sl_keyring_record(const struct sl_db_key *row) {
    struct sl_key_record record = {.name = row->name,
                                   .subject = or_null(row->subject),
                                   .generation = row->generation,
                                   .overlap_until = row->overlap_until,
                                   .created_at = row->created_at,
                                   .expires_at = row->expires_at,
                                   .revoked_at = row->revoked_at,
                                   .priority = (enum sl_class)row->priority,
                                   .rpm = row->rpm,
                                   .tpm = row->tpm,
                                   .cache = (enum sl_cache_when)row->cache,
                                   .models = or_null(row->models),
                                   .operations = or_null(row->operations),
                                   .s3_prefix = or_null(row->s3_prefix)};
    snprintf(record.id, sizeof(record.id), "%.*s", SL_KEY_ID_SIZE, row->id);
    return record;
}

void sl_keyring_apply(void *ctx, const struct sl_db_key *row) {
    struct sl_keyring *ring = ctx;
    if (!row) {
        sl_keys_sweep(ring->keys);
        return;
    }
    struct sl_key_record record = sl_keyring_record(row);
    if (sl_keys_put(ring->keys, &record) != SL_OK)
        sl_log(SL_LOG_ERROR, "keys", "key %s is not valid and refuses its holder", row->id);
}
