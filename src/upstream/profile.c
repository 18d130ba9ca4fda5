/*
 * Profiles are not copied out of the files: a lookup asks the credentials file, then the config
 * file. Only section names are interpreted, and only once, at load: `config_profiles` gives for
 * each section of the config file the profile it defines, if any.
 */
#include "upstream/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "sluice/base/mem.h"
#include "upstream/ini.h"
#include "upstream/shellsplit.h"

#define PATH_SIZE 4096

enum kind { OTHER, PROFILE, SERVICES };
struct named {
    enum kind kind;
    char *name; /* owned; NULL for OTHER */
};

struct sl_profiles {
    struct sl_ini *config, *credentials; /* NULL: no such file */
    struct named *sections;              /* one for each section of config */
    size_t section_count;
};

int sl_small_file_read(const char *path, struct sl_buf *buf) {
    int rc = SL_E_IO;
    struct stat st;
    sl_buf_clear(buf);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? SL_E_NOTFOUND : SL_E_IO;
    if (fstat(fd, &st) != 0)
        goto out;
    rc = S_ISREG(st.st_mode) ? SL_OK : SL_E_NOTFOUND;
    if (rc == SL_OK && st.st_size > SL_SMALL_FILE_MAX)
        rc = SL_E_LIMIT;
    /* One byte more than it should take, to see the end without growing the buffer again. */
    if (rc == SL_OK)
        rc = sl_buf_reserve(buf, (size_t)st.st_size + 1);
    while (rc == SL_OK) {
        ssize_t n = read(fd, buf->ptr + buf->len, buf->cap - buf->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = SL_E_IO;
        if (n <= 0)
            break;
        buf->len += (size_t)n;
        if (buf->len == buf->cap)
            rc = SL_E_LIMIT; /* it grew while we read */
    }
out:
    close(fd);
    return rc;
}

/* Appends the value of the variable at the start of s ("$NAME" or "${NAME}"); bytes it took. */
static size_t expand_variable(sl_getenv env, struct sl_slice s, struct sl_buf *out, int *rc) {
    bool braces = s.len > 1 && s.ptr[1] == '{';
    size_t begin = braces ? 2 : 1, end = begin;
    while (end < s.len &&
           (braces ? s.ptr[end] != '}'
                   : s.ptr[end] == '_' || (s.ptr[end] >= '0' && s.ptr[end] <= '9') ||
                         (sl_ascii_lower(s.ptr[end]) >= 'a' && sl_ascii_lower(s.ptr[end]) <= 'z')))
        end++;
    char name[256];
    const char *value = NULL;
    if (end > begin && end - begin < sizeof(name) && (!braces || end < s.len)) {
        memcpy(name, s.ptr + begin, end - begin);
        name[end - begin] = '\0';
        value = env(name);
    }
    size_t taken = value ? end + braces : 1;
    *rc = sl_buf_add(out, value ? sl_slice_str(value) : sl_slice_head(s, taken));
    return taken;
}

/* Variables first, then a leading "~/", as botocore does. */
static int expand_path(sl_getenv env, struct sl_slice path, struct sl_buf *out) {
    struct sl_buf plain;
    sl_buf_init(&plain, PATH_SIZE);
    int rc = SL_OK;
    while (path.len && rc == SL_OK) {
        size_t n = sl_slice_find(path, '$');
        rc = sl_buf_add(&plain, sl_slice_head(path, n));
        path = sl_slice_skip(path, n);
        if (rc == SL_OK && path.len)
            path = sl_slice_skip(path, expand_variable(env, path, &plain, &rc));
    }
    struct sl_slice s = sl_buf_slice(&plain);
    if (rc == SL_OK && (sl_slice_starts(s, SL_LIT("~/")) || sl_slice_eq(s, SL_LIT("~")))) {
        char home[PATH_SIZE];
        size_t size = sizeof(home);
        const char *set = env("HOME");
        if (!set && uv_os_homedir(home, &size) == 0)
            set = home;
        rc = set ? sl_buf_add_str(out, set) : SL_E_NOTFOUND;
        s = sl_slice_skip(s, 1);
    }
    if (rc == SL_OK)
        rc = sl_buf_add(out, s);
    if (rc == SL_OK)
        rc = sl_buf_terminate(out);
    sl_buf_done(&plain);
    return rc;
}

/* *out stays NULL where there is no such file, or none that we may read (as configparser's). */
static int load_file(sl_getenv env, const char *variable, const char *usual, struct sl_ini **out,
                     char *why, size_t why_size) {
    struct sl_buf path, text;
    sl_buf_init(&path, PATH_SIZE);
    sl_buf_init(&text, SL_SMALL_FILE_MAX + 2);
    const char *set = env(variable);
    char cause[128] = "cannot be read: it is larger than 1 MiB, or memory is out";
    int rc = expand_path(env, sl_slice_str(set ? set : usual), &path);
    if (rc == SL_OK)
        rc = sl_small_file_read(path.ptr, &text);
    if (rc == SL_E_NOTFOUND || rc == SL_E_IO) {
        rc = SL_OK;
        goto out;
    }
    if (rc == SL_OK)
        rc = sl_ini_parse(sl_buf_slice(&text), out, cause, sizeof(cause));
    if (rc == SL_OK)
        rc = sl_ini_check_nested(*out, cause, sizeof(cause));
    if (rc < 0)
        snprintf(why, why_size, "%s: %s", path.ptr ? path.ptr : usual, cause);
out:
    sl_buf_done_secret(&text);
    sl_buf_done(&path);
    return rc;
}

/* "profile x", "profile \"x y\"", "default", "services x": as botocore's build_profile_map. */
static int name_section(struct sl_slice section, struct named *out) {
    struct sl_shell_words words;
    if (sl_slice_eq(section, SL_LIT("default"))) {
        *out = (struct named){PROFILE, sl_strdup("default")};
        return out->name ? SL_OK : SL_E_NOMEM;
    }
    enum kind kind = sl_slice_starts(section, SL_LIT("profile"))    ? PROFILE
                     : sl_slice_starts(section, SL_LIT("services")) ? SERVICES
                                                                    : OTHER;
    if (kind == OTHER)
        return SL_OK;
    int rc = sl_shell_split(section, &words);
    if (rc < 0)
        return rc == SL_E_NOMEM ? rc : SL_OK;
    if (words.count == 2) {
        *out = (struct named){kind, sl_strdup(words.words[1])};
        rc = out->name ? SL_OK : SL_E_NOMEM;
    }
    sl_free(words.words);
    return rc;
}

int sl_profiles_load(sl_getenv env, struct sl_profiles **out, char *why, size_t why_size) {
    snprintf(why, why_size, "out of memory");
    struct sl_profiles *p = sl_calloc(1, sizeof(*p));
    if (!p)
        return SL_E_NOMEM;
    int rc = load_file(env, "AWS_CONFIG_FILE", "~/.aws/config", &p->config, why, why_size);
    if (rc == SL_OK)
        rc = load_file(env, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", &p->credentials,
                       why, why_size);
    size_t count = p->config ? sl_ini_section_count(p->config) : 0;
    if (rc == SL_OK) {
        p->sections = sl_calloc(count, sizeof(*p->sections));
        rc = p->sections ? SL_OK : SL_E_NOMEM;
        p->section_count = p->sections ? count : 0;
    }
    for (size_t i = 0; i < count && rc == SL_OK; i++)
        rc = name_section(sl_ini_section_name(p->config, i), &p->sections[i]);
    if (rc < 0) {
        sl_profiles_free(p);
        return rc;
    }
    *out = p;
    return SL_OK;
}

void sl_profiles_free(struct sl_profiles *p) {
    if (!p)
        return;
    for (size_t i = 0; i < p->section_count; i++)
        sl_free(p->sections[i].name);
    sl_free(p->sections);
    sl_ini_free(p->config);
    sl_ini_free(p->credentials);
    sl_free(p);
}

/* Of two sections that define one profile, the later replaces the earlier. */
static bool find_config(const struct sl_profiles *p, enum kind kind, struct sl_slice name,
                        size_t *section) {
    for (size_t i = p->section_count; i-- > 0;)
        if (p->sections[i].kind == kind && sl_slice_eq(sl_slice_str(p->sections[i].name), name)) {
            *section = i;
            return true;
        }
    return false;
}

static bool find_credentials(const struct sl_profiles *p, struct sl_slice name, size_t *section) {
    for (size_t i = p->credentials ? sl_ini_section_count(p->credentials) : 0; i-- > 0;)
        if (sl_slice_eq(sl_ini_section_name(p->credentials, i), name)) {
            *section = i;
            return true;
        }
    return false;
}

bool sl_profiles_has(const struct sl_profiles *p, struct sl_slice name) {
    size_t section;
    return find_config(p, PROFILE, name, &section) || find_credentials(p, name, &section);
}

bool sl_profiles_get(const struct sl_profiles *p, enum sl_profile_file file, struct sl_slice name,
                     const char *key, struct sl_slice *value) {
    size_t section;
    if (file != SL_PROFILE_CONFIG && find_credentials(p, name, &section) &&
        sl_ini_get(p->credentials, section, sl_slice_str(key), value))
        return true;
    return file != SL_PROFILE_CREDENTIALS && find_config(p, PROFILE, name, &section) &&
           sl_ini_get(p->config, section, sl_slice_str(key), value);
}

bool sl_profiles_service(const struct sl_profiles *p, struct sl_slice services, const char *service,
                         struct sl_slice key, struct sl_slice *value) {
    size_t section;
    struct sl_slice nested;
    return find_config(p, SERVICES, services, &section) &&
           sl_ini_get(p->config, section, sl_slice_str(service), &nested) &&
           sl_ini_nested(nested, key, value) == SL_OK;
}
