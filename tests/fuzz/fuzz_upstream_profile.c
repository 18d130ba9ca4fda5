/*
 * The two shared files of AWS's tools, separated by NUL: they are taken, and every name in them can
 * be asked for, or refused with a sentence.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "upstream/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char config_path[64], credentials_path[64];

static const char *environment(const char *name) {
    if (strcmp(name, "AWS_CONFIG_FILE") == 0)
        return config_path;
    return strcmp(name, "AWS_SHARED_CREDENTIALS_FILE") == 0 ? credentials_path : NULL;
}

/* A file in memory, under a path that can be opened. */
static int put_file(struct sl_slice text, char *path, size_t size) {
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert(fd >= 0);
    ssize_t n = write(fd, text.ptr, text.len);
    assert(n == (ssize_t)text.len);
    snprintf(path, size, "/proc/self/fd/%d", fd);
    return fd;
}

static void ask(const struct sl_profiles *profiles, struct sl_slice name) {
    static const char *const keys[] = {"region", "aws_access_key_id", "k", ""};
    struct sl_slice value;
    (void)sl_profiles_has(profiles, name);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        for (int file = SL_PROFILE_MERGED; file <= SL_PROFILE_CONFIG; file++)
            if (sl_profiles_get(profiles, (enum sl_profile_file)file, name, keys[i], &value))
                assert(value.ptr);
    if (sl_profiles_service(profiles, name, "sts", SL_LIT("endpoint_url"), &value))
        assert(value.ptr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sl_profiles *profiles = NULL;
    char why[256] = "";
    struct sl_slice all = sl_slice_of(data, size), line;
    size_t nul = sl_slice_find(all, '\0');
    int config = put_file(sl_slice_head(all, nul), config_path, sizeof(config_path));
    int credentials =
        put_file(sl_slice_skip(all, nul + 1), credentials_path, sizeof(credentials_path));
    int rc = sl_profiles_load(environment, &profiles, why, sizeof(why));
    assert((rc == SL_OK) == (profiles != NULL) && (rc == SL_OK || why[0]));
    if (profiles) {
        ask(profiles, SL_LIT("default"));
        while (all.len > 0 && sl_slice_split(&all, '\n', &line))
            ask(profiles, sl_slice_trim(line));
    }
    sl_profiles_free(profiles);
    close(config);
    close(credentials);
    return 0;
}
